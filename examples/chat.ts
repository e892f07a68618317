// A two-way chat between two stacks in one process, over an in-process link: no privilege needed.
//   npx tsx examples/chat.ts

import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { createLink, createStack, type Socket, type Stack } from 'usernet';

/** Two stacks on the two ends of one link, on IPv4 and IPv6. */
export async function twoStacks(): Promise<[Stack, Stack]> {
  const [left, right] = createLink();
  return Promise.all([
    createStack({ interfaces: [{ device: left, addresses: ['198.18.0.1/24', 'fd00::1/64'] }] }),
    createStack({ interfaces: [{ device: right, addresses: ['198.18.0.2/24', 'fd00::2/64'] }] }),
  ]);
}

/** One person's end: what is typed goes to the other, what comes is shown. Resolves when the other has left. */
export async function chat(socket: Socket, typed: Readable, screen: Writable): Promise<void> {
  createInterface({ input: typed })
    .on('line', (line) => socket.write(`${line}\n`))
    .on('close', () => socket.end());
  for await (const line of createInterface({ input: socket })) screen.write(`${line}\n`);
}

/** Connects the two stacks, one calling, one answering: gives both sockets. */
export async function call(caller: Stack, answerer: Stack, host: string): Promise<[Socket, Socket]> {
  const server = answerer.net.createServer({ allowHalfOpen: true }).listen(2000);
  await once(server, 'listening');
  const answered = once(server, 'connection') as Promise<[Socket]>;
  const socket = caller.net.connect({ host, port: 2000, allowHalfOpen: true });
  await once(socket, 'connect');
  const [other] = await answered;
  server.close();
  return [socket, other];
}

async function main(): Promise<void> {
  const { PassThrough } = await import('node:stream');
  const [left, right] = await twoStacks();
  const [ada, bob] = await call(left, right, 'fd00::2');
  const [adaTypes, bobTypes, adaSees, bobSees] = Array.from({ length: 4 }, () => new PassThrough({ encoding: 'utf8' }));
  bobSees!.on('data', (line: string) => {
    process.stdout.write(`bob sees:  ${line}`);
    bobTypes!.end('I do, over TCP that no kernel knows of.\n');
  });
  adaSees!.on('data', (line: string) => {
    process.stdout.write(`ada sees:  ${line}`);
    adaTypes!.end();
  });
  adaTypes!.write('Bob, do you hear me?\n');
  await Promise.all([chat(ada, adaTypes!, adaSees!), chat(bob, bobTypes!, bobSees!)]);
  await Promise.all([left.close(), right.close()]);
}

if (require.main === module) void main();
