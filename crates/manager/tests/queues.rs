//! A TUN with several queues, each driven by a shard of its own, against the kernel's TCP in a network namespace.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // the kernel's sockets are the peer

mod common;
#[path = "common/netns.rs"]
mod netns;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use common::pattern;
use netns::inside_namespace;
use usernet_device::{Device, DeviceInfo, OpenError, Received, Tun, TunOptions, TxFrame, Wake};
use usernet_manager::Interface;

const KERNEL: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(198, 18, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1)),
];
const OURS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(198, 18, 0, 2)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2)),
];
const CONNECTIONS: usize = 64;

fn open(queues: usize, offload: bool) -> Tun {
    let mut tun = Tun::open(&TunOptions { queues, offload, ..TunOptions::default() }).unwrap();
    tun.add_kernel_address(KERNEL[0], 24).unwrap();
    tun.add_kernel_address(KERNEL[1], 64).unwrap();
    tun
}

fn start(device: impl Device + 'static) -> Interface {
    Interface::builder(device).address("198.18.0.2/24").address("fd00::2/64").start().unwrap()
}

/// What connection `n` sends: the same bytes, beginning elsewhere.
fn bytes_of(n: usize, all: &[u8]) -> &[u8] {
    &all[n * 100..n * 100 + 200_000]
}

/// Sends one connection's bytes and takes another's, both ways at once.
fn exchange<S: Read + Write + Send>(
    mut stream: S,
    mut other: S,
    end: impl FnOnce(&S) -> io::Result<()> + Send,
    ours: &[u8],
    theirs: &[u8],
) {
    thread::scope(|s| {
        s.spawn(move || {
            stream.write_all(ours).unwrap();
            end(&stream).unwrap();
        });
        let mut got = Vec::new();
        other.read_to_end(&mut got).unwrap();
        assert!(got == theirs, "{} bytes of {}", got.len(), theirs.len());
    });
}

/// 64 connections of the kernel's to us, and as many of ours to the kernel, in turn over both families; every byte is
/// compared.
fn both_ways(interface: &Interface) {
    let all = pattern(300_000);
    let (ours, theirs): (Vec<u8>, &[u8]) = (all.iter().rev().copied().collect(), &all);
    let listener = interface.bind(80).unwrap();
    thread::scope(|s| {
        for _ in 0..CONNECTIONS {
            let (listener, ours) = (&listener, &ours);
            s.spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                // Which it is, it says first.
                let mut first = [0; 2];
                stream.read_exact(&mut first).unwrap();
                let n = usize::from(u16::from_be_bytes(first));
                let other = stream.try_clone().unwrap();
                let end = |s: &usernet_manager::TcpStream| s.shutdown(Shutdown::Write);
                exchange(stream, other, end, bytes_of(n, ours), bytes_of(n, theirs));
            });
        }
        for n in 0..CONNECTIONS {
            let ours = &ours;
            s.spawn(move || {
                let mut stream = TcpStream::connect(SocketAddr::new(OURS[n % 2], 80)).unwrap();
                stream.write_all(&(n as u16).to_be_bytes()).unwrap();
                let other = stream.try_clone().unwrap();
                let end = |s: &TcpStream| s.shutdown(Shutdown::Write);
                exchange(stream, other, end, bytes_of(n, theirs), bytes_of(n, ours));
            });
        }
    });
    for kernel in KERNEL {
        let listener = TcpListener::bind(SocketAddr::new(kernel, 0)).unwrap();
        let addr = listener.local_addr().unwrap();
        thread::scope(|s| {
            s.spawn(|| {
                for stream in listener.incoming().take(CONNECTIONS / 4) {
                    let (mut got, mut stream) = (Vec::new(), stream.unwrap());
                    stream.read_to_end(&mut got).unwrap();
                    stream.write_all(&got).unwrap();
                }
            });
            for n in 0..CONNECTIONS / 4 {
                let mut stream = interface.connect(addr).unwrap();
                assert_eq!(stream.peer_addr().unwrap(), addr);
                stream.write_all(bytes_of(n, &all)).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
                let mut got = Vec::new();
                stream.read_to_end(&mut got).unwrap();
                assert!(got == bytes_of(n, &all));
            }
        });
    }
    let error = TcpStream::connect(SocketAddr::new(OURS[0], 81)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

/// How many connections each shard has had.
fn shares(interface: &Interface) -> Vec<u64> {
    let stats = interface.shards().iter().map(|shard| shard.lock().stats());
    stats.map(|stats| stats.tcp_passive_opens + stats.tcp_active_opens).collect()
}

#[test]
fn every_byte_arrives_over_several_queues() {
    if !inside_namespace("every_byte_arrives_over_several_queues") {
        return;
    }
    for (queues, offload) in [(1, true), (2, true), (4, true), (2, false)] {
        let interface = start(open(queues, offload));
        both_ways(&interface);
        let shares = shares(&interface);
        assert_eq!(shares.len(), queues);
        // Of 96 connections a shard has 24 on average, and none but by a chance of 10^-12.
        assert!(shares.iter().all(|n| *n > 0), "{shares:?}");
        let (stats, handed) = (interface.stats(), interface.queue_stats());
        assert_eq!(stats.tcp_passive_opens + stats.tcp_active_opens, shares.iter().sum::<u64>());
        assert_eq!(stats.tcp_in_errs + stats.tcp_in_csum_errors + stats.receive_memory, 0);
        assert_eq!(handed.dropped, 0, "{handed:?}");
        // A kernel's SYN comes out of any queue; what follows comes where we answered.
        assert_eq!(handed.handed_over > 0, queues > 1, "{handed:?}");
        assert!(handed.handed_over < stats.frames_in / 2, "{handed:?} of {}", stats.frames_in);
    }
}

/// A queue that reads of one and writes to the next, so that the kernel always learns the wrong one.
struct Crossed {
    at: usize,
    queues: Arc<Vec<Mutex<Box<dyn Device>>>>,
}

impl Crossed {
    fn queue(&self, at: usize) -> std::sync::MutexGuard<'_, Box<dyn Device>> {
        self.queues[at % self.queues.len()].lock().unwrap()
    }
}

impl Device for Crossed {
    fn info(&self) -> DeviceInfo {
        self.queue(self.at).info()
    }

    fn recv(&mut self, buf: &mut [u8]) -> io::Result<Received> {
        self.queue(self.at).recv(buf)
    }

    fn send(&mut self, frame: &TxFrame<'_>) -> io::Result<()> {
        self.queue(self.at + 1).send(frame)
    }

    fn fd(&self) -> Option<RawFd> {
        self.queue(self.at).fd()
    }

    fn open_queues(&mut self) -> Result<Vec<Box<dyn Device>>, OpenError> {
        let other = |at| Box::new(Self { at, queues: self.queues.clone() }) as Box<dyn Device>;
        Ok((1..self.queues.len()).map(other).collect())
    }

    fn set_waker(&mut self, waker: Arc<dyn Wake>) {
        self.queue(self.at).set_waker(waker);
    }
}

#[test]
fn frames_on_the_wrong_queue_are_handed_over() {
    if !inside_namespace("frames_on_the_wrong_queue_are_handed_over") {
        return;
    }
    for queues in [2, 4] {
        let mut first: Box<dyn Device> = Box::new(open(queues, true));
        let others = first.open_queues().unwrap();
        let all = std::iter::once(first).chain(others).map(Mutex::new).collect();
        let interface = start(Crossed { at: 0, queues: Arc::new(all) });
        both_ways(&interface);
        let (stats, handed) = (interface.stats(), interface.queue_stats());
        assert!(handed.handed_over > stats.frames_in / 2, "{handed:?} of {}", stats.frames_in);
        assert!(shares(&interface).iter().all(|n| *n > 0));
    }
}

#[test]
fn closing_under_load_ends_everything() {
    if !inside_namespace("closing_under_load_ends_everything") {
        return;
    }
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = (threads(), descriptors());
    for _ in 0..3 {
        let interface = start(open(4, true));
        let listener = interface.bind(80).unwrap();
        thread::scope(|s| {
            let mut peers = Vec::new();
            for n in 0..16 {
                let stream = TcpStream::connect(SocketAddr::new(OURS[n % 2], 80)).unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                let (mut ours, _) = listener.accept().unwrap();
                s.spawn(move || while matches!(ours.read(&mut [0; 8192]), Ok(1..)) {});
                peers.push(stream);
            }
            // Somebody waits for a connection that does not come.
            s.spawn(|| assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::NotConnected));
            for mut peer in peers {
                s.spawn(move || while peer.write(&[1; 8192]).is_ok() {});
            }
            while interface.stats().frames_in < 2000 {
                thread::yield_now();
            }
            drop(interface);
        });
        drop(listener);
    }
    // The test's own threads end when they are joined, which the system may show a moment later.
    while threads() > before.0 {
        thread::yield_now();
    }
    assert_eq!(descriptors(), before.1);
}
