// Node's own timers, kept from before anything replaced them: what drives a network must not wait for itself.
import * as timers from 'node:timers';

/** Node's `setImmediate`. */
export const realSetImmediate = timers.setImmediate;
/** Node's `setTimeout`. */
export const realSetTimeout = timers.setTimeout;
/** Node's `clearTimeout`. */
export const realClearTimeout = timers.clearTimeout;
/** Node's clock, ns. */
export const realHrtime = process.hrtime.bigint.bind(process.hrtime);

/** One turn of the event loop. */
export function turn(): Promise<void> {
  return new Promise((resolve) => realSetImmediate(resolve));
}

/** Real milliseconds. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => realSetTimeout(resolve, ms));
}
