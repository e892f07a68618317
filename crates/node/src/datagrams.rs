//! What is beside TCP, as records that JavaScript reads: datagrams, raw packets, outcomes of pings, flows that wait for a
//! decision, and that an interface that is watched has frames. Knows neither Node-API nor threads.
//!
//! As in `pump`, a socket with something to report stands in one queue, once, and takes turns with the others. Payload is
//! copied to slabs. Nothing is queued here but one datagram a socket: the core's queues are bounded.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use usernet_core::{
    AddressChange, AddressState, Datagram, Event, FlowId, FlowKind, InterfaceId, LinkChange,
    PathError, PingId, PingOutcome, RawId, RawPacket, Ready, RecvError, Stack, UdpId,
};

use crate::errno::Errno;
use crate::handles::{Handle, Table};
use crate::pump::{Class, Kind, Memory, Records, SMALL_CHUNK, Stop};

/// Datagrams that a socket reports before others have their turn.
const BURST: usize = 32;

/// Most turns, and most bytes copied, before TCP has its turn.
const TURNS: usize = 256;
const BYTES: usize = 256 << 10;

/// The bit of a port's number in a record that says that the address beside it is IPv6.
const IPV6: i32 = 1 << 16;

/// What the binding knows of a UDP socket.
#[derive(Default)]
struct Udp {
    queued: bool,
    readable: bool,
    writable: bool,
    /// It is over: the errno (0: idle for too long), reported once.
    closed: Option<i32>,
    /// Taken from the core, and no slab had room for it yet.
    held: Option<Datagram>,
}

/// What the binding knows of a raw socket.
#[derive(Default)]
struct Raw {
    /// The handle that JavaScript knows it by, where that is not its own: of a part in a further lane.
    known_as: Option<Handle>,
    queued: bool,
    readable: bool,
    writable: bool,
    held: Option<RawPacket>,
}

/// Who has something to report.
#[derive(Clone, Copy)]
enum Turn {
    Udp(Handle),
    Raw(Handle),
}

/// Everything beside TCP that JavaScript knows by number.
pub(crate) struct Datagrams {
    /// What the indices of its handles begin with; flows that it reports have this in theirs, too.
    base: u32,
    udp: Table<UdpId, Udp>,
    raw: Table<RawId, Raw>,
    pings: Table<PingId, ()>,
    ready: VecDeque<Turn>,
    outcomes: VecDeque<(Handle, PingOutcome)>,
    flows: VecDeque<FlowId>,
    interfaces: VecDeque<InterfaceNews>,
}

/// What became of an interface: bounded by what the core queues.
#[derive(Clone, Copy)]
enum InterfaceNews {
    Link(InterfaceId, LinkChange),
    Address(InterfaceId, IpAddr, AddressChange),
}

/// The number that JavaScript knows an interface by; 0 is loopback's.
pub(crate) type Numbers<'a> = &'a dyn Fn(InterfaceId) -> u32;

/// An address as four numbers of a record, in network byte order; an IPv4 address in the first.
fn words(address: IpAddr) -> [i32; 4] {
    match address {
        IpAddr::V4(a) => [u32::from(a) as i32, 0, 0, 0],
        IpAddr::V6(a) => {
            let bits = u128::from(a);
            [96, 64, 32, 0].map(|shift| (bits >> shift) as u32 as i32)
        }
    }
}

/// The record that follows another and holds an address.
fn endpoint(address: SocketAddr, rest: i32) -> [i32; 6] {
    let family = if address.is_ipv6() { IPV6 } else { 0 };
    let [a, b, c, d] = words(address.ip());
    [i32::from(address.port()) | family, a, b, c, d, rest]
}

fn halves(handle: Handle) -> [i32; 2] {
    [handle.index as i32, handle.generation as i32]
}

impl Datagrams {
    pub(crate) fn new(base: u32) -> Self {
        Self {
            base,
            udp: Table::new(base),
            raw: Table::new(base),
            pings: Table::new(base),
            ready: VecDeque::new(),
            outcomes: VecDeque::new(),
            flows: VecDeque::new(),
            interfaces: VecDeque::new(),
        }
    }

    /// Sockets and pings that JavaScript knows.
    pub(crate) fn len(&self) -> usize {
        self.udp.len() + self.raw.len() + self.pings.len()
    }

    /// Whether something waits to be reported.
    pub(crate) fn has_work(&self) -> bool {
        !self.ready.is_empty()
            || !self.outcomes.is_empty()
            || !self.flows.is_empty()
            || !self.interfaces.is_empty()
    }

    /// A UDP socket that was made, or that a flow became: what came before it had a number is looked for.
    pub(crate) fn add_udp(&mut self, id: UdpId) -> Handle {
        let handle = self.udp.insert(id, Udp { queued: true, readable: true, ..Udp::default() });
        self.ready.push_back(Turn::Udp(handle));
        handle
    }

    /// The core's key of a UDP socket.
    pub(crate) fn udp(&self, number: f64) -> Option<UdpId> {
        self.udp.key(number).map(|(_, id)| id)
    }

    /// Forgets a UDP socket; the core's key of it.
    pub(crate) fn remove_udp(&mut self, number: f64) -> Option<UdpId> {
        let (handle, id) = self.udp.key(number)?;
        self.udp.remove(handle);
        Some(id)
    }

    /// A raw socket that was opened, which JavaScript may know by another one's handle.
    pub(crate) fn add_raw(&mut self, id: RawId, known_as: Option<Handle>) -> Handle {
        self.raw.insert(id, Raw { known_as, ..Raw::default() })
    }

    /// The core's key of a raw socket.
    pub(crate) fn raw(&self, number: f64) -> Option<RawId> {
        self.raw.key(number).map(|(_, id)| id)
    }

    /// Forgets a raw socket; the core's key of it.
    pub(crate) fn remove_raw(&mut self, number: f64) -> Option<RawId> {
        let (handle, id) = self.raw.key(number)?;
        self.raw.remove(handle);
        Some(id)
    }

    /// An echo request that was sent.
    pub(crate) fn add_ping(&mut self, id: PingId) -> Handle {
        self.pings.insert(id, ())
    }

    /// Forgets an echo request; the core's key of it.
    pub(crate) fn remove_ping(&mut self, number: f64) -> Option<PingId> {
        let (handle, id) = self.pings.key(number)?;
        self.pings.remove(handle);
        Some(id)
    }

    /// Every socket ends with that error; nothing more comes from the core.
    pub(crate) fn fail_all(&mut self, errno: Errno) {
        for handle in self.udp.handles() {
            if let Some((_, udp)) = self.udp.get(handle) {
                udp.closed.get_or_insert(errno.number());
                if !std::mem::replace(&mut udp.queued, true) {
                    self.ready.push_back(Turn::Udp(handle));
                }
            }
        }
        for handle in self.pings.handles() {
            self.pings.remove(handle);
            self.outcomes.push_back((handle, PingOutcome::TimedOut));
        }
    }

    /// Notes one of the core's events; those of TCP are the pump's.
    pub(crate) fn note(&mut self, event: Event) {
        match event {
            Event::Udp(id, ready) => {
                let Some(handle) = self.udp.find(id) else { return };
                let Some((_, udp)) = self.udp.get(handle) else { return };
                udp.readable |= ready.intersects(Ready::READABLE | Ready::ERROR);
                udp.writable |= ready.contains(Ready::WRITABLE);
                if ready.contains(Ready::CLOSED) {
                    udp.closed.get_or_insert(0);
                }
                if !std::mem::replace(&mut udp.queued, true) {
                    self.ready.push_back(Turn::Udp(handle));
                }
            }
            Event::Raw(id, ready) => {
                let Some(handle) = self.raw.find(id) else { return };
                let Some((_, raw)) = self.raw.get(handle) else { return };
                raw.readable |= ready.contains(Ready::READABLE);
                raw.writable |= ready.contains(Ready::WRITABLE);
                if !std::mem::replace(&mut raw.queued, true) {
                    self.ready.push_back(Turn::Raw(handle));
                }
            }
            Event::Ping(id, outcome) => {
                if let Some(handle) = self.pings.find(id) {
                    self.pings.remove(handle);
                    self.outcomes.push_back((handle, outcome));
                }
            }
            Event::Flow(id) => self.flows.push_back(id),
            // A device is told of once, by the first lane.
            Event::Address(..) | Event::Link(..) if self.base != 0 => {}
            Event::Address(id, address, change) => {
                self.interfaces.push_back(InterfaceNews::Address(id, address, change));
            }
            Event::Link(id, change) => self.interfaces.push_back(InterfaceNews::Link(id, change)),
            Event::Socket(..) | Event::Acceptable(_) => {}
        }
    }

    /// Writes records until nothing is left, or `share` of their room is used, or enough was done at once. `bytes` counts
    /// down what a drain may copy.
    pub(crate) fn run(
        &mut self,
        core: &mut Stack,
        memory: &mut impl Memory,
        records: &mut Records<'_>,
        bytes: &mut usize,
        share: usize,
        numbers: Numbers<'_>,
    ) -> Stop {
        let mut hold = BYTES.min(*bytes);
        for _ in 0..TURNS {
            if !self.has_work() {
                return Stop::Idle;
            }
            if records.len() >= share || !records.make_room(3) {
                return Stop::Full;
            }
            if let Some((handle, outcome)) = self.outcomes.pop_front() {
                report_ping(records, handle, outcome);
                continue;
            }
            if let Some(id) = self.flows.pop_front() {
                report_flow(core, records, id, self.base, numbers);
                continue;
            }
            if let Some(news) = self.interfaces.pop_front() {
                report_interface(records, news, numbers);
                continue;
            }
            let Some(turn) = self.ready.pop_front() else { return Stop::Idle };
            let before = hold;
            let stop = match turn {
                Turn::Udp(handle) => {
                    self.udp_turn(core, memory, records, &mut hold, handle, numbers)
                }
                Turn::Raw(handle) => {
                    self.raw_turn(core, memory, records, &mut hold, handle, numbers)
                }
            };
            *bytes -= before - hold;
            match stop {
                Stop::Idle => {}
                // It goes to the end: the others have their turn first.
                Stop::Hold => self.ready.push_back(turn),
                other => {
                    self.ready.push_front(turn);
                    return other;
                }
            }
            if hold == 0 {
                break;
            }
        }
        if self.has_work() { Stop::Hold } else { Stop::Idle }
    }

    fn udp_turn(
        &mut self,
        core: &mut Stack,
        memory: &mut impl Memory,
        records: &mut Records<'_>,
        hold: &mut usize,
        handle: Handle,
        numbers: Numbers<'_>,
    ) -> Stop {
        let Some((id, udp)) = self.udp.get(handle) else { return Stop::Idle };
        let [index, generation] = halves(handle);
        if udp.writable {
            if !records.push(Kind::UdpWritable, handle, [0; 3]) {
                return Stop::Full;
            }
            udp.writable = false;
        }
        let mut left = BURST;
        while udp.readable {
            if left == 0 || *hold == 0 {
                return Stop::Hold;
            }
            if !records.make_room(2) {
                return Stop::Full;
            }
            let datagram = match udp.held.take() {
                Some(datagram) => datagram,
                None => match core.udp_recv_from(id) {
                    Ok(datagram) => datagram,
                    Err(RecvError::WouldBlock | RecvError::NoSuchSocket) => {
                        udp.readable = false;
                        break;
                    }
                    Err(RecvError::Connection(error)) => {
                        records.push(Kind::UdpError, handle, [-Errno::from(error).number(), 0, 0]);
                        left -= 1;
                        continue;
                    }
                },
            };
            let (slab, offset) = match copy(memory, &datagram.payload) {
                Ok(place) => place,
                Err(class) => {
                    udp.held = Some(datagram);
                    return Stop::Memory(class);
                }
            };
            let len = datagram.payload.len();
            records.put([Kind::Datagram as i32, index, generation, slab, offset, len as i32]);
            records.put(endpoint(datagram.from, numbers(datagram.interface) as i32));
            *hold = hold.saturating_sub(len.max(1));
            left -= 1;
        }
        if let Some(errno) = udp.closed {
            if !records.push(Kind::UdpClosed, handle, [-errno, 0, 0]) {
                return Stop::Full;
            }
            self.udp.remove(handle);
            return Stop::Idle;
        }
        udp.queued = false;
        Stop::Idle
    }

    fn raw_turn(
        &mut self,
        core: &mut Stack,
        memory: &mut impl Memory,
        records: &mut Records<'_>,
        hold: &mut usize,
        handle: Handle,
        numbers: Numbers<'_>,
    ) -> Stop {
        let Some((id, raw)) = self.raw.get(handle) else { return Stop::Idle };
        let [index, generation] = halves(raw.known_as.unwrap_or(handle));
        // It is the first lane's that sends.
        if raw.known_as.is_none() && raw.writable {
            if !records.push(Kind::RawWritable, handle, [0; 3]) {
                return Stop::Full;
            }
            raw.writable = false;
        }
        let mut left = BURST;
        while raw.readable {
            if left == 0 || *hold == 0 {
                return Stop::Hold;
            }
            if !records.make_room(3) {
                return Stop::Full;
            }
            let Some(packet) = raw.held.take().or_else(|| core.raw_recv(id).ok()) else {
                raw.readable = false;
                break;
            };
            let (slab, offset) = match copy(memory, &packet.payload) {
                Ok(place) => place,
                Err(class) => {
                    raw.held = Some(packet);
                    return Stop::Memory(class);
                }
            };
            let len = packet.payload.len();
            records.put([Kind::Raw as i32, index, generation, slab, offset, len as i32]);
            let hops = u16::from(packet.hop_limit);
            records
                .put(endpoint(SocketAddr::new(packet.src, hops), numbers(packet.interface) as i32));
            let class = u16::from(packet.traffic_class);
            records.put(endpoint(SocketAddr::new(packet.dst, class), 0));
            *hold = hold.saturating_sub(len.max(1));
            left -= 1;
        }
        raw.queued = false;
        Stop::Idle
    }
}

/// Copies a payload to a slab: where it is, or of which class a slab is needed first. Nothing needs no place.
fn copy(memory: &mut impl Memory, payload: &[u8]) -> Result<(i32, i32), Class> {
    if payload.is_empty() {
        return Ok((-1, 0));
    }
    let class = if payload.len() <= SMALL_CHUNK { Class::Small } else { Class::Bulk };
    match memory.spare(class, payload.len()) {
        // A datagram is not divided, other than TCP's data.
        Some(spare) if spare.len() >= payload.len() => {
            spare[..payload.len()].copy_from_slice(payload);
            Ok(memory.take(class, payload.len()))
        }
        _ => Err(class),
    }
}

/// What became of an interface (`InterfaceNews` in src/native.ts): 0-2 of its link, the others of an address, with its state.
fn report_interface(records: &mut Records<'_>, news: InterfaceNews, numbers: Numbers<'_>) {
    let (id, what, state, address) = match news {
        InterfaceNews::Link(id, LinkChange::Lost) => (id, 0, 0, None),
        InterfaceNews::Link(id, LinkChange::Up) => (id, 1, 0, None),
        InterfaceNews::Link(id, LinkChange::Down) => (id, 2, 0, None),
        InterfaceNews::Address(id, address, change) => match change {
            AddressChange::Added(state) => (id, 3, state_number(state), Some(address)),
            AddressChange::Is(state) => (id, 4, state_number(state), Some(address)),
            AddressChange::Removed => (id, 5, 0, Some(address)),
            AddressChange::Contested => (id, 6, 0, Some(address)),
        },
    };
    records.put([Kind::Interface as i32, numbers(id) as i32, 0, what, state, 0]);
    let address = address.unwrap_or(IpAddr::from([0, 0, 0, 0]));
    records.put(endpoint(SocketAddr::new(address, 0), 0));
}

/// `AddressState` in src/native.ts.
fn state_number(state: AddressState) -> i32 {
    match state {
        AddressState::Tentative => 0,
        AddressState::Optimistic => 1,
        AddressState::Preferred => 2,
        AddressState::Deprecated => 3,
        AddressState::Duplicate => 4,
    }
}

/// Kinds of outcomes (`PingResult` in src/native.ts).
fn report_ping(records: &mut Records<'_>, handle: Handle, outcome: PingOutcome) {
    let unspecified = IpAddr::from([0, 0, 0, 0]);
    let (kind, from, rtt, detail, value) = match outcome {
        PingOutcome::Reply { from, rtt, hop_limit, size, intact } => {
            (0, from, rtt, u16::from(hop_limit) | u16::from(intact) << 8, size as i32)
        }
        PingOutcome::Error { from, rtt, error } => match error {
            PathError::TimeExceeded { in_reassembly } => {
                (1, from, rtt, u16::from(in_reassembly), 0)
            }
            PathError::Unreachable { code, meaning } => {
                (2, from, rtt, u16::from(code), -Errno::from(meaning).number())
            }
            PathError::TooBig { mtu } => (3, from, rtt, 0, mtu as i32),
            PathError::ParameterProblem { code, pointer } => {
                (4, from, rtt, u16::from(code), pointer as i32)
            }
        },
        PingOutcome::TimedOut => (5, unspecified, usernet_core::Duration::ZERO, 0, 0),
    };
    let micros = i32::try_from(rtt.as_micros()).unwrap_or(i32::MAX);
    records.push(Kind::Ping, handle, [kind, micros, (rtt.subsec_nanos() % 1000) as i32]);
    records.put(endpoint(SocketAddr::new(from, detail), value));
}

/// A flow that is still to be decided: its id in two halves, what it is, its interface, and its two ends.
fn report_flow(
    core: &mut Stack,
    records: &mut Records<'_>,
    id: FlowId,
    base: u32,
    numbers: Numbers<'_>,
) {
    let Ok(info) = core.flow_info(id) else { return };
    let bits = slotmap::Key::data(&id).as_ffi();
    let kind = i32::from(info.kind == FlowKind::Udp);
    let interface = numbers(info.interface) as i32;
    // A stack has far fewer flows than a lane has handles.
    let (index, version) = ((bits as u32 | base) as i32, (bits >> 32) as u32 as i32);
    records.put([Kind::Flow as i32, index, version, kind, interface, 0]);
    records.put(endpoint(info.local, 0));
    records.put(endpoint(info.remote, 0));
}

#[cfg(test)]
#[path = "datagrams_tests.rs"]
mod tests;
