// The rounds of the benchmark, in the client's network namespace (run.mjs made it): starts the two servers, then the client
// program against one and the other in turn, and compares medians.

import { execFile, execFileSync, fork, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { findProgram } from '../scripts/programs.cjs';
import { chart } from './chart.mjs';
import { IMPAIRED_LINK, PEERS, startPeer } from './peers.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const CLIENT = path.join(here, '..', 'target', 'bench-client');
/** What the device alone allows (device.c). */
const DEVICE = path.join(here, '..', 'target', 'bench-device');
const BULK = { unit: 'Gbit/s', bulk: true };
/** A link of 100 Mbit/s with a round-trip time of 20 ms, and a queue that holds as much. */
const SLOW = { rate: 100_000_000, delay: 10, queue: 250_000 };
/** Two of our own sides: what is in the column of Node's `net` is then usernet on a TUN. */
const TAP = { pair: ['tap', 'usernet'] };
/** Likewise a TUN without offload, where segments are merged and cut by us, beside one where they are not. */
const PLAIN = { pair: ['plain', 'alone'] };
/** The server's process and its sockets in the kernel. */
const IDLE = { unit: 'bytes', less: true, run: idle, limit: 3277 };
/**
 * `bar`: the ratio to Node's `net` that is asked of us (issue 7). `less`: less is better, and the ratio is turned round.
 * `limit`: a bar that is no ratio. `peers`: other servers can do it, too. `device`: what the device alone is asked for, which
 * is the limit of what anybody can do with it. `seconds`: of a run, where not what was asked for.
 * `most`: rounds at most.
 */
const MEASURES = {
  upload: { title: 'bulk in', bar: 1.3, ...BULK, peers: true, device: ['read'] },
  download: { title: 'bulk out', bar: 1.0, ...BULK, peers: true, device: ['write'] },
  rtt1: {
    title: '64-byte round trips, 1 connection',
    unit: '1/s',
    bar: 1.0,
    peers: true,
    device: ['echo', 'plain'],
  },
  rtt64: { title: '64-byte round trips, 64 connections', unit: '1/s', bar: 1.8, peers: true },
  deep64: { title: 'the same, 16 deep', unit: '1/s', bar: 1.4, peers: true },
  connect: { title: 'connect, 1 byte, reset', unit: '1/s', bar: 3.0, peers: true },
  http64: { title: 'node:http keep-alive, 64 connections', unit: '1/s', bar: 1.2 },
  http256: { title: 'node:http keep-alive, 256 connections', unit: '1/s' },
  wrk64: { title: 'the same by wrk, 64 connections', unit: '1/s', run: wrk },
  ws64: { title: 'WebSocket echo of 64 bytes, 64 connections', unit: '1/s' },
  tls: { title: 'TLS, bulk in, client in Node', ...BULK, run: tlsUpload },
  active: { title: '64-byte round trips, 1% of connections', unit: '1/s', connections: 10_000 },
  // Where the link, and not a processor, is what is shared; long enough for windows to even out.
  fair: {
    title: "100 downloads over 100 Mbit/s, Jain's index",
    unit: '',
    limit: 0.95,
    pair: ['late', 'kernelLate'],
    seconds: 9,
  },
  loaded: {
    title: '1 KiB request during a download, 20 ms RTT',
    unit: 'ms',
    less: true,
    bar: 1.0,
    pair: ['late', 'kernelLate'],
  },
  udpin: { title: 'UDP in, 64-byte datagrams received', unit: '1/s', run: received },
  udpsegin: { title: 'UDP in, 1,200-byte datagrams, 50 a call (UDP_SEGMENT)', unit: '1/s', run: received },
  udpout: { title: 'UDP out, 64-byte datagrams', unit: '1/s' },
  tapin: { title: 'bulk in over a TAP, beside a TUN', ...BULK, ...TAP, client: 'upload' },
  tapout: { title: 'bulk out over a TAP, beside a TUN', ...BULK, ...TAP, client: 'download' },
  plainin: {
    title: 'bulk in, TUN without offload, merged or not',
    ...BULK,
    ...PLAIN,
    client: 'upload',
    device: ['read', 'plain'],
  },
  plainout: {
    title: 'bulk out, TUN without offload, cut late or not',
    ...BULK,
    ...PLAIN,
    client: 'download',
    device: ['write', 'plain'],
  },
  idle10k: { title: 'memory of an idle connection, of 10,000', ...IDLE, connections: 10_000 },
  idle100k: { title: 'memory of an idle connection, of 100,000', ...IDLE, connections: 100_000, most: 1 },
  'link-bulk': {
    title: 'in-process link, bulk, to 127.0.0.1',
    unit: 'Gbit/s',
    bar: 1.5,
    run: inProcess('link', 'bulk'),
  },
  'link-rtt': { title: 'in-process link, round trips', unit: '1/s', bar: 1.5, run: inProcess('link', 'rtt') },
  'loop-bulk': { title: 'loopback, bulk, to 127.0.0.1', unit: 'Gbit/s', bar: 1.5, run: inProcess('loopback', 'bulk') },
  'loop-rtt': { title: 'loopback, round trips', unit: '1/s', bar: 1.5, run: inProcess('loopback', 'rtt') },
};

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '7' },
    measure: { type: 'string', default: Object.keys(MEASURES).join(',') },
    bytes: { type: 'string' },
    seconds: { type: 'string', default: '3' },
    peers: { type: 'string', default: 'c,manager' },
  },
});

const names = options.measure.split(',');
for (const name of names) {
  if (MEASURES[name] === undefined) {
    throw new Error(`--measure ${name}: there is no such row; there are ${Object.keys(MEASURES).join(', ')}`);
  }
}
for (const name of options.peers.split(',').filter((name) => name !== '')) {
  if (PEERS[name] === undefined) throw new Error(`--peers ${name}: there are ${Object.keys(PEERS).join(', ')}`);
}
for (const name of ['rounds', 'seconds', 'bytes']) {
  if (options[name] !== undefined && !(Number(options[name]) > 0)) {
    throw new Error(`--${name} ${options[name]}: must be a number above 0`);
  }
}

/** Bytes of a bulk run until it is known how many go in the time that a run is to take; and most. */
const FIRST_BYTES = 2 ** 30;
const MOST_BYTES = 2 ** 36;
/** Bytes of each run of the measure that runs now. */
let volume = 0;

/** Others may use so many cores while a round runs; of rounds in which they use more, so many times as many are run again. */
const QUIET = 0.2;
const AGAIN = 2;

/** Connections of one client where there are many, and the last byte of the first client's address. */
const A_CLIENTS = 15_000;
const FIRST_SOURCE = 101;

/** Why a row cannot be had here. */
class Unavailable extends Error {}

// A certificate for this run, where openssl is there to make it.
const certificate = (() => {
  if (findProgram('openssl') === null) return undefined;
  const file = path.join(here, '..', 'target', 'bench-certificate.pem');
  const made = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '30'];
  execFileSync('openssl', ['req', ...made, '-subj', '/CN=bench', '-keyout', file, '-out', `${file}.crt`], {
    stdio: 'ignore',
  });
  writeFileSync(file, readFileSync(file, 'utf8') + readFileSync(`${file}.crt`, 'utf8'));
  return file;
})();

/** Starts a server process and waits until it listens. */
function startServer(kind, command, args, env) {
  const child = fork(path.join(here, 'server.mjs'), [kind], {
    execPath: command,
    execArgv: [...args, '--expose-gc'],
    env: { ...process.env, BENCH_CERTIFICATE: certificate ?? '', BENCH_IMPAIRMENT: JSON.stringify(SLOW), ...env },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  return { child, listening: once(child, 'message') };
}

function ip(...args) {
  execFileSync('ip', args);
}

ip('link', 'set', 'lo', 'up');
async function withoutOffload(kind, device, network, env) {
  const { child, listening } = startServer(kind, process.execPath, [], env);
  await listening;
  ip('address', 'add', `${network}.1/24`, 'dev', device);
  return { child, host: `${network}.2` };
}

/** How the sides begin. */
const begin = {
  usernet: async () => {
    const { child, listening } = startServer('usernet', process.execPath, []);
    await listening;
    ip('address', 'add', '198.18.0.1/24', 'dev', 'un0');
    ip('link', 'set', 'un0', 'up');
    moreAddresses('198.18.0', 'un0');
    return { child, host: '198.18.0.2' };
  },
  // Its server has a namespace of its own, at the far end of a veth pair.
  kernel: async () => {
    const { child, listening } = startServer('kernel', 'unshare', ['--net', process.execPath]);
    await listening;
    ip('link', 'add', 've0', 'type', 'veth', 'peer', 'name', 've1', 'netns', String(child.pid));
    ip('address', 'add', '198.18.2.1/24', 'dev', 've0');
    ip('link', 'set', 've0', 'up');
    moreAddresses('198.18.2', 've0');
    await configure(child, 've1', '198.18.2');
    return { child, host: '198.18.2.2' };
  },
  tap: async () => {
    const { child, listening } = startServer('tap', process.execPath, []);
    await listening;
    ip('address', 'add', '198.18.4.1/24', 'dev', 'tap0');
    ip('link', 'set', 'tap0', 'up');
    return { child, host: '198.18.4.2' };
  },
  plain: () => withoutOffload('plain', 'un2', '198.18.20', {}),
  alone: () => withoutOffload('alone', 'un3', '198.18.18', { USERNET_COALESCE: 'never' }),
  // Behind a slow link: in ours the device is impaired, the kernel's is between two TUNs.
  late: async () => {
    const { child, listening } = startServer('late', process.execPath, []);
    await listening;
    ip('address', 'add', '198.18.14.1/24', 'dev', 'un1');
    return { child, host: '198.18.14.2' };
  },
  kernelLate: async () => {
    if (!existsSync(IMPAIRED_LINK)) throw new Unavailable('crates/manager/examples/impaired_link.rs was not built');
    const { child, listening } = startServer('kernel', 'unshare', ['--net', process.execPath]);
    await listening;
    const { rate, delay, queue } = SLOW;
    const link = spawn(IMPAIRED_LINK, ['late0', 'late1', child.pid, rate, delay, queue].map(String), {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    child.once('exit', () => link.kill());
    await Promise.race([once(link.stdout, 'data'), once(link, 'exit')]);
    ip('address', 'add', '198.18.16.1/24', 'dev', 'late0');
    await configure(child, 'late1', '198.18.16');
    return { child, host: '198.18.16.2' };
  },
};

/** Has a server over the kernel's sockets configure its end of a link. */
async function configure(child, device, network) {
  const configured = once(child, 'message');
  child.send({ device, network });
  await configured;
}

const sides = {};
for (const side of ['usernet', 'kernel', 'tap']) sides[side] = await begin[side]();

const peers = {};
for (const peer of options.peers.split(',').filter((name) => name !== '')) {
  const started = await startPeer(peer);
  if (started !== undefined) peers[peer] = started;
}

/** Ends a side's server and starts a new one. */
async function restart(side) {
  const { child } = sides[side];
  const gone = once(child, 'exit');
  child.disconnect();
  await gone;
  // The veth pair goes when the kernel has done away with the namespace, some time after the process.
  if (side === 'kernel') spawnSync('ip', ['link', 'delete', 've0'], { stdio: 'ignore' });
  sides[side] = await begin[side]();
}

/** The addresses that crowds come from: one has too few ports. */
function moreAddresses(network, device) {
  for (let i = FIRST_SOURCE; i < FIRST_SOURCE + 7; i++) ip('address', 'add', `${network}.${i}/24`, 'dev', device);
}

/** What a side's server has used so far. */
async function usage(side) {
  const answer = once(sides[side].child, 'message');
  sides[side].child.send('usage');
  return (await answer)[0];
}

function start(command, args) {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = [];
  child.stdout.setEncoding('utf8').on('data', (text) => lines.push(text));
  return {
    child,
    result: async () => {
      const [code] = await once(child, 'close');
      if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with exit code ${code}`);
      return JSON.parse(lines.join(''));
    },
  };
}

/** Runs the client program once; gives its numbers. */
async function runClient(measure, side, { connections, seconds = options.seconds } = {}) {
  const before = await usage(side);
  const bytes = String(connections ?? volume);
  const result = await start(CLIENT, [measure, sides[side].host, bytes, String(seconds)]).result();
  const after = await usage(side);
  return { ...result, cpu: after.cpu - before.cpu, datagrams: after.datagrams - before.datagrams };
}

/** Datagrams that the server's program had, of those that it was flooded with. */
async function received(measure, side) {
  const { seconds, cpu, datagrams } = await runClient(measure, side);
  return { value: datagrams / seconds, count: datagrams, cpu };
}

/** What the kernel's allocator holds for sockets and what hangs on them, bytes; null where it does not say. */
function kernelMemory() {
  let text;
  try {
    text = readFileSync('/proc/slabinfo', 'utf8');
  } catch {
    return null;
  }
  const sockets = /^(?:TCP|sock_inode_cache|filp|eventpoll_\w+|ep_item|request_sock_TCP) +(\d+) +\d+ +(\d+)/gm;
  let sum = 0;
  for (const [, objects, size] of text.matchAll(sockets)) sum += Number(objects) * Number(size);
  return sum;
}

/**
 * Bytes that the server's process has more of for each connection that is open and silent, and bytes that the kernel has
 * more of for both ends' sockets. In a fresh process that has had a thousand: what an earlier crowd left behind would be
 * used again, and not seen.
 */
async function idle(_client, side, { connections }) {
  if (side === 'kernel' && connections + 1000 > DESCRIPTORS) return null;
  await restart(side);
  await (await hold(side, 1000)).release();
  const before = await usage(side);
  const kernelBefore = kernelMemory();
  const { release } = await hold(side, connections);
  // What its accepting left behind is collected first.
  await usage(side);
  const after = await usage(side);
  const kernelAfter = kernelMemory();
  await release();
  return {
    value: (after.memory - before.memory) / connections,
    kernel: kernelBefore === null ? 0 : (kernelAfter - kernelBefore) / connections,
  };
}

/** Opens so many connections, of so many clients; resolves when all are open, to what closes them. */
async function hold(side, connections) {
  const clients = [];
  for (let left = connections, from = FIRST_SOURCE; left > 0; left -= A_CLIENTS, from++) {
    const { child, result } = start(CLIENT, [
      'idle',
      sides[side].host,
      String(Math.min(left, A_CLIENTS)),
      String(from),
    ]);
    const ended = result();
    clients.push({ child, ended });
    // A client that fails says nothing: its end rejects.
    await Promise.race([once(child.stdout, 'data'), ended]);
  }
  return {
    release: () => {
      for (const { child } of clients) child.stdin.end();
      return Promise.all(clients.map(({ ended }) => ended));
    },
  };
}

/** Descriptors that a process may have here, each of the kernel's connections among them. */
const DESCRIPTORS = Number(execFileSync('sh', ['-c', 'ulimit -n'], { encoding: 'utf8' }));

/** The row of an idle connection: what the kernel holds for the client is in both sides' numbers, and in ours nothing else. */
function idleRows({ title, unit, limit }, results) {
  if (results.kernel[0] === null) {
    process.stdout.write(`  Node's net may have ${DESCRIPTORS} descriptors here (ulimit -n), so usernet alone:\n`);
    row(title, unit, median(results.usernet.map((r) => r.value)), undefined, { limit });
    return;
  }
  const [ours, theirs] = ['usernet', 'kernel'].map((side) => ({
    process: median(results[side].map((r) => r.value)),
    kernel: median(results[side].map((r) => r.kernel)),
  }));
  const sockets = Math.max(0, theirs.kernel - ours.kernel);
  row(`  of the process alone`, unit, ours.process, theirs.process, { less: true });
  row(title, unit, ours.process, theirs.process + sockets, { less: true, limit });
}

/** Bulk over TLS, from a client in Node. */
async function tlsUpload(_client, side) {
  if (!certificate) throw new Unavailable('openssl is not installed, which makes the certificate');
  const before = await usage(side);
  const result = await start(process.execPath, [
    path.join(here, 'tls-client.mjs'),
    sides[side].host,
    String(volume),
  ]).result();
  return { ...result, cpu: (await usage(side)).cpu - before.cpu };
}

/** Requests a second by wrk. */
async function wrk(_client, side) {
  if (findProgram('wrk') === null) throw new Unavailable('wrk is not installed (Debian: apt-get install wrk)');
  const url = `http://${sides[side].host}/`;
  const args = ['-t1', '-c64', `-d${Math.ceil(Number(options.seconds))}s`, url];
  const { stdout } = await promisify(execFile)('wrk', args);
  return { value: Number(/^Requests\/sec: +([\d.]+)/m.exec(stdout)[1]) };
}

function inProcess(where, what) {
  return (_client, side) =>
    start('unshare', [
      '--net',
      process.execPath,
      path.join(here, 'inprocess.mjs'),
      side === 'kernel' ? 'kernel' : `usernet-${where}`,
      what,
      String(volume),
      options.seconds,
    ]).result();
}

/** Share of the machine's CPU time that was used since the last call, in cores. */
const busy = (() => {
  let last = os.cpus();
  return () => {
    const cpus = os.cpus();
    const used = cpus.map(
      ({ times }, i) =>
        times.user + times.sys + times.irq - (last[i].times.user + last[i].times.sys + last[i].times.irq),
    );
    const all = cpus.map(
      ({ times }, i) =>
        Object.values(times).reduce((a, b) => a + b) - Object.values(last[i].times).reduce((a, b) => a + b),
    );
    last = cpus;
    return (
      (used.reduce((a, b) => a + b) /
        Math.max(
          1,
          all.reduce((a, b) => a + b),
        )) *
      cpus.length
    );
  };
})();

const median = (numbers) => {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};
const show = (number) => (number >= 100 ? Math.round(number).toLocaleString('en-US') : number.toFixed(2));

/** What else the machine does, in cores: a moment in which we do nothing is looked at. */
async function others(ms) {
  busy();
  await new Promise((resolve) => setTimeout(resolve, ms));
  return busy();
}

// The numbers are worth little where this is above 0.2 cores.
const foreign = await others(500);
const report = {
  node: process.version,
  cpus: os.cpus().length,
  cpu: os.cpus()[0]?.model,
  kernel: os.release(),
  foreign,
  options,
  rows: [],
};
process.stdout.write(
  `Node ${process.version}, ${os.cpus().length} x ${report.cpu}, Linux ${os.release()}; medians of ${options.rounds} rounds; ` +
    `others use ${foreign.toFixed(2)} cores${foreign > QUIET ? ' (MORE THAN 0.2: repeat on a quiet machine)' : ''}\n`,
);
const columns = ['usernet', "Node's net", 'ratio', 'bar'];
process.stdout.write(`${'measure'.padEnd(42)}${columns.map((c) => c.padStart(20)).join('')}\n`);

function row(title, unit, ours, theirs, { bar, less = false, limit } = {}) {
  const ratio = theirs === undefined ? undefined : less ? theirs / ours : ours / theirs;
  report.rows.push({ title, unit, usernet: ours, kernel: theirs, ratio, bar, limit });
  const cells = [ours, theirs].map((value) => (value === undefined ? '-' : `${show(value)} ${unit}`));
  cells.push(ratio?.toFixed(2) ?? '-', limit === undefined ? (bar?.toFixed(1) ?? '') : `${show(limit)} ${unit}`);
  process.stdout.write(`${title.padEnd(42)}${cells.map((cell) => cell.padStart(20)).join('')}\n`);
}

/** Runs the rounds of a measure and prints its rows. */
async function compare(measure) {
  const known = MEASURES[measure];
  const {
    title,
    unit,
    bar,
    limit,
    less,
    bulk,
    client = measure,
    pair = ['usernet', 'kernel'],
    run = runClient,
  } = known;
  const results = Object.fromEntries(pair.map((side) => [side, []]));
  for (const side of pair) sides[side] ??= await begin[side]();
  const hosts = Object.values(sides).map(({ host }) => host);
  if (new Set(hosts).size < hosts.length) throw new Error(`sides share an address: ${hosts.join(' ')}`);
  const beside = {};
  const alone = [];
  const rounds = Math.min(Number(options.rounds), known.most ?? Infinity);
  volume = Number(options.bytes ?? FIRST_BYTES);
  let [disturbed, before] = [0, await others(100)];
  // One round of each is for warming up. The sides take turns, so that a slow moment of the machine hits both.
  for (let round = run === idle ? 1 : 0; round <= rounds; round++) {
    const of = {};
    for (const side of round % 2 === 0 ? pair : pair.toReversed()) of[side] = await run(client, side, known);
    const after = await others(100);
    const quiet = Math.max(before, after) <= QUIET;
    before = after;
    if (round > 0 && !quiet && disturbed < AGAIN * rounds) {
      disturbed++;
      round--;
      continue;
    }
    for (const side of round > 0 ? pair : []) results[side].push(of[side]);
    if (round === 0 && bulk && options.bytes === undefined) {
      // From the next round on a run takes as long as was asked for.
      const rate = median(pair.map((side) => of[side].value)) * 1.25e8;
      volume = Math.round(Math.min(Math.max(rate * Number(options.seconds), FIRST_BYTES / 4), MOST_BYTES));
    }
    for (const peer of known.peers === true ? Object.keys(peers) : []) {
      const result = await start(CLIENT, [client, peers[peer].host, String(volume), options.seconds]).result();
      if (round > 0) (beside[peer] ??= []).push(result.value);
    }
    // In a namespace of its own, so that nothing else answers.
    if (known.device !== undefined) {
      const seconds = String(Math.min(Number(options.seconds), 2));
      const result = await start('unshare', ['--net', DEVICE, ...known.device, seconds]).result();
      if (round > 0) alone.push(result);
    }
  }
  if (run === idle) {
    idleRows(known, results);
    return;
  }
  if (disturbed > 0)
    process.stdout.write(`  ${disturbed} rounds were run again: others used more than ${QUIET} cores\n`);
  const [ours, theirs] = pair.map((side) => (what) => median(results[side].map(what)));
  row(
    title,
    unit,
    ours((r) => r.value),
    theirs((r) => r.value),
    { bar, less, limit },
  );
  for (const [peer, values] of Object.entries(beside)) {
    row(
      `  to ${PEERS[peer].title}`,
      unit,
      ours((r) => r.value),
      median(values),
    );
  }
  if (alone.length > 0) {
    row(
      '  to the device alone, no TCP',
      unit,
      ours((r) => r.value),
      median(alone.map((r) => r.value)),
    );
  }
  for (const percentile of results[pair[0]][0]?.p50 === undefined ? [] : ['p50', 'p99']) {
    const what = (result) => result[percentile];
    row(`  ${percentile}, less is better`, 'us', ours(what), theirs(what), {
      less: true,
      bar: measure === 'rtt1' ? 1.0 : undefined,
    });
    if (percentile === 'p50' && alone[0]?.p50 !== undefined) {
      row('  p50 to the device alone', 'us', ours(what), median(alone.map(what)), { less: true });
    }
  }
  if (results[pair[0]][0]?.worst !== undefined) {
    const worst = (result) => result.worst;
    row('  the longest of a run', unit, ours(worst), theirs(worst), { less: true });
    const mbits = (result) => result.mbits;
    row('  the download meanwhile', 'Mbit/s', ours(mbits), theirs(mbits));
  }
  // The server process's own time says something even where others use the machine.
  if (bulk) {
    const what = (result) => result.cpu / (volume / 1e9);
    row('  CPU seconds a GB, less is better', 's', ours(what), theirs(what), {
      less: true,
      bar: pair[1] === 'kernel' ? 1.0 : undefined,
    });
  } else if (results[pair[0]][0]?.count !== undefined) {
    const what = (result) => (result.cpu / result.count) * 1e6;
    row('  CPU time each, less is better', 'us', ours(what), theirs(what), { less: true });
  }
}

let failed = false;
try {
  for (const measure of names) {
    try {
      await compare(measure);
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      process.stdout.write(`${MEASURES[measure].title.padEnd(42)}  not to be had here: ${error.message}\n`);
    }
  }
} catch (error) {
  failed = true;
  process.stderr.write(`${error.stack}\n`);
} finally {
  for (const { child } of Object.values(sides)) child.disconnect();
  for (const { child } of Object.values(peers)) child.kill();
}
const out = path.join(here, 'out');
mkdirSync(out, { recursive: true });
const name = path.join(out, new Date().toISOString().replace(/[:.]/g, '-'));
writeFileSync(`${name}.json`, `${JSON.stringify(report, null, 2)}\n`);
writeFileSync(`${name}.svg`, chart(report));
process.stdout.write(`written: ${path.relative(process.cwd(), name)}.json and .svg\n`);
process.exitCode = failed ? 1 : 0;
