// undici, fetch, ws, express and fastify between two stacks on a link, client and server, over both families.
import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import express from 'express';
import fastify from 'fastify';
import { errors, request, stream } from 'undici';
import { WebSocket, WebSocketServer } from 'ws';
import { bytes, digestOf, digestStream } from './support/bytes';
import { type Certificate, makeCertificate } from './support/certificate';
import { closed, hosts, type Pair, pair, until } from './support/stacks';

const MIB = 1 << 20;
let stacks: Pair;
let certificate: Certificate;

beforeAll(async () => {
  certificate = makeCertificate();
  stacks = await pair({ stack: { timeWait: 100 } });
});

afterAll(() => stacks.close());

// Nothing that was opened stays.
afterEach(async () => {
  const { client, server } = stacks;
  await until('no connection is left', () => client.stats().connections === 0 && server.stats().connections === 0);
});

async function listening(server: Server): Promise<number> {
  server.listen(0);
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

describe.each(hosts)('%s', (host) => {
  const name = host.includes(':') ? `[${host}]` : host;
  const seenAs = host.includes(':') ? 'fd00::1' : '::ffff:198.18.0.1';

  test('undici: requests in parallel on few connections, streams, time limits, refusals', async () => {
    const ports = new Set<number | undefined>();
    const server = stacks.server.http.createServer(async (asked, answer) => {
      ports.add(asked.socket.remotePort);
      if (asked.url === '/never') return;
      const { length, sha256 } = await digestStream(asked);
      answer.setHeader('x-digest', sha256);
      answer.end(asked.method === 'PUT' ? bytes(length, 2) : asked.url);
    });
    const port = await listening(server);
    const origin = `http://${name}:${port}`;
    const dispatcher = stacks.client.dispatcher({ connections: 4, connectTimeout: 5000 });
    const answers = await Promise.all(
      Array.from({ length: 100 }, async (_, n) => (await request(`${origin}/${n}`, { dispatcher })).body.text()),
    );
    expect(answers).toEqual(Array.from({ length: 100 }, (_, n) => `/${n}`));
    expect(ports.size).toBe(4);

    const put = await request(origin, { dispatcher, method: 'PUT', body: Readable.from([bytes(3 * MIB)]) });
    expect(put.headers['x-digest']).toBe(digestOf(3 * MIB));
    expect((await digestStream(put.body)).sha256).toBe(digestOf(3 * MIB, 2));
    const into = await stream(`${origin}/into`, { dispatcher, method: 'GET', opaque: [] as string[] }, ({ opaque }) => {
      const { Writable } = require('node:stream') as typeof import('node:stream');
      return new Writable({
        write(chunk, _encoding, callback) {
          (opaque as string[]).push(String(chunk));
          callback();
        },
      });
    });
    expect(into.opaque).toEqual(['/into']);

    await expect(request(`${origin}/never`, { dispatcher, headersTimeout: 50 })).rejects.toThrow(
      errors.HeadersTimeoutError,
    );
    const controller = new AbortController();
    const aborted = request(`${origin}/never`, { dispatcher, signal: controller.signal });
    setImmediate(() => controller.abort());
    await expect(aborted).rejects.toMatchObject({ name: 'AbortError' });
    await expect(request(`http://${name}:9/`, { dispatcher })).rejects.toMatchObject({ code: 'ECONNREFUSED', port: 9 });
    await dispatcher.close();
    await closed(server);
  });

  test('undici: a connection that is never made times out', async () => {
    // Nobody answers for this address on the link.
    const dispatcher = stacks.client.dispatcher({ connect: { timeout: 60 } });
    const nobody = host.includes(':') ? '[fd00::99]' : '198.18.0.99';
    const failure = await request(`http://${nobody}/`, { dispatcher }).catch((error: Error) => error);
    expect(failure).toBeInstanceOf(errors.ConnectTimeoutError);
    await dispatcher.destroy();
  });

  test.each([false, true])('undici and fetch over TLS, HTTP/2: %p', async (allowH2) => {
    const http2 = require('node:http2') as typeof import('node:http2');
    const seen: unknown[] = [];
    const server = stacks.server.attach(
      allowH2
        ? http2.createSecureServer({ ...certificate, allowHTTP1: true })
        : stacks.server.https.createServer(certificate),
    );
    server.on('request', (asked, answer) => {
      seen.push([asked.httpVersion, asked.socket.remoteAddress]);
      asked.pipe(answer);
    });
    const port = await listening(server as never);
    const dispatcher = stacks.client.dispatcher({
      allowH2,
      connect: { ca: certificate.cert, servername: 'localhost' },
    });
    const url = `https://${name}:${port}/`;
    const answer = await request(url, { dispatcher, method: 'POST', body: 'by undici' });
    expect(await answer.body.text()).toBe('by undici');
    const fetched = await fetch(url, { dispatcher, method: 'POST', body: 'by fetch' });
    expect([fetched.status, await fetched.text()]).toEqual([200, 'by fetch']);
    const version = allowH2 ? '2.0' : '1.1';
    expect(seen).toEqual([
      [version, seenAs],
      [version, seenAs],
    ]);
    await dispatcher.close();
    await closed(server as never);
  });

  test('fetch: streams, forms, redirects, errors', async () => {
    const server = stacks.server.http.createServer((asked, answer) => {
      if (asked.url === '/from') answer.writeHead(302, { location: '/to' }).end();
      else if (asked.url === '/cut')
        answer.writeHead(200, { 'content-length': 10 }).write('half', () => answer.destroy());
      else if (asked.url === '/to') answer.end('arrived');
      else asked.pipe(answer.writeHead(200, { 'content-type': asked.headers['content-type'] }));
    });
    const port = await listening(server);
    const origin = `http://${name}:${port}`;
    const dispatcher = stacks.client.dispatcher();
    const get = (path: string, init: RequestInit = {}): Promise<Response> =>
      fetch(`${origin}${path}`, { dispatcher, ...init });
    const redirected = await get('/from');
    expect([redirected.redirected, await redirected.text()]).toEqual([true, 'arrived']);
    const form = new FormData();
    form.append('file', new Blob([bytes(MIB)]), 'file.bin');
    const back = await (await get('/', { method: 'POST', body: form })).formData();
    expect(Buffer.from(await (back.get('file') as Blob).arrayBuffer()).equals(bytes(MIB))).toBe(true);
    await expect(get('/cut').then((answer) => answer.text())).rejects.toThrow('terminated');
    // 9 is a port that fetch refuses by itself.
    const refused = await fetch(`http://${name}:8099/`, { dispatcher }).catch((error: Error) => error);
    expect((refused as Error).cause).toMatchObject({ code: 'ECONNREFUSED', syscall: 'connect' });
    await dispatcher.close();
    await closed(server);
  });

  test.each(['ws', 'wss'] as const)('%s: messages of every size, pings, many sockets, closes', async (protocol) => {
    const server =
      protocol === 'ws' ? stacks.server.http.createServer() : stacks.server.https.createServer(certificate);
    const sockets = new WebSocketServer({ server });
    const peers = new Set<string | undefined>();
    sockets.on('connection', (socket, asked) => {
      peers.add(asked.socket.remoteAddress);
      socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
    });
    const port = await listening(server);
    const agent = stacks.client.agent({ ca: certificate.cert, servername: 'localhost' } as never);
    const open = async (): Promise<WebSocket> => {
      const socket = new WebSocket(`${protocol}://${name}:${port}/`, { agent });
      await once(socket, 'open');
      return socket;
    };
    const socket = await open();
    for (const length of [0, 1, 125, 126, 65_535, 65_536, 3 * MIB]) {
      socket.send(bytes(length));
      const [data] = (await once(socket, 'message')) as [Buffer];
      expect(data.equals(bytes(length))).toBe(true);
    }
    socket.ping('are you there');
    expect(String((await once(socket, 'pong'))[0])).toBe('are you there');
    const many = await Promise.all(Array.from({ length: 100 }, open));
    const echoes = many.map(async (one, n) => {
      one.send(`hello ${n}`);
      return String((await once(one, 'message'))[0]);
    });
    expect(await Promise.all(echoes)).toEqual(many.map((_, n) => `hello ${n}`));
    expect([...peers]).toEqual([seenAs]);
    const codes = many.map(async (one) => {
      one.close(4000, 'enough');
      return (await once(one, 'close'))[0];
    });
    expect(new Set(await Promise.all(codes))).toEqual(new Set([4000]));
    // The server ends one without a word.
    const gone = once(socket, 'close');
    for (const one of sockets.clients) one.terminate();
    expect((await gone)[0]).toBe(1006);
    sockets.close();
    agent.destroy();
    await closed(server);
  });

  test('express: routes, bodies, addresses, an error, both ways to put it on a stack', async () => {
    const app = express();
    app.use(express.json({ limit: '4mb' }));
    app.get('/who/:name', (asked, answer) => {
      answer.json({ name: asked.params.name, ip: asked.ip, protocol: asked.protocol });
    });
    app.post('/length', (asked, answer) => {
      answer.json({ length: asked.body.text.length });
    });
    app.get('/broken', () => {
      throw Object.assign(new Error('no'), { status: 418, expose: true });
    });
    const http = require('node:http') as typeof import('node:http');
    const dispatcher = stacks.client.dispatcher();
    for (const server of [stacks.server.http.createServer(app), stacks.server.attach(http.createServer(app))]) {
      const port = await listening(server);
      const get = (path: string, init: RequestInit = {}): Promise<Response> =>
        fetch(`http://${name}:${port}${path}`, { dispatcher, ...init });
      expect(await (await get('/who/me')).json()).toEqual({ name: 'me', ip: seenAs, protocol: 'http' });
      const body = JSON.stringify({ text: 'x'.repeat(2 * MIB) });
      const posted = await get('/length', { method: 'POST', body, headers: { 'content-type': 'application/json' } });
      expect(await posted.json()).toEqual({ length: 2 * MIB });
      expect((await get('/broken')).status).toBe(418);
      const done = closed(server);
      server.closeAllConnections();
      await done;
    }
    await dispatcher.close();
  });

  test.each(['http', 'https'] as const)('fastify over %s: its own listen, routes, hooks, close', async (protocol) => {
    const app = fastify({
      forceCloseConnections: true,
      serverFactory: (handler) =>
        protocol === 'http'
          ? stacks.server.http.createServer(handler)
          : stacks.server.https.createServer(certificate, handler),
    });
    const order: string[] = [];
    app.addHook('onRequest', async () => void order.push('request'));
    app.addHook('onResponse', async () => void order.push('response'));
    app.addHook('onClose', async () => void order.push('close'));
    app.get('/who', async (asked) => ({ ip: asked.ip, protocol: asked.protocol }));
    app.post('/sum', async (asked) => ({ sum: (asked.body as number[]).reduce((a, b) => a + b, 0) }));
    app.get('/stream', async (_asked, answer) => answer.send(Readable.from([bytes(MIB)])));
    const url = new URL(await app.listen({ port: 0, host: '::' }));
    expect(app.addresses()).toEqual([{ address: '::', family: 'IPv6', port: Number(url.port) }]);
    const dispatcher = stacks.client.dispatcher({ connect: { ca: certificate.cert, servername: 'localhost' } });
    const get = (path: string, init: RequestInit = {}): Promise<Response> =>
      fetch(`${protocol}://${name}:${url.port}${path}`, { dispatcher, ...init });
    expect(await (await get('/who')).json()).toEqual({ ip: seenAs, protocol });
    const headers = { 'content-type': 'application/json' };
    expect(await (await get('/sum', { method: 'POST', body: '[1,2,39]', headers })).json()).toEqual({ sum: 42 });
    expect((await (await get('/stream')).arrayBuffer()).byteLength).toBe(MIB);
    expect((await get('/nowhere')).status).toBe(404);
    await app.close();
    expect(order.filter((what) => what === 'request')).toHaveLength(4);
    expect(order.at(-1)).toBe('close');
    await expect(get('/who')).rejects.toThrow('fetch failed');
    await dispatcher.close();
  });
});

test('fastify on localhost listens on each address of it, as it does on the kernel', async () => {
  const app = fastify({ serverFactory: (handler) => stacks.server.http.createServer(handler) });
  app.get('/', async (asked) => asked.ip);
  await app.listen({ port: 0 });
  const dispatcher = stacks.server.dispatcher();
  for (const { address, family, port } of app.addresses() as AddressInfo[]) {
    const answer = await fetch(`http://${family === 'IPv6' ? `[${address}]` : address}:${port}/`, { dispatcher });
    expect(await answer.text()).toBe(address);
  }
  await dispatcher.close();
  await app.close();
});

test('fastify: a port in use rejects', async () => {
  const app = fastify({ serverFactory: (handler) => stacks.server.http.createServer(handler) });
  const other = stacks.server.http.createServer();
  const port = await listening(other);
  await expect(app.listen({ port, host: '::' })).rejects.toMatchObject({ code: 'EADDRINUSE', port });
  await app.close();
  await closed(other);
});
