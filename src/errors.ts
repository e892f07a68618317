// The errors of this package, shaped like Node's: system errors with code, errno and syscall; `ERR_` errors with a code.

import * as os from 'node:os';
import { getSystemErrorMap, getSystemErrorName, inspect } from 'node:util';

/** An error of the operating system's kind, as `node:net` raises it. */
export interface SystemError extends Error {
  /** The name of the error, such as `ECONNREFUSED`. */
  code: string;
  /** The negative number of the error on this platform, as libuv has it. */
  errno: number;
  /** What was being done: `connect`, `listen`, `bind`, `read`, `write`, `shutdown`. */
  syscall: string;
  /** The address it was about, where there is one. */
  address?: string;
  /** The port it was about, where there is one. */
  port?: number;
  /** For `connect` with both a local address and a local port: that address. */
  localAddress?: string;
  /** For `connect` with both a local address and a local port: that port. */
  localPort?: number;
}

/** An error with one of Node's `ERR_` codes, or with a code of this package. */
export interface CodedError extends Error {
  code: string;
}

/** Where the platform's numbers differ from Linux's, this gives them by name. */
const ERRNO_BY_NAME = new Map<string, number>();
for (const [errno, [name]] of getSystemErrorMap()) ERRNO_BY_NAME.set(name, errno);

/** The negative error number of `name` on this platform. */
export function errnoOf(name: string): number {
  return ERRNO_BY_NAME.get(name) ?? -(os.constants.errno as unknown as Record<string, number>)[name]!;
}

export const EAGAIN = errnoOf('EAGAIN');
export const EBADF = errnoOf('EBADF');
export const EPIPE = errnoOf('EPIPE');
export const EINVAL = errnoOf('EINVAL');
export const ENOTCONN = errnoOf('ENOTCONN');
export const ECANCELED = errnoOf('ECANCELED');
export const ETIMEDOUT = errnoOf('ETIMEDOUT');
export const EADDRINUSE = errnoOf('EADDRINUSE');
export const EADDRNOTAVAIL = errnoOf('EADDRNOTAVAIL');
export const EAFNOSUPPORT = errnoOf('EAFNOSUPPORT');
export const ENETUNREACH = errnoOf('ENETUNREACH');
export const ENODEV = errnoOf('ENODEV');

/** `${syscall} ${code}`, as `read ECONNRESET`, with what is wrong and the remedy where given. `errno` is negative. */
export function errnoException(errno: number, syscall: string, remedy?: string): SystemError {
  const code = getSystemErrorName(errno);
  const error = new Error(`${syscall} ${code}${remedy === undefined ? '' : `: ${remedy}`}`) as SystemError;
  error.errno = errno;
  error.code = code;
  error.syscall = syscall;
  return error;
}

/**
 * `errnoException` for what happened to a socket rather than in a call: no line of the program led to it, and finding and
 * printing the frames of our own costs more than the rest of a connection that is reset. Its stack is its first line.
 */
export function errnoEvent(errno: number, syscall: string): SystemError {
  const limit: unknown = Error.stackTraceLimit;
  // Without a number V8 takes no frames anyway.
  if (typeof limit !== 'number') return errnoException(errno, syscall);
  try {
    // Not 0: then V8 takes an empty stack, and prints it when a stream looks at it.
    (Error as { stackTraceLimit: unknown }).stackTraceLimit = undefined;
  } catch {
    // Frozen intrinsics keep theirs.
    return errnoException(errno, syscall);
  }
  try {
    const error = errnoException(errno, syscall);
    error.stack = `Error: ${error.message}`;
    return error;
  } finally {
    Error.stackTraceLimit = limit;
  }
}

/** `${address}:${port}`, or the address alone where there is no port. */
function place(address: string | null | undefined, port: number | null | undefined): string {
  if (port && port > 0) return ` ${address}:${port}`;
  return address ? ` ${address}` : '';
}

/** `connect ECONNREFUSED 127.0.0.1:80`, with `- Local (a:p)` where `local` is given. `errno` is negative. */
export function exceptionWithHostPort(
  errno: number,
  syscall: string,
  address: string,
  port?: number,
  local?: string,
): SystemError {
  const code = getSystemErrorName(errno);
  const tail = local ? ` - Local (${local})` : '';
  const error = new Error(`${syscall} ${code}${place(address, port)}${tail}`) as SystemError;
  error.errno = errno;
  error.code = code;
  error.syscall = syscall;
  error.address = address;
  if (port) error.port = port;
  return error;
}

/** `listen EADDRINUSE: address already in use :::80`, with libuv's words for the error. `errno` is negative. */
export function uvExceptionWithHostPort(
  errno: number,
  syscall: string,
  address: string | null,
  port?: number | null,
): SystemError {
  const [code, words] = getSystemErrorMap().get(errno) ?? ['UNKNOWN', 'unknown error'];
  const error = new Error(`${syscall} ${code}: ${words}${place(address, port)}`) as SystemError;
  error.code = code;
  error.errno = errno;
  error.syscall = syscall;
  error.address = address as string;
  if (port) error.port = port;
  return error;
}

/** What several connection attempts failed with; its `code` is that of the first. */
export function aggregateError(errors: SystemError[]): AggregateError {
  const error = new AggregateError(errors) as AggregateError & CodedError;
  error.code = errors[0]?.code as string;
  return error;
}

type ErrorBase = new (message: string) => Error;

/** An error of Node's kind: its `toString()` and its stack name the code. */
export function codedError(Base: ErrorBase, code: string, message: string): CodedError {
  const error = new Base(message) as CodedError;
  // Node's stacks and `toString()` name the code; `name` and `message` do not.
  if (error.stack) error.stack = error.stack.replace(error.name, `${error.name} [${code}]`);
  Object.defineProperty(error, 'toString', {
    value() {
      return `${this.name} [${code}]: ${this.message}`;
    },
    enumerable: false,
    writable: true,
    configurable: true,
  });
  error.code = code;
  return error;
}

/** How Node's messages describe a value of the wrong type. */
function received(value: unknown): string {
  if (value == null) return `${value}`;
  if (typeof value === 'function') return `function ${value.name}`;
  if (typeof value === 'object') {
    const name = (value as object).constructor?.name;
    return name ? `an instance of ${name}` : inspect(value, { depth: -1 });
  }
  let text = inspect(value, { colors: false });
  if (text.length > 28) text = `${text.slice(0, 25)}...`;
  return `type ${typeof value} (${text})`;
}

function describe(name: string): string {
  return name.endsWith(' argument') ? `The ${name}` : `The "${name}" ${name.includes('.') ? 'property' : 'argument'}`;
}

function list(words: string[]): string {
  if (words.length < 3) return words.join(' or ');
  return `${words.slice(0, -1).join(', ')}, or ${words.at(-1)}`;
}

const PRIMITIVES = new Set(['string', 'function', 'number', 'object', 'boolean', 'bigint', 'symbol']);

/** `ERR_INVALID_ARG_TYPE`. */
export function invalidArgType(name: string, expected: string | string[], value: unknown): CodedError {
  const all = Array.isArray(expected) ? expected : [expected];
  const types = all.filter((word) => PRIMITIVES.has(word.toLowerCase())).map((word) => word.toLowerCase());
  const instances = all.filter((word) => !PRIMITIVES.has(word.toLowerCase()));
  const parts: string[] = [];
  if (types.length > 0) parts.push(`${types.length > 1 ? 'one of type' : 'of type'} ${list(types)}`);
  if (instances.length > 0) parts.push(`an instance of ${list(instances)}`);
  return codedError(
    TypeError,
    'ERR_INVALID_ARG_TYPE',
    `${describe(name)} must be ${parts.join(' or ')}. Received ${received(value)}`,
  );
}

/** `ERR_INVALID_ARG_VALUE`. */
export function invalidArgValue(name: string, value: unknown, reason = 'is invalid'): CodedError {
  let text = inspect(value);
  if (text.length > 128) text = `${text.slice(0, 128)}...`;
  const kind = name.includes('.') ? 'property' : 'argument';
  return codedError(TypeError, 'ERR_INVALID_ARG_VALUE', `The ${kind} '${name}' ${reason}. Received ${text}`);
}

/** `ERR_OUT_OF_RANGE`. */
export function outOfRange(name: string, range: string, value: unknown): CodedError {
  let text = inspect(value);
  if (typeof value === 'number' && Number.isInteger(value) && Math.abs(value) > 2 ** 32) {
    text = String(value).replace(/\B(?=(\d{3})+(?!\d))/g, '_');
  }
  return codedError(
    RangeError,
    'ERR_OUT_OF_RANGE',
    `The value of "${name}" is out of range. It must be ${range}. Received ${text}`,
  );
}

/** `ERR_SOCKET_BAD_PORT`. */
export function badPort(name: string, value: unknown): CodedError {
  return codedError(
    RangeError,
    'ERR_SOCKET_BAD_PORT',
    `${name} should be >= 0 and < 65536. Received ${received(value)}.`,
  );
}

/** `ERR_MISSING_ARGS` for "one of these". */
export function missingArgs(...names: string[]): CodedError {
  const quoted = names.map((name) => `"${name}"`);
  return codedError(TypeError, 'ERR_MISSING_ARGS', `The ${quoted.join(' or ')} argument must be specified`);
}

/** `ERR_SOCKET_CLOSED`. */
export const socketClosed = (): CodedError => codedError(Error, 'ERR_SOCKET_CLOSED', 'Socket is closed');

/** `ERR_SOCKET_CLOSED_BEFORE_CONNECTION`. */
export const closedBeforeConnection = (): CodedError =>
  codedError(Error, 'ERR_SOCKET_CLOSED_BEFORE_CONNECTION', 'Socket closed before the connection was established');

/** `ERR_SOCKET_CONNECTION_TIMEOUT`. */
export const connectionTimeout = (): CodedError =>
  codedError(Error, 'ERR_SOCKET_CONNECTION_TIMEOUT', 'Socket connection timeout');

/** `ERR_SERVER_ALREADY_LISTEN`. */
export const alreadyListening = (): CodedError =>
  codedError(Error, 'ERR_SERVER_ALREADY_LISTEN', 'Listen method has been called more than once without closing.');

/** `ERR_SERVER_NOT_RUNNING`. */
export const serverNotRunning = (): CodedError => codedError(Error, 'ERR_SERVER_NOT_RUNNING', 'Server is not running.');

/** `ERR_INVALID_IP_ADDRESS`. */
export const invalidIpAddress = (address: unknown): CodedError =>
  codedError(TypeError, 'ERR_INVALID_IP_ADDRESS', `Invalid IP address: ${address}`);

/** `ERR_INVALID_ADDRESS_FAMILY`. */
export function invalidAddressFamily(family: unknown, host: unknown, port: unknown): CodedError {
  const error = codedError(
    RangeError,
    'ERR_INVALID_ADDRESS_FAMILY',
    `Invalid address family: ${family} ${host}:${port}`,
  ) as CodedError & { host: unknown; port: unknown };
  error.host = host;
  error.port = port;
  return error;
}

/** `ERR_IP_BLOCKED`, raised where an option `blockList` forbids the address. */
export const ipBlocked = (address: string): CodedError =>
  codedError(Error, 'ERR_IP_BLOCKED', `IP(${address}) is blocked by net.BlockList`);

/** What the kernel's stack has and this one cannot: Unix sockets, Windows pipes, descriptors, foreign handles. */
export function notAKernelSocket(what: string, value: unknown, remedy: string): CodedError {
  return codedError(
    TypeError,
    'ERR_FEATURE_UNAVAILABLE_ON_PLATFORM',
    `${what} (${inspect(value)}) belongs to the operating system's sockets, which a user-space stack does not have. ${remedy}`,
  );
}

/** What `signal` ended, as Node's APIs say it. */
export function abortError(signal: AbortSignal): CodedError {
  const error = codedError(Error, 'ABORT_ERR', 'The operation was aborted');
  error.name = 'AbortError';
  error.cause = signal.reason;
  return error;
}

/** Raised by anything done on a stack after its `close()`. */
export const stackClosed = (): CodedError =>
  codedError(Error, 'ERR_STACK_CLOSED', 'The stack is closed. Make a new one with createStack().');
