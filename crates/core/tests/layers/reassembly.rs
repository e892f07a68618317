//! Fragments in and out.

use usernet_core::{Config, Duration, ReassemblyLimits, RxFrame};
use usernet_wire::ip::{Packet, Protocol};
use usernet_wire::{icmpv4, icmpv6};

use crate::support::*;

#[test]
fn long_datagrams_cross_in_fragments() {
    for (ours, theirs) in families() {
        let (mut a, mut b) = (Host::number(1), Host::number(2));
        let (from, to) = (a.udp(ours, 5000), b.udp(theirs, 7));
        for len in [1_400, 1_473, 9_000, 65_507] {
            let data = pattern(len);
            let dest = std::net::SocketAddr::new(theirs, 7);
            a.stack.udp_send_to(NOW, from, &data, Some(dest), None).unwrap();
            let frames = carry(NOW, &mut a, &mut b);
            assert!(frames.iter().all(|f| f.len() <= 1500));
            assert_eq!(frames.len() > 1, len > 1_452);
            let got = b.recv(to).expect("the datagram");
            assert!(*got.payload == *data);
            assert_eq!(got.from, std::net::SocketAddr::new(ours, 5000));
            assert!(b.recv(to).is_none());
        }
        let (sent, got) = (a.stack.stats(), b.stack.stats());
        assert_eq!((sent.ip_frag_oks, got.ip_reasm_oks), (3, 3));
        assert_eq!(sent.ip_frag_creates, got.ip_reasm_reqds);
        assert_eq!((got.reassembly_memory, got.reassembly_datagrams), (0, 0));
        assert_eq!(b.stack.poll_timeout(), None);
    }
}

#[test]
fn identifications_differ_and_atomic_packets_have_none() {
    let mut a = Host::number(1);
    let id = a.udp(ip("198.18.0.1"), 5000);
    let dest = Some(at("198.18.0.2", 7));
    let mut idents = Vec::new();
    for _ in 0..100 {
        a.stack.udp_send_to(NOW, id, &[0; 2000], dest, None).unwrap();
        for frame in a.frames() {
            let fragment = Packet::parse(&frame).unwrap().fragment.expect("a fragment");
            idents.push(fragment.ident);
        }
    }
    idents.dedup();
    assert_eq!(idents.len(), 100);
    a.stack.udp_send_to(NOW, id, b"short", dest, None).unwrap();
    let frame = a.frames().remove(0);
    assert_eq!(frame[4..8], [0, 0, 0x40, 0], "RFC 6864: DF, and no identification");
}

#[test]
fn order_and_duplicates_do_not_matter() {
    for pair in families() {
        let mut b = Host::number(2);
        let to = b.udp(pair.1, 7);
        let data = pattern(3000);
        let body = datagram((pair.0, 9).into(), (pair.1, 7).into(), &data);
        let cuts = [(2000, body.len(), false), (0, 1000, true), (1000, 2000, true)];
        for (start, end, more) in [cuts[0], cuts[0], cuts[2], cuts[2], cuts[1]] {
            assert!(b.recv(to).is_none());
            b.give(fragment(pair, 7, &body, start..end, more));
        }
        assert!(*b.recv(to).expect("whole").payload == *data);
        assert_eq!(b.stack.stats().ip_frag_drops, 2);
    }
}

#[test]
fn overlap_kills_the_datagram_and_what_still_comes() {
    for pair in families() {
        for (start, end) in [(992, 1992), (8, 16), (0, 2000), (1000, 1008)] {
            let mut b = Host::number(2);
            let to = b.udp(pair.1, 7);
            let body = datagram((pair.0, 9).into(), (pair.1, 7).into(), &pattern(3000));
            b.give(fragment(pair, 7, &body, 0..1000, true));
            b.give(fragment(pair, 7, &body, 1000..2000, true));
            b.give(fragment(pair, 7, &body, start..end, true));
            b.give(fragment(pair, 7, &body, 2000..body.len(), false));
            b.give(fragment(pair, 7, &body, 0..1000, true));
            assert!(b.recv(to).is_none(), "{start}..{end}");
            let stats = b.stack.stats();
            assert_eq!((stats.ip_reasm_overlaps, stats.ip_reasm_oks), (1, 0), "{start}..{end}");
            // Forgotten in silence when its time is over.
            let later = b.stack.poll_timeout().expect("a timer");
            b.stack.handle_timeout(later);
            assert_eq!(b.stack.stats().reassembly_memory, 0);
            assert!(b.take(later).is_empty());
        }
    }
}

#[test]
fn contradictions_about_the_end_kill_it_too() {
    for pair in families() {
        for second in [(2000, 2008, true), (1600, 1608, false), (3000, 3008, false)] {
            let mut b = Host::number(2);
            let body = datagram((pair.0, 9).into(), (pair.1, 7).into(), &pattern(4000));
            b.give(fragment(pair, 7, &body, 1000..2000, false));
            b.give(fragment(pair, 7, &body, second.0..second.1, second.2));
            assert_eq!(b.stack.stats().ip_reasm_overlaps, 1, "{second:?}");
        }
    }
}

#[test]
fn time_exceeded_only_with_the_first_fragment() {
    for pair in families() {
        let wait = if pair.0.is_ipv4() { 30 } else { 60 };
        for first_is_there in [true, false] {
            let mut b = Host::number(2);
            let body = datagram((pair.0, 9).into(), (pair.1, 7).into(), &pattern(3000));
            let start = if first_is_there { 0 } else { 1000 };
            b.give(fragment(pair, 7, &body, start..start + 1000, true));
            let due = NOW + Duration::from_secs(wait);
            assert_eq!(b.stack.poll_timeout(), Some(due));
            b.stack.handle_timeout(due - Duration::from_millis(1));
            assert_eq!(b.stack.stats().ip_reasm_timeout, 0);
            b.stack.handle_timeout(due);
            assert_eq!(b.stack.stats().ip_reasm_timeout, 1);
            assert_eq!(b.stack.stats().reassembly_memory, 0);
            let frames = b.take(due);
            assert_eq!(frames.len(), usize::from(first_is_there));
            let Some((_, frame)) = frames.first() else { continue };
            let message = Packet::parse(frame).unwrap();
            assert_eq!((message.src, message.dst), (pair.1, pair.0));
            let kind_and_code = &frame[message.payload_offset..message.payload_offset + 2];
            assert_eq!(kind_and_code, if pair.0.is_ipv4() { [11, 1] } else { [3, 1] });
        }
    }
}

#[test]
fn bounds_hold() {
    let limits = ReassemblyLimits {
        max_datagrams: 16,
        max_bytes: 64 << 10,
        max_fragments: 32,
        ..ReassemblyLimits::default()
    };
    for pair in families() {
        let config = Config { reassembly: limits.clone(), ..Config::default() };
        let mut b = Host::new(2, config, interface(&["198.18.0.2/24", "fd00::2/64"]));
        let body = datagram((pair.0, 9).into(), (pair.1, 7).into(), &pattern(60_000));
        for ident in 0..100 {
            b.give(fragment(pair, ident, &body, 0..1000, true));
        }
        let stats = b.stack.stats();
        assert_eq!(stats.reassembly_datagrams, 16);
        assert_eq!(stats.ip_reasm_evicted, 84);
        for ident in 200..220 {
            b.give(fragment(pair, ident, &body, 8000..16_000, true));
            assert!(b.stack.stats().reassembly_memory <= 64 << 10);
        }
        // Tiny ones: their bookkeeping counts, and their number is bounded.
        for i in 0..1000 {
            b.give(fragment(pair, 300, &body, i * 8..i * 8 + 8, true));
            assert!(b.stack.stats().reassembly_memory <= 64 << 10);
        }
        let to = b.udp(pair.1, 7);
        b.give(fragment(pair, 300, &body, 8000..body.len(), false));
        assert!(b.recv(to).is_none(), "too many fragments");
        while let Some(due) = b.stack.poll_timeout() {
            b.stack.handle_timeout(due);
        }
        let stats = b.stack.stats();
        assert_eq!((stats.reassembly_memory, stats.reassembly_datagrams), (0, 0));
    }
}

#[test]
fn a_hundred_thousand_tiny_fragments_leave_nothing() {
    for pair in families() {
        let mut b = Host::number(2);
        let body = pattern(60_000);
        for i in 0..100_000u32 {
            let start = (i % 7000) as usize * 8;
            b.give(fragment(pair, i / 3, &body, start..start + 8, true));
        }
        assert!(b.stack.stats().reassembly_memory <= 4 << 20);
        while let Some(due) = b.stack.poll_timeout() {
            b.stack.handle_timeout(due);
            while b.stack.poll_transmit(due).is_some() {}
        }
        assert_eq!(b.stack.stats().reassembly_memory, 0);
    }
}

#[test]
fn atomic_fragments_are_whole() {
    let pair = families()[1];
    let mut b = Host::number(2);
    let to = b.udp(pair.1, 7);
    let body = datagram((pair.0, 9).into(), (pair.1, 7).into(), b"atom");
    // RFC 6946 §4: also beside fragments with the same identification.
    b.give(fragment(pair, 7, &pattern(2000), 1000..2000, false));
    b.give(fragment(pair, 7, &body, 0..body.len(), false));
    assert_eq!(*b.recv(to).expect("whole").payload, *b"atom");
}

#[test]
fn first_fragments_without_the_headers_are_refused() {
    // RFC 7112 §5.
    let pair = families()[1];
    let mut b = Host::number(2);
    let ip = header(pair.0, pair.1, Protocol::TCP, 2000);
    let mut bytes = vec![0; ip.fragment_header_len()];
    let place = usernet_wire::ip::Fragment { ident: 1, offset: 0, more: true };
    ip.emit_fragment(place, 8, &mut bytes);
    bytes.extend_from_slice(&[0; 8]);
    b.give(bytes);
    assert_eq!(b.stack.stats().reassembly_datagrams, 0);
    let frame = b.frames().remove(0);
    assert_eq!(frame[40..42], [4, 3]);
}

#[test]
fn fragments_of_fragments_are_dropped() {
    let pair = families()[1];
    let mut b = Host::number(2);
    let udp = datagram((pair.0, 9).into(), (pair.1, 7).into(), &[0; 100]);
    // A fragment header inside, of a piece that is not whole.
    let mut inner = vec![17, 0, 0, 1, 0, 0, 0, 9];
    inner.extend_from_slice(&udp);
    inner.truncate(inner.len() / 8 * 8);
    let mut ip = header(pair.0, pair.1, Protocol(44), inner.len());
    ip.payload_len = inner.len();
    for (range, more) in [(0..64, true), (64..inner.len(), false)] {
        let mut bytes = vec![0; ip.fragment_header_len()];
        let place = usernet_wire::ip::Fragment { ident: 1, offset: range.start as u16, more };
        ip.emit_fragment(place, range.len(), &mut bytes);
        bytes.extend_from_slice(&inner[range]);
        b.stack.handle_frame(NOW, b.interface, RxFrame::new(bytes));
    }
    let stats = b.stack.stats();
    assert_eq!((stats.ip_reasm_oks, stats.ip_frag_drops, stats.udp_no_ports), (1, 1, 0));
}

#[test]
fn pings_of_60000_bytes_are_answered() {
    for (ours, theirs) in families() {
        let (mut a, mut b) = (Host::number(1), Host::number(2));
        let data = pattern(60_000);
        let mut body = vec![0; 60_008];
        match (ours, theirs) {
            (std::net::IpAddr::V6(src), std::net::IpAddr::V6(dst)) => {
                icmpv6::Repr::EchoRequest { ident: 1, seq: 2, data: &data }
                    .emit(&mut body, src, dst);
            }
            _ => icmpv4::Repr::EchoRequest { ident: 1, seq: 2, data: &data }.emit(&mut body),
        }
        let protocol = if ours.is_ipv4() { Protocol::ICMP } else { Protocol::ICMPV6 };
        let raw =
            a.stack.raw_open(usernet_core::RawOptions::new(protocol.0, ours.is_ipv6())).unwrap();
        a.stack.raw_send(NOW, raw, &body, theirs, None).unwrap();
        carry(NOW, &mut a, &mut b);
        let reply = a.stack.raw_recv(raw);
        // Longer than a default receive queue would hold twice, but not once.
        let reply = reply.expect("the answer");
        assert!(reply.payload[8..] == data);
        assert_eq!(reply.payload[0], if ours.is_ipv4() { 0 } else { 129 });
        assert_eq!(b.stack.stats().ip_reasm_oks, 1);
        assert_eq!(a.stack.stats().ip_reasm_oks, 1);
    }
}

/// A fragment of a TCP segment.
fn tcp_fragment(pair: (std::net::IpAddr, std::net::IpAddr), body: &[u8], first: bool) -> Vec<u8> {
    let range = if first { 0..40 } else { 40..body.len() };
    let mut bytes = fragment(pair, 7, body, range, first);
    if pair.0.is_ipv4() {
        bytes[9] = Protocol::TCP.0;
        bytes[10..12].fill(0);
        let sum = usernet_wire::checksum::checksum(&bytes[..20]);
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
    } else {
        bytes[40] = Protocol::TCP.0;
    }
    bytes
}

#[test]
fn reassembled_segments_are_the_drivers_where_it_knows_whose_they_are() {
    for pair in families() {
        for aside in [false, true] {
            let config = Config { tcp_aside: aside, ..Config::default() };
            let addresses = ["198.18.0.2/24", "fd00::2/64"];
            let mut b = Host::new(2, config, interface(&addresses));
            let repr = usernet_wire::tcp::Repr {
                src_port: 9,
                dst_port: 7,
                flags: usernet_wire::tcp::Flags::ACK,
                ..Default::default()
            };
            let data = pattern(100);
            let mut body = vec![0; repr.header_len()];
            repr.emit(&mut body);
            usernet_wire::tcp::Repr::fill_checksum(&mut body, &[&data], pair.0, pair.1);
            body.extend(data);
            for n in 0..70 {
                b.give(tcp_fragment(pair, &body, true));
                b.give(tcp_fragment(pair, &body, false));
                assert_eq!(
                    b.frames().len(),
                    usize::from(!aside),
                    "refused, unless it is aside: {n}"
                );
            }
            let mut taken = 0;
            while let Some((interface, packet)) = b.stack.take_aside() {
                let whole = Packet::parse(&packet).unwrap();
                assert_eq!((interface, whole.fragment), (b.interface, None));
                assert!(packet[whole.payload_offset..] == body);
                taken += 1;
            }
            assert_eq!(taken, if aside { 64 } else { 0 }, "bounded");
        }
    }
}
