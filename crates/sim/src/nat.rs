//! A NAT box (RFC 4787, RFC 5382): many inside addresses behind one outside address of each family.
//!
//! It translates TCP and UDP; everything else is dropped. Fragments are not translated, nor ICMP errors (RFC 5508).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use usernet_core::{Duration, Instant};
use usernet_wire::ip::{Packet, Protocol};
use usernet_wire::tcp::{self, Flags};

use crate::rewrite::{self, Side};
use crate::rng::Rng;

/// How a NAT box maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum NatKind {
    /// One outside port for each inside address and port, whoever the peer is, and everybody outside may use it
    /// (endpoint-independent mapping and filtering, RFC 4787 §4.1 and §5). The port is kept where it is free.
    #[default]
    EndpointIndependent,
    /// One outside port, drawn at random, for each inside address and port and peer, and only that peer may use it
    /// (address and port-dependent mapping and filtering).
    Symmetric,
}

/// Settings of a NAT box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatConfig {
    /// How it maps.
    pub kind: NatKind,
    /// Its addresses on the uplink's side; at most one of each family. Empty: one of each is given to it.
    pub addresses: Vec<IpAddr>,
    /// How long an idle mapping of an established TCP connection lasts (RFC 5382 REQ-5: at least 2 h 4 min).
    pub tcp_established: Duration,
    /// How long one of a TCP connection that is being opened or closed lasts (RFC 5382 REQ-5: at least 4 min).
    pub tcp_transitory: Duration,
    /// How long an idle mapping of UDP lasts (RFC 4787 REQ-5: at least 2 min).
    pub udp: Duration,
}

impl Default for NatConfig {
    fn default() -> Self {
        Self {
            kind: NatKind::default(),
            addresses: Vec::new(),
            tcp_established: Duration::from_secs(2 * 3600 + 4 * 60),
            tcp_transitory: Duration::from_secs(240),
            udp: Duration::from_secs(300),
        }
    }
}

/// First port that is given out; the ones below are for servers.
const FIRST_PORT: u16 = 1024;
/// Ports there are to give out, for each protocol and family.
const PORTS: u64 = 65_536 - FIRST_PORT as u64;

/// An inside address and port, and its peer where mappings depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Inside {
    protocol: u8,
    address: SocketAddr,
    peer: Option<SocketAddr>,
}

/// A port on the outside address of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Outside {
    protocol: u8,
    v6: bool,
    port: u16,
}

#[derive(Clone, Copy, Debug)]
struct Mapping {
    inside: Inside,
    used: Instant,
    /// TCP: what acknowledges the peer's SYN, or later segments, went each way since the last SYN that opens.
    established: [bool; 2],
    /// TCP: a FIN or RST went by since the last SYN.
    closing: bool,
}

/// What a NAT box knows.
#[derive(Debug)]
pub(crate) struct Nat {
    config: NatConfig,
    by_inside: BTreeMap<Inside, Outside>,
    by_outside: BTreeMap<Outside, Mapping>,
    rng: Rng,
}

impl Nat {
    pub(crate) fn new(config: NatConfig, rng: Rng) -> Self {
        Self { config, by_inside: BTreeMap::new(), by_outside: BTreeMap::new(), rng }
    }

    /// Translates a packet on its way out; false when it cannot pass.
    pub(crate) fn outbound(&mut self, now: Instant, bytes: &mut [u8], ip: &Packet) -> bool {
        let Some((src_port, dst_port)) = rewrite::ports(bytes, ip) else { return false };
        let peer = SocketAddr::new(ip.dst, dst_port);
        let inside = Inside {
            protocol: ip.protocol.0,
            address: SocketAddr::new(ip.src, src_port),
            peer: (self.config.kind == NatKind::Symmetric).then_some(peer),
        };
        let Some(address) = self.address(ip.src.is_ipv6()) else { return false };
        let Some(outside) = self.map(now, inside) else { return false };
        self.touch(now, outside, 0, bytes, ip);
        rewrite::readdress(bytes, ip, Side::Source, SocketAddr::new(address, outside.port));
        true
    }

    /// Translates a packet that came in from the uplink; false when it cannot pass.
    pub(crate) fn inbound(&mut self, now: Instant, bytes: &mut [u8], ip: &Packet) -> bool {
        let Some((src_port, dst_port)) = rewrite::ports(bytes, ip) else { return false };
        let outside = Outside { protocol: ip.protocol.0, v6: ip.dst.is_ipv6(), port: dst_port };
        let Some(mapping) = self.live(now, outside) else { return false };
        let peer = SocketAddr::new(ip.src, src_port);
        if mapping.inside.peer.is_some_and(|allowed| allowed != peer) {
            return false;
        }
        self.touch(now, outside, 1, bytes, ip);
        rewrite::readdress(bytes, ip, Side::Destination, mapping.inside.address);
        true
    }

    /// Mappings there are, lapsed ones that nobody noticed yet included.
    pub(crate) fn mappings(&self) -> usize {
        self.by_outside.len()
    }

    fn address(&self, v6: bool) -> Option<IpAddr> {
        self.config.addresses.iter().copied().find(|a| a.is_ipv6() == v6)
    }

    /// The mapping of an outside port, if it has not lapsed.
    fn live(&mut self, now: Instant, outside: Outside) -> Option<Mapping> {
        let mapping = *self.by_outside.get(&outside)?;
        let timeout = match (Protocol(outside.protocol), mapping.established) {
            (Protocol::TCP, [true, true]) if !mapping.closing => self.config.tcp_established,
            (Protocol::TCP, _) => self.config.tcp_transitory,
            _ => self.config.udp,
        };
        if now.since(mapping.used) <= timeout {
            return Some(mapping);
        }
        self.by_outside.remove(&outside);
        self.by_inside.remove(&mapping.inside);
        None
    }

    fn map(&mut self, now: Instant, inside: Inside) -> Option<Outside> {
        if let Some(&outside) = self.by_inside.get(&inside)
            && self.live(now, outside).is_some()
        {
            return Some(outside);
        }
        let port = self.free_port(now, inside)?;
        let outside = Outside { protocol: inside.protocol, v6: inside.address.is_ipv6(), port };
        let mapping = Mapping { inside, used: now, established: [false; 2], closing: false };
        self.by_inside.insert(inside, outside);
        self.by_outside.insert(outside, mapping);
        Some(outside)
    }

    fn free_port(&mut self, now: Instant, inside: Inside) -> Option<u16> {
        let start = match self.config.kind {
            NatKind::EndpointIndependent if inside.address.port() >= FIRST_PORT => {
                u64::from(inside.address.port() - FIRST_PORT)
            }
            _ => self.rng.below(PORTS),
        };
        for n in 0..PORTS {
            let port = FIRST_PORT + ((start + n) % PORTS) as u16;
            let outside = Outside { protocol: inside.protocol, v6: inside.address.is_ipv6(), port };
            if self.live(now, outside).is_none() {
                return Some(port);
            }
        }
        None
    }

    fn touch(&mut self, now: Instant, outside: Outside, way: usize, bytes: &[u8], ip: &Packet) {
        let Some(mapping) = self.by_outside.get_mut(&outside) else { return };
        mapping.used = now;
        if ip.protocol == Protocol::TCP
            && let Ok((tcp, _)) =
                tcp::Repr::parse(&bytes[ip.payload_offset..], ip.src, ip.dst, true)
        {
            // RFC 5382 section 2.2: a SYN begins a connection; it is established once each side has acknowledged the other's,
            // which a server does by its SYN-ACK.
            if tcp.flags.contains(Flags::SYN) && !tcp.flags.contains(Flags::ACK) {
                (mapping.established, mapping.closing) = ([false; 2], false);
            } else {
                mapping.established[way] = true;
                mapping.closing |= tcp.flags.intersects(Flags::FIN | Flags::RST);
            }
        }
    }
}
