//! An interface of our own: a device, a stack on it, and the calls that make sockets, shaped like `std::net`.

use std::io::{Error, ErrorKind, Result};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant as Clock};

use usernet_core::tcp::StateName;
use usernet_core::{
    Config, ConnectOptions, InterfaceConfig, InterfaceId, IpCidr, ListenAddress, ListenOptions,
    Route, Secrets, SocketOptions, Stats,
};
use usernet_device::Device;

use crate::error;
use crate::inner::State;
use crate::listener::TcpListener;
use crate::shard::{Shard, interface_config};
use crate::socket::Handle;
use crate::stream::TcpStream;

/// Connections that wait to be accepted, per listener.
const BACKLOG: usize = 1024;

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
/// Dropping it resets the connections that live, joins the packet thread and drops the device. Streams and listeners
/// that outlive it give [`ErrorKind::NotConnected`], threads that block on them return with it.
#[derive(Debug)]
pub struct Interface {
    shard: Arc<Shard>,
    id: Option<InterfaceId>,
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
        let id = self.device()?;
        let mut guard = self.shard.lock();
        let now = guard.now();
        guard.add_address(now, id, cidr).map_err(|e| error::interface(e, address))
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
        let route = Route { to: cidr, via: Some(via), interface: self.device()? };
        let what = format!("{to} via {via}");
        self.shard.lock().add_route(route).map_err(|e| error::interface(e, &what))
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
        let mut options = self.shard.lock().default_socket_options().clone();
        change(&mut options);
        options
    }

    fn listen(
        &self,
        address: ListenAddress,
        port: u16,
        options: Option<SocketOptions>,
    ) -> Result<TcpListener> {
        let mut guard = self.shard.lock();
        if guard.inner().state != State::Running {
            return Err(error::gone(&guard.inner().state));
        }
        let options = ListenOptions { address, port, backlog: BACKLOG, options };
        let id = guard.tcp_listen(options).map_err(error::listen)?;
        let handle = Handle::listener(self.shard.clone(), &mut guard, id);
        drop(guard);
        Ok(TcpListener::new(handle, id))
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
        let mut guard = self.shard.lock();
        if guard.inner().state != State::Running {
            return Err(error::gone(&guard.inner().state));
        }
        let now = guard.now();
        let socket = first.as_ref().map(|(options, ..)| options.clone());
        let options =
            ConnectOptions { remote: addr, local_addr: None, local_port: None, options: socket };
        let id = guard.tcp_connect(now, options).map_err(error::connect)?;
        if let Some((_, data, taken)) = first {
            // What does not fit is the caller's to write; an error shows below.
            *taken = guard.tcp_send(now, id, data, false).unwrap_or(0);
        }
        let handle = Handle::socket(self.shard.clone(), &mut guard, id);
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

    /// The stack's counters.
    pub fn stats(&self) -> Stats {
        self.shard.lock().stats()
    }

    /// The stack and its lock, for what this API does not offer.
    pub fn shard(&self) -> &Arc<Shard> {
        &self.shard
    }

    fn device(&self) -> Result<InterfaceId> {
        self.id.ok_or_else(|| {
            Error::new(
                ErrorKind::NotConnected,
                "a loopback interface has no device; make it with Interface::builder(device)",
            )
        })
    }
}

impl Drop for Interface {
    fn drop(&mut self) {
        self.shard.close();
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
        let shard = match self.secrets {
            Some((secrets, seed)) => Shard::with_secrets(self.config, secrets, seed)?,
            None => Shard::new(self.config)?,
        };
        let mut interface = Interface { shard, id: None };
        if let Some(device) = self.device {
            let config = interface_config(&device.info(), self.addresses);
            let what = describe(&config);
            let id = interface.shard.add_device(device, config);
            interface.id = Some(id.map_err(|e| error::interface(e, &what))?);
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
