// The binding's contract over plain JavaScript queues: one stack with loopback, links between stacks. For unit tests.
import { getSystemErrorMap } from 'node:util';
import type {
  NativeAddress,
  NativeBinding,
  NativeInfo,
  NativeInterfaceOptions,
  NativeLinkOptions,
  NativeStackOptions,
  NativeStats,
  NativeStreams,
} from '../../src/native';

const RECORD_SIZE = 6;
const [Data, End, Connect, Failed, Writable, Accept, Flushed, Closed] = [1, 2, 3, 4, 5, 6, 7, 8];
const SLAB = 1 << 20;

const errno = Object.fromEntries([...getSystemErrorMap()].map(([number, [name]]) => [name, number])) as Record<
  string,
  number
>;

interface Connection {
  id: number;
  stack: FakeStack;
  peer: Connection | null;
  local: NativeAddress;
  remote: NativeAddress;
  established: boolean;
  reading: boolean;
  wantsRoom: boolean;
  /** Received and not yet reported. */
  received: Buffer[];
  receivedBytes: number;
  /** Sent and not yet received. */
  queue: Buffer[];
  queued: number;
  shut: boolean;
  finSent: boolean;
  finReceived: boolean;
  endReported: boolean;
  letGo: boolean;
  flushed: boolean;
  records: number[][];
  noDelay: boolean;
  tos: number;
  scheduled: boolean;
}

interface Listener {
  id: number;
  address: NativeAddress;
  ipv6Only: boolean;
  backlog: number;
}

/** Stacks that can reach each other: those with ends of one link. */
const routes = new WeakMap<object, FakeStack>();

function familyOf(address: string): 'IPv4' | 'IPv6' {
  return address.includes(':') ? 'IPv6' : 'IPv4';
}

function isLoopback(address: string): boolean {
  return address === '::1' || address.startsWith('127.');
}

/** Of a stack, what is TCP. */
export class FakeStack implements NativeStreams {
  #events: Int32Array;
  #doorbell: () => void;
  #connections = new Map<number, Connection>();
  #listeners = new Map<number, Listener>();
  #pending: number[][] = [];
  #ready = new Set<Connection>();
  #rung: NodeJS.Immediate | null = null;
  #refed = false;
  #nextId = 1;
  #nextPort = 49152;
  #down = false;
  #addresses: Array<{ interface: number; name: string; cidr: string }> = [];
  #links: object[] = [];
  #slabs: Buffer[] = [];
  #slabUsed = SLAB;
  readonly recvBuffer: number;
  readonly sendBuffer: number;

  constructor(options: NativeStackOptions, events: Int32Array, doorbell: () => void) {
    this.#events = events;
    this.#doorbell = doorbell;
    this.recvBuffer = typeof options.recvBuffer === 'number' ? options.recvBuffer : 256 * 1024;
    this.sendBuffer = typeof options.sendBuffer === 'number' ? options.sendBuffer : 256 * 1024;
    if (options.loopback !== false) {
      this.#addresses.push(
        { interface: 0, name: 'lo', cidr: '127.0.0.0/8' },
        { interface: 0, name: 'lo', cidr: '::1/128' },
      );
    }
  }

  addInterface(options: NativeInterfaceOptions): number {
    const id = this.#addresses.length + 1;
    for (const cidr of options.addresses) this.#addresses.push({ interface: id, name: options.name, cidr });
    if (options.device.kind === 'link') {
      const link = options.device.link as { other: object };
      this.#links.push(link);
      routes.set(link, this);
    }
    return id;
  }

  removeInterface(id: number): number {
    this.#addresses = this.#addresses.filter((entry) => entry.interface !== id);
    return 0;
  }

  addRoute(): number {
    return 0;
  }

  removeRoute(): number {
    return 0;
  }

  neighbors() {
    return [];
  }

  addresses(): Array<{ interface: number; name: string; cidr: string }> {
    return this.#addresses;
  }

  #owns(address: string): boolean {
    if (isLoopback(address)) return this.#addresses.some((entry) => entry.interface === 0);
    return this.#addresses.some((entry) => entry.cidr.split('/')[0] === address);
  }

  /** The stack that answers to `address`. */
  #find(address: string): FakeStack | null {
    if (this.#owns(address)) return this;
    for (const link of this.#links) {
      const other = routes.get((link as { other: object }).other);
      if (other && !isLoopback(address) && other.#owns(address)) return other;
    }
    return null;
  }

  #listenerFor(address: string, port: number): Listener | null {
    for (const listener of this.#listeners.values()) {
      const bound = listener.address.address;
      if (listener.address.port !== port) continue;
      if (bound === address) return listener;
      if (bound === '0.0.0.0' && familyOf(address) === 'IPv4') return listener;
      if (bound === '::' && (familyOf(address) === 'IPv6' || !listener.ipv6Only)) return listener;
    }
    return null;
  }

  #portTaken(address: string, port: number): boolean {
    for (const { address: bound, ipv6Only } of this.#listeners.values()) {
      if (bound.port !== port) continue;
      const any = (a: string, only = false): string[] =>
        a === '::' ? (only ? ['IPv6'] : ['IPv4', 'IPv6']) : a === '0.0.0.0' ? ['IPv4'] : [];
      if (bound.address === address) return true;
      if (any(bound.address, ipv6Only).includes(familyOf(address)) || any(address).includes(bound.family)) return true;
    }
    return false;
  }

  #ephemeral(): number {
    do this.#nextPort = this.#nextPort >= 65535 ? 49152 : this.#nextPort + 1;
    while (
      [...this.#listeners.values()].some((listener) => listener.address.port === this.#nextPort) ||
      [...this.#connections.values()].some((connection) => connection.local.port === this.#nextPort)
    );
    return this.#nextPort;
  }

  listen(address: string, port: number, backlog: number, ipv6Only: boolean): number {
    if (address !== '::' && address !== '0.0.0.0' && !this.#owns(address)) return errno.EADDRNOTAVAIL!;
    if (port !== 0 && this.#portTaken(address, port)) return errno.EADDRINUSE!;
    const id = this.#nextId++;
    const bound: NativeAddress = { address, port: port || this.#ephemeral(), family: familyOf(address) };
    this.#listeners.set(id, { id, address: bound, ipv6Only, backlog });
    return id;
  }

  listenerAddress(id: number): NativeAddress | null {
    return this.#listeners.get(id)?.address ?? null;
  }

  closeListener(id: number): number {
    return this.#listeners.delete(id) ? 0 : errno.EBADF!;
  }

  connect(address: string, port: number, localAddress: string, localPort: number): number {
    if (address === '0.0.0.0') address = '127.0.0.1';
    if (address === '::') address = '::1';
    const family = familyOf(address);
    const target = this.#find(address);
    if (localAddress && localAddress !== '::' && localAddress !== '0.0.0.0') {
      if (!this.#owns(localAddress)) return errno.EADDRNOTAVAIL!;
      if (familyOf(localAddress) !== family) return errno.EINVAL!;
    }
    if (localPort && [...this.#connections.values()].some((c) => c.local.port === localPort && c.remote.port === port))
      return errno.EADDRINUSE!;
    if (localPort && this.#portTaken(localAddress || '::', localPort)) return errno.EADDRINUSE!;
    if (target === null && this.#links.length === 0) return errno.ENETUNREACH!;
    const from =
      localAddress && localAddress !== '::' && localAddress !== '0.0.0.0'
        ? localAddress
        : target === this
          ? isLoopback(address) && family === 'IPv4'
            ? '127.0.0.1'
            : address
          : this.#addressFor(family);
    const connection = this.#make(
      { address: from, port: localPort || this.#ephemeral(), family },
      { address, port, family },
    );
    setImmediate(() => {
      if (!this.#connections.has(connection.id) || connection.letGo) return;
      if (target === null) return;
      const listener = target.#down ? null : target.#listenerFor(address, port);
      if (listener === null) {
        this.#fail(connection, errno.ECONNREFUSED!);
        return;
      }
      const peer = target.#make(connection.remote, connection.local);
      peer.peer = connection;
      connection.peer = peer;
      peer.established = true;
      peer.reading = true;
      connection.established = true;
      this.#report(connection, Connect!);
      target.#pending.push([Accept!, listener.id, 0, peer.id, 0, 0]);
      target.#ring();
    });
    return connection.id;
  }

  #addressFor(family: 'IPv4' | 'IPv6'): string {
    const entry = this.#addresses.find(({ interface: id, cidr }) => id !== 0 && familyOf(cidr) === family);
    return entry?.cidr.split('/')[0] ?? (family === 'IPv4' ? '127.0.0.1' : '::1');
  }

  #make(local: NativeAddress, remote: NativeAddress): Connection {
    const id = this.#nextId++;
    const connection: Connection = {
      id,
      stack: this,
      peer: null,
      local,
      remote,
      established: false,
      reading: false,
      wantsRoom: false,
      received: [],
      receivedBytes: 0,
      queue: [],
      queued: 0,
      shut: false,
      finSent: false,
      finReceived: false,
      endReported: false,
      letGo: false,
      flushed: false,
      records: [],
      noDelay: false,
      tos: 0,
      scheduled: false,
    };
    this.#connections.set(id, connection);
    return connection;
  }

  #get(id: number): Connection | null {
    const connection = this.#connections.get(id);
    return connection === undefined || connection.letGo ? null : connection;
  }

  #report(connection: Connection, kind: number, a = 0): void {
    this.#pending.push([kind, connection.id, 0, a, 0, 0]);
    this.#ring();
  }

  #fail(connection: Connection, number: number): void {
    this.#connections.delete(connection.id);
    this.#ready.delete(connection);
    if (connection.peer) connection.peer.peer = null;
    if (!connection.letGo) this.#report(connection, Failed!, -number);
    this.#report(connection, Closed!);
  }

  #ring(): void {
    if (this.#rung !== null || this.#down) return;
    this.#rung = setImmediate(() => {
      this.#rung = null;
      if (!this.#down) this.#doorbell();
    });
    if (!this.#refed) this.#rung.unref();
  }

  write(id: number, data: Uint8Array): number {
    return this.writev(id, [data]);
  }

  writev(id: number, chunks: Uint8Array[]): number {
    const connection = this.#get(id);
    if (connection === null) return errno.EBADF!;
    if (connection.shut) return errno.EPIPE!;
    let taken = 0;
    for (const chunk of chunks) {
      const room = this.sendBuffer - connection.queued;
      const part = Buffer.from(chunk.subarray(0, room));
      if (part.length > 0) connection.queue.push(part);
      connection.queued += part.length;
      taken += part.length;
      if (part.length < chunk.length) {
        connection.wantsRoom = true;
        break;
      }
    }
    this.#schedule(connection);
    return taken;
  }

  writeText(id: number, latin1: number, first: string, second: string | Uint8Array = ''): number {
    const chunks = [first, second].map((chunk, i) =>
      typeof chunk === 'string' ? Buffer.from(chunk, latin1 & (1 << i) ? 'latin1' : 'utf8') : chunk,
    );
    const connection = this.#get(id);
    const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    if (connection !== null && !connection.shut && length > this.sendBuffer - connection.queued) return 0;
    return this.writev(id, chunks);
  }

  /** Moves what was sent to the peer, as a network would: later, and as far as its window goes. */
  #schedule(connection: Connection): void {
    if (connection.scheduled) return;
    connection.scheduled = true;
    const immediate = setImmediate(() => {
      connection.scheduled = false;
      this.#transfer(connection);
    });
    if (!this.#refed) immediate.unref();
  }

  #transfer(connection: Connection): void {
    const peer = connection.peer;
    if (!connection.established || peer === null) return;
    while (connection.queue.length > 0) {
      if (peer.letGo) {
        // Nobody is there to take it: the peer answers with a RST.
        peer.stack.#connections.delete(peer.id);
        peer.stack.#report(peer, Closed!);
        this.#fail(connection, errno.ECONNRESET!);
        return;
      }
      const room = peer.stack.recvBuffer - peer.receivedBytes;
      if (room <= 0) break;
      const first = connection.queue[0]!;
      const part = first.subarray(0, room);
      if (part.length === first.length) connection.queue.shift();
      else connection.queue[0] = first.subarray(room);
      connection.queued -= part.length;
      peer.received.push(part);
      peer.receivedBytes += part.length;
      if (peer.reading) peer.stack.#wake(peer);
    }
    if (connection.wantsRoom && connection.queued < this.sendBuffer / 2 && !connection.letGo) {
      connection.wantsRoom = false;
      this.#report(connection, Writable!);
    }
    if (connection.shut && connection.queue.length === 0 && !connection.finSent) {
      connection.finSent = true;
      peer.finReceived = true;
      if (peer.reading) peer.stack.#wake(peer);
      connection.flushed = true;
      this.#report(connection, Flushed!);
      this.#finish(connection);
      peer.stack.#finish(peer);
    }
  }

  /** Both FINs are through: the connection is gone once nobody has anything to read. */
  #finish(connection: Connection): void {
    if (!connection.finSent || !connection.finReceived) return;
    if (!connection.endReported && !connection.letGo) return;
    if (this.#connections.delete(connection.id)) this.#report(connection, Closed!);
  }

  #wake(connection: Connection): void {
    this.#ready.add(connection);
    this.#ring();
  }

  readStart(id: number): number {
    const connection = this.#get(id);
    if (connection === null) return errno.EBADF!;
    connection.reading = true;
    if (connection.received.length > 0 || (connection.finReceived && !connection.endReported)) this.#wake(connection);
    return 0;
  }

  readStop(id: number): number {
    const connection = this.#get(id);
    if (connection === null) return errno.EBADF!;
    connection.reading = false;
    this.#ready.delete(connection);
    return 0;
  }

  shutdown(id: number): number {
    const connection = this.#get(id);
    if (connection === null) return errno.EBADF!;
    if (!connection.established) return errno.ENOTCONN!;
    connection.shut = true;
    this.#schedule(connection);
    return 0;
  }

  close(id: number): number {
    const connection = this.#get(id);
    if (connection === null) return errno.EBADF!;
    if (!connection.established) return this.reset(id);
    if (connection.receivedBytes > 0 && !connection.shut) return this.reset(id);
    connection.letGo = true;
    connection.reading = false;
    this.#ready.delete(connection);
    connection.shut = true;
    if (connection.finSent) this.#finish(connection);
    this.#schedule(connection);
    return 0;
  }

  reset(id: number): number {
    const connection = this.#connections.get(id);
    if (connection === undefined) return errno.EBADF!;
    connection.letGo = true;
    this.#connections.delete(id);
    this.#ready.delete(connection);
    this.#report(connection, Closed!);
    const peer = connection.peer;
    if (peer !== null) {
      connection.peer = null;
      setImmediate(() => {
        if (peer.stack.#connections.has(peer.id)) peer.stack.#fail(peer, errno.ECONNRESET!);
      });
    }
    return 0;
  }

  localAddress(id: number): NativeAddress | null {
    return this.#get(id)?.local ?? null;
  }

  remoteAddress(id: number): NativeAddress | null {
    return this.#get(id)?.remote ?? null;
  }

  sendQueueSize(id: number): number {
    return this.#connections.get(id)?.queued ?? errno.EBADF!;
  }

  setNoDelay(id: number, on: boolean): number {
    const connection = this.#get(id);
    if (connection === null) return errno.EBADF!;
    connection.noDelay = on;
    return 0;
  }

  setUserTimeout(id: number): number {
    return this.#get(id) === null ? errno.EBADF! : 0;
  }

  setKeepAlive(id: number): number {
    return this.#get(id) === null ? errno.EBADF! : 0;
  }

  setTypeOfService(id: number, tos: number): number {
    const connection = this.#get(id);
    if (connection === null) return errno.EBADF!;
    connection.tos = tos;
    return 0;
  }

  getTypeOfService(id: number): number {
    return this.#get(id)?.tos ?? errno.EBADF!;
  }

  setCongestionControl(id: number): number {
    return this.#get(id) === null ? errno.EBADF! : 0;
  }

  info(id: number): NativeInfo | null {
    const connection = this.#get(id);
    return connection === null ? null : ({ state: 'ESTABLISHED', send_queue: connection.queued } as NativeInfo);
  }

  stats(): NativeStats {
    return { connections: this.#connections.size, listeners: this.#listeners.size };
  }

  drain(): number {
    const events = this.#events;
    const capacity = events.length / RECORD_SIZE;
    let count = 0;
    const put = (record: number[]): void => {
      events.set(record, count * RECORD_SIZE);
      count++;
    };
    while (this.#pending.length > 0 && count < capacity) {
      // What was received before an end is reported before it.
      const next = this.#pending[0]!;
      if (next[0] === Failed || next[0] === Closed) {
        const connection = [...this.#ready].find((ready) => ready.id === next[1]);
        if (connection && this.#reportData(connection, put, () => count < capacity)) break;
      }
      put(this.#pending.shift()!);
    }
    for (const connection of [...this.#ready]) {
      if (this.#reportData(connection, put, () => count < capacity)) break;
    }
    if (count === capacity) this.#ring();
    return count;
  }

  /** Returns true if the capacity did not suffice. */
  #reportData(connection: Connection, put: (record: number[]) => void, room: () => boolean): boolean {
    while (connection.received.length > 0) {
      if (!room()) return true;
      const [slab, offset, length] = this.#store(connection.received, connection);
      put([Data!, connection.id, 0, slab, offset, length]);
    }
    if (connection.finReceived && !connection.endReported) {
      if (!room()) return true;
      connection.endReported = true;
      put([End!, connection.id, 0, 0, 0, 0]);
      this.#finish(connection);
    }
    this.#ready.delete(connection);
    if (connection.peer) connection.peer.stack.#schedule(connection.peer);
    return false;
  }

  /** Gathers up to 64 KiB of what was received into a slab. */
  #store(received: Buffer[], connection: Connection): [number, number, number] {
    const wanted = Math.min(65536, connection.receivedBytes);
    if (this.#slabUsed + wanted > SLAB) {
      this.#slabs.push(Buffer.alloc(SLAB));
      this.#slabUsed = 0;
    }
    const slab = this.#slabs.length - 1;
    const offset = this.#slabUsed;
    let length = 0;
    while (length < wanted) {
      const first = received[0]!;
      const part = first.subarray(0, wanted - length);
      part.copy(this.#slabs[slab]!, offset + length);
      length += part.length;
      if (part.length === first.length) received.shift();
      else received[0] = first.subarray(part.length);
    }
    connection.receivedBytes -= length;
    this.#slabUsed += length;
    return [slab, offset, length];
  }

  slab(index: number): Buffer {
    return this.#slabs[index]!;
  }

  takeReport(): null {
    return null;
  }

  takeTrace(): object[] {
    return [];
  }

  ref(): void {
    this.#refed = true;
    this.#rung?.ref();
    this.#keepAlive ??= setInterval(() => {}, 2 ** 30);
  }

  unref(): void {
    this.#refed = false;
    clearInterval(this.#keepAlive);
    this.#keepAlive = undefined;
  }

  #keepAlive: NodeJS.Timeout | undefined;

  shutdownStack(): void {
    if (this.#down) return;
    this.unref();
    for (const id of [...this.#connections.keys()]) this.reset(id);
    this.#down = true;
    this.#listeners.clear();
    this.#pending = [];
    this.#ready.clear();
  }
}

/** A stand-in for the native module. */
export const fakeBinding: NativeBinding = {
  NativeStack: FakeStack as unknown as NativeBinding['NativeStack'],
  createLink(_options: NativeLinkOptions): [object, object] {
    const a = { other: {} };
    const b = { other: a };
    a.other = b;
    return [a, b];
  },
};
