//! The Internet checksum (RFC 1071), wide: 64-bit one's-complement sums that the compiler vectorises.

use core::net::IpAddr;

use crate::{Error, ip::Protocol};

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
        // Words of 32 bits are two of 16 to a sum that is folded.
        let mut acc = u64::from(protocol.0) + u64::from(len);
        for addr in [src, dst] {
            acc += match addr {
                IpAddr::V4(a) => u64::from(u32::from(a)),
                IpAddr::V6(a) => {
                    let (high, low) = ((a.to_bits() >> 64) as u64, a.to_bits() as u64);
                    (high >> 32) + (high & 0xffff_ffff) + (low >> 32) + (low & 0xffff_ffff)
                }
            };
        }
        Self { acc, odd: false }
    }

    /// Adds a piece of data, of any length and alignment.
    #[inline]
    pub fn add(&mut self, data: &[u8]) {
        let mut data = data;
        if self.odd {
            let [first, rest @ ..] = data else { return };
            self.acc = u64::from(fold(self.acc)) + u64::from(*first);
            self.odd = false;
            data = rest;
        }
        self.acc = u64::from(fold(self.acc)) + u64::from(sum_words(data));
        self.odd = !data.len().is_multiple_of(2);
    }

    /// Adds one 16-bit word. Only between pieces of even length.
    #[inline]
    pub fn add_u16(&mut self, word: u16) {
        debug_assert!(!self.odd, "a word begins at an even offset");
        self.acc = u64::from(fold(self.acc)) + u64::from(word);
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

/// The checksum after the 16-bit word `old` of what it covers became `new` (RFC 1624 §3, equation 3): what a router does
/// that lowers a TTL.
pub fn update(checksum: u16, old: u16, new: u16) -> u16 {
    !fold(u64::from(!checksum) + u64::from(!old) + u64::from(new))
}

/// Completes a checksum that the sender left to a device: the field at `start + offset` holds the folded sum of the
/// pseudo-header, and the sum of everything from `start` on is to replace it. `start` and `offset` are bytes; they are
/// the `csum_start` and `csum_offset` of a virtio header. A result of 0 is written as 0xffff, which means the same and
/// is not mistaken for UDP's "no checksum" (RFC 768).
///
/// # Errors
/// [`Error::BadLength`] when the field does not lie in `packet`.
pub fn complete(packet: &mut [u8], start: usize, offset: usize) -> Result<(), Error> {
    let covered = packet.get_mut(start..).ok_or(Error::BadLength)?;
    let end = offset.checked_add(2).ok_or(Error::BadLength)?;
    if end > covered.len() {
        return Err(Error::BadLength);
    }
    let sum = match checksum(covered) {
        0 => 0xffff,
        sum => sum,
    };
    covered[offset..end].copy_from_slice(&sum.to_be_bytes());
    Ok(())
}

/// Bytes summed before the 64-bit lanes are folded: far below the 2^32 additions a lane has room for, and even.
const BLOCK: usize = 1 << 20;
/// Headers without options, and others as short: not worth setting lanes up.
const SHORT: usize = 64;
/// Lanes of the wide sum; eight 32-bit words at a time are two SSE or one AVX2 register.
const LANES: usize = 8;

/// The folded sum of big-endian 16-bit words; a last odd byte counts as the high half of one.
///
/// One's-complement sums do not depend on byte order (RFC 1071 §2.B), so words are added as they lie in memory, in
/// independent 64-bit lanes that the compiler turns into vector additions, and swapped once at the end.
fn sum_words(data: &[u8]) -> u16 {
    if data.len() < SHORT {
        return u16::from_be(fold(sum_short(data)));
    }
    let mut total = 0u64;
    for block in data.chunks(BLOCK) {
        let (wide, rest) = block.as_chunks::<{ 4 * LANES }>();
        let mut lanes = [0u64; LANES];
        for chunk in wide {
            let (words, _) = chunk.as_chunks::<4>();
            for (lane, word) in lanes.iter_mut().zip(words) {
                *lane += u64::from(u32::from_ne_bytes(*word));
            }
        }
        // 2^15 additions of 32 bits in each of eight lanes leave their sum below 2^50.
        let sum = lanes.iter().sum::<u64>() + sum_short(rest);
        total = u64::from(fold(total)) + u64::from(fold(sum));
    }
    u16::from_be(fold(total))
}

/// The sum of a few words as they lie in memory, not folded.
#[inline]
fn sum_short(data: &[u8]) -> u64 {
    let (words, rest) = data.as_chunks::<4>();
    let mut tail = [0; 4];
    tail[..rest.len()].copy_from_slice(rest);
    let sum = words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum::<u64>();
    sum + u64::from(u32::from_ne_bytes(tail))
}

#[inline]
fn fold(acc: u64) -> u16 {
    let acc = (acc >> 32) + (acc & 0xffff_ffff);
    let acc = (acc >> 16) + (acc & 0xffff);
    let acc = (acc >> 16) + (acc & 0xffff);
    let acc = (acc >> 16) + (acc & 0xffff);
    acc as u16
}

#[cfg(test)]
mod tests;
