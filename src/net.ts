// `usernet/net`: a drop-in for `node:net`, on the default stack.
import { net } from './default-stack';
import type { Server as ServerType, Socket as SocketType } from './net/bind';

export type {
  Connect,
  ConnectOptions,
  ListenOptions,
  Net,
  ServerConstructor,
  ServerOptions,
  SocketConstructor,
  SocketOptions,
} from './net/bind';

export const {
  _normalizeArgs,
  BlockList,
  SocketAddress,
  connect,
  createConnection,
  createServer,
  isIP,
  isIPv4,
  isIPv6,
  Server,
  Socket,
  Stream,
  getDefaultAutoSelectFamily,
  setDefaultAutoSelectFamily,
  getDefaultAutoSelectFamilyAttemptTimeout,
  setDefaultAutoSelectFamilyAttemptTimeout,
} = net;

/** A TCP server on a stack. */
export type Server = ServerType;
/** A TCP connection on a stack. */
export type Socket = SocketType;

export default net;
