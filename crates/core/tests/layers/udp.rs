//! UDP sockets.

use std::net::{IpAddr, SocketAddr};

use usernet_core::{
    BindError, Config, ConnectionError, DatagramError, Event, ListenAddress, MembershipError,
    Ready, RecvError, UdpOptions, UdpSettings,
};
use usernet_wire::ip::{Packet, Protocol};
use usernet_wire::{icmpv4, icmpv6};

use crate::support::*;

#[test]
fn datagrams_cross_and_readiness_is_told() {
    for (ours, theirs) in families() {
        let (mut a, mut b) = (Host::number(1), Host::number(2));
        let (client, server) = (a.udp(ours, 0), b.udp(theirs, 7));
        let port = a.stack.udp_local_addr(client).unwrap().port();
        assert!((32768..=60999).contains(&port));
        let dest = SocketAddr::new(theirs, 7);
        a.stack.udp_send_to(NOW, client, b"hello", Some(dest), None).unwrap();
        carry(NOW, &mut a, &mut b);
        assert_eq!(b.events(), [Event::Udp(server, Ready::READABLE)]);
        let got = b.recv(server).unwrap();
        assert_eq!((&*got.payload, got.to, got.hop_limit), (&b"hello"[..], dest, 64));
        assert_eq!(got.from, SocketAddr::new(ours, port));
        b.stack.udp_send_to(NOW, server, b"", Some(got.from), Some(got.to.ip())).unwrap();
        carry(NOW, &mut a, &mut b);
        assert_eq!(a.recv(client).expect("an empty datagram").payload.len(), 0);
        assert!(a.recv(client).is_none());
        assert_eq!(a.stack.udp_info(client).unwrap().send_queue, 0);
    }
}

#[test]
fn loopback_works_with_any_of_its_addresses() {
    for (to, from) in [("127.0.0.1", "127.0.0.1"), ("127.3.2.1", "127.0.0.1"), ("::1", "::1")] {
        let mut host = Host::number(1);
        let (server, client) = (host.udp(ip(to), 7), host.udp(ip(to), 0));
        host.stack.udp_send_to(NOW, client, b"x", Some(at(to, 7)), None).unwrap();
        assert!(host.frames().is_empty());
        let got = host.recv(server).unwrap();
        assert_eq!((got.from.ip(), got.to), (ip(from), at(to, 7)));
        // As long as they get.
        host.stack.udp_send_to(NOW, client, &vec![1; 65_507], Some(at(to, 7)), None).unwrap();
        assert!(host.frames().is_empty());
        assert_eq!(host.recv(server).unwrap().payload.len(), 65_507);
    }
    // Our own address too.
    let mut host = Host::number(1);
    let server = host.udp(ip("fd00::1"), 7);
    host.stack.udp_send_to(NOW, server, &vec![1; 65_527], Some(at("fd00::1", 7)), None).unwrap();
    assert!(host.frames().is_empty());
    assert_eq!(host.recv(server).unwrap().payload.len(), 65_527);
}

#[test]
fn ports_are_shared_by_consent_alone() {
    let mut host = Host::number(1);
    let options = |address, reuse_addr| UdpOptions {
        address,
        port: 53,
        reuse_addr,
        reuse_port: false,
        settings: UdpSettings::default(),
    };
    let any = ListenAddress::AnyV4;
    let one = ListenAddress::One(ip("198.18.0.1"));
    let first = host.stack.udp_bind(options(any, false)).unwrap();
    for address in [any, one, ListenAddress::AnyV6 { only: false }] {
        assert_eq!(host.stack.udp_bind(options(address, true)), Err(BindError::AddressInUse));
    }
    host.stack.udp_bind(options(ListenAddress::AnyV6 { only: true }, false)).unwrap();
    host.stack.udp_close(first).unwrap();
    let first = host.stack.udp_bind(options(any, true)).unwrap();
    let second = host.stack.udp_bind(options(any, true)).unwrap();
    let exact = host.stack.udp_bind(options(one, true)).unwrap();
    assert_eq!(host.stack.udp_bind(options(any, false)), Err(BindError::AddressInUse));
    let elsewhere = ListenAddress::One(ip("192.0.2.1"));
    assert_eq!(host.stack.udp_bind(options(elsewhere, true)), Err(BindError::AddressNotAvailable));
    // The most exact takes it; without it the one bound last.
    host.give(udp_packet(at("198.18.0.2", 9), at("198.18.0.1", 53), b"1"));
    assert!(host.recv(exact).is_some() && host.recv(second).is_none());
    host.stack.udp_close(exact).unwrap();
    host.give(udp_packet(at("198.18.0.2", 9), at("198.18.0.1", 53), b"2"));
    assert!(host.recv(second).is_some() && host.recv(first).is_none());
    // A broadcast goes to all.
    host.give(udp_packet(at("198.18.0.2", 9), at("198.18.0.255", 53), b"3"));
    assert!(host.recv(second).is_some() && host.recv(first).is_some());
}

#[test]
fn a_full_queue_drops_and_counts() {
    for (ours, theirs) in families() {
        let mut b = Host::number(2);
        let server = b.udp_with(theirs, 7, |s| s.recv_buffer = 10_000);
        for _ in 0..1000 {
            b.give(udp_packet((ours, 9).into(), (theirs, 7).into(), &[7; 10]));
        }
        let info = b.stack.udp_info(server).unwrap();
        assert!(info.recv_queue <= 10_000 && info.drops > 900, "{info:?}");
        assert_eq!(b.stack.stats().udp_rcvbuf_errors, info.drops);
        assert_eq!(info.datagrams_in + info.drops, 1000);
        assert_eq!(b.events().len(), 1);
        while b.recv(server).is_some() {}
        assert_eq!(b.stack.udp_info(server).unwrap().recv_queue, 0);
    }
}

#[test]
fn a_full_send_buffer_blocks_and_tells_when_there_is_room() {
    let mut a = Host::number(1);
    let id = a.udp_with(ip("198.18.0.1"), 0, |s| s.send_buffer = 10_000);
    let dest = Some(at("198.18.0.2", 7));
    let sent = (0..100)
        .take_while(|_| a.stack.udp_send_to(NOW, id, &[0; 1000], dest, None).is_ok())
        .count();
    assert_eq!(sent, 10);
    assert_eq!(a.stack.udp_send_to(NOW, id, b"", dest, None), Err(DatagramError::WouldBlock));
    assert!(a.events().is_empty());
    assert_eq!(a.frames().len(), 10);
    assert_eq!(a.events(), [Event::Udp(id, Ready::WRITABLE)]);
    // A datagram longer than the buffer goes when it is empty.
    a.stack.udp_send_to(NOW, id, &vec![0; 30_000], dest, None).unwrap();
    assert!(a.stack.udp_info(id).unwrap().send_queue > 30_000);
    a.stack.udp_close(id).unwrap();
    assert_eq!(a.frames().len(), 21, "what was sent still goes out");
}

#[test]
fn lengths_are_checked() {
    let mut a = Host::number(1);
    for (ours, theirs, most) in
        [("198.18.0.1", "198.18.0.2", 65_507), ("fd00::1", "fd00::2", 65_527)]
    {
        let id = a.udp_with(ip(ours), 0, |s| s.send_buffer = 1 << 20);
        let dest = Some(at(theirs, 7));
        let mut send = |len| a.stack.udp_send_to(NOW, id, &vec![0; len], dest, None);
        assert_eq!(send(most + 1), Err(DatagramError::MessageTooLong));
        assert_eq!(send(65_507), Ok(()));
        a.stack.udp_set(id, |s| s.dont_fragment = true).unwrap();
        let header = if ip(ours).is_ipv4() { 28 } else { 48 };
        let mut send = |len| a.stack.udp_send_to(NOW, id, &vec![0; len], dest, None);
        assert_eq!(send(1500 - header), Ok(()));
        assert_eq!(send(1501 - header), Err(DatagramError::MessageTooLong));
    }
}

#[test]
fn destinations_are_checked() {
    let mut a = Host::number(1);
    let id = a.udp(ip("198.18.0.1"), 5000);
    let mut send = |to: &str, port| a.stack.udp_send_to(NOW, id, b"x", Some(at(to, port)), None);
    assert_eq!(send("198.18.0.2", 0), Err(DatagramError::InvalidDestination));
    assert_eq!(send("0.0.0.0", 7), Err(DatagramError::InvalidDestination));
    assert_eq!(send("fd00::2", 7), Err(DatagramError::InvalidDestination));
    assert_eq!(send("192.0.2.1", 7), Err(DatagramError::NetworkUnreachable));
    assert_eq!(send("198.18.0.255", 7), Err(DatagramError::PermissionDenied));
    assert_eq!(send("255.255.255.255", 7), Err(DatagramError::PermissionDenied));
    let stranger = Some(ip("192.0.2.9"));
    assert_eq!(
        a.stack.udp_send_to(NOW, id, b"x", Some(at("198.18.0.2", 7)), stranger),
        Err(DatagramError::AddressNotAvailable)
    );
    assert_eq!(
        a.stack.udp_send_to(NOW, id, b"x", None, None),
        Err(DatagramError::DestinationRequired)
    );
    a.stack.udp_set(id, |s| s.broadcast = true).unwrap();
    a.stack.udp_send_to(NOW, id, b"all", Some(at("255.255.255.255", 5000)), None).unwrap();
    let frame = a.frames().remove(0);
    assert_eq!(Packet::parse(&frame).unwrap().dst, ip("255.255.255.255"));
    assert_eq!(*a.recv(id).expect("our own broadcast").payload, *b"all");
}

#[test]
fn a_host_without_an_address_can_ask_for_one() {
    let mut a = Host::new(1, Config::default(), interface(&[]));
    let interface = a.interface;
    let client = a.udp_with(ip("0.0.0.0"), 68, |s| {
        s.broadcast = true;
        s.interface = Some(interface);
    });
    a.stack.udp_send_to(NOW, client, b"?", Some(at("255.255.255.255", 67)), None).unwrap();
    let frame = a.frames().remove(0);
    assert_eq!(Packet::parse(&frame).unwrap().src, ip("0.0.0.0"));
    // The server hears of it, and answers to all.
    let mut b = Host::number(2);
    let server = b.udp(ip("198.18.0.2"), 67);
    b.give(frame);
    assert_eq!(b.recv(server).expect("the question").from, at("0.0.0.0", 68));
    a.give(udp_packet(at("198.18.0.2", 67), at("255.255.255.255", 68), b"!"));
    assert_eq!(*a.recv(client).expect("the answer").payload, *b"!");
}

#[test]
fn connected_sockets_hear_one_peer_and_its_refusals() {
    for (ours, theirs) in families() {
        let (mut a, mut b) = (Host::number(1), Host::number(2));
        let id = a.udp(ours, 5000);
        let remote = SocketAddr::new(theirs, 7);
        a.stack.udp_connect(id, remote).unwrap();
        assert_eq!(a.stack.udp_local_addr(id), Ok(SocketAddr::new(ours, 5000)));
        assert_eq!(a.stack.udp_remote_addr(id), Ok(Some(remote)));
        a.give(udp_packet((theirs, 8).into(), (ours, 5000).into(), b"stranger"));
        assert!(a.recv(id).is_none());
        a.give(udp_packet(remote, (ours, 5000).into(), b"peer"));
        assert!(a.recv(id).is_some());
        a.frames();
        a.events();
        a.stack.udp_send_to(NOW, id, b"x", None, None).unwrap();
        carry(NOW, &mut a, &mut b);
        let events = a.events();
        assert!(matches!(events[..], [Event::Udp(_, r)] if r.contains(Ready::ERROR)), "{events:?}");
        assert_eq!(
            a.stack.udp_recv_from(id).err(),
            Some(RecvError::Connection(ConnectionError::Refused))
        );
        assert_eq!(a.stack.udp_recv_from(id).err(), Some(RecvError::WouldBlock), "told once");
        a.stack.udp_send_to(NOW, id, b"x", None, None).unwrap();
        carry(NOW, &mut a, &mut b);
        assert_eq!(
            a.stack.udp_send_to(NOW, id, b"x", None, None),
            Err(DatagramError::Connection(ConnectionError::Refused))
        );
        // Unconnected it is not told.
        a.stack.udp_disconnect(id).unwrap();
        a.stack.udp_send_to(NOW, id, b"x", Some(remote), None).unwrap();
        carry(NOW, &mut a, &mut b);
        assert!(a.recv(id).is_none());
    }
}

fn too_big(quoted: &[u8], router: IpAddr, to: IpAddr, mtu: u16) -> Vec<u8> {
    match (router, to) {
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let message = icmpv6::Repr::PacketTooBig { mtu: mtu.into(), quoted };
            let mut body = vec![0; message.len()];
            message.emit(&mut body, src, dst);
            packet(router, to, Protocol::ICMPV6, &body)
        }
        _ => {
            let reason = icmpv4::Unreachable::FragmentationNeeded { mtu };
            let message = icmpv4::Repr::DestinationUnreachable { reason, quoted };
            let mut body = vec![0; message.len()];
            message.emit(&mut body);
            packet(router, to, Protocol::ICMP, &body)
        }
    }
}

#[test]
fn path_mtus_are_learned_from_what_was_sent_and_shared() {
    for (ours, theirs) in families() {
        let mut a = Host::number(1);
        let router = if ours.is_ipv4() { ip("198.18.0.9") } else { ip("fd00::9") };
        let id = a.udp(ours, 5000);
        let dest = SocketAddr::new(theirs, 7);
        let forged = udp_packet((ours, 5000).into(), dest, &[0; 1400]);
        a.give(too_big(&forged, router, ours, 1300));
        a.stack.udp_send_to(NOW, id, &[0; 1400], Some(dest), None).unwrap();
        let frames = a.frames();
        assert_eq!(frames.len(), 1, "nobody believes a report about what was not sent");
        a.give(too_big(&frames[0], router, ours, 1300));
        // Another socket knows it too.
        let other = a.udp(ours, 5001);
        a.stack.udp_send_to(NOW, other, &[0; 1400], Some(dest), None).unwrap();
        let frames = a.frames();
        assert_eq!(frames.len(), 2);
        assert!(frames.iter().all(|f| f.len() <= 1300));
        // After ten minutes the path is tried anew.
        let later = NOW + usernet_core::Duration::from_secs(601);
        a.stack.udp_send_to(later, other, &[0; 1400], Some(dest), None).unwrap();
        assert_eq!(a.take(later).len(), 1);
    }
}

#[test]
fn checksum_rules() {
    let mut b = Host::number(2);
    let v4 = b.udp(ip("198.18.0.2"), 7);
    let v6 = b.udp(ip("fd00::2"), 7);
    let good4 = udp_packet(at("198.18.0.1", 9), at("198.18.0.2", 7), b"abc");
    let good6 = udp_packet(at("fd00::1", 9), at("fd00::2", 7), b"abc");
    for (good, len) in [(&good4, 20), (&good6, 40)] {
        let mut bad = good.clone();
        bad[len + 6] ^= 1;
        b.give(bad);
        let mut none = good.clone();
        none[len + 6..len + 8].fill(0);
        b.give(none);
    }
    // RFC 768: over IPv4 none may have been computed; RFC 8200 §8.1: over IPv6 it must have been.
    assert!(b.recv(v4).is_some() && b.recv(v4).is_none() && b.recv(v6).is_none());
    assert_eq!(b.stack.stats().udp_in_csum_errors, 3);
    // What a device vouches for needs none.
    for mut good in [good4, good6] {
        let at = good.len() - 5;
        good[at..at + 2].copy_from_slice(&[0xde, 0xad]);
        b.stack.handle_frame(NOW, b.interface, vouched(good, 0));
    }
    assert!(b.recv(v4).is_some() && b.recv(v6).is_some());
}

#[test]
fn devices_complete_checksums() {
    let mut config = interface(&["198.18.0.1/24", "fd00::1/64"]);
    config.offload = FULL_OFFLOAD;
    let mut a = Host::new(1, Config::default(), config);
    for (ours, theirs) in families() {
        let mut b = Host::number(2);
        let (from, to) = (a.udp(ours, 5000), b.udp(theirs, 7));
        for len in [0, 1, 1000, 3000] {
            let dest = Some(SocketAddr::new(theirs, 7));
            a.stack.udp_send_to(NOW, from, &pattern(len), dest, None).unwrap();
            carry(NOW, &mut a, &mut b);
            assert_eq!(b.recv(to).expect("a good checksum").payload.len(), len);
        }
        a.stack.udp_close(from).unwrap();
    }
}

#[test]
fn multicast_reaches_members_alone() {
    for (ours, group) in [("198.18.0.1", "239.1.2.3"), ("fd00::1", "ff05::123")] {
        let (mut a, mut b) = (Host::number(1), Host::number(2));
        let (ours, group) = (ip(ours), ip(group));
        let dest = SocketAddr::new(group, 5000);
        let sender = a.udp(ours, 0);
        let publish = |a: &mut Host, b: &mut Host| {
            a.stack.udp_send_to(NOW, sender, b"news", Some(dest), None).unwrap();
            let frames = carry(NOW, a, b);
            assert_eq!(frames.len(), 1);
            assert_eq!(Packet::parse(&frames[0]).unwrap().hop_limit, 1);
        };
        let subscriber = |host: &mut Host| {
            let options = UdpOptions {
                address: if ours.is_ipv4() {
                    ListenAddress::AnyV4
                } else {
                    ListenAddress::AnyV6 { only: true }
                },
                port: 5000,
                reuse_addr: true,
                reuse_port: false,
                settings: UdpSettings::default(),
            };
            host.stack.udp_bind(options).unwrap()
        };
        let subscribers = [subscriber(&mut b), subscriber(&mut b), subscriber(&mut b)];
        let own = subscriber(&mut a);
        publish(&mut a, &mut b);
        assert!(subscribers.iter().all(|id| b.recv(*id).is_none()));
        for id in &subscribers[..2] {
            b.stack.udp_join(*id, group, None).unwrap();
        }
        assert_eq!(
            b.stack.udp_join(subscribers[0], group, None),
            Err(MembershipError::AlreadyMember)
        );
        assert_eq!(
            b.stack.udp_join(subscribers[0], ours, None),
            Err(MembershipError::InvalidGroup)
        );
        a.stack.udp_join(own, group, None).unwrap();
        publish(&mut a, &mut b);
        let got: Vec<bool> = subscribers.iter().map(|id| b.recv(*id).is_some()).collect();
        assert_eq!(got, [true, true, false]);
        assert!(a.recv(own).is_some(), "looped to our own member");
        a.stack.udp_set(sender, |s| s.multicast_loop = false).unwrap();
        b.stack.udp_leave(subscribers[0], group, None).unwrap();
        assert_eq!(b.stack.udp_leave(subscribers[0], group, None), Err(MembershipError::NotMember));
        publish(&mut a, &mut b);
        let got: Vec<bool> = subscribers.iter().map(|id| b.recv(*id).is_some()).collect();
        assert_eq!(got, [false, true, false]);
        assert!(a.recv(own).is_none());
        b.stack.udp_close(subscribers[1]).unwrap();
        assert_eq!(b.stack.groups(b.interface).count(), 0);
        assert!(b.frames().is_empty(), "nobody complains about multicasts");
    }
}

#[test]
fn sockets_are_bounded() {
    let config = Config { max_udp_sockets: 3, ..Config::default() };
    let mut a = Host::new(1, config, interface(&["198.18.0.1/24"]));
    for _ in 0..3 {
        a.udp(ip("198.18.0.1"), 0);
    }
    assert_eq!(a.stack.udp_bind(UdpOptions::default()), Err(BindError::TooManySockets));
}

#[test]
fn sockets_that_share_a_port_share_the_peers() {
    let mut host = Host::number(1);
    let mut bind = |reuse_port| {
        let options = UdpOptions { port: 53, reuse_port, ..UdpOptions::default() };
        host.stack.udp_bind(options)
    };
    let ids = [bind(true).unwrap(), bind(true).unwrap(), bind(true).unwrap()];
    assert_eq!(bind(false), Err(BindError::AddressInUse));
    let mut peer = Host::number(2);
    for port in 0..60 {
        let client = peer.udp(ip("198.18.0.1"), 10_000 + port);
        for _ in 0..2 {
            let dest = Some("198.18.0.1:53".parse().unwrap());
            peer.stack.udp_send_to(NOW, client, &port.to_be_bytes(), dest, None).unwrap();
            carry(NOW, &mut peer, &mut host);
        }
    }
    let mut seen = 0;
    for id in ids {
        let mut got: Vec<_> =
            std::iter::from_fn(|| host.recv(id)).map(|d| d.payload.to_vec()).collect();
        let len = got.len();
        got.dedup();
        assert_eq!(len, 2 * got.len(), "what one peer sends goes to one socket");
        assert!(got.len() > 5, "each has its part of 60: {}", got.len());
        seen += len;
    }
    assert_eq!(seen, 120);
}

#[test]
fn a_source_specific_member_hears_its_sources_alone() {
    let group = ip("232.1.2.3");
    let (a, b) = (ip("198.18.0.2"), ip("198.18.0.3"));
    let mut host = Host::number(1);
    let id = host.udp(group, 5000);
    let interface = Some(host.interface);
    host.stack.udp_join_source(id, a, group, interface).unwrap();
    let join = |host: &mut Host, source| host.stack.udp_join_source(id, source, group, interface);
    assert_eq!(join(&mut host, a), Err(MembershipError::AlreadyMember));
    assert_eq!(join(&mut host, ip("fd00::2")), Err(MembershipError::InvalidGroup));
    assert_eq!(
        host.stack.udp_join(id, group, interface),
        Err(MembershipError::AlreadyMember),
        "not all sources after some"
    );
    let publish = |n: u8, host: &mut Host| {
        let mut peer = Host::number(n);
        let sender = peer.udp(group, 4000);
        let dest = Some(SocketAddr::new(group, 5000));
        peer.stack.udp_send_to(NOW, sender, &[n], dest, None).unwrap();
        carry(NOW, &mut peer, host);
        host.recv(id).map(|d| d.payload[0])
    };
    assert_eq!((publish(2, &mut host), publish(3, &mut host)), (Some(2), None));
    join(&mut host, b).unwrap();
    assert_eq!(publish(3, &mut host), Some(3));
    host.stack.udp_leave_source(id, a, group, interface).unwrap();
    assert_eq!((publish(2, &mut host), publish(3, &mut host)), (None, Some(3)));
    host.stack.udp_leave_source(id, b, group, interface).unwrap();
    assert_eq!(
        host.stack.udp_leave_source(id, b, group, interface),
        Err(MembershipError::NotMember)
    );
    assert_eq!(publish(3, &mut host), None);
    assert!(!host.stack.groups(host.interface).any(|g| g == group), "the interface left");
}
