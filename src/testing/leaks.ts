// Who made what is still open.
import * as path from 'node:path';
import type { Reactor } from '../reactor';

/** A socket or server that is open. */
export interface Leak {
  /** The host it is on. */
  host: string;
  kind: 'socket' | 'server';
  /** Its own end. */
  local: string | null;
  /** Its peer's. */
  remote: string | null;
  /** The line of the program that made it; of a socket that was accepted, the one that made its server. */
  creator: string;
}

/** Where this package's own files are: frames from there made nothing. */
const PACKAGE = path.dirname(__dirname) + path.sep;
const FRAMES = 40;

function creator(): string {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = FRAMES;
  const holder: { stack?: string } = {};
  Error.captureStackTrace(holder, creator);
  Error.stackTraceLimit = limit;
  const lines = (holder.stack ?? '').split('\n').slice(1);
  const frame = lines.find(
    (line) => !line.includes(PACKAGE) && !line.includes('node:') && !line.includes('<anonymous>'),
  );
  return (frame ?? '').trim().replace(/^at /, '');
}

/** Notes the makers of one stack's sockets and servers. */
export class LeakWatch {
  readonly #host: string;
  readonly #reactor: Reactor;
  readonly #creators = new WeakMap<object, string>();
  #server = '';

  constructor(host: string, reactor: Reactor) {
    this.#host = host;
    this.#reactor = reactor;
    const { addListener } = reactor;
    reactor.onhandle = (sink) => {
      this.#creators.set(sink, creator());
    };
    reactor.addListener = (id, sink) => {
      this.#server = creator();
      this.#creators.set(sink, this.#server);
      addListener.call(reactor, id, sink);
    };
  }

  /** What is open now. */
  leaks(): Leak[] {
    const { sockets, listeners } = this.#reactor.handles;
    const { native } = this.#reactor;
    const text = (end: { address: string; port: number } | null): string | null =>
      end === null ? null : end.address.includes(':') ? `[${end.address}]:${end.port}` : `${end.address}:${end.port}`;
    const found: Leak[] = [];
    for (const [id, sink] of listeners) {
      const local = text(native.listenerAddress(id));
      found.push({
        host: this.#host,
        kind: 'server',
        local,
        remote: null,
        creator: this.#creators.get(sink) || this.#server,
      });
    }
    for (const [id, sink] of sockets) {
      found.push({
        host: this.#host,
        kind: 'socket',
        local: text(native.localAddress(id)),
        remote: text(native.remoteAddress(id)),
        // What was accepted was made by nobody's call.
        creator: this.#creators.get(sink) || `accepted by the server made at ${this.#server}`,
      });
    }
    return found;
  }
}
