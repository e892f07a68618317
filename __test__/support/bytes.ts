// Reproducible bytes: streams of any length that are never whole in memory, and their digests.

import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';

const BLOCK = 1 << 18;

/** Blocks of 256 KiB of seeded noise, each different (its number is stamped in), `length` bytes in all. */
export function* blocks(length: number, seed = 1): Generator<Buffer> {
  const noise = Buffer.allocUnsafe(BLOCK);
  let state = (seed ^ 0x9e3779b9) >>> 0 || 1;
  for (let offset = 0; offset < BLOCK; offset += 4) {
    // xorshift32
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    noise.writeUInt32LE(state, offset);
  }
  for (let at = 0, number = 0; at < length; at += BLOCK, number++) {
    // A copy each time: whoever gets a block may still hold it when the next one is made.
    const block = Buffer.from(noise);
    block.writeUInt32LE(number, 0);
    block.writeUInt32LE(seed >>> 0, 4);
    yield at + BLOCK <= length ? block : block.subarray(0, length - at);
  }
}

/** The same as a stream. */
export function byteStream(length: number, seed = 1): Readable {
  return Readable.from(blocks(length, seed), { objectMode: false, highWaterMark: BLOCK });
}

/** SHA-256 of `length` bytes of `seed`, hex. */
export function digestOf(length: number, seed = 1): string {
  const hash = createHash('sha256');
  for (const block of blocks(length, seed)) hash.update(block);
  return hash.digest('hex');
}

/** All of it at once, for small lengths. */
export function bytes(length: number, seed = 1): Buffer {
  return Buffer.concat([...blocks(length, seed)]);
}

/** Reads a stream to its end, and leaves its writable side alone: how long it was, and its SHA-256, hex. */
export async function digestStream(stream: Readable): Promise<{ length: number; sha256: string }> {
  const hash = createHash('sha256');
  let length = 0;
  // Not `for await`, which destroys a duplex at its end.
  stream.on('data', (chunk: Buffer) => {
    length += chunk.length;
    hash.update(chunk);
  });
  await finished(stream, { writable: false });
  return { length, sha256: hash.digest('hex') };
}
