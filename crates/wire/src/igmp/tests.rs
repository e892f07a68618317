//! IGMP messages of all versions, and the codes it shares with MLD.

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::testing::{bytes, mutate, mutations};

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);
const ALL_KINDS: [RecordKind; 6] = [
    RecordKind::ModeIsInclude,
    RecordKind::ModeIsExclude,
    RecordKind::ChangeToInclude,
    RecordKind::ChangeToExclude,
    RecordKind::AllowNewSources,
    RecordKind::BlockOldSources,
];

fn emit(message: NewMessage<'_>) -> Vec<u8> {
    let mut bytes = vec![0xee; message.len()];
    message.emit(&mut bytes);
    bytes
}

fn fix(bytes: &mut [u8]) {
    bytes[2..4].fill(0);
    let sum = checksum::checksum(bytes);
    bytes[2..4].copy_from_slice(&sum.to_be_bytes());
}

fn sources() -> impl Strategy<Value = Vec<Ipv4Addr>> {
    prop::collection::vec(any::<u32>().prop_map(Ipv4Addr::from_bits), 0..5)
}

proptest! {
    #[test]
    fn queries_come_back(
        all: bool, max_response in 0u32..40_000, suppress: bool, robustness in 0u8..8,
        interval in 0u32..40_000, sources in sources(),
    ) {
        let group = if all { Ipv4Addr::UNSPECIFIED } else { GROUP };
        let version =
            QueryVersion::V3 { max_response, suppress, robustness, interval, sources: &sources[..] };
        let bytes = emit(NewMessage::Query(Query { group, version }));
        let Ok(Message::Query(Query { group: g, version: QueryVersion::V3 {
            max_response: m, suppress: s, robustness: r, interval: i, sources: list,
        } })) = Message::parse(&bytes) else { panic!("no query of version 3") };
        prop_assert_eq!((g, s, r), (group, suppress, robustness));
        prop_assert_eq!(list.iter().collect::<Vec<_>>(), sources);
        // Never longer than asked, and by less than a sixteenth shorter.
        for (sent, seen) in [(max_response, m), (interval, i)] {
            let sent = sent.min(31_744);
            prop_assert!(seen <= sent && sent - seen <= sent / 16, "{sent} {seen}");
        }
    }

    #[test]
    fn reports_come_back(
        records in prop::collection::vec((0usize..6, any::<u32>(), sources()), 0..5),
        changes in mutations(),
    ) {
        let new: Vec<_> = records.iter().map(|(kind, group, sources)| NewRecord {
            kind: ALL_KINDS[*kind], group: Ipv4Addr::from_bits(*group), sources,
        }).collect();
        let mut bytes = emit(NewMessage::ReportV3(&new));
        let Ok(Message::ReportV3(seen)) = Message::parse(&bytes) else { panic!("no report") };
        prop_assert_eq!(seen.len(), new.len());
        prop_assert_eq!(seen.is_empty(), new.is_empty());
        for (seen, new) in seen.iter().zip(&new) {
            prop_assert_eq!((seen.kind, seen.group), (Some(new.kind), new.group));
            prop_assert_eq!(seen.sources.iter().collect::<Vec<_>>(), new.sources);
        }
        for len in 0..bytes.len() {
            let mut short = bytes[..len].to_vec();
            if len >= 4 {
                fix(&mut short);
            }
            prop_assert_eq!(Message::parse(&short), Err(Error::Truncated));
        }
        mutate(&mut bytes, &changes);
        fix(&mut bytes);
        if let Ok(Message::ReportV3(seen)) = Message::parse(&bytes) {
            prop_assert_eq!(seen.iter().count(), seen.len());
        }
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(mut bytes in prop::collection::vec(any::<u8>(), 4..60), kind in 0usize..5) {
        bytes[0] = [0x11, 0x12, 0x16, 0x17, 0x22][kind];
        fix(&mut bytes);
        if let Ok(Message::ReportV3(records)) = Message::parse(&bytes) {
            prop_assert_eq!(records.iter().count(), records.len());
        }
    }

    #[test]
    fn noise_does_not_panic(bytes in bytes(40)) {
        prop_assert!(Message::parse(&bytes).is_err() || checksum::checksum(&bytes) == 0);
    }

    #[test]
    fn codes_round_down(value: u32) {
        let seen = membership::decode8(membership::encode8(value));
        prop_assert!(seen <= value);
        let seen = membership::decode16(membership::encode16(value));
        prop_assert!(seen <= value);
    }
}

#[test]
fn every_code_says_what_it_decodes_to() {
    for code in 0..=u8::MAX {
        assert_eq!(membership::encode8(membership::decode8(code)), code);
    }
    for code in 0..=u16::MAX {
        assert_eq!(membership::encode16(membership::decode16(code)), code);
    }
    assert_eq!((membership::decode8(0x80), membership::decode8(0xff)), (128, 31_744));
    assert_eq!((membership::decode16(0x8000), membership::decode16(0xffff)), (32_768, 8_387_584));
}

fn parse(bytes: &[u8]) -> Result<QueryVersion<Sources<'_, Ipv4Addr>>, Error> {
    match Message::parse(bytes)? {
        Message::Query(Query { version, .. }) => Ok(version),
        other => panic!("no query: {other:?}"),
    }
}

#[test]
fn versions_of_queries_are_told_apart() {
    let query = |version| emit(NewMessage::Query(Query { group: GROUP, version }));
    assert_eq!(parse(&query(QueryVersion::V1)), Ok(QueryVersion::V1));
    let v2 = query(QueryVersion::V2 { max_response: 100 });
    assert_eq!(parse(&v2), Ok(QueryVersion::V2 { max_response: 100 }));
    for len in 9..12 {
        let mut bytes = v2.clone();
        bytes.resize(len, 0);
        fix(&mut bytes);
        assert_eq!(parse(&bytes), Err(Error::BadLength));
    }
    let mut bytes = v2;
    bytes.resize(12, 0);
    fix(&mut bytes);
    assert!(matches!(parse(&bytes), Ok(QueryVersion::V3 { max_response: 100, .. })));
    bytes[11] = 1;
    fix(&mut bytes);
    assert_eq!(parse(&bytes), Err(Error::Truncated));
}

#[test]
fn short_messages_byte_by_byte() {
    let leave = emit(NewMessage::Leave(GROUP));
    assert_eq!(leave, [0x17, 0, 0xf7, 0xfa, 239, 1, 2, 3]);
    assert_eq!(Message::parse(&leave), Ok(Message::Leave(GROUP)));
    let report = emit(NewMessage::ReportV2(GROUP));
    assert_eq!(Message::parse(&report), Ok(Message::ReportV2(GROUP)));
    let report = emit(NewMessage::ReportV1(GROUP));
    assert_eq!(Message::parse(&report), Ok(Message::ReportV1(GROUP)));
}

#[test]
fn bad_checksums_types_and_groups_are_refused() {
    let mut bytes = emit(NewMessage::Leave(GROUP));
    bytes[7] ^= 1;
    assert_eq!(Message::parse(&bytes), Err(Error::BadChecksum));
    let bytes = emit(NewMessage::ReportV2(Ipv4Addr::new(192, 0, 2, 1)));
    assert_eq!(Message::parse(&bytes), Err(Error::BadField));
    let mut bytes = emit(NewMessage::Leave(GROUP));
    bytes[0] = 0x18;
    fix(&mut bytes);
    assert_eq!(Message::parse(&bytes), Err(Error::BadField));
}

#[test]
fn unknown_records_and_auxiliary_data_are_skipped() {
    let mut bytes = vec![0x22, 0, 0, 0, 0, 0, 0, 2];
    bytes.extend([9, 1, 0, 0, 239, 1, 2, 3, 7, 7, 7, 7]);
    bytes.extend([4, 0, 0, 0, 239, 1, 2, 4]);
    fix(&mut bytes);
    let Ok(Message::ReportV3(records)) = Message::parse(&bytes) else { panic!("no report") };
    let seen: Vec<_> = records.iter().map(|r| (r.kind, r.group)).collect();
    let second = Ipv4Addr::new(239, 1, 2, 4);
    assert_eq!(seen, [(None, GROUP), (Some(RecordKind::ChangeToExclude), second)]);
}
