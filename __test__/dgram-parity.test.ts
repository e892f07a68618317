// The same tests on `node:dgram` over the kernel's loopback and on ours over a stack's: a difference is a failure.

import * as dgram from 'node:dgram';
import type dns from 'node:dns';
import { EventEmitter, once } from 'node:events';
import { bindDgram, type Dgram } from '../src/dgram/bind';
import { loadBinding } from '../src/native';
import { NetContext } from '../src/net/context';
import { Reactor } from '../src/reactor';

type Socket = dgram.Socket;

const reactor = new Reactor(loadBinding(), {});
const ours = bindDgram(new NetContext(() => reactor));
const both: [string, Dgram][] = [
  ['node:dgram', dgram as unknown as Dgram],
  ['usernet', ours],
];
const families = [
  ['udp4', '127.0.0.1', 'IPv4'],
  ['udp6', '::1', 'IPv6'],
] as const;

afterAll(() => reactor.close());

/** What the first of them did, for the second to do the same. */
const first = new Map<string, unknown>();

function same(what: string, value: unknown): void {
  if (first.has(what)) expect(value).toEqual(first.get(what));
  else first.set(what, value);
}

/** What an action throws, as far as programs look at it. */
function thrown(action: () => unknown): object {
  try {
    action();
  } catch (error) {
    return describe_(error);
  }
  return { nothing: true };
}

function describe_(error: unknown): object {
  const { name, code, errno, syscall, message, address, port } = error as Record<string, unknown>;
  return { name, code, errno, syscall, message, address, port };
}

describe.each(both)('%s', (_name, tested) => {
  const sockets = new Set<Socket>();

  function make(...args: Parameters<Dgram['createSocket']>): Socket {
    const socket = tested.createSocket(...args);
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    return socket;
  }

  async function bound(...args: Parameters<Dgram['createSocket']>): Promise<Socket> {
    const socket = make(...args);
    const { type } = socket as unknown as { type: string };
    socket.bind(0, type === 'udp4' ? '127.0.0.1' : '::1');
    await once(socket, 'listening');
    return socket;
  }

  afterEach(async () => {
    for (const socket of sockets) {
      const closed = once(socket, 'close');
      socket.close();
      await closed;
    }
  });

  describe.each(families)('%s', (type, host, family) => {
    test('a datagram there and one back, with its source', async () => {
      const server = await bound({ type });
      server.on('message', (message, info) => {
        expect(info).toEqual({ address: host, family, port: client.address().port, size: message.length });
        server.send(`<${message}>`, info.port, info.address);
      });
      const client = make({ type });
      client.send('hello', server.address().port, host);
      const [answer, info] = (await once(client, 'message')) as [Buffer, dgram.RemoteInfo];
      expect(`${answer}`).toBe('<hello>');
      expect(info.port).toBe(server.address().port);
      expect(server.address()).toEqual({ address: host, family, port: info.port });
      expect(client.address().address).toBe(type === 'udp4' ? '0.0.0.0' : '::');
    });

    test('every form of send', async () => {
      const server = await bound({ type });
      const got: string[] = [];
      server.on('message', (message) => got.push(`${message}`));
      const { port } = server.address();
      const client = make({ type });
      const sent: unknown[] = [];
      const note = (...args: unknown[]): unknown => sent.push(args);
      const bytes = Buffer.from('abcdef');
      client.send(bytes, port);
      client.send(bytes, port, host);
      client.send(bytes, port, note);
      client.send(bytes, port, host, note);
      client.send(bytes, 1, 3, port);
      client.send(bytes, 1, 3, port, host);
      client.send(bytes, 1, 3, port, note as () => void);
      client.send(bytes, 1, 3, port, host, note);
      client.send('text', port, host, note);
      client.send(new Uint16Array([0x6161, 0x6262]), port, host, note);
      client.send(new DataView(Uint8Array.of(0x78, 0x79).buffer), port, host, note);
      client.send([bytes, 'g', new Uint8Array([0x68])], port, host, note);
      client.send([], port, host, note);
      client.send('', port, host, note);
      await new Promise<void>((resolve) => {
        const check = (): void => {
          if (got.length === 14) resolve();
          else server.once('message', check);
        };
        check();
      });
      const expected = ['abcdef', 'abcdef', 'abcdef', 'abcdef', 'bcd', 'bcd', 'bcd', 'bcd', 'text', 'aabb', 'xy'];
      expect(got).toEqual([...expected, 'abcdefgh', '', '']);
      expect(sent).toEqual([6, 6, 3, 3, 4, 4, 2, 8, 0, 0].map((length) => [null, length]));
    });

    test('a connected socket sends without an address and hears its peer alone', async () => {
      const server = await bound({ type });
      const stranger = await bound({ type });
      const client = make({ type });
      await new Promise<void>((resolve) => client.connect(server.address().port, host, resolve));
      expect(client.remoteAddress()).toEqual({ address: host, family, port: server.address().port });
      const got: string[] = [];
      client.on('message', (message) => got.push(`${message}`));
      const arrived = once(server, 'message');
      client.send('one');
      const [, info] = await arrived;
      client.send(Buffer.from('xtwox'), 1, 3);
      expect(`${(await once(server, 'message'))[0]}`).toBe('two');
      const from = once(client, 'message');
      stranger.send('not you', info.port, host);
      server.send('you', info.port, host);
      await from;
      expect(got).toEqual(['you']);
      expect(thrown(() => client.send('x', 0, 1, info.port, host))).toMatchObject({
        code: 'ERR_SOCKET_DGRAM_IS_CONNECTED',
      });
      expect(thrown(() => client.connect(1, host))).toMatchObject({ code: 'ERR_SOCKET_DGRAM_IS_CONNECTED' });
      client.disconnect();
      expect(thrown(() => client.remoteAddress())).toMatchObject({ code: 'ERR_SOCKET_DGRAM_NOT_CONNECTED' });
      expect(thrown(() => client.disconnect())).toMatchObject({ code: 'ERR_SOCKET_DGRAM_NOT_CONNECTED' });
      client.send('free again', server.address().port, host);
      expect(`${(await once(server, 'message'))[0]}`).toBe('free again');
    });

    test('a connected socket hears that nobody is there', async () => {
      const gone = await bound({ type });
      const { port } = gone.address();
      gone.close();
      await once(gone, 'close');
      const client = make({ type });
      await new Promise<void>((resolve) => client.connect(port, host, resolve));
      const failed = once(client, 'error');
      client.send('anyone?');
      expect(describe_((await failed)[0])).toEqual({
        name: 'Error',
        code: 'ECONNREFUSED',
        errno: -111,
        syscall: 'recvmsg',
        message: 'recvmsg ECONNREFUSED',
        address: undefined,
        port: undefined,
      });
    });

    test('the largest datagram, and one byte more', async () => {
      const most = type === 'udp4' ? 65_507 : 65_527;
      const server = await bound({ type, recvBufferSize: 1 << 18 });
      const client = make({ type, sendBufferSize: 1 << 18 });
      const arrived = once(server, 'message');
      const big = Buffer.alloc(most, 'x');
      client.send(big, server.address().port, host);
      expect((await arrived)[0].equals(big)).toBe(true);
      const [error] = await new Promise<unknown[]>((resolve) =>
        client.send(Buffer.alloc(most + 1), server.address().port, host, (...args) => resolve(args)),
      );
      expect(describe_(error)).toMatchObject({ code: 'EMSGSIZE', syscall: 'send', address: host });
    });

    test('bind errors: in use, not ours; and the socket is usable afterwards', async () => {
      const holder = await bound({ type });
      const second = make({ type });
      const failed = once(second, 'error');
      second.bind(holder.address().port, host);
      expect(describe_((await failed)[0])).toMatchObject({
        code: 'EADDRINUSE',
        syscall: 'bind',
        message: `bind EADDRINUSE ${host}:${holder.address().port}`,
        address: host,
        port: holder.address().port,
      });
      const foreign = once(second, 'error');
      second.bind(0, type === 'udp4' ? '192.0.2.77' : '2001:db8::77');
      expect(describe_((await foreign)[0])).toMatchObject({ code: 'EADDRNOTAVAIL', syscall: 'bind' });
      second.bind(0, host);
      await once(second, 'listening');
    });

    test('reuseAddr shares a port with who allows it, too', async () => {
      const options = { type, reuseAddr: true } as const;
      const holder = await bound(options);
      const second = make(options);
      second.bind(holder.address().port, host);
      await once(second, 'listening');
      const third = make({ type });
      const failed = once(third, 'error');
      third.bind(holder.address().port, host);
      expect((await failed)[0]).toMatchObject({ code: 'EADDRINUSE' });
    });
  });

  test('udp6 takes IPv4 as mapped addresses, unless ipv6Only', async () => {
    const dual = make({ type: 'udp6' });
    dual.bind(0);
    await once(dual, 'listening');
    const client = make({ type: 'udp4' });
    client.send('v4', dual.address().port, '127.0.0.1');
    const [, info] = await once(dual, 'message');
    expect(info).toMatchObject({ address: '::ffff:127.0.0.1', family: 'IPv6' });
    dual.send('back', info.port, info.address);
    expect(`${(await once(client, 'message'))[0]}`).toBe('back');
    const { port } = dual.address();
    const only = make({ type: 'udp6', ipv6Only: true });
    only.bind(0);
    await once(only, 'listening');
    expect(only.address().port).not.toBe(port);
    const other = make({ type: 'udp4' });
    other.bind(only.address().port);
    await once(other, 'listening');
  });

  test('messages come one a turn: what was awaited in between sees the next', async () => {
    const server = await bound({ type: 'udp4' });
    const client = make({ type: 'udp4' });
    for (const text of ['a', 'b', 'c']) client.send(text, server.address().port, '127.0.0.1');
    const got: string[] = [];
    while (got.length < 3) got.push(`${(await once(server, 'message'))[0]}`);
    expect(got).toEqual(['a', 'b', 'c']);
  });

  test('setters and getters, before and after binding', async () => {
    const socket = make('udp4');
    const results = [
      thrown(() => socket.address()),
      thrown(() => socket.setBroadcast(true)),
      thrown(() => socket.setTTL(7)),
      thrown(() => socket.setMulticastTTL(7)),
      thrown(() => socket.setMulticastLoopback(true)),
      thrown(() => socket.setMulticastInterface('0.0.0.0')),
      thrown(() => socket.getRecvBufferSize()),
      thrown(() => socket.setSendBufferSize(0.5)),
      thrown(() => socket.setTTL('7' as never)),
      thrown(() => socket.remoteAddress()),
    ];
    same('unbound', results);
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    same('bound', [
      socket.setTTL(7),
      socket.setMulticastTTL(7),
      socket.setMulticastLoopback(false),
      socket.setBroadcast(true),
      thrown(() => socket.setTTL(0)),
      thrown(() => socket.setTTL(256)),
      thrown(() => socket.setMulticastTTL(1000)),
      thrown(() => socket.addMembership('198.18.0.1')),
      thrown(() => socket.addMembership('')),
      thrown(() => socket.addMembership(5 as never)),
      thrown(() => socket.addMembership({} as never)),
      thrown(() => socket.addMembership('224.0.0.114', 'no address')),
      thrown(() => socket.addMembership('224.0.0.114', 5 as never)),
      thrown(() => socket.dropMembership('224.0.0.114')),
      thrown(() => socket.setMulticastInterface('not an address')),
      thrown(() => socket.setMulticastInterface('192.0.2.9')),
      thrown(() => socket.addSourceSpecificMembership(1 as never, '232.1.1.1')),
      thrown(() => socket.addSourceSpecificMembership('127.0.0.1', undefined as never)),
    ]);
    socket.setRecvBufferSize(10_000);
    socket.setSendBufferSize(12_000);
    expect([socket.getRecvBufferSize(), socket.getSendBufferSize()]).toEqual([20_000, 24_000]);
    expect([socket.getSendQueueSize(), socket.getSendQueueCount()]).toEqual([0, 0]);
    expect([socket.ref(), socket.unref()]).toEqual([socket, socket]);
  });

  test('wrong arguments', async () => {
    const socket = await bound('udp4');
    const port = 9;
    same('wrong', [
      thrown(() => tested.createSocket('tcp' as never)),
      thrown(() => tested.createSocket({ type: 'udp4', lookup: 1 as never })),
      thrown(() => tested.createSocket({ type: 'udp4', recvBufferSize: 'big' as never })),
      thrown(() => tested.createSocket({ type: 'udp4', signal: {} as never })),
      thrown(() => socket.bind()),
      thrown(() => socket.send(5 as never, port)),
      thrown(() => socket.send(['a', 5] as never, port)),
      thrown(() => socket.send('x', 0)),
      thrown(() => socket.send('x', 65_536)),
      thrown(() => socket.send('x', 'port' as never)),
      thrown(() => socket.send('x')),
      thrown(() => socket.send(Buffer.from('abc'), 4, 1, port)),
      thrown(() => socket.send(Buffer.from('abc'), 1, 4, port)),
      thrown(() => socket.send('x', port, 5 as never)),
      thrown(() => socket.send('x', 9n as never)),
      thrown(() => socket.send('x', Symbol('port') as never)),
      thrown(() => make('udp4').bind(0, 5 as never)),
      thrown(() => make('udp4').bind({ address: {} as never })),
      thrown(() => socket.connect(9n as never)),
      thrown(() => socket.connect(0)),
      thrown(() => socket.connect(port, 5 as never)),
    ]);
    socket.close();
    expect([thrown(() => socket.close()), thrown(() => socket.address()), thrown(() => socket.send('x', 9))]).toEqual(
      Array(3).fill(expect.objectContaining({ code: 'ERR_SOCKET_DGRAM_NOT_RUNNING', message: 'Not running' })),
    );
    sockets.delete(socket);
  });

  test('names are looked up, with the lookup that is given', async () => {
    const server = await bound('udp4');
    const asked: unknown[] = [];
    const lookup = ((name: string, family: number, callback: (error: null, address: string) => void) => {
      asked.push([name, family]);
      process.nextTick(callback, null, '127.0.0.1');
    }) as unknown as typeof dns.lookup;
    const client = make({ type: 'udp4', lookup });
    client.send('by name', server.address().port, 'server.example');
    expect(`${(await once(server, 'message'))[0]}`).toBe('by name');
    expect(asked).toContainEqual(['server.example', 4]);
    const failing = make({
      type: 'udp4',
      lookup: ((_n: string, _f: number, callback: (error: Error) => void) =>
        process.nextTick(callback, new Error('no such name'))) as unknown as typeof dns.lookup,
    });
    const failed = once(failing, 'error');
    failing.bind(0, 'server.example');
    expect((await failed)[0].message).toBe('no such name');
  });

  test('close: callback, event, what waits for the binding, async disposal, signal', async () => {
    const order: string[] = [];
    const socket = make('udp4');
    socket.bind(() => order.push('listening'));
    socket.connect(9, () => order.push('connected'));
    socket.close(() => order.push('closed'));
    await once(socket, 'close');
    expect(order).toEqual(['listening', 'closed']);

    const controller = new AbortController();
    const aborted = make({ type: 'udp4', signal: controller.signal });
    aborted.bind();
    await once(aborted, 'listening');
    const closed = once(aborted, 'close');
    controller.abort();
    await closed;
    expect(EventEmitter.listenerCount(aborted, 'close')).toBe(0);
    const early = make({ type: 'udp4', signal: AbortSignal.abort() });
    await once(early, 'close');
    const disposed = await bound('udp4');
    await (disposed as unknown as AsyncDisposable)[Symbol.asyncDispose]();
    await (disposed as unknown as AsyncDisposable)[Symbol.asyncDispose]();
    expect(thrown(() => disposed.address())).toMatchObject({ code: 'ERR_SOCKET_DGRAM_NOT_RUNNING' });
  });
});
