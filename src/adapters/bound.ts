// Node's own modules and classes with some of their parts replaced, so that they are on a stack.

type Constructor = abstract new (...args: never[]) => object;

/** What is different about a class on a stack. */
export interface Changes<Instance> {
  /** The arguments that Node's constructor gets instead. */
  prepare?(args: unknown[]): unknown[];
  /** What is done to an instance once Node's constructor is through. */
  finish?(instance: Instance): void;
  /** Members of the prototype. */
  members?: Record<string, unknown>;
}

/**
 * A class of Node's with changes. It is derived from Node's, can be derived from, and called without `new` where Node's
 * can: by itself, and by `call` from constructors of old.
 */
export function bindClass<T extends Constructor>(Base: T, changes: Changes<InstanceType<T>>): T {
  const { prepare = (args) => args, finish = () => {}, members = {} } = changes;
  const make = (args: unknown[], target: unknown): object => {
    const instance = Reflect.construct(Base as never, prepare(args), target as never) as InstanceType<T>;
    finish(instance);
    return instance;
  };
  function Bound(this: unknown, ...args: unknown[]): object {
    if (new.target) return make(args, new.target);
    if (!(this instanceof (Bound as never))) return make(args, Bound);
    (Base as unknown as (...args: unknown[]) => void).apply(this, prepare(args));
    finish(this as InstanceType<T>);
    return this as object;
  }
  Object.setPrototypeOf(Bound, Base);
  Object.defineProperty(Bound, 'name', { value: Base.name, configurable: true });
  const prototype = Object.create(Base.prototype as object, {
    constructor: { value: Bound, writable: true, configurable: true },
  });
  for (const [name, value] of Object.entries(members)) {
    Object.defineProperty(prototype, name, { value, writable: true, configurable: true });
  }
  Object.defineProperty(Bound, 'prototype', { value: prototype });
  return Bound as unknown as T;
}

/** A module's exports with some replaced; accessors stay accessors. */
export function bindModule<T extends object>(module: T, bound: Partial<T>): T {
  const descriptors = Object.getOwnPropertyDescriptors(module);
  return Object.defineProperties({}, { ...descriptors, ...Object.getOwnPropertyDescriptors(bound) }) as T;
}
