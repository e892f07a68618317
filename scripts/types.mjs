#!/usr/bin/env node
// Makes index.d.ts, the package's whole public type surface in one file, and net.d.ts, the face of `usernet/net`, which
// refers to it.
//   node scripts/types.mjs            writes them
//   node scripts/types.mjs --check    fails, showing where, when what is committed differs

import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { ensureNodeModules, fail, mustTool, root, say } from './support.mjs';

ensureNodeModules();
const output = path.join(root, 'target', 'types');
rmSync(output, { recursive: true, force: true });
mkdirSync(output, { recursive: true });

makeIndex();
makeNet();
checkThem();

const files = ['index.d.ts', 'net.d.ts'];
if (process.argv.includes('--check')) {
  const stale = files.filter((name) => read(path.join(output, name)) !== read(path.join(root, name)));
  for (const name of stale) say(`${name} is stale, ${firstDifference(name)}`);
  if (stale.length > 0) fail('npm run types makes them anew; commit what it makes');
  say(`${files.join(' and ')} are what src/ says`);
} else {
  for (const name of files) writeFileSync(path.join(root, name), read(path.join(output, name)));
  say(`made ${files.join(' and ')}`);
}

/** Bundles the types of src/index.ts; what is not exported there stays unexported. */
function makeIndex() {
  const bundled = path.join(output, 'index.d.ts');
  const args = ['--project', 'tsconfig.types.json', '--silent', '--no-check', '--no-banner'];
  mustTool('dts-bundle-generator', [...args, '--export-referenced-types=false', '--out-file', bundled, 'src/index.ts']);
  const header = '// The public types of usernet, all of them. Made by scripts/types.mjs from src/: do not edit.\n\n';
  writeFileSync(bundled, header + read(bundled).replaceAll('\t', '  '));
}

/** src/net.ts is nearly a declaration already: its types come from index.d.ts, its values are properties of a `Net`. */
function makeNet() {
  const source = read(path.join(root, 'src', 'net.ts'));
  const text = source
    .replace(/^\/\/.*\n/, '// The types of `usernet/net`. Made by scripts/types.mjs from src/net.ts: do not edit.\n')
    .replace(/from '\.\/[\w/-]+'/g, "from './index'")
    .replace(/export const \{([^}]*)\} = net;/, (_all, names) =>
      names
        .split(',')
        .map((name) => name.trim())
        .filter((name) => name !== '')
        .map((name) => `export declare const ${name}: typeof net.${name};`)
        .join('\n'),
    );
  writeFileSync(path.join(output, 'net.d.ts'), text);
}

/** The two files as a user's strict compiler sees them. */
function checkThem() {
  const args = ['--noEmit', '--strict', '--module', 'node16', '--target', 'es2022', '--types', 'node'];
  mustTool('tsc', [...args, path.join(output, 'index.d.ts'), path.join(output, 'net.d.ts')]);
}

function read(file) {
  try {
    return readFileSync(file, 'utf8').replaceAll('\r\n', '\n');
  } catch {
    return '';
  }
}

function firstDifference(name) {
  const made = read(path.join(output, name)).split('\n');
  const committed = read(path.join(root, name)).split('\n');
  const line = made.findIndex((text, index) => text !== committed[index]);
  return `first in line ${line + 1}: committed ${JSON.stringify(committed[line] ?? null)}, made ${JSON.stringify(made[line])}`;
}
