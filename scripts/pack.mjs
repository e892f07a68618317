#!/usr/bin/env node
// Runs inside `npm pack` and `npm publish` (package.json: prepack, postpack), so that `npm pack` gives what a user would
// install: usernet-<version>.tgz, and beside it the platform package with the binary built here.
//   node scripts/pack.mjs prepack     builds everything, packs the platform package, adds optionalDependencies
//   node scripts/pack.mjs postpack    takes them out again
// USERNET_NO_BUILD=1 packs what is already built.
//
// The platform packages are named in optionalDependencies of the packed package.json only, napi-rs's way: in the
// repository they would make every `npm ci` look for versions that are not published yet.

import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { fail, must, root } from './support.mjs';

const manifestFile = path.join(root, 'package.json');
const original = path.join(root, 'target', 'package.json.original');
/** Standard output is `npm pack`'s own (`--json`): everything here goes to standard error. */
const quiet = { stdio: ['ignore', 2, 2], quiet: true };

if (process.argv[2] === 'prepack') prepack();
else if (process.argv[2] === 'postpack') postpack();
else fail('usage: node scripts/pack.mjs prepack|postpack');

function prepack() {
  // Left behind by a run that was interrupted.
  postpack();
  if (process.env.USERNET_NO_BUILD !== '1') {
    must(process.execPath, ['scripts/build.mjs'], quiet);
    must(process.execPath, ['scripts/types.mjs'], quiet);
  }
  const text = readFileSync(manifestFile, 'utf8');
  const manifest = JSON.parse(text);
  packPlatform(manifest.version);
  const names = manifest.napi.targets.map((target) => `${manifest.name}-${platformOf(target)}`);
  manifest.optionalDependencies = Object.fromEntries(names.sort().map((name) => [name, manifest.version]));
  delete manifest.devDependencies;
  manifest.scripts = {};
  mkdirSync(path.dirname(original), { recursive: true });
  writeFileSync(original, text);
  writeFileSync(manifestFile, `${JSON.stringify(manifest, null, 2)}\n`);
}

function postpack() {
  if (!existsSync(original)) return;
  copyFileSync(original, manifestFile);
  rmSync(original);
}

/** Packs npm/<platform>/ with the binary that was built for this machine. */
function packPlatform(version) {
  const platform = ownPlatform();
  const folder = path.join(root, 'npm', platform);
  const binary = `usernet.${platform}.node`;
  if (!existsSync(path.join(root, binary))) fail(`${binary} is not there: npm run build makes it`);
  const platformManifest = JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8'));
  if (platformManifest.version !== version) {
    fail(`npm/${platform} has version ${platformManifest.version}, the package ${version}: npx napi version`);
  }
  copyFileSync(path.join(root, binary), path.join(folder, binary));
  const destination = process.env.npm_config_pack_destination || root;
  const npm = process.env.npm_execpath;
  const args = ['pack', folder, '--pack-destination', path.resolve(root, destination), '--ignore-scripts'];
  if (npm !== undefined) must(process.execPath, [npm, ...args], quiet);
  else must('npm', args, quiet);
}

/** napi-rs's name of a Rust target. */
function platformOf(target) {
  const names = {
    'x86_64-unknown-linux-gnu': 'linux-x64-gnu',
    'aarch64-unknown-linux-gnu': 'linux-arm64-gnu',
    'x86_64-unknown-linux-musl': 'linux-x64-musl',
    'x86_64-apple-darwin': 'darwin-x64',
    'aarch64-apple-darwin': 'darwin-arm64',
    'x86_64-pc-windows-msvc': 'win32-x64-msvc',
  };
  return names[target] ?? fail(`no platform package is known for the target ${target}`);
}

/** napi-rs's name of this machine. */
function ownPlatform() {
  const { platform, arch } = process;
  if (platform === 'linux') {
    const musl = process.report.getReport().header.glibcVersionRuntime === undefined;
    return `linux-${arch}-${musl ? 'musl' : 'gnu'}`;
  }
  return platform === 'win32' ? `win32-${arch}-msvc` : `${platform}-${arch}`;
}
