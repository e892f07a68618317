//! The one place that writes into packets that exist already: what routers, NAT boxes and altering rules need.

use std::net::{IpAddr, SocketAddr};

use usernet_wire::checksum::Sum;
use usernet_wire::ip::{Packet, Protocol, fill_checksum_v4};

/// Makes the checksums of an IP packet right again after its bytes were changed: the IPv4 header's, and TCP's, UDP's or
/// ICMP's where the packet is whole (not a fragment). Whether the packet was one.
pub fn fix_checksums(bytes: &mut [u8]) -> bool {
    fix_ipv4_header(bytes);
    let Ok(ip) = Packet::parse(bytes) else { return false };
    let range = ip.payload_offset..ip.payload_offset + ip.payload_len;
    let (src, dst, protocol) = (ip.src, ip.dst, ip.protocol);
    if ip.fragment.is_some() {
        return true;
    }
    let payload = &mut bytes[range];
    let at = match protocol {
        Protocol::TCP => 16,
        Protocol::UDP => 6,
        Protocol::ICMP | Protocol::ICMPV6 => 2,
        _ => return true,
    };
    if payload.len() < at + 2 {
        return true;
    }
    // RFC 768: a UDP checksum of zero means that there is none.
    if protocol == Protocol::UDP && payload[at..at + 2] == [0, 0] && src.is_ipv4() {
        return true;
    }
    payload[at..at + 2].fill(0);
    let mut sum = match protocol {
        Protocol::ICMP => Sum::new(),
        _ => Sum::pseudo_header(src, dst, protocol, payload.len() as u32),
    };
    sum.add(payload);
    let sum = match sum.finish() {
        0 if protocol == Protocol::UDP => 0xffff,
        sum => sum,
    };
    payload[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    true
}

fn fix_ipv4_header(bytes: &mut [u8]) {
    let Some(&first) = bytes.first() else { return };
    let len = usize::from(first & 0x0f) * 4;
    if first >> 4 != 4 || len < 20 || bytes.len() < len {
        return;
    }
    fill_checksum_v4(&mut bytes[..len]);
}

/// Marks a packet as having met congestion (RFC 3168 §5); false when it is not ECN-capable, or is marked already.
pub(crate) fn mark_congestion(bytes: &mut [u8]) -> bool {
    let Some(&first) = bytes.first() else { return false };
    // The two bits lie in the second byte: alone at its end over IPv4, in its middle over IPv6.
    let shift = if first >> 4 == 6 { 4 } else { 0 };
    match bytes.get(1).map(|byte| byte >> shift & 0b11) {
        Some(0b01 | 0b10) => {
            bytes[1] |= 0b11 << shift;
            fix_ipv4_header(bytes);
            true
        }
        _ => false,
    }
}

/// Takes one off the TTL or hop limit of a valid packet; false when there was none left to take (RFC 1812 §5.3.1,
/// RFC 8200 §3).
pub(crate) fn decrement_hop_limit(bytes: &mut [u8]) -> bool {
    let at = if bytes[0] >> 4 == 4 { 8 } else { 7 };
    if bytes[at] <= 1 {
        return false;
    }
    bytes[at] -= 1;
    fix_ipv4_header(bytes);
    true
}

/// Which end of a flow to rewrite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Source,
    Destination,
}

/// The ports of a TCP or UDP packet that is whole: source, destination.
pub(crate) fn ports(bytes: &[u8], ip: &Packet) -> Option<(u16, u16)> {
    if ip.fragment.is_some() || !matches!(ip.protocol, Protocol::TCP | Protocol::UDP) {
        return None;
    }
    let payload = &bytes[ip.payload_offset..ip.payload_offset + ip.payload_len];
    match payload {
        [a, b, c, d, _, _, _, _, ..] => {
            Some((u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d])))
        }
        _ => None,
    }
}

/// Gives a whole TCP or UDP packet another source or destination of the same family, and makes its checksums right,
/// keeping a wrong transport checksum wrong (RFC 1624: the difference is added, not the sum computed anew).
pub(crate) fn readdress(bytes: &mut [u8], ip: &Packet, side: Side, to: SocketAddr) {
    let (address_at, len) = match (to.ip(), side) {
        (IpAddr::V4(_), Side::Source) => (12, 4),
        (IpAddr::V4(_), Side::Destination) => (16, 4),
        (IpAddr::V6(_), Side::Source) => (8, 16),
        (IpAddr::V6(_), Side::Destination) => (24, 16),
    };
    let port_at = ip.payload_offset + if side == Side::Source { 0 } else { 2 };
    let sum_at = ip.payload_offset + if ip.protocol == Protocol::TCP { 16 } else { 6 };
    let mut new = [0; 18];
    match to.ip() {
        IpAddr::V4(a) => new[..4].copy_from_slice(&a.octets()),
        IpAddr::V6(a) => new[..16].copy_from_slice(&a.octets()),
    }
    new[len..len + 2].copy_from_slice(&to.port().to_be_bytes());
    let mut old = [0; 18];
    old[..len].copy_from_slice(&bytes[address_at..address_at + len]);
    old[len..len + 2].copy_from_slice(&bytes[port_at..port_at + 2]);
    bytes[address_at..address_at + len].copy_from_slice(&new[..len]);
    bytes[port_at..port_at + 2].copy_from_slice(&new[len..len + 2]);
    fix_ipv4_header(bytes);
    let Some(field) = bytes.get_mut(sum_at..sum_at + 2) else { return };
    let sum = u16::from_be_bytes([field[0], field[1]]);
    if ip.protocol == Protocol::UDP && sum == 0 {
        return;
    }
    // RFC 1624 §3: HC' = ~(~HC + ~m + m').
    let mut acc = u32::from(!sum);
    for (old, new) in old[..len + 2].chunks_exact(2).zip(new[..len + 2].chunks_exact(2)) {
        acc += u32::from(!u16::from_be_bytes([old[0], old[1]]));
        acc += u32::from(u16::from_be_bytes([new[0], new[1]]));
    }
    while acc > 0xffff {
        acc = (acc >> 16) + (acc & 0xffff);
    }
    let sum = !(acc as u16);
    field.copy_from_slice(&sum.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use usernet_wire::{SeqNumber, ip, tcp};

    use super::*;

    /// A TCP segment with data, checksums right.
    pub(crate) fn segment(src: SocketAddr, dst: SocketAddr, data: &[u8]) -> Vec<u8> {
        let tcp = tcp::Repr {
            src_port: src.port(),
            dst_port: dst.port(),
            seq: SeqNumber(7),
            ..tcp::Repr::default()
        };
        let mut bytes = vec![0; 20];
        tcp.emit(&mut bytes);
        tcp::Repr::fill_checksum(&mut bytes, &[data], src.ip(), dst.ip());
        bytes.extend(data);
        let ip = ip::Repr {
            src: src.ip(),
            dst: dst.ip(),
            protocol: Protocol::TCP,
            hop_limit: 2,
            traffic_class: 0,
            ident: 0,
            dont_fragment: true,
            flow_label: 0,
            payload_len: bytes.len(),
        };
        let mut packet = vec![0; ip.header_len()];
        ip.emit(&mut packet);
        packet.extend(bytes);
        packet
    }

    fn addresses() -> [[SocketAddr; 3]; 2] {
        [
            ["198.18.0.1:1000", "198.18.0.2:80", "192.0.2.9:65000"],
            ["[fd00::1]:1000", "[fd00::2]:80", "[2001:db8::9]:65000"],
        ]
        .map(|family| family.map(|a| a.parse().unwrap()))
    }

    fn checked(bytes: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
        let ip = Packet::parse(bytes).ok()?;
        let (tcp, _) = tcp::Repr::parse(&bytes[ip.payload_offset..], ip.src, ip.dst, false).ok()?;
        Some((SocketAddr::new(ip.src, tcp.src_port), SocketAddr::new(ip.dst, tcp.dst_port)))
    }

    #[test]
    fn readdressing_keeps_checksums_right_and_wrong_ones_wrong() {
        for [src, dst, new] in addresses() {
            let mut bytes = segment(src, dst, b"odd");
            let ip = Packet::parse(&bytes).unwrap();
            readdress(&mut bytes, &ip, Side::Source, new);
            assert_eq!(checked(&bytes), Some((new, dst)));
            let ip = Packet::parse(&bytes).unwrap();
            readdress(&mut bytes, &ip, Side::Destination, src);
            assert_eq!(checked(&bytes), Some((new, src)));
            *bytes.last_mut().unwrap() ^= 4;
            let ip = Packet::parse(&bytes).unwrap();
            readdress(&mut bytes, &ip, Side::Source, dst);
            assert_eq!(checked(&bytes), None);
            assert!(fix_checksums(&mut bytes));
            assert_eq!(checked(&bytes), Some((dst, src)));
        }
    }

    #[test]
    fn hop_limit_runs_out() {
        for [src, dst, _] in addresses() {
            let mut bytes = segment(src, dst, b"");
            assert!(decrement_hop_limit(&mut bytes));
            assert_eq!(Packet::parse(&bytes).unwrap().hop_limit, 1);
            assert!(!decrement_hop_limit(&mut bytes));
        }
    }

    #[test]
    fn fixing_what_is_no_packet_does_nothing() {
        for mut bytes in [vec![], vec![0x45], vec![0x45; 20], vec![0x6f; 39], vec![0xff; 60]] {
            fix_checksums(&mut bytes);
        }
        assert!(!fix_checksums(&mut [0x6f; 39]));
    }
}
