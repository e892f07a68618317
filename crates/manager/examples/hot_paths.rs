//! The core's hot paths, for counting their instructions: run by `scripts/instructions.mjs` under
//! `valgrind --tool=callgrind --instr-atstart=no --collect-atstart=no`.
//!
//! Two stacks in memory, a client and a server; what is counted is the server's calls alone, with everything warm. Each path
//! ends in a dump of callgrind's that is named `<path>/<operations>`. `hot_paths [path..]` runs those alone.
#![allow(clippy::disallowed_methods, reason = "a program of its own")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use usernet_core::{
    Config, ConnectOptions, Instant, InterfaceConfig, InterfaceId, IpCidr, KeepAlive,
    ListenAddress, ListenOptions, ListenerId, Offload, RecvError, RxChecksum, RxFrame, Secrets,
    SocketId, Stack, Transmit,
};

const SERVER: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);
const CLIENT: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
/// The port that connections in use come to; those that are idle come to the ports after it.
const PORT: u16 = 7;
/// Idle connections of one port of the server's.
const IDLE_A_PORT: usize = 50_000;
/// A super-segment: 44 of 1,448 bytes.
const BULK: usize = 44 * 1448;
/// A request and its answer, bytes.
const MESSAGE: usize = 64;
/// Operations that are not counted: windows open, tables and queues get their size.
const WARM_UP: u32 = 64;

/// A path's name, what it needs, operations that are counted, and the operation.
struct Path {
    name: &'static str,
    connections: usize,
    idle: usize,
    operations: u32,
    run: fn(&mut Net, u32),
}

const PATHS: &[Path] = &[
    Path { name: "receive-64k", connections: 1, idle: 0, operations: 100, run: Net::receive_bulk },
    Path { name: "send-64k", connections: 1, idle: 0, operations: 100, run: Net::send_bulk },
    Path { name: "request-64", connections: 1, idle: 0, operations: 500, run: Net::request },
    Path { name: "connection", connections: 0, idle: 0, operations: 200, run: Net::connection },
    Path { name: "demux-10", connections: 10, idle: 0, operations: 500, run: Net::demultiplex },
    Path {
        name: "demux-10000",
        connections: 10_000,
        idle: 0,
        operations: 500,
        run: Net::demultiplex,
    },
    Path { name: "timer-10", connections: 1, idle: 10, operations: 500, run: Net::timer },
    Path { name: "timer-10000", connections: 1, idle: 10_000, operations: 500, run: Net::timer },
    Path { name: "timer-100000", connections: 1, idle: 100_000, operations: 500, run: Net::timer },
    Path { name: "tick-10", connections: 0, idle: 10, operations: 1000, run: Net::tick },
    Path { name: "tick-100000", connections: 0, idle: 100_000, operations: 1000, run: Net::tick },
];

fn main() {
    if !valgrind::present() {
        eprintln!("there is nothing to see without valgrind: node scripts/instructions.mjs");
        std::process::exit(2);
    }
    let only: Vec<String> = std::env::args().skip(1).collect();
    // What two paths in a row need alike is made once.
    let mut last: Option<(usize, Net)> = None;
    let mut paths: Vec<&Path> =
        PATHS.iter().filter(|p| only.is_empty() || only.iter().any(|o| o == p.name)).collect();
    paths.sort_by_key(|path| path.idle);
    for path in paths {
        let mut net = match last.take() {
            Some((idle, net)) if idle == path.idle && idle > 0 => net,
            _ => Net::new(path.idle),
        };
        net.connect(path.connections);
        (path.run)(&mut net, WARM_UP);
        valgrind::start();
        (path.run)(&mut net, path.operations);
        valgrind::stop(&format!("{}/{}", path.name, path.operations));
        last = Some((path.idle, net));
    }
}

/// A stack with one interface whose device does everything that TUN devices do.
struct End {
    stack: Stack,
    interface: InterfaceId,
}

impl End {
    fn new(address: Ipv4Addr, seed: u8, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config { loopback: false, ..Config::default() };
        config.socket.nagle = false;
        change(&mut config);
        let mut stack = Stack::new(config, Secrets::from_bytes(&[seed; 64]), seed.into());
        let interface = InterfaceConfig {
            offload: Offload { tx_checksum: true, tso4: true, tso6: true, ..Offload::default() },
            addresses: vec![IpCidr { addr: address.into(), prefix_len: 24 }],
            ..InterfaceConfig::default()
        };
        let interface = stack.add_interface(Instant::ZERO, interface).expect("a good interface");
        Self { stack, interface }
    }
}

/// A frame that a device hands over as a TUN would: its checksum vouched for, and not yet cut.
fn carried(transmit: &Transmit<'_>) -> RxFrame {
    RxFrame {
        checksum: RxChecksum::Trusted,
        gso_size: transmit.gso.map_or(0, |gso| gso.size),
        ..RxFrame::new(transmit.to_vec())
    }
}

/// The client, the server, and the wire between them, which neither takes time nor loses.
struct Net {
    client: End,
    server: End,
    listener: ListenerId,
    now: Instant,
    /// Connections in use: the client's socket and the server's.
    open: Vec<(SocketId, SocketId)>,
    /// Local ports of the client's, handed out in order.
    port: u16,
    next: usize,
}

impl Net {
    /// With that many idle connections, each of which waits for its keep-alive timer.
    fn new(idle: usize) -> Self {
        // A peer that acknowledges at once keeps the paths the same every time.
        let client = End::new(CLIENT, 1, |config| config.socket.delayed_ack = Duration::ZERO);
        let mut server = End::new(SERVER, 2, |config| {
            config.socket.keep_alive = (idle > 0).then(KeepAlive::default);
        });
        let listener = listen(&mut server.stack, PORT);
        let now = Instant::from_millis(1000);
        let mut net = Self { client, server, listener, now, open: Vec::new(), port: 1024, next: 0 };
        for first in (0..idle).step_by(IDLE_A_PORT) {
            let port = PORT + 1 + (first / IDLE_A_PORT) as u16;
            let listener = listen(&mut net.server.stack, port);
            for local in 0..IDLE_A_PORT.min(idle - first) {
                net.idle(listener, port, 1024 + local as u16);
            }
        }
        net.settle();
        net
    }

    /// A connection to `port` of the server, of which the client then forgets without a word.
    fn idle(&mut self, listener: ListenerId, port: u16, local: u16) {
        let socket = self.dial(port, local);
        self.pump();
        self.server.stack.tcp_accept(listener).expect("a listener").expect("a connection");
        self.client.stack.tcp_abort(self.now, socket).expect("a connection");
        while self.client.stack.poll_transmit(self.now).is_some() {}
        while self.client.stack.poll_event().is_some() {}
    }

    /// Lets the timers of the handshakes go by.
    fn settle(&mut self) {
        self.pump();
        self.wait(Duration::from_secs(5));
        while self.server.stack.poll_timeout().is_some_and(|at| at <= self.now) {
            self.server.stack.handle_timeout(self.now);
        }
        self.pump();
    }

    /// Sees to it that so many connections are in use.
    fn connect(&mut self, connections: usize) {
        while self.open.len() < connections {
            let pair = self.establish();
            self.open.push(pair);
        }
        self.settle();
    }

    fn dial(&mut self, port: u16, local: u16) -> SocketId {
        let remote = SocketAddr::new(IpAddr::V4(SERVER), port);
        let options =
            ConnectOptions { remote, local_addr: None, local_port: Some(local), options: None };
        self.client.stack.tcp_connect(self.now, options).expect("a route")
    }

    fn establish(&mut self) -> (SocketId, SocketId) {
        self.port += 1;
        let ours = self.dial(PORT, self.port);
        self.pump();
        valgrind::toggle();
        let theirs = self.server.stack.tcp_accept(self.listener);
        valgrind::toggle();
        (ours, theirs.expect("a listener").expect("a connection"))
    }

    /// Carries frames both ways until there are none, and counts what the server does with them. The frames that it sent.
    fn pump(&mut self) -> usize {
        let now = self.now;
        let (mut to_server, mut to_client): (Vec<RxFrame>, Vec<RxFrame>) = Default::default();
        let mut sent = 0;
        loop {
            while let Some(transmit) = self.client.stack.poll_transmit(now) {
                to_server.push(carried(&transmit));
            }
            for frame in to_server.drain(..) {
                valgrind::toggle();
                self.server.stack.handle_frame(now, self.server.interface, frame);
                valgrind::toggle();
            }
            loop {
                valgrind::toggle();
                let transmit = self.server.stack.poll_transmit(now);
                valgrind::toggle();
                let Some(transmit) = transmit else { break };
                to_client.push(carried(&transmit));
            }
            valgrind::toggle();
            while self.server.stack.poll_event().is_some() {}
            valgrind::toggle();
            while self.client.stack.poll_event().is_some() {}
            if to_client.is_empty() {
                return sent;
            }
            sent += to_client.len();
            for frame in to_client.drain(..) {
                self.client.stack.handle_frame(now, self.client.interface, frame);
            }
        }
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.client.stack.handle_timeout(self.now);
        valgrind::toggle();
        self.server.stack.handle_timeout(self.now);
        valgrind::toggle();
    }

    /// The client reads and forgets; bytes.
    fn client_reads(&mut self, socket: SocketId, buffer: &mut [u8]) -> usize {
        let mut got = 0;
        loop {
            match self.client.stack.tcp_recv(self.now, socket, buffer) {
                Ok(0) | Err(RecvError::WouldBlock) => return got,
                Ok(n) => got += n,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// A super-segment comes, is acknowledged, and is taken as it lies in the device's memory.
    fn receive_bulk(&mut self, operations: u32) {
        let (ours, theirs) = self.open[0];
        let data = vec![7; BULK];
        for _ in 0..operations {
            let queued = self.client.stack.tcp_send(self.now, ours, &data, false);
            assert_eq!(queued, Ok(BULK));
            self.pump();
            let mut got = 0;
            while got < BULK {
                valgrind::toggle();
                let piece = self.server.stack.tcp_take_piece(self.now, theirs, |_| true);
                valgrind::toggle();
                let Some(piece) = piece.expect("a connection") else { break };
                got += piece.len();
            }
            // While the window opens, pieces are smaller and may be copied together.
            let mut rest = vec![0; BULK - got];
            if got < BULK {
                self.server.stack.tcp_recv(self.now, theirs, &mut rest).expect("the rest");
            }
            self.pump();
            self.wait(Duration::from_micros(100));
        }
    }

    /// A super-segment is queued, sent and acknowledged.
    fn send_bulk(&mut self, operations: u32) {
        let (ours, theirs) = self.open[0];
        let data = vec![7; BULK];
        let mut buffer = vec![0; BULK];
        for _ in 0..operations {
            valgrind::toggle();
            let queued = self.server.stack.tcp_send(self.now, theirs, &data, false);
            valgrind::toggle();
            assert_eq!(queued, Ok(BULK));
            self.pump();
            assert_eq!(self.client_reads(ours, &mut buffer), BULK);
            self.pump();
            self.wait(Duration::from_micros(100));
        }
    }

    /// A small request comes, is read, and is answered; the answer is acknowledged.
    fn request(&mut self, operations: u32) {
        let (ours, theirs) = self.open[0];
        let mut buffer = [7; 4096];
        for _ in 0..operations {
            let asked = self.client.stack.tcp_send(self.now, ours, &buffer[..MESSAGE], false);
            assert_eq!(asked, Ok(MESSAGE));
            while let Some(transmit) = self.client.stack.poll_transmit(self.now) {
                let frame = carried(&transmit);
                valgrind::toggle();
                self.server.stack.handle_frame(self.now, self.server.interface, frame);
                valgrind::toggle();
            }
            valgrind::toggle();
            let got = self.server.stack.tcp_recv(self.now, theirs, &mut buffer);
            let sent = self.server.stack.tcp_send(self.now, theirs, &buffer[..MESSAGE], false);
            valgrind::toggle();
            assert_eq!((got, sent), (Ok(MESSAGE), Ok(MESSAGE)));
            assert_eq!(self.pump(), 1, "the answer carries the acknowledgement");
            assert_eq!(self.client_reads(ours, &mut buffer), MESSAGE);
            self.wait(Duration::from_micros(100));
        }
    }

    /// A connection from its SYN to its end: accepted, one byte sent, the client closes, then the server.
    fn connection(&mut self, operations: u32) {
        for _ in 0..operations {
            let (ours, theirs) = self.establish();
            valgrind::toggle();
            let sent = self.server.stack.tcp_send(self.now, theirs, b"k", false);
            valgrind::toggle();
            assert_eq!(sent, Ok(1));
            self.pump();
            assert_eq!(self.client_reads(ours, &mut [0; 16]), 1);
            self.client.stack.tcp_close(self.now, ours).expect("a connection");
            self.pump();
            valgrind::toggle();
            let end = self.server.stack.tcp_recv(self.now, theirs, &mut [0; 16]);
            let closed = self.server.stack.tcp_close(self.now, theirs);
            valgrind::toggle();
            assert_eq!((end, closed), (Ok(0), Ok(())));
            self.pump();
            self.wait(Duration::from_micros(100));
        }
        assert_eq!(self.server.stack.stats().connections, self.open.len() as u64);
    }

    /// A small segment comes on one connection of many; it is read before the next.
    fn demultiplex(&mut self, operations: u32) {
        let mut buffer = [7; 4096];
        for _ in 0..operations {
            self.next = (self.next + 7919) % self.open.len();
            let (ours, theirs) = self.open[self.next];
            let asked = self.client.stack.tcp_send(self.now, ours, &buffer[..MESSAGE], false);
            assert_eq!(asked, Ok(MESSAGE));
            let transmit = self.client.stack.poll_transmit(self.now).expect("a segment");
            let frame = carried(&transmit);
            valgrind::toggle();
            self.server.stack.handle_frame(self.now, self.server.interface, frame);
            valgrind::toggle();
            // What follows is not this path's.
            let got = self.server.stack.tcp_recv(self.now, theirs, &mut buffer);
            assert_eq!(got, Ok(MESSAGE));
            self.now += Duration::from_millis(50);
            self.server.stack.handle_timeout(self.now);
            while let Some(transmit) = self.server.stack.poll_transmit(self.now) {
                let frame = carried(&transmit);
                self.client.stack.handle_frame(self.now, self.client.interface, frame);
            }
            while self.server.stack.poll_event().is_some() {}
            while self.client.stack.poll_event().is_some() {}
        }
    }

    /// A byte is sent, which arms the retransmission timer; its acknowledgement cancels it, and the moment it was for goes by.
    fn timer(&mut self, operations: u32) {
        let (ours, theirs) = self.open[0];
        for _ in 0..operations {
            valgrind::toggle();
            let sent = self.server.stack.tcp_send(self.now, theirs, b"k", false);
            valgrind::toggle();
            assert_eq!(sent, Ok(1));
            self.pump();
            assert_eq!(self.client_reads(ours, &mut [0; 16]), 1);
            self.wait(Duration::from_secs(2));
        }
        assert_eq!(self.server.stack.stats().tcp_timeouts, 0, "nothing was sent again");
    }

    /// A turn of a driver in which nothing happens.
    fn tick(&mut self, operations: u32) {
        for _ in 0..operations {
            self.now += Duration::from_millis(1);
            valgrind::toggle();
            self.server.stack.handle_timeout(self.now);
            let sent = self.server.stack.poll_transmit(self.now).is_some();
            let event = self.server.stack.poll_event().is_some();
            let next = self.server.stack.poll_timeout();
            valgrind::toggle();
            assert!(!sent && !event && next.is_some_and(|at| at > self.now));
        }
    }
}

fn listen(stack: &mut Stack, port: u16) -> ListenerId {
    let options =
        ListenOptions { address: ListenAddress::AnyV4, port, backlog: 1024, options: None };
    stack.tcp_listen(options).expect("a free port")
}

/// Requests to valgrind, by its documented sequences of instructions that do nothing elsewhere (`valgrind.h`).
mod valgrind {
    const RUNNING_ON_VALGRIND: usize = 0x1001;
    /// Callgrind's requests begin here: 'C', 'T'.
    const CALLGRIND: usize = 0x4354_0000;
    const ZERO_STATS: usize = CALLGRIND + 1;
    const TOGGLE_COLLECT: usize = CALLGRIND + 2;
    const DUMP_STATS_AT: usize = CALLGRIND + 3;
    const START_INSTRUMENTATION: usize = CALLGRIND + 4;
    const STOP_INSTRUMENTATION: usize = CALLGRIND + 5;

    /// Whether the program runs under valgrind.
    pub(super) fn present() -> bool {
        request(RUNNING_ON_VALGRIND, 0) != 0
    }

    /// From here on what [`toggle`] turns on is counted. Before it, code runs nearly at valgrind's full speed.
    pub(super) fn start() {
        request(START_INSTRUMENTATION, 0);
        request(ZERO_STATS, 0);
    }

    /// Writes out what was counted under that name, and forgets it.
    pub(super) fn stop(name: &str) {
        let name = std::ffi::CString::new(name).expect("no NUL");
        request(DUMP_STATS_AT, name.as_ptr() as usize);
        request(STOP_INSTRUMENTATION, 0);
    }

    /// Counts, or counts no more.
    #[inline]
    pub(super) fn toggle() {
        request(TOGGLE_COLLECT, 0);
    }

    #[inline]
    #[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), expect(unused_variables))]
    fn request(what: usize, argument: usize) -> usize {
        #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
        {
            let arguments = [what, argument, 0, 0, 0, 0];
            let mut result = 0usize;
            // SAFETY: the rotations add up to two full turns and the last instruction exchanges a register with itself, so
            // nothing changes but the result's register, and that only under valgrind, which reads `arguments` (and the
            // string that one of them points to) before this returns.
            #[cfg(target_arch = "x86_64")]
            unsafe {
                std::arch::asm!(
                    "rol rdi, 3", "rol rdi, 13", "rol rdi, 61", "rol rdi, 51", "xchg rbx, rbx",
                    in("rax") &raw const arguments,
                    inout("rdx") result,
                    out("rdi") _,
                    options(nostack),
                );
            }
            // SAFETY: as above; the last instruction is a register's disjunction with itself.
            #[cfg(target_arch = "aarch64")]
            unsafe {
                std::arch::asm!(
                    "ror x12, x12, #3", "ror x12, x12, #13", "ror x12, x12, #51", "ror x12, x12, #61",
                    "orr x10, x10, x10",
                    in("x4") &raw const arguments,
                    inout("x3") result,
                    out("x12") _,
                    options(nostack),
                );
            }
            result
        }
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        {
            0
        }
    }
}
