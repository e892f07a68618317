// The same cases on Node's `net` and on ours: what differs, fails.
import { AsyncLocalStorage } from 'node:async_hooks';
import dns from 'node:dns';
import { EventEmitter, once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { isNativeError } from 'node:util/types';
import type { Net, Server, Socket } from '../src/net/bind';
import { testedNets } from './support/nets';

const MIB = 1 << 20;

async function listening(server: Server, ...args: unknown[]): Promise<number> {
  const ready = once(server, 'listening');
  (server.listen as (...args: unknown[]) => void)(...(args.length === 0 ? [0, '127.0.0.1'] : args));
  await ready;
  return (server.address() as AddressInfo).port;
}

/** Collects what happens, by name. */
function record(emitter: EventEmitter, names: string[], log: string[], prefix = ''): void {
  for (const name of names) {
    emitter.on(name, (...args) => {
      const shown = args.filter((arg) => ['boolean', 'string'].includes(typeof arg) || isNativeError(arg));
      const texts = shown.map((arg) => (isNativeError(arg) ? (arg as NodeJS.ErrnoException).code : String(arg)));
      log.push([prefix + name, ...texts].join(' '));
    });
  }
}

async function readAll(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

async function closed(server: Server): Promise<void> {
  await promisify(server.close.bind(server))();
}

/** A socket and its peer, connected. */
async function pair(server: Server, connect: (port: number) => Socket): Promise<[Socket, Socket]> {
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const port = await listening(server);
  const socket = connect(port);
  await once(socket, 'connect');
  return [socket, (await accepted)[0]];
}

/** What the network is given time for that else nothing tells the end of: so many exchanges on another connection. */
async function roundTrips(net: Net, count: number): Promise<void> {
  const server = net.createServer((socket) => socket.pipe(socket));
  const [socket] = await pair(server, (port) => net.connect(port, '127.0.0.1'));
  for (let round = 0; round < count; round++) {
    socket.write('x');
    await once(socket, 'data');
  }
  socket.end();
  await closed(server);
}

describe.each(testedNets())('$name', ({ net, close }) => {
  afterAll(() => close());

  describe('errors', () => {
    const thrown = (run: () => void): object => {
      try {
        run();
      } catch (error) {
        const { name, code, message } = error as NodeJS.ErrnoException;
        return { name, code, message, text: String(error) };
      }
      return { name: 'none' };
    };

    test.each([
      [65536, 'type number (65536)'],
      [-1, 'type number (-1)'],
      [1.5, 'type number (1.5)'],
      ['x', "type string ('x')"],
      [Number.NaN, 'type number (NaN)'],
    ])('a port of %p is no port', (port, received) => {
      const message = `Port should be >= 0 and < 65536. Received ${received}.`;
      expect(thrown(() => net.connect({ port: port as number, host: '127.0.0.1' }))).toEqual({
        name: 'RangeError',
        code: 'ERR_SOCKET_BAD_PORT',
        message,
        text: `RangeError [ERR_SOCKET_BAD_PORT]: ${message}`,
      });
    });

    test('nothing to connect to', () => {
      expect(thrown(() => net.connect({} as never))).toMatchObject({
        code: 'ERR_MISSING_ARGS',
        message: 'The "options" or "port" or "path" argument must be specified',
      });
    });

    test('wrong types', () => {
      expect(thrown(() => net.connect({ port: 1, host: '127.0.0.1', localAddress: 'nowhere' }))).toMatchObject({
        code: 'ERR_INVALID_IP_ADDRESS',
        message: 'Invalid IP address: nowhere',
      });
      expect(thrown(() => net.connect({ port: 1, localPort: '1' as never }))).toMatchObject({
        code: 'ERR_INVALID_ARG_TYPE',
        message: `The "options.localPort" property must be of type number. Received type string ('1')`,
      });
      expect(thrown(() => net.connect({ port: 1, lookup: 'x' as never }))).toMatchObject({
        code: 'ERR_INVALID_ARG_TYPE',
        message: `The "options.lookup" property must be of type function. Received type string ('x')`,
      });
      expect(thrown(() => net.createServer('x' as never))).toMatchObject({
        code: 'ERR_INVALID_ARG_TYPE',
        message: `The "options" argument must be of type object. Received type string ('x')`,
      });
      expect(thrown(() => net.createServer().listen({} as never))).toMatchObject({
        code: 'ERR_INVALID_ARG_VALUE',
        message: `The argument 'options' must have the property "port" or "path". Received {}`,
      });
      expect(thrown(() => new net.Socket({ objectMode: true } as never))).toMatchObject({
        code: 'ERR_INVALID_ARG_VALUE',
        message: "The property 'options.objectMode' is not supported. Received true",
      });
      expect(thrown(() => new net.Socket().setTimeout('1' as never))).toMatchObject({
        code: 'ERR_INVALID_ARG_TYPE',
        message: `The "msecs" argument must be of type number. Received type string ('1')`,
      });
      expect(thrown(() => new net.Socket().setTimeout(-1))).toMatchObject({
        code: 'ERR_OUT_OF_RANGE',
        message: 'The value of "msecs" is out of range. It must be a non-negative finite number. Received -1',
      });
      expect(thrown(() => net.setDefaultAutoSelectFamily(1 as never))).toMatchObject({ code: 'ERR_INVALID_ARG_TYPE' });
      expect(thrown(() => net.setDefaultAutoSelectFamilyAttemptTimeout(0))).toMatchObject({
        code: 'ERR_OUT_OF_RANGE',
        message: 'The value of "value" is out of range. It must be >= 1 && <= 2147483647. Received 0',
      });
    });

    test("a port of zero is nobody's, an address of the other family cannot be bound", async () => {
      const fail = async (options: object): Promise<NodeJS.ErrnoException> => {
        const [error] = await once(net.connect({ host: '127.0.0.1', port: 0, ...options }), 'error');
        return error as NodeJS.ErrnoException;
      };
      expect((await fail({})).message).toBe('connect ECONNREFUSED 127.0.0.1');
      expect(await fail({ localAddress: '::1' })).toMatchObject({
        code: 'EINVAL',
        syscall: 'bind',
        message: 'bind EINVAL ::1',
      });
    });

    test('nobody listens: ECONNREFUSED', async () => {
      const server = net.createServer();
      const free = await listening(server);
      await closed(server);
      const socket = net.connect(free, '127.0.0.1');
      const log: string[] = [];
      record(socket, ['connect', 'connectionAttempt', 'connectionAttemptFailed', 'error', 'close'], log);
      const [error] = await once(socket, 'error');
      await once(socket, 'close');
      expect({ ...error }).toEqual({
        errno: -111,
        code: 'ECONNREFUSED',
        syscall: 'connect',
        address: '127.0.0.1',
        port: free,
      });
      expect(error.message).toBe(`connect ECONNREFUSED 127.0.0.1:${free}`);
      expect(error.constructor.name).toBe('Error');
      expect(log).toEqual([
        'connectionAttempt 127.0.0.1',
        'connectionAttemptFailed 127.0.0.1 ECONNREFUSED',
        'error ECONNREFUSED',
        'close true',
      ]);
    });

    test('the local end is named only where both its address and its port were given', async () => {
      const server = net.createServer();
      const free = await listening(server);
      await closed(server);
      const fail = async (local: object): Promise<NodeJS.ErrnoException> => {
        const [error] = await once(net.connect({ port: free, host: '127.0.0.1', ...local }), 'error');
        return error;
      };
      expect((await fail({ localAddress: '127.0.0.1' })).message).toBe(`connect ECONNREFUSED 127.0.0.1:${free}`);
      const localPort = 30_000 + Math.floor(Math.random() * 2000);
      const error = await fail({ localAddress: '127.0.0.1', localPort });
      expect(error.message).toBe(`connect ECONNREFUSED 127.0.0.1:${free} - Local (127.0.0.1:${localPort})`);
      expect(error).toMatchObject({ localAddress: '127.0.0.1', localPort });
    });

    test('a port in use: EADDRINUSE, on the next tick', async () => {
      const first = net.createServer();
      const port = await listening(first);
      const second = net.createServer();
      let returned = false;
      const failed = once(second, 'error').then(([error]) => {
        expect(returned).toBe(true);
        return error;
      });
      second.listen(port, '127.0.0.1');
      returned = true;
      const error = await failed;
      expect(error.message).toBe(`listen EADDRINUSE: address already in use 127.0.0.1:${port}`);
      expect({ ...error }).toEqual({
        code: 'EADDRINUSE',
        errno: -98,
        syscall: 'listen',
        address: '127.0.0.1',
        port,
      });
      expect(second.listening).toBe(false);
      await closed(first);
    });

    test('an address that is not here: EADDRNOTAVAIL', async () => {
      const server = net.createServer();
      server.listen(0, '192.0.2.1');
      const [error] = await once(server, 'error');
      expect(error.message).toBe('listen EADDRNOTAVAIL: address not available 192.0.2.1');
    });

    test('listening twice', async () => {
      const server = net.createServer();
      await listening(server);
      expect(thrown(() => server.listen(0))).toMatchObject({
        code: 'ERR_SERVER_ALREADY_LISTEN',
        message: 'Listen method has been called more than once without closing.',
      });
      await closed(server);
      await expect(closed(server)).rejects.toMatchObject({
        code: 'ERR_SERVER_NOT_RUNNING',
        message: 'Server is not running.',
      });
    });

    test('a write on a closed socket', async () => {
      const server = net.createServer();
      const [socket, peer] = await pair(server, (port) => net.connect(port, '127.0.0.1'));
      socket.destroy();
      const error = await new Promise<NodeJS.ErrnoException>((resolve) => {
        socket.write('x', (error) => resolve(error as NodeJS.ErrnoException));
      });
      expect(error.code).toBe('ERR_STREAM_DESTROYED');
      peer.destroy();
      await closed(server);
    });
  });

  describe('listening', () => {
    test('without a host is synchronous, on ::', () => {
      const server = net.createServer();
      let heard = false;
      server.on('listening', () => {
        heard = true;
      });
      expect(server.listening).toBe(false);
      server.listen(0);
      expect(server.listening).toBe(true);
      expect(server.address()).toMatchObject({ address: '::', family: 'IPv6' });
      expect(heard).toBe(false);
      server.close();
    });

    test('every form', async () => {
      for (const args of [
        [],
        [0],
        [null],
        [undefined],
        [{ port: 0 }],
        ['0'],
        [0, 'localhost'],
        [0, '127.0.0.1', 5],
        [0, 5],
      ]) {
        const server = net.createServer();
        const port = await listening(server, ...(args.length === 0 ? [0] : args));
        expect(port).toBeGreaterThan(0);
        await closed(server);
      }
    });

    test('a signal closes it', async () => {
      const controller = new AbortController();
      const server = net.createServer().listen({ port: 0, host: '127.0.0.1', signal: controller.signal });
      await once(server, 'listening');
      const done = once(server, 'close');
      controller.abort();
      await done;
      expect(server.listening).toBe(false);
    });

    test('both families on ::, one with ipv6Only', async () => {
      const server = net.createServer((socket) => socket.end(socket.remoteAddress as string));
      const port = await listening(server, 0);
      expect(String(await readAll(net.connect(port, '127.0.0.1')))).toBe('::ffff:127.0.0.1');
      expect(String(await readAll(net.connect(port, '::1')))).toBe('::1');
      await closed(server);
      const only = net.createServer((socket) => socket.end());
      const onlyPort = await listening(only, { port: 0, host: '::', ipv6Only: true });
      const [error] = await once(net.connect(onlyPort, '127.0.0.1'), 'error');
      expect(error.code).toBe('ECONNREFUSED');
      await closed(only);
    });

    test('getConnections, maxConnections and drop', async () => {
      const server = net.createServer();
      server.maxConnections = 1;
      const port = await listening(server);
      const first = net.connect(port, '127.0.0.1');
      const [peer] = await once(server, 'connection');
      expect(await promisify(server.getConnections.bind(server))()).toBe(1);
      const dropped = once(server, 'drop');
      const second = net.connect(port, '127.0.0.1');
      second.on('error', () => {});
      const localPort = await once(second, 'connect').then(() => second.localPort);
      const [data] = await dropped;
      expect(data).toMatchObject({ localAddress: '127.0.0.1', localPort: port, remotePort: localPort });
      await once(second.resume(), 'close');
      first.destroy();
      peer.destroy();
      await closed(server);
    });

    test('pauseOnConnect', async () => {
      const server = net.createServer({ pauseOnConnect: true });
      const [socket, peer] = await pair(server, (port) => net.connect(port, '127.0.0.1'));
      expect(peer.isPaused()).toBe(true);
      socket.end('hello');
      expect(String(await readAll(peer))).toBe('hello');
      await closed(server);
    });

    test('captureRejections destroys the socket whose listener failed', async () => {
      EventEmitter.captureRejections = true;
      const server = net.createServer();
      EventEmitter.captureRejections = false;
      server.on('connection', async (socket) => {
        socket.on('error', (error) => server.emit('seen', error));
        throw new Error('no');
      });
      const seen = once(server, 'seen');
      const port = await listening(server);
      const socket = net.connect(port, '127.0.0.1');
      socket.on('error', () => {});
      socket.resume();
      const [error] = await seen;
      expect(error.message).toBe('no');
      await once(socket, 'close');
      await closed(server);
    });

    test('asyncDispose', async () => {
      const server = net.createServer();
      await listening(server);
      await server[Symbol.asyncDispose]();
      expect(server.listening).toBe(false);
      await server[Symbol.asyncDispose]();
    });

    test('callable without new, and by call', () => {
      const server = (net.Server as unknown as () => Server)();
      expect(server).toBeInstanceOf(net.Server);
      const socket = (net.Socket as unknown as () => Socket)();
      expect(socket).toBeInstanceOf(net.Socket);
      expect(socket).toBeInstanceOf(Duplex);
      expect(server.constructor.name).toBe('Server');
      expect(socket.constructor.name).toBe('Socket');
      function Legacy(this: object) {
        (net.Socket as unknown as (this: object) => void).call(this);
      }
      Object.setPrototypeOf(Legacy.prototype, net.Socket.prototype);
      const legacy = new (Legacy as unknown as new () => Socket)();
      expect(legacy.readyState).toBe('open');
      expect(legacy).toBeInstanceOf(net.Socket);
      class Modern extends net.Socket {}
      expect(new Modern()).toBeInstanceOf(Modern);
    });
  });

  describe('a connection', () => {
    test('has addresses, states and counters', async () => {
      const server = net.createServer();
      const accepted = once(server, 'connection') as Promise<[Socket]>;
      const port = await listening(server);
      const socket = net.connect(port, '127.0.0.1');
      expect([socket.connecting, socket.pending, socket.readyState, socket.remoteAddress, socket.bytesRead]).toEqual([
        true,
        true,
        'opening',
        undefined,
        0,
      ]);
      await once(socket, 'ready');
      const [peer] = await accepted;
      expect([socket.connecting, socket.pending, socket.readyState]).toEqual([false, false, 'open']);
      expect(socket.address()).toEqual({ address: '127.0.0.1', family: 'IPv4', port: peer.remotePort });
      expect([socket.remoteAddress, socket.remotePort, socket.remoteFamily]).toEqual(['127.0.0.1', port, 'IPv4']);
      expect([socket.localAddress, socket.localPort, socket.localFamily]).toEqual([
        '127.0.0.1',
        peer.remotePort,
        'IPv4',
      ]);
      socket.write('hello');
      expect(socket.bytesWritten).toBe(5);
      await once(peer, 'readable');
      expect(peer.read().toString()).toBe('hello');
      expect(peer.bytesRead).toBe(5);
      socket.end();
      expect(socket.readyState).toBe('readOnly');
      peer.resume();
      await Promise.all([once(socket, 'close'), once(peer, 'close')]);
      expect([socket.readyState, socket.bytesWritten, peer.bytesRead, socket.destroyed]).toEqual([
        'closed',
        5,
        5,
        true,
      ]);
      await closed(server);
    });

    test('an unconnected one', () => {
      const socket = new net.Socket();
      expect(socket.address()).toEqual({});
      expect([socket.bufferSize, socket.pending, socket.timeout, socket.readyState]).toEqual([
        undefined,
        true,
        undefined,
        'open',
      ]);
      expect(socket.setNoDelay().setKeepAlive(true, 1000).setTimeout(5).ref().unref()).toBe(socket);
      expect(socket.timeout).toBe(5);
      socket.destroy();
    });

    test('closes in order on both sides', async () => {
      const log: string[] = [];
      const names = ['connect', 'ready', 'end', 'finish', 'close', 'error'];
      const server = net.createServer((socket) => {
        record(socket, names, log, 'server ');
        socket.on('data', (data) => log.push(`server data ${data}`));
      });
      const port = await listening(server);
      const socket = net.connect(port, '127.0.0.1');
      const mine: string[] = [];
      record(socket, names, mine);
      socket.resume();
      socket.end('bye');
      await once(socket, 'close');
      await closed(server);
      expect(mine).toEqual(['connect', 'ready', 'finish', 'end', 'close false']);
      expect(log).toEqual(['server data bye', 'server end', 'server finish', 'server close false']);
    });

    test('half-open: one side ends, the other goes on', async () => {
      const server = net.createServer({ allowHalfOpen: true }, (socket) => {
        socket.on('end', () => {
          expect(socket.writable).toBe(true);
          setImmediate(() => socket.end('after your end'));
        });
        socket.resume();
      });
      const port = await listening(server);
      const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
      socket.end('mine');
      expect(String(await readAll(socket))).toBe('after your end');
      await closed(server);
    });

    test('a write after the peer ended is EPIPE', async () => {
      const server = net.createServer((socket) => socket.end());
      const port = await listening(server);
      const socket = net.connect(port, '127.0.0.1').resume();
      await once(socket, 'end');
      const errors = once(socket, 'error');
      socket.write('x', () => {});
      const [error] = await errors;
      expect([error.code, error.message]).toEqual(['EPIPE', 'This socket has been ended by the other party']);
      await closed(server);
    });

    test('half-open writes after the peer is gone are EPIPE', async () => {
      const server = net.createServer((socket) => socket.on('error', () => undefined).destroy());
      const socket = net.connect({ port: await listening(server), host: '127.0.0.1', allowHalfOpen: true }).resume();
      await once(socket, 'end');
      const failure = once(socket, 'error') as Promise<[NodeJS.ErrnoException]>;
      const writes = setInterval(() => socket.write('x'), 5);
      const [error] = await failure;
      clearInterval(writes);
      expect([error.code, error.syscall]).toEqual(['EPIPE', 'write']);
      await closed(server);
    });

    test("'error' comes before 'close', also of sockets that the promise of another's 'close' makes", async () => {
      const log: string[] = [];
      const gone = (socket: Socket): Promise<void> => {
        record(socket, ['error', 'close'], log);
        return new Promise((resolve) => socket.once('close', () => resolve()));
      };
      await gone(net.connect({ port: 9, host: '127.0.0.1' }));
      for (let round = 0; round < 3; round++) {
        await gone(
          net.connect({ port: 9, host: 'name', lookup: (_name, _options, done) => done(new Error('no'), '') }),
        );
      }
      expect(log.map((entry) => entry.split(' ')[0])).toEqual(Array(4).fill(['error', 'close']).flat());
    });

    test('resetAndDestroy: ECONNRESET for the reader', async () => {
      const server = net.createServer();
      const [socket, peer] = await pair(server, (port) => net.connect(port, '127.0.0.1'));
      const failed = once(peer, 'error');
      peer.resume();
      socket.resetAndDestroy();
      const [error] = await failed;
      expect({ ...error, message: error.message }).toEqual({
        errno: -104,
        code: 'ECONNRESET',
        syscall: 'read',
        message: 'read ECONNRESET',
      });
      await closed(server);
    });

    test('backpressure both ways: a peer that does not read stops the writer', async () => {
      const server = net.createServer({ pauseOnConnect: true });
      const [socket, peer] = await pair(server, (port) => net.connect(port, '127.0.0.1'));
      const total = 64 * MIB;
      const chunk = Buffer.alloc(64 * 1024, 'a');
      let sent = 0;
      const fill = (): void => {
        while (sent < total) {
          sent += chunk.length;
          if (!socket.write(chunk)) return;
        }
        socket.end();
      };
      socket.on('drain', fill);
      fill();
      // What fits is a matter of buffers, and far from everything; then there is no more `drain`.
      for (let last = -1; last !== sent; ) {
        last = sent;
        await roundTrips(net, 200);
      }
      expect(sent).toBeLessThan(total);
      expect(socket.writableNeedDrain).toBe(true);
      expect(peer.bytesRead).toBeLessThan(2 * MIB);
      let received = 0;
      for await (const data of peer) received += data.length;
      expect(received).toBe(total);
      await closed(server);
    });

    test('an echo of 8 MiB in pieces of every size, strings and buffers, corked and not', async () => {
      const server = net.createServer((socket) => void pipeline(socket, socket).catch(() => {}));
      const port = await listening(server);
      const socket = net.connect(port, '127.0.0.1');
      const sent: Buffer[] = [];
      let seed = 1;
      const random = (): number => {
        seed = (seed * 48271) % 0x7fffffff;
        return seed;
      };
      const feed = async (): Promise<void> => {
        for (let size = 0; size < 8 * MIB; ) {
          const length = random() % (random() % 10 === 0 ? 300_000 : 3000);
          const chunk = Buffer.alloc(length, String(random()));
          sent.push(chunk);
          size += length;
          if (random() % 4 === 0) {
            socket.cork();
            socket.write(chunk.subarray(0, length >> 1));
            socket.write(chunk.subarray(length >> 1));
            socket.uncork();
          } else if (length % 4 === 0) socket.write(chunk.toString('latin1'), 'latin1');
          else if (!socket.write(chunk)) await once(socket, 'drain');
        }
        socket.end();
      };
      const [received] = await Promise.all([readAll(socket), feed()]);
      expect(received.equals(Buffer.concat(sent))).toBe(true);
      await closed(server);
    });

    test('reads are at most 64 KiB', async () => {
      const server = net.createServer((socket) => socket.end(Buffer.alloc(MIB)));
      const port = await listening(server);
      const socket = net.connect(port, '127.0.0.1');
      let largest = 0;
      socket.on('data', (data) => {
        largest = Math.max(largest, data.length);
      });
      await once(socket, 'end');
      expect(largest).toBeLessThanOrEqual(65536);
      expect(largest).toBeGreaterThan(0);
      await closed(server);
    });

    test('onread', async () => {
      const server = net.createServer((socket) => socket.end('abcdefghij'));
      const port = await listening(server);
      const buffer = Buffer.alloc(4);
      const parts: string[] = [];
      const socket = net.connect({
        port,
        host: '127.0.0.1',
        onread: {
          buffer,
          callback(length: number, into: Uint8Array) {
            expect(into).toBe(buffer);
            parts.push(Buffer.from(into.subarray(0, length)).toString());
            return true;
          },
        },
      });
      await once(socket, 'close');
      expect(parts.join('')).toBe('abcdefghij');
      await closed(server);
    });

    test('timeout: idle, refreshed by traffic, removable', async () => {
      const server = net.createServer();
      const [socket, peer] = await pair(server, (port) => net.connect(port, '127.0.0.1'));
      const never = jest.fn();
      socket.setTimeout(10, never);
      socket.setTimeout(0, never);
      const [[from]] = await Promise.all([
        new Promise<[Socket]>((resolve) => {
          socket.setTimeout(20, function (this: Socket) {
            resolve([this]);
          });
        }),
      ]);
      expect(from).toBe(socket);
      expect(never).not.toHaveBeenCalled();
      expect(socket.destroyed).toBe(false);
      socket.destroy();
      peer.destroy();
      await closed(server);
    });

    test('a signal destroys it', async () => {
      const server = net.createServer();
      const controller = new AbortController();
      const [socket, peer] = await pair(server, (port) =>
        net.connect({ port, host: '127.0.0.1', signal: controller.signal }),
      );
      const failed = once(socket, 'error');
      controller.abort();
      const [error] = await failed;
      expect(error.name).toBe('AbortError');
      peer.destroy();
      await closed(server);
    });

    test('connects again after it was closed', async () => {
      const server = net.createServer((socket) => socket.end('hello'));
      const port = await listening(server);
      const socket = new net.Socket();
      for (let round = 0; round < 3; round++) {
        let text = '';
        const listener = (data: Buffer): void => {
          text += data;
        };
        socket.on('data', listener);
        socket.connect(port, '127.0.0.1');
        await once(socket, 'close');
        socket.off('data', listener);
        expect(text).toBe('hello');
      }
      await closed(server);
    });

    test('destroyed while connecting', async () => {
      const server = net.createServer((socket) => socket.resume());
      const port = await listening(server);
      const socket = net.connect(port, '127.0.0.1');
      const log: string[] = [];
      record(socket, ['connect', 'close', 'error'], log);
      socket.write('x', (error) => log.push((error as NodeJS.ErrnoException).code as string));
      socket.destroy();
      await once(socket, 'close');
      await new Promise(setImmediate);
      expect(log.sort()).toEqual(['ERR_SOCKET_CLOSED_BEFORE_CONNECTION', 'close false']);
      await closed(server);
    });
  });

  describe('timing', () => {
    test('the completion of a shutdown comes before the answer to it', async () => {
      const server = net.createServer({ allowHalfOpen: true }, (socket) => {
        socket.resume();
        socket.on('end', () => socket.end());
      });
      const port = await listening(server);
      const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true }).resume();
      await once(socket, 'connect');
      const log: string[] = [];
      record(socket, ['finish', 'end', 'close'], log);
      socket.end();
      await once(socket, 'close');
      expect(log).toEqual(['finish', 'end', 'close false']);
      await closed(server);
    });

    test('async contexts are those of connect and listen', async () => {
      const storage = new AsyncLocalStorage<string>();
      const seen: Array<[string, string | undefined]> = [];
      const server = net.createServer((socket) => {
        seen.push(['connection', storage.getStore()]);
        socket.on('data', () => seen.push(['server data', storage.getStore()]));
        socket.end('x');
      });
      const port = await storage.run('server', () => listening(server));
      const socket = storage.run('client', () => net.connect(port, '127.0.0.1'));
      socket.on('connect', () => seen.push(['connect', storage.getStore()]));
      socket.on('data', () => seen.push(['data', storage.getStore()]));
      socket.on('close', () => seen.push(['close', storage.getStore()]));
      socket.end('y');
      await once(socket, 'close');
      await closed(server);
      expect(Object.fromEntries(seen)).toEqual({
        connect: 'client',
        data: 'client',
        close: 'client',
        connection: 'server',
        // Nobody asked for an accepted connection: its events are in no one's context.
        'server data': undefined,
      });
    });
  });

  describe('names', () => {
    afterEach(() => {
      jest.restoreAllMocks();
    });

    test('dns.lookup is looked up late', async () => {
      const server = net.createServer((socket) => socket.end());
      const port = await listening(server);
      const lookup = jest
        .spyOn(dns, 'lookup')
        .mockImplementation(((
          _host: string,
          _options: object,
          callback: (error: null, address: string, family: number) => void,
        ) => process.nextTick(callback, null, '127.0.0.1', 4)) as never);
      const socket = net.connect({ port, host: 'somewhere.test', family: 4 }).resume();
      const log: string[] = [];
      record(socket, ['lookup'], log);
      await once(socket, 'close');
      // The core module's own binding is what the real net calls; a spy sees both, as ours is bound late.
      expect(lookup).toHaveBeenCalledWith('somewhere.test', { family: 4, hints: 0 }, expect.any(Function));
      expect(log).toEqual(['lookup 127.0.0.1 somewhere.test']);
      await closed(server);
    });

    test('a look-up that fails', async () => {
      const socket = net.connect({
        port: 80,
        host: 'nowhere.test',
        lookup: ((_host: string, _options: object, callback: (error: Error) => void) =>
          process.nextTick(callback, Object.assign(new Error('no'), { code: 'ENOTFOUND' }))) as never,
      });
      const log: string[] = [];
      record(socket, ['lookup', 'error', 'close'], log);
      await new Promise((resolve) => socket.on('close', resolve));
      expect(log).toEqual(['lookup ENOTFOUND nowhere.test', 'error ENOTFOUND', 'close true']);
    });

    const both = (_host: string, options: { all?: boolean }, callback: (...args: unknown[]) => void): void => {
      expect(options.all).toBe(true);
      process.nextTick(callback, null, [
        { address: '::1', family: 6 },
        { address: '127.0.0.1', family: 4 },
      ]);
    };

    test('autoSelectFamily tries the other family', async () => {
      const server = net.createServer((socket) => socket.end('four'));
      const port = await listening(server);
      const socket = net.connect({ port, host: 'both.test', autoSelectFamily: true, lookup: both as never });
      const log: string[] = [];
      record(socket, ['lookup', 'connectionAttempt', 'connectionAttemptFailed', 'connect', 'error'], log);
      expect(String(await readAll(socket))).toBe('four');
      expect(log).toEqual([
        'lookup ::1 both.test',
        'lookup 127.0.0.1 both.test',
        'connectionAttempt ::1',
        'connectionAttemptFailed ::1 ECONNREFUSED',
        'connectionAttempt 127.0.0.1',
        'connect',
      ]);
      expect(socket.autoSelectFamilyAttemptedAddresses).toEqual([`::1:${port}`, `127.0.0.1:${port}`]);
      await closed(server);
    });

    test('autoSelectFamily fails with all errors', async () => {
      const server = net.createServer();
      const port = await listening(server);
      await closed(server);
      const socket = net.connect({ port, host: 'both.test', autoSelectFamily: true, lookup: both as never });
      const [error] = await once(socket, 'error');
      expect(error.constructor.name).toBe('AggregateError');
      expect(error.code).toBe('ECONNREFUSED');
      expect(error.errors.map((one: Error) => one.message)).toEqual([
        `connect ECONNREFUSED ::1:${port}`,
        `connect ECONNREFUSED 127.0.0.1:${port}`,
      ]);
    });

    test('defaults of autoSelectFamily can be set', () => {
      const [on, timeout] = [net.getDefaultAutoSelectFamily(), net.getDefaultAutoSelectFamilyAttemptTimeout()];
      net.setDefaultAutoSelectFamily(!on);
      net.setDefaultAutoSelectFamilyAttemptTimeout(5);
      expect(net.getDefaultAutoSelectFamily()).toBe(!on);
      expect(net.getDefaultAutoSelectFamilyAttemptTimeout()).toBe(10);
      net.setDefaultAutoSelectFamily(on);
      net.setDefaultAutoSelectFamilyAttemptTimeout(timeout);
    });
  });
});
