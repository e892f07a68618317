//! Congestion control behind one trait. Adding an algorithm: one file here, one name in [`Congestion`], one arm in [`new`].

mod newreno;

use std::fmt::Debug;

use crate::config::Congestion;
use crate::time::Instant;

/// What an acknowledgement brought.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AckSample {
    /// Bytes newly acknowledged, cumulatively. Counting bytes makes ACK division harmless (RFC 3465).
    pub(crate) acked: u32,
    /// Bytes that were in flight before it.
    pub(crate) in_flight: u32,
    /// Send MSS, bytes.
    pub(crate) mss: u32,
}

/// An algorithm: how much may be in flight. All sizes are bytes.
pub(crate) trait CongestionControl: Send + Debug {
    /// Its name, as sockets choose it.
    fn name(&self) -> &'static str;
    /// Congestion window.
    fn cwnd(&self) -> u32;
    /// Slow start threshold; `u32::MAX` before the first loss.
    fn ssthresh(&self) -> u32;
    /// New data was acknowledged outside fast recovery.
    fn on_ack(&mut self, now: Instant, sample: AckSample);
    /// A loss was found by acknowledgements: fast recovery begins.
    fn on_loss(&mut self, now: Instant, in_flight: u32, mss: u32);
    /// Fast recovery is over.
    fn on_recovered(&mut self, now: Instant, in_flight: u32, mss: u32);
    /// The retransmission timer ran out. `again` when it did so before without progress in between.
    fn on_timeout(&mut self, now: Instant, in_flight: u32, mss: u32, again: bool);
    /// Nothing was sent for longer than an RTO (RFC 5681 §4.1).
    fn on_idle(&mut self, mss: u32);
}

/// The initial window (RFC 6928 §2).
pub(crate) fn initial_window(mss: u32) -> u32 {
    (10 * mss).min((2 * mss).max(14_600))
}

/// The algorithm of that name.
pub(crate) fn new(name: Congestion, mss: u32) -> Box<dyn CongestionControl> {
    match name {
        Congestion::NewReno => Box::new(newreno::NewReno::new(mss)),
    }
}
