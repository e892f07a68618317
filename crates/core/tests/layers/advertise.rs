//! A router that advertises itself (RFC 4861 §6.2), and what a host makes of it.

use usernet_core::{Duration, Instant, InterfaceConfig, PingOutcome, Stack};
use usernet_wire::ndp::{Message, NdOption};

use crate::lan::*;
use crate::support::*;

/// Host 1 is a router with a prefix; host 2 listens to routers.
fn routed() -> Lan {
    let router = InterfaceConfig {
        advertise: true,
        mtu: 1400,
        ..ethernet(1, &["2001:db8:7::1/64", "2001:db8:8::1/48", "198.18.0.1/24"])
    };
    let host = InterfaceConfig { slaac: true, ..ethernet(2, &[]) };
    let mut lan = Lan::new(vec![router, host]);
    lan.host(1).stack.set_forwarding(true);
    lan
}

/// When routers advertised themselves, ms since `since`.
fn advertisements(lan: &mut Lan, since: Instant) -> Vec<u128> {
    let frames = lan.frames();
    let adverts = frames.iter().filter(|f| {
        f.nd().is_some_and(|(_, _, message, _)| {
            matches!(message, Message::RouterAdvertisement { .. })
        })
    });
    adverts.map(|f| f.at.since(since).as_millis()).collect()
}

fn solicit(lan: &mut Lan) {
    let to = (None, "ff02::2");
    let options = [NdOption::SourceMac(mac(9))];
    let frame = nd_frame((mac(9), "fe80::9"), to, Message::RouterSolicitation, &options, 255);
    lan.inject(1, frame);
}

#[test]
fn hosts_find_the_router_its_prefix_and_its_mtu() {
    let mut lan = routed();
    lan.ms(5000);
    let router = &lan.hosts[0];
    let router = router.stack.interface_addresses(router.interface);
    let own = router.iter().map(|a| a.cidr.addr).find(|a| a.to_string().starts_with("fe80"));
    let host = &lan.hosts[1];
    assert_eq!(host.stack.default_routers(host.interface), [own.expect("a link-local address")]);
    let formed: Vec<String> = host
        .stack
        .interface_addresses(host.interface)
        .iter()
        .map(|a| format!("{}/{}", a.cidr.addr, a.cidr.prefix_len))
        .filter(|text| text.starts_with("2001:"))
        .collect();
    // Of the one with 64 bits alone.
    assert!(formed.len() == 1 && formed[0].starts_with("2001:db8:7:0:"), "{formed:?}");
    // Packets that the router's MTU is too small for are not sent.
    let outcome = lan.ping(2, "2001:db8:7::1", 3000);
    assert!(matches!(outcome, PingOutcome::Reply { .. }), "{outcome:?}");
    assert!(lan.log.iter().all(|(_, frame)| frame.len() <= 1414));
}

#[test]
fn the_first_ones_come_soon_the_others_seldom() {
    let mut lan = routed();
    lan.hosts.pop();
    let start = lan.now;
    lan.run(Duration::from_secs(7200));
    let at = advertisements(&mut lan, start);
    // As soon as its own link-local address is sure.
    assert!(at[0] <= 3000, "{at:?}");
    let gaps: Vec<u128> = at.windows(2).map(|w| w[1] - w[0]).collect();
    assert!(gaps[..2].iter().all(|gap| *gap <= 16_000), "{gaps:?}");
    assert!(gaps[3..].iter().all(|gap| (200_000..=600_000).contains(gap)), "{gaps:?}");
    assert!(gaps.len() > 10);
}

#[test]
fn solicitations_are_answered_within_half_a_second_and_not_more_than_once_in_three() {
    let mut lan = routed();
    lan.hosts.pop();
    lan.run(Duration::from_secs(100));
    lan.log.clear();
    let start = lan.now;
    for _ in 0..50 {
        solicit(&mut lan);
        lan.ms(100);
    }
    let at = advertisements(&mut lan, start);
    assert!(at[0] <= 500 && at.len() <= 3, "{at:?}");
    assert!(at.windows(2).all(|w| w[1] - w[0] >= 3000), "{at:?}");
}

#[test]
fn a_host_does_not_advertise_and_a_router_only_where_it_is_told_to() {
    for (advertise, forwarding) in [(true, false), (false, true)] {
        let mut lan =
            Lan::new(vec![InterfaceConfig { advertise, ..ethernet(1, &["2001:db8:7::1/64"]) }]);
        lan.host(1).stack.set_forwarding(forwarding);
        lan.ms(3000);
        solicit(&mut lan);
        lan.run(Duration::from_secs(1000));
        assert!(advertisements(&mut lan, NOW).is_empty());
        // It becomes a router.
        if advertise {
            lan.host(1).stack.set_forwarding(true);
            lan.ms(1000);
            assert_eq!(advertisements(&mut lan, NOW).len(), 1);
        }
    }
}

#[test]
fn a_router_that_ends_says_so() {
    for ends in [
        |stack: &mut Stack| stack.set_forwarding(false),
        |stack: &mut Stack| {
            stack.abort_all(NOW);
        },
    ] {
        let mut lan = routed();
        lan.ms(5000);
        let routers = |lan: &Lan| {
            let host = &lan.hosts[1];
            host.stack.default_routers(host.interface).len()
        };
        assert_eq!(routers(&lan), 1);
        lan.log.clear();
        let start = lan.now;
        ends(&mut lan.host(1).stack);
        lan.ms(100);
        // Once, and with it the hosts' default route is gone at once (RFC 4861 §6.3.4).
        assert_eq!(advertisements(&mut lan, start).len(), 1);
        assert_eq!(routers(&lan), 0);
        lan.run(Duration::from_secs(1000));
        assert!(advertisements(&mut lan, start).is_empty());
    }
}
