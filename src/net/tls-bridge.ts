// What a TLSSocket over one of our sockets cannot ask of the stream it wraps: addresses, ref, keep-alive, Nagle.
import { kUsernetSocket } from './symbols';

type Method = (this: Wrapped, ...args: unknown[]) => unknown;
type Socket = Record<string | symbol, unknown>;
interface Wrapped {
  /** The TLS handle, whose `_parentWrap` is the internal wrapper, whose `stream` is what was wrapped. */
  _handle?: { _parentWrap?: { stream?: Socket } | null } | null;
}

/** Answered by the socket below. */
const GETTERS = ['_getpeername', '_getsockname', 'getTypeOfService'];
/** Passed on to the socket below. */
const SETTERS = ['ref', 'unref', 'setNoDelay', 'setKeepAlive', 'setTypeOfService'];
const kBridged = Symbol.for('usernet.tls');

let bridged = false;

/** Whether Node's TLS is in use in this thread: looking must not load it. */
function isTlsLoaded(): boolean {
  const loaded = (process as unknown as { moduleLoadList?: string[] }).moduleLoadList;
  return loaded === undefined || loaded.includes('NativeModule _tls_wrap') || loaded.includes('NativeModule tls');
}

/**
 * Node wraps a stream that is not its own `net.Socket` in an internal one, which has no addresses and nothing to unref.
 * Teaches `TLSSocket` to ask our socket below instead; TLS over anything else is as it was.
 * Called when a socket is paused, which is the first thing the internal wrapper does.
 */
export function bridgeTls(): void {
  if (bridged || !isTlsLoaded()) return;
  bridged = true;
  let tls: typeof import('node:tls');
  try {
    tls = require('node:tls') as typeof import('node:tls');
  } catch {
    // A Node without crypto has no TLS to bridge.
    return;
  }
  const prototype = tls.TLSSocket.prototype as unknown as Record<string | symbol, Method | true | undefined>;
  if (prototype[kBridged]) return;
  Object.defineProperty(prototype, kBridged, { value: true });
  for (const name of GETTERS) bridge(prototype, name, (result) => result);
  for (const name of SETTERS) bridge(prototype, name, (_, self) => self);
}

function bridge(
  prototype: Record<string | symbol, Method | true | undefined>,
  name: string,
  answer: (result: unknown, self: Wrapped) => unknown,
): void {
  const original = prototype[name] as Method | undefined;
  const method: Method = function (...args) {
    const below = this._handle?._parentWrap?.stream;
    if (below?.[kUsernetSocket]) return answer((below[name] as Method).apply(below, args), this);
    return original?.apply(this, args);
  };
  Object.defineProperty(prototype, name, { value: method, writable: true, configurable: true });
}
