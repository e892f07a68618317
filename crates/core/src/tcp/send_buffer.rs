//! The send queue: bytes the application wrote that the peer has not acknowledged, in blocks that come and go with use.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::frame::{NO_PAYLOAD, PAYLOAD_PIECES};
use crate::lazy::{Lazy, blank};

/// Bytes per block.
const BLOCK: usize = 64 * 1024;

/// The longest stretch that is always within as many blocks as a frame has pieces.
pub(crate) const MAX_SLICES: usize = (PAYLOAD_PIECES - 1) * BLOCK;

/// A block this small is kept with a queue that drained, so that small messages allocate nothing.
const KEEP: usize = 4 * 1024;

/// Free blocks that a stack keeps: 2 MiB.
const MAX_FREE: usize = 32;

/// Empty queues that a stack keeps for the next writes, whoever's they are.
const MAX_QUEUES: usize = 64;

/// Buffers for small received pieces that a stack keeps, and their most bytes: a few unread ones, which is what a connection
/// is charged for, are not to keep much more from being used.
const MAX_SMALL: usize = 64;
const MAX_SMALL_LEN: usize = 1024;

/// Most ends of writes that are kept; beyond it the newest writes count as one.
const MAX_ENDS: usize = 256;

/// Blocks of a stack that no queue needs at present. Getting memory from the system, page by page, costs as much as sending
/// what is in it; so those that one acknowledgement frees serve the next write.
#[derive(Debug, Default)]
pub(crate) struct BlockPool(Mutex<Free>);

#[derive(Debug, Default)]
struct Free {
    blocks: Vec<Vec<u8>>,
    /// A block was taken since the last [`BlockPool::trim`].
    used: bool,
    /// Empty ones of connections that had no use for theirs; in the box in which the next one gets it.
    #[expect(clippy::vec_box, reason = "a queue goes back and forth in its box")]
    queues: Vec<Box<SendBuffer>>,
    /// Buffers that receive queues gathered small pieces in.
    small: Vec<Vec<u8>>,
}

impl BlockPool {
    fn take(&self) -> Vec<u8> {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        free.used = true;
        free.blocks.pop().unwrap_or_else(|| Vec::with_capacity(BLOCK))
    }

    fn put(&self, mut block: Vec<u8>) {
        if block.capacity() < BLOCK {
            return;
        }
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if free.blocks.len() < MAX_FREE {
            block.clear();
            free.blocks.push(block);
        }
    }

    fn take_queue(&self) -> Option<Box<SendBuffer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).queues.pop()
    }

    fn put_queue(&self, mut queue: Box<SendBuffer>) {
        queue.gone = 0;
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if free.queues.len() < MAX_QUEUES {
            free.queues.push(queue);
        }
    }

    /// An empty buffer for small pieces, with room for `len` bytes.
    pub(super) fn take_small(&self, len: usize) -> Vec<u8> {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut buffer = free.small.pop().unwrap_or_default();
        drop(free);
        buffer.reserve_exact(len);
        buffer
    }

    /// A buffer that was read is there for others.
    pub(super) fn put_small(&self, mut buffer: Vec<u8>) {
        if buffer.capacity() > MAX_SMALL_LEN {
            return;
        }
        buffer.clear();
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if free.small.len() < MAX_SMALL {
            free.small.push(buffer);
        }
    }

    /// Gives the blocks back unless some were used since the last time; whether there are any left.
    pub(crate) fn trim(&self) -> bool {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::mem::take(&mut free.used) {
            (free.blocks, free.small) = (Vec::new(), Vec::new());
        }
        !free.blocks.is_empty()
    }

    /// Whether there are any.
    pub(crate) fn has_free(&self) -> bool {
        !self.0.lock().unwrap_or_else(PoisonError::into_inner).blocks.is_empty()
    }
}

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
    /// Where whole blocks come from and go to.
    pool: Option<Arc<BlockPool>>,
}

blank!(SendBuffer);

impl Drop for SendBuffer {
    fn drop(&mut self) {
        self.free(0);
    }
}

/// A connection with nothing to send keeps no queue: it takes one that another has emptied, and gives it back.
impl Lazy<SendBuffer> {
    /// As [`SendBuffer::push`].
    pub(crate) fn push(&mut self, data: &[u8], pool: &Arc<BlockPool>) {
        if !self.is_live()
            && let Some(queue) = pool.take_queue()
        {
            self.put(queue);
        }
        let queue = &mut **self;
        queue.pool.get_or_insert_with(|| Arc::clone(pool));
        queue.push(data, pool);
    }

    /// As [`SendBuffer::end_write`].
    pub(crate) fn end_write(&mut self) {
        if let Some(queue) = self.live() {
            queue.end_write();
        }
    }

    /// As [`SendBuffer::consume`].
    pub(crate) fn consume(&mut self, n: usize) {
        let Some(queue) = self.live() else { return };
        queue.consume(n);
        // It is told where it came from again when it is taken: in the pool it must not keep that alive.
        if queue.len == 0
            && let Some(pool) = queue.pool.take()
            && let Some(queue) = self.reset()
        {
            pool.put_queue(queue);
        }
    }
}

impl SendBuffer {
    /// Bytes in the queue.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Appends `data`, in blocks of `pool` where they are worth it.
    pub(crate) fn push(&mut self, mut data: &[u8], pool: &Arc<BlockPool>) {
        self.len += data.len();
        while !data.is_empty() {
            match self.blocks.back_mut() {
                Some(block) if block.len() < BLOCK => {
                    let n = data.len().min(BLOCK - block.len());
                    block.extend_from_slice(&data[..n]);
                    data = &data[n..];
                }
                last => {
                    let block = if last.is_some() || data.len() > KEEP {
                        self.pool.get_or_insert_with(|| Arc::clone(pool)).take()
                    } else {
                        Vec::with_capacity(data.len())
                    };
                    self.blocks.push_back(block);
                }
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
            if let Some((block, pool)) = self.blocks.pop_front().zip(self.pool.as_ref()) {
                pool.put(block);
            }
            self.head -= BLOCK;
        }
        if self.len == 0 {
            self.head = 0;
            match self.blocks.front_mut() {
                Some(block) if block.capacity() <= KEEP => {
                    block.clear();
                    self.free(1);
                }
                _ => self.free(0),
            }
        }
    }

    /// Lets go of all blocks but the first `left`.
    fn free(&mut self, left: usize) {
        while self.blocks.len() > left {
            if let Some((block, pool)) = self.blocks.pop_back().zip(self.pool.as_ref()) {
                pool.put(block);
            }
        }
    }

    /// The `len` bytes at `offset`, at most [`MAX_SLICES`].
    pub(crate) fn slices(&self, offset: usize, len: usize) -> [&[u8]; PAYLOAD_PIECES] {
        debug_assert!(offset + len <= self.len && len <= MAX_SLICES);
        let mut pieces = NO_PAYLOAD;
        let (mut at, mut left) = (self.head + offset, len);
        for piece in &mut pieces {
            if left == 0 {
                break;
            }
            let block = &self.blocks[at / BLOCK][at % BLOCK..];
            *piece = &block[..left.min(block.len())];
            at += piece.len();
            left -= piece.len();
        }
        debug_assert_eq!(left, 0);
        pieces
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
        let (mut buf, pool) = (SendBuffer::default(), Arc::new(BlockPool::default()));
        for len in [10, 20] {
            buf.push(&vec![0; len], &pool);
            buf.end_write();
        }
        assert!(buf.write_ends_in(0, 10) && !buf.write_ends_in(0, 9) && !buf.write_ends_in(10, 19));
        buf.consume(10);
        assert!(!buf.write_ends_in(0, 19) && buf.write_ends_in(0, 20));
        for _ in 0..1000 {
            buf.push(&[0], &pool);
            buf.end_write();
        }
        assert_eq!(buf.ends.len(), MAX_ENDS);
        assert!(buf.write_ends_in(buf.len() - 1, 1), "the last end is never lost");
    }

    #[test]
    fn bytes_come_out_at_their_offsets() {
        let (mut buf, pool) = (SendBuffer::default(), Arc::new(BlockPool::default()));
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
            buf.push(&data, &pool);
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
        let (mut buf, pool) = (SendBuffer::default(), Arc::new(BlockPool::default()));
        buf.push(&vec![1; 300_000], &pool);
        buf.consume(300_000);
        assert!(buf.capacity() <= KEEP);
        buf.push(b"small", &pool);
        let kept = buf.capacity();
        buf.consume(5);
        assert_eq!(buf.capacity(), kept);
    }

    #[test]
    fn blocks_are_used_again_and_given_back_when_nobody_needs_them() {
        let pool = Arc::new(BlockPool::default());
        let mut one = SendBuffer::default();
        one.push(&vec![1; 3 * BLOCK], &pool);
        let places: Vec<_> = one.blocks.iter().map(|block| block.as_ptr()).collect();
        one.consume(2 * BLOCK);
        let mut other = SendBuffer::default();
        other.push(&vec![2; 2 * BLOCK], &pool);
        assert!(other.blocks.iter().all(|block| places.contains(&block.as_ptr())));
        assert_eq!(one.slices(0, BLOCK).concat(), vec![1; BLOCK]);
        assert!(!pool.has_free());
        drop((one, other));
        assert!(pool.has_free());
        assert!(pool.trim(), "used a moment ago");
        assert!(!pool.trim() && !pool.has_free());
    }

    #[test]
    fn free_blocks_are_bounded() {
        let (mut buf, pool) = (SendBuffer::default(), Arc::new(BlockPool::default()));
        buf.push(&vec![0; 3 * MAX_FREE * BLOCK], &pool);
        buf.consume(3 * MAX_FREE * BLOCK);
        assert_eq!(pool.0.lock().unwrap().blocks.len(), MAX_FREE);
        assert_eq!(buf.capacity(), 0);
    }
}
