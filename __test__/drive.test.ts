// Who drives a stack: the event loop while it keeps up, the packet thread when it does not, and the packet thread alone
// where that is asked for. Each way is forced, and the counters show that it was the one taken.

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { createStack, type Socket } from '../src/index';
import { describeTun, Namespace } from './support/netns';
import type { Holdings } from './support/process';
import { pair, portOf, readAll, until } from './support/stacks';

const MIB = 1 << 20;
const kernelClient = path.join(__dirname, 'support', 'kernel-client.mjs');

jest.setTimeout(120_000);

describeTun('a stack on a TUN', () => {
  let ns: Namespace;

  async function start(drive: string, busyPoll = 0): Promise<void> {
    ns = await Namespace.start('peer.ts', { drive, busyPoll });
  }

  afterEach(async () => {
    expect(await ns.stop()).toBe(0);
  });

  const stats = (): Promise<Record<string, number>> => ns.call<Record<string, number>>('stats');
  /** How often the kernel's retransmission timer (200 ms at least) ran out: nobody acknowledged what it had sent. */
  const timeouts = async (): Promise<number> => {
    const { stdout } = await ns.exec('cat', ['/proc/net/netstat']);
    const rows = stdout.split('\n').filter((line) => line.startsWith('TcpExt:'));
    const [names, values] = rows.map((line) => line.split(' '));
    return Number(values![names!.indexOf('TCPTimeouts')]);
  };

  test.each(['loop', 'thread'])('driven by the %s: many round trips and a whole file', async (drive) => {
    await start(drive);
    const pinged = await ns.exec(process.execPath, [kernelClient, 'ping', '198.18.0.2', '7', '300']);
    expect(pinged).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(pinged.stdout)).toEqual({ done: 300 });
    const input = Buffer.alloc(20 * MIB, 'usernet! ');
    const collected = await ns.exec('nc', ['-N', 'fd00::2', '9000'], { input });
    expect(collected.stdout).toBe(`${input.length} ${createHash('sha256').update(input).digest('hex')}\n`);
    const { loop_turns: turns, busy_polls: polls } = await stats();
    expect(polls).toBe(0);
    // Some of the round trips may be the packet thread's on a crowded machine, or all of them if asked to.
    if (drive === 'loop') expect(turns).toBeGreaterThan(100);
    else expect(turns).toBe(0);
  });

  test('a loop that polls busily for the longest time there is: the same, and everything else has its turn', async () => {
    await start('loop', 1000);
    // A call of ours comes through another descriptor of the same loop.
    const pinging = ns.exec(process.execPath, [kernelClient, 'ping', '198.18.0.2', '7', '3000']);
    let calls = 0;
    for (let done = false; !done; calls++) {
      await stats();
      done = await Promise.race([
        pinging.then(() => true),
        new Promise<boolean>((resolve) => setImmediate(resolve, false)),
      ]);
    }
    expect(calls).toBeGreaterThan(2);
    expect(JSON.parse((await pinging).stdout)).toEqual({ done: 3000 });
    const input = Buffer.alloc(20 * MIB, 'usernet! ');
    const collected = await ns.exec('nc', ['-N', 'fd00::2', '9000'], { input });
    expect(collected.stdout).toBe(`${input.length} ${createHash('sha256').update(input).digest('hex')}\n`);
    const { loop_turns: turns, busy_polls: polls } = await stats();
    expect(turns).toBeGreaterThan(1000);
    // It looks after each turn, unless it has something else to do at once.
    expect(polls).toBeGreaterThan(100);
  });

  test.each(['loop', 'thread'])('driven by the %s: a loop blocked for 5 s stalls no peer', async (drive) => {
    await start(drive);
    const size = 32 * MIB;
    const upload = ns.spawn('bash', ['-c', `head -c ${size} /dev/zero | nc -N 198.18.0.2 9000`]);
    // The transfer has begun when the loop blocks.
    await until('bytes arrive', async () => (await stats()).frames_in! > 5);
    const before = await stats();
    const [handled] = await ns.call<number[]>('block', 5000, 1);
    const after = await stats();
    if (drive === 'loop') expect(after.take_overs).toBeGreaterThan(before.take_overs!);
    // The window filled, and everything that fits into it was acknowledged by someone.
    expect(handled).toBeGreaterThan(0);
    const digest = createHash('sha256').update(Buffer.alloc(size)).digest('hex');
    expect((await upload.finished).stdout).toBe(`${size} ${digest}\n`);
    expect(await timeouts()).toBe(0);
    expect((await stats()).tcp_timeouts).toBe(0);
  });

  test('a busy loop delays nothing: in each turn of 100 ms the packet thread takes over', async () => {
    await start('loop');
    const client = ns.spawn(process.execPath, [kernelClient, 'trickle', '198.18.0.2', '9000', '1500']);
    const lines = createInterface({ input: client.process.stdout! })[Symbol.asyncIterator]();
    expect(JSON.parse((await lines.next()).value)).toEqual({ connected: true });
    const handled = await ns.call<number[]>('block', 100, 8);
    for (const frames of handled) expect(frames).toBeGreaterThan(0);
    const { answer, sent } = JSON.parse((await lines.next()).value);
    expect(answer).toBe(`${sent} ${createHash('sha256').update(Buffer.alloc(sent, 't')).digest('hex')}\n`);
    expect((await stats()).take_overs).toBeGreaterThan(0);
    // And back: the loop drives again.
    const { loop_turns: before } = await stats();
    await ns.exec(process.execPath, [kernelClient, 'ping', '198.18.0.2', '7', '100']);
    expect((await stats()).loop_turns).toBeGreaterThan(before!);
  });

  test('workers terminated while their loop drives leave nothing behind', async () => {
    await start('loop');
    await ns.call('terminateWorkers', 2);
    const before = await ns.call<Holdings>('holdings');
    await ns.call('terminateWorkers', 5);
    const after = await ns.call<Holdings>('holdings');
    expect([after.descriptors, after.threads]).toEqual([before.descriptors, before.threads]);
    expect((await ns.exec('ip', ['-brief', 'link'])).stdout).not.toContain('un2');
  });
});

describe.each(['loop', 'thread'] as const)('stacks on a link, driven by the %s', (drive) => {
  test('talk to one another', async () => {
    const stacks = await pair({ stack: { drive } });
    const listener = stacks.server.net.createServer((socket) => socket.pipe(socket)).listen(0, '198.18.0.2');
    const socket = stacks.client.net.connect(await portOf(listener), '198.18.0.2');
    const got = readAll(socket);
    const data = Buffer.alloc(3 * MIB, 'linked! ');
    socket.end(data);
    expect((await got).equals(data)).toBe(true);
    listener.close();
    const turns = stacks.server.stats().loop_turns;
    if (drive === 'loop') expect(turns).toBeGreaterThan(0);
    else expect(turns).toBe(0);
    await stacks.close();
  });

  test('what one turn answers to several sockets is sent together, and not held up by the rest of it', async () => {
    const stacks = await pair({ stack: { drive } });
    const servers: Socket[] = [];
    const listener = stacks.server.net.createServer((socket) => servers.push(socket)).listen(0, '198.18.0.2');
    const port = await portOf(listener);
    const clients = [stacks.client.net.connect(port, '198.18.0.2'), stacks.client.net.connect(port, '198.18.0.2')];
    await Promise.all(clients.map((socket) => once(socket, 'connect')));
    await until('both are accepted', () => servers.length === 2);
    const arrived = (): number => clients.reduce((sum, socket) => sum + socket.info()!.bytes_received, 0);
    let [expected, seen] = [0, -1];
    for (const [i, server] of servers.entries()) {
      server.on('data', (data) => {
        server.write(data);
        // Nothing of the event loop runs in here.
        for (const deadline = Date.now() + 10_000; i === 1 && arrived() < expected && Date.now() < deadline; );
        if (i === 1) seen = arrived();
      });
    }
    const gathered = (): number => stacks.server.stats().gathered!;
    // A turn that comes late on a crowded machine sends at once, so there is another then.
    do {
      expected += 8;
      // They wait in the link until the turn after this one.
      for (const socket of clients) socket.write('ping');
      await until('both are answered', () => seen >= expected);
      expect(seen).toBe(expected);
    } while (drive === 'loop' && gathered() === 0 && expected < 8000);
    if (drive === 'loop') expect(gathered()).toBeGreaterThan(0);
    else expect(gathered()).toBe(0);
    for (const socket of [...clients, ...servers]) socket.destroy();
    listener.close();
    await stacks.close();
  });

  test('answer one another while the thread they are on is blocked', async () => {
    const stacks = await pair({ stack: { drive } });
    const listener = stacks.server.net.createServer().listen(0, '198.18.0.2');
    const accepted = once(listener, 'connection');
    const socket = stacks.client.net.connect(await portOf(listener), '198.18.0.2');
    await once(socket, 'connect');
    const [server] = await accepted;
    const handled = (): number => stacks.server.stats().tcp_in_segs!;
    const [before, deadline] = [handled(), Date.now() + 10_000];
    socket.write('one byte and a few more');
    // Nothing of the event loop runs in here.
    while (handled() === before && Date.now() < deadline);
    expect(handled()).toBeGreaterThan(before);
    socket.destroy();
    server.destroy();
    listener.close();
    await stacks.close();
  });
});

test('an interface that is removed is polled no more, and another takes its place', async () => {
  const stacks = await pair({ stack: { drive: 'loop' } });
  const name = stacks.client.interfaces.find((entry) => entry.name !== 'lo')!.name;
  await stacks.client.removeInterface(name);
  expect(stacks.client.interfaces.map((entry) => entry.name)).toEqual(['lo']);
  await stacks.close();
});

test('what may drive is one of three', async () => {
  await expect(createStack({ drive: 'both' as 'auto' })).rejects.toMatchObject({ code: 'ERR_INVALID_ARG_VALUE' });
  await expect(createStack({ busyPoll: 1001 })).rejects.toMatchObject({ code: 'ERR_OUT_OF_RANGE' });
});

test.each([
  ['thread', undefined, 0],
  ['thread', 'loop', 1],
  ['loop', undefined, 1],
  ['elsewhere', undefined, 'ERR_INVALID_ARG_VALUE'],
])('USERNET_DRIVE=%s and drive: %s', async (preset, drive, expected) => {
  const program = `
    const { createLink, createStack } = require('./dist/index.js');
    const [left, right] = createLink();
    const make = (device, host) =>
      createStack({ drive: ${JSON.stringify(drive)}, interfaces: [{ device, addresses: ['198.18.0.' + host + '/24'] }] });
    Promise.all([make(left, 1), make(right, 2)]).then(([a, b]) => {
      b.net.createServer((socket) => socket.pipe(socket)).listen(7, () => {
        const socket = a.net.connect(7, '198.18.0.2');
        let left = 200;
        socket.on('data', () => {
          if (left-- > 0) socket.write('x');
          else {
            console.log(Math.min(1, b.stats().loop_turns));
            process.exit();
          }
        });
        socket.write('x');
      });
    }, (error) => console.log(JSON.stringify(error.code)));`;
  const child = spawn(process.execPath, ['-e', program], {
    cwd: path.join(__dirname, '..'),
    env: { ...process.env, USERNET_DRIVE: preset },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  expect(JSON.parse((await readAll(child.stdout)).toString())).toBe(expected);
});
