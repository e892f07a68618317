// A learning bridge between links, frame ports and a TAP with the kernel behind it.

import { once } from 'node:events';
import {
  type Bridge,
  type BridgePort,
  type BridgeStation,
  createBridge,
  createLink,
  createStack,
  type FramePort,
  framePort,
  type LinkEvent,
  type PingStatistics,
  type Stack,
} from '../src/index';
import { digestOf } from './support/bytes';
import { describeTun, Namespace } from './support/netns';
import { readAll, until } from './support/stacks';

const open: Array<{ close(): unknown }> = [];

afterEach(async () => {
  await Promise.all(open.splice(0).map((thing) => thing.close()));
});

async function bridged(count: number, options: Parameters<typeof createBridge>[0] = {}) {
  const bridge = await createBridge(options);
  open.push(bridge);
  const stacks: Stack[] = [];
  for (let number = 1; number <= count; number++) {
    const [near, far] = createLink({ medium: 'ethernet' });
    await bridge.addPort({ device: near, name: `p${number}` });
    const addresses = [`198.18.0.${number}/24`, `fd00::${number}/64`];
    const mac = `02:00:00:00:00:0${number}`;
    const stack = await createStack({ interfaces: [{ device: far, mac, addresses }] });
    open.push(stack);
    stacks.push(stack);
  }
  return { bridge, stacks };
}

const portOf = (bridge: Bridge, name: string): BridgePort =>
  bridge.ports.find((port) => port.name === name) as BridgePort;

describe.each(['thread', 'auto'] as const)('three hosts on a bridge (%s)', (drive) => {
  test('reach each other; frames go where their station is', async () => {
    const { bridge, stacks } = await bridged(3, { drive });
    const [one, two] = stacks as [Stack, Stack, Stack];
    for (const stack of stacks) {
      for (const to of ['198.18.0.1', 'fd00::2', '198.18.0.3', 'fd00::3']) {
        expect(await stack.ping(to, { count: 1 })).toMatchObject({ received: 1 });
      }
    }
    const stations = bridge.table().map(({ mac, port }) => `${mac} ${port}`);
    expect(stations.sort()).toEqual(['02:00:00:00:00:01 p1', '02:00:00:00:00:02 p2', '02:00:00:00:00:03 p3']);
    // A transfer between two of them is nothing to the third. (It is large segments on these links.)
    const server = two.net.createServer((socket) => socket.pipe(socket)).listen(7);
    await once(server, 'listening');
    const before = portOf(bridge, 'p3').bytesOut;
    const socket = one.net.connect({ host: '198.18.0.2', port: 7 });
    const sent = Buffer.alloc(3_000_000, 'bridge');
    socket.end(sent);
    expect((await readAll(socket)).equals(sent)).toBe(true);
    expect(portOf(bridge, 'p2').bytesOut).toBeGreaterThan(3_000_000);
    expect(portOf(bridge, 'p1').bytesOut).toBeGreaterThan(3_000_000);
    expect(portOf(bridge, 'p3').bytesOut - before).toBeLessThan(10_000);
    // To a group: to everybody.
    const groups = await Promise.all(
      stacks.slice(1).map(async (stack) => {
        const member = stack.dgram.createSocket('udp4').bind(5000);
        await once(member, 'listening');
        member.addMembership('239.1.2.3');
        return member;
      }),
    );
    const heard = groups.map((member) => once(member, 'message'));
    const sender = one.dgram.createSocket('udp4');
    sender.send('to all', 5000, '239.1.2.3');
    for (const [message] of await Promise.all(heard)) expect(`${message}`).toBe('to all');
    for (const member of [...groups, sender]) member.close();
    expect(portOf(bridge, 'p1').flooded).toBeGreaterThan(0);
    expect(bridge.ports.map(({ malformed, dropped, mtu, up }) => [malformed, dropped, mtu, up])).toEqual(
      Array(3).fill([0, 0, 1500, true]),
    );
  });
});

test('large segments are cut for a port that does not', async () => {
  const { bridge, stacks } = await bridged(1);
  const [here, there] = [framePort({ medium: 'ethernet' }), framePort({ medium: 'ethernet' })];
  const lengths: number[] = [];
  const queue = (from: FramePort, to: FramePort): void => {
    from.on('frame', (frame) => {
      lengths.push(frame.length);
      to.write(frame);
    });
  };
  queue(here, there);
  queue(there, here);
  await bridge.addPort({ device: here });
  const stack = await createStack({ interfaces: [{ device: there, addresses: ['198.18.0.9/24', 'fd00::9/64'] }] });
  open.push(stack);
  const server = stack.net.createServer((socket) => socket.pipe(socket)).listen(7);
  await once(server, 'listening');
  for (const host of ['198.18.0.9', 'fd00::9']) {
    const socket = (stacks[0] as Stack).net.connect({ host, port: 7 });
    const sent = Buffer.alloc(500_000, host);
    socket.end(sent);
    expect((await readAll(socket)).equals(sent)).toBe(true);
  }
  expect(Math.max(...lengths)).toBe(1514);
  expect(portOf(bridge, 'port0')).toMatchObject({ malformed: 0, mtu: 1500 });
});

test('the table is bounded and ages; noise is counted', async () => {
  const bridge = await createBridge({ maxEntries: 8, ageing: 1000, drive: 'auto' });
  open.push(bridge);
  const [a, b] = [framePort({ medium: 'ethernet' }), framePort({ medium: 'ethernet' })];
  await bridge.addPort({ device: a, name: 'a' });
  await bridge.addPort({ device: b, name: 'b' });
  const came: Buffer[] = [];
  b.on('frame', (frame) => came.push(frame));
  const frame = (from: string, to: string): Buffer => Buffer.from(`${to}${from}88b5`.padEnd(120, '0'), 'hex');
  for (let n = 0; n < 50; n++) a.write(frame(`02000000ff${n.toString(16).padStart(2, '0')}`, 'ffffffffffff'));
  await until('all went through', () => came.length === 50);
  expect(bridge.table()).toHaveLength(8);
  expect(bridge.table()[0]).toMatchObject<Partial<BridgeStation>>({ port: 'a' });
  for (const noise of ['00', '0200', 'ff'.repeat(14), `0180c200000e02000000ff01${'00'.repeat(50)}`]) {
    a.write(Buffer.from(noise, 'hex'));
  }
  await until('all were counted', () => portOf(bridge, 'a').framesIn === 54);
  expect(portOf(bridge, 'a')).toMatchObject({ flooded: 50, malformed: 3, filtered: 1 });
  expect(came).toHaveLength(50);
  await until('they are forgotten', () => bridge.table().length === 0);
});

test('ports come, go, fail and are taken down; what carries packets is refused', async () => {
  const { bridge, stacks } = await bridged(2);
  const [one] = stacks as [Stack, Stack];
  const events: LinkEvent[] = [];
  bridge.on('port', (event) => events.push(event));
  expect((await one.ping('198.18.0.2', { count: 1 })).received).toBe(1);
  bridge.setDown('p2');
  expect(portOf(bridge, 'p2').up).toBe(false);
  expect((await one.ping('198.18.0.2', { count: 1, timeout: 100 })).received).toBe(0);
  bridge.setUp('p2');
  expect((await one.ping('198.18.0.2', { count: 1 })).received).toBe(1);
  const port = framePort({ medium: 'ethernet' });
  await bridge.addPort({ device: port, name: 'tunnel' });
  port.close();
  await until('the port is gone', () => bridge.ports.length === 2);
  await until('all was told', () => events.length === 3);
  expect(events).toEqual([
    { type: 'down', interface: 'p2' },
    { type: 'up', interface: 'p2' },
    { type: 'lost', interface: 'tunnel' },
  ]);
  await bridge.removePort('p2');
  expect(bridge.ports.map(({ name }) => name)).toEqual(['p1']);
  expect((await one.ping('198.18.0.2', { count: 1, timeout: 100 })).received).toBe(0);
  const packets = { device: createLink()[0] };
  await expect(bridge.addPort(packets)).rejects.toThrow(/carries Ethernet frames.*tap\(\)/);
  await expect(createBridge({ ports: [{ device: createLink()[0] }] })).rejects.toMatchObject({ code: 'EINVAL' });
  await expect(createBridge({ ageing: 0 })).rejects.toMatchObject({ code: 'ERR_OUT_OF_RANGE' });
  await expect(createBridge({ ports: 7 as never })).rejects.toMatchObject({ code: 'ERR_INVALID_ARG_TYPE' });
  const closed = once(bridge, 'close');
  await bridge.close();
  await closed;
  expect(() => bridge.ports).toThrow(expect.objectContaining({ code: 'ERR_STACK_CLOSED' }));
  await expect(bridge.addPort(packets)).rejects.toMatchObject({ code: 'ERR_STACK_CLOSED' });
});

describeTun('a bridge with three hosts, one of them the kernel', () => {
  let ns: Namespace;
  beforeAll(async () => {
    ns = await Namespace.start('bridge-peer.ts');
  });
  afterAll(async () => {
    expect(await ns.stop()).toBe(0);
  });

  test.each([
    ['IPv4', ['198.18.0.1', '198.18.0.2', '198.18.0.3']],
    ['IPv6', ['fd00::1', 'fd00::2', 'fd00::3']],
  ] as const)('everybody reaches everybody over %s', async (_, [kernel, two, three]) => {
    for (const [from, to] of [
      [2, kernel],
      [2, three],
      [3, kernel],
      [3, two],
    ] as const) {
      const result = await ns.call<PingStatistics>('ping', from, to, { count: 2, interval: 20, size: 3000 });
      expect(result).toMatchObject({ received: 2, corrupted: 0 });
    }
    for (const to of [two, three]) {
      const { stdout } = await ns.exec('ping', ['-c', '3', '-i', '0.2', '-W', '5', '-s', '8000', to]);
      expect(stdout).toContain('3 received, 0% packet loss');
    }
    const bracket = (host: string): string => (host.includes(':') ? `[${host}]` : host);
    for (const [n, to] of [
      [2, two],
      [3, three],
    ] as const) {
      const url = `http://${bracket(to)}/1000000`;
      const { stdout } = await ns.exec('sh', ['-c', `curl -sS --max-time 60 '${url}' | sha256sum`]);
      expect(stdout.split(' ')[0]).toBe(digestOf(1_000_000, n));
    }
    expect(await ns.call('fetch', 2, bracket(three), 1_000_000)).toEqual({
      length: 1_000_000,
      sha256: digestOf(1_000_000, 3),
    });
  });

  test('the bridge knows who is where', async () => {
    const macs = await ns.call<string[]>('macs');
    const { stdout } = await ns.exec('ip', ['-o', 'link', 'show', 'tap0']);
    const kernel = stdout.match(/link\/ether (\S+)/)?.[1];
    const table = await ns.call<BridgeStation[]>('table');
    const where = new Map(table.map(({ mac, port }) => [mac, port]));
    expect([macs[0], macs[1], kernel].map((mac) => where.get(mac as string))).toEqual(['link', 'port', 'tap0']);
    const ports = await ns.call<BridgePort[]>('ports');
    expect(ports.map(({ name, malformed }) => [name, malformed])).toEqual([
      ['tap0', 0],
      ['link', 0],
      ['port', 0],
    ]);
  });
});
