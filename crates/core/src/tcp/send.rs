//! The send side of a synchronised connection: what may be sent now, and what an acknowledgement does
//! (RFC 9293 §3.7-3.8, RFC 5681, RFC 6582, RFC 6298).

use usernet_wire::SeqNumber;
use usernet_wire::tcp::SackBlock;

use super::congestion::{self, AckSample, CongestionControl};
use super::rtt::Rtt;
use super::scoreboard::{DUP_THRESH, Delivered, Scoreboard};
use super::send_buffer::SendBuffer;
use crate::config::SocketOptions;
use crate::time::{Duration, Instant};

/// Whether the application is done sending: the FIN stands behind the queue. The connection's state says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fin {
    /// More may be written.
    Open,
    /// A FIN follows the last byte.
    Queued,
}

/// Loss recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Recovery {
    /// None is going on.
    Open,
    /// Fast recovery, until `high` is acknowledged (RFC 6582, RFC 6675).
    Fast { high: SeqNumber },
    /// After a retransmission timeout, until `high` is acknowledged.
    Timeout { high: SeqNumber },
}

/// The one timer of the send side: data in flight is retransmitted, a closed window is probed; never both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timer {
    Idle,
    Retransmit { at: Instant },
    Persist { at: Instant },
}

/// What the timer asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimerOutcome {
    /// Nothing was due.
    Nothing,
    /// Data will be sent again.
    Timeout,
    /// The window is probed.
    Probe,
    /// There is no more hope (R2 of RFC 9293 §3.8.3, or the user timeout).
    GiveUp,
}

/// A segment to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outgoing {
    /// Its first sequence number.
    pub(super) seq: SeqNumber,
    /// Payload bytes, from `seq - una` in the send queue.
    pub(super) len: u32,
    /// Whether it carries the FIN.
    pub(super) fin: bool,
    /// Whether it empties the queue.
    pub(super) push: bool,
    /// Whether it was sent before.
    pub(super) retransmit: bool,
}

/// What an acknowledgement brought.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AckResult {
    /// Payload bytes newly acknowledged.
    pub(super) acked: u32,
    /// Whether it acknowledges our FIN.
    pub(super) fin_acked: bool,
    /// Whether it was a duplicate (RFC 5681 §2).
    pub(super) duplicate: bool,
    /// Whether fast recovery began (`true`) or ended (`false`).
    pub(super) recovery: Option<bool>,
}

/// An acceptable acknowledgement: `una <= ack <= nxt`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ack<'a> {
    /// Sequence number of the segment that carries it.
    pub(super) seq: SeqNumber,
    /// The acknowledgement number.
    pub(super) ack: SeqNumber,
    /// The window, scaled.
    pub(super) window: u32,
    /// Whether the segment carries nothing else: no data, SYN or FIN.
    pub(super) pure: bool,
    /// Round-trip time by the timestamp echoed, if any.
    pub(super) timestamp_rtt: Option<Duration>,
    /// SACK blocks.
    pub(super) sack: &'a [SackBlock],
}

/// What the handshake settled for the send side.
#[derive(Clone, Copy, Debug)]
pub(super) struct SendParams {
    /// Our initial sequence number.
    pub(super) iss: SeqNumber,
    /// Payload bytes of a full segment.
    pub(super) mss: u32,
    /// The peer's window shift.
    pub(super) wscale: u8,
    /// Whether the peer reports SACK blocks.
    pub(super) sack: bool,
    /// The peer's window, scaled.
    pub(super) window: u32,
    /// Sequence and acknowledgement number of the segment that gave the window.
    pub(super) wl: (SeqNumber, SeqNumber),
}

/// The send side.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) buf: SendBuffer,
    pub(super) una: SeqNumber,
    pub(super) nxt: SeqNumber,
    pub(super) wnd: u32,
    wl1: SeqNumber,
    wl2: SeqNumber,
    /// Largest window the peer ever offered: its buffer, for sender SWS avoidance (RFC 9293 §3.8.6.2.1).
    max_wnd: u32,
    pub(super) wscale: u8,
    pub(super) mss: u32,
    sack: bool,
    pub(super) board: Scoreboard,
    pub(super) rtt: Rtt,
    pub(super) cc: Box<dyn CongestionControl>,
    recovery: Recovery,
    /// Where the last recovery ended: no second fast retransmit below it (RFC 6582 §3.2 step 2).
    recover: SeqNumber,
    dup_acks: u32,
    /// Without SACK: bytes that duplicate acknowledgements say have left the network.
    reno_sacked: u32,
    /// The first retransmission of a recovery does not wait for the window (RFC 6675 §5 step 4.3).
    force_retransmit: bool,
    /// Something partial may be sent though the window is too small for a full segment.
    force_partial: bool,
    timer: Timer,
    /// Timeouts without an acknowledgement that made progress.
    pub(super) retries: u8,
    /// Probes without any answer.
    pub(super) probes: u8,
    /// Since when the oldest data waits for an acknowledgement, or a probe for an answer.
    unacked_since: Instant,
    last_sent: Instant,
    /// End of the last segment below an MSS (Minshall's variant of Nagle, as Linux has it).
    small_until: SeqNumber,
    /// More follows at once: hold partial segments back.
    pub(super) corked: bool,
}

impl Sender {
    pub(super) fn new(
        params: SendParams,
        buf: SendBuffer,
        rtt: Rtt,
        options: &SocketOptions,
        now: Instant,
    ) -> Self {
        let una = params.iss + 1;
        Self {
            buf,
            una,
            nxt: una,
            wnd: params.window,
            wl1: params.wl.0,
            wl2: params.wl.1,
            max_wnd: params.window,
            wscale: params.wscale,
            mss: params.mss,
            sack: params.sack,
            board: Scoreboard::default(),
            rtt,
            cc: congestion::new(options.congestion, params.mss),
            recovery: Recovery::Open,
            recover: params.iss,
            dup_acks: 0,
            reno_sacked: 0,
            force_retransmit: false,
            force_partial: false,
            timer: Timer::Idle,
            retries: 0,
            probes: 0,
            unacked_since: now,
            last_sent: now,
            small_until: una,
            corked: false,
        }
    }

    /// Payload bytes that were not sent yet.
    pub(super) fn unsent(&self) -> u32 {
        // Past a FIN that was sent, `nxt` is one ahead of the queue.
        (self.buf.len() as u32).saturating_sub(self.nxt.since(self.una))
    }

    /// Whether the FIN was sent.
    fn fin_sent(&self) -> bool {
        self.nxt.since(self.una) > self.buf.len() as u32
    }

    /// The right edge of the peer's window.
    fn wnd_end(&self) -> SeqNumber {
        self.una + self.wnd
    }

    /// Bytes in flight.
    pub(super) fn in_flight(&self) -> u32 {
        self.board.pipe().saturating_sub(self.reno_sacked)
    }

    /// The lowest acknowledgement number that is not too old (RFC 5961 §5.2): `SND.UNA - MAX.SND.WND`.
    pub(super) fn oldest_ack(&self) -> SeqNumber {
        self.una - self.max_wnd
    }

    /// The next segment to send, at most `max` payload bytes (one MSS, or more where the device or the path's end cuts
    /// segments). The caller sends it and calls again until there is none.
    pub(super) fn next(
        &mut self,
        now: Instant,
        fin: Fin,
        nagle: bool,
        max: u32,
    ) -> Option<Outgoing> {
        let max = (max / self.mss).max(1) * self.mss;
        let out = match self.next_retransmission(now, max) {
            Some(out) => Some(out),
            None => self.next_new(now, fin, nagle, max),
        };
        match out {
            Some(_) => {
                // RFC 6298 §5.1: the timer runs while anything is in flight.
                if !matches!(self.timer, Timer::Retransmit { .. }) {
                    self.unacked_since = now;
                    self.timer = Timer::Retransmit { at: now + self.rtt.rto() };
                }
                self.last_sent = now;
            }
            None => self.arm_persist(now, fin),
        }
        out
    }

    fn next_retransmission(&mut self, now: Instant, max: u32) -> Option<Outgoing> {
        if self.board.lost() == 0 {
            return None;
        }
        let quota = self.cc.cwnd().saturating_sub(self.in_flight());
        let room = match (quota / self.mss, self.force_retransmit) {
            (0, false) => return None,
            (0, true) => self.mss,
            (n, _) => (n * self.mss).min(max),
        };
        let sent = self.board.next_lost(room)?;
        // A window that shrank is respected (RFC 9293 §3.8.6), but for the first byte, which then is the probe.
        if sent.seq != self.una && sent.end().gt(self.wnd_end()) {
            return None;
        }
        self.force_retransmit = false;
        self.board.retransmitted(now, sent.seq);
        let len = sent.len - u32::from(sent.fin);
        Some(Outgoing { seq: sent.seq, len, fin: sent.fin, push: true, retransmit: true })
    }

    fn next_new(&mut self, now: Instant, fin: Fin, nagle: bool, max: u32) -> Option<Outgoing> {
        let unsent = self.unsent();
        let fin_due = fin == Fin::Queued && !self.fin_sent();
        if unsent == 0 && !fin_due {
            return None;
        }
        // RFC 5681 §4.1: a window that was not used for an RTO says nothing of the path now.
        if self.board.is_empty() && now.since(self.last_sent) > self.rtt.rto() {
            self.cc.on_idle(self.mss);
        }
        let window = if self.nxt.lt(self.wnd_end()) { self.wnd_end().since(self.nxt) } else { 0 };
        let mut len = unsent.min(window).min(max);
        if len == 0 && !(unsent == 0 && fin_due && window > 0) {
            return None;
        }
        let quota = self.cc.cwnd().saturating_sub(self.in_flight());
        if len > quota {
            // In whole segments, and one at least when nothing is in flight.
            len = quota / self.mss * self.mss;
            if len == 0 && self.board.is_empty() {
                len = unsent.min(window).min(self.mss);
            }
            if len == 0 {
                return None;
            }
        }
        let last = len == unsent;
        let partial = len % self.mss;
        if partial != 0 && !self.may_send_partial(len, last, fin_due, nagle) {
            len -= partial;
            if len == 0 {
                return None;
            }
        }
        // The FIN counts in the window (RFC 9293 §3.4).
        let with_fin = fin_due && len == unsent && len < window;
        let seq = self.nxt;
        let space = len + u32::from(with_fin);
        self.board.sent(now, seq, space, with_fin);
        self.nxt += space;
        if len % self.mss != 0 {
            self.small_until = self.nxt;
        }
        self.force_partial = false;
        Some(Outgoing { seq, len, fin: with_fin, push: len == unsent, retransmit: false })
    }

    /// Whether a segment below an MSS may go (RFC 9293 §3.7.4 Nagle, §3.8.6.2.1 sender SWS avoidance).
    fn may_send_partial(&self, len: u32, last: bool, fin_due: bool, nagle: bool) -> bool {
        if self.force_partial {
            return true;
        }
        if last {
            if fin_due {
                return true;
            }
            if self.corked {
                return false;
            }
            // Nagle as Minshall amended it: only an unacknowledged *small* segment holds the next small one back.
            return !nagle || self.small_until.le(self.una);
        }
        // The window cuts it: worth it alone, and when it is half of what the peer ever offered.
        len < self.mss && len >= self.max_wnd.div_ceil(2)
    }

    /// Probes a window that lets nothing through while nothing is in flight (RFC 9293 §3.8.6.1).
    fn arm_persist(&mut self, now: Instant, fin: Fin) {
        let waiting = self.unsent() > 0 || (fin == Fin::Queued && !self.fin_sent());
        match self.timer {
            Timer::Idle if waiting && self.board.is_empty() => {
                self.unacked_since = now;
                self.timer = Timer::Persist { at: now + self.rtt.rto() };
            }
            Timer::Persist { .. } if !waiting => self.timer = Timer::Idle,
            _ => {}
        }
    }

    /// Takes an acknowledgement.
    pub(super) fn on_ack(&mut self, now: Instant, a: &Ack<'_>) -> AckResult {
        let mut result = AckResult::default();
        let mut delivered = Delivered::default();
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
        if advanced > 0 {
            self.board.acknowledge(now, a.ack, &mut delivered);
            let bytes = advanced.min(self.buf.len() as u32);
            result.fin_acked = advanced > bytes;
            result.acked = bytes;
            self.buf.consume(bytes as usize);
            self.una = a.ack;
            self.retries = 0;
            self.unacked_since = now;
        }
        if self.sack {
            self.board.sack(now, a.sack, self.una, self.nxt, self.mss, &mut delivered);
        }
        // RFC 6298 §3: Karn's rule holds for times of sending; a timestamp names the transmission it answers.
        if let Some(rtt) = delivered.rtt.or(if advanced > 0 { a.timestamp_rtt } else { None }) {
            self.rtt.sample(rtt);
            // The backed-off timeout stays in force until there is a valid sample (RFC 1122 §4.2.3.1, Karn's second rule).
            self.rtt.backoff = 0;
        }

        // RFC 5681 §2: outstanding data, no data, no SYN or FIN, the same ACK number, the same window.
        result.duplicate = advanced == 0 && outstanding && a.pure && self.wnd == old_wnd;
        if self.sack {
            // RFC 6675 §2: only one that SACKs something new.
            result.duplicate &= delivered.sacked > 0;
        }
        self.recover_losses(now, advanced, prior_flight, &mut result);

        // RFC 6298 §5.2, §5.3.
        if self.board.is_empty() {
            match self.timer {
                // A window that stays closed goes on being probed ever more rarely.
                Timer::Persist { .. } if self.wnd <= old_wnd && advanced == 0 => {}
                Timer::Persist { .. } => {
                    self.timer = Timer::Idle;
                    self.rtt.backoff = 0;
                }
                _ => self.timer = Timer::Idle,
            }
        } else if advanced > 0 {
            self.timer = Timer::Retransmit { at: now + self.rtt.rto() };
        }
        result
    }

    fn recover_losses(
        &mut self,
        now: Instant,
        advanced: u32,
        prior_flight: u32,
        result: &mut AckResult,
    ) {
        if advanced > 0 {
            self.dup_acks = 0;
        } else if result.duplicate {
            self.dup_acks = self.dup_acks.saturating_add(1);
            if !self.sack && !matches!(self.recovery, Recovery::Timeout { .. }) {
                // Each says that one segment has left the network (RFC 5681 §3.2 step 4).
                self.reno_sacked = (self.reno_sacked + self.mss).min(self.nxt.since(self.una));
            }
        }
        match self.recovery {
            Recovery::Open => {
                if advanced > 0 {
                    self.reno_sacked = 0;
                }
                let lost = if self.sack {
                    self.board.mark_lost_by_sack(self.mss)
                        || (self.dup_acks >= DUP_THRESH && self.board.mark_front_lost(self.mss))
                } else {
                    // RFC 6582 §3.2 step 2: not again for the window of the last recovery.
                    self.dup_acks == DUP_THRESH
                        && self.una.gt(self.recover)
                        && self.board.mark_front_lost(self.mss)
                };
                if lost {
                    self.recovery = Recovery::Fast { high: self.nxt };
                    self.recover = self.nxt - 1;
                    self.cc.on_loss(now, prior_flight.max(self.mss), self.mss);
                    self.force_retransmit = true;
                    result.recovery = Some(true);
                } else if advanced > 0 {
                    self.grow(now, advanced, prior_flight);
                }
            }
            Recovery::Fast { high } => {
                if self.una.ge(high) {
                    self.reno_sacked = 0;
                    self.recovery = Recovery::Open;
                    self.cc.on_recovered(now, self.in_flight(), self.mss);
                    result.recovery = Some(false);
                } else if self.sack {
                    self.board.mark_lost_by_sack(self.mss);
                    if advanced > 0 && self.board.front_is_hole() {
                        self.board.mark_front_lost(self.mss);
                    }
                } else if advanced > 0 {
                    // A partial acknowledgement names the next hole (RFC 6582 §3.2 step 3 (2)).
                    self.reno_sacked =
                        self.reno_sacked.saturating_sub(advanced.saturating_sub(self.mss));
                    if self.board.mark_front_lost(self.mss) {
                        self.force_retransmit = true;
                    }
                }
            }
            Recovery::Timeout { high } => {
                if self.una.ge(high) {
                    self.recovery = Recovery::Open;
                }
                if self.sack {
                    self.board.mark_lost_by_sack(self.mss);
                }
                if advanced > 0 {
                    self.grow(now, advanced, prior_flight);
                }
            }
        }
    }

    fn grow(&mut self, now: Instant, acked: u32, in_flight: u32) {
        self.cc.on_ack(now, AckSample { acked, in_flight, mss: self.mss });
    }

    /// When the timer is due.
    pub(super) fn deadline(&self, options: &SocketOptions) -> Option<Instant> {
        let at = match self.timer {
            Timer::Idle => return None,
            Timer::Retransmit { at } | Timer::Persist { at } => at,
        };
        Some(options.user_timeout.map_or(at, |t| at.min(self.unacked_since + t)))
    }

    /// Runs the timer.
    pub(super) fn on_timer(&mut self, now: Instant, options: &SocketOptions) -> TimerOutcome {
        let (at, persist) = match self.timer {
            Timer::Idle => return TimerOutcome::Nothing,
            Timer::Retransmit { at } => (at, false),
            Timer::Persist { at } => (at, true),
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
        if persist {
            // A peer that answers probes may keep its window closed for ever (RFC 9293 §3.8.6.1 MUST-36); one that does
            // not answer is gone.
            if self.probes >= options.retries {
                return TimerOutcome::GiveUp;
            }
            self.probes += 1;
            self.rtt.back_off();
            self.timer = Timer::Persist { at: now + self.rtt.rto() };
            if self.wnd_end().gt(self.nxt) {
                self.force_partial = true;
                return TimerOutcome::Nothing;
            }
            return TimerOutcome::Probe;
        }
        if self.retries >= options.retries {
            return TimerOutcome::GiveUp;
        }
        let again = self.retries > 0;
        self.retries += 1;
        let flight = self.in_flight();
        self.rtt.back_off();
        self.board.mark_all_lost();
        self.reno_sacked = 0;
        self.dup_acks = 0;
        self.cc.on_timeout(now, flight, self.mss, again);
        self.recovery = Recovery::Timeout { high: self.nxt };
        self.recover = self.nxt - 1;
        self.force_retransmit = true;
        self.timer = Timer::Retransmit { at: now + self.rtt.rto() };
        TimerOutcome::Timeout
    }

    /// The path takes smaller segments from now on (RFC 1191, RFC 8201): what is in flight is sent again in pieces.
    pub(super) fn shrink_mss(&mut self, mss: u32) {
        if mss < self.mss {
            self.mss = mss;
            self.board.mark_all_lost();
            self.force_retransmit = true;
        }
    }
}
