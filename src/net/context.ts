// What the sockets and servers of one `net` share: the stack they are on, and the defaults that can be set.
import type * as dns from 'node:dns';
import * as realNet from 'node:net';
import { getDefaultHighWaterMark as streamHighWaterMark } from 'node:stream';
import type { Reactor } from '../reactor';
import type { ServerImpl } from './server';
import type { SocketImpl } from './socket';

/** The major version of the Node that runs. */
export const NODE_MAJOR = Number(process.versions.node.split('.')[0]);

/** The high-water mark of byte streams in the Node that runs: 16 KiB on 20, 64 KiB from 22. */
export const defaultHighWaterMark = (): number => streamHighWaterMark(false);

/** One `net`: `stack.net`, or the one of the default stack. */
export class NetContext {
  readonly #reactor: () => Reactor;
  /** Finds the addresses of names where a socket brings no `lookup` of its own; undefined: `dns.lookup`. */
  lookup: typeof dns.lookup | undefined;
  #autoSelectFamily: boolean | undefined;
  #autoSelectFamilyAttemptTimeout: number | undefined;
  /** The constructors bound to this stack. */
  declare Socket: new (
    options?: object,
  ) => SocketImpl;
  declare Server: new (
    options?: object,
    listener?: (socket: SocketImpl) => void,
  ) => ServerImpl;

  /** `reactor` is called when the first socket connects or the first server listens. */
  constructor(reactor: () => Reactor) {
    this.#reactor = reactor;
  }

  get reactor(): Reactor {
    return this.#reactor();
  }

  /** Until set, what the real `net` says, command-line options included. */
  get autoSelectFamily(): boolean {
    return this.#autoSelectFamily ?? realNet.getDefaultAutoSelectFamily();
  }

  set autoSelectFamily(value: boolean) {
    this.#autoSelectFamily = value;
  }

  /** Until set, what the real `net` says (ms). */
  get autoSelectFamilyAttemptTimeout(): number {
    return this.#autoSelectFamilyAttemptTimeout ?? realNet.getDefaultAutoSelectFamilyAttemptTimeout();
  }

  set autoSelectFamilyAttemptTimeout(value: number) {
    this.#autoSelectFamilyAttemptTimeout = value;
  }
}
