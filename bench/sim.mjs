#!/usr/bin/env node
// What simulating costs: real time a packet, for a bulk transfer in one process through usernet/testing in virtual time.
// Needs a release build (npm run build).
//   node bench/sim.mjs [bytes]
import { createRequire } from 'node:module';

const { withNetwork } = createRequire(import.meta.url)('../dist/testing/index.js');
const size = Number(process.argv[2] ?? 20_000_000);

const { packets, ms } = await withNetwork({ seed: 1, keepCapture: 0 }, async (network) => {
  const [client, server] = [network.host('client'), network.host('server')];
  const link = network.link(client, server, { delay: 5, rate: 1e9 });
  server.net.createServer((socket) => socket.resume()).listen(7);
  const began = process.hrtime.bigint();
  const socket = client.net.connect({ host: 'server', port: 7 });
  socket.resume();
  socket.end(Buffer.alloc(size));
  await network.until(() => socket.destroyed);
  return {
    packets: link.stats(client).delivered + link.stats(server).delivered,
    ms: Number(process.hrtime.bigint() - began) / 1e6,
  };
});
console.log(
  `${packets} packets, ${size} bytes in ${ms.toFixed(0)} ms: ${((ms * 1000) / packets).toFixed(2)} us a packet`,
);
