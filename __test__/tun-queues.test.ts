// A stack on a TUN with several queues, each with a shard of its own: nothing is to be seen of that but in the counters.

import { tap, tun } from '../src/index';
import { describeTun, Namespace } from './support/netns';

jest.setTimeout(60_000);

const numbers = (count: number): string[] => Array.from({ length: count }, (_, n) => `${n}`);
const all = <T>(count: number, value: T): T[] => new Array<T>(count).fill(value);

test('how many queues there can be, and of what, is checked at once', () => {
  const refused = (code: string, message: RegExp): object =>
    expect.objectContaining({ code, message: expect.stringMatching(message) as string });
  for (const queues of [0, 65, 1.5, Number.NaN]) {
    expect(() => tun({ queues })).toThrow(refused('ERR_OUT_OF_RANGE', /"options\.queues".*Received/) as Error);
  }
  expect(() => tun({ queues: '2' as never })).toThrow(refused('ERR_INVALID_ARG_TYPE', /"options\.queues"/) as Error);
  const value = 'ERR_INVALID_ARG_VALUE';
  expect(() => tun({ queues: 2, fd: 5 })).toThrow(refused(value, /'fd'/) as Error);
  expect(() => tun({ queues: 2, impairment: { loss: 0.1 } })).toThrow(refused(value, /'impairment'/) as Error);
  expect(() => tap({ queues: 2 })).toThrow(refused(value, /tun\(\)/) as Error);
  expect(tun({ queues: 64 })).toEqual({ kind: 'tun', queues: 64 });
  expect(tap({ queues: 1 })).toEqual({ kind: 'tap', queues: 1 });
});

describeTun('a stack on a TUN with several queues', () => {
  let ns: Namespace;

  beforeAll(async () => {
    ns = await Namespace.start('queues-peer.ts');
  });

  afterAll(async () => {
    expect(await ns.stop()).toBe(0);
  });

  describe.each([
    [1, 'auto'],
    [2, 'loop'],
    [4, 'thread'],
    [4, 'auto'],
  ] as const)('%i, driven by: %s', (queues, drive) => {
    beforeAll(() => ns.call('open', queues, { failConnectOnSoftError: true, ttl: 1, drive }));

    test('every byte of many connections arrives, both ways', async () => {
      expect(await ns.call('both', 32)).toEqual([]);
      const stats = await ns.call<Record<string, number>>('stats');
      // A kernel's SYN comes out of any queue; what follows comes where we answered.
      expect((stats.queue_handed_over as number) > 0).toBe(queues > 1);
      expect(stats.queue_dropped).toBe(0);
      expect((stats.tcp_passive_opens as number) + (stats.tcp_active_opens as number)).toBe(64);
      expect(stats.listeners).toBe(0);
    });

    test('datagrams and pings in fragments reach their sockets', async () => {
      expect(await ns.call('datagrams', 20)).toBe(20);
      expect(await ns.call('ping')).toBe(2);
      const { code } = await ns.exec('ping', ['-c', '3', '-i', '0.05', '-s', '5000', '198.18.0.2']);
      expect(code).toBe(0);
    });

    test('resets and errors of routers reach the connections that they are about', async () => {
      expect(await ns.call('errors')).toEqual({
        ours: all(8, 'ECONNREFUSED'),
        theirs: all(8, 'ECONNREFUSED'),
        router: all(16, 'EHOSTUNREACH'),
      });
    });

    test('a raw socket sees the packets of every connection', async () => {
      expect(await ns.call('raw', 24)).toEqual({ seen: 24, drops: 0 });
    });

    test('flows of every queue are asked about', async () => {
      const { asked, answers, refused } = await ns.call<Record<string, string[]>>('flows', 12);
      expect(answers).toEqual(numbers(12));
      expect(refused).toEqual(all(12, 'ECONNREFUSED'));
      expect(asked).toEqual([...all(12, 'tcp q0 77'), ...all(12, 'tcp q0 78')]);
    });

    test('addresses, MTU and link change for all', async () => {
      expect(await ns.call('changes', 12)).toEqual({
        added: [numbers(12), numbers(12)],
        sizes: all(12, 1400 - 40 - 12),
        down: all(12, 'ENETUNREACH'),
        up: numbers(12),
        again: numbers(12),
        events: ['address-added', 'address-removed', 'down', 'up', 'down', 'up'],
      });
    });

    test('thousands of connections end with the stack', async () => {
      const { ends, interfaces } = await ns.call<Record<string, unknown>>('closeUnderLoad', 1000);
      expect(interfaces).toBe(false);
      expect((ends as string[]).filter((code) => code !== 'ECONNRESET' && code !== 'EPIPE')).toEqual([]);
    });
  });

  test('a port whose last connection is in TIME-WAIT is drawn late', async () => {
    await ns.call('open', 2, { timeWait: 60_000 });
    // Of 28,232 ports some of these are drawn twice: the odds against that are 10^15 to 1.
    expect(await ns.call('waiting', 1500)).toBe(1500);
  });

  test('queues come with an interface that is added late, and go with it', async () => {
    expect(await ns.call('late', 4, 12)).toEqual({
      first: numbers(12),
      second: numbers(12),
      left: numbers(12),
      back: numbers(12),
      interfaces: ['lo', 'q1', 'q0'],
    });
  });

  test('a worker with several is terminated under load', async () => {
    expect(await ns.call('terminate', 12)).toEqual(numbers(12));
  });

  test('an interface that was made with one queue is refused, with the remedy', async () => {
    expect(await ns.call('refusals')).toEqual({
      one: expect.stringMatching(/^EINVAL: .*'one0'.*multi_queue/),
      // Nor is anything left of one for which there are no descriptors.
      few: expect.stringMatching(/^EAGAIN: .*ulimit -n/),
      more: 0,
      name: 'zz0',
      there: true,
    });
  });
});
