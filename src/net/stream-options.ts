// What the Duplex under a socket is made with.
import type { DuplexOptions } from 'node:stream';
import type { SocketHandle } from './handle';
import type { SocketOptions } from './socket-types';
import { rejectObjectMode } from './validators';

/**
 * The options of a connection that a listener accepted. One class, and used as it is: copying options of the shapes that
 * programs give costs more than the rest of an accepted socket's construction.
 */
export class AcceptedOptions {
  readonly readable = true;
  readonly writable = true;
  readonly emitClose = false;
  readonly autoDestroy = true;
  readonly decodeStrings = false;
  readonly readableHighWaterMark: number;
  readonly writableHighWaterMark: number;

  constructor(
    readonly handle: SocketHandle,
    readonly allowHalfOpen: boolean,
    readonly pauseOnCreate: boolean,
    highWaterMark: number,
  ) {
    this.readableHighWaterMark = highWaterMark;
    this.writableHighWaterMark = highWaterMark;
  }
}

/** What the Duplex underneath is made with. */
export function streamOptions(options: SocketOptions | undefined): DuplexOptions {
  if (options instanceof AcceptedOptions) return options;
  rejectObjectMode(options as Record<string, unknown> | undefined);
  const given = typeof options === 'object' ? options : undefined;
  return {
    ...(given as DuplexOptions),
    allowHalfOpen: Boolean(given?.allowHalfOpen),
    // 'close' comes when the connection is let go, with its argument.
    emitClose: false,
    autoDestroy: true,
    // Strings are encoded once, on their way out.
    decodeStrings: false,
  };
}
