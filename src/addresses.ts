// IP addresses as text and as numbers.

/** Texts of the IPv4 addresses that were met last: most datagrams come from few hosts. */
const texts = new Map<number, string>();
const MAX_TEXTS = 4096;

/** `192.0.2.1`, from 32 bits in network order. */
export function ipv4Text(bits: number): string {
  let text = texts.get(bits);
  if (text === undefined) {
    text = `${bits >>> 24}.${(bits >>> 16) & 255}.${(bits >>> 8) & 255}.${bits & 255}`;
    if (texts.size >= MAX_TEXTS) texts.clear();
    texts.set(bits, text);
  }
  return text;
}

let lastWords: readonly number[] = [];
let lastText = '';

/** `2001:db8::1`, from four numbers of 32 bits in network order, as RFC 5952 section 4 writes it. */
export function ipv6Text(a: number, b: number, c: number, d: number): string {
  if (lastWords[3] === d && lastWords[2] === c && lastWords[1] === b && lastWords[0] === a) return lastText;
  if (a === 0 && b === 0 && c === 0xffff) return `::ffff:${ipv4Text(d)}`;
  const groups = [a, b, c, d].flatMap((word) => [word >>> 16, word & 0xffff]);
  lastText = compressed(groups);
  lastWords = [a, b, c, d];
  return lastText;
}

/** The longest run of zeros, the first of equals, is left out; a single zero is not. */
function compressed(groups: number[]): string {
  let best = { at: -1, length: 1 };
  for (let at = 0; at < 8; at++) {
    let length = 0;
    while (at + length < 8 && groups[at + length] === 0) length++;
    if (length > best.length) best = { at, length };
  }
  const hex = (part: number[]): string => part.map((group) => group.toString(16)).join(':');
  if (best.at < 0) return hex(groups);
  return `${hex(groups.slice(0, best.at))}::${hex(groups.slice(best.at + best.length))}`;
}

/** An address and the interface or zone after its `%`, if it has one: `fe80::1%tun0`. */
export function splitZone(address: string): { address: string; zone: string | null } {
  const at = address.indexOf('%');
  return at < 0 ? { address, zone: null } : { address: address.slice(0, at), zone: address.slice(at + 1) };
}
