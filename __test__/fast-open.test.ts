// TCP Fast Open and ECN between two stacks on a link: the first write on the SYN, and marks agreed on.

import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { Socket, Stack } from '../src/index';
import { pair } from './support/stacks';

const open: Stack[] = [];

afterEach(async () => {
  await Promise.all(open.splice(0).map((stack) => stack.close()));
});

type Options = NonNullable<Parameters<typeof pair>[0]>;

async function two(options: Options = {}): Promise<{ client: Stack; server: Stack }> {
  const stacks = await pair(options);
  open.push(stacks.client, stacks.server);
  return stacks;
}

/** An echo server; resolves to its port. */
async function echo(stack: Stack, fastOpen?: number | boolean): Promise<number> {
  const server = stack.net.createServer((socket) => socket.pipe(socket));
  server.listen({ port: 0, fastOpen });
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** Writes, and resolves to what comes back. */
async function ask(socket: Socket, text: string): Promise<string> {
  socket.setEncoding('utf8');
  socket.end(text);
  let answer = '';
  for await (const chunk of socket) answer += chunk as string;
  return answer;
}

describe.each(['198.18.0.2', 'fd00::2'])('fast open to %s', (host) => {
  test('the second connection carries its first write on the SYN', async () => {
    const { client, server } = await two();
    const port = await echo(server, true);
    expect(await ask(client.net.connect({ host, port, fastOpen: true }), 'first')).toBe('first');
    expect(server.stats()).toMatchObject({ fast_open_cookie_reqd: 1, fast_open_passive: 0 });
    const socket = client.net.connect({ host, port, fastOpen: true });
    expect(await ask(socket, 'second')).toBe('second');
    expect(client.stats()).toMatchObject({ fast_open_active: 1, fast_open_active_fail: 0 });
    expect(server.stats()).toMatchObject({ fast_open_passive: 1 });
    expect(socket.bytesWritten).toBe(6);
  });

  test('more than a SYN holds goes on behind it', async () => {
    const { client, server } = await two();
    const port = await echo(server, 16);
    await ask(client.net.connect({ host, port, fastOpen: true }), 'x');
    const large = 'usernet '.repeat(50_000);
    expect(await ask(client.net.connect({ host, port, fastOpen: true }), large)).toBe(large);
    expect(server.stats()).toMatchObject({ fast_open_passive: 1 });
  });

  test('a server without it serves as ever', async () => {
    const { client, server } = await two();
    const port = await echo(server);
    for (const text of ['one', 'two']) {
      expect(await ask(client.net.connect({ host, port, fastOpen: true }), text)).toBe(text);
    }
    expect(server.stats()).toMatchObject({ fast_open_cookie_reqd: 0, fast_open_passive: 0 });
    expect(client.stats()).toMatchObject({ fast_open_active: 0 });
  });

  test('a connection that writes nothing comes about too, and listens first', async () => {
    const { client, server } = await two();
    const greeter = server.net.createServer((socket) => socket.end('hello'));
    greeter.listen({ port: 0, fastOpen: true });
    await once(greeter, 'listening');
    const { port } = greeter.address() as AddressInfo;
    for (let i = 0; i < 2; i++) {
      const socket = client.net.connect({ host, port, fastOpen: true, allowHalfOpen: true });
      socket.setEncoding('utf8');
      let heard = '';
      for await (const chunk of socket) heard += chunk as string;
      expect(heard).toBe('hello');
      socket.end();
    }
  });

  test('a refusal reaches the socket that wrote already', async () => {
    const { client, server } = await two();
    const port = await echo(server, true);
    await ask(client.net.connect({ host, port, fastOpen: true }), 'x');
    const socket = client.net.connect({ host, port: port === 1 ? 2 : 1, fastOpen: true });
    socket.write('lost');
    const [error] = await once(socket, 'error');
    expect(error).toMatchObject({ code: 'ECONNREFUSED', syscall: 'connect' });
  });
});

test('options of fast open are checked', async () => {
  const { client, server } = await two();
  const code = (call: () => unknown, wanted: string): void => {
    expect(call).toThrow(expect.objectContaining({ code: wanted }));
  };
  code(() => client.net.connect({ host: '::1', port: 1, fastOpen: 1 as never }), 'ERR_INVALID_ARG_TYPE');
  const listener = server.net.createServer();
  code(() => listener.listen({ port: 0, fastOpen: '1' as never }), 'ERR_INVALID_ARG_TYPE');
  code(() => listener.listen({ port: 0, fastOpen: -1 }), 'ERR_OUT_OF_RANGE');
  code(() => listener.listen({ port: 0, fastOpen: 65_536 }), 'ERR_OUT_OF_RANGE');
});

describe('congestion notification', () => {
  test.each([
    ['classic', 'passive', 'classic'],
    ['accurate', 'accurate-passive', 'accurate'],
    ['accurate', 'passive', 'classic'],
    ['classic', 'off', 'off'],
    ['passive', 'classic', 'off'],
  ] as const)('%s to %s is %s', async (asks, agrees, outcome) => {
    const { client, server } = await two({ client: { ecn: asks }, server: { ecn: agrees } });
    const port = await echo(server);
    const socket = client.net.connect({ host: '198.18.0.2', port });
    await once(socket, 'connect');
    expect(socket.info()).toMatchObject({ ecn: outcome, ecn_seen: false });
    expect(await ask(socket, 'data')).toBe('data');
    const marked = Number(server.stats().ip_in_ect0_pkts);
    expect(marked > 0).toBe(outcome !== 'off');
  });

  test('a policy that is none is refused', async () => {
    await expect(two({ client: { ecn: 'always' } } as unknown as Options)).rejects.toMatchObject({
      code: 'ERR_INVALID_ARG_VALUE',
    });
  });
});
