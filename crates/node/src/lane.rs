//! Lanes: what the binding has for each shard of a stack. A stack has one, and as many more as a device of its has further
//! queues (`IFF_MULTI_QUEUE`): a lane has a share of the TCP connections over that device, with a lock and a packet thread of
//! its own. Everything else is the first one's.
//!
//! A number that JavaScript knows a connection by says whose it is (`handles`). A listener is one in each lane, known by its
//! number in the first, and so is a raw socket, because each lane sees the packets of its connections alone.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use usernet_core::{
    Config, ConnectError, ConnectOptions, InterfaceId, ListenAddress, ListenError, ListenOptions,
    ListenerId, RawOptions, Route, Stack as CoreStack,
};
use usernet_manager::{Queues, Shard, Shared, share_of};

use crate::datagrams::Datagrams;
use crate::errno::Errno;
use crate::handles::{self, Handle};
use crate::js::{Failure, Result};
use crate::pump::Pump;
use crate::sim::{Backend, Core};
use crate::stack::Stack;

/// Most lanes, and so queues of a device, of a stack.
pub(crate) const MAX_LANES: usize = 64;

/// Ports that are tried where one has to be free for one lane of several; the later ones although their last connection is in
/// TIME-WAIT.
const ATTEMPTS: usize = 256;

/// Bytes of randomness that are fetched at a time.
const RANDOM: usize = 256;

/// ICMP, TCP and ICMPv6 (IANA): the protocols whose packets other lanes than the first get.
const SPREAD_PROTOCOLS: [u8; 3] = [1, 6, 58];

/// What the binding has for one shard.
pub(crate) struct Lane {
    /// Gone once closed: its descriptors and memory do not wait for the garbage collector.
    backend: RefCell<Option<Backend>>,
    pump: RefCell<Pump>,
    datagrams: RefCell<Datagrams>,
    /// Its shard rang since it was last drained.
    news: Arc<AtomicBool>,
    /// The event loop drives it while it keeps up.
    pub(crate) on_loop: Cell<bool>,
    /// How much later than the first one's its clock began, ns.
    pub(crate) began: u64,
}

impl Lane {
    /// The lane number `at`.
    pub(crate) fn new(at: usize, backend: Backend, began: u64) -> Self {
        Self {
            backend: RefCell::new(Some(backend)),
            pump: RefCell::new(Pump::new(handles::base(at))),
            datagrams: RefCell::new(Datagrams::new(handles::base(at))),
            news: Arc::default(),
            on_loop: Cell::new(false),
            began,
        }
    }

    /// Calls `f` with the shard, while the stack is open and has one.
    pub(crate) fn with_shard<R>(&self, f: impl FnOnce(&Shard) -> R) -> Option<R> {
        match &*self.backend.borrow() {
            Some(Backend::Shard(shard)) => Some(f(shard)),
            _ => None,
        }
    }

    /// Calls `f` with the core, while the stack is open. `f` calls nothing of JavaScript: others wait for the lock.
    pub(crate) fn with_core<R>(&self, f: impl FnOnce(&mut Core<'_>) -> R) -> Option<R> {
        self.backend.borrow().as_ref()?.with_core(f)
    }

    /// Whether it is a host of a simulated network.
    pub(crate) fn is_simulated(&self) -> bool {
        matches!(&*self.backend.borrow(), Some(Backend::Sim(_)))
    }

    /// What runs its core, for good.
    pub(crate) fn take_backend(&self) -> Option<Backend> {
        self.backend.take()
    }

    /// Its connections and listeners.
    pub(crate) fn pump(&self) -> RefMut<'_, Pump> {
        self.pump.borrow_mut()
    }

    /// As `pump`, unless it is in use.
    pub(crate) fn try_pump(&self) -> Option<RefMut<'_, Pump>> {
        self.pump.try_borrow_mut().ok()
    }

    /// What it has beside TCP: of lanes other than the first, raw sockets alone, and flows.
    pub(crate) fn datagrams(&self) -> RefMut<'_, Datagrams> {
        self.datagrams.borrow_mut()
    }

    /// As `datagrams`, unless they are in use.
    pub(crate) fn try_datagrams(&self) -> Option<RefMut<'_, Datagrams>> {
        self.datagrams.try_borrow_mut().ok()
    }

    /// Forgets everything that JavaScript knows by number.
    pub(crate) fn clear(&self) {
        self.pump.replace(Pump::new(0));
        self.datagrams.replace(Datagrams::new(0));
    }

    /// Sockets and listeners that JavaScript knows.
    pub(crate) fn len(&self) -> usize {
        self.pump.borrow().len() + self.datagrams.borrow().len()
    }

    /// Sockets that could receive something.
    pub(crate) fn sockets(&self) -> usize {
        self.pump.borrow().sockets() + self.datagrams.borrow().len()
    }

    /// There is something to drain.
    pub(crate) fn tell_news(&self) {
        self.news.store(true, Ordering::Release);
    }

    /// Whether there may be something to drain; what comes from here on is told again.
    pub(crate) fn take_news(&self) -> bool {
        self.news.swap(false, Ordering::AcqRel)
            || self.pump.borrow().has_work()
            || self.datagrams.borrow().has_work()
    }
}

/// A lane that a number names.
pub(crate) enum LaneRef<'a> {
    First(&'a Lane),
    Further(Rc<Lane>),
}

impl Deref for LaneRef<'_> {
    type Target = Lane;
    fn deref(&self) -> &Lane {
        match self {
            Self::First(lane) => lane,
            Self::Further(lane) => lane,
        }
    }
}

/// A listener as it was asked for, with the port that it got.
#[derive(Clone, Copy)]
struct Listening {
    address: ListenAddress,
    port: u16,
    backlog: usize,
    fast_open: u32,
}

/// What is in several lanes, by its number in the first: as it was asked for, and its numbers in the further ones.
type Spread<T> = HashMap<u64, (T, Vec<Option<f64>>)>;

/// What the lanes of a stack have in common.
pub(crate) struct Lanes {
    /// The stack's settings, until it is closed.
    config: RefCell<Option<Box<Config>>>,
    /// Key of the hash that shares connections out; one for all devices, so that one that comes back shares them out alike.
    key: Cell<Option<[u8; 16]>>,
    listeners: RefCell<Spread<Listening>>,
    raws: RefCell<Spread<RawOptions>>,
    random: RefCell<Vec<u8>>,
}

impl Lanes {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config: RefCell::new(Some(Box::new(config))),
            key: Cell::new(None),
            listeners: RefCell::default(),
            raws: RefCell::default(),
            random: RefCell::default(),
        }
    }

    /// Forgets everything: its memory does not wait for the garbage collector.
    pub(crate) fn clear(&self) {
        self.config.take();
        self.listeners.take();
        self.raws.take();
        self.random.take();
    }

    /// What the settings say, while the stack is open.
    fn of_config<R>(&self, read: impl FnOnce(&Config) -> R) -> Option<R> {
        self.config.borrow().as_deref().map(read)
    }

    fn key(&self) -> Result<[u8; 16]> {
        if let Some(key) = self.key.get() {
            return Ok(key);
        }
        let mut key = [0; 16];
        getrandom::fill(&mut key).map_err(no_randomness)?;
        self.key.set(Some(key));
        Ok(key)
    }

    /// A local port at random (RFC 6056 §3.3.1).
    fn random_port(&self) -> Option<u16> {
        let mut random = self.random.borrow_mut();
        if random.is_empty() {
            random.resize(RANDOM, 0);
            getrandom::fill(&mut random).inspect_err(|_| random.clear()).ok()?;
        }
        let bytes: Vec<u8> = {
            let rest = random.len() - 4;
            random.drain(rest..).collect()
        };
        let (first, last) = self.of_config(|config| config.ephemeral_ports)?;
        let ports = u32::from(last.saturating_sub(first)) + 1;
        let drawn = u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        Some(first + (drawn % ports) as u16)
    }
}

fn no_randomness(error: getrandom::Error) -> Failure {
    let message = format!("the system has no randomness to give ({error})");
    Failure::system(Errno::EIO, "addInterface", message)
}

impl Stack {
    /// The lane of a number that JavaScript knows something by. A number of none is the first one's, which does not know it.
    pub(crate) fn lane(&self, number: f64) -> LaneRef<'_> {
        self.lane_at(Handle::from_number(number).map_or(0, |handle| handles::lane(handle.index)))
    }

    /// The lane in that place.
    pub(crate) fn lane_at(&self, at: usize) -> LaneRef<'_> {
        match at.checked_sub(1).and_then(|at| self.more.borrow().get(at).cloned()) {
            Some(lane) => LaneRef::Further(lane),
            None => LaneRef::First(&self.first),
        }
    }

    /// The lanes beside the first.
    pub(crate) fn further(&self) -> Vec<Rc<Lane>> {
        self.more.borrow().clone()
    }

    /// Whether there is but one.
    pub(crate) fn has_one_lane(&self) -> bool {
        self.more.borrow().is_empty()
    }

    /// Sees to it that there are so many lanes.
    pub(crate) fn ensure_lanes(&self, wanted: usize) -> Result<()> {
        let had = self.more.borrow().len() + 1;
        if wanted <= had {
            return Ok(());
        }
        let share = self.lanes.of_config(|config| share_of(config, wanted));
        let Some(share) = share else { return Ok(()) };
        // All or none: what was made goes again where one cannot be.
        let mut lanes = Vec::with_capacity(wanted - had);
        for at in had..wanted {
            let made = self.with_shard(|first| {
                let shard = first.another(share.clone(), at as u64)?;
                let began = first.now().since(shard.now());
                Ok((shard, u64::try_from(began.as_nanos()).unwrap_or(u64::MAX)))
            });
            let Some(made) = made else { return Ok(()) };
            let (shard, began) = made.map_err(|error: std::io::Error| {
                for lane in &lanes {
                    Rc::<Lane>::as_ref(lane).with_shard(Shard::close);
                }
                Failure::system(
                    Errno::EAGAIN,
                    "addInterface",
                    format!("cannot start the packet thread of queue {at} ({error}); ask for fewer queues or raise the limits (ulimit -u, ulimit -n)"),
                )
            })?;
            let lane = Lane::new(at, Backend::Shard(Arc::clone(&shard)), began);
            let (bell, news) = (Arc::clone(&self.bell), Arc::clone(&lane.news));
            shard.set_doorbell(Some(Box::new(move || {
                news.store(true, Ordering::Release);
                bell.ring();
            })));
            lanes.push(Rc::new(lane));
        }
        for (at, lane) in (had..).zip(lanes) {
            self.give_lane(&lane, at, wanted);
            self.more.borrow_mut().push(lane);
        }
        self.with_core(|core| core.set_share(&share));
        for lane in self.further() {
            lane.with_core(|core| core.set_share(&share));
        }
        Ok(())
    }

    /// What the queues of a device have in common.
    pub(crate) fn make_queues(&self, queues: usize) -> Result<Arc<Queues>> {
        Ok(Queues::new(queues, self.lanes.key()?))
    }

    /// Tells the further lanes what the first one knows: whose connections are shared out, which way they go, who listens.
    /// To be called when any of that has changed.
    pub(crate) fn tell_lanes(&self) {
        if self.has_one_lane() {
            return;
        }
        let Some((addresses, routes)) =
            self.with_core(|core| (core.addresses(), core.routes().to_vec()))
        else {
            return;
        };
        let interfaces = self.interfaces.borrow();
        let forwards = self.lanes.of_config(|config| config.forwarding) == Some(true);
        let takes_any = interfaces.iter().any(|i| i.accept_any.get());
        for interface in interfaces.iter() {
            let Some(queues) = &interface.queues else { continue };
            let own = |(id, _): &&(InterfaceId, _)| *id == interface.id;
            queues.set_shared(if interface.accept_any.get() {
                let others = addresses.iter().filter(|address| !own(address));
                Shared::AllBut(others.map(|(_, cidr)| cidr.addr).collect())
            } else {
                Shared::Only(addresses.iter().filter(own).map(|(_, cidr)| cidr.addr).collect())
            });
        }
        for (at, lane) in self.further().iter().enumerate() {
            let known = |id: InterfaceId| {
                interfaces.iter().find(|i| i.id == id).and_then(|i| i.more.get(at).copied())
            };
            let mut wanted: Vec<Route> = Vec::new();
            for route in &routes {
                if let Some(interface) = known(route.interface) {
                    wanted.push(Route { interface, ..*route });
                }
            }
            // What came by its device is answered by its device, although the way to the peer is another interface's. (Of
            // an interface's own address only that interface's routes count anyway.)
            let first = interfaces.iter().find_map(|i| i.more.get(at).copied());
            if let Some(interface) = first.filter(|_| takes_any || forwards) {
                let others = addresses.iter().filter(|(id, _)| known(*id).is_none());
                let links = others.filter(|(_, cidr)| !cidr.addr.is_loopback());
                let links = links.map(|(_, cidr)| *cidr);
                let others = routes.iter().filter(|route| known(route.interface).is_none());
                for to in links.chain(others.map(|route| route.to)) {
                    if !wanted.iter().any(|route| route.to == to) {
                        wanted.push(Route { to, via: None, interface });
                    }
                }
            }
            lane.with_core(|core| update_routes(core, &wanted));
        }
        drop(interfaces);
        self.spread_listeners();
        self.spread_raws();
    }

    /// Listens, in every lane; the number.
    pub(crate) fn listen(
        &self,
        address: ListenAddress,
        port: u16,
        backlog: usize,
        fast_open: u32,
    ) -> Option<std::result::Result<Handle, Errno>> {
        let mut listening = Listening { address, port, backlog, fast_open };
        let parts = self.more.borrow().len() + 1;
        let made = self.with_core(|core| {
            let id = listen(core, listening, parts)?;
            listening.port = core.tcp_listener_addr(id).map_or(port, |(_, port)| port);
            // The handle before the lock is let go: from then on events may name the listener.
            Ok(self.first.pump().add_listener(id, None))
        })?;
        if let Ok(handle) = &made {
            let key = handle.to_number() as u64;
            self.lanes.listeners.borrow_mut().insert(key, (listening, Vec::new()));
            if parts > 1 {
                self.spread_listeners();
            }
        }
        Some(made.map_err(|error: ListenError| Errno::from(error)))
    }

    /// Has every listener listen in every lane. One at an address that a lane does not have needs not.
    fn spread_listeners(&self) {
        let lanes = self.further();
        for (number, (listening, parts)) in self.lanes.listeners.borrow_mut().iter_mut() {
            parts.resize(lanes.len(), None);
            let Some(handle) = Handle::from_number(*number as f64) else { continue };
            for (lane, part) in lanes.iter().zip(parts).filter(|(_, part)| part.is_none()) {
                let made = lane.with_core(|core| {
                    let id = listen(core, *listening, lanes.len() + 1).ok()?;
                    Some(lane.pump().add_listener(id, Some(handle)).to_number())
                });
                *part = made.flatten();
            }
        }
    }

    /// Closes a listener, in every lane.
    pub(crate) fn close_listener(&self, number: f64) -> i32 {
        let Some(id) = self.first.pump().remove_listener(number) else {
            return Errno::EBADF.number();
        };
        let parts = self.lanes.listeners.borrow_mut().remove(&(number as u64));
        let closed = self.with_core(|core| close_listener(core, id));
        for part in parts.into_iter().flat_map(|(_, parts)| parts).flatten() {
            let lane = self.lane(part);
            let id = lane.pump().remove_listener(part);
            if let Some(id) = id {
                lane.with_core(|core| close_listener(core, id));
            }
        }
        closed.unwrap_or(Errno::EBADF.number())
    }

    /// Begins a connection in the lane whose it is; its number. Where it goes by a device with several queues the port
    /// decides that: one is drawn at random, as often as it is in use.
    pub(crate) fn begin_connection(
        &self,
        remote: SocketAddr,
        local_addr: Option<IpAddr>,
        local_port: Option<u16>,
        fast_open: bool,
    ) -> Option<std::result::Result<Handle, Errno>> {
        let begin = |lane: &Lane, local_addr: Option<IpAddr>, local_port, is_fresh: bool| {
            lane.with_core(|core| {
                if let (true, Some(local), Some(port)) = (is_fresh, local_addr, local_port)
                    && core.tcp_in_time_wait(SocketAddr::new(local, port), remote)
                {
                    return Err(ConnectError::AddressInUse);
                }
                let now = core.now();
                let options = ConnectOptions {
                    remote,
                    local_addr,
                    local_port,
                    options: fast_open.then(|| {
                        let mut options = core.default_socket_options().clone();
                        options.fast_open.connect = true;
                        options
                    }),
                };
                core.tcp_connect(now, options).map(|id| lane.pump().add_socket(id))
            })
        };
        let way = if self.has_one_lane() { None } else { self.shared_way(remote, local_addr) };
        let Some((queues, source)) = way else {
            return Some(begin(&self.first, local_addr, local_port, false)?.map_err(Errno::from));
        };
        if local_port.is_some() {
            let owner = self.lane_at(queues.owner_of(remote, local_port.unwrap_or(0)));
            return Some(begin(&owner, Some(source), local_port, false)?.map_err(Errno::from));
        }
        // A server's Fast Open cookie is known to the lane that got it: a server has one lane then.
        let wanted = fast_open.then(|| queues.owner_of(SocketAddr::new(remote.ip(), 0), 0));
        for attempt in 0..ATTEMPTS {
            let Some(port) = self.lanes.random_port() else { return Some(Err(Errno::EIO)) };
            let owner = queues.owner_of(remote, port);
            if wanted.is_some_and(|wanted| wanted != owner) {
                continue;
            }
            let is_fresh = attempt < ATTEMPTS / 2;
            match begin(&self.lane_at(owner), Some(source), Some(port), is_fresh)? {
                Err(ConnectError::AddressInUse) => {}
                made => return Some(made.map_err(Errno::from)),
            }
        }
        Some(Err(Errno::EADDRNOTAVAIL))
    }

    /// Whether a connection would go by a device with several queues: what they have in common, and its local address.
    fn shared_way(
        &self,
        remote: SocketAddr,
        local: Option<IpAddr>,
    ) -> Option<(Arc<Queues>, IpAddr)> {
        let (id, source) = self.with_core(|core| core.way_to(remote.ip(), local))??;
        let interfaces = self.interfaces.borrow();
        let queues = interfaces.iter().find(|i| i.id == id)?.queues.clone()?;
        Some((queues, source))
    }

    /// Opens a raw socket, in every lane; the number.
    pub(crate) fn open_raw(
        &self,
        options: RawOptions,
    ) -> Option<std::result::Result<Handle, Errno>> {
        let made = self.with_core(|core| {
            core.raw_open(options.clone()).map(|id| self.first.datagrams().add_raw(id, None))
        })?;
        if let Ok(handle) = &made
            && SPREAD_PROTOCOLS.contains(&options.protocol)
        {
            let key = handle.to_number() as u64;
            self.lanes.raws.borrow_mut().insert(key, (options, Vec::new()));
            self.spread_raws();
        }
        Some(made.map_err(Errno::from))
    }

    fn spread_raws(&self) {
        let lanes = self.further();
        let interfaces = self.interfaces.borrow();
        for (number, (options, parts)) in self.lanes.raws.borrow_mut().iter_mut() {
            parts.resize(lanes.len(), None);
            let Some(handle) = Handle::from_number(*number as f64) else { continue };
            for (at, (lane, part)) in lanes.iter().zip(parts).enumerate() {
                let mut options = options.clone();
                if let Some(id) = options.interface {
                    let interface = interfaces.iter().find(|i| i.id == id);
                    options.interface = interface.and_then(|i| i.more.get(at).copied());
                    if options.interface.is_none() {
                        continue;
                    }
                }
                if part.is_none() {
                    let made = lane.with_core(|core| {
                        let id = core.raw_open(options).ok()?;
                        Some(lane.datagrams().add_raw(id, Some(handle)).to_number())
                    });
                    *part = made.flatten();
                }
            }
        }
    }

    /// Closes a raw socket, in every lane.
    pub(crate) fn close_raw(&self, number: f64) -> i32 {
        let id = self.first.datagrams().remove_raw(number);
        for part in self.take_raw_parts(number) {
            let lane = self.lane(part);
            let id = lane.datagrams().remove_raw(part);
            if let Some(id) = id {
                lane.with_core(|core| core.raw_close(id).is_ok());
            }
        }
        let closed = id.and_then(|id| self.with_core(|core| core.raw_close(id).is_ok()));
        if closed == Some(true) { 0 } else { Errno::EBADF.number() }
    }

    fn take_raw_parts(&self, number: f64) -> Vec<f64> {
        let parts = self.lanes.raws.borrow_mut().remove(&(number as u64));
        parts.into_iter().flat_map(|(_, parts)| parts).flatten().collect()
    }

    /// Packets that found no room in a raw socket, in any lane; none when there is no such socket.
    pub(crate) fn raw_drops(&self, number: f64) -> Option<u64> {
        let drops = |lane: &Lane, number| {
            let id = lane.datagrams().raw(number)?;
            lane.with_core(|core| core.raw_drops(id).ok())?
        };
        let own = drops(&self.first, number)?;
        let raws = self.lanes.raws.borrow();
        let parts = raws.get(&(number as u64)).into_iter().flat_map(|(_, parts)| parts).flatten();
        Some(own + parts.filter_map(|part| drops(&self.lane(*part), *part)).sum::<u64>())
    }

    /// Calls `f` for an interface in every lane that has it; the first error, or 0. `None` when the stack has no such
    /// interface, or is closed.
    pub(crate) fn on_interface(
        &self,
        number: f64,
        mut f: impl FnMut(&Lane, InterfaceId) -> Option<i32>,
    ) -> Option<i32> {
        if number == 0.0 {
            let id = self.with_core(|core| core.loopback())??;
            return f(&self.first, id);
        }
        let (id, more) = {
            let interfaces = self.interfaces.borrow();
            let found = interfaces.iter().find(|i| f64::from(i.number) == number)?;
            (found.id, found.more.clone())
        };
        let first = f(&self.first, id)?;
        if first == 0 {
            for (lane, id) in self.further().iter().zip(more) {
                // What the first one took, the others do; one whose device was lost meanwhile says so itself.
                f(lane, id);
            }
        }
        Some(first)
    }
}

fn listen(
    core: &mut CoreStack,
    listening: Listening,
    parts: usize,
) -> std::result::Result<ListenerId, ListenError> {
    let Listening { address, port, backlog, fast_open } = listening;
    let options = (fast_open > 0).then(|| {
        let mut options = core.default_socket_options().clone();
        options.fast_open.queue = fast_open;
        options
    });
    let backlog = backlog.div_ceil(parts);
    core.tcp_listen(ListenOptions { address, port, backlog, options })
}

fn close_listener(core: &mut Core<'_>, id: ListenerId) -> i32 {
    let now = core.now();
    core.tcp_close_listener(now, id).map_or_else(|error| Errno::from(error).number(), |()| 0)
}

/// Gives a stack these routes, in this order, and no others.
fn update_routes(core: &mut CoreStack, wanted: &[Route]) {
    if core.routes() == wanted {
        return;
    }
    for route in core.routes().to_vec() {
        core.remove_route(route.to);
    }
    for route in wanted {
        // The first lane took it.
        let _ = core.add_route(*route);
    }
}
