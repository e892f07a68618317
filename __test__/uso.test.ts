// UDP segmentation offload against the kernel's sockets: datagrams that are sent in one call (UDP_SEGMENT) come to the stack
// in one frame, and go out in one (which UDP_GRO shows). Every byte is compared on both sides, and counters tell which way
// was taken.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describeTun, Namespace } from './support/netns';

const ADDRESSES = ['198.18.0.2', 'fd00::2'];
const PERL = path.join(__dirname, 'support/udp-peer.pl');

interface Report {
  rounds: number;
  problems: string[];
  udp_in_datagrams: number;
  udp_out_datagrams: number;
  udp_in_merged: number;
  udp_out_merged: number;
  frames_in: number;
  frames_out: number;
}

interface Exchange {
  size?: number;
  count?: number;
  last?: number;
  rounds?: number;
  segment?: boolean;
  gro?: boolean;
}

jest.setTimeout(120_000);

describeTun('UDP segmentation offload', () => {
  let ns: Namespace;
  let directory: string;

  beforeEach(() => {
    directory = mkdtempSync(path.join(os.tmpdir(), 'usernet-uso-'));
  });

  const start = async (options: object = {}): Promise<void> => {
    ns = await Namespace.start('uso-peer.ts', options);
  };

  afterEach(async () => {
    expect(await ns.stop()).toBe(0);
    rmSync(directory, { recursive: true });
  });

  /** Rounds of datagrams there and back; how many calls the kernel's side received them in, and the largest. */
  const exchange = async (address: string, how: Exchange = {}): Promise<[received: number, largest: number]> => {
    const { size = 1200, count = 40, last = 500, rounds = 5, segment = true, gro = false } = how;
    const args = [PERL, address, 7, size, count, last, rounds, segment ? 1 : 0, gro ? 1 : 0].map(String);
    const { code, stdout, stderr } = await ns.exec('perl', args);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    return stdout.trim().split(' ').map(Number) as [number, number];
  };

  const report = async (): Promise<Report> => {
    const counted = await ns.call<Report>('report');
    expect(counted.problems).toEqual([]);
    return counted;
  };

  test.each([
    ['tun', 'loop'],
    ['tun', 'thread'],
    ['tap', 'loop'],
    ['packet', 'loop'],
  ])('what the kernel sends in one call comes in one frame (%s, driven by the %s)', async (kind, drive) => {
    await start({ kind, drive });
    for (const address of ADDRESSES) {
      const before = await report();
      await exchange(address);
      const after = await report();
      expect(after.rounds - before.rounds).toBe(5);
      expect(after.udp_in_datagrams - before.udp_in_datagrams).toBe(200);
      expect(after.udp_in_merged - before.udp_in_merged).toBe(5 * 39);
    }
  });

  test.each([
    ['tun', true],
    ['tun', false],
    ['tap', true],
  ])('what is sent in one tick goes out in few frames (%s, UDP_GRO: %s)', async (kind, gro) => {
    await start({ kind });
    for (const address of ADDRESSES) {
      const before = await report();
      const [received, largest] = await exchange(address, { rounds: 20, segment: false, gro });
      const after = await report();
      expect(after.udp_out_datagrams - before.udp_out_datagrams).toBe(800);
      expect(after.udp_out_merged - before.udp_out_merged).toBeGreaterThan(20);
      expect(after.udp_in_merged - before.udp_in_merged).toBe(0);
      if (gro) {
        expect(received).toBeLessThan(790);
        expect(largest).toBeGreaterThan(1200);
      } else {
        expect([received, largest]).toEqual([800, 1200]);
      }
    }
  });

  test('and alone where no loop drives that could have it wait', async () => {
    await start({ drive: 'thread' });
    expect(await exchange('198.18.0.2', { segment: false, gro: true })).toEqual([200, 1200]);
    expect((await report()).udp_out_merged).toBe(0);
  });

  /** Receives datagrams on a kernel socket; the name of the file that is made then, and what was printed. */
  const sink = async (count: number): Promise<{ file: string; lengths: () => Promise<number[]> }> => {
    const file = path.join(directory, 'done');
    const args = [path.join(__dirname, 'support/udp-sink.pl'), '198.18.0.1', '9', String(count), file];
    const { process: child, finished } = ns.spawn('perl', args);
    await new Promise((resolve) => child.stdout?.once('data', resolve));
    const lengths = async (): Promise<number[]> => {
      const { stdout, stderr } = await finished;
      expect(stderr).toBe('');
      return (stdout.split('\n')[1] ?? '').split(' ').map(Number);
    };
    return { file, lengths };
  };

  test('each send hears what became of its own datagram', async () => {
    await start();
    const sizes = [100, 100, 65_508, 100, 99, 0, 3000, 100, 65_507, 100];
    const { lengths } = await sink(9);
    expect(await ns.call('send', 9, sizes)).toEqual(sizes.map((size) => (size === 65_508 ? 'EMSGSIZE' : size)));
    expect(await lengths()).toEqual(sizes.filter((size) => size !== 65_508));
    await report();
  });

  test('what waits goes out although the tick does not end, or the process does', async () => {
    await start();
    const expected = Array.from({ length: 10 }, (_, i) => 100 + i);
    let { file, lengths } = await sink(10);
    expect(await ns.call('sendAndBlock', 9, file)).toBe(true);
    expect(await lengths()).toEqual(expected);
    rmSync(file);
    ({ file, lengths } = await sink(10));
    await expect(ns.call('sendAndExit', 9)).rejects.toThrow(/ended with 0/);
    expect(await lengths()).toEqual(expected);
  });

  test.each([{ uso: 'never' }, { offload: false }])('and in as many as there are without it (%j)', async (options) => {
    await start(options);
    for (const address of ADDRESSES) expect((await exchange(address))[0]).toBe(200);
    const { udp_in_datagrams, udp_in_merged, udp_out_merged } = await report();
    expect({ udp_in_datagrams, udp_in_merged, udp_out_merged }).toEqual({
      udp_in_datagrams: 400,
      udp_in_merged: 0,
      udp_out_merged: 0,
    });
  });

  test('a raw socket sees single packets', async () => {
    await start();
    await ns.call('raw');
    await exchange('198.18.0.2');
    expect(await report()).toMatchObject({ udp_in_datagrams: 200, udp_in_merged: 0 });
  });

  test('taps and captures see single packets with their own lengths and identifications', async () => {
    const capture = path.join(directory, 'un0.pcapng');
    await start({ capture });
    for (const address of ADDRESSES) {
      await ns.call('watch');
      await exchange(address, { rounds: 1 });
      const packets = (await ns.call<Uint8Array[]>('watched', 80)).map((data) => Buffer.from(data));
      expect(packets.length).toBe(80);
      const header = address.includes(':') ? 40 : 20;
      for (const [i, packet] of packets.entries()) {
        const data = i % 40 === 39 ? 500 : 1200;
        expect(packet.length).toBe(header + 8 + data);
        expect(packet.readUInt16BE(header + 4)).toBe(8 + data);
        if (header === 20) expect(packet.readUInt16BE(2)).toBe(packet.length);
        expect(packet.readUInt32BE(header + 12)).toBe(i % 40);
      }
    }
    expect((await report()).udp_in_merged).toBeGreaterThan(0);
    // As long as nothing is longer than a packet, all of them are whole.
    expect(await ns.stop()).toBe(0);
    const lengths = captured(readFileSync(capture));
    expect(lengths.filter((length) => length === 1228 || length === 1248).length).toBe(2 * 78);
    expect(Math.max(...lengths)).toBeLessThanOrEqual(1500);
  });
});

/** Lengths of the packets in a pcapng file: the fifth number of its enhanced packet blocks. */
function captured(file: Buffer): number[] {
  const lengths: number[] = [];
  for (let at = 0; at < file.length; at += file.readUInt32LE(at + 4)) {
    if (file.readUInt32LE(at) === 6) lengths.push(file.readUInt32LE(at + 24));
  }
  return lengths;
}
