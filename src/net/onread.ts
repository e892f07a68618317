// The option `onread`: received data goes into the program's buffer.
import type * as realNet from 'node:net';
import type { SocketImpl } from './socket';
import { kBuffer, kBufferCallback, kBufferGenerator } from './symbols';

/** Takes the option as it was given; what is no such option counts as none, as in Node. */
export function takeBuffer(socket: SocketImpl, onread: realNet.OnReadOpts | undefined): void {
  if (onread === null || typeof onread !== 'object' || typeof onread.callback !== 'function') return;
  if (typeof onread.buffer === 'function') {
    socket[kBuffer] = true;
    socket[kBufferGenerator] = onread.buffer;
  } else if (onread.buffer instanceof Uint8Array) {
    socket[kBuffer] = onread.buffer;
  } else {
    return;
  }
  socket[kBufferCallback] = onread.callback;
}
