// Other releases of Node, for tests that compare them: prebuilt binaries from npm, in target/nodes.
import { existsSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { npmInstall, root, run, say } from './support.mjs';

/** Majors beside the one that runs the tests; the package supports all of them. */
const MAJORS = [20, 22, 24];

/** Where the binary of a release is, or will be. */
function binaryOf(major, name) {
  const folder = path.join(root, 'target', 'nodes', String(major), 'node_modules', name, 'bin');
  return path.join(folder, process.platform === 'win32' ? 'node.exe' : 'node');
}

/**
 * Installs the newest release of each supported major that is not the running one, once. Returns those that could not
 * be had: the registry has no binary for this platform, or cannot be reached.
 */
export function ensureNodes() {
  const platform = process.platform === 'win32' ? 'win' : process.platform;
  const name = `node-${platform}-${process.arch}`;
  const others = MAJORS.filter((major) => major !== Number(process.versions.node.split('.')[0]));
  return others.filter((major) => {
    if (existsSync(binaryOf(major, name))) return false;
    say(`the tests across Node versions need Node ${major}: installing ${name}@${major} into target/nodes`);
    const prefix = path.join(root, 'target', 'nodes', String(major));
    const code = npmInstall(run, '--prefix', prefix, `${name}@${major}`);
    return code !== 0 || !existsSync(binaryOf(major, name));
  });
}
