// What a program has of time, chance and real work besides the timers that a fake clock replaces: while a network in
// virtual time is open, `AbortSignal.timeout`, `timers/promises` and `Math.random` follow the network, and WebAssembly
// that is being compiled is waited for.
import * as timers from 'node:timers';
import * as promises from 'node:timers/promises';
import { realSetTimeout } from './timers';

/** Real work that libuv does not count: promises that are waited for. */
let tracked = 0;

/** How many promises are waited for. */
export function trackedPromises(): number {
  return tracked;
}

/** Has networks in virtual time wait for a promise that real work settles. */
export function track<T>(promise: Promise<T>): Promise<T> {
  tracked++;
  const settled = (): void => {
    tracked--;
  };
  promise.then(settled, settled);
  return promise;
}

type Functions = Record<string, (...args: never[]) => unknown>;

let users = 0;
let restores: Array<() => void> = [];
let random: (() => number) | null = null;

/** A network in virtual time begins; the result ends it. `seed` is for `Math.random`, null leaves that alone. */
export function enterGlobals(seed: number | null): () => void {
  if (users === 0) patchAll();
  users++;
  if (seed !== null) random = generator(seed);
  let ended = false;
  return () => {
    if (ended) return;
    ended = true;
    users--;
    if (users > 0) return;
    for (const restore of restores.reverse()) restore();
    restores = [];
    random = null;
  };
}

function patch(object: object, name: string, replacement: (original: never) => unknown): void {
  const functions = object as Functions;
  const original = functions[name];
  if (typeof original !== 'function') return;
  const own = Object.hasOwn(object, name);
  const replaced = replacement(original as never) as Functions[string];
  functions[name] = replaced;
  restores.push(() => {
    // Unless somebody else replaced it meanwhile.
    if (functions[name] !== replaced) return;
    if (own) functions[name] = original;
    else delete functions[name];
  });
}

function patchAll(): void {
  patch(AbortSignal, 'timeout', () => abortAfter);
  patch(Math, 'random', (original: () => number) => () => (random ?? original)());
  const { WebAssembly } = globalThis as unknown as { WebAssembly?: object };
  for (const name of ['compile', 'instantiate', 'compileStreaming', 'instantiateStreaming']) {
    if (WebAssembly === undefined) break;
    patch(WebAssembly, name, (original: (...args: unknown[]) => Promise<unknown>) => (...args: unknown[]) => {
      return track(original.apply(WebAssembly, args));
    });
  }
  const { scheduler } = promises as unknown as { scheduler?: object };
  if (scheduler !== undefined) {
    patch(scheduler, 'wait', () => (ms: number, options?: TimerOptions) => settled(ms, undefined, options));
  }
  // Fake clocks that are not ours, Jest's for one, leave Node's modules alone.
  if (timers.setTimeout !== realSetTimeout) return;
  for (const name of ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] as const) {
    patch(
      timersModule,
      name,
      () =>
        (...args: []) =>
          (globalThis as unknown as Functions)[name]?.(...args),
    );
  }
  patch(promisesModule, 'setTimeout', () => settled);
  patch(promisesModule, 'setInterval', () => repeated);
}

// The modules themselves: what `import` gives may be a copy.
const timersModule = require('node:timers') as object;
const promisesModule = require('node:timers/promises') as object;

interface TimerOptions {
  signal?: AbortSignal;
  ref?: boolean;
}

/** `setTimeout` of `timers/promises` by the program's clock. */
function settled<T>(ms?: number, value?: T, { signal, ref = true }: TimerOptions = {}): Promise<T> {
  return new Promise((resolve, reject) => {
    const aborted = (): void => {
      clearTimeout(timer);
      const error = new Error('The operation was aborted', { cause: signal?.reason });
      reject(Object.assign(error, { name: 'AbortError', code: 'ABORT_ERR' }));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', aborted);
      resolve(value as T);
    }, ms);
    if (!ref) timer.unref?.();
    if (signal?.aborted) aborted();
    else signal?.addEventListener('abort', aborted, { once: true });
  });
}

/** `setInterval` of `timers/promises` by the program's clock. */
async function* repeated<T>(ms?: number, value?: T, options?: TimerOptions): AsyncGenerator<T, void> {
  for (;;) yield await settled(ms, value as T, options);
}

/** `AbortSignal.timeout` by the program's clock. As Node's, it does not keep the process alive. */
function abortAfter(ms: number): AbortSignal {
  const controller = new AbortController();
  const timer = setTimeout(() => {
    controller.abort(new DOMException('The operation was aborted due to timeout', 'TimeoutError'));
  }, ms);
  timer.unref?.();
  return controller.signal;
}

/** Numbers from 0 to 1 that follow from a seed (mulberry32, on both halves of the seed). */
function generator(seed: number): () => number {
  let state = (seed ^ Math.imul(Math.floor(seed / 2 ** 32), 0x9e3779b1)) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
