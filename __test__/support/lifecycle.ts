// A process that opens and closes stacks, alone and in worker threads, and prints what it still holds afterwards, JSON.
//   cycles <count>    opens and closes that many stacks, each with a connection in flight, after half as many to warm up
//   workers <count>   starts that many workers that open a stack, and terminates them all at once
//   exit              leaves with live sockets, by process.exit
//   end               leaves with live but unreferenced sockets, by having nothing more to do

import { once } from 'node:events';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { createLink, createStack } from '../../src/index';
import { holdings, settled } from './process';

const [mode, count = '0'] = process.argv.slice(2);

/** One stack with a live connection over loopback, and a second one over a link. */
async function openAndClose(): Promise<void> {
  const [left, right] = createLink();
  const stack = await createStack({ interfaces: [{ device: left, addresses: ['198.18.0.1/24', 'fd00::1/64'] }] });
  const other = await createStack({ interfaces: [{ device: right, addresses: ['198.18.0.2/24', 'fd00::2/64'] }] });
  const server = other.net.createServer((socket) => {
    socket.on('error', () => {});
    socket.write('hello');
  });
  server.listen(80);
  const socket = stack.net.connect({ host: 'fd00::2', port: 80 });
  socket.on('error', () => {});
  await once(socket, 'data');
  // Closed in the middle of things: nobody said goodbye.
  await Promise.all([stack.close(), other.close()]);
}

async function cycles(): Promise<void> {
  // The C library's arenas, one for a few threads each, take some hundreds of threads to get their size.
  for (let warm = 0; warm < Number(count) / 2; warm++) await openAndClose();
  await settled();
  const before = holdings();
  for (let round = 0; round < Number(count); round++) await openAndClose();
  await settled();
  print(before);
}

async function workers(): Promise<void> {
  const script = path.join(__dirname, 'lifecycle-worker.cjs');
  // Without this process's tsx, whose own descriptors are left behind by workers that are terminated.
  const batch = async (stage: 'at once' | 'when open'): Promise<void> => {
    const all = Array.from({ length: Number(count) }, () => new Worker(script, { execArgv: [] }));
    await Promise.all(all.map((worker) => once(worker, stage === 'at once' ? 'online' : 'message')));
    await Promise.all(all.map((worker) => worker.terminate()));
  };
  await batch('when open');
  const before = holdings();
  await batch('at once');
  await batch('when open');
  await batch('at once');
  print(before);
}

async function liveSockets(): Promise<void> {
  const stack = await createStack();
  const server = stack.net.createServer((socket) => {
    socket.on('error', () => {});
    socket.write('hello');
    socket.unref();
  });
  server.listen(80);
  const socket = stack.net.connect({ host: '127.0.0.1', port: 80 });
  await once(socket, 'data');
  print(holdings());
  if (mode === 'exit') process.exit(0);
  server.unref();
  socket.unref();
}

function print(before: ReturnType<typeof holdings>): void {
  process.stdout.write(`${JSON.stringify({ before, after: holdings() })}\n`);
}

void { cycles, workers, exit: liveSockets, end: liveSockets }[mode as 'cycles']();
