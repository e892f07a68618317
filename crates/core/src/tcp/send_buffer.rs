//! The send queue: bytes the application wrote that the peer has not acknowledged, in blocks that come and go with use.

use std::collections::VecDeque;

/// Bytes per block. A segment (below 64 KiB) never spans more than two blocks.
const BLOCK: usize = 64 * 1024;

/// A block this small is kept when the queue drains, so that small messages allocate nothing.
const KEEP: usize = 4 * 1024;

/// Most ends of writes that are kept; beyond it the newest writes count as one.
const MAX_ENDS: usize = 256;

/// A queue of bytes, addressed by their offset from the first unacknowledged one.
#[derive(Debug, Default)]
pub(crate) struct SendBuffer {
    /// All but the last are full.
    blocks: VecDeque<Vec<u8>>,
    /// Bytes of the first block that are gone.
    head: usize,
    len: usize,
    /// Bytes that are gone altogether.
    gone: u64,
    /// Where the application's writes end, counted from the first byte there ever was; at most `MAX_ENDS`.
    ends: VecDeque<u64>,
}

impl SendBuffer {
    /// Bytes in the queue.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Appends `data`.
    pub(crate) fn push(&mut self, mut data: &[u8]) {
        self.len += data.len();
        while !data.is_empty() {
            match self.blocks.back_mut() {
                Some(block) if block.len() < BLOCK => {
                    let n = data.len().min(BLOCK - block.len());
                    block.extend_from_slice(&data[..n]);
                    data = &data[n..];
                }
                _ => self.blocks.push_back(Vec::with_capacity(data.len().min(BLOCK))),
            }
        }
    }

    /// The application's write ends here: what was queued by now is to be pushed to the peer's application.
    pub(crate) fn end_write(&mut self) {
        let end = self.gone + self.len as u64;
        if self.len == 0 || self.ends.back() == Some(&end) {
            return;
        }
        if self.ends.len() == MAX_ENDS {
            self.ends.pop_back();
        }
        self.ends.push_back(end);
    }

    /// Whether a write ends within the `len` bytes at `offset`, at their end included.
    pub(crate) fn write_ends_in(&self, offset: usize, len: usize) -> bool {
        let from = self.gone + offset as u64;
        let at = self.ends.partition_point(|end| *end <= from);
        self.ends.get(at).is_some_and(|end| *end <= from + len as u64)
    }

    /// Drops the first `n` bytes.
    pub(crate) fn consume(&mut self, n: usize) {
        debug_assert!(n <= self.len);
        self.len -= n;
        self.head += n;
        self.gone += n as u64;
        while self.ends.front().is_some_and(|end| *end <= self.gone) {
            self.ends.pop_front();
        }
        while self.head >= BLOCK {
            self.blocks.pop_front();
            self.head -= BLOCK;
        }
        if self.len == 0 {
            self.head = 0;
            self.blocks.truncate(1);
            match self.blocks.front_mut() {
                Some(block) if block.capacity() <= KEEP => block.clear(),
                _ => self.blocks.clear(),
            }
        }
    }

    /// The `len` bytes at `offset`, in up to two pieces. `len` is at most 64 KiB.
    pub(crate) fn slices(&self, offset: usize, len: usize) -> [&[u8]; 2] {
        debug_assert!(offset + len <= self.len && len <= BLOCK);
        if len == 0 {
            return [&[], &[]];
        }
        let at = self.head + offset;
        let (block, start) = (at / BLOCK, at % BLOCK);
        let first = &self.blocks[block][start..];
        if first.len() >= len {
            return [&first[..len], &[]];
        }
        [first, &self.blocks[block + 1][..len - first.len()]]
    }

    /// Memory held, bytes.
    #[cfg(test)]
    fn capacity(&self) -> usize {
        self.blocks.iter().map(Vec::capacity).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_writes_move_with_the_queue() {
        let mut buf = SendBuffer::default();
        for len in [10, 20] {
            buf.push(&vec![0; len]);
            buf.end_write();
        }
        assert!(buf.write_ends_in(0, 10) && !buf.write_ends_in(0, 9) && !buf.write_ends_in(10, 19));
        buf.consume(10);
        assert!(!buf.write_ends_in(0, 19) && buf.write_ends_in(0, 20));
        for _ in 0..1000 {
            buf.push(&[0]);
            buf.end_write();
        }
        assert_eq!(buf.ends.len(), MAX_ENDS);
        assert!(buf.write_ends_in(buf.len() - 1, 1), "the last end is never lost");
    }

    #[test]
    fn bytes_come_out_at_their_offsets() {
        let mut buf = SendBuffer::default();
        let mut model: Vec<u8> = Vec::new();
        let mut next = 0u8;
        for (push, consume) in
            [(10, 3), (100_000, 70_001), (65_536, 1), (1, 95_000), (200_000, 200_541)]
        {
            let data: Vec<u8> = (0..push)
                .map(|_| {
                    next = next.wrapping_add(31);
                    next
                })
                .collect();
            buf.push(&data);
            model.extend_from_slice(&data);
            let n = consume.min(model.len());
            buf.consume(n);
            model.drain(..n);
            assert_eq!(buf.len(), model.len());
            for offset in (0..model.len()).step_by(997) {
                let len = (model.len() - offset).min(64_240);
                assert_eq!(buf.slices(offset, len).concat(), &model[offset..offset + len]);
            }
        }
    }

    #[test]
    fn a_drained_queue_holds_little_memory() {
        let mut buf = SendBuffer::default();
        buf.push(&vec![1; 300_000]);
        buf.consume(300_000);
        assert!(buf.capacity() <= KEEP);
        buf.push(b"small");
        let kept = buf.capacity();
        buf.consume(5);
        assert_eq!(buf.capacity(), kept);
    }
}
