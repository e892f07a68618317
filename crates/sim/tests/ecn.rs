//! Links that mark instead of dropping (RFC 3168), and what senders make of it.

use usernet_core::{Config, EcnPolicy};
use usernet_sim::{
    CoDel, Discipline, Duration, HostConfig, LinkConfig, Loss, NodeId, Pair, Workload,
};

fn host(ecn: EcnPolicy) -> HostConfig {
    let mut stack = Config::default();
    stack.socket.ecn = ecn;
    HostConfig { stack, ..HostConfig::default() }
}

fn pair(seed: u64, link: LinkConfig, ecn: EcnPolicy) -> Pair {
    Pair::with(seed, link, host(ecn), host(ecn))
}

fn stat(pair: &Pair, host: NodeId, name: &str) -> u64 {
    let stats = pair.net.stack(host).unwrap().stats();
    stats.iter().find(|(counter, _)| *counter == name).unwrap().1
}

const POLICIES: [EcnPolicy; 2] = [EcnPolicy::Classic, EcnPolicy::Accurate];

#[test]
fn codel_marks_where_it_would_drop_and_nothing_is_sent_twice() {
    let link = LinkConfig {
        delay: Duration::from_millis(10),
        rate: Some(20_000_000),
        queue: 8 << 20,
        discipline: Discipline::CoDel(CoDel::default()),
        ..LinkConfig::default()
    };
    for v6 in [false, true] {
        let work = Workload { up: 8_000_000, v6, ..Workload::default() };
        for ecn in POLICIES {
            let mut pair = pair(3, link.clone(), ecn);
            let outcome = pair.exchange(&work).unwrap();
            assert_eq!(stat(&pair, pair.client, "tcp_retrans_segs"), 0, "{ecn:?}");
            assert!(stat(&pair, pair.client, "tcp_ecn_reductions") > 0, "{ecn:?}");
            let stats = pair.net.link_stats(pair.link, pair.client).unwrap();
            assert!(stats.marked > 0 && stats.dropped == 0, "{stats:?}");
            // The rate is used still: 8 MB at 20 Mbit/s are 3.2 s.
            assert!(outcome.took < Duration::from_secs(5), "{ecn:?}: {:?}", outcome.took);
        }
        let mut pair = pair(3, link.clone(), EcnPolicy::Off);
        pair.exchange(&work).unwrap();
        assert!(stat(&pair, pair.client, "tcp_retrans_segs") > 0, "without ECN it drops");
    }
}

#[test]
fn every_mark_is_heard_of_with_accurate_ecn() {
    let link = LinkConfig { delay: Duration::from_millis(10), mark: 0.05, ..LinkConfig::default() };
    let mut pair = pair(5, link, EcnPolicy::Accurate);
    pair.exchange(&Workload { up: 3_000_000, ..Workload::default() }).unwrap();
    // The last acknowledgements are under way.
    pair.run_for(Duration::from_secs(1));
    let marked = pair.net.link_stats(pair.link, pair.client).unwrap().marked;
    assert!(marked > 50, "{marked}");
    assert_eq!(stat(&pair, pair.server, "ip_in_ce_pkts"), marked);
    assert_eq!(stat(&pair, pair.client, "tcp_delivered_ce"), marked);
}

#[test]
fn marks_beside_losses_and_reordering_stall_nothing() {
    for seed in 0..24 {
        let link = LinkConfig {
            delay: Duration::from_millis(seed),
            loss: Loss::Uniform(0.02),
            duplicate: 0.01,
            reorder: 0.05,
            mark: 0.1,
            ..LinkConfig::default()
        };
        let mut pair = pair(seed, link, POLICIES[seed as usize % 2]);
        let work =
            Workload { up: 300_000, down: 300_000, v6: seed % 3 == 0, ..Workload::default() };
        pair.exchange(&work).unwrap();
    }
}

#[test]
fn what_is_not_capable_is_not_marked() {
    let link = LinkConfig { mark: 1.0, ..LinkConfig::default() };
    let mut pair = pair(1, link, EcnPolicy::Passive);
    pair.exchange(&Workload { up: 100_000, ..Workload::default() }).unwrap();
    assert_eq!(pair.net.link_stats(pair.link, pair.client).unwrap().marked, 0);
}
