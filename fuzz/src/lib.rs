//! What the fuzz targets do with their input: bodies without a fuzzer, so that `cargo test` can run them too. Each panics
//! when something is wrong.

use std::time::Duration;

use usernet_core::{
    BufferSize, Config, ConnectOptions, Instant, InterfaceConfig, InterfaceId, KeepAlive,
    ListenAddress, ListenOptions, ListenerId, MacAddr, Medium, MtuProbing, Offload, RxChecksum,
    RxFrame, Secrets, Shutdown, SocketId, Stack, SynCookies, UdpOptions,
};
use usernet_wire::ip::{Packet, Protocol, Repr as Ip};
use usernet_wire::tcp::{Flags, Options, Repr};

/// Most packets that the stack may send in answer to one thing, and most timers in one advance.
const MANY: usize = 50_000;

/// The option parser: what it understood is written and understood again.
pub fn options(data: &[u8]) {
    let parsed = Options::parse(data);
    let mut bytes = vec![0; parsed.len()];
    assert!(bytes.len() <= 40 && bytes.len().is_multiple_of(4), "{parsed:?}");
    parsed.emit(&mut bytes);
    let mut again = Options::parse(&bytes);
    // Of the SACK blocks those are written that fit, and the user timeout and AccECN's counters where there is room.
    assert!(parsed.sack.starts_with(&again.sack), "{parsed:?} {again:?}");
    again.sack = parsed.sack.clone();
    if again.user_timeout.is_none() && parsed.user_timeout.is_some() {
        assert!(bytes.len() > 40 - 4, "{parsed:?}");
        again.user_timeout = parsed.user_timeout;
    }
    if again.acc_ecn.is_none() && parsed.acc_ecn.is_some() {
        assert!(bytes.len() > 40 - 12, "{parsed:?}");
        again.acc_ecn = parsed.acc_ecn.clone();
    }
    assert_eq!(again, parsed);
}

/// The segment path: segments of any bytes to a listener, to a connection and to nobody. The first byte of each says how
/// long it is.
pub fn segment(mut data: &[u8]) {
    let mut world = World::new(&[0]);
    world.handshake();
    while let [len, rest @ ..] = data {
        let len = usize::from(*len).min(rest.len());
        let (segment, rest) = rest.split_at(len);
        data = rest;
        let mut segment = segment.to_vec();
        // To the connection or the listener more often than chance would have it.
        if let [a, b, c, d, ..] = &mut segment[..]
            && !b.is_multiple_of(4)
        {
            [*a, *b] = world.peer_port.to_be_bytes();
            [*c, *d] = 80u16.to_be_bytes();
        }
        world.receive(&segment);
        world.settle();
    }
    world.stop();
}

/// Sequences of (call | segment | advance): the application, a peer that keeps to what it heard or does not, and time.
pub fn sequence(data: &[u8]) {
    let mut input = Input(data);
    let mut world = World::new(&input.take::<4>());
    if input.byte() % 4 != 0 {
        world.handshake();
    }
    for _ in 0..400 {
        if input.0.is_empty() {
            break;
        }
        world.step(&mut input);
        world.settle();
        world.check();
    }
    world.stop();
}

/// Frames of any bytes on an Ethernet link that everything is on: addresses that are checked, routers believed, groups
/// joined, a name asked for. The first two bytes of each say how long it is and whether its checksums are vouched for.
pub fn frames(mut data: &[u8]) {
    let mut stack = Stack::new(Config::default(), Secrets::from_bytes(&[7; 64]), 1);
    let mac = MacAddr([2, 0, 0, 0, 0, 1]);
    let address = |text: &str| text.parse().expect("an address");
    let config = InterfaceConfig {
        name: "tap0".into(),
        medium: Medium::Ethernet(mac),
        addresses: vec![address("198.18.0.1/24"), address("fd00::1/64")],
        slaac: true,
        ..InterfaceConfig::default()
    };
    let mut now = Instant::from_millis(1_000_000);
    let interface = stack.add_interface(now, config).expect("a good interface");
    for group in ["239.1.2.3", "ff15::7"] {
        stack.join_group(interface, group.parse().expect("a group")).expect("room");
    }
    let udp = UdpOptions { port: 7, ..UdpOptions::default() };
    let socket = stack.udp_bind(udp).expect("a free port");
    let target = (std::net::Ipv4Addr::new(198, 18, 0, 9), 9).into();
    while let [len, kind, rest @ ..] = data {
        let len = (usize::from(*len) * 8 + usize::from(*kind >> 5)).min(rest.len());
        let (frame, rest) = rest.split_at(len);
        data = rest;
        let mut frame = frame.to_vec();
        // To us or to a group more often than chance would have it.
        if frame.len() >= 14 && kind & 1 != 0 {
            frame[..6].copy_from_slice(if kind & 2 != 0 { &mac.0 } else { &[0xff; 6] });
        }
        let mut frame = RxFrame::new(frame);
        if kind & 4 != 0 {
            frame.checksum = RxChecksum::Trusted;
        }
        // As a device that merges would have it.
        if kind & 16 != 0 {
            frame.gso_size = (frame.data.len() / 3) as u16;
        }
        stack.handle_frame(now, interface, frame);
        let _ = stack.udp_send_to(now, socket, b"?", Some(target), None);
        while stack.udp_recv_from(socket).is_ok() {}
        now += Duration::from_millis(if kind & 8 != 0 { 1500 } else { 10 });
        stack.handle_timeout(now);
        let mut sent = 0;
        while stack.poll_transmit(now).is_some() {
            sent += 1;
            assert!(sent < MANY, "packets never end");
        }
        while stack.poll_event().is_some() {}
    }
    let stats = stack.stats();
    assert!(stats.reassembly_memory <= 4 << 20 && stack.neighbors(now).len() <= 1024, "{stats:?}");
    assert!(stack.interface_addresses(interface).len() <= 3 + 16);
}

/// Bytes that are taken one after the other; zeros when there are no more.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        self.take::<1>()[0]
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let n = N.min(self.0.len());
        let (taken, rest) = self.0.split_at(n);
        self.0 = rest;
        let mut out = [0; N];
        out[..n].copy_from_slice(taken);
        out
    }

    fn short(&mut self) -> u16 {
        u16::from_be_bytes(self.take())
    }
}

/// The byte that one side sends at an offset of its stream.
fn pattern(ours: bool, offset: u32) -> u8 {
    (offset.wrapping_mul(if ours { 31 } else { 37 }) >> 3) as u8
}

/// A stack, its application, and a peer.
struct World {
    stack: Stack,
    interface: InterfaceId,
    listener: Option<ListenerId>,
    now: Instant,
    socket: Option<SocketId>,
    peer_port: u16,
    /// Initial sequence numbers: the stack's, once heard, and the peer's.
    iss: Option<u32>,
    irs: u32,
    /// What the stack said last: the end of what it sent, and what it acknowledged.
    said: (u32, u32),
    written: u32,
    read: u32,
    /// The connection is the one the handshake made: contents are those of the pattern.
    first: bool,
}

const OURS: [u8; 4] = [198, 18, 0, 2];
const PEER: [u8; 4] = [198, 18, 0, 1];

impl World {
    fn new(choices: &[u8]) -> Self {
        let choice = |i: usize| choices.get(i).copied().unwrap_or_default();
        let mut config = Config { loopback: false, ..Config::default() };
        config.max_connections = 64;
        config.max_syn_backlog = 8;
        config.syn_cookies = match choice(1) % 3 {
            0 => SynCookies::WhenFull,
            1 => SynCookies::Off,
            _ => SynCookies::Always,
        };
        if choice(1) & 0x40 != 0 {
            config.max_receive_memory = 20_000;
            config.max_send_memory = 20_000;
        }
        let socket = &mut config.socket;
        if choice(2) & 1 != 0 {
            let tuned = BufferSize::Auto { min: 2048, default: 8192, max: 1 << 20 };
            (socket.recv_buffer, socket.send_buffer) = (tuned, tuned);
        }
        socket.timestamps = choice(2) & 2 == 0;
        socket.sack = choice(2) & 4 == 0;
        socket.window_scaling = choice(2) & 8 == 0;
        socket.nagle = choice(2) & 16 == 0;
        socket.mtu_probing =
            if choice(2) & 32 == 0 { MtuProbing::BlackHole } else { MtuProbing::Always };
        let start = match choice(0) % 4 {
            0 => Instant::from_millis(1_000_000),
            // Our timestamps wrap.
            1 => Instant::from_millis((1 << 32) - 50),
            2 => Instant::ZERO,
            // Our initial sequence number is next to 2^32: it counts up every 4 us (RFC 6528).
            _ => {
                let mut probe = Self::at(config.clone(), Instant::ZERO);
                probe.connect();
                probe.settle();
                let missing = 0xffff_fff0_u32.wrapping_sub(probe.iss.expect("a SYN was sent"));
                Instant::from_micros(u64::from(missing) * 4)
            }
        };
        let mut world = Self::at(config, start);
        world.irs = [1_000_000, 0xffff_fff0, 0x7fff_fff0, 0][usize::from(choice(3) % 4)];
        world
    }

    fn at(config: Config, now: Instant) -> Self {
        let mut stack = Stack::new(config, Secrets::from_bytes(&[7; 64]), 1);
        let interface = stack
            .add_interface(
                now,
                InterfaceConfig {
                    name: "un0".into(),
                    medium: Medium::Ip,
                    mtu: 1500,
                    offload: Offload::default(),
                    addresses: vec!["198.18.0.2/24".parse().expect("an address")],
                    ..InterfaceConfig::default()
                },
            )
            .expect("a good interface");
        let options =
            ListenOptions { address: ListenAddress::AnyV4, port: 80, backlog: 4, options: None };
        let listener = stack.tcp_listen(options).ok();
        Self {
            stack,
            interface,
            listener,
            now,
            socket: None,
            peer_port: 40_000,
            iss: None,
            irs: 1_000_000,
            said: (0, 0),
            written: 0,
            read: 0,
            first: false,
        }
    }

    fn connect(&mut self) {
        let options = ConnectOptions {
            remote: (PEER, 80).into(),
            local_addr: None,
            local_port: Some(50_000),
            options: None,
        };
        if let Ok(id) = self.stack.tcp_connect(self.now, options) {
            self.socket = Some(id);
        }
    }

    /// The peer connects, with every option there is.
    fn handshake(&mut self) {
        let options = [2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 1, 3, 3, 7];
        self.inject(Flags::SYN, self.irs, 0, 65_535, &options, 0);
        self.settle();
        let (end, _) = self.said;
        self.inject(Flags::ACK, self.irs.wrapping_add(1), end, 512, &[], 0);
        self.settle();
        self.accept();
        self.first = self.socket.is_some();
    }

    fn accept(&mut self) {
        if let Some(listener) = self.listener
            && let Ok(Some(id)) = self.stack.tcp_accept(listener)
        {
            self.first = false;
            self.socket = Some(id);
        }
    }

    /// The peer sends a segment of the pattern.
    fn inject(&mut self, flags: Flags, seq: u32, ack: u32, window: u16, options: &[u8], len: u16) {
        let options_len = options.len().min(40).next_multiple_of(4);
        let mut bytes = vec![0; 20 + options_len];
        bytes[0..2].copy_from_slice(&self.peer_port.to_be_bytes());
        bytes[2..4].copy_from_slice(&80u16.to_be_bytes());
        bytes[4..8].copy_from_slice(&seq.to_be_bytes());
        bytes[8..12].copy_from_slice(&ack.to_be_bytes());
        bytes[12] = ((5 + options_len / 4) << 4) as u8;
        bytes[13] = flags.bits() as u8;
        bytes[14..16].copy_from_slice(&window.to_be_bytes());
        let n = options.len().min(options_len);
        bytes[20..20 + n].copy_from_slice(&options[..n]);
        let at = seq.wrapping_sub(self.irs).wrapping_sub(1);
        bytes.extend((0..u32::from(len)).map(|i| pattern(false, at.wrapping_add(i))));
        self.receive(&bytes);
    }

    /// A segment's bytes arrive, in a packet from the peer; the device vouches for the checksum.
    fn receive(&mut self, segment: &[u8]) {
        let ip = Ip {
            src: PEER.into(),
            dst: OURS.into(),
            protocol: Protocol::TCP,
            hop_limit: 64,
            traffic_class: 0,
            ident: 0,
            dont_fragment: true,
            flow_label: 0,
            payload_len: segment.len(),
        };
        let mut packet = vec![0; ip.header_len()];
        ip.emit(&mut packet);
        packet.extend_from_slice(segment);
        let frame = RxFrame { checksum: RxChecksum::Trusted, ..RxFrame::new(packet) };
        self.stack.handle_frame(self.now, self.interface, frame);
    }

    /// Takes everything that the stack sends, and judges it.
    fn settle(&mut self) {
        for _ in 0..MANY {
            let now = self.now;
            let Some(transmit) = self.stack.poll_transmit(now) else {
                while self.stack.poll_event().is_some() {}
                return;
            };
            let bytes = transmit.to_vec();
            let packet = Packet::parse(&bytes).expect("what is sent is a packet");
            if packet.protocol != Protocol::TCP {
                continue;
            }
            let body = &bytes[packet.payload_offset..packet.payload_offset + packet.payload_len];
            let (header, header_len) =
                Repr::parse(body, packet.src, packet.dst, false).expect("and a segment");
            if header.flags.contains(Flags::SYN) {
                self.iss = Some(header.seq.0);
            }
            let payload = &body[header_len..];
            let space = payload.len() as u32
                + u32::from(header.flags.contains(Flags::SYN))
                + u32::from(header.flags.contains(Flags::FIN));
            if !header.flags.contains(Flags::RST) {
                self.said = (header.seq.0.wrapping_add(space), header.ack.0);
            }
            if let Some(iss) = self.iss.filter(|_| self.first) {
                let at = header.seq.0.wrapping_sub(iss).wrapping_sub(1);
                let good =
                    |(i, byte): (usize, &u8)| *byte == pattern(true, at.wrapping_add(i as u32));
                assert!(payload.iter().enumerate().all(good), "what is sent is what was written");
            }
        }
        panic!("packets never end");
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let (now, id) = (self.now, self.socket);
        match input.byte() % 16 {
            0..=5 => {
                let near = |n: u8| i32::from(n as i8) as u32;
                let kind = input.byte();
                let flags = match kind % 8 {
                    0 => Flags::from_bits_truncate(u16::from(input.byte())),
                    1 => Flags::ACK | Flags::FIN,
                    2 => Flags::SYN,
                    3 => Flags::RST | Flags::ACK,
                    _ => Flags::ACK | Flags::PSH,
                };
                let (end, acked) = self.said;
                // Mostly what it should say, else near it, else anything.
                let (seq, ack) = match kind >> 4 {
                    0 => (
                        acked.wrapping_add(u32::from(input.short())),
                        end.wrapping_sub(u32::from(input.short())),
                    ),
                    1 => (u32::from_be_bytes(input.take()), u32::from_be_bytes(input.take())),
                    2..=4 => (
                        acked.wrapping_add(near(input.byte())),
                        end.wrapping_add(near(input.byte())),
                    ),
                    _ => (acked, end),
                };
                let window = input.short();
                let len = input.short() % 3000;
                let options = input.take::<24>();
                let used = usize::from(input.byte() % 25);
                self.inject(flags, seq, ack, window, &options[..used], len);
            }
            6 | 7 => {
                let len = u32::from(input.short());
                let at = self.written;
                let data: Vec<u8> = (0..len).map(|i| pattern(true, at.wrapping_add(i))).collect();
                if let Some(id) = id
                    && let Ok(n) = self.stack.tcp_send(now, id, &data, len % 5 == 0)
                {
                    self.written = self.written.wrapping_add(n as u32);
                }
            }
            8 | 9 => {
                let mut buf = vec![0; usize::from(input.short())];
                if let Some(id) = id
                    && let Ok(n) = self.stack.tcp_recv(now, id, &mut buf)
                {
                    let at = self.read;
                    self.read = at.wrapping_add(n as u32);
                    let good = |(i, byte): (usize, &u8)| {
                        *byte == pattern(false, at.wrapping_add(i as u32))
                    };
                    let all = buf[..n].iter().enumerate().all(good);
                    assert!(all || !self.first, "what is read is what the peer sent");
                }
            }
            10 => {
                let how = [Shutdown::Read, Shutdown::Write, Shutdown::Both];
                let how = how[usize::from(input.byte() % 3)];
                let _ = id.map(|id| self.stack.tcp_shutdown(now, id, how));
            }
            11 => match input.byte() % 8 {
                0 => drop(id.map(|id| self.stack.tcp_close(now, id))),
                1 => drop(id.map(|id| self.stack.tcp_abort(now, id))),
                2 => {
                    self.connect();
                    self.first = false;
                }
                _ => self.accept(),
            },
            12 => {
                let (what, value) = (input.byte(), input.short());
                let _ = id.map(|id| {
                    self.stack.tcp_set_options(now, id, |options| match what % 6 {
                        0 => options.recv_buffer = usize::from(value).max(2048).into(),
                        1 => options.send_buffer = usize::from(value).max(2048).into(),
                        2 => {
                            options.user_timeout =
                                (value > 0).then(|| Duration::from_millis(value.into()));
                        }
                        3 => {
                            options.keep_alive = (value > 0).then(|| KeepAlive {
                                idle: Duration::from_millis(value.into()),
                                interval: Duration::from_millis(50),
                                count: 3,
                            });
                        }
                        4 => options.delayed_ack = Duration::from_millis(u64::from(value % 500)),
                        _ => options.nagle = value % 2 == 0,
                    })
                });
            }
            _ => {
                let time = match input.byte() % 4 {
                    0 => Duration::from_micros(input.short().into()),
                    1 => Duration::from_secs(u64::from(input.short() % 4000)),
                    _ => Duration::from_millis(u64::from(input.short() % 2000)),
                };
                self.advance(time);
            }
        }
    }

    /// Time passes; every timer runs when it is due.
    fn advance(&mut self, time: Duration) {
        let until = self.now + time;
        for _ in 0..MANY {
            match self.stack.poll_timeout() {
                Some(at) if at <= until => {
                    self.now = self.now.max(at);
                    let now = self.now;
                    self.stack.handle_timeout(now);
                    self.settle();
                }
                _ => {
                    self.now = until;
                    return;
                }
            }
        }
        panic!("timers never end");
    }

    /// What always holds.
    fn check(&self) {
        let Some(info) = self.socket.and_then(|id| self.stack.tcp_info(id).ok()) else { return };
        assert!(info.in_flight <= info.send_queue + 1, "{info:?}");
        assert!(info.unsent <= info.send_queue, "{info:?}");
        assert!(info.recv_queue <= 8 << 20 && info.ooo_queue <= 8 << 20, "{info:?}");
        let stats = self.stack.stats();
        assert!(stats.connections <= 64, "{stats:?}");
    }

    /// Everything is let go of: nothing stays.
    fn stop(mut self) {
        let now = self.now;
        self.stack.abort_all(now);
        self.settle();
        self.advance(Duration::from_secs(3600));
        let stats = self.stack.stats();
        let left = (stats.connections, stats.receive_memory, stats.send_memory, stats.time_wait);
        assert_eq!(left, (0, 0, 0, 0), "{stats:?}");
    }
}
