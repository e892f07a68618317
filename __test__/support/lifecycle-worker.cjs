// A worker thread that opens a stack with traffic on it, and never ends by itself. Uses dist/, as built by `npm run build`.

const { parentPort } = require('node:worker_threads');
const { createStack } = require('../../dist/index.js');

async function main() {
  const stack = await createStack();
  const server = stack.net.createServer((socket) => {
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  server.listen(7);
  const socket = stack.net.connect({ host: '::1', port: 7 });
  const chunk = Buffer.alloc(65_536, 'w');
  const fill = () => {
    while (socket.write(chunk));
  };
  socket.on('error', () => {});
  socket.on('connect', fill);
  socket.on('drain', fill);
  socket.once('data', () => parentPort.postMessage('open'));
  socket.resume();
}

void main();
