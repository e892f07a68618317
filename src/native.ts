// The contract between TypeScript and the Node-API binding (crates/node), and the loading of the binding.
//
// Sockets and listeners are numbers: generational ids (index + generation * 2**32, below 2**53). A stale id is answered
// with -EBADF, never with a crash. Every method that can fail returns a negative errno (libuv's numbers, as
// `util.getSystemErrorName` takes them) and throws only for wrong argument types.
import * as path from 'node:path';
import { codedError } from './errors';
import type { ErrorReport } from './events';
import type { SocketInfo } from './info';

/** What happened, as `drain` reports it: `RECORD_SIZE` numbers a record in the `Int32Array` handed to the constructor. */
export const enum RecordKind {
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

  // What is beside TCP. Those with an end take another record each that holds it: port (with 1 << 16 for IPv6), four
  // numbers of the address in network order (an IPv4 address in the first), and one more number.
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
  Report = 20,
}

/** What became of an interface. */
export const enum InterfaceNews {
  Lost = 0,
  Up = 1,
  Down = 2,
  AddressAdded = 3,
  AddressChanged = 4,
  AddressRemoved = 5,
  AddressContested = 6,
}

/** What may be done with an address, by number. */
export const ADDRESS_STATES = ['tentative', 'optimistic', 'preferred', 'deprecated', 'duplicate'] as const;

/** How a ping ended. */
export const enum PingResult {
  /** Hop limit and 1 << 8 when the data came back as it was sent; bytes of data. */
  Reply = 0,
  /** 1 when fragments were waited for. */
  TimeExceeded = 1,
  /** ICMP's code; errno (positive). */
  Unreachable = 2,
  /** Nothing; the next hop's MTU in bytes. */
  TooBig = 3,
  /** ICMP's code; the byte at fault. */
  ParameterProblem = 4,
  TimedOut = 5,
}

/** Int32s per record: kind, id index, id generation, a, b, c. */
export const RECORD_SIZE = 6;

/** Counters by name. */
export type NativeStats = Record<string, number>;

/** What `ss -ti` would show (crates/core `Info`): durations in ms as fractions, sizes in bytes. */
export type NativeInfo = SocketInfo;

export interface NativeAddress {
  address: string;
  port: number;
  family: 'IPv4' | 'IPv6';
}

/** A neighbour: an entry of the ARP or neighbour cache of an Ethernet interface. */
export interface NativeNeighbor {
  /** The name of the interface. */
  interface: string;
  address: string;
  /** Its hardware address, where it is known. */
  mac?: string;
  /** What is known of its reachability (RFC 4861 section 7.3.2). */
  state: 'incomplete' | 'reachable' | 'stale' | 'delay' | 'probe' | 'failed' | 'permanent';
  /** Whether it is a router (IPv6). */
  router: boolean;
}

export interface NativeInterfaceOptions {
  name: string;
  mtu?: number;
  addresses: string[]; // CIDR
  slaac?: boolean;
  routerAdvertisements?: boolean;
  duplicateAddressDetection?: 'optimistic' | 'strict' | 'off';
  identifierKey?: Uint8Array; // 16 bytes
  capture?: string; // path
  /** It is a port of the stack's bridge. */
  bridge?: boolean;
  mac?: string;
  acceptAny?: boolean;
  device:
    | {
        kind: 'tun';
        name?: string;
        offload?: boolean;
        queueLength?: number;
        queues?: number; // 1-64; a TAP has one
        up?: boolean;
        impairment?: NativeImpairment; // without offload, whatever it says
        kernelAddresses?: string[]; // CIDR
        fd?: number;
      }
    | {
        kind: 'tap';
        name?: string;
        offload?: boolean;
        queueLength?: number;
        up?: boolean;
        impairment?: NativeImpairment;
        kernelAddresses?: string[];
        fd?: number;
        mac?: string;
        kernelMac?: string;
      }
    | { kind: 'packet'; interface: string; mac?: string; impairment?: NativeImpairment }
    | {
        kind: 'unix';
        connect?: string;
        listen?: string;
        local?: string;
        remote?: string;
        mac?: string;
        impairment?: NativeImpairment;
      }
    | { kind: 'link'; link: NativeLinkEnd }
    | { kind: 'port'; port: NativePort; mac?: string | undefined; impairment?: NativeImpairment | undefined };
}

/** One end of an in-process link; given to one stack, once. */
export type NativeLinkEnd = object;

/** The program's end of a frame port; its device is given to one stack, once. */
export interface NativePort {
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

export interface NativeLinkOptions extends NativeImpairment {
  medium?: 'ip' | 'ethernet';
  mtu?: number;
  capacity?: number; // frames each way
}

/** What is done to each direction: probabilities 0-1, ms, bit/s, bytes, and the seed of the generator. */
export interface NativeImpairment {
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

export interface NativeStackOptions {
  loopback?: boolean;
  recvBuffer?: number | { min?: number; default?: number; max?: number };
  sendBuffer?: number | { min?: number; default?: number; max?: number };
  maxReceiveMemory?: number;
  maxSendMemory?: number;
  maxSynBacklog?: number;
  synCookies?: boolean | 'always';
  userTimeout?: number; // ms
  userTimeoutOption?: boolean;
  failConnectOnSoftError?: boolean;
  ttl?: number; // 1-255
  rtoMin?: number; // ms
  rtoMax?: number; // ms
  mtuProbing?: string; // 'off', 'blackHole', 'always'
  timeWait?: number; // ms
  maxConnections?: number;
  ecn?: string;
  forwarding?: boolean;
  maxFlows?: number;
  flowTimeout?: number; // ms
  udpFlowIdle?: number; // ms
  trace?: boolean;
  congestion?: string;
  pacing?: boolean;
  drive?: 'auto' | 'loop' | 'thread';
  busyPoll?: number; // microseconds
  /** Whether received bytes may be shown where they lie, in external buffers. Default: where the runtime allows them. */
  externalBuffers?: boolean;
  /** Whether segments are merged on receive, where the device does not do so. Default: yes. */
  coalesce?: boolean;
  bridgeAgeing?: number | undefined; // ms
  bridgeEntries?: number | undefined;
}

/** What can be set of a UDP socket; buffers in bytes, 1 and 0 for on and off. */
export type NativeUdpOption =
  | 'broadcast'
  | 'ttl'
  | 'multicastTtl'
  | 'multicastLoopback'
  | 'multicastInterface'
  | 'recvBuffer'
  | 'sendBuffer'
  | 'trafficClass'
  | 'dontFragment';

/** Counters and settings of a UDP socket. Names are `ss`'s. */
export interface NativeUdpInfo {
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

/** A frame that passed an interface that is watched. */
export interface NativeFrame {
  outgoing: boolean;
  time: number; // ms since 1970
  length: number;
  data: Buffer;
}

/** The part of a stack that is beside TCP. Interfaces are their numbers, loopback's is 0; -1 names none. */
export interface NativeDatagrams {
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
  rawOpen(
    protocol: number,
    ipv6: boolean,
    interfaceId: number,
    hopLimit: number,
    recvBuffer: number,
    checksumOffset: number,
  ): number;
  rawSend(id: number, data: Uint8Array, address: string, source: string): number;
  rawClose(id: number): number;
  rawDrops(id: number): number;

  /** Returns the id of what Ping will report. timeout in ms. */
  ping(
    address: string,
    source: string,
    seq: number,
    size: number,
    hopLimit: number,
    timeout: number,
    dontFragment: boolean,
  ): number;
  pingCancel(id: number): number;

  /**
   * Returns the id of the TCP or UDP socket that the flow becomes; of TCP, Connect or Error follows. fastOpen is the most
   * flows that exchange data before their handshake is over.
   */
  flowAccept(index: number, version: number, fastOpen?: number): number;
  flowDecide(index: number, version: number, how: 'reject' | 'prohibit' | 'drop' | 'pass'): number;

  setInterface(id: number, name: 'hold' | 'acceptAny', on: boolean): number;
  addAddress(interfaceId: number, cidr: string): number;
  removeAddress(interfaceId: number, address: string): number;
  /** What has passed the ports of the bridge. */
  bridgePorts(): Array<
    Record<
      | 'interface'
      | 'framesIn'
      | 'bytesIn'
      | 'framesOut'
      | 'bytesOut'
      | 'flooded'
      | 'filtered'
      | 'malformed'
      | 'dropped',
      number
    >
  >;
  bridgeTable(): Array<{ mac: string; interface: number; age: number }>; // ms
  /** Loopback among them, whose number is 0. */
  interfaces(): Array<{ interface: number; name: string; mtu: number; up: boolean; mac?: string }>;
  /** Throw where the system refuses, with its code and the remedy. */
  setMtu(interfaceId: number, mtu: number): number;
  setLink(interfaceId: number, up: boolean): number;
  addNeighbor(interfaceId: number, address: string, mac: string): number;
  removeNeighbor(interfaceId: number, address: string): number;
  routes(): Array<{ to: string; via: string | null; interface: number }>;
  /** Begins to queue frames for `takeFrames`, at most so many and so many bytes; 0 frames ends it. */
  watch(interfaceId: number, frames: number, bytes: number, snapLength: number): number;
  takeFrames(interfaceId: number): { frames: NativeFrame[]; dropped: number; more: boolean } | null;
}

/** The part of a stack that is interfaces, TCP, and the stack itself. */
export interface NativeStreams {
  /** Adds an interface; returns its id, or throws an error with code, errno, syscall and the remedy in its message. */
  addInterface(options: NativeInterfaceOptions): number;
  removeInterface(id: number): number;
  /** `to` is a CIDR; `via` a next hop on the interface's link, or null. */
  addRoute(to: string, via: string | null, interfaceId: number): number;
  removeRoute(to: string): number;
  neighbors(): NativeNeighbor[];
  addresses(): Array<{ interface: number; name: string; cidr: string }>;

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

/** A stack of the binding. */
export interface NativeStack extends NativeStreams, NativeDatagrams {}

export interface NativeBinding {
  NativeStack: new (options: NativeStackOptions, events: Int32Array, doorbell: () => void) => NativeStack;
  /** The two ends of an in-process link. */
  createLink(options: NativeLinkOptions): [NativeLinkEnd, NativeLinkEnd];
}

/** The native module. */
export interface NativeModule extends NativeBinding {
  NativePort: new (options: { medium: 'ip' | 'ethernet'; mtu: number; capacity: number }) => NativePort;
}

/** The platform's name in napi-rs's scheme: `linux-x64-gnu`, `darwin-arm64`, `win32-x64-msvc`. */
export function platformName(): string {
  const { platform, arch } = process;
  if (platform === 'linux') return `linux-${arch}-${isMusl() ? 'musl' : 'gnu'}`;
  return platform === 'win32' ? `win32-${arch}-msvc` : `${platform}-${arch}`;
}

function isMusl(): boolean {
  const report = process.report as unknown as { excludeNetwork: boolean; getReport(): { header: object } };
  // Listing network interfaces in the report can take seconds; the option is newer than Node 20.17.
  const before = report.excludeNetwork;
  report.excludeNetwork = true;
  const { header } = report.getReport();
  report.excludeNetwork = before;
  return !('glibcVersionRuntime' in header);
}

let binding: NativeModule | null = null;

/**
 * The native module: beside the package as built from source, or from the platform's package. Throws
 * `ERR_BINDING_NOT_FOUND`, with the platform's name and the remedy, where there is none.
 */
export function loadBinding(): NativeModule {
  if (binding !== null) return binding;
  const platform = platformName();
  const causes: unknown[] = [];
  for (const name of [path.join(__dirname, '..', `usernet.${platform}.node`), `usernet-${platform}`]) {
    try {
      binding = require(name) as NativeModule;
      return binding;
    } catch (error) {
      causes.push(error);
    }
  }
  const missing = causes.every((cause) => (cause as { code?: string }).code === 'MODULE_NOT_FOUND');
  const error = codedError(
    Error,
    'ERR_BINDING_NOT_FOUND',
    missing
      ? `There is no native binding of usernet for ${platform} here. Install the package usernet-${platform} (it comes with usernet unless optional dependencies are omitted), or build it from source with cargo: npm run build.`
      : `The native binding of usernet for ${platform} could not be loaded: ${describeCauses(causes)}. Install the package again, or build it from source with cargo: npm run build.`,
  );
  error.cause = causes.at(-1);
  throw error;
}

function describeCauses(causes: unknown[]): string {
  return causes
    .filter((cause) => (cause as { code?: string }).code !== 'MODULE_NOT_FOUND')
    .map((cause) => (cause as Error).message)
    .join('; ');
}
