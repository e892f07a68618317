// A small DNS server with authority over zones of its own (RFC 1034 section 4.3.2), for tests and labs.
import { once } from 'node:events';
import * as packet from 'dns-packet';
import type { DatagramSocket } from '../dgram/socket';
import { codedError, invalidArgType, invalidArgValue } from '../errors';
import type { Server, Socket } from '../net/bind';
import { validatePort, validateString } from '../net/validators';
import { canonical, isName } from './message';
import type { Transport } from './transport';
import { checkTtl, recordData } from './zone';

/** A record of a zone. Names that do not end in the zone's are relative to it; `@` is the zone itself. */
export interface ZoneRecord {
  /** `www`, `@`, `*` or a whole name that ends in the zone's. */
  name: string;
  type: 'A' | 'AAAA' | 'CAA' | 'CNAME' | 'MX' | 'NAPTR' | 'NS' | 'PTR' | 'SRV' | 'TXT';
  /** Seconds. Default: the zone's. */
  ttl?: number;
  /**
   * An address or a name; for TXT a string or an array of them; otherwise an object with the fields as `node:dns` names
   * them (`{ exchange, priority }`, `{ name, port, priority, weight }`, ...).
   */
  data: unknown;
}

/** A zone. */
export interface Zone {
  /** Such as `example.test`, or `2.0.192.in-addr.arpa`. */
  name: string;
  records: ZoneRecord[];
  /** Of records that have none, seconds. Default 60. */
  ttl?: number;
}

/** What `stack.dns.createServer()` takes. */
export interface DnsServerOptions {
  zones: Zone[];
}

interface Record_ {
  name: string;
  type: string;
  ttl: number;
  data: unknown;
}

interface Reply {
  rcode: number;
  authoritative: boolean;
  answers: Record_[];
  authorities: Record_[];
}

/** Without EDNS (RFC 1035 section 4.2.1); with it, the most that we send over UDP. */
const PLAIN_SIZE = 512;
const MAX_UDP_SIZE = 4096;
/** Connections at a time, and how long one may be idle, ms (RFC 7766 section 6.2.3). */
const MAX_CONNECTIONS = 128;
const IDLE = 10_000;
/** Aliases followed within our zones. */
const MAX_CHAIN = 16;

const NOERROR = 0;
const FORMERR = 1;
const NXDOMAIN = 3;
const NOTIMP = 4;
const REFUSED = 5;

/** A DNS server over UDP and TCP. Made by `stack.dns.createServer()`. */
export class DnsServer {
  readonly #transport: Transport;
  readonly #zones = new Map<string, Map<string, Record_[]>>();
  #sockets: DatagramSocket[] = [];
  #servers: Server[] = [];
  readonly #connections = new Set<Socket>();

  /** @internal */
  constructor(transport: Transport, options: DnsServerOptions) {
    if (options === null || typeof options !== 'object') throw invalidArgType('options', 'Object', options);
    if (!Array.isArray(options.zones)) throw invalidArgType('options.zones', 'Array', options.zones);
    this.#transport = transport;
    for (const zone of options.zones) this.setZone(zone);
  }

  /** Adds a zone, in place of one of the same name. Throws where a record's data is not what its type needs. */
  setZone(zone: Zone): void {
    if (zone === null || typeof zone !== 'object') throw invalidArgType('zone', 'Object', zone);
    validateString(zone.name, 'zone.name');
    if (!Array.isArray(zone.records)) throw invalidArgType('zone.records', 'Array', zone.records);
    checkTtl(zone.ttl, 'zone.ttl');
    const apex = canonical(zone.name);
    if (!isName(apex)) throw invalidArgValue('zone.name', zone.name, 'must be a DNS name');
    const ttl = zone.ttl ?? 60;
    const names = new Map<string, Record_[]>();
    const add = (name: string, type: string, seconds: number, data: unknown): void => {
      const list = names.get(name) ?? [];
      list.push({ name, type, ttl: seconds, data });
      names.set(name, list);
    };
    const soa = { mname: `ns.${apex}`, rname: `hostmaster.${apex}`, serial: 1, refresh: 3600, retry: 600 };
    add(apex, 'SOA', ttl, { ...soa, expire: 86_400, minimum: ttl });
    for (const record of zone.records) {
      if (record === null || typeof record !== 'object') throw invalidArgType('record', 'Object', record);
      validateString(record.name, 'record.name');
      checkTtl(record.ttl, 'record.ttl');
      const bare = canonical(record.name);
      const inside = bare === apex || bare.endsWith(`.${apex}`);
      const name = bare === '@' ? apex : inside ? bare : `${bare}.${apex}`;
      if (!isName(name)) throw invalidArgValue('record.name', record.name, 'must be a DNS name');
      add(name, record.type, record.ttl ?? ttl, recordData(record));
      if (record.type === 'CNAME' && (names.get(name)?.length ?? 0) > 1) {
        throw invalidArgValue(
          'record',
          record,
          'is an alias of a name that has other records (RFC 1034 section 3.6.2)',
        );
      }
    }
    this.#zones.set(apex, names);
  }

  /** Removes a zone; whether there was one. */
  removeZone(name: string): boolean {
    return this.#zones.delete(canonical(name));
  }

  /** Begins to answer, over UDP and TCP, on a port of every address of the stack, or of one. */
  async listen(port = 53, address?: string): Promise<this> {
    const number = validatePort(port, 'port');
    if (this.#sockets.length > 0)
      throw codedError(Error, 'ERR_SERVER_ALREADY_LISTEN', 'The DNS server listens already.');
    const types =
      address === undefined ? (['udp4', 'udp6'] as const) : ([address.includes(':') ? 'udp6' : 'udp4'] as const);
    let bound = number;
    try {
      for (const type of types) {
        const socket = this.#transport.dgram.createSocket({ type, ipv6Only: true });
        this.#sockets.push(socket);
        socket.on('message', (data, from) => {
          const reply = this.#answer(data, true);
          if (reply !== null) socket.send(reply, from.port, from.address, () => {});
        });
        const listening = once(socket, 'listening');
        socket.bind(bound, address);
        await listening;
        socket.on('error', () => {});
        bound = socket.address().port;
      }
      const server = this.#transport.net.createServer((socket) => this.#serve(socket));
      server.maxConnections = MAX_CONNECTIONS;
      this.#servers.push(server);
      const listening = once(server, 'listening');
      if (address === undefined) server.listen(bound);
      else server.listen(bound, address);
      await listening;
    } catch (error) {
      await this.close();
      throw error;
    }
    return this;
  }

  /** Where it listens; null when it does not. */
  address(): { address: string; port: number } | null {
    const [socket] = this.#sockets;
    if (socket === undefined) return null;
    const { address, port } = socket.address();
    return { address, port };
  }

  /** Ends it. Idempotent. */
  async close(): Promise<void> {
    for (const socket of this.#sockets.splice(0)) {
      try {
        socket.close();
      } catch {
        // The stack was closed, and the socket with it.
      }
    }
    for (const connection of this.#connections) connection.destroy();
    await Promise.all(
      this.#servers.splice(0).map((server) => new Promise<void>((resolve) => server.close(() => resolve()))),
    );
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #serve(socket: Socket): void {
    this.#connections.add(socket);
    let received = Buffer.alloc(0);
    socket.setTimeout(IDLE, () => socket.destroy());
    socket.on('error', () => {});
    socket.on('close', () => this.#connections.delete(socket));
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
        const length = received.readUInt16BE(0);
        const reply = this.#answer(received.subarray(2, 2 + length), false);
        received = received.subarray(2 + length);
        if (reply === null) {
          socket.destroy();
          return;
        }
        const prefix = Buffer.alloc(2);
        prefix.writeUInt16BE(reply.length);
        // A client that asks and does not read is not worth memory.
        if (!socket.write(Buffer.concat([prefix, reply]))) socket.destroy();
      }
    });
  }

  /** The answer to a message; null when it deserves none. */
  #answer(data: Buffer, udp: boolean): Buffer | null {
    // What is no query, an answer above all, is not answered: two servers could go on for ever.
    if (data.length < 12 || (data[2] as number) & 0x80) return null;
    const id = data.readUInt16BE(0);
    const opcode = ((data[2] as number) >> 3) & 15;
    const wantsRecursion = ((data[2] as number) & 1) === 1;
    const error = (rcode: number): Buffer => {
      const reply = Buffer.alloc(12);
      reply.writeUInt16BE(id, 0);
      reply.writeUInt16BE(0x8000 | (opcode << 11) | (wantsRecursion ? 0x100 : 0) | rcode, 2);
      return reply;
    };
    if (opcode !== 0) return error(NOTIMP);
    let query: packet.DecodedPacket;
    try {
      query = packet.decode(data);
    } catch {
      return error(FORMERR);
    }
    const [question] = query.questions ?? [];
    if (query.questions?.length !== 1 || question === undefined) return error(FORMERR);
    const edns = (query.additionals ?? []).find((record) => record.type === 'OPT') as
      | { udpPayloadSize?: number }
      | undefined;
    const reply = (question.class ?? 'IN') === 'IN' ? this.#resolve(question.name, question.type) : refused();
    const opt = { type: 'OPT', name: '.', udpPayloadSize: 1232, flags: 0, options: [] };
    const encode = (answers: Record_[], authorities: Record_[], more: number): Buffer =>
      packet.encode({
        id,
        type: 'response',
        flags:
          (reply.authoritative ? packet.AUTHORITATIVE_ANSWER : 0) | (wantsRecursion ? 0x100 : 0) | more | reply.rcode,
        questions: [question],
        answers: answers as unknown as packet.Answer[],
        authorities: authorities as unknown as packet.Answer[],
        additionals: edns === undefined ? [] : [opt as unknown as packet.Answer],
      });
    try {
      const whole = encode(reply.answers, reply.authorities, 0);
      const most = Math.min(Math.max(edns?.udpPayloadSize ?? PLAIN_SIZE, PLAIN_SIZE), MAX_UDP_SIZE);
      if (!udp || whole.length <= most) return whole.length <= 0xffff ? whole : error(2);
      return encode([], [], packet.TRUNCATED_RESPONSE);
    } catch {
      // A record's data was not what its type needs.
      return error(2);
    }
  }

  /** The zone that is nearest to a name. */
  #zoneOf(name: string): { apex: string; names: Map<string, Record_[]> } | null {
    for (let at = name; ; at = at.slice(at.indexOf('.') + 1)) {
      const names = this.#zones.get(at);
      if (names !== undefined) return { apex: at, names };
      if (!at.includes('.')) return null;
    }
  }

  #resolve(asked: string, type: string): Reply {
    const reply: Reply = { rcode: NOERROR, authoritative: true, answers: [], authorities: [] };
    let name = canonical(asked);
    for (let step = 0; step <= MAX_CHAIN; step++) {
      const zone = this.#zoneOf(name);
      if (zone === null) return step === 0 ? refused() : reply;
      const found = lookupIn(zone, name);
      if (found === null) {
        // RFC 2308 section 2: the SOA says for how long there is nothing.
        reply.rcode = NXDOMAIN;
        reply.authorities = (zone.names.get(zone.apex) ?? []).filter((record) => record.type === 'SOA');
        return reply;
      }
      const matching = type === 'ANY' ? found : found.filter((record) => record.type === type);
      const alias = matching.length === 0 ? found.find((record) => record.type === 'CNAME') : undefined;
      reply.answers.push(...(alias === undefined ? matching : [alias]));
      if (alias === undefined) {
        if (matching.length === 0) {
          reply.authorities = (zone.names.get(zone.apex) ?? []).filter((record) => record.type === 'SOA');
        }
        return reply;
      }
      name = canonical(alias.data as string);
    }
    return reply;
  }
}

function refused(): Reply {
  return { rcode: REFUSED, authoritative: false, answers: [], authorities: [] };
}

/** The records of a name, those of a wildcard under the name that was asked for (RFC 4592); null when it does not exist. */
function lookupIn({ apex, names }: { apex: string; names: Map<string, Record_[]> }, name: string): Record_[] | null {
  const exact = names.get(name);
  if (exact !== undefined) return exact;
  // A name between others exists, without records of its own.
  for (const other of names.keys()) if (other.endsWith(`.${name}`)) return [];
  for (let at = name; at !== apex; ) {
    at = at.slice(at.indexOf('.') + 1);
    const wild = names.get(`*.${at}`);
    if (wild !== undefined) return wild.map((record) => ({ ...record, name }));
    // The closest name that exists is where a wildcard would have to be.
    if (names.has(at)) break;
  }
  return null;
}
