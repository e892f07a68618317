// Raw sockets: packets of one IP protocol, without their IP headers.
import { AsyncResource } from 'node:async_hooks';
import { isIP, isIPv4, isIPv6 } from 'node:net';
import { codedError, errnoException, exceptionWithHostPort, invalidArgType, invalidArgValue } from './errors';
import { TypedEventEmitter } from './events';
import { RecordKind } from './native';
import { validateInt32, validateString } from './net/validators';
import type { DatagramSink, Reactor, RecordEnds } from './reactor';

/** Protocols by name, as IANA numbers them. */
const PROTOCOLS = { icmp: 1, igmp: 2, ipip: 4, tcp: 6, udp: 17, gre: 47, esp: 50, icmpv6: 58, ospf: 89, sctp: 132 };

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
  family: 'IPv4' | 'IPv6';
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
  message: [packet: Buffer, info: RawPacketInfo];
  /** There is room in the send buffer after a send failed with EAGAIN. */
  drain: [];
  close: [];
}

/** A raw socket. Made by `stack.raw()`. */
export class RawSocket extends TypedEventEmitter<RawSocketEvents> {
  readonly protocol: number;
  readonly family: 4 | 6;
  readonly #reactor: Reactor;
  readonly #sink: RawSink;
  #id: number;
  #drops = 0;
  #refed = true;

  /** @internal Use `stack.raw()`. */
  constructor(reactor: Reactor, options: RawOptions) {
    super();
    if (options === null || typeof options !== 'object') throw invalidArgType('options', 'Object', options);
    const { protocol, ttl = 64, recvBufferSize = 0, checksumOffset = -1 } = options;
    const number = typeof protocol === 'string' ? PROTOCOLS[protocol] : protocol;
    if (typeof protocol === 'string' && number === undefined) {
      throw invalidArgValue(
        'options.protocol',
        protocol,
        `must be a number or one of ${Object.keys(PROTOCOLS).join(', ')}`,
      );
    }
    validateInt32(number, 'options.protocol', 0, 255);
    const family = options.family ?? (number === PROTOCOLS.icmpv6 ? 6 : 4);
    if (family !== 4 && family !== 6) throw invalidArgValue('options.family', family, 'must be 4 or 6');
    validateInt32(ttl, 'options.ttl', 1, 255);
    validateInt32(recvBufferSize, 'options.recvBufferSize', 0);
    validateInt32(checksumOffset, 'options.checksumOffset', -1, 65_534);
    let interfaceId = -1;
    if (options.interface !== undefined) {
      validateString(options.interface, 'options.interface');
      const found = [...reactor.interfaceNames].find(([, name]) => name === options.interface);
      if (found === undefined)
        throw invalidArgValue('options.interface', options.interface, 'is no interface of this stack');
      interfaceId = found[0];
    }
    reactor.check();
    const id = reactor.native.rawOpen(number, family === 6, interfaceId, ttl, recvBufferSize, checksumOffset);
    if (id < 0) throw errnoException(id, 'raw');
    this.protocol = number;
    this.family = family;
    this.#reactor = reactor;
    this.#id = id;
    this.#sink = new RawSink(this, reactor);
    reactor.addBeside('raw', id, this.#sink);
    reactor.activate(1);
  }

  /** Whether `close()` was called, or the stack closed. */
  get closed(): boolean {
    return this.#id < 0;
  }

  /** Packets dropped because the receive buffer was full. */
  get drops(): number {
    if (this.#id >= 0 && !this.#reactor.closed) this.#drops = this.#reactor.native.rawDrops(this.#id);
    return this.#drops;
  }

  /**
   * Sends what follows the IP header; what exceeds the path's MTU goes in fragments. Throws with `code`: `EAGAIN` when the
   * send buffer is full (`drain` follows), `EMSGSIZE`, `ENETUNREACH`, ...
   */
  send(packet: Uint8Array, address: string, options: { source?: string } = {}): void {
    if (this.#id < 0) throw codedError(Error, 'ERR_SOCKET_CLOSED', 'Socket is closed');
    if (!ArrayBuffer.isView(packet)) throw invalidArgType('packet', ['Buffer', 'Uint8Array'], packet);
    const is = this.family === 4 ? isIPv4 : isIPv6;
    if (!is(address)) throw invalidArgValue('address', address, `must be an IPv${this.family} address`);
    const { source = '' } = options;
    if (source !== '' && isIP(source) === 0) throw invalidArgValue('options.source', source, 'must be an IP address');
    const sent = this.#reactor.native.rawSend(this.#id, packet, address, source);
    if (sent < 0) throw exceptionWithHostPort(sent, 'send', address);
  }

  /** Lets go of it; what was sent is still transmitted. Idempotent. */
  close(): void {
    if (this.#id < 0) return;
    this.#drops = this.drops;
    if (!this.#reactor.closed) this.#reactor.native.rawClose(this.#id);
    this.#reactor.removeBeside('raw', this.#id);
    this.#end();
  }

  /** @internal */
  #end(): void {
    if (this.#id < 0) return;
    this.#id = -1;
    if (this.#refed) this.#reactor.activate(-1);
    process.nextTick(() => this.emit('close'));
  }

  /** @internal The stack closes. */
  endWithStack(): void {
    this.#end();
  }

  /** As `close()`, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** Makes it keep the process alive, as it does from the beginning. */
  ref(): this {
    if (!this.#refed && this.#id >= 0) this.#reactor.activate(1);
    this.#refed = true;
    return this;
  }

  /** Lets the process end although it is open. */
  unref(): this {
    if (this.#refed && this.#id >= 0) this.#reactor.activate(-1);
    this.#refed = false;
    return this;
  }
}

/** What the reactor tells a raw socket. */
class RawSink extends AsyncResource implements DatagramSink {
  readonly #socket: RawSocket;
  readonly #reactor: Reactor;

  constructor(socket: RawSocket, reactor: Reactor) {
    super('USERNETRAW', { requireManualDestroy: true });
    this.#socket = socket;
    this.#reactor = reactor;
  }

  onDatagramRecord(kind: RecordKind, a: number, b: number, c: number, ends: RecordEnds): void {
    if (kind === RecordKind.RawWritable) {
      this.#socket.emit('drain');
      return;
    }
    const packet = this.#reactor.view(a, b, c);
    this.#socket.emit('message', packet, {
      address: ends.address(0),
      family: this.#socket.family === 6 ? 'IPv6' : 'IPv4',
      destination: ends.address(1),
      interface: this.#reactor.interfaceNames.get(ends.rest(0)) ?? String(ends.rest(0)),
      ttl: ends.port(0),
      trafficClass: ends.port(1),
      size: c,
    });
  }

  onStackClose(): void {
    this.#socket.endWithStack();
  }
}
