// `usernet/dgram`: a drop-in for `node:dgram`, on the default stack.
import { dgram } from './default-stack';
import type { DatagramSocket } from './dgram/socket';

export type { DatagramSocketConstructor, Dgram, MessageListener } from './dgram/bind';
export type { RemoteInfo } from './dgram/handle';
export type { DatagramSocketOptions } from './dgram/socket';

export const { createSocket, Socket } = dgram;

/** A UDP socket on a stack. */
export type Socket = DatagramSocket;

export default dgram;
