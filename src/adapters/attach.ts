// Servers of Node's own (http, https, http2, tls) put on a stack: they stay what they are, and listen on it.
import type * as realNet from 'node:net';
import type { NetContext } from '../net/context';
import { type Listening, listenOn } from '../net/server';

type Listen2 = (
  this: Listening,
  address: string | null,
  port: number,
  addressType: number,
  backlog: number,
  fd?: number,
  flags?: number,
) => void;

/**
 * Makes `server.listen()` listen on a stack. Arguments, look-ups, events, `address()`, `close()` and timeouts are Node's
 * own; only the last step, which Node calls `_listen2` and keeps for wrappers, is ours.
 */
export function attach<T extends realNet.Server>(server: T, net: NetContext): T {
  const listen2: Listen2 = function (address, port, addressType, backlog, _fd, flags = 0) {
    listenOn(this, net, address, port, addressType, backlog, flags);
  };
  Object.defineProperty(server, '_listen2', { value: listen2, writable: true, configurable: true });
  return server;
}
