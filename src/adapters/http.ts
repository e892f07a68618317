// `node:http` and `node:https` on a stack.
import * as http from 'node:http';
import type * as realHttps from 'node:https';
import type { Net } from '../net/bind';
import type { NetContext } from '../net/context';
import { agentsOf } from './agent';
import { attach } from './attach';
import { bindClass, bindModule } from './bound';

/** `node:http` whose servers listen and whose requests connect on a stack. */
export type Http = typeof http;
/** `node:https` whose servers listen and whose requests connect on a stack. */
export type Https = typeof realHttps;

type NewRequest = new (...args: unknown[]) => http.ClientRequest;
type NewServer<T> = new (...args: unknown[]) => T;

/** Whether a request's first argument is a URL, options being the second. Duck-typed, as Node does: realms differ. */
function isUrl(value: unknown): boolean {
  if (typeof value === 'string') return true;
  const { href, protocol, auth, path } = (value ?? {}) as Record<string, unknown>;
  return Boolean(href && protocol && auth === undefined && path === undefined);
}

/** Gives a request defaults of its own; Node's, which are the kernel's, do not apply then. */
function withDefaults(args: unknown[], defaults: () => object): unknown[] {
  const at = isUrl(args[0]) ? 1 : 0;
  const given = args[at];
  const hasOptions = typeof given === 'object' && given !== null;
  const rest = args.slice(hasOptions || given == null ? at + 1 : at);
  return [...args.slice(0, at), { ...defaults(), ...(hasOptions ? given : {}) }, ...rest];
}

/** What `http` and `https` have in common: requests, agents and servers on a stack. */
function bindHttp<T extends Http | Https>(
  module: T,
  Agent: T['Agent'],
  port: number,
  context: NetContext,
): { bound: Partial<T>; ClientRequest: Http['ClientRequest'] } {
  type Agent = InstanceType<T['Agent']>;
  let globalAgent: Agent | undefined;
  const agent = (): Agent => {
    // As Node makes its own.
    globalAgent ??= new Agent({ keepAlive: true, scheduling: 'lifo', timeout: 5000 }) as Agent;
    return globalAgent;
  };
  const ClientRequest = bindClass(http.ClientRequest, {
    prepare: (args) => withDefaults(args, () => ({ _defaultAgent: agent(), defaultPort: port })),
  });
  const Server = bindClass(module.Server as unknown as NewServer<http.Server>, {
    finish: (server) => attach(server, context),
  });
  const request = (...args: unknown[]): http.ClientRequest => new (ClientRequest as unknown as NewRequest)(...args);
  const bound = {
    Agent,
    Server,
    request,
    get: (...args: unknown[]): http.ClientRequest => request(...args).end(),
    createServer: (...args: unknown[]): http.Server => new Server(...args),
    get globalAgent(): Agent {
      return agent();
    },
    set globalAgent(value: Agent) {
      globalAgent = value;
    },
  };
  return { bound: bound as unknown as Partial<T>, ClientRequest };
}

/** Makes the `http` of a stack. */
export function createHttp(net: Net, context: NetContext): Http {
  const { bound, ClientRequest } = bindHttp<Http>(http, agentsOf(net).http, 80, context);
  return bindModule(http, Object.defineProperties({ ClientRequest }, Object.getOwnPropertyDescriptors(bound)));
}

/** Makes the `https` of a stack. */
export function createHttps(net: Net, context: NetContext): Https {
  const https = require('node:https') as Https;
  return bindModule(https, bindHttp<Https>(https, agentsOf(net).https, 443, context).bound);
}
