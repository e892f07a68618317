//! Frame headers and hardware addresses.

use std::string::ToString;
use std::vec;

use etherparse::Ethernet2Slice;
use proptest::prelude::*;

use super::*;
use crate::testing::bytes;

proptest! {
    #[test]
    fn what_is_emitted_is_parsed_and_etherparse_agrees(
        dst: [u8; 6], mut src: [u8; 6], ethertype in 0x0600u16.., payload in bytes(40),
    ) {
        src[0] &= !1;
        prop_assume!(ethertype != 0x8100);
        let repr = Repr { dst: MacAddr(dst), src: MacAddr(src), ethertype: EtherType(ethertype) };
        let mut frame = vec![0; HEADER_LEN];
        repr.emit(&mut frame);
        frame.extend_from_slice(&payload);
        prop_assert_eq!(Repr::parse(&frame), Ok((repr, HEADER_LEN)));
        let theirs = Ethernet2Slice::from_slice_without_fcs(&frame).unwrap();
        prop_assert_eq!((theirs.destination(), theirs.source()), (dst, src));
        prop_assert_eq!((theirs.ether_type().0, theirs.payload_slice()), (ethertype, &payload[..]));
        for len in 0..HEADER_LEN {
            prop_assert_eq!(Repr::parse(&frame[..len]), Err(Error::Truncated));
        }
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in bytes(40)) {
        if let Ok((repr, offset)) = Repr::parse(&bytes) {
            prop_assert!(offset <= bytes.len() && !repr.src.is_multicast());
        }
    }
}

#[test]
fn a_priority_tag_is_skipped_and_a_vlan_is_not() {
    let mut frame = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x81, 0, 0xe0, 0, 0x86, 0xdd, 9];
    let (repr, offset) = Repr::parse(&frame).unwrap();
    assert_eq!((repr.ethertype, offset), (EtherType::IPV6, 18));
    assert_eq!(Repr::parse(&frame[..17]), Err(Error::Truncated));
    frame[15] = 7;
    let (repr, offset) = Repr::parse(&frame).unwrap();
    assert_eq!((repr.ethertype, offset), (EtherType::VLAN, 14));
    let (any, offset) = Repr::parse_any_vlan(&frame).unwrap();
    assert_eq!((any, offset), (Repr { ethertype: EtherType::IPV6, ..repr }, 18));
    assert_eq!(Repr::parse_any_vlan(&frame[..17]), Err(Error::Truncated));
    frame[12..14].copy_from_slice(&[8, 0]);
    assert_eq!(Repr::parse_any_vlan(&frame), Repr::parse(&frame));
}

#[test]
fn groups_as_source_and_lengths_as_type_are_refused() {
    let mut frame = [2, 0, 0, 0, 0, 1, 3, 0, 0, 0, 0, 2, 8, 0];
    assert_eq!(Repr::parse(&frame), Err(Error::BadField));
    frame[6] = 2;
    assert!(Repr::parse(&frame).is_ok());
    frame[12] = 5;
    assert_eq!(Repr::parse(&frame), Err(Error::BadField));
}

#[test]
fn addresses_know_what_they_are() {
    assert!(MacAddr::BROADCAST.is_broadcast() && MacAddr::BROADCAST.is_multicast());
    assert!(!MacAddr::ZERO.is_unicast() && !MacAddr::ZERO.is_multicast());
    let mac = MacAddr([2, 0, 0, 0xab, 0, 1]);
    assert!(mac.is_unicast());
    assert_eq!(mac.to_string(), "02:00:00:ab:00:01");
    // RFC 1112 §6.4: of the group, 23 bits; RFC 2464 §7: 32.
    let group = MacAddr::multicast_v4(Ipv4Addr::new(239, 129, 2, 3));
    assert_eq!(group, MacAddr([1, 0, 0x5e, 1, 2, 3]));
    let group = MacAddr::multicast_v6("ff02::1:ff12:3456".parse().unwrap());
    assert_eq!(group, MacAddr([0x33, 0x33, 0xff, 0x12, 0x34, 0x56]));
}
