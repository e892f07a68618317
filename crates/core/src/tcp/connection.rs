//! One connection: its identity, its state, what the application sees of it, and the calls that the application makes.
//! How segments are taken is in `segment.rs` and `handshake.rs`, how they are made in `output.rs`.

use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use usernet_wire::SeqNumber;
use usernet_wire::tcp as wire;

use super::StateName;
use super::buffers::{Memory, RecvTuning, window_scale};
use super::chrono::Chrono;
use super::ecn::Ecn;
use super::fastopen::Grant;
use super::fastopen_cookies::{Cookie, CookieCache};
use super::recv_queue::RecvQueue;
use super::rtt::Rtt;
use super::send::Fin;
use super::send_buffer::BlockPool;
use super::soft_error::SoftErrors;
use super::state::{FinWait2, Handshake, PeerSyn, Snd, State, SynReceived, SynSent, peer_syn};
use super::urgent::Urgent;
use super::user_timeout::UserTimeout;
use crate::config::SocketOptions;
use crate::error::{ConnectionError, RecvError, SendError};
use crate::event::{ListenerId, Ready, SocketId, Trace, TraceEvent};
use crate::interface::InterfaceId;
use crate::lazy::{Lazy, blank};
use crate::payload::Payload;
use crate::stack::{Stats, TimerKey, TraceLog};
use crate::time::{Duration, Instant, earlier};

/// The two ends of a connection: what segments are demultiplexed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tuple {
    pub(crate) local: IpAddr,
    pub(crate) remote: IpAddr,
    pub(crate) local_port: u16,
    pub(crate) remote_port: u16,
}

impl Tuple {
    pub(crate) fn local_addr(&self) -> SocketAddr {
        SocketAddr::new(self.local, self.local_port)
    }

    pub(crate) fn remote_addr(&self) -> SocketAddr {
        SocketAddr::new(self.remote, self.remote_port)
    }
}

impl Hash for Tuple {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for addr in [self.local, self.remote] {
            match addr {
                IpAddr::V4(a) => state.write_u32(a.into()),
                IpAddr::V6(a) => state.write_u128(a.into()),
            }
        }
        state.write_u32(u32::from(self.local_port) << 16 | u32::from(self.remote_port));
    }
}

/// What a connection's packets go through.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path {
    pub(crate) interface: InterfaceId,
    /// Largest packet, bytes.
    pub(crate) mtu: u16,
    /// Whether larger segments than one packet may be handed to the device.
    pub(crate) tso: bool,
    /// Whether these may be larger than a packet can be.
    pub(crate) big: bool,
}

impl Path {
    /// Payload bytes that a packet has room for beside IP and TCP headers without options.
    pub(crate) fn mss(&self, v6: bool) -> u16 {
        self.mtu.saturating_sub(if v6 { 60 } else { 40 }).max(MIN_MSS)
    }
}

/// The least send MSS: a peer that announces less would cost more headers than data (Linux `tcp_min_snd_mss`).
const MIN_MSS: u16 = 48;

/// The MSS of a peer that announces none (RFC 9293 §3.7.1 MUST-15).
pub(crate) fn default_mss(v6: bool) -> u16 {
    if v6 { 1220 } else { 536 }
}

/// Length of the timestamps option with its padding, bytes.
pub(super) const TIMESTAMPS_LEN: u16 = 12;

/// Who a connection belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A listener: it waits to be established or accepted.
    Listener(ListenerId),
    /// The application.
    Application,
    /// Nobody: it only finishes.
    Orphan,
}

/// A segment that came in.
#[derive(Clone)]
pub(crate) struct Segment {
    pub(crate) header: wire::Repr,
    pub(crate) payload: Payload,
    /// Payload bytes per wire segment when the device merged several; 0 otherwise.
    pub(crate) gso_size: u16,
    /// The ECN bits of its packet.
    pub(crate) ecn: u8,
}

impl Segment {
    pub(crate) fn has(&self, flags: wire::Flags) -> bool {
        self.header.flags.contains(flags)
    }

    /// Length in sequence space.
    pub(crate) fn len(&self) -> u32 {
        self.payload.len() as u32
            + u32::from(self.has(wire::Flags::SYN))
            + u32::from(self.has(wire::Flags::FIN))
    }
}

/// What the stack is to do after a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing but to look for output and events.
    Done,
    /// Answer with a RST made from the segment (RFC 9293 §3.10.7.1).
    Reset,
    /// The connection in TIME-WAIT makes way for this SYN (RFC 9293 §3.6.1, RFC 6191).
    Reopen,
}

/// What a connection needs from its stack while it works.
pub(crate) struct Ctx<'a> {
    pub(crate) now: Instant,
    pub(crate) id: SocketId,
    pub(crate) stats: &'a mut Stats,
    pub(crate) trace: &'a mut TraceLog,
    /// How long TIME-WAIT lasts.
    pub(crate) time_wait: Duration,
    /// How much of the stack's memory for queues is in use.
    pub(crate) memory: Memory,
    /// Fast Open cookies that servers gave us.
    pub(crate) cookies: &'a mut CookieCache,
    /// Memory for send queues.
    pub(crate) blocks: &'a Arc<BlockPool>,
}

/// Counters of a connection; see [`Info`](super::Info).
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(super) segs_out: u64,
    pub(super) segs_in: u64,
    /// When data of ours, data of the peer's, and an acknowledgement went or came last; the handshake counts.
    pub(super) last_data_sent: Instant,
    pub(super) last_data_recv: Instant,
    pub(super) last_ack_recv: Instant,
    /// Those that need data, or a timeout.
    pub(super) data: Lazy<DataCounters>,
}

/// What is zero in a connection that is idle from the start.
#[derive(Debug, Default)]
pub(super) struct DataCounters {
    pub(super) bytes_sent: u64,
    pub(super) bytes_acked: u64,
    pub(super) bytes_received: u64,
    pub(super) bytes_retrans: u64,
    pub(super) data_segs_out: u64,
    pub(super) data_segs_in: u64,
    pub(super) dsack_dups: u64,
    pub(super) rcv_ooopack: u64,
    pub(super) retrans: u64,
    pub(super) timeouts: u64,
    pub(super) dup_acks: u64,
}

blank!(DataCounters);

/// A connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) tuple: Tuple,
    pub(crate) options: Arc<SocketOptions>,
    pub(crate) path: Path,
    pub(crate) owner: Owner,
    pub(super) state: State,
    pub(super) rx: RecvQueue,
    /// Made when data arrives.
    pub(super) recv_tuning: Option<Box<RecvTuning>>,
    /// Bytes the send buffer has grown to.
    pub(super) send_grown: usize,
    /// The application reads no more: what arrives is thrown away.
    pub(super) read_shut: bool,
    error: Option<ConnectionError>,
    error_reported: bool,
    /// Not reported yet.
    pub(crate) ready: Ready,
    /// A short send waits for room.
    pub(super) wants_write: bool,
    pub(super) chrono: Lazy<Chrono>,
    /// The congestion window and threshold that the trace knows of.
    pub(super) windows: Option<(u32, u32)>,
    flushed: bool,
    /// Added to the clock in TSval, so that it tells nothing of other connections (RFC 7323 §7.1).
    ts_offset: u32,
    pub(super) peer: Option<PeerSyn>,
    /// Our window shift, announced in our SYN.
    pub(super) wscale: u8,
    pub(super) counters: Counters,
    /// Since when nothing was heard, for keep-alive.
    pub(super) last_heard: Instant,
    /// Keep-alive probes without an answer, and when the last was sent.
    pub(super) keep_alive_probes: u8,
    pub(super) keep_alive_sent: Instant,
    /// An empty segment from before the window goes out, to make the peer answer.
    pub(super) probe_due: bool,
    pub(super) iss: SeqNumber,
    pub(super) ecn: Lazy<Ecn>,
    pub(super) urgent: Lazy<Urgent>,
    pub(super) user_timeout: Lazy<UserTimeout>,
    /// What failed and may yet succeed; few connections meet any.
    pub(super) soft: Lazy<SoftErrors>,
    /// See [`Info::syn_data`].
    pub(super) syn_data: bool,
    /// The Fast Open cookie that our SYN-ACK carries, and whether as the experimental option.
    pub(super) cookie: Option<Box<(Cookie, bool)>>,
    // What the stack keeps with a connection.
    /// The listener that counts it as half-open.
    pub(crate) half_open_of: Option<ListenerId>,
    /// The listener that counts it among those that exchange data before their handshake is over.
    pub(crate) fast_open_of: Option<ListenerId>,
    /// Its tuple is in the demultiplexing table.
    pub(crate) in_table: bool,
    /// In the list of those in TIME-WAIT.
    pub(crate) in_time_wait_list: bool,
    /// In the list of those that may have output.
    pub(crate) tx_queued: bool,
    /// In the list of those with events.
    pub(crate) event_queued: bool,
    /// The timer that is set.
    pub(crate) armed: Option<TimerKey>,
    /// Memory of its queues that the stack's sums contain for it: receive, send.
    pub(crate) accounted: (u32, u32),
}

impl Connection {
    fn new(
        tuple: Tuple,
        options: Arc<SocketOptions>,
        path: Path,
        owner: Owner,
        ts_offset: u32,
        now: Instant,
    ) -> Self {
        Self {
            tuple,
            wscale: if options.window_scaling {
                window_scale(options.recv_buffer.max())
            } else {
                0
            },
            options,
            path,
            owner,
            state: State::Closed,
            rx: RecvQueue::default(),
            recv_tuning: None,
            send_grown: 0,
            read_shut: false,
            error: None,
            error_reported: false,
            ready: Ready::empty(),
            wants_write: false,
            chrono: Lazy::default(),
            windows: None,
            flushed: false,
            ts_offset,
            peer: None,
            counters: Counters::default(),
            last_heard: now,
            keep_alive_probes: 0,
            keep_alive_sent: now,
            probe_due: false,
            iss: SeqNumber(0),
            ecn: Lazy::default(),
            urgent: Lazy::default(),
            user_timeout: Lazy::default(),
            soft: Lazy::default(),
            syn_data: false,
            cookie: None,
            half_open_of: None,
            fast_open_of: None,
            in_table: false,
            in_time_wait_list: false,
            tx_queued: false,
            event_queued: false,
            armed: None,
            accounted: (0, 0),
        }
    }

    fn handshake(&self, iss: SeqNumber, now: Instant) -> Handshake {
        let rtt = Rtt::new(self.options.rto_min, self.options.rto_max);
        Handshake {
            iss,
            buf: Lazy::default(),
            fin: Fin::Open,
            // From the sending on (it is set again there): a driver may run timers before it transmits.
            timer: now + rtt.rto(),
            rtt,
            sent: 0,
            due: true,
            syn_data: 0,
            first_sent: now,
        }
    }

    /// An active open: SYN-SENT.
    pub(crate) fn connect(
        ctx: &mut Ctx<'_>,
        tuple: Tuple,
        options: Arc<SocketOptions>,
        path: Path,
        iss: SeqNumber,
        ts_offset: u32,
    ) -> Self {
        let mut conn = Self::new(tuple, options, path, Owner::Application, ts_offset, ctx.now);
        let mut hs = conn.handshake(iss, ctx.now);
        conn.iss = iss;
        let fast = conn.plan_fast_syn(ctx);
        hs.due = fast.as_ref().is_none_or(|fast| !fast.is_held());
        conn.transition(ctx, |_| State::SynSent(SynSent { hs, fast }));
        conn
    }

    /// A passive open by a SYN: SYN-RECEIVED.
    pub(crate) fn accept(
        ctx: &mut Ctx<'_>,
        tuple: Tuple,
        options: Arc<SocketOptions>,
        path: Path,
        iss: SeqNumber,
        ts_offset: u32,
        listener: ListenerId,
        syn: &Segment,
        grant: Grant,
    ) -> Self {
        let mut conn =
            Self::new(tuple, options, path, Owner::Listener(listener), ts_offset, ctx.now);
        let hs = conn.handshake(iss, ctx.now);
        let peer = peer_syn(syn, tuple.local.is_ipv6());
        conn.iss = iss;
        conn.half_open_of = Some(listener);
        conn.counters.segs_in = 1;
        conn.peer = Some(peer);
        let window = conn.syn_window();
        conn.transition(ctx, |_| {
            let (ack_due, passive, fast) = (false, true, None);
            State::SynReceived(SynReceived { hs, peer, window, ack_due, passive, fast })
        });
        conn.cookie = grant.cookie.map(Box::new);
        if let Some(raw) = syn.header.options.user_timeout {
            conn.take_user_timeout(raw);
        }
        conn.accept_ecn(syn);
        if grant.open {
            conn.half_open_of = None;
            conn.fast_open_of = Some(listener);
            conn.open_fast(ctx, peer, syn);
        }
        conn
    }

    /// The SYN-ACK that answers `syn` when no connection is to be kept for it: with our initial sequence number `iss`, and
    /// `ts_val` as our timestamp if it has one.
    pub(crate) fn stateless_syn_ack(
        tuple: Tuple,
        options: Arc<SocketOptions>,
        path: Path,
        iss: SeqNumber,
        ts_val: u32,
        syn: &Segment,
    ) -> wire::Repr {
        let peer = peer_syn(syn, tuple.local.is_ipv6());
        Self::new(tuple, options, path, Owner::Orphan, 0, Instant::ZERO).syn_header(
            iss,
            Some(peer),
            ts_val,
        )
    }

    /// The window in our SYN, never scaled (RFC 7323 §2.2).
    pub(super) fn syn_window(&self) -> u16 {
        self.options.recv_buffer.initial().min(0xffff) as u16
    }

    pub(crate) fn is_v6(&self) -> bool {
        self.tuple.local.is_ipv6()
    }

    pub(crate) fn state(&self) -> StateName {
        self.state.name()
    }

    /// Whether it is half-open and came from a listener.
    pub(crate) fn is_half_open(&self) -> bool {
        matches!(&self.state, State::SynReceived(s) if s.passive)
    }

    /// Whether it can be forgotten: over, and nobody holds it.
    pub(crate) fn is_dead(&self) -> bool {
        matches!(self.state, State::Closed) && self.owner == Owner::Orphan
    }

    /// The clock of TSval: milliseconds (RFC 7323 §5.4 wants between 1 ms and 1 s).
    pub(super) fn ts_now(&self, now: Instant) -> u32 {
        (now.as_millis() as u32).wrapping_add(self.ts_offset)
    }

    /// Whether both ends agreed on timestamps.
    pub(super) fn timestamps(&self) -> bool {
        self.options.timestamps && self.peer.is_some_and(|p| p.ts.is_some())
    }

    /// Whether both ends agreed on SACK.
    pub(super) fn sack(&self) -> bool {
        self.options.sack && self.peer.is_some_and(|p| p.sack)
    }

    /// The MSS we announce (RFC 9293 §3.7.1 MUST-67, §3.7.3 SHLD-6; RFC 6691: without regard to options).
    pub(super) fn announced_mss(&self) -> u16 {
        let mss = self.path.mss(self.is_v6());
        self.options.max_segment_size.map_or(mss, |cap| mss.min(cap).max(MIN_MSS))
    }

    /// Payload bytes of a full segment: what path and peer allow, less options of all segments (RFC 9293 §3.7.1 MUST-16).
    pub(super) fn send_mss(&self) -> u16 {
        let peer = self.peer.map_or(default_mss(self.is_v6()), |p| p.mss);
        let mss = peer.max(MIN_MSS).min(self.announced_mss());
        mss - if self.timestamps() { TIMESTAMPS_LEN } else { 0 }
    }

    /// The only way from one state to another: counts, traces, and tells the application.
    pub(super) fn transition(&mut self, ctx: &mut Ctx<'_>, next: impl FnOnce(State) -> State) {
        let from = self.state.name();
        self.state = next(std::mem::replace(&mut self.state, State::Closed));
        let to = self.state.name();
        if from == to {
            return;
        }
        self.trace(ctx, Trace::State { from, to });
        match (from, to) {
            (StateName::Closed, StateName::SynSent) => ctx.stats.tcp_active_opens += 1,
            (StateName::Closed, StateName::SynReceived) => ctx.stats.tcp_passive_opens += 1,
            (StateName::SynSent | StateName::SynReceived, StateName::Closed) => {
                ctx.stats.tcp_attempt_fails += 1;
            }
            (StateName::Established | StateName::CloseWait, StateName::Closed) => {
                ctx.stats.tcp_estab_resets += 1;
            }
            _ => {}
        }
        let counts =
            |state| u64::from(matches!(state, StateName::Established | StateName::CloseWait));
        ctx.stats.tcp_curr_estab = ctx.stats.tcp_curr_estab + counts(to) - counts(from);
        if from == StateName::TimeWait {
            ctx.stats.time_wait -= 1;
        }
        match to {
            StateName::CloseWait | StateName::Closing => self.ready |= Ready::READABLE,
            StateName::FinWait2 => self.set_flushed(),
            StateName::TimeWait => {
                ctx.stats.time_wait += 1;
                self.set_flushed();
                self.ready |= Ready::READABLE | Ready::CLOSED;
            }
            // After TIME-WAIT it was reported already.
            StateName::Closed if from != StateName::TimeWait => {
                self.set_flushed();
                self.ready |= Ready::READABLE | Ready::CLOSED;
            }
            _ => {}
        }
    }

    pub(super) fn set_flushed(&mut self) {
        if !self.flushed {
            self.flushed = true;
            self.ready |= Ready::FLUSHED;
        }
    }

    pub(super) fn trace(&self, ctx: &mut Ctx<'_>, what: Trace) {
        ctx.trace.push(|| TraceEvent {
            at: ctx.now,
            socket: ctx.id,
            local: self.tuple.local_addr(),
            remote: self.tuple.remote_addr(),
            what,
        });
    }

    /// The connection is over because of an error.
    pub(super) fn fail(&mut self, ctx: &mut Ctx<'_>, error: ConnectionError) {
        self.error = Some(error);
        self.ready |= Ready::ERROR | Ready::READABLE | Ready::WRITABLE;
        self.trace(ctx, Trace::Error(error));
        self.transition(ctx, |_| State::Closed);
    }

    /// An acknowledgement goes out with the next poll.
    pub(crate) fn acknowledge(&mut self) {
        if let Some((_, mut rcv)) = self.state.sides() {
            rcv.acks().ack_now();
        }
    }

    // --- what the application calls ---

    /// Queues bytes.
    pub(crate) fn send(
        &mut self,
        ctx: &Ctx<'_>,
        data: &[u8],
        more: bool,
    ) -> Result<usize, SendError> {
        if let Some(error) = self.take_error() {
            return Err(error.into());
        }
        let level = ctx.memory.send;
        let room = self.send_room(level);
        let n = data.len().min(room);
        let short = n < data.len();
        // What a full buffer holds may be less than a segment, and nothing more comes until it has been acknowledged.
        let more = more && n < room;
        let data = &data[..n];
        match &mut self.state {
            State::SynReceived(SynReceived { hs, fast: Some(fast), .. }) if hs.fin == Fin::Open => {
                fast.snd.buf.push(data, ctx.blocks);
                if !more {
                    fast.snd.buf.end_write();
                }
                fast.snd.corked = more;
            }
            State::SynSent(SynSent { hs, .. })
            | State::SynReceived(SynReceived { hs, fast: None, .. })
                if hs.fin == Fin::Open =>
            {
                hs.buf.push(data, ctx.blocks);
                if !more {
                    hs.buf.end_write();
                }
                self.release_syn();
            }
            State::Established(super::state::Established { snd, .. })
            | State::CloseWait(super::state::CloseWait { snd, .. }) => {
                snd.check_app_limited();
                snd.buf.push(data, ctx.blocks);
                if !more {
                    snd.buf.end_write();
                }
                snd.corked = more;
            }
            _ => return Err(SendError::BrokenPipe),
        }
        self.wants_write |= short || self.send_room(level) == 0;
        if n > 0 {
            self.flushed = false;
        }
        Ok(n)
    }

    /// Asks for `WRITABLE` when there is room.
    pub(crate) fn want_write(&mut self) {
        self.wants_write = true;
    }

    /// Whether nothing of what was sent, a FIN included, waits to be acknowledged.
    pub(crate) fn is_flushed(&self) -> bool {
        match &self.state {
            State::SynSent(SynSent { hs, .. }) | State::SynReceived(SynReceived { hs, .. }) => {
                let sender = self.state.sender().is_none_or(|snd| snd.buf.len() == 0);
                hs.buf.len() == 0 && sender && hs.fin == Fin::Open
            }
            State::FinWait1(_) | State::Closing(_) | State::LastAck(_) => false,
            state => state.sender().is_none_or(|snd| snd.buf.len() == 0),
        }
    }

    /// Bytes that can be read.
    pub(crate) fn recv_queue(&self) -> usize {
        self.rx.len()
    }

    /// Whether nothing more will come.
    fn at_end(&self) -> bool {
        self.read_shut
            || matches!(
                self.state,
                State::Closed
                    | State::CloseWait(_)
                    | State::Closing(_)
                    | State::LastAck(_)
                    | State::TimeWait(_)
            )
    }

    /// Reads; 0 at the end of the stream.
    pub(crate) fn recv(&mut self, ctx: &Ctx<'_>, buf: &mut [u8]) -> Result<usize, RecvError> {
        if buf.is_empty() {
            return Ok(0);
        }
        if self.rx.len() == 0 {
            return self.nothing_to_read();
        }
        let n = self.rx.read(buf, ctx.blocks);
        self.was_read(ctx, n);
        Ok(n)
    }

    /// Bytes before the first received piece that is `wanted`, at most `limit`.
    pub(crate) fn before_piece(&self, limit: usize, wanted: impl Fn(&Payload) -> bool) -> usize {
        self.rx.before_piece(limit, wanted)
    }

    /// Takes the first piece of what was received, if it is `wanted`.
    pub(crate) fn take_piece(
        &mut self,
        ctx: &Ctx<'_>,
        wanted: impl FnOnce(&Payload) -> bool,
    ) -> Option<Payload> {
        let piece = self.rx.take_piece(wanted)?;
        self.was_read(ctx, piece.len());
        Some(piece)
    }

    fn was_read(&mut self, ctx: &Ctx<'_>, n: usize) {
        self.tune_receive_buffer(ctx, n);
        self.update_window(ctx);
    }

    /// Reads without taking.
    pub(crate) fn peek(&mut self, buf: &mut [u8]) -> Result<usize, RecvError> {
        if buf.is_empty() {
            return Ok(0);
        }
        if self.rx.len() == 0 { self.nothing_to_read() } else { Ok(self.rx.peek(buf)) }
    }

    fn nothing_to_read(&mut self) -> Result<usize, RecvError> {
        if let Some(error) = self.take_error() {
            return Err(error.into());
        }
        if self.at_end() { Ok(0) } else { Err(RecvError::WouldBlock) }
    }

    /// Why it ended, if with an error.
    pub(crate) fn error(&self) -> Option<ConnectionError> {
        self.error
    }

    /// The error, if it was not reported yet.
    fn take_error(&mut self) -> Option<ConnectionError> {
        if self.error_reported {
            return None;
        }
        self.error_reported = self.error.is_some();
        self.error
    }

    /// Shuts the receiving side down.
    pub(crate) fn shutdown_read(&mut self, ctx: &Ctx<'_>) {
        self.read_shut = true;
        self.rx.clear();
        self.ready |= Ready::READABLE;
        self.update_window(ctx);
    }

    /// Shuts the sending side down.
    pub(crate) fn shutdown_write(&mut self, ctx: &mut Ctx<'_>) {
        if let Some(snd) = self.state.sender_mut() {
            snd.corked = false;
        }
        if self.send_open() {
            self.flushed = false;
            // Said of the data before the FIN; nobody has taken it yet.
            self.ready.remove(Ready::FLUSHED);
        }
        self.release_syn();
        self.transition(ctx, State::after_shutdown);
    }

    fn send_open(&self) -> bool {
        match &self.state {
            State::Established(_) | State::CloseWait(_) => true,
            State::SynSent(SynSent { hs, .. }) | State::SynReceived(SynReceived { hs, .. }) => {
                hs.fin == Fin::Open
            }
            _ => false,
        }
    }

    /// The application lets go (RFC 9293 §3.6.1 MAY-1). Answers whether that takes a RST: unread data would be lost
    /// silently (SHLD-3, RFC 2525 §2.17).
    pub(crate) fn close(&mut self, ctx: &mut Ctx<'_>) -> bool {
        self.owner = Owner::Orphan;
        if matches!(self.state, State::SynSent(_)) {
            // RFC 9293 §3.10.4: nothing was established, the TCB is deleted.
            self.transition(ctx, |_| State::Closed);
            return false;
        }
        if self.rx.len() > 0 && self.state.acks().is_some() && !self.read_shut {
            ctx.stats.tcp_abort_on_close += 1;
            return self.abort(ctx);
        }
        self.rx.clear();
        self.shutdown_write(ctx);
        if let State::FinWait2(FinWait2 { until, .. }) = &mut self.state {
            *until = Some(ctx.now + self.options.fin_timeout);
        }
        false
    }

    /// The application aborts. Answers whether the peer is told with a RST (RFC 9293 §3.10.5).
    pub(crate) fn abort(&mut self, _ctx: &mut Ctx<'_>) -> bool {
        let tell = !matches!(self.state, State::Closed | State::SynSent(_) | State::TimeWait(_));
        self.owner = Owner::Orphan;
        self.rx.clear();
        self.error.get_or_insert(ConnectionError::Aborted);
        self.error_reported = true;
        tell
    }

    /// The end of an abort, once the RST was made.
    pub(crate) fn finish_abort(&mut self, ctx: &mut Ctx<'_>) {
        self.transition(ctx, |_| State::Closed);
    }

    /// The timestamps of a RST of ours, once both ends agreed on them.
    pub(crate) fn reset_timestamps(&self, now: Instant) -> Option<wire::Timestamps> {
        let ecr = self.state.acks()?.ts_recent()?;
        Some(wire::Timestamps { val: self.ts_now(now), ecr })
    }

    /// The sequence and acknowledgement numbers of a RST of ours.
    pub(crate) fn reset_numbers(&self) -> (SeqNumber, Option<SeqNumber>) {
        let ack = match &self.state {
            State::SynReceived(s) if s.fast.is_none() => Some(s.peer.irs + 1),
            state => state.acks().map(|acks| acks.nxt),
        };
        (self.state.snd_nxt(), ack)
    }

    /// Bytes of data that the peer has acknowledged.
    pub(crate) fn bytes_acked(&self) -> u64 {
        self.counters.data.bytes_acked
    }

    /// When something is to be done without a segment coming in.
    pub(crate) fn deadline(&mut self) -> Option<Instant> {
        let keep_alive = self.keep_alive_deadline();
        let held = self.syn_held();
        let acks = self.state.acks().and_then(super::recv::AckSide::deadline);
        let options = &*self.options;
        let state = match &mut self.state {
            State::Closed => None,
            State::SynSent(_) if held.is_some() => held,
            State::SynSent(SynSent { hs, .. }) | State::SynReceived(SynReceived { hs, .. }) => {
                let at = Some(
                    options.user_timeout.map_or(hs.timer, |t| hs.timer.min(hs.first_sent + t)),
                );
                earlier(at, acks)
            }
            State::TimeWait(s) => Some(s.until),
            State::FinWait2(s) => earlier(s.until, s.rcv.acks.deadline()),
            state => match state.sides() {
                Some((Snd::Active(snd, _), mut rcv)) => {
                    earlier(snd.deadline_with_pacing(options), rcv.acks().deadline())
                }
                _ => None,
            },
        };
        earlier(state, keep_alive)
    }
}
