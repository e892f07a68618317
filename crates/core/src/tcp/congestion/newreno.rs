//! NewReno: slow start and congestion avoidance of RFC 5681, recovery of RFC 6582.

use super::{AckSample, CongestionControl, MAX_CWND, Start, initial_window, unused};
use crate::time::{Duration, Instant};

#[derive(Debug)]
pub(super) struct NewReno {
    cwnd: u32,
    ssthresh: u32,
    /// Bytes acknowledged since the window last grew in congestion avoidance.
    acked: u32,
    /// Window and threshold before the last recovery.
    saved: Option<(u32, u32)>,
}

impl NewReno {
    pub(super) fn new(start: &Start) -> Self {
        Self { cwnd: start.cwnd, ssthresh: start.ssthresh, acked: 0, saved: None }
    }
}

impl CongestionControl for NewReno {
    fn name(&self) -> &'static str {
        "newreno"
    }

    fn cwnd(&self) -> u32 {
        self.cwnd
    }

    fn ssthresh(&self) -> u32 {
        self.ssthresh
    }

    fn on_ack(&mut self, sample: &AckSample) {
        let mut acked = sample.acked;
        if self.cwnd < self.ssthresh {
            if !sample.is_cwnd_limited(self.cwnd, true) {
                return;
            }
            // RFC 5681 §3.1: up to the bytes acknowledged; what exceeds ssthresh counts as congestion avoidance.
            let grow = acked.min(self.ssthresh - self.cwnd);
            self.cwnd = (self.cwnd + grow).min(MAX_CWND);
            acked -= grow;
            if acked == 0 {
                return;
            }
        }
        if !sample.is_cwnd_limited(self.cwnd, false) {
            return;
        }
        // RFC 5681 §3.1, equation (3) in its byte-counting form: one MSS per window acknowledged.
        self.acked = self.acked.saturating_add(acked);
        while self.acked >= self.cwnd && self.cwnd < MAX_CWND {
            self.acked -= self.cwnd;
            self.cwnd += sample.mss;
        }
    }

    fn on_loss(&mut self, _now: Instant, in_flight: u32, mss: u32) {
        // RFC 5681 §3.2, equation (4)
        self.ssthresh = (in_flight / 2).max(2 * mss);
        self.cwnd = self.ssthresh;
        self.acked = 0;
    }

    fn on_recovered(&mut self, _now: Instant, in_flight: u32, mss: u32) {
        // RFC 6582 §3.2 step 3 (1): no burst when little is in flight.
        self.cwnd = self.ssthresh.min(in_flight.max(mss) + mss).max(2 * mss);
    }

    fn on_timeout(&mut self, _now: Instant, in_flight: u32, mss: u32, again: bool) {
        // RFC 5681 §3.1: ssthresh is set once per loss event, the window becomes one segment.
        if !again {
            self.ssthresh = (in_flight / 2).max(2 * mss);
        }
        self.cwnd = mss;
        self.acked = 0;
    }

    fn on_idle(&mut self, _now: Instant, _idle: Duration, mss: u32) {
        self.cwnd = self.cwnd.min(initial_window(mss));
    }

    fn on_unused(&mut self, mss: u32) {
        (self.cwnd, self.ssthresh) = unused(self.cwnd, self.ssthresh, mss);
        self.acked = 0;
    }

    fn save(&mut self) {
        self.saved = Some((self.cwnd, self.ssthresh));
    }

    fn undo(&mut self, _now: Instant) {
        if let Some((cwnd, ssthresh)) = self.saved.take() {
            self.cwnd = self.cwnd.max(cwnd);
            self.ssthresh = self.ssthresh.max(ssthresh);
        }
    }
}

#[cfg(test)]
mod tests {
    use usernet_wire::SeqNumber;

    use super::super::start;
    use super::*;

    const MSS: u32 = 1000;

    fn ack(cc: &mut NewReno, acked: u32) {
        let in_flight = cc.cwnd;
        cc.on_ack(&sample(acked, in_flight));
    }

    fn sample(acked: u32, in_flight: u32) -> AckSample {
        AckSample {
            now: Instant::ZERO,
            acked,
            in_flight,
            mss: MSS,
            rtt: None,
            srtt: Duration::ZERO,
            paced: false,
            una: SeqNumber(0),
            nxt: SeqNumber(0),
        }
    }

    #[test]
    fn slow_start_doubles_per_round_trip() {
        let mut cc = NewReno::new(&start(MSS));
        assert_eq!(cc.cwnd(), 10 * MSS);
        for _ in 0..10 {
            ack(&mut cc, MSS);
        }
        assert_eq!(cc.cwnd(), 20 * MSS);
    }

    #[test]
    fn congestion_avoidance_adds_one_segment_per_window() {
        let mut cc = NewReno::new(&start(MSS));
        cc.on_loss(Instant::ZERO, 20 * MSS, MSS);
        assert_eq!((cc.cwnd(), cc.ssthresh()), (10 * MSS, 10 * MSS));
        for _ in 0..10 {
            ack(&mut cc, MSS);
        }
        assert_eq!(cc.cwnd(), 11 * MSS);
    }

    #[test]
    fn an_unused_window_does_not_grow() {
        let mut cc = NewReno::new(&start(MSS));
        cc.on_ack(&sample(MSS, MSS));
        assert_eq!(cc.cwnd(), 10 * MSS);
    }

    #[test]
    fn timeout_restarts_from_one_segment_and_keeps_ssthresh_on_repeat() {
        let mut cc = NewReno::new(&start(MSS));
        cc.on_timeout(Instant::ZERO, 30 * MSS, MSS, false);
        assert_eq!((cc.cwnd(), cc.ssthresh()), (MSS, 15 * MSS));
        cc.on_timeout(Instant::ZERO, MSS, MSS, true);
        assert_eq!((cc.cwnd(), cc.ssthresh()), (MSS, 15 * MSS));
    }
}
