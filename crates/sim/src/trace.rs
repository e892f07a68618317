//! The trace: the last packets, one readable line each.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::net::SocketAddr;
use std::sync::Arc;

use bitflags::bitflags;
use usernet_core::Instant;
use usernet_wire::ip::{self, Protocol};
use usernet_wire::tcp::{self, Flags};

use crate::NodeId;
use crate::packet::{DropReason, Frame, What};

/// Lines that are kept unless told otherwise.
pub(crate) const DEFAULT_LINES: usize = 200;
/// Flows whose initial sequence numbers are remembered; when there are more, all are forgotten and sequence numbers of
/// the older ones are printed as they are.
const MAX_FLOWS: usize = 65_536;
/// Bytes of a packet that are kept: both headers with all options, and more than a few extension headers.
const KEPT_BYTES: usize = 160;

bitflags! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    struct Marks: u8 {
        const CORRUPTED = 1 << 0;
        const DUPLICATED = 1 << 1;
        const REORDERED = 1 << 2;
        const DELAYED = 1 << 3;
        const ALTERED = 1 << 4;
        const COPIED = 1 << 5;
        const HELD = 1 << 6;
        const RELEASED = 1 << 7;
    }
}

/// One packet on one link.
#[derive(Debug)]
struct Record {
    id: u64,
    at: Instant,
    from: NodeId,
    to: NodeId,
    len: usize,
    /// The start of the packet.
    bytes: Vec<u8>,
    ip: Option<ip::Packet>,
    /// What relative sequence and acknowledgement numbers count from.
    bases: [u32; 2],
    marks: Marks,
    dropped: Option<DropReason>,
}

type Isns = HashMap<(SocketAddr, SocketAddr), u32, BuildHasherDefault<DefaultHasher>>;

/// The last packets.
#[derive(Debug)]
pub(crate) struct Trace {
    lines: usize,
    records: VecDeque<Record>,
    isns: Isns,
}

impl Trace {
    pub(crate) fn new() -> Self {
        Self { lines: DEFAULT_LINES, records: VecDeque::new(), isns: Isns::default() }
    }

    /// Sets how many lines are kept.
    pub(crate) fn keep(&mut self, lines: usize) {
        self.lines = lines;
        while self.records.len() > lines {
            self.records.pop_front();
        }
    }

    pub(crate) fn record(
        &mut self,
        at: Instant,
        what: What,
        frame: &Frame,
        ends: [NodeId; 2],
        ip: Option<ip::Packet>,
    ) {
        if what == What::Sent {
            return self.push(at, frame, ends, ip);
        }
        // Ids grow, so the records are sorted by them.
        let Ok(index) = self.records.binary_search_by_key(&frame.id, |r| r.id) else { return };
        let record = &mut self.records[index];
        record.marks |= match what {
            What::Sent | What::Delivered => return,
            What::Dropped(reason) => {
                record.dropped = Some(reason);
                return;
            }
            What::Corrupted => Marks::CORRUPTED,
            What::Duplicated => Marks::DUPLICATED,
            What::Reordered => Marks::REORDERED,
            What::Delayed => Marks::DELAYED,
            What::Altered => Marks::ALTERED,
            What::Copied => Marks::COPIED,
            What::Held => Marks::HELD,
            What::Released => Marks::RELEASED,
        };
    }

    fn push(&mut self, at: Instant, frame: &Frame, ends: [NodeId; 2], ip: Option<ip::Packet>) {
        if self.lines == 0 {
            return;
        }
        let recycled =
            if self.records.len() >= self.lines { self.records.pop_front() } else { None };
        let mut bytes = recycled.map(|r| r.bytes).unwrap_or_default();
        bytes.clear();
        bytes.extend_from_slice(&frame.bytes[..frame.bytes.len().min(KEPT_BYTES)]);
        let bases = ip.and_then(|ip| self.bases(&frame.bytes, &ip)).unwrap_or([0, 0]);
        self.records.push_back(Record {
            id: frame.id,
            at,
            from: ends[0],
            to: ends[1],
            len: frame.bytes.len(),
            bytes,
            ip,
            bases,
            marks: Marks::empty(),
            dropped: None,
        });
    }

    /// What the numbers of a TCP segment are relative to; a SYN's are noted.
    fn bases(&mut self, bytes: &[u8], ip: &ip::Packet) -> Option<[u32; 2]> {
        let (tcp, _) = tcp_of(bytes, ip)?;
        let source = SocketAddr::new(ip.src, tcp.src_port);
        let destination = SocketAddr::new(ip.dst, tcp.dst_port);
        if tcp.flags.contains(Flags::SYN) {
            if self.isns.len() >= MAX_FLOWS {
                self.isns.clear();
            }
            self.isns.insert((source, destination), tcp.seq.0);
        }
        let base = |key| self.isns.get(&key).copied().unwrap_or(0);
        Some([base((source, destination)), base((destination, source))])
    }

    /// The lines, oldest first, each ended by a line feed.
    pub(crate) fn render(&self, names: &[Arc<str>]) -> String {
        let mut out = String::new();
        for record in &self.records {
            let name = |node: NodeId| &*names[node.0 as usize];
            let at = millis(record.at);
            // Writing to a string cannot fail.
            let _ = write!(out, "{at}ms {}>{} ", name(record.from), name(record.to));
            record.describe(&mut out);
            record.fate(&mut out);
            out.push('\n');
        }
        out
    }
}

impl Record {
    fn describe(&self, out: &mut String) {
        let Some(ip) = &self.ip else {
            let _ = write!(out, "malformed len {}", self.len);
            return;
        };
        let version = if ip.src.is_ipv6() { "6" } else { "" };
        if let Some(fragment) = ip.fragment {
            let more = if fragment.more { "+" } else { "" };
            let end = usize::from(fragment.offset) + ip.payload_len;
            let _ = write!(
                out,
                "IP{version} fragment {} {}:{end}{more} proto {}",
                fragment.ident, fragment.offset, ip.protocol.0
            );
            return;
        }
        match (ip.protocol, tcp_of(&self.bytes, ip)) {
            (Protocol::TCP, Some((tcp, header_len))) => {
                let len = ip.payload_len - header_len;
                self.describe_tcp(out, version, &tcp, len);
            }
            (Protocol::UDP, _) => match crate::rewrite::ports(&self.padded(ip), ip) {
                Some((src, dst)) => {
                    let len = ip.payload_len.saturating_sub(8);
                    let _ = write!(out, "UDP{version} {src}>{dst} len {len}");
                }
                None => out.push_str("UDP malformed"),
            },
            (Protocol::ICMP | Protocol::ICMPV6, _) => {
                let field =
                    |at: usize| self.bytes.get(ip.payload_offset + at).copied().unwrap_or(0);
                let _ = write!(out, "ICMP{version} type {} code {}", field(0), field(1));
            }
            (Protocol(number), _) => {
                let _ = write!(out, "IP{version} proto {number} len {}", ip.payload_len);
            }
        }
    }

    fn describe_tcp(&self, out: &mut String, version: &str, tcp: &tcp::Repr, len: usize) {
        let _ = write!(out, "TCP{version} {}>{} ", tcp.src_port, tcp.dst_port);
        for (flag, letter) in FLAG_LETTERS {
            if tcp.flags.contains(flag) {
                out.push(letter);
            }
        }
        if tcp.flags.is_empty() {
            out.push('.');
        }
        let seq = tcp.seq.0.wrapping_sub(self.bases[0]);
        let _ = write!(out, " seq {seq}");
        if len > 0 {
            let _ = write!(out, ":{}", seq.wrapping_add(len as u32));
        }
        if tcp.flags.contains(Flags::ACK) {
            let _ = write!(out, " ack {}", tcp.ack.0.wrapping_sub(self.bases[1]));
        }
        let _ = write!(out, " win {}", tcp.window);
        if len > 0 {
            let _ = write!(out, " len {len}");
        }
        self.describe_options(out, &tcp.options);
    }

    fn describe_options(&self, out: &mut String, options: &tcp::Options) {
        let mut parts = Vec::new();
        if let Some(mss) = options.mss {
            parts.push(format!("mss {mss}"));
        }
        if options.sack_permitted {
            parts.push("sackOK".to_owned());
        }
        if let Some(stamps) = options.timestamps {
            parts.push(format!("ts {}:{}", stamps.val, stamps.ecr));
        }
        if let Some(shift) = options.window_scale {
            parts.push(format!("wscale {shift}"));
        }
        for (left, right) in &options.sack {
            let relative = |n: u32| n.wrapping_sub(self.bases[1]);
            parts.push(format!("sack {}:{}", relative(left.0), relative(right.0)));
        }
        if let Some(cookie) = &options.fast_open {
            parts.push(format!("tfo {}", cookie.len()));
        }
        if !parts.is_empty() {
            let _ = write!(out, " <{}>", parts.join(","));
        }
    }

    fn fate(&self, out: &mut String) {
        for (mark, _) in self.marks.iter_names() {
            let _ = write!(out, " [{}]", mark.to_ascii_lowercase());
        }
        if let Some(reason) = self.dropped {
            let _ = write!(out, " [{reason}]");
        }
    }

    /// The start of the packet, filled up so that its header's lengths hold.
    fn padded(&self, ip: &ip::Packet) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        bytes.resize(ip.payload_offset + ip.payload_len, 0);
        bytes
    }
}

const FLAG_LETTERS: [(Flags, char); 9] = [
    (Flags::SYN, 'S'),
    (Flags::FIN, 'F'),
    (Flags::RST, 'R'),
    (Flags::PSH, 'P'),
    (Flags::ACK, 'A'),
    (Flags::URG, 'U'),
    (Flags::ECE, 'E'),
    (Flags::CWR, 'C'),
    (Flags::AE, 'N'),
];

/// The TCP header of a whole segment, checksum not verified, and its length. `bytes` may be cut short after the header.
fn tcp_of(bytes: &[u8], ip: &ip::Packet) -> Option<(tcp::Repr, usize)> {
    if ip.protocol != Protocol::TCP || ip.fragment.is_some() {
        return None;
    }
    let end = bytes.len().min(ip.payload_offset + ip.payload_len);
    let segment = bytes.get(ip.payload_offset..end)?;
    tcp::Repr::parse(segment, ip.src, ip.dst, true).ok()
}

/// A moment in milliseconds, with as many of three decimals as it needs.
pub(crate) fn millis(at: Instant) -> String {
    let micros = at.as_micros();
    let text = format!("{}.{:03}", micros / 1_000, micros % 1_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
