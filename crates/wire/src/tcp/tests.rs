//! TCP headers: out and in again, against etherparse, and what hostile ones do.

use std::vec;
use std::vec::Vec;

use etherparse::{TcpHeader, TcpHeaderSlice, TcpOptionElement as Element};
use proptest::prelude::*;

use super::*;
use crate::testing::{V4, V6, addrs, bytes, mutate, mutations};

fn options() -> impl Strategy<Value = Options> {
    (
        prop::option::of(1u16..),
        prop::option::of(any::<u8>()),
        any::<bool>(),
        prop::option::of(any::<(u32, u32)>()),
        prop::collection::vec(any::<(u32, u32)>(), 0..=4),
        prop::option::of((0usize..=8).prop_filter("2 is no length", |n| *n != 1)),
        any::<bool>(),
        prop::option::of(any::<u16>().prop_filter("zero is reserved", |t| t & 0x7fff != 0)),
        prop::option::of((any::<bool>(), prop::collection::vec(0u32..1 << 24, 0..=3))),
    )
        .prop_map(|(mss, window_scale, sack_permitted, timestamps, sack, cookie, old, t, ecn)| {
            Options {
                mss,
                window_scale,
                sack_permitted,
                timestamps: timestamps.map(|(val, ecr)| Timestamps { val, ecr }),
                sack: sack.into_iter().map(|(l, r)| (SeqNumber(l), SeqNumber(r))).collect(),
                fast_open: cookie.map(|n| (0..2 * n as u8).collect()),
                fast_open_experimental: old && cookie.is_some(),
                user_timeout: t,
                acc_ecn: ecn.map(|(order1, fields)| AccEcn {
                    order1,
                    fields: fields.into_iter().collect(),
                }),
            }
        })
        .prop_filter("fits", |o| {
            // What is left out for want of room does not come back.
            let bare = Options { sack: ArrayVec::new(), acc_ecn: None, ..o.clone() };
            let least = Options { user_timeout: None, ..bare.clone() };
            let user_timeout = 4 * usize::from(o.user_timeout.is_some());
            let acc_ecn = o.acc_ecn.as_ref().map_or(0, AccEcn::padded_len);
            least.len() + user_timeout + acc_ecn <= MAX_OPTIONS_LEN
        })
        .prop_filter("fits", |o| o.len() <= MAX_OPTIONS_LEN)
}

prop_compose! {
    fn reprs()(
        src_port in 1u16.., dst_port in 1u16.., seq: u32, ack: u32, flags in 0u16..0x200, window: u16,
        urgent: u16, options in options(),
    ) -> Repr {
        Repr {
            src_port, dst_port, seq: SeqNumber(seq), ack: SeqNumber(ack),
            flags: Flags::from_bits_truncate(flags), window, urgent, options,
        }
    }
}

fn emit(repr: &Repr, payload: &[u8], (src, dst): (IpAddr, IpAddr)) -> Vec<u8> {
    let mut bytes = vec![0xee; repr.header_len()];
    repr.emit(&mut bytes);
    Repr::fill_checksum(&mut bytes, &[payload], src, dst);
    bytes.extend_from_slice(payload);
    bytes
}

/// What comes back of options: SACK blocks that did not fit are gone.
fn as_sent(repr: &Repr) -> Repr {
    let mut repr = repr.clone();
    let mut bare = repr.options.clone();
    bare.sack.clear();
    let fit = bare.sack_capacity();
    repr.options.sack.truncate(fit);
    repr
}

impl Options {
    fn sack_capacity(&self) -> usize {
        (MAX_OPTIONS_LEN - 4).saturating_sub(self.len()) / 8
    }
}

proptest! {
    #[test]
    fn what_is_emitted_is_parsed(repr in reprs(), payload in bytes(64), addrs in addrs()) {
        let bytes = emit(&repr, &payload, addrs);
        let (parsed, header_len) = Repr::parse(&bytes, addrs.0, addrs.1, false).unwrap();
        prop_assert_eq!(&parsed, &as_sent(&repr));
        prop_assert_eq!(header_len, repr.header_len());
        prop_assert_eq!(&bytes[header_len..], &payload[..]);
    }

    #[test]
    fn etherparse_reads_what_is_emitted(repr in reprs(), payload in bytes(64), addrs in addrs()) {
        let bytes = emit(&repr, &payload, addrs);
        let (theirs, rest) = TcpHeader::from_slice(&bytes).unwrap();
        prop_assert_eq!(rest, &payload[..]);
        prop_assert_eq!(theirs.source_port, repr.src_port);
        prop_assert_eq!(theirs.destination_port, repr.dst_port);
        prop_assert_eq!(theirs.sequence_number, repr.seq.0);
        prop_assert_eq!(theirs.acknowledgment_number, repr.ack.0);
        prop_assert_eq!(theirs.window_size, repr.window);
        prop_assert_eq!(theirs.urgent_pointer, repr.urgent);
        for (theirs, flag) in [
            (theirs.fin, Flags::FIN), (theirs.syn, Flags::SYN), (theirs.rst, Flags::RST),
            (theirs.psh, Flags::PSH), (theirs.ack, Flags::ACK), (theirs.urg, Flags::URG),
            (theirs.ece, Flags::ECE), (theirs.cwr, Flags::CWR), (theirs.ns, Flags::AE),
        ] {
            prop_assert_eq!(theirs, repr.flags.contains(flag));
        }
        let sum = match addrs {
            (IpAddr::V4(a), IpAddr::V4(b)) =>
                theirs.calc_checksum_ipv4_raw(a.octets(), b.octets(), &payload).unwrap(),
            (IpAddr::V6(a), IpAddr::V6(b)) =>
                theirs.calc_checksum_ipv6_raw(a.octets(), b.octets(), &payload).unwrap(),
            _ => unreachable!(),
        };
        prop_assert_eq!(theirs.checksum, sum);

        let sent = as_sent(&repr).options;
        // etherparse does not know Fast Open and the user timeout and stops there.
        let known = sent.user_timeout.is_none() && sent.acc_ecn.is_none();
        if sent.fast_open.is_none() && known {
            let mut seen = Options::default();
            for element in theirs.options_iterator() {
                match element.unwrap() {
                    Element::Noop => {}
                    Element::MaximumSegmentSize(mss) => seen.mss = Some(mss),
                    Element::WindowScale(shift) => seen.window_scale = Some(shift),
                    Element::SelectiveAcknowledgementPermitted => seen.sack_permitted = true,
                    Element::Timestamp(val, ecr) => seen.timestamps = Some(Timestamps { val, ecr }),
                    Element::SelectiveAcknowledgement(first, rest) => {
                        for (l, r) in [Some(first)].into_iter().chain(rest).flatten() {
                            seen.sack.push((SeqNumber(l), SeqNumber(r)));
                        }
                    }
                }
            }
            prop_assert_eq!(seen, sent);
        }
    }

    #[test]
    fn what_etherparse_writes_is_parsed(
        ports in (1u16.., 1u16..), seq: u32, window: u16, payload in bytes(64),
        addrs in addrs(), elements in prop::collection::vec(elements(), 0..5),
    ) {
        let mut theirs = TcpHeader::new(ports.0, ports.1, seq, window);
        prop_assume!(theirs.set_options(&elements).is_ok());
        theirs.syn = true;
        theirs.checksum = match addrs {
            (IpAddr::V4(a), IpAddr::V4(b)) =>
                theirs.calc_checksum_ipv4_raw(a.octets(), b.octets(), &payload).unwrap(),
            (IpAddr::V6(a), IpAddr::V6(b)) =>
                theirs.calc_checksum_ipv6_raw(a.octets(), b.octets(), &payload).unwrap(),
            _ => unreachable!(),
        };
        let mut bytes = theirs.to_bytes().to_vec();
        bytes.extend_from_slice(&payload);
        let (repr, len) = Repr::parse(&bytes, addrs.0, addrs.1, false).unwrap();
        prop_assert_eq!(len, theirs.header_len());
        prop_assert_eq!((repr.src_port, repr.dst_port, repr.seq.0, repr.window),
            (ports.0, ports.1, seq, window));
        prop_assert_eq!(repr.flags, Flags::SYN);
        for element in &elements {
            // Of an option that stands twice the last one counts, so membership is only checked for single ones.
            let twice = elements.iter()
                .filter(|e| core::mem::discriminant(*e) == core::mem::discriminant(element)).count() > 1;
            match *element {
                _ if twice => {}
                Element::MaximumSegmentSize(mss) =>
                    prop_assert_eq!(repr.options.mss, Some(mss).filter(|m| *m != 0)),
                Element::WindowScale(n) => prop_assert_eq!(repr.options.window_scale, Some(n)),
                Element::Timestamp(val, ecr) =>
                    prop_assert_eq!(repr.options.timestamps, Some(Timestamps { val, ecr })),
                Element::SelectiveAcknowledgementPermitted =>
                    prop_assert!(repr.options.sack_permitted),
                Element::SelectiveAcknowledgement(first, _) =>
                    prop_assert_eq!(repr.options.sack[0], (SeqNumber(first.0), SeqNumber(first.1))),
                Element::Noop => {}
            }
        }
    }

    #[test]
    fn truncation_at_every_length_is_an_error_or_shorter_data(repr in reprs(), payload in bytes(8)) {
        let bytes = emit(&repr, &payload, V6);
        for len in 0..bytes.len() {
            match Repr::parse(&bytes[..len], V6.0, V6.1, true) {
                Ok((parsed, header_len)) => {
                    prop_assert!(len >= repr.header_len());
                    prop_assert_eq!(header_len, repr.header_len());
                    prop_assert_eq!(parsed, as_sent(&repr));
                }
                Err(error) => {
                    prop_assert!(len < repr.header_len());
                    let expected = if len < HEADER_LEN { Error::Truncated } else { Error::BadLength };
                    prop_assert_eq!(error, expected);
                }
            }
        }
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in bytes(80), addrs in addrs(), checksum_ok: bool) {
        if let Ok((repr, len)) = Repr::parse(&bytes, addrs.0, addrs.1, checksum_ok) {
            prop_assert!((HEADER_LEN..=MAX_HEADER_LEN).contains(&len) && len <= bytes.len());
            prop_assert!(repr.src_port != 0 && repr.dst_port != 0);
            prop_assert_eq!(TcpHeaderSlice::from_slice(&bytes).unwrap().slice().len(), len);
        }
    }

    #[test]
    fn mutated_segments_do_not_panic_and_agree_with_etherparse(
        repr in reprs(), payload in bytes(20), changes in mutations(),
    ) {
        let mut bytes = emit(&repr, &payload, V4);
        mutate(&mut bytes, &changes);
        let theirs = TcpHeaderSlice::from_slice(&bytes);
        match Repr::parse(&bytes, V4.0, V4.1, true) {
            Ok((ours, len)) => {
                let theirs = theirs.unwrap();
                prop_assert_eq!(theirs.slice().len(), len);
                prop_assert_eq!(theirs.sequence_number(), ours.seq.0);
                prop_assert_eq!(theirs.source_port(), ours.src_port);
            }
            Err(Error::BadField) => prop_assert!(theirs.is_ok()),
            Err(_) => prop_assert!(theirs.is_err()),
        }
    }

    #[test]
    fn arbitrary_options_do_not_panic(bytes in bytes(60)) {
        let options = Options::parse(&bytes);
        prop_assert!(options.mss != Some(0));
        // Whatever came in can be sent, and reads the same.
        let mut out = [0; 80];
        let len = options.len();
        prop_assert_eq!(len % 4, 0);
        options.emit(&mut out[..len]);
        let mut bare = options.clone();
        bare.sack.clear();
        let mut sent = options;
        sent.sack.truncate(bare.sack_capacity());
        prop_assert_eq!(Options::parse(&out[..len]), sent);
    }

    #[test]
    fn a_flipped_bit_is_a_bad_checksum(repr in reprs(), payload in bytes(40), bit: prop::sample::Index) {
        let mut bytes = emit(&repr, &payload, V4);
        let bit = bit.index(bytes.len() * 8);
        // The data offset is looked at before the checksum.
        prop_assume!(!(96..100).contains(&bit));
        bytes[bit / 8] ^= 0x80 >> (bit % 8);
        prop_assert_eq!(Repr::parse(&bytes, V4.0, V4.1, false).unwrap_err(), Error::BadChecksum);
    }

    #[test]
    fn a_device_completes_a_partial_checksum(repr in reprs(), payload in bytes(90), addrs in addrs()) {
        let mut bytes = vec![0; repr.header_len()];
        repr.emit(&mut bytes);
        Repr::fill_partial_checksum(&mut bytes, repr.header_len() + payload.len(), addrs.0, addrs.1);
        bytes.extend_from_slice(&payload);
        checksum::complete(&mut bytes, 0, CHECKSUM_OFFSET).unwrap();
        prop_assert!(Repr::parse(&bytes, addrs.0, addrs.1, false).is_ok());
    }
}

fn elements() -> impl Strategy<Value = Element> {
    prop_oneof![
        Just(Element::Noop),
        any::<u16>().prop_map(Element::MaximumSegmentSize),
        any::<u8>().prop_map(Element::WindowScale),
        Just(Element::SelectiveAcknowledgementPermitted),
        any::<(u32, u32)>().prop_map(|(a, b)| Element::Timestamp(a, b)),
        any::<((u32, u32), Option<(u32, u32)>)>()
            .prop_map(|(a, b)| Element::SelectiveAcknowledgement(a, [b, None, None])),
    ]
}

#[test]
fn a_syn_of_linux_is_read_and_written_alike() {
    // MSS 1460, SACK permitted, timestamps, NOP, window scale 7: what Linux sends.
    let raw = [2, 4, 0x05, 0xb4, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 1, 3, 3, 7];
    let options = Options::parse(&raw);
    assert_eq!(options.mss, Some(1460));
    assert!(options.sack_permitted);
    assert_eq!(options.timestamps, Some(Timestamps { val: 9, ecr: 0 }));
    assert_eq!(options.window_scale, Some(7));
    let mut out = [0; 20];
    assert_eq!(options.len(), 20);
    options.emit(&mut out);
    assert_eq!(out, raw);
}

#[test]
fn sack_blocks_of_linux_are_read_and_written_alike() {
    let raw = [
        1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 8, 1, 1, 5, 18, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0,
        0, 4,
    ];
    let options = Options::parse(&raw);
    assert_eq!(
        options.sack.as_slice(),
        [(SeqNumber(1), SeqNumber(2)), (SeqNumber(3), SeqNumber(4))]
    );
    let mut out = [0; 32];
    assert_eq!(options.len(), 32);
    options.emit(&mut out);
    assert_eq!(out, raw);
}

#[test]
fn sack_blocks_that_do_not_fit_are_left_out() {
    let blocks: ArrayVec<_, 4> = (0..4).map(|i| (SeqNumber(i), SeqNumber(i + 1))).collect();
    let bare = Options { sack: blocks.clone(), ..Options::default() };
    assert_eq!(bare.len(), 36);
    let stamped = Options { timestamps: Some(Timestamps::default()), ..bare };
    assert_eq!(stamped.len(), 40);
    let mut out = [0; 40];
    stamped.emit(&mut out);
    assert_eq!(Options::parse(&out).sack.as_slice(), &blocks[..3]);
}

#[test]
fn malformed_options_end_the_list_and_keep_what_came_before() {
    let mss = Options { mss: Some(1000), ..Options::default() };
    for tail in [
        &[3, 0, 7, 1][..],   // length 0
        &[3, 1, 7, 1],       // length 1
        &[3, 5, 7, 1],       // past the end
        &[3],                // no length
        &[0, 3, 3, 7],       // after the end of the list
        &[8, 255, 0, 0],     // far past the end
        &[3, 4, 7, 1],       // a length this kind does not have
        &[2, 3, 5, 1],       // another
        &[5, 2, 1, 1],       // no block
        &[5, 6, 1, 1, 1, 1], // not a block
        &[34, 3, 1, 1],      // an odd cookie
        &[34, 4, 1, 1],      // a cookie too short
        &[99, 4, 1, 1],      // unknown
        &[254, 4, 1, 1],     // an unknown experiment
    ] {
        let mut raw = vec![2, 4, 3, 232];
        raw.extend_from_slice(tail);
        assert_eq!(Options::parse(&raw), mss, "{tail:?}");
    }
}

#[test]
fn unknown_options_are_skipped() {
    let raw = [99, 2, 99, 5, 1, 2, 3, 2, 4, 3, 232, 19, 4, 0, 0, 1, 3, 3, 14];
    let options = Options::parse(&raw);
    assert_eq!((options.mss, options.window_scale), (Some(1000), Some(14)));
}

#[test]
fn an_mss_of_zero_is_no_mss() {
    assert_eq!(Options::parse(&[2, 4, 0, 0]), Options::default());
}

#[test]
fn a_window_scale_above_14_is_kept_as_received() {
    assert_eq!(Options::parse(&[3, 3, 15]).window_scale, Some(15));
    assert_eq!(Options::parse(&[3, 3, 255]).window_scale, Some(255));
}

#[test]
fn fast_open_in_both_spellings() {
    assert_eq!(Options::parse(&[34, 2]).fast_open, Some(ArrayVec::new()));
    let cookie: ArrayVec<u8, 16> = [1, 2, 3, 4].into_iter().collect();
    assert_eq!(Options::parse(&[34, 6, 1, 2, 3, 4]).fast_open, Some(cookie.clone()));
    assert_eq!(Options::parse(&[254, 8, 0xf9, 0x89, 1, 2, 3, 4]).fast_open, Some(cookie));
    // Where both stand, the standard one counts.
    let both = [&[34, 6, 1, 2, 3, 4][..], &[254, 8, 0xf9, 0x89, 5, 6, 7, 8]];
    for options in [both.concat(), [both[1], both[0]].concat()] {
        let options = Options::parse(&options);
        assert_eq!(options.fast_open.as_deref(), Some(&[1, 2, 3, 4][..]));
        assert!(!options.fast_open_experimental);
    }
    // 17 bytes and more are no cookie.
    assert_eq!(Options::parse(&[&[34, 20][..], &[0; 18]].concat()).fast_open, None);
}

#[test]
fn a_port_of_zero_is_refused() {
    for ports in [(0, 1), (1, 0)] {
        let repr = Repr { src_port: ports.0, dst_port: ports.1, ..Repr::default() };
        let bytes = emit(&repr, &[], V4);
        assert_eq!(Repr::parse(&bytes, V4.0, V4.1, false).unwrap_err(), Error::BadField);
    }
}

#[test]
fn a_data_offset_that_lies_is_refused() {
    let repr = Repr { src_port: 1, dst_port: 2, ..Repr::default() };
    for offset in 0..16u8 {
        let mut bytes = emit(&repr, &[0; 20], V4);
        bytes[12] = offset << 4;
        let parsed = Repr::parse(&bytes, V4.0, V4.1, true);
        match offset {
            5..=10 => assert_eq!(parsed.unwrap().1, usize::from(offset) * 4),
            _ => assert_eq!(parsed.unwrap_err(), Error::BadLength),
        }
    }
}

#[test]
fn the_checksum_covers_addresses_and_is_skipped_on_request() {
    let repr = Repr { src_port: 1, dst_port: 2, ..Repr::default() };
    let bytes = emit(&repr, b"data", V6);
    assert_eq!(Repr::parse(&bytes, V6.0, V6.0, false).unwrap_err(), Error::BadChecksum);
    assert!(Repr::parse(&bytes, V6.0, V6.0, true).is_ok());
}

#[test]
fn user_timeouts_are_seconds_or_minutes() {
    for (seconds, raw) in [(1, 1), (300, 300), (0x7fff, 0x7fff), (0x8000, 0x8223)] {
        assert_eq!(user_timeout_option(seconds), Some(raw));
        let told = u64::from(user_timeout_seconds(raw));
        assert!(told >= seconds && told < seconds + 60);
    }
    assert_eq!(user_timeout_option(0), None);
    assert_eq!(user_timeout_option(u64::MAX), Some(0xffff));
}
