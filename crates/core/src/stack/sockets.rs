//! The socket calls: listeners, connections, ports.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rand_core::Rng;
use usernet_wire::SeqNumber;

use super::ctx;
use super::fastopen::FastOpenCount;
use super::route::RouteResult;
use super::{Queued, Stack};
use crate::config::{Config, SocketOptions};
use crate::error::{
    ConnectError, ConnectionError, ListenError, NoSuchSocket, RecvError, SendError,
};
use crate::event::{ErrorReport, ListenerId, PingId, SocketId, UdpId};
use crate::interface::{InterfaceId, is_unicast};
use crate::payload::Payload;
use crate::tcp::{Connection, Ctx, Info, Owner, StateName, Tuple};
use crate::time::Instant;

/// Which address a listener takes connections for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// Every IPv4 address (`0.0.0.0`).
    AnyV4,
    /// Every address of both families (`::`), or of IPv6 alone.
    AnyV6 {
        /// IPv6 alone (`IPV6_V6ONLY`).
        only: bool,
    },
    /// One address.
    One(IpAddr),
}

impl ListenAddress {
    /// How well it fits a destination: 0 not at all, 2 exactly.
    pub(crate) fn fits(self, addr: IpAddr) -> u8 {
        match self {
            Self::One(a) => 2 * u8::from(a == addr),
            Self::AnyV4 => u8::from(addr.is_ipv4()),
            Self::AnyV6 { only } => u8::from(addr.is_ipv6() || !only),
        }
    }

    /// Whether two listeners would claim the same connections. As in Linux without `SO_REUSEPORT`, a wildcard and a single
    /// address exclude each other.
    pub(crate) fn conflicts(self, other: Self) -> bool {
        match (self, other) {
            (Self::One(a), Self::One(b)) => a == b,
            (Self::One(a), any) | (any, Self::One(a)) => any.fits(a) > 0,
            (Self::AnyV4, Self::AnyV4) | (Self::AnyV6 { .. }, Self::AnyV6 { .. }) => true,
            (Self::AnyV4, Self::AnyV6 { only }) | (Self::AnyV6 { only }, Self::AnyV4) => !only,
        }
    }
}

/// How a listener is made.
#[derive(Clone, Debug)]
pub struct ListenOptions {
    /// For which address.
    pub address: ListenAddress,
    /// On which port; 0 picks a free one.
    pub port: u16,
    /// Most connections that wait to be accepted, less one as in Linux. Beyond it a SYN is dropped, so that the peer tries
    /// again, and handshakes are not completed.
    pub backlog: usize,
    /// Options that its connections inherit; `None` takes the stack's.
    pub options: Option<SocketOptions>,
}

/// How a connection is made.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// To whom.
    pub remote: SocketAddr,
    /// From which address; `None` picks one by the route.
    pub local_addr: Option<IpAddr>,
    /// From which port; `None` or 0 picks one (RFC 6056).
    pub local_port: Option<u16>,
    /// Its options; `None` takes the stack's.
    pub options: Option<SocketOptions>,
}

/// Which side of a connection to shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// No more reading: what is queued and what still arrives is acknowledged and thrown away.
    Read,
    /// No more writing: a FIN follows what is queued.
    Write,
    /// Both.
    Both,
}

/// Half-open connections that a listener has room for whatever its backlog.
const MIN_SYN_QUEUE: usize = 1024;

/// A listener.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) address: ListenAddress,
    pub(super) port: u16,
    pub(super) backlog: usize,
    pub(super) options: Arc<SocketOptions>,
    /// Established, and not accepted yet.
    pub(super) queue: VecDeque<SocketId>,
    /// Connections in SYN-RECEIVED.
    pub(super) half_open: usize,
    /// Connections that exchange data in SYN-RECEIVED (RFC 7413).
    pub(super) fast_open: FastOpenCount,
    pub(super) event_queued: bool,
    /// Until when a SYN cookie that was sent may come back.
    pub(super) cookies_until: Option<Instant>,
}

impl Listener {
    /// Whether the accept queue is full (Linux `sk_acceptq_is_full`: one more than the backlog fits).
    pub(super) fn is_full(&self) -> bool {
        self.queue.len() > self.backlog
    }

    /// Whether no more half-open connections fit. There is room for a crowd that connects at once even where the backlog
    /// is small: a client that a cookie answered, and that has nothing to say before the server does, would wait for
    /// ever when the backlog is full at its acknowledgement.
    pub(super) fn syn_queue_full(&self, config: &Config) -> bool {
        self.half_open >= self.backlog.max(MIN_SYN_QUEUE).min(config.max_syn_backlog)
    }
}

impl Stack {
    pub(super) fn options(&mut self, options: Option<SocketOptions>) -> Arc<SocketOptions> {
        match options {
            Some(options) => self.shared_options.share(Arc::new(options)),
            None => Arc::clone(&self.default_options),
        }
    }

    /// The options of sockets that bring none.
    pub fn default_socket_options(&self) -> &SocketOptions {
        &self.default_options
    }

    /// Makes a listener.
    ///
    /// # Errors
    /// [`ListenError::AddressNotAvailable`] when the address is not ours, [`ListenError::AddressInUse`] when a listener
    /// has the port, or no port is free.
    pub fn tcp_listen(&mut self, options: ListenOptions) -> Result<ListenerId, ListenError> {
        if let ListenAddress::One(addr) = options.address
            && !self.is_local(addr)
            && !self.accepts_any()
        {
            return Err(ListenError::AddressNotAvailable);
        }
        let port = match options.port {
            0 => self.free_listen_port(options.address).ok_or(ListenError::AddressInUse)?,
            // RFC 9293 §3.9.1.1 MUST-41, MUST-42: only listeners exclude each other.
            port if self.listen_port_taken(options.address, port) => {
                return Err(ListenError::AddressInUse);
            }
            port => port,
        };
        let listener = Listener {
            address: options.address,
            port,
            backlog: options.backlog,
            options: self.options(options.options),
            queue: VecDeque::new(),
            half_open: 0,
            fast_open: FastOpenCount::default(),
            event_queued: false,
            cookies_until: None,
        };
        let id = self.listeners.insert(listener);
        self.ports.entry(port).or_default().push(id);
        Ok(id)
    }

    fn listen_port_taken(&self, address: ListenAddress, port: u16) -> bool {
        self.ports
            .get(&port)
            .is_some_and(|ids| ids.iter().any(|id| self.listeners[*id].address.conflicts(address)))
    }

    fn free_listen_port(&mut self, address: ListenAddress) -> Option<u16> {
        let (low, high) = self.config.ephemeral_ports;
        let count = u32::from(high - low) + 1;
        let start = self.rng.next_u32() % count;
        (0..count)
            .map(|i| low + ((start + i) % count) as u16)
            .find(|port| !self.listen_port_taken(address, *port))
    }

    /// The address and port a listener has.
    ///
    /// # Errors
    /// [`NoSuchSocket`] for a stale id, as for every call that takes one.
    pub fn tcp_listener_addr(&self, id: ListenerId) -> Result<(ListenAddress, u16), NoSuchSocket> {
        self.listeners.get(id).map(|l| (l.address, l.port)).ok_or(NoSuchSocket)
    }

    /// The listener that takes a SYN to that address and port: the most exact.
    pub(super) fn listener_for(&self, addr: IpAddr, port: u16) -> Option<ListenerId> {
        self.ports
            .get(&port)?
            .iter()
            .map(|id| (self.listeners[*id].address.fits(addr), *id))
            .filter(|(fit, _)| *fit > 0)
            .max_by_key(|(fit, _)| *fit)
            .map(|(_, id)| id)
    }

    /// Takes a connection that waits, if any.
    ///
    /// # Errors
    /// [`NoSuchSocket`].
    pub fn tcp_accept(&mut self, id: ListenerId) -> Result<Option<SocketId>, NoSuchSocket> {
        let listener = self.listeners.get_mut(id).ok_or(NoSuchSocket)?;
        while let Some(socket) = listener.queue.pop_front() {
            if let Some(conn) = self.connections.get_mut(socket) {
                conn.owner = Owner::Application;
                if !conn.ready.is_empty() && !conn.event_queued {
                    conn.event_queued = true;
                    self.events.push_back(Queued::Socket(socket));
                }
                return Ok(Some(socket));
            }
        }
        Ok(None)
    }

    /// Closes a listener: the port is free at once, and what waited to be accepted is reset.
    ///
    /// # Errors
    /// [`NoSuchSocket`].
    pub fn tcp_close_listener(&mut self, now: Instant, id: ListenerId) -> Result<(), NoSuchSocket> {
        let listener = self.listeners.remove(id).ok_or(NoSuchSocket)?;
        if let Some(ids) = self.ports.get_mut(&listener.port) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.ports.remove(&listener.port);
            }
        }
        let waiting: Vec<SocketId> = if listener.half_open == 0 {
            listener.queue.into()
        } else {
            self.connections
                .iter()
                .filter(|(_, conn)| conn.owner == Owner::Listener(id))
                .map(|(id, _)| id)
                .collect()
        };
        for socket in waiting {
            self.abort(now, socket);
        }
        Ok(())
    }

    /// Starts a connection; `CONNECTED` or `ERROR` follows as an event.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub fn tcp_connect(
        &mut self,
        now: Instant,
        options: ConnectOptions,
    ) -> Result<SocketId, ConnectError> {
        let (remote, remote_port) = (options.remote.ip(), options.remote.port());
        // RFC 9293 §3.9.1.1 MUST-46.
        let mixed = options.local_addr.is_some_and(|a| a.is_ipv4() != remote.is_ipv4());
        if !is_unicast(remote) || remote_port == 0 || mixed || self.is_broadcast(remote) {
            return Err(ConnectError::InvalidDestination);
        }
        // RFC 9293 §3.9.1.1 MUST-43, MUST-44.
        let (interface, local) = match self.route_to(remote, options.local_addr) {
            RouteResult::Via(interface, local) => (interface, local),
            RouteResult::Unreachable => return Err(ConnectError::NetworkUnreachable),
            RouteResult::NoSuchAddress => return Err(ConnectError::AddressNotAvailable),
        };
        if self.connections.len() >= self.config.max_connections {
            return Err(ConnectError::TooManyConnections);
        }
        let mut tuple = Tuple { local, remote, local_port: 0, remote_port };
        let mut after = None;
        match options.local_port.unwrap_or(0) {
            0 => {
                tuple.local_port =
                    self.ephemeral_port(tuple).ok_or(ConnectError::AddressNotAvailable)?;
            }
            port => {
                tuple.local_port = port;
                if self.listen_port_taken(ListenAddress::One(local), port) {
                    return Err(ConnectError::AddressInUse);
                }
                if let Some(other) = self.table.find(&self.connections, &tuple) {
                    // Our own TIME-WAIT makes way for a connection that asks for the port (RFC 6191).
                    if self.connections[other].state() != StateName::TimeWait {
                        return Err(ConnectError::AddressInUse);
                    }
                    after = Some(self.connections[other].reset_numbers().0);
                    self.with(now, other, Connection::finish_abort);
                }
            }
        }
        let socket_options = self.options(options.options);
        // RFC 9293 §3.6.1: above what the connection before it used.
        let iss = match after {
            Some(nxt) => nxt + 65_537,
            None => self.initial_sequence_number(now, &tuple),
        };
        let ts_offset = self.timestamp_offset(&tuple);
        let path = self.path_to(now, interface, remote);
        let memory = self.memory();
        let id = self.connections.insert_with_key(|id| {
            let mut ctx = ctx!(self, now, id, memory);
            Box::new(Connection::connect(&mut ctx, tuple, socket_options, path, iss, ts_offset))
        });
        self.enter_table(now, id);
        Ok(id)
    }

    /// Whether a connection between these was ours to end last, and waits still (TIME-WAIT). `tcp_connect` has it make way for
    /// one that asks for the port; who draws ports draws another first, because they are to be used again late (RFC 6056
    /// §3.1).
    pub fn tcp_in_time_wait(&self, local: SocketAddr, remote: SocketAddr) -> bool {
        let (local, local_port) = (local.ip(), local.port());
        let tuple = Tuple { local, remote: remote.ip(), local_port, remote_port: remote.port() };
        let found = self.table.find(&self.connections, &tuple);
        found.is_some_and(|id| self.connections[id].state() == StateName::TimeWait)
    }

    pub(super) fn enter_table(&mut self, now: Instant, id: SocketId) {
        self.table.insert(&self.connections, id);
        self.connections[id].in_table = true;
        self.settle(now, id, true);
    }

    /// A local port by double hashing (RFC 6056 §3.3.4): the sequence per destination looks random from outside, and ports
    /// are used again late.
    fn ephemeral_port(&mut self, mut tuple: Tuple) -> Option<u16> {
        let (low, high) = self.config.ephemeral_ports;
        let count = u32::from(high - low) + 1;
        let hash = self.port_key.of(&tuple, false);
        let offset = (hash >> 32) as u32 % count;
        let slot = (hash & 0xf) as usize;
        for _ in 0..count {
            let counter = self.port_counters[slot];
            self.port_counters[slot] = counter.wrapping_add(1);
            tuple.local_port = low + ((offset + u32::from(counter)) % count) as u16;
            let to_itself = tuple.local == tuple.remote && tuple.local_port == tuple.remote_port;
            if !to_itself
                && self.table.find(&self.connections, &tuple).is_none()
                && !self.listen_port_taken(ListenAddress::One(tuple.local), tuple.local_port)
            {
                return Some(tuple.local_port);
            }
        }
        None
    }

    /// RFC 9293 §3.4.1 MUST-8, MUST-9, SHLD-1, RFC 6528 §3: a clock of 4 microseconds plus a keyed hash of the connection's
    /// ends.
    pub(super) fn initial_sequence_number(&self, now: Instant, tuple: &Tuple) -> SeqNumber {
        let clock = (now.as_nanos() / 4_000) as u32;
        SeqNumber(clock.wrapping_add(self.isn_key.of(tuple, true) as u32))
    }

    /// RFC 7323 §7.1: an offset per connection, so that timestamps do not tell the age of the stack.
    pub(super) fn timestamp_offset(&self, tuple: &Tuple) -> u32 {
        (self.isn_key.of(tuple, true) >> 32) as u32
    }

    /// A connection that the application holds.
    fn held(&self, id: SocketId) -> Result<&Connection, NoSuchSocket> {
        match self.connections.get(id) {
            Some(conn) if conn.owner == Owner::Application => Ok(conn),
            _ => Err(NoSuchSocket),
        }
    }

    /// Calls `f` with a connection that the application holds.
    fn with_held<R>(
        &mut self,
        now: Instant,
        id: SocketId,
        f: impl FnOnce(&mut Connection, &mut Ctx<'_>) -> R,
    ) -> Result<R, NoSuchSocket> {
        self.held(id)?;
        self.with(now, id, f).ok_or(NoSuchSocket)
    }

    /// Queues bytes to send; gives how many were taken, 0 when the queue is full (then `WRITABLE` follows when there is
    /// room). Taken also while still connecting. `more` says that more follows at once (no partial segment is sent yet).
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn tcp_send(
        &mut self,
        now: Instant,
        id: SocketId,
        data: &[u8],
        more: bool,
    ) -> Result<usize, SendError> {
        self.with_held(now, id, |conn, ctx| conn.send(ctx, data, more))
            .unwrap_or(Err(SendError::NoSuchSocket))
    }

    /// Queues bytes as [`tcp_send`](Self::tcp_send) does, and marks their end as the end of urgent data (RFC 9293 §3.8.5).
    /// The peer reads them in line. RFC 6093 §5 advises new programs against it: middleboxes clear the mark.
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn tcp_send_urgent(
        &mut self,
        now: Instant,
        id: SocketId,
        data: &[u8],
    ) -> Result<usize, SendError> {
        self.with_held(now, id, |conn, ctx| conn.send_urgent(ctx, data))
            .unwrap_or(Err(SendError::NoSuchSocket))
    }

    /// Bytes to read before the end of the urgent data that the peer announced (RFC 9293 §3.8.5 MUST-33); `None` when
    /// there is none. A mark that is new, or that moved on, is an event: [`Ready::URGENT`](crate::Ready).
    ///
    /// # Errors
    /// [`NoSuchSocket`].
    pub fn tcp_urgent(&self, id: SocketId) -> Result<Option<u32>, NoSuchSocket> {
        Ok(self.held(id)?.urgent_left())
    }

    /// Takes the next report of a delivery problem that did not end the connection (RFC 9293 §3.9.1.8, ERROR_REPORT); that
    /// there is one is an event: [`Ready::REPORT`](crate::Ready). At most two wait, the last of each reason. Who wants none
    /// does not ask (SHLD-20).
    ///
    /// # Errors
    /// [`NoSuchSocket`].
    pub fn tcp_take_report(&mut self, id: SocketId) -> Result<Option<ErrorReport>, NoSuchSocket> {
        self.held(id)?;
        Ok(self.connections[id].take_report())
    }

    /// Bytes that [`tcp_send`](Self::tcp_send) would take now.
    ///
    /// # Errors
    /// [`NoSuchSocket`].
    pub fn tcp_send_room(&self, id: SocketId) -> Result<usize, NoSuchSocket> {
        Ok(self.held(id)?.send_room(self.memory().send))
    }

    /// Asks for a `WRITABLE` event when there is room, as a short send does.
    ///
    /// # Errors
    /// [`NoSuchSocket`].
    pub fn tcp_want_write(&mut self, id: SocketId) -> Result<(), NoSuchSocket> {
        self.held(id)?;
        self.connections[id].want_write();
        Ok(())
    }

    /// Whether everything sent (the FIN too, if shut down) was acknowledged, or never will be.
    ///
    /// # Errors
    /// [`NoSuchSocket`].
    pub fn tcp_flushed(&self, id: SocketId) -> Result<bool, NoSuchSocket> {
        Ok(self.held(id)?.is_flushed())
    }

    /// Bytes in the send queue that are not acknowledged; also of a connection that was let go of and goes on in the
    /// background.
    ///
    /// # Errors
    /// [`NoSuchSocket`].
    pub fn tcp_send_queue(&self, id: SocketId) -> Result<usize, NoSuchSocket> {
        self.connections.get(id).map(|conn| conn.send_queue()).ok_or(NoSuchSocket)
    }

    /// Copies received bytes out; 0 at the end of the stream (or for an empty `buf`). Queued data comes before an error.
    ///
    /// # Errors
    /// See [`RecvError`].
    pub fn tcp_recv(
        &mut self,
        now: Instant,
        id: SocketId,
        buf: &mut [u8],
    ) -> Result<usize, RecvError> {
        self.with_held(now, id, |conn, ctx| conn.recv(ctx, buf))
            .unwrap_or(Err(RecvError::NoSuchSocket))
    }

    /// Bytes that wait before the first piece that lies in the driver's memory and of which `wanted` says so; all of them
    /// when there is none, but no more than `limit`.
    ///
    /// # Errors
    /// [`NoSuchSocket`].
    pub fn tcp_recv_queue_before(
        &self,
        id: SocketId,
        limit: usize,
        wanted: impl Fn(&Payload) -> bool,
    ) -> Result<usize, NoSuchSocket> {
        Ok(self.held(id)?.before_piece(limit, wanted))
    }

    /// Takes the first received piece as it lies in the driver's memory, uncopied, if `wanted` says so of it. `None` when
    /// it does not, and when what comes first is not in such memory (small pieces are gathered), which
    /// [`tcp_recv`](Self::tcp_recv) copies.
    ///
    /// The stack keeps no other view on these bytes.
    ///
    /// # Errors
    /// [`NoSuchSocket`].
    pub fn tcp_take_piece(
        &mut self,
        now: Instant,
        id: SocketId,
        wanted: impl FnOnce(&Payload) -> bool,
    ) -> Result<Option<Payload>, NoSuchSocket> {
        self.with_held(now, id, |conn, ctx| conn.take_piece(ctx, wanted))
    }

    /// Copies received bytes without taking them.
    ///
    /// # Errors
    /// See [`RecvError`].
    pub fn tcp_peek(&mut self, id: SocketId, buf: &mut [u8]) -> Result<usize, RecvError> {
        self.held(id).map_err(|_| RecvError::NoSuchSocket)?;
        self.connections[id].peek(buf)
    }

    /// Bytes that wait to be read.
    ///
    /// # Errors
    /// [`NoSuchSocket`].
    pub fn tcp_recv_queue(&self, id: SocketId) -> Result<usize, NoSuchSocket> {
        Ok(self.held(id)?.recv_queue())
    }

    /// Shuts a side down.
    ///
    /// # Errors
    /// [`NoSuchSocket`].
    pub fn tcp_shutdown(
        &mut self,
        now: Instant,
        id: SocketId,
        how: Shutdown,
    ) -> Result<(), NoSuchSocket> {
        self.with_held(now, id, |conn, ctx| {
            if how != Shutdown::Write {
                conn.shutdown_read(ctx);
            }
            if how != Shutdown::Read {
                conn.shutdown_write(ctx);
            }
        })
    }

    /// Lets go of a connection, as close(2): what is queued is still sent, then FIN, in the background; unread data turns
    /// that into a RST (RFC 2525 §2.17). The id is stale for every call afterwards; only `FLUSHED` (all sent and
    /// acknowledged, or given up) and `CLOSED` still come as events.
    ///
    /// # Errors
    /// [`NoSuchSocket`].
    pub fn tcp_close(&mut self, now: Instant, id: SocketId) -> Result<(), NoSuchSocket> {
        if self.with_held(now, id, |conn, ctx| conn.close(ctx))? {
            self.reset_and_finish(now, id);
        }
        Ok(())
    }

    /// Lets go of a connection with a RST (RFC 9293 §3.10.5).
    ///
    /// # Errors
    /// [`NoSuchSocket`].
    pub fn tcp_abort(&mut self, now: Instant, id: SocketId) -> Result<(), NoSuchSocket> {
        self.held(id)?;
        self.abort(now, id);
        Ok(())
    }

    /// Aborts every connection and closes every listener and every other socket. A router that advertises itself tells
    /// the hosts of its links that it is none any more (RFC 4861 §6.2.5).
    pub fn abort_all(&mut self, now: Instant) {
        let interfaces: Vec<InterfaceId> = self.interfaces.keys().collect();
        for id in interfaces {
            self.stop_advertising(id);
        }
        let listeners: Vec<ListenerId> = self.listeners.keys().collect();
        for id in listeners {
            let _ = self.tcp_close_listener(now, id);
        }
        let sockets: Vec<SocketId> = self.connections.keys().collect();
        for id in sockets {
            self.abort(now, id);
        }
        let sockets: Vec<UdpId> = self.udp.keys().collect();
        for id in sockets {
            let _ = self.udp_close(id);
        }
        self.raws.clear();
        let pings: Vec<PingId> = self.pings.keys().collect();
        for id in pings {
            let _ = self.icmp_cancel(id);
        }
    }

    fn abort(&mut self, now: Instant, id: SocketId) {
        let Some(tell) = self.with(now, id, Connection::abort) else { return };
        if tell {
            self.reset_and_finish(now, id);
        } else {
            self.with(now, id, |conn, ctx| conn.finish_abort(ctx));
        }
    }

    fn reset_and_finish(&mut self, now: Instant, id: SocketId) {
        self.send_reset_of(now, id);
        self.with(now, id, Connection::finish_abort);
    }

    /// The addresses of a connection: local, remote.
    ///
    /// # Errors
    /// [`NoSuchSocket`].
    pub fn tcp_addrs(&self, id: SocketId) -> Result<(SocketAddr, SocketAddr), NoSuchSocket> {
        let tuple = &self.held(id)?.tuple;
        Ok((tuple.local_addr(), tuple.remote_addr()))
    }

    /// Why the connection ended, if with an error. Does not clear it.
    ///
    /// # Errors
    /// [`NoSuchSocket`].
    pub fn tcp_error(&self, id: SocketId) -> Result<Option<ConnectionError>, NoSuchSocket> {
        Ok(self.held(id)?.error())
    }

    /// What `ss -ti` would show. Times that still run are counted to when the stack was last told the time.
    ///
    /// # Errors
    /// [`NoSuchSocket`].
    pub fn tcp_info(&self, id: SocketId) -> Result<Info, NoSuchSocket> {
        self.tcp_info_at(self.latest, id)
    }

    /// What `ss -ti` would show at `now`.
    ///
    /// # Errors
    /// [`NoSuchSocket`].
    pub fn tcp_info_at(&self, now: Instant, id: SocketId) -> Result<Info, NoSuchSocket> {
        Ok(self.held(id)?.info(now))
    }

    /// Every connection, also those nobody holds any more, with the addresses of its ends.
    pub fn tcp_connections(
        &self,
    ) -> impl Iterator<Item = (SocketId, SocketAddr, SocketAddr, StateName)> {
        self.connections
            .iter()
            .map(|(id, c)| (id, c.tuple.local_addr(), c.tuple.remote_addr(), c.state()))
    }

    /// The options in force.
    ///
    /// # Errors
    /// [`NoSuchSocket`].
    pub fn tcp_options(&self, id: SocketId) -> Result<&SocketOptions, NoSuchSocket> {
        Ok(&self.held(id)?.options)
    }

    /// Changes options of a connection (buffers, Nagle, keep-alive, congestion control, ..); what the handshake settled
    /// stays. Another congestion control goes on from the window that the one before left.
    ///
    /// # Errors
    /// [`NoSuchSocket`].
    pub fn tcp_set_options(
        &mut self,
        now: Instant,
        id: SocketId,
        change: impl FnOnce(&mut SocketOptions),
    ) -> Result<(), NoSuchSocket> {
        self.with_held(now, id, |conn, ctx| {
            change(Arc::make_mut(&mut conn.options));
            conn.options_changed(ctx);
        })?;
        if let Some(conn) = self.connections.get_mut(id) {
            conn.options = self.shared_options.share(Arc::clone(&conn.options));
        }
        Ok(())
    }
}
