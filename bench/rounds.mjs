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

const here = path.dirname(fileURLToPath(import.meta.url));
const MEASURES = {
  download: { title: 'bulk download', unit: 'Gbit/s' },
  upload: { title: 'bulk upload', unit: 'Gbit/s' },
  rtt1: { title: '64-byte round trips, 1 connection', unit: '1/s' },
  rtt64: { title: '64-byte round trips, 64 connections', unit: '1/s' },
  connect: { title: 'connections', unit: '1/s' },
};

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    measure: { type: 'string', default: Object.keys(MEASURES).join(',') },
    bytes: { type: 'string', default: String(512 << 20) },
    seconds: { type: 'string', default: '2' },
  },
});

/** Starts a server process and waits until it listens. */
async function startServer(kind, command, args) {
  const child = fork(path.join(here, 'server.mjs'), [kind], {
    execPath: command,
    execArgv: args,
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

/** Runs the client program once; gives its numbers. */
async function runClient(measure, host) {
  const args = [path.join(here, 'client.mjs'), measure, host, options.bytes, options.seconds];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk) => {
    text += chunk;
  });
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`the client of ${measure} against ${host} ended with exit code ${code}`);
  return JSON.parse(text);
}

const median = (numbers) => {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};
const show = (number) => (number >= 100 ? Math.round(number).toLocaleString('en-US') : number.toFixed(2));

const report = {
  node: process.version,
  cpus: os.cpus().length,
  kernel: os.release(),
  options,
  measures: {},
};
process.stdout.write(
  `Node ${process.version}, ${os.cpus().length} CPUs, Linux ${os.release()}; medians of ${options.rounds} rounds\n`,
);
process.stdout.write(
  `${'measure'.padEnd(38)}${'usernet over TUN'.padStart(20)}${"Node's net over veth".padStart(24)}${'ratio'.padStart(10)}\n`,
);
let failed = false;
try {
  for (const measure of options.measure.split(',')) {
    const { title, unit } =
      MEASURES[measure] ??
      (() => {
        throw new Error(`no measure ${measure}: ${Object.keys(MEASURES)}`);
      })();
    const results = { usernet: [], kernel: [] };
    // One round of each is for warming up. The sides take turns, so that a slow moment of the machine hits both.
    for (let round = 0; round <= Number(options.rounds); round++) {
      for (const side of ['usernet', 'kernel']) {
        const result = await runClient(measure, sides[side].host);
        if (round > 0) results[side].push(result);
      }
    }
    const [ours, theirs] = ['usernet', 'kernel'].map((side) => median(results[side].map((result) => result.value)));
    const line = [
      `${show(ours)} ${unit}`.padStart(20),
      `${show(theirs)} ${unit}`.padStart(24),
      (ours / theirs).toFixed(2).padStart(10),
    ];
    process.stdout.write(`${title.padEnd(38)}${line.join('')}\n`);
    if (results.usernet[0]?.p50 !== undefined) {
      for (const percentile of ['p50', 'p99']) {
        const [own, other] = ['usernet', 'kernel'].map((side) =>
          median(results[side].map((result) => result[percentile])),
        );
        const row = [
          `${show(own)} us`.padStart(20),
          `${show(other)} us`.padStart(24),
          (own / other).toFixed(2).padStart(10),
        ];
        process.stdout.write(`${`  ${percentile}, less is better`.padEnd(38)}${row.join('')}\n`);
      }
    }
    report.measures[measure] = { unit, usernet: ours, kernel: theirs, ratio: ours / theirs, results };
  }
} catch (error) {
  failed = true;
  process.stderr.write(`${error.stack}\n`);
} finally {
  for (const { child } of Object.values(sides)) child.disconnect();
}
const out = path.join(here, 'out');
mkdirSync(out, { recursive: true });
writeFileSync(
  path.join(out, `${new Date().toISOString().replace(/[:.]/g, '-')}.json`),
  `${JSON.stringify(report, null, 2)}\n`,
);
process.exitCode = failed ? 1 : 0;
