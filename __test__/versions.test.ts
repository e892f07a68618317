// Every supported Node runs the package as built, and one seed gives the same packets on each.
import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';

const root = path.resolve(__dirname, '..');
const folder = path.join(root, 'target', 'nodes');
const run = promisify(execFile);

interface Outcome {
  node: string;
  [what: string]: unknown;
}

/** This Node, and those that scripts/test.mjs has installed. */
function nodes(): string[] {
  const majors = existsSync(folder) ? readdirSync(folder) : [];
  const others = majors.flatMap((major) => {
    const modules = path.join(folder, major, 'node_modules');
    const names = existsSync(modules) ? readdirSync(modules).filter((name) => name.startsWith('node-')) : [];
    return names.map((name) => path.join(modules, name, 'bin', process.platform === 'win32' ? 'node.exe' : 'node'));
  });
  return [process.execPath, ...others.filter(existsSync)];
}

test('one seed gives identical captures whatever Node runs, and none of them crashes', async () => {
  const binaries = nodes();
  const outcomes: Outcome[] = [];
  for (const node of binaries) {
    // Rejects when the process ends with anything but 0, an abort at exit included.
    const { stdout } = await run(node, [path.join(__dirname, 'support', 'versions.cjs')], { timeout: 60_000 });
    outcomes.push(JSON.parse(stdout) as Outcome);
  }
  if (process.env.CI !== undefined) {
    expect(outcomes.map(({ node }) => node.split('.')[0]).sort()).toEqual(['20', '22', '24']);
  }
  for (const { node: _, ...outcome } of outcomes) {
    const { node: __, ...first } = outcomes[0] as Outcome;
    expect(outcome).toEqual(first);
    const [a, b, other] = Object.keys(outcome).filter((key) => key.startsWith('seed'));
    expect(outcome[a as string]).toMatchObject({ results: [100_000, 100_000, 200, 200, 200] });
    expect(outcome[a as string]).toEqual(outcome[b as string]);
    expect(outcome[a as string]).not.toEqual(outcome[other as string]);
  }
}, 200_000);
