//! Counters of a stack, and the log of its trace.

use std::collections::VecDeque;

use crate::event::TraceEvent;

macro_rules! stats {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counters of a stack; the names in parentheses are `nstat`'s.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Stats {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Stats {
            /// Every counter by name.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
        }
    };
}

stats! {
    /// Frames handed in, loopback's too.
    frames_in,
    /// Frames taken out, loopback's too.
    frames_out,
    /// Packets with a malformed IP header (`IpInHdrErrors`).
    ip_in_hdr_errors,
    /// Packets to or from an address that is not right on that interface (`IpInAddrErrors`).
    ip_in_addr_errors,
    /// Packets of a protocol nobody handles (`IpInUnknownProtos`).
    ip_in_unknown_protos,
    /// Fragments dropped.
    ip_frag_drops,
    /// Packets dropped because a queue of the stack was full (`IpOutDiscards`).
    ip_out_discards,
    /// ICMP messages received (`IcmpInMsgs`).
    icmp_in_msgs,
    /// ICMP messages that were malformed (`IcmpInErrors`).
    icmp_in_errors,
    /// ICMP messages sent (`IcmpOutMsgs`).
    icmp_out_msgs,
    /// Segments received (`TcpInSegs`).
    tcp_in_segs,
    /// Segments with a malformed header (`TcpInErrs`).
    tcp_in_errs,
    /// Segments with a wrong checksum (`TcpInCsumErrors`).
    tcp_in_csum_errors,
    /// Segments sent, RSTs aside (`TcpOutSegs`).
    tcp_out_segs,
    /// RSTs sent (`TcpOutRsts`).
    tcp_out_rsts,
    /// Segments sent again (`TcpRetransSegs`).
    tcp_retrans_segs,
    /// Retransmission timeouts (`TcpExtTCPTimeouts`).
    tcp_timeouts,
    /// Tail loss probes (`TcpExtTCPLossProbes`).
    tcp_loss_probes,
    /// Recoveries taken back because nothing had been lost (`TcpExtTCPFullUndo` and its relatives).
    tcp_undos,
    /// Connections begun (`TcpActiveOpens`).
    tcp_active_opens,
    /// Connections begun by a peer (`TcpPassiveOpens`).
    tcp_passive_opens,
    /// Handshakes that failed (`TcpAttemptFails`).
    tcp_attempt_fails,
    /// Established connections that were reset or given up (`TcpEstabResets`).
    tcp_estab_resets,
    /// SYNs dropped because a backlog was full (`TcpExtListenDrops`).
    listen_drops,
    /// Handshakes held back because an accept queue was full (`TcpExtListenOverflows`).
    listen_overflows,
    /// Segments refused by PAWS (`TcpExtPAWSEstab`).
    paws_estab,
    /// Challenge acknowledgements (`TcpExtTCPChallengeACK`).
    challenge_acks,
    /// Connections in the table, every state, half-open and TIME-WAIT included.
    connections,
    /// Of them in TIME-WAIT.
    time_wait,
    /// Listeners.
    listeners,
    /// Bytes that receive queues hold, out-of-order data included.
    receive_memory,
    /// Trace events lost because nobody took them.
    trace_lost,
}

/// The trace: off, or a bounded queue.
#[derive(Debug)]
pub(crate) struct TraceLog {
    on: bool,
    max: usize,
    events: VecDeque<TraceEvent>,
    pub(crate) lost: u64,
}

impl TraceLog {
    pub(crate) fn new(on: bool, max: usize) -> Self {
        Self { on, max, events: VecDeque::new(), lost: 0 }
    }

    /// Records an event; costs nothing when off.
    #[inline]
    pub(crate) fn push(&mut self, event: impl FnOnce() -> TraceEvent) {
        if !self.on {
            return;
        }
        if self.events.len() < self.max {
            self.events.push_back(event());
        } else {
            self.lost += 1;
        }
    }

    pub(crate) fn pop(&mut self) -> Option<TraceEvent> {
        self.events.pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    pub(crate) fn set(&mut self, on: bool) {
        self.on = on;
    }
}
