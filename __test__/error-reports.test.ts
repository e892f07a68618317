// What is told of deliveries that fail and may yet succeed (RFC 9293 sections 3.8.3, 3.9.1.8 and 3.9.2.2), and that it ends
// no connection.

import { once } from 'node:events';
import { afterEach, describe, expect, test } from '@jest/globals';
import { createLink, createStack, type ErrorReport, type Socket, type Stack, type StackOptions } from '../src';
import { createNetwork, type Network } from '../src/testing';

const open: Array<Stack | Network> = [];

afterEach(async () => {
  await Promise.all(open.splice(0).map((it) => it.close()));
});

/** A host behind a router that knows no way to anybody else. */
async function dead(options: StackOptions = {}): Promise<Stack> {
  const [near, far] = createLink();
  const router = await createStack({
    forwarding: true,
    interfaces: [{ device: far, addresses: ['198.18.1.1/24', 'fd00:1::1/64'] }],
  });
  const host = await createStack({
    ...options,
    interfaces: [{ device: near, addresses: ['198.18.1.2/24', 'fd00:1::2/64'] }],
    routes: [
      { to: 'default', via: '198.18.1.1' },
      { to: 'default', via: 'fd00:1::1' },
    ],
  });
  open.push(host, router);
  return host;
}

async function report(socket: Socket): Promise<ErrorReport> {
  const [first] = (await once(socket, 'errorReport')) as [ErrorReport];
  return first;
}

describe('a router that knows no way', () => {
  test.each([
    ['203.0.113.1', '198.18.1.1'],
    ['2001:db8::1', 'fd00:1::1'],
  ])('is told of, and connecting to %s goes on', async (to, router) => {
    const host = await dead();
    const socket = host.net.connect(80, to);
    expect(await report(socket)).toEqual({
      reason: 'icmp',
      icmp: 'unreachable',
      icmpCode: 0,
      from: router,
      code: 'ENETUNREACH',
    });
    expect(socket.connecting).toBe(true);
    expect(socket.info()).toMatchObject({ state: 'SYN-SENT', soft_error: 'ENETUNREACH' });
    socket.destroy();
  });

  test('ends connecting at once where the stack is to be as Linux', async () => {
    const host = await dead({ failConnectOnSoftError: true });
    const socket = host.net.connect(80, '203.0.113.1');
    const told: ErrorReport[] = [];
    socket.on('errorReport', (said) => told.push(said));
    await expect(once(socket, 'connect')).rejects.toMatchObject({
      code: 'ENETUNREACH',
      syscall: 'connect',
      address: '203.0.113.1',
      port: 80,
    });
    expect(told).toEqual([]);
  });

  test('is the reason when connecting is given up, and nobody has to listen', async () => {
    const host = await dead({ userTimeout: 100 });
    const socket = host.net.connect(80, '203.0.113.1');
    await expect(once(socket, 'connect')).rejects.toMatchObject({ code: 'ENETUNREACH' });
  });

  test('says so of an address without a router as ever: no route is known here', async () => {
    const host = await createStack();
    open.push(host);
    await expect(once(host.net.connect(80, '203.0.113.1'), 'connect')).rejects.toMatchObject({ code: 'ENETUNREACH' });
  });
});

describe('odd uses', () => {
  test('an option that is no boolean is refused by name', async () => {
    await expect(createStack({ failConnectOnSoftError: 'yes' as never })).rejects.toMatchObject({
      code: 'ERR_INVALID_ARG_TYPE',
      message: expect.stringContaining('failConnectOnSoftError'),
    });
  });

  test('a listener may destroy its socket, and hears no more', async () => {
    const host = await dead();
    const socket = host.net.connect(80, '203.0.113.1');
    let told = 0;
    socket.on('errorReport', () => {
      told++;
      socket.destroy();
    });
    await once(socket, 'close');
    expect(told).toBe(1);
    expect(socket.info()).toBeNull();
    expect(host.stats()).toMatchObject({ tcp_curr_estab: 0 });
  });

  test('a stack may be closed in a listener', async () => {
    const host = await dead();
    const socket = host.net.connect(80, '203.0.113.1');
    socket.once('errorReport', () => void host.close());
    await once(socket, 'close');
    expect(socket.destroyed).toBe(true);
  });
});

test('retransmissions are told from the third on, until something arrives', async () => {
  const network = createNetwork();
  open.push(network);
  const [client, server] = [network.host('client', { trace: true }), network.host('server')];
  const link = network.link(client, server, { delay: 10 });
  const traced: string[] = [];
  client.on('errorReport', (event) => traced.push(event.reason));
  await network.run(async () => {
    const listener = server.net.createServer((peer) => peer.pipe(peer)).listen(80);
    const socket = client.net.connect(80, 'server');
    await once(socket, 'connect');
    link.down();
    socket.write('anybody there?');
    const counts: number[] = [];
    const told = new Promise<void>((resolve) => {
      socket.on('errorReport', (said) => {
        if (said.reason === 'retransmissions') counts.push(said.count);
        if (counts.length === 2) resolve();
      });
    });
    await told;
    expect(counts).toEqual([3, 4]);
    expect(socket.info()).toMatchObject({ state: 'ESTABLISHED', backoff: 4 });
    link.up();
    const [data] = (await once(socket, 'data')) as [Buffer];
    expect(data.toString()).toBe('anybody there?');
    expect(counts.length).toBeLessThanOrEqual(3);
    socket.destroy();
    listener.close();
  });
  expect(traced.slice(0, 2)).toEqual(['retransmissions', 'retransmissions']);
});
