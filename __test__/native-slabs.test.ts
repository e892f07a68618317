// Received bytes in JavaScript's hands: whatever it keeps, drops, or gives away, they stay what they were, and the memory
// comes back.

import v8 from 'node:v8';
import vm from 'node:vm';
import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads';
import { RecordKind } from '../src/native';
import { linked, pattern, type Taken, TestStack, turn } from './support/native-stack';

v8.setFlagsFromString('--expose-gc');
const gc = vm.runInNewContext('gc') as () => void;
const stacks: TestStack[] = [];

afterEach(() => {
  for (const stack of stacks.splice(0)) stack.close();
});

/** Garbage collections, and the turns of the loop in which finalisers run. */
async function collect(): Promise<void> {
  for (let i = 0; i < 4; i++) {
    gc();
    await turn();
  }
}

/** A stack with a connection to itself whose accepted end is read. */
async function flowing(): Promise<{ stack: TestStack; client: number; server: number }> {
  const stack = new TestStack();
  stacks.push(stack);
  const [client, server] = await stack.connect(stack);
  stack.native.readStart(server);
  return { stack, client, server };
}

/** Sends `data` and waits until it arrived. */
async function transfer(stack: TestStack, client: number, server: number, data: Buffer): Promise<void> {
  let arrived = 0;
  const all = new Promise<void>((resolve) => {
    const before = stack.onrecord;
    stack.onrecord = (record) => {
      before?.(record);
      if (record.kind === RecordKind.Data && record.id === server) arrived += record.c;
      if (arrived === data.length) {
        stack.onrecord = before;
        resolve();
      }
    };
  });
  await Promise.all([stack.send(client, data), all]);
}

test('retained views keep their bytes while hundreds of megabytes flow past them', async () => {
  const { stack, client, server } = await flowing();
  const kept: Array<{ view: Buffer; copy: Buffer }> = [];
  let count = 0;
  stack.onrecord = (record: Taken) => {
    stack.log.length = 0;
    // Every so often a view, some of it only a few bytes; the copy tells later whether it changed.
    if (record.kind !== RecordKind.Data || count++ % 37 !== 0) return;
    const view = count % 2 === 0 ? record.data : record.data.subarray(-10);
    kept.push({ view, copy: Buffer.from(view) });
    // Most are dropped again, so that slabs become free at every moment.
    if (kept.length > 60) kept.splice(0, 50);
  };
  for (let round = 0; round < 12; round++) {
    await transfer(stack, client, server, pattern(16 << 20, round + 1));
    if (round % 3 === 2) await collect();
    for (const { view, copy } of kept) expect(view.equals(copy)).toBe(true);
  }
  expect(kept.length).toBeGreaterThan(5);
});

test('slabs are used again once nobody holds them: memory does not grow with what was received', async () => {
  const { stack, client, server } = await flowing();
  stack.onrecord = () => {
    stack.log.length = 0;
  };
  const data = pattern(32 << 20);
  await transfer(stack, client, server, data);
  await collect();
  const before = process.memoryUsage();
  for (let round = 0; round < 10; round++) {
    await transfer(stack, client, server, data);
    await collect();
  }
  const after = process.memoryUsage();
  expect(after.rss - before.rss).toBeLessThan(80 << 20);
  expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(40 << 20);
});

test('a few bytes kept of many chunks keep little memory', async () => {
  const { stack, client, server } = await flowing();
  const kept: Buffer[] = [];
  stack.onrecord = (record: Taken) => {
    stack.log.length = 0;
    if (record.kind === RecordKind.Data) kept.push(record.data.subarray(0, 10));
  };
  stack.native.setNoDelay(client, true);
  await collect();
  const before = process.memoryUsage().rss;
  // Small messages: what is kept pins what they are gathered in, and no more.
  for (let i = 0; i < 2000; i++) await transfer(stack, client, server, Buffer.alloc(100, i));
  expect(new Set(kept.map((view) => view.buffer)).size).toBeLessThan(100);
  for (const view of kept) expect(view.buffer.byteLength).toBeLessThanOrEqual(64 << 10);
  // Large ones: at most 40 slabs of 1 MiB are pinned, beyond them no more than 64 KiB a chunk.
  kept.length = 0;
  await transfer(stack, client, server, pattern(64 << 20));
  await collect();
  const big = new Set(kept.map((view) => view.buffer).filter((buffer) => buffer.byteLength === 1 << 20));
  expect(big.size).toBeLessThanOrEqual(40);
  for (const view of kept) expect([1 << 20, 64 << 10, 16 << 10]).toContain(view.buffer.byteLength);
  expect(process.memoryUsage().rss - before).toBeLessThan(190 << 20);
});

test('with every slab held for good, bytes still come right', async () => {
  const { stack, client, server } = await flowing();
  const data = pattern(48 << 20, 7);
  const kept: Buffer[] = [];
  stack.onrecord = (record: Taken) => {
    stack.log.length = 0;
    if (record.kind === RecordKind.Data) kept.push(record.data);
  };
  await transfer(stack, client, server, data);
  await collect();
  expect(Buffer.concat(kept).equals(data)).toBe(true);
});

test('buffers that are given away or detached harm nobody', async () => {
  const { stack, client, server } = await flowing();
  const { port1, port2 } = new MessageChannel();
  const seen: Buffer[] = [];
  const given: Array<{ copy: Buffer; offset: number; buffer: ArrayBuffer }> = [];
  stack.onrecord = (record: Taken) => {
    if (record.kind === RecordKind.Data) seen.push(Buffer.from(record.data));
  };
  for (let round = 0; round < 30; round++) {
    const data = pattern(round % 2 === 0 ? 300_000 : 3000, round + 1);
    seen.length = 0;
    stack.log.length = 0;
    await transfer(stack, client, server, data);
    expect(Buffer.concat(seen).equals(data)).toBe(true);
    const { data: view } = stack.log.findLast((record) => record.kind === RecordKind.Data)!;
    const buffer = view.buffer as ArrayBuffer & { transfer?: () => ArrayBuffer };
    const copy = Buffer.from(view);
    const offset = view.byteOffset;
    if (round % 3 === 0) {
      // External memory cannot be posted away; what V8 allocated can.
      try {
        port1.postMessage(buffer, [buffer]);
        given.push({ copy, offset, buffer: receiveMessageOnPort(port2)!.message as ArrayBuffer });
      } catch (error) {
        expect((error as Error).name).toBe('DataCloneError');
      }
    } else if (round % 3 === 1 && buffer.transfer !== undefined) {
      given.push({ copy, offset, buffer: buffer.transfer() });
    }
    if (round % 10 === 9) await collect();
    for (const { copy, offset, buffer } of given)
      expect(Buffer.from(buffer, offset, copy.length).equals(copy)).toBe(true);
  }
  port1.close();
});

test('views outlive their socket and their stack', async () => {
  const [a, b] = linked();
  const [client, server] = await a.connect(b, 'fd00::2');
  b.native.readStart(server);
  const data = pattern(2 << 20, 3);
  await a.send(client, data);
  a.native.shutdown(client);
  await b.next(RecordKind.End, server);
  const kept = b.log.filter((record) => record.kind === RecordKind.Data).map((record) => record.data);
  a.close();
  b.close();
  await collect();
  expect(Buffer.concat(kept).equals(data)).toBe(true);
  kept.length = 0;
  b.log.length = 0;
  await collect();
});

test('an events array that is transferred away is noticed', async () => {
  const { stack, client } = await flowing();
  stack.answering = false;
  const { port1, port2 } = new MessageChannel();
  port1.postMessage(stack.events, [stack.events.buffer as ArrayBuffer]);
  port1.close();
  port2.close();
  expect(stack.native.write(client, Buffer.from('x'))).toBe(1);
  expect(stack.native.drain()).toBe(0);
});

test('only slabs of the last drain are to be had', async () => {
  const { stack, client, server } = await flowing();
  await transfer(stack, client, server, Buffer.from('abc'));
  expect(() => stack.native.slab(999)).toThrow(expect.objectContaining({ code: 'ERR_OUT_OF_RANGE' }));
  expect(() => stack.native.slab(-1)).toThrow(expect.objectContaining({ code: 'ERR_OUT_OF_RANGE' }));
});
