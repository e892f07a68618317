// `node:dgram` on a stack.
import type { NetContext } from '../net/context';
import type { DatagramHandle, RemoteInfo } from './handle';
import { type DatagramSocket, DatagramSocketImpl, type DatagramSocketOptions, kAdopt } from './socket';

/** Called with a datagram and where it came from. */
export type MessageListener = (message: Buffer, info: RemoteInfo) => void;

/** The constructor of UDP sockets. */
export interface DatagramSocketConstructor {
  new (type: 'udp4' | 'udp6' | DatagramSocketOptions, listener?: MessageListener): DatagramSocket;
  readonly prototype: DatagramSocket;
}

/** `node:dgram`, on a stack. */
export interface Dgram {
  createSocket(type: 'udp4' | 'udp6' | DatagramSocketOptions, listener?: MessageListener): DatagramSocket;
  Socket: DatagramSocketConstructor;
}

/** Makes the `dgram` over `context`. */
export function bindDgram(context: NetContext): Dgram {
  const Socket = class Socket extends DatagramSocketImpl {
    constructor(type: 'udp4' | 'udp6' | DatagramSocketOptions, listener?: MessageListener) {
      super(context, type, listener);
    }
  } as unknown as DatagramSocketConstructor;
  return { createSocket: (type, listener) => new Socket(type, listener), Socket };
}

/** A socket over a handle that is bound and connected already. */
export function adoptSocket(context: NetContext, type: 'udp4' | 'udp6', handle: DatagramHandle): DatagramSocket {
  return new DatagramSocketImpl(context, { type, [kAdopt]: handle }) as unknown as DatagramSocket;
}
