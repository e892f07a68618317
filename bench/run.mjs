#!/usr/bin/env node
// `npm run bench`: usernet over a TUN beside Node's own `net` over a veth pair between two namespaces, with the same client
// program (client.c) over the kernel, in one run, as ratios. Seconds of one machine mean nothing elsewhere; ratios say more.
//   npm run bench                        every measure, 7 rounds of each side, alternating
//   npm run bench -- --rounds 3 --measure download,rtt1 --seconds 1
//       bulk moves what takes about so long, or --bytes 1073741824; rounds in which others use the machine are run again
//   npm run bench -- --peers c,manager,gvisor,smoltcp    other servers beside; the first two by default. queues2 and queues4
//       are manager's on a TUN with several queues, a shard each: their rows of 64 connections say whether it scales; so do
//       those of node1, node2 and node4, the same server as usernet's on so many queues:
//       npm run bench -- --peers node1,node2,node4 --measure rtt64,deep64,connect
// What the device alone allows, without any TCP (device.c), is printed beside the rows that it limits.
// Prints a table, and writes bench/out/<time>.json and .svg. USERNET_NO_BUILD=1 measures what is already built.

import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import netns from '../scripts/netns.cjs';
import { ensureCargo, ensureNodeModules, ensurePrograms, fail, must, root } from '../scripts/support.mjs';
import { buildPeers } from './peers.mjs';

ensureNodeModules();
if (process.env.USERNET_NO_BUILD !== '1') {
  ensureCargo();
  must(process.execPath, ['scripts/build.mjs'], { quiet: true });
}
if (process.platform === 'linux') ensurePrograms({ ip: 'iproute2', unshare: 'util-linux' }, 'the benchmarks');
const why = netns.whyNoTun();
if (why !== null) fail(`the benchmarks need a TUN in a namespace, and ${why.missing}. To grant it: ${why.remedy}`);

// Rust links with a C compiler, so there is one where this is built.
mkdirSync(path.join(root, 'target'), { recursive: true });
for (const [program, ...flags] of [['client'], ['device', '-pthread']]) {
  const paths = ['-o', path.join(root, 'target', `bench-${program}`), path.join(root, 'bench', `${program}.c`)];
  must('cc', ['-O2', ...flags, ...paths]);
}

const { values } = parseArgs({ options: { peers: { type: 'string', default: 'c,manager' } }, strict: false });
const peers = values.peers.split(',').filter((name) => name !== '');
if (process.env.USERNET_NO_BUILD !== '1') buildPeers(peers);

// Many connections need many descriptors; where no more may be had, the rows with many say so.
const descriptors = ['sh', '-c', 'ulimit -n 250000 2>/dev/null || ulimit -n "$(ulimit -H -n)"; exec "$0" "$@"'];
const inner = [...descriptors, process.execPath, path.join(root, 'bench', 'rounds.mjs'), ...process.argv.slice(2)];
const result = spawnSync('unshare', [...netns.unshareArgs(), ...inner], { cwd: root, stdio: 'inherit' });
process.exit(result.status ?? 1);
