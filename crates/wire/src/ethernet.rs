//! Ethernet II frames (RFC 894, RFC 2464) and the addresses on them.

use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};

use crate::Error;

/// Length of the header, bytes.
pub const HEADER_LEN: usize = 14;
/// Length of an 802.1Q tag, bytes.
const TAG_LEN: usize = 4;

/// A hardware address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// Every station on the link.
    pub const BROADCAST: Self = Self([0xff; 6]);
    /// No address: what ARP requests carry in place of the one they ask for.
    pub const ZERO: Self = Self([0; 6]);

    /// Whether this is a group address, broadcast included.
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Whether this is the broadcast address.
    pub fn is_broadcast(self) -> bool {
        self == Self::BROADCAST
    }

    /// Whether one station can have this address: no group, not all zeros.
    pub fn is_unicast(self) -> bool {
        !self.is_multicast() && self != Self::ZERO
    }

    /// The group address that carries an IPv4 multicast group (RFC 1112 §6.4).
    pub const fn multicast_v4(group: Ipv4Addr) -> Self {
        let [_, b, c, d] = group.octets();
        Self([0x01, 0x00, 0x5e, b & 0x7f, c, d])
    }

    /// The group address that carries an IPv6 multicast group (RFC 2464 §7).
    pub const fn multicast_v6(group: Ipv6Addr) -> Self {
        let [.., a, b, c, d] = group.octets();
        Self([0x33, 0x33, a, b, c, d])
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            write!(f, "{}{byte:02x}", if i == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EtherType(pub u16);

impl EtherType {
    /// IPv4.
    pub const IPV4: Self = Self(0x0800);
    /// ARP.
    pub const ARP: Self = Self(0x0806);
    /// IPv6.
    pub const IPV6: Self = Self(0x86dd);
    /// An 802.1Q tag.
    pub const VLAN: Self = Self(0x8100);
}

/// A validated frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repr {
    /// Destination: one station or a group.
    pub dst: MacAddr,
    /// Source: always one station.
    pub src: MacAddr,
    /// What the frame carries.
    pub ethertype: EtherType,
}

impl Repr {
    /// Validates a frame without its check sequence. Returns the header and where the data begins, bytes. A tag of VLAN 0
    /// gives only a priority (802.1Q §9.6) and is skipped; one of another VLAN is reported as [`EtherType::VLAN`].
    ///
    /// # Errors
    /// [`Error::Truncated`], [`Error::BadField`] (a group as source; an 802.3 length in place of a type).
    pub fn parse(bytes: &[u8]) -> Result<(Self, usize), Error> {
        let Some(h) = bytes.first_chunk::<HEADER_LEN>() else { return Err(Error::Truncated) };
        let mut ethertype = EtherType(u16::from_be_bytes([h[12], h[13]]));
        let mut offset = HEADER_LEN;
        if ethertype == EtherType::VLAN {
            let Some(&[tag_high, tag_low, high, low]) =
                bytes[HEADER_LEN..].first_chunk::<TAG_LEN>()
            else {
                return Err(Error::Truncated);
            };
            if (tag_high & 0x0f, tag_low) == (0, 0) {
                ethertype = EtherType(u16::from_be_bytes([high, low]));
                offset += TAG_LEN;
            }
        }
        let src = MacAddr([h[6], h[7], h[8], h[9], h[10], h[11]]);
        if src.is_multicast() || ethertype.0 < 0x0600 {
            return Err(Error::BadField);
        }
        let dst = MacAddr([h[0], h[1], h[2], h[3], h[4], h[5]]);
        Ok((Self { dst, src, ethertype }, offset))
    }

    /// As [`parse`](Self::parse) for who passes frames on or shows them and so takes them of every VLAN: a tag is skipped
    /// whichever it names.
    ///
    /// # Errors
    /// As those of `parse`.
    pub fn parse_any_vlan(bytes: &[u8]) -> Result<(Self, usize), Error> {
        let (header, offset) = Self::parse(bytes)?;
        if header.ethertype != EtherType::VLAN {
            return Ok((header, offset));
        }
        match bytes[offset..] {
            [_, _, high, low, ..] => {
                let ethertype = EtherType(u16::from_be_bytes([high, low]));
                Ok((Self { ethertype, ..header }, offset + TAG_LEN))
            }
            _ => Err(Error::Truncated),
        }
    }

    /// Writes the header. `buf` must have [`HEADER_LEN`] bytes.
    pub fn emit(&self, buf: &mut [u8]) {
        buf[0..6].copy_from_slice(&self.dst.0);
        buf[6..12].copy_from_slice(&self.src.0);
        buf[12..14].copy_from_slice(&self.ethertype.0.to_be_bytes());
    }
}

#[cfg(test)]
mod tests;
