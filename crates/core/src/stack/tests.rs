//! The stack talking to itself over loopback, and to another stack over a perfect wire.

use std::net::{IpAddr, SocketAddr};

use super::*;
use crate::*;

const LOCALHOSTS: [&str; 2] = ["127.0.0.1", "::1"];

fn stack(seed: u64) -> Stack {
    Stack::new(Config::default(), Secrets::from_bytes(&[seed as u8; 64]), seed)
}

fn listen(stack: &mut Stack, port: u16) -> ListenerId {
    let options = ListenOptions {
        address: ListenAddress::AnyV6 { only: false },
        port,
        backlog: 16,
        options: None,
    };
    stack.tcp_listen(options).unwrap()
}

fn connect(stack: &mut Stack, now: Instant, to: SocketAddr) -> SocketId {
    let options = ConnectOptions { remote: to, local_addr: None, local_port: None, options: None };
    stack.tcp_connect(now, options).unwrap()
}

/// Lets everything happen that needs no time.
fn spin(stack: &mut Stack, now: Instant) -> Vec<Event> {
    assert!(stack.poll_transmit(now).is_none());
    std::iter::from_fn(|| stack.poll_event()).collect()
}

#[test]
fn loopback_carries_both_families_both_ways() {
    for addr in LOCALHOSTS {
        let addr: IpAddr = addr.parse().unwrap();
        let mut now = Instant::from_millis(1);
        let mut s = stack(1);
        let l = listen(&mut s, 7);
        let c = connect(&mut s, now, SocketAddr::new(addr, 7));
        let events = spin(&mut s, now);
        assert!(events.contains(&Event::Acceptable(l)));
        assert!(events.contains(&Event::Socket(c, Ready::CONNECTED)));
        let a = s.tcp_accept(l).unwrap().unwrap();
        assert_eq!(s.tcp_info(a).unwrap().state, StateName::Established);

        let data: Vec<u8> = (0..3_000_000u32).map(|i| (i ^ (i >> 8)) as u8).collect();
        let (mut sent, mut got) = (0, Vec::new());
        let mut buf = vec![0; 100_000];
        while got.len() < data.len() {
            sent += s.tcp_send(now, c, &data[sent..], false).unwrap();
            spin(&mut s, now);
            match s.tcp_recv(now, a, &mut buf) {
                Ok(n) => got.extend_from_slice(&buf[..n]),
                Err(RecvError::WouldBlock) => {
                    now = now.max(s.poll_timeout().unwrap());
                    s.handle_timeout(now);
                }
                Err(e) => panic!("{e}"),
            }
        }
        assert!(got == data);
        s.tcp_send(now, a, b"bye", false).unwrap();
        s.tcp_close(now, a).unwrap();
        spin(&mut s, now);
        assert_eq!(s.tcp_recv(now, c, &mut buf), Ok(3));
        assert_eq!(s.tcp_recv(now, c, &mut buf), Ok(0));
        s.tcp_close(now, c).unwrap();
        spin(&mut s, now);
        s.tcp_close_listener(now, l).unwrap();
        assert_eq!(s.stats().time_wait, 1);
        while let Some(at) = s.poll_timeout() {
            now = now.max(at);
            s.handle_timeout(now);
            spin(&mut s, now);
        }
        let stats = s.stats();
        assert_eq!((stats.connections, stats.time_wait, stats.receive_memory), (0, 0, 0));
        assert_eq!(stats.tcp_retrans_segs, 0);
        assert!(now < Instant::from_millis(61_000));
        assert!(s.table.is_empty() && s.timers.is_empty() && s.tx.is_empty());
    }
}

#[test]
fn a_port_nobody_listens_on_refuses() {
    let now = Instant::from_millis(1);
    let mut s = stack(2);
    let c = connect(&mut s, now, "127.0.0.1:9".parse().unwrap());
    let events = spin(&mut s, now);
    assert!(
        matches!(events[..], [Event::Socket(id, ready)] if id == c && ready.contains(Ready::ERROR))
    );
    assert_eq!(s.tcp_error(c), Ok(Some(ConnectionError::Refused)));
    assert_eq!(s.tcp_recv(now, c, &mut [0; 1]), Err(ConnectionError::Refused.into()));
    assert_eq!(s.tcp_recv(now, c, &mut [0; 1]), Ok(0), "reported once");
    s.tcp_close(now, c).unwrap();
    assert_eq!(s.stats().connections, 0);
}

#[test]
fn a_handshake_times_out_no_earlier_than_it_was_sent() {
    let now = Instant::from_millis(1);
    let mut s = stack(3);
    let mut config = InterfaceConfig {
        name: "wire".into(),
        medium: Medium::Ip,
        mtu: 1500,
        offload: Offload::default(),
        addresses: vec!["198.18.0.1/24".parse().unwrap()],
        ..InterfaceConfig::default()
    };
    s.add_interface(now, config.clone()).unwrap();
    let mut peer = stack(4);
    config.addresses = vec!["198.18.0.2/24".parse().unwrap()];
    let wire = peer.add_interface(now, config).unwrap();
    listen(&mut peer, 80);
    let c = connect(&mut s, now, "198.18.0.2:80".parse().unwrap());
    // A driver may run timers before it transmits, on both sides.
    s.handle_timeout(now);
    let syn = s.poll_transmit(now).unwrap().to_vec();
    peer.handle_frame(now, wire, RxFrame::new(syn));
    peer.handle_timeout(now);
    assert!(peer.poll_transmit(now).is_some());
    for stack in [&s, &peer] {
        assert_eq!(stack.stats().tcp_timeouts, 0);
        assert_eq!(stack.poll_timeout(), Some(now + Duration::from_secs(1)), "RFC 6298 §2.1");
    }
    assert_eq!(s.tcp_info(c).unwrap().rto, Duration::from_secs(1));
}

#[test]
fn idle_connections_leave_nothing_to_do() {
    const COUNT: usize = 20_000;
    let mut now = Instant::from_millis(1);
    let config = Config { max_connections: 2 * COUNT + 10, ..Config::default() };
    let mut s = Stack::new(config, Secrets::from_bytes(&[9; 64]), 9);
    let l = listen(&mut s, 7);
    let mut pairs = Vec::new();
    for _ in 0..COUNT {
        let c = connect(&mut s, now, "127.0.0.1:7".parse().unwrap());
        spin(&mut s, now);
        pairs.push((c, s.tcp_accept(l).unwrap().unwrap()));
    }
    // A message each, so that every timer there is has run once; then time passes.
    for (c, a) in &pairs {
        s.tcp_send(now, *c, b"x", false).unwrap();
        spin(&mut s, now);
        assert_eq!(s.tcp_recv(now, *a, &mut [0; 10]), Ok(1));
    }
    while let Some(at) = s.poll_timeout() {
        now = now.max(at);
        s.handle_timeout(now);
        spin(&mut s, now);
    }
    assert_eq!(s.stats().connections, 2 * COUNT as u64);
    assert!(s.timers.is_empty() && s.tx.is_empty() && !s.has_events());
    // One of them speaks: the work is its own, however many are silent.
    let (c, a) = pairs[COUNT / 2];
    s.tcp_send(now, c, b"x", false).unwrap();
    assert_eq!((s.tx.len(), s.timers.len()), (1, 0));
    let events = spin(&mut s, now);
    assert!(
        events.iter().all(|event| matches!(event, Event::Socket(id, _) if [c, a].contains(id)))
    );
    assert!(s.timers.len() <= 2 && s.tx.is_empty());
}

/// The SYN that a connection to `to` from `port` begins with, in a stack with these secrets: its packet.
fn first_packet(key: u8, now: Instant, to: &str, port: u16) -> Vec<u8> {
    let mut s = Stack::new(Config::default(), Secrets::from_bytes(&[key; 64]), 1);
    let config = InterfaceConfig {
        name: "wire".into(),
        medium: Medium::Ip,
        addresses: vec!["198.18.0.1/24".parse().unwrap()],
        ..InterfaceConfig::default()
    };
    s.add_interface(now, config).unwrap();
    let remote = to.parse().unwrap();
    let local_port = Some(port);
    s.tcp_connect(now, ConnectOptions { remote, local_addr: None, local_port, options: None })
        .unwrap();
    s.poll_transmit(now).unwrap().to_vec()
}

/// The sequence number of that SYN.
fn first_number(key: u8, now: Instant, to: &str, port: u16) -> u32 {
    u32::from_be_bytes(first_packet(key, now, to, port)[24..28].try_into().unwrap())
}

#[test]
fn timestamps_begin_somewhere_else_for_every_connection() {
    // RFC 7323 §7.1: they tell nothing of other connections, nor for how long the stack has run.
    let first = |key: u8, millis: u64, to: &str| {
        let packet = first_packet(key, Instant::from_millis(millis), to, 40_000);
        // MSS and SACK-permitted stand before them.
        assert_eq!(packet[46..48], [8, 10]);
        u32::from_be_bytes(packet[48..52].try_into().unwrap())
    };
    let base = first(1, 1, "198.18.0.2:80");
    assert_eq!(first(1, 1001, "198.18.0.2:80").wrapping_sub(base), 1000);
    for other in [first(2, 1, "198.18.0.2:80"), first(1, 1, "198.18.0.2:81")] {
        assert!(other.wrapping_sub(base).wrapping_add(1 << 20) > 1 << 21);
    }
}

#[test]
fn initial_sequence_numbers_follow_a_clock_and_a_key() {
    // RFC 6528 §3: ISN = M + F(both ends, secret), M ticking every 4 microseconds.
    let now = Instant::from_millis(1);
    let base = first_number(1, now, "198.18.0.2:80", 40_000);
    let later = first_number(1, now + Duration::from_secs(1), "198.18.0.2:80", 40_000);
    assert_eq!(later.wrapping_sub(base), 250_000);
    let others = [
        first_number(2, now, "198.18.0.2:80", 40_000),
        first_number(1, now, "198.18.0.2:81", 40_000),
        first_number(1, now, "198.18.0.3:80", 40_000),
        first_number(1, now, "198.18.0.2:80", 40_001),
    ];
    // Another key, port or address: a number that has nothing to do with the first.
    assert!(others.iter().all(|n| n.wrapping_sub(base).wrapping_add(1 << 20) > 1 << 21));
}

#[test]
fn local_ports_are_chosen_by_double_hashing() {
    // RFC 6056 §3.3.4: one after the other for one destination, from a place that only who has the key knows.
    let ports = |key: u8, to: &str| -> Vec<u16> {
        let mut s = Stack::new(Config::default(), Secrets::from_bytes(&[key; 64]), 1);
        let now = Instant::from_millis(1);
        let ids: Vec<_> = (0..20).map(|_| connect(&mut s, now, to.parse().unwrap())).collect();
        ids.into_iter().map(|id| s.tcp_addrs(id).unwrap().0.port()).collect()
    };
    let first = ports(1, "127.0.0.1:80");
    let (low, high) = Config::default().ephemeral_ports;
    assert!(first.iter().all(|port| (low..=high).contains(port)));
    let mut sorted = first.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted.len(), 20, "no port twice");
    assert_eq!(ports(1, "127.0.0.1:80"), first, "of the key and the destination alone");
    assert_ne!(ports(2, "127.0.0.1:80")[0], first[0], "another key");
    assert_ne!(ports(1, "127.0.0.1:81")[0], first[0], "another destination");
}

/// A stack on a device that cuts segments itself, and its number.
fn on_an_offloading_device(seed: u64, address: &str) -> (Stack, InterfaceId) {
    let mut config = Config { loopback: false, ..Config::default() };
    config.socket.recv_buffer = (4usize << 20).into();
    config.socket.send_buffer = (4usize << 20).into();
    let mut stack = Stack::new(config, Secrets::from_bytes(&[seed as u8; 64]), seed);
    let interface = InterfaceConfig {
        offload: Offload { tx_checksum: true, tso4: true, tso6: true, uso: false, big_tcp4: false },
        addresses: vec![address.parse().unwrap()],
        ..InterfaceConfig::default()
    };
    let id = stack.add_interface(Instant::ZERO, interface).unwrap();
    (stack, id)
}

/// A segment as packets whose lengths their headers can say, with the size of segments where the device is to cut those.
fn as_packets(bytes: Vec<u8>, gso_size: u16) -> Vec<(Vec<u8>, u16)> {
    if bytes[0] >> 4 != 4 || bytes[2..4] != [0, 0] {
        return vec![(bytes, gso_size)];
    }
    assert!(bytes.len() > 65_535 && bytes.len() <= 192_720 + 80);
    let header_len = 20 + usize::from(bytes[32] >> 4) * 4;
    let (header, data) = bytes.split_at(header_len);
    let pieces = data.chunks(usize::from(gso_size) * 44).enumerate();
    pieces
        .map(|(i, piece)| {
            let mut packet = [header, piece].concat();
            let total_len = packet.len() as u16;
            packet[2..4].copy_from_slice(&total_len.to_be_bytes());
            packet[10..12].fill(0);
            let sum = usernet_wire::checksum::checksum(&packet[..20]);
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
            let seq = u32::from_be_bytes(packet[24..28].try_into().unwrap());
            let seq = seq.wrapping_add(i as u32 * u32::from(gso_size) * 44);
            packet[24..28].copy_from_slice(&seq.to_be_bytes());
            (packet, gso_size)
        })
        .collect()
}

#[test]
fn segments_are_longer_than_packets_where_the_device_takes_them_and_the_peer_is_near() {
    const NEAR: Duration = Duration::from_micros(200);
    const FAR: Duration = Duration::from_millis(20);
    const V4: [&str; 2] = ["198.18.0.1/24", "198.18.0.2/24"];
    const V6: [&str; 2] = ["fd00::1/64", "fd00::2/64"];
    const BEHIND: [&str; 2] = ["198.18.0.1/32", "198.18.0.2/24"];
    // What the device takes, how far the peer is, whether something is lost, and whether long ones are seen at last.
    let cases = [
        (true, NEAR, false, V4, true),
        (true, NEAR, true, V4, false),
        (true, FAR, false, V4, false),
        (false, NEAR, false, V4, false),
        (true, NEAR, false, V6, false),
        (true, NEAR, false, BEHIND, false),
    ];
    for (big, rtt, loss, [our_address, peer_address], expected) in cases {
        let (mut us, ours) = on_an_offloading_device(1, our_address);
        let (mut peer, theirs) = on_an_offloading_device(2, peer_address);
        us.set_big_tcp(Instant::ZERO, ours, big).unwrap();
        let anywhere = ["0.0.0.0/0", "::/0"].map(|to| to.parse().unwrap());
        for to in anywhere {
            us.add_route(Route { to, via: None, interface: ours }).unwrap();
        }
        let mut now = Instant::from_millis(1);
        let listener = listen(&mut peer, 7);
        let peer_ip = peer_address.parse::<IpCidr>().unwrap().addr;
        let socket = connect(&mut us, now, SocketAddr::new(peer_ip, 7));
        let data: Vec<u8> = (0..1u32 << 20).map(|i| ((i * 31) >> 3) as u8).collect();
        let (mut accepted, mut sent, mut got, mut longest, mut lost) = (None, 0, 0, 0, false);
        let mut buf = vec![0; 1 << 20];
        for turn in 0..600 {
            if turn > 2 {
                let from = sent % data.len();
                sent += us.tcp_send(now, socket, &data[from..], false).unwrap();
            }
            let mut flying = outgoing(now, &mut us);
            if turn > 500 {
                longest = flying.iter().map(|(bytes, _)| bytes.len()).fold(longest, usize::max);
            }
            let long = flying.iter().position(|(bytes, _)| bytes.len() > 65_535);
            if let Some(at) = long.filter(|_| loss && !lost) {
                flying.remove(at);
                lost = true;
            }
            for (bytes, gso_size) in flying {
                deliver(now, as_packets(bytes, gso_size), &mut peer, theirs);
            }
            accepted = accepted.or_else(|| peer.tcp_accept(listener).unwrap());
            if let Some(id) = accepted {
                while let Ok(n) = peer.tcp_recv(now, id, &mut buf) {
                    for piece in buf[..n].chunks(4096) {
                        let from = got % data.len();
                        let whole = piece.len().min(data.len() - from);
                        assert!(piece[..whole] == data[from..from + whole], "at byte {got}");
                        assert!(piece[whole..] == data[..piece.len() - whole], "at byte {got}");
                        got += piece.len();
                    }
                }
            }
            now += rtt;
            let answers = outgoing(now, &mut peer);
            deliver(now, answers, &mut us, ours);
            us.handle_timeout(now);
            peer.handle_timeout(now);
        }
        assert_eq!(lost, loss);
        assert!(got > 100 << 20, "{got} bytes arrived");
        assert_eq!(
            longest > 65_535,
            expected,
            "big {big}, {rtt:?}, loss {loss}, {our_address}: {longest}"
        );
        // Who may not any more stops at once.
        us.set_big_tcp(now, ours, false).unwrap();
        let _ = us.tcp_send(now, socket, &data, false);
        assert!(outgoing(now, &mut us).iter().all(|(bytes, _)| bytes.len() <= 65_535));
    }
}

/// What `from` has to send, with the size of segments where the device is to cut it.
fn outgoing(now: Instant, from: &mut Stack) -> Vec<(Vec<u8>, u16)> {
    let mut frames = Vec::new();
    while let Some(transmit) = from.poll_transmit(now) {
        frames.push((transmit.to_vec(), transmit.gso.map_or(0, |gso| gso.size)));
    }
    frames
}

fn deliver(now: Instant, frames: Vec<(Vec<u8>, u16)>, to: &mut Stack, interface: InterfaceId) {
    for (bytes, gso_size) in frames {
        let frame = RxFrame { gso_size, checksum: RxChecksum::Trusted, ..RxFrame::new(bytes) };
        to.handle_frame(now, interface, frame);
    }
}

#[test]
fn the_rest_of_a_write_waits_for_more_only_where_acknowledgements_are_near() {
    // A super-segment holds 44 segments; a write of 256 KiB is four of those and a rest.
    for (rtt, expected) in [(Duration::from_micros(200), 16), (Duration::from_millis(20), 20)] {
        let (mut us, ours) = on_an_offloading_device(1, "198.18.0.1/24");
        let (mut peer, theirs) = on_an_offloading_device(2, "198.18.0.2/24");
        let mut now = Instant::from_millis(1);
        let listener = listen(&mut peer, 7);
        let socket = connect(&mut us, now, "198.18.0.2:7".parse().unwrap());
        let (mut accepted, mut sent, mut got) = (None, 0, 0);
        let mut buf = vec![0; 1 << 20];
        let mut frames = 0;
        for turn in 0.. {
            // Once all was acknowledged in a window that holds it: four writes before anything of them arrives.
            let measured = got == sent && us.tcp_info(socket).unwrap().cwnd > 2 << 20;
            let mut flying = Vec::new();
            if turn > 2 && got == sent {
                for _ in 0..4 {
                    sent += us.tcp_send(now, socket, &vec![7; 256 << 10], false).unwrap();
                    flying.append(&mut outgoing(now, &mut us));
                }
            }
            if measured {
                frames = flying.len();
            }
            flying.append(&mut outgoing(now, &mut us));
            deliver(now, flying, &mut peer, theirs);
            accepted = accepted.or_else(|| peer.tcp_accept(listener).unwrap());
            if let Some(id) = accepted {
                while let Ok(n) = peer.tcp_recv(now, id, &mut buf) {
                    got += n;
                }
            }
            now += rtt;
            let answers = outgoing(now, &mut peer);
            deliver(now, answers, &mut us, ours);
            if measured {
                break;
            }
            assert!(turn < 1000, "the window does not grow");
        }
        assert_eq!(frames, expected, "at a round trip of {rtt:?}");
        // The rest goes with the acknowledgements; no timer is needed for it.
        let rest = outgoing(now, &mut us);
        deliver(now, rest, &mut peer, theirs);
        while let Ok(n) = peer.tcp_recv(now, accepted.unwrap(), &mut buf) {
            got += n;
        }
        assert_eq!(got, sent);
    }
}

#[test]
fn what_waits_for_its_neighbour_keeps_no_memory_of_longer_packets() {
    let now = Instant::from_millis(1);
    let mut s = stack(5);
    let config = InterfaceConfig {
        medium: Medium::Ethernet(MacAddr([2, 0, 0, 0, 0, 1])),
        mtu: 1500,
        offload: Offload { tx_checksum: true, uso: true, ..Offload::default() },
        addresses: vec!["198.18.0.1/24".parse().unwrap()],
        ..InterfaceConfig::default()
    };
    let wire = s.add_interface(now, config).unwrap();
    let known: IpAddr = "198.18.0.2".parse().unwrap();
    let mac = MacAddr([2, 0, 0, 0, 0, 2]);
    s.add_neighbor(now, wire, known, mac).unwrap();
    let options = UdpOptions {
        address: ListenAddress::AnyV4,
        port: 0,
        reuse_addr: false,
        reuse_port: false,
        settings: UdpSettings::default(),
    };
    let id = s.udp_bind(options).unwrap();
    for i in 3..100 {
        for _ in 0..2 * 40 {
            s.udp_send_to(now, id, &[1; 1400], Some(SocketAddr::new(known, 7)), None).unwrap();
        }
        outgoing(now, &mut s);
        let unknown = SocketAddr::from(([198, 18, 0, i], 7));
        s.udp_send_to(now, id, &[2; 30], Some(unknown), None).unwrap();
        outgoing(now, &mut s);
    }
    let link = s.interfaces[wire].link.as_ref().unwrap();
    let waiting = || link.neighbors.values().flat_map(|neighbor| neighbor.waiting());
    assert_eq!(waiting().count(), 97);
    assert!(waiting().all(|bytes| bytes.len() == 58 && bytes.capacity() <= 2 * 58 + 256));
}
