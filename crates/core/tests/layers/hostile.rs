//! Mutated packets of every kind on links that carry IP alone: no panic, nothing grows without bound, and what is sent is
//! good to etherparse. `USERNET_HOSTILE_FRAMES` sets how many there are, `USERNET_HOSTILE_SEED` which.

use std::net::IpAddr;

use usernet_core::{
    Config, Duration, ListenAddress, ListenOptions, Medium, PingOptions, RawOptions, RxFrame,
};
use usernet_wire::ip::{Packet, Protocol};
use usernet_wire::tcp::Repr as Tcp;

use crate::oracle::{Judged, agree};
use crate::support::*;

/// Frames of a run, unless the environment says otherwise.
pub(crate) const FRAMES: u64 = 1_000_000;

/// A number from the environment.
pub(crate) fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// SplitMix64.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % sides as u64) as usize
    }
}

pub(crate) fn fix_header(frame: &mut [u8]) {
    if frame.len() >= 20 && frame[0] >> 4 == 4 {
        let len = (usize::from(frame[0] & 15) * 4).min(frame.len()).max(12);
        frame[10..12].fill(0);
        let sum = usernet_wire::checksum::checksum(&frame[..len]);
        frame[10..12].copy_from_slice(&sum.to_be_bytes());
    }
}

/// A packet whose IPv4 header has options.
pub(crate) fn with_options(src: IpAddr, dst: IpAddr, options: &[u8], body: &[u8]) -> Vec<u8> {
    let mut bytes = packet(src, dst, Protocol::UDP, body);
    bytes.splice(20..20, options.iter().copied());
    bytes[0] = 0x45 + (options.len() / 4) as u8;
    let len = bytes.len() as u16;
    bytes[2..4].copy_from_slice(&len.to_be_bytes());
    fix_header(&mut bytes);
    bytes
}

/// A packet with extension headers: each with its number, and its bytes but for the next header's number.
pub(crate) fn with_extensions(
    src: IpAddr,
    dst: IpAddr,
    chain: &[(u8, &[u8])],
    body: &[u8],
) -> Vec<u8> {
    let next = |i: usize| chain.get(i).map_or(17, |(number, _)| *number);
    let mut inner = Vec::new();
    for (i, (_, rest)) in chain.iter().enumerate() {
        inner.push(next(i + 1));
        inner.extend_from_slice(rest);
    }
    inner.extend_from_slice(body);
    packet(src, dst, Protocol(next(0)), &inner)
}

/// Opens a connection from `port` to port 80; segments that continue it.
fn establish(host: &mut Host, now: usernet_core::Instant, port: u16) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for (ours, theirs) in families() {
        let segment = |seq: u32, ack: u32, flags: u8, options: &[u8], data: &[u8]| {
            let mut tcp = vec![0; 20];
            tcp[..2].copy_from_slice(&port.to_be_bytes());
            tcp[3] = 80;
            tcp[4..8].copy_from_slice(&seq.to_be_bytes());
            tcp[8..12].copy_from_slice(&ack.to_be_bytes());
            tcp[12] = ((20 + options.len()) * 4) as u8;
            tcp[13] = flags;
            tcp[14] = 0xff;
            tcp.extend_from_slice(options);
            tcp.extend_from_slice(data);
            packet(ours, theirs, Protocol::TCP, &tcp)
        };
        // MSS, SACK permitted, timestamps, window scale.
        let options = [2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 1, 3, 3, 7];
        let syn = segment(1000, 0, 0x02, &options, &[]);
        host.stack.handle_frame(now, host.interface, vouched(syn.clone(), 0));
        all.push(syn);
        let Some(ack) = host.take(now).iter().find_map(|(_, bytes)| {
            let ip = Packet::parse(bytes).ok().filter(|ip| ip.protocol == Protocol::TCP)?;
            let (header, _) = Tcp::parse(&bytes[ip.payload_offset..], ip.src, ip.dst, true).ok()?;
            (header.dst_port == port).then_some(header.seq.0.wrapping_add(1))
        }) else {
            continue;
        };
        let time = [1, 1, 8, 10, 0, 0, 0, 10, 0, 0, 0, 0];
        host.stack.handle_frame(
            now,
            host.interface,
            vouched(segment(1001, ack, 0x10, &[], &[]), 0),
        );
        for (seq, flags) in [(1001, 0x18), (2001, 0x18), (1501, 0x19), (1001, 0x10), (1001, 0x32)] {
            all.push(segment(seq, ack, flags, &[], &pattern(500)));
            all.push(segment(seq, ack, flags, &time, &pattern(1000)));
        }
        all.push(segment(1001, ack, 0x10, &[1, 1, 5, 10, 0, 0, 0, 9, 0, 0, 0, 99], &[]));
        all.push(segment(1001, ack, 0x14, &[], &[]));
    }
    all
}

#[test]
fn mutated_frames_are_survived() {
    let config = Config { forwarding: true, max_flows: 64, ..Config::default() };
    let mut host = Host::new(2, config, interface(&["198.18.0.2/24", "fd00::2/64"]));
    let mut right = interface(&["198.18.1.2/24", "fd00:0:0:1::2/64"]);
    right.mtu = 1280;
    (right.hold, right.accept_any) = (true, true);
    let right = host.stack.add_interface(NOW, right).unwrap();
    let mut seeds = Vec::new();
    for (ours, theirs) in families() {
        host.udp(theirs, 7);
        host.stack.raw_open(RawOptions::new(253, ours.is_ipv6())).unwrap();
        host.stack.icmp_ping(NOW, PingOptions::new(ours, 1)).unwrap();
        let far = if ours.is_ipv4() { ip("198.18.1.9") } else { ip("fd00:0:0:1::9") };
        for dst in [theirs, far] {
            let udp = datagram((ours, 9).into(), (dst, 7).into(), &pattern(1400));
            seeds.push(packet(ours, dst, Protocol::UDP, &udp));
            seeds.push(fragment((ours, dst), 5, &udp, 0..1400, true));
            seeds.push(fragment((ours, dst), 5, &udp, 1400..udp.len(), false));
            seeds.push(packet(ours, dst, Protocol(253), &[0; 40]));
            // A SYN, and messages that quote one of ours.
            let mut tcp = vec![0; 20];
            tcp[..4].copy_from_slice(&[0, 9, 0, 80]);
            (tcp[12], tcp[13]) = (0x50, 0x02);
            seeds.push(packet(ours, dst, Protocol::TCP, &tcp));
            for options in [
                &[0x94, 4, 0, 0][..],
                &[7, 7, 4, 198, 18, 0, 1, 0],
                &[0x83, 7, 4, 198, 18, 1, 9, 0],
                &[68, 12, 5, 1, 198, 18, 0, 1, 0, 0, 0, 0],
                &[1, 1, 0x44, 0],
            ] {
                if dst.is_ipv4() {
                    seeds.push(with_options(ours, dst, options, &udp[..40]));
                }
            }
            let unknown: &[u8] = &[0, 0x3e, 4, 0, 0, 0, 0];
            let pad: &[u8] = &[0, 1, 4, 0, 0, 0, 0];
            let routing: &[u8] =
                &[2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
            let atomic: &[u8] = &[0, 0, 0, 0, 0, 0, 7];
            for chain in [
                &[(0, pad)][..],
                &[(0, pad), (60, pad), (43, routing), (44, atomic), (60, pad)],
                &[(60, unknown)],
                &[(0, &[0, 0x86, 4, 0, 0, 0, 0]), (60, &[0, 0xbe, 4, 0, 0, 0, 0])],
                &[(43, routing)],
                &[(44, atomic)],
                &[(44, &[0, 0, 1, 0, 0, 0, 9]), (60, pad)],
                &[(51, &[4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])],
            ] {
                if dst.is_ipv6() {
                    seeds.push(with_extensions(ours, dst, chain, &udp[..40]));
                }
            }
            for kind in [0, 1, 2, 3, 4, 8, 11, 12, 128, 129] {
                let mut icmp = vec![kind, 0, 0, 0, 0, 0, 0, 0];
                icmp.extend_from_slice(&packet(theirs, ours, Protocol::UDP, &udp[..40]));
                let protocol = if ours.is_ipv4() { Protocol::ICMP } else { Protocol::ICMPV6 };
                seeds.push(packet(ours, dst, protocol, &icmp));
            }
        }
    }
    let listen = |address| ListenOptions { address, port: 80, backlog: 64, options: None };
    let listener = host.stack.tcp_listen(listen(ListenAddress::AnyV6 { only: false })).unwrap();
    let mut dice = Dice(setting("USERNET_HOSTILE_SEED", 1));
    let mut now = NOW;
    let mut judged = Judged::default();
    let mut segments = Vec::new();
    let mut agreed = 0;
    for i in 0..setting("USERNET_HOSTILE_FRAMES", FRAMES) {
        if i % 1000 == 0 {
            segments = establish(&mut host, now, 2000 + (i / 1000 % 60_000) as u16);
            while let Ok(Some(_)) = host.stack.tcp_accept(listener) {}
        }
        let from = if dice.roll(3) == 0 { &segments } else { &seeds };
        let mut frame = from[dice.roll(from.len())].clone();
        for _ in 0..dice.roll(4) {
            let most = if dice.roll(2) == 0 { frame.len() } else { frame.len().min(64) };
            let at = dice.roll(most);
            frame[at] = dice.roll(256) as u8;
        }
        if dice.roll(8) == 0 {
            frame.truncate(dice.roll(frame.len()) + 1);
        }
        if dice.roll(2) == 0 {
            fix_header(&mut frame);
        }
        agreed += u32::from(agree(&frame));
        let gso = [0, 0, 0, 1, 536, 1400][dice.roll(6)];
        // Half of them vouched for, so that wrong checksums do not shield what is behind.
        let frame = if dice.roll(2) == 0 { vouched(frame, gso) } else { RxFrame::new(frame) };
        let interface = if dice.roll(2) == 0 { host.interface } else { right };
        host.stack.handle_frame(now, interface, frame);
        if i % 64 == 0 {
            now += Duration::from_millis(50);
            host.stack.handle_timeout(now);
            for (_, bytes) in host.take(now) {
                judged.frame(&host, Medium::Ip, &bytes);
            }
            host.events();
        }
    }
    assert!(agreed > 1000);
    assert!(judged.tcp > 1000 && judged.icmp > 1000 && judged.forwarded > 1000, "{judged:?}");
    let stats = host.stack.stats();
    assert!(stats.connections <= 1 << 16 && stats.receive_memory <= 64 << 20, "{stats:?}");
    assert!(stats.reassembly_memory <= 4 << 20 && stats.flows <= 64, "{stats:?}");
    assert!(stats.udp_in_datagrams > 0 && stats.ip_forw_datagrams > 0, "{stats:?}");
    assert!(stats.ip_reasm_oks > 0 && stats.flows_held > 0, "{stats:?}");
    host.stack.abort_all(now);
    now += Duration::from_secs(600);
    for _ in 0..10_000 {
        host.stack.handle_timeout(now);
        while host.stack.poll_transmit(now).is_some() {}
        match host.stack.poll_timeout() {
            Some(due) => now = now.max(due),
            None => break,
        }
    }
    let stats = host.stack.stats();
    assert_eq!((stats.reassembly_memory, stats.flows), (0, 0));
}
