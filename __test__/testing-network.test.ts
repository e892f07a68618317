// `usernet/testing`: networks in virtual and real time, their clock, faults, captures, assertions and exploration.
import { once } from 'node:events';
import * as fs from 'node:fs';
import * as realNet from 'node:net';
import * as os from 'node:os';
import * as path from 'node:path';
import {
  assertEstablished,
  assertNoLeaks,
  assertNoReset,
  assertReset,
  assertRetransmitted,
  createNetwork,
  ExploreFailure,
  explore,
  type FaultPlan,
  faultPlan,
  type Host,
  type LinkOptions,
  matchers,
  type Network,
  type NetworkMatchers,
  type NetworkOptions,
} from 'usernet/testing';

expect.extend(matchers);

declare global {
  namespace jest {
    interface Matchers<R> extends NetworkMatchers<R> {}
  }
}

const open: Network[] = [];

function pair(options: NetworkOptions = {}, link: LinkOptions = {}): { network: Network; client: Host; server: Host } {
  const network = createNetwork(options);
  open.push(network);
  const [client, server] = [network.host('client'), network.host('server')];
  network.link(client, server, { delay: 20, ...link });
  return { network, client, server };
}

function echo(server: Host, port = 7): void {
  server.net
    .createServer((socket) => {
      socket.on('error', () => {});
      socket.pipe(socket);
    })
    .listen(port);
}

/** Sends bytes to an echo server; resolves with what came back. */
function exchange(client: Host, bytes: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket = client.net.connect({ host: 'server', port: 7 }, () => socket.end(bytes));
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('error', reject);
    socket.on('close', () => resolve(Buffer.concat(chunks)));
  });
}

function pattern(length: number): Buffer {
  return Buffer.from(Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8)) & 0xff));
}

afterEach(async () => {
  for (const network of open.splice(0)) await network.close();
});

describe('virtual time', () => {
  test('an exchange takes the time of the link, and no real time', async () => {
    const { network, client, server } = pair();
    echo(server);
    const began = process.hrtime.bigint();
    const got = await network.run(() => exchange(client, pattern(1000)));
    expect(got.equals(pattern(1000))).toBe(true);
    // Handshake, data and its echo, FINs: three round trips of 40 ms at most.
    expect(network.now).toBeGreaterThanOrEqual(80);
    expect(network.now).toBeLessThan(200);
    expect(Number(process.hrtime.bigint() - began) / 1e6).toBeLessThan(5000);
  });

  test('timers, Date and performance share the clock', async () => {
    const { network } = pair();
    const seen: number[][] = [];
    const [date, mark] = [Date.now(), performance.now()];
    setTimeout(() => seen.push([Date.now() - date, performance.now() - mark, network.now]), 7_200_000);
    await network.advance(7_199_999);
    expect(seen).toEqual([]);
    await network.advance(1);
    expect(seen).toEqual([[7_200_000, 7_200_000, 7_200_000]]);
  });

  test('time stands still outside of run, advance and until', async () => {
    const { network } = pair();
    let fired = false;
    setTimeout(() => {
      fired = true;
    }, 1);
    await new Promise((resolve) => setImmediate(resolve));
    expect(fired).toBe(false);
    expect(network.now).toBe(0);
  });

  test('timers and packets happen in the order of their times', async () => {
    const { network, client, server } = pair();
    const order: string[] = [];
    server.net.createServer(() => order.push('accepted')).listen(7);
    client.net.connect({ host: 'server', port: 7 }, () => order.push('connected'));
    setTimeout(() => order.push('39 ms'), 39);
    setTimeout(() => order.push('41 ms'), 41);
    setTimeout(() => order.push('59 ms'), 59);
    setTimeout(() => order.push('61 ms'), 61);
    await network.advance(100);
    expect(order).toEqual(['39 ms', 'connected', '41 ms', '59 ms', 'accepted', '61 ms']);
  });

  test('a keep-alive of ten minutes and an idle timeout of two hours', async () => {
    const { network, client, server } = pair();
    server.net.createServer((socket) => socket.setTimeout(7_200_000, () => socket.end())).listen(7);
    const socket = client.net.connect({ host: 'server', port: 7 });
    socket.setKeepAlive(true, 600_000);
    let ended = 0;
    socket.on('end', () => {
      ended = network.now;
    });
    socket.resume();
    await network.until(() => ended > 0, { limit: 8_000_000 });
    expect(ended).toBeGreaterThan(7_200_000);
    expect(ended).toBeLessThan(7_201_000);
  });

  test('run ends when nothing is left, and names what keeps it busy', async () => {
    const { network } = pair();
    await network.run();
    expect(network.now).toBe(0);
    let ticks = 0;
    const loop = (): void => {
      ticks++;
      setTimeout(loop, 1000);
    };
    loop();
    await expect(network.run({ limit: 10_000 })).rejects.toMatchObject({ code: 'ERR_NETWORK_BUSY' });
    expect(ticks).toBe(11);
  });

  test('until fails with the last packets and a pcap when it waits in vain', async () => {
    const { network, client } = pair();
    client.net.connect({ host: 'server', port: 81 }).on('error', () => {});
    const error = (await network
      .until(() => false, { limit: 1000, what: 'the impossible' })
      .catch((e: unknown) => e)) as Error;
    expect(error).toMatchObject({ code: 'ERR_NETWORK_STALLED' });
    expect(error.message).toContain('the impossible');
    expect(error.message).toContain('client>server TCP');
    const file = /pcap: (.*)$/m.exec(error.message)?.[1] as string;
    expect(fs.readFileSync(file).readUInt32LE(0)).toBe(0x0a0d0d0a);
    fs.unlinkSync(file);
  });
});

describe('real input and output in virtual time', () => {
  test('a file that is read is awaited', async () => {
    const { network, client, server } = pair();
    echo(server);
    const got = await network.run(async () => {
      const bytes = await fs.promises.readFile(__filename);
      return [bytes, await exchange(client, bytes)];
    });
    expect(got[0]?.equals(got[1] as Buffer)).toBe(true);
    expect(network.now).toBeLessThan(2000);
  });

  test('a real server is refused by name', async () => {
    const { network } = pair();
    const server = realNet.createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    await expect(network.advance(10)).rejects.toMatchObject({
      code: 'ERR_REAL_IO',
      message: expect.stringContaining('a real TCP server'),
    });
    server.close();
    await once(server, 'close');
    await network.advance(10);
    expect(network.now).toBeGreaterThanOrEqual(10);
  });
});

describe('repeatability', () => {
  async function run(seed: number): Promise<{ pcap: Buffer; trace: string }> {
    const { network, client, server } = pair({ seed }, { loss: 0.05, jitter: 3, rate: 10e6, reorder: 0.02 });
    const capture = network.capture();
    server.http.createServer((_request, response) => response.end(pattern(20_000))).listen(80);
    await network.run(async () => {
      for (let i = 0; i < 3; i++) {
        await new Promise<void>((resolve, reject) => {
          const request = client.http.get('http://server/', (response) => response.resume().on('end', resolve));
          request.on('error', reject);
        });
      }
    });
    const result = { pcap: capture.stop(), trace: network.trace() };
    await network.close();
    return result;
  }

  test('one seed gives identical bytes, another gives others', async () => {
    const [first, second, other] = [await run(7), await run(7), await run(8)];
    expect(first.pcap.length).toBeGreaterThan(60_000);
    expect(first.pcap.equals(second.pcap)).toBe(true);
    expect(first.trace).toBe(second.trace);
    expect(first.pcap.equals(other.pcap)).toBe(false);
  });

  test('a capture goes to its file', async () => {
    const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'usernet-')), 'out.pcapng');
    const { network, client, server } = pair();
    echo(server);
    const capture = network.capture(file);
    await network.run(() => exchange(client, pattern(10)));
    expect(fs.readFileSync(file).equals(capture.bytes())).toBe(true);
    expect(capture.bytes().length).toBeGreaterThan(500);
  });
});

describe('faults', () => {
  test('a partition is overcome by retransmission', async () => {
    const { network, client, server } = pair();
    echo(server);
    setTimeout(() => network.partition([client], [server]), 50);
    setTimeout(() => network.heal(), 5_000);
    const got = await network.run(() => exchange(client, pattern(100_000)));
    expect(got.equals(pattern(100_000))).toBe(true);
    expect(network.now).toBeGreaterThan(5_000);
    assertRetransmitted(network, { client, server, port: 7 });
    assertNoReset(network);
    expect(network.drops()).toMatchObject({ partition: expect.any(Number) });
  });

  test('what nothing leads to is told at once', async () => {
    const { network, client, server } = pair({}, { delay: 20 });
    const alone = network.host('alone', { addresses: ['198.18.7.1/24', 'fd00:7::1/64'] });
    expect(alone.addresses).toEqual(['198.18.7.1', 'fd00:7::1']);
    const codes = await network.run(() =>
      Promise.all(
        ['203.0.113.7', '2001:db8::7', '198.18.7.1'].map(
          (host) =>
            new Promise((resolve) => {
              client.net.connect({ host, port: 80 }).on('error', (error: NodeJS.ErrnoException) => resolve(error.code));
            }),
        ),
      ),
    );
    expect(codes).toEqual(['ENETUNREACH', 'ENETUNREACH', 'ENETUNREACH']);
    expect(network.now).toBe(0);
    expect(() => network.partition(client as never, [server])).toThrow('The "a" argument must be an instance of Array');
    expect(() => network.partition([client], [{ name: 'x', node: 0 }])).toThrow("The argument 'b[0]' must be a node");
    expect(() => network.host('bad', { addresses: ['198.18.0.300/24'] })).toThrow("'198.18.0.300/24' is no IP address");
  });

  test('a crash sends nothing, a restart answers with RST and can listen again', async () => {
    const { network, client, server } = pair();
    echo(server);
    const socket = client.net.connect({ host: 'server', port: 7 });
    const errors: NodeJS.ErrnoException[] = [];
    socket.on('error', (error: NodeJS.ErrnoException) => errors.push(error));
    await network.until(() => !socket.connecting);
    server.crash();
    expect(server.up).toBe(false);
    await network.advance(1_000);
    assertNoReset(network);
    expect(errors).toEqual([]);
    expect(() => server.net.createServer().listen(7)).toThrow(expect.objectContaining({ code: 'EHOSTDOWN' }));
    server.restart();
    echo(server);
    socket.write('are you there?');
    await network.until(() => errors.length > 0);
    expect(errors[0]?.code).toBe('ECONNRESET');
    assertReset(network);
    expect((await network.run(() => exchange(client, pattern(5)))).length).toBe(5);
  });

  test('a link is changed while it runs', async () => {
    const network = createNetwork();
    open.push(network);
    const [a, b] = [network.host('client'), network.host('server')];
    const link = network.link(a, b, { delay: 1 });
    echo(b);
    await network.run(() => exchange(a, pattern(10)));
    const before = network.now;
    link.set({ delay: 1_000 });
    await network.run(() => exchange(a, pattern(10)));
    expect(network.now - before).toBeGreaterThan(4_000);
    expect(link.stats().delivered).toBeGreaterThan(5);
    expect(() => link.set({ loss: 2 })).toThrow(/options\.loss.*>= 0 && <= 1/);
    expect(() => link.set({ los: 0.1 } as never)).toThrow(/is no setting/);
  });

  test('the third data segment is dropped by a rule', async () => {
    const { network, client, server } = pair();
    echo(server);
    const rule = network.rule({ from: client, to: server, data: true, nth: 3 }, 'drop');
    const got = await network.run(() => exchange(client, pattern(20_000)));
    expect(got.length).toBe(20_000);
    expect(rule.hits).toBe(1);
    expect(network).toHaveRetransmitted({ client: 'client' });
    expect(network).not.toHaveSentReset();
  });

  test('names: unknown ones fail, a host has its own besides', async () => {
    const network = createNetwork();
    open.push(network);
    const server = network.host('server', { addresses: ['192.0.2.1'] });
    const client = network.host('client', { dns: { db: '192.0.2.1' } });
    network.link(client, server, { delay: 5 });
    echo(server, 5432);
    const socket = client.net.connect({ host: 'db', port: 5432 });
    await network.until(() => !socket.connecting);
    expect(socket.remoteAddress).toBe('192.0.2.1');
    const failed = client.net.connect({ host: 'nowhere', port: 1 });
    let error: NodeJS.ErrnoException | undefined;
    failed.on('error', (e: NodeJS.ErrnoException) => {
      error = e;
    });
    await network.until(() => error !== undefined);
    expect(error).toMatchObject({ code: 'ENOTFOUND', syscall: 'getaddrinfo', hostname: 'nowhere' });
  });
});

describe('for test authors', () => {
  test('a failed assertion shows the last packets and where the pcap is', async () => {
    const { network, client, server } = pair();
    echo(server);
    await network.run(() => exchange(client, pattern(10)));
    assertEstablished(network, { client, server });
    const fail = (): void => assertRetransmitted(network, { client });
    expect(fail).toThrow(/at least 1 retransmission.*from client; found 0/);
    expect(fail).toThrow(/client>server TCP .* S seq 0/);
    expect(fail).toThrow(/pcap: .*\.pcapng/);
    for (const file of fs.readdirSync(os.tmpdir())) {
      if (file.startsWith(`usernet-${process.pid}-`)) fs.unlinkSync(path.join(os.tmpdir(), file));
    }
  });

  test('a leak names its creator', async () => {
    const { network, client, server } = pair({ keepCapture: 0 });
    echo(server);
    const socket = client.net.connect({ host: 'server', port: 7 });
    await network.until(() => !socket.connecting);
    const leaks = network.leaks().filter(({ host }) => host === 'client');
    expect(leaks).toHaveLength(1);
    expect(leaks[0]?.creator).toContain('testing-network.test.ts');
    expect(() => assertNoLeaks(network)).toThrow(/socket on client .*testing-network\.test\.ts/);
  });

  test('packets are events', async () => {
    const { network, client, server } = pair();
    echo(server);
    const flags: string[] = [];
    network.on('packet', ({ what, from, flags: bits }) => {
      if (what === 'sent') flags.push(`${from} ${bits}`);
    });
    await network.run(() => exchange(client, pattern(10)));
    expect(flags.slice(0, 3)).toEqual(['client S', 'server SA', 'client A']);
  });
});

describe('exploration', () => {
  test('a transfer survives 1,000 seeds of loss, duplication, reordering and corruption', async () => {
    const bytes = pattern(8_000);
    for (let seed = 0; seed < 1000; seed++) {
      const { network, client, server } = pair(
        { seed, keepCapture: 0, keepTrace: 20 },
        { loss: 0.1, duplicate: 0.05, reorder: 0.1, corrupt: 0.01, rate: 10e6 },
      );
      echo(server);
      const got = await network.run(() => exchange(client, bytes));
      expect(got.equals(bytes)).toBe(true);
      await network.close();
      open.pop();
    }
  }, 120_000);

  test('the smallest failing seed and plan are told, and fail again', async () => {
    const scenario = async ({ network }: { network: Network }): Promise<void> => {
      const [client, server] = [network.host('client'), network.host('server')];
      network.link(client, server);
      echo(server);
      await exchange(client, pattern(50_000));
      if (network.connections().some(({ sent }) => sent.retransmits > 0)) throw new Error('it retransmitted');
    };
    const failure = (await explore(50, scenario).catch((error: unknown) => error)) as ExploreFailure;
    expect(failure).toBeInstanceOf(ExploreFailure);
    expect(failure.message).toContain('it retransmitted');
    expect(failure.message).toContain(JSON.stringify(failure.plan));
    const again = createNetwork({ seed: failure.seed, plan: JSON.parse(JSON.stringify(failure.plan)) });
    open.push(again);
    await expect(again.run(() => scenario({ network: again }))).rejects.toThrow('it retransmitted');
    expect(failure.plan.faults.length).toBeLessThanOrEqual(faultPlan(failure.seed).faults.length);
  });

  test('a plan is left with nothing but what the failure needs', async () => {
    const fails = (failure: (network: Network) => boolean): Promise<FaultPlan> =>
      explore([3], async ({ network }) => {
        const [client, server] = [network.host('client'), network.host('server')];
        network.link(client, server, { delay: 1 });
        echo(server);
        await exchange(client, pattern(20_000)).catch(() => {});
        if (failure(network)) throw new Error('as told');
      }).then(
        () => faultPlan(3),
        (error: ExploreFailure) => error.plan,
      );
    expect(await fails(() => true)).toEqual({ seed: 3, there: {}, back: {}, faults: [] });
    const needed = await fails((network) => network.connections().some(({ sent }) => sent.retransmits > 0));
    const size = ({ there, back, faults }: FaultPlan): number =>
      [there, back, ...faults].reduce((sum, part) => sum + Object.keys(part).length, 0);
    expect(size(needed)).toBeLessThan(size(faultPlan(3)) / 2);
  });
});

test('real time: the same network as time passes', async () => {
  const { client, server } = pair({ clock: 'real' }, { delay: 15 });
  echo(server);
  const began = process.hrtime.bigint();
  const got = await exchange(client, pattern(3000));
  expect(got.length).toBe(3000);
  expect(Number(process.hrtime.bigint() - began) / 1e6).toBeGreaterThan(55);
});

test('real time: a server of the real network is reached through a host', async () => {
  const real = realNet.createServer((socket) => socket.end('real')).listen(0, '127.0.0.1');
  await once(real, 'listening');
  const { client, server } = pair({ clock: 'real' }, { delay: 5 });
  await server.forward(5432, { host: '127.0.0.1', port: (real.address() as realNet.AddressInfo).port });
  const socket = client.net.connect({ host: 'server', port: 5432 });
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(socket, 'close');
  expect(Buffer.concat(chunks).toString()).toBe('real');
  real.close();
  await once(real, 'close');
});
