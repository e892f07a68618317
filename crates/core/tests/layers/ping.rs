//! Echo requests of ours.

use std::net::IpAddr;

use usernet_core::{
    Config, ConnectionError, DatagramError, Duration, Event, PathError, PingOptions, PingOutcome,
};

use crate::support::*;

#[test]
fn pings_are_answered_with_their_round_trip_time() {
    for (_, theirs) in families() {
        for size in [0, 56, 1472, 60_000] {
            let (mut a, mut b) = (Host::number(1), Host::number(2));
            let options = PingOptions { size, ..PingOptions::new(theirs, 3) };
            let id = a.stack.icmp_ping(NOW, options).unwrap();
            for frame in a.frames() {
                b.give(frame);
            }
            let later = NOW + Duration::from_millis(25);
            carry(later, &mut a, &mut b);
            let outcome = PingOutcome::Reply {
                from: theirs,
                rtt: Duration::from_millis(25),
                hop_limit: 64,
                size,
                intact: true,
            };
            assert_eq!(a.events(), [Event::Ping(id, outcome)]);
            assert!(a.stack.icmp_cancel(id).is_err(), "stale");
            assert_eq!(a.stack.poll_timeout(), None);
        }
    }
}

#[test]
fn ourselves_can_be_pinged() {
    for to in ["127.0.0.1", "::1", "198.18.0.1", "fd00::1"] {
        let mut a = Host::number(1);
        a.stack.icmp_ping(NOW, PingOptions::new(ip(to), 1)).unwrap();
        assert!(a.frames().is_empty());
        let events = a.events();
        assert!(
            matches!(events[..], [Event::Ping(_, PingOutcome::Reply { from, .. })] if from == ip(to))
        );
    }
}

#[test]
fn silence_times_out() {
    let mut a = Host::number(1);
    let id = a.stack.icmp_ping(NOW, PingOptions::new(ip("198.18.0.2"), 1)).unwrap();
    let due = NOW + Duration::from_secs(1);
    assert_eq!(a.stack.poll_timeout(), Some(due));
    a.stack.handle_timeout(due - Duration::from_nanos(1));
    assert!(a.events().is_empty());
    a.stack.handle_timeout(due);
    assert_eq!(a.events(), [Event::Ping(id, PingOutcome::TimedOut)]);
    assert_eq!(a.stack.poll_timeout(), None);
}

#[test]
fn their_number_is_bounded_and_cancelled_ones_are_forgotten() {
    let config = Config { max_pings: 4, ..Config::default() };
    let mut a = Host::new(1, config, interface(&["198.18.0.1/24"]));
    let ping = |a: &mut Host, seq| {
        let options = PingOptions { ident: Some(1), ..PingOptions::new(ip("198.18.0.2"), seq) };
        a.stack.icmp_ping(NOW, options)
    };
    let ids: Vec<_> = (0..4).map(|seq| ping(&mut a, seq).unwrap()).collect();
    assert_eq!(ping(&mut a, 4), Err(DatagramError::NoBufferSpace));
    a.stack.icmp_cancel(ids[0]).unwrap();
    assert_eq!(ping(&mut a, 1), Err(DatagramError::NoBufferSpace), "the same is under way");
    ping(&mut a, 0).unwrap();
    let due = a.stack.poll_timeout().unwrap();
    a.stack.handle_timeout(due);
    assert_eq!(a.events().len(), 4);
}

#[test]
fn errors_are_matched_to_their_request() {
    // A router that knows no way.
    let mut config = interface(&["198.18.0.1/24", "fd00::1/64"]);
    config.name = "client".into();
    let mut a = Host::new(1, Config::default(), config);
    let forwarding = Config { forwarding: true, ..Config::default() };
    let mut router = Host::new(2, forwarding, interface(&["198.18.0.2/24", "fd00::2/64"]));
    for (to, via, code) in [("192.0.2.1", "198.18.0.2", 0), ("2001:db8::1", "fd00::2", 0)] {
        let via: IpAddr = ip(via);
        let default = if via.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
        a.stack
            .add_route(usernet_core::Route {
                to: default.parse().unwrap(),
                via: Some(via),
                interface: a.interface,
            })
            .unwrap();
        let id = a.stack.icmp_ping(NOW, PingOptions::new(ip(to), 1)).unwrap();
        let other = a.stack.icmp_ping(NOW, PingOptions::new(ip(to), 2)).unwrap();
        a.stack.icmp_cancel(other).unwrap();
        carry(NOW, &mut a, &mut router);
        let meaning = ConnectionError::NetworkUnreachable;
        let error = PathError::Unreachable { code, meaning };
        let outcome = PingOutcome::Error { from: via, rtt: Duration::ZERO, error };
        assert_eq!(a.events(), [Event::Ping(id, outcome)]);
    }
}
