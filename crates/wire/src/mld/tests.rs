//! MLD messages of both versions.

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::ip;
use crate::testing::{bytes, mutate, mutations};

const LL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const HOST: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const GROUP: Ipv6Addr = Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0, 0x77);
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);

/// The whole packet that carries a message.
fn send(message: NewMessage<'_>, src: Ipv6Addr, hop_limit: u8, alert: bool) -> Vec<u8> {
    let repr = ip::Repr {
        src: IpAddr::V6(src),
        dst: IpAddr::V6(ALL_ROUTERS),
        protocol: ip::Protocol::ICMPV6,
        hop_limit,
        traffic_class: 0,
        ident: 0,
        dont_fragment: true,
        flow_label: 0,
        payload_len: message.len(),
    };
    let header_len = if alert { repr.router_alert_header_len() } else { repr.header_len() };
    let mut bytes = vec![0xee; header_len + message.len()];
    if alert {
        repr.emit_with_router_alert(&mut bytes);
    } else {
        repr.emit(&mut bytes);
    }
    message.emit(&mut bytes[header_len..], src, ALL_ROUTERS);
    bytes
}

fn receive(bytes: &[u8]) -> Result<Message<'_>, Error> {
    let packet = Packet::parse(bytes)?;
    let (IpAddr::V6(src), IpAddr::V6(dst)) = (packet.src, packet.dst) else { unreachable!() };
    match icmpv6::Repr::parse(&bytes[packet.payload_offset..], src, dst, false)? {
        icmpv6::Repr::Other { kind, rest, .. } if Message::is_kind(kind) => {
            Message::parse(kind, rest, &packet)
        }
        other => panic!("{other:?}"),
    }
}

fn sources() -> impl Strategy<Value = Vec<Ipv6Addr>> {
    prop::collection::vec(any::<u128>().prop_map(Ipv6Addr::from_bits), 0..4)
}

proptest! {
    #[test]
    fn queries_come_back(
        max_response: u32, suppress: bool, robustness in 0u8..8, interval in 0u32..32_000,
        sources in sources(),
    ) {
        let v2 = Some(QueryV2 { suppress, robustness, interval, sources: &sources[..] });
        let bytes = send(NewMessage::Query(Query { group: GROUP, max_response, v2 }), LL, 1, true);
        let Ok(Message::Query(Query { group, max_response: m, v2: Some(seen) })) = receive(&bytes)
        else { panic!("no query of version 2") };
        prop_assert_eq!((group, seen.suppress, seen.robustness), (GROUP, suppress, robustness));
        prop_assert_eq!(seen.sources.iter().collect::<Vec<_>>(), sources);
        let sent = max_response.min(8_387_584);
        prop_assert!(m <= sent && sent - m <= sent / 4096);
        prop_assert_eq!(seen.interval, membership::decode8(membership::encode8(interval)));
    }

    #[test]
    fn reports_come_back_and_survive_mutation(
        records in prop::collection::vec((any::<u128>(), sources()), 0..4), changes in mutations(),
    ) {
        let new: Vec<_> = records.iter().map(|(group, sources)| NewRecord {
            kind: RecordKind::ChangeToExclude, group: Ipv6Addr::from_bits(*group), sources,
        }).collect();
        let mut bytes = send(NewMessage::ReportV2(&new), LL, 1, true);
        let packet = Packet::parse(&bytes).unwrap();
        let Ok(Message::ReportV2(seen)) = receive(&bytes) else { panic!("no report") };
        prop_assert_eq!(seen.len(), new.len());
        for (seen, new) in seen.iter().zip(&new) {
            prop_assert_eq!((seen.kind, seen.group), (Some(new.kind), new.group));
            prop_assert_eq!(seen.sources.len(), new.sources.len());
            prop_assert_eq!(seen.sources.iter().collect::<Vec<_>>(), new.sources);
        }
        let rest = &mut bytes[52..];
        for len in 0..rest.len() {
            prop_assert_eq!(Message::parse(143, &rest[..len], &packet), Err(Error::Truncated));
        }
        mutate(rest, &changes);
        if let Ok(Message::ReportV2(seen)) = Message::parse(143, rest, &packet) {
            prop_assert_eq!(seen.iter().count(), seen.len());
        }
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(kind: u8, rest in bytes(80)) {
        let bytes = send(NewMessage::Done(GROUP), LL, 1, true);
        let packet = Packet::parse(&bytes).unwrap();
        for kind in [kind, 130, 131, 132, 143] {
            if let Ok(Message::ReportV2(seen)) = Message::parse(kind, &rest, &packet) {
                prop_assert_eq!(seen.iter().count(), seen.len());
            }
        }
    }
}

#[test]
fn messages_of_version_1_come_back() {
    assert_eq!(receive(&send(NewMessage::Done(GROUP), LL, 1, true)), Ok(Message::Done(GROUP)));
    let report = send(NewMessage::ReportV1(GROUP), LL, 1, true);
    assert_eq!(receive(&report), Ok(Message::ReportV1(GROUP)));
    let query = Query { group: Ipv6Addr::UNSPECIFIED, max_response: 10_000, v2: None };
    let bytes = send(NewMessage::Query(query), LL, 1, true);
    let Ok(Message::Query(seen)) = receive(&bytes) else {
        panic!("no query");
    };
    assert_eq!((seen.group, seen.max_response, seen.v2), (query.group, 10_000, None));
}

#[test]
fn hop_limit_router_alert_and_source_are_checked() {
    let done = NewMessage::Done(GROUP);
    for (src, hop_limit, alert, ok) in [
        (LL, 1, true, true),
        (LL, 2, true, false),
        (LL, 1, false, false),
        (HOST, 1, true, false),
        (Ipv6Addr::UNSPECIFIED, 1, true, true),
    ] {
        let bytes = send(done, src, hop_limit, alert);
        assert_eq!(receive(&bytes).err(), (!ok).then_some(Error::BadField));
    }
    let query = NewMessage::Query(Query { group: GROUP, max_response: 1, v2: None });
    let bytes = send(query, Ipv6Addr::UNSPECIFIED, 1, true);
    assert_eq!(receive(&bytes), Err(Error::BadField));
}

#[test]
fn queries_between_the_versions_and_groups_that_are_none_are_refused() {
    let bytes = send(NewMessage::Done(GROUP), LL, 1, true);
    let packet = Packet::parse(&bytes).unwrap();
    let rest = [&[0; 4][..], &GROUP.octets(), &[0; 4]].concat();
    for len in 21..24 {
        assert_eq!(Message::parse(130, &rest[..len], &packet), Err(Error::BadLength));
    }
    assert!(Message::parse(130, &rest, &packet).is_ok());
    let report = send(NewMessage::ReportV1(HOST), LL, 1, true);
    assert_eq!(receive(&report), Err(Error::BadField));
}
