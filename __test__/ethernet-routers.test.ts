// Routers and switches of others on an Ethernet link: radvd, whose prefix we form addresses in, and a Linux bridge that
// listens to what we tell multicast routers.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describeTun, Namespace } from './support/netns';
import { until } from './support/stacks';

jest.setTimeout(60_000);

const folder = mkdtempSync(path.join(tmpdir(), 'usernet-routers-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Addressed {
  name: string;
  addresses: string[];
}

/** Runs a program that has to succeed; gives what it printed. */
async function run(namespace: Namespace, program: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await namespace.exec(program, args);
  expect({ program, args, code, stderr }).toEqual({ program, args, code: 0, stderr: '' });
  return stdout;
}

describeTun('radvd', () => {
  test('its prefix becomes an address, and its host our default router', async () => {
    const namespace = await Namespace.start('ethernet-peer.ts', {
      device: 'tap',
      addresses: [],
      // A router advertises itself from its link-local address. The kernel is to have that before radvd looks.
      kernelAddresses: ['fe80::1/64', '2001:db8:7::1/64'],
      slaac: true,
    });
    try {
      await run(namespace, 'sh', '-c', 'echo 1 > /proc/sys/net/ipv6/conf/all/forwarding');
      await run(namespace, 'ip', 'address', 'add', '2001:db8:8::1/64', 'dev', 'lo', 'nodad');
      const file = path.join(folder, 'radvd.conf');
      writeFileSync(
        file,
        `interface tap0 {
           AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4; AdvLinkMTU 1400; AdvCurHopLimit 33;
           prefix 2001:db8:7::/64 { AdvOnLink on; AdvAutonomous on; };
         };`,
      );
      const radvd = namespace.spawn('radvd', [
        ...['--nodaemon', '--config', file, '--logmethod', 'stderr', '--pidfile', path.join(folder, 'radvd.pid')],
      ]);
      const ours = async (): Promise<string | undefined> => {
        const all = await namespace.call<Addressed[]>('interfaces');
        const { addresses } = all.find(({ name }) => name === 'tap0') as Addressed;
        return addresses.find((address) => address.startsWith('2001:db8:7:'))?.split('/')[0];
      };
      await until('an address is formed', async () => (await ours()) !== undefined, 30_000);
      const address = (await ours()) as string;
      // Beyond the link, by the router that advertised itself.
      const ping = await namespace.call<{ received: number }>('ping', '2001:db8:8::1', { count: 2, interval: 50 });
      expect(ping.received).toBe(2);
      expect(await namespace.call('neighbors')).toContainEqual(
        expect.objectContaining({ address: 'fe80::1', router: true }),
      );
      const back = await run(namespace, 'ping', '-6', '-n', '-c', '2', '-i', '0.2', '-W', '5', address);
      expect(back).toContain('2 received');
      // The hop limit that it was told.
      expect(back).toContain('ttl=33');
      radvd.process.kill();
      await radvd.finished;
    } finally {
      await namespace.stop();
    }
  });
});

describeTun('a stack that is a router', () => {
  test('rdisc6 hears it, the kernel forms an address of its prefix and reaches what is behind it', async () => {
    const namespace = await Namespace.start('ethernet-peer.ts', {
      device: 'tap',
      addresses: ['2001:db8:7::1/64'],
      kernelAddresses: ['fe80::1/64'],
      router: true,
    });
    try {
      const seen = await run(namespace, 'rdisc6', '-1', '-r', '5', '-w', '4000', 'tap0');
      expect(seen).toMatch(/Hop limit +: +64/);
      expect(seen).toMatch(/Router lifetime +: +1800/);
      expect(seen).toMatch(/Prefix +: 2001:db8:7::\/64/);
      expect(seen).toMatch(/MTU +: +1500/);
      expect(seen).toMatch(/Source link-layer address: 02:00:00:00:00:02/);
      const shown = (...what: string[]): Promise<string> => run(namespace, 'ip', '-6', ...what, 'dev', 'tap0');
      await until('the kernel has an address', async () =>
        /inet6 2001:db8:7:[^ ]+ scope global(?! tentative).* mngtmpaddr/.test(await shown('address', 'show')),
      );
      expect(await shown('route', 'show', 'default')).toMatch(/default via fe80::\S+ proto ra .*expires/);
      const ping = await run(namespace, 'ping', '-6', '-n', '-c', '1', '-W', '5', '2001:db8:7::1');
      expect(ping).toContain('1 received');
      await namespace.call('stop');
    } finally {
      await namespace.stop();
    }
  });
});

describeTun('a Linux bridge that snoops', () => {
  let namespace: Namespace;
  beforeAll(async () => {
    namespace = await Namespace.start('ethernet-peer.ts', { device: 'tap', kernelAddresses: [] });
    const bridge = [
      'mcast_snooping',
      '1',
      'mcast_igmp_version',
      '3',
      'mcast_mld_version',
      '2',
      'mcast_querier',
      '1',
      'mcast_last_member_interval',
      '10',
    ];
    await run(namespace, 'ip', 'link', 'add', 'br0', 'type', 'bridge', ...bridge);
    await run(namespace, 'ip', 'link', 'set', 'tap0', 'master', 'br0');
    await run(namespace, 'ip', 'link', 'set', 'br0', 'up');
  });
  afterAll(() => namespace.stop());

  interface Entry {
    grp: string;
    src?: string;
    port: string;
    filter_mode?: string;
    source_list?: Array<{ address: string }>;
  }

  test.each([
    ['IGMPv3', 'udp4', '232.1.2.3', '198.18.0.7', '198.18.0.8'],
    ['MLDv2', 'udp6', 'ff3e::8000:1', 'fd00::7', 'fd00::8'],
  ] as const)('%s: it knows which sources of a group are heard', async (name, type, group, a, b) => {
    /** `include a,b`, `exclude`, or null where the group is not wanted. */
    const known = async (): Promise<string | null> => {
      const [{ mdb }] = JSON.parse(await run(namespace, 'bridge', '-j', '-d', 'mdb', 'show'));
      const entry = (mdb as Entry[]).find(
        ({ grp, src, port }) => grp === group && src === undefined && port === 'tap0',
      );
      if (entry === undefined) return null;
      const sources = (entry.source_list ?? []).map(({ address }) => address).sort();
      return [entry.filter_mode, sources.join()].filter((part) => part !== '').join(' ');
    };
    const becomes = (wanted: string | null): Promise<void> =>
      until(`${name}: ${wanted}`, async () => (await known()) === wanted);
    await namespace.call('member', name, type);
    await namespace.call('member', `${name} too`, type);
    await namespace.call('join', name, group, a);
    await becomes(`include ${a}`);
    await namespace.call('join', name, group, b);
    await becomes(`include ${a},${b}`);
    await namespace.call('leave', name, group, a);
    await becomes(`include ${b}`);
    await namespace.call('join', `${name} too`, group);
    await until('everybody is heard', async () => (await known())?.startsWith('exclude') === true);
    await namespace.call('leave', `${name} too`, group);
    await becomes(`include ${b}`);
    await namespace.call('leave', name, group, b);
    await becomes(null);
  });
});
