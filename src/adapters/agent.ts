// Agents for `node:http` and `node:https` whose connections are on a stack.
import * as realHttp from 'node:http';
import type * as realHttps from 'node:https';
import type { Net, Socket } from '../net/bind';
import { bindClass } from './bound';
import { connectTls } from './tls';

type Options = realHttp.AgentOptions & realHttps.AgentOptions;
type Callback = (error: Error | null, socket?: unknown) => void;
type Request = Record<string, unknown>;
type CreateConnection = (this: unknown, options: Request, callback?: Callback) => unknown;

/** An agent that serves `http:` and `https:` requests alike. */
export type StackAgent = realHttps.Agent;

/** The agents of one `net`: each as Node's own, but that its connections are on the stack. */
export interface Agents {
  http: typeof realHttp.Agent;
  https: typeof realHttps.Agent;
}

const HTTP_PORT = 80;
const HTTPS_PORT = 443;
const made = new WeakMap<Net, Agents>();

/** What of a request's options concerns the TCP connection: all but the request's path and its end. */
function tcpOptions(options: Request): { port: number } & Request {
  return { ...options, port: options.port as number, path: options.socketPath, signal: undefined };
}

/** The agent classes of a `net`. */
export function agentsOf(net: Net): Agents {
  let agents = made.get(net);
  if (agents === undefined) {
    const https = require('node:https') as typeof realHttps;
    const createSecure = (https.Agent.prototype as unknown as { createConnection: CreateConnection }).createConnection;
    agents = {
      http: bindClass(realHttp.Agent, {
        members: { createConnection: (options: Request): Socket => net.connect(tcpOptions(options)) },
      }),
      https: bindClass(https.Agent, {
        members: {
          createConnection(this: unknown, options: Request, callback?: Callback): unknown {
            // Node's own keeps the sessions; it is given the connection below.
            return connectTls(net, tcpOptions(options), (withSocket) =>
              createSecure.call(this, { ...options, ...withSocket }, callback),
            );
          },
        },
      }),
    };
    made.set(net, agents);
  }
  return agents;
}

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

function isSecure(options: Request): boolean {
  if (typeof options.secureEndpoint === 'boolean') return options.secureEndpoint;
  if (typeof options.protocol === 'string') return options.protocol === 'https:';
  return (options._defaultAgent as { protocol?: string } | undefined)?.protocol === 'https:';
}

/** Makes an agent over `net`, for requests of either protocol. */
export function createAgent(net: Net, options?: Options): StackAgent {
  const { http, https } = agentsOf(net);
  const agent = new https(options) as unknown as { createConnection: CreateConnection; options: Request };
  // Node 22 and later note them here for every request.
  delete agent.options.protocol;
  delete agent.options.defaultPort;
  const plain = (http.prototype as unknown as typeof agent).createConnection;
  const secure = (https.prototype as unknown as typeof agent).createConnection;
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
    return (isSecure(request) ? secure : plain).call(this, request, callback);
  };
  return agent as unknown as StackAgent;
}
