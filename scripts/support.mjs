// What the scripts share: running commands, saying things out loud, and setting up a fresh machine (npm, apt).
// Plain Node only: some of this runs before anything is installed.

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { findProgram } from './programs.cjs';

/** The repository's root. */
export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');

/** Whether this is a CI run, where nothing may be skipped. */
export const isCi = /^(1|true)$/i.test(process.env.CI ?? '');

/** Prints a line that stands out from the output of the commands around it. */
export function say(text) {
  process.stdout.write(`== ${text}\n`);
}

/** Prints why nothing more can be done, and ends the process. */
export function fail(text, code = 1) {
  process.stderr.write(`== ${text}\n`);
  process.exit(code);
}

/** Runs a command with inherited output. Returns its exit code (128 + signal when killed; 127 when it is missing). */
export function run(command, args, options = {}) {
  const { quiet, ...rest } = options;
  if (!quiet) say([command, ...args].join(' '));
  const result = spawnSync(command, args, {
    cwd: root,
    stdio: 'inherit',
    ...rest,
    env: { ...process.env, ...rest.env },
  });
  if (result.error) {
    if (result.error.code === 'ENOENT') return 127;
    throw result.error;
  }
  return result.status ?? 128;
}

/** Runs a command and ends this process with its exit code when it fails. */
export function must(command, args, options = {}) {
  const code = run(command, args, options);
  if (code === 127) fail(`${command} is not installed (or not on the PATH), and this step needs it`);
  if (code !== 0) fail(`${command} ${args[0] ?? ''} failed with exit code ${code}`, code);
}

/** The path of a tool of node_modules/.bin. Run it as `must(...tool('tsc'), args)` would: with this very Node. */
export function tool(name) {
  const packages = {
    napi: ['@napi-rs/cli', 'napi'],
    jest: ['jest', 'jest'],
    biome: ['@biomejs/biome', 'biome'],
    tsc: ['typescript', 'tsc'],
    tsx: ['tsx', 'tsx'],
    'dts-bundle-generator': ['dts-bundle-generator', 'dts-bundle-generator'],
  };
  const [packageName, bin] = packages[name];
  const folder = path.join(root, 'node_modules', packageName);
  const manifest = JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8'));
  const file = typeof manifest.bin === 'string' ? manifest.bin : manifest.bin[bin];
  return path.join(folder, file);
}

/** Runs a tool of node_modules with this very Node; ends this process when it fails. */
export function mustTool(name, args, options) {
  say([name, ...args].join(' '));
  must(process.execPath, [tool(name), ...args], { ...options, quiet: true });
}

/** Installs the npm packages of package-lock.json when node_modules is missing or older than the lock. */
export function ensureNodeModules() {
  const marker = path.join(root, 'node_modules', '.package-lock.json');
  const lock = path.join(root, 'package-lock.json');
  if (existsSync(marker) && statSync(marker).mtimeMs >= statSync(lock).mtimeMs) return;
  // The contents decide: a checkout gives the lock a new time without changing it.
  if (existsSync(marker) && sameVersions(lock, marker)) return;
  say('node_modules is missing or out of date: installing what package-lock.json lists');
  // Not `npm ci`: it refuses a lock from which a registry mirror left out optional packages of other platforms.
  npmInstall(must);
}

/** Runs `npm install` without saving anything, by `how`: `run` or `must`. */
export function npmInstall(how, ...args) {
  const windows = process.platform === 'win32';
  const quiet = ['--no-save', '--no-audit', '--no-fund', '--loglevel=error'];
  return how(windows ? 'npm.cmd' : 'npm', ['install', ...quiet, ...args], { shell: windows });
}

/** Whether everything installed has the version that the lock names, and nothing mandatory is missing. */
function sameVersions(lockFile, markerFile) {
  const wanted = JSON.parse(readFileSync(lockFile, 'utf8')).packages;
  const present = JSON.parse(readFileSync(markerFile, 'utf8')).packages;
  return Object.entries(wanted).every(([name, entry]) => {
    if (name === '') return true;
    return present[name] === undefined ? entry.optional === true : present[name].version === entry.version;
  });
}

/** Ends the process with a remedy when cargo is missing. */
export function ensureCargo() {
  const cargoHome = process.env.CARGO_HOME ?? path.join(process.env.HOME ?? process.env.USERPROFILE ?? '', '.cargo');
  if (findProgram('cargo') === null && existsSync(path.join(cargoHome, 'bin'))) {
    process.env.PATH = `${path.join(cargoHome, 'bin')}${path.delimiter}${process.env.PATH}`;
  }
  if (findProgram('cargo') === null) {
    fail('cargo is not on the PATH: install Rust (https://rustup.rs), then run this again');
  }
}

/**
 * Sees to it that the programs are there: installs the Debian packages that hold the missing ones where this process is
 * root and apt-get exists, and otherwise says what is missing and how to install it. `programs` maps a program to its
 * package. Returns the programs that are still missing.
 */
export function ensurePrograms(programs, why) {
  const missing = () => Object.keys(programs).filter((program) => !hasProgram(program));
  const before = missing();
  if (before.length === 0) return [];
  const packages = [...new Set(before.map((program) => programs[program]))];
  if (process.platform !== 'linux') return before;
  if (process.getuid?.() !== 0 || findProgram('apt-get') === null) {
    say(`missing for ${why}: ${before.join(', ')}. On Debian: sudo apt-get install -y ${packages.join(' ')}`);
    return before;
  }
  say(`${why} need ${before.join(', ')}: installing the Debian packages ${packages.join(' ')}`);
  // With a run level of 1 Debian starts no service of what it installs: the tests start their own.
  const env = { DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
  const install = ['install', '-y', '-q', '--no-install-recommends', ...packages];
  if (run('apt-get', install, { env, stdio: ['ignore', 'ignore', 'inherit'] }) !== 0) {
    // The package lists may be missing or too old: fetch them and try once more.
    run('apt-get', ['update', '-q'], { env, stdio: ['ignore', 'ignore', 'inherit'] });
    run('apt-get', install, { env });
  }
  return missing();
}

/** Whether the program is there; `nc` counts only when it is OpenBSD's, the one with -N. */
function hasProgram(program) {
  if (findProgram(program) === null) return false;
  if (program !== 'nc') return true;
  const help = spawnSync('nc', ['-h'], { encoding: 'utf8' });
  return `${help.stdout}${help.stderr}`.includes('OpenBSD');
}
