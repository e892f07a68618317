//! Settings of a stack and of its sockets, with their defaults.

use crate::time::Duration;

/// Keys for everything a remote party must not guess. They come from a cryptographic generator at the edge; tests give
/// fixed ones.
#[derive(Clone)]
pub struct Secrets {
    /// Key of the initial sequence numbers (RFC 6528).
    pub isn: [u8; 16],
    /// Key of the local port choice (RFC 6056).
    pub port: [u8; 16],
    /// Key of the demultiplexing tables' hash.
    pub hash: [u8; 16],
    /// Key of SYN cookies and Fast Open cookies.
    pub cookie: [u8; 16],
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets(..)")
    }
}

impl Secrets {
    /// Keys from 64 random bytes.
    pub fn from_bytes(bytes: &[u8; 64]) -> Self {
        let key = |at: usize| {
            let mut key = [0; 16];
            key.copy_from_slice(&bytes[at..at + 16]);
            key
        };
        Self { isn: key(0), port: key(16), hash: key(32), cookie: key(48) }
    }
}

/// Settings of a stack.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whether the stack has a loopback interface (127.0.0.0/8, `::1`).
    pub loopback: bool,
    /// Local ports for connections that name none, inclusive.
    pub ephemeral_ports: (u16, u16),
    /// Most connections at once, TIME-WAIT and half-open ones included.
    pub max_connections: usize,
    /// Most half-open connections of one listener (Linux `tcp_max_syn_backlog`): its backlog, 1,024 at least, up to this
    /// (and up to twice this where cookies bring them while the accept queue is full).
    /// What happens beyond is `syn_cookies`' to say.
    pub max_syn_backlog: usize,
    /// What answers a SYN when nothing more can be remembered of it.
    pub syn_cookies: SynCookies,
    /// Most connections in TIME-WAIT at once; beyond it the oldest ends early.
    pub max_time_wait: usize,
    /// How long TIME-WAIT lasts: 2 MSL, 60 s as in Linux (RFC 9293 §3.4.2).
    pub time_wait: Duration,
    /// Bytes that all receive queues together may hold, bookkeeping of out-of-order data included (the receiving half of
    /// Linux's `tcp_mem`). From three quarters of it on, buffers grow no more and count as no larger than they began; from
    /// all of it on, as no larger than their least, so that windows close; a quarter beyond it, data that exceeds the least
    /// is dropped, and the peer sends it again.
    pub max_receive_memory: usize,
    /// Bytes that all send queues together may hold (the sending half). The same steps; what a connection may always have
    /// queued is its buffer's least, so that none starves.
    pub max_send_memory: usize,
    /// Whether, for devices that do not do so themselves, segments that came one after the other may be merged before TCP looks
    /// at them (see [`Coalescing`](crate::Coalescing)), and large ones be cut behind it (see [`cut`](crate::cut())).
    pub coalesce: bool,
    /// Whether TCP segments that were put together from fragments are given to the driver
    /// ([`Stack::take_aside`](crate::Stack::take_aside)), which knows whose they are, instead of being taken.
    pub tcp_aside: bool,
    /// Whether per-connection trace events (state changes, retransmissions, congestion) are recorded.
    pub trace: bool,
    /// Most trace events that wait to be taken; further ones are counted and lost.
    pub max_trace_events: usize,
    /// Whether packets for others are passed on between interfaces (a router, RFC 1812).
    pub forwarding: bool,
    /// Bounds of what waits for its other fragments.
    pub reassembly: ReassemblyLimits,
    /// Most UDP sockets at once, those of accepted flows included.
    pub max_udp_sockets: usize,
    /// Most raw sockets at once.
    pub max_raw_sockets: usize,
    /// Most echo requests without an outcome that was taken.
    pub max_pings: usize,
    /// Most flows that are held or dropped by decision at once; beyond it those dropped make way, then new ones are
    /// refused in silence.
    pub max_flows: usize,
    /// How long a flow is held without a decision before it is forgotten.
    pub flow_timeout: Duration,
    /// How long an accepted UDP flow may be idle before its socket is closed (RFC 4787 §4.3 REQ-5: at least 2 minutes
    /// for a NAT; a sandbox may ask for less).
    pub udp_flow_idle: Duration,
    /// Keys of the Fast Open cookies that listeners hand out; by default a new one every 12 hours.
    pub fast_open_keys: FastOpenKeys,
    /// Most servers whose Fast Open cookies are kept; beyond it the one used longest ago is forgotten.
    pub max_fast_open_cookies: usize,
    /// Of the bridge between the interfaces that are its ports.
    pub bridge: BridgeConfig,
    /// Most neighbours remembered on an Ethernet interface (ARP and neighbour cache together); of those whose hardware
    /// address is still asked for, a quarter of that. Beyond it the ones that matter least make way.
    pub max_neighbors: usize,
    /// Defaults of the sockets.
    pub socket: SocketOptions,
}

/// Bounds of reassembly (RFC 791 §3.2, RFC 8200 §4.5). What is over a bound is dropped and counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReassemblyLimits {
    /// Most datagrams that wait at once; beyond it the one that would time out first is dropped.
    pub max_datagrams: usize,
    /// Most bytes that all of them hold, bookkeeping included; beyond it the one that would time out first is dropped.
    pub max_bytes: usize,
    /// Most fragments of one datagram; beyond it the datagram is dropped.
    pub max_fragments: usize,
    /// How long an IPv4 datagram waits after its first fragment came (30 s, Linux `ipfrag_time`).
    pub timeout_v4: Duration,
    /// The same for IPv6 (60 s, RFC 8200 §4.5).
    pub timeout_v6: Duration,
}

impl Default for ReassemblyLimits {
    fn default() -> Self {
        Self {
            max_datagrams: 1024,
            max_bytes: 4 << 20,
            max_fragments: 256,
            timeout_v4: Duration::from_secs(30),
            timeout_v6: Duration::from_secs(60),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            loopback: true,
            ephemeral_ports: (32768, 60999),
            max_connections: 262_144,
            max_syn_backlog: 4096,
            syn_cookies: SynCookies::default(),
            max_time_wait: 32_768,
            time_wait: Duration::from_secs(60),
            max_receive_memory: 256 << 20,
            max_send_memory: 256 << 20,
            coalesce: true,
            tcp_aside: false,
            trace: false,
            max_trace_events: 65_536,
            forwarding: false,
            reassembly: ReassemblyLimits::default(),
            max_udp_sockets: 65_536,
            max_raw_sockets: 256,
            max_pings: 4096,
            max_flows: 4096,
            flow_timeout: Duration::from_secs(30),
            udp_flow_idle: Duration::from_secs(120),
            fast_open_keys: FastOpenKeys::Rotating { every: Duration::from_secs(12 * 3600) },
            max_fast_open_cookies: 1024,
            bridge: BridgeConfig::default(),
            max_neighbors: 1024,
            socket: SocketOptions::default(),
        }
    }
}

/// When a listener answers SYNs by cookies (RFC 4987 §3.6; Linux `tcp_syncookies`). A connection that a cookie opened has
/// window scaling and SACK only when the peer has timestamps, an MSS of one of eight values, and a SYN-ACK that is not sent
/// again when it is lost (the peer's SYN is).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SynCookies {
    /// Never: a SYN beyond the bound is dropped, and the peer tries again.
    Off,
    /// While the listener's SYN queue is full.
    #[default]
    WhenFull,
    /// Always: for tests, and for who wants no half-open connections at all.
    Always,
}

/// Settings of a socket. A listener's are inherited by the connections it accepts.
#[derive(Clone, Debug, PartialEq)]
pub struct SocketOptions {
    /// Receive queue: the most the advertised window can be. It grows with what the application takes in a round trip
    /// (Linux `tcp_rmem`).
    pub recv_buffer: BufferSize,
    /// Send queue. It grows with the congestion window (Linux `tcp_wmem`).
    pub send_buffer: BufferSize,
    /// Whether small segments are held back while data is unacknowledged (Nagle, RFC 9293 §3.7.4 SHLD-7, MUST-17).
    pub nagle: bool,
    /// Delay of an acknowledgement while segments come close together (RFC 9293 §3.8.6.3: below 500 ms); 40 ms by
    /// default, as in Linux. It adapts to a trickle of segments further apart, up to five times as much, but never beyond
    /// a round trip, nor 499 ms, whatever is asked for. Zero acknowledges every segment at once.
    pub delayed_ack: Duration,
    /// Acknowledgements of data that are not delayed at the start of a connection and after a loss, so that the sender's
    /// slow start is not held up (as Linux, whose `TCP_MAX_QUICKACKS` is 16); they end early when the application answers
    /// what it gets. 0 delays from the start.
    pub quick_acks: u8,
    /// Probes on an idle connection (RFC 9293 §3.8.4 MUST-24, MUST-25); off by default.
    pub keep_alive: Option<KeepAlive>,
    /// How long sent data may stay unacknowledged before the connection is given up (RFC 5482), in the place of `retries`;
    /// `None` leaves it to them.
    pub user_timeout: Option<Duration>,
    /// Whether the user timeout is told to the peer, and the peer's taken where this end has none of its own (the user
    /// timeout option, RFC 5482). Off by default, as §3.1 wants it.
    pub user_timeout_option: bool,
    /// Retransmissions of data before the connection is given up (R2, RFC 1122 §4.2.3.5; Linux `tcp_retries2`).
    pub retries: u8,
    /// Whether an ICMP error that may pass (net or host unreachable, time exceeded, parameter problem) ends a connection
    /// that is being opened, at once and with that error, as in Linux (RFC 5461 §4.2). Good for who tries addresses one
    /// after the other and hears in a round trip, not in minutes, that one cannot be reached; but a route that is just
    /// changing, or a single forged packet that guesses right, ends it too. Off by default (RFC 9293 §3.9.2.2 MUST-56): the
    /// error is reported, connecting goes on, and when its time is over that error is its outcome.
    pub fail_connect_on_soft_error: bool,
    /// Retransmissions of a SYN before connecting is given up (Linux `tcp_syn_retries`, whose 6 are 127 s); with a first
    /// timeout of 1 s, 7 are 4 minutes (RFC 9293 §3.8.3 MUST-23: 3 at least).
    pub syn_retries: u8,
    /// Retransmissions of a SYN-ACK before a half-open connection is dropped (Linux `tcp_synack_retries`).
    pub synack_retries: u8,
    /// Least retransmission timeout. RFC 6298 §2.4 says 1 s SHOULD be the least; Linux's 200 ms is the default here.
    pub rto_min: Duration,
    /// Greatest retransmission timeout (RFC 6298 §2.5: at least 60 s).
    pub rto_max: Duration,
    /// Hop limit or TTL of its packets (RFC 9293 §3.9.2 MUST-49).
    pub hop_limit: u8,
    /// DSCP of its packets (RFC 9293 §3.9.1.9 MUST-48, SHLD-21), in the upper six bits; the lower two are congestion
    /// notification's own.
    pub traffic_class: u8,
    /// Name of the congestion control.
    pub congestion: Congestion,
    /// Whether a window is spread over its round trip also by algorithms that do not ask for it (as Linux with `fq`). Those
    /// that ask, pace whatever this says.
    pub pacing: bool,
    /// How long an orphaned connection may stay in FIN-WAIT-2 (Linux `tcp_fin_timeout`).
    pub fin_timeout: Duration,
    /// When the path is probed for the segments that it takes.
    pub mtu_probing: MtuProbing,
    /// Caps the MSS that is announced and used, bytes; `None` leaves it to the path.
    pub max_segment_size: Option<u16>,
    /// Whether timestamps are offered and accepted (RFC 7323).
    pub timestamps: bool,
    /// Whether SACK is offered and accepted (RFC 2018).
    pub sack: bool,
    /// Whether window scaling is offered and accepted (RFC 7323).
    pub window_scaling: bool,
    /// Explicit congestion notification: agreed on when the peer asks for it, by default.
    pub ecn: EcnPolicy,
    /// TCP Fast Open (RFC 7413); off by default.
    pub fast_open: FastOpen,
    /// Whether the last segment of a flight is probed before the timeout (RFC 8985 §7, TLP; needs SACK).
    pub loss_probe: bool,
}

/// Which explicit congestion notification (RFC 3168; AccECN, RFC 9768) connections ask for and agree to; the numbers are
/// those of Linux's `tcp_ecn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum EcnPolicy {
    /// 0: neither asks nor agrees.
    Off,
    /// 1: asks for RFC 3168, and agrees to it.
    Classic,
    /// 2: agrees to RFC 3168 when the peer asks for it.
    #[default]
    Passive,
    /// 3: asks for AccECN and agrees to it; to RFC 3168 where the peer knows no better.
    Accurate,
    /// 4: agrees to AccECN and to RFC 3168, asks for RFC 3168.
    AccurateClassic,
    /// 5: agrees to AccECN and to RFC 3168, asks for nothing.
    AccuratePassive,
}

impl EcnPolicy {
    /// By the number that Linux's `tcp_ecn` gives it, 0-5.
    pub fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Off,
            1 => Self::Classic,
            2 => Self::Passive,
            3 => Self::Accurate,
            4 => Self::AccurateClassic,
            5 => Self::AccuratePassive,
            _ => return None,
        })
    }

    /// Its name: `off`, `classic`, `passive`, `accurate`, `accurate-classic`, `accurate-passive`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Classic => "classic",
            Self::Passive => "passive",
            Self::Accurate => "accurate",
            Self::AccurateClassic => "accurate-classic",
            Self::AccuratePassive => "accurate-passive",
        }
    }

    pub(crate) fn accepts_classic(self) -> bool {
        self != Self::Off
    }

    pub(crate) fn accepts_accurate(self) -> bool {
        matches!(self, Self::Accurate | Self::AccurateClassic | Self::AccuratePassive)
    }
}

impl std::str::FromStr for EcnPolicy {
    type Err = ();

    /// By the names of [`as_str`](Self::as_str).
    fn from_str(name: &str) -> Result<Self, ()> {
        (0..=5).filter_map(Self::from_number).find(|policy| policy.as_str() == name).ok_or(())
    }
}

/// TCP Fast Open (RFC 7413): data on the SYN. A SYN's data may reach the application twice when the network repeats it
/// (§2.1): it is for requests that can be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FastOpen {
    /// Active opens ask the server for a cookie, and send the first data on the SYN once they have one.
    pub connect: bool,
    /// Active opens send data on the SYN without a cookie too (Linux `tcp_fastopen` 0x4): only among servers that are
    /// known to take it (§6.2, Linux `tcp_fastopen` 0x200).
    pub connect_without_cookie: bool,
    /// How long a SYN that may carry data waits for the first write, or a shutdown. 10 ms by default.
    pub hold: Duration,
    /// Most connections of a listener that exchange data before their handshake is over (§5.1, `TCP_FASTOPEN`); beyond
    /// it handshakes are ordinary. One that its peer resets counts for another minute. 0, the default, turns it off.
    pub queue: u32,
    /// A listener takes data without a cookie: every SYN may then be forged (§6.2, Linux `tcp_fastopen` 0x200).
    pub accept_without_cookie: bool,
}

impl Default for FastOpen {
    fn default() -> Self {
        Self {
            connect: false,
            connect_without_cookie: false,
            hold: Duration::from_millis(10),
            queue: 0,
            accept_without_cookie: false,
        }
    }
}

/// What the Fast Open cookies that we hand out are made with (RFC 7413 §4.1.2).
#[derive(Clone, PartialEq, Eq)]
pub enum FastOpenKeys {
    /// Keys derived from [`Secrets::cookie`], another one every so often. A cookie counts until the key after its own
    /// has run out; its holder gets a new one meanwhile.
    Rotating {
        /// How long a key is used.
        every: Duration,
    },
    /// These, so that several stacks behind one address take each other's cookies.
    Fixed {
        /// Makes cookies.
        primary: [u8; 16],
        /// Made them before: they still count, and their holders get new ones.
        backup: Option<[u8; 16]>,
    },
}

impl std::fmt::Debug for FastOpenKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rotating { every } => f.debug_struct("Rotating").field("every", every).finish(),
            Self::Fixed { .. } => f.write_str("Fixed(..)"),
        }
    }
}

/// How large a queue of a connection may be, bytes: 2 KiB - 1 GiB. No memory is set aside for it; a queue holds what is in
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BufferSize {
    /// This large; it does not tune itself.
    Fixed(usize),
    /// It grows with need.
    Auto {
        /// What it always may hold, however short the stack's memory is.
        min: usize,
        /// What it begins with.
        default: usize,
        /// What it grows to at most.
        max: usize,
    },
}

impl BufferSize {
    /// The receive queue of a socket that says nothing.
    pub const RECV: Self = Self::Auto { min: 4 << 10, default: 1 << 20, max: 6 << 20 };
    /// The send queue of a socket that says nothing.
    pub const SEND: Self = Self::Auto { min: 16 << 10, default: 1 << 20, max: 4 << 20 };
    /// What a buffer of a fixed size may always hold, if it is that large.
    const LEAST: usize = 4 << 10;

    /// What it may always hold.
    pub fn min(self) -> usize {
        match self {
            Self::Fixed(n) => n.min(Self::LEAST),
            Self::Auto { min, default, .. } => min.min(default),
        }
    }

    /// What it begins with.
    pub fn initial(self) -> usize {
        match self {
            Self::Fixed(n) | Self::Auto { default: n, .. } => n,
        }
    }

    /// What it grows to at most.
    pub fn max(self) -> usize {
        match self {
            Self::Fixed(n) => n,
            Self::Auto { default, max, .. } => max.max(default),
        }
    }
}

impl From<usize> for BufferSize {
    fn from(bytes: usize) -> Self {
        Self::Fixed(bytes)
    }
}

/// Packetization-layer path MTU discovery (RFC 4821; Linux `tcp_mtu_probing`), beside what ICMP reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum MtuProbing {
    /// Never.
    Off,
    /// When large segments seem to vanish: after three timeouts in a row.
    #[default]
    BlackHole,
    /// From the base size of 1,024 bytes payload (IPv4) or 1,280-byte packets (IPv6) upwards, from the start.
    Always,
}

/// What a bridge remembers of stations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BridgeConfig {
    /// For how long, after a station was heard (IEEE 802.1D table 7-5: 300 s).
    pub ageing: Duration,
    /// Of how many; what is for others goes to every port.
    pub max_entries: usize,
}

impl Default for BridgeConfig {
    /// 300 s, 8,192 stations.
    fn default() -> Self {
        Self { ageing: Duration::from_secs(300), max_entries: 8192 }
    }
}

/// When an idle connection is probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    /// Idle time before the first probe (default 2 h, RFC 9293 §3.8.4 MUST-28).
    pub idle: Duration,
    /// Time between probes.
    pub interval: Duration,
    /// Unanswered probes before the connection is given up.
    pub count: u8,
}

impl Default for KeepAlive {
    fn default() -> Self {
        Self { idle: Duration::from_secs(7200), interval: Duration::from_secs(75), count: 9 }
    }
}

/// Congestion control algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Congestion {
    /// RFC 9438 with RFC 9406: `cubic`.
    #[default]
    Cubic,
    /// RFC 5681 with RFC 6582: `newreno`.
    NewReno,
    /// BBR version 3 (draft-ietf-ccwg-bbr), paced: `bbr`.
    Bbr,
}

impl Congestion {
    /// Every algorithm.
    pub const ALL: [Self; 3] = [Self::Cubic, Self::NewReno, Self::Bbr];

    /// The name that sockets choose it by.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cubic => "cubic",
            Self::NewReno => "newreno",
            Self::Bbr => "bbr",
        }
    }
}

/// No algorithm has that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no congestion control is named '{0}': choose one of {names}", names = Congestion::ALL.map(Congestion::name).join(", "))]
pub struct UnknownCongestion(pub String);

impl std::str::FromStr for Congestion {
    type Err = UnknownCongestion;

    /// By [`name`](Self::name); `reno`, Linux's name, is `newreno` too.
    fn from_str(name: &str) -> Result<Self, UnknownCongestion> {
        let known = if name == "reno" { "newreno" } else { name };
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == known)
            .ok_or_else(|| UnknownCongestion(name.to_owned()))
    }
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            recv_buffer: BufferSize::RECV,
            send_buffer: BufferSize::SEND,
            nagle: true,
            delayed_ack: Duration::from_millis(40),
            quick_acks: 16,
            keep_alive: None,
            user_timeout: None,
            user_timeout_option: false,
            retries: 15,
            fail_connect_on_soft_error: false,
            syn_retries: 7,
            synack_retries: 5,
            rto_min: Duration::from_millis(200),
            rto_max: Duration::from_secs(120),
            hop_limit: 64,
            traffic_class: 0,
            congestion: Congestion::default(),
            pacing: false,
            fin_timeout: Duration::from_secs(60),
            mtu_probing: MtuProbing::default(),
            max_segment_size: None,
            timestamps: true,
            sack: true,
            window_scaling: true,
            ecn: EcnPolicy::default(),
            fast_open: FastOpen::default(),
            loss_probe: true,
        }
    }
}
