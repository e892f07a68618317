//! UDP segmentation offload: datagrams that a device merged, and datagrams that go to a device merged, are what single ones
//! are to everybody.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use usernet_core::{
    Config, Duration, FlowOptions, FlowSocket, Gso, GsoKind, Instant, InterfaceConfig,
    ListenAddress, MacAddr, Medium, Offload, Payload, RawOptions, RxChecksum, RxFrame, Stats,
    Storage, TxChecksum, UdpId, UdpOptions, cut,
};
use usernet_wire::ip::{Packet, Protocol};
use usernet_wire::{checksum, udp};

use crate::support::*;

/// A frame as it lies in a driver's large buffer.
fn frame(bytes: &[u8], gso_size: u16, checksum: RxChecksum) -> RxFrame {
    let mut slab = vec![0; 1 << 20].into_boxed_slice();
    slab[100..100 + bytes.len()].copy_from_slice(bytes);
    let storage: Arc<dyn Storage> = Arc::new(slab);
    let data = Payload::new(storage, 100..100 + bytes.len());
    RxFrame { data, checksum, gso_size, merged: 0 }
}

/// A packet with a datagram of `data`; the `index`th of several over IPv4 has that identification.
fn numbered(from: SocketAddr, to: SocketAddr, class: u8, data: &[u8], index: usize) -> Vec<u8> {
    let body = datagram(from, to, data);
    let mut ip = header(from.ip(), to.ip(), Protocol::UDP, body.len());
    ip.ident = index as u16;
    ip.traffic_class = class;
    let mut bytes = vec![0; ip.header_len()];
    ip.emit(&mut bytes);
    bytes.extend_from_slice(&body);
    bytes
}

/// What the counters are but for how the frames came.
fn without_frames(stats: Stats) -> Stats {
    let mut stats = stats;
    (stats.frames_in, stats.udp_in_merged, stats.udp_out_merged, stats.frames_out) = (0, 0, 0, 0);
    stats
}

/// Who is there to receive.
#[derive(Clone, Copy, Debug)]
struct Setting {
    recv_buffer: usize,
    /// A raw socket sees packets too.
    raw: bool,
    /// New flows wait for a decision.
    hold: bool,
    accept_any: bool,
    forwarding: bool,
    ethernet: bool,
}

#[derive(Clone, Debug)]
enum Step {
    /// So many bytes come in datagrams of `size`.
    Came {
        v6: bool,
        from: u16,
        to: usize,
        port: u16,
        class: u8,
        size: u16,
        len: usize,
    },
    /// So many datagrams are read from each socket.
    Read(usize),
    Pass(u64),
}

struct Side {
    host: Host,
    sockets: Vec<UdpId>,
    raw: Option<usernet_core::RawId>,
    now: Instant,
}

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

impl Side {
    fn new(setting: Setting) -> Self {
        let config = Config { forwarding: setting.forwarding, ..Config::default() };
        let medium = if setting.ethernet { Medium::Ethernet(MacAddr(MAC)) } else { Medium::Ip };
        let first = InterfaceConfig {
            medium,
            hold: setting.hold,
            accept_any: setting.accept_any,
            ..interface(&["198.18.0.1/24", "fd00::1/64"])
        };
        let mut host = Host::new(1, config, first);
        host.stack
            .add_interface(
                NOW,
                InterfaceConfig { mtu: 1280, ..interface(&["198.18.1.1/24", "fd01::1/64"]) },
            )
            .unwrap();
        let mut sockets = Vec::new();
        for like in ["198.18.0.1", "fd00::1"].map(ip) {
            let set = |s: &mut usernet_core::UdpSettings| s.recv_buffer = setting.recv_buffer;
            // One on all addresses; one of a peer; two that share; two that hear a group.
            sockets.push(host.udp_with(like, 7, set));
            let connected = host.udp_with(like, 8, set);
            let peer = SocketAddr::new(peer(like.is_ipv6()), 1000);
            host.stack.udp_connect(connected, peer).unwrap();
            sockets.push(connected);
            for (port, shared) in [(9, true), (9, true), (10, true), (10, true)] {
                let address = if like.is_ipv4() {
                    ListenAddress::AnyV4
                } else {
                    ListenAddress::AnyV6 { only: true }
                };
                let mut options = UdpOptions { address, port, ..UdpOptions::default() };
                options.settings.recv_buffer = setting.recv_buffer;
                (options.reuse_port, options.reuse_addr) = (shared && port == 9, port == 10);
                let id = host.stack.udp_bind(options).unwrap();
                if port == 10 {
                    host.stack.udp_join(id, group(like.is_ipv6()), Some(host.interface)).unwrap();
                }
                sockets.push(id);
            }
        }
        let raw = setting.raw.then(|| {
            let mut options = RawOptions::new(Protocol::UDP.0, false);
            options.recv_buffer = setting.recv_buffer;
            host.stack.raw_open(options).unwrap()
        });
        let mut side = Self { host, sockets, raw, now: NOW };
        // What joining said.
        side.sent();
        side
    }

    /// What goes out.
    fn sent(&mut self) -> Vec<Vec<u8>> {
        self.host.take(self.now).into_iter().map(|(_, bytes)| bytes).collect()
    }

    fn give(&mut self, ethernet: bool, bytes: &[u8], gso_size: u16, checksum: RxChecksum) {
        let link: &[u8] = if bytes[0] >> 4 == 6 { &[0x86, 0xdd] } else { &[8, 0] };
        let bytes = if ethernet {
            [&MAC[..], &[2, 0, 0, 0, 0, 9], link, bytes].concat()
        } else {
            bytes.to_vec()
        };
        let (now, interface) = (self.now, self.host.interface);
        self.host.stack.handle_frame(now, interface, frame(&bytes, gso_size, checksum));
    }

    /// Reads up to so many datagrams from everybody; as text.
    fn read(&mut self, most: usize) -> Vec<String> {
        let mut all = Vec::new();
        for id in self.sockets.clone() {
            for _ in 0..most {
                let Some(datagram) = self.host.recv(id) else { break };
                all.push(format!("{id:?} {datagram:?} {:?}", &datagram.payload[..]));
            }
            all.push(format!("{:?}", self.host.stack.udp_info(id)));
        }
        if let Some(id) = self.raw {
            for _ in 0..most {
                let Ok(packet) = self.host.stack.raw_recv(id) else { break };
                all.push(format!("{packet:?} {:?}", &packet.payload[..]));
            }
            all.push(format!("{:?}", self.host.stack.raw_drops(id)));
        }
        all
    }

    /// The events; flows that wait become sockets.
    fn events(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        for event in self.host.events() {
            if let usernet_core::Event::Flow(id) = event
                && let Ok(FlowSocket::Udp(socket)) =
                    self.host.stack.flow_accept(self.now, id, FlowOptions::default())
            {
                self.sockets.push(socket);
            }
            all.push(format!("{event:?}"));
        }
        all
    }
}

fn peer(v6: bool) -> IpAddr {
    ip(if v6 { "fd00::2" } else { "198.18.0.2" })
}

fn group(v6: bool) -> IpAddr {
    ip(if v6 { "ff02::4242" } else { "239.1.2.3" })
}

/// Where datagrams go: to us, to a group, to everybody, through us, to nobody.
fn destination(v6: bool, which: usize) -> IpAddr {
    let four = ["198.18.0.1", "239.1.2.3", "198.18.0.255", "198.18.1.9", "192.0.2.77"];
    let six = ["fd00::1", "ff02::4242", "ff02::1", "fd01::9", "2001:db8::77"];
    ip(if v6 { six[which] } else { four[which] })
}

fn step() -> impl Strategy<Value = Step> {
    let size = prop_oneof![1u16..1473, Just(1472), Just(500), Just(1)];
    let to = prop_oneof![6 => Just(0usize), 2 => Just(1), 1 => 2..5usize];
    let port = prop_oneof![7u16..11, Just(99)];
    let class = prop_oneof![Just(0u8), any::<u8>()];
    let shape = (size, 1usize..66, any::<prop::sample::Index>());
    let came = (any::<bool>(), 1000u16..1003, to, port, class, shape).prop_map(
        |(v6, from, to, port, class, (size, count, cut))| {
            let most = if v6 { 65_487 } else { 65_507 };
            let len = (usize::from(size) * count - cut.index(size.into())).min(most);
            Step::Came { v6, from, to, port, class, size, len }
        },
    );
    prop_oneof![8 => came, 2 => (0usize..40).prop_map(Step::Read), 1 => (0u64..1500).prop_map(Step::Pass)]
}

fn setting() -> impl Strategy<Value = Setting> {
    let buffer = prop_oneof![Just(2000usize), Just(10_000), Just(212_992)];
    (buffer, prop::bool::weighted(0.2), any::<[bool; 4]>()).prop_map(
        |(recv_buffer, raw, [hold, accept_any, forwarding, ethernet])| Setting {
            recv_buffer,
            raw,
            hold,
            accept_any,
            forwarding,
            ethernet,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..ProptestConfig::with_cases(96)
    })]

    /// Merged or single, the same comes of datagrams: every datagram, frame, event and counter.
    #[test]
    fn merged_datagrams_are_what_single_ones_are(setting in setting(), steps in vec(step(), 1..24)) {
        let (mut merged, mut single) = (Side::new(setting), Side::new(setting));
        for step in steps {
            match step {
                Step::Came { v6, from, to, port, class, size, len } => {
                    let (from, to) = ((peer(v6), from).into(), (destination(v6, to), port).into());
                    let data = pattern(len);
                    let whole = numbered(from, to, class, &data, 0);
                    merged.give(setting.ethernet, &whole, size, RxChecksum::Trusted);
                    for (i, part) in data.chunks(size.into()).enumerate() {
                        let one = numbered(from, to, class, part, i);
                        single.give(setting.ethernet, &one, 0, RxChecksum::Unverified);
                    }
                }
                Step::Read(most) => prop_assert_eq!(merged.read(most), single.read(most)),
                Step::Pass(ms) => {
                    for side in [&mut merged, &mut single] {
                        side.now += Duration::from_millis(ms);
                        side.host.stack.handle_timeout(side.now);
                    }
                }
            }
            prop_assert_eq!(merged.sent(), single.sent());
            prop_assert_eq!(merged.events(), single.events());
            let stats = merged.host.stack.stats();
            let counted = single.host.stack.stats();
            prop_assert_eq!(without_frames(stats), without_frames(counted));
        }
        prop_assert_eq!(merged.read(usize::MAX), single.read(usize::MAX));
    }
}

#[test]
fn merged_datagrams_are_one_pass_where_nobody_sees_packets() {
    for (ours, theirs) in families() {
        let mut host = Host::number(2);
        let id = host.udp(theirs, 7);
        let data = pattern(44 * 1400 + 1);
        let from = SocketAddr::new(ours, 9);
        let whole = numbered(from, SocketAddr::new(theirs, 7), 0, &data, 0);
        let interface = host.interface;
        host.stack.handle_frame(NOW, interface, frame(&whole, 1400, RxChecksum::Trusted));
        let stats = host.stack.stats();
        assert_eq!((stats.frames_in, stats.udp_in_datagrams, stats.udp_in_merged), (1, 45, 44));
        assert_eq!(stats.ip_in_no_ect_pkts, 45);
        assert_eq!(host.events().len(), 1);
        for part in data.chunks(1400) {
            let datagram = host.recv(id).unwrap();
            assert_eq!((datagram.from, &datagram.payload[..]), (from, part));
        }
        assert!(host.recv(id).is_none());
        assert_eq!(host.stack.udp_info(id).unwrap().recv_queue, 0);
        // A raw socket sees packets: they are no longer merged.
        let raw = host.stack.raw_open(RawOptions::new(Protocol::UDP.0, theirs.is_ipv6())).unwrap();
        host.stack.handle_frame(NOW, interface, frame(&whole, 1400, RxChecksum::Trusted));
        assert_eq!(host.stack.stats().udp_in_merged, 44);
        assert_eq!(host.stack.stats().udp_in_datagrams, 90);
        let seen = std::iter::from_fn(|| host.stack.raw_recv(raw).ok()).count();
        assert_eq!(seen, 45);
    }
}

#[test]
fn what_nobody_merges_is_counted_and_dropped() {
    for (ours, theirs) in families() {
        let (from, to) = (SocketAddr::new(ours, 9), SocketAddr::new(theirs, 7));
        let headers = if theirs.is_ipv6() { 40 } else { 20 };
        let mut host = Host::number(2);
        let id = host.udp(theirs, 7);
        let mut give = |bytes: &[u8], size, checksum| {
            let interface = host.interface;
            host.stack.handle_frame(NOW, interface, frame(bytes, size, checksum));
            let stats = host.stack.stats();
            let got = std::iter::from_fn(|| host.recv(id)).count() as u64;
            (stats.udp_in_errors, stats.udp_in_csum_errors, stats.udp_no_ports, got)
        };
        let whole = numbered(from, to, 0, &pattern(12_900), 0);
        // Too many, even if vouched for.
        assert_eq!(give(&whole, 100, RxChecksum::Trusted), (1, 0, 0, 0));
        assert_eq!(give(&whole, 1, RxChecksum::Trusted), (2, 0, 0, 0));
        assert_eq!(give(&whole, 101, RxChecksum::Trusted), (2, 0, 0, 128));
        // A datagram that was never merged.
        for size in [0, 12_900, 12_901, u16::MAX] {
            assert_eq!(give(&whole, size, RxChecksum::Trusted), (2, 0, 0, 1), "{size}");
        }
        // A length that is not the packet's.
        let mut odd = whole.clone();
        odd[headers + 4..headers + 6].copy_from_slice(&5000u16.to_be_bytes());
        assert_eq!(give(&odd, 1000, RxChecksum::Trusted), (3, 0, 0, 0));
        // Nobody vouches for it, and it is spoilt: it is not mended by taking it apart.
        let mut spoilt = whole.clone();
        spoilt[9000] ^= 4;
        assert_eq!(give(&spoilt, 1000, RxChecksum::Unverified), (4, 1, 0, 0));
        assert_eq!(give(&whole, 1000, RxChecksum::Unverified), (4, 1, 0, 13));
        // No header, no data.
        let ip_alone = packet(ours, theirs, Protocol::UDP, &[0; 7]);
        assert_eq!(give(&ip_alone, 3, RxChecksum::Trusted), (5, 1, 0, 0));
        let empty = numbered(from, to, 0, &[], 0);
        assert_eq!(give(&empty, 3, RxChecksum::Trusted), (5, 1, 0, 1));
        // A fragment is not merged, whatever is said of it.
        let body = datagram(from, to, &pattern(2000));
        for (range, more) in [(0..1200, true), (1200..2008, false)] {
            let piece = fragment((ours, theirs), 7, &body, range, more);
            give(&piece, 100, RxChecksum::Trusted);
        }
        let stats = host.stack.stats();
        assert_eq!((stats.udp_in_errors, stats.udp_in_merged), (5, 127 + 12));
        assert_eq!(stats.ip_reasm_oks, 1);
    }
}

#[test]
fn a_port_that_nobody_has_is_reported_for_each_datagram_up_to_the_limit() {
    for (ours, theirs) in families() {
        let mut host = Host::number(2);
        let (from, to) = (SocketAddr::new(ours, 9), SocketAddr::new(theirs, 99));
        let whole = numbered(from, to, 0, &pattern(64 * 20), 0);
        let interface = host.interface;
        host.stack.handle_frame(NOW, interface, frame(&whole, 20, RxChecksum::Trusted));
        let stats = host.stack.stats();
        assert_eq!((stats.udp_no_ports, stats.udp_in_merged), (64, 0));
        let answers = host.frames();
        assert!(!answers.is_empty() && answers.len() < 64, "{}", answers.len());
        assert_eq!(stats.icmp_rate_limited + answers.len() as u64, 64);
        // Each quotes the datagram as it was sent.
        for (i, answer) in answers.iter().enumerate() {
            let one = numbered(from, to, 0, &pattern(64 * 20)[i * 20..][..20], i);
            assert!(answer.ends_with(&one), "{i}");
        }
    }
}

/// What a stack sends: each frame as a device that takes datagrams apart would have it, cut, with its checksums; and how
/// many datagrams each had.
fn cut_all(host: &mut Host) -> (Vec<Vec<u8>>, Vec<usize>) {
    let (mut packets, mut counts, mut memory) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(transmit) = host.stack.poll_transmit(NOW) {
        let before = packets.len();
        if transmit.gso.is_some() {
            let sum = transmit.checksum.expect("the device completes it");
            let whole = transmit.to_vec();
            assert!(whole.len() <= 65_535);
            // As a kernel checks it: the headers are those of all.
            let packet = Packet::parse(&whole).expect("a good header");
            assert_eq!(
                (packet.payload_offset, packet.payload_len),
                (sum.start.into(), whole.len() - usize::from(sum.start))
            );
            let mut completed = whole.clone();
            checksum::complete(&mut completed, sum.start.into(), sum.offset.into()).unwrap();
            udp::Repr::parse(&completed[packet.payload_offset..], packet.src, packet.dst, false)
                .expect("a good sum of the pseudo-header");
            cut(&transmit, 0, &mut memory, |packet| {
                packets.push(packet.to_vec());
                true
            });
        } else {
            let mut bytes = transmit.to_vec();
            if let Some(sum) = transmit.checksum {
                checksum::complete(&mut bytes, sum.start.into(), sum.offset.into()).unwrap();
            }
            packets.push(bytes);
        }
        counts.push(packets.len() - before);
    }
    (packets, counts)
}

/// A host whose device takes datagrams apart, or does not.
fn sender(uso: bool, medium: Medium) -> Host {
    let offload = Offload { uso, ..FULL_OFFLOAD };
    let config = InterfaceConfig { offload, medium, ..interface(&["198.18.0.1/24", "fd00::1/64"]) };
    Host::new(1, Config::default(), config)
}

#[derive(Clone, Debug)]
enum Send {
    /// So many datagrams of a size from a socket to a peer.
    Burst {
        v6: bool,
        socket: usize,
        to: usize,
        size: usize,
        count: usize,
    },
    Ttl {
        socket: usize,
        ttl: u8,
    },
    Class {
        socket: usize,
        class: u8,
    },
    Buffer {
        socket: usize,
        bytes: usize,
    },
    /// What waits goes out.
    Transmit,
}

fn send_step() -> impl Strategy<Value = Send> {
    let size = prop_oneof![3 => Just(1000usize), 3 => 0usize..1473, 1 => 1473usize..5000];
    let burst = (any::<bool>(), 0..3usize, 0..4usize, size, 1usize..100)
        .prop_map(|(v6, socket, to, size, count)| Send::Burst { v6, socket, to, size, count });
    prop_oneof![
        10 => burst,
        1 => (0..3usize, 1u8..4).prop_map(|(socket, ttl)| Send::Ttl { socket, ttl }),
        1 => (0..3usize, 0u8..4).prop_map(|(socket, class)| Send::Class { socket, class }),
        1 => (0..3usize, 1000usize..300_000).prop_map(|(socket, bytes)| Send::Buffer { socket, bytes }),
        3 => Just(Send::Transmit),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..ProptestConfig::with_cases(64)
    })]

    /// Whether the device takes datagrams apart or not: the same packets in the same order, outcomes, events and counters.
    #[test]
    fn datagrams_that_go_out_merged_are_what_single_ones_are(steps in vec(send_step(), 1..16)) {
        let mut hosts = [sender(true, Medium::Ip), sender(false, Medium::Ip)];
        let sockets = hosts.each_mut().map(|host| {
            let set = |s: &mut usernet_core::UdpSettings| s.broadcast = true;
            [0, 1, 2].map(|i| ["198.18.0.1", "fd00::1"].map(|like| host.udp_with(ip(like), 5000 + i, set)))
        });
        let mut all_merged = 0;
        for step in steps.into_iter().chain([Send::Transmit]) {
            let mut outcomes = Vec::new();
            for (host, sockets) in hosts.iter_mut().zip(&sockets) {
                let stack = &mut host.stack;
                let mut all = Vec::new();
                match step {
                    Send::Burst { v6, socket, to, size, count } => {
                        // Two neighbours, a group, everybody or all nodes.
                        let four = ["198.18.0.2", "198.18.0.3", "239.1.2.3", "198.18.0.255"];
                        let six = ["fd00::2", "fd00::3", "ff02::4242", "ff02::1"];
                        let dest = at(if v6 { six[to] } else { four[to] }, 7);
                        let id = sockets[socket][usize::from(v6)];
                        let data = pattern(size + count);
                        for i in 0..count {
                            all.push(stack.udp_send_to(NOW, id, &data[i..i + size], Some(dest), None));
                        }
                        if size > 1 {
                            all.push(stack.udp_send_to(NOW, id, &data[..size / 2], Some(dest), None));
                        }
                    }
                    Send::Ttl { socket, ttl } => for id in sockets[socket] {
                        stack.udp_set(id, |s| s.hop_limit = ttl).unwrap();
                    },
                    Send::Class { socket, class } => for id in sockets[socket] {
                        stack.udp_set(id, |s| s.traffic_class = class).unwrap();
                    },
                    Send::Buffer { socket, bytes } => for id in sockets[socket] {
                        stack.udp_set(id, |s| s.send_buffer = bytes).unwrap();
                    },
                    Send::Transmit => {}
                }
                let infos: Vec<_> = sockets.as_flattened().iter().map(|id| stack.udp_info(*id)).collect();
                let (packets, counts) = match step {
                    Send::Transmit => cut_all(host),
                    _ => Default::default(),
                };
                // Identifications of single ones are 0, of merged ones whatever the kernel makes them.
                let packets: Vec<_> = packets.into_iter().map(without_ident).collect();
                let merged: usize = counts.iter().map(|count| count - 1).sum();
                outcomes.push((all, infos, packets, host.events(), without_frames(host.stack.stats())));
                all_merged += merged as u64;
                prop_assert!(counts.iter().all(|count| *count <= 64));
            }
            let single = outcomes.pop();
            prop_assert_eq!(outcomes.pop(), single);
        }
        prop_assert_eq!(hosts[0].stack.stats().udp_out_merged, all_merged);
        prop_assert_eq!(hosts[1].stack.stats().udp_out_merged, 0);
    }
}

/// A packet without IPv4's identification where it is whole (RFC 6864), and without the checksum over it.
fn without_ident(mut packet: Vec<u8>) -> Vec<u8> {
    let whole = packet[0] >> 4 == 4 && packet[6..8] == [0x40, 0];
    if whole {
        packet[4..6].fill(0);
        packet[10..12].fill(0);
    }
    packet
}

#[test]
fn datagrams_of_one_turn_go_out_in_one_frame() {
    for (ours, theirs) in families() {
        let mut host = sender(true, Medium::Ip);
        let id = host.udp_with(ours, 5000, |s| s.send_buffer = 1 << 20);
        let send = |host: &mut Host, port: u16, lens: &[usize]| {
            for len in lens {
                let to = SocketAddr::new(theirs, port);
                host.stack.udp_send_to(NOW, id, &pattern(*len), Some(to), None).unwrap();
            }
        };
        send(&mut host, 7, &[1000; 64]);
        assert_eq!(cut_all(&mut host).1, [64]);
        // No more than kernels take, and no more than a packet holds.
        send(&mut host, 7, &[100; 65]);
        assert_eq!(cut_all(&mut host).1, [64, 1]);
        send(&mut host, 7, &[1400; 50]);
        assert_eq!(cut_all(&mut host).1, [46, 4]);
        // A shorter one is the last, a longer one begins anew, and so does one to somebody else or without data.
        send(&mut host, 7, &[500, 500, 20, 500, 501, 501]);
        send(&mut host, 8, &[501, 0, 0, 501]);
        assert_eq!(cut_all(&mut host).1, [3, 1, 2, 1, 1, 1, 1]);
        // What has been polled for is no longer added to.
        send(&mut host, 7, &[500]);
        assert_eq!(cut_all(&mut host).1, [1]);
        send(&mut host, 7, &[500]);
        assert_eq!(cut_all(&mut host).1, [1]);
        // What a socket is charged with is the same.
        send(&mut host, 7, &[500; 3]);
        let headers = if theirs.is_ipv4() { 28 } else { 48 };
        assert_eq!(host.stack.udp_info(id).unwrap().send_queue, 3 * (500 + headers));
        assert_eq!(cut_all(&mut host).1, [3]);
        assert_eq!(host.stack.udp_info(id).unwrap().send_queue, 0);
        let stats = host.stack.stats();
        assert_eq!(stats.udp_out_datagrams, 64 + 65 + 50 + 10 + 2 + 3);
        assert_eq!(stats.frames_out, 1 + 2 + 2 + 7 + 2 + 1);
        assert_eq!(stats.udp_out_datagrams - stats.frames_out, stats.udp_out_merged);
    }
}

#[test]
fn merged_datagrams_wait_for_their_neighbour_and_go_on_ethernet() {
    let mut host = sender(true, Medium::Ethernet(MacAddr(MAC)));
    let id = host.udp(ip("198.18.0.1"), 5000);
    for _ in 0..5 {
        host.stack.udp_send_to(NOW, id, &[5; 300], Some(at("198.18.0.2", 7)), None).unwrap();
    }
    // It asks who that is.
    let asked = host.frames();
    assert!(asked.iter().any(|frame| frame[12..14] == [8, 6]), "ARP");
    assert!(asked.iter().all(|frame| frame.len() < 300));
    let interface = host.interface;
    host.stack.add_neighbor(NOW, interface, ip("198.18.0.2"), MacAddr([2, 0, 0, 0, 0, 2])).unwrap();
    let transmit = host.stack.poll_transmit(NOW).unwrap();
    let whole = transmit.to_vec();
    assert_eq!(whole.len(), 14 + 28 + 5 * 300);
    assert_eq!(transmit.checksum, Some(TxChecksum { start: 34, offset: 6 }));
    assert_eq!(transmit.gso, Some(Gso { kind: GsoKind::Udp4, size: 300 }));
    let mut lens = Vec::new();
    assert_eq!(
        cut(&transmit, 14, &mut Vec::new(), |one| {
            lens.push(one.len());
            true
        }),
        5
    );
    assert_eq!(lens, [14 + 28 + 300; 5]);
    assert_eq!(host.stack.udp_info(id).unwrap().send_queue, 0);
}
