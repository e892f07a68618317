// Real input and output while the clock is virtual: requests (files, names, compression, cryptography) are awaited, real
// sockets, pipes and processes are refused, because nothing says how long they take in virtual time.
import type * as net from 'node:net';
import { codedError } from '../errors';
import { pause, turn } from './timers';

/** What is open, by libuv's name for it, and what to say of it. */
const REFUSED: Record<string, string> = {
  TCPSocketWrap: 'a real TCP connection',
  TCPServerWrap: 'a real TCP server',
  PipeWrap: 'a real pipe or Unix socket',
  PipeServerWrap: 'a real Unix socket server',
  UDPWrap: 'a real UDP socket',
  ProcessWrap: 'a child process',
  MessagePort: 'a worker thread or message port',
  Worker: 'a worker thread',
};

/** Of those, what serves the program alone: once there are fewer, that many are the most that is accepted. */
const ENDING = ['TCPSocketWrap', 'TCPServerWrap', 'UDPWrap'];

/** Turns of the event loop that are spent before waiting becomes patient. */
const EAGER_TURNS = 50;

interface ActiveResources {
  getActiveResourcesInfo(): string[];
  /** Undocumented, but there since Node 0.x: sockets and servers among others. */
  _getActiveHandles?(): unknown[];
}

/** TCP connections that are open. */
function openSockets(): net.Socket[] {
  const handles = (process as unknown as ActiveResources)._getActiveHandles?.() ?? [];
  return handles.filter((handle): handle is net.Socket => {
    const { remoteAddress, bytesRead } = handle as Partial<net.Socket>;
    return typeof remoteAddress === 'string' && typeof bytesRead === 'number';
  });
}

function traffic({ bytesRead, bytesWritten }: net.Socket): number {
  return bytesRead + bytesWritten;
}

function activeResources(): string[] {
  return (process as unknown as ActiveResources).getActiveResourcesInfo();
}

/** Watches the process for real input and output, against what there was in the beginning. */
export class RealIo {
  readonly #pending: () => number;
  readonly #limit: number;
  readonly #allowed: boolean;
  readonly #baseline = new Map<string, number>();
  /** TCP connections from before the network, and how many bytes had passed over each. */
  readonly #sockets: Map<net.Socket, number>;

  /** `pending` counts requests, `limit` is how long one may take, real ms. */
  constructor(pending: () => number, limit: number, allowed: boolean) {
    this.#pending = pending;
    this.#limit = limit;
    this.#allowed = allowed;
    // Node opens the standard streams when they are first used: opened here, they belong to the beginning, and what a
    // program prints into a pipe while the network runs is not taken for a pipe of its own.
    void process.stdout;
    void process.stderr;
    const names = activeResources();
    for (const name of names) this.#baseline.set(name, (this.#baseline.get(name) ?? 0) + 1);
    this.#sockets = new Map(openSockets().map((socket) => [socket, traffic(socket)]));
  }

  /** How many requests are under way. */
  get pending(): number {
    return this.#pending();
  }

  /** Waits until requests that are under way have ended, or some of them have. Rejects when they take too long. */
  async wait(): Promise<void> {
    const before = this.#pending();
    const began = process.uptime();
    for (let turns = 0; this.#pending() >= before; turns++) {
      if (turns < EAGER_TURNS) await turn();
      else await pause(1);
      if ((process.uptime() - began) * 1000 > this.#limit) throw this.#tooLong();
    }
  }

  /**
   * Whether the program waits for nothing real: no immediate of its own has its turn to come. Throws where something is
   * open that the clock cannot wait for.
   */
  isIdle(): boolean {
    const names = activeResources();
    const counts = new Map<string, number>();
    for (const name of names) {
      if (REFUSED[name] !== undefined) counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    const idle = !names.includes('Immediate');
    if (this.#allowed) return idle;
    for (const [name, count] of counts) if (count > (this.#baseline.get(name) ?? 0)) this.#refuse(name, 'open');
    for (const name of ENDING) {
      const count = counts.get(name) ?? 0;
      if (count < (this.#baseline.get(name) ?? 0)) this.#baseline.set(name, count);
    }
    // One may have taken another's place, or be used again.
    if (counts.has('TCPSocketWrap')) {
      for (const socket of openSockets()) {
        const before = this.#sockets.get(socket);
        if (before === undefined) this.#refuse('TCPSocketWrap', 'open');
        if (before === traffic(socket)) continue;
        this.#sockets.set(socket, traffic(socket));
        this.#refuse('TCPSocketWrap', 'in use, from before the network was made,');
      }
    }
    return idle;
  }

  #refuse(name: string, how: string): never {
    throw codedError(
      Error,
      'ERR_REAL_IO',
      `The program has ${REFUSED[name]} (${name}) ${how} while the network's clock is virtual: how long it takes cannot be told in virtual time, so runs would differ. Connect through the host (host.net, host.http, host.dispatcher()) instead, close it before time goes on, use createNetwork({ clock: 'real' }), or accept runs that differ with createNetwork({ realIo: 'allow' }).`,
    );
  }

  #tooLong(): Error {
    const names = activeResources().filter((name) => !['Timeout', 'Immediate'].includes(name));
    return codedError(
      Error,
      'ERR_REAL_IO',
      `Real input or output has been under way for more than ${this.#limit} ms while the network's virtual clock waits for it (${names.join(', ') || 'a request of the thread pool'}). Let it end before the network goes on, raise createNetwork({ realIoTimeout: ms }), or use createNetwork({ clock: 'real' }).`,
    );
  }
}
