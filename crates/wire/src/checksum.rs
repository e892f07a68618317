//! The Internet checksum (RFC 1071), wide: 64-bit one's-complement sums that the compiler vectorises.

use core::net::IpAddr;

use crate::ip::Protocol;

/// A running one's-complement sum over pieces of data of any length (an odd piece continues in the next one).
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum {
    acc: u64,
    odd: bool,
}

impl Sum {
    /// A sum of nothing.
    pub const fn new() -> Self {
        Self { acc: 0, odd: false }
    }

    /// The sum of a pseudo-header (RFC 9293 §3.1, RFC 8200 §8.1). `len` is the upper-layer packet's, bytes.
    pub fn pseudo_header(src: IpAddr, dst: IpAddr, protocol: Protocol, len: u32) -> Self {
        let mut sum = Self::new();
        for addr in [src, dst] {
            match addr {
                IpAddr::V4(a) => sum.add(&a.octets()),
                IpAddr::V6(a) => sum.add(&a.octets()),
            }
        }
        sum.add(&u32::from(protocol.0).to_be_bytes());
        sum.add(&len.to_be_bytes());
        sum
    }

    /// Adds a piece of data.
    pub fn add(&mut self, data: &[u8]) {
        let mut data = data;
        if self.odd {
            let [first, rest @ ..] = data else { return };
            self.acc += u64::from(*first);
            self.odd = false;
            data = rest;
        }
        let (chunks, tail) = data.as_chunks::<4>();
        let mut acc = 0u64;
        for c in chunks {
            acc += u64::from(u32::from_be_bytes(*c));
        }
        let mut tail = tail;
        if let [a, b, rest @ ..] = tail {
            acc += u64::from(u16::from_be_bytes([*a, *b]));
            tail = rest;
        }
        if let [a] = tail {
            acc += u64::from(*a) << 8;
            self.odd = true;
        }
        self.acc = u64::from(fold(self.acc)) + u64::from(fold(acc));
    }

    /// The complement of the folded sum: what a checksum field carries.
    pub fn finish(self) -> u16 {
        !fold(self.acc)
    }
}

/// The checksum of one piece of data.
pub fn checksum(data: &[u8]) -> u16 {
    let mut sum = Sum::new();
    sum.add(data);
    sum.finish()
}

/// Whether the checksum of an upper-layer packet (its checksum field included in `data`) is right.
pub fn verify_transport(src: IpAddr, dst: IpAddr, protocol: Protocol, data: &[u8]) -> bool {
    let mut sum = Sum::pseudo_header(src, dst, protocol, data.len() as u32);
    sum.add(data);
    sum.finish() == 0
}

fn fold(mut acc: u64) -> u16 {
    while acc > 0xffff {
        acc = (acc >> 16) + (acc & 0xffff);
    }
    acc as u16
}
