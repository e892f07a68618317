//! The core's errors as `std::io` has them: the errno the kernel would give where there is one, so that
//! `raw_os_error()` and `kind()` are what a `std::net` user expects.

use std::io::{Error, ErrorKind};

use usernet_core::{ConnectError, ConnectionError, InterfaceError, ListenError};

use crate::inner::State;

/// An error of the system's where it has the number, of that kind elsewhere.
macro_rules! os {
    ($errno:ident, $kind:ident) => {{
        #[cfg(unix)]
        let error = Error::from_raw_os_error(libc::$errno);
        #[cfg(not(unix))]
        let error = Error::from(ErrorKind::$kind);
        error
    }};
}

/// The operation would block, or its time was up, as `std::net` says it on Unix.
pub(crate) fn would_block() -> Error {
    os!(EAGAIN, WouldBlock)
}

pub(crate) fn timed_out() -> Error {
    os!(ETIMEDOUT, TimedOut)
}

pub(crate) fn broken_pipe() -> Error {
    os!(EPIPE, BrokenPipe)
}

pub(crate) fn aborted() -> Error {
    os!(ECONNABORTED, ConnectionAborted)
}

/// What calls give on a socket that the stack does not know any more: because the interface is gone, or else because it
/// was reset through another handle.
pub(crate) fn gone(state: &State) -> Error {
    let text = match state {
        State::Running => return aborted(),
        State::Failed(panic) => format!("the interface failed and was stopped: {panic}"),
        State::Closed => {
            "the interface this socket belonged to is closed; keep it for as long as its sockets"
                .into()
        }
    };
    Error::new(ErrorKind::NotConnected, text)
}

pub(crate) fn connection(error: ConnectionError) -> Error {
    match error {
        ConnectionError::Refused => os!(ECONNREFUSED, ConnectionRefused),
        ConnectionError::Reset => os!(ECONNRESET, ConnectionReset),
        ConnectionError::TimedOut => timed_out(),
        ConnectionError::HostUnreachable => os!(EHOSTUNREACH, HostUnreachable),
        ConnectionError::NetworkUnreachable => os!(ENETUNREACH, NetworkUnreachable),
        ConnectionError::Protocol => os!(EPROTO, InvalidData),
        ConnectionError::Aborted => aborted(),
    }
}

pub(crate) fn connect(error: ConnectError) -> Error {
    match error {
        ConnectError::NetworkUnreachable => os!(ENETUNREACH, NetworkUnreachable),
        ConnectError::AddressNotAvailable => os!(EADDRNOTAVAIL, AddrNotAvailable),
        ConnectError::AddressInUse => os!(EADDRINUSE, AddrInUse),
        ConnectError::InvalidDestination => os!(EINVAL, InvalidInput),
        ConnectError::TooManyConnections => os!(ENOBUFS, OutOfMemory),
    }
}

pub(crate) fn listen(error: ListenError) -> Error {
    match error {
        ListenError::AddressInUse => os!(EADDRINUSE, AddrInUse),
        ListenError::AddressNotAvailable => os!(EADDRNOTAVAIL, AddrNotAvailable),
    }
}

/// `what` names the value that was refused.
pub(crate) fn interface(error: InterfaceError, what: &str) -> Error {
    let (kind, remedy) = match error {
        InterfaceError::NoSuchInterface => {
            (ErrorKind::NotConnected, "the interface is closed, or its device failed")
        }
        InterfaceError::InvalidMtu => {
            (ErrorKind::InvalidInput, "use 576-65535 for IPv4 alone, 1280-65535 with IPv6")
        }
        InterfaceError::InvalidAddress => {
            (ErrorKind::InvalidInput, "use an address that a host can have, and its prefix length")
        }
        InterfaceError::AddressInUse => {
            (ErrorKind::AddrInUse, "give each address to one interface, once")
        }
        InterfaceError::InvalidNextHop => (
            ErrorKind::InvalidInput,
            "use a next hop of the destination's family, in a subnet of the interface",
        ),
        InterfaceError::InvalidMac => (
            ErrorKind::InvalidInput,
            "use one whose first byte is even and not all zeroes, such as 02:00:00:00:00:01",
        ),
    };
    Error::new(kind, format!("{what}: {error}; {remedy}"))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_kind_and_number_that_std_gives() {
        let cases = [
            (
                connection(ConnectionError::Refused),
                ErrorKind::ConnectionRefused,
                libc::ECONNREFUSED,
            ),
            (connection(ConnectionError::Reset), ErrorKind::ConnectionReset, libc::ECONNRESET),
            (connection(ConnectionError::TimedOut), ErrorKind::TimedOut, libc::ETIMEDOUT),
            (
                connection(ConnectionError::HostUnreachable),
                ErrorKind::HostUnreachable,
                libc::EHOSTUNREACH,
            ),
            (
                connect(ConnectError::NetworkUnreachable),
                ErrorKind::NetworkUnreachable,
                libc::ENETUNREACH,
            ),
            (connect(ConnectError::InvalidDestination), ErrorKind::InvalidInput, libc::EINVAL),
            (listen(ListenError::AddressInUse), ErrorKind::AddrInUse, libc::EADDRINUSE),
            (
                listen(ListenError::AddressNotAvailable),
                ErrorKind::AddrNotAvailable,
                libc::EADDRNOTAVAIL,
            ),
            (would_block(), ErrorKind::WouldBlock, libc::EAGAIN),
            (broken_pipe(), ErrorKind::BrokenPipe, libc::EPIPE),
        ];
        for (error, kind, errno) in cases {
            assert_eq!((error.kind(), error.raw_os_error()), (kind, Some(errno)));
        }
    }
}
