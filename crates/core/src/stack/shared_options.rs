//! Options that many sockets have alike are in memory once: a server that sets the same on each connection must not pay for
//! a copy of all of them each time.

use std::sync::Arc;

use arrayvec::ArrayVec;

use crate::config::SocketOptions;

/// How many different ones are remembered.
const RECENT: usize = 8;

/// Those that sockets were given of late.
#[derive(Debug, Default)]
pub(super) struct SharedOptions {
    recent: ArrayVec<Arc<SocketOptions>, RECENT>,
    /// The oldest, once it is full.
    oldest: usize,
}

impl SharedOptions {
    /// The same options, in the memory of equal ones if there are any of late.
    pub(super) fn share(&mut self, options: Arc<SocketOptions>) -> Arc<SocketOptions> {
        let known =
            |other: &&Arc<SocketOptions>| Arc::ptr_eq(other, &options) || **other == options;
        if let Some(equal) = self.recent.iter().find(known) {
            return Arc::clone(equal);
        }
        if self.recent.is_full() {
            self.recent[self.oldest] = Arc::clone(&options);
            self.oldest = (self.oldest + 1) % RECENT;
        } else {
            self.recent.push(Arc::clone(&options));
        }
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_hops(hop_limit: u8) -> Arc<SocketOptions> {
        Arc::new(SocketOptions { hop_limit, ..SocketOptions::default() })
    }

    #[test]
    fn equal_options_of_late_share_their_memory() {
        let mut shared = SharedOptions::default();
        let first = shared.share(with_hops(1));
        assert!(Arc::ptr_eq(&shared.share(with_hops(1)), &first));
        assert_eq!(shared.share(with_hops(2)).hop_limit, 2);
        for hops in 10..10 + RECENT as u8 {
            shared.share(with_hops(hops));
        }
        assert!(!Arc::ptr_eq(&shared.share(with_hops(1)), &first), "that was long ago");
        assert_eq!(Arc::strong_count(&first), 1, "and is forgotten");
    }
}
