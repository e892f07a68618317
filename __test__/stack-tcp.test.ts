// Settings of TCP: buffers, timeouts, SYN cookies, probing, each seen to have its effect.
import { createStack } from '../src/index';
import type { StackOptions } from '../src/options';
import { createNetwork, type Host, type HostOptions, type Network } from '../src/testing/index';

const open: Network[] = [];
afterEach(() => {
  for (const network of open.splice(0)) network.close();
});

function pair(options: HostOptions = {}): { network: Network; client: Host; server: Host } {
  const network = createNetwork();
  open.push(network);
  const [client, server] = [network.host('client', options), network.host('server', options)];
  network.link(client, server, { delay: 20 });
  return { network, client, server };
}

const bad: Array<[StackOptions, string, string]> = [
  [{ recvBuffer: 1 }, 'ERR_OUT_OF_RANGE', 'options.recvBuffer'],
  [{ sendBuffer: { max: 1 } }, 'ERR_OUT_OF_RANGE', 'options.sendBuffer.max'],
  [{ recvBuffer: { min: 8192, max: 4096 } }, 'ERR_INVALID_ARG_VALUE', 'must have min <= default <= max'],
  [{ recvBuffer: 'big' as never }, 'ERR_INVALID_ARG_TYPE', 'options.recvBuffer'],
  [{ synCookies: 'sometimes' as never }, 'ERR_INVALID_ARG_TYPE', 'options.synCookies'],
  [{ userTimeout: -1 }, 'ERR_OUT_OF_RANGE', 'options.userTimeout'],
  [{ rtoMin: 300, rtoMax: 200 }, 'ERR_OUT_OF_RANGE', 'options.rtoMax'],
  [{ ttl: 0 }, 'ERR_OUT_OF_RANGE', 'options.ttl'],
  [{ ttl: 256 }, 'ERR_OUT_OF_RANGE', 'options.ttl'],
  [{ ttl: '64' as never }, 'ERR_INVALID_ARG_TYPE', 'options.ttl'],
  [{ mtuProbing: 'on' as never }, 'ERR_INVALID_ARG_VALUE', "must be 'off', 'blackHole' or 'always'"],
];
test.each(bad)('%j is refused', async (options, code, message) => {
  const error = await createStack(options).then(
    () => null,
    (reason: NodeJS.ErrnoException) => reason,
  );
  expect(error).toMatchObject({ code, message: expect.stringContaining(message) });
});

test('a user timeout ends a connection that nobody acknowledges', async () => {
  const { network, client, server } = pair();
  server.net.createServer(() => {}).listen(7);
  const socket = client.net.connect({ host: 'server', port: 7 });
  const errors: Array<string | undefined> = [];
  socket.on('error', (error: NodeJS.ErrnoException) => errors.push(error.code));
  await network.until(() => !socket.connecting);
  expect(() => socket.setUserTimeout(-1)).toThrow(expect.objectContaining({ code: 'ERR_OUT_OF_RANGE' }));
  expect(socket.setUserTimeout(5_000)).toBe(socket);
  network.partition([client], [server]);
  const start = network.now;
  socket.write('x');
  await network.until(() => errors.length > 0);
  expect(errors).toEqual(['ETIMEDOUT']);
  expect(network.now - start).toBeGreaterThanOrEqual(5_000);
  expect(network.now - start).toBeLessThan(6_000);
});

test('userTimeout may be an option, of a socket and of a stack', async () => {
  for (const [host, own] of [
    [{}, { userTimeout: 3_000 }],
    [{ userTimeout: 3_000 }, {}],
  ]) {
    const { network, client, server } = pair(host);
    server.net.createServer(() => {}).listen(7);
    const socket = client.net.connect({ host: 'server', port: 7, ...own });
    const errors: Array<string | undefined> = [];
    socket.on('error', (error: NodeJS.ErrnoException) => errors.push(error.code));
    await network.until(() => !socket.connecting);
    network.partition([client], [server]);
    const start = network.now;
    socket.write('x');
    await network.until(() => errors.length > 0);
    expect(errors).toEqual(['ETIMEDOUT']);
    expect(network.now - start).toBeLessThan(4_000);
  }
});

test.each([10_000, 1_500, 300])('keep-alive has a time (%i ms), an interval and a count', async (initialDelay) => {
  const { network, client, server } = pair();
  server.net.createServer(() => {}).listen(7);
  const socket = client.net.connect({ host: 'server', port: 7 });
  const errors: Array<string | undefined> = [];
  socket.on('error', (error: NodeJS.ErrnoException) => errors.push(error.code));
  await network.until(() => !socket.connecting);
  const start = network.now;
  socket.setKeepAlive({ enable: true, initialDelay, interval: 2_000, count: 3 });
  network.partition([client], [server]);
  await network.until(() => errors.length > 0);
  expect(errors).toEqual(['ETIMEDOUT']);
  // That time, and three probes two seconds apart.
  expect(network.now - start).toBeGreaterThanOrEqual(initialDelay + 5_900);
  expect(network.now - start).toBeLessThan(initialDelay + 7_000);
});

test('keep-alive refuses what is no time or count', () => {
  const { client } = pair();
  const socket = new client.net.Socket();
  for (const name of ['initialDelay', 'interval', 'count'] as const) {
    for (const value of [Number.NaN, -1, 1.5, 2 ** 31, Number.POSITIVE_INFINITY, '5', null, {}]) {
      const wrong = { enable: true, [name]: value } as never;
      const code = typeof value === 'number' ? 'ERR_OUT_OF_RANGE' : 'ERR_INVALID_ARG_TYPE';
      expect(() => socket.setKeepAlive(wrong)).toThrow(
        expect.objectContaining({ code, message: expect.stringContaining(`options.${name}`) }),
      );
    }
  }
});

test('a fixed buffer bounds what is written ahead', async () => {
  const { network, client, server } = pair({ sendBuffer: 8192, recvBuffer: { min: 4096, default: 8192, max: 8192 } });
  server.net.createServer({ pauseOnConnect: true }, () => {}).listen(7);
  const socket = client.net.connect({ host: 'server', port: 7 });
  await network.until(() => !socket.connecting);
  socket.write(Buffer.alloc(100_000));
  await network.advance(1_000);
  const info = socket.info() as unknown as Record<string, number>;
  expect(info.send_queue).toBeLessThanOrEqual(8192);
  expect(info.snd_wnd).toBe(0);
});

test('rtoMin is the least timeout', async () => {
  const { network, client, server } = pair({ rtoMin: 1_000, synCookies: 'always', mtuProbing: 'always' });
  server.net.createServer(() => {}).listen(7);
  const socket = client.net.connect({ host: 'server', port: 7 });
  await network.until(() => !socket.connecting);
  expect(socket.info()?.rto).toBeGreaterThanOrEqual(1_000);
  await network.advance(100);
  expect(server.stats()).toMatchObject({ syncookies_sent: 1, syncookies_recv: 1 });
});

test('ttl is that of every packet of a connection', async () => {
  const { network, client, server } = pair({ ttl: 7 });
  const capture = network.capture();
  server.net.createServer((socket) => socket.pipe(socket)).listen(7);
  const socket = client.net.connect({ host: 'server', port: 7, family: 4 });
  socket.once('data', () => socket.destroy());
  socket.write('x');
  await network.until(() => socket.closed);
  // The IPv4 headers in the capture, by their first bytes: version, DSCP, length, no identification, DF.
  const bytes = capture.stop();
  const ttls: number[] = [];
  for (let at = 0; at < bytes.length - 20; at += 4) {
    const tcp = bytes[at] === 0x45 && bytes.readUInt32BE(at + 4) === 0x4000 && bytes[at + 9] === 6;
    if (tcp) ttls.push(bytes[at + 8] as number);
  }
  expect(ttls.length).toBeGreaterThan(6);
  expect(new Set(ttls)).toEqual(new Set([7]));
});
