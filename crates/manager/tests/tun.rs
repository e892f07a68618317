//! The blocking API on a TUN interface against the kernel's own TCP (`std::net`), in a network namespace of its own.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // the kernel's sockets are the peer

mod common;
#[path = "common/netns.rs"]
mod netns;

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use common::pattern;
use netns::inside_namespace;
use usernet_device::{Tun, TunOptions};
use usernet_manager::Interface;

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
    let mut tun = Tun::open(&TunOptions { offload, ..TunOptions::default() }).unwrap();
    tun.add_kernel_address(KERNEL[0], 24).unwrap();
    tun.add_kernel_address(KERNEL[1], 64).unwrap();
    Interface::builder(tun).address("198.18.0.2/24").address("fd00::2/64").start().unwrap()
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
