//! What an idle connection costs: every byte that a stack allocates for it, tables included. Counted, not measured, so the
//! same on every machine; whoever adds to it has to say so here. Not beside the core, since an allocator that counts
//! takes `unsafe`, of which the core has none.
#![allow(unsafe_code, reason = "a counting allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use usernet_core::{
    Config, ConnectOptions, Instant, ListenAddress, ListenOptions, ListenerId, Secrets, SocketId,
    Stack,
};

/// Bytes that are allocated, rounded as the C library rounds them.
static LIVE: AtomicUsize = AtomicUsize::new(0);

fn rounded(layout: Layout) -> usize {
    (layout.size() + 8).next_multiple_of(16).max(32)
}

struct Counting;

// SAFETY: the system's allocator does the work, with the layouts that we are given.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(rounded(layout), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        LIVE.fetch_sub(rounded(layout), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Tables double: they are as full as can be when this many fit exactly.
const PAIRS: usize = 7000;

struct Net {
    stack: Stack,
    listener: ListenerId,
    now: Instant,
}

impl Net {
    fn new() -> Self {
        let config = Config { max_connections: 4 * PAIRS, ..Config::default() };
        let mut stack = Stack::new(config, Secrets::from_bytes(&[9; 64]), 9);
        let options = ListenOptions {
            address: ListenAddress::AnyV6 { only: false },
            port: 7,
            backlog: 16,
            options: None,
        };
        let listener = stack.tcp_listen(options).unwrap();
        Self { stack, listener, now: Instant::from_millis(1) }
    }

    fn spin(&mut self) {
        assert!(self.stack.poll_transmit(self.now).is_none());
        while self.stack.poll_event().is_some() {}
    }

    /// Connections over loopback, both ends.
    fn connect(&mut self, to: SocketAddr) -> (SocketId, SocketId) {
        let options =
            ConnectOptions { remote: to, local_addr: None, local_port: None, options: None };
        let client = self.stack.tcp_connect(self.now, options).unwrap();
        self.spin();
        let server = self.stack.tcp_accept(self.listener).unwrap().unwrap();
        // As servers do, to each.
        let set = self.stack.tcp_set_options(self.now, server, |options| options.nagle = false);
        assert_eq!(set, Ok(()));
        (client, server)
    }

    /// Time passes until nothing waits for it.
    fn rest(&mut self) {
        while let Some(at) = self.stack.poll_timeout() {
            self.now = self.now.max(at);
            self.stack.handle_timeout(self.now);
            self.spin();
        }
    }

    fn message(&mut self, (from, to): (SocketId, SocketId), len: usize) {
        let mut buf = vec![0; len];
        assert_eq!(self.stack.tcp_send(self.now, from, &buf, false), Ok(len));
        self.spin();
        let mut got = 0;
        while got < len {
            got += self.stack.tcp_recv(self.now, to, &mut buf).unwrap();
            self.spin();
        }
    }
}

/// One test, for what is counted is the process's.
#[test]
fn an_idle_connection_takes_little() {
    for (address, fresh, used) in [("127.0.0.1:7", 780, 1500), ("[::1]:7", 780, 1500)] {
        let to = address.parse().unwrap();
        let mut net = Net::new();
        let warm = net.connect(to);
        net.message(warm, 100);
        net.rest();
        let before = LIVE.load(Ordering::Relaxed);
        let mut pairs = Vec::with_capacity(PAIRS);
        let own = LIVE.load(Ordering::Relaxed) - before;
        for _ in 0..PAIRS {
            pairs.push(net.connect(to));
        }
        net.rest();
        let each = |own: usize| (LIVE.load(Ordering::Relaxed) - before - own) / (2 * PAIRS);
        println!("{address}: {} bytes", each(own));
        assert!(each(own) <= fresh, "a connection that never carried data takes {}", each(own));
        for pair in pairs.clone() {
            net.message(pair, 100);
            net.message((pair.1, pair.0), 10_000);
        }
        net.rest();
        println!("{address}: {} bytes after a request and an answer", each(own));
        assert!(each(own) <= used, "one that did, and is idle again, takes {}", each(own));
    }
}
