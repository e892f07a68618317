//! CUBIC (RFC 9438), with HyStart++ (RFC 9406) in slow start.

use super::hystart::{Growth, HyStart};
use super::{AckSample, CongestionControl, MAX_CWND, Start, initial_window, unused};
use crate::lazy::{Lazy, blank};
use crate::time::{Duration, Instant};

/// RFC 9438 §4.6: the window after a loss.
const BETA: f64 = 0.7;
/// RFC 9438 §5: how aggressive the cubic function is, segments per second cubed.
const C: f64 = 0.4;

/// A period of congestion avoidance (RFC 9438 §4.1).
#[derive(Clone, Copy, Debug)]
struct Epoch {
    start: Instant,
    /// The window the plateau lies at, segments.
    origin: f64,
    /// Seconds from the start to the plateau.
    k: f64,
    /// The window Reno would have, segments (§4.3).
    w_est: f64,
}

#[derive(Clone, Debug)]
pub(super) struct Cubic {
    cwnd: u32,
    ssthresh: u32,
    course: Lazy<Course>,
}

/// What it learns on the way: made when data is acknowledged.
#[derive(Clone, Debug, Default)]
struct Course {
    /// The window before the last loss, segments.
    w_max: f64,
    /// The window when the last loss came, segments: what the Reno-friendly estimate regains first (§4.3).
    cwnd_prior: f64,
    epoch: Option<Epoch>,
    /// Growth below a byte.
    credit: f64,
    hystart: HyStart,
    saved: Option<Box<Cubic>>,
}

blank!(Course);

impl Cubic {
    pub(super) fn new(start: &Start) -> Self {
        Self { cwnd: start.cwnd, ssthresh: start.ssthresh, course: Lazy::default() }
    }

    /// A new threshold (RFC 9438 §4.6, §4.7).
    fn reduce(&mut self, mss: u32) {
        let segments = f64::from(self.cwnd) / f64::from(mss);
        // §4.7: a flow whose plateau sinks gives room to new ones.
        self.course.w_max = if segments < self.course.w_max {
            segments * f64::midpoint(1.0, BETA)
        } else {
            segments
        };
        self.course.cwnd_prior = segments;
        self.ssthresh = ((f64::from(self.cwnd) * BETA) as u32).max(2 * mss);
        self.course.epoch = None;
        self.course.credit = 0.0;
    }

    /// RFC 9438 §4.2 - §4.5, equations (1) to (4).
    fn avoid_congestion(&mut self, sample: &AckSample, acked: u32) {
        let mss = f64::from(sample.mss);
        let segments = f64::from(self.cwnd) / mss;
        let course = &mut *self.course;
        let w_max = course.w_max;
        let epoch = course.epoch.get_or_insert_with(|| {
            let (origin, k) = if segments < w_max {
                (w_max, ((w_max - segments) / C).cbrt())
            } else {
                (segments, 0.0)
            };
            Epoch { start: sample.now, origin, k, w_est: segments }
        });
        let t = sample.now.since(epoch.start).as_secs_f64();
        let target_at = |t: f64| C * (t - epoch.k).powi(3) + epoch.origin;
        // §4.2: one round trip ahead, and never more than half a window a round trip.
        let target = target_at(t + sample.srtt.as_secs_f64()).clamp(segments, 1.5 * segments);
        let cubic_now = target_at(t);
        // §4.3: Reno's pace, with the factor that makes a flow of this beta as fast, until it has regained what it had.
        let alpha =
            if epoch.w_est >= course.cwnd_prior { 1.0 } else { 3.0 * (1.0 - BETA) / (1.0 + BETA) };
        let acked_segments = f64::from(acked) / mss;
        epoch.w_est += alpha * acked_segments / segments;
        let grow = if cubic_now < epoch.w_est {
            epoch.w_est - segments
        } else {
            (target - segments) / segments * acked_segments
        };
        self.course.credit += (grow * mss).max(0.0);
        let bytes = self.course.credit as u32;
        self.course.credit -= f64::from(bytes);
        self.cwnd = self.cwnd.saturating_add(bytes).min(MAX_CWND);
    }
}

impl CongestionControl for Cubic {
    fn name(&self) -> &'static str {
        "cubic"
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
            // HyStart++ is for the first slow start only (RFC 9406 §4.3).
            let growth = if self.ssthresh == u32::MAX {
                self.course.hystart.on_ack(sample)
            } else {
                Growth::Grow(acked)
            };
            match growth {
                Growth::Grow(n) => {
                    let grow = n.min(self.ssthresh - self.cwnd);
                    self.cwnd = (self.cwnd + grow).min(MAX_CWND);
                    if self.cwnd < self.ssthresh {
                        return;
                    }
                    acked -= grow.min(acked);
                }
                Growth::Exit => self.ssthresh = self.cwnd,
                // What was sent beyond it waits already; but a part of that is kept, for the first loss takes three
                // tenths. The window itself was let through, as far as is known: it is the plateau.
                Growth::Full(bytes) => {
                    let segments = f64::from(self.cwnd) / f64::from(sample.mss);
                    (self.course.w_max, self.course.cwnd_prior) = (segments, segments);
                    self.cwnd = bytes.clamp(self.cwnd / 6 * 5, self.cwnd);
                    self.ssthresh = self.cwnd;
                }
            }
        }
        if !sample.is_cwnd_limited(self.cwnd, false) {
            // §5.8: time in which the window was not used does not count.
            if let Some(course) = self.course.live() {
                course.epoch = None;
            }
            return;
        }
        self.avoid_congestion(sample, acked);
    }

    fn on_loss(&mut self, _now: Instant, _in_flight: u32, mss: u32) {
        self.reduce(mss);
        self.cwnd = self.ssthresh;
    }

    fn on_recovered(&mut self, _now: Instant, _in_flight: u32, mss: u32) {
        self.cwnd = self.ssthresh.max(2 * mss);
    }

    fn on_timeout(&mut self, _now: Instant, _in_flight: u32, mss: u32, again: bool) {
        // §4.8: as Reno, but with this beta; the plateau is unknown after it.
        if !again {
            self.reduce(mss);
        }
        self.cwnd = mss;
    }

    fn on_idle(&mut self, _now: Instant, _idle: Duration, mss: u32) {
        // RFC 5681 §4.1: the restart window. As in Linux, what was learnt of the path stays as the threshold.
        if self.cwnd > initial_window(mss) {
            self.ssthresh = self.ssthresh.max(self.cwnd / 4 * 3);
            self.cwnd = initial_window(mss);
        }
        if let Some(course) = self.course.live() {
            course.epoch = None;
        }
    }

    fn on_unused(&mut self, mss: u32) {
        (self.cwnd, self.ssthresh) = unused(self.cwnd, self.ssthresh, mss);
        if let Some(course) = self.course.live() {
            course.epoch = None;
        }
    }

    fn save(&mut self) {
        self.course.saved = None;
        self.course.saved = Some(Box::new(self.clone()));
    }

    fn undo(&mut self, _now: Instant) {
        if let Some(saved) = self.course.live().and_then(|course| course.saved.take()) {
            let cwnd = self.cwnd.max(saved.cwnd);
            *self = *saved;
            self.cwnd = cwnd;
            self.course.epoch = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use usernet_wire::SeqNumber;

    use super::super::start;
    use super::*;

    const MSS: u32 = 1000;
    const RTT: Duration = Duration::from_millis(50);

    /// One round trip of acknowledgements at full use.
    fn round(cc: &mut Cubic, now: &mut Instant) {
        *now += RTT;
        let mut left = cc.cwnd();
        while left > 0 {
            let acked = left.min(2 * MSS);
            left -= acked;
            cc.on_ack(&AckSample {
                now: *now,
                acked,
                in_flight: cc.cwnd(),
                mss: MSS,
                rtt: Some(RTT),
                srtt: RTT,
                paced: false,
                una: SeqNumber(0),
                nxt: SeqNumber(1),
            });
        }
    }

    #[test]
    fn a_loss_takes_the_window_to_seven_tenths() {
        let mut cc = Cubic::new(&start(MSS));
        cc.cwnd = 100 * MSS;
        cc.on_loss(Instant::ZERO, 100 * MSS, MSS);
        assert_eq!((cc.cwnd(), cc.ssthresh()), (70 * MSS, 70 * MSS));
        assert!((cc.course.w_max - 100.0).abs() < 1e-9);
    }

    #[test]
    fn the_window_regains_its_plateau_after_k_and_then_probes_beyond() {
        let mut cc = Cubic::new(&start(MSS));
        cc.cwnd = 1000 * MSS;
        cc.on_loss(Instant::ZERO, 1000 * MSS, MSS);
        // K = cbrt(300 / 0.4) = 9.09 s
        let mut now = Instant::ZERO;
        let mut at = Vec::new();
        for _ in 0..400 {
            round(&mut cc, &mut now);
            at.push((now.as_millis(), cc.cwnd() / MSS));
        }
        let window = |ms: u64| at.iter().find(|(t, _)| *t >= ms).map(|(_, w)| *w).unwrap();
        assert!((930..=1001).contains(&window(6_000)), "{}", window(6_000));
        assert!((990..=1005).contains(&window(9_000)), "{}", window(9_000));
        assert!(window(9_000) - window(8_000) < 5, "flat around the plateau");
        assert!(window(20_000) > 1300, "{}", window(20_000));
    }

    #[test]
    fn small_windows_grow_like_reno() {
        let mut cc = Cubic::new(&start(MSS));
        cc.cwnd = 10 * MSS;
        cc.on_loss(Instant::ZERO, 10 * MSS, MSS);
        let mut now = Instant::ZERO;
        let before = cc.cwnd();
        for _ in 0..10 {
            round(&mut cc, &mut now);
        }
        // Reno's pace with beta 0.7 is 0.53 segments a round trip until the old window, then one.
        let grown = (cc.cwnd() - before) / MSS;
        assert!((4..=10).contains(&grown), "{grown}");
    }

    #[test]
    fn a_second_loss_below_the_plateau_makes_room() {
        let mut cc = Cubic::new(&start(MSS));
        cc.cwnd = 100 * MSS;
        cc.on_loss(Instant::ZERO, 0, MSS);
        cc.on_loss(Instant::ZERO, 0, MSS);
        assert!((cc.course.w_max - 70.0 * 0.85).abs() < 1e-9, "fast convergence");
    }

    #[test]
    fn undo_restores_the_window() {
        let mut cc = Cubic::new(&start(MSS));
        cc.cwnd = 100 * MSS;
        cc.save();
        cc.on_timeout(Instant::ZERO, 0, MSS, false);
        assert_eq!(cc.cwnd(), MSS);
        cc.undo(Instant::ZERO);
        assert_eq!((cc.cwnd(), cc.ssthresh()), (100 * MSS, u32::MAX));
    }
}
