//! The blocking API on a TUN interface against the kernel's own TCP (`std::net`), in a network namespace of its own.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // the kernel's sockets are the peer

mod common;
#[path = "common/netns.rs"]
mod netns;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{
    IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket,
};
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::pattern;
use netns::inside_namespace;
use usernet_core::{ListenAddress, UdpOptions};
use usernet_device::{
    Device, DeviceInfo, Direction, Impaired, Impairment, Received, Tun, TunCounters, TunOptions,
    TxFrame, Wake,
};
use usernet_manager::{Config, Interface};

const KERNEL: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(198, 18, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1)),
];
const OURS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(198, 18, 0, 2)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2)),
];

/// A TUN with our interface on one side and the kernel's addresses on the other.
fn tun(offload: bool) -> Interface {
    start(open(offload))
}

fn open(offload: bool) -> Tun {
    open_with(&TunOptions { offload, ..TunOptions::default() })
}

fn open_with(options: &TunOptions) -> Tun {
    let mut tun = Tun::open(options).unwrap();
    tun.add_kernel_address(KERNEL[0], 24).unwrap();
    tun.add_kernel_address(KERNEL[1], 64).unwrap();
    tun
}

fn start(device: impl Device + 'static) -> Interface {
    Interface::builder(device).address("198.18.0.2/24").address("fd00::2/64").start().unwrap()
}

/// What went through a [`Watched`] device.
#[derive(Default)]
struct Seen {
    /// Frames that the kernel was to cut, and their segments.
    cut: AtomicU64,
    segments: AtomicU64,
    /// Bytes of the longest of them.
    longest: AtomicU64,
    /// Frames that the kernel had merged.
    merged: AtomicU64,
}

/// A TUN that counts super-segments.
struct Watched {
    tun: Tun,
    seen: Arc<Seen>,
}

impl Device for Watched {
    fn info(&self) -> DeviceInfo {
        self.tun.info()
    }

    fn recv(&mut self, buf: &mut [u8]) -> io::Result<Received> {
        let received = self.tun.recv(buf)?;
        self.seen.merged.fetch_add(u64::from(received.gso_size > 0), Ordering::Relaxed);
        Ok(received)
    }

    fn send(&mut self, frame: &TxFrame<'_>) -> io::Result<()> {
        self.tun.send(frame)?;
        if let Some(gso) = frame.gso {
            let data = frame.len() - frame.pieces[0].len();
            self.seen.longest.fetch_max(frame.len() as u64, Ordering::Relaxed);
            self.seen.cut.fetch_add(1, Ordering::Relaxed);
            let segments = data.div_ceil(usize::from(gso.size)) as u64;
            self.seen.segments.fetch_add(segments, Ordering::Relaxed);
        }
        Ok(())
    }

    fn fd(&self) -> Option<RawFd> {
        self.tun.fd()
    }

    fn set_waker(&mut self, waker: Arc<dyn Wake>) {
        self.tun.set_waker(waker);
    }
}

/// The kernel connects to `ours`, sends `data` and receives it reversed, all of which is checked.
fn exchange(interface: &Interface, ours: IpAddr, data: &[u8]) {
    let reversed: Vec<u8> = data.iter().rev().copied().collect();
    let listener = interface.bind(80).unwrap();
    thread::scope(|s| {
        s.spawn(|| {
            let mut stream = listener.accept().unwrap().0;
            let mut got = Vec::new();
            stream.read_to_end(&mut got).unwrap();
            assert!(got == data, "what the kernel uploads");
            stream.write_all(&reversed).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            stream.flush().unwrap();
        });
        let mut stream = TcpStream::connect(SocketAddr::new(ours, 80)).unwrap();
        stream.write_all(data).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut got = Vec::new();
        stream.read_to_end(&mut got).unwrap();
        assert!(got == reversed, "what the kernel downloads");
    });
}

#[test]
fn super_segments_cross_the_border_both_ways() {
    if !inside_namespace("super_segments_cross_the_border_both_ways") {
        return;
    }
    let data = pattern(16 << 20);
    for ours in OURS {
        let seen = Arc::new(Seen::default());
        let tun = open(true);
        let offload = tun.info().offload;
        assert!(
            offload.tx_checksum && offload.tso4 && offload.tso6,
            "the kernel grants {offload:?}"
        );
        let counters: TunCounters = tun.counters();
        let interface = start(Watched { tun, seen: Arc::clone(&seen) });
        exchange(&interface, ours, &data);
        let (cut, segments) =
            (seen.cut.load(Ordering::Relaxed), seen.segments.load(Ordering::Relaxed));
        // 16 MiB are some 11,600 segments: most of them travel many at a time.
        assert!(segments > 8_000 && segments > 4 * cut, "{segments} segments in {cut} frames");
        assert!(seen.merged.load(Ordering::Relaxed) > 100);
        // The kernel found every one of them right.
        let stats = counters.get();
        assert_eq!((stats.tx_refused, stats.tx_invalid, stats.rx_odd_header), (0, 0, 0));
    }
}

#[test]
fn segments_are_merged_and_cut_here_where_the_device_does_not() {
    if !inside_namespace("segments_are_merged_and_cut_here_where_the_device_does_not") {
        return;
    }
    let data = pattern(8 << 20);
    for (offload, coalesce) in [(false, true), (false, false), (true, true)] {
        let config = Config { coalesce, ..Config::default() };
        let builder = Interface::builder(open(offload)).config(config);
        let interface = builder.address("198.18.0.2/24").address("fd00::2/64").start().unwrap();
        for ours in OURS {
            let before = interface.stats();
            exchange(&interface, ours, &data);
            let stats = interface.stats();
            let merged = stats.tcp_in_coalesced - before.tcp_in_coalesced;
            let segments = stats.tcp_in_segs - before.tcp_in_segs;
            if offload || !coalesce {
                assert_eq!(merged, 0);
            } else {
                // 8 MiB are 5,900 segments: most come in the kernel's bursts.
                assert!(merged > 2000, "{merged} of {segments}");
                assert!(segments >= data.len() as u64 / 1460, "each counts: {segments}");
            }
            // What is cut, here or by the kernel, leaves the stack many segments at a time.
            let frames = stats.frames_out - before.frames_out;
            let sent = stats.tcp_out_segs - before.tcp_out_segs;
            if offload || coalesce {
                assert!(sent > 2 * frames, "{sent} segments in {frames} frames");
            } else {
                assert!(sent <= frames, "{sent} segments in {frames} frames");
            }
            assert_eq!(stats.tcp_in_csum_errors + stats.tcp_in_errs, 0);
        }
    }
}

#[test]
fn the_kernel_takes_segments_that_are_longer_than_packets() {
    if !inside_namespace("the_kernel_takes_segments_that_are_longer_than_packets") {
        return;
    }
    let data = pattern(8 << 20);
    for big_tcp in [true, false] {
        let seen = Arc::new(Seen::default());
        let tun = open_with(&TunOptions { big_tcp, ..TunOptions::default() });
        // Kernels before 6.3 do not know of them.
        let expected = tun.info().offload.big_tcp4;
        assert!(big_tcp || !expected);
        let counters = tun.counters();
        let interface = start(Watched { tun, seen: Arc::clone(&seen) });
        let longest = || seen.longest.load(Ordering::Relaxed);
        // They are for peers that answer within a millisecond, which a busy machine does not always let them do.
        for _ in 0..30 {
            exchange(&interface, OURS[0], &data);
            if longest() > 65_535 || !expected {
                break;
            }
        }
        assert_eq!(longest() > 65_535, expected, "{} bytes", longest());
        assert_eq!((counters.get().tx_refused, counters.get().tx_invalid), (0, 0));
    }
}

#[test]
fn an_impaired_tun_is_survived_and_changes_while_it_runs() {
    if !inside_namespace("an_impaired_tun_is_survived_and_changes_while_it_runs") {
        return;
    }
    let bad = Impairment {
        loss: 0.02,
        duplicate: 0.02,
        reorder: 0.02,
        reorder_by: Duration::from_millis(2),
        corrupt: 0.01,
        ..Impairment::default()
    };
    let device = Impaired::new(open(false), bad.clone(), bad, 1).unwrap();
    let handle = device.handle();
    let interface = start(device);
    let data = pattern(200_000);
    for ours in OURS {
        exchange(&interface, ours, &data);
    }
    for direction in [Direction::Transmit, Direction::Receive] {
        let stats = handle.stats(direction);
        assert!(stats.lost > 0 && stats.duplicated > 0 && stats.corrupted > 0, "{stats:?}");
        assert_eq!((stats.queue_dropped, stats.limit_dropped), (0, 0));
    }
    // From now on 30 ms each way and nothing else: a handshake takes 60 ms.
    let slow = Impairment { delay: Duration::from_millis(30), ..Impairment::default() };
    handle.set(Direction::Transmit, slow.clone()).unwrap();
    handle.set(Direction::Receive, slow).unwrap();
    let _listener = interface.bind(81).unwrap();
    let start = Instant::now();
    TcpStream::connect(SocketAddr::new(OURS[0], 81)).unwrap();
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(60), "{took:?}");
}

#[test]
fn kernel_clients_are_served_and_kernel_servers_reached() {
    if !inside_namespace("kernel_clients_are_served_and_kernel_servers_reached") {
        return;
    }
    for offload in [true, false] {
        let interface = tun(offload);
        let sent = pattern(8 << 20);
        let reversed: Vec<u8> = sent.iter().rev().copied().collect();
        let listener = interface.bind(80).unwrap();
        thread::scope(|s| {
            // We serve the kernel.
            s.spawn(|| {
                for stream in listener.incoming().take(2) {
                    let mut stream = stream.unwrap();
                    let mut got = Vec::new();
                    stream.read_to_end(&mut got).unwrap();
                    assert!(got == sent, "what the kernel uploads");
                    stream.write_all(&reversed).unwrap();
                    stream.shutdown(Shutdown::Write).unwrap();
                    stream.flush().unwrap();
                }
            });
            for ours in OURS {
                let mut stream = TcpStream::connect(SocketAddr::new(ours, 80)).unwrap();
                stream.write_all(&sent).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
                let mut got = Vec::new();
                stream.read_to_end(&mut got).unwrap();
                assert!(got == reversed, "what the kernel downloads");
            }
        });
        // The kernel serves us.
        for kernel in KERNEL {
            let listener = TcpListener::bind(SocketAddr::new(kernel, 0)).unwrap();
            let addr = listener.local_addr().unwrap();
            thread::scope(|s| {
                s.spawn(|| {
                    let (mut stream, _) = listener.accept().unwrap();
                    let mut got = Vec::new();
                    stream.read_to_end(&mut got).unwrap();
                    assert!(got == sent);
                    stream.write_all(&reversed).unwrap();
                });
                let mut stream = interface.connect(addr).unwrap();
                stream.write_all(&sent).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
                let mut got = Vec::new();
                stream.read_to_end(&mut got).unwrap();
                assert!(got == reversed);
            });
            drop(listener);
            assert_eq!(interface.connect(addr).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        }
        // One of many kernel clients is killed (RST); the others go on.
        let listener = interface.bind(81).unwrap();
        thread::scope(|s| {
            s.spawn(|| {
                thread::scope(|s| {
                    for stream in listener.incoming().take(21) {
                        s.spawn(move || {
                            let mut stream = stream.unwrap();
                            let mut buf = [0; 4096];
                            while let Ok(len @ 1..) = stream.read(&mut buf) {
                                if stream.write_all(&buf[..len]).is_err() {
                                    break;
                                }
                            }
                        });
                    }
                });
            });
            let mut victim = TcpStream::connect(SocketAddr::new(OURS[0], 81)).unwrap();
            victim.write_all(&[1; 100]).unwrap();
            victim.peek(&mut [0]).unwrap();
            // Unread data: the kernel resets.
            drop(victim);
            for i in 0..20u8 {
                s.spawn(move || {
                    let mut stream = TcpStream::connect(SocketAddr::new(OURS[1], 81)).unwrap();
                    for round in 0..20 {
                        let message = vec![i; 1 + 100 * round];
                        stream.write_all(&message).unwrap();
                        let mut echo = vec![0; message.len()];
                        stream.read_exact(&mut echo).unwrap();
                        assert_eq!(echo, message);
                    }
                });
            }
        });
        drop(listener);
        // A port that nobody listens on is answered.
        let error = TcpStream::connect(SocketAddr::new(OURS[0], 81)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert_eq!(interface.shard().stats().devices_lost, 0);
        assert_eq!(interface.stats().receive_memory, 0);
    }
}

#[test]
fn datagrams_sent_under_one_lock_cross_the_border_in_one_frame() {
    if !inside_namespace("datagrams_sent_under_one_lock_cross_the_border_in_one_frame") {
        return;
    }
    let interface = tun(true);
    let shard = interface.shard();
    for (kernel, ours) in KERNEL.into_iter().zip(OURS) {
        let socket = UdpSocket::bind((kernel, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let id = {
            let options = UdpOptions { address: ListenAddress::One(ours), ..UdpOptions::default() };
            shard.lock().udp_bind(options).unwrap()
        };
        let (data, mut buf, mut got) = (pattern(20_500), [0; 2000], Vec::new());
        // A new IPv6 address drops what comes for some milliseconds: offered again.
        for _ in 0..500 {
            let before = interface.stats();
            {
                let mut stack = shard.lock();
                let now = stack.now();
                let to = Some(socket.local_addr().unwrap());
                for part in data.chunks(1000) {
                    stack.udp_send_to(now, id, part, to, None).unwrap();
                }
            }
            let after = interface.stats();
            assert_eq!(after.udp_out_datagrams - before.udp_out_datagrams, 21);
            assert_eq!(after.udp_out_merged - before.udp_out_merged, 20);
            while got.len() < 21
                && let Ok(n) = socket.recv(&mut buf)
            {
                got.push(buf[..n].to_vec());
            }
            if !got.is_empty() {
                break;
            }
        }
        assert_eq!(got, data.chunks(1000).map(<[u8]>::to_vec).collect::<Vec<_>>());
    }
}
