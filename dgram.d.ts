// The types of `usernet/dgram`.
// Made by scripts/types.mjs from src/dgram.ts: do not edit.
import { dgram } from './index';
import type { DatagramSocket } from './index';

export type { DatagramSocketConstructor, Dgram, MessageListener } from './index';
export type { RemoteInfo } from './index';
export type { DatagramSocketOptions } from './index';

export declare const createSocket: typeof dgram.createSocket;
export declare const Socket: typeof dgram.Socket;

/** A UDP socket on a stack. */
export type Socket = DatagramSocket;

export default dgram;
