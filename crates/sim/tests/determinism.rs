//! One seed, one outcome: captures are equal to the last byte, and they are well-formed pcapng.

use usernet_sim::{
    Action, CaptureConfig, Discipline, Duration, Flow, LinkConfig, Loss, Match, NatConfig, NatKind,
    Network, Traffic,
};

/// A network with everything in it, for some seconds of traffic; its capture and its trace.
fn everything(seed: u64) -> (Vec<u8>, String) {
    let mut net = Network::new(seed);
    let capture = net.capture(CaptureConfig::default());
    net.keep_trace(1_000_000);
    let bad = LinkConfig {
        delay: Duration::from_millis(5),
        jitter: Duration::from_millis(3),
        loss: Loss::Uniform(0.02),
        duplicate: 0.02,
        reorder: 0.05,
        corrupt: 0.005,
        ..LinkConfig::default()
    };
    let narrow = LinkConfig {
        delay: Duration::from_millis(10),
        rate: Some(20_000_000),
        queue: 40_000,
        discipline: Discipline::CoDel(usernet_sim::CoDel::default()),
        loss: Loss::GilbertElliott { to_bad: 0.01, to_good: 0.3, loss_good: 0.0, loss_bad: 0.5 },
        ..LinkConfig::default()
    };
    let server = net.host("server").unwrap();
    let router = net.router("router").unwrap();
    let nat =
        net.nat("nat", NatConfig { kind: NatKind::Symmetric, ..NatConfig::default() }).unwrap();
    let switch = net.switch("switch").unwrap();
    net.link(server, router, narrow).unwrap();
    net.uplink(nat, router, LinkConfig::default()).unwrap();
    net.link(switch, nat, LinkConfig::default()).unwrap();
    let clients: Vec<_> = (0..4).map(|n| net.host(&format!("client{n}")).unwrap()).collect();
    for &client in &clients {
        net.link(client, switch, bad.clone()).unwrap();
    }
    net.rule(Match::any().from(clients[0]).data().nth(3), Action::Drop);
    net.rule(Match::any().from(server).data().nth(5), Action::Delay(Duration::from_millis(30)));
    let mut traffic = Traffic::new();
    // Behind the NAT box the server knows the flows by their ports only.
    let ends = clients.iter().flat_map(|&client| [(client, false), (client, true)]);
    for (port, (client, v6)) in (80..).zip(ends) {
        traffic.listen(&mut net, server, port);
        let flow = Flow { up: 30_000, down: 30_000, v6, ..Flow::new(client, server, port) };
        traffic.connect(&mut net, flow);
    }
    traffic.run(&mut net, Duration::from_secs(3600)).unwrap();
    (net.end_capture(capture), net.trace())
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_gives_others() {
    let (first, first_trace) = everything(1);
    let (second, second_trace) = everything(1);
    assert!(first == second, "captures of one seed differ");
    assert_eq!(first_trace, second_trace);
    let (other, _) = everything(2);
    assert!(first != other, "captures of two seeds are equal");
}

fn le32(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

#[test]
fn captures_are_well_formed() {
    let (file, _) = everything(3);
    let (mut rest, mut interfaces, mut packets, mut last) = (&file[..], 0, 0, 0);
    assert_eq!(le32(rest), 0x0a0d_0d0a);
    assert_eq!(le32(&rest[8..]), 0x1a2b_3c4d);
    while !rest.is_empty() {
        let len = le32(&rest[4..]) as usize;
        assert_eq!(len % 4, 0);
        assert_eq!(le32(&rest[len - 4..]) as usize, len, "both lengths of a block are equal");
        match le32(rest) {
            0x0a0d_0d0a => assert_eq!((interfaces, packets), (0, 0)),
            1 => {
                assert_eq!(rest[8..10], [101, 0], "raw IP");
                interfaces += 1;
            }
            6 => {
                assert!(le32(&rest[8..]) < interfaces);
                let at = u64::from(le32(&rest[12..])) << 32 | u64::from(le32(&rest[16..]));
                assert!(at >= last, "time goes forwards");
                last = at;
                let data = &rest[28..28 + le32(&rest[20..]) as usize];
                assert_eq!(le32(&rest[20..]), le32(&rest[24..]));
                // What hosts send is valid; what they get may be corrupted.
                let flags = &rest[28 + data.len().next_multiple_of(4)..];
                assert_eq!(flags[..4], [2, 0, 4, 0]);
                if le32(&flags[4..]) == 2 {
                    assert!(usernet_wire::ip::Packet::parse(data).is_ok());
                }
                packets += 1;
            }
            kind => panic!("block type {kind:#x}"),
        }
        rest = &rest[len..];
    }
    assert_eq!(interfaces, 5);
    assert!(packets > 500, "{packets}");
}

#[test]
fn a_capture_keeps_its_limit() {
    let mut pair = usernet_sim::Pair::new(4, LinkConfig::default());
    let nodes = vec![pair.client];
    let capture = pair.net.capture(CaptureConfig { nodes, limit: 100_000 });
    pair.exchange(&usernet_sim::Workload { up: 300_000, ..Default::default() }).unwrap();
    let len = pair.net.captured(capture).len();
    assert!((98_000..=100_000).contains(&len), "{len}");
    assert!(pair.net.capture_missed(capture) > 100);
}
