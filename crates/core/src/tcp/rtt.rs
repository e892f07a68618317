//! Round-trip time and the retransmission timeout (RFC 6298; RFC 9293 §3.8.1 MUST-18, §3.8.2 MUST-19).

use crate::time::{Duration, Nanos};

/// RTO before the first measurement (RFC 6298 §2.1).
const INITIAL_RTO: Duration = Duration::from_secs(1);

/// RTO once data flows when the SYN was retransmitted (RFC 6298 §5.7).
const RTO_AFTER_SYN_LOSS: Duration = Duration::from_secs(3);

/// The estimator.
#[derive(Clone, Debug)]
pub(crate) struct Rtt {
    srtt: Nanos,
    rttvar: Nanos,
    min_rtt: Nanos,
    rto_min: Nanos,
    rto_max: Nanos,
    measured: bool,
    syn_was_lost: bool,
    /// Times in a row the timeout was doubled.
    pub(crate) backoff: u8,
}

impl Rtt {
    /// An estimator without a sample.
    pub(crate) fn new(rto_min: Duration, rto_max: Duration) -> Self {
        Self {
            srtt: Nanos::default(),
            rttvar: Nanos::default(),
            min_rtt: Nanos::default(),
            rto_min: rto_min.into(),
            rto_max: rto_max.max(rto_min).into(),
            measured: false,
            syn_was_lost: false,
            backoff: 0,
        }
    }

    /// Smoothed RTT; zero before the first sample.
    pub(crate) fn srtt(&self) -> Duration {
        self.srtt.get()
    }

    /// Its variation.
    pub(crate) fn rttvar(&self) -> Duration {
        self.rttvar.get()
    }

    /// Least seen.
    pub(crate) fn min_rtt(&self) -> Duration {
        self.min_rtt.get()
    }

    /// RFC 6298 §5.7: the SYN was lost, so what was assumed of the path was too optimistic.
    pub(crate) fn syn_was_lost(&mut self) {
        self.syn_was_lost = true;
    }

    /// Takes a sample (RFC 6298 §2.2, §2.3). Karn's rule is the caller's: never from a retransmitted segment.
    pub(crate) fn sample(&mut self, rtt: Duration) {
        let rtt = rtt.max(Duration::from_micros(1));
        if self.measured {
            // beta = 1/4, alpha = 1/8
            let rtt = Nanos::from(rtt);
            let part = |of: Nanos, n: u64, d: u64| of.as_nanos().saturating_mul(n) / d;
            let delta = Nanos::new(self.srtt.as_nanos().abs_diff(rtt.as_nanos()));
            self.rttvar = Nanos::new(part(self.rttvar, 3, 4) + part(delta, 1, 4));
            self.srtt = Nanos::new(part(self.srtt, 7, 8) + part(rtt, 1, 8));
            self.min_rtt = self.min_rtt.min(rtt);
        } else {
            self.srtt = rtt.into();
            self.rttvar = (rtt / 2).into();
            self.min_rtt = rtt.into();
            self.measured = true;
        }
    }

    /// The timeout without backoff, nanoseconds.
    ///
    /// The least timeout bounds the variation's part and not the sum, as Linux does: on a long path of little variation a
    /// delayed acknowledgement must not look like a loss.
    fn base(&self) -> u64 {
        let (least, most) = (self.rto_min.as_nanos(), self.rto_max.as_nanos());
        if self.measured {
            let variation = self.rttvar.as_nanos().saturating_mul(4).max(least);
            self.srtt.as_nanos().saturating_add(variation).min(most)
        } else {
            let first = if self.syn_was_lost { RTO_AFTER_SYN_LOSS } else { INITIAL_RTO };
            Nanos::from(first).as_nanos().clamp(least, most)
        }
    }

    /// The timeout now in force: doubled for every time in a row it ran out (RFC 6298 §5.5).
    pub(crate) fn rto(&self) -> Duration {
        let doubled = self.base().saturating_mul(1 << self.backoff.min(16));
        Duration::from_nanos(doubled.min(self.rto_max.as_nanos()))
    }

    /// The timer ran out.
    pub(crate) fn back_off(&mut self) {
        self.backoff = self.backoff.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rtt() -> Rtt {
        Rtt::new(Duration::from_millis(200), Duration::from_secs(120))
    }

    #[test]
    fn first_sample_sets_srtt_and_half_as_variation() {
        let mut r = rtt();
        assert_eq!(r.rto(), Duration::from_secs(1));
        r.sample(Duration::from_millis(100));
        assert_eq!((r.srtt(), r.rttvar()), (Duration::from_millis(100), Duration::from_millis(50)));
        assert_eq!(r.rto(), Duration::from_millis(300));
    }

    #[test]
    fn later_samples_are_smoothed() {
        let mut r = rtt();
        r.sample(Duration::from_millis(100));
        r.sample(Duration::from_millis(180));
        assert_eq!(r.srtt(), Duration::from_millis(110));
        assert_eq!(r.rttvar(), Duration::from_micros(57_500));
        assert_eq!(r.min_rtt(), Duration::from_millis(100));
    }

    #[test]
    fn backoff_doubles_up_to_the_maximum() {
        let mut r = rtt();
        r.sample(Duration::ZERO);
        let mut seen = Vec::new();
        for _ in 0..12 {
            seen.push(r.rto().as_millis());
            r.back_off();
        }
        assert_eq!(
            seen,
            [200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 102400, 120_000, 120_000]
        );
    }

    #[test]
    fn a_lost_syn_makes_the_first_timeout_three_seconds() {
        let mut r = rtt();
        r.syn_was_lost();
        assert_eq!(r.rto(), Duration::from_secs(3));
        r.sample(Duration::from_millis(10));
        assert_eq!(r.rto(), Duration::from_millis(210));
    }
}
