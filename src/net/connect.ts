// Connecting: arguments, the look-up of names, one attempt or several by address family (RFC 8305 as Node does it).
import dns from 'node:dns';
import { isIP } from 'node:net';
import {
  aggregateError,
  connectionTimeout,
  EADDRINUSE,
  EADDRNOTAVAIL,
  ECANCELED,
  EINVAL,
  ETIMEDOUT,
  exceptionWithHostPort,
  invalidAddressFamily,
  invalidArgType,
  invalidIpAddress,
  ipBlocked,
  missingArgs,
  notAKernelSocket,
  type SystemError,
} from '../errors';
import { SocketHandle } from './handle';
import { adoptHandle, type SocketImpl } from './socket';
import { kAfterConnect, kBlockList, kEarlyWrite, kFastOpen, kHandle, kNet, kReplaceHandle } from './symbols';
import {
  validateBoolean,
  validateFunction,
  validateInt32,
  validateNumber,
  validatePort,
  validateString,
} from './validators';

type Family = 4 | 6;
type Lookup = typeof dns.lookup;

interface Target {
  address: string;
  port: number;
  family: Family;
  localAddress?: string;
  localPort?: number;
}

/** Attempts shorter than this (ms) are not worth their packets; Node rounds up to it too. */
const SHORTEST_ATTEMPT = 10;

/** What `socket.connect(options)` does. */
export function startConnect<T extends SocketImpl>(socket: T, options: Record<string, unknown>): T {
  const { port, path } = options;
  if (port === undefined && path == null) throw missingArgs('options', 'port', 'path');
  if (Object.hasOwn(socket, 'write')) delete (socket as { write?: unknown }).write;
  if (socket.destroyed) {
    socket[kHandle] = null;
    socket._peername = null;
    socket._sockname = null;
  }
  if (path) {
    validateString(path, 'options.path');
    throw notAKernelSocket('A path', path, 'Connect to a host and a port, or use node:net for Unix sockets.');
  }
  if (!socket[kHandle]) {
    socket[kHandle] = new SocketHandle(socket[kNet].reactor);
    adoptHandle(socket);
  }
  if (options.fastOpen !== undefined) validateBoolean(options.fastOpen, 'options.fastOpen');
  socket[kFastOpen] = options.fastOpen === true;
  socket._unrefTimer();
  socket.connecting = true;
  lookupAndConnect(socket, options);
  return socket;
}

function lookupAndConnect(socket: SocketImpl, options: Record<string, unknown>): void {
  const localAddress = options.localAddress as string | undefined;
  const localPort = options.localPort as number | undefined;
  const host = (options.host as string) || 'localhost';
  if (localAddress && !isIP(localAddress)) throw invalidIpAddress(localAddress);
  if (localPort) validateNumber(localPort, 'options.localPort');
  if (options.port !== undefined && typeof options.port !== 'number' && typeof options.port !== 'string') {
    throw invalidArgType('options.port', ['number', 'string'], options.port);
  }
  const port = validatePort(options.port);
  const { autoSelect, attemptTimeout } = selectionOptions(socket, options);

  const family = isIP(host);
  if (family !== 0) {
    process.nextTick(() => {
      if (!socket.connecting) return;
      connectOnce(socket, { address: host, port, family: family as Family, localAddress, localPort });
    });
    return;
  }
  if (options.lookup != null) validateFunction(options.lookup, 'options.lookup');
  socket._host = host;
  // `dns.lookup` is looked up now, so that what a program or a test put in its place is used.
  const lookup = (options.lookup as Lookup | undefined) ?? socket[kNet].lookup ?? dns.lookup;
  const query: dns.LookupOptions = { family: familyNumber(options.family), hints: (options.hints as number) || 0 };
  const anyFamily = query.family !== 4 && query.family !== 6;
  if (process.platform !== 'win32' && anyFamily && query.hints === 0) query.hints = dns.ADDRCONFIG;

  if (anyFamily && !localAddress && autoSelect) {
    query.all = true;
    lookup(host, query as dns.LookupAllOptions, (error, addresses) => {
      if (socket.connecting) onAddresses(socket, options, host, port, localPort, attemptTimeout, error, addresses);
    });
    return;
  }
  lookup(host, query as dns.LookupOneOptions, (failure, found, foundFamily) => {
    let [error, address, addressFamily] = [failure, found, foundFamily];
    if (isMissingLocalhost(error, host, options)) {
      addressFamily = query.family as Family;
      [error, address] = [null, LOOPBACK[addressFamily as Family]];
    }
    socket.emit('lookup', error as Error, address, addressFamily, host);
    if (!socket.connecting) return;
    const wrong = error ?? checkAddress(address, addressFamily, options);
    if (wrong) {
      process.nextTick(fail, socket, wrong);
    } else {
      socket._unrefTimer();
      connectOnce(socket, { address, port, family: addressFamily as Family, localAddress, localPort });
    }
  });
}

function selectionOptions(
  socket: SocketImpl,
  options: Record<string, unknown>,
): { autoSelect: boolean; attemptTimeout: number } {
  const net = socket[kNet];
  let autoSelect = net.autoSelectFamily;
  if (options.autoSelectFamily != null) {
    validateBoolean(options.autoSelectFamily, 'options.autoSelectFamily');
    autoSelect = options.autoSelectFamily as boolean;
  }
  let attemptTimeout = net.autoSelectFamilyAttemptTimeout;
  if (options.autoSelectFamilyAttemptTimeout != null) {
    validateInt32(options.autoSelectFamilyAttemptTimeout, 'options.autoSelectFamilyAttemptTimeout', 1);
    attemptTimeout = Math.max(SHORTEST_ATTEMPT, options.autoSelectFamilyAttemptTimeout as number);
  }
  return { autoSelect, attemptTimeout };
}

function familyNumber(family: unknown): number | undefined {
  if (family === 'IPv4') return 4;
  if (family === 'IPv6') return 6;
  return family as number | undefined;
}

function checkAddress(address: unknown, family: unknown, options: Record<string, unknown>): Error | null {
  if (isIP(address as string) === 0) return invalidIpAddress(address);
  if (family !== 4 && family !== 6) return invalidAddressFamily(family, options.host, options.port);
  return null;
}

/** Loopback is what `localhost` means by RFC 6761 section 6.3, also where a hosts file has it for one family only. */
const LOOPBACK: Record<Family, string> = { 4: '127.0.0.1', 6: '::1' };

function isMissingLocalhost(
  error: NodeJS.ErrnoException | null,
  host: string,
  options: Record<string, unknown>,
): boolean {
  if (error?.code !== 'ENOTFOUND' || host !== 'localhost' || options.lookup) return false;
  const family = familyNumber(options.family);
  return family === 4 || family === 6;
}

function fail(socket: SocketImpl, error: Error): void {
  socket.destroy(error);
}

function onAddresses(
  socket: SocketImpl,
  options: Record<string, unknown>,
  host: string,
  port: number,
  localPort: number | undefined,
  timeout: number,
  error: Error | null,
  addresses: dns.LookupAddress[],
): void {
  if (error) {
    socket.emit('lookup', error, undefined as unknown as string, undefined as unknown as number, host);
    process.nextTick(fail, socket, error);
    return;
  }
  const byFamily: Record<Family, string[]> = { 4: [], 6: [] };
  let first: Family | undefined;
  for (const { address, family } of addresses) {
    socket.emit('lookup', error as unknown as Error, address, family, host);
    if (!socket.connecting) return;
    if (checkAddress(address, family, options) !== null) continue;
    first ??= family as Family;
    const known = byFamily[family as Family];
    if (!known.includes(address)) known.push(address);
  }
  if (first === undefined) {
    const wrong = checkAddress(addresses[0]?.address, addresses[0]?.family, options);
    process.nextTick(fail, socket, wrong as Error);
    return;
  }
  const targets = alternate(byFamily, first).map((target) => ({ ...target, port }));
  socket._unrefTimer();
  if (targets.length === 1) {
    connectOnce(socket, { ...targets[0]!, localPort });
  } else {
    socket.autoSelectFamilyAttemptedAddresses = [];
    new Attempts(socket, targets, localPort, timeout).next();
  }
}

/** The addresses, families in turn, beginning with that of the first address. */
function alternate(byFamily: Record<Family, string[]>, first: Family): Array<{ address: string; family: Family }> {
  const order: Family[] = first === 6 ? [6, 4] : [4, 6];
  const result: Array<{ address: string; family: Family }> = [];
  for (let i = 0; i < Math.max(byFamily[4].length, byFamily[6].length); i++) {
    for (const family of order) {
      const address = byFamily[family][i];
      if (address !== undefined) result.push({ address, family });
    }
  }
  return result;
}

/** Whether the failure was that of the local end, which Node finds in a `bind` of its own. */
function isBindError(errno: number, target: Target): boolean {
  const asked = Boolean(target.localAddress || target.localPort);
  return asked && (errno === EADDRINUSE || errno === EADDRNOTAVAIL || errno === EINVAL);
}

/** The local end as it goes to the stack: where only a port is given, any address of the family. */
function withLocal(target: Target): Target {
  if (!target.localAddress && !target.localPort) return target;
  return { ...target, localAddress: target.localAddress || (target.family === 4 ? '0.0.0.0' : '::') };
}

function connectError(errno: number, target: Target): SystemError {
  const { address, port, localAddress, localPort } = target;
  const local = localAddress && localPort ? `${localAddress}:${localPort}` : undefined;
  const error = exceptionWithHostPort(errno, 'connect', address, port, local);
  if (local) {
    error.localAddress = localAddress;
    error.localPort = localPort;
  }
  return error;
}

/** The error of an attempt that did not even begin; Node's names the local end then. */
function immediateError(socket: SocketImpl, errno: number, target: Target): SystemError {
  if (isBindError(errno, target)) {
    return exceptionWithHostPort(errno, 'bind', target.localAddress as string, target.localPort);
  }
  const { address, port } = socket._getsockname();
  const local = `${address ?? (target.family === 4 ? '0.0.0.0' : '::')}:${port ?? 0}`;
  return exceptionWithHostPort(errno, 'connect', target.address, target.port, local);
}

function isBlocked(socket: SocketImpl, target: Target): boolean {
  return socket[kBlockList]?.check(target.address, target.family === 6 ? 'ipv6' : 'ipv4') ?? false;
}

function connectOnce(socket: SocketImpl, wanted: Target): void {
  const target = withLocal(wanted);
  if (isBlocked(socket, target)) {
    socket.destroy(ipBlocked(target.address));
    return;
  }
  socket.emit('connectionAttempt', target.address, target.port, target.family);
  const handle = socket[kHandle];
  if (!handle) return;
  const done = (status: number): void => {
    if (socket.destroyed) return;
    if (status === 0) {
      socket[kAfterConnect]();
      return;
    }
    socket.connecting = false;
    socket._sockname = null;
    const error = connectError(status, target);
    socket.emit('connectionAttemptFailed', target.address, target.port, target.family, error);
    socket.destroy(error);
  };
  const { address, port, localAddress, localPort } = target;
  const errno = handle.connect(address, port, localAddress, localPort, done, socket[kFastOpen] === true);
  if (errno < 0) socket.destroy(immediateError(socket, errno, target));
  else socket[kEarlyWrite]?.();
}

/** One address after the other, each given its time, until one answers. */
class Attempts {
  readonly #socket: SocketImpl;
  readonly #targets: Target[];
  readonly #timeout: number;
  readonly #errors: SystemError[] = [];
  #current = 0;

  constructor(socket: SocketImpl, targets: Target[], localPort: number | undefined, timeout: number) {
    this.#socket = socket;
    this.#targets = targets.map((target) => withLocal({ ...target, localPort }));
    this.#timeout = timeout;
  }

  next(canceled = false): void {
    const socket = this.#socket;
    if (socket._aborted) return;
    if (canceled || this.#current === this.#targets.length) {
      socket.destroy(this.#errors.length === 0 ? connectionTimeout() : aggregateError(this.#errors));
      return;
    }
    const index = this.#current++;
    const target = this.#targets[index]!;
    if (isBlocked(socket, target)) {
      this.#errors.push(ipBlocked(target.address) as SystemError);
      this.next();
      return;
    }
    if (index > 0) socket[kReplaceHandle](new SocketHandle(socket[kNet].reactor));
    const handle = socket[kHandle]!;
    socket.emit('connectionAttempt', target.address, target.port, target.family);
    if (!socket.connecting) return;
    socket.autoSelectFamilyAttemptedAddresses.push(`${target.address}:${target.port}`);
    let timer: NodeJS.Timeout | undefined;
    const errno = handle.connect(target.address, target.port, target.localAddress, target.localPort, (status) => {
      clearTimeout(timer);
      if (!socket.destroyed) this.#finished(index, target, handle, status);
    });
    if (errno < 0) {
      const error = immediateError(socket, errno, target);
      this.#errors.push(error);
      if (!isBindError(errno, target)) {
        socket.emit('connectionAttemptFailed', target.address, target.port, target.family, error);
      }
      this.next();
      return;
    }
    if (index < this.#targets.length - 1) {
      timer = setTimeout(() => this.#timedOut(target, handle), this.#timeout);
      socket.once('close', () => clearTimeout(timer));
    }
  }

  #finished(index: number, target: Target, handle: SocketHandle, status: number): void {
    const socket = this.#socket;
    if (status === 0) {
      // Too late: another attempt is under way already.
      if (index !== this.#current - 1) handle.close();
      else socket[kAfterConnect]();
      return;
    }
    const error = connectError(status, target);
    this.#errors.push(error);
    socket.emit('connectionAttemptFailed', target.address, target.port, target.family, error);
    if (socket.connecting) this.next(status === ECANCELED);
  }

  #timedOut(target: Target, handle: SocketHandle): void {
    const socket = this.#socket;
    if (!socket.connecting) return;
    socket.emit('connectionAttemptTimeout', target.address, target.port, target.family);
    this.#errors.push(connectError(ETIMEDOUT, target));
    handle.close();
    if (socket.connecting) this.next();
  }
}
