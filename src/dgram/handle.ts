// A UDP socket of the native stack as `dgram.Socket` uses it: libuv's handle, with its numbers for errors.
import { AsyncResource } from 'node:async_hooks';
import { isIP, isIPv4, isIPv6 } from 'node:net';
import { splitZone } from '../addresses';
import { EBADF, ECANCELED, EINVAL, errnoOf } from '../errors';
import { type NativeAddress, type NativeUdpInfo, type NativeUdpOption, RecordKind } from '../native';
import type { DatagramSink, Reactor, RecordEnds } from '../reactor';

export const EAGAIN = errnoOf('EAGAIN');
const ENODEV = errnoOf('ENODEV');
const ENOBUFS = errnoOf('ENOBUFS');
const EADDRNOTAVAIL = errnoOf('EADDRNOTAVAIL');

/** Datagrams, and bytes of them, that wait in JavaScript for room in the stack's send buffer; beyond it, ENOBUFS. */
const MAX_QUEUED = 65_536;
const MAX_QUEUED_BYTES = 16 << 20;

/** Where a datagram came from. */
export interface RemoteInfo {
  address: string;
  family: 'IPv4' | 'IPv6';
  port: number;
  size: number;
}

/** Called with a negative errno, or 0, and the bytes sent. */
type Sent = (status: number, bytes: number) => void;

interface Queued {
  list: Uint8Array[];
  bytes: number;
  port: number;
  address: string | null;
  done: Sent | null;
}

/** Flags of `bind`, as the native stack has them. */
export const enum BindFlag {
  ReuseAddr = 1,
  ReusePort = 2,
  Ipv6Only = 4,
}

export class DatagramHandle extends AsyncResource implements DatagramSink {
  onmessage: ((message: Buffer, info: RemoteInfo) => void) | null = null;
  onerror: ((errno: number) => void) | null = null;
  /** The stack let go of the socket: errno, or 0 for a flow that was idle for too long. */
  ongone: ((errno: number) => void) | null = null;

  readonly #reactor: Reactor;
  readonly #ipv6: boolean;
  #id = -1;
  #refed = true;
  #active = false;
  #queue: Queued[] = [];
  #queuedBytes = 0;

  constructor(reactor: Reactor, ipv6: boolean) {
    super('UDPWRAP', { requireManualDestroy: true });
    this.#reactor = reactor;
    this.#ipv6 = ipv6;
  }

  /** A socket that the stack has made already. */
  static adopt(reactor: Reactor, ipv6: boolean, id: number): DatagramHandle {
    const handle = new DatagramHandle(reactor, ipv6);
    handle.#take(id);
    return handle;
  }

  #take(id: number): void {
    this.#id = id;
    this.#reactor.addBeside('udp', id, this);
    this.#active = true;
    if (this.#refed) this.#reactor.activate(1);
  }

  bindTo(address: string, port: number, flags: number): number {
    if (this.#id >= 0) return EINVAL;
    const { address: bare, zone } = splitZone(address);
    const only = zone === null ? -1 : this.#interfaceNamed(zone);
    if (only < -1) return ENODEV;
    if ((this.#ipv6 ? isIPv6(bare) : isIPv4(bare)) === false) return EINVAL;
    const id = this.#reactor.native.udpBind(bare, port, flags, only);
    if (id < 0) return id;
    this.#take(id);
    return 0;
  }

  /** As libuv does where a call needs a socket that is bound. */
  #bindImplicitly(): number {
    return this.#id >= 0 ? 0 : this.bindTo(this.#ipv6 ? '::' : '0.0.0.0', 0, BindFlag.ReuseAddr);
  }

  /** The number of the interface that has a name or that number; -2 when there is none. */
  #interfaceNamed(zone: string): number {
    for (const [id, name] of this.#reactor.interfaceNames) {
      if (name === zone || String(id) === zone) return id;
    }
    return -2;
  }

  /** The number of the interface that has an address, or that the address's zone names; -1 for none asked, -2 for none. */
  #interfaceWith(address: string): number {
    const { address: bare, zone } = splitZone(address);
    if (zone !== null) return this.#interfaceNamed(zone);
    if (bare === '' || bare === '0.0.0.0' || bare === '::') return -1;
    const found = this.#reactor.native.addresses().find(({ cidr }) => cidr.split('/')[0] === bare);
    return found === undefined ? -2 : found.interface;
  }

  /** Checks the family of an address of this socket; its form for the native stack, or null. */
  #destination(address: string): string | null {
    const bare = address.includes('%') ? splitZone(address).address : address;
    return (this.#ipv6 ? isIPv6(bare) : isIPv4(bare)) ? bare : null;
  }

  connect(address: string, port: number): number {
    const failed = this.#bindImplicitly();
    if (failed < 0) return failed;
    const bare = this.#destination(address);
    return bare === null ? EINVAL : this.#reactor.native.udpConnect(this.#id, bare, port);
  }

  disconnect(): number {
    return this.#id < 0 ? EBADF : this.#reactor.native.udpDisconnect(this.#id);
  }

  /**
   * Sends; the number of bytes, or a negative errno. EAGAIN means that it waits for room: `done` is called when it is
   * sent, or when it is clear that it will not be.
   */
  send(list: Uint8Array[], port: number, address: string | null, done: Sent | null): number {
    const failed = this.#bindImplicitly();
    if (failed < 0) return failed;
    const bare = address === null ? null : this.#destination(address);
    if (address !== null && bare === null) return EINVAL;
    const sent = this.#queue.length > 0 ? EAGAIN : this.#sendNow(list, port, bare);
    if (sent !== EAGAIN) return sent;
    const bytes = list.reduce((sum, piece) => sum + piece.byteLength, 0);
    if (this.#queue.length >= MAX_QUEUED || this.#queuedBytes + bytes > MAX_QUEUED_BYTES) return ENOBUFS;
    this.#queue.push({ list, bytes, port, address: bare, done });
    this.#queuedBytes += bytes;
    return EAGAIN;
  }

  #sendNow(list: Uint8Array[], port: number, address: string | null): number {
    const { native, sendTick } = this.#reactor;
    const waits = sendTick.next(this.#id, port, address);
    if (list.length === 1) return native.udpSend(this.#id, list[0] as Uint8Array, port, address, waits);
    return native.udpSendv(this.#id, list, port, address, waits);
  }

  #flush(): void {
    let sent = 0;
    for (const entry of this.#queue) {
      const result = this.#sendNow(entry.list, entry.port, entry.address);
      if (result === EAGAIN) break;
      sent++;
      this.#queuedBytes -= entry.bytes;
      if (entry.done !== null) process.nextTick(entry.done, Math.min(result, 0), Math.max(result, 0));
    }
    this.#queue.splice(0, sent);
  }

  get queued(): { datagrams: number; bytes: number } {
    return { datagrams: this.#queue.length, bytes: this.#queuedBytes };
  }

  get address(): NativeAddress | null {
    return this.#id < 0 ? null : this.#reactor.native.udpAddress(this.#id);
  }

  get remoteAddress(): NativeAddress | null {
    return this.#id < 0 ? null : this.#reactor.native.udpRemoteAddress(this.#id);
  }

  set(option: NativeUdpOption, value: number): number {
    return this.#id < 0 ? EBADF : this.#reactor.native.udpSet(this.#id, option, value);
  }

  setMulticastInterface(address: string): number {
    if (this.#id < 0) return EBADF;
    const { address: bare } = splitZone(address);
    if ((this.#ipv6 ? isIPv6(bare) : isIPv4(bare)) === false) return EINVAL;
    const id = this.#interfaceWith(address);
    return id === -2 ? EADDRNOTAVAIL : this.set('multicastInterface', id);
  }

  membership(join: boolean, group: string, interfaceAddress: string | undefined, source: string): number {
    const bare = splitZone(group).address;
    if ((this.#ipv6 ? isIPv6(bare) : isIPv4(bare)) === false) return EINVAL;
    if (source !== '' && (this.#ipv6 ? isIPv6(source) : isIPv4(source)) === false) return EINVAL;
    const through = interfaceAddress ?? '';
    if (through !== '' && isIP(splitZone(through).address) === 0) return EINVAL;
    const id = this.#interfaceWith(through);
    if (id === -2) return ENODEV;
    const failed = this.#bindImplicitly();
    if (failed < 0) return failed;
    return this.#reactor.native.udpMembership(this.#id, join, bare, id, source);
  }

  get info(): NativeUdpInfo | null {
    return this.#id < 0 ? null : this.#reactor.native.udpInfo(this.#id);
  }

  ref(): void {
    if (this.#refed) return;
    this.#refed = true;
    if (this.#active) this.#reactor.activate(1);
  }

  unref(): void {
    if (!this.#refed) return;
    this.#refed = false;
    if (this.#active) this.#reactor.activate(-1);
  }

  /** What waits is not sent: its callbacks are told ECANCELED, as libuv does. */
  close(): void {
    const id = this.#id;
    this.#id = -1;
    if (id >= 0) {
      this.#reactor.removeBeside('udp', id);
      if (!this.#reactor.closed) this.#reactor.native.udpClose(id);
    }
    this.#rest();
  }

  #rest(): void {
    if (this.#active) {
      this.#active = false;
      if (this.#refed) this.#reactor.activate(-1);
    }
    for (const { done } of this.#queue) if (done !== null) process.nextTick(done, ECANCELED, 0);
    this.#queue = [];
    this.#queuedBytes = 0;
  }

  onDatagramRecord(kind: RecordKind, a: number, b: number, c: number, ends: RecordEnds): void {
    switch (kind) {
      case RecordKind.Datagram: {
        const message = this.#reactor.view(a, b, c);
        let address = ends.address(0);
        const family = this.#ipv6 ? 'IPv6' : 'IPv4';
        if (this.#ipv6) {
          if (!address.includes(':')) address = `::ffff:${address}`;
          // A link-local address means something on its link alone (RFC 4007 section 11).
          else if (address.startsWith('fe80:'))
            address += `%${this.#reactor.interfaceNames.get(ends.rest(0)) ?? ends.rest(0)}`;
        }
        this.onmessage?.(message, { address, family, port: ends.port(0), size: c });
        break;
      }
      case RecordKind.UdpError:
        this.onerror?.(-a);
        break;
      case RecordKind.UdpWritable:
        this.#flush();
        break;
      case RecordKind.UdpClosed:
        this.#id = -1;
        this.#rest();
        this.ongone?.(-a);
        break;
      default:
    }
  }

  onStackClose(): void {
    this.#id = -1;
    this.#rest();
    this.ongone?.(0);
  }
}
