//! What multicast routers are told of the groups that are listened to: IGMP and MLD of all versions.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use usernet_core::Duration;
use usernet_wire::igmp::{self, QueryVersion, RecordKind};
use usernet_wire::ip::{Packet, Protocol, Repr as IpRepr};
use usernet_wire::{icmpv6, mld};

use crate::lan::*;
use crate::support::*;

pub(crate) const GROUP: &str = "239.1.2.3";
pub(crate) const GROUP6: &str = "ff15::7";

/// One message as it was sent: when (ms after the last look), to whom, what.
pub(crate) type Sent = (u128, String, String);

/// The membership messages since the last call.
pub(crate) fn reports(lan: &mut Lan, since: usernet_core::Instant) -> Vec<Sent> {
    let frames: Vec<_> = lan.log.drain(..).collect();
    frames
        .iter()
        .filter_map(|(at, frame)| {
            // A packet, or one in an Ethernet frame.
            let body = if matches!(frame[0] >> 4, 4 | 6) { &frame[..] } else { &frame[14..] };
            let packet = Packet::parse(body).ok()?;
            let data = &body[packet.payload_offset..packet.payload_offset + packet.payload_len];
            let what = match (packet.src, packet.dst) {
                (IpAddr::V4(_), _) if packet.protocol == Protocol::IGMP => {
                    match igmp::Message::parse(data).expect("good IGMP") {
                        igmp::Message::ReportV3(records) => records
                            .iter()
                            .map(|r| text(r.kind, &r.group, r.sources.iter()))
                            .collect::<Vec<_>>()
                            .join(" "),
                        other => format!("{other:?}"),
                    }
                }
                (IpAddr::V6(src), IpAddr::V6(dst)) if packet.protocol == Protocol::ICMPV6 => {
                    let Ok(icmpv6::Repr::Other { kind, rest, .. }) =
                        icmpv6::Repr::parse(data, src, dst, false)
                    else {
                        return None;
                    };
                    if !mld::Message::is_kind(kind) {
                        return None;
                    }
                    match mld::Message::parse(kind, rest, &packet).expect("good MLD") {
                        mld::Message::ReportV2(records) => records
                            .iter()
                            .filter(|r| r.group.segments()[1] != 0 || r.group.segments()[5] != 1)
                            .map(|r| text(r.kind, &r.group, r.sources.iter()))
                            .collect::<Vec<_>>()
                            .join(" "),
                        other => format!("{other:?}"),
                    }
                }
                _ => return None,
            };
            assert!(packet.hop_limit == 1 && packet.router_alert, "RFC 3376 §4, RFC 3810 §5");
            // Reports about the groups of its own addresses alone are another test's.
            (!what.is_empty() && !what.contains("ff02::1:ff"))
                .then(|| (at.since(since).as_millis(), packet.dst.to_string(), what))
        })
        .collect()
}

fn text(
    kind: Option<RecordKind>,
    group: &impl ToString,
    sources: impl Iterator<Item = impl ToString>,
) -> String {
    let sources: Vec<_> = sources.map(|s| s.to_string()).collect();
    format!("{:?}({}{{{}}})", kind.expect("a known kind"), group.to_string(), sources.join(","))
}

pub(crate) fn join(lan: &mut Lan, group: &str) {
    let interface = lan.hosts[0].interface;
    lan.host(1).stack.join_group(interface, ip(group)).unwrap();
}

pub(crate) fn leave(lan: &mut Lan, group: &str) {
    let interface = lan.hosts[0].interface;
    lan.host(1).stack.leave_group(interface, ip(group)).unwrap();
}

fn with_alert(src: IpAddr, dst: IpAddr, protocol: Protocol, body: &[u8]) -> Vec<u8> {
    let ip = IpRepr { hop_limit: 1, ..header(src, dst, protocol, body.len()) };
    let mut packet = vec![0; ip.router_alert_header_len()];
    ip.emit_with_router_alert(&mut packet);
    packet.extend_from_slice(body);
    packet
}

pub(crate) fn give_igmp(lan: &mut Lan, dst: &str, message: igmp::NewMessage<'_>) {
    let packet = igmp_packet(dst, message);
    lan.inject(1, framed(mac(0xfe), usernet_core::MacAddr::BROADCAST, &packet));
}

/// A message of the router's.
pub(crate) fn igmp_packet(dst: &str, message: igmp::NewMessage<'_>) -> Vec<u8> {
    let mut body = vec![0; message.len()];
    message.emit(&mut body);
    with_alert(ip("198.18.0.254"), ip(dst), Protocol::IGMP, &body)
}

pub(crate) fn give_mld(lan: &mut Lan, dst: &str, message: mld::NewMessage<'_>) {
    let (src, to): (Ipv6Addr, Ipv6Addr) = ("fe80::fe".parse().unwrap(), dst.parse().unwrap());
    let mut body = vec![0; message.len()];
    message.emit(&mut body, src, to);
    let packet = with_alert(src.into(), to.into(), Protocol::ICMPV6, &body);
    lan.inject(1, framed(mac(0xfe), usernet_core::MacAddr::multicast_v6(to), &packet));
}

pub(crate) fn query_v3<'a>(group: &str, sources: &'a [Ipv4Addr]) -> igmp::NewMessage<'a> {
    igmp::NewMessage::Query(igmp::Query {
        group: group.parse().unwrap(),
        version: QueryVersion::V3 {
            max_response: 100,
            suppress: false,
            robustness: 3,
            interval: 125,
            sources,
        },
    })
}

pub(crate) fn query_v2(group: &str) -> igmp::NewMessage<'static> {
    let version = QueryVersion::V2 { max_response: 100 };
    igmp::NewMessage::Query(igmp::Query { group: group.parse().unwrap(), version })
}

pub(crate) fn mld_query(group: &str, v2: bool) -> mld::NewMessage<'static> {
    let v2 = v2.then_some(mld::QueryV2 {
        suppress: false,
        robustness: 2,
        interval: 125,
        sources: &[][..],
    });
    mld::NewMessage::Query(mld::Query { group: group.parse().unwrap(), max_response: 10_000, v2 })
}

pub(crate) fn quiet() -> Lan {
    let mut lan = Lan::of(1);
    lan.run(Duration::from_secs(5));
    lan.log.clear();
    lan
}

#[test]
pub(crate) fn joins_and_leaves_are_said_twice() {
    for (group, to) in [(GROUP, "224.0.0.22"), (GROUP6, "ff02::16")] {
        let mut lan = quiet();
        let start = lan.now;
        join(&mut lan, group);
        join(&mut lan, group);
        lan.ms(5000);
        let sent = reports(&mut lan, start);
        assert_eq!(sent.len(), 2, "{sent:?}");
        assert!(sent[0].0 == 0 && sent[1].0 <= 1000, "RFC 3376 §5.1: {sent:?}");
        for (_, dst, what) in sent {
            assert_eq!((dst.as_str(), what), (to, format!("ChangeToExclude({group}{{}})")));
        }
        leave(&mut lan, group);
        lan.ms(5000);
        assert!(reports(&mut lan, start).is_empty(), "somebody else listens still");
        leave(&mut lan, group);
        lan.ms(5000);
        let sent = reports(&mut lan, start);
        assert_eq!(sent.len(), 2);
        assert!(sent.iter().all(|s| s.2 == format!("ChangeToInclude({group}{{}})")), "{sent:?}");
    }
}

#[test]
fn the_groups_of_its_own_addresses_are_reported_before_these_are_checked() {
    let mut lan = Lan::new(vec![ethernet(1, &["fd00::1/64"])]);
    lan.settle();
    let first = &lan.log[0].1;
    // An MLD report: to ff02::16, with a hop-by-hop header.
    assert_eq!((&first[0..6], first[20]), (&[0x33, 0x33, 0, 0, 0, 0x16][..], 0));
    let packet = Packet::parse(&first[14..]).unwrap();
    let data = &first[14 + packet.payload_offset..];
    assert_eq!((data[0], data[7]), (143, 2), "both of its groups");
}

#[test]
fn silent_groups_are_not_reported() {
    let mut lan = quiet();
    let start = lan.now;
    for group in ["224.0.0.1", "ff02::1", "ff01::5", "ff11::5"] {
        join(&mut lan, group);
    }
    lan.ms(5000);
    give_igmp(&mut lan, "224.0.0.1", query_v3("0.0.0.0", &[]));
    lan.ms(15_000);
    assert!(reports(&mut lan, start).is_empty());
}

#[test]
fn a_general_query_is_answered_once_for_all() {
    let mut lan = quiet();
    for group in [GROUP, "239.0.0.9", GROUP6] {
        join(&mut lan, group);
    }
    lan.ms(20_000);
    lan.log.clear();
    let start = lan.now;
    give_igmp(&mut lan, "224.0.0.1", query_v3("0.0.0.0", &[]));
    give_igmp(&mut lan, "224.0.0.1", query_v3("0.0.0.0", &[]));
    give_mld(&mut lan, "ff02::1", mld_query("::", true));
    lan.ms(20_000);
    let sent = reports(&mut lan, start);
    assert_eq!(sent.len(), 2, "{sent:?}");
    assert!(sent.iter().all(|(at, ..)| *at <= 10_000 && *at > 0), "{sent:?}");
    let all: Vec<_> = sent.iter().map(|(_, _, what)| what.as_str()).collect();
    assert!(all.contains(&"ModeIsExclude(239.0.0.9{}) ModeIsExclude(239.1.2.3{})"), "{all:?}");
    assert!(all.contains(&"ModeIsExclude(ff15::7{})"), "{all:?}");
}

#[test]
fn a_query_for_a_group_or_its_sources_is_answered_for_these() {
    let mut lan = quiet();
    join(&mut lan, GROUP);
    lan.ms(20_000);
    lan.log.clear();
    let start = lan.now;
    give_igmp(&mut lan, "239.9.9.9", query_v3("239.9.9.9", &[]));
    give_igmp(&mut lan, GROUP, query_v3(GROUP, &[Ipv4Addr::new(192, 0, 2, 1)]));
    give_igmp(&mut lan, GROUP, query_v3(GROUP, &[Ipv4Addr::new(192, 0, 2, 2)]));
    lan.ms(20_000);
    let sent = reports(&mut lan, start);
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].2, "ModeIsInclude(239.1.2.3{192.0.2.1,192.0.2.2})");
    // More sources than are remembered: the group as a whole.
    let many: Vec<_> = (0..100).map(|i| Ipv4Addr::new(192, 0, 2, i)).collect();
    give_igmp(&mut lan, GROUP, query_v3(GROUP, &many));
    lan.ms(20_000);
    assert_eq!(reports(&mut lan, start)[0].2, "ModeIsExclude(239.1.2.3{})");
    // The querier said that three copies are wanted.
    join(&mut lan, "239.0.0.9");
    lan.ms(20_000);
    assert_eq!(reports(&mut lan, start).len(), 3);
}

#[test]
fn an_older_querier_is_spoken_to_in_its_version_while_it_is_there() {
    let mut lan = quiet();
    join(&mut lan, GROUP);
    join(&mut lan, GROUP6);
    lan.ms(20_000);
    lan.log.clear();
    let start = lan.now;
    give_igmp(&mut lan, "224.0.0.1", query_v2("0.0.0.0"));
    give_mld(&mut lan, "ff02::1", mld_query("::", false));
    lan.ms(15_000);
    let mut sent = reports(&mut lan, start);
    sent.sort_by_key(|(_, dst, _)| dst.clone());
    let sent: Vec<_> = sent.iter().map(|(_, dst, what)| (dst.as_str(), what.as_str())).collect();
    assert_eq!(sent, [(GROUP, "ReportV2(239.1.2.3)"), (GROUP6, "ReportV1(ff15::7)")]);
    // Another host's report makes ours unnecessary (RFC 2236 §3).
    give_igmp(&mut lan, "224.0.0.1", query_v2("0.0.0.0"));
    give_igmp(&mut lan, GROUP, igmp::NewMessage::ReportV2(GROUP.parse().unwrap()));
    lan.ms(15_000);
    assert!(reports(&mut lan, start).is_empty());
    // So somebody else is there, and leaving need not be said; having reported last, it is.
    join(&mut lan, "239.0.0.9");
    lan.ms(15_000);
    leave(&mut lan, "239.0.0.9");
    leave(&mut lan, GROUP);
    lan.ms(15_000);
    let sent: Vec<_> =
        reports(&mut lan, start).into_iter().map(|(_, dst, what)| (dst, what)).collect();
    let report = ("239.0.0.9".to_owned(), "ReportV2(239.0.0.9)".to_owned());
    let left = ("224.0.0.2".to_owned(), "Leave(239.0.0.9)".to_owned());
    assert_eq!(sent, [report.clone(), report, left]);
    // Version 1 knows no leaves.
    give_igmp(
        &mut lan,
        "224.0.0.1",
        igmp::NewMessage::Query(igmp::Query {
            group: Ipv4Addr::UNSPECIFIED,
            version: QueryVersion::V1,
        }),
    );
    join(&mut lan, GROUP);
    lan.ms(15_000);
    leave(&mut lan, GROUP);
    lan.ms(15_000);
    let sent = reports(&mut lan, start);
    assert!(sent.len() == 2 && sent.iter().all(|s| s.2 == "ReportV1(239.1.2.3)"), "{sent:?}");
    // RFC 3376 §8.12: robustness x interval + response time later it counts as gone.
    lan.run(Duration::from_secs(2 * 125 + 11));
    join(&mut lan, GROUP);
    lan.ms(15_000);
    let sent = reports(&mut lan, start);
    assert!(sent.iter().all(|s| s.2 == "ChangeToExclude(239.1.2.3{})"), "{sent:?}");
    assert_eq!(sent.len(), 2);
}

#[test]
fn what_came_over_a_router_is_not_believed() {
    let mut lan = quiet();
    join(&mut lan, GROUP);
    lan.ms(20_000);
    lan.log.clear();
    let start = lan.now;
    let message = query_v3("0.0.0.0", &[]);
    let mut body = vec![0; message.len()];
    message.emit(&mut body);
    let packet = packet(ip("192.0.2.1"), ip("224.0.0.1"), Protocol::IGMP, &body);
    lan.inject(1, framed(mac(9), usernet_core::MacAddr::BROADCAST, &packet));
    body[3] ^= 1;
    let packet = with_alert(ip("198.18.0.9"), ip("224.0.0.1"), Protocol::IGMP, &body);
    lan.inject(1, framed(mac(9), usernet_core::MacAddr::BROADCAST, &packet));
    lan.ms(20_000);
    assert!(reports(&mut lan, start).is_empty());
    assert_eq!(lan.host(1).stack.stats().igmp_in_errors, 2);
}

#[test]
fn many_groups_are_told_in_packets_that_fit() {
    let mut lan = quiet();
    for i in 0..200 {
        join(&mut lan, &format!("239.0.1.{i}"));
    }
    lan.settle();
    let frames = &lan.log;
    assert_eq!(frames.len(), 2);
    assert!(frames.iter().all(|(_, frame)| frame.len() <= 1514));
}
