//! Received bytes, held by reference: a view on the memory that the device read them into.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

/// Memory that received frames lie in. The driver owns it; views keep it alive, and the driver can find its own again
/// behind them, see [`Payload::into_parts`].
///
/// A range handed to the core in a [`Payload`] must not change while any view on it lives.
pub trait Storage: Any + Send + Sync {
    /// The bytes at `range`.
    fn bytes(&self, range: Range<usize>) -> &[u8];

    /// How much memory one view keeps from being used again, bytes.
    fn capacity(&self) -> usize;
}

impl Storage for Box<[u8]> {
    fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self[range]
    }

    fn capacity(&self) -> usize {
        self.len()
    }
}

/// Bytes that are there while they are looked at: whoever keeps some copies them, as of a driver's large buffer, so that what
/// is charged does not depend on whose memory it was.
struct Passing(Vec<u8>);

impl Storage for Passing {
    fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.0[range]
    }

    fn capacity(&self) -> usize {
        usize::MAX
    }
}

/// A view on received bytes. Cloning and slicing are cheap and copy no bytes.
#[derive(Clone)]
pub struct Payload {
    storage: Arc<dyn Storage>,
    start: u32,
    len: u32,
}

impl Payload {
    /// A view on `range` of `storage`.
    pub fn new(storage: Arc<dyn Storage>, range: Range<usize>) -> Self {
        Self { storage, start: range.start as u32, len: (range.end - range.start) as u32 }
    }

    /// A view on bytes that were made to be looked at.
    pub(crate) fn passing(bytes: Vec<u8>) -> Self {
        let len = bytes.len();
        Self::new(Arc::new(Passing(bytes)), 0..len)
    }

    /// Its length, bytes; without a look at the memory.
    #[inline]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether it has no bytes.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The part of this view that `range` names.
    ///
    /// # Panics
    /// When `range` does not lie within it.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Self {
        let mut part = self.clone();
        part.narrow(range);
        part
    }

    /// Shortens this view to `range` of itself.
    ///
    /// # Panics
    /// When `range` does not lie within it.
    pub fn narrow(&mut self, range: Range<usize>) {
        assert!(range.start <= range.end && range.end <= self.len as usize);
        self.start += range.start as u32;
        self.len = (range.end - range.start) as u32;
    }

    /// The memory that this view lies in.
    pub fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    /// The memory that this view lies in, and where in it.
    pub fn into_parts(self) -> (Arc<dyn Storage>, Range<usize>) {
        let start = self.start as usize;
        (self.storage, start..start + self.len as usize)
    }

    /// How much memory this view keeps from being used again, bytes.
    pub fn pinned(&self) -> usize {
        self.storage.capacity()
    }
}

impl Deref for Payload {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        let start = self.start as usize;
        self.storage.bytes(start..start + self.len as usize)
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        let len = bytes.len();
        Self::new(Arc::new(bytes.into_boxed_slice()), 0..len)
    }
}

impl From<&[u8]> for Payload {
    fn from(bytes: &[u8]) -> Self {
        Self::from(bytes.to_vec())
    }
}

/// Most copies whose memory is used again, and the most bytes of such a one.
const MAX_COPIES: usize = 64;
const MAX_COPY: usize = 2048;

/// A short copy in memory that served others before.
struct Copy(Vec<u8>);

impl Storage for Copy {
    fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.0[range]
    }

    fn capacity(&self) -> usize {
        self.0.len()
    }
}

/// Makes copies of short payloads, in memory that is used again when nobody looks at the copy any more: 128 KiB at most.
#[derive(Default)]
pub(crate) struct Copies(VecDeque<Arc<Copy>>);

impl Copies {
    /// A copy of `bytes`.
    pub(crate) fn copy(&mut self, bytes: &[u8]) -> Payload {
        if bytes.len() > MAX_COPY {
            return Payload::from(bytes);
        }
        // The one that was made first is likeliest to be free; should it be kept, the next is asked the next time.
        let mut copy = self.0.pop_front();
        if let Some(free) = copy.as_mut().and_then(Arc::get_mut) {
            free.0.clear();
            free.0.extend_from_slice(bytes);
        } else {
            self.0.extend(copy.take());
        }
        let copy = copy.unwrap_or_else(|| Arc::new(Copy(bytes.to_vec())));
        if self.0.len() < MAX_COPIES {
            self.0.push_back(Arc::clone(&copy));
        }
        Payload::new(copy, 0..bytes.len())
    }

    /// Gives the memory back that nobody looks at.
    pub(crate) fn trim(&mut self) {
        *self = Self::default();
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_copies_is_used_again_when_nobody_looks() {
        let mut copies = Copies::default();
        let first = copies.copy(b"first");
        let place = first.as_ptr();
        let second = copies.copy(b"2nd");
        assert_ne!(second.as_ptr(), place);
        assert_eq!((&first[..], &second[..]), (&b"first"[..], &b"2nd"[..]));
        drop(first);
        let third = copies.copy(b"3");
        assert_eq!((third.as_ptr(), &third[..], third.pinned()), (place, &b"3"[..], 1));
        // What is kept, a slice or a clone, stays as it is whatever comes after it.
        let kept: Vec<Payload> = (0..200u8).map(|i| copies.copy(&[i; 10]).slice(3..7)).collect();
        let more: Vec<Payload> = (0..200u8).map(|i| copies.copy(&[!i; 2000])).collect();
        assert!(kept.iter().zip(0u8..).all(|(payload, i)| payload[..] == [i; 4]));
        assert!(more.iter().zip(0u8..).all(|(payload, i)| payload[..] == [!i; 2000]));
        assert_eq!((&second[..], copies.0.len()), (&b"2nd"[..], MAX_COPIES));
        assert_eq!(copies.copy(&[5; 3000])[..], [5; 3000]);
        assert_eq!(copies.copy(&[])[..], []);
        copies.trim();
        assert!(copies.0.is_empty());
        assert!(kept.iter().zip(0u8..).all(|(payload, i)| payload[..] == [i; 4]));
    }
}
