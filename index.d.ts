// The public types of usernet, all of them.
// Made by scripts/types.mjs from src/: do not edit.

import * as realTls from 'node:tls';
import * as realDgram from 'node:dgram';
import * as realDns from 'node:dns';
import * as http from 'node:http';
import * as https from 'node:https';
import * as realNet from 'node:net';

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
  type: "state";
  from: string;
  to: string;
}
/** A segment was sent again. */
export interface RetransmitEvent extends TraceBase {
  type: "retransmit";
  /** Its first sequence number. */
  seq: number;
  /** Its payload, bytes. */
  length: number;
  /** Whether the retransmission timer was why (RFC 6298 section 5.4), not duplicate acknowledgements. */
  timeout: boolean;
}
/** Loss recovery began or ended (RFC 6582). */
export interface RecoveryEvent extends TraceBase {
  type: "recovery";
  began: boolean;
  /** Bytes. */
  cwnd: number;
  /** Bytes. */
  ssthresh: number;
}
/** The retransmission timer expired. */
export interface TimeoutEvent extends TraceBase {
  type: "timeout";
  /** How often in a row. */
  backoff: number;
  /** The timer's new value, ms. */
  rto: number;
}
/** The congestion window changed. */
export interface CwndEvent extends TraceBase {
  type: "cwnd";
  /** Bytes. */
  cwnd: number;
  /** Bytes. */
  ssthresh: number;
}
/** The peer announced urgent data, or more of it (RFC 6093); it is read in line. */
export interface UrgentEvent extends TraceBase {
  type: "urgent";
  /** Bytes to read to get to its end. */
  left: number;
}
/** An ICMP error came about a segment that is in flight (RFC 9293 section 3.9.2.2). */
export interface IcmpReport {
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
/**
 * Excessive retransmissions (RFC 9293 section 3.8.3): a segment was sent again three times (R1) and nothing came back; said
 * again at each further time, until the connection is given up (R2).
 */
export interface RetransmissionsReport {
  reason: "retransmissions";
  /** How often in a row. */
  count: number;
  /** Time until the next one, ms. */
  rto: number;
}
/** A delivery problem that does not end a connection: ERROR_REPORT of RFC 9293 section 3.9.1.8. */
export type ErrorReport = IcmpReport | RetransmissionsReport;
/** A delivery problem of a connection was reported. */
export type ErrorReportEvent = TraceBase & {
  type: "errorReport";
} & ErrorReport;
/** A connection failed. */
export interface FailureEvent extends TraceBase {
  type: "error";
  /** Such as `ECONNRESET`. */
  code: string;
}
/** What a stack made with `trace: true` records. */
export type TraceEvent = StateEvent | RetransmitEvent | RecoveryEvent | TimeoutEvent | CwndEvent | UrgentEvent | ErrorReportEvent | FailureEvent;
/** What may be done with an address of an interface (RFC 4862 section 2, RFC 4429 section 2.1). */
export type AddressState = "tentative" | "optimistic" | "preferred" | "deprecated" | "duplicate";
/** Something became of an address of an interface. Those that the interface was made with are not reported as added. */
export interface AddressEvent {
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
/** Something became of an interface's link. */
export interface LinkEvent {
  /**
   * `up` and `down`: as `setUp` and `setDown` had it, or, of the system's interface of a TUN or TAP, somebody else; `lost`:
   * its device failed (a TUN that was deleted, a virtual machine or a program that went away), and the interface is gone.
   */
  type: "up" | "down" | "lost";
  /** The name of the interface. */
  interface: string;
}
/** What a stack tells of its interfaces. */
export type InterfaceEvent = AddressEvent | LinkEvent;
/** The events of a stack. Those of the trace need `trace: true`. */
export interface StackEvents {
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
declare const TypedEventEmitter: new <Events>() => TypedEmitter<Events>;
/** A TAP interface of the operating system; made by `tap()`. */
export interface TapDevice extends TapDeviceOptions {
  readonly kind: "tap";
}
/** A packet socket on an existing Ethernet interface; made by `packetSocket()`. */
export interface PacketDevice extends PacketSocketOptions {
  readonly kind: "packet";
}
/** A UNIX socket that carries a virtual machine's frames; made by `unixSocket()`. */
export interface UnixDevice {
  readonly kind: "unix";
  readonly connect?: string;
  readonly listen?: string;
  readonly local?: string;
  readonly remote?: string;
  readonly mac?: string;
  readonly impairment?: Impairment;
}
/** What `tap()` takes. */
export interface TapDeviceOptions extends TunOptions {
  /** The stack's hardware address, such as `02:00:00:00:00:01`. Default: a random one. */
  mac?: string;
  /** The hardware address of the kernel's side. Default: the kernel's choice. */
  kernelMac?: string;
}
/** What `packetSocket()` takes. */
export interface PacketSocketOptions {
  /** The name of the interface, in the network namespace of the process. */
  interface: string;
  /** The stack's hardware address. Default: a random one; the interface is made promiscuous. */
  mac?: string;
  /** What is done to the frames of each direction. */
  impairment?: Impairment;
}
/** What `unixSocket()` takes: exactly one of `connect`, `listen`, or `local` with `remote`. */
export interface UnixSocketOptions {
  /** Connects to the stream socket at this path (QEMU: `-netdev stream,server=on,addr.type=unix,addr.path=..`). */
  connect?: string;
  /** Makes a stream socket at this path; its peers are served one after the other (QEMU: `-netdev stream,server=off,..`). */
  listen?: string;
  /** Receives datagrams at this path (QEMU: `-netdev dgram,remote.path=..`). */
  local?: string;
  /** Sends datagrams to this path (QEMU: `-netdev dgram,local.path=..`). */
  remote?: string;
  /** The stack's hardware address. Default: a random one. */
  mac?: string;
  /** What is done to the frames of each direction. */
  impairment?: Impairment;
}
/**
 * A TAP interface, opened when a stack takes it: as `tun()`, with Ethernet frames. Needs CAP_NET_ADMIN (or a namespace of
 * one's own) and `/dev/net/tun`.
 */
export declare function tap(options?: TapDeviceOptions): TapDevice;
/**
 * A packet socket on an existing Ethernet interface, such as one end of a veth pair in a namespace; opened when a stack
 * takes it. Needs CAP_NET_RAW. The kernel sees the frames too: give the interface no address there.
 */
export declare function packetSocket(options: PacketSocketOptions): PacketDevice;
/** Ethernet frames over a UNIX socket, as QEMU's `-netdev stream` and `-netdev dgram` speak them. */
export declare function unixSocket(options: UnixSocketOptions): UnixDevice;
/** Types of records that can be asked for. */
export type RecordType = "A" | "AAAA" | "ANY" | "CAA" | "CNAME" | "MX" | "NAPTR" | "NS" | "PTR" | "SOA" | "SRV" | "TLSA" | "TXT";
type Callback = (...args: unknown[]) => void;
type NormalizedArgs = [
  options: Record<string, unknown>,
  callback: Callback | null
];
/** What `new Socket` takes: Node's options, without those of descriptors and handles. */
export interface SocketOptions extends Omit<realNet.SocketConstructorOpts, "fd"> {
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
/** What `createServer` takes: Node's options. */
export interface ServerOptions extends realNet.ServerOpts {
  /** Connections from these addresses are closed without a word. */
  blockList?: realNet.BlockList;
  /** The congestion control of the connections it accepts. Default: the stack's. */
  congestion?: CongestionControl;
}
/** What `listen` takes: Node's options, without those of pipes and descriptors. */
export interface ListenOptions {
  /** 0-65535; 0 or none leaves the choice to the stack. */
  port?: number | undefined;
  /** A name or an address; none is every address of the stack. */
  host?: string | undefined;
  /** Connections that may wait to be accepted. Default 511. */
  backlog?: number | undefined;
  /**
   * TCP Fast Open (RFC 7413): whether clients that have a cookie of this stack's may send data on their SYN, and how many of
   * them at a time before their handshake is over; `true` is as many as `backlog`. Such data may arrive twice, so it suits
   * requests that can be repeated. Default false.
   */
  fastOpen?: number | boolean | undefined;
  /** Without meaning here: a stack belongs to one thread, there is nobody to share with. */
  exclusive?: boolean | undefined;
  /** Whether `::` leaves IPv4 alone. */
  ipv6Only?: boolean | undefined;
  /**
   * Whether several servers may listen on the address and port, each of them with this option; a hash of its peer's
   * address and port says whose a connection is. Node has it since 22.12; here it works on every version.
   */
  reusePort?: boolean | undefined;
  /** Closes the server when aborted. */
  signal?: AbortSignal | undefined;
}
/** A TCP server over a user-space stack: to its user, a `net.Server`. */
export interface Server extends realNet.Server {
  /** Ends a server that listens; resolves once it is closed. */
  [Symbol.asyncDispose](): Promise<void>;
}
/** A constructor that can be called without `new`, and by `call` from constructors of old. */
export interface SocketConstructor {
  new (options?: SocketOptions): Socket;
  (options?: SocketOptions): Socket;
  readonly prototype: Socket;
}
/** As `SocketConstructor`, for servers. */
export interface ServerConstructor {
  new (connectionListener?: (socket: Socket) => void): Server;
  new (options?: ServerOptions, connectionListener?: (socket: Socket) => void): Server;
  (connectionListener?: (socket: Socket) => void): Server;
  (options?: ServerOptions, connectionListener?: (socket: Socket) => void): Server;
  readonly prototype: Server;
}
/** What a socket can be connected with: Node's options for TCP, and those of `Socket`. */
export type ConnectOptions = SocketOptions & realNet.TcpSocketConnectOpts & {
  /** Idle time, ms, after which `timeout` is emitted. */
  timeout?: number;
  /**
   * TCP Fast Open (RFC 7413): asks the server for a cookie, and once there is one, lets the first write go out on the SYN:
   * what is written in the same turn as `connect`, or within 10 ms. A server may get such data twice, so it suits requests
   * that can be repeated. Has no effect where several addresses of a name are tried in turn. Default false.
   */
  fastOpen?: boolean;
};
/** `connect` and `createConnection`. */
export interface Connect {
  (options: ConnectOptions, connectionListener?: () => void): Socket;
  (port: number, host?: string, connectionListener?: () => void): Socket;
  (port: number, connectionListener?: () => void): Socket;
}
/** `node:net`, on a stack. */
export interface Net {
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
/** A record of a zone. Names that do not end in the zone's are relative to it; `@` is the zone itself. */
export interface ZoneRecord {
  /** `www`, `@`, `*` or a whole name that ends in the zone's. */
  name: string;
  type: "A" | "AAAA" | "CAA" | "CNAME" | "MX" | "NAPTR" | "NS" | "PTR" | "SRV" | "TXT";
  /** Seconds. Default: the zone's. */
  ttl?: number;
  /**
   * An address or a name; for TXT a string or an array of them; otherwise an object with the fields as `node:dns` names
   * them (`{ exchange, priority }`, `{ name, port, priority, weight }`, ...).
   */
  data: unknown;
}
/** A zone. */
export interface Zone {
  /** Such as `example.test`, or `2.0.192.in-addr.arpa`. */
  name: string;
  records: ZoneRecord[];
  /** Of records that have none, seconds. Default 60. */
  ttl?: number;
}
/** What `stack.dns.createServer()` takes. */
export interface DnsServerOptions {
  zones: Zone[];
}
/** A DNS server over UDP and TCP. Made by `stack.dns.createServer()`. */
export declare class DnsServer {
  #private;
  /** Adds a zone, in place of one of the same name. Throws where a record's data is not what its type needs. */
  setZone(zone: Zone): void;
  /** Removes a zone; whether there was one. */
  removeZone(name: string): boolean;
  /** Begins to answer, over UDP and TCP, on a port of every address of the stack, or of one. */
  listen(port?: number, address?: string): Promise<this>;
  /** Where it listens; null when it does not. */
  address(): {
    address: string;
    port: number;
  } | null;
  /** Ends it. Idempotent. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}
/** What `createStack({ dns })` takes. */
export interface DnsOptions extends ResolverOptions {
  /** Servers that are asked, in that order: `192.0.2.1`, `[2001:db8::1]:5353`. Default none. */
  servers?: string[];
  /** Names that need no server, as `/etc/hosts` has them. */
  hosts?: Record<string, string | string[]>;
}
/** Asks DNS servers over a stack; `dns.promises.Resolver`. Has a cache of its own. */
export declare class DnsResolver {
  #private;
  /** Ends what is being asked: it rejects with `ECANCELLED`. */
  cancel(): void;
  /** The servers that are asked. */
  getServers(): string[];
  /**
   * The addresses of the stack that servers are asked from, at most one of each family; without, the stack chooses. Throws
   * `ERR_INVALID_ARG_VALUE` for what is none.
   */
  setLocalAddress(ipv4: string, ipv6?: string): void;
  /** Sets the servers that are asked, in that order. Forgets what others said. */
  setServers(servers: readonly string[]): void;
  /** Questions asked over UDP and TCP, and datagrams that were not believed. */
  get counters(): {
    readonly udp: number;
    readonly tcp: number;
    readonly ignored: number;
  };
  resolve4(hostname: string): Promise<string[]>;
  resolve4(hostname: string, options: {
    ttl: true;
  }): Promise<realDns.RecordWithTtl[]>;
  resolve4(hostname: string, options?: {
    ttl?: boolean;
  }): Promise<string[] | realDns.RecordWithTtl[]>;
  resolve6(hostname: string): Promise<string[]>;
  resolve6(hostname: string, options: {
    ttl: true;
  }): Promise<realDns.RecordWithTtl[]>;
  resolve6(hostname: string, options?: {
    ttl?: boolean;
  }): Promise<string[] | realDns.RecordWithTtl[]>;
  resolveCaa(hostname: string): Promise<realDns.CaaRecord[]>;
  resolveCname(hostname: string): Promise<string[]>;
  resolveMx(hostname: string): Promise<realDns.MxRecord[]>;
  resolveNaptr(hostname: string): Promise<realDns.NaptrRecord[]>;
  resolveNs(hostname: string): Promise<string[]>;
  resolvePtr(hostname: string): Promise<string[]>;
  resolveSoa(hostname: string): Promise<realDns.SoaRecord>;
  resolveSrv(hostname: string): Promise<realDns.SrvRecord[]>;
  resolveTxt(hostname: string): Promise<string[][]>;
  /** Every record that the server gives for a name; it may choose which (RFC 8482). */
  resolveAny(hostname: string): Promise<realDns.AnyRecord[]>;
  resolve(hostname: string, rrtype?: RecordType): Promise<unknown>;
  /** The names of an address. */
  reverse(ip: string): Promise<string[]>;
}
/** An address that a look-up found. */
export interface LookupAddress {
  address: string;
  family: 4 | 6;
}
/** What `stack.lookup` takes; as `dns.lookup`. */
export interface LookupOptions {
  family?: 0 | 4 | 6 | "IPv4" | "IPv6";
  /** Whether to give all addresses. */
  all?: boolean;
  /** `ipv4first`, `ipv6first`, or `verbatim`, which is IPv4 first here too. */
  order?: "ipv4first" | "ipv6first" | "verbatim";
  verbatim?: boolean;
  hints?: number;
}
/** The DNS of a stack. */
export declare class StackDns extends DnsResolver {
  #private;
  /** Makes a resolver with servers and a cache of its own. */
  readonly Resolver: new (options?: ResolverOptions) => DnsResolver;
  /** Whether names mean anything here: there are servers, or hosts were given. */
  get configured(): boolean;
  /** A server that answers with authority for zones of its own. Listens with `listen()`. */
  createServer(options: DnsServerOptions): DnsServer;
  /** The addresses of a name, as `dns.promises.lookup` gives them: what the stack itself knows, then DNS. */
  lookup(hostname: string, options?: LookupOptions & {
    all?: false;
  }): Promise<LookupAddress>;
  lookup(hostname: string, options: LookupOptions & {
    all: true;
  }): Promise<LookupAddress[]>;
  lookup(hostname: string, options?: LookupOptions | 0 | 4 | 6): Promise<LookupAddress | LookupAddress[]>;
}
/** `dns.lookup` over a stack: with a callback as Node has it; without, a promise as `dns.promises` has it. */
export interface Lookup {
  (hostname: string, callback: (error: Error | null, address: string, family: number) => void): void;
  (hostname: string, options: LookupOptions & {
    all: true;
  }, callback: (error: Error | null, addresses: LookupAddress[]) => void): void;
  (hostname: string, options: LookupOptions | 0 | 4 | 6, callback: (error: Error | null, address: string, family: number) => void): void;
  (hostname: string, options: LookupOptions & {
    all: true;
  }): Promise<LookupAddress[]>;
  (hostname: string, options?: LookupOptions | 0 | 4 | 6): Promise<LookupAddress>;
}
/** What `framePort()` takes. */
export interface FramePortOptions {
  /** What a frame begins with: an IP header, or Ethernet's. Default `ip`. */
  medium?: Medium;
  /** Largest packet, bytes, without Ethernet header. Default 1,500, at least 576; for IPv6 1,280. */
  mtu?: number;
  /** Ethernet: the stack's hardware address. Default: a random one. */
  mac?: string;
  /** Frames that wait each way. Default 512. */
  capacity?: number;
  /** What is done to the frames of each direction. */
  impairment?: Impairment;
}
/** What has passed a frame port; in and out as the stack sees it. */
export interface FramePortStats {
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
/** The events of a frame port. */
export interface FramePortEvents {
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
/**
 * A device whose frames the program hands in and takes out itself. Made by `framePort()`. Belongs to one stack, once. Does
 * not keep the process alive.
 */
export declare class FramePort extends TypedEventEmitter<FramePortEvents> {
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
/**
 * A device whose frames the program hands in and takes out itself: a tunnel, a WebSocket, an emulated machine.
 *
 * @example
 * const port = framePort({ medium: 'ethernet' });
 * const stack = await createStack({ interfaces: [{ device: port, addresses: ['198.18.0.2/24'] }] });
 * port.on('frame', (frame) => socket.send(frame));
 * socket.on('message', (frame) => port.write(frame));
 */
export declare function framePort(options?: FramePortOptions): FramePort;
/** A TUN interface of the operating system; made by `tun()`. */
export interface TunDevice extends TunOptions {
  readonly kind: "tun";
}
/** One end of an in-process link; made by `createLink()`. Belongs to one stack, once. */
export interface LinkDevice {
  readonly kind: "link";
}
/** Where an interface's packets come from and go to. */
export type Device = TunDevice | TapDevice | PacketDevice | UnixDevice | LinkDevice | FramePort;
/** What the frames of a device begin with: an IP header, or Ethernet's. */
export type Medium = "ip" | "ethernet";
/** What `tun()` takes. */
export interface TunOptions {
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
/** What `createLink()` takes. */
export interface LinkOptions extends Impairment {
  /** What its frames begin with. Default `ip`; with `ethernet` its ends have hardware addresses, ARP and so on. */
  medium?: Medium;
  /** Largest packet, bytes. Default 1,500, at least 576; for IPv6 1,280. */
  mtu?: number;
  /** Packets in flight each way before the next is lost (impaired) or waits. Default 512, impaired 65,536. */
  capacity?: number;
}
/** What is done to the packets of each direction by itself, repeatably: the same seed does the same. */
export interface Impairment {
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
/** An interface of a stack. */
export interface InterfaceOptions {
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
/** A way to addresses that are on no interface's link. */
export interface RouteOptions {
  /** A prefix such as `192.0.2.0/24`, or `default`: everything of the next hop's family. */
  to: string;
  /** The next hop, on the link of an interface. */
  via?: string;
  /** The name of the interface. Default: the one whose link `via` is on. */
  interface?: string;
}
/** How large a buffer may be, bytes, 2 KiB - 1 GiB each. No memory is set aside for it: it holds what is in it. */
export interface BufferSize {
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
/** What `createStack()` takes. */
export interface StackOptions {
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
/**
 * A congestion control by name: `cubic` (RFC 9438 with HyStart++, RFC 9406), `newreno` (RFC 5681 with RFC 6582), `bbr`
 * (BBR version 3, draft-ietf-ccwg-bbr).
 */
export type CongestionControl = (typeof CONGESTION_CONTROLS)[number];
/** A TUN interface, opened when a stack takes it. Needs CAP_NET_ADMIN (or a namespace of one's own) and `/dev/net/tun`. */
export declare function tun(options?: TunOptions): TunDevice;
/** A state of RFC 9293 section 3.3.2, as the RFC writes it. */
export type TcpState = "CLOSED" | "LISTEN" | "SYN-SENT" | "SYN-RECEIVED" | "ESTABLISHED" | "FIN-WAIT-1" | "FIN-WAIT-2" | "CLOSE-WAIT" | "CLOSING" | "LAST-ACK" | "TIME-WAIT";
/**
 * A connection as `ss -ti` shows it. Times are milliseconds with fractions, sizes bytes, rates bytes a second; counters
 * count from the connection's start.
 */
export interface SocketInfo {
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
/** Counters by name. */
type NativeStats = Record<string, number>;
/** A neighbour: an entry of the ARP or neighbour cache of an Ethernet interface. */
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
/** Counters and settings of a UDP socket. Names are `ss`'s. */
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
/** Where a datagram came from. */
export interface RemoteInfo {
  address: string;
  family: "IPv4" | "IPv6";
  port: number;
  size: number;
}
type Lookup$1 = typeof realDns.lookup;
type SocketType = "udp4" | "udp6";
/** What `createSocket` takes. */
export interface DatagramSocketOptions extends AbortOptions {
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
  lookup?: Lookup$1;
}
interface AbortOptions {
  /** Closes the socket. */
  signal?: AbortSignal;
}
/** A UDP socket on a stack: that of `node:dgram`, and its counters. */
export type DatagramSocket = realDgram.Socket & {
  /** Counters of the socket, drops among them, and its buffers and queues in bytes; null before it is bound. */
  info(): NativeUdpInfo | null;
};
/** Called with a datagram and where it came from. */
export type MessageListener = (message: Buffer, info: RemoteInfo) => void;
/** The constructor of UDP sockets. */
export interface DatagramSocketConstructor {
  new (type: "udp4" | "udp6" | DatagramSocketOptions, listener?: MessageListener): DatagramSocket;
  readonly prototype: DatagramSocket;
}
/** `node:dgram`, on a stack. */
export interface Dgram {
  createSocket(type: "udp4" | "udp6" | DatagramSocketOptions, listener?: MessageListener): DatagramSocket;
  Socket: DatagramSocketConstructor;
}
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
/** What a server lets the client have. Times in seconds. */
interface Lease {
  address: string;
  prefixLength: number;
  server: string;
  leaseTime: number;
  /** When it is renewed with the server, and when with any. */
  renewTime: number;
  rebindTime: number;
  routers: string[];
  dns: string[];
  domain: string | null;
  /** Bytes; null when the server does not say. */
  mtu: number | null;
}
/** States of RFC 2131 figure 5. */
type ClientState = "init" | "selecting" | "requesting" | "rebooting" | "bound" | "renewing" | "rebinding" | "stopped";
/** What `stack.dhcpClient()` takes. */
export interface DhcpClientOptions {
  /** The name of the interface. */
  interface: string;
  /**
   * The hardware address that the server is told, such as `02:00:00:00:00:01`. Default: the interface's own; where it has
   * none, a random one of those that anybody may choose.
   */
  hardwareAddress?: string;
  /** What the server knows the client by, instead of its hardware address (RFC 2131 section 2). */
  clientId?: Uint8Array;
  /** The name that the server is told. */
  hostname?: string;
  /** The address that is asked for. */
  requestedAddress?: string;
  /**
   * Whether `requestedAddress` is one that it had before: it asks for it at once, without looking for servers (INIT-REBOOT,
   * RFC 2131 section 4.4.2). When it is refused, or nobody answers for some 12 s, it gets another. Default false.
   */
  reboot?: boolean;
  /** Whether to add the default route that the server gives. Default true. */
  route?: boolean;
  /** Whether to use the DNS servers that the server gives, unless the stack has some. Default true. */
  dns?: boolean;
  /** How long the first lease is waited for, ms. Default 30,000. */
  timeout?: number;
  /** Ends the wait early. */
  signal?: AbortSignal;
}
/** The events of a client. */
export interface DhcpClientEvents {
  /** The interface has a new address. */
  bound: [
    lease: Lease
  ];
  /** The lease goes on. */
  renewed: [
    lease: Lease
  ];
  /** The interface has lost its address. The client asks for another. */
  lost: [
    lease: Lease,
    reason: "expired" | "refused" | "declined"
  ];
  close: [
  ];
}
/** A lease and its upkeep. Made by `stack.dhcpClient()`. */
export declare class DhcpClient extends TypedEventEmitter<DhcpClientEvents> {
  #private;
  readonly interface: string;
  private constructor();
  /** The lease; null while there is none. */
  get lease(): Lease | null;
  /** As RFC 2131 figure 5 names it. */
  get state(): ClientState;
  /** Datagrams that were no DHCP messages. */
  get ignored(): number;
  /**
   * Tells the server that somebody else uses the address, gives it up and asks for another after 10 s. On Ethernet it does so
   * by itself when the interface finds that out.
   */
  decline(): void;
  /** Gives the address back to the server, takes it from the interface, and ends. Idempotent. */
  close(): void;
  [Symbol.dispose](): void;
}
/** An address that was given out, or offered, or that is not to be used. */
export interface ServerLease {
  address: string;
  /** Who has it: hardware address, or identifier; null when somebody unknown uses it (a DECLINE). */
  client: string | null;
  state: "offered" | "leased" | "declined";
  /** ms. */
  until: number;
}
/** What `stack.dhcpServer()` takes. */
export interface DhcpServerOptions {
  /** The name of the interface. Its first IPv4 address is the server's, and the prefix of that the clients'. */
  interface: string;
  /** First and last address that is given out; at most 65,536. */
  range: [
    string,
    string
  ];
  /** Seconds. Default 3,600. */
  leaseTime?: number;
  /** Default: the server. */
  routers?: string[];
  /** DNS servers. Default none. */
  dns?: string[];
  domain?: string;
  /** Bytes. */
  mtu?: number;
  /** Addresses by hardware address: `{ '02:00:00:00:00:01': '198.18.0.50' }`. */
  reservations?: Record<string, string>;
}
/** The events of a server. */
export interface DhcpServerEvents {
  /** An address was given to a client, or for longer. */
  lease: [
    lease: ServerLease
  ];
  close: [
  ];
}
/** A DHCP server. Made by `stack.dhcpServer()`. */
export declare class DhcpServer extends TypedEventEmitter<DhcpServerEvents> {
  #private;
  private constructor();
  /** What is given out, offered, or not to be used because a client said so. */
  get leases(): ServerLease[];
  /** Datagrams that were no DHCP messages. */
  get ignored(): number;
  /** Ends it; what is given out stays with the clients. Idempotent. */
  close(): void;
  [Symbol.dispose](): void;
}
interface FlowBase {
  /** The name of the interface it came through. */
  readonly interface: string;
  readonly family: "IPv4" | "IPv6";
  /** The destination that the other end meant. */
  readonly localAddress: string;
  readonly localPort: number;
  /** The other end. */
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** Whether it was accepted, rejected, dropped or passed. */
  readonly decided: boolean;
  /**
   * Tells the other end that it is not wanted: as if nobody listened (RST, or ICMP port unreachable), or with
   * `'prohibited'` ICMP's "administratively prohibited".
   */
  reject(how?: "refused" | "prohibited"): void;
  /** Says nothing: the flow's packets are dropped until it was silent for `flowTimeout`. */
  drop(): void;
  /** Lets it go on as if nobody held it: to the listener or socket that is bound, or to the refusal that is due. */
  pass(): void;
}
/** How a TCP flow is accepted. */
export interface FlowAcceptOptions {
  /**
   * TCP Fast Open (RFC 7413): how many flows accepted so may exchange data before their handshake is over, 0-65535; data on
   * the SYN of a client that has a cookie of this stack's is there at once then. It may arrive twice, so it suits requests
   * that can be repeated. Default 0: it comes after the handshake.
   */
  fastOpen?: number | undefined;
}
/** A TCP connection that waits before its SYN-ACK. */
export interface TcpFlow extends FlowBase {
  readonly protocol: "tcp";
  /**
   * Accepts it: the handshake goes on. The socket's `localAddress` and `localPort` are those that the other end meant. It
   * emits `connect`, or `error` when the other end has gone.
   */
  accept(options?: FlowAcceptOptions): Socket;
}
/** Datagrams between two ends, the first of which wait. */
export interface UdpFlow extends FlowBase {
  readonly protocol: "udp";
  /**
   * Accepts it: a connected socket that receives the datagrams that waited. It closes when it was idle for
   * `udpFlowIdle`.
   */
  accept(): DatagramSocket;
}
/** A flow that waits for a decision; `protocol` tells which. */
export type Flow = TcpFlow | UdpFlow;
/** Decides about a flow, at once or later; undecided ones are forgotten after `flowTimeout`. */
export type FlowHandler = (flow: Flow) => unknown;
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
/** What `stack.raw()` takes. */
export interface RawOptions {
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
/** Where a packet came from and went to. */
export interface RawPacketInfo {
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
/** The events of a raw socket. */
export interface RawSocketEvents {
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
/** A raw socket. Made by `stack.raw()`. */
export declare class RawSocket extends TypedEventEmitter<RawSocketEvents> {
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
/** What `interface.tap()` takes. */
export interface TapOptions {
  /** Most frames that wait for the program. Default 4,096. */
  frames?: number;
  /** Most bytes that wait for the program. Default 4 MiB. */
  bytes?: number;
  /** Most bytes kept of a frame. Default: all of it. */
  snapLength?: number;
}
/** A frame that passed. */
export interface TapFrame {
  /** Whether it came in or went out. */
  direction: "in" | "out";
  /** When, ms since 1970, with fractions. */
  time: number;
  /** Bytes of the whole frame. */
  length: number;
  /**
   * The frame, or its beginning. On a TUN or a link it begins with the IP header, on a TAP with Ethernet's. With offload
   * it can be up to 64 KiB long, and the transport checksum of what goes out is still to be filled in; datagrams that the
   * device merged are single ones.
   */
  data: Buffer;
}
/** The events of a tap. */
export interface TapEvents {
  frame: [
    frame: TapFrame
  ];
  close: [
  ];
}
/** Watches an interface. Made by `interface.tap()`. Does not keep the process alive. */
export declare class Tap extends TypedEventEmitter<TapEvents> {
  #private;
  /** Frames that passed while the queue was full. */
  get dropped(): number;
  get closed(): boolean;
  /** Ends it. Idempotent. */
  close(): void;
  /** As `close()`, for `using`. */
  [Symbol.dispose](): void;
}
/** An interface of a stack; what it says of itself is as it was when it was asked for. */
export declare class Interface {
  #private;
  readonly name: string;
  /** With the lengths of their prefixes. */
  readonly addresses: readonly string[];
  /** Largest packet, bytes. */
  get mtu(): number;
  /** Its hardware address, if it is Ethernet. */
  get mac(): string | undefined;
  /** Whether its link is up. */
  get up(): boolean;
  /** Watches the frames that pass its device. Loopback has none. */
  tap(options?: TapOptions): Tap;
  /** As `stack.setMtu()`. */
  setMtu(mtu: number): void;
  /** As `stack.setUp()`. */
  setUp(): void;
  /** As `stack.setDown()`. */
  setDown(): void;
  /** As `stack.addAddress()`. */
  addAddress(address: string): void;
  /** As `stack.removeAddress()`. */
  removeAddress(address: string): void;
}
/** A neighbour with a fixed hardware address. */
export interface NeighborOptions {
  /** The name of the Ethernet interface. */
  interface: string;
  /** Its address. */
  address: string;
  /** Its hardware address, such as `02:00:00:00:00:01`. */
  mac: string;
}
/** A route of a stack. */
export interface RouteEntry {
  /** The prefix; `0.0.0.0/0` and `::/0` are the default routes. */
  readonly to: string;
  /** The next hop; null when the prefix is on the link. */
  readonly via: string | null;
  /** The name of the interface. */
  readonly interface: string;
}
/**
 * TCP/IP of its own: interfaces, routes, connections, independent of every other stack. Made by `createStack()`.
 * Belongs to the thread that made it.
 */
export declare class Stack extends TypedEventEmitter<StackEvents> {
  #private;
  /** Everything `node:net` exports, bound to this stack. */
  readonly net: Net;
  /** Everything `node:dgram` exports, bound to this stack. */
  readonly dgram: Dgram;
  /** `dns.promises` over this stack: `resolve4`, `Resolver`, `setServers`, ..., and a server for zones of one's own. */
  readonly dns: StackDns;
  /**
   * `dns.lookup` over this stack: hosts it was given, `localhost`, then its DNS servers. With a callback, or without as a
   * promise. Once the stack has servers or hosts, names that its sockets use are looked up so.
   */
  readonly lookup: Lookup;
  /** Whether `close()` was called. */
  get closed(): boolean;
  /** The interfaces, loopback among them. */
  get interfaces(): Interface[];
  /** `node:http` on this stack: `createServer(...).listen()` listens on it, requests connect on it. */
  get http(): Http;
  /** `node:https` on this stack. */
  get https(): Https;
  /** `node:tls` on this stack. */
  get tls(): Tls;
  /** An agent for `node:http` and `node:https` whose connections are on this stack. */
  agent(options?: http.AgentOptions & https.AgentOptions): StackAgent;
  /** A dispatcher for undici and `fetch` whose connections are on this stack. Needs the package undici. */
  dispatcher(options?: DispatcherOptions): UndiciDispatcher;
  /**
   * Makes a server of Node's own, or of a library over it, listen on this stack: `http`, `https`, `http2` or `tls`.
   * Returns it.
   */
  attach<T extends realNet.Server>(server: T): T;
  /** Adds an interface. Rejects where its device cannot be had, with a `code` and the remedy. */
  addInterface(options: InterfaceOptions): Promise<Interface>;
  /**
   * Removes an interface, and with it its addresses and routes; connections over it find no way any more. One whose device
   * failed is gone already.
   */
  removeInterface(name: string): Promise<void>;
  /**
   * Sets the largest packet of an interface, bytes: at least 576 (RFC 791), with an IPv6 address 1,280 (RFC 8200). That of
   * a TUN or TAP is the system's interface's, too; other devices have a most of their own. Connections follow.
   */
  setMtu(interfaceName: string, mtu: number): void;
  /** Takes the link of an interface up again: its addresses are checked and announced anew. */
  setUp(interfaceName: string): void;
  /**
   * Takes the link of an interface down, with the system's interface where it is a TUN or TAP: nothing comes in or goes
   * out, no route leads through it. Connections live on until they time out.
   */
  setDown(interfaceName: string): void;
  /** Adds an address with the length of its prefix to an interface. */
  addAddress(interfaceName: string, address: string): void;
  /**
   * Removes an address, with or without the length of its prefix, from an interface. Connections from it find no way any
   * more.
   */
  removeAddress(interfaceName: string, address: string): void;
  /** Makes an interface take every unicast destination that comes in, or its own addresses alone. */
  setAcceptAny(interfaceName: string, on: boolean): void;
  /** The routes, in the order they were added. What is on an interface's link needs none. */
  routes(): RouteEntry[];
  /**
   * Sends echo requests and gives their statistics. What went wrong with a request is in them; rejects where none could be
   * sent.
   *
   * @example
   * const { received, avg } = await stack.ping('198.18.0.1', { count: 3, interval: 100 });
   */
  ping(host: string, options?: PingOptions): Promise<PingStatistics>;
  /** Finds the routers on the way to a host, by echo requests with few hops to live. */
  traceroute(host: string, options?: TracerouteOptions): Promise<TraceroutePath>;
  /**
   * Gets an address for an interface, with its default route and DNS servers, from a DHCP server (RFC 2131), and keeps
   * it. Resolves once it has one.
   */
  dhcpClient(options: DhcpClientOptions): Promise<DhcpClient>;
  /** Gives addresses of a range to DHCP clients on the link of an interface (RFC 2131). */
  dhcpServer(options: DhcpServerOptions): Promise<DhcpServer>;
  /** Opens a raw socket: it receives a copy of the packets of one IP protocol, and sends such packets. */
  raw(options: RawOptions): RawSocket;
  /**
   * Has new connections and UDP flows, on every interface but loopback, wait until `handler` decides: connections before
   * their SYN-ACK, flows with their first datagrams. What a listener or socket has that is bound to the very address is
   * not asked about. `null` ends it.
   *
   * @example
   * stack.onConnection((flow) => (flow.remotePort < 1024 ? flow.reject() : flow.accept().pipe(process.stdout)));
   */
  onConnection(handler: FlowHandler | null): void;
  /** The neighbours on the links of Ethernet interfaces: who has which hardware address, and is it still there. */
  neighbors(): NativeNeighbor[];
  /** Gives a neighbour on an Ethernet interface a fixed hardware address: it is not asked for, and nothing changes it. */
  addNeighbor(options: NeighborOptions): void;
  /** Forgets a neighbour, fixed or learnt. */
  removeNeighbor(interfaceName: string, address: string): void;
  /** Adds a route. */
  addRoute(options: RouteOptions): void;
  /** Removes the route to a prefix; `default`: those of both families, as far as there are any. */
  removeRoute(to: string): void;
  /**
   * The stack's counters by name: what `nstat` would show, how many connections and listeners there are, and of the
   * devices `tx_blocked` (times one had no room), `tx_dropped` (packets given up for that) and `devices_lost` (removed
   * because they failed, as a TUN that was deleted).
   */
  stats(): NativeStats;
  /**
   * Ends the stack: destroys its sockets, closes its servers, resets what connections are left and lets its devices go.
   * Resolves once all of them have emitted `close`. Idempotent.
   */
  close(): Promise<void>;
  /** As `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}
/**
 * Makes a stack. Rejects, with a `code` and the remedy, where options are wrong or a device cannot be had.
 *
 * @example
 * const stack = await createStack({
 *   interfaces: [{ device: tun({ name: 'un0' }), addresses: ['198.18.0.2/24', 'fd00::2/64'] }],
 *   routes: [{ to: 'default', via: '198.18.0.1' }],
 * });
 */
export declare function createStack(options?: StackOptions): Promise<Stack>;
/** The two ends of a link within the process: one for each of two stacks. */
export declare function createLink(options?: LinkOptions): [
  LinkDevice,
  LinkDevice
];
/**
 * The default stack of this thread. Given devices with `addInterface` and `addRoute`, `usernet/net` reaches beyond this
 * process.
 */
export declare function defaultStack(): Stack;
/**
 * Makes the default stack with options, before anything has used it.
 * Throws `ERR_DEFAULT_STACK_IN_USE` after that.
 */
export declare function configureDefaultStack(options: StackOptions): Stack;
/** `node:net` on the default stack. */
export declare const net: Net;
/** `node:dgram` on the default stack. */
export declare const dgram: Dgram;
/** What `createBridge()` takes. */
export interface BridgeOptions {
  /** The ports it begins with. Default none. */
  ports?: BridgePortOptions[];
  /** For how long a station is remembered after it was heard, ms. Default 300,000 (IEEE 802.1D). */
  ageing?: number;
  /** Stations remembered at most; what is for others goes to every port. Default 8,192. */
  maxEntries?: number;
  /** Which thread passes frames, as with stacks. Default `thread`: it does not wait for JavaScript. */
  drive?: StackOptions["drive"];
}
/** A port of a bridge to be. */
export interface BridgePortOptions {
  /** A device that carries Ethernet frames. */
  device: Device;
  /** Its name. Default: that of the TAP, or `link0`, `port0`... */
  name?: string;
  /** Largest packet, bytes, without Ethernet header. Default, and most: the device's. */
  mtu?: number;
  /** The path of a file that gets what passes as pcapng. */
  capture?: string;
}
/** A port of a bridge, with what has passed it. */
export interface BridgePort {
  readonly name: string;
  /** Largest packet, bytes. */
  readonly mtu: number;
  /** Whether its link is up. */
  readonly up: boolean;
  /** Frames that came in, and their bytes. */
  readonly framesIn: number;
  readonly bytesIn: number;
  /** Frames that were sent out, and their bytes. */
  readonly framesOut: number;
  readonly bytesOut: number;
  /** Of those that came in: sent to all others, because they were for many, or their station was not known. */
  readonly flooded: number;
  /** Of those that came in: for a station on the same port, or for bridges alone (`01:80:c2:00:00:0x`). */
  readonly filtered: number;
  /** Of those that came in: no frames. */
  readonly malformed: number;
  /** Of those to be sent out: longer than the port carries, or beyond the 4 MiB that may wait. */
  readonly dropped: number;
}
/** A station that a bridge knows. */
export interface BridgeStation {
  readonly mac: string;
  /** The name of the port behind which it was heard last. */
  readonly port: string;
  /** How long ago, ms. */
  readonly age: number;
}
/** The events of a bridge. */
export interface BridgeEvents {
  /** A port's link went up or down, or its device failed and the port is gone. */
  port: [
    event: LinkEvent
  ];
  close: [
  ];
}
/**
 * A learning bridge (IEEE 802.1D): frames go where their station was heard, to all ports when it was not or they are for
 * many. Made by `createBridge()`. Without a spanning tree: ports must not form a loop. Does not keep the process alive.
 */
export declare class Bridge extends TypedEventEmitter<BridgeEvents> {
  #private;
  /** Whether `close()` was called. */
  get closed(): boolean;
  /** The ports, in the order they were added. */
  get ports(): BridgePort[];
  /** The stations it knows, those heard last first. */
  table(): BridgeStation[];
  /** Adds a port. Rejects where its device cannot be had, or carries no Ethernet frames. */
  addPort(options: BridgePortOptions): Promise<BridgePort>;
  /** Removes a port, and lets its device go. */
  removePort(name: string): Promise<void>;
  /** Takes a port's link up again. */
  setUp(name: string): void;
  /** Takes a port's link down: nothing comes in or goes out. */
  setDown(name: string): void;
  /** Watches the frames that pass a port. */
  tap(name: string, options?: TapOptions): Tap;
  /** Ends it and lets its devices go. Idempotent. */
  close(): Promise<void>;
  /** As `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}
/**
 * Makes a learning bridge between devices that carry Ethernet frames. Rejects where one cannot be had.
 *
 * @example
 * const [near, far] = createLink({ medium: 'ethernet' });
 * const bridge = await createBridge({ ports: [{ device: tap({ name: 'tap0' }) }, { device: near }] });
 * const stack = await createStack({ interfaces: [{ device: far, addresses: ['198.18.0.2/24'] }] });
 */
export declare function createBridge(options?: BridgeOptions): Promise<Bridge>;
/** An error of the operating system's kind, as `node:net` raises it. */
export interface SystemError extends Error {
  /** The name of the error, such as `ECONNREFUSED`. */
  code: string;
  /** The negative number of the error on this platform, as libuv has it. */
  errno: number;
  /** What was being done: `connect`, `listen`, `bind`, `read`, `write`, `shutdown`. */
  syscall: string;
  /** The address it was about, where there is one. */
  address?: string;
  /** The port it was about, where there is one. */
  port?: number;
  /** For `connect` with both a local address and a local port: that address. */
  localAddress?: string;
  /** For `connect` with both a local address and a local port: that port. */
  localPort?: number;
}
/** An error with one of Node's `ERR_` codes, or with a code of this package. */
export interface CodedError extends Error {
  code: string;
}
/** `net.connect` on the default stack: loopback, until it is given interfaces. */
export declare const connect: Connect, createConnection: Connect, createServer: {
  (connectionListener?: (socket: Socket) => void): Server;
  (options?: ServerOptions, connectionListener?: (socket: Socket) => void): Server;
};

export {
  ClientState as DhcpClientState,
  Lease as DhcpLease,
  NativeNeighbor as Neighbor,
  NativeStats as StackStats,
  NativeUdpInfo as DatagramInfo,
};

export {};
