// The life of a native stack: doorbell, shutdown, garbage collection, worker threads, process exit.

import { execFile } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { promisify } from 'node:util';
import v8 from 'node:v8';
import vm from 'node:vm';
import { Worker } from 'node:worker_threads';
import { platformName, RecordKind } from '../src/native';
import { binding, linked, pattern, TestStack, turn } from './support/native-stack';
import { holdings } from './support/process';

v8.setFlagsFromString('--expose-gc');
const gc = vm.runInNewContext('gc') as () => void;
const addon = path.resolve(__dirname, '..', `usernet.${platformName()}.node`);

async function collect(): Promise<void> {
  for (let i = 0; i < 4; i++) {
    gc();
    await turn();
  }
}

/** A script around a stack `st` with a listener and a connection `c` to it that floods itself; `ready` when data flows. */
const FLOOD = `
  const { NativeStack } = require(${JSON.stringify(addon)});
  const ev = new Int32Array(6 * 64);
  let ready = () => {};
  let down = false;
  const chunk = Buffer.alloc(65536, 1);
  const flood = () => { while (st.write(c, chunk) === chunk.length); };
  const st = new NativeStack({}, ev, () => {
    let n;
    do {
      n = st.drain();
      for (let i = 0; i < n && !down; i++) {
        const [kind, index, , a] = ev.subarray(i * 6);
        if (kind === 6) st.readStart(a);
        else if (kind === 1) { st.slab(a); ready(); }
        else if (kind === 3 || kind === 5) flood();
      }
    } while (n === 64);
  });
  const listener = st.listen('127.0.0.1', 0, 10, false);
  const c = st.connect('127.0.0.1', st.listenerAddress(listener).port, '', 0);
`;

/** Runs a script in a process of its own; a crash or a hang makes it fail. */
async function run(script: string): Promise<string> {
  const args = ['--expose-gc', '-e', script];
  const { stdout, stderr } = await promisify(execFile)(process.execPath, args, { timeout: 20_000 });
  expect(stderr).toBe('');
  return stdout;
}

test('the doorbell rings once for many events, and again only after a drain', async () => {
  const [a, b] = linked();
  const [client, server] = await a.connect(b, '198.18.0.2');
  b.native.readStart(server);
  await turn();
  a.native.setNoDelay(client, true);
  b.answering = false;
  const rings = b.rings;
  for (let i = 0; i < 500; i++) {
    a.native.write(client, Buffer.from('many small segments'));
    if (i % 50 === 0) await turn();
  }
  while (b.native.info(server)!.recv_queue !== 500 * 19) await turn();
  await turn();
  expect(b.rings - rings).toBe(1);
  b.drain();
  await turn();
  b.answering = true;
  a.native.write(client, Buffer.from('x'));
  await b.next(RecordKind.Data, server);
  while (b.received(server).length !== 500 * 19 + 1) await b.next(RecordKind.Data, server);
  expect(b.rings - rings).toBeLessThan(10);
  a.close();
  b.close();
});

test('timers have their turn while a stack floods JavaScript', async () => {
  const stack = new TestStack();
  const [client, server] = await stack.connect(stack);
  const chunk = pattern(65_536);
  const flood = (): void => {
    while (stack.native.write(client, chunk) === chunk.length);
  };
  // A stack that let nobody else in would report a gibibyte before the first of these (see `DRAINS_IN_A_ROW`).
  let ticks = 0;
  const timer = setInterval(() => ticks++, 1);
  await new Promise<void>((resolve) => {
    stack.onrecord = (record) => {
      stack.log.length = 0;
      if (record.kind === RecordKind.Writable) flood();
      if ((stack.native.info(server)!.bytes_received as number) >= 256 << 20) resolve();
    };
    stack.native.readStart(server);
    flood();
  });
  clearInterval(timer);
  stack.close();
  expect(ticks).toBeGreaterThan(5);
});

test('shutdown resets peers, answers nothing any more, and is idempotent', async () => {
  const [a, b] = linked();
  const [client, server] = await a.connect(b, 'fd00::2');
  b.native.readStart(server);
  a.native.write(client, pattern(10_000));
  a.close();
  a.close();
  const reset = await b.next(RecordKind.Error, server);
  expect(reset.a).toBeGreaterThan(0);
  const rings = a.rings;
  expect(a.native.write(client, Buffer.from('x'))).toBeLessThan(0);
  expect(a.native.connect('127.0.0.1', 1, '', 0)).toBeLessThan(0);
  expect(a.native.listen('::', 0, 1, false)).toBeLessThan(0);
  expect(a.native.drain()).toBe(0);
  expect(a.native.addresses()).toEqual([]);
  expect(a.native.takeTrace()).toEqual([]);
  expect(a.native.info(client)).toBeNull();
  expect(a.native.stats().tcp_active_opens).toBe(1);
  a.native.ref();
  a.native.unref();
  await turn();
  await turn();
  expect(a.rings).toBe(rings);
  b.close();
});

test('shutdown in the middle of a drain', async () => {
  const stack = new TestStack();
  const [client, server] = await stack.connect(stack);
  stack.native.readStart(server);
  const closed = new Promise<void>((resolve) => {
    stack.onrecord = (record) => {
      if (record.kind !== RecordKind.Data) return;
      expect(record.data.equals(pattern(1000))).toBe(true);
      stack.close();
      resolve();
    };
  });
  stack.native.write(client, pattern(1000));
  await closed;
  const { rings } = stack;
  await collect();
  expect(stack.rings).toBe(rings);
});

test('what the doorbell throws is an uncaught exception, and the stack goes on', async () => {
  const out = await run(`
    const { NativeStack } = require(${JSON.stringify(addon)});
    let rings = 0;
    const st = new NativeStack({}, new Int32Array(600), () => { st.drain(); if (rings++ === 0) throw new Error('mine'); });
    st.ref();
    process.on('uncaughtException', (e) => {
      console.log(e.message);
      st.connect('127.0.0.1', 9, '', 0);
      const look = () => {
        if (rings < 2) return setTimeout(look, 1);
        console.log('again');
        st.shutdownStack();
      };
      look();
    });
    st.connect('127.0.0.1', 9, '', 0);
  `);
  expect(out).toBe('mine\nagain\n');
});

test('a stack that nobody holds is closed by the garbage collector, unless it has sockets', async () => {
  await collect();
  const before = holdings();
  const make = (listen: boolean): void => {
    const events = new Int32Array(600);
    const stack = new binding.NativeStack({}, events, () => stack.drain());
    if (listen) stack.listen('::1', 80, 10, false);
  };
  for (let i = 0; i < 20; i++) make(false);
  expect(holdings().threads).toBe(before.threads + 20);
  for (let i = 0; holdings().threads > before.threads && i < 50; i++) await collect();
  expect(holdings()).toMatchObject({ threads: before.threads, descriptors: before.descriptors });
  const out = await run(`
    const { NativeStack } = require(${JSON.stringify(addon)});
    const { readdirSync } = require('fs');
    const threads = () => readdirSync('/proc/self/task').length;
    const none = threads();
    (() => { const s = new NativeStack({}, new Int32Array(600), () => s.drain()); s.listen('::1', 80, 10, false); })();
    let i = 0;
    const timer = setInterval(() => { gc(); if (++i === 10) { clearInterval(timer); console.log(threads() - none); } }, 5);
  `);
  expect(out).toBe('1\n');
});

test('1,000 stacks made and closed leave no thread and no descriptor', async () => {
  await collect();
  const before = holdings();
  for (let i = 0; i < 1000; i++) {
    const stack = new binding.NativeStack({}, new Int32Array(600), () => {});
    const listener = stack.listen('127.0.0.1', 0, 10, false);
    stack.connect('127.0.0.1', stack.listenerAddress(listener)!.port, '', 0);
    stack.shutdownStack();
  }
  const after = holdings();
  expect(after.threads).toBe(before.threads);
  expect(after.descriptors).toBe(before.descriptors);
  await collect();
  expect(process.memoryUsage.rss() - before.rss).toBeLessThan(64 << 20);
});

test('many stacks at once, each with its own connections', async () => {
  const stacks = Array.from({ length: 12 }, () => new TestStack());
  await Promise.all(
    stacks.map(async (stack, i) => {
      const [client, server] = await stack.connect(stack);
      stack.native.readStart(server);
      await stack.send(client, pattern(200_000, i + 1));
      stack.native.shutdown(client);
      await stack.next(RecordKind.End, server);
      expect(stack.received(server).equals(pattern(200_000, i + 1))).toBe(true);
    }),
  );
  for (const stack of stacks) stack.close();
});

test('20 workers with traffic are terminated at once; each sees bytes of its own', async () => {
  const script = `${FLOOD}
    const { parentPort } = require('worker_threads');
    let told = false;
    ready = () => { if (!told) { told = true; parentPort.postMessage('flows'); } };
    st.ref();`;
  const batch = async (stage: 'online' | 'message'): Promise<void> => {
    const workers = Array.from({ length: 20 }, () => new Worker(script, { eval: true, execArgv: [] }));
    await Promise.all(workers.map((worker) => once(worker, stage)));
    await Promise.all(workers.map((worker) => worker.terminate()));
  };
  await batch('message');
  const before = holdings();
  await batch('online');
  await batch('message');
  const after = holdings();
  expect(after.threads).toBeLessThanOrEqual(before.threads);
  expect(after.descriptors).toBeLessThanOrEqual(before.descriptors);
});

test('a worker may end by itself with live sockets, and hold views until then', async () => {
  const worker = new Worker(`${FLOOD} const kept = []; ready = () => { kept.push(st.slab(st.slab.last ?? 1)); };`, {
    eval: true,
    execArgv: [],
  });
  const [code] = await once(worker, 'exit');
  expect(code).toBe(0);
});

test.each([
  ['process.exit in the middle of traffic', 'ready = () => process.exit(7); st.ref();', 7],
  ['process.exit while data is queued', 'st.ref(); setImmediate(() => process.exit(7));', 7],
  ['an uncaught exception', "ready = () => { throw new Error('on purpose'); }; st.ref();", 1],
  ['nothing that keeps the process', '', 0],
  ['shutdown before the end', 'ready = () => { down = true; st.shutdownStack(); }; st.ref();', 0],
])('a process ends cleanly: %s', async (_, script, code) => {
  const ended = promisify(execFile)(process.execPath, ['-e', FLOOD + script], { timeout: 20_000 });
  const result = await ended.then(
    () => ({ code: 0, signal: null }),
    (error: { code: number; signal: string | null }) => error,
  );
  expect({ code: result.code, signal: result.signal }).toEqual({ code, signal: null });
});
