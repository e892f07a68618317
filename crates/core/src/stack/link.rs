//! Ethernet below IP: frames in and out, whom a packet is framed for, and the timers of everything on a link.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use usernet_wire::ethernet::{EtherType, HEADER_LEN, MacAddr, Repr};

use super::advertise::Advertising;
use super::autoconf::Assigned;
use super::input::Arrival;
use super::neighbor::Neighbor;
use super::output::Outgoing;
use super::router::{OnLink, Router};
use super::{KeyedHash, Stack};
use crate::frame::{RxFrame, TxChecksum};
use crate::interface::{InterfaceId, Medium};
use crate::time::{Duration, Instant};

/// REACHABLE_TIME and RETRANS_TIMER (RFC 4861 §10).
pub(super) const REACHABLE_TIME: Duration = Duration::from_secs(30);
pub(super) const RETRANS_TIMER: Duration = Duration::from_secs(1);

/// Timers that run in one call.
const TIMERS_PER_CALL: usize = 256;

/// What an Ethernet interface knows of its link.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) mac: MacAddr,
    pub(super) neighbors: HashMap<IpAddr, Neighbor, KeyedHash>,
    /// Bytes of packets that wait for neighbours.
    pub(super) waiting_bytes: usize,
    /// The interface's addresses, those too that are not used (yet, or any more).
    pub(super) addresses: BTreeMap<IpAddr, Assigned>,
    /// Default routers, in the order they are tried.
    pub(super) routers: Vec<Router>,
    /// Prefixes that routers say are on the link.
    pub(super) prefixes: Vec<OnLink>,
    /// Better first hops that routers named: by destination.
    pub(super) redirects: HashMap<IpAddr, (IpAddr, Instant), KeyedHash>,
    /// For how long a neighbour counts as reachable: drawn from around the base.
    pub(super) reachable_time: Duration,
    pub(super) base_reachable_time: Duration,
    pub(super) retrans_timer: Duration,
    /// What routers say of hop limit and MTU.
    pub(super) hop_limit: Option<u8>,
    pub(super) mtu_v6: Option<u16>,
    /// Router solicitations sent.
    pub(super) solicitations: u8,
    /// Of a router: what it says of itself, and when.
    pub(super) advertising: Advertising,
}

impl Link {
    pub(super) fn new(mac: MacAddr, hash: &KeyedHash) -> Self {
        Self {
            mac,
            neighbors: HashMap::with_hasher(hash.clone()),
            waiting_bytes: 0,
            addresses: BTreeMap::new(),
            routers: Vec::new(),
            prefixes: Vec::new(),
            redirects: HashMap::with_hasher(hash.clone()),
            reachable_time: REACHABLE_TIME,
            base_reachable_time: REACHABLE_TIME,
            retrans_timer: RETRANS_TIMER,
            hop_limit: None,
            mtu_v6: None,
            solicitations: 0,
            advertising: Advertising::default(),
        }
    }
}

/// What waits for time on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LinkTimer {
    /// A neighbour is to be asked (again).
    Neighbor(InterfaceId, IpAddr),
    /// An address is to be probed for, or announced.
    Address(InterfaceId, IpAddr),
    /// Something that a router gave ends.
    Lifetimes(InterfaceId),
    /// Routers are to be asked for (again).
    Solicit(InterfaceId),
    /// A router is to advertise itself.
    Advertise(InterfaceId),
    /// Multicast routers are to be told of groups.
    Groups(InterfaceId),
}

impl LinkTimer {
    fn interface(self) -> InterfaceId {
        match self {
            Self::Neighbor(id, _)
            | Self::Address(id, _)
            | Self::Lifetimes(id)
            | Self::Solicit(id)
            | Self::Advertise(id)
            | Self::Groups(id) => id,
        }
    }
}

/// Timers by time and by what they are for: each has at most one.
#[derive(Debug, Default)]
pub(super) struct LinkTimers {
    queue: BTreeSet<(Instant, LinkTimer)>,
    at: BTreeMap<LinkTimer, Instant>,
}

impl LinkTimers {
    /// Sets a timer, in place of what it was set to, or stops it.
    pub(super) fn set(&mut self, timer: LinkTimer, at: Option<Instant>) {
        let was = match at {
            Some(at) => {
                self.queue.insert((at, timer));
                self.at.insert(timer, at)
            }
            None => self.at.remove(&timer),
        };
        if let Some(was) = was.filter(|was| Some(*was) != at) {
            self.queue.remove(&(was, timer));
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.queue.first().map(|(at, _)| *at)
    }

    fn pop(&mut self, now: Instant) -> Option<LinkTimer> {
        let &(at, timer) = self.queue.first()?;
        (at <= now).then(|| self.set(timer, None))?;
        Some(timer)
    }

    /// Stops all of an interface.
    pub(super) fn forget(&mut self, interface: InterfaceId) {
        self.queue.retain(|(_, timer)| timer.interface() != interface);
        self.at.retain(|timer, _| timer.interface() != interface);
    }
}

/// Whom a packet is framed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// For nobody: the interface carries packets.
    None,
    /// From us to a station or group.
    To(MacAddr),
    /// For a neighbour whose hardware address is being asked for.
    Wait(IpAddr),
    /// Nobody is the next hop, or none can be asked for.
    Nowhere,
}

impl Stack {
    /// The link of an Ethernet interface.
    pub(super) fn link(&self, id: InterfaceId) -> Option<&Link> {
        self.interfaces.get(id)?.link.as_deref()
    }

    pub(super) fn link_mut(&mut self, id: InterfaceId) -> Option<&mut Link> {
        self.interfaces.get_mut(id)?.link.as_deref_mut()
    }

    /// Takes an Ethernet frame.
    pub(super) fn ethernet_input(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        mac: MacAddr,
        mut frame: RxFrame,
    ) {
        let Ok((header, len)) = Repr::parse(&frame.data) else {
            self.stats.link_in_errors += 1;
            return;
        };
        // A bridge that floods brings our own back.
        if header.src == mac || !header.dst.is_multicast() && header.dst != mac {
            self.stats.link_in_filtered += 1;
            return;
        }
        frame.data.narrow(len..frame.data.len());
        let version = frame.data.first().map(|b| b >> 4);
        match (header.ethertype, version) {
            (EtherType::ARP, _) => self.arp_input(now, interface, &frame.data, header.dst == mac),
            (EtherType::IPV4, Some(4)) | (EtherType::IPV6, Some(6)) => {
                let arrival =
                    if header.dst.is_multicast() { Arrival::ToMany } else { Arrival::ToUs };
                self.ip_input(now, interface, frame, arrival);
            }
            (EtherType::IPV4 | EtherType::IPV6, _) => self.stats.link_in_errors += 1,
            _ => self.stats.link_in_filtered += 1,
        }
    }

    /// Whom a packet from `src` to `dst` through `interface` is framed for.
    pub(super) fn framing(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        src: IpAddr,
        dst: IpAddr,
    ) -> Framing {
        if self.link(interface).is_none() {
            return Framing::None;
        }
        match dst {
            IpAddr::V4(group) if group.is_multicast() => {
                return Framing::To(MacAddr::multicast_v4(group));
            }
            IpAddr::V6(group) if group.is_multicast() => {
                return Framing::To(MacAddr::multicast_v6(group));
            }
            _ => {}
        }
        if self.is_broadcast_on(interface, dst) {
            return Framing::To(MacAddr::BROADCAST);
        }
        let Some(next_hop) = self.next_hop(interface, dst) else { return Framing::Nowhere };
        match self.resolve(now, interface, next_hop, src) {
            Some(mac) => Framing::To(mac),
            None => Framing::Wait(next_hop),
        }
    }

    /// The next hop of packets to `dst` that leave through `interface`.
    pub(super) fn next_hop(&self, interface: InterfaceId, dst: IpAddr) -> Option<IpAddr> {
        // RFC 4861 §5.2: the prefix of link-local addresses is on every link.
        if let IpAddr::V6(a) = dst
            && a.is_unicast_link_local()
        {
            return Some(dst);
        }
        let (_, via) = self.lookup_within(dst, Some(interface))?;
        let better = self.link(interface).and_then(|link| link.redirects.get(&dst));
        Some(better.map_or(via, |(target, _)| *target))
    }

    /// The header of frames from `interface` to `to`, for a packet whose first byte is given.
    pub(super) fn ethernet_header(
        &self,
        interface: InterfaceId,
        to: MacAddr,
        first: u8,
    ) -> [u8; HEADER_LEN] {
        let src = self.link(interface).map_or(MacAddr::ZERO, |link| link.mac);
        let ethertype = if first >> 4 == 6 { EtherType::IPV6 } else { EtherType::IPV4 };
        let mut header = [0; HEADER_LEN];
        Repr { dst: to, src, ethertype }.emit(&mut header);
        header
    }

    /// Queues a packet for a station, framed.
    pub(super) fn send_framed(&mut self, to: MacAddr, mut packet: Outgoing) {
        let first = packet.bytes.first().copied().unwrap_or(0);
        let header = self.ethernet_header(packet.interface, to, first);
        packet.bytes.splice(..0, header);
        packet.checksum = packet.checksum.map(behind_ethernet);
        self.out.push_framed(packet);
    }

    /// Runs the timers of links that are due, a bounded number.
    pub(super) fn link_timeouts(&mut self, now: Instant) {
        for _ in 0..TIMERS_PER_CALL {
            match self.link_timers.pop(now) {
                Some(LinkTimer::Neighbor(id, addr)) => self.neighbor_timer(now, id, addr),
                Some(LinkTimer::Address(id, addr)) => self.address_timer(now, id, addr),
                Some(LinkTimer::Lifetimes(id)) => self.lifetimes_timer(now, id),
                Some(LinkTimer::Solicit(id)) => self.solicit_timer(now, id),
                Some(LinkTimer::Advertise(id)) => self.advertise_timer(now, id),
                Some(LinkTimer::Groups(id)) => self.groups_timer(now, id),
                None => break,
            }
        }
    }

    /// The hardware address of an Ethernet interface.
    pub fn interface_mac(&self, id: InterfaceId) -> Option<MacAddr> {
        match self.interfaces.get(id)?.config.medium {
            Medium::Ethernet(mac) => Some(mac),
            Medium::Ip => None,
        }
    }
}

/// A checksum's place in a packet that an Ethernet header was put before.
pub(super) fn behind_ethernet(checksum: TxChecksum) -> TxChecksum {
    TxChecksum { start: checksum.start + HEADER_LEN as u16, ..checksum }
}
