//! Receive slabs: memory that a device is read into and that the receive queues then refer to, so that a received byte
//! is copied once. The only unsafe code of the receive path is here.
//!
//! A slab fills from its start. What lies below its mark is frozen: any number of [`Payload`]s may view it, nothing
//! writes it, but for who took a payload and may do with its bytes what he likes (see [`SharedSlab`]). What lies above
//! belongs to the one [`Writer`]. A slab is used again only when its pool holds the last reference to it, which
//! `Arc::get_mut` proves.
//!
//! Of those that are free the one that was filled last is used first: its memory is in the processor's caches still.

use std::any::Any;
use std::cell::UnsafeCell;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use usernet_core::{Payload, Storage};

/// Bytes of a slab; longer for a device whose frames would not fit.
pub(crate) const SLAB_LEN: usize = 1 << 20;

/// Most slabs of a pool, the one being filled included. When all are pinned by unread data, frames are copied into
/// memory of their own size, so that what is pinned stays within this and what is queued.
const MAX_SLABS: usize = 64;

/// Free slabs that [`Pool::trim`] leaves.
const KEEP_FREE: usize = 2;

/// One slab.
struct Slab {
    memory: Box<[UnsafeCell<u8>]>,
    /// Everything below is frozen. Only the writer advances it; only `&mut Slab` takes it back.
    frozen: AtomicUsize,
}

// SAFETY: shared access through `&Slab` reaches `memory` in two ways. `bytes` only reads, and only below `frozen`.
// `Writer::spare` writes, only at or above `frozen`, and there is at most one writer (it is made from a `&mut Slab`,
// see `Writer::new`, and lives no longer than its slab's turn). Who took a payload (`SharedSlab::take`) may write its range,
// which no payload that is left lies in. `frozen` only grows while the slab is shared, with
// Release after the bytes below it were written and Acquire before they are read.
unsafe impl Sync for Slab {}

impl Slab {
    fn new(len: usize) -> Self {
        let zeroed = Box::into_raw(vec![0u8; len].into_boxed_slice());
        // SAFETY: `UnsafeCell<u8>` has the layout of `u8` (it is `repr(transparent)`), so pointer, length and
        // allocation are the same; the pointer comes from `Box::into_raw` and is used once.
        let memory = unsafe { Box::from_raw(zeroed as *mut [UnsafeCell<u8>]) };
        Self { memory, frozen: AtomicUsize::new(0) }
    }
}

impl Storage for Slab {
    fn bytes(&self, range: Range<usize>) -> &[u8] {
        let frozen = self.frozen.load(Ordering::Acquire);
        assert!(range.start <= range.end && range.end <= frozen, "not a frozen range");
        let cells = &self.memory[range];
        // SAFETY: the range lies in the allocation (it was just sliced) and below `frozen`, where nothing writes while
        // a reference to the slab lives, but for ranges that were taken, in which no payload lies any more; the Acquire
        // above makes the bytes visible.
        unsafe { std::slice::from_raw_parts(cells.as_ptr().cast::<u8>(), cells.len()) }
    }

    fn capacity(&self) -> usize {
        self.memory.len()
    }
}

/// A receive slab for who takes payloads out of the stack without copying them: it names the memory, and keeps it from
/// being used again.
///
/// Only the ranges of payloads that were taken ([`of`](Self::of)) are their taker's, to read and to write; the rest of the
/// memory is the stack's, which reads and writes it on other threads.
#[derive(Clone)]
pub struct SharedSlab(Arc<Slab>);

impl SharedSlab {
    /// The slab that a payload lies in, if it does.
    pub fn of(payload: &Payload) -> Option<Self> {
        let storage: Arc<dyn Any + Send + Sync> = Arc::<dyn Storage>::clone(payload.storage());
        storage.downcast::<Slab>().ok().map(Self)
    }

    /// Where a payload lies in its slab. The range is its taker's from here on.
    pub fn take(payload: Payload) -> Range<usize> {
        payload.into_parts().1
    }

    /// Where the slab's memory begins. It stays there as long as a clone of this lives; nothing that has the same beginning
    /// meanwhile is another slab.
    pub fn start(&self) -> NonNull<u8> {
        NonNull::from(&*self.0.memory).cast()
    }

    /// Bytes of the slab.
    pub fn capacity(&self) -> usize {
        self.0.memory.len()
    }
}

impl std::fmt::Debug for SharedSlab {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SharedSlab").field(&self.start()).finish()
    }
}

/// The right to fill a slab.
struct Writer {
    slab: Arc<Slab>,
}

impl Writer {
    /// Starts a slab afresh; gives it back when something still refers to it.
    fn new(mut slab: Arc<Slab>) -> Result<Self, Arc<Slab>> {
        match Arc::get_mut(&mut slab) {
            Some(unique) => {
                *unique.frozen.get_mut() = 0;
                Ok(Self { slab })
            }
            None => Err(slab),
        }
    }

    /// Starts afresh when nothing refers to the slab, so that little memory, which the caches hold, serves what is copied
    /// out at once.
    fn rewind(&mut self) {
        if let Some(unique) = Arc::get_mut(&mut self.slab) {
            *unique.frozen.get_mut() = 0;
        }
    }

    fn filled(&self) -> usize {
        // Only this writer changes it.
        self.slab.frozen.load(Ordering::Relaxed)
    }

    /// What can be written.
    fn spare(&mut self) -> &mut [u8] {
        let cells = &self.slab.memory[self.filled()..];
        let start = UnsafeCell::raw_get(cells.as_ptr());
        // SAFETY: the range lies in the allocation and at or above `frozen`, which no reader reaches. There is one
        // writer per slab, this one, and it is borrowed mutably for as long as the slice lives, so neither can a
        // second slice be made nor `frozen` move into it. `raw_get` keeps the provenance of the cells, which allows
        // writing through a shared reference.
        unsafe { std::slice::from_raw_parts_mut(start, cells.len()) }
    }

    /// Freezes the next `len` bytes and gives a view on them.
    fn freeze(&mut self, len: usize) -> Payload {
        let start = self.filled();
        let end = start + len;
        assert!(end <= self.slab.memory.len(), "more bytes than the slab has");
        self.slab.frozen.store(end, Ordering::Release);
        Payload::new(Arc::<Slab>::clone(&self.slab), start..end)
    }
}

/// A frame in memory of its own.
struct Owned(Vec<u8>);

impl Storage for Owned {
    fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.0[range]
    }

    fn capacity(&self) -> usize {
        self.0.capacity()
    }
}

/// A view on a frame that came in memory of its own; no byte is copied.
pub(crate) fn owned(frame: Vec<u8>) -> Payload {
    let len = frame.len();
    Payload::new(Arc::new(Owned(frame)), 0..len)
}

/// A slab that was filled; free once its pool has the only reference.
struct Full {
    slab: Arc<Slab>,
    /// It was free already when the pool was trimmed last.
    idle: bool,
}

/// The slabs of a shard.
pub(crate) struct Pool {
    current: Option<Writer>,
    /// Slabs that were filled, the one filled last at the end.
    full: Vec<Full>,
    /// Where frames go when every slab is pinned, before they are copied out.
    overflow: Vec<u8>,
    /// Whether the last buffer that was given is `overflow`.
    overflowed: bool,
    /// Frames that were copied because every slab was pinned.
    copied: u64,
}

impl Pool {
    pub(crate) fn new() -> Self {
        Self { current: None, full: Vec::new(), overflow: Vec::new(), overflowed: false, copied: 0 }
    }

    /// At least `len` bytes to receive into. [`take`](Self::take) what was received before asking again.
    pub(crate) fn buffer(&mut self, len: usize) -> &mut [u8] {
        let room = self.current.as_mut().is_some_and(|writer| {
            writer.rewind();
            writer.slab.memory.len() - writer.filled() >= len
        });
        if !room {
            self.rotate(len);
        }
        self.overflowed = self.current.is_none();
        match &mut self.current {
            Some(writer) => writer.spare(),
            None => {
                if self.overflow.len() < len {
                    self.overflow.resize(len, 0);
                }
                &mut self.overflow
            }
        }
    }

    /// At least `len` bytes to receive into behind the first `held` of the buffer that was given last, which have not been
    /// taken: what is held, and that; nothing when there is no such room, or what is held is to be copied.
    pub(crate) fn behind(&mut self, held: usize, len: usize) -> Option<(&mut [u8], &mut [u8])> {
        let spare = self.current.as_mut().filter(|_| !self.overflowed)?.spare();
        (spare.len() >= held + len).then(|| spare.split_at_mut(held))
    }

    /// The first `held` bytes of the buffer that was given last, which have not been taken.
    pub(crate) fn held(&mut self, held: usize) -> &mut [u8] {
        match &mut self.current {
            Some(writer) if !self.overflowed => &mut writer.spare()[..held],
            _ => &mut self.overflow[..held],
        }
    }

    /// The first `len` bytes of the buffer that was given last, as a view.
    ///
    /// # Panics
    /// When the buffer was shorter.
    pub(crate) fn take(&mut self, len: usize) -> Payload {
        match &mut self.current {
            Some(writer) if !self.overflowed => writer.freeze(len),
            _ => {
                self.copied += 1;
                owned(self.overflow[..len].to_vec())
            }
        }
    }

    /// Retires the current slab and finds another with room for `len` bytes: one that nothing refers to any more, the one
    /// filled last rather than others, or a new one, or none.
    fn rotate(&mut self, len: usize) {
        self.full.extend(self.current.take().map(|writer| Full { slab: writer.slab, idle: false }));
        for at in (0..self.full.len()).rev() {
            if Arc::strong_count(&self.full[at].slab) > 1 {
                continue;
            }
            let Full { slab, idle } = self.full.remove(at);
            match Writer::new(slab) {
                Ok(writer) if writer.slab.memory.len() >= len => {
                    self.current = Some(writer);
                    return;
                }
                Ok(_too_short) => {}
                Err(slab) => self.full.insert(at, Full { slab, idle }),
            }
        }
        if self.full.len() < MAX_SLABS {
            self.current = Writer::new(Arc::new(Slab::new(len.max(SLAB_LEN)))).ok();
        }
    }

    /// Gives slabs back to the system that have been free since the last time, but for a few; whether there may be more to
    /// give back later. (What is in use now and then is kept: fresh memory costs more than what is received into it.)
    pub(crate) fn trim(&mut self) -> bool {
        let mut free = 0;
        self.full.retain_mut(|full| {
            let is_free = Arc::strong_count(&full.slab) == 1;
            let was_idle = std::mem::replace(&mut full.idle, is_free);
            free += usize::from(is_free);
            !(is_free && was_idle && free > KEEP_FREE)
        });
        self.overflow = Vec::new();
        self.wants_trim()
    }

    /// Whether trimming could give anything back, now or later.
    pub(crate) fn wants_trim(&self) -> bool {
        self.full.len() > KEEP_FREE || !self.overflow.is_empty()
    }

    /// Slabs that exist.
    pub(crate) fn slabs(&self) -> usize {
        self.full.len() + usize::from(self.current.is_some())
    }

    /// Frames that were copied because every slab was pinned.
    pub(crate) fn copied(&self) -> u64 {
        self.copied
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    fn receive(pool: &mut Pool, frame: &[u8]) -> Payload {
        pool.buffer(frame.len())[..frame.len()].copy_from_slice(frame);
        pool.take(frame.len())
    }

    #[test]
    fn views_keep_their_bytes_while_the_slab_fills_on() {
        let mut pool = Pool::new();
        let views: Vec<_> = (0..200u8).map(|i| receive(&mut pool, &[i; 1000])).collect();
        for (i, view) in views.iter().enumerate() {
            assert_eq!(&view[..], &[i as u8; 1000]);
        }
        assert_eq!(pool.slabs(), 1);
    }

    #[test]
    fn a_slab_is_used_again_only_when_its_last_view_is_gone() {
        let mut pool = Pool::new();
        let first = receive(&mut pool, &[7; 10]);
        let part = first.slice(3..5);
        drop(first);
        let place = part.as_ptr();
        let mut last = part.clone();
        for i in 0..5000u32 {
            // One view at a time is held, so that the slab fills.
            last = receive(&mut pool, &[i as u8; 1000]);
            assert!(!last.as_ptr_range().contains(&place));
        }
        assert_eq!(&part[..], &[7, 7]);
        assert_eq!(pool.slabs(), 3, "the two others are filled again and again");
        drop((part, last));
        let held: Vec<_> = (0..3000u32).map(|i| receive(&mut pool, &[i as u8; 1000])).collect();
        assert!(held.iter().any(|view| view.as_ptr_range().contains(&place)));
        assert_eq!(pool.slabs(), 3);
    }

    #[test]
    fn a_shared_slab_is_not_used_again_and_a_taken_range_may_be_written() {
        let mut pool = Pool::new();
        let first = receive(&mut pool, &[1; 1000]);
        let second = receive(&mut pool, &[2; 1000]);
        let shared = SharedSlab::of(&first).unwrap();
        assert_eq!(shared.start(), SharedSlab::of(&second).unwrap().start());
        assert!(SharedSlab::of(&owned(vec![0; 10])).is_none());
        let range = SharedSlab::take(first);
        assert_eq!((range.clone(), shared.capacity()), (0..1000, SLAB_LEN));
        // SAFETY: the range was taken, nothing else refers to it.
        unsafe { shared.start().add(range.start).write_bytes(9, range.len()) };
        assert_eq!(&second[..], &[2; 1000]);
        drop(second);
        for i in 0..5000u32 {
            let view = receive(&mut pool, &[i as u8; 1000]);
            assert!(!view.as_ptr_range().contains(&shared.start().as_ptr().cast_const()));
        }
        // SAFETY: as above; it is only read.
        assert_eq!(unsafe { shared.start().read() }, 9);
        drop(shared);
        assert!(pool.full.iter().all(|full| Arc::strong_count(&full.slab) == 1));
    }

    #[test]
    fn what_is_copied_out_at_once_comes_to_the_same_memory() {
        let mut pool = Pool::new();
        let place = receive(&mut pool, &[1; 1000]).as_ptr();
        for i in 0..5000u32 {
            assert_eq!(receive(&mut pool, &[i as u8; 1000]).as_ptr(), place);
        }
        let held = receive(&mut pool, &[7; 1000]);
        assert_ne!(receive(&mut pool, &[8; 1000]).as_ptr(), place);
        assert_eq!((&held[..], pool.slabs()), (&[7; 1000][..], 1));
    }

    #[test]
    fn the_slab_that_was_filled_last_is_used_first() {
        let mut pool = Pool::new();
        let views: Vec<_> = (0..5).map(|i| receive(&mut pool, &vec![i; SLAB_LEN - 10])).collect();
        let places: Vec<_> = views.iter().map(|view| view.as_ptr()).collect();
        let last = receive(&mut pool, &vec![0; SLAB_LEN - 10]);
        drop(views);
        let next = receive(&mut pool, &vec![0; SLAB_LEN - 10]);
        assert_eq!((next.as_ptr(), pool.slabs()), (places[4], 6));
        drop(last);
    }

    #[test]
    fn frames_are_copied_when_every_slab_is_pinned() {
        let mut pool = Pool::new();
        let half = SLAB_LEN / 2 + 1;
        let pins: Vec<_> = (0..MAX_SLABS)
            .map(|i| {
                let view = receive(&mut pool, &vec![i as u8; half]);
                view.slice(0..1)
            })
            .collect();
        assert_eq!((pool.slabs(), pool.copied()), (MAX_SLABS, 0));
        let extra: Vec<_> = (0..3u8).map(|i| receive(&mut pool, &vec![i; half])).collect();
        assert_eq!((pool.slabs(), pool.copied()), (MAX_SLABS, 3));
        assert_eq!(extra[0].pinned(), half, "right-sized memory");
        for (i, view) in extra.iter().enumerate() {
            assert!(view.iter().all(|b| *b == i as u8));
        }
        for (i, pin) in pins.iter().enumerate() {
            assert_eq!(&pin[..], &[i as u8]);
        }
        drop(pins);
        let view = receive(&mut pool, &[1; 10]);
        assert_eq!(pool.copied(), 3, "a slab is free again");
        assert_eq!(&view[..], &[1; 10]);
        assert!(pool.trim(), "they were in use a moment ago");
        assert_eq!(pool.slabs(), MAX_SLABS);
        assert!(!pool.trim());
        assert!(pool.slabs() <= KEEP_FREE + 1);
        assert_eq!(&view[..], &[1; 10]);
    }

    #[test]
    fn what_is_not_frozen_cannot_be_seen() {
        let mut pool = Pool::new();
        receive(&mut pool, &[1; 100]);
        let slab: Arc<dyn Storage> = pool.current.as_ref().map(|w| w.slab.clone()).unwrap();
        assert_eq!(slab.bytes(0..100), &[1; 100]);
        for range in [0..101, 100..101, usize::MAX - 1..usize::MAX] {
            assert!(catch_unwind(AssertUnwindSafe(|| slab.bytes(range).len())).is_err());
        }
        #[allow(clippy::reversed_empty_ranges)]
        let reversed = catch_unwind(AssertUnwindSafe(|| slab.bytes(50..10).len()));
        assert!(reversed.is_err());
    }

    #[test]
    fn taking_more_than_the_buffer_panics_and_freezes_nothing() {
        let mut pool = Pool::new();
        let before = receive(&mut pool, &[1; 4]);
        let len = pool.buffer(1).len();
        assert!(catch_unwind(AssertUnwindSafe(|| pool.take(len + 1))).is_err());
        assert_eq!(&before[..], &[1; 4]);
        assert_eq!(pool.take(len).len(), len);
    }

    #[test]
    fn frames_longer_than_a_slab_get_one_of_their_own() {
        let mut pool = Pool::new();
        let view = receive(&mut pool, &vec![3; SLAB_LEN + 1]);
        assert_eq!((view.len(), pool.copied()), (SLAB_LEN + 1, 0));
    }

    #[test]
    fn views_are_read_on_other_threads_while_the_pool_goes_round() {
        let mut pool = Pool::new();
        let (give, take) = std::sync::mpsc::sync_channel::<(u8, Payload)>(40);
        let reader = std::thread::spawn(move || {
            let mut held = VecDeque::new();
            let mut seen = 0;
            for (byte, view) in take {
                assert!(view.iter().all(|b| *b == byte));
                held.push_back((byte, view));
                if held.len() > 30 {
                    let (byte, view) = held.pop_front().unwrap();
                    assert!(view.iter().all(|b| *b == byte));
                }
                seen += 1;
            }
            seen
        });
        for i in 0..2000u32 {
            let view = receive(&mut pool, &vec![i as u8; 20_000 + i as usize]);
            give.send((i as u8, view)).unwrap();
        }
        drop(give);
        assert_eq!(reader.join().unwrap(), 2000);
        assert!(pool.slabs() < 10, "{} slabs for 70 views", pool.slabs());
    }

    #[test]
    fn an_owned_frame_is_not_copied() {
        let mut frame = Vec::with_capacity(100);
        frame.extend_from_slice(b"abc");
        let place = frame.as_ptr();
        let view = owned(frame);
        assert_eq!((view.as_ptr(), &view[..], view.pinned()), (place, &b"abc"[..], 100));
    }
}
