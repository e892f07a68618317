// What stacks, interfaces, devices and routes are made with, and the checks: errors name the value and the remedy.
import { isIP, isIPv6 } from 'node:net';
import { types } from 'node:util';
import { checkMac, checkQueues, checkTun, type PacketDevice, type TapDevice, type UnixDevice } from './devices';
import type { DnsOptions } from './dns/dns';
import { codedError, invalidArgType, invalidArgValue, outOfRange } from './errors';
import { type FramePort, kPortDevice } from './frame-port';
import type { NativeInterfaceOptions, NativeLinkEnd, NativeLinkOptions, NativeStackOptions } from './native';
import { validateBoolean, validateInt32, validateString } from './net/validators';

/** A TUN interface of the operating system; made by `tun()`. */
export interface TunDevice extends TunOptions {
  readonly kind: 'tun';
}

/** One end of an in-process link; made by `createLink()`. Belongs to one stack, once. */
export interface LinkDevice {
  readonly kind: 'link';
  /** @internal */
  readonly link: NativeLinkEnd;
}

/** Where an interface's packets come from and go to. */
export type Device = TunDevice | TapDevice | PacketDevice | UnixDevice | LinkDevice | FramePort;

/** What the frames of a device begin with: an IP header, or Ethernet's. */
export type Medium = 'ip' | 'ethernet';

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
  duplicateAddressDetection?: 'optimistic' | 'strict' | 'off';
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

const ECN_POLICIES = ['off', 'classic', 'passive', 'accurate', 'accurate-classic', 'accurate-passive'] as const;

/** Which congestion notification a stack's connections ask for and agree to. */
export type EcnPolicy = (typeof ECN_POLICIES)[number];

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
  synCookies?: boolean | 'always';
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
  mtuProbing?: 'off' | 'blackHole' | 'always';
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
  drive?: 'auto' | 'loop' | 'thread';
  /**
   * For how long the event loop, where it drives, looks for more before it goes to sleep after packets came, microseconds,
   * 0-1,000; whatever else the loop has to do comes first. Saves the wake-up of an answer that comes within it, and costs the
   * processor. 0: never. Default: 50 while what comes is one or two small packets at a time, at most 100 microseconds apart,
   * eight times in a row, and until nothing came once. Linux has the same by this name (`net.core.busy_poll`).
   */
  busyPoll?: number;
}

/** The congestion controls there are. */
const CONGESTION_CONTROLS = ['cubic', 'newreno', 'bbr'] as const;

/**
 * A congestion control by name: `cubic` (RFC 9438 with HyStart++, RFC 9406), `newreno` (RFC 5681 with RFC 6582), `bbr`
 * (BBR version 3, draft-ietf-ccwg-bbr).
 */
export type CongestionControl = (typeof CONGESTION_CONTROLS)[number];

/** Throws unless `value` is the name of a congestion control. */
export function validateCongestion(value: unknown, name: string): asserts value is CongestionControl {
  validateString(value, name);
  if (!(CONGESTION_CONTROLS as readonly unknown[]).includes(value)) {
    const names = CONGESTION_CONTROLS.map((known) => `'${known}'`).join(', ');
    throw invalidArgValue(name, value, `must be the name of a congestion control: one of ${names}`);
  }
}

/** Longest name of an interface, bytes: Linux's IFNAMSIZ without the terminator. */
const MAX_NAME = 15;
const DEVICES: readonly unknown[] = ['tun', 'tap', 'packet', 'unix', 'link', 'port'];
const MAKERS = 'tun(), tap(), packetSocket(), unixSocket(), framePort() or createLink()';
const DETECTIONS: readonly unknown[] = ['optimistic', 'strict', 'off'];
const MAX_MTU = 65535;
/** What every host has to take whole (RFC 791 section 3.1). */
const MIN_MTU_IPV4 = 576;
const MIN_MTU_IPV6 = 1280;
const MIN_BUFFER = 2048;
const MAX_BUFFER = 1 << 30;
/** Longest timeout that can be set, ms: 24 days. */
const MAX_TIMEOUT = 2_147_483_647;

/** A TUN interface, opened when a stack takes it. Needs CAP_NET_ADMIN (or a namespace of one's own) and `/dev/net/tun`. */
export function tun(options: TunOptions = {}): TunDevice {
  checkTun(options);
  checkQueues(options);
  return { kind: 'tun', ...options };
}

/** Checks what `createLink` was given. */
export function linkOptions(options: LinkOptions): NativeLinkOptions {
  object(options, 'options');
  impairmentOptions(options, 'options');
  if (options.mtu !== undefined) mtuOption(options.mtu, 'options.mtu');
  if (options.capacity !== undefined) validateInt32(options.capacity, 'options.capacity', 1, 1 << 20);
  checkMedium(options.medium);
  return options;
}

/** Checks what frames are to begin with, where it is said. */
export function checkMedium(medium: unknown): void {
  if (medium !== undefined && medium !== 'ip' && medium !== 'ethernet') {
    throw invalidArgValue('options.medium', medium, "must be 'ip' or 'ethernet'");
  }
}

/** Throws unless `value` can be an MTU; with IPv6 it has to be more. */
export function mtuOption(value: number, name: string): void {
  mtu(value, name, MIN_MTU_IPV4, '');
}

/** Checks an impairment, where there is one. */
export function checkImpairment(options: Impairment | undefined): void {
  if (options === undefined) return;
  object(options, 'options.impairment');
  impairmentOptions(options, 'options.impairment');
}

function impairmentOptions(options: Impairment, where: string): void {
  for (const name of ['loss', 'duplicate', 'reorder', 'corrupt'] as const)
    number(options[name], `${where}.${name}`, 0, 1);
  for (const name of ['delay', 'jitter', 'reorderBy'] as const) number(options[name], `${where}.${name}`, 0, 3_600_000);
  number(options.rate, `${where}.rate`, 1, Number.MAX_SAFE_INTEGER);
  number(options.queue, `${where}.queue`, 1, MAX_BUFFER);
  number(options.seed, `${where}.seed`, 0, Number.MAX_SAFE_INTEGER);
}

function bufferSize(size: number | BufferSize | undefined, where: string): void {
  if (size === undefined) return;
  if (typeof size === 'number') {
    validateInt32(size, where, MIN_BUFFER, MAX_BUFFER);
    return;
  }
  object(size, where);
  const { min, default: first, max } = size;
  for (const [name, bytes] of Object.entries({ min, default: first, max })) {
    if (bytes !== undefined) validateInt32(bytes, `${where}.${name}`, MIN_BUFFER, MAX_BUFFER);
  }
  const bounds = [min, first, max].filter((bytes) => bytes !== undefined);
  if (bounds.some((bytes, i) => bytes < (bounds[i - 1] ?? 0))) {
    throw invalidArgValue(where, size, 'must have min <= default <= max');
  }
}

/** Checks what a stack is made with, but for interfaces and routes. */
export function stackOptions(options: StackOptions): NativeStackOptions {
  object(options, 'options');
  const { loopback, recvBuffer, sendBuffer, timeWait, maxConnections, trace, congestion, pacing } = options;
  const { forwarding, maxFlows, flowTimeout, udpFlowIdle } = options;
  if (loopback !== undefined) validateBoolean(loopback, 'options.loopback');
  const { maxReceiveMemory, maxSendMemory, maxSynBacklog, synCookies, userTimeout, rtoMin, rtoMax, mtuProbing } =
    options;
  bufferSize(recvBuffer, 'options.recvBuffer');
  bufferSize(sendBuffer, 'options.sendBuffer');
  number(maxReceiveMemory, 'options.maxReceiveMemory', 1, Number.MAX_SAFE_INTEGER);
  number(maxSendMemory, 'options.maxSendMemory', 1, Number.MAX_SAFE_INTEGER);
  number(maxSynBacklog, 'options.maxSynBacklog', 1, 1 << 20);
  if (synCookies !== undefined && synCookies !== 'always') validateBoolean(synCookies, 'options.synCookies');
  number(userTimeout, 'options.userTimeout', 0, MAX_TIMEOUT);
  const { userTimeoutOption, failConnectOnSoftError } = options;
  if (userTimeoutOption !== undefined) validateBoolean(userTimeoutOption, 'options.userTimeoutOption');
  if (failConnectOnSoftError !== undefined) validateBoolean(failConnectOnSoftError, 'options.failConnectOnSoftError');
  if (options.ttl !== undefined) validateInt32(options.ttl, 'options.ttl', 1, 255);
  number(rtoMin, 'options.rtoMin', 1, 60_000);
  number(rtoMax, 'options.rtoMax', rtoMin ?? 200, MAX_TIMEOUT);
  if (mtuProbing !== undefined && !['off', 'blackHole', 'always'].includes(mtuProbing)) {
    throw invalidArgValue('options.mtuProbing', mtuProbing, "must be 'off', 'blackHole' or 'always'");
  }
  if (timeWait !== undefined) number(timeWait, 'options.timeWait', 0, 3_600_000);
  if (maxConnections !== undefined) validateInt32(maxConnections, 'options.maxConnections', 1, 1 << 24);
  if (trace !== undefined) validateBoolean(trace, 'options.trace');
  if (forwarding !== undefined) validateBoolean(forwarding, 'options.forwarding');
  if (maxFlows !== undefined) validateInt32(maxFlows, 'options.maxFlows', 1, 1 << 20);
  if (options.dns !== undefined) object(options.dns, 'options.dns');
  number(flowTimeout, 'options.flowTimeout', 1, 3_600_000);
  number(udpFlowIdle, 'options.udpFlowIdle', 1, 86_400_000);
  if (congestion !== undefined) validateCongestion(congestion, 'options.congestion');
  if (pacing !== undefined) validateBoolean(pacing, 'options.pacing');
  number(options.busyPoll, 'options.busyPoll', 0, 1_000);
  if (options.drive !== undefined && !isDrive(options.drive)) throw wrongDrive('options.drive', options.drive);
  for (const name of ['interfaces', 'routes'] as const) {
    if (options[name] !== undefined && !Array.isArray(options[name])) {
      throw invalidArgType(`options.${name}`, 'Array', options[name]);
    }
  }
  const { ecn } = options;
  if (ecn !== undefined && !ECN_POLICIES.includes(ecn)) {
    throw invalidArgValue('options.ecn', ecn, `must be one of: ${ECN_POLICIES.map((p) => `'${p}'`).join(', ')}`);
  }
  const flows = { ecn, forwarding, maxFlows, flowTimeout, udpFlowIdle };
  const memory = { maxReceiveMemory, maxSendMemory, maxSynBacklog, synCookies };
  const tcp = {
    recvBuffer,
    sendBuffer,
    userTimeout,
    userTimeoutOption,
    failConnectOnSoftError,
    ttl: options.ttl,
    rtoMin,
    rtoMax,
    mtuProbing,
    ...memory,
  };
  const { busyPoll } = options;
  const externalBuffers = process.env.USERNET_EXTERNAL_BUFFERS !== 'never';
  const coalesce = process.env.USERNET_COALESCE !== 'never';
  const driven = { drive: drive(options.drive), busyPoll, externalBuffers, coalesce };
  return { loopback, timeWait, maxConnections, trace, congestion, pacing, ...tcp, ...flows, ...driven };
}

/** Who drives: as asked for, or as the environment has it, where the runtime can. */
function drive(asked: Drive | undefined): Drive {
  const { USERNET_DRIVE: preset = 'auto' } = process.env;
  if (asked === undefined && !isDrive(preset)) throw wrongDrive('USERNET_DRIVE', preset);
  const wanted = asked ?? (preset as Drive);
  // Other runtimes have functions of libuv's names that do nothing, or end the process.
  const { bun, deno, uv } = process.versions;
  return wanted === 'auto' && (uv === undefined || bun !== undefined || deno !== undefined) ? 'thread' : wanted;
}

type Drive = NonNullable<StackOptions['drive']>;

function isDrive(value: unknown): value is Drive {
  return value === 'auto' || value === 'loop' || value === 'thread';
}

function wrongDrive(name: string, value: unknown): Error {
  return invalidArgValue(name, value, "must be 'auto', 'loop' or 'thread'");
}

/** Checks an interface. `taken` are the names of those the stack has. */
export function interfaceOptions(options: InterfaceOptions, taken: readonly string[]): NativeInterfaceOptions {
  object(options, 'interface');
  const { device, addresses, slaac, duplicateAddressDetection: detection, capture } = options;
  if (!DEVICES.includes(device?.kind)) {
    throw invalidArgValue('interface.device', device, `must be made by ${MAKERS}`);
  }
  if (slaac !== undefined) validateBoolean(slaac, 'interface.slaac');
  const { routerAdvertisements } = options;
  if (routerAdvertisements !== undefined) validateBoolean(routerAdvertisements, 'interface.routerAdvertisements');
  checkMac(options.mac, 'interface.mac');
  if (detection !== undefined && !DETECTIONS.includes(detection)) {
    const remedy = "must be 'optimistic', 'strict' or 'off'";
    throw invalidArgValue('interface.duplicateAddressDetection', detection, remedy);
  }
  if (options.identifierKey !== undefined) identifierKey(options.identifierKey);
  if (capture !== undefined) validateString(capture, 'interface.capture');
  if (!Array.isArray(addresses)) throw invalidArgType('interface.addresses', 'Array', addresses);
  for (const address of addresses) cidr(address, 'interface.addresses', false);
  if (options.mtu !== undefined) {
    const hasIpv6 = addresses.some((address) => isIPv6(address.split('/')[0] as string));
    const why = hasIpv6 ? ' for an interface with an IPv6 address (RFC 8200 section 5)' : ' (RFC 791)';
    mtu(options.mtu, 'interface.mtu', hasIpv6 ? MIN_MTU_IPV6 : MIN_MTU_IPV4, why);
  }
  const name =
    options.name ??
    (device.kind === 'tun' || device.kind === 'tap' ? device.name : undefined) ??
    freeName(device.kind, taken);
  interfaceName(name, 'interface.name');
  if (taken.includes(name)) {
    throw codedError(
      Error,
      'EEXIST',
      `The stack has an interface named '${name}' already. Give this one another name: { name: '...', device, addresses }.`,
    );
  }
  if (options.acceptAny !== undefined) validateBoolean(options.acceptAny, 'interface.acceptAny');
  return {
    name,
    mtu: options.mtu,
    addresses,
    slaac,
    routerAdvertisements,
    duplicateAddressDetection: detection,
    capture,
    mac: options.mac,
    identifierKey: options.identifierKey,
    acceptAny: options.acceptAny,
    device: device.kind === 'port' ? device[kPortDevice] : { ...device },
  };
}

function identifierKey(key: unknown): void {
  if (!types.isUint8Array(key)) throw invalidArgType('interface.identifierKey', ['Buffer', 'Uint8Array'], key);
  if (key.length !== 16) {
    throw invalidArgValue('interface.identifierKey', key, 'must have 16 bytes, such as crypto.randomBytes(16)');
  }
}

/** A route with its prefix and its next hop checked; `default` is spelled out. */
export function routeOptions(options: RouteOptions): { to: string; via: string | null; interface: string | null } {
  object(options, 'route');
  const { to, via } = options;
  validateString(to, 'route.to');
  if (via !== undefined && isIP(via) === 0) {
    throw invalidArgValue('route.via', via, "must be an IP address without a prefix, such as '198.18.0.1'");
  }
  if (options.interface !== undefined) validateString(options.interface, 'route.interface');
  if (via === undefined && options.interface === undefined) {
    throw invalidArgValue('route', options, "must have 'via' (the next hop) or 'interface' (its name)");
  }
  const prefix = to === 'default' ? (via !== undefined && isIPv6(via) ? '::/0' : '0.0.0.0/0') : to;
  cidr(prefix, 'route.to', true);
  if (via !== undefined && isIPv6(prefix.split('/')[0] as string) !== isIPv6(via)) {
    throw invalidArgValue('route.via', via, `must be of the same family as the prefix '${prefix}'`);
  }
  return { to: prefix, via: via ?? null, interface: options.interface ?? null };
}

/** The prefixes that `to` of a route to remove stands for: both families' for `default`. */
export function routePrefixes(to: string): string[] {
  if (to === 'default') return ['0.0.0.0/0', '::/0'];
  cidr(to, 'route.to', true);
  return [to];
}

/** Whether `address` is in the network of `prefix`. */
export function contains(prefix: string, address: string): boolean {
  const [network, length] = prefix.split('/') as [string, string];
  if (isIPv6(network) !== isIPv6(address)) return false;
  const bits = isIPv6(network) ? 128n : 32n;
  const shift = bits - BigInt(length);
  return toNumber(network) >> shift === toNumber(address) >> shift;
}

function toNumber(address: string): bigint {
  if (!isIPv6(address)) return address.split('.').reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
  // The URL parser spells IPv6 addresses out in hexadecimal, embedded IPv4 ones too.
  const text = new URL(`http://[${address.split('%')[0]}]`).hostname.slice(1, -1);
  const [head, tail] = text.split('::') as [string, string | undefined];
  const left = head ? head.split(':') : [];
  const right = tail ? tail.split(':') : [];
  const middle = Array<string>(8 - left.length - right.length).fill('0');
  return [...left, ...middle, ...right].reduce((sum, group) => (sum << 16n) | BigInt(`0x${group}`), 0n);
}

function object(value: unknown, name: string): void {
  if (value === null || typeof value !== 'object') throw invalidArgType(name, 'Object', value);
}

function number(value: number | undefined, name: string, min: number, max: number): void {
  if (value === undefined) return;
  if (typeof value !== 'number') throw invalidArgType(name, 'number', value);
  if (!(value >= min && value <= max)) throw outOfRange(name, `>= ${min} && <= ${max}`, value);
}

function mtu(value: number, name: string, min: number, why: string): void {
  if (typeof value !== 'number') throw invalidArgType(name, 'number', value);
  if (!Number.isInteger(value) || value < min || value > MAX_MTU) {
    throw outOfRange(name, `an integer >= ${min}${why} && <= ${MAX_MTU}`, value);
  }
}

/** Throws unless `value` can be the name of an interface. */
export function interfaceName(value: string, name: string): void {
  validateString(value, name);
  if (Buffer.byteLength(value) > MAX_NAME) {
    throw codedError(
      RangeError,
      'ENAMETOOLONG',
      `The interface name '${value}' (${name}) has ${Buffer.byteLength(value)} bytes; ${MAX_NAME} are the most. Choose a shorter one.`,
    );
  }
  if (value === '' || value === '.' || value === '..' || /[\s/:]/.test(value)) {
    throw invalidArgValue(name, value, 'must be a name without blanks, slashes and colons');
  }
}

function freeName(kind: string, taken: readonly string[]): string {
  for (let index = 0; ; index++) {
    if (!taken.includes(`${kind}${index}`)) return `${kind}${index}`;
  }
}

/** Throws unless `value` is an address with the length of its prefix, or, for a network, a prefix. */
export function cidr(value: unknown, name: string, network: boolean): void {
  const example = network ? "'192.0.2.0/24'" : "'198.18.0.2/24' or 'fd00::2/64'";
  validateString(value, name);
  const [address, length, more] = (value as string).split('/');
  const family = isIP(address as string);
  if (family === 0)
    throw invalidArgValue(name, value, `must be an IP address with a prefix length, such as ${example}`);
  const bits = family === 4 ? 32 : 128;
  if (length === undefined) {
    throw invalidArgValue(name, value, `needs the length of its prefix, such as ${example}`);
  }
  if (more !== undefined || !/^\d{1,3}$/.test(length) || Number(length) > bits) {
    throw invalidArgValue(name, value, `has a prefix length that is not from 0 to ${bits}`);
  }
}
