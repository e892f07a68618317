// What stacks do when their process ends by process.exit() or by an uncaught error: Node skips the native cleanup hooks of
// the main thread then, and a peer would wait for a stack that is gone.
import process from 'node:process';

/** The end of a stack, as much of it as `process.on('exit')` allows. */
export interface Leaving {
  /** Lets go of every socket, as a kernel does with a process's: FIN after what is queued, RST where data was not read. */
  letGo(): void;
  /** Bytes that were handed to the stack and that peers have not acknowledged. */
  unacknowledged(): number;
  /** Resets what is left and lets the devices go. Calls no listener of the program. */
  leave(): void;
}

/** How often the last bytes' progress is looked at, ms. */
const LOOK = 2;
/**
 * How many looks they get, 100 ms without progress and a second altogether; a kernel would see to them after the process.
 * Looks are counted, since the clocks of JavaScript may be a test's.
 */
const PATIENCE = 50;
const MOST_PATIENCE = 500;

// Weak: a stack that the program has dropped is the garbage collector's.
const open = new Set<WeakRef<Leaving>>();
const references = new WeakMap<Leaving, WeakRef<Leaving>>();
const collected = new FinalizationRegistry<WeakRef<Leaving>>((reference) => forget(reference));

/** From here on the stack is ended with its process or worker, until `hasLeft` says that it has ended itself. */
export function leavesWithProcess(stack: Leaving): void {
  const reference = new WeakRef(stack);
  references.set(stack, reference);
  collected.register(stack, reference, reference);
  if (open.size === 0) process.on('exit', leave);
  open.add(reference);
}

/** The stack has ended itself. */
export function hasLeft(stack: Leaving): void {
  const reference = references.get(stack);
  if (reference === undefined) return;
  collected.unregister(reference);
  forget(reference);
}

function forget(reference: WeakRef<Leaving>): void {
  if (open.delete(reference) && open.size === 0) process.off('exit', leave);
}

function leave(): void {
  const stacks = [...open].flatMap((reference) => reference.deref() ?? []);
  for (const stack of stacks) stack.letGo();
  awaitAcknowledgements(stacks);
  for (const stack of stacks) stack.leave();
}

/** Nothing of JavaScript runs meanwhile; the packet threads do. */
function awaitAcknowledgements(stacks: readonly Leaving[]): void {
  const nothing = new Int32Array(new SharedArrayBuffer(4));
  let [least, progress] = [Number.POSITIVE_INFINITY, 0];
  for (let look = 0; look < MOST_PATIENCE && look - progress < PATIENCE; look++) {
    const queued = stacks.reduce((sum, stack) => sum + stack.unacknowledged(), 0);
    if (queued === 0) return;
    if (queued < least) [least, progress] = [queued, look];
    Atomics.wait(nothing, 0, 0, LOOK);
  }
}
