//! What arrived in order and the application has not read yet.

use std::collections::VecDeque;

use super::send_buffer::BlockPool;
use crate::payload::Payload;

/// Pieces shorter than this are copied together, so that a few bytes do not keep a whole slab from being used again.
pub(crate) const SMALL: usize = 512;

/// Most bytes that small pieces are gathered into.
const GATHER: usize = 4096;

#[derive(Debug)]
enum Chunk {
    /// A view on the memory the device read into.
    Shared(Payload),
    /// Small pieces, copied together.
    Gathered(Vec<u8>),
}

impl Chunk {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Shared(p) => p,
            Self::Gathered(v) => v,
        }
    }
}

/// Chunks in order. One needs no memory of its own, for mostly there is one; none leaves none behind.
#[derive(Debug, Default)]
struct Chunks {
    first: Option<Chunk>,
    /// Those behind the first.
    #[expect(
        clippy::box_collection,
        reason = "an idle connection has a pointer in place of 32 bytes"
    )]
    others: Option<Box<VecDeque<Chunk>>>,
}

impl Chunks {
    fn push_back(&mut self, chunk: Chunk) {
        if self.first.is_none() {
            self.first = Some(chunk);
        } else {
            self.others.get_or_insert_default().push_back(chunk);
        }
    }

    fn back_mut(&mut self) -> Option<&mut Chunk> {
        match &mut self.others {
            Some(others) => others.back_mut(),
            None => self.first.as_mut(),
        }
    }

    fn pop_front(&mut self) -> Option<Chunk> {
        let gone = self.first.take();
        self.first = self.others.as_mut().and_then(|others| others.pop_front());
        if self.others.as_ref().is_some_and(|others| others.is_empty()) {
            self.others = None;
        }
        gone
    }

    fn iter(&self) -> impl Iterator<Item = &Chunk> {
        self.first.iter().chain(self.others.iter().flat_map(|others| others.iter()))
    }
}

/// A queue of received bytes.
#[derive(Debug, Default)]
pub(crate) struct RecvQueue {
    chunks: Chunks,
    /// Bytes of the first chunk that were read.
    head: u32,
    /// Bytes that wait: no window is wider (RFC 7323 §2.2).
    len: u32,
}

impl RecvQueue {
    /// Bytes that wait.
    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    /// Appends a piece; a small one in a buffer of `pool`.
    pub(crate) fn push(&mut self, piece: Payload, pool: &BlockPool) {
        self.len += piece.len() as u32;
        if piece.len() >= SMALL {
            self.chunks.push_back(Chunk::Shared(piece));
            return;
        }
        match self.chunks.back_mut() {
            Some(Chunk::Gathered(v)) if v.len() + piece.len() <= GATHER => {
                v.extend_from_slice(&piece);
            }
            _ if piece.is_empty() => {}
            _ => {
                let mut gathered = pool.take_small(piece.len());
                gathered.extend_from_slice(&piece);
                self.chunks.push_back(Chunk::Gathered(gathered));
            }
        }
    }

    /// Copies up to `buf.len()` bytes out without taking them; how many.
    pub(crate) fn peek(&self, buf: &mut [u8]) -> usize {
        let mut done = 0;
        let mut head = self.head as usize;
        for chunk in self.chunks.iter() {
            if done == buf.len() {
                break;
            }
            let bytes = &chunk.bytes()[head..];
            let n = bytes.len().min(buf.len() - done);
            buf[done..done + n].copy_from_slice(&bytes[..n]);
            done += n;
            head = 0;
        }
        done
    }

    /// Takes up to `buf.len()` bytes; how many. What they were gathered in goes to `pool`.
    pub(crate) fn read(&mut self, buf: &mut [u8], pool: &BlockPool) -> usize {
        let n = self.peek(buf);
        self.consume(n, |buffer| pool.put_small(buffer));
        n
    }

    /// Bytes before the first piece in the memory the device read into that is `wanted`, or `limit` when there are that
    /// many or more.
    pub(crate) fn before_piece(&self, limit: usize, wanted: impl Fn(&Payload) -> bool) -> usize {
        let mut before = 0;
        let mut head = self.head as usize;
        for chunk in self.chunks.iter() {
            match chunk {
                _ if before >= limit => break,
                Chunk::Shared(piece) if wanted(piece) => return before,
                chunk => before += chunk.bytes().len() - std::mem::take(&mut head),
            }
        }
        before.min(limit)
    }

    /// Takes the first piece, or what is left of it, if it lies in the memory the device read into and `wanted` says so of
    /// it.
    pub(crate) fn take_piece(&mut self, wanted: impl FnOnce(&Payload) -> bool) -> Option<Payload> {
        let Chunk::Shared(piece) = self.chunks.first.as_mut()? else { return None };
        // What was read of it is not needed any more.
        piece.narrow(std::mem::take(&mut self.head) as usize..piece.len());
        if !wanted(piece) {
            return None;
        }
        let piece = piece.clone();
        self.consume(piece.len(), drop);
        Some(piece)
    }

    /// Throws everything away; how many bytes that were.
    pub(crate) fn clear(&mut self) -> usize {
        std::mem::take(self).len()
    }

    fn consume(&mut self, n: usize, mut gathered: impl FnMut(Vec<u8>)) {
        self.len -= n as u32;
        self.head += n as u32;
        while let Some(first) = &self.chunks.first {
            let len = first.bytes().len() as u32;
            if self.head < len {
                break;
            }
            self.head -= len;
            if let Some(Chunk::Gathered(buffer)) = self.chunks.pop_front() {
                gathered(buffer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_give_what_was_pushed_in_any_portions() {
        let (mut queue, pool) = (RecvQueue::default(), BlockPool::default());
        let mut model = Vec::new();
        for (i, len) in [1usize, 511, 512, 3, 0, 4000, 70, 100, 9000].into_iter().enumerate() {
            let data: Vec<u8> = (0..len).map(|j| (i * 37 + j) as u8).collect();
            queue.push(Payload::from(data.clone()), &pool);
            model.extend(data);
        }
        assert_eq!(queue.len(), model.len());
        let mut out = Vec::new();
        for portion in [1usize, 2, 600, 5000, 0, 100_000] {
            let mut buf = vec![0; portion];
            let mut peeked = vec![0; portion];
            let p = queue.peek(&mut peeked);
            let n = queue.read(&mut buf, &pool);
            assert_eq!(&peeked[..p], &buf[..n]);
            out.extend_from_slice(&buf[..n]);
        }
        assert_eq!(out, model);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn pieces_are_taken_uncopied_in_order_with_what_is_read() {
        let (mut queue, pool) = (RecvQueue::default(), BlockPool::default());
        let first = Payload::from(vec![1; 1000]);
        let place = first.as_ptr();
        queue.push(first, &pool);
        queue.push(Payload::from(vec![2; 10]), &pool);
        queue.push(Payload::from(vec![3; 600]), &pool);
        assert_eq!(queue.read(&mut [0; 100], &pool), 100);
        assert_eq!(queue.before_piece(2000, |piece| piece.len() == 600), 910);
        assert_eq!(queue.before_piece(905, |piece| piece.len() == 600), 905);
        assert_eq!(queue.before_piece(2000, |_| false), 1510);
        assert_eq!(queue.before_piece(2000, |_| true), 0);
        assert!(queue.take_piece(|piece| piece.len() > 900).is_none());
        assert_eq!((queue.len(), queue.read(&mut [0; 10], &pool)), (1510, 10), "it is as it was");
        let piece = queue.take_piece(|piece| piece.len() == 890).unwrap();
        assert_eq!((piece.as_ptr(), &piece[..]), (place.wrapping_add(110), &[1; 890][..]));
        assert!(queue.take_piece(|_| true).is_none(), "gathered");
        assert_eq!(queue.before_piece(1000, |_| true), 10);
        assert_eq!((queue.len(), queue.read(&mut [0; 11], &pool)), (610, 11));
        assert_eq!(queue.take_piece(|_| true).as_deref(), Some(&[3; 599][..]));
        assert_eq!(queue.len(), 0);
        assert!(queue.take_piece(|_| true).is_none());
    }

    #[test]
    fn small_pieces_are_gathered_in_buffers_that_are_used_again() {
        let (mut queue, pool) = (RecvQueue::default(), BlockPool::default());
        queue.push(Payload::from(vec![1; 300]), &pool);
        let place = queue.chunks.first.as_ref().map(|chunk| chunk.bytes().as_ptr());
        assert_eq!(queue.read(&mut [0; 400], &pool), 300);
        queue.push(Payload::from(vec![2; 200]), &pool);
        assert_eq!(queue.chunks.first.as_ref().map(|chunk| chunk.bytes().as_ptr()), place);
        let mut buf = [0; 200];
        assert_eq!((queue.read(&mut buf, &pool), buf), (200, [2; 200]));
        // Many queues at once: so many buffers are kept, and what takes one that is too small makes it larger.
        let mut queues: Vec<RecvQueue> = (0..200).map(|_| RecvQueue::default()).collect();
        for (i, queue) in queues.iter_mut().enumerate() {
            queue.push(Payload::from(vec![i as u8; 1 + 2 * i]), &pool);
        }
        for (i, queue) in queues.iter_mut().enumerate() {
            let mut buf = [0; 500];
            assert_eq!(queue.read(&mut buf, &pool), 1 + 2 * i);
            assert!(buf[..=2 * i].iter().all(|byte| *byte == i as u8));
        }
        pool.trim();
        pool.trim();
        queue.push(Payload::from(vec![3; 10]), &pool);
        assert_eq!(queue.len(), 10);
        // What many were gathered in is not kept: a byte that is not read holds no more than a few others would.
        queue.clear();
        for _ in 0..10 {
            queue.push(Payload::from(vec![4; 400]), &pool);
        }
        assert_eq!(queue.read(&mut [0; 4000], &pool), 4000);
        queue.push(Payload::from(vec![5]), &pool);
        let Some(Chunk::Gathered(buffer)) = &queue.chunks.first else { panic!("gathered") };
        assert!(buffer.capacity() <= 2 * SMALL, "{}", buffer.capacity());
    }
}
