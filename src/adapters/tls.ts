// `node:tls` on a stack.
import type * as realTls from 'node:tls';
import type { Net, Socket } from '../net/bind';
import type { NetContext } from '../net/context';
import { normalizeArgs } from '../net/normalize-args';
import { attach } from './attach';
import { bindClass, bindModule } from './bound';

/** `node:tls` whose `connect` and servers are on a stack. */
export type Tls = typeof realTls;

/** What happens to the connection below before TLS begins, and is told of the TLSSocket as if it were its own. */
const EVENTS = ['lookup', 'connectionAttempt', 'connectionAttemptFailed', 'connectionAttemptTimeout', 'ready'] as const;

/** Loads `node:tls`; throws `ERR_NO_CRYPTO` where Node was built without. */
function loadTls(): Tls {
  return require('node:tls') as Tls;
}

/** Makes the `tls` of a stack. */
export function createTls(net: Net, context: NetContext): Tls {
  const tls = loadTls();
  const Server = bindClass(tls.Server as unknown as new () => realTls.Server, {
    finish: (server) => attach(server, context),
  }) as unknown as Tls['Server'];
  const connect = ((...args: unknown[]): realTls.TLSSocket => {
    // As in Node: (options), (port, options), (port, host, options), the callback last.
    const [first, callback] = normalizeArgs(args);
    const extra = args.slice(1, 3).find((arg) => typeof arg === 'object' && arg !== null) as object | undefined;
    const options = { ...first, ...extra } as unknown as realTls.ConnectionOptions & { port: number };
    if (options.socket) return tls.connect(options, callback ?? undefined);
    return connectTls(net, options, (withSocket) => tls.connect({ ...options, ...withSocket }, callback ?? undefined));
  }) as Tls['connect'];
  const createServer = ((...args: unknown[]): realTls.Server =>
    new (Server as unknown as new (...args: unknown[]) => realTls.Server)(...args)) as Tls['createServer'];
  return bindModule(tls, { connect, createServer, Server });
}

/**
 * Connects on the stack and has `wrap` put TLS over it. What Node does for a connection of its own is made up for: the
 * idle timeout, and the events from below.
 */
export function connectTls<T>(
  net: Net,
  options: { port: number } & object,
  wrap: (withSocket: { socket: Socket; timeout: undefined }) => T,
): T {
  const { signal: _signal, onread: _onread, timeout, ...rest } = options as Record<string, unknown>;
  const below = net.connect({ ...(rest as { port: number }), allowHalfOpen: Boolean(rest.allowHalfOpen) });
  const result = wrap({ socket: below, timeout: undefined });
  const above = result as unknown as realTls.TLSSocket;
  if (timeout) above.setTimeout(timeout as number);
  for (const name of EVENTS) {
    below.on(name as 'ready', (...args: unknown[]) => (above.emit as (...args: unknown[]) => void)(name, ...args));
  }
  Object.defineProperty(above, 'autoSelectFamilyAttemptedAddresses', {
    get: () => below.autoSelectFamilyAttemptedAddresses,
    configurable: true,
    enumerable: true,
  });
  return result;
}
