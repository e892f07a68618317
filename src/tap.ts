// Watching the frames that pass an interface: a bounded queue, with what it had no room for counted.
import { TypedEventEmitter } from './events';
import type { NativeFrame } from './native';
import { validateInt32 } from './net/validators';
import type { Reactor } from './reactor';

/** What `interface.tap()` takes. */
export interface TapOptions {
  /** Most frames that wait for the program. Default 4,096. */
  frames?: number;
  /** Most bytes that wait for the program. Default 4 MiB. */
  bytes?: number;
  /** Most bytes kept of a frame. Default: all of it. */
  snapLength?: number;
}

/** A frame that passed. */
export interface TapFrame {
  /** Whether it came in or went out. */
  direction: 'in' | 'out';
  /** When, ms since 1970, with fractions. */
  time: number;
  /** Bytes of the whole frame. */
  length: number;
  /**
   * The frame, or its beginning. On a TUN or a link it begins with the IP header, on a TAP with Ethernet's. With offload
   * it can be up to 64 KiB long, and the transport checksum of what goes out is still to be filled in; datagrams that the
   * device merged are single ones.
   */
  data: Buffer;
}

/** The events of a tap. */
export interface TapEvents {
  frame: [frame: TapFrame];
  close: [];
}

/** Watches an interface. Made by `interface.tap()`. Does not keep the process alive. */
export class Tap extends TypedEventEmitter<TapEvents> {
  readonly #hub: TapHub;
  readonly #interfaceId: number;
  /** @internal */
  readonly limits: Required<TapOptions>;
  #dropped = 0;
  #closed = false;

  /** @internal Use `interface.tap()`. */
  constructor(hub: TapHub, interfaceId: number, options: TapOptions = {}) {
    super();
    const { frames = 4096, bytes = 4 << 20, snapLength = 65_550 } = options;
    validateInt32(frames, 'options.frames', 1, 1_000_000);
    validateInt32(bytes, 'options.bytes', 1, 1_000_000_000);
    validateInt32(snapLength, 'options.snapLength', 1, 1_000_000);
    this.#hub = hub;
    this.#interfaceId = interfaceId;
    this.limits = { frames, bytes, snapLength };
    hub.add(interfaceId, this);
  }

  /** Frames that passed while the queue was full. */
  get dropped(): number {
    return this.#dropped;
  }

  /** @internal */
  lost(count: number): void {
    this.#dropped += count;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Ends it. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#hub.remove(this.#interfaceId, this);
    process.nextTick(() => this.emit('close'));
  }

  /** As `close()`, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/** The taps of a stack, by interface. Those of one interface share a queue, as large as the largest asks for. */
export class TapHub {
  readonly #reactor: Reactor;
  readonly #taps = new Map<number, { taps: Set<Tap>; dropped: number }>();

  constructor(reactor: Reactor) {
    this.#reactor = reactor;
    reactor.onframes = (interfaceId) => this.#take(interfaceId);
  }

  add(interfaceId: number, tap: Tap): void {
    const entry = this.#taps.get(interfaceId) ?? { taps: new Set(), dropped: 0 };
    if (entry.taps.size > 0) this.#take(interfaceId);
    entry.taps.add(tap);
    this.#taps.set(interfaceId, entry);
    this.#watch(interfaceId);
  }

  remove(interfaceId: number, tap: Tap): void {
    const entry = this.#taps.get(interfaceId);
    if (entry === undefined || !entry.taps.delete(tap)) return;
    if (!this.#reactor.closed) this.#watch(interfaceId);
    if (entry.taps.size === 0) this.#taps.delete(interfaceId);
  }

  /** The interface is gone, and with `null` the stack. */
  closeAll(interfaceId: number | null): void {
    for (const [id, { taps }] of [...this.#taps]) {
      if (interfaceId === null || interfaceId === id) for (const tap of [...taps]) tap.close();
    }
  }

  #watch(interfaceId: number): void {
    const entry = this.#taps.get(interfaceId);
    if (entry === undefined) return;
    const limits = [...entry.taps].map((tap) => tap.limits);
    const most = (name: keyof TapOptions): number => Math.max(0, ...limits.map((limit) => limit[name]));
    entry.dropped = 0;
    this.#reactor.native.watch(interfaceId, most('frames'), most('bytes'), most('snapLength'));
  }

  #take(interfaceId: number): void {
    for (;;) {
      const entry = this.#taps.get(interfaceId);
      if (entry === undefined || this.#reactor.closed) return;
      const taken = this.#reactor.native.takeFrames(interfaceId);
      if (taken === null) return;
      for (const tap of entry.taps) tap.lost(taken.dropped - entry.dropped);
      entry.dropped = taken.dropped;
      for (const frame of taken.frames) this.#report(entry.taps, frame);
      if (!taken.more) return;
    }
  }

  #report(taps: ReadonlySet<Tap>, { outgoing, time, length, data }: NativeFrame): void {
    for (const tap of [...taps]) {
      const snapped = data.length > tap.limits.snapLength ? data.subarray(0, tap.limits.snapLength) : data;
      tap.emit('frame', { direction: outgoing ? 'out' : 'in', time, length, data: snapped });
    }
  }
}
