//! The ICMP errors that a host sends: which packets get one, which never do, how many there are; and what becomes of
//! options and extension headers.

use std::net::IpAddr;

use usernet_core::Duration;
use usernet_wire::checksum;
use usernet_wire::ip::{Packet, Protocol};

use crate::hostile::{with_extensions, with_options};
use crate::support::*;

/// What comes back for a packet: of each ICMP message type, code and the 32 bits behind the checksum.
fn answers(host: &mut Host, packet: Vec<u8>) -> Vec<(u8, u8, u32)> {
    host.give(packet);
    host.frames()
        .iter()
        .map(|bytes| {
            let ip = Packet::parse(bytes).expect("a packet");
            let body = &bytes[ip.payload_offset..];
            assert!([Protocol::ICMP, Protocol::ICMPV6].contains(&ip.protocol), "{ip:?}");
            (body[0], body[1], u32::from_be_bytes(body[4..8].try_into().expect("four")))
        })
        .collect()
}

/// A datagram of host 1 to a port of host 2.
fn probe((from, to): (IpAddr, IpAddr), port: u16) -> Vec<u8> {
    udp_packet((from, 9).into(), (to, port).into(), b"probe")
}

/// As `probe`, with extension headers.
fn probe_with(chain: &[(u8, &[u8])], dst: IpAddr, port: u16) -> Vec<u8> {
    let from = ip("fd00::1");
    with_extensions(from, dst, chain, &datagram((from, 9).into(), (dst, port).into(), b"probe"))
}

#[test]
fn who_asks_for_what_is_not_there_is_told() {
    for (theirs, ours) in families() {
        let mut host = Host::number(2);
        let (port, protocol) = if ours.is_ipv4() {
            ((3, 3, 0), (3, 2, 0))
        } else {
            // RFC 8200 §4: the pointer is that of the next header's number.
            ((1, 4, 0), (4, 1, 6))
        };
        assert_eq!(answers(&mut host, probe((theirs, ours), 7)), [port]);
        assert_eq!(answers(&mut host, packet(theirs, ours, Protocol(253), &[0; 8])), [protocol]);
    }
}

#[test]
fn what_never_gets_an_error() {
    let (theirs, ours) = families()[0];
    let (theirs6, ours6) = families()[1];
    let mut host = Host::number(2);
    host.stack.join_group(host.interface, ip("239.1.2.3")).unwrap();
    host.stack.join_group(host.interface, ip("ff15::7")).unwrap();
    let quoted = probe((ours, theirs), 7);
    let error = |kind: u8, quoted: &[u8]| [&[kind, 0, 0, 0, 0, 0, 0, 0], quoted].concat();
    let long = datagram((theirs, 9).into(), (ours, 7).into(), &[0; 100]);
    for (why, packet) in [
        ("sent to a group", probe((theirs, ip("239.1.2.3")), 7)),
        ("sent to a group", probe((theirs6, ip("ff15::7")), 7)),
        ("sent to all", probe((theirs, ip("255.255.255.255")), 7)),
        ("sent to all of the subnet", probe((theirs, ip("198.18.0.255")), 7)),
        ("from a group", probe((ip("239.1.2.3"), ours), 7)),
        ("from a group", probe((ip("ff15::7"), ours6), 7)),
        ("from all", probe((ip("198.18.0.255"), ours), 7)),
        ("from nobody", probe((ip("0.0.0.0"), ours), 7)),
        ("from nobody", probe((ip("::"), ours6), 7)),
        ("from this host", probe((ip("127.0.0.1"), ours), 7)),
        ("from this host", probe((ours, ours), 7)),
        ("a later fragment", fragment((theirs, ours), 5, &long, 80..108, false)),
        ("an error", packet(theirs, ours, Protocol::ICMP, &error(3, &quoted))),
        (
            "an error of an unknown kind",
            packet(theirs6, ours6, Protocol::ICMPV6, &error(100, &quoted)),
        ),
        (
            "a request to all",
            packet(theirs, ip("198.18.0.255"), Protocol::ICMP, &[8, 0, 0xf7, 0xff, 0, 0, 0, 0]),
        ),
    ] {
        assert_eq!(answers(&mut host, packet), [], "{why}");
    }
}

#[test]
fn messages_of_unknown_kinds_are_dropped_in_silence() {
    // RFC 1122 §3.2.2; RFC 4443 §2.4 (a), (b).
    let [(theirs, ours), (theirs6, ours6)] = families();
    let mut host = Host::number(2);
    for kind in [1, 6, 44, 200] {
        let mut body = vec![kind, 0, 0, 0, 0, 0, 0, 0];
        let sum = checksum::checksum(&body);
        body[2..4].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(answers(&mut host, packet(theirs, ours, Protocol::ICMP, &body)), [], "{kind}");
    }
    for kind in [100, 126, 200, 254] {
        let quoted = probe((ours6, theirs6), 7);
        let mut body = [&[kind, 0, 0, 0, 0, 0, 0, 0], &quoted[..]].concat();
        let len = body.len() as u32;
        let mut sum = checksum::Sum::pseudo_header(theirs6, ours6, Protocol::ICMPV6, len);
        sum.add(&body);
        body[2..4].copy_from_slice(&sum.finish().to_be_bytes());
        let packet = packet(theirs6, ours6, Protocol::ICMPV6, &body);
        assert_eq!(answers(&mut host, packet), [], "{kind}");
    }
    let stats = host.stack.stats();
    assert_eq!(
        (stats.icmp_in_errors, stats.ip_in_unknown_protos),
        (0, 0),
        "nothing is wrong with them"
    );
}

#[test]
fn errors_are_limited_and_those_that_were_not_sent_counted() {
    for ends in families() {
        let mut host = Host::number(2);
        let sent: usize = (0..500).map(|_| answers(&mut host, probe(ends, 7)).len()).sum();
        assert_eq!((sent, host.stack.stats().icmp_rate_limited), (50, 450));
        // A thousand a second.
        let later = NOW + Duration::from_millis(20);
        for _ in 0..100 {
            let frame = usernet_core::RxFrame::new(probe(ends, 7));
            host.stack.handle_frame(later, host.interface, frame);
        }
        assert_eq!(host.take(later).len(), 20);
    }
}

#[test]
fn unknown_options_do_what_their_numbers_say() {
    let mut host = Host::number(2);
    let (all, ours) = (ip("ff02::1"), ip("fd00::2"));
    let id = host.udp(ours, 7);
    for (header, at) in [(0u8, 42u32), (60, 42)] {
        for (kind, to_us, to_all) in [
            // RFC 8200 §4.2: skip; discard; discard and tell; discard and tell unless it was a group.
            (0x1e, None, None),
            (0x5e, Some(vec![]), Some(vec![])),
            (0x9e, Some(vec![(4, 2, at)]), Some(vec![(4, 2, at)])),
            (0xde, Some(vec![(4, 2, at)]), Some(vec![])),
        ] {
            for (dst, expected) in [(ours, to_us), (all, to_all)] {
                let chain: &[(u8, &[u8])] = &[(header, &[0, kind, 4, 0, 0, 0, 0])];
                let got = answers(&mut host, probe_with(chain, dst, 7));
                let delivered = host.recv(id).is_some();
                assert_eq!(delivered, expected.is_none(), "{header} {kind:#x} {dst}");
                assert_eq!(got, expected.unwrap_or_default(), "{header} {kind:#x} {dst}");
            }
        }
    }
}

#[test]
fn routing_headers_of_type_0_are_refused_and_headers_out_of_order() {
    let mut host = Host::number(2);
    let ours = ip("fd00::2");
    let id = host.udp(ours, 7);
    let routing = |left: u8| [&[2, 0, left, 0, 0, 0, 0][..], &[0; 16]].concat();
    // RFC 5095 §3: as any unknown type: with segments left the packet is refused, without it the header is skipped.
    assert_eq!(answers(&mut host, probe_with(&[(43, &routing(1))], ours, 7)), [(4, 0, 42)]);
    assert!(host.recv(id).is_none());
    assert_eq!(answers(&mut host, probe_with(&[(43, &routing(0))], ours, 7)), []);
    assert!(host.recv(id).is_some());
    // RFC 8200 §4.1: hop-by-hop options come first or not at all.
    let pad: &[u8] = &[0, 1, 4, 0, 0, 0, 0];
    assert_eq!(answers(&mut host, probe_with(&[(60, pad), (0, pad)], ours, 7)), [(4, 1, 40)]);
    assert!(host.recv(id).is_none());
    // In any other order, and more than once, they are taken (RFC 8200 §4.1).
    let atomic: &[u8] = &[0, 0, 0, 0, 0, 0, 7];
    let chain = [(0, pad), (60, pad), (43, &routing(0)[..]), (44, atomic), (60, pad)];
    assert_eq!(answers(&mut host, probe_with(&chain, ours, 7)), []);
    assert_eq!(&host.recv(id).expect("delivered").payload[..], b"probe");
}

#[test]
fn packets_with_ipv4_options_are_taken_unless_they_steer() {
    let mut host = Host::number(2);
    let (theirs, ours) = families()[0];
    let id = host.udp(ours, 7);
    let body = datagram((theirs, 9).into(), (ours, 7).into(), b"probe");
    for options in [
        // Router Alert, record route, timestamp, an unknown one, padding.
        &[0x94, 4, 0, 0][..],
        &[7, 7, 4, 0, 0, 0, 0, 0],
        &[68, 8, 5, 0, 0, 0, 0, 0],
        &[0x99, 4, 1, 2],
        &[1, 1, 1, 0],
    ] {
        assert_eq!(answers(&mut host, with_options(theirs, ours, options, &body)), []);
        assert_eq!(&host.recv(id).expect("delivered").payload[..], b"probe", "{options:?}");
    }
    // Loose and strict source routes (RFC 7126 §4.3, §4.4), and what cannot be an option.
    for options in [
        &[0x83, 7, 4, 198, 18, 0, 9, 0][..],
        &[0x89, 7, 4, 198, 18, 0, 9, 0],
        &[0x99, 0, 1, 2],
        &[0x99, 1, 1, 2],
        &[0x99, 9, 1, 2],
        &[1, 1, 1, 0x99],
    ] {
        answers(&mut host, with_options(theirs, ours, options, &body));
        assert!(host.recv(id).is_none(), "{options:?}");
    }
}
