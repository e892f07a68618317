// A thundering herd: 1,000 clients reconnect after a restart. With jitter they spread, without it they come at once.
import * as assert from 'node:assert/strict';
import { withNetwork } from 'usernet/testing';

const CLIENTS = 1_000;
const HOSTS = 20;

/** Resolves with the most connections that came in any 10 ms, reconnecting with and without jitter. */
export async function thunderingHerd(): Promise<{ steady: number; jittered: number }> {
  const peak = (wait: (client: number) => number): Promise<number> =>
    withNetwork({ seed: 8, keepCapture: 0 }, async (network) => {
      const server = network.host('server');
      const center = network.switch('switch');
      network.link(server, center, { delay: 1, rate: 1e9 });
      const hosts = Array.from({ length: HOSTS }, (_, i) => network.host(`clients${i}`));
      for (const host of hosts) network.link(host, center, { delay: 5, rate: 100e6 });
      let accepted: number[] = [];
      const serve = (): void => {
        server.net
          .createServer((socket) => {
            accepted.push(network.now);
            socket.on('error', () => {});
            socket.resume();
          })
          .listen({ port: 80, backlog: CLIENTS });
      };
      let connected = 0;
      const connect = (client: number): void => {
        const socket = (hosts[client % HOSTS] as (typeof hosts)[0]).net.connect({ host: 'server', port: 80 });
        socket.on('connect', () => connected++);
        // A heartbeat finds out that the server has forgotten the connection.
        const beat = setInterval(() => socket.write('.'), 1_000);
        socket.on('error', () => {});
        socket.on('close', () => {
          clearInterval(beat);
          setTimeout(connect, wait(client), client);
        });
        socket.resume();
      };
      serve();
      for (let client = 0; client < CLIENTS; client++) connect(client);
      await network.until(() => connected === CLIENTS);
      server.crash();
      accepted = [];
      server.restart();
      serve();
      await network.until(() => accepted.length >= CLIENTS, { limit: 600_000 });
      const slots = new Map<number, number>();
      for (const at of accepted) slots.set(Math.floor(at / 10), (slots.get(Math.floor(at / 10)) ?? 0) + 1);
      return Math.max(...slots.values());
    });
  const steady = await peak(() => 1_000);
  // Spread by the client's number: what a random wait does, but the same in every run.
  const jittered = await peak((client) => 1_000 + ((client * 7_919) % 10_000));
  assert.ok(jittered * 5 < steady, `${jittered} at once with jitter, ${steady} without`);
  return { steady, jittered };
}
