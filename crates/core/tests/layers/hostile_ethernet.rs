//! Mutated Ethernet frames of every protocol that a link carries, and a flood of tiny fragments: no panic, and nothing
//! grows without bound. `USERNET_HOSTILE_FRAMES` sets how many frames there are, `USERNET_HOSTILE_SEED` which.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use usernet_core::{Config, Duration, MacAddr, Medium, RxFrame};
use usernet_wire::arp::Repr as Arp;
use usernet_wire::igmp::{self, NewMessage as Igmp, NewRecord, QueryVersion, RecordKind};
use usernet_wire::ip::{Protocol, Repr as IpRepr};
use usernet_wire::mld::{self, NewMessage as Mld};
use usernet_wire::ndp::{Message, NdOption, Prefix};

use crate::hostile::{Dice, FRAMES, fix_header, setting};
use crate::lan::*;
use crate::oracle::Judged;
use crate::support::*;

/// A membership message in a packet with a Router Alert.
fn alerted(src: IpAddr, dst: IpAddr, protocol: Protocol, body: &[u8]) -> Vec<u8> {
    let ip = IpRepr { hop_limit: 1, ..header(src, dst, protocol, body.len()) };
    let mut packet = vec![0; ip.router_alert_header_len()];
    ip.emit_with_router_alert(&mut packet);
    packet.extend_from_slice(body);
    framed(mac(9), MacAddr::BROADCAST, &packet)
}

fn igmp_frame(message: Igmp<'_>) -> Vec<u8> {
    let mut body = vec![0; message.len()];
    message.emit(&mut body);
    alerted(ip("198.18.0.9"), ip("224.0.0.1"), Protocol::IGMP, &body)
}

fn mld_frame(message: Mld<'_>) -> Vec<u8> {
    let (src, dst): (Ipv6Addr, Ipv6Addr) = ("fe80::9".parse().unwrap(), "ff02::1".parse().unwrap());
    let mut body = vec![0; message.len()];
    message.emit(&mut body, src, dst);
    alerted(src.into(), dst.into(), Protocol::ICMPV6, &body)
}

/// One of everything.
fn seeds() -> Vec<Vec<u8>> {
    let (ours, theirs) = (Ipv4Addr::new(198, 18, 0, 1), Ipv4Addr::new(198, 18, 0, 9));
    let ours6: Ipv6Addr = "fd00::1".parse().unwrap();
    let question = Arp::request(mac(9), theirs, ours);
    let mut seeds = vec![
        arp_frame(MacAddr::BROADCAST, &question),
        arp_frame(mac(1), &Arp::request(mac(1), ours, theirs).reply(mac(9))),
        arp_frame(MacAddr::BROADCAST, &Arp::probe(mac(9), ours)),
        arp_frame(MacAddr::BROADCAST, &Arp::announcement(mac(9), theirs)),
    ];
    let target = ours6;
    let advert = |solicited| Message::NeighborAdvertisement {
        target: "fd00::9".parse().unwrap(),
        router: true,
        solicited,
        override_: true,
    };
    let router = Message::RouterAdvertisement {
        cur_hop_limit: 33,
        flags: 8,
        router_lifetime: 1800,
        reachable_time: 10_000,
        retrans_timer: 300,
    };
    let prefix = NdOption::Prefix(Prefix {
        addr: "2001:db8:1::".parse().unwrap(),
        len: 64,
        on_link: true,
        autonomous: true,
        valid_lifetime: 600,
        preferred_lifetime: 300,
    });
    let redirect = Message::Redirect {
        target: "fe80::9".parse().unwrap(),
        destination: "2001:db8:2::1".parse().unwrap(),
    };
    let source = NdOption::SourceMac(mac(9));
    let options = [source, prefix, NdOption::Mtu(1400), NdOption::Nonce([7; 6])];
    let one = (Some(mac(1)), "fd00::1");
    let all = (None, "ff02::1");
    let group = (None, "ff02::1:ff00:1");
    for (from, to, message, options) in [
        ("fd00::9", group, Message::NeighborSolicitation { target }, &options[..1]),
        ("::", group, Message::NeighborSolicitation { target }, &options[3..]),
        ("fd00::9", one, advert(true), &[NdOption::TargetMac(mac(9))][..]),
        ("fd00::9", all, advert(false), &[NdOption::TargetMac(mac(9))][..]),
        ("fe80::9", all, router, &options[..3]),
        ("fe80::9", one, redirect, &[NdOption::TargetMac(mac(9))][..]),
        ("fe80::9", all, Message::RouterSolicitation, &options[..1]),
    ] {
        seeds.push(nd_frame((mac(9), from), to, message, options, 255));
    }
    let sources = [theirs];
    let group = Ipv4Addr::new(239, 1, 2, 3);
    let v3 = QueryVersion::V3 {
        max_response: 100,
        suppress: false,
        robustness: 7,
        interval: 125,
        sources: &sources[..],
    };
    for version in [QueryVersion::V1, QueryVersion::V2 { max_response: 10 }, v3] {
        seeds.push(igmp_frame(Igmp::Query(igmp::Query { group, version })));
    }
    let record = [NewRecord { kind: RecordKind::ChangeToExclude, group, sources: &sources }];
    for message in [Igmp::ReportV2(group), Igmp::Leave(group), Igmp::ReportV3(&record)] {
        seeds.push(igmp_frame(message));
    }
    let group: Ipv6Addr = "ff15::7".parse().unwrap();
    let v2 = mld::QueryV2 { suppress: true, robustness: 2, interval: 125, sources: &[ours6][..] };
    for v2 in [None, Some(v2)] {
        seeds.push(mld_frame(Mld::Query(mld::Query { group, max_response: 1000, v2 })));
    }
    seeds.push(mld_frame(Mld::ReportV1(group)));
    for (from, to) in [("198.18.0.9", "198.18.0.1"), ("fd00::9", "fd00::1")] {
        let data = datagram(at(from, 9), at(to, 7), &pattern(900));
        seeds.push(framed(mac(9), mac(1), &udp_packet(at(from, 9), at(to, 7), &pattern(64))));
        let ends = (ip(from), ip(to));
        seeds.push(framed(mac(9), mac(1), &fragment(ends, 5, &data, 0..800, true)));
        seeds.push(framed(mac(9), mac(1), &fragment(ends, 5, &data, 800..data.len(), false)));
    }
    seeds
}

#[test]
fn mutated_frames_of_a_link_are_survived() {
    let frames = setting("USERNET_HOSTILE_FRAMES", FRAMES);
    let mut dice = Dice(setting("USERNET_HOSTILE_SEED", 1));
    let mut config = ethernet(1, &["198.18.0.1/16", "fd00::1/64"]);
    config.slaac = true;
    let mut host = Host::new(1, Config::default(), config);
    let udp = host.udp(ip("198.18.0.1"), 7);
    for group in ["239.1.2.3", "ff15::7"] {
        host.stack.join_group(host.interface, ip(group)).unwrap();
    }
    let seeds = seeds();
    let mut now = NOW;
    let mut judged = Judged::default();
    for i in 0..frames {
        let mut frame = seeds[dice.roll(seeds.len())].clone();
        for _ in 0..dice.roll(4) {
            // Mostly past the hardware addresses, so that it gets in.
            let from = if dice.roll(8) == 0 { 0 } else { 12 };
            let at = from + dice.roll(frame.len() - from);
            frame[at] = dice.roll(256) as u8;
        }
        if dice.roll(8) == 0 {
            frame.truncate(dice.roll(frame.len()) + 1);
        }
        if dice.roll(2) == 0 && frame.len() > 34 {
            fix_header(&mut frame[14..]);
        }
        // Half of them vouched for, so that wrong checksums do not shield what is behind.
        let frame = if dice.roll(2) == 0 { vouched(frame, 0) } else { RxFrame::new(frame) };
        host.stack.handle_frame(now, host.interface, frame);
        if i % 64 == 0 {
            now += Duration::from_millis(50);
            host.stack.handle_timeout(now);
            let dest =
                std::net::SocketAddr::new(Ipv4Addr::from(0xc612_0000 + i as u32 % 4096).into(), 9);
            let _ = host.stack.udp_send_to(now, udp, &[0; 100], Some(dest), None);
            for (_, bytes) in host.take(now) {
                judged.frame(&host, Medium::Ethernet(mac(1)), &bytes);
            }
            host.events();
        }
    }
    for sent in [judged.arp, judged.icmp, judged.igmp, judged.udp] {
        assert!(sent > 10, "{judged:?}");
    }
    let stats = host.stack.stats();
    assert!(stats.reassembly_memory <= 4 << 20, "{stats:?}");
    assert!(host.stack.neighbors(now).len() <= 1024);
    assert!(host.stack.default_routers(host.interface).len() <= 16);
    assert!(host.stack.interface_addresses(host.interface).len() <= 3 + 16);
    // The mutations reached what they were meant for.
    for reached in
        [stats.nd_in_errors, stats.igmp_in_errors, stats.link_in_errors, stats.arp_out_msgs]
    {
        assert!(reached > 0, "{stats:?}");
    }
}

#[test]
fn a_hundred_thousand_tiny_fragments_are_bounded() {
    let mut host = Host::number(2);
    for i in 0..100_000u32 {
        let (from, to) = if i % 2 == 0 { families()[0] } else { families()[1] };
        let ends = (from, to);
        let place = (i as usize / 64 % 256) * 8;
        let body = vec![i as u8; place + 8];
        host.give(fragment(ends, i % 997, &body, place..place + 8, true));
    }
    let stats = host.stack.stats();
    assert!(stats.reassembly_memory <= 4 << 20, "{stats:?}");
    assert!(stats.reassembly_datagrams <= 1024, "{stats:?}");
    let mut now = NOW + Duration::from_secs(120);
    while let Some(due) = host.stack.poll_timeout() {
        now = now.max(due);
        host.stack.handle_timeout(now);
        host.take(now);
    }
    assert_eq!(host.stack.stats().reassembly_memory, 0);
}
