// The kernel's side where curl, nc and socat cannot do it: plain node:net, run inside the namespace.
//   pause <host> <port> <path> <ms>   GETs, stops reading for that long after the first bytes, then reads to the end
//   listen-to-fin <host> <port>       reads to the peer's FIN, and only then sends 100,000 bytes and its own FIN
//   to-the-end <host> <port>          says hello, reads until the connection is over, however that comes about
//   serve <host> <length>             serves one connection: reads to its FIN, then sends that many bytes; prints its port
//   ping <host> <port> <count>        sends 64 bytes to an echo server and waits for them, that often
//   trickle <host> <port> <ms>        sends a byte about every millisecond for so long, then its FIN, and reads the answer
// Prints one JSON line.

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const [mode, host, ...rest] = process.argv.slice(2);
const print = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

async function pause() {
  const [port, path, ms] = rest;
  const socket = net.connect({ host, port: Number(port) });
  socket.write(`GET ${path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n`);
  const hash = createHash('sha256');
  let head = '';
  let length = -1;
  let paused = false;
  socket.on('data', (chunk) => {
    if (length < 0) {
      head += chunk.toString('latin1');
      const end = head.indexOf('\r\n\r\n');
      if (end < 0) return;
      chunk = Buffer.from(head.slice(end + 4), 'latin1');
      length = 0;
    }
    length += chunk.length;
    hash.update(chunk);
    if (!paused) {
      paused = true;
      socket.pause();
      print({ paused: true });
      setTimeout(() => socket.resume(), Number(ms));
    }
  });
  await once(socket, 'end');
  print({ length, sha256: hash.digest('hex') });
}

async function listenToFin() {
  const socket = net.connect({ host, port: Number(rest[0]), allowHalfOpen: true });
  let greeting = '';
  socket.setEncoding('utf8').on('data', (text) => {
    greeting += text;
  });
  await once(socket, 'end');
  // The other side has finished; this one only begins.
  const part = Buffer.alloc(10_000, 'k');
  for (let round = 0; round < 10; round++) {
    socket.write(part);
    await sleep(10);
  }
  socket.end();
  await once(socket, 'close');
  print({ greeting, sent: socket.bytesWritten });
}

async function toTheEnd() {
  const socket = net.connect({ host, port: Number(rest[0]) });
  let length = 0;
  let how = 'neither end nor error';
  socket.on('data', (chunk) => {
    if (length === 0) print({ begun: true });
    length += chunk.length;
  });
  socket.on('end', () => {
    how = 'end';
  });
  socket.on('error', (error) => {
    how = error.code;
  });
  socket.write('hello');
  // Without a word from the peer this does not come before the kernel gives up, minutes later.
  await new Promise((resolve) => socket.on('close', resolve));
  print({ how, length });
}

async function serve() {
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    let request = '';
    socket.setEncoding('utf8').on('data', (text) => {
      request += text;
    });
    socket.on('end', () => {
      const body = Buffer.alloc(Number(rest[0]), 'kernel ');
      socket.end(body);
      server.close();
      print({ request, sha256: createHash('sha256').update(body).digest('hex') });
    });
  });
  server.listen(0, host, () => print({ port: server.address().port }));
}

async function ping() {
  const socket = net.connect({ host, port: Number(rest[0]), noDelay: true });
  const data = Buffer.alloc(64, 'p');
  let done = 0;
  for (; done < Number(rest[1]); done++) {
    socket.write(data);
    for (let got = 0; got < data.length; ) got += (await once(socket, 'data'))[0].length;
  }
  socket.end();
  print({ done });
}

async function trickle() {
  const socket = net.connect({ host, port: Number(rest[0]), noDelay: true });
  await once(socket, 'connect');
  print({ connected: true });
  for (const end = Date.now() + Number(rest[1]); Date.now() < end; await sleep(1)) socket.write('t');
  socket.end();
  const [answer] = await once(socket.setEncoding('latin1'), 'data');
  print({ answer, sent: socket.bytesWritten });
}

await { pause, 'listen-to-fin': listenToFin, 'to-the-end': toTheEnd, serve, ping, trickle }[mode]();
