// `usernet/testing`: a whole network in one process, seeded, in virtual time.
export {
  assertEstablished,
  assertNoLeaks,
  assertNoReset,
  assertNotEstablished,
  assertNotRetransmitted,
  assertReset,
  assertRetransmitted,
  type ConnectionFilter,
  type MatcherResult,
  matchers,
  type NetworkMatchers,
} from './assertions';
export type { Capture, CaptureOptions } from './capture';
export type { MockTimers } from './clock';
export {
  type Exploration,
  ExploreFailure,
  type ExploreOptions,
  explore,
  type Fault,
  type FaultPlan,
  faultPlan,
} from './explore';
export type { Host, HostEvents, HostOptions } from './host';
export type { Leak } from './leaks';
export type {
  BurstLoss,
  Link,
  LinkOptions,
  LinkSettings,
  LinkStats,
  NodeRef,
  PacketView,
  Rule,
  RuleAction,
  RuleMatch,
} from './link';
export type { NativeNatOptions as NatOptions } from './native';
export {
  type ConnectionRecord,
  type ConnectionWay,
  createNetwork,
  Network,
  type NetworkEvents,
  type NetworkOptions,
  type PacketEvent,
  type RunOptions,
  type UntilOptions,
  withNetwork,
} from './network';
