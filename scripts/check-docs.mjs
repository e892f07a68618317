#!/usr/bin/env node
// Whether the documents still tell the truth about the tree: links and paths that exist, npm scripts that exist, a first
// line in every source file that says what it holds, and files short enough to be read.

import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { root, say } from './support.mjs';

/** Longest source file without its tests, lines. */
const LONGEST = 800;

const problems = [];
const documents = ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'SECURITY.md'];
const scripts = Object.keys(JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')).scripts);

for (const document of documents) {
  const text = readFileSync(path.join(root, document), 'utf8');
  const lineOf = (index) => text.slice(0, index).split('\n').length;
  const complain = (index, what) => problems.push(`${document}:${lineOf(index)}: ${what}`);
  for (const match of text.matchAll(/\]\((?!https?:|#|mailto:)([^)#]+)[^)]*\)/g)) {
    if (!existsSync(path.join(root, match[1]))) complain(match.index, `links to ${match[1]}, which does not exist`);
  }
  // A path in backticks: something with a slash below one of our folders.
  for (const match of text.matchAll(
    /`((?:crates|src|scripts|examples|bench|__test__|npm|\.ci|\.github)\/[\w./-]*)`/g,
  )) {
    if (!existsSync(path.join(root, match[1]))) complain(match.index, `names ${match[1]}, which does not exist`);
  }
  for (const match of text.matchAll(/\bnpm run ([\w:-]+)/g)) {
    if (!scripts.includes(match[1]))
      complain(match.index, `names npm run ${match[1]}, which package.json does not have`);
  }
}

for (const file of sources()) {
  const lines = readFileSync(path.join(root, file), 'utf8').split('\n');
  const first = lines[0].startsWith('#!') ? lines[1] : lines[0];
  if (!/^(\/\/!?|\/\*\*?|#) ?\S/.test(first ?? ''))
    problems.push(`${file}:1: the first line does not say what the file holds`);
  const testsAt = lines.findIndex((line) => /^#\[cfg\(test\)\]/.test(line));
  const length = testsAt < 0 ? lines.length : testsAt;
  const isTest = /(^|\/)(tests?|__test__|tests\.rs)(\/|\.|$)/.test(file) || /tests?\.rs$/.test(file);
  if (!isTest && length > LONGEST) problems.push(`${file}: ${length} lines without tests, more than ${LONGEST}`);
}

checkRfcs('docs/rfc.md');
checkRfcs('docs/rfc-9293.md');
checkAppendix('docs/rfc-9293.md');

for (const problem of problems) process.stdout.write(`${problem}\n`);
if (problems.length > 0) {
  say(`the documents and the tree disagree in ${problems.length} places`);
  process.exit(1);
}
say('documents: links, paths, scripts, first lines and lengths are as they should be');

/** Whether every code file and every test that the table of RFCs names exists. */
function checkRfcs(document) {
  const lines = readFileSync(path.join(root, document), 'utf8').split('\n');
  const read = (file) => (existsSync(path.join(root, file)) ? readFileSync(path.join(root, file), 'utf8') : undefined);
  lines.forEach((line, index) => {
    if (!line.startsWith('| ') || /^\| (-+|RFC|Section|What|Id) /.test(line)) return;
    const cells = line.split('|').slice(1, -1);
    const named = (cell) => [...(cell ?? '').matchAll(/`([^`]+)`/g)].map((match) => match[1]);
    const complain = (what) => problems.push(`${document}:${index + 1}: ${what}`);
    const tests = named(cells.at(-1));
    if (tests.length === 0) complain('names no test');
    const source = (file) =>
      file.startsWith('wire/') ? `crates/wire/src/${file.slice(5)}` : `crates/core/src/${file}`;
    for (const file of named(cells.at(-2))) {
      if (read(source(file)) === undefined) complain(`names ${file}, but there is no ${source(file)}`);
    }
    for (const test of tests) {
      const [where, name] = test.split('::');
      const file = where.includes('.rs')
        ? source(where)
        : where.startsWith('layers/')
          ? `crates/core/tests/${where}.rs`
          : where.startsWith('manager/')
            ? `crates/manager/tests/${where.slice(8)}.rs`
            : where.startsWith('sim/')
              ? `crates/sim/tests/${where.slice(4)}.rs`
              : `crates/core/tests/tcp/${where}.rs`;
      const text = read(file);
      // A function, or a script by its name.
      if (text === undefined) complain(`names ${test}, but there is no ${file}`);
      else if (name !== undefined && !new RegExp(`(fn ${name}\\(|^\\s+${name},$)`, 'm').test(text))
        complain(`names ${test}, which ${file} does not have`);
    }
  });
}

/** Whether every requirement that the appendix of RFC 9293 numbers has exactly one row. */
function checkAppendix(document) {
  const rows = readFileSync(path.join(root, document), 'utf8').matchAll(/^\| ([A-Z]+-\d+) /gm);
  const have = [...rows].map((match) => match[1]);
  const numbered = { MUST: 69, SHLD: 31, MAY: 18, REC: 1 };
  const wanted = Object.entries(numbered).flatMap(([kind, count]) =>
    Array.from({ length: count }, (_, index) => `${kind}-${index + 1}`),
  );
  for (const id of wanted) {
    const count = have.filter((other) => other === id).length;
    if (count !== 1) problems.push(`${document}: ${id} has ${count} rows`);
  }
  for (const id of have) {
    if (!wanted.includes(id)) problems.push(`${document}: RFC 9293 has no ${id}`);
  }
}

/** Every source file of ours, relative to the root. */
function sources() {
  const found = [];
  const walk = (folder) => {
    for (const entry of readdirSync(path.join(root, folder))) {
      if (['node_modules', 'target', 'dist', 'fixtures', 'snapshots'].includes(entry)) continue;
      const file = path.posix.join(folder, entry);
      if (statSync(path.join(root, file)).isDirectory()) walk(file);
      else if (/\.(rs|ts|cts|mts|mjs|cjs)$/.test(entry)) found.push(file);
    }
  };
  for (const folder of ['crates', 'src', 'scripts', 'examples', 'bench', '__test__']) {
    if (existsSync(path.join(root, folder))) walk(folder);
  }
  return found;
}
