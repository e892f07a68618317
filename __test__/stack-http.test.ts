// node:http, node:https, node:tls and node:http2 over a stack, client and server.
import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import tls from 'node:tls';
import { createStack, type Stack } from '../src/index';
import { makeCertificate } from './support/certificate';

let stack: Stack;
let key: Buffer;
let cert: Buffer;

beforeAll(async () => {
  stack = await createStack();
  ({ key, cert } = makeCertificate());
});

afterAll(() => stack.close());

async function listening<T extends Server>(server: T): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
  });
}

interface Answer {
  status: number;
  text: string;
}

function ask(get: typeof http.get, options: https.RequestOptions | string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    get(options as http.RequestOptions, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk) => {
        text += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode as number, text }));
    }).on('error', reject);
  });
}

describe('http', () => {
  test('server and client, the client by agent, by module, by URL, without agent', async () => {
    const server = stack.http.createServer((request, response) => {
      response.end(`${request.method} ${request.url} from ${request.socket.remoteAddress}`);
    });
    expect(server).toBeInstanceOf(http.Server);
    const port = await listening(server);
    const agent = stack.agent({ keepAlive: true });
    const text = 'GET /a from 127.0.0.1';
    const options = { host: '127.0.0.1', port, path: '/a' };
    expect(await ask(http.get, { ...options, agent })).toEqual({ status: 200, text });
    expect(await ask(stack.http.get, options)).toEqual({ status: 200, text });
    expect(await ask(stack.http.get, `http://127.0.0.1:${port}/a`)).toEqual({ status: 200, text });
    expect(await ask(stack.http.get, { ...options, agent: false })).toEqual({ status: 200, text });
    // Nothing of it went over the kernel.
    await expect(ask(http.get, options)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    agent.destroy();
    stack.http.globalAgent.destroy();
    await closed(server);
  });

  test('an agent keeps connections and asks for the right port', async () => {
    const ports = new Set<number | undefined>();
    const server = stack.http.createServer((request, response) => {
      ports.add(request.socket.remotePort);
      response.end(request.headers.host);
    });
    server.listen(80);
    await once(server, 'listening');
    const agent = stack.agent({ keepAlive: true });
    for (let round = 0; round < 5; round++) {
      expect((await ask(http.get, { host: '127.0.0.1', agent })).text).toBe('127.0.0.1');
    }
    expect(ports.size).toBe(1);
    agent.destroy();
    await closed(server);
  });

  test('header timeout and closeAllConnections', async () => {
    const server = stack.http.createServer({
      headersTimeout: 100,
      requestTimeout: 100,
      connectionsCheckingInterval: 20,
    });
    const port = await listening(server);
    const slow = stack.net.connect(port, '127.0.0.1');
    slow.write('GET / HTTP/1.1\r\n');
    let text = '';
    for await (const chunk of slow) text += chunk;
    expect(text).toMatch(/^HTTP\/1\.1 408 Request Timeout/);
    server.on('request', () => {});
    const hanging = stack.net.connect(port, '127.0.0.1');
    hanging.on('error', () => {});
    hanging.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    await once(server, 'request');
    const done = closed(server);
    server.closeAllConnections();
    await done;
    if (!hanging.closed) await once(hanging.resume(), 'close');
  });

  test('a port in use is an error of the server', async () => {
    const first = stack.http.createServer();
    const port = await listening(first);
    const second = stack.http.createServer().listen(port, '127.0.0.1');
    const [error] = await once(second, 'error');
    expect(error.message).toBe(`listen EADDRINUSE: address already in use 127.0.0.1:${port}`);
    await closed(first);
  });

  test('an upload of 16 MiB, and its digest back', async () => {
    const server = stack.attach(
      http.createServer(async (request, response) => {
        let length = 0;
        for await (const chunk of request) length += chunk.length;
        response.end(String(length));
      }),
    );
    const port = await listening(server);
    const agent = stack.agent();
    const request = http.request({ host: '127.0.0.1', port, method: 'POST', agent });
    request.end(Buffer.alloc(16 << 20));
    const [response] = await once(request, 'response');
    let text = '';
    for await (const chunk of response) text += chunk;
    expect(text).toBe(String(16 << 20));
    agent.destroy();
    await closed(server);
  });
});

describe('tls', () => {
  test.each(['stack.tls', 'node:tls over a socket'])('%s both ways, with addresses', async (how) => {
    const peers: unknown[] = [];
    const server = stack.tls.createServer({ key, cert }, (socket) => {
      peers.push([socket.remoteAddress, socket.remoteFamily, socket.localPort === port]);
      socket.pipe(socket);
    });
    const port = await listening(server);
    const socket =
      how === 'stack.tls'
        ? stack.tls.connect({ host: '127.0.0.1', port, ca: cert, servername: 'localhost' })
        : tls.connect({ socket: stack.net.connect(port, '127.0.0.1'), ca: cert, servername: 'localhost' });
    await once(socket, 'secureConnect');
    expect(socket.authorized).toBe(true);
    expect([socket.remoteAddress, socket.remotePort, socket.localAddress]).toEqual(['127.0.0.1', port, '127.0.0.1']);
    const sent = Buffer.alloc(1 << 20, 'tls');
    socket.end(sent);
    const chunks: Buffer[] = [];
    for await (const chunk of socket) chunks.push(chunk as Buffer);
    expect(Buffer.concat(chunks).equals(sent)).toBe(true);
    expect(peers).toEqual([['127.0.0.1', 'IPv4', true]]);
    await closed(server);
  });

  test('nobody listens', async () => {
    const [error] = await once(stack.tls.connect({ host: '127.0.0.1', port: 9 }), 'error');
    expect(error).toMatchObject({ code: 'ECONNREFUSED', port: 9 });
  });

  test('a certificate that is not trusted', async () => {
    const server = stack.tls.createServer({ key, cert });
    server.on('tlsClientError', () => {});
    const port = await listening(server);
    const [error] = await once(stack.tls.connect({ host: '127.0.0.1', port }), 'error');
    expect(error.code).toBe('DEPTH_ZERO_SELF_SIGNED_CERT');
    await closed(server);
  });
});

describe('https', () => {
  test('server and client, one agent for both protocols', async () => {
    const server = stack.https.createServer({ key, cert }, (request, response) => {
      response.end(`${request.url} from ${request.socket.remoteAddress} for ${request.headers.host}`);
    });
    server.listen(443);
    await once(server, 'listening');
    const agent = stack.agent({ keepAlive: true, ca: cert });
    const text = '/s from ::ffff:127.0.0.1 for localhost';
    const headers = { host: 'localhost' };
    expect(await ask(https.get, { host: '127.0.0.1', servername: 'localhost', path: '/s', agent, headers })).toEqual({
      status: 200,
      text,
    });
    expect(
      await ask(stack.https.get, { host: '127.0.0.1', servername: 'localhost', path: '/s', ca: cert, headers }),
    ).toEqual({ status: 200, text });
    agent.destroy();
    stack.https.globalAgent.destroy();
    await closed(server);
  });
});

describe('http2', () => {
  test.each([true, false])('secure: %p', async (secure) => {
    const answer = (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders): void => {
      stream.respond({ ':status': 200 });
      stream.end(`${headers[':path']}`);
    };
    const server = stack.attach(secure ? http2.createSecureServer({ key, cert }) : http2.createServer());
    (server as http2.Http2Server).on('stream', answer);
    const port = await listening(server as Server);
    const client = http2.connect(`${secure ? 'https' : 'http'}://localhost:${port}`, {
      createConnection: () =>
        secure
          ? stack.tls.connect({ host: '127.0.0.1', port, ca: cert, servername: 'localhost', ALPNProtocols: ['h2'] })
          : stack.net.connect(port, '127.0.0.1'),
    });
    const texts = await Promise.all(
      Array.from({ length: 20 }, async (_, index) => {
        const stream = client.request({ ':path': `/${index}` });
        let text = '';
        for await (const chunk of stream) text += chunk;
        return text;
      }),
    );
    expect(texts).toEqual(Array.from({ length: 20 }, (_, index) => `/${index}`));
    await new Promise<void>((resolve) => client.close(resolve));
    await closed(server as Server);
  });
});

test('a dispatcher without undici says what to install', () => {
  jest.isolateModules(() => {
    jest.doMock(
      'undici',
      () => {
        throw Object.assign(new Error("Cannot find module 'undici'"), { code: 'MODULE_NOT_FOUND' });
      },
      { virtual: true },
    );
    expect(() => stack.dispatcher()).toThrow(
      expect.objectContaining({ code: 'ERR_UNDICI_NOT_FOUND', message: expect.stringContaining('npm install undici') }),
    );
  });
});
