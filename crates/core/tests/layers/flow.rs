//! Accepting for any address, and deciding about flows.

use std::net::SocketAddr;

use usernet_core::{
    Config, ConnectOptions, ConnectionError, Duration, Event, FlowError, FlowId, FlowKind,
    FlowOptions, FlowSocket, Instant, ListenAddress, ListenOptions, NoSuchSocket, Ready, Reject,
    Route, SocketId, SocketOptions,
};

use crate::support::*;

/// A client whose default route leads to a sandbox, which takes every address.
fn pair(hold: bool, config: Config) -> (Host, Host) {
    let mut a = Host::number(1);
    for (to, via) in [("0.0.0.0/0", "198.18.0.2"), ("::/0", "fd00::2")] {
        let route = Route { to: to.parse().unwrap(), via: Some(ip(via)), interface: a.interface };
        a.stack.add_route(route).unwrap();
    }
    let mut config_b = interface(&["198.18.0.2/24", "fd00::2/64"]);
    (config_b.accept_any, config_b.hold) = (true, hold);
    (a, Host::new(2, config, config_b))
}

const REMOTES: [&str; 2] = ["192.0.2.80", "2001:db8::80"];

fn connect(a: &mut Host, to: SocketAddr) -> SocketId {
    let options = ConnectOptions { remote: to, local_addr: None, local_port: None, options: None };
    a.stack.tcp_connect(NOW, options).unwrap()
}

/// Lets time pass until the client sends its SYN again; gives the moment.
fn retransmit(a: &mut Host, b: &mut Host) -> Instant {
    loop {
        let now = a.stack.poll_timeout().expect("a timer");
        a.stack.handle_timeout(now);
        let frames = carry(now, a, b);
        if !frames.is_empty() {
            assert_eq!(frames.len(), 1, "the SYN, and no answer");
            return now;
        }
    }
}

fn listen(b: &mut Host, port: u16, address: ListenAddress) -> usernet_core::ListenerId {
    let options = ListenOptions { address, port, backlog: 8, options: None };
    b.stack.tcp_listen(options).unwrap()
}

fn flow(b: &mut Host) -> FlowId {
    match b.events()[..] {
        [Event::Flow(id)] => id,
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn connections_to_any_address_are_accepted_with_it() {
    for to in REMOTES {
        let (mut a, mut b) = pair(false, Config::default());
        let l = listen(&mut b, 80, ListenAddress::AnyV6 { only: false });
        let c = connect(&mut a, at(to, 80));
        carry(NOW, &mut a, &mut b);
        let s = b.stack.tcp_accept(l).unwrap().expect("a connection");
        let (local, remote) = b.stack.tcp_addrs(s).unwrap();
        assert_eq!((local, remote), (at(to, 80), a.stack.tcp_addrs(c).unwrap().0));
        // Datagrams likewise; the answer comes from there.
        let (client, server) = (a.udp(ip(to), 0), b.udp(ip(to), 53));
        a.stack.udp_send_to(NOW, client, b"?", Some(at(to, 53)), None).unwrap();
        carry(NOW, &mut a, &mut b);
        let got = b.recv(server).unwrap();
        assert_eq!(got.to, at(to, 53));
        b.stack.udp_send_to(NOW, server, b"!", Some(got.from), Some(got.to.ip())).unwrap();
        carry(NOW, &mut a, &mut b);
        assert_eq!(a.recv(client).unwrap().from, at(to, 53));
    }
}

#[test]
fn a_connection_waits_before_its_syn_ack() {
    for to in REMOTES {
        let (mut a, mut b) = pair(true, Config::default());
        let c = connect(&mut a, at(to, 80));
        assert_eq!(carry(NOW, &mut a, &mut b).len(), 1, "nothing but the SYN");
        let id = flow(&mut b);
        let info = b.stack.flow_info(id).unwrap();
        assert_eq!((info.kind, info.local), (FlowKind::Tcp, at(to, 80)));
        assert_eq!(info.remote, a.stack.tcp_addrs(c).unwrap().0);
        // The SYN sent again asks nothing anew.
        let later = retransmit(&mut a, &mut b);
        assert!(b.events().is_empty());
        let FlowSocket::Tcp(s) = b.stack.flow_accept(later, id, FlowOptions::default()).unwrap()
        else {
            panic!("a connection");
        };
        carry(later, &mut a, &mut b);
        assert!(b.events().contains(&Event::Socket(s, Ready::CONNECTED)));
        a.stack.tcp_send(later, c, b"hello", false).unwrap();
        carry(later, &mut a, &mut b);
        let mut buf = [0; 10];
        assert_eq!(b.stack.tcp_recv(later, s, &mut buf), Ok(5));
        assert_eq!(b.stack.tcp_addrs(s).unwrap().0, at(to, 80));
        assert_eq!(b.stack.flow_info(id), Err(FlowError::NoSuchFlow));
        assert_eq!(b.stack.stats().flows, 0);
    }
}

#[test]
fn an_accepted_flow_may_be_opened_fast() {
    // RFC 7413: the first connection brings a cookie, the second carries data on its SYN.
    let mut socket = SocketOptions::default();
    (socket.fast_open.connect, socket.fast_open.queue) = (true, 1);
    let fast = || FlowOptions { tcp: Some(socket.clone()), ..FlowOptions::default() };
    for to in REMOTES {
        let (mut a, mut b) = pair(true, Config::default());
        let mut open = |data: &[u8], options: FlowOptions| {
            let connect = ConnectOptions {
                remote: at(to, 80),
                local_addr: None,
                local_port: None,
                options: Some(socket.clone()),
            };
            let c = a.stack.tcp_connect(NOW, connect).unwrap();
            assert_eq!(a.stack.tcp_send(NOW, c, data, false), Ok(data.len()));
            carry(NOW, &mut a, &mut b);
            let id = flow(&mut b);
            let FlowSocket::Tcp(s) = b.stack.flow_accept(NOW, id, options).unwrap() else {
                panic!("a connection");
            };
            // Before anything else is sent:
            let mut buf = [0; 10];
            let early = b.stack.tcp_recv(NOW, s, &mut buf).unwrap_or(0);
            let is_connected = |event: &Event| matches!(event, Event::Socket(id, ready) if *id == s && ready.contains(Ready::CONNECTED));
            let connected = b.events().iter().any(is_connected);
            carry(NOW, &mut a, &mut b);
            let late = b.stack.tcp_recv(NOW, s, &mut buf).unwrap_or(0);
            assert_eq!(early + late, data.len(), "all of it comes, once");
            b.events();
            (early, connected)
        };
        assert_eq!(open(b"first", fast()).0, 0, "no cookie yet");
        assert_eq!(open(b"second", fast()), (6, true));
        assert_eq!(open(b"third", FlowOptions::default()).0, 0, "not where it is not asked for");
        assert_eq!(b.stack.stats().fast_open_passive, 1);
    }
}

#[test]
fn rejected_connections_are_told() {
    for to in REMOTES {
        for (how, error) in [
            (Reject::Refuse, ConnectionError::Refused),
            (Reject::Prohibited, ConnectionError::HostUnreachable),
        ] {
            let (mut a, mut b) = pair(true, Config::default());
            let c = connect(&mut a, at(to, 80));
            carry(NOW, &mut a, &mut b);
            let id = flow(&mut b);
            b.stack.flow_reject(NOW, id, how).unwrap();
            carry(NOW, &mut a, &mut b);
            assert_eq!(a.stack.tcp_error(c), Ok(Some(error)));
            assert_eq!(b.stack.flow_reject(NOW, id, how), Err(FlowError::NoSuchFlow));
        }
    }
}

#[test]
fn dropped_flows_stay_dropped() {
    for to in REMOTES {
        let (mut a, mut b) = pair(true, Config::default());
        connect(&mut a, at(to, 80));
        carry(NOW, &mut a, &mut b);
        let id = flow(&mut b);
        b.stack.flow_drop(NOW, id).unwrap();
        let later = retransmit(&mut a, &mut b);
        assert!(b.events().is_empty());
        assert_eq!(b.stack.stats().flow_drops, 1);
        // Remembered for as long as the other end tries.
        assert_eq!(b.stack.poll_timeout(), Some(NOW + Duration::from_secs(30)));
        b.stack.handle_timeout(NOW + Duration::from_secs(30));
        assert_eq!(b.stack.stats().flows, 1);
        b.stack.handle_timeout(later + Duration::from_secs(30));
        assert_eq!((b.stack.stats().flows, b.stack.poll_timeout()), (0, None));
    }
}

#[test]
fn undecided_flows_are_forgotten() {
    let (mut a, mut b) = pair(true, Config::default());
    connect(&mut a, at(REMOTES[0], 80));
    carry(NOW, &mut a, &mut b);
    let id = flow(&mut b);
    let due = NOW + Duration::from_secs(30);
    assert_eq!(b.stack.poll_timeout(), Some(due));
    b.stack.handle_timeout(due);
    assert_eq!(b.stack.flow_info(id), Err(FlowError::NoSuchFlow));
    assert_eq!((b.stack.stats().flow_timeouts, b.stack.stats().flows), (1, 0));
}

#[test]
fn a_peer_that_gives_up_takes_its_flow_along() {
    let (mut a, mut b) = pair(true, Config::default());
    let mut syn = connect_frames(&mut a);
    let reset = {
        use usernet_wire::ip::{Packet, Protocol};
        use usernet_wire::tcp::{Flags, Repr};
        let p = Packet::parse(&syn[0]).unwrap();
        let (tcp, _) = Repr::parse(&syn[0][p.payload_offset..], p.src, p.dst, false).unwrap();
        let reset = Repr {
            src_port: tcp.src_port,
            dst_port: tcp.dst_port,
            seq: tcp.seq + 1,
            flags: Flags::RST,
            ..Repr::default()
        };
        let mut body = vec![0; reset.header_len()];
        reset.emit(&mut body);
        Repr::fill_checksum(&mut body, &[], p.src, p.dst);
        packet(p.src, p.dst, Protocol::TCP, &body)
    };
    b.give(syn.remove(0));
    let id = flow(&mut b);
    b.give(reset);
    assert_eq!(b.stack.flow_info(id), Err(FlowError::NoSuchFlow));
}

fn connect_frames(a: &mut Host) -> Vec<Vec<u8>> {
    connect(a, at(REMOTES[0], 80));
    a.frames()
}

#[test]
fn exact_listeners_take_theirs_without_asking_and_others_by_passing() {
    let (mut a, mut b) = pair(true, Config::default());
    let exact = listen(&mut b, 53, ListenAddress::One(ip("198.18.0.2")));
    connect(&mut a, at("198.18.0.2", 53));
    carry(NOW, &mut a, &mut b);
    assert_eq!(b.events(), [Event::Acceptable(exact)]);
    let any = listen(&mut b, 80, ListenAddress::AnyV4);
    connect(&mut a, at(REMOTES[0], 80));
    carry(NOW, &mut a, &mut b);
    let id = flow(&mut b);
    b.stack.flow_pass(NOW, id).unwrap();
    carry(NOW, &mut a, &mut b);
    assert_eq!(b.events(), [Event::Acceptable(any)]);
    // Without a listener it is refused.
    let c = connect(&mut a, at(REMOTES[0], 81));
    carry(NOW, &mut a, &mut b);
    let id = flow(&mut b);
    b.stack.flow_pass(NOW, id).unwrap();
    carry(NOW, &mut a, &mut b);
    assert_eq!(a.stack.tcp_error(c), Ok(Some(ConnectionError::Refused)));
}

#[test]
fn udp_flows_become_sockets_and_end_when_idle() {
    for to in REMOTES {
        let (mut a, mut b) = pair(true, Config::default());
        let client = a.udp(ip(to), 5000);
        let dest = at(to, 53);
        for data in [b"1", b"2"] {
            a.stack.udp_send_to(NOW, client, data, Some(dest), None).unwrap();
        }
        assert_eq!(carry(NOW, &mut a, &mut b).len(), 2);
        let id = flow(&mut b);
        assert_eq!(b.stack.flow_info(id).unwrap().kind, FlowKind::Udp);
        let FlowSocket::Udp(s) = b.stack.flow_accept(NOW, id, FlowOptions::default()).unwrap()
        else {
            panic!("a UDP socket");
        };
        assert_eq!(b.stack.udp_local_addr(s), Ok(dest));
        assert_eq!(*b.recv(s).unwrap().payload, *b"1");
        assert_eq!(*b.recv(s).unwrap().payload, *b"2");
        b.stack.udp_send_to(NOW, s, b"answer", None, None).unwrap();
        a.stack.udp_send_to(NOW, client, b"3", Some(dest), None).unwrap();
        carry(NOW, &mut a, &mut b);
        assert_eq!(a.recv(client).unwrap().from, dest);
        assert_eq!(*b.recv(s).unwrap().payload, *b"3");
        b.events();
        // Used once more before its time is over.
        let mut now = NOW + Duration::from_secs(100);
        b.stack.udp_send_to(now, s, b"still here", None, None).unwrap();
        let mut closed = Vec::new();
        while let Some(due) = b.stack.poll_timeout() {
            now = due;
            b.stack.handle_timeout(now);
            b.take(now);
            closed.extend(b.events());
        }
        assert_eq!(now, NOW + Duration::from_secs(220));
        assert_eq!(closed, [Event::Udp(s, Ready::CLOSED)]);
        assert_eq!(b.stack.udp_info(s), Err(NoSuchSocket));
        assert_eq!((b.stack.stats().flows, b.stack.stats().udp_sockets), (0, 0));
    }
}

#[test]
fn a_udp_flow_may_be_idle_for_less_than_it_may_wait() {
    let config = Config { udp_flow_idle: Duration::from_secs(2), ..Config::default() };
    let (mut a, mut b) = pair(true, config);
    let client = a.udp(ip(REMOTES[0]), 5000);
    a.stack.udp_send_to(NOW, client, b"1", Some(at(REMOTES[0], 53)), None).unwrap();
    carry(NOW, &mut a, &mut b);
    let id = flow(&mut b);
    let FlowSocket::Udp(s) = b.stack.flow_accept(NOW, id, FlowOptions::default()).unwrap() else {
        panic!("a UDP socket");
    };
    b.events();
    assert_eq!(b.stack.poll_timeout(), Some(NOW + Duration::from_secs(2)));
    b.stack.handle_timeout(NOW + Duration::from_secs(2));
    assert_eq!(b.events(), [Event::Udp(s, Ready::CLOSED)]);
}

#[test]
fn rejected_udp_flows_are_told_and_dropped_ones_not() {
    for to in REMOTES {
        let (mut a, mut b) = pair(true, Config::default());
        let client = a.udp(ip(to), 5000);
        a.stack.udp_connect(client, at(to, 53)).unwrap();
        a.stack.udp_send_to(NOW, client, b"x", None, None).unwrap();
        carry(NOW, &mut a, &mut b);
        let id = flow(&mut b);
        b.stack.flow_reject(NOW, id, Reject::Refuse).unwrap();
        carry(NOW, &mut a, &mut b);
        assert_eq!(a.stack.udp_recv_from(client).err(), Some(ConnectionError::Refused.into()));
        a.stack.udp_send_to(NOW, client, b"x", None, None).unwrap();
        carry(NOW, &mut a, &mut b);
        let id = flow(&mut b);
        b.stack.flow_drop(NOW, id).unwrap();
        a.stack.udp_send_to(NOW, client, b"x", None, None).unwrap();
        assert_eq!(carry(NOW, &mut a, &mut b).len(), 1);
        assert!(b.events().is_empty());
        assert_eq!(b.stack.stats().flow_drops, 1);
    }
}

#[test]
fn a_flood_of_flows_is_bounded() {
    for to in REMOTES {
        let config = Config { max_flows: 100, ..Config::default() };
        let (_, mut b) = pair(true, config);
        let from = if ip(to).is_ipv4() { "198.18.0.1" } else { "fd00::1" };
        for port in 1..10_000 {
            b.give(udp_packet(at(from, port), at(to, 53), &[0; 1000]));
        }
        let stats = b.stack.stats();
        assert_eq!((stats.flows, stats.flow_overflows), (100, 9_899));
        let flows = b.events();
        assert_eq!(flows.len(), 100);
        // Much in one flow, too.
        for _ in 0..100 {
            b.give(udp_packet(at(from, 1), at(to, 53), &[0; 1000]));
        }
        assert_eq!(b.stack.stats().flow_drops, 9_899 + 93);
        // Those that were decided make way.
        let Event::Flow(id) = flows[7] else { panic!("a flow") };
        b.stack.flow_drop(NOW, id).unwrap();
        b.give(udp_packet(at(from, 20_000), at(to, 53), b"x"));
        assert_eq!(b.events().len(), 1);
        assert_eq!(b.stack.stats().flows, 100);
        while let Some(due) = b.stack.poll_timeout() {
            b.stack.handle_timeout(due);
        }
        assert_eq!(b.stack.stats().flows, 0);
    }
}

#[test]
fn flows_that_nobody_asks_about_leave_nothing() {
    // A SYN, and a RST that ends it, over and over, while the program looks away.
    let config = Config { max_flows: 16, ..Config::default() };
    let (mut a, mut b) = pair(true, config);
    for round in 0..200 {
        let c = connect(&mut a, at(REMOTES[0], 80));
        for frame in a.frames() {
            b.give(frame);
        }
        let id = b.stack.poll_event();
        let Some(Event::Flow(id)) = id else { panic!("round {round}: {id:?}") };
        b.stack.flow_reject(NOW, id, Reject::Refuse).unwrap();
        carry(NOW, &mut a, &mut b);
        a.stack.tcp_close(NOW, c).unwrap();
    }
    assert_eq!((b.stack.stats().flows, b.stack.stats().flows_held), (0, 200));
    assert!(!b.stack.has_events());
    assert_eq!(b.stack.poll_timeout(), None);
}
