// What users reach beside TCP and UDP, over links and without privileges: ping, traceroute, raw sockets, taps, interfaces
// and routes at run time, a router, flows that wait for a decision.

import { once } from 'node:events';
import {
  createLink,
  createStack,
  type Flow,
  type RawPacketInfo,
  type Socket,
  type Stack,
  type StackOptions,
  type TapFrame,
} from '../src/index';
import { hosts, pair, until } from './support/stacks';

const open: Stack[] = [];

afterEach(async () => {
  await Promise.all(open.splice(0).map((stack) => stack.close()));
});

/** Two stacks on a link. */
async function two(options: Parameters<typeof pair>[0] = {}): Promise<{ client: Stack; server: Stack }> {
  const { client, server } = await pair(options);
  open.push(client, server);
  return { client, server };
}

/** Two hosts with a router between them: 198.18.1.0/24 and 198.18.2.0/24, fd00:1::/64 and fd00:2::/64. */
async function routed(
  options: { mtu?: number; router?: StackOptions } = {},
): Promise<Record<'a' | 'b' | 'router', Stack>> {
  const [left, routerLeft] = createLink();
  const [right, routerRight] = createLink({ ...(options.mtu && { mtu: options.mtu }) });
  const router = await createStack({
    forwarding: true,
    ...options.router,
    interfaces: [
      { name: 'left', device: routerLeft, addresses: ['198.18.1.1/24', 'fd00:1::1/64'] },
      { name: 'right', device: routerRight, addresses: ['198.18.2.1/24', 'fd00:2::1/64'] },
    ],
  });
  const host = (side: number, device: typeof left): Promise<Stack> =>
    createStack({
      interfaces: [{ device, addresses: [`198.18.${side}.2/24`, `fd00:${side}::2/64`] }],
      routes: [
        { to: 'default', via: `198.18.${side}.1` },
        { to: 'default', via: `fd00:${side}::1` },
      ],
    });
  const [a, b] = await Promise.all([host(1, left), host(2, right)]);
  open.push(a, b, router);
  return { a, b, router };
}

describe('ping', () => {
  test.each(hosts)('%s answers, also with what does not fit one packet', async (host) => {
    const { client } = await two();
    const result = await client.ping(host, { count: 3, interval: 0, size: 60_000 });
    expect(result).toMatchObject({ host, address: host, transmitted: 3, received: 3, loss: 0, corrupted: 0 });
    expect(
      result.replies.map(({ seq, type, from, size, ttl, intact }) => [seq, type, from, size, ttl, intact]),
    ).toEqual([0, 1, 2].map((seq) => [seq, 'reply', host, 60_000, 64, true]));
    expect(result.min).toBeGreaterThan(0);
    expect(result.min).toBeLessThanOrEqual(result.avg);
    expect(result.avg).toBeLessThanOrEqual(result.max);
  });

  test('a lossy link shows in the statistics', async () => {
    const { client } = await two({ link: { loss: 0.3, seed: 7 } });
    const result = await client.ping(hosts[0], { count: 40, interval: 0, timeout: 300 });
    expect(result.received).toBeGreaterThan(8);
    expect(result.received).toBeLessThan(35);
    expect(result.loss).toBeCloseTo(1 - result.received / 40);
    expect(result.replies.filter(({ type }) => type === 'timeout')).toHaveLength(40 - result.received);
  });

  test('names are looked up; nobody answers; nowhere to go; wrong options; abort', async () => {
    const { client } = await two();
    expect(await client.ping('localhost', { count: 1, family: 4 })).toMatchObject({
      address: '127.0.0.1',
      received: 1,
    });
    const silent = await client.ping('198.18.0.99', { count: 2, interval: 0, timeout: 20 });
    expect(silent).toMatchObject({ transmitted: 2, received: 0, loss: 1, min: 0, avg: 0, max: 0, mdev: 0 });
    await expect(client.ping('192.0.2.1', { count: 1 })).rejects.toMatchObject({
      code: 'ENETUNREACH',
      syscall: 'ping',
    });
    await expect(client.ping('198.18.0.2', { size: 65_508 })).rejects.toMatchObject({ code: 'ERR_OUT_OF_RANGE' });
    await expect(client.ping('198.18.0.2', { count: 0 })).rejects.toMatchObject({ code: 'ERR_OUT_OF_RANGE' });
    await expect(client.ping(5 as never)).rejects.toMatchObject({ code: 'ERR_INVALID_ARG_TYPE' });
    const big = { size: 2000, dontFragment: true, count: 1 };
    await expect(client.ping('198.18.0.2', big)).rejects.toMatchObject({ code: 'EMSGSIZE' });
    const signal = AbortSignal.timeout(20);
    await expect(client.ping('198.18.0.99', { signal })).rejects.toMatchObject({
      name: 'AbortError',
      code: 'ABORT_ERR',
    });
    await client.close();
    await expect(client.ping('198.18.0.2')).rejects.toMatchObject({ code: 'ERR_STACK_CLOSED' });
  });
});

describe('a router in the process', () => {
  test.each([
    ['198.18.2.2', '198.18.1.1'],
    ['fd00:2::2', 'fd00:1::1'],
  ])('is on the way to %s, counts hops down, and says when they are over', async (host, gateway) => {
    const { a } = await routed();
    const { replies } = await a.ping(host, { count: 1 });
    expect(replies[0]).toMatchObject({ type: 'reply', ttl: 63 });
    expect((await a.ping(host, { count: 1, ttl: 1 })).replies[0]).toMatchObject({
      type: 'ttl-exceeded',
      from: gateway,
    });
    const path = await a.traceroute(host, { timeout: 500 });
    expect(path).toMatchObject({ host, reached: true });
    expect(path.hops.map(({ ttl, address }) => [ttl, address])).toEqual([
      [1, gateway],
      [2, host],
    ]);
    expect(path.hops[1]?.probes).toHaveLength(3);
  });

  test('tells of nets it does not know and of packets too long, and carries TCP', async () => {
    const { a, b, router } = await routed({ mtu: 1300 });
    const lost = await a.traceroute('203.0.113.9', { probes: 1, timeout: 500 });
    expect(lost).toMatchObject({ reached: false });
    expect(lost.hops[1]?.probes[0]).toMatchObject({ type: 'unreachable', from: '198.18.1.1' });
    expect((await a.ping('fd00:2::2', { count: 1, size: 1400 })).replies[0]).toMatchObject({
      type: 'too-big',
      mtu: 1300,
    });
    // The path's MTU is known from here on.
    expect((await a.ping('fd00:2::2', { count: 1, size: 1400 })).received).toBe(1);
    const server = b.net.createServer((socket) => socket.pipe(socket)).listen(7);
    await once(server, 'listening');
    const socket = a.net.connect({ host: '198.18.2.2', port: 7 });
    const sent = Buffer.alloc(300_000, 'router');
    socket.end(sent);
    const got: Buffer[] = [];
    for await (const chunk of socket) got.push(chunk as Buffer);
    expect(Buffer.concat(got).equals(sent)).toBe(true);
    expect(router.stats().ip_forw_datagrams).toBeGreaterThan(20);
  });

  test('without forwarding passes nothing on', async () => {
    const { a } = await routed({ router: { forwarding: false } });
    expect(await a.ping('198.18.2.2', { count: 1, timeout: 50 })).toMatchObject({ received: 0 });
  });
});

describe('interfaces at run time', () => {
  test('addresses and routes come and go', async () => {
    const { client, server } = await two();
    expect((await client.ping('198.18.0.9', { count: 1, timeout: 20 })).received).toBe(0);
    server.addAddress('link0', '198.18.0.9/24');
    expect((await client.ping('198.18.0.9', { count: 1 })).received).toBe(1);
    expect(() => server.addAddress('link0', '198.18.0.9/24')).toThrow(expect.objectContaining({ code: 'EADDRINUSE' }));
    expect(() => server.addAddress('link0', '224.0.0.1/24')).toThrow(expect.objectContaining({ code: 'EINVAL' }));
    expect(() => server.addAddress('nope', '198.18.0.10/24')).toThrow(
      /is no interface of this stack, which has: 'link0'/,
    );
    server.removeAddress('link0', '198.18.0.9/24');
    expect(() => server.removeAddress('link0', '198.18.0.9')).toThrow(
      expect.objectContaining({ code: 'EADDRNOTAVAIL' }),
    );
    expect((await client.ping('198.18.0.9', { count: 1, timeout: 20 })).received).toBe(0);

    server.addAddress('link0', '192.0.2.5/32');
    await expect(client.ping('192.0.2.5', { count: 1 })).rejects.toMatchObject({ code: 'ENETUNREACH' });
    client.addRoute({ to: '192.0.2.0/24', via: '198.18.0.2' });
    expect(client.routes()).toEqual([{ to: '192.0.2.0/24', via: '198.18.0.2', interface: 'link0' }]);
    expect((await client.ping('192.0.2.5', { count: 1 })).received).toBe(1);
    client.removeRoute('192.0.2.0/24');
    expect(client.routes()).toEqual([]);
    await expect(client.ping('192.0.2.5', { count: 1 })).rejects.toMatchObject({ code: 'ENETUNREACH' });
  });
});

describe('raw sockets', () => {
  test.each([
    [4, '198.18.0.1', '198.18.0.2', 'IPv4'],
    [6, 'fd00::1', 'fd00::2', 'IPv6'],
  ] as const)('carry packets of their protocol over IPv%s', async (family, from, to, name) => {
    const { client, server } = await two();
    const receiver = server.raw({ protocol: 253, family });
    const sender = client.raw({ protocol: 253, family, ttl: 9, interface: 'link0' });
    const arrived = once(receiver, 'message') as Promise<[Buffer, RawPacketInfo]>;
    const payload = Buffer.alloc(5000, 'raw');
    sender.send(payload, to);
    const [packet, info] = await arrived;
    expect(packet.equals(payload)).toBe(true);
    expect(info).toEqual({
      address: from,
      family: name,
      destination: to,
      interface: 'link0',
      ttl: 9,
      trafficClass: 0,
      size: 5000,
    });
    for (const socket of [receiver, sender]) {
      const closed = once(socket, 'close');
      socket.close();
      await closed;
      expect(socket.closed).toBe(true);
    }
    expect(() => sender.send(payload, to)).toThrow(expect.objectContaining({ code: 'ERR_SOCKET_CLOSED' }));
  });

  test('see what others receive; count what they have no room for; refuse what cannot be', async () => {
    const { client, server } = await two();
    const icmp = server.raw({ protocol: 'icmp' });
    const seen: number[] = [];
    icmp.on('message', (packet) => seen.push(packet[0] as number));
    await client.ping('198.18.0.2', { count: 2, interval: 0 });
    await until('both requests', () => seen.length === 2);
    expect(seen).toEqual([8, 8]);

    const small = server.raw({ protocol: 254, recvBufferSize: 4096 });
    const sender = client.raw({ protocol: 254 });
    // Not one turn of the event loop in between.
    for (let i = 0; i < 50; i++) sender.send(Buffer.alloc(1000), '198.18.0.2');
    await until('drops', () => small.drops > 0);
    expect(() => sender.send(Buffer.alloc(9), 'fd00::2')).toThrow(/must be an IPv4 address/);
    expect(() => sender.send(Buffer.alloc(70_000), '198.18.0.2')).toThrow(
      expect.objectContaining({ code: 'EMSGSIZE' }),
    );
    expect(() => sender.send(Buffer.alloc(9), '192.0.2.1')).toThrow(expect.objectContaining({ code: 'ENETUNREACH' }));
    expect(() => client.raw({ protocol: 256 })).toThrow(expect.objectContaining({ code: 'ERR_OUT_OF_RANGE' }));
    expect(() => client.raw({ protocol: 'tpc' as never })).toThrow(/must be a number or one of icmp, igmp/);
    const closed = once(small, 'close');
    await server.close();
    await closed;
  });
});

describe('taps', () => {
  test('see both directions, cut where asked, and end', async () => {
    const { client } = await two();
    const [link] = client.interfaces.filter(({ name }) => name === 'link0');
    const tap = link?.tap({ snapLength: 28 });
    const frames: TapFrame[] = [];
    tap?.on('frame', (frame) => frames.push(frame));
    await client.ping('198.18.0.2', { count: 1, size: 100 });
    await until('request and reply', () => frames.length === 2);
    expect(frames.map(({ direction, length, data }) => [direction, length, data.length, data[20]])).toEqual([
      ['out', 128, 28, 8],
      ['in', 128, 28, 0],
    ]);
    expect(Math.abs((frames[0] as TapFrame).time - Date.now())).toBeLessThan(60_000);
    tap?.close();
    await client.ping('198.18.0.2', { count: 1 });
    expect(frames).toHaveLength(2);
    const lo = client.interfaces.find(({ name }) => name === 'lo');
    expect(() => lo?.tap()).toThrow(/has no device/);
  });

  test('count what they have no room for', async () => {
    const { client } = await two();
    const tap = client.interfaces.find(({ name }) => name === 'link0')?.tap({ frames: 4 });
    const socket = client.dgram.createSocket('udp4').bind();
    await once(socket, 'listening');
    for (let i = 0; i < 20; i++) socket.send('x', 9, '198.18.0.2');
    await until('drops', () => (tap?.dropped ?? 0) > 0);
    socket.close();
  });
});

describe('flows that wait for a decision', () => {
  /** A client, and a stack that takes any address. */
  async function sandbox(options: StackOptions = {}): Promise<{ client: Stack; proxy: Stack }> {
    const [left, right] = createLink();
    const client = await createStack({
      interfaces: [{ device: left, addresses: ['198.18.0.1/24', 'fd00::1/64'] }],
      routes: [
        { to: 'default', via: '198.18.0.2' },
        { to: 'default', via: 'fd00::2' },
      ],
    });
    const proxy = await createStack({
      ...options,
      interfaces: [{ device: right, addresses: ['198.18.0.2/24', 'fd00::2/64'], acceptAny: true }],
    });
    open.push(client, proxy);
    return { client, proxy };
  }

  test.each(['203.0.113.80', '2001:db8::80'])('TCP to %s: the socket knows where it was meant to go', async (host) => {
    const { client, proxy } = await sandbox();
    const flows: Flow[] = [];
    proxy.onConnection(async (flow) => {
      flows.push(flow);
      await new Promise(setImmediate);
      if (flow.protocol !== 'tcp') return;
      const socket = flow.accept();
      expect([socket.localAddress, socket.localPort]).toEqual([host, 80]);
      socket.end(`you meant ${socket.localAddress} port ${socket.localPort}`);
    });
    const socket = client.net.connect({ host, port: 80 });
    await once(socket, 'connect');
    const remotePort = socket.localPort;
    let text = '';
    for await (const chunk of socket.setEncoding('utf8')) text += chunk;
    expect(text).toBe(`you meant ${host} port 80`);
    expect(flows).toHaveLength(1);
    expect(flows[0]).toMatchObject({
      protocol: 'tcp',
      interface: 'link0',
      localAddress: host,
      localPort: 80,
      remotePort,
    });
    expect(flows[0]?.decided).toBe(true);
    expect(() => flows[0]?.drop()).toThrow(expect.objectContaining({ code: 'ERR_FLOW_DECIDED' }));
  });

  test('a flow may be opened fast: its first data is there before the handshake is over', async () => {
    const { client, proxy } = await sandbox();
    const socketsOf: Socket[] = [];
    proxy.onConnection((flow) => {
      if (flow.protocol !== 'tcp') return;
      expect(() => flow.accept({ fastOpen: -1 })).toThrow(expect.objectContaining({ code: 'ERR_OUT_OF_RANGE' }));
      const socket = flow.accept({ fastOpen: 8 });
      socketsOf.push(socket);
      socket.pipe(socket);
    });
    // The first connection asks for a cookie, the second has it.
    for (const text of ['first', 'second']) {
      const socket = client.net.connect({ host: '203.0.113.7', port: 7, fastOpen: true });
      socket.end(text);
      let answer = '';
      for await (const chunk of socket.setEncoding('utf8')) answer += chunk;
      expect(answer).toBe(text);
    }
    expect(socketsOf).toHaveLength(2);
    expect(proxy.stats()).toMatchObject({ fast_open_cookie_reqd: 1, fast_open_passive: 1 });
    expect(client.stats()).toMatchObject({ fast_open_active: 1, fast_open_active_fail: 0 });
  });

  test('nothing is answered before the decision', async () => {
    const { client, proxy } = await sandbox();
    const held = new Promise<Flow>((resolve) => proxy.onConnection(resolve));
    const socket = client.net.connect({ host: '203.0.113.1', port: 1 });
    const flow = await held;
    const frames: TapFrame[] = [];
    proxy.interfaces
      .find(({ name }) => name === 'link0')
      ?.tap()
      .on('frame', (frame) => frames.push(frame));
    // What was to be said by then has been said before the echo's reply, which is all there is.
    await client.ping('198.18.0.2', { count: 1 });
    await until('the reply is seen', () => frames.some(({ direction }) => direction === 'out'));
    expect(frames.filter(({ direction }) => direction === 'out').map(({ data }) => data[9])).toEqual([1]);
    expect(socket.connecting).toBe(true);
    const accepted = flow.accept() as Socket;
    await Promise.all([once(socket, 'connect'), once(accepted, 'connect')]);
    socket.destroy();
    accepted.destroy();
  });

  test('reject, drop, pass, and a handler that fails', async () => {
    const { client, proxy } = await sandbox({ flowTimeout: 60_000 });
    proxy.net.createServer((socket) => socket.end('listener')).listen(5);
    proxy.onConnection((flow) => {
      if (flow.localPort === 1) flow.reject();
      if (flow.localPort === 2) flow.reject('prohibited');
      if (flow.localPort === 3) flow.drop();
      if (flow.localPort >= 5) flow.pass();
    });
    const outcome = async (port: number): Promise<string> => {
      const socket = client.net.connect({ host: '203.0.113.1', port });
      try {
        const [text] = (await once(socket, 'data')) as [Buffer];
        return `${text}`;
      } catch (error) {
        return (error as { code: string }).code;
      }
    };
    expect(await outcome(1)).toBe('ECONNREFUSED');
    expect(await outcome(2)).toBe('EHOSTUNREACH');
    expect(await outcome(5)).toBe('listener');
    expect(await outcome(6)).toBe('ECONNREFUSED');
    const dropped = client.net.connect({ host: '203.0.113.1', port: 3 });
    await until('the drop', () => (proxy.stats().flow_drops as number) > 0);
    expect(dropped.connecting).toBe(true);
    dropped.destroy();
    proxy.onConnection(null);
    expect(await outcome(5)).toBe('listener');
  });

  test('undecided ones are forgotten, and more than maxFlows do not wait', async () => {
    const { client, proxy } = await sandbox({ flowTimeout: 100, maxFlows: 3 });
    const flows: Flow[] = [];
    proxy.onConnection((flow) => flows.push(flow));
    const sockets = Array.from({ length: 6 }, (_, i) => client.net.connect({ host: '203.0.113.1', port: i + 1 }));
    await until('the overflow', () => (proxy.stats().flow_overflows as number) >= 3);
    await until('the timeouts', () => (proxy.stats().flow_timeouts as number) >= 3);
    expect(() => flows[0]?.accept()).toThrow(expect.objectContaining({ code: 'ERR_FLOW_GONE' }));
    for (const socket of sockets) socket.destroy();
  });

  test('UDP flows become connected sockets, with what had come, and end when idle', async () => {
    const { client, proxy } = await sandbox({ udpFlowIdle: 100 });
    const accepted: string[] = [];
    const gone = new Promise<void>((resolve) => {
      proxy.onConnection((flow) => {
        if (flow.protocol !== 'udp') return;
        const socket = flow.accept();
        accepted.push(`${flow.localAddress}:${flow.localPort}`);
        expect(socket.address()).toMatchObject({ address: flow.localAddress, port: flow.localPort });
        expect(socket.remoteAddress()).toMatchObject({ address: flow.remoteAddress, port: flow.remotePort });
        socket.on('message', (message) => socket.send(`<${message}>`));
        socket.on('close', resolve);
      });
    });
    for (const [type, host] of [
      ['udp4', '203.0.113.53'],
      ['udp6', '2001:db8::53'],
    ] as const) {
      const socket = client.dgram.createSocket(type);
      socket.send('one', 53, host);
      const [answer, info] = await once(socket, 'message');
      expect([`${answer}`, info.address, info.port]).toEqual(['<one>', host, 53]);
      socket.close();
    }
    expect(accepted).toEqual(['203.0.113.53:53', '2001:db8::53:53']);
    await gone;
    const rejected = client.dgram.createSocket('udp4');
    proxy.onConnection((flow) => flow.reject());
    rejected.connect(9, '203.0.113.53');
    await once(rejected, 'connect');
    rejected.send('refused?');
    expect((await once(rejected, 'error'))[0]).toMatchObject({ code: 'ECONNREFUSED' });
    rejected.close();
  });
});
