// The binding's sockets: what is reported, in which order, and what calls answer.

import { constants } from 'node:os';
import { RecordKind } from '../src/native';
import { addLink, binding, linked, pattern, TestStack, turn } from './support/native-stack';

const { errno } = constants;
const stacks: TestStack[] = [];

function open(...args: ConstructorParameters<typeof TestStack>): TestStack {
  const stack = new TestStack(...args);
  stacks.push(stack);
  return stack;
}

function openLinked(): [TestStack, TestStack] {
  const pair = linked();
  stacks.push(...pair);
  return pair;
}

afterEach(() => {
  for (const stack of stacks.splice(0)) stack.close();
});

describe.each(['127.0.0.1', '::1'])('over loopback, %s', (address) => {
  test('a connection carries bytes both ways and ends in order', async () => {
    const stack = open();
    const [client, server] = await stack.connect(stack, address);
    expect(stack.native.remoteAddress(server)).toEqual(stack.native.localAddress(client));
    expect(stack.native.localAddress(client)).toMatchObject({ address, family: address === '::1' ? 'IPv6' : 'IPv4' });
    stack.native.readStart(client);
    stack.native.readStart(server);
    const [up, down] = [pattern(700_000, 1), pattern(300_000, 2)];
    await Promise.all([stack.send(client, up), stack.send(server, down)]);
    expect(stack.native.shutdown(client)).toBe(0);
    await stack.next(RecordKind.End, server);
    expect(stack.native.shutdown(server)).toBe(0);
    await Promise.all([stack.next(RecordKind.Closed, client), stack.next(RecordKind.Closed, server)]);
    expect(stack.received(server).equals(up)).toBe(true);
    expect(stack.received(client).equals(down)).toBe(true);
    for (const id of [client, server]) {
      const kinds = stack.kinds(id).filter((kind) => kind !== RecordKind.Writable);
      expect(kinds.at(-1)).toBe(RecordKind.Closed);
      expect(kinds.filter((kind) => kind === RecordKind.End)).toHaveLength(1);
      expect(kinds.filter((kind) => kind === RecordKind.Flushed)).toHaveLength(1);
      expect(kinds.lastIndexOf(RecordKind.Data)).toBeLessThan(kinds.indexOf(RecordKind.End));
    }
    expect(stack.kinds(client)[0]).toBe(RecordKind.Connect);
    expect(stack.kinds(server)).not.toContain(RecordKind.Connect);
  });

  test('nobody listens: Error ECONNREFUSED, Closed, and nothing else', async () => {
    const stack = open();
    const { id, port } = stack.listen(address);
    stack.native.closeListener(id);
    const client = stack.native.connect(address, port, '', 0);
    // The answer may be here already; whoever hears of it by a write hears of it by Error as well.
    expect([5, -errno.ECONNREFUSED]).toContain(stack.native.write(client, Buffer.from('early')));
    expect((await stack.next(RecordKind.Error, client)).a).toBe(errno.ECONNREFUSED);
    await stack.next(RecordKind.Closed, client);
    expect(stack.kinds(client)).toEqual([RecordKind.Error, RecordKind.Closed]);
  });
});

test('what is not read stays in the stack, and the window stops the peer', async () => {
  const [a, b] = openLinked();
  const [client, server] = await a.connect(b, '198.18.0.2');
  const data = pattern(8 << 20);
  const sending = a.send(client, data);
  // The peer's window and our send queue are full: the sender waits.
  for (let quiet = 0, last = -1; quiet < 20; await turn()) {
    const waiting = b.native.info(server)!.recv_queue as number;
    quiet = waiting === last && waiting > 100_000 ? quiet + 1 : 0;
    last = waiting;
  }
  expect(b.kinds(server)).toEqual([]);
  expect(a.native.info(client)!.unsent).toBeGreaterThan(0);
  b.native.readStart(server);
  const first = await b.next(RecordKind.Data, server);
  expect(first.c).toBeLessThanOrEqual(65_536);
  b.native.readStop(server);
  const before = b.received(server).length;
  await turn();
  await turn();
  expect(b.received(server).length).toBe(before);
  b.native.readStart(server);
  await sending;
  a.native.shutdown(client);
  await b.next(RecordKind.End, server);
  expect(b.received(server).equals(data)).toBe(true);
});

test('readStop holds back End and Closed until readStart', async () => {
  const stack = open();
  const [client, server] = await stack.connect(stack);
  await stack.send(client, Buffer.from('last words'));
  stack.native.shutdown(client);
  stack.native.shutdown(server);
  await stack.next(RecordKind.Flushed, client);
  await stack.next(RecordKind.Flushed, server);
  expect(stack.kinds(server)).toEqual([RecordKind.Flushed]);
  stack.native.readStart(server);
  await stack.next(RecordKind.Closed, server);
  expect(stack.kinds(server)).toEqual([RecordKind.Flushed, RecordKind.Data, RecordKind.End, RecordKind.Closed]);
  expect(stack.received(server).toString()).toBe('last words');
});

test('a reset reaches the peer as ECONNRESET after what was queued', async () => {
  const stack = open();
  const [client, server] = await stack.connect(stack);
  await stack.send(client, Buffer.from('before'));
  while (stack.native.info(server)!.recv_queue !== 6) await turn();
  expect(stack.native.reset(client)).toBe(0);
  expect(stack.native.write(client, Buffer.from('x'))).toBe(-errno.EBADF);
  await stack.next(RecordKind.Closed, client);
  expect(stack.kinds(client)).toEqual([RecordKind.Connect, RecordKind.Closed]);
  // Unread data holds the error back; a writer is told to look.
  await stack.next(RecordKind.Writable, server);
  expect(stack.native.write(server, Buffer.from('x'))).toBeLessThan(0);
  stack.native.readStart(server);
  expect((await stack.next(RecordKind.Error, server)).a).toBe(errno.ECONNRESET);
  await stack.next(RecordKind.Closed, server);
  expect(stack.received(server).toString()).toBe('before');
});

test('close sends what is queued in the background: Flushed, then Closed', async () => {
  const [a, b] = openLinked();
  const [client, server] = await a.connect(b, 'fd00::2');
  // More than the peer's window, so that some is left to send.
  const all = pattern(8 << 20);
  let taken = 0;
  for (let more = -1; more !== 0; taken += more) more = a.native.write(client, all.subarray(taken));
  expect(a.native.close(client)).toBe(0);
  expect(a.native.close(client)).toBe(-errno.EBADF);
  expect(a.native.info(client)).toBeNull();
  expect(a.native.sendQueueSize(client)).toBeGreaterThan(0);
  b.native.readStart(server);
  await b.next(RecordKind.End, server);
  b.native.close(server);
  await a.next(RecordKind.Flushed, client);
  await a.next(RecordKind.Closed, client);
  expect(a.native.sendQueueSize(client)).toBe(-errno.EBADF);
  expect(b.received(server).equals(all.subarray(0, taken))).toBe(true);
});

test('numbers that were never given out, or are stale, answer EBADF', async () => {
  const stack = open();
  const [client, server] = await stack.connect(stack);
  stack.native.reset(client);
  stack.native.reset(server);
  await stack.next(RecordKind.Closed, client);
  await stack.next(RecordKind.Closed, server);
  const { native } = stack;
  for (const id of [client, server, 4711, -1, 0.5, 2 ** 53, Number.NaN, Number.POSITIVE_INFINITY]) {
    expect(native.write(id, Buffer.from('x'))).toBe(-errno.EBADF);
    expect(native.writev(id, [Buffer.from('x')])).toBe(-errno.EBADF);
    for (const call of [
      'readStart',
      'readStop',
      'shutdown',
      'close',
      'reset',
      'sendQueueSize',
      'closeListener',
    ] as const)
      expect(native[call](id)).toBe(-errno.EBADF);
    expect(native.setNoDelay(id, true)).toBe(-errno.EBADF);
    expect(native.setKeepAlive(id, true, 0, 0, 0)).toBe(-errno.EBADF);
    expect(native.setTypeOfService(id, 0)).toBe(-errno.EBADF);
    expect(native.getTypeOfService(id)).toBe(-errno.EBADF);
    for (const call of ['info', 'localAddress', 'remoteAddress', 'listenerAddress'] as const)
      expect(native[call](id)).toBeNull();
  }
  // The slot is used again, under another number.
  const [again] = await stack.connect(stack);
  expect([client, server]).not.toContain(again);
  expect(native.write(client, Buffer.from('x'))).toBe(-errno.EBADF);
});

test('wrong types throw TypeErrors and change nothing', async () => {
  const stack = open();
  const [client] = await stack.connect(stack);
  const native = stack.native as unknown as Record<string, (...args: unknown[]) => unknown>;
  const wrong: Array<[string, unknown[]]> = [
    ['write', ['1', Buffer.alloc(1)]],
    ['write', [client, 'text']],
    ['write', [client, null]],
    ['write', [client, { length: 5 }]],
    ['write', [client]],
    ['writeText', [client, 0, Buffer.alloc(1)]],
    ['writeText', [client, 0, 'text', 7]],
    ['writeText', [client, '0', 'text']],
    ['writev', [client, Buffer.alloc(1)]],
    ['writev', [client, [Buffer.alloc(1), 7]]],
    ['readStart', [{}]],
    ['listen', [1, 2, 3, false]],
    ['listen', ['::', 80, 1, 'no']],
    ['connect', ['127.0.0.1', '80', '', 0]],
    ['addInterface', [null]],
    ['addInterface', [{ addresses: [1] }]],
    ['setNoDelay', [client, 1]],
    ['slab', ['0']],
  ];
  for (const [method, args] of wrong)
    expect(() => native[method]!(...args)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' }));
  expect(() => native['writev']!.call({}, client, [Buffer.alloc(1)])).toThrow('Illegal invocation');
  expect(stack.native.info(client)!.bytes_sent).toBe(0);
  const Stack = binding.NativeStack as unknown as { new (...args: unknown[]): unknown; (): unknown };
  expect(() => Stack()).toThrow(/without 'new'/);
  // (Errors of the binding are of the main realm, not of Jest's: compared by their codes.)
  const type = expect.objectContaining({ name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' });
  expect(() => new Stack({}, new Int32Array(6), 'ring')).toThrow(type);
  expect(() => new Stack({}, new Uint8Array(600), () => {})).toThrow(type);
  expect(() => new Stack({}, new Int32Array(new SharedArrayBuffer(600)), () => {})).toThrow(type);
  expect(() => new Stack({}, new Int32Array(5), () => {})).toThrow(
    expect.objectContaining({ name: 'RangeError', code: 'ERR_OUT_OF_RANGE' }),
  );
  expect(() => new Stack({ recvBuffer: 1 }, new Int32Array(6), () => {})).toThrow(/recvBuffer.*2048/);
});

test('a typed array of any kind, a view or an empty one can be written; a detached one writes nothing', async () => {
  const stack = open();
  const [client, server] = await stack.connect(stack);
  stack.native.readStart(server);
  const words = new Uint16Array([0x4142, 0x4344]);
  expect(stack.native.write(client, words as unknown as Uint8Array)).toBe(4);
  expect(stack.native.write(client, Buffer.from('xyz').subarray(1, 2))).toBe(1);
  expect(stack.native.write(client, new Uint8Array(0))).toBe(0);
  const detached = new Uint8Array(100);
  structuredClone(detached.buffer, { transfer: [detached.buffer] });
  expect(stack.native.write(client, detached)).toBe(0);
  expect(stack.native.writev(client, [detached, Buffer.from('1'), new Uint8Array(0), Buffer.from('23')])).toBe(3);
  stack.native.shutdown(client);
  await stack.next(RecordKind.End, server);
  expect(stack.received(server).toString('latin1')).toBe('BADCy123');
});

test('a text is written whole or not at all, in the encoding that is asked for', async () => {
  const stack = open({ sendBuffer: 32 << 10, recvBuffer: 32 << 10 });
  const [client, server] = await stack.connect(stack);
  const { native } = stack;
  const got: Buffer[] = [];
  const write = (latin1: number, first: string, second?: string | Uint8Array): number => {
    const taken = native.writeText(client, latin1, first, second);
    const encoded = [first, second ?? ''].map((part, i) =>
      typeof part === 'string' ? Buffer.from(part, latin1 & (1 << i) ? 'latin1' : 'utf8') : part,
    );
    const length = encoded[0]!.length + encoded[1]!.length;
    expect([0, length]).toContain(taken);
    if (taken > 0) got.push(...(encoded as Buffer[]));
    return taken;
  };
  expect(write(0, '')).toBe(0);
  expect(write(0, 'Ω 🜚 \udc00')).toBeGreaterThan(0);
  expect(write(1, 'caf\u00e9 Ω')).toBe(6);
  expect(write(1, 'caf\u00e9', 'caf\u00e9')).toBe(9);
  expect(write(2, 'caf\u00e9', 'caf\u00e9')).toBe(9);
  expect(write(3, 'h', Buffer.from('bytes').subarray(1))).toBe(5);
  // Up to 16 KiB, by its bytes.
  const much = 'a'.repeat(16381);
  expect(write(0, much, '漢')).toBe(16384);
  for (const [first, second] of [
    [`${much}aaaa`],
    [`${much}aa漢`],
    [`${much}a🜚`],
    [much, '🜚'],
    [much, Buffer.from('漢a')],
    [much.repeat(9)],
  ] as Array<[string, (string | Uint8Array)?]>) {
    expect(write(0, first, second)).toBe(0);
  }
  // What does not fit into the send queue is not taken in part: nobody reads.
  let times = 1;
  while (write(1, much) > 0) times++;
  expect(times).toBeLessThanOrEqual(4);
  native.readStart(server);
  native.shutdown(client);
  await stack.next(RecordKind.End, server);
  expect(stack.received(server).equals(Buffer.concat(got))).toBe(true);
  // There is no room any more; why, `write` tells.
  expect([native.writeText(client, 0, 'text'), native.write(client, Buffer.from('text'))]).toEqual([0, -errno.EPIPE]);
  native.reset(client);
  expect(native.writeText(client, 0, 'text')).toBe(-errno.EBADF);
});

test('a listener: port taken, address not ours, nonsense, closing resets what waits', async () => {
  const stack = open();
  const { id, port } = stack.listen('::');
  expect(stack.native.listenerAddress(id)).toEqual({ address: '::', family: 'IPv6', port });
  expect(stack.native.listen('127.0.0.1', port, 1, false)).toBe(-errno.EADDRINUSE);
  expect(stack.native.listen('198.18.0.1', 80, 1, false)).toBe(-errno.EADDRNOTAVAIL);
  for (const [address, bad] of [
    ['300.1.1.1', 80],
    ['localhost', 80],
    ['::', 65_536],
    ['::', -1],
    ['::', 1.5],
  ] as const)
    expect(stack.native.listen(address, bad, 1, false)).toBe(-errno.EINVAL);
  stack.answering = false;
  const client = stack.native.connect('127.0.0.1', port, '', 0);
  while (stack.native.info(client)?.state !== 'ESTABLISHED') await turn();
  expect(stack.native.closeListener(id)).toBe(0);
  expect(stack.native.closeListener(id)).toBe(-errno.EBADF);
  stack.answering = true;
  stack.drain();
  expect((await stack.next(RecordKind.Error, client)).a).toBe(errno.ECONNRESET);
  expect(stack.native.listen('127.0.0.1', port, 1, false)).toBeGreaterThanOrEqual(0);
});

test('connect: no route, a local address that is not ours, nonsense', () => {
  const { native } = open();
  expect(native.connect('198.18.0.9', 80, '', 0)).toBe(-errno.ENETUNREACH);
  expect(native.connect('127.0.0.1', 80, '198.18.0.1', 0)).toBe(-errno.EADDRNOTAVAIL);
  for (const [address, port, local] of [
    ['x', 80, ''],
    ['127.0.0.1', 0, ''],
    ['127.0.0.1', 70_000, ''],
    ['127.0.0.1', 80, 'y'],
    ['127.0.0.1', 80, '::1'],
    ['224.0.0.1', 80, ''],
  ] as const)
    expect(native.connect(address, port, local, 0)).toBe(-errno.EINVAL);
});

test('many connections to one listener are accepted, more than records fit', async () => {
  const stack = open({}, 8);
  const { id, port } = stack.listen('127.0.0.1', 500);
  const clients = Array.from({ length: 300 }, () => stack.native.connect('127.0.0.1', port, '', 0));
  for (const client of clients) await stack.next(RecordKind.Connect, client);
  const accepted = new Set<number>();
  for (const _ of clients) {
    const { a, b } = await stack.next(RecordKind.Accept, id);
    accepted.add(a + b * 2 ** 32);
  }
  expect(accepted.size).toBe(300);
  expect(stack.native.stats().connections).toBe(600);
  for (const socket of [...clients, ...accepted]) stack.native.reset(socket);
  for (const socket of [...clients, ...accepted]) await stack.next(RecordKind.Closed, socket);
  expect(stack.native.stats().connections).toBe(0);
});

test('no socket starves another: a flood is shared out', async () => {
  const stack = open();
  const pairs: Array<[number, number]> = [];
  for (let i = 0; i < 8; i++) pairs.push(await stack.connect(stack));
  const sends = pairs.map(([client]) => stack.send(client, pattern(2 << 20, client + 1)));
  for (const [, server] of pairs) stack.native.readStart(server);
  await Promise.all(sends);
  for (const [client] of pairs) stack.native.shutdown(client);
  for (const [, server] of pairs) await stack.next(RecordKind.End, server);
  const firsts = pairs.map(([, server]) => stack.log.findIndex((r) => r.id === server && r.kind === RecordKind.Data));
  const ends = pairs.map(([, server]) => stack.log.findIndex((r) => r.id === server && r.kind === RecordKind.End));
  expect(Math.max(...firsts)).toBeLessThan(Math.min(...ends));
  for (const [client, server] of pairs) expect(stack.received(server).equals(pattern(2 << 20, client + 1))).toBe(true);
});

test('options are in force: no delay, keep-alive, type of service', async () => {
  const stack = open();
  const [client] = await stack.connect(stack);
  expect(stack.native.setNoDelay(client, true)).toBe(0);
  expect(stack.native.setKeepAlive(client, true, 60_000, 0, 0)).toBe(0);
  expect(stack.native.setKeepAlive(client, false, 0, 0, 0)).toBe(0);
  expect(stack.native.getTypeOfService(client)).toBe(0);
  expect(stack.native.setTypeOfService(client, 0x10)).toBe(0);
  expect(stack.native.getTypeOfService(client)).toBe(0x10);
  for (const tos of [-1, 256, Number.NaN]) expect(stack.native.setTypeOfService(client, tos)).toBe(-errno.EINVAL);
});

test('the trace tells the states with numbers and addresses; info and stats have the names of ss and nstat', async () => {
  const stack = open({ trace: true });
  const [client, server] = await stack.connect(stack);
  const info = stack.native.info(client)!;
  expect(info).toMatchObject({ state: 'ESTABLISHED', snd_wnd: expect.any(Number), srtt: expect.any(Number) });
  expect(info.mss).toBeGreaterThan(500);
  const events = stack.native.takeTrace() as Array<Record<string, unknown>>;
  const { port } = stack.native.localAddress(client)!;
  const steps = events.filter((event) => event.type === 'state' && event.id === client);
  expect(steps.map(({ from, to }) => [from, to])).toEqual([
    ['CLOSED', 'SYN-SENT'],
    ['SYN-SENT', 'ESTABLISHED'],
  ]);
  expect(steps[0]!.local).toBe(`127.0.0.1:${port}`);
  expect(steps[0]!.at).toBeLessThanOrEqual(steps[1]!.at as number);
  expect(events.some((event) => event.id === server)).toBe(true);
  expect(stack.native.takeTrace()).toEqual([]);
  expect(stack.native.stats()).toMatchObject({
    connections: 2,
    listeners: 0,
    tcp_active_opens: 1,
    tcp_passive_opens: 1,
  });
});

test('interfaces: numbers, addresses, routes, removal', async () => {
  const [left, right] = binding.createLink({ mtu: 9000 });
  const stack = open();
  const other = open();
  const id = addLink(stack, left, ['198.18.0.1/24', '2001:db8::1/64']);
  addLink(other, right, ['198.18.0.2/24']);
  expect(stack.native.addresses()).toEqual(
    expect.arrayContaining([
      { interface: 0, name: 'lo', cidr: '127.0.0.1/8' },
      { interface: id, name: 'link', cidr: '198.18.0.1/24' },
      { interface: id, name: 'link', cidr: '2001:db8::1/64' },
    ]),
  );
  expect(stack.native.addRoute('192.0.2.0/24', '198.18.0.2', id)).toBe(0);
  expect(stack.native.addRoute('192.0.2.0/24', '10.0.0.1', id)).toBeLessThan(0);
  expect(stack.native.addRoute('nonsense', null, id)).toBe(-errno.EINVAL);
  expect(stack.native.addRoute('0.0.0.0/0', null, 99)).toBe(-errno.ENODEV);
  expect(stack.native.connect('192.0.2.9', 80, '', 0)).toBeGreaterThanOrEqual(0);
  expect(stack.native.removeRoute('192.0.2.0/24')).toBe(0);
  expect(stack.native.removeRoute('192.0.2.0/24')).toBe(-errno.ESRCH);
  const [client] = await stack.connect(other, '198.18.0.2');
  expect(stack.native.info(client)!.mss).toBeGreaterThan(8000);
  expect(stack.native.removeInterface(id)).toBe(0);
  expect(stack.native.removeInterface(id)).toBe(-errno.ENODEV);
  expect(stack.native.connect('198.18.0.2', 80, '', 0)).toBe(-errno.ENETUNREACH);
});

test('what an interface cannot be says so: code, errno, syscall, the value and the remedy', () => {
  const stack = open();
  const [end, other] = binding.createLink({});
  const fail = (options: object): unknown => {
    try {
      stack.native.addInterface({ name: 'x', addresses: [], ...options } as never);
    } catch (error) {
      return error;
    }
    throw new Error('it did not throw');
  };
  const link = (extra: object): unknown => fail({ device: { kind: 'link', link: end }, ...extra });
  const code = (name: keyof typeof errno, text: RegExp): object =>
    expect.objectContaining({ code: name, errno: -errno[name], message: expect.stringMatching(text) });
  expect(link({ addresses: ['198.18.0.300/24'] })).toEqual(code('EINVAL', /198\.18\.0\.300\/24.*198\.18\.0\.2\/24/));
  expect(link({ addresses: ['198.18.0.1/33'] })).toEqual(code('EINVAL', /198\.18\.0\.1\/33/));
  expect(link({ mtu: 500 })).toEqual(code('EINVAL', /500.*576/));
  expect(link({ mtu: 1000, addresses: ['fd00::1/64'] })).toEqual(code('EINVAL', /1000.*1280/));
  expect(link({ addresses: ['127.0.0.1/8'] })).toEqual(code('EADDRINUSE', /127\.0\.0\.1/));
  expect(link({ addresses: ['198.18.0.1/24', '198.18.0.1/16'] })).toEqual(code('EADDRINUSE', /198\.18\.0\.1/));
  expect(fail({ device: { kind: 'tun', name: 'much-too-long-a-name' } })).toEqual(
    code('ENAMETOOLONG', /much-too-long-a-name.*15/),
  );
  expect(fail({ device: { kind: 'carrier-pigeon' } })).toMatchObject({ code: 'ERR_OUT_OF_RANGE' });
  expect(fail({ device: { kind: 'link', link: {} } })).toMatchObject({ code: 'ERR_INVALID_ARG_TYPE' });
  // None of these used the end up.
  expect(addLink(stack, end, ['198.18.0.1/24'])).toBeGreaterThan(0);
  expect(link({})).toEqual(code('EBUSY', /in use/));
  stack.close();
  expect(fail({ device: { kind: 'link', link: other } })).toMatchObject({ code: 'EBADF' });
});
