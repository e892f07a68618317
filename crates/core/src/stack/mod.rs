//! The stack: what a driver calls.

use std::net::{IpAddr, SocketAddr};

use crate::*;
use crate::tcp::Info;

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

/// How a listener is made.
#[derive(Clone, Debug)]
pub struct ListenOptions {
    /// For which address.
    pub address: ListenAddress,
    /// On which port; 0 picks a free one.
    pub port: u16,
    /// Most connections that wait to be accepted; a SYN beyond it is dropped, so that the peer tries again.
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

/// Counters of a stack; the names in parentheses are `nstat`'s.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Frames handed in.
    pub frames_in: u64,
    /// Frames taken out.
    pub frames_out: u64,
    /// Connections in the table, every state, half-open and TIME-WAIT included.
    pub connections: u64,
    /// Of them in TIME-WAIT.
    pub time_wait: u64,
    /// Listeners.
    pub listeners: u64,
    /// Bytes that receive queues hold.
    pub receive_memory: u64,
}

/// A TCP/IP stack.
pub struct Stack {}

impl Stack {
    /// A stack. `seed` starts the generator of everything random that need not be secret; `secrets` keys the rest.
    pub fn new(config: Config, secrets: Secrets, seed: u64) -> Self { todo!() }

    /// Adds an interface.
    pub fn add_interface(&mut self, now: Instant, config: InterfaceConfig) -> Result<InterfaceId, InterfaceError> { todo!() }
    /// Removes an interface, its addresses and routes. Connections over it stay and time out, as with the kernel.
    pub fn remove_interface(&mut self, now: Instant, id: InterfaceId) -> Result<(), InterfaceError> { todo!() }
    /// Adds an address to an interface.
    pub fn add_address(&mut self, now: Instant, id: InterfaceId, address: IpCidr) -> Result<(), InterfaceError> { todo!() }
    /// Removes an address from an interface.
    pub fn remove_address(&mut self, now: Instant, id: InterfaceId, address: IpAddr) -> Result<(), InterfaceError> { todo!() }
    /// Adds a route.
    pub fn add_route(&mut self, route: Route) -> Result<(), InterfaceError> { todo!() }
    /// Removes the route to exactly that prefix; whether there was one.
    pub fn remove_route(&mut self, to: IpCidr) -> bool { todo!() }
    /// The addresses of every interface, loopback's too.
    pub fn addresses(&self) -> Vec<(InterfaceId, IpCidr)> { todo!() }

    /// Takes a frame that `interface` received.
    pub fn handle_frame(&mut self, now: Instant, interface: InterfaceId, frame: RxFrame) { todo!() }
    /// Runs the timers that are due, a bounded number; `poll_timeout` is due still when some are left.
    pub fn handle_timeout(&mut self, now: Instant) { todo!() }
    /// The next frame to transmit, if any.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Transmit<'_>> { todo!() }
    /// The next event, if any.
    pub fn poll_event(&mut self) -> Option<Event> { todo!() }
    /// Whether `poll_event` would give one.
    pub fn has_events(&self) -> bool { todo!() }
    /// The next line of the trace, if tracing is on.
    pub fn poll_trace(&mut self) -> Option<TraceEvent> { todo!() }
    /// When `handle_timeout` is due next; `None` when nothing waits for time.
    pub fn poll_timeout(&self) -> Option<Instant> { todo!() }

    /// Makes a listener.
    pub fn tcp_listen(&mut self, options: ListenOptions) -> Result<ListenerId, ListenError> { todo!() }
    /// The address and port a listener has.
    pub fn tcp_listener_addr(&self, id: ListenerId) -> Result<(ListenAddress, u16), NoSuchSocket> { todo!() }
    /// Takes a connection that waits, if any.
    pub fn tcp_accept(&mut self, id: ListenerId) -> Result<Option<SocketId>, NoSuchSocket> { todo!() }
    /// Closes a listener: the port is free at once, and what waited to be accepted is reset.
    pub fn tcp_close_listener(&mut self, now: Instant, id: ListenerId) -> Result<(), NoSuchSocket> { todo!() }

    /// Starts a connection; `CONNECTED` or `ERROR` follows as an event.
    pub fn tcp_connect(&mut self, now: Instant, options: ConnectOptions) -> Result<SocketId, ConnectError> { todo!() }
    /// Queues bytes to send; gives how many were taken, 0 when the queue is full (then `WRITABLE` follows when there is
    /// room). Taken also while still connecting. `more` says that more follows at once (no partial segment is sent yet).
    pub fn tcp_send(&mut self, now: Instant, id: SocketId, data: &[u8], more: bool) -> Result<usize, SendError> { todo!() }
    /// Bytes that `tcp_send` would take now.
    pub fn tcp_send_room(&self, id: SocketId) -> Result<usize, NoSuchSocket> { todo!() }
    /// Whether everything sent (the FIN too, if shut down) was acknowledged.
    pub fn tcp_flushed(&self, id: SocketId) -> Result<bool, NoSuchSocket> { todo!() }
    /// Copies received bytes out; 0 at the end of the stream (or for an empty `buf`). Queued data comes before an error.
    pub fn tcp_recv(&mut self, now: Instant, id: SocketId, buf: &mut [u8]) -> Result<usize, RecvError> { todo!() }
    /// Copies received bytes without taking them.
    pub fn tcp_peek(&mut self, id: SocketId, buf: &mut [u8]) -> Result<usize, RecvError> { todo!() }
    /// Bytes that wait to be read.
    pub fn tcp_recv_queue(&self, id: SocketId) -> Result<usize, NoSuchSocket> { todo!() }
    /// Shuts a side down.
    pub fn tcp_shutdown(&mut self, now: Instant, id: SocketId, how: Shutdown) -> Result<(), NoSuchSocket> { todo!() }
    /// Lets go of a connection, as close(2): what is queued is still sent, then FIN, in the background; unread data turns
    /// that into a RST (RFC 2525 §2.17). The id is stale for every call afterwards; only `FLUSHED` (all sent and
    /// acknowledged, or given up) and `CLOSED` still come as events.
    pub fn tcp_close(&mut self, now: Instant, id: SocketId) -> Result<(), NoSuchSocket> { todo!() }
    /// Lets go of a connection with a RST (RFC 9293 §3.10.5).
    pub fn tcp_abort(&mut self, now: Instant, id: SocketId) -> Result<(), NoSuchSocket> { todo!() }
    /// Aborts every connection and closes every listener.
    pub fn abort_all(&mut self, now: Instant) { todo!() }
    /// The addresses of a connection: local, remote.
    pub fn tcp_addrs(&self, id: SocketId) -> Result<(SocketAddr, SocketAddr), NoSuchSocket> { todo!() }
    /// Why the connection ended, if with an error. Does not clear it.
    pub fn tcp_error(&self, id: SocketId) -> Result<Option<ConnectionError>, NoSuchSocket> { todo!() }
    /// What `ss -ti` would show.
    pub fn tcp_info(&self, id: SocketId) -> Result<Info, NoSuchSocket> { todo!() }
    /// The options in force.
    pub fn tcp_options(&self, id: SocketId) -> Result<&SocketOptions, NoSuchSocket> { todo!() }
    /// Changes options of a connection (buffers, Nagle, keep-alive, ..); what the handshake settled stays.
    pub fn tcp_set_options(&mut self, now: Instant, id: SocketId, change: impl FnOnce(&mut SocketOptions)) -> Result<(), NoSuchSocket> { todo!() }

    /// Counters.
    pub fn stats(&self) -> Stats { todo!() }
}
