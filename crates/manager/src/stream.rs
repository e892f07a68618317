//! A TCP connection, shaped like `std::net::TcpStream`.

use std::io::{IoSlice, Read, Result, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use usernet_core::tcp::Info;
use usernet_core::{
    ErrorReport, KeepAlive, NoSuchSocket, RecvError, SendError, Shutdown, SocketId, SocketOptions,
};

use crate::error;
use crate::shard::ShardGuard;
use crate::socket::Handle;

/// A TCP connection; made by [`Interface::connect`](crate::Interface::connect) and
/// [`TcpListener::accept`](crate::TcpListener::accept). Any number of threads may use it at once.
///
/// Dropping it sends what is queued, then FIN; the connection finishes in the background. If received data was not read,
/// it is reset instead, so that the peer learns that its data was lost (RFC 2525 §2.17).
#[derive(Debug)]
pub struct TcpStream {
    handle: Arc<Handle>,
    id: SocketId,
    peer: SocketAddr,
}

impl TcpStream {
    pub(crate) fn new(handle: Arc<Handle>, id: SocketId, peer: SocketAddr) -> Self {
        Self { handle, id, peer }
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The peer's address.
    ///
    /// # Errors
    /// None; as in `std::net`.
    pub fn peer_addr(&self) -> Result<SocketAddr> {
        Ok(self.peer)
    }

    /// Our address.
    ///
    /// # Errors
    /// [`NotConnected`](std::io::ErrorKind::NotConnected) when the interface is gone.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        self.look(|guard, id| guard.tcp_addrs(id)).map(|(local, _)| local)
    }

    /// Shuts down a side: after `Write`, a FIN follows what is queued and writing gives
    /// [`BrokenPipe`](std::io::ErrorKind::BrokenPipe); after `Read`, reading gives the end of the stream. Threads that
    /// wait on that side return.
    ///
    /// # Errors
    /// [`NotConnected`](std::io::ErrorKind::NotConnected) when the interface is gone.
    pub fn shutdown(&self, how: std::net::Shutdown) -> Result<()> {
        let how = match how {
            std::net::Shutdown::Read => Shutdown::Read,
            std::net::Shutdown::Write => Shutdown::Write,
            std::net::Shutdown::Both => Shutdown::Both,
        };
        self.look(|guard, id| {
            let now = guard.now();
            guard.tcp_shutdown(now, id, how)
        })?;
        self.handle.waiter().condvar.notify_all();
        Ok(())
    }

    /// Resets the connection instead of closing it: what is queued is lost.
    pub fn reset(self) {
        let _ = self.look(|guard, id| {
            let now = guard.now();
            guard.tcp_abort(now, id)
        });
        self.handle.waiter().condvar.notify_all();
    }

    /// Another handle on the same connection; modes and timeouts are shared. It is closed when the last is dropped.
    ///
    /// # Errors
    /// None; as in `std::net`.
    pub fn try_clone(&self) -> Result<Self> {
        Ok(Self { handle: self.handle.clone(), id: self.id, peer: self.peer })
    }

    /// Whether calls give [`WouldBlock`](std::io::ErrorKind::WouldBlock) instead of waiting. Calls that wait already go
    /// on to.
    ///
    /// # Errors
    /// None; as in `std::net`.
    pub fn set_nonblocking(&self, nonblocking: bool) -> Result<()> {
        self.handle.set_nonblocking(nonblocking);
        Ok(())
    }

    /// How long `read` and `peek` wait, then giving [`WouldBlock`](std::io::ErrorKind::WouldBlock); `None`: for ever.
    ///
    /// # Errors
    /// [`InvalidInput`](std::io::ErrorKind::InvalidInput) for zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> Result<()> {
        self.handle.read_timeout.set(timeout)
    }

    /// How long `write` and `flush` wait, then giving [`WouldBlock`](std::io::ErrorKind::WouldBlock); `None`: for ever.
    ///
    /// # Errors
    /// [`InvalidInput`](std::io::ErrorKind::InvalidInput) for zero.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> Result<()> {
        self.handle.write_timeout.set(timeout)
    }

    /// How long `read` and `peek` wait.
    ///
    /// # Errors
    /// None; as in `std::net`.
    pub fn read_timeout(&self) -> Result<Option<Duration>> {
        Ok(self.handle.read_timeout.get())
    }

    /// How long `write` and `flush` wait.
    ///
    /// # Errors
    /// None; as in `std::net`.
    pub fn write_timeout(&self) -> Result<Option<Duration>> {
        Ok(self.handle.write_timeout.get())
    }

    /// Whether small segments are sent at once rather than held back while data is unacknowledged (Nagle, RFC 1122
    /// §4.2.3.4).
    ///
    /// # Errors
    /// [`NotConnected`](std::io::ErrorKind::NotConnected) when the interface is gone.
    pub fn set_nodelay(&self, nodelay: bool) -> Result<()> {
        self.set_options(|options| options.nagle = !nodelay)
    }

    /// Whether small segments are sent at once.
    ///
    /// # Errors
    /// [`NotConnected`](std::io::ErrorKind::NotConnected) when the interface is gone.
    pub fn nodelay(&self) -> Result<bool> {
        self.look(|guard, id| guard.tcp_options(id).map(|options| !options.nagle))
    }

    /// When an idle connection is probed (RFC 9293 §3.8.4); `None`: never.
    ///
    /// # Errors
    /// [`NotConnected`](std::io::ErrorKind::NotConnected) when the interface is gone.
    pub fn set_keepalive(&self, keep_alive: Option<KeepAlive>) -> Result<()> {
        self.set_options(|options| options.keep_alive = keep_alive)
    }

    /// TTL or hop limit of its packets, 1-255.
    ///
    /// # Errors
    /// [`InvalidInput`](std::io::ErrorKind::InvalidInput) out of that range;
    /// [`NotConnected`](std::io::ErrorKind::NotConnected) when the interface is gone.
    pub fn set_ttl(&self, ttl: u32) -> Result<()> {
        match u8::try_from(ttl) {
            Ok(ttl) if ttl > 0 => self.set_options(|options| options.hop_limit = ttl),
            _ => Err(std::io::Error::new(
                std::io::ErrorKind::InvalidInput,
                format!("a TTL of {ttl}: use 1-255"),
            )),
        }
    }

    /// TTL or hop limit of its packets.
    ///
    /// # Errors
    /// [`NotConnected`](std::io::ErrorKind::NotConnected) when the interface is gone.
    pub fn ttl(&self) -> Result<u32> {
        self.look(|guard, id| guard.tcp_options(id).map(|options| options.hop_limit.into()))
    }

    /// Changes any of its options.
    ///
    /// # Errors
    /// [`NotConnected`](std::io::ErrorKind::NotConnected) when the interface is gone.
    pub fn set_options(&self, change: impl FnOnce(&mut SocketOptions)) -> Result<()> {
        // What `change` does is not ours to know: it runs without the lock.
        let mut options = self.look(|guard, id| guard.tcp_options(id).cloned())?;
        change(&mut options);
        self.look(|guard, id| {
            let now = guard.now();
            guard.tcp_set_options(now, id, |current| *current = options)
        })
    }

    /// Reads without taking: waits as `read` does, and leaves what it gives to the next `read`.
    ///
    /// # Errors
    /// As `read`.
    pub fn peek(&self, buf: &mut [u8]) -> Result<usize> {
        self.receive(buf, |guard, id, buf| guard.tcp_peek(id, buf))
    }

    /// The error that ended the connection, once, if no call gave it yet.
    ///
    /// # Errors
    /// [`NotConnected`](std::io::ErrorKind::NotConnected) when the interface is gone.
    pub fn take_error(&self) -> Result<Option<std::io::Error>> {
        let error = self.look(|guard, id| guard.tcp_error(id))?;
        Ok(error.filter(|_| self.take_now()).map(error::connection))
    }

    /// Takes the next report of a delivery problem that does not end the connection: ICMP errors about what is in flight,
    /// three and more retransmissions in a row (RFC 9293 §3.9.1.8). At most two wait, the last of each reason.
    ///
    /// # Errors
    /// [`NotConnected`](std::io::ErrorKind::NotConnected) when the interface is gone.
    pub fn take_report(&self) -> Result<Option<ErrorReport>> {
        self.look(|guard, id| guard.tcp_take_report(id))
    }

    /// What `ss -ti` would show of it.
    ///
    /// # Errors
    /// [`NotConnected`](std::io::ErrorKind::NotConnected) when the interface is gone.
    pub fn info(&self) -> Result<Info> {
        self.look(|guard, id| guard.tcp_info_at(guard.now(), id))
    }

    /// A call that fails only when there is no such connection any more.
    fn look<T>(
        &self,
        call: impl FnOnce(&mut ShardGuard<'_>, SocketId) -> std::result::Result<T, NoSuchSocket>,
    ) -> Result<T> {
        self.handle.call(|guard| {
            call(guard, self.id).map_err(|NoSuchSocket| error::gone(&guard.inner().state))
        })
    }

    /// Whether the connection's error was not given to the user yet; it is now.
    fn take_now(&self) -> bool {
        !self.handle.error_taken.swap(true, Ordering::Relaxed)
    }

    fn receive(
        &self,
        buf: &mut [u8],
        receive: impl Fn(
            &mut ShardGuard<'_>,
            SocketId,
            &mut [u8],
        ) -> std::result::Result<usize, RecvError>,
    ) -> Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.handle.block_for(&self.handle.read_timeout, |guard| {
            match receive(guard, self.id, buf) {
                Ok(len) => Poll::Ready(Ok(len)),
                Err(RecvError::WouldBlock) => Poll::Pending,
                Err(RecvError::NoSuchSocket) => Poll::Ready(Err(error::gone(&guard.inner().state))),
                // The end of the stream follows the error, wherever that was given (take_error, write).
                Err(RecvError::Connection(error)) => {
                    Poll::Ready(if self.take_now() { Err(error::connection(error)) } else { Ok(0) })
                }
            }
        })
    }

    fn send(&self, bufs: &[&[u8]]) -> Result<usize> {
        if bufs.iter().all(|buf| buf.is_empty()) {
            return Ok(0);
        }
        self.handle.block_for(&self.handle.write_timeout, |guard| {
            let now = guard.now();
            let mut sent = 0;
            for (i, buf) in bufs.iter().enumerate() {
                if buf.is_empty() {
                    continue;
                }
                let more = bufs[i + 1..].iter().any(|buf| !buf.is_empty());
                match guard.tcp_send(now, self.id, buf, more) {
                    Ok(len) => {
                        sent += len;
                        if len < buf.len() {
                            if more {
                                // What was taken is not to wait for what was not.
                                let _ = guard.tcp_send(now, self.id, &[], false);
                            }
                            break;
                        }
                    }
                    // The next call gives the error.
                    Err(_) if sent > 0 => break,
                    Err(error) => return Poll::Ready(Err(self.send_error(guard, error))),
                }
            }
            if sent == 0 { Poll::Pending } else { Poll::Ready(Ok(sent)) }
        })
    }

    fn send_error(&self, guard: &ShardGuard<'_>, error: SendError) -> std::io::Error {
        match error {
            SendError::NoSuchSocket => error::gone(&guard.inner().state),
            SendError::Connection(error) if self.take_now() => error::connection(error),
            SendError::BrokenPipe | SendError::Connection(_) => error::broken_pipe(),
        }
    }

    /// Waits until all that was sent is acknowledged, the FIN included.
    fn wait_flushed(&self) -> Result<()> {
        self.handle.block_for(&self.handle.write_timeout, |guard| {
            let Ok(flushed) = guard.tcp_flushed(self.id) else {
                return Poll::Ready(Err(error::gone(&guard.inner().state)));
            };
            // First: a connection that is over waits for nothing more, and may have lost what was sent.
            if let Ok(Some(error)) = guard.tcp_error(self.id) {
                self.take_now();
                return Poll::Ready(Err(error::connection(error)));
            }
            if flushed {
                return Poll::Ready(Ok(()));
            }
            if !self.handle.nonblocking() {
                guard.inner_mut().tell_when_flushed(self.id, self.handle.waiter());
            }
            Poll::Pending
        })
    }
}

impl Read for &TcpStream {
    /// Takes what was received, waiting for something; 0 is the end of the stream: the peer's FIN, after all its data.
    fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        self.receive(buf, |guard, id, buf| {
            let now = guard.now();
            guard.tcp_recv(now, id, buf)
        })
    }
}

impl Write for &TcpStream {
    /// Queues as much as there is room for, waiting for some.
    fn write(&mut self, buf: &[u8]) -> Result<usize> {
        self.send(&[buf])
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> Result<usize> {
        let bufs: Vec<&[u8]> = bufs.iter().map(|buf| &**buf).collect();
        self.send(&bufs)
    }

    /// Waits until the peer has acknowledged all that was written.
    ///
    /// # Errors
    /// What ended the connection, if it ended before; [`WouldBlock`](std::io::ErrorKind::WouldBlock) when the write
    /// timeout is up, or at once in non-blocking mode.
    fn flush(&mut self) -> Result<()> {
        self.wait_flushed()
    }
}

impl Read for TcpStream {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        (&*self).read(buf)
    }
}

impl Write for TcpStream {
    fn write(&mut self, buf: &[u8]) -> Result<usize> {
        (&*self).write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> Result<usize> {
        (&*self).write_vectored(bufs)
    }

    fn flush(&mut self) -> Result<()> {
        (&*self).flush()
    }
}
