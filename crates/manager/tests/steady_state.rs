//! No allocation for a packet, a segment or an event once tables and queues have their size: every call of the allocator is counted
//! while connections and datagrams go on. Those of the peer, and of the device that this test makes up, are not.
#![allow(unsafe_code, reason = "a counting allocator")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // a device between two threads

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use usernet_core::{
    Config, ConnectOptions, InterfaceConfig, InterfaceId, IpCidr, ListenAddress, ListenOptions,
    RecvError, RxChecksum, RxFrame, Secrets, SocketId, Stack, UdpId, UdpOptions,
};
use usernet_device::{Device, DeviceInfo, Offload, Received, RxData, TxFrame, Wake};
use usernet_manager::{Shard, interface_config};

static COUNTS: AtomicBool = AtomicBool::new(false);
static CALLS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// What this thread does is not the stack's.
    static ASIDE: Cell<bool> = const { Cell::new(false) };
}

struct Counting;

impl Counting {
    fn count() {
        if COUNTS.load(Ordering::Relaxed) && !ASIDE.get() {
            CALLS.fetch_add(1, Ordering::Relaxed);
        }
    }
}

// SAFETY: the system's allocator does the work, with the layouts that we are given.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::count();
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::count();
        // SAFETY: as the caller promises.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Does what is not the stack's to count.
fn aside<R>(work: impl FnOnce() -> R) -> R {
    let before = ASIDE.replace(true);
    let result = work();
    ASIDE.set(before);
    result
}

const SERVER: [u8; 4] = [198, 18, 0, 2];
const CLIENT: [u8; 4] = [198, 18, 0, 1];
const PORT: u16 = 7;
const CONNECTIONS: usize = 64;
const MESSAGE: usize = 64;
const DATAGRAMS: usize = 8;
/// A super-segment.
const BULK: usize = 44 * 1448;

/// Frames on their way, with the size of a segment's parts.
type Frames = Arc<Mutex<VecDeque<(Vec<u8>, u16)>>>;

/// The stack's end of a wire.
struct End {
    incoming: Frames,
    outgoing: Frames,
}

impl Device for End {
    fn info(&self) -> DeviceInfo {
        let offload = Offload { tx_checksum: true, tso4: true, ..Offload::default() };
        DeviceInfo { name: "end".into(), mtu: 1500, max_frame: 70_000, offload }
    }

    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        aside(|| {
            let (frame, gso_size) =
                self.incoming.lock().unwrap().pop_front().ok_or(ErrorKind::WouldBlock)?;
            buffer[..frame.len()].copy_from_slice(&frame);
            let data = RxData::Buffer(frame.len());
            Ok(Received { data, checksum_trusted: true, gso_size })
        })
    }

    fn send(&mut self, frame: &TxFrame<'_>) -> io::Result<()> {
        aside(|| {
            let size = frame.gso.map_or(0, |gso| gso.size);
            self.outgoing.lock().unwrap().push_back((frame.pieces.concat(), size));
        });
        Ok(())
    }

    fn set_waker(&mut self, _: Arc<dyn Wake>) {}
}

/// A kernel at the other end of the wire, so to say.
struct Peer {
    stack: Stack,
    interface: InterfaceId,
}

/// A shard that an event loop drives, the peer, and what both have open.
struct Net {
    shard: Arc<Shard>,
    peer: Peer,
    incoming: Frames,
    outgoing: Frames,
    /// Connections: the peer's socket and the shard's.
    open: Vec<(SocketId, SocketId)>,
    datagrams: (UdpId, UdpId),
    buffer: Vec<u8>,
}

impl Net {
    fn new() -> Self {
        let mut config = Config { loopback: false, ..Config::default() };
        config.socket.nagle = false;
        let (incoming, outgoing) = (Frames::default(), Frames::default());
        let end = End { incoming: incoming.clone(), outgoing: outgoing.clone() };
        let secrets = Secrets::from_bytes(&[2; 64]);
        let shard = Shard::with_secrets(config.clone(), secrets, 2).unwrap();
        let prefix = |addr: [u8; 4]| vec![IpCidr { addr: addr.into(), prefix_len: 24 }];
        let interface = interface_config(&end.info(), prefix(SERVER));
        shard.add_device(Box::new(end), interface).unwrap();

        let mut stack = Stack::new(config, Secrets::from_bytes(&[1; 64]), 1);
        let offload = usernet_core::Offload { tx_checksum: true, tso4: true, ..Default::default() };
        let interface =
            InterfaceConfig { offload, addresses: prefix(CLIENT), ..Default::default() };
        let interface = stack.add_interface(shard.now(), interface).unwrap();
        let options = || UdpOptions { port: PORT, ..UdpOptions::default() };
        let datagrams =
            (stack.udp_bind(options()).unwrap(), shard.lock().udp_bind(options()).unwrap());
        let mut net = Self {
            shard,
            peer: Peer { stack, interface },
            incoming,
            outgoing,
            open: Vec::new(),
            datagrams,
            buffer: vec![7; BULK],
        };
        net.connect();
        net
    }

    fn connect(&mut self) {
        let listen = ListenOptions {
            address: ListenAddress::AnyV4,
            port: PORT,
            backlog: CONNECTIONS,
            options: None,
        };
        let listener = self.shard.lock().tcp_listen(listen).unwrap();
        for _ in 0..CONNECTIONS {
            let remote = SocketAddr::from((SERVER, PORT));
            let options =
                ConnectOptions { remote, local_addr: None, local_port: None, options: None };
            let ours = self.peer.stack.tcp_connect(self.shard.now(), options).unwrap();
            let theirs = loop {
                self.carry();
                if let Some(theirs) = self.shard.lock().tcp_accept(listener).unwrap() {
                    break theirs;
                }
            };
            self.open.push((ours, theirs));
        }
    }

    /// Carries what there is both ways, and has the loop turn.
    fn carry(&mut self) {
        let now = self.shard.now();
        aside(|| {
            let Peer { stack, interface } = &mut self.peer;
            for (frame, gso_size) in self.outgoing.lock().unwrap().drain(..) {
                let checksum = RxChecksum::Trusted;
                let frame = RxFrame { checksum, gso_size, ..RxFrame::new(frame) };
                stack.handle_frame(now, *interface, frame);
            }
            stack.handle_timeout(now);
            while stack.poll_event().is_some() {}
            while let Some(transmit) = stack.poll_transmit(now) {
                let size = transmit.gso.map_or(0, |gso| gso.size);
                self.incoming.lock().unwrap().push_back((transmit.to_vec(), size));
            }
        });
        self.shard.drive_from_loop();
        let mut guard = self.shard.lock();
        while guard.poll_event().is_some() {}
    }

    fn peer_sends(&mut self, socket: SocketId, len: usize) {
        let now = self.shard.now();
        let sent = aside(|| self.peer.stack.tcp_send(now, socket, &self.buffer[..len], false));
        assert_eq!(sent, Ok(len));
    }

    fn peer_reads(&mut self, socket: SocketId, len: usize) {
        let mut got = 0;
        while got < len {
            let now = self.shard.now();
            match aside(|| self.peer.stack.tcp_recv(now, socket, &mut self.buffer)) {
                Ok(n) => got += n,
                Err(RecvError::WouldBlock) => self.carry(),
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(got, len);
    }

    /// Each connection's request is answered within one turn of the loop.
    fn round_trips(&mut self) {
        let open = std::mem::take(&mut self.open);
        for &(ours, _) in &open {
            self.peer_sends(ours, MESSAGE);
        }
        for &(_, theirs) in &open {
            loop {
                let mut guard = self.shard.lock_on_loop();
                let now = guard.now();
                match guard.tcp_recv(now, theirs, &mut self.buffer) {
                    Ok(got) => {
                        assert_eq!(got, MESSAGE);
                        let sent = guard.tcp_send(now, theirs, &self.buffer[..MESSAGE], false);
                        assert_eq!(sent, Ok(MESSAGE));
                        break;
                    }
                    Err(error) => assert_eq!(error, RecvError::WouldBlock),
                }
                drop(guard);
                self.carry();
            }
        }
        self.shard.flush();
        for &(ours, _) in &open {
            self.peer_reads(ours, MESSAGE);
        }
        self.open = open;
    }

    fn bulk_in(&mut self) {
        let (ours, theirs) = self.open[0];
        self.peer_sends(ours, BULK);
        let mut got = 0;
        while got < BULK {
            self.carry();
            let mut guard = self.shard.lock();
            let now = guard.now();
            while let Some(piece) = guard.tcp_take_piece(now, theirs, |_| true).unwrap() {
                got += piece.len();
            }
        }
    }

    fn bulk_out(&mut self) {
        let (ours, theirs) = self.open[0];
        let mut guard = self.shard.lock();
        let now = guard.now();
        assert_eq!(guard.tcp_send(now, theirs, &self.buffer, false), Ok(BULK));
        drop(guard);
        self.peer_reads(ours, BULK);
    }

    /// A few datagrams at once and their answers.
    fn datagrams(&mut self) {
        let (ours, theirs) = self.datagrams;
        let (now, to) = (self.shard.now(), Some(SocketAddr::from((SERVER, PORT))));
        for _ in 0..DATAGRAMS {
            aside(|| self.peer.stack.udp_send_to(now, ours, &self.buffer[..MESSAGE], to, None))
                .unwrap();
        }
        let mut left = DATAGRAMS;
        while left > 0 {
            self.carry();
            left -= self.answer(theirs);
        }
        let mut left = DATAGRAMS;
        while left > 0 {
            self.carry();
            left -= self.read_answers(ours);
        }
    }

    /// Answers what came; how many that were.
    fn answer(&self, socket: UdpId) -> usize {
        let mut guard = self.shard.lock();
        let (now, mut count) = (guard.now(), 0);
        while let Ok(datagram) = guard.udp_recv_from(socket) {
            guard.udp_send_to(now, socket, &datagram.payload, Some(datagram.from), None).unwrap();
            count += 1;
        }
        count
    }

    /// The peer reads what came; how many that were.
    fn read_answers(&mut self, socket: UdpId) -> usize {
        aside(|| {
            let answers = std::iter::from_fn(|| self.peer.stack.udp_recv_from(socket).ok());
            answers.inspect(|answer| assert_eq!(answer.payload.len(), MESSAGE)).count()
        })
    }
}

/// Runs `work` often until everything has its size, and then as often again; calls of the allocator in the second half.
fn allocations(net: &mut Net, times: usize, mut work: impl FnMut(&mut Net)) -> usize {
    for _ in 0..times {
        work(net);
    }
    CALLS.store(0, Ordering::Relaxed);
    COUNTS.store(true, Ordering::Relaxed);
    for _ in 0..times {
        work(net);
    }
    COUNTS.store(false, Ordering::Relaxed);
    CALLS.load(Ordering::Relaxed)
}

// One test, since what others allocate at the same time would be counted.
#[test]
fn nothing_is_allocated_for_packets_segments_and_events() {
    type Work = fn(&mut Net);
    let mut net = Net::new();
    let paths: [(&str, usize, Work); 4] = [
        ("round trips of 64 connections", 500, Net::round_trips),
        ("bulk in", 2000, Net::bulk_in),
        ("bulk out", 2000, Net::bulk_out),
        ("eight datagrams and their answers", 2000, Net::datagrams),
    ];
    for (name, times, work) in paths {
        let calls = allocations(&mut net, times, work);
        println!("{name}: {calls} calls of the allocator in {times} times");
        // A table may get its last size late; what is allocated for each would be as many as there were, or more.
        assert!(calls <= times / 100, "{name}: {calls} in {times} times");
    }
}
