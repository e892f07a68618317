//! The send side of a synchronised connection: what may be sent now, and what an acknowledgement does
//! (RFC 9293 §3.7-3.8, RFC 5681, RFC 6582, RFC 6298).

use usernet_wire::SeqNumber;
use usernet_wire::tcp::SackBlock;

use super::chrono::Limit;
use super::congestion::{self, CongestionControl, Start};
use super::pacing::{Pacer, window_rate};
use super::pmtud::PathSearch;
use super::recovery::{LossRecovery, Recovery};
use super::rtt::Rtt;
use super::scoreboard::Scoreboard;
use super::send_buffer::{MAX_SLICES, SendBuffer};
use super::spurious::Frto;
use super::tally::Tally;
use crate::config::{Congestion, SocketOptions};
use crate::lazy::Lazy;
use crate::time::{Duration, Instant};

/// Payload bytes of the largest segment handed to a device that cuts segments: 44 x 1460, what fits an IP packet.
const MAX_GSO_PAYLOAD: u32 = 64_240;

/// The same where the device takes longer ones ([`Offload::big_tcp4`](crate::Offload::big_tcp4)): three times as many. Each
/// costs a system call, a wake-up of the receiver and an acknowledgement; with more at a time caches are too small.
const MAX_BIG_PAYLOAD: u32 = 3 * MAX_GSO_PAYLOAD;

const _: () = assert!(MAX_BIG_PAYLOAD as usize <= MAX_SLICES);

/// A segment that is longer than a packet can be is this part of the window at most, so that several are on their way.
const BIG_PART: u32 = 4;

/// Super-segments that are on their way at least where the rest of a write waits for more.
const DEFER_IN_FLIGHT: u32 = 4;

/// Where an acknowledgement takes longer than this, the rest of a write goes at once, and no segment is longer than a packet.
const NEAR: Duration = Duration::from_millis(1);

/// Whether the application is done sending: the FIN stands behind the queue. The connection's state says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fin {
    /// More may be written.
    Open,
    /// A FIN follows the last byte.
    Queued,
}

/// The one timer of the send side (RFC 8985 §8): what is in flight is retransmitted or probed, or a closed window is; never
/// two at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    Idle,
    /// The retransmission timeout (RFC 6298).
    Retransmit,
    /// The reordering window of RACK ends (RFC 8985 §6.3).
    Reorder {
        at: Instant,
    },
    /// A tail loss probe is due (RFC 8985 §7.2).
    LossProbe {
        at: Instant,
    },
    /// The closed window is probed (RFC 9293 §3.8.6.1).
    Persist {
        at: Instant,
    },
}

/// What the timer asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimerOutcome {
    /// Nothing was due.
    Nothing,
    /// Data will be sent again: the retransmission timeout.
    Timeout,
    /// Data will be sent again: fast recovery began.
    Recovery,
    /// A tail loss probe will be sent.
    LossProbe,
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
    /// The window is being reduced because of marks, from now on.
    pub(super) reduced: bool,
    /// Something was deemed lost that was not before.
    pub(super) found_lost: bool,
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
    /// The peer tells of congestion that the network marked.
    pub(super) marked: bool,
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
    /// Our SYN was sent three times or more.
    pub(super) syn_lost: bool,
}

/// The clock in whole seconds. It goes round after 18 hours: who does not send for so long has lost its window anyway.
pub(super) fn seconds(now: Instant) -> u16 {
    (now.as_millis() / 1000) as u16
}

/// How much of the congestion window a window of data used (Linux `tcp_cwnd_validate`).
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    /// The most bytes that were in flight (Linux `max_packets_out`).
    pub(super) peak: u32,
    /// Where the window of data ends.
    pub(super) until: SeqNumber,
    /// Whether the congestion window held something back (Linux `is_cwnd_limited`).
    pub(super) limited: bool,
    /// When half of the congestion window was in use last (RFC 7661 §4.2), by [`seconds`].
    pub(super) validated_at: u16,
}

/// The send side.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) buf: Lazy<SendBuffer>,
    pub(super) una: SeqNumber,
    pub(super) nxt: SeqNumber,
    pub(super) wnd: u32,
    pub(super) wl1: SeqNumber,
    pub(super) wl2: SeqNumber,
    /// Largest window the peer ever offered: its buffer, for sender SWS avoidance (RFC 9293 §3.8.6.2.1).
    pub(super) max_wnd: u32,
    pub(super) wscale: u8,
    pub(super) mss: u32,
    pub(super) sack: bool,
    /// Made when the first segment goes out.
    pub(super) board: Lazy<Scoreboard>,
    pub(super) rtt: Rtt,
    pub(super) cc: Box<dyn CongestionControl>,
    /// Made when something is amiss.
    pub(super) loss: Lazy<LossRecovery>,
    /// Where the last recovery ended: no second fast retransmit below it (RFC 6582 §3.2 step 2).
    pub(super) recover: SeqNumber,
    /// Tail loss probes are sent (RFC 8985 §7).
    pub(super) probing: bool,
    /// Something partial may be sent though the window is too small for a full segment.
    pub(super) force_partial: bool,
    pub(super) timer: Timer,
    /// When the retransmission timeout runs out; meaningful while anything is in flight.
    pub(super) rto_at: Instant,
    /// Timeouts without an acknowledgement that made progress.
    pub(super) retries: u8,
    /// Probes and retransmissions without any answer, whatever it says.
    pub(super) probes: u8,
    /// Since when the oldest data waits for an acknowledgement, or a probe for an answer.
    pub(super) unacked_since: Instant,
    last_sent: Instant,
    /// End of the last segment below an MSS (Minshall's variant of Nagle, as Linux has it).
    small_until: SeqNumber,
    pub(super) usage: Usage,
    pub(super) pacer: Lazy<Pacer>,
    /// The socket asks for pacing, whatever the algorithm.
    paced: bool,
    /// Where larger segments are tried, if they are.
    pub(super) search: Option<Box<PathSearch>>,
    /// More follows at once: hold partial segments back.
    pub(super) corked: bool,
    /// Something was lost, perhaps because it was longer than a packet and whoever passes it on does not know of that.
    had_loss: bool,
    /// For the stack's counters.
    pub(super) tally: Lazy<Tally>,
}

impl Sender {
    pub(super) fn new(
        params: SendParams,
        buf: Lazy<SendBuffer>,
        rtt: Rtt,
        options: &SocketOptions,
        now: Instant,
    ) -> Self {
        let una = params.iss + 1;
        let mut start = Start::fresh(now, params.mss, rtt.srtt(), u64::from(params.iss.0));
        // RFC 5681 §3.1: after a SYN that was lost, one segment; RFC 6928 §2: after a second one, as in Linux.
        if params.syn_lost {
            start.cwnd = params.mss;
        }
        let mut sender = Self {
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
            board: Lazy::default(),
            rtt,
            cc: congestion::new(options.congestion, &start),
            loss: Lazy::default(),
            recover: params.iss,
            probing: options.loss_probe,
            force_partial: false,
            timer: Timer::Idle,
            rto_at: now,
            retries: 0,
            probes: 0,
            unacked_since: now,
            last_sent: now,
            small_until: una,
            usage: Usage { peak: 0, until: una, limited: false, validated_at: seconds(now) },
            pacer: Lazy::default(),
            paced: options.pacing,
            search: None,
            corked: false,
            had_loss: false,
            tally: Lazy::default(),
        };
        sender.congestion_changed();
        sender
    }

    /// Goes on with another algorithm, from the window that this one left.
    pub(super) fn set_congestion(&mut self, now: Instant, name: Congestion) {
        let start = Start {
            cwnd: self.cc.cwnd(),
            ssthresh: self.cc.ssthresh(),
            ..Start::fresh(now, self.mss, self.rtt.srtt(), u64::from(self.nxt.0))
        };
        self.cc = congestion::new(name, &start);
        self.congestion_changed();
    }

    fn congestion_changed(&mut self) {
        let watches = self.cc.watches_losses();
        if watches || self.board.is_live() {
            self.board.watch_losses = watches;
            self.board.take_losses();
        }
        self.update_pacing();
    }

    /// The rate at which a window of now would be spread, or that the algorithm wants, bytes a second; whether paced or
    /// not (Linux `sk_pacing_rate`). `None` before the first round-trip time.
    pub(super) fn pacing_rate(&self) -> Option<u64> {
        self.cc.pacing_rate().or_else(|| {
            let window = self.cc.cwnd().max(self.board.pipe());
            window_rate(window, self.cc.ssthresh(), self.rtt.srtt())
        })
    }

    /// Whether sending is paced.
    pub(super) fn is_paced(&self) -> bool {
        self.pacer.is_on()
    }

    /// Paces, or leaves that to the algorithm.
    pub(super) fn set_paced(&mut self, paced: bool) {
        self.paced = paced;
        self.update_pacing();
    }

    /// What limits the sender now, if there is something to send or in flight. `wants_write`: the application has more
    /// than the send buffer takes.
    pub(super) fn limit(&self, wants_write: bool) -> Option<Limit> {
        if self.buf.len() == 0 && self.board.is_empty() {
            return None;
        }
        let room = self.in_flight() + self.mss <= self.cwnd();
        let window = self.wnd_end().since(self.nxt);
        Some(match self.unsent() {
            0 if wants_write && room => Limit::SendBuffer,
            unsent
                if unsent > 0
                    && room
                    && (self.nxt.ge(self.wnd_end()) || window < self.mss.min(unsent)) =>
            {
                Limit::PeerWindow
            }
            _ => Limit::Network,
        })
    }

    /// The window or the algorithm's rate may have changed.
    pub(super) fn update_pacing(&mut self) {
        let rate = if self.paced { self.pacing_rate() } else { self.cc.pacing_rate() };
        if rate.is_some() || self.pacer.is_live() {
            self.pacer.set_rate(rate);
        }
    }

    /// Looks whether the application leaves the window unused (draft-ietf-ccwg-bbr §4.1.2.4): asked before it writes, and
    /// before an acknowledgement or a timer is taken in.
    pub(super) fn check_app_limited(&mut self) {
        if self.unsent() < self.mss && self.board.lost() == 0 && self.in_flight() < self.cwnd() {
            let in_flight = self.in_flight();
            self.board.rate.mark_app_limited(in_flight);
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
    pub(super) fn wnd_end(&self) -> SeqNumber {
        self.una + self.wnd
    }

    /// Bytes in flight.
    pub(super) fn in_flight(&self) -> u32 {
        self.board.pipe().saturating_sub(self.loss.reno_sacked)
    }

    /// The window in force: in fast recovery PRR's (RFC 9937), else the algorithm's.
    pub(super) fn cwnd(&self) -> u32 {
        self.loss.prr_cwnd().unwrap_or_else(|| self.cc.cwnd())
    }

    /// The lowest acknowledgement number that is not too old (RFC 5961 §5.2): `SND.UNA - MAX.SND.WND`.
    pub(super) fn oldest_ack(&self) -> SeqNumber {
        self.una - self.max_wnd
    }

    /// The most payload bytes of a segment for a device that cuts segments; `big`: that takes what is longer than a packet.
    /// Such are for where they save the most, peers on this machine and in its neighbourhood, and only as long as nothing
    /// is lost.
    pub(super) fn longest(&mut self, big: bool) -> u32 {
        self.had_loss |= self.board.lost() > 0;
        if !big || self.had_loss || self.rtt.srtt() >= NEAR {
            return MAX_GSO_PAYLOAD;
        }
        let window = self.cwnd().min(self.wnd);
        (window / BIG_PART).clamp(MAX_GSO_PAYLOAD, MAX_BIG_PAYLOAD)
    }

    /// The next segment to send, at most `max` payload bytes (one MSS, or more where the device or the path's end cuts
    /// segments). The caller sends it and calls again until there is none.
    pub(super) fn next(
        &mut self,
        now: Instant,
        fin: Fin,
        nagle: bool,
        (max, reserve): (u32, u32),
    ) -> Option<Outgoing> {
        let mss = self.mss;
        if self.pacer.live().is_some_and(|pacer| !pacer.may_send(now, mss)) {
            return None;
        }
        let max = self.pacer.allowance().map_or(max, |left| left.min(max));
        let max = (max / self.mss).max(1) * self.mss;
        let idle = self.board.is_empty();
        let prior_flight = self.in_flight();
        let mut out = self
            .next_probe(now)
            .or_else(|| self.next_retransmission(now, max))
            .or_else(|| self.next_new(now, fin, nagle, max, reserve));
        match &mut out {
            Some(out) => {
                // A write that ends is pushed (RFC 9293 §3.9.1.2 MUST-61, SHLD-27); so is new data that the device cuts into
                // segments, so that the peer's device need not wait for more (both as in Linux).
                let offset = out.seq.since(self.una) as usize;
                out.push |= (out.len > self.mss && !out.retransmit)
                    || self.buf.write_ends_in(offset, out.len as usize);
                let out = *out;
                // RFC 6298 §5.1: the timer runs while anything is in flight.
                if idle {
                    self.unacked_since = now;
                    self.rto_at = now + self.rtt.rto();
                }
                if let Some(loss) = self.loss.live() {
                    loss.on_sent(now, out);
                } else if out.retransmit {
                    self.loss.on_sent(now, out);
                }
                self.cc.on_send(now, prior_flight, self.board.rate.is_app_limited());
                if let Some(pacer) = self.pacer.live() {
                    pacer.on_sent(now, out.len);
                }
                if out.retransmit
                    && let Some(search) = &mut self.search
                {
                    search.sent_again(out.seq);
                }
                let flight = self.in_flight();
                if self.usage.until.le(self.una) {
                    self.usage =
                        Usage { peak: flight, until: self.nxt, limited: false, ..self.usage };
                } else if flight > self.usage.peak && !self.usage.limited {
                    self.usage.peak = flight;
                    self.usage.until = self.nxt;
                }
                self.arm_timer(now, !out.retransmit);
                self.last_sent = now;
            }
            None => self.arm_persist(now, fin),
        }
        out
    }

    fn next_retransmission(&mut self, now: Instant, max: u32) -> Option<Outgoing> {
        // RFC 5682 §2.1 step 2b: what was never sent goes before what may not be lost.
        if self.board.lost() == 0 || self.loss.frto == Frto::Second {
            return None;
        }
        let quota = self.cwnd().saturating_sub(self.in_flight());
        let room = match (quota / self.mss, self.loss.force_retransmit) {
            (0, false) => return None,
            (0, true) => self.mss,
            (n, _) => (n * self.mss).min(max),
        };
        let sent = self.board.next_lost(room)?;
        // A window that shrank is respected (RFC 9293 §3.8.6 MUST-34, SHLD-16; no use of MAY-7), but for the first byte,
        // which then is the probe (MUST-35).
        if sent.seq != self.una && sent.end().gt(self.wnd_end()) {
            return None;
        }
        if let Some(loss) = self.loss.live() {
            loss.force_retransmit = false;
        }
        self.board.retransmitted(now, sent.seq);
        let len = sent.len - u32::from(sent.fin);
        Some(Outgoing { seq: sent.seq, len, fin: sent.fin, push: false, retransmit: true })
    }

    /// New data, in one segment of `reserve` bytes less than a full one where that is not 0.
    fn next_new(
        &mut self,
        now: Instant,
        fin: Fin,
        nagle: bool,
        max: u32,
        reserve: u32,
    ) -> Option<Outgoing> {
        let mss = self.mss - reserve;
        let max = if reserve > 0 { mss } else { max };
        let unsent = self.unsent();
        let fin_due = fin == Fin::Queued && !self.fin_sent();
        if (unsent == 0 && !fin_due) || self.board.is_full() {
            return None;
        }
        // RFC 5681 §4.1: a window that was not used for an RTO says nothing of the path now.
        if self.board.is_empty() && now.since(self.last_sent) > self.rtt.rto() {
            self.cc.on_idle(now, now.since(self.last_sent), self.mss);
        }
        // RFC 9293 §3.8.6 SHLD-15: beyond the window nothing new, also where that has shrunk below what is out.
        let window = if self.nxt.lt(self.wnd_end()) { self.wnd_end().since(self.nxt) } else { 0 };
        let mut len = unsent.min(window).min(max);
        if len == 0 && !(unsent == 0 && fin_due && window > 0) {
            return None;
        }
        let mut quota = self.cwnd().saturating_sub(self.in_flight());
        if self.loss.live().is_some_and(|loss| std::mem::take(&mut loss.force_new)) {
            // A tail loss probe goes whatever the window says (RFC 8985 §7.3).
            quota = quota.max(mss);
        }
        if reserve == 0
            && let Some(probe) = self.next_path_probe(now, unsent, window, quota)
        {
            return Some(probe);
        }
        if len > quota {
            self.usage =
                Usage { peak: self.in_flight(), until: self.nxt, limited: true, ..self.usage };
            // In whole segments, and one at least when nothing is in flight.
            len = quota / mss * mss;
            if len == 0 && self.board.is_empty() {
                len = unsent.min(window).min(mss);
            }
            if len == 0 {
                return None;
            }
        }
        let last = len == unsent;
        let partial = len % mss;
        if partial != 0 && !self.may_send_partial(len, last, fin_due, nagle) {
            len -= partial;
            if len == 0 {
                return None;
            }
        }
        if last && !fin_due && len < max && self.defers_tail(max) {
            return None;
        }
        // The FIN counts in the window (RFC 9293 §3.4).
        let with_fin = fin_due && len == unsent && len < window;
        let seq = self.nxt;
        let space = len + u32::from(with_fin);
        self.board.sent(now, seq, space, with_fin);
        self.nxt += space;
        if len % mss != 0 {
            self.small_until = self.nxt;
        }
        self.force_partial = false;
        Some(Outgoing { seq, len, fin: with_fin, push: len == unsent, retransmit: false })
    }

    /// Whether what would be less than a whole super-segment of `max` bytes waits for the application to write more, or for
    /// the next acknowledgement: each costs the device the same, so a stream written in pieces that are no multiple of one
    /// would pay for every rest. Only while several are on their way, and where an acknowledgement is less than a
    /// millisecond off (Linux `tcp_tso_should_defer`).
    fn defers_tail(&self, max: u32) -> bool {
        max > self.mss
            && !self.force_partial
            && self.loss.recovery == Recovery::Open
            && self.in_flight() >= DEFER_IN_FLIGHT * max
            && self.rtt.srtt() < NEAR
    }

    /// Whether a segment below an MSS may go (RFC 9293 §3.7.4 Nagle, SHLD-7; §3.8.6.2.1 sender SWS avoidance, MUST-38).
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
            // Nagle, unless it is off (§3.7.4 MUST-17), as Minshall amended it: only an unacknowledged *small* segment holds
            // the next small one back.
            return !nagle || self.small_until.le(self.una);
        }
        // The window cuts it: worth it alone, and when it is half of what the peer ever offered.
        len < self.mss && len >= self.max_wnd.div_ceil(2)
    }

    /// Probes a window that lets nothing through while nothing is in flight (RFC 9293 §3.8.6.1 MUST-36), first after an RTO
    /// (SHLD-29).
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

    /// The path takes smaller segments from now on (RFC 1191, RFC 8201): what is in flight is sent again in pieces.
    pub(super) fn shrink_mss(&mut self, mss: u32) {
        if mss < self.mss {
            self.mss = mss;
            self.board.mark_all_lost();
            self.loss.force_retransmit = true;
        }
    }
}
