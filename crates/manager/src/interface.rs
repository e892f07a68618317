//! An interface of our own: a device, a stack on it, and the calls that make sockets, shaped like `std::net`.

use std::io::{Error, ErrorKind, Result};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant as Clock};

use usernet_core::tcp::StateName;
use usernet_core::{
    Config, ConnectError, ConnectOptions, InterfaceConfig, InterfaceId, IpCidr, ListenAddress,
    ListenOptions, Route, Secrets, SocketId, SocketOptions, Stats,
};
use usernet_device::Device;

use crate::error;
use crate::inner::State;
use crate::listener::TcpListener;
use crate::queues::{QueueStats, Queues};
use crate::shard::{Shard, ShardGuard, interface_config};
use crate::socket::Handle;
use crate::stream::TcpStream;

/// Connections that wait to be accepted, per listener.
const BACKLOG: usize = 1024;

/// Ports that are tried where one has to be free for one shard of several; the later ones although their last connection is
/// in TIME-WAIT.
const ATTEMPTS: usize = 256;

/// A device with a TCP/IP stack on it, and a thread that moves its packets.
///
/// ```
/// use std::io::{Read, Write};
/// use usernet_manager::{Config, Interface};
///
/// # fn main() -> std::io::Result<()> {
/// // With loopback alone; `Interface::builder(device)` takes a TUN interface or an in-process link.
/// let interface = Interface::loopback(Config::default())?;
/// let listener = interface.bind(7)?;
/// let server = std::thread::spawn(move || -> std::io::Result<()> {
///     let (mut stream, _) = listener.accept()?;
///     let mut request = String::new();
///     stream.read_to_string(&mut request)?;
///     stream.write_all(request.to_uppercase().as_bytes())
/// });
/// let mut stream = interface.connect("127.0.0.1:7".parse().unwrap())?;
/// stream.write_all(b"hello")?;
/// stream.shutdown(std::net::Shutdown::Write)?;
/// let mut reply = String::new();
/// stream.read_to_string(&mut reply)?;
/// assert_eq!(reply, "HELLO");
/// server.join().unwrap()
/// # }
/// ```
///
/// A device with several queues ([`TunOptions::queues`](usernet_device::TunOptions)) has a stack, a lock and a packet thread
/// for each, which share the connections; listeners and calls are the same.
///
/// Dropping it resets the connections that live, joins the packet thread and drops the device. Streams and listeners
/// that outlive it give [`ErrorKind::NotConnected`], threads that block on them return with it.
#[derive(Debug)]
pub struct Interface {
    /// One, or as many as the device has queues; the first has whatever is not TCP.
    shards: Vec<Arc<Shard>>,
    /// The device, in each shard.
    ids: Vec<InterfaceId>,
    /// Where there are several.
    queues: Option<Arc<Queues>>,
    ephemeral_ports: (u16, u16),
}

/// How an [`Interface`] is made.
pub struct InterfaceBuilder {
    device: Option<Box<dyn Device>>,
    config: Config,
    secrets: Option<(Secrets, u64)>,
    addresses: Vec<IpCidr>,
    routes: Vec<(String, IpAddr)>,
    error: Option<Error>,
}

impl Interface {
    /// An interface on `device`, with loopback and no addresses yet (see [`add_address`](Self::add_address)).
    ///
    /// # Errors
    /// As [`InterfaceBuilder::start`].
    pub fn new(device: impl Device + 'static) -> Result<Self> {
        Self::builder(device).start()
    }

    /// An interface to be given addresses and routes first.
    pub fn builder(device: impl Device + 'static) -> InterfaceBuilder {
        InterfaceBuilder::new(Some(Box::new(device)))
    }

    /// No device: loopback alone (127.0.0.0/8, `::1`), which needs no privilege.
    ///
    /// # Errors
    /// As [`InterfaceBuilder::start`].
    pub fn loopback(config: Config) -> Result<Self> {
        InterfaceBuilder::new(None).config(Config { loopback: true, ..config }).start()
    }

    /// Adds an address with its prefix length, such as `198.18.0.2/24`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] when it is not one a host can have; [`ErrorKind::AddrInUse`] when the stack has it;
    /// [`ErrorKind::NotConnected`] without a device.
    pub fn add_address(&self, address: &str) -> Result<()> {
        let cidr = parse_cidr(address)?;
        self.on_device(|guard, id| {
            let now = guard.now();
            guard.add_address(now, id, cidr).map_err(|e| error::interface(e, address))
        })
    }

    /// Adds a route: to a subnet, or to `default`, by a next hop on the link.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] when the next hop is not on the link, or of another family.
    pub fn add_route(&self, to: &str, via: IpAddr) -> Result<()> {
        let cidr = match (to, via) {
            ("default", IpAddr::V4(_)) => parse_cidr("0.0.0.0/0")?,
            ("default", IpAddr::V6(_)) => parse_cidr("::/0")?,
            _ => parse_cidr(to)?,
        };
        let what = format!("{to} via {via}");
        self.on_device(|guard, interface| {
            let route = Route { to: cidr, via: Some(via), interface };
            guard.add_route(route).map_err(|e| error::interface(e, &what))
        })
    }

    /// Listens on a port of every address of both families; port 0 picks a free one. Up to 1,024 connections wait to be
    /// accepted; further ones have to try again.
    ///
    /// # Errors
    /// [`ErrorKind::AddrInUse`] when another listener has it.
    pub fn bind(&self, port: u16) -> Result<TcpListener> {
        self.listen(ListenAddress::AnyV6 { only: false }, port, None)
    }

    /// Listens on one address and port; `0.0.0.0` is every IPv4 address, `::` every address of both families.
    ///
    /// # Errors
    /// [`ErrorKind::AddrInUse`] when another listener has it, [`ErrorKind::AddrNotAvailable`] when the address is not
    /// ours.
    pub fn bind_addr(&self, addr: SocketAddr) -> Result<TcpListener> {
        self.listen(listen_address(addr.ip()), addr.port(), None)
    }

    /// Listens as [`bind_addr`](Self::bind_addr) does; connections begin with the stack's options as `change` left them:
    /// `|options| options.fast_open.queue = 16` has it take data on SYNs (RFC 7413), for instance.
    ///
    /// # Errors
    /// As [`bind_addr`](Self::bind_addr).
    pub fn bind_with(
        &self,
        addr: SocketAddr,
        change: impl FnOnce(&mut SocketOptions),
    ) -> Result<TcpListener> {
        let options = self.options_with(change);
        self.listen(listen_address(addr.ip()), addr.port(), Some(options))
    }

    /// The stack's options for sockets, changed. What `change` does is not ours to know: it runs without the lock.
    fn options_with(&self, change: impl FnOnce(&mut SocketOptions)) -> SocketOptions {
        let mut options = self.shard().lock().default_socket_options().clone();
        change(&mut options);
        options
    }

    fn listen(
        &self,
        address: ListenAddress,
        port: u16,
        options: Option<SocketOptions>,
    ) -> Result<TcpListener> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            match self.listen_in_all(address, port, options.as_ref()) {
                // One shard found a port free that another has in use.
                Err(e) if port == 0 && e.kind() == ErrorKind::AddrInUse && attempts < ATTEMPTS => {}
                result => return result,
            }
        }
    }

    fn listen_in_all(
        &self,
        address: ListenAddress,
        mut port: u16,
        options: Option<&SocketOptions>,
    ) -> Result<TcpListener> {
        let backlog = BACKLOG.div_ceil(self.shards.len());
        let mut parts = Vec::with_capacity(self.shards.len());
        for shard in &self.shards {
            let mut guard = shard.lock();
            if guard.inner().state != State::Running {
                return Err(error::gone(&guard.inner().state));
            }
            let options = ListenOptions { address, port, backlog, options: options.cloned() };
            let id = guard.tcp_listen(options).map_err(error::listen)?;
            port = guard.tcp_listener_addr(id).map_or(port, |(_, port)| port);
            parts.push((Handle::listener(shard.clone(), &mut guard, id), id));
        }
        Ok(TcpListener::new(parts))
    }

    /// Connects, and waits until the connection is established.
    ///
    /// # Errors
    /// Those of `connect(2)`: refused, timed out, unreachable, ..
    pub fn connect(&self, addr: SocketAddr) -> Result<TcpStream> {
        self.connect_until(addr, None, None)
    }

    /// Connects, and waits until the connection is established, at most for `timeout`.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] when the time is up, [`ErrorKind::InvalidInput`] when `timeout` is zero, and those of
    /// [`connect`](Self::connect).
    pub fn connect_timeout(&self, addr: SocketAddr, timeout: Duration) -> Result<TcpStream> {
        if timeout.is_zero() {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "cannot connect in no time: use a timeout above zero",
            ));
        }
        // A moment too far for the clock is no limit.
        self.connect_until(addr, Clock::now().checked_add(timeout), None)
    }

    /// Connects with `data` on the SYN where the server gave a cookie before, and asks for one where it did not (Fast
    /// Open, RFC 7413); waits until the connection is established, at most for `timeout`. Gives how much of `data` was
    /// taken; it arrives in either case, and with the SYN it may arrive twice (§2.1), so it should be a request that can be
    /// repeated.
    ///
    /// # Errors
    /// As [`connect_timeout`](Self::connect_timeout).
    pub fn connect_fast_open(
        &self,
        addr: SocketAddr,
        data: &[u8],
        timeout: Duration,
    ) -> Result<(TcpStream, usize)> {
        let options = self.options_with(|options| options.fast_open.connect = true);
        let mut taken = 0;
        let first = (options, data, &mut taken);
        let stream = self.connect_until(addr, Clock::now().checked_add(timeout), Some(first))?;
        Ok((stream, taken))
    }

    /// `first` is what goes out on the SYN, with which options, and where to say how much of it was taken.
    fn connect_until(
        &self,
        addr: SocketAddr,
        until: Option<Clock>,
        first: Option<(SocketOptions, &[u8], &mut usize)>,
    ) -> Result<TcpStream> {
        let socket = first.as_ref().map(|(options, ..)| options.clone());
        let (shard, mut guard, id) = self.open(addr, socket.as_ref())?;
        let now = guard.now();
        if let Some((_, data, taken)) = first {
            // What does not fit is the caller's to write; an error shows below.
            *taken = guard.tcp_send(now, id, data, false).unwrap_or(0);
        }
        let handle = Handle::socket(shard.clone(), &mut guard, id);
        drop(guard);
        // From here on, dropping the stream lets go of the connection.
        let stream = TcpStream::new(handle, id, addr);
        stream.handle().block(until, error::timed_out, |guard| {
            let Ok(info) = guard.tcp_info(id) else {
                return Poll::Ready(Err(error::gone(&guard.inner().state)));
            };
            if let Ok(Some(error)) = guard.tcp_error(id) {
                return Poll::Ready(Err(error::connection(error)));
            }
            match info.state {
                StateName::SynSent | StateName::SynReceived => Poll::Pending,
                StateName::Closed => Poll::Ready(Err(error::aborted())),
                _ => Poll::Ready(Ok(())),
            }
        })?;
        Ok(stream)
    }

    /// Begins a connection in the shard whose it is. Where there are several, the port decides that: one is drawn at random
    /// (RFC 6056 §3.3.1), as often as it is in use.
    fn open(
        &self,
        remote: SocketAddr,
        options: Option<&SocketOptions>,
    ) -> Result<(&Arc<Shard>, ShardGuard<'_>, SocketId)> {
        // What does not leave comes out of no queue.
        let queues = self.queues.as_ref().filter(|_| !self.shard().lock().is_local(remote.ip()));
        let mut attempts = 0;
        loop {
            attempts += 1;
            let (shard, local_port) = match queues {
                None => (self.shard(), None),
                Some(queues) => {
                    let port = self.random_port()?;
                    (&self.shards[queues.owner_of(remote, port)], Some(port))
                }
            };
            let mut guard = shard.lock();
            if guard.inner().state != State::Running {
                return Err(error::gone(&guard.inner().state));
            }
            if let Some(port) = local_port
                && attempts < ATTEMPTS / 2
                && let Some((_, source)) = guard.way_to(remote.ip(), None)
                && guard.tcp_in_time_wait(SocketAddr::new(source, port), remote)
            {
                continue;
            }
            let now = guard.now();
            let options =
                ConnectOptions { remote, local_addr: None, local_port, options: options.cloned() };
            match guard.tcp_connect(now, options) {
                Ok(id) => return Ok((shard, guard, id)),
                Err(ConnectError::AddressInUse) if local_port.is_some() && attempts < ATTEMPTS => {}
                Err(e) => return Err(error::connect(e)),
            }
        }
    }

    fn random_port(&self) -> Result<u16> {
        let mut random = [0; 4];
        getrandom::fill(&mut random).map_err(Error::other)?;
        let (first, last) = self.ephemeral_ports;
        let ports = u32::from(last.saturating_sub(first)) + 1;
        Ok(first + (u32::from_ne_bytes(random) % ports) as u16)
    }

    /// The stack's counters; of several, their sums.
    pub fn stats(&self) -> Stats {
        let mut sum = self.shard().lock().stats();
        // One listener is as many.
        let listeners = sum.listeners;
        for shard in &self.shards[1..] {
            sum.add(&shard.lock().stats());
        }
        sum.listeners = listeners;
        sum
    }

    /// What came out of other queues than its owner's, where the device has several.
    pub fn queue_stats(&self) -> QueueStats {
        self.queues.as_ref().map(|queues| queues.stats()).unwrap_or_default()
    }

    /// The stack and its lock, for what this API does not offer; of several, the one that has what is not TCP.
    pub fn shard(&self) -> &Arc<Shard> {
        &self.shards[0]
    }

    /// All of them: one for each of the device's queues.
    pub fn shards(&self) -> &[Arc<Shard>] {
        &self.shards
    }

    /// Makes a call on each stack, with its number of the device.
    fn on_device(
        &self,
        mut call: impl FnMut(&mut ShardGuard<'_>, InterfaceId) -> Result<()>,
    ) -> Result<()> {
        if self.ids.is_empty() {
            return Err(Error::new(
                ErrorKind::NotConnected,
                "a loopback interface has no device; make it with Interface::builder(device)",
            ));
        }
        for (shard, id) in self.shards.iter().zip(&self.ids) {
            call(&mut shard.lock(), *id)?;
        }
        Ok(())
    }
}

impl Drop for Interface {
    fn drop(&mut self) {
        Shard::close_all(&self.shards);
    }
}

impl InterfaceBuilder {
    fn new(device: Option<Box<dyn Device>>) -> Self {
        Self {
            device,
            config: Config::default(),
            secrets: None,
            addresses: Vec::new(),
            routes: Vec::new(),
            error: None,
        }
    }

    /// Adds an address with its prefix length, such as `198.18.0.2/24` or `fd00::2/64`.
    #[must_use]
    pub fn address(mut self, address: &str) -> Self {
        match parse_cidr(address) {
            Ok(cidr) => self.addresses.push(cidr),
            Err(error) => self.error = self.error.or(Some(error)),
        }
        self
    }

    /// Adds a route: to a subnet, or to `default`, by a next hop on the link.
    #[must_use]
    pub fn route(mut self, to: &str, via: impl Into<IpAddr>) -> Self {
        self.routes.push((to.into(), via.into()));
        self
    }

    /// Settings of the stack and its sockets.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Fixed secrets and seed, for tests; without them they come from the operating system.
    #[must_use]
    pub fn secrets(mut self, secrets: Secrets, seed: u64) -> Self {
        self.secrets = Some((secrets, seed));
        self
    }

    /// Starts the stack and its packet thread.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`], [`ErrorKind::AddrInUse`] for addresses, routes and MTU that cannot be, named in the
    /// message with the remedy; what the system says when it has no thread or descriptor left.
    pub fn start(self) -> Result<Interface> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let devices = match self.device {
            Some(mut device) => {
                let more = device.open_queues()?;
                std::iter::once(device).chain(more).collect()
            }
            None => Vec::new(),
        };
        let n = devices.len().max(1);
        let config = share_of(&self.config, n);
        let mut interface = Interface {
            shards: Vec::with_capacity(n),
            ids: Vec::with_capacity(n),
            queues: None,
            ephemeral_ports: config.ephemeral_ports,
        };
        let first = match self.secrets {
            Some((secrets, seed)) => Shard::with_secrets(config.clone(), secrets, seed)?,
            None => Shard::new(config.clone())?,
        };
        for at in 1..n as u64 {
            interface.shards.push(first.another(config.clone(), at)?);
        }
        interface.shards.insert(0, first);
        if n > 1 {
            let mut key = [0; 16];
            getrandom::fill(&mut key).map_err(Error::other)?;
            interface.queues = Some(Queues::new(n, key));
        }
        for (at, mut device) in devices.into_iter().enumerate() {
            let config = interface_config(&device.info(), self.addresses.clone());
            let what = describe(&config);
            if let Some(queues) = &interface.queues {
                device = queues.queue(at, device);
            }
            let id = interface.shards[at].add_device(device, config);
            interface.ids.push(id.map_err(|e| error::interface(e, &what))?);
        }
        for (to, via) in self.routes {
            interface.add_route(&to, via)?;
        }
        Ok(interface)
    }
}

impl std::fmt::Debug for InterfaceBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InterfaceBuilder")
            .field("addresses", &self.addresses)
            .field("routes", &self.routes)
            .finish_non_exhaustive()
    }
}

/// The settings of each of so many shards of one stack: what bounds the whole is shared out.
pub fn share_of(config: &Config, shards: usize) -> Config {
    let mut config = config.clone();
    if shards > 1 {
        config.max_connections = config.max_connections.div_ceil(shards);
        config.max_receive_memory = config.max_receive_memory.div_ceil(shards);
        config.max_send_memory = config.max_send_memory.div_ceil(shards);
        config.tcp_aside = true;
    }
    config
}

fn parse_cidr(text: &str) -> Result<IpCidr> {
    text.parse().map_err(|e| {
        let text = format!("{text:?}: {e}; write it like 198.18.0.2/24 or fd00::2/64");
        Error::new(ErrorKind::InvalidInput, text)
    })
}

fn describe(config: &InterfaceConfig) -> String {
    let addresses: Vec<_> =
        config.addresses.iter().map(|a| format!("{}/{}", a.addr, a.prefix_len)).collect();
    format!("interface {} (mtu {}, {})", config.name, config.mtu, addresses.join(", "))
}

/// Where to listen: all of a family's addresses, or one.
fn listen_address(ip: IpAddr) -> ListenAddress {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => ListenAddress::AnyV4,
        IpAddr::V6(ip) if ip.is_unspecified() => ListenAddress::AnyV6 { only: false },
        ip => ListenAddress::One(ip),
    }
}
