//! Segments in SYN-SENT and SYN-RECEIVED (RFC 9293 §3.10.7.3, §3.10.7.4), and the step to ESTABLISHED.

use usernet_wire::SeqNumber;
use usernet_wire::tcp::Flags;

use super::connection::{Connection, Ctx, Owner, Segment, Verdict};
use super::recv::{Receiver, RecvParams};
use super::send::{Fin, SendParams, Sender};
use super::state::{Established, Handshake, PeerSyn, State, SynReceived, SynSent, peer_syn};
use crate::error::ConnectionError;
use crate::time::Duration;

impl Connection {
    /// RFC 9293 §3.10.7.3.
    pub(super) fn on_segment_syn_sent(&mut self, ctx: &mut Ctx<'_>, seg: Segment) -> Verdict {
        if !matches!(self.state, State::SynSent(_)) {
            return Verdict::Done;
        }
        // First, the ACK: only our SYN can be acknowledged, and data that went with it (RFC 7413 §4.2.1).
        let acks_syn = seg.has(Flags::ACK);
        let acked = self.syn_data_acked(seg.header.ack);
        if acks_syn && acked.is_none() {
            return if seg.has(Flags::RST) { Verdict::Done } else { Verdict::Reset };
        }
        // Second, the RST: believed only with an acknowledgement of our SYN.
        if seg.has(Flags::RST) {
            if acks_syn {
                self.fail(ctx, ConnectionError::Refused);
            }
            return Verdict::Done;
        }
        // Fourth, the SYN.
        if !seg.has(Flags::SYN) {
            return Verdict::Done;
        }
        let peer = peer_syn(&seg, self.is_v6());
        self.peer = Some(peer);
        if let Some(raw) = seg.header.options.user_timeout {
            self.take_user_timeout(raw);
        }
        if acks_syn {
            self.time_handshake(ctx);
            let wl = (seg.header.seq, seg.header.ack);
            self.learn_fast_open(ctx, &seg, acked.unwrap_or(0));
            self.agree_on_ecn(&seg);
            self.establish(ctx, peer, u32::from(seg.header.window), wl);
            if let Some((_, mut rcv)) = self.state.sides() {
                rcv.acks().ack_now();
            }
            return self.after_syn(ctx, seg);
        }
        // Simultaneous open (RFC 9293 §3.5 MUST-10, figure 8): our SYN goes again, with an acknowledgement of theirs.
        let window = self.syn_window();
        self.transition(ctx, |state| match state {
            State::SynSent(SynSent { mut hs, .. }) => {
                hs.due = true;
                let (ack_due, passive, fast) = (false, false, None);
                State::SynReceived(SynReceived { hs, peer, window, ack_due, passive, fast })
            }
            same => same,
        });
        Verdict::Done
    }

    /// RFC 9293 §3.10.7.4 for SYN-RECEIVED.
    pub(super) fn on_segment_syn_received(&mut self, ctx: &mut Ctx<'_>, seg: Segment) -> Verdict {
        if self.is_fast_open() {
            return self.on_segment_fast_open(ctx, seg);
        }
        let acks_syn = self.syn_data_acked(seg.header.ack).is_some();
        let State::SynReceived(state) = &mut self.state else { return Verdict::Done };
        let (passive, peer) = (state.passive, state.peer);
        let rcv_nxt = peer.irs + 1;
        let header = &seg.header;

        // A SYN like the first: our SYN-ACK was lost (RFC 9293 §3.10.7.4: "duplicate SYN"). In a simultaneous open it
        // comes with an ACK, which is taken below.
        if seg.has(Flags::SYN) && header.seq == peer.irs && !seg.has(Flags::RST) {
            if !seg.has(Flags::ACK) {
                state.hs.due = true;
                return Verdict::Done;
            }
            if passive || !acks_syn {
                return Verdict::Reset;
            }
            self.time_handshake(ctx);
            self.establish(ctx, peer, u32::from(header.window), (header.seq, header.ack));
            if let Some((_, mut rcv)) = self.state.sides() {
                rcv.acks().ack_now();
            }
            return self.after_syn(ctx, seg);
        }

        // First, the sequence number.
        let in_window = header.seq.within(rcv_nxt, u32::from(state.window));
        let acceptable = if seg.len() == 0 || state.window == 0 {
            header.seq == rcv_nxt || in_window
        } else {
            in_window || (header.seq + (seg.len() - 1)).within(rcv_nxt, u32::from(state.window))
        };
        if !acceptable {
            state.ack_due |= !seg.has(Flags::RST);
            return Verdict::Done;
        }
        // Second, the RST: from LISTEN it returns there, otherwise the open was refused (RFC 9293 §3.5 MUST-11). RFC 5961
        // §3.2: only at exactly RCV.NXT; elsewhere in the window it is answered with an acknowledgement.
        if seg.has(Flags::RST) {
            if header.seq != rcv_nxt {
                state.ack_due = true;
            } else if passive {
                self.owner = Owner::Orphan;
                self.transition(ctx, |_| State::Closed);
            } else {
                self.fail(ctx, ConnectionError::Refused);
            }
            return Verdict::Done;
        }
        // Fourth, a SYN in the window (RFC 5961 §4.2).
        if seg.has(Flags::SYN) {
            state.ack_due = true;
            return Verdict::Done;
        }
        // Fifth, the ACK.
        if !seg.has(Flags::ACK) {
            return Verdict::Done;
        }
        if !acks_syn {
            return Verdict::Reset;
        }
        self.end_ecn_handshake(header.flags, header.options.acc_ecn.as_ref());
        // RFC 7323 §3.2: once agreed, a segment without timestamps is dropped by some; Linux takes it, so do we.
        self.time_handshake(ctx);
        let window = u32::from(header.window) << self.peer_wscale(peer);
        self.establish(ctx, peer, window, (header.seq, header.ack));
        self.on_segment_synchronized(ctx, seg)
    }

    /// RTT by the handshake, unless a SYN of ours was sent twice (Karn).
    pub(super) fn time_handshake(&mut self, ctx: &Ctx<'_>) {
        if let Some(hs) = self.state.handshake_mut() {
            match hs.sent {
                // A SYN cookie: nobody knows when it was sent.
                0 => {}
                1 => hs.rtt.sample(ctx.now.since(hs.first_sent)),
                _ => hs.rtt.syn_was_lost(),
            }
            hs.rtt.backoff = 0;
        }
    }

    fn peer_wscale(&self, peer: PeerSyn) -> u8 {
        if self.options.window_scaling { peer.wscale.unwrap_or(0) } else { 0 }
    }

    /// Both SYNs are acknowledged.
    fn establish(
        &mut self,
        ctx: &mut Ctx<'_>,
        peer: PeerSyn,
        window: u32,
        wl: (SeqNumber, SeqNumber),
    ) {
        self.deliveries_succeed();
        let Some(hs) = self.state.handshake() else { return };
        let acked = wl.1.since(hs.iss + 1).min(u32::from(hs.syn_data));
        let (params, recv) = self.settle_options(peer, hs.iss, window, wl);
        let options = std::sync::Arc::clone(&self.options);
        let now = ctx.now;
        self.transition(ctx, |state| match state {
            State::SynSent(SynSent { hs, .. }) | State::SynReceived(SynReceived { hs, .. }) => {
                let Handshake { buf, rtt, fin, .. } = hs;
                let mut snd = Sender::new(params, buf, rtt, &options, now);
                snd.sent_on_syn(acked);
                let rcv = Receiver::new(recv, now);
                let established = State::Established(Established { snd, rcv });
                match fin {
                    Fin::Open => established,
                    // The application shut down before the handshake was over (RFC 9293 §3.10.4).
                    Fin::Queued => established.after_shutdown(),
                }
            }
            same => same,
        });
        let counters = &mut self.counters;
        (counters.last_data_sent, counters.last_data_recv) = (now, now);
        counters.last_ack_recv = now;
        if acked > 0 {
            counters.data.bytes_acked += u64::from(acked);
        }
        if acked > 0 && self.is_flushed() {
            self.set_flushed();
        }
        self.begin_path_search();
        self.ready |= crate::event::Ready::CONNECTED;
        self.check_writable(ctx);
    }

    /// What both SYNs settle for the two directions.
    pub(super) fn settle_options(
        &mut self,
        peer: PeerSyn,
        iss: SeqNumber,
        window: u32,
        wl: (SeqNumber, SeqNumber),
    ) -> (SendParams, RecvParams) {
        let scaled = self.options.window_scaling && peer.wscale.is_some();
        let wscale = self.peer_wscale(peer);
        let mss = u32::from(self.send_mss());
        let sack = self.sack();
        if !scaled {
            self.wscale = 0;
        }
        let recv = RecvParams {
            irs: peer.irs,
            window: u32::from(self.syn_window()),
            wscale: self.wscale,
            ts_recent: peer.ts.filter(|_| self.timestamps()),
            sack,
            // An estimate that grows with what arrives (as Linux's): options take their part of every segment, so what was
            // announced is never reached, and the peer may know of a narrower path.
            mss: u32::from(self.announced_mss().min(536)),
            advmss: u32::from(self.announced_mss()),
            quick_acks: self.options.quick_acks,
        };
        let syn_lost = self.state.handshake().is_some_and(|hs| hs.sent > 2);
        (SendParams { iss, mss, wscale, sack, window, wl, syn_lost }, recv)
    }

    /// What else a SYN-ACK carries is taken as if it had come behind it.
    fn after_syn(&mut self, ctx: &mut Ctx<'_>, mut seg: Segment) -> Verdict {
        if seg.payload.is_empty() && !seg.has(Flags::FIN) {
            return Verdict::Done;
        }
        seg.header.flags.remove(Flags::SYN);
        self.after_syn_ack(&mut seg);
        seg.header.seq += 1;
        // The window of a SYN is not scaled; what is taken below is.
        seg.header.window >>= self.peer.map_or(0, |p| self.peer_wscale(p));
        self.on_segment_synchronized(ctx, seg)
    }

    /// A handshake's timer (RFC 9293 §3.8.1, RFC 6298 §5.7).
    pub(super) fn on_handshake_timer(&mut self, ctx: &mut Ctx<'_>) {
        if let Some(at) = self.syn_held() {
            if ctx.now >= at {
                self.release_syn();
            }
            return;
        }
        let passive = self.is_half_open();
        let unseen = passive && !self.is_fast_open();
        let limit = if passive { self.options.synack_retries } else { self.options.syn_retries };
        let user_timeout: Option<Duration> = self.options.user_timeout;
        let Some(hs) = self.state.handshake_mut() else { return };
        let expired = user_timeout.is_some_and(|t| ctx.now >= hs.first_sent + t);
        if ctx.now < hs.timer && !expired {
            return;
        }
        if hs.rtt.backoff >= limit || expired {
            if unseen {
                self.owner = Owner::Orphan;
                self.transition(ctx, |_| State::Closed);
            } else {
                self.give_up(ctx);
            }
            return;
        }
        hs.rtt.back_off();
        hs.due = true;
        let (count, rto) = (hs.rtt.backoff, hs.rtt.rto());
        hs.timer = ctx.now + rto;
        self.fast_syn_lost(ctx);
        self.counters.data.timeouts += 1;
        ctx.stats.tcp_timeouts += 1;
        // RFC 9293 §3.8.3 MUST-22: as for data. Who asked us for a connection is not looked for.
        if !passive {
            self.sent_in_vain(ctx, count, rto);
        }
    }

    /// Whether data received so far makes a segment in SYN-RECEIVED acceptable; used by the stack to hold back the last
    /// step of a handshake while the accept queue is full.
    pub(crate) fn completes_handshake(&self, seg: &Segment) -> bool {
        match &self.state {
            State::SynReceived(s) if s.passive => {
                seg.has(Flags::ACK)
                    && !seg.has(Flags::RST)
                    && !seg.has(Flags::SYN)
                    && seg.header.ack == s.hs.iss + 1
            }
            _ => false,
        }
    }
}
