// What becomes of writes once the peer has sent its FIN.
import { Duplex } from 'node:stream';

type WriteCallback = (error?: Error | null) => void;

/** After the peer's FIN a socket that is not half-open takes no more; the error says whose doing that was. */
export function onEnd(this: Duplex): void {
  if (!this.allowHalfOpen) this.write = writeAfterFin as Duplex['write'];
}

function writeAfterFin(
  this: Duplex,
  chunk: unknown,
  encoding?: BufferEncoding | WriteCallback | null,
  callback?: WriteCallback,
): boolean {
  if (!this.writableEnded) {
    return Duplex.prototype.write.call(this, chunk, encoding as BufferEncoding, callback as WriteCallback);
  }
  const done = typeof encoding === 'function' ? encoding : callback;
  const error = new Error('This socket has been ended by the other party') as NodeJS.ErrnoException;
  error.code = 'EPIPE';
  if (typeof done === 'function') process.nextTick(done, error);
  this.destroy(error);
  return false;
}
