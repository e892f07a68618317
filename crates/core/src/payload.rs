//! Received bytes, held by reference: a view on the memory that the device read them into.

use std::any::Any;
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

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.len)
    }
}
