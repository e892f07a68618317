//! UDP headers: out and in again, against etherparse, and the checksum's special values.

use std::vec;
use std::vec::Vec;

use etherparse::UdpHeader;
use proptest::prelude::*;

use super::*;
use crate::testing::{V4, V6, addrs, bytes, mutate, mutations};

fn emit(ports: (u16, u16), payload: &[u8], (src, dst): (IpAddr, IpAddr)) -> Vec<u8> {
    let repr = Repr { src_port: ports.0, dst_port: ports.1, payload_len: payload.len() };
    let mut bytes = vec![0xee; HEADER_LEN];
    repr.emit(&mut bytes);
    let (a, b) = payload.split_at(payload.len() / 2);
    Repr::fill_checksum(&mut bytes, &[a, b], src, dst);
    bytes.extend_from_slice(payload);
    bytes
}

proptest! {
    #[test]
    fn what_is_emitted_is_parsed_and_etherparse_agrees(
        src_port: u16, dst_port in 1u16.., payload in bytes(90), addrs in addrs(), padding in bytes(9),
    ) {
        let mut bytes = emit((src_port, dst_port), &payload, addrs);
        let (theirs, rest) = UdpHeader::from_slice(&bytes).unwrap();
        prop_assert_eq!(rest, &payload[..]);
        prop_assert_eq!((theirs.source_port, theirs.destination_port), (src_port, dst_port));
        prop_assert_eq!(usize::from(theirs.length), bytes.len());
        let sum = match addrs {
            (IpAddr::V4(a), IpAddr::V4(b)) =>
                theirs.calc_checksum_ipv4_raw(a.octets(), b.octets(), &payload).unwrap(),
            (IpAddr::V6(a), IpAddr::V6(b)) =>
                theirs.calc_checksum_ipv6_raw(a.octets(), b.octets(), &payload).unwrap(),
            _ => unreachable!(),
        };
        prop_assert_eq!(theirs.checksum, sum);
        bytes.extend_from_slice(&padding);
        let repr = Repr { src_port, dst_port, payload_len: payload.len() };
        prop_assert_eq!(Repr::parse(&bytes, addrs.0, addrs.1, false), Ok(repr));
    }

    #[test]
    fn truncation_at_every_length_is_an_error(payload in bytes(30), addrs in addrs()) {
        let bytes = emit((7, 9), &payload, addrs);
        for len in 0..bytes.len() {
            let parsed = Repr::parse(&bytes[..len], addrs.0, addrs.1, true);
            prop_assert_eq!(parsed, Err(Error::Truncated));
        }
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in bytes(40), addrs in addrs(), checksum_ok: bool) {
        if let Ok(repr) = Repr::parse(&bytes, addrs.0, addrs.1, checksum_ok) {
            prop_assert!(HEADER_LEN + repr.payload_len <= bytes.len());
            prop_assert!(repr.dst_port != 0);
        }
    }

    #[test]
    fn mutated_datagrams_do_not_reach_past_their_end(payload in bytes(30), changes in mutations()) {
        let mut bytes = emit((7, 9), &payload, V4);
        mutate(&mut bytes, &changes);
        if let Ok(repr) = Repr::parse(&bytes, V4.0, V4.1, true) {
            prop_assert!(HEADER_LEN + repr.payload_len <= bytes.len());
        }
    }

    #[test]
    fn a_device_completes_a_partial_checksum(payload in bytes(90), addrs in addrs()) {
        let mut bytes = vec![0; HEADER_LEN];
        Repr { src_port: 1, dst_port: 2, payload_len: payload.len() }.emit(&mut bytes);
        Repr::fill_partial_checksum(&mut bytes, HEADER_LEN + payload.len(), addrs.0, addrs.1);
        bytes.extend_from_slice(&payload);
        checksum::complete(&mut bytes, 0, CHECKSUM_OFFSET).unwrap();
        prop_assert!(Repr::parse(&bytes, addrs.0, addrs.1, false).is_ok());
    }
}

#[test]
fn no_checksum_is_allowed_over_ipv4_and_refused_over_ipv6() {
    let repr = Repr { src_port: 1, dst_port: 2, payload_len: 4 };
    let mut bytes = [0; 12];
    repr.emit(&mut bytes);
    assert_eq!(Repr::parse(&bytes, V4.0, V4.1, false), Ok(repr));
    assert_eq!(Repr::parse(&bytes, V6.0, V6.1, false), Err(Error::BadChecksum));
    assert_eq!(Repr::parse(&bytes, V6.0, V6.1, true), Ok(repr));
}

#[test]
fn a_checksum_of_zero_is_sent_as_ones() {
    // Data is chosen so that the sum comes to zero: two bytes equal to the checksum of the rest.
    for addrs in [V4, V6] {
        let zero = emit((1, 2), &[0, 0], addrs);
        let bytes = emit((1, 2), &zero[6..8], addrs);
        assert_eq!(bytes[6..8], [0xff, 0xff]);
        assert!(Repr::parse(&bytes, addrs.0, addrs.1, false).is_ok());
    }
}

#[test]
fn a_wrong_checksum_is_refused_in_both_families() {
    for addrs in [V4, V6] {
        let mut bytes = emit((1, 2), b"hello", addrs);
        bytes[9] ^= 1;
        assert_eq!(Repr::parse(&bytes, addrs.0, addrs.1, false), Err(Error::BadChecksum));
    }
}

#[test]
fn lengths_that_lie_are_refused() {
    let mut bytes = emit((1, 2), b"hello", V4);
    for (len, error) in [
        (0, Error::BadLength),
        (7, Error::BadLength),
        (14, Error::Truncated),
        (0xffff, Error::Truncated),
    ] {
        bytes[4..6].copy_from_slice(&u16::to_be_bytes(len));
        assert_eq!(Repr::parse(&bytes, V4.0, V4.1, true), Err(error), "{len}");
    }
}

#[test]
fn destination_port_zero_is_refused_and_source_port_zero_is_not() {
    let bytes = emit((5, 0), b"x", V4);
    assert_eq!(Repr::parse(&bytes, V4.0, V4.1, false), Err(Error::BadField));
    let bytes = emit((0, 5), b"x", V4);
    assert_eq!(Repr::parse(&bytes, V4.0, V4.1, false).unwrap().src_port, 0);
}

#[test]
fn the_longest_datagram() {
    let payload = vec![0xa5; MAX_PAYLOAD_LEN];
    let bytes = emit((1, 2), &payload, V6);
    let repr = Repr::parse(&bytes, V6.0, V6.1, false).unwrap();
    assert_eq!(repr.payload_len, MAX_PAYLOAD_LEN);
}
