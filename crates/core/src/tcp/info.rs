//! What is shown of a connection: the names of `ss -ti`, and where each comes from; and what changes with its options.

use super::StateName;
use super::buffers::Level;
use super::chrono::Limit;
use super::connection::{Connection, Ctx};
use super::ecn::EcnMode;
use super::rtt::Rtt;
use super::scoreboard::DUP_THRESH;
use crate::error::ConnectionError;
use crate::event::Trace;
use crate::time::{Duration, Instant};

/// What loss recovery is doing, under the kernel's names (`TCP_CA_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum CaState {
    /// Nothing is amiss.
    #[default]
    Open,
    /// Something was SACKed ahead of a gap; it may be reordering.
    Disorder,
    /// The window is being reduced because the network marked congestion (RFC 3168).
    Cwr,
    /// Fast recovery.
    Recovery,
    /// Recovery after a retransmission timeout.
    Loss,
}

impl CaState {
    /// The kernel's name without its prefix, in lower case, as `ss` would print it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Disorder => "disorder",
            Self::Cwr => "cwr",
            Self::Recovery => "recovery",
            Self::Loss => "loss",
        }
    }
}

/// What `ss -ti` would show of a connection.
#[derive(Clone, Debug, PartialEq)]
pub struct Info {
    /// State.
    pub state: StateName,
    /// Smoothed round-trip time (RFC 6298); zero before the first sample.
    pub srtt: Duration,
    /// Its variation.
    pub rttvar: Duration,
    /// Least round-trip time seen.
    pub min_rtt: Duration,
    /// Retransmission timeout now in force.
    pub rto: Duration,
    /// Times in a row the timeout was doubled.
    pub backoff: u8,
    /// Send MSS: payload bytes of a full segment.
    pub mss: u16,
    /// MSS the peer announced.
    pub peer_mss: u16,
    /// Path MTU, bytes.
    pub pmtu: u16,
    /// Congestion window, bytes.
    pub cwnd: u32,
    /// Slow start threshold, bytes; `u32::MAX` until the first loss.
    pub ssthresh: u32,
    /// The peer's window, bytes.
    pub snd_wnd: u32,
    /// Our advertised window, bytes.
    pub rcv_wnd: u32,
    /// The peer's window shift, when scaling is in use.
    pub snd_wscale: Option<u8>,
    /// Our window shift, when scaling is in use.
    pub rcv_wscale: Option<u8>,
    /// Whether timestamps are in use.
    pub timestamps: bool,
    /// Whether SACK is in use.
    pub sack: bool,
    /// Bytes in flight: sent and neither acknowledged, SACKed nor deemed lost.
    pub in_flight: u32,
    /// Bytes of sequence space sent and not acknowledged, SACKed and lost ones included.
    pub unacked: u32,
    /// Bytes in the send queue that are not acknowledged, sent or not.
    pub send_queue: u32,
    /// Bytes in the send queue that were not sent yet.
    pub unsent: u32,
    /// Bytes the application has not read.
    pub recv_queue: u32,
    /// Bytes that arrived out of order and wait for a gap to close.
    pub ooo_queue: u32,
    /// How large the receive buffer is now, bytes.
    pub recv_buffer: u32,
    /// How large the send buffer is now, bytes.
    pub send_buffer: u32,
    /// Round-trip time as the receiver sees it; zero before it is known, and while the receive buffer is of a fixed size.
    pub rcv_rtt: Duration,
    /// Payload bytes sent, retransmissions included.
    pub bytes_sent: u64,
    /// Payload bytes the peer acknowledged.
    pub bytes_acked: u64,
    /// Payload bytes received in order.
    pub bytes_received: u64,
    /// Payload bytes sent again.
    pub bytes_retrans: u64,
    /// Segments sent (a large segment counts as what the device cuts it into).
    pub segs_out: u64,
    /// Segments received.
    pub segs_in: u64,
    /// Of those sent, segments with data.
    pub data_segs_out: u64,
    /// Of those received, segments with data.
    pub data_segs_in: u64,
    /// Time since data was sent last, since data came last, and since an acknowledgement came last (`lastsnd`, `lastrcv`,
    /// `lastack`); the handshake counts as all three.
    pub last_data_sent: Duration,
    /// See [`last_data_sent`](Self::last_data_sent).
    pub last_data_recv: Duration,
    /// See [`last_data_sent`](Self::last_data_sent).
    pub last_ack_recv: Duration,
    /// How long an acknowledgement of ours waits for company, as it adapts; zero before any data came.
    pub ato: Duration,
    /// The largest segment that came lately: what "full-sized" means for the peer's, bytes.
    pub rcv_mss: u32,
    /// The MSS that we announce.
    pub advmss: u16,
    /// Segments that arrived ahead of a gap.
    pub rcv_ooopack: u64,
    /// Segments of ours that the peer says it got twice (RFC 2883).
    pub dsack_dups: u64,
    /// Bytes that the application has to read to get to the end of the peer's urgent data (RFC 9293 §3.8.5, RFC 6093);
    /// `None` when there is none. Urgent data is read in line.
    pub urgent: Option<u32>,
    /// How long sent data may stay unacknowledged (RFC 5482), the application's or the peer's; `None` where the number of
    /// retransmissions decides.
    pub user_timeout: Option<Duration>,
    /// The last soft error since anything was acknowledged (RFC 9293 §3.9.2.2): what the connection is given up with when
    /// its time is over.
    pub soft_error: Option<ConnectionError>,
    /// Segments sent again.
    pub retrans: u64,
    /// Retransmission timeouts.
    pub timeouts: u64,
    /// Bytes deemed lost and not acknowledged yet, sent again or not.
    pub lost: u32,
    /// Bytes the peer holds ahead of a gap, as its SACKs say.
    pub sacked: u32,
    /// What recovery is doing.
    pub ca_state: CaState,
    /// Duplicate acknowledgements received.
    pub dup_acks: u64,
    /// Which congestion notification was agreed on.
    pub ecn: EcnMode,
    /// Whether a packet of the peer's was ECT or CE (`ecnseen`).
    pub ecn_seen: bool,
    /// Packets of ours that the network marked, as the peer tells (`delivered_ce`). RFC 3168's feedback does not count:
    /// packets acknowledged while it lasted stand for it.
    pub delivered_ce: u32,
    /// Packets of the peer's that arrived marked.
    pub received_ce: u32,
    /// Whether data on the SYN arrived with it: ours was acknowledged, or the peer's was taken (RFC 7413).
    pub syn_data: bool,
    /// Congestion control.
    pub congestion: &'static str,
    /// Bytes sent again that are in flight.
    pub retrans_out: u32,
    /// How far segments were seen to arrive behind later ones, segments; 3 until more was seen (RFC 5681's threshold).
    pub reordering: u32,
    /// Times a segment was seen to.
    pub reord_seen: u32,
    /// Bytes delivered, cumulatively or selectively, retransmissions included.
    pub delivered: u64,
    /// The last delivery-rate sample that counts, bytes a second; 0 before the first.
    pub delivery_rate: u64,
    /// Whether the application limited that sample.
    pub delivery_rate_app_limited: bool,
    /// Whether the application limits the rate now.
    pub app_limited: bool,
    /// The rate at which a window is or would be spread, bytes a second; 0 before the first round-trip time.
    pub pacing_rate: u64,
    /// Whether sending is paced at that rate.
    pub paced: bool,
    /// Time with something to send or in flight.
    pub busy: Duration,
    /// Of it, time limited by the peer's window.
    pub rwnd_limited: Duration,
    /// Of it, time limited by the send buffer.
    pub sndbuf_limited: Duration,
}

impl Connection {
    /// What `ss -ti` would show.
    pub(crate) fn info(&self, now: Instant) -> Info {
        let snd = self.state.sender();
        let rtt = snd.map(|s| &s.rtt).or(self.state.handshake().map(|hs| &hs.rtt));
        let buf = snd.map(|s| &s.buf).or(self.state.handshake().map(|hs| &hs.buf));
        let scaled = self.options.window_scaling && self.peer.is_some_and(|p| p.wscale.is_some());
        let (span, reord_seen) = snd.map_or((0, 0), |s| s.board.reordering());
        let (delivery_rate, delivery_rate_app_limited) =
            snd.map_or((0, false), |s| s.board.rate.shown());
        Info {
            state: self.state.name(),
            srtt: rtt.map_or(Duration::ZERO, |r| r.srtt()),
            rttvar: rtt.map_or(Duration::ZERO, |r| r.rttvar()),
            min_rtt: rtt.map_or(Duration::ZERO, |r| r.min_rtt()),
            rto: rtt.map_or(Duration::ZERO, Rtt::rto),
            backoff: rtt.map_or(0, |r| r.backoff),
            mss: snd.map_or(self.send_mss(), |s| s.mss as u16),
            peer_mss: self.peer.map_or(0, |p| p.mss),
            pmtu: self.path.mtu,
            cwnd: snd.map_or(0, |s| s.cwnd()),
            ssthresh: snd.map_or(u32::MAX, |s| s.cc.ssthresh()),
            snd_wnd: snd.map_or(0, |s| s.wnd),
            rcv_wnd: self.state.acks().map_or(u32::from(self.syn_window()), |a| a.window()),
            snd_wscale: self.peer.and_then(|p| p.wscale).filter(|_| scaled),
            rcv_wscale: scaled.then_some(self.wscale),
            timestamps: self.timestamps(),
            sack: self.sack(),
            in_flight: snd.map_or(0, |s| s.in_flight()),
            unacked: snd.map_or(0, |s| s.nxt.since(s.una)),
            send_queue: buf.map_or(0, |b| b.len() as u32),
            unsent: snd.map_or(buf.map_or(0, |b| b.len() as u32), |s| s.unsent()),
            recv_queue: self.rx.len() as u32,
            ooo_queue: self.state.receiver().map_or(0, |r| r.ooo.bytes() as u32),
            recv_buffer: self.recv_buffer(Level::Plenty) as u32,
            send_buffer: self.send_buffer(Level::Plenty) as u32,
            rcv_rtt: self.recv_tuning.as_ref().and_then(|t| t.rtt()).unwrap_or(Duration::ZERO),
            bytes_sent: self.counters.data.bytes_sent,
            bytes_acked: self.counters.data.bytes_acked,
            bytes_received: self.counters.data.bytes_received,
            bytes_retrans: self.counters.data.bytes_retrans,
            segs_out: self.counters.segs_out,
            segs_in: self.counters.segs_in,
            data_segs_out: self.counters.data.data_segs_out,
            data_segs_in: self.counters.data.data_segs_in,
            last_data_sent: now.since(self.counters.last_data_sent),
            last_data_recv: now.since(self.counters.last_data_recv),
            last_ack_recv: now.since(self.counters.last_ack_recv),
            ato: self.state.receiver().map_or(Duration::ZERO, |r| r.timeout.ato()),
            rcv_mss: self.state.receiver().map_or(0, |r| r.rcv_mss()),
            advmss: self.announced_mss(),
            rcv_ooopack: self.counters.data.rcv_ooopack,
            dsack_dups: self.counters.data.dsack_dups,
            urgent: self.urgent_left(),
            user_timeout: self.options.user_timeout,
            soft_error: self.soft_error(),
            retrans: self.counters.data.retrans,
            timeouts: self.counters.data.timeouts,
            lost: snd.map_or(0, |s| s.board.deemed_lost()),
            sacked: snd.map_or(0, |s| s.board.sacked()),
            ca_state: snd.map_or(CaState::Open, |s| s.ca_state()),
            dup_acks: self.counters.data.dup_acks,
            ecn: self.ecn.mode,
            ecn_seen: self.ecn.seen,
            delivered_ce: self.ecn.delivered_ce,
            received_ce: self.ecn.received_ce,
            syn_data: self.syn_data,
            congestion: snd.map_or(self.options.congestion.name(), |s| s.cc.name()),
            retrans_out: snd.map_or(0, |s| s.board.retransmitted_bytes()),
            reordering: span.div_ceil(snd.map_or(1, |s| s.mss)).max(DUP_THRESH),
            reord_seen,
            delivered: snd.map_or(0, |s| s.board.rate.delivered),
            delivery_rate,
            delivery_rate_app_limited,
            app_limited: snd.is_some_and(|s| s.board.rate.is_app_limited()),
            pacing_rate: snd.and_then(|s| s.pacing_rate()).unwrap_or(0),
            paced: snd.is_some_and(|s| s.is_paced()),
            busy: self.chrono.busy(now),
            rwnd_limited: self.chrono.spent(now, Limit::PeerWindow),
            sndbuf_limited: self.chrono.spent(now, Limit::SendBuffer),
        }
    }

    /// All that may go has gone: sees what limits the sender from now on (Linux `tcp_chrono`), and tells of a window that
    /// changed.
    pub(super) fn note_limits(&mut self, ctx: &mut Ctx<'_>) {
        let Some(snd) = self.state.sender() else {
            if let Some(chrono) = self.chrono.live() {
                chrono.set(ctx.now, None);
            }
            return;
        };
        let limit = snd.limit(self.wants_write);
        if limit.is_some() || self.chrono.is_live() {
            self.chrono.set(ctx.now, limit);
        }
        let windows = (snd.cwnd(), snd.cc.ssthresh());
        let before = self.windows.replace(windows);
        if before.is_some_and(|before| before != windows) {
            let (cwnd, ssthresh) = windows;
            self.trace(ctx, Trace::Cwnd { cwnd, ssthresh });
        }
    }

    /// Bytes in the send queue that are not acknowledged.
    pub(crate) fn send_queue(&self) -> usize {
        let buf = self.state.sender().map(|s| &s.buf).or(self.state.handshake().map(|hs| &hs.buf));
        buf.map_or(0, |buf| buf.len())
    }

    /// Its options were changed: what is in force follows.
    pub(crate) fn options_changed(&mut self, ctx: &Ctx<'_>) {
        let (congestion, pacing) = (self.options.congestion, self.options.pacing);
        if let Some(snd) = self.state.sender_mut() {
            if snd.cc.name() != congestion.name() {
                snd.set_congestion(ctx.now, congestion);
            }
            snd.set_paced(pacing);
        }
        self.user_timeout_changed();
    }
}
