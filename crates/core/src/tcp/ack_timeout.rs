//! How long an acknowledgement waits for company: it adapts to how far apart the peer's segments come (Linux's ATO,
//! `ss -ti`'s `ato`). Bulk data is acknowledged every second segment; a trickle gets one acknowledgement for about two
//! segments, however slow it is, and never waits longer than a round trip; after an idle time the sender restarts from a
//! small window, so nothing waits.

use crate::lazy::blank;
use crate::time::{Duration, Instant, Nanos};

/// What an acknowledgement waits at most, in times of the configured delay: 200 ms of 40 ms (Linux `TCP_DELACK_MAX`; RFC
/// 9293 §3.8.6.3 MUST-40 allows 500 ms).
const MAX_TIMES: u32 = 5;

/// The longest that RFC 9293 §3.8.6.3 allows (MUST-40: less than half a second).
const MAX: Duration = Duration::from_millis(499);

/// What the path is like, as far as it matters to acknowledgements.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// The delay while segments come close together; zero for none at all.
    pub(super) delay: Duration,
    /// Smoothed round-trip time; zero before it is known.
    pub(super) srtt: Duration,
    /// Retransmission timeout.
    pub(super) rto: Duration,
}

/// The estimator.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AckTimeout {
    ato: Nanos,
    /// When data came last.
    last: Option<Instant>,
}

blank!(AckTimeout);

impl AckTimeout {
    /// Data came. Answers whether it is the first after an idle time, so that the sender is in slow start again
    /// (Linux `tcp_event_data_recv`).
    pub(super) fn on_data(&mut self, now: Instant, pace: Pace) -> bool {
        let Some(last) = self.last.replace(now) else {
            self.ato = pace.delay.into();
            return false;
        };
        let gap = now.since(last);
        if gap <= pace.delay / 2 {
            self.ato = (self.ato() / 2 + pace.delay / 2).into();
        } else if gap < self.ato() {
            self.ato = (self.ato() / 2 + gap).min(pace.rto).into();
        } else {
            return gap > pace.rto;
        }
        false
    }

    /// As many more segments came with it: what so many calls at once would do.
    pub(super) fn on_more_data(&mut self, segments: u32, pace: Pace) {
        for _ in 0..segments {
            let next = self.ato() / 2 + pace.delay / 2;
            if next == self.ato() {
                return;
            }
            self.ato = next.into();
        }
    }

    /// How long an acknowledgement waits.
    pub(super) fn delay(&self, pace: Pace) -> Duration {
        let most = (pace.delay * MAX_TIMES).min(MAX);
        let round_trip = if pace.srtt.is_zero() { most } else { pace.srtt.max(pace.delay) };
        self.ato().min(most).min(round_trip)
    }

    /// The estimate (`ato`); zero before any data came.
    pub(super) fn ato(&self) -> Duration {
        self.ato.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn pace(srtt: u32) -> Pace {
        Pace { delay: 40 * MS, srtt: srtt * MS, rto: (srtt + 200) * MS }
    }

    /// The delay after segments with these gaps, ms, and whether the last ended an idle time.
    fn after(gaps: &[u64], pace: Pace) -> (Duration, bool) {
        let (mut at, mut now, mut idle) =
            (AckTimeout::default(), Instant::from_millis(1000), false);
        at.on_data(now, pace);
        for gap in gaps {
            now += Duration::from_millis(*gap);
            idle = at.on_data(now, pace);
        }
        (at.delay(pace), idle)
    }

    #[test]
    fn close_segments_keep_it_at_its_least() {
        assert_eq!(after(&[], pace(100)), (40 * MS, false));
        assert_eq!(after(&[1, 1, 20, 1], pace(100)), (40 * MS, false));
    }

    #[test]
    fn a_trickle_waits_for_the_next_segment_but_no_longer_than_a_round_trip() {
        let (delay, _) = after(&[35; 40], pace(400));
        assert!(delay > 65 * MS && delay <= 70 * MS, "twice the gap: {delay:?}");
        assert_eq!(after(&[35; 40], pace(50)).0, 50 * MS);
        assert_eq!(after(&[35; 40], pace(10)).0, 40 * MS, "and no less than the configured delay");
        let (bulk_again, _) = after(&[[35; 40], [1; 40]].concat(), pace(400));
        assert_eq!(bulk_again.as_millis(), 40);
    }

    #[test]
    fn it_is_bounded() {
        let gaps: Vec<u64> = (0..60).map(|i| 38 + i * 8).collect();
        assert!(after(&gaps, Pace { rto: 9000 * MS, ..pace(5000) }).0 <= 200 * MS);
        let long = Pace { delay: 300 * MS, ..pace(5000) };
        assert!(after(&[290; 40], Pace { rto: 9000 * MS, ..long }).0 < 500 * MS);
    }

    #[test]
    fn an_idle_time_is_seen() {
        assert!(after(&[301], pace(100)).1);
        assert!(!after(&[299], pace(100)).1);
    }
}
