// The program's time under a network's: setTimeout, setInterval, Date and performance go by the network's clock. It is a
// fake clock of @sinonjs/fake-timers: Jest's where its modern fake timers are in use, node:test's mock timers where they
// are handed over, else one of our own.
import { codedError } from '../errors';

/** What node:test's `mock.timers` has. */
export interface MockTimers {
  tick(milliseconds?: number): void;
}

/** A timer as fake-timers keeps it. */
interface FakeTimer {
  id: number;
  callAt: number;
  interval?: number;
  type: string;
}

interface Handle {
  hasRef?(): boolean;
}

/** A fake-timers clock, as far as it is used here. */
interface FakeClock {
  now: number;
  timers?: Map<number, FakeTimer> | Record<number, FakeTimer>;
  timerHeap?: { peek(): FakeTimer | undefined };
  jobs?: unknown[];
  tick(ms: number): number;
  next(): number;
  runMicrotasks?(): void;
  uninstall?(): void;
  setTimeout(callback: (...args: unknown[]) => void, ms?: number, ...args: unknown[]): unknown;
  clearTimeout(id: unknown): void;
  performance?: { now(): number };
}

interface FakeTimersModule {
  withGlobal(global: object): {
    install(options: object): FakeClock;
  };
}

/** What Date says when a network of its own clock begins: 2024-01-01T00:00:00Z. */
export const EPOCH = Date.UTC(2024, 0, 1);

/** What of a program's time is replaced. */
const FAKED = [
  'setTimeout',
  'clearTimeout',
  'setInterval',
  'clearInterval',
  'Date',
  'performance',
  'hrtime',
  'Intl',
] as const;

const NATIVE_CODE = /\[native code\]/;

/** The clock that we installed, shared by the networks that are open. */
let installed: { clock: FakeClock; users: number } | null = null;

function currentFake(): FakeClock | undefined {
  return (globalThis.setTimeout as unknown as { clock?: FakeClock }).clock;
}

function isNodeFunction(): boolean {
  const { name } = globalThis.setTimeout;
  const text = Function.prototype.toString.call(globalThis.setTimeout);
  // Node's own is written in JavaScript; Jest's environment hands it through.
  return name === 'setTimeout' && !NATIVE_CODE.test(text) && !/mock/i.test(text);
}

/** The program's clock, kept in step with a network. */
export class ProgramClock {
  readonly #clock: FakeClock;
  /** What the fake clock showed when the network was at 0. */
  readonly #base: number;
  readonly #own: boolean;
  readonly #handles = new Map<number, Handle>();
  readonly #networkNow: () => number;
  #pruneAt = 1024;
  #closed = false;
  #restore: Array<() => void> = [];

  /** `networkNow` gives the network's time, ms. */
  constructor(networkNow: () => number, mock?: MockTimers) {
    this.#networkNow = networkNow;
    if (mock !== undefined) {
      this.#clock = new MockClock(mock) as unknown as FakeClock;
      this.#own = false;
    } else {
      const present = currentFake();
      if (present === undefined && installed === null && !isNodeFunction()) {
        throw codedError(
          Error,
          'ERR_UNKNOWN_FAKE_TIMERS',
          'setTimeout is faked by something whose clock cannot be found. With node:test, hand its timers over: createNetwork({ timers: t.mock.timers }); else begin the network before, or without, other fake timers.',
        );
      }
      this.#own = present === undefined || present === installed?.clock;
      this.#clock = present ?? install();
      if (this.#own) installed!.users++;
    }
    this.#base = this.#clock.now;
    this.#wrap();
  }

  /** The program's time, ms since the network began. Whole ms: the network's is never behind it by one or more. */
  get now(): number {
    return this.#clock.now - this.#base;
  }

  /** When the next timer fires, ms since the network began; Infinity: none will. */
  get nextAt(): number {
    const first = this.#first();
    return first === undefined ? Number.POSITIVE_INFINITY : first.callAt - this.#base;
  }

  /** How many timeouts keep the process alive. Intervals and what was `unref`ed do not count. */
  get refed(): number {
    let count = 0;
    for (const timer of this.#timers()) {
      if (timer.interval !== undefined || timer.type === 'Interval') continue;
      if (this.#handles.get(Number(timer.id))?.hasRef?.() !== false) count++;
    }
    return count;
  }

  /** Whether there is an interval that keeps the process alive. */
  get intervals(): number {
    return [...this.#timers()].filter((timer) => timer.interval !== undefined || timer.type === 'Interval').length;
  }

  /** Fires the next timer, at its time; whether it was one that keeps the process alive and is no interval. */
  fire(): boolean {
    const first = this.#first();
    const background =
      first === undefined || first.interval !== undefined || this.#handles.get(Number(first.id))?.hasRef?.() === false;
    if (first !== undefined && first.interval === undefined) this.#handles.delete(Number(first.id));
    this.#clock.next();
    return !background;
  }

  /** Goes to a time, ms since the network began. No timer is due on the way. */
  goTo(ms: number): void {
    const by = Math.floor(ms) - this.now;
    if (by <= 0) return;
    // `tick` looks at every timer there is; where none is due, as here, the time is all that changes.
    if (this.#clock instanceof MockClock) this.#clock.tick(by);
    else this.#clock.now += by;
  }

  /** Runs what waits for no time: faked ticks, immediates and timers that are overdue. Whether there was anything. */
  flush(): boolean {
    let some = false;
    if ((this.#clock.jobs?.length ?? 0) > 0) {
      this.#clock.runMicrotasks?.();
      some = true;
    }
    const first = this.#first();
    if (first !== undefined && first.type === 'Immediate' && first.callAt <= this.#clock.now) {
      this.#clock.next();
      some = true;
    }
    return some;
  }

  /** A timer of the network's own, on the program's clock. */
  schedule(ms: number, callback: () => void): void {
    this.#clock.setTimeout(callback, ms);
  }

  /** Gives the program its time back. */
  close(): void {
    this.#closed = true;
    for (const restore of this.#restore.splice(0)) restore();
    if (!this.#own || installed === null) return;
    installed.users--;
    if (installed.users === 0) {
      installed.clock.uninstall?.();
      installed = null;
    }
  }

  /** Libraries keep a timer and `refresh()` it in the next network: then it is set anew, by the clock that is then. */
  #outlive(handle: NodeJS.Timeout, again: () => unknown): void {
    const { refresh } = handle;
    if (refresh === undefined || !this.#own) return;
    let next: NodeJS.Timeout | null = null;
    handle.refresh = () => {
      if (!this.#closed) return refresh.call(handle);
      if (next !== null) next.refresh();
      else next = again() as NodeJS.Timeout;
      if (!handle.hasRef()) next.unref();
      return handle;
    };
  }

  #note(handle: Handle & number): void {
    this.#handles.set(Number(handle), handle);
    if (this.#handles.size < 2 * this.#pruneAt) return;
    // Those that were cleared.
    const live = new Set([...this.#timers()].map((timer) => Number(timer.id)));
    for (const id of this.#handles.keys()) if (!live.has(id)) this.#handles.delete(id);
    this.#pruneAt = Math.max(1024, this.#handles.size);
  }

  *#timers(): Iterable<FakeTimer> {
    const { timers } = this.#clock;
    if (timers === undefined) return;
    // A Map, perhaps of another realm (Jest's).
    if (typeof (timers as Map<number, FakeTimer>).values === 'function')
      yield* (timers as Map<number, FakeTimer>).values();
    else yield* Object.values(timers as Record<number, FakeTimer>);
  }

  #first(): FakeTimer | undefined {
    const { timerHeap } = this.#clock;
    if (timerHeap !== undefined) return timerHeap.peek();
    let first: FakeTimer | undefined;
    for (const timer of this.#timers()) if (first === undefined || timer.callAt < first.callAt) first = timer;
    return first;
  }

  /** Has timers fire no earlier than they should, and `performance` show the network's fractions of a millisecond. */
  #wrap(): void {
    const clock = this.#clock as unknown as Record<string, (...args: unknown[]) => unknown>;
    for (const name of ['setTimeout', 'setInterval'] as const) {
      const original = clock[name];
      if (original === undefined) continue;
      const wrapped = (callback: unknown, ms?: unknown, ...args: unknown[]): unknown => {
        const behind = name === 'setTimeout' && this.#networkNow() > this.now ? 1 : 0;
        const delay = Math.max(1, Number(ms) || 1) + behind;
        const handle = original(callback, delay, ...args) as Handle & number;
        if (typeof handle === 'object') {
          this.#note(handle);
          this.#outlive(handle as unknown as NodeJS.Timeout, () =>
            (globalThis as never as typeof clock)[name]?.(callback, ms, ...args),
          );
        }
        return handle;
      };
      Object.assign(wrapped, original);
      for (const symbol of Object.getOwnPropertySymbols(original)) {
        (wrapped as unknown as Record<symbol, unknown>)[symbol] = (original as unknown as Record<symbol, unknown>)[
          symbol
        ];
      }
      clock[name] = wrapped;
      this.#restore.push(() => {
        clock[name] = original;
      });
    }
  }
}

function install(): FakeClock {
  const fakeTimers = loadFakeTimers();
  const clock = fakeTimers.withGlobal(globalThis).install({ now: EPOCH, toFake: FAKED, ignoreMissingTimers: true });
  installed = { clock, users: 0 };
  return clock;
}

function loadFakeTimers(): FakeTimersModule {
  try {
    return require('@sinonjs/fake-timers') as FakeTimersModule;
  } catch (cause) {
    const error = codedError(
      Error,
      'ERR_FAKE_TIMERS_NOT_FOUND',
      "A network in virtual time needs the package @sinonjs/fake-timers, which is not installed here. Run: npm install --save-dev @sinonjs/fake-timers. Jest's own fake timers, or clock: 'real', do without.",
    );
    error.cause = cause;
    throw error;
  }
}

/** node:test's mock timers with a clock's face. They tell nothing of what is due, so what is set is noted. */
class MockClock {
  now = 0;
  readonly timers = new Map<number, FakeTimer>();
  readonly jobs: unknown[] = [];
  readonly #mock: MockTimers;
  readonly #setTimeout = globalThis.setTimeout;
  #lastId = 0;

  constructor(mock: MockTimers) {
    this.#mock = mock;
    const note = (name: 'setTimeout' | 'setInterval', clear: 'clearTimeout' | 'clearInterval'): void => {
      const set = globalThis[name] as unknown as (...args: unknown[]) => unknown;
      const unset = globalThis[clear] as unknown as (handle: unknown) => void;
      const ids = new WeakMap<object, number>();
      const noted = (callback: (...args: unknown[]) => void, ms?: number, ...args: unknown[]): unknown => {
        const delay = Math.max(1, Number(ms) || 1);
        const id = ++this.#lastId;
        const timer: FakeTimer = {
          id,
          callAt: this.now + delay,
          type: name === 'setTimeout' ? 'Timeout' : 'Interval',
          ...(name === 'setInterval' && { interval: delay }),
        };
        this.timers.set(id, timer);
        const handle = set(
          (...given: unknown[]) => {
            if (name === 'setTimeout') this.timers.delete(id);
            else timer.callAt += delay;
            callback(...given);
          },
          delay,
          ...args,
        );
        if (typeof handle === 'object' && handle !== null) ids.set(handle, id);
        return handle;
      };
      (globalThis as unknown as Record<string, unknown>)[name] = noted;
      (globalThis as unknown as Record<string, unknown>)[clear] = (handle: unknown): void => {
        const id = typeof handle === 'object' && handle !== null ? ids.get(handle) : undefined;
        if (id !== undefined) this.timers.delete(id);
        unset(handle);
      };
    };
    note('setTimeout', 'clearTimeout');
    note('setInterval', 'clearInterval');
  }

  tick(ms: number): number {
    this.now += ms;
    this.#mock.tick(ms);
    return this.now;
  }

  next(): number {
    let at = Number.POSITIVE_INFINITY;
    for (const timer of this.timers.values()) at = Math.min(at, timer.callAt);
    const due = [...this.timers.values()].filter((timer) => timer.callAt <= at);
    this.tick(Math.max(0, at - this.now));
    // What did not fire was cleared in a way that was not seen.
    for (const timer of due) if (timer.callAt <= this.now) this.timers.delete(timer.id);
    return this.now;
  }

  setTimeout(callback: (...args: unknown[]) => void, ms?: number): unknown {
    return (globalThis.setTimeout ?? this.#setTimeout)(callback, ms);
  }

  clearTimeout(handle: unknown): void {
    globalThis.clearTimeout(handle as NodeJS.Timeout);
  }
}
