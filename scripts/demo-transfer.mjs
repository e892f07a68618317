// The demo itself, run by demo.mjs: `tun` serves files to the kernel's clients over a TUN (already in a namespace of its
// own), `link` serves them to a second stack in the same process. Ends with exit code 1 when a digest differs.

import { execFileSync, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { pipeline } from 'node:stream/promises';
import { openInside } from '../examples/files.ts';
import { createLink, createStack, tun } from '../src/index.ts';

const MIB = 1 << 20;
const PORT = 80;
const files = { 'hello.txt': 1_234, 'picture.bin': 3 * MIB, 'archive.bin': 64 * MIB };
const addresses = { IPv4: '198.18.0.2', IPv6: 'fd00::2' };

const say = (text) => process.stdout.write(`${text}\n`);

const folder = mkdtempSync(path.join(tmpdir(), 'usernet-demo-'));
const digests = {};
for (const [name, size] of Object.entries(files)) {
  const content = randomBytes(size);
  digests[name] = createHash('sha256').update(content).digest('hex');
  writeFileSync(path.join(folder, name), content);
}

const different = 0;
try {
  const mode = process.argv[2];
  const { server, fetchFile, close } = mode === 'tun' ? await overTun() : await overLink();
  await serve(server);
  for (const [family, host] of Object.entries(addresses)) {
    for (const name of Object.keys(files)) await show(family, host, name, fetchFile);
  }
  await close();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
say(different === 0 ? 'every SHA-256 is equal' : `${different} files differ`);
process.exitCode = different === 0 ? 0 : 1;
