// Links between nodes, and rules on the packets of a network.
import { invalidArgType, invalidArgValue, outOfRange } from '../errors';
import type { Driver } from './driver';
import type { NativeAction, NativeLinkSettings, NativeMatch, NativeNetwork } from './native';

/** Packets lost in bursts: a chain of two states, one step a packet (Gilbert 1960, Elliott 1963). */
export interface BurstLoss {
  /** Probability of going from good to bad. Default 0.01. */
  toBad?: number;
  /** Probability of going from bad to good; its inverse is the mean length of a burst, packets. Default 0.25. */
  toGood?: number;
  /** Probability of loss while good. Default 0. */
  lossGood?: number;
  /** Probability of loss while bad. Default 1. */
  lossBad?: number;
}

/** Settings of one direction of a link. */
export interface LinkSettings {
  /** Whether it carries anything; what is on it when it goes down is lost. Default true. */
  up?: boolean;
  /** Time on the wire, ms. Default 0. */
  delay?: number;
  /** Time added to the delay, drawn between 0 and this for each packet, ms; it changes no order. Default 0. */
  jitter?: number;
  /** bit/s of whole IP packets; Infinity sends them in no time. Default Infinity. */
  rate?: number;
  /** Bytes that wait for the rate at most. Default 262,144. */
  queue?: number;
  /**
   * How the queue is kept short: what does not fit is dropped, or CoDel drops earlier, and marks what is ECN-capable instead
   * (RFC 8289, RFC 3168). Default drop-tail.
   */
  discipline?: 'drop-tail' | 'codel';
  /** Probability that a packet is lost, 0-1, or loss in bursts. Default 0. */
  loss?: number | BurstLoss;
  /** Probability that a packet arrives twice, 0-1. Default 0. */
  duplicate?: number;
  /** Probability that a packet is held back so that later ones overtake it, 0-1. Default 0. */
  reorder?: number;
  /** How long such a packet is held back at most, ms. Default 10. */
  reorderBy?: number;
  /** Probability that an ECN-capable packet is marked as having met congestion (RFC 3168), 0-1. Default 0. */
  mark?: number;
  /** Probability that one bit of a packet is flipped, 0-1. Default 0. */
  corrupt?: number;
  /** Largest IP packet that fits, bytes, 68-65,535; larger ones are dropped. Default 1,500. */
  mtu?: number;
}

/** Settings of a link: of both directions, and what differs in each. `there` leads from the first node to the second. */
export interface LinkOptions extends LinkSettings {
  there?: LinkSettings;
  back?: LinkSettings;
}

/** What one direction of a link did so far. */
export interface LinkStats {
  sent: number;
  sentBytes: number;
  delivered: number;
  deliveredBytes: number;
  dropped: number;
  duplicated: number;
  reordered: number;
  corrupted: number;
  /** Marked as having met congestion. */
  marked: number;
}

/** A node of a network, as links and rules know it. */
export interface NodeRef {
  readonly name: string;
  /** @internal */
  readonly node: number;
}

const CHANCES = ['duplicate', 'reorder', 'mark', 'corrupt'] as const;
const TIMES = ['delay', 'jitter', 'reorderBy'] as const;
const KNOWN = new Set<string>([
  ...CHANCES,
  ...TIMES,
  'up',
  'rate',
  'queue',
  'discipline',
  'loss',
  'mtu',
  'there',
  'back',
]);
const YEAR = 31_536_000_000;

const BURSTS = ['toBad', 'toGood', 'lossGood', 'lossBad'];

function checkBursts(loss: BurstLoss, where: string): void {
  if (loss === null) throw invalidArgType(where, ['number', 'Object'], loss);
  known(loss, BURSTS, where, 'setting');
  for (const [name, value] of Object.entries(loss)) {
    if (value === undefined) continue;
    if (typeof value !== 'number') throw invalidArgType(`${where}.${name}`, 'number', value);
    if (!(value >= 0 && value <= 1)) throw outOfRange(`${where}.${name}`, '>= 0 && <= 1 (a probability)', value);
  }
}

/** Throws for a property that there is not. */
function known(object: object, names: Iterable<string>, where: string, what: string): void {
  const all = [...names];
  for (const [name, value] of Object.entries(object)) {
    if (all.includes(name)) continue;
    throw invalidArgValue(`${where}.${name}`, value, `is no ${what}; there are: ${all.join(', ')}`);
  }
}

/** Checks settings; errors name the setting and its range. */
function check(settings: LinkSettings, where: string): void {
  if (settings === null || typeof settings !== 'object') throw invalidArgType(where, 'Object', settings);
  known(settings, KNOWN, where, 'setting');
  const bounded = (name: keyof LinkSettings, min: number, max: number, unit: string): void => {
    const value = settings[name];
    if (value === undefined) return;
    if (typeof value !== 'number') throw invalidArgType(`${where}.${name}`, 'number', value);
    if (!(value >= min && value <= max)) throw outOfRange(`${where}.${name}`, `>= ${min} && <= ${max}${unit}`, value);
  };
  for (const name of CHANCES) bounded(name, 0, 1, ' (a probability)');
  for (const name of TIMES) bounded(name, 0, YEAR, ' ms');
  if (typeof settings.loss !== 'object') bounded('loss', 0, 1, ' (a probability)');
  else checkBursts(settings.loss, `${where}.loss`);
  const { discipline, up } = settings;
  if (discipline !== undefined && discipline !== 'drop-tail' && discipline !== 'codel') {
    throw invalidArgValue(`${where}.discipline`, discipline, "must be 'drop-tail' or 'codel'");
  }
  if (up !== undefined && typeof up !== 'boolean') throw invalidArgType(`${where}.up`, 'boolean', up);
  bounded('rate', 1, Number.POSITIVE_INFINITY, ' bit/s');
  bounded('queue', 0, 2 ** 32, ' bytes');
  bounded('mtu', 68, 65_535, ' bytes');
}

/** Both directions of a link's settings, checked. */
export function directions(options: LinkOptions): [NativeLinkSettings, NativeLinkSettings] {
  check(options, 'options');
  const { there = {}, back = {}, ...both } = options;
  check(there, 'options.there');
  check(back, 'options.back');
  return [
    { ...both, ...there },
    { ...both, ...back },
  ];
}

/** A link between two nodes. */
export class Link {
  /** The nodes at its ends. */
  readonly ends: readonly [NodeRef, NodeRef];
  /** @internal */
  readonly link: number;
  readonly #native: NativeNetwork;
  readonly #driver: Driver;

  /** @internal Use `network.link()`. */
  constructor(native: NativeNetwork, driver: Driver, link: number, ends: [NodeRef, NodeRef]) {
    this.#native = native;
    this.#driver = driver;
    this.link = link;
    this.ends = ends;
  }

  /** Changes settings, from now on; what is left out stays. */
  set(options: LinkOptions): void {
    const [there, back] = directions(options);
    this.#native.setLink(this.link, this.ends[0].node, there);
    this.#native.setLink(this.link, this.ends[1].node, back);
    this.#driver.touched();
  }

  /** Takes it down: what is on it is lost, and what is put on it. */
  down(): void {
    this.set({ up: false });
  }

  /** Sets it up again. */
  up(): void {
    this.set({ up: true });
  }

  /** What the direction that leads away from a node did so far. */
  stats(from: NodeRef = this.ends[0]): LinkStats {
    return this.#native.linkStats(this.link, from.node) as unknown as LinkStats;
  }
}

/** A packet, as a rule's `when` sees it. Addresses and ports are those it has on the link. */
export interface PacketView {
  /** `tcp`, `udp`, `icmp`, `icmpv6`, `malformed`, or the protocol's number. */
  protocol: string;
  source?: string;
  destination?: string;
  sourcePort?: number;
  destinationPort?: number;
  seq?: number;
  ack?: number;
  window?: number;
  /** TCP control bits, letters of `SFRPAUECN`. */
  flags?: string;
  /** Bytes of its payload. */
  length?: number;
  /** A copy of the whole IP packet. */
  bytes: Buffer;
}

/** Which packets a rule is about: those for which all of it holds. */
export interface RuleMatch {
  /** Packets that this node made. */
  from?: NodeRef;
  /** Packets for an address of this node. */
  to?: NodeRef;
  /** Packets put on this link; without it a packet is judged once, where it is made. */
  on?: Link;
  /** TCP segments with data. */
  data?: boolean;
  /** TCP segments with all of these control bits: letters of `SFRPAUECN`. */
  flags?: string;
  /** TCP segments from or to this port. */
  port?: number;
  /**
   * Packets for which it answers true; asked, in the order packets are sent, when everything else fits. It must not use
   * the network. What it throws, the running `run()`, `advance()` or `until()` rejects with.
   */
  when?: (packet: PacketView) => boolean;
  /** Of them the nth, counted from 1. */
  nth?: number;
  /** Of them the first to the last, counted from 1. */
  between?: [first: number, last: number];
}

/** What a rule does with them. */
export type RuleAction =
  | 'drop'
  /** Keeps them until `release()` or `remove()`; at most 65,536, further ones are dropped. */
  | 'hold'
  /** Lets them wait, ms; later ones overtake them. */
  | { delay: number }
  /** Sends this many more of each. */
  | { copy: number }
  /** Flips bits of the byte at an offset, from the end where it is negative. Checksums are left as they are. */
  | { alter: { offset: number; xor?: number } }
  /** Changes the packet's bytes in place, or gives others. Checksums are left as they are. As `when`, it only looks. */
  | { alter: (bytes: Buffer) => Uint8Array | undefined };

/** A rule on packets. */
export class Rule {
  readonly #native: NativeNetwork;
  readonly #driver: Driver;
  readonly #rule: number;

  /** @internal Use `network.rule()`. */
  constructor(native: NativeNetwork, driver: Driver, match: RuleMatch, action: RuleAction) {
    this.#native = native;
    this.#driver = driver;
    this.#rule = native.rule(nativeMatch(match, driver.failed), nativeAction(action, driver.failed));
  }

  /** How many packets it was applied to. */
  get hits(): number {
    return this.#native.ruleHits(this.#rule);
  }

  /** How many packets it holds. */
  get held(): number {
    return this.#native.ruleHeld(this.#rule);
  }

  /** Lets what it holds go on, in order; how many. */
  release(): number {
    const count = this.#native.releaseRule(this.#rule);
    this.#driver.touched();
    return count;
  }

  /** Ends it; what it holds goes on. */
  remove(): void {
    this.#native.removeRule(this.#rule);
    this.#driver.touched();
  }
}

const MATCH = ['from', 'to', 'on', 'data', 'flags', 'port', 'when', 'nth', 'between'];

function nativeMatch(match: RuleMatch, failed: (error: unknown) => void): NativeMatch {
  if (match === null || typeof match !== 'object') throw invalidArgType('match', 'Object', match);
  known(match, MATCH, 'match', 'condition');
  const { from, to, on, data, flags, port, when, nth, between } = match;
  if (when !== undefined && typeof when !== 'function') throw invalidArgType('match.when', 'Function', when);
  if (between !== undefined && !Array.isArray(between)) throw invalidArgType('match.between', 'Array', between);
  const [first, last] = between ?? (nth === undefined ? [undefined, undefined] : [nth, nth]);
  const asked = when && ((packet: PacketView) => guarded(() => Boolean(when(packet)), failed) ?? false);
  return { from: from?.node, to: to?.node, on: on?.link, data, flags, port, first, last, when: asked };
}

function nativeAction(action: RuleAction, failed: (error: unknown) => void): NativeAction {
  if (action === 'drop' || action === 'hold') return { kind: action };
  if (action !== null && typeof action === 'object') {
    const [name, ...more] = Object.keys(action);
    if (more.length === 0 && 'delay' in action) return { kind: 'delay', delay: action.delay };
    if (more.length === 0 && 'copy' in action) return { kind: 'copy', copies: action.copy };
    if (more.length === 0 && name === 'alter' && 'alter' in action) {
      const { alter } = action;
      if (typeof alter !== 'function') return { kind: 'alter', ...alter };
      return { kind: 'alter', change: (bytes) => guarded(() => alter(bytes) ?? undefined, failed) };
    }
  }
  throw invalidArgValue('action', action, "must be 'drop', 'hold', { delay }, { copy } or { alter }");
}

/** What a function of the program gives; what it throws goes to `failed`. */
function guarded<T>(call: () => T, failed: (error: unknown) => void): T | undefined {
  try {
    return call();
  } catch (error) {
    failed(error);
    return undefined;
  }
}
