//! Addresses: checked, announced, defended, formed of routers' prefixes, and ended.

use usernet_core::{
    AddressChange as Change, AddressInfo, AddressOrigin as Origin, AddressState as State,
    Detection, Duration, Event, InterfaceConfig, MacAddr,
};
use usernet_wire::arp::Repr as Arp;
use usernet_wire::ndp::{Message, NdOption, Prefix};

use crate::lan::*;
use crate::support::*;

fn addresses(lan: &Lan, n: usize) -> Vec<AddressInfo> {
    let host = &lan.hosts[n - 1];
    host.stack.interface_addresses(host.interface)
}

fn state(lan: &Lan, n: usize, addr: &str) -> Option<State> {
    addresses(lan, n).iter().find(|a| a.cidr.addr == ip(addr)).map(|a| a.state)
}

fn changes(lan: &mut Lan, n: usize) -> Vec<(String, Change)> {
    let events = lan.host(n).events();
    let change = |event| match event {
        Event::Address(_, addr, change) => Some((addr.to_string(), change)),
        _ => None,
    };
    events.into_iter().filter_map(change).collect()
}

#[test]
fn addresses_are_announced_and_usable_at_once() {
    let mut lan = Lan::new(vec![
        ethernet(1, &["198.18.0.1/24", "fd00::1/64"]),
        ethernet(2, &["198.18.0.2/24", "fd00::2/64"]),
    ]);
    assert!(lan.reaches(1, "198.18.0.2"));
    assert!(lan.reaches(1, "fd00::2"));
    lan.ms(5000);
    let mine: Vec<_> = lan.frames().into_iter().filter(|f| f.src == mac(1)).collect();
    let announced: Vec<_> =
        mine.iter().filter(|f| f.arp().is_some_and(|a| a.is_announcement())).collect();
    let times: Vec<_> = announced.iter().map(|f| f.at.since(NOW).as_millis()).collect();
    assert_eq!(times, [0, 2000], "RFC 5227 §2.3");
    // RFC 4862 §5.4.2: one question for each, from nobody, which says nothing of who asks.
    let asked: Vec<_> = mine
        .iter()
        .filter_map(|f| f.nd())
        .filter(|(src, ..)| *src == "::")
        .map(|(_, _, message, macs)| (message, macs.len()))
        .collect();
    assert_eq!(asked.len(), 2, "its own and the link-local one: {asked:?}");
    assert!(asked.iter().all(|(_, macs)| *macs == 0));
    let mut told = changes(&mut lan, 1);
    told.sort_by_key(|(addr, _)| addr.clone());
    assert_eq!(told.len(), 3);
    assert!(told.iter().all(|(_, change)| *change == Change::Is(State::Preferred)));
    assert!(addresses(&lan, 1).iter().all(|a| a.state == State::Preferred));
}

#[test]
fn checked_first_an_address_is_not_used_before() {
    let strict = |n: u8| InterfaceConfig {
        detection: Detection::Strict,
        ..ethernet(n, &[&format!("198.18.0.{n}/24"), &format!("fd00::{n}/64")])
    };
    let mut lan = Lan::new(vec![strict(1)]);
    lan.settle();
    for addr in ["198.18.0.1", "fd00::1"] {
        assert_eq!(state(&lan, 1, addr), Some(State::Tentative));
    }
    let question =
        Arp::request(mac(9), "198.18.0.9".parse().unwrap(), "198.18.0.1".parse().unwrap());
    lan.inject(1, arp_frame(MacAddr::BROADCAST, &question));
    lan.settle();
    assert!(lan.frames().iter().all(|f| f.arp().is_none_or(|a| a.is_probe())));
    lan.ms(2500);
    assert_eq!(state(&lan, 1, "fd00::1"), Some(State::Preferred));
    lan.ms(7500);
    assert_eq!(state(&lan, 1, "198.18.0.1"), Some(State::Preferred));
    let arps: Vec<_> = lan.frames().iter().filter_map(|f| Some((f.at, f.arp()?))).collect();
    assert_eq!(arps.iter().filter(|(_, arp)| arp.is_probe()).count(), 3, "RFC 5227 §2.1.1");
    assert_eq!(arps.iter().filter(|(_, arp)| arp.is_announcement()).count(), 2);
    let gap = arps[1].0.since(arps[0].0);
    assert!((1000..=2000).contains(&gap.as_millis()), "{gap:?}");
    assert!(arps[3].0.since(arps[2].0).as_millis() >= 2000);
}

#[test]
fn an_address_that_another_has_is_given_up() {
    for detection in [Detection::Optimistic, Detection::Strict] {
        let config = InterfaceConfig { detection, ..ethernet(2, &["198.18.0.1/24", "fd00::1/64"]) };
        let first = InterfaceConfig {
            detection: Detection::Off,
            ..ethernet(1, &["198.18.0.1/24", "fd00::1/64"])
        };
        let mut lan = Lan::new(vec![first]);
        lan.ms(10_000);
        lan.hosts.push(Host::new(2, usernet_core::Config::default(), config));
        lan.ms(10_000);
        for addr in ["198.18.0.1", "fd00::1"] {
            assert_eq!(state(&lan, 2, addr), Some(State::Duplicate), "{detection:?} {addr}");
            assert_eq!(state(&lan, 1, addr), Some(State::Preferred), "{detection:?} {addr}");
        }
        let told = changes(&mut lan, 2);
        assert!(told.contains(&("fd00::1".into(), Change::Is(State::Duplicate))), "{told:?}");
        assert!(told.contains(&("198.18.0.1".into(), Change::Is(State::Duplicate))));
        let host = lan.host(2);
        assert!(host.stack.addresses().iter().all(|(_, cidr)| cidr.addr != ip("fd00::1")));
    }
}

#[test]
fn two_that_check_the_same_address_at_the_same_time_both_give_it_up() {
    let strict =
        |n| InterfaceConfig { detection: Detection::Strict, ..ethernet(n, &["fd00::1/64"]) };
    let mut lan = Lan::new(vec![strict(1), strict(2)]);
    // Host 1 asks within a second; host 2 hears it, and knows that the question is not its own (RFC 7527).
    lan.ms(5000);
    let states = [state(&lan, 1, "fd00::1"), state(&lan, 2, "fd00::1")];
    assert!(states.contains(&Some(State::Duplicate)), "{states:?}");
    assert!(!states.contains(&Some(State::Tentative)), "{states:?}");
}

#[test]
fn our_own_question_come_back_is_no_conflict() {
    let config = InterfaceConfig { detection: Detection::Strict, ..ethernet(1, &["fd00::1/64"]) };
    let mut lan = Lan::new(vec![config]);
    lan.ms(1001);
    let questions: Vec<_> = lan.log.iter().map(|(_, frame)| frame.clone()).collect();
    assert!(!questions.is_empty());
    for mut frame in questions {
        // As by a mirror that puts its own hardware address in.
        frame[6..12].copy_from_slice(&mac(77).0);
        lan.inject(1, frame);
    }
    lan.ms(3000);
    assert_eq!(state(&lan, 1, "fd00::1"), Some(State::Preferred));
    assert_eq!(lan.host(1).stack.stats().address_conflicts, 0);
}

#[test]
fn a_claimed_address_is_defended_but_not_in_a_war() {
    let mut lan = Lan::of(1);
    lan.ms(10_000);
    lan.frames();
    let claim = Arp::announcement(mac(66), "198.18.0.1".parse().unwrap());
    for _ in 0..100 {
        lan.inject(1, arp_frame(MacAddr::BROADCAST, &claim));
        lan.ms(150);
    }
    let defended: Vec<_> = lan.frames().iter().filter_map(|f| f.arp()).collect();
    assert_eq!(defended.len(), 2, "one in ten seconds: {defended:?}");
    assert!(defended.iter().all(|a| a.is_announcement() && a.sender_mac == mac(1)));
    assert_eq!(state(&lan, 1, "198.18.0.1"), Some(State::Preferred));
    let told = changes(&mut lan, 1);
    assert!(told.contains(&("198.18.0.1".into(), Change::Contested)), "{told:?}");
    assert_eq!(lan.host(1).stack.stats().address_conflicts, 100);
}

const ROUTER: &str = "fe80::ff";

fn advertisement(lifetime: u16) -> Message {
    Message::RouterAdvertisement {
        cur_hop_limit: 0,
        flags: 0,
        router_lifetime: lifetime,
        reachable_time: 0,
        retrans_timer: 0,
    }
}

fn prefix(valid: u32, preferred: u32) -> NdOption<'static> {
    NdOption::Prefix(Prefix {
        addr: "2001:db8:1::".parse().unwrap(),
        len: 64,
        on_link: true,
        autonomous: true,
        valid_lifetime: valid,
        preferred_lifetime: preferred,
    })
}

fn advertise(lan: &mut Lan, message: Message, options: &[NdOption<'_>]) {
    let mut all = vec![NdOption::SourceMac(mac(0xff))];
    all.extend_from_slice(options);
    let frame = nd_frame((mac(0xff), ROUTER), (None, "ff02::1"), message, &all, 255);
    lan.inject(1, frame);
    lan.settle();
}

fn slaac(n: u8) -> InterfaceConfig {
    InterfaceConfig { slaac: true, identifier_key: Some([7; 16]), ..ethernet(n, &[]) }
}

fn formed(lan: &Lan) -> Option<AddressInfo> {
    addresses(lan, 1).into_iter().find(|a| a.origin == Origin::Slaac)
}

#[test]
fn routers_are_asked_for_three_times() {
    let mut lan = Lan::new(vec![slaac(1)]);
    lan.ms(30_000);
    let asked: Vec<_> = lan
        .frames()
        .iter()
        .filter(|f| f.nd().is_some_and(|(_, _, m, _)| m == Message::RouterSolicitation))
        .map(|f| f.at)
        .collect();
    assert_eq!(asked.len(), 3);
    assert!(asked[0].since(NOW) <= Duration::from_secs(1));
    assert_eq!(asked[2].since(asked[1]), Duration::from_secs(4));
}

#[test]
fn a_prefix_makes_an_address_and_a_router_a_way() {
    let mut lan = Lan::new(vec![slaac(1)]);
    lan.ms(100);
    assert!(formed(&lan).is_none());
    advertise(&mut lan, advertisement(1800), &[prefix(7200, 3600), NdOption::Mtu(1400)]);
    let address = formed(&lan).expect("an address");
    assert_eq!(address.cidr.prefix_len, 64);
    assert_eq!(address.valid_until.since(lan.now), Duration::from_secs(7200));
    lan.ms(5000);
    assert_eq!(formed(&lan).unwrap().state, State::Preferred);
    assert!(
        lan.frames()
            .iter()
            .filter(|f| { f.nd().is_some_and(|(_, _, m, _)| m == Message::RouterSolicitation) })
            .count()
            <= 1,
        "answered, nobody asks again"
    );
    // The same identifier again for the same key; another for another prefix.
    let mut again = Lan::new(vec![slaac(1)]);
    advertise(&mut again, advertisement(1800), &[prefix(7200, 3600)]);
    assert_eq!(formed(&again).unwrap().cidr, address.cidr);
    // Off the link by the router, on it directly; the source is what was formed.
    let now = lan.now;
    lan.frames();
    let udp = lan.host(1).udp(ip("::1"), 7);
    lan.host(1)
        .stack
        .udp_send_to(now, udp, &[0; 1353], Some(at("2001:db8:2::1", 9)), None)
        .unwrap();
    lan.settle();
    let frames = lan.frames();
    assert_eq!(frames.len(), 2, "1,400 bytes are what the link takes: {frames:?}");
    assert!(frames.iter().all(|f| f.dst == mac(0xff)));
    let What::Ip(src, ..) = &frames[0].what else { panic!("{frames:?}") };
    assert_eq!(*src, address.cidr.addr.to_string());
    let host = lan.host(1);
    host.stack.udp_send_to(now, udp, b"x", Some(at("2001:db8:1::9", 9)), None).unwrap();
    lan.settle();
    let frames = lan.frames();
    let (_, _, question, _) = frames[0].nd().expect("a question");
    assert_eq!(
        question,
        Message::NeighborSolicitation { target: "2001:db8:1::9".parse().unwrap() }
    );
}

#[test]
fn a_prefix_that_is_not_on_the_link_is_reached_by_the_router() {
    let mut lan = Lan::new(vec![slaac(1)]);
    let NdOption::Prefix(mut p) = prefix(7200, 3600) else { unreachable!() };
    p.on_link = false;
    advertise(&mut lan, advertisement(1800), &[NdOption::Prefix(p)]);
    lan.ms(5000);
    lan.frames();
    let now = lan.now;
    let udp = lan.host(1).udp(ip("::1"), 7);
    lan.host(1).stack.udp_send_to(now, udp, b"x", Some(at("2001:db8:1::9", 9)), None).unwrap();
    lan.settle();
    assert_eq!(lan.frames()[0].dst, mac(0xff), "RFC 5942 §4");
}

#[test]
fn addresses_and_routers_end() {
    let mut lan = Lan::new(vec![slaac(1)]);
    advertise(&mut lan, advertisement(30), &[prefix(20_000, 10)]);
    lan.ms(5000);
    let address = formed(&lan).unwrap().cidr.addr.to_string();
    assert_eq!(lan.hosts[0].stack.default_routers(lan.hosts[0].interface), [ip(ROUTER)]);
    lan.ms(6000);
    // RFC 4862 §5.5.4: it is not preferred any more, and still receives.
    assert_eq!(state(&lan, 1, &address), Some(State::Deprecated));
    // Another, that is: new connections bear it.
    let interface = lan.hosts[0].interface;
    let now = lan.now;
    lan.host(1).stack.add_address(now, interface, "2001:db8:f::1/64".parse().unwrap()).unwrap();
    lan.ms(5000);
    lan.frames();
    let now = lan.now;
    let udp = lan.host(1).udp(ip("::1"), 7);
    lan.host(1).stack.udp_send_to(now, udp, b"x", Some(at("2001:db8:1::9", 9)), None).unwrap();
    lan.settle();
    let frames = lan.frames();
    assert_eq!(frames[0].nd().map(|(src, ..)| src.to_owned()), Some("2001:db8:f::1".into()));
    lan.ms(20_000);
    assert!(lan.hosts[0].stack.default_routers(interface).is_empty());
    lan.run(Duration::from_secs(20_000));
    assert_eq!(state(&lan, 1, &address), None);
    let told = changes(&mut lan, 1);
    assert!(told.contains(&(address.clone(), Change::Is(State::Deprecated))), "{told:?}");
    assert!(told.contains(&(address, Change::Removed)));
}

#[test]
fn a_lifetime_is_not_cut_below_two_hours() {
    let mut lan = Lan::new(vec![slaac(1)]);
    advertise(&mut lan, advertisement(1800), &[prefix(100_000, 100)]);
    // RFC 4862 §5.5.3 e: whoever it is that says so.
    advertise(&mut lan, advertisement(1800), &[prefix(1, 0)]);
    let left = formed(&lan).unwrap().valid_until.since(lan.now);
    assert_eq!(left, Duration::from_secs(7200));
    advertise(&mut lan, advertisement(1800), &[prefix(600, 0)]);
    assert_eq!(formed(&lan).unwrap().valid_until.since(lan.now), left);
}

#[test]
fn advertisements_that_cannot_be_are_not_believed() {
    let mut lan = Lan::new(vec![slaac(1)]);
    lan.ms(5000);
    let options = [prefix(7200, 3600)];
    for (src, hop_limit) in [("fe80::ff", 254), ("fd00::ff", 255)] {
        let from = (mac(0xff), src);
        let frame = nd_frame(from, (None, "ff02::1"), advertisement(9000), &options, hop_limit);
        lan.inject(1, frame);
    }
    assert!(formed(&lan).is_none());
    let NdOption::Prefix(good) = prefix(7200, 3600) else { unreachable!() };
    for bad in [
        Prefix { len: 48, ..good },
        Prefix { preferred_lifetime: 7201, ..good },
        Prefix { addr: "fe80::".parse().unwrap(), ..good },
        Prefix { valid_lifetime: 0, preferred_lifetime: 0, ..good },
        Prefix { autonomous: false, ..good },
    ] {
        advertise(&mut lan, advertisement(0), &[NdOption::Prefix(bad)]);
        assert!(formed(&lan).is_none(), "{bad:?}");
    }
    // A flood of prefixes and routers is bounded.
    for i in 0..1000u16 {
        let addr = std::net::Ipv6Addr::new(0x2001, 0xdb8, i, 0, 0, 0, 0, 0);
        let option = [NdOption::Prefix(Prefix { addr, ..good })];
        let src = format!("fe80::1:{i:x}");
        let frame =
            nd_frame((mac(0xff), &src), (None, "ff02::1"), advertisement(9000), &option, 255);
        lan.inject(1, frame);
    }
    assert_eq!(lan.hosts[0].stack.default_routers(lan.hosts[0].interface).len(), 16);
    assert_eq!(addresses(&lan, 1).len(), 17);
}

#[test]
fn a_router_does_not_listen_to_routers() {
    let mut lan = Lan::new(vec![slaac(1)]);
    lan.host(1).stack.set_forwarding(true);
    advertise(&mut lan, advertisement(1800), &[prefix(7200, 3600)]);
    assert!(formed(&lan).is_none());
}

#[test]
fn another_router_takes_over() {
    let mut lan = Lan::new(vec![slaac(1)]);
    advertise(&mut lan, advertisement(9000), &[prefix(7200, 3600)]);
    let second = nd_frame(
        (mac(0xfe), "fe80::fe"),
        (None, "ff02::1"),
        advertisement(9000),
        &[NdOption::SourceMac(mac(0xfe))],
        255,
    );
    lan.inject(1, second);
    lan.ms(3000);
    lan.frames();
    let udp = lan.host(1).udp(ip("::1"), 7);
    let mut hops = Vec::new();
    for _ in 0..12 {
        let now = lan.now;
        lan.host(1).stack.udp_send_to(now, udp, b"x", Some(at("2001:db8:2::1", 9)), None).unwrap();
        lan.ms(1000);
        hops.extend(lan.frames().iter().filter(|f| matches!(f.what, What::Ip(..))).map(|f| f.dst));
    }
    // RFC 4861 §7.3.3, §6.3.6: 5 s of patience, 3 probes, then the other.
    assert_eq!(hops[..8], [mac(0xff); 8]);
    assert_eq!(hops.last(), Some(&mac(0xfe)), "{hops:?}");
}

#[test]
fn an_identifier_that_is_taken_gives_way_to_the_next() {
    let mut lan = Lan::new(vec![slaac(1)]);
    advertise(&mut lan, advertisement(1800), &[prefix(7200, 3600)]);
    let taken = formed(&lan).unwrap().cidr.addr;
    let std::net::IpAddr::V6(target) = taken else { unreachable!() };
    let advert =
        Message::NeighborAdvertisement { target, router: false, solicited: false, override_: true };
    let option = [NdOption::TargetMac(mac(9))];
    let frame = nd_frame((mac(9), &taken.to_string()), (None, "ff02::1"), advert, &option, 255);
    lan.inject(1, frame);
    lan.ms(5000);
    let next = formed(&lan).unwrap();
    assert_ne!(next.cidr.addr, taken);
    assert_eq!(next.state, State::Preferred);
    assert_eq!(next.valid_until.since(lan.now), Duration::from_secs(7195));
}
