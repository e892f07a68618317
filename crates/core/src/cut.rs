//! Segmentation on send, for devices that do not cut large segments themselves: the stack makes one segment of up to 64 KiB,
//! with one pass through everything that TCP does, and it is cut just before the device has it. Datagrams that the stack put
//! together for a device that takes them apart are taken apart here where it turns out to be another one.

use usernet_wire::checksum::Sum;
use usernet_wire::ip::{Protocol, addresses_of, fill_len};
use usernet_wire::{merged, udp};

use crate::frame::{GsoKind, Transmit};

/// Flags in the low byte of TCP's (RFC 9293 §3.1): FIN and PSH belong to the last segment, CWR (RFC 3168 §6.1.2) to the
/// first.
const OF_THE_LAST: u8 = 0x09;
const OF_THE_FIRST: u8 = 0x80;

/// Calls `send` with each packet that a large segment is cut into, complete with its checksums, in order, until it says
/// false; how many that were. `link` is how many bytes come before the IP header, `packet` memory to use again. A frame that
/// is not to be cut (see [`Transmit::gso`]), or is not what that says over IP without extension headers, is not sent.
pub fn cut(
    transmit: &Transmit<'_>,
    link: usize,
    packet: &mut Vec<u8>,
    mut send: impl FnMut(&[u8]) -> bool,
) -> usize {
    let Some(gso) = transmit.gso.filter(|gso| gso.size > 0) else { return 0 };
    let v6 = matches!(gso.kind, GsoKind::Tcp6 | GsoKind::Udp6);
    let is_udp = matches!(gso.kind, GsoKind::Udp4 | GsoKind::Udp6);
    let upper = link + if v6 { 40 } else { 20 };
    // A frame that had to wait for its neighbour is all in one piece.
    let headers_len = if is_udp {
        upper + udp::HEADER_LEN
    } else {
        let words = transmit.header.get(upper + 12).map_or(0, |byte| usize::from(byte >> 4));
        if words < 5 {
            return 0;
        }
        upper + words * 4
    };
    let Some((headers, rest)) = transmit.header.split_at_checked(headers_len) else { return 0 };
    let mut pieces = std::iter::once(rest).chain(transmit.payload.iter().copied());
    let mut piece = pieces.next().unwrap_or_default();
    let mut left = transmit.len() - headers_len;
    let (mut offset, mut count) = (0u32, 0);
    while left > 0 {
        let len = left.min(usize::from(gso.size));
        packet.clear();
        packet.extend_from_slice(headers);
        while packet.len() < headers_len + len {
            if piece.is_empty() {
                piece = pieces.next().unwrap_or_default();
                continue;
            }
            let (now, later) = piece.split_at(piece.len().min(headers_len + len - packet.len()));
            packet.extend_from_slice(now);
            piece = later;
        }
        left -= len;
        let part = &mut packet[link..];
        if is_udp {
            merged::make_part(part, upper - link, count as u16);
        } else {
            make_part(part, upper - link, offset, left == 0);
            fill_checksum(part, upper - link);
        }
        offset = offset.wrapping_add(len as u32);
        count += 1;
        if !send(packet) {
            break;
        }
    }
    count
}

/// Makes of a large segment's headers, with a piece of its data behind them, the packet of that piece, which begins `offset`
/// bytes into the data: sequence number, flags, lengths and IPv4's checksum, but not TCP's. The TCP header, complete, is at
/// `tcp`.
pub(crate) fn make_part(packet: &mut [u8], tcp: usize, offset: u32, last: bool) {
    let seq =
        u32::from_be_bytes([packet[tcp + 4], packet[tcp + 5], packet[tcp + 6], packet[tcp + 7]]);
    packet[tcp + 4..tcp + 8].copy_from_slice(&seq.wrapping_add(offset).to_be_bytes());
    if !last {
        packet[tcp + 13] &= !OF_THE_LAST;
    }
    if offset > 0 {
        packet[tcp + 13] &= !OF_THE_FIRST;
    }
    fill_len(packet, tcp);
}

/// Sets TCP's checksum.
fn fill_checksum(packet: &mut [u8], tcp: usize) {
    let len = packet.len();
    let Some((src, dst)) = addresses_of(packet) else { return };
    packet[tcp + 16..tcp + 18].fill(0);
    let mut sum = Sum::pseudo_header(src, dst, Protocol::TCP, (len - tcp) as u32);
    sum.add(&packet[tcp..]);
    packet[tcp + 16..tcp + 18].copy_from_slice(&sum.finish().to_be_bytes());
}
