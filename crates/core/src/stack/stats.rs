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
    /// Ethernet frames that were malformed, and ARP packets.
    link_in_errors,
    /// Ethernet frames for other stations, of other protocols, or our own come back.
    link_in_filtered,
    /// ARP packets received.
    arp_in_msgs,
    /// ARP packets sent.
    arp_out_msgs,
    /// Neighbour discovery messages that were malformed or not to be believed.
    nd_in_errors,
    /// Neighbours that did not answer.
    neighbor_failed,
    /// Neighbours forgotten because others needed their place.
    neighbor_evicted,
    /// Packets dropped because their neighbour did not answer, or too many waited for it.
    neighbor_drops,
    /// Times another station claimed an address of ours.
    address_conflicts,
    /// Multicast membership messages (IGMP, MLD) that were malformed or not to be believed.
    igmp_in_errors,
    /// Redirects believed.
    redirects,
    /// Packets with a malformed IP header (`IpInHdrErrors`).
    ip_in_hdr_errors,
    /// Packets to or from an address that is not right on that interface (`IpInAddrErrors`).
    ip_in_addr_errors,
    /// Packets of a protocol nobody handles (`IpInUnknownProtos`).
    ip_in_unknown_protos,
    /// Packets that a router found no route for (`IpInNoRoutes`).
    ip_in_no_routes,
    /// Packets passed on (`IpForwDatagrams`).
    ip_forw_datagrams,
    /// Packets that are not ECN-capable (`IpExtInNoECTPkts`).
    ip_in_no_ect_pkts,
    /// Packets marked ECT(1) (`IpExtInECT1Pkts`).
    ip_in_ect1_pkts,
    /// Packets marked ECT(0) (`IpExtInECT0Pkts`).
    ip_in_ect0_pkts,
    /// Packets marked as having met congestion (`IpExtInCEPkts`).
    ip_in_ce_pkts,
    /// Fragments dropped: duplicates, and those of datagrams that were given up.
    ip_frag_drops,
    /// Fragments received (`IpReasmReqds`).
    ip_reasm_reqds,
    /// Datagrams reassembled (`IpReasmOKs`).
    ip_reasm_oks,
    /// Datagrams given up (`IpReasmFails`).
    ip_reasm_fails,
    /// Of them because their time ran out (`IpReasmTimeout`).
    ip_reasm_timeout,
    /// Of them because fragments overlapped (`TcpExtIpReasmOverlaps`).
    ip_reasm_overlaps,
    /// Of them because others needed their place.
    ip_reasm_evicted,
    /// Packets cut (`IpFragOKs`).
    ip_frag_oks,
    /// Packets that had to be cut and could not be (`IpFragFails`).
    ip_frag_fails,
    /// Fragments made (`IpFragCreates`).
    ip_frag_creates,
    /// Packets dropped because a queue of the stack was full (`IpOutDiscards`).
    ip_out_discards,
    /// ICMP messages received (`IcmpInMsgs`).
    icmp_in_msgs,
    /// ICMP messages that were malformed (`IcmpInErrors`).
    icmp_in_errors,
    /// ICMP messages sent (`IcmpOutMsgs`).
    icmp_out_msgs,
    /// ICMP errors not sent because there had been too many (`IcmpOutRateLimitGlobal`).
    icmp_rate_limited,
    /// Datagrams delivered (`UdpInDatagrams`).
    udp_in_datagrams,
    /// Datagrams to ports nobody has (`UdpNoPorts`).
    udp_no_ports,
    /// Malformed datagrams (`UdpInErrors`).
    udp_in_errors,
    /// Datagrams with a wrong checksum (`UdpInCsumErrors`).
    udp_in_csum_errors,
    /// Datagrams dropped because a receive queue was full (`UdpRcvbufErrors`).
    udp_rcvbuf_errors,
    /// Datagrams sent (`UdpOutDatagrams`).
    udp_out_datagrams,
    /// Datagrams refused because a send buffer was full (`UdpSndbufErrors`).
    udp_sndbuf_errors,
    /// Packets dropped because a raw socket's receive queue was full.
    raw_rcvbuf_errors,
    /// Flows that were held for a decision.
    flows_held,
    /// Packets dropped because their flow was, or because too much waited for decisions.
    flow_drops,
    /// New flows dropped because too many waited.
    flow_overflows,
    /// Flows that waited too long, and UDP flows that were idle too long.
    flow_timeouts,
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
    /// Packets of ours that peers say were marked (`TcpExtTCPDeliveredCE`).
    tcp_delivered_ce,
    /// Windows reduced because of marks.
    tcp_ecn_reductions,
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
    /// SYN cookies sent (`TcpExtSyncookiesSent`).
    syncookies_sent,
    /// SYN cookies that came back (`TcpExtSyncookiesRecv`).
    syncookies_recv,
    /// Acknowledgements to a listener that sent cookies which were none, or too old (`TcpExtSyncookiesFailed`).
    syncookies_failed,
    /// SYNs sent with data (`TcpExtTCPFastOpenActive`).
    fast_open_active,
    /// Of them those whose data was not acknowledged with the SYN, or not wholly (`TcpExtTCPFastOpenActiveFail`).
    fast_open_active_fail,
    /// Connections that listeners opened before the handshake was over (`TcpExtTCPFastOpenPassive`).
    fast_open_passive,
    /// Cookies that were wrong (`TcpExtTCPFastOpenPassiveFail`).
    fast_open_passive_fail,
    /// Cookies that were right under the key before (`TcpExtTCPFastOpenPassiveAltKey`).
    fast_open_passive_alt_key,
    /// SYNs treated as ordinary ones because too many connections were open before their handshake was over
    /// (`TcpExtTCPFastOpenListenOverflow`).
    fast_open_listen_overflow,
    /// Requests for a cookie (`TcpExtTCPFastOpenCookieReqd`).
    fast_open_cookie_reqd,
    /// SYNs with data that got no answer in time (`TcpExtTCPFastOpenBlackhole`).
    fast_open_blackhole,
    /// Times that segments above the base size vanished and a connection fell back to it (RFC 4821 §7.7).
    tcp_mtup_black_holes,
    /// Probes of the path that got through (`TcpExtTCPMTUPSuccess`).
    tcp_mtup_success,
    /// Sizes that were found to be too large (`TcpExtTCPMTUPFail`).
    tcp_mtup_fail,
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
    /// UDP sockets.
    udp_sockets,
    /// Flows that wait or are remembered.
    flows,
    /// Datagrams that wait for fragments.
    reassembly_datagrams,
    /// Bytes they hold, bookkeeping included.
    reassembly_memory,
    /// Segments whose data was dropped because receive memory was used up (`TcpExtTCPRcvQDrop`).
    tcp_rcvq_drop,
    /// Bytes that receive queues hold, out-of-order data included with its bookkeeping.
    receive_memory,
    /// Bytes that send queues hold.
    send_memory,
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
