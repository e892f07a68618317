// The socket: a Duplex of its own with everything `net.Socket` has.
import type * as realNet from 'node:net';
import { Duplex } from 'node:stream';
import {
  closedBeforeConnection,
  ENOTCONN,
  errnoEvent,
  errnoException,
  invalidArgValue,
  notAKernelSocket,
  socketClosed,
} from '../errors';
import type { ErrorReport } from '../events';
import type { SocketInfo } from '../info';
import { type CongestionControl, validateCongestion } from '../options';
import { onEnd } from './after-fin';
import { startConnect } from './connect';
import type { NetContext } from './context';
import { type AddressOut, type HandleOwner, SocketHandle } from './handle';
import { normalizeOnce } from './normalize-args';
import { takeBuffer } from './onread';
import { byteLength, bytes, encodeShort, type Gathered } from './scratch';
import type { Listening } from './server';
import type { KeepAliveOptions, SocketOptions } from './socket-types';
import { AcceptedOptions, streamOptions } from './stream-options';
import {
  kAfterConnect,
  kBlockList,
  kBuffer,
  kBufferCallback,
  kBufferGenerator,
  kBytesRead,
  kBytesWritten,
  kCongestion,
  kEarlyWrite,
  kFastOpen,
  kHandle,
  kKeepAlive,
  kKeepAliveInitialDelay,
  kKeepAliveProbes,
  kLastWriteQueueSize,
  kNet,
  kNoDelay,
  kReplaceHandle,
  kTimeout,
  kTypeOfService,
  kUsernetSocket,
  kUserTimeout,
} from './symbols';
import { bridgeTls } from './tls-bridge';
import { timerDuration, validateAbortSignal, validateFunction, validateInt32, validateNumber } from './validators';

interface PrivateOptions extends SocketOptions {
  handle?: SocketHandle;
  fd?: number;
  pauseOnCreate?: boolean;
  manualStart?: boolean;
}

type WriteCallback = (error?: Error | null) => void;

/** What streams have for Node itself: what waits to be written, and whether a tick is on its way that calls `_read` again. */
interface Inner {
  writableBuffer: Gathered | undefined;
  _readableState: { readingMore: boolean };
}

/** The implementation of `Socket`. */
export class SocketImpl extends Duplex implements HandleOwner {
  /** The `net` this socket belongs to; on the prototype of each stack's own constructor. */
  declare readonly [kNet]: NetContext;
  declare readonly [kUsernetSocket]: true;
  declare [kHandle]: SocketHandle | null;
  declare [kTimeout]: NodeJS.Timeout | null;
  declare [kLastWriteQueueSize]: number;
  declare [kBuffer]: Uint8Array | true | null;
  declare [kBufferCallback]: ((length: number, buffer: Uint8Array) => unknown) | null;
  declare [kBufferGenerator]: (() => Uint8Array) | null;
  declare [kBytesRead]: number;
  declare [kBytesWritten]: number;
  declare [kNoDelay]: boolean;
  declare [kFastOpen]: boolean | undefined;
  declare [kEarlyWrite]: (() => void) | null | undefined;
  declare [kKeepAlive]: boolean;
  declare [kKeepAliveInitialDelay]: number;
  declare [kKeepAliveProbes]: KeepAliveOptions | undefined;
  declare [kUserTimeout]: number | undefined;
  declare [kTypeOfService]: number | undefined;
  declare [kCongestion]: CongestionControl | undefined;
  declare [kBlockList]: realNet.BlockList | undefined;
  declare connecting: boolean;
  declare server: Listening | null;
  declare timeout: number | undefined;
  declare autoSelectFamilyAttemptedAddresses: string[];
  /** Internal to Node's modules, which look at these on any socket. */
  declare _hadError: boolean;
  declare _parent: SocketImpl | null;
  declare _host: string | null;
  declare _server: Listening | null;
  declare _sockname: AddressOut | null;
  declare _peername: AddressOut | null;
  declare _aborted: boolean | undefined;
  declare _pendingData: string | Uint8Array | Gathered | null;
  declare _pendingEncoding: BufferEncoding | '';
  declare resetAndClosing: boolean | undefined;

  constructor(options?: SocketOptions) {
    super(streamOptions(options));
    initSocket(this, options);
  }

  get _handle(): SocketHandle | null {
    return this[kHandle];
  }

  set _handle(handle: SocketHandle | null) {
    this[kHandle] = handle;
  }

  get _connecting(): boolean {
    return this.connecting;
  }

  get pending(): boolean {
    return !this._handle || this.connecting;
  }

  get readyState(): realNet.SocketReadyState {
    if (this.connecting) return 'opening';
    if (this.readable) return this.writable ? 'open' : 'readOnly';
    return this.writable ? 'writeOnly' : 'closed';
  }

  get bufferSize(): number | undefined {
    return this._handle ? this.writableLength : undefined;
  }

  /** Begins a connection; the forms are those of `net.Socket.connect`. */
  connect(...args: unknown[]): this {
    const [options, callback] = normalizeOnce(args);
    if (callback !== null) this.once('connect', callback);
    if (this._parent?.connecting) return this;
    return startConnect(this, options);
  }

  setTimeout(msecs: number, callback?: () => void): this {
    if (this.destroyed) return this;
    this.timeout = msecs;
    const duration = timerDuration(msecs, 'msecs');
    clearTimeout(this[kTimeout] ?? undefined);
    if (duration === 0) {
      this[kTimeout] = null;
      if (callback !== undefined) {
        validateFunction(callback, 'callback');
        this.removeListener('timeout', callback);
      }
    } else {
      this[kTimeout] = setTimeout(() => this._onTimeout(), duration).unref();
      if (callback !== undefined) {
        validateFunction(callback, 'callback');
        this.once('timeout', callback);
      }
    }
    return this;
  }

  _onTimeout(): void {
    const handle = this._handle;
    const last = this[kLastWriteQueueSize];
    if (last > 0 && handle) {
      // A write that makes progress is activity.
      const size = handle.writeQueueSize;
      if (last !== size) {
        this[kLastWriteQueueSize] = size;
        this._unrefTimer();
        return;
      }
    }
    this.emit('timeout');
  }

  /** Puts the idle timer back to its start. */
  _unrefTimer(): void {
    for (let socket: SocketImpl | null = this; socket; socket = socket._parent) socket[kTimeout]?.refresh();
  }

  setNoDelay(enable?: boolean): this {
    const on = Boolean(enable === undefined ? true : enable);
    if (!this._handle) {
      this[kNoDelay] = on;
    } else if (on !== this[kNoDelay]) {
      this[kNoDelay] = on;
      this._handle.setNoDelay?.(on);
    }
    return this;
  }

  /** `setKeepAlive(enable, initialDelay)`, the delay in ms, or one object, which can say interval and count too. */
  setKeepAlive(enable?: boolean | KeepAliveOptions, initialDelay?: number): this {
    let probes: KeepAliveOptions = {};
    // As in Node, of whatever it is given.
    let seconds = ~~((initialDelay as number) / 1000);
    if (typeof enable === 'object' && enable !== null) {
      probes = enable;
      if (probes.initialDelay !== undefined) validateInt32(probes.initialDelay, 'options.initialDelay', 0);
      if (probes.interval !== undefined) validateInt32(probes.interval, 'options.interval', 1);
      if (probes.count !== undefined) validateInt32(probes.count, 'options.count', 1, 255);
      enable = probes.enable;
      seconds = (probes.initialDelay ?? 0) / 1000;
    }
    const { interval, count } = probes;
    const on = Boolean(enable);
    if (!this._handle) {
      this[kKeepAlive] = on;
      this[kKeepAliveInitialDelay] = seconds;
      this[kKeepAliveProbes] = probes;
    } else if (on !== this[kKeepAlive] || (on && (seconds !== this[kKeepAliveInitialDelay] || interval || count))) {
      this[kKeepAlive] = on;
      this[kKeepAliveInitialDelay] = seconds;
      this[kKeepAliveProbes] = probes;
      this._handle.setKeepAlive?.(on, seconds, interval, count);
    }
    return this;
  }

  /** How long written data may stay unacknowledged before the connection is given up (RFC 5482), ms; 0: the retries say. */
  setUserTimeout(ms: number): this {
    validateInt32(ms, 'ms', 0);
    this[kUserTimeout] = ms;
    if (this._handle && !this.connecting) {
      const errno = this._handle.setUserTimeout(ms);
      if (errno < 0) throw errnoException(errno, 'setUserTimeout');
    }
    return this;
  }

  /** Sets the DSCP and ECN byte of outgoing packets, 0-255. */
  setTypeOfService(tos: number): this {
    validateInt32(tos, 'tos', 0, 255);
    this[kTypeOfService] = tos;
    if (this._handle && !this.connecting) {
      const errno = this._handle.setTypeOfService(tos);
      if (errno < 0) throw errnoException(errno, 'setTypeOfService');
    }
    return this;
  }

  /** The DSCP and ECN byte of outgoing packets. */
  getTypeOfService(): number {
    if (!this._handle || this.connecting) return this[kTypeOfService] ?? 0;
    const tos = this._handle.getTypeOfService();
    if (tos < 0) throw errnoException(tos, 'getTypeOfService');
    return tos;
  }

  /** Chooses the congestion control; one under way goes on from the window that the one before left. */
  setCongestionControl(name: CongestionControl): this {
    validateCongestion(name, 'name');
    this[kCongestion] = name;
    if (this._handle && !this.connecting) {
      const errno = this._handle.setCongestionControl(name);
      if (errno < 0) throw errnoException(errno, 'setCongestionControl');
    }
    return this;
  }

  /** The connection's inner state as `ss -ti` shows it. `null` where there is no connection. */
  info(): SocketInfo | null {
    return this._handle?.info() ?? null;
  }

  address(): realNet.AddressInfo | Record<string, never> {
    return this._getsockname() as realNet.AddressInfo;
  }

  get localAddress(): string | undefined {
    return this._getsockname().address;
  }

  get localPort(): number | undefined {
    return this._getsockname().port;
  }

  get localFamily(): string | undefined {
    return this._getsockname().family;
  }

  get remoteAddress(): string | undefined {
    return this._getpeername().address;
  }

  get remotePort(): number | undefined {
    return this._getpeername().port;
  }

  get remoteFamily(): string | undefined {
    return this._getpeername().family;
  }

  _getsockname(): AddressOut {
    if (!this._handle?.getsockname) return {};
    if (!this._sockname) {
      const out: AddressOut = {};
      // An address is there once the connection is; until then this is asked again.
      if (this._handle.getsockname(out) < 0) return out;
      this._sockname = out;
    }
    return this._sockname;
  }

  _getpeername(): AddressOut {
    if (!this._handle?.getpeername || this.connecting) return this._peername ?? {};
    if (!this._peername) {
      const out: AddressOut = {};
      if (this._handle.getpeername(out) < 0) return out;
      this._peername = out;
    }
    return this._peername;
  }

  get bytesRead(): number {
    return this._handle ? this._handle.bytesRead : this[kBytesRead];
  }

  get _bytesDispatched(): number {
    return this._handle ? this._handle.bytesWritten : this[kBytesWritten];
  }

  get bytesWritten(): number | undefined {
    let total = this._bytesDispatched;
    const buffered = (this as unknown as Inner).writableBuffer;
    if (!buffered) return undefined;
    for (const { chunk, encoding } of buffered) total += byteLength(chunk, encoding);
    const data = this._pendingData;
    if (Array.isArray(data)) {
      for (const { chunk, encoding } of data) total += byteLength(chunk, encoding);
    } else if (data) {
      total += byteLength(data, this._pendingEncoding as BufferEncoding);
    }
    return total;
  }

  ref(): this {
    if (this._handle) this._handle.ref?.();
    else this.once('connect', this.ref);
    return this;
  }

  unref(): this {
    if (this._handle) this._handle.unref?.();
    else this.once('connect', this.unref);
    return this;
  }

  override pause(): this {
    if (this.readableFlowing !== true) bridgeTls();
    const handle = this._handle;
    if (this[kBuffer] && !this.connecting && handle?.reading) {
      handle.reading = false;
      if (!this.destroyed) {
        const errno = handle.readStop();
        if (errno < 0) this.destroy(errnoException(errno, 'read'));
      }
    }
    return super.pause();
  }

  override resume(): this {
    this.#readIntoBuffer();
    return super.resume();
  }

  override read(size?: number): ReturnType<Duplex['read']> {
    this.#readIntoBuffer();
    return super.read(size);
  }

  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once('finish', this.destroy);
  }

  /** Closes with a RST. */
  resetAndDestroy(): this {
    if (!this._handle) {
      this.destroy(socketClosed());
    } else if (this.connecting) {
      this.once('connect', () => this._reset());
    } else {
      this._reset();
    }
    return this;
  }

  _reset(): this {
    this.resetAndClosing = true;
    return this.destroy();
  }

  override _read(size: number): void {
    if (this.connecting || !this._handle) this.once('connect', () => this._read(size));
    else if (!this._handle.reading) this.#readStart();
  }

  override _write(chunk: string | Uint8Array, encoding: BufferEncoding, callback: WriteCallback): void {
    if (this.#waits()) this.#whenConnected(chunk, encoding, callback, () => this._write(chunk, encoding, callback));
    else if (typeof chunk !== 'string') this.#sendBytes(chunk, callback);
    else if (!this.#sendText(chunk, encoding, undefined, '', callback)) {
      this.#send([Buffer.from(chunk, encoding)], callback);
    }
  }

  override _writev(chunks: Gathered, callback: WriteCallback): void {
    if (this.#waits()) {
      this.#whenConnected(chunks, '', callback, () => this._writev(chunks, callback));
    } else {
      this.#encodeAndSend(chunks, callback);
    }
  }

  override _final(callback: WriteCallback): void {
    if (this.pending) {
      this.once('connect', () => this._final(callback));
      return;
    }
    const handle = this._handle;
    if (!handle) {
      callback();
      return;
    }
    const errno = handle.shutdown(() => callback());
    // A connection that is over has nothing to shut down.
    if (errno < 0) callback(errno === ENOTCONN ? null : errnoException(errno, 'shutdown'));
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.connecting = false;
    for (let socket: SocketImpl | null = this; socket; socket = socket._parent)
      clearTimeout(socket[kTimeout] ?? undefined);
    const handle = this._handle;
    if (handle) {
      const hadError = Boolean(error);
      this[kBytesRead] = handle.bytesRead;
      this[kBytesWritten] = handle.bytesWritten;
      const closed = (): void => {
        this.emit('close', hadError);
      };
      if (this.resetAndClosing) {
        this.resetAndClosing = false;
        const errno = handle.reset(closed);
        if (errno < 0) this.emit('error', errnoException(errno, 'reset'));
      } else {
        handle.close(closed);
      }
      handle.owner = null;
      this._handle = null;
      this._sockname = null;
      callback(error);
    } else {
      callback(error);
      process.nextTick(emitClose, this);
    }
    const server = this._server;
    if (server) {
      server._connections--;
      server._emitCloseIfDrained();
    }
  }

  /** @internal */
  [kAfterConnect](): void {
    const handle = this._handle as SocketHandle;
    this.connecting = false;
    this._sockname = null;
    this._unrefTimer();
    if (this[kNoDelay]) handle.setNoDelay?.(true);
    if (this[kKeepAlive]) {
      const { interval, count } = this[kKeepAliveProbes] ?? {};
      handle.setKeepAlive?.(true, this[kKeepAliveInitialDelay], interval, count);
    }
    if (this[kUserTimeout] !== undefined) handle.setUserTimeout?.(this[kUserTimeout]);
    if (this[kTypeOfService] !== undefined) handle.setTypeOfService?.(this[kTypeOfService]);
    if (this[kCongestion] !== undefined) handle.setCongestionControl?.(this[kCongestion]);
    this.emit('connect');
    this.emit('ready');
    // Starts reading; nothing is consumed.
    if (!this.isPaused()) this.read(0);
  }

  /** @internal Takes another handle, for another attempt to connect. */
  [kReplaceHandle](handle: SocketHandle): void {
    const old = this._handle;
    if (old) {
      old.owner = null;
      old.close();
      if (!old.hasRef()) handle.ref();
    }
    this._handle = handle;
    adoptHandle(this);
  }

  onHandleData(chunk: Buffer): void {
    this._unrefTimer();
    if (this.destroyed) return;
    const more = this[kBuffer] ? this.#fillBuffer(chunk) : this.#hand(chunk);
    const handle = this._handle;
    if (!more && handle) {
      handle.reading = false;
      const errno = handle.readStop();
      if (errno < 0) this.destroy(errnoException(errno, 'read'));
    }
  }

  /**
   * `push`. To listeners that take what comes at once, without the tick that follows otherwise, in which a stream asks for
   * more: all that comes is reported as it is.
   */
  #hand(chunk: Buffer): boolean {
    const state = (this as unknown as Inner)._readableState;
    const taken = this.readableFlowing === true && this.readableLength === 0 && this.listenerCount('data') > 0;
    if (!taken || state.readingMore) return this.push(chunk);
    state.readingMore = true;
    try {
      return this.push(chunk);
    } finally {
      state.readingMore = false;
    }
  }

  onHandleEnd(): void {
    this._unrefTimer();
    if (this.readableEnded) return;
    this.push(null);
    super.read(0);
  }

  onHandleError(errno: number): void {
    this._unrefTimer();
    this.destroy(errnoEvent(errno, 'read'));
  }

  onHandleReport(report: ErrorReport): void {
    this.emit('errorReport', report);
  }

  onStackClose(): void {
    this.destroy();
  }

  #readStart(): void {
    const handle = this._handle as SocketHandle;
    handle.reading = true;
    const errno = handle.readStart();
    if (errno < 0) this.destroy(errnoException(errno, 'read'));
  }

  #readIntoBuffer(): void {
    if (this[kBuffer] && !this.connecting && this._handle && !this._handle.reading) this.#readStart();
  }

  /** Copies what was received into the user's buffer, a bufferful at a time. */
  #fillBuffer(chunk: Buffer): boolean {
    let more = true;
    for (let offset = 0; offset < chunk.length && !this.destroyed; ) {
      const buffer = this[kBuffer] as Uint8Array;
      const length = Math.min(buffer.length, chunk.length - offset);
      if (length === 0) throw invalidArgValue('options.onread.buffer', buffer, 'must not be empty');
      chunk.copy(buffer, 0, offset, offset + length);
      offset += length;
      if (this[kBufferCallback]?.(length, buffer) === false) more = false;
      const next = this[kBufferGenerator]?.();
      if (next instanceof Uint8Array) this[kBuffer] = next;
      const handle = this._handle;
      if (handle && (!more || !handle.reading)) {
        // Stopped in the middle: the rest waits for the next start.
        if (offset < chunk.length) handle.putBack(chunk.subarray(offset));
        return more;
      }
    }
    return more;
  }

  #whenConnected(
    data: string | Uint8Array | Gathered,
    encoding: BufferEncoding | '',
    callback: WriteCallback,
    write: () => void,
  ): void {
    this._pendingData = data;
    this._pendingEncoding = encoding;
    const onClose = (): void => callback(closedBeforeConnection());
    const go = (): void => {
      this[kEarlyWrite] = null;
      this.off('connect', go);
      this.off('close', onClose);
      write();
    };
    if (this[kFastOpen]) this[kEarlyWrite] = go;
    this.once('connect', go);
    this.once('close', onClose);
  }

  /** Whether a write has to wait for the connection; with Fast Open only until it has begun. */
  #waits(): boolean {
    return this.connecting && !(this[kFastOpen] && this._handle && this._handle.id !== -1);
  }

  #encodeAndSend(chunks: Gathered, callback: WriteCallback): void {
    const first = chunks[0]!;
    if (chunks.length === 2 && typeof first.chunk === 'string') {
      const { chunk, encoding } = chunks[1]!;
      if (this.#sendText(first.chunk, first.encoding, chunk, encoding, callback)) return;
    }
    // A handle that somebody made may keep what it is given.
    const short = this._handle instanceof SocketHandle ? encodeShort(chunks) : null;
    if (short === null) this.#send(chunks.map(bytes), callback);
    else this.#sendBytes(short, callback);
  }

  /** Sends a short text, and what comes after it, without making a buffer; whether it could. */
  #sendText(
    first: string,
    encoding: BufferEncoding,
    second: string | Uint8Array | undefined,
    secondEncoding: BufferEncoding | '',
    callback: WriteCallback,
  ): boolean {
    const handle = this._handle;
    if (!(handle instanceof SocketHandle)) return false;
    const errno = handle.writeText(first, encoding, second, secondEncoding);
    if (errno > 0) return false;
    this.#sent(errno, callback);
    return true;
  }

  #sendBytes(chunk: Uint8Array, callback: WriteCallback): void {
    const handle = this._handle;
    const taken = handle instanceof SocketHandle ? handle.writeSome(chunk) : 0;
    if (taken < 0 || (taken === chunk.length && taken > 0)) this.#sent(Math.min(taken, 0), callback);
    else this.#send([taken === 0 ? chunk : chunk.subarray(taken)], callback);
  }

  /** A write is over as soon as it was begun; `errno` is negative where it failed. */
  #sent(errno: number, callback: WriteCallback): void {
    this._pendingData = null;
    this._pendingEncoding = '';
    this._unrefTimer();
    if (errno < 0) callback(errnoException(errno, 'write'));
    else callback();
  }

  #send(chunks: Uint8Array[], callback: WriteCallback): void {
    this._pendingData = null;
    this._pendingEncoding = '';
    const handle = this._handle;
    if (!handle) {
      callback(socketClosed());
      return;
    }
    this._unrefTimer();
    const errno = handle.write(chunks, (errno) => {
      if (this.destroyed) {
        callback(null);
      } else if (errno < 0) {
        callback(errnoEvent(errno, 'write'));
      } else {
        this._unrefTimer();
        this[kLastWriteQueueSize] = 0;
        callback(null);
      }
    });
    if (errno < 0) callback(errnoException(errno, 'write'));
    else if (errno === 0) callback();
    else this[kLastWriteQueueSize] = handle.writeQueueSize;
  }
}

Object.defineProperty(SocketImpl.prototype, kUsernetSocket, { value: true });

/** What few sockets are given: on the prototype until they are, so that the others have no room for it. */
for (const [name, value] of [
  [kBuffer, null],
  [kBufferCallback, null],
  [kBufferGenerator, null],
  [kKeepAlive, false],
  [kKeepAliveInitialDelay, 0],
  [kTypeOfService, undefined],
  [kCongestion, undefined],
  [kUserTimeout, undefined],
  [kBlockList, undefined],
] as const) {
  Object.defineProperty(SocketImpl.prototype, name, { value, writable: true });
}

/** Accessors that Node's own class shows when a socket is listed. */
for (const name of [
  'bytesRead',
  'remoteAddress',
  'remoteFamily',
  'remotePort',
  'localAddress',
  'localPort',
  'localFamily',
  '_bytesDispatched',
  'bytesWritten',
]) {
  Object.defineProperty(SocketImpl.prototype, name, { enumerable: true });
}

/** The rest of the constructor; apart from it so that `net.Socket.call(this)` of old can do the same. */
export function initSocket(socket: SocketImpl, given?: SocketOptions): void {
  const options: PrivateOptions =
    given instanceof AcceptedOptions ? given : typeof given === 'number' ? { fd: given } : { ...given };
  if (options.keepAliveInitialDelay !== undefined) {
    validateNumber(options.keepAliveInitialDelay, 'options.keepAliveInitialDelay');
    if (options.keepAliveInitialDelay < 0) options.keepAliveInitialDelay = 0;
  }
  if (options.fd !== undefined) {
    validateInt32(options.fd, 'fd', 0);
    throw notAKernelSocket('A file descriptor', options.fd, "Use node:net's Socket for it.");
  }
  if (options.congestion !== undefined) validateCongestion(options.congestion, 'options.congestion');
  if (options.typeOfService !== undefined) validateInt32(options.typeOfService, 'options.typeOfService', 0, 255);
  if (options.userTimeout !== undefined) validateInt32(options.userTimeout, 'options.userTimeout', 0);
  if (options.handle !== undefined && options.handle !== null && isKernelHandle(options.handle)) {
    throw notAKernelSocket('A handle', options.handle, "Use node:net's Socket for it.");
  }
  socket.connecting = false;
  socket._hadError = false;
  socket[kHandle] = options.handle ?? null;
  socket._parent = null;
  socket._host = null;
  socket._peername = null;
  socket[kLastWriteQueueSize] = 0;
  socket[kTimeout] = null;
  takeBuffer(socket, options.onread);
  socket[kNoDelay] = Boolean(options.noDelay);
  if (options.keepAlive) socket[kKeepAlive] = true;
  if (options.keepAliveInitialDelay) socket[kKeepAliveInitialDelay] = ~~(options.keepAliveInitialDelay / 1000);
  if (options.typeOfService !== undefined) socket[kTypeOfService] = options.typeOfService;
  if (options.congestion !== undefined) socket[kCongestion] = options.congestion;
  if (options.userTimeout) socket[kUserTimeout] = options.userTimeout;
  if (options.blockList !== undefined) socket[kBlockList] = options.blockList;
  socket._pendingData = null;
  socket._pendingEncoding = '';
  socket.server = null;
  socket._server = null;
  socket[kBytesRead] = 0;
  socket[kBytesWritten] = 0;
  socket.on('end', onEnd);
  adoptHandle(socket);
  const handle = socket._handle;
  if (handle && options.readable !== false) {
    if (options.pauseOnCreate) {
      handle.reading = false;
      handle.readStop();
      (socket as { readableFlowing: boolean | null }).readableFlowing = false;
    } else if (!options.manualStart) {
      socket.read(0);
    }
  }
  if (options.signal) watchSignal(socket, options.signal);
}

/** Handles of Node's own, which only its own sockets can drive; anything else with the right methods will do. */
function isKernelHandle(handle: object): boolean {
  return ['TCP', 'Pipe', 'TTY', 'UDP'].includes(handle.constructor?.name);
}

/** Ties the socket to the handle it has, if it has one. */
export function adoptHandle(socket: SocketImpl): void {
  (socket as unknown as { _undestroy(): void })._undestroy();
  socket._sockname = null;
  const handle = socket._handle;
  if (!handle) return;
  handle.owner = socket;
  const generate = socket[kBufferGenerator];
  if (generate !== null) {
    const buffer = generate();
    if (buffer instanceof Uint8Array) socket[kBuffer] = buffer;
  }
}

function watchSignal(socket: SocketImpl, signal: AbortSignal): void {
  validateAbortSignal(signal, 'options.signal');
  const onAbort = (): void => {
    socket._aborted = true;
  };
  if (signal.aborted) process.nextTick(onAbort);
  else process.nextTick(() => signal.addEventListener('abort', onAbort, { once: true }));
}

function emitClose(socket: SocketImpl): void {
  socket.emit('close');
}
