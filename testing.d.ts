// The types of `usernet/testing`.
// Made by scripts/types.mjs from src/: do not edit.

import * as realTls from 'node:tls';
import { AsyncResource } from 'node:async_hooks';
import * as realDgram from 'node:dgram';
import * as realDns from 'node:dns';
import { EventEmitter } from 'node:events';
import * as http from 'node:http';
import * as https from 'node:https';
import * as realNet from 'node:net';
import { Duplex } from 'node:stream';

interface TraceBase {
  /** When, in ms since the stack was made. */
  at: number;
  /** The connection's number in the stack; -1 for one JavaScript does not hold (not accepted yet, or let go). */
  id: number;
  /** The connection's own end, `192.0.2.1:80` or `[2001:db8::1]:80`. */
  local: string;
  /** Its other end. */
  remote: string;
}
interface StateEvent extends TraceBase {
  type: "state";
  from: string;
  to: string;
}
interface RetransmitEvent extends TraceBase {
  type: "retransmit";
  /** Its first sequence number. */
  seq: number;
  /** Its payload, bytes. */
  length: number;
  /** Whether the retransmission timer was why (RFC 6298 section 5.4), not duplicate acknowledgements. */
  timeout: boolean;
}
interface RecoveryEvent extends TraceBase {
  type: "recovery";
  began: boolean;
  /** Bytes. */
  cwnd: number;
  /** Bytes. */
  ssthresh: number;
}
interface TimeoutEvent extends TraceBase {
  type: "timeout";
  /** How often in a row. */
  backoff: number;
  /** The timer's new value, ms. */
  rto: number;
}
interface CwndEvent extends TraceBase {
  type: "cwnd";
  /** Bytes. */
  cwnd: number;
  /** Bytes. */
  ssthresh: number;
}
interface UrgentEvent extends TraceBase {
  type: "urgent";
  /** Bytes to read to get to its end. */
  left: number;
}
interface IcmpReport {
  reason: "icmp";
  /** What it says. */
  icmp: "unreachable" | "ttl-exceeded" | "parameter-problem";
  /** ICMP's code. */
  icmpCode: number;
  /** Who said so: a router, or the peer; an address of this stack where its own link did not find the next hop. */
  from: string;
  /** What the connection ends with should its time be over before anything is acknowledged, such as `EHOSTUNREACH`. */
  code: string;
}
interface RetransmissionsReport {
  reason: "retransmissions";
  /** How often in a row. */
  count: number;
  /** Time until the next one, ms. */
  rto: number;
}
type ErrorReport = IcmpReport | RetransmissionsReport;
type ErrorReportEvent = TraceBase & {
  type: "errorReport";
} & ErrorReport;
interface FailureEvent extends TraceBase {
  type: "error";
  /** Such as `ECONNRESET`. */
  code: string;
}
type TraceEvent = StateEvent | RetransmitEvent | RecoveryEvent | TimeoutEvent | CwndEvent | UrgentEvent | ErrorReportEvent | FailureEvent;
type AddressState = "tentative" | "optimistic" | "preferred" | "deprecated" | "duplicate";
interface AddressEvent {
  /**
   * `address-added`: it was added, or formed from a router's prefix; `address-removed`: by the program, or its lifetime ran
   * out; `address-changed`: its state is another; `address-duplicate`: it turned out to be somebody else's while it was
   * checked (RFC 4862 section 5.4.5, RFC 5227 section 2.1) and is not used; `address-conflict`: somebody else claims it,
   * and it is defended (RFC 5227 section 2.4), reported at most every 10 s.
   */
  type: "address-added" | "address-removed" | "address-changed" | "address-duplicate" | "address-conflict";
  /** The name of the interface. */
  interface: string;
  address: string;
  /** What may be done with it now; not with `address-removed` and `address-conflict`. */
  state?: AddressState;
}
interface LinkEvent {
  /**
   * `up` and `down`: as `setUp` and `setDown` had it, or, of the system's interface of a TUN or TAP, somebody else; `lost`:
   * its device failed (a TUN that was deleted, a virtual machine or a program that went away), and the interface is gone.
   */
  type: "up" | "down" | "lost";
  /** The name of the interface. */
  interface: string;
}
type InterfaceEvent = AddressEvent | LinkEvent;
interface StackEvents {
  /** The stack is closed, and so are its servers and sockets. */
  close: [
  ];
  /** An interface or one of its addresses changed. At most 256 wait; of those of addresses further ones are lost. */
  interface: [
    event: InterfaceEvent
  ];
  /** Every event of the trace. */
  trace: [
    event: TraceEvent
  ];
  state: [
    event: StateEvent
  ];
  retransmit: [
    event: RetransmitEvent
  ];
  recovery: [
    event: RecoveryEvent
  ];
  timeout: [
    event: TimeoutEvent
  ];
  cwnd: [
    event: CwndEvent
  ];
  urgent: [
    event: UrgentEvent
  ];
  errorReport: [
    event: ErrorReportEvent
  ];
  /** A connection failed: the trace's `error`, which is no error of the stack. */
  failure: [
    event: FailureEvent
  ];
}
type Args<Events, Name> = Name extends keyof Events ? (Events[Name] extends unknown[] ? Events[Name] : never) : never;
interface TypedEmitter<Events> {
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
declare const TypedEventEmitter: new <Events>() => TypedEmitter<Events>;
/** What `network.capture()` takes besides the file. */
export interface CaptureOptions {
  /** At which nodes. Default: at every host. */
  nodes?: ReadonlyArray<{
    readonly node: number;
  }>;
  /** Most bytes of the file; packets beyond it are left out. Default 256 MiB. */
  limit?: number;
}
/** A running capture. Packets appear as a node sends them and as they reach it, with virtual time, ns. */
export declare class Capture {
  #private;
  /** The file, if there is one. */
  readonly path: string | null;
  /** The whole file as it is now. */
  bytes(): Buffer;
  /** Writes what is new to the file; happens by itself whenever the network comes to a stop. */
  flush(): void;
  /** Ends it; returns the whole file. */
  stop(): Buffer;
}
/** What node:test's `mock.timers` has. */
export interface MockTimers {
  tick(milliseconds?: number): void;
}
interface TapDevice extends TapDeviceOptions {
  readonly kind: "tap";
}
interface PacketDevice extends PacketSocketOptions {
  readonly kind: "packet";
}
interface UnixDevice {
  readonly kind: "unix";
  readonly connect?: string;
  readonly listen?: string;
  readonly local?: string;
  readonly remote?: string;
  readonly mac?: string;
  readonly impairment?: Impairment;
}
interface TapDeviceOptions extends TunOptions {
  /** The stack's hardware address, such as `02:00:00:00:00:01`. Default: a random one. */
  mac?: string;
  /** The hardware address of the kernel's side. Default: the kernel's choice. */
  kernelMac?: string;
}
interface PacketSocketOptions {
  /** The name of the interface, in the network namespace of the process. */
  interface: string;
  /** The stack's hardware address. Default: a random one; the interface is made promiscuous. */
  mac?: string;
  /** What is done to the frames of each direction. */
  impairment?: Impairment;
}
declare class SendTick {
  #private;
  constructor(native: NativeStack);
  /** Whether the datagram that is about to be sent may wait for the end of the tick. */
  next(socket: number, port: number, address: string | null): boolean;
}
interface SocketSink extends AsyncResource {
  /** Received bytes, as `Reactor.view` takes them. */
  onData(slab: number, offset: number, length: number): void;
  /** What is not data; `a` is what the record says besides. */
  onRecord(kind: RecordKind, a: number): void;
  /** The stack is closing. */
  onStackClose(): void;
}
interface ListenerSink extends AsyncResource {
  /** Runs outside the handle's async context: it is for the listener's callback, not for the new connection. */
  onAccept(id: number): void;
  onStackClose(): void;
}
declare class RecordEnds {
  #private;
  at: number;
  constructor(events: Int32Array);
  /** The port, or what stands in its place. */
  port(index: number): number;
  address(index: number): string;
  /** The record's last number. */
  rest(index: number): number;
}
interface DatagramSink extends AsyncResource {
  /** `ends` reads the records that follow. What is not data: `a` is the errno, or the outcome. */
  onDatagramRecord(kind: RecordKind, a: number, b: number, c: number, ends: RecordEnds): void;
  /** The stack is closing. */
  onStackClose(): void;
}
type Beside = "udp" | "raw" | "ping";
declare class Reactor {
  #private;
  readonly native: NativeStack;
  /** Which datagrams go out together. */
  readonly sendTick: SendTick;
  closed: boolean;
  /** Called when something was recorded for the trace. */
  ontrace: (() => void) | null;
  /** Called when a program makes a socket, before it connects. */
  onhandle: ((sink: SocketSink) => void) | null;
  /** Called with a flow that waits for a decision: the halves of its id, whether it is UDP, its interface, its ends. */
  onflow: ((index: number, version: number, udp: boolean, interfaceId: number, ends: RecordEnds) => void) | null;
  /** Called when frames of a watched interface wait. */
  onframes: ((interfaceId: number) => void) | null;
  /** Called with what became of an interface. */
  oninterface: ((interfaceId: number, news: InterfaceNews, state: number, ends: RecordEnds) => void) | null;
  /** Called when a frame port has frames, or room again. */
  onport: ((interfaceId: number) => void) | null;
  /** The names of interfaces by their numbers. */
  readonly interfaceNames: Map<number, string>;
  constructor(binding: NativeBinding, options: NativeStackOptions);
  /** Throws once the stack is closed. */
  check(): void;
  addSocket(id: number, sink: SocketSink): void;
  /** Forgets a socket; what the stack reports of it from here on is only of interest for `linger`. */
  removeSocket(id: number): void;
  addListener(id: number, sink: ListenerSink): void;
  removeListener(id: number): void;
  addBeside(kind: Beside, id: number, sink: DatagramSink): void;
  removeBeside(kind: Beside, id: number): void;
  /** Numbers of live handles, for tests and `stats()`. */
  get counts(): {
    sockets: number;
    listeners: number;
    lingering: number;
  };
  /** The ids of live sockets and listeners, with what is told of them. */
  get handles(): {
    sockets: Array<[
      number,
      SocketSink
    ]>;
    listeners: ReadonlyMap<number, ListenerSink>;
  };
  /** Adds `delta` to the number of handles that keep the process alive. */
  activate(delta: 1 | -1): void;
  /**
   * The socket's last bytes are on their way: the process stays until they are acknowledged, since no kernel would
   * finish the job, but not for longer than there is progress.
   */
  linger(id: number): void;
  unlinger(id: number): void;
  /**
   * Calls back in a later turn of the event loop, before anything the peer may answer meanwhile is reported: libuv's
   * order for the completion of a shutdown or a close.
   */
  defer(resource: AsyncResource, callback: () => void): void;
  /**
   * The view that a Data record names. A small one of a large slab is copied, so that a few kept bytes do not pin it; the
   * slabs that small ones are gathered in pin no more than the pool that the copy would lie in.
   */
  view(slab: number, offset: number, length: number): Buffer;
  /** Lets go of every socket, telling nobody: the process ends. */
  letGo(): void;
  /** Bytes handed to the stack that peers have not acknowledged. */
  unacknowledged(): number;
  /** Ends the native stack with the process, telling nobody. */
  leave(): void;
  /** Ends every handle and the native stack. Idempotent. */
  close(): void;
}
interface AddressOut {
  address?: string;
  port?: number;
  family?: string;
}
interface HandleOwner {
  /** Received bytes; `false` asks for no more until `readStart`. */
  onHandleData(chunk: Buffer): void;
  /** The peer's FIN. */
  onHandleEnd(): void;
  /** Reading failed; `errno` is negative. */
  onHandleError(errno: number): void;
  /** A delivery problem that does not end the connection. */
  onHandleReport(report: ErrorReport): void;
  /** The stack closes, with everything on it. */
  onStackClose(): void;
}
declare class SocketHandle extends AsyncResource implements SocketSink {
  #private;
  owner: HandleOwner | null;
  /** Whether the Socket wants data. */
  reading: boolean;
  bytesRead: number;
  bytesWritten: number;
  /** Bytes accepted from the Socket that the stack has had no room for yet. */
  writeQueueSize: number;
  /**
   * `id` is that of an accepted connection, of which the stack reports what comes already; without it `connect` makes one.
   * `mapped`: its listener is on `::` and takes IPv4 too.
   */
  constructor(reactor: Reactor, id?: number, mapped?: boolean);
  /** A connection that the stack is making already, of a flow that was accepted; `done` as `connect` has it. */
  static awaiting(reactor: Reactor, id: number, done: (errno: number) => void): SocketHandle;
  /** The number of the async context that callbacks run in. */
  getAsyncId(): number;
  /** There is no descriptor. */
  get fd(): number;
  /** The connection's number in the stack, or -1. */
  get id(): number;
  /** Whether the connection came about (and may be over by now). */
  get connected(): boolean;
  /** Begins to connect; `done` is called with 0 or a negative errno. Returns 0 or the errno of an immediate failure. */
  connect(address: string, port: number, localAddress: string | undefined, localPort: number | undefined, done: (errno: number) => void, fastOpen?: boolean): number;
  readStart(): number;
  readStop(): number;
  /** Takes back what was handed out and not wanted yet; it comes again after `readStart`. */
  putBack(chunk: Buffer): void;
  /**
   * Sends `chunks`. Returns 0 if the stack took them all, a negative errno if it failed at once, or 1 if `done` will be
   * called with one of these.
   */
  write(chunks: Uint8Array[], done: (errno: number) => void): number;
  /** Sends what the stack takes of `chunk`: how many bytes, or a negative errno. The rest is for `write`. */
  writeSome(chunk: Uint8Array): number;
  /**
   * Sends a text, and another or bytes after it, without making buffers of them. Returns 0 if the stack took them all, a
   * negative errno if it failed at once, or 1 where they have to be written as bytes: then nothing was taken.
   */
  writeText(first: string, encoding: string, second?: string | Uint8Array, secondEncoding?: string): number;
  /** FIN after what was written. Returns 0, or a negative errno. `done` is called before the peer's answer. */
  shutdown(done: () => void): number;
  /** Lets the connection go: what was written is still sent. `done` is called in a later turn. */
  close(done?: () => void): void;
  /** Lets the connection go with a RST. */
  reset(done?: () => void): number;
  setNoDelay(enable: boolean): number;
  /** `initialDelay` in seconds, as Node's handles have it, `interval` in ms; 0 keeps the stack's default. */
  setKeepAlive(enable: boolean, initialDelay: number, interval?: number, count?: number): number;
  /** 0 turns it off. */
  setUserTimeout(ms: number): number;
  setTypeOfService(tos: number): number;
  getTypeOfService(): number;
  setCongestionControl(name: string): number;
  info(): NativeInfo | null;
  getsockname(out: AddressOut): number;
  getpeername(out: AddressOut): number;
  ref(): void;
  unref(): void;
  hasRef(): boolean;
  onData(slab: number, offset: number, length: number): void;
  onRecord(kind: RecordKind, a: number): void;
  onStackClose(): void;
}
declare class ServerHandle extends AsyncResource implements ListenerSink {
  #private;
  owner: {
    close(): unknown;
  } | null;
  /** Called for each connection, in the listener's async context. `this` is the handle. */
  onconnection: ((this: ServerHandle, errno: number, handle: SocketHandle) => void) | null;
  private constructor();
  /** Listens, or returns the negative errno of why not. With `reusePort`, beside others that do so too. */
  static listen(reactor: Reactor, address: string, port: number, backlog: number, ipv6Only: boolean, reusePort?: boolean, fastOpen?: number): ServerHandle | number;
  get fd(): number;
  getAsyncId(): number;
  getsockname(out: AddressOut): number;
  ref(): void;
  unref(): void;
  hasRef(): boolean;
  close(done?: () => void): void;
  onAccept(id: number): void;
  onStackClose(): void;
}
interface SocketOptions extends Omit<realNet.SocketConstructorOpts, "fd"> {
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
interface KeepAliveOptions {
  /** Whether an idle connection is probed. Default false. */
  enable?: boolean;
  /** Idle time before the first probe, ms. 0, the default: 2 hours, or what was set before. */
  initialDelay?: number;
  /** Time between probes, ms. Default 75 seconds. */
  interval?: number;
  /** Unanswered probes before the connection is given up, 1-255. Default 9. */
  count?: number;
}
interface MoreEvents {
  /**
   * A delivery problem that does not end the connection (RFC 9293 section 3.9.1.8): an ICMP error about what is in flight,
   * or three and more retransmissions in a row. Who does not listen is not told.
   */
  on(event: "errorReport", listener: (report: ErrorReport) => void): this;
  once(event: "errorReport", listener: (report: ErrorReport) => void): this;
  off(event: "errorReport", listener: (report: ErrorReport) => void): this;
  addListener(event: "errorReport", listener: (report: ErrorReport) => void): this;
  removeListener(event: "errorReport", listener: (report: ErrorReport) => void): this;
  prependListener(event: "errorReport", listener: (report: ErrorReport) => void): this;
  prependOnceListener(event: "errorReport", listener: (report: ErrorReport) => void): this;
}
type Socket = MoreEvents & Connection;
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
declare const kNet: unique symbol;
declare const kHandle: unique symbol;
declare const kTimeout: unique symbol;
declare const kLastWriteQueueSize: unique symbol;
declare const kBuffer: unique symbol;
declare const kBufferCallback: unique symbol;
declare const kBufferGenerator: unique symbol;
declare const kBytesRead: unique symbol;
declare const kBytesWritten: unique symbol;
declare const kNoDelay: unique symbol;
declare const kKeepAlive: unique symbol;
declare const kKeepAliveProbes: unique symbol;
declare const kKeepAliveInitialDelay: unique symbol;
declare const kCongestion: unique symbol;
declare const kUserTimeout: unique symbol;
declare const kTypeOfService: unique symbol;
declare const kFastOpen: unique symbol;
declare const kEarlyWrite: unique symbol;
declare const kBlockList: unique symbol;
declare const kUsernetSocket: unique symbol;
interface ServerOptions extends realNet.ServerOpts {
  /** Connections from these addresses are closed without a word. */
  blockList?: realNet.BlockList;
  /** The congestion control of the connections it accepts. Default: the stack's. */
  congestion?: CongestionControl;
}
interface Server extends realNet.Server {
  /** Ends a server that listens; resolves once it is closed. */
  [Symbol.asyncDispose](): Promise<void>;
}
type ConnectionListener = (socket: Socket) => void;
declare class ServerImpl extends EventEmitter {
  #private;
  /** The `net` this server belongs to; on the prototype of each stack's own constructor. */
  readonly [kNet]: NetContext;
  allowHalfOpen: boolean;
  pauseOnConnect: boolean;
  noDelay: boolean;
  [kCongestion]: CongestionControl | undefined;
  keepAlive: boolean;
  keepAliveInitialDelay: number;
  highWaterMark: number;
  blockList: realNet.BlockList | undefined;
  maxConnections: number;
  _connections: number;
  _handle: ServerHandle | null;
  _unref: boolean;
  _listeningId: number;
  _connectionKey: string;
  _usingWorkers: boolean;
  [kFastOpen]: number | undefined;
  constructor(options?: ServerOptions | ConnectionListener, connectionListener?: ConnectionListener);
  get listening(): boolean;
  /** Begins to listen; the forms are those of `net.Server.listen`, but for pipes, descriptors and handles. */
  listen(...args: unknown[]): this;
  /** Node's name for the step that programs wrap. `address` null is every address, both families. */
  _listen2(address: string | null, port: number, addressType: number, backlog: number, _fd?: number, flags?: number): void;
  address(): realNet.AddressInfo | null;
  getConnections(callback: (error: Error | null, count: number) => void): this;
  close(callback?: (error?: Error) => void): this;
  [Symbol.asyncDispose](): Promise<void>;
  _emitCloseIfDrained(): void;
  ref(): this;
  unref(): this;
  [EventEmitter.captureRejectionSymbol](error: Error, event: string | symbol, ...args: unknown[]): void;
}
interface Listening extends EventEmitter {
  [kFastOpen]?: number | undefined;
  allowHalfOpen: boolean;
  pauseOnConnect: boolean;
  noDelay: boolean;
  [kCongestion]?: CongestionControl | undefined;
  keepAlive: boolean;
  keepAliveInitialDelay: number;
  highWaterMark: number;
  maxConnections: number;
  blockList?: realNet.BlockList | undefined;
  _connections: number;
  _handle: ServerHandle | null;
  _unref: boolean;
  _connectionKey: string;
  _emitCloseIfDrained(): void;
  close(callback?: (error?: Error) => void): unknown;
  unref(): unknown;
}
type Gathered = Array<{
  chunk: string | Uint8Array;
  encoding: BufferEncoding;
}>;
type WriteCallback = (error?: Error | null) => void;
declare class SocketImpl extends Duplex implements HandleOwner {
  #private;
  /** The `net` this socket belongs to; on the prototype of each stack's own constructor. */
  readonly [kNet]: NetContext;
  readonly [kUsernetSocket]: true;
  [kHandle]: SocketHandle | null;
  [kTimeout]: NodeJS.Timeout | null;
  [kLastWriteQueueSize]: number;
  [kBuffer]: Uint8Array | true | null;
  [kBufferCallback]: ((length: number, buffer: Uint8Array) => unknown) | null;
  [kBufferGenerator]: (() => Uint8Array) | null;
  [kBytesRead]: number;
  [kBytesWritten]: number;
  [kNoDelay]: boolean;
  [kFastOpen]: boolean | undefined;
  [kEarlyWrite]: (() => void) | null | undefined;
  [kKeepAlive]: boolean;
  [kKeepAliveInitialDelay]: number;
  [kKeepAliveProbes]: KeepAliveOptions | undefined;
  [kUserTimeout]: number | undefined;
  [kTypeOfService]: number | undefined;
  [kCongestion]: CongestionControl | undefined;
  [kBlockList]: realNet.BlockList | undefined;
  connecting: boolean;
  server: Listening | null;
  timeout: number | undefined;
  autoSelectFamilyAttemptedAddresses: string[];
  /** Internal to Node's modules, which look at these on any socket. */
  _hadError: boolean;
  _parent: SocketImpl | null;
  _host: string | null;
  _server: Listening | null;
  _sockname: AddressOut | null;
  _peername: AddressOut | null;
  _aborted: boolean | undefined;
  _pendingData: string | Uint8Array | Gathered | null;
  _pendingEncoding: BufferEncoding | "";
  resetAndClosing: boolean | undefined;
  constructor(options?: SocketOptions);
  get _handle(): SocketHandle | null;
  set _handle(handle: SocketHandle | null);
  get _connecting(): boolean;
  get pending(): boolean;
  get readyState(): realNet.SocketReadyState;
  get bufferSize(): number | undefined;
  /** Begins a connection; the forms are those of `net.Socket.connect`. */
  connect(...args: unknown[]): this;
  setTimeout(msecs: number, callback?: () => void): this;
  _onTimeout(): void;
  /** Puts the idle timer back to its start. */
  _unrefTimer(): void;
  setNoDelay(enable?: boolean): this;
  /** `setKeepAlive(enable, initialDelay)`, the delay in ms, or one object, which can say interval and count too. */
  setKeepAlive(enable?: boolean | KeepAliveOptions, initialDelay?: number): this;
  /** How long written data may stay unacknowledged before the connection is given up (RFC 5482), ms; 0: the retries say. */
  setUserTimeout(ms: number): this;
  /** Sets the DSCP and ECN byte of outgoing packets, 0-255. */
  setTypeOfService(tos: number): this;
  /** The DSCP and ECN byte of outgoing packets. */
  getTypeOfService(): number;
  /** Chooses the congestion control; one under way goes on from the window that the one before left. */
  setCongestionControl(name: CongestionControl): this;
  /** The connection's inner state as `ss -ti` shows it. `null` where there is no connection. */
  info(): SocketInfo | null;
  address(): realNet.AddressInfo | Record<string, never>;
  get localAddress(): string | undefined;
  get localPort(): number | undefined;
  get localFamily(): string | undefined;
  get remoteAddress(): string | undefined;
  get remotePort(): number | undefined;
  get remoteFamily(): string | undefined;
  _getsockname(): AddressOut;
  _getpeername(): AddressOut;
  get bytesRead(): number;
  get _bytesDispatched(): number;
  get bytesWritten(): number | undefined;
  ref(): this;
  unref(): this;
  pause(): this;
  resume(): this;
  read(size?: number): ReturnType<Duplex["read"]>;
  destroySoon(): void;
  /** Closes with a RST. */
  resetAndDestroy(): this;
  _reset(): this;
  _read(size: number): void;
  _write(chunk: string | Uint8Array, encoding: BufferEncoding, callback: WriteCallback): void;
  _writev(chunks: Gathered, callback: WriteCallback): void;
  _final(callback: WriteCallback): void;
  _destroy(error: Error | null, callback: (error?: Error | null) => void): void;
  onHandleData(chunk: Buffer): void;
  onHandleEnd(): void;
  onHandleError(errno: number): void;
  onHandleReport(report: ErrorReport): void;
  onStackClose(): void;
}
declare class NetContext {
  #private;
  /** Finds the addresses of names where a socket brings no `lookup` of its own; undefined: `dns.lookup`. */
  lookup: typeof realDns.lookup | undefined;
  /** The constructors bound to this stack. */
  Socket: new (options?: object) => SocketImpl;
  Server: new (options?: object, listener?: (socket: SocketImpl) => void) => ServerImpl;
  /** `reactor` is called when the first socket connects or the first server listens. */
  constructor(reactor: () => Reactor);
  get reactor(): Reactor;
  /** Until set, what the real `net` says, command-line options included. */
  get autoSelectFamily(): boolean;
  set autoSelectFamily(value: boolean);
  /** Until set, what the real `net` says (ms). */
  get autoSelectFamilyAttemptTimeout(): number;
  set autoSelectFamilyAttemptTimeout(value: number);
}
interface RemoteInfo {
  address: string;
  family: "IPv4" | "IPv6";
  port: number;
  size: number;
}
type Lookup = typeof realDns.lookup;
type SocketType = "udp4" | "udp6";
interface DatagramSocketOptions extends AbortOptions {
  type: SocketType;
  /** Whether the address may be bound although another socket that allows it too has it (`SO_REUSEADDR`). */
  reuseAddr?: boolean;
  /** Whether the port may be shared with sockets that allow it too; each peer's datagrams go to one (`SO_REUSEPORT`). */
  reusePort?: boolean;
  /** Whether a `udp6` socket leaves IPv4 alone. */
  ipv6Only?: boolean;
  /** Bytes of the receive buffer; datagrams that do not fit are dropped and counted. */
  recvBufferSize?: number;
  /** Bytes of the send buffer. */
  sendBufferSize?: number;
  /** Finds the addresses of names. Default: `dns.lookup`. */
  lookup?: Lookup;
}
interface AbortOptions {
  /** Closes the socket. */
  signal?: AbortSignal;
}
type DatagramSocket = realDgram.Socket & {
  /** Counters of the socket, drops among them, and its buffers and queues in bytes; null before it is bound. */
  info(): NativeUdpInfo | null;
};
type MessageListener = (message: Buffer, info: RemoteInfo) => void;
interface DatagramSocketConstructor {
  new (type: "udp4" | "udp6" | DatagramSocketOptions, listener?: MessageListener): DatagramSocket;
  readonly prototype: DatagramSocket;
}
interface Dgram {
  createSocket(type: "udp4" | "udp6" | DatagramSocketOptions, listener?: MessageListener): DatagramSocket;
  Socket: DatagramSocketConstructor;
}
type Callback = (...args: unknown[]) => void;
type NormalizedArgs = [
  options: Record<string, unknown>,
  callback: Callback | null
];
interface SocketConstructor {
  new (options?: SocketOptions): Socket;
  (options?: SocketOptions): Socket;
  readonly prototype: Socket;
}
interface ServerConstructor {
  new (connectionListener?: (socket: Socket) => void): Server;
  new (options?: ServerOptions, connectionListener?: (socket: Socket) => void): Server;
  (connectionListener?: (socket: Socket) => void): Server;
  (options?: ServerOptions, connectionListener?: (socket: Socket) => void): Server;
  readonly prototype: Server;
}
type ConnectOptions = SocketOptions & realNet.TcpSocketConnectOpts & {
  /** Idle time, ms, after which `timeout` is emitted. */
  timeout?: number;
  /**
   * TCP Fast Open (RFC 7413): asks the server for a cookie, and once there is one, lets the first write go out on the SYN:
   * what is written in the same turn as `connect`, or within 10 ms. A server may get such data twice, so it suits requests
   * that can be repeated. Has no effect where several addresses of a name are tried in turn. Default false.
   */
  fastOpen?: boolean;
};
interface Connect {
  (options: ConnectOptions, connectionListener?: () => void): Socket;
  (port: number, host?: string, connectionListener?: () => void): Socket;
  (port: number, connectionListener?: () => void): Socket;
}
interface Net {
  connect: Connect;
  createConnection: Connect;
  createServer(connectionListener?: (socket: Socket) => void): Server;
  createServer(options?: ServerOptions, connectionListener?: (socket: Socket) => void): Server;
  Socket: SocketConstructor;
  /** Legacy name of `Socket`. */
  Stream: SocketConstructor;
  Server: ServerConstructor;
  isIP: typeof realNet.isIP;
  isIPv4: typeof realNet.isIPv4;
  isIPv6: typeof realNet.isIPv6;
  BlockList: typeof realNet.BlockList;
  SocketAddress: typeof realNet.SocketAddress;
  getDefaultAutoSelectFamily(): boolean;
  setDefaultAutoSelectFamily(value: boolean): void;
  getDefaultAutoSelectFamilyAttemptTimeout(): number;
  setDefaultAutoSelectFamilyAttemptTimeout(value: number): void;
  /** Node's internal normalization of arguments, which some libraries call. */
  _normalizeArgs(args: unknown[]): NormalizedArgs;
}
interface ResolverOptions {
  /** How long a server's answer is waited for, ms; twice as long in each further round. Default 2,000. */
  timeout?: number;
  /** Rounds through the servers before it gives up. Default 3. */
  tries?: number;
  /** Answers that are remembered, for as long as they may be; 0 remembers none. Default 1,000. */
  cache?: number;
}
interface DnsOptions extends ResolverOptions {
  /** Servers that are asked, in that order: `192.0.2.1`, `[2001:db8::1]:5353`. Default none. */
  servers?: string[];
  /** Names that need no server, as `/etc/hosts` has them. */
  hosts?: Record<string, string | string[]>;
}
interface FramePortStats {
  /** Frames the program handed in, and their bytes. */
  framesIn: number;
  bytesIn: number;
  /** Frames the program got, and their bytes. */
  framesOut: number;
  bytesOut: number;
  /** Frames that `write` did not take because there was no room. */
  dropped: number;
  /** Frames that `write` did not take because they were empty, or longer than the MTU and the Ethernet header. */
  invalid: number;
  /** Frames that wait for the program. */
  waiting: number;
}
interface FramePortEvents {
  /** The stack sends this. The memory is the program's to keep. */
  frame: [
    frame: Buffer
  ];
  /** There is room again after `write` gave false. */
  drain: [
  ];
  /** It is closed: by `close()`, or because the interface was removed or the stack closed. */
  close: [
  ];
}
declare class FramePort extends TypedEventEmitter<FramePortEvents> {
  #private;
  readonly kind = "port";
  /** What a frame begins with. */
  readonly medium: Medium;
  /** Largest packet, bytes, without Ethernet header. */
  readonly mtu: number;
  /** Ethernet: the stack's hardware address, where it was given. */
  readonly mac: string | undefined;
  /** Whether it is closed: nothing comes out any more, and `write` takes nothing. */
  get closed(): boolean;
  /**
   * Hands a frame to the stack, which gets a copy. False where it was not taken: there is no room (`drain` tells when there
   * is again), it is empty or too long, or the port is closed. Such a frame is lost unless it is written again, and
   * counted. Whatever is in it, the stack checks it.
   */
  write(frame: Uint8Array | ArrayBufferLike): boolean;
  /** Emits no `frame` until `resume()`. Frames wait then, and when `capacity` of them do, the stack waits. */
  pause(): this;
  /** Goes on after `pause()`. */
  resume(): this;
  /** Whether it is paused. */
  isPaused(): boolean;
  /** What has passed; the last there was once it is closed. */
  stats(): FramePortStats;
  /**
   * Closes it. What was written before reaches the stack still; then the interface is gone from its stack, which emits
   * `interface` with `lost`. Idempotent.
   */
  close(): void;
  /** As `close()`, for `using`. */
  [Symbol.dispose](): void;
}
interface TunDevice extends TunOptions {
  readonly kind: "tun";
}
interface LinkDevice {
  readonly kind: "link";
}
type Device = TunDevice | TapDevice | PacketDevice | UnixDevice | LinkDevice | FramePort;
type Medium = "ip" | "ethernet";
interface TunOptions {
  /** The interface's name, at most 15 bytes; `%d` in it is replaced by a number. Default: the system chooses (`tun0`). */
  name?: string;
  /** Whether to hand over and take segments of up to 64 KiB (TSO, USO, checksums). Default: where the system can. */
  offload?: boolean;
  /** Packets the interface queues, where it is permitted to set that. Default 5,000. */
  queueLength?: number;
  /**
   * Queues of the interface, 1-64: with more than one (Linux's `IFF_MULTI_QUEUE`) so many threads move its packets, and TCP
   * connections are shared out among them. Useful where processors outnumber them. Not for `tap()`, nor with `fd` or
   * `impairment`; a persistent interface has to have been made so (`ip tuntap add .. multi_queue`). Default 1.
   */
  queues?: number;
  /** Whether to set the interface up. Default true. */
  up?: boolean;
  /** What is done to the packets of each direction. Turns `offload` off: each packet is one as on a wire. */
  impairment?: Impairment;
  /**
   * Addresses of the kernel's side, each with the length of its prefix: how programs on kernel sockets reach the stack.
   * Default none.
   */
  kernelAddresses?: string[];
  /**
   * A descriptor that somebody else opened and attached (a parent process, a privileged helper), in place of opening one.
   * The stack works on a duplicate; the interface's settings are left as they are.
   */
  fd?: number;
}
interface Impairment {
  /** Probability that a packet is lost, 0-1. */
  loss?: number;
  /** Probability that a packet arrives twice, 0-1. */
  duplicate?: number;
  /** Probability that a packet is held back so that later ones overtake it, 0-1. */
  reorder?: number;
  /** How long such a packet is held back at most, ms. Default 10. */
  reorderBy?: number;
  /** Probability that one bit of a packet is flipped, 0-1. */
  corrupt?: number;
  /** One way, ms. */
  delay?: number;
  /** Random addition to the delay, ms. It changes no order. */
  jitter?: number;
  /** bit/s. */
  rate?: number;
  /** Bytes that wait for the rate before the next packet is lost. Default 256 KiB. */
  queue?: number;
  /** Of the generator of the impairments. Default 0. */
  seed?: number;
}
interface InterfaceOptions {
  /** Where its packets come from and go to. */
  device: Device;
  /** Its addresses, each with the length of its prefix: `198.18.0.2/24`, `fd00::2/64`. */
  addresses: string[];
  /** Its name in this stack. Default: that of the TUN, or `link0`, `link1`... */
  name?: string;
  /**
   * Ethernet: whether routers are asked for and believed: default routes, addresses formed of their prefixes, MTU (RFC
   * 4861, RFC 4862). Default false.
   */
  slaac?: boolean;
  /**
   * Ethernet, with `forwarding`: whether the stack tells the hosts of the link that it is a router: a default router, with
   * the prefixes of its IPv6 addresses, of which they form their own, and the MTU (RFC 4861 section 6.2). Default false.
   */
  routerAdvertisements?: boolean;
  /**
   * Ethernet: whether addresses are checked for being in use. `optimistic` (the default) uses them at once: IPv4 ones are
   * asked for and announced, IPv6 ones asked for (RFC 4429), and one that turns out to be somebody else's is given up.
   * `strict` takes them into use when that is over (1-2 s, IPv4 4-7 s); `off` only announces them.
   */
  duplicateAddressDetection?: "optimistic" | "strict" | "off";
  /**
   * Ethernet: the key, 16 bytes, of the interface identifiers that IPv6 addresses are formed with (RFC 7217): the same key,
   * hardware address and prefix give the same address again. Default: one of this stack's own, another each time.
   */
  identifierKey?: Uint8Array;
  /**
   * The path of a file, which is made anew, that gets what passes as pcapng, for Wireshark and tcpdump. It is complete
   * when the interface is removed or the stack closed.
   */
  capture?: string;
  /** Ethernet: the stack's hardware address on it. Default: the device's `mac`, or a random one. */
  mac?: string;
  /** Largest packet, bytes. Default, and most: the device's. At least 576 (RFC 791), with an IPv6 address 1,280 (RFC 8200). */
  mtu?: number;
  /**
   * Whether every unicast destination that comes in is the stack's; sockets then have the address that was meant as
   * `localAddress`. Default false.
   */
  acceptAny?: boolean;
}
interface RouteOptions {
  /** A prefix such as `192.0.2.0/24`, or `default`: everything of the next hop's family. */
  to: string;
  /** The next hop, on the link of an interface. */
  via?: string;
  /** The name of the interface. Default: the one whose link `via` is on. */
  interface?: string;
}
interface BufferSize {
  /** What it may hold however short the stack's memory is. */
  min?: number;
  /** What it begins with; `max` where that is less. */
  default?: number;
  /** What it grows to at most. */
  max?: number;
}
declare const ECN_POLICIES: readonly [
  "off",
  "classic",
  "passive",
  "accurate",
  "accurate-classic",
  "accurate-passive"
];
type EcnPolicy = (typeof ECN_POLICIES)[number];
interface StackOptions {
  /** The interfaces it begins with. Default none. */
  interfaces?: InterfaceOptions[];
  /** The routes it begins with. Default none. */
  routes?: RouteOptions[];
  /** Whether it has 127.0.0.0/8 and ::1. Default true. */
  loopback?: boolean;
  /**
   * Receive buffer of a connection: the most that its advertised window can be. A number fixes it; else it grows with what
   * is read in a round trip. Default `{ min: 4096, default: 1048576, max: 6291456 }`.
   */
  recvBuffer?: number | BufferSize;
  /**
   * Send buffer of a connection. A number fixes it; else it grows with the congestion window. Default
   * `{ min: 16384, default: 1048576, max: 4194304 }`.
   */
  sendBuffer?: number | BufferSize;
  /**
   * Bytes that all receive buffers together may hold. From three quarters of it on none grows; from all of it on each has
   * its `min`, and a quarter beyond it what exceeds that is dropped and comes again. Default 256 MiB.
   */
  maxReceiveMemory?: number;
  /** Bytes that all send buffers together may hold; the same steps, without dropping. Default 256 MiB. */
  maxSendMemory?: number;
  /** Most half-open connections of a server; its backlog, 1,024 at least, up to this. Default 4,096. */
  maxSynBacklog?: number;
  /**
   * SYN cookies (RFC 4987): answers SYNs without keeping anything of them while a server's SYN queue is full (`true`, the
   * default), never (`false`), or always.
   */
  synCookies?: boolean | "always";
  /** How long written data may stay unacknowledged before a connection is given up (RFC 5482), ms. 0, the default: until
   * the retries are used up, some 15 minutes. */
  userTimeout?: number;
  /**
   * Whether `userTimeout` is told to the peer, and the peer's is taken where this end has none, between 100 s and an hour
   * (the option of RFC 5482). Default false.
   */
  userTimeoutOption?: boolean;
  /**
   * Whether an ICMP error that may pass (net or host unreachable, time exceeded, parameter problem) ends a connection that
   * is being opened, at once and with that error, as in Linux (RFC 5461 section 4.2). Good for who tries addresses one after
   * the other and wants to hear in a round trip, not in minutes, that one cannot be reached; but a route that is just
   * changing ends it too. Default false (RFC 9293 section 3.9.2.2): `errorReport` tells of it, connecting goes on, and when
   * its time is over that error is its outcome in the place of `ETIMEDOUT`. Errors that do not pass (port unreachable,
   * administratively prohibited, no route here, nobody at the address on our own link) end it either way.
   */
  failConnectOnSoftError?: boolean;
  /**
   * TTL, or hop limit, of the packets of connections (RFC 9293 section 3.9.2), 1-255. Default 64. Over IPv6 what a router
   * advertises takes its place.
   */
  ttl?: number;
  /** Least retransmission timeout, ms. Default 200 as in Linux; RFC 6298 section 2.4 would have 1,000. */
  rtoMin?: number;
  /** Greatest retransmission timeout, ms. Default 120,000; at least 60,000 by RFC 6298 section 2.5. */
  rtoMax?: number;
  /**
   * Whether paths are probed for the packets they take (RFC 4821), beside what routers report: `'blackHole'`, the default,
   * when large packets seem to vanish; `'always'`; `'off'`.
   */
  mtuProbing?: "off" | "blackHole" | "always";
  /** How long a connection stays in TIME-WAIT (RFC 9293 section 3.6.1), ms. */
  timeWait?: number;
  /** Most connections at a time; further ones are refused. */
  maxConnections?: number;
  /** Whether packets for others are passed on between interfaces: a router (RFC 1812). Default false. */
  forwarding?: boolean;
  /** Most flows that wait for a decision of `onConnection`; further ones are dropped and counted. Default 4,096. */
  maxFlows?: number;
  /** How long a flow waits for a decision before it is forgotten, and a dropped one is remembered, ms. Default 30,000. */
  flowTimeout?: number;
  /** How long an accepted UDP flow may be idle before its socket closes, ms. Default 120,000 (RFC 4787 section 4.3). */
  udpFlowIdle?: number;
  /** Names: servers that the stack asks, and hosts it knows. With either, names that its sockets use are looked up so. */
  dns?: DnsOptions;
  /**
   * Explicit congestion notification, as Linux's `tcp_ecn`: `off`; `classic` (1) asks for RFC 3168 and agrees to it;
   * `passive` (2) agrees when asked; `accurate` (3) asks for AccECN (RFC 9768) and agrees to both; `accurate-classic` (4)
   * asks for RFC 3168 and agrees to both; `accurate-passive` (5) agrees to both. Default `passive`.
   */
  ecn?: EcnPolicy;
  /** Whether to emit the events of the trace: state changes, retransmissions, congestion. Default false. */
  trace?: boolean;
  /** The congestion control of sockets that choose none. Default `cubic`. */
  congestion?: CongestionControl;
  /**
   * Whether a congestion window is spread over its round trip instead of leaving in bursts, as Linux does with the `fq`
   * queueing discipline. Default false; `bbr` paces whatever this says.
   */
  pacing?: boolean;
  /**
   * Which thread handles packets. `loop`: the event loop while it keeps up, which is fastest, and the stack's own thread
   * within a millisecond when JavaScript is busy; throws where the runtime has no libuv loop. `thread`: the stack's own
   * thread alone. Default `auto`: `loop` where that can be had. The environment variable `USERNET_DRIVE` sets the default.
   */
  drive?: "auto" | "loop" | "thread";
  /**
   * For how long the event loop, where it drives, looks for more before it goes to sleep after packets came, microseconds,
   * 0-1,000; whatever else the loop has to do comes first. Saves the wake-up of an answer that comes within it, and costs the
   * processor. 0: never. Default: 50 while what comes is one or two small packets at a time, at most 100 microseconds apart,
   * eight times in a row, and until nothing came once. Linux has the same by this name (`net.core.busy_poll`).
   */
  busyPoll?: number;
}
declare const CONGESTION_CONTROLS: readonly [
  "cubic",
  "newreno",
  "bbr"
];
type CongestionControl = (typeof CONGESTION_CONTROLS)[number];
type TcpState = "CLOSED" | "LISTEN" | "SYN-SENT" | "SYN-RECEIVED" | "ESTABLISHED" | "FIN-WAIT-1" | "FIN-WAIT-2" | "CLOSE-WAIT" | "CLOSING" | "LAST-ACK" | "TIME-WAIT";
interface SocketInfo {
  /** State of the connection. */
  state: TcpState;
  /** Smoothed round-trip time (RFC 6298), ms; 0 before the first sample. */
  srtt: number;
  /** Its variation, ms. */
  rttvar: number;
  /** Least round-trip time seen, ms; 0 before the first sample. */
  min_rtt: number;
  /** Retransmission timeout in force, backoff included, ms. */
  rto: number;
  /** Times in a row that the timeout was doubled. */
  backoff: number;
  /** Send MSS: payload of a full segment, options subtracted, bytes. */
  mss: number;
  /** MSS that the peer announced, bytes. */
  peer_mss: number;
  /** Path MTU, bytes. */
  pmtu: number;
  /** Congestion window, bytes. */
  cwnd: number;
  /** Slow start threshold, bytes; 4,294,967,295 until the first loss, and for `bbr`, which has none. */
  ssthresh: number;
  /** The peer's receive window, bytes. */
  snd_wnd: number;
  /** The receive window that the peer was told, bytes. */
  rcv_wnd: number;
  /** The shift of the peer's windows (RFC 7323); missing when windows are not scaled. */
  snd_wscale?: number;
  /** The shift of ours; missing when windows are not scaled. */
  rcv_wscale?: number;
  /** Whether timestamps are in use (RFC 7323). */
  timestamps: boolean;
  /** Whether SACK is in use (RFC 2018). */
  sack: boolean;
  /** Bytes in the network: sent, and neither acknowledged, SACKed nor deemed lost (the pipe of RFC 6675). */
  in_flight: number;
  /** Sequence space sent and not acknowledged, SACKed and lost parts included, bytes. */
  unacked: number;
  /** Bytes the peer holds ahead of a gap, as its SACKs say. */
  sacked: number;
  /** Bytes deemed lost and not acknowledged, sent again or not. */
  lost: number;
  /** Bytes sent again that are in the network. */
  retrans_out: number;
  /** What was written and is not acknowledged, sent or not, bytes. */
  send_queue: number;
  /** Of that, what was not sent, bytes. */
  unsent: number;
  /** What arrived and was not read, bytes. */
  recv_queue: number;
  /** What arrived ahead of a gap, bytes. */
  ooo_queue: number;
  /** How large the send buffer is now, bytes: it grows with the path. */
  send_buffer: number;
  /** How large the receive buffer is now, bytes. */
  recv_buffer: number;
  /** Round-trip time as the receiver sees it, ms; 0 before it is known, and while the receive buffer is of a fixed size. */
  rcv_rtt: number;
  /** Payload sent, retransmissions included, bytes. */
  bytes_sent: number;
  /** Payload that the peer acknowledged, bytes. */
  bytes_acked: number;
  /** Payload received in order, bytes. */
  bytes_received: number;
  /** Payload sent again, bytes. */
  bytes_retrans: number;
  /** Segments sent; one that the device cuts counts as what it is cut into. */
  segs_out: number;
  /** Segments received. */
  segs_in: number;
  /** Of those sent, segments with data. */
  data_segs_out: number;
  /** Of those received, segments with data. */
  data_segs_in: number;
  /** Time since data was sent last (`lastsnd`), ms; the handshake counts. */
  last_data_sent: number;
  /** Time since data came last (`lastrcv`), ms; the handshake counts. */
  last_data_recv: number;
  /** Time since an acknowledgement came last (`lastack`), ms. */
  last_ack_recv: number;
  /** How long an acknowledgement waits for company, as it adapts, ms; 0 before any data came. */
  ato: number;
  /** The largest segment that came lately, bytes. */
  rcv_mss: number;
  /** The MSS that this end announces, bytes. */
  advmss: number;
  /** Segments that arrived ahead of a gap. */
  rcv_ooopack: number;
  /** Segments that the peer says it got twice (D-SACK, RFC 2883). */
  dsack_dups: number;
  /**
   * Bytes to read to get to the end of the peer's urgent data (RFC 6093); absent when there is none. Urgent data is read
   * in line.
   */
  urgent?: number;
  /**
   * How long written data may stay unacknowledged, ms: what was set, or what the peer told (RFC 5482); absent where the
   * number of retransmissions decides.
   */
  user_timeout?: number;
  /**
   * The last soft error since anything was acknowledged (RFC 9293 section 3.9.2.2), such as `EHOSTUNREACH`: what the
   * connection ends with should its time be over before anything is; absent where there is none.
   */
  soft_error?: string;
  /** Segments sent again. */
  retrans: number;
  /** Times the retransmission timer ran out. */
  timeouts: number;
  /** Duplicate acknowledgements received (RFC 5681). */
  dup_acks: number;
  /** How far segments were seen to arrive behind later ones, segments; 3 until more was seen. */
  reordering: number;
  /** Times a segment was seen to. */
  reord_seen: number;
  /** Congestion notification agreed on: none, RFC 3168's, or AccECN (RFC 9768). */
  ecn: "off" | "classic" | "accurate";
  /** Whether a packet of the peer's was ECN-capable. */
  ecn_seen: boolean;
  /** Packets of ours that the network marked, as the peer tells. */
  delivered_ce: number;
  /** Packets of the peer's that arrived marked. */
  received_ce: number;
  /** Whether data on the SYN arrived with it (Fast Open, RFC 7413). */
  syn_data: boolean;
  /** The congestion control in force. */
  congestion: CongestionControl;
  /**
   * What loss recovery is doing: nothing; waiting whether it is reordering; reducing the window for marks (ECN); fast
   * recovery; recovery after a timeout.
   */
  ca_state: "open" | "disorder" | "cwr" | "recovery" | "loss";
  /** Bytes delivered, cumulatively or selectively. */
  delivered: number;
  /** The last sample of the delivery rate that counts, bytes a second; 0 before the first. */
  delivery_rate: number;
  /** Whether the application, and not the network, limited that sample. */
  delivery_rate_app_limited: boolean;
  /** Whether the application limits the rate now: it gives less than could be sent. */
  app_limited: boolean;
  /** The rate at which a window is spread, or would be if it were paced, bytes a second; 0 before the first sample. */
  pacing_rate: number;
  /** Whether sending is paced. */
  paced: boolean;
  /** Time with something to send or in the network, ms. */
  busy: number;
  /** Of that, time limited by the peer's receive window, ms. */
  rwnd_limited: number;
  /** Of that, time limited by the size of the send buffer, ms. */
  sndbuf_limited: number;
}
declare const enum RecordKind {
  /** Data: a = slab, b = offset, c = length. Never longer than 65,536 bytes. Never for a socket that is `readStop`ped. */
  Data = 1,
  /** The peer's FIN, after the last data. */
  End = 2,
  /** A connection that `connect` began is established. */
  Connect = 3,
  /** The connection ended with an error: a = errno (positive). Nothing but Closed follows. */
  Error = 4,
  /** There is room in the send queue after a short `write`. */
  Writable = 5,
  /**
   * A listener accepted: id is the listener's; a = index, b = generation of the new socket. Its data is reported from here on,
   * until `readStop`.
   */
  Accept = 6,
  /** All that was sent, FIN included, is acknowledged, or there is no more hope for it. */
  Flushed = 7,
  /** The connection is gone; the id is stale from here on. TIME-WAIT counts as gone. */
  Closed = 8,
  /** A UDP socket's datagram: a = slab (-1: it is empty), b = offset, c = length. Its source follows, with its interface. */
  Datagram = 9,
  /** What an earlier datagram of a connected UDP socket met: a = errno (positive). */
  UdpError = 10,
  /** There is room in the send buffer after `udpSend` said -EAGAIN. */
  UdpWritable = 11,
  /** A UDP socket is gone: a = errno (positive), or 0 when it was a flow idle for too long. Its id is stale. */
  UdpClosed = 12,
  /** A raw socket's packet, as Datagram. Source (in place of the port the hop limit, and the interface) and destination
   * (in place of the port the traffic class) follow. */
  Raw = 13,
  RawWritable = 14,
  /** A ping's outcome: a = PingResult, b = round trip in us, c = ns of the last of them. Who spoke follows: in place of the
   * port what the result's comment says first, then as the last number what it says second. The id is stale. */
  Ping = 15,
  /** A flow waits for a decision: id = its two halves, a = 0 for TCP and 1 for UDP, b = interface. Local and remote end
   * follow. */
  Flow = 16,
  /** Watched frames wait: the id's first half is the interface. */
  Frames = 17,
  /** A frame port has frames, or room again: likewise. */
  Port = 18,
  /** Of an interface (the id's first half): a = InterfaceNews, b = its AddressState. The address follows, if it is of one. */
  Interface = 19,
  /** Of a socket: a delivery problem was reported, `takeReport` gives it. */
  Report = 20
}
declare const enum InterfaceNews {
  Lost = 0,
  Up = 1,
  Down = 2,
  AddressAdded = 3,
  AddressChanged = 4,
  AddressRemoved = 5,
  AddressContested = 6
}
type NativeStats = Record<string, number>;
type NativeInfo = SocketInfo;
interface NativeAddress {
  address: string;
  port: number;
  family: "IPv4" | "IPv6";
}
interface NativeNeighbor {
  /** The name of the interface. */
  interface: string;
  address: string;
  /** Its hardware address, where it is known. */
  mac?: string;
  /** What is known of its reachability (RFC 4861 section 7.3.2). */
  state: "incomplete" | "reachable" | "stale" | "delay" | "probe" | "failed" | "permanent";
  /** Whether it is a router (IPv6). */
  router: boolean;
}
interface NativeInterfaceOptions {
  name: string;
  mtu?: number;
  addresses: string[];
  slaac?: boolean;
  routerAdvertisements?: boolean;
  duplicateAddressDetection?: "optimistic" | "strict" | "off";
  identifierKey?: Uint8Array;
  capture?: string;
  /** It is a port of the stack's bridge. */
  bridge?: boolean;
  mac?: string;
  acceptAny?: boolean;
  device: {
    kind: "tun";
    name?: string;
    offload?: boolean;
    queueLength?: number;
    queues?: number;
    up?: boolean;
    impairment?: NativeImpairment;
    kernelAddresses?: string[];
    fd?: number;
  } | {
    kind: "tap";
    name?: string;
    offload?: boolean;
    queueLength?: number;
    up?: boolean;
    impairment?: NativeImpairment;
    kernelAddresses?: string[];
    fd?: number;
    mac?: string;
    kernelMac?: string;
  } | {
    kind: "packet";
    interface: string;
    mac?: string;
    impairment?: NativeImpairment;
  } | {
    kind: "unix";
    connect?: string;
    listen?: string;
    local?: string;
    remote?: string;
    mac?: string;
    impairment?: NativeImpairment;
  } | {
    kind: "link";
    link: NativeLinkEnd;
  } | {
    kind: "port";
    port: NativePort;
    mac?: string | undefined;
    impairment?: NativeImpairment | undefined;
  };
}
type NativeLinkEnd = object;
interface NativePort {
  /** 0; -EAGAIN: no room (news tell of it again); -EMSGSIZE: empty or too long; -EPIPE: the stack let its end go. */
  write(frame: Uint8Array): number;
  /** Up to so many frames, oldest first; null once it is closed. */
  take(most: number): Buffer[] | null;
  hasRoom(): 0 | 1;
  stats(): {
    framesIn: number;
    bytesIn: number;
    framesOut: number;
    bytesOut: number;
    dropped: number;
    invalid: number;
    waiting: number;
  } | null;
  close(): void;
}
interface NativeLinkOptions extends NativeImpairment {
  medium?: "ip" | "ethernet";
  mtu?: number;
  capacity?: number;
}
interface NativeImpairment {
  loss?: number;
  duplicate?: number;
  reorder?: number;
  reorderBy?: number;
  corrupt?: number;
  delay?: number;
  jitter?: number;
  rate?: number;
  queue?: number;
  seed?: number;
}
interface NativeStackOptions {
  loopback?: boolean;
  recvBuffer?: number | {
    min?: number;
    default?: number;
    max?: number;
  };
  sendBuffer?: number | {
    min?: number;
    default?: number;
    max?: number;
  };
  maxReceiveMemory?: number;
  maxSendMemory?: number;
  maxSynBacklog?: number;
  synCookies?: boolean | "always";
  userTimeout?: number;
  userTimeoutOption?: boolean;
  failConnectOnSoftError?: boolean;
  ttl?: number;
  rtoMin?: number;
  rtoMax?: number;
  mtuProbing?: string;
  timeWait?: number;
  maxConnections?: number;
  ecn?: string;
  forwarding?: boolean;
  maxFlows?: number;
  flowTimeout?: number;
  udpFlowIdle?: number;
  trace?: boolean;
  congestion?: string;
  pacing?: boolean;
  drive?: "auto" | "loop" | "thread";
  busyPoll?: number;
  /** Whether received bytes may be shown where they lie, in external buffers. Default: where the runtime allows them. */
  externalBuffers?: boolean;
  /** Whether segments are merged on receive, where the device does not do so. Default: yes. */
  coalesce?: boolean;
  bridgeAgeing?: number | undefined;
  bridgeEntries?: number | undefined;
}
type NativeUdpOption = "broadcast" | "ttl" | "multicastTtl" | "multicastLoopback" | "multicastInterface" | "recvBuffer" | "sendBuffer" | "trafficClass" | "dontFragment";
interface NativeUdpInfo {
  /** Datagrams received. */
  datagrams_in: number;
  /** Bytes of data received. */
  bytes_in: number;
  /** Datagrams sent. */
  datagrams_out: number;
  /** Bytes of data sent. */
  bytes_out: number;
  /** Datagrams dropped because the receive buffer was full. */
  drops: number;
  /** Bytes in the receive buffer, bookkeeping included. */
  recv_queue: number;
  /** Bytes that wait in the stack to be transmitted, headers included. */
  send_queue: number;
  /** Most bytes in the receive buffer. */
  recv_buffer: number;
  /** Most bytes in the send buffer. */
  send_buffer: number;
}
interface NativeFrame {
  outgoing: boolean;
  time: number;
  length: number;
  data: Buffer;
}
interface NativeDatagrams {
  /** flags: 1 reuseAddr, 2 reusePort, 4 ipv6Only. Returns the socket's id. */
  udpBind(address: string, port: number, flags: number, interfaceId: number): number;
  udpConnect(id: number, address: string, port: number): number;
  udpDisconnect(id: number): number;
  /**
   * Sends to a destination, or, of a connected socket, where it is connected to (address null). Returns the length. With
   * `waits` it may go out with others at the next `flush()`, or when much waits, or after a millisecond.
   */
  udpSend(id: number, data: Uint8Array, port: number, address: string | null, waits: boolean): number;
  udpSendv(id: number, pieces: Uint8Array[], port: number, address: string | null, waits: boolean): number;
  /** Whether there is a device that takes several datagrams at once, and a loop that may have them wait. */
  udpMerges(): boolean;
  /** Sends what waits. */
  flush(): void;
  udpClose(id: number): number;
  udpAddress(id: number): NativeAddress | null;
  udpRemoteAddress(id: number): NativeAddress | null;
  udpSet(id: number, option: NativeUdpOption, value: number): number;
  /** source '' means all sources. */
  udpMembership(id: number, join: boolean, group: string, interfaceId: number, source: string): number;
  udpInfo(id: number): NativeUdpInfo | null;
  /** recvBuffer 0 and checksumOffset -1 leave it to the stack. Returns the socket's id. */
  rawOpen(protocol: number, ipv6: boolean, interfaceId: number, hopLimit: number, recvBuffer: number, checksumOffset: number): number;
  rawSend(id: number, data: Uint8Array, address: string, source: string): number;
  rawClose(id: number): number;
  rawDrops(id: number): number;
  /** Returns the id of what Ping will report. timeout in ms. */
  ping(address: string, source: string, seq: number, size: number, hopLimit: number, timeout: number, dontFragment: boolean): number;
  pingCancel(id: number): number;
  /**
   * Returns the id of the TCP or UDP socket that the flow becomes; of TCP, Connect or Error follows. fastOpen is the most
   * flows that exchange data before their handshake is over.
   */
  flowAccept(index: number, version: number, fastOpen?: number): number;
  flowDecide(index: number, version: number, how: "reject" | "prohibit" | "drop" | "pass"): number;
  setInterface(id: number, name: "hold" | "acceptAny", on: boolean): number;
  addAddress(interfaceId: number, cidr: string): number;
  removeAddress(interfaceId: number, address: string): number;
  /** What has passed the ports of the bridge. */
  bridgePorts(): Array<Record<"interface" | "framesIn" | "bytesIn" | "framesOut" | "bytesOut" | "flooded" | "filtered" | "malformed" | "dropped", number>>;
  bridgeTable(): Array<{
    mac: string;
    interface: number;
    age: number;
  }>;
  /** Loopback among them, whose number is 0. */
  interfaces(): Array<{
    interface: number;
    name: string;
    mtu: number;
    up: boolean;
    mac?: string;
  }>;
  /** Throw where the system refuses, with its code and the remedy. */
  setMtu(interfaceId: number, mtu: number): number;
  setLink(interfaceId: number, up: boolean): number;
  addNeighbor(interfaceId: number, address: string, mac: string): number;
  removeNeighbor(interfaceId: number, address: string): number;
  routes(): Array<{
    to: string;
    via: string | null;
    interface: number;
  }>;
  /** Begins to queue frames for `takeFrames`, at most so many and so many bytes; 0 frames ends it. */
  watch(interfaceId: number, frames: number, bytes: number, snapLength: number): number;
  takeFrames(interfaceId: number): {
    frames: NativeFrame[];
    dropped: number;
    more: boolean;
  } | null;
}
interface NativeStreams {
  /** Adds an interface; returns its id, or throws an error with code, errno, syscall and the remedy in its message. */
  addInterface(options: NativeInterfaceOptions): number;
  removeInterface(id: number): number;
  /** `to` is a CIDR; `via` a next hop on the interface's link, or null. */
  addRoute(to: string, via: string | null, interfaceId: number): number;
  removeRoute(to: string): number;
  neighbors(): NativeNeighbor[];
  addresses(): Array<{
    interface: number;
    name: string;
    cidr: string;
  }>;
  /**
   * address '::' listens on both families unless ipv6Only. fastOpen is the most connections that exchange data before their
   * handshake is over (RFC 7413), 0 unless given. Returns the listener's id.
   */
  listen(address: string, port: number, backlog: number, ipv6Only: boolean, fastOpen?: number): number;
  listenerAddress(id: number): NativeAddress | null;
  closeListener(id: number): number;
  /**
   * Returns the socket's id; Connect or Error follows. localAddress '' and localPort 0 leave the choice to the stack. With
   * fastOpen what is written at once goes out on the SYN, where the server gave a cookie before.
   */
  connect(address: string, port: number, localAddress: string, localPort: number, fastOpen?: boolean): number;
  /** Copies into the send queue as much as fits; returns the bytes taken. Less than all: Writable follows. */
  write(id: number, data: Uint8Array): number;
  writev(id: number, chunks: Uint8Array[]): number;
  /**
   * Takes all of a text, and of what comes after it, or nothing: 0 where there is no room for all (after `shutdown` there is
   * none), and where that is more than 16 KiB. `latin1` has bit 0 set where the first is to be Latin-1, bit 1 for the second, which otherwise are UTF-8.
   */
  writeText(id: number, latin1: number, first: string, second?: string | Uint8Array): number;
  readStart(id: number): number;
  readStop(id: number): number;
  /** FIN after what is queued. */
  shutdown(id: number): number;
  /** Lets go: what is queued is still sent in the background. Flushed and Closed follow. */
  close(id: number): number;
  /** Lets go with a RST. Closed follows. */
  reset(id: number): number;
  localAddress(id: number): NativeAddress | null;
  remoteAddress(id: number): NativeAddress | null;
  /** Bytes in the send queue not yet acknowledged. */
  sendQueueSize(id: number): number;
  setNoDelay(id: number, on: boolean): number;
  /** ms; 0 keeps the stack's default. */
  /** 0 turns it off. */
  setUserTimeout(id: number, ms: number): number;
  setKeepAlive(id: number, on: boolean, initialDelay: number, interval: number, count: number): number;
  setTypeOfService(id: number, tos: number): number;
  getTypeOfService(id: number): number;
  /** Throws for a name that is none. */
  setCongestionControl(id: number, name: string): number;
  info(id: number): NativeInfo | null;
  /** Takes the next report of a delivery problem; null when there is none. */
  takeReport(id: number): ErrorReport | null;
  stats(): NativeStats;
  /**
   * Fills the events array with up to its capacity of records and returns their number; call again while it is full.
   * Called when the doorbell rang.
   */
  drain(): number;
  /**
   * The buffer that Data records name by index: memory outside V8 mostly, used again once nobody holds it. A record's bytes
   * are its receiver's to read and to write; what lies beside them is others', or changes.
   */
  slab(index: number): Buffer;
  /** Takes what the trace recorded: typed event objects (see src/events.ts). */
  takeTrace(): object[];
  /** Whether the doorbell keeps the event loop alive. Starts unref'd. */
  ref(): void;
  unref(): void;
  /** Resets every connection, joins the packet thread, closes the devices. Idempotent, no callback afterwards. */
  shutdownStack(): void;
}
interface NativeStack extends NativeStreams, NativeDatagrams {
}
interface NativeBinding {
  NativeStack: new (options: NativeStackOptions, events: Int32Array, doorbell: () => void) => NativeStack;
  /** The two ends of an in-process link. */
  createLink(options: NativeLinkOptions): [
    NativeLinkEnd,
    NativeLinkEnd
  ];
}
interface NativeNatOptions {
  kind?: "endpoint-independent" | "symmetric";
  addresses?: string[];
  tcpEstablished?: number;
  tcpTransitory?: number;
  udp?: number;
}
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
  discipline?: "drop-tail" | "codel";
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
}
/** A link between two nodes. */
export declare class Link {
  #private;
  /** The nodes at its ends. */
  readonly ends: readonly [
    NodeRef,
    NodeRef
  ];
  /** Changes settings, from now on; what is left out stays. */
  set(options: LinkOptions): void;
  /** Takes it down: what is on it is lost, and what is put on it. */
  down(): void;
  /** Sets it up again. */
  up(): void;
  /** What the direction that leads away from a node did so far. */
  stats(from?: NodeRef): LinkStats;
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
  between?: [
    first: number,
    last: number
  ];
}
/** What a rule does with them. */
export type RuleAction = "drop"
/** Keeps them until `release()` or `remove()`; at most 65,536, further ones are dropped. */
 | "hold"
/** Lets them wait, ms; later ones overtake them. */
 | {
  delay: number;
}
/** Sends this many more of each. */
 | {
  copy: number;
}
/** Flips bits of the byte at an offset, from the end where it is negative. Checksums are left as they are. */
 | {
  alter: {
    offset: number;
    xor?: number;
  };
}
/** Changes the packet's bytes in place, or gives others. Checksums are left as they are. As `when`, it only looks. */
 | {
  alter: (bytes: Buffer) => Uint8Array | undefined;
};
/** A rule on packets. */
export declare class Rule {
  #private;
  /** How many packets it was applied to. */
  get hits(): number;
  /** How many packets it holds. */
  get held(): number;
  /** Lets what it holds go on, in order; how many. */
  release(): number;
  /** Ends it; what it holds goes on. */
  remove(): void;
}
/** Something that goes wrong at one moment, on every link. */
export interface Fault {
  /** ms since the network began. */
  at: number;
  /** The link is down, or its ends are parted, for `duration`; or it gets other settings. */
  kind: "down" | "partition" | "settings";
  /** ms. */
  duration?: number;
  settings?: LinkSettings;
}
/** What goes wrong in a run. All of it follows from the seed. */
export interface FaultPlan {
  seed: number;
  /** Settings of links, from their first node to the second. */
  there: LinkSettings;
  /** Settings of links, from their second node to the first. */
  back: LinkSettings;
  faults: Fault[];
}
/** What a scenario gets. */
export interface Exploration {
  seed: number;
  plan: FaultPlan;
  /** A new network in virtual time, whose links do what the plan says. It runs by itself until the scenario settles. */
  network: Network;
}
/** What `explore()` takes besides. */
export interface ExploreOptions {
  /** Most virtual time a run may take, ms. Default a day. */
  limit?: number;
  /** Whether to look for the smallest plan that still fails, once one does. Default true. */
  shrink?: boolean;
  /** Further options of the networks. */
  network?: Omit<NetworkOptions, "seed" | "clock" | "plan">;
}
/** A scenario failed: with which seed, and with which plan at least. */
export declare class ExploreFailure extends Error {
  readonly code = "ERR_EXPLORE_FAILED";
  readonly name = "ExploreFailure";
  /** The smallest seed that fails. */
  readonly seed: number;
  /** The smallest plan found that fails with it. */
  readonly plan: FaultPlan;
  /** How many seeds were tried. */
  readonly tried: number;
  constructor(seed: number, plan: FaultPlan, tried: number, cause: unknown, explained: string);
}
/** The plan of a seed: settings of links from good to very bad; every second one has faults besides. */
export declare function faultPlan(seed: number): FaultPlan;
/**
 * Runs a scenario with the plan of each seed, in order, each on a network of its own, and rejects with the first that
 * fails: an `ExploreFailure` that names the seed and the smallest plan. `seeds`: their number (from 0)
 * or the seeds themselves. Resolves with how many were run.
 */
export declare function explore(seeds: number | Iterable<number>, scenario: (exploration: Exploration) => Promise<unknown> | unknown, options?: ExploreOptions): Promise<number>;
type StackAgent = https.Agent;
interface AnyDispatcher {
  close(): Promise<void>;
  destroy(error?: Error | null): Promise<void>;
  dispatch(options: object, handler: object): boolean;
}
type UndiciDispatcher = "dispatcher" extends keyof RequestInit ? RequestInit extends {
  dispatcher?: infer Dispatcher;
} ? NonNullable<Dispatcher> : never : AnyDispatcher;
interface DispatcherOptions {
  connect?: Record<string, unknown>;
  /** How long a connection may take to be made, ms; 0 is for ever. Default 10,000. */
  connectTimeout?: number;
  [option: string]: unknown;
}
type Http = typeof http;
type Https = typeof https;
type Tls = typeof realTls;
interface ProbeOptions {
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
interface PingOptions extends ProbeOptions {
  /** Requests, 1-65535. Default 4. */
  count?: number;
  /** From one request to the next, ms. Default 1,000. */
  interval?: number;
  /** TTL or hop limit, 1-255. Default 64. */
  ttl?: number;
}
interface TracerouteOptions extends ProbeOptions {
  /** Most hops to look at, 1-255. Default 30. */
  maxHops?: number;
  /** Requests a hop, 1-10. Default 3. */
  probes?: number;
}
interface PingReply {
  /** Sequence number, from 0. */
  seq: number;
  /**
   * `reply`, or what came instead: `timeout` (nothing), `ttl-exceeded`, `unreachable`, `too-big`, `parameter-problem` (an
   * ICMP error), `failed` (it could not be sent).
   */
  type: "reply" | "timeout" | "ttl-exceeded" | "unreachable" | "too-big" | "parameter-problem" | "failed";
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
interface PingStatistics {
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
interface TracerouteHop {
  /** How many hops away, from 1. */
  ttl: number;
  /** Who answered first, if anybody. */
  address: string | null;
  probes: PingReply[];
}
interface TraceroutePath {
  host: string;
  address: string;
  /** Whether the host itself answered. */
  reached: boolean;
  hops: TracerouteHop[];
}
declare const PROTOCOLS: {
  icmp: number;
  igmp: number;
  ipip: number;
  tcp: number;
  udp: number;
  gre: number;
  esp: number;
  icmpv6: number;
  ospf: number;
  sctp: number;
};
interface RawOptions {
  /** The protocol: its number, 0-255, or one of these names. */
  protocol: number | keyof typeof PROTOCOLS;
  /** Of IPv4 or IPv6. Default: 6 for `icmpv6`, else 4. */
  family?: 4 | 6;
  /** The name of the only interface it sends and receives through. Default: any. */
  interface?: string;
  /** TTL or hop limit of what it sends, 1-255. Default 64. */
  ttl?: number;
  /** Bytes of the receive buffer, bookkeeping included; packets that do not fit are dropped and counted. Default 212,992. */
  recvBufferSize?: number;
  /**
   * Where in what is sent over IPv6 the stack fills in a checksum, bytes (RFC 3542 section 3.1). For ICMPv6 it always
   * does.
   */
  checksumOffset?: number;
}
interface RawPacketInfo {
  /** Source address. */
  address: string;
  family: "IPv4" | "IPv6";
  /** Destination address. */
  destination: string;
  /** The name of the interface it came through. */
  interface: string;
  /** TTL or hop limit that it arrived with. */
  ttl: number;
  /** DSCP and ECN bits that it arrived with. */
  trafficClass: number;
  /** Bytes of what follows the IP header. */
  size: number;
}
interface RawSocketEvents {
  /** A packet of the protocol, without its IP header; the stack has handled it as if the socket were not there. */
  message: [
    packet: Buffer,
    info: RawPacketInfo
  ];
  /** There is room in the send buffer after a send failed with EAGAIN. */
  drain: [
  ];
  close: [
  ];
}
declare class RawSocket extends TypedEventEmitter<RawSocketEvents> {
  #private;
  readonly protocol: number;
  readonly family: 4 | 6;
  /** Whether `close()` was called, or the stack closed. */
  get closed(): boolean;
  /** Packets dropped because the receive buffer was full. */
  get drops(): number;
  /**
   * Sends what follows the IP header; what exceeds the path's MTU goes in fragments. Throws with `code`: `EAGAIN` when the
   * send buffer is full (`drain` follows), `EMSGSIZE`, `ENETUNREACH`, ...
   */
  send(packet: Uint8Array, address: string, options?: {
    source?: string;
  }): void;
  /** Lets go of it; what was sent is still transmitted. Idempotent. */
  close(): void;
  /** As `close()`, for `using`. */
  [Symbol.dispose](): void;
  /** Makes it keep the process alive, as it does from the beginning. */
  ref(): this;
  /** Lets the process end although it is open. */
  unref(): this;
}
/** A socket or server that is open. */
export interface Leak {
  /** The host it is on. */
  host: string;
  kind: "socket" | "server";
  /** Its own end. */
  local: string | null;
  /** Its peer's. */
  remote: string | null;
  /** The line of the program that made it; of a socket that was accepted, the one that made its server. */
  creator: string;
}
/** What `network.host()` takes, besides the options of a stack. */
export interface HostOptions extends Pick<StackOptions, "recvBuffer" | "sendBuffer" | "maxReceiveMemory" | "maxSendMemory" | "maxSynBacklog" | "synCookies" | "userTimeout" | "ttl" | "rtoMin" | "rtoMax" | "mtuProbing" | "userTimeoutOption" | "failConnectOnSoftError" | "timeWait" | "maxConnections" | "trace" | "congestion" | "pacing"> {
  /** Its IP addresses; a prefix has no effect, each is routed to by itself. Default: one of 198.18.0.0/15 and one of fd00::/64. */
  addresses?: string[];
  /** Names that this host alone knows, or knows otherwise: like `/etc/hosts`. */
  dns?: Record<string, string | string[]>;
  /** MTU of its interface, bytes. Default: that of its first link. */
  mtu?: number;
}
/** The events of a host: those of its stack (with `trace: true`), over all its lives. */
export interface HostEvents extends StackEvents {
  /** It crashed. */
  crash: [
  ];
  /** It runs again. */
  restart: [
  ];
}
/**
 * A host of a network. It has everything a stack has: `net`, `dgram`, `http`, `https`, `tls`, `agent()`, `dispatcher()`,
 * `attach()`. These stay the same objects when it crashes and starts again.
 */
export declare class Host extends TypedEventEmitter<HostEvents> {
  #private;
  /** Its name, by which the others find it. */
  readonly name: string;
  /** Everything `node:net` exports, bound to this host. */
  readonly net: Net;
  /** Everything `node:dgram` exports, bound to this host. */
  readonly dgram: Dgram;
  /** Its addresses, IPv4 first. */
  get addresses(): string[];
  /** Its first address. */
  get address(): string;
  /** Whether it runs. */
  get up(): boolean;
  /** `dns.lookup` as programs on this host see it: the names of the network's nodes, and its own. */
  get lookup(): NonNullable<NetContext["lookup"]>;
  /** `node:http` on this host. */
  get http(): Http;
  /** `node:https` on this host. */
  get https(): Https;
  /** `node:tls` on this host. */
  get tls(): Tls;
  /** Sends echo requests to an address or a name, and gives their statistics. */
  ping(host: string, options?: PingOptions): Promise<PingStatistics>;
  /** Finds the routers on the way to a host, by echo requests with few hops to live. */
  traceroute(host: string, options?: TracerouteOptions): Promise<TraceroutePath>;
  /** Opens a raw socket on its present stack: it receives the packets of one IP protocol, and sends such packets. */
  raw(options: RawOptions): RawSocket;
  /** An agent for `node:http` and `node:https` whose connections are on this host. */
  agent(options?: http.AgentOptions & https.AgentOptions): StackAgent;
  /** A dispatcher for undici and `fetch` whose connections are on this host. Needs the package undici. */
  dispatcher(options?: DispatcherOptions): UndiciDispatcher;
  /** Makes a server of Node's own, or of a library over it, listen on this host. Returns it. */
  attach<T extends realNet.Server>(server: T): T;
  /** The counters of its stack: of its present life. */
  stats(): NativeStats;
  /**
   * Makes a server of the real network reachable in this one: connections to `port` of this host go on to the real
   * `target`, a port or the path of a Unix socket. Only with `clock: 'real'`. Resolves once it listens; the result closes it.
   */
  forward(port: number, target: {
    host?: string;
    port: number;
  } | {
    path: string;
  }): Promise<realNet.Server>;
  /**
   * Takes the host away at once, as a power failure does: no FIN, no RST. Its sockets and servers are destroyed; what its
   * program still does with its `net` fails until `restart()`.
   */
  crash(): void;
  /** Starts it again after a crash: the same addresses, no sockets. */
  restart(): void;
  /** Sockets and servers that are open, with who made them. */
  get leaks(): Leak[];
}
/** What `createNetwork()` takes. */
export interface NetworkOptions {
  /** Everything random follows from it. A whole number, 0 to 2^53 - 1. Default 0. */
  seed?: number;
  /**
   * `virtual`: time goes on only in `run()`, `advance()` and `until()`, and there only while the program is idle; the
   * program's timers, `Date` and `performance` go with it. `real`: time passes by itself. Default `virtual`.
   */
  clock?: "virtual" | "real";
  /** node:test's `mock.timers`, where those are in use: they then share the network's clock. Jest's are found. */
  timers?: MockTimers;
  /**
   * What to do where the program has real sockets, pipes or processes open while the clock is virtual: `refuse` them with
   * `ERR_REAL_IO`, or `allow` them and accept runs that differ. Files, names and the like are awaited. Default `refuse`.
   */
  realIo?: "refuse" | "allow";
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
  packet: [
    event: PacketEvent
  ];
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
/** A network of hosts and links. Made by `createNetwork()`. */
export declare class Network extends TypedEventEmitter<NetworkEvents> {
  #private;
  readonly seed: number;
  /** The network's time, ms since it began. */
  get now(): number;
  /** Its hosts by name. */
  get hosts(): ReadonlyMap<string, Host>;
  /** Adds a host. Others find it by its name. */
  host(name: string, options?: HostOptions): Host;
  /** Adds a router: it forwards packets along a shortest path and says by ICMP why it cannot forward one. */
  router(name: string): NodeRef;
  /** Adds a learning switch. */
  switch(name: string): NodeRef;
  /** Adds a NAT box. Link its outside with `uplink()` and its inside with `link()`. */
  nat(name: string, options?: NativeNatOptions): NodeRef;
  /** Links two nodes. */
  link(a: NodeRef, b: NodeRef, options?: LinkOptions): Link;
  /** Links the outside of a NAT box with a node. */
  uplink(nat: NodeRef, to: NodeRef, options?: LinkOptions): Link;
  /** Parts every node of `a` from every node of `b`: nothing one sends reaches the other, whichever way it takes. */
  partition(a: readonly NodeRef[], b: readonly NodeRef[]): void;
  /** Ends every partition. */
  heal(): void;
  /** Adds a rule on packets: "the third data segment from client to server is dropped". */
  rule(match: RuleMatch, action: RuleAction): Rule;
  /** Hands a packet to a host as if it had come over its link. It need not be valid. */
  inject(host: Host, packet: Uint8Array): void;
  /** Captures packets from now on, into a pcapng file if one is named. */
  capture(file?: string | null, options?: CaptureOptions): Capture;
  /**
   * The last packets, one line each, oldest first: time, nodes, ports, control bits, relative numbers, options, and what
   * the network did to the packet. The same for the same seed and calls, so that it can be compared with a snapshot.
   */
  trace(): string;
  /** What became of each TCP connection, oldest first: at most the last 65,536. */
  connections(): ConnectionRecord[];
  /** How many packets the network did away with, by reason. */
  drops(): Record<string, number>;
  /**
   * Lets time go on until nothing is left to happen: no packet is under way, no timeout of the program is pending, and
   * what goes on by itself (probes of idle connections, intervals) brings about nothing new. Rejects with
   * `ERR_NETWORK_BUSY` at the limit. With a function or promise: until that settles, whose outcome is the run's.
   */
  run(options?: RunOptions): Promise<void>;
  run<T>(body: Promise<T> | (() => Promise<T> | T), options?: RunOptions): Promise<T>;
  /** Lets that much time go on, ms. */
  advance(ms: number): Promise<void>;
  /**
   * Lets time go on until the condition is true, which is asked whenever the program is idle. Rejects with
   * `ERR_NETWORK_STALLED` at the limit, or when nothing is left to happen.
   */
  until(condition: () => unknown, options?: UntilOptions): Promise<void>;
  /** Sockets and servers that are open, with the lines that made them. */
  leaks(): Leak[];
  /**
   * A message for a failure: `text`, the seed, the last packets and where the pcap is. Writes one to the directory for
   * temporary files where no capture has a file.
   */
  explain(text: string): string;
  /** Ends the network: its hosts' sockets are destroyed, captures written, the program gets its own time back. */
  close(): Promise<void>;
  /** As `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}
/** Makes a network. */
export declare function createNetwork(options?: NetworkOptions): Network;
/** Makes a network for the time of a function, which uses it; closes it in any case. Resolves as the function does. */
export declare function withNetwork<T>(options: NetworkOptions, body: (network: Network) => Promise<T> | T): Promise<T>;
/** Which connections an assertion is about: those for which all of it holds. */
export interface ConnectionFilter {
  /** The host that connected, or its name. */
  client?: string | {
    readonly name: string;
  };
  /** The host it connected to, or its name. */
  server?: string | {
    readonly name: string;
  };
  /** The server's port. */
  port?: number;
}
/** Throws unless segments were retransmitted: at least `least` of them. */
export declare function assertRetransmitted(network: Network, filter?: ConnectionFilter, least?: number): void;
/** Throws if a segment was retransmitted. */
export declare function assertNotRetransmitted(network: Network, filter?: ConnectionFilter): void;
/** Throws unless a RST was sent. */
export declare function assertReset(network: Network, filter?: ConnectionFilter): void;
/** Throws if a RST was sent. */
export declare function assertNoReset(network: Network, filter?: ConnectionFilter): void;
/** Throws unless connections reached ESTABLISHED at both ends: at least `least` of them. */
export declare function assertEstablished(network: Network, filter?: ConnectionFilter, least?: number): void;
/** Throws if a connection reached ESTABLISHED at both ends. */
export declare function assertNotEstablished(network: Network, filter?: ConnectionFilter): void;
/** Throws if sockets or servers are open; names the lines that made them. */
export declare function assertNoLeaks(network: Network): void;
/** What a Jest matcher gives back. */
export interface MatcherResult {
  pass: boolean;
  message: () => string;
}
/**
 * What `matchers` add to `expect`, for its types:
 *
 *     declare global {
 *       namespace jest {
 *         interface Matchers<R> extends NetworkMatchers<R> {}
 *       }
 *     }
 *
 * and in Vitest `declare module 'vitest' { interface Assertion<T> extends NetworkMatchers<T> {} }`.
 */
export interface NetworkMatchers<R = unknown> {
  /** A segment with data, SYN or FIN was sent again. */
  toHaveRetransmitted(filter?: ConnectionFilter): R;
  /** A RST was sent, either way. */
  toHaveSentReset(filter?: ConnectionFilter): R;
  /** A connection reached ESTABLISHED. */
  toHaveEstablished(filter?: ConnectionFilter): R;
  /** Sockets or servers are open. */
  toHaveLeaks(): R;
}
/**
 * Matchers for Jest (and Vitest): `expect.extend(matchers)`, then `expect(network).toHaveRetransmitted({ client })`,
 * `.not.toHaveSentReset()`, `.toHaveEstablished({ server, port })`, `.not.toHaveLeaks()`.
 */
export declare const matchers: {
  toHaveRetransmitted: (network: Network, filter?: ConnectionFilter | undefined, least?: number | undefined) => MatcherResult;
  toHaveSentReset: (network: Network, filter?: ConnectionFilter | undefined) => MatcherResult;
  toHaveEstablished: (network: Network, filter?: ConnectionFilter | undefined, least?: number | undefined) => MatcherResult;
  toHaveLeaks: (network: Network) => MatcherResult;
};

export {
  NativeNatOptions as NatOptions,
};

export {};
