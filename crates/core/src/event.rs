//! What the stack tells its driver: readiness of sockets (coalesced, so their number is bounded by the sockets'), and,
//! where asked for, a trace of what happened inside.

use std::net::{IpAddr, SocketAddr};

use bitflags::bitflags;

use crate::error::ConnectionError;
use crate::interface::{AddressState, InterfaceId};
use crate::tcp::StateName;
use crate::time::{Duration, Instant};

slotmap::new_key_type! {
    /// Names a TCP connection; generational, so a stale one is an error and never another connection.
    pub struct SocketId;
    /// Names a TCP listener.
    pub struct ListenerId;
    /// Names a UDP socket.
    pub struct UdpId;
    /// Names a raw IP socket.
    pub struct RawId;
    /// Names an echo request of ours.
    pub struct PingId;
    /// Names a flow that waits for a decision.
    pub struct FlowId;
}

bitflags! {
    /// What changed on a connection since it was last reported. A hint: look at the socket for the truth.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
    pub struct Ready: u8 {
        /// The handshake is complete.
        const CONNECTED = 1 << 0;
        /// There is something to read: data, the end of the stream, or an error.
        const READABLE = 1 << 1;
        /// There is room in the send queue again after a short send.
        const WRITABLE = 1 << 2;
        /// Our FIN was acknowledged: all we sent has arrived.
        const FLUSHED = 1 << 3;
        /// The connection ended with an error (see `tcp_error`).
        const ERROR = 1 << 4;
        /// The connection is gone from the network (closed on both sides, TIME-WAIT included as gone, or aborted).
        const CLOSED = 1 << 5;
        /// The peer announced urgent data, or more of it (RFC 9293 §3.8.5; see [`Info::urgent`](crate::tcp::Info)).
        const URGENT = 1 << 6;
        /// Something is amiss with deliveries that does not end the connection (RFC 9293 §3.9.1.8; see
        /// [`Stack::tcp_take_report`](crate::Stack::tcp_take_report)).
        const REPORT = 1 << 7;
    }
}

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Something changed on a connection.
    Socket(SocketId, Ready),
    /// A connection can be accepted.
    Acceptable(ListenerId),
    /// Something changed on a UDP socket: a datagram or an error to read, room to send, or (of an accepted flow) its end.
    Udp(UdpId, Ready),
    /// Something changed on a raw socket: a packet to read, or room to send.
    Raw(RawId, Ready),
    /// An echo request has its outcome; the id is stale from here on.
    Ping(PingId, PingOutcome),
    /// A new flow is held and waits for a decision (see [`Stack::flow_info`](crate::Stack::flow_info)).
    Flow(FlowId),
    /// An address of an interface came or went, or what may be done with it changed by itself: it was checked, turned out to
    /// be somebody else's, became deprecated. A hint: [`Stack::interface_addresses`](crate::Stack) has the truth. At most
    /// 256 of these and of [`Event::Link`] (but for lost ones) wait; further ones are lost.
    Address(InterfaceId, IpAddr, AddressChange),
    /// The state of an interface's link changed.
    Link(InterfaceId, LinkChange),
}

/// What became of an interface's link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LinkChange {
    /// It carries frames again (see [`Stack::set_link`](crate::Stack::set_link)).
    Up,
    /// It carries none until it is up again.
    Down,
    /// Its device failed; the interface is gone.
    Lost,
}

/// What became of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AddressChange {
    /// It is new, in that state; those that the interface was made with are not told of.
    Added(AddressState),
    /// It has that state now.
    Is(AddressState),
    /// It is no more: it was removed, or its lifetime ran out.
    Removed,
    /// Somebody else claims it; it is defended and kept (RFC 5227 §2.4).
    Contested,
}

/// What became of an echo request. Times are from the request's transmission to the answer's arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PingOutcome {
    /// It was answered.
    Reply {
        /// By whom.
        from: IpAddr,
        /// Round-trip time.
        rtt: Duration,
        /// TTL or hop limit that the answer arrived with.
        hop_limit: u8,
        /// Bytes of data in the answer.
        size: usize,
        /// Whether the data came back as it was sent.
        intact: bool,
    },
    /// A router or the destination reported an error.
    Error {
        /// Who reported it.
        from: IpAddr,
        /// Time until the report came.
        rtt: Duration,
        /// What it says.
        error: PathError,
    },
    /// Nothing came back in time.
    TimedOut,
}

/// What an ICMP error says of a packet of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathError {
    /// Its TTL or hop limit ran out on the way: the reporter is a router of the path.
    TimeExceeded {
        /// Whether it ran out while fragments were waited for, at the destination.
        in_reassembly: bool,
    },
    /// It cannot be delivered.
    Unreachable {
        /// The message's code, as ICMP of that family numbers them.
        code: u8,
        /// What that means to a connection.
        meaning: ConnectionError,
    },
    /// It is longer than the path's MTU.
    TooBig {
        /// The MTU, bytes; 0 when the router does not say.
        mtu: u32,
    },
    /// Something in its header is not understood.
    ParameterProblem {
        /// The message's code.
        code: u8,
        /// The byte at fault.
        pointer: u32,
    },
}

/// A delivery problem of a connection that does not end it by itself: RFC 9293 §3.9.1.8, ERROR_REPORT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorReport {
    /// An ICMP error came about a segment that is in flight (§3.9.2.2).
    Icmp {
        /// Who reported it: a router, or the destination; an address of ours where our own link did not find the next hop.
        from: IpAddr,
        /// What it says.
        error: PathError,
        /// What the connection's error is, should it be given up before anything is acknowledged.
        meaning: ConnectionError,
    },
    /// Excessive retransmissions (§3.8.3): a segment was sent again so often that R1, 3 times, is reached, and nothing came
    /// back; said again at each further one, until R2 ends the connection.
    Retransmissions {
        /// How often in a row.
        count: u8,
        /// Time until the next one.
        rto: Duration,
    },
}

/// One line of the trace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TraceEvent {
    /// When.
    pub at: Instant,
    /// Which connection.
    pub socket: SocketId,
    /// Its addresses.
    pub local: SocketAddr,
    /// Its peer's address.
    pub remote: SocketAddr,
    /// What happened.
    pub what: Trace,
}

/// What happened on a connection.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Trace {
    /// It went from one state to another.
    State {
        /// From.
        from: StateName,
        /// To.
        to: StateName,
    },
    /// A segment was sent again.
    Retransmit {
        /// First sequence number, relative to the initial one.
        seq: u32,
        /// Length, bytes.
        len: u32,
        /// Whether the timer, and not an acknowledgement, caused it.
        timeout: bool,
    },
    /// Loss recovery began or ended.
    Recovery {
        /// Whether it began.
        began: bool,
        /// Congestion window, bytes.
        cwnd: u32,
        /// Slow start threshold, bytes.
        ssthresh: u32,
    },
    /// The retransmission timer ran out.
    Timeout {
        /// How often in a row.
        backoff: u8,
        /// The timeout that follows.
        rto: Duration,
    },
    /// The congestion window changed.
    Cwnd {
        /// Congestion window, bytes.
        cwnd: u32,
        /// Slow start threshold, bytes.
        ssthresh: u32,
    },
    /// The peer announced urgent data, or more of it (RFC 9293 §3.8.5).
    Urgent {
        /// Bytes that the application has to read to get to its end.
        left: u32,
    },
    /// A delivery problem was reported (RFC 9293 §3.9.1.8).
    Report(ErrorReport),
    /// The connection ended with an error.
    Error(ConnectionError),
}
