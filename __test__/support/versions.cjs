// What every supported Node runs, with the package as built: prints one JSON line that must not depend on the Node, but
// for its first field. Ends by itself; a crash at exit counts.
const { createHash } = require('node:crypto');
const net = require('../../dist/net.js');
const { createNetwork } = require('../../dist/testing/index.js');

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** Four hosts around a router, bad links, an echo each and requests over HTTP: the capture's digest and size. */
async function simulate(seed) {
  const network = createNetwork({ seed });
  const router = network.router('router');
  const hosts = ['a', 'b', 'server'].map((name) => network.host(name));
  const settings = { delay: 10, jitter: 3, rate: 5e6, loss: 0.03, duplicate: 0.02, reorder: 0.03, corrupt: 0.01 };
  for (const host of hosts) network.link(host, router, settings);
  const [a, b, server] = hosts;
  const capture = network.capture();
  server.net.createServer((socket) => socket.on('error', () => {}).pipe(socket)).listen(7);
  server.http
    .createServer((request, response) => request.resume().on('end', () => response.end(Buffer.alloc(30_000, 'x'))))
    .listen(80);
  const echo = (host) =>
    new Promise((resolve, reject) => {
      let received = 0;
      const socket = host.net.connect({ host: 'server', port: 7 }, () => socket.end(Buffer.alloc(100_000, 'abc')));
      socket.on('data', (chunk) => {
        received += chunk.length;
      });
      socket.on('error', reject);
      socket.on('close', () => resolve(received));
    });
  const post = (agent) =>
    new Promise((resolve, reject) => {
      const request = a.http.request('http://server/', { method: 'POST', agent }, (response) => {
        response.resume().on('end', () => resolve(response.statusCode));
      });
      request.on('error', reject);
      request.end(Buffer.alloc(20_000));
    });
  const results = await network.run(async () => {
    const agent = a.agent({ keepAlive: true });
    const got = [...(await Promise.all([echo(a), echo(b)])), await post(), await post(agent), await post(agent)];
    agent.destroy();
    return got;
  });
  console.error(`seed ${seed}: printing into a pipe is no real input or output of the program`);
  await network.advance(1000);
  const bytes = capture.stop();
  await network.close();
  return { results, length: bytes.length, sha256: sha256(bytes) };
}

/** Three megabytes through the default stack's loopback and back. */
function loopback() {
  return new Promise((resolve, reject) => {
    const server = net.createServer((socket) => socket.pipe(socket));
    server.listen(0, '127.0.0.1', () => {
      const chunks = [];
      const socket = net.connect({ port: server.address().port, host: '127.0.0.1' });
      socket.on('data', (chunk) => chunks.push(chunk));
      socket.on('error', reject);
      socket.on('close', () => server.close(() => resolve(sha256(Buffer.concat(chunks)))));
      socket.end(Buffer.alloc(3_000_000, 'usernet'));
    });
  });
}

async function main() {
  const result = { node: process.versions.node, loopback: await loopback() };
  for (const seed of [1, 1, 2]) result[`seed ${seed}, ${Object.keys(result).length}`] = await simulate(seed);
  process.stdout.write(`${JSON.stringify(result)}\n`);
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
