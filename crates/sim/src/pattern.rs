//! Data that depends on its position, so that a byte lost, doubled or out of place is seen at once.

/// An endless stream of bytes; streams of different numbers differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pattern(
    /// The number of the stream.
    pub u64,
);

impl Pattern {
    /// Fills `buf` with the bytes at `position` and after.
    pub fn fill(self, position: u64, buf: &mut [u8]) {
        let mut at = position;
        let mut rest = buf;
        while !rest.is_empty() {
            let word = self.word(at / 8).to_le_bytes();
            let skip = (at % 8) as usize;
            let n = rest.len().min(8 - skip);
            rest[..n].copy_from_slice(&word[skip..skip + n]);
            rest = &mut rest[n..];
            at += n as u64;
        }
    }

    /// The place in `data`, which should be the bytes at `position` and after, of the first byte that is wrong.
    pub fn mismatch(self, position: u64, data: &[u8]) -> Option<usize> {
        let mut expected = [0; 4096];
        for (n, chunk) in data.chunks(expected.len()).enumerate() {
            let offset = n * expected.len();
            let expected = &mut expected[..chunk.len()];
            self.fill(position + offset as u64, expected);
            if expected != chunk {
                return expected.iter().zip(chunk).position(|(a, b)| a != b).map(|i| offset + i);
            }
        }
        None
    }

    /// splitmix64 of the stream and the position.
    fn word(self, index: u64) -> u64 {
        let mut z = (self.0 ^ index.rotate_left(32))
            .wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15))
            .wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_make_the_whole_and_a_shift_is_seen() {
        let stream = Pattern(3);
        let mut whole = vec![0; 10_000];
        stream.fill(0, &mut whole);
        for (at, len) in [(0, 1), (1, 7), (7, 9), (4_095, 3), (5_001, 4_999)] {
            let mut piece = vec![0; len];
            stream.fill(at, &mut piece);
            assert_eq!(piece, whole[at as usize..at as usize + len]);
        }
        assert_eq!(stream.mismatch(0, &whole), None);
        assert!(stream.mismatch(1, &whole).is_some());
        assert!(stream.mismatch(1460, &whole).is_some());
        assert!(Pattern(4).mismatch(0, &whole).is_some());
        whole[9_000] ^= 1;
        assert_eq!(stream.mismatch(0, &whole), Some(9_000));
    }
}
