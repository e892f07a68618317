// Received bytes that are not copied: JavaScript sees the memory that the device was read into. Whatever it keeps, writes
// into or gives away, bytes stay right, and the memory comes back. Each way that bytes can come is forced here, and the
// counters show that it was the one taken.

import { describeTun, Namespace } from './support/netns';

const MIB = 1 << 20;
type How = { copied: number; uncopied: number };

jest.setTimeout(120_000);

describeTun('received bytes of a stack on a TUN', () => {
  let ns: Namespace;

  const start = async (options: object = {}): Promise<void> => {
    ns = await Namespace.start('slabs-peer.ts', options);
  };

  afterEach(async () => {
    expect(await ns.stop()).toBe(0);
  });

  test.each(['loop', 'thread'])('are not copied when they come in large pieces (driven by the %s)', async (drive) => {
    await start({ drive });
    const how = await ns.call<How>('transfer', 64, 3);
    expect(how.copied + how.uncopied).toBe(64 * MIB);
    expect(how.uncopied).toBeGreaterThan(16 * MIB);
  });

  test('are copied where external buffers are forbidden', async () => {
    await start({ external: false });
    expect(await ns.call<How>('transfer', 32, 3)).toEqual({ copied: 32 * MIB, uncopied: 0 });
    expect(await ns.call<How>('hoard', 16)).toMatchObject({ uncopied: 0, pinned: 0, after: 0 });
  });

  test('stay what they were while they are kept, in whole or in part', async () => {
    await start();
    expect(await ns.call<number>('retain', 256)).toBeGreaterThan(20);
  });

  test('are copied once JavaScript keeps too much, and no longer when it let go', async () => {
    await start();
    const { copied, uncopied, pinned, after } = await ns.call<How & Record<string, number>>('hoard', 96);
    expect(copied + uncopied).toBe(96 * MIB);
    expect(uncopied).toBeGreaterThan(0);
    expect(copied).toBeGreaterThanOrEqual(56 * MIB);
    expect(pinned).toBeLessThanOrEqual(40);
    expect(after).toBeGreaterThan(0);
  });

  test('are their receiver’s to write into', async () => {
    await start();
    expect(await ns.call<number>('scribble', 48)).toBeGreaterThan(0);
  });

  test('may be given away or detached', async () => {
    await start();
    const { refused, detached } = await ns.call<Record<string, number>>('giveAway');
    expect(refused! + detached!).toBeGreaterThanOrEqual(6);
  });

  test('outlive their stack', async () => {
    await start();
    expect(await ns.call<number>('outlive')).toBeGreaterThan(0);
  });

  test('of small messages are copied, so that what is kept keeps little', async () => {
    await start();
    const { uncopied, bytes } = await ns.call<Record<string, number>>('whisper');
    expect(uncopied).toBe(0);
    expect(bytes).toBeLessThan(2 * MIB);
  });
});
