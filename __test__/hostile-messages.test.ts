// Mutated DHCP and DNS messages, tens of thousands of each kind, the same ones every time (or with USERNET_HOSTILE_SEED
// others): nothing throws, nothing grows, and what is believed or answered can be so.

import { EventEmitter } from 'node:events';
import { ClientMachine } from '../src/dhcp/client-machine';
import { decode, encode, isHostAddress, Option } from '../src/dhcp/message';
import { Pool } from '../src/dhcp/server-machine';
import { decodeAnswer, encodeQuery, followChain } from '../src/dns/message';
import { DnsServer } from '../src/dns/server';
import type { Transport } from '../src/dns/transport';

const COUNT = 40_000;

/** Numbers below a limit (mulberry32). */
function dice(): (sides: number) => number {
  let state = Number(process.env.USERNET_HOSTILE_SEED ?? 1);
  return (sides) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % sides;
  };
}

/** One of the seeds with up to four bytes changed, cut perhaps. */
function mutate(roll: (sides: number) => number, seeds: Buffer[], from = 0): Buffer {
  const data = Buffer.from(seeds[roll(seeds.length)] as Buffer);
  for (let left = roll(5); left > 0; left--) data[from + roll(data.length - from)] = roll(256);
  return roll(8) === 0 ? data.subarray(0, roll(data.length + 1)) : data;
}

const base = {
  secs: 0,
  broadcast: true,
  ciaddr: '0.0.0.0',
  yiaddr: '0.0.0.0',
  siaddr: '0.0.0.0',
  giaddr: '0.0.0.0',
  chaddr: Buffer.from([2, 0, 0, 0, 0, 1]),
};

function options(...entries: Array<[number, number[]]>): Map<number, Buffer> {
  return new Map(entries.map(([code, bytes]) => [code, Buffer.from(bytes)]));
}

test('a DHCP server gives out what it has, whatever it is asked', () => {
  const roll = dice();
  const reserved = '198.18.0.9';
  const pool = new Pool({
    server: '198.18.0.1',
    prefixLength: 24,
    range: ['198.18.0.100', '198.18.0.119'],
    leaseTime: 1000,
    routers: ['198.18.0.1'],
    dns: [],
    domain: null,
    mtu: null,
    reservations: new Map([['02:00:00:00:00:09', reserved]]),
  });
  const own = [198, 18, 0, 1];
  const seeds = Array.from({ length: 40 }, (_, i) => [
    options([Option.Type, [1]]),
    options([Option.Type, [1]], [Option.ClientId, [0, 7, i]], [Option.RequestedAddress, [198, 18, 0, 100 + (i % 25)]]),
    options([Option.Type, [3]], [Option.RequestedAddress, [198, 18, 0, 100 + (i % 25)]], [Option.ServerId, own]),
    options([Option.Type, [3]], [Option.RequestedAddress, [198, 18, 0, 100 + (i % 25)]]),
    options([Option.Type, [4]], [Option.RequestedAddress, [198, 18, 0, 100 + (i % 25)]], [Option.ServerId, own]),
    options([Option.Type, [7]], [Option.ServerId, own]),
    options([Option.Type, [8]]),
  ]).flatMap((kinds, i) =>
    kinds.map((each) => {
      const chaddr = Buffer.from([2, 0, 0, 0, 0, i]);
      return encode({ ...base, op: 1, xid: i, chaddr, options: each }).subarray(0, 300);
    }),
  );
  let answered = 0;
  for (let i = 0; i < COUNT; i++) {
    const message = decode(mutate(roll, seeds));
    if (message === null) continue;
    const answer = pool.receive(i * 10, message);
    if (answer === null) continue;
    answered++;
    const last = Number(answer.message.yiaddr.split('.')[3]);
    const given = answer.message.yiaddr.startsWith('198.18.0.') && ((last >= 100 && last < 120) || last === 9);
    if (!given && answer.message.yiaddr !== '0.0.0.0') throw new Error(`it gave out ${answer.message.yiaddr}`);
    if (decode(encode(answer.message)) === null) throw new Error('its answer cannot be read');
    if (pool.leases(i * 10).length > 21) throw new Error('it gave out more than it has');
  }
  expect(answered).toBeGreaterThan(1000);
});

test('a DHCP client believes what it can use', () => {
  const roll = dice();
  let believed = 0;
  for (let round = 0; round < COUNT / 20; round++) {
    let xid = 0;
    const machine = new ClientMachine({ chaddr: base.chaddr, random: () => ++xid });
    machine.start(0);
    let last = 0;
    const reply = (type: number): Buffer => {
      for (const action of machine.take()) if (action.kind === 'send') last = action.message.xid;
      const all = options(
        [Option.Type, [type]],
        [Option.ServerId, [198, 18, 0, 1]],
        [Option.LeaseTime, [0, 0, 3, 0xe8]],
        [Option.SubnetMask, [255, 255, 255, 0]],
        [Option.Router, [198, 18, 0, 1]],
        [Option.DnsServer, [198, 18, 0, 53, 198, 18, 0, 54]],
        [Option.DomainName, [0x6c, 0x61, 0x62]],
        [Option.Mtu, [5, 0x78]],
        [Option.T1, [0, 0, 1, 0]],
        [Option.T2, [0, 0, 2, 0]],
      );
      return encode({ ...base, op: 2, xid: last, yiaddr: '198.18.0.100', options: all });
    };
    for (const type of [2, 2, 5, 5, 5, 6, 5, 2, 5, 5]) {
      const seed = reply(type);
      for (const message of [decode(mutate(roll, [seed], 12)), decode(seed)]) {
        if (message !== null) machine.receive(round, message);
      }
      const { lease, deadline } = machine;
      if (lease === null) continue;
      believed++;
      const times = lease.renewTime > 0 && lease.renewTime <= lease.rebindTime && lease.rebindTime <= lease.leaseTime;
      const good = isHostAddress(lease.address) && lease.prefixLength <= 32 && times && lease.leaseTime <= 2_000_000;
      if (!good || deadline === null || Number.isNaN(deadline)) throw new Error(JSON.stringify(lease));
      for (const address of [...lease.routers, ...lease.dns]) {
        if (!isHostAddress(address)) throw new Error(`it believes in ${address}`);
      }
    }
  }
  expect(believed).toBeGreaterThan(1000);
});

/** An answer to `query`: an alias, an address, an SOA with compressed names. */
function answerTo(query: Buffer): Buffer {
  const head = Buffer.from(query);
  head.writeUInt16BE(0x8180, 2);
  head.writeUInt16BE(2, 6);
  head.writeUInt16BE(1, 8);
  const at = head.length;
  return Buffer.concat([
    head,
    Buffer.from([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 6, 3, 0x77, 0x77, 0x77, 0xc0, 12]),
    Buffer.from([0xc0, at + 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]),
    Buffer.from([0xc0, 12, 0, 6, 0, 1, 0, 0, 0, 60, 0, 24, 0xc0, 12, 0xc0, at + 12]),
    Buffer.alloc(20, 1),
  ]);
}

test('a DNS resolver reads any answer, and believes what answers its question', () => {
  const roll = dice();
  const query = encodeQuery(7, 'example.test', 'A', false);
  const seeds = [answerTo(query)];
  const whole = decodeAnswer(seeds[0] as Buffer, 7, 'example.test', 'A');
  expect(followChain(whole?.answers ?? [], 'example.test', 'A').records).toHaveLength(1);
  let read = 0;
  for (let i = 0; i < COUNT; i++) {
    const data = mutate(roll, seeds);
    const answer = decodeAnswer(data, 7, 'example.test', 'A');
    if (answer === null) continue;
    read++;
    if (data.readUInt16BE(0) !== 7) throw new Error('it took an answer to another question');
    const { records } = followChain(answer.answers, 'example.test', 'A');
    if (!records.every(({ type }) => type === 'A')) throw new Error('it took a record of another type');
  }
  expect(read).toBeGreaterThan(1000);
});

test('a DNS server answers any question, or says nothing', async () => {
  const roll = dice();
  const socket = Object.assign(new EventEmitter(), {
    bind: () => setImmediate(() => socket.emit('listening')),
    address: () => ({ address: '::', port: 53 }),
    close: () => {},
    send: (reply: Buffer) => replies.push(reply),
  });
  const replies: Buffer[] = [];
  const listener = Object.assign(new EventEmitter(), {
    listen: () => setImmediate(() => listener.emit('listening')),
    close: (done: () => void) => done(),
  });
  const transport = { dgram: { createSocket: () => socket }, net: { createServer: () => listener } };
  const server = new DnsServer(transport as unknown as Transport, {
    zones: [
      {
        name: 'example.test',
        records: [
          { name: '@', type: 'MX', data: { exchange: 'mail.example.test', priority: 5 } },
          { name: '*', type: 'A', data: '192.0.2.1' },
          { name: 'www', type: 'CNAME', data: 'host.example.test' },
          { name: 'text', type: 'TXT', data: Array.from({ length: 30 }, () => 'x'.repeat(100)) },
        ],
      },
    ],
  });
  await server.listen(53, '::');
  const seeds = ['example.test', 'www.example.test', 'a.b.example.test', 'text.example.test'].flatMap((name) =>
    ['A', 'MX', 'TXT', 'ANY', 'SOA'].map((type, i) => encodeQuery(7 + i, name, type, i % 2 === 0)),
  );
  let answered = 0;
  for (let i = 0; i < COUNT / 4; i++) {
    const data = mutate(roll, seeds);
    socket.emit('message', data, { address: '198.18.0.1', port: 9 });
    const [reply] = replies.splice(0);
    if (reply === undefined) continue;
    answered++;
    const good = reply.readUInt16BE(0) === data.readUInt16BE(0) && (reply[2] as number) >= 0x80;
    if (!good || reply.length > 4096) throw new Error(reply.toString('hex'));
  }
  expect(answered).toBeGreaterThan(COUNT / 8);
  await server.close();
});
