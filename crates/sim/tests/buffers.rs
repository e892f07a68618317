//! Buffers over paths: the window is never what limits a transfer, nor larger than the path and the application need.

use usernet_core::{BufferSize, Config, SocketOptions};
use usernet_sim::{Duration, Flow, HostConfig, LinkConfig, Pair};

/// 200 Mbit/s and 100 ms: 2.5 MB are on their way when the path is full.
fn long_fat() -> LinkConfig {
    LinkConfig {
        delay: Duration::from_millis(50),
        rate: Some(200_000_000),
        queue: 4 << 20,
        ..LinkConfig::default()
    }
}

fn host(recv_buffer: BufferSize, send_buffer: BufferSize) -> HostConfig {
    let socket = SocketOptions { recv_buffer, send_buffer, ..SocketOptions::default() };
    HostConfig { stack: Config { socket, ..Config::default() }, ..HostConfig::default() }
}

/// Megabits per second of a transfer, its start included.
fn goodput(bytes: u64, recv_buffer: BufferSize, send_buffer: BufferSize) -> f64 {
    let settings = || host(recv_buffer, send_buffer);
    let mut pair = Pair::with(1, long_fat(), settings(), settings());
    let flow = pair.connect(Flow { up: bytes, ..pair.flow() });
    let start = pair.net.now();
    pair.run(Duration::from_secs(600)).unwrap();
    assert_eq!(pair.traffic.server(flow).received, bytes);
    bytes as f64 * 8.0 / pair.net.now().since(start).as_secs_f64() / 1e6
}

#[test]
fn buffers_that_tune_themselves_fill_a_long_fat_path() {
    let small = BufferSize::Auto { min: 4096, default: 65_536, max: 6 << 20 };
    let fixed = BufferSize::Fixed(65_536);
    // 64 KiB per 100 ms are 5 Mbit/s.
    assert!(goodput(1_000_000, fixed, BufferSize::SEND) < 6.0);
    assert!(goodput(1_000_000, BufferSize::RECV, fixed) < 6.0);
    let tuned = goodput(40_000_000, small, small);
    assert!(tuned > 110.0, "{tuned} Mbit/s from 64 KiB on");
    let default = goodput(40_000_000, BufferSize::RECV, BufferSize::SEND);
    assert!(default > 110.0, "{default} Mbit/s by default");
}

#[test]
fn short_path_needs_no_large_buffer() {
    let link = LinkConfig {
        delay: Duration::from_micros(500),
        rate: Some(100_000_000),
        ..LinkConfig::default()
    };
    let small = BufferSize::Auto { min: 4096, default: 65_536, max: 6 << 20 };
    let mut pair = Pair::with(2, link, host(small, small), host(small, small));
    let flow = pair.connect(Flow { up: 20_000_000, ..pair.flow() });
    pair.run_for(Duration::from_secs(1));
    let socket = pair.traffic.server(flow).socket.unwrap();
    let info = pair.net.stack(pair.server).unwrap().tcp_info(socket).unwrap();
    assert!(info.bytes_received > 10_000_000, "{info:?}");
    // 12.5 KB fit the path, and 256 KiB the queue before it: twice of that, and what it grew by.
    assert!(info.recv_buffer <= 2 << 20, "{info:?}");
}
