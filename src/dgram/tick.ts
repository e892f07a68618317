// The datagrams of one tick: those behind the first of a socket to a destination wait for its end, so that devices that take
// several at once get them so.
import type { NativeStack } from '../native';

export class SendTick {
  readonly #native: NativeStack;
  #open = false;
  #waits = false;
  /** Of the datagram before. */
  #socket = -1;
  #port = 0;
  #address: string | null = null;

  constructor(native: NativeStack) {
    this.#native = native;
  }

  /** Whether the datagram that is about to be sent may wait for the end of the tick. */
  next(socket: number, port: number, address: string | null): boolean {
    if (this.#open && socket === this.#socket && port === this.#port && address === this.#address) {
      this.#waits = true;
      return true;
    }
    this.#socket = socket;
    this.#port = port;
    this.#address = address;
    if (!this.#open && this.#native.udpMerges()) {
      this.#open = true;
      // Ticks run in order: what is called back of these datagrams is behind this.
      process.nextTick(this.#end);
    }
    return false;
  }

  readonly #end = (): void => {
    this.#open = false;
    if (!this.#waits) return;
    this.#waits = false;
    this.#native.flush();
  };
}
