// Listening: ports that several servers share, what belongs to the kernel alone, and who is told of sockets.
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createStack, type Server, type Socket, type Stack } from '../src/index';
import { kReactor } from '../src/stack';
import { testedNets } from './support/nets';
import { closed, readAll } from './support/stacks';

describe('reusePort', () => {
  let stack: Stack;

  beforeAll(async () => {
    stack = await createStack({ timeWait: 10 });
  });

  afterAll(() => stack.close());

  const serve = async (name: string, port: number, options: object = { reusePort: true }): Promise<Server> => {
    const server = stack.net.createServer((socket) => socket.end(name));
    server.listen({ port, host: '127.0.0.1', ...options });
    await once(server, 'listening');
    return server;
  };
  const ask = async (port: number): Promise<string> => String(await readAll(stack.net.connect(port, '127.0.0.1')));

  test('connections are spread over the servers of a port, and go to those that are left', async () => {
    const a = await serve('a', 0);
    const { port } = a.address() as AddressInfo;
    const [b, c] = [await serve('b', port), await serve('c', port)];
    expect([b, c].map((server) => (server.address() as AddressInfo).port)).toEqual([port, port]);
    const answers = await Promise.all(Array.from({ length: 120 }, () => ask(port)));
    // By chance alone one server in ten million such runs has none.
    expect(new Set(answers)).toEqual(new Set(['a', 'b', 'c']));
    await closed(a);
    expect(new Set(await Promise.all(Array.from({ length: 120 }, () => ask(port))))).toEqual(new Set(['b', 'c']));
    await closed(b);
    expect(await ask(port)).toBe('c');
    await closed(c);
    const refused = stack.net.connect(port, '127.0.0.1');
    expect((await once(refused, 'error'))[0].code).toBe('ECONNREFUSED');
    expect(stack[kReactor].counts.listeners).toBe(0);
  });

  test('everybody on the port has to ask for it', async () => {
    const sharing = await serve('a', 0);
    const { port } = sharing.address() as AddressInfo;
    await expect(serve('b', port, {})).rejects.toMatchObject({ code: 'EADDRINUSE', port });
    await closed(sharing);
    const alone = await serve('a', port, { exclusive: true });
    await expect(serve('b', port)).rejects.toMatchObject({ code: 'EADDRINUSE', port });
    await closed(alone);
  });

  test('the end of the stack is the end of each', async () => {
    const other = await createStack();
    const servers = [other.net.createServer(), other.net.createServer()];
    servers[0]!.listen({ port: 80, reusePort: true });
    servers[1]!.listen({ port: 80, reusePort: true });
    const ends = servers.map((server) => once(server, 'close'));
    await other.close();
    await Promise.all(ends);
    expect(servers.map((server) => server.listening)).toEqual([false, false]);
  });
});

test.each([
  ['a pipe', (server: Server) => server.listen('/tmp/usernet.sock'), /path.*node:net/i],
  ['a pipe by option', (server: Server) => server.listen({ path: '/tmp/usernet.sock' } as never), /path.*node:net/i],
  ['a descriptor', (server: Server) => server.listen({ fd: 3 } as never), /file descriptor.*node:net/i],
  ['a handle', (server: Server) => server.listen({ _handle: {} } as never), /handle.*node:net/i],
])('%s cannot be listened on, and the error says why', async (_what, listen, words) => {
  const stack = await createStack();
  const server = stack.net.createServer();
  expect(() => listen(server)).toThrow(
    expect.objectContaining({ code: 'ERR_FEATURE_UNAVAILABLE_ON_PLATFORM', message: expect.stringMatching(words) }),
  );
  expect(() => stack.net.connect('/tmp/usernet.sock' as never)).toThrow(
    expect.objectContaining({ code: 'ERR_FEATURE_UNAVAILABLE_ON_PLATFORM' }),
  );
  expect(() => new stack.net.Socket({ fd: 3 } as never)).toThrow(
    expect.objectContaining({ code: 'ERR_FEATURE_UNAVAILABLE_ON_PLATFORM' }),
  );
  await stack.close();
});

describe.each(testedNets())('$name', ({ net, close }) => {
  afterAll(() => close());

  test('diagnostics_channel tells of the sockets of both ends', async () => {
    const told: string[] = [];
    const seen = new Set<unknown>();
    const onClient = (message: unknown): void => {
      told.push('client');
      seen.add((message as { socket: Socket }).socket);
    };
    const onServer = (message: unknown): void => {
      told.push('server');
      seen.add((message as { socket: Socket }).socket);
    };
    subscribe('net.client.socket', onClient);
    subscribe('net.server.socket', onServer);
    const server = net.createServer((socket) => socket.end());
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const accepted = once(server, 'connection');
    const socket = net.connect((server.address() as AddressInfo).port, '127.0.0.1').resume();
    const [peer] = await accepted;
    await once(socket, 'close');
    unsubscribe('net.client.socket', onClient);
    unsubscribe('net.server.socket', onServer);
    expect(told).toEqual(['client', 'server']);
    expect(seen).toEqual(new Set([socket, peer]));
    await closed(server);
  });

  test('the version of Node decides: high-water mark, maxConnections of 0, the time for an attempt', async () => {
    const major = Number(process.versions.node.split('.')[0]);
    const socket = new net.Socket();
    expect(socket.readableHighWaterMark).toBe(major >= 22 ? 65_536 : 16_384);
    expect(socket.writableHighWaterMark).toBe(socket.readableHighWaterMark);
    socket.destroy();
    expect(net.getDefaultAutoSelectFamilyAttemptTimeout()).toBe(
      (require('node:net') as typeof import('node:net')).getDefaultAutoSelectFamilyAttemptTimeout(),
    );
    const server = net.createServer((one) => one.end('in'));
    server.maxConnections = 0;
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const asked = net.connect((server.address() as AddressInfo).port, '127.0.0.1');
    asked.on('error', () => {});
    let text = '';
    asked.on('data', (data) => {
      text += data;
    });
    await once(asked, 'close');
    expect(text).toBe(major >= 21 ? '' : 'in');
    await closed(server);
  });

  test('a signal that is aborted already, and one that comes to nothing', async () => {
    const server = net.createServer();
    const controller = new AbortController();
    controller.abort();
    const done = once(server, 'close');
    server.listen({ port: 0, signal: controller.signal });
    await done;
    expect(server.listening).toBe(false);
    expect(() => net.createServer().listen({ port: 0, signal: 'x' as never })).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' }),
    );
  });
});
