//! Ethernet below IP: framing, filtering, groups, large packets, offload.

use usernet_core::{
    ConnectOptions, Detection, GsoKind, InterfaceConfig, InterfaceError, ListenAddress,
    ListenOptions, MacAddr, PingOutcome, RxFrame, Stack,
};
use usernet_wire::ip::Protocol;

use crate::lan::*;
use crate::support::*;

#[test]
fn hosts_ping_each_other_in_both_families() {
    let mut lan = Lan::of(3);
    for to in ["198.18.0.2", "fd00::2", "198.18.0.3"] {
        assert!(lan.reaches(1, to), "{to}");
    }
    // Nobody else took part: who was not asked for knows nobody.
    assert_eq!(lan.hosts[2].stack.neighbors(lan.now).len(), 1);
}

#[test]
fn sixty_thousand_bytes_go_both_ways_in_fragments() {
    let mut lan = Lan::of(2);
    for to in ["198.18.0.2", "fd00::2"] {
        // The neighbour is not known yet: all fragments wait for it.
        let outcome = lan.ping(1, to, 60_000);
        assert!(
            matches!(outcome, PingOutcome::Reply { size: 60_000, intact: true, .. }),
            "{outcome:?}"
        );
    }
    assert!(lan.log.iter().all(|(_, frame)| frame.len() <= 1514));
}

#[test]
fn frames_for_others_are_left_alone() {
    let mut lan = Lan::of(1);
    let echo = udp_packet(at("198.18.0.9", 9), at("198.18.0.1", 7), b"x");
    // Port 7 is nobody's: an answer would be a port unreachable.
    for (from, to) in [
        (mac(9), mac(8)),
        // From our own hardware address, and from a group.
        (mac(1), mac(1)),
        (MacAddr([1, 0, 0, 0, 0, 9]), mac(1)),
        // RFC 1122 §3.3.6: sent to all by the link, to us by its address.
        (mac(9), MacAddr::BROADCAST),
        (mac(9), MacAddr([0x01, 0x00, 0x5e, 0, 0, 1])),
    ] {
        lan.inject(1, framed(from, to, &echo));
        lan.ms(10);
        assert!(lan.frames().is_empty(), "{from} {to}");
    }
    let stats = lan.host(1).stack.stats();
    assert_eq!((stats.link_in_filtered, stats.link_in_errors, stats.ip_in_addr_errors), (2, 1, 2));
    // An EtherType that contradicts the packet, and one nobody knows.
    let mut frame = framed(mac(9), mac(1), &echo);
    frame[12..14].copy_from_slice(&[0x86, 0xdd]);
    lan.inject(1, frame.clone());
    frame[12..14].copy_from_slice(&[0x88, 0xcc]);
    lan.inject(1, frame);
    lan.inject(1, vec![0; 13]);
    let stats = lan.host(1).stack.stats();
    assert_eq!((stats.link_in_filtered, stats.link_in_errors), (3, 3));
    lan.inject(1, framed(mac(9), mac(1), &echo));
    lan.ms(10);
    assert!(!lan.frames().is_empty());
}

#[test]
fn padding_is_no_part_of_a_packet() {
    let mut lan = Lan::of(1);
    let udp = lan.host(1).udp(ip("198.18.0.1"), 7);
    let mut frame =
        framed(mac(9), mac(1), &udp_packet(at("198.18.0.9", 9), at("198.18.0.1", 7), b"x"));
    frame.resize(60, 0xee);
    lan.inject(1, frame);
    assert_eq!(&lan.host(1).recv(udp).expect("it arrives").payload[..], b"x");
}

#[test]
fn groups_and_broadcasts_have_their_hardware_addresses() {
    let mut lan = Lan::of(2);
    let now = lan.now;
    for (to, expected) in [
        ("224.1.2.3", MacAddr([0x01, 0, 0x5e, 1, 2, 3])),
        ("239.129.2.3", MacAddr([0x01, 0, 0x5e, 1, 2, 3])),
        ("ff02::1:2", MacAddr([0x33, 0x33, 0, 1, 0, 2])),
        ("255.255.255.255", MacAddr::BROADCAST),
        ("198.18.0.255", MacAddr::BROADCAST),
    ] {
        let host = lan.host(1);
        let udp = host.udp_with(ip(to), 0, |settings| settings.broadcast = true);
        host.stack.udp_send_to(now, udp, b"all", Some(at(to, 9)), None).unwrap();
        lan.settle();
        let frames = lan.frames();
        assert_eq!((frames.len(), frames[0].dst, frames[0].src), (1, expected, mac(1)), "{to}");
    }
}

#[test]
fn a_connection_goes_over_a_device_that_segments() {
    let with_offload = |n: u8| InterfaceConfig {
        offload: FULL_OFFLOAD,
        detection: Detection::Off,
        ..ethernet(n, &[&format!("198.18.0.{n}/24"), &format!("fd00::{n}/64")])
    };
    for (address, kind) in [("198.18.0.2", GsoKind::Tcp4), ("fd00::2", GsoKind::Tcp6)] {
        let mut a = Host::new(1, usernet_core::Config::default(), with_offload(1));
        let mut b = Host::new(2, usernet_core::Config::default(), with_offload(2));
        let listen = ListenOptions {
            address: ListenAddress::One(ip(address)),
            port: 80,
            backlog: 1,
            options: None,
        };
        let listener = b.stack.tcp_listen(listen).unwrap();
        let connect = ConnectOptions {
            remote: at(address, 80),
            local_addr: None,
            local_port: None,
            options: None,
        };
        let socket = a.stack.tcp_connect(NOW, connect).unwrap();
        let data = pattern(200_000);
        let (mut sent, mut segmented) = (0, 0);
        let mut received = Vec::new();
        let mut accepted = None;
        for round in 0..200 {
            if round > 2 {
                sent += a.stack.tcp_send(NOW, socket, &data[sent..], false).unwrap_or(0);
            }
            for forth in [true, false] {
                let (from, to) = if forth { (&mut a, &mut b) } else { (&mut b, &mut a) };
                let frames = collect(&mut from.stack, kind, &mut segmented);
                for frame in frames {
                    to.stack.handle_frame(NOW, to.interface, frame);
                }
            }
            accepted = accepted.or_else(|| b.stack.tcp_accept(listener).unwrap());
            if let Some(id) = accepted {
                let mut buf = vec![0; 65_536];
                while let Ok(len) = b.stack.tcp_recv(NOW, id, &mut buf) {
                    received.extend_from_slice(&buf[..len]);
                }
            }
        }
        assert_eq!(received.len(), data.len(), "{address}");
        assert!(received == data && segmented > 0, "{address}: {segmented}");
    }
}

/// The frames of a stack, after a look at what they ask a device for.
fn collect(stack: &mut Stack, kind: GsoKind, segmented: &mut usize) -> Vec<RxFrame> {
    let mut frames = Vec::new();
    while let Some(transmit) = stack.poll_transmit(NOW) {
        let bytes = transmit.to_vec();
        let ip_len = if bytes[14] >> 4 == 6 { 40 } else { 20 };
        if let Some(sum) = transmit.checksum {
            assert_eq!(sum.start, 14 + ip_len);
            assert!(transmit.header.len() >= usize::from(sum.start) + 20);
        }
        if let Some(gso) = transmit.gso {
            assert_eq!(gso.kind, kind);
            *segmented += 1;
        }
        let size = transmit.gso.map_or(0, |gso| gso.size);
        frames.push(vouched(bytes, size));
    }
    frames
}

#[test]
fn a_station_has_a_hardware_address_of_its_own() {
    let mut host = Host::number(1);
    for bad in [MacAddr::ZERO, MacAddr::BROADCAST, MacAddr([1, 0, 0, 0, 0, 1])] {
        let config = InterfaceConfig {
            medium: usernet_core::Medium::Ethernet(bad),
            ..interface(&["198.18.9.1/24"])
        };
        let refused = host.stack.add_interface(NOW, config);
        assert_eq!(refused, Err(InterfaceError::InvalidMac), "{bad}");
    }
    assert_eq!(host.stack.interface_mac(host.interface), None);
}

#[test]
fn an_interface_that_goes_takes_its_timers_along() {
    let mut lan = Lan::new(vec![ethernet(1, &["198.18.0.1/24", "fd00::1/64"])]);
    let (now, interface) = (lan.now, lan.hosts[0].interface);
    assert!(lan.host(1).stack.poll_timeout().is_some());
    lan.host(1).stack.remove_interface(now, interface).unwrap();
    assert_eq!(lan.host(1).stack.poll_timeout(), None);
    lan.ms(5000);
    assert!(lan.frames().is_empty());
}

#[test]
fn a_router_between_two_links_tells_who_does_not_answer() {
    let mut lan = Lan::of(2);
    let now = lan.now;
    lan.host(2).stack.set_forwarding(true);
    let far = InterfaceConfig { detection: Detection::Off, ..ethernet(12, &["192.0.2.1/24"]) };
    // Nobody is on the other link: what the router asks there, the hub gives host 1, which does not mind.
    lan.host(2).stack.add_interface(now, far).unwrap();
    let interface = lan.hosts[0].interface;
    let route = usernet_core::Route {
        to: "0.0.0.0/0".parse().unwrap(),
        via: Some(ip("198.18.0.2")),
        interface,
    };
    lan.host(1).stack.add_route(route).unwrap();
    let outcome = lan.ping(1, "192.0.2.77", 8);
    let PingOutcome::Error { from, error, rtt } = outcome else { panic!("{outcome:?}") };
    assert_eq!(from, ip("198.18.0.2"));
    assert!(matches!(error, usernet_core::PathError::Unreachable { code: 1, .. }), "{error:?}");
    assert!(rtt.as_secs() == 3, "{rtt:?}");
    assert!(lan.frames().iter().all(|f| !matches!(f.what, What::Ip(_, _, Protocol::TCP, _))));
}
