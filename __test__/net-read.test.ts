// What listeners may do with received data while they are given it: pause, put back, fail, go; nothing is lost or asked for
// twice, whether the stream or the socket has the say in what comes next.
import { once } from 'node:events';
import type { Socket } from '../src/index';
import { createStack, type Stack } from '../src/index';
import { portOf } from './support/stacks';

let stack: Stack;
beforeAll(async () => {
  stack = await createStack({ recvBuffer: 64 << 10 });
});
afterAll(() => stack.close());

async function pair(options = {}): Promise<[client: Socket, accepted: Socket]> {
  const listener = stack.net.createServer(options).listen(0, '127.0.0.1');
  const accepted = once(listener, 'connection');
  const client = stack.net.connect(await portOf(listener), '127.0.0.1');
  const [socket] = await accepted;
  listener.close();
  return [client, socket];
}

/** All that `client` sent, and what `socket` saw of it, once it is through. */
async function through(client: Socket, socket: Socket, seen: () => Buffer): Promise<void> {
  const sent = Buffer.alloc(1 << 20, 'what was sent, in order; ');
  const ended = once(socket, 'end');
  client.end(sent);
  await ended;
  expect(seen().equals(sent)).toBe(true);
  socket.end();
}

test('a listener that pauses is given the rest in order', async () => {
  const [client, socket] = await pair();
  const got: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => {
    got.push(chunk);
    socket.pause();
    if (got.length % 2) setImmediate(() => socket.resume());
    else process.nextTick(() => socket.resume());
  });
  await through(client, socket, () => Buffer.concat(got));
});

test('a listener that puts back what it does not want yet is given it again', async () => {
  const [client, socket] = await pair();
  const got: Buffer[] = [];
  let times = 0;
  socket.on('data', (chunk: Buffer) => {
    if (++times % 3 !== 0 || chunk.length < 2) {
      got.push(chunk);
      return;
    }
    got.push(chunk.subarray(0, 1));
    socket.pause();
    socket.unshift(chunk.subarray(1));
    process.nextTick(() => socket.resume());
  });
  await through(client, socket, () => Buffer.concat(got));
});

test('a listener that turns to reading by hand gets everything', async () => {
  const [client, socket] = await pair();
  const got: Buffer[] = [];
  socket.once('data', (chunk: Buffer) => {
    got.push(chunk);
    socket.on('readable', () => {
      for (let more = socket.read(1000) ?? socket.read(); more !== null; more = socket.read()) got.push(more);
    });
  });
  await through(client, socket, () => Buffer.concat(got));
});

test('after a listener that failed the stream goes on as any', async () => {
  const [client, socket] = await pair();
  const got: Buffer[] = [];
  socket.once('data', () => {
    throw new Error('a listener failed');
  });
  const internal = socket as unknown as { onHandleData(chunk: Buffer): void; _readableState: { readingMore: boolean } };
  expect(() => internal.onHandleData(Buffer.from('x'))).toThrow('a listener failed');
  expect(internal._readableState.readingMore).toBe(false);
  socket.on('data', (chunk: Buffer) => got.push(chunk));
  await through(client, socket, () => Buffer.concat(got));
});

test('without listeners what comes is let go', async () => {
  const [client, socket] = await pair();
  socket.resume();
  await through(client, socket, () => Buffer.alloc(1 << 20, 'what was sent, in order; '));
  expect(socket.bytesRead).toBe(1 << 20);
});

test('an iterator stops when it likes', async () => {
  const [client, socket] = await pair();
  client.write(Buffer.alloc(300_000, 'x'));
  let seen = 0;
  for await (const chunk of socket) {
    seen += (chunk as Buffer).length;
    if (seen > 100_000) break;
  }
  expect(socket.destroyed).toBe(true);
  client.on('error', () => {}).destroy();
});

test('a connection that is accepted paused has its data wait until it is wanted', async () => {
  const [client, socket] = await pair({ pauseOnConnect: true });
  await new Promise((resolve) => client.write('early', resolve));
  for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
  expect([socket.bytesRead, socket.readableLength, socket.isPaused()]).toEqual([0, 0, true]);
  const got: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => got.push(chunk)).resume();
  client.end();
  await once(socket, 'end');
  expect(Buffer.concat(got).toString()).toBe('early');
});

test('data that came with the connection reaches a listener that is set in its turn', async () => {
  const listener = stack.net.createServer().listen(0, '127.0.0.1');
  const port = await portOf(listener);
  const clients = Array.from({ length: 20 }, () => stack.net.connect(port, '127.0.0.1'));
  for (const client of clients) client.end(`from ${clients.indexOf(client)}`);
  const got: string[] = [];
  let left = clients.length;
  await new Promise<void>((resolve) => {
    listener.on('connection', (socket: Socket) => {
      // As programs do that look up something first.
      process.nextTick(async () => {
        await null;
        socket.setEncoding('utf8').on('data', (text) => got.push(String(text)));
        socket.on('end', () => --left || resolve());
      });
    });
  });
  expect(got.sort()).toEqual(clients.map((_, index) => `from ${index}`).sort());
  listener.close();
});
