//! Sockets: making, naming, listening, connecting, accepting, closing.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use usernet_core::tcp::StateName;
use usernet_core::{
    ConnectError, ConnectOptions, ConnectionError, ListenAddress, ListenError, ListenOptions,
    ListenerId, Ready, Shutdown, SocketId,
};

use crate::host::{Descriptor, Host};
use crate::shared::Step;
use crate::sockopt::Overrides;

/// What a socket is at the moment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Neither listening nor connected.
    Idle,
    Listener(ListenerId),
    Stream(SocketId),
}

/// A socket as its owner sees it.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) v6: bool,
    pub(crate) nonblocking: bool,
    pub(crate) bound: Option<SocketAddr>,
    pub(crate) kind: Kind,
    /// What setsockopt(2) changed.
    pub(crate) overrides: Overrides,
    /// Connections that wait to be accepted.
    pub(crate) queue: VecDeque<SocketId>,
    /// Whether a listener gave it: with Fast Open it can be used before its handshake is over.
    pub(crate) accepted: bool,
    /// Whether the handshake of an active open was reported to the caller.
    pub(crate) connected: bool,
    /// Whether the connection's error was reported.
    pub(crate) error_taken: bool,
    /// Counts what happened, for edge-triggered epoll.
    pub(crate) happened: u64,
    pub(crate) write_shut: bool,
    backlog: i32,
}

impl Socket {
    fn new(v6: bool, nonblocking: bool) -> Self {
        Self {
            v6,
            nonblocking,
            bound: None,
            kind: Kind::Idle,
            overrides: Overrides::default(),
            queue: VecDeque::new(),
            accepted: false,
            connected: false,
            error_taken: false,
            happened: 0,
            write_shut: false,
            backlog: 0,
        }
    }
}

/// The errno of an error.
pub(crate) fn errno_of(error: ConnectionError) -> i32 {
    match error {
        ConnectionError::Refused => libc::ECONNREFUSED,
        ConnectionError::Reset => libc::ECONNRESET,
        ConnectionError::TimedOut => libc::ETIMEDOUT,
        ConnectionError::HostUnreachable => libc::EHOSTUNREACH,
        ConnectionError::NetworkUnreachable => libc::ENETUNREACH,
        ConnectionError::Protocol => libc::EPROTO,
        ConnectionError::Aborted => libc::ECONNABORTED,
    }
}

/// A real descriptor, so that whatever packetdrill does with it through libc harms nothing.
fn open_null() -> Result<i32, i32> {
    // SAFETY: a C string and flags, as open(2) wants.
    let fd = unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) };
    if fd < 0 { Err(libc::EMFILE) } else { Ok(fd) }
}

impl Host {
    /// A descriptor for something.
    pub(crate) fn hand_out(&mut self, what: Descriptor) -> Result<isize, i32> {
        let fd = open_null()?;
        self.descriptors.insert(fd, what);
        Ok(fd as isize)
    }

    /// The socket behind a descriptor.
    pub(crate) fn socket(&mut self, fd: i32) -> Result<&mut Socket, i32> {
        match self.descriptors.get_mut(&fd) {
            Some(Descriptor::Socket(socket)) => Ok(socket),
            Some(Descriptor::Epoll(_)) => Err(libc::ENOTSOCK),
            None => Err(libc::EBADF),
        }
    }

    /// The connection behind a descriptor.
    pub(crate) fn stream(&mut self, fd: i32) -> Result<SocketId, i32> {
        match self.socket(fd)?.kind {
            Kind::Stream(id) => Ok(id),
            _ => Err(libc::ENOTCONN),
        }
    }

    pub(crate) fn open_socket(
        &mut self,
        domain: i32,
        kind: i32,
        protocol: i32,
    ) -> Result<isize, i32> {
        if kind & 0xf != libc::SOCK_STREAM || ![0, libc::IPPROTO_TCP].contains(&protocol) {
            return Err(libc::EPROTONOSUPPORT);
        }
        let v6 = match domain {
            libc::AF_INET => false,
            libc::AF_INET6 => true,
            _ => return Err(libc::EAFNOSUPPORT),
        };
        self.stack();
        let socket = Socket::new(v6, kind & libc::SOCK_NONBLOCK != 0);
        self.hand_out(Descriptor::Socket(Box::new(socket)))
    }

    pub(crate) fn bind(&mut self, fd: i32, addr: SocketAddr) -> Result<isize, i32> {
        let any = addr.ip().is_unspecified();
        let ours = self.settings.addresses().contains(&addr.ip().to_canonical());
        let socket = self.socket(fd)?;
        if socket.bound.is_some() || socket.kind != Kind::Idle {
            return Err(libc::EINVAL);
        }
        if !any && !ours {
            return Err(libc::EADDRNOTAVAIL);
        }
        socket.bound = Some(addr);
        Ok(0)
    }

    pub(crate) fn listen(&mut self, fd: i32, backlog: i32) -> Result<isize, i32> {
        let socket = self.socket(fd)?;
        match socket.kind {
            Kind::Idle => {}
            // Only the backlog changes.
            Kind::Listener(_) => return Ok(0),
            Kind::Stream(_) => return Err(libc::EINVAL),
        }
        socket.backlog = backlog;
        let (v6, bound) = (socket.v6, socket.bound);
        let overrides = socket.overrides.clone();
        let address = match bound.map(|a| a.ip()) {
            Some(addr) if !addr.is_unspecified() => ListenAddress::One(addr.to_canonical()),
            _ if v6 => ListenAddress::AnyV6 { only: false },
            _ => ListenAddress::AnyV4,
        };
        let mut options = overrides.apply(self.settings.socket_options());
        options.fast_open =
            self.settings.fast_open_listener(overrides.fast_open, backlog.max(0).unsigned_abs());
        let listen = ListenOptions {
            address,
            port: bound.map_or(0, |a| a.port()),
            backlog: usize::try_from(backlog).unwrap_or(0),
            options: Some(options),
        };
        let id = self.stack().tcp_listen(listen).map_err(|e| match e {
            ListenError::AddressInUse => libc::EADDRINUSE,
            ListenError::AddressNotAvailable => libc::EADDRNOTAVAIL,
        })?;
        self.socket(fd)?.kind = Kind::Listener(id);
        Ok(0)
    }

    /// A listener's options changed: as the stack's listeners keep theirs, it is made anew. Half-open connections are lost,
    /// which no script minds.
    pub(crate) fn listen_again(&mut self, fd: i32, id: ListenerId) -> Result<isize, i32> {
        let now = self.now();
        if !self.socket(fd)?.queue.is_empty() {
            return Ok(0);
        }
        let _ = self.stack().tcp_close_listener(now, id);
        let socket = self.socket(fd)?;
        socket.kind = Kind::Idle;
        let backlog = socket.backlog;
        self.listen(fd, backlog)
    }

    /// A listener's connection is ready.
    pub(crate) fn accepted(&mut self, listener: ListenerId, id: SocketId) {
        for descriptor in self.descriptors.values_mut() {
            if let Descriptor::Socket(socket) = descriptor
                && socket.kind == Kind::Listener(listener)
            {
                socket.queue.push_back(id);
                socket.happened += 1;
            }
        }
    }

    /// Something happened to a connection.
    pub(crate) fn note(&mut self, id: SocketId, ready: Ready) {
        if ready.contains(Ready::CONNECTED) {
            let active = self.descriptors.values().any(
                |d| matches!(d, Descriptor::Socket(s) if s.kind == Kind::Stream(id) && !s.connected),
            );
            if active {
                self.established(id);
            }
        }
        for descriptor in self.descriptors.values_mut() {
            if let Descriptor::Socket(socket) = descriptor
                && socket.kind == Kind::Stream(id)
            {
                socket.happened += 1;
                socket.connected |= ready.contains(Ready::CONNECTED);
            }
        }
    }

    pub(crate) fn accept(&mut self, fd: i32, flags: i32) -> Result<Step, i32> {
        let socket = self.socket(fd)?;
        let nonblocking = socket.nonblocking;
        let Kind::Listener(_) = socket.kind else { return Err(libc::EINVAL) };
        let Some(id) = socket.queue.pop_front() else {
            return if nonblocking {
                Err(libc::EAGAIN)
            } else {
                Ok(Step::Wait { until: None, then: Err(libc::EAGAIN) })
            };
        };
        let mut socket = Socket::new(socket.v6, flags & libc::SOCK_NONBLOCK != 0);
        socket.overrides = self.socket(fd)?.overrides.clone();
        socket.kind = Kind::Stream(id);
        socket.connected = true;
        socket.accepted = true;
        Ok(Step::Done(self.hand_out(Descriptor::Socket(Box::new(socket)))))
    }

    /// The peer's address.
    pub(crate) fn peer_of(&mut self, fd: i32) -> Result<SocketAddr, i32> {
        let id = self.stream(fd)?;
        self.stack().tcp_addrs(id).map(|(_, remote)| remote).map_err(|_| libc::ENOTCONN)
    }

    /// connect(2): begins, or tells how it goes.
    pub(crate) fn connect(
        &mut self,
        fd: i32,
        remote: SocketAddr,
        first: bool,
    ) -> Result<Step, i32> {
        let socket = self.socket(fd)?;
        let nonblocking = socket.nonblocking;
        match socket.kind {
            Kind::Listener(_) => return Err(libc::EISCONN),
            Kind::Stream(id) => {
                if socket.connected && first {
                    return Err(libc::EISCONN);
                }
                let state = self.stack().tcp_info(id).map_err(|_| libc::EBADF)?.state;
                return match state {
                    StateName::SynSent | StateName::SynReceived if nonblocking => {
                        Err(libc::EALREADY)
                    }
                    StateName::SynSent | StateName::SynReceived => {
                        Ok(Step::Wait { until: None, then: Err(libc::ETIMEDOUT) })
                    }
                    StateName::Closed => {
                        let error = self.take_error(fd)?;
                        Err(error.map_or(libc::ECONNABORTED, errno_of))
                    }
                    _ => {
                        self.socket(fd)?.connected = true;
                        Ok(Step::Done(Ok(0)))
                    }
                };
            }
            Kind::Idle => {}
        }
        let id = self.begin(fd, remote, false)?;
        if self.syn_waits(id) {
            // As in Linux: the first write sends the SYN.
            Ok(Step::Done(Ok(0)))
        } else if nonblocking {
            Err(libc::EINPROGRESS)
        } else {
            Ok(Step::Wait { until: None, then: Err(libc::ETIMEDOUT) })
        }
    }

    /// Begins an active open; `fast` asks for Fast Open whatever the socket's options say.
    pub(crate) fn begin(
        &mut self,
        fd: i32,
        remote: SocketAddr,
        fast: bool,
    ) -> Result<SocketId, i32> {
        let now = self.now();
        let fast_open = self.fast_open_for(fd, fast)?;
        let socket = self.socket(fd)?;
        let bound = socket.bound;
        let overrides = socket.overrides.clone();
        let mut options = overrides.apply(self.settings.socket_options());
        options.fast_open = fast_open;
        let connect = ConnectOptions {
            remote: SocketAddr::new(remote.ip().to_canonical(), remote.port()),
            local_addr: bound
                .map(|a| a.ip().to_canonical())
                .filter(|a: &IpAddr| !a.is_unspecified()),
            local_port: bound.map(|a| a.port()),
            options: Some(options),
        };
        let id = self.stack().tcp_connect(now, connect).map_err(|e| match e {
            ConnectError::NetworkUnreachable => libc::ENETUNREACH,
            ConnectError::AddressNotAvailable => libc::EADDRNOTAVAIL,
            ConnectError::AddressInUse => libc::EADDRINUSE,
            ConnectError::InvalidDestination => libc::EINVAL,
            ConnectError::TooManyConnections => libc::ENOBUFS,
        })?;
        self.socket(fd)?.kind = Kind::Stream(id);
        Ok(id)
    }

    /// connect(2) with `AF_UNSPEC`: the connection is dropped and the socket can be used again.
    pub(crate) fn disconnect(&mut self, fd: i32) -> Result<isize, i32> {
        let now = self.now();
        if let Kind::Stream(id) = self.socket(fd)?.kind {
            let _ = self.stack().tcp_abort(now, id);
        }
        let socket = self.socket(fd)?;
        let (v6, nonblocking) = (socket.v6, socket.nonblocking);
        let overrides = socket.overrides.clone();
        *socket = Socket::new(v6, nonblocking);
        socket.overrides = overrides;
        Ok(0)
    }

    /// The connection's error, once.
    pub(crate) fn take_error(&mut self, fd: i32) -> Result<Option<ConnectionError>, i32> {
        let socket = self.socket(fd)?;
        let Kind::Stream(id) = socket.kind else { return Ok(None) };
        if socket.error_taken {
            return Ok(None);
        }
        let error = self.stack().tcp_error(id).ok().flatten();
        self.socket(fd)?.error_taken = error.is_some();
        Ok(error)
    }

    pub(crate) fn shutdown(&mut self, fd: i32, how: i32) -> Result<isize, i32> {
        let now = self.now();
        let id = self.stream(fd)?;
        let how = match how {
            libc::SHUT_RD => Shutdown::Read,
            libc::SHUT_WR => Shutdown::Write,
            libc::SHUT_RDWR => Shutdown::Both,
            _ => return Err(libc::EINVAL),
        };
        let state = self.stack().tcp_info(id).map_err(|_| libc::ENOTCONN)?.state;
        if state == StateName::Closed {
            return Err(libc::ENOTCONN);
        }
        self.socket(fd)?.write_shut |= how != Shutdown::Read;
        self.stack().tcp_shutdown(now, id, how).map_err(|_| libc::ENOTCONN)?;
        Ok(0)
    }

    pub(crate) fn close(&mut self, fd: i32) -> Result<isize, i32> {
        let now = self.now();
        let what = self.descriptors.remove(&fd).ok_or(libc::EBADF)?;
        // SAFETY: the descriptor is ours (`open_null`), and nothing names it any more.
        unsafe { libc::close(fd) };
        let Descriptor::Socket(socket) = what else { return Ok(0) };
        match socket.kind {
            Kind::Idle => {}
            Kind::Listener(id) => {
                for waiting in socket.queue {
                    let _ = self.stack().tcp_abort(now, waiting);
                }
                let _ = self.stack().tcp_close_listener(now, id);
            }
            Kind::Stream(id) => {
                let _ = if socket.overrides.linger == Some(0) {
                    self.stack().tcp_abort(now, id)
                } else {
                    self.stack().tcp_close(now, id)
                };
            }
        }
        Ok(0)
    }
}
