//! A value that takes no memory while it is what it began as: most connections are idle most of the time, and what only
//! sending, losses or rare options need is made when it is first written to.

use std::fmt;
use std::ops::{Deref, DerefMut};

/// A type whose default is known to all.
pub(crate) trait Blank: Default + 'static {
    /// The default.
    fn blank() -> &'static Self;
}

/// Implements [`Blank`]: for what has a `Default`, and with it, for what is read with every segment and is a constant.
macro_rules! blank {
    ($kind:ty = $value:expr) => {
        impl Default for $kind {
            fn default() -> Self {
                $value
            }
        }

        impl $crate::lazy::Blank for $kind {
            fn blank() -> &'static Self {
                static BLANK: $kind = $value;
                &BLANK
            }
        }
    };
    ($($kind:ty),+) => {$(
        impl $crate::lazy::Blank for $kind {
            fn blank() -> &'static Self {
                static BLANK: std::sync::LazyLock<$kind> =
                    std::sync::LazyLock::new(<$kind>::default);
                &BLANK
            }
        }
    )+};
}
pub(crate) use blank;

/// A `T` that is its default until it is written to, and takes a pointer until then. Reading it never makes it; whatever
/// takes `&mut` of it does, so what would write the default is better asked of [`live`](Self::live).
#[derive(Clone)]
pub(crate) struct Lazy<T>(Option<Box<T>>);

impl<T> Lazy<T> {
    /// What was made, if it was.
    pub(crate) fn live(&mut self) -> Option<&mut T> {
        self.0.as_deref_mut()
    }

    /// Whether it was made.
    pub(crate) fn is_live(&self) -> bool {
        self.0.is_some()
    }

    /// Puts in what was made elsewhere.
    pub(crate) fn put(&mut self, made: Box<T>) {
        self.0 = Some(made);
    }

    /// Takes what was made: it is its default again.
    pub(crate) fn reset(&mut self) -> Option<Box<T>> {
        self.0.take()
    }
}

impl<T> Default for Lazy<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Blank> Deref for Lazy<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.0 {
            Some(made) => made,
            None => T::blank(),
        }
    }
}

impl<T: Blank> DerefMut for Lazy<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_or_insert_default()
    }
}

impl<T: fmt::Debug> fmt::Debug for Lazy<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq)]
    struct Pair {
        one: u32,
        two: Vec<u8>,
    }
    blank!(Pair);

    #[test]
    fn reading_makes_nothing_and_writing_does() {
        let mut lazy = Lazy::<Pair>::default();
        assert_eq!((lazy.one, lazy.two.len(), lazy.is_live()), (0, 0, false));
        assert!(lazy.live().is_none());
        lazy.one = 7;
        assert_eq!(
            (lazy.one, lazy.is_live(), lazy.live().map(|pair| pair.one)),
            (7, true, Some(7))
        );
        assert_eq!(lazy.reset().map(|pair| pair.one), Some(7));
        assert_eq!((lazy.one, lazy.is_live()), (0, false));
        assert_eq!(size_of_val(&lazy), size_of::<usize>());
    }
}
