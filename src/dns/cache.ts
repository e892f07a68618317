// What a resolver remembers of answers: bounded, for as long as they may be remembered.

/** Longest that anything is remembered, and longest that there is nothing, seconds (RFC 8767 section 4, RFC 2308 section 5). */
const MAX_TTL = 86_400;
const MAX_NEGATIVE_TTL = 900;

interface Entry<T> {
  value: T;
  /** ms of `now`. */
  until: number;
  since: number;
}

/** The least recently used makes way. */
export class Cache<T> {
  readonly #entries = new Map<string, Entry<T>>();
  readonly #most: number;
  readonly #now: () => number;

  constructor(most: number, now: () => number = Date.now) {
    this.#most = most;
    this.#now = now;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** What is remembered, and for how many seconds it has been. */
  get(key: string): { value: T; age: number } | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    this.#entries.delete(key);
    const now = this.#now();
    if (now >= entry.until) return undefined;
    this.#entries.set(key, entry);
    return { value: entry.value, age: Math.floor((now - entry.since) / 1000) };
  }

  set(key: string, value: T, ttl: number, negative: boolean): void {
    const seconds = Math.min(ttl, negative ? MAX_NEGATIVE_TTL : MAX_TTL);
    this.#entries.delete(key);
    if (!(seconds > 0) || this.#most === 0) return;
    if (this.#entries.size >= this.#most) {
      const [oldest] = this.#entries.keys();
      this.#entries.delete(oldest as string);
    }
    const since = this.#now();
    this.#entries.set(key, { value, since, until: since + seconds * 1000 });
  }

  clear(): void {
    this.#entries.clear();
  }
}
