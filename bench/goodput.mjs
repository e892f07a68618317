#!/usr/bin/env node
// Goodput over one impaired link beside Linux's own TCP, in a network namespace of its own: see crates/manager/examples/goodput.rs.
//   node bench/goodput.mjs --seconds 10 --seeds 3 --case 100ms

import { spawnSync } from 'node:child_process';
import path from 'node:path';
import process from 'node:process';
import netns from '../scripts/netns.cjs';
import { ensureCargo, fail, must, root } from '../scripts/support.mjs';

ensureCargo();
const why = netns.whyNoTun();
if (why !== null) fail(`goodput needs a TUN in a namespace, and ${why.missing}. To grant it: ${why.remedy}`);
must('cargo', ['build', '--release', '-p', 'usernet-manager', '--example', 'goodput'], { quiet: true });
const program = path.join(process.env.CARGO_TARGET_DIR ?? path.join(root, 'target'), 'release', 'examples', 'goodput');
const result = spawnSync('unshare', [...netns.unshareArgs(), program, ...process.argv.slice(2)], { stdio: 'inherit' });
process.exit(result.status ?? 1);
