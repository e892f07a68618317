// Every kind of device with every layer: capture, impairment, taps. TUN and TAP changed at run time, lost and inherited.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { InterfaceEvent, PingStatistics } from '../src/index';
import { FREE_KINDS, type Kind, pinged, readCapture, type Seen, SYSTEM_KINDS } from './support/devices';
import { describeTun, Namespace } from './support/netns';
import { until } from './support/stacks';

jest.setTimeout(60_000);

const folder = mkdtempSync(path.join(tmpdir(), 'usernet-devices-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

type Pinged = (kind: Kind, folder: string, options: Parameters<typeof pinged>[2]) => Promise<Seen>;

/** What holds for each kind of device, whoever has to make it. */
function layers(kind: Kind, run: () => Pinged): void {
  const once = { count: 1, size: 1000, timeout: 10_000 };

  test.each(['198.18.0.1', 'fd00::1'])('what passes to %s is captured and tapped', async (to) => {
    const capture = path.join(folder, `${kind} ${to.length}.pcapng`);
    const seen = await run()(kind, folder, { ...once, to, capture, count: 3 });
    expect(seen.received).toBe(3);
    const { linkType, packets } = readCapture(capture);
    const ethernet = !['link ip', 'port ip', 'tun'].includes(kind);
    // LINKTYPE_ETHERNET, LINKTYPE_RAW.
    expect(linkType).toBe(ethernet ? 1 : 101);
    const length = (ethernet ? 14 : 0) + (to.includes(':') ? 40 : 20) + 8 + 1000;
    const those = packets.filter(({ data }) => data.length === length).map(({ direction }) => direction);
    expect(those.sort()).toEqual(['in', 'in', 'in', 'out', 'out', 'out']);
    expect(seen.tapped.filter((text) => text === `out ${length}`)).toHaveLength(3);
    expect(seen.tapped.filter((text) => text === `in ${length}`)).toHaveLength(3);
  });

  test('each direction has the delay, and the rate', async () => {
    const delayed = await run()(kind, folder, { ...once, to: '198.18.0.1', impairment: { delay: 30 } });
    expect(delayed).toMatchObject({ received: 1 });
    expect(delayed.min).toBeGreaterThanOrEqual(59);
    // 1,000 bytes and more at 160 kbit/s: 50 ms each way.
    const slow = await run()(kind, folder, { ...once, to: 'fd00::1', impairment: { rate: 160_000 } });
    expect(slow).toMatchObject({ received: 1 });
    expect(slow.min).toBeGreaterThanOrEqual(99);
  });

  test('what is lost is lost, and neither captured as received nor answered', async () => {
    const capture = path.join(folder, `${kind} lost.pcapng`);
    const options = { ...once, to: '198.18.0.1', timeout: 50, capture, impairment: { loss: 1 } };
    expect(await run()(kind, folder, options)).toMatchObject({ received: 0 });
    expect(readCapture(capture).packets.filter(({ direction }) => direction === 'in')).toEqual([]);
  });
}

describe.each(FREE_KINDS)('%s', (kind) => layers(kind, () => pinged));

describeTun('devices of the system', () => {
  let ns: Namespace;
  const inNamespace: Pinged = (...args) => ns.call<Seen>('pinged', ...args);
  beforeAll(async () => {
    ns = await Namespace.start('devices-peer.ts');
  });
  afterAll(async () => {
    expect(await ns.stop()).toBe(0);
  });

  describe.each(SYSTEM_KINDS)('%s', (kind) => layers(kind, () => inNamespace));

  describe.each(['tun', 'tap'] as const)('a %s at run time', (kind) => {
    const events = async (wanted: number): Promise<InterfaceEvent[]> => {
      const all: InterfaceEvent[] = [];
      await until(`${wanted} events`, async () => {
        all.push(...(await ns.call<InterfaceEvent[]>('events')).filter(({ type }) => !type.startsWith('address')));
        return all.length >= wanted;
      });
      return all;
    };
    beforeAll(async () => {
      await ns.call('open', kind);
    });

    test('has the MTU it is given, for us and for the kernel', async () => {
      const whole = { count: 1, size: 1372, dontFragment: true, timeout: 5000 };
      expect(await ns.call('interface')).toMatchObject({ mtu: 1500, up: true });
      await ns.call('setMtu', 1400);
      expect(await ns.call('interface')).toMatchObject({ mtu: 1400 });
      expect(await ns.call('link')).toContain('mtu 1400');
      expect(await ns.call<PingStatistics>('ping', '198.18.0.1', whole)).toMatchObject({ received: 1 });
      await expect(ns.call('ping', '198.18.0.1', { ...whole, size: 1373 })).rejects.toThrow('EMSGSIZE');
      // The kernel's packets, too, and longer ones than before.
      await ns.call('setMtu', 4000);
      expect(await ns.call('link')).toContain('mtu 4000');
      for (const host of ['198.18.0.2', 'fd00::2']) {
        const got = await ns.exec('ping', ['-c', '2', '-i', '0.2', '-W', '5', '-M', 'do', '-s', '3900', host]);
        expect(got.stdout).toContain('2 received, 0% packet loss');
      }
      await expect(ns.call('setMtu', 1279)).rejects.toThrow(/EINVAL.*at least 1280/);
      await expect(ns.call('setMtu', 100)).rejects.toThrow('ERR_OUT_OF_RANGE');
      expect(await ns.call('interface')).toMatchObject({ mtu: 4000 });
      await ns.call('setMtu', 1500);
    });

    test('goes down and comes up, and says so', async () => {
      const ping = (host: string) => ns.call<PingStatistics>('ping', host, { count: 1, timeout: 3000 });
      expect(await ping('198.18.0.1')).toMatchObject({ received: 1 });
      await ns.call('setDown');
      await ns.call('setDown');
      expect(await ns.call('interface')).toMatchObject({ up: false });
      expect(await ns.call('link')).not.toMatch(/[<,]UP[,>]/);
      await expect(ping('198.18.0.1')).rejects.toThrow('ENETUNREACH');
      await ns.call('setUp');
      expect(await ns.call('link')).toMatch(/[<,]UP[,>]/);
      await until('the kernel answers', async () => (await ping('198.18.0.1')).received === 1);
      expect((await ns.exec('ping', ['-c', '1', '-W', '5', '198.18.0.2'])).stdout).toContain('1 received');
      expect(await events(2)).toEqual([
        { type: 'down', interface: 'd0' },
        { type: 'up', interface: 'd0' },
      ]);
    });

    test('taken down and up by somebody else, it is told of and followed', async () => {
      await ns.call('setLink', 'down');
      expect(await events(1)).toEqual([{ type: 'down', interface: 'd0' }]);
      expect(await ns.call('interface')).toMatchObject({ up: false });
      await expect(ns.call('ping', '198.18.0.1', { count: 1, timeout: 9 })).rejects.toThrow('ENETUNREACH');
      await ns.call('setLink', 'up');
      expect(await events(1)).toEqual([{ type: 'up', interface: 'd0' }]);
      expect(await ns.call('interface')).toMatchObject({ up: true });
      const ping = () => ns.call<PingStatistics>('ping', '198.18.0.1', { count: 1, timeout: 3000 });
      await until('the kernel answers', async () => (await ping()).received === 1);
    });

    test('deleted by somebody else it is lost: an event, a counter, and its name is free', async () => {
      await ns.call('delete');
      // The kernel takes it down before it deletes it, which may be seen, or not.
      let last: InterfaceEvent | undefined;
      while (last?.type !== 'lost') last = (await events(1)).at(-1);
      expect(last).toEqual({ type: 'lost', interface: 'd0' });
      expect(await ns.call('interface')).toBeUndefined();
      await ns.call('tunAgain');
      expect(await ns.call('interface')).toMatchObject({ up: true, addresses: ['198.18.0.2/24'] });
    });
  });

  test.each(['tun', 'tap'] as const)('an address belongs to its %s alone (the strong host model)', async (kind) => {
    await ns.call('open', kind);
    await ns.call('second', kind);
    for (const [address, far] of [
      ['198.18.5.2', '198.18.0.1'],
      ['fd00:5::2', 'fd00::1'],
    ] as const) {
      const ping = () => ns.exec('ping', ['-c', '1', '-W', '1', address]);
      expect((await ping()).stdout).toContain('1 received');
      const dropped = async () => (await ns.call<{ ip_in_addr_errors: number }>('stats')).ip_in_addr_errors;
      const before = await dropped();
      await ns.call('lead', address, 'd0');
      expect((await ping()).stdout).toContain('0 received');
      expect(await dropped()).toBeGreaterThan(before);
      await ns.call('lead', address, 'd1');
      expect((await ping()).stdout).toContain('1 received');
      // The other way round: d1 knows no way to what is on d0's link.
      expect(await ns.call('sendFrom', address, far)).toBe('ENETUNREACH');
      expect(await ns.call('sendFrom', address, address.replace(/2$/, '1'))).toBe('sent');
    }
  });

  test('an address that the kernel has already is given up, and told of', async () => {
    await ns.call('open', 'tap');
    await ns.call('addAddress', '198.18.0.1/24');
    const all: InterfaceEvent[] = [];
    await until('it is given up', async () => {
      all.push(...(await ns.call<InterfaceEvent[]>('events')));
      return all.some(({ type }) => type === 'address-duplicate');
    });
    const of = all.filter((event) => 'address' in event && event.address === '198.18.0.1');
    expect(of).toMatchObject([
      { type: 'address-added', interface: 'd0', state: 'optimistic' },
      { type: 'address-duplicate', interface: 'd0', state: 'duplicate' },
    ]);
    expect(await ns.call('interface')).toMatchObject({ addresses: expect.not.arrayContaining(['198.18.0.1/24']) });
    await ns.call('close');
  });

  test.each(['tun', 'tap'])(
    'a child in another namespace serves on the descriptor of a %s it was given',
    async (kind) => {
      const capture = path.join(folder, `inherited ${kind}.pcapng`);
      const name = kind === 'tun' ? 'given0' : 'given1';
      const script = (file: string): string => path.join(__dirname, 'support', file);
      const child = [process.execPath, '--import', 'tsx', script('inherited.ts'), kind, capture];
      const parent = ns.spawn('perl', [script('inherit.pl'), kind, name, ...child]);
      let out = '';
      parent.process.stdout?.on('data', (text) => {
        out += text;
      });
      await until('the child listens', () => out.includes('ready'), 30_000);
      // What the interface is like is for whoever opened it to say.
      expect(out).toContain('ENOTSUP,ENOTSUP');
      for (const host of ['198.18.0.2', '[fd00::2]']) {
        const got = await ns.exec('curl', ['-sS', '--max-time', '20', `http://${host}/hello`]);
        expect(got.stdout.length).toBe(`${kind} /hello`.length * 20_000);
        expect(got.stdout === `${kind} /hello`.repeat(20_000)).toBe(true);
      }
      await ns.exec('curl', ['-sS', '--max-time', '20', 'http://198.18.0.2/end']);
      expect(await parent.finished).toMatchObject({ code: 0 });
      expect(readCapture(capture).linkType).toBe(kind === 'tun' ? 101 : 1);
      expect(readCapture(capture).packets.length).toBeGreaterThan(20);
      // With the last descriptor the interface is gone.
      expect((await ns.exec('ip', ['link', 'show', name])).code).not.toBe(0);
    },
  );
});
