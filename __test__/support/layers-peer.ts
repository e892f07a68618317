// The process in the namespace for what is beside TCP. Two stacks: a router between the kernel of this namespace (A, on
// un0) and that of another (B, on un1), over TUNs or TAPs; a transparent proxy on un2, which carries to a server of its own.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { transparentProxy } from '../../examples/transparent-proxy';
import { createStack, type DatagramSocket, type PingOptions, type Stack, tap } from '../../src/index';
import { serveCalls } from './rpc';
import { until } from './stacks';
import { tun } from './tuns';

let router: Stack | null = null;
let sandbox: Stack | null = null;
let far: ChildProcess | null = null;
const sockets: DatagramSocket[] = [];
const bySource = new Map<string, DatagramSocket>();
const seen: string[] = [];
const carried: string[] = [];

function ip(...args: string[]): void {
  execFileSync('ip', args);
}

/** Runs `ip` in namespace B. */
function ipFar(...args: string[]): void {
  execFileSync('nsenter', ['--target', String(far?.pid), '--net', 'ip', ...args]);
}

function stackOf(which: string): Stack {
  return (which === 'sandbox' ? sandbox : router) as Stack;
}

async function start({ device }: { device: 'tun' | 'tap' }): Promise<void> {
  ip('link', 'set', 'lo', 'up');
  far = spawn('unshare', ['--net', 'sleep', 'infinity'], { stdio: 'ignore' });
  await once(far, 'spawn');
  const make = device === 'tap' ? tap : tun;
  router = await createStack({
    forwarding: true,
    interfaces: [
      { device: make({ name: 'un0' }), addresses: ['198.18.0.2/24', 'fd00::2/64'] },
      { device: make({ name: 'un1', offload: false }), addresses: ['198.18.8.2/24', 'fd00:8::2/64'] },
    ],
  });
  // unshare has its own namespace once its name is sleep's.
  const command = (): string => execFileSync('ps', ['-o', 'comm=', '-p', String(far?.pid)], { encoding: 'utf8' });
  await until('unshare has become sleep', () => command().trim() === 'sleep');
  ip('link', 'set', 'un1', 'netns', String(far.pid));
  ip('address', 'add', '198.18.0.1/24', 'dev', 'un0');
  ip('address', 'add', 'fd00::1/64', 'dev', 'un0', 'nodad');
  ip('link', 'set', 'un0', 'up');
  ip('route', 'add', '198.18.8.0/24', 'via', '198.18.0.2');
  ip('route', 'add', 'fd00:8::/64', 'via', 'fd00::2');
  ipFar('link', 'set', 'lo', 'up');
  ipFar('address', 'add', '198.18.8.1/24', 'dev', 'un1');
  ipFar('address', 'add', 'fd00:8::1/64', 'dev', 'un1', 'nodad');
  ipFar('link', 'set', 'un1', 'up');
  ipFar('route', 'add', 'default', 'via', '198.18.8.2');
  ipFar('route', 'add', 'default', 'via', 'fd00:8::2');

  sandbox = await createStack({
    interfaces: [{ device: tun({ name: 'un2' }), addresses: ['198.18.9.2/24', 'fd00:9::2/64'], acceptAny: true }],
  });
  ip('address', 'add', '198.18.9.1/24', 'dev', 'un2');
  ip('address', 'add', 'fd00:9::1/64', 'dev', 'un2', 'nodad');
  ip('link', 'set', 'un2', 'up');
  ip('route', 'add', '192.0.2.0/24', 'via', '198.18.9.2');
  ip('route', 'add', '2001:db8::/32', 'via', 'fd00:9::2');

  router.net.createServer((socket) => socket.on('error', () => {}).pipe(socket)).listen(7, '::');
  for (const type of ['udp4', 'udp6'] as const) {
    const echo = router.dgram.createSocket({ type, ipv6Only: true });
    echo.on('message', (message, from) => echo.send(message, from.port, from.address));
    echo.bind(7);
    await once(echo, 'listening');
  }
  await router.dns
    .createServer({
      zones: [
        {
          name: 'lab.test',
          records: [
            { name: '@', type: 'MX', data: { exchange: 'mail.lab.test', priority: 5 } },
            { name: 'host', type: 'A', data: '192.0.2.2' },
            { name: 'host', type: 'AAAA', data: '2001:db8::2' },
            { name: 'www', type: 'CNAME', data: 'host.lab.test' },
            { name: 'long', type: 'TXT', data: Array.from({ length: 40 }, (_, i) => `line ${i} ${'x'.repeat(40)}`) },
          ],
        },
      ],
    })
    .listen();
  const origin = router.net.createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => socket.end(`HTTP/1.0 200 OK\r\n\r\ncarried to ${socket.localPort}\n`));
  });
  origin.listen(8080, '127.0.0.1');
  await once(origin, 'listening');
  // Wherever it was meant to go, the other side of the proxy is that server.
  transparentProxy(sandbox, {
    connect: ({ port }) => (router as Stack).net.connect({ host: '127.0.0.1', port }),
    allowed: (_host, port) => port !== 25,
    log: (line) => carried.push(line),
  });
}

/** Joins a group on un0, or a source of it more, and notes what is said in it. */
async function subscribe(group: string, port: number, source?: string): Promise<void> {
  const ipv6 = group.includes(':');
  const at = ipv6 ? '::%un0' : '198.18.0.2';
  let socket = source === undefined ? undefined : bySource.get(group);
  if (socket === undefined) {
    socket = (router as Stack).dgram.createSocket({ type: ipv6 ? 'udp6' : 'udp4', reuseAddr: true });
    sockets.push(socket);
    socket.on('message', (message, { address }) => seen.push(`${address} ${message}`));
    socket.bind(port);
    await once(socket, 'listening');
    if (source !== undefined) bySource.set(group, socket);
  }
  if (source === undefined) socket.addMembership(group, at);
  else socket.addSourceSpecificMembership(source, group, at);
}

function unsubscribe(group: string, source: string): void {
  bySource.get(group)?.dropSourceSpecificMembership(source, group, group.includes(':') ? '::%un0' : '198.18.0.2');
}

/** Notes what comes to a port. */
async function listen(port: number): Promise<void> {
  const socket = (router as Stack).dgram.createSocket('udp4');
  sockets.push(socket);
  socket.on('message', (message, { address }) => seen.push(`${address} ${message}`));
  socket.bind(port);
  await once(socket, 'listening');
}

/** Sends to a broadcast address. */
async function broadcast(address: string, port: number, message: string): Promise<void> {
  const socket = (router as Stack).dgram.createSocket('udp4');
  sockets.push(socket);
  socket.bind(0, address === '255.255.255.255' ? '198.18.0.2' : undefined);
  await once(socket, 'listening');
  socket.setBroadcast(true);
  // Everybody of the subnet is on un0; everybody at all is asked for there.
  if (address === '255.255.255.255') socket.setMulticastInterface('198.18.0.2');
  await new Promise<void>((resolve, reject) => {
    socket.send(message, port, address, (error) => (error ? reject(error) : resolve()));
  });
}

async function publish(group: string, port: number, message: string): Promise<void> {
  const ipv6 = group.includes(':');
  const socket = (router as Stack).dgram.createSocket(ipv6 ? 'udp6' : 'udp4');
  sockets.push(socket);
  socket.bind(0);
  await once(socket, 'listening');
  socket.setMulticastInterface(ipv6 ? '::%un0' : '198.18.0.2');
  await new Promise<void>((resolve, reject) => {
    socket.send(message, port, group, (error) => (error ? reject(error) : resolve()));
  });
}

/** Asks the servers given, over the router. */
function resolve(servers: string[], type: string, name: string): Promise<unknown> {
  const resolver = new (router as Stack).dns.Resolver({ timeout: 3000 });
  resolver.setServers(servers);
  return resolver.resolve(name, type as 'A');
}

async function stop(): Promise<void> {
  await Promise.all([router?.close(), sandbox?.close()]);
  far?.kill();
}

serveCalls(
  {
    start,
    subscribe,
    unsubscribe,
    listen,
    broadcast,
    publish,
    resolve,
    far: () => far?.pid,
    seen: () => seen,
    carried: () => carried,
    stats: (which = 'router') => stackOf(which).stats(),
    ping: (host: string, options: PingOptions) => stackOf('router').ping(host, options),
    traceroute: (host: string) => stackOf('router').traceroute(host, { timeout: 2000, maxHops: 4 }),
  },
  stop,
);
