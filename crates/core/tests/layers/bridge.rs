//! A learning bridge between Ethernet segments, in virtual time.

use usernet_core::{
    BridgeConfig, BridgePortStats, Config, Duration, InterfaceConfig, InterfaceError, InterfaceId,
    MacAddr, Medium, Offload, RxFrame, Secrets, Stack,
};
use usernet_wire::tcp::Repr;

use crate::forward::merged;
use crate::lan::*;
use crate::support::*;

/// A bridge with so many ports.
struct Bridge {
    stack: Stack,
    ports: Vec<InterfaceId>,
    now: usernet_core::Instant,
}

fn port() -> InterfaceConfig {
    InterfaceConfig { bridge_port: true, ..ethernet(200, &[]) }
}

impl Bridge {
    fn new(ports: usize, bridge: BridgeConfig) -> Self {
        let config = Config { loopback: false, bridge, ..Config::default() };
        let mut stack = Stack::new(config, Secrets::from_bytes(&[7; 64]), 7);
        let ports = (0..ports).map(|_| stack.add_interface(NOW, port()).unwrap()).collect();
        Self { stack, ports, now: NOW }
    }

    fn of(ports: usize) -> Self {
        Self::new(ports, BridgeConfig::default())
    }

    /// Hands a frame in at a port; what comes out, by ports.
    fn pass(&mut self, from: usize, frame: RxFrame) -> Vec<(usize, Vec<u8>)> {
        self.stack.handle_frame(self.now, self.ports[from], frame);
        let mut out = Vec::new();
        while let Some(transmit) = self.stack.poll_transmit(self.now) {
            let port = self.ports.iter().position(|id| *id == transmit.interface).unwrap();
            out.push((port, transmit.to_vec()));
        }
        out
    }

    /// From station `from` behind a port to station `to`: the ports it comes out of.
    fn carry(&mut self, port: usize, from: MacAddr, to: MacAddr) -> Vec<usize> {
        let packet = udp_packet(at("198.18.0.1", 9), at("198.18.0.2", 9), b"x");
        let frame = framed(from, to, &packet);
        let out = self.pass(port, RxFrame::new(frame.clone()));
        assert!(out.iter().all(|(_, sent)| *sent == frame), "frames pass as they are");
        out.into_iter().map(|(port, _)| port).collect()
    }

    fn stats(&self, port: usize) -> BridgePortStats {
        self.stack.bridge_ports().find(|(id, _)| *id == self.ports[port]).unwrap().1
    }
}

#[test]
fn stations_are_learnt_and_the_unknown_goes_to_all_others() {
    let mut bridge = Bridge::of(3);
    assert_eq!(bridge.carry(0, mac(1), mac(2)), [1, 2], "nobody knows where 2 is");
    assert_eq!(bridge.carry(1, mac(2), mac(1)), [0]);
    assert_eq!(bridge.carry(0, mac(1), mac(2)), [1]);
    assert_eq!(bridge.carry(0, mac(1), MacAddr::BROADCAST), [1, 2]);
    assert_eq!(bridge.carry(2, mac(3), MacAddr([0x33, 0x33, 0, 0, 0, 1])), [0, 1]);
    // On the same segment they hear one another without us.
    assert_eq!(bridge.carry(0, mac(4), mac(1)), [0usize; 0]);
    // One that moves is found again.
    assert_eq!(bridge.carry(2, mac(2), mac(1)), [0]);
    assert_eq!(bridge.carry(0, mac(1), mac(2)), [2]);
    let mut table = bridge.stack.bridge_table(bridge.now);
    table.sort_by_key(|station| station.mac);
    let ports: Vec<_> = table.iter().map(|station| (station.mac, station.port)).collect();
    let p = &bridge.ports;
    assert_eq!(ports, [(mac(1), p[0]), (mac(2), p[2]), (mac(3), p[2]), (mac(4), p[0])]);
    let len = 14 + 28 + 1;
    let expected = BridgePortStats {
        frames_in: 5,
        bytes_in: 5 * len,
        frames_out: 3,
        bytes_out: 3 * len,
        flooded: 2,
        filtered: 1,
        malformed: 0,
        dropped: 0,
    };
    assert_eq!(bridge.stats(0), expected);
}

#[test]
fn the_table_ages_and_is_bounded() {
    let ageing = Duration::from_secs(10);
    let mut bridge = Bridge::new(3, BridgeConfig { ageing, max_entries: 100 });
    bridge.carry(1, mac(2), mac(1));
    bridge.now += Duration::from_millis(9_999);
    assert_eq!(bridge.carry(0, mac(1), mac(2)), [1]);
    bridge.now += Duration::from_millis(1);
    assert_eq!(bridge.carry(0, mac(1), mac(2)), [1, 2], "it was silent for too long");
    // A flood of made-up stations fills it, and takes nobody's place.
    for n in 0..1000u16 {
        let [a, b] = n.to_be_bytes();
        bridge.carry(2, MacAddr([2, 9, 9, 9, a, b]), MacAddr::BROADCAST);
    }
    assert_eq!(bridge.stack.bridge_table(bridge.now).len(), 100);
    assert_eq!(bridge.carry(1, mac(3), mac(1)), [0], "1 is known still");
    assert_eq!(bridge.carry(0, mac(1), mac(3)), [1, 2], "3 found no room");
    bridge.now += ageing;
    bridge.carry(1, mac(3), mac(1));
    assert_eq!(bridge.carry(0, mac(1), mac(3)), [1], "those that were silent made room");
    assert!(bridge.stack.bridge_table(bridge.now).len() < 10);
}

#[test]
fn what_is_no_frame_or_for_bridges_alone_goes_nowhere() {
    let mut bridge = Bridge::of(2);
    for len in 0..14 {
        assert!(bridge.pass(0, RxFrame::new(vec![2; len])).is_empty());
    }
    for from in [MacAddr::BROADCAST, MacAddr([1, 0, 0x5e, 0, 0, 1]), MacAddr::ZERO] {
        assert!(bridge.carry(0, from, mac(2)).is_empty(), "{from}");
    }
    assert_eq!(bridge.stats(0).malformed, 17);
    for last in 0..16 {
        assert!(bridge.carry(0, mac(1), MacAddr([1, 0x80, 0xc2, 0, 0, last])).is_empty());
    }
    assert_eq!(bridge.stats(0).filtered, 16);
    assert_eq!(bridge.carry(0, mac(1), MacAddr([1, 0x80, 0xc2, 0, 0, 16])), [1]);
    // Longer than the other port carries.
    let long = [framed(mac(1), mac(2), &[0x45; 28]), vec![0; 1600]].concat();
    assert!(bridge.pass(0, RxFrame::new(long)).is_empty());
    assert_eq!(bridge.stats(1).dropped, 1);
    assert!(bridge.stack.poll_timeout().is_none(), "a port has nothing of its own to do");
}

#[test]
fn what_waits_for_a_port_is_bounded() {
    let mut bridge = Bridge::of(2);
    let frame = framed(mac(1), mac(2), &[0; 1400]);
    for _ in 0..4000 {
        bridge.stack.handle_frame(bridge.now, bridge.ports[0], RxFrame::new(frame.clone()));
    }
    let stats = bridge.stats(1);
    assert!(stats.bytes_out <= 4 << 20, "{stats:?}");
    assert_eq!(stats.frames_out + stats.dropped, 4000);
}

#[test]
fn ports_come_and_go() {
    let mut bridge = Bridge::of(3);
    bridge.carry(1, mac(2), mac(1));
    let gone = bridge.ports.remove(1);
    bridge.stack.remove_interface(bridge.now, gone).unwrap();
    assert_eq!(bridge.carry(0, mac(1), mac(2)), [1], "it is looked for everywhere");
    bridge.ports.push(bridge.stack.add_interface(bridge.now, port()).unwrap());
    assert_eq!(bridge.carry(2, mac(2), mac(1)), [0]);
    bridge.stack.set_link(bridge.now, bridge.ports[2], false).unwrap();
    assert_eq!(bridge.carry(0, mac(1), mac(2)), [1], "down, it is none");
    assert!(bridge.carry(2, mac(2), mac(1)).is_empty());
    let address = "198.18.0.1/24".parse().unwrap();
    let refused = bridge.stack.add_address(bridge.now, bridge.ports[0], address);
    assert_eq!(refused, Err(InterfaceError::InvalidAddress), "a port has no addresses");
    let packets = InterfaceConfig { medium: Medium::Ip, ..port() };
    let refused = bridge.stack.add_interface(bridge.now, packets);
    assert_eq!(refused, Err(InterfaceError::InvalidMac), "and carries Ethernet");
}

/// Both families, without a VLAN and in one.
const WAYS: [(&str, &str, &[u8]); 4] = [
    ("198.18.0.1", "198.18.0.2", &[]),
    ("fd00::1", "fd00::2", &[]),
    ("198.18.0.1", "198.18.0.2", &[0x81, 0, 0x20, 5]),
    ("fd00::1", "fd00::2", &[0x81, 0, 0x20, 5]),
];

/// A frame from station 1 to station 2, with a tag.
fn tagged(packet: &[u8], tag: &[u8]) -> Vec<u8> {
    let mut frame = framed(mac(1), mac(2), packet);
    frame.splice(12..12, tag.iter().copied());
    frame
}

#[test]
fn merged_segments_are_cut_and_unfinished_checksums_finished() {
    for (from, to, tag) in WAYS {
        let link = 14 + tag.len();
        let mut bridge = Bridge::of(1);
        let cutting =
            Offload { tx_checksum: true, tso4: true, tso6: true, uso: false, big_tcp4: false };
        let able = InterfaceConfig { offload: cutting, ..port() };
        bridge.ports.push(bridge.stack.add_interface(NOW, able).unwrap());
        bridge.ports.push(bridge.stack.add_interface(NOW, port()).unwrap());
        // As a device hands it over that merged it: the checksum is not there.
        let whole = merged(ip(from), ip(to), &[5; 10_000]);
        let frame = vouched(tagged(&whole, tag), 1400);
        let out = bridge.pass(0, frame);
        let of = |port| out.iter().filter(move |(p, _)| *p == port).map(|(_, sent)| sent);
        assert_eq!(of(1).count(), 1, "this device cuts it");
        let cut: Vec<_> = of(2).collect();
        assert_eq!(cut.len(), 8, "10,000 bytes, 1,400 at a time");
        let mut data = Vec::new();
        for sent in cut {
            assert!(sent.len() <= link + 1500);
            assert_eq!(sent[..12 + tag.len()], [&mac(2).0, &mac(1).0, tag].concat());
            let packet = usernet_wire::ip::Packet::parse(&sent[link..]).unwrap();
            let segment = &sent[link + packet.payload_offset..];
            let (_, len) =
                Repr::parse(segment, packet.src, packet.dst, false).expect("a good checksum");
            data.extend_from_slice(&segment[len..]);
        }
        assert_eq!(data, [5; 10_000]);
        assert_eq!((bridge.stats(1).frames_out, bridge.stats(2).frames_out), (1, 8));
    }
}

#[test]
fn merged_datagrams_are_single_ones_behind_the_bridge() {
    for (from, to, tag) in WAYS {
        let link = 14 + tag.len();
        let mut bridge = Bridge::of(2);
        let able = InterfaceConfig { offload: Offload { uso: true, ..FULL_OFFLOAD }, ..port() };
        bridge.ports.push(bridge.stack.add_interface(NOW, able).unwrap());
        let whole = udp_packet(at(from, 9), at(to, 7), &pattern(10_000));
        let out = bridge.pass(0, vouched(tagged(&whole, tag), 1400));
        for port in [1, 2] {
            let sent: Vec<_> = out.iter().filter(|(p, _)| *p == port).map(|(_, f)| f).collect();
            assert_eq!(sent.len(), 8);
            for (frame, part) in sent.into_iter().zip(pattern(10_000).chunks(1400)) {
                assert_eq!(frame[..12 + tag.len()], [&mac(2).0, &mac(1).0, tag].concat());
                assert!(frame.ends_with(part) && frame.len() <= link + 1500);
                let packet = usernet_wire::ip::Packet::parse(&frame[link..]).unwrap();
                assert_eq!(packet.payload_len, 8 + part.len());
            }
        }
        let stats = bridge.stats(0);
        assert_eq!((stats.frames_in, stats.flooded, bridge.stats(1).frames_out), (8, 8, 8));
        // What nobody merges so goes nowhere; what is one datagram goes as it is.
        let odd = vouched(tagged(&whole, tag), 10);
        assert!(bridge.pass(0, odd).is_empty());
        assert_eq!(bridge.stats(0).malformed, 1);
        let one = udp_packet(at(from, 9), at(to, 7), b"one");
        let out = bridge.pass(0, vouched(tagged(&one, tag), 1400));
        assert_eq!(out.len(), 2);
    }
}

#[test]
fn three_hosts_reach_each_other_through_two_bridges() {
    // 1 - [a] - [b] - 2, 3: hosts with neighbour discovery and all, bridges between.
    let host = |n: u8| {
        Host::new(
            n,
            Config::default(),
            ethernet(n, &[&format!("198.18.0.{n}/24"), &format!("fd00::{n}/64")]),
        )
    };
    let mut hosts = [host(1), host(2), host(3)];
    let mut bridges = [Bridge::of(2), Bridge::of(3)];
    let mut now = NOW;
    /// Where what a host or a port sends goes: a host, or a port of a bridge.
    enum End {
        Host(usize),
        Port(usize, usize),
    }
    let step = |now, hosts: &mut [Host; 3], bridges: &mut [Bridge; 2]| {
        let mut sent: Vec<(End, Vec<u8>)> = Vec::new();
        for (n, host) in hosts.iter_mut().enumerate() {
            host.stack.handle_timeout(now);
            let to = |n| if n == 0 { End::Port(0, 0) } else { End::Port(1, n) };
            sent.extend(host.take(now).into_iter().map(|(_, frame)| (to(n), frame)));
        }
        let mut any = false;
        while let Some((end, frame)) = sent.pop() {
            any = true;
            match end {
                End::Host(n) => {
                    let host = &mut hosts[n];
                    host.stack.handle_frame(now, host.interface, RxFrame::new(frame));
                }
                End::Port(bridge, port) => {
                    bridges[bridge].now = now;
                    for (out, frame) in bridges[bridge].pass(port, RxFrame::new(frame)) {
                        let next = match (bridge, out) {
                            (0, 0) => End::Host(0),
                            (0, _) => End::Port(1, 0),
                            (_, 0) => End::Port(0, 1),
                            (_, n) => End::Host(n),
                        };
                        sent.push((next, frame));
                    }
                }
            }
        }
        any
    };
    for (from, to) in [(0, "198.18.0.2"), (1, "fd00::1"), (2, "198.18.0.1"), (0, "fd00::3")] {
        let options = usernet_core::PingOptions::new(ip(to), 1);
        hosts[from].stack.icmp_ping(now, options).unwrap();
        let mut answered = false;
        for _ in 0..300 {
            while step(now, &mut hosts, &mut bridges) {}
            answered |= hosts[from].events().iter().any(|event| {
                matches!(
                    event,
                    usernet_core::Event::Ping(_, usernet_core::PingOutcome::Reply { .. })
                )
            });
            if answered {
                break;
            }
            now += Duration::from_millis(10);
        }
        assert!(answered, "{to}");
    }
    assert_eq!(bridges[1].stack.bridge_table(now).len(), 3);
}
