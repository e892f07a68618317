// A host of a network: everything a stack has, a name, and the power to crash.
import type * as http from 'node:http';
import type * as https from 'node:https';
import * as realNet from 'node:net';
import { Duplex } from 'node:stream';
import { createAgent, type StackAgent } from '../adapters/agent';
import { attach } from '../adapters/attach';
import { createDispatcher, type DispatcherOptions, type UndiciDispatcher } from '../adapters/dispatcher';
import { createHttp, createHttps, type Http, type Https } from '../adapters/http';
import { createTls, type Tls } from '../adapters/tls';
import { bindDgram, type Dgram } from '../dgram/bind';
import { codedError } from '../errors';
import { type StackEvents, TypedEventEmitter } from '../events';
import type { NativeBinding, NativeStack, NativeStats } from '../native';
import { bindNet, type Net } from '../net/bind';
import { NetContext } from '../net/context';
import type { StackOptions } from '../options';
import {
  type PingOptions,
  type PingStatistics,
  ping,
  type TracerouteOptions,
  type TraceroutePath,
  traceroute,
} from '../ping';
import type { RawOptions, RawSocket } from '../raw';
import type { Reactor } from '../reactor';
import { kReactor, Stack } from '../stack';
import type { Driver } from './driver';
import { track } from './globals';
import { type Leak, LeakWatch } from './leaks';
import { lookupOf, type Resolver } from './names';
import { type NativeNetwork, simBinding } from './native';

/** What `network.host()` takes, besides the options of a stack. */
export interface HostOptions
  extends Pick<
    StackOptions,
    | 'recvBuffer'
    | 'sendBuffer'
    | 'maxReceiveMemory'
    | 'maxSendMemory'
    | 'maxSynBacklog'
    | 'synCookies'
    | 'userTimeout'
    | 'ttl'
    | 'rtoMin'
    | 'rtoMax'
    | 'mtuProbing'
    | 'userTimeoutOption'
    | 'failConnectOnSoftError'
    | 'timeWait'
    | 'maxConnections'
    | 'trace'
    | 'congestion'
    | 'pacing'
  > {
  /** Its IP addresses; a prefix has no effect, each is routed to by itself. Default: one of 198.18.0.0/15 and one of fd00::/64. */
  addresses?: string[];
  /** Names that this host alone knows, or knows otherwise: like `/etc/hosts`. */
  dns?: Record<string, string | string[]>;
  /** MTU of its interface, bytes. Default: that of its first link. */
  mtu?: number;
}

/** Calls that may leave something to report on the same stack, and those that may give the network something to do. */
const REPORTING = ['readStart', 'shutdown', 'close', 'reset', 'udpClose', 'udpConnect'] as const;
const TOUCHING = [
  ...([
    'connect',
    'write',
    'writev',
    'writeText',
    'setNoDelay',
    'setKeepAlive',
    'setUserTimeout',
    'closeListener',
    'drain',
  ] as const),
  ...(['udpSend', 'udpSendv', 'udpMembership', 'ping'] as const),
];

/** What a host needs of its network. */
export interface HostContext {
  native: NativeNetwork;
  driver: Driver;
  resolve: Resolver;
  virtual: boolean;
  /** Whether to note who made sockets. */
  leaks: boolean;
}

/** The events of a host: those of its stack (with `trace: true`), over all its lives. */
export interface HostEvents extends StackEvents {
  /** It crashed. */
  crash: [];
  /** It runs again. */
  restart: [];
}

const FORWARDED = [
  'trace',
  'state',
  'retransmit',
  'recovery',
  'timeout',
  'cwnd',
  'urgent',
  'errorReport',
  'failure',
] as const;

/**
 * A host of a network. It has everything a stack has: `net`, `dgram`, `http`, `https`, `tls`, `agent()`, `dispatcher()`,
 * `attach()`. These stay the same objects when it crashes and starts again.
 */
export class Host extends TypedEventEmitter<HostEvents> {
  /** Its name, by which the others find it. */
  readonly name: string;
  /** Everything `node:net` exports, bound to this host. */
  readonly net: Net;
  /** Everything `node:dgram` exports, bound to this host. */
  readonly dgram: Dgram;
  /** @internal */
  readonly node: number;
  readonly #context: HostContext;
  readonly #netContext: NetContext;
  readonly #options: HostOptions;
  #stack: Stack;
  #watch: LeakWatch | null = null;
  #doorbell: () => void = () => {};
  #up = true;
  #ending: Promise<void>[] = [];
  #http: Http | undefined;
  #https: Https | undefined;
  #tls: Tls | undefined;

  /** @internal Use `network.host()`. */
  constructor(context: HostContext, name: string, options: HostOptions) {
    super();
    this.name = name;
    this.#context = context;
    this.#options = options;
    const { dns, addresses, mtu, ...stack } = options;
    this.node = context.native.addHost(name, { ...stack, ...(addresses && { addresses }), ...(mtu && { mtu }) });
    const own = new Map(Object.entries(dns ?? {}).map(([key, value]) => [key.toLowerCase(), [value].flat()]));
    this.#netContext = new NetContext(() => this.#reactor());
    this.#netContext.lookup = lookupOf((asked) => own.get(asked) ?? context.resolve(asked));
    this.net = bindNet(this.#netContext);
    this.dgram = bindDgram(this.#netContext);
    this.#stack = this.#start();
  }

  /** Its addresses, IPv4 first. */
  get addresses(): string[] {
    return this.#context.native.addresses(this.node);
  }

  /** Its first address. */
  get address(): string {
    return this.addresses[0] as string;
  }

  /** Whether it runs. */
  get up(): boolean {
    return this.#up;
  }

  /** `dns.lookup` as programs on this host see it: the names of the network's nodes, and its own. */
  get lookup(): NonNullable<NetContext['lookup']> {
    return this.#netContext.lookup as NonNullable<NetContext['lookup']>;
  }

  /** `node:http` on this host. */
  get http(): Http {
    this.#http ??= this.#dated(createHttp(this.net, this.#netContext));
    return this.#http;
  }

  /** `node:https` on this host. */
  get https(): Https {
    this.#https ??= this.#dated(createHttps(this.net, this.#netContext));
    return this.#https;
  }

  /** `node:tls` on this host. */
  get tls(): Tls {
    this.#tls ??= createTls(this.net, this.#netContext);
    return this.#tls;
  }

  /** Sends echo requests to an address or a name, and gives their statistics. */
  ping(host: string, options?: PingOptions): Promise<PingStatistics> {
    return ping(this.#netContext, host, options);
  }

  /** Finds the routers on the way to a host, by echo requests with few hops to live. */
  traceroute(host: string, options?: TracerouteOptions): Promise<TraceroutePath> {
    return traceroute(this.#netContext, host, options);
  }

  /** Opens a raw socket on its present stack: it receives the packets of one IP protocol, and sends such packets. */
  raw(options: RawOptions): RawSocket {
    return this.#stack.raw(options);
  }

  /** An agent for `node:http` and `node:https` whose connections are on this host. */
  agent(options?: http.AgentOptions & https.AgentOptions): StackAgent {
    return createAgent(this.net, options);
  }

  /** A dispatcher for undici and `fetch` whose connections are on this host. Needs the package undici. */
  dispatcher(options?: DispatcherOptions): UndiciDispatcher {
    const dispatcher = createDispatcher(this.net, options);
    if (this.#context.virtual && !warm) {
      warm = true;
      track(warmUndici());
    }
    return dispatcher;
  }

  /** Makes a server of Node's own, or of a library over it, listen on this host. Returns it. */
  attach<T extends realNet.Server>(server: T): T {
    const attached = attach(server, this.#netContext);
    this.#date(attached);
    return attached;
  }

  /** The counters of its stack: of its present life. */
  stats(): NativeStats {
    return this.#stack.stats();
  }

  /**
   * Makes a server of the real network reachable in this one: connections to `port` of this host go on to the real
   * `target`, a port or the path of a Unix socket. Only with `clock: 'real'`. Resolves once it listens; the result closes it.
   */
  async forward(port: number, target: { host?: string; port: number } | { path: string }): Promise<realNet.Server> {
    if (this.#context.virtual) {
      throw codedError(
        Error,
        'ERR_REAL_IO',
        `Host '${this.name}' cannot forward to a real server while the clock is virtual: what is real takes real time. Use createNetwork({ clock: 'real' }).`,
      );
    }
    const server = this.net.createServer({ allowHalfOpen: true }, (inside) => {
      const outside = realNet.connect({ ...target, allowHalfOpen: true });
      inside.pipe(outside);
      outside.pipe(inside);
      outside.on('error', () => inside.resetAndDestroy());
      inside.on('error', () => outside.resetAndDestroy());
      inside.on('close', () => outside.destroy());
      outside.on('close', () => inside.destroy());
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, () => resolve());
    });
    return server;
  }

  /**
   * Takes the host away at once, as a power failure does: no FIN, no RST. Its sockets and servers are destroyed; what its
   * program still does with its `net` fails until `restart()`.
   */
  crash(): void {
    this.#context.native.crash(this.node);
    this.#up = false;
    this.#ending.push(this.#stack.close());
    this.emit('crash');
    this.#context.driver.touched();
  }

  /** Starts it again after a crash: the same addresses, no sockets. */
  restart(): void {
    this.#context.native.restart(this.node);
    this.#up = true;
    this.#stack = this.#start();
    this.emit('restart');
    this.#context.driver.touched();
  }

  /** @internal */
  ring(): void {
    if (this.#up) this.#doorbell();
  }

  /** Sockets and servers that are open, with who made them. */
  get leaks(): Leak[] {
    return this.#up && this.#watch !== null ? this.#watch.leaks() : [];
  }

  /** @internal */
  async end(): Promise<void> {
    this.#ending.push(this.#stack.close());
    await Promise.all(this.#ending);
  }

  #reactor(): Reactor {
    if (!this.#up) {
      throw codedError(
        Error,
        'EHOSTDOWN',
        `Host '${this.name}' has crashed: call its restart() before its program uses the network again.`,
      );
    }
    return this.#stack[kReactor];
  }

  #start(): Stack {
    const { addresses, dns, mtu, ...options } = this.#options;
    const { trace } = options;
    const stack = new Stack(this.#binding(), options);
    if (trace) {
      for (const name of FORWARDED) {
        stack.on(name, ((event: never) => this.emit(name, event)) as unknown as () => void);
      }
    }
    if (this.#context.leaks) this.#watch = new LeakWatch(this.name, stack[kReactor]);
    return stack;
  }

  /** A binding whose stacks are this host. */
  #binding(): NativeBinding {
    const { native: network, driver, virtual } = this.#context;
    const make = (events: Int32Array, doorbell: () => void): NativeStack => {
      this.#doorbell = doorbell;
      const native = new (simBinding().NativeStack)({ network, host: this.node }, events, doorbell);
      const methods = native as unknown as Record<string, (...args: unknown[]) => unknown>;
      for (const name of REPORTING) {
        const original = methods[name] as (...args: unknown[]) => unknown;
        methods[name] = (...args) => {
          const result = original.apply(native, args);
          driver.rang(this);
          return result;
        };
      }
      if (!virtual) {
        for (const name of TOUCHING) {
          const original = methods[name] as (...args: unknown[]) => unknown;
          methods[name] = (...args) => {
            const result = original.apply(native, args);
            driver.touched();
            return result;
          };
        }
        native.ref = () => driver.hold(1);
        native.unref = () => driver.hold(-1);
      }
      return native;
    };
    const NativeStack = new Proxy(class {} as unknown as NativeBinding['NativeStack'], {
      construct: (_target, [, events, doorbell]: [object, Int32Array, () => void]) => make(events, doorbell),
    });
    return { NativeStack, createLink: simBindingLink };
  }

  /** In virtual time Node's own `Date` header, which goes by the real clock, is replaced. */
  #dated<T extends Http | Https>(module: T): T {
    if (!this.#context.virtual) return module;
    const { createServer } = module as Http;
    (module as { createServer: unknown }).createServer = (...args: []) => {
      const server = createServer(...args);
      this.#date(server);
      return server;
    };
    return module;
  }

  #date(server: realNet.Server): void {
    if (!this.#context.virtual) return;
    server.prependListener('request', (_request: unknown, response: http.ServerResponse) => {
      response.sendDate = false;
      response.setHeader?.('Date', new Date().toUTCString());
    });
  }
}

/** Whether undici was warmed up in this process. */
let warm = false;

/**
 * undici compiles its parser when it is loaded and connects later while that lasts: a first connection would differ from
 * all others. Resolves when the parser is there.
 */
function warmUndici(): Promise<void> {
  return new Promise((resolve) => {
    const { Client } = require('undici') as { Client: new (origin: string, options: object) => WarmClient };
    const nowhere = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
    const connect = (_to: object, done: (error: null, socket: Duplex) => void): void => done(null, nowhere);
    const client = new Client('http://localhost', { connect, headersTimeout: 0, bodyTimeout: 0 });
    const over = (): void => {
      resolve();
      client.destroy().catch(() => {});
    };
    client.once('connect', over);
    client.once('connectionError', over);
    client.request({ path: '/', method: 'GET' }).catch(over);
  });
}

interface WarmClient {
  once(event: string, listener: () => void): void;
  request(options: object): Promise<unknown>;
  destroy(): Promise<void>;
}

function simBindingLink(): never {
  throw codedError(Error, 'ERR_NOT_SUPPORTED', 'Hosts of a network are linked by network.link().');
}
