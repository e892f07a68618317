//! A TCP listener, shaped like `std::net::TcpListener`.

use std::io::Result;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use usernet_core::{ListenAddress, ListenerId};

use crate::error;
use crate::inner::Gate;
use crate::shard::ShardGuard;
use crate::socket::{Handle, Timeout};
use crate::stream::TcpStream;

/// Takes connections on a port; made by [`Interface::bind`](crate::Interface::bind).
///
/// Dropping it closes the port and resets the connections that were not accepted.
#[derive(Debug)]
pub struct TcpListener {
    /// One in each of the interface's shards: one, but where its device has several queues.
    parts: Arc<[(Arc<Handle>, ListenerId)]>,
    /// Where one waits for any of several.
    gate: Arc<Gate>,
    /// Whose turn it is to be asked first.
    turn: Arc<AtomicUsize>,
}

impl TcpListener {
    pub(crate) fn new(parts: Vec<(Arc<Handle>, ListenerId)>) -> Self {
        let gate = Arc::<Gate>::default();
        if parts.len() > 1 {
            for (handle, _) in &parts {
                let _ = handle.waiter().gate.set(gate.clone());
            }
        }
        Self { parts: parts.into(), gate, turn: Arc::default() }
    }

    fn first(&self) -> &Handle {
        &self.parts[0].0
    }

    /// Waits for a connection and takes it; also gives its peer's address.
    ///
    /// # Errors
    /// [`WouldBlock`](std::io::ErrorKind::WouldBlock) in non-blocking mode when there is none;
    /// [`NotConnected`](std::io::ErrorKind::NotConnected) when the interface is gone.
    pub fn accept(&self) -> Result<(TcpStream, SocketAddr)> {
        if let [(handle, id)] = &*self.parts {
            return handle.block_for(&Timeout::default(), |guard| take(handle, *id, guard));
        }
        let any = || {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            for at in 0..self.parts.len() {
                let (handle, id) = &self.parts[(turn + at) % self.parts.len()];
                let mut pending = false;
                let taken = handle.call(|guard| match take(handle, *id, guard) {
                    Poll::Ready(result) => result,
                    Poll::Pending => {
                        pending = true;
                        Err(error::would_block())
                    }
                });
                if !pending {
                    return Poll::Ready(taken);
                }
            }
            Poll::Pending
        };
        if self.first().nonblocking() {
            return match any() {
                Poll::Ready(result) => result,
                Poll::Pending => Err(error::would_block()),
            };
        }
        self.gate.wait(any)
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
        self.first().call(|guard| match guard.tcp_listener_addr(self.parts[0].1) {
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
        self.first().set_nonblocking(nonblocking);
        Ok(())
    }

    /// Another handle on the same listener; the port is closed when the last is dropped.
    ///
    /// # Errors
    /// None; as in `std::net`.
    pub fn try_clone(&self) -> Result<Self> {
        Ok(Self { parts: self.parts.clone(), gate: self.gate.clone(), turn: self.turn.clone() })
    }
}

/// Takes a connection of one shard's, if one waits.
fn take(
    handle: &Arc<Handle>,
    id: ListenerId,
    guard: &mut ShardGuard<'_>,
) -> Poll<Result<(TcpStream, SocketAddr)>> {
    match guard.tcp_accept(id) {
        Ok(Some(socket)) => Poll::Ready(match guard.tcp_addrs(socket) {
            Ok((_, peer)) => {
                let handle = Handle::socket(handle.shard().clone(), guard, socket);
                Ok((TcpStream::new(handle, socket, peer), peer))
            }
            Err(_) => Err(error::aborted()),
        }),
        Ok(None) => Poll::Pending,
        Err(_) => Poll::Ready(Err(error::gone(&guard.inner().state))),
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
