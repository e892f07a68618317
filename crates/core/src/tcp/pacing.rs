//! Pacing: when the next segment may leave, and how much may leave at once. Off unless the congestion control asks for a
//! rate, or the socket for pacing; then a window is spread over its round trip instead of leaving in one burst.

use super::rate::time_for;
use crate::lazy::blank;
use crate::time::{Duration, Instant};

/// What may leave at once is what the rate carries in this time (Linux `sk_pacing_shift` of 10; C.send_quantum of
/// draft-ietf-ccwg-bbr §5.6.3), and as much is made up for when the driver's clock was late.
const QUANTUM: Duration = Duration::from_millis(1);

/// Most that leaves at once, bytes.
const MAX_QUANTUM: u32 = 64 << 10;

/// Below this rate, bytes a second, a quantum is one segment and not two (1.2 Mbit/s, Linux `bbr_min_tso_rate`).
const SLOW: u64 = 150_000;

/// The gate of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Pacer {
    /// Bytes a second; `None` paces nothing.
    rate: Option<u64>,
    /// When the next quantum may leave (C.next_send_time).
    next_at: Instant,
    /// What of this quantum has not left, bytes: its segments need not wait for one another, which spares a timer each.
    left: u32,
    /// Something wanted to leave and has to wait for it.
    waiting: bool,
}

blank!(Pacer = Pacer { rate: None, next_at: Instant::ZERO, left: 0, waiting: false });

impl Pacer {
    /// Sets the rate, bytes a second; `None` paces nothing.
    pub(crate) fn set_rate(&mut self, rate: Option<u64>) {
        self.rate = rate;
    }

    /// Whether a segment of up to `mss` bytes may leave now. If not, [`deadline`](Self::deadline) says when.
    pub(crate) fn may_send(&mut self, now: Instant, mss: u32) -> bool {
        if now >= self.next_at {
            self.left = self.quantum(mss).unwrap_or(0);
        }
        self.waiting = self.rate.is_some() && self.left == 0;
        !self.waiting
    }

    /// Whether it paces.
    pub(crate) fn is_on(&self) -> bool {
        self.rate.is_some()
    }

    /// Most bytes that may leave now; `None` when nothing is paced.
    pub(crate) fn allowance(&self) -> Option<u32> {
        self.rate.map(|_| self.left)
    }

    /// Most bytes that may leave at once, in whole segments of `mss`.
    fn quantum(&self, mss: u32) -> Option<u32> {
        let rate = self.rate?;
        let bytes = u128::from(rate) * QUANTUM.as_nanos() / 1_000_000_000;
        let least = if rate < SLOW { 1 } else { 2 };
        let bytes = u32::try_from(bytes).unwrap_or(MAX_QUANTUM).min(MAX_QUANTUM);
        Some((bytes / mss).max(least) * mss)
    }

    /// `bytes` leave now.
    pub(crate) fn on_sent(&mut self, now: Instant, bytes: u32) {
        let Some(rate) = self.rate else { return };
        self.left = self.left.saturating_sub(bytes);
        // What a late wake-up cost is made up for, but no more than a quantum: an idle time gives no credit.
        let from = self.next_at.max(now - QUANTUM);
        self.next_at = from + time_for(u64::from(bytes), rate);
    }

    /// When what waits may leave.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.waiting.then_some(self.next_at)
    }
}

/// The rate of a window spread over its round trip, with the room that lets it grow (Linux `tcp_update_pacing_rate`): twice
/// in slow start, 1.2 times after it. Bytes a second; `None` before the first round-trip time.
pub(crate) fn window_rate(cwnd: u32, ssthresh: u32, srtt: Duration) -> Option<u64> {
    if srtt.is_zero() {
        return None;
    }
    let percent = if cwnd < ssthresh / 2 { 200 } else { 120 };
    Some(super::rate::rate(u64::from(cwnd) * percent / 100, srtt))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 1000;

    /// A greedy sender that is woken as late as `late` says: what it sends in a second, and the most at one time.
    fn run(rate: u64, late: Duration) -> (u64, u32) {
        let mut pacer = Pacer::default();
        pacer.set_rate(Some(rate));
        let (mut now, mut sent, mut most) = (Instant::from_millis(1), 0, 0);
        while now < Instant::from_millis(1001) {
            let mut burst = 0;
            while pacer.may_send(now, MSS) {
                pacer.on_sent(now, MSS);
                burst += MSS;
            }
            sent += u64::from(burst);
            most = most.max(burst);
            now = pacer.deadline().unwrap() + late;
        }
        (sent, most)
    }

    #[test]
    fn the_rate_is_kept_and_bursts_are_a_millisecond() {
        for rate in [20_000, 1_000_000, 12_500_000, 125_000_000] {
            let (sent, most) = run(rate, Duration::ZERO);
            let quantum = (rate / 1000).clamp(1000, 64 << 10) as u32;
            assert!(sent.abs_diff(rate) <= rate / 50 + 4 * u64::from(quantum), "{rate}: {sent}");
            // What a late start makes up for, and a quantum.
            let bound = rate as u32 / 1000 + quantum.max(2 * MSS) + MSS;
            assert!(most <= bound, "{rate}: {most}");
        }
    }

    #[test]
    fn a_driver_that_is_late_makes_up_for_it() {
        let (sent, most) = run(12_500_000, Duration::from_micros(400));
        assert!(sent > 12_200_000, "{sent}");
        assert!(most <= 2 * 12_500 + 1000, "{most}");
    }

    #[test]
    fn an_idle_time_gives_no_credit() {
        let mut pacer = Pacer::default();
        pacer.set_rate(Some(1_000_000));
        let now = Instant::from_millis(60_000);
        let mut burst = 0;
        while pacer.may_send(now, MSS) {
            pacer.on_sent(now, 1000);
            burst += 1000;
        }
        assert!(burst <= 4000, "{burst}");
    }

    #[test]
    fn without_a_rate_nothing_waits() {
        let mut pacer = Pacer::default();
        pacer.on_sent(Instant::ZERO, 1 << 20);
        assert!(pacer.may_send(Instant::ZERO, MSS));
        assert_eq!((pacer.quantum(MSS), pacer.deadline()), (None, None));
    }

    #[test]
    fn a_window_is_spread_over_its_round_trip() {
        let rtt = Duration::from_millis(100);
        assert_eq!(window_rate(100_000, u32::MAX, rtt), Some(2_000_000));
        assert_eq!(window_rate(100_000, 100_000, rtt), Some(1_200_000));
        assert_eq!(window_rate(100_000, 100_000, Duration::ZERO), None);
    }
}
