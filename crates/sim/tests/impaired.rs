//! Transfers over links that lose, double, reorder, delay and corrupt: every byte arrives, in bounded virtual time.

use usernet_sim::{Duration, Flow, LinkConfig, Loss, Pair, Workload};

const MINUTES: Duration = Duration::from_secs(60);

/// Sends `bytes` each way over both families at once, and expects all of it, both ends closed, within `limit`.
fn exchange_over_both_families(seed: u64, link: &LinkConfig, bytes: u64, limit: Duration) {
    let mut pair = Pair::new(seed, link.clone());
    let flows =
        [false, true].map(|v6| pair.connect(Flow { up: bytes, down: bytes, v6, ..pair.flow() }));
    if let Err(stalled) = pair.run(limit) {
        panic!("seed {seed}: {stalled}");
    }
    for flow in flows {
        for end in [pair.traffic.client(flow), pair.traffic.server(flow)] {
            assert_eq!(end.error, None, "seed {seed}\n{}", pair.net.trace());
            assert_eq!(end.received, bytes, "seed {seed}");
            assert!(end.closed && end.eof, "seed {seed}");
        }
    }
    let dropped: u64 = pair.net.drops().values().sum();
    assert!(dropped > 0, "seed {seed}: the link was to lose something");
    // Nothing is left over: every timer ends, every connection leaves both tables.
    if let Err(stalled) = pair.net.run_until_idle(30 * MINUTES) {
        panic!("seed {seed}: {stalled}");
    }
    for host in [pair.client, pair.server] {
        let stats = pair.net.stack(host).unwrap().stats();
        assert_eq!((stats.connections, stats.receive_memory), (0, 0), "seed {seed}");
    }
}

#[test]
fn five_percent_loss_duplication_and_reordering_with_20_ms_delay() {
    let link = LinkConfig {
        delay: Duration::from_millis(20),
        loss: Loss::Uniform(0.05),
        duplicate: 0.05,
        reorder: 0.05,
        ..LinkConfig::default()
    };
    for seed in 0..100 {
        exchange_over_both_families(seed, &link, 100_000, 20 * MINUTES);
    }
}

#[test]
fn ten_percent_loss_and_corruption() {
    let link = LinkConfig {
        delay: Duration::from_millis(5),
        jitter: Duration::from_millis(2),
        loss: Loss::Uniform(0.1),
        duplicate: 0.05,
        reorder: 0.1,
        corrupt: 0.01,
        ..LinkConfig::default()
    };
    for seed in 1000..2000 {
        exchange_over_both_families(seed, &link, 50_000, 60 * MINUTES);
    }
}

#[test]
fn bursts_of_loss() {
    let link = LinkConfig {
        delay: Duration::from_millis(10),
        loss: Loss::GilbertElliott { to_bad: 0.02, to_good: 0.25, loss_good: 0.0, loss_bad: 0.8 },
        ..LinkConfig::default()
    };
    for seed in 2000..2100 {
        exchange_over_both_families(seed, &link, 100_000, 60 * MINUTES);
    }
}

#[test]
fn a_slow_link_with_a_short_queue() {
    // 2 Mbit/s and 20 packets of queue: congestion is the only loss.
    let link = LinkConfig {
        delay: Duration::from_millis(30),
        rate: Some(2_000_000),
        queue: 30_000,
        ..LinkConfig::default()
    };
    for seed in 3000..3010 {
        exchange_over_both_families(seed, &link, 500_000, 5 * MINUTES);
    }
}

#[test]
fn a_thousand_connections_under_one_percent_loss() {
    let link = LinkConfig {
        delay: Duration::from_millis(10),
        loss: Loss::Uniform(0.01),
        ..LinkConfig::default()
    };
    let mut pair = Pair::new(4000, link);
    let work = Workload { up: 3_000, down: 3_000, connections: 1_000, ..Workload::default() };
    let outcome = pair.exchange(&work).unwrap();
    assert_eq!(outcome.received, 6_000_000);
    pair.net.run_until_idle(30 * MINUTES).unwrap();
    for host in [pair.client, pair.server] {
        assert_eq!(pair.net.stack(host).unwrap().stats().connections, 0);
    }
}

#[test]
fn a_clean_link_is_filled() {
    let link = LinkConfig {
        delay: Duration::from_millis(20),
        rate: Some(100_000_000),
        queue: 1 << 20,
        ..LinkConfig::default()
    };
    let mut pair = Pair::new(5000, link);
    let outcome = pair.exchange(&Workload { up: 25_000_000, ..Workload::default() }).unwrap();
    let rate = 8.0 * 25e6 / outcome.took.as_secs_f64();
    assert!(rate > 80e6, "{:.1} Mbit/s", rate / 1e6);
}
