//! Runs scripts: keeps the clock, carries packets between the script and the stack, and judges what comes out.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt::Write as _;
use std::time::Duration;

use usernet_core::tcp::StateName;
use usernet_core::{
    Config, ConnectOptions, Event, FastOpenKeys, Instant, InterfaceConfig, InterfaceId,
    ListenAddress, ListenOptions, ListenerId, Medium, Offload, Ready, RxFrame, Secrets, SocketId,
    Stack, SynCookies, Trace,
};
use usernet_wire::tcp::Flags;

use super::language::{Delay, Op, Segment, Step, Twist};
use super::options::Opt;
use super::segment::{self, Bases, Family, Observed};

/// How far a segment may be from the moment a script names: timers may round.
const TOLERANCE: Duration = Duration::from_millis(1);
/// Where virtual time begins unless initial sequence numbers call for another moment.
const START: Instant = Instant::from_millis(1_000_000);
/// Most timer runs and packets in one step: more is a stack that talks to itself.
const STEP_LIMIT: usize = 100_000;
/// Keys of Fast Open cookies: the one in force and the one before.
const COOKIE_KEYS: ([u8; 16], [u8; 16]) = ([0x11; 16], [0x22; 16]);

/// Where initial sequence numbers lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isn {
    /// Ours wherever the stack puts it.
    Natural,
    /// The peer's a few bytes below 2^31.
    BelowSign,
    /// Both a few bytes below 2^32. Ours is a function of time (RFC 6528): virtual time begins at the right moment.
    BelowWrap,
}

/// One connection of the script.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) peer_port: u16,
    pub(crate) local_port: u16,
    pub(crate) bases: Bases,
    pub(crate) socket: Option<SocketId>,
    /// Bytes read and written so far; their contents follow from it.
    pub(crate) read: u32,
    pub(crate) written: u32,
    /// What the stack said last, relative: its acknowledgement, and the end of what it sent.
    pub(crate) said: (u32, u32),
    /// Newest TSval the stack sent.
    last_tsval: u32,
    /// Window shifts offered: by the peer, by the stack.
    shifts: (Option<u8>, Option<u8>),
    /// One past the last sequence number that the peer's window let the stack send, relative.
    send_edge: Option<u32>,
    /// The same for what the stack lets the peer send.
    receive_edge: Option<u32>,
    /// Whether the segment was told to break the rules: windows are not judged any more.
    pub(crate) lawless: bool,
}

/// A stack with a script's peer around it.
pub(crate) struct Tester {
    pub(crate) family: Family,
    isn: Isn,
    pub(crate) config: Config,
    pub(crate) mtu: u16,
    /// Whether the script's first connection is made by the stack.
    active: bool,
    stack: Option<(Stack, InterfaceId)>,
    pub(crate) now: Instant,
    start: Instant,
    pub(crate) peers: BTreeMap<usize, Peer>,
    pub(crate) current: usize,
    pub(crate) listeners: HashMap<u16, ListenerId>,
    pub(crate) last_port: u16,
    pub(crate) out: VecDeque<Observed>,
    pub(crate) ready: HashMap<SocketId, Ready>,
    pub(crate) acceptable: bool,
    /// By ports, the newest connection's.
    pub(crate) states: HashMap<(u16, u16), (SocketId, StateName)>,
    log: String,
    line: String,
}

impl Tester {
    /// Runs a script to its end.
    pub(crate) fn play(family: Family, isn: Isn, text: &str) {
        let mut tester = Self::new(family, isn, text.contains("@client") || starts_active(text));
        tester.run(text);
        tester.finish();
    }

    /// A tester; `active` says whether the first connection is made by the stack.
    pub(crate) fn new(family: Family, isn: Isn, active: bool) -> Self {
        let mut config = Config { loopback: false, trace: true, ..Config::default() };
        // Most scripts are about delayed acknowledgements as they are later in a connection.
        config.socket.quick_acks = 0;
        // And about windows of a known size.
        config.socket.recv_buffer = (1 << 20).into();
        config.socket.send_buffer = (1 << 20).into();
        let (primary, before) = COOKIE_KEYS;
        config.fast_open_keys = FastOpenKeys::Fixed { primary, backup: Some(before) };
        Self {
            family,
            isn,
            config,
            // The same MSS over both families: 1460.
            mtu: 1460 + family.headers(),
            active,
            stack: None,
            now: START,
            start: START,
            peers: BTreeMap::new(),
            current: 1,
            listeners: HashMap::new(),
            last_port: 80,
            out: VecDeque::new(),
            ready: HashMap::new(),
            acceptable: false,
            states: HashMap::new(),
            log: String::new(),
            line: String::new(),
        }
    }

    /// Runs the steps of a script; panics with the trace where one fails.
    pub(crate) fn run(&mut self, text: &str) {
        if let Err(report) = self.try_run(text) {
            panic!("{report}");
        }
    }

    /// Runs the steps of a script up to the first that fails.
    pub(crate) fn try_run(&mut self, text: &str) -> Result<(), String> {
        let text = self.bake_cookies(text);
        let steps = Step::parse_all(&expand(&text, self.family))
            .map_err(|error| format!("the script is wrong: {error}"))?;
        for step in steps {
            self.line.clone_from(&step.text);
            self.step(&step).map_err(|error| self.report(&error))?;
        }
        Ok(())
    }

    /// Replaces `COOKIE` by the Fast Open cookie that the stack gives the peer, and `OLD-COOKIE` by the one that its key
    /// before made.
    fn bake_cookies(&self, text: &str) -> String {
        if !text.contains("COOKIE") {
            return text.into();
        }
        let of = |primary| {
            let fast_open_keys = FastOpenKeys::Fixed { primary, backup: None };
            let config = Config { fast_open_keys, ..Config::default() };
            let stack = Stack::new(config, Secrets::from_bytes(&[0; 64]), 1);
            let cookie = stack.fast_open_cookie(START, self.family.peer(), self.family.ours());
            cookie.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
        };
        text.replace("OLD-COOKIE", &of(COOKIE_KEYS.1)).replace("COOKIE", &of(COOKIE_KEYS.0))
    }

    /// Judges the end: nothing that was not expected may be left.
    pub(crate) fn finish(&mut self) {
        self.line = "(end)".into();
        self.stack();
        if let Err(error) = self.settle().and_then(|()| self.nothing_left()) {
            panic!("{}", self.report(&error));
        }
    }

    /// A failure with everything that led to it.
    pub(crate) fn report(&self, error: &str) -> String {
        format!(
            "\n{}\nat: {}\n    {error}\n({:?}, {:?})\n",
            self.log.trim_end(),
            self.line,
            self.family,
            self.isn
        )
    }

    /// The stack and its interface, made when first asked for.
    pub(crate) fn stack(&mut self) -> &mut (Stack, InterfaceId) {
        if self.stack.is_none() {
            if self.isn == Isn::BelowWrap {
                self.now = self.moment_of_isn(0xffff_fffb);
                self.start = self.now;
            }
            self.stack = Some(self.make_stack(self.now));
        }
        self.stack.as_mut().expect("made above")
    }

    /// Whether settings can no longer be changed.
    pub(crate) fn is_made(&self) -> bool {
        self.stack.is_some()
    }

    fn make_stack(&self, now: Instant) -> (Stack, InterfaceId) {
        let mut key = [0; 64];
        key.iter_mut().enumerate().for_each(|(i, b)| *b = i as u8 ^ 0x3c);
        let mut stack = Stack::new(self.config.clone(), Secrets::from_bytes(&key), 1);
        let prefix = if self.family == Family::V4 { "198.18.0.2/24" } else { "fd00::2/64" };
        let interface = stack
            .add_interface(
                now,
                InterfaceConfig {
                    name: "un0".into(),
                    medium: Medium::Ip,
                    mtu: self.mtu,
                    offload: Offload::default(),
                    addresses: vec![prefix.parse().expect("an address")],
                    ..InterfaceConfig::default()
                },
            )
            .expect("a good interface");
        (stack, interface)
    }

    /// When the stack will choose `isn` for the first connection: it counts up with time (RFC 6528 §3), so two samples
    /// tell the rate.
    fn moment_of_isn(&self, isn: u32) -> Instant {
        let sample = |at: Instant| {
            let mut tester = Self::new(self.family, Isn::Natural, self.active);
            tester.config = self.config.clone();
            // A cookie is no function of time alone.
            tester.config.syn_cookies = SynCookies::Off;
            // A SYN that waits for data would tell nothing.
            tester.config.socket.fast_open.connect = false;
            tester.mtu = self.mtu;
            (tester.now, tester.start) = (at, at);
            tester.run(if self.active {
                "connect\ndiscard"
            } else {
                "listen 80\n< S 0:0(0)\ndiscard"
            });
            tester.peer().bases.ours
        };
        let second = Duration::from_secs(1);
        let first = sample(START);
        let per_second = u64::from(sample(START + second).wrapping_sub(first));
        assert!(
            per_second > 0,
            "the initial sequence number does not grow with time (RFC 6528 §3)"
        );
        let missing = u64::from(isn.wrapping_sub(first));
        // Half a tick later, so that rounding down ends on the wanted one.
        let nanos = (u128::from(missing) * 2 + 1) * 1_000_000_000 / (u128::from(per_second) * 2);
        let moment = START + Duration::from_nanos(nanos as u64);
        let found = sample(moment);
        assert!(found.wrapping_sub(isn) < 4, "initial sequence number {found:#x}, wanted {isn:#x}");
        moment
    }

    /// The connection that the current step is about.
    pub(crate) fn peer(&mut self) -> &mut Peer {
        let (n, local_port) = (self.current, self.last_port);
        let isn = match self.isn {
            Isn::Natural => 1_000_000,
            Isn::BelowSign => 0x7fff_fffb,
            Isn::BelowWrap => 0xffff_fffb,
        };
        self.peers.entry(n).or_insert_with(|| Peer {
            peer_port: 40_000 + n as u16,
            local_port,
            bases: Bases { ours: 0, peer: isn },
            socket: None,
            read: 0,
            written: 0,
            said: (0, 0),
            last_tsval: 0,
            shifts: (None, None),
            send_edge: None,
            receive_edge: None,
            lawless: false,
        })
    }

    /// The current connection's socket.
    pub(crate) fn socket(&mut self) -> Result<SocketId, String> {
        self.peer().socket.ok_or_else(|| "no socket: accept or connect first".into())
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        self.current = step.peer.unwrap_or(1);
        match &step.op {
            Op::Expect(wanted) => {
                let observed = self.next_packet(step.delay)?;
                self.judge(&observed, wanted)
            }
            Op::ExpectStream(wanted) => self.expect_stream(step.delay, wanted),
            Op::Inject(segment) => {
                self.wait(step.delay)?;
                self.inject(segment)
            }
            Op::Icmp(icmp) => {
                self.wait(step.delay)?;
                let peer = self.peer().clone();
                let ports = (peer.peer_port, peer.local_port);
                self.note(&step.text);
                if let Some(frame) = segment::build_icmp(self.family, ports, peer.bases, icmp)? {
                    self.receive(frame, 0);
                }
                self.settle()
            }
            Op::Call(words) => {
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                if words == ["discard"] {
                    self.settle()?;
                    self.out.clear();
                    return Ok(());
                }
                if matches!(words[0], "option" | "config" | "mtu") {
                    return self.configure(&words);
                }
                self.wait(step.delay)?;
                self.note(&step.text);
                self.call(&words)?;
                self.settle()
            }
        }
    }

    /// Everything sent must have been expected.
    fn nothing_left(&self) -> Result<(), String> {
        match self.out.front() {
            None => Ok(()),
            Some(packet) => Err(format!("not expected: {}", self.spell(packet))),
        }
    }

    fn wait(&mut self, delay: Delay) -> Result<(), String> {
        self.stack();
        self.nothing_left()?;
        match delay {
            Delay::None => Ok(()),
            Delay::After(time) => {
                let until = self.now + time;
                self.advance(until, false)?;
                self.now = until;
                self.nothing_left()
            }
            Delay::Between(..) => Err("only a segment comes between two moments".into()),
        }
    }

    /// Lets time pass until `until`, or until a packet is out if `stop` says so.
    pub(crate) fn advance(&mut self, until: Instant, stop: bool) -> Result<(), String> {
        for _ in 0..STEP_LIMIT {
            match self.stack().0.poll_timeout() {
                Some(at) if at <= until && (!stop || self.out.is_empty()) => {
                    self.now = self.now.max(at);
                    let now = self.now;
                    self.stack().0.handle_timeout(now);
                    self.settle()?;
                }
                _ => return Ok(()),
            }
        }
        Err("timers never end".into())
    }

    fn next_packet(&mut self, delay: Delay) -> Result<Observed, String> {
        let (low, high) = match delay {
            Delay::None => {
                return self.out.pop_front().ok_or_else(|| self.nothing_sent());
            }
            Delay::After(time) => (time.saturating_sub(TOLERANCE), time + TOLERANCE),
            Delay::Between(low, high) => (low, high),
        };
        self.stack();
        if !low.is_zero() {
            self.nothing_left()?;
        }
        let base = self.now;
        self.advance(base + high, true)?;
        let packet = self.out.pop_front().ok_or_else(|| self.nothing_sent())?;
        let after = packet.at.since(base);
        if after < low {
            return Err(format!("came after {after:?} already: {}", self.spell(&packet)));
        }
        Ok(packet)
    }

    fn nothing_sent(&self) -> String {
        let next = self.stack.as_ref().and_then(|(stack, _)| stack.poll_timeout());
        match next {
            Some(at) => format!("nothing was sent (next timer in {:?})", at.since(self.now)),
            None => "nothing was sent (and no timer runs)".into(),
        }
    }

    fn judge(&mut self, packet: &Observed, wanted: &Segment) -> Result<(), String> {
        let peer = self.peer().clone();
        let mut differences = packet.differences(peer.bases, wanted);
        if packet.tcp.dst_port != peer.peer_port {
            differences.push(format!("it goes to port {}", packet.tcp.dst_port));
        }
        if differences.is_empty() {
            return Ok(());
        }
        Err(format!("got {}\n    {}", self.spell(packet), differences.join("\n    ")))
    }

    /// Expects full segments that carry a range, in order.
    fn expect_stream(&mut self, delay: Delay, wanted: &Segment) -> Result<(), String> {
        let mut part = wanted.clone();
        let mut delay = delay;
        let end = wanted.seq.wrapping_add(wanted.len);
        while part.seq != end {
            part.len = wanted.mss.min(end.wrapping_sub(part.seq));
            let packet = self.next_packet(delay)?;
            self.judge(&packet, &part)?;
            part.seq = part.seq.wrapping_add(part.len);
            delay = Delay::None;
        }
        Ok(())
    }

    fn inject(&mut self, segment: &Segment) -> Result<(), String> {
        let peer = self.peer().clone();
        let ports = (peer.peer_port, peer.local_port);
        let frame = segment::build(self.family, ports, peer.bases, peer.last_tsval, segment)?;
        let line = self.line.clone();
        self.note(&line);
        let state = self.peer();
        if segment.twists.iter().all(|t| matches!(t, Twist::Held | Twist::Merged(_))) {
            state.learn_from_peer(segment);
        }
        let merged = segment.twists.iter().find_map(|t| match t {
            Twist::Merged(size) => Some(*size),
            _ => None,
        });
        self.receive(frame, merged.unwrap_or(0));
        if segment.twists.contains(&Twist::Held) { Ok(()) } else { self.settle() }
    }

    /// Gives the stack a frame.
    pub(crate) fn receive(&mut self, frame: Vec<u8>, gso_size: u16) {
        let now = self.now;
        let (stack, interface) = self.stack();
        let interface = *interface;
        stack.handle_frame(now, interface, RxFrame { gso_size, ..RxFrame::new(frame) });
    }

    /// Takes everything that the stack has to say now, and runs timers that are due.
    pub(crate) fn settle(&mut self) -> Result<(), String> {
        for _ in 0..STEP_LIMIT {
            let now = self.now;
            let (stack, interface) = self.stack();
            let interface = *interface;
            let mut frames = Vec::new();
            while let Some(transmit) = stack.poll_transmit(now) {
                if transmit.interface != interface {
                    return Err("a packet leaves by another interface".into());
                }
                if transmit.gso.is_some() || transmit.checksum.is_some() {
                    return Err("the device is asked for what it cannot do".into());
                }
                frames.push(transmit.to_vec());
                if frames.len() > STEP_LIMIT {
                    return Err("packets never end".into());
                }
            }
            let mut events = Vec::new();
            while let Some(event) = stack.poll_event() {
                events.push(event);
            }
            let mut traces = Vec::new();
            while let Some(trace) = stack.poll_trace() {
                traces.push(trace);
            }
            let due = stack.poll_timeout().is_some_and(|at| at <= now);
            for event in events {
                match event {
                    Event::Socket(id, ready) => *self.ready.entry(id).or_default() |= ready,
                    Event::Acceptable(_) => self.acceptable = true,
                    _ => {}
                }
            }
            for trace in traces {
                if let Trace::State { from, to } = trace.what {
                    let ports = (trace.local.port(), trace.remote.port());
                    self.states.insert(ports, (trace.socket, to));
                    self.note(&format!("      {from} -> {to}"));
                }
            }
            for frame in frames {
                self.sent(&frame)?;
            }
            if !due {
                return Ok(());
            }
            self.stack().0.handle_timeout(now);
        }
        Err("a timer is due for ever".into())
    }

    /// Judges a packet by what always holds, and keeps it for the script.
    fn sent(&mut self, frame: &[u8]) -> Result<(), String> {
        let packet = Observed::parse(self.now, frame)?;
        if frame.len() > usize::from(self.mtu) {
            return Err(format!("a packet of {} bytes, the MTU is {}", frame.len(), self.mtu));
        }
        let ports = (packet.tcp.src_port, packet.tcp.dst_port);
        let peer = self.peers.values_mut().find(|p| (p.local_port, p.peer_port) == ports);
        let mut verdict = Ok(());
        if let Some(peer) = peer {
            verdict = peer.learn_from_stack(&packet);
        }
        let text = self.spell(&packet);
        self.note(&text);
        if packet.ip.src != self.family.ours() || packet.ip.dst != self.family.peer() {
            verdict = Err(format!("it goes from {} to {}", packet.ip.src, packet.ip.dst));
        }
        self.out.push_back(packet);
        verdict
    }

    fn spell(&self, packet: &Observed) -> String {
        let ports = (packet.tcp.src_port, packet.tcp.dst_port);
        match self.peers.iter().find(|(_, p)| (p.local_port, p.peer_port) == ports) {
            Some((1, peer)) => packet.spell(peer.bases),
            Some((n, peer)) => format!("[{n}] {}", packet.spell(peer.bases)),
            None => format!("{ports:?} {}", packet.spell(Bases::default())),
        }
    }

    /// Adds a line to what a failure shows.
    pub(crate) fn note(&mut self, text: &str) {
        let at = self.now.since(self.start);
        // Long scripts: the end is what matters.
        if self.log.len() > 200_000 {
            self.log.clear();
            self.log.push_str("(..)\n");
        }
        let _ = writeln!(self.log, "{:>12.6}  {text}", at.as_secs_f64());
    }

    /// The current connection begins anew: sequence numbers of the peer count from `offset`.
    pub(crate) fn rebase(&mut self, offset: u32) {
        let peer = self.peer();
        peer.bases.peer = peer.bases.peer.wrapping_add(offset);
        (peer.read, peer.written) = (0, 0);
        (peer.send_edge, peer.receive_edge) = (None, None);
    }

    /// Starts a listener.
    pub(crate) fn listen(&mut self, port: u16, backlog: usize) -> Result<(), String> {
        let address = match self.family {
            Family::V4 => ListenAddress::AnyV4,
            Family::V6 => ListenAddress::AnyV6 { only: true },
        };
        let options = ListenOptions { address, port, backlog, options: None };
        let id = self.stack().0.tcp_listen(options).map_err(|e| e.to_string())?;
        self.listeners.insert(port, id);
        self.last_port = port;
        Ok(())
    }

    /// Starts a connection to the peer's port 80.
    pub(crate) fn connect(&mut self) -> Result<(), String> {
        let remote = (self.family.peer(), 80).into();
        let n = self.current;
        let peer = self.peer();
        (peer.peer_port, peer.local_port) = (80, 40_000 + n as u16);
        let local_port = Some(peer.local_port);
        let now = {
            self.stack();
            self.now
        };
        let options = ConnectOptions { remote, local_addr: None, local_port, options: None };
        let id = self.stack().0.tcp_connect(now, options).map_err(|e| e.to_string())?;
        self.peer().socket = Some(id);
        Ok(())
    }
}

impl Peer {
    /// What the script's own segment allows the stack.
    fn learn_from_peer(&mut self, segment: &Segment) {
        if segment.flags.contains(Flags::SYN) {
            let options = segment.options.as_deref().unwrap_or_default();
            self.shifts.0 = options.iter().find_map(|o| match o {
                Opt::WindowScale(shift) => Some((*shift).min(14)),
                _ => None,
            });
        }
        let Some(ack) = segment.ack else { return };
        let syn = segment.flags.contains(Flags::SYN);
        let shift = if syn { 0 } else { self.scaled().map_or(0, |(peers, _)| peers) };
        let edge = ack.wrapping_add(u32::from(segment.win.unwrap_or(65535)) << shift);
        if self.send_edge.is_none_or(|old| (edge.wrapping_sub(old) as i32) > 0) {
            self.send_edge = Some(edge);
        }
    }

    /// Judges what the stack sent by what always holds: contents and windows.
    fn learn_from_stack(&mut self, packet: &Observed) -> Result<(), String> {
        let flags = packet.tcp.flags;
        let decoded = Opt::decode(&packet.options, self.bases.peer);
        if flags.contains(Flags::SYN) {
            self.bases.ours = packet.tcp.seq.0;
            self.receive_edge = None;
            self.shifts.1 = decoded.iter().find_map(|o| match o {
                Opt::WindowScale(shift) => Some(*shift),
                _ => None,
            });
        }
        if let Some(stamps) = packet.tcp.options.timestamps {
            self.last_tsval = stamps.val;
        }
        let (seq, len) = (packet.seq(self.bases), packet.payload.len() as u32);
        if flags.contains(Flags::ACK) {
            let ack = packet.tcp.ack.0.wrapping_sub(self.bases.peer);
            self.said = (ack, seq.wrapping_add(len));
        }
        let syn = u32::from(flags.contains(Flags::SYN));
        if packet.payload != segment::bytes_at(true, seq.wrapping_add(syn), len) {
            return Err(format!("its contents are not what was written ({seq}..{})", seq + len));
        }
        if flags.contains(Flags::RST) || self.lawless {
            return Ok(());
        }
        // RFC 9293 §3.10: never past the offered window; a probe of one byte may be.
        let end = seq.wrapping_add(len);
        if let Some(edge) = self.send_edge.filter(|_| len > 1)
            && (end.wrapping_sub(edge) as i32) > 0
        {
            return Err(format!("it ends at {end}, past the peer's window, which ends at {edge}"));
        }
        // RFC 9293 §3.8.6: the window's right edge does not move back (rounding by the shift aside).
        if flags.contains(Flags::ACK) {
            let syn = flags.contains(Flags::SYN);
            let shift = if syn { 0 } else { self.scaled().map_or(0, |(_, ours)| ours) };
            let ack = packet.tcp.ack.0.wrapping_sub(self.bases.peer);
            let edge = ack.wrapping_add(u32::from(packet.tcp.window) << shift);
            if let Some(old) = self.receive_edge {
                let back = old.wrapping_sub(edge) as i32;
                if back >= 1 << shift {
                    return Err(format!(
                        "its window ends {back} bytes before the one offered last"
                    ));
                }
                if back > 0 {
                    return Ok(());
                }
            }
            self.receive_edge = Some(edge);
        }
        Ok(())
    }

    /// Both shifts, when both ends offered scaling (RFC 7323 §2.2).
    fn scaled(&self) -> Option<(u8, u8)> {
        Some((self.shifts.0?, self.shifts.1?))
    }
}

/// Whether the first connection of a script is made by the stack.
fn starts_active(text: &str) -> bool {
    let at =
        |word: &str| text.lines().position(|l| l.trim().starts_with(word)).unwrap_or(usize::MAX);
    at("connect") < at("listen").min(at("@server"))
}

/// Replaces `{a|b}` by `a` over IPv4 and `b` over IPv6.
fn choose(line: &str, family: Family) -> String {
    let Some((before, rest)) = line.split_once('{') else { return line.into() };
    let Some((choice, after)) = rest.split_once('}') else { return line.into() };
    let Some((v4, v6)) = choice.split_once('|') else { return line.into() };
    let chosen = if family == Family::V4 { v4 } else { v6 };
    format!("{before}{chosen}{}", choose(after, family))
}

/// Replaces `@server` and `@client` lines by the handshakes they stand for, and `{a|b}` by what holds for the family.
fn expand(text: &str, family: Family) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let line = choose(line.trim(), family);
        let line = line.as_str();
        let Some(rest) = line.strip_prefix("@server").or(line.strip_prefix("@client")) else {
            out.push_str(line);
            out.push('\n');
            continue;
        };
        let (options, rest) = match rest.trim().strip_prefix('<').and_then(|r| r.split_once('>')) {
            Some((options, rest)) => (options, rest),
            None => ("mss 1460", rest),
        };
        let win = rest.trim().strip_prefix("win ").unwrap_or("65535");
        // The third segment carries the same TSval as the SYN.
        let stamps =
            options.split(',').find(|o| o.starts_with("TS val")).map_or(String::new(), |o| {
                let val = o.split_whitespace().nth(2).unwrap_or_default();
                format!("<nop,nop,TS val {val} ecr last>")
            });
        let steps = if line.starts_with("@server") {
            format!(
                "listen 80
                < S 0:0(0) win {win} <{options}>
                > S. 0:0(0) ack 1
                < . 1:1(0) ack 1 win {win} {stamps}
                accept
                state ESTABLISHED"
            )
        } else {
            format!(
                "connect
                > S 0:0(0)
                < S. 0:0(0) ack 1 win {win} <{options}>
                > . 1:1(0) ack 1
                event connected
                state ESTABLISHED"
            )
        };
        out.push_str(&steps);
        out.push('\n');
    }
    out
}
