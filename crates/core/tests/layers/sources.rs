//! Source-specific multicast: what sockets hear, and what routers are told of it (RFC 3376 §5, RFC 3810 §6), on Ethernet and
//! on links that carry IP alone.

use std::net::Ipv4Addr;

use usernet_core::{ListenAddress, MembershipError, UdpId, UdpOptions};
use usernet_wire::igmp;

use crate::groups::*;
use crate::lan::*;
use crate::support::*;

/// The sources of a family, and its group.
const FAMILIES: [(&str, [&str; 3]); 2] = [
    (GROUP, ["198.18.0.7", "198.18.0.8", "198.18.0.9"]),
    (GROUP6, ["fd00::7", "fd00::8", "fd00::9"]),
];

/// What was said since the last call, each message once; each was said `times` times.
fn said(lan: &mut Lan, times: usize) -> Vec<String> {
    lan.ms(20_000);
    let start = NOW;
    let mut texts: Vec<String> = reports(lan, start).into_iter().map(|(_, _, what)| what).collect();
    let all = texts.len();
    texts.dedup();
    assert_eq!(all, texts.len() * times, "{texts:?}");
    texts
}

fn listen(lan: &mut Lan, group: &str, source: &str, id: Option<UdpId>) -> UdpId {
    let host = lan.host(1);
    let id = id.unwrap_or_else(|| {
        let options = UdpOptions {
            address: if group.contains(':') {
                ListenAddress::AnyV6 { only: true }
            } else {
                ListenAddress::AnyV4
            },
            port: 5000,
            reuse_addr: true,
            ..UdpOptions::default()
        };
        host.stack.udp_bind(options).unwrap()
    });
    host.stack.udp_join_source(id, ip(source), ip(group), Some(host.interface)).unwrap();
    id
}

fn ignore(lan: &mut Lan, group: &str, source: &str, id: UdpId) {
    let host = lan.host(1);
    host.stack.udp_leave_source(id, ip(source), ip(group), None).unwrap();
}

/// Hosts without Ethernet: `un0` alone.
fn quiet_ip() -> Lan {
    let mut lan = Lan::new(vec![interface(&["198.18.0.1/24", "fd00::1/64"])]);
    lan.ms(5000);
    assert!(lan.log.is_empty(), "nothing is said without a group: {:?}", lan.log);
    lan
}

#[test]
fn new_and_old_sources_are_said_twice() {
    for mut lan in [quiet(), quiet_ip()] {
        for (group, [a, b, c]) in FAMILIES {
            let allow = |s: &str| format!("AllowNewSources({group}{{{s}}})");
            let block = |s: &str| format!("BlockOldSources({group}{{{s}}})");
            let id = listen(&mut lan, group, a, None);
            assert_eq!(said(&mut lan, 2), [allow(a)]);
            listen(&mut lan, group, b, Some(id));
            assert_eq!(said(&mut lan, 2), [allow(b)]);
            // A second socket for the same source is nothing new.
            let other = listen(&mut lan, group, b, None);
            assert!(said(&mut lan, 2).is_empty());
            listen(&mut lan, group, c, Some(other));
            assert_eq!(said(&mut lan, 2), [allow(c)]);
            ignore(&mut lan, group, b, id);
            assert!(said(&mut lan, 2).is_empty());
            lan.host(1).stack.udp_close(other).unwrap();
            assert_eq!(said(&mut lan, 2), [block(&format!("{b},{c}"))]);
            ignore(&mut lan, group, a, id);
            assert_eq!(said(&mut lan, 2), [block(a)]);
            lan.host(1).stack.udp_close(id).unwrap();
            assert!(said(&mut lan, 2).is_empty());
        }
    }
}

#[test]
fn everybody_and_some_are_changes_of_the_mode() {
    for mut lan in [quiet(), quiet_ip()] {
        for (group, [a, b, _]) in FAMILIES {
            let id = listen(&mut lan, group, a, None);
            listen(&mut lan, group, b, Some(id));
            assert_eq!(said(&mut lan, 2), [format!("AllowNewSources({group}{{{a},{b}}})")]);
            join(&mut lan, group);
            assert_eq!(said(&mut lan, 2), [format!("ChangeToExclude({group}{{}})")]);
            // Everybody is heard, whichever sources are named beside.
            ignore(&mut lan, group, a, id);
            assert!(said(&mut lan, 2).is_empty());
            leave(&mut lan, group);
            assert_eq!(said(&mut lan, 2), [format!("ChangeToInclude({group}{{{b}}})")]);
            lan.host(1).stack.udp_close(id).unwrap();
            assert_eq!(said(&mut lan, 2), [format!("BlockOldSources({group}{{{b}}})")]);
        }
    }
}

#[test]
fn a_change_before_the_last_one_was_said_twice_is_merged_with_it() {
    let mut lan = quiet();
    let (group, [a, b, _]) = FAMILIES[0];
    let id = listen(&mut lan, group, a, None);
    lan.settle();
    // RFC 3376 §5.1: one more of the first, in the first of the second.
    ignore(&mut lan, group, a, id);
    let other = listen(&mut lan, group, b, None);
    lan.ms(20_000);
    let sent: Vec<String> = reports(&mut lan, NOW).into_iter().map(|(.., what)| what).collect();
    let first = format!("AllowNewSources({group}{{{a}}})");
    let merged = format!("AllowNewSources({group}{{{b}}}) BlockOldSources({group}{{{a}}})");
    assert_eq!(sent, [first, merged.clone(), merged]);
    lan.host(1).stack.udp_close(other).unwrap();
}

#[test]
fn queries_are_answered_with_the_sources_that_are_heard() {
    for mut lan in [quiet(), quiet_ip()] {
        let (group, [a, b, c]) = FAMILIES[0];
        let id = listen(&mut lan, group, a, None);
        listen(&mut lan, group, b, Some(id));
        let (group6, [a6, ..]) = FAMILIES[1];
        listen(&mut lan, group6, a6, None);
        lan.ms(20_000);
        lan.log.clear();
        let is_ip = lan.hosts[0].stack.interface_mac(lan.hosts[0].interface).is_none();
        let give = |lan: &mut Lan, dst: &str, message: igmp::NewMessage<'_>| {
            if is_ip {
                lan.inject(1, igmp_packet(dst, message));
            } else {
                give_igmp(lan, dst, message);
            }
        };
        give(&mut lan, "224.0.0.1", query_v3("0.0.0.0", &[]));
        assert_eq!(said(&mut lan, 1), [format!("ModeIsInclude({group}{{{a},{b}}})")]);
        give(&mut lan, group, query_v3(group, &[]));
        assert_eq!(said(&mut lan, 1), [format!("ModeIsInclude({group}{{{a},{b}}})")]);
        // RFC 3376 §5.2: those asked for that are heard; none, no answer.
        let asked =
            |all: &[&str]| -> Vec<Ipv4Addr> { all.iter().map(|s| s.parse().unwrap()).collect() };
        give(&mut lan, group, query_v3(group, &asked(&[b, c])));
        assert_eq!(said(&mut lan, 1), [format!("ModeIsInclude({group}{{{b}}})")]);
        give(&mut lan, group, query_v3(group, &asked(&[c])));
        assert!(said(&mut lan, 1).is_empty());
        if !is_ip {
            give_mld(&mut lan, "ff02::1", mld_query("::", true));
            assert_eq!(said(&mut lan, 1), [format!("ModeIsInclude({group6}{{{a6}}})")]);
        }
    }
}

#[test]
fn an_older_querier_hears_of_the_group_alone() {
    let mut lan = quiet();
    give_igmp(&mut lan, "224.0.0.1", query_v2("0.0.0.0"));
    give_mld(&mut lan, "ff02::1", mld_query("::", false));
    for ((group, [a, b, _]), (report, end)) in
        FAMILIES.into_iter().zip([("ReportV2", "Leave"), ("ReportV1", "Done")])
    {
        let id = listen(&mut lan, group, a, None);
        assert_eq!(said(&mut lan, 2), [format!("{report}({group})")]);
        listen(&mut lan, group, b, Some(id));
        ignore(&mut lan, group, a, id);
        assert!(said(&mut lan, 1).is_empty());
        ignore(&mut lan, group, b, id);
        assert_eq!(said(&mut lan, 1), [format!("{end}({group})")]);
    }
}

#[test]
fn datagrams_of_other_sources_are_not_heard() {
    for (group, [a, b, c]) in FAMILIES {
        let mut lan = quiet_ip();
        let id = listen(&mut lan, group, a, None);
        listen(&mut lan, group, b, Some(id));
        let everybody = lan.host(1).udp(ip(group), 5001);
        lan.host(1).stack.udp_join(everybody, ip(group), None).unwrap();
        let heard = |lan: &mut Lan, id: UdpId, port: u16| -> Vec<String> {
            for source in [a, b, c] {
                let packet = udp_packet(at(source, 9), at(group, port), b"x");
                lan.inject(1, packet);
            }
            let host = lan.host(1);
            std::iter::from_fn(|| host.recv(id)).map(|d| d.from.ip().to_string()).collect()
        };
        assert_eq!(heard(&mut lan, id, 5000), [a, b]);
        assert_eq!(heard(&mut lan, everybody, 5001), [a, b, c]);
        ignore(&mut lan, group, a, id);
        assert_eq!(heard(&mut lan, id, 5000), [b]);
        ignore(&mut lan, group, b, id);
        assert!(heard(&mut lan, id, 5000).is_empty());
    }
}

#[test]
fn many_sources_are_bounded_and_told_in_packets_that_fit() {
    let mut config = interface(&["198.18.0.1/24"]);
    config.mtu = 576;
    let mut lan = Lan::new(vec![config]);
    let mut refused = 0;
    for socket in 0..20 {
        let host = lan.host(1);
        let id = host.udp(ip(GROUP), 5000 + socket);
        for n in 0..65 {
            let source = Ipv4Addr::new(192, 0, socket as u8, n).into();
            match host.stack.udp_join_source(id, source, ip(GROUP), Some(host.interface)) {
                Ok(()) => {}
                Err(MembershipError::TooManyMemberships) => refused += 1,
                Err(other) => panic!("{other}"),
            }
        }
    }
    // 64 a socket, 1,024 an interface.
    assert_eq!(refused, 20 * 65 - 1024);
    lan.settle();
    assert!(lan.log.iter().all(|(_, packet)| packet.len() <= 576));
    let all: usize =
        reports(&mut lan, NOW).iter().map(|(.., what)| what.matches("192.0.").count()).sum();
    assert_eq!(all, 1024);
}

#[test]
fn nothing_is_said_on_loopback() {
    let mut host = Host::number(1);
    let loopback = host.stack.loopback().expect("one");
    host.stack.join_group(loopback, ip(GROUP)).unwrap();
    host.stack.handle_timeout(NOW);
    assert!(host.frames().is_empty());
}
