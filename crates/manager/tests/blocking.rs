//! The blocking API, between two interfaces in this process.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // threads are what is tested

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use common::{Mode, pair, pair_with, pattern};
use usernet_manager::{Config, Interface, KeepAlive, SocketOptions, TcpStream};

/// Longer than anything here takes, shorter than anyone waits.
const LONG: Duration = Duration::from_secs(30);

/// Long enough to see that something does not happen.
const SHORT: Duration = Duration::from_millis(50);

fn v4(port: u16) -> SocketAddr {
    SocketAddr::from(([198, 18, 0, 2], port))
}

fn v6(port: u16) -> SocketAddr {
    SocketAddr::from(([0xfd00, 0, 0, 0, 0, 0, 0, 2], port))
}

/// A connection between two interfaces: client's end, server's end.
fn connected(client: &Interface, server: &Interface) -> (TcpStream, TcpStream) {
    let listener = server.bind(0).unwrap();
    let port = listener.local_addr().unwrap().port();
    let ours = client.connect_timeout(v4(port), LONG).unwrap();
    let (theirs, peer) = listener.accept().unwrap();
    assert_eq!(peer, ours.local_addr().unwrap());
    (ours, theirs)
}

/// Bytes of each queue of [`small_buffers`].
const BUFFER: usize = 4096;

/// Buffers so small that they are full soon.
fn small_buffers() -> Config {
    let socket = SocketOptions {
        recv_buffer: BUFFER.into(),
        send_buffer: BUFFER.into(),
        ..Default::default()
    };
    Config { socket, ..Config::default() }
}

/// Writes until the peer's receive queue and our send queue (of [`small_buffers`]) are full.
fn fill(ours: &mut TcpStream, theirs: &TcpStream) -> usize {
    ours.set_nonblocking(true).unwrap();
    let mut written = 0;
    let end = Instant::now() + LONG;
    while written < 2 * BUFFER {
        assert!(Instant::now() < end, "{:?}, peer {:?}", ours.info(), theirs.info());
        match ours.write(&[1; 1000]) {
            Ok(len) => written += len,
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::WouldBlock);
                thread::yield_now();
            }
        }
    }
    assert_eq!(ours.write(&[1]).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(theirs.info().unwrap().recv_queue as usize, BUFFER);
    ours.set_nonblocking(false).unwrap();
    written
}

#[test]
fn both_families_carry_data_both_ways() {
    let (_wire, client, server) = pair();
    let listener = server.bind(80).unwrap();
    assert_eq!(listener.local_addr().unwrap(), "[::]:80".parse().unwrap());
    thread::scope(|s| {
        s.spawn(|| {
            for _ in 0..2 {
                let (mut stream, peer) = listener.accept().unwrap();
                assert_eq!(stream.peer_addr().unwrap(), peer);
                let mut request = Vec::new();
                stream.read_to_end(&mut request).unwrap();
                request.reverse();
                stream.write_all(&request).unwrap();
            }
        });
        for addr in [v4(80), v6(80)] {
            let mut stream = client.connect(addr).unwrap();
            assert_eq!(stream.peer_addr().unwrap(), addr);
            assert_eq!(stream.local_addr().unwrap().is_ipv4(), addr.is_ipv4());
            let sent = pattern(300_000);
            let reader = stream.try_clone().unwrap();
            stream.write_all(&sent).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut reply = Vec::new();
            (&reader).read_to_end(&mut reply).unwrap();
            reply.reverse();
            assert!(reply == sent);
        }
    });
}

#[test]
fn two_threads_serve_two_ports_and_many_connections_each() {
    const CLIENTS: usize = 32;
    let (_wire, client, server) = pair();
    thread::scope(|s| {
        for port in [7, 8] {
            let listener = server.bind(port).unwrap();
            s.spawn(move || {
                thread::scope(|s| {
                    for stream in listener.incoming().take(CLIENTS) {
                        let mut stream = stream.unwrap();
                        s.spawn(move || {
                            let mut buf = [0; 4096];
                            loop {
                                let len = stream.read(&mut buf).unwrap();
                                if len == 0 {
                                    break;
                                }
                                let reply: Vec<u8> =
                                    buf[..len].iter().map(|b| b.wrapping_add(port as u8)).collect();
                                stream.write_all(&reply).unwrap();
                            }
                        });
                    }
                });
            });
        }
        for i in 0..CLIENTS {
            for port in [7, 8] {
                let client = &client;
                s.spawn(move || {
                    let mut stream =
                        client.connect(if i % 2 == 0 { v4(port) } else { v6(port) }).unwrap();
                    for round in 0..10 {
                        let sent = vec![(i + round) as u8; 100 + i * round];
                        stream.write_all(&sent).unwrap();
                        let mut reply = vec![0; sent.len()];
                        stream.read_exact(&mut reply).unwrap();
                        assert!(
                            reply
                                .iter()
                                .all(|b| *b == ((i + round) as u8).wrapping_add(port as u8))
                        );
                    }
                });
            }
        }
    });
}

#[test]
fn a_port_is_bound_once_and_free_again_when_the_listener_is_dropped() {
    let (_wire, client, server) = pair();
    let listener = server.bind(80).unwrap();
    let error = server.bind(80).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert_eq!(server.bind_addr(v4(80)).unwrap_err().kind(), ErrorKind::AddrInUse);
    let clone = listener.try_clone().unwrap();
    drop(listener);
    assert_eq!(server.bind(80).unwrap_err().kind(), ErrorKind::AddrInUse, "a clone has it still");
    drop(clone);
    let listener = server.bind_addr(v4(80)).unwrap();
    assert_eq!(listener.local_addr().unwrap(), v4(80));
    client.connect(v4(80)).unwrap();
    assert_eq!(client.connect(v6(80)).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    let foreign = "198.18.0.77:80".parse().unwrap();
    assert_eq!(server.bind_addr(foreign).unwrap_err().kind(), ErrorKind::AddrNotAvailable);
    let free = server.bind(0).unwrap().local_addr().unwrap().port();
    assert_ne!(free, 0);
}

#[test]
fn connecting_fails_as_with_std() {
    let (wire, client, server) = pair();
    assert_eq!(client.connect(v4(9)).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert_eq!(
        client.connect_timeout(v4(9), Duration::ZERO).unwrap_err().kind(),
        ErrorKind::InvalidInput
    );
    let nowhere = "192.0.2.1:80".parse().unwrap();
    assert_eq!(client.connect(nowhere).unwrap_err().kind(), ErrorKind::NetworkUnreachable);
    assert_eq!(client.connect(v4(0)).unwrap_err().kind(), ErrorKind::InvalidInput);
    let _listener = server.bind(80).unwrap();
    wire.set(Mode::Cut);
    let start = Instant::now();
    let error = client.connect_timeout(v4(80), SHORT).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(start.elapsed() >= SHORT);
    assert_eq!(client.stats().connections, 0, "what was tried is let go");
}

#[test]
fn a_default_route_leads_beyond_the_link() {
    let (_wire, a, b) = common::Wire::new(true);
    let _router = Interface::builder(a)
        .address("198.18.0.1/24")
        .address("192.0.2.1/32")
        .address("fd00::1/64")
        .address("2001:db8::1/128")
        .start()
        .unwrap();
    let host = Interface::builder(b)
        .address("198.18.0.2/24")
        .address("fd00::2/64")
        .route("default", [198, 18, 0, 1])
        .route("default", [0xfd00, 0, 0, 0, 0, 0, 0, 1])
        .start()
        .unwrap();
    for addr in ["192.0.2.1:80", "[2001:db8::1]:80"] {
        let error = host.connect(addr.parse().unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{addr} has answered");
    }
}

#[test]
fn wrong_settings_are_named_with_the_remedy() {
    let start = |address: &str| {
        let (_wire, a, _b) = common::Wire::new(true);
        Interface::builder(a).address(address).start().unwrap_err()
    };
    for address in ["198.18.0.2/33", "198.18.0/24", "fd00::2/x", "224.0.0.1/24"] {
        let error = start(address);
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(address), "{error}");
    }
    let (_wire, a, _b) = common::Wire::new(true);
    let builder = Interface::builder(a).address("198.18.0.2/24");
    let error = builder.route("default", [192, 0, 2, 1]).start().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("192.0.2.1"), "{error}");
}

#[test]
fn loopback_needs_no_device() {
    let interface = Interface::loopback(Config::default()).unwrap();
    let listener = interface.bind(80).unwrap();
    for addr in ["127.0.0.1:80", "127.1.2.3:80", "[::1]:80"] {
        let mut client = interface.connect(addr.parse().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let sent = pattern(200_000);
        thread::scope(|s| {
            s.spawn(|| {
                client.write_all(&sent).unwrap();
                client.shutdown(Shutdown::Write).unwrap();
            });
            let mut got = Vec::new();
            server.read_to_end(&mut got).unwrap();
            assert!(got == sent);
        });
    }
    assert_eq!(interface.add_address("198.18.0.1/24").unwrap_err().kind(), ErrorKind::NotConnected);
}

#[test]
fn non_blocking_calls_do_not_wait() {
    let (_wire, client, server) = pair_with(small_buffers());
    let listener = server.bind(80).unwrap();
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    let mut ours = client.connect(v4(80)).unwrap();
    listener.set_nonblocking(false).unwrap();
    let (mut theirs, _) = listener.accept().unwrap();
    theirs.set_nonblocking(true).unwrap();
    let mut buf = [0; 100];
    assert_eq!(theirs.read(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(theirs.peek(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
    let written = fill(&mut ours, &theirs);
    ours.set_nonblocking(true).unwrap();
    assert_eq!(ours.write(&[1]).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(ours.flush().unwrap_err().kind(), ErrorKind::WouldBlock);
    ours.set_nonblocking(false).unwrap();
    theirs.set_nonblocking(false).unwrap();
    theirs.read_exact(&mut vec![0; written]).unwrap();
    ours.flush().unwrap();
}

#[test]
fn timeouts_end_waiting_and_zero_is_refused() {
    let (_wire, client, server) = pair_with(small_buffers());
    let (mut ours, theirs) = connected(&client, &server);
    for refused in
        [ours.set_read_timeout(Some(Duration::ZERO)), ours.set_write_timeout(Some(Duration::ZERO))]
    {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    assert_eq!(ours.read_timeout().unwrap(), None);
    ours.set_read_timeout(Some(SHORT)).unwrap();
    assert_eq!(ours.read_timeout().unwrap(), Some(SHORT));
    let start = Instant::now();
    assert_eq!(ours.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert!(start.elapsed() >= SHORT && start.elapsed() < LONG);
    fill(&mut ours, &theirs);
    ours.set_write_timeout(Some(SHORT)).unwrap();
    for call in [|s: &mut TcpStream| s.write(&[0]).map(drop), |s: &mut TcpStream| s.flush()] {
        let start = Instant::now();
        assert_eq!(call(&mut ours).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(start.elapsed() >= SHORT && start.elapsed() < LONG);
    }
    // A duration too long for the clock is no timeout, and no panic.
    ours.set_read_timeout(Some(Duration::MAX)).unwrap();
    ours.set_nonblocking(true).unwrap();
    assert_eq!(ours.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn write_waits_for_room_and_goes_on_when_the_peer_reads() {
    let (_wire, client, server) = pair_with(small_buffers());
    let (mut ours, mut theirs) = connected(&client, &server);
    let sent = pattern(100_000);
    thread::scope(|s| {
        let writer = s.spawn(|| {
            ours.write_all(&sent).unwrap();
            drop(ours);
        });
        let mut got = vec![0; 10];
        theirs.read_exact(&mut got).unwrap();
        assert!(!writer.is_finished(), "100,000 bytes do not fit two queues of 4,096");
        theirs.read_to_end(&mut got).unwrap();
        assert!(got == sent);
    });
}

#[test]
fn flush_returns_when_everything_is_acknowledged() {
    let (wire, client, server) = pair();
    let (mut ours, mut theirs) = connected(&client, &server);
    ours.flush().unwrap();
    wire.set(Mode::Cut);
    ours.write_all(b"hello").unwrap();
    ours.set_write_timeout(Some(SHORT)).unwrap();
    assert_eq!(ours.flush().unwrap_err().kind(), ErrorKind::WouldBlock);
    ours.set_write_timeout(None).unwrap();
    thread::scope(|s| {
        // Two wait for it at once.
        let flushers = [(); 2].map(|()| {
            let mut stream = ours.try_clone().unwrap();
            s.spawn(move || stream.flush().unwrap())
        });
        wire.set(Mode::Up);
        for flusher in flushers {
            flusher.join().unwrap();
        }
    });
    assert_eq!(ours.info().unwrap().bytes_acked, 5);
    theirs.read_exact(&mut [0; 5]).unwrap();
    ours.shutdown(Shutdown::Write).unwrap();
    ours.flush().unwrap();
    assert_eq!(theirs.read(&mut [0]).unwrap(), 0);
}

#[test]
fn half_closed_connections_carry_the_other_way() {
    let (_wire, client, server) = pair();
    let (mut ours, mut theirs) = connected(&client, &server);
    ours.write_all(b"question").unwrap();
    ours.shutdown(Shutdown::Write).unwrap();
    assert_eq!(ours.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
    let mut question = String::new();
    theirs.read_to_string(&mut question).unwrap();
    assert_eq!(question, "question");
    assert_eq!(theirs.read(&mut [0]).unwrap(), 0, "the end stays the end");
    let answer = pattern(500_000);
    thread::scope(|s| {
        s.spawn(|| {
            theirs.write_all(&answer).unwrap();
            drop(theirs);
        });
        let mut got = Vec::new();
        ours.read_to_end(&mut got).unwrap();
        assert!(got == answer);
    });
}

#[test]
fn shutdown_of_reading_ends_a_read_that_waits() {
    let (_wire, client, server) = pair();
    let (ours, mut theirs) = connected(&client, &server);
    for _ in 0..20 {
        let barrier = Barrier::new(2);
        thread::scope(|s| {
            let reading = s.spawn(|| {
                barrier.wait();
                (&ours).read(&mut [0]).unwrap()
            });
            barrier.wait();
            ours.shutdown(Shutdown::Read).unwrap();
            assert_eq!(reading.join().unwrap(), 0);
        });
    }
    (&ours).write_all(b"still").unwrap();
    theirs.read_exact(&mut [0; 5]).unwrap();
}

#[test]
fn a_dropped_stream_delivers_what_was_written() {
    let (_wire, client, server) = pair();
    let (mut ours, mut theirs) = connected(&client, &server);
    let sent = pattern(700_000);
    ours.write_all(&sent).unwrap();
    drop(ours);
    let mut got = Vec::new();
    theirs.read_to_end(&mut got).unwrap();
    assert!(got == sent);
    drop(theirs);
    let end = Instant::now() + LONG;
    while server.stats().connections > 0 {
        assert!(Instant::now() < end, "{:?}", server.stats());
        thread::yield_now();
    }
    assert_eq!(server.stats().receive_memory, 0);
}

#[test]
fn a_stream_dropped_with_unread_data_is_reset() {
    let (_wire, client, server) = pair();
    let (mut ours, theirs) = connected(&client, &server);
    ours.write_all(b"unread").unwrap();
    ours.flush().unwrap();
    drop(theirs);
    assert_eq!(ours.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(ours.take_error().unwrap().map(|e| e.kind()), None, "it was given already");
    assert_eq!(ours.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[test]
fn a_reset_is_an_error_once() {
    let (_wire, client, server) = pair();
    let (ours, theirs) = connected(&client, &server);
    assert!(ours.take_error().unwrap().is_none());
    theirs.reset();
    let end = Instant::now() + LONG;
    let error = loop {
        if let Some(error) = ours.take_error().unwrap() {
            break error;
        }
        assert!(Instant::now() < end);
        thread::yield_now();
    };
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(ours.take_error().unwrap().is_none());
}

#[test]
fn a_dropped_listener_resets_what_was_not_accepted() {
    let (_wire, client, server) = pair();
    let listener = server.bind(80).unwrap();
    let mut accepted = client.connect(v4(80)).unwrap();
    let (mut theirs, _) = listener.accept().unwrap();
    let mut pending = client.connect(v4(80)).unwrap();
    drop(listener);
    assert_eq!(pending.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(client.connect(v4(80)).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    accepted.write_all(b"ok").unwrap();
    theirs.read_exact(&mut [0; 2]).unwrap();
}

#[test]
fn peeking_takes_nothing() {
    let (_wire, client, server) = pair();
    let (mut ours, mut theirs) = connected(&client, &server);
    ours.write_all(b"abc").unwrap();
    let mut buf = [0; 8];
    while theirs.peek(&mut buf).unwrap() < 3 {}
    assert_eq!(theirs.peek(&mut buf).unwrap(), 3);
    assert_eq!(theirs.read(&mut buf).unwrap(), 3);
    assert_eq!(&buf[..3], b"abc");
    assert_eq!(theirs.read(&mut []).unwrap(), 0);
    assert_eq!(ours.write(&[]).unwrap(), 0);
}

#[test]
fn vectored_writes_keep_their_order() {
    let (_wire, client, server) = pair_with(small_buffers());
    let (mut ours, mut theirs) = connected(&client, &server);
    let sent = pattern(30_000);
    thread::scope(|s| {
        s.spawn(|| {
            let mut at = 0;
            while at < sent.len() {
                let pieces: Vec<_> =
                    sent[at..].chunks(777).take(5).map(std::io::IoSlice::new).collect();
                at += ours.write_vectored(&pieces).unwrap();
            }
            drop(ours);
        });
        let mut got = Vec::new();
        theirs.read_to_end(&mut got).unwrap();
        assert!(got == sent);
    });
}

#[test]
fn options_are_kept_and_checked() {
    let (_wire, client, server) = pair();
    let (ours, _theirs) = connected(&client, &server);
    assert!(!ours.nodelay().unwrap());
    ours.set_nodelay(true).unwrap();
    assert!(ours.nodelay().unwrap());
    ours.set_ttl(9).unwrap();
    assert_eq!(ours.ttl().unwrap(), 9);
    for ttl in [0, 256] {
        assert_eq!(ours.set_ttl(ttl).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    ours.set_keepalive(Some(KeepAlive::default())).unwrap();
    assert_eq!(ours.info().unwrap().state.as_str(), "ESTABLISHED");
}

#[test]
fn dropping_the_interface_ends_every_wait_with_an_error() {
    for round in 0..10 {
        let (wire, client, server) = pair_with(small_buffers());
        let (mut ours, theirs) = connected(&client, &server);
        let listener = client.bind(80).unwrap();
        fill(&mut ours, &theirs);
        // Half of the rounds cannot even say good-bye.
        wire.set(if round % 2 == 0 { Mode::Cut } else { Mode::Up });
        let barrier = Barrier::new(5);
        thread::scope(|s| {
            let (ours, listener, barrier) = (&ours, &listener, &barrier);
            let waits: [Box<dyn FnOnce() -> std::io::Error + Send>; 4] = [
                Box::new(|| (&*ours).read(&mut [0]).unwrap_err()),
                Box::new(|| (&*ours).write_all(&vec![0; 100_000]).unwrap_err()),
                Box::new(|| (&*ours).flush().unwrap_err()),
                Box::new(|| listener.accept().unwrap_err()),
            ];
            let waits = waits.map(|wait| {
                s.spawn(move || {
                    barrier.wait();
                    wait()
                })
            });
            barrier.wait();
            drop(client);
            for wait in waits {
                assert_eq!(wait.join().unwrap().kind(), ErrorKind::NotConnected);
            }
        });
        // What outlives it gives errors, and is dropped without harm.
        assert_eq!(ours.local_addr().unwrap_err().kind(), ErrorKind::NotConnected);
        assert_eq!(ours.info().unwrap_err().kind(), ErrorKind::NotConnected);
        assert_eq!(listener.local_addr().unwrap_err().kind(), ErrorKind::NotConnected);
        let mut theirs = theirs;
        if round % 2 == 1 {
            let error = std::iter::repeat_with(|| theirs.read(&mut [0; 4096]))
                .find_map(Result::err)
                .expect("an endless iterator");
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "the peer was told");
        }
    }
}

#[test]
fn connecting_ends_when_the_interface_is_closed() {
    let (wire, client, _server) = pair();
    wire.set(Mode::Cut);
    let barrier = Barrier::new(2);
    thread::scope(|s| {
        let connecting = s.spawn(|| {
            barrier.wait();
            client.connect(v4(80)).unwrap_err()
        });
        barrier.wait();
        client.shard().close();
        assert_eq!(connecting.join().unwrap().kind(), ErrorKind::NotConnected);
    });
    assert_eq!(client.bind(1).unwrap_err().kind(), ErrorKind::NotConnected);
    assert_eq!(client.connect(v4(1)).unwrap_err().kind(), ErrorKind::NotConnected);
}

#[test]
fn threads_that_use_both_ends_at_once_do_not_lock_each_other_out() {
    // Each interface transmits on the threads of its users, which wakes the other's packet thread.
    let (_wire, a, b) = pair();
    let streams: Vec<_> = (0..4).map(|_| connected(&a, &b)).collect();
    let sent = pattern(1_000_000);
    thread::scope(|s| {
        for (x, y) in &streams {
            for (from, to) in [(x, y), (y, x)] {
                let sent = &sent;
                s.spawn(move || {
                    (&mut &*from).write_all(sent).unwrap();
                    from.shutdown(Shutdown::Write).unwrap();
                });
                s.spawn(move || {
                    let mut got = Vec::new();
                    (&mut &*to).read_to_end(&mut got).unwrap();
                    assert!(got == *sent);
                });
            }
        }
    });
}

#[test]
fn a_peer_that_stops_reading_for_long_loses_nothing() {
    let (_wire, client, server) = pair_with(small_buffers());
    let (mut ours, mut theirs) = connected(&client, &server);
    let written = fill(&mut ours, &theirs);
    let writer = thread::spawn(move || {
        ours.write_all(&vec![2; 50_000]).unwrap();
    });
    let mut got = Vec::new();
    theirs.read_to_end(&mut got).unwrap();
    writer.join().unwrap();
    assert_eq!(got.len(), written + 50_000);
    assert!(got[..written].iter().all(|b| *b == 1) && got[written..].iter().all(|b| *b == 2));
}

#[test]
fn every_byte_arrives_over_a_wire_that_loses_doubles_and_swaps_frames() {
    let (wire, client, server) = pair();
    wire.set(Mode::Lossy);
    let listener = server.bind(80).unwrap();
    let sent = pattern(400_000);
    thread::scope(|s| {
        s.spawn(|| {
            for stream in listener.incoming().take(4) {
                let mut stream = stream.unwrap();
                s.spawn(move || {
                    let mut buf = [0; 4096];
                    while let len @ 1.. = stream.read(&mut buf).unwrap() {
                        stream.write_all(&buf[..len]).unwrap();
                    }
                });
            }
        });
        for i in 0..4 {
            let stream = client.connect(if i % 2 == 0 { v4(80) } else { v6(80) }).unwrap();
            let sent = &sent;
            s.spawn(move || {
                thread::scope(|s| {
                    s.spawn(|| {
                        (&stream).write_all(sent).unwrap();
                        (&stream).flush().unwrap();
                        stream.shutdown(Shutdown::Write).unwrap();
                    });
                    let mut got = Vec::new();
                    (&stream).read_to_end(&mut got).unwrap();
                    assert!(got == *sent);
                    assert!(stream.info().unwrap().retrans > 0, "something was lost");
                });
            });
        }
    });
}

#[test]
fn fast_open_brings_the_first_data_on_the_syn() {
    let (_wire, client, server) = pair();
    let listener = server.bind_with(v4(0), |options| options.fast_open.queue = 16).unwrap();
    let to = listener.local_addr().unwrap();
    // The first connection asks for a cookie; its data comes after the handshake, the second's with the SYN.
    for (times, request) in [b"hello", b"again"].into_iter().enumerate() {
        let (ours, taken) = client.connect_fast_open(to, request, LONG).unwrap();
        assert_eq!(taken, request.len());
        let (mut theirs, _) = listener.accept().unwrap();
        let mut got = [0; 5];
        theirs.read_exact(&mut got).unwrap();
        assert_eq!(&got, request);
        assert_eq!(theirs.info().unwrap().syn_data, times == 1);
        assert_eq!(ours.info().unwrap().syn_data, times == 1);
        theirs.write_all(b"answer").unwrap();
        drop(theirs);
        let mut answer = String::new();
        (&ours).read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "answer");
    }
    assert_eq!(server.stats().fast_open_passive, 1);
    assert_eq!(client.stats().fast_open_active, 1);
}
