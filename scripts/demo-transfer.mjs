// The demo itself, run by demo.mjs: `tun` serves files to the kernel's clients over a TUN (already in a namespace of its
// own), `link` serves them to a second stack in the same process. Ends with exit code 1 when a digest differs.

import { execFileSync, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { httpFileServer, httpGet } from '../examples/http-server.ts';
import { createLink, createStack, tun } from '../src/index.ts';
import { findProgram } from './programs.cjs';
import { root } from './support.mjs';

const MIB = 1 << 20;
const PORT = 80;
const FILES = { 'hello.txt': 1_234, 'picture.bin': 3 * MIB, 'archive.bin': 64 * MIB };
const ADDRESSES = { IPv4: '198.18.0.2', IPv6: 'fd00::2' };

const say = (text) => process.stdout.write(`${text}\n`);
const count = (number) => number.toLocaleString('en-US');
const duration = (ms) => (ms < 1 ? `${Math.round(ms * 1000)} us` : `${digits(ms)} ms`);
const digits = (number) => (number < 10 ? number.toFixed(2) : number < 100 ? number.toFixed(1) : number.toFixed(0));

/** Serves `folder` on `stack`; gives a function that returns the next connection's story once it is closed. */
async function serve(stack, folder) {
  // Which states each connection went through, by its peer's address, from the stack's trace.
  const states = new Map();
  stack.on('state', ({ remote, to }) => states.set(remote, [...(states.get(remote) ?? []), to]));
  const closed = [];
  const waiting = [];
  const server = httpFileServer(stack.net, folder);
  server.on('connection', (socket) => {
    // A listener on `::` shows IPv4 peers as `::ffff:a.b.c.d`, as net does; the trace names them as they are.
    const address = (socket.remoteAddress ?? '').replace(/^::ffff:/, '');
    const remote = `${address.includes(':') ? `[${address}]` : address}:${socket.remotePort}`;
    // The round trip of the handshake; at the end, connections that are done with have none.
    const handshake = socket.info();
    let info = handshake;
    // Taken while the connection lives: after 'close' nobody knows it any more.
    const look = () => {
      info = socket.info() ?? info;
    };
    socket.on('end', look);
    socket.on('finish', look);
    socket.on('error', (error) => say(`   ${error.message}`));
    socket.on('close', () => {
      const story = { remote, handshake, info, states: () => states.get(remote) ?? [] };
      const next = waiting.shift();
      if (next) next(story);
      else closed.push(story);
    });
  });
  server.listen(PORT);
  await once(server, 'listening');
  const story = () => (closed.length > 0 ? Promise.resolve(closed.shift()) : new Promise((done) => waiting.push(done)));
  return { server, story };
}

/** The states after ESTABLISHED; the trace comes a moment after the event that it tells of. */
async function closingStates(states) {
  for (let look = 0; look < 50; look++) {
    const seen = states();
    if (['CLOSED', 'TIME-WAIT'].includes(seen.at(-1))) break;
    await sleep(10);
  }
  return states().slice(states().indexOf('ESTABLISHED'));
}

/** A stack on a TUN, and the kernel's own client: curl, or Node's http over the kernel where curl is missing. */
async function overTun() {
  execFileSync('ip', ['link', 'set', 'lo', 'up']);
  const stack = await createStack({
    interfaces: [{ device: tun({ name: 'un0' }), addresses: ['198.18.0.2/24', 'fd00::2/64'] }],
    trace: true,
  });
  execFileSync('ip', ['address', 'add', '198.18.0.1/24', 'dev', 'un0']);
  execFileSync('ip', ['address', 'add', 'fd00::1/64', 'dev', 'un0', 'nodad']);
  execFileSync('ip', ['link', 'set', 'un0', 'up']);
  say('stack: 198.18.0.2/24 and fd00::2/64 on un0; kernel: 198.18.0.1 and fd00::1, the other end of un0');
  const curl = findProgram('curl') !== null;
  const client = curl ? 'curl' : "Node's http over the kernel's TCP (curl is not installed)";
  const fetchFile = async (host, name) => {
    const url = `http://${host.includes(':') ? `[${host}]` : host}:${PORT}/${name}`;
    const command = curl
      ? ['curl', '--silent', '--show-error', '--fail', '--globoff', url]
      : [process.execPath, path.join(root, 'scripts', 'demo-fetch.mjs'), url];
    const child = spawn(command[0], command.slice(1), { stdio: ['ignore', 'pipe', 'inherit'] });
    const exit = once(child, 'close');
    const got = await digest(child.stdout);
    const [code] = await exit;
    if (code !== 0) say(`   the client ended with exit code ${code}`);
    return got;
  };
  return { stack, client, fetchFile, close: () => stack.close() };
}

/** Two stacks on the ends of one link; node:http over the second one is the client. */
async function overLink() {
  const [left, right] = createLink();
  const stack = await createStack({
    interfaces: [{ device: left, addresses: ['198.18.0.2/24', 'fd00::2/64'] }],
    trace: true,
  });
  const other = await createStack({ interfaces: [{ device: right, addresses: ['198.18.0.1/24', 'fd00::1/64'] }] });
  say('server: 198.18.0.2/24 and fd00::2/64; client: a second stack, 198.18.0.1 and fd00::1, on the same link');
  const fetchFile = async (host, name) => digest(await httpGet(other.net, { host, port: PORT, path: `/${name}` }));
  const close = () => Promise.all([stack.close(), other.close()]);
  return { stack, client: "node:http over the second stack's TCP", fetchFile, close };
}

/** Reads a stream to its end. */
async function digest(stream) {
  const hash = createHash('sha256');
  let length = 0;
  for await (const chunk of stream) {
    hash.update(chunk);
    length += chunk.length;
  }
  return { length, sha256: hash.digest('hex') };
}

/** Fetches one file and tells its connection's story. Returns whether it came as it was. */
async function show(family, host, name, expected, story, fetchFile) {
  const begin = process.hrtime.bigint();
  const { length, sha256 } = await fetchFile(host, name);
  const seconds = Number(process.hrtime.bigint() - begin) / 1e9;
  const { remote, handshake, info, states } = await story();
  const equal = sha256 === expected;
  say(`${family}  http://${host.includes(':') ? `[${host}]` : host}/${name}`);
  const scale =
    handshake?.snd_wscale == null
      ? 'no window scaling'
      : `windows scaled by 2^${handshake.snd_wscale} and 2^${handshake.rcv_wscale}`;
  say(
    `   handshake  ${remote}: SYN, SYN-ACK, ACK; MSS ${handshake?.mss} bytes, ${scale}, round trip ${handshake?.srtt ? duration(handshake.srtt) : 'too short to tell'}`,
  );
  const rate = (length * 8) / seconds / 1e6;
  const speed = rate >= 1000 ? `${digits(rate / 1000)} Gbit/s` : `${digits(rate)} Mbit/s`;
  say(`   bytes      ${count(length)} in ${digits(seconds * 1000)} ms with the client's start: ${speed}`);
  say(`   again      ${info?.retrans ?? 0} of ${count(info?.segs_out ?? 0)} segments were sent again`);
  say(`   close      ${(await closingStates(states)).join(' > ')}`);
  say(`   SHA-256    ${sha256.slice(0, 16)}.. ${equal ? 'equal' : `DIFFERS from ${expected.slice(0, 16)}..`}`);
  return equal;
}

const folder = mkdtempSync(path.join(tmpdir(), 'usernet-demo-'));
try {
  const expected = {};
  for (const [name, size] of Object.entries(FILES)) {
    const content = randomBytes(size);
    expected[name] = createHash('sha256').update(content).digest('hex');
    writeFileSync(path.join(folder, name), content);
  }
  const { stack, client, fetchFile, close } = await (process.argv[2] === 'tun' ? overTun() : overLink());
  const { server, story } = await serve(stack, folder);
  say(`node:http serves ${folder} over the stack; the client is ${client}`);
  let different = 0;
  for (const [family, host] of Object.entries(ADDRESSES)) {
    for (const name of Object.keys(FILES)) {
      if (!(await show(family, host, name, expected[name], story, fetchFile))) different++;
    }
  }
  server.close();
  await close();
  const total = Object.keys(FILES).length * Object.keys(ADDRESSES).length;
  say(different === 0 ? `all ${total} SHA-256 are equal` : `${different} of ${total} files differ`);
  process.exitCode = different === 0 ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
