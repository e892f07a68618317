// The contract with the binding's `NativeNetwork` (crates/node/src/sim_class.rs): nodes, links, captures and rules are
// numbers, in the order they were made; times are ms since the network began.

import { loadBinding, type NativeStack, type NativeStackOptions } from '../native';
import type { PacketView } from './link';

/** Settings of one direction of a link; what is left out stays as it is, or has its default. */
export interface NativeLinkSettings {
  up?: boolean;
  delay?: number;
  jitter?: number;
  rate?: number;
  queue?: number;
  discipline?: 'drop-tail' | 'codel';
  loss?: number | { toBad?: number; toGood?: number; lossGood?: number; lossBad?: number };
  duplicate?: number;
  reorder?: number;
  reorderBy?: number;
  mark?: number;
  corrupt?: number;
  mtu?: number;
}

export interface NativeHostOptions extends NativeStackOptions {
  addresses?: string[];
  mtu?: number;
}

export interface NativeNatOptions {
  kind?: 'endpoint-independent' | 'symmetric';
  addresses?: string[];
  tcpEstablished?: number;
  tcpTransitory?: number;
  udp?: number;
}

export interface NativePacket extends NativePacketView {
  at: number;
  id: number;
  what: string;
  reason?: string;
  from: number;
  to: number;
}

export interface NativeWay {
  segments: number;
  bytes: number;
  retransmits: number;
  resets: number;
  fins: number;
  lost: number;
}

export interface NativeFlow {
  client: string;
  server: string;
  clientPort: number;
  serverPort: number;
  clientNode: number;
  serverNode: number;
  at: number;
  clientEstablished: boolean;
  serverEstablished: boolean;
  sent: NativeWay;
  received: NativeWay;
}

export interface NativePlan {
  seed: number;
  there: NativeLinkSettings;
  back: NativeLinkSettings;
  faults: Array<{
    at: number;
    kind: 'down' | 'partition' | 'settings';
    duration?: number;
    settings?: NativeLinkSettings;
  }>;
}

export interface NativeMatch {
  from?: number;
  to?: number;
  on?: number;
  data?: boolean;
  flags?: string;
  port?: number;
  first?: number;
  last?: number;
  /** Asked when everything else fits. Must not throw, nor use the network. */
  when?: (packet: NativePacketView) => boolean;
}

/** What the binding tells of a packet is what a rule's `when` sees. */
export type NativePacketView = PacketView;

export interface NativeAction {
  kind: 'drop' | 'delay' | 'copy' | 'alter' | 'hold';
  delay?: number;
  copies?: number;
  offset?: number;
  xor?: number;
  /** Changes the bytes in place, or gives others. Must not throw, nor use the network. */
  change?: (bytes: Buffer) => Uint8Array | undefined;
}

export interface NativeNetwork {
  addHost(name: string, options: NativeHostOptions): number;
  addRouter(name: string): number;
  addSwitch(name: string): number;
  addNat(name: string, options: NativeNatOptions): number;
  addresses(node: number): string[];
  link(a: number, b: number, there: NativeLinkSettings, back: NativeLinkSettings, uplink: boolean): number;
  setLink(link: number, from: number, settings: NativeLinkSettings): void;
  linkStats(link: number, from: number): Record<string, number>;
  partition(a: number[], b: number[]): void;
  heal(): void;
  crash(node: number): void;
  restart(node: number): void;
  now(): number;
  /** When something happens next; -1: nothing will by itself. */
  nextAt(): number;
  inFlight(): number;
  /**
   * Goes on until hosts have events, whose numbers are written to `hosts`, or to `until`; returns how many. 0: it is
   * `until` now.
   */
  run(until: number, hosts: Int32Array): number;
  capture(nodes: number[], limit: number): number;
  captured(capture: number, from: number): Buffer;
  endCapture(capture: number): void;
  trace(): string;
  keepTrace(packets: number): void;
  watch(on: boolean): void;
  /** At most 4,096 at a time. */
  takePackets(): NativePacket[];
  flows(): NativeFlow[];
  drops(): Record<string, number>;
  rule(match: NativeMatch, action: NativeAction): number;
  ruleHits(rule: number): number;
  ruleHeld(rule: number): number;
  releaseRule(rule: number): number;
  removeRule(rule: number): void;
  inject(node: number, packet: Uint8Array): void;
  plan(seed: number): NativePlan;
  /** How many requests libuv has under way: files, names, compression, cryptography. */
  pendingRequests(): number;
}

interface SimBinding {
  NativeNetwork: new (options: { seed: number; real: boolean }) => NativeNetwork;
  NativeStack: new (
    options: NativeStackOptions & { network: NativeNetwork; host: number },
    events: Int32Array,
    doorbell: () => void,
  ) => NativeStack;
}

/** The binding, as far as networks are concerned. */
export function simBinding(): SimBinding {
  return loadBinding() as unknown as SimBinding;
}
