// Stacks: made, given interfaces and routes, talked over, closed.
import { once } from 'node:events';
import {
  configureDefaultStack,
  createLink,
  createStack,
  defaultStack,
  type Stack,
  type TraceEvent,
} from '../src/index';
import usernet, { Socket } from '../src/net';
import { until } from './support/stacks';

async function twoStacks(options = {}): Promise<[Stack, Stack]> {
  const [left, right] = createLink();
  return Promise.all([
    createStack({ ...options, interfaces: [{ device: left, addresses: ['198.18.0.1/24', 'fd00::1/64'] }] }),
    createStack({
      ...options,
      interfaces: [{ device: right, addresses: ['198.18.0.2/24', 'fd00::2/64'], name: 'here' }],
    }),
  ]);
}

async function echo(server: Stack, client: Stack, host: string): Promise<string> {
  const listener = server.net.createServer((socket) => socket.pipe(socket)).listen(7, host);
  await once(listener, 'listening');
  const socket = client.net.connect(7, host);
  socket.end(`over ${host}`);
  let text = '';
  for await (const chunk of socket) text += chunk;
  await new Promise((resolve) => listener.close(resolve));
  return text;
}

test.each(['198.18.0.2', 'fd00::2'])('two stacks talk over a link: %s', async (host) => {
  const [client, server] = await twoStacks();
  expect(await echo(server, client, host)).toBe(`over ${host}`);
  await Promise.all([client.close(), server.close()]);
});

test('interfaces and their addresses are listed', async () => {
  const [client, server] = await twoStacks();
  expect(server.interfaces).toContainEqual({ name: 'here', addresses: ['198.18.0.2/24', 'fd00::2/64'] });
  expect(client.interfaces).toContainEqual({ name: 'link0', addresses: ['198.18.0.1/24', 'fd00::1/64'] });
  expect(client.interfaces.find(({ name }) => name === 'lo')?.addresses).toContain('::1/128');
  await Promise.all([client.close(), server.close()]);
});

test('an interface and a route can be added and removed later', async () => {
  const [left, right] = createLink();
  const client = await createStack();
  const server = await createStack({
    interfaces: [{ device: right, addresses: ['198.18.0.2/24', '192.0.2.1/32'] }],
  });
  await expect(once(client.net.connect(7, '192.0.2.1'), 'connect')).rejects.toMatchObject({ code: 'ENETUNREACH' });
  expect(await client.addInterface({ device: left, addresses: ['198.18.0.1/24'], name: 'late' })).toEqual({
    name: 'late',
    addresses: ['198.18.0.1/24'],
  });
  client.addRoute({ to: '192.0.2.0/24', via: '198.18.0.2' });
  expect(await echo(server, client, '192.0.2.1')).toBe('over 192.0.2.1');
  client.removeRoute('192.0.2.0/24');
  await expect(once(client.net.connect(7, '192.0.2.1'), 'connect')).rejects.toMatchObject({ code: 'ENETUNREACH' });
  client.addRoute({ to: 'default', via: '198.18.0.2' });
  client.removeRoute('default');
  // Nor is there a way to groups and broadcasts.
  for (const host of ['203.0.113.1', '224.0.0.1', 'ff02::1', '255.255.255.255', '198.18.0.255']) {
    await expect(once(client.net.connect(7, host), 'connect')).rejects.toMatchObject({ code: 'ENETUNREACH' });
  }
  for (const to of ['default', '192.0.2.0/24']) {
    expect(() => client.removeRoute(to)).toThrow(
      expect.objectContaining({ code: 'ESRCH', message: expect.stringContaining(to) }),
    );
  }
  expect(() => client.removeRoute('192.0.2.0')).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARG_VALUE' }));
  expect(() => client.addRoute({ to: '192.0.2.0/24', via: '203.0.113.1', interface: 'late' })).toThrow(
    expect.objectContaining({ code: 'EHOSTUNREACH', message: expect.stringContaining('203.0.113.1') }),
  );
  await client.removeInterface('late');
  await expect(client.removeInterface('late')).rejects.toMatchObject({ code: 'ERR_INVALID_ARG_VALUE' });
  await Promise.all([client.close(), server.close()]);
});

test('every stack is independent: the same port on each, each its own classes', async () => {
  const [one, other] = await Promise.all([createStack(), createStack()]);
  const servers = [one, other].map((stack, index) =>
    stack.net.createServer((socket) => socket.end(String(index))).listen(80),
  );
  const texts = await Promise.all(
    [one, other].map(async (stack) => {
      let text = '';
      for await (const chunk of stack.net.connect(80, '127.0.0.1')) text += chunk;
      return text;
    }),
  );
  expect(texts).toEqual(['0', '1']);
  expect(new one.net.Socket()).not.toBeInstanceOf(other.net.Socket);
  for (const server of servers) server.close();
  await Promise.all([one.close(), other.close()]);
});

test('close() ends everything, is idempotent, and what follows says so', async () => {
  const stack = await createStack();
  const log: string[] = [];
  const server = stack.net.createServer((socket) => socket.on('close', () => log.push('accepted')));
  server.on('close', () => log.push('server')).listen(80);
  const socket = stack.net.connect(80, '127.0.0.1').on('close', () => log.push('socket'));
  await Promise.all([once(socket, 'connect'), once(server, 'connection')]);
  stack.on('close', () => log.push('stack'));
  const closing = stack.close();
  expect(stack.closed).toBe(true);
  expect(stack.close()).toBe(closing);
  await closing;
  expect(log.slice(0, 3).sort()).toEqual(['accepted', 'server', 'socket']);
  expect(log[3]).toBe('stack');
  expect(() => stack.stats()).toThrow(expect.objectContaining({ code: 'ERR_STACK_CLOSED' }));
  await expect(stack.addInterface({ device: createLink()[0], addresses: [] })).rejects.toMatchObject({
    code: 'ERR_STACK_CLOSED',
  });
});

test('nothing is left over', async () => {
  const stack = await createStack({ timeWait: 0 });
  const server = stack.net.createServer((socket) => socket.pipe(socket)).listen(7);
  await Promise.all(
    Array.from({ length: 200 }, async (_, index) => {
      const socket = stack.net.connect(7, index % 2 ? '127.0.0.1' : '::1');
      socket.end('x');
      for await (const chunk of socket) expect(String(chunk)).toBe('x');
    }),
  );
  await new Promise((resolve) => server.close(resolve));
  await until('every connection is gone', () => stack.stats().connections === 0);
  expect(stack.stats()).toMatchObject({ connections: 0, listeners: 0 });
  await stack.close();
});

test('info() shows the connection as ss does', async () => {
  const [client, server] = await twoStacks();
  const listener = server.net.createServer((socket) => socket.pipe(socket)).listen(7);
  const socket = client.net.connect(7, '198.18.0.2');
  expect(socket.info()?.state).not.toBe('ESTABLISHED');
  await once(socket, 'connect');
  socket.write('x');
  await once(socket, 'data');
  const info = socket.info()!;
  expect(info.bytes_sent).toBe(1);
  expect(info.bytes_received).toBe(1);
  expect(info.srtt).toBeGreaterThan(0);
  expect(info.rto).toBeGreaterThanOrEqual(info.srtt as number);
  expect(info.cwnd).toBeGreaterThan(0);
  socket.destroy();
  expect(socket.info()).toBeNull();
  listener.close();
  await Promise.all([client.close(), server.close()]);
});

test('the trace tells of states, by name and all in one', async () => {
  const [client, server] = await twoStacks({ trace: true });
  const all: TraceEvent[] = [];
  client.on('trace', (event) => all.push(event));
  const states: string[] = [];
  client.on('state', ({ to }) => states.push(to.toUpperCase().replace('_', '-')));
  await echo(server, client, '198.18.0.2');
  await client.close();
  await server.close();
  expect(states.slice(0, 2)).toEqual(['SYN-SENT', 'ESTABLISHED']);
  expect(all.filter(({ type }) => type === 'state').length).toBe(states.length);
  expect(all[0]).toMatchObject({ remote: '198.18.0.2:7' });
});

test('the default stack: loopback at once, configurable before its first use', async () => {
  const stack = configureDefaultStack({ timeWait: 100 });
  expect(defaultStack()).toBe(stack);
  const server = usernet.createServer((socket) => socket.end('hello')).listen(0);
  const { port } = server.address() as { port: number };
  const socket = usernet.connect(port);
  expect(socket).toBeInstanceOf(Socket);
  let text = '';
  for await (const chunk of socket) text += chunk;
  expect(text).toBe('hello');
  expect(() => configureDefaultStack({})).toThrow(expect.objectContaining({ code: 'ERR_DEFAULT_STACK_IN_USE' }));
  server.close();
  await stack.close();
  expect(defaultStack()).not.toBe(stack);
  await defaultStack().close();
});

test('what belongs to the operating system is refused with the reason', async () => {
  const stack = await createStack();
  const { net } = stack;
  const code = 'ERR_FEATURE_UNAVAILABLE_ON_PLATFORM';
  expect(() => net.connect({ path: '/tmp/x.sock' } as never)).toThrow(expect.objectContaining({ code }));
  expect(() => net.createServer().listen('/tmp/x.sock')).toThrow(expect.objectContaining({ code }));
  expect(() => net.createServer().listen({ fd: 3 })).toThrow(expect.objectContaining({ code }));
  expect(() => new net.Socket({ fd: 3 } as never)).toThrow(
    expect.objectContaining({ code, message: expect.stringContaining("node:net's Socket") }),
  );
  await stack.close();
});
