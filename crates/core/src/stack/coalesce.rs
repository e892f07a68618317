//! Coalescing on receive, for devices that hand over every segment by itself: segments of one connection that follow one
//! another are one before TCP looks at them, as kernels do (generic receive offload) and as devices with offload do.
//!
//! The rules are Linux's (`tcp_gro_receive`, `inet_gro_receive`) and stricter, so that nobody can tell: a run is made only
//! of segments that the connection would take one after the other without anything else coming of them: data in order,
//! within the window, with the same acknowledgement, window, timestamps, ECN mark, TTL and traffic class; every checksum is
//! verified first. Whatever else comes ends the run, and order between flows is kept: only neighbours are merged.

use std::net::IpAddr;
use std::ops::Range;

use usernet_wire::SeqNumber;
use usernet_wire::checksum::{checksum, verify_transport};
use usernet_wire::ethernet::{self, EtherType};
use usernet_wire::ip::{Protocol, fill_checksum_v4};
use usernet_wire::tcp::Flags;

use super::Stack;
use super::address::Delivery;
use crate::frame::{RxChecksum, RxFrame};
use crate::interface::InterfaceId;
use crate::payload::Payload;
use crate::tcp::{Level, Tuple};
use crate::time::Instant;

/// Longest IP packet, bytes.
const MAX_PACKET: usize = 0xffff;

/// Flags with which a segment may be in a run: AccECN's counter is the same in all (RFC 9768 §3.2.2; with CWR in it,
/// segments stay alone, since without AccECN it is the first one's alone).
const PLAIN: Flags = Flags::ACK.union(Flags::ECE).union(Flags::AE);

/// The ECN field's "congestion experienced" (RFC 3168 §5).
const CE: u8 = 0b11;

/// `NOP, NOP, timestamps` of RFC 7323 Appendix A: the only options that a segment of a run may have.
const TIMESTAMPS: [u8; 4] = [1, 1, 8, 10];

/// A segment has other options than timestamps.
struct OtherOptions;

/// Where things are in a frame that carries TCP over IPv4 without options, or over IPv6 without extension headers.
#[derive(Clone, Copy, Debug)]
struct Layout {
    /// Where the IP header begins.
    ip: usize,
    tcp: usize,
    payload: usize,
    v6: bool,
}

impl Layout {
    /// Of a frame that is nothing but that, and data; its IP header is checked.
    fn of(frame: &[u8], ip: usize) -> Option<Self> {
        let packet = frame.get(ip..)?;
        let v6 = packet.first()? >> 4 == 6;
        let field = |at: usize| {
            Some(usize::from(u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?])))
        };
        let (header_len, total_len, protocol) = if v6 {
            (40, 40 + field(4)?, *packet.get(6)?)
        } else {
            // Neither options nor a fragment.
            if packet[0] != 0x45 || field(6)? & 0xbfff != 0 || checksum(packet.get(..20)?) != 0 {
                return None;
            }
            (20, field(2)?, packet[9])
        };
        if total_len != packet.len() || protocol != Protocol::TCP.0 {
            return None;
        }
        let tcp = ip + header_len;
        let words = usize::from(frame.get(tcp + 12)? >> 4);
        let payload = tcp + words * 4;
        (words >= 5 && payload < frame.len()).then_some(Self { ip, tcp, payload, v6 })
    }

    fn addresses(&self, frame: &[u8]) -> (IpAddr, IpAddr) {
        let at = |range: Range<usize>| &frame[self.ip..][range];
        if self.v6 {
            let address = |bytes: &[u8]| <[u8; 16]>::try_from(bytes).unwrap_or_default().into();
            (address(at(8..24)), address(at(24..40)))
        } else {
            let address = |bytes: &[u8]| <[u8; 4]>::try_from(bytes).unwrap_or_default().into();
            (address(at(12..16)), address(at(16..20)))
        }
    }

    fn u16(&self, frame: &[u8], at: usize) -> u16 {
        u16::from_be_bytes([frame[self.tcp + at], frame[self.tcp + at + 1]])
    }

    fn u32(&self, frame: &[u8], at: usize) -> u32 {
        u32::from(self.u16(frame, at)) << 16 | u32::from(self.u16(frame, at + 2))
    }

    fn flags(&self, frame: &[u8]) -> Flags {
        Flags::from_bits_retain(self.u16(frame, 12) & 0x01ff)
    }

    fn traffic_class(&self, frame: &[u8]) -> u8 {
        let [first, second] = [frame[self.ip], frame[self.ip + 1]];
        if self.v6 { first << 4 | second >> 4 } else { second }
    }

    /// TSval where there are timestamps, which are the only option that there may be.
    fn timestamp(&self, frame: &[u8]) -> Result<Option<u32>, OtherOptions> {
        match self.payload - self.tcp {
            20 => Ok(None),
            32 if frame[self.tcp + 20..][..4] == TIMESTAMPS => Ok(Some(self.u32(frame, 24))),
            _ => Err(OtherOptions),
        }
    }

    fn is_good(&self, frame: &[u8], checksum: RxChecksum) -> bool {
        let (src, dst) = self.addresses(frame);
        checksum == RxChecksum::Trusted
            || verify_transport(src, dst, Protocol::TCP, &frame[self.tcp..])
    }

    /// Whether everything but lengths, checksums, IPv4's identification (RFC 6864), sequence number and PSH is the same.
    fn same(&self, a: &[u8], b: &[u8]) -> bool {
        let same = |range: Range<usize>| a[range.clone()] == b[range];
        let (ip, tcp) = (self.ip, self.tcp);
        let network = if self.v6 {
            same(ip..ip + 4) && same(ip + 6..tcp)
        } else {
            same(ip..ip + 2) && same(ip + 6..ip + 10) && same(ip + 12..tcp)
        };
        same(0..ip)
            && network
            && same(tcp..tcp + 4)
            && same(tcp + 8..tcp + 13)
            && self.flags(a) == self.flags(b) - Flags::PSH
            && same(tcp + 14..tcp + 16)
            && same(tcp + 18..self.payload)
    }
}

/// A run of segments that are being merged. Its first frame lies in memory of the driver, which appends the payloads of
/// those that follow; at most one IP packet's worth, 65,535 bytes.
#[derive(Debug)]
pub struct Coalescing {
    layout: Layout,
    /// Payload bytes of the first segment; only the last may have fewer.
    size: usize,
    /// Sequence number that follows.
    next: u32,
    /// Bytes of payload that still have room, in the window and the packet.
    room: usize,
    /// Segments after the first.
    merged: u16,
    push: bool,
    /// Nothing can follow.
    ended: bool,
}

impl Stack {
    /// Whether `frame`, the next that `interface` received, may be the first of some that are merged, and then what is
    /// to be known of them; `checksum` is what the device says of it. A driver asks for frames of devices that do not merge
    /// themselves. It then hands the run over as one frame (see [`Coalescing::finish`]), before it makes any other call.
    pub fn coalescing(
        &self,
        now: Instant,
        interface: InterfaceId,
        frame: &[u8],
        checksum: RxChecksum,
    ) -> Option<Coalescing> {
        let i = self.interfaces.get(interface)?;
        // Raw sockets and a bridge see what came.
        if !self.config.coalesce || !i.up || i.bridged.is_some() || !self.raws.is_empty() {
            return None;
        }
        let ip = match &i.link {
            None => 0,
            Some(link) => {
                let (header, len) = ethernet::Repr::parse(frame).ok()?;
                let v6 = frame.get(len)? >> 4 == 6;
                let ethertype = if v6 { EtherType::IPV6 } else { EtherType::IPV4 };
                if header.dst != link.mac || header.src == link.mac || header.ethertype != ethertype
                {
                    return None;
                }
                len
            }
        };
        let layout = Layout::of(frame, ip)?;
        let flags = layout.flags(frame);
        if !flags.contains(Flags::ACK)
            || !PLAIN.contains(flags)
            || layout.traffic_class(frame) & 0b11 == CE
        {
            return None;
        }
        let timestamp = layout.timestamp(frame).ok()?;
        let (src, dst) = layout.addresses(frame);
        let tuple = Tuple {
            local: dst,
            remote: src,
            local_port: layout.u16(frame, 2),
            remote_port: layout.u16(frame, 0),
        };
        let conn = self.connections.get(self.table.find(&self.connections, &tuple)?)?;
        let (seq, ack) = (SeqNumber(layout.u32(frame, 4)), SeqNumber(layout.u32(frame, 8)));
        let window = conn.coalescing_room(now, flags, seq, ack, timestamp)?;
        let size = frame.len() - layout.payload;
        let room =
            (window as usize).min(MAX_PACKET + layout.ip - layout.payload).checked_sub(size)?;
        if self.delivery(interface, src, dst, false) != Delivery::Unicast
            || self.memory().receive == Level::Over
            || !layout.is_good(frame, checksum)
        {
            return None;
        }
        let next = (seq + size as u32).0;
        Some(Coalescing { layout, size, next, room, merged: 0, push: false, ended: room == 0 })
    }
}

impl Coalescing {
    /// Whether `frame` follows what is `held`, and then which part of it is to be appended. `checksum` is what the device
    /// says of it.
    pub fn append(
        &mut self,
        held: &[u8],
        frame: &[u8],
        checksum: RxChecksum,
    ) -> Option<Range<usize>> {
        if self.ended || frame.len() <= self.layout.payload {
            return None;
        }
        let layout = Layout::of(frame, self.layout.ip)?;
        let len = frame.len() - layout.payload;
        if (layout.tcp, layout.payload) != (self.layout.tcp, self.layout.payload)
            || layout.u32(frame, 4) != self.next
            || len > self.size.min(self.room)
            || !layout.same(held, frame)
            || !layout.is_good(frame, checksum)
        {
            return None;
        }
        self.next = self.next.wrapping_add(len as u32);
        self.room -= len;
        self.merged += 1;
        self.push = layout.flags(frame).contains(Flags::PSH);
        self.ended = self.push || len < self.size || self.room == 0;
        Some(layout.payload..frame.len())
    }

    /// Whether nothing can follow.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Makes one packet of what is held.
    pub fn finish(&self, held: &mut [u8]) {
        if self.merged == 0 {
            return;
        }
        let Layout { ip, tcp, v6, .. } = self.layout;
        let len = (held.len() - ip) as u16;
        if v6 {
            held[ip + 4..ip + 6].copy_from_slice(&(len - 40).to_be_bytes());
        } else {
            held[ip + 2..ip + 4].copy_from_slice(&len.to_be_bytes());
            fill_checksum_v4(&mut held[ip..tcp]);
        }
        if self.push {
            held[tcp + 13] |= Flags::PSH.bits() as u8;
        }
    }

    /// What was [finished](Self::finish), for [`Stack::handle_frame`].
    pub fn frame(&self, held: Payload) -> RxFrame {
        let gso_size = if self.merged == 0 { 0 } else { self.size as u16 };
        RxFrame { data: held, checksum: RxChecksum::Trusted, gso_size, merged: self.merged }
    }
}
