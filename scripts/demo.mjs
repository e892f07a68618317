#!/usr/bin/env node
// `npm run demo`: sets up what is missing, builds, then shows one transfer: over a TUN to the kernel's own curl where that
// is permitted, and between two stacks over an in-process link where it is not.
//   npm run demo              whichever is permitted
//   npm run demo -- --link    the in-process link, whatever is permitted
// USERNET_NO_BUILD=1 runs what is already built.

import { spawnSync } from 'node:child_process';
import path from 'node:path';
import process from 'node:process';
import netns from './netns.cjs';
import { ensureCargo, ensureNodeModules, ensurePrograms, must, root, say } from './support.mjs';

ensureNodeModules();
if (process.env.USERNET_NO_BUILD !== '1') {
  ensureCargo();
  must(process.execPath, ['scripts/build.mjs', '--no-ts'], { quiet: true });
}

const linkOnly = process.argv.includes('--link');
if (!linkOnly && process.platform === 'linux') {
  ensurePrograms({ curl: 'curl', ip: 'iproute2', unshare: 'util-linux' }, 'the demo over a TUN');
}
const why = linkOnly ? { missing: 'not asked for (--link)', remedy: 'npm run demo' } : netns.whyNoTun();

const inner = [process.execPath, '--import', 'tsx', path.join(root, 'scripts', 'demo-transfer.mjs')];
let command;
if (why === null) {
  say('a stack on a TUN, in a network namespace of its own');
  command = ['unshare', ...netns.unshareArgs(), ...inner, 'tun'];
} else {
  if (!linkOnly) {
    say(`no TUN here: ${why.missing}`);
    say(`to grant it: ${why.remedy}`);
  }
  say('two stacks in one process, over an in-process link');
  command = [...inner, 'link'];
}
const result = spawnSync(command[0], command.slice(1), { cwd: root, stdio: 'inherit' });
process.exit(result.status ?? 1);
