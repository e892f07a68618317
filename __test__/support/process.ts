// What this process holds of the machine, for tests that nothing is left over.

import { existsSync, readdirSync } from 'node:fs';

/** Descriptors, threads and memory of this process. */
export interface Holdings {
  descriptors: number;
  threads: number;
  rss: number; // bytes
}

/** Lets finalisers run, which Node calls in a turn after the collection, and what they release be collected. */
export async function settled(): Promise<void> {
  for (let round = 0; round < 5; round++) {
    globalThis.gc?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Counts, after a garbage collection where Node was started with --expose-gc. Zeros where there is no /proc. */
export function holdings(): Holdings {
  for (let round = 0; round < 3; round++) globalThis.gc?.();
  const count = (folder: string): number => (existsSync(folder) ? readdirSync(folder).length : 0);
  return {
    descriptors: count('/proc/self/fd'),
    threads: count('/proc/self/task'),
    rss: process.memoryUsage.rss(),
  };
}
