// Real programs in virtual time: undici, fastify, ws and pg; other fake timers; how long it takes.
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import * as path from 'node:path';
import { promisify } from 'node:util';
import fastify from 'fastify';
import { Client } from 'pg';
import { request } from 'undici';
import { createNetwork, type Host, type Network } from 'usernet/testing';
import { WebSocket, WebSocketServer } from 'ws';
import { fakePostgres } from './support/fake-postgres';

const open: Network[] = [];

function pair(loss = 0): { network: Network; client: Host; server: Host } {
  const network = createNetwork({ seed: 3 });
  open.push(network);
  const [client, server] = [network.host('client'), network.host('server')];
  network.link(client, server, { delay: 20, loss });
  return { network, client, server };
}

afterEach(async () => {
  for (const network of open.splice(0)) await network.close();
});

test('undici against fastify under loss', async () => {
  const { network, client, server } = pair(0.05);
  const app = fastify({ serverFactory: (handler) => server.http.createServer(handler as never) });
  app.post('/sum', async (asked) => ({ sum: (asked.body as number[]).reduce((a, b) => a + b, 0) }));
  app.get('/late', async () => {
    await new Promise((resolve) => setTimeout(resolve, 60_000));
    return 'late';
  });
  const dispatcher = client.dispatcher() as never;
  const result = await network.run(async () => {
    await app.listen({ port: 80, host: '0.0.0.0' });
    const headers = { 'content-type': 'application/json' };
    const first = await request('http://server/sum', { dispatcher, method: 'POST', headers, body: '[1,2,39]' });
    const second = await request('http://server/late', { dispatcher });
    return [await first.body.json(), await second.body.text(), first.headers.date];
  });
  expect(result[0]).toEqual({ sum: 42 });
  expect(result[1]).toBe('late');
  // The date is the network's.
  expect(new Date(result[2] as string).getUTCFullYear()).toBe(2024);
  expect(network.now).toBeGreaterThan(60_000);
  await network.run(async () => {
    await (dispatcher as { close(): Promise<void> }).close();
    await app.close();
  });
});

test('a WebSocket whose peer vanished is found by ping', async () => {
  const { network, client, server } = pair();
  const http = server.http.createServer().listen(80);
  const sockets = new WebSocketServer({ server: http });
  const gone: number[] = [];
  sockets.on('connection', (socket) => {
    let alive = true;
    socket.on('pong', () => {
      alive = true;
    });
    const beat = setInterval(() => {
      if (!alive) return socket.terminate();
      alive = false;
      socket.ping();
    }, 30_000);
    socket.on('close', () => {
      clearInterval(beat);
      gone.push(network.now);
    });
    socket.on('message', (data) => socket.send(String(data).toUpperCase()));
  });
  const socket = new WebSocket('ws://server/', { createConnection: client.net.connect as never });
  const answers: string[] = [];
  socket.on('message', (data) => answers.push(String(data)));
  socket.on('open', () => socket.send('hello'));
  socket.on('error', () => {});
  await network.until(() => answers.length > 0);
  expect(answers).toEqual(['HELLO']);
  await network.advance(300_000);
  expect(gone).toEqual([]);
  client.crash();
  const crashed = network.now;
  await network.until(() => gone.length > 0);
  expect((gone[0] as number) - crashed).toBeGreaterThan(29_000);
  expect((gone[0] as number) - crashed).toBeLessThanOrEqual(60_100);
  sockets.close();
  http.close();
});

test('pg against a server that speaks its protocol', async () => {
  const { network, client, server } = pair(0.03);
  fakePostgres(server.net).listen(5432);
  const db = new Client({
    host: 'server',
    port: 5432,
    user: 'test',
    database: 'test',
    ssl: false,
    stream: (() => new client.net.Socket()) as never,
  });
  const rows = await network.run(async () => {
    await db.connect();
    const result = await db.query('SELECT 42 AS answer');
    await db.end();
    return result.rows;
  });
  expect(rows).toEqual([{ answer: '42' }]);
});

describe('Jest timers', () => {
  beforeEach(() => {
    jest.useFakeTimers();
  });
  afterEach(() => {
    jest.useRealTimers();
  });

  test('share one clock with the network', async () => {
    const { network, client, server } = pair();
    server.net.createServer((socket) => setTimeout(() => socket.end('later'), 10_000)).listen(7);
    const began = Date.now();
    const seen: number[] = [];
    client.net.connect({ host: 'server', port: 7 }).on('data', () => seen.push(Date.now() - began));
    await network.until(() => seen.length > 0);
    expect(seen[0]).toBeGreaterThanOrEqual(10_060);
    expect(seen[0]).toBeLessThan(10_100);
    expect(Date.now() - began).toBe(Math.floor(network.now));
    // What a test does with Jest's own functions moves the network as well.
    jest.advanceTimersByTime(5_000);
    await network.advance(0);
    expect(Math.floor(network.now)).toBe(Date.now() - began);
  });
});

test('a scenario of ten hosts over HTTP takes less than 200 ms', async () => {
  const run = async (): Promise<number> => {
    // Time of this process alone: what others do on the machine changes nothing.
    const began = process.cpuUsage();
    const network = createNetwork({ seed: 5 });
    const center = network.switch('switch');
    const hosts = Array.from({ length: 10 }, (_, i) => network.host(`host${i}`));
    for (const host of hosts) network.link(host, center, { delay: 5, rate: 100e6 });
    const [server, ...clients] = hosts as [Host, ...Host[]];
    server.http.createServer((_asked, answer) => answer.end('hello')).listen(80);
    await network.run(async () => {
      await Promise.all(
        clients.map(async (client) => {
          const asked = client.http.get('http://host0/');
          const [answer] = await once(asked, 'response');
          answer.resume();
          await once(answer, 'end');
        }),
      );
    });
    expect(network.connections().filter(({ established }) => established)).toHaveLength(9);
    await network.close();
    const { user, system } = process.cpuUsage(began);
    return (user + system) / 1000;
  };
  const times: number[] = [];
  while (times.length < 3 || (Math.min(...times) >= 200 && times.length < 20)) times.push(await run());
  expect(Math.min(...times)).toBeLessThan(200);
});

test('mock timers of node:test share one clock with the network', async () => {
  const file = path.join(__dirname, 'support', 'node-test-timers.cjs');
  const args = ['--require', require.resolve('tsx/cjs'), '--test', '--test-reporter=tap', file];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  expect(stdout).toMatch(/^# pass 2$/m);
  expect(stdout).toMatch(/^# fail 0$/m);
});
