// An echo server, and a client that sends lines and gets them back.
//   npx tsx examples/echo.ts                      server and clients in one process, over loopback
//   npx tsx examples/echo.ts --tun un0            a server on a TUN: nc 198.18.0.2 7

import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { pipeline } from 'node:stream/promises';
import type { Server, Socket } from 'usernet';
import { type Net, setUp } from './support';

/**
 * Echoes whatever each client sends. A client that stops reading stops being read: the pipe holds no more than the
 * socket's two buffers, and the rest waits at the client, behind a closed TCP window.
 */
export function echoServer(net: Net): Server {
  return net.createServer({ allowHalfOpen: true }, (socket: Socket) => {
    pipeline(socket, socket).catch((error: Error) => console.error(`echo: ${error.message}`));
  });
}

/** Sends the lines one after the other without waiting, and returns what comes back, in order. */
export async function echoClient(net: Net, port: number, host: string, lines: Iterable<string>): Promise<string[]> {
  const socket = net.connect({ port, host });
  const answers: string[] = [];
  const reading = (async () => {
    for await (const line of createInterface({ input: socket })) answers.push(line);
  })();
  await once(socket, 'connect');
  for (const line of lines) {
    // `write` says false when the send queue is full: wait for room.
    if (!socket.write(`${line}\n`)) await once(socket, 'drain');
  }
  socket.end();
  await reading;
  return answers;
}

async function main(): Promise<void> {
  const { stack, address } = await setUp();
  const server = echoServer(stack.net).listen(7);
  if (address !== null) {
    console.log(`echoing on ${address} port 7`);
    return;
  }
  const clients = ['ada', 'bob', 'eve'].map(async (name) => {
    const lines = await echoClient(stack.net, 7, '127.0.0.1', [`${name} says hello`, `${name} says bye`]);
    console.log(lines.join('; '));
  });
  await Promise.all(clients);
  server.close();
  await stack.close();
}

if (require.main === module) void main();
