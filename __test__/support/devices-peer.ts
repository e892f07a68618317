// The process in the namespace of the devices' tests: pings over devices of the system; a TUN changed at run time.

import { execFileSync } from 'node:child_process';
import { createStack, type InterfaceEvent, type Stack, tap, tun } from '../../src/index';
import { pinged } from './devices';
import { serveCalls } from './rpc';

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
    close: stop,
    events: () => events.splice(0),
    setMtu: (mtu: number) => stack?.setMtu('d0', mtu),
    setDown: () => stack?.setDown('d0'),
    setUp: () => stack?.setUp('d0'),
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
