// The server: listens on a stack, with the interface of `net.Server`.

import { channel, tracingChannel } from 'node:diagnostics_channel';
import dns from 'node:dns';
import { EventEmitter } from 'node:events';
import type * as realNet from 'node:net';
import {
  alreadyListening,
  errnoException,
  invalidArgType,
  invalidArgValue,
  notAKernelSocket,
  serverNotRunning,
  uvExceptionWithHostPort,
} from '../errors';
import { type CongestionControl, validateCongestion } from '../options';
import { defaultHighWaterMark, type NetContext, NODE_MAJOR } from './context';
import { type AddressOut, ServerHandle, type SocketHandle } from './handle';
import { normalizeArgs } from './normalize-args';
import type { SocketImpl } from './socket';
import type { Socket } from './socket-types';
import { AcceptedOptions } from './stream-options';
import { kCongestion, kFastOpen, kKeepAlive, kKeepAliveInitialDelay, kNet, kNoDelay } from './symbols';
import { toNumber, validateAbortSignal, validateInt32, validateNumber, validatePort } from './validators';

/** What `createServer` takes: Node's options. */
export interface ServerOptions extends realNet.ServerOpts {
  /** Connections from these addresses are closed without a word. */
  blockList?: realNet.BlockList;
  /** The congestion control of the connections it accepts. Default: the stack's. */
  congestion?: CongestionControl;
}

/** What `listen` takes: Node's options, without those of pipes and descriptors. */
export interface ListenOptions {
  /** 0-65535; 0 or none leaves the choice to the stack. */
  port?: number | undefined;
  /** A name or an address; none is every address of the stack. */
  host?: string | undefined;
  /** Connections that may wait to be accepted. Default 511. */
  backlog?: number | undefined;
  /**
   * TCP Fast Open (RFC 7413): whether clients that have a cookie of this stack's may send data on their SYN, and how many of
   * them at a time before their handshake is over; `true` is as many as `backlog`. Such data may arrive twice, so it suits
   * requests that can be repeated. Default false.
   */
  fastOpen?: number | boolean | undefined;
  /** Without meaning here: a stack belongs to one thread, there is nobody to share with. */
  exclusive?: boolean | undefined;
  /** Whether `::` leaves IPv4 alone. */
  ipv6Only?: boolean | undefined;
  /**
   * Whether several servers may listen on the address and port, each of them with this option; a hash of its peer's
   * address and port says whose a connection is. Node has it since 22.12; here it works on every version.
   */
  reusePort?: boolean | undefined;
  /** Closes the server when aborted. */
  signal?: AbortSignal | undefined;
}

const DEFAULT_BACKLOG = 511;
/** libuv's UV_TCP_IPV6ONLY, as Node hands it to `_listen2`. */
const IPV6_ONLY = 1;
/** libuv's UV_TCP_REUSEPORT. */
const REUSE_PORT = 2;
const serverSocketChannel = channel('net.server.socket');
const listenChannel: ReturnType<typeof tracingChannel> | undefined = tracingChannel?.('net.server.listen');

/** A TCP server over a user-space stack: to its user, a `net.Server`. */
export interface Server extends realNet.Server {
  /** Ends a server that listens; resolves once it is closed. */
  [Symbol.asyncDispose](): Promise<void>;
}

type ConnectionListener = (socket: Socket) => void;

/** The address to listen on: a link-local one needs a zone, so any other comes before it. */
function listenable(all: dns.LookupAddress[]): [address: string, family: number | undefined] {
  const one = all.find(({ address }) => !/^fe[89ab]/i.test(address)) ?? all[0];
  return [one?.address ?? '', one?.family];
}

/** The implementation of `Server`. */
export class ServerImpl extends EventEmitter {
  /** The `net` this server belongs to; on the prototype of each stack's own constructor. */
  declare readonly [kNet]: NetContext;
  declare allowHalfOpen: boolean;
  declare pauseOnConnect: boolean;
  declare noDelay: boolean;
  declare [kCongestion]: CongestionControl | undefined;
  declare keepAlive: boolean;
  declare keepAliveInitialDelay: number;
  declare highWaterMark: number;
  declare blockList: realNet.BlockList | undefined;
  declare maxConnections: number;
  declare _connections: number;
  declare _handle: ServerHandle | null;
  declare _unref: boolean;
  declare _listeningId: number;
  declare _connectionKey: string;
  declare _usingWorkers: boolean;
  declare [kFastOpen]: number | undefined;

  constructor(options?: ServerOptions | ConnectionListener, connectionListener?: ConnectionListener) {
    super(typeof options === 'object' && options !== null ? (options as object) : undefined);
    initServer(this, options, connectionListener);
  }

  get listening(): boolean {
    return Boolean(this._handle);
  }

  /** Begins to listen; the forms are those of `net.Server.listen`, but for pipes, descriptors and handles. */
  listen(...args: unknown[]): this {
    const [options, callback] = normalizeArgs(args);
    if (this._handle) throw alreadyListening();
    if (listenChannel?.hasSubscribers) listenChannel.asyncStart.publish({ server: this, options });
    if (callback !== null) this.once('listening', callback);
    const backlogArg = toNumber(args.length > 1 && args[1]) || toNumber(args.length > 2 && args[2]);
    // Makes a look-up that is under way come to nothing.
    this._listeningId++;
    rejectForeignHandles(options);
    watchSignal(this, options.signal);
    if (
      args.length === 0 ||
      typeof args[0] === 'function' ||
      (options.port === undefined && 'port' in options) ||
      options.port === null
    ) {
      options.port = 0;
    }
    if (typeof options.port === 'number' || typeof options.port === 'string') {
      const port = validatePort(options.port, 'options.port');
      const backlog = (options.backlog as number) || backlogArg || DEFAULT_BACKLOG;
      const flags = (options.ipv6Only === true ? IPV6_ONLY : 0) | (options.reusePort === true ? REUSE_PORT : 0);
      this[kFastOpen] = fastOpenQueue(options.fastOpen, backlog);
      if (options.host) this.#lookupAndListen(port, options.host as string, backlog, flags);
      else this._listen2(null, port, 4, backlog, undefined, flags);
      return this;
    }
    if (typeof options.path === 'string' && options.path) {
      throw notAKernelSocket('A path', options.path, 'Listen on a port, or use node:net for Unix sockets.');
    }
    if (!('port' in options || 'path' in options)) {
      throw invalidArgValue('options', options, 'must have the property "port" or "path"');
    }
    throw invalidArgValue('options', options);
  }

  /** Node's name for the step that programs wrap. `address` null is every address, both families. */
  _listen2(address: string | null, port: number, addressType: number, backlog: number, _fd?: number, flags = 0): void {
    listenOn(this, this[kNet], address, port, addressType, backlog, flags);
  }

  #lookupAndListen(port: number, host: string, backlog: number, flags: number): void {
    const listeningId = this._listeningId;
    // `dns.lookup` is looked up now, so that what a program or a test put in its place is used.
    const lookup = this[kNet].lookup ?? dns.lookup;
    const found = (error: Error | null, address: string | dns.LookupAddress[], family?: number): void => {
      if (listeningId !== this._listeningId) return;
      if (error) {
        this.emit('error', error);
        return;
      }
      const [one, addressType] = Array.isArray(address) ? listenable(address) : [address, family];
      this._listen2(one, port, one ? (addressType ?? 4) : 4, backlog, undefined, flags);
    };
    // As the Node that runs asks: what is in its place may look at how.
    if (this[kNet].lookup !== undefined) lookup(host, {}, found);
    else if (NODE_MAJOR >= 22) lookup(host, { all: true }, found);
    else (lookup as (host: string, callback: typeof found) => void)(host, found);
  }

  address(): realNet.AddressInfo | null {
    if (!this._handle?.getsockname) return null;
    const out: AddressOut = {};
    const errno = this._handle.getsockname(out);
    if (errno < 0) throw errnoException(errno, 'address');
    return out as realNet.AddressInfo;
  }

  getConnections(callback: (error: Error | null, count: number) => void): this {
    process.nextTick(callback, null, this._connections);
    return this;
  }

  close(callback?: (error?: Error) => void): this {
    this._listeningId++;
    if (typeof callback === 'function') {
      if (this._handle) this.once('close', callback);
      else this.once('close', () => callback(serverNotRunning()));
    }
    if (this._handle) {
      this._handle.close();
      this._handle = null;
    }
    this._emitCloseIfDrained();
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this._handle) return;
    await new Promise<void>((resolve, reject) => {
      this.close((error) => (error ? reject(error) : resolve()));
    });
  }

  _emitCloseIfDrained(): void {
    if (this._handle || this._connections) return;
    process.nextTick(emitClose, this);
  }

  ref(): this {
    this._unref = false;
    this._handle?.ref();
    return this;
  }

  unref(): this {
    this._unref = true;
    this._handle?.unref();
    return this;
  }

  override [EventEmitter.captureRejectionSymbol](error: Error, event: string | symbol, ...args: unknown[]): void {
    if (event === 'connection') (args[0] as SocketImpl).destroy(error);
    else this.emit('error', error);
  }
}

/** What listening needs of a server: ours has it, and so has every server of Node's that is put on a stack. */
export interface Listening extends EventEmitter {
  [kFastOpen]?: number | undefined;
  allowHalfOpen: boolean;
  pauseOnConnect: boolean;
  noDelay: boolean;
  [kCongestion]?: CongestionControl | undefined;
  keepAlive: boolean;
  keepAliveInitialDelay: number;
  highWaterMark: number;
  maxConnections: number;
  blockList?: realNet.BlockList | undefined;
  _connections: number;
  _handle: ServerHandle | null;
  _unref: boolean;
  _connectionKey: string;
  _emitCloseIfDrained(): void;
  close(callback?: (error?: Error) => void): unknown;
  unref(): unknown;
}

/** How many connections may exchange data before their handshake is over. */
function fastOpenQueue(value: unknown, backlog: number): number {
  if (value === undefined || value === false) return 0;
  if (value === true) return backlog;
  if (typeof value !== 'number') throw invalidArgType('options.fastOpen', ['boolean', 'number'], value);
  validateInt32(value, 'options.fastOpen', 0, 65535);
  return value;
}

/** Gives `server` a listener on the stack of `net`; `listening` or `error` follow on the next tick. */
export function listenOn(
  server: Listening,
  net: NetContext,
  address: string | null,
  port: number,
  addressType: number,
  backlog: number,
  flags: number,
): void {
  const place = address || '::';
  const family = address ? addressType : 6;
  const ipv6Only = (flags & IPV6_ONLY) !== 0;
  const reusePort = (flags & REUSE_PORT) !== 0;
  const queue = server[kFastOpen] ?? 0;
  const handle = ServerHandle.listen(net.reactor, place, port, backlog || DEFAULT_BACKLOG, ipv6Only, reusePort, queue);
  if (typeof handle === 'number') {
    const error = uvExceptionWithHostPort(handle, 'listen', place, port);
    if (listenChannel?.hasSubscribers) listenChannel.error.publish({ server, error });
    process.nextTick(emitError, server, error);
    return;
  }
  server._handle = handle;
  handle.owner = server;
  handle.onconnection = function (this: ServerHandle, errno, connection) {
    onConnection(this.owner as Listening, net, errno, connection);
  };
  if (listenChannel?.hasSubscribers) listenChannel.asyncEnd.publish({ server });
  server._connectionKey = `${family}:${place}:${port}`;
  if (server._unref) server.unref();
  process.nextTick(emitListening, server);
}

Object.defineProperty(ServerImpl.prototype, 'listening', { enumerable: true });

/** The rest of the constructor; apart from it so that `net.Server.call(this)` of old can do the same. */
export function initServer(server: ServerImpl, given: unknown, listener?: ConnectionListener): void {
  let options: ServerOptions;
  if (typeof given === 'function') {
    options = {};
    server.on('connection', given as ConnectionListener);
  } else if (given == null || typeof given === 'object') {
    options = { ...(given as ServerOptions) };
    if (typeof listener === 'function') server.on('connection', listener as ConnectionListener);
  } else {
    throw invalidArgType('options', 'Object', given);
  }
  if (options.keepAliveInitialDelay !== undefined) {
    validateNumber(options.keepAliveInitialDelay, 'options.keepAliveInitialDelay');
    if (options.keepAliveInitialDelay < 0) options.keepAliveInitialDelay = 0;
  }
  if (options.highWaterMark !== undefined) {
    validateNumber(options.highWaterMark, 'options.highWaterMark');
    if (options.highWaterMark < 0) options.highWaterMark = defaultHighWaterMark();
  }
  if (options.congestion !== undefined) validateCongestion(options.congestion, 'options.congestion');
  server._connections = 0;
  server._handle = null;
  server._usingWorkers = false;
  server._unref = false;
  server._listeningId = 1;
  server.allowHalfOpen = options.allowHalfOpen || false;
  server.pauseOnConnect = Boolean(options.pauseOnConnect);
  server.noDelay = Boolean(options.noDelay);
  server[kCongestion] = options.congestion;
  server.keepAlive = Boolean(options.keepAlive);
  server.keepAliveInitialDelay = ~~((options.keepAliveInitialDelay as number) / 1000);
  server.highWaterMark = options.highWaterMark ?? defaultHighWaterMark();
  server.blockList = options.blockList;
}

function rejectForeignHandles(options: Record<string, unknown>): void {
  const handle = options._handle ?? options.handle;
  if (handle) throw notAKernelSocket('A handle', handle, 'Listen on a port, or use node:net for it.');
  const { fd } = options;
  if (typeof fd === 'number' && fd >= 0) {
    throw notAKernelSocket('A file descriptor', fd, 'Listen on a port, or use node:net for it.');
  }
}

function watchSignal(server: ServerImpl, signal: unknown): void {
  if (signal === undefined) return;
  validateAbortSignal(signal, 'options.signal');
  const onAbort = (): void => {
    server.close();
  };
  if (signal.aborted) {
    process.nextTick(onAbort);
    return;
  }
  signal.addEventListener('abort', onAbort, { once: true });
  server.once('close', () => signal.removeEventListener('abort', onAbort));
}

/** Whether a limit is one: 0 is none on Node 20 and none at all from 21 on. */
function isFull(server: Listening): boolean {
  const limit = server.maxConnections;
  if (NODE_MAJOR >= 21 ? limit == null : !limit) return false;
  return server._connections >= limit;
}

function onConnection(server: Listening, net: NetContext, errno: number, handle: SocketHandle): void {
  if (errno < 0) {
    server.emit('error', errnoException(errno, 'accept'));
    return;
  }
  const peer: AddressOut = {};
  if (server.blockList && handle.getpeername(peer) === 0) {
    if (server.blockList.check(peer.address as string, peer.family === 'IPv6' ? 'ipv6' : 'ipv4')) {
      handle.close();
      return;
    }
  }
  if (isFull(server)) {
    const local: AddressOut = {};
    handle.getsockname(local);
    handle.getpeername(peer);
    const data = Object.assign(Object.create(null), {
      localAddress: local.address,
      localPort: local.port,
      localFamily: local.family,
      remoteAddress: peer.address,
      remotePort: peer.port,
      remoteFamily: peer.family,
    });
    server.emit('drop', data);
    handle.close();
    return;
  }
  const { allowHalfOpen, pauseOnConnect, highWaterMark } = server;
  const socket = new net.Socket(new AcceptedOptions(handle, allowHalfOpen, pauseOnConnect, highWaterMark));
  if (server.noDelay) {
    socket[kNoDelay] = true;
    handle.setNoDelay(true);
  }
  if (server[kCongestion] !== undefined) {
    socket[kCongestion] = server[kCongestion];
    handle.setCongestionControl(server[kCongestion]);
  }
  if (server.keepAlive) {
    socket[kKeepAlive] = true;
    socket[kKeepAliveInitialDelay] = server.keepAliveInitialDelay;
    handle.setKeepAlive(true, server.keepAliveInitialDelay);
  }
  server._connections++;
  socket.server = server;
  socket._server = server;
  server.emit('connection', socket);
  if (serverSocketChannel.hasSubscribers) serverSocketChannel.publish({ socket });
}

function emitError(server: Listening, error: Error): void {
  server.emit('error', error);
}

function emitListening(server: Listening): void {
  if (server._handle) server.emit('listening');
}

function emitClose(server: Listening): void {
  server.emit('close');
}
