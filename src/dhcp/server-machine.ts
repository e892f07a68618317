// The DHCP server of RFC 2131 section 4.3 without sockets or clocks: who has which address of a range, and until when.
import {
  addressBytes,
  addressNumber,
  addressOption,
  type DhcpMessage,
  MessageType,
  maskOf,
  NO_ADDRESS,
  number32,
  numberAddress,
  numberOption,
  Option,
  typeOf,
} from './message';

/** What a server gives out. */
export interface PoolOptions {
  /** Its own address. */
  server: string;
  prefixLength: number;
  /** First and last address of the range. */
  range: [string, string];
  /** Seconds. */
  leaseTime: number;
  routers: string[];
  dns: string[];
  domain: string | null;
  mtu: number | null;
  /** Addresses by hardware address (`02:00:00:00:00:01`), inside the range or not. */
  reservations: Map<string, string>;
}

/** An address that was given out, or offered, or that is not to be used. */
export interface ServerLease {
  address: string;
  /** Who has it: hardware address, or identifier; null when somebody unknown uses it (a DECLINE). */
  client: string | null;
  state: 'offered' | 'leased' | 'declined';
  /** ms. */
  until: number;
}

/** How long an offer is kept, and an address that was declined is not given out, ms. */
const OFFERED = 30_000;
const DECLINED = 600_000;

/** Where an answer goes. */
export interface Answer {
  message: DhcpMessage;
  /** An address, or null for everybody on the link. */
  to: string | null;
  port: 67 | 68;
}

export class Pool {
  readonly #options: PoolOptions;
  readonly #first: number;
  readonly #last: number;
  readonly #byAddress = new Map<string, ServerLease>();
  readonly #byClient = new Map<string, ServerLease>();
  #next: number;

  constructor(options: PoolOptions) {
    this.#options = options;
    this.#first = addressNumber(options.range[0]);
    this.#last = addressNumber(options.range[1]);
    this.#next = this.#first;
  }

  /** What is given out. */
  leases(now: number): ServerLease[] {
    return [...this.#byAddress.values()].filter(({ until }) => until > now);
  }

  receive(now: number, message: DhcpMessage): Answer | null {
    if (message.op !== 1) return null;
    const client = clientOf(message);
    const to = addressOption(message, Option.ServerId);
    // Another server was chosen.
    if (to !== null && to !== this.#options.server) {
      const offer = this.#byClient.get(client);
      if (offer?.state === 'offered') this.#forget(offer);
      return null;
    }
    switch (typeOf(message)) {
      case MessageType.Discover:
        return this.#discover(now, message, client);
      case MessageType.Request:
        return this.#request(now, message, client, to !== null);
      case MessageType.Decline:
        return this.#decline(now, message, client);
      case MessageType.Release: {
        const lease = this.#byClient.get(client);
        if (lease !== undefined && lease.address === message.ciaddr) this.#forget(lease);
        return null;
      }
      case MessageType.Inform:
        // RFC 2131 section 4.3.5: parameters alone, to who has an address.
        return message.ciaddr === NO_ADDRESS ? null : this.#reply(message, MessageType.Ack, NO_ADDRESS, 0);
      default:
        return null;
    }
  }

  #discover(now: number, message: DhcpMessage, client: string): Answer | null {
    const address = this.#addressFor(now, message, client);
    // RFC 2131 section 4.3.1: who has nothing to offer says nothing.
    if (address === null) return null;
    if (this.#byClient.get(client)?.state !== 'leased' || this.#byClient.get(client)?.address !== address) {
      this.#keep({ address, client, state: 'offered', until: now + OFFERED });
    }
    return this.#reply(message, MessageType.Offer, address, this.#leaseTime(message));
  }

  #request(now: number, message: DhcpMessage, client: string, selecting: boolean): Answer | null {
    const asked = addressOption(message, Option.RequestedAddress) ?? message.ciaddr;
    const lease = this.#byClient.get(client);
    const known = lease !== undefined && lease.until > now && lease.address === asked;
    if (known || (!selecting && this.#mayHave(now, message, client, asked))) {
      const time = this.#leaseTime(message);
      this.#keep({ address: asked, client, state: 'leased', until: now + time * 1000 });
      return this.#reply(message, MessageType.Ack, asked, time);
    }
    // RFC 2131 section 4.3.2: a client that is unknown here is not refused, unless it asks for what is another's or on
    // another net; but one that chose us is told that its offer is gone.
    const taken = this.#byAddress.get(asked);
    const elsewhere = !this.#isOnLink(asked);
    const others = taken !== undefined && taken.until > now && taken.client !== client;
    if (selecting || elsewhere || others) return this.#reply(message, MessageType.Nak, NO_ADDRESS, 0);
    return null;
  }

  #decline(now: number, message: DhcpMessage, client: string): null {
    const asked = addressOption(message, Option.RequestedAddress);
    const lease = this.#byClient.get(client);
    // Only its own: else one client could use up the range for all.
    if (asked === null || lease?.address !== asked) return null;
    this.#forget(lease);
    this.#byAddress.set(asked, { address: asked, client: null, state: 'declined', until: now + DECLINED });
    return null;
  }

  #leaseTime(message: DhcpMessage): number {
    const asked = numberOption(message, Option.LeaseTime);
    return Math.min(asked ?? this.#options.leaseTime, this.#options.leaseTime);
  }

  #isOnLink(address: string): boolean {
    const mask = addressNumber(maskOf(this.#options.prefixLength));
    return ((addressNumber(address) ^ addressNumber(this.#options.server)) & mask) === 0;
  }

  /** Whether an address is in the range, or reserved for that client, and free for it. */
  #mayHave(now: number, message: DhcpMessage, client: string, address: string): boolean {
    const reserved = this.#options.reservations.get(hardwareOf(message));
    if (reserved !== undefined) return reserved === address;
    const number = addressNumber(address);
    if (number < this.#first || number > this.#last || address === this.#options.server) return false;
    if ([...this.#options.reservations.values()].includes(address)) return false;
    const lease = this.#byAddress.get(address);
    return lease === undefined || lease.until <= now || lease.client === client;
  }

  /** RFC 2131 section 4.3.1: the present one, the last one, the one asked for, a new one. */
  #addressFor(now: number, message: DhcpMessage, client: string): string | null {
    const reserved = this.#options.reservations.get(hardwareOf(message));
    if (reserved !== undefined) return reserved;
    const candidates = [this.#byClient.get(client)?.address, addressOption(message, Option.RequestedAddress)];
    for (const address of candidates) {
      if (address != null && this.#mayHave(now, message, client, address)) return address;
    }
    const count = this.#last - this.#first + 1;
    for (let step = 0; step < count; step++) {
      const number = this.#first + ((this.#next - this.#first + step) % count);
      const address = numberAddress(number);
      if (!this.#mayHave(now, message, client, address)) continue;
      this.#next = number + 1 > this.#last ? this.#first : number + 1;
      return address;
    }
    return null;
  }

  #keep(lease: ServerLease): void {
    const before = this.#byClient.get(lease.client as string);
    if (before !== undefined) this.#forget(before);
    const held = this.#byAddress.get(lease.address);
    if (held !== undefined) this.#forget(held);
    this.#byAddress.set(lease.address, lease);
    this.#byClient.set(lease.client as string, lease);
  }

  #forget(lease: ServerLease): void {
    if (this.#byAddress.get(lease.address) === lease) this.#byAddress.delete(lease.address);
    if (lease.client !== null && this.#byClient.get(lease.client) === lease) this.#byClient.delete(lease.client);
  }

  #reply(message: DhcpMessage, type: MessageType, yiaddr: string, leaseTime: number): Answer {
    const { server, prefixLength, routers, dns, domain, mtu } = this.#options;
    const options = new Map<number, Buffer>([
      [Option.Type, Buffer.from([type])],
      [Option.ServerId, addressBytes(server)],
    ]);
    const clientId = message.options.get(Option.ClientId);
    // RFC 6842 section 3.
    if (clientId !== undefined) options.set(Option.ClientId, clientId);
    if (leaseTime > 0) {
      options.set(Option.LeaseTime, number32(leaseTime));
      options.set(Option.T1, number32(Math.floor(leaseTime / 2)));
      options.set(Option.T2, number32(Math.floor(leaseTime * 0.875)));
    }
    if (type !== MessageType.Nak) {
      options.set(Option.SubnetMask, addressBytes(maskOf(prefixLength)));
      if (routers.length > 0) options.set(Option.Router, Buffer.concat(routers.map(addressBytes)));
      if (dns.length > 0) options.set(Option.DnsServer, Buffer.concat(dns.map(addressBytes)));
      if (domain !== null) options.set(Option.DomainName, Buffer.from(domain, 'latin1'));
      if (mtu !== null) options.set(Option.Mtu, Buffer.from([mtu >> 8, mtu & 0xff]));
    }
    const reply: DhcpMessage = {
      op: 2,
      xid: message.xid,
      secs: 0,
      broadcast: message.broadcast,
      ciaddr: type === MessageType.Ack ? message.ciaddr : NO_ADDRESS,
      yiaddr,
      siaddr: NO_ADDRESS,
      giaddr: message.giaddr,
      chaddr: message.chaddr,
      options,
    };
    // RFC 2131 section 4.1: to the relay, to who has an address, else to everybody.
    if (message.giaddr !== NO_ADDRESS) return { message: reply, to: message.giaddr, port: 67 };
    const known = message.ciaddr !== NO_ADDRESS && type !== MessageType.Nak;
    return { message: reply, to: known ? message.ciaddr : null, port: 68 };
  }
}

function hardwareOf(message: DhcpMessage): string {
  return [...message.chaddr].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}

/** What a client is known by (RFC 2131 section 4.2). */
function clientOf(message: DhcpMessage): string {
  const id = message.options.get(Option.ClientId);
  return id === undefined || id.length < 2 ? hardwareOf(message) : `id ${id.toString('hex')}`;
}
