// A native stack for tests of the binding itself: records as they come, to be waited for one by one.

import { createCipheriv } from 'node:crypto';
import {
  loadBinding,
  type NativeLinkEnd,
  type NativeStack,
  type NativeStackOptions,
  RECORD_SIZE,
  RecordKind,
} from '../../src/native';

export const binding = loadBinding();

/** One record, its data looked up. */
export interface Taken {
  kind: RecordKind;
  id: number;
  a: number;
  b: number;
  c: number;
  /** A view on the slab, for Data. */
  data: Buffer;
}

interface Waiter {
  wanted: (record: Taken) => boolean;
  resolve: (record: Taken) => void;
}

const NOTHING = Buffer.alloc(0);

/** A stack that drains itself and keeps what it drained. */
export class TestStack {
  readonly native: NativeStack;
  readonly events: Int32Array;
  /** Everything that was reported, oldest first. */
  readonly log: Taken[] = [];
  rings = 0;
  drains = 0;
  /** Whether the doorbell is answered. */
  answering = true;
  onrecord: ((record: Taken) => void) | null = null;
  #taken = new Set<Taken>();
  #waiters: Waiter[] = [];

  constructor(options: NativeStackOptions = {}, capacity = 256) {
    this.events = new Int32Array(capacity * RECORD_SIZE);
    this.native = new binding.NativeStack({ timeWait: 20, ...options }, this.events, () => {
      this.rings++;
      if (this.answering) this.drain();
    });
    this.native.ref();
  }

  /** Drains until nothing is left to report for now. */
  drain(): void {
    const capacity = this.events.length / RECORD_SIZE;
    for (;;) {
      const count = this.native.drain();
      this.drains++;
      const records = Array.from({ length: count }, (_, at) => this.#record(at * RECORD_SIZE));
      for (const record of records) {
        this.log.push(record);
        this.onrecord?.(record);
        const at = this.#waiters.findIndex((waiter) => waiter.wanted(record));
        if (at >= 0) {
          this.#taken.add(record);
          this.#waiters.splice(at, 1)[0]!.resolve(record);
        }
      }
      if (count < capacity) return;
    }
  }

  /** The next record of a kind that nobody has waited for, of a socket if one is named. */
  next(kind: RecordKind, id?: number): Promise<Taken> {
    const wanted = (record: Taken): boolean => record.kind === kind && (id === undefined || record.id === id);
    const found = this.log.find((record) => wanted(record) && !this.#taken.has(record));
    if (found !== undefined) {
      this.#taken.add(found);
      return Promise.resolve(found);
    }
    return new Promise((resolve) => this.#waiters.push({ wanted, resolve }));
  }

  /** The kinds reported of a socket, in order; runs of Data count once. (Accept names a listener, by its own numbers.) */
  kinds(id: number): RecordKind[] {
    const mine = this.log.filter((record) => record.id === id && record.kind !== RecordKind.Accept);
    const kinds = mine.map((record) => record.kind);
    return kinds.filter((kind, at) => kind !== RecordKind.Data || kinds[at - 1] !== RecordKind.Data);
  }

  /** What a socket received. */
  received(id: number): Buffer {
    return Buffer.concat(this.log.filter((r) => r.id === id && r.kind === RecordKind.Data).map((r) => r.data));
  }

  /** A listener on a free port. */
  listen(address = '127.0.0.1', backlog = 128): { id: number; port: number } {
    const id = this.native.listen(address, 0, backlog, false);
    return { id, port: this.native.listenerAddress(id)!.port };
  }

  /** A connection to a listener of `server`, and its other end. Neither is read from. */
  async connect(server: TestStack, address = '127.0.0.1'): Promise<[client: number, accepted: number]> {
    const { id, port } = server.listen(address);
    const client = this.native.connect(address, port, '', 0);
    const accept = await server.next(RecordKind.Accept, id);
    const accepted = accept.a + accept.b * 2 ** 32;
    server.native.readStop(accepted);
    await this.next(RecordKind.Connect, client);
    server.native.closeListener(id);
    return [client, accepted];
  }

  /** Sends all of `data`, waiting for room. */
  async send(id: number, data: Uint8Array): Promise<void> {
    let at = 0;
    while (at < data.length) {
      const taken = this.native.write(id, data.subarray(at));
      if (taken < 0) throw new Error(`write: ${taken}`);
      at += taken;
      if (at < data.length) await this.next(RecordKind.Writable, id);
    }
  }

  close(): void {
    this.native.shutdownStack();
  }

  #record(at: number): Taken {
    const [kind, index, generation, a, b, c] = this.events.subarray(at, at + RECORD_SIZE) as unknown as number[];
    const data = kind === RecordKind.Data ? this.native.slab(a!).subarray(b!, b! + c!) : NOTHING;
    return { kind: kind as RecordKind, id: index! + generation! * 2 ** 32, a: a!, b: b!, c: c!, data };
  }
}

/** Two stacks at the ends of a link: 198.18.0.1 and .2, fd00::1 and ::2. */
export function linked(options: NativeStackOptions = {}): [TestStack, TestStack] {
  const ends = binding.createLink({});
  return [1, 2].map((host) => {
    const stack = new TestStack(options);
    addLink(stack, ends[host - 1]!, [`198.18.0.${host}/24`, `fd00::${host}/64`]);
    return stack;
  }) as [TestStack, TestStack];
}

export function addLink(stack: TestStack, link: NativeLinkEnd, addresses: string[]): number {
  return stack.native.addInterface({ name: 'link', addresses, device: { kind: 'link', link } });
}

/** Bytes that say where they belong: a keystream, so that no part equals another. */
export function pattern(length: number, seed = 1): Buffer {
  const key = Buffer.alloc(32, seed);
  return createCipheriv('aes-256-ctr', key, key.subarray(0, 16)).update(Buffer.alloc(length));
}

/** Waits for a turn of the event loop. */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
