//! One error type per operation: misuse of the API apart from what the peer or the network did.

use thiserror::Error;

/// Why a connection ended other than by both sides closing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum ConnectionError {
    /// The peer answered our SYN with RST (`ECONNREFUSED`).
    #[error("connection refused")]
    Refused,
    /// The peer reset it (`ECONNRESET`).
    #[error("connection reset by peer")]
    Reset,
    /// Nothing came back for too long (`ETIMEDOUT`).
    #[error("connection timed out")]
    TimedOut,
    /// The network says the host cannot be reached (`EHOSTUNREACH`).
    #[error("no route to host")]
    HostUnreachable,
    /// The network cannot be reached (`ENETUNREACH`).
    #[error("network is unreachable")]
    NetworkUnreachable,
    /// Somebody on the way does not understand our packets (`EPROTO`).
    #[error("protocol error")]
    Protocol,
    /// This side aborted it (`ECONNABORTED`).
    #[error("connection aborted")]
    Aborted,
}

/// Why [`Stack::add_interface`](crate::Stack::add_interface) and its relatives failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InterfaceError {
    /// No such interface (any more).
    #[error("no such interface")]
    NoSuchInterface,
    /// The MTU is below the least that the address families need, or above 65535.
    #[error("MTU out of range")]
    InvalidMtu,
    /// Not an address a host can have.
    #[error("not a host address")]
    InvalidAddress,
    /// The address is already on an interface of this stack.
    #[error("address already in use")]
    AddressInUse,
    /// The next hop is not on the link of the interface, or its family is not the destination's.
    #[error("next hop is not reachable")]
    InvalidNextHop,
    /// Not a hardware address that one station can have, or the interface has none.
    #[error("not the hardware address of a station")]
    InvalidMac,
}

/// Why [`Stack::tcp_listen`](crate::Stack::tcp_listen) failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ListenError {
    /// Another listener has the port (`EADDRINUSE`).
    #[error("address already in use")]
    AddressInUse,
    /// The address is not ours (`EADDRNOTAVAIL`).
    #[error("address not available")]
    AddressNotAvailable,
}

/// Why [`Stack::tcp_connect`](crate::Stack::tcp_connect) failed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ConnectError {
    /// No route (`ENETUNREACH`).
    #[error("network is unreachable")]
    NetworkUnreachable,
    /// The local address is not ours (`EADDRNOTAVAIL`), or no local port is free.
    #[error("address not available")]
    AddressNotAvailable,
    /// The same connection exists already, or the local port belongs to a listener (`EADDRINUSE`).
    #[error("address already in use")]
    AddressInUse,
    /// The destination is not one a connection can have: unspecified, multicast, broadcast, port 0, or of another
    /// family than the local address (`EINVAL`).
    #[error("invalid destination")]
    InvalidDestination,
    /// The stack has as many connections as it may (`ENOBUFS`).
    #[error("too many connections")]
    TooManyConnections,
}

/// Why sending failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SendError {
    /// The id is stale.
    #[error("no such socket")]
    NoSuchSocket,
    /// The sending side was shut down, or the connection is over (`EPIPE`).
    #[error("broken pipe")]
    BrokenPipe,
    /// The connection ended with an error that was not reported before.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}

/// Why receiving failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RecvError {
    /// The id is stale.
    #[error("no such socket")]
    NoSuchSocket,
    /// Nothing is there yet.
    #[error("operation would block")]
    WouldBlock,
    /// The connection ended with an error that was not reported before.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}

/// The id is stale, or of the wrong kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("no such socket")]
pub struct NoSuchSocket;

/// Why [`Stack::udp_bind`](crate::Stack::udp_bind), [`Stack::raw_open`](crate::Stack::raw_open) or
/// [`Stack::flow_accept`](crate::Stack::flow_accept) failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BindError {
    /// Another socket has the port (`EADDRINUSE`).
    #[error("address already in use")]
    AddressInUse,
    /// The address is not ours (`EADDRNOTAVAIL`).
    #[error("address not available")]
    AddressNotAvailable,
    /// The stack has as many sockets as it may (`ENOBUFS`).
    #[error("too many sockets")]
    TooManySockets,
}

/// Why a datagram, a raw packet or an echo request was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DatagramError {
    /// The id is stale.
    #[error("no such socket")]
    NoSuchSocket,
    /// The send buffer is full; `WRITABLE` follows when there is room (`EAGAIN`).
    #[error("operation would block")]
    WouldBlock,
    /// The socket is not connected and no destination was given (`EDESTADDRREQ`).
    #[error("destination address required")]
    DestinationRequired,
    /// It is longer than one datagram can be, or than the path takes when it must not be cut (`EMSGSIZE`).
    #[error("message too long")]
    MessageTooLong,
    /// A broadcast address, and the socket has no permission to broadcast (`EACCES`).
    #[error("permission denied")]
    PermissionDenied,
    /// No route (`ENETUNREACH`).
    #[error("network is unreachable")]
    NetworkUnreachable,
    /// The local address is not ours, or no local port is free (`EADDRNOTAVAIL`).
    #[error("address not available")]
    AddressNotAvailable,
    /// The destination is not one there can be: unspecified, port 0, or of another family than the socket (`EINVAL`).
    #[error("invalid destination")]
    InvalidDestination,
    /// The stack has as many of them under way as it may (`ENOBUFS`).
    #[error("no buffer space available")]
    NoBufferSpace,
    /// What an earlier datagram met, reported once (`ECONNREFUSED`).
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}

/// Why joining or leaving a multicast group failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MembershipError {
    /// The id is stale.
    #[error("no such socket")]
    NoSuchSocket,
    /// Not a multicast address, or of a family the socket does not have (`EINVAL`).
    #[error("not a multicast address")]
    InvalidGroup,
    /// No such interface, or none to choose (`ENODEV`).
    #[error("no such interface")]
    NoSuchInterface,
    /// It is a member already (`EADDRINUSE`).
    #[error("already a member")]
    AlreadyMember,
    /// It is no member (`EADDRNOTAVAIL`).
    #[error("not a member")]
    NotMember,
    /// It is a member of as many groups as it may be (`ENOBUFS`).
    #[error("too many memberships")]
    TooManyMemberships,
}

/// Why a decision about a flow was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FlowError {
    /// It was decided already, given up by the other end, or waited too long.
    #[error("no such flow")]
    NoSuchFlow,
    /// The stack has as many sockets as it may (`ENOBUFS`).
    #[error("too many sockets")]
    TooManySockets,
}
