//! Segments out, and timers: what a connection sends when it is polled, and what the passing of time does to it.

use usernet_wire::SeqNumber;
use usernet_wire::tcp::{Flags, MAX_OPTIONS_LEN, Options, Repr, Timestamps};

use super::connection::{Connection, Ctx};
use super::ecn::NOT_ECT;
use super::info::CaState;
use super::send::{Outgoing, TimerOutcome};
use super::state::{Established, PeerSyn, Rcv, Snd, State, SynReceived};
use crate::config::SocketOptions;
use crate::error::ConnectionError;
use crate::event::Trace;
use crate::frame::{NO_PAYLOAD, PAYLOAD_PIECES};
use crate::time::Instant;

/// A segment to transmit.
#[derive(Debug)]
pub(crate) struct Built {
    /// Its header.
    pub(crate) header: Repr,
    /// Payload: offset and length in the send queue.
    pub(crate) payload: (usize, usize),
    /// Payload bytes per wire segment.
    pub(crate) mss: u16,
    /// The ECN bits of its packet.
    pub(crate) ecn: u8,
}

impl Connection {
    /// The next segment to transmit, if any.
    pub(crate) fn poll(&mut self, ctx: &mut Ctx<'_>) -> Option<Built> {
        match &self.state {
            State::Closed => None,
            State::SynSent(_) | State::SynReceived(_) => {
                self.poll_handshake(ctx).or_else(|| self.poll_synchronized(ctx))
            }
            _ => {
                let built = self.poll_synchronized(ctx);
                if built.is_none() {
                    self.note_limits(ctx);
                }
                built
            }
        }
    }

    /// Whether the poll after one that gave a segment would give nothing, so that it need not be made: everything went, and
    /// nothing else waits. What that poll would note is noted. False too where it takes more than a glance to say.
    pub(crate) fn is_spent(&mut self, ctx: &mut Ctx<'_>) -> bool {
        let State::Established(Established { snd, rcv }) = &self.state else { return false };
        let spent = snd.unsent() == 0
            && snd.board.lost() == 0
            && !snd.loss.is_live()
            && !rcv.acks.ack_due(ctx.now)
            && !self.probe_due
            && !self.user_timeout.is_due();
        if spent {
            self.note_limits(ctx);
        }
        spent
    }

    /// The payload of a built segment.
    pub(crate) fn payload(&self, (offset, len): (usize, usize)) -> [&[u8]; PAYLOAD_PIECES] {
        let queue = self.state.sender().map(|snd| &snd.buf);
        let queue = queue.or_else(|| self.state.handshake().map(|hs| &hs.buf));
        queue.map_or(NO_PAYLOAD, |buf| buf.slices(offset, len))
    }

    fn header(&self, seq: SeqNumber, flags: Flags) -> Repr {
        Repr {
            src_port: self.tuple.local_port,
            dst_port: self.tuple.remote_port,
            seq,
            flags,
            ..Repr::default()
        }
    }

    fn count_out(&mut self, ctx: &mut Ctx<'_>, segments: u64) {
        self.counters.segs_out += segments;
        ctx.stats.tcp_out_segs += segments;
    }

    /// Our SYN, or the SYN-ACK that answers a peer's: what is offered, and in a SYN-ACK what the peer offered too. The MSS
    /// is on both, always, and on nothing else (RFC 9293 §3.7.1 MUST-14, SHLD-5, MAY-3, §3.2 MUST-65).
    pub(super) fn syn_header(&self, iss: SeqNumber, peer: Option<PeerSyn>, ts_val: u32) -> Repr {
        let SocketOptions { timestamps, sack, window_scaling, .. } = *self.options;
        let mut header = self.header(iss, Flags::SYN);
        header.window = self.syn_window();
        header.options = Options {
            mss: Some(self.announced_mss()),
            window_scale: (window_scaling && peer.is_none_or(|p| p.wscale.is_some()))
                .then_some(self.wscale),
            sack_permitted: sack && peer.is_none_or(|p| p.sack),
            timestamps: match peer {
                None => timestamps.then_some(Timestamps { val: ts_val, ecr: 0 }),
                Some(p) => p.ts.filter(|_| timestamps).map(|ecr| Timestamps { val: ts_val, ecr }),
            },
            ..Options::default()
        };
        if let Some(p) = peer {
            header.flags |= Flags::ACK;
            header.ack = p.irs + 1;
        }
        header
    }

    fn poll_handshake(&mut self, ctx: &mut Ctx<'_>) -> Option<Built> {
        let ts_now = self.ts_now(ctx.now);
        let window = self.syn_window();
        let free = self.free(ctx);
        let bare = self.header(SeqNumber(0), Flags::ACK);
        let timestamps = self.options.timestamps;
        let peer = match &mut self.state {
            State::SynReceived(SynReceived { peer, ack_due, hs, .. }) => {
                if std::mem::take(ack_due) && !hs.due {
                    // A bare acknowledgement: the peer sent something unacceptable.
                    let mut header = bare;
                    header.seq = hs.iss + 1;
                    header.ack = peer.irs + 1;
                    header.window = window >> if peer.wscale.is_some() { self.wscale } else { 0 };
                    if let Some(ecr) = peer.ts.filter(|_| timestamps) {
                        header.options.timestamps = Some(Timestamps { val: ts_now, ecr });
                    }
                    self.count_out(ctx, 1);
                    return Some(Built { header, payload: (0, 0), mss: 0, ecn: NOT_ECT });
                }
                Some(*peer)
            }
            _ => None,
        };
        let hs = self.state.handshake_mut()?;
        if !std::mem::take(&mut hs.due) {
            return None;
        }
        if hs.sent == 0 {
            hs.first_sent = ctx.now;
            hs.timer = ctx.now + hs.rtt.rto();
        }
        hs.sent = hs.sent.saturating_add(1);
        let (iss, again) = (hs.iss, hs.sent > 1);
        let times = hs.sent;
        let mut header = self.syn_header(iss, peer, ts_now);
        self.mark_syn(&mut header, times);
        let mut data = 0;
        if peer.is_none() {
            if !again {
                (header.options.fast_open, data) = self.fast_syn(ctx);
            }
        } else {
            if let Some((ack, window)) = self.fast_syn_ack(free) {
                (header.ack, header.window) = (ack, window);
            }
            if let Some((cookie, experimental)) = self.cookie.as_deref() {
                header.options.fast_open = Some(cookie.clone());
                header.options.fast_open_experimental = *experimental;
            }
        }
        header.options.user_timeout = self.user_timeout_on_syn(&header.options);
        if again {
            self.counters.data.retrans += 1;
            ctx.stats.tcp_retrans_segs += 1;
            ctx.stats.tcp_syn_retrans += 1;
            self.trace(ctx, Trace::Retransmit { seq: 0, len: 0, timeout: true });
        }
        self.count_out(ctx, 1);
        Some(Built { header, payload: (0, usize::from(data)), mss: data, ecn: NOT_ECT })
    }

    fn poll_synchronized(&mut self, ctx: &mut Ctx<'_>) -> Option<Built> {
        let free = self.free(ctx);
        let buffer = self.recv_buffer(ctx.memory.receive);
        let nagle = self.options.nagle;
        let reserve = self.acc_ecn_reserve(ctx.now);
        let tso = self.path.tso && !self.cwr_is_next() && !self.is_urgent();
        let (mut snd, mut rcv) = self.state.sides()?;
        let mut sent = None;
        if let Snd::Active(snd, fin) = &mut snd {
            let max = if tso { snd.longest(self.path.big) } else { snd.mss };
            if let Some(out) = snd.next(ctx.now, *fin, nagle, (max, reserve)) {
                let mss = if snd.is_path_probe(out) { out.len } else { snd.mss };
                sent = Some((out, out.seq.since(snd.una) as usize, mss));
            }
        }
        let (seq, fin_sent) = match (&snd, &sent) {
            (_, Some((out, ..))) => (out.seq, out.fin),
            (Snd::Active(snd, _), None) => (snd.nxt, false),
            (Snd::Done(nxt), None) => (*nxt, false),
        };
        let probe = sent.is_none() && self.probe_due;
        let told = sent.is_none() && self.user_timeout.is_due();
        if sent.is_none() && !probe && !told && !rcv.acks().ack_due(ctx.now) {
            return None;
        }
        self.probe_due = false;
        let una = match &snd {
            Snd::Active(snd, _) => snd.una,
            Snd::Done(nxt) => *nxt,
        };
        let (window, sack) = match &mut rcv {
            Rcv::Open(rcv) => {
                if sent.is_some_and(|(out, ..)| out.len > 0 && !out.retransmit) {
                    rcv.on_answer(ctx.now, self.options.delayed_ack);
                }
                // SACK blocks ride on pure acknowledgements: four fit, three beside timestamps (RFC 2018 §3).
                let max = match sent {
                    Some(_) => 0,
                    None if rcv.acks.timestamps() => 3,
                    None => 4,
                };
                match rcv.duplicate_due().filter(|_| max > 0) {
                    Some(true) => ctx.stats.tcp_dsack_old_sent += 1,
                    Some(false) => ctx.stats.tcp_dsack_ofo_sent += 1,
                    None => {}
                }
                let blocks = if max == 0 { None } else { Some(rcv.sack_blocks(max)) };
                (rcv.advertise(free, buffer), blocks)
            }
            // Nothing can come any more; what is shown is the room there is, as in Linux and FreeBSD.
            Rcv::Closed(acks) => {
                let room = free.min(0xffff << acks.wscale) as u32;
                (acks.advertise(acks.nxt + room), None)
            }
        };
        let ack = rcv.acks().nxt;
        let ts_recent = rcv.acks().ts_recent();

        // A probe lies just before what the peer expects, so that it must answer (RFC 9293 §3.8.4, §3.8.6.1).
        let mut header = self.header(if probe { una - 1 } else { seq }, Flags::ACK);
        header.ack = ack;
        header.window = window;
        if let Some(ecr) = ts_recent {
            header.options.timestamps = Some(Timestamps { val: self.ts_now(ctx.now), ecr });
        }
        if let Some(blocks) = sack {
            header.options.sack = blocks;
        }
        header.flags.set(Flags::FIN, fin_sent);
        self.point_to_urgent(&mut header);
        let ecn = self.mark_segment(&mut header, sent.as_ref().map(|(out, ..)| out));
        let Some((out, offset, mss)) = sent else {
            header.options.user_timeout = self.tell_user_timeout();
            self.add_acc_ecn(ctx.now, &mut header.options, MAX_OPTIONS_LEN);
            self.count_out(ctx, 1);
            return Some(Built { header, payload: (0, 0), mss: 0, ecn });
        };
        // RFC 9768 §3.2.3.3: with data too, where it was left room or there happens to be some.
        let room = mss.saturating_sub(out.len) as usize;
        self.add_acc_ecn(ctx.now, &mut header.options, room);
        header.flags.set(Flags::PSH, out.push && out.len > 0);
        self.count_data(ctx, out, mss);
        Some(Built { header, payload: (offset, out.len as usize), mss: mss as u16, ecn })
    }

    fn count_data(&mut self, ctx: &mut Ctx<'_>, out: Outgoing, mss: u32) {
        let segments = u64::from(out.len.div_ceil(mss).max(1));
        self.count_out(ctx, segments);
        if out.len > 0 {
            self.counters.data.bytes_sent += u64::from(out.len);
            self.counters.data.data_segs_out += segments;
            self.counters.last_data_sent = ctx.now;
        }
        if out.retransmit {
            self.counters.data.retrans += segments;
            self.counters.data.bytes_retrans += u64::from(out.len);
            ctx.stats.tcp_retrans_segs += segments;
            let state = self.state.sender().map(|snd| snd.ca_state());
            match state {
                Some(CaState::Recovery) => ctx.stats.tcp_fast_retrans += segments,
                Some(CaState::Loss) => ctx.stats.tcp_slow_start_retrans += segments,
                _ => {}
            }
            let timeout = self.state.sender().is_some_and(|snd| snd.retries > 0);
            let seq = out.seq.since(self.iss);
            self.trace(ctx, Trace::Retransmit { seq, len: out.len, timeout });
        }
    }

    /// Runs the timers that are due.
    pub(crate) fn on_timer(&mut self, ctx: &mut Ctx<'_>) {
        self.run_keep_alive(ctx);
        if let Some((_, mut rcv)) = self.state.sides() {
            ctx.stats.delayed_acks += u64::from(rcv.acks().on_timer(ctx.now));
        }
        match &mut self.state {
            State::Closed => {}
            State::SynSent(_) | State::SynReceived(_) => self.on_handshake_timer(ctx),
            State::TimeWait(s) => {
                if s.until <= ctx.now {
                    self.transition(ctx, |_| State::Closed);
                }
            }
            State::FinWait2(s) => {
                if s.until.is_some_and(|at| at <= ctx.now) {
                    self.transition(ctx, |_| State::Closed);
                }
            }
            state => {
                let Some(snd) = state.sender_mut() else { return };
                let backoff = snd.rtt.backoff;
                let mut reduced = false;
                let outcome = snd.on_timer(ctx.now, &self.options);
                if let Some(tally) = snd.tally.reset() {
                    tally.settle(ctx.stats);
                }
                match outcome {
                    TimerOutcome::Nothing => {}
                    TimerOutcome::Timeout => {
                        reduced = true;
                        let (count, rto) = (snd.sent_in_vain(), snd.rtt.rto());
                        let what = Trace::Timeout { backoff: backoff + 1, rto };
                        self.counters.data.timeouts += 1;
                        ctx.stats.tcp_timeouts += 1;
                        self.trace(ctx, what);
                        self.check_black_hole(ctx);
                        self.sent_in_vain(ctx, count, rto);
                    }
                    TimerOutcome::LossProbe => ctx.stats.tcp_loss_probes += 1,
                    TimerOutcome::Recovery => {
                        reduced = true;
                        let what = Trace::Recovery {
                            began: true,
                            cwnd: snd.cwnd(),
                            ssthresh: snd.cc.ssthresh(),
                        };
                        self.trace(ctx, what);
                    }
                    TimerOutcome::Probe => {
                        ctx.stats.tcp_win_probe += 1;
                        self.probe_due = true;
                    }
                    TimerOutcome::GiveUp => self.give_up(ctx),
                }
                if reduced {
                    self.window_reduced();
                }
            }
        }
    }

    /// Nobody answers (RFC 9293 §3.8.3, §3.8.4): for the reason that the network gave, if it gave one (as in Linux and
    /// FreeBSD).
    pub(super) fn give_up(&mut self, ctx: &mut Ctx<'_>) {
        ctx.stats.tcp_abort_on_timeout += 1;
        self.fail(ctx, self.soft_error().unwrap_or(ConnectionError::TimedOut));
    }

    /// When keep-alive wants to run: only while nothing is in flight, which has its own timer (RFC 9293 §3.8.4 MUST-26).
    pub(super) fn keep_alive_deadline(&self) -> Option<Instant> {
        let keep_alive = self.options.keep_alive?;
        let idle = match &self.state {
            State::Established(_) | State::CloseWait(_) | State::FinWait2(_) => {
                self.state.sender().is_none_or(|snd| snd.board.is_empty() && snd.unsent() == 0)
            }
            _ => false,
        };
        let (probes, last) = (self.keep_alive_probes, self.keep_alive_sent);
        idle.then(|| match probes {
            0 => self.last_heard + keep_alive.idle,
            _ => last + keep_alive.interval,
        })
    }

    /// RFC 9293 §3.8.4: no single probe decides (MUST-29), and none carries data (SHLD-12).
    fn run_keep_alive(&mut self, ctx: &mut Ctx<'_>) {
        let Some(at) = self.keep_alive_deadline() else { return };
        let Some(keep_alive) = self.options.keep_alive else { return };
        if at > ctx.now {
            return;
        }
        let given_up = match self.options.user_timeout {
            // RFC 5482 §4: the user timeout takes the place of the count.
            Some(limit) => self.keep_alive_probes > 0 && ctx.now >= self.last_heard + limit,
            None => self.keep_alive_probes >= keep_alive.count,
        };
        if given_up {
            self.give_up(ctx);
            return;
        }
        ctx.stats.tcp_keep_alive += 1;
        self.keep_alive_probes = self.keep_alive_probes.saturating_add(1);
        self.keep_alive_sent = ctx.now;
        self.probe_due = true;
    }
}
