// `dgram.Socket` on a stack: its methods, events and errors are those of `node:dgram`.
import type * as realDgram from 'node:dgram';
import { channel } from 'node:diagnostics_channel';
import type * as realDns from 'node:dns';
import dns from 'node:dns';
import { EventEmitter, errorMonitor } from 'node:events';
import { isIP } from 'node:net';
import { getSystemErrorMap, getSystemErrorName } from 'node:util';
import { splitZone } from '../addresses';
import {
  type CodedError,
  codedError,
  EBADF,
  EINVAL,
  errnoException,
  exceptionWithHostPort,
  invalidArgType,
  missingArgs,
  notAKernelSocket,
} from '../errors';
import type { NativeUdpInfo } from '../native';
import type { NetContext } from '../net/context';
import { validateAbortSignal, validateFunction, validateNumber, validateString } from '../net/validators';
import { BindFlag, DatagramHandle, EAGAIN, type RemoteInfo } from './handle';

type Lookup = typeof realDns.lookup;
type SocketType = 'udp4' | 'udp6';
type SendCallback = (error: Error | null, bytes?: number) => void;

/** What `createSocket` takes. */
export interface DatagramSocketOptions extends AbortOptions {
  type: SocketType;
  /** Whether the address may be bound although another socket that allows it too has it (`SO_REUSEADDR`). */
  reuseAddr?: boolean;
  /** Whether the port may be shared with sockets that allow it too; each peer's datagrams go to one (`SO_REUSEPORT`). */
  reusePort?: boolean;
  /** Whether a `udp6` socket leaves IPv4 alone. */
  ipv6Only?: boolean;
  /** Bytes of the receive buffer; datagrams that do not fit are dropped and counted. */
  recvBufferSize?: number;
  /** Bytes of the send buffer. */
  sendBufferSize?: number;
  /** Finds the addresses of names. Default: `dns.lookup`. */
  lookup?: Lookup;
}

interface AbortOptions {
  /** Closes the socket. */
  signal?: AbortSignal;
}

const enum Binding {
  Unbound,
  Binding,
  Bound,
}

const enum Connecting {
  Disconnected,
  Connecting,
  Connected,
}

interface State {
  handle: DatagramHandle | null;
  lookup: Lookup | undefined;
  binding: Binding;
  connecting: Connecting;
  /** What waits for the binding. */
  queue: (() => void)[] | undefined;
  flags: number;
  recvBufferSize: number | undefined;
  sendBufferSize: number | undefined;
}

export const kState = Symbol('usernet.dgram.state');
/** A handle that is bound and connected already, instead of options. */
export const kAdopt = Symbol('usernet.dgram.adopt');
const socketChannel = channel('udp.socket');
const BUFFER_KINDS = ['Buffer', 'TypedArray', 'DataView', 'string'];

const notRunning = (): CodedError => codedError(Error, 'ERR_SOCKET_DGRAM_NOT_RUNNING', 'Not running');
const isConnected = (): CodedError => codedError(Error, 'ERR_SOCKET_DGRAM_IS_CONNECTED', 'Already connected');
const notConnected = (): CodedError => codedError(Error, 'ERR_SOCKET_DGRAM_NOT_CONNECTED', 'Not connected');
const outOfBounds = (name: string): CodedError =>
  codedError(RangeError, 'ERR_BUFFER_OUT_OF_BOUNDS', `"${name}" is outside of buffer bounds`);

/** Returns the port as a number from 1, or throws `ERR_SOCKET_BAD_PORT`. */
function validateRemotePort(port: unknown): number {
  const text = typeof port === 'string' && port.trim().length > 0;
  const value = typeof port === 'number' || text ? +port : Number.NaN;
  if (value === value >>> 0 && value > 0 && value <= 0xffff) return value;
  const type = invalidArgType('x', 'number', port).message;
  const received = type.slice(type.indexOf('Received'));
  throw codedError(RangeError, 'ERR_SOCKET_BAD_PORT', `Port should be > 0 and < 65536. ${received}.`);
}

function validateSize(size: number | undefined, name: string): void {
  if (!size) return;
  validateNumber(size, name);
  if (!Number.isInteger(size) || size < 0 || size > 0xffffffff) {
    const range = Number.isInteger(size) ? '>= 0 && <= 4294967295' : 'an integer';
    throw codedError(
      RangeError,
      'ERR_OUT_OF_RANGE',
      `The value of "${name}" is out of range. It must be ${range}. Received ${size}`,
    );
  }
}

function bytesOf(data: unknown, name = 'buffer'): Uint8Array {
  if (typeof data === 'string') return Buffer.from(data);
  if (!ArrayBuffer.isView(data)) throw invalidArgType(name, BUFFER_KINDS, data);
  if (data instanceof Uint8Array) return data;
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}

function slice(data: unknown, from: unknown, count: unknown): Uint8Array {
  const bytes = bytesOf(data);
  const offset = (from as number) >>> 0;
  const length = (count as number) >>> 0;
  if (offset > bytes.byteLength) throw outOfBounds('offset');
  if (offset + length > bytes.byteLength) throw outOfBounds('length');
  return Buffer.from(bytes.buffer, bytes.byteOffset + offset, length);
}

function listOf(data: unknown): Uint8Array[] {
  if (!Array.isArray(data)) return [bytesOf(data)];
  const list = data.map((piece) => (typeof piece === 'string' || ArrayBuffer.isView(piece) ? bytesOf(piece) : null));
  if (list.includes(null)) throw invalidArgType('buffer list arguments', BUFFER_KINDS, data);
  return list.length === 0 ? [Buffer.alloc(0)] : (list as Uint8Array[]);
}

/** A UDP socket on a stack. Made by `createSocket()`. */
export class DatagramSocketImpl extends EventEmitter {
  readonly type: SocketType;
  readonly [kState]: State;
  readonly #context: NetContext;

  constructor(
    context: NetContext,
    typeOrOptions: SocketType | DatagramSocketOptions | { [kAdopt]: DatagramHandle; type: SocketType },
    listener?: (message: Buffer, info: RemoteInfo) => void,
  ) {
    super();
    const options = (
      typeOrOptions !== null && typeof typeOrOptions === 'object' ? typeOrOptions : { type: typeOrOptions }
    ) as DatagramSocketOptions & { [kAdopt]?: DatagramHandle };
    const { type, lookup, recvBufferSize, sendBufferSize, signal } = options;
    validateSize(recvBufferSize, 'options.recvBufferSize');
    validateSize(sendBufferSize, 'options.sendBufferSize');
    if (lookup !== undefined) validateFunction(lookup, 'lookup');
    if (type !== 'udp4' && type !== 'udp6') {
      throw codedError(TypeError, 'ERR_SOCKET_BAD_TYPE', 'Bad socket type specified. Valid types are: udp4, udp6');
    }
    const adopted = options[kAdopt];
    this.#context = context;
    this.type = type;
    this[kState] = {
      handle: adopted ?? new DatagramHandle(context.reactor, type === 'udp6'),
      lookup,
      binding: adopted ? Binding.Bound : Binding.Unbound,
      connecting: adopted ? Connecting.Connected : Connecting.Disconnected,
      queue: undefined,
      flags:
        (options.reuseAddr ? BindFlag.ReuseAddr : 0) |
        (options.reusePort ? BindFlag.ReusePort : 0) |
        (options.ipv6Only ? BindFlag.Ipv6Only : 0),
      recvBufferSize,
      sendBufferSize,
    };
    if (adopted) this.#receive();
    if (typeof listener === 'function') this.on('message', listener);
    if (signal !== undefined) {
      validateAbortSignal(signal, 'options.signal');
      const onAbort = (): void => {
        if (this[kState].handle !== null) this.close();
      };
      if (signal.aborted) {
        onAbort();
      } else {
        signal.addEventListener('abort', onAbort, { once: true });
        this.once('close', () => signal.removeEventListener('abort', onAbort));
      }
    }
    if (socketChannel.hasSubscribers) socketChannel.publish({ socket: this });
  }

  /** The handle of a socket that is not closed. */
  #handle(): DatagramHandle {
    const { handle } = this[kState];
    if (handle === null) throw notRunning();
    return handle;
  }

  #lookup(address: string | undefined, callback: (error: Error | null, address: string) => void): void {
    const state = this[kState];
    const family = this.type === 'udp4' ? 4 : 6;
    const host = address || (family === 4 ? '127.0.0.1' : '::1');
    const { address: bare, zone } = splitZone(host);
    if (zone !== null && isIP(bare) !== 0) {
      // An IPv4 address with a zone, which names an interface, is ours alone; no resolver knows it.
      process.nextTick(callback, null, host);
      return;
    }
    const lookup = state.lookup ?? this.#context.lookup ?? dns.lookup;
    (lookup as (...args: unknown[]) => void)(host, family, callback);
  }

  bind(...args: unknown[]): this {
    this.#handle();
    const state = this[kState];
    if (state.binding !== Binding.Unbound) {
      throw codedError(Error, 'ERR_SOCKET_ALREADY_BOUND', 'Socket is already bound');
    }
    const [first, second] = args;
    const options = first !== null && typeof first === 'object' ? (first as Record<string, unknown>) : null;
    if (options !== null && (typeof options.fd === 'number' || typeof options.recvStart === 'function')) {
      throw notAKernelSocket('A descriptor', options.fd, 'Bind to an address and a port.');
    }
    const port = options === null ? first : options.port;
    const asked = options === null ? (typeof second === 'function' ? '' : second) : options.address;
    const address = asked || (this.type === 'udp4' ? '0.0.0.0' : '::');
    if (typeof address !== 'string') throw invalidArgType('hostname', 'string', address);
    state.binding = Binding.Binding;
    const callback = args.at(-1);
    if (typeof callback === 'function') {
      const forget = (): void => {
        this.removeListener('error', forget);
        this.removeListener('listening', onListening);
      };
      const onListening = (): void => {
        forget();
        callback.call(this);
      };
      this.on('error', forget);
      this.on('listening', onListening);
    }
    this.#lookup(address, (error, ip) => {
      // Closed in the meantime.
      if (state.handle === null) return;
      const errno = error
        ? 0
        : state.handle.bindTo(ip, typeof port === 'function' ? 0 : Number(port) || 0, state.flags);
      if (error || errno < 0) {
        state.binding = Binding.Unbound;
        this.emit('error', error ?? exceptionWithHostPort(errno, 'bind', ip, port as number));
        return;
      }
      this.#startReceiving();
    });
    return this;
  }

  #startReceiving(): void {
    const state = this[kState];
    this.#receive();
    state.binding = Binding.Bound;
    if (state.recvBufferSize) this.#bufferSize('recvBuffer', state.recvBufferSize);
    if (state.sendBufferSize) this.#bufferSize('sendBuffer', state.sendBufferSize);
    this.emit('listening');
  }

  #receive(): void {
    const handle = this[kState].handle as DatagramHandle;
    handle.onmessage = (message, info) => this.emit('message', message, info);
    handle.onerror = (errno) => this.emit('error', errnoException(errno, 'recvmsg'));
    handle.ongone = (errno) => {
      if (errno < 0) this.emit('error', errnoException(errno, 'recvmsg'));
      if (this[kState].handle !== null) this.#end();
    };
  }

  /** Calls back once the socket is bound. */
  #enqueue(what: () => void): void {
    const state = this[kState];
    if (state.queue === undefined) {
      state.queue = [];
      const onError = (): void => {
        this.removeListener('listening', onListening);
        state.queue = undefined;
      };
      const onListening = (): void => {
        this.removeListener(errorMonitor, onError);
        const queue = state.queue ?? [];
        state.queue = undefined;
        for (const entry of queue) entry();
      };
      this.once(errorMonitor, onError);
      this.once('listening', onListening);
    }
    state.queue.push(what);
  }

  connect(port: number, address?: string | (() => void), callback?: (error?: Error) => void): void {
    const number = validateRemotePort(port);
    const onConnect = typeof address === 'function' ? address : callback;
    const host = typeof address === 'function' || address === undefined ? '' : address;
    validateString(host, 'address');
    const state = this[kState];
    if (state.connecting !== Connecting.Disconnected) throw isConnected();
    state.connecting = Connecting.Connecting;
    if (state.binding === Binding.Unbound) this.bind({ port: 0, exclusive: true }, null);
    const connect = (): void => this.#connect(number, host, onConnect);
    if (state.binding !== Binding.Bound) this.#enqueue(connect);
    else connect();
  }

  #connect(port: number, address: string, callback: ((error?: Error) => void) | undefined): void {
    if (callback) this.once('connect', callback as () => void);
    this.#lookup(address, (failed, ip) => {
      const state = this[kState];
      if (state.handle === null) return;
      const errno = failed ? 0 : state.handle.connect(ip, port);
      const error = failed ?? (errno < 0 ? exceptionWithHostPort(errno, 'connect', address, port) : null);
      if (error === null) {
        state.connecting = Connecting.Connected;
        process.nextTick(() => this.emit('connect'));
        return;
      }
      state.connecting = Connecting.Disconnected;
      process.nextTick(() => {
        if (!callback) {
          this.emit('error', error);
          return;
        }
        this.removeListener('connect', callback as () => void);
        callback(error);
      });
    });
  }

  disconnect(): void {
    const state = this[kState];
    if (state.connecting !== Connecting.Connected) throw notConnected();
    const errno = this.#handle().disconnect();
    if (errno < 0) throw errnoException(errno, 'connect');
    state.connecting = Connecting.Disconnected;
  }

  send(data: unknown, offset?: unknown, length?: unknown, port?: unknown, address?: unknown, callback?: unknown): void {
    const state = this[kState];
    const connected = state.connecting === Connecting.Connected;
    let [buffer, toPort, toAddress, onSent] = [data, port, address, callback];
    if (connected) {
      if (typeof length === 'number') {
        buffer = slice(data, offset, length);
        if (typeof port === 'function') [onSent, toPort] = [port, null];
      } else {
        onSent = offset;
      }
      if (toPort || toAddress) throw isConnected();
    } else if (address || (port && typeof port !== 'function')) {
      buffer = slice(data, offset, length);
    } else {
      [toPort, toAddress, onSent] = [offset, length, port];
    }
    const list = listOf(buffer);
    const number = connected ? 0 : validateRemotePort(toPort);
    if (typeof toAddress === 'function') [onSent, toAddress] = [toAddress, undefined];
    else if (toAddress != null) validateString(toAddress, 'address');
    const done = typeof onSent === 'function' ? (onSent as SendCallback) : undefined;
    const handle = this.#handle();
    if (state.binding === Binding.Unbound) this.bind({ port: 0, exclusive: true }, null);
    if (state.binding !== Binding.Bound) {
      this.#enqueue(() => this.send(list, connected ? done : number, toAddress, done));
      return;
    }
    const host = toAddress as string | undefined;
    if (connected) {
      this.#send(handle, list, 0, null, undefined, done);
    } else if (state.lookup === undefined && (host === undefined || host === '' || isIP(host) !== 0)) {
      // An address needs no look-up: it goes at once.
      const ip = host || (this.type === 'udp4' ? '127.0.0.1' : '::1');
      this.#send(handle, list, number, ip, host, done);
    } else {
      this.#lookup(host, (error, ip) => {
        if (error) process.nextTick(() => (done ? done(error) : this.emit('error', error)));
        else if (state.handle !== null) this.#send(state.handle, list, number, ip, host, done);
      });
    }
  }

  #send(
    handle: DatagramHandle,
    list: Uint8Array[],
    port: number,
    ip: string | null,
    address: string | undefined,
    done: SendCallback | undefined,
  ): void {
    const finish = (errno: number, bytes: number): void => {
      if (errno < 0) done?.(exceptionWithHostPort(errno, 'send', address as string, port), 0);
      else done?.(null, bytes);
    };
    const sent = handle.send(list, port, ip, done ? finish : null);
    if (sent === EAGAIN || done === undefined) return;
    // As in Node, what fails at once is told to the callback alone.
    if (sent < 0) process.nextTick(done, exceptionWithHostPort(sent, 'send', address as string, port));
    else process.nextTick(done, null, sent);
  }

  /** Deprecated in Node: use `send`. */
  sendto(
    buffer: unknown,
    offset: number,
    length: number,
    port: number,
    address: string,
    callback?: SendCallback,
  ): void {
    validateNumber(offset, 'offset');
    validateNumber(length, 'length');
    validateNumber(port, 'port');
    validateString(address, 'address');
    this.send(buffer, offset, length, port, address, callback);
  }

  close(callback?: () => void): this {
    const state = this[kState];
    if (typeof callback === 'function') this.on('close', callback);
    if (state.queue !== undefined) {
      state.queue.push(() => this.close());
      return this;
    }
    this.#handle();
    this.#end();
    return this;
  }

  #end(): void {
    const state = this[kState];
    const handle = state.handle as DatagramHandle;
    state.handle = null;
    handle.onmessage = null;
    handle.onerror = null;
    handle.ongone = null;
    handle.close();
    process.nextTick(() => this.emit('close'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this[kState].handle === null) return;
    await new Promise<void>((resolve) => this.close(resolve));
  }

  address(): { address: string; family: string; port: number } {
    return this.#named(this.#handle().address, 'getsockname');
  }

  remoteAddress(): { address: string; family: string; port: number } {
    const handle = this.#handle();
    if (this[kState].connecting !== Connecting.Connected) throw notConnected();
    return this.#named(handle.remoteAddress, 'getpeername');
  }

  #named(
    found: { address: string; family: string; port: number } | null,
    syscall: string,
  ): { address: string; family: string; port: number } {
    if (found === null) throw errnoException(EBADF, syscall);
    const mapped = this.type === 'udp6' && found.family === 'IPv4';
    return {
      address: mapped ? `::ffff:${found.address}` : found.address,
      family: this.type === 'udp6' ? 'IPv6' : 'IPv4',
      port: found.port,
    };
  }

  setBroadcast(on: boolean): void {
    check(this.#handle().set('broadcast', on ? 1 : 0), 'setBroadcast');
  }

  setTTL(ttl: number): number {
    validateNumber(ttl, 'ttl');
    const handle = this.#handle();
    check(ttl >= 1 && ttl <= 255 ? handle.set('ttl', ttl) : EINVAL, 'setTTL');
    return ttl;
  }

  setMulticastTTL(ttl: number): number {
    validateNumber(ttl, 'ttl');
    const handle = this.#handle();
    check(ttl >= 0 && ttl <= 255 ? handle.set('multicastTtl', ttl) : EINVAL, 'setMulticastTTL');
    return ttl;
  }

  setMulticastLoopback(on: boolean): boolean {
    check(this.#handle().set('multicastLoopback', on ? 1 : 0), 'setMulticastLoopback');
    return on;
  }

  setMulticastInterface(interfaceAddress: string): void {
    const handle = this.#handle();
    validateString(interfaceAddress, 'interfaceAddress');
    check(handle.setMulticastInterface(interfaceAddress), 'setMulticastInterface');
  }

  addMembership(multicastAddress: string, interfaceAddress?: string): void {
    this.#membership('addMembership', true, multicastAddress, interfaceAddress);
  }

  dropMembership(multicastAddress: string, interfaceAddress?: string): void {
    this.#membership('dropMembership', false, multicastAddress, interfaceAddress);
  }

  #membership(what: string, join: boolean, group: string, interfaceAddress?: string): void {
    const handle = this.#handle();
    if (!group) throw missingArgs('multicastAddress');
    // As Node, which takes what is no address for a bad one, of whatever type it is.
    check(handle.membership(join, String(group), interfaceAddress && String(interfaceAddress), ''), what);
  }

  addSourceSpecificMembership(sourceAddress: string, groupAddress: string, multicastInterface?: string): void {
    this.#sourceMembership('addSourceSpecificMembership', true, sourceAddress, groupAddress, multicastInterface);
  }

  dropSourceSpecificMembership(sourceAddress: string, groupAddress: string, multicastInterface?: string): void {
    this.#sourceMembership('dropSourceSpecificMembership', false, sourceAddress, groupAddress, multicastInterface);
  }

  #sourceMembership(what: string, join: boolean, source: string, group: string, interfaceAddress?: string): void {
    const handle = this.#handle();
    validateString(source, 'sourceAddress');
    validateString(group, 'groupAddress');
    const through = interfaceAddress && String(interfaceAddress);
    check(source === '' ? EINVAL : handle.membership(join, group, through, source), what);
  }

  #bufferSize(option: 'recvBuffer' | 'sendBuffer', size: number): number {
    if (size >>> 0 !== size) {
      throw codedError(TypeError, 'ERR_SOCKET_BAD_BUFFER_SIZE', 'Buffer size must be a positive integer');
    }
    const handle = this.#handle();
    // The bookkeeping counts, too: as Linux does, what was asked for is doubled to make up for it.
    const factor = process.platform === 'linux' ? 2 : 1;
    const errno = size === 0 ? 0 : handle.set(option, Math.min(size, 1 << 29) * factor);
    const info = handle.info;
    if (errno < 0 || info === null) throw bufferSizeError(errno || EBADF, option);
    return option === 'recvBuffer' ? info.recv_buffer : info.send_buffer;
  }

  setRecvBufferSize(size: number): void {
    this.#bufferSize('recvBuffer', size);
  }

  setSendBufferSize(size: number): void {
    this.#bufferSize('sendBuffer', size);
  }

  getRecvBufferSize(): number {
    return this.#bufferSize('recvBuffer', 0);
  }

  getSendBufferSize(): number {
    return this.#bufferSize('sendBuffer', 0);
  }

  /** Bytes that wait in this process for room in the send buffer. */
  getSendQueueSize(): number {
    return this.#handle().queued.bytes;
  }

  /** Datagrams that wait in this process for room in the send buffer. */
  getSendQueueCount(): number {
    return this.#handle().queued.datagrams;
  }

  /** Counters of the socket, drops among them, and its buffers and queues in bytes; null before it is bound. */
  info(): NativeUdpInfo | null {
    return this.#handle().info;
  }

  ref(): this {
    this[kState].handle?.ref();
    return this;
  }

  unref(): this {
    this[kState].handle?.unref();
    return this;
  }
}

function check(errno: number, syscall: string): void {
  if (errno < 0) throw errnoException(errno, syscall);
}

function bufferSizeError(errno: number, option: string): Error {
  const syscall = option === 'recvBuffer' ? 'uv_recv_buffer_size' : 'uv_send_buffer_size';
  const code = getSystemErrorName(errno);
  const words = getSystemErrorMap().get(errno)?.[1] ?? 'unknown error';
  const error = codedError(
    Error,
    'ERR_SOCKET_BUFFER_SIZE',
    `Could not get or set buffer size: ${syscall} returned ${code} (${words})`,
  ) as CodedError & { errno: number; syscall: string; info: object };
  error.name = 'SystemError';
  error.errno = errno;
  error.syscall = syscall;
  error.info = { errno, code, message: words, syscall };
  return error;
}

/** A UDP socket on a stack: that of `node:dgram`, and its counters. */
export type DatagramSocket = realDgram.Socket & {
  /** Counters of the socket, drops among them, and its buffers and queues in bytes; null before it is bound. */
  info(): NativeUdpInfo | null;
};
