//! Hosts on an Ethernet segment, in virtual time: every frame reaches every station.

use usernet_core::{
    Config, Detection, Duration, Event, Instant, InterfaceConfig, MacAddr, Medium, NeighborInfo,
    PingOptions, PingOutcome, RxFrame,
};
use usernet_wire::ethernet::{EtherType, HEADER_LEN, Repr};
use usernet_wire::ip::{Packet, Protocol, Repr as IpRepr};
use usernet_wire::ndp::{Message, NdOption};
use usernet_wire::{arp, icmpv6};

use crate::support::*;

/// The hardware address of station `n`.
pub(crate) fn mac(n: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, n])
}

pub(crate) fn ethernet(n: u8, addresses: &[&str]) -> InterfaceConfig {
    InterfaceConfig { medium: Medium::Ethernet(mac(n)), ..interface(addresses) }
}

/// A segment.
pub(crate) struct Lan {
    pub(crate) now: Instant,
    pub(crate) hosts: Vec<Host>,
    /// Every frame, with when it was sent.
    pub(crate) log: Vec<(Instant, Vec<u8>)>,
}

impl Lan {
    /// A segment with hosts that have those interfaces.
    pub(crate) fn new(interfaces: Vec<InterfaceConfig>) -> Self {
        let hosts = interfaces
            .into_iter()
            .enumerate()
            .map(|(n, interface)| Host::new(n as u8 + 1, Config::default(), interface))
            .collect();
        Self { now: NOW, hosts, log: Vec::new() }
    }

    /// Hosts 1 to `n`, `198.18.0.{n}/24` and `fd00::{n}/64`, whose addresses are sure already.
    pub(crate) fn of(n: u8) -> Self {
        let interfaces = (1..=n).map(|n| InterfaceConfig {
            detection: Detection::Off,
            ..ethernet(n, &[&format!("198.18.0.{n}/24"), &format!("fd00::{n}/64")])
        });
        let mut lan = Self::new(interfaces.collect());
        lan.ms(3000);
        lan.log.clear();
        lan
    }

    /// Carries frames at the present moment until there are none.
    pub(crate) fn settle(&mut self) {
        loop {
            let mut sent = Vec::new();
            for (from, host) in self.hosts.iter_mut().enumerate() {
                host.stack.handle_timeout(self.now);
                sent.extend(host.take(self.now).into_iter().map(|(_, frame)| (from, frame)));
            }
            if sent.is_empty() {
                return;
            }
            for (from, frame) in sent {
                self.log.push((self.now, frame.clone()));
                for (to, host) in self.hosts.iter_mut().enumerate() {
                    if to != from {
                        let frame = RxFrame::new(frame.clone());
                        host.stack.handle_frame(self.now, host.interface, frame);
                    }
                }
            }
        }
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.settle();
            let due = self.hosts.iter().filter_map(|host| host.stack.poll_timeout()).min();
            match due {
                Some(due) if due <= end => self.now = self.now.max(due),
                _ => break,
            }
        }
        self.now = end;
        self.settle();
    }

    pub(crate) fn ms(&mut self, ms: u64) {
        self.run(Duration::from_millis(ms));
    }

    /// Gives a frame to a host (counting from 1) that no host sent.
    pub(crate) fn inject(&mut self, to: usize, frame: Vec<u8>) {
        let host = &mut self.hosts[to - 1];
        host.stack.handle_frame(self.now, host.interface, RxFrame::new(frame));
    }

    pub(crate) fn host(&mut self, n: usize) -> &mut Host {
        &mut self.hosts[n - 1]
    }

    /// The frames since the last call.
    pub(crate) fn frames(&mut self) -> Vec<Frame> {
        self.log.drain(..).map(|(at, bytes)| Frame::parse(at, &bytes)).collect()
    }

    /// What host `n` knows of a neighbour.
    pub(crate) fn neighbor(&self, n: usize, addr: &str) -> Option<NeighborInfo> {
        let all = self.hosts[n - 1].stack.neighbors(self.now);
        all.into_iter().find(|neighbor| neighbor.addr == ip(addr))
    }

    /// Pings, and gives the outcome, which takes at most 10 s.
    pub(crate) fn ping(&mut self, from: usize, to: &str, size: usize) -> PingOutcome {
        let now = self.now;
        let options =
            PingOptions { size, timeout: Duration::from_secs(10), ..PingOptions::new(ip(to), 1) };
        let id = self.host(from).stack.icmp_ping(now, options).expect("a way");
        for _ in 0..=100 {
            self.ms(100);
            for event in self.host(from).events() {
                if let Event::Ping(which, outcome) = event
                    && which == id
                {
                    return outcome;
                }
            }
        }
        panic!("no outcome");
    }

    /// Whether a ping is answered.
    pub(crate) fn reaches(&mut self, from: usize, to: &str) -> bool {
        matches!(self.ping(from, to, 8), PingOutcome::Reply { intact: true, .. })
    }
}

/// A frame, as the tests look at it.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) at: Instant,
    pub(crate) src: MacAddr,
    pub(crate) dst: MacAddr,
    pub(crate) what: What,
}

#[derive(Debug, PartialEq)]
pub(crate) enum What {
    Arp(arp::Repr),
    /// A neighbour discovery message with the addresses it went between, and the hardware addresses it gives.
    Nd(String, String, Message, Vec<MacAddr>),
    /// Source, destination, protocol, length.
    Ip(String, String, Protocol, usize),
}

impl Frame {
    fn parse(at: Instant, bytes: &[u8]) -> Self {
        let (header, len) = Repr::parse(bytes).expect("a good frame");
        let body = &bytes[len..];
        let what = if header.ethertype == EtherType::ARP {
            What::Arp(arp::Repr::parse(body).expect("good ARP"))
        } else {
            let packet = Packet::parse(body).expect("a good packet");
            let (src, dst) = (packet.src.to_string(), packet.dst.to_string());
            let data = &body[packet.payload_offset..packet.payload_offset + packet.payload_len];
            nd(&packet, data).map_or_else(
                || What::Ip(src.clone(), dst.clone(), packet.protocol, packet.payload_len),
                |(message, macs)| What::Nd(src.clone(), dst.clone(), message, macs),
            )
        };
        Self { at, src: header.src, dst: header.dst, what }
    }

    pub(crate) fn arp(&self) -> Option<arp::Repr> {
        match self.what {
            What::Arp(arp) => Some(arp),
            _ => None,
        }
    }

    pub(crate) fn nd(&self) -> Option<(&str, &str, Message, &[MacAddr])> {
        match &self.what {
            What::Nd(src, dst, message, macs) => Some((src, dst, *message, macs)),
            _ => None,
        }
    }
}

fn nd(packet: &Packet, data: &[u8]) -> Option<(Message, Vec<MacAddr>)> {
    let (std::net::IpAddr::V6(src), std::net::IpAddr::V6(dst)) = (packet.src, packet.dst) else {
        return None;
    };
    if packet.protocol != Protocol::ICMPV6 || packet.fragment.is_some() {
        return None;
    }
    let icmpv6::Repr::Other { kind, code, rest } =
        icmpv6::Repr::parse(data, src, dst, false).expect("a good checksum")
    else {
        return None;
    };
    let (message, options) = Message::parse(kind, code, rest, packet).ok()?;
    let macs = options
        .into_iter()
        .filter_map(|option| match option {
            NdOption::SourceMac(mac) | NdOption::TargetMac(mac) => Some(mac),
            _ => None,
        })
        .collect();
    Some((message, macs))
}

/// A frame around a packet.
pub(crate) fn framed(from: MacAddr, to: MacAddr, packet: &[u8]) -> Vec<u8> {
    let ethertype = if packet[0] >> 4 == 6 { EtherType::IPV6 } else { EtherType::IPV4 };
    let mut frame = vec![0; HEADER_LEN];
    Repr { dst: to, src: from, ethertype }.emit(&mut frame);
    frame.extend_from_slice(packet);
    frame
}

pub(crate) fn arp_frame(to: MacAddr, arp: &arp::Repr) -> Vec<u8> {
    let mut frame = vec![0; HEADER_LEN + arp::LEN];
    let header = Repr { dst: to, src: arp.sender_mac, ethertype: EtherType::ARP };
    header.emit(&mut frame[..HEADER_LEN]);
    arp.emit(&mut frame[HEADER_LEN..]);
    frame
}

/// A neighbour discovery message in its frame, to the address's group or to station `to`.
pub(crate) fn nd_frame(
    (from, src): (MacAddr, &str),
    (to, dst): (Option<MacAddr>, &str),
    message: Message,
    options: &[NdOption<'_>],
    hop_limit: u8,
) -> Vec<u8> {
    let (src, dst): (std::net::Ipv6Addr, std::net::Ipv6Addr) =
        (src.parse().unwrap(), dst.parse().unwrap());
    let payload_len = message.len(options);
    let ip = IpRepr { hop_limit, ..header(src.into(), dst.into(), Protocol::ICMPV6, payload_len) };
    let mut packet = vec![0; 40 + payload_len];
    ip.emit(&mut packet[..40]);
    message.emit(options, &mut packet[40..], src, dst);
    framed(from, to.unwrap_or(MacAddr::multicast_v6(dst)), &packet)
}
