// Sends so many bytes over TLS to port 443, from the kernel's sockets, and waits for the answer.
//   node tls-client.mjs <host> <bytes>
// Prints one JSON line.

import { once } from 'node:events';
import process from 'node:process';
import tls from 'node:tls';

const [host, bytes] = process.argv.slice(2);
const chunk = Buffer.alloc(256 << 10, 'usernet ');
// The certificate is made for the run: who is there is not what is measured.
const socket = tls.connect({ host, port: 443, rejectUnauthorized: false });
await once(socket, 'secureConnect');
const answer = once(socket, 'data');
const begin = performance.now();
for (let left = Number(bytes); left > 0; left -= chunk.length) {
  if (!socket.write(left < chunk.length ? chunk.subarray(0, left) : chunk)) await once(socket, 'drain');
}
socket.end();
await answer;
process.stdout.write(`${JSON.stringify({ value: (Number(bytes) * 8) / (performance.now() - begin) / 1e6 })}\n`);
process.exit(0);
