//! ARP packets.

use etherparse::ArpPacketSlice;
use proptest::prelude::*;

use super::*;
use crate::testing::bytes;

const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const IP: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
const PEER: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);

fn emit(repr: &Repr) -> [u8; LEN] {
    let mut packet = [0xee; LEN];
    repr.emit(&mut packet);
    packet
}

proptest! {
    #[test]
    fn what_is_emitted_is_parsed_and_etherparse_agrees(
        reply: bool, mut mac: [u8; 6], sender in 0u32..0xe000_0000, target_mac: [u8; 6], target: u32,
    ) {
        mac[0] = mac[0] & !1 | 2;
        let repr = Repr {
            operation: if reply { Operation::Reply } else { Operation::Request },
            sender_mac: MacAddr(mac),
            sender_ip: Ipv4Addr::from_bits(sender),
            target_mac: MacAddr(target_mac),
            target_ip: Ipv4Addr::from_bits(target),
        };
        let packet = emit(&repr);
        prop_assert_eq!(Repr::parse(&packet), Ok(repr));
        let theirs = ArpPacketSlice::from_slice(&packet).unwrap();
        prop_assert_eq!(theirs.operation().0, 1 + u16::from(reply));
        prop_assert_eq!(theirs.sender_hw_addr(), &mac);
        prop_assert_eq!(theirs.sender_protocol_addr(), &repr.sender_ip.octets());
        prop_assert_eq!(theirs.target_hw_addr(), &target_mac);
        prop_assert_eq!(theirs.target_protocol_addr(), &repr.target_ip.octets());
        for len in 0..LEN {
            prop_assert_eq!(Repr::parse(&packet[..len]), Err(Error::Truncated));
        }
    }

    #[test]
    fn arbitrary_bytes_after_the_fixed_ones_do_not_panic(tail in bytes(40)) {
        let packet = [&[0, 1, 8, 0, 6, 4, 0][..], &tail].concat();
        if let Ok(repr) = Repr::parse(&packet) {
            prop_assert!(repr.sender_mac.is_unicast());
        }
        let _ = Repr::parse(&tail);
    }
}

#[test]
fn requests_replies_probes_and_announcements() {
    let request = Repr::request(MAC, IP, PEER);
    assert!(!request.is_probe() && !request.is_announcement());
    let other = MacAddr([2, 0, 0, 0, 0, 9]);
    let reply = request.reply(other);
    assert_eq!(
        (reply.operation, reply.sender_mac, reply.sender_ip),
        (Operation::Reply, other, PEER)
    );
    assert_eq!((reply.target_mac, reply.target_ip), (MAC, IP));
    let probe = Repr::probe(MAC, IP);
    assert!(probe.is_probe() && !probe.is_announcement());
    let announcement = Repr::announcement(MAC, IP);
    assert!(announcement.is_announcement() && !announcement.is_probe());
}

#[test]
fn other_formats_and_senders_that_are_no_station_are_refused() {
    for (at, value) in [
        (1, 6),    // hardware
        (2, 0x86), // protocol
        (4, 8),    // address lengths
        (5, 16),
        (7, 0), // operations: none, RARP
        (7, 3),
        (8, 3),    // group as sender
        (14, 224), // multicast as sender
    ] {
        let mut packet = emit(&Repr::request(MAC, IP, PEER));
        packet[at] = value;
        assert_eq!(Repr::parse(&packet), Err(Error::BadField), "{at}");
    }
    let zero = Repr { sender_mac: MacAddr::ZERO, ..Repr::request(MAC, IP, PEER) };
    assert_eq!(Repr::parse(&emit(&zero)), Err(Error::BadField));
    let broadcast = Repr { sender_ip: Ipv4Addr::BROADCAST, ..zero };
    let broadcast = Repr { sender_mac: MAC, ..broadcast };
    assert_eq!(Repr::parse(&emit(&broadcast)), Err(Error::BadField));
}
