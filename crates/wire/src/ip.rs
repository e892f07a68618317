//! IPv4 (RFC 791) and IPv6 (RFC 8200) headers behind one pair of types: [`Packet`] is what came in, [`Repr`] what goes
//! out.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::extension::{self, Chain};
use crate::{Error, checksum};

/// An upper-layer protocol number, as IANA assigns them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Protocol(pub u8);

impl Protocol {
    /// ICMP for IPv4.
    pub const ICMP: Self = Self(1);
    /// IGMP.
    pub const IGMP: Self = Self(2);
    /// TCP.
    pub const TCP: Self = Self(6);
    /// UDP.
    pub const UDP: Self = Self(17);
    /// ICMP for IPv6.
    pub const ICMPV6: Self = Self(58);
    /// IPv6's "no next header": nothing follows (RFC 8200 §4.7).
    pub const NONE: Self = Self(59);
}

/// Length of an IPv4 header without options, bytes.
pub const IPV4_HEADER_LEN: usize = 20;
/// Length of an IPv6 header, bytes.
pub const IPV6_HEADER_LEN: usize = 40;

/// Length of the longest packet, bytes; a jumbogram (RFC 2675) is not spoken here.
pub const MAX_PACKET_LEN: usize = 65_535;

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
    /// The packet carries a Router Alert option (RFC 2113, RFC 2711), as IGMP and MLD must.
    pub router_alert: bool,
    /// Where the byte lies that named [`protocol`](Self::protocol), bytes from the start of the packet: what a Parameter
    /// Problem about an unknown protocol points at.
    pub next_header_offset: usize,
    /// Where the upper-layer data begins, bytes from the start of the packet.
    pub payload_offset: usize,
    /// Length of the upper-layer data, bytes; what the frame carries past it is padding.
    pub payload_len: usize,
}

impl Packet {
    /// Validates an IP packet of either version.
    ///
    /// # Errors
    /// [`Error::Truncated`], [`Error::BadVersion`], [`Error::BadLength`], [`Error::BadChecksum`] (IPv4 header),
    /// [`Error::SourceRoute`], [`Error::UnknownOption`], [`Error::TooManyHeaders`], [`Error::ParameterProblem`].
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
        let router_alert = match &bytes[IPV4_HEADER_LEN..header_len] {
            [] => false,
            options => options_v4(options)?,
        };
        let flags = u16::from_be_bytes([h[6], h[7]]);
        let (offset, more) = ((flags & 0x1fff) * 8, flags & 0x2000 != 0);
        let payload_len = total_len - header_len;
        // RFC 791 §3.2: fragments are cut at multiples of 8, and no datagram is longer than its length field can say.
        if more && (payload_len == 0 || !payload_len.is_multiple_of(8))
            || header_len + usize::from(offset) + payload_len > MAX_PACKET_LEN
        {
            return Err(Error::BadLength);
        }
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
            router_alert,
            next_header_offset: 9,
            payload_offset: header_len,
            payload_len,
        })
    }

    fn parse_v6(bytes: &[u8]) -> Result<Self, Error> {
        let Some(h) = bytes.first_chunk::<IPV6_HEADER_LEN>() else { return Err(Error::Truncated) };
        let end = IPV6_HEADER_LEN + usize::from(u16::from_be_bytes([h[4], h[5]]));
        let Some(packet) = bytes.get(..end) else { return Err(Error::Truncated) };
        let chain = match Protocol(h[6]) {
            next @ (Protocol::TCP | Protocol::UDP | Protocol::ICMPV6) => Chain::none(next),
            _ => extension::walk(packet)?,
        };
        let addr = |at: usize| {
            let mut octets = [0; 16];
            octets.copy_from_slice(&h[at..at + 16]);
            IpAddr::V6(Ipv6Addr::from(octets))
        };
        Ok(Self {
            src: addr(8),
            dst: addr(24),
            protocol: chain.protocol,
            hop_limit: h[7],
            traffic_class: (h[0] << 4) | (h[1] >> 4),
            dont_fragment: true,
            fragment: chain.fragment,
            router_alert: chain.router_alert,
            next_header_offset: chain.next_header_offset,
            payload_offset: chain.payload_offset,
            payload_len: end - chain.payload_offset,
        })
    }

    /// Length of the header that a datagram reassembled from fragments has, when its first fragment is this one, bytes:
    /// what [`emit_reassembled_header`](Self::emit_reassembled_header) writes.
    pub fn reassembled_header_len(&self) -> usize {
        match self.src {
            IpAddr::V4(_) => self.payload_offset,
            // RFC 8200 §4.5: the fragment header itself is not part of the original packet.
            IpAddr::V6(_) if self.fragment.is_some() => {
                self.payload_offset - extension::FRAGMENT_HEADER_LEN
            }
            IpAddr::V6(_) => self.payload_offset,
        }
    }

    /// Writes the header of a datagram reassembled from fragments, from the first of them: `first` is the packet this
    /// was parsed from, `payload_len` the length of the reassembled data, bytes. `buf` must have
    /// [`reassembled_header_len`](Self::reassembled_header_len) bytes. What comes out, followed by the data, is parsed
    /// again: headers that lay in the fragments' data are looked at only then.
    ///
    /// # Errors
    /// [`Error::BadLength`] when the datagram would exceed the 65,535 bytes its length field can say, or when `first` or
    /// `buf` is too short.
    pub fn emit_reassembled_header(
        &self,
        first: &[u8],
        payload_len: usize,
        buf: &mut [u8],
    ) -> Result<(), Error> {
        let len = self.reassembled_header_len();
        let header = first.get(..len).ok_or(Error::BadLength)?;
        let buf = buf.get_mut(..len).ok_or(Error::BadLength)?;
        buf.copy_from_slice(header);
        match self.src {
            IpAddr::V4(_) => {
                let total_len = u16::try_from(len + payload_len).map_err(|_| Error::BadLength)?;
                buf[2..4].copy_from_slice(&total_len.to_be_bytes());
                buf[6..8].fill(0);
                fill_checksum_v4(buf);
            }
            IpAddr::V6(_) => {
                let payload_len = u16::try_from(len - IPV6_HEADER_LEN + payload_len)
                    .map_err(|_| Error::BadLength)?;
                buf[4..6].copy_from_slice(&payload_len.to_be_bytes());
                if self.fragment.is_some() {
                    extension::replace_last_next_header(buf, self.protocol)?;
                }
            }
        }
        Ok(())
    }
}

/// Looks at IPv4's options: whether a Router Alert is among them. Unknown ones are ignored (RFC 1122 §3.2.1.8).
fn options_v4(options: &[u8]) -> Result<bool, Error> {
    let problem = |at: usize| Error::ParameterProblem {
        code: 0,
        pointer: (IPV4_HEADER_LEN + at) as u16,
        even_if_multicast: false,
    };
    let mut router_alert = false;
    let mut at = 0;
    while let Some(&kind) = options.get(at) {
        match kind {
            0 => break,
            1 => {
                at += 1;
                continue;
            }
            // Loose and strict source route (RFC 791 §3.1): RFC 7126 §4.3 and §4.4 have them dropped, where RFC 9293
            // §3.9.2.1 would have them answered (MUST-53).
            131 | 137 => return Err(Error::SourceRoute),
            148 => router_alert = true,
            // RFC 9293 §3.9.2 MUST-50.
            _ => {}
        }
        // RFC 1122 §3.2.2.5: the sender of a header that cannot be read is told which byte is at fault.
        let len = usize::from(*options.get(at + 1).ok_or_else(|| problem(at))?);
        if len < 2 || len > options.len() - at {
            return Err(problem(at + 1));
        }
        at += len;
    }
    Ok(router_alert)
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
    /// Length of the upper-layer data, bytes. Over IPv4 it may be more than a packet has room for when the device cuts the
    /// packet: the header then says 0.
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

    /// Length of the header [`emit_with_router_alert`](Self::emit_with_router_alert) writes, bytes: 24 or 48.
    pub fn router_alert_header_len(&self) -> usize {
        match self.dst {
            IpAddr::V4(_) => IPV4_HEADER_LEN + 4,
            IpAddr::V6(_) => IPV6_HEADER_LEN + 8,
        }
    }

    /// Writes the header with a Router Alert (RFC 2113; RFC 2711 in a hop-by-hop header), as IGMP and MLD need it. `buf`
    /// must have [`router_alert_header_len`](Self::router_alert_header_len) bytes.
    pub fn emit_with_router_alert(&self, buf: &mut [u8]) {
        match self.dst {
            IpAddr::V4(_) => {
                self.emit(buf);
                buf[0] = 0x46;
                let total_len = (IPV4_HEADER_LEN + 4 + self.payload_len) as u16;
                buf[2..4].copy_from_slice(&total_len.to_be_bytes());
                buf[20..24].copy_from_slice(&[148, 4, 0, 0]);
                fill_checksum_v4(&mut buf[..24]);
            }
            IpAddr::V6(_) => {
                let protocol = Protocol(extension::HOP_BY_HOP);
                Self { protocol, payload_len: self.payload_len + 8, ..*self }.emit(buf);
                // The option's value 0 is "MLD"; a PadN of no data fills up.
                buf[40..48].copy_from_slice(&[self.protocol.0, 0, 5, 2, 0, 0, 1, 0]);
            }
        }
    }

    /// Length of the header [`emit_fragment`](Self::emit_fragment) writes, bytes: 20 or 48.
    pub fn fragment_header_len(&self) -> usize {
        match self.dst {
            IpAddr::V4(_) => IPV4_HEADER_LEN,
            IpAddr::V6(_) => IPV6_HEADER_LEN + extension::FRAGMENT_HEADER_LEN,
        }
    }

    /// Writes the header of one fragment of the datagram this describes, whose data is `len` bytes of the datagram's.
    /// [`ident`](Self::ident) and [`dont_fragment`](Self::dont_fragment) are not looked at: the fragment has its own.
    /// `buf` must have [`fragment_header_len`](Self::fragment_header_len) bytes.
    pub fn emit_fragment(&self, fragment: Fragment, len: usize, buf: &mut [u8]) {
        debug_assert!(fragment.offset.is_multiple_of(8));
        match self.dst {
            IpAddr::V4(_) => {
                let ident = fragment.ident as u16;
                Self { ident, dont_fragment: false, payload_len: len, ..*self }.emit(buf);
                let field = (fragment.offset / 8) | (u16::from(fragment.more) << 13);
                buf[6..8].copy_from_slice(&field.to_be_bytes());
                fill_checksum_v4(&mut buf[..IPV4_HEADER_LEN]);
            }
            IpAddr::V6(_) => {
                let protocol = Protocol(extension::FRAGMENT);
                let payload_len = extension::FRAGMENT_HEADER_LEN + len;
                Self { protocol, payload_len, ..*self }.emit(buf);
                let field = (fragment.offset & 0xfff8) | u16::from(fragment.more);
                buf[40..42].copy_from_slice(&[self.protocol.0, 0]);
                buf[42..44].copy_from_slice(&field.to_be_bytes());
                buf[44..48].copy_from_slice(&fragment.ident.to_be_bytes());
            }
        }
    }

    /// How the datagram this describes is cut for a link of `mtu` bytes: each fragment's place and length, in order.
    /// [`None`] when the link is too short for a fragment of 8 bytes, or the datagram too long for one.
    pub fn fragments(
        &self,
        mtu: usize,
        ident: u32,
    ) -> Option<impl Iterator<Item = (Fragment, usize)> + use<>> {
        let total = self.payload_len;
        let step = mtu.checked_sub(self.fragment_header_len())? & !7;
        // IPv4's length field counts the header, IPv6's does not.
        let counted = if self.dst.is_ipv4() { IPV4_HEADER_LEN + total } else { total };
        if step == 0 || counted > MAX_PACKET_LEN {
            return None;
        }
        Some((0..total).step_by(step).map(move |at| {
            let len = step.min(total - at);
            (Fragment { ident, offset: at as u16, more: at + len < total }, len)
        }))
    }

    /// Writes the header, with the IPv4 checksum. `buf` must have [`header_len`](Self::header_len) bytes.
    pub fn emit(&self, buf: &mut [u8]) {
        match (self.src, self.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let buf = &mut buf[..IPV4_HEADER_LEN];
                buf[0] = 0x45;
                buf[1] = self.traffic_class;
                // 0 where it does not fit: for a device that counts for itself, which cuts it (Linux's BIG TCP).
                let total_len = u16::try_from(IPV4_HEADER_LEN + self.payload_len).unwrap_or(0);
                buf[2..4].copy_from_slice(&total_len.to_be_bytes());
                buf[4..6].copy_from_slice(&self.ident.to_be_bytes());
                let flags: u16 = if self.dont_fragment { 0x4000 } else { 0 };
                buf[6..8].copy_from_slice(&flags.to_be_bytes());
                buf[8] = self.hop_limit;
                buf[9] = self.protocol.0;
                buf[12..16].copy_from_slice(&src.octets());
                buf[16..20].copy_from_slice(&dst.octets());
                fill_checksum_v4(buf);
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

/// Source and destination of a packet whose header was made or checked before.
pub fn addresses_of(packet: &[u8]) -> Option<(IpAddr, IpAddr)> {
    fn octets<const N: usize>(packet: &[u8], at: usize) -> Option<[u8; N]> {
        packet.get(at..at + N)?.try_into().ok()
    }
    match packet.first()? >> 4 {
        4 => Some((
            IpAddr::V4(octets::<4>(packet, 12)?.into()),
            IpAddr::V4(octets::<4>(packet, 16)?.into()),
        )),
        6 => Some((
            IpAddr::V6(octets::<16>(packet, 8)?.into()),
            IpAddr::V6(octets::<16>(packet, 24)?.into()),
        )),
        _ => None,
    }
}

/// Says in a packet's IP header how long the packet is, and fills in IPv4's checksum; `header_len` is the length of that header,
/// bytes.
///
/// # Panics
/// When `packet` is shorter than such a header.
pub fn fill_len(packet: &mut [u8], header_len: usize) {
    let len = packet.len();
    if packet[0] >> 4 == 6 {
        packet[4..6].copy_from_slice(&((len - IPV6_HEADER_LEN) as u16).to_be_bytes());
    } else {
        packet[2..4].copy_from_slice(&(len as u16).to_be_bytes());
        fill_checksum_v4(&mut packet[..header_len]);
    }
}

/// Fills in an IPv4 header's checksum (RFC 791 §3.1); `header` is the header alone, with its options, 20 to 60 bytes.
///
/// # Panics
/// When it is shorter than 12 bytes.
pub fn fill_checksum_v4(header: &mut [u8]) {
    header[10..12].fill(0);
    let sum = checksum::checksum(header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
}

#[cfg(test)]
mod tests;
