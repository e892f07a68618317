// DHCP messages (RFC 2131 section 2, options RFC 2132): bytes to fields and back.

/** Kinds of messages (RFC 2132 section 9.6). */
export const enum MessageType {
  Discover = 1,
  Offer = 2,
  Request = 3,
  Decline = 4,
  Ack = 5,
  Nak = 6,
  Release = 7,
  Inform = 8,
}

/** Numbers of options. */
export const enum Option {
  SubnetMask = 1,
  Router = 3,
  DnsServer = 6,
  HostName = 12,
  DomainName = 15,
  Mtu = 26,
  Broadcast = 28,
  RequestedAddress = 50,
  LeaseTime = 51,
  Overload = 52,
  Type = 53,
  ServerId = 54,
  Parameters = 55,
  Message = 56,
  MaxSize = 57,
  T1 = 58,
  T2 = 59,
  ClientId = 61,
}

/** A message. Addresses are text; `0.0.0.0` stands for none. */
export interface DhcpMessage {
  /** 1 from a client, 2 from a server. */
  op: 1 | 2;
  xid: number;
  /** Seconds since the client began. */
  secs: number;
  /** Whether the client wants its answers broadcast. */
  broadcast: boolean;
  ciaddr: string;
  yiaddr: string;
  siaddr: string;
  giaddr: string;
  /** Hardware address, 6 bytes. */
  chaddr: Buffer;
  options: Map<number, Buffer>;
}

const MAGIC = 0x63825363;
const HEADER = 240;
/** BOOTP's least length, which some relays and servers insist on (RFC 1542 section 2.1). */
const MIN_LENGTH = 300;

export const NO_ADDRESS = '0.0.0.0';

export function addressText(bytes: Buffer, at = 0): string {
  return [...bytes.subarray(at, at + 4)].join('.');
}

export function addressBytes(address: string): Buffer {
  return Buffer.from(address.split('.').map(Number));
}

export function addressNumber(address: string): number {
  return addressBytes(address).readUInt32BE(0);
}

export function numberAddress(number: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(number >>> 0);
  return addressText(bytes);
}

export function number32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

export function encode(message: DhcpMessage): Buffer {
  const head = Buffer.alloc(HEADER);
  head[0] = message.op;
  // Ethernet, with addresses of 6 bytes: what servers know, also where the link is none.
  head[1] = 1;
  head[2] = 6;
  head.writeUInt32BE(message.xid, 4);
  head.writeUInt16BE(Math.min(message.secs, 0xffff), 8);
  head.writeUInt16BE(message.broadcast ? 0x8000 : 0, 10);
  for (const [at, address] of [
    [12, message.ciaddr],
    [16, message.yiaddr],
    [20, message.siaddr],
    [24, message.giaddr],
  ] as const) {
    addressBytes(address).copy(head, at);
  }
  message.chaddr.copy(head, 28, 0, 16);
  head.writeUInt32BE(MAGIC, 236);
  const parts: Uint8Array[] = [head];
  for (const [code, value] of message.options) {
    // RFC 3396 section 5: what is longer than an option can be goes in several.
    for (let at = 0; at === 0 || at < value.length; at += 255) {
      const part = value.subarray(at, at + 255);
      parts.push(Buffer.from([code, part.length]), part);
    }
  }
  parts.push(Buffer.from([255]));
  const whole = Buffer.concat(parts);
  return whole.length >= MIN_LENGTH ? whole : Buffer.concat([whole, Buffer.alloc(MIN_LENGTH - whole.length)]);
}

/** A message, or null when it is none. */
export function decode(data: Buffer): DhcpMessage | null {
  if (data.length < HEADER || data.readUInt32BE(236) !== MAGIC) return null;
  const op = data[0];
  if ((op !== 1 && op !== 2) || data[1] !== 1 || data[2] !== 6) return null;
  const options = new Map<number, Buffer>();
  if (!readOptions(data.subarray(HEADER), options)) return null;
  // RFC 2132 section 9.3: options may go on in the fields of the boot file and the server's name.
  const overload = options.get(Option.Overload)?.[0] ?? 0;
  if ((overload & 1) !== 0 && !readOptions(data.subarray(108, 236), options)) return null;
  if ((overload & 2) !== 0 && !readOptions(data.subarray(44, 108), options)) return null;
  return {
    op,
    xid: data.readUInt32BE(4),
    secs: data.readUInt16BE(8),
    broadcast: (data.readUInt16BE(10) & 0x8000) !== 0,
    ciaddr: addressText(data, 12),
    yiaddr: addressText(data, 16),
    siaddr: addressText(data, 20),
    giaddr: addressText(data, 24),
    chaddr: Buffer.from(data.subarray(28, 34)),
    options,
  };
}

/** Adds the options of a field; false where one does not fit it. */
function readOptions(field: Buffer, options: Map<number, Buffer>): boolean {
  for (let at = 0; at < field.length; ) {
    const code = field[at++] as number;
    if (code === 0) continue;
    if (code === 255) return true;
    const length = field[at++];
    if (length === undefined || at + length > field.length) return false;
    const value = Buffer.from(field.subarray(at, at + length));
    at += length;
    const before = options.get(code);
    options.set(code, before === undefined ? value : Buffer.concat([before, value]));
  }
  return true;
}

export function typeOf(message: DhcpMessage): MessageType | null {
  const value = message.options.get(Option.Type);
  return value?.length === 1 && value.readUInt8(0) >= 1 && value.readUInt8(0) <= 8 ? value.readUInt8(0) : null;
}

/** An option that is one address; null when it is not there, or not that. */
export function addressOption(message: DhcpMessage, code: Option): string | null {
  const value = message.options.get(code);
  return value?.length === 4 ? addressText(value) : null;
}

/** An option that is a list of addresses. */
export function addressesOption(message: DhcpMessage, code: Option): string[] {
  const value = message.options.get(code);
  if (value === undefined || value.length % 4 !== 0) return [];
  return Array.from({ length: value.length / 4 }, (_, index) => addressText(value, index * 4));
}

/** An option that is a number of 32 bits. */
export function numberOption(message: DhcpMessage, code: Option): number | null {
  const value = message.options.get(code);
  return value?.length === 4 ? value.readUInt32BE(0) : null;
}

export function textOption(message: DhcpMessage, code: Option): string | null {
  const value = message.options.get(code);
  if (value === undefined) return null;
  const text = value.toString('latin1').replace(/\0+$/, '');
  return /^[\x20-\x7e]+$/.test(text) ? text : null;
}

/** The length of the prefix that a mask says; null for what is no mask. */
export function prefixOf(mask: string): number | null {
  const bits = addressNumber(mask).toString(2).padStart(32, '0');
  return /^1+0*$/.test(bits) ? bits.lastIndexOf('1') + 1 : null;
}

export function maskOf(prefix: number): string {
  return numberAddress(prefix === 0 ? 0 : 0xffffffff << (32 - prefix));
}

/** Whether a host can have that address: unicast, not of this host, not loopback. */
export function isHostAddress(address: string): boolean {
  const [first = 0] = address.split('.').map(Number);
  return first >= 1 && first < 224 && first !== 127;
}
