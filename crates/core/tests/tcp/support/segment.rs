//! Packets between the script's peer and the stack: building what the peer sends, reading what the stack sent.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use usernet_core::Instant;
use usernet_wire::ip::{self, Protocol};
use usernet_wire::tcp::{self, Flags};
use usernet_wire::{SeqNumber, checksum};

use super::language::{Icmp, Segment, Twist};
use super::options::Opt;

/// Over which IP version a script runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    /// The stack's address.
    pub(crate) fn ours(self) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::new(198, 18, 0, 2).into(),
            Self::V6 => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2).into(),
        }
    }

    /// The peer's address.
    pub(crate) fn peer(self) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::new(198, 18, 0, 1).into(),
            Self::V6 => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1).into(),
        }
    }

    /// Length of IP and TCP header without options, bytes.
    pub(crate) fn headers(self) -> u16 {
        match self {
            Self::V4 => 40,
            Self::V6 => 60,
        }
    }

    /// An address by what it is.
    pub(crate) fn named(self, name: &str) -> Option<IpAddr> {
        Some(match (name, self) {
            ("self", _) => self.ours(),
            ("peer", _) => self.peer(),
            ("broadcast", Self::V4) => Ipv4Addr::BROADCAST.into(),
            ("subnet-broadcast", Self::V4) => Ipv4Addr::new(198, 18, 0, 255).into(),
            ("multicast", Self::V4) => Ipv4Addr::new(224, 0, 0, 1).into(),
            ("unspecified", Self::V4) => Ipv4Addr::UNSPECIFIED.into(),
            ("loopback", Self::V4) => Ipv4Addr::LOCALHOST.into(),
            ("other", Self::V4) => Ipv4Addr::new(198, 18, 0, 77).into(),
            // IPv6 has no broadcast: multicast to all nodes stands for it.
            ("broadcast" | "subnet-broadcast" | "multicast", Self::V6) => {
                Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1).into()
            }
            ("unspecified", Self::V6) => Ipv6Addr::UNSPECIFIED.into(),
            ("loopback", Self::V6) => Ipv6Addr::LOCALHOST.into(),
            ("other", Self::V6) => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x77).into(),
            _ => return None,
        })
    }
}

/// What both ends of a connection number their bytes from.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bases {
    /// The stack's initial sequence number; 0 before it is known.
    pub(crate) ours: u32,
    /// The peer's.
    pub(crate) peer: u32,
}

/// The byte that an end sends at a sequence number relative to its initial one.
pub(crate) fn byte_at(from_stack: bool, relative: u32) -> u8 {
    let salt = if from_stack { 0x5a } else { 0xa5 };
    (relative.wrapping_mul(2_654_435_761) >> 13) as u8 ^ salt
}

/// The bytes of a range of sequence numbers.
pub(crate) fn bytes_at(from_stack: bool, relative: u32, len: u32) -> Vec<u8> {
    (0..len).map(|i| byte_at(from_stack, relative.wrapping_add(i))).collect()
}

/// The frame that a `<` line describes. `ports` are the peer's and ours, `last` the newest TSval the stack sent.
pub(crate) fn build(
    family: Family,
    ports: (u16, u16),
    bases: Bases,
    last: u32,
    segment: &Segment,
) -> Result<Vec<u8>, String> {
    let options = segment.options.as_deref().unwrap_or_default();
    build_with(family, ports, bases, segment, &Opt::encode(options, bases.ours, last))
}

/// The frame of a segment with these bytes for options, a multiple of 4 and at most 40.
pub(crate) fn build_with(
    family: Family,
    ports: (u16, u16),
    bases: Bases,
    segment: &Segment,
    options: &[u8],
) -> Result<Vec<u8>, String> {
    let mut src = family.peer();
    let mut dst = family.ours();
    let (mut src_port, mut dst_port) = ports;
    for twist in &segment.twists {
        let named = |name: &str| family.named(name).ok_or(format!("no such address: {name}"));
        match twist {
            Twist::From(name) => src = named(name)?,
            Twist::To(name) => dst = named(name)?,
            Twist::Port(port) => dst_port = *port,
            Twist::SourcePort(port) => src_port = *port,
            _ => {}
        }
    }
    // Data on a SYN lies behind it.
    let syn = u32::from(segment.flags.contains(Flags::SYN));
    let mut payload = bytes_at(false, segment.seq.wrapping_add(syn), segment.len);
    if segment.twists.contains(&Twist::OtherData) {
        payload = payload.into_iter().map(|b| !b).collect();
    }
    let repr = tcp::Repr {
        src_port,
        dst_port,
        seq: SeqNumber(segment.seq.wrapping_add(bases.peer)),
        ack: SeqNumber(segment.ack.map_or(0, |ack| ack.wrapping_add(bases.ours))),
        flags: segment.flags,
        window: segment.win.unwrap_or(65535),
        urgent: segment.urgent.unwrap_or(0),
        options: tcp::Options::default(),
    };
    let mut header = vec![0; tcp::HEADER_LEN];
    repr.emit(&mut header);
    header.extend(options);
    let mut words = (header.len() / 4) as u8;
    for twist in &segment.twists {
        if let Twist::DataOffset(n) = twist {
            words = *n;
        }
    }
    header[12] = words << 4 | header[12] & 0x0f;
    tcp::Repr::fill_checksum(&mut header, &[&payload], src, dst);
    if segment.twists.contains(&Twist::BadChecksum) {
        header[tcp::CHECKSUM_OFFSET] ^= 0x10;
    }
    header.extend(payload);
    let traffic_class = segment.dscp.unwrap_or(0) << 2 | segment.ecn.unwrap_or(0);
    let hop_limit = segment.ttl.unwrap_or(HOP_LIMIT);
    let mut frame = ip_packet(src, dst, Protocol::TCP, hop_limit, traffic_class, &header);
    for twist in &segment.twists {
        match twist {
            Twist::IpOptions(options) if family == Family::V4 => {
                add_ip_options(&mut frame, options);
            }
            Twist::Cut(n) => frame.truncate(frame.len().saturating_sub(*n)),
            Twist::Padded(n) => frame.resize(frame.len() + n, 0xee),
            _ => {}
        }
    }
    Ok(frame)
}

/// The frame of an ICMP error about a segment of ours; `None` when the family has no such error.
pub(crate) fn build_icmp(
    family: Family,
    ports: (u16, u16),
    bases: Bases,
    icmp: &Icmp,
) -> Result<Option<Vec<u8>>, String> {
    let (kind, code) = match (icmp.kind.as_str(), family) {
        ("net-unreachable", Family::V4) => (3, 0),
        ("host-unreachable", Family::V4) => (3, 1),
        ("protocol-unreachable", Family::V4) => (3, 2),
        ("port-unreachable", Family::V4) => (3, 3),
        ("too-big", Family::V4) => (3, 4),
        ("net-prohibited", Family::V4) => (3, 9),
        ("host-prohibited", Family::V4) => (3, 10),
        ("admin-prohibited", Family::V4) => (3, 13),
        ("time-exceeded", Family::V4) => (11, 0),
        ("source-route-failed", Family::V4) => (3, 5),
        ("parameter-problem", Family::V4) => (12, 0),
        ("source-quench", Family::V4) => (4, 0),
        ("net-unreachable", Family::V6) => (1, 0),
        ("admin-prohibited", Family::V6) => (1, 1),
        ("host-unreachable", Family::V6) => (1, 3),
        ("port-unreachable", Family::V6) => (1, 4),
        // Source address failed policy, and reject route.
        ("net-prohibited", Family::V6) => (1, 6),
        ("host-prohibited", Family::V6) => (1, 5),
        ("too-big", Family::V6) => (2, 0),
        ("time-exceeded", Family::V6) => (3, 0),
        ("parameter-problem", Family::V6) => (4, 0),
        ("protocol-unreachable", Family::V6) => (4, 1),
        ("source-quench" | "source-route-failed", Family::V6) => return Ok(None),
        (other, _) => return Err(format!("no such ICMP error: {other}")),
    };
    let mut quoted = vec![0; tcp::HEADER_LEN];
    let repr = tcp::Repr {
        src_port: ports.1,
        dst_port: ports.0,
        seq: SeqNumber(icmp.seq.wrapping_add(bases.ours)),
        flags: Flags::ACK,
        ..tcp::Repr::default()
    };
    repr.emit(&mut quoted);
    let (ours, peer) = (family.ours(), family.peer());
    let mut body = vec![kind, code, 0, 0];
    body.extend(icmp.mtu.to_be_bytes());
    body.extend(ip_packet(ours, peer, Protocol::TCP, HOP_LIMIT, 0, &quoted));
    let sum = match family {
        Family::V4 => checksum::checksum(&body),
        Family::V6 => {
            let mut sum =
                checksum::Sum::pseudo_header(peer, ours, Protocol::ICMPV6, body.len() as u32);
            sum.add(&body);
            sum.finish()
        }
    };
    body[2..4].copy_from_slice(&sum.to_be_bytes());
    let protocol = if family == Family::V4 { Protocol::ICMP } else { Protocol::ICMPV6 };
    Ok(Some(ip_packet(peer, ours, protocol, HOP_LIMIT, 0, &body)))
}

/// The hop limit of the peer's packets where a script says nothing.
const HOP_LIMIT: u8 = 64;

/// Puts options into the header of an IPv4 packet.
fn add_ip_options(frame: &mut Vec<u8>, options: &[u8]) {
    let header_len = 20 + options.len();
    frame.splice(20..20, options.iter().copied());
    let total = frame.len() as u16;
    frame[0] = 0x40 | (header_len / 4) as u8;
    frame[2..4].copy_from_slice(&total.to_be_bytes());
    frame[10..12].fill(0);
    let sum = checksum::checksum(&frame[..header_len]);
    frame[10..12].copy_from_slice(&sum.to_be_bytes());
}

fn ip_packet(
    src: IpAddr,
    dst: IpAddr,
    protocol: Protocol,
    hop_limit: u8,
    traffic_class: u8,
    payload: &[u8],
) -> Vec<u8> {
    let repr = ip::Repr {
        src,
        dst,
        protocol,
        hop_limit,
        traffic_class,
        ident: 0,
        dont_fragment: true,
        flow_label: 0,
        payload_len: payload.len(),
    };
    let mut packet = vec![0; repr.header_len()];
    repr.emit(&mut packet);
    packet.extend(payload);
    packet
}

/// A segment that the stack sent.
#[derive(Clone, Debug)]
pub(crate) struct Observed {
    pub(crate) at: Instant,
    pub(crate) ip: ip::Packet,
    pub(crate) tcp: tcp::Repr,
    pub(crate) options: Vec<u8>,
    pub(crate) payload: Vec<u8>,
}

impl Observed {
    /// Reads a frame, which must be a good TCP segment.
    pub(crate) fn parse(at: Instant, frame: &[u8]) -> Result<Self, String> {
        let ip = ip::Packet::parse(frame).map_err(|e| format!("not an IP packet: {e}"))?;
        if ip.protocol != Protocol::TCP {
            return Err(format!("not TCP: protocol {}", ip.protocol.0));
        }
        let bytes = &frame[ip.payload_offset..ip.payload_offset + ip.payload_len];
        if frame.len() != ip.payload_offset + ip.payload_len {
            return Err("the frame is longer than its packet".into());
        }
        let (tcp, header_len) = tcp::Repr::parse(bytes, ip.src, ip.dst, false)
            .map_err(|e| format!("not a TCP segment: {e}"))?;
        let options = bytes[tcp::HEADER_LEN..header_len].to_vec();
        Ok(Self { at, ip, tcp, options, payload: bytes[header_len..].to_vec() })
    }

    /// First sequence number, relative.
    pub(crate) fn seq(&self, bases: Bases) -> u32 {
        self.tcp.seq.0.wrapping_sub(bases.ours)
    }

    /// What differs from what a `>` line wants; empty when nothing does.
    pub(crate) fn differences(&self, bases: Bases, wanted: &Segment) -> Vec<String> {
        let mut differences = Vec::new();
        let mut differ = |what: &str, have: String, want: String| {
            if have != want {
                differences.push(format!("{what} is {have}, expected {want}"));
            }
        };
        // PSH only counts where the script has it.
        let psh = if wanted.flags.contains(Flags::PSH) { Flags::empty() } else { Flags::PSH };
        differ("flags", flag_names(self.tcp.flags - psh), flag_names(wanted.flags));
        let (seq, len) = (self.seq(bases), self.payload.len() as u32);
        if !wanted.anywhere {
            differ("range", range(seq, len), range(wanted.seq, wanted.len));
        }
        if let Some(ack) = wanted.ack {
            let have = self.tcp.ack.0.wrapping_sub(bases.peer);
            differ("ack", (have as i32).to_string(), (ack as i32).to_string());
        }
        if let Some(win) = wanted.win {
            differ("win", self.tcp.window.to_string(), win.to_string());
        }
        if let Some(urgent) = wanted.urgent {
            differ("urg", self.tcp.urgent.to_string(), urgent.to_string());
        }
        if let Some(ecn) = wanted.ecn {
            differ("ecn", (self.ip.traffic_class & 3).to_string(), ecn.to_string());
        }
        if let Some(ttl) = wanted.ttl {
            differ("ttl", self.ip.hop_limit.to_string(), ttl.to_string());
        }
        if let Some(dscp) = wanted.dscp {
            differ("dscp", (self.ip.traffic_class >> 2).to_string(), dscp.to_string());
        }
        if let Some(options) = &wanted.options {
            let have = Opt::decode(&self.options, bases.peer);
            let same =
                have.len() == options.len() && have.iter().zip(options).all(|(h, w)| h.matches(w));
            if !same {
                differ("options", format!("<{}>", list(&have)), format!("<{}>", list(options)));
            }
        }
        differences
    }

    /// As a script would spell it.
    pub(crate) fn spell(&self, bases: Bases) -> String {
        let mut text = format!(
            "> {} {}",
            flag_names(self.tcp.flags),
            range(self.seq(bases), self.payload.len() as u32)
        );
        if self.tcp.flags.contains(Flags::ACK) {
            let _ = write!(text, " ack {}", self.tcp.ack.0.wrapping_sub(bases.peer) as i32);
        }
        let _ = write!(text, " win {}", self.tcp.window);
        if !self.options.is_empty() {
            let _ = write!(text, " <{}>", list(&Opt::decode(&self.options, bases.peer)));
        }
        text
    }
}

fn list(options: &[Opt]) -> String {
    options.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn range(seq: u32, len: u32) -> String {
    format!("{}:{}({len})", seq as i32, seq.wrapping_add(len) as i32)
}

fn flag_names(flags: Flags) -> String {
    let names = [
        (Flags::FIN, 'F'),
        (Flags::SYN, 'S'),
        (Flags::RST, 'R'),
        (Flags::PSH, 'P'),
        (Flags::ECE, 'E'),
        (Flags::CWR, 'W'),
        (Flags::AE, 'A'),
        (Flags::URG, 'U'),
        (Flags::ACK, '.'),
    ];
    let text: String = names.iter().filter(|(f, _)| flags.contains(*f)).map(|(_, c)| c).collect();
    if text.is_empty() { "-".into() } else { text }
}
