//! Addresses of Ethernet interfaces: they are checked for being in use (RFC 4862 §5.4 with RFC 4429 and RFC 7527; RFC 5227),
//! announced and defended; those of IPv6 are also formed here (RFC 4862, RFC 7217), and end.

use std::hash::Hasher;
use std::net::{IpAddr, Ipv6Addr};

use rand_core::Rng;
use siphasher::sip::SipHasher24;
use usernet_wire::ndp::{self, Message, NdOption, Prefix};

use super::link::LinkTimer;
use super::router::{MAX_DELAY, ends};
use super::{Queued, Stack};
use crate::event::AddressChange;
use crate::interface::{
    AddressInfo, AddressOrigin, AddressState as State, Detection, InterfaceId, IpCidr,
};
use crate::time::{Duration, Instant};

/// PROBE_WAIT, PROBE_NUM, PROBE_MIN (of which PROBE_MAX is twice), ANNOUNCE_WAIT, ANNOUNCE_NUM, ANNOUNCE_INTERVAL and
/// DEFEND_INTERVAL (RFC 5227 §1.1).
const PROBE_WAIT: Duration = Duration::from_secs(1);
const PROBE_NUM: u8 = 3;
const PROBE_MIN: Duration = Duration::from_secs(1);
const ANNOUNCE_WAIT: Duration = Duration::from_secs(2);
const ANNOUNCE_NUM: u8 = 2;
const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(2);
const DEFEND_INTERVAL: Duration = Duration::from_secs(10);

/// IDGEN_RETRIES (RFC 7217 §7).
const MAX_RETRIES: u8 = 3;
/// Addresses that an interface forms; further prefixes are ignored.
const MAX_FORMED: usize = 16;
/// RFC 4862 §5.5.3 e: an address is not cut shorter than this by an advertisement that is not authenticated.
const TWO_HOURS: Duration = Duration::from_secs(7200);
/// Events of addresses that wait; further ones are lost.
pub(super) const MAX_EVENTS: usize = 256;

/// An address of an Ethernet interface.
#[derive(Debug)]
pub(super) struct Assigned {
    pub(super) info: AddressInfo,
    /// Tells our own questions from others' (RFC 7527).
    pub(super) nonce: [u8; 6],
    /// Probes sent, then announcements.
    sent: u8,
    /// Whether it is announced, not probed for.
    announcing: bool,
    /// How often it was formed anew.
    retries: u8,
    defended: Option<Instant>,
}

impl Stack {
    /// Prepares a new Ethernet interface: its addresses, those it forms, and routers.
    pub(super) fn start_link(&mut self, now: Instant, interface: InterfaceId) {
        let Some(i) = self.interfaces.get_mut(interface) else { return };
        let addresses = std::mem::take(&mut i.config.addresses);
        let slaac = i.config.slaac;
        for cidr in addresses {
            self.assign(now, interface, cidr, AddressOrigin::Manual, Instant::FAR_FUTURE, 0);
        }
        if slaac {
            self.ensure_link_local(now, interface);
            self.solicit_routers(now, interface);
        }
        self.advertise_soon(now, interface);
    }

    /// RFC 4862 §5.3: whoever speaks IPv6 on a link has an address of the link.
    fn ensure_link_local(&mut self, now: Instant, interface: InterfaceId) {
        let Some(link) = self.link(interface) else { return };
        let has =
            link.addresses.keys().any(|a| matches!(a, IpAddr::V6(a) if a.is_unicast_link_local()));
        if has {
            return;
        }
        let prefix = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0);
        let addr = self.stable_address(interface, prefix, 0);
        let cidr = IpCidr { addr: addr.into(), prefix_len: 64 };
        self.assign(now, interface, cidr, AddressOrigin::LinkLocal, Instant::FAR_FUTURE, 0);
        self.tell_added(interface, cidr.addr);
    }

    /// Gives an Ethernet interface an address, and begins to check it.
    pub(super) fn assign(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        cidr: IpCidr,
        origin: AddressOrigin,
        valid_until: Instant,
        retries: u8,
    ) {
        let nonce = self.rng.next_u64().to_be_bytes();
        let mut delay = Duration::ZERO;
        let Some(i) = self.interfaces.get_mut(interface) else { return };
        let detection = i.config.detection;
        let Some(link) = i.link.as_deref_mut() else { return };
        let state = match detection {
            Detection::Off => State::Preferred,
            Detection::Optimistic => State::Optimistic,
            Detection::Strict => State::Tentative,
        };
        let info =
            AddressInfo { cidr, state, origin, preferred_until: Instant::FAR_FUTURE, valid_until };
        let v4 = cidr.addr.is_ipv4();
        link.addresses.insert(
            cidr.addr,
            Assigned {
                info,
                nonce: [nonce[0], nonce[1], nonce[2], nonce[3], nonce[4], nonce[5]],
                sent: 0,
                announcing: v4 && state != State::Tentative,
                retries,
                defended: None,
            },
        );
        if state != State::Tentative {
            i.config.addresses.push(cidr);
        }
        // RFC 4862 §5.4.2, RFC 5227 §2.1.1: not all stations at once, when the power comes back.
        if v4 && state == State::Tentative {
            delay = self.jitter(PROBE_WAIT);
        } else if !v4 && state != State::Preferred {
            delay = self.jitter(MAX_DELAY);
        }
        if v4 || state != State::Preferred {
            self.link_timers.set(LinkTimer::Address(interface, cidr.addr), Some(now + delay));
        }
        if !v4 {
            self.groups_changed(interface);
            self.ensure_link_local(now, interface);
            // RFC 4861 §6.2.4: what is said of the link changed.
            self.advertise_soon(now, interface);
        }
    }

    /// The link is there again, maybe another one: what is learnt is forgotten, addresses are checked and announced anew
    /// (RFC 4862 §5.4, RFC 5227 §2.1: when an interface comes up), routers asked for.
    pub(super) fn restart_link(&mut self, now: Instant, interface: InterfaceId) {
        let Some(i) = self.interfaces.get_mut(interface) else { return };
        let slaac = i.config.slaac;
        let Some(link) = i.link.as_deref_mut() else { return };
        link.solicitations = 0;
        let assigned: Vec<_> = link.addresses.values().map(|a| a.info).collect();
        for info in assigned {
            self.unassign(interface, info.cidr.addr);
            self.assign(now, interface, info.cidr, info.origin, info.valid_until, 0);
            let link = self.link_mut(interface);
            if let Some(again) = link.and_then(|link| link.addresses.get_mut(&info.cidr.addr)) {
                again.info.preferred_until = info.preferred_until;
            }
        }
        if slaac {
            self.solicit_routers(now, interface);
        }
    }

    /// An address is to be probed for or announced, or was for long enough.
    pub(super) fn address_timer(&mut self, now: Instant, interface: InterfaceId, addr: IpAddr) {
        let wait = self.jitter(PROBE_MIN);
        let Some(link) = self.link_mut(interface) else { return };
        let retrans = link.retrans_timer;
        let Some(address) = link.addresses.get_mut(&addr) else { return };
        let timer = LinkTimer::Address(interface, addr);
        match addr {
            IpAddr::V4(v4) if address.announcing && address.sent < ANNOUNCE_NUM => {
                address.sent += 1;
                let unsure = address.info.state == State::Optimistic;
                self.link_timers.set(timer, Some(now + ANNOUNCE_INTERVAL));
                if unsure {
                    // Who has the address already need not answer an announcement (Linux does not), but does a probe.
                    self.send_arp_probe(interface, v4);
                }
                self.send_arp_announcement(interface, v4);
            }
            IpAddr::V4(v4) if !address.announcing && address.sent < PROBE_NUM => {
                address.sent += 1;
                let last = address.sent == PROBE_NUM;
                let next = if last { ANNOUNCE_WAIT } else { PROBE_MIN + wait };
                self.link_timers.set(timer, Some(now + next));
                self.send_arp_probe(interface, v4);
            }
            IpAddr::V4(_) if !address.announcing => {
                (address.announcing, address.sent) = (true, 0);
                self.link_timers.set(timer, Some(now));
                self.address_is_ours(now, interface, addr);
            }
            // RFC 4862 §5.1: DupAddrDetectTransmits is 1.
            IpAddr::V6(v6) if address.sent == 0 => {
                address.sent = 1;
                let nonce = NdOption::Nonce(address.nonce);
                self.link_timers.set(timer, Some(now + retrans));
                let message = Message::NeighborSolicitation { target: v6 };
                let (nobody, group) = (Ipv6Addr::UNSPECIFIED, ndp::solicited_node(v6));
                self.send_nd(interface, nobody, group, message, &[nonce]);
            }
            _ => self.address_is_ours(now, interface, addr),
        }
    }

    /// Nobody else claimed an address: it is ours.
    fn address_is_ours(&mut self, now: Instant, interface: InterfaceId, addr: IpAddr) {
        let Some(i) = self.interfaces.get_mut(interface) else { return };
        let Some(link) = i.link.as_deref_mut() else { return };
        let Some(address) = link.addresses.get_mut(&addr) else { return };
        let was = address.info.state;
        if !matches!(was, State::Tentative | State::Optimistic) {
            return;
        }
        let expired = address.info.preferred_until <= now;
        address.info.state = if expired { State::Deprecated } else { State::Preferred };
        let (state, cidr) = (address.info.state, address.info.cidr);
        if was == State::Tentative {
            i.config.addresses.push(cidr);
        }
        self.tell_address(interface, addr, AddressChange::Is(state));
        if let (IpAddr::V6(v6), State::Optimistic) = (addr, was) {
            // What was said while it was not sure overrode nothing.
            self.advertise_address(interface, v6);
        }
    }

    /// Another station claims an address of ours.
    pub(super) fn address_conflict(&mut self, now: Instant, interface: InterfaceId, addr: IpAddr) {
        self.stats.address_conflicts += 1;
        let Some(i) = self.interfaces.get_mut(interface) else { return };
        let Some(link) = i.link.as_deref_mut() else { return };
        let Some(address) = link.addresses.get_mut(&addr) else { return };
        if !matches!(address.info.state, State::Tentative | State::Optimistic) {
            // RFC 5227 §2.4 c: addresses are kept and defended, but not in a war of announcements.
            let quiet = address.defended.is_none_or(|at| now.since(at) >= DEFEND_INTERVAL);
            if quiet {
                address.defended = Some(now);
                match addr {
                    IpAddr::V4(v4) => self.send_arp_announcement(interface, v4),
                    IpAddr::V6(v6) => self.advertise_address(interface, v6),
                }
                self.tell_address(interface, addr, AddressChange::Contested);
            }
            return;
        }
        // RFC 4862 §5.4.5, RFC 5227 §2.1.1: it is somebody else's.
        let AddressInfo { cidr, origin, valid_until, .. } = address.info;
        let preferred_until = address.info.preferred_until;
        let retries = address.retries + 1;
        address.info.state = State::Duplicate;
        i.config.addresses.retain(|other| other.addr != addr);
        self.link_timers.set(LinkTimer::Address(interface, addr), None);
        self.tell_address(interface, addr, AddressChange::Is(State::Duplicate));
        let IpAddr::V6(v6) = addr else { return };
        if origin == AddressOrigin::Manual || retries > MAX_RETRIES {
            return;
        }
        // RFC 7217 §6: the next one.
        let prefix = Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX));
        let next = IpAddr::V6(self.stable_address(interface, prefix, retries));
        if let Some(link) = self.link_mut(interface) {
            link.addresses.remove(&addr);
        }
        self.groups_changed(interface);
        let cidr = IpCidr { addr: next, ..cidr };
        self.assign(now, interface, cidr, origin, valid_until, retries);
        let link = self.link_mut(interface);
        if let Some(address) = link.and_then(|link| link.addresses.get_mut(&next)) {
            address.info.preferred_until = preferred_until;
        }
        self.tell_added(interface, next);
    }

    /// The address that an interface forms of a prefix: its identifier is stable, and different for each prefix (RFC 7217
    /// §5).
    fn stable_address(&self, interface: InterfaceId, prefix: Ipv6Addr, retries: u8) -> Ipv6Addr {
        let key = self.interfaces.get(interface).and_then(|i| i.config.identifier_key);
        let key = key.unwrap_or(self.identifier_key);
        let mac = self.link(interface).map_or([0; 6], |link| link.mac.0);
        for counter in retries.. {
            let mut hasher = SipHasher24::new_with_key(&key);
            hasher.write(&prefix.octets()[..8]);
            hasher.write(&mac);
            hasher.write(&[counter]);
            let id = hasher.finish();
            // RFC 5453: identifiers that mean something else already.
            let reserved = id == 0
                || (0x0200_5eff_fe00_0000..=0x0200_5eff_feff_ffff).contains(&id)
                || (0xfdff_ffff_ffff_ff80..=0xfdff_ffff_ffff_ffff).contains(&id);
            if !reserved {
                return Ipv6Addr::from_bits(prefix.to_bits() | u128::from(id));
            }
        }
        prefix
    }

    /// A router's prefix that hosts may form addresses of (RFC 4862 §5.5.3).
    pub(super) fn form_address(&mut self, now: Instant, interface: InterfaceId, prefix: &Prefix) {
        let Prefix { valid_lifetime, preferred_lifetime, .. } = *prefix;
        // c), and d) that the lengths add up: an identifier has 64 bits (RFC 2464 §4).
        if preferred_lifetime > valid_lifetime || prefix.len != 64 {
            return;
        }
        let Some(link) = self.link_mut(interface) else { return };
        let network = Ipv6Addr::from_bits(prefix.addr.to_bits() & !u128::from(u64::MAX));
        let in_network = |addr: &IpAddr| matches!(addr, IpAddr::V6(a) if a.to_bits() >> 64 == network.to_bits() >> 64);
        let formed = link
            .addresses
            .iter_mut()
            .find(|(addr, a)| a.info.origin == AddressOrigin::Slaac && in_network(addr));
        let Some((&addr, address)) = formed else {
            let count = link.addresses.values().filter(|a| a.info.origin == AddressOrigin::Slaac);
            if valid_lifetime == 0 || count.count() >= MAX_FORMED {
                return;
            }
            let addr = IpAddr::V6(self.stable_address(interface, network, 0));
            if self.is_local(addr) {
                return;
            }
            let cidr = IpCidr { addr, prefix_len: 64 };
            let until = ends(now, valid_lifetime);
            self.assign(now, interface, cidr, AddressOrigin::Slaac, until, 0);
            let link = self.link_mut(interface);
            if let Some(address) = link.and_then(|link| link.addresses.get_mut(&addr)) {
                address.info.preferred_until = ends(now, preferred_lifetime);
            }
            self.tell_added(interface, addr);
            return;
        };
        // e)
        let new = ends(now, valid_lifetime);
        let remaining = address.info.valid_until.since(now);
        if Duration::from_secs(valid_lifetime.into()) > TWO_HOURS || new > address.info.valid_until
        {
            address.info.valid_until = new;
        } else if remaining > TWO_HOURS {
            address.info.valid_until = now + TWO_HOURS;
        }
        address.info.preferred_until = ends(now, preferred_lifetime);
        if address.info.state == State::Deprecated && address.info.preferred_until > now {
            address.info.state = State::Preferred;
            self.tell_address(interface, addr, AddressChange::Is(State::Preferred));
        }
    }

    /// Deprecates and ends addresses whose time has come (RFC 4862 §5.5.4); when the next ones are due.
    pub(super) fn sweep_addresses(&mut self, now: Instant, interface: InterfaceId) -> Vec<Instant> {
        let mut due = Vec::new();
        let mut changes = Vec::new();
        let Some(i) = self.interfaces.get_mut(interface) else { return due };
        let Some(link) = i.link.as_deref_mut() else { return due };
        for (addr, Assigned { info, .. }) in &mut link.addresses {
            if info.valid_until <= now {
                changes.push((*addr, AddressChange::Removed));
                continue;
            }
            due.push(info.valid_until);
            if info.preferred_until > now {
                due.push(info.preferred_until);
            } else if info.state == State::Preferred {
                info.state = State::Deprecated;
                changes.push((*addr, AddressChange::Is(State::Deprecated)));
            }
        }
        for (addr, change) in changes {
            if change == AddressChange::Removed {
                self.unassign(interface, addr);
            }
            self.tell_address(interface, addr, change);
        }
        due
    }

    /// Takes an address from an Ethernet interface; whether it had it.
    pub(super) fn unassign(&mut self, interface: InterfaceId, addr: IpAddr) -> bool {
        let Some(i) = self.interfaces.get_mut(interface) else { return false };
        i.config.addresses.retain(|other| other.addr != addr);
        self.link_timers.set(LinkTimer::Address(interface, addr), None);
        let had = i.link.as_deref_mut().is_some_and(|link| link.addresses.remove(&addr).is_some());
        if had && addr.is_ipv6() {
            self.groups_changed(interface);
        }
        had
    }

    /// Tells of an address that an interface has besides those that it was made with.
    pub(super) fn tell_added(&mut self, interface: InterfaceId, addr: IpAddr) {
        let Some(i) = self.interfaces.get(interface) else { return };
        let assigned = i.link.as_ref().and_then(|link| link.addresses.get(&addr));
        let state = assigned.map_or(State::Preferred, |a| a.info.state);
        self.tell_address(interface, addr, AddressChange::Added(state));
    }

    pub(super) fn tell_address(
        &mut self,
        interface: InterfaceId,
        addr: IpAddr,
        change: AddressChange,
    ) {
        if self.interface_events < MAX_EVENTS {
            self.interface_events += 1;
            self.events.push_back(Queued::Address(interface, addr, change));
        }
    }

    /// The addresses of an interface, those too that are not used yet or any more.
    pub fn interface_addresses(&self, interface: InterfaceId) -> Vec<AddressInfo> {
        let Some(i) = self.interfaces.get(interface) else { return Vec::new() };
        if let Some(link) = &i.link {
            return link.addresses.values().map(|a| a.info).collect();
        }
        let info = |cidr: &IpCidr| AddressInfo {
            cidr: *cidr,
            state: State::Preferred,
            origin: AddressOrigin::Manual,
            preferred_until: Instant::FAR_FUTURE,
            valid_until: Instant::FAR_FUTURE,
        };
        i.config.addresses.iter().map(info).collect()
    }
}
