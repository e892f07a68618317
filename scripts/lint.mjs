#!/usr/bin/env node
// Every lint, one after the other, all of them even when one fails: rustfmt, clippy, Biome, tsc.

import process from 'node:process';
import { ensureCargo, ensureNodeModules, root, run, say, tool } from './support.mjs';

ensureNodeModules();
ensureCargo();

const lints = {
  'cargo fmt': () => run('cargo', ['fmt', '--all', '--check']),
  clippy: () => run('cargo', ['clippy', '--workspace', '--all-targets', '--locked', '--', '-D', 'warnings']),
  biome: () => run(process.execPath, [tool('biome'), 'check', '--error-on-warnings', root]),
  tsc: () => run(process.execPath, [tool('tsc'), '-p', '.']),
};

const failed = Object.keys(lints).filter((name) => lints[name]() !== 0);
if (failed.length > 0) {
  say(`lint failed: ${failed.join(', ')} (npm run format repairs formatting)`);
  process.exit(1);
}
say(`lint: ${Object.keys(lints).join(', ')} passed`);
