//! Two stacks and a bad link between them, in virtual time, from one seed.

use std::collections::BTreeMap;
use std::time::Duration;

use usernet_core::{
    Config, ConnectOptions, EcnPolicy, Instant, InterfaceConfig, InterfaceId, ListenAddress,
    ListenOptions, ListenerId, Medium, Offload, RecvError, RxFrame, Secrets, Shutdown, SocketId,
    Stack, TxChecksum,
};
use usernet_wire::ip;
use usernet_wire::tcp::{self, Flags};

use super::segment::{Family, bytes_at};

/// How bad the link is; the first four are parts of 1000.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LinkConfig {
    pub(crate) loss: u32,
    pub(crate) duplicate: u32,
    pub(crate) reorder: u32,
    /// Of the ECN-capable packets, those that are marked.
    pub(crate) mark: u32,
    pub(crate) delay_ms: u64,
    /// By how much a reordered packet is late.
    pub(crate) jitter_ms: u64,
}

/// What two applications do to each other.
#[derive(Clone, Debug)]
pub(crate) struct PairConfig {
    pub(crate) seed: u64,
    pub(crate) family: Family,
    pub(crate) link: LinkConfig,
    /// How much each end writes, bytes.
    pub(crate) bytes: [u32; 2],
    pub(crate) recv_buffer: usize,
    pub(crate) send_buffer: usize,
    pub(crate) timestamps: bool,
    pub(crate) sack: bool,
    pub(crate) window_scaling: bool,
    pub(crate) nagle: bool,
    pub(crate) delayed_ack: bool,
    /// Linux's number for each end's ECN policy.
    pub(crate) ecn: [u8; 2],
    /// Whether data goes on the SYN, without cookies.
    pub(crate) fast_open: bool,
    /// Whether the devices complete checksums and cut segments.
    pub(crate) offload: bool,
    /// How often each reader pauses for seconds.
    pub(crate) stalls: u32,
}

/// One end.
struct Host {
    stack: Stack,
    interface: InterfaceId,
    socket: Option<SocketId>,
    written: u32,
    read: u32,
    shut: bool,
    ended: bool,
    stalls: u32,
    stalled_until: Instant,
}

/// Two stacks with a link.
pub(crate) struct Pair {
    config: PairConfig,
    hosts: [Host; 2],
    listener: ListenerId,
    now: Instant,
    random: u64,
    /// Packets under way: when they arrive, at whom.
    link: BTreeMap<(Instant, u64), (usize, Frame)>,
    packets: u64,
}

/// A packet on the link: its bytes, and the size of its segments where a device may cut it.
#[derive(Clone)]
struct Frame {
    bytes: Vec<u8>,
    size: u16,
}

/// A transfer of so little that takes longer has stalled.
const LONGEST: Duration = Duration::from_secs(3 * 3600);

impl Pair {
    pub(crate) fn new(config: &PairConfig) -> Self {
        let now = Instant::from_millis(1000);
        let mut hosts = [0u8, 1].map(|n| Self::host(config, n, now));
        let (family, port) = (config.family, 80);
        let address = match family {
            Family::V4 => ListenAddress::AnyV4,
            Family::V6 => ListenAddress::AnyV6 { only: true },
        };
        let listen = ListenOptions { address, port, backlog: 16, options: None };
        let listener = hosts[0].stack.tcp_listen(listen).expect("a free port");
        let remote = (family.ours(), port).into();
        let connect = ConnectOptions { remote, local_addr: None, local_port: None, options: None };
        hosts[1].socket = Some(hosts[1].stack.tcp_connect(now, connect).expect("a route"));
        let random = config.seed | 1;
        let config = config.clone();
        Self { config, hosts, listener, now, random, link: BTreeMap::new(), packets: 0 }
    }

    fn host(pair: &PairConfig, n: u8, now: Instant) -> Host {
        let mut config = Config { loopback: false, ..Config::default() };
        config.time_wait = Duration::from_secs(5);
        let socket = &mut config.socket;
        socket.recv_buffer = pair.recv_buffer.into();
        socket.send_buffer = pair.send_buffer.into();
        socket.timestamps = pair.timestamps;
        socket.sack = pair.sack;
        socket.window_scaling = pair.window_scaling;
        socket.nagle = pair.nagle;
        // A bad link must not end the connection: that is another test's.
        socket.retries = 100;
        socket.syn_retries = 50;
        socket.synack_retries = 50;
        socket.rto_max = Duration::from_secs(5);
        socket.ecn = EcnPolicy::from_number(pair.ecn[usize::from(n)]).expect("0 to 5");
        if pair.fast_open {
            socket.fast_open.queue = 16;
            socket.fast_open.connect = true;
            socket.fast_open.connect_without_cookie = true;
            socket.fast_open.accept_without_cookie = true;
        }
        if !pair.delayed_ack {
            socket.delayed_ack = Duration::ZERO;
        }
        let mut stack = Stack::new(config, Secrets::from_bytes(&[n; 64]), pair.seed);
        let host = if n == 0 { pair.family.ours() } else { pair.family.peer() };
        let addresses = vec![format!("{host}/24").parse().expect("an address")];
        let interface = InterfaceConfig {
            name: "link".into(),
            medium: Medium::Ip,
            mtu: 1500,
            offload: Offload {
                tx_checksum: pair.offload,
                tso4: pair.offload,
                tso6: pair.offload,
                ..Offload::default()
            },
            addresses,
            ..InterfaceConfig::default()
        };
        let interface = stack.add_interface(now, interface).expect("a good interface");
        Host {
            stack,
            interface,
            socket: None,
            written: 0,
            read: 0,
            shut: false,
            ended: false,
            stalls: pair.stalls,
            stalled_until: now,
        }
    }

    /// Runs to the end: everything written is read, both close, and both stacks are empty.
    pub(crate) fn run(&mut self) -> Result<(), String> {
        let end = self.now + LONGEST;
        while self.now < end {
            let mut done = true;
            for n in 0..2 {
                self.application(n)?;
                done &= self.hosts[n].socket.is_none() && self.hosts[n].ended;
            }
            self.pump()?;
            if done && self.hosts.iter().all(|h| h.stack.stats().connections == 0) {
                return Ok(());
            }
            self.step()?;
        }
        let left: Vec<_> = self
            .hosts
            .iter()
            .map(|h| (h.written, h.read, h.socket.map(|s| h.stack.tcp_info(s))))
            .collect();
        Err(format!("stalled: (written, read, socket) of both: {left:#?}"))
    }

    fn chance(&mut self, of_1000: u32) -> bool {
        self.below(1000) < of_1000
    }

    fn below(&mut self, n: u32) -> u32 {
        // xorshift64*
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 40) as u32 % n.max(1)
    }

    /// Lets an application write, read, pause, shut down and close.
    fn application(&mut self, n: usize) -> Result<(), String> {
        let now = self.now;
        if n == 0 && self.hosts[0].socket.is_none() && !self.hosts[0].ended {
            let listener = self.listener;
            self.hosts[0].socket =
                self.hosts[0].stack.tcp_accept(listener).map_err(|e| e.to_string())?;
        }
        let Some(socket) = self.hosts[n].socket else { return Ok(()) };
        let chunk = 1 + self.below(20_000);
        let sip = 1 + self.below(9000) as usize;
        let pause = self.chance(20);
        let total = self.config.bytes;
        let host = &mut self.hosts[n];
        if let Some(error) = host.stack.tcp_error(socket).map_err(|e| e.to_string())? {
            return Err(format!("host {n}: {error}"));
        }
        let len = chunk.min(total[n] - host.written);
        if len > 0 {
            let data = bytes_at(n == 0, host.written, len);
            let taken = host.stack.tcp_send(now, socket, &data, false);
            host.written += taken.map_err(|e| format!("host {n}: {e}"))? as u32;
        } else if !host.shut {
            host.shut = true;
            let shut = host.stack.tcp_shutdown(now, socket, Shutdown::Write);
            shut.map_err(|e| e.to_string())?;
        }
        if pause && host.stalls > 0 && now >= host.stalled_until {
            host.stalls -= 1;
            host.stalled_until = now + Duration::from_secs(3);
        }
        if now >= host.stalled_until && !host.ended {
            let mut buf = vec![0; sip];
            match host.stack.tcp_recv(now, socket, &mut buf) {
                Ok(0) if host.read == total[1 - n] => host.ended = true,
                Ok(0) => return Err(format!("host {n}: the end after {} bytes", host.read)),
                Ok(got) => {
                    if buf[..got] != bytes_at(n == 1, host.read, got as u32) {
                        return Err(format!("host {n}: wrong bytes after {}", host.read));
                    }
                    host.read += got as u32;
                }
                Err(RecvError::WouldBlock) => {}
                Err(e) => return Err(format!("host {n}: {e}")),
            }
        }
        if host.shut && host.ended {
            host.stack.tcp_close(now, socket).map_err(|e| e.to_string())?;
            host.socket = None;
        }
        Ok(())
    }

    /// Puts on the link what the stacks have to send.
    fn pump(&mut self) -> Result<(), String> {
        for n in 0..2 {
            let now = self.now;
            let mut frames = Vec::new();
            let stack = &mut self.hosts[n].stack;
            while let Some(transmit) = stack.poll_transmit(now) {
                let mut bytes = transmit.to_vec();
                if let Some(checksum) = transmit.checksum {
                    complete_checksum(&mut bytes, checksum);
                }
                frames.push(Frame { bytes, size: transmit.gso.map_or(0, |gso| gso.size) });
            }
            while stack.poll_event().is_some() {}
            for frame in frames {
                // A device may cut what it is given, or hand it on in one piece.
                if frame.size > 0 && self.chance(500) {
                    for piece in cut(&frame)? {
                        self.put(1 - n, &piece);
                    }
                } else {
                    self.put(1 - n, &frame);
                }
            }
        }
        Ok(())
    }

    /// Puts a packet on the link, or not.
    fn put(&mut self, to: usize, frame: &Frame) {
        let link = self.config.link;
        let lost = self.chance(link.loss);
        let mut frame = frame.clone();
        if self.chance(link.mark) {
            mark_congestion(&mut frame.bytes);
        }
        let copies = if lost { 0 } else { 1 + u32::from(self.chance(link.duplicate)) };
        for _ in 0..copies {
            let mut delay = link.delay_ms * 1000;
            if self.chance(link.reorder) {
                delay += u64::from(self.below(link.jitter_ms as u32 * 1000));
            }
            self.packets += 1;
            let at = self.now + Duration::from_micros(delay);
            self.link.insert((at, self.packets), (to, frame.clone()));
        }
    }

    /// Goes to the next moment at which something happens.
    fn step(&mut self) -> Result<(), String> {
        let arrival = self.link.keys().next().map(|(at, _)| *at);
        let timers = self.hosts.iter().filter_map(|h| h.stack.poll_timeout()).min();
        // The applications look in now and then.
        let busy = self.hosts.iter().any(|h| h.socket.is_some());
        let look = busy.then(|| self.now + Duration::from_millis(5));
        let Some(next) = [arrival, timers, look].into_iter().flatten().min() else {
            return Err("nothing will ever happen again".into());
        };
        self.now = self.now.max(next);
        let now = self.now;
        while let Some(entry) = self.link.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let (to, frame) = entry.remove();
            let host = &mut self.hosts[to];
            // The checksum of what was cut is right, and verified; that of a large one was completed as one packet's.
            let frame = RxFrame { gso_size: frame.size, ..RxFrame::new(frame.bytes) };
            host.stack.handle_frame(now, host.interface, frame);
        }
        for host in &mut self.hosts {
            let mut rounds = 0;
            while host.stack.poll_timeout().is_some_and(|at| at <= now) {
                host.stack.handle_timeout(now);
                // Output may be what a timer waits for.
                rounds += 1;
                if rounds > 100 {
                    return Err("a timer is stuck in the past".into());
                }
            }
            let stats = host.stack.stats();
            if stats.receive_memory > 4 * self.config.recv_buffer as u64 + 65_536 {
                return Err(format!("{} bytes in receive queues", stats.receive_memory));
            }
        }
        Ok(())
    }
}

/// What a router does that marks (RFC 3168 §5).
fn mark_congestion(bytes: &mut [u8]) {
    let shift = if bytes[0] >> 4 == 6 { 4 } else { 0 };
    if (bytes[1] >> shift).is_multiple_of(4) {
        return;
    }
    bytes[1] |= 3 << shift;
    if shift == 0 {
        let len = usize::from(bytes[0] & 0x0f) * 4;
        bytes[10..12].fill(0);
        let sum = usernet_wire::checksum::checksum(&bytes[..len]);
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
    }
}

/// What a device does that completes checksums: the field holds the sum of the pseudo-header.
fn complete_checksum(bytes: &mut [u8], checksum: TxChecksum) {
    let start = usize::from(checksum.start);
    let field = start + usize::from(checksum.offset);
    let sum = usernet_wire::checksum::checksum(&bytes[start..]);
    bytes[field..field + 2].copy_from_slice(&sum.to_be_bytes());
}

/// What a device does that cuts segments (RFC 9293 §3.1 fields; FIN and PSH belong to the last).
fn cut(frame: &Frame) -> Result<Vec<Frame>, String> {
    let packet = ip::Packet::parse(&frame.bytes).map_err(|e| e.to_string())?;
    let segment = &frame.bytes[packet.payload_offset..];
    let (repr, header_len) =
        tcp::Repr::parse(segment, packet.src, packet.dst, false).map_err(|e| e.to_string())?;
    let data = &segment[header_len..];
    let pieces = data.chunks(usize::from(frame.size));
    let last = pieces.len().saturating_sub(1);
    let pieces = pieces.enumerate().map(|(i, piece)| {
        let mut repr = repr.clone();
        repr.seq += i as u32 * u32::from(frame.size);
        if i < last {
            repr.flags -= Flags::FIN | Flags::PSH;
        }
        if i > 0 {
            // RFC 3168's CWR is the first one's alone.
            repr.flags -= Flags::CWR;
        }
        let mut header = vec![0; repr.header_len()];
        repr.emit(&mut header);
        tcp::Repr::fill_checksum(&mut header, &[piece], packet.src, packet.dst);
        let payload_len = header.len() + piece.len();
        let outer = ip::Repr {
            src: packet.src,
            dst: packet.dst,
            protocol: packet.protocol,
            hop_limit: packet.hop_limit,
            traffic_class: packet.traffic_class,
            ident: 0,
            dont_fragment: true,
            flow_label: 0,
            payload_len,
        };
        let mut bytes = vec![0; outer.header_len()];
        outer.emit(&mut bytes);
        bytes.extend(header);
        bytes.extend(piece);
        Frame { bytes, size: 0 }
    });
    Ok(pieces.collect())
}
