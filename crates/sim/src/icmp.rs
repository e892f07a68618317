//! The ICMP errors that routers of the network send (RFC 1812 §4.3, RFC 4443 §3).

use std::net::IpAddr;

use usernet_wire::ip::{Packet, Protocol, Repr};
use usernet_wire::{icmpv4, icmpv6};

/// Why a router does not forward a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// No route.
    Unreachable,
    /// The hop limit ran out.
    HopLimit,
    /// It is larger than the next link's MTU, bytes.
    TooBig(u16),
}

/// The error about `packet`, from a router with that address; `None` where there must not be one.
pub(crate) fn error(router: IpAddr, packet: &[u8], ip: &Packet, reason: Reason) -> Option<Vec<u8>> {
    // RFC 1122 §3.2.2, RFC 4443 §2.4 (e): none about an ICMP error, and none about a later fragment.
    let kind = packet.get(ip.payload_offset).copied();
    let is_error = match ip.protocol {
        Protocol::ICMP => kind.is_none_or(icmpv4::is_error),
        Protocol::ICMPV6 => kind.is_none_or(icmpv6::is_error),
        _ => false,
    };
    if is_error || ip.fragment.is_some_and(|f| f.offset != 0) {
        return None;
    }
    let (protocol, message) = match (router, ip.src) {
        (IpAddr::V4(_), IpAddr::V4(_)) => (Protocol::ICMP, message_v4(packet, reason)),
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let repr = message_v6(packet, reason);
            let mut message = vec![0; repr.len()];
            repr.emit(&mut message, from, to);
            (Protocol::ICMPV6, message)
        }
        _ => return None,
    };
    let header = Repr {
        src: router,
        dst: ip.src,
        protocol,
        hop_limit: 64,
        traffic_class: 0,
        ident: 0,
        dont_fragment: false,
        flow_label: 0,
        payload_len: message.len(),
    };
    let mut bytes = vec![0; header.header_len()];
    header.emit(&mut bytes);
    bytes.extend(message);
    Some(bytes)
}

fn message_v4(packet: &[u8], reason: Reason) -> Vec<u8> {
    use icmpv4::{Repr, Unreachable};
    let quoted = icmpv4::quotable(packet);
    let repr = match reason {
        Reason::Unreachable => Repr::DestinationUnreachable { reason: Unreachable::Net, quoted },
        Reason::HopLimit => Repr::TimeExceeded { in_reassembly: false, quoted },
        // RFC 1191 §4.
        Reason::TooBig(mtu) => Repr::DestinationUnreachable {
            reason: Unreachable::FragmentationNeeded { mtu },
            quoted,
        },
    };
    let mut message = vec![0; repr.len()];
    repr.emit(&mut message);
    message
}

fn message_v6(packet: &[u8], reason: Reason) -> icmpv6::Repr<'_> {
    use icmpv6::{Repr, Unreachable};
    let quoted = icmpv6::quotable(packet);
    match reason {
        Reason::Unreachable => {
            Repr::DestinationUnreachable { reason: Unreachable::NoRoute, quoted }
        }
        Reason::HopLimit => Repr::TimeExceeded { in_reassembly: false, quoted },
        // RFC 4443 §3.2.
        Reason::TooBig(mtu) => Repr::PacketTooBig { mtu: u32::from(mtu), quoted },
    }
}
