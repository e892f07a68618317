// A learning bridge between devices: TAPs, links, frame ports, virtual machines.
import { invalidArgType } from './errors';
import { type LinkEvent, TypedEventEmitter } from './events';
import { validateInt32 } from './net/validators';
import type { Device, StackOptions } from './options';
import { kAddBridgePort, kReactor, openStack, type Stack } from './stack';
import type { Tap, TapOptions } from './tap';

/** What `createBridge()` takes. */
export interface BridgeOptions {
  /** The ports it begins with. Default none. */
  ports?: BridgePortOptions[];
  /** For how long a station is remembered after it was heard, ms. Default 300,000 (IEEE 802.1D). */
  ageing?: number;
  /** Stations remembered at most; what is for others goes to every port. Default 8,192. */
  maxEntries?: number;
  /** Which thread passes frames, as with stacks. Default `thread`: it does not wait for JavaScript. */
  drive?: StackOptions['drive'];
}

/** A port of a bridge to be. */
export interface BridgePortOptions {
  /** A device that carries Ethernet frames. */
  device: Device;
  /** Its name. Default: that of the TAP, or `link0`, `port0`... */
  name?: string;
  /** Largest packet, bytes, without Ethernet header. Default, and most: the device's. */
  mtu?: number;
  /** The path of a file that gets what passes as pcapng. */
  capture?: string;
}

/** A port of a bridge, with what has passed it. */
export interface BridgePort {
  readonly name: string;
  /** Largest packet, bytes. */
  readonly mtu: number;
  /** Whether its link is up. */
  readonly up: boolean;
  /** Frames that came in, and their bytes. */
  readonly framesIn: number;
  readonly bytesIn: number;
  /** Frames that were sent out, and their bytes. */
  readonly framesOut: number;
  readonly bytesOut: number;
  /** Of those that came in: sent to all others, because they were for many, or their station was not known. */
  readonly flooded: number;
  /** Of those that came in: for a station on the same port, or for bridges alone (`01:80:c2:00:00:0x`). */
  readonly filtered: number;
  /** Of those that came in: no frames. */
  readonly malformed: number;
  /** Of those to be sent out: longer than the port carries, or beyond the 4 MiB that may wait. */
  readonly dropped: number;
}

/** A station that a bridge knows. */
export interface BridgeStation {
  readonly mac: string;
  /** The name of the port behind which it was heard last. */
  readonly port: string;
  /** How long ago, ms. */
  readonly age: number;
}

/** The events of a bridge. */
export interface BridgeEvents {
  /** A port's link went up or down, or its device failed and the port is gone. */
  port: [event: LinkEvent];
  close: [];
}

/** Bridges that are open pass frames, whoever holds them. */
const open = new Set<Bridge>();

/**
 * A learning bridge (IEEE 802.1D): frames go where their station was heard, to all ports when it was not or they are for
 * many. Made by `createBridge()`. Without a spanning tree: ports must not form a loop. Does not keep the process alive.
 */
export class Bridge extends TypedEventEmitter<BridgeEvents> {
  readonly #stack: Stack;

  /** @internal Use `createBridge()`. */
  constructor(options: BridgeOptions) {
    super();
    const { ageing, maxEntries, drive = 'thread' } = options;
    this.#stack = openStack({ loopback: false, drive }, { bridgeAgeing: ageing, bridgeEntries: maxEntries });
    this.#stack.on('interface', (event) => {
      if (event.type === 'lost' || event.type === 'up' || event.type === 'down') this.emit('port', event);
    });
    open.add(this);
  }

  /** Whether `close()` was called. */
  get closed(): boolean {
    return this.#stack.closed;
  }

  /** The ports, in the order they were added. */
  get ports(): BridgePort[] {
    const { native } = this.#reactor();
    const links = new Map(native.interfaces().map((link) => [link.interface, link]));
    return native.bridgePorts().flatMap(({ interface: id, ...passed }) => {
      const link = links.get(id);
      return link === undefined ? [] : [{ name: link.name, mtu: link.mtu, up: link.up, ...passed }];
    });
  }

  /** The stations it knows, those heard last first. */
  table(): BridgeStation[] {
    const { native, interfaceNames } = this.#reactor();
    const stations = native.bridgeTable();
    stations.sort((a, b) => a.age - b.age);
    return stations.map(({ mac, age, interface: id }) => ({ mac, port: interfaceNames.get(id) ?? String(id), age }));
  }

  /** Adds a port. Rejects where its device cannot be had, or carries no Ethernet frames. */
  async addPort(options: BridgePortOptions): Promise<BridgePort> {
    const name = this.#add(options);
    return this.ports.find((port) => port.name === name) as BridgePort;
  }

  #add({ device, name, mtu, capture }: BridgePortOptions): string {
    this.#reactor();
    return this.#stack[kAddBridgePort]({
      device,
      addresses: [],
      ...(name !== undefined && { name }),
      ...(mtu !== undefined && { mtu }),
      ...(capture !== undefined && { capture }),
    });
  }

  /** Removes a port, and lets its device go. */
  removePort(name: string): Promise<void> {
    return this.#stack.removeInterface(name);
  }

  /** Takes a port's link up again. */
  setUp(name: string): void {
    this.#stack.setUp(name);
  }

  /** Takes a port's link down: nothing comes in or goes out. */
  setDown(name: string): void {
    this.#stack.setDown(name);
  }

  /** Watches the frames that pass a port. */
  tap(name: string, options?: TapOptions): Tap {
    const port = this.#stack.interfaces.find((entry) => entry.name === name);
    if (port === undefined) throw invalidArgType('name', 'name of a port', name);
    return port.tap(options);
  }

  /** Ends it and lets its devices go. Idempotent. */
  async close(): Promise<void> {
    const ends = open.delete(this);
    await this.#stack.close();
    if (ends) this.emit('close');
  }

  /** As `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** @internal */
  addAll(ports: readonly BridgePortOptions[]): void {
    for (const port of ports) this.#add(port);
  }

  #reactor(): Stack[typeof kReactor] {
    const reactor = this.#stack[kReactor];
    reactor.check();
    return reactor;
  }
}

/**
 * Makes a learning bridge between devices that carry Ethernet frames. Rejects where one cannot be had.
 *
 * @example
 * const [near, far] = createLink({ medium: 'ethernet' });
 * const bridge = await createBridge({ ports: [{ device: tap({ name: 'tap0' }) }, { device: near }] });
 * const stack = await createStack({ interfaces: [{ device: far, addresses: ['198.18.0.2/24'] }] });
 */
export async function createBridge(options: BridgeOptions = {}): Promise<Bridge> {
  if (options === null || typeof options !== 'object') throw invalidArgType('options', 'Object', options);
  const { ports = [], ageing, maxEntries } = options;
  if (!Array.isArray(ports)) throw invalidArgType('options.ports', 'Array', ports);
  if (ageing !== undefined) validateInt32(ageing, 'options.ageing', 1, 1_000_000_000);
  if (maxEntries !== undefined) validateInt32(maxEntries, 'options.maxEntries', 1, 1 << 20);
  const bridge = new Bridge(options);
  try {
    bridge.addAll(ports);
  } catch (error) {
    await bridge.close();
    throw error;
  }
  return bridge;
}
