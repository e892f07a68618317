// A stub resolver with the shape of `dns.promises.Resolver`, over a stack.
import type * as realDns from 'node:dns';
import { setMaxListeners } from 'node:events';
import { isIP, isIPv6 } from 'node:net';
import { domainToASCII } from 'node:url';
import { codedError, EINVAL, invalidArgType, invalidArgValue, invalidIpAddress } from '../errors';
import { validateInt32, validatePort, validateString } from '../net/validators';
import { Cache } from './cache';
import { canonical, followChain, isName, negativeTtl, type RecordType, type ResourceRecord } from './message';
import { ask, type Counters, type LocalAddresses, type ServerAddress, type Transport } from './transport';

/** What a `Resolver` takes. */
export interface ResolverOptions {
  /** How long a server's answer is waited for, ms; twice as long in each further round. Default 2,000. */
  timeout?: number;
  /** Rounds through the servers before it gives up. Default 3. */
  tries?: number;
  /** Answers that are remembered, for as long as they may be; 0 remembers none. Default 1,000. */
  cache?: number;
}

/** An error of a look-up, as Node's. */
export interface DnsError extends Error {
  /** `ENOTFOUND`, `ENODATA`, `ESERVFAIL`, `EREFUSED`, `ETIMEOUT`, `ECONNREFUSED`, `EBADNAME`, `EBADRESP`, `ECANCELLED`. */
  code: string;
  /** Of `lookup`: libuv's number. */
  errno?: number;
  /** What was asked, such as `queryA`. */
  syscall: string;
  hostname: string;
}

interface Outcome {
  rcode: string;
  name: string;
  records: ResourceRecord[];
}

/** Questions that are asked at a time; the rest waits for its turn. */
const MAX_AT_ONCE = 256;
/** Questions that wait for their turn; further ones fail with ENOMEM. */
const MAX_WAITING = 16_384;

const CODES: Record<string, string> = {
  NXDOMAIN: 'ENOTFOUND',
  SERVFAIL: 'ESERVFAIL',
  REFUSED: 'EREFUSED',
  FORMERR: 'EFORMERR',
  NOTIMP: 'ENOTIMP',
};

/** UV_EAI_NONAME, which Node calls ENOTFOUND, and UV_EAI_AGAIN. */
const EAI = { ENOTFOUND: -3008, EAI_AGAIN: -3001 };

export function dnsError(code: string, type: string, hostname: string): DnsError {
  const syscall = type.startsWith('get') ? type : `query${type.charAt(0)}${type.slice(1).toLowerCase()}`;
  const error = new Error(`${syscall} ${code} ${hostname}`) as DnsError;
  // Those of getaddrinfo have a number, as libuv gives it.
  if (code in EAI && syscall === 'getaddrinfo') error.errno = EAI[code as keyof typeof EAI];
  error.code = code;
  error.syscall = syscall;
  error.hostname = hostname;
  return error;
}

/** Asks DNS servers over a stack. */
export class StubResolver {
  readonly #transport: Transport;
  readonly #timeout: number;
  readonly #tries: number;
  readonly #cache: Cache<Outcome>;
  readonly #asking = new Map<string, Promise<Outcome>>();
  readonly #counters: Counters = { ignored: 0, udp: 0, tcp: 0 };
  #servers: ServerAddress[] = [];
  #local: LocalAddresses = {};
  #next = 0;
  #abort = cancellation();
  #running = 0;
  #waiting: (() => void)[] = [];

  constructor(transport: Transport, options: ResolverOptions = {}) {
    if (options === null || typeof options !== 'object') throw invalidArgType('options', 'Object', options);
    const { timeout = -1, tries = 3, cache = 1000 } = options;
    validateInt32(timeout, 'options.timeout', -1);
    validateInt32(tries, 'options.tries', 1, 100);
    validateInt32(cache, 'options.cache', 0, 1_000_000);
    this.#transport = transport;
    this.#timeout = timeout < 0 ? 2000 : timeout;
    this.#tries = tries;
    this.#cache = new Cache(cache);
  }

  /** What was asked, and what was not believed. */
  get counters(): Readonly<Counters> {
    return this.#counters;
  }

  /** Ends what is being asked: it rejects with `ECANCELLED`. */
  cancel(): void {
    this.#abort.abort();
    this.#abort = cancellation();
    for (const go of this.#waiting.splice(0)) go();
  }

  getServers(): string[] {
    return this.#servers.map(({ address, port }) => {
      if (port === 53) return address;
      return isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}`;
    });
  }

  /** Sets the servers, in the order they are asked: addresses, with a port as `192.0.2.1:5353` or `[2001:db8::1]:5353`. */
  setServers(servers: readonly string[]): void {
    if (!Array.isArray(servers)) throw invalidArgType('servers', 'Array', servers);
    this.#servers = servers.map((server, index) => parseServer(server, `servers[${index}]`));
    this.#next = 0;
    this.#cache.clear();
  }

  /** The addresses of ours that servers are asked from; of a family without one, the stack's choice. */
  setLocalAddress(ipv4: string, ipv6?: string): void {
    validateString(ipv4, 'ipv4');
    if (ipv6 !== undefined) validateString(ipv6, 'ipv6');
    const local: LocalAddresses = {};
    for (const address of ipv6 === undefined ? [ipv4] : [ipv4, ipv6]) {
      const family = isIP(address) as 0 | 4 | 6;
      if (family === 0) throw invalidArgValue('address', address, 'must be an IP address');
      if (local[family] !== undefined) {
        throw invalidArgValue('address', address, `must not be a second one: there is one of IPv${family} already`);
      }
      local[family] = address;
    }
    this.#local = local;
  }

  /** The records of `type` for `name`, and the name they were found by; none when there are none of that type. */
  async query(name: string, type: RecordType): Promise<Outcome> {
    validateString(name, 'name');
    // Names in other letters are asked for as RFC 5891 spells them.
    const ascii = Buffer.byteLength(name) === name.length ? name : domainToASCII(name);
    if (!isName(ascii) || (ascii === '' && name !== '')) throw dnsError('EBADNAME', type, name);
    const key = `${type} ${canonical(ascii)}`;
    const known = this.#cache.get(key);
    if (known !== undefined) return aged(known.value, known.age);
    let asking = this.#asking.get(key);
    if (asking === undefined) {
      asking = this.#turn(() => this.#ask(ascii, type, key)).finally(() => this.#asking.delete(key));
      this.#asking.set(key, asking);
    }
    let outcome: Outcome;
    try {
      outcome = await asking;
    } catch (error) {
      throw dnsError((error as { code?: string }).code ?? 'EBADRESP', type, name);
    }
    return outcome;
  }

  async #turn<T>(what: () => Promise<T>): Promise<T> {
    if (this.#running >= MAX_AT_ONCE) {
      if (this.#waiting.length >= MAX_WAITING) throw codedError(Error, 'ENOMEM', 'too many questions');
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    this.#running++;
    try {
      return await what();
    } finally {
      this.#running--;
      this.#waiting.shift()?.();
    }
  }

  async #ask(name: string, type: string, key: string): Promise<Outcome> {
    const servers = this.#servers;
    const { signal } = this.#abort;
    if (servers.length === 0) throw codedError(Error, 'ECONNREFUSED', 'no servers are set');
    let failed: unknown;
    const first = this.#next;
    for (let round = 0; round < this.#tries; round++) {
      for (let index = 0; index < servers.length; index++) {
        const server = servers[(first + index) % servers.length] as ServerAddress;
        const local = this.#local[isIPv6(server.address) ? 6 : 4];
        const question = { name, type, server, local, timeout: this.#timeout * 2 ** round, signal };
        try {
          const answer = await ask(this.#transport, question, this.#counters);
          // Another server may know what this one does not want to, or cannot, say.
          if (answer.rcode !== 'NOERROR' && answer.rcode !== 'NXDOMAIN') {
            failed = Object.assign(new Error(answer.rcode), { code: CODES[answer.rcode] ?? 'EBADRESP' });
            continue;
          }
          const chain = followChain(answer.answers, name, type);
          const outcome = { rcode: answer.rcode, name: chain.name, records: chain.records };
          const found = chain.records.length > 0;
          const ttl = found ? chain.ttl : Math.min(negativeTtl(answer.authorities), chain.ttl);
          if (servers === this.#servers) this.#cache.set(key, outcome, ttl, !found);
          return outcome;
        } catch (error) {
          failed = error;
          if (signal.aborted) throw error;
          // Who does not answer is not asked first the next time.
          if (servers === this.#servers && servers[this.#next % servers.length] === server) this.#next++;
        }
      }
      const code = (failed as { code?: string }).code;
      // That does not become better by asking again.
      if (code === 'EREFUSED' || code === 'ENOTIMP' || code === 'EFORMERR') break;
    }
    throw failed;
  }

  /** As `query`, with an error where there is nothing. */
  async records(name: string, type: RecordType): Promise<ResourceRecord[]> {
    const { rcode, records } = await this.query(name, type);
    if (records.length > 0) return records;
    throw dnsError(rcode === 'NXDOMAIN' ? 'ENOTFOUND' : 'ENODATA', type, name);
  }
}

/** Many questions hang on one signal. */
function cancellation(): AbortController {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal);
  return controller;
}

function aged(outcome: Outcome, age: number): Outcome {
  if (age === 0) return outcome;
  return { ...outcome, records: outcome.records.map((record) => ({ ...record, ttl: Math.max(record.ttl - age, 0) })) };
}

export function parseServer(server: unknown, name: string): ServerAddress {
  validateString(server, name);
  const text = server as string;
  if (isIP(text) !== 0) return { address: text, port: 53 };
  const [, v6, v4, port] = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d+))?$/.exec(text) ?? [];
  const address = v6 ?? v4 ?? '';
  if (isIP(address) === 0 || (v6 !== undefined && !isIPv6(v6))) throw invalidIpAddress(text);
  return { address, port: port === undefined ? 53 : validatePort(port, name) };
}

const text = (data: unknown): string => String(data);
const chunks = (data: unknown): string[] =>
  (Array.isArray(data) ? data : [data]).map((chunk) => (Buffer.isBuffer(chunk) ? chunk.toString('utf8') : text(chunk)));

/** Records as `node:dns` gives them. */
export const shapes = {
  A: text,
  AAAA: text,
  CNAME: text,
  NS: text,
  PTR: text,
  CAA(data: unknown): realDns.CaaRecord {
    const { flags, tag, value } = data as { flags: number; tag: string; value: string };
    return { critical: flags, [tag]: value } as unknown as realDns.CaaRecord;
  },
  MX(data: unknown): realDns.MxRecord {
    const { exchange, preference } = data as { exchange: string; preference: number };
    return { exchange, priority: preference ?? 0 };
  },
  NAPTR(data: unknown): realDns.NaptrRecord {
    const { flags, services, regexp, replacement, order, preference } = data as Record<string, never>;
    return { flags, service: services, regexp, replacement, order, preference } as unknown as realDns.NaptrRecord;
  },
  SOA(data: unknown): realDns.SoaRecord {
    const { mname, rname, serial, refresh, retry, expire, minimum } = data as Record<string, never>;
    return { nsname: mname, hostmaster: rname, serial, refresh, retry, expire, minttl: minimum };
  },
  SRV(data: unknown): realDns.SrvRecord {
    const { target, port, priority, weight } = data as Record<string, never>;
    return { name: target, port, priority, weight };
  },
  TXT: chunks,
};

/** The name under which a PTR record says whose an address is (RFC 1035 section 3.5, RFC 3596 section 2.5). */
export function reverseName(address: string): string {
  const family = isIP(address);
  if (family === 0) throw Object.assign(dnsError('EINVAL', 'getHostByAddr', address), { errno: EINVAL });
  if (family === 4) return `${address.split('.').reverse().join('.')}.in-addr.arpa`;
  // The URL parser spells IPv6 addresses out in hexadecimal, embedded IPv4 ones too.
  const full = new URL(`http://[${address.split('%')[0]}]`).hostname.slice(1, -1);
  const [head, tail] = full.split('::') as [string, string | undefined];
  const left = head ? head.split(':') : [];
  const right = tail ? tail.split(':') : [];
  const groups = [...left, ...Array<string>(8 - left.length - right.length).fill('0'), ...right];
  const digits = groups.map((group) => group.padStart(4, '0')).join('');
  return `${[...digits].reverse().join('.')}.ip6.arpa`;
}
