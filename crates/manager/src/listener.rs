//! A TCP listener, shaped like `std::net::TcpListener`.

use std::io::Result;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::task::Poll;

use usernet_core::{ListenAddress, ListenerId};

use crate::error;
use crate::socket::{Handle, Timeout};
use crate::stream::TcpStream;

/// Takes connections on a port; made by [`Interface::bind`](crate::Interface::bind).
///
/// Dropping it closes the port and resets the connections that were not accepted.
#[derive(Debug)]
pub struct TcpListener {
    handle: Arc<Handle>,
    id: ListenerId,
}

impl TcpListener {
    pub(crate) fn new(handle: Arc<Handle>, id: ListenerId) -> Self {
        Self { handle, id }
    }

    /// Waits for a connection and takes it; also gives its peer's address.
    ///
    /// # Errors
    /// [`WouldBlock`](std::io::ErrorKind::WouldBlock) in non-blocking mode when there is none;
    /// [`NotConnected`](std::io::ErrorKind::NotConnected) when the interface is gone.
    pub fn accept(&self) -> Result<(TcpStream, SocketAddr)> {
        let shard = self.handle.shard();
        self.handle.block_for(&Timeout::default(), |guard| match guard.tcp_accept(self.id) {
            Ok(Some(socket)) => Poll::Ready(match guard.tcp_addrs(socket) {
                Ok((_, peer)) => {
                    let handle = Handle::socket(shard.clone(), guard, socket);
                    Ok((TcpStream::new(handle, socket, peer), peer))
                }
                Err(_) => Err(error::aborted()),
            }),
            Ok(None) => Poll::Pending,
            Err(_) => Poll::Ready(Err(error::gone(&guard.inner().state))),
        })
    }

    /// Accepts one connection after the other, without end; each item is what [`accept`](Self::accept) gives.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// The address and port it listens on: `::` for every address of both families.
    ///
    /// # Errors
    /// [`NotConnected`](std::io::ErrorKind::NotConnected) when the interface is gone.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        self.handle.call(|guard| match guard.tcp_listener_addr(self.id) {
            Ok((address, port)) => {
                let ip = match address {
                    ListenAddress::AnyV4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                    ListenAddress::AnyV6 { .. } => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
                    ListenAddress::One(ip) => ip,
                };
                Ok(SocketAddr::new(ip, port))
            }
            Err(_) => Err(error::gone(&guard.inner().state)),
        })
    }

    /// Whether `accept` gives [`WouldBlock`](std::io::ErrorKind::WouldBlock) instead of waiting. Calls that wait already
    /// go on to.
    ///
    /// # Errors
    /// None; as in `std::net`.
    pub fn set_nonblocking(&self, nonblocking: bool) -> Result<()> {
        self.handle.set_nonblocking(nonblocking);
        Ok(())
    }

    /// Another handle on the same listener; the port is closed when the last is dropped.
    ///
    /// # Errors
    /// None; as in `std::net`.
    pub fn try_clone(&self) -> Result<Self> {
        Ok(Self { handle: self.handle.clone(), id: self.id })
    }
}

/// The connections that a listener accepts; made by [`TcpListener::incoming`].
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
}

impl Iterator for Incoming<'_> {
    type Item = Result<TcpStream>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }
}

impl std::iter::FusedIterator for Incoming<'_> {}
