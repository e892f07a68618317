//! The wide sum against the textbook's.

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::testing::{V4, V6, addrs, bytes};

/// RFC 1071 §4.1, word by word.
fn naive(data: &[u8]) -> u16 {
    let mut sum = 0u32;
    for pair in data.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !(sum as u16)
}

#[test]
fn example_of_the_rfc() {
    // RFC 1071 §3.
    assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
    assert_eq!(checksum(&[]), 0xffff);
    assert_eq!(checksum(&[0xab]), !0xab00);
}

#[test]
fn long_inputs_of_ones_wrap_and_do_not_overflow() {
    // More than a block, and every lane at its maximum.
    for len in [BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5] {
        let data = vec![0xff; len];
        assert_eq!(checksum(&data), naive(&data), "{len}");
    }
    // Not one piece but many: the accumulator of a Sum that is never finished does not overflow.
    let data = vec![0xff; 65_535];
    let mut sum = Sum::new();
    for _ in 0..1000 {
        sum.add(&data);
    }
    assert_eq!(sum.finish(), 0);
}

#[test]
fn every_length_at_every_alignment() {
    let data: Vec<u8> = (0..400u32).map(|i| (i * 167 + 13) as u8).collect();
    for start in 0..32 {
        for end in start..=data.len() {
            assert_eq!(checksum(&data[start..end]), naive(&data[start..end]), "{start}..{end}");
        }
    }
}

#[test]
fn zero_is_told_from_minus_zero() {
    // All zeros sum to 0, anything else that sums to a multiple of 0xffff to 0xffff.
    assert_eq!(checksum(&[0; 64]), 0xffff);
    assert_eq!(checksum(&[0xff; 64]), 0);
}

#[test]
fn completing_past_the_packet_is_refused() {
    let mut packet = [0; 20];
    assert_eq!(complete(&mut packet, 21, 0), Err(Error::BadLength));
    assert_eq!(complete(&mut packet, 0, 19), Err(Error::BadLength));
    assert_eq!(complete(&mut packet, 10, usize::MAX), Err(Error::BadLength));
    assert_eq!(complete(&mut packet, usize::MAX, 0), Err(Error::BadLength));
    assert_eq!(packet, [0; 20]);
    assert_eq!(complete(&mut packet, 0, 18), Ok(()));
    assert_eq!(packet[18..], [0xff, 0xff]);
}

#[test]
fn a_completed_sum_of_zero_is_written_as_ones() {
    let mut packet = [0xff, 0xff, 0, 0];
    assert_eq!(complete(&mut packet, 0, 2), Ok(()));
    assert_eq!(packet, [0xff; 4]);
}

#[test]
fn a_byte_that_changes_is_noticed_in_both_families() {
    for (src, dst) in [V4, V6] {
        let mut data = [7u8; 33];
        let mut sum = Sum::pseudo_header(src, dst, Protocol::UDP, 33);
        data[6..8].fill(0);
        sum.add(&data);
        data[6..8].copy_from_slice(&sum.finish().to_be_bytes());
        assert!(verify_transport(src, dst, Protocol::UDP, &data));
        assert!(!verify_transport(src, dst, Protocol::TCP, &data));
        for i in 0..data.len() {
            data[i] ^= 0x10;
            assert!(!verify_transport(src, dst, Protocol::UDP, &data), "{i}");
            data[i] ^= 0x10;
        }
    }
}

proptest! {
    #[test]
    fn sum_is_the_naive_one(data in bytes(5000)) {
        prop_assert_eq!(checksum(&data), naive(&data));
    }

    #[test]
    fn pieces_sum_like_the_whole(pieces in prop::collection::vec(bytes(90), 0..8)) {
        let mut sum = Sum::new();
        for piece in &pieces {
            sum.add(piece);
        }
        prop_assert_eq!(sum.finish(), naive(&pieces.concat()));
    }

    #[test]
    fn words_are_two_bytes(data in bytes(40), word: u16) {
        let even = &data[..data.len() & !1];
        let (mut a, mut b) = (Sum::new(), Sum::new());
        a.add(even);
        a.add_u16(word);
        b.add(even);
        b.add(&word.to_be_bytes());
        prop_assert_eq!(a.finish(), b.finish());
    }

    #[test]
    fn updating_equals_summing_again(
        mut data in prop::collection::vec(any::<u8>(), 4..80), at: prop::sample::Index, new: u16,
    ) {
        let old_sum = checksum(&data);
        let at = at.index(data.len() / 2) * 2;
        let old = u16::from_be_bytes([data[at], data[at + 1]]);
        data[at..at + 2].copy_from_slice(&new.to_be_bytes());
        // 0 and 0xffff are one number in this arithmetic; headers, never all zero, give only one of them.
        prop_assume!(data.iter().any(|b| *b != 0));
        prop_assume!(old_sum != 0xffff);
        prop_assert_eq!(update(old_sum, old, new), checksum(&data));
    }

    #[test]
    fn completing_a_partial_sum_makes_it_right(
        (src, dst) in addrs(), data in prop::collection::vec(any::<u8>(), 20..200), start in 0usize..60,
    ) {
        let mut packet = vec![0xa5; start];
        packet.extend_from_slice(&data);
        let partial = !Sum::pseudo_header(src, dst, Protocol::TCP, data.len() as u32).finish();
        packet[start + 16..start + 18].copy_from_slice(&partial.to_be_bytes());
        prop_assert_eq!(complete(&mut packet, start, 16), Ok(()));
        prop_assert!(verify_transport(src, dst, Protocol::TCP, &packet[start..]));
        prop_assert!(packet[..start].iter().all(|b| *b == 0xa5));
    }
}
