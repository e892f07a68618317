#!/usr/bin/env node
// `npm test`: everything from a fresh clone. Installs what is missing (npm packages; Debian packages where it may), builds
// the release binding and dist/, runs `cargo test` for the crates and counts the instructions of their hot paths, then Jest,
// and ends with a line "N passed, N failed".
//   npm test                      all of it
//   npm test -- --rust            the crates only
//   npm test -- --js [pattern..]  Jest only (still builds what is out of date); anything else goes to Jest as it is

import { readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { ensureNodes } from './nodes.mjs';
import { ensureCargo, ensureNodeModules, ensurePrograms, fail, isCi, must, root, run, say, tool } from './support.mjs';

const args = process.argv.slice(2);
const flag = (name) => {
  const index = args.indexOf(name);
  if (index >= 0) args.splice(index, 1);
  return index >= 0;
};
const rustOnly = flag('--rust');
// A pattern is meant for Jest: the crates need not run then.
const jsOnly = flag('--js') || args.length > 0;

/** The programs that the tests against real kernels and servers use, and the Debian packages that hold them. */
const programs = {
  curl: 'curl',
  nc: 'netcat-openbsd',
  socat: 'socat',
  ip: 'iproute2',
  ping: 'iputils-ping',
  arping: 'iputils-arping',
  ndisc6: 'ndisc6',
  rdisc6: 'ndisc6',
  radvd: 'radvd',
  bridge: 'iproute2',
  unshare: 'util-linux',
  nsenter: 'util-linux',
  openssl: 'openssl',
  setpriv: 'util-linux',
  postgres: 'postgresql',
  initdb: 'postgresql',
  'redis-server': 'redis-server',
  mariadbd: 'mariadb-server-core',
  'mariadb-install-db': 'mariadb-server-core',
  traceroute: 'traceroute',
  mtr: 'mtr-tiny',
  nmap: 'nmap',
  iperf3: 'iperf3',
  dig: 'bind9-dnsutils',
  dnsmasq: 'dnsmasq-base',
  udhcpc: 'udhcpc',
  dhclient: 'isc-dhcp-client',
};

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 17)) {
  fail(`Node ${process.versions.node} is too old: usernet needs 20.17 or later`);
}
ensureNodeModules();
ensureCargo();

let rustPassed = false;
if (!jsOnly) {
  must('cargo', ['test', '--workspace', '--locked']);
  must(process.execPath, ['scripts/instructions.mjs']);
  rustPassed = true;
}
if (rustOnly) process.exit(0);

const missing = process.platform === 'linux' ? ensurePrograms(programs, 'the tests against real programs') : [];
if (missing.length > 0 && isCi) fail(`CI runs skip nothing, and these programs are missing: ${missing.join(', ')}`);
const absent = ensureNodes();
if (absent.length > 0) {
  say(`not to be had here: Node ${absent.join(', ')}; the tests across Node versions run without`);
  if (isCi) fail('CI runs skip nothing');
}

must(process.execPath, ['scripts/build.mjs']);
process.exit(jest());

/** Runs Jest and prints the closing line. Returns the exit code. */
function jest() {
  const report = path.join(root, 'target', 'jest.json');
  rmSync(report, { force: true });
  const code = run(process.execPath, [tool('jest'), '--ci', '--json', `--outputFile=${report}`, ...args], {
    // --json moves the report to stdout as well; the readable one is on stderr.
    stdio: ['inherit', 'ignore', 'inherit'],
  });
  const result = JSON.parse(readFileSync(report, 'utf8'));
  const suites = result.testResults;
  // A suite that could not be loaded has no tests in it: it counts as one failure.
  const broken = suites.filter((suite) => suite.status === 'failed' && suite.assertionResults.length === 0).length;
  const skipped = result.numPendingTests + result.numTodoTests;
  const failed = result.numFailedTests + broken;
  if (rustPassed) say('cargo test and the instruction gates: passed');
  if (skipped > 0) {
    for (const suite of suites) {
      for (const test of suite.assertionResults) {
        if (test.status !== 'passed' && test.status !== 'failed') say(`not run: ${test.fullName}`);
      }
    }
  }
  process.stdout.write(
    `${result.numPassedTests} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}\n`,
  );
  if (code === 0 && failed === 0 && skipped > 0 && isCi) {
    say('CI runs skip nothing: that is a failure');
    return 1;
  }
  return code !== 0 ? code : failed === 0 ? 0 : 1;
}
