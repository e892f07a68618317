// Everything `node:net` exports, bound to a stack.
import { channel } from 'node:diagnostics_channel';
import { EventEmitter } from 'node:events';
import * as realNet from 'node:net';
import { Duplex } from 'node:stream';
import type { Reactor } from '../reactor';
import { NetContext } from './context';
import { type NormalizedArgs, normalizeArgs } from './normalize-args';
import { initServer, type Server, ServerImpl, type ServerOptions } from './server';
import { initSocket, SocketImpl } from './socket';
import type { Socket, SocketOptions } from './socket-types';
import { streamOptions } from './stream-options';
import { kNet } from './symbols';
import { validateBoolean, validateInt32 } from './validators';

export type { ListenOptions, Server, ServerOptions } from './server';
export type { KeepAliveOptions, Socket, SocketOptions } from './socket-types';

/** A constructor that can be called without `new`, and by `call` from constructors of old. */
export interface SocketConstructor {
  new (options?: SocketOptions): Socket;
  (options?: SocketOptions): Socket;
  readonly prototype: Socket;
}

/** As `SocketConstructor`, for servers. */
export interface ServerConstructor {
  new (connectionListener?: (socket: Socket) => void): Server;
  new (options?: ServerOptions, connectionListener?: (socket: Socket) => void): Server;
  (connectionListener?: (socket: Socket) => void): Server;
  (options?: ServerOptions, connectionListener?: (socket: Socket) => void): Server;
  readonly prototype: Server;
}

/** What a socket can be connected with: Node's options for TCP, and those of `Socket`. */
export type ConnectOptions = SocketOptions &
  realNet.TcpSocketConnectOpts & {
    /** Idle time, ms, after which `timeout` is emitted. */
    timeout?: number;
    /**
     * TCP Fast Open (RFC 7413): asks the server for a cookie, and once there is one, lets the first write go out on the SYN:
     * what is written in the same turn as `connect`, or within 10 ms. A server may get such data twice, so it suits requests
     * that can be repeated. Has no effect where several addresses of a name are tried in turn. Default false.
     */
    fastOpen?: boolean;
  };

/** `connect` and `createConnection`. */
export interface Connect {
  (options: ConnectOptions, connectionListener?: () => void): Socket;
  (port: number, host?: string, connectionListener?: () => void): Socket;
  (port: number, connectionListener?: () => void): Socket;
}

/** `node:net`, on a stack. */
export interface Net {
  connect: Connect;
  createConnection: Connect;
  createServer(connectionListener?: (socket: Socket) => void): Server;
  createServer(options?: ServerOptions, connectionListener?: (socket: Socket) => void): Server;
  Socket: SocketConstructor;
  /** Legacy name of `Socket`. */
  Stream: SocketConstructor;
  Server: ServerConstructor;
  isIP: typeof realNet.isIP;
  isIPv4: typeof realNet.isIPv4;
  isIPv6: typeof realNet.isIPv6;
  BlockList: typeof realNet.BlockList;
  SocketAddress: typeof realNet.SocketAddress;
  getDefaultAutoSelectFamily(): boolean;
  setDefaultAutoSelectFamily(value: boolean): void;
  getDefaultAutoSelectFamilyAttemptTimeout(): number;
  setDefaultAutoSelectFamilyAttemptTimeout(value: number): void;
  /** Node's internal normalization of arguments, which some libraries call. */
  _normalizeArgs(args: unknown[]): NormalizedArgs;
}

const clientSocketChannel = channel('net.client.socket');
const SHORTEST_ATTEMPT = 10;

/**
 * A constructor on `context` over a class: each stack has its own, so that `new stack.net.Socket()` knows its stack
 * and what is put on one prototype stays there. Functions, since `net.Socket()` and `net.Socket.call(this)` are legal.
 */
function bindConstructor<T extends object>(
  name: string,
  Base: new (...args: never[]) => object,
  context: NetContext,
  legacy: (self: object, args: unknown[]) => void,
): T {
  // What is really made: V8 keeps the shape of instances, so that the next one costs no new one, only where `new.target`
  // is a class that extends another. With the function below in its place each socket had a shape of its own.
  const Instance = class extends (Base as new (...args: unknown[]) => object) {};
  // A function expression in an object, for its name.
  const Bound = {
    [name]: function (this: unknown, ...args: unknown[]): object {
      if (new.target && new.target !== (Bound as never)) return Reflect.construct(Base as never, args, new.target);
      if (new.target || !(this instanceof (Bound as never))) return new Instance(...args);
      legacy(this as object, args);
      return this as object;
    },
  }[name] as unknown as T & { prototype: object };
  Object.setPrototypeOf(Bound, Base);
  Object.defineProperties(Instance.prototype, {
    constructor: { value: Bound, writable: true, configurable: true },
    [kNet]: { value: context },
  });
  Object.defineProperty(Bound, 'prototype', { value: Instance.prototype });
  return Bound;
}

/** Makes the `net` of a stack; `reactor` is called when it is first needed. */
export function createNet(reactor: () => Reactor): Net {
  return bindNet(new NetContext(reactor));
}

/** Makes the `net` over `context`. */
export function bindNet(context: NetContext): Net {
  const BoundSocket = bindConstructor<SocketConstructor>('Socket', SocketImpl, context, (self, [options]) => {
    (Duplex as unknown as (this: object, options: object) => void).call(self, streamOptions(options as SocketOptions));
    initSocket(self as SocketImpl, options as SocketOptions);
  });
  const BoundServer = bindConstructor<ServerConstructor>('Server', ServerImpl, context, (self, [options, listener]) => {
    (EventEmitter as unknown as (this: object) => void).call(self);
    initServer(self as ServerImpl, options, listener as (socket: Socket) => void);
  });
  context.Socket = BoundSocket as unknown as NetContext['Socket'];
  context.Server = BoundServer as unknown as NetContext['Server'];

  const connect = ((...args: unknown[]): Socket => {
    const normalized = normalizeArgs(args);
    const options = normalized[0];
    const socket = new BoundSocket(options as SocketOptions);
    if (clientSocketChannel.hasSubscribers) clientSocketChannel.publish({ socket });
    if (options.timeout) socket.setTimeout(options.timeout as number);
    return (socket as unknown as SocketImpl).connect(normalized) as unknown as Socket;
  }) as Connect;

  return {
    _normalizeArgs: normalizeArgs,
    get BlockList() {
      return realNet.BlockList;
    },
    get SocketAddress() {
      return realNet.SocketAddress;
    },
    connect,
    createConnection: connect,
    createServer(options?: unknown, listener?: (socket: Socket) => void): Server {
      return new BoundServer(options as ServerOptions, listener);
    },
    isIP: realNet.isIP,
    isIPv4: realNet.isIPv4,
    isIPv6: realNet.isIPv6,
    Server: BoundServer,
    Socket: BoundSocket,
    Stream: BoundSocket,
    getDefaultAutoSelectFamily: () => context.autoSelectFamily,
    setDefaultAutoSelectFamily(value) {
      validateBoolean(value, 'value');
      context.autoSelectFamily = value;
    },
    getDefaultAutoSelectFamilyAttemptTimeout: () => context.autoSelectFamilyAttemptTimeout,
    setDefaultAutoSelectFamilyAttemptTimeout(value) {
      validateInt32(value, 'value', 1);
      context.autoSelectFamilyAttemptTimeout = Math.max(SHORTEST_ATTEMPT, value);
    },
  };
}
