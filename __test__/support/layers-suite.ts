// What is beside TCP against the kernel's own programs, over TUNs or TAPs: ping, traceroute, mtr, nmap, socat, multicast, a
// router between two namespaces.

import type { PingStatistics, TraceroutePath } from '../../src/index';
import { type Finished, Namespace } from './netns';
import { until } from './stacks';

/** Name, flag of the programs, our address, the kernel's, and that of the kernel behind us. */
export const families = [
  ['IPv4', '-4', '198.18.0.2', '198.18.0.1', '198.18.8.1'],
  ['IPv6', '-6', 'fd00::2', 'fd00::1', 'fd00:8::1'],
] as const;

/** Defines the tests, over one kind of device; gives the namespace they are in. */
export function layers(device: 'tun' | 'tap'): () => Namespace {
  let ns: Namespace;
  let far: string;

  beforeAll(async () => {
    ns = await Namespace.start('layers-peer.ts', { device });
    far = String(await ns.call('far'));
  });

  afterAll(async () => {
    expect(await ns.stop()).toBe(0);
  });

  describe.each(families)('%s', (name, flag, ours, kernel, beyond) => {
    test.each([56, 60_000])('ping -s %s gets every answer', async (size) => {
      const got = await ns.exec('ping', [flag, '-n', '-c', '5', '-i', '0.2', '-W', '5', '-s', String(size), ours]);
      expect(got.stdout).toContain('5 packets transmitted, 5 received, 0% packet loss');
      expect(got.stdout).toContain(`${size + 8} bytes from ${ours}: icmp_seq=1 ttl=64`);
      expect(got.stdout).not.toMatch(/wrong data|DUP|corrupt/);
    });

    test('stack.ping reaches the kernel, in fragments too', async () => {
      for (const size of [56, 60_000]) {
        const result = await ns.call<PingStatistics>('ping', kernel, { count: 3, interval: 50, timeout: 5000, size });
        expect(result).toMatchObject({ transmitted: 3, received: 3, corrupted: 0 });
      }
    });

    test('ping through us counts one hop', async () => {
      const got = await ns.exec('ping', [flag, '-n', '-c', '3', '-i', '0.2', '-W', '5', beyond]);
      expect(got.stdout).toContain('3 received, 0% packet loss');
      expect(got.stdout).toContain('ttl=63');
    });

    // UDP, ICMP, TCP.
    test.each(['-U', '-I', '-T'])('traceroute %s to us and through us', async (method) => {
      const hops = async (host: string): Promise<string[]> => {
        const port = method === '-I' ? [] : ['-p', '7'];
        const got = await ns.exec('traceroute', [flag, '-n', '-q', '1', '-w', '5', '-m', '5', method, ...port, host]);
        return [...got.stdout.matchAll(/^ *\d+ {2}(\S+)/gm)].map((match) => match[1] as string);
      };
      expect(await hops(ours)).toEqual([ours]);
      expect(await hops(beyond)).toEqual([ours, beyond]);
    });

    test('stack.traceroute finds the kernel at one hop', async () => {
      const path = await ns.call<TraceroutePath>('traceroute', beyond);
      expect(path).toMatchObject({ reached: true });
      expect(path.hops.map(({ address }) => address)).toEqual([beyond]);
    });

    test('mtr through us', async () => {
      // ICMP, UDP, TCP; one of them is enough where only the device is another.
      const methods = device === 'tap' ? [[]] : [[], ['-u'], ['-T', '-P', '7']];
      // One after the other: they take each other's answers. A second for late ones after the last question.
      const options = [flag, '-n', '-r', '-c', '2', '-i', '0.3', '-G', '1', '-w'];
      for (const method of methods) {
        const { stdout } = await ns.exec('mtr', [...options, ...method, beyond]);
        const hops = [...stdout.matchAll(/\|-- (\S+) +(\S+)%/g)].map((match) => [match[1], match[2]]);
        expect(hops).toEqual([
          [ours, '0.0'],
          [beyond, '0.0'],
        ]);
      }
    });

    test('iperf3 through us: TCP both ways, UDP', async () => {
      const server = ns.spawn('nsenter', ['--target', far, '--net', 'iperf3', '-s', '--forceflush', '-p', '5201']);
      let listens = '';
      server.process.stdout?.on('data', (text) => {
        listens += text;
      });
      await until('iperf3 listens', () => listens.includes('listening'));
      try {
        for (const args of [
          ['-n', '8M'],
          ['-n', '8M', '-R'],
          ['-u', '-b', '20M', '-n', '1M', '-l', '1200'],
        ]) {
          const got = await ns.exec('iperf3', [flag, '-c', beyond, '-p', '5201', '--json', ...args]);
          const { error, end } = JSON.parse(got.stdout);
          expect(error).toBeUndefined();
          // Each side counts until the other says that it is enough.
          const { bytes } = end.sum_received ?? end.sum;
          expect(bytes).toBeGreaterThan(args[0] === '-u' ? 900_000 : 2 << 20);
        }
      } finally {
        server.process.kill();
        await server.finished;
      }
    });

    test('socat speaks UDP with us, and we with a group', async () => {
      const host = name === 'IPv4' ? ours : `[${ours}]`;
      const kind = name === 'IPv4' ? 'UDP4' : 'UDP6';
      const echoed = await ns.exec('bash', ['-c', `echo hello | socat -t 2 - ${kind}:${host}:7`]);
      expect(echoed.stdout).toBe('hello\n');
      const closed = await ns.exec('bash', ['-c', `echo hello | socat -t 2 - ${kind}:${host}:9`]);
      expect(closed.stderr).toContain('Connection refused');

      const group = name === 'IPv4' ? '239.1.2.3' : 'ff15::1:2:3';
      const member = name === 'IPv4' ? 'ip-add-membership=239.1.2.3:198.18.0.1' : 'ipv6-join-group=[ff15::1:2:3]:un0';
      const listener = ns.spawn('socat', ['-u', `${kind}-RECV:5000,reuseaddr,${member}`, '-']);
      let heard = '';
      listener.process.stdout?.on('data', (text) => {
        heard += text;
      });
      await until('socat hears us', async () => {
        await ns.call('publish', group, 5000, 'to whom it may concern\n');
        return heard.includes('to whom it may concern');
      });
      listener.process.kill();

      await ns.call('subscribe', group, 5001);
      const to = name === 'IPv4' ? `${group}:5001,ip-multicast-if=198.18.0.1` : `[${group}]:5001,so-bindtodevice=un0`;
      await until('we hear socat', async () => {
        await ns.exec('bash', ['-c', `echo from the kernel | socat -u - ${kind}-SENDTO:${to}`]);
        const seen = await ns.call<string[]>('seen');
        return seen.some((line) => line.endsWith('from the kernel\n') && line.includes(':') === (name === 'IPv6'));
      });
    });

    test('nmap scans TCP and UDP, guesses at the system, and we are still there', async () => {
      const scan = (...args: string[]): Promise<Finished> =>
        ns.exec('nmap', [...(name === 'IPv6' ? ['-6'] : []), '-n', '-Pn', '--reason', ...args, ours]);
      const tcp = await scan('-sT', '-p', '7,9,80');
      expect(tcp.stdout).toMatch(/^7\/tcp +open +echo/m);
      expect(tcp.stdout).toMatch(/^9\/tcp +closed/m);
      const udp = await scan('-sU', '-p', '7,9');
      expect(udp.stdout).toMatch(/^7\/udp +open +echo/m);
      expect(udp.stdout).toMatch(/^9\/udp +closed +discard +port-unreach/m);
      const system = await scan('-O', '--max-os-tries', '1', '-p', '7,9');
      expect(system).toMatchObject({ code: 0 });
      expect(system.stdout).toMatch(/OS detection performed|OS details|No exact OS matches|Too many fingerprints/);
      const ping = await ns.exec('ping', [flag, '-n', '-c', '1', '-W', '5', ours]);
      expect(ping.stdout).toContain('1 received');
    });

    test('of the sources of a group those are heard that were asked for', async () => {
      const [group, other] = name === 'IPv4' ? ['232.1.2.3', '198.18.0.5'] : ['ff3e::8000:1', 'fd00::5'];
      await ns.exec('ip', [
        'address',
        'replace',
        `${other}/${name === 'IPv4' ? 24 : 64}`,
        'dev',
        'un0',
        ...nodad(other),
      ]);
      const say = async (from: string, text: string): Promise<void> => {
        const to =
          name === 'IPv4'
            ? `UDP4-SENDTO:${group}:5002,bind=${from},ip-multicast-if=${from}`
            : `UDP6-SENDTO:[${group}]:5002,bind=[${from}],so-bindtodevice=un0`;
        const said = await ns.exec('socat', ['-u', '-', to], { input: text });
        expect(said).toMatchObject({ code: 0, stderr: '' });
      };
      const heard = async (): Promise<string[]> =>
        (await ns.call<string[]>('seen')).filter((line) => line.endsWith(`to ${group}`));
      await ns.call('subscribe', group, 5002, kernel);
      await say(other, `one to ${group}`);
      await say(kernel, `two to ${group}`);
      await until('the source is heard', async () => (await heard()).length > 0);
      await ns.call('subscribe', group, 5002, other);
      await say(other, `three to ${group}`);
      await until('the other source is heard', async () => (await heard()).length > 1);
      await ns.call('unsubscribe', group, kernel);
      await say(kernel, `four to ${group}`);
      await say(other, `five to ${group}`);
      await until('it is heard still', async () => (await heard()).length > 2);
      expect(await heard()).toEqual(
        [`${kernel} two`, `${other} three`, `${other} five`].map((l) => `${l} to ${group}`),
      );
    });
  });

  test('broadcasts go both ways', async () => {
    const heard = ns.spawn('socat', ['-d', '-d', '-u', 'UDP4-RECV:5004,reuseaddr,broadcast', '-']);
    let said = '';
    for (const stream of [heard.process.stdout, heard.process.stderr]) {
      stream?.on('data', (data) => {
        said += data;
      });
    }
    await until('socat listens', () => said.includes('starting data transfer'));
    for (const address of ['198.18.0.255', '255.255.255.255']) {
      await ns.call('broadcast', address, 5004, `to ${address}\n`);
      await until('the kernel hears it', () => said.includes(`to ${address}\n`));
    }
    heard.process.kill();
    await ns.call('listen', 5005);
    for (const address of ['198.18.0.255', '255.255.255.255']) {
      const to = `UDP4-DATAGRAM:${address}:5005,broadcast,so-bindtodevice=un0`;
      const sent = await ns.exec('socat', ['-u', '-', to], { input: `to all of ${address}` });
      expect(sent).toMatchObject({ code: 0, stderr: '' });
      await until('we hear it', async () =>
        (await ns.call<string[]>('seen')).includes(`198.18.0.1 to all of ${address}`),
      );
    }
  });

  return () => ns;
}

function nodad(address: string): string[] {
  return address.includes(':') ? ['nodad'] : [];
}
