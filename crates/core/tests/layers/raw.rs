//! Raw IP sockets.

use usernet_core::{Event, RawOptions, Ready, RecvError};
use usernet_wire::checksum;
use usernet_wire::ip::{Packet, Protocol};

use crate::support::*;

#[test]
fn packets_of_a_protocol_cross() {
    for (ours, theirs) in families() {
        let (mut a, mut b) = (Host::number(1), Host::number(2));
        let from = a.stack.raw_open(RawOptions::new(253, ours.is_ipv6())).unwrap();
        let to = b.stack.raw_open(RawOptions::new(253, ours.is_ipv6())).unwrap();
        let other = b.stack.raw_open(RawOptions::new(254, ours.is_ipv6())).unwrap();
        for len in [0, 10, 5000] {
            a.stack.raw_send(NOW, from, &pattern(len), theirs, None).unwrap();
            carry(NOW, &mut a, &mut b);
            assert_eq!(b.events(), [Event::Raw(to, Ready::READABLE)]);
            let got = b.stack.raw_recv(to).unwrap();
            assert!(*got.payload == *pattern(len));
            assert_eq!((got.src, got.dst), (ours, theirs));
            assert_eq!(b.stack.raw_recv(to).err(), Some(RecvError::WouldBlock));
        }
        assert!(b.stack.raw_recv(other).is_err());
        // Without a socket the protocol is unreachable.
        b.stack.raw_close(to).unwrap();
        a.stack.raw_send(NOW, from, b"x", theirs, None).unwrap();
        carry(NOW, &mut a, &mut b);
        assert_eq!(b.stack.stats().ip_in_unknown_protos, 1);
        assert_eq!(a.stack.stats().icmp_in_msgs, 1);
    }
}

#[test]
fn a_full_queue_drops_and_counts() {
    let (ours, theirs) = families()[0];
    let mut b = Host::number(2);
    let id = b.stack.raw_open(RawOptions { recv_buffer: 2000, ..RawOptions::new(253, false) });
    let id = id.unwrap();
    for _ in 0..100 {
        b.give(packet(ours, theirs, Protocol(253), &[0; 100]));
    }
    assert!(b.stack.raw_drops(id).unwrap() >= 90);
    let mut got = 0;
    while b.stack.raw_recv(id).is_ok() {
        got += 1;
    }
    assert_eq!(got + b.stack.raw_drops(id).unwrap(), 100);
}

#[test]
fn icmpv6_gets_its_checksum() {
    let mut a = Host::number(1);
    let id = a.stack.raw_open(RawOptions::new(58, true)).unwrap();
    a.stack.raw_send(NOW, id, &[128, 0, 9, 9, 0, 1, 0, 2], ip("fd00::2"), None).unwrap();
    let frame = a.frames().remove(0);
    let p = Packet::parse(&frame).unwrap();
    assert!(checksum::verify_transport(p.src, p.dst, Protocol::ICMPV6, &frame[40..]));
}
