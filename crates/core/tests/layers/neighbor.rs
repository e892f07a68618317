//! ARP and neighbour discovery: who is believed what, and for how long.

use usernet_core::{
    ConnectOptions, ConnectionError, Duration, ErrorReport, ListenAddress, ListenOptions, MacAddr,
    NeighborState as State, PathError, PingOutcome,
};
use usernet_wire::arp::{Operation, Repr as Arp};
use usernet_wire::ndp::{Message, NdOption};

use crate::lan::*;
use crate::support::*;

const ROUNDS: [(&str, &str); 2] = [("198.18.0.1", "198.18.0.2"), ("fd00::1", "fd00::2")];

fn v4(text: &str) -> std::net::Ipv4Addr {
    text.parse().unwrap()
}

fn v6(text: &str) -> std::net::Ipv6Addr {
    text.parse().unwrap()
}

#[test]
fn one_question_is_asked_of_all_and_answered_to_the_one_who_asked() {
    let mut lan = Lan::of(2);
    assert!(lan.reaches(1, "198.18.0.2"));
    let frames = lan.frames();
    let (question, answer) = (&frames[0], &frames[1]);
    assert_eq!((question.dst, question.src), (MacAddr::BROADCAST, mac(1)));
    assert_eq!(question.arp(), Some(Arp::request(mac(1), v4("198.18.0.1"), v4("198.18.0.2"))));
    assert_eq!((answer.dst, answer.src), (mac(1), mac(2)));
    assert_eq!(answer.arp(), question.arp().map(|question| question.reply(mac(2))));
    // Who was asked learnt where to answer: no question back.
    assert_eq!(frames.len(), 4);
    assert_eq!(lan.neighbor(1, "198.18.0.2").unwrap().state, State::Reachable);
    assert_eq!(lan.neighbor(2, "198.18.0.1").map(|n| n.mac), Some(Some(mac(1))));
}

#[test]
fn the_same_by_neighbor_discovery() {
    let mut lan = Lan::of(2);
    assert!(lan.reaches(1, "fd00::2"));
    let frames = lan.frames();
    assert_eq!(frames[0].dst, MacAddr([0x33, 0x33, 0xff, 0, 0, 2]));
    let question = Message::NeighborSolicitation { target: v6("fd00::2") };
    assert_eq!(frames[0].nd(), Some(("fd00::1", "ff02::1:ff00:2", question, &[mac(1)][..])));
    let answer = Message::NeighborAdvertisement {
        target: v6("fd00::2"),
        router: false,
        solicited: true,
        override_: true,
    };
    assert_eq!(frames[1].nd(), Some(("fd00::2", "fd00::1", answer, &[mac(2)][..])));
    assert_eq!(lan.neighbor(1, "fd00::2").unwrap().state, State::Reachable);
}

#[test]
fn nobody_answers_and_the_connection_hears_of_it() {
    for to in ["198.18.0.77", "fd00::77"] {
        let mut lan = Lan::of(1);
        let now = lan.now;
        let connect = ConnectOptions {
            remote: at(to, 80),
            local_addr: None,
            local_port: None,
            options: None,
        };
        let socket = lan.host(1).stack.tcp_connect(now, connect).unwrap();
        lan.ms(2900);
        assert_eq!(lan.neighbor(1, to).unwrap().state, State::Incomplete);
        lan.ms(200);
        assert_eq!(lan.neighbor(1, to).unwrap().state, State::Failed);
        // Three questions, a second apart, and no other frame.
        let frames = lan.frames();
        let times: Vec<_> = frames.iter().map(|f| f.at.since(now).as_millis()).collect();
        assert_eq!(times, [0, 1000, 2000], "{to}");
        let error = lan.host(1).stack.tcp_error(socket);
        assert_eq!(error, Ok(Some(ConnectionError::HostUnreachable)), "{to}");
        let outcome = lan.ping(1, to, 8);
        let PingOutcome::Error { error: PathError::Unreachable { meaning, .. }, .. } = outcome
        else {
            panic!("{outcome:?}");
        };
        assert_eq!(meaning, ConnectionError::HostUnreachable);
        assert_eq!(lan.host(1).stack.stats().neighbor_failed, 2);
    }
}

#[test]
fn what_waits_is_bounded_and_the_oldest_goes_first() {
    let mut lan = Lan::of(1);
    let now = lan.now;
    let udp = lan.host(1).udp(ip("198.18.0.1"), 7);
    for i in 0..200u8 {
        let host = lan.host(1);
        host.stack.udp_send_to(now, udp, &[i], Some(at("198.18.0.9", 9)), None).unwrap();
        lan.settle();
    }
    assert_eq!(lan.host(1).stack.stats().neighbor_drops, 200 - 128);
    lan.frames();
    let reply = Arp::request(mac(1), v4("198.18.0.1"), v4("198.18.0.9")).reply(mac(9));
    lan.inject(1, arp_frame(mac(1), &reply));
    lan.settle();
    let last: Vec<_> = lan.log.iter().map(|(_, frame)| *frame.last().unwrap()).collect();
    assert_eq!(last, (72..200).collect::<Vec<u8>>());
    assert!(lan.frames().iter().all(|frame| frame.dst == mac(9)));
}

#[test]
fn an_answer_nobody_asked_for_teaches_nothing() {
    let mut lan = Lan::of(2);
    let reply = |n: u8| Arp {
        operation: Operation::Reply,
        sender_mac: mac(n),
        sender_ip: v4("198.18.0.2"),
        target_mac: mac(1),
        target_ip: v4("198.18.0.1"),
    };
    lan.inject(1, arp_frame(mac(1), &reply(66)));
    let announcement = Arp::announcement(mac(66), v4("198.18.0.2"));
    lan.inject(1, arp_frame(MacAddr::BROADCAST, &announcement));
    let advert = |solicited| Message::NeighborAdvertisement {
        target: v6("fd00::2"),
        router: false,
        solicited,
        override_: true,
    };
    let spoof = |solicited| {
        let to = (Some(mac(1)), "fd00::1");
        nd_frame((mac(66), "fd00::2"), to, advert(solicited), &[NdOption::TargetMac(mac(66))], 255)
    };
    lan.inject(1, spoof(true));
    assert!(lan.hosts[0].stack.neighbors(lan.now).is_empty());
    // An entry that exists is corrected (RFC 826), but has to prove itself.
    assert!(lan.reaches(1, "198.18.0.2"));
    lan.inject(1, arp_frame(mac(1), &reply(66)));
    let neighbor = lan.neighbor(1, "198.18.0.2").unwrap();
    assert_eq!((neighbor.mac, neighbor.state), (Some(mac(66)), State::Stale));
}

#[test]
fn a_neighbor_that_is_gone_is_noticed() {
    for (_, to) in ROUNDS {
        let mut lan = Lan::of(2);
        assert!(lan.reaches(1, to));
        lan.frames();
        lan.ms(5000);
        // Who was asked has answered, and wants to know once whether that arrived.
        let frames = lan.frames();
        assert!(frames.len() == 2 && frames[0].src == mac(2), "{frames:?}");
        lan.ms(50_000);
        assert!(lan.frames().is_empty(), "nobody speaks, nobody probes");
        assert_eq!(lan.neighbor(1, to).unwrap().state, State::Stale);
        // It is used, and confirmed by a probe to itself 5 s later.
        assert!(lan.reaches(1, to));
        assert_eq!(lan.neighbor(1, to).unwrap().state, State::Delay);
        lan.frames();
        lan.ms(5100);
        let frames = lan.frames();
        // Both had not heard of each other for so long, and both probe.
        assert_eq!(frames.len(), 4, "{frames:?}");
        assert!(frames.iter().all(|f| f.dst == mac(1) || f.dst == mac(2)));
        assert_eq!(lan.neighbor(1, to).unwrap().state, State::Reachable);
        // It goes without a word.
        lan.hosts.pop();
        lan.ms(50_000);
        let outcome = lan.ping(1, to, 8);
        assert_eq!(outcome, PingOutcome::TimedOut);
        lan.ms(1000);
        assert_eq!(lan.neighbor(1, to).unwrap().state, State::Failed);
    }
}

#[test]
fn progress_of_a_connection_confirms_the_neighbor() {
    for (_, to) in ROUNDS {
        let mut lan = Lan::of(2);
        let now = lan.now;
        let listen = ListenOptions {
            address: ListenAddress::One(ip(to)),
            port: 80,
            backlog: 1,
            options: None,
        };
        let listener = lan.host(2).stack.tcp_listen(listen).unwrap();
        let connect = ConnectOptions {
            remote: at(to, 80),
            local_addr: None,
            local_port: None,
            options: None,
        };
        let a = lan.host(1).stack.tcp_connect(now, connect).unwrap();
        lan.ms(10);
        let b = lan.host(2).stack.tcp_accept(listener).unwrap().expect("connected");
        let mut buf = [0; 100];
        lan.frames();
        for _ in 0..100 {
            let now = lan.now;
            lan.host(1).stack.tcp_send(now, a, b"ping", false).unwrap();
            lan.ms(10);
            let now = lan.now;
            lan.host(2).stack.tcp_recv(now, b, &mut buf).unwrap();
            lan.host(2).stack.tcp_send(now, b, b"pong", false).unwrap();
            lan.ms(1990);
            let now = lan.now;
            lan.host(1).stack.tcp_recv(now, a, &mut buf).unwrap();
        }
        let frames = lan.frames();
        assert!(frames.iter().all(|f| matches!(f.what, What::Ip(..))), "{to}: no probe in 200 s");
    }
}

#[test]
fn third_retransmission_doubts_the_neighbor() {
    for (_, to) in ROUNDS {
        let mut lan = Lan::of(2);
        let now = lan.now;
        let listen = ListenOptions {
            address: ListenAddress::One(ip(to)),
            port: 80,
            backlog: 1,
            options: None,
        };
        lan.host(2).stack.tcp_listen(listen).unwrap();
        let connect = ConnectOptions {
            remote: at(to, 80),
            local_addr: None,
            local_port: None,
            options: None,
        };
        let a = lan.host(1).stack.tcp_connect(now, connect).unwrap();
        lan.ms(10);
        // The peer goes without a word, a moment after it was heard of.
        lan.hosts.pop();
        lan.frames();
        let now = lan.now;
        lan.host(1).stack.tcp_send(now, a, b"ping", false).unwrap();
        lan.ms(1300);
        assert_eq!(lan.neighbor(1, to).unwrap().state, State::Reachable, "{to}");
        assert_eq!(lan.host(1).stack.tcp_take_report(a), Ok(None));
        // RFC 9293 §3.8.3 MUST-20 b: at R1 the IP layer looks, whatever it believes.
        lan.ms(700);
        assert_eq!(lan.neighbor(1, to).unwrap().state, State::Probe, "{to}");
        let asked = |f: &Frame| f.dst == mac(2) && (f.arp().is_some() || f.nd().is_some());
        assert_eq!(lan.frames().iter().filter(|f| asked(f)).count(), 1);
        let report = lan.host(1).stack.tcp_take_report(a).unwrap();
        assert!(matches!(report, Some(ErrorReport::Retransmissions { count: 3, .. })));
        // Nobody answers; that is no more than news to a connection that is open.
        lan.ms(8500);
        assert_eq!(lan.neighbor(1, to).unwrap().state, State::Failed, "{to}");
        let report = lan.host(1).stack.tcp_take_report(a).unwrap();
        let Some(ErrorReport::Icmp { from, meaning, .. }) = report else { panic!("{report:?}") };
        assert_eq!(meaning, ConnectionError::HostUnreachable);
        assert_eq!(from, lan.host(1).stack.tcp_addrs(a).unwrap().0.ip());
        assert_eq!(lan.host(1).stack.tcp_error(a), Ok(None));
    }
}

#[test]
fn a_flood_of_questions_drives_out_nobody_who_answered() {
    let mut lan = Lan::of(2);
    assert!(lan.reaches(1, "198.18.0.2"));
    // A /16 for more addresses than there are places.
    let (now, interface) = (lan.now, lan.hosts[0].interface);
    let wide = "198.19.0.1/16".parse().unwrap();
    lan.host(1).stack.add_address(now, interface, wide).unwrap();
    lan.settle();
    let udp = lan.host(1).udp(ip("198.18.0.1"), 7);
    for i in 0..20_000u32 {
        let to = std::net::Ipv4Addr::from(0xc613_0100 + i);
        let dest = std::net::SocketAddr::new(to.into(), 9);
        lan.host(1).stack.udp_send_to(now, udp, &[0; 1000], Some(dest), None).unwrap();
        if i % 16 == 0 {
            lan.host(1).take(now);
        }
    }
    let neighbors = lan.hosts[0].stack.neighbors(now);
    assert!(neighbors.len() <= 300, "{}", neighbors.len());
    assert_eq!(lan.neighbor(1, "198.18.0.2").unwrap().state, State::Reachable);
    assert!(lan.host(1).stack.stats().neighbor_evicted > 19_000);
}

#[test]
fn a_flood_of_strangers_is_bounded() {
    let mut lan = Lan::of(1);
    let (now, interface) = (lan.now, lan.hosts[0].interface);
    let wide = "198.19.0.1/16".parse().unwrap();
    lan.host(1).stack.add_address(now, interface, wide).unwrap();
    lan.host(1).stack.add_neighbor(now, interface, ip("198.18.0.5"), mac(5)).unwrap();
    for i in 0..20_000u32 {
        let from = MacAddr([2, 1, 0, (i >> 16) as u8, (i >> 8) as u8, i as u8]);
        let question = Arp::request(from, (0xc613_0100 + i).into(), v4("198.18.0.1"));
        lan.inject(1, arp_frame(MacAddr::BROADCAST, &question));
        let source: std::net::Ipv6Addr = (v6("fd00::1:0").to_bits() + u128::from(i)).into();
        let question = Message::NeighborSolicitation { target: v6("fd00::1") };
        let option = [NdOption::SourceMac(from)];
        let to = (None, "ff02::1:ff00:1");
        lan.inject(1, nd_frame((from, &source.to_string()), to, question, &option, 255));
    }
    assert_eq!(lan.hosts[0].stack.neighbors(now).len(), 1024);
    // Answers that nobody fetches are bounded too.
    let answers = lan.host(1).take(now).len();
    assert!(answers <= 2048, "{answers}");
    assert_eq!(lan.neighbor(1, "198.18.0.5").unwrap().state, State::Permanent);
}

#[test]
fn a_fixed_neighbor_is_not_changed_by_what_is_heard() {
    let mut lan = Lan::of(2);
    let (now, interface) = (lan.now, lan.hosts[0].interface);
    lan.host(1).stack.add_neighbor(now, interface, ip("198.18.0.2"), mac(2)).unwrap();
    let spoof = Arp::announcement(mac(66), v4("198.18.0.2"));
    lan.inject(1, arp_frame(MacAddr::BROADCAST, &spoof));
    assert!(lan.reaches(1, "198.18.0.2"));
    assert_eq!(lan.neighbor(1, "198.18.0.2").unwrap().state, State::Permanent);
    assert!(lan.host(1).stack.remove_neighbor(interface, ip("198.18.0.2")));
    assert!(!lan.host(1).stack.remove_neighbor(interface, ip("198.18.0.2")));
}

#[test]
fn solicitations_with_a_hop_behind_them_are_not_believed() {
    let mut lan = Lan::of(1);
    let question = Message::NeighborSolicitation { target: v6("fd00::1") };
    let option = [NdOption::SourceMac(mac(9))];
    for (src, hop_limit) in [("fd00::9", 254), ("fd00::9", 64), ("::", 255)] {
        let to = (None, "ff02::1:ff00:1");
        lan.inject(1, nd_frame((mac(9), src), to, question, &option, hop_limit));
    }
    lan.ms(10);
    assert!(lan.frames().is_empty());
    assert!(lan.hosts[0].stack.neighbors(lan.now).is_empty());
    assert_eq!(lan.host(1).stack.stats().nd_in_errors, 3);
}

#[test]
fn redirects_come_from_the_current_router_alone() {
    let mut lan = Lan::of(3);
    let interface = lan.hosts[0].interface;
    let route =
        usernet_core::Route { to: "::/0".parse().unwrap(), via: Some(ip("fe80::2")), interface };
    lan.host(1).stack.add_route(route).unwrap();
    let local = lan.hosts[0].stack.interface_addresses(interface);
    let local = local.iter().find(|a| a.cidr.addr.to_string().starts_with("fe80")).unwrap();
    let to = local.cidr.addr.to_string();
    let redirect = Message::Redirect { target: v6("fe80::3"), destination: v6("2001:db8::1") };
    let option = [NdOption::TargetMac(mac(3))];
    let give = |lan: &mut Lan, from: &str, hop_limit| {
        let from = (mac(2), from);
        lan.inject(1, nd_frame(from, (Some(mac(1)), &to), redirect, &option, hop_limit));
        lan.host(1).stack.stats().redirects
    };
    assert_eq!(give(&mut lan, "fe80::9", 255), 0);
    assert_eq!(give(&mut lan, "fe80::2", 254), 0);
    assert_eq!(give(&mut lan, "fe80::2", 255), 1);
    // It goes to the better hop at once: its hardware address came along.
    let now = lan.now;
    lan.frames();
    let udp = lan.host(1).udp(ip("fd00::1"), 7);
    lan.host(1).stack.udp_send_to(now, udp, b"x", Some(at("2001:db8::1", 9)), None).unwrap();
    lan.settle();
    assert_eq!(lan.frames()[0].dst, mac(3));
    assert!(lan.neighbor(1, "fe80::3").unwrap().router);
    // It does not answer any more: the way is the router's again (RFC 4861 §7.3.3).
    lan.ms(20_000);
    lan.frames();
    let now = lan.now;
    lan.host(1).stack.udp_send_to(now, udp, b"x", Some(at("2001:db8::1", 9)), None).unwrap();
    lan.run(Duration::from_millis(10));
    let frames = lan.frames();
    let (_, _, question, _) = frames[0].nd().expect("a question");
    assert_eq!(question, Message::NeighborSolicitation { target: v6("fe80::2") });
}
