// The process in the namespace of the Ethernet tests: a stack on a TAP or a packet socket, with an echo and a web server.
// Addresses end in 2, the kernel's in 1.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createStack, type DatagramSocket, packetSocket, type Stack, tap } from '../../src/index';
import { byteStream } from './bytes';
import { serveCalls } from './rpc';

let stack: Stack | null = null;
const members: Partial<Record<string, DatagramSocket>> = {};

interface Options {
  device: 'tap' | 'packet';
  /** Default: those that end in 2. */
  addresses?: string[];
  /** Default: those that end in 1. */
  kernelAddresses?: string[];
  slaac?: boolean;
  /** A router, which says so. */
  router?: boolean;
  capture?: string;
  offload?: boolean;
}

async function start(options: Options): Promise<void> {
  execFileSync('ip', ['link', 'set', 'lo', 'up']);
  const mac = '02:00:00:00:00:02';
  const kernelAddresses = options.kernelAddresses ?? ['198.18.0.1/24', 'fd00::1/64'];
  if (options.device === 'packet') {
    execFileSync('ip', ['link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v1']);
    for (const address of kernelAddresses)
      execFileSync('ip', ['address', 'add', address, 'dev', 'v0', ...nodad(address)]);
    for (const name of ['v0', 'v1']) execFileSync('ip', ['link', 'set', name, 'up']);
  }
  const { offload = true } = options;
  stack = await createStack({
    forwarding: options.router ?? false,
    interfaces: [
      {
        device:
          options.device === 'tap'
            ? tap({ name: 'tap0', mac, offload, kernelMac: '02:00:00:00:00:01', kernelAddresses })
            : packetSocket({ interface: 'v1', mac }),
        addresses: options.addresses ?? ['198.18.0.2/24', 'fd00::2/64'],
        slaac: options.slaac ?? false,
        routerAdvertisements: options.router ?? false,
        ...(options.capture === undefined ? {} : { capture: options.capture }),
      },
    ],
  });
  const echo = stack.net.createServer((socket) => {
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  const web = stack.http.createServer((request, response) => {
    const [, length, seed] = (request.url ?? '').split('/');
    byteStream(Number(length), Number(seed)).pipe(response);
  });
  await new Promise<void>((resolve) => echo.listen(7, () => resolve()));
  await new Promise<void>((resolve) => web.listen(80, () => resolve()));
}

function nodad(address: string): string[] {
  return address.includes(':') ? ['nodad'] : [];
}

/** Fetches from a server of the kernel's, by plain connection: what came until it ended. */
function collect(host: string, port: number): Promise<{ length: number; sha256: string }> {
  return new Promise((resolve, reject) => {
    const hash = createHash('sha256');
    let length = 0;
    const socket = stack!.net.connect({ host, port });
    socket.on('data', (data: Buffer) => {
      length += data.length;
      hash.update(data);
    });
    socket.once('error', reject);
    socket.once('end', () => resolve({ length, sha256: hash.digest('hex') }));
  });
}

/** Makes a socket that is in no group. */
function member(name: string, type: 'udp4' | 'udp6'): Promise<void> {
  const socket = stack!.dgram.createSocket({ type, reuseAddr: true });
  members[name] = socket;
  return new Promise((resolve) => socket.bind(5000, () => resolve()));
}

/** Adds a membership of all sources or of one. */
function join(name: string, group: string, source?: string): void {
  const at = group.includes(':') ? '::%tap0' : '0.0.0.0%tap0';
  if (source === undefined) members[name]!.addMembership(group, at);
  else members[name]!.addSourceSpecificMembership(source, group, at);
}

function leave(name: string, group: string, source?: string): void {
  const at = group.includes(':') ? '::%tap0' : '0.0.0.0%tap0';
  if (source === undefined) members[name]!.dropMembership(group, at);
  else members[name]!.dropSourceSpecificMembership(source, group, at);
}

async function stop(): Promise<void> {
  await stack?.close();
  stack = null;
}

serveCalls(
  {
    start,
    stop,
    collect,
    member,
    join,
    leave,
    ping: (host: string, options: object) => stack!.ping(host, options),
    neighbors: () => stack!.neighbors(),
    interfaces: () => stack!.interfaces.map(({ name, addresses }) => ({ name, addresses: [...addresses] })),
    stats: () => stack!.stats(),
    sha256: (length: number, seed: number) =>
      new Promise<string>((resolve, reject) => {
        const hash = createHash('sha256');
        const stream = byteStream(length, seed);
        stream.on('data', (data: Buffer) => hash.update(data));
        stream.once('error', reject).once('end', () => resolve(hash.digest('hex')));
      }),
  },
  stop,
);
