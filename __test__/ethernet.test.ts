// Ethernet against the kernel's stack: TAP and packet sockets, ARP and neighbour discovery, routers, a bridge; and QEMU's
// framing over a UNIX socket.

import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createStack, packetSocket, tap, tun, unixSocket } from '../src/index';
import { describeTun, Namespace, type Running } from './support/netns';

jest.setTimeout(90_000);

const folder = mkdtempSync(path.join(tmpdir(), 'usernet-ethernet-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const FAMILIES = [
  { kernel: '198.18.0.1', ours: '198.18.0.2', url: 'http://198.18.0.2' },
  { kernel: 'fd00::1', ours: 'fd00::2', url: 'http://[fd00::2]' },
];

interface Neighbor {
  interface: string;
  address: string;
  mac?: string;
  state: string;
}

/** Resolves when a program has written `text` on its standard error. */
function says(program: Running, text: string): Promise<void> {
  let said = '';
  return new Promise((resolve) => {
    program.process.stderr?.on('data', (data) => {
      said += data;
      if (said.includes(text)) resolve();
    });
  });
}

for (const device of ['tap', 'packet'] as const) {
  describeTun(`a stack and the kernel on one Ethernet link (${device})`, () => {
    let namespace: Namespace;
    const capture = path.join(folder, `${device}.pcapng`);
    const kernelSide = device === 'tap' ? 'tap0' : 'v0';
    beforeAll(async () => {
      namespace = await Namespace.start('ethernet-peer.ts', { device, capture });
    });
    afterAll(() => namespace.stop());

    test.each(FAMILIES)('the kernel pings $ours, also with 60,000 bytes', async ({ ours }) => {
      for (const size of ['56', '60000']) {
        const { code, stdout } = await namespace.exec('ping', ['-c', '3', '-i', '0.2', '-W', '5', '-s', size, ours]);
        expect(stdout).toContain('3 packets transmitted, 3 received, 0% packet loss');
        expect(code).toBe(0);
      }
    });

    test.each(FAMILIES)('the stack pings $kernel, also with 60,000 bytes', async ({ kernel }) => {
      for (const size of [56, 60_000]) {
        const result = await namespace.call<{ received: number }>('ping', kernel, { count: 3, interval: 50, size });
        expect(result.received).toBe(3);
      }
      const neighbors = await namespace.call<Neighbor[]>('neighbors');
      const neighbor = neighbors.find(({ address }) => address === kernel);
      if (device === 'tap') expect(neighbor).toMatchObject({ interface: 'tap0', mac: '02:00:00:00:00:01' });
      expect(['reachable', 'stale', 'delay', 'probe']).toContain(neighbor?.state);
    });

    test.each(FAMILIES)('curl fetches 3 MB from $url', async ({ url }) => {
      const { stdout, code } = await namespace.exec('sh', [
        '-c',
        `curl -sS --max-time 60 ${url}/3000000/9 | sha256sum`,
      ]);
      expect(code).toBe(0);
      expect(stdout.split(' ')[0]).toBe(await namespace.call('sha256', 3_000_000, 9));
    });

    test.each(FAMILIES)('the stack fetches 2 MB from a server of the kernel at $kernel', async ({ kernel }) => {
      const file = path.join(folder, `${device}-bytes`);
      const bytes = Buffer.alloc(2_000_000, 'usernet');
      writeFileSync(file, bytes);
      const port = kernel.includes(':') ? 7006 : 7004;
      const type = kernel.includes(':') ? 'TCP6-LISTEN' : 'TCP4-LISTEN';
      const server = namespace.spawn('socat', ['-d', '-d', '-u', `OPEN:${file}`, `${type}:${port},reuseaddr`]);
      await says(server, 'listening on');
      const got = await namespace.call('collect', kernel, port);
      expect(got).toEqual({ length: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') });
      await server.finished;
    });

    test('arping and ndisc6 find the hardware address', async () => {
      const arping = await namespace.exec('arping', ['-c', '2', '-w', '10', '-I', kernelSide, '198.18.0.2']);
      expect(arping.stdout).toContain('02:00:00:00:00:02');
      expect(arping.code).toBe(0);
      // Somebody who checks whether the address is free (RFC 5227) is told that it is not.
      const probe = await namespace.exec('arping', ['-D', '-c', '2', '-w', '10', '-I', kernelSide, '198.18.0.2']);
      expect(probe.stdout).toContain('02:00:00:00:00:02');
      expect(probe.code).toBe(1);
      const ndisc = await namespace.exec('ndisc6', ['-1', '-r', '5', 'fd00::2', kernelSide]);
      expect(ndisc.stdout.toLowerCase()).toContain('02:00:00:00:00:02');
      expect(ndisc.code).toBe(0);
    });

    test('nobody at an address: EHOSTUNREACH on the connection', async () => {
      await expect(namespace.call('collect', '198.18.0.99', 80)).rejects.toThrow('EHOSTUNREACH');
    });

    test('what passed is in the capture', async () => {
      await namespace.call('stop');
      const bytes = readFileSync(capture);
      expect(bytes.readUInt32LE(0)).toBe(0x0a0d0d0a);
      expect(bytes.length).toBeGreaterThan(100_000);
    });
  });
}

describeTun('a bridge with three hosts, one of them ours', () => {
  test('everybody reaches everybody', async () => {
    const namespace = await Namespace.start('ethernet-peer.ts', { device: 'tap', kernelAddresses: [] });
    const ip = async (...args: string[]) => {
      const { code, stderr } = await namespace.exec('ip', args);
      expect({ args, code, stderr }).toEqual({ args, code: 0, stderr: '' });
    };
    try {
      await ip('link', 'add', 'br0', 'type', 'bridge');
      await ip('link', 'set', 'tap0', 'master', 'br0');
      await ip('link', 'set', 'br0', 'up');
      // Two hosts, each in a namespace of its own, which lives as long as its process.
      const hosts: string[] = [];
      for (const n of [3, 4]) {
        const host = namespace.spawn('unshare', ['--net', 'sh', '-c', 'echo $$; exec cat'], { keepStdin: true });
        const pid = await new Promise<string>((resolve) =>
          host.process.stdout?.once('data', (data) => resolve(`${data}`.trim())),
        );
        hosts.push(pid);
        await ip('link', 'add', `h${n}`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', pid);
        await ip('link', 'set', `h${n}`, 'master', 'br0', 'up');
        const inside = ['--target', pid, '--net', 'ip'];
        for (const args of [
          ['address', 'add', `198.18.0.${n}/24`, 'dev', 'eth0'],
          ['address', 'add', `fd00::${n}/64`, 'dev', 'eth0', 'nodad'],
          ['link', 'set', 'eth0', 'up'],
        ]) {
          expect((await namespace.exec('nsenter', [...inside, ...args])).stderr).toBe('');
        }
      }
      for (const to of ['198.18.0.3', 'fd00::3', '198.18.0.4', 'fd00::4']) {
        // A bridge's port passes frames only once it is up; the neighbour is asked for three times, a second apart.
        expect(await namespace.call('ping', to, { count: 1, timeout: 10_000 })).toMatchObject({ received: 1 });
      }
      for (const [host, to] of [
        [hosts[0], '198.18.0.2'],
        [hosts[1], 'fd00::2'],
        [hosts[0], '198.18.0.4'],
      ] as const) {
        const args = ['--target', host as string, '--net', 'ping', '-c', '1', '-W', '10', to];
        expect((await namespace.exec('nsenter', args)).stdout).toContain('1 received');
      }
    } finally {
      await namespace.stop();
    }
  });
});

describe('QEMU’s framing over a UNIX socket', () => {
  const mac = Buffer.from('020000000002', 'hex');
  const other = Buffer.from('020000000009', 'hex');
  /** Who has 198.18.0.2? Tell 198.18.0.9. */
  const question = Buffer.concat([
    Buffer.alloc(6, 0xff),
    other,
    Buffer.from('08060001080006040001', 'hex'),
    other,
    Buffer.from('c6120009000000000000c6120002', 'hex'),
  ]);
  const framed = (frame: Buffer) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(frame.length);
    return Buffer.concat([length, frame]);
  };

  /** Reads frames until one is the answer to the question. */
  function answer(socket: net.Socket): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      let rest = Buffer.alloc(0);
      socket.once('error', reject);
      socket.on('data', (data) => {
        rest = Buffer.concat([rest, data as Buffer]);
        while (rest.length >= 4 && rest.length >= 4 + rest.readUInt32BE(0)) {
          const frame = rest.subarray(4, 4 + rest.readUInt32BE(0));
          rest = rest.subarray(4 + frame.length);
          // ARP, a reply.
          if (frame.readUInt16BE(12) === 0x0806 && frame.readUInt16BE(20) === 2) resolve(frame);
        }
      });
    });
  }

  test.each(['connect', 'listen'] as const)('as the end that does %s', async (how) => {
    const file = path.join(folder, `${how}.sock`);
    const interfaces = [
      { device: unixSocket({ [how]: file, mac: '02:00:00:00:00:02' }), addresses: ['198.18.0.2/24'], name: 'vm0' },
    ];
    let peer: net.Socket;
    let stack: Awaited<ReturnType<typeof createStack>>;
    if (how === 'connect') {
      const server = net.createServer();
      const connected = new Promise<net.Socket>((resolve) => server.once('connection', resolve));
      await new Promise<void>((resolve) => server.listen(file, () => resolve()));
      stack = await createStack({ interfaces });
      peer = await connected;
      server.close();
    } else {
      stack = await createStack({ interfaces });
      peer = net.connect(file);
    }
    const answered = answer(peer);
    // In two pieces, as a stream may cut it.
    const bytes = framed(question);
    peer.write(bytes.subarray(0, 3));
    peer.write(bytes.subarray(3));
    const frame = await answered;
    expect(frame.subarray(0, 12)).toEqual(Buffer.concat([other, mac]));
    expect(frame.subarray(22, 28)).toEqual(mac);
    expect(stack.neighbors()).toMatchObject([{ interface: 'vm0', address: '198.18.0.9', mac: '02:00:00:00:00:09' }]);
    await stack.close();
    peer.destroy();
    expect(how === 'listen' && existsSync(file)).toBe(false);
  });

  test('a router’s prefix becomes an address that others reach', async () => {
    const file = path.join(folder, 'router.sock');
    const stack = await createStack({
      interfaces: [{ device: unixSocket({ listen: file }), name: 'vm0', addresses: [], slaac: true }],
    });
    const peer = net.connect(file);
    const router = Buffer.from('fe8000000000000000000000000000ff', 'hex');
    const allNodes = Buffer.from('ff020000000000000000000000000001', 'hex');
    // Router lifetime 1,800 s; its hardware address; 2001:db8:7::/64, on the link, for addresses, for ever.
    const advertisement = Buffer.concat([
      Buffer.from('8600000040000708000000000000000001010200000000ff', 'hex'),
      Buffer.from('030440c0ffffffffffffffff00000000', 'hex'),
      Buffer.from('20010db8000700000000000000000000', 'hex'),
    ]);
    const length = Buffer.from([0, 0, 0, advertisement.length, 0, 0, 0, 58]);
    const summed = Buffer.concat([router, allNodes, length, advertisement]);
    let sum = 0;
    for (let at = 0; at < summed.length; at += 2) sum += summed.readUInt16BE(at);
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
    advertisement.writeUInt16BE(~sum & 0xffff, 2);
    const header = Buffer.from([0x60, 0, 0, 0, 0, advertisement.length, 58, 255]);
    const ethernet = Buffer.from('3333000000010200000000ff86dd', 'hex');
    const formed = new Promise<string>((resolve) => {
      stack.on('interface', (event) => {
        if (event.type === 'address-added' && event.address.startsWith('2001:db8:7:')) resolve(event.address);
      });
    });
    peer.write(framed(Buffer.concat([ethernet, header, router, allNodes, advertisement])));
    const address = await formed;
    expect(stack.interfaces.find(({ name }) => name === 'vm0')?.addresses).toContain(`${address}/64`);
    expect(stack.neighbors()).toMatchObject([{ address: 'fe80::ff', mac: '02:00:00:00:00:ff', router: true }]);
    await stack.close();
    peer.destroy();
  });

  test('an interface comes and goes while the stack runs', async () => {
    const stack = await createStack();
    const file = path.join(folder, 'later.sock');
    const device = unixSocket({ listen: file });
    await stack.addInterface({ device, name: 'vm0', addresses: ['198.18.0.2/24'] });
    expect(stack.interfaces.map(({ name }) => name)).toContain('vm0');
    await stack.removeInterface('vm0');
    expect(existsSync(file)).toBe(false);
    await stack.addInterface({ device, name: 'vm0', addresses: ['198.18.0.2/24'] });
    expect(existsSync(file)).toBe(true);
    await stack.close();
  });
});

test('options that cannot be are refused with the value and the remedy', async () => {
  const invalid = (message: RegExp) => expect.objectContaining({ message: expect.stringMatching(message) });
  for (const mac of ['', '02:00:00:00:00', '01:00:00:00:00:01', 'ff:ff:ff:ff:ff:ff', '00:00:00:00:00:00', 7]) {
    expect(() => tap({ mac: mac as string })).toThrow(expect.objectContaining({ name: 'TypeError' }));
  }
  expect(() => unixSocket({})).toThrow(invalid(/'connect'.*'listen'.*'local' and 'remote'/));
  expect(() => unixSocket({ connect: 'a', listen: 'b' })).toThrow(invalid(/either/));
  expect(() => packetSocket({} as never)).toThrow(invalid(/options\.interface/));
  expect(() => tun({ kernelAddresses: ['198.18.0.1'] })).toThrow(invalid(/length of its prefix/));
  const wrong = { device: tap(), addresses: [], duplicateAddressDetection: 'never' as 'off' };
  await expect(createStack({ interfaces: [wrong] })).rejects.toThrow(/'optimistic', 'strict' or 'off'/);
  const nowhere = { device: unixSocket({ connect: path.join(folder, 'nowhere') }), addresses: [] };
  await expect(createStack({ interfaces: [nowhere] })).rejects.toMatchObject({ code: 'ENOENT', syscall: 'connect' });
  const inherited = { device: tun({ fd: 987_654 }), addresses: [] };
  await expect(createStack({ interfaces: [inherited] })).rejects.toMatchObject({ code: 'EBADF' });
  const unwritable = { device: unixSocket({ listen: path.join(folder, 'x') }), addresses: [], capture: '/nowhere/x' };
  await expect(createStack({ interfaces: [unwritable] })).rejects.toMatchObject({ code: 'ENOENT', syscall: 'open' });
});
