// A dispatcher for undici and `fetch` whose connections are on a stack.
import { isIP } from 'node:net';
import type * as realTls from 'node:tls';
import { codedError } from '../errors';
import type { Net, Socket } from '../net/bind';

/** What undici hands to a connector. */
interface ConnectorOptions {
  hostname: string;
  host?: string;
  protocol: string;
  port?: string | number;
  servername?: string;
  localAddress?: string | null;
  httpSocket?: Socket;
}

type ConnectorCallback = (error: Error | null, socket: unknown) => void;

/** undici's `Agent`, as far as it is used here; `fetch` and `request` take it as `dispatcher`. */
export interface UndiciDispatcher {
  close(): Promise<void>;
  destroy(error?: Error | null): Promise<void>;
  dispatch(options: object, handler: object): boolean;
}

interface Undici {
  Agent: new (options: object) => UndiciDispatcher;
}

/** Options of undici's `Agent`; `connect` may have TLS options, `timeout` (ms) and those of `net.connect`. */
export interface DispatcherOptions {
  connect?: Record<string, unknown>;
  [option: string]: unknown;
}

const DEFAULT_TIMEOUT = 10_000;

/** Makes a dispatcher over `net`. Needs the package `undici`, which is the user's to install. */
export function createDispatcher(net: Net, options: DispatcherOptions = {}): UndiciDispatcher {
  const { Agent } = loadUndici();
  return new Agent({ ...options, connect: connector(net, options.connect ?? {}) });
}

function loadUndici(): Undici {
  try {
    return require('undici') as Undici;
  } catch (cause) {
    const error = codedError(
      Error,
      'ERR_UNDICI_NOT_FOUND',
      'stack.dispatcher() needs the package undici, which is not installed here. Run: npm install undici',
    );
    error.cause = cause;
    throw error;
  }
}

function connector(net: Net, given: Record<string, unknown>) {
  const { timeout = DEFAULT_TIMEOUT, ...rest } = given;
  const sessions = new Map<string, Buffer>();
  return (options: ConnectorOptions, callback: ConnectorCallback): void => {
    const { hostname, protocol, localAddress } = options;
    const secure = protocol === 'https:';
    const port = Number(options.port) || (secure ? 443 : 80);
    const host = hostname.startsWith('[') ? hostname.slice(1, -1) : hostname;
    const raw =
      options.httpSocket ??
      net.connect({ ...rest, host, port, localAddress: localAddress ?? undefined, noDelay: true });
    let socket: Socket | realTls.TLSSocket = raw;
    if (secure) {
      const tls = require('node:tls') as typeof realTls;
      const servername = options.servername || (isIP(host) ? '' : host);
      const key = servername || host;
      const upper = tls.connect({
        ALPNProtocols: ['http/1.1'],
        ...rest,
        servername,
        session: sessions.get(key),
        socket: raw,
      });
      upper.on('session', (session) => sessions.set(key, session));
      socket = upper;
    }
    const timer = setTimeout(() => {
      socket.destroy(
        codedError(Error, 'UND_ERR_CONNECT_TIMEOUT', `Connect Timeout Error (${host}:${port}, ${timeout} ms)`),
      );
    }, timeout as number);
    let done = false;
    const finish = (error: Error | null): void => {
      clearTimeout(timer);
      if (done) return;
      done = true;
      if (error) callback(error, null);
      else callback(null, socket);
    };
    socket.once(secure ? 'secureConnect' : 'connect', () => finish(null));
    socket.once('error', finish);
    if (secure && options.httpSocket === undefined) raw.once('error', finish);
  };
}
