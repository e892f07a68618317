// The datagrams of one tick: those behind the first wait for its end, so that devices that take several at once get them so.
import type { NativeStack } from '../native';

export class SendTick {
  readonly #native: NativeStack;
  #open = false;
  #waits = false;

  constructor(native: NativeStack) {
    this.#native = native;
  }

  /** Whether the datagram that is about to be sent may wait for the end of the tick. */
  next(): boolean {
    if (this.#open) {
      this.#waits = true;
      return true;
    }
    if (!this.#native.udpMerges()) return false;
    this.#open = true;
    // Ticks run in order: what is called back of these datagrams is behind this.
    process.nextTick(this.#end);
    return false;
  }

  readonly #end = (): void => {
    this.#open = false;
    if (!this.#waits) return;
    this.#waits = false;
    this.#native.flush();
  };
}
