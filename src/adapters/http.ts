// `node:http` and `node:https` on a stack.
import * as http from 'node:http';
import type * as realHttps from 'node:https';
import type { Net } from '../net/bind';
import type { NetContext } from '../net/context';
import { createAgent, type StackAgent } from './agent';
import { attach } from './attach';
import { bindModule } from './tls';

/** `node:http` whose servers listen and whose requests connect on a stack. */
export type Http = typeof http;
/** `node:https` whose servers listen and whose requests connect on a stack. */
export type Https = typeof realHttps;

type Request = (...args: unknown[]) => http.ClientRequest;

/** Gives requests that bring no agent the stack's: the options object may be the first argument or follow a URL. */
function withAgent(request: Request, agent: () => StackAgent): Request {
  return (...args) => {
    const at = typeof args[0] === 'string' || args[0] instanceof URL ? 1 : 0;
    const given = typeof args[at] === 'object' && args[at] !== null ? (args[at] as { agent?: unknown }) : undefined;
    // `agent: false` is a connection of its own, with the agent's defaults.
    const own = given?.agent === false ? createOneShot(agent()) : (given?.agent ?? agent());
    const options = { ...given, agent: own };
    return given === undefined
      ? request(...args.slice(0, at), options, ...args.slice(at))
      : request(...args.slice(0, at), options, ...args.slice(at + 1));
  };
}

function createOneShot(agent: StackAgent): StackAgent {
  const { createConnection } = agent as unknown as { createConnection: unknown };
  const once = Object.create(agent, { keepAlive: { value: false }, createConnection: { value: createConnection } });
  return Object.assign(once, { requests: {}, sockets: {}, freeSockets: {}, totalSocketCount: 0 }) as StackAgent;
}

/** The agent's class, for `new http.Agent()`. */
function agentClass(net: Net): typeof http.Agent {
  return function Agent(options?: http.AgentOptions) {
    return createAgent(net, options);
  } as unknown as typeof http.Agent;
}

/** Makes the `http` of a stack. */
export function createHttp(net: Net, context: NetContext): Http {
  let globalAgent: StackAgent | undefined;
  const agent = (): StackAgent => {
    globalAgent ??= createAgent(net, { keepAlive: true, scheduling: 'lifo', timeout: 5000 });
    return globalAgent;
  };
  const request = withAgent(http.request as Request, agent);
  return bindModule(http, {
    Agent: agentClass(net),
    get globalAgent() {
      return agent();
    },
    createServer: ((...args: []) => attach(http.createServer(...args), context)) as Http['createServer'],
    request: request as Http['request'],
    get: ((...args: unknown[]) => end(request(...args))) as Http['get'],
  });
}

/** Makes the `https` of a stack. */
export function createHttps(net: Net, context: NetContext): Https {
  const https = require('node:https') as Https;
  let globalAgent: StackAgent | undefined;
  const agent = (): StackAgent => {
    globalAgent ??= createAgent(net, { keepAlive: true, scheduling: 'lifo', timeout: 5000 });
    return globalAgent;
  };
  const request = withAgent(https.request as Request, agent);
  return bindModule(https, {
    Agent: agentClass(net) as unknown as Https['Agent'],
    get globalAgent() {
      return agent();
    },
    createServer: ((...args: []) => attach(https.createServer(...args), context)) as Https['createServer'],
    request: request as Https['request'],
    get: ((...args: unknown[]) => end(request(...args))) as Https['get'],
  });
}

function end(request: http.ClientRequest): http.ClientRequest {
  request.end();
  return request;
}
