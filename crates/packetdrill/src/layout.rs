//! The option order of other stacks. Suites that were recorded on FreeBSD expect its order of options in a SYN, and
//! packetdrill compares kind by kind; content is not changed here.

/// Puts the options of a SYN into FreeBSD's order: MSS; NOP and window scale; SACK-permitted; timestamps, aligned by
/// NOPs; Fast Open; zeros at the end. `packet` is an IP packet with a TCP segment; others stay as they are.
pub(crate) fn freebsd_syn(packet: &mut Vec<u8>) {
    let Some((ip_len, tcp_len)) = syn_header(packet) else { return };
    let options = packet[ip_len + 20..ip_len + tcp_len].to_vec();
    let find = |kind: u8| -> Option<&[u8]> {
        let mut rest = &options[..];
        while let [first, ..] = rest {
            match *first {
                0 => return None,
                1 => rest = &rest[1..],
                this => {
                    let len = usize::from(*rest.get(1)?);
                    let whole = rest.get(..len).filter(|_| len >= 2)?;
                    if this == kind {
                        return Some(whole);
                    }
                    rest = &rest[len..];
                }
            }
        }
        None
    };
    let mut out = Vec::with_capacity(40);
    out.extend(find(2).unwrap_or_default());
    if let Some(scale) = find(3) {
        out.push(1);
        out.extend(scale);
    }
    out.extend(find(4).unwrap_or_default());
    if let Some(stamps) = find(8) {
        while out.len() % 4 != 2 {
            out.push(1);
        }
        out.extend(stamps);
    }
    if let Some(cookie) = find(34) {
        out.extend(cookie);
    }
    out.resize(out.len().next_multiple_of(4), 0);
    if out.len() > 40 {
        return;
    }
    let new_len = 20 + out.len();
    packet.splice(ip_len + 20..ip_len + tcp_len, out);
    packet[ip_len + 12] = (packet[ip_len + 12] & 0x0f) | ((new_len / 4) as u8) << 4;
    let total = packet.len();
    fix_lengths(packet, ip_len, total);
}

/// The lengths of the IP and TCP headers of a SYN.
fn syn_header(packet: &[u8]) -> Option<(usize, usize)> {
    let (ip_len, protocol) = match packet.first()? >> 4 {
        4 => (usize::from(packet[0] & 0x0f) * 4, *packet.get(9)?),
        _ => (40, *packet.get(6)?),
    };
    let tcp_len = usize::from(packet.get(ip_len + 12)? >> 4) * 4;
    let syn = packet.get(ip_len + 13)? & 0x02 != 0;
    (protocol == 6 && syn && packet.len() >= ip_len + tcp_len).then_some((ip_len, tcp_len))
}

/// Writes the lengths and checksums anew.
fn fix_lengths(packet: &mut [u8], ip_len: usize, total: usize) {
    if ip_len == 40 {
        packet[4..6].copy_from_slice(&((total - 40) as u16).to_be_bytes());
    } else {
        packet[2..4].copy_from_slice(&(total as u16).to_be_bytes());
        packet[10..12].fill(0);
        let sum = complement_sum(0, &packet[..ip_len]);
        packet[10..12].copy_from_slice(&(!sum).to_be_bytes());
    }
    let tcp_len = (total - ip_len) as u32;
    let addresses = if ip_len == 40 { 8..40 } else { 12..20 };
    packet[ip_len + 16..ip_len + 18].fill(0);
    let pseudo = complement_sum(tcp_len + 6, &packet[addresses]);
    let sum = complement_sum(u32::from(pseudo), &packet[ip_len..]);
    packet[ip_len + 16..ip_len + 18].copy_from_slice(&(!sum).to_be_bytes());
}

/// The Internet checksum's sum (RFC 1071), not complemented.
fn complement_sum(start: u32, bytes: &[u8]) -> u16 {
    let mut sum = u64::from(start);
    for pair in bytes.chunks(2) {
        sum += u64::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    }
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use usernet_wire::tcp::{Options, Repr, Timestamps};

    #[test]
    fn a_syn_is_reordered_and_its_checksum_holds() {
        let options = Options {
            mss: Some(1460),
            window_scale: Some(6),
            sack_permitted: true,
            timestamps: Some(Timestamps { val: 7, ecr: 0 }),
            ..Options::default()
        };
        let (src, dst) = ("192.168.0.1".parse().unwrap(), "192.0.2.1".parse().unwrap());
        let repr = Repr {
            src_port: 1,
            dst_port: 2,
            flags: usernet_wire::tcp::Flags::SYN,
            options: options.clone(),
            ..Repr::default()
        };
        let mut packet = vec![0; 20 + repr.header_len()];
        packet[0] = 0x45;
        packet[9] = 6;
        packet[12..20].copy_from_slice(&[192, 168, 0, 1, 192, 0, 2, 1]);
        repr.emit(&mut packet[20..]);
        freebsd_syn(&mut packet);
        assert_eq!(packet[40..52], [2, 4, 5, 180, 1, 3, 3, 6, 4, 2, 8, 10]);
        let (parsed, _) = Repr::parse(&packet[20..], src, dst, false).expect("a good checksum");
        assert_eq!(parsed.options, options);
        assert_eq!(usize::from(u16::from_be_bytes([packet[2], packet[3]])), packet.len());
    }
}
