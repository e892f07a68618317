// What is beside TCP against the kernel's own programs over TUNs: ping, traceroute, mtr, nmap, socat, a router between two
// namespaces, a proxy for any address.

import type { PingStatistics, TraceroutePath } from '../src/index';
import { describeTun, type Finished, Namespace } from './support/netns';
import { until } from './support/stacks';

const families = [
  ['IPv4', '-4', '198.18.0.2', '198.18.0.1', '198.18.8.1'],
  ['IPv6', '-6', 'fd00::2', 'fd00::1', 'fd00:8::1'],
] as const;

jest.setTimeout(120_000);

describeTun('the layers beside TCP and the kernel', () => {
  let ns: Namespace;
  let far: string;

  beforeAll(async () => {
    ns = await Namespace.start('layers-peer.ts');
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

    test('traceroute to us and through us', async () => {
      const hops = async (host: string): Promise<string[]> => {
        const got = await ns.exec('traceroute', [flag, '-n', '-q', '1', '-w', '5', '-m', '5', host]);
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
      const got = await ns.exec('mtr', [flag, '-n', '-r', '-c', '2', '-i', '0.3', '-w', beyond]);
      const hops = [...got.stdout.matchAll(/\|-- (\S+) +(\S+)%/g)].map((match) => [match[1], match[2]]);
      expect(hops).toEqual([
        [ours, '0.0'],
        [beyond, '0.0'],
      ]);
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

    test("curl to an address that is nobody's is carried; what is not allowed is refused", async () => {
      const host = name === 'IPv4' ? '192.0.2.80' : '[2001:db8::80]';
      const got = await ns.exec('curl', ['-sS', '--max-time', '10', `http://${host}:8080/`]);
      expect(got).toMatchObject({ code: 0, stdout: 'carried to 8080\n' });
      const refused = await ns.exec('curl', ['-sS', '--max-time', '10', `telnet://${host}:25/`]);
      expect(refused.stderr).toMatch(/refused|Failed to connect/);
      const nobody = await ns.exec('curl', ['-sS', '--max-time', '10', `http://${host}:8081/`]);
      expect(nobody.stderr).toMatch(/refused|Failed to connect/);
      const bare = host.replace(/[[\]]/g, '');
      const carried = await ns.call<string[]>('carried');
      const lines = [
        `to ${bare} port 8080: carried`,
        `to ${bare} port 25: refused`,
        `to ${bare} port 8081: nobody there`,
      ];
      for (const line of lines) expect(carried).toContainEqual(expect.stringContaining(line));
    });
  });

  test.each(families)(
    'dig asks our server over %s: records, errors, TCP, what does not fit',
    async (_name, flag, ours) => {
      const dig = async (...args: string[]): Promise<string> => {
        const got = await ns.exec('dig', [flag, `@${ours}`, '+timeout=5', '+nocookie', ...args]);
        expect(got.stderr).toBe('');
        return got.stdout;
      };
      expect(await dig('+short', 'www.lab.test', 'A')).toBe('host.lab.test.\n192.0.2.2\n');
      expect(await dig('+short', '+tcp', 'host.lab.test', 'AAAA')).toBe('2001:db8::2\n');
      expect(await dig('+short', 'lab.test', 'MX')).toBe('5 mail.lab.test.\n');
      const missing = await dig('missing.lab.test');
      expect(missing).toMatch(/status: NXDOMAIN/);
      expect(missing).toMatch(/flags: qr aa rd/);
      expect(missing).toMatch(/SOA\tns\.lab\.test\./);
      expect(await dig('elsewhere.test')).toMatch(/status: REFUSED/);
      const long = await dig('long.lab.test', 'TXT');
      expect(long).toMatch(/line 0 x+.*line 39 x+/s);
      expect(long).toMatch(/SERVER: .*\(TCP\)/);
      expect(await dig('+ignore', 'long.lab.test', 'TXT')).toMatch(/flags: qr aa tc rd/);
    },
  );

  test('our resolver asks dnsmasq', async () => {
    const text = Array.from({ length: 60 }, (_, i) => `line-${i}-${'x'.repeat(40)}`);
    const listen = ['198.18.0.1', 'fd00::1'].map((address) => `--listen-address=${address}`);
    const server = ns.spawn('dnsmasq', [
      ...['--keep-in-foreground', '--conf-file=/dev/null', '--no-resolv', '--no-hosts', '--user=root', '--pid-file='],
      ...['--bind-interfaces', ...listen, '--local=/mask.test/', '--log-facility=-'],
      '--host-record=host.mask.test,192.0.2.7,2001:db8::7',
      '--cname=www.mask.test,host.mask.test',
      '--mx-host=mask.test,mail.mask.test,7',
      `--txt-record=long.mask.test,${text.join(',')}`,
    ]);
    let log = '';
    server.process.stderr?.on('data', (data) => {
      log += data;
    });
    const ask = (address: string, type: string, name: string): Promise<unknown> =>
      ns.call('resolve', [address], type, name);
    try {
      await until('dnsmasq listens', () => log.includes('started'));
      for (const address of ['198.18.0.1', '[fd00::1]:53']) {
        expect(await ask(address, 'A', 'www.mask.test')).toEqual(['192.0.2.7']);
        expect(await ask(address, 'AAAA', 'host.mask.test')).toEqual(['2001:db8::7']);
        expect(await ask(address, 'MX', 'mask.test')).toEqual([{ exchange: 'mail.mask.test', priority: 7 }]);
        expect(await ask(address, 'TXT', 'long.mask.test')).toEqual([text]);
        await expect(ask(address, 'A', 'missing.mask.test')).rejects.toThrow('queryA ENOTFOUND missing.mask.test');
      }
    } finally {
      server.process.kill();
      await server.finished;
    }
  });

  test('nmap scans TCP and UDP, guesses at the system, and we are still there', async () => {
    const scan = (...args: string[]): Promise<Finished> =>
      ns.exec('nmap', ['-n', '-Pn', '--reason', ...args, '198.18.0.2']);
    const tcp = await scan('-sT', '-p', '7,9,80');
    expect(tcp.stdout).toMatch(/^7\/tcp +open +echo/m);
    expect(tcp.stdout).toMatch(/^9\/tcp +closed/m);
    const udp = await scan('-sU', '-p', '7,9');
    expect(udp.stdout).toMatch(/^7\/udp +open +echo/m);
    expect(udp.stdout).toMatch(/^9\/udp +closed +discard +port-unreach/m);
    const system = await scan('-O', '--max-os-tries', '1', '-p', '7,9');
    expect(system).toMatchObject({ code: 0 });
    expect(system.stdout).toMatch(/OS detection performed|OS details|No exact OS matches|Too many fingerprints/);
    expect((await ns.exec('ping', ['-n', '-c', '1', '-W', '5', '198.18.0.2'])).stdout).toContain('1 received');
  });
});
