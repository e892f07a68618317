// What lets time go on: in virtual time only when the program is idle, in real time as it passes.
import { codedError } from '../errors';
import type { ProgramClock } from './clock';
import type { NativeNetwork } from './native';
import type { RealIo } from './real-io';
import { realClearTimeout, realSetImmediate, realSetTimeout, turn } from './timers';

/** Hosts that one call of the network names. */
const HOSTS = 256;
/** Steps without time going on after which something runs in circles. */
const CIRCLES = 200_000;
/** Virtual ms in which nothing but probes, unrefed timers and intervals went on: then a run has come to rest. */
const QUIET = 3 * 3_600_000;
/** Real ms between two looks at a condition while the network has nothing to do. */
const LOOK = 2;

/** How a drive ended. */
export type Outcome = 'done' | 'idle' | 'limit';

/** What a drive is for. */
export interface Drive {
  /** Ends it. Asked whenever the program is idle. */
  done: () => boolean;
  /** Ends it at this time, ms. */
  limit: number;
  /** Whether probes and the like, going on by themselves, count as rest. */
  rests: boolean;
  /** Whether something is waited for, which an unrefed timer may bring about as well. */
  awaited?: boolean;
}

/** What the driver needs of a host. */
export interface Ringing {
  /** Tells the host's program that there is something to take. */
  ring(): void;
}

/** Drives a network. */
export interface Driver {
  /** Lets time go on until the drive ends. */
  drive(drive: Drive): Promise<Outcome>;
  /** A host has something to tell. */
  rang(host: Ringing): void;
  /** The network was used: it may have something to do. */
  touched(): void;
  /** Keeps the process alive (real time). */
  hold(delta: 1 | -1): void;
  /** A function of the program that a rule asked has thrown: the drive rejects with the first of it. */
  readonly failed: (error: unknown) => void;
  /** Ends it. */
  close(): void;
}

/** What both drivers share. */
abstract class Base {
  protected readonly native: NativeNetwork;
  protected readonly hosts: ReadonlyArray<Ringing | undefined>;
  protected readonly afterStep: () => void;
  readonly #numbers = new Int32Array(HOSTS);
  readonly #rung = new Set<Ringing>();
  #failures: unknown[] = [];

  readonly failed = (error: unknown): void => {
    this.#failures.push(error);
  };

  constructor(native: NativeNetwork, hosts: ReadonlyArray<Ringing | undefined>, afterStep: () => void) {
    this.native = native;
    this.hosts = hosts;
    this.afterStep = afterStep;
  }

  rang(host: Ringing): void {
    this.#rung.add(host);
  }

  /** Goes on to `until` or to the first thing that programs are told of; whether there was one. */
  protected step(until: number): boolean {
    const count = this.native.run(until, this.#numbers);
    for (let i = 0; i < count; i++) {
      const host = this.hosts[this.#numbers[i] as number];
      if (host !== undefined) this.#rung.add(host);
    }
    this.afterStep();
    return this.#rung.size > 0;
  }

  /** Throws what a rule's function has thrown. */
  protected rethrow(): void {
    if (this.#failures.length === 0) return;
    const [first] = this.#failures.splice(0);
    throw first;
  }

  /** Tells programs of what there is. */
  protected deliver(): boolean {
    if (this.#rung.size === 0) return false;
    const rung = [...this.#rung];
    this.#rung.clear();
    for (const host of rung) host.ring();
    return true;
  }
}

/** Time that goes on when everything is idle. */
export class VirtualDriver extends Base implements Driver {
  readonly #clock: ProgramClock;
  readonly #io: RealIo;
  #driving = false;

  constructor(
    native: NativeNetwork,
    hosts: ReadonlyArray<Ringing | undefined>,
    afterStep: () => void,
    clock: ProgramClock,
    io: RealIo,
  ) {
    super(native, hosts, afterStep);
    this.#clock = clock;
    this.#io = io;
  }

  touched(): void {}

  hold(): void {}

  close(): void {}

  async drive({ done, limit, rests, awaited = false }: Drive): Promise<Outcome> {
    if (this.#driving) {
      throw codedError(
        Error,
        'ERR_NETWORK_RUNS',
        'The network runs already: await the run(), advance() or until() before the next.',
      );
    }
    this.#driving = true;
    try {
      return await this.#drive(done, limit, rests, awaited);
    } finally {
      this.#driving = false;
    }
  }

  async #drive(done: () => boolean, limit: number, rests: boolean, awaited: boolean): Promise<Outcome> {
    const { native } = this;
    const clock = this.#clock;
    let busyAt = native.now();
    let at = busyAt;
    let circles = 0;
    // What called may have more to do in this turn.
    await turn();
    for (;;) {
      await this.#settle();
      this.rethrow();
      if (done()) return 'done';
      const now = native.now();
      circles = now > at ? 0 : circles + 1;
      at = now;
      if (circles > CIRCLES) throw this.#circles();

      const timerAt = clock.nextAt;
      const next = native.nextAt();
      const networkAt = next < 0 ? Number.POSITIVE_INFINITY : next;
      const soonest = Math.min(timerAt, networkAt);
      if (soonest === Number.POSITIVE_INFINITY && limit === Number.POSITIVE_INFINITY) return 'idle';
      if (rests && clock.refed === 0 && native.inFlight() === 0) {
        // What is left goes on by itself: unrefed timers, intervals, probes. Those of stacks come to an end, or to rest.
        const over = awaited ? timerAt === Number.POSITIVE_INFINITY : clock.intervals === 0;
        if (networkAt === Number.POSITIVE_INFINITY && over) return 'idle';
        if (now - busyAt > QUIET) return 'idle';
      }
      if (soonest > limit) {
        this.step(limit);
        clock.goTo(limit);
        await this.#settle();
        return done() ? 'done' : 'limit';
      }
      if (timerAt <= networkAt) {
        this.step(timerAt);
        if (clock.fire()) busyAt = timerAt;
        // As in Node, what a timer's function leaves to ticks and promises comes before anything else is told.
        await turn();
      } else if (this.step(Math.min(timerAt, limit))) {
        clock.goTo(native.now());
        busyAt = native.now();
      } else {
        clock.goTo(native.now());
      }
    }
  }

  /** Waits until the program has done what it can do now. Called in a turn in which nothing of it has run yet. */
  async #settle(): Promise<void> {
    for (;;) {
      // What programs did with their own fake timers meanwhile.
      const behind = this.#clock.now;
      this.step(Math.max(this.native.now(), behind));
      this.deliver();
      await turn();
      if (this.#clock.flush()) {
        await turn();
        continue;
      }
      const idle = this.#io.isIdle();
      if (this.#io.pending > 0) {
        await this.#io.wait();
        continue;
      }
      if (!idle) continue;
      if (!this.step(this.native.now())) return;
    }
  }

  #circles(): Error {
    return codedError(
      Error,
      'ERR_NETWORK_CIRCLES',
      `Something happens again and again without time going on, at ${this.native.now()} ms: a link without delay and rate between programs that answer each other for ever? Give it a delay. The last packets:\n${this.native.trace()}`,
    );
  }
}

/** Time as it passes. */
export class RealDriver extends Base implements Driver {
  #timer: NodeJS.Timeout | null = null;
  #immediate = false;
  #closed = false;
  #held = 0;

  touched(): void {
    if (this.#immediate || this.#closed) return;
    this.#immediate = true;
    realSetImmediate(() => {
      this.#immediate = false;
      this.#poke();
    });
  }

  override rang(host: Ringing): void {
    super.rang(host);
    this.touched();
  }

  hold(delta: 1 | -1): void {
    this.#held += delta;
    if (this.#held > 0) this.#timer?.ref();
    else this.#timer?.unref();
    this.touched();
  }

  close(): void {
    this.#closed = true;
    if (this.#timer !== null) realClearTimeout(this.#timer);
  }

  async drive({ done, limit, rests }: Drive): Promise<Outcome> {
    for (;;) {
      this.touched();
      await turn();
      this.rethrow();
      if (done()) return 'done';
      const now = this.native.now();
      if (now >= limit) return 'limit';
      if (rests && this.native.nextAt() < 0 && this.native.inFlight() === 0) return 'idle';
      const wait = Math.max(0, Math.min(LOOK, limit - now));
      await new Promise<void>((resolve) => realSetTimeout(resolve, wait));
    }
  }

  #poke(): void {
    if (this.#closed) return;
    // Once a turn: what programs leave to ticks and promises comes before they are told of more.
    if (this.step(this.native.now()) && this.deliver()) this.touched();
    if (this.#timer !== null) realClearTimeout(this.#timer);
    const next = this.native.nextAt();
    // A day at most: longer waits do not fit a timer.
    const wait = next < 0 ? 86_400_000 : Math.min(86_400_000, Math.max(0, next - this.native.now()));
    this.#timer = realSetTimeout(() => this.#poke(), Math.ceil(wait));
    if (this.#held <= 0) this.#timer.unref();
  }
}
