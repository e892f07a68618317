//! ICMP for IPv6 (RFC 4443). Neighbour discovery and multicast listener messages, which ride on it, have modules of
//! their own.

use core::net::{IpAddr, Ipv6Addr};

use crate::Error;
use crate::checksum::{self, Sum};
use crate::ip::Protocol;

/// Length of every message's fixed part, bytes: type, code, checksum, and four that depend on the type.
pub const HEADER_LEN: usize = 8;
/// Longest quotation in an error, bytes: with IP and ICMP headers it makes the minimum MTU of 1,280 (RFC 4443 §2.4 c).
pub const MAX_QUOTED_LEN: usize = 1280 - 40 - HEADER_LEN;

/// Why a destination could not be reached (RFC 4443 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unreachable {
    /// Code 0.
    NoRoute,
    /// Code 1: filtered.
    AdminProhibited,
    /// Code 2: the source address's scope ends before the destination.
    BeyondScope,
    /// Code 3: the host does not answer on its link.
    Address,
    /// Code 4: nobody listens on the port.
    Port,
    /// Code 5: the source address failed an ingress or egress policy.
    SourcePolicy,
    /// Code 6.
    RejectRoute,
    /// Code 7 (RFC 6550 §11.2.2.3).
    SourceRoute,
    /// Code 8 (RFC 8883 §3).
    HeadersTooLong,
}

impl Unreachable {
    /// The message's code field.
    pub fn code(self) -> u8 {
        match self {
            Self::NoRoute => 0,
            Self::AdminProhibited => 1,
            Self::BeyondScope => 2,
            Self::Address => 3,
            Self::Port => 4,
            Self::SourcePolicy => 5,
            Self::RejectRoute => 6,
            Self::SourceRoute => 7,
            Self::HeadersTooLong => 8,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::NoRoute,
            1 => Self::AdminProhibited,
            2 => Self::BeyondScope,
            3 => Self::Address,
            4 => Self::Port,
            5 => Self::SourcePolicy,
            6 => Self::RejectRoute,
            7 => Self::SourceRoute,
            8 => Self::HeadersTooLong,
            _ => return None,
        })
    }
}

/// A validated ICMPv6 message. What errors quote is for [`Quoted`](crate::quoted::Quoted) to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repr<'a> {
    /// Type 1.
    DestinationUnreachable {
        /// Why.
        reason: Unreachable,
        /// The packet at fault, from its IP header, usually cut.
        quoted: &'a [u8],
    },
    /// Type 2.
    PacketTooBig {
        /// MTU of the link it did not fit, bytes. As received: below 1,280 it is not to be believed (RFC 8201 §4).
        mtu: u32,
        /// The packet at fault.
        quoted: &'a [u8],
    },
    /// Type 3.
    TimeExceeded {
        /// Whether time ran out in reassembly (code 1) and not by hop limit on the way (code 0).
        in_reassembly: bool,
        /// The packet at fault.
        quoted: &'a [u8],
    },
    /// Type 4.
    ParameterProblem {
        /// 0 erroneous field, 1 unknown next header, 2 unknown option, 3 first fragment without its headers (RFC 7112);
        /// higher codes as received.
        code: u8,
        /// The byte at fault, from the IP header.
        pointer: u32,
        /// The packet at fault.
        quoted: &'a [u8],
    },
    /// Type 128.
    EchoRequest {
        /// Which pinger asks.
        ident: u16,
        /// Which of its requests this is.
        seq: u16,
        /// What the answer repeats.
        data: &'a [u8],
    },
    /// Type 129.
    EchoReply {
        /// As in the request.
        ident: u16,
        /// As in the request.
        seq: u16,
        /// As in the request.
        data: &'a [u8],
    },
    /// Any other type, or a known one with a code that is not.
    Other {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
        /// Everything after the checksum; can be empty.
        rest: &'a [u8],
    },
}

/// Whether a message of this type is an error, to which no error may answer (RFC 4443 §2.1, §2.4 e). A Redirect counts
/// as one there.
pub fn is_error(kind: u8) -> bool {
    kind < 128 || kind == 137
}

impl<'a> Repr<'a> {
    /// Validates a message between two addresses: what an IPv6 packet carries, cut to its length.
    ///
    /// The checksum is verified unless `checksum_ok` says that the device already did.
    ///
    /// # Errors
    /// [`Error::Truncated`] (below 4 bytes; below 8 where the type has a fixed part), [`Error::BadChecksum`].
    pub fn parse(
        bytes: &'a [u8],
        src: Ipv6Addr,
        dst: Ipv6Addr,
        checksum_ok: bool,
    ) -> Result<Self, Error> {
        let Some((&[kind, code, _, _], rest)) = bytes.split_first_chunk::<4>() else {
            return Err(Error::Truncated);
        };
        if !checksum_ok
            && !checksum::verify_transport(
                IpAddr::V6(src),
                IpAddr::V6(dst),
                Protocol::ICMPV6,
                bytes,
            )
        {
            return Err(Error::BadChecksum);
        }
        let other = Self::Other { kind, code, rest };
        if !matches!(kind, 1..=4 | 128 | 129) {
            return Ok(other);
        }
        let Some((&[a, b, c, d], body)) = rest.split_first_chunk::<4>() else {
            return Err(Error::Truncated);
        };
        let (ident, seq) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        // RFC 4884 §4.2: when the first byte of the four is not 0, it says how many 64-bit words are quotation; what
        // follows is an extension structure.
        let quoted = match usize::from(a) * 8 {
            0 => body,
            len => body.get(..len).unwrap_or(body),
        };
        Ok(match (kind, code) {
            (1, _) => match Unreachable::from_code(code) {
                Some(reason) => Self::DestinationUnreachable { reason, quoted },
                None => other,
            },
            // RFC 4443 §3.2: the code is ignored by the receiver.
            (2, _) => Self::PacketTooBig { mtu: u32::from_be_bytes([a, b, c, d]), quoted: body },
            (3, 0 | 1) => Self::TimeExceeded { in_reassembly: code == 1, quoted },
            (4, _) => Self::ParameterProblem {
                code,
                pointer: u32::from_be_bytes([a, b, c, d]),
                quoted: body,
            },
            (128, 0) => Self::EchoRequest { ident, seq, data: body },
            (129, 0) => Self::EchoReply { ident, seq, data: body },
            _ => other,
        })
    }

    /// Whether this is an error, to which no error may answer (RFC 4443 §2.4 e).
    pub fn is_error(&self) -> bool {
        is_error(self.kind_and_code().0)
    }

    /// Length of the message, bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Other { rest, .. } => 4 + rest.len(),
            _ => HEADER_LEN + self.body().len(),
        }
    }

    /// Never: a message has at least its header.
    pub fn is_empty(&self) -> bool {
        false
    }

    fn kind_and_code(&self) -> (u8, u8) {
        match *self {
            Self::DestinationUnreachable { reason, .. } => (1, reason.code()),
            Self::PacketTooBig { .. } => (2, 0),
            Self::TimeExceeded { in_reassembly, .. } => (3, u8::from(in_reassembly)),
            Self::ParameterProblem { code, .. } => (4, code),
            Self::EchoRequest { .. } => (128, 0),
            Self::EchoReply { .. } => (129, 0),
            Self::Other { kind, code, .. } => (kind, code),
        }
    }

    fn body(&self) -> &'a [u8] {
        match *self {
            Self::EchoRequest { data, .. } | Self::EchoReply { data, .. } => data,
            Self::DestinationUnreachable { quoted, .. }
            | Self::PacketTooBig { quoted, .. }
            | Self::TimeExceeded { quoted, .. }
            | Self::ParameterProblem { quoted, .. } => quoted,
            Self::Other { rest, .. } => rest,
        }
    }

    /// Writes the message with its checksum. `buf` must have exactly [`len`](Self::len) bytes.
    pub fn emit(&self, buf: &mut [u8], src: Ipv6Addr, dst: Ipv6Addr) {
        let (kind, code) = self.kind_and_code();
        buf[..4].copy_from_slice(&[kind, code, 0, 0]);
        let word = match *self {
            Self::EchoRequest { ident, seq, .. } | Self::EchoReply { ident, seq, .. } => {
                u32::from(ident) << 16 | u32::from(seq)
            }
            Self::DestinationUnreachable { .. } | Self::TimeExceeded { .. } => 0,
            Self::PacketTooBig { mtu, .. } => mtu,
            Self::ParameterProblem { pointer, .. } => pointer,
            Self::Other { rest, .. } => {
                buf[4..].copy_from_slice(rest);
                fill_checksum(buf, src, dst);
                return;
            }
        };
        buf[4..HEADER_LEN].copy_from_slice(&word.to_be_bytes());
        buf[HEADER_LEN..].copy_from_slice(self.body());
        fill_checksum(buf, src, dst);
    }
}

/// What of a packet an error quotes: its beginning, at most [`MAX_QUOTED_LEN`] bytes.
pub fn quotable(packet: &[u8]) -> &[u8] {
    &packet[..packet.len().min(MAX_QUOTED_LEN)]
}

/// Writes the checksum of a message between two addresses whose bytes are all in place.
pub fn fill_checksum(message: &mut [u8], src: Ipv6Addr, dst: Ipv6Addr) {
    message[2..4].fill(0);
    let mut sum = Sum::pseudo_header(
        IpAddr::V6(src),
        IpAddr::V6(dst),
        Protocol::ICMPV6,
        message.len() as u32,
    );
    sum.add(message);
    message[2..4].copy_from_slice(&sum.finish().to_be_bytes());
}

#[cfg(test)]
mod tests;
