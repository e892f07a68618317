// DNS over a stack: the resolver against our own server and against servers that lie, and what is remembered.

import { once } from 'node:events';
import * as packet from 'dns-packet';
import { Cache } from '../src/dns/cache';
import { decodeAnswer, encodeQuery, followChain, isName } from '../src/dns/message';
import { reverseName } from '../src/dns/resolver';
import { createLink, createStack, type DatagramSocket, type DnsServer, type Stack } from '../src/index';

const open: Stack[] = [];

/** A client and a server stack on a link. */
async function two(dns: object = {}): Promise<{ client: Stack; server: Stack }> {
  const [left, right] = createLink();
  const client = await createStack({
    interfaces: [{ device: left, addresses: ['198.18.0.1/24', 'fd00::1/64'] }],
    dns: { servers: ['198.18.0.2'], timeout: 300, ...dns },
  });
  const server = await createStack({ interfaces: [{ device: right, addresses: ['198.18.0.2/24', 'fd00::2/64'] }] });
  open.push(client, server);
  return { client, server };
}

afterEach(async () => {
  await Promise.all(open.splice(0).map((stack) => stack.close()));
});

const long = Array.from({ length: 40 }, (_, i) => `a line of text that is not short, number ${i}`);
const zone = {
  name: 'example.test',
  ttl: 300,
  records: [
    { name: '@', type: 'A', data: '192.0.2.1' },
    { name: '@', type: 'MX', data: { exchange: 'mail.example.test', priority: 10 } },
    { name: '@', type: 'NS', data: 'ns.example.test' },
    { name: '@', type: 'CAA', data: { critical: 0, issue: 'ca.example' } },
    { name: 'www', type: 'CNAME', data: 'host.example.test' },
    { name: 'host', type: 'A', data: '192.0.2.2', ttl: 5 },
    { name: 'host', type: 'AAAA', data: '2001:db8::2' },
    { name: '_sip._tcp', type: 'SRV', data: { name: 'host.example.test', port: 5060, priority: 1, weight: 2 } },
    { name: 'text', type: 'TXT', data: ['one', 'two'] },
    { name: 'long', type: 'TXT', data: long },
    { name: '*.wild', type: 'A', data: '192.0.2.9' },
    { name: 'loop', type: 'CNAME', data: 'pool.example.test' },
    { name: 'pool', type: 'CNAME', data: 'loop.example.test' },
    { name: 'v4', type: 'A', data: '192.0.2.4' },
  ],
} as const;
const reverse = {
  name: '2.0.192.in-addr.arpa',
  records: [{ name: '2', type: 'PTR', data: 'host.example.test' }],
} as const;

async function served(): Promise<{ client: Stack; server: Stack; dns: DnsServer }> {
  const { client, server } = await two();
  const zones = [zone, reverse] as never;
  const dns = await server.dns.createServer({ zones }).listen();
  return { client, server, dns };
}

test('every type of record, as node:dns gives it', async () => {
  const { client } = await served();
  const { dns } = client;
  expect(await dns.resolve4('example.test')).toEqual(['192.0.2.1']);
  expect(await dns.resolve4('www.example.test')).toEqual(['192.0.2.2']);
  expect(await dns.resolve4('WWW.Example.Test.', { ttl: true })).toEqual([{ address: '192.0.2.2', ttl: 5 }]);
  expect(await dns.resolve6('host.example.test')).toEqual(['2001:db8::2']);
  expect(await dns.resolveCname('www.example.test')).toEqual(['host.example.test']);
  expect(await dns.resolveMx('example.test')).toEqual([{ exchange: 'mail.example.test', priority: 10 }]);
  expect(await dns.resolveNs('example.test')).toEqual(['ns.example.test']);
  expect(await dns.resolveCaa('example.test')).toEqual([{ critical: 0, issue: 'ca.example' }]);
  expect(await dns.resolveSrv('_sip._tcp.example.test')).toEqual([
    { name: 'host.example.test', port: 5060, priority: 1, weight: 2 },
  ]);
  expect(await dns.resolveTxt('text.example.test')).toEqual([['one', 'two']]);
  expect(await dns.resolveSoa('example.test')).toMatchObject({ nsname: 'ns.example.test', minttl: 300 });
  expect(await dns.resolve4('anything.at.wild.example.test')).toEqual(['192.0.2.9']);
  expect(await dns.reverse('192.0.2.2')).toEqual(['host.example.test']);
  expect(await dns.resolve('example.test', 'MX')).toHaveLength(1);
  const any = (await dns.resolveAny('host.example.test')).map(({ type }) => type);
  expect(any.sort()).toEqual(['A', 'AAAA']);
});

test('what there is not, and what cannot be asked', async () => {
  const { client } = await served();
  const { dns } = client;
  const error = { code: 'ENOTFOUND', syscall: 'queryA', hostname: 'no.example.test' };
  await expect(dns.resolve4('no.example.test')).rejects.toMatchObject(error);
  await expect(dns.resolve4('no.example.test')).rejects.toThrow('queryA ENOTFOUND no.example.test');
  await expect(dns.resolveMx('v4.example.test')).rejects.toMatchObject({ code: 'ENODATA', syscall: 'queryMx' });
  await expect(dns.resolve4('_tcp.example.test')).rejects.toMatchObject({ code: 'ENODATA' });
  await expect(dns.resolve4('elsewhere.test')).rejects.toMatchObject({ code: 'EREFUSED' });
  await expect(dns.resolve4('loop.example.test')).rejects.toMatchObject({ code: 'ENODATA' });
  await expect(dns.resolve4(`${'x'.repeat(64)}.test`)).rejects.toMatchObject({ code: 'EBADNAME' });
  await expect(dns.resolve4('a..b')).rejects.toMatchObject({ code: 'EBADNAME' });
  expect(() => dns.resolve('example.test', 'NOPE' as never)).toThrow(/rrtype/);
  expect(() => dns.setServers(['not an address'])).toThrow(expect.objectContaining({ code: 'ERR_INVALID_IP_ADDRESS' }));
  const resolver = new client.dns.Resolver();
  await expect(resolver.resolve4('example.test')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  resolver.setServers(['198.18.0.2:54', '[fd00::2]:53', '198.18.0.2']);
  expect(resolver.getServers()).toEqual(['198.18.0.2:54', 'fd00::2', '198.18.0.2']);
  // Nobody listens at the first: the second is asked.
  expect(await resolver.resolve4('example.test')).toEqual(['192.0.2.1']);
});

test('reverse and lookup fail as Node has it; questions come from the address that is set', async () => {
  const { client, dns } = await served();
  await expect(client.dns.reverse('192.0.2.9')).rejects.toMatchObject({
    code: 'ENOTFOUND',
    syscall: 'getHostByAddr',
    hostname: '192.0.2.9',
    message: 'getHostByAddr ENOTFOUND 192.0.2.9',
  });
  await expect(client.dns.reverse('192.0.2')).rejects.toMatchObject({
    code: 'EINVAL',
    errno: -22,
    syscall: 'getHostByAddr',
  });
  await expect(client.dns.reverse(5 as never)).rejects.toMatchObject({ code: 'ERR_INVALID_ARG_TYPE' });
  await expect(client.lookup('none.example.test')).rejects.toMatchObject({ code: 'ENOTFOUND', errno: -3008 });
  await dns.close();

  const { server } = { server: open[1] as Stack };
  client.addAddress('link0', '198.18.0.77/24');
  const from: string[] = [];
  const socket = server.dgram.createSocket('udp4', (_message, info) => from.push(info.address));
  socket.bind(53);
  await once(socket, 'listening');
  const resolver = new client.dns.Resolver({ timeout: 100, tries: 1 });
  resolver.setServers(['198.18.0.2']);
  for (const wrong of [['x'], ['198.18.0.1', '198.18.0.77'], [5]]) {
    expect(() => resolver.setLocalAddress(...(wrong as [string]))).toThrow(
      expect.objectContaining({ name: 'TypeError' }),
    );
  }
  resolver.setLocalAddress('198.18.0.77', 'fd00::1');
  await expect(resolver.resolve4('a.test')).rejects.toMatchObject({ code: 'ETIMEOUT' });
  expect(from).toEqual(['198.18.0.77']);
});

test('records whose data is not what their type needs are refused, with the value', async () => {
  const { server } = await two();
  const make = (type: unknown, data: unknown, extra: object = {}): string => {
    try {
      const records = [{ name: 'a', type, data, ...extra }] as never;
      server.dns.createServer({ zones: [{ name: 'x.test', records }] });
    } catch (error) {
      return `${(error as { code: string }).code} ${(error as Error).message}`;
    }
    return 'taken';
  };
  for (const [type, data, words] of [
    ['A', 'x', "ERR_INVALID_ARG_VALUE The property 'record.data' must be an IPv4 address for type A. Received 'x'"],
    ['A', '::1', 'must be an IPv4 address'],
    ['A', undefined, 'must be an IPv4 address'],
    ['AAAA', '192.0.2.1', 'must be an IPv6 address'],
    ['MX', 'mail', 'ERR_INVALID_ARG_TYPE'],
    ['MX', { exchange: 'mail', priority: 70_000 }, 'ERR_OUT_OF_RANGE'],
    ['SRV', { name: 'host', port: 1, priority: 1 }, 'ERR_INVALID_ARG_TYPE The "record.data.weight"'],
    ['TXT', 'y'.repeat(256), 'at most 255 bytes'],
    ['TXT', [], 'at least one string'],
    ['TXT', 5, 'ERR_INVALID_ARG_TYPE'],
    ['CNAME', 'a..b', 'must be a DNS name'],
    ['PTR', `${'z'.repeat(64)}.test`, 'must be a DNS name'],
    ['CAA', {}, 'must have a tag'],
    ['NAPTR', { order: 1, preference: 2, flags: 's', service: 'x', regexp: '' }, 'record.data.replacement'],
    ['BOGUS', 'x', "must be 'A', 'AAAA'"],
  ] as const) {
    expect([type, make(type, data)]).toEqual([type, expect.stringContaining(words)]);
  }
  expect(make('A', '192.0.2.1', { ttl: -1 })).toContain('ERR_OUT_OF_RANGE');
  expect(make('MX', { exchange: '.', priority: 0 })).toBe('taken');
});

test('an answer that does not fit a datagram comes over TCP', async () => {
  const { client } = await served();
  expect(await client.dns.resolveTxt('long.example.test')).toEqual([long]);
  expect(client.dns.counters).toEqual({ udp: 1, tcp: 1, ignored: 0 });
});

test('answers are remembered for their TTL, and only one of equal questions is asked', async () => {
  const { client } = await served();
  await Promise.all(Array.from({ length: 10 }, () => client.dns.resolve4('example.test')));
  await client.dns.resolve4('EXAMPLE.test');
  await expect(client.dns.resolve4('no.example.test')).rejects.toThrow();
  await expect(client.dns.resolve4('no.example.test')).rejects.toThrow();
  expect(client.dns.counters.udp).toBe(2);
  client.dns.setServers(['198.18.0.2']);
  await client.dns.resolve4('example.test');
  expect(client.dns.counters.udp).toBe(3);

  let now = 0;
  const cache = new Cache<string>(2, () => now);
  cache.set('a', 'A', 10, false);
  cache.set('b', 'B', 10, false);
  now = 4000;
  expect(cache.get('a')).toEqual({ value: 'A', age: 4 });
  cache.set('c', 'C', 10, false);
  expect([cache.get('b'), cache.size]).toEqual([undefined, 2]);
  now = 10_000;
  expect(cache.get('a')).toBeUndefined();
  cache.set('d', 'D', 0, false);
  cache.set('e', 'E', 1e9, true);
  now += 900_000;
  expect([cache.get('d'), cache.get('e')]).toEqual([undefined, undefined]);
});

test('lookup: all, one family, localhost, hosts, callbacks; sockets use it', async () => {
  const { client, server } = await served();
  const host = 'host.example.test';
  const both = [
    { address: '192.0.2.2', family: 4 },
    { address: '2001:db8::2', family: 6 },
  ];
  expect(await client.lookup(host, { all: true })).toEqual(both);
  expect(await client.lookup(host, { all: true, order: 'ipv6first' })).toEqual([both[1], both[0]]);
  expect(await client.lookup(host)).toEqual(both[0]);
  expect(await client.lookup(host, 6)).toEqual(both[1]);
  expect(await client.lookup('v4.example.test')).toEqual({ address: '192.0.2.4', family: 4 });
  expect(await client.lookup('localhost', { family: 6 })).toEqual({ address: '::1', family: 6 });
  expect(await client.lookup('198.18.7.7')).toEqual({ address: '198.18.7.7', family: 4 });
  const called = await new Promise((resolve) => client.lookup(host, (...args) => resolve(args)));
  expect(called).toEqual([null, '192.0.2.2', 4]);
  await expect(client.lookup('no.example.test')).rejects.toMatchObject({ code: 'ENOTFOUND', syscall: 'getaddrinfo' });
  await expect(client.lookup('elsewhere.test')).rejects.toMatchObject({ code: 'EAI_AGAIN' });

  server.dns.createServer({ zones: [] });
  server.addAddress('link0', '192.0.2.4/32');
  client.addRoute({ to: '192.0.2.0/24', via: '198.18.0.2' });
  const listener = server.net.createServer((socket) => socket.end('by name')).listen(80);
  await once(listener, 'listening');
  const [data] = await once(client.net.connect({ host: 'v4.example.test', port: 80 }), 'data');
  expect(`${data}`).toBe('by name');

  const own = await createStack({ dns: { hosts: { 'db.internal': ['192.0.2.5', '2001:db8::5'] } } });
  open.push(own);
  expect(await own.lookup('DB.internal', { family: 6 })).toEqual({ address: '2001:db8::5', family: 6 });
});

describe('servers that lie', () => {
  /** A server that answers each query as told. */
  async function liar(
    answer: (query: packet.DecodedPacket & { id: number }, reply: (data: Buffer) => void) => void,
  ): Promise<{ client: Stack; socket: DatagramSocket }> {
    const { client, server } = await two({ tries: 2, timeout: 200 });
    const socket = server.dgram.createSocket('udp4');
    socket.on('message', (data, from) => {
      const query = packet.decode(data) as packet.DecodedPacket & { id: number };
      answer(query, (reply) => socket.send(reply, from.port, from.address));
    });
    socket.bind(53);
    await once(socket, 'listening');
    return { client, socket };
  }

  const encode = (query: packet.Packet, change: object = {}): Buffer =>
    packet.encode({
      id: query.id as number,
      type: 'response',
      flags: packet.RECURSION_DESIRED,
      questions: query.questions as packet.Question[],
      answers: [{ type: 'A', name: 'example.test', ttl: 60, data: '203.0.113.66' }],
      ...change,
    });

  test('another id, another question, another class, no answer at all: not believed', async () => {
    const { client } = await liar((query, reply) => {
      reply(encode(query, { id: (query.id + 1) & 0xffff }));
      reply(encode(query, { questions: [{ type: 'A', name: 'example.tost', class: 'IN' }] }));
      reply(encode(query, { questions: [{ type: 'AAAA', name: 'example.test', class: 'IN' }] }));
      reply(encode(query, { questions: [{ type: 'A', name: 'example.test', class: 'CH' }] }));
      reply(encode(query, { questions: [] }));
      reply(encode(query, { type: 'query' }));
      reply(Buffer.alloc(3));
      reply(encode(query, { answers: [{ type: 'A', name: 'example.test', ttl: 60, data: '192.0.2.1' }] }));
    });
    expect(await client.dns.resolve4('example.test')).toEqual(['192.0.2.1']);
    expect(client.dns.counters.ignored).toBe(7);
  });

  test('records of names that were not asked for are left out', async () => {
    const { client } = await liar((query, reply) => {
      reply(
        encode(query, {
          answers: [
            { type: 'A', name: 'bank.example', ttl: 60, data: '203.0.113.66' },
            { type: 'CNAME', name: 'example.test', ttl: 60, data: 'real.test' },
            { type: 'A', name: 'real.test', ttl: 60, data: '192.0.2.1' },
            { type: 'A', name: 'unreal.test', ttl: 60, data: '203.0.113.66' },
          ],
        }),
      );
    });
    expect(await client.dns.resolve4('example.test')).toEqual(['192.0.2.1']);
    await expect(client.dns.resolve4('bank.test')).rejects.toMatchObject({ code: 'ENODATA' });
  });

  test('a flood of wrong answers, silence, and who knows nothing: an error each, and no more', async () => {
    let mode = 'flood';
    const { client, socket } = await liar((query, reply) => {
      if (mode === 'flood') for (let i = 0; i < 100; i++) reply(encode(query, { id: (query.id + 1 + i) & 0xffff }));
      if (mode === 'SERVFAIL') reply(encode(query, { flags: 2, answers: [] }));
      // An alias of itself.
      const loop = { type: 'CNAME', name: 'example.test', ttl: 60, data: 'example.test' };
      if (mode === 'loop') reply(encode(query, { answers: [loop] }));
      if (mode === 'cut') reply(encode(query, { flags: packet.TRUNCATED_RESPONSE, answers: [] }));
    });
    const code = async (): Promise<string> =>
      client.dns.resolve4('example.test').then(String, (error: { code: string }) => error.code);
    expect(await code()).toBe('EBADRESP');
    mode = 'silence';
    expect(await code()).toBe('ETIMEOUT');
    mode = 'SERVFAIL';
    expect(await code()).toBe('ESERVFAIL');
    mode = 'cut';
    expect(await code()).toBe('ECONNREFUSED');
    mode = 'silence';
    const asking = code();
    setImmediate(() => client.dns.cancel());
    expect(await asking).toBe('ECANCELLED');
    mode = 'loop';
    expect(await code()).toBe('ENODATA');
    socket.close();
    client.dns.setServers(['198.18.0.2']);
    expect(await code()).toBe('ECONNREFUSED');
  });

  test('ids and ports are not to be guessed', async () => {
    const seen: [number, number][] = [];
    const { client, socket } = await liar((query, reply) => reply(encode(query)));
    socket.on('message', (data, { port }) => seen.push([data.readUInt16BE(0), port]));
    const names = Array.from({ length: 60 }, (_, i) => `${i}.test`);
    await Promise.allSettled(names.map((name) => client.dns.resolve4(name)));
    expect(seen).toHaveLength(60);
    for (const part of [0, 1] as const) {
      const values = seen.map((pair) => pair[part]);
      expect(new Set(values).size).toBeGreaterThan(50);
      const steps = values.slice(1).filter((value, i) => Math.abs(value - (values[i] as number)) <= 2);
      expect(steps.length).toBeLessThan(5);
    }
  });

  test('compression loops and other broken messages are no answers, and end', () => {
    const query = encodeQuery(7, 'example.test', 'A', false);
    const answer = (name: number[]): Buffer => {
      const head = Buffer.from(query);
      head.writeUInt16BE(0x8180, 2);
      head.writeUInt16BE(1, 6);
      return Buffer.concat([head, Buffer.from(name), Buffer.from([0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1])]);
    };
    const at = query.length;
    const good = decodeAnswer(answer([0xc0, 12]), 7, 'example.test', 'A');
    expect(followChain(good?.answers ?? [], 'example.test', 'A').records).toHaveLength(1);
    // To itself, forward, to each other, beyond the end, a label type that does not exist.
    for (const name of [
      [0xc0, at],
      [0xc0, at + 2],
      [0xc0, at + 2, 0xc0, at],
      [0xff, 0xff],
      [0x80, 1],
      [63, 1],
    ]) {
      expect(decodeAnswer(answer(name), 7, 'example.test', 'A')).toBeNull();
    }
    // Every truncation, and every byte changed, of a good one.
    const whole = answer([0xc0, 12]);
    for (let length = 0; length < whole.length; length++) {
      expect(decodeAnswer(whole.subarray(0, length), 7, 'example.test', 'A')?.answers ?? []).toEqual([]);
    }
    for (let i = 0; i < whole.length; i++) {
      for (let bit = 0; bit < 8; bit++) {
        const changed = Buffer.from(whole);
        changed[i] = (changed[i] as number) ^ (1 << bit);
        expect(() => decodeAnswer(changed, 7, 'example.test', 'A')).not.toThrow();
      }
    }
  });
});

test('our server: what is broken, foreign or an answer', async () => {
  const { client, server } = await served();
  const socket = client.dgram.createSocket('udp4');
  socket.connect(53, '198.18.0.2');
  await once(socket, 'connect');
  const asked = async (data: Buffer): Promise<number[]> => {
    socket.send(data);
    const [reply] = (await once(socket, 'message')) as [Buffer];
    return [reply.readUInt16BE(0), (reply[2] as number) >> 7, (reply[3] as number) & 15];
  };
  const query = encodeQuery(9, 'example.test', 'A', false);
  expect(await asked(query)).toEqual([9, 1, 0]);
  const notify = Buffer.from(query);
  notify[2] = 4 << 3;
  expect(await asked(notify)).toEqual([9, 1, 4]);
  expect(await asked(query.subarray(0, 20))).toEqual([9, 1, 1]);
  const none = Buffer.from(query.subarray(0, 12));
  none.writeUInt16BE(0, 4);
  expect(await asked(none)).toEqual([9, 1, 1]);
  expect(await asked(encodeQuery(9, 'elsewhere.test', 'A', true))).toEqual([9, 1, 5]);
  // Answers are not answered: the next reply is the next query's.
  const response = Buffer.from(query);
  response[2] = 0x80;
  socket.send(response);
  socket.send(Buffer.alloc(5));
  expect(await asked(encodeQuery(10, 'example.test', 'A', false))).toEqual([10, 1, 0]);
  socket.close();
  expect(server.dns.getServers()).toEqual([]);
});

test('names in messages, and of addresses', () => {
  expect([isName('a.b'), isName('.'), isName('a..b'), isName('x'.repeat(63)), isName('x'.repeat(64))]).toEqual([
    true,
    true,
    false,
    true,
    false,
  ]);
  expect(isName(Array(128).fill('a').join('.'))).toBe(false);
  expect(reverseName('192.0.2.1')).toBe('1.2.0.192.in-addr.arpa');
  expect(reverseName('2001:db8::1')).toBe(`1.${'0.'.repeat(23)}8.b.d.0.1.0.0.2.ip6.arpa`);
  expect(() => reverseName('example')).toThrow(/getHostByAddr EINVAL example/);
});
