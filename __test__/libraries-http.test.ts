// node:http, node:https, node:tls and node:http2 between two stacks on a link, client and server, over both families.
import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import tls from 'node:tls';
import type { Server } from '../src/index';
import { bytes, digestOf, digestStream } from './support/bytes';
import { type Certificate, makeCertificate } from './support/certificate';
import { closed, hosts, type Pair, pair, readAll, until } from './support/stacks';

const MIB = 1 << 20;
let pairOfStacks: Pair;
let certificate: Certificate;

beforeAll(async () => {
  certificate = makeCertificate();
  pairOfStacks = await pair({ stack: { timeWait: 100 } });
});

afterAll(() => pairOfStacks.close());

// Nothing that was opened stays.
afterEach(async () => {
  const { client, server } = pairOfStacks;
  await until('no connection is left', () => client.stats().connections === 0 && server.stats().connections === 0);
});

async function listening(server: { listen(port: number): unknown } & Server): Promise<number> {
  server.listen(0);
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

async function text(response: http.IncomingMessage): Promise<string> {
  return String(await readAll(response));
}

describe.each(hosts)('%s', (host) => {
  const seenAs = host.includes(':') ? 'fd00::1' : '::ffff:198.18.0.1';

  describe.each(['http', 'https'] as const)('%s', (protocol) => {
    const serve = (options: http.ServerOptions, listener?: http.RequestListener): http.Server =>
      protocol === 'http'
        ? pairOfStacks.server.http.createServer(options, listener)
        : pairOfStacks.server.https.createServer({ ...options, ...certificate }, listener);
    const trust = (): object => ({ ca: certificate.cert, servername: 'localhost' });
    const request = (options: http.RequestOptions): http.ClientRequest =>
      pairOfStacks.client[protocol].request({ host, ...trust(), ...options });
    const ask = async (options: http.RequestOptions, body?: Buffer | string): Promise<http.IncomingMessage> => {
      const asked = request(options);
      asked.end(body);
      return (await once(asked, 'response'))[0];
    };

    test('addresses, headers, a body each way', async () => {
      const server = serve({}, async (asked, answer) => {
        const { length, sha256 } = await digestStream(asked);
        answer.writeHead(201, { 'x-peer': asked.socket.remoteAddress as string, 'x-digest': sha256 });
        answer.end(bytes(length, 2));
      });
      const port = await listening(server);
      const answer = await ask({ port, method: 'PUT', agent: false }, bytes(3 * MIB));
      expect([answer.statusCode, answer.headers['x-peer'], answer.headers['x-digest']]).toEqual([
        201,
        seenAs,
        digestOf(3 * MIB),
      ]);
      const { socket } = answer;
      expect((await digestStream(answer)).sha256).toBe(digestOf(3 * MIB, 2));
      if (!socket.closed) await once(socket, 'close');
      await closed(server);
    });

    test('an agent that keeps alive, at most two connections for thirty requests', async () => {
      const ports = new Set<number | undefined>();
      const server = serve({}, (asked, answer) => {
        ports.add(asked.socket.remotePort);
        answer.end(asked.url);
      });
      const port = await listening(server);
      const { Agent } = pairOfStacks.client[protocol];
      const agent = new Agent({ keepAlive: true, maxSockets: 2 });
      expect(agent).toBeInstanceOf(protocol === 'http' ? http.Agent : https.Agent);
      const answers = await Promise.all(
        Array.from({ length: 30 }, async (_, index) => text(await ask({ port, agent, path: `/${index}` }))),
      );
      expect(answers).toEqual(Array.from({ length: 30 }, (_, index) => `/${index}`));
      expect(ports.size).toBe(2);
      expect(Object.values(agent.freeSockets).flat()).toHaveLength(2);
      agent.destroy();
      await closed(server);
    });

    test('times out: the request in the client, headers, bodies and idle connections in the server', async () => {
      const server = serve(
        { headersTimeout: 60, requestTimeout: 60, keepAliveTimeout: 50, connectionsCheckingInterval: 10 },
        (asked, answer) => {
          if (asked.url === '/idle') answer.end('idle');
        },
      );
      const port = await listening(server);
      const silent = request({ port, timeout: 30, path: '/silent', agent: false }).end();
      await once(silent, 'timeout');
      silent.destroy();
      await once(silent, 'error');
      // Headers in time, but the body never comes: 408.
      const stalled = request({ port, method: 'POST', headers: { 'content-length': 10 }, agent: false });
      stalled.flushHeaders();
      const [answer] = (await once(stalled, 'response')) as [http.IncomingMessage];
      expect(answer.statusCode).toBe(408);
      await text(answer);
      // The server hangs up on who keeps a connection and asks nothing.
      const agent = new pairOfStacks.client[protocol].Agent({ keepAlive: true });
      const kept = await ask({ port, agent, path: '/idle' });
      const { socket } = kept;
      await text(kept);
      if (!socket.closed) await once(socket, 'close');
      agent.destroy();
      await closed(server);
    });

    test('closeIdleConnections and closeAllConnections', async () => {
      const server = serve({ keepAliveTimeout: 0 }, (asked, answer) => {
        if (asked.url === '/') answer.end('done');
        else answer.write('never ends');
      });
      const port = await listening(server);
      const agent = new pairOfStacks.client[protocol].Agent({ keepAlive: true });
      const idle = await ask({ port, agent });
      const { socket } = idle;
      await text(idle);
      const busy = await ask({ port, agent: false, path: '/busy' });
      const failed = once(busy, 'error');
      server.closeIdleConnections();
      if (!socket.closed) await once(socket, 'close');
      expect(busy.destroyed).toBe(false);
      const done = closed(server);
      server.closeAllConnections();
      await done;
      expect((await failed)[0].code).toBe('ECONNRESET');
      agent.destroy();
    });

    test('continue, an upgrade, and an aborted request', async () => {
      const server = serve({}, (asked, answer) => {
        if (asked.url === '/slow') answer.write('begin');
        else asked.pipe(answer);
      });
      server.on('upgrade', (_asked, socket: Duplex) => {
        socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
        socket.pipe(socket);
      });
      const port = await listening(server);
      const expecting = request({ port, method: 'POST', headers: { expect: '100-continue' }, agent: false });
      expecting.flushHeaders();
      await once(expecting, 'continue');
      expecting.end('after the 100');
      expect(await text((await once(expecting, 'response'))[0])).toBe('after the 100');

      const upgrading = request({ port, headers: { connection: 'Upgrade', upgrade: 'echo' }, agent: false }).end();
      const [, upgraded] = (await once(upgrading, 'upgrade')) as [unknown, Duplex];
      upgraded.end('hello');
      expect(String(await readAll(upgraded))).toBe('hello');

      const controller = new AbortController();
      const slow = request({ port, path: '/slow', signal: controller.signal, agent: false }).end();
      const [answer] = (await once(slow, 'response')) as [http.IncomingMessage];
      const failed = once(answer, 'error');
      controller.abort();
      await failed;
      expect(answer.destroyed).toBe(true);
      await closed(server);
    });

    test('classes, as Node has them', async () => {
      const Server = pairOfStacks.server[protocol].Server as unknown as new (options: object) => http.Server;
      class Derived extends Server {}
      const derived = new Derived(protocol === 'https' ? certificate : {});
      derived.on('request', (_asked: http.IncomingMessage, answer: http.ServerResponse) => answer.end('derived'));
      expect(derived).toBeInstanceOf(protocol === 'http' ? http.Server : https.Server);
      const port = await listening(derived);
      const Agent = pairOfStacks.client[protocol].Agent as unknown as typeof http.Agent;
      class Counting extends Agent {
        count = 0;
        override createConnection(...args: Parameters<http.Agent['createConnection']>): Duplex | null | undefined {
          this.count++;
          return super.createConnection(...args);
        }
      }
      const agent = new Counting();
      expect(await text(await ask({ port, agent }))).toBe('derived');
      expect(agent.count).toBe(1);
      // A connection of the caller's own making, and a global agent of one's own.
      const own = request({
        port,
        createConnection: () =>
          protocol === 'http'
            ? pairOfStacks.client.net.connect({ host, port })
            : pairOfStacks.client.tls.connect({ host, port, ...trust() }),
      }).end();
      expect(await text((await once(own, 'response'))[0])).toBe('derived');
      pairOfStacks.client[protocol].globalAgent = agent as never;
      expect(await text(await ask({ port }))).toBe('derived');
      expect(agent.count).toBe(2);
      pairOfStacks.client[protocol].globalAgent = new Agent() as never;
      agent.destroy();
      await closed(derived);
    });
  });

  describe('tls', () => {
    test('both certificates, names, protocols, and sessions that are taken up again', async () => {
      const seen: unknown[] = [];
      const server = pairOfStacks.server.tls.createServer(
        {
          ...certificate,
          ca: certificate.cert,
          requestCert: true,
          ALPNProtocols: ['two', 'one'],
          SNICallback: (name, callback) =>
            callback(
              null,
              name === 'localhost' ? tls.createSecureContext({ ...certificate, ca: certificate.cert }) : undefined,
            ),
        },
        (socket) => {
          const { CN } = socket.getPeerCertificate().subject;
          seen.push([socket.authorized, CN, socket.alpnProtocol, socket.remoteAddress, socket.isSessionReused()]);
          socket.end(socket.servername as string);
        },
      );
      const port = await listening(server);
      const options = {
        host,
        port,
        ...certificate,
        ca: certificate.cert,
        servername: 'localhost',
        ALPNProtocols: ['one'],
      };
      const first = pairOfStacks.client.tls.connect(options);
      const session = once(first, 'session');
      expect(String(await readAll(first))).toBe('localhost');
      expect([first.remoteAddress, first.remotePort, first.remoteFamily]).toEqual([
        host,
        port,
        host.includes(':') ? 'IPv6' : 'IPv4',
      ]);
      const second = pairOfStacks.client.tls.connect({ ...options, session: (await session)[0] });
      await readAll(second);
      expect(second.isSessionReused()).toBe(true);
      expect(seen).toEqual([
        [true, 'localhost', 'one', seenAs, false],
        [true, 'localhost', 'one', seenAs, true],
      ]);
      await closed(server);
    });

    test('a plain connection becomes a secure one (STARTTLS), on both sides', async () => {
      const server = pairOfStacks.server.net.createServer((socket) => {
        socket.once('data', () => {
          socket.write('go\n');
          const secure = new tls.TLSSocket(socket, { isServer: true, ...certificate });
          secure.pipe(secure);
        });
      });
      const port = await listening(server);
      const plain = pairOfStacks.client.net.connect({ host, port });
      plain.write('starttls\n');
      await once(plain, 'data');
      const secure = tls.connect({ socket: plain, ca: certificate.cert, servername: 'localhost' });
      await once(secure, 'secureConnect');
      expect([secure.remoteAddress, secure.remotePort]).toEqual([host, port]);
      secure.end(bytes(2 * MIB));
      expect((await digestStream(secure)).sha256).toBe(digestOf(2 * MIB));
      await closed(server);
    });

    test('an idle socket times out, events come in order; the peer hangs up', async () => {
      const server = pairOfStacks.server.tls.createServer(certificate, (socket) => {
        socket.on('error', () => {});
        socket.once('data', () => socket.destroy());
      });
      const port = await listening(server);
      const events: string[] = [];
      const socket = pairOfStacks.client.tls.connect({
        host,
        port,
        ca: certificate.cert,
        servername: 'localhost',
        timeout: 30,
      });
      for (const name of ['connectionAttempt', 'connect', 'ready', 'secureConnect', 'timeout']) {
        socket.on(name, () => events.push(name));
      }
      await once(socket, 'timeout');
      expect(events.slice(0, 5)).toEqual(['connectionAttempt', 'connect', 'ready', 'secureConnect', 'timeout']);
      socket.setTimeout(0);
      socket.on('error', () => events.push('error'));
      socket.write('x');
      await once(socket, 'close');
      await closed(server);
    });
  });

  describe('http2', () => {
    test.each([true, false])('streams, a large body each way, a ping, an end; secure: %p', async (secure) => {
      const server = pairOfStacks.server.attach(secure ? http2.createSecureServer(certificate) : http2.createServer());
      const peers: unknown[] = [];
      server.on('session', (session: http2.ServerHttp2Session) => peers.push(session.socket.remoteAddress));
      server.on('stream', async (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => {
        if (headers[':method'] === 'PUT') {
          const { length, sha256 } = await digestStream(stream);
          stream.respond({ ':status': 200, 'x-digest': sha256 });
          stream.end(bytes(length, 2));
        } else {
          stream.respond({ ':status': 200 });
          stream.end(headers[':path']);
        }
      });
      const port = await listening(server as never);
      const client = http2.connect(`${secure ? 'https' : 'http'}://localhost:${port}`, {
        createConnection: () =>
          secure
            ? pairOfStacks.client.tls.connect({
                host,
                port,
                ca: certificate.cert,
                servername: 'localhost',
                ALPNProtocols: ['h2'],
              })
            : pairOfStacks.client.net.connect({ host, port }),
      });
      const answers = await Promise.all(
        Array.from({ length: 100 }, async (_, index) =>
          String(await readAll(client.request({ ':path': `/${index}` }))),
        ),
      );
      expect(answers).toEqual(Array.from({ length: 100 }, (_, index) => `/${index}`));
      const put = client.request({ ':method': 'PUT' });
      put.end(bytes(3 * MIB));
      const [headers] = await once(put, 'response');
      expect(headers['x-digest']).toBe(digestOf(3 * MIB));
      expect((await digestStream(put)).sha256).toBe(digestOf(3 * MIB, 2));
      const rtt = await new Promise<number>((resolve, reject) => {
        client.ping((error, duration) => (error === null ? resolve(duration) : reject(error)));
      });
      expect(rtt).toBeGreaterThan(0);
      expect(client.socket.remotePort).toBe(port);
      expect(peers).toEqual([seenAs]);
      await new Promise<void>((resolve) => client.close(resolve));
      await closed(server as never);
    });

    test('a client that is gone ends its streams', async () => {
      const server = pairOfStacks.server.attach(http2.createServer());
      const ended = new Promise<void>((resolve) => {
        server.on('stream', (stream: http2.ServerHttp2Stream) => {
          stream.respond({ ':status': 200 });
          stream.write('never ends');
          stream.on('error', () => {});
          stream.on('close', resolve);
        });
      });
      server.on('sessionError', () => {});
      const port = await listening(server as never);
      const socket = pairOfStacks.client.net.connect({ host, port });
      const client = http2.connect(`http://localhost:${port}`, { createConnection: () => socket });
      const stream = client.request({ ':path': '/' });
      client.on('error', () => {});
      stream.on('error', () => {});
      await once(stream, 'data');
      socket.resetAndDestroy();
      await ended;
      await closed(server as never);
    });
  });
});
