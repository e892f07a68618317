// Pairs of stacks on one in-process link, for tests.

import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { createLink, createStack, type Server, type Stack } from '../../src/index';

/** What a test link and its two stacks are made with. */
export interface PairOptions {
  link?: Parameters<typeof createLink>[0];
  stack?: Omit<NonNullable<Parameters<typeof createStack>[0]>, 'interfaces'>;
  /** Of one of them, over `stack`. */
  client?: PairOptions['stack'];
  server?: PairOptions['stack'];
}

/** Two stacks on one link. */
export interface Pair {
  client: Stack;
  server: Stack;
  close(): Promise<void>;
}

/** The server's addresses, to run a test on both families. */
export const hosts = ['198.18.0.2', 'fd00::2'] as const;

/** Makes a pair: the client has 198.18.0.1 and fd00::1, the server the addresses of `hosts`. */
export async function pair(options: PairOptions = {}): Promise<Pair> {
  const [left, right] = createLink(options.link);
  const of = (own: PairOptions['stack'], device: typeof left, addresses: string[]): Promise<Stack> =>
    createStack({ ...options.stack, ...own, interfaces: [{ device, addresses }] });
  const [client, server] = await Promise.all([
    of(options.client, left, ['198.18.0.1/24', 'fd00::1/64']),
    of(options.server, right, ['198.18.0.2/24', 'fd00::2/64']),
  ]);
  return {
    client,
    server,
    close: async () => {
      await Promise.all([client.close(), server.close()]);
    },
  };
}

/** Waits until a server listens; gives its port. */
export async function portOf(server: Server): Promise<number> {
  if (!server.listening) await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('a listening server has a port');
  return address.port;
}

/** Closes a server and waits until its connections are gone. */
export function closed(server: Server): Promise<void> {
  return new Promise((resolve, reject) => {
    server.close((error?: Error) => (error === undefined ? resolve() : reject(error)));
  });
}

/** Everything a stream receives until its end. A duplex's writable side is left alone. */
export async function readAll(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => chunks.push(Buffer.from(chunk)));
  await finished(stream, { writable: false });
  return Buffer.concat(chunks);
}

/** Resolves once `condition` holds; rejects, saying what was waited for, when it does not within `limit` ms. */
export async function until(what: string, condition: () => boolean | Promise<boolean>, limit = 10_000): Promise<void> {
  const deadline = Date.now() + limit;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`waited ${limit} ms for this: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
