// What is beside TCP against the kernel's own programs over TUNs: what layers-suite.ts has, a proxy for any address, DNS.

import { families, layers } from './support/layers-suite';
import { describeTun, type Namespace } from './support/netns';
import { until } from './support/stacks';

jest.setTimeout(120_000);

describeTun('the layers beside TCP and the kernel over TUNs', () => {
  const namespace = layers('tun');
  let ns: Namespace;

  beforeAll(() => {
    ns = namespace();
  });

  test.each(families)(
    "%s: curl to an address that is nobody's is carried; what is not allowed is refused",
    async (name) => {
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
    },
  );

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
});
