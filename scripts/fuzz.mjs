// Runs the fuzz targets (fuzz/) with libFuzzer and the address sanitizer, one after the other: `npm run fuzz`.
// Usage: node scripts/fuzz.mjs [--seconds <n>] [target...]     a minute each, and all of them, by default
// Needs a nightly compiler and cargo-fuzz: `rustup toolchain install nightly`, `cargo install cargo-fuzz`.
// An input that fails is left in fuzz/artifacts; put it into fuzz/seeds once it is mended, and `cargo test` runs it too.
import { mkdirSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { must, root } from './support.mjs';

const { values, positionals } = parseArgs({
  options: { seconds: { type: 'string', default: '60' } },
  allowPositionals: true,
});
const fuzz = path.join(root, 'fuzz');
const all = readdirSync(path.join(fuzz, 'fuzz_targets')).map((file) => path.basename(file, '.rs'));

for (const target of positionals.length > 0 ? positionals : all) {
  const corpus = path.join(fuzz, 'corpus', target);
  mkdirSync(corpus, { recursive: true });
  const dirs = [corpus, path.join(fuzz, 'seeds')];
  const limits = [`-max_total_time=${values.seconds}`, '-max_len=4096', '-verbosity=0', '-print_final_stats=1'];
  must('cargo', ['+nightly', 'fuzz', 'run', target, ...dirs, '--', ...limits], { cwd: root });
}
