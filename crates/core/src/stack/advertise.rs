//! A router's advertisements of itself on an Ethernet link (RFC 4861 §6.2): that it is a default router, the prefixes of its
//! addresses, the link's MTU. No configuration beyond that: the times are the RFC's defaults.

use std::net::{IpAddr, Ipv6Addr};

use usernet_wire::ndp::{Message, NdOption, Prefix};

use super::Stack;
use super::link::LinkTimer;
use super::ndp::{ALL_NODES, ALL_ROUTERS};
use crate::interface::{AddressState, InterfaceId};
use crate::time::{Duration, Instant};

/// MinRtrAdvInterval, and how much greater MaxRtrAdvInterval is (RFC 4861 §6.2.1: 200 s and 600 s): the time between
/// advertisements is drawn from between.
const MIN_INTERVAL: Duration = Duration::from_secs(200);
const INTERVAL_SPREAD: Duration = Duration::from_secs(400);
/// The first ones come sooner (MAX_INITIAL_RTR_ADVERT_INTERVAL, MAX_INITIAL_RTR_ADVERTISEMENTS, RFC 4861 §10).
const INITIAL_INTERVAL: Duration = Duration::from_secs(16);
const INITIAL: u8 = 3;
/// MIN_DELAY_BETWEEN_RAS and MAX_RA_DELAY_TIME (RFC 4861 §10).
const LEAST_BETWEEN: Duration = Duration::from_secs(3);
const MAX_ANSWER_DELAY: Duration = Duration::from_millis(500);
/// How long an interface without a link-local address that is sure waits for one.
const RETRY: Duration = Duration::from_secs(1);

/// AdvDefaultLifetime: 3 x MaxRtrAdvInterval; AdvValidLifetime and AdvPreferredLifetime, s (RFC 4861 §6.2.1).
const ROUTER_LIFETIME: u16 = 1800;
const VALID_LIFETIME: u32 = 2_592_000;
const PREFERRED_LIFETIME: u32 = 604_800;
/// AdvCurHopLimit: the present value of assigned numbers.
const HOP_LIMIT: u8 = 64;
/// Prefixes that fit into one packet, whatever the MTU is.
const MAX_PREFIXES: usize = 32;

/// When an interface advertises.
#[derive(Debug, Default)]
pub(super) struct Advertising {
    /// How many were sent, up to those that come soon.
    sent: u8,
    last: Option<Instant>,
    /// When the next is due.
    next: Option<Instant>,
}

impl Stack {
    /// Whether the stack is a router on an interface that says so.
    pub(super) fn advertises(&self, interface: InterfaceId) -> bool {
        let i = self.interfaces.get(interface);
        self.config.forwarding && i.is_some_and(|i| i.config.advertise && i.link.is_some())
    }

    /// The interface is there, its addresses changed, or forwarding began: the next one comes soon (RFC 4861 §6.2.4).
    pub(super) fn advertise_soon(&mut self, now: Instant, interface: InterfaceId) {
        if self.advertises(interface) {
            self.advertise_at(now, interface, now);
        }
    }

    /// A host asks for routers: all hosts get the answer (RFC 4861 §6.2.6), at most once in 3 s.
    pub(super) fn router_solicited(&mut self, now: Instant, interface: InterfaceId) {
        if self.advertises(interface) {
            let delay = self.jitter(MAX_ANSWER_DELAY);
            self.advertise_at(now, interface, now + delay);
        }
    }

    /// Sets the next advertisement to `at`, but not to later than it is, nor too soon after the last.
    fn advertise_at(&mut self, now: Instant, interface: InterfaceId, at: Instant) {
        let Some(link) = self.link_mut(interface) else { return };
        let advertising = &mut link.advertising;
        let earliest = advertising.last.map_or(now, |last| last + LEAST_BETWEEN);
        let at = at.max(earliest);
        let at = advertising.next.map_or(at, |next| next.min(at));
        advertising.next = Some(at);
        self.link_timers.set(LinkTimer::Advertise(interface), Some(at));
    }

    /// An advertisement is due.
    pub(super) fn advertise_timer(&mut self, now: Instant, interface: InterfaceId) {
        if !self.advertises(interface) {
            return;
        }
        let spread = self.jitter(INTERVAL_SPREAD);
        let source = self.advertising_source(interface);
        let Some(link) = self.link_mut(interface) else { return };
        let advertising = &mut link.advertising;
        let next = match source {
            None => RETRY,
            Some(_) if advertising.sent < INITIAL => INITIAL_INTERVAL,
            Some(_) => MIN_INTERVAL + spread,
        };
        advertising.next = Some(now + next);
        if source.is_some() {
            advertising.sent = advertising.sent.saturating_add(1);
            advertising.last = Some(now);
        }
        self.link_timers.set(LinkTimer::Advertise(interface), Some(now + next));
        if let Some(source) = source {
            self.send_advertisement(interface, source, ROUTER_LIFETIME);
        }
    }

    /// The interface is to be a router's no more: the hosts that were told of it are told so (RFC 4861 §6.2.5). Once: what
    /// comes after is sent by nobody.
    pub(super) fn stop_advertising(&mut self, interface: InterfaceId) {
        let told = self.link(interface).is_some_and(|link| link.advertising.sent > 0);
        if told && let Some(source) = self.advertising_source(interface) {
            self.send_advertisement(interface, source, 0);
        }
        if let Some(link) = self.link_mut(interface) {
            link.advertising = Advertising::default();
        }
        self.link_timers.set(LinkTimer::Advertise(interface), None);
    }

    /// The link-local address that advertisements come from (RFC 4861 §6.1.2: others are not believed), once it is sure.
    fn advertising_source(&self, interface: InterfaceId) -> Option<Ipv6Addr> {
        let i = self.interfaces.get(interface)?;
        let sure = |addr: &Ipv6Addr| {
            let assigned = i.link.as_ref().and_then(|link| link.addresses.get(&IpAddr::V6(*addr)));
            assigned.is_some_and(|a| a.info.state == AddressState::Preferred)
        };
        let mut addresses = i.config.addresses.iter().filter_map(|cidr| match cidr.addr {
            IpAddr::V6(addr) => Some(addr),
            IpAddr::V4(_) => None,
        });
        addresses.find(|a| a.is_unicast_link_local() && sure(a))
    }

    fn send_advertisement(
        &mut self,
        interface: InterfaceId,
        source: Ipv6Addr,
        router_lifetime: u16,
    ) {
        let Some(i) = self.interfaces.get(interface) else { return };
        let mtu = i.config.mtu;
        let addresses = || {
            i.config.addresses.iter().filter_map(|cidr| match cidr.addr {
                IpAddr::V6(addr) => Some((addr, cidr.prefix_len)),
                IpAddr::V4(_) => None,
            })
        };
        let mut prefixes: Vec<Prefix> = Vec::new();
        for (addr, len) in addresses().filter(|(a, len)| !a.is_unicast_link_local() && *len < 128) {
            let mask = u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0);
            let network = Ipv6Addr::from_bits(addr.to_bits() & mask);
            let known = prefixes.iter().any(|p| p.addr == network && p.len == len);
            if !known && prefixes.len() < MAX_PREFIXES {
                prefixes.push(Prefix {
                    addr: network,
                    len,
                    on_link: true,
                    // RFC 4862 §5.5.3 d: identifiers have 64 bits.
                    autonomous: len == 64,
                    valid_lifetime: VALID_LIFETIME,
                    preferred_lifetime: PREFERRED_LIFETIME,
                });
            }
        }
        let Some(mac) = self.link(interface).map(|link| link.mac) else { return };
        let message = Message::RouterAdvertisement {
            cur_hop_limit: HOP_LIMIT,
            flags: 0,
            router_lifetime,
            reachable_time: 0,
            retrans_timer: 0,
        };
        let mut options = vec![NdOption::SourceMac(mac), NdOption::Mtu(mtu.into())];
        options.extend(prefixes.into_iter().map(NdOption::Prefix));
        self.send_nd(interface, source, ALL_NODES, message, &options);
    }

    /// Whether `group` is that of the routers of a link where the stack is one (RFC 4861 §6.2.2).
    pub(super) fn is_routers_group(&self, interface: InterfaceId, group: IpAddr) -> bool {
        group == IpAddr::V6(ALL_ROUTERS) && self.advertises(interface)
    }
}
