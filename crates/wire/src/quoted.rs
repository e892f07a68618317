//! The packet an ICMP error quotes: read leniently, because routers cut it short and rewrite parts of it.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::ip::{IPV4_HEADER_LEN, IPV6_HEADER_LEN, Protocol};
use crate::{Error, SeqNumber};

/// Extension headers skipped in a quoted IPv6 packet.
const MAX_HEADERS: usize = 8;

/// What can be known of a quoted packet: the one we sent, so `src` is ours.
///
/// Neither its checksums nor its lengths are believed: TTL and checksum were changed on the way, and the data is cut.
/// Whoever acts on it must check that it names a live flow (RFC 5927 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted<'a> {
    /// Source address of the quoted packet.
    pub src: IpAddr,
    /// Destination address of the quoted packet, of the same family.
    pub dst: IpAddr,
    /// Its upper-layer protocol.
    pub protocol: Protocol,
    /// Its TTL or hop limit, as the sender of the error saw it.
    pub hop_limit: u8,
    /// What is quoted of the upper layer, from the first byte of its header; often only 8 bytes, possibly none.
    pub payload: &'a [u8],
}

impl<'a> Quoted<'a> {
    /// Reads a quoted packet of either version.
    ///
    /// # Errors
    /// [`Error::Truncated`] (not even the IP headers are whole), [`Error::BadVersion`], [`Error::BadLength`] (IPv4 header
    /// shorter than 20 bytes), [`Error::BadField`] (a fragment other than the first: it has no upper-layer header),
    /// [`Error::TooManyHeaders`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        match bytes.first().map(|b| b >> 4) {
            Some(4) => Self::parse_v4(bytes),
            Some(6) => Self::parse_v6(bytes),
            Some(_) => Err(Error::BadVersion),
            None => Err(Error::Truncated),
        }
    }

    fn parse_v4(bytes: &'a [u8]) -> Result<Self, Error> {
        let h = bytes.first_chunk::<IPV4_HEADER_LEN>().ok_or(Error::Truncated)?;
        let header_len = usize::from(h[0] & 0x0f) * 4;
        if header_len < IPV4_HEADER_LEN {
            return Err(Error::BadLength);
        }
        if u16::from_be_bytes([h[6], h[7]]) & 0x1fff != 0 {
            return Err(Error::BadField);
        }
        Ok(Self {
            src: IpAddr::V4(Ipv4Addr::new(h[12], h[13], h[14], h[15])),
            dst: IpAddr::V4(Ipv4Addr::new(h[16], h[17], h[18], h[19])),
            protocol: Protocol(h[9]),
            hop_limit: h[8],
            payload: bytes.get(header_len..).ok_or(Error::Truncated)?,
        })
    }

    fn parse_v6(bytes: &'a [u8]) -> Result<Self, Error> {
        let (h, mut rest) = bytes.split_first_chunk::<IPV6_HEADER_LEN>().ok_or(Error::Truncated)?;
        let mut next = h[6];
        for _ in 0..=MAX_HEADERS {
            let len = match next {
                // Hop-by-hop, routing and destination options.
                0 | 43 | 60 => (usize::from(*rest.get(1).ok_or(Error::Truncated)?) + 1) * 8,
                44 => {
                    let h = rest.first_chunk::<8>().ok_or(Error::Truncated)?;
                    if u16::from_be_bytes([h[2], h[3]]) & 0xfff8 != 0 {
                        return Err(Error::BadField);
                    }
                    8
                }
                _ => {
                    let addr = |at: usize| {
                        let mut octets = [0; 16];
                        octets.copy_from_slice(&h[at..at + 16]);
                        IpAddr::V6(Ipv6Addr::from(octets))
                    };
                    return Ok(Self {
                        src: addr(8),
                        dst: addr(24),
                        protocol: Protocol(next),
                        hop_limit: h[7],
                        payload: rest,
                    });
                }
            };
            next = *rest.first().ok_or(Error::Truncated)?;
            rest = rest.get(len..).ok_or(Error::Truncated)?;
        }
        Err(Error::TooManyHeaders)
    }

    /// Source and destination port of a quoted TCP segment or UDP datagram, of which there must be eight bytes: so much every
    /// error quotes (RFC 792, RFC 1122 §3.2.2).
    pub fn ports(&self) -> Option<(u16, u16)> {
        match (self.protocol, self.payload) {
            (Protocol::TCP | Protocol::UDP, &[a, b, c, d, _, _, _, _, ..]) => {
                Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
            }
            _ => None,
        }
    }

    /// Sequence number of a quoted TCP segment, which must lie in what is in flight (RFC 5927 §4.1).
    pub fn tcp_seq(&self) -> Option<SeqNumber> {
        match (self.protocol, self.payload) {
            (Protocol::TCP, &[_, _, _, _, a, b, c, d, ..]) => {
                Some(SeqNumber(u32::from_be_bytes([a, b, c, d])))
            }
            _ => None,
        }
    }

    /// Identifier and sequence number of a quoted echo request.
    pub fn echo(&self) -> Option<(u16, u16)> {
        match (self.protocol, self.payload) {
            (Protocol::ICMP, &[8, 0, _, _, a, b, c, d, ..])
            | (Protocol::ICMPV6, &[128, 0, _, _, a, b, c, d, ..]) => {
                Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
            }
            _ => None,
        }
    }

    /// Whether the quoted packet is itself an ICMP error, to which no error may answer (RFC 1122 §3.2.2, RFC 4443
    /// §2.4 e). Of an ICMP message whose type was cut off the answer is yes.
    pub fn is_icmp_error(&self) -> bool {
        match self.protocol {
            Protocol::ICMP => crate::icmpv4::is_error(self.payload.first().copied().unwrap_or(3)),
            Protocol::ICMPV6 => crate::icmpv6::is_error(self.payload.first().copied().unwrap_or(1)),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
