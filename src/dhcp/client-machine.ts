// The DHCP client of RFC 2131 section 4.4 without sockets or clocks: messages and the time go in, messages and decisions
// come out.
import {
  addressBytes,
  addressesOption,
  addressOption,
  type DhcpMessage,
  isHostAddress,
  MessageType,
  NO_ADDRESS,
  numberOption,
  Option,
  prefixOf,
  textOption,
  typeOf,
} from './message';

/** What a server lets the client have. Times in seconds. */
export interface Lease {
  address: string;
  prefixLength: number;
  server: string;
  leaseTime: number;
  /** When it is renewed with the server, and when with any. */
  renewTime: number;
  rebindTime: number;
  routers: string[];
  dns: string[];
  domain: string | null;
  /** Bytes; null when the server does not say. */
  mtu: number | null;
}

/** States of RFC 2131 figure 5. */
export type ClientState =
  | 'init'
  | 'selecting'
  | 'requesting'
  | 'rebooting'
  | 'bound'
  | 'renewing'
  | 'rebinding'
  | 'stopped';

/** What is to be done. */
export type ClientAction =
  /** `to` is the server, or null for everybody. */
  | { kind: 'send'; message: DhcpMessage; to: string | null }
  /** The address may be used; or, of the same address, for longer. */
  | { kind: 'bound'; lease: Lease; renewed: boolean }
  /** The address may not be used any more. */
  | { kind: 'lost'; lease: Lease; reason: 'expired' | 'refused' | 'declined' };

export interface ClientOptions {
  chaddr: Buffer;
  clientId?: Buffer | undefined;
  hostname?: string | undefined;
  /** Asked for first. */
  requestedAddress?: string | undefined;
  /** Whether it begins in INIT-REBOOT: it had `requestedAddress` before, and asks whether it may go on with it. */
  reboot?: boolean | undefined;
  /** Random 32 bits. */
  random: () => number;
}

/** Seconds that a lease is worth at least, and at most (what 32 bits of ms hold). */
const MIN_LEASE = 10;
const MAX_LEASE = 2_000_000;
/** First retransmission and longest, ms (RFC 2131 section 4.1). */
const FIRST_RETRY = 4000;
const LAST_RETRY = 64_000;
/** Requests of one offer before it is given up (RFC 2131 section 3.1: "retransmission algorithm"). */
const MAX_REQUESTS = 4;
/** Requests for an address that it had before, when nobody answers, until it looks for any (RFC 2131 section 4.4.2). */
const MAX_REBOOTS = 2;
/** How long after a conflict, and after a refusal, it begins anew, ms (RFC 2131 section 3.1.5). */
const AFTER_DECLINE = 10_000;
const AFTER_NAK = 1000;
/** Least time between requests while renewing, ms (RFC 2131 section 4.4.5). */
const MIN_RENEW_RETRY = 60_000;

export class ClientMachine {
  readonly #options: ClientOptions;
  #state: ClientState = 'init';
  #xid = 0;
  #began = 0;
  #tries = 0;
  #deadline: number | null = null;
  #offer: { address: string; server: string | null } | null = null;
  #lease: Lease | null = null;
  /** When the last request of the present lease was sent, which is when it began. */
  #requestedAt = 0;
  #leasedAt = 0;
  #actions: ClientAction[] = [];

  constructor(options: ClientOptions) {
    this.#options = options;
  }

  get state(): ClientState {
    return this.#state;
  }

  get lease(): Lease | null {
    return this.#lease;
  }

  /** When `timeout` is due, ms; null: never. */
  get deadline(): number | null {
    return this.#deadline;
  }

  /** What came of the calls since the last time. */
  take(): ClientAction[] {
    return this.#actions.splice(0);
  }

  start(now: number): void {
    this.#began = now;
    const { requestedAddress, reboot } = this.#options;
    if (reboot && requestedAddress !== undefined) this.#reboot(now, requestedAddress);
    else this.#discover(now);
  }

  /**
   * The link was away and is back, maybe on another net: asks whether the lease still holds (RFC 2131 section 3.7). It is
   * used meanwhile, and on if nobody answers.
   */
  linkUp(now: number): void {
    if (this.#lease === null) return;
    if (this.#state !== 'rebooting') this.#reboot(now, this.#lease.address);
  }

  /** INIT-REBOOT (RFC 2131 section 4.4.2). */
  #reboot(now: number, address: string): void {
    this.#state = 'rebooting';
    this.#newTransaction();
    this.#offer = { address, server: null };
    this.#sendRequest(now);
  }

  /** Nobody answers: what is left of the lease is used on, or another one looked for (RFC 2131 section 4.4.2). */
  #rebootFailed(now: number): void {
    const lease = this.#lease;
    if (lease === null) {
      this.#discover(now);
      return;
    }
    this.#state = 'bound';
    this.#deadline = Math.max(this.#leasedAt + lease.renewTime * 1000, now);
  }

  timeout(now: number): void {
    if (this.#deadline === null || now < this.#deadline) return;
    switch (this.#state) {
      case 'init':
        this.#began = now;
        this.#discover(now);
        break;
      case 'rebooting':
        if (this.#tries >= MAX_REBOOTS) this.#rebootFailed(now);
        else this.#sendRequest(now);
        break;
      case 'selecting':
        this.#sendDiscover(now);
        break;
      case 'requesting':
        if (this.#tries >= MAX_REQUESTS) this.#discover(now);
        else this.#sendRequest(now);
        break;
      case 'bound':
        this.#state = 'renewing';
        this.#newTransaction();
        this.#sendRequest(now);
        break;
      case 'renewing':
      case 'rebinding':
        this.#renewMore(now);
        break;
      default:
        this.#deadline = null;
    }
  }

  #renewMore(now: number): void {
    const lease = this.#lease as Lease;
    const age = now - this.#leasedAt;
    if (age >= lease.leaseTime * 1000) {
      this.#lose('expired');
      this.#began = now;
      this.#discover(now);
      return;
    }
    if (age >= lease.rebindTime * 1000) this.#state = 'rebinding';
    this.#sendRequest(now);
  }

  receive(now: number, message: DhcpMessage): void {
    if (message.op !== 2 || message.xid !== this.#xid || !message.chaddr.equals(this.#options.chaddr)) return;
    const type = typeOf(message);
    const server = addressOption(message, Option.ServerId);
    if (server === null || !isHostAddress(server)) return;
    if (this.#state === 'selecting' && type === MessageType.Offer) {
      if (!isHostAddress(message.yiaddr)) return;
      // The first is as good as any.
      this.#offer = { address: message.yiaddr, server };
      this.#state = 'requesting';
      this.#tries = 0;
      this.#sendRequest(now);
      return;
    }
    const rebooting = this.#state === 'rebooting';
    const renewing = this.#state === 'renewing' || this.#state === 'rebinding' || (rebooting && this.#lease !== null);
    if (this.#state !== 'requesting' && !rebooting && !renewing) return;
    // Only the server that was chosen has a say, but for rebinding and rebooting, which ask all of them.
    const expected = this.#state === 'requesting' ? this.#offer?.server : this.#lease?.server;
    if (this.#state !== 'rebinding' && !rebooting && server !== expected) return;
    if (type === MessageType.Nak) {
      if (renewing) this.#lose('refused');
      this.#restart(now, AFTER_NAK);
    } else if (type === MessageType.Ack) {
      this.#acknowledged(now, message, server, renewing);
    }
  }

  #acknowledged(now: number, message: DhcpMessage, server: string, renewed: boolean): void {
    const asked = renewed ? this.#lease?.address : this.#offer?.address;
    // Another address than was asked for is a lie, or another client's.
    if (message.yiaddr !== asked) return;
    const time = numberOption(message, Option.LeaseTime);
    if (time === null) return;
    const leaseTime = Math.min(Math.max(time, MIN_LEASE), MAX_LEASE);
    const mask = addressOption(message, Option.SubnetMask);
    const mtu = message.options.get(Option.Mtu);
    const bytes = mtu?.length === 2 ? mtu.readUInt16BE(0) : null;
    const valid = (value: number | null, otherwise: number, most: number): number =>
      value !== null && value > 0 && value < most ? value : otherwise;
    const rebindTime = valid(numberOption(message, Option.T2), Math.floor(leaseTime * 0.875), leaseTime);
    const lease: Lease = {
      address: message.yiaddr,
      prefixLength: (mask === null ? null : prefixOf(mask)) ?? 32,
      server,
      leaseTime,
      renewTime: valid(numberOption(message, Option.T1), Math.floor(Math.min(leaseTime / 2, rebindTime)), rebindTime),
      rebindTime,
      routers: addressesOption(message, Option.Router).filter(isHostAddress),
      dns: addressesOption(message, Option.DnsServer).filter(isHostAddress),
      domain: textOption(message, Option.DomainName),
      // RFC 2132 section 5.1.
      mtu: bytes !== null && bytes >= 68 ? bytes : null,
    };
    this.#lease = lease;
    this.#state = 'bound';
    // RFC 2131 section 4.4.1: the lease counts from the request, not from its answer.
    this.#leasedAt = this.#requestedAt;
    this.#deadline = Math.max(this.#leasedAt + lease.renewTime * 1000, now);
    this.#actions.push({ kind: 'bound', lease, renewed });
  }

  /** Somebody else has the address (RFC 2131 section 4.4.1): it is declined, and after a while another asked for. */
  conflict(now: number): void {
    const lease = this.#lease;
    if (lease === null) return;
    this.#newTransaction();
    const options = this.#optionsOf(MessageType.Decline);
    options.set(Option.RequestedAddress, addressBytes(lease.address));
    options.set(Option.ServerId, addressBytes(lease.server));
    this.#send(now, { options, to: null });
    this.#lose('declined');
    this.#restart(now, AFTER_DECLINE);
  }

  /** Gives the address back and ends (RFC 2131 section 4.4.6). */
  stop(now: number): void {
    const lease = this.#lease;
    if (lease !== null && this.#state !== 'stopped') {
      this.#newTransaction();
      const options = this.#optionsOf(MessageType.Release);
      options.set(Option.ServerId, addressBytes(lease.server));
      this.#send(now, { options, to: lease.server, ciaddr: lease.address });
    }
    this.#state = 'stopped';
    this.#lease = null;
    this.#deadline = null;
  }

  #lose(reason: 'expired' | 'refused' | 'declined'): void {
    const lease = this.#lease as Lease;
    this.#lease = null;
    this.#actions.push({ kind: 'lost', lease, reason });
  }

  #restart(now: number, after: number): void {
    this.#state = 'init';
    this.#offer = null;
    this.#deadline = now + after;
  }

  #newTransaction(): void {
    this.#xid = this.#options.random();
    this.#tries = 0;
  }

  #discover(now: number): void {
    this.#state = 'selecting';
    this.#offer = null;
    this.#newTransaction();
    this.#sendDiscover(now);
  }

  #sendDiscover(now: number): void {
    const options = this.#optionsOf(MessageType.Discover);
    const { requestedAddress } = this.#options;
    if (requestedAddress !== undefined) options.set(Option.RequestedAddress, addressBytes(requestedAddress));
    this.#send(now, { options, to: null });
    this.#backOff(now);
  }

  #sendRequest(now: number): void {
    const options = this.#optionsOf(MessageType.Request);
    this.#requestedAt = now;
    if (this.#state === 'requesting' || this.#state === 'rebooting') {
      // RFC 2131 table 4: the address that is wanted; and who offered it, if anybody did just now.
      const { address, server } = this.#offer as { address: string; server: string | null };
      options.set(Option.RequestedAddress, addressBytes(address));
      if (server !== null) options.set(Option.ServerId, addressBytes(server));
      this.#send(now, { options, to: null });
      this.#backOff(now);
      return;
    }
    // RFC 2131 table 4: with the address in use, and neither option.
    const lease = this.#lease as Lease;
    const to = this.#state === 'renewing' ? lease.server : null;
    this.#send(now, { options, to, ciaddr: lease.address });
    const until = this.#leasedAt + 1000 * (this.#state === 'renewing' ? lease.rebindTime : lease.leaseTime);
    // Half of what is left, but no more often than once a minute.
    this.#deadline = Math.min(until, now + Math.max((until - now) / 2, MIN_RENEW_RETRY));
  }

  /** RFC 2131 section 4.1: 4 s, then twice as long each time, each by up to a second earlier or later. */
  #backOff(now: number): void {
    const jitter = (this.#options.random() / 2 ** 32) * 2000 - 1000;
    this.#deadline = now + Math.min(FIRST_RETRY * 2 ** this.#tries, LAST_RETRY) + jitter;
    this.#tries++;
  }

  #optionsOf(type: MessageType): Map<number, Buffer> {
    const options = new Map<number, Buffer>([[Option.Type, Buffer.from([type])]]);
    const { clientId, hostname } = this.#options;
    if (clientId !== undefined) options.set(Option.ClientId, clientId);
    if (type === MessageType.Discover || type === MessageType.Request) {
      if (hostname !== undefined) options.set(Option.HostName, Buffer.from(hostname));
      options.set(
        Option.Parameters,
        Buffer.from([
          Option.SubnetMask,
          Option.Router,
          Option.DnsServer,
          Option.DomainName,
          Option.Mtu,
          Option.Broadcast,
          Option.LeaseTime,
          Option.T1,
          Option.T2,
        ]),
      );
      options.set(Option.MaxSize, Buffer.from([1500 >> 8, 1500 & 0xff]));
    }
    return options;
  }

  #send(now: number, what: { options: Map<number, Buffer>; to: string | null; ciaddr?: string }): void {
    const { options, to, ciaddr = NO_ADDRESS } = what;
    const message: DhcpMessage = {
      op: 1,
      xid: this.#xid,
      secs: Math.floor((now - this.#began) / 1000),
      // Without an address, what is sent to it alone would not reach us.
      broadcast: ciaddr === NO_ADDRESS,
      ciaddr,
      yiaddr: NO_ADDRESS,
      siaddr: NO_ADDRESS,
      giaddr: NO_ADDRESS,
      chaddr: this.#options.chaddr,
      options,
    };
    this.#actions.push({ kind: 'send', message, to });
  }
}
