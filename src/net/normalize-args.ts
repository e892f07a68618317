// The argument forms of `connect` and `listen`, brought into one.
import * as realNet from 'node:net';
import { toNumber } from './validators';

type Callback = (...args: unknown[]) => void;

/** Options and callback, as Node's own `net._normalizeArgs` returns them. */
export type NormalizedArgs = [options: Record<string, unknown>, callback: Callback | null];

/** Node's mark on such an array, by which its own modules and tests know one. */
const kNormalized: symbol | undefined = Object.getOwnPropertySymbols(
  (realNet as unknown as { _normalizeArgs?: (args: unknown[]) => object })._normalizeArgs?.([]) ?? [],
)[0];
const kOurs = Symbol('usernet.normalized');

/**
 * Takes `(options, cb)`, `(path, cb)` and `(port, host, cb)`, each argument but the first optional.
 * Of `listen`'s forms, the backlog is not looked at here.
 */
export function normalizeArgs(args: unknown[]): NormalizedArgs {
  let options: Record<string, unknown> = {};
  let callback: Callback | null = null;
  if (args.length > 0) {
    const first = args[0];
    if (typeof first === 'object' && first !== null) {
      options = first as Record<string, unknown>;
    } else if (typeof first === 'string' && toNumber(first) === false) {
      options.path = first;
    } else {
      options.port = first;
      if (args.length > 1 && typeof args[1] === 'string') options.host = args[1];
    }
    const last = args[args.length - 1];
    if (typeof last === 'function') callback = last as Callback;
  }
  const normalized: NormalizedArgs = [options, callback];
  (normalized as unknown as Record<symbol, boolean>)[kNormalized ?? kOurs] = true;
  return normalized;
}

/** The normalized form of what `connect` was called with, which may be in that form already. */
export function normalizeOnce(args: unknown[]): NormalizedArgs {
  const first = args[0];
  const marked = Array.isArray(first) && (first as unknown as Record<symbol, boolean>)[kNormalized ?? kOurs];
  return marked ? (first as unknown as NormalizedArgs) : normalizeArgs(args);
}
