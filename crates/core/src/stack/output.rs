//! Frames out: segments of connections, RSTs, and what goes to ourselves.

use usernet_wire::ip::{Protocol, Repr as IpRepr};
use usernet_wire::tcp::{self as wire, Flags, Repr};

use super::Stack;
use crate::event::SocketId;
use crate::frame::{Gso, GsoKind, RxChecksum, RxFrame, Transmit, TxChecksum};
use crate::interface::InterfaceId;
use crate::payload::Payload;
use crate::tcp::{Ctx, Tuple};
use crate::time::Instant;

/// Segments of one connection in a row before the next connection has its turn.
const BURST: u32 = 16;

/// Packets without a connection that may wait to be transmitted; further ones are dropped and counted.
const MAX_CONTROL: usize = 1024;

/// Frames to ourselves that may wait; further ones are dropped and counted, and TCP sends them again.
const MAX_LOOPED: usize = 4096;

/// A packet of no connection, ready to go.
#[derive(Debug)]
pub(super) struct Control {
    interface: InterfaceId,
    bytes: Vec<u8>,
}

/// Where the pieces of a built frame lie.
struct Frame {
    id: SocketId,
    interface: InterfaceId,
    header_len: usize,
    payload: (usize, usize),
    checksum: Option<TxChecksum>,
    gso: Option<Gso>,
}

impl Stack {
    /// The next frame to transmit, if any. What goes to ourselves does not come out here: it is taken in again within the
    /// call.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Transmit<'_>> {
        loop {
            if let (Some(frame), Some(lo)) = (self.looped.pop_front(), self.loopback) {
                self.handle_frame(now, lo, frame);
                continue;
            }
            if let Some(control) = self.control.pop_front() {
                self.stats.frames_out += 1;
                if Some(control.interface) == self.loopback {
                    self.loop_back(Payload::from(control.bytes));
                    continue;
                }
                self.current = control.bytes;
                return Some(Transmit {
                    interface: control.interface,
                    header: &self.current,
                    payload: [&[], &[]],
                    checksum: None,
                    gso: None,
                });
            }
            let frame = self.next_segment(now)?;
            self.stats.frames_out += 1;
            if Some(frame.interface) == self.loopback {
                let bytes = self.transmit(&frame).to_vec();
                self.loop_back(Payload::from(bytes));
                continue;
            }
            return Some(self.transmit(&frame));
        }
    }

    fn loop_back(&mut self, data: Payload) {
        if self.looped.len() >= MAX_LOOPED {
            self.stats.ip_out_discards += 1;
            return;
        }
        self.looped.push_back(RxFrame { data, checksum: RxChecksum::Trusted, gso_size: 0 });
    }

    /// The next segment of a connection, its headers written to `self.header`.
    fn next_segment(&mut self, now: Instant) -> Option<Frame> {
        loop {
            let id = *self.tx.front()?;
            let Some(conn) = self.connections.get_mut(id) else {
                self.tx.pop_front();
                self.tx_burst = 0;
                continue;
            };
            let mut ctx = Ctx {
                now,
                id,
                pressure: self.stats.receive_memory >= self.config.max_receive_memory as u64,
                time_wait: self.config.time_wait,
                stats: &mut self.stats,
                trace: &mut self.trace,
            };
            let Some(built) = conn.poll(&mut ctx) else {
                conn.tx_queued = false;
                self.tx.pop_front();
                self.tx_burst = 0;
                // Its timers may have been set by what it sent.
                self.settle(now, id, false);
                continue;
            };
            self.tx_burst += 1;
            if self.tx_burst >= BURST {
                self.tx_burst = 0;
                self.tx.pop_front();
                self.tx.push_back(id);
            }
            let (tuple, path) = (conn.tuple, conn.path);
            let (traffic_class, hop_limit) = (conn.options.traffic_class, conn.options.hop_limit);
            let offload = self.interfaces.get(path.interface).map(|i| i.config.offload);
            let tcp_len = built.header.header_len();
            let data_len = built.payload.1;
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
            ip.emit(&mut self.header[..ip_len]);
            let tcp_header = &mut self.header[ip_len..ip_len + tcp_len];
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
            } else {
                let payload = conn.payload(built.payload);
                Repr::fill_checksum(tcp_header, &payload, tuple.local, tuple.remote);
            }
            return Some(Frame {
                id,
                interface: path.interface,
                header_len: ip_len + tcp_len,
                payload: built.payload,
                checksum: by_device.then_some(TxChecksum {
                    start: ip_len as u16,
                    offset: wire::CHECKSUM_OFFSET as u16,
                }),
                gso: gso.then_some(Gso {
                    kind: if tuple.local.is_ipv6() { GsoKind::Tcp6 } else { GsoKind::Tcp4 },
                    size: built.mss,
                }),
            });
        }
    }

    fn transmit(&self, frame: &Frame) -> Transmit<'_> {
        Transmit {
            interface: frame.interface,
            header: &self.header[..frame.header_len],
            payload: self
                .connections
                .get(frame.id)
                .map_or([&[], &[]], |conn| conn.payload(frame.payload)),
            checksum: frame.checksum,
            gso: frame.gso,
        }
    }

    /// Queues a packet that belongs to no connection.
    pub(super) fn send_control(&mut self, interface: InterfaceId, bytes: Vec<u8>) {
        if self.control.len() >= MAX_CONTROL {
            self.stats.ip_out_discards += 1;
            return;
        }
        self.control.push_back(Control { interface, bytes });
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
        self.send_reset(interface, tuple, reset);
    }

    /// A RST of a connection of ours.
    pub(super) fn send_reset_of(&mut self, now: Instant, id: SocketId) {
        let Some(conn) = self.connections.get(id) else { return };
        let (seq, ack) = conn.reset_numbers();
        let (tuple, interface) = (conn.tuple, conn.path.interface);
        let mut reset = Repr { seq, flags: Flags::RST, ..Repr::default() };
        if let Some(ack) = ack {
            reset.flags |= Flags::ACK;
            reset.ack = ack;
        }
        // RFC 7323 §3.2: a RST may carry them too; Linux's do, and a peer that checks them believes it the more.
        reset.options.timestamps = conn.reset_timestamps(now);
        self.send_reset(interface, &tuple, reset);
    }

    fn send_reset(&mut self, interface: InterfaceId, tuple: &Tuple, mut reset: Repr) {
        self.stats.tcp_out_rsts += 1;
        reset.src_port = tuple.local_port;
        reset.dst_port = tuple.remote_port;
        let tcp_len = reset.header_len();
        let ip = IpRepr {
            src: tuple.local,
            dst: tuple.remote,
            protocol: Protocol::TCP,
            hop_limit: self.default_options.hop_limit,
            traffic_class: 0,
            ident: 0,
            dont_fragment: true,
            flow_label: 0,
            payload_len: tcp_len,
        };
        let ip_len = ip.header_len();
        let mut bytes = vec![0; ip_len + tcp_len];
        let (ip_header, tcp_header) = bytes.split_at_mut(ip_len);
        ip.emit(ip_header);
        reset.emit(tcp_header);
        Repr::fill_checksum(tcp_header, &[], tuple.local, tuple.remote);
        self.send_control(interface, bytes);
    }
}
