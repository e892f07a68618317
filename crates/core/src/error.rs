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
