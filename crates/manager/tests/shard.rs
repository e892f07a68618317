//! The shard: driving from any thread, the doorbell, devices that block, fail or blow up, closing.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // threads are what is tested

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use common::{Mode, Wire, interface, pair, pattern};
use usernet_core::{
    Config, ConnectOptions, Event, ListenAddress, ListenOptions, Ready, RecvError, Secrets,
    SocketId,
};
use usernet_device::Device;
use usernet_manager::{Shard, interface_config};

const LONG: Duration = Duration::from_secs(30);

fn shard(device: impl Device + 'static, host: u8) -> Arc<Shard> {
    let shard =
        Shard::with_secrets(Config::default(), Secrets::from_bytes(&[host; 64]), host.into())
            .unwrap();
    let cidr = format!("198.18.0.{host}/24").parse().unwrap();
    let config = interface_config(&device.info(), vec![cidr]);
    shard.add_device(Box::new(device), config).unwrap();
    shard
}

fn connect(shard: &Shard, port: u16) -> SocketId {
    let remote = SocketAddr::from(([198, 18, 0, 2], port));
    let mut guard = shard.lock();
    let now = guard.now();
    let options = ConnectOptions { remote, local_addr: None, local_port: None, options: None };
    guard.tcp_connect(now, options).unwrap()
}

/// Takes events until what is waited for is among them.
fn wait_for(shard: &Shard, bell: &Receiver<()>, mut wanted: impl FnMut(Event) -> bool) {
    loop {
        bell.recv_timeout(LONG).expect("the bell rings");
        let mut guard = shard.lock();
        while let Some(event) = guard.poll_event() {
            if wanted(event) {
                return;
            }
        }
    }
}

fn bell(shard: &Shard) -> Receiver<()> {
    let (ring, bell) = channel();
    let ring = Mutex::new(ring);
    shard.set_doorbell(Some(Box::new(move || {
        let _ = ring.lock().unwrap().send(());
    })));
    bell
}

#[test]
fn the_doorbell_rings_once_for_events_until_they_are_taken() {
    let (_wire, a, b) = Wire::new(false);
    let (client, server) = (shard(a, 1), shard(b, 2));
    let server_bell = bell(&server);
    let client_bell = bell(&client);
    let listener = server
        .lock()
        .tcp_listen(ListenOptions {
            address: ListenAddress::AnyV4,
            port: 80,
            backlog: 10,
            options: None,
        })
        .unwrap();
    let ours = connect(&client, 80);
    wait_for(
        &client,
        &client_bell,
        |event| matches!(event, Event::Socket(id, ready) if id == ours && ready.contains(Ready::CONNECTED)),
    );
    // A second connection's event comes while the first's waits: no second ring.
    server_bell.recv_timeout(LONG).unwrap();
    let second = connect(&client, 80);
    wait_for(
        &client,
        &client_bell,
        |event| matches!(event, Event::Socket(id, ready) if id == second && ready.contains(Ready::CONNECTED)),
    );
    let theirs = {
        let mut guard = server.lock();
        let theirs = guard.tcp_accept(listener).unwrap().unwrap();
        while guard.poll_event().is_some() {}
        theirs
    };
    let rings = std::iter::from_fn(|| server_bell.try_recv().ok()).count();
    assert!(rings <= 1, "{rings} rings: only what came while the events were taken may ring");
    let now = client.now();
    assert_eq!(client.lock().tcp_send(now, ours, b"hello", false), Ok(5));
    let mut buf = [0; 10];
    loop {
        let mut guard = server.lock();
        let now = guard.now();
        match guard.tcp_recv(now, theirs, &mut buf) {
            Ok(len) => {
                assert_eq!(&buf[..len], b"hello");
                break;
            }
            Err(error) => assert_eq!(error, RecvError::WouldBlock),
        }
        drop(guard);
        wait_for(
            &server,
            &server_bell,
            |event| matches!(event, Event::Socket(id, ready) if id == theirs && ready.contains(Ready::READABLE)),
        );
    }
    server.set_doorbell(None);
    client.close();
    while server_bell.try_recv().is_ok() {}
    assert_eq!(server_bell.try_recv(), Err(TryRecvError::Disconnected), "it was dropped");
}

#[test]
fn the_doorbell_is_not_called_after_close() {
    for _ in 0..50 {
        let (_wire, a, b) = Wire::new(false);
        let (client, server) = (shard(a, 1), shard(b, 2));
        let rings = Arc::new(AtomicUsize::new(0));
        client.set_doorbell(Some(Box::new({
            let rings = rings.clone();
            move || {
                rings.fetch_add(1, Ordering::SeqCst);
            }
        })));
        for port in 1..20 {
            connect(&client, port);
        }
        client.close();
        let after = rings.load(Ordering::SeqCst);
        drop(server);
        client.close();
        drop(client.lock());
        assert_eq!(rings.load(Ordering::SeqCst), after);
        assert_eq!(Arc::strong_count(&rings), 1, "the doorbell was dropped");
    }
}

#[test]
fn any_thread_may_drive() {
    let (_wire, a, b) = Wire::new(true);
    let (client, server) = (shard(a, 1), shard(b, 2));
    let ours = connect(&client, 80);
    let end = Instant::now() + LONG;
    thread::scope(|s| {
        for shard in [&client, &server] {
            s.spawn(move || {
                while Instant::now() < end && !shard.is_closed() {
                    shard.drive(1);
                }
            });
        }
        loop {
            assert!(Instant::now() < end);
            let error = client.lock().tcp_error(ours);
            if error == Ok(Some(usernet_core::ConnectionError::Refused)) {
                break;
            }
            thread::yield_now();
        }
        client.close();
        server.close();
    });
}

#[test]
fn frames_wait_in_order_while_a_device_has_no_room() {
    let (wire, a, b) = pair();
    let listener = b.bind(80).unwrap();
    let mut ours = a.connect("198.18.0.2:80".parse().unwrap()).unwrap();
    let (mut theirs, _) = listener.accept().unwrap();
    wire.set(Mode::Stopped);
    let sent = pattern(900_000);
    thread::scope(|s| {
        s.spawn(|| {
            ours.write_all(&sent).unwrap();
            drop(ours);
        });
        let end = Instant::now() + LONG;
        // More than the wire holds goes out only if the window allows it: many connections fill it.
        let others: Vec<_> = (0..100).map(|_| connect(a.shard(), 81)).collect();
        while a.shard().stats().tx_blocked == 0 {
            assert!(Instant::now() < end, "{:?}", a.shard().stats());
            thread::yield_now();
        }
        // That is nothing to those who stay at home.
        let home = a.bind(82).unwrap();
        for address in ["127.0.0.1:82", "[::1]:82", "198.18.0.1:82"] {
            let mut near = a.connect_timeout(address.parse().unwrap(), LONG).unwrap();
            let (mut far, _) = home.accept().unwrap();
            far.set_read_timeout(Some(LONG)).unwrap();
            near.write_all(&sent[..50_000]).unwrap();
            let mut got = vec![0; 50_000];
            far.read_exact(&mut got).unwrap();
            assert!(got == sent[..50_000], "{address}");
        }
        wire.set(Mode::Up);
        let mut got = Vec::new();
        theirs.read_to_end(&mut got).unwrap();
        assert!(got == sent);
        assert_eq!(a.shard().stats().tx_dropped, 0);
        drop(others);
    });
}

#[test]
fn a_device_that_fails_is_removed_and_the_rest_goes_on() {
    let (wire, a, b) = pair();
    let listener = b.bind(80).unwrap();
    let mut ours = a.connect("198.18.0.2:80".parse().unwrap()).unwrap();
    let _theirs = listener.accept().unwrap();
    wire.set(Mode::Broken);
    let end = Instant::now() + LONG;
    while a.shard().stats().devices_lost == 0 || b.shard().stats().devices_lost == 0 {
        assert!(Instant::now() < end);
        thread::yield_now();
    }
    assert!(!a.shard().is_closed());
    ours.write_all(b"into the void").unwrap();
    assert_eq!(ours.info().unwrap().state.as_str(), "ESTABLISHED", "it may time out, later");
    let error = a.connect("198.18.0.2:80".parse().unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NetworkUnreachable);
    // Loopback goes on, and so does a device that takes the place.
    let local = a.bind(81).unwrap();
    a.connect("127.0.0.1:81".parse().unwrap()).unwrap();
    local.accept().unwrap();
}

#[test]
fn a_panic_in_a_device_fails_the_shard_alone() {
    for on_packet_thread in [true, false] {
        let (wire, a, b) = pair();
        let listener = b.bind(80).unwrap();
        let mut ours = a.connect("198.18.0.2:80".parse().unwrap()).unwrap();
        let (theirs, _) = listener.accept().unwrap();
        thread::scope(|s| {
            let reader = ours.try_clone().unwrap();
            let reading = s.spawn(move || (&reader).read(&mut [0]).unwrap_err());
            if on_packet_thread {
                wire.set(Mode::Explosive);
            } else {
                while catch_unwind(AssertUnwindSafe(|| wire.set(Mode::Explosive))).is_err() {}
                let _ = ours.write(b"x");
            }
            assert_eq!(reading.join().unwrap().kind(), ErrorKind::NotConnected);
        });
        let error = ours.write(b"x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotConnected);
        assert!(error.to_string().contains("exploded on purpose"), "{error}");
        assert_eq!(a.shard().failed().as_deref(), Some("exploded on purpose"));
        assert_eq!(b.shard().failed(), None);
        wire.set(Mode::Cut);
        drop(ours);
        drop(a);
        theirs.info().unwrap();
    }
}

#[test]
fn a_panic_while_the_lock_is_held_fails_the_shard() {
    let (_wire, a, b) = pair();
    let listener = b.bind(80).unwrap();
    let _ours = a.connect("198.18.0.2:80".parse().unwrap()).unwrap();
    let _theirs = listener.accept().unwrap();
    thread::scope(|s| {
        let waiting = s.spawn(|| listener.accept().unwrap_err());
        let panic = s.spawn(|| {
            let _guard = b.shard().lock();
            panic!("on purpose");
        });
        assert!(panic.join().is_err());
        assert_eq!(waiting.join().unwrap().kind(), ErrorKind::NotConnected);
    });
    assert!(b.shard().failed().is_some());
    // A thread that panics for other reasons while it drops a stream does no harm.
    let listener = a.bind(81).unwrap();
    let panic = thread::spawn(move || {
        let _listener = listener;
        panic!("on purpose");
    });
    assert!(panic.join().is_err());
    assert_eq!(a.shard().failed(), None);
    a.bind(81).unwrap();
}

#[test]
fn closing_is_idempotent_and_may_come_from_many_threads_at_once() {
    for _ in 0..20 {
        let (_wire, a, _b) = pair();
        thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    a.shard().close();
                    assert!(a.shard().is_closed());
                });
            }
        });
        a.shard().close();
    }
}

#[test]
fn a_doorbell_that_closes_the_shard_does_not_hang() {
    let (_wire, a, b) = Wire::new(false);
    let (client, _server) = (shard(a, 1), shard(b, 2));
    let (done, is_done) = channel();
    let weak = Arc::downgrade(&client);
    let done = Mutex::new(done);
    client.set_doorbell(Some(Box::new(move || {
        if let Some(shard) = weak.upgrade() {
            shard.close();
        }
        let _ = done.lock().unwrap().send(());
    })));
    connect(&client, 80);
    is_done.recv_timeout(LONG).unwrap();
    assert!(client.is_closed());
}

#[test]
fn a_removed_device_is_dropped_at_once() {
    let (wire, a, b) = Wire::new(false);
    let _server = interface(b, 2, Config::default());
    let shard = Shard::new(Config::default()).unwrap();
    let before = Arc::strong_count(&wire);
    let config = interface_config(&a.info(), vec!["198.18.0.1/24".parse().unwrap()]);
    let id = shard.add_device(Box::new(a), config).unwrap();
    assert_eq!(shard.lock().addresses().iter().filter(|(i, _)| *i == id).count(), 1);
    shard.remove_device(id).unwrap();
    assert_eq!(Arc::strong_count(&wire), before - 1);
    assert!(shard.remove_device(id).is_err());
    shard.close();
}
