// Checks of arguments, with Node's errors and Node's wording.
import { badPort, invalidArgType, invalidArgValue, outOfRange } from '../errors';

/** Throws `ERR_INVALID_ARG_TYPE` unless `value` is a function. */
export function validateFunction(value: unknown, name: string): void {
  if (typeof value !== 'function') throw invalidArgType(name, 'Function', value);
}

/** Throws `ERR_INVALID_ARG_TYPE` unless `value` is a boolean. */
export function validateBoolean(value: unknown, name: string): void {
  if (typeof value !== 'boolean') throw invalidArgType(name, 'boolean', value);
}

/** Throws `ERR_INVALID_ARG_TYPE` unless `value` is a number. */
export function validateNumber(value: unknown, name: string): void {
  if (typeof value !== 'number') throw invalidArgType(name, 'number', value);
}

/** Throws unless `value` is an integer from `min` to `max`. */
export function validateInt32(value: unknown, name: string, min = -2147483648, max = 2147483647): void {
  if (typeof value !== 'number') throw invalidArgType(name, 'number', value);
  if (!Number.isInteger(value)) throw outOfRange(name, 'an integer', value);
  if (value < min || value > max) throw outOfRange(name, `>= ${min} && <= ${max}`, value);
}

/** Returns the port as a number, or throws `ERR_SOCKET_BAD_PORT`. */
export function validatePort(port: unknown, name = 'Port'): number {
  const ok =
    (typeof port === 'number' || (typeof port === 'string' && port.trim().length > 0)) &&
    +port === +port >>> 0 &&
    +port <= 0xffff;
  if (!ok) throw badPort(name, port);
  return +(port as number | string) | 0;
}

/** Throws `ERR_INVALID_ARG_TYPE` unless `signal` looks like an `AbortSignal`. */
export function validateAbortSignal(signal: unknown, name: string): asserts signal is AbortSignal {
  if (signal === null || typeof signal !== 'object' || !('aborted' in signal)) {
    throw invalidArgType(name, 'AbortSignal', signal);
  }
}

/** The number of a port or a backlog given as an argument, or `false`. */
export function toNumber(value: unknown): number | false {
  const number = Number(value);
  return number >= 0 ? number : false;
}

/** The longest a timer can run, as Node's timers have it (ms). */
const TIMEOUT_MAX = 2 ** 31 - 1;

/** Checks a duration in ms as Node's timers do; longer ones are cut with a warning. */
export function timerDuration(msecs: unknown, name: string): number {
  if (typeof msecs !== 'number') throw invalidArgType(name, 'number', msecs);
  if (msecs < 0 || !Number.isFinite(msecs)) throw outOfRange(name, 'a non-negative finite number', msecs);
  if (msecs > TIMEOUT_MAX) {
    process.emitWarning(
      `${msecs} does not fit into a 32-bit signed integer.\nTimer duration was truncated to ${TIMEOUT_MAX}.`,
      'TimeoutOverflowWarning',
    );
    return TIMEOUT_MAX;
  }
  return msecs;
}

/** Options that a byte stream cannot honour. */
export function rejectObjectMode(options: Record<string, unknown> | undefined): void {
  if (options?.objectMode) {
    throw invalidArgValue('options.objectMode', options.objectMode, 'is not supported');
  }
  for (const name of ['readableObjectMode', 'writableObjectMode']) {
    if (options?.[name]) throw invalidArgValue(`options.${name}`, options[name], 'is not supported');
  }
}

/** Throws `ERR_INVALID_ARG_TYPE` unless `value` is a string. */
export function validateString(value: unknown, name: string): void {
  if (typeof value !== 'string') throw invalidArgType(name, 'string', value);
}
