//! Frames out: segments of connections, RSTs, and what goes to ourselves.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use usernet_wire::ethernet::HEADER_LEN as ETHERNET_LEN;
use usernet_wire::ip::{MAX_PACKET_LEN, Protocol, Repr as IpRepr, addresses_of, fill_len};
use usernet_wire::tcp::{self as wire, Flags, Repr};
use usernet_wire::udp;

use super::input::Arrival;
use super::link::{Framing, behind_ethernet};
use super::{Stack, ctx};
use crate::event::{RawId, SocketId, UdpId};
use crate::frame::{Gso, GsoKind, NO_PAYLOAD, RxChecksum, RxFrame, Transmit, TxChecksum};
use crate::interface::InterfaceId;
use crate::payload::Payload;
use crate::tcp::Tuple;
use crate::time::Instant;

/// Segments of one connection in a row before the next connection has its turn.
const BURST: u32 = 16;

/// Most memory of packets that are gone that is kept for others, bytes.
const MAX_SPARE: usize = 256 << 10;

/// RSTs and ICMP messages that may wait to be transmitted, and their bytes; further ones are dropped and counted.
const MAX_CONTROL: usize = 1024;
const MAX_CONTROL_BYTES: usize = 4 << 20;

/// Bytes of others' packets that may wait to be passed on; further ones are dropped and counted.
const MAX_FORWARD_BYTES: usize = 4 << 20;

/// Frames to ourselves that may wait; further ones are dropped and counted, and TCP sends them again.
const MAX_LOOPED: usize = 4096;

/// Whose a packet is that belongs to no connection: what bounds how many of them wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// The stack's own: RSTs, ICMP, pings.
    Control,
    /// Another host's.
    Forward,
    /// A UDP socket's: its send buffer bounds it.
    Udp(UdpId),
    /// A raw socket's: likewise.
    Raw(RawId),
}

/// A packet of no connection, ready to go.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) interface: InterfaceId,
    pub(super) bytes: Vec<u8>,
    pub(super) checksum: Option<TxChecksum>,
    pub(super) gso: Option<Gso>,
    pub(super) class: Class,
}

impl Outgoing {
    /// What its socket is charged with: of merged datagrams, what they were by themselves.
    fn charge(&self) -> usize {
        self.bytes.len() + self.datagrams().map_or(0, |(headers, count)| (count - 1) * headers)
    }

    /// Length of the headers of merged datagrams, and how many those are.
    fn datagrams(&self) -> Option<(usize, usize)> {
        let gso = self.gso.filter(|gso| matches!(gso.kind, GsoKind::Udp4 | GsoKind::Udp6))?;
        let headers = usize::from(self.checksum?.start) + udp::HEADER_LEN;
        Some((headers, (self.bytes.len() - headers).div_ceil(gso.size.into())))
    }

    /// Makes one packet of datagrams that were put together: its lengths and what the checksums are made from.
    fn finish(&mut self) {
        let (Some((headers, _)), Some((src, dst))) = (self.datagrams(), addresses_of(&self.bytes))
        else {
            return;
        };
        let start = headers - udp::HEADER_LEN;
        let len = self.bytes.len() - start;
        fill_len(&mut self.bytes, start);
        self.bytes[start + 4..start + 6].copy_from_slice(&(len as u16).to_be_bytes());
        udp::Repr::fill_partial_checksum(&mut self.bytes[start..headers], len, src, dst);
    }
}

/// Most datagrams that are put together (what Linux before 6.9 takes, `UDP_MAX_SEGMENTS`).
const MAX_MERGED: usize = 64;

/// What datagrams have in common that can be put together: all their headers say but for lengths and checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Likeness {
    pub(super) id: UdpId,
    pub(super) interface: InterfaceId,
    pub(super) source: IpAddr,
    pub(super) dest: SocketAddr,
    pub(super) hop_limit: u8,
    pub(super) traffic_class: u8,
}

/// The datagrams at the end of the queue, to which others may be added.
#[derive(Clone, Copy, Debug)]
struct Run {
    like: Likeness,
    /// Bytes of data of the first.
    size: usize,
    count: usize,
}

/// Packets that wait to be transmitted.
#[derive(Debug, Default)]
pub(super) struct OutQueue {
    /// Frames with their Ethernet header: ARP, and what had waited for its neighbour. First of all.
    framed: VecDeque<Outgoing>,
    /// The stack's own; before all others.
    control: VecDeque<Outgoing>,
    control_bytes: usize,
    /// Everybody else's, in turn with segments.
    datagrams: VecDeque<Outgoing>,
    /// What the last of them is, where it is a datagram that others may be added to.
    run: Option<Run>,
    forward_bytes: usize,
    /// Memory of packets that are gone, for the next, and how much that is, bytes.
    spare: Vec<Vec<u8>>,
    spare_bytes: usize,
    /// Whether a segment is next, when there is one.
    segment_next: bool,
}

impl OutQueue {
    /// Whether `bytes` more of that class fit, in `packets` packets. A socket looks at its own buffer.
    fn has_room(&self, class: Class, packets: usize, bytes: usize) -> bool {
        match class {
            Class::Control => {
                self.control.len() + packets <= MAX_CONTROL
                    && self.control_bytes + bytes <= MAX_CONTROL_BYTES
            }
            Class::Forward => self.forward_bytes + bytes <= MAX_FORWARD_BYTES,
            Class::Udp(_) | Class::Raw(_) => true,
        }
    }

    /// Whether any wait.
    fn has_any(&self) -> bool {
        !self.framed.is_empty() || !self.control.is_empty() || !self.datagrams.is_empty()
    }

    /// Memory for a packet: empty.
    pub(super) fn spare(&mut self) -> Vec<u8> {
        let Some(mut bytes) = self.spare.pop() else { return Vec::new() };
        self.spare_bytes -= bytes.capacity();
        bytes.clear();
        bytes
    }

    /// A packet is gone.
    fn put_spare(&mut self, bytes: Vec<u8>) {
        if bytes.capacity() > 0 && self.spare_bytes + bytes.capacity() <= MAX_SPARE {
            self.spare_bytes += bytes.capacity();
            self.spare.push(bytes);
        }
    }

    /// Gives the memory of packets that are gone back.
    pub(super) fn trim(&mut self) {
        (self.spare, self.spare_bytes) = (Vec::new(), 0);
    }

    /// Queues what was bounded where it waited.
    pub(super) fn push_framed(&mut self, frame: Outgoing) {
        self.framed.push_back(frame);
    }

    /// Queues a frame unless too many wait.
    pub(super) fn push_framed_if_room(&mut self, frame: Outgoing) -> bool {
        let room = self.framed.len() < MAX_CONTROL;
        if room {
            self.framed.push_back(frame);
        }
        room
    }

    fn push(&mut self, packet: Outgoing) {
        match packet.class {
            Class::Control => {
                self.control_bytes += packet.bytes.len();
                self.control.push_back(packet);
            }
            class => {
                if class == Class::Forward {
                    self.forward_bytes += packet.bytes.len();
                }
                self.run = None;
                self.datagrams.push_back(packet);
            }
        }
    }

    /// Says that what was pushed last is a datagram of `size` bytes of data to which others may be added.
    pub(super) fn begin_run(&mut self, like: Likeness, size: usize) {
        self.run = (size > 0).then_some(Run { like, size, count: 1 });
    }

    /// Adds a datagram to those before it, where they are like it: of one length, but the last may be shorter. False where it
    /// has to go by itself.
    pub(super) fn add_to_run(&mut self, like: &Likeness, data: &[u8]) -> bool {
        let Some(run) = self.run.as_mut().filter(|run| run.like == *like) else { return false };
        let Some(packet) = self.datagrams.back_mut() else { return false };
        if data.is_empty()
            || data.len() > run.size
            || run.count == MAX_MERGED
            || packet.bytes.len() + data.len() > MAX_PACKET_LEN
        {
            return false;
        }
        let kind = if like.source.is_ipv6() { GsoKind::Udp6 } else { GsoKind::Udp4 };
        packet.gso = Some(Gso { kind, size: run.size as u16 });
        packet.bytes.extend_from_slice(data);
        run.count += 1;
        if data.len() < run.size {
            self.run = None;
        }
        true
    }

    fn pop_control(&mut self) -> Option<Outgoing> {
        let packet = self.control.pop_front()?;
        self.control_bytes -= packet.bytes.len();
        Some(packet)
    }

    /// The first packet of any class that goes to that interface.
    fn pop_to(&mut self, interface: InterfaceId) -> Option<Outgoing> {
        let there = |packet: &Outgoing| packet.interface == interface;
        if let Some(at) = self.control.iter().position(there) {
            let packet = self.control.remove(at)?;
            self.control_bytes -= packet.bytes.len();
            return Some(packet);
        }
        let at = self.datagrams.iter().position(there)?;
        self.take_datagram(at)
    }

    fn pop_datagram(&mut self) -> Option<Outgoing> {
        self.take_datagram(0)
    }

    fn take_datagram(&mut self, at: usize) -> Option<Outgoing> {
        let mut packet = self.datagrams.remove(at)?;
        if at == self.datagrams.len() {
            self.run = None;
        }
        if packet.class == Class::Forward {
            self.forward_bytes -= packet.bytes.len();
        }
        packet.finish();
        Some(packet)
    }
}

/// Where the pieces of a built frame lie.
struct Frame {
    id: SocketId,
    interface: InterfaceId,
    addresses: (IpAddr, IpAddr),
    /// Where its header begins in the stack's: 0 with an Ethernet header.
    header_start: usize,
    header_end: usize,
    payload: (usize, usize),
    checksum: Option<TxChecksum>,
    gso: Option<Gso>,
}

/// A packet, and where its Ethernet header is: at 0 of the stack's header, or nowhere.
struct Framed {
    outgoing: Outgoing,
    header_start: usize,
}

impl Stack {
    /// Whether [`poll_transmit`](Self::poll_transmit) may give a frame, or take one in that goes to ourselves.
    pub fn has_output(&self) -> bool {
        !self.tx.is_empty() || !self.looped.is_empty() || self.out.has_any()
    }

    /// The next frame to transmit, if any. What goes to ourselves does not come out here: it is taken in again within the
    /// call.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Transmit<'_>> {
        loop {
            if let Some((interface, frame)) = self.looped.pop_front() {
                self.stats.frames_in += 1;
                self.ip_input(now, interface, frame, Arrival::Own);
                continue;
            }
            if let Some(frame) = self.out.framed.pop_front() {
                self.stats.frames_out += 1;
                self.out.put_spare(std::mem::replace(&mut self.current, frame.bytes));
                return Some(Transmit {
                    interface: frame.interface,
                    header: &self.current,
                    payload: NO_PAYLOAD,
                    checksum: frame.checksum,
                    gso: frame.gso,
                });
            }
            // Segments and datagrams take turns, so that neither starves the other.
            let mut next = self.out.pop_control();
            if next.is_none() && (!self.out.segment_next || self.tx.is_empty()) {
                self.out.segment_next = true;
                next = self.out.pop_datagram();
            }
            if let Some(packet) = next {
                self.sent(packet.class, packet.charge());
                if Some(packet.interface) == self.loopback {
                    self.stats.frames_out += 1;
                    self.loop_back(packet.interface, Payload::from(packet.bytes));
                    continue;
                }
                let Some(packet) = self.frame_packet(now, packet) else { continue };
                self.stats.frames_out += 1;
                let framed = packet.header_start == 0;
                self.out.put_spare(std::mem::replace(&mut self.current, packet.outgoing.bytes));
                // What is segmented has all its headers in one piece, as devices want them.
                let (header, payload): (&[u8], &[u8]) = if framed {
                    (&self.header[..ETHERNET_LEN], &self.current)
                } else {
                    (&self.current, &[])
                };
                return Some(Transmit {
                    interface: packet.outgoing.interface,
                    header,
                    payload: [payload, &[], &[], &[]],
                    checksum: packet.outgoing.checksum,
                    gso: packet.outgoing.gso,
                });
            }
            self.out.segment_next = false;
            let Some(mut frame) = self.next_segment(now, None) else {
                // Resolving a neighbour on the way may have queued a question.
                if self.out.has_any() {
                    continue;
                }
                return None;
            };
            if Some(frame.interface) != self.loopback && !self.frame_segment(now, &mut frame) {
                continue;
            }
            self.stats.frames_out += 1;
            if Some(frame.interface) == self.loopback {
                let bytes = self.transmit(&frame).to_vec();
                self.loop_back(frame.interface, Payload::from(bytes));
                continue;
            }
            return Some(self.transmit(&frame));
        }
    }

    /// Gives a packet its Ethernet header, where its interface wants one; nothing when it has to wait or goes nowhere.
    fn frame_packet(&mut self, now: Instant, mut packet: Outgoing) -> Option<Framed> {
        let interface = packet.interface;
        if self.link(interface).is_none() {
            return Some(Framed { outgoing: packet, header_start: ETHERNET_LEN });
        }
        let (src, dst) = addresses_of(&packet.bytes)?;
        match self.framing(now, interface, src, dst) {
            Framing::None => Some(Framed { outgoing: packet, header_start: ETHERNET_LEN }),
            Framing::To(mac) if packet.gso.is_some() => {
                self.send_framed(mac, packet);
                None
            }
            Framing::To(mac) => {
                let header = self.ethernet_header(interface, mac, packet.bytes[0]);
                self.header[..ETHERNET_LEN].copy_from_slice(&header);
                packet.checksum = packet.checksum.map(behind_ethernet);
                Some(Framed { outgoing: packet, header_start: 0 })
            }
            Framing::Wait(next_hop) => {
                self.wait_for(next_hop, packet);
                None
            }
            Framing::Nowhere => {
                self.undeliverable(now, &packet);
                None
            }
        }
    }

    /// Gives a segment its Ethernet header, where its interface wants one; false when it has to wait or goes nowhere.
    fn frame_segment(&mut self, now: Instant, frame: &mut Frame) -> bool {
        let (src, dst) = frame.addresses;
        let framing = self.framing(now, frame.interface, src, dst);
        match framing {
            Framing::None => return true,
            Framing::To(mac) => {
                let first = self.header[ETHERNET_LEN];
                let header = self.ethernet_header(frame.interface, mac, first);
                self.header[..ETHERNET_LEN].copy_from_slice(&header);
                frame.header_start = 0;
                frame.checksum = frame.checksum.map(behind_ethernet);
                return true;
            }
            Framing::Wait(_) | Framing::Nowhere => {}
        }
        let packet = Outgoing {
            interface: frame.interface,
            bytes: self.transmit(frame).to_vec(),
            checksum: frame.checksum,
            gso: frame.gso,
            class: Class::Control,
        };
        match framing {
            Framing::Wait(next_hop) => self.wait_for(next_hop, packet),
            _ => self.undeliverable(now, &packet),
        }
        false
    }

    /// Takes in a packet of our own. Its checksum need not be there.
    pub(super) fn loop_back(&mut self, interface: InterfaceId, data: Payload) {
        if self.looped.len() >= MAX_LOOPED {
            self.stats.ip_out_discards += 1;
            return;
        }
        let frame = RxFrame { checksum: RxChecksum::Trusted, ..RxFrame::new(data) };
        self.looped.push_back((interface, frame));
    }

    /// Queues a datagram that belongs to no connection. `packet` has room for the IP header that `ip` describes, then the
    /// upper layer's bytes; it is sent as it is (RFC 6864 §4.1: atomic, so without an identification) when it fits `mtu`,
    /// else in fragments. False when it had to be dropped, which is counted.
    pub(super) fn send_ip(
        &mut self,
        interface: InterfaceId,
        mtu: usize,
        ip: &IpRepr,
        mut packet: Vec<u8>,
        checksum: Option<TxChecksum>,
        class: Class,
    ) -> bool {
        let header_len = ip.header_len();
        if packet.len() <= mtu {
            ip.emit(&mut packet[..header_len]);
            return self.send_packet(Outgoing {
                interface,
                bytes: packet,
                checksum,
                gso: None,
                class,
            });
        }
        debug_assert!(checksum.is_none(), "no device completes the checksum of fragments");
        let ident = self.idents.next(ip.src, ip.dst, ip.protocol);
        let Some(cuts) = ip.fragments(mtu, ident) else {
            self.stats.ip_frag_fails += 1;
            return false;
        };
        let cuts: Vec<_> = cuts.collect();
        if !self.out.has_room(class, cuts.len(), packet.len()) {
            self.stats.ip_frag_fails += 1;
            self.stats.ip_out_discards += 1;
            return false;
        }
        let fragment_header = ip.fragment_header_len();
        self.stats.ip_frag_oks += 1;
        self.stats.ip_frag_creates += cuts.len() as u64;
        for (fragment, len) in cuts {
            let at = header_len + usize::from(fragment.offset);
            let mut bytes = Vec::with_capacity(fragment_header + len);
            bytes.resize(fragment_header, 0);
            ip.emit_fragment(fragment, len, &mut bytes);
            bytes.extend_from_slice(&packet[at..at + len]);
            self.send_packet(Outgoing { interface, bytes, checksum: None, gso: None, class });
        }
        true
    }

    /// Queues a packet that is complete.
    pub(super) fn send_packet(&mut self, packet: Outgoing) -> bool {
        let fits = self.out.has_room(packet.class, 1, packet.bytes.len());
        if fits {
            match packet.class {
                Class::Udp(id) => {
                    if let Some(socket) = self.udp.get_mut(id) {
                        socket.send_queue += packet.bytes.len();
                    }
                }
                Class::Raw(id) => {
                    if let Some(socket) = self.raws.get_mut(id) {
                        socket.send_queue += packet.bytes.len();
                    }
                }
                Class::Control | Class::Forward => {}
            }
            self.out.push(packet);
        } else {
            self.stats.ip_out_discards += 1;
        }
        fits
    }

    /// Does of `poll_transmit` only what goes to ourselves: for a driver whose devices have no room, and who leaves the
    /// rest where it is.
    pub fn poll_loopback(&mut self, now: Instant) {
        let Some(loopback) = self.loopback else { return };
        loop {
            if let Some((interface, frame)) = self.looped.pop_front() {
                self.stats.frames_in += 1;
                self.ip_input(now, interface, frame, Arrival::Own);
            } else if let Some(packet) = self.out.pop_to(loopback) {
                self.stats.frames_out += 1;
                self.sent(packet.class, packet.charge());
                self.loop_back(loopback, Payload::from(packet.bytes));
            } else {
                let next = self.tx.iter().position(|id| {
                    self.connections.get(*id).is_some_and(|conn| conn.path.interface == loopback)
                });
                let Some(id) = next.and_then(|at| self.tx.remove(at)) else { return };
                self.tx.push_front(id);
                self.tx_burst = 0;
                while let Some(frame) = self.next_segment(now, Some(loopback)) {
                    self.stats.frames_out += 1;
                    let bytes = self.transmit(&frame).to_vec();
                    self.loop_back(loopback, Payload::from(bytes));
                }
            }
        }
    }

    /// The next segment of a connection, its headers written to `self.header`; where `only` is given, of the connection
    /// whose turn it is, if it is on that interface.
    fn next_segment(&mut self, now: Instant, only: Option<InterfaceId>) -> Option<Frame> {
        loop {
            let id = *self.tx.front()?;
            let memory = self.memory();
            let Some(conn) = self.connections.get_mut(id) else {
                self.tx.pop_front();
                self.tx_burst = 0;
                continue;
            };
            if only.is_some_and(|interface| interface != conn.path.interface) {
                return None;
            }
            let mut ctx = ctx!(self, now, id, memory);
            let Some(built) = conn.poll(&mut ctx) else {
                conn.tx_queued = false;
                self.tx.pop_front();
                self.tx_burst = 0;
                // Its timers may have been set by what it sent.
                self.settle(now, id, false);
                continue;
            };
            let spent = conn.is_spent(&mut ctx);
            conn.tx_queued = !spent;
            self.tx_burst += 1;
            if spent || self.tx_burst >= BURST {
                self.tx_burst = 0;
                self.tx.pop_front();
                if !spent {
                    self.tx.push_back(id);
                }
            }
            let (tuple, path) = (conn.tuple, conn.path);
            let (traffic_class, hop_limit) =
                (conn.options.traffic_class & !0b11 | built.ecn, conn.options.hop_limit);
            let interface = self.interfaces.get(path.interface);
            let offload = interface.map(|i| i.config.offload);
            // As `hop_limit`, whose borrow would be of the whole stack.
            let hop_limit = interface
                .filter(|_| tuple.remote.is_ipv6() && hop_limit == self.default_options.hop_limit)
                .and_then(|i| i.link.as_deref()?.hop_limit)
                .unwrap_or(hop_limit)
                // RFC 1122 §3.2.1.7.
                .max(1);
            let tcp_len = built.header.header_len();
            let data_len = built.payload.1;
            // RFC 9293 §3.9.1.1 MUST-45, §3.9.2 MUST-49, §3.9.1.9 SHLD-22.
            let ip = IpRepr {
                src: tuple.local,
                dst: tuple.remote,
                protocol: Protocol::TCP,
                hop_limit,
                traffic_class,
                // RFC 6864 §4.1: atomic datagrams need no identification.
                ident: 0,
                dont_fragment: true,
                flow_label: 0,
                payload_len: tcp_len + data_len,
            };
            let ip_len = ip.header_len();
            let header = &mut self.header[ETHERNET_LEN..];
            ip.emit(&mut header[..ip_len]);
            let tcp_header = &mut header[ip_len..ip_len + tcp_len];
            built.header.emit(tcp_header);
            let by_device = offload.is_some_and(|o| o.tx_checksum);
            let gso = data_len > usize::from(built.mss) && data_len > 0;
            if by_device {
                Repr::fill_partial_checksum(
                    tcp_header,
                    tcp_len + data_len,
                    tuple.local,
                    tuple.remote,
                );
            } else if !gso {
                let payload = conn.payload(built.payload);
                Repr::fill_checksum(tcp_header, &payload, tuple.local, tuple.remote);
            }
            let frame = Frame {
                id,
                interface: path.interface,
                addresses: (tuple.local, tuple.remote),
                header_start: ETHERNET_LEN,
                header_end: ETHERNET_LEN + ip_len + tcp_len,
                payload: built.payload,
                checksum: by_device.then_some(TxChecksum {
                    start: ip_len as u16,
                    offset: wire::CHECKSUM_OFFSET as u16,
                }),
                gso: gso.then_some(Gso {
                    kind: if tuple.local.is_ipv6() { GsoKind::Tcp6 } else { GsoKind::Tcp4 },
                    size: built.mss,
                }),
            };
            if spent {
                // As behind the last poll.
                self.settle(now, id, false);
            }
            return Some(frame);
        }
    }

    fn transmit(&self, frame: &Frame) -> Transmit<'_> {
        Transmit {
            interface: frame.interface,
            header: &self.header[frame.header_start..frame.header_end],
            payload: self
                .connections
                .get(frame.id)
                .map_or(NO_PAYLOAD, |conn| conn.payload(frame.payload)),
            checksum: frame.checksum,
            gso: frame.gso,
        }
    }

    /// Answers a segment with a RST (RFC 9293 §3.5.2, group 1; §3.10.7.1).
    pub(super) fn refuse(
        &mut self,
        interface: InterfaceId,
        tuple: &Tuple,
        header: &Repr,
        len: u32,
    ) {
        if header.flags.contains(Flags::RST) {
            return;
        }
        let mut reset = Repr { flags: Flags::RST, ..Repr::default() };
        if header.flags.contains(Flags::ACK) {
            reset.seq = header.ack;
        } else {
            reset.flags |= Flags::ACK;
            reset.ack = header.seq + len;
        }
        self.stats.tcp_out_rsts += 1;
        self.send_bare(interface, tuple, reset, self.default_options.hop_limit, 0);
    }

    /// A RST of a connection of ours.
    pub(super) fn send_reset_of(&mut self, now: Instant, id: SocketId) {
        let Some(conn) = self.connections.get(id) else { return };
        let (seq, ack) = conn.reset_numbers();
        let (tuple, interface) = (conn.tuple, conn.path.interface);
        // RFC 9293 §3.9.1.9 MUST-48, SHLD-22, §3.9.2 MUST-49: as on its other segments.
        let (hop_limit, traffic_class) =
            (conn.options.hop_limit, conn.options.traffic_class & !0b11);
        let mut reset = Repr { seq, flags: Flags::RST, ..Repr::default() };
        if let Some(ack) = ack {
            reset.flags |= Flags::ACK;
            reset.ack = ack;
        }
        // RFC 7323 §3.2: a RST may carry them too; Linux's do, and a peer that checks them believes it the more.
        reset.options.timestamps = conn.reset_timestamps(now);
        self.stats.tcp_out_rsts += 1;
        self.send_bare(interface, &tuple, reset, hop_limit, traffic_class);
    }

    /// A segment without data that belongs to no connection.
    pub(super) fn send_bare(
        &mut self,
        interface: InterfaceId,
        tuple: &Tuple,
        mut header: Repr,
        hop_limit: u8,
        traffic_class: u8,
    ) {
        header.src_port = tuple.local_port;
        header.dst_port = tuple.remote_port;
        let hop_limit = self.hop_limit(interface, tuple.remote.is_ipv6(), hop_limit).max(1);
        let tcp_len = header.header_len();
        let ip = IpRepr {
            src: tuple.local,
            dst: tuple.remote,
            protocol: Protocol::TCP,
            hop_limit,
            traffic_class,
            ident: 0,
            dont_fragment: true,
            flow_label: 0,
            payload_len: tcp_len,
        };
        let ip_len = ip.header_len();
        let mut bytes = vec![0; ip_len + tcp_len];
        let (ip_header, tcp_header) = bytes.split_at_mut(ip_len);
        ip.emit(ip_header);
        header.emit(tcp_header);
        Repr::fill_checksum(tcp_header, &[], tuple.local, tuple.remote);
        let class = Class::Control;
        self.send_packet(Outgoing { interface, bytes, checksum: None, gso: None, class });
    }
}
