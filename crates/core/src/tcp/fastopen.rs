//! TCP Fast Open (RFC 7413): data on the SYN of an active open, and connections that exchange data in SYN-RECEIVED.

use usernet_wire::SeqNumber;
use usernet_wire::tcp::Flags;

use super::ack_timeout::Pace;
use super::connection::{Connection, Ctx, Segment, Verdict};
use super::fastopen_cookies::{Advice, Cookie};
use super::recv::{Acceptable, Receiver};
use super::send::Sender;
use super::state::{Established, PeerSyn, State, SynReceived, SynSent};
use crate::error::ConnectionError;
use crate::event::Ready;
use crate::lazy::Lazy;
use crate::time::Instant;

/// Room that a SYN leaves for its options (RFC 7413 §4.1.3: data and all options must fit the path).
const OPTIONS_ROOM: u16 = usernet_wire::tcp::MAX_OPTIONS_LEN as u16;

/// What the SYN of an active open does beyond opening.
#[derive(Debug)]
pub(super) struct FastSyn {
    /// The cookie to show, an empty one to ask for one, or none.
    cookie: Option<Cookie>,
    /// Bytes that fit on the SYN; 0 where none may go.
    room: u16,
    /// Until when the SYN waits for the first data.
    held: Option<Instant>,
}

impl FastSyn {
    /// Whether the SYN waits for the first data.
    pub(super) fn is_held(&self) -> bool {
        self.held.is_some()
    }
}

/// What a listener grants a SYN.
#[derive(Clone, Debug, Default)]
pub(crate) struct Grant {
    /// Data on it is taken, and the connection can be accepted at once.
    pub(crate) open: bool,
    /// The cookie that the SYN-ACK carries, and whether as the experimental option.
    pub(crate) cookie: Option<(Cookie, bool)>,
}

/// Both directions of a connection that exchanges data before its handshake is over.
#[derive(Debug)]
pub(super) struct FastOpened {
    pub(super) snd: Sender,
    pub(super) rcv: Receiver,
}

impl Connection {
    // --- the active side ---

    /// What the SYN to come does about Fast Open.
    pub(super) fn plan_fast_syn(&self, ctx: &mut Ctx<'_>) -> Option<FastSyn> {
        let options = &self.options.fast_open;
        if !options.connect {
            return None;
        }
        let (mss, advice) = ctx.cookies.advice(ctx.now, self.tuple.local, self.tuple.remote);
        let mss = self.announced_mss().min(mss.unwrap_or(u16::MAX));
        let room = mss.saturating_sub(OPTIONS_ROOM);
        match advice {
            // Data that gets no answer again and again: the path swallows such SYNs (RFC 7413 §7.1).
            Advice::Refrain => None,
            Advice::Use(cookie) => {
                Some(FastSyn { cookie: Some(cookie), room, held: Some(ctx.now + options.hold) })
            }
            Advice::Request if options.connect_without_cookie => {
                Some(FastSyn { cookie: None, room, held: Some(ctx.now + options.hold) })
            }
            Advice::Request => Some(FastSyn { cookie: Some(Cookie::new()), room: 0, held: None }),
        }
    }

    /// Bytes that will go out on the SYN if they are written before it does; 0 when none will.
    pub(crate) fn syn_room(&self) -> usize {
        match &self.state {
            State::SynSent(SynSent { hs, fast: Some(fast) }) if hs.sent == 0 => {
                usize::from(fast.room).saturating_sub(hs.buf.len())
            }
            _ => 0,
        }
    }

    /// The SYN waits no longer: data is there, or none will come.
    pub(super) fn release_syn(&mut self) {
        if let State::SynSent(SynSent { hs, fast: Some(fast) }) = &mut self.state
            && fast.held.take().is_some()
        {
            hs.due = true;
        }
    }

    /// Until when the SYN is held back.
    pub(super) fn syn_held(&self) -> Option<Instant> {
        match &self.state {
            State::SynSent(SynSent { fast: Some(fast), .. }) => fast.held,
            _ => None,
        }
    }

    /// The option of the first SYN, and the length of its data.
    pub(super) fn fast_syn(&mut self, ctx: &mut Ctx<'_>) -> (Option<Cookie>, u16) {
        let State::SynSent(SynSent { hs, fast: Some(fast) }) = &mut self.state else {
            return (None, 0);
        };
        let len = hs.buf.len().min(usize::from(fast.room)) as u16;
        hs.syn_data = len;
        self.counters.data.bytes_sent += u64::from(len);
        if len > 0 {
            ctx.stats.fast_open_active += 1;
        }
        (fast.cookie.clone(), len)
    }

    /// The SYN went unanswered: it goes again as an ordinary one (RFC 7413 §4.1.3.1), and the loss is remembered.
    pub(super) fn fast_syn_lost(&mut self, ctx: &mut Ctx<'_>) {
        if let State::SynSent(SynSent { hs, .. }) = &self.state
            && hs.syn_data > 0
            && hs.sent == 1
        {
            ctx.cookies.lost(ctx.now, self.tuple.local, self.tuple.remote);
            ctx.stats.fast_open_blackhole += 1;
        }
    }

    /// A SYN-ACK came: what it says for the next time. `acked` is how much of the SYN's data it acknowledges.
    pub(super) fn learn_fast_open(&mut self, ctx: &mut Ctx<'_>, seg: &Segment, acked: u32) {
        let State::SynSent(SynSent { hs, fast: Some(_) }) = &self.state else { return };
        let (sent, again) = (u32::from(hs.syn_data), hs.sent > 1);
        // An empty cookie is a request, and no answer to one (RFC 7413 §4.1.1).
        let cookie = seg.header.options.fast_open.clone().filter(|cookie| !cookie.is_empty());
        let mss = self.peer.map_or(0, |peer| peer.mss);
        let arrived = sent > 0 && acked > 0 && !again;
        let keep = cookie.is_some() || self.options.fast_open.connect_without_cookie;
        ctx.cookies.learn(self.tuple.local, self.tuple.remote, cookie, mss, arrived, keep);
        if sent > 0 && acked < sent {
            ctx.stats.fast_open_active_fail += 1;
        }
        self.syn_data = sent > 0 && acked == sent;
    }

    /// How much of the SYN's data an acknowledgement of our SYN covers; `None` when it acknowledges what was never sent.
    pub(super) fn syn_data_acked(&self, ack: SeqNumber) -> Option<u32> {
        let hs = self.state.handshake()?;
        let first = hs.iss + 1;
        (ack.ge(first) && ack.le(first + u32::from(hs.syn_data))).then(|| ack.since(first))
    }

    // --- the passive side ---

    /// A SYN that may bring data: both directions open at once (RFC 7413 §4.2.2).
    pub(super) fn open_fast(&mut self, ctx: &mut Ctx<'_>, peer: PeerSyn, syn: &Segment) {
        let iss = self.iss;
        let window = u32::from(syn.header.window);
        let (send, recv) = self.settle_options(peer, iss, window, (syn.header.seq, iss + 1));
        let (options, now) = (std::sync::Arc::clone(&self.options), ctx.now);
        let State::SynReceived(state) = &mut self.state else { return };
        let rtt = state.hs.rtt.clone();
        let snd = Sender::new(send, Lazy::default(), rtt, &options, now);
        let pace = Pace {
            delay: options.delayed_ack,
            srtt: crate::time::Duration::ZERO,
            rto: state.hs.rtt.rto(),
        };
        let mut rcv = Receiver::new(recv, now);
        let len = syn.payload.len() as u32;
        if len > 0 {
            let received = rcv.on_data(
                now,
                syn.header.seq + 1,
                syn.payload.clone(),
                false,
                len,
                |piece| self.rx.push(piece, ctx.blocks),
                pace,
                options.recv_buffer.initial(),
            );
            self.counters.data.bytes_received += received.readable as u64;
            self.syn_data = received.readable > 0;
        }
        state.fast = Some(Box::new(FastOpened { snd, rcv }));
        self.ready |= Ready::CONNECTED;
        if self.syn_data {
            self.ready |= Ready::READABLE;
        }
        ctx.stats.fast_open_passive += 1;
    }

    /// Whether it is open before its handshake is over.
    pub(crate) fn is_fast_open(&self) -> bool {
        matches!(&self.state, State::SynReceived(SynReceived { fast: Some(_), .. }))
    }

    /// What the SYN-ACK of such a connection acknowledges, and its window field.
    pub(super) fn fast_syn_ack(&mut self, free: usize) -> Option<(SeqNumber, u16)> {
        let State::SynReceived(SynReceived { fast: Some(fast), .. }) = &mut self.state else {
            return None;
        };
        let window = fast.rcv.acks.advertise_unscaled(free);
        Some((fast.rcv.acks.nxt, window))
    }

    /// SYN-RECEIVED with data exchanged already (RFC 9293 §3.10.7.4, RFC 7413 §4.2.2).
    pub(super) fn on_segment_fast_open(&mut self, ctx: &mut Ctx<'_>, seg: Segment) -> Verdict {
        let State::SynReceived(state) = &mut self.state else { return Verdict::Done };
        let Some(fast) = &mut state.fast else { return Verdict::Done };
        let (iss, header) = (state.hs.iss, &seg.header);
        if seg.has(Flags::RST) {
            // RFC 5961 §3.2. The application has the connection, or will: it is told (it does not return to LISTEN).
            if header.seq == fast.rcv.acks.nxt {
                self.fail(ctx, ConnectionError::Reset);
            } else if header.seq.within(fast.rcv.acks.nxt, fast.rcv.acks.window()) {
                fast.rcv.acks.answer(ctx.now, seg.len() == 0);
                ctx.stats.challenge_acks += 1;
            }
            return Verdict::Done;
        }
        if seg.has(Flags::SYN) {
            if header.seq == state.peer.irs && !seg.has(Flags::ACK) {
                // Our SYN-ACK was lost.
                state.hs.due = true;
            } else {
                fast.rcv.acks.answer(ctx.now, seg.len() == 0);
                ctx.stats.challenge_acks += 1;
            }
            return Verdict::Done;
        }
        if fast.rcv.acks.acceptable(header.seq, seg.len()) == Acceptable::No {
            fast.rcv.acks.answer(ctx.now, seg.len() == 0);
            return Verdict::Done;
        }
        if !seg.has(Flags::ACK) {
            return Verdict::Done;
        }
        if !(header.ack.gt(iss) && header.ack.le(fast.snd.nxt)) {
            return Verdict::Reset;
        }
        self.end_ecn_handshake(seg.header.flags, seg.header.options.acc_ecn.as_ref());
        self.time_handshake(ctx);
        let (fin, now) = (self.state.handshake().map(|hs| hs.fin), ctx.now);
        self.transition(ctx, |state| match state {
            State::SynReceived(SynReceived { hs, fast: Some(fast), .. }) => {
                let FastOpened { mut snd, rcv } = *fast;
                snd.handshake_done(now, hs.rtt);
                State::Established(Established { snd, rcv })
            }
            same => same,
        });
        if fin == Some(super::send::Fin::Queued) {
            self.transition(ctx, State::after_shutdown);
        }
        self.on_segment_synchronized(ctx, seg)
    }
}

impl Sender {
    /// What was sent before the handshake was over was not timed (only the SYN-ACK was): its timer starts now.
    fn handshake_done(&mut self, now: Instant, rtt: super::rtt::Rtt) {
        self.rtt = rtt;
        self.rto_at = now + self.rtt.rto();
        self.unacked_since = now;
        if !self.board.is_empty() {
            self.arm_timer(now, true);
        }
    }

    /// The first `n` bytes went out on the SYN and were acknowledged with it.
    pub(super) fn sent_on_syn(&mut self, n: u32) {
        if n > 0 {
            self.buf.consume(n as usize);
        }
        self.una += n;
        self.nxt = self.una;
        self.usage.until = self.una;
    }
}
