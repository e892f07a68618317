//! ICMP for both families: answers to pings, errors about our packets given to their connections, and errors about
//! packets that we cannot deliver.

use std::net::IpAddr;

use usernet_wire::ip::{Packet, Protocol, Repr as IpRepr};
use usernet_wire::quoted::Quoted;
use usernet_wire::{icmpv4, icmpv6};

use super::Stack;
use crate::error::ConnectionError;
use crate::frame::{RxChecksum, RxFrame};
use crate::interface::InterfaceId;
use crate::tcp::Tuple;
use crate::time::{Duration, Instant};

/// Errors we may send in a burst, and one token's time: 1,000 a second, as Linux's `icmp_msgs_per_sec` and
/// `icmp_msgs_burst` (RFC 1812 §4.3.2.8, RFC 4443 §2.4 f).
const BURST: u32 = 50;
const REFILL: Duration = Duration::from_millis(1);

/// A token bucket for the errors we send.
#[derive(Debug, Default)]
pub(super) struct IcmpLimit {
    used: u32,
    at: Instant,
}

impl IcmpLimit {
    fn take(&mut self, now: Instant) -> bool {
        let refilled = (now.since(self.at).as_nanos() / REFILL.as_nanos()).min(u128::from(BURST));
        if refilled > 0 {
            self.used = self.used.saturating_sub(refilled as u32);
            self.at = now;
        }
        let ok = self.used < BURST;
        self.used += u32::from(ok);
        ok
    }
}

/// What an ICMP error says of one of our packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Report {
    /// It was longer than the path's MTU, bytes; 0 when a router older than RFC 1191 does not say.
    TooBig(u32),
    /// It cannot be delivered.
    Unreachable(ConnectionError),
}

/// An error about a packet that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Complaint {
    /// Nobody listens on the port.
    PortUnreachable,
    /// Nobody handles the protocol.
    UnknownProtocol {
        /// Where the byte lies that names it.
        pointer: usize,
    },
    /// A header is wrong there.
    ParameterProblem {
        /// The message's code.
        code: u8,
        /// The byte at fault.
        pointer: u16,
    },
}

impl Stack {
    /// Takes an ICMP message.
    pub(super) fn icmp_input(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        packet: &Packet,
        frame: RxFrame,
    ) {
        self.stats.icmp_in_msgs += 1;
        let trusted = frame.checksum == RxChecksum::Trusted;
        let data = frame.data;
        let body = &data[packet.payload_offset..packet.payload_offset + packet.payload_len];
        let handled = match (packet.src, packet.dst) {
            (IpAddr::V4(_), IpAddr::V4(_)) => {
                icmpv4::Repr::parse(body, trusted).map(|message| match message {
                    icmpv4::Repr::EchoRequest { ident, seq, data } => {
                        let reply = icmpv4::Repr::EchoReply { ident, seq, data };
                        self.send_icmp(interface, packet.dst, packet.src, reply.len(), |buf| {
                            reply.emit(buf);
                        });
                    }
                    icmpv4::Repr::DestinationUnreachable { reason, quoted } => {
                        self.icmp_error(now, quoted, report_v4(reason));
                    }
                    _ => {}
                })
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                icmpv6::Repr::parse(body, src, dst, trusted).map(|message| match message {
                    icmpv6::Repr::EchoRequest { ident, seq, data } => {
                        let reply = icmpv6::Repr::EchoReply { ident, seq, data };
                        self.send_icmp(interface, packet.dst, packet.src, reply.len(), |buf| {
                            reply.emit(buf, dst, src);
                        });
                    }
                    icmpv6::Repr::PacketTooBig { mtu, quoted } => {
                        self.icmp_error(now, quoted, Report::TooBig(mtu));
                    }
                    icmpv6::Repr::DestinationUnreachable { reason, quoted } => {
                        self.icmp_error(now, quoted, report_v6(reason));
                    }
                    _ => {}
                })
            }
            _ => Ok(()),
        };
        if handled.is_err() {
            self.stats.icmp_in_errors += 1;
        }
    }

    /// An error about a packet of ours: it must name a connection and something of its that is in flight (RFC 5927 §4).
    fn icmp_error(&mut self, now: Instant, quoted: &[u8], report: Report) {
        let Ok(quoted) = Quoted::parse(quoted) else {
            self.stats.icmp_in_errors += 1;
            return;
        };
        let (Some((local_port, remote_port)), Some(seq)) = (quoted.ports(), quoted.tcp_seq())
        else {
            return;
        };
        let tuple = Tuple { local: quoted.src, remote: quoted.dst, local_port, remote_port };
        let Some(&id) = self.table.get(&tuple) else { return };
        self.with(now, id, |conn, ctx| match report {
            Report::TooBig(mtu) => conn.on_packet_too_big(seq, mtu),
            Report::Unreachable(error) => conn.on_unreachable(ctx, seq, error),
        });
    }

    /// Tells the sender of a packet that it cannot be delivered, unless it is one that never gets an error (RFC 1122
    /// §3.2.2, RFC 4443 §2.4 e).
    pub(super) fn complain(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        bytes: &[u8],
        complaint: Complaint,
    ) {
        // A fragment other than the first does not parse here, and gets no error either.
        let Ok(Quoted { src: remote, dst: local, .. }) = Quoted::parse(bytes)
            .map_err(|_| ())
            .and_then(|quoted| if quoted.is_icmp_error() { Err(()) } else { Ok(quoted) })
        else {
            return;
        };
        if !self.is_acceptable(interface, remote, local) || !self.icmp_limit.take(now) {
            return;
        }
        match (local, remote) {
            (IpAddr::V4(_), IpAddr::V4(_)) => {
                let quoted = icmpv4::quotable(bytes);
                let unreachable = |reason| icmpv4::Repr::DestinationUnreachable { reason, quoted };
                let message = match complaint {
                    Complaint::PortUnreachable => unreachable(icmpv4::Unreachable::Port),
                    Complaint::UnknownProtocol { .. } => unreachable(icmpv4::Unreachable::Protocol),
                    Complaint::ParameterProblem { code, pointer } => {
                        icmpv4::Repr::ParameterProblem { code, pointer: pointer as u8, quoted }
                    }
                };
                self.send_icmp(interface, local, remote, message.len(), |buf| {
                    message.emit(buf);
                });
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let quoted = icmpv6::quotable(bytes);
                let message = match complaint {
                    Complaint::PortUnreachable => icmpv6::Repr::DestinationUnreachable {
                        reason: icmpv6::Unreachable::Port,
                        quoted,
                    },
                    // RFC 8200 §4: code 1, pointing at the next-header byte.
                    Complaint::UnknownProtocol { pointer } => {
                        icmpv6::Repr::ParameterProblem { code: 1, pointer: pointer as u32, quoted }
                    }
                    Complaint::ParameterProblem { code, pointer } => {
                        icmpv6::Repr::ParameterProblem { code, pointer: pointer.into(), quoted }
                    }
                };
                self.send_icmp(interface, local, remote, message.len(), |buf| {
                    message.emit(buf, from, to);
                });
            }
            _ => {}
        }
    }

    /// Queues an ICMP message that `emit` writes.
    fn send_icmp(
        &mut self,
        interface: InterfaceId,
        src: IpAddr,
        dst: IpAddr,
        len: usize,
        emit: impl FnOnce(&mut [u8]),
    ) {
        let mtu = self.path(interface, dst.is_ipv6()).mtu;
        let ip = IpRepr {
            src,
            dst,
            protocol: if dst.is_ipv4() { Protocol::ICMP } else { Protocol::ICMPV6 },
            hop_limit: self.default_options.hop_limit,
            traffic_class: 0,
            ident: 0,
            dont_fragment: true,
            flow_label: 0,
            payload_len: len,
        };
        let ip_len = ip.header_len();
        if ip_len + len > usize::from(mtu) {
            // An answer to a ping that was merged or reassembled: it would have to be cut.
            self.stats.ip_out_discards += 1;
            return;
        }
        let mut bytes = vec![0; ip_len + len];
        ip.emit(&mut bytes[..ip_len]);
        emit(&mut bytes[ip_len..]);
        self.stats.icmp_out_msgs += 1;
        self.send_control(interface, bytes);
    }
}

/// What an IPv4 error means (RFC 1122 §4.2.3.9).
fn report_v4(reason: icmpv4::Unreachable) -> Report {
    use icmpv4::Unreachable as U;
    match reason {
        U::FragmentationNeeded { mtu } => Report::TooBig(mtu.into()),
        U::Protocol | U::Port => Report::Unreachable(ConnectionError::Refused),
        U::Net | U::NetUnknown | U::NetProhibited | U::NetTos => {
            Report::Unreachable(ConnectionError::NetworkUnreachable)
        }
        _ => Report::Unreachable(ConnectionError::HostUnreachable),
    }
}

/// What an IPv6 error means (RFC 4443 §3.1).
fn report_v6(reason: icmpv6::Unreachable) -> Report {
    use icmpv6::Unreachable as U;
    Report::Unreachable(match reason {
        U::NoRoute => ConnectionError::NetworkUnreachable,
        U::Port => ConnectionError::Refused,
        _ => ConnectionError::HostUnreachable,
    })
}
