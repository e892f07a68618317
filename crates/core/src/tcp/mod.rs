//! TCP (RFC 9293).
//!
//! | file | concern |
//! |---|---|
//! | `connection` | a connection's identity, what the application calls, the one transition |
//! | `state` | one struct per state, and the transitions as a table |
//! | `handshake` | SYN-SENT, SYN-RECEIVED |
//! | `ecn` | congestion that the network marks (RFC 3168, RFC 9768) |
//! | `fastopen`, `fastopen_cookies` | data on the SYN (RFC 7413), and what entitles to it |
//! | `segment` | segments in the synchronised states |
//! | `output` | segments out, timers |
//! | `send`, `send_buffer` | what may be sent when |
//! | `recovery`, `scoreboard`, `rtt` | acknowledgements, loss detection (RACK-TLP), recovery (PRR), undo, timers |
//! | `congestion` | how large the window is: one file per algorithm |
//! | `recv`, `recv_queue`, `assembler` | the receive side |
//! | `buffers` | how much may be queued, and how that grows |

mod assembler;
mod buffers;
mod congestion;
mod connection;
mod ecn;
mod fastopen;
mod fastopen_cookies;
mod handshake;
mod output;
mod recovery;
mod recv;
mod recv_queue;
mod rtt;
mod scoreboard;
mod segment;
mod send;
mod send_buffer;
mod state;

use std::fmt;

pub(crate) use buffers::{Level, Memory};
pub(crate) use connection::{Connection, Ctx, Owner, Path, Segment, Tuple, Verdict, default_mss};
pub(crate) use fastopen::Grant;
pub(crate) use fastopen_cookies::{CookieCache, CookieKeys, Worth};

pub use ecn::EcnMode;

use crate::time::Duration;

/// The states of RFC 9293 §3.3.2, under the names `ss` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum StateName {
    Closed,
    Listen,
    SynSent,
    SynReceived,
    Established,
    FinWait1,
    FinWait2,
    CloseWait,
    Closing,
    LastAck,
    TimeWait,
}

impl StateName {
    /// The name as the RFC writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "CLOSED",
            Self::Listen => "LISTEN",
            Self::SynSent => "SYN-SENT",
            Self::SynReceived => "SYN-RECEIVED",
            Self::Established => "ESTABLISHED",
            Self::FinWait1 => "FIN-WAIT-1",
            Self::FinWait2 => "FIN-WAIT-2",
            Self::CloseWait => "CLOSE-WAIT",
            Self::Closing => "CLOSING",
            Self::LastAck => "LAST-ACK",
            Self::TimeWait => "TIME-WAIT",
        }
    }
}

impl fmt::Display for StateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

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
}
