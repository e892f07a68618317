//! Mutated frames of every kind: no panic, and nothing grows without bound.

use usernet_core::{Config, Duration, PingOptions, RawOptions, RxFrame};
use usernet_wire::ip::Protocol;

use crate::support::*;

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
            for kind in [0, 1, 2, 3, 4, 8, 11, 12, 128, 129] {
                let mut icmp = vec![kind, 0, 0, 0, 0, 0, 0, 0];
                icmp.extend_from_slice(&packet(theirs, ours, Protocol::UDP, &udp[..40]));
                let protocol = if ours.is_ipv4() { Protocol::ICMP } else { Protocol::ICMPV6 };
                seeds.push(packet(ours, dst, protocol, &icmp));
            }
        }
    }
    let mut dice = Dice(1);
    let mut now = NOW;
    for i in 0..200_000 {
        let mut frame = seeds[dice.roll(seeds.len())].clone();
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
        let gso = [0, 0, 0, 1, 536, 1400][dice.roll(6)];
        // Half of them vouched for, so that wrong checksums do not shield what is behind.
        let frame = if dice.roll(2) == 0 { vouched(frame, gso) } else { RxFrame::new(frame) };
        let interface = if dice.roll(2) == 0 { host.interface } else { right };
        host.stack.handle_frame(now, interface, frame);
        if i % 64 == 0 {
            now += Duration::from_millis(50);
            host.stack.handle_timeout(now);
            while host.stack.poll_transmit(now).is_some() {}
            host.events();
        }
    }
    let stats = host.stack.stats();
    assert!(stats.reassembly_memory <= 4 << 20 && stats.flows <= 64, "{stats:?}");
    assert!(stats.udp_in_datagrams > 0 && stats.ip_forw_datagrams > 0, "{stats:?}");
    assert!(stats.ip_reasm_oks > 0 && stats.flows_held > 0, "{stats:?}");
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
