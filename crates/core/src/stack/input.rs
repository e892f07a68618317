//! Frames in: validated, checked against our addresses, and handed to the connection, the listener, or the refusal.

use std::net::IpAddr;
use std::sync::Arc;

use usernet_wire::ip::{Packet, Protocol};
use usernet_wire::tcp::{Flags, Repr};
use usernet_wire::{Error, SeqNumber};

use super::Stack;
use super::icmp::Complaint;
use crate::event::{ListenerId, SocketId};
use crate::frame::{RxChecksum, RxFrame};
use crate::interface::{InterfaceId, is_unicast};
use crate::tcp::{Connection, Ctx, Segment, Tuple, Verdict};
use crate::time::Instant;

impl Stack {
    /// Takes a frame that `interface` received. What is malformed, or not for us, is counted and dropped.
    pub fn handle_frame(&mut self, now: Instant, interface: InterfaceId, frame: RxFrame) {
        self.stats.frames_in += 1;
        let packet = match Packet::parse(&frame.data) {
            Ok(packet) => packet,
            Err(error) => {
                self.stats.ip_in_hdr_errors += 1;
                self.malformed(now, interface, &frame.data, error);
                return;
            }
        };
        if !self.is_acceptable(interface, packet.src, packet.dst) {
            self.stats.ip_in_addr_errors += 1;
            return;
        }
        if packet.fragment.is_some() {
            self.stats.ip_frag_drops += 1;
            return;
        }
        match packet.protocol {
            Protocol::TCP => self.tcp_input(now, interface, &packet, frame),
            Protocol::ICMP if packet.dst.is_ipv4() => {
                self.icmp_input(now, interface, &packet, frame);
            }
            Protocol::ICMPV6 if packet.dst.is_ipv6() => {
                self.icmp_input(now, interface, &packet, frame);
            }
            protocol => {
                self.stats.ip_in_unknown_protos += 1;
                let complaint = if protocol == Protocol::UDP {
                    Complaint::PortUnreachable
                } else {
                    Complaint::UnknownProtocol { pointer: packet.next_header_offset }
                };
                self.complain(now, interface, &frame.data, complaint);
            }
        }
    }

    /// A packet that does not parse: some faults are owed an answer (RFC 8200 §4.2, RFC 1122 §3.2.2.5).
    fn malformed(&mut self, now: Instant, interface: InterfaceId, bytes: &[u8], error: Error) {
        if let Error::ParameterProblem { code, pointer, .. } = error {
            self.complain(now, interface, bytes, Complaint::ParameterProblem { code, pointer });
        }
    }

    /// Whether the addresses of a packet can be right: it is for us, and from a host other than us (RFC 1122 §3.2.1.3).
    pub(super) fn is_acceptable(&self, interface: InterfaceId, src: IpAddr, dst: IpAddr) -> bool {
        let from_outside = self.loopback != Some(interface);
        let spoofed =
            from_outside && (src.is_loopback() || dst.is_loopback() || self.is_local(src));
        self.is_for_us(interface, dst) && is_unicast(src) && !self.is_broadcast(src) && !spoofed
    }

    fn tcp_input(&mut self, now: Instant, interface: InterfaceId, packet: &Packet, frame: RxFrame) {
        self.stats.tcp_in_segs += 1;
        let RxFrame { mut data, checksum, gso_size } = frame;
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
        let segment = Segment { header, payload: data, gso_size };
        match self.table.get(&tuple) {
            Some(&id) => self.tcp_segment(now, interface, id, tuple, segment),
            None => self.tcp_unknown(now, interface, tuple, &segment, None),
        }
    }

    /// A segment of a connection that we have.
    fn tcp_segment(
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
        // What a RST or a new connection is made from.
        let header = segment.header.clone();
        let len = segment.len();
        let (numbers, _) = conn.reset_numbers();
        let mut segment = Some(segment);
        let verdict = self.with(now, id, |conn, ctx| {
            // TIME-WAIT gives a SYN back that may open the connection anew; nothing else needs the segment again.
            let segment = segment.take()?;
            Some(conn.on_segment(ctx, segment))
        });
        match verdict.flatten() {
            Some(Verdict::Reset) => self.refuse(interface, &tuple, &header, len),
            // Only for a listener that takes it: a SYN that opens nothing ends nothing either, and is acknowledged.
            Some(Verdict::Reopen) if !self.would_listen(&tuple) => {
                self.with(now, id, |conn, _| conn.acknowledge());
            }
            Some(Verdict::Reopen) => {
                self.with(now, id, Connection::finish_abort);
                // If the application still holds the old one, its id stays, but the ends are free.
                let syn =
                    Segment { header, payload: crate::Payload::from(Vec::new()), gso_size: 0 };
                self.tcp_unknown(now, interface, tuple, &syn, Some(numbers));
            }
            Some(Verdict::Done) | None => {}
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
        if segment.has(Flags::RST) {
            return;
        }
        let listener = self.listener_for(tuple.local, tuple.local_port);
        match listener {
            // LISTEN: second, an ACK is refused; third, a SYN is taken.
            Some(id) if segment.has(Flags::SYN) && !segment.has(Flags::ACK) => {
                // A SYN with FIN is no way to begin (RFC 9293 §3.10.7.2 leaves it open; Linux drops it).
                if !segment.has(Flags::FIN) {
                    self.tcp_passive_open(now, interface, tuple, segment, id, after);
                }
            }
            Some(_) if !segment.has(Flags::ACK) => {}
            _ => self.refuse(interface, &tuple, &segment.header, segment.len()),
        }
    }

    /// Whether a SYN between these ends would be taken now.
    fn would_listen(&self, tuple: &Tuple) -> bool {
        self.listener_for(tuple.local, tuple.local_port).is_some_and(|id| {
            let listener = &self.listeners[id];
            !listener.is_full() && listener.half_open < listener.max_half_open()
        })
    }

    fn tcp_passive_open(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        tuple: Tuple,
        syn: &Segment,
        listener_id: ListenerId,
        after: Option<SeqNumber>,
    ) {
        let listener = &self.listeners[listener_id];
        if listener.is_full()
            || listener.half_open >= listener.max_half_open()
            || self.connections.len() >= self.config.max_connections
        {
            // Dropped, so that the peer tries again when there is room.
            self.stats.listen_drops += 1;
            return;
        }
        let options = Arc::clone(&listener.options);
        // RFC 9293 §3.6.1: above what the connection before it used.
        let iss = match after {
            Some(nxt) => nxt + 65_537,
            None => self.initial_sequence_number(now, &tuple),
        };
        let ts_offset = self.timestamp_offset(&tuple);
        let path = self.path(interface, tuple.local.is_ipv6());
        let (stats, trace) = (&mut self.stats, &mut self.trace);
        let time_wait = self.config.time_wait;
        let id = self.connections.insert_with_key(|id| {
            let mut ctx = Ctx { now, id, stats, trace, time_wait, pressure: false };
            Box::new(Connection::accept(
                &mut ctx,
                tuple,
                options,
                path,
                iss,
                ts_offset,
                listener_id,
                syn,
            ))
        });
        self.listeners[listener_id].half_open += 1;
        self.enter_table(now, id, tuple);
    }
}
