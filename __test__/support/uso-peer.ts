// The process in the namespace for tests of UDP segmentation offload: a stack on a TUN or TAP that sends each round of
// datagrams that came (see udp-peer.pl) back at once. 198.18.0.2 and fd00::2 are ours, 198.18.0.1 and fd00::1 the kernel's.

import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import {
  createStack,
  type DatagramSocket,
  packetSocket,
  type Stack,
  type Tap,
  type TapFrame,
  tap,
  tun,
} from '../../src/index';
import { serveCalls } from './rpc';

const PORT = 7;
let stack: Stack;
const problems: string[] = [];
let rounds = 0;

interface StartOptions {
  kind?: 'tun' | 'tap' | 'packet';
  drive?: 'loop' | 'thread';
  offload?: boolean;
  /** USERNET_USO. */
  uso?: string;
  capture?: string;
}

async function start(options: StartOptions = {}): Promise<void> {
  if (options.uso !== undefined) process.env.USERNET_USO = options.uso;
  execFileSync('ip', ['link', 'set', 'lo', 'up']);
  const offload = options.offload === undefined ? {} : { offload: options.offload };
  if (options.kind === 'packet') execFileSync('ip', ['link', 'add', 'un0', 'type', 'veth', 'peer', 'name', 'un1']);
  const device =
    options.kind === 'packet'
      ? packetSocket({ interface: 'un1' })
      : (options.kind === 'tap' ? tap : tun)({ name: 'un0', queueLength: 20_000, ...offload });
  if (options.kind === 'packet') execFileSync('ip', ['link', 'set', 'un1', 'up']);
  const capture = options.capture === undefined ? {} : { capture: options.capture };
  stack = await createStack({
    interfaces: [{ device, addresses: ['198.18.0.2/24', 'fd00::2/64'], ...capture }],
    ...(options.drive === undefined ? {} : { drive: options.drive }),
  });
  execFileSync('ip', ['address', 'add', '198.18.0.1/24', 'dev', 'un0']);
  execFileSync('ip', ['address', 'add', 'fd00::1/64', 'dev', 'un0', 'nodad']);
  execFileSync('ip', ['link', 'set', 'un0', 'up']);
  // An address of the kernel's that is new drops what comes for some milliseconds; and over a TAP, what waits in the kernel
  // until it knows our hardware address is overtaken by what comes behind.
  for (const host of ['198.18.0.1', 'fd00::1']) {
    while ((await stack.ping(host, { count: 1, timeout: 100 })).received === 0);
  }
  for (const [type, address] of [
    ['udp4', '198.18.0.2'],
    ['udp6', 'fd00::2'],
  ] as const) {
    const socket = stack.dgram.createSocket({ type, recvBufferSize: 4 << 20, sendBufferSize: 4 << 20 });
    echo(socket);
    socket.bind(PORT, address);
    await once(socket, 'listening');
  }
}

/** Sends a round back when its last datagram is there. */
function echo(socket: DatagramSocket): void {
  let round: Buffer[] = [];
  socket.on('error', (error: Error) => problems.push(error.message));
  socket.on('message', (message: Buffer, { address, port }: { address: string; port: number }) => {
    if (message.readUInt32BE(4) !== round.length)
      problems.push(`datagram ${message.readUInt32BE(4)} came as ${round.length}`);
    round.push(message);
    if (round.length < message.readUInt32BE(8)) return;
    rounds++;
    for (const each of round) {
      socket.send(each, port, address, (error: Error | null, bytes?: number) => {
        if (error !== null) problems.push(error.message);
        else if (bytes !== each.length) problems.push(`${bytes} of ${each.length} bytes sent`);
      });
    }
    round = [];
  });
}

/** What was counted, and what went wrong. */
function report(): Record<string, unknown> {
  const { udp_in_datagrams, udp_out_datagrams, udp_in_merged, udp_out_merged, frames_in, frames_out } =
    stack.stats() as unknown as Record<string, number>;
  return {
    rounds,
    problems,
    udp_in_datagrams,
    udp_out_datagrams,
    udp_in_merged,
    udp_out_merged,
    frames_in,
    frames_out,
  };
}

let seen: TapFrame[] = [];
let watching: Tap | undefined;

/** Watches the interface from here on. */
function watch(): void {
  seen = [];
  watching = stack.interfaces.find(({ name }) => name === 'un0')?.tap({ frames: 100_000, bytes: 64 << 20 });
  watching?.on('frame', (frame) => seen.push(frame));
}

/** The UDP packets that passed since: as single ones, in the order in which they came. */
async function watched(count: number): Promise<Buffer[]> {
  const udp = (): Buffer[] =>
    seen.map(({ data }) => data).filter((data) => (data[0]! >> 4 === 4 ? data[9] : data[6]) === 17);
  while (udp().length < count) await once(watching!, 'frame');
  watching?.close();
  return udp();
}

/** Opens a raw socket, which sees every packet, until it is closed again. */
function raw(): void {
  stack.raw({ protocol: 17 });
}

/** A socket that sends to the kernel's, bound. */
async function sender(): Promise<DatagramSocket> {
  const socket = stack.dgram.createSocket('udp4').bind(0, '198.18.0.2');
  await once(socket, 'listening');
  return socket;
}

/** Sends datagrams of these lengths in one tick; what each callback was told, in order. */
async function send(port: number, lengths: number[]): Promise<Array<string | number>> {
  const socket = await sender();
  const told: Array<string | number> = [];
  await new Promise<void>((resolve) => {
    for (const length of lengths) {
      // What is in it when `send` is called is what goes out.
      const data = Buffer.alloc(length, 'a');
      socket.send(data, port, '198.18.0.1', (error: NodeJS.ErrnoException | null, bytes?: number) => {
        told.push(error?.code ?? bytes ?? -1);
        if (told.length === lengths.length) resolve();
      });
      data.fill('b');
    }
    if (told.length > 0) problems.push('called back before send returned');
  });
  socket.close();
  return told;
}

/** Sends ten datagrams, and does not let go of the thread until a file is there; whether it ever was. */
async function sendAndBlock(port: number, file: string): Promise<boolean> {
  const socket = await sender();
  const word = new Int32Array(new SharedArrayBuffer(4));
  for (let i = 0; i < 10; i++) socket.send(Buffer.alloc(100 + i), port, '198.18.0.1');
  for (let i = 0; i < 2000 && !existsSync(file); i++) Atomics.wait(word, 0, 0, 10);
  socket.close();
  return existsSync(file);
}

/** Sends ten datagrams and ends the process there and then. */
async function sendAndExit(port: number): Promise<void> {
  const socket = await sender();
  for (let i = 0; i < 10; i++) socket.send(Buffer.alloc(100 + i), port, '198.18.0.1');
  process.exit(0);
}

const calls = { start, report, watch, watched, raw, send, sendAndBlock, sendAndExit };
serveCalls(calls, () => stack.close());
