// Echo requests (RFC 792, RFC 4443 section 4): ping with statistics, and traceroute, which is ping with few hops.
import { AsyncResource } from 'node:async_hooks';
import type * as realDns from 'node:dns';
import dns from 'node:dns';
import { isIP, isIPv6 } from 'node:net';
import { splitZone } from './addresses';
import { abortError, errnoException, errnoOf, exceptionWithHostPort, invalidArgType, invalidArgValue } from './errors';
import { PingResult, type RecordKind } from './native';
import type { NetContext } from './net/context';
import { validateAbortSignal, validateBoolean, validateInt32, validateString } from './net/validators';
import type { DatagramSink, Reactor, RecordEnds } from './reactor';

const ENOBUFS = errnoOf('ENOBUFS');

/** Most data of a request, bytes: what fits one IPv4 packet beside its header and ICMP's. */
const MAX_SIZE = 65_507;
/** Longest timeouts and intervals, ms. */
const MAX_TIME = 3_600_000;

/** What `ping()` and `traceroute()` both take. */
export interface ProbeOptions {
  /** Bytes of data in each request, 0-65507; what exceeds the path's MTU goes in fragments. Default 56. */
  size?: number;
  /** How long each answer is waited for, ms. Default 1,000. */
  timeout?: number;
  /** 4 or 6 to ask for addresses of that family alone where the host is a name. */
  family?: 4 | 6;
  /** From which address. Default: by the route. */
  source?: string;
  /** Whether a request is refused (EMSGSIZE) rather than cut when it exceeds the path's MTU. Default false. */
  dontFragment?: boolean;
  /** Ends it early: the promise rejects with an AbortError. */
  signal?: AbortSignal;
}

/** What `ping()` takes. */
export interface PingOptions extends ProbeOptions {
  /** Requests, 1-65535. Default 4. */
  count?: number;
  /** From one request to the next, ms. Default 1,000. */
  interval?: number;
  /** TTL or hop limit, 1-255. Default 64. */
  ttl?: number;
}

/** What `traceroute()` takes. */
export interface TracerouteOptions extends ProbeOptions {
  /** Most hops to look at, 1-255. Default 30. */
  maxHops?: number;
  /** Requests a hop, 1-10. Default 3. */
  probes?: number;
}

/** What became of a request. */
export interface PingReply {
  /** Sequence number, from 0. */
  seq: number;
  /**
   * `reply`, or what came instead: `timeout` (nothing), `ttl-exceeded`, `unreachable`, `too-big`, `parameter-problem` (an
   * ICMP error), `failed` (it could not be sent).
   */
  type: 'reply' | 'timeout' | 'ttl-exceeded' | 'unreachable' | 'too-big' | 'parameter-problem' | 'failed';
  /** Who answered. */
  from?: string;
  /** Round-trip time, ms. */
  rtt?: number;
  /** TTL or hop limit of the reply. */
  ttl?: number;
  /** Bytes of data in the reply. */
  size?: number;
  /** Whether the data of the reply is what was sent. */
  intact?: boolean;
  /** ICMP's code of an `unreachable` or `parameter-problem`. */
  icmpCode?: number;
  /** Of a `too-big`: the next hop's MTU, bytes; 0 when the router does not say. */
  mtu?: number;
  /** Of an `unreachable` or a `failed`: the code of the error, such as `EHOSTUNREACH`. */
  code?: string;
}

/** What a series of requests showed. Times in ms; 0 where there was no reply. */
export interface PingStatistics {
  host: string;
  address: string;
  transmitted: number;
  received: number;
  /** Replies beyond those, whose data was not what was sent, among `received`. */
  corrupted: number;
  /** Part of the requests without a reply, 0-1. */
  loss: number;
  min: number;
  avg: number;
  max: number;
  /** Standard deviation of the round-trip times. */
  mdev: number;
  /** From the first request to the last outcome. */
  time: number;
  /** Every outcome, in the order of the requests. */
  replies: PingReply[];
}

/** A hop on the way. */
export interface TracerouteHop {
  /** How many hops away, from 1. */
  ttl: number;
  /** Who answered first, if anybody. */
  address: string | null;
  probes: PingReply[];
}

/** The way to a host. */
export interface TraceroutePath {
  host: string;
  address: string;
  /** Whether the host itself answered. */
  reached: boolean;
  hops: TracerouteHop[];
}

interface Request {
  reactor: Reactor;
  address: string;
  source: string;
  size: number;
  timeout: number;
  dontFragment: boolean;
}

const TYPES: Record<PingResult, PingReply['type']> = {
  [PingResult.Reply]: 'reply',
  [PingResult.TimeExceeded]: 'ttl-exceeded',
  [PingResult.Unreachable]: 'unreachable',
  [PingResult.TooBig]: 'too-big',
  [PingResult.ParameterProblem]: 'parameter-problem',
  [PingResult.TimedOut]: 'timeout',
};

/** One request under way. */
class Probe extends AsyncResource implements DatagramSink {
  readonly #reactor: Reactor;
  readonly #seq: number;
  readonly #done: (reply: PingReply) => void;
  #id = -1;

  constructor(request: Request, seq: number, ttl: number, done: (reply: PingReply) => void) {
    super('USERNETPING', { requireManualDestroy: true });
    const { reactor, address, source, size, timeout, dontFragment } = request;
    this.#reactor = reactor;
    this.#seq = seq;
    this.#done = done;
    reactor.check();
    const id = reactor.native.ping(address, source, seq & 0xffff, size, ttl, timeout, dontFragment);
    if (id < 0) {
      const { code } = errnoException(id, 'ping');
      queueMicrotask(() => done({ seq, type: 'failed', code }));
      return;
    }
    this.#id = id;
    reactor.addBeside('ping', id, this);
    reactor.activate(1);
  }

  cancel(): void {
    const id = this.#end();
    if (id >= 0 && !this.#reactor.closed) this.#reactor.native.pingCancel(id);
  }

  #end(): number {
    const id = this.#id;
    if (id < 0) return id;
    this.#id = -1;
    this.#reactor.removeBeside('ping', id);
    this.#reactor.activate(-1);
    return id;
  }

  onDatagramRecord(_kind: RecordKind, result: number, micros: number, nanos: number, ends: RecordEnds): void {
    this.#end();
    const type = TYPES[result as PingResult];
    if (type === 'timeout') {
      this.#done({ seq: this.#seq, type });
      return;
    }
    const rtt = (micros * 1000 + nanos) / 1e6;
    const reply: PingReply = { seq: this.#seq, type, from: ends.address(0), rtt };
    const detail = ends.port(0);
    const value = ends.rest(0);
    if (type === 'reply') Object.assign(reply, { ttl: detail & 0xff, size: value, intact: detail >= 0x100 });
    if (type === 'unreachable') Object.assign(reply, { icmpCode: detail, code: errnoException(-value, 'ping').code });
    if (type === 'too-big') reply.mtu = value >>> 0;
    if (type === 'parameter-problem') reply.icmpCode = detail;
    this.#done(reply);
  }

  onStackClose(): void {
    this.#end();
    this.#done({ seq: this.#seq, type: 'failed', code: 'ENETDOWN' });
  }
}

function integer(value: number | undefined, name: string, min: number, max: number, otherwise: number): number {
  if (value === undefined) return otherwise;
  validateInt32(value, name, min, max);
  return value;
}

function time(value: number | undefined, name: string): number {
  if (value === undefined) return 1000;
  if (typeof value !== 'number') throw invalidArgType(name, 'number', value);
  if (!(value >= 0 && value <= MAX_TIME)) throw invalidArgValue(name, value, `must be from 0 to ${MAX_TIME} ms`);
  return value;
}

/** Checks what every request takes, and finds the address of the host. */
async function request(context: NetContext, host: string, options: ProbeOptions): Promise<Request> {
  validateString(host, 'host');
  if (options === null || typeof options !== 'object') throw invalidArgType('options', 'Object', options);
  const size = integer(options.size, 'options.size', 0, MAX_SIZE, 56);
  const timeout = time(options.timeout, 'options.timeout');
  const { family, source, signal, dontFragment } = options;
  if (family !== undefined && family !== 4 && family !== 6) {
    throw invalidArgValue('options.family', family, 'must be 4 or 6');
  }
  if (source !== undefined && isIP(source) === 0)
    throw invalidArgValue('options.source', source, 'must be an IP address');
  if (dontFragment !== undefined) validateBoolean(dontFragment, 'options.dontFragment');
  if (signal !== undefined) {
    validateAbortSignal(signal, 'options.signal');
    if (signal.aborted) throw abortError(signal);
  }
  const { reactor } = context;
  reactor.check();
  const address = await resolve(context, splitZone(host).address, family);
  // Only one of the two can be the source of packets to the other.
  if (source !== undefined && isIPv6(source) !== isIPv6(address)) {
    throw invalidArgValue('options.source', source, `must be of the family of ${address}`);
  }
  return { reactor, address, source: source ?? '', size, timeout, dontFragment: dontFragment ?? false };
}

function resolve(context: NetContext, host: string, family: 4 | 6 | undefined): Promise<string> {
  if (isIP(host) !== 0) return Promise.resolve(host);
  const lookup = (context.lookup ?? dns.lookup) as typeof realDns.lookup;
  return new Promise((done, failed) => {
    lookup(host, { family: family ?? 0 }, (error, address) => (error ? failed(error) : done(address)));
  });
}

/** Rejects when `signal` aborts; `end` takes its listener away. */
function aborted(signal: AbortSignal | undefined): { promise: Promise<never>; end(): void } {
  let onAbort = (): void => {};
  const promise = new Promise<never>((_resolve, reject) => {
    onAbort = () => reject(abortError(signal as AbortSignal));
    signal?.addEventListener('abort', onAbort, { once: true });
  });
  promise.catch(() => {});
  return { promise, end: () => signal?.removeEventListener('abort', onAbort) };
}

/** What `stack.ping()` does. */
export async function ping(context: NetContext, host: string, options: PingOptions = {}): Promise<PingStatistics> {
  const count = integer(options?.count, 'options.count', 1, 0xffff, 4);
  const interval = time(options?.interval, 'options.interval');
  const ttl = integer(options?.ttl, 'options.ttl', 1, 255, 64);
  const asked = await request(context, host, options);
  const began = performance.now();
  const probes: Probe[] = [];
  const replies: PingReply[] = [];
  const abort = aborted(options.signal);
  let timer: NodeJS.Timeout | undefined;
  try {
    await Promise.race([
      abort.promise,
      new Promise<void>((resolve, reject) => {
        let outcomes = 0;
        const send = (seq: number): void => {
          try {
            probes.push(
              new Probe(asked, seq, ttl, (reply) => {
                replies[seq] = reply;
                if (++outcomes === count) resolve();
              }),
            );
            if (seq + 1 < count) timer = setTimeout(send, interval, seq + 1);
          } catch (error) {
            reject(error);
          }
        };
        send(0);
      }),
    ]);
  } finally {
    clearTimeout(timer);
    abort.end();
    for (const probe of probes) probe.cancel();
  }
  const failed = replies.every(({ type, code }) => type === 'failed' && code !== undefined && code !== 'ENOBUFS');
  // Nothing was sent at all: that is no statistics but an error.
  if (failed) throw exceptionWithHostPort(errnoOf(replies[0]?.code as string) ?? ENOBUFS, 'ping', asked.address);
  return statistics(host, asked.address, replies, performance.now() - began);
}

function statistics(host: string, address: string, replies: PingReply[], time: number): PingStatistics {
  const answered = replies.filter(({ type }) => type === 'reply');
  const times = answered.map(({ rtt }) => rtt as number);
  const count = Math.max(times.length, 1);
  const avg = times.reduce((sum, rtt) => sum + rtt, 0) / count;
  return {
    host,
    address,
    transmitted: replies.filter(({ type }) => type !== 'failed').length,
    received: answered.length,
    corrupted: answered.filter(({ intact }) => !intact).length,
    loss: 1 - answered.length / replies.length,
    min: times.length > 0 ? Math.min(...times) : 0,
    avg,
    max: times.length > 0 ? Math.max(...times) : 0,
    mdev: Math.sqrt(times.reduce((sum, rtt) => sum + (rtt - avg) ** 2, 0) / count),
    time,
    replies,
  };
}

/** What `stack.traceroute()` does. */
export async function traceroute(
  context: NetContext,
  host: string,
  options: TracerouteOptions = {},
): Promise<TraceroutePath> {
  const maxHops = integer(options?.maxHops, 'options.maxHops', 1, 255, 30);
  const count = integer(options?.probes, 'options.probes', 1, 10, 3);
  const asked = await request(context, host, options);
  const abort = aborted(options.signal);
  const hops: TracerouteHop[] = [];
  let seq = 0;
  let reached = false;
  try {
    for (let ttl = 1; ttl <= maxHops && !reached; ttl++) {
      const sent: Probe[] = [];
      const outcomes = Array.from({ length: count }, () => {
        return new Promise<PingReply>((resolve) => sent.push(new Probe(asked, seq++, ttl, resolve)));
      });
      try {
        const probes = await Promise.race([abort.promise, Promise.all(outcomes)]);
        hops.push({ ttl, address: probes.find(({ from }) => from !== undefined)?.from ?? null, probes });
        reached = probes.some(
          ({ type, from }) => type === 'reply' || (type === 'unreachable' && from === asked.address),
        );
        // Who says that there is no way on is the last there is to see.
        if (probes.every(({ type }) => type === 'unreachable' || type === 'failed')) break;
      } finally {
        for (const probe of sent) probe.cancel();
      }
    }
  } finally {
    abort.end();
  }
  return { host, address: asked.address, reached, hops };
}
