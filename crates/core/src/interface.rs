//! Interfaces as the core knows them: an MTU, addresses, and what their device can do.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use usernet_wire::ethernet::MacAddr;

use crate::time::Instant;

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
    /// Ethernet frames (TAP, VMs, packet sockets); the interface's own hardware address, a unicast one. The MTU does not
    /// count the Ethernet header.
    Ethernet(MacAddr),
}

/// Whether an address of an Ethernet interface is checked for being in use before it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Detection {
    /// It is not checked; IPv4 addresses are announced all the same (RFC 5227 §3).
    Off,
    /// It is used while it is checked (RFC 4429; for IPv4, announced at once), and given up when it turns out to be
    /// somebody else's. RFC 4429 §3.1 would have this for generated addresses only; here a program that configures an
    /// address wants to use it there and then.
    #[default]
    Optimistic,
    /// It is used once it was checked (RFC 4862 §5.4: 1 to 2 s; RFC 5227 §2.1: 4 to 7 s).
    Strict,
}

/// What may be done with an address (RFC 4862 §2, RFC 4429 §2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AddressState {
    /// It is being checked, and not used before that is over.
    Tentative,
    /// It is being checked, and used already.
    Optimistic,
    /// It is used.
    Preferred,
    /// It is used for what uses it already, and as a source where there is no other (RFC 4862 §5.5.4).
    Deprecated,
    /// It is somebody else's, and not used.
    Duplicate,
}

/// Where an address comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AddressOrigin {
    /// Configured.
    Manual,
    /// Formed by the interface itself, of the link (RFC 4862 §5.3).
    LinkLocal,
    /// Formed from a router's prefix (RFC 4862 §5.5).
    Slaac,
}

/// An address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressInfo {
    /// The address and its prefix.
    pub cidr: IpCidr,
    /// What may be done with it.
    pub state: AddressState,
    /// Where it comes from.
    pub origin: AddressOrigin,
    /// When it becomes deprecated; [`Instant::FAR_FUTURE`]: never.
    pub preferred_until: Instant,
    /// When it ends; [`Instant::FAR_FUTURE`]: never.
    pub valid_until: Instant,
}

/// What is known of a neighbour's reachability (RFC 4861 §7.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NeighborState {
    /// Its hardware address is being asked for.
    Incomplete,
    /// It was heard from lately.
    Reachable,
    /// It was not heard from lately.
    Stale,
    /// Packets went to it, and a sign of life is waited for.
    Delay,
    /// It is asked for a sign of life.
    Probe,
    /// It does not answer.
    Failed,
    /// Its hardware address was configured.
    Permanent,
}

/// A neighbour: an entry of the ARP cache or the neighbour cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeighborInfo {
    /// On whose link.
    pub interface: InterfaceId,
    /// Its address.
    pub addr: IpAddr,
    /// Its hardware address, where it is known.
    pub mac: Option<MacAddr>,
    /// What is known of its reachability.
    pub state: NeighborState,
    /// Whether it is a router (IPv6).
    pub router: bool,
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
    /// It cuts merged UDP datagrams, over either family, and completes their checksums.
    pub uso: bool,
    /// With `tso4`, it takes segments over IPv4 that are longer than a packet can be, 65,535 bytes, with 0 for the packet's
    /// length (what Linux calls BIG TCP).
    pub big_tcp4: bool,
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
    /// Whether the driver cuts large segments (by [`cut`](crate::cut())) that the device does not cut.
    pub cut_by_driver: bool,
    /// Its addresses.
    pub addresses: Vec<IpCidr>,
    /// Whether every unicast destination that comes in here is ours; what was meant is the local address of the
    /// connection or datagram.
    pub accept_any: bool,
    /// Whether new connections and UDP flows that come in here are held until
    /// [`flow_accept`](crate::Stack::flow_accept) and its relatives decide.
    pub hold: bool,
    /// Ethernet only: whether it is a port of the stack's bridge: it has no addresses, and its frames go to the other ports.
    pub bridge_port: bool,
    /// Ethernet only: whether routers are asked for and believed (RFC 4861 §6.3): default routes, prefixes, addresses
    /// formed in these (RFC 4862), MTU. Not while the stack forwards: a router does not listen to others.
    pub slaac: bool,
    /// Ethernet only: whether the stack, while it forwards, advertises itself as a router (RFC 4861 §6.2): as a default
    /// router, with the prefixes of its IPv6 addresses and the MTU.
    pub advertise: bool,
    /// Ethernet only: whether addresses are checked for being in use.
    pub detection: Detection,
    /// Ethernet only: the key of the interface identifiers that IPv6 addresses are formed with (RFC 7217 §5): with the
    /// same key and prefix they are the same again. `None`: one of this stack's own.
    pub identifier_key: Option<[u8; 16]>,
}

impl Default for InterfaceConfig {
    /// No name, no addresses, an MTU of 1,500 bytes.
    fn default() -> Self {
        Self {
            name: String::new(),
            medium: Medium::default(),
            mtu: 1500,
            offload: Offload::default(),
            cut_by_driver: false,
            addresses: Vec::new(),
            accept_any: false,
            hold: false,
            bridge_port: false,
            slaac: false,
            advertise: false,
            detection: Detection::default(),
            identifier_key: None,
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
