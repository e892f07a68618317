//! ARP (RFC 826): questions for neighbours of IPv4 and answers to theirs, with the probes, announcements and defence of
//! RFC 5227.

use std::net::{IpAddr, Ipv4Addr};

use usernet_wire::arp::{LEN, Operation, Repr};
use usernet_wire::ethernet::{self, EtherType, HEADER_LEN, MacAddr};

use super::Stack;
use super::neighbor::{Neighbor, News};
use super::output::{Class, Outgoing};
use crate::interface::{AddressState, InterfaceId, is_unicast};
use crate::time::Instant;

impl Stack {
    /// Takes an ARP packet. `to_us` says that the frame was for us alone.
    pub(super) fn arp_input(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        bytes: &[u8],
        to_us: bool,
    ) {
        self.stats.arp_in_msgs += 1;
        let Ok(arp) = Repr::parse(bytes) else {
            self.stats.link_in_errors += 1;
            return;
        };
        let Some(link) = self.link(interface) else { return };
        let mac = link.mac;
        if arp.sender_mac == mac {
            return;
        }
        let state_of = |addr: Ipv4Addr| link.addresses.get(&IpAddr::V4(addr)).map(|a| a.info.state);
        let (sender, target) = (IpAddr::V4(arp.sender_ip), IpAddr::V4(arp.target_ip));
        // RFC 5227 §2.1.1, §2.4: another station speaks from an address of ours, or probes for one we probe for.
        if state_of(arp.sender_ip).is_some_and(|state| state != AddressState::Duplicate) {
            return self.address_conflict(now, interface, sender);
        }
        let target_state = state_of(arp.target_ip);
        if arp.is_probe() {
            if target_state == Some(AddressState::Tentative) {
                return self.address_conflict(now, interface, target);
            }
        } else if is_unicast(sender) && !self.is_broadcast_on(interface, sender) {
            let asks_us = arp.operation == Operation::Request && self.is_for_us(interface, target);
            let news = match arp.operation {
                // RFC 826: who asks us will be spoken to. Only who is on our link: the others are no neighbours.
                Operation::Request if asks_us && self.is_on_link(interface, sender) => News::Hint,
                Operation::Request => News::Overheard,
                // An answer that nobody asked for teaches nothing new: only entries that exist are corrected.
                Operation::Reply => {
                    let asked = link.neighbors.get(&sender).is_some_and(Neighbor::is_asked);
                    let solicited = asked && to_us;
                    News::Advert { solicited, override_: true, router: None }
                }
            };
            self.neighbor_heard(now, interface, sender, Some(arp.sender_mac), news);
        }
        if arp.operation == Operation::Request && self.is_for_us(interface, target) {
            self.send_arp(interface, arp.sender_mac, &arp.reply(mac));
        }
    }

    /// Whether `addr` is in a subnet of the interface, or routed to without a next hop.
    fn is_on_link(&self, interface: InterfaceId, addr: IpAddr) -> bool {
        self.next_hop(interface, addr) == Some(addr)
    }

    /// Asks who has `target`; `mac`, when it is known, whether it still does.
    pub(super) fn send_arp_request(
        &mut self,
        interface: InterfaceId,
        source: Ipv4Addr,
        target: Ipv4Addr,
        mac: Option<MacAddr>,
    ) {
        let Some(link) = self.link(interface) else { return };
        let request = Repr::request(link.mac, source, target);
        self.send_arp(interface, mac.unwrap_or(MacAddr::BROADCAST), &request);
    }

    /// Asks whether somebody uses `addr` already (RFC 5227 §2.1.1).
    pub(super) fn send_arp_probe(&mut self, interface: InterfaceId, addr: Ipv4Addr) {
        let Some(link) = self.link(interface) else { return };
        let probe = Repr::probe(link.mac, addr);
        self.send_arp(interface, MacAddr::BROADCAST, &probe);
    }

    /// Tells everybody that we use `addr` (RFC 5227 §2.3).
    pub(super) fn send_arp_announcement(&mut self, interface: InterfaceId, addr: Ipv4Addr) {
        let Some(link) = self.link(interface) else { return };
        let announcement = Repr::announcement(link.mac, addr);
        self.send_arp(interface, MacAddr::BROADCAST, &announcement);
    }

    fn send_arp(&mut self, interface: InterfaceId, to: MacAddr, arp: &Repr) {
        let mut bytes = vec![0; HEADER_LEN + LEN];
        let header = ethernet::Repr { dst: to, src: arp.sender_mac, ethertype: EtherType::ARP };
        header.emit(&mut bytes[..HEADER_LEN]);
        arp.emit(&mut bytes[HEADER_LEN..]);
        self.stats.arp_out_msgs += 1;
        let class = Class::Control;
        let frame = Outgoing { interface, bytes, checksum: None, gso: None, class };
        if !self.out.push_framed_if_room(frame) {
            self.stats.ip_out_discards += 1;
        }
    }
}
