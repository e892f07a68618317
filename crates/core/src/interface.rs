//! Interfaces as the core knows them: an MTU, addresses, and what their device can do.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

slotmap::new_key_type! {
    /// Names an interface; generational, so a stale one is an error and never another interface.
    pub struct InterfaceId;
}

/// What frames an interface carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Medium {
    /// IP packets (TUN, in-process links, loopback).
    #[default]
    Ip,
}

/// What a device can do for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Offload {
    /// It completes TCP and UDP checksums on transmit.
    pub tx_checksum: bool,
    /// It cuts large TCP segments over IPv4.
    pub tso4: bool,
    /// It cuts large TCP segments over IPv6.
    pub tso6: bool,
}

/// An address with the length of its subnet's prefix, bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IpCidr {
    /// The address; host bits may be set.
    pub addr: IpAddr,
    /// Prefix length: 0-32 or 0-128.
    pub prefix_len: u8,
}

impl IpCidr {
    /// An address with a prefix length; `None` when the length exceeds the family's.
    pub fn new(addr: IpAddr, prefix_len: u8) -> Option<Self> {
        let max = if addr.is_ipv4() { 32 } else { 128 };
        (prefix_len <= max).then_some(Self { addr, prefix_len })
    }

    /// Whether `addr` lies in the subnet.
    pub fn contains(&self, addr: IpAddr) -> bool {
        match (self.addr, addr) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                let shift = 32 - u32::from(self.prefix_len);
                shift == 32 || u32::from(a) >> shift == u32::from(b) >> shift
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                let shift = 128 - u32::from(self.prefix_len);
                shift == 128 || u128::from(a) >> shift == u128::from(b) >> shift
            }
            _ => false,
        }
    }

    /// The directed broadcast address of an IPv4 subnet (RFC 919); none for /31, /32 and IPv6.
    pub fn broadcast(&self) -> Option<IpAddr> {
        match self.addr {
            IpAddr::V4(a) if self.prefix_len < 31 => {
                let host = u32::MAX.checked_shr(u32::from(self.prefix_len)).unwrap_or(0);
                Some(IpAddr::V4(Ipv4Addr::from(u32::from(a) | host)))
            }
            _ => None,
        }
    }
}

impl std::str::FromStr for IpCidr {
    type Err = &'static str;

    /// `198.18.0.2/24`, `fd00::2/64`; without a prefix length it is a single host.
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let (addr, len) = match s.split_once('/') {
            Some((addr, len)) => (addr, Some(len)),
            None => (s, None),
        };
        let addr: IpAddr = addr.parse().map_err(|_| "not an IP address")?;
        let len = match len {
            Some(len) => len.parse().map_err(|_| "not a prefix length")?,
            None if addr.is_ipv4() => 32,
            None => 128,
        };
        Self::new(addr, len).ok_or("prefix length out of range")
    }
}

/// How an interface is made.
#[derive(Clone, Debug)]
pub struct InterfaceConfig {
    /// Its name, for people.
    pub name: String,
    /// What frames it carries.
    pub medium: Medium,
    /// Largest IP packet, bytes: 576-65535 for IPv4 alone, 1280-65535 with IPv6 (RFC 8200 §5).
    pub mtu: u16,
    /// What its device can do.
    pub offload: Offload,
    /// Its addresses.
    pub addresses: Vec<IpCidr>,
    /// Whether every unicast destination that comes in here is ours; what was meant is the local address of the
    /// connection or datagram.
    pub accept_any: bool,
    /// Whether new connections and UDP flows that come in here are held until
    /// [`flow_accept`](crate::Stack::flow_accept) and its relatives decide.
    pub hold: bool,
}

impl Default for InterfaceConfig {
    /// No name, no addresses, an MTU of 1,500 bytes.
    fn default() -> Self {
        Self {
            name: String::new(),
            medium: Medium::default(),
            mtu: 1500,
            offload: Offload::default(),
            addresses: Vec::new(),
            accept_any: false,
            hold: false,
        }
    }
}

/// A route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where to: `0.0.0.0/0` and `::/0` are the default routes.
    pub to: IpCidr,
    /// Next hop; none when the destination is on the link.
    pub via: Option<IpAddr>,
    /// Through which interface.
    pub interface: InterfaceId,
}

/// Whether an address can be the source or destination of a connection at all: not unspecified, multicast or broadcast
/// (RFC 9293 §3.9.2.3 MUST-57, RFC 1122 §4.2.3.10).
pub fn is_unicast(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(a) => {
            !a.is_multicast()
                && !a.is_unspecified()
                && a != Ipv4Addr::BROADCAST
                && a.octets()[0] < 240
        }
        IpAddr::V6(a) => !a.is_multicast() && a != Ipv6Addr::UNSPECIFIED,
    }
}
