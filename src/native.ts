// The contract between TypeScript and the Node-API binding (crates/node), and the loading of the binding.
//
// Sockets and listeners are numbers: generational ids (index + generation * 2**32, below 2**53). A stale id is answered
// with -EBADF, never with a crash. Every method that can fail returns a negative errno (libuv's numbers, as
// `util.getSystemErrorName` takes them) and throws only for wrong argument types.
import * as path from 'node:path';
import { codedError } from './errors';

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
  /** A listener accepted: id is the listener's; a = index, b = generation of the new socket. It starts `readStop`ped. */
  Accept = 6,
  /** All that was sent, FIN included, is acknowledged, or there is no more hope for it. */
  Flushed = 7,
  /** The connection is gone; the id is stale from here on. TIME-WAIT counts as gone. */
  Closed = 8,
}

/** Int32s per record: kind, id index, id generation, a, b, c. */
export const RECORD_SIZE = 6;

/** Counters by name. */
export type NativeStats = Record<string, number>;

/** What `ss -ti` would show (crates/core `Info`): durations in ms as fractions, sizes in bytes. */
export type NativeInfo = Record<string, number | string | boolean>;

export interface NativeAddress {
  address: string;
  port: number;
  family: 'IPv4' | 'IPv6';
}

export interface NativeInterfaceOptions {
  name: string;
  mtu?: number;
  addresses: string[]; // CIDR
  device:
    | {
        kind: 'tun';
        name?: string;
        offload?: boolean;
        queueLength?: number;
        up?: boolean;
        impairment?: NativeImpairment; // without offload, whatever it says
      }
    | { kind: 'link'; link: NativeLinkEnd };
}

/** One end of an in-process link; given to one stack, once. */
export type NativeLinkEnd = object;

export interface NativeLinkOptions extends NativeImpairment {
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
  recvBuffer?: number;
  sendBuffer?: number;
  timeWait?: number; // ms
  maxConnections?: number;
  trace?: boolean;
}

export interface NativeStack {
  /** Adds an interface; returns its id, or throws an error with code, errno, syscall and the remedy in its message. */
  addInterface(options: NativeInterfaceOptions): number;
  removeInterface(id: number): number;
  /** `to` is a CIDR; `via` a next hop on the interface's link, or null. */
  addRoute(to: string, via: string | null, interfaceId: number): number;
  removeRoute(to: string): number;
  addresses(): Array<{ interface: number; name: string; cidr: string }>;

  /** address '::' listens on both families unless ipv6Only. Returns the listener's id. */
  listen(address: string, port: number, backlog: number, ipv6Only: boolean): number;
  listenerAddress(id: number): NativeAddress | null;
  closeListener(id: number): number;

  /** Returns the socket's id; Connect or Error follows. localAddress '' and localPort 0 leave the choice to the stack. */
  connect(address: string, port: number, localAddress: string, localPort: number): number;
  /** Copies into the send queue as much as fits; returns the bytes taken. Less than all: Writable follows. */
  write(id: number, data: Uint8Array): number;
  writev(id: number, chunks: Uint8Array[]): number;
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
  setKeepAlive(id: number, on: boolean, initialDelay: number, interval: number, count: number): number;
  setTypeOfService(id: number, tos: number): number;
  getTypeOfService(id: number): number;
  info(id: number): NativeInfo | null;
  stats(): NativeStats;

  /**
   * Fills the events array with up to its capacity of records and returns their number; call again while it is full.
   * Called when the doorbell rang.
   */
  drain(): number;
  /** The buffer that Data records name by index: a view on memory outside V8, recycled once nobody holds it. */
  slab(index: number): Buffer;
  /** Takes what the trace recorded: typed event objects (see src/events.ts). */
  takeTrace(): object[];

  /** Whether the doorbell keeps the event loop alive. Starts unref'd. */
  ref(): void;
  unref(): void;
  /** Resets every connection, joins the packet thread, closes the devices. Idempotent, no callback afterwards. */
  shutdownStack(): void;
}

export interface NativeBinding {
  NativeStack: new (options: NativeStackOptions, events: Int32Array, doorbell: () => void) => NativeStack;
  /** The two ends of an in-process link. */
  createLink(options: NativeLinkOptions): [NativeLinkEnd, NativeLinkEnd];
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

let binding: NativeBinding | null = null;

/**
 * The native module: beside the package as built from source, or from the platform's package. Throws
 * `ERR_BINDING_NOT_FOUND`, with the platform's name and the remedy, where there is none.
 */
export function loadBinding(): NativeBinding {
  if (binding !== null) return binding;
  const platform = platformName();
  const causes: unknown[] = [];
  for (const name of [path.join(__dirname, '..', `usernet.${platform}.node`), `usernet-${platform}`]) {
    try {
      binding = require(name) as NativeBinding;
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
