#!/usr/bin/env node
// Builds the package: the native binding (release unless --debug), dist/ from src/, the ES module faces, and the types.
//   node scripts/build.mjs [--debug] [--no-binding] [--no-ts] [--target <rust triple>]

import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { ensureCargo, ensureNodeModules, fail, mustTool, root, say } from './support.mjs';

const { values: options } = parseArgs({
  options: {
    debug: { type: 'boolean', default: false },
    'no-binding': { type: 'boolean', default: false },
    'no-ts': { type: 'boolean', default: false },
    target: { type: 'string' },
  },
});

ensureNodeModules();
if (!options['no-binding']) {
  ensureCargo();
  buildBinding();
}
if (!options['no-ts']) {
  rmSync(path.join(root, 'dist'), { recursive: true, force: true });
  mustTool('tsc', ['-p', 'tsconfig.build.json']);
  writeModuleFaces();
}

/**
 * Builds usernet.<platform>.node and puts it at the root, where src/native.ts looks first: by renaming, since a process
 * that runs now has the old file mapped.
 */
function buildBinding() {
  const output = path.join(root, 'target', 'binding');
  rmSync(output, { recursive: true, force: true });
  mkdirSync(output, { recursive: true });
  const args = ['build', '--platform', '--manifest-path', 'crates/node/Cargo.toml', '--output-dir', 'target/binding'];
  // The loader and the types of the binding are written by hand (src/native.ts).
  args.push('--no-js');
  if (!options.debug) args.push('--release');
  if (options.target !== undefined) args.push('--target', options.target);
  mustTool('napi', [...args, '--', '--locked']);
  for (const name of readdirSync(output).filter((file) => file.endsWith('.node'))) {
    const [built, placed] = [path.join(output, name), path.join(root, name)];
    if (existsSync(placed) && readFileSync(placed).equals(readFileSync(built))) continue;
    copyFileSync(built, `${placed}.new`);
    renameSync(`${placed}.new`, placed);
  }
}

/**
 * Writes an ES module beside each CommonJS entry point of package.json: Node would find most names by itself, but not
 * those of a module that is assembled at run time, as `usernet/net` is.
 */
function writeModuleFaces() {
  const manifest = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
  const require = createRequire(import.meta.url);
  for (const [entry, conditions] of Object.entries(manifest.exports)) {
    if (typeof conditions === 'string') continue;
    const [imported, required] = [conditions.import.default, conditions.require.default];
    const commonJs = path.join(root, required);
    if (!existsSync(commonJs)) fail(`package.json exports ${entry} as ${required}, which tsc did not emit`);
    const names = Object.keys(require(commonJs)).filter(
      (name) => name !== 'default' && /^[A-Za-z_$][\w$]*$/.test(name),
    );
    const lines = [
      '// Made by scripts/build.mjs: the ES module face of the CommonJS file beside it.',
      `import commonJs from './${path.basename(commonJs)}';`,
      '',
      `export const {\n${names.map((name) => `  ${name},\n`).join('')}} = commonJs;`,
      'export default commonJs.default ?? commonJs;',
      '',
    ];
    writeFileSync(path.join(root, imported), lines.join('\n'));
    say(`${imported}: ${names.length} names`);
  }
}
