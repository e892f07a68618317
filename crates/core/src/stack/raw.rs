//! Raw IP sockets: packets of one protocol, without their IP headers. What they receive is a copy; the stack answers as if
//! they were not there, save that a protocol somebody listens to is not unreachable.

use std::collections::VecDeque;
use std::net::IpAddr;

use usernet_wire::checksum::Sum;
use usernet_wire::ip::{MAX_PACKET_LEN, Packet, Protocol, Repr as IpRepr};

use super::output::Class;
use super::route::RouteResult;
use super::{Queued, Stack};
use crate::error::{BindError, DatagramError, NoSuchSocket, RecvError};
use crate::event::{RawId, Ready};
use crate::frame::RxFrame;
use crate::interface::{InterfaceId, is_unicast};
use crate::payload::Payload;
use crate::time::Instant;

/// What a packet in a queue costs beside its bytes.
const OVERHEAD: usize = 128;

/// How a raw socket is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawOptions {
    /// Which protocol, as IANA numbers them: 0-255.
    pub protocol: u8,
    /// Whether it is of IPv6.
    pub ipv6: bool,
    /// The only interface it sends and receives through.
    pub interface: Option<InterfaceId>,
    /// Receive queue, bytes, bookkeeping included; a packet that does not fit is dropped and counted.
    pub recv_buffer: usize,
    /// Bytes that wait to be transmitted at most; at least one packet is always taken.
    pub send_buffer: usize,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// DSCP and ECN bits.
    pub traffic_class: u8,
    /// Where in what is sent over IPv6 the stack fills in a checksum, bytes (RFC 3542 §3.1). For ICMPv6 it always does,
    /// at 2.
    pub checksum_offset: Option<u16>,
}

impl RawOptions {
    /// A socket of `protocol` with default buffers, 64 hops.
    pub fn new(protocol: u8, ipv6: bool) -> Self {
        Self {
            protocol,
            ipv6,
            interface: None,
            recv_buffer: 212_992,
            send_buffer: 212_992,
            hop_limit: 64,
            traffic_class: 0,
            checksum_offset: (ipv6 && protocol == Protocol::ICMPV6.0).then_some(2),
        }
    }
}

/// A packet that came in.
#[derive(Clone, Debug)]
pub struct RawPacket {
    /// What follows the IP header and its extension headers.
    pub payload: Payload,
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// Through which interface it came.
    pub interface: InterfaceId,
    /// TTL or hop limit that it arrived with.
    pub hop_limit: u8,
    /// DSCP and ECN bits that it arrived with.
    pub traffic_class: u8,
}

/// A raw socket.
#[derive(Debug)]
pub(super) struct RawSocket {
    options: RawOptions,
    queue: VecDeque<RawPacket>,
    queued: usize,
    drops: u64,
    pub(super) send_queue: usize,
    wants_write: bool,
    ready: Ready,
    event_queued: bool,
}

impl Stack {
    /// Opens a raw socket.
    ///
    /// # Errors
    /// [`BindError::TooManySockets`].
    pub fn raw_open(&mut self, options: RawOptions) -> Result<RawId, BindError> {
        if self.raws.len() >= self.config.max_raw_sockets {
            return Err(BindError::TooManySockets);
        }
        Ok(self.raws.insert(RawSocket {
            options,
            queue: VecDeque::new(),
            queued: 0,
            drops: 0,
            send_queue: 0,
            wants_write: false,
            ready: Ready::empty(),
            event_queued: false,
        }))
    }

    /// Closes a raw socket; what was sent is still transmitted.
    ///
    /// # Errors
    /// [`NoSuchSocket`] for a stale id, as for every call that takes one.
    pub fn raw_close(&mut self, id: RawId) -> Result<(), NoSuchSocket> {
        self.raws.remove(id).map(|_| ()).ok_or(NoSuchSocket)
    }

    /// Sends what follows the IP header to `dest`, cut when it exceeds the path's MTU.
    ///
    /// # Errors
    /// See [`DatagramError`].
    pub fn raw_send(
        &mut self,
        now: Instant,
        id: RawId,
        payload: &[u8],
        dest: IpAddr,
        source: Option<IpAddr>,
    ) -> Result<(), DatagramError> {
        let socket = self.raws.get_mut(id).ok_or(DatagramError::NoSuchSocket)?;
        let options = &socket.options;
        if dest.is_ipv6() != options.ipv6 || dest.is_unspecified() {
            return Err(DatagramError::InvalidDestination);
        }
        if socket.send_queue >= options.send_buffer {
            socket.wants_write = true;
            return Err(DatagramError::WouldBlock);
        }
        let (only, protocol) = (options.interface, Protocol(options.protocol));
        let (hop_limit, traffic_class) = (options.hop_limit, options.traffic_class);
        let sum_at = options.checksum_offset.filter(|_| options.ipv6).map(usize::from);
        // A group or a broadcast address has no route of its own on a host with one interface.
        let only = only.or_else(|| {
            (!is_unicast(dest) && self.lookup(dest).is_none())
                .then(|| self.interfaces.keys().find(|id| Some(*id) != self.loopback))
                .flatten()
        });
        let (interface, src) = match self.route_within(dest, source, only) {
            RouteResult::Via(interface, src) => (interface, src),
            RouteResult::Unreachable => return Err(DatagramError::NetworkUnreachable),
            RouteResult::NoSuchAddress => return Err(DatagramError::AddressNotAvailable),
        };
        let ip = IpRepr {
            src,
            dst: dest,
            protocol,
            hop_limit,
            traffic_class,
            ident: 0,
            dont_fragment: true,
            flow_label: 0,
            payload_len: payload.len(),
        };
        let ip_len = ip.header_len();
        let most = if dest.is_ipv4() { MAX_PACKET_LEN - ip_len } else { MAX_PACKET_LEN };
        if payload.len() > most {
            return Err(DatagramError::MessageTooLong);
        }
        let mut packet = Vec::with_capacity(ip_len + payload.len());
        packet.resize(ip_len, 0);
        packet.extend_from_slice(payload);
        if let Some(field) = sum_at.and_then(|at| packet.get_mut(ip_len + at..ip_len + at + 2)) {
            field.fill(0);
            let mut sum = Sum::pseudo_header(src, dest, protocol, payload.len() as u32);
            sum.add(&packet[ip_len..]);
            let at = ip_len + sum_at.unwrap_or(0);
            packet[at..at + 2].copy_from_slice(&sum.finish().to_be_bytes());
        }
        let mtu = usize::from(self.path_to(now, interface, dest).mtu);
        if self.send_ip(interface, mtu, &ip, packet, None, Class::Raw(id)) {
            Ok(())
        } else {
            Err(DatagramError::NoBufferSpace)
        }
    }

    /// The next packet that came in, if any.
    ///
    /// # Errors
    /// See [`RecvError`].
    pub fn raw_recv(&mut self, id: RawId) -> Result<RawPacket, RecvError> {
        let socket = self.raws.get_mut(id).ok_or(RecvError::NoSuchSocket)?;
        let packet = socket.queue.pop_front().ok_or(RecvError::WouldBlock)?;
        socket.queued -= packet.payload.pinned() + OVERHEAD;
        Ok(packet)
    }

    /// Packets dropped because a raw socket's receive queue was full.
    ///
    /// # Errors
    /// [`NoSuchSocket`].
    pub fn raw_drops(&self, id: RawId) -> Result<u64, NoSuchSocket> {
        self.raws.get(id).map(|socket| socket.drops).ok_or(NoSuchSocket)
    }

    /// Whether a raw socket receives packets of a protocol.
    pub(super) fn has_raw_socket(&self, protocol: Protocol) -> bool {
        self.raws.values().any(|socket| socket.options.protocol == protocol.0)
    }

    /// Gives a packet to the raw sockets of its protocol; whether there is one.
    pub(super) fn raw_input(
        &mut self,
        interface: InterfaceId,
        packet: &Packet,
        frame: &RxFrame,
    ) -> bool {
        let mut taken = false;
        for (id, socket) in &mut self.raws {
            let options = &socket.options;
            if options.protocol != packet.protocol.0
                || options.ipv6 != packet.dst.is_ipv6()
                || options.interface.is_some_and(|only| only != interface)
            {
                continue;
            }
            taken = true;
            let range = packet.payload_offset..packet.payload_offset + packet.payload_len;
            let mut payload = frame.data.slice(range);
            if payload.pinned() > 2 * payload.len() + 256 {
                payload = Payload::from(&payload[..]);
            }
            let charge = payload.pinned() + OVERHEAD;
            if socket.queued + charge > options.recv_buffer {
                socket.drops += 1;
                self.stats.raw_rcvbuf_errors += 1;
                continue;
            }
            socket.queued += charge;
            socket.queue.push_back(RawPacket {
                payload,
                src: packet.src,
                dst: packet.dst,
                interface,
                hop_limit: packet.hop_limit,
                traffic_class: packet.traffic_class,
            });
            socket.ready |= Ready::READABLE;
            if !socket.event_queued {
                socket.event_queued = true;
                self.events.push_back(Queued::Raw(id));
            }
        }
        taken
    }

    /// A packet of a raw socket was transmitted.
    pub(super) fn raw_sent(&mut self, id: RawId, bytes: usize) {
        let Some(socket) = self.raws.get_mut(id) else { return };
        socket.send_queue = socket.send_queue.saturating_sub(bytes);
        if socket.wants_write && socket.send_queue <= socket.options.send_buffer / 2 {
            socket.wants_write = false;
            socket.ready |= Ready::WRITABLE;
            if !socket.event_queued {
                socket.event_queued = true;
                self.events.push_back(Queued::Raw(id));
            }
        }
    }

    /// What an event of a raw socket reports.
    pub(super) fn take_raw_ready(&mut self, id: RawId) -> Option<Ready> {
        let socket = self.raws.get_mut(id)?;
        socket.event_queued = false;
        Some(std::mem::take(&mut socket.ready))
    }
}
