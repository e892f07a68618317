// A DHCP client on an interface of a stack: keeps a lease, and the interface's address, route and DNS servers by it.
import { randomBytes, randomInt } from 'node:crypto';
import { once } from 'node:events';
import { isIPv4 } from 'node:net';
import type { DatagramSocket } from '../dgram/socket';
import { abortError, codedError, invalidArgType, invalidArgValue } from '../errors';
import { type InterfaceEvent, TypedEventEmitter } from '../events';
import { validateAbortSignal, validateBoolean, validateInt32, validateString } from '../net/validators';
import type { Stack } from '../stack';
import { type ClientAction, ClientMachine, type ClientState, type Lease } from './client-machine';
import { decode, encode } from './message';

export type { Lease as DhcpLease } from './client-machine';

/** What `stack.dhcpClient()` takes. */
export interface DhcpClientOptions {
  /** The name of the interface. */
  interface: string;
  /**
   * The hardware address that the server is told, such as `02:00:00:00:00:01`. Default: the interface's own; where it has
   * none, a random one of those that anybody may choose.
   */
  hardwareAddress?: string;
  /** What the server knows the client by, instead of its hardware address (RFC 2131 section 2). */
  clientId?: Uint8Array;
  /** The name that the server is told. */
  hostname?: string;
  /** The address that is asked for. */
  requestedAddress?: string;
  /**
   * Whether `requestedAddress` is one that it had before: it asks for it at once, without looking for servers (INIT-REBOOT,
   * RFC 2131 section 4.4.2). When it is refused, or nobody answers for some 12 s, it gets another. Default false.
   */
  reboot?: boolean;
  /** Whether to add the default route that the server gives. Default true. */
  route?: boolean;
  /** Whether to use the DNS servers that the server gives, unless the stack has some. Default true. */
  dns?: boolean;
  /** How long the first lease is waited for, ms. Default 30,000. */
  timeout?: number;
  /** Ends the wait early. */
  signal?: AbortSignal;
}

/** The events of a client. */
export interface DhcpClientEvents {
  /** The interface has a new address. */
  bound: [lease: Lease];
  /** The lease goes on. */
  renewed: [lease: Lease];
  /** The interface has lost its address. The client asks for another. */
  lost: [lease: Lease, reason: 'expired' | 'refused' | 'declined'];
  close: [];
}

/** A lease and its upkeep. Made by `stack.dhcpClient()`. */
export class DhcpClient extends TypedEventEmitter<DhcpClientEvents> {
  readonly interface: string;
  readonly #stack: Stack;
  readonly #options: DhcpClientOptions;
  readonly #machine: ClientMachine;
  readonly #socket: DatagramSocket;
  #timer: NodeJS.Timeout | undefined;
  #routed: string | null = null;
  #ignored = 0;
  #closed = false;

  private constructor(stack: Stack, options: DhcpClientOptions, socket: DatagramSocket) {
    super();
    this.interface = options.interface;
    this.#stack = stack;
    this.#options = options;
    this.#socket = socket;
    this.#machine = new ClientMachine({
      chaddr: hardwareAddress(options.hardwareAddress ?? ownAddress(stack, options.interface)),
      clientId: options.clientId === undefined ? undefined : Buffer.from(options.clientId),
      hostname: options.hostname,
      requestedAddress: options.requestedAddress,
      reboot: options.reboot,
      random: () => randomInt(2 ** 32),
    });
    socket.on('message', (data) => {
      const message = decode(data);
      if (message === null) this.#ignored++;
      else this.#run((now) => this.#machine.receive(now, message));
    });
    socket.on('error', () => {});
    socket.once('close', () => this.#end());
    stack.on('interface', this.#onInterface);
  }

  /** The interface checks its addresses (RFC 5227): one that is somebody else's is declined (RFC 2131 section 4.4.1). */
  readonly #onInterface = (event: InterfaceEvent): void => {
    if (event.interface !== this.interface) return;
    // Who was away may be on another net now (RFC 2131 section 3.7).
    if (event.type === 'up') this.#run((now) => this.#machine.linkUp(now));
    else if (event.type === 'address-duplicate' && event.address === this.#machine.lease?.address) this.decline();
  };

  /** @internal Use `stack.dhcpClient()`. */
  static async start(stack: Stack, options: DhcpClientOptions): Promise<DhcpClient> {
    check(options);
    if (!stack.interfaces.some(({ name }) => name === options.interface)) {
      throw invalidArgValue('options.interface', options.interface, 'must be the name of an interface of the stack');
    }
    const { signal, timeout = 30_000 } = options;
    if (signal?.aborted) throw abortError(signal);
    // On that interface alone, which need not have an address yet.
    const socket = stack.dgram.createSocket({ type: 'udp4', reuseAddr: true });
    const listening = once(socket, 'listening');
    socket.bind(68, `0.0.0.0%${options.interface}`);
    await listening;
    socket.setBroadcast(true);
    const client = new DhcpClient(stack, options, socket);
    let timer: NodeJS.Timeout | undefined;
    let onAbort = (): void => {};
    try {
      await new Promise<void>((resolve, reject) => {
        client.once('bound', () => resolve());
        client.once('close', () => reject(codedError(Error, 'ERR_STACK_CLOSED', 'The stack is closed.')));
        const where = `on '${options.interface}' within ${timeout} ms`;
        const late = codedError(
          Error,
          'ETIMEDOUT',
          `No DHCP server gave an address ${where}. Is there one on that link?`,
        );
        timer = setTimeout(reject, timeout, late);
        onAbort = () => reject(abortError(signal as AbortSignal));
        signal?.addEventListener('abort', onAbort, { once: true });
        client.#run((now) => client.#machine.start(now));
      });
    } catch (error) {
      client.close();
      throw error;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    }
    // The upkeep of a lease is no reason for a process to stay.
    socket.unref();
    return client;
  }

  /** The lease; null while there is none. */
  get lease(): Lease | null {
    return this.#machine.lease;
  }

  /** As RFC 2131 figure 5 names it. */
  get state(): ClientState {
    return this.#machine.state;
  }

  /** Datagrams that were no DHCP messages. */
  get ignored(): number {
    return this.#ignored;
  }

  /**
   * Tells the server that somebody else uses the address, gives it up and asks for another after 10 s. On Ethernet it does so
   * by itself when the interface finds that out.
   */
  decline(): void {
    this.#run((now) => this.#machine.conflict(now));
  }

  /** Gives the address back to the server, takes it from the interface, and ends. Idempotent. */
  close(): void {
    if (this.#closed) return;
    const { lease } = this.#machine;
    this.#run((now) => this.#machine.stop(now));
    if (lease !== null) this.#unconfigure(lease);
    this.#end();
    try {
      this.#socket.close();
    } catch {
      // It went with its stack.
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #end(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stack.off('interface', this.#onInterface);
    clearTimeout(this.#timer);
    process.nextTick(() => this.emit('close'));
  }

  #run(what: (now: number) => void): void {
    if (this.#closed) return;
    what(performance.now());
    for (const action of this.#machine.take()) this.#act(action);
    clearTimeout(this.#timer);
    const { deadline } = this.#machine;
    if (deadline === null || this.#closed) return;
    // Longer than a timer can run, it looks again in between.
    const wait = Math.min(Math.max(deadline - performance.now(), 0), 2 ** 31 - 1);
    this.#timer = setTimeout(() => this.#run((now) => this.#machine.timeout(now)), wait + 1);
    if (this.#machine.lease !== null) this.#timer.unref();
  }

  #act(action: ClientAction): void {
    if (action.kind === 'send') {
      // What cannot be sent now is sent again later.
      this.#socket.send(encode(action.message), 67, action.to ?? '255.255.255.255', () => {});
    } else if (action.kind === 'lost') {
      this.#unconfigure(action.lease);
      this.emit('lost', action.lease, action.reason);
    } else if (action.renewed) {
      this.emit('renewed', action.lease);
    } else {
      this.#configure(action.lease);
      this.emit('bound', action.lease);
    }
  }

  #configure(lease: Lease): void {
    const stack = this.#stack;
    try {
      stack.addAddress(this.interface, `${lease.address}/${lease.prefixLength}`);
    } catch (error) {
      // It has it already: given by hand, or by a client that was not closed.
      if ((error as { code?: string }).code !== 'EADDRINUSE') throw error;
    }
    const [router] = lease.routers;
    if (router !== undefined && this.#options.route !== false) {
      try {
        stack.addRoute({ to: '0.0.0.0/0', via: router, interface: this.interface });
        this.#routed = '0.0.0.0/0';
      } catch {
        // A router that is not on the link is of no use.
      }
    }
    if (this.#options.dns !== false && lease.dns.length > 0 && stack.dns.getServers().length === 0) {
      stack.dns.setServers(lease.dns);
    }
  }

  #unconfigure(lease: Lease): void {
    const attempt = (what: () => void): void => {
      try {
        what();
      } catch {
        // Somebody else was faster, or the interface is gone.
      }
    };
    const { routed } = { routed: this.#routed };
    this.#routed = null;
    if (routed !== null) attempt(() => this.#stack.removeRoute(routed));
    attempt(() => this.#stack.removeAddress(this.interface, lease.address));
    if (lease.dns.length > 0 && `${this.#servers()}` === `${lease.dns}`) attempt(() => this.#stack.dns.setServers([]));
  }

  #servers(): string[] {
    return this.#options.dns === false ? [] : this.#stack.dns.getServers();
  }
}

function check(options: DhcpClientOptions): void {
  if (options === null || typeof options !== 'object') throw invalidArgType('options', 'Object', options);
  validateString(options.interface, 'options.interface');
  const { clientId, hostname, requestedAddress, reboot, route, dns, timeout, signal } = options;
  if (clientId !== undefined && !(clientId instanceof Uint8Array)) {
    throw invalidArgType('options.clientId', ['Buffer', 'Uint8Array'], clientId);
  }
  if (clientId !== undefined && (clientId.length < 2 || clientId.length > 255)) {
    throw invalidArgValue('options.clientId', clientId, 'must have 2 to 255 bytes (RFC 2132 section 9.14)');
  }
  if (hostname !== undefined) validateString(hostname, 'options.hostname');
  if (requestedAddress !== undefined && !isIPv4(requestedAddress)) {
    throw invalidArgValue('options.requestedAddress', requestedAddress, 'must be an IPv4 address');
  }
  if (reboot !== undefined) validateBoolean(reboot, 'options.reboot');
  if (reboot && requestedAddress === undefined) {
    throw invalidArgValue(
      'options.requestedAddress',
      requestedAddress,
      'must be the address to ask for with reboot: true',
    );
  }
  if (route !== undefined) validateBoolean(route, 'options.route');
  if (dns !== undefined) validateBoolean(dns, 'options.dns');
  if (timeout !== undefined) validateInt32(timeout, 'options.timeout', 1);
  if (signal !== undefined) validateAbortSignal(signal, 'options.signal');
  hardwareAddress(options.hardwareAddress);
}

/** The hardware address of an interface, if it has one. */
function ownAddress(stack: Stack, name: string): string | undefined {
  return stack.interfaces.find((entry) => entry.name === name)?.mac;
}

/** Bytes of a hardware address; of those that anybody may choose (locally administered, for one station) if none is given. */
function hardwareAddress(text: string | undefined): Buffer {
  if (text === undefined) return Buffer.from([2, ...randomBytes(5)]);
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) {
    throw invalidArgValue('options.hardwareAddress', text, "must be written like '02:00:00:00:00:01'");
  }
  return Buffer.from(text.replaceAll(':', ''), 'hex');
}
