//! The strong host model (RFC 1122 §3.3.4.2): an address belongs to its interface, both ways. A router's is the weak one.

use std::net::IpAddr;

use usernet_core::{
    Config, ConnectError, ConnectOptions, DatagramError, InterfaceId, ListenAddress, ListenOptions,
    PingOptions, Route, RxFrame, UdpId, UdpOptions,
};
use usernet_wire::icmpv4;
use usernet_wire::ip::{Packet, Protocol};
use usernet_wire::tcp::{Flags, Repr};

use crate::support::*;

/// The first interface's address, the second's, and a host on the link of each, in both families.
const FAMILIES: [[&str; 4]; 2] = [
    ["198.18.0.1", "198.18.1.1", "198.18.0.9", "198.18.1.9"],
    ["fd00:0:0:1::1", "fd00:0:0:2::1", "fd00:0:0:1::9", "fd00:0:0:2::9"],
];

/// A host on two links; its second interface.
fn two_homed(forwarding: bool) -> (Host, InterfaceId) {
    let first = interface(&["198.18.0.1/24", "fd00:0:0:1::1/64"]);
    let mut host = Host::new(1, Config { forwarding, ..Config::default() }, first);
    let second = interface(&["198.18.1.1/24", "fd00:0:0:2::1/64"]);
    let second = host.stack.add_interface(NOW, second).unwrap();
    (host, second)
}

fn bound_to(host: &mut Host, address: &str) -> UdpId {
    let address = ListenAddress::One(ip(address));
    host.stack.udp_bind(UdpOptions { address, port: 7, ..UdpOptions::default() }).unwrap()
}

fn default_route(host: &mut Host, interface: InterfaceId, near: &str) {
    let to = if ip(near).is_ipv4() { "0.0.0.0/0" } else { "::/0" };
    let route = Route { to: to.parse().unwrap(), via: Some(ip(near)), interface };
    host.stack.add_route(route).unwrap();
}

fn listen(host: &mut Host) {
    let address = ListenAddress::AnyV6 { only: false };
    let options = ListenOptions { address, port: 80, backlog: 1, options: None };
    host.stack.tcp_listen(options).unwrap();
}

fn syn(from: &str, to: &str) -> Vec<u8> {
    let repr = Repr { src_port: 9, dst_port: 80, flags: Flags::SYN, ..Repr::default() };
    let mut segment = vec![0; repr.header_len()];
    repr.emit(&mut segment);
    Repr::fill_checksum(&mut segment, &[], ip(from), ip(to));
    packet(ip(from), ip(to), Protocol::TCP, &segment)
}

#[test]
fn what_comes_in_for_another_interface_is_not_for_us() {
    for [a, b, near_a, _] in FAMILIES {
        for forwarding in [false, true] {
            let (mut host, _) = two_homed(forwarding);
            let id = bound_to(&mut host, b);
            listen(&mut host);
            host.give(udp_packet(at(near_a, 5), at(b, 7), b"x"));
            host.give(udp_packet(at(near_a, 5), at(b, 8), b"nobody listens"));
            host.give(syn(near_a, b));
            if ip(b).is_ipv4() {
                let echo = icmpv4::Repr::EchoRequest { ident: 1, seq: 1, data: b"echo" };
                let mut body = vec![0; echo.len()];
                echo.emit(&mut body);
                host.give(packet(ip(near_a), ip(b), Protocol::ICMP, &body));
            }
            let (got, answers) = (host.recv(id), host.frames());
            if forwarding {
                // RFC 1812 §4.2.2.11: a router takes what is for any of its addresses.
                assert!(got.is_some());
                assert_eq!(answers.len(), if ip(b).is_ipv4() { 3 } else { 2 });
                continue;
            }
            assert!(got.is_none(), "{b} through the interface of {a}");
            assert!(answers.is_empty(), "not even an error: {answers:?}");
            let dropped = host.stack.stats().ip_in_addr_errors;
            assert_eq!(dropped, if ip(b).is_ipv4() { 4 } else { 3 });
        }
    }
}

#[test]
fn what_has_an_address_leaves_through_its_interface() {
    for [a, b, near_a, near_b] in FAMILIES {
        let (mut host, second) = two_homed(false);
        let first = host.interface;
        let id = bound_to(&mut host, b);
        let remote = at(near_a, 7);
        // Its own interface knows no way there, however near it is to the other.
        let sent = host.stack.udp_send_to(NOW, id, b"x", Some(remote), None);
        assert_eq!(sent, Err(DatagramError::NetworkUnreachable));
        let options = ConnectOptions {
            remote: at(near_a, 80),
            local_addr: Some(ip(b)),
            local_port: None,
            options: None,
        };
        let refused = host.stack.tcp_connect(NOW, options.clone());
        assert_eq!(refused, Err(ConnectError::NetworkUnreachable));
        let ping = PingOptions { source: Some(ip(b)), ..PingOptions::new(ip(near_a), 1) };
        assert!(host.stack.icmp_ping(NOW, ping.clone()).is_err());
        assert!(host.frames().is_empty());
        // With a way of its own it goes there, though the destination is on the first one's link.
        default_route(&mut host, second, near_b);
        host.stack.udp_send_to(NOW, id, b"x", Some(remote), None).unwrap();
        host.stack.tcp_connect(NOW, options).unwrap();
        host.stack.icmp_ping(NOW, ping).unwrap();
        let frames = host.take(NOW);
        assert_eq!(frames.len(), 3);
        assert!(frames.iter().all(|(through, _)| *through == second), "{a} {b}");
        // Who has not chosen an address gets that of the nearest interface.
        let any = host.udp(ip(a), 9);
        host.stack.udp_send_to(NOW, any, b"x", Some(remote), None).unwrap();
        let frames = host.take(NOW);
        assert_eq!(frames[0].0, first);
        let parsed = Packet::parse(&frames[0].1).unwrap();
        assert_eq!(parsed.src, ip(a));
    }
}

#[test]
fn connections_stay_on_their_interface_when_routes_change() {
    for [_, b, near_a, near_b] in FAMILIES {
        let (mut host, second) = two_homed(false);
        listen(&mut host);
        let far: IpAddr = ip(if ip(b).is_ipv4() { "203.0.113.5" } else { "2001:db8::5" });
        host.stack.handle_frame(NOW, second, RxFrame::new(syn(&far.to_string(), b)));
        default_route(&mut host, second, near_b);
        let first = host.interface;
        default_route(&mut host, first, near_a);
        let to = if far.is_ipv4() { "203.0.113.0/24" } else { "2001:db8::/32" };
        let better =
            Route { to: to.parse().unwrap(), via: Some(ip(near_a)), interface: host.interface };
        host.stack.add_route(better).unwrap();
        let frames = host.take(NOW);
        assert_eq!(frames.len(), 1, "a SYN-ACK");
        assert_eq!(frames[0].0, second);
    }
}
