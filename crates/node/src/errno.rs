//! Error numbers as libuv has them, which is how they cross to JavaScript: negative, `-errno` on Unix, numbers of
//! libuv's own on Windows.

use usernet_core::{
    BindError, ConnectError, ConnectionError, DatagramError, FlowError, InterfaceError,
    ListenError, MembershipError, NoSuchSocket, RecvError, SendError,
};

/// An error that a call of the binding can report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Errno {
    name: &'static str,
    number: i32,
}

macro_rules! errnos {
    ($($name:ident = $windows:literal;)*) => {
        #[allow(missing_docs)]
        impl Errno {
            $(
                #[cfg(unix)]
                pub(crate) const $name: Self = Self { name: stringify!($name), number: -libc::$name };
                #[cfg(not(unix))]
                pub(crate) const $name: Self = Self { name: stringify!($name), number: $windows };
            )*

            const ALL: &'static [Self] = &[$(Self::$name),*];
        }
    };
}

errnos! {
    EACCES = -4092;
    EADDRINUSE = -4091;
    EADDRNOTAVAIL = -4090;
    EAFNOSUPPORT = -4089;
    EAGAIN = -4088;
    EBADF = -4083;
    EBUSY = -4082;
    ECONNABORTED = -4079;
    ECONNREFUSED = -4078;
    ECONNRESET = -4077;
    EDESTADDRREQ = -4076;
    EEXIST = -4075;
    EHOSTUNREACH = -4073;
    EINVAL = -4071;
    EIO = -4070;
    EMFILE = -4066;
    EMSGSIZE = -4065;
    ENAMETOOLONG = -4064;
    ENETDOWN = -4063;
    ENETUNREACH = -4062;
    ENFILE = -4061;
    ENOBUFS = -4060;
    ENODEV = -4059;
    ENOENT = -4058;
    ENOMEM = -4057;
    ENOTCONN = -4053;
    ENOTSUP = -4049;
    EPERM = -4048;
    EPIPE = -4047;
    EPROTO = -4046;
    ESRCH = -4040;
    ETIMEDOUT = -4039;
}

impl Errno {
    /// `ECONNRESET`.
    pub(crate) const fn name(self) -> &'static str {
        self.name
    }

    /// libuv's number: negative.
    pub(crate) const fn number(self) -> i32 {
        self.number
    }

    /// The error of that name, if it is one of those that the binding knows.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|errno| errno.name == name)
    }
}

impl From<ConnectionError> for Errno {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::Refused => Self::ECONNREFUSED,
            ConnectionError::Reset => Self::ECONNRESET,
            ConnectionError::TimedOut => Self::ETIMEDOUT,
            ConnectionError::HostUnreachable => Self::EHOSTUNREACH,
            ConnectionError::NetworkUnreachable => Self::ENETUNREACH,
            ConnectionError::Protocol => Self::EPROTO,
            ConnectionError::Aborted => Self::ECONNABORTED,
        }
    }
}

impl From<ConnectError> for Errno {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::NetworkUnreachable => Self::ENETUNREACH,
            ConnectError::AddressNotAvailable => Self::EADDRNOTAVAIL,
            ConnectError::AddressInUse => Self::EADDRINUSE,
            ConnectError::InvalidDestination => Self::EINVAL,
            ConnectError::TooManyConnections => Self::ENOBUFS,
        }
    }
}

impl From<ListenError> for Errno {
    fn from(error: ListenError) -> Self {
        match error {
            ListenError::AddressInUse => Self::EADDRINUSE,
            ListenError::AddressNotAvailable => Self::EADDRNOTAVAIL,
        }
    }
}

impl From<SendError> for Errno {
    fn from(error: SendError) -> Self {
        match error {
            SendError::NoSuchSocket => Self::EBADF,
            SendError::BrokenPipe => Self::EPIPE,
            SendError::Connection(error) => error.into(),
        }
    }
}

impl From<RecvError> for Errno {
    fn from(error: RecvError) -> Self {
        match error {
            RecvError::NoSuchSocket => Self::EBADF,
            RecvError::WouldBlock => Self::EAGAIN,
            RecvError::Connection(error) => error.into(),
        }
    }
}

impl From<NoSuchSocket> for Errno {
    fn from(_: NoSuchSocket) -> Self {
        Self::EBADF
    }
}

impl From<BindError> for Errno {
    fn from(error: BindError) -> Self {
        match error {
            BindError::AddressInUse => Self::EADDRINUSE,
            BindError::AddressNotAvailable => Self::EADDRNOTAVAIL,
            BindError::TooManySockets => Self::ENOBUFS,
        }
    }
}

impl From<DatagramError> for Errno {
    fn from(error: DatagramError) -> Self {
        match error {
            DatagramError::NoSuchSocket => Self::EBADF,
            DatagramError::WouldBlock => Self::EAGAIN,
            DatagramError::DestinationRequired => Self::EDESTADDRREQ,
            DatagramError::MessageTooLong => Self::EMSGSIZE,
            DatagramError::PermissionDenied => Self::EACCES,
            DatagramError::NetworkUnreachable => Self::ENETUNREACH,
            DatagramError::AddressNotAvailable => Self::EADDRNOTAVAIL,
            DatagramError::InvalidDestination => Self::EINVAL,
            DatagramError::NoBufferSpace => Self::ENOBUFS,
            DatagramError::Connection(error) => error.into(),
        }
    }
}

impl From<MembershipError> for Errno {
    fn from(error: MembershipError) -> Self {
        match error {
            MembershipError::NoSuchSocket => Self::EBADF,
            MembershipError::InvalidGroup => Self::EINVAL,
            MembershipError::NoSuchInterface => Self::ENODEV,
            MembershipError::AlreadyMember => Self::EADDRINUSE,
            MembershipError::NotMember => Self::EADDRNOTAVAIL,
            MembershipError::TooManyMemberships => Self::ENOBUFS,
        }
    }
}

impl From<FlowError> for Errno {
    fn from(error: FlowError) -> Self {
        match error {
            FlowError::NoSuchFlow => Self::ENOENT,
            FlowError::TooManySockets => Self::ENOBUFS,
        }
    }
}

impl From<InterfaceError> for Errno {
    fn from(error: InterfaceError) -> Self {
        match error {
            InterfaceError::NoSuchInterface => Self::ENODEV,
            InterfaceError::InvalidMtu
            | InterfaceError::InvalidAddress
            | InterfaceError::InvalidMac => Self::EINVAL,
            InterfaceError::AddressInUse => Self::EADDRINUSE,
            InterfaceError::InvalidNextHop => Self::EHOSTUNREACH,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_a_name_and_a_negative_number_of_its_own() {
        for errno in Errno::ALL {
            assert!(errno.number() < 0 && errno.name().starts_with('E'));
            assert_eq!(Errno::from_name(errno.name()), Some(*errno));
            let same = Errno::ALL.iter().filter(|e| e.number() == errno.number()).count();
            assert_eq!(same, 1, "{}", errno.name());
        }
        assert_eq!(Errno::from_name("ENONSENSE"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn numbers_are_the_systems_negated() {
        assert_eq!(Errno::ECONNREFUSED.number(), -111);
        assert_eq!(Errno::EBADF.number(), -9);
        assert_eq!(Errno::from(ConnectionError::Reset).number(), -104);
        assert_eq!(Errno::from(SendError::BrokenPipe).number(), -32);
    }
}
