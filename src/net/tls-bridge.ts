// What TLS and HTTP/2 over one of our sockets cannot ask of the stream they wrap: addresses, ref, keep-alive, Nagle.
import { Duplex } from 'node:stream';
import { kUsernetSocket } from './symbols';

type Method = (this: Wrapped, ...args: unknown[]) => unknown;
type Socket = Record<string | symbol, unknown>;
interface Wrapped {
  /** The TLS handle, whose `_parentWrap` is the internal wrapper, whose `stream` is what was wrapped. */
  _handle?: { _parentWrap?: { stream?: Socket } | null } | null;
  /** What was wrapped, where this is the internal wrapper. */
  stream?: Socket;
}
type Prototype = Record<string | symbol, Method | true | undefined>;

/** Answered by the socket below. */
const GETTERS = ['_getpeername', '_getsockname', 'getTypeOfService'];
/** Passed on to the socket below. */
const SETTERS = ['ref', 'unref', 'setNoDelay', 'setKeepAlive', 'setTypeOfService', 'setCongestionControl'];
const kBridged = Symbol.for('usernet.tls');

let bridged = false;

/**
 * Node wraps a stream that is not its own `net.Socket` in an internal one, which has no addresses and nothing to unref.
 * Teaches `TLSSocket` to ask our socket below instead; TLS over anything else is as it was.
 * Called when a socket that does not flow yet is paused, which is the first thing the internal wrapper does.
 */
export function bridgeTls(): void {
  if (bridged) return;
  bridged = true;
  let tls: typeof import('node:tls');
  try {
    tls = require('node:tls') as typeof import('node:tls');
  } catch {
    // A Node without crypto has no TLS to bridge.
    return;
  }
  const prototype = tls.TLSSocket.prototype as unknown as Prototype;
  if (prototype[kBridged]) return;
  Object.defineProperty(prototype, kBridged, { value: true });
  bridgeInit(prototype);
  bridgeMethods(prototype, (self) => self._handle?._parentWrap?.stream);
  // HTTP/2 uses the wrapper itself, which only a TLSSocket over some stream lets anybody see.
  const probe = new tls.TLSSocket(new Duplex({ read() {}, write() {} }) as never);
  const wrapper = (probe as unknown as Wrapped)._handle?._parentWrap;
  if (wrapper) bridgeMethods(Object.getPrototypeOf(wrapper), (self) => self.stream);
  probe.destroy();
}

function bridgeMethods(prototype: Prototype, below: (self: Wrapped) => Socket | undefined): void {
  for (const name of GETTERS) bridge(prototype, name, below, (result) => result);
  for (const name of SETTERS) bridge(prototype, name, below, (_, self) => self);
}

/** What is needed of the socket below. */
interface Below extends Socket {
  allowHalfOpen: boolean;
  connecting: boolean;
  once(name: string, listener: () => void): void;
}

/** What is needed of the TLSSocket. */
interface Above extends Wrapped {
  _parent: unknown;
  connecting: boolean;
  emit(name: string): boolean;
}

/** The end of its constructor, where Node ties a TLSSocket to a `net.Socket` below, but to no other stream. */
function bridgeInit(prototype: Prototype): void {
  const original = prototype._init as Method | undefined;
  if (original === undefined) return;
  const init: Method = function (below, ...rest) {
    const result = original.call(this, below, ...rest);
    if ((below as Socket | undefined)?.[kUsernetSocket]) tie(this as Above, below as Below);
    return result;
  };
  Object.defineProperty(prototype, '_init', { value: init, writable: true, configurable: true });
}

function tie(above: Above, below: Below): void {
  above._parent = below;
  // Whether to answer an end with an end is for the TLSSocket to say, which may have much to send before.
  below.allowHalfOpen = true;
  if (!below.connecting) return;
  above.connecting = true;
  below.once('connect', () => {
    above.connecting = false;
    above.emit('connect');
  });
}

function bridge(
  prototype: Prototype,
  name: string,
  find: (self: Wrapped) => Socket | undefined,
  answer: (result: unknown, self: Wrapped) => unknown,
): void {
  const original = prototype[name] as Method | undefined;
  const method: Method = function (...args) {
    const below = find(this);
    if (below?.[kUsernetSocket]) return answer((below[name] as Method).apply(below, args), this);
    return original?.apply(this, args);
  };
  Object.defineProperty(prototype, name, { value: method, writable: true, configurable: true });
}
