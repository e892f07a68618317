// The server of the benchmark, the same program on every side: over usernet on a TUN (`usernet`), on one with a slow link
// (`late`), on a TAP (`tap`), on a TUN without offload (`plain`; `alone`, where segments are not merged either), or over
// Node's own `net` in a namespace of its own (`kernel`).
//   port 1   sends as many bytes as the first 8 (big endian) say, then ends
//   port 2   reads to the end, answers one byte
//   port 3   echoes
//   port 4   sends one byte
//   port 5   UDP: counts datagrams
//   port 6   UDP: sends datagrams of 64 bytes for as many ms as it is asked for
//   port 80  node:http, plain text, keep-alive
//   port 81  WebSocket, by `ws`: echoes
//   port 443 TLS: reads to the end, answers one byte
// `queues ADDRESS N` is usernet on a TUN with N queues, `bench-nodeN`, as a peer (peers.mjs): it says on its standard output
// that it listens. BENCH_DRIVE says who drives ('auto', 'loop', 'thread').
// Asked for 'usage' by its parent, it answers with its CPU time (s), memory (bytes, PSS) and datagrams that came.

import { execFileSync } from 'node:child_process';
import kernelDgram from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import kernelHttp from 'node:http';
import kernelNet from 'node:net';
import process from 'node:process';
import kernelTls from 'node:tls';
import { WebSocketServer } from 'ws';

const kind = process.argv[2];
const CHUNK = Buffer.alloc(256 << 10, 'usernet ');

let net = kernelNet;
let http = kernelHttp;
let dgram = kernelDgram;
let tls = kernelTls;
let close = async () => {};
if (kind !== 'kernel') {
  const { createStack, tap, tun } = await import('usernet');
  const one = {
    tap: () => ({ device: tap({ name: 'tap0' }), addresses: ['198.18.4.2/24'], duplicateAddressDetection: 'off' }),
    usernet: () => ({ device: tun({ name: 'un0' }), addresses: ['198.18.0.2/24'] }),
    plain: () => ({ device: tun({ name: 'un2', offload: false }), addresses: ['198.18.20.2/24'] }),
    alone: () => ({ device: tun({ name: 'un3', offload: false }), addresses: ['198.18.18.2/24'] }),
    queues: () => ({
      device: tun({ name: `bench-node${process.argv[4]}`, queues: Number(process.argv[4]) }),
      addresses: [process.argv[3]],
    }),
    late: () => ({
      device: tun({ name: 'un1', offload: false, impairment: JSON.parse(process.env.BENCH_IMPAIRMENT) }),
      addresses: ['198.18.14.2/24'],
    }),
  };
  const stack = await createStack({
    interfaces: [one[kind]()],
    // A kernel forgets a TIME-WAIT when the peer comes again with a later sequence number; so do we. Kept short all the same.
    timeWait: 1000,
    maxConnections: 200_000,
    drive: process.env.BENCH_DRIVE ?? 'auto',
  });
  net = stack.net;
  http = stack.http;
  dgram = stack.dgram;
  tls = stack.tls;
  close = () => stack.close();
}

const handlers = {
  1: async (socket) => {
    let [left] = (await once(socket, 'data')).map((request) => Number(request.readBigUInt64BE(0)));
    while (left > 0) {
      const part = left < CHUNK.length ? CHUNK.subarray(0, left) : CHUNK;
      left -= part.length;
      if (!socket.write(part)) await once(socket, 'drain');
    }
    socket.end();
  },
  2: async (socket) => {
    socket.resume();
    await once(socket, 'end');
    socket.end('k');
  },
  3: (socket) => {
    socket.setNoDelay(true);
    socket.on('data', (chunk) => socket.write(chunk));
    socket.on('end', () => socket.end());
  },
  4: (socket) => {
    socket.write('k');
    socket.resume();
  },
};

const servers = Object.entries(handlers).map(([port, handler]) =>
  net
    .createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => {});
      Promise.resolve(handler(socket)).catch(() => socket.destroy());
    })
    .listen({ port: Number(port), host: '0.0.0.0', backlog: 1024 }),
);
const body = 'Hello, world!';
servers.push(
  http
    .createServer((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/plain', 'content-length': body.length });
      response.end(body);
    })
    .listen({ port: 80, host: '0.0.0.0' }),
);
const upgraded = http.createServer();
new WebSocketServer({ server: upgraded, perMessageDeflate: false }).on('connection', (socket) => {
  socket.on('error', () => {});
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
});
servers.push(upgraded.listen({ port: 81, host: '0.0.0.0' }));
// rounds.mjs made it, where it could.
if (process.env.BENCH_CERTIFICATE) {
  const pem = readFileSync(process.env.BENCH_CERTIFICATE);
  const sink = tls.createServer({ key: pem, cert: pem, allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {});
    socket.resume().on('end', () => socket.end('k'));
  });
  servers.push(sink.listen({ port: 443, host: '0.0.0.0' }));
}
// What takes datagrams, and what gives them.
let datagrams = 0;
const sink = dgram.createSocket({ type: 'udp4', recvBufferSize: 1 << 20 });
sink.on('message', () => datagrams++);
const source = dgram.createSocket({ type: 'udp4', sendBufferSize: 1 << 20 });
source.on('message', (request, { address, port }) => {
  const end = performance.now() + Number(request);
  const data = Buffer.alloc(64, 'p');
  const more = () => {
    if (performance.now() > end) return;
    for (let i = 1; i < 64; i++) source.send(data, port, address);
    source.send(data, port, address, more);
  };
  more();
});
for (const [socket, port] of [
  [sink, 5],
  [source, 6],
]) {
  socket.on('error', () => {});
  socket.bind(port, '0.0.0.0');
  await once(socket, 'listening');
}
await Promise.all(servers.map((server) => server.listening || once(server, 'listening')));
if (process.send === undefined) process.stdout.write('listening\n');
else process.send('listening');
process.on('message', (message) => {
  if (message === 'usage') {
    globalThis.gc?.();
    const { user, system } = process.cpuUsage();
    const [, pss] = /^Pss: +(\d+) kB/m.exec(readFileSync('/proc/self/smaps_rollup', 'utf8'));
    process.send({ cpu: (user + system) / 1e6, memory: Number(pss) * 1024, datagrams });
    return;
  }
  // Our end of the veth pair, or of the impaired link, has been moved in here.
  const { device, network } = message;
  execFileSync('ip', ['address', 'add', `${network}.2/24`, 'dev', device]);
  execFileSync('ip', ['link', 'set', device, 'up']);
  // The kernel's default may be another one here than elsewhere, and Node cannot choose.
  const route = [`${network}.0/24`, 'dev', device, 'src', `${network}.2`, 'congctl', 'cubic'];
  execFileSync('ip', ['route', 'replace', ...route]);
  process.send('configured');
});
process.once('disconnect', async () => {
  for (const server of servers) server.close();
  sink.close();
  source.close();
  await close();
  process.exit(0);
});
