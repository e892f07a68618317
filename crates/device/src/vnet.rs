//! The header that TUN and TAP put before a packet when offload is on (`struct virtio_net_hdr`, 10 bytes,
//! little-endian as we ask the kernel for): how to write it, and how to read one without believing it.

use crate::device::{GsoKind, Medium, TxFrame};

/// Bytes of the header as the virtio specification 1.2, 5.1.6 defines it, without `num_buffers`.
pub(crate) const VNET_LEN: usize = 10;

const F_NEEDS_CSUM: u8 = 1;
const F_DATA_VALID: u8 = 2;
const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
const GSO_UDP_L4: u8 = 5;
const GSO_ECN: u8 = 0x80;

/// IP's numbers of the protocols that are segmented.
const TCP: u8 = 6;
const UDP: u8 = 17;

/// Length of UDP's header, bytes (RFC 768).
const UDP_HEADER: u16 = 8;

/// EtherType of a VLAN tag (IEEE 802.1Q), which is 4 bytes long.
const VLAN: [u8; 2] = [0x81, 0];

/// What a received header says that can be relied upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct RxMeta {
    /// The transport checksum needs no verification.
    pub(crate) checksum_trusted: bool,
    /// Payload bytes per merged segment, or 0.
    pub(crate) gso_size: u16,
    /// The header contradicts itself or the frame; what it said was not used.
    pub(crate) odd: bool,
}

/// Whether a frame carries what is segmented so.
fn fits(kind: u8, frame: &[u8], medium: Medium) -> bool {
    let ip = match medium {
        Medium::Ip => 0,
        Medium::Ethernet if frame.get(12..14) == Some(&VLAN) => 18,
        Medium::Ethernet => 14,
    };
    let protocol = if kind == GSO_UDP_L4 { UDP } else { TCP };
    match (frame.get(ip).map(|byte| byte >> 4), kind) {
        (Some(4), GSO_TCPV4 | GSO_UDP_L4) => frame.get(ip + 9) == Some(&protocol),
        // Behind extension headers, the stack knows.
        (Some(6), GSO_TCPV6 | GSO_UDP_L4) => {
            frame.get(ip + 6).is_some_and(|next| *next == protocol || ![TCP, UDP].contains(next))
        }
        _ => false,
    }
}

/// Reads a header that came before a frame.
pub(crate) fn parse(header: [u8; VNET_LEN], frame: &[u8], medium: Medium) -> RxMeta {
    let len = frame.len();
    let [flags, kind, rest @ ..] = header;
    let field = |i: usize| u16::from_le_bytes([rest[i], rest[i + 1]]);
    let (size, start, offset) = (field(2), field(4), field(6));
    let mut meta = RxMeta::default();
    if flags & F_NEEDS_CSUM != 0 {
        // An unfinished checksum has to lie inside the frame; otherwise nobody knows what was covered.
        if usize::from(start) + usize::from(offset) + 2 <= len {
            meta.checksum_trusted = true;
        } else {
            meta.odd = true;
        }
    } else if flags & F_DATA_VALID != 0 {
        meta.checksum_trusted = true;
    }
    match kind & !GSO_ECN {
        GSO_NONE => {}
        kind @ (GSO_TCPV4 | GSO_TCPV6 | GSO_UDP_L4)
            if size > 0 && usize::from(size) < len && fits(kind, frame, medium) =>
        {
            meta.gso_size = size;
        }
        // An unknown kind, another protocol, or a size that cannot be: the frame is taken as one segment.
        _ => meta.odd = true,
    }
    meta
}

/// The header to send before `frame`; `None` when the frame asks for what cannot be expressed (segmentation without an
/// unfinished checksum, a checksum field outside the frame).
pub(crate) fn build(frame: &TxFrame<'_>) -> Option<[u8; VNET_LEN]> {
    let mut header = [0; VNET_LEN];
    let Some(checksum) = frame.checksum else {
        return frame.gso.is_none().then_some(header);
    };
    let field_end = usize::from(checksum.start) + usize::from(checksum.offset) + 2;
    if field_end > frame.len() {
        return None;
    }
    header[0] = F_NEEDS_CSUM;
    header[6..8].copy_from_slice(&checksum.start.to_le_bytes());
    header[8..10].copy_from_slice(&checksum.offset.to_le_bytes());
    if let Some(gso) = frame.gso {
        if gso.size == 0 {
            return None;
        }
        header[1] = match gso.kind {
            GsoKind::Tcp4 => GSO_TCPV4,
            GsoKind::Tcp6 => GSO_TCPV6,
            GsoKind::Udp4 | GsoKind::Udp6 => GSO_UDP_L4,
        };
        let upper_len = if header[1] == GSO_UDP_L4 {
            UDP_HEADER
        } else {
            // TCP's header length is in the upper half of its 13th byte, in words (RFC 9293, 3.1).
            u16::from(frame.pieces[0].get(usize::from(checksum.start) + 12)? >> 4) * 4
        };
        let header_len = usize::from(checksum.start) + usize::from(upper_len);
        if header_len > frame.len() {
            return None;
        }
        header[2..4].copy_from_slice(&u16::try_from(header_len).ok()?.to_le_bytes());
        header[4..6].copy_from_slice(&gso.size.to_le_bytes());
    }
    Some(header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Gso, TxChecksum};

    fn header(flags: u8, kind: u8, fields: [u16; 4]) -> [u8; VNET_LEN] {
        let mut header = [flags, kind, 0, 0, 0, 0, 0, 0, 0, 0];
        for (i, field) in fields.into_iter().enumerate() {
            header[2 + 2 * i..4 + 2 * i].copy_from_slice(&field.to_le_bytes());
        }
        header
    }

    /// The beginning of a packet, and as many bytes more.
    fn packet(version: u8, protocol: u8, len: usize) -> Vec<u8> {
        let mut packet = vec![0; len];
        packet[0] = version << 4 | 5;
        packet[if version == 6 { 6 } else { 9 }] = protocol;
        packet
    }

    fn parse_ip(header: [u8; VNET_LEN], frame: &[u8]) -> RxMeta {
        parse(header, frame, Medium::Ip)
    }

    #[test]
    fn reads_what_the_kernel_writes() {
        assert_eq!(parse_ip([0; VNET_LEN], &[0; 40]), RxMeta::default());
        let good = |gso_size| RxMeta { checksum_trusted: true, gso_size, odd: false };
        let tcp4 = header(F_NEEDS_CSUM, GSO_TCPV4, [40, 1448, 20, 16]);
        assert_eq!(parse_ip(tcp4, &packet(4, TCP, 50_000)), good(1448));
        let tcp6 = header(F_DATA_VALID, GSO_TCPV6 | GSO_ECN, [60, 1428, 0, 0]);
        assert_eq!(parse_ip(tcp6, &packet(6, TCP, 3000)), good(1428));
        let udp = header(F_NEEDS_CSUM, GSO_UDP_L4, [28, 1200, 20, 6]);
        for version in [4, 6] {
            let ip = packet(version, UDP, 20_000);
            assert_eq!(parse_ip(udp, &ip), good(1200));
            // Behind Ethernet's header, with a VLAN tag and without.
            for link in [[0; 14].to_vec(), [[0; 12].as_slice(), &VLAN, &[0; 4]].concat()] {
                let frame = [&link, &ip[..]].concat();
                assert_eq!(parse(udp, &frame, Medium::Ethernet), good(1200));
            }
        }
        // Behind an extension header.
        assert_eq!(parse_ip(udp, &packet(6, 60, 20_000)), good(1200));
    }

    #[test]
    fn does_not_believe_a_kind_of_another_protocol() {
        for (kind, version, protocol) in [
            (GSO_TCPV4, 4, UDP),
            (GSO_TCPV4, 6, TCP),
            (GSO_TCPV6, 4, TCP),
            (GSO_TCPV6, 6, UDP),
            (GSO_UDP_L4, 4, TCP),
            (GSO_UDP_L4, 6, TCP),
            (GSO_UDP_L4, 5, UDP),
        ] {
            let frame = packet(version, protocol, 4000);
            let meta = parse_ip(header(F_NEEDS_CSUM, kind, [0, 100, 20, 6]), &frame);
            assert_eq!(meta, RxMeta { checksum_trusted: true, gso_size: 0, odd: true });
        }
    }

    #[test]
    fn does_not_believe_odd_headers() {
        // The checksum's field lies outside, or wraps.
        for fields in [[0, 0, 20, 19], [0, 0, u16::MAX, u16::MAX], [0, 0, 39, 0]] {
            let meta = parse_ip(header(F_NEEDS_CSUM, GSO_NONE, fields), &[0; 40]);
            assert_eq!(meta, RxMeta { checksum_trusted: false, gso_size: 0, odd: true });
        }
        // Kinds that do not exist, sizes that cannot be.
        let sizes =
            [(2, 100), (3, 100), (0x7f, 1), (GSO_TCPV4, 0), (GSO_TCPV4, 40), (GSO_TCPV4, 41)];
        for (kind, size) in sizes {
            let meta = parse_ip(header(0, kind, [20, size, 0, 0]), &packet(4, TCP, 40));
            assert_eq!(meta, RxMeta { checksum_trusted: false, gso_size: 0, odd: true });
        }
        // A size without a kind means nothing.
        assert_eq!(parse_ip(header(0, GSO_NONE, [0, 77, 0, 0]), &[0; 40]), RxMeta::default());
    }

    #[test]
    fn any_header_is_survived() {
        for len in [0, 1, 40, 65_535] {
            for byte in 0..=255 {
                for medium in [Medium::Ip, Medium::Ethernet] {
                    let meta = parse([byte; VNET_LEN], &vec![byte; len], medium);
                    assert!(usize::from(meta.gso_size) < len.max(1));
                }
            }
        }
    }

    #[test]
    fn writes_what_the_kernel_reads() {
        let mut packet = [0u8; 60];
        packet[32] = 8 << 4; // 32 bytes of TCP header
        let data = [0u8; 4000];
        let mut frame = TxFrame::of(&[&packet[..52], &data, &data]);
        assert_eq!(build(&frame), Some([0; VNET_LEN]));
        frame.checksum = Some(TxChecksum { start: 20, offset: 16 });
        assert_eq!(build(&frame), Some(header(F_NEEDS_CSUM, GSO_NONE, [0, 0, 20, 16])));
        frame.gso = Some(Gso { kind: GsoKind::Tcp6, size: 1428 });
        assert_eq!(build(&frame), Some(header(F_NEEDS_CSUM, GSO_TCPV6, [52, 1428, 20, 16])));
        frame.checksum = Some(TxChecksum { start: 40, offset: 6 });
        for kind in [GsoKind::Udp4, GsoKind::Udp6] {
            frame.gso = Some(Gso { kind, size: 1000 });
            assert_eq!(build(&frame), Some(header(F_NEEDS_CSUM, GSO_UDP_L4, [48, 1000, 40, 6])));
        }
    }

    #[test]
    fn refuses_what_cannot_be_expressed() {
        let packet = [0xf0u8; 40];
        let gso = Some(Gso { kind: GsoKind::Tcp4, size: 1460 });
        let pieces = [&packet[..], &[], &[]];
        let checksum = Some(TxChecksum { start: 20, offset: 16 });
        assert_eq!(build(&TxFrame { checksum: None, gso, ..TxFrame::of(&pieces) }), None);
        assert_eq!(
            build(&TxFrame { checksum, gso, ..TxFrame::of(&pieces) }),
            None,
            "header beyond the frame"
        );
        let outside = Some(TxChecksum { start: 30, offset: 9 });
        assert_eq!(build(&TxFrame { checksum: outside, gso: None, ..TxFrame::of(&pieces) }), None);
        let zero = Some(Gso { kind: GsoKind::Tcp4, size: 0 });
        assert_eq!(build(&TxFrame { checksum, gso: zero, ..TxFrame::of(&pieces) }), None);
    }
}
