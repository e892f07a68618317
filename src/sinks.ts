// Who is told of sockets, found by the halves of an id as a record has them.

const HALF = 2 ** 32;

/** Sinks by id: in the place that its index names, which are dense, if its generation is the one that is there now. */
export class Sinks<T> {
  readonly #sinks: Array<T | undefined> = [];
  readonly #generations: number[] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Whom a record is for: nobody, where its id is one of the past. */
  find(index: number, generation: number): T | undefined {
    return this.#generations[index] === generation ? this.#sinks[index] : undefined;
  }

  set(id: number, sink: T): void {
    const index = id % HALF;
    // No holes: arrays with some are slower.
    while (this.#sinks.length < index) {
      this.#sinks.push(undefined);
      this.#generations.push(0);
    }
    if (this.#sinks[index] === undefined) this.#size++;
    this.#sinks[index] = sink;
    this.#generations[index] = Math.floor(id / HALF);
  }

  delete(id: number): void {
    const index = id % HALF;
    if (this.find(index, Math.floor(id / HALF)) === undefined) return;
    this.#sinks[index] = undefined;
    this.#size--;
  }

  clear(): void {
    this.#sinks.length = 0;
    this.#generations.length = 0;
    this.#size = 0;
  }

  /** Everybody there is now, with their ids. */
  entries(): Array<[id: number, sink: T]> {
    return this.#sinks.flatMap((sink, index) =>
      sink === undefined ? [] : [[index + this.#generations[index]! * HALF, sink] as [number, T]],
    );
  }
}
