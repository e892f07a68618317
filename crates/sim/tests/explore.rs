//! Random links, random faults, random socket options: every byte arrives all the same.
//!
//! More seeds: `USERNET_SEEDS=0..100000 cargo test -p usernet-sim --test explore`.

use usernet_core::{BufferSize, Config, SocketOptions};
use usernet_sim::{Duration, Flow, HostConfig, Pair, Plan, explore};

use common::{Dice, seeds};

mod common;

fn options(dice: &mut Dice) -> SocketOptions {
    SocketOptions {
        recv_buffer: BufferSize::Fixed(2048 << dice.below(10)),
        send_buffer: BufferSize::Fixed(2048 << dice.below(10)),
        nagle: dice.coin(),
        delayed_ack: Duration::from_millis(dice.below(3) * 40),
        timestamps: dice.coin(),
        sack: dice.coin(),
        window_scaling: dice.coin(),
        max_segment_size: dice.coin().then(|| 100 + dice.below(1400) as u16),
        retries: 30,
        syn_retries: 20,
        synack_retries: 20,
        ..SocketOptions::default()
    }
}

/// Several connections over a random link, with random options, some of whose readers pause, through a fault plan.
fn random_transfers(plan: &Plan) -> Result<(), String> {
    let dice = &mut Dice::new(plan.seed);
    let host = |dice: &mut Dice| HostConfig {
        mtu: dice.coin().then(|| 1280 + dice.below(221) as u16),
        stack: Config {
            socket: options(dice),
            max_receive_memory: if dice.below(4) == 0 { 16 << 10 } else { 64 << 20 },
            ..Config::default()
        },
        ..HostConfig::default()
    };
    let hosts = [host(dice), host(dice)];
    let [client, server] = hosts;
    let mut pair = Pair::with(plan.seed, plan.there.clone(), client, server);
    let back = plan.back.clone();
    pair.net.set_link_from(pair.link, pair.server, |c| *c = back).map_err(|e| e.to_string())?;
    let flows: Vec<_> = (0..=dice.below(3))
        .map(|_| {
            let flow = Flow {
                up: dice.below(100_000),
                down: dice.below(100_000),
                v6: dice.coin(),
                reply_after_eof: dice.below(4) == 0,
                ..pair.flow()
            };
            pair.connect(flow)
        })
        .collect();
    for &flow in &flows {
        if dice.below(4) == 0 {
            pair.traffic.pause_server(&mut pair.net, flow, true);
        }
    }
    let Pair { net, traffic, client, server, link, .. } = &mut pair;
    plan.run(net, *link, [*client, *server], |net| traffic.pump(net));
    traffic.run_for(net, Duration::from_millis(dice.below(5_000)));
    for &flow in &flows {
        traffic.pause_server(net, flow, false);
    }
    // Thirty retransmissions are reached after an hour at the earliest.
    traffic.run(net, Duration::from_secs(3 * 3600)).map_err(|stalled| stalled.to_string())?;
    for &flow in &flows {
        for end in [traffic.client(flow), traffic.server(flow)] {
            if let Some(error) = end.error {
                return Err(format!("{error} after {} bytes\n{}", end.received, net.trace()));
            }
        }
    }
    net.run_until_idle(Duration::from_secs(3600)).map_err(|stalled| stalled.to_string())?;
    for host in [*client, *server] {
        let stats = net.stack(host).expect("it is up").stats();
        if (stats.connections, stats.receive_memory) != (0, 0) {
            return Err(format!("left over: {stats:?}"));
        }
    }
    Ok(())
}

#[test]
fn random_transfers_through_random_faults() {
    if let Err(failure) = explore(seeds(300), random_transfers) {
        panic!("{failure}");
    }
}
