//! Segments in the synchronised states (RFC 9293 §3.10.7.4, with RFC 5961 and RFC 7323 in their places).

use usernet_wire::SeqNumber;
use usernet_wire::tcp::Flags;

use super::ack_timeout::Pace;
use super::connection::{Connection, Ctx, Owner, Segment, Verdict};
use super::recv::Acceptable;
use super::rtt::Rtt;
use super::send::Ack;
use super::state::{Closed, Rcv, Snd, State};
use super::tally::Happened;
use crate::error::ConnectionError;
use crate::event::{Ready, Trace};
use crate::time::{Duration, Instant};

impl Connection {
    /// Takes a segment.
    pub(crate) fn on_segment(&mut self, ctx: &mut Ctx<'_>, seg: Segment) -> Verdict {
        let segments = match seg.gso_size {
            0 => 1,
            size => (seg.payload.len() as u64).div_ceil(u64::from(size)).max(1),
        };
        self.counters.segs_in += segments;
        if !seg.payload.is_empty() {
            self.counters.data.data_segs_in += segments;
        }
        match &self.state {
            State::Closed => {
                if seg.has(Flags::RST) {
                    Verdict::Done
                } else {
                    Verdict::Reset
                }
            }
            State::SynSent(_) => self.on_segment_syn_sent(ctx, seg),
            State::SynReceived(_) => self.on_segment_syn_received(ctx, seg),
            State::TimeWait(_) => self.on_segment_time_wait(ctx, &seg),
            _ => self.on_segment_synchronized(ctx, seg),
        }
    }

    /// Most bytes of payload that segments may have together which begin with this one and are taken in one pass, when nobody
    /// can tell that from one pass for each: they bring data in order, and an acknowledgement that is fit to be taken.
    pub(crate) fn coalescing_room(
        &self,
        now: Instant,
        flags: Flags,
        seq: SeqNumber,
        ack: SeqNumber,
        tsval: Option<u32>,
    ) -> Option<u32> {
        let (State::Established(_) | State::FinWait1(_) | State::FinWait2(_)) = &self.state else {
            return None;
        };
        let nxt = self.state.snd_nxt();
        let una = self.state.sender().map_or(nxt, |snd| snd.una);
        if self.owner == Owner::Orphan || !self.says_it_once(flags) || ack.lt(una) || ack.gt(nxt) {
            return None;
        }
        self.state.receiver()?.in_order_room(now, seq, tsval)
    }

    /// The states from ESTABLISHED to LAST-ACK.
    pub(super) fn on_segment_synchronized(&mut self, ctx: &mut Ctx<'_>, seg: Segment) -> Verdict {
        let ts_now = self.ts_now(ctx.now);
        let orphan = self.owner == Owner::Orphan;
        let limit = self.recv_buffer(ctx.memory.receive);
        let must_drop = self.must_drop(ctx, seg.payload.len());
        let Some((snd, mut rcv)) = self.state.sides() else { return Verdict::Done };
        let header = &seg.header;
        let stamps = header.options.timestamps;

        // First, the sequence number; before it, protection against wrapped ones (RFC 7323 §5.3 R1).
        let rst = seg.has(Flags::RST);
        if !rst && rcv.acks().too_old(ctx.now, stamps) {
            ctx.stats.paws_estab += 1;
            rcv.acks().answer(ctx.now, seg.len() == 0);
            return Verdict::Done;
        }
        let acceptable = rcv.acks().acceptable(header.seq, seg.len());
        if acceptable == Acceptable::No {
            if !rst {
                // RFC 9293 §3.10.7.4: answered with an acknowledgement, unless it is a RST.
                if let Rcv::Open(rcv) = &mut rcv {
                    rcv.note_duplicate(header.seq, seg.payload.len() as u32);
                }
                rcv.acks().answer(ctx.now, seg.len() == 0);
            }
            return Verdict::Done;
        }
        // Second, the RST, whatever it carries (RFC 9293 §3.5.3 SHLD-2). RFC 5961 §3.2: believed at exactly RCV.NXT; elsewhere
        // in the window the peer is challenged.
        if rst {
            if header.seq != rcv.acks().nxt {
                rcv.acks().answer(ctx.now, seg.len() == 0);
                ctx.stats.challenge_acks += 1;
                return Verdict::Done;
            }
            self.on_reset(ctx);
            return Verdict::Done;
        }
        // Fourth, the SYN (RFC 5961 §4.2): challenged, whatever its sequence number.
        if seg.has(Flags::SYN) {
            rcv.acks().answer(ctx.now, seg.len() == 0);
            ctx.stats.challenge_acks += 1;
            return Verdict::Done;
        }
        // Fifth, the ACK.
        if !seg.has(Flags::ACK) {
            return Verdict::Done;
        }
        let (una, nxt, oldest) = match &snd {
            Snd::Active(snd, _) => (snd.una, snd.nxt, snd.oldest_ack()),
            Snd::Done(nxt) => (*nxt, *nxt, *nxt - 0x3fff_ffff),
        };
        // RFC 9293 §3.10.7.4 MAY-12, RFC 5961 §5.2: what was never sent, or is older than the largest window, is challenged.
        if header.ack.gt(nxt) || header.ack.lt(oldest) {
            rcv.acks().answer(ctx.now, seg.len() == 0);
            ctx.stats.challenge_acks += 1;
            return Verdict::Done;
        }
        self.last_heard = ctx.now;
        self.counters.last_ack_recv = ctx.now;
        if !seg.payload.is_empty() {
            self.counters.last_data_recv = ctx.now;
        }
        if let Some(raw) = seg.header.options.user_timeout {
            self.take_user_timeout(raw);
        }
        // Sixth, the URG bit, taken at a closed window too (RFC 9293 §3.10.7.4, §3.4 MUST-66).
        if seg.has(Flags::URG) {
            self.take_urgent(ctx, &seg);
        }
        self.keep_alive_probes = 0;
        // What the network marked, on this packet and on ours (RFC 3168 §6.1, RFC 9768 §3.2.2).
        let flags = header.flags;
        let hasten = self.on_mark(&seg);
        let mut marks = 0;
        if seg.header.ack.ge(una) {
            let packets = seg.header.ack.since(una).div_ceil(u32::from(self.send_mss()));
            let option = seg.header.options.acc_ecn.as_ref();
            marks = self.told_of_marks(flags, packets, option, u32::from(self.send_mss()));
            ctx.stats.tcp_delivered_ce += u64::from(marks);
        }
        let pace = self.ack_pace();
        let Some((snd, mut rcv)) = self.state.sides() else { return Verdict::Done };
        let header = &seg.header;
        if let Some(stamps) = stamps {
            rcv.acks().take_timestamp(ctx.now, header.seq, stamps);
        }
        let mut closed = Closed::default();
        let mut acked = 0;
        let mut recovery = None;
        let mut reduced = false;
        if let Snd::Active(snd, _) = snd
            && header.ack.ge(una)
        {
            // The echo names the transmission that is answered (RFC 7323 §4.1); our clock ticks milliseconds.
            let timestamp_rtt = stamps
                .filter(|s| rcv.acks().timestamps() && s.ecr != 0)
                .map(|s| ts_now.wrapping_sub(s.ecr))
                .filter(|ms| *ms < 1 << 24)
                .map(|ms| Duration::from_millis(u64::from(ms)));
            let result = snd.on_ack(
                ctx.now,
                &Ack {
                    seq: header.seq,
                    ack: header.ack,
                    window: u32::from(header.window) << snd.wscale,
                    pure: seg.payload.is_empty() && !seg.has(Flags::FIN),
                    timestamp_rtt,
                    sack: &header.options.sack,
                    marked: marks > 0,
                },
            );
            closed.fin_acked = result.fin_acked;
            reduced = result.reduced || result.recovery == Some(true);
            ctx.stats.tcp_ecn_reductions += u64::from(result.reduced);
            acked = result.acked;
            if acked > 0 || result.duplicate {
                self.counters.data.bytes_acked += u64::from(acked);
                self.counters.data.dup_acks += u64::from(result.duplicate);
            }
            if snd.tally.happened.contains(Happened::DSACK) {
                self.counters.data.dsack_dups += 1;
            }
            if let Some(tally) = snd.tally.reset() {
                tally.settle(ctx.stats);
            }
            recovery = result.recovery.map(|began| Trace::Recovery {
                began,
                cwnd: snd.cwnd(),
                ssthresh: snd.cc.ssthresh(),
            });
        }

        // Seventh, the text; eighth, the FIN.
        let size =
            if seg.gso_size == 0 { seg.payload.len() as u32 } else { u32::from(seg.gso_size) };
        let fin = seg.has(Flags::FIN);
        let mut in_order = false;
        match rcv {
            Rcv::Open(rcv) if must_drop => {
                ctx.stats.tcp_rcvq_drop += 1;
                rcv.acks.ack_now();
            }
            Rcv::Open(rcv) if acceptable == Acceptable::Yes => {
                let ahead = (header.seq + seg.payload.len() as u32).gt(rcv.acks.nxt);
                if orphan && !seg.payload.is_empty() && ahead {
                    // Nobody will read it (RFC 9293 §3.6.1 SHLD-3, RFC 2525 §2.17).
                    ctx.stats.tcp_abort_on_data += 1;
                    self.transition(ctx, |_| State::Closed);
                    return Verdict::Reset;
                }
                let ahead_of_gap = header.seq.gt(rcv.acks.nxt) && !seg.payload.is_empty();
                ctx.stats.tcp_ofo_queue += u64::from(ahead_of_gap);
                if ahead_of_gap {
                    self.counters.data.rcv_ooopack += 1;
                }
                let received = rcv.on_data(
                    ctx.now,
                    header.seq,
                    seg.payload,
                    fin,
                    size,
                    |piece| self.rx.push(piece, ctx.blocks),
                    pace,
                    limit,
                );
                closed.fin_received = received.fin;
                if received.readable > 0 {
                    in_order = true;
                    self.counters.data.bytes_received += received.readable as u64;
                    self.ready |= Ready::READABLE;
                }
            }
            Rcv::Open(rcv) => rcv.acks.ack_now(),
            // The FIN lies before RCV.NXT, so a segment with data or a FIN is not acceptable, or lies behind a FIN.
            Rcv::Closed(acks) => {
                if !seg.payload.is_empty() || fin {
                    acks.ack_now();
                }
            }
        }
        if in_order {
            self.time_receiver(ctx.now, size, stamps);
        }
        if self.read_shut && self.rx.len() > 0 {
            self.rx.clear();
        }
        if reduced {
            self.window_reduced();
        }
        if hasten {
            self.acknowledge();
        }
        if acked > 0 {
            self.deliveries_succeed();
            self.settle_path_probe(ctx);
            self.check_writable(ctx);
        }
        if let Some(trace) = recovery {
            self.trace(ctx, trace);
        }
        if closed.fin_acked || closed.fin_received {
            let time_wait = ctx.now + ctx.time_wait;
            self.transition(ctx, |state| state.after_segment(closed, time_wait));
            if let State::FinWait2(s) = &mut self.state
                && orphan
            {
                s.until = Some(ctx.now + self.options.fin_timeout);
            }
        } else if acked > 0 && self.is_flushed() {
            self.set_flushed();
        }
        Verdict::Done
    }

    /// What acknowledgements of ours depend on.
    pub(super) fn ack_pace(&self) -> Pace {
        let rtt = self.state.sender().map(|snd| &snd.rtt);
        Pace {
            delay: self.options.delayed_ack,
            srtt: rtt.map_or(Duration::ZERO, |rtt| rtt.srtt()),
            rto: rtt.map_or(self.options.rto_max, Rtt::rto),
        }
    }

    /// A RST that is believed (RFC 9293 §3.10.7.4): the application hears that it was no end (§3.6 MUST-12).
    fn on_reset(&mut self, ctx: &mut Ctx<'_>) {
        match self.state {
            // Both directions are done: there is nothing to report.
            State::Closing(_) | State::LastAck(_) => self.transition(ctx, |_| State::Closed),
            _ => self.fail(ctx, ConnectionError::Reset),
        }
    }

    /// TIME-WAIT (RFC 9293 §3.10.7.4, RFC 1337, RFC 6191).
    fn on_segment_time_wait(&mut self, ctx: &mut Ctx<'_>, seg: &Segment) -> Verdict {
        let until = ctx.now + ctx.time_wait;
        let State::TimeWait(s) = &mut self.state else { return Verdict::Done };
        // RFC 1337 §3 fix F1: a RST does not end TIME-WAIT early.
        if seg.has(Flags::RST) {
            return Verdict::Done;
        }
        let stamps = seg.header.options.timestamps;
        // RFC 6191 §2 (RFC 9293 §3.6.1 SHLD-4, MAY-2): a SYN that cannot be an old one opens the connection anew. A
        // timestamp decides; where both are the same, or one end has none, the sequence number does.
        if seg.has(Flags::SYN) && !seg.has(Flags::ACK) {
            let newer = match (s.acks.ts_recent(), stamps) {
                (Some(recent), Some(stamps)) if stamps.val != recent => {
                    (stamps.val.wrapping_sub(recent) as i32) > 0
                }
                _ => seg.header.seq.gt(s.acks.nxt),
            };
            if newer {
                return Verdict::Reopen;
            }
        }
        // A retransmitted FIN restarts the 2 MSL (RFC 9293 §3.6.1 MUST-13).
        if seg.has(Flags::FIN) && seg.header.seq + (seg.len() - 1) == s.acks.nxt - 1 {
            s.until = until;
        }
        if seg.len() > 0 || s.acks.acceptable(seg.header.seq, 0) == Acceptable::No {
            s.acks.ack_now();
        }
        Verdict::Done
    }
}
