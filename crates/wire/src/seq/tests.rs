//! Sequence numbers on the circle.

use proptest::prelude::*;

use super::*;

#[test]
fn order_wraps() {
    let high = SeqNumber(u32::MAX - 1);
    assert!(high.lt(high + 5));
    assert!((high + 5).gt(high));
    assert_eq!(high + 5, SeqNumber(3));
    assert_eq!((high + 5).since(high), 5);
    assert_eq!(high - (high + 5), -5);
    assert!(SeqNumber(1).within(high, 4));
    assert!(!SeqNumber(2).within(high, 4));
    assert_eq!(high.max(SeqNumber(3)), SeqNumber(3));
    assert_eq!(high.min(SeqNumber(3)), high);
}

#[test]
fn an_empty_range_holds_nothing() {
    assert!(!SeqNumber(7).within(SeqNumber(7), 0));
}

proptest! {
    #[test]
    fn order_is_that_of_offsets_below_half_the_circle(
        base: u32, a in 0u32..1 << 30, b in 0u32..1 << 30,
    ) {
        let (x, y) = (SeqNumber(base) + a, SeqNumber(base) + b);
        prop_assert_eq!(x.lt(y), a < b);
        prop_assert_eq!(x.le(y), a <= b);
        prop_assert_eq!(x.gt(y), a > b);
        prop_assert_eq!(x.ge(y), a >= b);
        prop_assert_eq!(x.max(y), SeqNumber(base) + a.max(b));
        prop_assert_eq!(x.min(y), SeqNumber(base) + a.min(b));
        prop_assert_eq!(x - y, a as i32 - b as i32);
    }

    #[test]
    fn addition_and_subtraction_undo_each_other(base: u32, n: u32) {
        let mut x = SeqNumber(base);
        x += n;
        prop_assert_eq!(x, SeqNumber(base) + n);
        prop_assert_eq!(x.since(SeqNumber(base)), n);
        x -= n;
        prop_assert_eq!(x, SeqNumber(base));
        prop_assert_eq!(x + n - n, x);
    }

    #[test]
    fn within_is_a_window(base: u32, len: u32, at: u32) {
        prop_assert_eq!((SeqNumber(base) + at).within(SeqNumber(base), len), at < len);
    }
}
