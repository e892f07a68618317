//! Frames in: validated, checked against our addresses, and handed to the connection, the listener, or the refusal.

use std::sync::Arc;

use usernet_wire::ip::{Packet, Protocol};
use usernet_wire::merged::Merged;
use usernet_wire::tcp::{Flags, Repr};
use usernet_wire::{Error, SeqNumber, ndp};

use super::address::Delivery;
use super::icmp::Complaint;
use super::{Stack, ctx};
use crate::config::SocketOptions;
use crate::event::{ListenerId, SocketId};
use crate::frame::{RxChecksum, RxFrame};
use crate::interface::InterfaceId;
use crate::payload::Payload;
use crate::tcp::{Connection, Grant, Owner, Segment, Tuple, Verdict};
use crate::time::Instant;
use crate::udp::Datagram;

/// How a packet came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// We sent it ourselves.
    Own,
    /// The link brought it to us.
    ToUs,
    /// The link brought it to a group or to everybody.
    ToMany,
}

fn is_ndp(packet: &Packet, frame: &RxFrame) -> bool {
    packet.protocol == Protocol::ICMPV6
        && frame.data.get(packet.payload_offset).is_some_and(|kind| ndp::KINDS.contains(kind))
}

/// Reassembled segments that wait for the driver to take them; further ones are lost.
const MAX_ASIDE: usize = 64;

impl Stack {
    /// A TCP segment that was put together from fragments which that interface received, as one IP packet; with
    /// [`Config::tcp_aside`](crate::Config::tcp_aside) alone. A driver asks after it handed frames over.
    pub fn take_aside(&mut self) -> Option<(InterfaceId, Payload)> {
        self.aside.pop_front()
    }

    /// Takes a frame that `interface` received. What is malformed, or not for us, is counted and dropped.
    pub fn handle_frame(&mut self, now: Instant, interface: InterfaceId, frame: RxFrame) {
        let merged = u64::from(frame.merged);
        self.stats.frames_in += 1 + merged;
        self.stats.tcp_in_coalesced += merged;
        if self.interfaces.get(interface).is_some_and(|i| !i.up) {
            self.stats.link_in_filtered += 1;
            return;
        }
        if self.interfaces.get(interface).is_some_and(|i| i.bridged.is_some()) {
            return self.bridge_input(now, interface, &frame);
        }
        match self.link(interface).map(|link| link.mac) {
            Some(mac) => self.ethernet_input(now, interface, mac, frame),
            None => self.ip_input(now, interface, frame, Arrival::ToUs),
        }
    }

    /// Takes an IP packet.
    pub(super) fn ip_input(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        frame: RxFrame,
        arrival: Arrival,
    ) {
        let packet = match Packet::parse(&frame.data) {
            Ok(packet) => packet,
            Err(error) => return self.malformed(now, interface, &frame.data, error),
        };
        let own = arrival == Arrival::Own;
        if frame.gso_size != 0 && packet.protocol == Protocol::UDP {
            match frame.merged(&packet, 0) {
                Ok(None) => {}
                Ok(Some(merged)) => {
                    return self.merged_input(now, interface, &packet, &frame, arrival, &merged);
                }
                Err(error) => return self.udp_malformed(error),
            }
        }
        self.count_mark(&packet, 1 + u64::from(frame.merged));
        let delivery = self.delivery(interface, packet.src, packet.dst, own);
        match delivery {
            Delivery::Drop => {
                if !self.heard_as_ourselves(now, interface, &packet, &frame) {
                    self.stats.ip_in_addr_errors += 1;
                }
            }
            // RFC 1122 §3.3.6: what was sent to many by the link is for many by its address, or a mistake.
            Delivery::Unicast | Delivery::Forward if arrival == Arrival::ToMany => {
                self.stats.ip_in_addr_errors += 1;
            }
            Delivery::Forward => self.forward(now, interface, &packet, &frame),
            _ if packet.fragment.is_some() => {
                let whole =
                    self.reassembler.insert(now, interface, &packet, &frame.data, &mut self.stats);
                let Some(whole) = whole else { return };
                let frame = RxFrame::new(whole);
                match Packet::parse(&frame.data) {
                    // Nobody cuts fragments again but who wants to hide something.
                    Ok(packet) if packet.fragment.is_some() => self.stats.ip_frag_drops += 1,
                    // RFC 6980 §5: neighbour discovery in fragments is an attempt to get past a guard.
                    Ok(packet) if is_ndp(&packet, &frame) => self.stats.nd_in_errors += 1,
                    Ok(packet) if packet.protocol == Protocol::TCP && self.config.tcp_aside => {
                        if self.aside.len() < MAX_ASIDE {
                            self.aside.push_back((interface, frame.data));
                        }
                    }
                    Ok(packet) => self.upper_input(now, interface, &packet, frame, delivery),
                    Err(error) => self.malformed(now, interface, &frame.data, error),
                }
            }
            _ => self.upper_input(now, interface, &packet, frame, delivery),
        }
    }

    /// Takes datagrams that a device merged: all with one look at whose they are, where nobody wants to see packets; else, and
    /// where nobody takes them, one by one as they were sent.
    fn merged_input(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        packet: &Packet,
        frame: &RxFrame,
        arrival: Arrival,
        merged: &Merged,
    ) {
        let count = merged.count() as u64;
        let delivery = self.delivery(interface, packet.src, packet.dst, arrival == Arrival::Own);
        let ours = match delivery {
            Delivery::Unicast => arrival != Arrival::ToMany && !self.holds(interface),
            Delivery::Multicast | Delivery::Broadcast => true,
            Delivery::Forward | Delivery::Drop => false,
        };
        if ours && !self.has_raw_socket(Protocol::UDP) {
            let payload = frame.data.slice(merged.data());
            let datagram = Datagram::new(interface, packet, &merged.header, payload);
            if self.udp_take(now, datagram, delivery, merged.size()) {
                self.stats.udp_in_merged += count - 1;
                self.count_mark(packet, count);
                return;
            }
        }
        for index in 0..merged.count() {
            let mut bytes = vec![0; merged.len(index)];
            merged.write(&frame.data, index, &mut bytes);
            let data = Payload::passing(bytes);
            let frame = RxFrame { checksum: RxChecksum::Trusted, ..RxFrame::new(data) };
            self.ip_input(now, interface, frame, arrival);
        }
    }

    /// Counts packets by their ECN field.
    fn count_mark(&mut self, packet: &Packet, packets: u64) {
        let marks = [
            &mut self.stats.ip_in_no_ect_pkts,
            &mut self.stats.ip_in_ect1_pkts,
            &mut self.stats.ip_in_ect0_pkts,
            &mut self.stats.ip_in_ce_pkts,
        ];
        *marks[usize::from(packet.traffic_class & 0b11)] += packets;
    }

    /// Takes an advertisement from an address of ours: it is how another station says that it has it.
    fn heard_as_ourselves(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        packet: &Packet,
        frame: &RxFrame,
    ) -> bool {
        let claims = self.link(interface).is_some()
            && packet.fragment.is_none()
            && is_ndp(packet, frame)
            && self.is_for_us(interface, packet.src)
            && (self.is_for_us(interface, packet.dst) || self.listens_to(interface, packet.dst));
        if claims {
            self.icmp_input(now, interface, packet, frame.clone(), Delivery::Multicast);
        }
        claims
    }

    /// Takes a whole packet that is for us to its protocol.
    fn upper_input(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        packet: &Packet,
        frame: RxFrame,
        delivery: Delivery,
    ) {
        let taken = self.raw_input(interface, packet, &frame);
        match packet.protocol {
            // RFC 9293 §3.9.2.3 MUST-57: no connections with groups.
            Protocol::TCP if delivery == Delivery::Unicast => {
                self.tcp_input(now, interface, packet, frame);
            }
            Protocol::TCP => self.stats.ip_in_addr_errors += 1,
            Protocol::UDP => self.udp_input(now, interface, packet, frame, delivery),
            Protocol::ICMP if packet.dst.is_ipv4() => {
                self.icmp_input(now, interface, packet, frame, delivery);
            }
            Protocol::ICMPV6 if packet.dst.is_ipv6() => {
                self.icmp_input(now, interface, packet, frame, delivery);
            }
            Protocol::IGMP if packet.dst.is_ipv4() => {
                self.igmp_input(now, interface, packet, &frame);
            }
            _ if taken => {}
            // RFC 8200 §4.7: nothing follows, and nothing is wrong.
            Protocol::NONE if packet.dst.is_ipv6() => {}
            _ => {
                self.stats.ip_in_unknown_protos += 1;
                let complaint = Complaint::UnknownProtocol { pointer: packet.next_header_offset };
                self.complain(now, interface, &frame.data, complaint);
            }
        }
    }

    /// A packet that does not parse: some faults are owed an answer (RFC 8200 §4.2, RFC 1122 §3.2.2.5).
    fn malformed(&mut self, now: Instant, interface: InterfaceId, bytes: &[u8], error: Error) {
        self.stats.ip_in_hdr_errors += 1;
        if let Error::ParameterProblem { code, pointer, even_if_multicast } = error {
            let complaint = Complaint::ParameterProblem { code, pointer, even_if_multicast };
            self.complain(now, interface, bytes, complaint);
        }
    }

    fn tcp_input(&mut self, now: Instant, interface: InterfaceId, packet: &Packet, frame: RxFrame) {
        let RxFrame { mut data, checksum, gso_size, merged } = frame;
        self.stats.tcp_in_segs += 1 + u64::from(merged);
        data.narrow(packet.payload_offset..packet.payload_offset + packet.payload_len);
        let trusted = checksum == RxChecksum::Trusted;
        let (header, header_len) = match Repr::parse(&data, packet.src, packet.dst, trusted) {
            Ok(parsed) => parsed,
            Err(error) => {
                self.stats.tcp_in_errs += 1;
                if error == Error::BadChecksum {
                    self.stats.tcp_in_csum_errors += 1;
                }
                return;
            }
        };
        data.narrow(header_len..data.len());
        let tuple = Tuple {
            local: packet.dst,
            remote: packet.src,
            local_port: header.dst_port,
            remote_port: header.src_port,
        };
        let ecn = packet.traffic_class & 0b11;
        let segment = Segment { header, payload: data, gso_size, ecn };
        match self.table.find(&self.connections, &tuple) {
            Some(id) => self.tcp_segment(now, interface, id, tuple, segment),
            None => self.tcp_unknown(now, interface, tuple, &segment, None),
        }
    }

    /// A segment of a connection that we have.
    pub(super) fn tcp_segment(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        id: SocketId,
        tuple: Tuple,
        segment: Segment,
    ) {
        let conn = &self.connections[id];
        // The last step of a handshake waits while nobody accepts: the peer retransmits, nothing is lost.
        if let Some(listener) = conn.half_open_of
            && self.listeners.get(listener).is_some_and(super::Listener::is_full)
            && conn.completes_handshake(&segment)
        {
            self.stats.listen_overflows += 1;
            return;
        }
        // What a RST is made from, and a new connection: that takes a SYN.
        let Repr { flags, seq, ack, .. } = segment.header;
        let len = segment.len();
        let syn = segment.has(Flags::SYN).then(|| (segment.header.clone(), conn.reset_numbers().0));
        let acked = conn.bytes_acked();
        let verdict = self.with(now, id, |conn, ctx| conn.on_segment(ctx, segment));
        let progress = self.connections.get(id).filter(|conn| conn.bytes_acked() != acked);
        if let Some(through) = progress.map(|conn| conn.path.interface) {
            self.confirm_reachable(now, through, tuple.remote);
        }
        match (verdict, syn) {
            (Some(Verdict::Reset), _) => {
                let header = Repr { flags, seq, ack, ..Repr::default() };
                self.refuse(interface, &tuple, &header, len);
            }
            // Only for a listener that takes it: a SYN that opens nothing ends nothing either, and is acknowledged.
            (Some(Verdict::Reopen), _) if !self.would_listen(interface, &tuple) => {
                self.with(now, id, |conn, _| conn.acknowledge());
            }
            (Some(Verdict::Reopen), Some((header, nxt))) => {
                self.with(now, id, Connection::finish_abort);
                // If the application still holds the old one, its id stays, but the ends are free.
                let payload = Payload::from(Vec::new());
                let syn = Segment { header, payload, gso_size: 0, ecn: 0 };
                self.tcp_unknown(now, interface, tuple, &syn, Some(nxt));
            }
            (Some(Verdict::Done | Verdict::Reopen) | None, _) => {}
        }
    }

    /// A segment of no connection (RFC 9293 §3.10.7.1, §3.10.7.2). `after` is SND.NXT of a connection whose TIME-WAIT
    /// just made way.
    fn tcp_unknown(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        tuple: Tuple,
        segment: &Segment,
        after: Option<SeqNumber>,
    ) {
        let listener = self.listener_for(tuple.local, tuple.local_port);
        if self.tcp_flow_input(now, interface, &tuple, segment, listener) || segment.has(Flags::RST)
        {
            return;
        }
        match listener {
            // LISTEN: second, an ACK is refused; third, a SYN is taken.
            Some(id) if segment.has(Flags::SYN) && !segment.has(Flags::ACK) => {
                // A SYN with FIN is no way to begin (RFC 9293 §3.10.7.2 leaves it open; Linux drops it).
                if !segment.has(Flags::FIN) {
                    self.tcp_passive_open(now, interface, tuple, segment, id, after);
                }
            }
            Some(_) if !segment.has(Flags::ACK) => {}
            Some(id) if self.take_cookie(now, interface, tuple, segment, id) => {}
            _ => self.refuse(interface, &tuple, &segment.header, segment.len()),
        }
    }

    /// Whether a SYN between these ends would be taken now, or held for a decision.
    fn would_listen(&self, interface: InterfaceId, tuple: &Tuple) -> bool {
        match self.listener_for(tuple.local, tuple.local_port) {
            Some(id) => !self.listeners[id].is_full(),
            None => self.holds(interface),
        }
    }

    /// A SYN that a listener takes.
    pub(super) fn tcp_passive_open(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        tuple: Tuple,
        syn: &Segment,
        listener_id: ListenerId,
        after: Option<SeqNumber>,
    ) {
        let listener = &self.listeners[listener_id];
        // What takes the place of a connection in TIME-WAIT adds nothing, and its number must lie above the old ones.
        let replaces = after.is_some();
        let cookie = !replaces && self.wants_cookie(listener_id);
        if listener.is_full()
            || self.connections.len() >= self.config.max_connections
            || (!replaces && !cookie && listener.syn_queue_full(&self.config))
        {
            // Dropped, so that the peer tries again when there is room.
            self.stats.listen_drops += 1;
            return;
        }
        if cookie {
            return self.send_cookie(now, interface, tuple, syn, listener_id);
        }
        let options = Arc::clone(&listener.options);
        let grant = self.fast_open_grant(now, &tuple, syn, options.fast_open, listener_id);
        let owner = Owner::Listener(listener_id);
        // RFC 9293 §3.6.1: above what the connection before it used.
        let iss = after.map(|nxt| nxt + 65_537);
        if grant.open {
            let id = self.open_passively(now, interface, tuple, syn, options, owner, iss, grant);
            self.fast_open_accepted(id, listener_id);
        } else {
            self.listeners[listener_id].half_open += 1;
            self.open_passively(now, interface, tuple, syn, options, owner, iss, grant);
        }
    }

    /// Answers a SYN: a listener's connection, or one that a program accepted itself. `iss` is our initial sequence number
    /// when it is not free to choose.
    pub(super) fn open_passively(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        tuple: Tuple,
        syn: &Segment,
        options: Arc<SocketOptions>,
        owner: Owner,
        iss: Option<SeqNumber>,
        grant: Grant,
    ) -> SocketId {
        let iss = iss.unwrap_or_else(|| self.initial_sequence_number(now, &tuple));
        let ts_offset = self.timestamp_offset(&tuple);
        let path = self.path_to(now, interface, tuple.remote);
        let listener = match owner {
            Owner::Listener(id) => id,
            Owner::Application | Owner::Orphan => ListenerId::default(),
        };
        let memory = self.memory();
        let id = self.connections.insert_with_key(|id| {
            let mut ctx = ctx!(self, now, id, memory);
            Box::new(Connection::accept(
                &mut ctx, tuple, options, path, iss, ts_offset, listener, syn, grant,
            ))
        });
        if owner == Owner::Application {
            let conn = &mut self.connections[id];
            conn.owner = owner;
            conn.half_open_of = None;
        }
        self.enter_table(now, id);
        id
    }
}
