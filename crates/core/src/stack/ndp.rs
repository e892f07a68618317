//! Neighbour discovery (RFC 4861): solicitations and advertisements of neighbours, in and out, and redirects. What routers
//! say of themselves is in `router.rs`.

use std::net::{IpAddr, Ipv6Addr};

use usernet_wire::ethernet::MacAddr;
use usernet_wire::ip::{Packet, Protocol, Repr as IpRepr};
use usernet_wire::ndp::{self, HOP_LIMIT, Message, NdOption, Options};

use super::Stack;
use super::neighbor::News;
use super::output::{Class, Outgoing};
use crate::interface::{AddressOrigin, AddressState, InterfaceId, is_unicast};
use crate::time::Instant;

/// Redirects remembered per interface; beyond it the oldest is forgotten.
const MAX_REDIRECTS: usize = 256;

pub(super) const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
pub(super) const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

impl Stack {
    /// Takes a neighbour discovery message, whose checksum was verified.
    pub(super) fn ndp_input(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        packet: &Packet,
        (kind, code, rest): (u8, u8, &[u8]),
    ) {
        let Some(link) = self.link(interface) else { return };
        let own = link.mac;
        let Ok((message, options)) = Message::parse(kind, code, rest, packet) else {
            self.stats.nd_in_errors += 1;
            return;
        };
        let (source_mac, target_mac) = macs(options);
        if source_mac == Some(own) || target_mac == Some(own) {
            // Our own, come back by another way than Ethernet's header tells.
            self.stats.link_in_filtered += 1;
            return;
        }
        let src = packet.src;
        match message {
            Message::NeighborSolicitation { target } => {
                self.solicited(now, interface, src, target, source_mac, options);
            }
            Message::NeighborAdvertisement { target, router, solicited, override_ } => {
                let target = IpAddr::V6(target);
                let state = self
                    .link(interface)
                    .and_then(|link| link.addresses.get(&target))
                    .map(|a| a.info.state);
                if state.is_some_and(|state| state != AddressState::Duplicate) {
                    // RFC 4862 §5.4.4: somebody else has it.
                    return self.address_conflict(now, interface, target);
                }
                let news = News::Advert { solicited, override_, router: Some(router) };
                self.neighbor_heard(now, interface, target, target_mac, news);
            }
            Message::RouterSolicitation => {
                // RFC 4861 §6.2.6: it concerns routers.
                if self.config.forwarding && is_unicast(src) {
                    self.neighbor_heard(now, interface, src, source_mac, News::Hint);
                }
                self.router_solicited(now, interface);
            }
            Message::RouterAdvertisement { .. } => {
                self.router_advertised(now, interface, src, message, options);
            }
            Message::Redirect { target, destination } => {
                let (target, destination) = (IpAddr::V6(target), IpAddr::V6(destination));
                if self.redirected(now, interface, src, destination, target) {
                    self.neighbor_heard(now, interface, target, target_mac, News::Hint);
                    if target != destination {
                        self.mark_router(interface, target);
                    }
                }
            }
        }
    }

    /// Somebody asks for `target` (RFC 4861 §7.2.3).
    fn solicited(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        src: IpAddr,
        target: Ipv6Addr,
        source_mac: Option<MacAddr>,
        options: Options<'_>,
    ) {
        let Some(link) = self.link(interface) else { return };
        let mac = link.mac;
        let Some(address) = link.addresses.get(&IpAddr::V6(target)) else { return };
        let state = address.info.state;
        let detecting = matches!(state, AddressState::Tentative | AddressState::Optimistic);
        if src.is_unspecified() && detecting {
            // RFC 4862 §5.4.3: another checks the same address. RFC 7527 §4.2: unless it is our own question.
            let ours = options
                .into_iter()
                .any(|o| matches!(o, NdOption::Nonce(nonce) if nonce == address.nonce));
            if !ours {
                self.address_conflict(now, interface, IpAddr::V6(target));
            }
            return;
        }
        if matches!(state, AddressState::Tentative | AddressState::Duplicate) {
            return;
        }
        // RFC 4429 §3.3: what is not sure yet overrides nothing.
        let override_ = state != AddressState::Optimistic;
        // RFC 4861 §7.2.4: who has no address yet is answered as everybody.
        let (dst, solicited) = match src {
            IpAddr::V6(src) if is_unicast(IpAddr::V6(src)) => (src, true),
            _ => (ALL_NODES, false),
        };
        if solicited {
            self.neighbor_heard(now, interface, src, source_mac, News::Hint);
        }
        let router = self.config.forwarding;
        let advert = Message::NeighborAdvertisement { target, router, solicited, override_ };
        self.send_nd(interface, target, dst, advert, &[NdOption::TargetMac(mac)]);
    }

    /// Tells everybody that we have an address (RFC 4861 §7.2.6).
    pub(super) fn advertise_address(&mut self, interface: InterfaceId, target: Ipv6Addr) {
        let Some(link) = self.link(interface) else { return };
        let option = NdOption::TargetMac(link.mac);
        let router = self.config.forwarding;
        let advert =
            Message::NeighborAdvertisement { target, router, solicited: false, override_: true };
        self.send_nd(interface, target, ALL_NODES, advert, &[option]);
    }

    /// Asks all on the link who has `target`, or, when `mac` is known, whether it is still there.
    pub(super) fn send_neighbor_solicitation(
        &mut self,
        interface: InterfaceId,
        source: Ipv6Addr,
        target: Ipv6Addr,
        mac: Option<MacAddr>,
    ) {
        let Some(link) = self.link(interface) else { return };
        let own = NdOption::SourceMac(link.mac);
        let sure = link.addresses.get(&IpAddr::V6(source)).is_none_or(|a| {
            a.info.state != AddressState::Optimistic || a.info.origin == AddressOrigin::Manual
        });
        // RFC 4429 §3.2: an address that is not sure yet must not change what others know of it. Who configured one means
        // to use it at once: two such hosts could not find one another before both are sure.
        let options: &[NdOption<'_>] = if sure { &[own] } else { &[] };
        let message = Message::NeighborSolicitation { target };
        match mac {
            Some(mac) => {
                let packet = nd_packet(interface, source, target, message, options);
                self.stats.icmp_out_msgs += 1;
                self.send_framed(mac, packet);
            }
            None => {
                self.send_nd(interface, source, ndp::solicited_node(target), message, options);
            }
        }
    }

    /// Queues a message.
    pub(super) fn send_nd(
        &mut self,
        interface: InterfaceId,
        src: Ipv6Addr,
        dst: Ipv6Addr,
        message: Message,
        options: &[NdOption<'_>],
    ) {
        if self.send_packet(nd_packet(interface, src, dst, message, options)) {
            self.stats.icmp_out_msgs += 1;
        }
    }

    /// A router says that `target` is the better first hop to `destination`; whether it is believed: only from the current
    /// first hop (RFC 4861 §8.1, RFC 1122 §3.2.2.2), and not by a router.
    pub(super) fn redirected(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        from: IpAddr,
        destination: IpAddr,
        target: IpAddr,
    ) -> bool {
        let current = self.next_hop(interface, destination);
        if self.config.forwarding
            || current != Some(from)
            || !is_unicast(destination)
            || !is_unicast(target)
            || self.is_local(target)
            || self.is_local(destination)
        {
            self.stats.nd_in_errors += 1;
            return false;
        }
        let Some(link) = self.link_mut(interface) else { return false };
        if link.redirects.len() >= MAX_REDIRECTS && !link.redirects.contains_key(&destination) {
            let oldest = link.redirects.iter().min_by_key(|(_, (_, at))| *at).map(|(dst, _)| *dst);
            oldest.map(|dst| link.redirects.remove(&dst));
        }
        link.redirects.insert(destination, (target, now));
        self.stats.redirects += 1;
        true
    }
}

/// The hardware addresses among the options: the source's and the target's.
fn macs(options: Options<'_>) -> (Option<MacAddr>, Option<MacAddr>) {
    let (mut source, mut target) = (None, None);
    for option in options {
        match option {
            NdOption::SourceMac(mac) => source = Some(mac),
            NdOption::TargetMac(mac) => target = Some(mac),
            _ => {}
        }
    }
    (source, target)
}

fn nd_packet(
    interface: InterfaceId,
    src: Ipv6Addr,
    dst: Ipv6Addr,
    message: Message,
    options: &[NdOption<'_>],
) -> Outgoing {
    let ip = IpRepr {
        src: src.into(),
        dst: dst.into(),
        protocol: Protocol::ICMPV6,
        hop_limit: HOP_LIMIT,
        traffic_class: 0,
        ident: 0,
        dont_fragment: true,
        flow_label: 0,
        payload_len: message.len(options),
    };
    let ip_len = ip.header_len();
    let mut bytes = vec![0; ip_len + ip.payload_len];
    ip.emit(&mut bytes[..ip_len]);
    message.emit(options, &mut bytes[ip_len..], src, dst);
    Outgoing { interface, bytes, checksum: None, gso: None, class: Class::Control }
}
