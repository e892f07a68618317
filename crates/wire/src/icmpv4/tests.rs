//! ICMP messages: out and in again, against etherparse.

use std::vec;
use std::vec::Vec;

use etherparse::{Icmpv4Slice, Icmpv4Type, icmpv4 as theirs};
use proptest::prelude::*;

use super::*;
use crate::testing::{bytes, mutate, mutations};

fn emit(repr: &Repr<'_>) -> Vec<u8> {
    let mut bytes = vec![0xee; repr.len()];
    repr.emit(&mut bytes);
    bytes
}

/// One of every kind, over the same body.
fn repr(which: usize, a: u16, b: u16, body: &[u8]) -> Repr<'_> {
    match which {
        0 => Repr::EchoRequest { ident: a, seq: b, data: body },
        1 => Repr::EchoReply { ident: a, seq: b, data: body },
        2 => Repr::DestinationUnreachable {
            reason: Unreachable::from_code((a % 16) as u8, b).unwrap(),
            quoted: body,
        },
        3 => Repr::Redirect {
            code: (a % 4) as u8,
            gateway: Ipv4Addr::from_bits(u32::from(a) << 16 | u32::from(b)),
            quoted: body,
        },
        4 => Repr::TimeExceeded { in_reassembly: a % 2 == 1, quoted: body },
        5 => Repr::ParameterProblem {
            code: (a % 3) as u8,
            pointer: if a.is_multiple_of(3) { b as u8 } else { 0 },
            quoted: body,
        },
        _ => Repr::Other { kind: 13 + (a % 200) as u8, code: b as u8, rest: body },
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
        prop_assert_eq!(Repr::parse(&bytes, false), Ok(repr));
        // Timestamp messages have a fixed length there.
        prop_assume!(!matches!(repr, Repr::Other { kind: 13 | 14, .. }));
        let slice = Icmpv4Slice::from_slice(&bytes).unwrap();
        prop_assert_eq!(slice.header().icmp_type.calc_checksum(slice.payload()), slice.checksum());
        match (repr, slice.icmp_type()) {
            (Repr::EchoRequest { ident, seq, data }, Icmpv4Type::EchoRequest(echo))
            | (Repr::EchoReply { ident, seq, data }, Icmpv4Type::EchoReply(echo)) => {
                prop_assert_eq!((ident, seq, data), (echo.id, echo.seq, slice.payload()));
            }
            (Repr::DestinationUnreachable { reason, quoted },
                Icmpv4Type::DestinationUnreachable(header)) => {
                prop_assert_eq!((reason.code(), quoted), (header.code_u8(), slice.payload()));
                if let theirs::DestUnreachableHeader::FragmentationNeeded { next_hop_mtu } = header {
                    prop_assert_eq!(reason, Unreachable::FragmentationNeeded { mtu: next_hop_mtu });
                }
            }
            (Repr::Redirect { code, gateway, .. }, Icmpv4Type::Redirect(header)) => {
                prop_assert_eq!(gateway.octets(), header.gateway_internet_address);
                prop_assert_eq!(code, header.code as u8);
            }
            (Repr::TimeExceeded { in_reassembly, .. }, Icmpv4Type::TimeExceeded(code)) => {
                prop_assert_eq!(u8::from(in_reassembly), code as u8);
            }
            (Repr::ParameterProblem { code, pointer, .. }, Icmpv4Type::ParameterProblem(header)) => {
                match header {
                    theirs::ParameterProblemHeader::PointerIndicatesError(at) =>
                        prop_assert_eq!((code, pointer), (0, at)),
                    theirs::ParameterProblemHeader::MissingRequiredOption =>
                        prop_assert_eq!(code, 1),
                    theirs::ParameterProblemHeader::BadLength => prop_assert_eq!(code, 2),
                }
            }
            (Repr::Other { .. }, Icmpv4Type::Unknown { .. }) => {}
            (ours, theirs) => prop_assert!(false, "{ours:?} against {theirs:?}"),
        }
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in bytes(60), checksum_ok: bool) {
        if let Ok(repr) = Repr::parse(&bytes, checksum_ok) {
            prop_assert!(repr.len() <= bytes.len());
            let mut out = vec![0; repr.len()];
            repr.emit(&mut out);
        }
    }

    #[test]
    fn mutated_messages_parse_to_what_can_be_sent_again(
        which in 0usize..7, body in prop::collection::vec(any::<u8>(), 4..60), changes in mutations(),
    ) {
        let mut bytes = emit(&repr(which, 1, 2, &body));
        mutate(&mut bytes, &changes);
        fill_checksum(&mut bytes);
        let parsed = Repr::parse(&bytes, false).unwrap();
        let again = emit(&parsed);
        prop_assert_eq!(Repr::parse(&again, false), Ok(parsed));
    }

    #[test]
    fn a_flipped_bit_is_a_bad_checksum(which in 0usize..6, body in bytes(40), bit: prop::sample::Index) {
        let mut bytes = emit(&repr(which, 1, 2, &body));
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 0x80 >> (bit % 8);
        prop_assert_eq!(Repr::parse(&bytes, false), Err(Error::BadChecksum));
    }
}

#[test]
fn truncation_is_an_error_below_eight_bytes() {
    let bytes = emit(&Repr::EchoRequest { ident: 1, seq: 2, data: b"abc" });
    for len in 0..bytes.len() {
        let parsed = Repr::parse(&bytes[..len], true);
        assert_eq!(parsed.is_ok(), len >= 8, "{len}");
        assert_eq!(parsed.err(), (len < 8).then_some(Error::Truncated));
        // What was cut does not have the checksum any more.
        assert!(Repr::parse(&bytes[..len], false).is_err());
    }
}

#[test]
fn codes_nobody_assigned_are_other() {
    for (kind, code) in [(3, 16), (8, 1), (0, 1), (5, 4), (11, 2), (12, 3), (4, 0), (13, 0)] {
        let mut bytes = [kind, code, 0, 0, 1, 2, 3, 4, 5];
        fill_checksum(&mut bytes);
        let parsed = Repr::parse(&bytes, false).unwrap();
        assert_eq!(parsed, Repr::Other { kind, code, rest: &[1, 2, 3, 4, 5] });
        assert_eq!(emit(&parsed), bytes);
    }
}

#[test]
fn errors_are_known_as_such() {
    let body = [0; 8];
    let errors: Vec<bool> = (0..7).map(|i| repr(i, 0, 0, &body).is_error()).collect();
    assert_eq!(errors, [false, false, true, true, true, true, false]);
    assert!(is_error(4) && !is_error(13));
}

#[test]
fn an_extension_structure_is_no_quotation() {
    // RFC 4884: length 1 word, then four bytes of quotation and an extension.
    let mut bytes = vec![11, 0, 0, 0, 0, 1, 0, 0, 0x45, 1, 2, 3, 0x20, 0, 0, 0];
    fill_checksum(&mut bytes);
    let expected = Repr::TimeExceeded { in_reassembly: false, quoted: &[0x45, 1, 2, 3] };
    assert_eq!(Repr::parse(&bytes, false), Ok(expected));
    // A length past the end is not believed.
    bytes[5] = 200;
    let expected = Repr::TimeExceeded { in_reassembly: false, quoted: &bytes[8..] };
    assert_eq!(Repr::parse(&bytes, true), Ok(expected));
}

#[test]
fn a_quotation_makes_576_bytes_at_most() {
    assert_eq!(quotable(&[0; 1500]).len() + 28, 576);
    assert_eq!(quotable(&[0; 40]).len(), 40);
}
