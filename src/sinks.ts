// Who is told of sockets, found by the halves of an id as a record has them.

const HALF = 2 ** 32;

/** The bits of an index above these say which lane it is of, at most 64 (`LANE_SHIFT` in crates/node/src/handles.rs). */
const LANE_SHIFT = 25;
const PLACE = 2 ** LANE_SHIFT - 1;

/** Those of one lane, by place; places are dense. */
interface Lane<T> {
  readonly sinks: Array<T | undefined>;
  readonly generations: number[];
}

/** Sinks by id: in the lane and the place that its index names, if its generation is the one that is there now. */
export class Sinks<T> {
  readonly #lanes: Lane<T>[] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Whom a record is for: nobody, where its id is one of the past. */
  find(index: number, generation: number): T | undefined {
    const lane = this.#lanes[index >>> LANE_SHIFT];
    const place = index & PLACE;
    return lane !== undefined && lane.generations[place] === generation ? lane.sinks[place] : undefined;
  }

  set(id: number, sink: T): void {
    const index = id % HALF;
    const number = index >>> LANE_SHIFT;
    // No holes: arrays with some are slower.
    while (this.#lanes.length <= number) this.#lanes.push({ sinks: [], generations: [] });
    const { sinks, generations } = this.#lanes[number]!;
    const place = index & PLACE;
    while (sinks.length < place) {
      sinks.push(undefined);
      generations.push(0);
    }
    if (sinks[place] === undefined) this.#size++;
    sinks[place] = sink;
    generations[place] = Math.floor(id / HALF);
  }

  delete(id: number): void {
    const index = id % HALF;
    if (this.find(index, Math.floor(id / HALF)) === undefined) return;
    this.#lanes[index >>> LANE_SHIFT]!.sinks[index & PLACE] = undefined;
    this.#size--;
  }

  clear(): void {
    this.#lanes.length = 0;
    this.#size = 0;
  }

  /** Everybody there is now, with their ids. */
  entries(): Array<[id: number, sink: T]> {
    return this.#lanes.flatMap(({ sinks, generations }, number) =>
      sinks.flatMap((sink, place) =>
        sink === undefined
          ? []
          : [[number * 2 ** LANE_SHIFT + place + generations[place]! * HALF, sink] as [number, T]],
      ),
    );
  }
}
