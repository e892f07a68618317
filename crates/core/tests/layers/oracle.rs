//! etherparse as an independent judge of what a stack sends, and of how packets are read.

use std::net::IpAddr;

use etherparse::{
    ArpPacketSlice, EtherType, Ethernet2Slice, Icmpv4Slice, Icmpv6Slice, IpNumber, IpSlice,
    TcpSlice, UdpSlice,
};
use usernet_core::Medium;
use usernet_wire::checksum::checksum;
use usernet_wire::ip::Packet;

use crate::support::Host;

/// Panics unless a packet, broken perhaps, is read as etherparse reads it; whether it was.
pub(crate) fn agree(packet: &[u8]) -> bool {
    let (ours, theirs) = (Packet::parse(packet), IpSlice::from_slice(packet));
    let next = match packet.first().map(|first| first >> 4) {
        Some(4) => packet.get(9),
        Some(6) => packet.get(6),
        _ => None,
    };
    // Chains of extension headers, and authentication headers, are read by rules of one's own; to etherparse an IPv6
    // length of 0 says nothing.
    let plain = next.is_none_or(|next| ![0, 43, 44, 50, 51, 60, 135, 139, 140].contains(next));
    let unsaid =
        packet.first().is_some_and(|first| first >> 4 == 6) && packet.get(4..6) == Some(&[0; 2]);
    if !plain || unsaid {
        return false;
    }
    match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => {
            assert_eq!((ours.src, ours.dst), (theirs.source_addr(), theirs.destination_addr()));
            assert_eq!(ours.protocol.0, theirs.payload_ip_number().0);
            let body = &packet[ours.payload_offset..][..ours.payload_len];
            assert_eq!(body, theirs.payload().payload, "{packet:02x?}");
            assert_eq!(ours.fragment.is_some(), theirs.is_fragmenting_payload());
            true
        }
        (Ok(ours), Err(error)) => {
            panic!("we read {ours:?}, etherparse says {error} of {packet:02x?}")
        }
        // Checksums, and options that go on beyond the header, are ours alone to look at.
        (Err(_), _) => false,
    }
}

/// What was sent, by protocol, and judged good.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    pub(crate) arp: u32,
    pub(crate) fragments: u32,
    pub(crate) udp: u32,
    pub(crate) tcp: u32,
    pub(crate) icmp: u32,
    pub(crate) igmp: u32,
    /// Passed on for others: their headers alone are judged.
    pub(crate) forwarded: u32,
}

impl Judged {
    /// Panics unless etherparse finds every length and checksum right.
    pub(crate) fn frame(&mut self, host: &Host, medium: Medium, frame: &[u8]) {
        let bad = |what: &str| -> ! { panic!("{what} in {frame:02x?}") };
        let packet = match medium {
            Medium::Ip => frame,
            Medium::Ethernet(mac) => {
                let Ok(outer) = Ethernet2Slice::from_slice_without_fcs(frame) else {
                    bad("ethernet")
                };
                assert_eq!(outer.source(), mac.0, "its own hardware address");
                if outer.ether_type() == EtherType::ARP {
                    let Ok(_) = ArpPacketSlice::from_slice(outer.payload_slice()) else {
                        bad("arp")
                    };
                    self.arp += 1;
                    return;
                }
                outer.payload_slice()
            }
        };
        let source = if packet[0] >> 4 == 4 {
            IpAddr::from(<[u8; 4]>::try_from(&packet[12..16]).expect("an address"))
        } else {
            IpAddr::from(<[u8; 16]>::try_from(&packet[8..24]).expect("an address"))
        };
        if packet[0] >> 4 == 4 {
            let len = usize::from(packet[0] & 15) * 4;
            assert_eq!(checksum(&packet[..len]), 0, "IPv4 checksum of {frame:02x?}");
        }
        let mut ours = host.stack.addresses().into_iter().map(|(_, cidr)| cidr.addr);
        if !source.is_unspecified() && !ours.any(|addr| addr == source) {
            // What a router takes on is as good as it was.
            self.forwarded += 1;
            return;
        }
        let Ok(ip) = IpSlice::from_slice(packet) else { bad("ip") };
        if ip.is_fragmenting_payload() {
            self.fragments += 1;
            return;
        }
        let body = ip.payload().payload;
        let ends = match &ip {
            IpSlice::Ipv4(ip) => Err((ip.header().source(), ip.header().destination())),
            IpSlice::Ipv6(ip) => Ok((ip.header().source(), ip.header().destination())),
        };
        match ip.payload_ip_number() {
            IpNumber::UDP => {
                let Ok(udp) = UdpSlice::from_slice(body) else { bad("udp") };
                let header = udp.to_header();
                let sum = match ends {
                    Err((src, dst)) => header.calc_checksum_ipv4_raw(src, dst, udp.payload()),
                    Ok((src, dst)) => header.calc_checksum_ipv6_raw(src, dst, udp.payload()),
                };
                assert_eq!(sum, Ok(udp.checksum()), "UDP checksum of {frame:02x?}");
                self.udp += 1;
            }
            IpNumber::TCP => {
                let Ok(tcp) = TcpSlice::from_slice(body) else { bad("tcp") };
                let sum = match ends {
                    Err((src, dst)) => tcp.calc_checksum_ipv4(src, dst),
                    Ok((src, dst)) => tcp.calc_checksum_ipv6(src, dst),
                };
                assert_eq!(sum.ok(), Some(tcp.checksum()), "TCP checksum of {frame:02x?}");
                self.tcp += 1;
            }
            IpNumber::ICMP => {
                let Ok(_) = Icmpv4Slice::from_slice(body) else { bad("icmp") };
                assert_eq!(checksum(body), 0, "ICMP checksum of {frame:02x?}");
                self.icmp += 1;
            }
            IpNumber::IPV6_ICMP => {
                let (Ok(icmp), Ok((src, dst))) = (Icmpv6Slice::from_slice(body), ends) else {
                    bad("icmpv6")
                };
                assert!(icmp.is_checksum_valid(src, dst), "ICMPv6 checksum of {frame:02x?}");
                self.icmp += 1;
            }
            IpNumber::IGMP => {
                assert_eq!(checksum(body), 0, "IGMP checksum of {frame:02x?}");
                self.igmp += 1;
            }
            _ => bad("an unknown protocol"),
        }
    }
}
