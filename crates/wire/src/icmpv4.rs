//! ICMP for IPv4 (RFC 792, RFC 1122 §3.2.2, RFC 1191).

use core::net::Ipv4Addr;

use crate::Error;
use crate::checksum;

/// Length of every message's fixed part, bytes: type, code, checksum, and four that depend on the type.
pub const HEADER_LEN: usize = 8;
/// Longest quotation in an error, bytes: with IP and ICMP headers it makes 576 (RFC 1812 §4.3.2.3).
pub const MAX_QUOTED_LEN: usize = 576 - 20 - HEADER_LEN;

/// Why a destination could not be reached (RFC 792, RFC 1122 §3.2.2.1, RFC 1812 §5.2.7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unreachable {
    /// Code 0: no route to the network.
    Net,
    /// Code 1: the host does not answer on its link.
    Host,
    /// Code 2: the host does not speak the protocol.
    Protocol,
    /// Code 3: nobody listens on the port.
    Port,
    /// Code 4: the packet was too long for a link and must not be fragmented.
    FragmentationNeeded {
        /// MTU of that link, bytes; 0 from routers older than RFC 1191, who do not say.
        mtu: u16,
    },
    /// Code 5.
    SourceRouteFailed,
    /// Code 6.
    NetUnknown,
    /// Code 7.
    HostUnknown,
    /// Code 8, obsolete.
    SourceIsolated,
    /// Code 9.
    NetProhibited,
    /// Code 10.
    HostProhibited,
    /// Code 11: not with this type of service.
    NetTos,
    /// Code 12: not with this type of service.
    HostTos,
    /// Code 13: filtered.
    AdminProhibited,
    /// Code 14.
    PrecedenceViolation,
    /// Code 15.
    PrecedenceCutoff,
}

impl Unreachable {
    /// The message's code field.
    pub fn code(self) -> u8 {
        match self {
            Self::Net => 0,
            Self::Host => 1,
            Self::Protocol => 2,
            Self::Port => 3,
            Self::FragmentationNeeded { .. } => 4,
            Self::SourceRouteFailed => 5,
            Self::NetUnknown => 6,
            Self::HostUnknown => 7,
            Self::SourceIsolated => 8,
            Self::NetProhibited => 9,
            Self::HostProhibited => 10,
            Self::NetTos => 11,
            Self::HostTos => 12,
            Self::AdminProhibited => 13,
            Self::PrecedenceViolation => 14,
            Self::PrecedenceCutoff => 15,
        }
    }

    fn from_code(code: u8, mtu: u16) -> Option<Self> {
        Some(match code {
            0 => Self::Net,
            1 => Self::Host,
            2 => Self::Protocol,
            3 => Self::Port,
            4 => Self::FragmentationNeeded { mtu },
            5 => Self::SourceRouteFailed,
            6 => Self::NetUnknown,
            7 => Self::HostUnknown,
            8 => Self::SourceIsolated,
            9 => Self::NetProhibited,
            10 => Self::HostProhibited,
            11 => Self::NetTos,
            12 => Self::HostTos,
            13 => Self::AdminProhibited,
            14 => Self::PrecedenceViolation,
            15 => Self::PrecedenceCutoff,
            _ => return None,
        })
    }
}

/// A validated ICMP message. What errors quote is for [`Quoted`](crate::quoted::Quoted) to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repr<'a> {
    /// Type 8.
    EchoRequest {
        /// Which pinger asks.
        ident: u16,
        /// Which of its requests this is.
        seq: u16,
        /// What the answer repeats.
        data: &'a [u8],
    },
    /// Type 0.
    EchoReply {
        /// As in the request.
        ident: u16,
        /// As in the request.
        seq: u16,
        /// As in the request.
        data: &'a [u8],
    },
    /// Type 3.
    DestinationUnreachable {
        /// Why.
        reason: Unreachable,
        /// The packet at fault, from its IP header, usually cut.
        quoted: &'a [u8],
    },
    /// Type 5.
    Redirect {
        /// 0 network, 1 host, 2 and 3 the same for one type of service.
        code: u8,
        /// The better router.
        gateway: Ipv4Addr,
        /// The packet that took the detour.
        quoted: &'a [u8],
    },
    /// Type 11.
    TimeExceeded {
        /// Whether time ran out in reassembly (code 1) and not by TTL on the way (code 0).
        in_reassembly: bool,
        /// The packet at fault.
        quoted: &'a [u8],
    },
    /// Type 12.
    ParameterProblem {
        /// 0 the pointer tells, 1 a required option is missing, 2 bad length.
        code: u8,
        /// The byte at fault, from the IP header.
        pointer: u8,
        /// The packet at fault.
        quoted: &'a [u8],
    },
    /// Any other type, or a known error with a code that is not.
    Other {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
        /// Everything after the checksum, at least 4 bytes.
        rest: &'a [u8],
    },
}

/// Whether a message of this type is an error, to which no error may answer (RFC 1122 §3.2.2).
pub fn is_error(kind: u8) -> bool {
    // Source quench (4, deprecated by RFC 6633) counts, as it may still be on the wire.
    matches!(kind, 3 | 4 | 5 | 11 | 12)
}

impl<'a> Repr<'a> {
    /// Validates a message: what an IPv4 packet carries, cut to its length.
    ///
    /// The checksum is verified unless `checksum_ok` says that the device already did.
    ///
    /// # Errors
    /// [`Error::Truncated`] (below 8 bytes), [`Error::BadChecksum`].
    pub fn parse(bytes: &'a [u8], checksum_ok: bool) -> Result<Self, Error> {
        let Some((&[kind, code, _, _, a, b, c, d], body)) = bytes.split_first_chunk::<HEADER_LEN>()
        else {
            return Err(Error::Truncated);
        };
        if !checksum_ok && checksum::checksum(bytes) != 0 {
            return Err(Error::BadChecksum);
        }
        let (ident, seq) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        // RFC 4884 §4.1: when the second byte of the four is not 0, it says how many 32-bit words are quotation; what
        // follows is an extension structure.
        let quoted = match usize::from(b) * 4 {
            0 => body,
            len => body.get(..len).unwrap_or(body),
        };
        Ok(match (kind, code) {
            (8, 0) => Self::EchoRequest { ident, seq, data: body },
            (0, 0) => Self::EchoReply { ident, seq, data: body },
            (3, _) => match Unreachable::from_code(code, seq) {
                Some(reason) => Self::DestinationUnreachable { reason, quoted },
                None => Self::Other { kind, code, rest: &bytes[4..] },
            },
            (5, 0..=3) => Self::Redirect { code, gateway: Ipv4Addr::new(a, b, c, d), quoted: body },
            (11, 0 | 1) => Self::TimeExceeded { in_reassembly: code == 1, quoted },
            (12, 0..=2) => Self::ParameterProblem { code, pointer: a, quoted },
            _ => Self::Other { kind, code, rest: &bytes[4..] },
        })
    }

    /// Whether this is an error, to which no error may answer (RFC 1122 §3.2.2).
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
            Self::EchoReply { .. } => (0, 0),
            Self::DestinationUnreachable { reason, .. } => (3, reason.code()),
            Self::Redirect { code, .. } => (5, code),
            Self::EchoRequest { .. } => (8, 0),
            Self::TimeExceeded { in_reassembly, .. } => (11, u8::from(in_reassembly)),
            Self::ParameterProblem { code, .. } => (12, code),
            Self::Other { kind, code, .. } => (kind, code),
        }
    }

    fn body(&self) -> &'a [u8] {
        match *self {
            Self::EchoRequest { data, .. } | Self::EchoReply { data, .. } => data,
            Self::DestinationUnreachable { quoted, .. }
            | Self::Redirect { quoted, .. }
            | Self::TimeExceeded { quoted, .. }
            | Self::ParameterProblem { quoted, .. } => quoted,
            Self::Other { rest, .. } => rest.get(4..).unwrap_or_default(),
        }
    }

    /// Writes the message with its checksum. `buf` must have exactly [`len`](Self::len) bytes.
    pub fn emit(&self, buf: &mut [u8]) {
        let (kind, code) = self.kind_and_code();
        buf[..4].copy_from_slice(&[kind, code, 0, 0]);
        let word = match *self {
            Self::EchoRequest { ident, seq, .. } | Self::EchoReply { ident, seq, .. } => {
                u32::from(ident) << 16 | u32::from(seq)
            }
            Self::DestinationUnreachable {
                reason: Unreachable::FragmentationNeeded { mtu },
                ..
            } => u32::from(mtu),
            Self::DestinationUnreachable { .. } | Self::TimeExceeded { .. } => 0,
            Self::Redirect { gateway, .. } => gateway.to_bits(),
            Self::ParameterProblem { pointer, .. } => u32::from(pointer) << 24,
            Self::Other { rest, .. } => {
                buf[4..].copy_from_slice(rest);
                fill_checksum(buf);
                return;
            }
        };
        buf[4..HEADER_LEN].copy_from_slice(&word.to_be_bytes());
        buf[HEADER_LEN..].copy_from_slice(self.body());
        fill_checksum(buf);
    }
}

/// What of a packet an error quotes: its beginning, at most [`MAX_QUOTED_LEN`] bytes.
pub fn quotable(packet: &[u8]) -> &[u8] {
    &packet[..packet.len().min(MAX_QUOTED_LEN)]
}

/// Writes the checksum of a message whose bytes are all in place.
pub fn fill_checksum(message: &mut [u8]) {
    message[2..4].fill(0);
    let sum = checksum::checksum(message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
}

#[cfg(test)]
mod tests;
