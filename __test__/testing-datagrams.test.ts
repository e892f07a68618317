// UDP and ping between the hosts of a network in virtual time.

import { once } from 'node:events';
import { createNetwork, type Host, type Network } from '../src/testing';

/** A client, two routers and a server in a row, 35 ms apart. */
function twoRouters(network: Network): { client: Host; server: Host } {
  const [client, server] = [network.host('client'), network.host('server')];
  const routers = [network.router('a'), network.router('b')] as const;
  network.link(client, routers[0], { delay: 10 });
  network.link(routers[0], routers[1], { delay: 20 });
  network.link(routers[1], server, { delay: 5 });
  return { client, server };
}

test('datagrams take the time the links take, and some are lost', async () => {
  const network = createNetwork({ seed: 5 });
  const [client, server] = [network.host('client'), network.host('server')];
  network.link(client, server, { delay: 30, loss: 0.25 });
  await network.run(async () => {
    const echo = server.dgram.createSocket('udp4', (message, from) => echo.send(message, from.port, from.address));
    echo.bind(7);
    await once(echo, 'listening');
    const socket = client.dgram.createSocket('udp4');
    const times: number[] = [];
    const began = Date.now();
    socket.on('message', () => times.push(Date.now() - began));
    for (let i = 0; i < 40; i++) socket.send(`${i}`, 7, 'server');
    await new Promise((resolve) => setTimeout(resolve, 1000));
    expect(new Set(times)).toEqual(new Set([60]));
    expect(times.length).toBeGreaterThan(10);
    expect(times.length).toBeLessThan(35);
    socket.close();
    echo.close();
  });
  await network.close();
});

test('ping counts in virtual ms; a refusal comes back', async () => {
  const network = createNetwork({ seed: 6 });
  const { client, server } = twoRouters(network);
  await network.run(async () => {
    const began = Date.now();
    const result = await client.ping('server', { count: 10 });
    expect(result).toMatchObject({ received: 10, loss: 0, min: 70, avg: 70, max: 70, mdev: 0 });
    expect(Date.now() - began).toBe(9070);
    const socket = client.dgram.createSocket('udp4');
    socket.connect(9, server.address);
    await once(socket, 'connect');
    socket.send('anyone?');
    expect((await once(socket, 'error'))[0]).toMatchObject({ code: 'ECONNREFUSED' });
    socket.close();
  });
  await network.close();
});

test('traceroute names the routers, a raw socket sees the requests', async () => {
  const network = createNetwork({ seed: 7 });
  const { client, server } = twoRouters(network);
  await network.run(async () => {
    const seen: number[] = [];
    const raw = server.raw({ protocol: 'icmp' });
    raw.on('message', (packet: Buffer) => seen.push(packet[0] as number));
    const way = await client.traceroute('server', { probes: 1 });
    expect(way).toMatchObject({ reached: true, address: server.address });
    const rtts = way.hops.map(({ probes }) => probes[0]?.rtt);
    expect(rtts).toEqual([20, 60, 70]);
    expect(way.hops.map(({ address }) => address).at(-1)).toBe(server.address);
    expect(seen).toEqual([8]);
    raw.close();
  });
  await network.close();
});
