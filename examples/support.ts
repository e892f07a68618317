// What the examples' command lines share: a stack to run on.

import { parseArgs } from 'node:util';
import { createStack, type Stack, tun } from 'usernet';

/** What the command line asked for. */
export interface Setup {
  stack: Stack;
  /** The address to reach the stack at from the kernel's side; null when only this process can. */
  address: string | null;
  /** What was left of the command line. */
  rest: string[];
}

/**
 * `--tun <name> --address <CIDR>` puts the stack on a TUN interface (this needs CAP_NET_ADMIN, and the kernel's end needs
 * an address too: `ip address add 198.18.0.1/24 dev <name>`). Without it the stack has loopback only, and the example
 * talks to itself.
 */
export async function setUp(argv = process.argv.slice(2)): Promise<Setup> {
  const { values, positionals } = parseArgs({
    args: argv,
    allowPositionals: true,
    options: { tun: { type: 'string' }, address: { type: 'string', default: '198.18.0.2/24' } },
  });
  if (values.tun === undefined) return { stack: await createStack(), address: null, rest: positionals };
  const stack = await createStack({
    interfaces: [{ device: tun({ name: values.tun }), addresses: [values.address] }],
  });
  return { stack, address: values.address.split('/')[0] ?? null, rest: positionals };
}

/** Where the examples' functions get their network from: a stack's `net`. */
export type Net = Stack['net'];
