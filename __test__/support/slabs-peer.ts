// The process in the namespace for tests of received memory: a stack on a TUN that keeps, drops, writes into and gives away
// what the kernel's sockets (in the same process) send it. IPv4 198.18.0.2 is ours, 198.18.0.1 the kernel's.

import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import kernel from 'node:net';
import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads';
import { createStack, type Server, type Socket, type Stack } from '../../src/index';
import { blocks } from './bytes';
import { serveCalls } from './rpc';
import { tun } from './tuns';

const MIB = 1 << 20;
let stack: Stack;
let server: Server;
/** Chunks that a test keeps, with what they held. */
let kept: Array<{ view: Buffer; copy: Buffer }> = [];

async function start(options: { drive?: 'loop' | 'thread'; external?: boolean } = {}): Promise<void> {
  if (options.external === false) process.env.USERNET_EXTERNAL_BUFFERS = 'never';
  execFileSync('ip', ['link', 'set', 'lo', 'up']);
  stack = await createStack({
    interfaces: [{ device: tun({ name: 'un0' }), addresses: ['198.18.0.2/24'] }],
    timeWait: 20,
    ...(options.drive === undefined ? {} : { drive: options.drive }),
  });
  execFileSync('ip', ['address', 'add', '198.18.0.1/24', 'dev', 'un0']);
  execFileSync('ip', ['link', 'set', 'un0', 'up']);
  server = stack.net.createServer().listen(9, '198.18.0.2');
  await once(server, 'listening');
}

const stop = (): Promise<void> => stack.close();

/** A connection: the kernel's end, and ours. One at a time. */
async function connect(): Promise<[client: kernel.Socket, socket: Socket]> {
  const client = kernel.connect(9, '198.18.0.2').setNoDelay(true);
  const [socket] = (await once(server, 'connection')) as [Socket];
  return [client, socket];
}

/** Garbage collections, and the turns of the loop in which finalisers run. */
async function collect(): Promise<void> {
  for (let i = 0; i < 4; i++) {
    gc!();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** How received bytes came to JavaScript so far. */
function received(): { copied: number; uncopied: number } {
  const { recv_bytes_copied, recv_bytes_uncopied } = stack.stats() as unknown as Record<string, number>;
  return { copied: recv_bytes_copied!, uncopied: recv_bytes_uncopied! };
}

/**
 * Sends `length` bytes of `seed` to the stack, and hands every chunk that comes to `take` after comparing it with what was
 * sent. Gives back how the bytes came.
 */
async function transfer(
  length: number,
  seed: number,
  take: (chunk: Buffer) => void = () => {},
  ends?: [client: kernel.Socket, socket: Socket],
): Promise<{ copied: number; uncopied: number }> {
  const before = received();
  const [client, socket] = ends ?? (await connect());
  let at = 0;
  const expected = blocks(length, seed);
  let block = Buffer.alloc(0);
  const compare = (chunk: Buffer): void => {
    for (let from = 0; from < chunk.length; ) {
      if (block.length === 0) block = expected.next().value!;
      const part = chunk.subarray(from, from + block.length);
      if (!block.subarray(0, part.length).equals(part))
        throw new Error(`wrong bytes behind ${at + from} of seed ${seed}`);
      from += part.length;
      block = block.subarray(part.length);
    }
    at += chunk.length;
  };
  socket.on('data', (chunk: Buffer) => {
    compare(chunk);
    take(chunk);
  });
  const ended = once(socket, 'end');
  for (const part of blocks(length, seed)) if (!client.write(part)) await once(client, 'drain');
  client.end();
  await ended;
  socket.end();
  await once(client.resume(), 'close');
  if (at !== length) throw new Error(`${at} of ${length} bytes came`);
  const after = received();
  return { copied: after.copied - before.copied, uncopied: after.uncopied - before.uncopied };
}

/** Fails when something that is kept is not what it was. */
function check(): number {
  for (const { view, copy } of kept) if (!view.equals(copy)) throw new Error('what was kept has changed');
  return kept.length;
}

const keep = (view: Buffer): number => kept.push({ view, copy: Buffer.from(view) });

/** Megabytes flow past views that are kept for a while, whole ones and a few bytes. */
async function retain(mebibytes: number): Promise<number> {
  let count = 0;
  let checked = 0;
  for (let round = 1; round * 32 <= mebibytes; round++) {
    await transfer(32 * MIB, round, (chunk) => {
      if (count++ % 23 !== 0) return;
      keep(count % 2 === 0 ? chunk : chunk.subarray(-10));
      if (kept.length > 40) kept.splice(0, 30);
    });
    if (round % 2 === 0) await collect();
    checked += check();
  }
  kept = [];
  return checked;
}

/** Everything is kept: what the first bytes and the last were copied or not, and how many large buffers are pinned. */
async function hoard(mebibytes: number): Promise<{ uncopied: number; copied: number; pinned: number; after: number }> {
  const how = await transfer(mebibytes * MIB, 5, keep);
  await collect();
  check();
  const pinned = new Set(kept.map(({ view }) => view.buffer).filter((buffer) => buffer.byteLength >= MIB)).size;
  kept = [];
  await collect();
  const { uncopied: after } = await transfer(16 * MIB, 6);
  return { ...how, pinned, after };
}

/** Two connections at once, whose receivers write into all that they get: neither sees what the other wrote. */
async function scribble(mebibytes: number): Promise<number> {
  const ends = [await connect(), await connect()];
  const before = received().uncopied;
  await Promise.all(ends.map((pair, seed) => transfer(mebibytes * MIB, seed + 1, (chunk) => chunk.fill(0xee), pair)));
  return received().uncopied - before;
}

/** What JavaScript got is posted away or detached where that is possible; how often it was. */
async function giveAway(): Promise<{ refused: number; detached: number }> {
  const { port1, port2 } = new MessageChannel();
  const given: Array<{ buffer: ArrayBuffer; offset: number; copy: Buffer }> = [];
  let [refused, detached] = [0, 0];
  for (let round = 1; round <= 12; round++) {
    let last: Buffer | null = null;
    await transfer(MIB, round, (chunk) => {
      last = chunk;
    });
    const view = last as unknown as Buffer;
    const [copy, offset] = [Buffer.from(view), view.byteOffset];
    const buffer = view.buffer as ArrayBuffer & { transfer?: () => ArrayBuffer };
    try {
      if (round % 2 === 0) {
        port1.postMessage(buffer, [buffer]);
        given.push({ buffer: receiveMessageOnPort(port2)!.message as ArrayBuffer, offset, copy });
        detached++;
      } else if (buffer.transfer !== undefined) {
        given.push({ buffer: buffer.transfer(), offset, copy });
        detached++;
      }
    } catch {
      refused++;
    }
    if (round % 4 === 0) await collect();
    for (const { buffer, offset, copy } of given) {
      if (!Buffer.from(buffer, offset, copy.length).equals(copy)) throw new Error('what was given away has changed');
    }
  }
  port1.close();
  return { refused, detached };
}

/** Views are kept while their stack is closed; how many. */
async function outlive(): Promise<number> {
  await transfer(4 * MIB, 9, keep);
  await stack.close();
  await collect();
  const count = check();
  kept = [];
  await collect();
  return count;
}

/** Messages of a few hundred bytes, of which all is kept: how many buffers they are in. */
async function whisper(): Promise<{ uncopied: number; bytes: number }> {
  const before = received();
  const [client, socket] = await connect();
  let got = 0;
  socket.on('data', (chunk: Buffer) => {
    got += chunk.length;
    keep(chunk);
    socket.write('k');
  });
  for (let i = 0; i < 300; i++) {
    client.write(Buffer.alloc(700, i));
    await once(client, 'data');
  }
  check();
  const pinned = new Set(kept.map(({ view }) => view.buffer));
  const bytes = [...pinned].reduce((sum, buffer) => sum + buffer.byteLength, 0);
  kept = [];
  client.destroy();
  socket.destroy();
  if (got !== 300 * 700) throw new Error(`${got} bytes came`);
  return { uncopied: received().uncopied - before.uncopied, bytes };
}

serveCalls(
  {
    start,
    stop,
    transfer: (mebibytes: number, seed: number) => transfer(mebibytes * MIB, seed),
    retain,
    hoard,
    scribble,
    giveAway,
    outlive,
    whisper,
  },
  stop,
);
