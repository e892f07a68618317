// The network's DNS: names of nodes, and what hosts are told besides.
import type * as dns from 'node:dns';
import { isIP } from 'node:net';
import { errnoOf } from '../errors';

type Callback = (error: NodeJS.ErrnoException | null, address?: unknown, family?: number) => void;

/** Finds addresses: those of a name, IPv4 first; undefined: there is no such name. */
export type Resolver = (name: string) => readonly string[] | undefined;

const LOCALHOST = ['127.0.0.1', '::1'];

/** A `dns.lookup` that asks a resolver. */
export function lookupOf(resolve: Resolver): typeof dns.lookup {
  const lookup = (hostname: string, given: unknown, last?: Callback): void => {
    const callback = (typeof given === 'function' ? given : last) as Callback;
    const options = (
      typeof given === 'number' ? { family: given } : typeof given === 'object' && given !== null ? given : {}
    ) as { family?: number | string; all?: boolean };
    const wanted = options.family === 'IPv4' ? 4 : options.family === 'IPv6' ? 6 : (options.family ?? 0);
    const literal = isIP(hostname);
    const name = hostname.toLowerCase().replace(/\.$/, '');
    const all = literal !== 0 ? [hostname] : (resolve(name) ?? (isLocal(name) ? LOCALHOST : []));
    const found = all
      .map((address) => ({ address, family: isIP(address) }))
      .filter(({ family }) => wanted === 0 || family === wanted);
    // As with dns.lookup the answer never comes before the call returned.
    process.nextTick(() => {
      const [first] = found;
      if (first === undefined) callback(notFound(hostname));
      else if (options.all) callback(null, found);
      else callback(null, first.address, first.family);
    });
  };
  return lookup as unknown as typeof dns.lookup;
}

function isLocal(name: string): boolean {
  return name === 'localhost' || name.endsWith('.localhost');
}

function notFound(hostname: string): NodeJS.ErrnoException {
  const error = new Error(`getaddrinfo ENOTFOUND ${hostname}`) as NodeJS.ErrnoException & { hostname?: string };
  error.code = 'ENOTFOUND';
  error.errno = errnoOf('ENOTFOUND') || -3008;
  error.syscall = 'getaddrinfo';
  error.hostname = hostname;
  return error;
}
