// `usernet/testing`: what goes by the network's clock and seed besides timers, what happens in which order, and what is
// real and refused.
import { once } from 'node:events';
import * as realNet from 'node:net';
import { setTimeout as delay, scheduler, setInterval as ticks } from 'node:timers/promises';
import { request } from 'undici';
import { createNetwork, type Host, type Network } from 'usernet/testing';

const open: Network[] = [];

function pair(options: object = {}): { network: Network; client: Host; server: Host } {
  const network = createNetwork({ seed: 9, ...options });
  open.push(network);
  const [client, server] = [network.host('client'), network.host('server')];
  network.link(client, server, { delay: 20 });
  return { network, client, server };
}

afterEach(async () => {
  for (const network of open.splice(0)) await network.close();
});

describe.each(['own', "Jest's"])('%s fake timers', (whose) => {
  beforeEach(() => {
    if (whose !== 'own') jest.useFakeTimers({ doNotFake: ['nextTick', 'setImmediate', 'queueMicrotask'] });
  });
  afterEach(() => {
    jest.useRealTimers();
  });

  test('timers/promises and AbortSignal.timeout go by the network', async () => {
    const { network } = pair();
    await network.run(() => delay(3_600_000));
    expect(network.now).toBe(3_600_000);
    await network.run(() => scheduler.wait(1_000));
    expect(network.now).toBe(3_601_000);
    await network.run(async () => {
      let count = 0;
      for await (const _ of ticks(1_000)) if (++count === 4) break;
    });
    expect(network.now).toBe(3_605_000);
    const signal = AbortSignal.timeout(60_000);
    await network.advance(59_999);
    expect(signal.aborted).toBe(false);
    await network.advance(1);
    expect(signal.reason).toMatchObject({ name: 'TimeoutError' });
    // Nothing else is left to happen, and it is waited for.
    const ended = once(AbortSignal.timeout(5_000), 'abort');
    await network.run(() => ended);
    expect(network.now).toBe(3_670_000);
  });
});

test('everything is given back at the end', async () => {
  const before = [AbortSignal.timeout, Math.random, setTimeout, Date, scheduler.wait];
  const { network } = pair();
  expect(AbortSignal.timeout).not.toBe(before[0]);
  await network.close();
  expect([AbortSignal.timeout, Math.random, setTimeout, Date, scheduler.wait]).toEqual(before);
});

test('Math.random follows from the seed', async () => {
  const draw = async (options: object): Promise<number[]> => {
    const { network } = pair(options);
    const drawn = Array.from({ length: 1000 }, () => Math.random());
    await network.close();
    return drawn;
  };
  const [first, second, other] = [await draw({}), await draw({}), await draw({ seed: 10 })];
  expect(second).toEqual(first);
  expect(other).not.toEqual(first);
  expect(await draw({ seedRandom: false })).not.toEqual(first);
  const mean = first.reduce((sum, n) => sum + n, 0) / first.length;
  expect(mean).toBeGreaterThan(0.45);
  expect(mean).toBeLessThan(0.55);
});

test('ticks and promises of a timer come before what the network tells next', async () => {
  const { network, client, server } = pair();
  server.http.createServer(() => {}).listen(80);
  const error = await network.run(
    () =>
      new Promise<Error>((resolve) => {
        const asked = client.http.get('http://server/', { timeout: 7_000 });
        asked.on('timeout', () => asked.destroy(new Error('late')));
        asked.on('error', resolve);
      }),
  );
  // Not 'socket hang up': the error comes before the close.
  expect(error.message).toBe('late');
});

test('undici: the first connection of a process is as every other, and its timeouts hold in the next network, too', async () => {
  const pcaps: Buffer[] = [];
  for (let run = 0; run < 2; run++) {
    const { network, client, server } = pair();
    const capture = network.capture();
    server.http.createServer((asked, answer) => asked.url !== '/never' && answer.end('hello')).listen(80);
    const dispatcher = client.dispatcher({ headersTimeout: 20_000 });
    const text = await network.run(async () => {
      // Something that time could leap to.
      const far = setTimeout(() => {}, 3_600_000);
      const { body } = await request('http://server/', { dispatcher: dispatcher as never });
      clearTimeout(far);
      return body.text();
    });
    expect(text).toBe('hello');
    expect(network.now).toBeLessThan(200);
    pcaps.push(capture.stop());
    await expect(
      network.run(() => request('http://server/never', { dispatcher: dispatcher as never })),
    ).rejects.toMatchObject({ code: 'UND_ERR_HEADERS_TIMEOUT' });
    expect(network.now).toBeLessThan(30_000);
    await network.run(() => dispatcher.destroy());
    await network.close();
  }
  expect(pcaps[0]?.equals(pcaps[1] as Buffer)).toBe(true);
});

test('a real connection from before the network is refused when it is used', async () => {
  const accepted: realNet.Socket[] = [];
  const server = realNet.createServer((socket) => {
    accepted.push(socket.on('error', () => {}));
    socket.pipe(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as realNet.AddressInfo;
  const socket = realNet.connect(port, '127.0.0.1');
  const echoed = once(socket, 'data');
  socket.write('x');
  await echoed;
  const refused = { code: 'ERR_REAL_IO', message: expect.stringContaining('a real TCP connection') };
  const { network } = pair();
  await network.advance(10);
  socket.write('y');
  await expect(network.advance(10)).rejects.toMatchObject(refused);
  await network.close();
  socket.destroy();
  for (const one of accepted) one.destroy();
  server.close();
});
