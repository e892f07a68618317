// A transparent TCP proxy: a stack that takes connections to any address, and carries each to where it was meant to go by
// another `net`. What a sandbox or a tunnel is built on.
//   Run it (Linux, as root, in a namespace of its own so that nothing else is touched):
//   sudo unshare -n npx tsx examples/transparent-proxy.ts

import * as realNet from 'node:net';
import { pipeline } from 'node:stream';
import { createStack, type Flow, type Stack, tun } from 'usernet';

/** How the proxy goes on: `net` makes its connections, `allowed` says which destinations may be reached. */
export interface ProxyOptions {
  connect: (options: { host: string; port: number }) => realNet.Socket;
  allowed?: (host: string, port: number) => boolean;
  log?: (line: string) => void;
}

/** Makes `stack` a proxy: every interface with `acceptAny` answers for the whole world. */
export function transparentProxy(stack: Stack, options: ProxyOptions): void {
  const { connect, allowed = () => true, log = () => {} } = options;
  stack.onConnection((flow: Flow) => {
    const [host, port] = [flow.localAddress, flow.localPort];
    const what = `${flow.protocol} from ${flow.remoteAddress} to ${host} port ${port}`;
    if (flow.protocol !== 'tcp' || !allowed(host, port)) {
      log(`${what}: refused`);
      flow.reject();
      return;
    }
    // The destination first: what cannot be reached is refused, so the client sees what it would see without us.
    const outward = connect({ host, port });
    const refuse = (): void => {
      log(`${what}: nobody there`);
      if (!flow.decided) flow.reject();
    };
    outward.once('error', refuse);
    outward.once('connect', () => {
      outward.removeListener('error', refuse);
      const inward = flow.accept();
      log(`${what}: carried`);
      pipeline(inward, outward, inward, () => {});
    });
  });
}

async function main(): Promise<void> {
  const device = tun({ name: 'sandbox0' });
  const stack = await createStack({
    interfaces: [{ device, addresses: ['198.18.0.2/24', 'fd00::2/64'], acceptAny: true }],
  });
  transparentProxy(stack, { connect: (options) => realNet.connect(options), log: console.log });
  console.log('sandbox0 is up: ip address add 198.18.0.1/24 dev sandbox0; ip route add default via 198.18.0.2');
}

if (require.main === module) void main();
