// The process in the namespace: a stack on a TUN, with the servers that the tests against the kernel's clients use.
// IPv4 198.18.0.2 and IPv6 fd00::2 are ours, 198.18.0.1 and fd00::1 the kernel's.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { pipeline } from 'node:stream';
import { Worker } from 'node:worker_threads';
import { createStack, type Socket, type Stack, type Tap } from '../../src/index';
import { byteStream, digestStream } from './bytes';
import { holdings } from './process';
import { serveCalls } from './rpc';
import { tun } from './tuns';

const HTTP = 80;
/** Echoes. */
const ECHO = 7;
/** Reads to the end, answers with length and digest, ends. */
const COLLECT = 9000;
/** Greets and ends at once, then goes on reading to the end. */
const GREETER = 9001;
/** Sends and leaves: more than the initial window, less than the send buffer. */
const LAST_WORDS = 9002;
const LAST_WORDS_LENGTH = 100_000;

let stack: Stack | null = null;
const seen = {
  requests: 0,
  /** Connections of the stack at the moment the last gate opened. */
  together: 0,
  errors: [] as string[],
  resets: [] as string[],
  greeted: [] as Array<{ length: number; sha256: string }>,
};
let barrier: Array<() => void> = [];

interface StartOptions {
  offload?: boolean;
  timeWait?: number;
  drive?: 'auto' | 'loop' | 'thread';
  busyPoll?: number;
}

async function start(options: StartOptions = {}): Promise<void> {
  execFileSync('ip', ['link', 'set', 'lo', 'up']);
  stack = await createStack({
    interfaces: [
      {
        device: tun({ name: 'un0', ...(options.offload === undefined ? {} : { offload: options.offload }) }),
        addresses: ['198.18.0.2/24', 'fd00::2/64'],
      },
    ],
    // Short, so that a test can wait until the connection table is empty.
    timeWait: options.timeWait ?? 500,
    drive: options.drive ?? 'auto',
    busyPoll: options.busyPoll ?? 0,
  });
  execFileSync('ip', ['address', 'add', '198.18.0.1/24', 'dev', 'un0']);
  execFileSync('ip', ['address', 'add', 'fd00::1/64', 'dev', 'un0', 'nodad']);
  execFileSync('ip', ['link', 'set', 'un0', 'up']);
  await serveHttp(stack);
  await listen(stack, ECHO, (socket) => pipeline(socket, socket, note));
  await listen(stack, COLLECT, (socket) => {
    digestStream(socket).then(({ length, sha256 }) => socket.end(`${length} ${sha256}\n`), note);
  });
  await listen(stack, GREETER, (socket) => {
    socket.end('hello\n');
    digestStream(socket).then((got) => seen.greeted.push(got), note);
  });
}

/** Remembers an error by its code. */
function note(error: Error | null | undefined): void {
  if (error != null) seen.errors.push((error as NodeJS.ErrnoException).code ?? error.message);
}

function listen(on: Stack, port: number, handler: (socket: Socket) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const server = on.net.createServer({ allowHalfOpen: true }, (socket: Socket) => {
      socket.on('error', () => {});
      handler(socket);
    });
    server.once('error', reject);
    server.listen(port, () => resolve());
  });
}

/**
 * GET /bytes/<length>/<seed> sends these bytes; /gate/<n>/<length>/<seed> does so once n such requests wait; PUT
 * answers with length and digest of what came.
 */
function serveHttp(on: Stack): Promise<void> {
  const server = http.createServer((request, response) => {
    seen.requests++;
    const [kind, ...rest] = (request.url ?? '/').slice(1).split('/');
    if (request.method === 'PUT') {
      digestStream(request).then(({ length, sha256 }) => response.end(`${length} ${sha256}\n`), note);
      return;
    }
    const send = (length: number, seed: number): void => {
      response.writeHead(200, { 'content-length': length });
      pipeline(byteStream(length, seed), response, note);
    };
    if (kind === 'bytes') {
      send(Number(rest[0]), Number(rest[1]));
    } else if (kind === 'gate') {
      barrier.push(() => send(Number(rest[1]), Number(rest[2])));
      if (barrier.length < Number(rest[0])) return;
      seen.together = on.stats().connections;
      for (const open of barrier.splice(0)) open();
    } else {
      response.writeHead(404).end();
    }
  });
  server.headersTimeout = 0;
  server.requestTimeout = 0;
  return listen(on, HTTP, (socket) => {
    socket.on('error', (error) => seen.resets.push((error as NodeJS.ErrnoException).code ?? error.message));
    server.emit('connection', socket);
  });
}

/** Opens and closes `count` stacks on a TUN, un1: theirs, or, much faster, one that stays. */
async function cycle(count: number): Promise<void> {
  for (let round = 0; round < count; round++) {
    const other = await createStack({
      interfaces: [{ device: tun({ name: 'un1' }), addresses: ['198.18.1.2/24', 'fd00:1::2/64'] }],
    });
    const server = other.net.createServer();
    await new Promise<void>((resolve) => server.listen(80, resolve));
    await other.close();
  }
}

/** Deletes the interface of a stack under it; what the stack has to say, and whether its name is free again. */
async function loseDevice(): Promise<{ near: string; far: string; again: string[] }> {
  const device = tun({ name: 'un2' });
  const other = await createStack({ interfaces: [{ device, addresses: ['198.18.2.2/24'] }] });
  execFileSync('ip', ['link', 'delete', 'un2']);
  while (other.stats().devices_lost === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  const attempt = (host: string): Promise<string> =>
    new Promise((resolve) => {
      const socket = other.net.connect({ host, port: 9 });
      socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    });
  const near = await attempt('127.0.0.1');
  const far = await attempt('198.18.2.1');
  await other.removeInterface('un2');
  const { addresses } = await other.addInterface({ device, addresses: ['198.18.2.2/24'] });
  await other.close();
  return { near, far, again: [...addresses] };
}

/** Ends this process with live sockets: by `process.exit()`, by an error, or with the last bytes just handed over. */
function leave(how: 'exit' | 'throw' | 'last words'): void {
  if (how === 'last words') {
    void listen(stack as Stack, LAST_WORDS, (socket) => {
      socket.once('data', () => {
        socket.end(Buffer.alloc(LAST_WORDS_LENGTH, 'z'));
        process.exit(3);
      });
    });
  } else {
    setImmediate(() => {
      if (how === 'exit') process.exit(3);
      throw new Error('on purpose');
    });
  }
}

/** Frames that were handled while this thread did nothing else, `slices` times for `ms` each. */
async function block(ms: number, slices: number): Promise<number[]> {
  const handled: number[] = [];
  for (let slice = 0; slice < slices; slice++) {
    const { frames_in: before } = stack!.stats();
    for (const end = Date.now() + ms; Date.now() < end; );
    handled.push(stack!.stats().frames_in! - before!);
    await new Promise((resolve) => setImmediate(resolve));
  }
  return handled;
}

/**
 * Starts `count` workers, one after the other, each with a stack on a TUN of its own that echoes to a kernel client, and
 * terminates each in the middle of that.
 */
async function terminateWorkers(count: number): Promise<void> {
  for (let round = 0; round < count; round++) {
    const worker = new Worker(path.join(__dirname, 'drive-worker.cjs'));
    await once(worker, 'message');
    execFileSync('ip', ['address', 'add', '198.18.2.1/24', 'dev', 'un2']);
    const socket = net.connect({ host: '198.18.2.2', port: 7 });
    socket.on('error', () => {});
    const chunk = Buffer.alloc(65_536, 'w');
    const fill = (): void => {
      while (socket.write(chunk));
    };
    socket.on('connect', fill).on('drain', fill);
    for (let got = 0; got < 1 << 20; ) got += ((await once(socket, 'data')) as [Buffer])[0].length;
    await worker.terminate();
    socket.destroy();
  }
}

/** Fetches from a kernel server at 198.18.0.1 or fd00::1 with our client: length and digest of all that it sends. */
async function fetchFrom(host: string, port: number): Promise<{ length: number; sha256: string }> {
  const socket = stack!.net.connect({ host, port });
  socket.end('send\n');
  return digestStream(socket);
}

/** The error code that a connect ends with. */
function connectError(host: string, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = stack!.net.connect({ host, port });
    socket.once('connect', () => reject(new Error('it connected')));
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });
}

/** Watches what goes through the interface, from here on. */
let watching: { tap: Tap; frames: number; longest: number } | null = null;

function watch(): void {
  const tap = stack!.interfaces.find(({ name }) => name === 'un0')!.tap({ snapLength: 1 });
  const seen = { tap, frames: 0, longest: 0 };
  tap.on('frame', ({ direction, length }) => {
    if (direction !== 'out') return;
    seen.frames++;
    seen.longest = Math.max(seen.longest, length);
  });
  watching = seen;
}

/** Ends that: how many frames went out that it saw, and the length of the longest, bytes. */
function watched(): { frames: number; longest: number } {
  const { tap, frames, longest } = watching!;
  tap.close();
  return { frames, longest };
}

async function stop(): Promise<void> {
  barrier = [];
  await stack?.close();
  stack = null;
}

serveCalls(
  {
    start,
    stop,
    cycle,
    leave,
    loseDevice,
    block,
    terminateWorkers,
    fetchFrom,
    connectError,
    watch,
    watched,
    holdings,
    seen: () => ({ ...seen }),
    forget: () => {
      seen.requests = 0;
      seen.together = 0;
      seen.errors = [];
      seen.resets = [];
      seen.greeted = [];
    },
    waiting: () => barrier.length,
    stats: () => stack!.stats(),
    digest: (text: string) => createHash('sha256').update(text).digest('hex'),
  },
  stop,
);
