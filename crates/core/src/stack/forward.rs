//! A router's work (RFC 1812 §5, RFC 8200): packets for others are passed on, one hop older.

use usernet_wire::checksum;
use usernet_wire::ip::{Fragment, IPV4_HEADER_LEN, Packet, Protocol, fill_len};
use usernet_wire::{tcp, udp};

use super::Stack;
use super::address::is_routable;
use super::bridge::Passed;
use super::icmp::Complaint;
use super::output::{Class, Outgoing};
use crate::cut::make_part;
use crate::frame::{Gso, GsoKind, RxChecksum, RxFrame, TxChecksum};
use crate::interface::{InterfaceId, Offload};
use crate::time::Instant;

/// Where a packet is passed on to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way<'a> {
    pub(super) interface: InterfaceId,
    /// The link header that it keeps: of a bridge. A router's packets get one later.
    pub(super) header: &'a [u8],
}

impl Stack {
    /// Makes the stack a router, or a host.
    pub fn set_forwarding(&mut self, on: bool) {
        self.config.forwarding = on;
        let all: Vec<InterfaceId> = self.interfaces.keys().collect();
        for interface in all {
            if !on {
                self.stop_advertising(interface);
            }
            // Told at the next call with a time.
            self.advertise_soon(Instant::ZERO, interface);
            self.groups_changed(interface);
        }
    }

    /// Passes a packet on that came in through `arrived`.
    pub(super) fn forward(
        &mut self,
        now: Instant,
        arrived: InterfaceId,
        packet: &Packet,
        frame: &RxFrame,
    ) {
        // RFC 1812 §5.3.7: martians go nowhere.
        if !is_routable(packet.src) || !is_routable(packet.dst) {
            self.stats.ip_in_addr_errors += 1;
            return;
        }
        // What the frame carries past the packet is padding.
        let bytes = &frame.data[..packet.payload_offset + packet.payload_len];
        // RFC 1812 §5.3.1, RFC 8200 §3: the hop limit is looked at before the packet is passed on.
        if packet.hop_limit <= 1 {
            self.stats.ip_in_hdr_errors += 1;
            let complaint = Complaint::TimeExceeded { in_reassembly: false };
            return self.complain(now, arrived, bytes, complaint);
        }
        let Some((interface, _)) = self.lookup(packet.dst) else {
            self.stats.ip_in_no_routes += 1;
            return self.complain(now, arrived, bytes, Complaint::NoRoute);
        };
        let (mtu, offload) = {
            let config = &self.interfaces[interface].config;
            (usize::from(config.mtu), config.offload)
        };
        // RFC 1812 §5.3.9 and RFC 919 §7: to a subnet's broadcast address only its own hosts speak (RFC 2644).
        if self.is_broadcast(packet.dst) {
            self.stats.ip_in_addr_errors += 1;
            return;
        }
        let merged = frame.gso_size != 0
            && packet.protocol == Protocol::TCP
            && packet.fragment.is_none()
            && bytes.len() > mtu.min(packet.payload_offset + 60 + usize::from(frame.gso_size));
        // The longest packet that would leave.
        let longest =
            if merged { merged_segment_len(packet, bytes, frame.gso_size) } else { bytes.len() };
        if longest > mtu && (packet.dont_fragment || merged) {
            self.stats.ip_frag_fails += 1;
            return self.complain(now, arrived, bytes, Complaint::TooBig { mtu: mtu as u16 });
        }
        let mut bytes = bytes.to_vec();
        age(&mut bytes);
        if merged {
            let way = Way { interface, header: &[] };
            let passed = self.forward_merged(&way, packet, bytes, frame.gso_size, offload);
            self.stats.ip_forw_datagrams += passed.frames;
            return;
        }
        // What a device vouched for may have no checksum yet.
        let vouched = frame.checksum == RxChecksum::Trusted && packet.fragment.is_none();
        if longest > mtu {
            if vouched {
                complete(packet, &mut bytes, false);
            }
            return self.forward_in_fragments(interface, packet, &bytes, mtu);
        }
        let way = Way { interface, header: &[] };
        let passed = if vouched {
            self.finish_and_pass_on(&way, packet, bytes, offload)
        } else {
            self.pass_on(&way, bytes, None, None)
        };
        self.stats.ip_forw_datagrams += passed.frames;
    }

    /// Passes on a packet whose checksum a device vouched for, which may not be there yet.
    pub(super) fn finish_and_pass_on(
        &mut self,
        way: &Way<'_>,
        packet: &Packet,
        mut bytes: Vec<u8>,
        offload: Offload,
    ) -> Passed {
        let checksum = complete(packet, &mut bytes, offload.tx_checksum);
        self.pass_on(way, bytes, checksum, None)
    }

    /// Queues a packet with the link header that it keeps.
    pub(super) fn pass_on(
        &mut self,
        way: &Way<'_>,
        mut bytes: Vec<u8>,
        checksum: Option<TxChecksum>,
        gso: Option<Gso>,
    ) -> Passed {
        let Way { interface, header } = *way;
        let class = Class::Forward;
        bytes.splice(..0, header.iter().copied());
        let start = |c: TxChecksum| TxChecksum { start: c.start + header.len() as u16, ..c };
        let checksum = checksum.map(start);
        let len = bytes.len() as u64;
        if self.send_packet(Outgoing { interface, bytes, checksum, gso, class }) {
            Passed { frames: 1, bytes: len, refused: 0 }
        } else {
            Passed { refused: 1, ..Passed::default() }
        }
    }

    /// Cuts an IPv4 packet, itself possibly a fragment (RFC 791 §3.2, RFC 1812 §4.2.2.7).
    fn forward_in_fragments(
        &mut self,
        interface: InterfaceId,
        packet: &Packet,
        bytes: &[u8],
        mtu: usize,
    ) {
        let (header, data) = bytes.split_at(packet.payload_offset);
        let step = (mtu - header.len()) & !7;
        let whole = packet.fragment.unwrap_or(Fragment { ident: 0, offset: 0, more: false });
        self.stats.ip_frag_oks += 1;
        for (i, piece) in data.chunks(step).enumerate() {
            let at = i * step;
            let more = whole.more || at + piece.len() < data.len();
            let mut bytes = if i == 0 { header.to_vec() } else { copied_options(header) };
            let header_len = bytes.len();
            bytes.extend_from_slice(piece);
            let place = (usize::from(whole.offset) + at) / 8;
            bytes[6..8].copy_from_slice(&(place as u16 | u16::from(more) << 13).to_be_bytes());
            fill_len(&mut bytes, header_len);
            self.stats.ip_frag_creates += 1;
            let passed = self.pass_on(&Way { interface, header: &[] }, bytes, None, None);
            self.stats.ip_forw_datagrams += passed.frames;
        }
    }

    /// Passes on segments that a device had merged: merged where the next device cuts, else cut here.
    pub(super) fn forward_merged(
        &mut self,
        way: &Way<'_>,
        packet: &Packet,
        mut bytes: Vec<u8>,
        size: u16,
        offload: Offload,
    ) -> Passed {
        let v6 = packet.dst.is_ipv6();
        if offload.tx_checksum && if v6 { offload.tso6 } else { offload.tso4 } {
            let checksum = complete(packet, &mut bytes, true);
            let kind = if v6 { GsoKind::Tcp6 } else { GsoKind::Tcp4 };
            return self.pass_on(way, bytes, checksum, Some(Gso { kind, size }));
        }
        let at = packet.payload_offset;
        let headers_len = at + tcp_header_len(&bytes[at..]);
        if headers_len > bytes.len() {
            self.stats.ip_in_hdr_errors += 1;
            return Passed::default();
        }
        let (headers, data) = bytes.split_at(headers_len);
        let ident = u16::from_be_bytes([headers[4], headers[5]]);
        let last = data.len().saturating_sub(1) / usize::from(size);
        let mut passed = Passed::default();
        for (i, piece) in data.chunks(usize::from(size)).enumerate() {
            let mut segment = [headers, piece].concat();
            let offset = (i * usize::from(size)) as u32;
            if !v6 {
                segment[4..6].copy_from_slice(&ident.wrapping_add(i as u16).to_be_bytes());
            }
            make_part(&mut segment, at, offset, i == last);
            let part = Packet { payload_len: segment.len() - at, ..*packet };
            let checksum = complete(&part, &mut segment, offload.tx_checksum);
            passed += self.pass_on(way, segment, checksum, None);
        }
        passed
    }
}

fn tcp_header_len(segment: &[u8]) -> usize {
    segment.get(12).map_or(tcp::HEADER_LEN, |b| usize::from(b >> 4) * 4).max(tcp::HEADER_LEN)
}

/// The longest packet that merged segments were, bytes.
pub(super) fn merged_segment_len(packet: &Packet, bytes: &[u8], size: u16) -> usize {
    let header_len = packet.payload_offset + tcp_header_len(&bytes[packet.payload_offset..]);
    (header_len + usize::from(size)).min(bytes.len())
}

/// Lowers TTL or hop limit by one (RFC 1812 §5.3.1; the checksum as in RFC 1624).
fn age(bytes: &mut [u8]) {
    if bytes[0] >> 4 == 6 {
        bytes[7] -= 1;
        return;
    }
    let old = u16::from_be_bytes([bytes[8], bytes[9]]);
    bytes[8] -= 1;
    let new = u16::from_be_bytes([bytes[8], bytes[9]]);
    let sum = checksum::update(u16::from_be_bytes([bytes[10], bytes[11]]), old, new);
    bytes[10..12].copy_from_slice(&sum.to_be_bytes());
}

/// Gives a TCP segment or UDP datagram its checksum, or what a device makes it from. One that is there already becomes
/// the same again.
fn complete(packet: &Packet, bytes: &mut [u8], by_device: bool) -> Option<TxChecksum> {
    let start = packet.payload_offset;
    let body = &mut bytes[start..];
    let offset = match packet.protocol {
        Protocol::TCP if body.len() >= tcp::HEADER_LEN => {
            tcp::Repr::fill_partial_checksum(body, packet.payload_len, packet.src, packet.dst);
            tcp::CHECKSUM_OFFSET
        }
        // RFC 768: a field of 0 says that there is none, over IPv4.
        Protocol::UDP if body.len() >= udp::HEADER_LEN && body[6..8] != [0, 0] => {
            udp::Repr::fill_partial_checksum(body, packet.payload_len, packet.src, packet.dst);
            udp::CHECKSUM_OFFSET
        }
        _ => return None,
    };
    if by_device {
        return Some(TxChecksum { start: start as u16, offset: offset as u16 });
    }
    // Both fields lie within what was just looked at.
    let _ = checksum::complete(bytes, start, offset);
    None
}

/// An IPv4 header for a fragment other than the first: with those options alone that say they are copied (RFC 791 §3.1).
fn copied_options(header: &[u8]) -> Vec<u8> {
    let mut copy = header[..IPV4_HEADER_LEN].to_vec();
    let mut at = IPV4_HEADER_LEN;
    while at < header.len() && header[at] != 0 {
        let len = if header[at] == 1 { 1 } else { usize::from(*header.get(at + 1).unwrap_or(&1)) };
        let len = len.clamp(1, header.len() - at);
        if header[at] & 0x80 != 0 {
            copy.extend_from_slice(&header[at..at + len]);
        }
        at += len;
    }
    copy.resize(copy.len().next_multiple_of(4), 0);
    copy[0] = 0x40 | (copy.len() / 4) as u8;
    copy
}
