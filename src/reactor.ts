// Between the native stack and the objects JavaScript holds: drains events, hands them to handles one turn each, keeps
// the process alive while there is something to wait for.
import { AsyncResource } from 'node:async_hooks';
import * as workers from 'node:worker_threads';
import { ipv4Text, ipv6Text } from './addresses';
import { SendTick } from './dgram/tick';
import { stackClosed } from './errors';
import { hasLeft } from './exit';
import {
  type InterfaceNews,
  type NativeBinding,
  type NativeStack,
  type NativeStackOptions,
  RECORD_SIZE,
  RecordKind,
} from './native';
import { Sinks } from './sinks';

/** Records a `drain` can report at once. */
const CAPACITY = 1024;
/** Refills of the records in one turn of the event loop; after that the rest waits for the next, so timers get theirs. */
const REFILLS_PER_TURN = 8;
/** The longest slab of which small pieces are handed out as they are (`SMALL` in crates/node/src/slabs.rs), bytes. */
const SMALL_SLAB = 16 << 10;
/** How often lingering sockets are looked at (ms), and for how many looks without progress they may hold the process. */
const LINGER_INTERVAL = 250;
const LINGER_LOOKS = 20;

/** The async context of what no socket asked for, such as an accepted connection: that of the program's start. */
const root = new AsyncResource('USERNET', { requireManualDestroy: true });

const settled = Promise.resolve();

/**
 * Keeps a slab from being transferred to another thread, which would take it from under the views of other sockets.
 * External buffers are marked so by Node; marking one again gives it a key without which Node 24 cannot detach it at
 * exit, and aborts. Older than Node 21 cannot tell, and has no such keys.
 */
function keepFromTransfer(slab: ArrayBuffer): void {
  const { isMarkedAsUntransferable } = workers as { isMarkedAsUntransferable?: (object: object) => boolean };
  if (isMarkedAsUntransferable?.(slab) !== true) workers.markAsUntransferable(slab);
}

/** What the reactor tells a connection's handle. Runs in the handle's async context. */
export interface SocketSink extends AsyncResource {
  /** Received bytes, as `Reactor.view` takes them. */
  onData(slab: number, offset: number, length: number): void;
  /** What is not data; `a` is what the record says besides. */
  onRecord(kind: RecordKind, a: number): void;
  /** The stack is closing. */
  onStackClose(): void;
}

/** What the reactor tells a listener's handle. */
export interface ListenerSink extends AsyncResource {
  /** Runs outside the handle's async context: it is for the listener's callback, not for the new connection. */
  onAccept(id: number): void;
  onStackClose(): void;
}

/** Reads the ends that follow a record, while it is being reported. */
export class RecordEnds {
  readonly #events: Int32Array;
  at = 0;

  constructor(events: Int32Array) {
    this.#events = events;
  }

  #number(index: number, field: number): number {
    return this.#events[this.at + (index + 1) * RECORD_SIZE + field] as number;
  }

  /** The port, or what stands in its place. */
  port(index: number): number {
    return this.#number(index, 0) & 0xffff;
  }

  address(index: number): string {
    const first = this.#number(index, 1);
    if (this.#number(index, 0) < 0x10000) return ipv4Text(first);
    return ipv6Text(first, this.#number(index, 2), this.#number(index, 3), this.#number(index, 4));
  }

  /** The record's last number. */
  rest(index: number): number {
    return this.#number(index, 5);
  }
}

/** What the reactor tells of what is beside TCP. Runs in the sink's async context. */
export interface DatagramSink extends AsyncResource {
  /** `ends` reads the records that follow. What is not data: `a` is the errno, or the outcome. */
  onDatagramRecord(kind: RecordKind, a: number, b: number, c: number, ends: RecordEnds): void;
  /** The stack is closing. */
  onStackClose(): void;
}

/** What is beside TCP, by kind: ids are unique within one. */
export type Beside = 'udp' | 'raw' | 'ping';

/** Kinds of records that ends follow, and how many of them. */
const ENDS: Partial<Record<RecordKind, number>> = {
  [RecordKind.Datagram]: 1,
  [RecordKind.Raw]: 2,
  [RecordKind.Ping]: 1,
  [RecordKind.Flow]: 2,
  [RecordKind.Interface]: 1,
};

const BESIDE: Partial<Record<RecordKind, Beside>> = {
  [RecordKind.Datagram]: 'udp',
  [RecordKind.UdpError]: 'udp',
  [RecordKind.UdpWritable]: 'udp',
  [RecordKind.UdpClosed]: 'udp',
  [RecordKind.Raw]: 'raw',
  [RecordKind.RawWritable]: 'raw',
  [RecordKind.Ping]: 'ping',
};

interface Deferred {
  resource: AsyncResource;
  callback: () => void;
}

/** The id of a socket or listener from the halves that a record carries. */
function idOf(index: number, generation: number): number {
  return (index >>> 0) + (generation >>> 0) * 2 ** 32;
}

/** Owns one native stack. One per `Stack`, never shared between threads. */
export class Reactor {
  readonly native: NativeStack;
  /** Which datagrams go out together. */
  readonly sendTick: SendTick;
  closed = false;
  /** Called when something was recorded for the trace. */
  ontrace: (() => void) | null = null;
  /** Called when a program makes a socket, before it connects. */
  onhandle: ((sink: SocketSink) => void) | null = null;

  /** Called with a flow that waits for a decision: the halves of its id, whether it is UDP, its interface, its ends. */
  onflow: ((index: number, version: number, udp: boolean, interfaceId: number, ends: RecordEnds) => void) | null = null;
  /** Called when frames of a watched interface wait. */
  onframes: ((interfaceId: number) => void) | null = null;
  /** Called with what became of an interface. */
  oninterface: ((interfaceId: number, news: InterfaceNews, state: number, ends: RecordEnds) => void) | null = null;
  /** Called when a frame port has frames, or room again. */
  onport: ((interfaceId: number) => void) | null = null;
  /** The names of interfaces by their numbers. */
  readonly interfaceNames = new Map<number, string>([[0, 'lo']]);

  readonly #events = new Int32Array(CAPACITY * RECORD_SIZE);
  readonly #ends = new RecordEnds(this.#events);
  readonly #sockets = new Sinks<SocketSink>();
  readonly #listeners = new Map<number, ListenerSink>();
  readonly #beside: Record<Beside, Map<number, DatagramSink>> = { udp: new Map(), raw: new Map(), ping: new Map() };
  // Shut down or closed, but not yet acknowledged by the peer.
  readonly #lingering = new Set<number>();
  #cursor = 0;
  #count = 0;
  #rung = false;
  #deferred: Deferred[] = [];
  // How often something was put off, and how often when what continues was put into the ticks.
  #deferrals = 0;
  #deferralsBefore = 0;
  #immediate = false;
  #continuing = false;
  #slabIndex = -1;
  #slab: Buffer | null = null;
  #active = 0;
  #refed = false;
  #lingerTimer: NodeJS.Timeout | null = null;
  #lingerQueued = -1;
  #lingerLooks = 0;

  constructor(binding: NativeBinding, options: NativeStackOptions) {
    this.native = new binding.NativeStack(options, this.#events, () => this.#doorbell());
    this.sendTick = new SendTick(this.native);
  }

  /** Throws once the stack is closed. */
  check(): void {
    if (this.closed) throw stackClosed();
  }

  addSocket(id: number, sink: SocketSink): void {
    this.#sockets.set(id, sink);
  }

  /** Forgets a socket; what the stack reports of it from here on is only of interest for `linger`. */
  removeSocket(id: number): void {
    this.#sockets.delete(id);
  }

  addListener(id: number, sink: ListenerSink): void {
    this.#listeners.set(id, sink);
  }

  removeListener(id: number): void {
    this.#listeners.delete(id);
  }

  addBeside(kind: Beside, id: number, sink: DatagramSink): void {
    this.#beside[kind].set(id, sink);
  }

  removeBeside(kind: Beside, id: number): void {
    this.#beside[kind].delete(id);
  }

  /** Numbers of live handles, for tests and `stats()`. */
  get counts(): { sockets: number; listeners: number; lingering: number } {
    return { sockets: this.#sockets.size, listeners: this.#listeners.size, lingering: this.#lingering.size };
  }

  /** The ids of live sockets and listeners, with what is told of them. */
  get handles(): { sockets: Array<[number, SocketSink]>; listeners: ReadonlyMap<number, ListenerSink> } {
    return { sockets: this.#sockets.entries(), listeners: this.#listeners };
  }

  /** Adds `delta` to the number of handles that keep the process alive. */
  activate(delta: 1 | -1): void {
    this.#active += delta;
    this.#updateRef();
  }

  /**
   * The socket's last bytes are on their way: the process stays until they are acknowledged, since no kernel would
   * finish the job, but not for longer than there is progress.
   */
  linger(id: number): void {
    this.#lingering.add(id);
    this.#updateRef();
  }

  unlinger(id: number): void {
    if (this.#lingering.size > 0 && this.#lingering.delete(id)) this.#updateRef();
  }

  /**
   * Calls back in a later turn of the event loop, before anything the peer may answer meanwhile is reported: libuv's
   * order for the completion of a shutdown or a close.
   */
  defer(resource: AsyncResource, callback: () => void): void {
    this.#deferred.push({ resource, callback });
    this.#deferrals++;
    this.#wantTurn();
  }

  /**
   * The view that a Data record names. A small one of a large slab is copied, so that a few kept bytes do not pin it; the
   * slabs that small ones are gathered in pin no more than the pool that the copy would lie in.
   */
  view(slab: number, offset: number, length: number): Buffer {
    if (length === 0) return Buffer.alloc(0);
    if (slab !== this.#slabIndex || this.#slab === null) {
      this.#slab = this.native.slab(slab);
      this.#slabIndex = slab;
      keepFromTransfer(this.#slab.buffer as ArrayBuffer);
    }
    if (length < Buffer.poolSize >>> 1 && this.#slab.length > SMALL_SLAB) {
      const copy = Buffer.allocUnsafe(length);
      this.#slab.copy(copy, 0, offset, offset + length);
      return copy;
    }
    return this.#slab.subarray(offset, offset + length);
  }

  /** Lets go of every socket, telling nobody: the process ends. */
  letGo(): void {
    for (const [id] of this.#sockets.entries()) this.native.close(id);
  }

  /** Bytes handed to the stack that peers have not acknowledged. */
  unacknowledged(): number {
    let queued = 0;
    const open = this.#sockets.entries().map(([id]) => id);
    for (const id of new Set([...open, ...this.#lingering])) {
      queued += Math.max(0, this.native.sendQueueSize(id));
    }
    return queued;
  }

  /** Ends the native stack with the process, telling nobody. */
  leave(): void {
    this.native.shutdownStack();
  }

  /** Ends every handle and the native stack. Idempotent. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    hasLeft(this);
    for (const sink of [...this.#listeners.values()]) sink.runInAsyncScope(sink.onStackClose, sink);
    for (const [, sink] of this.#sockets.entries()) sink.runInAsyncScope(sink.onStackClose, sink);
    for (const sinks of Object.values(this.#beside)) {
      for (const sink of [...sinks.values()]) sink.runInAsyncScope(sink.onStackClose, sink);
      sinks.clear();
    }
    this.#sockets.clear();
    this.#listeners.clear();
    this.#lingering.clear();
    this.#cursor = 0;
    this.#count = 0;
    this.#slab = null;
    this.native.shutdownStack();
    this.#updateRef();
  }

  #doorbell(): void {
    this.#rung = true;
    if (!this.#continuing) root.runInAsyncScope(this.#pump, this);
  }

  #wantTurn(): void {
    if (this.#immediate) return;
    this.#immediate = true;
    setImmediate(() => {
      this.#immediate = false;
      if (!this.#continuing) root.runInAsyncScope(this.#pump, this);
    });
  }

  /**
   * Hands out what there is, each thing that is not plain data in a turn of its own: what its listeners put off with
   * `nextTick` or promises runs before the next is handed out, as when libuv calls back for each.
   */
  #pump(): void {
    let deferrals = this.#deferred.length;
    let refills = 0;
    let handled = false;
    try {
      for (;;) {
        if (deferrals > 0) {
          if (handled) return;
          deferrals--;
          handled = true;
          const { resource, callback } = this.#deferred.shift()!;
          resource.runInAsyncScope(callback);
          continue;
        }
        if (this.#cursor === this.#count) {
          if (!this.#refill()) return;
          if (++refills > REFILLS_PER_TURN) return;
          // What was put off meanwhile comes before the answers to it.
          deferrals = this.#deferred.length;
          continue;
        }
        const at = this.#cursor * RECORD_SIZE;
        const kind = this.#events[at] as RecordKind;
        if ((kind as number) === 0) {
          // What is left where the next record and its ends did not fit.
          this.#cursor++;
          continue;
        }
        if (kind !== RecordKind.Data && handled) return;
        this.#cursor += 1 + (ENDS[kind] ?? 0);
        handled = kind !== RecordKind.Data || handled;
        this.#dispatch(kind, at);
        if (kind !== RecordKind.Data) return;
      }
    } finally {
      this.#after(refills > REFILLS_PER_TURN);
    }
  }

  #after(crowded: boolean): void {
    if (this.closed) {
      if (this.#deferred.length > 0) this.#wantTurn();
    } else if (crowded) {
      this.#wantTurn();
    } else if (this.#cursor < this.#count || this.#rung || this.#count === CAPACITY) {
      this.#continue();
    } else {
      this.#slab = null;
      this.#slabIndex = -1;
      if (this.#deferred.length > 0) this.#wantTurn();
    }
  }

  /** Goes on once the ticks and the promises of this turn have run. */
  #continue(): void {
    if (this.#continuing) return;
    this.#continuing = true;
    // A promise's reaction rather than `queueMicrotask`, which has an async resource of its own: nothing here throws.
    settled.then(this.#continueInTick);
  }

  readonly #continueInTick = (): void => {
    this.#deferralsBefore = this.#deferrals;
    process.nextTick(this.#goOn);
  };

  readonly #goOn = (): void => {
    this.#continuing = false;
    // Put off in a tick between: there may be ticks behind this one that come first, as an 'error' before its 'close'.
    if (this.#deferrals === this.#deferralsBefore) root.runInAsyncScope(this.#pump, this);
    else this.#continue();
  };

  #refill(): boolean {
    if (this.closed || (!this.#rung && this.#count < CAPACITY)) {
      this.#count = 0;
      this.#cursor = 0;
      return false;
    }
    this.#rung = false;
    this.#cursor = 0;
    this.#count = this.native.drain();
    if (this.ontrace !== null) this.ontrace();
    return this.#count > 0;
  }

  #dispatch(kind: RecordKind, at: number): void {
    const events = this.#events;
    const index = events[at + 1]!;
    const generation = events[at + 2]!;
    const a = events[at + 3]!;
    const b = events[at + 4]!;
    if (kind === RecordKind.Data) {
      const sink = this.#sockets.find(index, generation);
      if (sink !== undefined) sink.runInAsyncScope(sink.onData, sink, a, b, events[at + 5]!);
      return;
    }
    const id = idOf(index, generation);
    if (kind > RecordKind.Closed && kind !== RecordKind.Report) {
      this.#dispatchBeside(kind, at, id, a, b);
      return;
    }
    if (kind === RecordKind.Accept) {
      const accepted = idOf(a, b);
      const listener = this.#listeners.get(id);
      // The listener was closed while its record waited: the peer is told.
      if (listener === undefined) this.native.reset(accepted);
      else listener.onAccept(accepted);
      return;
    }
    if (kind === RecordKind.Flushed || kind === RecordKind.Closed) this.unlinger(id);
    const sink = this.#sockets.find(index, generation);
    if (kind === RecordKind.Closed) this.#sockets.delete(id);
    if (sink !== undefined) sink.runInAsyncScope(sink.onRecord, sink, kind, a);
  }

  #dispatchBeside(kind: RecordKind, at: number, id: number, a: number, b: number): void {
    const events = this.#events;
    const ends = this.#ends;
    ends.at = at;
    if (kind === RecordKind.Flow) {
      const [index, version] = [events[at + 1]! >>> 0, events[at + 2]! >>> 0];
      if (this.onflow === null) this.native.flowDecide(index, version, 'pass');
      else this.onflow(index, version, a === 1, b, ends);
      return;
    }
    if (kind === RecordKind.Frames) {
      this.onframes?.(events[at + 1]!);
      return;
    }
    if (kind === RecordKind.Interface) {
      this.oninterface?.(events[at + 1]!, a, b, ends);
      return;
    }
    if (kind === RecordKind.Port) {
      this.onport?.(events[at + 1]!);
      return;
    }
    const sinks = this.#beside[BESIDE[kind] as Beside];
    const sink = sinks.get(id);
    if (kind === RecordKind.Ping || kind === RecordKind.UdpClosed) sinks.delete(id);
    if (sink !== undefined) sink.runInAsyncScope(sink.onDatagramRecord, sink, kind, a, b, events[at + 5]!, ends);
  }

  #updateRef(): void {
    const want = !this.closed && (this.#active > 0 || this.#lingering.size > 0);
    if (want !== this.#refed) {
      this.#refed = want;
      if (want) this.native.ref();
      else if (!this.closed) this.native.unref();
    }
    const guard = want && this.#active === 0;
    if (guard && this.#lingerTimer === null) {
      this.#lingerLooks = 0;
      this.#lingerTimer = setInterval(() => this.#lookAtLingering(), LINGER_INTERVAL).unref();
    } else if (!guard && this.#lingerTimer !== null) {
      clearInterval(this.#lingerTimer);
      this.#lingerTimer = null;
    }
  }

  #lookAtLingering(): void {
    let queued = 0;
    for (const id of this.#lingering) queued += Math.max(0, this.native.sendQueueSize(id));
    this.#lingerLooks = queued === this.#lingerQueued ? this.#lingerLooks + 1 : 0;
    this.#lingerQueued = queued;
    if (this.#lingerLooks >= LINGER_LOOKS) {
      this.#lingering.clear();
      this.#updateRef();
    }
  }
}
