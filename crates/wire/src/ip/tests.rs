//! IP headers: out and in again, against etherparse, options and extension headers.

use std::vec;
use std::vec::Vec;

use etherparse::{IpSlice, Ipv4Header};
use proptest::prelude::*;

use super::*;
use crate::testing::{V4, V6, addrs, bytes, mutate, mutations};

fn repr((src, dst): (IpAddr, IpAddr), protocol: u8, payload_len: usize) -> Repr {
    Repr {
        src,
        dst,
        protocol: Protocol(protocol),
        hop_limit: 64,
        traffic_class: 0,
        ident: 0,
        dont_fragment: true,
        flow_label: 0,
        payload_len,
    }
}

fn packet(addrs: (IpAddr, IpAddr), protocol: u8, payload: &[u8]) -> Vec<u8> {
    let repr = repr(addrs, protocol, payload.len());
    let mut bytes = vec![0xee; repr.header_len()];
    repr.emit(&mut bytes);
    bytes.extend_from_slice(payload);
    bytes
}

/// An IPv6 packet whose first extension header is of kind `first`.
fn v6(first: u8, headers: &[&[u8]]) -> Vec<u8> {
    packet(V6, first, &headers.concat())
}

/// An IPv4 packet with options (a multiple of four bytes) and eight bytes of data.
fn v4_with_options(options: &[u8]) -> Vec<u8> {
    let mut bytes = packet(V4, 17, &[0; 8]);
    bytes.splice(20..20, options.iter().copied());
    bytes[0] = 0x45 + (options.len() / 4) as u8;
    bytes[3] = bytes.len() as u8;
    fix_v4(&mut bytes);
    bytes
}

fn fix_v4(bytes: &mut [u8]) {
    let len = usize::from(bytes[0] & 15) * 4;
    bytes[10..12].fill(0);
    let sum = checksum::checksum(&bytes[..len]);
    bytes[10..12].copy_from_slice(&sum.to_be_bytes());
}

fn problem(code: u8, pointer: u16) -> Error {
    Error::ParameterProblem { code, pointer, even_if_multicast: false }
}

const UDP: [u8; 8] = [0, 1, 0, 2, 0, 8, 0, 0];

proptest! {
    #[test]
    fn what_is_emitted_is_parsed_and_etherparse_agrees(
        addrs in addrs(), hop_limit: u8, traffic_class: u8, ident: u16, dont_fragment: bool,
        flow_label in 0u32..1 << 20, payload in bytes(90), padding in bytes(9),
    ) {
        let repr = Repr {
            hop_limit, traffic_class, ident, dont_fragment, flow_label,
            ..repr(addrs, 17, payload.len())
        };
        let mut bytes = vec![0xee; repr.header_len()];
        repr.emit(&mut bytes);
        bytes.extend_from_slice(&payload);
        bytes.extend_from_slice(&padding);
        let parsed = Packet::parse(&bytes).unwrap();
        prop_assert_eq!((parsed.src, parsed.dst), addrs);
        prop_assert_eq!(parsed.protocol, Protocol::UDP);
        prop_assert_eq!((parsed.hop_limit, parsed.traffic_class), (hop_limit, traffic_class));
        prop_assert_eq!(parsed.dont_fragment, dont_fragment || addrs.0.is_ipv6());
        prop_assert_eq!((parsed.fragment, parsed.router_alert), (None, false));
        prop_assert_eq!(bytes[parsed.next_header_offset], 17);
        prop_assert_eq!(&bytes[parsed.payload_offset..][..parsed.payload_len], &payload[..]);

        // To etherparse, an IPv6 length of 0 is "unknown", and the padding data.
        if addrs.0.is_ipv6() && payload.is_empty() {
            bytes.truncate(IPV6_HEADER_LEN);
        }
        let theirs = IpSlice::from_slice(&bytes).unwrap();
        prop_assert_eq!((theirs.source_addr(), theirs.destination_addr()), addrs);
        prop_assert_eq!(theirs.payload_ip_number().0, 17);
        prop_assert_eq!(theirs.payload().payload, &payload[..]);
        if let Some(v4) = theirs.ipv4() {
            let header = v4.header().to_header();
            prop_assert_eq!(header.calc_header_checksum(), header.header_checksum);
            prop_assert_eq!((header.identification, header.time_to_live), (ident, hop_limit));
            prop_assert_eq!(header.dont_fragment, dont_fragment);
        }
        if let Some(v6) = theirs.ipv6() {
            prop_assert_eq!(v6.header().flow_label().value(), flow_label);
            prop_assert_eq!(v6.header().traffic_class(), traffic_class);
        }
    }

    #[test]
    fn fragments_of_ipv4_are_read_as_etherparse_writes_them(
        ident: u16, offset in 0u16..8000, more: bool, options in 0usize..=10,
    ) {
        let mut header = Ipv4Header::new(16, 64, 17.into(), [192, 0, 2, 1], [198, 18, 0, 2]).unwrap();
        header.identification = ident;
        header.fragment_offset = offset.try_into().unwrap();
        header.more_fragments = more;
        header.options = vec![1; options * 4].as_slice().try_into().unwrap();
        header.total_len = (20 + options * 4 + 16) as u16;
        header.header_checksum = header.calc_header_checksum();
        let mut bytes = header.to_bytes().to_vec();
        bytes.extend_from_slice(&[7; 16]);
        let parsed = Packet::parse(&bytes).unwrap();
        let fragment = Fragment { ident: u32::from(ident), offset: offset * 8, more };
        prop_assert_eq!(parsed.fragment, (offset != 0 || more).then_some(fragment));
        prop_assert_eq!((parsed.payload_offset, parsed.payload_len), (20 + options * 4, 16));
    }

    #[test]
    fn truncation_at_every_length_is_an_error(addrs in addrs(), payload in bytes(30)) {
        let bytes = packet(addrs, 17, &payload);
        for len in 0..bytes.len() {
            prop_assert_eq!(Packet::parse(&bytes[..len]), Err(Error::Truncated));
        }
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(mut bytes in bytes(120), version in 3u8..8) {
        if let Some(first) = bytes.first_mut() {
            *first = *first & 0x0f | version << 4;
        }
        if let Ok(packet) = Packet::parse(&bytes) {
            prop_assert!(packet.payload_offset + packet.payload_len <= bytes.len());
        }
    }

    #[test]
    fn mutated_chains_stay_inside_the_packet(
        order in prop::collection::vec(0usize..5, 0..10), changes in mutations(), cut in 0usize..30,
    ) {
        // Headers of every kind in any order, then changes anywhere.
        let kinds = [0u8, 60, 43, 44, 60];
        let mut payload = Vec::new();
        for i in 0..order.len() {
            let next = order.get(i + 1).map_or(17, |k| kinds[*k]);
            payload.extend_from_slice(&[next, 0, 0, 0, 1, 2, 0, 0]);
        }
        payload.extend_from_slice(&UDP);
        let mut bytes = packet(V6, order.first().map_or(17, |k| kinds[*k]), &payload);
        mutate(&mut bytes[6..], &changes);
        bytes.truncate(bytes.len() - cut.min(payload.len()));
        let len = (bytes.len() - 40) as u16;
        bytes[4..6].copy_from_slice(&len.to_be_bytes());
        match Packet::parse(&bytes) {
            Ok(packet) => {
                prop_assert_eq!(packet.payload_offset + packet.payload_len, bytes.len());
                prop_assert_eq!(bytes[packet.next_header_offset], packet.protocol.0);
                let mut header = vec![0; packet.reassembled_header_len()];
                prop_assert_eq!(packet.emit_reassembled_header(&bytes, 8, &mut header), Ok(()));
            }
            Err(Error::ParameterProblem { pointer, .. }) => {
                prop_assert!(usize::from(pointer) < bytes.len());
            }
            Err(_) => {}
        }
    }

    #[test]
    fn a_flipped_bit_in_an_ipv4_header_is_noticed(bit in 0usize..160) {
        let mut bytes = packet(V4, 17, &UDP);
        bytes[bit / 8] ^= 0x80 >> (bit % 8);
        prop_assert!(Packet::parse(&bytes).is_err());
    }
}

#[test]
fn other_versions_are_refused() {
    let mut bytes = packet(V4, 17, &UDP);
    for version in (0..16).filter(|v| ![4, 6].contains(v)) {
        bytes[0] = version << 4 | 5;
        assert_eq!(Packet::parse(&bytes), Err(Error::BadVersion));
    }
}

#[test]
fn ipv4_lengths_that_lie_are_refused() {
    for (at, value, error) in
        [(0, 0x44, Error::BadLength), (3, 19, Error::BadLength), (3, 29, Error::Truncated)]
    {
        let mut bytes = packet(V4, 17, &UDP);
        bytes[at] = value;
        assert_eq!(Packet::parse(&bytes), Err(error));
    }
    // A header longer than the packet.
    let mut bytes = packet(V4, 17, &UDP);
    bytes[0] = 0x4f;
    assert_eq!(Packet::parse(&bytes), Err(Error::BadLength));
    // Fragments not cut at a multiple of eight, empty ones, and one that ends past 65,535.
    for (flags, payload) in [([0x20, 0], 7), ([0x20, 0], 0), ([0x1f, 0xff], 8)] {
        let mut bytes = packet(V4, 17, &vec![0; payload]);
        bytes[6..8].copy_from_slice(&flags);
        fix_v4(&mut bytes);
        assert_eq!(Packet::parse(&bytes), Err(Error::BadLength));
    }
}

#[test]
fn ipv4_options_are_survived() {
    for options in [
        &[1, 1, 1, 0][..],
        &[0, 7, 7, 7],             // after the end of the list anything goes
        &[7, 7, 4, 0, 0, 0, 0, 0], // record route
        &[68, 12, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0], // timestamp
        &[99, 4, 1, 2],            // unknown
        &[1; 40],
    ] {
        let parsed = Packet::parse(&v4_with_options(options)).unwrap();
        assert_eq!((parsed.payload_offset, parsed.payload_len), (20 + options.len(), 8));
        assert!(!parsed.router_alert);
    }
    assert!(Packet::parse(&v4_with_options(&[148, 4, 0, 0])).unwrap().router_alert);
}

#[test]
fn source_routes_are_refused() {
    for kind in [131, 137] {
        let bytes = v4_with_options(&[1, kind, 7, 4, 192, 0, 2, 9]);
        assert_eq!(Packet::parse(&bytes), Err(Error::SourceRoute));
    }
}

#[test]
fn malformed_ipv4_options_are_a_parameter_problem() {
    for (options, pointer) in
        [(&[99, 0, 0, 0][..], 21), (&[99, 1, 0, 0], 21), (&[1, 99, 9, 0], 22), (&[1, 1, 1, 99], 23)]
    {
        assert_eq!(Packet::parse(&v4_with_options(options)), Err(problem(0, pointer)));
    }
}

#[test]
fn extension_headers_are_walked_in_any_order() {
    let pad = [0, 0, 1, 4, 0, 0, 0, 0];
    let next = |kind: u8| [kind, pad[1], pad[2], pad[3], 0, 0, 0, 0];
    // Hop-by-hop, destination options, routing without segments left, destination options, UDP.
    let bytes = v6(0, &[&next(60), &next(43), &[60, 0, 0, 0, 0, 0, 0, 0], &next(17), &UDP]);
    let parsed = Packet::parse(&bytes).unwrap();
    assert_eq!(parsed.protocol, Protocol::UDP);
    assert_eq!((parsed.payload_offset, parsed.payload_len), (72, 8));
    assert_eq!(parsed.next_header_offset, 64);
}

#[test]
fn authentication_encryption_and_no_next_header_end_the_chain() {
    for kind in [50, 51, 59, 135, 253] {
        let bytes = v6(60, &[&[kind, 0, 1, 4, 0, 0, 0, 0], &[9; 16]]);
        let parsed = Packet::parse(&bytes).unwrap();
        assert_eq!((parsed.protocol, parsed.payload_offset), (Protocol(kind), 48));
    }
}

#[test]
fn hop_by_hop_comes_first_or_not_at_all() {
    let bytes = v6(60, &[&[0, 0, 1, 4, 0, 0, 0, 0], &[17, 0, 1, 4, 0, 0, 0, 0], &UDP]);
    assert_eq!(Packet::parse(&bytes), Err(problem(1, 40)));
}

#[test]
fn action_bits_of_unknown_options_are_obeyed() {
    for first in [0, 60] {
        let parse = |action: u8| {
            Packet::parse(&v6(first, &[&[17, 0, 1, 0, action << 6 | 0x1e, 2, 0, 0], &UDP]))
        };
        assert_eq!(parse(0).unwrap().protocol, Protocol::UDP);
        assert_eq!(parse(1), Err(Error::UnknownOption));
        let reply =
            |even_if_multicast| Error::ParameterProblem { code: 2, pointer: 44, even_if_multicast };
        assert_eq!(parse(2), Err(reply(true)));
        assert_eq!(parse(3), Err(reply(false)));
    }
}

#[test]
fn options_past_their_header_are_refused() {
    for option in [[1, 5, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1], [5, 255, 0, 0, 0, 0]] {
        let header = [&[17, 0][..], &option].concat();
        assert_eq!(Packet::parse(&v6(0, &[&header, &UDP])), Err(Error::BadLength));
    }
}

#[test]
fn router_alert_is_seen_in_hop_by_hop_options_only() {
    let header = [17, 0, 5, 2, 0, 0, 1, 0];
    assert!(Packet::parse(&v6(0, &[&header, &UDP])).unwrap().router_alert);
    assert!(!Packet::parse(&v6(60, &[&header, &UDP])).unwrap().router_alert);
}

#[test]
fn routing_headers_are_refused_with_segments_left_and_ignored_without() {
    for kind in [0, 2, 4, 253] {
        let route = |left| v6(43, &[&[17, 2, kind, left, 0, 0, 0, 0], &[0; 16], &UDP]);
        assert_eq!(Packet::parse(&route(1)), Err(problem(0, 42)));
        assert_eq!(Packet::parse(&route(0)).unwrap().payload_offset, 64);
    }
}

#[test]
fn headers_and_options_are_bounded() {
    let header = [60, 0, 1, 4, 0, 0, 0, 0];
    let last = [17, 0, 1, 4, 0, 0, 0, 0];
    let chain = |n: usize| v6(60, &[&header.repeat(n - 1), &last, &UDP]);
    assert_eq!(Packet::parse(&chain(8)).unwrap().payload_offset, 104);
    assert_eq!(Packet::parse(&chain(9)), Err(Error::TooManyHeaders));
    let options = |n: usize| {
        let mut header = [&[17, 2][..], &[0x1e, 0].repeat(n)].concat();
        header.resize(24, 0);
        v6(60, &[&header, &UDP])
    };
    assert!(Packet::parse(&options(8)).is_ok());
    assert_eq!(Packet::parse(&options(9)), Err(Error::TooManyHeaders));
}

#[test]
fn a_chain_past_the_end_is_truncated() {
    for bytes in [v6(0, &[]), v6(60, &[&[17, 1, 1, 4, 0, 0, 0, 0]]), v6(44, &[&[17, 0, 0, 0]])] {
        assert_eq!(Packet::parse(&bytes), Err(Error::Truncated));
    }
}

#[test]
fn an_atomic_fragment_is_a_whole_datagram() {
    let parsed = Packet::parse(&v6(44, &[&[17, 0, 0, 0, 1, 2, 3, 4], &UDP])).unwrap();
    assert_eq!((parsed.protocol, parsed.fragment), (Protocol::UDP, None));
    assert_eq!(parsed.payload_offset, 48);
}

#[test]
fn fragments_are_reported_with_where_they_belong() {
    let parsed = Packet::parse(&v6(44, &[&[17, 0, 0, 9, 1, 2, 3, 4], &[0; 16]])).unwrap();
    assert_eq!(parsed.fragment, Some(Fragment { ident: 0x01020304, offset: 8, more: true }));
    let parsed = Packet::parse(&v6(44, &[&[17, 0, 0, 16, 1, 2, 3, 4], &[0; 3]])).unwrap();
    assert_eq!(parsed.fragment, Some(Fragment { ident: 0x01020304, offset: 16, more: false }));
    assert_eq!((parsed.payload_offset, parsed.payload_len), (48, 3));
}

#[test]
fn fragments_with_bad_lengths_are_a_parameter_problem() {
    let parse = |field: [u8; 2], len| {
        Packet::parse(&v6(44, &[&[17, 0, field[0], field[1], 1, 2, 3, 4], &vec![0; len]]))
    };
    assert_eq!(parse([0, 9], 7), Err(problem(0, 4)));
    assert_eq!(parse([0, 9], 0), Err(problem(0, 4)));
    assert_eq!(parse([0xff, 0xf8], 8), Err(problem(0, 42)));
    assert!(parse([0xff, 0xf8], 7).is_ok());
}

#[test]
fn a_first_fragment_carries_the_whole_chain() {
    let first =
        |kind: u8, data: &[u8]| Packet::parse(&v6(44, &[&[kind, 0, 0, 1, 0, 0, 0, 0], data]));
    let tcp = |offset: u8, len| {
        let mut data = vec![0; len];
        data[12] = offset << 4;
        data
    };
    assert!(first(6, &tcp(5, 24)).is_ok());
    assert_eq!(first(6, &tcp(8, 24)), Err(problem(3, 0)));
    assert_eq!(first(6, &tcp(0, 16)), Err(problem(3, 0)));
    assert!(first(17, &[0; 8]).is_ok());
    assert!(first(58, &[0; 8]).is_ok());
    // Destination options in the fragmentable part, then nothing, and then UDP.
    assert!(first(60, &[17, 0, 1, 4, 0, 0, 0, 0, 0, 1, 0, 2, 0, 8, 0, 0]).is_ok());
    assert_eq!(first(60, &[17, 0, 1, 4, 0, 0, 0, 0]), Err(problem(3, 0)));
    assert_eq!(first(60, &[17, 1, 1, 4, 0, 0, 0, 0]), Err(problem(3, 0)));
}

#[test]
fn a_reassembled_datagram_parses_whole() {
    // IPv6: hop-by-hop options, an atomic fragment header, then the fragment; UDP in two pieces.
    let data = [[0, 1, 0, 2, 0, 16, 0, 0], [9; 8]];
    let head = [44, 0, 5, 2, 0, 0, 1, 0];
    let atomic = [44, 0, 0, 0, 0, 0, 0, 5];
    let first = v6(0, &[&head, &atomic, &[17, 0, 0, 1, 0, 0, 0, 7], &data[0]]);
    let packet = Packet::parse(&first).unwrap();
    assert_eq!(packet.reassembled_header_len(), 56);
    let mut whole = vec![0; 56];
    packet.emit_reassembled_header(&first, 16, &mut whole).unwrap();
    whole.extend_from_slice(&data.concat());
    let parsed = Packet::parse(&whole).unwrap();
    assert_eq!((parsed.protocol, parsed.fragment), (Protocol::UDP, None));
    assert_eq!((parsed.payload_offset, parsed.payload_len), (56, 16));
    assert!(parsed.router_alert);
    let mut short = [0; 55];
    assert_eq!(packet.emit_reassembled_header(&first, 16, &mut short), Err(Error::BadLength));
    let mut buf = [0; 56];
    assert_eq!(packet.emit_reassembled_header(&first, 65_519, &mut buf), Ok(()));
    assert_eq!(packet.emit_reassembled_header(&first, 65_520, &mut buf), Err(Error::BadLength));

    // IPv4, with an option.
    let mut first = v4_with_options(&[148, 4, 0, 0]);
    first[6] = 0x20;
    fix_v4(&mut first);
    let packet = Packet::parse(&first).unwrap();
    let mut whole = vec![0; packet.reassembled_header_len()];
    packet.emit_reassembled_header(&first, 16, &mut whole).unwrap();
    whole.extend_from_slice(&data.concat());
    let parsed = Packet::parse(&whole).unwrap();
    assert_eq!((parsed.fragment, parsed.payload_len, parsed.router_alert), (None, 16, true));
    let mut buf = [0; 24];
    assert_eq!(packet.emit_reassembled_header(&first, 65_512, &mut buf), Err(Error::BadLength));
}

proptest! {
    #[test]
    fn fragments_cover_the_datagram_and_parse(
        addrs in addrs(), len in 0usize..9000, mtu in 48usize..1600, ident: u16,
    ) {
        // No upper layer whose header the first fragment would have to hold.
        let repr = repr(addrs, 253, len);
        let Some(pieces) = repr.fragments(mtu, u32::from(ident)) else {
            prop_assert!(mtu - repr.fragment_header_len() < 8);
            return Ok(());
        };
        let mut next = 0;
        for (fragment, piece) in pieces {
            prop_assert_eq!(usize::from(fragment.offset), next);
            let mut bytes = vec![0xee; repr.fragment_header_len() + piece];
            prop_assert!(bytes.len() <= mtu);
            repr.emit_fragment(fragment, piece, &mut bytes);
            let parsed = Packet::parse(&bytes).unwrap();
            let whole = !fragment.more && fragment.offset == 0;
            prop_assert_eq!(parsed.fragment, (!whole).then_some(fragment));
            prop_assert_eq!((parsed.payload_len, parsed.protocol), (piece, Protocol(253)));
            prop_assert_eq!((parsed.src, parsed.dst), addrs);
            next += piece;
            prop_assert_eq!(fragment.more, next < len);
        }
        prop_assert_eq!(next, len);
    }
}

#[test]
fn datagrams_too_long_for_their_length_field_are_not_cut() {
    assert!(repr(V4, 17, 65_515).fragments(1500, 1).is_some());
    assert!(repr(V4, 17, 65_516).fragments(1500, 1).is_none());
    assert!(repr(V6, 17, 65_535).fragments(1500, 1).is_some());
    assert!(repr(V6, 17, 65_536).fragments(1500, 1).is_none());
    assert!(repr(V6, 17, 100).fragments(0, 1).is_none());
    assert_eq!(repr(V6, 17, 65_535).fragments(1500, 1).unwrap().last().unwrap().1, 65_535 % 1448);
}

#[test]
fn a_router_alert_is_seen_again() {
    for addrs in [V4, V6] {
        let repr = repr(addrs, 2, 8);
        let len = repr.router_alert_header_len();
        let mut bytes = vec![0xee; len + 8];
        repr.emit_with_router_alert(&mut bytes);
        let parsed = Packet::parse(&bytes).unwrap();
        assert!(parsed.router_alert);
        assert_eq!((parsed.protocol, parsed.payload_offset), (Protocol::IGMP, len));
        assert_eq!(parsed.payload_len, 8);
    }
}
