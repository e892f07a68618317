// Frame ports: the program carries the frames of a stack itself, to another stack or through a WebSocket.

import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { WebSocket, WebSocketServer } from 'ws';
import {
  createStack,
  type FramePort,
  type FramePortOptions,
  framePort,
  type Medium,
  type Stack,
  type StackOptions,
} from '../src/index';
import { bytes, digestOf, digestStream } from './support/bytes';
import { hosts, until } from './support/stacks';

const open: Array<{ close(): unknown }> = [];

afterEach(async () => {
  await Promise.all(open.splice(0).map((thing) => thing.close()));
});

const MEDIA: Medium[] = ['ip', 'ethernet'];

/** A stack on a port: number 1 has 198.18.0.1 and fd00::1, and so on. */
async function on(port: FramePort, number: number, options: StackOptions & { dad?: 'off' } = {}): Promise<Stack> {
  const addresses = [`198.18.0.${number}/24`, `fd00::${number}/64`];
  const { dad, ...rest } = options;
  const entry = { device: port, name: 'p0', addresses, ...(dad && { duplicateAddressDetection: dad }) };
  const stack = await createStack({ ...rest, interfaces: [entry] });
  open.push(stack);
  return stack;
}

/** Two stacks whose frames JavaScript carries across; what does not fit waits. */
async function joined(options: FramePortOptions = {}, stackOptions: Parameters<typeof on>[2] = {}) {
  const [left, right] = [framePort(options), framePort(options)];
  carry(left, right);
  carry(right, left);
  const [client, server] = await Promise.all([on(left, 1, stackOptions), on(right, 2, stackOptions)]);
  return { left, right, client, server };
}

/** Gives to one port what the other has, and waits where it has no room. */
function carry(from: FramePort, to: FramePort): void {
  from.on('frame', (frame) => {
    if (to.write(frame)) return;
    from.pause();
    to.once('drain', () => {
      to.write(frame);
      from.resume();
    });
  });
}

async function echoed(client: Stack, server: Stack, host: string, length: number): Promise<void> {
  const echo = server.net.createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket)).listen(0);
  await once(echo, 'listening');
  const socket = client.net.connect({ host, port: (echo.address() as AddressInfo).port });
  const got = digestStream(socket);
  socket.end(bytes(length, 5));
  expect(await got).toEqual({ length, sha256: digestOf(length, 5) });
  echo.close();
}

describe.each(MEDIA)('two stacks joined by two ports (%s)', (medium) => {
  test.each(['auto', 'thread'] as const)('carry TCP and pings of both families, driven by %s', async (drive) => {
    const { client, server, left, right } = await joined({ medium, capacity: 32 }, { drive });
    for (const host of hosts) {
      expect((await client.ping(host, { count: 2, interval: 0, size: 4000 })).received).toBe(2);
      await echoed(client, server, host, 1 << 20);
    }
    // The last acknowledgements may still be on their way.
    const arrived = (): boolean =>
      left.stats().framesOut === right.stats().framesIn && right.stats().framesOut === left.stats().framesIn;
    await until('all frames have come', arrived);
    const [l, r] = [left.stats(), right.stats()];
    expect(l.framesOut).toBeGreaterThan(1000);
    expect(l.bytesOut).toBeGreaterThan(2 << 20);
    expect([r.framesIn, l.invalid, r.invalid]).toEqual([l.framesOut, 0, 0]);
    expect([r.bytesIn, l.bytesIn]).toEqual([l.bytesOut, r.bytesOut]);
  });

  test('frames are whole packets, none longer than the MTU', async () => {
    const { client, server, left } = await joined({ medium, mtu: 1300 });
    const lengths: number[] = [];
    left.on('frame', (frame) => {
      lengths.push(frame.length);
      const ethertype = medium === 'ethernet' ? frame.readUInt16BE(12) : 0;
      if (medium === 'ip') expect([4, 6]).toContain((frame[0] as number) >> 4);
      else expect([0x0800, 0x0806, 0x86dd]).toContain(ethertype);
    });
    await echoed(client, server, hosts[0], 100_000);
    expect(Math.max(...lengths)).toBe(medium === 'ip' ? 1300 : 1314);
  });
});

test('an Ethernet port has the hardware address it was given, and speaks ARP', async () => {
  const port = framePort({ medium: 'ethernet', mac: '02:00:00:00:00:02' });
  const arp = new Promise<Buffer>((resolve) => {
    port.on('frame', (frame) => {
      if (frame.readUInt16BE(12) === 0x0806 && frame.readUInt16BE(20) === 2) resolve(frame);
    });
  });
  const stack = await on(port, 2);
  // Who has 198.18.0.2? Tell 198.18.0.9.
  const question = Buffer.from(
    'ffffffffffff020000000009080600010800060400010200000000' + '09c6120009000000000000c6120002',
    'hex',
  );
  expect(port.write(question)).toBe(true);
  expect((await arp).subarray(0, 12).toString('hex')).toBe('020000000009020000000002');
  expect(stack.neighbors()).toMatchObject([{ interface: 'p0', address: '198.18.0.9', mac: '02:00:00:00:00:09' }]);
});

test('a tunnel through a WebSocket', async () => {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  open.push(server);
  const accepted = once(server, 'connection') as Promise<[WebSocket]>;
  await once(server, 'listening');
  const near = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
  await once(near, 'open');
  const [far] = await accepted;
  const ports = [near, far].map((socket, i) => {
    const port = framePort({ medium: 'ethernet' });
    port.on('frame', (frame) => socket.send(frame));
    // What the port has no room for waits, and the tunnel with it.
    const waiting: Array<Buffer | ArrayBuffer> = [];
    const pass = (): void => {
      while (waiting.length > 0 && port.write(waiting[0] as Buffer)) waiting.shift();
      if (waiting.length === 0) socket.resume();
      else socket.pause();
    };
    port.on('drain', pass);
    socket.on('message', (message) => {
      // One of the two gives ArrayBuffers.
      waiting.push(i === 0 ? (message as Buffer) : new Uint8Array(message as Buffer).buffer);
      pass();
    });
    port.on('close', () => socket.close());
    socket.on('close', () => port.close());
    return port;
  }) as [FramePort, FramePort];
  const [client, remote] = await Promise.all([on(ports[0], 1), on(ports[1], 2)]);
  for (const host of hosts) await echoed(client, remote, host, 2_000_000);
  // The tunnel goes: both ports close, and the far stack's interface is gone.
  const closed = Promise.all(ports.map((port) => once(port, 'close')));
  near.terminate();
  await closed;
  await until('the device is gone', () => remote.stats().devices_lost === 1);
  await expect(client.ping(hosts[0], { count: 1 })).rejects.toMatchObject({ code: 'ENETUNREACH' });
});

describe('bounds', () => {
  test('what the stack has no room for is refused, counted, and told when there is room', async () => {
    const port = framePort({ capacity: 3 });
    const frame = Buffer.alloc(40, 0x45);
    // No stack takes them yet.
    expect([1, 2, 3, 4, 5].map(() => port.write(frame))).toEqual([true, true, true, false, false]);
    expect(port.stats()).toMatchObject({ framesIn: 3, bytesIn: 120, dropped: 2, invalid: 0, waiting: 0 });
    const drained = once(port, 'drain');
    await on(port, 1);
    await drained;
    expect(port.write(frame)).toBe(true);
  });

  test('frames wait for a listener, and while it is paused; the stack waits then', async () => {
    const port = framePort({ capacity: 4 });
    const stack = await on(port, 1);
    const socket = stack.dgram.createSocket('udp4').bind();
    await once(socket, 'listening');
    for (let i = 0; i < 300; i++) socket.send(`${i}`.padStart(100), 9, '198.18.0.9');
    await until('the queue is full', () => port.stats().waiting === 4);
    const seen: number[] = [];
    const first = once(port, 'frame');
    port.on('frame', (frame) => {
      seen.push(Number(frame.subarray(28)));
      if (seen.length === 2) port.pause();
    });
    await first;
    expect([seen, port.isPaused()]).toEqual([[0, 1], true]);
    await client(stack);
    expect(seen).toEqual([0, 1]);
    port.resume();
    await until('the others', () => seen.length > 60);
    // In order, and none twice.
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    expect(new Set(seen).size).toBe(seen.length);
    socket.close();

    /** A turn or two of everything. */
    async function client(busy: Stack): Promise<void> {
      expect((await busy.ping('127.0.0.1', { count: 3, interval: 5 })).received).toBe(3);
    }
  });

  test.each(MEDIA)('hostile frames are counted and dropped (%s)', async (medium) => {
    // A forged claim during the check would take the address away: that is what the check is for.
    const { client, server, left } = await joined({ medium, mtu: 1500 }, { dad: 'off' });
    const longest = medium === 'ip' ? 1500 : 1518;
    const before = left.stats();
    for (const bad of [Buffer.alloc(0), Buffer.alloc(longest + 1)]) expect(left.write(bad)).toBe(false);
    expect(left.stats().invalid - before.invalid).toBe(2);
    for (const wrong of ['frame', 5, null, undefined, [1, 2]]) {
      expect(() => left.write(wrong as never)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' }));
    }
    expect(left.write(new DataView(new ArrayBuffer(60)) as never)).toBe(true);
    let state = 7;
    const random = (): number => {
      state = (state * 1_103_515_245 + 12_345) & 0x7fffffff;
      return state >>> 8;
    };
    // Frames that went well, with bits flipped and ends cut; and noise.
    const good: Buffer[] = [];
    const keep = (frame: Buffer): number => good.push(frame);
    left.on('frame', keep);
    await echoed(client, server, hosts[1], 20_000);
    left.off('frame', keep);
    for (let i = 0; i < 20_000; i++) {
      const frame = Buffer.from(
        i % 4 === 0 ? Buffer.alloc(1 + (random() % longest), random()) : (good[random() % good.length] as Buffer),
      );
      for (let n = random() % 8; n >= 0; n--) frame[random() % frame.length] = random();
      left.write(i % 3 === 0 ? frame.subarray(0, 1 + (random() % frame.length)) : frame);
      if (i % 500 === 0) await new Promise(setImmediate);
    }
    // Neighbours that were made up are asked, do not answer, and are asked for anew.
    const answers = async (): Promise<boolean> =>
      (await client.ping(hosts[0], { count: 1, timeout: 500 })).received > 0;
    await until('the server answers', answers, 60_000);
    await echoed(client, server, hosts[0], 50_000);
  });
});

describe('the end', () => {
  test.each(['the port', 'the stack', 'the interface'])('%s closes in the middle of a flow', async (what) => {
    const { client, server, left, right } = await joined({ medium: 'ethernet' });
    const sink = server.net.createServer((socket) => socket.on('error', () => {}).resume()).listen(7);
    await once(sink, 'listening');
    const socket = client.net.connect({ host: hosts[0], port: 7 });
    socket.on('error', () => {});
    await once(socket, 'connect');
    const chunk = bytes(1 << 18);
    const more = (): void => {
      while (!socket.destroyed && socket.writable && socket.write(chunk));
    };
    socket.on('drain', more);
    more();
    await once(left, 'frame');
    const closed = once(left, 'close');
    if (what === 'the port') left.close();
    else if (what === 'the stack') await client.close();
    else await client.removeInterface('p0');
    await closed;
    expect(left.closed).toBe(true);
    const stats = left.stats();
    expect(stats.framesOut).toBeGreaterThan(0);
    expect(left.write(Buffer.alloc(60))).toBe(false);
    left.close();
    if (what === 'the port') {
      await until('the device is gone', () => client.stats().devices_lost === 1);
      await expect(client.ping(hosts[0], { count: 1 })).rejects.toMatchObject({ code: 'ENETUNREACH' });
    }
    expect(right.closed).toBe(false);
    socket.destroy();
  });

  test('the last that a stack sends comes out: the peer learns of its end', async () => {
    const { client, server, left } = await joined();
    const echo = server.net.createServer((socket) => socket.pipe(socket)).listen(7);
    await once(echo, 'listening');
    const accepted = once(echo, 'connection');
    const socket = client.net.connect({ host: hosts[1], port: 7 }).on('error', () => {});
    await once(socket, 'connect');
    const [peer] = await accepted;
    const reset = once(peer, 'error').catch((error) => [error]);
    const closed = once(left, 'close');
    await client.close();
    expect((await reset)[0]).toMatchObject({ code: 'ECONNRESET' });
    await closed;
  });

  test('a port serves one stack, once', async () => {
    const port = framePort();
    const stack = await on(port, 1);
    const again = { device: port, addresses: ['198.18.0.5/24'], name: 'p1' };
    await expect(stack.addInterface(again)).rejects.toMatchObject({ code: 'EBUSY', syscall: 'addInterface' });
    // It works as before.
    const frame = once(port, 'frame');
    const pinged = stack.ping('198.18.0.9', { count: 1, timeout: 20 });
    await frame;
    await pinged;
    const other = framePort();
    other.close();
    await expect(createStack({ interfaces: [{ ...again, device: other }] })).rejects.toMatchObject({ code: 'EBUSY' });
    expect(other.stats()).toMatchObject({ framesIn: 0, waiting: 0 });
  });

  test('a stack that nobody holds but its port is not collected', async () => {
    const { left } = await joined();
    const echoes = new Promise((resolve) => left.once('frame', resolve));
    // ICMP echo request from 198.18.0.2 to 198.18.0.1.
    const request = Buffer.from('4500001c000040004001' + '0000' + 'c6120002c6120001' + '0800f7ff00000000', 'hex');
    let sum = 0;
    for (let at = 0; at < 20; at += 2) sum += request.readUInt16BE(at);
    request.writeUInt16BE(~((sum & 0xffff) + (sum >>> 16)) & 0xffff, 10);
    left.write(request);
    expect(((await echoes) as Buffer).subarray(20).toString('hex')).toBe('0000ffff00000000');
  });
});

test('options that cannot be are refused', () => {
  const refused = (options: object, code: string): void => {
    expect(() => framePort(options)).toThrow(expect.objectContaining({ code }));
  };
  refused({ medium: 'wifi' }, 'ERR_INVALID_ARG_VALUE');
  refused({ mtu: 100 }, 'ERR_OUT_OF_RANGE');
  refused({ mtu: '1500' }, 'ERR_INVALID_ARG_TYPE');
  refused({ capacity: 0 }, 'ERR_OUT_OF_RANGE');
  refused({ mac: '02:00:00:00:00:01' }, 'ERR_INVALID_ARG_VALUE');
  refused({ medium: 'ethernet', mac: '01:00:00:00:00:01' }, 'ERR_INVALID_ARG_VALUE');
  refused({ impairment: { loss: 2 } }, 'ERR_OUT_OF_RANGE');
  expect(() => framePort(null as never)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' }));
});
