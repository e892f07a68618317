// The process in the namespace of the tests of TUNs with several queues: a stack on one, kernel sockets beside it.

import { execFileSync } from 'node:child_process';
import dgram from 'node:dgram';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, writeFileSync } from 'node:fs';
import kernel from 'node:net';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { createStack, type InterfaceEvent, type Stack, type StackOptions, tun } from '../../src/index';
import { bytes } from './bytes';
import { serveCalls } from './rpc';
import { readAll, until } from './stacks';

const OURS = ['198.18.0.2', 'fd00::2'] as const;
const KERNELS = ['198.18.0.1', 'fd00::1'] as const;
const LENGTH = 200_000;

type AnyServer = { listen(port: number, host: string, done: () => void): unknown; address(): unknown };
type AnySocket = kernel.Socket;

let stack: Stack;
let events: InterfaceEvent[] = [];

const ip = (...args: string[]): string => execFileSync('ip', args, { encoding: 'utf8' });

function deviceOf(queues: number, name = 'q0', net = 0): ReturnType<typeof tun> {
  return tun({ name, queues, kernelAddresses: [`198.18.${net}.1/24`, net === 0 ? 'fd00::1/64' : `fd00:${net}::1/64`] });
}

async function open(queues: number, options: StackOptions = {}): Promise<void> {
  await stack?.close();
  events = [];
  stack = await createStack({
    interfaces: [{ device: deviceOf(queues), addresses: ['198.18.0.2/24', 'fd00::2/64'] }],
    routes: [{ to: '192.0.2.0/24', via: '198.18.0.1' }],
    timeWait: 100,
    ...options,
  });
  stack.on('interface', (event) => events.push(event));
}

async function listening(server: AnyServer, host: string): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  return (server.address() as { port: number }).port;
}

/** Sends its own bytes both ways at once and compares what comes with what the other end sends; what was wrong. */
async function exchange(socket: AnySocket, own: number, others: number): Promise<string | null> {
  try {
    socket.end(bytes(LENGTH, own));
    const got = await readAll(socket);
    return got.equals(bytes(LENGTH, others)) ? null : `connection ${own}: ${got.length} bytes, or others`;
  } catch (error) {
    return `connection ${own}: ${(error as Error).message}`;
  }
}

/** So many connections to a server of `there` from `here`, all at once, by both families; what was wrong. */
async function oneWay(
  there: { createServer(handler: (socket: AnySocket) => void): kernel.Server },
  here: { connect(options: kernel.NetConnectOpts): AnySocket },
  hosts: readonly string[],
  count: number,
): Promise<string[]> {
  const results: Array<Promise<string | null>> = [];
  const serve = (socket: AnySocket): void => {
    // Whose connection it is, its port says.
    results.push(exchange(socket, 1, 2 + ((socket.remotePort as number) % 50)));
  };
  for (const host of hosts) {
    const server = there.createServer(serve);
    const port = await listening(server, host);
    await Promise.all(
      Array.from({ length: count / 2 }, async () => {
        const socket = here.connect({ host, port });
        await once(socket, 'connect');
        results.push(exchange(socket, 2 + ((socket.localPort as number) % 50), 1));
      }),
    );
    await until('the server has them all', () => results.length % count === 0);
    await Promise.all(results);
    server.close();
  }
  return (await Promise.all(results)).filter((result) => result !== null);
}

/** What connecting to a port ends with. */
function attempt(
  net: { connect(options: kernel.NetConnectOpts): AnySocket },
  host: string,
  port: number,
): Promise<string> {
  return new Promise((resolve) => {
    const socket = net.connect({ host, port });
    socket.once('connect', () => {
      socket.destroy();
      resolve('connected');
    });
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });
}

/** Sends a line on so many new connections of the kernel's; the answers. */
async function ask(host: string, port: number, count: number): Promise<string[]> {
  return Promise.all(
    Array.from({ length: count }, async (_, n) => {
      const socket = kernel.connect({ host, port });
      socket.end(`${n}`);
      return (await readAll(socket)).toString();
    }),
  );
}

const numbers = (count: number): string[] => Array.from({ length: count }, (_, n) => `${n}`);

async function echo(host?: string): Promise<number> {
  const server = stack.net.createServer({ allowHalfOpen: true }, (socket) => socket.on('error', () => {}).pipe(socket));
  await new Promise<void>((resolve) => server.listen(0, host, () => resolve()));
  return (server.address() as kernel.AddressInfo).port;
}

serveCalls(
  {
    start: () => {
      ip('link', 'set', 'lo', 'up');
      writeFileSync('/proc/sys/net/ipv4/ip_forward', '1');
      writeFileSync('/proc/sys/net/ipv4/icmp_ratelimit', '0');
      writeFileSync('/proc/sys/net/ipv4/icmp_msgs_per_sec', '10000');
      // Where it leads does not matter: packets of ours have one hop to live.
      ip('route', 'add', '192.0.2.0/24', 'dev', 'lo');
    },
    open,
    stop: () => stack.close(),
    stats: () => stack.stats(),
    both: async (count: number) => [
      ...(await oneWay(stack.net as unknown as typeof kernel, kernel, OURS, count)),
      ...(await oneWay(kernel, stack.net as unknown as typeof kernel, KERNELS, count)),
    ],
    /** 8,000 bytes each (fragments) from so many kernel sockets, echoed; how many came back as they went. */
    datagrams: async (count: number) => {
      const server = stack.dgram.createSocket('udp4');
      server.on('message', (message, from) => server.send(message, from.port, from.address));
      server.bind(9);
      await once(server, 'listening');
      const sent = bytes(8000, 5);
      const same = await Promise.all(
        Array.from({ length: count }, async () => {
          const socket = dgram.createSocket('udp4');
          socket.send(sent, 9, OURS[0]);
          const [got] = (await once(socket, 'message')) as [Buffer];
          socket.close();
          return got.equals(sent);
        }),
      );
      server.close();
      return same.filter((is) => is).length;
    },
    /** So many connections, one after the other by tens, that this end closes first; how many of them are in TIME-WAIT. */
    waiting: async (count: number) => {
      const server = kernel.createServer((socket) => socket.on('error', () => {}).resume());
      const port = await listening(server, KERNELS[0]);
      const one = async (): Promise<void> => {
        const socket = stack.net.connect({ host: KERNELS[0], port });
        socket.on('connect', () => socket.resume().end());
        await once(socket, 'close');
      };
      for (let n = 0; n < count; n += 10) await Promise.all(Array.from({ length: 10 }, one));
      server.close();
      await until('all wait', () => stack.stats().tcp_curr_estab === 0);
      return stack.stats().time_wait;
    },
    /** Both ways to ports where nobody listens, and to where a router lets nothing through. */
    errors: async () => ({
      ours: await Promise.all(numbers(8).map(() => attempt(stack.net as unknown as typeof kernel, KERNELS[0], 1))),
      theirs: await Promise.all(numbers(8).map(() => attempt(kernel, OURS[0], 1))),
      router: await Promise.all(numbers(16).map(() => attempt(stack.net as unknown as typeof kernel, '192.0.2.1', 80))),
    }),
    ping: async () => (await stack.ping(KERNELS[0], { count: 2, interval: 10, size: 5000 })).received,
    /** The ports whose SYNs a raw socket saw, and those that connected. */
    raw: async (count: number) => {
      const seen = new Set<number>();
      const raw = stack.raw({ protocol: 'tcp' as never });
      raw.on('message', (packet: Buffer) => {
        if (((packet[13] as number) & 0x12) === 2) seen.add(packet.readUInt16BE(0));
      });
      const port = await echo();
      await ask(OURS[0], port, count);
      await until('all were seen', () => seen.size >= count);
      const drops = raw.drops;
      raw.close();
      return { seen: seen.size, drops };
    },
    /** Flows that are accepted, and flows that are refused. */
    flows: async (count: number) => {
      const asked: string[] = [];
      stack.onConnection((flow) => {
        asked.push(`${flow.protocol} ${flow.interface} ${flow.localPort}`);
        if (flow.protocol !== 'tcp' || flow.localPort === 77) return flow.reject();
        const socket = flow.accept();
        return socket.on('error', () => {}).pipe(socket);
      });
      const answers = await ask(OURS[0], 78, count);
      const refused = await Promise.all(numbers(count).map(() => attempt(kernel, OURS[0], 77)));
      stack.onConnection(null);
      return { asked: asked.sort(), answers, refused };
    },
    /** Addresses, MTU and link changed while it runs, by us and by somebody else. */
    changes: async (count: number) => {
      const everywhere = await echo();
      stack.addAddress('q0', '198.18.3.2/24');
      ip('route', 'add', '198.18.3.0/24', 'dev', 'q0');
      const there = await echo('198.18.3.2');
      const added = [await ask('198.18.3.2', everywhere, count), await ask('198.18.3.2', there, count)];
      stack.removeAddress('q0', '198.18.3.2');
      ip('route', 'del', '198.18.3.0/24', 'dev', 'q0');
      stack.setMtu('q0', 1400);
      const sizes = await Promise.all(
        numbers(count).map(async () => {
          const server = kernel.createServer((socket) => socket.end());
          const port = await listening(server, KERNELS[0]);
          const socket = stack.net.connect({ host: KERNELS[0], port });
          await once(socket, 'connect');
          const { mss } = socket.info() as { mss: number };
          socket.destroy();
          server.close();
          return mss;
        }),
      );
      ip('link', 'set', 'q0', 'down');
      await until('it is down', () => events.some(({ type }) => type === 'down'));
      const down = await Promise.all(
        numbers(count).map(() => attempt(stack.net as unknown as typeof kernel, KERNELS[0], 1)),
      );
      ip('link', 'set', 'q0', 'up');
      await until('it is up', () => events.some(({ type }) => type === 'up'));
      const up = await ask(OURS[0], everywhere, count);
      stack.setDown('q0');
      stack.setUp('q0');
      const again = await ask(OURS[0], everywhere, count);
      return { added, sizes, down, up, again, events: events.map(({ type }) => type) };
    },
    /** A stack that listens before it has a device, which comes with its queues, then another with fewer. */
    late: async (queues: number, count: number) => {
      await stack.close();
      stack = await createStack();
      const port = await echo();
      await stack.addInterface({ device: deviceOf(queues), addresses: ['198.18.0.2/24'] });
      const first = await ask(OURS[0], port, count);
      await stack.addInterface({ device: deviceOf(queues - 1, 'q1', 1), addresses: ['198.18.1.2/24'] });
      const second = await ask('198.18.1.2', port, count);
      // By one interface to the other's address.
      ip('route', 'add', '198.18.1.2/32', 'via', '198.18.0.2', 'dev', 'q0');
      ip('route', 'del', '198.18.1.2/32');
      await stack.removeInterface('q0');
      const left = await ask('198.18.1.2', port, count);
      await stack.addInterface({ device: deviceOf(queues), addresses: ['198.18.0.2/24'] });
      return {
        first,
        second,
        left,
        back: await ask(OURS[0], port, count),
        interfaces: stack.interfaces.map(({ name }) => name),
      };
    },
    /** Closes while so many connections send; how the kernel's ends ended. */
    closeUnderLoad: async (count: number) => {
      let accepted = 0;
      const server = stack.net.createServer((socket) => {
        accepted++;
        socket.on('error', () => {}).resume();
      });
      await new Promise<void>((resolve) => server.listen({ port: 5000, backlog: 4096 }, () => resolve()));
      const chunk = Buffer.alloc(100_000);
      const ends: string[] = [];
      let sent = 0;
      const sockets = Array.from({ length: count }, () => {
        const socket = kernel.connect({ host: OURS[0], port: 5000 });
        const send = (): void => {
          sent++;
          if (!socket.destroyed) socket.write(chunk, () => setImmediate(send));
        };
        socket.on('connect', send);
        socket.on('error', (error: NodeJS.ErrnoException) => ends.push(error.code ?? error.message));
        return once(socket, 'close').catch(() => {});
      });
      await until('all send', () => sent > 3 * count && accepted === count);
      await stack.close();
      await Promise.all(sockets);
      return { ends: [...new Set(ends)], interfaces: ip('-o', 'link').includes('q0') };
    },
    /** A worker with such a stack is terminated while connections send. */
    terminate: async (count: number) => {
      const worker = new Worker(path.join(__dirname, 'drive-worker.cjs'), {
        env: { ...process.env, USERNET_QUEUES: '3' },
      });
      await once(worker, 'message');
      ip('address', 'add', '198.18.2.1/24', 'dev', 'un2');
      const answers = await ask('198.18.2.2', 7, count);
      const sockets = numbers(count).map(() => {
        const socket = kernel.connect({ host: '198.18.2.2', port: 7 }).on('error', () => {});
        socket.resume().write(Buffer.alloc(1 << 20));
        return socket;
      });
      await Promise.all(sockets.map((socket) => once(socket, 'data')));
      await worker.terminate();
      await until('the interface is gone', () => !ip('-o', 'link').includes('un2'));
      for (const socket of sockets) socket.destroy();
      return answers;
    },
    refusals: async () => {
      await stack?.close();
      stack = await createStack();
      const reason = async (make: () => Promise<unknown>): Promise<string> => {
        try {
          await make();
          return 'none';
        } catch (error) {
          const { code, message } = error as NodeJS.ErrnoException;
          return `${code}: ${message}`;
        }
      };
      ip('tuntap', 'add', 'dev', 'one0', 'mode', 'tun');
      const one = await reason(() => stack.addInterface({ device: tun({ name: 'one0', queues: 2 }), addresses: [] }));
      ip('link', 'delete', 'one0');
      // Descriptors for the queues, but not for all of their threads.
      const fillers = Array.from({ length: 100 }, () => openSync('/dev/null', 'r'));
      const limit = (most: number): unknown =>
        execFileSync('prlimit', ['--pid', `${process.pid}`, `--nofile=${most}:`], { stdio: 'ignore' });
      const threads = (): number => readdirSync('/proc/self/task').length;
      const before = threads();
      limit(Math.max(...fillers) + 11);
      const few = await reason(() => stack.addInterface({ device: tun({ name: 'few0', queues: 6 }), addresses: [] }));
      for (const fd of fillers) closeSync(fd);
      limit(1024);
      const more = threads() - before;
      const { name } = await stack.addInterface({ device: tun({ name: 'zz%d', queues: 2 }), addresses: [] });
      return { one, few, more, name, there: ip('-o', 'link').includes(`${name}:`) };
    },
  },
  () => stack.close(),
);
