// The client of the benchmark, over the kernel's TCP by plain node:net; the same program for both servers.
//   node client.mjs <measure> <host> <bytes> <seconds>
// Prints one JSON line: value (Gbit/s or per second), and percentiles in microseconds where they mean something.

import { once } from 'node:events';
import net from 'node:net';
import process from 'node:process';

const [measure, host, bytesText, secondsText] = process.argv.slice(2);
const bytes = Number(bytesText);
const seconds = Number(secondsText);
const now = () => Number(process.hrtime.bigint()) / 1e9;

async function open(port) {
  const socket = net.connect({ host, port, noDelay: true });
  await once(socket, 'connect');
  return socket;
}

async function download() {
  const socket = await open(1);
  const request = Buffer.alloc(8);
  request.writeBigUInt64BE(BigInt(bytes));
  let received = 0;
  socket.on('data', (chunk) => {
    received += chunk.length;
  });
  const begin = now();
  socket.write(request);
  await once(socket, 'end');
  const took = now() - begin;
  if (received !== bytes) throw new Error(`${received} bytes came, ${bytes} were asked for`);
  return { value: (bytes * 8) / took / 1e9 };
}

async function upload() {
  const socket = await open(2);
  const chunk = Buffer.alloc(256 << 10, 'usernet ');
  const answer = once(socket, 'data');
  const begin = now();
  for (let left = bytes; left > 0; left -= chunk.length) {
    if (!socket.write(left < chunk.length ? chunk.subarray(0, left) : chunk)) await once(socket, 'drain');
  }
  socket.end();
  await answer;
  return { value: (bytes * 8) / (now() - begin) / 1e9 };
}

async function roundTrips(connections) {
  const sockets = await Promise.all(Array.from({ length: connections }, () => open(3)));
  const ping = Buffer.alloc(64, 'p');
  const times = [];
  const begin = now();
  const deadline = begin + seconds;
  await Promise.all(
    sockets.map(async (socket) => {
      let got = 0;
      let sent = now();
      const done = once(socket, 'end');
      socket.on('data', (chunk) => {
        got += chunk.length;
        if (got < ping.length) return;
        got = 0;
        const time = now();
        times.push(time - sent);
        sent = time;
        if (time < deadline) socket.write(ping);
        else socket.end();
      });
      socket.write(ping);
      await done;
    }),
  );
  const took = now() - begin;
  times.sort((a, b) => a - b);
  const percentile = (share) => times[Math.min(times.length - 1, Math.floor(times.length * share))] * 1e6;
  return { value: times.length / took, p50: percentile(0.5), p99: percentile(0.99) };
}

async function connections() {
  let count = 0;
  const begin = now();
  const deadline = begin + seconds;
  await Promise.all(
    Array.from({ length: 16 }, async () => {
      while (now() < deadline) {
        const socket = net.connect({ host, port: 4 });
        socket.resume();
        await once(socket, 'close');
        count++;
      }
    }),
  );
  return { value: count / (now() - begin) };
}

const result = await {
  download,
  upload,
  rtt1: () => roundTrips(1),
  rtt64: () => roundTrips(64),
  connect: connections,
}[measure]();
process.stdout.write(`${JSON.stringify(result)}\n`);
process.exit(0);
