//! HyStart++ (RFC 9406): leaves slow start when round trips grow, before the queue overflows.

use usernet_wire::SeqNumber;

use super::AckSample;
use crate::time::Duration;

/// RFC 9406 §4.2, with its constants of §4.3.
const MIN_RTT_THRESH: Duration = Duration::from_millis(4);
const MAX_RTT_THRESH: Duration = Duration::from_millis(16);
const MIN_RTT_DIVISOR: u32 = 8;
const N_RTT_SAMPLE: u32 = 8;
/// How much slower than slow start the window grows in conservative slow start.
const CSS_GROWTH_DIVISOR: u32 = 4;
/// Rounds of conservative slow start before congestion avoidance.
const CSS_ROUNDS: u32 = 5;

/// What slow start is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Growth {
    /// Grow by that many bytes.
    Grow(u32),
    /// Slow start is over.
    Exit,
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
            if let Some((_, rounds)) = &mut self.css
                && !first
            {
                *rounds += 1;
                if *rounds >= CSS_ROUNDS {
                    return Growth::Exit;
                }
            }
        }
        if let Some(rtt) = sample.rtt {
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

    #[test]
    fn a_fluctuation_goes_back_to_slow_start() {
        let mut h = HyStart::default();
        round(&mut h, 0, 20);
        round(&mut h, 20_000, 20);
        assert_eq!(round(&mut h, 40_000, 30), Growth::Grow(MSS / 4));
        assert_eq!(round(&mut h, 60_000, 20), Growth::Grow(MSS));
    }
}
