// A whole network in one process: hosts, links, and the clock that moves them.
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { codedError, invalidArgType, invalidArgValue } from '../errors';
import { TypedEventEmitter } from '../events';
import { Capture, type CaptureOptions } from './capture';
import { type MockTimers, ProgramClock } from './clock';
import { type Driver, type Outcome, RealDriver, VirtualDriver } from './driver';
import type { FaultPlan } from './explore';
import { enterGlobals, trackedPromises } from './globals';
import { Host, type HostContext, type HostOptions } from './host';
import type { Leak } from './leaks';
import {
  directions,
  Link,
  type LinkOptions,
  type NodeRef,
  type PacketView,
  Rule,
  type RuleAction,
  type RuleMatch,
} from './link';
import { type NativeNatOptions, type NativeNetwork, type NativePacket, simBinding } from './native';
import { RealIo } from './real-io';

/** What `createNetwork()` takes. */
export interface NetworkOptions {
  /** Everything random follows from it. A whole number, 0 to 2^53 - 1. Default 0. */
  seed?: number;
  /**
   * `virtual`: time goes on only in `run()`, `advance()` and `until()`, and there only while the program is idle; the
   * program's timers, `Date` and `performance` go with it. `real`: time passes by itself. Default `virtual`.
   */
  clock?: 'virtual' | 'real';
  /** node:test's `mock.timers`, where those are in use: they then share the network's clock. Jest's are found. */
  timers?: MockTimers;
  /**
   * What to do where the program has real sockets, pipes or processes open while the clock is virtual: `refuse` them with
   * `ERR_REAL_IO`, or `allow` them and accept runs that differ. Files, names and the like are awaited. Default `refuse`.
   */
  realIo?: 'refuse' | 'allow';
  /** How long real requests may take, real ms. Default 10,000. */
  realIoTimeout?: number;
  /** Whether `Math.random` follows from the seed while the network is open in virtual time. Default true. */
  seedRandom?: boolean;
  /**
   * What goes wrong: settings of links that are given none, and faults at moments. From `faultPlan()`, or from the
   * failure of an `explore()`, to see it again.
   */
  plan?: FaultPlan;
  /** How many packets `trace()` shows. Default 200. */
  keepTrace?: number;
  /** Bytes of packets kept to be written to a file when an assertion fails; 0 keeps none. Default 16 MiB. */
  keepCapture?: number;
}

/** A packet and what happened to it. */
export interface PacketEvent extends PacketView {
  /** ms since the network began. */
  at: number;
  /** Names its transmission over one link, in every event about it. */
  id: number;
  /** What happened: `sent`, `delivered`, `dropped`, `corrupted`, `duplicated`, `reordered`, `delayed`, `held`... */
  what: string;
  /** Why it was dropped: `lost`, `queue full`, `too big`, `link down`, `partition`... */
  reason?: string;
  /** Name of the node that sent it over this link. */
  from: string;
  /** Name of the node at the link's other end. */
  to: string;
}

/** The events of a network. */
export interface NetworkEvents {
  /** Something happened to a packet. Emitted once the program is told of what it brought about. */
  packet: [event: PacketEvent];
}

/** One way of a connection, as its sender put it on the network. */
export interface ConnectionWay {
  segments: number;
  /** Of data, each byte once. */
  bytes: number;
  /** Segments that were sent again. */
  retransmits: number;
  resets: number;
  fins: number;
  /** Segments that the network did away with. */
  lost: number;
}

/** What became of a TCP connection. */
export interface ConnectionRecord {
  /** Names of its hosts; null for a server's address that is nobody's. */
  client: string;
  server: string | null;
  clientAddress: string;
  serverAddress: string;
  clientPort: number;
  serverPort: number;
  /** When its first SYN was sent, ms. */
  at: number;
  /** Whether both ends reached ESTABLISHED. */
  established: boolean;
  /** From client to server. */
  sent: ConnectionWay;
  /** From server to client. */
  received: ConnectionWay;
}

/** What `run()` takes. */
export interface RunOptions {
  /** Most virtual time it may take, ms. Default a day. */
  limit?: number;
}

/** What `until()` takes. */
export interface UntilOptions {
  /** Most virtual time it may take, ms. Default an hour; with `clock: 'real'`, 10 s. */
  limit?: number;
  /** What is waited for, for the message when it does not come. */
  what?: string;
}

const DAY = 86_400_000;
const HOUR = 3_600_000;
const REAL_LIMIT = 10_000;
const KEEP_CAPTURE = 16 << 20;
const LAST_PACKETS = 20;

let failures = 0;

/** A network of hosts and links. Made by `createNetwork()`. */
export class Network extends TypedEventEmitter<NetworkEvents> {
  readonly seed: number;
  readonly #native: NativeNetwork;
  readonly #driver: Driver;
  readonly #clock: ProgramClock | null;
  readonly #nodes: NodeRef[] = [];
  readonly #hosts: Array<Host | undefined> = [];
  readonly #names = new Map<string, NodeRef>();
  readonly #captures: Capture[] = [];
  readonly #kept: Capture | null;
  readonly #plan: FaultPlan | undefined;
  #leaveGlobals: () => void = () => {};
  #watching = false;
  #closed = false;

  /** @internal Use `createNetwork()`. */
  constructor(options: NetworkOptions = {}) {
    super();
    const {
      seed = 0,
      clock = 'virtual',
      realIo = 'refuse',
      realIoTimeout = 10_000,
      keepCapture,
      seedRandom = true,
    } = options;
    if (typeof seed !== 'number') throw invalidArgType('options.seed', 'number', seed);
    if (!Number.isSafeInteger(seed) || seed < 0) {
      throw invalidArgValue('options.seed', seed, 'must be a whole number from 0 to 2^53 - 1');
    }
    if (clock !== 'virtual' && clock !== 'real') {
      throw invalidArgValue('options.clock', clock, "must be 'virtual' or 'real'");
    }
    if (realIo !== 'refuse' && realIo !== 'allow') {
      throw invalidArgValue('options.realIo', realIo, "must be 'refuse' or 'allow'");
    }
    this.seed = seed;
    this.#plan = options.plan;
    this.#native = new (simBinding().NativeNetwork)({ seed, real: clock === 'real' });
    const native = this.#native;
    if (options.keepTrace !== undefined) native.keepTrace(options.keepTrace);
    this.#kept = keepCapture === 0 ? null : new Capture(native, null, { limit: keepCapture ?? KEEP_CAPTURE });
    const afterStep = (): void => this.#packets();
    if (clock === 'real') {
      this.#clock = null;
      this.#driver = new RealDriver(native, this.#hosts, afterStep);
    } else {
      const io = new RealIo(() => native.pendingRequests() + trackedPromises(), realIoTimeout, realIo === 'allow');
      this.#clock = new ProgramClock(() => native.now(), options.timers);
      this.#leaveGlobals = enterGlobals(seedRandom ? seed : null);
      this.#driver = new VirtualDriver(native, this.#hosts, afterStep, this.#clock, io);
    }
    this.on(
      'newListener' as never,
      ((name: string) => {
        if (name === 'packet' && !this.#watching) {
          this.#watching = true;
          native.watch(true);
        }
      }) as never,
    );
  }

  /** The network's time, ms since it began. */
  get now(): number {
    return this.#native.now();
  }

  /** Its hosts by name. */
  get hosts(): ReadonlyMap<string, Host> {
    const hosts = this.#hosts.filter((host) => host !== undefined) as Host[];
    return new Map(hosts.map((host) => [host.name, host]));
  }

  /** Adds a host. Others find it by its name. */
  host(name: string, options: HostOptions = {}): Host {
    this.#checkName(name);
    const context: HostContext = {
      native: this.#native,
      driver: this.#driver,
      resolve: (asked) => this.#resolve(asked),
      virtual: this.#clock !== null,
      leaks: true,
    };
    const host = new Host(context, name, options);
    this.#hosts[host.node] = host;
    this.#add(host);
    return host;
  }

  /** Adds a router: it forwards packets along a shortest path and says by ICMP why it cannot forward one. */
  router(name: string): NodeRef {
    this.#checkName(name);
    return this.#add({ name, node: this.#native.addRouter(name) });
  }

  /** Adds a learning switch. */
  switch(name: string): NodeRef {
    this.#checkName(name);
    return this.#add({ name, node: this.#native.addSwitch(name) });
  }

  /** Adds a NAT box. Link its outside with `uplink()` and its inside with `link()`. */
  nat(name: string, options: NativeNatOptions = {}): NodeRef {
    this.#checkName(name);
    return this.#add({ name, node: this.#native.addNat(name, options) });
  }

  /** Links two nodes. */
  link(a: NodeRef, b: NodeRef, options: LinkOptions = {}): Link {
    return this.#link(a, b, options, false);
  }

  /** Links the outside of a NAT box with a node. */
  uplink(nat: NodeRef, to: NodeRef, options: LinkOptions = {}): Link {
    return this.#link(nat, to, options, true);
  }

  /** Parts every node of `a` from every node of `b`: nothing one sends reaches the other, whichever way it takes. */
  partition(a: readonly NodeRef[], b: readonly NodeRef[]): void {
    const numbers = (side: readonly NodeRef[], name: string): number[] => {
      if (!Array.isArray(side)) throw invalidArgType(name, 'Array', side);
      return side.map((one, i) => this.#nodeOf(one, `${name}[${i}]`));
    };
    this.#native.partition(numbers(a, 'a'), numbers(b, 'b'));
  }

  /** Ends every partition. */
  heal(): void {
    this.#native.heal();
    this.#driver.touched();
  }

  /** Adds a rule on packets: "the third data segment from client to server is dropped". */
  rule(match: RuleMatch, action: RuleAction): Rule {
    return new Rule(this.#native, this.#driver, match, action);
  }

  /** Hands a packet to a host as if it had come over its link. It need not be valid. */
  inject(host: Host, packet: Uint8Array): void {
    this.#native.inject(host.node, packet);
    this.#driver.touched();
  }

  /** Captures packets from now on, into a pcapng file if one is named. */
  capture(file?: string | null, options: CaptureOptions = {}): Capture {
    const capture = new Capture(this.#native, file ?? null, options);
    this.#captures.push(capture);
    return capture;
  }

  /**
   * The last packets, one line each, oldest first: time, nodes, ports, control bits, relative numbers, options, and what
   * the network did to the packet. The same for the same seed and calls, so that it can be compared with a snapshot.
   */
  trace(): string {
    return this.#native.trace();
  }

  /** What became of each TCP connection, oldest first: at most the last 65,536. */
  connections(): ConnectionRecord[] {
    const name = (node: number): string | null => this.#nodes[node]?.name ?? null;
    return this.#native.flows().map((flow) => ({
      client: name(flow.clientNode) as string,
      server: name(flow.serverNode),
      clientAddress: flow.client,
      serverAddress: flow.server,
      clientPort: flow.clientPort,
      serverPort: flow.serverPort,
      at: flow.at,
      established: flow.clientEstablished && flow.serverEstablished,
      sent: flow.sent,
      received: flow.received,
    }));
  }

  /** How many packets the network did away with, by reason. */
  drops(): Record<string, number> {
    return this.#native.drops();
  }

  /**
   * Lets time go on until nothing is left to happen: no packet is under way, no timeout of the program is pending, and
   * what goes on by itself (probes of idle connections, intervals) brings about nothing new. Rejects with
   * `ERR_NETWORK_BUSY` at the limit. With a function or promise: until that settles, whose outcome is the run's.
   */
  async run(options?: RunOptions): Promise<void>;
  async run<T>(body: Promise<T> | (() => Promise<T> | T), options?: RunOptions): Promise<T>;
  async run<T>(
    first?: RunOptions | Promise<T> | (() => Promise<T> | T),
    second: RunOptions = {},
  ): Promise<T | undefined> {
    this.#check();
    if (isBody(first)) return this.#runBody(first, second);
    const { limit = this.#clock === null ? REAL_LIMIT : DAY } = (first ?? {}) as RunOptions;
    const outcome = await this.#drive(() => false, this.now + limit, true);
    if (outcome === 'limit') {
      throw codedError(
        Error,
        'ERR_NETWORK_BUSY',
        this.explain(
          `The network did not come to rest within ${limit} ms. Something goes on for ever (an interval, a heartbeat)? Then use advance(ms) or until(condition), or raise run({ limit: ms }).`,
        ),
      );
    }
    return undefined;
  }

  /** Lets that much time go on, ms. */
  async advance(ms: number): Promise<void> {
    this.#check();
    if (typeof ms !== 'number') throw invalidArgType('ms', 'number', ms);
    if (!(ms >= 0)) throw invalidArgValue('ms', ms, 'must not be negative');
    await this.#drive(() => false, this.now + ms, false);
  }

  /**
   * Lets time go on until the condition is true, which is asked whenever the program is idle. Rejects with
   * `ERR_NETWORK_STALLED` at the limit, or when nothing is left to happen.
   */
  async until(condition: () => unknown, options: UntilOptions = {}): Promise<void> {
    this.#check();
    if (typeof condition !== 'function') throw invalidArgType('condition', 'Function', condition);
    const { limit = this.#clock === null ? REAL_LIMIT : HOUR, what } = options;
    const outcome = await this.#drive(() => Boolean(condition()), this.now + limit, false, true);
    if (outcome !== 'done') {
      const awaited = what ?? `until(${String(condition).slice(0, 200)})`;
      throw this.#stalled(awaited, outcome, limit);
    }
  }

  /** Sockets and servers that are open, with the lines that made them. */
  leaks(): Leak[] {
    return this.#hosts.flatMap((host) => host?.leaks ?? []);
  }

  /**
   * A message for a failure: `text`, the seed, the last packets and where the pcap is. Writes one to the directory for
   * temporary files where no capture has a file.
   */
  explain(text: string): string {
    const lines = this.trace().trimEnd().split('\n');
    const last = lines.slice(-LAST_PACKETS).join('\n  ');
    const shown = lines[0] === '' ? 'no packets so far' : `the last packets:\n  ${last}`;
    return `${text}\nAt ${this.now} ms, seed ${this.seed}; ${shown}\npcap: ${this.#pcap()}`;
  }

  /** Ends the network: its hosts' sockets are destroyed, captures written, the program gets its own time back. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const capture of this.#captures) capture.flush();
    const ended = Promise.all(this.#hosts.map((host) => host?.end()));
    // What sockets do to close may go by the program's clock.
    this.#clock?.flush();
    await ended;
    this.#driver.close();
    this.#leaveGlobals();
    this.#clock?.close();
    for (const capture of this.#captures) capture.stop();
    this.#kept?.stop();
  }

  /** As `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Calls back after that much of the network's time, ms. @internal */
  schedule(ms: number, callback: () => void): void {
    if (this.#clock === null) setTimeout(callback, ms).unref();
    else this.#clock.schedule(ms, callback);
  }

  async #runBody<T>(body: Promise<T> | (() => Promise<T> | T), { limit }: RunOptions): Promise<T> {
    let settled = false;
    let failure: { error: unknown } | null = null;
    let result: T | undefined;
    const promise = typeof body === 'function' ? new Promise<T>((resolve) => resolve(body())) : body;
    promise.then(
      (value) => {
        settled = true;
        result = value;
      },
      (error: unknown) => {
        settled = true;
        failure = { error };
      },
    );
    const most = limit ?? (this.#clock === null ? REAL_LIMIT : DAY);
    const outcome = await this.#drive(() => settled, this.now + most, false, true);
    if (failure !== null) throw (failure as { error: unknown }).error;
    if (!settled) throw this.#stalled('the promise given to run()', outcome, most);
    return result as T;
  }

  async #drive(done: () => boolean, limit: number, rests: boolean, stallable = false): Promise<Outcome> {
    const stalls = stallable && this.#clock !== null;
    try {
      if (!stalls) return await this.#driver.drive({ done, limit, rests });
      // Where nothing can happen any more, waiting for the limit is of no use.
      return await this.#driver.drive({ done, limit, rests: true, awaited: true });
    } finally {
      for (const capture of this.#captures) capture.flush();
    }
  }

  #stalled(awaited: string, outcome: Outcome, limit: number): Error {
    const why = outcome === 'idle' ? 'nothing is left to happen' : `${limit} ms have passed`;
    return codedError(Error, 'ERR_NETWORK_STALLED', this.explain(`Waited in vain for ${awaited}: ${why}.`));
  }

  #link(a: NodeRef, b: NodeRef, options: LinkOptions, uplink: boolean): Link {
    const ends = [this.#nodeOf(a, 'a'), this.#nodeOf(b, 'b')] as const;
    const plan = this.#plan;
    const [there, back] = directions(plan === undefined ? options : withPlan(options, plan));
    const number = this.#native.link(...ends, there, back, uplink);
    const link = new Link(this.#native, this.#driver, number, [a, b]);
    if (plan !== undefined) this.#schedule(plan, link);
    this.#driver.touched();
    return link;
  }

  /** Has the faults of a plan happen to a link. */
  #schedule(plan: FaultPlan, link: Link): void {
    for (const fault of plan.faults) {
      if (fault.at < this.now) continue;
      this.schedule(fault.at - this.now, () => {
        const { duration = 0 } = fault;
        if (fault.kind === 'settings') {
          link.set(fault.settings ?? {});
        } else if (fault.kind === 'down') {
          link.down();
          this.schedule(duration, () => link.up());
        } else {
          this.partition([link.ends[0]], [link.ends[1]]);
          this.schedule(duration, () => this.heal());
        }
      });
    }
  }

  /** Its number; throws for what is no node of this network. */
  #nodeOf(one: NodeRef, name: string): number {
    if (typeof one?.node !== 'number' || this.#nodes[one.node] !== one) {
      throw invalidArgValue(name, one, 'must be a node of this network, made by host(), router(), switch() or nat()');
    }
    return one.node;
  }

  #add<T extends NodeRef>(node: T): T {
    this.#nodes[node.node] = node;
    this.#names.set(node.name.toLowerCase(), node);
    return node;
  }

  #checkName(name: unknown): void {
    this.#check();
    if (typeof name !== 'string') throw invalidArgType('name', 'string', name);
    if (!/^[\w]([\w.-]*\w)?$/.test(name)) {
      throw invalidArgValue('name', name, 'must be a host name: letters, digits, hyphens and dots');
    }
    if (this.#names.has(name.toLowerCase())) {
      throw invalidArgValue('name', name, 'is the name of another node of this network already');
    }
  }

  #check(): void {
    if (this.#closed) throw codedError(Error, 'ERR_NETWORK_CLOSED', 'The network is closed: create another.');
  }

  #resolve(name: string): readonly string[] | undefined {
    const node = this.#names.get(name);
    if (node === undefined) return undefined;
    const addresses = this.#native.addresses(node.node);
    return addresses.length === 0 ? undefined : addresses;
  }

  #packets(): void {
    if (!this.#watching) return;
    for (;;) {
      const packets = this.#native.takePackets();
      if (packets.length === 0) return;
      const name = (node: number): string => this.#nodes[node]?.name ?? '?';
      for (const packet of packets as NativePacket[]) {
        this.emit('packet', { ...packet, from: name(packet.from), to: name(packet.to) });
      }
    }
  }

  #pcap(): string {
    const file = this.#captures.find((capture) => capture.path !== null);
    if (file !== undefined) {
      file.flush();
      return path.resolve(file.path as string);
    }
    if (this.#kept === null) return "none (network.capture('out.pcapng') makes one)";
    const name = path.join(os.tmpdir(), `usernet-${process.pid}-${++failures}-seed-${this.seed}.pcapng`);
    try {
      fs.writeFileSync(name, this.#kept.bytes());
      return name;
    } catch (error) {
      return `could not be written: ${(error as Error).message}`;
    }
  }
}

/** Whether `run()` was given what to wait for; a promise may be of another realm. */
function isBody<T>(
  first: RunOptions | Promise<T> | (() => Promise<T> | T) | undefined,
): first is Promise<T> | (() => T) {
  return typeof first === 'function' || typeof (first as { then?: unknown } | undefined)?.then === 'function';
}

/** A link's options over those of a plan: what is given counts. */
function withPlan(options: LinkOptions, plan: FaultPlan): LinkOptions {
  const { there, back, ...both } = options;
  return { there: { ...plan.there, ...both, ...there }, back: { ...plan.back, ...both, ...back } };
}

/** Makes a network. */
export function createNetwork(options: NetworkOptions = {}): Network {
  if (options === null || typeof options !== 'object') throw invalidArgType('options', 'Object', options);
  return new Network(options);
}

/** Makes a network for the time of a function, which uses it; closes it in any case. Resolves as the function does. */
export async function withNetwork<T>(options: NetworkOptions, body: (network: Network) => Promise<T> | T): Promise<T> {
  const network = createNetwork(options);
  try {
    return await body(network);
  } finally {
    await network.close();
  }
}
