//! BBR's states, and what it remembers of a path: the filters behind its model (draft-ietf-ccwg-bbr §5.5).

use crate::tcp::rate::time_for;
use crate::time::{Duration, Instant};

/// BBR.state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Startup,
    Drain,
    Down,
    Cruise,
    Refill,
    Up,
    ProbeRtt,
}

impl Mode {
    pub(super) fn is_probe_bw(self) -> bool {
        matches!(self, Self::Down | Self::Cruise | Self::Refill | Self::Up)
    }

    /// BBR.pacing_gain (§5.6.1).
    pub(super) fn pacing_gain(self) -> f64 {
        match self {
            Self::Startup => 2.77,
            Self::Drain => 0.5,
            Self::Down => 0.9,
            Self::Cruise | Self::Refill | Self::ProbeRtt => 1.0,
            Self::Up => 1.25,
        }
    }

    /// BBR.cwnd_gain (§5.6.1).
    pub(super) fn cwnd_gain(self) -> f64 {
        match self {
            Self::Up => 2.25,
            Self::ProbeRtt => 0.5,
            _ => 2.0,
        }
    }
}

/// The highest bandwidth of this probing cycle and the one before (§5.5.3, MaxBwFilterLen of two).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MaxBandwidth {
    now: u64,
    before: u64,
}

impl MaxBandwidth {
    pub(super) fn get(self) -> u64 {
        self.now.max(self.before)
    }

    pub(super) fn update(&mut self, rate: u64) {
        self.now = self.now.max(rate);
    }

    /// Another cycle begins (§5.5.6). One without any sample does not count: what was known stays known, as in Linux.
    pub(super) fn advance(&mut self) {
        if self.now != 0 {
            self.before = std::mem::take(&mut self.now);
        }
    }
}

/// Rounds that the degree of aggregation is remembered for (ExtraAckedFilterLen).
const ROUNDS: usize = 10;

/// How much more than the bandwidth says is acknowledged at once (§5.5.9).
#[derive(Clone, Debug)]
pub(super) struct Aggregation {
    start: Instant,
    delivered: u64,
    /// The most of each of the last rounds, and which round is the last.
    most: [u32; ROUNDS],
    round: u64,
}

impl Aggregation {
    pub(super) fn new(now: Instant) -> Self {
        Self { start: now, delivered: 0, most: [0; ROUNDS], round: 0 }
    }

    /// Nothing was sent for a while: the time does not count.
    pub(super) fn restart(&mut self, now: Instant) {
        self.start = now;
        self.delivered = 0;
    }

    /// `acked` bytes were acknowledged in round `round`, on a path of bandwidth `bw`.
    pub(super) fn update(&mut self, now: Instant, round: u64, acked: u32, bw: u64, cwnd: u32) {
        // As long as it is not delivered faster than expected there is no aggregation.
        let expected = time_for(self.delivered, bw);
        if bw == 0 || now.since(self.start) >= expected {
            self.restart(now);
        }
        self.delivered += u64::from(acked);
        let due = u128::from(bw) * now.since(self.start).as_nanos() / 1_000_000_000;
        let extra = u128::from(self.delivered).saturating_sub(due);
        let extra = u32::try_from(extra).unwrap_or(u32::MAX).min(cwnd);
        while self.round < round {
            self.round = (self.round + 1).max(round.saturating_sub(ROUNDS as u64));
            self.most[(self.round % ROUNDS as u64) as usize] = 0;
        }
        let slot = &mut self.most[(self.round % ROUNDS as u64) as usize];
        *slot = extra.max(*slot);
    }

    /// The most of the last rounds, or in Startup of the last round alone, bytes.
    pub(super) fn extra_acked(&self, startup: bool) -> u32 {
        if startup {
            self.most[(self.round % ROUNDS as u64) as usize]
        } else {
            self.most.iter().copied().max().unwrap_or(0)
        }
    }
}

/// Time that a least round trip counts for (MinRTTFilterLen, §5.5.7.2), and after which the queue is drained to look again
/// (ProbeRTTInterval, §5.3.4).
const MIN_RTT_FILTER: Duration = Duration::from_secs(10);
const PROBE_RTT_INTERVAL: Duration = Duration::from_secs(5);

/// The least round-trip time (§5.3.4.3, UpdateMinRTT).
#[derive(Clone, Copy, Debug)]
pub(super) struct MinRtt {
    /// BBR.min_rtt; `None` before the first sample.
    min: Option<(Duration, Instant)>,
    /// BBR.probe_rtt_min_delay and its stamp.
    probe: (Duration, Instant),
    /// BBR.probe_rtt_expired.
    pub(super) expired: bool,
}

impl MinRtt {
    pub(super) fn new(now: Instant, srtt: Duration) -> Self {
        let known = !srtt.is_zero();
        let probe = if known { srtt } else { Duration::MAX };
        Self { min: known.then_some((srtt, now)), probe: (probe, now), expired: false }
    }

    pub(super) fn get(&self) -> Option<Duration> {
        self.min.map(|(rtt, _)| rtt)
    }

    pub(super) fn update(&mut self, now: Instant, rtt: Option<Duration>) {
        self.expired = now > self.probe.1 + PROBE_RTT_INTERVAL;
        if let Some(rtt) = rtt
            && (rtt < self.probe.0 || self.expired)
        {
            self.probe = (rtt, now);
        }
        let stale =
            self.min.is_none_or(|(min, at)| self.probe.0 < min || now > at + MIN_RTT_FILTER);
        if stale && self.probe.0 != Duration::MAX {
            self.min = Some(self.probe);
        }
    }

    /// The queue was drained: the next look is due an interval from now.
    pub(super) fn probed(&mut self, now: Instant) {
        self.probe.1 = now;
    }
}

/// Draws that need not be secret (splitmix64).
#[derive(Clone, Debug)]
pub(super) struct Draw(pub(super) u64);

impl Draw {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    #[test]
    fn bandwidth_is_remembered_for_two_cycles() {
        let mut filter = MaxBandwidth::default();
        filter.update(100);
        filter.advance();
        filter.update(60);
        assert_eq!(filter.get(), 100);
        filter.advance();
        assert_eq!(filter.get(), 60);
        filter.advance();
        assert_eq!(filter.get(), 60, "a cycle without samples forgets nothing");
    }

    #[test]
    fn aggregation_is_what_comes_beyond_the_bandwidth() {
        // 1,000 bytes a millisecond, acknowledged 10 ms at a time.
        let mut steady = Aggregation::new(at(0));
        let mut bursty = Aggregation::new(at(0));
        for ms in 1..=200 {
            steady.update(at(ms), ms / 20, 1000, 1_000_000, 100_000);
            if ms % 10 == 0 {
                for _ in 0..10 {
                    bursty.update(at(ms), ms / 20, 1000, 1_000_000, 100_000);
                }
            }
        }
        assert!(steady.extra_acked(false) <= 1000, "{}", steady.extra_acked(false));
        assert!((9_000..=11_000).contains(&bursty.extra_acked(false)));
        for round in 11..=30 {
            bursty.update(at(200 + round * 20), round, 1, 1_000_000, 100_000);
        }
        assert!(bursty.extra_acked(false) < 1000, "ten rounds later it is forgotten");
    }

    #[test]
    fn the_least_round_trip_is_looked_for_again() {
        let ms = Duration::from_millis;
        let mut min = MinRtt::new(at(0), Duration::ZERO);
        assert_eq!(min.get(), None);
        min.update(at(0), Some(ms(20)));
        min.update(at(1000), Some(ms(30)));
        assert_eq!((min.get(), min.expired), (Some(ms(20)), false));
        min.update(at(5001), Some(ms(30)));
        assert!(
            min.expired && min.get() == Some(ms(20)),
            "the short window has it, the long does not"
        );
        min.update(at(10_002), Some(ms(40)));
        assert_eq!(min.get(), Some(ms(40)));
    }
}
