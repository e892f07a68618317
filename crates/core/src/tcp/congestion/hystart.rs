//! HyStart++ (RFC 9406): leaves slow start when round trips grow, before the queue overflows; and, as the Hybrid Slow Start
//! before it (Ha, Rhee 2011; Linux's CUBIC), when acknowledgements come one behind the other for longer than the path needs
//! half of its time for: then the link is busy all the time, and more would only wait before it. Round trips alone tell too
//! late where the queue is as long as the path: their least of a round grows a round after the queue began to.

use usernet_wire::SeqNumber;

use super::AckSample;
use crate::time::{Duration, Instant};

/// RFC 9406 §4.2, with its constants of §4.3.
const MIN_RTT_THRESH: Duration = Duration::from_millis(4);
const MAX_RTT_THRESH: Duration = Duration::from_millis(16);
const MIN_RTT_DIVISOR: u32 = 8;
const N_RTT_SAMPLE: u32 = 8;
/// How much slower than slow start the window grows in conservative slow start.
const CSS_GROWTH_DIVISOR: u32 = 4;
/// Rounds of conservative slow start before congestion avoidance.
const CSS_ROUNDS: u32 = 5;

/// Acknowledgements further apart than this, or than an eighth of the round trip, are no train (Linux
/// `hystart_ack_delta`).
const TRAIN_GAP: Duration = Duration::from_millis(2);

/// What slow start is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Growth {
    /// Grow by that many bytes.
    Grow(u32),
    /// Slow start is over.
    Exit,
    /// Slow start is over, and this many bytes keep the path full.
    Full(u32),
}

/// The state of RFC 9406 §4.2.
#[derive(Clone, Debug, Default)]
pub(super) struct HyStart {
    window_end: Option<SeqNumber>,
    last_round_min_rtt: Option<Duration>,
    current_round_min_rtt: Option<Duration>,
    samples: u32,
    /// In conservative slow start: the baseline, and the rounds so far.
    css: Option<(Duration, u32)>,
    /// The least round trip of all.
    least: Option<Duration>,
    /// The acknowledgements of this round, as long as one follows the other.
    train: Train,
}

/// Acknowledgements one behind the other.
#[derive(Clone, Debug, Default)]
struct Train {
    first: Instant,
    last: Instant,
    /// Bytes that those behind the first acknowledged.
    bytes: u32,
}

impl Train {
    fn beginning(now: Instant) -> Self {
        Self { first: now, last: now, bytes: 0 }
    }

    /// An acknowledgement came: how many bytes fill a path of that round trip, once the train is so long that it says so.
    fn on_ack(&mut self, sample: &AckSample, round_trip: Duration) -> Option<u32> {
        if sample.now.since(self.last) > TRAIN_GAP.max(round_trip / 8) {
            *self = Self::beginning(sample.now);
            return None;
        }
        self.last = sample.now;
        self.bytes = self.bytes.saturating_add(sample.acked);
        let length = self.last.since(self.first);
        // Paced segments are half a round trip apart, first from last, before they meet any queue.
        let enough = if sample.paced { round_trip } else { round_trip / 2 };
        // What takes less than the least that counts as a queue is the schedulers' doing.
        (length > enough && enough >= MIN_RTT_THRESH).then(|| {
            let bytes = u128::from(self.bytes) * round_trip.as_nanos() / length.as_nanos();
            u32::try_from(bytes).unwrap_or(u32::MAX)
        })
    }
}

impl HyStart {
    /// Takes an acknowledgement in slow start. Round trips are counted by sequence numbers: a round ends when what was
    /// sent at its beginning is acknowledged.
    pub(super) fn on_ack(&mut self, sample: &AckSample) -> Growth {
        if self.window_end.is_none_or(|end| sample.una.ge(end)) {
            let first = self.window_end.is_none();
            self.window_end = Some(sample.nxt);
            self.last_round_min_rtt = self.current_round_min_rtt.take();
            self.samples = 0;
            self.train = Train::beginning(sample.now);
            if let Some((_, rounds)) = &mut self.css
                && !first
            {
                *rounds += 1;
                if *rounds >= CSS_ROUNDS {
                    return Growth::Exit;
                }
            }
        } else if let Some(least) = self.least
            && let Some(bytes) = self.train.on_ack(sample, least)
        {
            return Growth::Full(bytes);
        }
        if let Some(rtt) = sample.rtt {
            self.least = Some(self.least.map_or(rtt, |least| least.min(rtt)));
            self.current_round_min_rtt =
                Some(self.current_round_min_rtt.map_or(rtt, |min| min.min(rtt)));
            self.samples += 1;
        }
        if self.samples >= N_RTT_SAMPLE
            && let Some(current) = self.current_round_min_rtt
        {
            match self.css {
                None => {
                    if let Some(last) = self.last_round_min_rtt {
                        let thresh = (last / MIN_RTT_DIVISOR).clamp(MIN_RTT_THRESH, MAX_RTT_THRESH);
                        if current >= last + thresh {
                            self.css = Some((current, 0));
                        }
                    }
                }
                // The growth was a fluctuation: back to slow start.
                Some((baseline, _)) if current < baseline => self.css = None,
                Some(_) => {}
            }
        }
        match self.css {
            None => Growth::Grow(sample.acked),
            Some(_) => Growth::Grow(sample.acked / CSS_GROWTH_DIVISOR),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Instant;

    const MSS: u32 = 1000;

    /// One round of ten segments, each with that round-trip time; what the last said.
    fn round(h: &mut HyStart, start: u32, rtt_ms: u64) -> Growth {
        let mut last = Growth::Exit;
        for i in 1..=10 {
            last = h.on_ack(&AckSample {
                now: Instant::ZERO,
                acked: MSS,
                in_flight: 10 * MSS,
                mss: MSS,
                rtt: Some(Duration::from_millis(rtt_ms)),
                srtt: Duration::from_millis(rtt_ms),
                paced: false,
                una: SeqNumber(start + i * MSS),
                nxt: SeqNumber(start + 10 * MSS + i * MSS),
            });
            if last == Growth::Exit {
                break;
            }
        }
        last
    }

    #[test]
    fn a_growing_round_trip_slows_down_and_then_ends_slow_start() {
        let mut h = HyStart::default();
        assert_eq!(round(&mut h, 0, 20), Growth::Grow(MSS));
        assert_eq!(round(&mut h, 20_000, 20), Growth::Grow(MSS));
        assert_eq!(round(&mut h, 40_000, 30), Growth::Grow(MSS / 4));
        let mut rounds = 0;
        while round(&mut h, 60_000 + 20_000 * rounds, 31) != Growth::Exit {
            rounds += 1;
            assert!(rounds < 10);
        }
        assert!((3..=5).contains(&rounds), "{rounds}");
    }

    /// Acknowledgements of two segments each, `gap` microseconds apart, of a path of 20 ms: how many bytes fill it, if they say.
    fn train(gaps: impl Iterator<Item = u64>, paced: bool) -> Option<u32> {
        let mut h = HyStart::default();
        let mut now = Instant::from_millis(100);
        for (i, gap) in gaps.enumerate() {
            now += Duration::from_micros(gap);
            let una = SeqNumber(2 * MSS * i as u32);
            let growth = h.on_ack(&AckSample {
                now,
                acked: 2 * MSS,
                in_flight: 500 * MSS,
                mss: MSS,
                rtt: Some(Duration::from_millis(20)),
                srtt: Duration::from_millis(20),
                paced,
                una,
                nxt: SeqNumber(1000 * MSS),
            });
            if let Growth::Full(bytes) = growth {
                return Some(bytes);
            }
        }
        None
    }

    #[test]
    fn acknowledgements_one_behind_the_other_say_when_the_path_is_full() {
        // Two segments of 1,000 bytes every 200 us: 200,000 bytes in 20 ms.
        let full = train([200; 60].into_iter(), false).unwrap();
        assert!((195_000..=205_000).contains(&full), "{full}");
        assert_eq!(train([200; 48].into_iter(), false), None, "for less than half of the time");
        assert_eq!(train([200; 60].into_iter(), true), None, "at a pace it takes all of it");
        assert!(train([200; 110].into_iter(), true).is_some());
        let gap = |at| (0..60).map(move |i| if i == at { 3000 } else { 200 });
        assert_eq!(train(gap(20), false), None, "a gap");
        assert!(train(gap(5), false).is_some(), "behind a gap another begins");
    }

    #[test]
    fn each_round_has_its_own_train() {
        let mut h = HyStart::default();
        let mut now = Instant::from_millis(100);
        // Rounds of 40 acknowledgements, 8 of 20 ms each: the path was never busy for half of its time at a stretch.
        for i in 0..200 {
            now += Duration::from_micros(200);
            let growth = h.on_ack(&AckSample {
                now,
                acked: MSS,
                in_flight: 40 * MSS,
                mss: MSS,
                rtt: Some(Duration::from_millis(20)),
                srtt: Duration::from_millis(20),
                paced: false,
                una: SeqNumber(MSS * i),
                nxt: SeqNumber(MSS * (i + 40)),
            });
            assert_eq!(growth, Growth::Grow(MSS), "acknowledgement {i}");
        }
    }

    #[test]
    fn a_fluctuation_goes_back_to_slow_start() {
        let mut h = HyStart::default();
        round(&mut h, 0, 20);
        round(&mut h, 20_000, 20);
        assert_eq!(round(&mut h, 40_000, 30), Growth::Grow(MSS / 4));
        assert_eq!(round(&mut h, 60_000, 20), Growth::Grow(MSS));
    }
}
