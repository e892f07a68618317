#!/usr/bin/env node
// What a large simulation costs: an hour of virtual time with 100 hosts around a router and 1,000 TCP connections, each of
// which exchanges a message every `every` seconds, under 1% loss. Needs a release build (npm run build).
//   node bench/sim-scale.mjs [every]
import { createRequire } from 'node:module';

const { withNetwork } = createRequire(import.meta.url)('../dist/testing/index.js');
const every = Number(process.argv[2] ?? 30) * 1000;
const HOUR = 3_600_000;
const HOSTS = 100;
const CONNECTIONS = 1000;

const began = process.hrtime.bigint();
const result = await withNetwork({ seed: 1, keepCapture: 0 }, async (network) => {
  const router = network.router('router');
  const hosts = Array.from({ length: HOSTS }, (_, i) => network.host(`host${i}`));
  const links = hosts.map((host) => network.link(host, router, { delay: 10, rate: 100e6, loss: 0.01 }));
  for (const host of hosts) host.net.createServer((socket) => socket.on('error', () => {}).pipe(socket)).listen(7);
  const seen = { established: 0, messages: 0, errors: 0 };
  for (let i = 0; i < CONNECTIONS; i++) {
    const socket = hosts[i % HOSTS].net.connect({ host: `host${(i + 1 + Math.floor(i / HOSTS)) % HOSTS}`, port: 7 });
    socket.on('error', () => seen.errors++);
    socket.on('data', () => seen.messages++);
    socket.on('connect', () => {
      seen.established++;
      // Not all in the same moment.
      setTimeout(
        () => setInterval(() => socket.write('a message of some thirty bytes\n'), every),
        (i * every) / CONNECTIONS,
      );
    });
  }
  await network.advance(HOUR);
  const packets = links.reduce(
    (sum, link, i) => sum + link.stats(hosts[i]).delivered + link.stats(router).delivered,
    0,
  );
  return { ...seen, packets };
});
const seconds = Number(process.hrtime.bigint() - began) / 1e9;
console.log(
  `${HOSTS} hosts, ${result.established} of ${CONNECTIONS} connections, ${result.errors} errors, ${result.messages} messages, ${result.packets} packets: an hour in ${seconds.toFixed(1)} s, ${((seconds * 1e6) / result.packets).toFixed(1)} us a packet`,
);
