// `usernet/testing`: routers, NAT boxes, switches, rules with functions, injected packets and UDP, from TypeScript.
import { assertNoReset, createNetwork, type Host, type Network } from 'usernet/testing';

const open: Network[] = [];

function network(seed = 1): Network {
  const made = createNetwork({ seed });
  open.push(made);
  return made;
}

afterEach(async () => {
  for (const made of open.splice(0)) await made.close();
});

/** Echoes on port 7; the addresses of its clients. */
function echo(server: Host): string[] {
  const peers: string[] = [];
  server.net
    .createServer((socket) => {
      peers.push(String(socket.remoteAddress));
      socket.on('error', () => {}).pipe(socket);
    })
    .listen(7, '0.0.0.0');
  return peers;
}

function exchange(client: Host, host: string, length: number): Promise<number> {
  return new Promise((resolve, reject) => {
    let received = 0;
    const socket = client.net.connect({ host, port: 7, family: 4 }, () => socket.end(Buffer.alloc(length, 'abc')));
    socket.on('data', (chunk: Buffer) => {
      received += chunk.length;
    });
    socket.on('error', reject).on('close', () => resolve(received));
  });
}

test('routers forward, count hops and tell the MTU behind them', async () => {
  const made = network();
  const [a, b] = [made.host('a'), made.host('b')];
  const [r1, r2, r3] = ['r1', 'r2', 'r3'].map((name) => made.router(name)) as [never, never, never];
  made.link(a, r1, { delay: 1 });
  made.link(r1, r2, { delay: 1 });
  made.link(r2, r3, { delay: 1, mtu: 1000 });
  made.link(r3, b, { delay: 1 });
  echo(b);
  expect(await made.run(() => exchange(a, 'b', 50_000))).toBe(50_000);
  expect(made.drops()).toEqual({ 'too big': expect.any(Number) });
  expect(made.trace()).not.toBe('');
  made.partition([a], [b]);
  await expect(made.run(() => exchange(a, 'b', 1), { limit: 5_000 })).rejects.toThrow('Waited in vain');
});

test('hosts behind a NAT box have its address outside', async () => {
  const made = network();
  const nat = made.nat('nat', { addresses: ['203.0.113.1'] });
  const [inside, other, server] = [made.host('inside'), made.host('other'), made.host('server')];
  made.link(inside, nat, { delay: 1 });
  made.link(other, nat, { delay: 1 });
  made.uplink(nat, server, { delay: 10 });
  const peers = echo(server);
  expect(await made.run(() => exchange(inside, 'server', 10_000))).toBe(10_000);
  expect(await made.run(() => exchange(other, 'server', 10_000))).toBe(10_000);
  expect(peers).toEqual(['203.0.113.1', '203.0.113.1']);
});

test.each(['endpoint-independent', 'symmetric'] as const)('%s mappings lapse', async (kind) => {
  const made = network();
  const nat = made.nat('nat', { kind, tcpEstablished: 600_000 });
  const [client, server] = [made.host('client'), made.host('server')];
  made.link(client, nat, { delay: 1 });
  made.uplink(nat, server, { delay: 10 });
  const accepted: import('usernet').Socket[] = [];
  server.net.createServer((socket) => accepted.push(socket.on('error', () => {}))).listen(7);
  const got: string[] = [];
  const socket = client.net.connect({ host: 'server', port: 7 });
  socket.on('data', (chunk: Buffer) => got.push(String(chunk)));
  await made.until(() => accepted.length > 0 && !socket.connecting);
  // Nothing but the handshake has passed: established all the same, beyond the four minutes of what is not.
  await made.advance(500_000);
  accepted[0]?.write('in time');
  await made.advance(1_000);
  expect(got).toEqual(['in time']);
  await made.advance(700_000);
  accepted[0]?.write('too late');
  await made.advance(60_000);
  expect(got).toEqual(['in time']);
});

test('rules ask functions of the program', async () => {
  const made = network();
  const [a, b] = [made.host('a'), made.host('b')];
  made.link(a, b, { delay: 5 });
  echo(b);
  const seen: Array<number | undefined> = [];
  const big = made.rule(
    {
      from: a,
      nth: 2,
      when: (packet) => {
        if (packet.protocol !== 'tcp' || packet.destinationPort !== 7 || (packet.length ?? 0) < 1000) return false;
        seen.push(packet.length);
        return true;
      },
    },
    'drop',
  );
  let altered = 0;
  const alter = (bytes: Buffer): undefined => {
    altered++;
    // A byte of the data: the checksum tells.
    bytes[bytes.length - 1] = (bytes.at(-1) as number) ^ 0xff;
  };
  made.rule({ from: b, data: true, nth: 1 }, { alter });
  expect(await made.run(() => exchange(a, 'b', 20_000))).toBe(20_000);
  expect(big.hits).toBe(1);
  expect(seen.length).toBeGreaterThan(10);
  expect(altered).toBe(1);
  assertNoReset(made);
  const failing = made.rule(
    {
      when: () => {
        throw new Error('mine');
      },
    },
    'drop',
  );
  await expect(made.run(() => exchange(a, 'b', 1))).rejects.toThrow('mine');
  failing.remove();
  expect(await made.run(() => exchange(a, 'b', 5))).toBe(5);
});

test('rules and settings that there are not are refused by name', () => {
  const made = network();
  const [a, b] = [made.host('a'), made.host('b')];
  const link = made.link(a, b);
  expect(() => made.rule({ form: a } as never, 'drop')).toThrow(/'match\.form' is no condition; there are: from, to/);
  expect(() => made.rule({}, 'dorp' as never)).toThrow(/'action' must be 'drop', 'hold'/);
  expect(() => made.rule({}, { dealy: 5 } as never)).toThrow(/'action' must be/);
  expect(() => link.set({ loss: { toBd: 1 } } as never)).toThrow(/options\.loss\.toBd' is no setting/);
  expect(() => link.set({ loss: { toBad: 2 } })).toThrow(/options\.loss\.toBad.*probability/);
  expect(() => link.set({ discipline: 'red' as never })).toThrow(/'drop-tail' or 'codel'/);
});

test('a packet is handed to a host', async () => {
  const made = network();
  const [a, b] = [made.host('a'), made.host('b')];
  made.link(a, b, { delay: 5 });
  echo(b);
  const socket = a.net.connect({ host: 'b', port: 7, family: 4 }).on('error', () => {});
  const syns: Buffer[] = [];
  made.on('packet', ({ what, flags, bytes }) => {
    if (what === 'sent' && flags === 'S') syns.push(bytes);
  });
  await made.until(() => !socket.connecting);
  // To a host that has forgotten everything its SYN is one to a closed port (RFC 9293 section 3.10.7.1).
  b.crash();
  b.restart();
  made.inject(b, Buffer.from('no packet at all'));
  made.inject(b, syns[0] as Buffer);
  await made.advance(100);
  expect(made.trace()).toMatch(/b>a TCP 7>\d+ RA /);
  socket.destroy();
});

test('datagrams between hosts', async () => {
  const made = network();
  const [a, b] = [made.host('a'), made.host('b')];
  made.link(a, b, { delay: 30 });
  const server = b.dgram.createSocket('udp4');
  server.on('message', (message, from) => server.send(`${message}!`, from.port, from.address));
  await made.run(() => new Promise<void>((resolve) => server.bind(5353, () => resolve())));
  const client = a.dgram.createSocket('udp4');
  const answers: string[] = [];
  client.on('message', (message) => answers.push(`${message} at ${made.now}`));
  made.rule({ when: ({ protocol, sourcePort }) => protocol === 'udp' && sourcePort === 5353, nth: 1 }, 'drop');
  client.send('lost', 5353, 'b');
  await made.advance(1_000);
  client.send('kept', 5353, 'b');
  await made.until(() => answers.length > 0);
  expect(answers).toEqual(['kept! at 1060']);
  client.close();
  server.close();
});
