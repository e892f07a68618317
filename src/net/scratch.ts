// What is written in strings, as bytes. The stack copies at once what it has room for, so short ones are encoded into one
// piece of memory that is used again and again.

/** What a stream hands to `_writev`. */
export type Gathered = Array<{ chunk: string | Uint8Array; encoding: BufferEncoding }>;

const SCRATCH = Buffer.allocUnsafeSlow(16 << 10);

/** The bytes of `chunks` together, good until the next call (see `keep`); null where there might be more than 16 KiB. */
export function encodeShort(chunks: Gathered): Uint8Array | null {
  // No encoding makes more than three bytes of a code unit.
  let most = 0;
  for (const { chunk } of chunks) most += typeof chunk === 'string' ? chunk.length * 3 : chunk.length;
  if (most > SCRATCH.length) return null;
  let length = 0;
  for (const { chunk, encoding } of chunks) {
    if (typeof chunk === 'string') {
      length += SCRATCH.write(chunk, length, encoding);
    } else {
      SCRATCH.set(chunk, length);
      length += chunk.length;
    }
  }
  return SCRATCH.subarray(0, length);
}

/** The bytes of what a stream hands over. */
export function bytes({ chunk, encoding }: Gathered[number]): Uint8Array {
  return typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk;
}

/** How many they are. */
export function byteLength(chunk: string | Uint8Array, encoding: BufferEncoding): number {
  return typeof chunk === 'string' ? Buffer.byteLength(chunk, encoding) : chunk.length;
}

/** `chunk`, or a copy where it would not last. */
export function keep(chunk: Uint8Array): Uint8Array {
  return chunk.buffer === SCRATCH.buffer ? Buffer.from(chunk) : chunk;
}
