// `node:tls` on a stack.
import type * as realTls from 'node:tls';
import type { Net, Socket } from '../net/bind';
import type { NetContext } from '../net/context';
import { normalizeArgs } from '../net/normalize-args';
import { attach } from './attach';

/** `node:tls` whose `connect` and `createServer` are on a stack. */
export type Tls = typeof realTls;

/** Loads `node:tls`; throws `ERR_NO_CRYPTO` where Node was built without. */
function loadTls(): Tls {
  return require('node:tls') as Tls;
}

/** Makes the `tls` of a stack. */
export function createTls(net: Net, context: NetContext): Tls {
  const tls = loadTls();
  const connect = ((...args: unknown[]): realTls.TLSSocket => {
    // As in Node: (options), (port, options), (port, host, options), the callback last.
    const [first, callback] = normalizeArgs(args);
    const extra = args.slice(1, 3).find((arg) => typeof arg === 'object' && arg !== null) as object | undefined;
    const options = { ...first, ...extra } as realTls.ConnectionOptions & { port?: number; host?: string };
    if (options.socket || options.path) return tls.connect(options, callback ?? undefined);
    return tls.connect({ ...options, socket: rawSocket(net, options) }, callback ?? undefined);
  }) as Tls['connect'];
  const createServer = ((options?: unknown, listener?: unknown): realTls.Server =>
    attach(tls.createServer(options as realTls.TlsOptions, listener as () => void), context)) as Tls['createServer'];
  return bindModule(tls, { connect, createServer });
}

/** The TCP connection below; what concerns TLS alone stays above. */
function rawSocket(net: Net, options: object): Socket {
  const { signal: _signal, onread: _onread, timeout: _timeout, ...rest } = options as Record<string, unknown>;
  return net.connect({ ...(rest as { port: number }), allowHalfOpen: Boolean(rest.allowHalfOpen) });
}

/** A module's exports with some replaced; accessors stay accessors. */
export function bindModule<T extends object>(module: T, bound: Partial<T>): T {
  const descriptors = Object.getOwnPropertyDescriptors(module);
  return Object.defineProperties({}, { ...descriptors, ...Object.getOwnPropertyDescriptors(bound) }) as T;
}
