//! TCP (RFC 9293).
//!
//! | file | concern |
//! |---|---|
//! | `connection` | a connection's identity, what the application calls, the one transition |
//! | `state` | one struct per state, and the transitions as a table |
//! | `handshake` | SYN-SENT, SYN-RECEIVED |
//! | `ecn`, `ecn_option` | congestion that the network marks (RFC 3168, RFC 9768) |
//! | `fastopen`, `fastopen_cookies` | data on the SYN (RFC 7413), and what entitles to it |
//! | `segment` | segments in the synchronised states |
//! | `output` | segments out, timers |
//! | `send`, `send_buffer` | what may be sent when |
//! | `recovery`, `scoreboard`, `rtt` | acknowledgements, loss detection (RACK-TLP), recovery (PRR), undo, timers |
//! | `congestion` | how large the window is: one file per algorithm |
//! | `rate`, `pacing` | how fast data is delivered, and how fast it is sent |
//! | `info`, `chrono`, `tally` | what is shown of a connection, what it spends its time on, what the stack counts |
//! | `pmtud` | the path's MTU, by ICMP and by probing |
//! | `recv`, `recv_queue`, `assembler`, `ack_timeout` | the receive side |
//! | `urgent`, `user_timeout` | urgent data, both ways (RFC 6093); the user timeout option (RFC 5482) |
//! | `soft_error` | what is told of deliveries that fail and may yet succeed |
//! | `buffers` | how much may be queued, and how that grows |

mod ack_timeout;
mod assembler;
mod buffers;
mod chrono;
mod congestion;
mod connection;
mod ecn;
mod ecn_option;
mod fastopen;
mod fastopen_cookies;
mod handshake;
mod info;
mod output;
mod pacing;
mod pmtud;
mod rate;
mod recovery;
mod recv;
mod recv_queue;
mod rtt;
mod scoreboard;
mod segment;
mod send;
mod send_buffer;
mod soft_error;
mod spurious;
mod state;
mod tally;
mod urgent;
mod user_timeout;

use std::fmt;

pub use info::{CaState, Info};

pub(crate) use buffers::{Level, Memory};
pub(crate) use connection::{Connection, Ctx, Owner, Path, Segment, Tuple, Verdict, default_mss};
pub(crate) use fastopen::Grant;
pub(crate) use fastopen_cookies::{CookieCache, CookieKeys, Worth};
pub(crate) use send_buffer::BlockPool;
pub(crate) use soft_error::{Severity, Undelivered};

pub use ecn::EcnMode;

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
