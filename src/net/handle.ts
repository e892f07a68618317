// What stands between a Socket and its connection in the stack: the counterpart of Node's internal TCP handle.
import { AsyncResource } from 'node:async_hooks';
import { isIPv6 } from 'node:net';
import { EBADF, EINVAL, ENETUNREACH, ENOTCONN, EPIPE, errnoOf } from '../errors';
import type { ErrorReport } from '../events';
import { type NativeAddress, type NativeInfo, RecordKind } from '../native';
import type { ListenerSink, Reactor, SocketSink } from '../reactor';
import { PortGroup } from './port-group';
import { keep } from './scratch';

const ECONNABORTED = errnoOf('ECONNABORTED');
const ECONNREFUSED = errnoOf('ECONNREFUSED');
const ECONNRESET = errnoOf('ECONNRESET');

const LOOPBACK = new Map([
  ['0.0.0.0', '127.0.0.1'],
  ['::', '::1'],
]);

/** Encodings of `writeText`, and whether they are Latin-1, as Node's buffers have them. */
const TEXT = new Map([
  ['utf8', 0],
  ['utf-8', 0],
  ['latin1', 1],
  ['binary', 1],
  ['ascii', 1],
]);

/** Most bytes of `writeText` (`MAX_TEXT` in crates/node/src/stack.rs). */
const MAX_TEXT = 16 << 10;

/** Addresses as `getsockname` fills them in. */
export interface AddressOut {
  address?: string;
  port?: number;
  family?: string;
}

/** What a connection tells its Socket. */
export interface HandleOwner {
  /** Received bytes; `false` asks for no more until `readStart`. */
  onHandleData(chunk: Buffer): void;
  /** The peer's FIN. */
  onHandleEnd(): void;
  /** Reading failed; `errno` is negative. */
  onHandleError(errno: number): void;
  /** A delivery problem that does not end the connection. */
  onHandleReport(report: ErrorReport): void;
  /** The stack closes, with everything on it. */
  onStackClose(): void;
}

/** A chunk, the end, or the errno of an error. */
type Held = Buffer | 'end' | number;

interface PendingWrite {
  chunks: Uint8Array[];
  done: (errno: number) => void;
}

/** `mapped`: as an IPv6 socket shows an IPv4 peer (RFC 4291 section 2.5.5.2). */
function fill(out: AddressOut, { address, family, port }: NativeAddress, mapped = false): number {
  const asIpv6 = mapped && family === 'IPv4';
  out.address = asIpv6 ? `::ffff:${address}` : address;
  out.family = asIpv6 ? 'IPv6' : family;
  out.port = port;
  return 0;
}

/** An IPv4-mapped IPv6 address. */
const MAPPED = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i;

/** Platforms whose numbers differ from the binding's are of no concern: it speaks libuv's. */
function negative(errno: number): number {
  return errno > 0 ? -errno : errno;
}

/** A connection, from before it is made until it is let go. */
export class SocketHandle extends AsyncResource implements SocketSink {
  owner: HandleOwner | null = null;
  /** Whether the Socket wants data. */
  reading = false;
  bytesRead = 0;
  bytesWritten = 0;
  /** Bytes accepted from the Socket that the stack has had no room for yet. */
  writeQueueSize = 0;

  readonly #reactor: Reactor;
  #id = -1;
  #mapped: boolean;
  #closed = false;
  #refed = true;
  #active = false;
  #ended = false;
  // The stack reports what comes.
  #reported = false;
  #shut = false;
  #flushed = false;
  // The connection is over in the stack.
  #gone = false;
  #error = 0;
  #connecting: ((errno: number) => void) | null = null;
  #write: PendingWrite | null = null;
  // Reported while nobody was reading; none is null.
  #held: Held[] | null = null;
  #feeding = false;
  #local: NativeAddress | null = null;
  #remote: NativeAddress | null = null;

  /**
   * `id` is that of an accepted connection, of which the stack reports what comes already; without it `connect` makes one.
   * `mapped`: its listener is on `::` and takes IPv4 too.
   */
  constructor(reactor: Reactor, id = -1, mapped = false) {
    super('USERNETTCP', { requireManualDestroy: true });
    this.#reactor = reactor;
    this.#mapped = mapped;
    if (id !== -1) {
      this.#id = id;
      this.#reported = true;
      reactor.addSocket(id, this);
    } else {
      reactor.onhandle?.(this);
    }
  }

  /** A connection that the stack is making already, of a flow that was accepted; `done` as `connect` has it. */
  static awaiting(reactor: Reactor, id: number, done: (errno: number) => void): SocketHandle {
    const handle = new SocketHandle(reactor, id);
    handle.#reported = false;
    handle.#connecting = done;
    handle.#update();
    return handle;
  }

  /** The number of the async context that callbacks run in. */
  getAsyncId(): number {
    return this.asyncId();
  }

  /** There is no descriptor. */
  get fd(): number {
    return -1;
  }

  /** The connection's number in the stack, or -1. */
  get id(): number {
    return this.#id;
  }

  /** Whether the connection came about (and may be over by now). */
  get connected(): boolean {
    return this.#id !== -1 && this.#connecting === null;
  }

  /** Begins to connect; `done` is called with 0 or a negative errno. Returns 0 or the errno of an immediate failure. */
  connect(
    address: string,
    port: number,
    localAddress: string | undefined,
    localPort: number | undefined,
    done: (errno: number) => void,
    fastOpen = false,
  ): number {
    if (this.#closed) return EBADF;
    if (this.#reactor.closed) return errnoOf('ENETDOWN');
    // To nowhere in particular is to oneself, as kernels have it; from nowhere in particular is the stack's choice.
    const [, ipv4] = MAPPED.exec(address) ?? [];
    this.#mapped = ipv4 !== undefined;
    const to = LOOPBACK.get(ipv4 ?? address) ?? ipv4 ?? address;
    const local = localAddress === undefined || LOOPBACK.has(localAddress) ? '' : localAddress;
    const from = MAPPED.exec(local)?.[1] ?? local;
    const id = this.#reactor.native.connect(to, port, from, localPort ?? 0, fastOpen);
    if (id === EINVAL) return this.#connectToNobody(to, port, from, done);
    if (id < 0) return id;
    this.#id = id;
    this.#connecting = done;
    this.#reactor.addSocket(id, this);
    this.#update();
    return 0;
  }

  /** What the stack calls invalid (RFC 9293 section 3.10.1, MUST-46), as Linux and so Node tell it. */
  #connectToNobody(to: string, port: number, from: string, done: (errno: number) => void): number {
    // An address of the other family cannot be bound.
    if (from !== '' && isIPv6(from) !== isIPv6(to)) return EINVAL;
    // No way to groups and broadcasts.
    if (port !== 0) return ENETUNREACH;
    this.#reactor.defer(this, () => {
      if (!this.#closed) done(ECONNREFUSED);
    });
    return 0;
  }

  readStart(): number {
    if (this.#closed) return EBADF;
    this.reading = true;
    if (this.#held !== null) this.#feed();
    else this.#report(true);
    this.#update();
    return 0;
  }

  readStop(): number {
    if (this.#closed) return EBADF;
    this.reading = false;
    this.#report(false);
    this.#update();
    return 0;
  }

  /** Has the stack report what comes, or leave it in the receive queue. */
  #report(on: boolean): void {
    if (this.#reported === on || this.#id === -1 || this.#gone || this.#ended) return;
    this.#reported = on;
    if (on) this.#reactor.native.readStart(this.#id);
    else this.#reactor.native.readStop(this.#id);
  }

  /** Takes back what was handed out and not wanted yet; it comes again after `readStart`. */
  putBack(chunk: Buffer): void {
    this.bytesRead -= chunk.length;
    if (this.#held === null) this.#held = [chunk];
    else this.#held.unshift(chunk);
  }

  /**
   * Sends `chunks`. Returns 0 if the stack took them all, a negative errno if it failed at once, or 1 if `done` will be
   * called with one of these.
   */
  write(chunks: Uint8Array[], done: (errno: number) => void): number {
    if (!this.#canSend()) return this.#cannotSend();
    let total = 0;
    for (const chunk of chunks) total += chunk.byteLength;
    const taken = this.#send(chunks);
    if (taken < 0) return taken;
    this.bytesWritten += total;
    if (taken === total) return 0;
    this.#write = { chunks: rest(chunks, taken).map(keep), done };
    this.writeQueueSize = total - taken;
    this.#update();
    return 1;
  }

  /** Sends what the stack takes of `chunk`: how many bytes, or a negative errno. The rest is for `write`. */
  writeSome(chunk: Uint8Array): number {
    if (!this.#canSend()) return this.#cannotSend();
    const taken = this.#reactor.native.write(this.#id, chunk);
    if (taken < 0) return taken === EBADF ? EPIPE : taken;
    this.bytesWritten += taken;
    return taken;
  }

  /**
   * Sends a text, and another or bytes after it, without making buffers of them. Returns 0 if the stack took them all, a
   * negative errno if it failed at once, or 1 where they have to be written as bytes: then nothing was taken.
   */
  writeText(first: string, encoding: string, second?: string | Uint8Array, secondEncoding = ''): number {
    const one = TEXT.get(encoding);
    const two = typeof second === 'string' ? TEXT.get(secondEncoding) : 0;
    if (one === undefined || two === undefined) return 1;
    // No encoding makes more than three bytes of a code unit.
    if ((first.length + (second === undefined ? 0 : second.length)) * 3 > MAX_TEXT) return 1;
    if (!this.#canSend()) return this.#cannotSend();
    const taken = this.#reactor.native.writeText(this.#id, one + 2 * two, first, second);
    if (taken <= 0) return taken === 0 ? 1 : taken === EBADF ? EPIPE : taken;
    this.bytesWritten += taken;
    return 0;
  }

  #canSend(): boolean {
    return !this.#closed && this.#error === 0 && !this.#gone && this.#id !== -1;
  }

  /** Why not, as a negative errno. */
  #cannotSend(): number {
    if (this.#closed) return EBADF;
    if (this.#error !== 0) return this.#takeError();
    return this.#id === -1 ? ENOTCONN : EPIPE;
  }

  /** FIN after what was written. Returns 0, or a negative errno. `done` is called before the peer's answer. */
  shutdown(done: () => void): number {
    if (this.#closed) return EBADF;
    if (this.#id === -1) return ENOTCONN;
    this.#remember();
    const errno = this.#gone || this.#error !== 0 ? ENOTCONN : this.#reactor.native.shutdown(this.#id);
    if (errno < 0) return errno === EBADF ? ENOTCONN : errno;
    this.#shut = true;
    if (this.#refed && !this.#flushed) this.#reactor.linger(this.#id);
    this.#reactor.defer(this, done);
    return 0;
  }

  /** Lets the connection go: what was written is still sent. `done` is called in a later turn. */
  close(done?: () => void): void {
    this.#release(done, false);
  }

  /** Lets the connection go with a RST. */
  reset(done?: () => void): number {
    if (this.#closed) return EBADF;
    this.#release(done, true);
    return 0;
  }

  setNoDelay(enable: boolean): number {
    return this.#option((native, id) => native.setNoDelay(id, enable));
  }

  /** `initialDelay` in seconds, as Node's handles have it, `interval` in ms; 0 keeps the stack's default. */
  setKeepAlive(enable: boolean, initialDelay: number, interval = 0, count = 0): number {
    return this.#option((native, id) =>
      native.setKeepAlive(id, enable, Math.round(initialDelay * 1000), interval, count),
    );
  }

  /** 0 turns it off. */
  setUserTimeout(ms: number): number {
    return this.#option((native, id) => native.setUserTimeout(id, ms));
  }

  setTypeOfService(tos: number): number {
    return this.#option((native, id) => native.setTypeOfService(id, tos));
  }

  getTypeOfService(): number {
    return this.#option((native, id) => native.getTypeOfService(id));
  }

  setCongestionControl(name: string): number {
    return this.#option((native, id) => native.setCongestionControl(id, name));
  }

  info(): NativeInfo | null {
    return this.#id === -1 || this.#closed ? null : this.#reactor.native.info(this.#id);
  }

  getsockname(out: AddressOut): number {
    if (this.#closed) return EBADF;
    this.#local ??= this.#id === -1 ? null : this.#reactor.native.localAddress(this.#id);
    return this.#local === null ? EINVAL : fill(out, this.#local, this.#mapped);
  }

  getpeername(out: AddressOut): number {
    if (this.#closed) return EBADF;
    this.#remote ??= this.connected ? this.#reactor.native.remoteAddress(this.#id) : null;
    return this.#remote === null ? ENOTCONN : fill(out, this.#remote, this.#mapped);
  }

  ref(): void {
    this.#refed = true;
    if (this.#shut && !this.#flushed && !this.#closed && !this.#gone) this.#reactor.linger(this.#id);
    this.#update();
  }

  unref(): void {
    this.#refed = false;
    this.#reactor.unlinger(this.#id);
    this.#update();
  }

  hasRef(): boolean {
    return this.#refed && !this.#closed;
  }

  onData(slab: number, offset: number, length: number): void {
    const chunk = this.#reactor.view(slab, offset, length);
    if (this.reading && this.#held === null) {
      this.bytesRead += chunk.length;
      this.owner?.onHandleData(chunk);
    } else {
      this.#hold(chunk);
      // Nobody has asked for it yet.
      if (!this.reading) this.#report(false);
    }
  }

  onRecord(kind: RecordKind, a: number): void {
    switch (kind) {
      case RecordKind.End:
        if (this.reading && this.#held === null) this.#deliver('end');
        else this.#hold('end');
        break;
      case RecordKind.Writable:
        this.#writeMore();
        break;
      case RecordKind.Connect:
        this.#connected(0);
        break;
      case RecordKind.Error:
        this.#failed(negative(a));
        break;
      case RecordKind.Report:
        for (let report = this.#nextReport(); report !== null; report = this.#nextReport()) {
          this.owner?.onHandleReport(report);
        }
        break;
      case RecordKind.Flushed:
        this.#flushed = true;
        break;
      case RecordKind.Closed:
        if (!this.#ended && this.#error === 0 && !this.#held?.includes('end')) this.#failed(ECONNABORTED);
        this.#gone = true;
        this.#update();
        break;
    }
  }

  onStackClose(): void {
    this.#gone = true;
    if (this.owner === null) this.close();
    else this.owner.onStackClose();
  }

  #nextReport(): ErrorReport | null {
    return this.#closed ? null : this.#reactor.native.takeReport(this.#id);
  }

  #connected(errno: number): void {
    const done = this.#connecting;
    this.#connecting = null;
    if (errno === 0 && this.reading) this.#report(true);
    this.#update();
    done?.(errno);
  }

  #failed(errno: number): void {
    if (this.#connecting !== null) {
      this.#gone = true;
      this.#connected(errno);
      return;
    }
    // After the peer's FIN a RST is a pipe that broke, to be heard by writes only: Linux's rule for CLOSE_WAIT.
    const ended = this.#ended || this.#held?.includes('end');
    this.#error = ended && errno === ECONNRESET ? EPIPE : errno;
    this.#reactor.unlinger(this.#id);
    if (this.reading && this.#held === null && !this.#ended) {
      this.#gone = true;
      this.#update();
      this.owner?.onHandleError(this.#takeError());
    } else if (!ended) {
      // A kernel's socket that nobody reads keeps its error for the next call.
      this.#hold(errno);
      this.#update();
    }
    const write = this.#write;
    if (write !== null) {
      this.#write = null;
      this.writeQueueSize = 0;
      this.#update();
      write.done(this.#error === 0 ? EPIPE : this.#takeError());
    }
  }

  /** A connection's error is told once; after that it is just a connection that is gone. */
  #takeError(): number {
    const errno = this.#error === 0 ? EPIPE : this.#error;
    this.#error = 0;
    this.#gone = true;
    const held = this.#held?.filter((item) => typeof item !== 'number');
    this.#held = held?.length ? held : null;
    return errno;
  }

  #hold(item: Held): void {
    if (this.#held === null) this.#held = [item];
    else this.#held.push(item);
  }

  #deliver(item: Buffer | 'end' | number): void {
    if (item === 'end') {
      this.#ended = true;
      this.#update();
      this.owner?.onHandleEnd();
    } else if (typeof item === 'number') {
      this.owner?.onHandleError(this.#takeError());
    } else {
      this.bytesRead += item.length;
      this.owner?.onHandleData(item);
    }
  }

  /**
   * Hands out what was held, a piece a tick, as long as it is wanted. Not a piece a turn of the event loop: a stream that
   * takes two chunks, stops and asks for more in a tick would have to wait for a turn with each of many.
   */
  #feed(): void {
    if (this.#feeding) return;
    this.#feeding = true;
    process.nextTick(() => this.runInAsyncScope(this.#feedNow, this));
  }

  #feedNow(): void {
    this.#feeding = false;
    if (this.#closed || !this.reading) return;
    const item = this.#held?.shift();
    if (this.#held?.length === 0) this.#held = null;
    try {
      if (item !== undefined) this.#deliver(item);
    } finally {
      if (this.reading && !this.#closed) this.readStart();
    }
  }

  #send(chunks: Uint8Array[]): number {
    const native = this.#reactor.native;
    const taken = chunks.length === 1 ? native.write(this.#id, chunks[0]!) : native.writev(this.#id, chunks);
    return taken === EBADF ? EPIPE : taken;
  }

  #writeMore(): void {
    const write = this.#write;
    if (write === null) return;
    const taken = this.#send(write.chunks);
    if (taken >= 0) {
      this.writeQueueSize -= taken;
      if (this.writeQueueSize > 0) {
        write.chunks = rest(write.chunks, taken);
        return;
      }
    }
    this.#write = null;
    this.writeQueueSize = 0;
    this.#update();
    write.done(Math.min(taken, 0));
  }

  /** A connection's addresses, before it may be forgotten in the stack. */
  #remember(): void {
    if (this.#gone) return;
    this.#local ??= this.#reactor.native.localAddress(this.#id);
    this.#remote ??= this.#reactor.native.remoteAddress(this.#id);
  }

  #release(done: (() => void) | undefined, reset: boolean): void {
    if (this.#closed) return;
    this.#closed = true;
    this.reading = false;
    this.#held = null;
    this.#connecting = null;
    const write = this.#write;
    this.#write = null;
    this.writeQueueSize = 0;
    if (this.#id !== -1) {
      this.#reactor.removeSocket(this.#id);
      if (!this.#gone && !this.#reactor.closed) {
        if (reset) {
          this.#reactor.unlinger(this.#id);
          this.#reactor.native.reset(this.#id);
        } else {
          this.#reactor.native.close(this.#id);
          if (this.#refed && !this.#flushed) this.#reactor.linger(this.#id);
        }
      }
    }
    this.#update();
    this.#reactor.defer(this, () => {
      write?.done(errnoOf('ECANCELED'));
      done?.();
      this.emitDestroy();
    });
  }

  #option(call: (native: Reactor['native'], id: number) => number): number {
    if (this.#closed) return EBADF;
    return this.#id === -1 || this.#gone ? ENOTCONN : call(this.#reactor.native, this.#id);
  }

  /** Tells the reactor whether the process has to stay for this connection. */
  #update(): void {
    const receiving = this.reading && !this.#ended && !this.#gone && this.#id !== -1;
    const waiting = this.#connecting !== null || this.#write !== null || receiving;
    const active = this.#refed && !this.#closed && waiting;
    if (active === this.#active) return;
    this.#active = active;
    this.#reactor.activate(active ? 1 : -1);
  }
}

/** What is left of `chunks` after the first `taken` bytes. */
function rest(chunks: Uint8Array[], taken: number): Uint8Array[] {
  let index = 0;
  while (index < chunks.length && taken >= chunks[index]!.byteLength) taken -= chunks[index++]!.byteLength;
  const left = chunks.slice(index);
  if (taken > 0) left[0] = left[0]!.subarray(taken);
  return left;
}

/** A listener. */
export class ServerHandle extends AsyncResource implements ListenerSink {
  owner: { close(): unknown } | null = null;
  /** Called for each connection, in the listener's async context. `this` is the handle. */
  onconnection: ((this: ServerHandle, errno: number, handle: SocketHandle) => void) | null = null;

  readonly #reactor: Reactor;
  readonly #id: number;
  readonly #mapped: boolean;
  /** Those it shares its port with. */
  readonly #group: PortGroup | null;
  #closed = false;
  #refed = true;
  #active = false;

  private constructor(reactor: Reactor, id: number, mapped: boolean, group: PortGroup | null) {
    super('USERNETTCPSERVER', { requireManualDestroy: true });
    this.#mapped = mapped;
    this.#reactor = reactor;
    this.#id = id;
    this.#group = group;
    if (group === null) reactor.addListener(id, this);
    else group.add(this);
    this.#update();
  }

  /** Listens, or returns the negative errno of why not. With `reusePort`, beside others that do so too. */
  static listen(
    reactor: Reactor,
    address: string,
    port: number,
    backlog: number,
    ipv6Only: boolean,
    reusePort = false,
    fastOpen = 0,
  ): ServerHandle | number {
    if (reactor.closed) return errnoOf('ENETDOWN');
    const at = MAPPED.exec(address)?.[1] ?? address;
    const only = ipv6Only && isIPv6(address);
    const mapped = isIPv6(address) && !ipv6Only;
    const listen = (): number => reactor.native.listen(at, port, backlog, only, fastOpen);
    if (reusePort) {
      const group = PortGroup.join(reactor, only ? `${at} only` : at, port, listen);
      return typeof group === 'number' ? group : new ServerHandle(reactor, group.id, mapped, group);
    }
    const id = listen();
    return id < 0 ? id : new ServerHandle(reactor, id, mapped, null);
  }

  get fd(): number {
    return -1;
  }

  getAsyncId(): number {
    return this.asyncId();
  }

  getsockname(out: AddressOut): number {
    const address = this.#closed ? null : this.#reactor.native.listenerAddress(this.#id);
    return address === null ? EBADF : fill(out, address, this.#mapped);
  }

  ref(): void {
    this.#refed = true;
    this.#update();
  }

  unref(): void {
    this.#refed = false;
    this.#update();
  }

  hasRef(): boolean {
    return this.#refed && !this.#closed;
  }

  close(done?: () => void): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#group !== null) {
      this.#group.remove(this);
    } else {
      this.#reactor.removeListener(this.#id);
      if (!this.#reactor.closed) this.#reactor.native.closeListener(this.#id);
    }
    this.#update();
    this.#reactor.defer(this, () => {
      done?.();
      this.emitDestroy();
    });
  }

  onAccept(id: number): void {
    const handle = new SocketHandle(this.#reactor, id, this.#mapped);
    if (this.onconnection === null) handle.reset();
    else this.runInAsyncScope(this.onconnection, this, 0, handle);
  }

  onStackClose(): void {
    this.owner?.close();
    this.close();
  }

  #update(): void {
    const active = this.#refed && !this.#closed;
    if (active === this.#active) return;
    this.#active = active;
    this.#reactor.activate(active ? 1 : -1);
  }
}
