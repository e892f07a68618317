// A worker thread with a stack on a TUN (198.18.2.2) that echoes on port 7 until it is terminated. Uses dist/, as built by
// `npm run build`.

const { parentPort } = require('node:worker_threads');
const { createStack, tun } = require('../../dist/index.js');

async function main() {
  const stack = await createStack({
    drive: 'loop',
    interfaces: [
      { device: tun({ name: 'un2', queues: Number(process.env.USERNET_QUEUES ?? 1) }), addresses: ['198.18.2.2/24'] },
    ],
  });
  const server = stack.net.createServer((socket) => {
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  server.listen(7, () => parentPort.postMessage('open'));
}

void main();
