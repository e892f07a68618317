// The rounds of the benchmark, in the client's network namespace (run.mjs made it): starts the two servers, then the client
// program against one and the other in turn, and compares medians.

import { execFileSync, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { chart } from './chart.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const CLIENT = path.join(here, '..', 'target', 'bench-client');
const BULK = { unit: 'Gbit/s', bulk: true };
/** Two of our own sides: what is in the column of Node's `net` is then usernet on a TUN. */
const TAP = { pair: ['tap', 'usernet'] };
/** `bar`: the ratio to Node's `net` that is asked of us (issue 7). `less`: less is better, and the ratio is turned round. */
const MEASURES = {
  upload: { title: 'bulk in', bar: 1.3, ...BULK },
  download: { title: 'bulk out', bar: 1.0, ...BULK },
  rtt1: { title: '64-byte round trips, 1 connection', unit: '1/s', bar: 1.0 },
  rtt64: { title: '64-byte round trips, 64 connections', unit: '1/s', bar: 1.8 },
  deep64: { title: 'the same, 16 deep', unit: '1/s', bar: 1.4 },
  connect: { title: 'connect, 1 byte, reset', unit: '1/s', bar: 3.0 },
  http64: { title: 'node:http keep-alive, 64 connections', unit: '1/s', bar: 1.2 },
  udpin: { title: 'UDP in, 64-byte datagrams received', unit: '1/s', run: received },
  udpout: { title: 'UDP out, 64-byte datagrams', unit: '1/s' },
  tapin: { title: 'bulk in over a TAP, beside a TUN', ...BULK, ...TAP, client: 'upload' },
  tapout: { title: 'bulk out over a TAP, beside a TUN', ...BULK, ...TAP, client: 'download' },
  idle: { title: 'memory of an idle connection (process)', unit: 'bytes', less: true, run: idle },
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
    bytes: { type: 'string', default: String(1 << 30) },
    seconds: { type: 'string', default: '3' },
    idle: { type: 'string', default: '10000' },
  },
});

/** Starts a server process and waits until it listens. */
async function startServer(kind, command, args) {
  const child = fork(path.join(here, 'server.mjs'), [kind], {
    execPath: command,
    execArgv: [...args, '--expose-gc'],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  return { child, listening: once(child, 'message') };
}

function ip(...args) {
  execFileSync('ip', args);
}

ip('link', 'set', 'lo', 'up');
const sides = {};
{
  const { child, listening } = await startServer('usernet', process.execPath, []);
  await listening;
  ip('address', 'add', '198.18.0.1/24', 'dev', 'un0');
  ip('link', 'set', 'un0', 'up');
  sides.usernet = { child, host: '198.18.0.2' };
}
{
  // The other side's server has a namespace of its own, at the far end of a veth pair.
  const { child, listening } = await startServer('kernel', 'unshare', ['--net', process.execPath]);
  await listening;
  ip('link', 'add', 've0', 'type', 'veth', 'peer', 'name', 've1', 'netns', String(child.pid));
  ip('address', 'add', '198.18.2.1/24', 'dev', 've0');
  ip('link', 'set', 've0', 'up');
  const configured = once(child, 'message');
  child.send('configure');
  await configured;
  sides.kernel = { child, host: '198.18.2.2' };
}

{
  const { child, listening } = await startServer('tap', process.execPath, []);
  await listening;
  ip('address', 'add', '198.18.4.1/24', 'dev', 'tap0');
  ip('link', 'set', 'tap0', 'up');
  sides.tap = { child, host: '198.18.4.2' };
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
async function runClient(measure, side) {
  const before = await usage(side);
  const result = await start(CLIENT, [measure, sides[side].host, options.bytes, options.seconds]).result();
  const after = await usage(side);
  return { ...result, cpu: after.cpu - before.cpu, datagrams: after.datagrams - before.datagrams };
}

/** Datagrams that the server's program had, of those that it was flooded with. */
async function received(measure, side) {
  const { seconds, cpu, datagrams } = await runClient(measure, side);
  return { value: datagrams / seconds, count: datagrams, cpu };
}

/** Bytes that the server process has more of for each connection that is open and silent. */
async function idle(_client, side) {
  const before = await usage(side);
  const { child, result } = start('sh', [
    '-c',
    'ulimit -n "$(ulimit -H -n)"; exec "$0" "$@"',
    CLIENT,
    'idle',
    sides[side].host,
    options.idle,
    '0',
  ]);
  const ended = result();
  // A client that fails says nothing: its end rejects.
  await Promise.race([once(child.stdout, 'data'), ended]);
  // What its accepting left behind is collected first.
  await usage(side);
  const after = await usage(side);
  child.stdin.end();
  await ended;
  return { value: (after.rss - before.rss) / Number(options.idle) };
}

function inProcess(where, what) {
  return (_client, side) =>
    start('unshare', [
      '--net',
      process.execPath,
      path.join(here, 'inprocess.mjs'),
      side === 'kernel' ? 'kernel' : `usernet-${where}`,
      what,
      options.bytes,
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

// What else the machine does: the numbers are worth little where this is above 0.2 cores.
busy();
await new Promise((resolve) => setTimeout(resolve, 500));
const foreign = busy();
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
    `others use ${foreign.toFixed(2)} cores${foreign > 0.2 ? ' (MORE THAN 0.2: repeat on a quiet machine)' : ''}\n`,
);
const columns = ['usernet', "Node's net", 'ratio', 'bar'];
process.stdout.write(`${'measure'.padEnd(42)}${columns.map((c) => c.padStart(20)).join('')}\n`);

function row(title, unit, ours, theirs, { bar, less = false } = {}) {
  const ratio = less ? theirs / ours : ours / theirs;
  report.rows.push({ title, unit, usernet: ours, kernel: theirs, ratio, bar });
  const cells = [`${show(ours)} ${unit}`, `${show(theirs)} ${unit}`, ratio.toFixed(2), bar?.toFixed(1) ?? ''];
  process.stdout.write(`${title.padEnd(42)}${cells.map((cell) => cell.padStart(20)).join('')}\n`);
}

let failed = false;
try {
  for (const measure of options.measure.split(',')) {
    const known = MEASURES[measure];
    if (known === undefined) throw new Error(`no measure ${measure}: ${Object.keys(MEASURES)}`);
    const { title, unit, bar, less, bulk, client = measure, pair = ['usernet', 'kernel'], run = runClient } = known;
    const results = Object.fromEntries(pair.map((side) => [side, []]));
    // One round of each is for warming up. The sides take turns, so that a slow moment of the machine hits both.
    for (let round = 0; round <= Number(options.rounds); round++) {
      for (const side of round % 2 === 0 ? pair : pair.toReversed()) {
        const result = await run(client, side);
        if (round > 0) results[side].push(result);
      }
    }
    const [ours, theirs] = pair.map((side) => (what) => median(results[side].map(what)));
    row(
      title,
      unit,
      ours((r) => r.value),
      theirs((r) => r.value),
      { bar, less },
    );
    for (const percentile of results[pair[0]][0]?.p50 === undefined ? [] : ['p50', 'p99']) {
      const what = (result) => result[percentile];
      row(`  ${percentile}, less is better`, 'us', ours(what), theirs(what), {
        less: true,
        bar: measure === 'rtt1' ? 1.0 : undefined,
      });
    }
    // The server process's own time says something even where others use the machine.
    if (bulk) {
      const what = (result) => result.cpu / (Number(options.bytes) / 1e9);
      row('  CPU seconds a GB, less is better', 's', ours(what), theirs(what), {
        less: true,
        bar: pair[1] === 'kernel' ? 1.0 : undefined,
      });
    } else if (results[pair[0]][0]?.count !== undefined) {
      const what = (result) => (result.cpu / result.count) * 1e6;
      row('  CPU time each, less is better', 'us', ours(what), theirs(what), { less: true });
    }
  }
} catch (error) {
  failed = true;
  process.stderr.write(`${error.stack}\n`);
} finally {
  for (const { child } of Object.values(sides)) child.disconnect();
}
const out = path.join(here, 'out');
mkdirSync(out, { recursive: true });
const name = path.join(out, new Date().toISOString().replace(/[:.]/g, '-'));
writeFileSync(`${name}.json`, `${JSON.stringify(report, null, 2)}\n`);
writeFileSync(`${name}.svg`, chart(report));
process.stdout.write(`written: ${path.relative(process.cwd(), name)}.json and .svg\n`);
process.exitCode = failed ? 1 : 0;
