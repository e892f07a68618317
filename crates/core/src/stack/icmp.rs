//! ICMP for both families: answers to pings, errors about our packets given to their connections, and errors about
//! packets that we cannot deliver.

use std::net::{IpAddr, Ipv4Addr};

use usernet_wire::ip::{Packet, Protocol, Repr as IpRepr};
use usernet_wire::quoted::Quoted;
use usernet_wire::{icmpv4, icmpv6, mld, ndp};

use super::Stack;
use super::address::Delivery;
use super::output::Class;
use super::route::RouteResult;
use crate::error::ConnectionError;
use crate::event::PathError;
use crate::frame::{RxChecksum, RxFrame};
use crate::interface::{InterfaceId, is_unicast};
use crate::tcp::{Severity, Tuple, Undelivered};
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

/// What an ICMP error says of a packet of ours, and who says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PathReport {
    pub(super) from: IpAddr,
    pub(super) error: PathError,
    /// Nobody sent it: our own link did not find the next hop.
    pub(super) local: bool,
}

impl PathReport {
    /// The MTU that the packet was too long for, bytes; 0 when a router older than RFC 1191 does not say.
    pub(super) fn too_big(&self) -> Option<u32> {
        match self.error {
            PathError::TooBig { mtu } => Some(mtu),
            _ => None,
        }
    }

    /// What it means to a connection, if anything: that what was sent cannot be delivered.
    fn unreachable(&self) -> Option<ConnectionError> {
        match self.error {
            PathError::Unreachable { meaning, .. } => Some(meaning),
            _ => None,
        }
    }

    /// What it means to a connection: that what was sent was not delivered, and whether that may pass. A packet that was
    /// too long is none of its business.
    fn undelivered(&self) -> Option<Undelivered> {
        let meaning = match self.error {
            PathError::Unreachable { meaning, .. } => meaning,
            // As in Linux.
            PathError::TimeExceeded { .. } => ConnectionError::HostUnreachable,
            PathError::ParameterProblem { .. } => ConnectionError::Protocol,
            PathError::TooBig { .. } => return None,
        };
        let severity = if self.local {
            Severity::Local
        } else if meaning == ConnectionError::Refused || self.is_prohibition() {
            Severity::Hard
        } else {
            // RFC 9293 §3.9.2.2 names codes 0, 1 and 5 (0 and 3 of IPv6), time exceeded and parameter problems; what else
            // there is says of a network, host or service that it is not known to be reached, too.
            Severity::Soft
        };
        let Self { from, error, .. } = *self;
        Some(Undelivered { from, error, meaning, severity })
    }

    /// Whether a router or firewall was told not to let it pass: a decision, not the state of a route. No RFC has these
    /// among the soft errors; Linux and FreeBSD end the opening of a connection for them.
    fn is_prohibition(&self) -> bool {
        let PathError::Unreachable { code, .. } = self.error else { return false };
        if self.from.is_ipv4() {
            // RFC 1122 §3.2.2.1, RFC 1812 §5.2.7.1: network, host, communication administratively prohibited.
            matches!(code, 9 | 10 | 13)
        } else {
            // RFC 4443 §3.1: administratively prohibited, source address failed policy, reject route.
            matches!(code, 1 | 5 | 6)
        }
    }

    /// What it means to a datagram socket: an error that does not pass (RFC 1122 §3.2.2.1: protocol and port; all others
    /// are hints).
    pub(super) fn hard_error(&self) -> Option<ConnectionError> {
        self.unreachable().filter(|error| *error == ConnectionError::Refused)
    }
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
        /// The error is due even for a multicast.
        even_if_multicast: bool,
    },
    /// Its TTL ran out: on the way, or while its other fragments were waited for.
    TimeExceeded {
        /// The latter.
        in_reassembly: bool,
    },
    /// It does not fit the link it would go out on.
    TooBig {
        /// The link's MTU, bytes.
        mtu: u16,
    },
    /// We, a router, know no way to its destination.
    NoRoute,
    /// Its next hop does not answer.
    HostUnreachable,
    /// The program does not want it.
    Prohibited,
}

impl Stack {
    /// Takes an ICMP message.
    pub(super) fn icmp_input(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        packet: &Packet,
        frame: RxFrame,
        delivery: Delivery,
    ) {
        self.stats.icmp_in_msgs += 1;
        let trusted = frame.checksum == RxChecksum::Trusted;
        let data = frame.data;
        let body = &data[packet.payload_offset..packet.payload_offset + packet.payload_len];
        let from = packet.src;
        let handled = match (packet.src, packet.dst) {
            (IpAddr::V4(_), IpAddr::V4(_)) => icmpv4::Repr::parse(body, trusted).map(|message| {
                use icmpv4::Repr as M;
                let (quoted, error) = match message {
                    // RFC 1122 §3.2.2.6: a request to all may be ignored, and is: it is how to make a crowd answer.
                    M::EchoRequest { ident, seq, data } if delivery == Delivery::Unicast => {
                        let reply = M::EchoReply { ident, seq, data };
                        self.send_icmp(now, interface, packet.dst, from, reply.len(), |buf| {
                            reply.emit(buf);
                        });
                        return;
                    }
                    M::EchoReply { ident, seq, data } => {
                        return self.ping_reply(now, packet, ident, seq, data);
                    }
                    M::DestinationUnreachable { reason, quoted } => (quoted, error_v4(reason)),
                    M::TimeExceeded { in_reassembly, quoted } => {
                        (quoted, PathError::TimeExceeded { in_reassembly })
                    }
                    M::ParameterProblem { code, pointer, quoted } => {
                        (quoted, PathError::ParameterProblem { code, pointer: pointer.into() })
                    }
                    M::Redirect { gateway, quoted, .. } => {
                        return self.redirect_input(now, interface, from, gateway, quoted);
                    }
                    _ => return,
                };
                self.icmp_error(now, quoted, PathReport { from, error, local: false });
            }),
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                icmpv6::Repr::parse(body, src, dst, trusted).map(|message| {
                    use icmpv6::Repr as M;
                    let (quoted, error) = match message {
                        M::EchoRequest { ident, seq, data } => {
                            let reply = M::EchoReply { ident, seq, data };
                            // RFC 4443 §4.2: to a multicast from an address of ours.
                            let local = match delivery {
                                Delivery::Unicast => Some(packet.dst),
                                _ => self.source_for(interface, from),
                            };
                            if let (Some(IpAddr::V6(local)), true) = (local, is_unicast(from)) {
                                let len = reply.len();
                                self.send_icmp(now, interface, local.into(), from, len, |buf| {
                                    reply.emit(buf, local, src);
                                });
                            }
                            return;
                        }
                        M::EchoReply { ident, seq, data } => {
                            return self.ping_reply(now, packet, ident, seq, data);
                        }
                        M::PacketTooBig { mtu, quoted } => (quoted, PathError::TooBig { mtu }),
                        M::DestinationUnreachable { reason, quoted } => (quoted, error_v6(reason)),
                        M::TimeExceeded { in_reassembly, quoted } => {
                            (quoted, PathError::TimeExceeded { in_reassembly })
                        }
                        M::ParameterProblem { code, pointer, quoted } => {
                            (quoted, PathError::ParameterProblem { code, pointer })
                        }
                        M::Other { kind, code, rest } if ndp::KINDS.contains(&kind) => {
                            return self.ndp_input(now, interface, packet, (kind, code, rest));
                        }
                        M::Other { kind, rest, .. } if mld::Message::is_kind(kind) => {
                            return self.mld_input(now, interface, packet, kind, rest);
                        }
                        M::Other { .. } => return,
                    };
                    self.icmp_error(now, quoted, PathReport { from, error, local: false });
                })
            }
            _ => Ok(()),
        };
        if handled.is_err() {
            self.stats.icmp_in_errors += 1;
        }
    }

    /// A router says that there is a better first hop (RFC 1122 §3.2.2.2): to the destination of a packet of ours. Only
    /// Ethernet has hops to choose from.
    fn redirect_input(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        from: IpAddr,
        gateway: Ipv4Addr,
        quoted: &[u8],
    ) {
        let Ok(quoted) = Quoted::parse(quoted) else {
            self.stats.icmp_in_errors += 1;
            return;
        };
        let gateway = IpAddr::V4(gateway);
        // The new hop is on the same link, and what is redirected was sent by us.
        if self.link(interface).is_some()
            && self.is_for_us(interface, quoted.src)
            && self.next_hop(interface, gateway) == Some(gateway)
        {
            self.redirected(now, interface, from, quoted.dst, gateway);
        }
    }

    /// An error about a packet of ours: it must name something that we did send (RFC 5927 §4).
    pub(super) fn icmp_error(&mut self, now: Instant, quoted: &[u8], report: PathReport) {
        let Ok(quoted) = Quoted::parse(quoted) else {
            self.stats.icmp_in_errors += 1;
            return;
        };
        if let Some((ident, seq)) = quoted.echo() {
            return self.ping_error(now, &quoted, ident, seq, report);
        }
        let Some((local_port, remote_port)) = quoted.ports() else { return };
        let tuple = Tuple { local: quoted.src, remote: quoted.dst, local_port, remote_port };
        let Some(seq) = quoted.tcp_seq() else { return self.udp_error(now, &tuple, &report) };
        let Some(id) = self.table.find(&self.connections, &tuple) else { return };
        let narrowed = self.with(now, id, |conn, ctx| {
            let before = conn.path.mtu;
            if let Some(mtu) = report.too_big() {
                conn.on_packet_too_big(ctx.now, seq, mtu);
            }
            if let Some(what) = report.undelivered() {
                conn.on_undelivered(ctx, seq, what);
            }
            (conn.path.mtu < before).then_some(conn.path.mtu)
        });
        if let Some(mtu) = narrowed.flatten() {
            self.learn_mtu(now, tuple.remote, mtu.into());
        }
    }

    /// Notes the MTU of a path, as a validated error reports it.
    pub(super) fn learn_mtu(&mut self, now: Instant, remote: IpAddr, mtu: u32) {
        if let RouteResult::Via(interface, _) = self.route_to(remote, None) {
            let current = self.path_to(now, interface, remote).mtu;
            self.path_mtus.report(now, remote, mtu, current);
        }
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
        let Ok(quoted) = Quoted::parse(bytes) else { return };
        let (remote, dst) = (quoted.src, quoted.dst);
        if quoted.is_icmp_error() || !is_unicast(remote) {
            return;
        }
        let for_multicast =
            matches!(complaint, Complaint::ParameterProblem { even_if_multicast: true, .. });
        let (interface, local) = match self.delivery(interface, remote, dst, false) {
            Delivery::Unicast => (interface, Some(dst)),
            // RFC 4443 §2.4 e.3: with two exceptions a multicast gets no error. A router's MTU is not asked for those.
            Delivery::Multicast if for_multicast && dst.is_ipv6() => {
                (interface, self.source_for(interface, remote))
            }
            Delivery::Forward => {
                // RFC 1812 §4.3.2.4: from an address of the interface that the error goes out on.
                let back = self.lookup(remote).map_or(interface, |(id, _)| id);
                let local = self.source_for(back, remote);
                (back, local.or_else(|| self.source_for(interface, remote)))
            }
            _ => return,
        };
        let Some(local) = local else { return };
        if !self.icmp_limit.take(now) {
            self.stats.icmp_rate_limited += 1;
            return;
        }
        match (local, remote) {
            (IpAddr::V4(_), IpAddr::V4(_)) => {
                use icmpv4::{Repr as M, Unreachable as U};
                let quoted = icmpv4::quotable(bytes);
                let unreachable = |reason| M::DestinationUnreachable { reason, quoted };
                let message = match complaint {
                    Complaint::PortUnreachable => unreachable(U::Port),
                    Complaint::UnknownProtocol { .. } => unreachable(U::Protocol),
                    Complaint::NoRoute => unreachable(U::Net),
                    Complaint::HostUnreachable => unreachable(U::Host),
                    Complaint::Prohibited => unreachable(U::AdminProhibited),
                    Complaint::TooBig { mtu } => unreachable(U::FragmentationNeeded { mtu }),
                    Complaint::TimeExceeded { in_reassembly } => {
                        M::TimeExceeded { in_reassembly, quoted }
                    }
                    Complaint::ParameterProblem { code, pointer, .. } => {
                        M::ParameterProblem { code, pointer: pointer as u8, quoted }
                    }
                };
                self.send_icmp(now, interface, local, remote, message.len(), |buf| {
                    message.emit(buf);
                });
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                use icmpv6::{Repr as M, Unreachable as U};
                let quoted = icmpv6::quotable(bytes);
                let unreachable = |reason| M::DestinationUnreachable { reason, quoted };
                let message = match complaint {
                    Complaint::PortUnreachable => unreachable(U::Port),
                    Complaint::NoRoute => unreachable(U::NoRoute),
                    Complaint::HostUnreachable => unreachable(U::Address),
                    Complaint::Prohibited => unreachable(U::AdminProhibited),
                    Complaint::TooBig { mtu } => M::PacketTooBig { mtu: mtu.into(), quoted },
                    Complaint::TimeExceeded { in_reassembly } => {
                        M::TimeExceeded { in_reassembly, quoted }
                    }
                    // RFC 8200 §4: code 1, pointing at the next-header byte.
                    Complaint::UnknownProtocol { pointer } => {
                        M::ParameterProblem { code: 1, pointer: pointer as u32, quoted }
                    }
                    Complaint::ParameterProblem { code, pointer, .. } => {
                        M::ParameterProblem { code, pointer: pointer.into(), quoted }
                    }
                };
                self.send_icmp(now, interface, local, remote, message.len(), |buf| {
                    message.emit(buf, from, to);
                });
            }
            _ => {}
        }
    }

    /// Queues an ICMP message that `emit` writes; in fragments when it is long, as the answer to a long ping is.
    fn send_icmp(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        src: IpAddr,
        dst: IpAddr,
        len: usize,
        emit: impl FnOnce(&mut [u8]),
    ) {
        let mtu = usize::from(self.path_to(now, interface, dst).mtu);
        let ip = IpRepr {
            src,
            dst,
            protocol: if dst.is_ipv4() { Protocol::ICMP } else { Protocol::ICMPV6 },
            hop_limit: self.hop_limit(interface, dst.is_ipv6(), self.default_options.hop_limit),
            traffic_class: 0,
            ident: 0,
            dont_fragment: true,
            flow_label: 0,
            payload_len: len,
        };
        let ip_len = ip.header_len();
        let mut packet = vec![0; ip_len + len];
        emit(&mut packet[ip_len..]);
        if self.send_ip(interface, mtu, &ip, packet, None, Class::Control) {
            self.stats.icmp_out_msgs += 1;
        }
    }
}

/// What an IPv4 error means (RFC 1122 §4.2.3.9).
fn error_v4(reason: icmpv4::Unreachable) -> PathError {
    use icmpv4::Unreachable as U;
    let meaning = match reason {
        U::FragmentationNeeded { mtu } => return PathError::TooBig { mtu: mtu.into() },
        U::Protocol | U::Port => ConnectionError::Refused,
        U::Net | U::NetUnknown | U::NetProhibited | U::NetTos => {
            ConnectionError::NetworkUnreachable
        }
        _ => ConnectionError::HostUnreachable,
    };
    PathError::Unreachable { code: reason.code(), meaning }
}

/// What an IPv6 error means (RFC 4443 §3.1).
fn error_v6(reason: icmpv6::Unreachable) -> PathError {
    use icmpv6::Unreachable as U;
    let meaning = match reason {
        U::NoRoute => ConnectionError::NetworkUnreachable,
        U::Port => ConnectionError::Refused,
        _ => ConnectionError::HostUnreachable,
    };
    PathError::Unreachable { code: reason.code(), meaning }
}
