// The process in the namespace of the devices' tests: pings over devices of the system; a TUN changed at run time.

import { execFileSync } from 'node:child_process';
import { createStack, type InterfaceEvent, type Stack, tap } from '../../src/index';
import { pinged } from './devices';
import { serveCalls } from './rpc';
import { tun } from './tuns';

let stack: Stack | null = null;
const events: InterfaceEvent[] = [];

async function stop(): Promise<void> {
  await stack?.close();
  stack = null;
}

serveCalls(
  {
    start: () => {
      execFileSync('ip', ['link', 'set', 'lo', 'up']);
    },
    stop,
    pinged,
    /** A stack on a TUN or TAP `d0`, whose other side has addresses that end in 1. */
    open: async (kind: 'tun' | 'tap') => {
      await stop();
      events.length = 0;
      const options = { name: 'd0', kernelAddresses: ['198.18.0.1/24', 'fd00::1/64'] };
      const device = kind === 'tun' ? tun(options) : tap(options);
      stack = await createStack({ interfaces: [{ device, addresses: ['198.18.0.2/24', 'fd00::2/64'] }] });
      stack.on('interface', (event) => events.push(event));
      const server = stack.net.createServer((socket) => socket.on('error', () => {}).pipe(socket));
      await new Promise<void>((resolve) => server.listen(7, () => resolve()));
    },
    /** A second one, `d1`, with addresses of its own; the kernel has routes to them through `d0` as well. */
    second: async (kind: 'tun' | 'tap') => {
      const options = { name: 'd1', kernelAddresses: ['198.18.5.1/24', 'fd00:5::1/64'] };
      const device = kind === 'tun' ? tun(options) : tap(options);
      await stack?.addInterface({ device, addresses: ['198.18.5.2/24', 'fd00:5::2/64'] });
    },
    /** Leads the kernel's packets for an address of `d1` through an interface. */
    lead: (address: string, name: string) => {
      const via = name === 'd0' ? ['via', address.includes(':') ? 'fd00::2' : '198.18.0.2'] : [];
      execFileSync('ip', ['route', 'replace', `${address}/${address.includes(':') ? 128 : 32}`, ...via, 'dev', name]);
    },
    /** What becomes of a datagram from an address of ours. */
    sendFrom: async (source: string, to: string) => {
      const socket = (stack as Stack).dgram.createSocket(source.includes(':') ? 'udp6' : 'udp4');
      socket.bind(0, source);
      const error = await new Promise<Error | null>((resolve) => socket.send('x', 9, to, resolve));
      socket.close();
      return (error as { code?: string } | null)?.code ?? 'sent';
    },
    stats: () => ({ ip_in_addr_errors: stack?.stats().ip_in_addr_errors }),
    close: stop,
    events: () => events.splice(0),
    setMtu: (mtu: number) => stack?.setMtu('d0', mtu),
    setDown: () => stack?.setDown('d0'),
    setUp: () => stack?.setUp('d0'),
    /** As somebody else would. */
    setLink: (state: 'up' | 'down') => execFileSync('ip', ['link', 'set', 'd0', state]),
    addAddress: (address: string) => stack?.addAddress('d0', address),
    ping: (host: string, options: object) => stack?.ping(host, options),
    interface: () => {
      const found = stack?.interfaces.find(({ name }) => name === 'd0');
      return found && { mtu: found.mtu, up: found.up, mac: found.mac, addresses: [...found.addresses] };
    },
    link: () => execFileSync('ip', ['-o', 'link', 'show', 'd0'], { encoding: 'utf8' }),
    delete: () => execFileSync('ip', ['link', 'delete', 'd0']),
    tunAgain: async () => {
      await stack?.addInterface({ device: tun({ name: 'd0' }), addresses: ['198.18.0.2/24'] });
    },
  },
  stop,
);
