// What a socket and its options look like from outside.

import type * as realNet from 'node:net';
import type { ErrorReport } from '../events';
import type { SocketInfo } from '../info';
import type { CongestionControl } from '../options';

/** What `new Socket` takes: Node's options, without those of descriptors and handles. */
export interface SocketOptions extends Omit<realNet.SocketConstructorOpts, 'fd'> {
  /** Whether the writable side stays open after the peer's FIN. Default false. */
  allowHalfOpen?: boolean;
  /** Destroys the socket when aborted. */
  signal?: AbortSignal;
  /** Reads into one buffer instead of emitting `data`. */
  onread?: realNet.OnReadOpts;
  /** Sends small segments at once (Nagle's algorithm off). Default false. */
  noDelay?: boolean;
  /** Probes an idle connection. Default false. */
  keepAlive?: boolean;
  /** Idle time before the first probe, ms. 0 keeps the stack's default. */
  keepAliveInitialDelay?: number;
  /** How long written data may stay unacknowledged before the connection is given up (RFC 5482), ms. 0: the stack's. */
  userTimeout?: number;
  /** Bytes each side buffers before it says stop. */
  highWaterMark?: number;
  /** Addresses that must not be connected to. */
  blockList?: realNet.BlockList;
  /** The DSCP and ECN byte of outgoing packets, 0-255. */
  typeOfService?: number;
  /** The congestion control. Default: the stack's. */
  congestion?: CongestionControl;
}

/** What `setKeepAlive` takes as an object (RFC 9293 section 3.8.4). */
export interface KeepAliveOptions {
  /** Whether an idle connection is probed. Default false. */
  enable?: boolean;
  /** Idle time before the first probe, ms. 0, the default: 2 hours, or what was set before. */
  initialDelay?: number;
  /** Time between probes, ms. Default 75 seconds. */
  interval?: number;
  /** Unanswered probes before the connection is given up, 1-255. Default 9. */
  count?: number;
}

/** The events of a socket that `net.Socket` has not. */
interface MoreEvents {
  /**
   * A delivery problem that does not end the connection (RFC 9293 section 3.9.1.8): an ICMP error about what is in flight,
   * or three and more retransmissions in a row. Who does not listen is not told.
   */
  on(event: 'errorReport', listener: (report: ErrorReport) => void): this;
  once(event: 'errorReport', listener: (report: ErrorReport) => void): this;
  off(event: 'errorReport', listener: (report: ErrorReport) => void): this;
  addListener(event: 'errorReport', listener: (report: ErrorReport) => void): this;
  removeListener(event: 'errorReport', listener: (report: ErrorReport) => void): this;
  prependListener(event: 'errorReport', listener: (report: ErrorReport) => void): this;
  prependOnceListener(event: 'errorReport', listener: (report: ErrorReport) => void): this;
}

/** A TCP connection over a user-space stack: to its user, a `net.Socket`. */
export type Socket = MoreEvents & Connection;

interface Connection extends realNet.Socket {
  /** The connection's inner state as `ss -ti` shows it. `null` where there is no connection. */
  info(): SocketInfo | null;
  /** Sets the DSCP and ECN byte of outgoing packets, 0-255. */
  setTypeOfService(tos: number): this;
  /** The DSCP and ECN byte of outgoing packets. */
  getTypeOfService(): number;
  /**
   * Chooses the congestion control, also of a connection that is under way: it goes on from the window that the one before
   * left. Throws `ERR_INVALID_ARG_VALUE` for a name that is none.
   */
  setCongestionControl(name: CongestionControl): this;
  /** `setKeepAlive(enable, initialDelay)`, the delay in ms, or one object. */
  setKeepAlive(enable?: boolean, initialDelay?: number): this;
  setKeepAlive(options: KeepAliveOptions): this;
  /**
   * How long written data may stay unacknowledged, or a probe unanswered, before the connection is given up with
   * `ETIMEDOUT` (RFC 5482, `TCP_USER_TIMEOUT`), ms. 0 leaves it to the retries.
   */
  setUserTimeout(ms: number): this;
}
