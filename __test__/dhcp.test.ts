// DHCP: the two machines in virtual time, with lies and losses, and client and server on two stacks.

import { once } from 'node:events';
import { type ClientAction, ClientMachine } from '../src/dhcp/client-machine';
import {
  addressBytes,
  addressOption,
  type DhcpMessage,
  decode,
  encode,
  type MessageType,
  number32,
  Option,
  typeOf,
} from '../src/dhcp/message';
import { Pool } from '../src/dhcp/server-machine';
import { createLink, createStack, type Stack } from '../src/index';
import { until } from './support/stacks';

const options = {
  server: '198.18.0.1',
  prefixLength: 24,
  range: ['198.18.0.100', '198.18.0.102'] as [string, string],
  leaseTime: 1000,
  routers: ['198.18.0.1'],
  dns: ['198.18.0.1', '198.18.0.53'],
  domain: 'lab.test',
  mtu: 1400,
  reservations: new Map([['02:00:00:00:00:09', '198.18.0.9']]),
};

function chaddr(last: number): Buffer {
  return Buffer.from([2, 0, 0, 0, 0, last]);
}

/** A client whose random numbers are a sequence. */
function client(last = 1, extra: object = {}): ClientMachine {
  let seed = last * 1000;
  return new ClientMachine({ chaddr: chaddr(last), random: () => ++seed, ...extra });
}

type Sent = Extract<ClientAction, { kind: 'send' }>;

/** What was done, without what was sent. */
function decisions(actions: ClientAction[]): ClientAction[] {
  return actions.filter(({ kind }) => kind !== 'send');
}

/** Carries messages between a client and a pool until neither has any; gives the client's decisions and message types. */
function carry(now: number, machine: ClientMachine, pool: Pool): { types: MessageType[]; done: ClientAction[] } {
  const types: MessageType[] = [];
  const done: ClientAction[] = [];
  for (let actions = machine.take(); actions.length > 0; actions = machine.take()) {
    done.push(...decisions(actions));
    for (const { message } of actions.filter((action): action is Sent => action.kind === 'send')) {
      types.push(typeOf(message) as MessageType);
      const answer = pool.receive(now, decode(encode(message)) as DhcpMessage);
      if (answer === null) continue;
      types.push(typeOf(answer.message) as MessageType);
      machine.receive(now, decode(encode(answer.message)) as DhcpMessage);
    }
  }
  return { types, done };
}

const { Discover, Offer, Request, Ack, Nak, Decline, Release } = {
  Discover: 1,
  Offer: 2,
  Request: 3,
  Decline: 4,
  Ack: 5,
  Nak: 6,
  Release: 7,
};

describe('the machines, in virtual time', () => {
  test('discover, offer, request, ack: a lease with everything in it', () => {
    const [machine, pool] = [client(), new Pool(options)];
    machine.start(0);
    const { types, done } = carry(0, machine, pool);
    expect(types).toEqual([Discover, Offer, Request, Ack]);
    expect(done).toEqual([
      {
        kind: 'bound',
        renewed: false,
        lease: {
          address: '198.18.0.100',
          prefixLength: 24,
          server: '198.18.0.1',
          leaseTime: 1000,
          renewTime: 500,
          rebindTime: 875,
          routers: ['198.18.0.1'],
          dns: ['198.18.0.1', '198.18.0.53'],
          domain: 'lab.test',
          mtu: 1400,
        },
      },
    ]);
    expect([machine.state, machine.deadline]).toEqual(['bound', 500_000]);
    expect(pool.leases(0)).toEqual([
      { address: '198.18.0.100', client: '02:00:00:00:00:01', state: 'leased', until: 1_000_000 },
    ]);
  });

  test('without an answer it asks again, after 4, 8, 16, 32, 64, 64 seconds, more or less', () => {
    const machine = client();
    machine.start(0);
    let now = 0;
    const waits: number[] = [];
    for (let i = 0; i < 6; i++) {
      const [sent] = machine.take() as Sent[];
      expect(typeOf(sent?.message as DhcpMessage)).toBe(Discover);
      expect([sent?.to, sent?.message.broadcast, sent?.message.secs]).toEqual([null, true, Math.floor(now / 1000)]);
      const next = machine.deadline as number;
      waits.push((next - now) / 1000);
      machine.timeout(next - 1);
      expect(machine.take()).toEqual([]);
      now = next;
      machine.timeout(now);
    }
    for (const [i, seconds] of [4, 8, 16, 32, 64, 64].entries()) {
      expect(Math.abs((waits[i] as number) - seconds)).toBeLessThanOrEqual(1);
    }
  });

  test('renewed with its server at T1; with any at T2; gone at the end, and asked for anew', () => {
    const [machine, pool] = [client(), new Pool(options)];
    machine.start(0);
    carry(0, machine, pool);
    machine.timeout(500_000);
    expect(machine.state).toBe('renewing');
    const renewed = carry(500_000, machine, pool);
    expect(renewed.types).toEqual([Request, Ack]);
    expect(renewed.done).toMatchObject([{ kind: 'bound', renewed: true, lease: { address: '198.18.0.100' } }]);
    expect(machine.deadline).toBe(1_000_000);
    // Now the server is silent.
    const log: [number, string, string | null][] = [];
    while (machine.state !== 'selecting') {
      const now = machine.deadline as number;
      machine.timeout(now);
      for (const action of machine.take()) {
        if (action.kind === 'send') log.push([now / 1000, machine.state, action.to]);
        else log.push([now / 1000, action.kind, action.kind === 'lost' ? action.reason : null]);
      }
    }
    expect(log[0]).toEqual([1000, 'renewing', '198.18.0.1']);
    expect(log.find(([, state]) => state === 'rebinding')).toEqual([1375, 'rebinding', null]);
    expect(log.slice(-2)).toEqual([
      [1500, 'lost', 'expired'],
      [1500, 'selecting', null],
    ]);
    for (let i = 1; i < log.length - 2; i++) {
      const gap = (log[i]?.[0] as number) - (log[i - 1]?.[0] as number);
      const atBoundary = [1375, 1500].includes(log[i]?.[0] as number);
      expect(gap >= 60 || atBoundary).toBe(true);
    }
  });

  test('a refusal while renewing takes the address away; a conflict is declined', () => {
    const [machine, pool] = [client(), new Pool(options)];
    machine.start(0);
    carry(0, machine, pool);
    machine.timeout(500_000);
    const other = new Pool({ ...options, server: '198.18.0.1', range: ['198.18.0.200', '198.18.0.201'] });
    // Its server has forgotten, and the address is another's now.
    const thief = client(7, { requestedAddress: '198.18.0.100' });
    const fresh = new Pool(options);
    thief.start(500_000);
    carry(500_000, thief, fresh);
    expect(carry(500_000, machine, fresh)).toMatchObject({
      types: [Request, Nak],
      done: [{ kind: 'lost', reason: 'refused' }],
    });
    expect([machine.state, machine.lease, machine.deadline]).toEqual(['init', null, 501_000]);
    machine.timeout(501_000);
    expect(carry(501_000, machine, other).types).toEqual([Discover, Offer, Request, Ack]);
    machine.conflict(502_000);
    const declined = carry(502_000, machine, other);
    expect(declined).toMatchObject({ types: [Decline], done: [{ kind: 'lost', reason: 'declined' }] });
    expect(machine.deadline).toBe(512_000);
    expect(other.leases(502_000)).toMatchObject([{ address: '198.18.0.200', client: null, state: 'declined' }]);
    machine.timeout(512_000);
    carry(512_000, machine, other);
    expect(machine.lease?.address).toBe('198.18.0.201');
    machine.stop(513_000);
    expect(carry(513_000, machine, other).types).toEqual([Release]);
    expect(other.leases(513_000)).toMatchObject([{ state: 'declined' }]);
  });

  test('an address it had before is asked for again at once (INIT-REBOOT)', () => {
    const pool = new Pool(options);
    const before = client();
    before.start(0);
    carry(0, before, pool);
    const reboot = { requestedAddress: '198.18.0.100', reboot: true };
    const machine = client(1, reboot);
    machine.start(1000);
    expect(machine.state).toBe('rebooting');
    const [sent] = machine.take() as Sent[];
    const message = sent?.message as DhcpMessage;
    // RFC 2131 table 5: the address as an option, no server, and not in ciaddr.
    expect([sent?.to, message.ciaddr, addressOption(message, Option.RequestedAddress)]).toEqual([
      null,
      '0.0.0.0',
      '198.18.0.100',
    ]);
    expect(message.options.has(Option.ServerId)).toBe(false);
    machine.receive(1000, decode(encode(pool.receive(1000, message)?.message as DhcpMessage)) as DhcpMessage);
    expect(carry(1000, machine, pool)).toMatchObject({
      types: [],
      done: [{ kind: 'bound', renewed: false, lease: { address: '198.18.0.100' } }],
    });
    expect([machine.state, machine.deadline]).toEqual(['bound', 501_000]);

    // On another net it is refused, and gets another.
    const elsewhere = client(2, { ...reboot, requestedAddress: '192.0.2.7' });
    elsewhere.start(0);
    expect(carry(0, elsewhere, pool).types).toEqual([Request, Nak]);
    elsewhere.timeout(elsewhere.deadline as number);
    expect(carry(1000, elsewhere, pool).types).toEqual([Discover, Offer, Request, Ack]);

    // Where nobody knows it and nobody answers, it looks for any.
    const alone = client(3, reboot);
    alone.start(0);
    while (alone.state === 'rebooting') alone.timeout(alone.deadline as number);
    const types = alone.take().map((action) => typeOf((action as Sent).message));
    expect(types).toEqual([Request, Request, Discover]);
  });

  test('when the link was away, it asks whether the lease still holds', () => {
    const [machine, pool] = [client(), new Pool(options)];
    machine.start(0);
    carry(0, machine, pool);
    machine.linkUp(100_000);
    expect(carry(100_000, machine, pool)).toMatchObject({ types: [Request, Ack], done: [{ renewed: true }] });
    expect(machine.deadline).toBe(600_000);
    // Nobody answers: it goes on until the lease ends.
    machine.linkUp(200_000);
    while (machine.state === 'rebooting') machine.timeout(machine.deadline as number);
    expect(decisions(machine.take())).toEqual([]);
    expect([machine.state, machine.lease?.address, machine.deadline]).toEqual(['bound', '198.18.0.100', 600_000]);
    // Another net.
    machine.linkUp(300_000);
    const other = new Pool({ ...options, server: '192.0.2.1', range: ['192.0.2.100', '192.0.2.102'] });
    expect(carry(300_000, machine, other)).toMatchObject({
      types: [Request, Nak],
      done: [{ kind: 'lost', reason: 'refused' }],
    });
    machine.timeout(machine.deadline as number);
    carry(302_000, machine, other);
    expect(machine.lease?.address).toBe('192.0.2.100');
  });

  test('lies are not believed', () => {
    const [machine, pool] = [client(), new Pool(options)];
    machine.start(0);
    const [sent] = machine.take() as [Sent];
    const offer = pool.receive(0, sent.message)?.message as DhcpMessage;
    const lie = (change: Partial<DhcpMessage>, changed: [number, Buffer | null][] = []): DhcpMessage => {
      const all = new Map(offer.options);
      for (const [code, value] of changed) {
        if (value === null) all.delete(code);
        else all.set(code, value);
      }
      return { ...offer, options: all, ...change };
    };
    for (const message of [
      lie({ xid: offer.xid + 1 }),
      lie({ op: 1 }),
      lie({ chaddr: chaddr(9) }),
      lie({ yiaddr: '255.255.255.255' }),
      lie({ yiaddr: '127.0.0.1' }),
      lie({ yiaddr: '0.0.0.0' }),
      lie({}, [[Option.ServerId, null]]),
      lie({}, [[Option.ServerId, Buffer.alloc(4)]]),
      lie({}, [[Option.Type, Buffer.from([Ack])]]),
      lie({}, [[Option.Type, Buffer.from([Nak])]]),
    ]) {
      machine.receive(1, message);
      expect([machine.state, machine.take()]).toEqual(['selecting', []]);
    }
    machine.receive(1, offer);
    const [request] = machine.take() as [Sent];
    const ack = pool.receive(1, request.message)?.message as DhcpMessage;
    const forged = (change: Partial<DhcpMessage>, changed: [number, Buffer][] = []): DhcpMessage => {
      return { ...ack, options: new Map([...ack.options, ...changed]), ...change };
    };
    for (const message of [
      forged({ yiaddr: '198.18.0.66' }),
      forged({}, [[Option.ServerId, addressBytes('198.18.0.66')]]),
      forged({}, [[Option.LeaseTime, Buffer.from([1])]]),
    ]) {
      machine.receive(2, message);
      expect([machine.state, machine.take()]).toEqual(['requesting', []]);
    }
    // Nonsense in the rest is left out; times are put right.
    machine.receive(
      2,
      forged({}, [
        [Option.SubnetMask, addressBytes('255.0.255.0')],
        [Option.Router, Buffer.from([1, 2, 3])],
        [Option.DnsServer, Buffer.concat([addressBytes('127.0.0.1'), addressBytes('198.18.0.5')])],
        [Option.LeaseTime, number32(0)],
        [Option.T1, number32(0xffffffff)],
        [Option.T2, number32(0)],
        [Option.Mtu, Buffer.from([0, 1])],
        [Option.DomainName, Buffer.from('bad\nname')],
      ]),
    );
    expect(machine.lease).toMatchObject({
      prefixLength: 32,
      routers: [],
      dns: ['198.18.0.5'],
      leaseTime: 10,
      renewTime: 5,
      rebindTime: 8,
      mtu: null,
      domain: null,
    });
  });

  test('the server: the same client the same address, reservations, an empty range, other servers, relays', () => {
    const pool = new Pool(options);
    const bind = (last: number, now = 0, extra: object = {}): string | undefined => {
      const machine = client(last, extra);
      machine.start(now);
      carry(now, machine, pool);
      return machine.lease?.address;
    };
    expect([bind(1), bind(2), bind(1), bind(9)]).toEqual([
      '198.18.0.100',
      '198.18.0.101',
      '198.18.0.100',
      '198.18.0.9',
    ]);
    expect(bind(3, 0, { requestedAddress: '198.18.0.102' })).toBe('198.18.0.102');
    expect(bind(4)).toBeUndefined();
    expect(pool.leases(0)).toHaveLength(4);
    // What has run out is given to others.
    expect(bind(4, 1_000_001)).toBe('198.18.0.102');

    const machine = client(5);
    machine.start(3_000_000);
    const [discover] = machine.take() as [Sent];
    pool.receive(3_000_000, discover.message);
    expect(pool.leases(3_000_000)).toHaveLength(1);
    const elsewhere = new Map(discover.message.options);
    elsewhere.set(Option.Type, Buffer.from([Request])).set(Option.ServerId, addressBytes('198.18.0.2'));
    expect(pool.receive(3_000_000, { ...discover.message, options: elsewhere })).toBeNull();
    expect(pool.leases(3_000_000)).toHaveLength(0);
    expect(pool.receive(3_000_000, { ...discover.message, giaddr: '198.18.0.250' })).toMatchObject({
      to: '198.18.0.250',
      port: 67,
    });
    // From another net it comes with an old address: it is told.
    const roaming = new Map(discover.message.options);
    roaming.set(Option.Type, Buffer.from([Request])).set(Option.RequestedAddress, addressBytes('192.0.2.50'));
    const told = pool.receive(3_000_000, { ...discover.message, options: roaming });
    expect(typeOf(told?.message as DhcpMessage)).toBe(Nak);
    // One client cannot use up the range by declining.
    const decline = new Map(discover.message.options);
    decline.set(Option.Type, Buffer.from([Decline])).set(Option.RequestedAddress, addressBytes('198.18.0.9'));
    expect(pool.receive(3_000_000, { ...discover.message, options: decline })).toBeNull();
    expect(pool.leases(3_000_000).filter(({ state }) => state === 'declined')).toEqual([]);
  });
});

test('messages: there and back, overloaded, divided, broken', () => {
  const machine = client(1, { hostname: 'lab', clientId: Buffer.from('\0client') });
  machine.start(0);
  const [{ message }] = machine.take() as [Sent];
  const data = encode(message);
  expect(data.length).toBeGreaterThanOrEqual(300);
  expect(decode(data)).toEqual(message);
  const long = { ...message, options: new Map([...message.options, [43, Buffer.alloc(600, 7)] as const]) };
  expect(decode(encode(long))?.options.get(43)).toEqual(Buffer.alloc(600, 7));
  const overloaded = encode({ ...message, options: new Map([...message.options, [52, Buffer.from([3])] as const]) });
  Buffer.from([54, 4, 198, 18, 0, 1, 255]).copy(overloaded, 108);
  Buffer.from([0, 0, 1, 4, 255, 255, 0, 0, 255]).copy(overloaded, 44);
  const read = decode(overloaded) as DhcpMessage;
  expect([addressOption(read, Option.ServerId), addressOption(read, Option.SubnetMask)]).toEqual([
    '198.18.0.1',
    '255.255.0.0',
  ]);
  for (let length = 0; length < 240; length++) expect(decode(data.subarray(0, length))).toBeNull();
  for (let at = 0; at < data.length; at++) {
    for (const value of [0, 1, 2, 52, 127, 255]) {
      const broken = Buffer.from(data);
      broken[at] = value;
      expect(() => {
        const parsed = decode(broken);
        if (parsed !== null) new Pool(options).receive(0, parsed);
      }).not.toThrow();
    }
  }
});

describe('on two stacks', () => {
  const open: Stack[] = [];

  afterEach(async () => {
    await Promise.all(open.splice(0).map((stack) => stack.close()));
  });

  async function link(): Promise<{ host: Stack; server: Stack }> {
    const [left, right] = createLink();
    const host = await createStack({ interfaces: [{ name: 'un0', device: left, addresses: [] }] });
    const server = await createStack({
      interfaces: [{ name: 'lan', device: right, addresses: ['198.18.0.1/24'] }],
    });
    open.push(host, server);
    return { host, server };
  }

  test('a stack without an address gets one, with route and DNS, and gives it back', async () => {
    const { host, server } = await link();
    const zones = [{ name: 'lab.test', records: [{ name: 'www', type: 'A' as const, data: '198.18.0.1' }] }];
    await server.dns.createServer({ zones }).listen();
    const dhcp = await server.dhcpServer({
      interface: 'lan',
      range: ['198.18.0.100', '198.18.0.109'],
      dns: ['198.18.0.1'],
      reservations: { '02:00:00:00:00:AA': '198.18.0.77' },
    });
    const leased = once(dhcp, 'lease');
    const lease = await host.dhcpClient({ interface: 'un0', hardwareAddress: '02:00:00:00:00:aa', hostname: 'me' });
    expect(lease.lease).toMatchObject({ address: '198.18.0.77', prefixLength: 24, leaseTime: 3600 });
    expect((await leased)[0]).toMatchObject({ address: '198.18.0.77', client: '02:00:00:00:00:aa', state: 'leased' });
    expect(host.interfaces.find(({ name }) => name === 'un0')?.addresses).toEqual(['198.18.0.77/24']);
    expect(host.routes()).toEqual([{ to: '0.0.0.0/0', via: '198.18.0.1', interface: 'un0' }]);
    expect(host.dns.getServers()).toEqual(['198.18.0.1']);
    expect(await host.lookup('www.lab.test')).toEqual({ address: '198.18.0.1', family: 4 });
    expect((await host.ping('198.18.0.1', { count: 1 })).received).toBe(1);

    const closed = once(lease, 'close');
    lease.close();
    await closed;
    expect(host.interfaces.find(({ name }) => name === 'un0')?.addresses).toEqual([]);
    expect([host.routes(), host.dns.getServers()]).toEqual([[], []]);
    await until('the lease is released', () => dhcp.leases.length === 0);
    const again = await host.dhcpClient({ interface: 'un0', route: false, dns: false });
    expect(again.lease?.address).toBe('198.18.0.100');
    expect([host.routes(), host.dns.getServers()]).toEqual([[], []]);
    const ended = once(again, 'close');
    dhcp.close();
    await host.close();
    await ended;
  });

  test('on Ethernet it has the interface’s hardware address, and declines an address that somebody else has', async () => {
    const [left, right] = createLink({ medium: 'ethernet' });
    const host = await createStack({
      interfaces: [{ name: 'un0', device: left, addresses: [], mac: '02:00:00:00:00:07' }],
    });
    const server = await createStack({
      // It has an address of its own range, and is sure of it.
      interfaces: [
        {
          name: 'lan',
          device: right,
          addresses: ['198.18.0.1/24', '198.18.0.100/24'],
          duplicateAddressDetection: 'off',
        },
      ],
    });
    open.push(host, server);
    const dhcp = await server.dhcpServer({ interface: 'lan', range: ['198.18.0.100', '198.18.0.109'] });
    const client = await host.dhcpClient({ interface: 'un0' });
    expect(client.lease).toMatchObject({ address: '198.18.0.100' });
    expect(dhcp.leases).toMatchObject([{ address: '198.18.0.100', client: '02:00:00:00:00:07', state: 'leased' }]);
    const [lost, reason] = await once(client, 'lost');
    expect([lost.address, reason, client.state, client.lease]).toEqual(['198.18.0.100', 'declined', 'init', null]);
    await until('the server hears of it', () => dhcp.leases[0]?.state === 'declined');
    expect(host.interfaces.find(({ name }) => name === 'un0')?.addresses).toEqual([]);
  });

  test('nobody answers, abort, wrong options', async () => {
    const { host, server } = await link();
    await expect(host.dhcpClient({ interface: 'un0', timeout: 30 })).rejects.toMatchObject({ code: 'ETIMEDOUT' });
    const signal = AbortSignal.timeout(10);
    await expect(host.dhcpClient({ interface: 'un0', signal })).rejects.toMatchObject({ name: 'AbortError' });
    await expect(host.dhcpClient({ interface: 'nope' })).rejects.toThrow(/must be the name of an interface.* 'nope'/);
    await expect(host.dhcpClient({ interface: 'un0', hardwareAddress: 'x' })).rejects.toThrow(/02:00:00:00:00:01/);
    const range: [string, string] = ['198.18.1.1', '198.18.1.9'];
    await expect(server.dhcpServer({ interface: 'lan', range })).rejects.toThrow(/must be 1 to 65536 addresses of/);
    await expect(host.dhcpServer({ interface: 'un0', range })).rejects.toThrow(/with an IPv4 address/);
  });
});
