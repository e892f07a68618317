//! What the tests of several formats share.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::vec::Vec;

use proptest::prelude::*;

/// A pair of addresses of one family.
pub(crate) fn addrs() -> impl Strategy<Value = (IpAddr, IpAddr)> {
    prop_oneof![
        any::<(u32, u32)>().prop_map(|(a, b)| {
            (IpAddr::V4(Ipv4Addr::from_bits(a)), IpAddr::V4(Ipv4Addr::from_bits(b)))
        }),
        any::<(u128, u128)>().prop_map(|(a, b)| {
            (IpAddr::V6(Ipv6Addr::from_bits(a)), IpAddr::V6(Ipv6Addr::from_bits(b)))
        }),
    ]
}

/// Up to `max` arbitrary bytes.
pub(crate) fn bytes(max: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..=max)
}

/// Changes to make to a packet: places (modulo its length) and values.
pub(crate) fn mutations() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    prop::collection::vec(any::<(prop::sample::Index, u8)>(), 0..6)
}

/// Makes the changes.
pub(crate) fn mutate(packet: &mut [u8], mutations: &[(prop::sample::Index, u8)]) {
    if packet.is_empty() {
        return;
    }
    for (at, value) in mutations {
        packet[at.index(packet.len())] = *value;
    }
}

/// Two addresses for tests that need only some.
pub(crate) const V4: (IpAddr, IpAddr) =
    (IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V4(Ipv4Addr::new(198, 18, 0, 2)));
/// Two addresses for tests that need only some.
pub(crate) const V6: (IpAddr, IpAddr) = (
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2)),
);
