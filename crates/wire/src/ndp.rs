//! Neighbour discovery (RFC 4861) with the options of RFC 3971 (nonce) and RFC 8106 (name servers).

use core::net::{IpAddr, Ipv6Addr};

use crate::ethernet::MacAddr;
use crate::ip::Packet;
use crate::{Error, icmpv6};

/// Types of ICMPv6 messages that are neighbour discovery.
pub const KINDS: core::ops::RangeInclusive<u8> = 133..=137;
/// Options looked at in one message; one with more is dropped.
pub const MAX_OPTIONS: usize = 64;
/// The hop limit every message is sent with: none that was routed has it (RFC 4861 §3.1).
pub const HOP_LIMIT: u8 = 255;

/// A message without its options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// Type 133: routers, speak up.
    RouterSolicitation,
    /// Type 134: what a router says about itself and its link.
    RouterAdvertisement {
        /// Hop limit hosts should use; 0 says nothing.
        cur_hop_limit: u8,
        /// Flags as they stand: 0x80 managed addresses, 0x40 other configuration, 0x18 preference (RFC 4191).
        flags: u8,
        /// For how long it is a default router, s; 0: it is none.
        router_lifetime: u16,
        /// For how long a neighbour counts as reachable, ms; 0 says nothing.
        reachable_time: u32,
        /// Time between solicitations, ms; 0 says nothing.
        retrans_timer: u32,
    },
    /// Type 135: who has the target?
    NeighborSolicitation {
        /// The address in question, never multicast.
        target: Ipv6Addr,
    },
    /// Type 136: the target is here.
    NeighborAdvertisement {
        /// The address in question, never multicast.
        target: Ipv6Addr,
        /// The sender is a router.
        router: bool,
        /// An answer to a solicitation, and so a proof of reachability.
        solicited: bool,
        /// What it says replaces what was cached.
        override_: bool,
    },
    /// Type 137: there is a better first hop.
    Redirect {
        /// The better first hop; equal to `destination` when that is on the link.
        target: Ipv6Addr,
        /// The destination that is redirected, never multicast.
        destination: Ipv6Addr,
    },
}

impl Message {
    /// Validates what [`icmpv6::Repr::Other`] gave of a message with a type in [`KINDS`], by all rules of RFC 4861 §6.1,
    /// §7.1 and §8.1. `packet` is the IPv6 packet it came in.
    ///
    /// # Errors
    /// [`Error::Truncated`], [`Error::BadLength`] (an option of length 0 or past the end), [`Error::TooManyHeaders`]
    /// (more than [`MAX_OPTIONS`] options), [`Error::BadField`] (everything else: hop limit, code, addresses).
    pub fn parse<'a>(
        kind: u8,
        code: u8,
        rest: &'a [u8],
        packet: &Packet,
    ) -> Result<(Self, Options<'a>), Error> {
        let (IpAddr::V6(src), IpAddr::V6(dst)) = (packet.src, packet.dst) else {
            return Err(Error::BadField);
        };
        if packet.hop_limit != HOP_LIMIT || code != 0 {
            return Err(Error::BadField);
        }
        let fixed_len = match kind {
            133 => 4,
            134 => 12,
            135 | 136 => 20,
            137 => 36,
            _ => return Err(Error::BadField),
        };
        let (fixed, options) = rest.split_at_checked(fixed_len).ok_or(Error::Truncated)?;
        let options = Options::validate(options)?;
        let has_source = || options.into_iter().any(|o| matches!(o, NdOption::SourceMac(_)));
        let message = match kind {
            133 => {
                // RFC 4861 §6.1.1.
                if src.is_unspecified() && has_source() {
                    return Err(Error::BadField);
                }
                Self::RouterSolicitation
            }
            134 => {
                // RFC 4861 §6.1.2.
                if !src.is_unicast_link_local() {
                    return Err(Error::BadField);
                }
                Self::RouterAdvertisement {
                    cur_hop_limit: fixed[0],
                    flags: fixed[1],
                    router_lifetime: u16::from_be_bytes([fixed[2], fixed[3]]),
                    reachable_time: be32(&fixed[4..]),
                    retrans_timer: be32(&fixed[8..]),
                }
            }
            135 => {
                let target = addr(&fixed[4..]);
                // RFC 4861 §7.1.1.
                if target.is_multicast()
                    || src.is_unspecified() && (!is_solicited_node(dst) || has_source())
                {
                    return Err(Error::BadField);
                }
                Self::NeighborSolicitation { target }
            }
            136 => {
                let target = addr(&fixed[4..]);
                let solicited = fixed[0] & 0x40 != 0;
                // RFC 4861 §7.1.2.
                if target.is_multicast() || dst.is_multicast() && solicited {
                    return Err(Error::BadField);
                }
                Self::NeighborAdvertisement {
                    target,
                    router: fixed[0] & 0x80 != 0,
                    solicited,
                    override_: fixed[0] & 0x20 != 0,
                }
            }
            _ => {
                let (target, destination) = (addr(&fixed[4..]), addr(&fixed[20..]));
                // RFC 4861 §8.1. Whether it comes from the current router is for the routing table to say.
                if !src.is_unicast_link_local()
                    || destination.is_multicast()
                    || !(target == destination || target.is_unicast_link_local())
                {
                    return Err(Error::BadField);
                }
                Self::Redirect { target, destination }
            }
        };
        Ok((message, options))
    }

    /// Length of the whole ICMPv6 message with `options`, bytes.
    pub fn len(&self, options: &[NdOption<'_>]) -> usize {
        let fixed = match self {
            Self::RouterSolicitation => 8,
            Self::RouterAdvertisement { .. } => 16,
            Self::NeighborSolicitation { .. } | Self::NeighborAdvertisement { .. } => 24,
            Self::Redirect { .. } => 40,
        };
        fixed + options.iter().map(NdOption::len).sum::<usize>()
    }

    /// Writes the whole ICMPv6 message with its checksum. `buf` must have exactly [`len`](Self::len) bytes.
    pub fn emit(&self, options: &[NdOption<'_>], buf: &mut [u8], src: Ipv6Addr, dst: Ipv6Addr) {
        let mut at = self.len(&[]);
        buf[..at].fill(0);
        match *self {
            Self::RouterSolicitation => buf[0] = 133,
            Self::RouterAdvertisement {
                cur_hop_limit,
                flags,
                router_lifetime,
                reachable_time,
                retrans_timer,
            } => {
                (buf[0], buf[4], buf[5]) = (134, cur_hop_limit, flags);
                buf[6..8].copy_from_slice(&router_lifetime.to_be_bytes());
                buf[8..12].copy_from_slice(&reachable_time.to_be_bytes());
                buf[12..16].copy_from_slice(&retrans_timer.to_be_bytes());
            }
            Self::NeighborSolicitation { target } => {
                buf[0] = 135;
                buf[8..24].copy_from_slice(&target.octets());
            }
            Self::NeighborAdvertisement { target, router, solicited, override_ } => {
                buf[0] = 136;
                buf[4] =
                    u8::from(router) << 7 | u8::from(solicited) << 6 | u8::from(override_) << 5;
                buf[8..24].copy_from_slice(&target.octets());
            }
            Self::Redirect { target, destination } => {
                buf[0] = 137;
                buf[8..24].copy_from_slice(&target.octets());
                buf[24..40].copy_from_slice(&destination.octets());
            }
        }
        for option in options {
            option.emit(&mut buf[at..at + option.len()]);
            at += option.len();
        }
        icmpv6::fill_checksum(&mut buf[..at], src, dst);
    }
}

/// A prefix of the link (RFC 4861 §4.6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// The prefix; bits past `len` are as received and mean nothing.
    pub addr: Ipv6Addr,
    /// Length, bits, at most 128.
    pub len: u8,
    /// L: its addresses are on the link.
    pub on_link: bool,
    /// A: hosts may form addresses in it.
    pub autonomous: bool,
    /// For how long it is on the link, s; all ones: for ever.
    pub valid_lifetime: u32,
    /// For how long addresses in it are preferred, s; all ones: for ever.
    pub preferred_lifetime: u32,
}

/// An option of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NdOption<'a> {
    /// Type 1: the sender's hardware address, never a group.
    SourceMac(MacAddr),
    /// Type 2: the target's hardware address, never a group.
    TargetMac(MacAddr),
    /// Type 3.
    Prefix(Prefix),
    /// Type 4: the packet that was redirected, cut or padded to a multiple of 8 bytes.
    Redirected(&'a [u8]),
    /// Type 5: MTU of the link, bytes.
    Mtu(u32),
    /// Type 14: tells our own solicitation, looped back, from another's (RFC 7527).
    Nonce([u8; 6]),
    /// Type 25: recursive name servers (RFC 8106 §5.1).
    NameServers {
        /// For how long they may be used, s; all ones: for ever.
        lifetime: u32,
        /// 16 bytes each, for [`addresses`](Self::addresses).
        servers: &'a [u8],
    },
    /// Any other type, or a known one with a length or value it cannot have. To be ignored (RFC 4861 §4.6).
    Unknown {
        /// Type.
        kind: u8,
        /// Everything after type and length.
        body: &'a [u8],
    },
}

impl<'a> NdOption<'a> {
    fn parse(kind: u8, body: &'a [u8]) -> Self {
        let unknown = Self::Unknown { kind, body };
        let six: Option<[u8; 6]> = body.try_into().ok();
        match (kind, body, six) {
            (1 | 2, _, Some(octets)) => {
                let mac = MacAddr(octets);
                match kind {
                    _ if !mac.is_unicast() => unknown,
                    1 => Self::SourceMac(mac),
                    _ => Self::TargetMac(mac),
                }
            }
            (3, _, _) if body.len() == 30 && body[0] <= 128 => Self::Prefix(Prefix {
                len: body[0],
                on_link: body[1] & 0x80 != 0,
                autonomous: body[1] & 0x40 != 0,
                valid_lifetime: be32(&body[2..]),
                preferred_lifetime: be32(&body[6..]),
                addr: addr(&body[14..]),
            }),
            (4, [_, _, _, _, _, _, packet @ ..], _) => Self::Redirected(packet),
            (5, &[_, _, a, b, c, d], _) => Self::Mtu(u32::from_be_bytes([a, b, c, d])),
            (14, _, Some(nonce)) => Self::Nonce(nonce),
            (25, &[_, _, a, b, c, d, ref servers @ ..], _)
                if !servers.is_empty() && servers.len().is_multiple_of(16) =>
            {
                Self::NameServers { lifetime: u32::from_be_bytes([a, b, c, d]), servers }
            }
            _ => unknown,
        }
    }

    /// The addresses of [`NameServers`](Self::NameServers); none of any other.
    pub fn addresses(&self) -> impl Iterator<Item = Ipv6Addr> + use<'a> {
        let servers = match *self {
            Self::NameServers { servers, .. } => servers,
            _ => &[],
        };
        servers.as_chunks::<16>().0.iter().map(|octets| Ipv6Addr::from(*octets))
    }

    /// Length, bytes; a multiple of 8.
    #[expect(clippy::len_without_is_empty, reason = "an option is never empty")]
    pub fn len(&self) -> usize {
        match self {
            Self::SourceMac(_) | Self::TargetMac(_) | Self::Mtu(_) | Self::Nonce(_) => 8,
            Self::Prefix(_) => 32,
            Self::Redirected(packet) => 8 + packet.len().next_multiple_of(8),
            Self::NameServers { servers, .. } => 8 + servers.len(),
            Self::Unknown { body, .. } => (2 + body.len()).next_multiple_of(8),
        }
    }

    fn emit(&self, buf: &mut [u8]) {
        buf.fill(0);
        buf[1] = (buf.len() / 8) as u8;
        buf[0] = match *self {
            Self::SourceMac(mac) | Self::TargetMac(mac) => {
                buf[2..8].copy_from_slice(&mac.0);
                if matches!(self, Self::SourceMac(_)) { 1 } else { 2 }
            }
            Self::Prefix(prefix) => {
                buf[2] = prefix.len;
                buf[3] = u8::from(prefix.on_link) << 7 | u8::from(prefix.autonomous) << 6;
                buf[4..8].copy_from_slice(&prefix.valid_lifetime.to_be_bytes());
                buf[8..12].copy_from_slice(&prefix.preferred_lifetime.to_be_bytes());
                buf[16..32].copy_from_slice(&prefix.addr.octets());
                3
            }
            Self::Redirected(packet) => {
                buf[8..8 + packet.len()].copy_from_slice(packet);
                4
            }
            Self::Mtu(mtu) => {
                buf[4..8].copy_from_slice(&mtu.to_be_bytes());
                5
            }
            Self::Nonce(nonce) => {
                buf[2..8].copy_from_slice(&nonce);
                14
            }
            Self::NameServers { lifetime, servers } => {
                buf[4..8].copy_from_slice(&lifetime.to_be_bytes());
                buf[8..].copy_from_slice(servers);
                25
            }
            Self::Unknown { kind, body } => {
                buf[2..2 + body.len()].copy_from_slice(body);
                kind
            }
        };
    }
}

/// The options of a received message, whose lengths were validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options<'a>(&'a [u8]);

impl<'a> Options<'a> {
    fn validate(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut rest = bytes;
        for _ in 0..=MAX_OPTIONS {
            match rest {
                [] => return Ok(Self(bytes)),
                // RFC 4861 §4.6: a message with an option of length zero is discarded.
                [_, 0, ..] => return Err(Error::BadLength),
                [_, len, ..] => {
                    rest = rest.get(usize::from(*len) * 8..).ok_or(Error::BadLength)?;
                }
                [_] => return Err(Error::BadLength),
            }
        }
        Err(Error::TooManyHeaders)
    }
}

impl<'a> IntoIterator for Options<'a> {
    type Item = NdOption<'a>;
    type IntoIter = OptionsIter<'a>;

    fn into_iter(self) -> OptionsIter<'a> {
        OptionsIter(self.0)
    }
}

/// Iterator over [`Options`], at most [`MAX_OPTIONS`].
#[derive(Clone, Debug)]
pub struct OptionsIter<'a>(&'a [u8]);

impl<'a> Iterator for OptionsIter<'a> {
    type Item = NdOption<'a>;

    fn next(&mut self) -> Option<NdOption<'a>> {
        let [kind, len, ..] = *self.0 else { return None };
        let (option, rest) = self.0.split_at_checked(usize::from(len) * 8)?;
        self.0 = rest;
        Some(NdOption::parse(kind, option.get(2..)?))
    }
}

/// The solicited-node multicast address of `addr` (RFC 4291 §2.7.1).
pub fn solicited_node(addr: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = addr.octets();
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

/// Whether `addr` is the solicited-node multicast address of some address.
pub fn is_solicited_node(addr: Ipv6Addr) -> bool {
    addr == solicited_node(addr)
}

fn addr(bytes: &[u8]) -> Ipv6Addr {
    let mut octets = [0; 16];
    octets.copy_from_slice(&bytes[..16]);
    Ipv6Addr::from(octets)
}

fn be32(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

#[cfg(test)]
mod tests;
