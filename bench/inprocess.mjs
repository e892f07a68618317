// Both ends in one process: usernet over an in-process link or its loopback, or Node's own `net` over 127.0.0.1.
//   node inprocess.mjs <usernet-link|usernet-loopback|kernel> <bulk|rtt> <bytes> <seconds>
// Prints one JSON line.

import { once } from 'node:events';
import kernelNet from 'node:net';
import process from 'node:process';

const [kind, measure, bytesText, secondsText] = process.argv.slice(2);
const now = () => Number(process.hrtime.bigint()) / 1e9;

let [client, server, host] = [kernelNet, kernelNet, '127.0.0.1'];
if (kind === 'kernel') {
  const { execFileSync } = await import('node:child_process');
  execFileSync('ip', ['link', 'set', 'lo', 'up']);
} else {
  const { createLink, createStack } = await import('usernet');
  if (kind === 'usernet-loopback') {
    client = server = (await createStack()).net;
  } else {
    const [left, right] = createLink();
    const make = async (device, address) => (await createStack({ interfaces: [{ device, addresses: [address] }] })).net;
    client = await make(left, '198.18.0.1/24');
    server = await make(right, '198.18.0.2/24');
    host = '198.18.0.2';
  }
}

const echo = measure === 'rtt';
const listener = server.createServer((socket) => {
  socket.setNoDelay(true);
  if (echo) socket.on('data', (chunk) => socket.write(chunk));
  else socket.resume().on('end', () => socket.end('k'));
});
await once(listener.listen(0, host), 'listening');
const socket = client.connect({ host, port: listener.address().port, noDelay: true });
await once(socket, 'connect');

if (echo) {
  const ping = Buffer.alloc(64, 'p');
  const deadline = now() + Number(secondsText);
  const begin = now();
  let count = 0;
  let got = 0;
  await new Promise((resolve) => {
    socket.on('data', (chunk) => {
      got += chunk.length;
      if (got < ping.length) return;
      got = 0;
      count++;
      if (count % 16 === 0 && now() > deadline) resolve();
      else socket.write(ping);
    });
    socket.write(ping);
  });
  process.stdout.write(`${JSON.stringify({ value: count / (now() - begin) })}\n`);
} else {
  const chunk = Buffer.alloc(256 << 10, 'usernet ');
  const answer = once(socket, 'data');
  const begin = now();
  for (let left = Number(bytesText); left > 0; left -= chunk.length) {
    if (!socket.write(left < chunk.length ? chunk.subarray(0, left) : chunk)) await once(socket, 'drain');
  }
  socket.end();
  await answer;
  process.stdout.write(`${JSON.stringify({ value: (Number(bytesText) * 8) / (now() - begin) / 1e9 })}\n`);
}
process.exit(0);
