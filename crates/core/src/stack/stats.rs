//! Counters of a stack, and the log of its trace.

use std::collections::VecDeque;

use crate::event::TraceEvent;

/// What `nstat` calls a counter, if it knows one like it.
macro_rules! nstat_name {
    () => {
        None
    };
    ($name:literal) => {
        Some($name)
    };
}

macro_rules! stats {
    ($($(#[$doc:meta])* $name:ident $(= $nstat:literal)?,)*) => {
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

            /// Adds those of another stack.
            pub fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
            }

            /// The counters that Linux has too, under the names that `nstat` prints (those of `/proc/net/snmp` and
            /// `/proc/net/netstat`).
            pub fn nstat(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [$((nstat_name!($($nstat)?), self.$name),)*]
                    .into_iter()
                    .filter_map(|(name, value)| Some((name?, value)))
            }
        }
    };
}

stats! {
    /// Frames handed in, loopback's too.
    frames_in,
    /// Frames taken out, loopback's too.
    frames_out,
    /// Segments that were merged into the one before them, before TCP looked at them. All other counters count them too.
    tcp_in_coalesced,
    /// Datagrams that came in one frame with the one before them. All other counters but `frames_in` count them too.
    udp_in_merged,
    /// Datagrams that went out in one frame with the one before them. All other counters but `frames_out` count them too.
    udp_out_merged,
    /// Ethernet frames that were malformed, and ARP packets.
    link_in_errors,
    /// Ethernet frames for other stations, of other protocols, or our own come back; any, while the interface is down.
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
    ip_in_hdr_errors = "IpInHdrErrors",
    /// Packets to or from an address that is not right on that interface (`IpInAddrErrors`).
    ip_in_addr_errors = "IpInAddrErrors",
    /// Packets of a protocol nobody handles (`IpInUnknownProtos`).
    ip_in_unknown_protos = "IpInUnknownProtos",
    /// Packets that a router found no route for (`IpInNoRoutes`).
    ip_in_no_routes = "IpInNoRoutes",
    /// Packets passed on (`IpForwDatagrams`).
    ip_forw_datagrams = "IpForwDatagrams",
    /// Packets that are not ECN-capable (`IpExtInNoECTPkts`).
    ip_in_no_ect_pkts = "IpExtInNoECTPkts",
    /// Packets marked ECT(1) (`IpExtInECT1Pkts`).
    ip_in_ect1_pkts = "IpExtInECT1Pkts",
    /// Packets marked ECT(0) (`IpExtInECT0Pkts`).
    ip_in_ect0_pkts = "IpExtInECT0Pkts",
    /// Packets marked as having met congestion (`IpExtInCEPkts`).
    ip_in_ce_pkts = "IpExtInCEPkts",
    /// Fragments dropped: duplicates, and those of datagrams that were given up.
    ip_frag_drops,
    /// Fragments received (`IpReasmReqds`).
    ip_reasm_reqds = "IpReasmReqds",
    /// Datagrams reassembled (`IpReasmOKs`).
    ip_reasm_oks = "IpReasmOKs",
    /// Datagrams given up (`IpReasmFails`).
    ip_reasm_fails = "IpReasmFails",
    /// Of them because their time ran out (`IpReasmTimeout`).
    ip_reasm_timeout = "IpReasmTimeout",
    /// Of them because fragments overlapped (`TcpExtIpReasmOverlaps`).
    ip_reasm_overlaps = "TcpExtIpReasmOverlaps",
    /// Of them because others needed their place.
    ip_reasm_evicted,
    /// Packets cut (`IpFragOKs`).
    ip_frag_oks = "IpFragOKs",
    /// Packets that had to be cut and could not be (`IpFragFails`).
    ip_frag_fails = "IpFragFails",
    /// Fragments made (`IpFragCreates`).
    ip_frag_creates = "IpFragCreates",
    /// Packets dropped because a queue of the stack was full (`IpOutDiscards`).
    ip_out_discards = "IpOutDiscards",
    /// ICMP messages received (`IcmpInMsgs`).
    icmp_in_msgs = "IcmpInMsgs",
    /// ICMP messages that were malformed (`IcmpInErrors`).
    icmp_in_errors = "IcmpInErrors",
    /// ICMP messages sent (`IcmpOutMsgs`).
    icmp_out_msgs = "IcmpOutMsgs",
    /// ICMP errors not sent because there had been too many (`IcmpOutRateLimitGlobal`).
    icmp_rate_limited = "IcmpOutRateLimitGlobal",
    /// Datagrams delivered (`UdpInDatagrams`).
    udp_in_datagrams = "UdpInDatagrams",
    /// Datagrams to ports nobody has (`UdpNoPorts`).
    udp_no_ports = "UdpNoPorts",
    /// Malformed datagrams (`UdpInErrors`).
    udp_in_errors = "UdpInErrors",
    /// Datagrams with a wrong checksum (`UdpInCsumErrors`).
    udp_in_csum_errors = "UdpInCsumErrors",
    /// Datagrams dropped because a receive queue was full (`UdpRcvbufErrors`).
    udp_rcvbuf_errors = "UdpRcvbufErrors",
    /// Datagrams sent (`UdpOutDatagrams`).
    udp_out_datagrams = "UdpOutDatagrams",
    /// Datagrams refused because a send buffer was full (`UdpSndbufErrors`).
    udp_sndbuf_errors = "UdpSndbufErrors",
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
    tcp_in_segs = "TcpInSegs",
    /// Segments with a malformed header (`TcpInErrs`).
    tcp_in_errs = "TcpInErrs",
    /// Segments with a wrong checksum (`TcpInCsumErrors`).
    tcp_in_csum_errors = "TcpInCsumErrors",
    /// Segments sent, RSTs aside (`TcpOutSegs`).
    tcp_out_segs = "TcpOutSegs",
    /// RSTs sent (`TcpOutRsts`).
    tcp_out_rsts = "TcpOutRsts",
    /// Segments sent again (`TcpRetransSegs`).
    tcp_retrans_segs = "TcpRetransSegs",
    /// Retransmission timeouts (`TcpExtTCPTimeouts`).
    tcp_timeouts = "TcpExtTCPTimeouts",
    /// Tail loss probes (`TcpExtTCPLossProbes`).
    tcp_loss_probes = "TcpExtTCPLossProbes",
    /// Fast recoveries begun on a connection with SACK (`TcpExtTCPSackRecovery`).
    tcp_sack_recovery = "TcpExtTCPSackRecovery",
    /// Fast recoveries begun on a connection without (`TcpExtTCPRenoRecovery`).
    tcp_reno_recovery = "TcpExtTCPRenoRecovery",
    /// Segments sent again in fast recovery (`TcpExtTCPFastRetrans`).
    tcp_fast_retrans = "TcpExtTCPFastRetrans",
    /// Segments sent again after a timeout (`TcpExtTCPSlowStartRetrans`).
    tcp_slow_start_retrans = "TcpExtTCPSlowStartRetrans",
    /// SYNs and SYN-ACKs sent again (`TcpExtTCPSynRetrans`).
    tcp_syn_retrans = "TcpExtTCPSynRetrans",
    /// Retransmissions that were lost too (`TcpExtTCPLostRetransmit`).
    tcp_lost_retransmit = "TcpExtTCPLostRetransmit",
    /// Losses that a tail loss probe repaired (`TcpExtTCPLossProbeRecovery`).
    tcp_loss_probe_recovery = "TcpExtTCPLossProbeRecovery",
    /// Recoveries taken back because nothing had been lost, whichever way that was seen: the next four together, and
    /// those of a reduction that had ended.
    tcp_undos,
    /// Of them fast recoveries whose whole window turned out to have arrived (`TcpExtTCPFullUndo`).
    tcp_full_undo = "TcpExtTCPFullUndo",
    /// Of them fast recoveries in their course (`TcpExtTCPPartialUndo`).
    tcp_partial_undo = "TcpExtTCPPartialUndo",
    /// Of them by D-SACKs: every retransmission had been a duplicate (`TcpExtTCPDSACKUndo`).
    tcp_dsack_undo = "TcpExtTCPDSACKUndo",
    /// Of them timeouts (`TcpExtTCPLossUndo`).
    tcp_loss_undo = "TcpExtTCPLossUndo",
    /// Timeouts that F-RTO found to be spurious (`TcpExtTCPSpuriousRTOs`).
    tcp_spurious_rtos = "TcpExtTCPSpuriousRTOs",
    /// Segments that arrived behind later ones, as SACKs told (`TcpExtTCPSACKReorder`).
    tcp_sack_reorder = "TcpExtTCPSACKReorder",
    /// Peers that took back what they had SACKed (`TcpExtTCPSACKReneging`).
    tcp_sack_reneging = "TcpExtTCPSACKReneging",
    /// Duplicates that peers reported (`TcpExtTCPDSACKRecv`).
    tcp_dsack_recv = "TcpExtTCPDSACKRecv",
    /// Duplicates of what was acknowledged that we reported (`TcpExtTCPDSACKOldSent`).
    tcp_dsack_old_sent = "TcpExtTCPDSACKOldSent",
    /// Duplicates of what lies ahead of a gap that we reported (`TcpExtTCPDSACKOfoSent`).
    tcp_dsack_ofo_sent = "TcpExtTCPDSACKOfoSent",
    /// Acknowledgements that waited until their time was over (`TcpExtDelayedACKs`).
    delayed_acks = "TcpExtDelayedACKs",
    /// Segments that arrived ahead of a gap (`TcpExtTCPOFOQueue`).
    tcp_ofo_queue = "TcpExtTCPOFOQueue",
    /// Keep-alive probes (`TcpExtTCPKeepAlive`).
    tcp_keep_alive = "TcpExtTCPKeepAlive",
    /// Probes of closed windows (`TcpExtTCPWinProbe`).
    tcp_win_probe = "TcpExtTCPWinProbe",
    /// Connections reset because data came after the application had closed (`TcpExtTCPAbortOnData`).
    tcp_abort_on_data = "TcpExtTCPAbortOnData",
    /// Connections reset because the application closed without reading everything (`TcpExtTCPAbortOnClose`).
    tcp_abort_on_close = "TcpExtTCPAbortOnClose",
    /// Connections given up because nothing was heard (`TcpExtTCPAbortOnTimeout`).
    tcp_abort_on_timeout = "TcpExtTCPAbortOnTimeout",
    /// Packets of ours that peers say were marked (`TcpExtTCPDeliveredCE`).
    tcp_delivered_ce = "TcpExtTCPDeliveredCE",
    /// Windows reduced because of marks.
    tcp_ecn_reductions,
    /// Connections begun (`TcpActiveOpens`).
    tcp_active_opens = "TcpActiveOpens",
    /// Connections begun by a peer (`TcpPassiveOpens`).
    tcp_passive_opens = "TcpPassiveOpens",
    /// Handshakes that failed (`TcpAttemptFails`).
    tcp_attempt_fails = "TcpAttemptFails",
    /// Established connections that were reset or given up (`TcpEstabResets`).
    tcp_estab_resets = "TcpEstabResets",
    /// Connections in ESTABLISHED or CLOSE-WAIT now (`TcpCurrEstab`).
    tcp_curr_estab = "TcpCurrEstab",
    /// SYNs dropped because a backlog was full (`TcpExtListenDrops`).
    listen_drops = "TcpExtListenDrops",
    /// Handshakes held back because an accept queue was full (`TcpExtListenOverflows`).
    listen_overflows = "TcpExtListenOverflows",
    /// SYN cookies sent (`TcpExtSyncookiesSent`).
    syncookies_sent = "TcpExtSyncookiesSent",
    /// SYN cookies that came back (`TcpExtSyncookiesRecv`).
    syncookies_recv = "TcpExtSyncookiesRecv",
    /// Acknowledgements to a listener that sent cookies which were none, or too old (`TcpExtSyncookiesFailed`).
    syncookies_failed = "TcpExtSyncookiesFailed",
    /// SYNs sent with data (`TcpExtTCPFastOpenActive`).
    fast_open_active = "TcpExtTCPFastOpenActive",
    /// Of them those whose data was not acknowledged with the SYN, or not wholly (`TcpExtTCPFastOpenActiveFail`).
    fast_open_active_fail = "TcpExtTCPFastOpenActiveFail",
    /// Connections that listeners opened before the handshake was over (`TcpExtTCPFastOpenPassive`).
    fast_open_passive = "TcpExtTCPFastOpenPassive",
    /// Cookies that were wrong (`TcpExtTCPFastOpenPassiveFail`).
    fast_open_passive_fail = "TcpExtTCPFastOpenPassiveFail",
    /// Cookies that were right under the key before (`TcpExtTCPFastOpenPassiveAltKey`).
    fast_open_passive_alt_key = "TcpExtTCPFastOpenPassiveAltKey",
    /// SYNs treated as ordinary ones because too many connections were open before their handshake was over
    /// (`TcpExtTCPFastOpenListenOverflow`).
    fast_open_listen_overflow = "TcpExtTCPFastOpenListenOverflow",
    /// Requests for a cookie (`TcpExtTCPFastOpenCookieReqd`).
    fast_open_cookie_reqd = "TcpExtTCPFastOpenCookieReqd",
    /// SYNs with data that got no answer in time (`TcpExtTCPFastOpenBlackhole`).
    fast_open_blackhole = "TcpExtTCPFastOpenBlackhole",
    /// Times that segments above the base size vanished and a connection fell back to it (RFC 4821 §7.7).
    tcp_mtup_black_holes,
    /// Probes of the path that got through (`TcpExtTCPMTUPSuccess`).
    tcp_mtup_success = "TcpExtTCPMTUPSuccess",
    /// Sizes that were found to be too large (`TcpExtTCPMTUPFail`).
    tcp_mtup_fail = "TcpExtTCPMTUPFail",
    /// Segments refused by PAWS (`TcpExtPAWSEstab`).
    paws_estab = "TcpExtPAWSEstab",
    /// Challenge acknowledgements (`TcpExtTCPChallengeACK`).
    challenge_acks = "TcpExtTCPChallengeACK",
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
    tcp_rcvq_drop = "TcpExtTCPRcvQDrop",
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
