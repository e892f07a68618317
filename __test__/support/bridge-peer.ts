// The process in the namespace of the bridge's test: a bridge between a TAP, on whose other side is the kernel, an
// in-process link with a stack behind it, and two frame ports that JavaScript joins, with another stack behind them.

import { execFileSync } from 'node:child_process';
import {
  type Bridge,
  createBridge,
  createLink,
  createStack,
  type Device,
  framePort,
  type Stack,
  tap,
} from '../../src/index';
import { byteStream, digestStream } from './bytes';
import { serveCalls } from './rpc';

let bridge: Bridge | null = null;
const stacks: Stack[] = [];

async function host(device: Device, number: number): Promise<void> {
  const addresses = [`198.18.0.${number}/24`, `fd00::${number}/64`];
  const stack = await createStack({ interfaces: [{ device, addresses, name: 'lan' }] });
  const web = stack.http.createServer((request, response) => {
    byteStream(Number(request.url?.slice(1)), number).pipe(response);
  });
  await new Promise<void>((resolve) => web.listen(80, () => resolve()));
  stacks.push(stack);
}

async function start(): Promise<void> {
  execFileSync('ip', ['link', 'set', 'lo', 'up']);
  const [near, far] = createLink({ medium: 'ethernet' });
  const [here, there] = [framePort({ medium: 'ethernet' }), framePort({ medium: 'ethernet' })];
  here.on('frame', (frame) => there.write(frame));
  there.on('frame', (frame) => here.write(frame));
  bridge = await createBridge({
    ports: [
      { device: tap({ name: 'tap0', kernelAddresses: ['198.18.0.1/24', 'fd00::1/64'] }) },
      { device: near, name: 'link' },
      { device: here, name: 'port' },
    ],
  });
  await host(far, 2);
  await host(there, 3);
}

async function stop(): Promise<void> {
  await bridge?.close();
  await Promise.all(stacks.map((stack) => stack.close()));
}

serveCalls(
  {
    start,
    stop,
    ping: (from: number, to: string, options: object) => (stacks[from - 2] as Stack).ping(to, options),
    fetch: (from: number, to: string, length: number) =>
      new Promise((resolve, reject) => {
        const { http } = stacks[from - 2] as Stack;
        const request = http.get(`http://${to}/${length}`, (response) => resolve(digestStream(response)));
        request.once('error', reject);
      }),
    macs: () => stacks.map((stack) => stack.interfaces.find(({ name }) => name === 'lan')?.mac),
    ports: () => bridge?.ports,
    table: () => bridge?.table(),
  },
  stop,
);
