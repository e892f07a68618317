// The process in the namespace of the DHCP tests: a stack on a TAP, and on it a DHCP server or a DHCP client.

import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import {
  createStack,
  type DhcpClient,
  type DhcpClientOptions,
  type DhcpServer,
  type DhcpServerOptions,
  type Stack,
  tap,
} from '../../src/index';
import { serveCalls } from './rpc';

let stack: Stack | null = null;
let server: DhcpServer | null = null;
let client: DhcpClient | null = null;
/** What the client told. */
const events: unknown[][] = [];

async function start(options: { addresses: string[]; kernelAddresses: string[] }): Promise<void> {
  execFileSync('ip', ['link', 'set', 'lo', 'up']);
  const { addresses, kernelAddresses } = options;
  const device = tap({ name: 'tap0', mac: '02:00:00:00:00:02', kernelMac: '02:00:00:00:00:01', kernelAddresses });
  stack = await createStack({ interfaces: [{ device, addresses }] });
}

async function serve(options: DhcpServerOptions): Promise<void> {
  server = await (stack as Stack).dhcpServer(options);
}

async function lease(options: DhcpClientOptions): Promise<unknown> {
  client = await (stack as Stack).dhcpClient(options);
  client.on('lost', (lost, reason) => events.push(['lost', lost.address, reason]));
  client.on('bound', ({ address }) => events.push(['bound', address]));
  client.on('renewed', ({ address }) => events.push(['renewed', address]));
  return client.lease;
}

/** Gives the address back. */
async function release(): Promise<void> {
  const closed = once(client as DhcpClient, 'close');
  client?.close();
  await closed;
}

async function stop(): Promise<void> {
  await stack?.close();
}

serveCalls(
  {
    start,
    serve,
    lease,
    release,
    events: () => events,
    leases: () => server?.leases,
    ping: (host: string) => (stack as Stack).ping(host, { count: 1, timeout: 5000 }),
    addresses: () => (stack as Stack).interfaces.find(({ name }) => name === 'tap0')?.addresses,
    routes: () => (stack as Stack).routes(),
    resolve: (name: string) => (stack as Stack).dns.resolve4(name),
  },
  stop,
);
