//! A network that forges: packets whose headers and options are changed at random, checksums made right again. What
//! the programs read may then be anything; but no stack panics, spins, or keeps anything for ever.
//!
//! More seeds: `USERNET_SEEDS=0..100000 cargo test -p usernet-sim --test hostile`.

use usernet_core::{BufferSize, Config, KeepAlive, SocketOptions};
use usernet_sim::{Action, Duration, Flow, HostConfig, Match, Pair, Plan, explore, fix_checksums};

use common::{Dice, seeds};

mod common;

/// Packets that an exchange of this file may take.
const MOST_PACKETS: u64 = 150_000;

/// Changes one thing about a packet, mostly in its TCP header.
fn forge(dice: &mut Dice, bytes: &mut Vec<u8>) {
    let ip_len = if bytes[0] >> 4 == 4 { 20 } else { 40 };
    if bytes.len() < ip_len + 20 {
        return;
    }
    let at = |offset: usize| ip_len + offset;
    match dice.below(10) {
        // A control bit more or less.
        0 | 1 => bytes[at(13)] ^= 1 << dice.below(8),
        // Sequence or acknowledgement number a little or far off.
        2 | 3 => {
            let field = at(if dice.coin() { 4 } else { 8 });
            let old = u32::from_be_bytes(bytes[field..field + 4].try_into().unwrap());
            let by = match dice.below(3) {
                0 => dice.below(10) as u32,
                1 => dice.below(200_000) as u32,
                _ => dice.below(1 << 32) as u32,
            };
            let new = if dice.coin() { old.wrapping_add(by) } else { old.wrapping_sub(by) };
            bytes[field..field + 4].copy_from_slice(&new.to_be_bytes());
        }
        // Another window.
        4 => {
            let window = dice.below(1 << 16) as u16 >> dice.below(17).min(15);
            bytes[at(14)..at(16)].copy_from_slice(&window.to_be_bytes());
        }
        // Any byte of the header and the options.
        5 | 6 => {
            let end = bytes.len().min(at(60)) as u64;
            bytes[dice.below(end) as usize] = dice.below(256) as u8;
        }
        // Another length of the header.
        7 => bytes[at(12)] = (dice.below(16) << 4) as u8,
        // Cut off at the end, with the IP header's length right.
        8 => {
            let len = at(dice.below((bytes.len() - ip_len) as u64) as usize);
            bytes.truncate(len);
            let (field, value) = if ip_len == 20 { (2, len) } else { (4, len - 40) };
            bytes[field..field + 2].copy_from_slice(&(value as u16).to_be_bytes());
        }
        // Nothing but noise.
        _ => {
            for byte in &mut bytes[ip_len..] {
                *byte = dice.below(256) as u8;
            }
        }
    }
    fix_checksums(bytes);
}

fn forged(plan: &Plan) -> Result<(), String> {
    let dice = &mut Dice::new(plan.seed);
    let [client, server] = [(); 2].map(|()| {
        let socket = SocketOptions {
            recv_buffer: BufferSize::Fixed(2048 << dice.below(10)),
            send_buffer: BufferSize::Fixed(2048 << dice.below(10)),
            timestamps: dice.coin(),
            sack: dice.coin(),
            retries: 5,
            // A forged RST that only one end sees leaves the other alone.
            keep_alive: Some(KeepAlive {
                idle: Duration::from_secs(30),
                interval: Duration::from_secs(5),
                count: 3,
            }),
            ..SocketOptions::default()
        };
        HostConfig { stack: Config { socket, ..Config::default() }, ..HostConfig::default() }
    });
    let mut pair = Pair::with(plan.seed, plan.there.clone(), client, server);
    let share = 2 + dice.below(30);
    let mut forger = Dice::new(plan.seed ^ 0x5eed);
    pair.net.rule(
        Match::any().when(|packet| packet.tcp.is_some()),
        Action::alter(move |bytes| {
            if forger.below(share) == 0 {
                forge(&mut forger, bytes);
            }
        }),
    );
    for _ in 0..=dice.below(4) {
        let (up, down) = (dice.below(100_000), dice.below(100_000));
        pair.connect(Flow { up, down, v6: dice.coin(), ..pair.flow() });
    }
    // Whether it goes well or badly is chance; that it ends is not.
    for _ in 0..1200 {
        pair.run_for(Duration::from_secs(1));
        let sent = [pair.client, pair.server]
            .map(|host| pair.net.link_stats(pair.link, host).map_or(0, |stats| stats.sent));
        // 500 KB each way at most: two ends that only answer each other are a storm.
        if sent.iter().sum::<u64>() > MOST_PACKETS {
            return Err(format!("an ACK storm\n{}", pair.net.trace()));
        }
    }
    pair.net.with(pair.client, usernet_core::Stack::abort_all).map_err(|e| e.to_string())?;
    pair.net.with(pair.server, usernet_core::Stack::abort_all).map_err(|e| e.to_string())?;
    pair.net.run_until_idle(Duration::from_secs(600)).map_err(|stalled| stalled.to_string())?;
    for host in [pair.client, pair.server] {
        let stats = pair.net.stack(host).expect("it is up").stats();
        if (stats.connections, stats.receive_memory, stats.listeners) != (0, 0, 0) {
            return Err(format!("left over: {stats:?}"));
        }
    }
    Ok(())
}

#[test]
fn forged_headers_end_no_stack() {
    if let Err(failure) = explore(seeds(300), forged) {
        panic!("{failure}");
    }
}
