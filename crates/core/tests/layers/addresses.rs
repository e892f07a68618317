//! Which addresses connections have: the ones asked for, else the route's, and never others later (RFC 9293 §3.9.1,
//! RFC 1122 §3.2.1.3, §3.3.4).

use std::net::SocketAddr;

use usernet_core::{
    Config, ConnectError, ConnectOptions, Duration, InterfaceConfig, ListenAddress, ListenError,
    ListenOptions,
};
use usernet_wire::ip::{Packet, Protocol};
use usernet_wire::tcp::{Flags, Repr};

use crate::support::*;

/// Two addresses of a host on one link, and another host's there.
const FAMILIES: [[&str; 3]; 2] =
    [["198.18.0.1", "198.18.0.5", "198.18.0.9"], ["fd00::1", "fd00::5", "fd00::9"]];

fn host() -> Host {
    let addresses = ["198.18.0.1/24", "198.18.0.5/24", "fd00::1/64", "fd00::5/64"];
    Host::new(1, Config::default(), interface(&addresses))
}

fn to(remote: SocketAddr) -> ConnectOptions {
    ConnectOptions { remote, local_addr: None, local_port: None, options: None }
}

fn syn(from: &str, to: &str) -> Vec<u8> {
    let repr = Repr { src_port: 9, dst_port: 80, flags: Flags::SYN, ..Repr::default() };
    let mut segment = vec![0; repr.header_len()];
    repr.emit(&mut segment);
    Repr::fill_checksum(&mut segment, &[], ip(from), ip(to));
    packet(ip(from), ip(to), Protocol::TCP, &segment)
}

/// The only frame that goes out: its packet, and its flags.
fn only(host: &mut Host) -> (Packet, Flags) {
    let frames = host.frames();
    assert_eq!(frames.len(), 1);
    let packet = Packet::parse(&frames[0]).unwrap();
    let segment = &frames[0][packet.payload_offset..];
    (packet, Repr::parse(segment, packet.src, packet.dst, false).unwrap().0.flags)
}

#[test]
fn connections_have_the_address_that_is_asked_for() {
    // RFC 9293 §3.9.1.1 MUST-43, RFC 1122 §3.3.4.2.
    for [first, second, near] in FAMILIES {
        for wanted in [first, second] {
            let mut host = host();
            let options = ConnectOptions { local_addr: Some(ip(wanted)), ..to(at(near, 80)) };
            host.stack.tcp_connect(NOW, options).unwrap();
            assert_eq!(only(&mut host).0.src, ip(wanted));
        }
        let mut host = host();
        // An address that is nobody's here.
        let options = ConnectOptions { local_addr: Some(ip(near)), ..to(at(near, 80)) };
        assert_eq!(host.stack.tcp_connect(NOW, options), Err(ConnectError::AddressNotAvailable));
        assert!(host.frames().is_empty());
    }
}

#[test]
fn listeners_take_what_is_for_their_address_alone() {
    // RFC 9293 §3.9.1.1 MUST-43; RFC 1122 §3.3.4.2: the answer comes from where the question went.
    for [first, second, near] in FAMILIES {
        let mut host = host();
        let at = |address| ListenOptions {
            address: ListenAddress::One(ip(address)),
            port: 80,
            backlog: 1,
            options: None,
        };
        assert_eq!(host.stack.tcp_listen(at(near)), Err(ListenError::AddressNotAvailable));
        host.stack.tcp_listen(at(second)).unwrap();
        host.give(syn(near, second));
        let (packet, flags) = only(&mut host);
        assert_eq!((packet.src, flags), (ip(second), Flags::SYN | Flags::ACK));
        host.give(syn(near, first));
        let (packet, flags) = only(&mut host);
        assert_eq!((packet.src, flags), (ip(first), Flags::RST | Flags::ACK));
    }
}

#[test]
fn the_route_chooses_the_address_where_nobody_does() {
    // RFC 9293 §3.9.1.1 MUST-44: of the interface that the SYN leaves by (RFC 1122 §3.3.4.3, RFC 6724).
    for [[a, near_a], [b, near_b]] in [
        [["198.18.0.1", "198.18.0.9"], ["198.18.1.1", "198.18.1.9"]],
        [["fd00:0:0:1::1", "fd00:0:0:1::9"], ["fd00:0:0:2::1", "fd00:0:0:2::9"]],
    ] {
        let both = |v4: &str, v6: &str| -> InterfaceConfig { interface(&[v4, v6]) };
        let mut host = Host::new(1, Config::default(), both("198.18.0.1/24", "fd00:0:0:1::1/64"));
        host.stack.add_interface(NOW, both("198.18.1.1/24", "fd00:0:0:2::1/64")).unwrap();
        for (near, wanted) in [(near_a, a), (near_b, b)] {
            host.stack.tcp_connect(NOW, to(at(near, 80))).unwrap();
            assert_eq!(only(&mut host).0.src, ip(wanted));
        }
    }
}

#[test]
fn connections_keep_their_address() {
    // RFC 9293 §3.9.1.1 MUST-45: whatever would be chosen later.
    for (mine, nearer, remote) in [
        ("198.18.0.1/16", "198.18.9.1/24", "198.18.9.9"),
        ("fd00::1/32", "fd00:0:0:9::1/64", "fd00:0:0:9::9"),
    ] {
        let address = mine.split('/').next().unwrap();
        let mut host = Host::new(1, Config::default(), interface(&[mine]));
        host.stack.tcp_connect(NOW, to(at(remote, 80))).unwrap();
        assert_eq!(only(&mut host).0.src, ip(address));
        let interface = host.interface;
        host.stack.add_address(NOW, interface, nearer.parse().unwrap()).unwrap();
        // The next one would have it ..
        host.stack.tcp_connect(NOW, to(at(remote, 81))).unwrap();
        assert_eq!(only(&mut host).0.src, ip(nearer.split('/').next().unwrap()));
        // .. the SYN that is sent again has not.
        let later = NOW + Duration::from_secs(1);
        host.stack.handle_timeout(later);
        let again: Vec<Packet> =
            host.take(later).iter().map(|(_, frame)| Packet::parse(frame).unwrap()).collect();
        assert_eq!(again.len(), 2);
        assert_eq!(again.iter().filter(|packet| packet.src == ip(address)).count(), 1);
    }
}

#[test]
fn who_cannot_be_a_peer_is_an_error() {
    // RFC 9293 §3.9.1.1, §3.9.2.3 MUST-46.
    let mut host = host();
    for remote in [
        "255.255.255.255",
        "198.18.0.255",
        "224.0.0.1",
        "239.1.2.3",
        "0.0.0.0",
        "240.0.0.1",
        "ff02::1",
        "ff0e::1",
        "::",
    ] {
        let refused = host.stack.tcp_connect(NOW, to(at(remote, 80)));
        assert_eq!(refused, Err(ConnectError::InvalidDestination), "{remote}");
    }
    for near in ["198.18.0.9", "fd00::9"] {
        let refused = host.stack.tcp_connect(NOW, to(at(near, 0)));
        assert_eq!(refused, Err(ConnectError::InvalidDestination), "port 0");
    }
    let mixed = ConnectOptions { local_addr: Some(ip("fd00::1")), ..to(at("198.18.0.9", 80)) };
    assert_eq!(host.stack.tcp_connect(NOW, mixed), Err(ConnectError::InvalidDestination));
    assert!(host.frames().is_empty(), "nothing is sent");
}
