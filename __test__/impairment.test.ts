// What the settings of an impaired link do, one by one, in real time; and what settings are refused.

import { once } from 'node:events';
import { createLink, tun } from '../src/index';
import { type PairOptions, pair, portOf, readAll, until } from './support/stacks';

jest.setTimeout(60_000);

/** Serves `length` bytes over an impaired link; how long the client took to connect, and to receive them all, ms. */
async function download(length: number, link: PairOptions['link']): Promise<{ connect: number; receive: number }> {
  const net = await pair({ link });
  const data = Buffer.alloc(length, 'usernet');
  const server = net.server.net.createServer((socket) => socket.end(data));
  server.listen(0);
  const port = await portOf(server);
  const start = performance.now();
  const socket = net.client.net.connect({ host: '198.18.0.2', port });
  await once(socket, 'connect');
  const connected = performance.now();
  const received = await readAll(socket);
  const done = performance.now();
  await net.close();
  expect(received.equals(data)).toBe(true);
  return { connect: connected - start, receive: done - connected };
}

test('the delay is each way', async () => {
  const { connect } = await download(1, { delay: 50 });
  // No upper bound: that would be a measure of the machine.
  expect(connect).toBeGreaterThanOrEqual(99);
});

test('the rate is kept', async () => {
  // 500,000 bytes at 4 Mbit/s take a second.
  const { receive } = await download(500_000, { rate: 4e6 });
  expect(receive).toBeGreaterThan(950);
});

test('spoilt and delayed packets are made up for', async () => {
  await download(200_000, { corrupt: 0.02, jitter: 5, seed: 3 });
});

test('a link that loses everything carries nothing', async () => {
  const net = await pair({ link: { loss: 1 } });
  const server = net.server.net.createServer(() => expect('a connection').toBe('impossible'));
  server.listen(0);
  const socket = net.client.net.connect({ host: '198.18.0.2', port: await portOf(server) });
  // The SYN is sent again after a second (RFC 6298 section 2.1), since nothing came.
  await until('the SYN is sent again', () => (net.client.stats().tcp_retrans_segs as number) > 0, 60_000);
  expect(socket.connecting).toBe(true);
  expect(net.server.stats().frames_in).toBe(0);
  socket.destroy();
  await net.close();
});

describe('settings out of range name the value', () => {
  test.each([
    ['loss', 1.5],
    ['duplicate', -0.1],
    ['reorder', Number.NaN],
    ['corrupt', 2],
    ['delay', -1],
    ['jitter', Number.POSITIVE_INFINITY],
    ['reorderBy', -5],
    ['rate', 0],
    ['queue', 0],
    ['seed', -1],
  ])('%s: %d', (name, value) => {
    const refused = { code: 'ERR_OUT_OF_RANGE', message: expect.stringContaining(name) as string };
    expect(() => createLink({ [name]: value })).toThrow(expect.objectContaining(refused) as Error);
    expect(() => tun({ impairment: { [name]: value } })).toThrow(expect.objectContaining(refused) as Error);
  });
});
