//! Neighbours: who has which hardware address, and whether they are still there. One cache and one state machine (RFC
//! 4861 §7.3) for both families; ARP and neighbour discovery differ in how a question looks.

use std::collections::VecDeque;
use std::net::IpAddr;

use usernet_wire::ethernet::MacAddr;
use usernet_wire::{icmpv4, icmpv6, ip};

use super::Stack;
use super::icmp::{Complaint, PathReport};
use super::link::LinkTimer;
use super::output::{Class, Outgoing};
use crate::error::{ConnectionError, InterfaceError};
use crate::event::PathError;
use crate::interface::{InterfaceId, NeighborInfo, NeighborState as State, is_unicast};
use crate::time::{Duration, Instant};

/// MAX_MULTICAST_SOLICIT, MAX_UNICAST_SOLICIT and DELAY_FIRST_PROBE_TIME (RFC 4861 §10).
const MAX_SOLICIT: u8 = 3;
const DELAY_FIRST_PROBE: Duration = Duration::from_secs(5);

/// What may wait for one neighbour, packets and their bytes (Linux `unres_qlen_bytes`); beyond it the oldest are dropped
/// (RFC 4861 §7.2.2: the newest replaces the oldest).
const MAX_WAITING: usize = 128;
const MAX_WAITING_BYTES: usize = 212_992;
/// Bytes that may wait on an interface altogether; beyond it the newest are dropped.
const MAX_LINK_WAITING_BYTES: usize = 4 << 20;

/// A neighbour.
#[derive(Debug)]
pub(super) struct Neighbor {
    state: State,
    /// While `Reachable`.
    until: Instant,
    mac: Option<MacAddr>,
    router: bool,
    /// Questions asked since the state was entered.
    asked: u8,
    /// When it was last of use.
    used: Instant,
    /// The address of ours that it is asked from.
    source: IpAddr,
    waiting: VecDeque<Outgoing>,
    waiting_bytes: usize,
}

impl Neighbor {
    /// The packets that wait for it.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.waiting.iter().map(|packet| &packet.bytes)
    }

    fn state(&self, now: Instant) -> State {
        if self.state == State::Reachable && now >= self.until { State::Stale } else { self.state }
    }

    /// Whether packets can be sent to it.
    pub(super) fn is_known(&self) -> bool {
        self.mac.is_some() && self.state != State::Failed
    }

    /// Whether a question to it is open.
    pub(super) fn is_asked(&self) -> bool {
        matches!(self.state, State::Incomplete | State::Probe)
    }

    /// What is forgotten first when there is no room.
    fn rank(&self, now: Instant) -> u8 {
        match self.state(now) {
            State::Failed => 0,
            State::Incomplete => 1,
            State::Stale => 2,
            State::Reachable | State::Delay | State::Probe => 3,
            State::Permanent => 4,
        }
    }
}

/// What was heard of a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It asked us something, or a router said where it is: it is remembered (RFC 4861 §7.2.3, RFC 826).
    Hint,
    /// It spoke to others: only what is known of it already is corrected.
    Overheard,
    /// It answered, or announced itself.
    Advert {
        /// It was asked, by us.
        solicited: bool,
        /// What it says replaces what was known.
        override_: bool,
        /// It is a router; `None` when it does not say (ARP).
        router: Option<bool>,
    },
}

impl Stack {
    /// The hardware address of a next hop, if it is known; else it is asked for.
    pub(super) fn resolve(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        next_hop: IpAddr,
        source: IpAddr,
    ) -> Option<MacAddr> {
        let link = self.interfaces.get_mut(interface)?.link.as_deref_mut()?;
        let timer = LinkTimer::Neighbor(interface, next_hop);
        if let Some(neighbor) = link.neighbors.get_mut(&next_hop) {
            neighbor.used = now;
            match neighbor.state(now) {
                State::Incomplete => return None,
                State::Failed => neighbor.source = source,
                State::Stale => {
                    // RFC 4861 §7.3.3: upper layers get the chance to confirm it before it is probed.
                    neighbor.state = State::Delay;
                    self.link_timers.set(timer, Some(now + DELAY_FIRST_PROBE));
                    return neighbor.mac;
                }
                _ => return neighbor.mac,
            }
        } else {
            if !self.make_room(now, interface, true) {
                return None;
            }
            let neighbor = Neighbor {
                state: State::Incomplete,
                until: now,
                mac: None,
                router: false,
                asked: 0,
                used: now,
                source,
                waiting: VecDeque::new(),
                waiting_bytes: 0,
            };
            self.link_mut(interface)?.neighbors.insert(next_hop, neighbor);
        }
        let neighbor = self.link_mut(interface)?.neighbors.get_mut(&next_hop)?;
        (neighbor.state, neighbor.asked, neighbor.mac) = (State::Incomplete, 0, None);
        self.ask(now, interface, next_hop);
        None
    }

    /// Makes room for one more neighbour; whether there is any.
    fn make_room(&mut self, now: Instant, interface: InterfaceId, incomplete: bool) -> bool {
        let most = self.config.max_neighbors.max(4);
        let Some(link) = self.link(interface) else { return false };
        let asked_for = |n: &Neighbor| matches!(n.state, State::Incomplete);
        // Questions that nobody answers do not drive out those who answered.
        let crowd = incomplete
            && link.neighbors.len() >= most / 4
            && link.neighbors.values().filter(|n| asked_for(n)).count() >= most / 4;
        if !crowd && link.neighbors.len() < most {
            return true;
        }
        let victim = link
            .neighbors
            .iter()
            .filter(|(_, n)| if crowd { asked_for(n) } else { n.state != State::Permanent })
            .min_by_key(|(_, n)| (n.rank(now), n.used))
            .map(|(addr, _)| *addr);
        let Some(victim) = victim else { return false };
        self.stats.neighbor_evicted += 1;
        self.forget_neighbor(interface, victim);
        true
    }

    fn forget_neighbor(&mut self, interface: InterfaceId, addr: IpAddr) -> bool {
        self.link_timers.set(LinkTimer::Neighbor(interface, addr), None);
        let Some(link) = self.interfaces.get_mut(interface).and_then(|i| i.link.as_deref_mut())
        else {
            return false;
        };
        let Some(neighbor) = link.neighbors.remove(&addr) else { return false };
        link.waiting_bytes -= neighbor.waiting_bytes;
        self.stats.neighbor_drops += neighbor.waiting.len() as u64;
        true
    }

    /// Keeps a packet until its next hop is known.
    pub(super) fn wait_for(&mut self, next_hop: IpAddr, mut packet: Outgoing) {
        let interface = packet.interface;
        let len = packet.bytes.len();
        // It may be in memory that a far longer one had before, which is not what it is charged for.
        if packet.bytes.capacity() > 2 * len + 256 {
            packet.bytes.shrink_to_fit();
        }
        let Some(link) = self.interfaces.get_mut(interface).and_then(|i| i.link.as_deref_mut())
        else {
            return;
        };
        let full = link.waiting_bytes + len > MAX_LINK_WAITING_BYTES;
        let neighbor =
            link.neighbors.get_mut(&next_hop).filter(|n| n.state == State::Incomplete && !full);
        let Some(neighbor) = neighbor else {
            self.stats.neighbor_drops += 1;
            return;
        };
        neighbor.waiting.push_back(packet);
        neighbor.waiting_bytes += len;
        link.waiting_bytes += len;
        while neighbor.waiting.len() > MAX_WAITING
            || neighbor.waiting_bytes > MAX_WAITING_BYTES && neighbor.waiting.len() > 1
        {
            let Some(oldest) = neighbor.waiting.pop_front() else { break };
            neighbor.waiting_bytes -= oldest.bytes.len();
            link.waiting_bytes -= oldest.bytes.len();
            self.stats.neighbor_drops += 1;
        }
    }

    fn take_waiting(&mut self, interface: InterfaceId, addr: IpAddr) -> VecDeque<Outgoing> {
        let Some(link) = self.link_mut(interface) else { return VecDeque::new() };
        let Some(neighbor) = link.neighbors.get_mut(&addr) else { return VecDeque::new() };
        link.waiting_bytes -= std::mem::take(&mut neighbor.waiting_bytes);
        std::mem::take(&mut neighbor.waiting)
    }

    /// Asks for a neighbour: all on the link while its hardware address is unknown, else itself. Sets the timer.
    fn ask(&mut self, now: Instant, interface: InterfaceId, addr: IpAddr) {
        let Some(link) = self.link_mut(interface) else { return };
        let retrans = link.retrans_timer;
        let Some(neighbor) = link.neighbors.get_mut(&addr) else { return };
        neighbor.asked += 1;
        let (mac, source) = (neighbor.mac, neighbor.source);
        self.link_timers.set(LinkTimer::Neighbor(interface, addr), Some(now + retrans));
        // RFC 4861 §7.2.2: from the address of the packet that prompted it, if it is the interface's.
        let source = if self.is_for_us(interface, source) {
            Some(source)
        } else {
            self.source_for(interface, addr)
        };
        match (source, addr) {
            (Some(IpAddr::V4(source)), IpAddr::V4(addr)) => {
                self.send_arp_request(interface, source, addr, mac);
            }
            (Some(IpAddr::V6(source)), IpAddr::V6(addr)) => {
                self.send_neighbor_solicitation(interface, source, addr, mac);
            }
            // Without an address of the family nobody can be asked.
            _ => {}
        }
    }

    /// A neighbour did not answer, or is to be probed.
    pub(super) fn neighbor_timer(&mut self, now: Instant, interface: InterfaceId, addr: IpAddr) {
        let Some(link) = self.link_mut(interface) else { return };
        let Some(neighbor) = link.neighbors.get_mut(&addr) else { return };
        match neighbor.state {
            State::Delay => {
                (neighbor.state, neighbor.asked) = (State::Probe, 0);
                self.ask(now, interface, addr);
            }
            State::Incomplete | State::Probe if neighbor.asked < MAX_SOLICIT => {
                self.ask(now, interface, addr);
            }
            State::Incomplete | State::Probe => {
                (neighbor.state, neighbor.mac) = (State::Failed, None);
                self.stats.neighbor_failed += 1;
                self.router_failed(interface, addr);
                for packet in self.take_waiting(interface, addr) {
                    self.undeliverable(now, &packet);
                }
            }
            _ => {}
        }
    }

    /// A packet whose next hop does not answer: its sender is told, ourselves too (RFC 1122 §2.3.2.2, RFC 4861 §7.2.2).
    pub(super) fn undeliverable(&mut self, now: Instant, packet: &Outgoing) {
        self.stats.neighbor_drops += 1;
        if packet.class == Class::Forward {
            return self.complain(now, packet.interface, &packet.bytes, Complaint::HostUnreachable);
        }
        self.known_not_to_arrive(now, &packet.bytes, ConnectionError::HostUnreachable);
    }

    /// The driver of the stack, who carries its packets, knows that there is no way for one that the stack made: what it
    /// belongs to hears of it as if the stack's own routes had said so. A connection that is being opened fails with
    /// [`ConnectionError::NetworkUnreachable`]; one that is open has a soft error. What is no packet of the stack's is
    /// ignored.
    pub fn no_way(&mut self, now: Instant, packet: &[u8]) {
        self.known_not_to_arrive(now, packet, ConnectionError::NetworkUnreachable);
    }

    /// Tells what a packet of ours belongs to that we know it not to arrive.
    fn known_not_to_arrive(&mut self, now: Instant, packet: &[u8], meaning: ConnectionError) {
        let Some((src, dst)) = ip::addresses_of(packet) else { return };
        let host = meaning == ConnectionError::HostUnreachable;
        let (quoted, code) = if dst.is_ipv4() {
            use icmpv4::Unreachable::{Host, Net};
            (icmpv4::quotable(packet), if host { Host } else { Net }.code())
        } else {
            use icmpv6::Unreachable::{Address, NoRoute};
            (icmpv6::quotable(packet), if host { Address } else { NoRoute }.code())
        };
        let error = PathError::Unreachable { code, meaning };
        self.icmp_error(now, quoted, PathReport { from: src, error, local: true });
    }

    /// Takes in what was heard of a neighbour.
    pub(super) fn neighbor_heard(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        addr: IpAddr,
        mac: Option<MacAddr>,
        news: News,
    ) {
        let is_stranger = self.link(interface).is_some_and(|l| !l.neighbors.contains_key(&addr));
        if is_stranger {
            let Some(mac) = mac.filter(|_| news == News::Hint && is_unicast(addr)) else { return };
            if !self.make_room(now, interface, false) {
                return;
            }
            let neighbor = Neighbor {
                state: State::Stale,
                until: now,
                mac: Some(mac),
                router: false,
                asked: 0,
                used: now,
                source: addr,
                waiting: VecDeque::new(),
                waiting_bytes: 0,
            };
            if let Some(link) = self.link_mut(interface) {
                link.neighbors.insert(addr, neighbor);
            }
            return;
        }
        let Some(link) = self.link_mut(interface) else { return };
        let reachable_until = now + link.reachable_time;
        let Some(neighbor) = link.neighbors.get_mut(&addr) else { return };
        let before = neighbor.state(now);
        if before == State::Permanent {
            return;
        }
        let was_router = neighbor.router;
        let differs = mac.is_some() && mac != neighbor.mac;
        match news {
            News::Hint | News::Overheard => {
                let Some(mac) = mac else { return };
                if differs {
                    // RFC 4861 §7.2.3, RFC 826: corrected, and not yet known to be reachable.
                    (neighbor.mac, neighbor.state) = (Some(mac), State::Stale);
                }
            }
            // RFC 4861 §7.2.5. One that failed is as if it had been forgotten: nobody asks for it.
            News::Advert { .. } if before == State::Failed => return,
            News::Advert { solicited, router, .. } if before == State::Incomplete => {
                let Some(mac) = mac else { return };
                neighbor.mac = Some(mac);
                neighbor.state = if solicited { State::Reachable } else { State::Stale };
                neighbor.router = router.unwrap_or(false);
            }
            News::Advert { override_: false, .. } if differs => {
                if before == State::Reachable {
                    neighbor.state = State::Stale;
                }
                return;
            }
            News::Advert { solicited, router, .. } => {
                neighbor.mac = mac.or(neighbor.mac);
                if solicited {
                    neighbor.state = State::Reachable;
                } else if differs {
                    neighbor.state = State::Stale;
                }
                neighbor.router = router.unwrap_or(neighbor.router);
            }
        }
        if neighbor.state == State::Reachable {
            neighbor.until = reachable_until;
        }
        let stopped_routing = was_router && !neighbor.router;
        if matches!(neighbor.state, State::Reachable | State::Stale) {
            self.link_timers.set(LinkTimer::Neighbor(interface, addr), None);
        }
        if stopped_routing {
            self.router_gone(interface, addr);
        }
        self.release_waiting(interface, addr);
    }

    /// Sends what waited for a neighbour that is known now.
    fn release_waiting(&mut self, interface: InterfaceId, addr: IpAddr) {
        let mac = self
            .link(interface)
            .and_then(|link| link.neighbors.get(&addr))
            .filter(|n| n.is_known() && !n.waiting.is_empty())
            .and_then(|n| n.mac);
        let Some(mac) = mac else { return };
        for packet in self.take_waiting(interface, addr) {
            self.send_framed(mac, packet);
        }
    }

    /// A neighbour said that it is a router.
    pub(super) fn mark_router(&mut self, interface: InterfaceId, addr: IpAddr) {
        if let Some(neighbor) =
            self.link_mut(interface).and_then(|link| link.neighbors.get_mut(&addr))
        {
            neighbor.router = true;
        }
    }

    /// Packets to `remote` arrive, as an upper layer knows: so its next hop is there (RFC 4861 §7.3.1).
    pub(super) fn confirm_reachable(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        remote: IpAddr,
    ) {
        if self.link(interface).is_none() {
            return;
        }
        let Some(next_hop) = self.next_hop(interface, remote) else { return };
        let Some(link) = self.link_mut(interface) else { return };
        let until = now + link.reachable_time;
        let Some(neighbor) = link.neighbors.get_mut(&next_hop) else { return };
        let was = neighbor.state;
        if matches!(was, State::Reachable | State::Stale | State::Delay | State::Probe) {
            (neighbor.state, neighbor.until, neighbor.used) = (State::Reachable, until, now);
        }
        if matches!(was, State::Delay | State::Probe) {
            self.link_timers.set(LinkTimer::Neighbor(interface, next_hop), None);
        }
    }

    /// Packets to `remote` seem not to arrive, as an upper layer says (negative advice, RFC 1122 §3.3.1.4): its next hop is
    /// asked at once whether it is there. If it is not, another takes its place (RFC 4861 §6.3.6, §7.3.3).
    pub(super) fn doubt_reachable(&mut self, now: Instant, interface: InterfaceId, remote: IpAddr) {
        if self.link(interface).is_none() {
            return;
        }
        let Some(next_hop) = self.next_hop(interface, remote) else { return };
        let Some(link) = self.link_mut(interface) else { return };
        let Some(neighbor) = link.neighbors.get_mut(&next_hop) else { return };
        if matches!(neighbor.state, State::Reachable | State::Stale | State::Delay) {
            (neighbor.state, neighbor.asked) = (State::Probe, 0);
            self.ask(now, interface, next_hop);
        }
    }

    /// Forgets the neighbours of a link that are not configured; what waits for them is lost.
    pub(super) fn forget_neighbors(&mut self, interface: InterfaceId) {
        let Some(link) = self.link(interface) else { return };
        let learnt =
            |(addr, n): (&IpAddr, &Neighbor)| (n.state != State::Permanent).then_some(*addr);
        let learnt: Vec<IpAddr> = link.neighbors.iter().filter_map(learnt).collect();
        for addr in learnt {
            self.forget_neighbor(interface, addr);
        }
    }

    /// The neighbours of every Ethernet interface, in no order.
    pub fn neighbors(&self, now: Instant) -> Vec<NeighborInfo> {
        let mut all = Vec::new();
        for (interface, i) in &self.interfaces {
            let neighbors = i.link.iter().flat_map(|link| &link.neighbors);
            all.extend(neighbors.map(|(addr, n)| NeighborInfo {
                interface,
                addr: *addr,
                mac: n.mac,
                state: n.state(now),
                router: n.router,
            }));
        }
        all
    }

    /// Gives a neighbour a fixed hardware address; nothing that is heard changes it.
    ///
    /// # Errors
    /// [`InterfaceError::NoSuchInterface`], [`InterfaceError::InvalidAddress`] for an address that no host has,
    /// [`InterfaceError::InvalidMac`] for a hardware address that no station has, or when the interface is not Ethernet.
    pub fn add_neighbor(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        addr: IpAddr,
        mac: MacAddr,
    ) -> Result<(), InterfaceError> {
        if !self.interfaces.contains_key(interface) {
            return Err(InterfaceError::NoSuchInterface);
        }
        if !is_unicast(addr) || self.is_local(addr) {
            return Err(InterfaceError::InvalidAddress);
        }
        if !mac.is_unicast() || self.link(interface).is_none() {
            return Err(InterfaceError::InvalidMac);
        }
        let waiting = self.take_waiting(interface, addr);
        self.forget_neighbor(interface, addr);
        self.neighbor_heard(now, interface, addr, Some(mac), News::Hint);
        let neighbor = self.link_mut(interface).and_then(|link| link.neighbors.get_mut(&addr));
        // There is no room only when all others are permanent too.
        neighbor.ok_or(InterfaceError::InvalidAddress)?.state = State::Permanent;
        for packet in waiting {
            self.send_framed(mac, packet);
        }
        Ok(())
    }

    /// Forgets a neighbour, configured or learnt; whether it was known.
    pub fn remove_neighbor(&mut self, interface: InterfaceId, addr: IpAddr) -> bool {
        self.forget_neighbor(interface, addr)
    }
}
