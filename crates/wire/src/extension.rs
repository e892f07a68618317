//! The chain of IPv6 extension headers (RFC 8200 §4), from the fixed header to the upper layer.

use crate::Error;
use crate::ip::{Fragment, IPV6_HEADER_LEN, MAX_PACKET_LEN, Protocol};

/// Length of a fragment header, bytes.
pub(crate) const FRAGMENT_HEADER_LEN: usize = 8;
/// Extension headers looked at in one packet. RFC 8504 §5.3 lets a host set such a limit; real packets have one or two.
const MAX_HEADERS: usize = 8;
/// Options, padding aside, looked at in one extension header (RFC 8504 §5.3 names 8 as the default).
const MAX_OPTIONS: usize = 8;

pub(crate) const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
pub(crate) const FRAGMENT: u8 = 44;
const DESTINATION: u8 = 60;

/// Codes of ICMPv6 Parameter Problem (RFC 4443 §3.4, RFC 7112 §5).
const ERRONEOUS_FIELD: u8 = 0;
const UNKNOWN_NEXT_HEADER: u8 = 1;
const UNKNOWN_OPTION: u8 = 2;
const INCOMPLETE_CHAIN: u8 = 3;

/// Where a chain ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    /// The first header that is not an extension header of those walked: the upper layer, or AH, ESP, "no next header".
    /// In a fragment, what its fragment header names.
    pub(crate) protocol: Protocol,
    /// Where `protocol` was named.
    pub(crate) next_header_offset: usize,
    /// Where the upper layer begins.
    pub(crate) payload_offset: usize,
    /// Set for a fragment that is not a whole datagram.
    pub(crate) fragment: Option<Fragment>,
    /// A Router Alert was seen in the hop-by-hop options (RFC 2711).
    pub(crate) router_alert: bool,
}

impl Chain {
    /// The chain of a packet without extension headers.
    pub(crate) fn none(protocol: Protocol) -> Self {
        Self {
            protocol,
            next_header_offset: 6,
            payload_offset: IPV6_HEADER_LEN,
            fragment: None,
            router_alert: false,
        }
    }
}

/// Walks the chain of a packet, cut to the length its header says and no shorter than the fixed header.
pub(crate) fn walk(packet: &[u8]) -> Result<Chain, Error> {
    let mut chain = Chain::none(Protocol(packet[6]));
    for _ in 0..=MAX_HEADERS {
        let at = chain.payload_offset;
        match chain.protocol.0 {
            // RFC 8200 §4.1: only right after the fixed header; anywhere else it is an unknown next header.
            HOP_BY_HOP if at != IPV6_HEADER_LEN => {
                return Err(problem(UNKNOWN_NEXT_HEADER, chain.next_header_offset));
            }
            HOP_BY_HOP => {
                let len = header_len(packet, at)?;
                chain.router_alert = options(packet, at, len)?;
                chain.advance(packet, len);
            }
            DESTINATION => {
                let len = header_len(packet, at)?;
                options(packet, at, len)?;
                chain.advance(packet, len);
            }
            ROUTING => {
                let len = header_len(packet, at)?;
                // RFC 8200 §4.4: no routing type is known here, not even type 0 (RFC 5095 §3). With segments left the
                // packet is refused, without any the header is ignored.
                if packet[at + 3] != 0 {
                    return Err(problem(ERRONEOUS_FIELD, at + 2));
                }
                chain.advance(packet, len);
            }
            FRAGMENT => {
                let Some(&[_, _, high, low, a, b, c, d]) = header(packet, at) else {
                    return Err(Error::Truncated);
                };
                let field = u16::from_be_bytes([high, low]);
                let fragment = Fragment {
                    ident: u32::from_be_bytes([a, b, c, d]),
                    offset: field & 0xfff8,
                    more: field & 1 != 0,
                };
                chain.advance(packet, FRAGMENT_HEADER_LEN);
                // RFC 6946 §4: an atomic fragment is a whole datagram, whatever its identification.
                if fragment.offset == 0 && !fragment.more {
                    continue;
                }
                check_fragment(packet, at, fragment)?;
                if fragment.offset == 0 && !is_chain_complete(packet, chain) {
                    // RFC 7112 §5: refused, and the sender may be told. A pointer would have nothing to point at.
                    return Err(problem(INCOMPLETE_CHAIN, 0));
                }
                chain.fragment = Some(fragment);
                return Ok(chain);
            }
            _ => return Ok(chain),
        }
    }
    Err(Error::TooManyHeaders)
}

impl Chain {
    fn advance(&mut self, packet: &[u8], len: usize) {
        self.protocol = Protocol(packet[self.payload_offset]);
        self.next_header_offset = self.payload_offset;
        self.payload_offset += len;
    }
}

fn problem(code: u8, at: usize) -> Error {
    Error::ParameterProblem { code, pointer: at as u16, even_if_multicast: false }
}

fn header(packet: &[u8], at: usize) -> Option<&[u8; 8]> {
    packet.get(at..)?.first_chunk()
}

/// Length of the header at `at`, bytes: at least 8, and it lies in the packet.
fn header_len(packet: &[u8], at: usize) -> Result<usize, Error> {
    let len = (usize::from(header(packet, at).ok_or(Error::Truncated)?[1]) + 1) * 8;
    if at + len > packet.len() { Err(Error::Truncated) } else { Ok(len) }
}

/// Looks at the options of a hop-by-hop or destination options header: whether a Router Alert is among them.
fn options(packet: &[u8], at: usize, len: usize) -> Result<bool, Error> {
    let end = at + len;
    let mut router_alert = false;
    let mut seen = 0;
    let mut at = at + 2;
    while at < end {
        let kind = packet[at];
        if kind == 0 {
            at += 1;
            continue;
        }
        let option_len = match packet[at + 1..end].first() {
            Some(&len) if at + 2 + usize::from(len) <= end => 2 + usize::from(len),
            // RFC 8200 §4.2 leaves this open; Linux, too, drops the packet in silence.
            _ => return Err(Error::BadLength),
        };
        if kind != 1 {
            seen += 1;
            if seen > MAX_OPTIONS {
                return Err(Error::TooManyHeaders);
            }
            match kind {
                5 => router_alert = true,
                // RFC 8200 §4.2: the two highest bits of a type say what those do who do not know it.
                _ => match kind >> 6 {
                    0 => {}
                    1 => return Err(Error::UnknownOption),
                    action => {
                        return Err(Error::ParameterProblem {
                            code: UNKNOWN_OPTION,
                            pointer: at as u16,
                            even_if_multicast: action == 2,
                        });
                    }
                },
            }
        }
        at += option_len;
    }
    Ok(router_alert)
}

/// The lengths of a fragment whose header lies at `at` (RFC 8200 §4.5).
fn check_fragment(packet: &[u8], at: usize, fragment: Fragment) -> Result<(), Error> {
    let len = packet.len() - at - FRAGMENT_HEADER_LEN;
    if fragment.more && (len == 0 || !len.is_multiple_of(8)) {
        return Err(problem(ERRONEOUS_FIELD, 4));
    }
    // The reassembled packet's payload length counts the headers before the fragment header too.
    let before = at - IPV6_HEADER_LEN;
    if before + usize::from(fragment.offset) + len > MAX_PACKET_LEN {
        return Err(problem(ERRONEOUS_FIELD, at + 2));
    }
    Ok(())
}

/// Whether the fragmentable part that begins where `chain` ends holds all headers up to and including the upper layer's
/// (RFC 7112 §3, §5). Options are looked at after reassembly.
fn is_chain_complete(packet: &[u8], chain: Chain) -> bool {
    let (mut next, mut at) = (chain.protocol.0, chain.payload_offset);
    for _ in 0..MAX_HEADERS {
        match next {
            HOP_BY_HOP | ROUTING | DESTINATION => {
                let Ok(len) = header_len(packet, at) else { return false };
                next = packet[at];
                at += len;
            }
            // A fragment of a fragment is nobody's upper layer; whoever reassembles it will see.
            FRAGMENT => return header(packet, at).is_some(),
            _ => {
                let rest = packet.len() - at;
                return match Protocol(next) {
                    Protocol::TCP => {
                        let options_end =
                            packet.get(at + 12).map_or(0, |b| usize::from(b >> 4) * 4);
                        rest >= options_end.max(crate::tcp::HEADER_LEN)
                    }
                    Protocol::UDP => rest >= crate::udp::HEADER_LEN,
                    // RFC 7112 §3: of ICMPv6, the first 32 bits.
                    Protocol::ICMPV6 => rest >= 4,
                    _ => true,
                };
            }
        }
    }
    false
}

/// Makes the last header of an unfragmentable part (fixed header and extension headers, nothing after them) name
/// `protocol` instead of the fragment header that followed it.
pub(crate) fn replace_last_next_header(
    headers: &mut [u8],
    protocol: Protocol,
) -> Result<(), Error> {
    let (mut named_at, mut at) = (6, IPV6_HEADER_LEN);
    while at < headers.len() {
        let len = match headers[named_at] {
            // An atomic fragment header; its second byte is reserved and says no length.
            FRAGMENT => FRAGMENT_HEADER_LEN,
            _ => header_len(headers, at)?,
        };
        named_at = at;
        at += len;
    }
    headers[named_at] = protocol.0;
    Ok(())
}
