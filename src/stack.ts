// A stack: its interfaces and routes, its `net`, and its end.
import { AsyncResource } from 'node:async_hooks';
import dns from 'node:dns';
import type * as http from 'node:http';
import type * as https from 'node:https';
import type * as realNet from 'node:net';
import { isIP } from 'node:net';
import { createAgent, type StackAgent } from './adapters/agent';
import { attach } from './adapters/attach';
import { createDispatcher, type DispatcherOptions, type UndiciDispatcher } from './adapters/dispatcher';
import { createHttp, createHttps, type Http, type Https } from './adapters/http';
import { createTls, type Tls } from './adapters/tls';
import { checkMac } from './devices';
import { bindDgram, type Dgram } from './dgram/bind';
import { DhcpClient, type DhcpClientOptions } from './dhcp/client';
import { DhcpServer, type DhcpServerOptions } from './dhcp/server';
import { type Lookup, lookupOf, StackDns } from './dns/dns';
import { ENODEV, errnoException, invalidArgValue } from './errors';
import { type AddressState, type StackEvents, type TraceEvent, TypedEventEmitter } from './events';
import { leavesWithProcess } from './exit';
import { FlowGate, type FlowHandler } from './flows';
import { type FramePort, kPortGone, kPortNews, kPortOwner } from './frame-port';
import {
  ADDRESS_STATES,
  InterfaceNews,
  loadBinding,
  type NativeBinding,
  type NativeNeighbor,
  type NativeStackOptions,
  type NativeStats,
} from './native';
import { bindNet, type Net } from './net/bind';
import { NetContext } from './net/context';
import { validateBoolean, validateFunction, validateString } from './net/validators';
import {
  cidr,
  contains,
  type InterfaceOptions,
  interfaceOptions,
  type LinkDevice,
  type LinkOptions,
  linkOptions,
  mtuOption,
  type RouteOptions,
  routeOptions,
  routePrefixes,
  type StackOptions,
  stackOptions,
} from './options';
import {
  type PingOptions,
  type PingStatistics,
  ping,
  type TracerouteOptions,
  type TraceroutePath,
  traceroute,
} from './ping';
import { type RawOptions, RawSocket } from './raw';
import { Reactor, type RecordEnds } from './reactor';
import { Tap, TapHub, type TapOptions } from './tap';

/** How often the trace is collected while there is nothing else to collect, ms. */
const TRACE_INTERVAL = 20;

/** Adds a port of the stack's bridge; its name. */
export const kAddBridgePort: unique symbol = Symbol('usernet.addBridgePort');
const kTap: unique symbol = Symbol('usernet.tap');

/** The stack's reactor, for the package's own modules. */
export const kReactor: unique symbol = Symbol('usernet.reactor');

/** An interface of a stack; what it says of itself is as it was when it was asked for. */
export class Interface {
  readonly name: string;
  /** With the lengths of their prefixes. */
  readonly addresses: readonly string[];
  readonly #stack: Stack;
  readonly #link: { name: string; mtu: number; up: boolean; mac?: string };

  /** @internal */
  constructor(stack: Stack, link: { name: string; mtu: number; up: boolean; mac?: string }, addresses: string[]) {
    this.name = link.name;
    this.addresses = addresses;
    this.#stack = stack;
    this.#link = link;
  }

  /** Largest packet, bytes. */
  get mtu(): number {
    return this.#link.mtu;
  }

  /** Its hardware address, if it is Ethernet. */
  get mac(): string | undefined {
    return this.#link.mac;
  }

  /** Whether its link is up. */
  get up(): boolean {
    return this.#link.up;
  }

  /** Watches the frames that pass its device. Loopback has none. */
  tap(options?: TapOptions): Tap {
    return this.#stack[kTap](this.name, options);
  }

  /** As `stack.setMtu()`. */
  setMtu(mtu: number): void {
    this.#stack.setMtu(this.name, mtu);
  }

  /** As `stack.setUp()`. */
  setUp(): void {
    this.#stack.setUp(this.name);
  }

  /** As `stack.setDown()`. */
  setDown(): void {
    this.#stack.setDown(this.name);
  }

  /** As `stack.addAddress()`. */
  addAddress(address: string): void {
    this.#stack.addAddress(this.name, address);
  }

  /** As `stack.removeAddress()`. */
  removeAddress(address: string): void {
    this.#stack.removeAddress(this.name, address);
  }
}

/** A neighbour with a fixed hardware address. */
export interface NeighborOptions {
  /** The name of the Ethernet interface. */
  interface: string;
  /** Its address. */
  address: string;
  /** Its hardware address, such as `02:00:00:00:00:01`. */
  mac: string;
}

/** A route of a stack. */
export interface RouteEntry {
  /** The prefix; `0.0.0.0/0` and `::/0` are the default routes. */
  readonly to: string;
  /** The next hop; null when the prefix is on the link. */
  readonly via: string | null;
  /** The name of the interface. */
  readonly interface: string;
}

/**
 * TCP/IP of its own: interfaces, routes, connections, independent of every other stack. Made by `createStack()`.
 * Belongs to the thread that made it.
 */
export class Stack extends TypedEventEmitter<StackEvents> {
  /** Everything `node:net` exports, bound to this stack. */
  readonly net: Net;
  /** Everything `node:dgram` exports, bound to this stack. */
  readonly dgram: Dgram;
  /** `dns.promises` over this stack: `resolve4`, `Resolver`, `setServers`, ..., and a server for zones of one's own. */
  readonly dns: StackDns;
  /**
   * `dns.lookup` over this stack: hosts it was given, `localhost`, then its DNS servers. With a callback, or without as a
   * promise. Once the stack has servers or hosts, names that its sockets use are looked up so.
   */
  readonly lookup: Lookup;
  readonly #reactor: Reactor;
  readonly #context: NetContext;
  readonly #ids = new Map<string, number>();
  /** Names of interfaces whose devices failed, until they are removed, or there is another of the name. */
  readonly #lost = new Set<string>();
  readonly #traceTimer: NodeJS.Timeout | undefined;
  readonly #taps: TapHub;
  readonly #ports = new Map<number, FramePort>();
  readonly #flows: FlowGate;
  #closing: Promise<void> | null = null;
  #http: Http | undefined;
  #https: Https | undefined;
  #tls: Tls | undefined;

  /** @internal Use `createStack()`. */
  constructor(binding: NativeBinding, options: StackOptions = {}, more: Partial<NativeStackOptions> = {}) {
    super();
    const native = { ...stackOptions(options), ...more };
    this.#reactor = new Reactor(binding, native);
    this.#context = new NetContext(() => this.#reactor);
    this.net = bindNet(this.#context);
    this.dgram = bindDgram(this.#context);
    this.dns = new StackDns({ net: this.net, dgram: this.dgram }, options.dns);
    this.lookup = lookupOf(() => this.dns);
    this.#context.lookup = ((...args: Parameters<typeof dns.lookup>) =>
      this.dns.configured
        ? (this.lookup as unknown as typeof dns.lookup)(...args)
        : dns.lookup(...args)) as typeof dns.lookup;
    this.#taps = new TapHub(this.#reactor);
    this.#flows = new FlowGate(this.#context);
    this.#reactor.oninterface = (id, news, state, ends) => this.#tellInterface(id, news, state, ends);
    this.#reactor.onport = (id) => this.#ports.get(id)?.[kPortNews]();
    try {
      for (const entry of options.interfaces ?? []) this.#addInterface(entry);
      for (const route of options.routes ?? []) this.#addRoute(route);
    } catch (error) {
      this.#reactor.close();
      this.#letPortsGo();
      throw error;
    }
    if (options.trace) {
      this.#reactor.ontrace = () => this.#collectTrace();
      this.#traceTimer = setInterval(() => this.#collectTrace(), TRACE_INTERVAL).unref();
    }
  }

  /** @internal */
  get [kReactor](): Reactor {
    return this.#reactor;
  }

  /** Whether `close()` was called. */
  get closed(): boolean {
    return this.#closing !== null;
  }

  /** The interfaces, loopback among them. */
  get interfaces(): Interface[] {
    this.#reactor.check();
    const addresses = this.#reactor.native.addresses();
    return this.#reactor.native.interfaces().map((link) => {
      const own = addresses.filter((entry) => entry.interface === link.interface);
      return new Interface(
        this,
        link,
        own.map(({ cidr }) => cidr),
      );
    });
  }

  /** @internal */
  [kTap](name: string, options?: TapOptions): Tap {
    if (name === 'lo' && !this.#ids.has('lo')) {
      throw invalidArgValue('interface', name, 'has no device, so no frames: tap another interface');
    }
    return new Tap(this.#taps, this.#interfaceId(name), options);
  }

  /** `node:http` on this stack: `createServer(...).listen()` listens on it, requests connect on it. */
  get http(): Http {
    this.#http ??= createHttp(this.net, this.#context);
    return this.#http;
  }

  /** `node:https` on this stack. */
  get https(): Https {
    this.#https ??= createHttps(this.net, this.#context);
    return this.#https;
  }

  /** `node:tls` on this stack. */
  get tls(): Tls {
    this.#tls ??= createTls(this.net, this.#context);
    return this.#tls;
  }

  /** An agent for `node:http` and `node:https` whose connections are on this stack. */
  agent(options?: http.AgentOptions & https.AgentOptions): StackAgent {
    return createAgent(this.net, options);
  }

  /** A dispatcher for undici and `fetch` whose connections are on this stack. Needs the package undici. */
  dispatcher(options?: DispatcherOptions): UndiciDispatcher {
    return createDispatcher(this.net, options);
  }

  /**
   * Makes a server of Node's own, or of a library over it, listen on this stack: `http`, `https`, `http2` or `tls`.
   * Returns it.
   */
  attach<T extends realNet.Server>(server: T): T {
    return attach(server, this.#context);
  }

  /** @internal */
  [kAddBridgePort](options: InterfaceOptions): string {
    return this.#addInterface(options, true);
  }

  /** Adds an interface. Rejects where its device cannot be had, with a `code` and the remedy. */
  async addInterface(options: InterfaceOptions): Promise<Interface> {
    this.#reactor.check();
    const name = this.#addInterface(options);
    return this.interfaces.find((entry) => entry.name === name) as Interface;
  }

  /**
   * Removes an interface, and with it its addresses and routes; connections over it find no way any more. One whose device
   * failed is gone already.
   */
  async removeInterface(name: string): Promise<void> {
    this.#reactor.check();
    if (this.#lost.delete(name)) return;
    const errno = this.#forgetInterface(this.#interfaceId(name), name);
    // Its device may have failed just now.
    if (errno < 0 && errno !== ENODEV) throw errnoException(errno, 'removeInterface');
  }

  #forgetInterface(id: number, name: string): number {
    const errno = this.#reactor.native.removeInterface(id);
    this.#ids.delete(name);
    this.#reactor.interfaceNames.delete(id);
    this.#taps.closeAll(id);
    this.#ports.get(id)?.[kPortGone]();
    this.#ports.delete(id);
    return errno;
  }

  /**
   * Sets the largest packet of an interface, bytes: at least 576 (RFC 791), with an IPv6 address 1,280 (RFC 8200). That of
   * a TUN or TAP is the system's interface's, too; other devices have a most of their own. Connections follow.
   */
  setMtu(interfaceName: string, mtu: number): void {
    this.#reactor.check();
    mtuOption(mtu, 'mtu');
    const errno = this.#reactor.native.setMtu(this.#interfaceId(interfaceName), mtu);
    if (errno < 0) {
      const remedy = `${mtu} bytes are too few for '${interfaceName}': IPv6 needs at least 1280 (RFC 8200)`;
      throw errnoException(errno, 'setMtu', remedy);
    }
  }

  /** Takes the link of an interface up again: its addresses are checked and announced anew. */
  setUp(interfaceName: string): void {
    this.#setLink(interfaceName, true);
  }

  /**
   * Takes the link of an interface down, with the system's interface where it is a TUN or TAP: nothing comes in or goes
   * out, no route leads through it. Connections live on until they time out.
   */
  setDown(interfaceName: string): void {
    this.#setLink(interfaceName, false);
  }

  #setLink(interfaceName: string, up: boolean): void {
    this.#reactor.check();
    const errno = this.#reactor.native.setLink(this.#interfaceId(interfaceName), up);
    if (errno < 0) throw errnoException(errno, up ? 'setUp' : 'setDown');
  }

  /** Adds an address with the length of its prefix to an interface. */
  addAddress(interfaceName: string, address: string): void {
    this.#reactor.check();
    cidr(address, 'address', false);
    const errno = this.#reactor.native.addAddress(this.#interfaceId(interfaceName), address);
    if (errno < 0) {
      throw errnoException(
        errno,
        'addAddress',
        `'${address}' cannot be an address of '${interfaceName}'; choose another`,
      );
    }
  }

  /**
   * Removes an address, with or without the length of its prefix, from an interface. Connections from it find no way any
   * more.
   */
  removeAddress(interfaceName: string, address: string): void {
    this.#reactor.check();
    validateString(address, 'address');
    const [bare] = address.split('/') as [string];
    const errno = this.#reactor.native.removeAddress(this.#interfaceId(interfaceName), bare);
    if (errno < 0) {
      throw errnoException(
        errno,
        'removeAddress',
        `'${bare}' is no address of '${interfaceName}'; see stack.interfaces`,
      );
    }
  }

  /** Makes an interface take every unicast destination that comes in, or its own addresses alone. */
  setAcceptAny(interfaceName: string, on: boolean): void {
    this.#reactor.check();
    validateBoolean(on, 'on');
    const errno = this.#reactor.native.setInterface(this.#interfaceId(interfaceName), 'acceptAny', on);
    if (errno < 0) throw errnoException(errno, 'setAcceptAny');
  }

  /** The routes, in the order they were added. What is on an interface's link needs none. */
  routes(): RouteEntry[] {
    this.#reactor.check();
    const names = this.#reactor.interfaceNames;
    return this.#reactor.native
      .routes()
      .map(({ to, via, interface: id }) => ({ to, via, interface: names.get(id) ?? String(id) }));
  }

  /**
   * Sends echo requests and gives their statistics. What went wrong with a request is in them; rejects where none could be
   * sent.
   *
   * @example
   * const { received, avg } = await stack.ping('198.18.0.1', { count: 3, interval: 100 });
   */
  ping(host: string, options?: PingOptions): Promise<PingStatistics> {
    return ping(this.#context, host, options);
  }

  /** Finds the routers on the way to a host, by echo requests with few hops to live. */
  traceroute(host: string, options?: TracerouteOptions): Promise<TraceroutePath> {
    return traceroute(this.#context, host, options);
  }

  /**
   * Gets an address for an interface, with its default route and DNS servers, from a DHCP server (RFC 2131), and keeps
   * it. Resolves once it has one.
   */
  dhcpClient(options: DhcpClientOptions): Promise<DhcpClient> {
    return DhcpClient.start(this, options);
  }

  /** Gives addresses of a range to DHCP clients on the link of an interface (RFC 2131). */
  dhcpServer(options: DhcpServerOptions): Promise<DhcpServer> {
    return DhcpServer.start(this, options);
  }

  /** Opens a raw socket: it receives a copy of the packets of one IP protocol, and sends such packets. */
  raw(options: RawOptions): RawSocket {
    this.#reactor.check();
    return new RawSocket(this.#reactor, options);
  }

  /**
   * Has new connections and UDP flows, on every interface but loopback, wait until `handler` decides: connections before
   * their SYN-ACK, flows with their first datagrams. What a listener or socket has that is bound to the very address is
   * not asked about. `null` ends it.
   *
   * @example
   * stack.onConnection((flow) => (flow.remotePort < 1024 ? flow.reject() : flow.accept().pipe(process.stdout)));
   */
  onConnection(handler: FlowHandler | null): void {
    this.#reactor.check();
    if (handler !== null) validateFunction(handler, 'handler');
    this.#flows.set(handler);
  }

  /** The neighbours on the links of Ethernet interfaces: who has which hardware address, and is it still there. */
  neighbors(): NativeNeighbor[] {
    this.#reactor.check();
    return this.#reactor.native.neighbors();
  }

  /** Gives a neighbour on an Ethernet interface a fixed hardware address: it is not asked for, and nothing changes it. */
  addNeighbor(options: NeighborOptions): void {
    this.#reactor.check();
    const { interface: name, address, mac } = options;
    if (isIP(address) === 0) {
      throw invalidArgValue('options.address', address, "must be an IP address without a prefix, such as '198.18.0.1'");
    }
    validateString(mac, 'options.mac');
    checkMac(mac, 'options.mac');
    const errno = this.#reactor.native.addNeighbor(this.#interfaceId(name), address, mac);
    if (errno < 0) {
      const remedy = `'${address}' cannot be a neighbour on '${name}': it has to be another host's, on an Ethernet interface`;
      throw errnoException(errno, 'addNeighbor', remedy);
    }
  }

  /** Forgets a neighbour, fixed or learnt. */
  removeNeighbor(interfaceName: string, address: string): void {
    this.#reactor.check();
    validateString(address, 'address');
    const errno = this.#reactor.native.removeNeighbor(this.#interfaceId(interfaceName), address);
    if (errno < 0) {
      const remedy = `'${address}' is no neighbour on '${interfaceName}'; see stack.neighbors()`;
      throw errnoException(errno, 'removeNeighbor', remedy);
    }
  }

  /** Adds a route. */
  addRoute(options: RouteOptions): void {
    this.#reactor.check();
    this.#addRoute(options);
  }

  /** Removes the route to a prefix; `default`: those of both families, as far as there are any. */
  removeRoute(to: string): void {
    this.#reactor.check();
    const removed = routePrefixes(to).map((prefix) => this.#reactor.native.removeRoute(prefix));
    if (!removed.includes(0)) {
      throw errnoException(
        removed[0] as number,
        'removeRoute',
        `the stack has no route to '${to}'; write it as it was added`,
      );
    }
  }

  /**
   * The stack's counters by name: what `nstat` would show, how many connections and listeners there are, and of the
   * devices `tx_blocked` (times one had no room), `tx_dropped` (packets given up for that) and `devices_lost` (removed
   * because they failed, as a TUN that was deleted).
   */
  stats(): NativeStats {
    this.#reactor.check();
    return this.#reactor.native.stats();
  }

  /**
   * Ends the stack: destroys its sockets, closes its servers, resets what connections are left and lets its devices go.
   * Resolves once all of them have emitted `close`. Idempotent.
   */
  close(): Promise<void> {
    this.#closing ??= new Promise((resolve) => {
      clearInterval(this.#traceTimer);
      this.#collectTrace();
      this.#taps.closeAll(null);
      this.#reactor.close();
      this.#letPortsGo();
      this.#reactor.defer(new AsyncResource('USERNETSTACK'), () => {
        this.emit('close');
        resolve();
      });
    });
    return this.#closing;
  }

  /** As `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #addInterface(options: InterfaceOptions, bridge = false): string {
    const native = interfaceOptions(options, ['lo', ...this.#ids.keys()]);
    if (bridge) native.bridge = true;
    const id = this.#reactor.native.addInterface(native);
    if (id < 0) throw errnoException(id, 'addInterface');
    if (options.device.kind === 'port') {
      options.device[kPortOwner] = this;
      this.#ports.set(id, options.device);
    }
    // A name with a pattern in it (tun%d) is the system's to complete.
    const name = this.#reactor.native.interfaces().find((entry) => entry.interface === id)?.name ?? native.name;
    this.#ids.set(name, id);
    this.#lost.delete(name);
    this.#reactor.interfaceNames.set(id, name);
    if (this.#flows.holds) this.#reactor.native.setInterface(id, 'hold', true);
    return name;
  }

  #tellInterface(id: number, news: InterfaceNews, state: number, ends: RecordEnds): void {
    const name = this.#reactor.interfaceNames.get(id);
    // It was removed meanwhile.
    if (name === undefined) return;
    if (news <= InterfaceNews.Down) {
      if (news === InterfaceNews.Lost) {
        this.#forgetInterface(id, name);
        this.#lost.add(name);
      }
      this.emit('interface', { type: (['lost', 'up', 'down'] as const)[news as 0 | 1 | 2], interface: name });
      return;
    }
    const event = { interface: name, address: ends.address(0) };
    if (news === InterfaceNews.AddressRemoved) this.emit('interface', { type: 'address-removed', ...event });
    else if (news === InterfaceNews.AddressContested) this.emit('interface', { type: 'address-conflict', ...event });
    else {
      const now = ADDRESS_STATES[state] as AddressState;
      const changed = now === 'duplicate' ? 'address-duplicate' : 'address-changed';
      const type = news === InterfaceNews.AddressAdded ? 'address-added' : changed;
      this.emit('interface', { type, ...event, state: now });
    }
  }

  #letPortsGo(): void {
    for (const port of this.#ports.values()) port[kPortGone]();
    this.#ports.clear();
  }

  #addRoute(options: RouteOptions): void {
    const { to, via, interface: name } = routeOptions(options);
    const id = name === null ? this.#interfaceToward(via as string) : this.#interfaceId(name);
    const errno = this.#reactor.native.addRoute(to, via, id);
    if (errno < 0) {
      const what = via === null ? to : `${to} via ${via}`;
      throw errnoException(
        errno,
        'addRoute',
        `no route '${what}' on this interface: its link has to hold the next hop`,
      );
    }
  }

  #interfaceToward(via: string): number {
    const found = this.#reactor.native.addresses().find(({ cidr, name }) => name !== 'lo' && contains(cidr, via));
    if (found !== undefined) return found.interface;
    throw invalidArgValue(
      'route.via',
      via,
      'is on no link of this stack: give an interface an address in its network, or name the interface',
    );
  }

  #interfaceId(name: string): number {
    const id = this.#ids.get(name);
    if (id !== undefined) return id;
    const known = [...this.#ids.keys()].map((key) => `'${key}'`).join(', ') || 'none';
    throw invalidArgValue('interface', name, `is no interface of this stack, which has: ${known}`);
  }

  #collectTrace(): void {
    if (this.#reactor.closed || this.#reactor.ontrace === null) return;
    for (const event of this.#reactor.native.takeTrace() as TraceEvent[]) {
      this.emit('trace', event);
      emitByType(this, event);
    }
  }
}

function emitByType(stack: Stack, event: TraceEvent): void {
  switch (event.type) {
    case 'state':
      stack.emit('state', event);
      break;
    case 'retransmit':
      stack.emit('retransmit', event);
      break;
    case 'recovery':
      stack.emit('recovery', event);
      break;
    case 'timeout':
      stack.emit('timeout', event);
      break;
    case 'cwnd':
      stack.emit('cwnd', event);
      break;
    case 'urgent':
      stack.emit('urgent', event);
      break;
    case 'errorReport':
      stack.emit('errorReport', event);
      break;
    case 'error':
      stack.emit('failure', event);
      break;
  }
}

/**
 * Makes a stack. Rejects, with a `code` and the remedy, where options are wrong or a device cannot be had.
 *
 * @example
 * const stack = await createStack({
 *   interfaces: [{ device: tun({ name: 'un0' }), addresses: ['198.18.0.2/24', 'fd00::2/64'] }],
 *   routes: [{ to: 'default', via: '198.18.0.1' }],
 * });
 */
export async function createStack(options: StackOptions = {}): Promise<Stack> {
  stackOptions(options);
  return openStack(options);
}

/** Makes a stack that ends with its process or worker, however that ends. */
export function openStack(options?: StackOptions, more?: Partial<NativeStackOptions>): Stack {
  const stack = new Stack(loadBinding(), options, more);
  leavesWithProcess(stack[kReactor]);
  return stack;
}

/** The two ends of a link within the process: one for each of two stacks. */
export function createLink(options: LinkOptions = {}): [LinkDevice, LinkDevice] {
  const [left, right] = loadBinding().createLink(linkOptions(options));
  return [
    { kind: 'link', link: left },
    { kind: 'link', link: right },
  ];
}
