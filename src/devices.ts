// Devices that carry Ethernet frames: TAP, packet sockets, UNIX sockets of virtual machines; and the checks of TUN and TAP.
import { invalidArgType, invalidArgValue } from './errors';
import { validateBoolean, validateInt32, validateString } from './net/validators';
import { checkImpairment, cidr, type Impairment, interfaceName, type TunOptions } from './options';

/** Most queues of a TUN (`MAX_LANES` in crates/node/src/lane.rs). */
const MAX_QUEUES = 64;

/** A TAP interface of the operating system; made by `tap()`. */
export interface TapDevice extends TapDeviceOptions {
  readonly kind: 'tap';
}

/** A packet socket on an existing Ethernet interface; made by `packetSocket()`. */
export interface PacketDevice extends PacketSocketOptions {
  readonly kind: 'packet';
}

/** A UNIX socket that carries a virtual machine's frames; made by `unixSocket()`. */
export interface UnixDevice {
  readonly kind: 'unix';
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
export function tap(options: TapDeviceOptions = {}): TapDevice {
  checkTun(options);
  if (options.queues !== undefined && options.queues !== 1) {
    throw invalidArgValue('options.queues', options.queues, 'is for tun(): a TAP has one queue here');
  }
  checkMac(options.mac, 'options.mac');
  checkMac(options.kernelMac, 'options.kernelMac');
  return { kind: 'tap', ...options };
}

/**
 * A packet socket on an existing Ethernet interface, such as one end of a veth pair in a namespace; opened when a stack
 * takes it. Needs CAP_NET_RAW. The kernel sees the frames too: give the interface no address there.
 */
export function packetSocket(options: PacketSocketOptions): PacketDevice {
  object(options, 'options');
  interfaceName(options.interface, 'options.interface');
  checkMac(options.mac, 'options.mac');
  checkImpairment(options.impairment);
  return { kind: 'packet', ...options };
}

/** Ethernet frames over a UNIX socket, as QEMU's `-netdev stream` and `-netdev dgram` speak them. */
export function unixSocket(options: UnixSocketOptions): UnixDevice {
  object(options, 'options');
  const given = (['connect', 'listen', 'local', 'remote'] as const).filter((name) => options[name] !== undefined);
  for (const name of given) validateString(options[name], `options.${name}`);
  if (!['connect', 'listen', 'local,remote'].includes(given.join())) {
    throw invalidArgValue('options', options, "must have either 'connect', or 'listen', or 'local' and 'remote'");
  }
  checkMac(options.mac, 'options.mac');
  checkImpairment(options.impairment);
  return { kind: 'unix', ...options };
}

/** Checks what TUN and TAP have in common. */
export function checkTun(options: TunOptions): void {
  object(options, 'options');
  const { name, offload, queueLength, queues, up, impairment, kernelAddresses, fd } = options;
  if (name !== undefined) interfaceName(name, 'options.name');
  if (offload !== undefined) validateBoolean(offload, 'options.offload');
  if (queueLength !== undefined) validateInt32(queueLength, 'options.queueLength', 1, 1_000_000);
  if (queues !== undefined) validateInt32(queues, 'options.queues', 1, MAX_QUEUES);
  if (up !== undefined) validateBoolean(up, 'options.up');
  if (fd !== undefined) {
    validateInt32(fd, 'options.fd', 0);
    if (kernelAddresses !== undefined) {
      throw invalidArgValue('options.kernelAddresses', kernelAddresses, "is for whoever opened 'fd' to set");
    }
  }
  if (kernelAddresses !== undefined) {
    if (!Array.isArray(kernelAddresses)) throw invalidArgType('options.kernelAddresses', 'Array', kernelAddresses);
    for (const address of kernelAddresses) cidr(address, 'options.kernelAddresses', false);
  }
  checkImpairment(impairment);
}

/** Checks how many queues a TUN is to have, and that it can have several. */
export function checkQueues({ queues, fd, impairment }: TunOptions): void {
  if (queues === undefined || queues === 1) return;
  if (fd !== undefined) {
    throw invalidArgValue(
      'options.queues',
      queues,
      "cannot be with 'fd', which is one queue: give the interface's name",
    );
  }
  if (impairment !== undefined) {
    throw invalidArgValue('options.queues', queues, "cannot be with 'impairment', which is of one wire: leave one out");
  }
}

/** Throws unless `value`, where there is one, is the hardware address of a station. */
export function checkMac(value: unknown, name: string): void {
  if (value === undefined) return;
  validateString(value, name);
  const bytes = /^[0-9a-f]{2}([:-][0-9a-f]{2}){5}$/i.test(value as string) ? (value as string).split(/[:-]/) : [];
  const first = Number.parseInt(bytes[0] ?? '1', 16);
  if (first % 2 !== 0 || bytes.every((byte) => byte === '00')) {
    throw invalidArgValue(name, value, "must be a station's hardware address, such as '02:00:00:00:00:01'");
  }
}

function object(value: unknown, name: string): void {
  if (value === null || typeof value !== 'object') throw invalidArgType(name, 'Object', value);
}
