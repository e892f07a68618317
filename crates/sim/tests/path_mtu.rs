//! Paths that swallow large packets without a word (RFC 4821 §2, RFC 8899 §1): transfers go on, and the size is found.

use usernet_core::{Config, MtuProbing, SocketOptions};
use usernet_sim::{Action, Duration, Flow, HostConfig, LinkConfig, Match, Pair};

const HOUR: Duration = Duration::from_secs(3600);

fn pair(seed: u64, mtu_probing: MtuProbing) -> Pair {
    let host = || {
        let socket = SocketOptions { mtu_probing, ..SocketOptions::default() };
        HostConfig { stack: Config { socket, ..Config::default() }, ..HostConfig::default() }
    };
    let link = LinkConfig {
        delay: Duration::from_millis(10),
        rate: Some(100_000_000),
        ..LinkConfig::default()
    };
    Pair::with(seed, link, host(), host())
}

/// The path MTU that the sender of a transfer ends up with through a path that drops what is larger than `limit`.
fn found(seed: u64, v6: bool, limit: usize, mtu_probing: MtuProbing) -> u16 {
    let mut pair = pair(seed, mtu_probing);
    let client = pair.client;
    pair.net.rule(
        Match::any().from(client).when(move |packet| packet.bytes.len() > limit),
        Action::Drop,
    );
    let flow = pair.connect(Flow { up: 20_000_000, v6, ..pair.flow() });
    let mut mtu = 0;
    for _ in 0..600 {
        pair.run_for(Duration::from_millis(100));
        let socket = pair.traffic.client(flow).socket.unwrap();
        match pair.net.stack(client).unwrap().tcp_info(socket) {
            Ok(info) if info.mss > 0 => mtu = info.pmtu,
            _ => break,
        }
    }
    pair.run(HOUR).unwrap();
    assert_eq!(pair.traffic.server(flow).received, 20_000_000);
    mtu
}

#[test]
fn black_hole_is_escaped_and_its_size_found() {
    for v6 in [false, true] {
        for limit in [1300, 1400, 1499] {
            let mtu = usize::from(found(1, v6, limit, MtuProbing::BlackHole));
            assert!((limit - 16..=limit).contains(&mtu), "{mtu} of {limit}");
        }
    }
    assert_eq!(found(2, false, 1100, MtuProbing::BlackHole) / 20, 1100 / 20 - 1);
}

#[test]
fn search_from_the_base_reaches_the_whole_path() {
    assert_eq!(found(3, false, 1500, MtuProbing::Always), 1500);
    assert_eq!(found(3, true, 1500, MtuProbing::Always), 1500);
}

#[test]
fn outage_that_looked_like_a_black_hole_costs_little() {
    let mut pair = pair(4, MtuProbing::BlackHole);
    let flow = pair.connect(Flow { up: 20_000_000, ..pair.flow() });
    pair.run_for(Duration::from_millis(500));
    let (client, server) = (pair.client, pair.server);
    pair.net.partition(&[client], &[server]);
    pair.run_for(Duration::from_secs(5));
    pair.net.heal();
    let socket = pair.traffic.client(flow).socket.unwrap();
    let mtu = |pair: &Pair| pair.net.stack(client).unwrap().tcp_info(socket).unwrap().pmtu;
    assert_eq!(mtu(&pair), 1064);
    while mtu(&pair) == 1064 {
        pair.run_for(Duration::from_millis(100));
    }
    assert_eq!(mtu(&pair), 1500, "the first probe is of the size that was right before");
    pair.run(HOUR).unwrap();
    assert_eq!(pair.traffic.server(flow).received, 20_000_000);
}
