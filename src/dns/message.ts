// DNS messages (RFC 1035) by the library dns-packet: making queries, and telling true answers from others.
import { isIPv4, isIPv6 } from 'node:net';
import * as packet from 'dns-packet';

/** Types of records that can be asked for. */
export type RecordType =
  | 'A'
  | 'AAAA'
  | 'ANY'
  | 'CAA'
  | 'CNAME'
  | 'MX'
  | 'NAPTR'
  | 'NS'
  | 'PTR'
  | 'SOA'
  | 'SRV'
  | 'TLSA'
  | 'TXT';

/** A resource record; `data` is as dns-packet has it. */
export interface ResourceRecord {
  name: string;
  type: string;
  ttl: number;
  data: unknown;
}

/** An answer, of which the question is ours. */
export interface Answer {
  rcode: string;
  truncated: boolean;
  answers: ResourceRecord[];
  authorities: ResourceRecord[];
}

/** Most bytes of an answer over UDP that we ask for: what passes nearly everywhere unfragmented (DNS flag day 2020). */
export const UDP_SIZE = 1232;

/** A name without the final dot, in lower case: how names are compared (RFC 4343). */
export function canonical(name: string): string {
  return name.replace(/\.$/, '').toLowerCase();
}

/** Whether a name can be put into a message (RFC 1035 section 3.1). */
export function isName(name: string): boolean {
  const bare = name.replace(/\.$/, '');
  if (bare === '') return true;
  const labels = bare.split('.');
  const bytes = labels.reduce((sum, label) => sum + Buffer.byteLength(label) + 1, 1);
  return bytes <= 255 && labels.every((label) => label !== '' && Buffer.byteLength(label) <= 63);
}

/** A query; with `edns` it says how much we take over UDP (RFC 6891). */
export function encodeQuery(id: number, name: string, type: string, edns: boolean): Buffer {
  const opt = { type: 'OPT', name: '.', udpPayloadSize: UDP_SIZE, flags: 0, options: [] };
  return packet.encode({
    id,
    type: 'query',
    flags: packet.RECURSION_DESIRED,
    questions: [{ type: type as packet.RecordType, name, class: 'IN' }],
    additionals: edns ? [opt as unknown as packet.Answer] : [],
  });
}

/** What a message says, if it answers that very question; null when it does not, or cannot be read. */
export function decodeAnswer(data: Buffer, id: number, name: string, type: string): Answer | null {
  if (data.length < 12 || data.readUInt16BE(0) !== id) return null;
  const flags = data.readUInt16BE(2);
  // A response (QR), to a standard query (opcode 0).
  if ((flags & 0xf800) !== 0x8000) return null;
  const rcode = RCODES[flags & 15] ?? 'SERVFAIL';
  if (!isWhole(data)) return null;
  let decoded: packet.DecodedPacket;
  try {
    decoded = packet.decode(data);
  } catch {
    return null;
  }
  const questions = decoded.questions ?? [];
  // Some servers leave the question out of an error.
  if (questions.length === 0 && rcode !== 'NOERROR' && rcode !== 'NXDOMAIN') {
    return { rcode, truncated: false, answers: [], authorities: [] };
  }
  const [question] = questions;
  if (questions.length !== 1 || question === undefined) return null;
  if (canonical(question.name) !== canonical(name) || question.type !== type) return null;
  if (question.class !== undefined && question.class !== 'IN') return null;
  return {
    rcode,
    truncated: (flags & 0x0200) !== 0,
    answers: records(decoded.answers),
    authorities: records(decoded.authorities),
  };
}

/** Whether every record that the header announces is there, whole: the library does not look. */
function isWhole(data: Buffer): boolean {
  const [questions, ...records] = [4, 6, 8, 10].map((at) => data.readUInt16BE(at)) as [number, ...number[]];
  let at = 12;
  const skipName = (): void => {
    while (at < data.length) {
      const length = data[at++] as number;
      if (length === 0) return;
      if (length >= 0xc0) {
        at++;
        return;
      }
      at += length;
    }
    at = Infinity;
  };
  for (let i = 0; i < questions && at <= data.length; i++) {
    skipName();
    at += 4;
  }
  const count = records.reduce((sum, part) => sum + part, 0);
  for (let i = 0; i < count && at <= data.length; i++) {
    skipName();
    if (!(at + 10 <= data.length)) return false;
    at += 10 + data.readUInt16BE(at + 8);
  }
  return at <= data.length;
}

const RCODES = ['NOERROR', 'FORMERR', 'SERVFAIL', 'NXDOMAIN', 'NOTIMP', 'REFUSED'];

function records(list: packet.Answer[] | undefined): ResourceRecord[] {
  return ((list ?? []) as unknown as (ResourceRecord & { class?: string })[]).filter(
    ({ type, class: of = 'IN', data }) =>
      type !== 'OPT' &&
      of === 'IN' &&
      // Of a length that is not an address's, the library makes something else.
      (type !== 'A' || isIPv4(String(data))) &&
      (type !== 'AAAA' || isIPv6(String(data))),
  );
}

/** Most CNAMEs that are followed. */
const MAX_CHAIN = 16;

/**
 * The records of `type` for `name`, through CNAMEs: nothing that the answer says of other names is believed. `name` in the
 * result is the last of the chain.
 */
export function followChain(
  answers: readonly ResourceRecord[],
  name: string,
  type: string,
): { name: string; records: ResourceRecord[]; ttl: number } {
  let at = canonical(name);
  let ttl = Infinity;
  for (let step = 0; step <= MAX_CHAIN; step++) {
    const of = answers.filter((record) => canonical(record.name) === at);
    const found = type === 'ANY' ? of : of.filter((record) => record.type === type);
    if (found.length > 0) {
      for (const record of found) ttl = Math.min(ttl, record.ttl);
      return { name: at, records: found, ttl };
    }
    const alias = of.find((record) => record.type === 'CNAME');
    if (alias === undefined || typeof alias.data !== 'string') break;
    ttl = Math.min(ttl, alias.ttl);
    at = canonical(alias.data);
  }
  return { name: at, records: [], ttl };
}

/** How long that there is nothing may be remembered (RFC 2308 section 5): by the zone's SOA, seconds. */
export function negativeTtl(authorities: readonly ResourceRecord[]): number {
  const soa = authorities.find((record) => record.type === 'SOA');
  if (soa === undefined) return 0;
  const { minimum } = soa.data as { minimum?: number };
  return Math.min(soa.ttl, minimum ?? soa.ttl);
}
