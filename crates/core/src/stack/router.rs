//! What routers say (RFC 4861 §6.3): default routes, prefixes on the link, hop limit, MTU and timers.

use std::net::IpAddr;

use rand_core::Rng;
use usernet_wire::ndp::{Message, NdOption, Options, Prefix};

use super::Stack;
use super::link::LinkTimer;
use super::ndp::ALL_ROUTERS;
use super::neighbor::News;
use crate::interface::{InterfaceId, IpCidr};
use crate::time::{Duration, Instant};

/// MAX_RTR_SOLICITATIONS, RTR_SOLICITATION_INTERVAL and MAX_RTR_SOLICITATION_DELAY (RFC 4861 §10).
const MAX_SOLICITATIONS: u8 = 3;
const SOLICITATION_INTERVAL: Duration = Duration::from_secs(4);
pub(super) const MAX_DELAY: Duration = Duration::from_secs(1);

/// Routers and prefixes remembered per interface; further ones are ignored.
const MAX_ROUTERS: usize = 16;
const MAX_PREFIXES: usize = 32;

/// Greatest reachable time that is believed, ms (RFC 4861 §6.2.1), and least and greatest retransmission time.
const MAX_REACHABLE_MS: u32 = 3_600_000;
const RETRANS_MS: std::ops::RangeInclusive<u32> = 100..=60_000;

/// A default router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Router {
    pub(super) addr: IpAddr,
    pub(super) until: Instant,
    /// RFC 4191 §2.1: -1 low, 0 medium, 1 high.
    pub(super) preference: i8,
}

/// A prefix on the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OnLink {
    pub(super) cidr: IpCidr,
    pub(super) until: Instant,
}

/// When a lifetime ends, s; all ones: never.
pub(super) fn ends(now: Instant, lifetime: u32) -> Instant {
    if lifetime == u32::MAX {
        Instant::FAR_FUTURE
    } else {
        now + Duration::from_secs(lifetime.into())
    }
}

impl Stack {
    /// Begins to ask for routers (RFC 4861 §6.3.7).
    pub(super) fn solicit_routers(&mut self, now: Instant, interface: InterfaceId) {
        let at = now + self.jitter(MAX_DELAY);
        self.link_timers.set(LinkTimer::Solicit(interface), Some(at));
    }

    /// A random time below `most`.
    pub(super) fn jitter(&mut self, most: Duration) -> Duration {
        most.mul_f64(f64::from(self.rng.next_u32()) / f64::from(u32::MAX))
    }

    /// Asks for routers, again if none answers.
    pub(super) fn solicit_timer(&mut self, now: Instant, interface: InterfaceId) {
        // RFC 4429 §3.2: what is sent from an unsure address does not say the hardware address; so it may be any.
        let source = self.source_for(interface, ALL_ROUTERS.into());
        let forwarding = self.config.forwarding;
        let Some(link) = self.link_mut(interface) else { return };
        if link.solicitations >= MAX_SOLICITATIONS || forwarding {
            return;
        }
        link.solicitations += 1;
        let sure = source
            .and_then(|source| link.addresses.get(&source))
            .is_some_and(|a| a.info.state == crate::interface::AddressState::Preferred);
        let option = NdOption::SourceMac(link.mac);
        let message = Message::RouterSolicitation;
        match source {
            Some(IpAddr::V6(source)) if sure => {
                self.send_nd(interface, source, ALL_ROUTERS, message, &[option]);
            }
            _ => {
                let nobody = std::net::Ipv6Addr::UNSPECIFIED;
                self.send_nd(interface, nobody, ALL_ROUTERS, message, &[]);
            }
        }
        self.link_timers.set(LinkTimer::Solicit(interface), Some(now + SOLICITATION_INTERVAL));
    }

    /// A router advertises itself (RFC 4861 §6.3.4).
    pub(super) fn router_advertised(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        src: IpAddr,
        message: Message,
        options: Options<'_>,
    ) {
        let wanted = self.interfaces.get(interface).is_some_and(|i| i.config.slaac);
        let device_mtu = self.interfaces.get(interface).map_or(0, |i| i.config.mtu);
        // RFC 4861 §6.2.7: a router does not take them in.
        if !wanted || self.config.forwarding {
            return;
        }
        let Message::RouterAdvertisement {
            cur_hop_limit,
            flags,
            router_lifetime,
            reachable_time,
            retrans_timer,
        } = message
        else {
            return;
        };
        if router_lifetime != 0 {
            self.link_timers.set(LinkTimer::Solicit(interface), None);
        }
        let preference = match (flags >> 3) & 3 {
            1 => 1,
            3 => -1,
            _ => 0,
        };
        // RFC 4861 §6.3.4: a new base draws a new reachable time.
        let factor = 0.5 + f64::from(self.rng.next_u32()) / f64::from(u32::MAX);
        let Some(link) = self.link_mut(interface) else { return };
        if cur_hop_limit != 0 {
            link.hop_limit = Some(cur_hop_limit);
        }
        if reachable_time != 0 && reachable_time <= MAX_REACHABLE_MS {
            let base = Duration::from_millis(reachable_time.into());
            if base != link.base_reachable_time {
                link.base_reachable_time = base;
                link.reachable_time = base.mul_f64(factor);
            }
        }
        if retrans_timer != 0 {
            let ms = retrans_timer.clamp(*RETRANS_MS.start(), *RETRANS_MS.end());
            link.retrans_timer = Duration::from_millis(ms.into());
        }
        let room = link.routers.len() < MAX_ROUTERS;
        let known = link.routers.iter_mut().find(|router| router.addr == src);
        let until = now + Duration::from_secs(router_lifetime.into());
        match known {
            Some(router) => (router.until, router.preference) = (until, preference),
            None if router_lifetime != 0 && room => {
                link.routers.push(Router { addr: src, until, preference });
            }
            None => {}
        }
        let mut prefixes: smallvec::SmallVec<[Prefix; 8]> = smallvec::SmallVec::new();
        let mut mac = None;
        for option in options {
            match option {
                NdOption::SourceMac(source) => mac = Some(source),
                // RFC 4861 §6.3.4: neither below what IPv6 needs nor above what the link carries.
                NdOption::Mtu(mtu) if mtu >= 1280 && mtu <= u32::from(device_mtu) => {
                    link.mtu_v6 = Some(mtu as u16);
                }
                NdOption::Prefix(prefix) => prefixes.push(prefix),
                _ => {}
            }
        }
        if let Some(mac) = mac {
            self.neighbor_heard(now, interface, src, Some(mac), News::Hint);
        }
        self.mark_router(interface, src);
        for prefix in prefixes {
            self.prefix_advertised(now, interface, &prefix);
        }
        self.sweep_lifetimes(now, interface);
    }

    /// A prefix of the link: which addresses are on it (RFC 4861 §6.3.4), and which we form (RFC 4862 §5.5.3).
    fn prefix_advertised(&mut self, now: Instant, interface: InterfaceId, prefix: &Prefix) {
        if prefix.addr.is_unicast_link_local() || prefix.addr.is_multicast() {
            return;
        }
        let Some(link) = self.link_mut(interface) else { return };
        if prefix.on_link {
            let cidr = IpCidr { addr: prefix.addr.into(), prefix_len: prefix.len };
            let until = ends(now, prefix.valid_lifetime);
            let room = link.prefixes.len() < MAX_PREFIXES;
            let known = link.prefixes.iter_mut().find(|known| {
                known.cidr.prefix_len == cidr.prefix_len && known.cidr.contains(cidr.addr)
            });
            match known {
                Some(known) => known.until = until,
                None if prefix.valid_lifetime != 0 && room => {
                    link.prefixes.push(OnLink { cidr, until });
                }
                None => {}
            }
        }
        if prefix.autonomous {
            self.form_address(now, interface, prefix);
        }
    }

    /// Something that a router gave may have ended.
    pub(super) fn lifetimes_timer(&mut self, now: Instant, interface: InterfaceId) {
        self.sweep_lifetimes(now, interface);
    }

    /// Ends what has to end, and sets the timer for what ends next.
    pub(super) fn sweep_lifetimes(&mut self, now: Instant, interface: InterfaceId) {
        let addresses = self.sweep_addresses(now, interface);
        let Some(link) = self.link_mut(interface) else { return };
        link.routers.retain(|router| router.until > now);
        link.prefixes.retain(|prefix| prefix.until > now);
        let gateways: Vec<IpAddr> = link.routers.iter().map(|router| router.addr).collect();
        let next = link
            .routers
            .iter()
            .map(|router| router.until)
            .chain(link.prefixes.iter().map(|prefix| prefix.until))
            .chain(addresses)
            .filter(|until| *until != Instant::FAR_FUTURE)
            .min();
        // RFC 4861 §6.3.5: what went by a router that is one no more looks for another.
        link.redirects.retain(|dst, (target, _)| {
            target == dst || !target.is_ipv6() || gateways.contains(target)
        });
        self.link_timers.set(LinkTimer::Lifetimes(interface), next);
        self.reroute();
    }

    /// A neighbour does not answer: another router takes its place (RFC 4861 §6.3.6), and nobody is redirected to it any
    /// more (§7.3.3).
    pub(super) fn router_failed(&mut self, interface: InterfaceId, addr: IpAddr) {
        let Some(link) = self.link_mut(interface) else { return };
        link.redirects.retain(|_, (target, _)| *target != addr);
        if let Some(at) = link.routers.iter().position(|router| router.addr == addr) {
            let router = link.routers.remove(at);
            link.routers.push(router);
        }
    }

    /// A neighbour is no router any more (RFC 4861 §7.2.5).
    pub(super) fn router_gone(&mut self, interface: InterfaceId, addr: IpAddr) {
        let Some(link) = self.link_mut(interface) else { return };
        link.routers.retain(|router| router.addr != addr);
        link.redirects.retain(|_, (target, _)| *target != addr);
        self.reroute();
    }

    /// The default router of an interface: of those that may be reachable the most preferred, else the next in turn
    /// (RFC 4861 §6.3.6, RFC 4191 §3.2).
    pub(super) fn default_router(&self, interface: InterfaceId) -> Option<IpAddr> {
        let link = self.link(interface)?;
        let reachable = |router: &&Router| {
            link.neighbors.get(&router.addr).is_some_and(super::neighbor::Neighbor::is_known)
        };
        let preferred =
            link.routers.iter().filter(reachable).fold(None, |best: Option<&Router>, router| {
                match best {
                    Some(best) if best.preference >= router.preference => Some(best),
                    _ => Some(router),
                }
            });
        preferred.or(link.routers.first()).map(|router| router.addr)
    }

    /// The default routers of an interface, in the order they are tried.
    pub fn default_routers(&self, interface: InterfaceId) -> Vec<IpAddr> {
        let link = self.link(interface);
        link.map_or_else(Vec::new, |link| link.routers.iter().map(|r| r.addr).collect())
    }

    /// The hop limit of packets through `interface`: what a router told, unless the socket wants another than the default.
    pub(super) fn hop_limit(&self, interface: InterfaceId, v6: bool, asked: u8) -> u8 {
        if !v6 || asked != self.default_options.hop_limit {
            return asked;
        }
        self.link(interface).and_then(|link| link.hop_limit).unwrap_or(asked)
    }
}
