//! ICMPv6 messages: out and in again, against etherparse.

use std::vec;
use std::vec::Vec;

use etherparse::{Icmpv6Slice, Icmpv6Type};
use proptest::prelude::*;

use super::*;
use crate::testing::{bytes, mutate, mutations};

const A: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const B: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);

fn emit(repr: &Repr<'_>) -> Vec<u8> {
    let mut bytes = vec![0xee; repr.len()];
    repr.emit(&mut bytes, A, B);
    bytes
}

fn parse(bytes: &[u8]) -> Result<Repr<'_>, Error> {
    Repr::parse(bytes, A, B, false)
}

/// One of every kind, over the same body.
fn repr(which: usize, a: u16, b: u16, body: &[u8]) -> Repr<'_> {
    let word = u32::from(a) << 16 | u32::from(b);
    match which {
        0 => Repr::EchoRequest { ident: a, seq: b, data: body },
        1 => Repr::EchoReply { ident: a, seq: b, data: body },
        2 => Repr::DestinationUnreachable {
            reason: Unreachable::from_code((a % 9) as u8).unwrap(),
            quoted: body,
        },
        3 => Repr::PacketTooBig { mtu: word, quoted: body },
        4 => Repr::TimeExceeded { in_reassembly: a % 2 == 1, quoted: body },
        5 => Repr::ParameterProblem { code: (a % 11) as u8, pointer: word, quoted: body },
        _ => Repr::Other { kind: 140 + (a % 100) as u8, code: b as u8, rest: body },
    }
}

proptest! {
    #[test]
    fn what_is_emitted_is_parsed_and_etherparse_agrees(
        which in 0usize..7, a: u16, b: u16, body in prop::collection::vec(any::<u8>(), 4..100),
    ) {
        let repr = repr(which, a, b, &body);
        let bytes = emit(&repr);
        prop_assert_eq!(bytes.len(), repr.len());
        prop_assert_eq!(parse(&bytes), Ok(repr));
        let slice = Icmpv6Slice::from_slice(&bytes).unwrap();
        prop_assert!(slice.is_checksum_valid(A.octets(), B.octets()));
        match (repr, slice.icmp_type()) {
            (Repr::EchoRequest { ident, seq, data }, Icmpv6Type::EchoRequest(echo))
            | (Repr::EchoReply { ident, seq, data }, Icmpv6Type::EchoReply(echo)) => {
                prop_assert_eq!((ident, seq, data), (echo.id, echo.seq, slice.payload()));
            }
            (Repr::DestinationUnreachable { reason, quoted },
                Icmpv6Type::DestinationUnreachable(code)) => {
                prop_assert_eq!((reason.code(), quoted), (code.code_u8(), slice.payload()));
            }
            (Repr::PacketTooBig { mtu, quoted }, Icmpv6Type::PacketTooBig { mtu: theirs }) => {
                prop_assert_eq!((mtu, quoted), (theirs, slice.payload()));
            }
            (Repr::TimeExceeded { in_reassembly, .. }, Icmpv6Type::TimeExceeded(code)) => {
                prop_assert_eq!(u8::from(in_reassembly), code.code_u8());
            }
            (Repr::ParameterProblem { code, pointer, .. }, Icmpv6Type::ParameterProblem(header)) => {
                prop_assert_eq!((code, pointer), (header.code.code_u8(), header.pointer));
            }
            (Repr::Other { .. }, Icmpv6Type::Unknown { .. }) => {}
            // It knows fewer codes of Destination Unreachable.
            (Repr::DestinationUnreachable { reason, .. }, Icmpv6Type::Unknown { .. }) => {
                prop_assert!(reason.code() > 6);
            }
            (ours, theirs) => prop_assert!(false, "{ours:?} against {theirs:?}"),
        }
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in bytes(60), checksum_ok: bool) {
        if let Ok(repr) = Repr::parse(&bytes, A, B, checksum_ok) {
            prop_assert!(repr.len() <= bytes.len());
            let mut out = vec![0; repr.len()];
            repr.emit(&mut out, A, B);
        }
    }

    #[test]
    fn mutated_messages_parse_to_what_can_be_sent_again(
        which in 0usize..7, body in prop::collection::vec(any::<u8>(), 4..60), changes in mutations(),
    ) {
        let mut bytes = emit(&repr(which, 1, 2, &body));
        mutate(&mut bytes, &changes);
        fill_checksum(&mut bytes, A, B);
        let parsed = parse(&bytes).unwrap();
        let again = emit(&parsed);
        prop_assert_eq!(parse(&again), Ok(parsed));
    }

    #[test]
    fn a_flipped_bit_is_a_bad_checksum(which in 0usize..7, body in bytes(40), bit: prop::sample::Index) {
        let mut bytes = emit(&repr(which, 1, 2, &body));
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 0x80 >> (bit % 8);
        prop_assert_eq!(parse(&bytes), Err(Error::BadChecksum));
    }
}

#[test]
fn truncation_is_an_error_below_the_fixed_part() {
    let bytes = emit(&Repr::EchoRequest { ident: 1, seq: 2, data: b"abc" });
    for len in 0..bytes.len() {
        let parsed = Repr::parse(&bytes[..len], A, B, true);
        assert_eq!(parsed.err(), (len < 8).then_some(Error::Truncated), "{len}");
        assert!(parse(&bytes[..len]).is_err());
    }
    // Of a type that is not known, nothing but the first four bytes is.
    let parsed = Repr::parse(&[200, 1, 0, 0], A, B, true);
    assert_eq!(parsed, Ok(Repr::Other { kind: 200, code: 1, rest: &[] }));
}

#[test]
fn the_checksum_covers_the_addresses() {
    let bytes = emit(&Repr::EchoRequest { ident: 1, seq: 2, data: b"abc" });
    assert_eq!(Repr::parse(&bytes, A, A, false), Err(Error::BadChecksum));
}

#[test]
fn codes_nobody_assigned_are_other_except_of_packet_too_big() {
    for (kind, code) in [(1, 9), (3, 2), (128, 1), (129, 1), (5, 0), (135, 0)] {
        let mut bytes = [kind, code, 0, 0, 1, 2, 3, 4, 5];
        fill_checksum(&mut bytes, A, B);
        let parsed = parse(&bytes).unwrap();
        assert_eq!(parsed, Repr::Other { kind, code, rest: &[1, 2, 3, 4, 5] });
        assert_eq!(emit(&parsed), bytes);
    }
    let mut bytes = [2, 77, 0, 0, 0, 0, 5, 0];
    fill_checksum(&mut bytes, A, B);
    assert_eq!(parse(&bytes), Ok(Repr::PacketTooBig { mtu: 1280, quoted: &[] }));
}

#[test]
fn errors_are_known_as_such() {
    let body = [0; 8];
    let errors: Vec<bool> = (0..7).map(|i| repr(i, 0, 0, &body).is_error()).collect();
    assert_eq!(errors, [false, false, true, true, true, true, false]);
    // RFC 4443 §2.4 e: neither unknown errors nor redirects are answered with one.
    assert!(is_error(100) && is_error(137) && !is_error(135));
}

#[test]
fn an_extension_structure_is_no_quotation() {
    let mut bytes = vec![3, 0, 0, 0, 1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0x20, 0, 0, 0];
    fill_checksum(&mut bytes, A, B);
    let expected = Repr::TimeExceeded { in_reassembly: false, quoted: &[1, 2, 3, 4, 5, 6, 7, 8] };
    assert_eq!(parse(&bytes), Ok(expected));
}

#[test]
fn a_quotation_makes_1280_bytes_at_most() {
    assert_eq!(quotable(&[0; 1500]).len() + 48, 1280);
    assert_eq!(quotable(&[0; 40]).len(), 40);
}
