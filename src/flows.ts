// Flows that wait for a decision of the program: a TCP connection before its SYN-ACK, a UDP flow with its first datagrams.

import { adoptSocket } from './dgram/bind';
import { DatagramHandle } from './dgram/handle';
import type { DatagramSocket } from './dgram/socket';
import { codedError, errnoException, errnoOf, exceptionWithHostPort, invalidArgValue } from './errors';
import type { Socket } from './net/bind';
import type { NetContext } from './net/context';
import { SocketHandle } from './net/handle';
import type { SocketImpl } from './net/socket';
import { kAfterConnect } from './net/symbols';
import { validateInt32 } from './net/validators';
import type { Reactor, RecordEnds } from './reactor';

const ENOENT = errnoOf('ENOENT');

/** What every flow has. */
interface FlowBase {
  /** The name of the interface it came through. */
  readonly interface: string;
  readonly family: 'IPv4' | 'IPv6';
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
  reject(how?: 'refused' | 'prohibited'): void;
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
  readonly protocol: 'tcp';
  /**
   * Accepts it: the handshake goes on. The socket's `localAddress` and `localPort` are those that the other end meant. It
   * emits `connect`, or `error` when the other end has gone.
   */
  accept(options?: FlowAcceptOptions): Socket;
}

/** Datagrams between two ends, the first of which wait. */
export interface UdpFlow extends FlowBase {
  readonly protocol: 'udp';
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

type Decision = 'reject' | 'prohibit' | 'drop' | 'pass';

class FlowImpl {
  readonly protocol: 'tcp' | 'udp';
  readonly interface: string;
  readonly family: 'IPv4' | 'IPv6';
  readonly localAddress: string;
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly #context: NetContext;
  readonly #reactor: Reactor;
  readonly #index: number;
  readonly #version: number;
  #decided = false;

  constructor(
    context: NetContext,
    index: number,
    version: number,
    udp: boolean,
    interfaceId: number,
    ends: RecordEnds,
  ) {
    this.#context = context;
    this.#reactor = context.reactor;
    this.#index = index;
    this.#version = version;
    this.protocol = udp ? 'udp' : 'tcp';
    this.interface = this.#reactor.interfaceNames.get(interfaceId) ?? String(interfaceId);
    this.localAddress = ends.address(0);
    this.localPort = ends.port(0);
    this.remoteAddress = ends.address(1);
    this.remotePort = ends.port(1);
    this.family = this.localAddress.includes(':') ? 'IPv6' : 'IPv4';
  }

  get decided(): boolean {
    return this.#decided;
  }

  accept({ fastOpen = 0 }: FlowAcceptOptions = {}): Socket | DatagramSocket {
    validateInt32(fastOpen, 'options.fastOpen', 0, 65535);
    this.#begin();
    const id = this.#reactor.native.flowAccept(this.#index, this.#version, fastOpen);
    if (id < 0) {
      // With too many sockets it waits still.
      if (id !== ENOENT) this.#decided = false;
      throw this.#failure(id, 'accept');
    }
    if (this.protocol === 'udp') {
      const ipv6 = this.family === 'IPv6';
      const handle = DatagramHandle.adopt(this.#reactor, ipv6, id);
      return adoptSocket(this.#context, ipv6 ? 'udp6' : 'udp4', handle);
    }
    return this.#acceptTcp(id) as unknown as Socket;
  }

  #acceptTcp(id: number): SocketImpl {
    const handle = SocketHandle.awaiting(this.#reactor, id, (status) => {
      if (socket.destroyed) return;
      if (status === 0) {
        socket[kAfterConnect]();
        return;
      }
      socket.connecting = false;
      socket.destroy(exceptionWithHostPort(status, 'accept', this.remoteAddress, this.remotePort));
    });
    const socket = new this.#context.Socket({ handle, allowHalfOpen: true, manualStart: true });
    socket.connecting = true;
    return socket;
  }

  reject(how: 'refused' | 'prohibited' = 'refused'): void {
    if (how !== 'refused' && how !== 'prohibited') {
      throw invalidArgValue('how', how, "must be 'refused' or 'prohibited'");
    }
    this.#decide(how === 'refused' ? 'reject' : 'prohibit');
  }

  drop(): void {
    this.#decide('drop');
  }

  pass(): void {
    this.#decide('pass');
  }

  #begin(): void {
    this.#reactor.check();
    if (this.#decided) {
      throw codedError(
        Error,
        'ERR_FLOW_DECIDED',
        `The flow from ${this.remoteAddress} port ${this.remotePort} is decided already. Decide once: accept, reject, drop or pass.`,
      );
    }
    this.#decided = true;
  }

  #decide(how: Decision): void {
    this.#begin();
    const errno = this.#reactor.native.flowDecide(this.#index, this.#version, how);
    // Given up by the other end, or waited for too long: that is as good as rejected.
    if (errno < 0 && errno !== ENOENT) throw errnoException(errno, how);
  }

  #failure(errno: number, syscall: string): Error {
    if (errno !== ENOENT) return errnoException(errno, syscall);
    return codedError(
      Error,
      'ERR_FLOW_GONE',
      `The flow from ${this.remoteAddress} port ${this.remotePort} is gone: the other end gave up, or it waited longer than the stack's flowTimeout. Decide sooner, or raise that.`,
    );
  }
}

/** Hands flows to the program, on every interface but loopback. */
export class FlowGate {
  readonly #context: NetContext;
  #handler: FlowHandler | null = null;

  constructor(context: NetContext) {
    this.#context = context;
  }

  /** Whether new interfaces are to hold flows. */
  get holds(): boolean {
    return this.#handler !== null;
  }

  /** Sets who decides; null: nobody, new flows go on unheld. */
  set(handler: FlowHandler | null): void {
    this.#handler = handler;
    const { reactor } = this.#context;
    reactor.onflow = handler === null ? null : (...flow) => this.#decide(handler, flow);
    for (const id of reactor.interfaceNames.keys()) {
      if (id !== 0) reactor.native.setInterface(id, 'hold', handler !== null);
    }
  }

  #decide(handler: FlowHandler, record: [number, number, boolean, number, RecordEnds]): void {
    const flow = new FlowImpl(this.#context, ...record) as unknown as Flow;
    const refuse = (error: unknown): never => {
      // A handler that fails has not accepted.
      if (!flow.decided && !this.#context.reactor.closed) flow.reject();
      throw error;
    };
    try {
      const result = handler(flow);
      if (result instanceof Promise) result.catch(refuse);
    } catch (error) {
      refuse(error);
    }
  }
}
