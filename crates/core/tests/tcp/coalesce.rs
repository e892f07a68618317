//! Segments that are merged on receive: nobody can tell. The same batches go to two stacks that are the same but for that,
//! and all that comes out is compared: frames, bytes, events, counters, and what `ss` would show.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use usernet_core::{
    Coalescing, Config, EcnPolicy, Instant, InterfaceConfig, InterfaceId, ListenAddress,
    ListenOptions, ListenerId, MacAddr, Medium, RawOptions, RxChecksum, RxFrame, Secrets, Shutdown,
    SocketId, Stack, Stats,
};
use usernet_wire::ip::{self, Protocol};
use usernet_wire::tcp::{self, Flags, Options, Timestamps};
use usernet_wire::{SeqNumber, ethernet};

use crate::random::config;
use crate::support::{Family, bytes_at};

const OUR_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const PEER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
const MSS: u32 = 1448;

/// How both stacks and their peer are.
#[derive(Clone, Copy, Debug)]
struct Setting {
    family: Family,
    ethernet: bool,
    timestamps: bool,
    /// How the peer asks for ECN: not at all, as in RFC 3168, as in RFC 9768.
    ecn: Flags,
    recv_buffer: usize,
    delayed_ack: bool,
    /// Bytes that all receive queues may hold.
    memory: usize,
}

/// A segment of the peer's.
#[derive(Clone, Copy, Debug)]
struct Piece {
    flow: usize,
    /// Where it begins, bytes from what is next in its flow.
    shift: i32,
    len: u32,
    flags: Flags,
    ecn: u8,
    hop_limit: u8,
    /// By how much its timestamp differs, ms.
    stamp: i32,
    /// Whether it acknowledges all, or what it did in the beginning.
    acks: bool,
    window: u16,
    spoilt: bool,
}

/// What happens at one time.
#[derive(Clone, Debug)]
enum Step {
    Batch(Vec<Piece>),
    Read(usize, usize),
    Write(usize, usize),
    /// Of a socket: both directions, or one.
    Shut(usize, Shutdown),
    /// The application lets go of a socket.
    Close(usize),
    Wait(u64),
}

/// One flow as the peer knows it.
#[derive(Clone, Copy, Debug)]
struct Flow {
    port: u16,
    isn: u32,
    /// What is next, from the initial sequence number.
    next: u32,
    first_ack: SeqNumber,
    last_ack: SeqNumber,
    echo: u32,
}

/// One of the two stacks.
struct Host {
    stack: Stack,
    id: InterfaceId,
    listener: ListenerId,
    sockets: Vec<SocketId>,
    merges: bool,
}

impl Host {
    fn new(setting: Setting, now: Instant, merges: bool) -> Self {
        let mut config = Config { loopback: false, coalesce: merges, ..Config::default() };
        config.socket.recv_buffer = setting.recv_buffer.into();
        config.socket.timestamps = setting.timestamps;
        config.max_receive_memory = setting.memory;
        config.socket.ecn = EcnPolicy::Accurate;
        if !setting.delayed_ack {
            config.socket.delayed_ack = Duration::ZERO;
        }
        let mut stack = Stack::new(config, Secrets::from_bytes(&[7; 64]), 7);
        let prefix = if setting.family == Family::V4 { 24 } else { 64 };
        let address = format!("{}/{prefix}", setting.family.ours());
        let medium = if setting.ethernet { Medium::Ethernet(OUR_MAC) } else { Medium::Ip };
        let addresses = vec![address.parse().unwrap()];
        let interface = InterfaceConfig { medium, addresses, ..InterfaceConfig::default() };
        let id = stack.add_interface(now, interface).unwrap();
        let address = ListenAddress::One(setting.family.ours());
        let listen = ListenOptions { address, port: 80, backlog: 16, options: None };
        let listener = stack.tcp_listen(listen).unwrap();
        Self { stack, id, listener, sockets: Vec::new(), merges }
    }

    /// As a driver does it (`crates/manager/src/inner.rs`).
    fn receive(&mut self, now: Instant, batch: &[Vec<u8>]) {
        let Self { stack, id, merges, .. } = self;
        let mut run: Option<(Coalescing, Vec<u8>)> = None;
        let finish = |stack: &mut Stack, run: Option<(Coalescing, Vec<u8>)>| {
            if let Some((run, mut held)) = run {
                run.finish(&mut held);
                stack.handle_frame(now, *id, run.frame(held.into()));
            }
        };
        for frame in batch {
            if !*merges {
                stack.handle_frame(now, *id, RxFrame::new(&frame[..]));
                continue;
            }
            let checksum = RxChecksum::Unverified;
            if let Some((run, held)) = &mut run
                && let Some(payload) = run.append(held, frame, checksum)
            {
                held.extend(&frame[payload]);
                assert!(held.len() <= 65_535 + 14);
                continue;
            }
            finish(stack, run.take());
            run = stack.coalescing(now, *id, frame, checksum).map(|run| (run, frame.clone()));
            if run.is_none() {
                stack.handle_frame(now, *id, RxFrame::new(&frame[..]));
            }
        }
        finish(stack, run.take());
    }

    /// Everything that it has to say now.
    fn output(&mut self, now: Instant) -> (Vec<Vec<u8>>, Vec<String>) {
        // Due or not, so that both know what time it is: one may have come by for a timer that was not needed any more.
        self.stack.handle_timeout(now);
        let mut frames = Vec::new();
        while let Some(transmit) = self.stack.poll_transmit(now) {
            frames.push(transmit.to_vec());
        }
        let mut events = Vec::new();
        while let Some(event) = self.stack.poll_event() {
            events.push(format!("{event:?}"));
        }
        while let Ok(Some(id)) = self.stack.tcp_accept(self.listener) {
            self.sockets.push(id);
        }
        (frames, events)
    }

    fn read(&mut self, now: Instant, socket: usize, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        let read = self.stack.tcp_recv(now, self.sockets[socket], &mut bytes);
        bytes.truncate(read.unwrap_or(0));
        bytes
    }

    fn stats(&self) -> Stats {
        let mut stats = self.stack.stats();
        stats.tcp_in_coalesced = 0;
        stats
    }
}

/// Both stacks, and the peer of both.
struct Twins {
    setting: Setting,
    now: Instant,
    hosts: [Host; 2],
    flows: [Flow; 2],
    read: [u32; 2],
}

impl Twins {
    fn new(setting: Setting) -> Self {
        let now = Instant::from_millis(1000);
        let hosts = [false, true].map(|merges| Host::new(setting, now, merges));
        let flows = [0, 1].map(|n| Flow {
            port: 1000 + n,
            isn: u32::MAX - 20_000 + 7777 * u32::from(n),
            next: 1,
            first_ack: SeqNumber(0),
            last_ack: SeqNumber(0),
            echo: 0,
        });
        let mut twins = Self { setting, now, hosts, flows, read: [0; 2] };
        if setting.ethernet {
            twins.introduce();
        }
        for flow in 0..2 {
            let syn = twins.frame(flow, 0, 0, Flags::SYN | setting.ecn, 0, 64, 0, true, 65_535);
            twins.batch(&[syn]);
            let ack = twins.frame(flow, 1, 0, Flags::ACK, 0, 64, 0, true, 65_535);
            twins.batch(&[ack]);
            twins.flows[flow].first_ack = twins.flows[flow].last_ack;
        }
        assert_eq!(twins.hosts[0].sockets.len(), 2);
        twins
    }

    /// The peer's hardware address is known from the start.
    fn introduce(&mut self) {
        let (now, family) = (self.now, self.setting.family);
        for host in &mut self.hosts {
            let set = host.stack.add_neighbor(now, host.id, family.peer(), PEER_MAC);
            set.expect("a neighbour on the link");
        }
    }

    fn frame(
        &self,
        flow: usize,
        at: u32,
        len: u32,
        flags: Flags,
        ecn: u8,
        hop_limit: u8,
        stamp: i32,
        acks: bool,
        window: u16,
    ) -> Vec<u8> {
        let Setting { family, ethernet, timestamps, .. } = self.setting;
        let flow = self.flows[flow];
        let mut header = tcp::Repr {
            src_port: flow.port,
            dst_port: 80,
            seq: SeqNumber(flow.isn.wrapping_add(at)),
            flags,
            window,
            ..tcp::Repr::default()
        };
        if flags.contains(Flags::ACK) {
            header.ack = if acks { flow.last_ack } else { flow.first_ack };
        }
        if flags.contains(Flags::URG) {
            header.urgent = 1;
        }
        let val = (self.now.since(Instant::ZERO).as_millis() as u32).wrapping_add_signed(stamp);
        header.options.timestamps = timestamps.then_some(Timestamps { val, ecr: flow.echo });
        if flags.contains(Flags::SYN) {
            let syn = Options {
                mss: Some(1460),
                window_scale: Some(7),
                sack_permitted: true,
                ..header.options
            };
            header.options = syn;
        }
        let payload = bytes_at(false, at, len);
        let mut segment = vec![0; header.header_len()];
        header.emit(&mut segment);
        let (src, dst) = (family.peer(), family.ours());
        tcp::Repr::fill_checksum(&mut segment, &[&payload], src, dst);
        segment.extend(payload);
        let packet = ip::Repr {
            src,
            dst,
            protocol: Protocol::TCP,
            hop_limit,
            traffic_class: ecn,
            ident: at as u16,
            dont_fragment: true,
            flow_label: 0,
            payload_len: segment.len(),
        };
        let mut bytes = vec![0; packet.header_len()];
        packet.emit(&mut bytes);
        bytes.extend(segment);
        if !ethernet {
            return bytes;
        }
        let ethertype = match family {
            Family::V4 => ethernet::EtherType::IPV4,
            Family::V6 => ethernet::EtherType::IPV6,
        };
        let link = ethernet::Repr { dst: OUR_MAC, src: PEER_MAC, ethertype };
        let mut frame = vec![0; ethernet::HEADER_LEN];
        link.emit(&mut frame);
        frame.extend(bytes);
        frame
    }

    /// The frame of a piece; where it is in order, what follows begins behind it.
    fn piece(&mut self, piece: Piece) -> Vec<u8> {
        let Piece { flow, shift, len, flags, ecn, hop_limit, stamp, acks, window, spoilt } = piece;
        let at = self.flows[flow].next.saturating_add_signed(shift).max(1);
        let mut frame = self.frame(flow, at, len, flags, ecn, hop_limit, stamp, acks, window);
        if spoilt {
            *frame.last_mut().expect("not empty") ^= 0x40;
        } else if shift <= 0 {
            self.flows[flow].next = self.flows[flow].next.max(at + len);
        }
        frame
    }

    fn batch(&mut self, frames: &[Vec<u8>]) {
        for host in &mut self.hosts {
            host.receive(self.now, frames);
        }
        self.compare();
    }

    /// Compares all that comes out of the two; the peer takes it in.
    fn compare(&mut self) {
        let now = self.now;
        let [plain, merging] = self.hosts.each_mut().map(|host| host.output(now));
        assert_eq!(plain.1, merging.1, "events");
        assert_eq!(plain.0.len(), merging.0.len(), "frames");
        for (frame, other) in plain.0.iter().zip(&merging.0) {
            assert_eq!(frame, other, "a frame");
            let packet = &frame[if self.setting.ethernet { ethernet::HEADER_LEN } else { 0 }..];
            let Ok(ip) = ip::Packet::parse(packet) else { continue };
            if ip.protocol != Protocol::TCP {
                continue;
            }
            let segment = &packet[ip.payload_offset..];
            let (header, header_len) = tcp::Repr::parse(segment, ip.src, ip.dst, false).unwrap();
            let flow = &mut self.flows[usize::from(header.dst_port - 1000)];
            let len = (segment.len() - header_len) as u32
                + u32::from(header.flags.contains(Flags::SYN))
                + u32::from(header.flags.contains(Flags::FIN));
            let end = header.seq + len;
            if header.flags.contains(Flags::SYN) || end.gt(flow.last_ack) {
                flow.last_ack = end;
            }
            flow.echo = header.options.timestamps.map_or(flow.echo, |stamps| stamps.val);
        }
        let [plain, merging] = &self.hosts;
        assert_eq!(plain.sockets, merging.sockets);
        assert_eq!(plain.stats(), merging.stats());
        for id in &plain.sockets {
            assert_eq!(plain.stack.tcp_info(*id), merging.stack.tcp_info(*id));
        }
    }

    fn step(&mut self, step: &Step) {
        let now = self.now;
        match step {
            Step::Batch(pieces) => {
                let frames: Vec<_> = pieces.iter().map(|piece| self.piece(*piece)).collect();
                return self.batch(&frames);
            }
            Step::Read(socket, len) => {
                let [plain, merging] =
                    self.hosts.each_mut().map(|host| host.read(now, *socket, *len));
                assert_eq!(plain, merging, "the bytes read");
                let at = &mut self.read[*socket];
                assert_eq!(plain, bytes_at(false, 1 + *at, plain.len() as u32));
                *at += plain.len() as u32;
            }
            Step::Write(socket, len) => {
                let [plain, merging] = self.hosts.each_mut().map(|host| {
                    host.stack.tcp_send(now, host.sockets[*socket], &vec![9; *len], true)
                });
                assert_eq!(plain, merging);
            }
            Step::Shut(socket, how) => {
                let [plain, merging] = self
                    .hosts
                    .each_mut()
                    .map(|host| host.stack.tcp_shutdown(now, host.sockets[*socket], *how));
                assert_eq!(plain, merging);
            }
            Step::Close(socket) => {
                let [plain, merging] = self
                    .hosts
                    .each_mut()
                    .map(|host| host.stack.tcp_close(now, host.sockets[*socket]));
                assert_eq!(plain, merging);
            }
            Step::Wait(ms) => self.now += Duration::from_millis(*ms),
        }
        self.compare();
    }

    /// Segments that the second stack merged.
    fn merged(&self) -> u64 {
        self.hosts[1].stack.stats().tcp_in_coalesced
    }
}

fn settings() -> impl Strategy<Value = Setting> {
    let family = prop_oneof![Just(Family::V4), Just(Family::V6)];
    let buffer = prop_oneof![Just(4096usize), Just(20_000), Just(1 << 20)];
    let classic = Flags::ECE | Flags::CWR;
    let ecn = prop_oneof![Just(Flags::empty()), Just(classic), Just(classic | Flags::AE)];
    (family, any::<[bool; 3]>(), ecn, buffer).prop_map(|(family, switches, ecn, recv_buffer)| {
        let [ethernet, timestamps, delayed_ack] = switches;
        Setting { family, ethernet, timestamps, ecn, recv_buffer, delayed_ack, ..plain() }
    })
}

fn pieces() -> impl Strategy<Value = Piece> {
    let flags = prop_oneof![
        20 => Just(Flags::ACK),
        2 => Just(Flags::ACK | Flags::PSH),
        1 => Just(Flags::ACK | Flags::ECE),
        1 => Just(Flags::ACK | Flags::CWR),
        1 => Just(Flags::ACK | Flags::AE),
        1 => Just(Flags::ACK | Flags::URG),
        1 => Just(Flags::ACK | Flags::FIN),
        1 => Just(Flags::ACK | Flags::RST),
        1 => Just(Flags::PSH),
    ];
    let shift = prop_oneof![
        30 => Just(0i32),
        1 => Just(MSS as i32),
        1 => Just(-(MSS as i32)),
        1 => -3000i32..3000,
    ];
    let len = prop_oneof![20 => Just(MSS), 2 => 1u32..MSS, 1 => Just(0u32)];
    let stamp = prop_oneof![30 => Just(0i32), 1 => Just(1i32), 1 => Just(-2000i32)];
    (
        prop_oneof![9 => Just(0usize), 1 => Just(1usize)],
        shift,
        len,
        flags,
        prop_oneof![12 => Just(0u8), 2 => Just(2u8), 1 => Just(3u8)],
        prop_oneof![20 => Just(64u8), 1 => Just(63u8)],
        stamp,
        prop_oneof![9 => Just(true), 1 => Just(false)],
        prop_oneof![12 => Just(500u16), 1 => 0u16..1000],
        prop_oneof![30 => Just(false), 1 => Just(true)],
    )
        .prop_map(|(flow, shift, len, flags, ecn, hop_limit, stamp, acks, window, spoilt)| {
            Piece { flow, shift, len, flags, ecn, hop_limit, stamp, acks, window, spoilt }
        })
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => vec(pieces(), 1..50).prop_map(Step::Batch),
        3 => (0usize..2, 1usize..100_000).prop_map(|(socket, len)| Step::Read(socket, len)),
        1 => (0usize..2, 1usize..5000).prop_map(|(socket, len)| Step::Write(socket, len)),
        1 => (0usize..16).prop_map(|n| match n {
            0 | 1 => Step::Shut(n, Shutdown::Write),
            2 | 3 => Step::Shut(n % 2, Shutdown::Read),
            4..8 => Step::Close(n % 2),
            _ => Step::Wait(n as u64),
        }),
        3 => (0u64..100).prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(config(192))]

    #[test]
    fn nobody_can_tell_whether_segments_were_merged(
        setting in settings(), steps in vec(steps(), 1..20),
    ) {
        let mut twins = Twins::new(setting);
        for step in &steps {
            twins.step(step);
        }
    }
}

fn plain() -> Setting {
    Setting {
        family: Family::V4,
        ethernet: false,
        timestamps: true,
        ecn: Flags::empty(),
        recv_buffer: 1 << 20,
        delayed_ack: true,
        memory: 256 << 20,
    }
}

fn data() -> Piece {
    Piece {
        flow: 0,
        shift: 0,
        len: MSS,
        flags: Flags::ACK,
        ecn: 0,
        hop_limit: 64,
        stamp: 0,
        acks: true,
        window: 500,
        spoilt: false,
    }
}

/// How many of a batch's segments are merged into others.
fn merged(setting: Setting, pieces: Vec<Piece>) -> u64 {
    let mut twins = Twins::new(setting);
    twins.step(&Step::Batch(pieces));
    twins.step(&Step::Read(0, 1 << 20));
    twins.merged()
}

#[test]
fn segments_in_order_are_one_pass() {
    for family in [Family::V4, Family::V6] {
        for (ethernet, timestamps) in [(false, true), (true, false)] {
            let setting = Setting { family, ethernet, timestamps, ..plain() };
            assert_eq!(merged(setting, vec![data(); 16]), 15, "{setting:?}");
        }
    }
}

#[test]
fn a_run_is_no_longer_than_a_packet_can_be() {
    // 45 segments of 1,448 bytes are 65,160 bytes; a 46th does not fit beside the headers.
    let mut twins = Twins::new(plain());
    // The window of a SYN-ACK is not scaled; after an acknowledgement it is as wide as the buffer.
    twins.step(&Step::Batch(vec![data(); 2]));
    for (segments, expected) in [(45, 44), (46, 44), (100, 44 + 44 + 9)] {
        twins.step(&Step::Read(0, 1 << 20));
        let before = twins.merged();
        twins.step(&Step::Batch(vec![data(); segments]));
        assert_eq!(twins.merged() - before, expected, "{segments}");
    }
}

#[test]
fn a_run_is_no_longer_than_the_window() {
    let setting = Setting { recv_buffer: 10 * MSS as usize, ..plain() };
    assert!(merged(setting, vec![data(); 30]) < 10);
}

#[test]
fn what_is_pushed_or_shorter_is_the_last_of_a_run() {
    for last in [Piece { flags: Flags::ACK | Flags::PSH, ..data() }, Piece { len: 7, ..data() }] {
        let batch = [vec![data(), last], vec![data(); 4]].concat();
        assert_eq!(merged(plain(), batch), 1 + 3, "{last:?}");
    }
}

#[test]
fn what_differs_is_not_merged() {
    let ack = Flags::ACK;
    let odd = [
        Piece { flags: ack | Flags::URG, ..data() },
        Piece { flags: ack | Flags::CWR, ..data() },
        Piece { flags: ack | Flags::ECE, ..data() },
        Piece { flags: ack | Flags::AE, ..data() },
        Piece { ecn: 2, ..data() },
        Piece { ecn: 3, ..data() },
        // Another DSCP.
        Piece { ecn: 4, ..data() },
        Piece { hop_limit: 63, ..data() },
        Piece { stamp: 1, ..data() },
        Piece { window: 501, ..data() },
        Piece { flow: 1, ..data() },
        Piece { len: 0, ..data() },
        Piece { spoilt: true, ..data() },
    ];
    for piece in odd {
        let batch = vec![data(), data(), piece];
        assert_eq!(merged(plain(), batch), 1, "{piece:?}");
    }
    let fin = Piece { flags: ack | Flags::FIN, ..data() };
    assert_eq!(merged(plain(), vec![data(), data(), fin]), 1);
    assert_eq!(merged(plain(), vec![Piece { shift: 5000, ..data() }; 4]), 0, "ahead of a gap");
    assert_eq!(merged(plain(), vec![Piece { ecn: 3, ..data() }; 4]), 0, "marked");
    assert_eq!(merged(plain(), vec![Piece { stamp: -500, ..data() }; 4]), 0, "old timestamps");
}

#[test]
fn what_is_not_a_connections_is_not_merged() {
    let mut twins = Twins::new(plain());
    let unknown = |twins: &mut Twins, n: u32| {
        twins.flows[1].port = 4000;
        let frame = twins.frame(1, 1 + n * MSS, MSS, Flags::ACK, 0, 64, 0, true, 500);
        twins.flows[1].port = 1001;
        frame
    };
    let frames: Vec<_> = (0..4).map(|n| unknown(&mut twins, n)).collect();
    let mut resets = 0;
    for host in &mut twins.hosts {
        host.receive(twins.now, &frames);
        resets += host.output(twins.now).0.len();
    }
    assert_eq!((twins.merged(), resets), (0, 8), "each is refused");
}

#[test]
fn raw_sockets_see_what_came() {
    let mut twins = Twins::new(plain());
    let raws = twins.hosts.each_mut().map(|host| {
        host.stack.raw_open(RawOptions::new(Protocol::TCP.0, false)).expect("there is room")
    });
    twins.step(&Step::Batch(vec![data(); 8]));
    assert_eq!(twins.merged(), 0);
    for (host, raw) in twins.hosts.iter_mut().zip(raws) {
        let seen = std::iter::from_fn(|| host.stack.raw_recv(raw).ok());
        assert!(seen.map(|packet| packet.payload.len()).eq([MSS as usize + 32; 8]));
        host.stack.raw_close(raw).unwrap();
    }
    twins.step(&Step::Batch(vec![data(); 8]));
    assert_eq!(twins.merged(), 7, "nobody looks any more");
}

#[test]
fn where_memory_is_used_up_each_segment_is_looked_at() {
    // What exceeds the least of a connection is dropped, segment by segment.
    let mut twins = Twins::new(Setting { memory: 10 * MSS as usize, ..plain() });
    for _ in 0..16 {
        twins.step(&Step::Batch(vec![data()]));
    }
    let dropped = twins.hosts[1].stack.stats().tcp_rcvq_drop as u32;
    assert!(dropped > 0);
    // They come again.
    twins.flows[0].next -= dropped * MSS;
    twins.step(&Step::Batch(vec![data(); 16]));
    assert_eq!(twins.merged(), 0);
}

#[test]
fn data_that_nobody_will_read_is_refused_segment_by_segment() {
    let mut twins = Twins::new(plain());
    twins.step(&Step::Close(0));
    let before = twins.hosts[1].stack.stats().tcp_out_rsts;
    twins.step(&Step::Batch(vec![data(); 4]));
    assert_eq!((twins.merged(), twins.hosts[1].stack.stats().tcp_out_rsts - before), (0, 4));
}

#[test]
fn the_delay_of_acknowledgements_adapts_to_each_segment() {
    let mut twins = Twins::new(plain());
    for _ in 0..4 {
        twins.step(&Step::Batch(vec![data()]));
        twins.step(&Step::Wait(30));
    }
    twins.step(&Step::Batch(vec![data(); 8]));
    assert_eq!(twins.merged(), 7);
}
