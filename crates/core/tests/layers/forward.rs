//! A router in a process.

use std::net::{IpAddr, SocketAddr};

use usernet_core::{
    Config, ConnectOptions, Event, Instant, InterfaceId, ListenAddress, ListenOptions, Offload,
    PathError, PingOptions, PingOutcome, Route, RxFrame, Stack, UdpId,
};
use usernet_wire::ip::{Packet, Protocol};
use usernet_wire::tcp::{Flags, Repr};
use usernet_wire::{SeqNumber, checksum};

use crate::support::*;

/// Two hosts in two subnets, and a router between them.
struct Net {
    a: Host,
    router: Host,
    b: Host,
    /// The router's interface to `b`.
    right: InterfaceId,
}

const FAMILIES: [(&str, &str, &str); 2] = [
    ("198.18.0.1", "198.18.1.1", "198.18.0.254"),
    ("fd00:0:0:1::1", "fd00:0:0:2::1", "fd00:0:0:1::fe"),
];

fn default_route(host: &mut Host, to: &str, via: &str) {
    let route = Route { to: to.parse().unwrap(), via: Some(ip(via)), interface: host.interface };
    host.stack.add_route(route).unwrap();
}

fn net(right_mtu: u16, offload: Offload) -> Net {
    let left = interface(&["198.18.0.254/24", "fd00:0:0:1::fe/64"]);
    let config = Config { forwarding: true, ..Config::default() };
    let mut router = Host::new(3, config, left);
    // An IPv6 link has an MTU of 1,280 at least.
    let addresses = ["198.18.1.254/24", "fd00:0:0:2::fe/64"];
    let mut right = interface(&addresses[..if right_mtu < 1280 { 1 } else { 2 }]);
    right.mtu = right_mtu;
    right.offload = offload;
    let right = router.stack.add_interface(NOW, right).unwrap();
    let mut a = Host::new(1, Config::default(), interface(&["198.18.0.1/24", "fd00:0:0:1::1/64"]));
    let mut b = Host::new(2, Config::default(), interface(&["198.18.1.1/24", "fd00:0:0:2::1/64"]));
    default_route(&mut a, "0.0.0.0/0", "198.18.0.254");
    default_route(&mut a, "::/0", "fd00:0:0:1::fe");
    default_route(&mut b, "0.0.0.0/0", "198.18.1.254");
    default_route(&mut b, "::/0", "fd00:0:0:2::fe");
    Net { a, router, b, right }
}

impl Net {
    fn carry(&mut self, now: Instant) {
        loop {
            let mut quiet = true;
            for (_, bytes) in self.a.take(now) {
                quiet = false;
                self.router.give(bytes);
            }
            for (_, bytes) in self.b.take(now) {
                quiet = false;
                self.router.stack.handle_frame(NOW, self.right, RxFrame::new(bytes));
            }
            for (interface, bytes) in self.router.take(now) {
                quiet = false;
                if interface == self.right { self.b.give(bytes) } else { self.a.give(bytes) }
            }
            if quiet {
                return;
            }
        }
    }

    fn send(&mut self, from: UdpId, data: &[u8], to: SocketAddr) {
        self.a.stack.udp_send_to(NOW, from, data, Some(to), None).unwrap();
        self.carry(NOW);
    }
}

#[test]
fn packets_are_passed_on_one_hop_older() {
    for (ours, theirs, _) in FAMILIES {
        let mut net = net(1500, Offload::default());
        let (from, to) = (net.a.udp(ip(ours), 5000), net.b.udp(ip(theirs), 7));
        net.send(from, b"hop", at(theirs, 7));
        let got = net.b.recv(to).unwrap();
        assert_eq!((got.hop_limit, got.from), (63, at(ours, 5000)));
        assert_eq!(net.router.stack.stats().ip_forw_datagrams, 1);
        // In fragments, too.
        net.send(from, &pattern(20_000), at(theirs, 7));
        assert!(*net.b.recv(to).unwrap().payload == *pattern(20_000));
        assert_eq!(net.router.stack.stats().ip_reasm_reqds, 0);
    }
}

#[test]
fn tcp_crosses() {
    for (_, theirs, _) in FAMILIES {
        let mut net = net(1280, Offload::default());
        let address = ListenAddress::AnyV6 { only: false };
        let listener = ListenOptions { address, port: 80, backlog: 1, options: None };
        let listener = net.b.stack.tcp_listen(listener).unwrap();
        let options = ConnectOptions {
            remote: at(theirs, 80),
            local_addr: None,
            local_port: None,
            options: None,
        };
        let c = net.a.stack.tcp_connect(NOW, options.clone()).unwrap();
        net.carry(NOW);
        let s = net.b.stack.tcp_accept(listener).unwrap().expect("a connection");
        net.a.stack.tcp_send(NOW, c, &pattern(50_000), false).unwrap();
        let (mut got, mut buf) = (Vec::new(), vec![0; 65_536]);
        let mut now = NOW;
        while got.len() < 50_000 {
            net.carry(now);
            while let Ok(n @ 1..) = net.b.stack.tcp_recv(now, s, &mut buf) {
                got.extend_from_slice(&buf[..n]);
            }
            let due = [net.a.stack.poll_timeout(), net.b.stack.poll_timeout()];
            now = now.max(due.into_iter().flatten().min().expect("a timer"));
            net.a.stack.handle_timeout(now);
            net.b.stack.handle_timeout(now);
        }
        assert!(got == pattern(50_000));
        assert_eq!(net.a.stack.tcp_info(c).unwrap().pmtu, 1280);
        assert!(now < NOW + usernet_core::Duration::from_secs(5), "{now:?}");
        // The next connection knows the path already, and datagrams do.
        let next = net.a.stack.tcp_connect(now, options).unwrap();
        assert_eq!(net.a.stack.tcp_info(next).unwrap().pmtu, 1280);
    }
}

#[test]
fn ttl_runs_out_and_the_router_says_so() {
    for (_, theirs, router) in FAMILIES {
        let mut net = net(1500, Offload::default());
        let trace = |net: &mut Net, hop_limit| {
            let options =
                PingOptions { hop_limit, ..PingOptions::new(ip(theirs), hop_limit.into()) };
            net.a.stack.icmp_ping(NOW, options).unwrap();
            net.carry(NOW);
            match net.a.events()[..] {
                [Event::Ping(_, outcome)] => outcome,
                ref other => panic!("{other:?}"),
            }
        };
        match trace(&mut net, 1) {
            PingOutcome::Error { from, error, .. } => {
                assert_eq!(from, ip(router));
                assert_eq!(error, PathError::TimeExceeded { in_reassembly: false });
            }
            other => panic!("{other:?}"),
        }
        match trace(&mut net, 2) {
            PingOutcome::Reply { from, hop_limit: 63, .. } => assert_eq!(from, ip(theirs)),
            other => panic!("{other:?}"),
        }
        // The router answers for itself, whichever of its addresses is asked.
        let far = if ip(theirs).is_ipv4() { "198.18.1.254" } else { "fd00:0:0:2::fe" };
        net.a.stack.icmp_ping(NOW, PingOptions::new(ip(far), 9)).unwrap();
        net.carry(NOW);
        assert!(matches!(
            net.a.events()[..],
            [Event::Ping(_, PingOutcome::Reply { hop_limit: 64, .. })]
        ));
    }
}

#[test]
fn what_is_too_long_is_reported_or_cut() {
    for (ours, theirs, _) in FAMILIES {
        let mut net = net(1280, Offload::default());
        let (from, to) = (net.a.udp(ip(ours), 5000), net.b.udp(ip(theirs), 7));
        net.send(from, &pattern(1400), at(theirs, 7));
        assert!(net.b.recv(to).is_none(), "too long, and not to be cut");
        assert_eq!(net.a.stack.stats().icmp_in_msgs, 1);
        net.send(from, &pattern(1400), at(theirs, 7));
        assert!(*net.b.recv(to).expect("cut by its sender").payload == *pattern(1400));
    }
    // IPv4 without DF: the router cuts, fragments too.
    let mut net = net(800, Offload::default());
    let to = net.b.udp(ip("198.18.1.1"), 7);
    let body = datagram(at("198.18.0.1", 9), at("198.18.1.1", 7), &pattern(4000));
    let pair = (ip("198.18.0.1"), ip("198.18.1.1"));
    net.router.give(packet(pair.0, pair.1, Protocol::UDP, &body[..]));
    net.carry(NOW);
    assert!(*net.b.recv(to).expect("cut by the router").payload == *pattern(4000));
    for (range, more) in [(0..1480, true), (1480..2960, true), (2960..body.len(), false)] {
        net.router.give(fragment(pair, 5, &body, range, more));
    }
    net.carry(NOW);
    assert!(*net.b.recv(to).expect("fragments cut again").payload == *pattern(4000));
}

#[test]
fn martians_go_nowhere() {
    let mut net = net(1500, Offload::default());
    for (src, dst) in [
        ("127.0.0.1", "198.18.1.1"),
        ("198.18.1.254", "198.18.1.1"),
        ("224.0.0.5", "198.18.1.1"),
        ("255.255.255.255", "198.18.1.1"),
        ("0.0.0.0", "198.18.1.1"),
        ("169.254.1.1", "198.18.1.1"),
        ("198.18.0.1", "127.0.0.1"),
        ("198.18.0.1", "240.0.0.1"),
        ("198.18.0.1", "239.1.1.1"),
        ("198.18.0.1", "169.254.1.1"),
        ("198.18.0.1", "198.18.1.255"),
        ("::1", "fd00:0:0:2::1"),
        ("fe80::1", "fd00:0:0:2::1"),
        ("ff02::1", "fd00:0:0:2::1"),
        ("::", "fd00:0:0:2::1"),
        ("fd00:0:0:1::1", "fe80::1"),
        ("fd00:0:0:1::1", "ff05::1"),
        ("fd00:0:0:1::1", "::1"),
    ] {
        net.router.give(udp_packet(at(src, 9), at(dst, 7), b"x"));
        assert!(net.router.frames().is_empty(), "{src} -> {dst}");
    }
    assert_eq!(net.router.stack.stats().ip_forw_datagrams, 0);
    assert_eq!(net.router.stack.stats().ip_in_addr_errors, 18);
}

#[test]
fn hosts_do_not_forward() {
    let mut host = Host::number(1);
    host.give(udp_packet(at("198.18.0.2", 9), at("198.18.0.3", 7), b"x"));
    host.give(udp_packet(at("fd00::2", 9), at("fd00::3", 7), b"x"));
    assert!(host.frames().is_empty());
    assert_eq!(host.stack.stats().ip_in_addr_errors, 2);
}

/// A long segment as a device merges them, its checksum not computed.
pub(crate) fn merged(src: IpAddr, dst: IpAddr, data: &[u8]) -> Vec<u8> {
    let tcp = Repr {
        src_port: 1,
        dst_port: 2,
        seq: SeqNumber(u32::MAX - 1000),
        ack: SeqNumber(7),
        flags: Flags::ACK | Flags::PSH | Flags::FIN,
        window: 100,
        ..Repr::default()
    };
    let mut body = vec![0; tcp.header_len()];
    tcp.emit(&mut body);
    body.extend_from_slice(data);
    packet(src, dst, Protocol::TCP, &body)
}

#[test]
fn merged_segments_are_cut_and_their_checksums_completed() {
    for (ours, theirs, _) in FAMILIES {
        for offload in [Offload::default(), Offload { tx_checksum: true, ..Offload::default() }] {
            let mut net = net(1500, offload);
            let data = pattern(10_000);
            let frame = vouched(merged(ip(ours), ip(theirs), &data), 1400);
            net.router.stack.handle_frame(NOW, net.router.interface, frame);
            let frames = net.router.frames();
            assert_eq!(frames.len(), 8);
            let mut got = Vec::new();
            for (i, frame) in frames.iter().enumerate() {
                let p = Packet::parse(frame).expect("a good header");
                let body = &frame[p.payload_offset..];
                let (tcp, len) = Repr::parse(body, p.src, p.dst, false).expect("a good checksum");
                assert_eq!(tcp.seq, SeqNumber(u32::MAX - 1000) + got.len() as u32);
                assert_eq!(tcp.flags.contains(Flags::FIN), i == 7);
                assert_eq!(tcp.flags.contains(Flags::PSH), i == 7);
                got.extend_from_slice(&body[len..]);
            }
            assert!(got == data);
        }
        // A device that cuts gets it whole.
        let mut net = net(1500, FULL_OFFLOAD);
        let frame = vouched(merged(ip(ours), ip(theirs), &pattern(10_000)), 1400);
        net.router.stack.handle_frame(NOW, net.router.interface, frame);
        let transmit = net.router.stack.poll_transmit(NOW).expect("a frame");
        assert_eq!(transmit.gso.map(|g| g.size), Some(1400));
        let sum = transmit.checksum.expect("the device completes it");
        let mut bytes = transmit.to_vec();
        checksum::complete(&mut bytes, sum.start.into(), sum.offset.into()).unwrap();
        let p = Packet::parse(&bytes).unwrap();
        Repr::parse(&bytes[p.payload_offset..], p.src, p.dst, false).expect("a good checksum");
    }
}

#[test]
fn checksums_that_were_never_computed_are_completed() {
    for (ours, theirs, _) in FAMILIES {
        let mut net = net(1500, Offload::default());
        let to = net.b.udp(ip(theirs), 7);
        let mut bytes = udp_packet(at(ours, 9), at(theirs, 7), b"data");
        let field = bytes.len() - 6;
        bytes[field..field + 2].copy_from_slice(&[0x12, 0x34]);
        net.router.stack.handle_frame(NOW, net.router.interface, vouched(bytes.clone(), 0));
        net.carry(NOW);
        assert!(net.b.recv(to).is_some());
        // One that nobody vouched for stays as wrong as it is.
        net.router.give(bytes);
        net.carry(NOW);
        assert!(net.b.recv(to).is_none());
        assert_eq!(net.b.stack.stats().udp_in_csum_errors, 1);
    }
}

#[test]
fn a_flood_through_the_router_is_bounded() {
    let mut net = net(1500, Offload::default());
    for _ in 0..10_000 {
        net.router.give(udp_packet(at("198.18.0.1", 9), at("198.18.1.1", 7), &[0; 1400]));
    }
    let stats = net.router.stack.stats();
    assert_eq!(stats.ip_forw_datagrams + stats.ip_out_discards, 10_000);
    assert!(stats.ip_forw_datagrams * 1428 <= 4 << 20);
    assert_eq!(net.router.frames().len() as u64, stats.ip_forw_datagrams);
}

#[test]
fn routes_change_at_run_time() {
    let mut a = Host::number(1);
    let mut second = interface(&["192.0.2.1/24"]);
    second.name = "un1".into();
    let second = a.stack.add_interface(NOW, second).unwrap();
    let id = a.udp(ip("198.18.0.1"), 5000);
    let way = |stack: &mut Stack| {
        stack.udp_send_to(NOW, id, b"x", Some(at("198.19.0.1", 7)), None).ok()?;
        stack.poll_transmit(NOW).map(|t| t.interface)
    };
    assert_eq!(way(&mut a.stack), None);
    let route = |to: &str, via: &str, interface| Route {
        to: to.parse().unwrap(),
        via: Some(ip(via)),
        interface,
    };
    a.stack.add_route(route("0.0.0.0/0", "198.18.0.9", a.interface)).unwrap();
    assert_eq!(way(&mut a.stack), Some(a.interface));
    a.stack.add_route(route("198.19.0.0/16", "192.0.2.9", second)).unwrap();
    assert_eq!(way(&mut a.stack), Some(second), "the longest prefix");
    a.stack.remove_route("198.19.0.0/16".parse().unwrap());
    assert_eq!(way(&mut a.stack), Some(a.interface));
    a.stack.remove_interface(NOW, a.interface).unwrap();
    assert_eq!(way(&mut a.stack), None);
}
