//! UDP datagrams of one flow that a device or a kernel carries as one packet (UDP segmentation offload): the data of several,
//! each of the same size but the last, which may be shorter, behind one IP and one UDP header. What each of them is by
//! itself, as it is on a wire.

use core::ops::Range;

use crate::Error;
use crate::ip::{Packet, Protocol, addresses_of, fill_len};
use crate::udp::{CHECKSUM_OFFSET, HEADER_LEN, Repr};

/// Most datagrams in one packet (Linux `UDP_MAX_SEGMENTS`).
pub const MAX_DATAGRAMS: usize = 128;

/// Where the datagrams are in a packet that carries several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// The header, which is each datagram's but for its length.
    pub header: Repr,
    /// Where the UDP header begins, bytes from the start of the packet.
    udp: usize,
    /// Where the data is.
    data: Range<usize>,
    /// Bytes of data of each but the last.
    size: usize,
}

impl Merged {
    /// Of a packet, which was parsed, that is said to carry datagrams of `size` bytes of data. `None` where it is just one: it
    /// is not UDP, a fragment, or not longer than that. The checksum, of all that there is, is verified unless `checksum_ok`
    /// says that the device already did: one by one they get checksums of their own, which must not mend what was spoilt.
    ///
    /// # Errors
    /// [`Error::BadLength`] when there are more than [`MAX_DATAGRAMS`], or the UDP header gives another length than the
    /// packet has: nobody merges so. Those of [`Repr::parse`].
    pub fn of(
        packet: &Packet,
        bytes: &[u8],
        size: u16,
        checksum_ok: bool,
    ) -> Result<Option<Self>, Error> {
        let (udp, len) = (packet.payload_offset, packet.payload_len);
        let data = udp + HEADER_LEN..udp + len;
        let size = usize::from(size);
        let one = size == 0
            || packet.protocol != Protocol::UDP
            || packet.fragment.is_some()
            || data.len() <= size;
        if one {
            return Ok(None);
        }
        let whole = bytes.get(udp..data.end).ok_or(Error::Truncated)?;
        let header = Repr::parse(whole, packet.src, packet.dst, checksum_ok)?;
        if header.payload_len != data.len() || data.len().div_ceil(size) > MAX_DATAGRAMS {
            return Err(Error::BadLength);
        }
        Ok(Some(Self { header, udp, data, size }))
    }

    /// Where the data of all is, bytes from the start of the packet.
    pub fn data(&self) -> Range<usize> {
        self.data.clone()
    }

    /// Bytes of data of each datagram but the last, which may be shorter.
    pub fn size(&self) -> usize {
        self.size
    }

    /// How many datagrams, at least two.
    pub fn count(&self) -> usize {
        self.data.len().div_ceil(self.size)
    }

    /// Writes the packet of datagram `index`, complete with its checksums, to `out`, which has to hold what
    /// [`len`](Self::len) says. `bytes` is the packet that carries them all.
    ///
    /// # Panics
    /// When there is no such datagram, or `out` is too short.
    pub fn write(&self, bytes: &[u8], index: usize, out: &mut [u8]) {
        let headers = self.data.start;
        let begin = headers + index * self.size;
        let data = &bytes[begin..self.data.end.min(begin + self.size)];
        let out = &mut out[..headers + data.len()];
        out[..headers].copy_from_slice(&bytes[..headers]);
        out[headers..].copy_from_slice(data);
        make_part(out, self.udp, index as u16);
    }

    /// Length of the packet of datagram `index`, bytes.
    ///
    /// # Panics
    /// When there is no such datagram.
    pub fn len(&self, index: usize) -> usize {
        let begin = self.data.start + index * self.size;
        assert!(begin < self.data.end);
        self.data.start + self.size.min(self.data.end - begin)
    }
}

/// Makes of the headers of a packet that carries several datagrams, with the data of one of them behind, the packet of that
/// one, the `index`th: lengths, IPv4's identification (each one more than the one before, as kernels count) and both
/// checksums. The UDP header is at `udp`. A checksum that was left out stays so (RFC 768; over IPv4 alone).
///
/// # Panics
/// When `packet` is not a whole IP header, with a UDP header at `udp`.
pub fn make_part(packet: &mut [u8], udp: usize, index: u16) {
    let v6 = packet[0] >> 4 == 6;
    if !v6 {
        let ident = u16::from_be_bytes([packet[4], packet[5]]).wrapping_add(index);
        packet[4..6].copy_from_slice(&ident.to_be_bytes());
    }
    fill_len(packet, udp);
    let Some((src, dst)) = addresses_of(packet) else { return };
    let (header, data) = packet[udp..].split_at_mut(HEADER_LEN);
    header[4..6].copy_from_slice(&((HEADER_LEN + data.len()) as u16).to_be_bytes());
    let field = CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2;
    if v6 || header[field.clone()] != [0, 0] {
        header[field].fill(0);
        Repr::fill_checksum(header, &[data], src, dst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ip::{Repr as IpRepr, fill_checksum_v4};
    use core::net::IpAddr;
    use std::vec;
    use std::vec::Vec;

    /// A packet of so many bytes of data.
    fn packet(v6: bool, data: &[u8]) -> Vec<u8> {
        let (src, dst): (IpAddr, IpAddr) = if v6 {
            ("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap())
        } else {
            ([198, 18, 0, 1].into(), [198, 18, 0, 2].into())
        };
        let ip = IpRepr {
            src,
            dst,
            protocol: Protocol::UDP,
            hop_limit: 64,
            traffic_class: 3,
            ident: 0xffff,
            dont_fragment: true,
            flow_label: 0,
            payload_len: HEADER_LEN + data.len(),
        };
        let mut bytes = vec![0; ip.header_len() + HEADER_LEN];
        let (head, udp) = bytes.split_at_mut(ip.header_len());
        ip.emit(head);
        Repr { src_port: 9, dst_port: 7, payload_len: data.len() }.emit(udp);
        Repr::fill_checksum(udp, &[data], src, dst);
        bytes.extend_from_slice(data);
        bytes
    }

    fn merged(bytes: &[u8], size: u16) -> Result<Option<Merged>, Error> {
        Merged::of(&Packet::parse(bytes).unwrap(), bytes, size, true)
    }

    #[test]
    fn each_datagram_is_the_packet_that_its_sender_would_have_sent() {
        let data: Vec<u8> = (0..=255).cycle().take(1000).collect();
        for v6 in [false, true] {
            let whole = packet(v6, &data);
            let merged = merged(&whole, 300).unwrap().unwrap();
            assert_eq!(merged.count(), 4);
            for (i, part) in data.chunks(300).enumerate() {
                let mut out = vec![0xee; merged.len(i)];
                merged.write(&whole, i, &mut out);
                let parsed = Packet::parse(&out).unwrap();
                let body = &out[parsed.payload_offset..];
                let header = Repr::parse(body, parsed.src, parsed.dst, false).unwrap();
                assert_eq!((header.src_port, header.dst_port, parsed.traffic_class), (9, 7, 3));
                assert_eq!(&body[HEADER_LEN..], part);
                let mut expected = packet(v6, part);
                if !v6 {
                    // Counted on from 0xffff.
                    expected[4..6]
                        .copy_from_slice(&0xffff_u16.wrapping_add(i as u16).to_be_bytes());
                    fill_checksum_v4(&mut expected[..20]);
                }
                assert_eq!(out, expected);
            }
        }
    }

    #[test]
    fn a_checksum_that_was_left_out_stays_so_over_ipv4_alone() {
        let mut whole = packet(false, &[7; 100]);
        whole[26..28].fill(0);
        let mut out = vec![0; 28 + 60];
        merged(&whole, 60).unwrap().unwrap().write(&whole, 0, &mut out);
        assert_eq!(out[26..28], [0, 0]);
        let mut whole = packet(true, &[7; 100]);
        whole[46..48].fill(0);
        let mut out = vec![0; 48 + 60];
        merged(&whole, 60).unwrap().unwrap().write(&whole, 0, &mut out);
        let parsed = Packet::parse(&out).unwrap();
        assert!(Repr::parse(&out[40..], parsed.src, parsed.dst, false).is_ok());
    }

    #[test]
    fn one_datagram_is_not_merged_and_what_nobody_merges_is_refused() {
        let whole = packet(false, &[1; 1280]);
        for size in [0, 1280, 1281, u16::MAX] {
            assert_eq!(merged(&whole, size), Ok(None), "{size}");
        }
        assert_eq!(merged(&whole, 10).unwrap().unwrap().count(), MAX_DATAGRAMS);
        assert_eq!(merged(&whole, 9), Err(Error::BadLength), "too many");
        // A header that gives another length than the packet has.
        for len in [0u16, 8, 1287, 1289, u16::MAX] {
            let mut odd = whole.clone();
            odd[24..26].copy_from_slice(&len.to_be_bytes());
            assert!(merged(&odd, 100).is_err(), "{len}");
        }
        // A wrong checksum, and nobody vouched for it.
        let mut spoilt = whole.clone();
        let check = |bytes: &[u8]| Merged::of(&Packet::parse(bytes).unwrap(), bytes, 100, false);
        assert!(check(&spoilt).unwrap().is_some());
        spoilt[600] ^= 1;
        assert_eq!(check(&spoilt), Err(Error::BadChecksum));
        // TCP, a fragment, and one without room for a header.
        let with = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut other = whole.clone();
            change(&mut other);
            fill_checksum_v4(&mut other[..20]);
            merged(&other, 3)
        };
        assert_eq!(with(&|p| p[9] = 6), Ok(None));
        assert_eq!(with(&|p| p[6..8].copy_from_slice(&[0x20, 0])), Ok(None));
        assert_eq!(with(&|p| p[2..4].copy_from_slice(&[0, 23])), Ok(None));
    }
}
