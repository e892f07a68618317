//! What a connection spends its time on while there is something to send (Linux `tcp_chrono`): sending, waiting for the
//! peer's window, waiting for more room in the send buffer.

use crate::lazy::blank;
use crate::time::{Duration, Instant};

/// What limits the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    /// The network: the congestion window, pacing, or nothing.
    Network,
    /// The peer's window.
    PeerWindow,
    /// The send buffer: the application would write more, and the window would take more.
    SendBuffer,
}

/// The clock of a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Chrono {
    now: Option<(Limit, Instant)>,
    /// Time spent so far, by limit.
    spent: [Duration; 3],
}

blank!(Chrono);

impl Chrono {
    /// From now on that is the limit; `None` when there is nothing to send and nothing in flight.
    pub(super) fn set(&mut self, now: Instant, limit: Option<Limit>) {
        if self.now.map(|(limit, _)| limit) == limit {
            return;
        }
        if let Some((was, since)) = self.now.take() {
            self.spent[was as usize] += now.since(since);
        }
        self.now = limit.map(|limit| (limit, now));
    }

    /// Time under that limit until `now`.
    pub(super) fn spent(&self, now: Instant, limit: Limit) -> Duration {
        let running = match self.now {
            Some((current, since)) if current == limit => now.since(since),
            _ => Duration::ZERO,
        };
        self.spent[limit as usize] + running
    }

    /// Time with something to send or in flight, whatever limited it.
    pub(super) fn busy(&self, now: Instant) -> Duration {
        [Limit::Network, Limit::PeerWindow, Limit::SendBuffer]
            .iter()
            .map(|limit| self.spent(now, *limit))
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_moment_counts_for_one_limit_and_for_busy() {
        let (ms, at) = (Duration::from_millis, Instant::from_millis);
        let mut chrono = Chrono::default();
        chrono.set(at(10), Some(Limit::Network));
        chrono.set(at(15), Some(Limit::PeerWindow));
        chrono.set(at(18), Some(Limit::PeerWindow));
        chrono.set(at(25), Some(Limit::SendBuffer));
        chrono.set(at(28), None);
        chrono.set(at(100), Some(Limit::Network));
        let now = at(102);
        assert_eq!(chrono.spent(now, Limit::PeerWindow), ms(10));
        assert_eq!(chrono.spent(now, Limit::SendBuffer), ms(3));
        assert_eq!(chrono.busy(now), ms(20));
    }
}
