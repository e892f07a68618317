// How events reach handles: one turn each, whatever listeners throw; what keeps a process alive; what happens at the end.
import { AsyncResource } from 'node:async_hooks';
import { once } from 'node:events';
import { type NativeBinding, RecordKind } from '../src/native';
import { createNet } from '../src/net/bind';
import { type HandleOwner, SocketHandle } from '../src/net/handle';
import { Reactor, type SocketSink } from '../src/reactor';
import { Sinks } from '../src/sinks';
import { FakeStack, fakeBinding } from './support/fake-native';

const nameOf = (kind: RecordKind): string =>
  kind === RecordKind.Connect
    ? 'Connect'
    : kind === RecordKind.End
      ? 'End'
      : kind === RecordKind.Closed
        ? 'Closed'
        : '?';

/** A native stack that reports what a test puts in. */
function scripted() {
  let events: Int32Array = new Int32Array(0);
  let doorbell = (): void => {};
  const calls: string[] = [];
  const batches: number[][][] = [];
  class Scripted extends FakeStack {
    constructor(options: object, into: Int32Array, ring: () => void) {
      super(options, into, ring);
      events = into;
      doorbell = ring;
    }
    override drain(): number {
      const batch = batches.shift() ?? [];
      batch.forEach((record, index) => {
        events.set([0, 0, 0, 0, 0, 0], index * 6);
        events.set(record, index * 6);
      });
      return batch.length;
    }
    override slab(index = 0): Buffer {
      return Buffer.alloc(index === 1 ? 16 << 10 : 1 << 20, 'x');
    }
    override readStart(): number {
      calls.push('readStart');
      return 0;
    }
    override readStop(): number {
      calls.push('readStop');
      return 0;
    }
    override ref(): void {
      calls.push('ref');
    }
    override unref(): void {
      calls.push('unref');
    }
    override sendQueueSize(): number {
      return 10;
    }
  }
  const reactor = new Reactor({ ...fakeBinding, NativeStack: Scripted as unknown as NativeBinding['NativeStack'] }, {});
  return {
    reactor,
    calls,
    ring(...batch: number[][]) {
      batches.push(batch);
      doorbell();
    },
  };
}

class Sink extends AsyncResource implements SocketSink {
  constructor(
    readonly name: string,
    readonly heard: (name: string, kind: RecordKind, a: number) => void,
  ) {
    super('TEST');
  }
  onData(slab: number): void {
    this.heard(this.name, RecordKind.Data, slab);
  }
  onRecord(kind: RecordKind, a: number): void {
    this.heard(this.name, kind, a);
  }
  onStackClose(): void {
    this.heard(this.name, 0 as RecordKind, 0);
  }
}

const turns = async (count = 3): Promise<void> => {
  for (let index = 0; index < count; index++) await new Promise(setImmediate);
};

test('what a listener puts off, by tick or by promise, runs before the next event of the batch', async () => {
  const { reactor, ring } = scripted();
  const log: string[] = [];
  const sink = new Sink('a', (_, kind) => {
    log.push(nameOf(kind));
    process.nextTick(() => log.push('tick'));
    void Promise.resolve()
      .then(() => {})
      .then(() => log.push('promise'));
  });
  reactor.addSocket(1, sink);
  // As the event loop rings, from nothing else.
  setImmediate(ring, [RecordKind.Connect, 1], [RecordKind.End, 1], [RecordKind.Closed, 1]);
  await turns();
  expect(log).toEqual(['Connect', 'tick', 'promise', 'End', 'tick', 'promise', 'Closed', 'tick', 'promise']);
});

test('data of many sockets share a turn', async () => {
  const { reactor, ring } = scripted();
  const log: string[] = [];
  for (const id of [1, 2, 3]) {
    reactor.addSocket(
      id,
      new Sink(String(id), (name) => {
        log.push(name);
        process.nextTick(() => log.push('tick'));
      }),
    );
  }
  ring([RecordKind.Data, 1], [RecordKind.Data, 2], [RecordKind.Data, 3]);
  await turns();
  expect(log).toEqual(['1', '2', '3', 'tick', 'tick', 'tick']);
});

test('a socket is found by its whole id: nobody hears what is for one of the past', async () => {
  const sinks = new Sinks<string>();
  const [old, later, other] = [3, 3 + 5 * 2 ** 32, 1];
  sinks.set(old, 'old');
  sinks.delete(old);
  sinks.set(later, 'later');
  sinks.set(other, 'other');
  sinks.delete(old);
  expect([sinks.find(3, 0), sinks.find(3, 5), sinks.find(1, 0), sinks.find(0, 0), sinks.find(9, 0)]).toEqual([
    undefined,
    'later',
    'other',
    undefined,
    undefined,
  ]);
  expect([sinks.size, sinks.entries()]).toEqual([
    2,
    [
      [other, 'other'],
      [later, 'later'],
    ],
  ]);
  sinks.clear();
  expect([sinks.size, sinks.find(1, 0), sinks.entries()]).toEqual([0, undefined, []]);
});

test('sockets of every lane are found, whatever lanes there are before', () => {
  const sinks = new Sinks<string>();
  // The first and the second place of the first, the second and the last lane, used for the third time.
  const indices = [0, 1, 63].flatMap((lane) => [0, 1].map((place) => lane * 2 ** 25 + place));
  for (const index of indices) sinks.set(index + 2 * 2 ** 32, `${index}`);
  const all = indices.map((index) => [index + 2 * 2 ** 32, `${index}`]);
  expect([sinks.size, sinks.entries()]).toEqual([6, all]);
  expect(indices.map((index) => sinks.find(index, 2))).toEqual(indices.map(String));
  expect(indices.map((index) => sinks.find(index, 1))).toEqual(indices.map(() => undefined));
  expect(sinks.find(2 * 2 ** 25, 2)).toBeUndefined();
  for (const index of indices) sinks.delete(index + 2 * 2 ** 32);
  expect([sinks.size, sinks.entries(), sinks.find(2 ** 25, 2)]).toEqual([0, [], undefined]);
});

test('an accepted connection that nobody reads from keeps what was drained, and asks for no more', async () => {
  const { reactor, calls, ring } = scripted();
  const handle = new SocketHandle(reactor, 1);
  const got: number[] = [];
  handle.owner = {
    onHandleData: (chunk) => got.push(chunk.length),
    onHandleEnd: () => {},
    onHandleError: () => {},
    onHandleReport: () => {},
    onStackClose: () => {},
  } satisfies HandleOwner;
  ring([RecordKind.Data, 1, 0, 1, 0, 7], [RecordKind.Data, 1, 0, 1, 0, 8]);
  expect([got, calls.filter((call) => call.startsWith('read'))]).toEqual([[], ['readStop']]);
  handle.readStart();
  await turns();
  expect([got, calls.filter((call) => call.startsWith('read'))]).toEqual([
    [7, 8],
    ['readStop', 'readStart'],
  ]);
  // It is reported already.
  handle.readStart();
  expect(calls.filter((call) => call.startsWith('read'))).toHaveLength(2);
});

test('what came while nobody read is handed out as it is wanted, within a turn, in order', async () => {
  const { reactor, ring } = scripted();
  const handle = new SocketHandle(reactor, 1);
  const log: string[] = [];
  const stop = (): void => {
    handle.readStop();
    process.nextTick(() => {
      log.push('tick');
      handle.readStart();
    });
  };
  handle.owner = {
    // As a stream that is full after each chunk, and is read in a tick.
    onHandleData: (chunk) => {
      log.push(String(chunk.length));
      stop();
    },
    onHandleEnd: () => log.push('end'),
    onHandleError: () => {},
    onHandleReport: () => {},
    onStackClose: () => {},
  } satisfies HandleOwner;
  handle.readStart();
  const data = [1, 2, 3, 4, 5].map((length) => [RecordKind.Data, 1, 0, 1, 0, length]);
  setImmediate(ring, ...data, [RecordKind.End, 1]);
  await turns(2);
  expect(log).toEqual(['1', 'tick', '2', 'tick', '3', 'tick', '4', 'tick', '5', 'tick', 'end']);
});

test('an exception goes to whom it concerns, and the events after it are not lost', async () => {
  const { reactor, ring } = scripted();
  const log: number[] = [];
  const sink = new Sink('a', (_, kind) => {
    log.push(kind);
    if (kind === RecordKind.Connect) throw new Error('a listener failed');
  });
  reactor.addSocket(1, sink);
  expect(() => ring([RecordKind.Connect, 1], [RecordKind.Writable, 1], [RecordKind.End, 1])).toThrow(
    'a listener failed',
  );
  await turns();
  expect(log).toEqual([RecordKind.Connect, RecordKind.Writable, RecordKind.End]);
});

test('a full batch is followed by another drain', async () => {
  const { reactor, ring } = scripted();
  let count = 0;
  reactor.addSocket(1, new Sink('a', () => count++));
  const full = Array.from({ length: 1024 }, () => [RecordKind.Data, 1]);
  ring(full[0]!, ...full.slice(1));
  expect(count).toBe(1024);
  ring(...Array.from({ length: 5 }, () => [RecordKind.Data, 1]));
  expect(count).toBe(1029);
});

test('what is put off comes before events that arrive after it', async () => {
  const { reactor, ring } = scripted();
  const log: string[] = [];
  reactor.addSocket(1, new Sink('a', (_, kind) => log.push(nameOf(kind))));
  reactor.defer(new AsyncResource('TEST'), () => log.push('put off'));
  ring([RecordKind.End, 1]);
  await turns();
  expect(log).toEqual(['put off', 'End']);
});

test('events of a generation that is gone concern nobody', () => {
  const { reactor, ring } = scripted();
  const log: number[] = [];
  reactor.addSocket(7 + 2 * 2 ** 32, new Sink('a', (_, kind) => log.push(kind)));
  ring([RecordKind.Data, 7, 1], [RecordKind.Data, 7, 2]);
  expect(log).toEqual([RecordKind.Data]);
});

test('small pieces of large slabs are copied, all others are views of the slab', () => {
  const { reactor } = scripted();
  expect(reactor.view(0, 10, 100).buffer.byteLength).toBe(Buffer.poolSize);
  expect(reactor.view(0, 10, 65536).buffer.byteLength).toBe(1 << 20);
  expect(reactor.view(0, 10, 65536).length).toBe(65536);
  expect(reactor.view(1, 10, 100).buffer.byteLength).toBe(16 << 10);
});

test('the process is kept while something is active, at the edges only', () => {
  const { reactor, calls } = scripted();
  reactor.activate(1);
  reactor.activate(1);
  reactor.activate(-1);
  expect(calls).toEqual(['ref']);
  reactor.activate(-1);
  expect(calls).toEqual(['ref', 'unref']);
});

test('what lingers keeps the process until it is acknowledged', () => {
  const { reactor, calls, ring } = scripted();
  reactor.linger(5);
  expect(calls).toEqual(['ref']);
  ring([RecordKind.Flushed, 5]);
  expect(calls).toEqual(['ref', 'unref']);
});

test('what lingers without progress is given up', () => {
  jest.useFakeTimers();
  try {
    const { reactor, calls } = scripted();
    reactor.linger(5);
    jest.advanceTimersByTime(4900);
    expect(calls).toEqual(['ref']);
    jest.advanceTimersByTime(600);
    expect(calls).toEqual(['ref', 'unref']);
  } finally {
    jest.useRealTimers();
  }
});

test('a read that was stopped in the middle of a batch loses nothing', async () => {
  const reactor = new Reactor(fakeBinding, {});
  const net = createNet(() => reactor);
  const server = net.createServer((socket) => {
    for (let index = 0; index < 20; index++) socket.write(Buffer.alloc(50_000, index));
    socket.end();
  });
  server.listen(0);
  const socket = net.connect((server.address() as { port: number }).port);
  const received: Buffer[] = [];
  socket.on('data', (data) => {
    received.push(data);
    // Stops in the middle of what the stack handed over at once.
    socket.pause();
    setTimeout(() => socket.resume(), 1);
  });
  await once(socket, 'end');
  const all = Buffer.concat(received);
  expect(all.length).toBe(20 * 50_000);
  for (let index = 0; index < 20; index++) expect(all[index * 50_000 + 7]).toBe(index);
  server.close();
  reactor.close();
});

test('closing ends sockets and servers, each with its close', async () => {
  const reactor = new Reactor(fakeBinding, {});
  const net = createNet(() => reactor);
  const log: string[] = [];
  const server = net.createServer((socket) => socket.on('close', (hadError) => log.push(`accepted ${hadError}`)));
  server.on('close', () => log.push('server'));
  server.listen(0);
  const socket = net.connect((server.address() as { port: number }).port);
  await once(socket, 'connect');
  await turns();
  socket.on('close', (hadError) => log.push(`socket ${hadError}`));
  reactor.close();
  reactor.close();
  await turns();
  expect(log.sort()).toEqual(['accepted false', 'server', 'socket false']);
  expect(() => reactor.check()).toThrow(expect.objectContaining({ code: 'ERR_STACK_CLOSED' }));
  const [error] = await once(net.connect(1, '127.0.0.1'), 'error');
  expect(error.code).toBe('ENETDOWN');
  const [listenError] = await once(net.createServer().listen(0), 'error');
  expect(listenError.code).toBe('ENETDOWN');
});
