// A dispatcher for undici and `fetch` whose connections are on a stack.
import { codedError } from '../errors';
import type { Net, Socket } from '../net/bind';

/** What undici hands to a connector. */
interface ConnectorOptions {
  hostname: string;
  protocol: string;
  port?: string | number;
  localAddress?: string | null;
  httpSocket?: Socket;
}

type ConnectorCallback = (error: Error | null, socket: unknown) => void;
type Connector = (options: ConnectorOptions, callback: ConnectorCallback) => unknown;

/** What is common to all versions of undici's dispatchers. */
interface AnyDispatcher {
  close(): Promise<void>;
  destroy(error?: Error | null): Promise<void>;
  dispatch(options: object, handler: object): boolean;
}

/**
 * undici's `Dispatcher`, as the types of Node that are installed have it: what `fetch` and undici's `request` take as
 * `dispatcher`.
 */
export type UndiciDispatcher = 'dispatcher' extends keyof RequestInit
  ? RequestInit extends { dispatcher?: infer Dispatcher }
    ? NonNullable<Dispatcher>
    : never
  : AnyDispatcher;

interface Undici {
  Agent: new (options: object) => UndiciDispatcher;
  buildConnector(options: object): Connector;
  errors: { ConnectTimeoutError: new (message: string) => Error };
}

/** Options of undici's `Agent`; `connect` may have TLS options, `timeout` (ms) and those of `net.connect`. */
export interface DispatcherOptions {
  connect?: Record<string, unknown>;
  /** How long a connection may take to be made, ms; 0 is for ever. Default 10,000. */
  connectTimeout?: number;
  [option: string]: unknown;
}

const DEFAULT_TIMEOUT = 10_000;
const DEFAULT_KEEP_ALIVE = 60_000;

/** Makes a dispatcher over `net`. Needs the package `undici`, which is the user's to install. */
export function createDispatcher(net: Net, options: DispatcherOptions = {}): UndiciDispatcher {
  const undici = loadUndici();
  const { allowH2, maxCachedSessions, autoSelectFamily, autoSelectFamilyAttemptTimeout } = options;
  // What undici's own connector would get: an agent leaves one of the user's to the user.
  const settings: Record<string, unknown> = {
    allowH2,
    maxCachedSessions,
    timeout: options.connectTimeout,
    ...(autoSelectFamily === undefined ? {} : { autoSelectFamily, autoSelectFamilyAttemptTimeout }),
    ...options.connect,
  };
  settings.timeout ??= DEFAULT_TIMEOUT;
  return new undici.Agent({ ...options, connect: connector(net, undici, settings) });
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

function connector(net: Net, undici: Undici, settings: Record<string, unknown>): Connector {
  // TLS, with its sessions, ALPN and time limit, is undici's own over our connection.
  const secure = undici.buildConnector(settings);
  const { allowH2: _h2, maxCachedSessions: _sessions, session: _session, socketPath, timeout, ...rest } = settings;
  return (options, callback) => {
    const { hostname, protocol } = options;
    const isSecure = protocol === 'https:';
    const port = Number(options.port) || (isSecure ? 443 : 80);
    const host = hostname.startsWith('[') ? hostname.slice(1, -1) : hostname;
    if (options.httpSocket) return secure(options, callback);
    const socket = net.connect({
      ...rest,
      path: socketPath,
      host,
      port,
      localAddress: options.localAddress ?? undefined,
      noDelay: true,
      keepAlive: rest.keepAlive !== false,
      keepAliveInitialDelay: (rest.keepAliveInitialDelay as number | undefined) ?? DEFAULT_KEEP_ALIVE,
    } as { port: number });
    if (isSecure) return secure({ ...options, httpSocket: socket }, callback);
    const timer =
      timeout === 0
        ? undefined
        : setTimeout(() => {
            const where = `attempted address: ${host}:${port}, timeout: ${timeout}ms`;
            socket.destroy(new undici.errors.ConnectTimeoutError(`Connect Timeout Error (${where})`));
          }, timeout as number);
    let waiting = true;
    const finish = (error: Error | null): void => {
      clearTimeout(timer);
      if (!waiting) return;
      waiting = false;
      callback(error, error === null ? socket : null);
    };
    socket.once('connect', () => finish(null)).on('error', finish);
    return socket;
  };
}
