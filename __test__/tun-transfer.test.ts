// A stack on a TUN against the kernel's own clients: whole files, many at once, half-closes, clients that stall or die.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { bytes, digestOf, digestStream } from './support/bytes';
import { describeTun, Namespace } from './support/netns';
import type { Holdings } from './support/process';
import { until } from './support/stacks';

const GIB = 1 << 30;
const MIB = 1 << 20;
const families = [
  ['IPv4', '198.18.0.2', '198.18.0.1'],
  ['IPv6', '[fd00::2]', 'fd00::1'],
] as const;
const kernelClient = path.join(__dirname, 'support', 'kernel-client.mjs');

interface Seen {
  requests: number;
  /** Connections of the stack at the moment the last gate opened. */
  together: number;
  /** Codes that answers in flight ended with. */
  errors: string[];
  /** Codes that sockets emitted. */
  resets: string[];
  greeted: Array<{ length: number; sha256: string }>;
}

/** A folder for one test's downloads. */
function temporary(): string {
  return mkdtempSync(path.join(tmpdir(), 'usernet-tun-'));
}

function fileDigest(file: string): Promise<{ length: number; sha256: string }> {
  return digestStream(createReadStream(file, { highWaterMark: MIB }));
}

jest.setTimeout(240_000);

describeTun('a stack on a TUN and the kernel', () => {
  let ns: Namespace;

  beforeAll(async () => {
    ns = await Namespace.start();
  });

  afterAll(async () => {
    expect(await ns.stop()).toBe(0);
  });

  beforeEach(() => ns.call('forget'));

  const seen = (): Promise<Seen> => ns.call<Seen>('seen');
  const connections = async (): Promise<number> => (await ns.call<Record<string, number>>('stats')).connections ?? -1;
  const holdings = (): Promise<Holdings> => ns.call<Holdings>('holdings');

  test.each(families)('curl fetches 1 GiB over %s with equal SHA-256', async (_family, host) => {
    const got = await ns.exec('bash', ['-o', 'pipefail', '-c', `curl -sS http://${host}/bytes/${GIB}/3 | sha256sum`]);
    expect(got).toMatchObject({ code: 0, stderr: '' });
    expect(got.stdout.split(' ')[0]).toBe(digestOf(GIB, 3));
    expect((await seen()).errors).toEqual([]);
  });

  test.each(families)('curl uploads 1 GiB over %s with equal SHA-256', async (_family, host) => {
    // A stream cipher over zeros: a gibibyte that nobody keeps, different in every block.
    const source = `head -c ${GIB} /dev/zero | openssl enc -aes-128-ctr -K 00112233445566778899aabbccddeeff -iv 00`;
    const command = `${source} 2>/dev/null | tee >(sha256sum >&2) | curl -sS -T - http://${host}/`;
    const got = await ns.exec('bash', ['-o', 'pipefail', '-c', command]);
    expect(got.code).toBe(0);
    const sent = got.stderr.split(' ')[0];
    expect(sent).toMatch(/^[0-9a-f]{64}$/);
    expect(got.stdout).toBe(`${GIB} ${sent}\n`);
  });

  test.each(families)('200 downloads at once over %s, every one whole', async (_family, host) => {
    const folder = temporary();
    try {
      const size = 300_000;
      // The gate opens when all 200 requests wait at it: 200 connections are established at the same time.
      const url = `http://${host.replace('[', '\\[').replace(']', '\\]')}/gate/200/${size}/[1-200]`;
      const args = [
        '-sS',
        '--no-progress-meter',
        '-Z',
        '--parallel-immediate',
        '--parallel-max',
        '200',
        url,
        '-o',
        path.join(folder, '#1'),
      ];
      expect(await ns.exec('curl', args)).toMatchObject({ code: 0, stderr: '' });
      expect((await seen()).together).toBeGreaterThanOrEqual(200);
      for (let seed = 1; seed <= 200; seed++) {
        expect(await fileDigest(path.join(folder, String(seed)))).toEqual({
          length: size,
          sha256: digestOf(size, seed),
        });
      }
      expect((await seen()).errors).toEqual([]);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test('what is seen of an interface is packets, though the kernel takes longer segments', async () => {
    await ns.call('watch');
    const got = await ns.exec('bash', ['-c', `curl -sS http://198.18.0.2/bytes/${64 * MIB}/8 | sha256sum`]);
    expect(got.stdout.split(' ')[0]).toBe(digestOf(64 * MIB, 8));
    const { frames, longest } = await ns.call<{ frames: number; longest: number }>('watched');
    expect(frames).toBeGreaterThan(0);
    expect(longest).toBeGreaterThan(1500);
    expect(longest).toBeLessThanOrEqual(65_535);
  });

  describe('half-close', () => {
    const data = bytes(3 * MIB, 11);
    const answer = `${data.length} ${createHash('sha256').update(data).digest('hex')}\n`;

    test.each(families)('nc -N over %s ends its side and gets the answer', async (_family, host) => {
      const got = await ns.exec('nc', ['-N', host.replace(/[[\]]/g, ''), '9000'], { input: data });
      expect(got).toEqual({ code: 0, signal: null, stdout: answer, stderr: '' });
    });

    test.each(families)('socat over %s ends its side and gets the answer', async (_family, host) => {
      const got = await ns.exec('socat', ['-t', '30', '-', `TCP:${host}:9000`], { input: data });
      expect(got).toEqual({ code: 0, signal: null, stdout: answer, stderr: '' });
    });

    test.each(families)('the stack ends its side first over %s and still reads all', async (_family, host) => {
      const args = [kernelClient, 'listen-to-fin', host.replace(/[[\]]/g, ''), '9001'];
      const got = await ns.exec(process.execPath, args);
      expect(got.stderr).toBe('');
      expect(JSON.parse(got.stdout)).toEqual({ greeting: 'hello\n', sent: 100_000 });
      await until('the peer read to the end', async () => (await seen()).greeted.length === 1);
      expect((await seen()).greeted[0]?.length).toBe(100_000);
    });
  });

  test.each(families)('our client and a kernel server over %s', async (_family, _host, kernel) => {
    const server = ns.spawn(process.execPath, [kernelClient, 'serve', kernel, String(5 * MIB)]);
    const lines = createInterface({ input: server.process.stdout! })[Symbol.asyncIterator]();
    const { port } = JSON.parse((await lines.next()).value);
    const got = await ns.call<{ length: number; sha256: string }>('fetchFrom', kernel, port);
    const { request, sha256 } = JSON.parse((await lines.next()).value);
    expect(request).toBe('send\n');
    expect(got).toEqual({ length: 5 * MIB, sha256 });
    expect((await server.finished).code).toBe(0);
  });

  test.each(families)('a port nobody listens on refuses, both ways round, over %s', async (_family, host, kernel) => {
    const curl = await ns.exec('curl', ['-sS', `http://${host}:4242/`]);
    expect(curl.code).toBe(7);
    expect(curl.stderr).toMatch(/refused|Failed to connect/);
    expect(await ns.call('connectError', kernel, 4242)).toBe('ECONNREFUSED');
  });

  test('a client that stops reading for 10 s costs no memory and stalls nobody, then gets everything', async () => {
    const size = 64 * MIB;
    const before = await holdings();
    const slow = ns.spawn(process.execPath, [kernelClient, 'pause', '198.18.0.2', '80', `/bytes/${size}/5`, '10000']);
    const lines = createInterface({ input: slow.process.stdout! })[Symbol.asyncIterator]();
    expect(JSON.parse((await lines.next()).value)).toEqual({ paused: true });
    const other = await ns.exec('bash', ['-c', `curl -sS http://198.18.0.2/bytes/${32 * MIB}/6 | sha256sum`]);
    expect(other.stdout.split(' ')[0]).toBe(digestOf(32 * MIB, 6));
    const during = await holdings();
    expect(during.rss - before.rss).toBeLessThan(64 * MIB);
    expect(JSON.parse((await lines.next()).value)).toEqual({ length: size, sha256: digestOf(size, 5) });
    expect((await slow.finished).code).toBe(0);
  });

  test('a client killed in the middle is reset, and 100 others go on', async () => {
    const folder = temporary();
    try {
      const size = 2 * MIB;
      const url = `http://198.18.0.2/gate/101/${size}/[1-100]`;
      const limits = ['--parallel-immediate', '--parallel-max', '100', '--limit-rate', '1M'];
      const others = ns.spawn('curl', [
        '-sS',
        '--no-progress-meter',
        '-Z',
        ...limits,
        url,
        '-o',
        path.join(folder, '#1'),
      ]);
      await until('100 requests wait', async () => (await seen()).requests === 100, 60_000);
      // It stops reading after the first bytes, so that there is unread data when it is killed: the kernel sends RST.
      const args = [kernelClient, 'pause', '198.18.0.2', '80', `/gate/101/${64 * MIB}/5`, '100000'];
      const victim = ns.spawn(process.execPath, args);
      await once(victim.process.stdout!, 'data');
      victim.process.kill('SIGKILL');
      expect((await victim.finished).signal).toBe('SIGKILL');
      await until('the reset is seen', async () => (await seen()).resets.length > 0);
      expect(others.process.exitCode).toBe(null);
      expect(await others.finished).toMatchObject({ code: 0, stderr: '' });
      for (let seed = 1; seed <= 100; seed++) {
        expect(await fileDigest(path.join(folder, String(seed)))).toEqual({
          length: size,
          sha256: digestOf(size, seed),
        });
      }
      expect((await seen()).resets).toEqual(['ECONNRESET']);
      expect((await seen()).errors).toHaveLength(1);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test('afterwards nothing is left over: no connection, descriptor, thread or memory', async () => {
    const round = async (): Promise<void> => {
      const url = `http://198.18.0.2/bytes/${MIB}/[1-200]`;
      const got = await ns.exec('curl', [
        '-sS',
        '--no-progress-meter',
        '-Z',
        '--parallel-max',
        '100',
        url,
        '-o',
        '/dev/null',
      ]);
      expect(got.code).toBe(0);
      await until('the connection table is empty', async () => (await connections()) === 0, 30_000);
    };
    await round();
    const before = await holdings();
    // What was needed at a time stays with the allocator, the more the more was on its way at once; it is a leak if it goes
    // on growing. Three rounds are 600 MiB: a leak of a few percent would show.
    const rss = [before.rss];
    const growth = (): number => rss.at(-1)! - rss.at(-4)!;
    do {
      await round();
      rss.push((await holdings()).rss);
    } while (rss.length < 4 || (rss.length < 16 && growth() >= 16 * MIB));
    expect(growth()).toBeLessThan(16 * MIB);
    const after = await holdings();
    expect(after.descriptors).toBe(before.descriptors);
    expect(after.threads).toBe(before.threads);
  });

  test('stacks are opened and closed on a TUN, again and again', async () => {
    await ns.call('cycle', 5);
    const before = await holdings();
    await ns.call('cycle', 50);
    const links = await ns.exec('ip', ['-brief', 'link']);
    expect(links.stdout).not.toContain('un1');
    // What takes the time is the kernel, removing the interface: on one that stays, a thousand are a matter of a second.
    const several = Number(process.env.USERNET_QUEUES ?? 1) > 1 ? ['multi_queue'] : [];
    await ns.exec('ip', ['tuntap', 'add', 'dev', 'un1', 'mode', 'tun', ...several]);
    await ns.call('cycle', 1000);
    const after = await holdings();
    expect(after.descriptors).toBeLessThanOrEqual(before.descriptors);
    expect(after.threads).toBeLessThanOrEqual(before.threads);
  });
});

describeTun('an interface that is deleted under the stack', () => {
  test('is counted, costs the others nothing, and makes room for another', async () => {
    const ns = await Namespace.start();
    expect(await ns.call('loseDevice')).toEqual({
      near: 'ECONNREFUSED',
      far: 'ENETUNREACH',
      again: ['198.18.2.2/24'],
    });
    expect(await ns.stop()).toBe(0);
  });
});

describeTun('a process that ends with live sockets', () => {
  let ns: Namespace;

  beforeEach(async () => {
    ns = await Namespace.start();
  });

  afterEach(() => ns.stop());

  /** A kernel client that has been answered, and its lines of JSON. */
  async function client(host: string, port: number): Promise<{ first: Promise<void>; last: Promise<unknown> }> {
    const running = ns.spawn(process.execPath, [kernelClient, 'to-the-end', host, String(port)]);
    const last = running.finished.then(({ stdout, stderr }) => {
      expect(stderr).toBe('');
      return JSON.parse(stdout.trim().split('\n').at(-1) as string) as unknown;
    });
    return { first: once(running.process.stdout as NodeJS.ReadableStream, 'data').then(() => {}), last };
  }

  // Node runs no cleanup hook of its main thread then.
  test.each(['exit', 'throw'])('tells the kernel its peers are gone: %s', async (how) => {
    const clients = await Promise.all(['198.18.0.2', 'fd00::2'].map((host) => client(host, 7)));
    await Promise.all(clients.map(({ first }) => first));
    await ns.call('leave', how).catch(() => {});
    for (const { last } of clients) expect(await last).toEqual({ how: 'end', length: 5 });
  });

  test('still sends what it had handed over', async () => {
    await ns.call('leave', 'last words');
    const { last } = await client('fd00::2', 9002);
    expect(await last).toEqual({ how: 'end', length: 100_000 });
  });
});

test('the tests against the kernel have what they need where this is CI', () => {
  if (process.env.CI !== 'true' || process.platform !== 'linux') return;
  for (const program of ['curl', 'nc', 'socat', 'ip', 'nsenter', 'openssl', 'bash']) {
    expect([program, spawnSync('sh', ['-c', `command -v ${program}`]).status]).toEqual([program, 0]);
  }
});
