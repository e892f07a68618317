//! The ICMP errors that routers of the network send (RFC 792, RFC 1191, RFC 4443).

use std::net::IpAddr;

use usernet_wire::checksum::Sum;
use usernet_wire::ip::{IPV4_HEADER_LEN, IPV6_HEADER_LEN, Packet, Protocol, Repr};

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

/// Bytes of an ICMP header, the same in both versions.
const HEADER_LEN: usize = 8;

/// The error about `packet`, from a router with that address; `None` where there must not be one.
pub(crate) fn error(router: IpAddr, packet: &[u8], ip: &Packet, reason: Reason) -> Option<Vec<u8>> {
    // RFC 1122 §3.2.2: none about an ICMP error (nor, to be simple, about any ICMP), and none about a later fragment.
    let is_icmp = matches!(ip.protocol, Protocol::ICMP | Protocol::ICMPV6);
    if is_icmp || ip.fragment.is_some_and(|f| f.offset != 0) {
        return None;
    }
    let v6 = ip.src.is_ipv6();
    let (protocol, header_len, largest) = if v6 {
        // RFC 4443 §2.4 (c): as much of the packet as fits the least MTU of IPv6.
        (Protocol::ICMPV6, IPV6_HEADER_LEN, 1280)
    } else {
        // RFC 1812 §4.3.2.3: as much as fits 576 bytes.
        (Protocol::ICMP, IPV4_HEADER_LEN, 576)
    };
    let (kind, code, info) = match (reason, v6) {
        // RFC 792 page 4: net unreachable. RFC 4443 §3.1: no route to destination.
        (Reason::Unreachable, false) => (3, 0, 0),
        (Reason::Unreachable, true) => (1, 0, 0),
        (Reason::HopLimit, false) => (11, 0, 0),
        (Reason::HopLimit, true) => (3, 0, 0),
        // RFC 1191 §4: fragmentation needed, with the MTU. RFC 4443 §3.2: packet too big.
        (Reason::TooBig(mtu), false) => (3, 4, u32::from(mtu)),
        (Reason::TooBig(mtu), true) => (2, 0, u32::from(mtu)),
    };
    let quote = &packet[..packet.len().min(largest - header_len - HEADER_LEN)];
    let payload_len = HEADER_LEN + quote.len();
    let mut bytes = vec![0; header_len];
    Repr {
        src: router,
        dst: ip.src,
        protocol,
        hop_limit: 64,
        traffic_class: 0,
        ident: 0,
        dont_fragment: false,
        flow_label: 0,
        payload_len,
    }
    .emit(&mut bytes);
    bytes.extend([kind, code, 0, 0]);
    bytes.extend(info.to_be_bytes());
    bytes.extend(quote);
    let mut sum = if v6 {
        Sum::pseudo_header(router, ip.src, protocol, payload_len as u32)
    } else {
        Sum::new()
    };
    sum.add(&bytes[header_len..]);
    bytes[header_len + 2..header_len + 4].copy_from_slice(&sum.finish().to_be_bytes());
    Some(bytes)
}
