// An agent for `node:http` and `node:https` whose connections are on a stack.
import type * as http from 'node:http';
import type * as realHttps from 'node:https';
import type { Net } from '../net/bind';

type Options = http.AgentOptions & realHttps.AgentOptions;
type Callback = (error: Error | null, socket?: unknown) => void;
type CreateConnection = (this: unknown, options: Record<string, unknown>, callback?: Callback) => unknown;

/** An agent that serves `http:` and `https:` requests alike. */
export type StackAgent = realHttps.Agent;

const HTTP_PORT = 80;
const HTTPS_PORT = 443;

/**
 * Whether `node:https` is asking. A request tells its agent the protocol only after it has asked for the default port;
 * who asks can only be seen from where.
 */
function isHttpsAsking(): boolean {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 12;
  const { stack } = new Error();
  Error.stackTraceLimit = limit;
  return /\(node:https:|\bat node:https:/.test(stack ?? '');
}

function isSecure(options: Record<string, unknown>): boolean {
  if (typeof options.secureEndpoint === 'boolean') return options.secureEndpoint;
  if (typeof options.protocol === 'string') return options.protocol === 'https:';
  return (options._defaultAgent as { protocol?: string } | undefined)?.protocol === 'https:';
}

/** Makes an agent over `net`. */
export function createAgent(net: Net, options?: Options): StackAgent {
  const https = require('node:https') as typeof realHttps;
  const agent = new https.Agent(options) as unknown as { createConnection: CreateConnection };
  // From Node 22 on, node:https's agents set a protocol and a port among their options, which win over a request's own.
  const { options: own } = agent as unknown as { options: Record<string, unknown> };
  delete own.protocol;
  delete own.defaultPort;
  const secure = (https.Agent.prototype as unknown as { createConnection: CreateConnection }).createConnection;
  Object.defineProperties(agent, {
    // None of its own: a request of either protocol may use it.
    protocol: { value: undefined, writable: true, configurable: true },
    defaultPort: {
      get: () => (isHttpsAsking() ? HTTPS_PORT : HTTP_PORT),
      set: () => {},
      configurable: true,
    },
  });
  agent.createConnection = function (this: unknown, request, callback) {
    if (!isSecure(request)) return net.connect(tcpOptions(request));
    return secure.call(this, { ...request, socket: request.socket ?? net.connect(tcpOptions(request)) }, callback);
  };
  return agent as unknown as StackAgent;
}

/** What of a request's options concerns the TCP connection. */
function tcpOptions(options: Record<string, unknown>): { port: number } & Record<string, unknown> {
  const { host, port, family, hints, lookup, localAddress, localPort, noDelay, keepAlive, keepAliveInitialDelay } =
    options;
  const { autoSelectFamily, autoSelectFamilyAttemptTimeout, timeout, highWaterMark } = options;
  return {
    host,
    port: port as number,
    family,
    hints,
    lookup,
    localAddress,
    localPort,
    noDelay,
    keepAlive,
    keepAliveInitialDelay,
    autoSelectFamily,
    autoSelectFamilyAttemptTimeout,
    timeout,
    highWaterMark,
  };
}
