// `stack.dns`: `dns.promises` over a stack, with `lookup`, `Resolver`, and a server for zones of one's own.
import type * as realDns from 'node:dns';
import { isIP } from 'node:net';
import { invalidArgType, invalidArgValue } from '../errors';
import { validateString } from '../net/validators';
import type { RecordType } from './message';
import { dnsError, type ResolverOptions, reverseName, StubResolver, shapes } from './resolver';
import { DnsServer, type DnsServerOptions } from './server';
import type { Transport } from './transport';

/** What `createStack({ dns })` takes. */
export interface DnsOptions extends ResolverOptions {
  /** Servers that are asked, in that order: `192.0.2.1`, `[2001:db8::1]:5353`. Default none. */
  servers?: string[];
  /** Names that need no server, as `/etc/hosts` has them. */
  hosts?: Record<string, string | string[]>;
}

/** Asks DNS servers over a stack; `dns.promises.Resolver`. Has a cache of its own. */
export class DnsResolver {
  /** @internal */
  readonly stub: StubResolver;

  /** @internal Use `new stack.dns.Resolver()`. */
  constructor(transport: Transport, options?: ResolverOptions) {
    this.stub = new StubResolver(transport, options);
  }

  /** Ends what is being asked: it rejects with `ECANCELLED`. */
  cancel(): void {
    this.stub.cancel();
  }

  /** The servers that are asked. */
  getServers(): string[] {
    return this.stub.getServers();
  }

  /**
   * The addresses of the stack that servers are asked from, at most one of each family; without, the stack chooses. Throws
   * `ERR_INVALID_ARG_VALUE` for what is none.
   */
  setLocalAddress(ipv4: string, ipv6?: string): void {
    this.stub.setLocalAddress(ipv4, ipv6);
  }

  /** Sets the servers that are asked, in that order. Forgets what others said. */
  setServers(servers: readonly string[]): void {
    this.stub.setServers(servers);
  }

  /** Questions asked over UDP and TCP, and datagrams that were not believed. */
  get counters(): { readonly udp: number; readonly tcp: number; readonly ignored: number } {
    return this.stub.counters;
  }

  async #data<T>(name: string, type: RecordType, shape: (data: unknown) => T): Promise<T[]> {
    return (await this.stub.records(name, type)).map(({ data }) => shape(data));
  }

  async #addresses(
    name: string,
    type: 'A' | 'AAAA',
    options?: { ttl?: boolean },
  ): Promise<string[] | realDns.RecordWithTtl[]> {
    const records = await this.stub.records(name, type);
    if (!options?.ttl) return records.map(({ data }) => String(data));
    return records.map(({ data, ttl }) => ({ address: String(data), ttl }));
  }

  resolve4(hostname: string): Promise<string[]>;
  resolve4(hostname: string, options: { ttl: true }): Promise<realDns.RecordWithTtl[]>;
  resolve4(hostname: string, options?: { ttl?: boolean }): Promise<string[] | realDns.RecordWithTtl[]>;
  resolve4(hostname: string, options?: { ttl?: boolean }): Promise<string[] | realDns.RecordWithTtl[]> {
    return this.#addresses(hostname, 'A', options);
  }

  resolve6(hostname: string): Promise<string[]>;
  resolve6(hostname: string, options: { ttl: true }): Promise<realDns.RecordWithTtl[]>;
  resolve6(hostname: string, options?: { ttl?: boolean }): Promise<string[] | realDns.RecordWithTtl[]>;
  resolve6(hostname: string, options?: { ttl?: boolean }): Promise<string[] | realDns.RecordWithTtl[]> {
    return this.#addresses(hostname, 'AAAA', options);
  }

  resolveCaa(hostname: string): Promise<realDns.CaaRecord[]> {
    return this.#data(hostname, 'CAA', shapes.CAA);
  }

  resolveCname(hostname: string): Promise<string[]> {
    return this.#data(hostname, 'CNAME', shapes.CNAME);
  }

  resolveMx(hostname: string): Promise<realDns.MxRecord[]> {
    return this.#data(hostname, 'MX', shapes.MX);
  }

  resolveNaptr(hostname: string): Promise<realDns.NaptrRecord[]> {
    return this.#data(hostname, 'NAPTR', shapes.NAPTR);
  }

  resolveNs(hostname: string): Promise<string[]> {
    return this.#data(hostname, 'NS', shapes.NS);
  }

  resolvePtr(hostname: string): Promise<string[]> {
    return this.#data(hostname, 'PTR', shapes.PTR);
  }

  async resolveSoa(hostname: string): Promise<realDns.SoaRecord> {
    const [soa] = await this.#data(hostname, 'SOA', shapes.SOA);
    return soa as realDns.SoaRecord;
  }

  resolveSrv(hostname: string): Promise<realDns.SrvRecord[]> {
    return this.#data(hostname, 'SRV', shapes.SRV);
  }

  resolveTxt(hostname: string): Promise<string[][]> {
    return this.#data(hostname, 'TXT', shapes.TXT);
  }

  /** Every record that the server gives for a name; it may choose which (RFC 8482). */
  async resolveAny(hostname: string): Promise<realDns.AnyRecord[]> {
    const records = await this.stub.records(hostname, 'ANY');
    return records.flatMap(({ type, data, ttl }) => {
      const shape = (shapes as Record<string, ((data: unknown) => unknown) | undefined>)[type];
      if (shape === undefined) return [];
      const value = shape(data);
      if (type === 'TXT') return [{ type, entries: value }];
      if (type === 'A' || type === 'AAAA') return [{ type, address: value, ttl }];
      if (typeof value === 'string') return [{ type, value }];
      return [{ type, ...(value as object) }];
    }) as realDns.AnyRecord[];
  }

  resolve(hostname: string, rrtype: RecordType = 'A'): Promise<unknown> {
    validateString(hostname, 'name');
    validateString(rrtype, 'rrtype');
    const methods: Partial<Record<RecordType, (name: string) => Promise<unknown>>> = {
      A: (name) => this.resolve4(name),
      AAAA: (name) => this.resolve6(name),
      ANY: (name) => this.resolveAny(name),
      CAA: (name) => this.resolveCaa(name),
      CNAME: (name) => this.resolveCname(name),
      MX: (name) => this.resolveMx(name),
      NAPTR: (name) => this.resolveNaptr(name),
      NS: (name) => this.resolveNs(name),
      PTR: (name) => this.resolvePtr(name),
      SOA: (name) => this.resolveSoa(name),
      SRV: (name) => this.resolveSrv(name),
      TXT: (name) => this.resolveTxt(name),
    };
    const method = methods[rrtype];
    if (method === undefined) throw invalidArgValue('rrtype', rrtype);
    return method(hostname);
  }

  /** The names of an address. */
  async reverse(ip: string): Promise<string[]> {
    validateString(ip, 'name');
    const name = reverseName(ip);
    try {
      return await this.resolvePtr(name);
    } catch (error) {
      throw dnsError((error as { code: string }).code, 'getHostByAddr', ip);
    }
  }
}

/** An address that a look-up found. */
export interface LookupAddress {
  address: string;
  family: 4 | 6;
}

/** What `stack.lookup` takes; as `dns.lookup`. */
export interface LookupOptions {
  family?: 0 | 4 | 6 | 'IPv4' | 'IPv6';
  /** Whether to give all addresses. */
  all?: boolean;
  /** `ipv4first`, `ipv6first`, or `verbatim`, which is IPv4 first here too. */
  order?: 'ipv4first' | 'ipv6first' | 'verbatim';
  verbatim?: boolean;
  hints?: number;
}

/** The DNS of a stack. */
export class StackDns extends DnsResolver {
  /** Makes a resolver with servers and a cache of its own. */
  readonly Resolver: new (
    options?: ResolverOptions,
  ) => DnsResolver;
  readonly #transport: Transport;
  readonly #hosts = new Map<string, string[]>();

  /** @internal */
  constructor(transport: Transport, options: DnsOptions = {}) {
    super(transport, options);
    this.#transport = transport;
    this.Resolver = class Resolver extends DnsResolver {
      constructor(resolverOptions?: ResolverOptions) {
        super(transport, resolverOptions);
      }
    };
    const { servers, hosts } = options;
    if (servers !== undefined) this.setServers(servers);
    for (const [name, addresses] of Object.entries(hosts ?? {})) {
      const list = [addresses].flat();
      for (const address of list) {
        if (isIP(address) === 0)
          throw invalidArgValue(`options.dns.hosts['${name}']`, address, 'must be an IP address');
      }
      this.#hosts.set(name.toLowerCase(), list);
    }
  }

  /** Whether names mean anything here: there are servers, or hosts were given. */
  get configured(): boolean {
    return this.#hosts.size > 0 || this.getServers().length > 0;
  }

  /** A server that answers with authority for zones of its own. Listens with `listen()`. */
  createServer(options: DnsServerOptions): DnsServer {
    return new DnsServer(this.#transport, options);
  }

  /** The addresses of a name, as `dns.promises.lookup` gives them: what the stack itself knows, then DNS. */
  lookup(hostname: string, options?: LookupOptions & { all?: false }): Promise<LookupAddress>;
  lookup(hostname: string, options: LookupOptions & { all: true }): Promise<LookupAddress[]>;
  lookup(hostname: string, options?: LookupOptions | 0 | 4 | 6): Promise<LookupAddress | LookupAddress[]>;
  async lookup(hostname: string, options: LookupOptions | 0 | 4 | 6 = {}): Promise<LookupAddress | LookupAddress[]> {
    const settings: LookupOptions = typeof options === 'number' ? { family: options } : (options ?? {});
    if (typeof settings !== 'object') throw invalidArgType('options', ['integer', 'object'], options);
    validateString(hostname, 'hostname');
    const { all = false, order } = settings;
    const asked = settings.family ?? 0;
    const family = asked === 'IPv4' ? 4 : asked === 'IPv6' ? 6 : asked;
    if (family !== 0 && family !== 4 && family !== 6)
      throw invalidArgValue('options.family', family, 'must be one of: 0, 4, 6');
    const found = await this.#find(hostname, family);
    const first = order === 'ipv6first' ? 6 : 4;
    found.sort((a, b) => Number(b.family === first) - Number(a.family === first));
    if (found.length === 0) throw dnsError('ENOTFOUND', 'getaddrinfo', hostname);
    return all ? found : (found[0] as LookupAddress);
  }

  async #find(hostname: string, family: 0 | 4 | 6): Promise<LookupAddress[]> {
    const wanted = (addresses: readonly string[]): LookupAddress[] =>
      addresses
        .map((address) => ({ address, family: isIP(address) as 4 | 6 }))
        .filter((entry) => family === 0 || entry.family === family);
    if (isIP(hostname) !== 0) return [{ address: hostname, family: isIP(hostname) as 4 | 6 }];
    const name = hostname.toLowerCase().replace(/\.$/, '');
    const own = this.#hosts.get(name);
    if (own !== undefined) return wanted(own);
    // RFC 6761 section 6.3: loopback, wherever one is.
    if (name === 'localhost' || name.endsWith('.localhost')) return wanted(['127.0.0.1', '::1']);
    const types = [...(family === 6 ? [] : ['A' as const]), ...(family === 4 ? [] : ['AAAA' as const])];
    const outcomes = await Promise.allSettled(types.map((type) => this.stub.query(hostname, type)));
    const records = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? outcome.value.records : []));
    if (records.length === 0) {
      const failed = outcomes.find((outcome) => outcome.status === 'rejected');
      const code = (failed?.reason as { code?: string } | undefined)?.code;
      // As getaddrinfo has it: an answer may come later, or never.
      if (code !== undefined) throw dnsError(code === 'EBADNAME' ? 'ENOTFOUND' : 'EAI_AGAIN', 'getaddrinfo', hostname);
    }
    return wanted(records.map(({ data }) => String(data)));
  }
}

type LookupCallback = (error: Error | null, address?: string | LookupAddress[], family?: number) => void;

/** `dns.lookup` over a stack: with a callback as Node has it; without, a promise as `dns.promises` has it. */
export interface Lookup {
  (hostname: string, callback: (error: Error | null, address: string, family: number) => void): void;
  (
    hostname: string,
    options: LookupOptions & { all: true },
    callback: (error: Error | null, addresses: LookupAddress[]) => void,
  ): void;
  (
    hostname: string,
    options: LookupOptions | 0 | 4 | 6,
    callback: (error: Error | null, address: string, family: number) => void,
  ): void;
  (hostname: string, options: LookupOptions & { all: true }): Promise<LookupAddress[]>;
  (hostname: string, options?: LookupOptions | 0 | 4 | 6): Promise<LookupAddress>;
}

/** Makes `stack.lookup`. */
export function lookupOf(dns: () => StackDns): Lookup {
  return ((hostname: string, options?: unknown, callback?: unknown): unknown => {
    const done = (typeof options === 'function' ? options : callback) as LookupCallback | undefined;
    const settings = (typeof options === 'function' ? {} : options) as LookupOptions;
    const looking = dns().lookup(hostname, settings);
    if (done === undefined) return looking;
    // Outside the promise: what the callback throws is uncaught, as it is with Node's.
    looking.then(
      (found) =>
        process.nextTick(() => {
          if (Array.isArray(found)) done(null, found);
          else done(null, found.address, found.family);
        }),
      (error) => process.nextTick(done, error),
    );
    return undefined;
  }) as Lookup;
}
