//! Congestion control behind one trait. Adding an algorithm: one file here, one name in [`Congestion`], one arm in [`new`].
//!
//! An algorithm decides how large the window is; *which* segments are lost, how fast recovery is paced by what arrives
//! (PRR) and whether a recovery was spurious is decided for all of them in `recovery.rs`.

mod bbr;
mod bbr_model;
mod cubic;
mod hystart;
mod newreno;

use std::fmt::Debug;

use usernet_wire::SeqNumber;

use super::rate::RateSample;
use super::scoreboard::LostSegment;
use crate::config::Congestion;
use crate::time::{Duration, Instant};

/// Ceiling of the window: nothing in flight can exceed what a scaled window can advertise (RFC 7323 §2.2).
pub(crate) const MAX_CWND: u32 = 1 << 30;

/// What an acknowledgement brought.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AckSample {
    /// When it came.
    pub(crate) now: Instant,
    /// Bytes newly acknowledged, cumulatively. Counting bytes makes ACK division harmless (RFC 3465).
    pub(crate) acked: u32,
    /// Bytes that were in flight before it.
    pub(crate) in_flight: u32,
    /// Send MSS, bytes.
    pub(crate) mss: u32,
    /// Its round-trip time, when it gave a sample.
    pub(crate) rtt: Option<Duration>,
    /// Smoothed round-trip time.
    pub(crate) srtt: Duration,
    /// Whether segments are sent at a pace, and not as acknowledgements come.
    pub(crate) paced: bool,
    /// SND.UNA after it.
    pub(crate) una: SeqNumber,
    /// SND.NXT.
    pub(crate) nxt: SeqNumber,
}

impl AckSample {
    /// Whether the window is what limits the sender: only then may it grow (RFC 7661 §4.3, in Linux's form: while it
    /// doubles, more than half of it in use is enough).
    fn is_cwnd_limited(&self, cwnd: u32, slow_start: bool) -> bool {
        if slow_start {
            self.in_flight.saturating_mul(2) > cwnd
        } else {
            self.in_flight.saturating_add(self.mss) >= cwnd
        }
    }
}

/// What a connection is when an acknowledgement has been taken in: for algorithms that model the path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PathSample {
    /// When it came.
    pub(crate) now: Instant,
    /// The delivery-rate sample.
    pub(crate) rate: RateSample,
    /// The least round-trip time among what it acknowledged, when it gave one.
    pub(crate) rtt: Option<Duration>,
    /// Smoothed round-trip time; zero before the first sample.
    pub(crate) srtt: Duration,
    /// Bytes delivered so far (C.delivered).
    pub(crate) delivered: u64,
    /// Bytes in flight after it (C.inflight).
    pub(crate) in_flight: u32,
    /// Whether the window was used up at any time in the last round trip (C.is_cwnd_limited).
    pub(crate) cwnd_limited: bool,
    /// Whether losses are being repaired.
    pub(crate) recovering: bool,
    /// Whether the peer SACKs, so that more than one loss a round trip can be seen (C.has_selective_acks).
    pub(crate) sack: bool,
    /// Send MSS, bytes.
    pub(crate) mss: u32,
}

/// An algorithm: how much may be in flight, and how fast it may be sent. All sizes are bytes.
pub(crate) trait CongestionControl: Send + Debug {
    /// Its name, as sockets choose it.
    fn name(&self) -> &'static str;
    /// Congestion window.
    fn cwnd(&self) -> u32;
    /// Slow start threshold; `u32::MAX` before the first loss.
    fn ssthresh(&self) -> u32;
    /// New data was acknowledged outside fast recovery.
    fn on_ack(&mut self, sample: &AckSample);
    /// A loss was found by acknowledgements, or the network marked congestion: a new threshold, and the window with it.
    fn on_loss(&mut self, now: Instant, in_flight: u32, mss: u32);
    /// Fast recovery is over.
    fn on_recovered(&mut self, now: Instant, in_flight: u32, mss: u32);
    /// The retransmission timer ran out. `again` when it did so before without progress in between.
    fn on_timeout(&mut self, now: Instant, in_flight: u32, mss: u32, again: bool);
    /// Nothing was sent for longer than an RTO (RFC 5681 §4.1): how long.
    fn on_idle(&mut self, now: Instant, idle: Duration, mss: u32);
    /// The application has used less than half of the window for five minutes (RFC 7661 §4.4.3). Nothing to whom the window
    /// follows from a model of the path.
    fn on_unused(&mut self, _mss: u32) {}
    /// What [`undo`](Self::undo) goes back to; called as a recovery begins, before `on_loss` or `on_timeout`.
    fn save(&mut self);
    /// The recovery was spurious: nothing had been lost (RFC 4015 §3.1, in its simple form).
    fn undo(&mut self, now: Instant);

    // What algorithms that model the path need beyond it.

    /// Whether its window holds in fast recovery too, instead of PRR's (RFC 9937).
    fn rules_recovery(&self) -> bool {
        false
    }
    /// Whether it wants every lost segment told ([`on_lost`](Self::on_lost)).
    fn watches_losses(&self) -> bool {
        false
    }
    /// A segment was deemed lost.
    fn on_lost(&mut self, _now: Instant, _lost: &LostSegment, _sack: bool) {}
    /// Something is about to be sent. `in_flight` does not count it.
    fn on_send(&mut self, _now: Instant, _in_flight: u32, _app_limited: bool) {}
    /// An acknowledgement was taken in, in recovery or not, after everything else that it did. True asks for what is in
    /// flight to count as limited by the application: its rate says nothing of the path.
    fn on_sample(&mut self, _sample: &PathSample) -> bool {
        false
    }
    /// How fast to send, bytes a second; `None` leaves it to the acknowledgements.
    fn pacing_rate(&self) -> Option<u64> {
        None
    }
}

/// The initial window (RFC 6928 §2).
pub(crate) fn initial_window(mss: u32) -> u32 {
    (10 * mss).min((2 * mss).max(14_600))
}

/// A window that was not used for so long that nobody knows whether the path still has room for it (RFC 7661 §4.4.3): half
/// of it, but no less than the initial one, and the threshold remembers what it was.
fn unused(cwnd: u32, ssthresh: u32, mss: u32) -> (u32, u32) {
    (cwnd.min(initial_window(mss).max(cwnd / 2)), ssthresh.max(cwnd / 4 * 3))
}

/// What an algorithm starts from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    pub(crate) now: Instant,
    /// Send MSS, bytes.
    pub(crate) mss: u32,
    /// Congestion window, bytes: the initial one, or what another algorithm left.
    pub(crate) cwnd: u32,
    /// Slow start threshold, bytes.
    pub(crate) ssthresh: u32,
    /// Smoothed round-trip time; zero when nothing was measured.
    pub(crate) srtt: Duration,
    /// Of what the algorithm draws, which need not be secret.
    pub(crate) seed: u64,
}

impl Start {
    /// A connection that was just established.
    pub(crate) fn fresh(now: Instant, mss: u32, srtt: Duration, seed: u64) -> Self {
        Self { now, mss, cwnd: initial_window(mss), ssthresh: u32::MAX, srtt, seed }
    }
}

/// The algorithm of that name.
pub(crate) fn new(name: Congestion, start: &Start) -> Box<dyn CongestionControl> {
    match name {
        Congestion::NewReno => Box::new(newreno::NewReno::new(start)),
        Congestion::Cubic => Box::new(cubic::Cubic::new(start)),
        Congestion::Bbr => Box::new(bbr::Bbr::new(start)),
    }
}

#[cfg(test)]
fn start(mss: u32) -> Start {
    Start::fresh(Instant::ZERO, mss, Duration::ZERO, 0)
}
