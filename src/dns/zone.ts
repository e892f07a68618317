// Records of a zone: whether their data are what their type needs, and in the library's words.
import { isIPv4, isIPv6 } from 'node:net';
import { invalidArgType, invalidArgValue } from '../errors';
import { validateInt32, validateString } from '../net/validators';
import { isName } from './message';
import type { ZoneRecord } from './server';

/** Longest piece of a TXT or CAA record, bytes (RFC 1035 section 3.3). */
const MAX_TEXT = 255;
/** Greatest TTL, seconds (RFC 2181 section 8). */
const MAX_TTL = 2 ** 31 - 1;

function name_(value: unknown, what: string): void {
  validateString(value, what);
  if (!isName(value as string) || value === '') throw invalidArgValue(what, value, 'must be a DNS name');
}

function text(value: unknown, what: string): void {
  if (typeof value !== 'string' && !(value instanceof Uint8Array)) {
    throw invalidArgType(what, ['string', 'Buffer', 'Uint8Array'], value);
  }
  if (Buffer.byteLength(value) > MAX_TEXT) {
    throw invalidArgValue(what, value, `must have at most ${MAX_TEXT} bytes: give an array of shorter ones`);
  }
}

function fieldsOf(data: unknown): Record<string, unknown> {
  if (data === null || typeof data !== 'object') throw invalidArgType('record.data', 'Object', data);
  return data as Record<string, unknown>;
}

function numbers(fields: Record<string, unknown>, ...keys: string[]): void {
  for (const key of keys) validateInt32(fields[key], `record.data.${key}`, 0, 0xffff);
}

/** Throws what is wrong with the TTL of a record or a zone, if anything. */
export function checkTtl(ttl: unknown, what: string): void {
  if (ttl !== undefined) validateInt32(ttl, what, 0, MAX_TTL);
}

/** Data as dns-packet wants it, from data as `node:dns` shows it. Throws what is wrong with it. */
export function recordData({ type, data }: ZoneRecord): unknown {
  switch (type) {
    case 'A':
      if (!isIPv4(data as string)) throw invalidArgValue('record.data', data, 'must be an IPv4 address for type A');
      return data;
    case 'AAAA':
      if (!isIPv6(data as string) || String(data).includes('%')) {
        throw invalidArgValue('record.data', data, 'must be an IPv6 address for type AAAA');
      }
      return data;
    case 'CNAME':
    case 'NS':
    case 'PTR':
      name_(data, 'record.data');
      return data;
    case 'MX': {
      const fields = fieldsOf(data);
      name_(fields.exchange, 'record.data.exchange');
      numbers(fields, 'priority');
      return { exchange: fields.exchange, preference: fields.priority };
    }
    case 'SRV': {
      const fields = fieldsOf(data);
      name_(fields.name, 'record.data.name');
      numbers(fields, 'port', 'priority', 'weight');
      return { target: fields.name, port: fields.port, priority: fields.priority, weight: fields.weight };
    }
    case 'NAPTR': {
      const fields = fieldsOf(data);
      numbers(fields, 'order', 'preference');
      for (const key of ['flags', 'service', 'regexp']) text(fields[key], `record.data.${key}`);
      name_(fields.replacement, 'record.data.replacement');
      return { ...fields, services: fields.service };
    }
    case 'CAA': {
      const { critical = 0, ...tags } = fieldsOf(data);
      validateInt32(critical, 'record.data.critical', 0, 255);
      const [tag, value] = Object.entries(tags)[0] ?? [];
      if (tag === undefined)
        throw invalidArgValue('record.data', data, "must have a tag, such as { issue: 'ca.test' }");
      text(tag, 'record.data');
      validateString(value, `record.data.${tag}`);
      return { flags: critical, tag, value, issuerCritical: Number(critical) >= 128 };
    }
    case 'TXT': {
      const pieces = [data].flat();
      // RFC 1035 section 3.3.14: one or more.
      if (pieces.length === 0) throw invalidArgValue('record.data', data, 'must have at least one string');
      for (const piece of pieces) text(piece, 'record.data');
      // Copies: the library puts bytes in the place of strings.
      return pieces.map((piece) => Buffer.from(piece as string));
    }
    default:
      throw invalidArgValue(
        'record.type',
        type,
        "must be 'A', 'AAAA', 'CAA', 'CNAME', 'MX', 'NAPTR', 'NS', 'PTR', 'SRV' or 'TXT'",
      );
  }
}
