//! The stack: its tables, and what a driver calls. Frames in are in `input.rs`, frames out in `output.rs`, the socket
//! calls in `sockets.rs`, addresses and routes in `route.rs`.

mod address;
mod advertise;
mod arp;
mod autoconf;
mod bridge;
mod coalesce;
mod demux;
mod fastopen;
mod flow;
mod forward;
mod fragment;
mod groups;
mod icmp;
mod input;
mod link;
mod ndp;
mod neighbor;
mod output;
mod ping;
mod pmtu;
mod raw;
mod route;
mod router;
mod shared_options;
mod sockets;
mod stats;
mod syn_cookies;
mod timers;
mod udp;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;
use siphasher::sip::SipHasher13;
use slotmap::SlotMap;
use smallvec::SmallVec;

use self::demux::{Connections, Demux};
use self::shared_options::SharedOptions;
use self::timers::Timers;
use crate::config::{Config, Secrets, SocketOptions};
use crate::event::{
    AddressChange, Event, LinkChange, ListenerId, PingId, RawId, Ready, SocketId, TraceEvent, UdpId,
};
use crate::frame::RxFrame;
use crate::interface::{InterfaceId, Route};
use crate::payload::Copies;
use crate::tcp::{
    BlockPool, Connection, CookieCache, CookieKeys, Ctx, Level, Memory, Owner, StateName, Tuple,
};
use crate::time::Instant;
use crate::udp::UdpSocket;

pub use bridge::{BridgePortStats, BridgeStation};
pub use coalesce::Coalescing;
pub use flow::{FlowInfo, FlowKind, FlowOptions, FlowSocket, Reject};
pub use ping::PingOptions;
pub use raw::{RawOptions, RawPacket};
pub use sockets::{ConnectOptions, ListenAddress, ListenOptions, Shutdown};
pub use stats::Stats;
pub(crate) use timers::TimerKey;

pub(crate) use stats::TraceLog;

use bridge::Bridge;
use flow::Flows;
use fragment::{Idents, Reassembler};
use icmp::{Complaint, IcmpLimit};
use link::LinkTimers;
use output::OutQueue;
use ping::{Ping, PingKey};
use pmtu::PathMtus;
use raw::RawSocket;
use route::Interface;
use sockets::Listener;
use syn_cookies::SynCookieKey;

/// What connection `$id` of `$stack` needs; borrows only those fields, so that the connections can be borrowed beside it.
macro_rules! ctx {
    ($stack:expr, $now:expr, $id:expr, $memory:expr) => {
        $crate::tcp::Ctx {
            now: $now,
            id: $id,
            memory: $memory,
            time_wait: $stack.config.time_wait,
            stats: &mut $stack.stats,
            trace: &mut $stack.trace,
            cookies: &mut $stack.cookies,
            blocks: &$stack.send_blocks,
        }
    };
}
use ctx;

/// Most timers that run in one call.
const TIMERS_PER_CALL: usize = 256;

/// A hasher with a key: peers choose addresses and ports, so they must not choose the bucket.
#[derive(Clone)]
struct KeyedHash([u8; 16]);

impl BuildHasher for KeyedHash {
    type Hasher = SipHasher13;
    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_key(&self.0)
    }
}

impl KeyedHash {
    /// A keyed value of a connection's ends.
    fn of(&self, tuple: &Tuple, with_local_port: bool) -> u64 {
        let mut tuple = *tuple;
        if !with_local_port {
            tuple.local_port = 0;
        }
        self.hash_one(tuple)
    }
}

/// What waits to be reported.
#[derive(Clone, Copy, Debug)]
enum Queued {
    /// Look at the connection's `ready`.
    Socket(SocketId),
    /// The last of a connection that is gone.
    Final(SocketId, Ready),
    Listener(ListenerId),
    /// Look at the socket's `ready`.
    Udp(UdpId),
    /// The last of a UDP socket that the stack closed.
    UdpFinal(UdpId, Ready),
    Raw(RawId),
    Ping(PingId),
    /// Look at the flows that nobody was told of.
    Flows,
    Address(InterfaceId, IpAddr, AddressChange),
    Link(InterfaceId, LinkChange),
}

/// A TCP/IP stack.
pub struct Stack {
    config: Config,
    /// The options of sockets that bring none.
    default_options: Arc<SocketOptions>,
    shared_options: SharedOptions,
    isn_key: KeyedHash,
    port_key: KeyedHash,
    syn_cookie_key: SynCookieKey,
    /// Key of the interface identifiers that addresses are formed with.
    identifier_key: [u8; 16],
    rng: ChaCha8Rng,
    interfaces: SlotMap<InterfaceId, Interface>,
    loopback: Option<InterfaceId>,
    routes: Vec<Route>,
    bridge: Bridge,
    connections: Connections,
    table: Demux,
    listeners: SlotMap<ListenerId, Listener>,
    ports: HashMap<u16, SmallVec<[ListenerId; 2]>>,
    /// Counters of the port choice (RFC 6056 §3.3.4).
    port_counters: [u16; 16],
    link_timers: LinkTimers,
    /// Events of interfaces and their addresses in the queue.
    interface_events: usize,
    /// Exactly one entry per connection that waits for time; moved later lazily, when it fires.
    timers: Timers<SocketId>,
    /// Connections that may have something to send, and how much the first of them was given in a row.
    tx: VecDeque<SocketId>,
    tx_burst: u32,
    events: VecDeque<Queued>,
    udp: SlotMap<UdpId, UdpSocket>,
    /// Bound sockets by port, those of flows aside.
    udp_ports: HashMap<u16, SmallVec<[UdpId; 2]>>,
    udp_connected: HashMap<Tuple, UdpId, KeyedHash>,
    /// Reassembled segments for the driver.
    aside: VecDeque<(InterfaceId, crate::payload::Payload)>,
    raws: SlotMap<RawId, RawSocket>,
    pings: SlotMap<PingId, Ping>,
    ping_table: HashMap<PingKey, PingId, KeyedHash>,
    ping_timers: BTreeSet<(Instant, PingId)>,
    flows: Flows,
    reassembler: Reassembler,
    idents: Idents,
    path_mtus: PathMtus,
    /// Packets that belong to no connection.
    out: OutQueue,
    icmp_limit: IcmpLimit,
    /// The packet that is being transmitted, of no connection.
    current: Vec<u8>,
    /// Memory for what of datagrams is kept.
    copies: Copies,
    /// Frames to ourselves, and the interface they would have gone out on.
    looped: VecDeque<(InterfaceId, RxFrame)>,
    /// The header of the frame that is being transmitted: Ethernet's has its place before IP's.
    header: [u8; 128],
    time_wait_order: VecDeque<SocketId>,
    trace: TraceLog,
    stats: Stats,
    /// Fast Open: cookies that servers gave us, and keys of those that we hand out.
    cookies: CookieCache,
    /// Memory for send queues that none needs at present.
    send_blocks: Arc<BlockPool>,
    cookie_keys: CookieKeys,
    /// The time as the driver last told it.
    latest: Instant,
}

impl std::fmt::Debug for Stack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stack").field("stats", &self.stats).finish_non_exhaustive()
    }
}

impl Stack {
    /// A stack. `seed` starts the generator of everything random that need not be secret; `secrets` keys the rest.
    pub fn new(config: Config, secrets: Secrets, seed: u64) -> Self {
        let mut stack = Self {
            default_options: Arc::new(config.socket.clone()),
            shared_options: SharedOptions::default(),
            isn_key: KeyedHash(secrets.isn),
            port_key: KeyedHash(secrets.port),
            syn_cookie_key: SynCookieKey::new(secrets.cookie),
            identifier_key: secrets.port,
            rng: ChaCha8Rng::seed_from_u64(seed),
            interfaces: SlotMap::with_key(),
            loopback: None,
            routes: Vec::new(),
            bridge: Bridge::new(config.bridge, KeyedHash(secrets.hash)),
            connections: SlotMap::with_key(),
            table: Demux::new(KeyedHash(secrets.hash)),
            listeners: SlotMap::with_key(),
            ports: HashMap::new(),
            port_counters: [0; 16],
            link_timers: LinkTimers::default(),
            interface_events: 0,
            timers: Timers::new(),
            tx: VecDeque::new(),
            tx_burst: 0,
            events: VecDeque::new(),
            udp: SlotMap::with_key(),
            udp_ports: HashMap::new(),
            udp_connected: HashMap::with_hasher(KeyedHash(secrets.hash)),
            aside: VecDeque::new(),
            raws: SlotMap::with_key(),
            pings: SlotMap::with_key(),
            ping_table: HashMap::with_hasher(KeyedHash(secrets.hash)),
            ping_timers: BTreeSet::new(),
            flows: Flows::new(KeyedHash(secrets.hash)),
            reassembler: Reassembler::new(config.reassembly.clone(), KeyedHash(secrets.hash)),
            idents: Idents::new(KeyedHash(secrets.port)),
            path_mtus: PathMtus::new(KeyedHash(secrets.hash)),
            out: OutQueue::default(),
            icmp_limit: IcmpLimit::default(),
            current: Vec::new(),
            copies: Copies::default(),
            looped: VecDeque::new(),
            header: [0; 128],
            time_wait_order: VecDeque::new(),
            trace: TraceLog::new(config.trace, config.max_trace_events),
            stats: Stats::default(),
            cookies: CookieCache::new(config.max_fast_open_cookies),
            send_blocks: Arc::default(),
            cookie_keys: CookieKeys::new(config.fast_open_keys.clone(), secrets.cookie),
            latest: Instant::ZERO,
            config,
        };
        if stack.config.loopback {
            stack.add_loopback();
        }
        stack
    }

    /// The loopback interface, if the stack has one.
    pub fn loopback(&self) -> Option<InterfaceId> {
        self.loopback
    }

    /// It is one of several stacks with the same addresses from now on (see [`Steering`](crate::Steering)): its bounds of
    /// connections and of memory, and what it does with reassembled segments ([`Config::tcp_aside`]), are those of `config`.
    /// What there is already stays.
    pub fn set_share(&mut self, config: &Config) {
        self.config.max_connections = config.max_connections;
        self.config.max_receive_memory = config.max_receive_memory;
        self.config.max_send_memory = config.max_send_memory;
        self.config.tcp_aside = config.tcp_aside;
    }

    /// Runs the timers that are due, a bounded number; [`poll_timeout`](Self::poll_timeout) stays due when some are left.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.latest = now;
        for _ in 0..TIMERS_PER_CALL {
            let Some(id) = self.timers.pop(now) else { break };
            let doubt = self.with(now, id, |conn, ctx| {
                conn.armed = None;
                conn.on_timer(ctx);
                conn.take_advice().then_some((conn.path.interface, conn.tuple.remote))
            });
            if let Some((interface, remote)) = doubt.flatten() {
                self.doubt_reachable(now, interface, remote);
            }
        }
        for (interface, first) in self.reassembler.expire(now, &mut self.stats) {
            let complaint = Complaint::TimeExceeded { in_reassembly: true };
            self.complain(now, interface, &first, complaint);
        }
        self.link_timeouts(now);
        self.ping_timeouts(now);
        self.flow_timeouts(now);
    }

    /// Gives memory back that send queues needed and no longer do, unless some of it was used since the last call; whether
    /// there is any left.
    pub fn trim(&mut self) -> bool {
        self.copies.trim();
        self.out.trim();
        self.send_blocks.trim()
    }

    /// Whether [`trim`](Self::trim) could give anything back, now or later.
    pub fn wants_trim(&self) -> bool {
        self.send_blocks.has_free()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due next; `None` when nothing waits for time. May be earlier than
    /// anything really happens, never later.
    pub fn poll_timeout(&self) -> Option<Instant> {
        [
            self.timers.first(),
            self.reassembler.deadline(),
            self.link_timers.deadline(),
            self.ping_timers.first().map(|(at, _)| *at),
            self.flows.timers.first().map(|(at, _)| *at),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The next event, if any. Every socket has at most one in the queue.
    pub fn poll_event(&mut self) -> Option<Event> {
        while let Some(queued) = self.events.pop_front() {
            match queued {
                Queued::Socket(id) => {
                    let Some(conn) = self.connections.get_mut(id) else { continue };
                    conn.event_queued = false;
                    let ready = std::mem::take(&mut conn.ready);
                    if !ready.is_empty() {
                        return Some(Event::Socket(id, ready));
                    }
                }
                Queued::Final(id, ready) => return Some(Event::Socket(id, ready)),
                Queued::Listener(id) => {
                    let Some(listener) = self.listeners.get_mut(id) else { continue };
                    listener.event_queued = false;
                    if !listener.queue.is_empty() {
                        return Some(Event::Acceptable(id));
                    }
                }
                Queued::Udp(id) => {
                    let Some(socket) = self.udp.get_mut(id) else { continue };
                    socket.event_queued = false;
                    return Some(Event::Udp(id, std::mem::take(&mut socket.ready)));
                }
                Queued::UdpFinal(id, ready) => return Some(Event::Udp(id, ready)),
                Queued::Raw(id) => {
                    let Some(ready) = self.take_raw_ready(id) else { continue };
                    return Some(Event::Raw(id, ready));
                }
                Queued::Ping(id) => {
                    let Some(outcome) = self.take_ping(id) else { continue };
                    return Some(Event::Ping(id, outcome));
                }
                Queued::Flows => {
                    let Some(id) = self.next_fresh_flow() else { continue };
                    return Some(Event::Flow(id));
                }
                Queued::Address(interface, addr, change) => {
                    self.interface_events -= 1;
                    return Some(Event::Address(interface, addr, change));
                }
                Queued::Link(interface, change) => {
                    self.interface_events -= 1;
                    return Some(Event::Link(interface, change));
                }
            }
        }
        None
    }

    /// Whether [`poll_event`](Self::poll_event) may give one.
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// The next line of the trace, if tracing is on.
    pub fn poll_trace(&mut self) -> Option<TraceEvent> {
        self.trace.pop()
    }

    /// Whether [`poll_trace`](Self::poll_trace) would give one.
    pub fn has_trace(&self) -> bool {
        !self.trace.is_empty()
    }

    /// Turns the trace on or off.
    pub fn set_trace(&mut self, on: bool) {
        self.trace.set(on);
    }

    /// Counters.
    pub fn stats(&self) -> Stats {
        Stats {
            connections: self.connections.len() as u64,
            listeners: self.listeners.len() as u64,
            udp_sockets: self.udp.len() as u64,
            reassembly_memory: self.reassembler.memory() as u64,
            reassembly_datagrams: self.reassembler.len() as u64,
            flows: self.flows.all.len() as u64,
            trace_lost: self.trace.lost,
            ..self.stats.clone()
        }
    }

    /// How much of the memory for queues is in use.
    fn memory(&self) -> Memory {
        Memory {
            receive: Level::of(self.stats.receive_memory, self.config.max_receive_memory),
            send: Level::of(self.stats.send_memory, self.config.max_send_memory),
        }
    }

    /// Calls `f` with a connection and what it needs, then settles what came of it.
    fn with<R>(
        &mut self,
        now: Instant,
        id: SocketId,
        f: impl FnOnce(&mut Connection, &mut Ctx<'_>) -> R,
    ) -> Option<R> {
        self.latest = now;
        let memory = self.memory();
        let conn = self.connections.get_mut(id)?;
        let mut ctx = ctx!(self, now, id, memory);
        let result = f(conn, &mut ctx);
        self.settle(now, id, true);
        Some(result)
    }

    /// Brings the stack's lists in line with what became of a connection: accept queue, memory, events, timers, output,
    /// and its end.
    fn settle(&mut self, now: Instant, id: SocketId, may_send: bool) {
        let Some(conn) = self.connections.get_mut(id) else { return };
        let state = conn.state();

        if let Some(listener_id) = conn.half_open_of
            && !conn.is_half_open()
        {
            conn.half_open_of = None;
            if let Some(listener) = self.listeners.get_mut(listener_id) {
                listener.half_open -= 1;
                if conn.owner == Owner::Listener(listener_id) && state != StateName::Closed {
                    listener.queue.push_back(id);
                    if !listener.event_queued {
                        listener.event_queued = true;
                        self.events.push_back(Queued::Listener(listener_id));
                    }
                }
            }
        }

        self.settle_fast_open(now, id);
        let Some(conn) = self.connections.get_mut(id) else { return };

        let counted = |bytes| u32::try_from(bytes).unwrap_or(u32::MAX);
        let (receive, send) = (counted(conn.receive_memory()), counted(conn.send_memory()));
        let sum =
            |sum: u64, new: u32, old: u32| (sum + u64::from(new)).saturating_sub(u64::from(old));
        self.stats.receive_memory = sum(self.stats.receive_memory, receive, conn.accounted.0);
        self.stats.send_memory = sum(self.stats.send_memory, send, conn.accounted.1);
        conn.accounted = (receive, send);

        if conn.owner == Owner::Orphan {
            conn.ready &= Ready::FLUSHED | Ready::CLOSED;
        }
        if state == StateName::Closed && conn.in_table {
            conn.in_table = false;
            self.table.remove(&conn.tuple, id);
        }
        if conn.is_dead() {
            if let Some(timer) = conn.armed {
                self.timers.cancel(timer);
            }
            let ready = conn.ready;
            self.connections.remove(id);
            if !ready.is_empty() {
                self.events.push_back(Queued::Final(id, ready));
            }
            return;
        }
        if !conn.ready.is_empty() && !conn.event_queued && !matches!(conn.owner, Owner::Listener(_))
        {
            conn.event_queued = true;
            self.events.push_back(Queued::Socket(id));
        }

        // An earlier deadline moves the timer at once, a later one when it fires.
        match (conn.deadline(), conn.armed) {
            (Some(at), armed) if armed.is_none_or(|timer| at < self.timers.deadline(timer)) => {
                if let Some(timer) = armed {
                    self.timers.cancel(timer);
                }
                // What is overdue runs at the next call, not in the past.
                conn.armed = Some(self.timers.arm(now, at.max(now), id));
            }
            (None, Some(timer)) if state == StateName::Closed => {
                self.timers.cancel(timer);
                conn.armed = None;
            }
            _ => {}
        }
        if may_send && !conn.tx_queued && state != StateName::Closed {
            conn.tx_queued = true;
            self.tx.push_back(id);
        }
        if state == StateName::TimeWait && !conn.in_time_wait_list {
            conn.in_time_wait_list = true;
            self.time_wait_order.push_back(id);
            self.bound_time_wait(now);
        }
    }

    /// Beyond the most connections in TIME-WAIT the oldest ends early.
    fn bound_time_wait(&mut self, now: Instant) {
        while let Some(&oldest) = self.time_wait_order.front() {
            let waits = self
                .connections
                .get(oldest)
                .is_some_and(|conn| conn.state() == StateName::TimeWait);
            if waits && self.stats.time_wait <= self.config.max_time_wait as u64 {
                break;
            }
            self.time_wait_order.pop_front();
            if waits {
                self.with(now, oldest, Connection::finish_abort);
            }
        }
    }
}

#[cfg(test)]
mod tests;
