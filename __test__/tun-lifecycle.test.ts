// Opening, closing, terminating and leaving: whatever the moment, nothing crashes, hangs or stays behind.

import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import type { Holdings } from './support/process';

const root = path.resolve(__dirname, '..');

/** Runs support/lifecycle.ts in a process of its own; a crash or a hang makes it fail. */
async function run(...args: string[]): Promise<{ before: Holdings; after: Holdings }> {
  const script = path.join(__dirname, 'support', 'lifecycle.ts');
  const { stdout, stderr } = await promisify(execFile)(
    process.execPath,
    ['--expose-gc', '--import', 'tsx', script, ...args],
    { cwd: root, timeout: 110_000 },
  );
  expect(stderr).toBe('');
  return JSON.parse(stdout);
}

jest.setTimeout(120_000);

test('1,000 open and close cycles with live connections leave nothing behind', async () => {
  const { before, after } = await run('cycles', '1000');
  expect(after.descriptors).toBe(before.descriptors);
  expect(after.threads).toBe(before.threads);
  expect(after.rss - before.rss).toBeLessThan(32 << 20);
});

test('20 worker threads that open a stack and are terminated at once leave nothing behind', async () => {
  const { before, after } = await run('workers', '20');
  expect(after.descriptors).toBeLessThanOrEqual(before.descriptors);
  expect(after.threads).toBeLessThanOrEqual(before.threads);
});

test('a process may exit with live sockets', async () => {
  expect((await run('exit')).after.threads).toBeGreaterThan(0);
});

test('a process whose live sockets are all unreferenced ends by itself', async () => {
  expect((await run('end')).after.threads).toBeGreaterThan(0);
});
