// 10,000 connections, each opened, used and closed through fastify on a stack: none lost, nothing left.
import { once } from 'node:events';
import type { Server } from 'node:http';
import v8 from 'node:v8';
import vm from 'node:vm';
import fastify from 'fastify';
import { createLink, createStack, type Stack } from '../src/index';
import { kReactor } from '../src/stack';
import { holdings } from './support/process';
import { readAll, until } from './support/stacks';

const CONNECTIONS = 10_000;
const TOGETHER = 100;
const MIB = 1 << 20;

v8.setFlagsFromString('--expose-gc');
globalThis.gc ??= vm.runInNewContext('gc') as NodeJS.GCFunction;

/** One connection with one request of its own. Resolves to the body of the answer. */
async function ask(stack: Stack, port: number, path: string): Promise<string> {
  const socket = stack.net.connect({ host: '198.18.0.2', port });
  socket.write(`GET ${path} HTTP/1.1\r\nHost: server\r\nConnection: close\r\n\r\n`);
  const [head, body] = String(await readAll(socket)).split('\r\n\r\n') as [string, string];
  if (!head.startsWith('HTTP/1.1 200')) throw new Error(head);
  if (!socket.closed) await once(socket, 'close');
  return body;
}

test(`${CONNECTIONS} connections through fastify: none lost, no listener, no memory left`, async () => {
  const [left, right] = createLink();
  // TIME-WAIT is short, so that all of them can be seen to go.
  const client = await createStack({ timeWait: 10, interfaces: [{ device: left, addresses: ['198.18.0.1/24'] }] });
  const server = await createStack({ timeWait: 10, interfaces: [{ device: right, addresses: ['198.18.0.2/24'] }] });
  let http: Server | undefined;
  const app = fastify({
    serverFactory: (handler) => {
      http = server.http.createServer(handler);
      return http;
    },
  });
  app.get('/:n', async (asked) => `number ${(asked.params as { n: string }).n}`);
  await app.listen({ port: 80, host: '198.18.0.2' });

  let next = 0;
  let wrong = 0;
  const worker = async (until: number): Promise<void> => {
    while (next < until) {
      const n = next++;
      if ((await ask(client, 80, `/${n}`)) !== `number ${n}`) wrong++;
    }
  };
  const run = (until: number): Promise<unknown> => Promise.all(Array.from({ length: TOGETHER }, () => worker(until)));
  const settled = (): Promise<void> =>
    until('every connection is gone', () => client.stats().connections === 0 && server.stats().connections === 0);

  // What is made once, and grows with use, is made by the first tenth.
  await run(CONNECTIONS / 10);
  await settled();
  const listeners = [app.server, http as Server].map((one) => one.eventNames().map((name) => one.listenerCount(name)));
  const before = { ...holdings(), heap: process.memoryUsage().heapUsed };
  await run(CONNECTIONS);
  await settled();
  const after = { ...holdings(), heap: process.memoryUsage().heapUsed };

  expect(wrong).toBe(0);
  expect(next).toBe(CONNECTIONS);
  for (const stack of [client, server]) {
    expect(stack[kReactor].counts).toEqual({ sockets: 0, listeners: stack === server ? 1 : 0, lingering: 0 });
  }
  expect([app.server, http as Server].map((one) => one.eventNames().map((name) => one.listenerCount(name)))).toEqual(
    listeners,
  );
  expect(await new Promise((resolve) => http?.getConnections((_error, count) => resolve(count)))).toBe(0);
  // Node opens and closes files meanwhile; what is left over stays.
  await until('no descriptor is left over', () => holdings().descriptors <= before.descriptors);
  await until('no thread is left over', () => holdings().threads <= before.threads);
  // Of 9,000 connections, less than a kilobyte each stays: noise, not a leak.
  expect(after.heap - before.heap).toBeLessThan(8 * MIB);

  await app.close();
  expect(server[kReactor].counts).toEqual({ sockets: 0, listeners: 0, lingering: 0 });
  await Promise.all([client.close(), server.close()]);
}, 120_000);
