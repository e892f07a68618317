//! What an acknowledgement does to the send side, and what its timer does: loss detection (RACK-TLP, RFC 8985; NewReno,
//! RFC 6582, for peers without SACK), and the pace of recovery (PRR, RFC 9937). What takes back a recovery that was not
//! needed is in `spurious.rs`.

use usernet_wire::SeqNumber;

use super::CaState;
use super::congestion::{AckSample, PathSample};
use super::scoreboard::{DUP_THRESH, Delivered};
use super::send::{Ack, AckResult, Outgoing, Sender, Timer, TimerOutcome, seconds};
use super::spurious::{Frto, Reports, Undo, duplicate_report};
use super::tally::Happened;
use crate::config::SocketOptions;
use crate::lazy::blank;
use crate::time::{Duration, Instant, earlier};

/// How long a peer may delay its acknowledgement of a lone segment (RFC 8985 §7.2, WCDelAckT).
const MAX_ACK_DELAY: Duration = Duration::from_millis(200);

/// Least time that the timer waits for reordering or before a probe (Linux `TCP_TIMEOUT_MIN`).
const MIN_PROBE_TIMEOUT: Duration = Duration::from_millis(2);

/// How long a window may go unused, s (RFC 7661 §3, NVP).
const NONVALIDATED_PERIOD: u16 = 300;

/// Which recovery is going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recovery {
    /// None.
    Open,
    /// The window is being reduced because the network marked packets, until `high` is acknowledged (RFC 3168 §6.1.2):
    /// nothing was lost.
    Reduced { high: SeqNumber },
    /// Fast recovery, until `high` is acknowledged (RFC 6582, RFC 6675).
    Fast { high: SeqNumber },
    /// After a retransmission timeout, until `high` is acknowledged.
    Timeout { high: SeqNumber },
}

/// Proportional rate reduction (RFC 9937 §6).
#[derive(Clone, Copy, Debug)]
pub(super) struct Prr {
    /// Bytes delivered since recovery began.
    delivered: u32,
    /// Bytes sent since.
    out: u32,
    /// What was in flight when it began.
    recover_fs: u32,
    cwnd: u32,
}

/// A tail loss probe in flight (RFC 8985 §7.4).
#[derive(Clone, Copy, Debug)]
struct LossProbe {
    end: SeqNumber,
    /// It repeated data that was sent before.
    retransmit: bool,
}

/// The state of loss recovery.
#[derive(Debug)]
pub(super) struct LossRecovery {
    pub(super) recovery: Recovery,
    dup_acks: u32,
    /// Without SACK: bytes that duplicate acknowledgements say have left the network.
    pub(super) reno_sacked: u32,
    /// The first retransmission of a recovery does not wait for the window (RFC 6675 §5 step 4.3).
    pub(super) force_retransmit: bool,
    /// A new segment is sent as a probe, whatever the window says.
    pub(super) force_new: bool,
    pub(super) prr: Option<Prr>,
    pub(super) undo: Option<Undo>,
    pub(super) frto: Frto,
    pub(super) reports: Reports,
    probe: Option<LossProbe>,
    /// A probe that repeats the last segment is due.
    probe_due: bool,
}

blank!(
    LossRecovery = LossRecovery {
        recovery: Recovery::Open,
        dup_acks: 0,
        reno_sacked: 0,
        force_retransmit: false,
        force_new: false,
        prr: None,
        undo: None,
        frto: Frto::Off,
        reports: Reports::NONE,
        probe: None,
        probe_due: false,
    }
);

impl LossRecovery {
    /// The window that PRR allows, in fast recovery.
    pub(super) fn prr_cwnd(&self) -> Option<u32> {
        self.prr.map(|prr| prr.cwnd)
    }

    /// A segment goes out.
    pub(super) fn on_sent(&mut self, now: Instant, out: Outgoing) {
        if let Some(prr) = &mut self.prr {
            prr.out += out.len;
        }
        if out.retransmit {
            self.reports.sent_again += u64::from(out.len);
            if let Some(undo) = &mut self.undo {
                undo.retransmitted_at.get_or_insert(now);
                undo.pending += out.len;
            }
        }
    }
}

impl Sender {
    /// Takes an acknowledgement.
    pub(super) fn on_ack(&mut self, now: Instant, a: &Ack<'_>) -> AckResult {
        let mut result = AckResult::default();
        let mut delivered = Delivered::default();
        if self.board.is_live() {
            self.check_app_limited();
        }
        let prior_flight = self.in_flight();
        let outstanding = !self.board.is_empty();
        self.probes = 0;

        // RFC 9293 §3.10.7.4: SND.WND is updated by newer segments only.
        let old_wnd = self.wnd;
        if self.wl1.lt(a.seq) || (self.wl1 == a.seq && self.wl2.le(a.ack)) {
            self.wnd = a.window;
            self.max_wnd = self.max_wnd.max(a.window);
            (self.wl1, self.wl2) = (a.seq, a.ack);
        }

        let advanced = a.ack.since(self.una);
        let min_rtt = self.rtt.min_rtt();
        if advanced > 0 {
            self.board.acknowledge(now, a.ack, min_rtt, a.timestamp_rtt, &mut delivered);
            let bytes = advanced.min(self.buf.len() as u32);
            result.fin_acked = advanced > bytes;
            result.acked = bytes;
            if bytes > 0 {
                self.buf.consume(bytes as usize);
            }
            self.una = a.ack;
            self.path_probe_acked();
            self.retries = 0;
            self.unacked_since = now;
            self.rto_at = now + self.rtt.rto();
        }
        let mut dsack = None;
        if self.sack && !a.sack.is_empty() {
            dsack = duplicate_report(a.sack, self.una);
            if dsack.is_some() {
                self.tally.happened |= Happened::DSACK;
            }
            self.board.sack(
                now,
                a.sack,
                self.una,
                self.nxt,
                self.mss,
                min_rtt,
                a.timestamp_rtt,
                &mut delivered,
            );
        }
        // RFC 6298 §3: Karn's rule holds for times of sending; a timestamp names the transmission it answers.
        // An echo counts whole milliseconds, so a shorter round trip shows as none: it is one at most (as in Linux), and
        // never a least round trip of zero, by which every reordering would be a loss.
        let echoed = a.timestamp_rtt.filter(|_| advanced > 0);
        let rtt = delivered.rtt.or(echoed.map(|rtt| rtt.max(Duration::from_millis(1))));
        if let Some(rtt) = rtt {
            self.rtt.sample(rtt);
            // The backed-off timeout stays in force until there is a valid sample (RFC 1122 §4.2.3.1, Karn's second rule).
            self.rtt.backoff = 0;
            if advanced > 0 {
                self.rto_at = now + self.rtt.rto();
            }
        }

        // RFC 5681 §2: outstanding data, no data, no SYN or FIN, the same ACK number, the same window.
        result.duplicate = advanced == 0 && outstanding && a.pure && self.wnd == old_wnd;
        if self.sack {
            // RFC 6675 §2: only one that SACKs something new.
            result.duplicate &= delivered.sacked > 0;
        }
        self.count_duplicates(advanced, result.duplicate);

        let reorder_at = self.find_losses(now, advanced, prior_flight, &mut result);
        if a.marked && self.loss.recovery == Recovery::Open {
            self.reduce_for_marks(now, prior_flight, &mut result);
        }
        self.end_probe(now, dsack.is_some(), prior_flight, &mut result);
        self.take_back(now, a, advanced, dsack, &delivered, &mut result);
        // RFC 3168 §6.1.2: an acknowledgement that tells of congestion opens no window.
        let grows = if a.marked { 0 } else { advanced };
        self.run_recovery(now, (advanced, grows), prior_flight, rtt, &delivered, &mut result);
        self.take_sample(now, &delivered);
        self.note_news();

        if self.board.is_empty() {
            match self.timer {
                // A window that stays closed goes on being probed ever more rarely.
                Timer::Persist { .. } if self.wnd <= old_wnd && advanced == 0 => {}
                Timer::Persist { .. } => {
                    self.timer = Timer::Idle;
                    self.rtt.backoff = 0;
                }
                // RFC 6298 §5.2
                _ => self.timer = Timer::Idle,
            }
        } else if let Some(at) = reorder_at {
            // As Linux: a path of microseconds must not be timed more finely than peers are scheduled.
            let at = at.max(now + MIN_PROBE_TIMEOUT);
            self.timer = Timer::Reorder { at: at.min(self.rto_at) };
        } else {
            self.arm_timer(now, advanced > 0);
        }
        result
    }

    /// What the scoreboard found, for the stack's counters.
    fn note_news(&mut self) {
        let Some(board) = self.board.live() else { return };
        let (lost, reordered) = board.take_news();
        if (lost, reordered) != (0, 0) {
            self.tally.lost_retransmissions += lost;
            self.tally.reorderings += reordered;
        }
    }

    /// Tells congestion control which segments were deemed lost, if it wants to know.
    fn tell_losses(&mut self, now: Instant) {
        let Some(board) = self.board.live() else { return };
        for lost in board.take_losses() {
            self.cc.on_lost(now, &lost, self.sack);
        }
    }

    /// The delivery-rate sample of this acknowledgement, and what congestion control makes of it.
    fn take_sample(&mut self, now: Instant, delivered: &Delivered) {
        // Nothing was ever sent: there is nothing to learn.
        let Some(board) = self.board.live() else { return };
        let rate =
            board.rate.on_ack(now, delivered.bytes(), delivered.newest(), self.rtt.min_rtt());
        let in_flight = self.in_flight();
        let limited = self.cc.on_sample(&PathSample {
            now,
            rate,
            rtt: delivered.rtt,
            srtt: self.rtt.srtt(),
            delivered: self.board.rate.delivered,
            in_flight,
            cwnd_limited: self.usage.limited,
            recovering: self.is_repairing(),
            sack: self.sack,
            mss: self.mss,
        });
        if limited {
            self.board.rate.mark_app_limited(in_flight);
        }
        self.update_pacing();
    }

    fn count_duplicates(&mut self, advanced: u32, duplicate: bool) {
        if advanced > 0 {
            if let Some(loss) = self.loss.live() {
                loss.dup_acks = 0;
            }
        } else if duplicate {
            let loss = &mut *self.loss;
            loss.dup_acks = loss.dup_acks.saturating_add(1);
            if !self.sack && !matches!(loss.recovery, Recovery::Timeout { .. }) {
                // Each says that one segment has left the network (RFC 5681 §3.2 step 4).
                loss.reno_sacked = (loss.reno_sacked + self.mss).min(self.nxt.since(self.una));
            }
        }
    }

    /// Marks what is lost, and begins fast recovery for it. Gives when RACK wants to look again.
    fn find_losses(
        &mut self,
        now: Instant,
        advanced: u32,
        prior_flight: u32,
        result: &mut AckResult,
    ) -> Option<Instant> {
        let recovering = self.is_repairing();
        let mut reorder_at = None;
        let lost = if !self.board.is_live() {
            false
        } else if self.sack {
            let (found, at) = self.detect_losses(now);
            reorder_at = at;
            found
        } else {
            // RFC 6582 §3.2 step 2: not again for the window of the last recovery.
            !recovering
                && self.loss.dup_acks == DUP_THRESH
                && self.una.gt(self.recover)
                && self.board.mark_front_lost(self.mss)
        };
        self.tell_losses(now);
        result.found_lost = lost;
        if advanced > 0
            && !recovering
            && let Some(loss) = self.loss.live()
        {
            loss.reno_sacked = 0;
        }
        if lost && !recovering && !self.path_probe_lost() {
            self.begin_fast_recovery(now, prior_flight, result);
        }
        reorder_at
    }

    /// Whether losses are being repaired.
    pub(super) fn is_repairing(&self) -> bool {
        matches!(self.loss.recovery, Recovery::Fast { .. } | Recovery::Timeout { .. })
    }

    /// The network marked packets: the window shrinks as after a loss, once for a window of data (RFC 3168 §6.1.2,
    /// RFC 9768 §3.2.2.5), in step with what is delivered (RFC 9937).
    fn reduce_for_marks(&mut self, now: Instant, prior_flight: u32, result: &mut AckResult) {
        // What was sent before the last reduction ended says nothing new.
        if self.una.le(self.recover) || prior_flight == 0 {
            return;
        }
        let recover_fs = prior_flight.max(self.mss);
        self.cc.on_loss(now, recover_fs, self.mss);
        if self.board.is_empty() {
            // Everything has arrived: there is nothing left to reduce in step with.
            let left = self.cc.ssthresh();
            self.cc.on_recovered(now, left, self.mss);
            self.recover = self.nxt - 1;
            result.reduced = true;
            return;
        }
        self.loss.recovery = Recovery::Reduced { high: self.nxt };
        self.recover = self.nxt - 1;
        self.loss.prr = self.start_prr(recover_fs);
        result.reduced = true;
    }

    /// The pace of a reduction, unless the algorithm's window rules that too.
    fn start_prr(&self, recover_fs: u32) -> Option<Prr> {
        let cwnd = self.cc.ssthresh();
        (!self.cc.rules_recovery()).then_some(Prr { delivered: 0, out: 0, recover_fs, cwnd })
    }

    fn begin_fast_recovery(&mut self, now: Instant, prior_flight: u32, result: &mut AckResult) {
        let in_flight = prior_flight.max(self.mss);
        // A reduction for marks that is going on is enough (RFC 3168 §6.1.2).
        let reduced = matches!(self.loss.recovery, Recovery::Reduced { .. });
        if !reduced {
            self.cc.save();
            self.cc.on_loss(now, in_flight, self.mss);
        }
        let prr = self.start_prr(in_flight);
        let loss = &mut *self.loss;
        loss.recovery = Recovery::Fast { high: self.nxt };
        self.recover = self.nxt - 1;
        // The reduction was not for this loss, so it stays whatever becomes of it.
        let undo = Undo { marker: self.una, retransmitted_at: None, pending: 0 };
        loss.undo = (!reduced).then_some(undo);
        if !reduced {
            loss.prr = prr;
        }
        loss.force_retransmit = true;
        loss.probe = None;
        loss.probe_due = false;
        result.recovery = Some(true);
        let with = if self.sack { Happened::SACK_RECOVERY } else { Happened::RENO_RECOVERY };
        self.tally.happened |= with;
    }

    /// The recovery in progress goes on, or ends. `grows` is what of `advanced` lets the window grow.
    fn run_recovery(
        &mut self,
        now: Instant,
        (advanced, grows): (u32, u32),
        prior_flight: u32,
        rtt: Option<Duration>,
        delivered: &Delivered,
        result: &mut AckResult,
    ) {
        match self.loss.recovery {
            Recovery::Open => self.grow(now, grows, prior_flight, rtt),
            Recovery::Reduced { high } if self.una.ge(high) => {
                self.loss.recovery = Recovery::Open;
                self.loss.prr = None;
                // Nothing was lost: the window is all that was left of it, however much is in flight.
                let left = self.cc.ssthresh();
                self.cc.on_recovered(now, left, self.mss);
            }
            Recovery::Reduced { .. } => {
                self.reduce_rate(delivered.bytes(), advanced > 0, result.found_lost);
            }
            Recovery::Fast { high } if self.una.ge(high) => {
                self.loss.reno_sacked = 0;
                self.loss.recovery = Recovery::Open;
                self.loss.prr = None;
                self.board.recovery_ended();
                self.cc.on_recovered(now, self.in_flight(), self.mss);
                result.recovery = Some(false);
            }
            Recovery::Fast { .. } => {
                if !self.sack && advanced > 0 {
                    // A partial acknowledgement names the next hole (RFC 6582 §3.2 step 3 (2)).
                    let loss = &mut self.loss;
                    loss.reno_sacked =
                        loss.reno_sacked.saturating_sub(advanced.saturating_sub(self.mss));
                    if self.board.mark_front_lost(self.mss) {
                        self.loss.force_retransmit = true;
                        self.tell_losses(now);
                    }
                }
                // Without SACK a duplicate delivers one segment, and a partial acknowledgement what it covers beyond what
                // duplicates announced (RFC 9937 §6).
                let delivered = match (self.sack, result.duplicate) {
                    (true, _) => delivered.bytes(),
                    (false, true) => self.mss,
                    (false, false) => advanced.min(self.mss),
                };
                self.reduce_rate(delivered, advanced > 0, result.found_lost);
            }
            Recovery::Timeout { high } => {
                if self.una.ge(high) {
                    self.loss.recovery = Recovery::Open;
                    self.board.recovery_ended();
                }
                self.look_for_spurious(advanced, result.duplicate, delivered.sacked);
                self.grow(now, advanced, prior_flight, rtt);
            }
        }
    }

    /// RFC 9937 §6: per acknowledgement, send in proportion to what was delivered.
    fn reduce_rate(&mut self, delivered: u32, advanced: bool, found_lost: bool) {
        let pipe = self.in_flight();
        let ssthresh = self.cc.ssthresh();
        let mss = self.mss;
        let Some(prr) = self.loss.live().and_then(|loss| loss.prr.as_mut()) else { return };
        prr.delivered = prr.delivered.saturating_add(delivered);
        // "SafeACK": it advances and tells of no further loss.
        let safe = advanced && !found_lost;
        let count = if pipe > ssthresh {
            let target = (u64::from(prr.delivered) * u64::from(ssthresh))
                .div_ceil(u64::from(prr.recover_fs.max(1)));
            (target as u32).saturating_sub(prr.out)
        } else {
            let mut limit = prr.delivered.saturating_sub(prr.out).max(delivered);
            if safe {
                limit += mss;
            }
            limit.min(ssthresh - pipe)
        };
        // The fast retransmit itself is never held back.
        let count = if prr.out == 0 { count.max(mss) } else { count };
        prr.cwnd = pipe + count;
    }

    fn grow(&mut self, now: Instant, acked: u32, in_flight: u32, rtt: Option<Duration>) {
        if acked > 0 {
            // What a window of data took at most, for an acknowledgement may come when much of it has left already.
            let in_flight = in_flight.max(self.usage.peak);
            self.validate_cwnd(now, in_flight);
            self.cc.on_ack(&AckSample {
                now,
                acked,
                in_flight,
                mss: self.mss,
                rtt,
                srtt: self.rtt.srtt(),
                paced: self.pacer.is_on(),
                una: self.una,
                nxt: self.nxt,
            });
        }
    }

    /// RFC 7661 §4.2, §4.4.3: a window of which less than half is used stays as it is for five minutes, no longer.
    fn validate_cwnd(&mut self, now: Instant, used: u32) {
        if used.saturating_mul(2) >= self.cc.cwnd() {
            self.usage.validated_at = seconds(now);
        } else if seconds(now).wrapping_sub(self.usage.validated_at) > NONVALIDATED_PERIOD {
            self.cc.on_unused(self.mss);
            self.usage.validated_at = seconds(now);
        }
    }

    /// What recovery is doing.
    pub(super) fn ca_state(&self) -> CaState {
        match self.loss.recovery {
            Recovery::Reduced { .. } => CaState::Cwr,
            Recovery::Fast { .. } => CaState::Recovery,
            Recovery::Timeout { .. } => CaState::Loss,
            Recovery::Open if self.board.sacked() > 0 => CaState::Disorder,
            Recovery::Open => CaState::Open,
        }
    }

    // --- tail loss probes (RFC 8985 §7) ---

    /// The probe that repeats the last segment.
    pub(super) fn next_probe(&mut self, now: Instant) -> Option<Outgoing> {
        if !self.loss.live().is_some_and(|loss| std::mem::take(&mut loss.probe_due)) {
            return None;
        }
        let tail = self.board.cut_tail(self.mss)?;
        self.board.retransmitted(now, tail.seq);
        self.loss.probe = Some(LossProbe { end: tail.end(), retransmit: true });
        let len = tail.len - u32::from(tail.fin);
        Some(Outgoing { seq: tail.seq, len, fin: tail.fin, push: false, retransmit: true })
    }

    /// RFC 8985 §7.4.2: what became of the probe.
    fn end_probe(&mut self, now: Instant, dsack: bool, prior_flight: u32, result: &mut AckResult) {
        let Some(probe) = self.loss.probe else { return };
        if self.una.lt(probe.end) {
            return;
        }
        self.loss.probe = None;
        // It repaired a loss, unless the peer says that it came twice: the network is congested.
        if probe.retransmit && !dsack && !result.duplicate && self.loss.recovery == Recovery::Open {
            self.cc.save();
            self.cc.on_loss(now, prior_flight.max(self.mss), self.mss);
            self.cc.on_recovered(now, self.in_flight(), self.mss);
            result.recovery = Some(false);
            self.tally.happened |= Happened::PROBE_RECOVERY;
        }
    }

    /// Sets the timer for what is in flight: to a probe when one may go, else to the timeout (RFC 8985 §7.2).
    pub(super) fn arm_timer(&mut self, now: Instant, news: bool) {
        let may_probe = self.probing
            && self.sack
            && self.loss.recovery == Recovery::Open
            && self.loss.probe.is_none()
            && self.board.sacked() == 0
            && self.board.lost() == 0;
        if !may_probe {
            if !matches!(self.timer, Timer::Reorder { .. }) || self.board.sacked() == 0 {
                self.timer = Timer::Retransmit;
            }
            return;
        }
        if !news && matches!(self.timer, Timer::LossProbe { .. }) {
            return;
        }
        let mut timeout =
            if self.rtt.srtt().is_zero() { Duration::from_secs(1) } else { 2 * self.rtt.srtt() };
        timeout += if self.board.pipe() <= self.mss { MAX_ACK_DELAY } else { MIN_PROBE_TIMEOUT };
        // A timeout that is due before makes way for the probe at its own time (RFC 8985 §7.2, TLP_calc_PTO).
        self.timer = Timer::LossProbe { at: (now + timeout).min(self.rto_at) };
    }

    // --- the timer ---

    /// When the timer is due.
    pub(super) fn deadline(&self, options: &SocketOptions) -> Option<Instant> {
        let at = match self.timer {
            Timer::Idle => return None,
            Timer::Retransmit => self.rto_at,
            Timer::Reorder { at } | Timer::LossProbe { at } | Timer::Persist { at } => at,
        };
        Some(options.user_timeout.map_or(at, |t| at.min(self.unacked_since + t)))
    }

    /// When the timer is due, or what pacing holds back may go.
    pub(super) fn deadline_with_pacing(&self, options: &SocketOptions) -> Option<Instant> {
        earlier(self.deadline(options), self.pacer.deadline())
    }

    /// Runs the timer.
    pub(super) fn on_timer(&mut self, now: Instant, options: &SocketOptions) -> TimerOutcome {
        let at = match self.timer {
            Timer::Idle => return TimerOutcome::Nothing,
            Timer::Retransmit => self.rto_at,
            Timer::Reorder { at } | Timer::LossProbe { at } | Timer::Persist { at } => at,
        };
        if let Some(limit) = options.user_timeout
            && now >= self.unacked_since + limit
        {
            // RFC 5482; as in Linux a window that stays closed for that long counts too.
            return TimerOutcome::GiveUp;
        }
        if now < at {
            return TimerOutcome::Nothing;
        }
        self.check_app_limited();
        match self.timer {
            Timer::Persist { .. } => self.on_persist(now, options),
            Timer::Reorder { .. } if now < self.rto_at => self.on_reorder(now),
            Timer::LossProbe { .. } => {
                // RFC 8985 §7.3: new data if there is any, else the last segment again.
                if self.unsent() > 0 && self.nxt.lt(self.una + self.wnd) {
                    self.loss.force_new = true;
                    self.loss.probe = Some(LossProbe {
                        end: self.nxt + self.mss.min(self.unsent()),
                        retransmit: false,
                    });
                } else {
                    self.loss.probe_due = true;
                    self.loss.probe = Some(LossProbe { end: self.nxt, retransmit: true });
                }
                // RFC 8985 §7.3: the timeout runs anew from the probe.
                self.rto_at = now + self.rtt.rto();
                self.timer = Timer::Retransmit;
                TimerOutcome::LossProbe
            }
            _ => self.on_rto(now, options),
        }
    }

    /// RFC 8985 §6.2 step 5: whether losses were found, and when to look again.
    fn detect_losses(&mut self, now: Instant) -> (bool, Option<Instant>) {
        let recovering = self.is_repairing();
        let (min_rtt, srtt) = (self.rtt.min_rtt(), self.rtt.srtt());
        self.board.detect_losses(now, recovering, self.mss, min_rtt, srtt)
    }

    /// RFC 8985 §6.3: the reordering window has passed.
    fn on_reorder(&mut self, now: Instant) -> TimerOutcome {
        let recovering = self.is_repairing();
        let prior_flight = self.in_flight();
        let (found, later) = self.detect_losses(now);
        self.tell_losses(now);
        self.note_news();
        self.timer = match later {
            Some(at) => Timer::Reorder { at: at.max(now + MIN_PROBE_TIMEOUT).min(self.rto_at) },
            None => Timer::Retransmit,
        };
        if !found {
            return TimerOutcome::Nothing;
        }
        if !recovering && !self.path_probe_lost() {
            self.begin_fast_recovery(now, prior_flight, &mut AckResult::default());
            self.reduce_rate(0, false, true);
            return TimerOutcome::Recovery;
        }
        TimerOutcome::Nothing
    }

    fn on_persist(&mut self, now: Instant, options: &SocketOptions) -> TimerOutcome {
        // A peer that answers probes may keep its window closed for ever (RFC 9293 §3.8.6.1 MUST-37); one that does not
        // answer is gone. The others come ever more rarely (SHLD-30).
        if self.probes >= options.retries {
            return TimerOutcome::GiveUp;
        }
        self.probes += 1;
        self.rtt.back_off();
        self.timer = Timer::Persist { at: now + self.rtt.rto() };
        if (self.una + self.wnd).gt(self.nxt) {
            self.force_partial = true;
            return TimerOutcome::Nothing;
        }
        TimerOutcome::Probe
    }

    /// Retransmissions in a row that came to nothing. A window that shrank to nothing is probed by what is out already; who
    /// answers may keep it so for ever (RFC 9293 §3.8.6 SHLD-17, MUST-35, §3.8.6.1 MUST-37).
    pub(super) fn sent_in_vain(&self) -> u8 {
        if self.wnd == 0 { self.probes } else { self.retries }
    }

    /// RFC 6298 §5.4 - §5.6.
    fn on_rto(&mut self, now: Instant, options: &SocketOptions) -> TimerOutcome {
        // R2 counts where there is no user timeout, which may be the longer one (RFC 5482 §3.1; as in Linux).
        if options.user_timeout.is_none() && self.sent_in_vain() >= options.retries {
            return TimerOutcome::GiveUp;
        }
        self.probes = self.probes.saturating_add(1);
        let again = self.retries > 0;
        self.retries = self.retries.saturating_add(1);
        self.path_probe_timed_out();
        let flight = self.in_flight();
        let repairing = self.is_repairing();
        let first = self.board.front_len().min(self.mss);
        self.rtt.back_off();
        if !again {
            self.cc.save();
        }
        self.cc.on_timeout(now, flight, self.mss, again);
        let reneged = self.board.mark_all_lost();
        if reneged {
            self.tally.happened |= Happened::RENEGING;
        }
        self.tell_losses(now);
        self.update_pacing();
        let loss = &mut *self.loss;
        loss.reno_sacked = 0;
        loss.dup_acks = 0;
        loss.prr = None;
        loss.probe = None;
        loss.probe_due = false;
        // RFC 5682 §2.1 step 1: where segments were sent again already, without SACK nobody can tell what an acknowledgement
        // answers.
        let clear = self.sack || !repairing;
        loss.frto =
            if again || !clear { Frto::Off } else { Frto::First { until: self.una + first } };
        if !again {
            loss.undo = Some(Undo { marker: self.una, retransmitted_at: None, pending: 0 });
        }
        loss.recovery = Recovery::Timeout { high: self.nxt };
        self.recover = self.nxt - 1;
        loss.force_retransmit = true;
        self.rto_at = now + self.rtt.rto();
        self.timer = Timer::Retransmit;
        TimerOutcome::Timeout
    }
}
