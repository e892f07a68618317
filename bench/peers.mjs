// Other servers that are measured beside, with the same client: what they are, how they are built and started.

import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { findProgram } from '../scripts/programs.cjs';
import { root } from '../scripts/support.mjs';

const target = process.env.CARGO_TARGET_DIR ?? path.join(root, 'target');
const peersTarget = path.join(root, 'target', 'bench-peers');
const goTools = [findProgram('go'), '/usr/local/go/bin/go'].find((file) => file !== null && existsSync(file));

/** The Rust program on a TUN with several queues, a shard for each: what a second processor gives where there is one. */
function manyQueues(queues, network) {
  return {
    title: `Rust on crates/manager, ${queues} queues`,
    network,
    args: [String(queues)],
    program: path.join(target, 'release', 'examples', 'bench_server'),
    build: () => ['cargo', ['build', '--release', '--locked', '-p', 'usernet-manager', '--example', 'bench_server']],
  };
}

/** This benchmark's own server on a TUN with so many queues: the same rows for 1, 2 and 4 say whether JavaScript scales. */
function nodeQueues(queues, network) {
  return {
    title: `usernet, ${queues} ${queues === 1 ? 'queue' : 'queues'}`,
    network,
    program: process.execPath,
    command: (address) => [path.join(root, 'bench', 'server.mjs'), 'queues', address, String(queues)],
    build: () => [process.execPath, ['--version']],
  };
}

/** By the names that `--peers` takes. `network`: the first three bytes of its addresses. */
export const PEERS = {
  c: {
    title: 'C, epoll, veth',
    network: '198.18.6',
    program: path.join(root, 'target', 'bench-server'),
    build: (program) => ['cc', ['-O2', '-o', program, path.join(root, 'bench', 'server.c')]],
  },
  manager: {
    title: 'Rust on crates/manager, TUN',
    network: '198.18.8',
    program: path.join(target, 'release', 'examples', 'bench_server'),
    build: () => ['cargo', ['build', '--release', '--locked', '-p', 'usernet-manager', '--example', 'bench_server']],
  },
  queues2: manyQueues(2, '198.18.22'),
  queues4: manyQueues(4, '198.18.24'),
  node1: nodeQueues(1, '198.18.26'),
  node2: nodeQueues(2, '198.18.28'),
  node4: nodeQueues(4, '198.18.30'),
  gvisor: {
    title: "gVisor's netstack, TUN",
    network: '198.18.10',
    program: path.join(peersTarget, 'gvisor'),
    build: (program) => [goTools, ['build', '-C', path.join(root, 'bench', 'peers', 'gvisor'), '-o', program, '.']],
    needs: goTools === undefined ? 'go is not installed (https://go.dev/dl)' : undefined,
  },
  smoltcp: {
    title: 'smoltcp, TUN',
    network: '198.18.12',
    program: path.join(peersTarget, 'release', 'bench-smoltcp'),
    build: () => [
      'cargo',
      ['build', '--release', '--manifest-path', path.join(root, 'bench', 'peers', 'smoltcp', 'Cargo.toml')],
    ],
    env: { CARGO_TARGET_DIR: peersTarget },
  },
};

/** The program that is a slow link between two kernels. */
export const IMPAIRED_LINK = path.join(target, 'release', 'examples', 'impaired_link');

/** Builds those peers; what cannot be built is said, and left out where it is to be started. */
export function buildPeers(names) {
  const link = ['build', '--release', '--locked', '-p', 'usernet-manager', '--example', 'impaired_link'];
  if (spawnSync('cargo', link, { cwd: root, stdio: 'inherit' }).status !== 0) {
    process.stdout.write('the slow link between kernels does not build\n');
  }
  for (const name of names) {
    const { title, build, program, needs, env } = known(name);
    if (needs === undefined) {
      const [command, args] = build(program);
      const { status } = spawnSync(command, args, { cwd: root, stdio: 'inherit', env: { ...process.env, ...env } });
      if (status === 0) continue;
    }
    process.stdout.write(`${title}: not to be had here: ${needs ?? 'it does not build'}\n`);
  }
}

/** Starts a peer and gives it a way to this namespace: its process and address; undefined where it was not built. */
export async function startPeer(name) {
  const { network, program, args: more = [], command: own } = known(name);
  if (!existsSync(program)) return undefined;
  const ip = (...args) => execFileSync('ip', args);
  const host = `${network}.2`;
  const overVeth = name === 'c';
  const [command, args] = overVeth
    ? ['unshare', ['--net', program]]
    : [program, own?.(`${host}/24`) ?? [`bench-${name}`, `${host}/24`, ...more]];
  if (name === 'gvisor' || name === 'smoltcp') ip('tuntap', 'add', 'dev', `bench-${name}`, 'mode', 'tun');
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  await Promise.race([
    once(child.stdout, 'data'),
    once(child, 'exit').then(([code]) => {
      throw new Error(`${program} ended with ${code}`);
    }),
  ]);
  const device = overVeth ? 'bench-c0' : `bench-${name}`;
  if (overVeth) {
    ip('link', 'add', device, 'type', 'veth', 'peer', 'name', 'bench-c1', 'netns', String(child.pid));
    const there = ['--target', String(child.pid), '--net', 'ip'];
    execFileSync('nsenter', [...there, 'address', 'add', `${host}/24`, 'dev', 'bench-c1']);
    execFileSync('nsenter', [...there, 'link', 'set', 'bench-c1', 'up']);
  }
  ip('address', 'add', `${network}.1/24`, 'dev', device);
  ip('link', 'set', device, 'txqueuelen', '5000', 'up');
  return { child, host };
}

function known(name) {
  const peer = PEERS[name];
  if (peer === undefined) throw new Error(`no peer ${name}: there are ${Object.keys(PEERS).join(', ')}`);
  return peer;
}
