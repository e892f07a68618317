// A stack on a device of any kind, with something on the other side that answers pings; and what its layers did.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import {
  createLink,
  createStack,
  type Device,
  framePort,
  type Impairment,
  type Medium,
  packetSocket,
  type Stack,
  type TapFrame,
  tap,
  unixSocket,
} from '../../src/index';
import { tun } from './tuns';

/** Those that need no privilege, and those that need a namespace. */
export const FREE_KINDS = [
  'link ip',
  'link ethernet',
  'port ip',
  'port ethernet',
  'unix stream',
  'unix dgram',
] as const;
export const SYSTEM_KINDS = ['tun', 'tap', 'packet'] as const;
export type Kind = (typeof FREE_KINDS)[number] | (typeof SYSTEM_KINDS)[number];

const ours = ['198.18.0.2/24', 'fd00::2/64'];
const theirs = ['198.18.0.1/24', 'fd00::1/64'];
/** No check of addresses: those of the stacks before may still be spoken of. */
const sure = { name: 'd0', duplicateAddressDetection: 'off' as const };
let count = 0;

/** The device for our stack, and the one for the other stack where it is not the kernel on the other side. */
function make(kind: Kind, folder: string, impairment: Impairment | undefined): [Device, Device | null] {
  const layer = impairment === undefined ? {} : { impairment };
  const n = ++count;
  const file = (name: string): string => path.join(folder, `${name}${n}`);
  switch (kind) {
    case 'link ip':
      return createLink(impairment);
    case 'link ethernet':
      return createLink({ medium: 'ethernet', ...impairment });
    case 'port ip':
    case 'port ethernet': {
      const medium = kind.slice(5) as Medium;
      const [here, there] = [framePort({ medium, ...layer }), framePort({ medium })];
      here.on('frame', (frame) => there.write(frame));
      there.on('frame', (frame) => here.write(frame));
      return [here, there];
    }
    case 'unix stream':
      // The other side has to be there first: see `onDevice`.
      return [unixSocket({ connect: file('s'), ...layer }), unixSocket({ listen: file('s') })];
    case 'unix dgram':
      return [
        unixSocket({ local: file('a'), remote: file('b'), ...layer }),
        unixSocket({ local: file('b'), remote: file('a') }),
      ];
    case 'tun':
      return [tun({ name: `t${n}`, kernelAddresses: theirs, ...layer }), null];
    case 'tap':
      return [tap({ name: `t${n}`, kernelAddresses: theirs, ...layer }), null];
    case 'packet': {
      const [kernel, end] = [`k${n}`, `e${n}`];
      execFileSync('ip', ['link', 'add', kernel, 'type', 'veth', 'peer', 'name', end]);
      for (const address of theirs) {
        const nodad = address.includes(':') ? ['nodad'] : [];
        execFileSync('ip', ['address', 'add', address, 'dev', kernel, ...nodad]);
      }
      for (const name of [kernel, end]) execFileSync('ip', ['link', 'set', name, 'up']);
      return [packetSocket({ interface: end, ...layer }), null];
    }
  }
}

/** What was seen of pings from a stack on a device: how many were answered, the shortest round trip, what passed. */
export interface Seen {
  received: number;
  min: number;
  /** Frames that a tap saw, `in 84`. */
  tapped: string[];
}

/** Pings from a stack on a device of that kind, with that impairment and that capture. */
export async function pinged(
  kind: Kind,
  folder: string,
  options: { impairment?: Impairment; capture?: string; to: string; count: number; size: number; timeout: number },
): Promise<Seen> {
  const [device, other] = make(kind, folder, options.impairment);
  const stacks: Stack[] = [];
  try {
    if (other !== null) {
      stacks.push(await createStack({ interfaces: [{ ...sure, device: other, addresses: theirs }] }));
    }
    const capture = options.capture === undefined ? {} : { capture: options.capture };
    const stack = await createStack({ interfaces: [{ ...sure, ...capture, device, addresses: ours }] });
    stacks.push(stack);
    const tapped: string[] = [];
    const frames = stack.interfaces.find(({ name }) => name === 'd0')?.tap();
    frames?.on('frame', ({ direction, length }: TapFrame) => tapped.push(`${direction} ${length}`));
    const { to, count: times, size, timeout } = options;
    // Who has the address is asked, and a slow kernel made ready, before anything is counted.
    for (let attempt = 0; options.impairment?.loss === undefined && attempt < 20; attempt++) {
      if ((await stack.ping(to, { count: 1, timeout: 500 })).received > 0) break;
    }
    const { received, min } = await stack.ping(to, { count: times, interval: 0, size, timeout });
    return { received, min, tapped };
  } finally {
    await Promise.all(stacks.map((stack) => stack.close()));
    if (kind === 'packet') execFileSync('ip', ['link', 'delete', `k${count}`]);
  }
}

/** The packets of a capture: what they begin with, and each with its direction. */
export function readCapture(file: string): { linkType: number; packets: Array<{ direction: string; data: Buffer }> } {
  const bytes = readFileSync(file);
  const packets: Array<{ direction: string; data: Buffer }> = [];
  let linkType = -1;
  for (let at = 0; at < bytes.length; ) {
    const [kind, length] = [bytes.readUInt32LE(at), bytes.readUInt32LE(at + 4)];
    if (kind === 1) linkType = bytes.readUInt16LE(at + 8);
    if (kind === 6) {
      const kept = bytes.readUInt32LE(at + 20);
      const options = at + 28 + Math.ceil(kept / 4) * 4;
      // epb_flags: its lowest two bits are the direction.
      const flags = bytes.readUInt16LE(options) === 2 ? bytes.readUInt32LE(options + 4) & 3 : 0;
      const direction = ['?', 'in', 'out', '?'][flags] as string;
      packets.push({ direction, data: bytes.subarray(at + 28, at + 28 + kept) });
    }
    at += length;
  }
  return { linkType, packets };
}
