//! IPv4 (RFC 791) and IPv6 (RFC 8200) headers behind one pair of types: [`Packet`] is what came in, [`Repr`] what goes
//! out.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{Error, checksum};

/// An upper-layer protocol number, as IANA assigns them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Protocol(pub u8);

impl Protocol {
    /// ICMP for IPv4.
    pub const ICMP: Self = Self(1);
    /// TCP.
    pub const TCP: Self = Self(6);
    /// UDP.
    pub const UDP: Self = Self(17);
    /// ICMP for IPv6.
    pub const ICMPV6: Self = Self(58);
}

/// Length of an IPv4 header without options, bytes.
pub const IPV4_HEADER_LEN: usize = 20;
/// Length of an IPv6 header, bytes.
pub const IPV6_HEADER_LEN: usize = 40;

/// A fragment's place in its datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Identification: 16 bits in IPv4, 32 in IPv6.
    pub ident: u32,
    /// Offset of this piece, bytes.
    pub offset: u16,
    /// Whether more pieces follow.
    pub more: bool,
}

/// A validated IP packet: the fields of its header and where its upper-layer data lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Source address.
    pub src: IpAddr,
    /// Destination address, of the same family.
    pub dst: IpAddr,
    /// The upper-layer protocol, after any extension headers.
    pub protocol: Protocol,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// TOS or traffic class: DSCP in the upper six bits, ECN in the lower two.
    pub traffic_class: u8,
    /// Don't Fragment; always true for IPv6.
    pub dont_fragment: bool,
    /// Set on a fragment that is not a whole datagram.
    pub fragment: Option<Fragment>,
    /// Where the upper-layer data begins, bytes from the start of the packet.
    pub payload_offset: usize,
    /// Length of the upper-layer data, bytes; what the frame carries past it is padding.
    pub payload_len: usize,
}

impl Packet {
    /// Validates an IP packet of either version.
    ///
    /// # Errors
    /// [`Error::Truncated`], [`Error::BadVersion`], [`Error::BadLength`], [`Error::BadChecksum`] (IPv4 header).
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        match bytes.first().map(|b| b >> 4) {
            Some(4) => Self::parse_v4(bytes),
            Some(6) => Self::parse_v6(bytes),
            Some(_) => Err(Error::BadVersion),
            None => Err(Error::Truncated),
        }
    }

    fn parse_v4(bytes: &[u8]) -> Result<Self, Error> {
        let Some(h) = bytes.first_chunk::<IPV4_HEADER_LEN>() else { return Err(Error::Truncated) };
        let header_len = usize::from(h[0] & 0x0f) * 4;
        let total_len = usize::from(u16::from_be_bytes([h[2], h[3]]));
        if header_len < IPV4_HEADER_LEN || total_len < header_len {
            return Err(Error::BadLength);
        }
        if total_len > bytes.len() {
            return Err(Error::Truncated);
        }
        if checksum::checksum(&bytes[..header_len]) != 0 {
            return Err(Error::BadChecksum);
        }
        let flags = u16::from_be_bytes([h[6], h[7]]);
        let (offset, more) = ((flags & 0x1fff) * 8, flags & 0x2000 != 0);
        Ok(Self {
            src: IpAddr::V4(Ipv4Addr::new(h[12], h[13], h[14], h[15])),
            dst: IpAddr::V4(Ipv4Addr::new(h[16], h[17], h[18], h[19])),
            protocol: Protocol(h[9]),
            hop_limit: h[8],
            traffic_class: h[1],
            dont_fragment: flags & 0x4000 != 0,
            fragment: (offset != 0 || more).then(|| Fragment {
                ident: u32::from(u16::from_be_bytes([h[4], h[5]])),
                offset,
                more,
            }),
            payload_offset: header_len,
            payload_len: total_len - header_len,
        })
    }

    fn parse_v6(bytes: &[u8]) -> Result<Self, Error> {
        let Some(h) = bytes.first_chunk::<IPV6_HEADER_LEN>() else { return Err(Error::Truncated) };
        let payload_len = usize::from(u16::from_be_bytes([h[4], h[5]]));
        if IPV6_HEADER_LEN + payload_len > bytes.len() {
            return Err(Error::Truncated);
        }
        let addr = |at: usize| {
            let mut octets = [0; 16];
            octets.copy_from_slice(&h[at..at + 16]);
            IpAddr::V6(Ipv6Addr::from(octets))
        };
        Ok(Self {
            src: addr(8),
            dst: addr(24),
            protocol: Protocol(h[6]),
            hop_limit: h[7],
            traffic_class: (h[0] << 4) | (h[1] >> 4),
            dont_fragment: true,
            fragment: None,
            payload_offset: IPV6_HEADER_LEN,
            payload_len,
        })
    }
}

/// An IP header to write: no options, no extension headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repr {
    /// Source address.
    pub src: IpAddr,
    /// Destination address, of the same family.
    pub dst: IpAddr,
    /// Upper-layer protocol.
    pub protocol: Protocol,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// TOS or traffic class.
    pub traffic_class: u8,
    /// IPv4 identification; 0 is right for what may not be fragmented (RFC 6864 §4.1).
    pub ident: u16,
    /// IPv4 Don't Fragment.
    pub dont_fragment: bool,
    /// Flow label of IPv6, 20 bits (RFC 6437).
    pub flow_label: u32,
    /// Length of the upper-layer data, bytes.
    pub payload_len: usize,
}

impl Repr {
    /// Length of the header, bytes: 20 or 40.
    pub fn header_len(&self) -> usize {
        match self.dst {
            IpAddr::V4(_) => IPV4_HEADER_LEN,
            IpAddr::V6(_) => IPV6_HEADER_LEN,
        }
    }

    /// Writes the header, with the IPv4 checksum. `buf` must have [`header_len`](Self::header_len) bytes.
    pub fn emit(&self, buf: &mut [u8]) {
        match (self.src, self.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let buf = &mut buf[..IPV4_HEADER_LEN];
                buf[0] = 0x45;
                buf[1] = self.traffic_class;
                let total_len = (IPV4_HEADER_LEN + self.payload_len) as u16;
                buf[2..4].copy_from_slice(&total_len.to_be_bytes());
                buf[4..6].copy_from_slice(&self.ident.to_be_bytes());
                let flags: u16 = if self.dont_fragment { 0x4000 } else { 0 };
                buf[6..8].copy_from_slice(&flags.to_be_bytes());
                buf[8] = self.hop_limit;
                buf[9] = self.protocol.0;
                buf[10..12].fill(0);
                buf[12..16].copy_from_slice(&src.octets());
                buf[16..20].copy_from_slice(&dst.octets());
                let sum = checksum::checksum(buf);
                buf[10..12].copy_from_slice(&sum.to_be_bytes());
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let word =
                    6 << 28 | u32::from(self.traffic_class) << 20 | (self.flow_label & 0x000f_ffff);
                buf[0..4].copy_from_slice(&word.to_be_bytes());
                buf[4..6].copy_from_slice(&(self.payload_len as u16).to_be_bytes());
                buf[6] = self.protocol.0;
                buf[7] = self.hop_limit;
                buf[8..24].copy_from_slice(&src.octets());
                buf[24..40].copy_from_slice(&dst.octets());
            }
            _ => unreachable!("source and destination are of one family"),
        }
    }
}
