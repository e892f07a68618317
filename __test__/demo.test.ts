// `npm run demo`, as a person would run it, both ways: over a TUN and over the in-process link.

import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { describeTun } from './support/netns';

const root = path.resolve(__dirname, '..');

jest.setTimeout(120_000);

function demo(args: string[], env: NodeJS.ProcessEnv = {}): { status: number | null; stdout: string; stderr: string } {
  // What `npm test` built is what is shown.
  return spawnSync(process.execPath, ['scripts/demo.mjs', ...args], {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, USERNET_NO_BUILD: '1', ...env },
  });
}

/** What a person wants to see of six transfers. */
function expectStory(stdout: string): void {
  const lines = (label: string): string[] => stdout.match(new RegExp(`^ +${label} .*$`, 'gm')) ?? [];
  for (const host of ['198\\.18\\.0\\.2', '\\[fd00::2\\]'])
    expect(stdout).toMatch(new RegExp(`http://${host}/archive.bin`));
  for (const line of lines('handshake'))
    expect(line).toMatch(/MSS \d+ bytes, windows scaled by 2\^\d+ and 2\^\d+, round trip [\d.]+ [mu]s/);
  for (const line of lines('bytes')) expect(line).toMatch(/[\d,]+ in [\d.]+ ms .*: [\d.]+ [GM]bit\/s/);
  for (const line of lines('again')) expect(line).toMatch(/\d+ of [\d,]+ segments/);
  for (const line of lines('close')) expect(line).toMatch(/ESTABLISHED > .*(TIME-WAIT|CLOSED|LAST-ACK)/);
  for (const line of lines('SHA-256')) expect(line).toMatch(/equal$/);
  for (const label of ['handshake', 'bytes', 'again', 'close', 'SHA-256']) expect(lines(label)).toHaveLength(6);
  expect(stdout).toMatch(/^all 6 SHA-256 are equal$/m);
}

describeTun('over a TUN', () => {
  test("curl's files are equal", () => {
    const { status, stdout, stderr } = demo([]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toContain('the client is curl');
    expectStory(stdout);
  });
});

test('over the in-process link', () => {
  const { status, stdout, stderr } = demo(['--link']);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expectStory(stdout);
});

test('where unshare is missing it says so, how to grant it, and shows the link', () => {
  // A PATH with nothing on it: as on a machine without the programs and the permission to install them.
  const { status, stdout } = demo([], { PATH: path.join(root, '__test__') });
  expect(status).toBe(0);
  expect(stdout).toMatch(/^== no TUN here: .+$/m);
  expect(stdout).toMatch(/^== to grant it: .+$/m);
  expectStory(stdout);
});
