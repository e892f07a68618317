// Interfaces at run time, without privileges: events, MTU, link state, fixed neighbours, stable addresses.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
  createLink,
  createStack,
  type InterfaceEvent,
  type InterfaceOptions,
  type Stack,
  unixSocket,
} from '../src/index';
import { readAll, until } from './support/stacks';

const open: Stack[] = [];

afterEach(async () => {
  await Promise.all(open.splice(0).map((stack) => stack.close()));
});

/** Two stacks on an Ethernet link, whose events are kept. */
async function two(options: Partial<InterfaceOptions> = {}, link: Parameters<typeof createLink>[0] = {}) {
  const ends = createLink({ medium: 'ethernet', ...link });
  const stacks = await Promise.all(
    ends.map((device, i) => {
      const addresses = [`198.18.0.${i + 1}/24`, `fd00::${i + 1}/64`];
      const mac = `02:00:00:00:00:0${i + 1}`;
      return createStack({ interfaces: [{ device, mac, name: 'lan', addresses, ...options }] });
    }),
  );
  open.push(...stacks);
  const events: InterfaceEvent[][] = stacks.map(() => []);
  stacks.forEach((stack, i) => {
    stack.on('interface', (event) => events[i]?.push(event));
  });
  return { one: stacks[0] as Stack, two: stacks[1] as Stack, events: events as [InterfaceEvent[], InterfaceEvent[]] };
}

const lan = (stack: Stack) => stack.interfaces.find(({ name }) => name === 'lan');

test('configured addresses are usable at once, while they are checked', async () => {
  const { one } = await two();
  for (const host of ['fd00::2', '198.18.0.2']) {
    const before = performance.now();
    expect(await one.ping(host, { count: 1, size: 4000 })).toMatchObject({ received: 1 });
    // The check takes a second and more; this is no measure of the machine, which is never that slow.
    expect(performance.now() - before).toBeLessThan(990);
  }
  expect(lan(one)).toMatchObject({ mac: '02:00:00:00:00:01', mtu: 1500, up: true });
});

test('addresses that come and go are told of; one that is taken is given up', async () => {
  const { one, two: other, events } = await two({ duplicateAddressDetection: 'off' });
  one.addAddress('lan', '198.18.0.7/24');
  one.removeAddress('lan', '198.18.0.7');
  const of = (): InterfaceEvent[] => events[0].filter((e) => 'address' in e && e.address === '198.18.0.7');
  await until('both are told', () => of().length === 2);
  expect(of()).toEqual([
    { type: 'address-added', interface: 'lan', address: '198.18.0.7', state: 'preferred' },
    { type: 'address-removed', interface: 'lan', address: '198.18.0.7' },
  ]);
  // Another on the link claims ours: it is kept and defended, and told of.
  for (const address of ['198.18.0.1/24', 'fd00::1/64']) other.addAddress('lan', address);
  await until('the claim is heard', () => events[0].some(({ type }) => type === 'address-conflict'));
  expect(events[0].find(({ type }) => type === 'address-conflict')).toEqual({
    type: 'address-conflict',
    interface: 'lan',
    address: '198.18.0.1',
  });
  expect(lan(one)?.addresses).toContain('198.18.0.1/24');
});

test('an address that is checked and somebody else’s is given up', async () => {
  const both = await Promise.all([two(), two({ duplicateAddressDetection: 'strict' })]);
  for (const { two: late, events: told } of both) {
    const isSure = (event: InterfaceEvent): boolean =>
      event.type === 'address-changed' && event.address === 'fd00::1' && event.state === 'preferred';
    // Two that check the same at the same time both give it up.
    await until('the other is sure that it has it', () => told[0].some(isSure));
    late.addAddress('lan', 'fd00::1/64');
    await until('it is given up', () => told[1].some(({ type }) => type === 'address-duplicate'));
    expect(told[1].find(({ type }) => type === 'address-duplicate')).toMatchObject({
      address: 'fd00::1',
      state: 'duplicate',
    });
    expect(lan(late)?.addresses).not.toContain('fd00::1/64');
  }
});

test('a connection follows the MTU both ways', async () => {
  const { one, two: other } = await two({}, { mtu: 9000 });
  const server = other.net.createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket)).listen(7);
  await once(server, 'listening');
  const socket = one.net.connect({ host: 'fd00::2', port: 7 });
  await once(socket, 'connect');
  const received = readAll(socket);
  for (const mtu of [9000, 1280, 4000]) {
    lan(one)?.setMtu(mtu);
    lan(other)?.setMtu(mtu);
    expect(lan(one)?.mtu).toBe(mtu);
    const before = socket.bytesRead;
    socket.write(Buffer.alloc(100_000, `${mtu}`));
    await until('it is back', () => socket.bytesRead === before + 100_000);
    expect(socket.info()?.mss).toBe(mtu - 60 - 12);
    expect(socket.info()?.pmtu).toBe(mtu);
  }
  socket.end();
  expect((await received).length).toBe(300_000);
  expect(() => one.setMtu('lan', 9001)).toThrow(expect.objectContaining({ code: 'EINVAL', syscall: 'setMtu' }));
  expect(() => one.setMtu('lan', 1279)).toThrow(/IPv6 needs at least 1280/);
  expect(() => one.setMtu('lan', 70_000)).toThrow(expect.objectContaining({ code: 'ERR_OUT_OF_RANGE' }));
  expect(() => one.setMtu('nope', 1500)).toThrow(/is no interface of this stack/);
  expect(lan(one)?.mtu).toBe(4000);
});

test('down and up: connections live on, routes lead elsewhere meanwhile', async () => {
  const { one, two: other, events } = await two();
  const server = other.net.createServer((socket) => socket.pipe(socket)).listen(7);
  await once(server, 'listening');
  const socket = one.net.connect({ host: '198.18.0.2', port: 7 });
  await once(socket, 'connect');
  lan(one)?.setDown();
  expect(lan(one)?.up).toBe(false);
  await expect(one.ping('198.18.0.2', { count: 1 })).rejects.toMatchObject({ code: 'ENETUNREACH' });
  expect(await other.ping('198.18.0.1', { count: 1, timeout: 50 })).toMatchObject({ received: 0 });
  socket.write('still here');
  lan(one)?.setUp();
  expect(`${(await once(socket, 'data'))[0]}`).toBe('still here');
  socket.destroy();
  await until('both are told', () => events[0].filter(({ type }) => type === 'up' || type === 'down').length === 2);
  expect(() => one.setDown('lo')).toThrow(/is no interface of this stack/);
});

test('a fixed neighbour is not asked for, and nothing changes it', async () => {
  const { one, two: other } = await two({ duplicateAddressDetection: 'off' });
  for (const address of ['198.18.0.2', 'fd00::2']) {
    one.addNeighbor({ interface: 'lan', address, mac: '02:00:00:00:00:09' });
    expect(one.neighbors()).toContainEqual(expect.objectContaining({ address, state: 'permanent' }));
    expect(await one.ping(address, { count: 1, timeout: 50 })).toMatchObject({ received: 0 });
    // It speaks to us, and we do not believe where it is.
    const us = address.includes(':') ? 'fd00::1' : '198.18.0.1';
    expect(await other.ping(us, { count: 1, timeout: 50 })).toMatchObject({ received: 0 });
    one.addNeighbor({ interface: 'lan', address, mac: '02:00:00:00:00:02' });
    expect(await one.ping(address, { count: 1 })).toMatchObject({ received: 1 });
    one.removeNeighbor('lan', address);
    expect(await one.ping(address, { count: 1 })).toMatchObject({ received: 1 });
  }
  const wrong = (options: object, code: string): void => {
    const all = { interface: 'lan', address: '198.18.0.9', mac: '02:00:00:00:00:09', ...options };
    expect(() => one.addNeighbor(all)).toThrow(expect.objectContaining({ code }));
  };
  wrong({ interface: 'nope' }, 'ERR_INVALID_ARG_VALUE');
  wrong({ address: '198.18.0.9/24' }, 'ERR_INVALID_ARG_VALUE');
  wrong({ address: '198.18.0.1' }, 'EINVAL');
  wrong({ address: '224.0.0.1' }, 'EINVAL');
  wrong({ mac: '03:00:00:00:00:09' }, 'ERR_INVALID_ARG_VALUE');
  wrong({ mac: undefined }, 'ERR_INVALID_ARG_TYPE');
  expect(() => one.removeNeighbor('lan', '198.18.0.99')).toThrow(expect.objectContaining({ code: 'ENOENT' }));
});

test('the same key forms the same addresses, another key others (RFC 7217)', async () => {
  const formed = async (identifierKey: Uint8Array | undefined, mac: string): Promise<string> => {
    const [device] = createLink({ medium: 'ethernet' });
    const key = identifierKey === undefined ? {} : { identifierKey };
    const options = { device, name: 'lan', mac, addresses: [], slaac: true, ...key };
    const stack = await createStack({ interfaces: [options] });
    open.push(stack);
    const local = () => lan(stack)?.addresses.find((address) => address.startsWith('fe80::'));
    await until('it has an address of the link', () => local() !== undefined);
    return local() as string;
  };
  const key = Buffer.alloc(16, 'stable');
  const [one, two] = ['02:00:00:00:00:01', '02:00:00:00:00:02'];
  const first = await formed(key, one as string);
  expect(await formed(new Uint8Array(key), one as string)).toBe(first);
  expect(await formed(key, two as string)).not.toBe(first);
  expect(await formed(Buffer.alloc(16, 'other'), one as string)).not.toBe(first);
  expect(await formed(undefined, one as string)).not.toBe(await formed(undefined, one as string));
  const refused = (identifierKey: unknown, code: string) =>
    expect(
      createStack({ interfaces: [{ device: createLink()[0], addresses: [], identifierKey: identifierKey as Buffer }] }),
    ).rejects.toMatchObject({ code });
  await refused(Buffer.alloc(15), 'ERR_INVALID_ARG_VALUE');
  await refused('sixteen bytes...', 'ERR_INVALID_ARG_TYPE');
});

test('of datagrams of QEMU’s framing each is one frame, as another program sees them', async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'usernet-dgram-'));
  const [local, remote] = [path.join(folder, 'ours'), path.join(folder, 'theirs')];
  const receiver = spawn('socat', ['-u', '-d', '-d', '-d', `UNIX-RECV:${remote}`, '-'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  try {
    const got: Buffer[] = [];
    receiver.stdout.on('data', (data: Buffer) => got.push(data));
    let log = '';
    receiver.stderr.setEncoding('utf8').on('data', (text: string) => {
      log += text;
    });
    await until('socat listens', () => log.includes('starting data transfer loop'));
    const mac = '02:00:00:00:00:02';
    const device = unixSocket({ local, remote, mac });
    const stack = await createStack({ interfaces: [{ device, name: 'vm0', addresses: ['198.18.0.2/24'] }] });
    open.push(stack);
    // Who has 198.18.0.2? Tell 198.18.0.9.
    const question = `ffffffffffff020000000009080600010800060400010200000000${'09c6120009000000000000c6120002'}`;
    const sender = spawn('socat', ['-u', '-', `UNIX-SENDTO:${local}`], { stdio: ['pipe', 'ignore', 'ignore'] });
    sender.stdin.end(Buffer.from(question, 'hex'));
    const reply = `020000000009020000000002080600010800060400020200000000${'02c6120002020000000009c6120009'}`;
    await until('the answer', () => Buffer.concat(got).toString('hex').includes(reply));
    expect(stack.neighbors()).toMatchObject([{ address: '198.18.0.9', mac: '02:00:00:00:00:09' }]);
  } finally {
    receiver.kill();
    await once(receiver, 'close');
    rmSync(folder, { recursive: true, force: true });
  }
});
