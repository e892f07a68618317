//! BBR version 3 (draft-ietf-ccwg-bbr): a model of the path, its bandwidth and its least round-trip time, instead of a window
//! that grows until something is lost. Names and section numbers are the draft's; its states and what it remembers are in
//! `bbr_model.rs`.
//!
//! Its response to ECN is not part of the draft; a mark counts as a loss that needs no repair.

use usernet_wire::SeqNumber;

use super::bbr_model::{Aggregation, Draw, MaxBandwidth, MinRtt, Mode};
use super::{AckSample, CongestionControl, MAX_CWND, PathSample, Start, initial_window};
use crate::tcp::rate::{RateSample, rate};
use crate::tcp::scoreboard::LostSegment;
use crate::time::{Duration, Instant};

/// Most loss that a probe for bandwidth may cause (BBR.LossThresh), per cent.
const LOSS_THRESH: u64 = 2;
/// What is left of the model after a round trip with losses (BBR.Beta).
const BETA: f64 = 0.7;
/// What is left free for others (BBR.Headroom).
const HEADROOM: f64 = 0.15;
/// Growth of the bandwidth that says the pipe is not full yet, and rounds without it that say it is (§5.3.1.2).
const FULL_BW_GROWTH: f64 = 1.25;
const FULL_BW_ROUNDS: u8 = 3;
/// Lost ranges in a round trip that end Startup (BBRStartupFullLossCnt).
const STARTUP_LOSSES: u32 = 6;
/// BBR.ProbeRTTDuration.
const PROBE_RTT_TIME: Duration = Duration::from_millis(200);
/// Round trips after which Drain ends even when the queue is not empty (§5.3.2).
const DRAIN_ROUNDS: u64 = 3;
/// Bounds of C.send_quantum, bytes (§5.6.3).
const MAX_QUANTUM: u64 = 64 << 10;

/// BBR.ack_phase: what acknowledgements tell of a probe for bandwidth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AckPhase {
    Init,
    Refilling,
    Starting,
    Feedback,
    Stopping,
}

/// What is gone back to when a recovery was spurious (§5.5.11).
#[derive(Clone, Copy, Debug)]
struct Undo {
    /// The state that a loss ended.
    mode: Option<Mode>,
    bw_shortterm: u64,
    inflight_shortterm: u32,
    inflight_longterm: u32,
}

/// The algorithm. Bandwidths are bytes a second, volumes bytes; the greatest value of a type is the draft's infinity.
#[derive(Debug)]
pub(super) struct Bbr {
    mss: u32,
    mode: Mode,
    cwnd: u32,
    prior_cwnd: u32,
    initial_cwnd: u32,
    pacing_rate: u64,
    has_rtt: bool,
    draw: Draw,
    // Rounds (§5.5.1).
    round_count: u64,
    round_start: bool,
    next_round_delivered: u64,
    delivered: u64,
    // The model.
    max_bw: MaxBandwidth,
    bw: u64,
    bw_shortterm: u64,
    min_rtt: MinRtt,
    aggregation: Aggregation,
    inflight_longterm: u32,
    inflight_shortterm: u32,
    // Congestion signals (§5.5.10.3).
    bw_latest: u64,
    inflight_latest: u64,
    loss_round_delivered: u64,
    loss_round_start: bool,
    loss_in_round: bool,
    /// Discontiguous ranges lost in this loss round, and where the last of them ends.
    lost_ranges: u32,
    last_lost: Option<SeqNumber>,
    // Startup and Drain.
    full_bw: u64,
    full_bw_count: u8,
    full_bw_now: bool,
    full_bw_reached: bool,
    drain_start_round: u64,
    // ProbeBW (§5.3.3).
    ack_phase: AckPhase,
    is_bw_probe_sample: bool,
    bw_probe_up_acked: u64,
    /// Bytes to be acknowledged before `inflight_longterm` grows by an MSS; `u32::MAX` while it does not.
    probe_up_acked_per_inc: u32,
    bw_probe_up_rounds: u8,
    rounds_since_probe_up: u64,
    bw_probe_wait: Duration,
    cycle_stamp: Instant,
    prev_probe_too_high: bool,
    prev_probe_precautionary: bool,
    // ProbeRTT (§5.3.4).
    probe_rtt_done: Option<Instant>,
    probe_rtt_round_done: bool,
    idle_restart: bool,
    recovering: bool,
    undo: Undo,
}

impl Bbr {
    /// OnInit (§5.2.1).
    pub(super) fn new(start: &Start) -> Self {
        let mut bbr = Self {
            mss: start.mss,
            mode: Mode::Startup,
            cwnd: start.cwnd,
            prior_cwnd: 0,
            initial_cwnd: initial_window(start.mss),
            pacing_rate: 0,
            has_rtt: !start.srtt.is_zero(),
            draw: Draw(start.seed),
            round_count: 0,
            round_start: false,
            next_round_delivered: 0,
            delivered: 0,
            max_bw: MaxBandwidth::default(),
            bw: 0,
            bw_shortterm: u64::MAX,
            min_rtt: MinRtt::new(start.now, start.srtt),
            aggregation: Aggregation::new(start.now),
            inflight_longterm: u32::MAX,
            inflight_shortterm: u32::MAX,
            bw_latest: 0,
            inflight_latest: 0,
            loss_round_delivered: 0,
            loss_round_start: false,
            loss_in_round: false,
            lost_ranges: 0,
            last_lost: None,
            full_bw: 0,
            full_bw_count: 0,
            full_bw_now: false,
            full_bw_reached: false,
            drain_start_round: 0,
            ack_phase: AckPhase::Init,
            is_bw_probe_sample: false,
            bw_probe_up_acked: 0,
            probe_up_acked_per_inc: u32::MAX,
            bw_probe_up_rounds: 0,
            rounds_since_probe_up: 0,
            bw_probe_wait: Duration::ZERO,
            cycle_stamp: start.now,
            prev_probe_too_high: false,
            prev_probe_precautionary: false,
            probe_rtt_done: None,
            probe_rtt_round_done: false,
            idle_restart: false,
            recovering: false,
            undo: Undo { mode: None, bw_shortterm: 0, inflight_shortterm: 0, inflight_longterm: 0 },
        };
        bbr.init_pacing_rate(start.srtt);
        bbr
    }

    /// InitPacingRate (§5.6.2): the initial window over the round-trip time, or over a millisecond when that is unknown.
    fn init_pacing_rate(&mut self, srtt: Duration) {
        let rtt = if srtt.is_zero() { Duration::from_millis(1) } else { srtt };
        let nominal = rate(u64::from(self.cwnd), rtt);
        self.pacing_rate = (nominal as f64 * Mode::Startup.pacing_gain()) as u64;
    }

    fn min_pipe_cwnd(&self) -> u32 {
        4 * self.mss
    }

    // --- rounds and bandwidth ---

    fn start_round(&mut self) {
        self.next_round_delivered = self.delivered;
    }

    /// UpdateRound and UpdateMaxBw (§5.5.1, §5.5.5).
    fn update_max_bw(&mut self, sample: &RateSample) {
        self.round_start = false;
        let Some(prior) = sample.prior_delivered else { return };
        if prior >= self.next_round_delivered {
            self.start_round();
            self.round_count += 1;
            self.rounds_since_probe_up += 1;
            self.round_start = true;
        }
        let rate = sample.delivery_rate;
        if rate > 0 && (rate >= self.max_bw.get() || !sample.app_limited) {
            self.max_bw.update(rate);
        }
    }

    /// UpdateLatestDeliverySignals (§5.5.10.3).
    fn update_latest_delivery_signals(&mut self, sample: &RateSample) {
        self.loss_round_start = false;
        self.bw_latest = self.bw_latest.max(sample.delivery_rate);
        self.inflight_latest = self.inflight_latest.max(sample.delivered);
        if sample.prior_delivered.is_some_and(|prior| prior >= self.loss_round_delivered) {
            self.loss_round_delivered = self.delivered;
            self.loss_round_start = true;
        }
    }

    /// AdvanceLatestDeliverySignals (§5.5.10.3).
    fn advance_latest_delivery_signals(&mut self, sample: &RateSample) {
        if self.loss_round_start {
            self.bw_latest = sample.delivery_rate;
            self.inflight_latest = sample.delivered;
        }
    }

    fn reset_congestion_signals(&mut self) {
        self.loss_in_round = false;
        self.bw_latest = 0;
        self.inflight_latest = 0;
    }

    /// AdaptLowerBoundsFromCongestion (§5.5.10.3): once a round trip that saw a loss, unless the flow is probing.
    fn adapt_lower_bounds(&mut self) {
        if matches!(self.mode, Mode::Startup | Mode::Refill | Mode::Up) || !self.loss_in_round {
            return;
        }
        if self.bw_shortterm == u64::MAX {
            self.bw_shortterm = self.max_bw.get();
        }
        if self.inflight_shortterm == u32::MAX {
            self.inflight_shortterm = self.cwnd;
        }
        let bw = (self.bw_shortterm as f64 * BETA) as u64;
        self.bw_shortterm = self.bw_latest.max(bw);
        let inflight = f64::from(self.inflight_shortterm) * BETA;
        let latest = u32::try_from(self.inflight_latest).unwrap_or(u32::MAX);
        self.inflight_shortterm = latest.max(inflight as u32);
    }

    fn reset_short_term_model(&mut self) {
        self.bw_shortterm = u64::MAX;
        self.inflight_shortterm = u32::MAX;
    }

    // --- how much in flight ---

    /// BDPMultiple (§5.6.4.2).
    fn bdp_multiple(&self, bw: u64, gain: f64) -> u32 {
        let Some(min_rtt) = self.min_rtt.get() else { return self.initial_cwnd };
        (gain * bw as f64 * min_rtt.as_secs_f64()).min(f64::from(MAX_CWND)) as u32
    }

    /// C.send_quantum (§5.6.3), bytes.
    fn send_quantum(&self) -> u32 {
        (self.pacing_rate / 1000).clamp(2 * u64::from(self.mss), MAX_QUANTUM) as u32
    }

    /// QuantizationBudget (§5.6.4.2), with three quanta for the offloads of both ends (§5.5.8).
    fn quantization_budget(&self, inflight: u32) -> u32 {
        let budget = inflight.max(3 * self.send_quantum()).max(self.min_pipe_cwnd());
        if self.mode == Mode::Up { budget + 2 * self.mss } else { budget }
    }

    fn inflight(&self, bw: u64, gain: f64) -> u32 {
        self.quantization_budget(self.bdp_multiple(bw, gain))
    }

    /// InflightWithHeadroom (§5.3.3.9).
    fn inflight_with_headroom(&self) -> u32 {
        if self.inflight_longterm == u32::MAX {
            return u32::MAX;
        }
        let headroom = (f64::from(self.inflight_longterm) * HEADROOM) as u32;
        (self.inflight_longterm.saturating_sub(headroom.max(self.mss))).max(self.min_pipe_cwnd())
    }

    /// TargetInflight (§5.3.3.8.3).
    fn target_inflight(&self) -> u32 {
        self.bdp_multiple(self.bw, 1.0).min(self.cwnd)
    }

    fn probe_rtt_cwnd(&self) -> u32 {
        self.bdp_multiple(self.bw, Mode::ProbeRtt.cwnd_gain()).max(self.min_pipe_cwnd())
    }

    // --- Startup and Drain ---

    fn reset_full_bw(&mut self) {
        self.full_bw = 0;
        self.full_bw_count = 0;
        self.full_bw_now = false;
    }

    /// CheckFullBWReached (§5.3.1.2).
    fn check_full_bw_reached(&mut self, sample: &RateSample) {
        if self.full_bw_now || !self.round_start || sample.app_limited {
            return;
        }
        if sample.delivery_rate as f64 >= self.full_bw as f64 * FULL_BW_GROWTH {
            self.reset_full_bw();
            self.full_bw = sample.delivery_rate;
            return;
        }
        self.full_bw_count += 1;
        self.full_bw_now = self.full_bw_count >= FULL_BW_ROUNDS;
        self.full_bw_reached |= self.full_bw_now;
    }

    /// CheckStartupDone (§5.3.1), with the exit on losses (§5.3.1.3).
    fn check_startup_done(&mut self, s: &PathSample) {
        if self.mode == Mode::Startup && !self.full_bw_reached {
            let enough = if s.sack {
                // A whole round trip has passed since the first loss, and losses were many in it.
                self.loss_round_start
                    && self.recovering
                    && self.lost_ranges >= STARTUP_LOSSES
                    && is_too_high(s.rate.lost, s.rate.tx_in_flight, s.sack)
            } else {
                self.recovering && s.rate.newly_lost > 0
            };
            if enough {
                self.undo.mode = Some(Mode::Startup);
                self.full_bw_now = true;
                self.full_bw_reached = true;
                let latest = u32::try_from(self.inflight_latest).unwrap_or(u32::MAX);
                self.inflight_longterm = self.bdp_multiple(self.max_bw.get(), 1.0).max(latest);
            }
        }
        if self.loss_round_start {
            self.lost_ranges = 0;
        }
        if self.mode == Mode::Startup && self.full_bw_reached {
            self.mode = Mode::Drain;
            self.drain_start_round = self.round_count;
        }
    }

    /// CheckDrainDone (§5.3.2).
    fn check_drain_done(&mut self, s: &PathSample) {
        if self.mode == Mode::Drain
            && (s.in_flight <= self.inflight(self.bw, 1.0)
                || self.round_count > self.drain_start_round + DRAIN_ROUNDS)
        {
            self.start_down(s.now);
        }
    }

    // --- ProbeBW (§5.3.3.9) ---

    fn start_down(&mut self, now: Instant) {
        self.reset_congestion_signals();
        self.probe_up_acked_per_inc = u32::MAX;
        // PickProbeWait (§5.3.3.8.3): 2 to 3 seconds, and a random round to begin from.
        let draw = self.draw.next();
        self.rounds_since_probe_up = draw & 1;
        self.bw_probe_wait =
            Duration::from_secs(2) + Duration::from_nanos((draw >> 1) % 1_000_000_000);
        self.cycle_stamp = now;
        self.ack_phase = AckPhase::Stopping;
        self.start_round();
        self.mode = Mode::Down;
    }

    fn start_refill(&mut self) {
        self.reset_short_term_model();
        self.bw_probe_up_rounds = 0;
        self.bw_probe_up_acked = 0;
        self.prev_probe_precautionary = false;
        self.ack_phase = AckPhase::Refilling;
        self.start_round();
        self.mode = Mode::Refill;
    }

    fn start_up(&mut self, sample: &RateSample) {
        self.is_bw_probe_sample = true;
        self.ack_phase = AckPhase::Starting;
        self.start_round();
        self.reset_full_bw();
        self.full_bw = sample.delivery_rate;
        self.mode = Mode::Up;
        self.raise_slope();
    }

    /// RaiseInflightLongtermSlope: twice as fast every round trip.
    fn raise_slope(&mut self) {
        let growth = 1u32 << self.bw_probe_up_rounds;
        self.bw_probe_up_rounds = (self.bw_probe_up_rounds + 1).min(30);
        self.probe_up_acked_per_inc = (self.cwnd / growth).max(self.mss);
    }

    /// ProbeInflightLongtermUpward.
    fn probe_longterm_upward(&mut self, s: &PathSample) {
        if !s.cwnd_limited || self.cwnd < self.inflight_longterm {
            return;
        }
        self.bw_probe_up_acked += u64::from(s.rate.newly_acked);
        let per_inc = u64::from(self.probe_up_acked_per_inc);
        let delta = self.bw_probe_up_acked / per_inc;
        self.bw_probe_up_acked -= delta * per_inc;
        let grow = u32::try_from(delta * u64::from(self.mss)).unwrap_or(MAX_CWND);
        self.inflight_longterm = self.inflight_longterm.saturating_add(grow).min(MAX_CWND);
        if self.round_start {
            self.raise_slope();
        }
    }

    /// UpdateProbeBWCyclePhase.
    fn update_probe_bw(&mut self, s: &PathSample) {
        if !self.full_bw_reached || self.adapt_long_term_model(s) {
            return;
        }
        match self.mode {
            Mode::Down => {
                if self.is_time_to_probe(s.now) {
                    self.start_refill();
                } else if s.in_flight <= self.inflight_with_headroom()
                    && s.in_flight <= self.inflight(self.max_bw.get(), 1.0)
                {
                    self.mode = Mode::Cruise;
                }
            }
            Mode::Cruise if self.is_time_to_probe(s.now) => self.start_refill(),
            Mode::Refill if self.round_start => self.start_up(&s.rate),
            Mode::Up => self.go_down_in_time(s),
            _ => {}
        }
    }

    /// AdaptLongTermModel: true when it decided the transition.
    fn adapt_long_term_model(&mut self, s: &PathSample) -> bool {
        if self.ack_phase == AckPhase::Starting && self.round_start {
            self.ack_phase = AckPhase::Feedback;
        }
        if self.ack_phase == AckPhase::Stopping && self.round_start {
            self.is_bw_probe_sample = false;
            self.ack_phase = AckPhase::Init;
            if self.mode.is_probe_bw() {
                if !s.rate.app_limited {
                    self.max_bw.advance();
                }
                // Precautionary probing went well: now without precaution (§5.3.3.6).
                if self.prev_probe_precautionary && !self.prev_probe_too_high {
                    self.start_refill();
                    return true;
                }
            }
        }
        if self.inflight_longterm != u32::MAX
            && !is_too_high(s.rate.lost, s.rate.tx_in_flight, s.sack)
        {
            self.inflight_longterm = self.inflight_longterm.max(s.rate.tx_in_flight);
            if self.mode == Mode::Up {
                self.probe_longterm_upward(s);
            }
        }
        false
    }

    /// IsTimeToProbeBW (§5.3.3.8.3): after 2 to 3 seconds, or as many round trips as Reno would take to grow so far.
    fn is_time_to_probe(&self, now: Instant) -> bool {
        let reno_rounds = u64::from(self.target_inflight() / self.mss).min(63);
        now > self.cycle_stamp + self.bw_probe_wait || self.rounds_since_probe_up >= reno_rounds
    }

    fn go_down_in_time(&mut self, s: &PathSample) {
        if self.is_time_to_go_down(s) {
            self.prev_probe_too_high = false;
            self.start_down(s.now);
        }
    }

    /// IsTimeToGoDown.
    fn is_time_to_go_down(&mut self, s: &PathSample) -> bool {
        if self.prev_probe_too_high && s.in_flight >= self.inflight_longterm {
            self.prev_probe_precautionary = true;
            return true;
        }
        if s.cwnd_limited && self.cwnd >= self.inflight_longterm {
            self.reset_full_bw();
            self.full_bw = s.rate.delivery_rate;
            return false;
        }
        self.full_bw_now
    }

    /// HandleInflightTooHigh (§5.5.10.2).
    fn handle_inflight_too_high(&mut self, now: Instant, tx_in_flight: u32, app_limited: bool) {
        self.prev_probe_too_high = true;
        self.is_bw_probe_sample = false;
        if !app_limited {
            let target = (f64::from(self.target_inflight()) * BETA) as u32;
            self.inflight_longterm = tx_in_flight.max(target);
        }
        if self.mode == Mode::Up {
            self.undo.mode = Some(Mode::Up);
            self.start_down(now);
        }
    }

    // --- ProbeRTT (§5.3.4.3) ---

    /// CheckProbeRTT: whether what is in flight is to count as limited by the application.
    fn check_probe_rtt(&mut self, s: &PathSample) -> bool {
        if self.mode != Mode::ProbeRtt && self.min_rtt.expired && !self.idle_restart {
            self.save_cwnd();
            self.mode = Mode::ProbeRtt;
            self.probe_rtt_done = None;
            self.ack_phase = AckPhase::Stopping;
            self.start_round();
        }
        let probing = self.mode == Mode::ProbeRtt;
        if probing {
            if self.probe_rtt_done.is_some() {
                self.probe_rtt_round_done |= self.round_start;
                if self.probe_rtt_round_done {
                    self.check_probe_rtt_done(s.now);
                }
            } else if s.in_flight <= self.probe_rtt_cwnd() {
                self.probe_rtt_done = Some(s.now + PROBE_RTT_TIME);
                self.probe_rtt_round_done = false;
                self.start_round();
            }
        }
        if s.rate.delivered > 0 {
            self.idle_restart = false;
        }
        probing
    }

    fn check_probe_rtt_done(&mut self, now: Instant) {
        if self.probe_rtt_done.is_some_and(|at| now > at) {
            self.min_rtt.probed(now);
            self.restore_cwnd();
            // ExitProbeRTT (§5.3.4.4): the pipe is below its volume, so straight on to cruising.
            self.reset_short_term_model();
            if self.full_bw_reached {
                self.start_down(now);
                self.mode = Mode::Cruise;
            } else {
                self.mode = Mode::Startup;
            }
        }
    }

    // --- recovery ---

    fn save_cwnd(&mut self) {
        self.prior_cwnd = if self.recovering || self.mode == Mode::ProbeRtt {
            self.prior_cwnd.max(self.cwnd)
        } else {
            self.cwnd
        };
    }

    fn restore_cwnd(&mut self) {
        self.cwnd = self.cwnd.max(self.prior_cwnd);
    }

    /// SaveStateUponLoss (§5.5.11.1).
    fn save_state(&mut self) {
        self.save_cwnd();
        self.undo = Undo {
            mode: None,
            bw_shortterm: self.bw_shortterm,
            inflight_shortterm: self.inflight_shortterm,
            inflight_longterm: self.inflight_longterm,
        };
    }

    /// NoteLoss (§5.5.10.2).
    fn note_loss(&mut self) {
        if !self.loss_in_round {
            self.loss_round_delivered = self.delivered;
            self.save_state();
        }
        self.loss_in_round = true;
    }

    // --- control parameters (§5.6) ---

    fn set_pacing_rate(&mut self, gain: f64) {
        // 1 % below the bandwidth, so that queues drain (BBR.PacingMarginPercent).
        let rate = (gain * self.bw as f64 * 0.99) as u64;
        if rate > 0 && (self.full_bw_reached || rate > self.pacing_rate) {
            self.pacing_rate = rate;
        }
    }

    /// SetCwnd (§5.6.4.6, §5.6.4.7).
    fn set_cwnd(&mut self, newly_acked: u32) {
        let startup = !self.full_bw_reached;
        let target = self.bdp_multiple(self.bw, self.mode.cwnd_gain());
        let extra = self.aggregation.extra_acked(startup);
        let max_inflight = self.quantization_budget(target.saturating_add(extra).min(MAX_CWND));
        let grown = self.cwnd.saturating_add(newly_acked);
        if !startup {
            self.cwnd = grown.min(max_inflight);
        } else if self.cwnd < max_inflight || self.delivered < u64::from(self.initial_cwnd) {
            self.cwnd = grown;
        }
        self.cwnd = self.cwnd.clamp(self.min_pipe_cwnd(), MAX_CWND);
        if self.mode == Mode::ProbeRtt {
            self.cwnd = self.cwnd.min(self.probe_rtt_cwnd());
        }
        let cap = match self.mode {
            Mode::Cruise | Mode::ProbeRtt => self.inflight_with_headroom(),
            Mode::Down | Mode::Refill | Mode::Up => self.inflight_longterm,
            Mode::Startup | Mode::Drain => u32::MAX,
        };
        let cap = cap.min(self.inflight_shortterm).max(self.min_pipe_cwnd());
        self.cwnd = self.cwnd.min(cap);
    }
}

/// IsInflightTooHigh (§5.5.10.2).
fn is_too_high(lost: u64, tx_in_flight: u32, sack: bool) -> bool {
    lost * 100 > u64::from(tx_in_flight) * LOSS_THRESH || (lost > 0 && !sack)
}

/// InflightAtLoss (§5.5.10.2): how much was in flight when, somewhere within this segment, losses became too many.
fn inflight_at_loss(lost: u64, tx_in_flight: u32, len: u32) -> u32 {
    let inflight_prev = f64::from(tx_in_flight.saturating_sub(len));
    let lost_prev = lost.saturating_sub(u64::from(len)) as f64;
    let thresh = LOSS_THRESH as f64 / 100.0;
    let prefix = (thresh * inflight_prev - lost_prev) / (1.0 - thresh);
    (inflight_prev + prefix.max(0.0)) as u32
}

impl CongestionControl for Bbr {
    fn name(&self) -> &'static str {
        "bbr"
    }

    fn cwnd(&self) -> u32 {
        self.cwnd
    }

    fn ssthresh(&self) -> u32 {
        u32::MAX
    }

    fn on_ack(&mut self, _sample: &AckSample) {}

    fn on_loss(&mut self, _now: Instant, _in_flight: u32, _mss: u32) {
        self.note_loss();
        self.recovering = true;
    }

    fn on_recovered(&mut self, _now: Instant, _in_flight: u32, _mss: u32) {}

    fn on_timeout(&mut self, _now: Instant, _in_flight: u32, mss: u32, _again: bool) {
        // OnEnterRTO (§5.6.4.4): all that was in flight is deemed lost, so one segment.
        self.cwnd = mss;
        self.recovering = true;
    }

    fn on_idle(&mut self, _now: Instant, _idle: Duration, _mss: u32) {
        // The path's model tells how fast to go on (§5.4); `on_send` sees to it.
    }

    fn save(&mut self) {
        // The first loss of the round trip has saved what the same acknowledgement may have changed since.
        if self.loss_in_round {
            self.save_cwnd();
        } else {
            self.save_state();
        }
    }

    /// HandleSpuriousLossDetection (§5.5.11.2).
    fn undo(&mut self, _now: Instant) {
        self.restore_cwnd();
        self.recovering = false;
        self.loss_in_round = false;
        self.reset_full_bw();
        self.bw_shortterm = self.bw_shortterm.max(self.undo.bw_shortterm);
        self.inflight_shortterm = self.inflight_shortterm.max(self.undo.inflight_shortterm);
        self.inflight_longterm = self.inflight_longterm.max(self.undo.inflight_longterm);
        match self.undo.mode.take() {
            Some(Mode::Startup) if self.mode != Mode::Startup => {
                self.full_bw_reached = false;
                if self.mode != Mode::ProbeRtt {
                    self.mode = Mode::Startup;
                }
            }
            Some(Mode::Up) if self.mode != Mode::Up && self.mode != Mode::ProbeRtt => {
                self.start_refill();
            }
            _ => {}
        }
    }

    fn rules_recovery(&self) -> bool {
        true
    }

    fn watches_losses(&self) -> bool {
        true
    }

    /// HandleLostPacket (§5.5.10.2).
    fn on_lost(&mut self, now: Instant, lost: &LostSegment, sack: bool) {
        self.note_loss();
        if self.last_lost != Some(lost.seq) {
            self.lost_ranges = self.lost_ranges.saturating_add(1);
        }
        self.last_lost = Some(lost.seq + lost.len);
        if !self.is_bw_probe_sample {
            return;
        }
        let since = lost.total_lost - lost.snapshot.lost;
        if is_too_high(since, lost.snapshot.in_flight, sack) {
            let at = inflight_at_loss(since, lost.snapshot.in_flight, lost.len);
            self.handle_inflight_too_high(now, at, lost.snapshot.app_limited);
        }
    }

    /// HandleRestartFromIdle (§5.4.1).
    fn on_send(&mut self, now: Instant, in_flight: u32, app_limited: bool) {
        if in_flight != 0 || !app_limited {
            return;
        }
        self.idle_restart = true;
        self.aggregation.restart(now);
        if self.mode.is_probe_bw() {
            self.set_pacing_rate(1.0);
        } else if self.mode == Mode::ProbeRtt {
            self.check_probe_rtt_done(now);
        }
    }

    /// UpdateOnACK (§5.2.3).
    fn on_sample(&mut self, s: &PathSample) -> bool {
        self.mss = s.mss;
        self.delivered = s.delivered;
        if !self.has_rtt && !s.srtt.is_zero() {
            self.has_rtt = true;
            self.init_pacing_rate(s.srtt);
        }
        if self.recovering && !s.recovering {
            self.restore_cwnd();
        }
        self.recovering = s.recovering;
        // UpdateModelAndState
        self.update_latest_delivery_signals(&s.rate);
        self.update_max_bw(&s.rate);
        if self.loss_round_start {
            self.adapt_lower_bounds();
            self.loss_in_round = false;
        }
        let (acked, bw, cwnd) = (s.rate.newly_acked, self.bw, self.cwnd);
        self.aggregation.update(s.now, self.round_count, acked, bw, cwnd);
        self.check_full_bw_reached(&s.rate);
        self.check_startup_done(s);
        self.check_drain_done(s);
        if acked > 0 {
            self.update_probe_bw(s);
        }
        self.min_rtt.update(s.now, s.rtt);
        let app_limited = self.check_probe_rtt(s);
        self.advance_latest_delivery_signals(&s.rate);
        // BoundBWForModel
        self.bw = self.max_bw.get().min(self.bw_shortterm);
        // UpdateControlParameters
        self.set_pacing_rate(self.mode.pacing_gain());
        self.set_cwnd(acked);
        app_limited
    }

    fn pacing_rate(&self) -> Option<u64> {
        Some(self.pacing_rate)
    }
}
