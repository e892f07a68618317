// A device whose frames the program hands in and takes out itself: tunnels, WebSockets, emulated machines.
import { types } from 'node:util';
import { checkMac } from './devices';
import { EAGAIN, EPIPE, invalidArgType, invalidArgValue } from './errors';
import { TypedEventEmitter } from './events';
import { loadBinding, type NativeInterfaceOptions, type NativePort } from './native';
import { validateInt32 } from './net/validators';
import { checkImpairment, checkMedium, type Impairment, type Medium, mtuOption } from './options';

/** Frames taken from the stack at a time, and most in one turn of the event loop. */
const BATCH = 64;
const FRAMES_PER_TURN = 1024;

/** What an interface of a stack is made with. */
export const kPortDevice: unique symbol = Symbol('usernet.port.device');
/** The stack has frames for the program, or room for its. */
export const kPortNews: unique symbol = Symbol('usernet.port.news');
/** The stack has let its end go. */
export const kPortGone: unique symbol = Symbol('usernet.port.gone');
/** Who has the device; kept as long as the port. */
export const kPortOwner: unique symbol = Symbol('usernet.port.owner');

/** What `framePort()` takes. */
export interface FramePortOptions {
  /** What a frame begins with: an IP header, or Ethernet's. Default `ip`. */
  medium?: Medium;
  /** Largest packet, bytes, without Ethernet header. Default 1,500, at least 576; for IPv6 1,280. */
  mtu?: number;
  /** Ethernet: the stack's hardware address. Default: a random one. */
  mac?: string;
  /** Frames that wait each way. Default 512. */
  capacity?: number;
  /** What is done to the frames of each direction. */
  impairment?: Impairment;
}

/** What has passed a frame port; in and out as the stack sees it. */
export interface FramePortStats {
  /** Frames the program handed in, and their bytes. */
  framesIn: number;
  bytesIn: number;
  /** Frames the program got, and their bytes. */
  framesOut: number;
  bytesOut: number;
  /** Frames that `write` did not take because there was no room. */
  dropped: number;
  /** Frames that `write` did not take because they were empty, or longer than the MTU and the Ethernet header. */
  invalid: number;
  /** Frames that wait for the program. */
  waiting: number;
}

/** The events of a frame port. */
export interface FramePortEvents {
  /** The stack sends this. The memory is the program's to keep. */
  frame: [frame: Buffer];
  /** There is room again after `write` gave false. */
  drain: [];
  /** It is closed: by `close()`, or because the interface was removed or the stack closed. */
  close: [];
}

/**
 * A device whose frames the program hands in and takes out itself. Made by `framePort()`. Belongs to one stack, once. Does
 * not keep the process alive.
 */
export class FramePort extends TypedEventEmitter<FramePortEvents> {
  readonly kind = 'port';
  /** What a frame begins with. */
  readonly medium: Medium;
  /** Largest packet, bytes, without Ethernet header. */
  readonly mtu: number;
  /** Ethernet: the stack's hardware address, where it was given. */
  readonly mac: string | undefined;
  readonly #native: NativePort;
  readonly #device: NativeInterfaceOptions['device'];
  #lastStats: FramePortStats | null = null;
  /** Frames taken from the stack, and how many of them were told. */
  #batch: Buffer[] = [];
  #told = 0;
  #paused = false;
  #blocked = false;
  #ending = false;
  #closed = false;
  #scheduled = false;
  /** @internal */
  [kPortOwner]: object | null = null;

  /** @internal Use `framePort()`. */
  constructor(options: FramePortOptions) {
    super();
    const { medium = 'ip', mtu = 1500, mac, capacity = 512, impairment } = options;
    this.medium = medium;
    this.mtu = mtu;
    this.mac = mac;
    this.#native = new (loadBinding().NativePort)({ medium, mtu, capacity });
    this.#device = { kind: 'port', port: this.#native, mac, impairment };
    this.on(
      'newListener' as never,
      ((name: string) => {
        if (name === 'frame') this.#schedule();
      }) as never,
    );
  }

  /** @internal */
  get [kPortDevice](): NativeInterfaceOptions['device'] {
    return this.#device;
  }

  /** Whether it is closed: nothing comes out any more, and `write` takes nothing. */
  get closed(): boolean {
    return this.#closed;
  }

  /**
   * Hands a frame to the stack, which gets a copy. False where it was not taken: there is no room (`drain` tells when there
   * is again), it is empty or too long, or the port is closed. Such a frame is lost unless it is written again, and
   * counted. Whatever is in it, the stack checks it.
   */
  write(frame: Uint8Array | ArrayBufferLike): boolean {
    const bytes = bytesOf(frame);
    if (this.#closed) return false;
    const errno = this.#native.write(bytes);
    if (errno === EAGAIN) this.#blocked = true;
    else if (errno === EPIPE) this[kPortGone]();
    return errno === 0;
  }

  /** Emits no `frame` until `resume()`. Frames wait then, and when `capacity` of them do, the stack waits. */
  pause(): this {
    this.#paused = true;
    return this;
  }

  /** Goes on after `pause()`. */
  resume(): this {
    this.#paused = false;
    this.#schedule();
    return this;
  }

  /** Whether it is paused. */
  isPaused(): boolean {
    return this.#paused;
  }

  /** What has passed; the last there was once it is closed. */
  stats(): FramePortStats {
    const stats = this.#native.stats() ?? this.#lastStats;
    if (stats === null) throw invalidArgValue('port', this, 'has no counters');
    return { ...stats, waiting: stats.waiting + this.#batch.length - this.#told };
  }

  /**
   * Closes it. What was written before reaches the stack still; then the interface is gone from its stack, which emits
   * `interface` with `lost`. Idempotent.
   */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#lastStats = this.#native.stats();
    this.#batch = [];
    this.#told = 0;
    this.#native.close();
    process.nextTick(() => this.emit('close'));
  }

  /** As `close()`, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** @internal */
  [kPortNews](): void {
    if (this.#blocked && !this.#closed && this.#native.hasRoom() === 1) {
      this.#blocked = false;
      // What a listener throws is not to keep the frames.
      process.nextTick(() => this.emit('drain'));
    }
    this.#take(FRAMES_PER_TURN);
  }

  /** @internal The last that the stack sent comes out; then it is closed. */
  [kPortGone](): void {
    this[kPortOwner] = null;
    if (this.#closed || this.#ending) return;
    this.#ending = true;
    setImmediate(() => {
      try {
        this.#take(Number.POSITIVE_INFINITY);
      } finally {
        this.close();
      }
    });
  }

  #take(most: number): void {
    let left = most;
    try {
      while (!this.#closed && !this.#paused && this.listenerCount('frame') > 0) {
        if (this.#told === this.#batch.length) {
          if (left <= 0) return;
          this.#told = 0;
          this.#batch = this.#native.take(BATCH) ?? [];
          left -= this.#batch.length;
          if (this.#batch.length === 0) return;
        }
        // Counted before it is told: a listener that throws has had it.
        this.emit('frame', this.#batch[this.#told++] as Buffer);
      }
    } finally {
      if (this.#told < this.#batch.length || left <= 0) this.#schedule();
    }
  }

  #schedule(): void {
    if (this.#scheduled || this.#closed) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#take(FRAMES_PER_TURN);
    });
  }
}

function bytesOf(frame: unknown): Uint8Array {
  if (types.isUint8Array(frame)) return frame;
  if (ArrayBuffer.isView(frame)) return new Uint8Array(frame.buffer, frame.byteOffset, frame.byteLength);
  if (types.isAnyArrayBuffer(frame)) return new Uint8Array(frame);
  throw invalidArgType('frame', ['Buffer', 'TypedArray', 'DataView', 'ArrayBuffer'], frame);
}

/**
 * A device whose frames the program hands in and takes out itself: a tunnel, a WebSocket, an emulated machine.
 *
 * @example
 * const port = framePort({ medium: 'ethernet' });
 * const stack = await createStack({ interfaces: [{ device: port, addresses: ['198.18.0.2/24'] }] });
 * port.on('frame', (frame) => socket.send(frame));
 * socket.on('message', (frame) => port.write(frame));
 */
export function framePort(options: FramePortOptions = {}): FramePort {
  if (options === null || typeof options !== 'object') throw invalidArgType('options', 'Object', options);
  const { medium, mtu, capacity, mac, impairment } = options;
  checkMedium(medium);
  if (mtu !== undefined) mtuOption(mtu, 'options.mtu');
  if (capacity !== undefined) validateInt32(capacity, 'options.capacity', 1, 1 << 20);
  checkMac(mac, 'options.mac');
  if (mac !== undefined && medium !== 'ethernet') {
    throw invalidArgValue('options.mac', mac, "is for medium: 'ethernet'");
  }
  checkImpairment(impairment);
  return new FramePort(options);
}
