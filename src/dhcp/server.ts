// A DHCP server on an interface of a stack.
import { once } from 'node:events';
import { isIPv4 } from 'node:net';
import type { DatagramSocket } from '../dgram/socket';
import { invalidArgType, invalidArgValue } from '../errors';
import { TypedEventEmitter } from '../events';
import { validateInt32, validateString } from '../net/validators';
import { contains } from '../options';
import type { Stack } from '../stack';
import { addressNumber, decode, encode, typeOf } from './message';
import { Pool, type ServerLease } from './server-machine';

export type { ServerLease } from './server-machine';

/** What `stack.dhcpServer()` takes. */
export interface DhcpServerOptions {
  /** The name of the interface. Its first IPv4 address is the server's, and the prefix of that the clients'. */
  interface: string;
  /** First and last address that is given out; at most 65,536. */
  range: [string, string];
  /** Seconds. Default 3,600. */
  leaseTime?: number;
  /** Default: the server. */
  routers?: string[];
  /** DNS servers. Default none. */
  dns?: string[];
  domain?: string;
  /** Bytes. */
  mtu?: number;
  /** Addresses by hardware address: `{ '02:00:00:00:00:01': '198.18.0.50' }`. */
  reservations?: Record<string, string>;
}

/** The events of a server. */
export interface DhcpServerEvents {
  /** An address was given to a client, or for longer. */
  lease: [lease: ServerLease];
  close: [];
}

/** A DHCP server. Made by `stack.dhcpServer()`. */
export class DhcpServer extends TypedEventEmitter<DhcpServerEvents> {
  readonly #pool: Pool;
  readonly #socket: DatagramSocket;
  #ignored = 0;
  #closed = false;

  private constructor(pool: Pool, socket: DatagramSocket) {
    super();
    this.#pool = pool;
    this.#socket = socket;
    socket.on('message', (data) => this.#receive(data));
    socket.on('error', () => {});
    socket.once('close', () => {
      this.#closed = true;
      this.emit('close');
    });
  }

  /** @internal Use `stack.dhcpServer()`. */
  static async start(stack: Stack, options: DhcpServerOptions): Promise<DhcpServer> {
    const pool = new Pool(poolOptions(stack, options));
    const socket = stack.dgram.createSocket({ type: 'udp4', reuseAddr: true });
    const listening = once(socket, 'listening');
    socket.bind(67, `0.0.0.0%${options.interface}`);
    await listening;
    socket.setBroadcast(true);
    return new DhcpServer(pool, socket);
  }

  /** What is given out, offered, or not to be used because a client said so. */
  get leases(): ServerLease[] {
    return this.#pool.leases(performance.now());
  }

  /** Datagrams that were no DHCP messages. */
  get ignored(): number {
    return this.#ignored;
  }

  #receive(data: Buffer): void {
    const message = decode(data);
    if (message === null || typeOf(message) === null) {
      this.#ignored++;
      return;
    }
    const answer = this.#pool.receive(performance.now(), message);
    if (answer === null) return;
    this.#socket.send(encode(answer.message), answer.port, answer.to ?? '255.255.255.255', () => {});
    const { yiaddr } = answer.message;
    const lease = this.leases.find(({ address, state }) => address === yiaddr && state === 'leased');
    if (lease !== undefined && typeOf(message) === 3) this.emit('lease', lease);
  }

  /** Ends it; what is given out stays with the clients. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    try {
      this.#socket.close();
    } catch {
      // It went with its stack.
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function poolOptions(stack: Stack, options: DhcpServerOptions): ConstructorParameters<typeof Pool>[0] {
  if (options === null || typeof options !== 'object') throw invalidArgType('options', 'Object', options);
  validateString(options.interface, 'options.interface');
  const { range, leaseTime = 3600, dns = [], domain = null, mtu = null, reservations = {} } = options;
  const found = stack.interfaces.find(({ name }) => name === options.interface);
  const cidr = found?.addresses.find((address) => address.includes('.'));
  if (cidr === undefined) {
    throw invalidArgValue(
      'options.interface',
      options.interface,
      'must be an interface of the stack with an IPv4 address, which is the server',
    );
  }
  const [server, length] = cidr.split('/') as [string, string];
  if (!Array.isArray(range)) throw invalidArgType('options.range', 'Array', range);
  const [first, last] = range;
  for (const address of [first, last]) address_(address, 'options.range');
  const count = addressNumber(last) - addressNumber(first) + 1;
  if (count < 1 || count > 65_536 || !contains(cidr, first) || !contains(cidr, last)) {
    throw invalidArgValue('options.range', range, `must be 1 to 65536 addresses of ${cidr}, the first of them first`);
  }
  validateInt32(leaseTime, 'options.leaseTime', 10);
  if (mtu !== null) validateInt32(mtu, 'options.mtu', 68, 65_535);
  if (domain !== null) validateString(domain, 'options.domain');
  const routers = options.routers ?? [server];
  if (!Array.isArray(routers)) throw invalidArgType('options.routers', 'Array', routers);
  if (!Array.isArray(dns)) throw invalidArgType('options.dns', 'Array', dns);
  if (reservations === null || typeof reservations !== 'object') {
    throw invalidArgType('options.reservations', 'Object', reservations);
  }
  for (const address of routers) address_(address, 'options.routers');
  for (const address of dns) address_(address, 'options.dns');
  for (const [mac, address] of Object.entries(reservations)) {
    if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(mac)) {
      throw invalidArgValue('options.reservations', mac, "must have hardware addresses such as '02:00:00:00:00:01'");
    }
    address_(address, `options.reservations['${mac}']`);
  }
  return {
    server,
    prefixLength: Number(length),
    range,
    leaseTime,
    routers,
    dns,
    domain,
    mtu,
    reservations: new Map(Object.entries(reservations).map(([mac, address]) => [mac.toLowerCase(), address])),
  };
}

function address_(address: unknown, name: string): void {
  validateString(address, name);
  if (!isIPv4(address as string)) throw invalidArgValue(name, address, 'must be an IPv4 address');
}
