//! Frames as they are on a wire, for layers that show or change packets: UDP datagrams that a device merged are single ones
//! there.

use usernet_wire::ethernet;
use usernet_wire::ip::Packet;
use usernet_wire::merged::Merged;

use crate::device::{GsoKind, Medium, TxFrame};

/// Calls `each` with the frames that a received one stands for, in order: where it is datagrams that the device merged
/// (`gso_size` is not 0, see [`Received`](crate::Received)), with each of them as it was sent; else, and where it is malformed,
/// with the frame as it is; and with what `gso_size` is then. `scratch` is memory to use again.
pub fn each_received(
    medium: Medium,
    frame: &[u8],
    gso_size: u16,
    scratch: &mut Vec<u8>,
    mut each: impl FnMut(&[u8], u16),
) {
    let found = if gso_size == 0 { None } else { merged(medium, frame, gso_size) };
    let Some((link, merged)) = found else {
        return each(frame, gso_size);
    };
    for index in 0..merged.count() {
        scratch.clear();
        scratch.extend_from_slice(&frame[..link]);
        scratch.resize(link + merged.len(index), 0);
        merged.write(&frame[link..], index, &mut scratch[link..]);
        each(scratch, 0);
    }
}

/// Calls `each` with the frames that one to be sent stands for: datagrams that are merged one by one, and else the frame's
/// pieces as they are.
pub fn each_sent(
    medium: Medium,
    frame: &TxFrame<'_>,
    scratch: &mut Vec<u8>,
    mut each: impl FnMut(&[&[u8]]),
) {
    match frame.gso {
        Some(gso) if matches!(gso.kind, GsoKind::Udp4 | GsoKind::Udp6) => {
            let whole = frame.pieces.concat();
            each_received(medium, &whole, gso.size, scratch, |one, _| each(&[one]));
        }
        _ => each(&frame.pieces),
    }
}

/// The datagrams in a frame, and where its packet begins.
fn merged(medium: Medium, frame: &[u8], size: u16) -> Option<(usize, Merged)> {
    let link = match medium {
        Medium::Ip => 0,
        Medium::Ethernet => ethernet::Repr::parse_any_vlan(frame).ok()?.1,
    };
    let packet = Packet::parse(&frame[link..]).ok()?;
    // What is shown is what there is: whoever takes it checks it.
    let merged = Merged::of(&packet, &frame[link..], size, true).ok()??;
    Some((link, merged))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::device::{Gso, TxChecksum};
    use usernet_wire::ip::{Protocol, Repr};
    use usernet_wire::udp;

    /// A packet with so many bytes of data for two addresses of a family.
    pub(crate) fn packet(v6: bool, len: usize) -> Vec<u8> {
        let [src, dst] = if v6 { ["fd00::1", "fd00::2"] } else { ["198.18.0.1", "198.18.0.2"] }
            .map(|text| text.parse().unwrap());
        let protocol = Protocol::UDP;
        let payload_len = udp::HEADER_LEN + len;
        let ip = Repr {
            src,
            dst,
            protocol,
            hop_limit: 64,
            traffic_class: 0,
            ident: 7,
            dont_fragment: false,
            flow_label: 0,
            payload_len,
        };
        let mut bytes = vec![0; ip.header_len() + udp::HEADER_LEN];
        let (head, header) = bytes.split_at_mut(ip.header_len());
        ip.emit(head);
        udp::Repr { src_port: 9, dst_port: 7, payload_len: len }.emit(header);
        udp::Repr::fill_partial_checksum(header, payload_len, src, dst);
        bytes.extend((0..len).map(|i| i as u8));
        bytes
    }

    fn framed(packet: &[u8]) -> Vec<u8> {
        let link: [u8; 2] = if packet[0] >> 4 == 6 { [0x86, 0xdd] } else { [8, 0] };
        [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2][..], &link, packet].concat()
    }

    fn received(medium: Medium, frame: &[u8], gso_size: u16) -> Vec<(Vec<u8>, u16)> {
        let mut seen = Vec::new();
        each_received(medium, frame, gso_size, &mut Vec::new(), |one, size| {
            seen.push((one.to_vec(), size));
        });
        seen
    }

    #[test]
    fn merged_datagrams_are_single_ones_with_good_checksums() {
        for v6 in [false, true] {
            let whole = packet(v6, 1000);
            let single = received(Medium::Ip, &whole, 300);
            let behind = received(Medium::Ethernet, &framed(&whole), 300);
            assert_eq!((single.len(), behind.len()), (4, 4));
            let in_vlan = |packet: &[u8]| {
                let frame = framed(packet);
                [&frame[..12], &[0x81, 0, 0, 5], &frame[12..]].concat()
            };
            let tagged = received(Medium::Ethernet, &in_vlan(&whole), 300);
            assert!(
                tagged
                    .iter()
                    .eq(&single.iter().map(|(one, _)| (in_vlan(one), 0)).collect::<Vec<_>>())
            );
            for ((one, size), (frame, _)) in single.iter().zip(&behind) {
                assert_eq!((*size, frame), (0, &framed(one)));
                let ip = Packet::parse(one).unwrap();
                let body = &one[ip.payload_offset..];
                let header = udp::Repr::parse(body, ip.src, ip.dst, false).unwrap();
                assert_eq!(header.payload_len + udp::HEADER_LEN, ip.payload_len);
            }
            let data = if v6 { 48 } else { 28 };
            let joined: Vec<u8> = single.iter().flat_map(|(one, _)| one[data..].to_vec()).collect();
            assert_eq!(joined, whole[data..]);
            // What is sent, in pieces.
            let kind = if v6 { GsoKind::Udp6 } else { GsoKind::Udp4 };
            let frame = TxFrame {
                checksum: Some(TxChecksum { start: data as u16 - 8, offset: 6 }),
                gso: Some(Gso { kind, size: 300 }),
                ..TxFrame::of(&[&whole[..30], &whole[30..500], &whole[500..]])
            };
            let mut sent = Vec::new();
            each_sent(Medium::Ip, &frame, &mut Vec::new(), |pieces| {
                sent.push((pieces.concat(), 0));
            });
            assert_eq!(sent, single);
        }
    }

    #[test]
    fn everything_else_is_what_it_is() {
        let whole = packet(false, 1000);
        let mut tcp = whole.clone();
        tcp[9] = 6;
        usernet_wire::ip::fill_checksum_v4(&mut tcp[..20]);
        let odd = [&whole[..24], &[0; 2], &whole[26..]].concat();
        for frame in [&tcp[..], &odd, &whole[..500], &[0x45; 20], &[], &[0x60]] {
            for medium in [Medium::Ip, Medium::Ethernet] {
                assert_eq!(received(medium, frame, 300), [(frame.to_vec(), 300)]);
            }
        }
        for size in [0, 1, 1000, u16::MAX] {
            assert_eq!(received(Medium::Ip, &whole, size), [(whole.clone(), size)]);
        }
        let frame = TxFrame::of(&[&whole[..30], &whole[30..]]);
        each_sent(Medium::Ip, &frame, &mut Vec::new(), |pieces| assert_eq!(pieces, frame.pieces));
    }
}
