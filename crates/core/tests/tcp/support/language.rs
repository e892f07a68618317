//! The script language: one step a line, parsed here and run by the tester. See `support` for what can be said.

use std::time::Duration;

use usernet_wire::tcp::Flags;

use super::options::{Opt, bytes};

/// One line of a script.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// The line, for messages.
    pub(crate) text: String,
    /// When it happens, after the step before it.
    pub(crate) delay: Delay,
    /// `[2]`: on which connection; 1 when not said.
    pub(crate) peer: Option<usize>,
    /// What happens.
    pub(crate) op: Op,
}

/// When a step happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delay {
    /// At once.
    None,
    /// `+40ms`: then; a segment may come 1 ms before or after.
    After(Duration),
    /// `+40..60ms`: within that time (segments only).
    Between(Duration, Duration),
}

/// What happens in a step.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// `< ...`: the peer sends a segment.
    Inject(Segment),
    /// `> ...`: the stack's next packet is this one.
    Expect(Segment),
    /// `>* 1:5001(5000) ...`: the stack's next packets are full segments that together carry this.
    ExpectStream(Segment),
    /// `< icmp ...`: a router or the peer sends an ICMP error about our segment.
    Icmp(Icmp),
    /// Anything else, word by word.
    Call(Vec<String>),
}

/// A segment as a script spells it; sequence numbers relative to the initial ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct Segment {
    pub(crate) flags: Flags,
    /// `*` in place of the range: any will do.
    pub(crate) anywhere: bool,
    pub(crate) seq: u32,
    pub(crate) len: u32,
    pub(crate) ack: Option<u32>,
    pub(crate) win: Option<u16>,
    pub(crate) urgent: Option<u16>,
    pub(crate) options: Option<Vec<Opt>>,
    /// `not-ect`, `ect0`, `ect1`, `ce`: the ECN bits of its packet; 0 of the peer's where the script says nothing.
    pub(crate) ecn: Option<u8>,
    /// `ttl N`: the hop limit of its packet; 64 of the peer's where the script says nothing.
    pub(crate) ttl: Option<u8>,
    /// `dscp N`: the differentiated services field of its packet; 0 of the peer's where the script says nothing.
    pub(crate) dscp: Option<u8>,
    /// Largest segment of a stream, bytes.
    pub(crate) mss: u32,
    /// What is wrong with an injected segment.
    pub(crate) twists: Vec<Twist>,
}

/// How an injected segment differs from a good one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Twist {
    /// `bad-checksum`.
    BadChecksum,
    /// `cut N`: the frame ends N bytes early.
    Cut(usize),
    /// `padded N`: N bytes follow the packet in the frame.
    Padded(usize),
    /// `offset N`: the data offset field, in words.
    DataOffset(u8),
    /// `from X`: source address `self`, `broadcast`, `multicast`, `unspecified`, `subnet-broadcast`.
    From(String),
    /// `to X`: destination address, the same names.
    To(String),
    /// `port N`: to this port of ours.
    Port(u16),
    /// `source-port N`: from this port of the peer.
    SourcePort(u16),
    /// `held`: what the stack says to it is only looked at after the next step.
    Held,
    /// `other-data`: its bytes are not those of the stream.
    OtherData,
    /// `merged N`: the device merged segments of N bytes.
    Merged(u16),
    /// `ip-options HEX`: its IPv4 header has these options, a multiple of 4 bytes; nothing over IPv6.
    IpOptions(Vec<u8>),
}

/// An ICMP error as a script spells it: `< icmp host-unreachable 1:1461(1460)`.
#[derive(Clone, Debug)]
pub(crate) struct Icmp {
    /// `net-unreachable`, `host-unreachable`, `port-unreachable`, `protocol-unreachable`, `admin-prohibited`,
    /// `net-prohibited`, `host-prohibited`,
    /// `source-route-failed`, `time-exceeded`, `parameter-problem`, `too-big N`, `source-quench`.
    pub(crate) kind: String,
    /// Next-hop MTU of `too-big`.
    pub(crate) mtu: u32,
    /// Which sequence number of ours is quoted, relative.
    pub(crate) seq: u32,
}

/// A number that may be negative: below the initial sequence number.
pub(crate) fn number(text: &str) -> Result<u32, String> {
    let n: i64 = text.parse().map_err(|_| format!("not a number: {text:?}"))?;
    Ok(n as u32)
}

/// `40ms`, `1.5s`, `200us`, `2m`, `2h`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| c.is_alphabetic()).ok_or("a duration has a unit")?;
    let n: f64 = text[..split].parse().map_err(|_| format!("not a duration: {text:?}"))?;
    let unit = match &text[split..] {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("no such unit: {text:?}")),
    };
    // Through whole nanoseconds: 0.2 s is 200 ms and not a little less.
    Ok(Duration::from_nanos((n * unit * 1e9).round() as u64))
}

impl Step {
    /// Parses a script: unrolls `repeat N { .. }`, skips blank lines and comments.
    pub(crate) fn parse_all(text: &str) -> Result<Vec<Self>, String> {
        let mut steps = Vec::new();
        let mut loops: Vec<(usize, usize)> = Vec::new();
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            if let Some(times) = line.strip_prefix("repeat ").and_then(|l| l.strip_suffix('{')) {
                let times = number(times.trim()).map_err(|e| format!("{e}\n  in: {line}"))?;
                loops.push((times as usize, steps.len()));
                continue;
            }
            if line == "}" {
                let (times, start) = loops.pop().ok_or("a } without repeat")?;
                let body: Vec<Self> = steps[start..].to_vec();
                for _ in 1..times {
                    steps.extend_from_slice(&body);
                }
                continue;
            }
            steps.push(Self::parse(line).map_err(|e| format!("{e}\n  in: {line}"))?);
        }
        if loops.is_empty() { Ok(steps) } else { Err("a repeat without }".into()) }
    }

    fn parse(line: &str) -> Result<Self, String> {
        let (delay, rest) = match line.strip_prefix('+') {
            None => (Delay::None, line),
            Some(rest) => {
                let (time, rest) = rest.split_once(' ').unwrap_or((rest, ""));
                let delay = match time.split_once("..") {
                    Some((low, high)) => {
                        // The unit of the second stands for both.
                        let unit = &high[high.find(char::is_alphabetic).unwrap_or(high.len())..];
                        let low = if low.ends_with(char::is_alphabetic) {
                            duration(low)?
                        } else {
                            duration(&format!("{low}{unit}"))?
                        };
                        Delay::Between(low, duration(high)?)
                    }
                    None => Delay::After(duration(time)?),
                };
                (delay, rest.trim())
            }
        };
        let (peer, rest) = match rest.strip_prefix('[').and_then(|r| r.split_once(']')) {
            Some((n, rest)) => (Some(number(n)? as usize), rest.trim()),
            None => (None, rest),
        };
        let op = if let Some(rest) = rest.strip_prefix("< icmp ") {
            Op::Icmp(Icmp::parse(rest)?)
        } else if let Some(rest) = rest.strip_prefix("<") {
            Op::Inject(Segment::parse(rest)?)
        } else if let Some(rest) = rest.strip_prefix(">*") {
            let rest = rest.trim();
            let flags = if rest.starts_with(|c: char| c.is_ascii_digit()) { ". " } else { "" };
            Op::ExpectStream(Segment::parse(&format!("{flags}{rest}"))?)
        } else if let Some(rest) = rest.strip_prefix('>') {
            Op::Expect(Segment::parse(rest)?)
        } else if rest.is_empty() {
            Op::Call(vec!["nothing".into()])
        } else {
            Op::Call(rest.split_whitespace().map(String::from).collect())
        };
        Ok(Self { text: line.into(), delay, peer, op })
    }
}

impl Segment {
    /// Parses `S. 0:0(0) ack 1 win 65535 <mss 1460> ..`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut segment = Self { mss: 1460, ..Self::default() };
        let mut words = match text.split_once('<') {
            None => text.to_string(),
            Some((before, rest)) => {
                let (list, after) = rest.split_once('>').ok_or("options end with >")?;
                segment.options = Some(Opt::parse_list(list)?);
                format!("{before} {after}")
            }
        };
        words = words.trim().to_string();
        let mut words = words.split_whitespace();
        for c in words.next().ok_or("a segment begins with its flags")?.chars() {
            segment.flags |= match c {
                'F' => Flags::FIN,
                'S' => Flags::SYN,
                'R' => Flags::RST,
                'P' => Flags::PSH,
                '.' => Flags::ACK,
                'U' => Flags::URG,
                'E' => Flags::ECE,
                'W' => Flags::CWR,
                'A' => Flags::AE,
                '-' => Flags::empty(),
                _ => return Err(format!("no such flag: {c}")),
            };
        }
        let range = words.next().ok_or("flags are followed by first:last(length)")?;
        segment.anywhere = range == "*";
        let range = if segment.anywhere { "0:0(0)" } else { range };
        let parsed = range.trim_end_matches(')').split_once('(').and_then(|(range, len)| {
            let (first, last) = range.split_once(':')?;
            Some((number(first), number(last), number(len)))
        });
        let Some((Ok(first), Ok(last), Ok(len))) = parsed else {
            return Err(format!("not first:last(length): {range}"));
        };
        if last.wrapping_sub(first) != len {
            return Err(format!("{range}: the length is {}", last.wrapping_sub(first) as i32));
        }
        (segment.seq, segment.len) = (first, len);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            match word {
                "ack" => segment.ack = Some(number(value()?)?),
                "win" => segment.win = Some(value()?.parse().map_err(|_| "win is 16 bits")?),
                "urg" => segment.urgent = Some(number(value()?)? as u16),
                "ttl" => segment.ttl = Some(number(value()?)? as u8),
                "dscp" => segment.dscp = Some(number(value()?)? as u8),
                "mss" => segment.mss = number(value()?)?,
                "not-ect" => segment.ecn = Some(0),
                "ect1" => segment.ecn = Some(1),
                "ect0" => segment.ecn = Some(2),
                "ce" => segment.ecn = Some(3),
                "bad-checksum" => segment.twists.push(Twist::BadChecksum),
                "cut" => segment.twists.push(Twist::Cut(number(value()?)? as usize)),
                "padded" => segment.twists.push(Twist::Padded(number(value()?)? as usize)),
                "offset" => segment.twists.push(Twist::DataOffset(number(value()?)? as u8)),
                "from" => segment.twists.push(Twist::From(value()?.into())),
                "to" => segment.twists.push(Twist::To(value()?.into())),
                "port" => segment.twists.push(Twist::Port(number(value()?)? as u16)),
                "source-port" => segment.twists.push(Twist::SourcePort(number(value()?)? as u16)),
                "merged" => segment.twists.push(Twist::Merged(number(value()?)? as u16)),
                "ip-options" => {
                    let options = bytes(value()?).filter(|b| b.len() % 4 == 0);
                    let options = options.ok_or("ip-options takes words in hexadecimal")?;
                    segment.twists.push(Twist::IpOptions(options));
                }
                "held" => segment.twists.push(Twist::Held),
                "other-data" => segment.twists.push(Twist::OtherData),
                _ => return Err(format!("not a part of a segment: {word}")),
            }
        }
        Ok(segment)
    }
}

impl Icmp {
    fn parse(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (kind, mtu, seq) = match words[..] {
            ["too-big", mtu, seq] => ("too-big", number(mtu)?, seq),
            [kind, seq] => (kind, 0, seq),
            _ => return Err("icmp KIND [mtu] SEQ".into()),
        };
        Ok(Self { kind: kind.into(), mtu, seq: number(seq)? })
    }
}
