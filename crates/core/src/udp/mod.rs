//! UDP sockets (RFC 768): what one is set to, and its receive queue. The stack's side (ports, routes, frames) is in
//! `stack/udp.rs`.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use smallvec::SmallVec;
use usernet_wire::ip::Packet;
use usernet_wire::udp::Repr;

use crate::error::ConnectionError;
use crate::event::Ready;
use crate::interface::InterfaceId;
use crate::payload::{Copies, Payload};
use crate::stack::ListenAddress;

/// Groups a socket may be a member of, as many as an interface.
pub(crate) const MAX_MEMBERSHIPS: usize = 256;

/// Sources that one membership may name (Linux `igmp_max_msf` is 10 by default).
pub(crate) const MAX_SOURCES: usize = 64;

/// Destinations of late datagrams that a socket remembers, to tell ICMP errors about them from forged ones.
const REMEMBERED: usize = 8;

/// What a datagram in a queue costs beside its bytes.
const OVERHEAD: usize = 128;

/// How a UDP socket is made.
#[derive(Clone, Debug, PartialEq)]
pub struct UdpOptions {
    /// For which address.
    pub address: ListenAddress,
    /// On which port; 0 picks a free one (RFC 6056).
    pub port: u16,
    /// Whether the port may be shared with sockets that allow it too (`SO_REUSEADDR`). Multicast and broadcast datagrams
    /// then go to all of them, others to the one bound last.
    pub reuse_addr: bool,
    /// Whether the port may be shared with sockets that allow it too (`SO_REUSEPORT`), which then share the flows: each
    /// peer's datagrams go to one of them.
    pub reuse_port: bool,
    /// What can be changed later.
    pub settings: UdpSettings,
}

impl Default for UdpOptions {
    fn default() -> Self {
        Self {
            address: ListenAddress::AnyV4,
            port: 0,
            reuse_addr: false,
            reuse_port: false,
            settings: UdpSettings::default(),
        }
    }
}

/// Settings of a UDP socket that can be changed at any time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpSettings {
    /// Receive queue, bytes, bookkeeping included; a datagram that does not fit is dropped and counted.
    pub recv_buffer: usize,
    /// Bytes that wait to be transmitted at most; at least one datagram is always taken.
    pub send_buffer: usize,
    /// TTL or hop limit of unicast and broadcast.
    pub hop_limit: u8,
    /// DSCP and ECN bits.
    pub traffic_class: u8,
    /// TTL or hop limit of multicast (RFC 1112 §6.1: 1 unless the program says otherwise).
    pub multicast_hop_limit: u8,
    /// Whether multicasts are also delivered to members on this stack (RFC 1112 §6.1).
    pub multicast_loop: bool,
    /// Where multicasts go out; `None` leaves it to the route.
    pub multicast_interface: Option<InterfaceId>,
    /// Whether datagrams may go to broadcast addresses.
    pub broadcast: bool,
    /// The only interface it sends and receives through (`SO_BINDTODEVICE`).
    pub interface: Option<InterfaceId>,
    /// Whether datagrams longer than the path's MTU are refused rather than cut.
    pub dont_fragment: bool,
}

impl Default for UdpSettings {
    fn default() -> Self {
        Self {
            // Linux's `rmem_default` and `wmem_default`.
            recv_buffer: 212_992,
            send_buffer: 212_992,
            hop_limit: 64,
            traffic_class: 0,
            multicast_hop_limit: 1,
            multicast_loop: true,
            multicast_interface: None,
            broadcast: false,
            interface: None,
            dont_fragment: false,
        }
    }
}

/// A datagram that came in.
#[derive(Clone, Debug)]
pub struct Datagram {
    /// Its data.
    pub payload: Payload,
    /// Who sent it.
    pub from: SocketAddr,
    /// To which address, a multicast or broadcast one too, and port.
    pub to: SocketAddr,
    /// Through which interface it came.
    pub interface: InterfaceId,
    /// TTL or hop limit that it arrived with.
    pub hop_limit: u8,
    /// DSCP and ECN bits that it arrived with.
    pub traffic_class: u8,
}

impl Datagram {
    /// What a packet carries whose headers were checked.
    pub(crate) fn new(
        interface: InterfaceId,
        packet: &Packet,
        header: &Repr,
        payload: Payload,
    ) -> Self {
        Self {
            payload,
            from: SocketAddr::new(packet.src, header.src_port),
            to: SocketAddr::new(packet.dst, header.dst_port),
            interface,
            hop_limit: packet.hop_limit,
            traffic_class: packet.traffic_class,
        }
    }
}

/// State and counters of a UDP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct UdpInfo {
    /// Datagrams received.
    pub datagrams_in: u64,
    /// Bytes of data received.
    pub bytes_in: u64,
    /// Datagrams sent.
    pub datagrams_out: u64,
    /// Bytes of data sent.
    pub bytes_out: u64,
    /// Datagrams dropped because the receive queue was full.
    pub drops: u64,
    /// Bytes in the receive queue, bookkeeping included.
    pub recv_queue: usize,
    /// Bytes that wait to be transmitted, headers included.
    pub send_queue: usize,
}

/// That a socket is a member of a multicast group on an interface.
#[derive(Debug)]
pub(crate) struct Membership {
    pub(crate) interface: InterfaceId,
    pub(crate) group: IpAddr,
    /// Whom it hears; none hears everybody (RFC 3376 §3.1: EXCLUDE of nobody, or INCLUDE of these).
    pub(crate) sources: Option<SmallVec<[IpAddr; 4]>>,
}

/// A UDP socket.
#[derive(Debug)]
pub(crate) struct UdpSocket {
    /// What it was bound to.
    pub(crate) bound: ListenAddress,
    pub(crate) port: u16,
    pub(crate) reuse_addr: bool,
    pub(crate) reuse_port: bool,
    pub(crate) settings: UdpSettings,
    /// The other end and the local address towards it, of a connected one.
    pub(crate) connected: Option<(SocketAddr, IpAddr)>,
    pub(crate) memberships: SmallVec<[Membership; 2]>,
    /// With what each is charged.
    queue: VecDeque<(Datagram, usize)>,
    pub(crate) send_queue: usize,
    /// A send was refused for lack of room.
    pub(crate) wants_write: bool,
    pub(crate) error: Option<ConnectionError>,
    pub(crate) ready: Ready,
    pub(crate) event_queued: bool,
    sent_to: SmallVec<[SocketAddr; REMEMBERED]>,
    sent_to_next: usize,
    pub(crate) info: UdpInfo,
}

impl UdpSocket {
    pub(crate) fn new(options: UdpOptions) -> Self {
        Self {
            bound: options.address,
            port: options.port,
            reuse_addr: options.reuse_addr,
            reuse_port: options.reuse_port,
            settings: options.settings,
            connected: None,
            memberships: SmallVec::new(),
            queue: VecDeque::new(),
            send_queue: 0,
            wants_write: false,
            error: None,
            ready: Ready::empty(),
            event_queued: false,
            sent_to: SmallVec::new(),
            sent_to_next: 0,
            info: UdpInfo::default(),
        }
    }

    /// Whether it takes a datagram to `to` from `from`; 0 not at all, then the higher the better.
    pub(crate) fn fits(&self, interface: InterfaceId, to: IpAddr, from: SocketAddr) -> u8 {
        if self.settings.interface.is_some_and(|only| only != interface) {
            return 0;
        }
        match self.connected {
            Some((remote, local)) if remote != from || (!to.is_multicast() && local != to) => 0,
            Some(_) => 4,
            None => self.bound.fits(to),
        }
    }

    /// Whether it hears `source` speak to `group` where the datagram came in.
    pub(crate) fn hears(&self, interface: InterfaceId, group: IpAddr, source: IpAddr) -> bool {
        self.memberships.iter().any(|m| {
            m.interface == interface
                && m.group == group
                && m.sources.as_ref().is_none_or(|sources| sources.contains(&source))
        })
    }

    /// Its membership of `group`, on `interface` if one is given.
    pub(crate) fn membership(
        &self,
        interface: Option<InterfaceId>,
        group: IpAddr,
    ) -> Option<usize> {
        let is_on = |m: &Membership| interface.is_none_or(|interface| m.interface == interface);
        self.memberships.iter().position(|m| m.group == group && is_on(m))
    }

    /// Queues a datagram; false when there is no room.
    pub(crate) fn push(&mut self, mut datagram: Datagram, copies: &mut Copies) -> bool {
        let len = datagram.payload.len();
        // A short view must not pin a large buffer; what it costs is then its own bytes.
        if datagram.payload.pinned() > 2 * len + 256 {
            datagram.payload = copies.copy(&datagram.payload);
        }
        let charge = datagram.payload.pinned() + OVERHEAD;
        if self.info.recv_queue + charge > self.settings.recv_buffer {
            self.info.drops += 1;
            return false;
        }
        self.append(datagram, charge);
        true
    }

    fn append(&mut self, datagram: Datagram, charge: usize) {
        self.info.recv_queue += charge;
        self.info.datagrams_in += 1;
        self.info.bytes_in += datagram.payload.len() as u64;
        self.queue.push_back((datagram, charge));
        self.ready |= Ready::READABLE;
    }

    /// Queues datagrams of `size` bytes each (the last may be shorter), whose data is that of `all`, as if they came one after
    /// the other; how many were taken, and how many found no room. Those that were taken share one copy of their data: since
    /// they are also read one after the other, no more than one such copy is held for longer than it is charged for.
    pub(crate) fn push_merged(&mut self, all: &Datagram, size: usize) -> (u64, u64) {
        let data = &all.payload;
        let room = self.settings.recv_buffer.saturating_sub(self.info.recv_queue);
        // All but the last are of one size: those that fit come first.
        let full = (data.len() / size).min(room / (size + OVERHEAD));
        let left = room - full * (size + OVERHEAD);
        let short = data.len() % size;
        let last = short > 0 && short + OVERHEAD <= left;
        let copy = if last && full * size + short < data.len() {
            // There was no room for some before it.
            Payload::from([&data[..full * size], &data[data.len() - short..]].concat())
        } else {
            Payload::from(&data[..full * size + if last { short } else { 0 }])
        };
        let mut taken = 0;
        for start in (0..copy.len()).step_by(size) {
            let payload = copy.slice(start..copy.len().min(start + size));
            let charge = payload.len() + OVERHEAD;
            self.append(Datagram { payload, ..*all }, charge);
            taken += 1;
        }
        let dropped = data.len().div_ceil(size) as u64 - taken;
        self.info.drops += dropped;
        (taken, dropped)
    }

    pub(crate) fn pop(&mut self) -> Option<Datagram> {
        let (datagram, charge) = self.queue.pop_front()?;
        self.info.recv_queue -= charge;
        Some(datagram)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether another datagram may wait to be transmitted.
    pub(crate) fn has_send_room(&self) -> bool {
        self.send_queue < self.settings.send_buffer
    }

    /// Remembers a destination, so that an ICMP error about it is believed.
    pub(crate) fn remember(&mut self, to: SocketAddr) {
        if self.connected.is_some() || self.sent_to.contains(&to) {
            return;
        }
        if self.sent_to.len() < REMEMBERED {
            self.sent_to.push(to);
        } else {
            self.sent_to[self.sent_to_next] = to;
            self.sent_to_next = (self.sent_to_next + 1) % REMEMBERED;
        }
    }

    /// Whether an ICMP error about a datagram to `to` can be true (RFC 5927 §4, in spirit).
    pub(crate) fn has_sent_to(&self, to: SocketAddr) -> bool {
        match self.connected {
            Some((remote, _)) => remote == to || self.sent_to.contains(&to),
            None => self.sent_to.contains(&to),
        }
    }
}
