// The events that stacks emit, by name, with their arguments.
import { EventEmitter } from 'node:events';

/** What every entry of the trace says. */
export interface TraceBase {
  /** When, in ms since the stack was made. */
  at: number;
  /** The connection's number in the stack; -1 for one JavaScript does not hold (not accepted yet, or let go). */
  id: number;
  /** The connection's own end, `192.0.2.1:80` or `[2001:db8::1]:80`. */
  local: string;
  /** Its other end. */
  remote: string;
}

/** A connection went from one state (RFC 9293 section 3.3.2) to another. */
export interface StateEvent extends TraceBase {
  type: 'state';
  from: string;
  to: string;
}

/** A segment was sent again. */
export interface RetransmitEvent extends TraceBase {
  type: 'retransmit';
  /** Its first sequence number. */
  seq: number;
  /** Its payload, bytes. */
  length: number;
  /** Whether the retransmission timer was why (RFC 6298 section 5.4), not duplicate acknowledgements. */
  timeout: boolean;
}

/** Loss recovery began or ended (RFC 6582). */
export interface RecoveryEvent extends TraceBase {
  type: 'recovery';
  began: boolean;
  /** Bytes. */
  cwnd: number;
  /** Bytes. */
  ssthresh: number;
}

/** The retransmission timer expired. */
export interface TimeoutEvent extends TraceBase {
  type: 'timeout';
  /** How often in a row. */
  backoff: number;
  /** The timer's new value, ms. */
  rto: number;
}

/** The congestion window changed. */
export interface CwndEvent extends TraceBase {
  type: 'cwnd';
  /** Bytes. */
  cwnd: number;
  /** Bytes. */
  ssthresh: number;
}

/** The peer announced urgent data, or more of it (RFC 6093); it is read in line. */
export interface UrgentEvent extends TraceBase {
  type: 'urgent';
  /** Bytes to read to get to its end. */
  left: number;
}

/** An ICMP error came about a segment that is in flight (RFC 9293 section 3.9.2.2). */
export interface IcmpReport {
  reason: 'icmp';
  /** What it says. */
  icmp: 'unreachable' | 'ttl-exceeded' | 'parameter-problem';
  /** ICMP's code. */
  icmpCode: number;
  /** Who said so: a router, or the peer; an address of this stack where its own link did not find the next hop. */
  from: string;
  /** What the connection ends with should its time be over before anything is acknowledged, such as `EHOSTUNREACH`. */
  code: string;
}

/**
 * Excessive retransmissions (RFC 9293 section 3.8.3): a segment was sent again three times (R1) and nothing came back; said
 * again at each further time, until the connection is given up (R2).
 */
export interface RetransmissionsReport {
  reason: 'retransmissions';
  /** How often in a row. */
  count: number;
  /** Time until the next one, ms. */
  rto: number;
}

/** A delivery problem that does not end a connection: ERROR_REPORT of RFC 9293 section 3.9.1.8. */
export type ErrorReport = IcmpReport | RetransmissionsReport;

/** A delivery problem of a connection was reported. */
export type ErrorReportEvent = TraceBase & { type: 'errorReport' } & ErrorReport;

/** A connection failed. */
export interface FailureEvent extends TraceBase {
  type: 'error';
  /** Such as `ECONNRESET`. */
  code: string;
}

/** What a stack made with `trace: true` records. */
export type TraceEvent =
  | StateEvent
  | RetransmitEvent
  | RecoveryEvent
  | TimeoutEvent
  | CwndEvent
  | UrgentEvent
  | ErrorReportEvent
  | FailureEvent;

/** What may be done with an address of an interface (RFC 4862 section 2, RFC 4429 section 2.1). */
export type AddressState = 'tentative' | 'optimistic' | 'preferred' | 'deprecated' | 'duplicate';

/** Something became of an address of an interface. Those that the interface was made with are not reported as added. */
export interface AddressEvent {
  /**
   * `address-added`: it was added, or formed from a router's prefix; `address-removed`: by the program, or its lifetime ran
   * out; `address-changed`: its state is another; `address-duplicate`: it turned out to be somebody else's while it was
   * checked (RFC 4862 section 5.4.5, RFC 5227 section 2.1) and is not used; `address-conflict`: somebody else claims it,
   * and it is defended (RFC 5227 section 2.4), reported at most every 10 s.
   */
  type: 'address-added' | 'address-removed' | 'address-changed' | 'address-duplicate' | 'address-conflict';
  /** The name of the interface. */
  interface: string;
  address: string;
  /** What may be done with it now; not with `address-removed` and `address-conflict`. */
  state?: AddressState;
}

/** Something became of an interface's link. */
export interface LinkEvent {
  /**
   * `up` and `down`: as `setUp` and `setDown` had it, or, of the system's interface of a TUN or TAP, somebody else; `lost`:
   * its device failed (a TUN that was deleted, a virtual machine or a program that went away), and the interface is gone.
   */
  type: 'up' | 'down' | 'lost';
  /** The name of the interface. */
  interface: string;
}

/** What a stack tells of its interfaces. */
export type InterfaceEvent = AddressEvent | LinkEvent;

/** The events of a stack. Those of the trace need `trace: true`. */
export interface StackEvents {
  /** The stack is closed, and so are its servers and sockets. */
  close: [];
  /** An interface or one of its addresses changed. At most 256 wait; of those of addresses further ones are lost. */
  interface: [event: InterfaceEvent];
  /** Every event of the trace. */
  trace: [event: TraceEvent];
  state: [event: StateEvent];
  retransmit: [event: RetransmitEvent];
  recovery: [event: RecoveryEvent];
  timeout: [event: TimeoutEvent];
  cwnd: [event: CwndEvent];
  urgent: [event: UrgentEvent];
  errorReport: [event: ErrorReportEvent];
  /** A connection failed: the trace's `error`, which is no error of the stack. */
  failure: [event: FailureEvent];
}

type Args<Events, Name> = Name extends keyof Events ? (Events[Name] extends unknown[] ? Events[Name] : never) : never;

/** An `EventEmitter` that knows its events. */
export interface TypedEmitter<Events> {
  on<Name extends keyof Events>(name: Name, listener: (...args: Args<Events, Name>) => void): this;
  once<Name extends keyof Events>(name: Name, listener: (...args: Args<Events, Name>) => void): this;
  off<Name extends keyof Events>(name: Name, listener: (...args: Args<Events, Name>) => void): this;
  addListener<Name extends keyof Events>(name: Name, listener: (...args: Args<Events, Name>) => void): this;
  removeListener<Name extends keyof Events>(name: Name, listener: (...args: Args<Events, Name>) => void): this;
  prependListener<Name extends keyof Events>(name: Name, listener: (...args: Args<Events, Name>) => void): this;
  prependOnceListener<Name extends keyof Events>(name: Name, listener: (...args: Args<Events, Name>) => void): this;
  removeAllListeners(name?: keyof Events): this;
  emit<Name extends keyof Events>(name: Name, ...args: Args<Events, Name>): boolean;
  listenerCount(name: keyof Events): number;
  listeners(name: keyof Events): ((...args: never[]) => unknown)[];
  rawListeners(name: keyof Events): ((...args: never[]) => unknown)[];
  eventNames(): Array<string | symbol>;
  setMaxListeners(count: number): this;
  getMaxListeners(): number;
}

/** The constructor of a `TypedEmitter`, to extend. */
export const TypedEventEmitter = EventEmitter as unknown as new <Events>() => TypedEmitter<Events>;
