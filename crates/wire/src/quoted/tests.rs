//! Quotations, whole, cut and hostile.

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::testing::{V4, V6, addrs, bytes, mutate, mutations};
use crate::{ip, tcp};

fn packet(addrs: (IpAddr, IpAddr), protocol: Protocol, payload: &[u8]) -> Vec<u8> {
    let repr = ip::Repr {
        src: addrs.0,
        dst: addrs.1,
        protocol,
        hop_limit: 3,
        traffic_class: 0,
        ident: 0,
        dont_fragment: true,
        flow_label: 0,
        payload_len: payload.len(),
    };
    let mut bytes = vec![0; repr.header_len()];
    repr.emit(&mut bytes);
    bytes.extend_from_slice(payload);
    bytes
}

fn segment() -> Vec<u8> {
    let repr =
        tcp::Repr { src_port: 1234, dst_port: 80, seq: SeqNumber(99), ..tcp::Repr::default() };
    let mut bytes = vec![0; 20];
    repr.emit(&mut bytes);
    bytes
}

#[test]
fn eight_bytes_of_tcp_give_ports_and_sequence_number() {
    for addrs in [V4, V6] {
        let mut bytes = packet(addrs, Protocol::TCP, &segment());
        bytes.truncate(bytes.len() - 12);
        let quoted = Quoted::parse(&bytes).unwrap();
        assert_eq!((quoted.src, quoted.dst), addrs);
        assert_eq!((quoted.protocol, quoted.hop_limit), (Protocol::TCP, 3));
        assert_eq!(quoted.ports(), Some((1234, 80)));
        assert_eq!(quoted.tcp_seq(), Some(SeqNumber(99)));
        assert_eq!(quoted.echo(), None);
        assert!(!quoted.is_icmp_error());
    }
}

#[test]
fn less_gives_less() {
    for (addrs, header_len) in [(V4, 20), (V6, 40)] {
        let bytes = packet(addrs, Protocol::TCP, &segment());
        for len in 0..bytes.len() {
            match Quoted::parse(&bytes[..len]) {
                Err(error) => assert!(len < header_len && error == Error::Truncated),
                Ok(quoted) => {
                    assert_eq!(quoted.payload.len(), len - header_len);
                    assert_eq!(quoted.ports().is_some(), len >= header_len + 8);
                    assert_eq!(quoted.tcp_seq().is_some(), len >= header_len + 8);
                }
            }
        }
    }
}

#[test]
fn what_routers_changed_does_not_matter() {
    let mut bytes = packet(V4, Protocol::UDP, &segment());
    bytes[8] = 0;
    bytes[2..4].fill(0xff);
    bytes[10] ^= 0x55;
    let quoted = Quoted::parse(&bytes).unwrap();
    assert_eq!(quoted.ports(), Some((1234, 80)));
    assert_eq!(quoted.tcp_seq(), None);
}

#[test]
fn options_and_extension_headers_are_skipped() {
    let mut bytes = packet(V4, Protocol::TCP, &segment());
    bytes[0] = 0x46;
    bytes.splice(20..20, [1, 1, 1, 1]);
    assert_eq!(Quoted::parse(&bytes).unwrap().ports(), Some((1234, 80)));

    let mut chain = vec![60, 0, 0, 0, 0, 0, 0, 0]; // hop-by-hop
    chain.extend([44, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]); // destination options
    chain.extend([6, 0, 0, 1, 1, 2, 3, 4]); // first fragment
    chain.extend(segment());
    let bytes = packet(V6, Protocol(0), &chain);
    let quoted = Quoted::parse(&bytes).unwrap();
    assert_eq!((quoted.protocol, quoted.ports()), (Protocol::TCP, Some((1234, 80))));
    for len in 40..40 + 32 {
        assert_eq!(Quoted::parse(&bytes[..len]), Err(Error::Truncated), "{len}");
    }
}

#[test]
fn later_fragments_tell_nothing() {
    let mut bytes = packet(V4, Protocol::TCP, &segment());
    bytes[7] = 1;
    assert_eq!(Quoted::parse(&bytes), Err(Error::BadField));
    let bytes = packet(V6, Protocol(44), &[6, 0, 0, 8, 0, 0, 0, 0, 1, 2, 3, 4]);
    assert_eq!(Quoted::parse(&bytes), Err(Error::BadField));
}

#[test]
fn a_chain_without_end_is_given_up() {
    let chain = [60, 0, 0, 0, 0, 0, 0, 0].repeat(20);
    assert_eq!(Quoted::parse(&packet(V6, Protocol(60), &chain)), Err(Error::TooManyHeaders));
}

#[test]
fn echo_requests_and_errors_are_told_apart() {
    for (addrs, protocol, echo, error) in
        [(V4, Protocol::ICMP, 8, 11), (V6, Protocol::ICMPV6, 128, 2)]
    {
        let bytes = packet(addrs, protocol, &[echo, 0, 0, 0, 1, 2, 3, 4]);
        let quoted = Quoted::parse(&bytes).unwrap();
        assert_eq!((quoted.echo(), quoted.is_icmp_error()), (Some((0x102, 0x304)), false));
        let bytes = packet(addrs, protocol, &[error, 0, 0, 0, 1, 2, 3, 4]);
        let quoted = Quoted::parse(&bytes).unwrap();
        assert_eq!((quoted.echo(), quoted.is_icmp_error()), (None, true));
        let bytes = packet(addrs, protocol, &[]);
        assert!(Quoted::parse(&bytes).unwrap().is_icmp_error());
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_not_panic(mut bytes in bytes(120), version in 3u8..8) {
        if let Some(first) = bytes.first_mut() {
            *first = *first & 0x0f | version << 4;
        }
        if let Ok(quoted) = Quoted::parse(&bytes) {
            prop_assert!(bytes.ends_with(quoted.payload));
            let _ = (quoted.ports(), quoted.tcp_seq(), quoted.echo(), quoted.is_icmp_error());
        }
    }

    #[test]
    fn mutated_quotations_do_not_panic(addrs in addrs(), changes in mutations(), cut in 0usize..60) {
        let mut bytes = packet(addrs, Protocol::TCP, &segment());
        mutate(&mut bytes, &changes);
        bytes.truncate(bytes.len().saturating_sub(cut));
        if let Ok(quoted) = Quoted::parse(&bytes) {
            prop_assert!(bytes.ends_with(quoted.payload));
        }
    }
}
