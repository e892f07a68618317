// The types of `usernet/net`.
// Made by scripts/types.mjs from src/net.ts: do not edit.
import { net } from './index';
import type { Server as ServerType, Socket as SocketType } from './index';

export type {
  Connect,
  ConnectOptions,
  ListenOptions,
  Net,
  ServerConstructor,
  ServerOptions,
  SocketConstructor,
  SocketOptions,
} from './index';

export declare const _normalizeArgs: typeof net._normalizeArgs;
export declare const BlockList: typeof net.BlockList;
export declare const SocketAddress: typeof net.SocketAddress;
export declare const connect: typeof net.connect;
export declare const createConnection: typeof net.createConnection;
export declare const createServer: typeof net.createServer;
export declare const isIP: typeof net.isIP;
export declare const isIPv4: typeof net.isIPv4;
export declare const isIPv6: typeof net.isIPv6;
export declare const Server: typeof net.Server;
export declare const Socket: typeof net.Socket;
export declare const Stream: typeof net.Stream;
export declare const getDefaultAutoSelectFamily: typeof net.getDefaultAutoSelectFamily;
export declare const setDefaultAutoSelectFamily: typeof net.setDefaultAutoSelectFamily;
export declare const getDefaultAutoSelectFamilyAttemptTimeout: typeof net.getDefaultAutoSelectFamilyAttemptTimeout;
export declare const setDefaultAutoSelectFamilyAttemptTimeout: typeof net.setDefaultAutoSelectFamilyAttemptTimeout;

/** A TCP server on a stack. */
export type Server = ServerType;
/** A TCP connection on a stack. */
export type Socket = SocketType;

export default net;
