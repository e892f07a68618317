//! Flow decisions: on an interface that holds, a connection waits before its SYN-ACK, and a UDP flow with its first
//! datagrams, until the program accepts, rejects or drops it. The base of proxies and sandboxes.
//!
//! What is decided about: packets to an address of the interface, which with `accept_any` is every one, that belong to no
//! connection and to no connected socket. A listener or socket bound to exactly that address takes them without asking (a
//! sandbox's own name server); one bound to all addresses does not, but [`flow_pass`](Stack::flow_pass) hands to it.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;

use slotmap::{Key, SecondaryMap, SlotMap};
use usernet_wire::ip::{Protocol, Repr as IpRepr};
use usernet_wire::tcp::Flags;
use usernet_wire::udp;

use super::fastopen::FastOpenCount;
use super::icmp::Complaint;
use super::{KeyedHash, ListenAddress, Queued, Stack};
use crate::config::SocketOptions;
use crate::error::FlowError;
use crate::event::{FlowId, ListenerId, Ready, SocketId, UdpId};
use crate::interface::InterfaceId;
use crate::payload::Payload;
use crate::tcp::{Owner, Segment, Tuple, Worth};
use crate::time::Instant;
use crate::udp::{Datagram, UdpOptions, UdpSettings, UdpSocket};

/// Datagrams of one flow that wait for its decision, and bytes of all flows; further ones are dropped and counted.
const MAX_WAITING: usize = 8;
const MAX_WAITING_BYTES: usize = 4 << 20;

/// Flows whose time is over, in one call.
const TIMEOUTS_PER_CALL: usize = 256;

/// What a flow is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FlowKind {
    /// A TCP connection.
    Tcp,
    /// Datagrams between two ends.
    Udp,
}

/// A flow that waits for a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowInfo {
    /// What it is.
    pub kind: FlowKind,
    /// The destination that the other end meant.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// Through which interface it came.
    pub interface: InterfaceId,
}

/// What an accepted flow becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowSocket {
    /// A connection whose handshake goes on: `CONNECTED` or `ERROR` follows as an event.
    Tcp(SocketId),
    /// A connected UDP socket that has the datagrams that came. After [`udp_flow_idle`](crate::Config::udp_flow_idle)
    /// without any it is closed, which a `CLOSED` event reports; its id is stale then.
    Udp(UdpId),
}

/// How an accepted flow's socket is set; the stack's defaults otherwise.
#[derive(Clone, Debug, Default)]
pub struct FlowOptions {
    /// Of a connection.
    pub tcp: Option<SocketOptions>,
    /// Of a UDP socket.
    pub udp: Option<UdpSettings>,
}

/// How a flow is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Reject {
    /// As if nobody listened: RST, or ICMP port unreachable.
    #[default]
    Refuse,
    /// ICMP "administratively prohibited" (RFC 1812 §5.2.7.1, RFC 4443 §3.1).
    Prohibited,
}

#[derive(Debug)]
enum State {
    /// Waits for a decision: the SYN, or the datagrams that came.
    Syn(Box<Segment>),
    Datagrams(Vec<Datagram>),
    /// What comes is dropped.
    Dropped,
    /// What comes goes to whoever is bound.
    Passed,
    /// A UDP socket has it.
    Open(UdpId),
}

impl std::fmt::Debug for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Segment").field("header", &self.header).finish_non_exhaustive()
    }
}

#[derive(Debug)]
pub(super) struct Flow {
    info: FlowInfo,
    state: State,
    used_at: Instant,
    /// The timer that is set; moved later when it fires.
    armed: Instant,
}

/// The table of flows.
#[derive(Debug)]
pub(super) struct Flows {
    pub(super) all: SlotMap<FlowId, Flow>,
    table: HashMap<(FlowKind, Tuple), FlowId, KeyedHash>,
    pub(super) timers: BTreeSet<(Instant, FlowId)>,
    sockets: SecondaryMap<UdpId, FlowId>,
    /// Accepted connections that exchange data before their handshake is over (RFC 7413 §5.1).
    pub(super) fast_open: FastOpenCount,
    /// Those that no socket has, and of them those that were decided.
    pending: usize,
    decided: usize,
    waiting_bytes: usize,
    /// Not reported yet; at most twice as many as there are.
    fresh: VecDeque<FlowId>,
    /// A report waits among the events.
    event_queued: bool,
}

impl Flows {
    pub(super) fn new(hash: KeyedHash) -> Self {
        Self {
            all: SlotMap::with_key(),
            table: HashMap::with_hasher(hash),
            timers: BTreeSet::new(),
            sockets: SecondaryMap::new(),
            fast_open: FastOpenCount::default(),
            pending: 0,
            decided: 0,
            waiting_bytes: 0,
            fresh: VecDeque::new(),
            event_queued: false,
        }
    }

    fn insert(&mut self, now: Instant, deadline: Instant, info: FlowInfo, state: State) -> FlowId {
        let id = self.all.insert(Flow { info, state, used_at: now, armed: deadline });
        self.table.insert((info.kind, tuple_of(&info)), id);
        self.timers.insert((deadline, id));
        self.pending += 1;
        id
    }

    fn remove(&mut self, id: FlowId) -> Option<Flow> {
        let flow = self.all.remove(id)?;
        self.table.remove(&(flow.info.kind, tuple_of(&flow.info)));
        self.timers.remove(&(flow.armed, id));
        match &flow.state {
            State::Open(socket) => {
                self.sockets.remove(*socket);
            }
            state => {
                self.pending -= 1;
                self.waiting_bytes -= waiting_bytes(state);
                self.decided -= usize::from(matches!(state, State::Dropped | State::Passed));
            }
        }
        Some(flow)
    }

    /// Moves a flow's timer forward, if it is set for later; it is moved back when it fires.
    fn arm(&mut self, id: FlowId, deadline: Instant) {
        if let Some(flow) = self.all.get_mut(id)
            && deadline < flow.armed
        {
            self.timers.remove(&(flow.armed, id));
            self.timers.insert((deadline, id));
            flow.armed = deadline;
        }
    }

    fn find(&self, kind: FlowKind, tuple: &Tuple) -> Option<FlowId> {
        self.table.get(&(kind, *tuple)).copied()
    }
}

fn tuple_of(info: &FlowInfo) -> Tuple {
    Tuple {
        local: info.local.ip(),
        remote: info.remote.ip(),
        local_port: info.local.port(),
        remote_port: info.remote.port(),
    }
}

fn waiting_bytes(state: &State) -> usize {
    match state {
        State::Datagrams(all) => all.iter().map(|d| d.payload.pinned()).sum(),
        State::Syn(syn) => syn.payload.pinned(),
        _ => 0,
    }
}

impl Stack {
    /// A flow that waits for a decision.
    ///
    /// # Errors
    /// [`FlowError::NoSuchFlow`] when it was decided, given up by the other end, or waited too long, as for every call
    /// that takes one.
    pub fn flow_info(&self, id: FlowId) -> Result<FlowInfo, FlowError> {
        match self.flows.all.get(id) {
            Some(Flow { info, state: State::Syn(_) | State::Datagrams(_), .. }) => Ok(*info),
            _ => Err(FlowError::NoSuchFlow),
        }
    }

    /// Accepts a flow. Where its options' [`fast_open.queue`](crate::FastOpen) allows, data on its SYN is taken at once, and
    /// the socket is `CONNECTED` before its handshake is over (RFC 7413); all such flows count together.
    ///
    /// # Errors
    /// [`FlowError::TooManySockets`]: it still waits then.
    pub fn flow_accept(
        &mut self,
        now: Instant,
        id: FlowId,
        options: FlowOptions,
    ) -> Result<FlowSocket, FlowError> {
        let info = self.flow_info(id)?;
        let tuple = tuple_of(&info);
        if info.kind == FlowKind::Tcp {
            if self.connections.len() >= self.config.max_connections {
                return Err(FlowError::TooManySockets);
            }
            let Some(Flow { state: State::Syn(syn), .. }) = self.flows.remove(id) else {
                return Err(FlowError::NoSuchFlow);
            };
            let options = self.options(options.tcp);
            let owner = Owner::Application;
            let nobody = ListenerId::null();
            let grant = self.fast_open_grant(now, &tuple, &syn, options.fast_open, nobody);
            let open = grant.open;
            let id =
                self.open_passively(now, info.interface, tuple, &syn, options, owner, None, grant);
            if open {
                self.fast_open_accepted(id, nobody);
            }
            return Ok(FlowSocket::Tcp(id));
        }
        if self.udp.len() >= self.config.max_udp_sockets {
            return Err(FlowError::TooManySockets);
        }
        let interface = Some(info.interface);
        let settings = UdpSettings { interface, ..options.udp.unwrap_or_default() };
        let mut socket = UdpSocket::new(UdpOptions {
            address: ListenAddress::One(info.local.ip()),
            port: info.local.port(),
            reuse_addr: true,
            reuse_port: false,
            settings,
        });
        socket.connected = Some((info.remote, info.local.ip()));
        let udp = self.udp.insert(socket);
        self.udp_connected.insert(tuple, udp);
        let flow = &mut self.flows.all[id];
        let state = std::mem::replace(&mut flow.state, State::Open(udp));
        flow.used_at = now;
        self.flows.waiting_bytes -= waiting_bytes(&state);
        self.flows.pending -= 1;
        self.flows.sockets.insert(udp, id);
        self.flows.arm(id, now + self.config.udp_flow_idle);
        if let State::Datagrams(waiting) = state {
            for datagram in waiting {
                self.udp_deliver(now, udp, datagram, usize::MAX);
            }
        }
        Ok(FlowSocket::Udp(udp))
    }

    /// Lets a flow go on as if nobody held it: to the listener or socket that is bound to all addresses, or to the refusal
    /// that is due without one.
    ///
    /// # Errors
    /// [`FlowError::NoSuchFlow`].
    pub fn flow_pass(&mut self, now: Instant, id: FlowId) -> Result<(), FlowError> {
        let info = self.flow_info(id)?;
        if info.kind == FlowKind::Tcp {
            if let Some(Flow { state: State::Syn(syn), .. }) = self.flows.remove(id) {
                let tuple = tuple_of(&info);
                match self.listener_for(tuple.local, tuple.local_port) {
                    Some(listener) => {
                        self.tcp_passive_open(now, info.interface, tuple, &syn, listener, None);
                    }
                    None => self.refuse(info.interface, &tuple, &syn.header, syn.len()),
                }
            }
            return Ok(());
        }
        let flow = &mut self.flows.all[id];
        flow.used_at = now;
        let state = std::mem::replace(&mut flow.state, State::Passed);
        self.flows.arm(id, now + self.config.udp_flow_idle);
        self.flows.decided += 1;
        self.flows.waiting_bytes -= waiting_bytes(&state);
        if let State::Datagrams(waiting) = state {
            for datagram in waiting {
                self.udp_pass(now, datagram);
            }
        }
        Ok(())
    }

    /// Rejects a flow: the other end is told.
    ///
    /// # Errors
    /// [`FlowError::NoSuchFlow`].
    pub fn flow_reject(&mut self, now: Instant, id: FlowId, how: Reject) -> Result<(), FlowError> {
        let info = self.flow_info(id)?;
        let Some(flow) = self.flows.remove(id) else { return Err(FlowError::NoSuchFlow) };
        let tuple = tuple_of(&info);
        let complaint = match (&flow.state, how) {
            (State::Syn(syn), Reject::Refuse) => {
                self.refuse(info.interface, &tuple, &syn.header, syn.len());
                return Ok(());
            }
            (_, Reject::Refuse) => Complaint::PortUnreachable,
            (_, Reject::Prohibited) => Complaint::Prohibited,
        };
        let quoted = match &flow.state {
            State::Syn(syn) => {
                let mut header = vec![0; syn.header.header_len()];
                syn.header.emit(&mut header);
                quote(&tuple, Protocol::TCP, &header, &[])
            }
            State::Datagrams(waiting) => match waiting.first() {
                Some(datagram) => quote_datagram(datagram),
                None => return Ok(()),
            },
            _ => return Ok(()),
        };
        self.complain(now, info.interface, &quoted, complaint);
        Ok(())
    }

    /// Drops a flow: the other end hears nothing, and is not asked about again until it was silent for
    /// [`flow_timeout`](crate::Config::flow_timeout).
    ///
    /// # Errors
    /// [`FlowError::NoSuchFlow`].
    pub fn flow_drop(&mut self, now: Instant, id: FlowId) -> Result<(), FlowError> {
        self.flow_info(id)?;
        let flow = &mut self.flows.all[id];
        flow.used_at = now;
        let state = std::mem::replace(&mut flow.state, State::Dropped);
        self.flows.decided += 1;
        self.flows.waiting_bytes -= waiting_bytes(&state);
        Ok(())
    }

    /// Whether new flows through an interface wait for a decision.
    pub(super) fn holds(&self, interface: InterfaceId) -> bool {
        self.interfaces.get(interface).is_some_and(|i| i.config.hold)
    }

    /// Makes an interface hold new flows, or not; those that wait stay.
    ///
    /// # Errors
    /// [`InterfaceError::NoSuchInterface`](crate::InterfaceError::NoSuchInterface).
    pub fn set_hold(
        &mut self,
        interface: InterfaceId,
        hold: bool,
    ) -> Result<(), crate::InterfaceError> {
        let i = self.interfaces.get_mut(interface);
        i.ok_or(crate::InterfaceError::NoSuchInterface)?.config.hold = hold;
        Ok(())
    }

    /// Makes an interface take every unicast destination, or its own alone.
    ///
    /// # Errors
    /// [`InterfaceError::NoSuchInterface`](crate::InterfaceError::NoSuchInterface).
    pub fn set_accept_any(
        &mut self,
        interface: InterfaceId,
        accept_any: bool,
    ) -> Result<(), crate::InterfaceError> {
        let i = self.interfaces.get_mut(interface);
        i.ok_or(crate::InterfaceError::NoSuchInterface)?.config.accept_any = accept_any;
        Ok(())
    }

    /// Makes room for one more flow without a socket; false when there is none.
    fn flow_room(&mut self) -> bool {
        if self.flows.pending < self.config.max_flows {
            return true;
        }
        // Those that were decided make way, the one soonest forgotten first.
        let flows = &self.flows;
        let decided = |id: &FlowId| matches!(flows.all[*id].state, State::Dropped | State::Passed);
        let mut oldest = None;
        if flows.decided > 0 {
            oldest = flows.timers.iter().map(|(_, id)| *id).find(decided);
        }
        if let Some(id) = oldest {
            self.flows.remove(id);
        } else {
            self.stats.flow_overflows += 1;
        }
        oldest.is_some()
    }

    fn hold(&mut self, now: Instant, info: FlowInfo, state: State) {
        let deadline = now + self.config.flow_timeout;
        let id = self.flows.insert(now, deadline, info, state);
        self.stats.flows_held += 1;
        let flows = &mut self.flows;
        // Those that ended before anybody asked are forgotten now and then.
        if flows.fresh.len() > 2 * self.config.max_flows {
            let all = &flows.all;
            flows.fresh.retain(|id| all.contains_key(*id));
        }
        flows.fresh.push_back(id);
        if !flows.event_queued {
            flows.event_queued = true;
            self.events.push_back(Queued::Flows);
        }
    }

    /// The next new flow that nobody was told of.
    pub(super) fn next_fresh_flow(&mut self) -> Option<FlowId> {
        self.flows.event_queued = false;
        while let Some(id) = self.flows.fresh.pop_front() {
            if self.flow_info(id).is_ok() {
                if !self.flows.fresh.is_empty() {
                    self.flows.event_queued = true;
                    self.events.push_back(Queued::Flows);
                }
                return Some(id);
            }
        }
        None
    }

    /// A segment of no connection, before its listener sees it; whether that was all.
    pub(super) fn tcp_flow_input(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        tuple: &Tuple,
        segment: &Segment,
        listener: Option<ListenerId>,
    ) -> bool {
        if !self.holds(interface)
            || listener
                .is_some_and(|id| matches!(self.listeners[id].address, ListenAddress::One(_)))
        {
            return false;
        }
        let known = self.flows.find(FlowKind::Tcp, tuple);
        if let Some(id) = known
            && let Some(flow) = self.flows.all.get_mut(id)
        {
            match &mut flow.state {
                State::Syn(syn) if segment.has(Flags::RST) => {
                    // RFC 9293 §3.10.7.4: as of a connection in SYN-RECEIVED.
                    if segment.header.seq == syn.header.seq + 1 {
                        self.flows.remove(id);
                    }
                    return true;
                }
                State::Syn(syn) if segment.has(Flags::SYN) && !segment.has(Flags::ACK) => {
                    // Sent again, or with a new sequence number by a peer that began anew.
                    if syn.header.seq != segment.header.seq {
                        self.flows.waiting_bytes -= syn.payload.pinned();
                        **syn = without_data(segment);
                    }
                    return true;
                }
                State::Dropped => {
                    flow.used_at = now;
                    self.stats.flow_drops += 1;
                    return true;
                }
                _ => return false,
            }
        }
        if segment.has(Flags::RST)
            || !segment.has(Flags::SYN)
            || segment.has(Flags::ACK)
            || segment.has(Flags::FIN)
        {
            return false;
        }
        if self.flow_room() {
            let info = FlowInfo {
                kind: FlowKind::Tcp,
                local: tuple.local_addr(),
                remote: tuple.remote_addr(),
                interface,
            };
            let syn = self.syn_to_hold(now, tuple, segment);
            self.flows.waiting_bytes += syn.payload.pinned();
            self.hold(now, info, State::Syn(Box::new(syn)));
        }
        true
    }

    /// A SYN as it waits: with its data where a cookie of ours vouches for its address (RFC 7413 §4.1.2), so that no forged
    /// one takes memory.
    fn syn_to_hold(&mut self, now: Instant, tuple: &Tuple, segment: &Segment) -> Segment {
        let mut syn = without_data(segment);
        if let Some(cookie) = &segment.header.options.fast_open
            && !segment.payload.is_empty()
            && self.cookie_keys.check(now, tuple.remote, tuple.local, cookie) != Worth::Invalid
        {
            let data = Payload::from(&segment.payload[..]);
            if self.flows.waiting_bytes + data.pinned() <= MAX_WAITING_BYTES {
                syn.payload = data;
            }
        }
        syn
    }

    /// A datagram that no connected socket takes, nor one bound to its very address.
    pub(super) fn udp_flow_input(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        mut datagram: Datagram,
    ) {
        let info =
            FlowInfo { kind: FlowKind::Udp, local: datagram.to, remote: datagram.from, interface };
        datagram.payload = Payload::from(&datagram.payload[..]);
        let bytes = datagram.payload.pinned();
        let fits = self.flows.waiting_bytes + bytes <= MAX_WAITING_BYTES;
        let Some(id) = self.flows.find(FlowKind::Udp, &tuple_of(&info)) else {
            if fits && self.flow_room() {
                self.flows.waiting_bytes += bytes;
                self.hold(now, info, State::Datagrams(vec![datagram]));
            } else {
                self.stats.flow_drops += 1;
            }
            return;
        };
        let flow = &mut self.flows.all[id];
        match &mut flow.state {
            State::Datagrams(waiting) if fits && waiting.len() < MAX_WAITING => {
                self.flows.waiting_bytes += bytes;
                waiting.push(datagram);
            }
            State::Passed => {
                flow.used_at = now;
                self.udp_pass(now, datagram);
            }
            State::Dropped => {
                flow.used_at = now;
                self.stats.flow_drops += 1;
            }
            _ => self.stats.flow_drops += 1,
        }
    }

    /// Gives a datagram to whoever is bound, or refuses it.
    fn udp_pass(&mut self, now: Instant, datagram: Datagram) {
        match self.udp_socket_for(datagram.interface, &datagram) {
            Some((id, _)) => self.udp_deliver(now, id, datagram, usize::MAX),
            None => {
                self.stats.udp_no_ports += 1;
                let quoted = quote_datagram(&datagram);
                self.complain(now, datagram.interface, &quoted, Complaint::PortUnreachable);
            }
        }
    }

    /// A socket sent or received something.
    pub(super) fn udp_flow_used(&mut self, now: Instant, socket: UdpId) {
        if let Some(id) = self.flows.sockets.get(socket)
            && let Some(flow) = self.flows.all.get_mut(*id)
        {
            flow.used_at = now;
        }
    }

    /// A socket was closed.
    pub(super) fn udp_flow_closed(&mut self, socket: UdpId) {
        if let Some(&id) = self.flows.sockets.get(socket) {
            self.flows.remove(id);
        }
    }

    /// Forgets the flows whose time is over, a bounded number.
    pub(super) fn flow_timeouts(&mut self, now: Instant) {
        for _ in 0..TIMEOUTS_PER_CALL {
            let Some(&(at, id)) = self.flows.timers.first() else { break };
            if at > now {
                break;
            }
            let flow = &mut self.flows.all[id];
            let due = match flow.state {
                // Held ones wait from the beginning.
                State::Syn(_) | State::Datagrams(_) => at,
                State::Dropped => flow.used_at + self.config.flow_timeout,
                State::Passed | State::Open(_) => flow.used_at + self.config.udp_flow_idle,
            };
            if due > now {
                flow.armed = due;
                self.flows.timers.pop_first();
                self.flows.timers.insert((due, id));
                continue;
            }
            match flow.state {
                State::Open(socket) => {
                    self.stats.flow_timeouts += 1;
                    // Takes the flow along.
                    if self.udp_close(socket).is_ok() {
                        self.events.push_back(Queued::UdpFinal(socket, Ready::CLOSED));
                    }
                }
                State::Syn(_) | State::Datagrams(_) => {
                    self.stats.flow_timeouts += 1;
                    self.flows.remove(id);
                }
                State::Dropped | State::Passed => {
                    self.flows.remove(id);
                }
            }
        }
    }
}

/// A SYN without its data, which its peer sends again (RFC 9293 §3.4).
pub(super) fn without_data(syn: &Segment) -> Segment {
    let payload = Payload::from(Vec::new());
    Segment { header: syn.header.clone(), payload, gso_size: 0, ecn: syn.ecn }
}

/// A packet of the other end as an ICMP error quotes it.
fn quote(tuple: &Tuple, protocol: Protocol, header: &[u8], data: &[u8]) -> Vec<u8> {
    let ip = IpRepr {
        src: tuple.remote,
        dst: tuple.local,
        protocol,
        hop_limit: 64,
        traffic_class: 0,
        ident: 0,
        dont_fragment: true,
        flow_label: 0,
        payload_len: header.len() + data.len(),
    };
    let mut packet = vec![0; ip.header_len()];
    ip.emit(&mut packet);
    packet.extend_from_slice(header);
    packet.extend_from_slice(data);
    packet
}

fn quote_datagram(datagram: &Datagram) -> Vec<u8> {
    let (from, to) = (datagram.from, datagram.to);
    let data = &datagram.payload[..datagram.payload.len().min(1280)];
    let mut header = [0; udp::HEADER_LEN];
    let repr = udp::Repr {
        src_port: from.port(),
        dst_port: to.port(),
        payload_len: datagram.payload.len(),
    };
    repr.emit(&mut header);
    udp::Repr::fill_checksum(&mut header, &[&datagram.payload], from.ip(), to.ip());
    let tuple = Tuple {
        local: to.ip(),
        remote: from.ip(),
        local_port: to.port(),
        remote_port: from.port(),
    };
    quote(&tuple, Protocol::UDP, &header, data)
}
