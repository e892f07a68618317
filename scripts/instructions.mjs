#!/usr/bin/env node
// Counts the instructions of the core's hot paths (crates/manager/examples/hot_paths.rs) under valgrind, and compares them
// with bench/instructions.json. Unlike seconds they are the same on a busy machine. Part of `npm test`.
//   node scripts/instructions.mjs [path..]    compares (only those paths)
//   node scripts/instructions.mjs --update    accepts what is counted now

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { ensureCargo, ensurePrograms, fail, isCi, must, root, say } from './support.mjs';

const { values: options, positionals: only } = parseArgs({
  options: { update: { type: 'boolean', default: false } },
  allowPositionals: true,
});

const tableFile = path.join(root, 'bench', 'instructions.json');
const accept = 'If that is meant, accept it by `node scripts/instructions.mjs --update` and say why in the commit.';
const table = JSON.parse(readFileSync(tableFile, 'utf8'));
const arch = process.arch;

/** Ends without a verdict, which CI does not accept. */
function skip(why) {
  say(`NOT RUN: the instruction gates of the core's hot paths: ${why}`);
  if (isCi) fail('CI runs skip nothing');
  process.exit(0);
}

if (process.platform !== 'linux' || !['x64', 'arm64'].includes(arch)) {
  // Nothing to install would help, and CI tests these systems otherwise.
  say(`the instruction gates need valgrind on Linux; this is ${process.platform} on ${arch}`);
  process.exit(0);
}
if (ensurePrograms({ valgrind: 'valgrind' }, 'the instruction gates').length > 0) skip('valgrind is not installed');
ensureCargo();
const rustc = spawnSync('rustc', ['--version'], { encoding: 'utf8' }).stdout.split(' ')[1];
// With the artefacts that `cargo test` made.
must('cargo', ['build', '--workspace', '--locked', '--quiet', '--example', 'hot_paths'], { quiet: true });

const counts = count();

if (options.update) {
  table.rustc = rustc;
  table.counts[arch] = { ...(only.length > 0 ? table.counts[arch] : {}), ...counts };
  writeFileSync(tableFile, `${JSON.stringify(table, null, 2)}\n`);
  say(`wrote ${path.relative(process.cwd(), tableFile)}`);
}
process.exit(compare() ? 0 : 1);

/** Instructions an operation, by path. */
function count() {
  const folder = mkdtempSync(path.join(tmpdir(), 'usernet-instructions-'));
  try {
    const target = process.env.CARGO_TARGET_DIR ?? path.join(root, 'target');
    const result = spawnSync(
      'valgrind',
      [
        '--quiet',
        '--tool=callgrind',
        '--instr-atstart=no',
        '--collect-atstart=no',
        `--callgrind-out-file=${folder}/out`,
        path.join(target, 'debug', 'examples', 'hot_paths'),
        ...only,
      ],
      {
        // The C library copies memory in a way that it picks by the processor: here the one that all have.
        env: { ...process.env, GLIBC_TUNABLES: 'glibc.cpu.hwcaps=-ERMS,-AVX512F,-AVX2,-AVX,-AVX_Fast_Unaligned_Load' },
        stdio: ['ignore', 'inherit', 'inherit'],
      },
    );
    if (result.status !== 0) fail(`hot_paths under valgrind ended with ${result.status ?? result.signal}`);
    const dumps = readdirSync(folder).map((name) => readFileSync(path.join(folder, name), 'utf8'));
    const entries = dumps.flatMap((dump) => {
      const [, name, operations] = /^desc: Trigger: Client Request: (.+)\/(\d+)$/m.exec(dump) ?? [];
      const [, total] = /^totals: (\d+)$/m.exec(dump) ?? [];
      return name === undefined ? [] : [[name, Math.round(Number(total) / Number(operations))]];
    });
    if (entries.length === 0) fail(`no path was counted${only.length > 0 ? `: are there ${only.join(', ')}?` : ''}`);
    return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Prints the counts and what is wrong with them; whether nothing is. */
function compare() {
  const problems = [];
  const percent = (is, was) => `${is >= was ? '+' : ''}${((is / was - 1) * 100).toFixed(1)}%`;
  // Another compiler makes other instructions; what follows from the numbers of one run holds all the same.
  const sameCompiler = rustc === table.rustc;
  for (const [name, is] of Object.entries(counts)) {
    const was = table.counts[arch]?.[name];
    const change = was === undefined ? 'not in the table' : percent(is, was);
    process.stdout.write(`${name.padEnd(16)}${String(is).padStart(9)} instructions an operation  ${change}\n`);
    if (was === undefined) {
      if (table.counts[arch] !== undefined) problems.push(`${name}: not in bench/instructions.json. ${accept}`);
    } else if (sameCompiler && is > was * (1 + table.tolerance)) {
      problems.push(
        `${name}: was ${was} instructions an operation, is ${is} (${change}; ${table.tolerance * 100}% are allowed). ${accept}`,
      );
    } else if (sameCompiler && is < was * (1 - table.tolerance)) {
      say(`${name} got better: keep it so by \`node scripts/instructions.mjs --update\``);
    }
  }
  for (const [few, many, tolerance] of table.alike) {
    if (counts[few] === undefined || counts[many] === undefined) continue;
    if (counts[many] > counts[few] * (1 + tolerance)) {
      problems.push(
        `${many} costs ${counts[many]} instructions, ${few} ${counts[few]} (${percent(counts[many], counts[few])}; ${tolerance * 100}% are ` +
          'allowed): it must not grow with the number of connections.',
      );
    }
  }
  if (only.length === 0) {
    for (const name of Object.keys(table.counts[arch] ?? {})) {
      if (counts[name] === undefined) problems.push(`${name}: in bench/instructions.json, but not counted. ${accept}`);
    }
  }
  if (table.counts[arch] === undefined)
    say(`bench/instructions.json has no counts of ${arch}: nothing to compare with`);
  else if (!sameCompiler) say(`counted with rustc ${table.rustc}, and this is ${rustc}: compared, not judged`);
  for (const problem of problems) process.stderr.write(`== ${problem}\n`);
  if (problems.length === 0) say("the instructions of the core's hot paths are what they should be");
  return problems.length === 0;
}
