//! What happens to connections: named by what is shown, in virtual time.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use usernet_core::tcp::StateName;
use usernet_core::{
    BufferSize, Config, ConnectOptions, ConnectionError, KeepAlive, ListenAddress, ListenOptions,
    Shutdown, SocketId, SocketOptions, SynCookies,
};
use usernet_sim::{
    Action, Duration, Flow, HostConfig, LinkConfig, Loss, Match, Network, NodeId, PacketView, Pair,
    What,
};
use usernet_wire::tcp::Flags;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

fn link() -> LinkConfig {
    LinkConfig { delay: Duration::from_millis(10), ..LinkConfig::default() }
}

fn state(net: &Network, host: NodeId, socket: SocketId) -> StateName {
    net.stack(host).unwrap().tcp_info(socket).unwrap().state
}

/// Counts the packets that hosts send from now on and that `test` is true of.
fn count(
    net: &mut Network,
    test: impl Fn(&PacketView<'_>) -> bool + Send + 'static,
) -> Arc<Mutex<usize>> {
    let count = Arc::new(Mutex::new(0));
    let counter = Arc::clone(&count);
    net.observe(move |event| {
        if event.what == What::Sent && PacketView::parse(event.bytes).is_some_and(|p| test(&p)) {
            *counter.lock().unwrap() += 1;
        }
    });
    count
}

#[test]
fn half_close_lets_the_reply_follow_the_fin() {
    for v6 in [false, true] {
        let mut pair = Pair::new(1, LinkConfig { loss: Loss::Uniform(0.03), ..link() });
        let flow = Flow { up: 60_000, down: 60_000, reply_after_eof: true, v6, ..pair.flow() };
        let flow = pair.connect(flow);
        pair.run(HOUR).unwrap();
        assert_eq!(pair.traffic.client(flow).received, 60_000);
        assert_eq!(pair.traffic.server(flow).received, 60_000);
    }
}

#[test]
fn simultaneous_open_makes_one_connection() {
    for v6 in [false, true] {
        let mut net = Network::new(2);
        let [a, b] = ["a", "b"].map(|name| net.host(name).unwrap());
        net.link(a, b, link()).unwrap();
        let addr = |net: &Network, node| net.address(node, v6).unwrap();
        let (addr_a, addr_b) = (addr(&net, a), addr(&net, b));
        let connect = |net: &mut Network, node, to| {
            let remote = SocketAddr::new(to, 7000);
            let options =
                ConnectOptions { remote, local_addr: None, local_port: Some(7000), options: None };
            net.with(node, |stack, now| stack.tcp_connect(now, options).unwrap()).unwrap()
        };
        let (sock_a, sock_b) = (connect(&mut net, a, addr_b), connect(&mut net, b, addr_a));
        net.run_for(SECOND);
        for (node, socket) in [(a, sock_a), (b, sock_b)] {
            assert_eq!(state(&net, node, socket), StateName::Established, "{}", net.trace());
        }
        assert_eq!(net.with(a, |s, now| s.tcp_send(now, sock_a, b"from a", false)).unwrap(), Ok(6));
        assert_eq!(net.with(b, |s, now| s.tcp_send(now, sock_b, b"from b", false)).unwrap(), Ok(6));
        net.run_for(SECOND);
        let mut buf = [0; 10];
        for (node, socket, text) in [(a, sock_a, b"from b"), (b, sock_b, b"from a")] {
            let n = net.with(node, |s, now| s.tcp_recv(now, socket, &mut buf)).unwrap().unwrap();
            assert_eq!(&buf[..n], text);
            net.with(node, |s, now| s.tcp_close(now, socket)).unwrap().unwrap();
        }
        net.run_until_idle(HOUR).unwrap();
        for node in [a, b] {
            assert_eq!(net.stack(node).unwrap().stats().connections, 0);
        }
    }
}

#[test]
fn a_receiver_that_stops_reading_for_ten_seconds_loses_nothing() {
    for lossy in [false, true] {
        let loss = if lossy { Loss::Uniform(0.05) } else { Loss::None };
        let fixed = || {
            let buffer = BufferSize::Fixed(1 << 20);
            let socket =
                SocketOptions { recv_buffer: buffer, send_buffer: buffer, ..Default::default() };
            HostConfig { stack: Config { socket, ..Config::default() }, ..HostConfig::default() }
        };
        let mut pair = Pair::with(3, LinkConfig { loss, ..link() }, fixed(), fixed());
        let flow = pair.connect(Flow { up: 3_000_000, ..pair.flow() });
        pair.traffic.pause_server(&mut pair.net, flow, true);
        pair.run_for(3 * SECOND);
        if !lossy {
            // The window is shut, and what was sent does not exceed both buffers.
            let client = pair.traffic.client(flow).clone();
            let socket = client.socket.unwrap();
            let info = pair.net.stack(pair.client).unwrap().tcp_info(socket).unwrap();
            assert_eq!(info.snd_wnd, 0, "{}", pair.net.trace());
            assert!(client.sent <= 2 << 20);
            assert_eq!(info.in_flight, 0);
        }
        let packets = count(&mut pair.net, |_| true);
        pair.run_for(7 * SECOND);
        assert!(*packets.lock().unwrap() >= 2, "the zero window is probed\n{}", pair.net.trace());
        assert_eq!(pair.traffic.server(flow).received, 0);
        pair.traffic.pause_server(&mut pair.net, flow, false);
        pair.run(HOUR).unwrap();
        assert_eq!(pair.traffic.server(flow).received, 3_000_000);
    }
}

#[test]
fn a_lost_window_update_is_made_good_by_a_probe() {
    let mut pair = Pair::new(4, link());
    let flow = pair.connect(Flow { up: 3_000_000, ..pair.flow() });
    pair.traffic.pause_server(&mut pair.net, flow, true);
    pair.run_for(5 * SECOND);
    // Everything the server says while it opens its window is lost.
    pair.net.set_link_from(pair.link, pair.server, |c| c.loss = Loss::Uniform(1.0)).unwrap();
    pair.traffic.pause_server(&mut pair.net, flow, false);
    pair.run_for(Duration::from_millis(50));
    pair.net.set_link_from(pair.link, pair.server, |c| c.loss = Loss::None).unwrap();
    pair.run(2 * Duration::from_secs(60)).unwrap();
    assert_eq!(pair.traffic.server(flow).received, 3_000_000);
}

#[test]
fn a_partition_heals() {
    for v6 in [false, true] {
        let mut pair = Pair::new(5, LinkConfig { rate: Some(10_000_000), ..link() });
        let flow = pair.connect(Flow { up: 2_000_000, down: 2_000_000, v6, ..pair.flow() });
        pair.run_for(SECOND);
        pair.net.partition(&[pair.client], &[pair.server]);
        let before = pair.traffic.server(flow).received;
        pair.run_for(5 * SECOND);
        assert_eq!(pair.traffic.server(flow).received, before);
        assert!(before > 100_000 && before < 2_000_000, "{before}");
        pair.net.heal();
        pair.run(60 * SECOND).unwrap();
        assert_eq!(pair.traffic.server(flow).received, 2_000_000);
        assert_eq!(pair.traffic.client(flow).received, 2_000_000);
    }
}

#[test]
fn a_link_that_goes_down_and_up_loses_only_what_was_on_it() {
    let mut pair = Pair::new(6, LinkConfig { rate: Some(10_000_000), ..link() });
    let flow = pair.connect(Flow { up: 2_000_000, ..pair.flow() });
    pair.run_for(SECOND);
    assert!(pair.net.in_flight() > 0);
    pair.net.set_link(pair.link, |c| c.up = false).unwrap();
    pair.run_for(2 * SECOND);
    assert_eq!(pair.net.in_flight(), 0);
    pair.net.set_link(pair.link, |c| c.up = true).unwrap();
    pair.run(60 * SECOND).unwrap();
    assert_eq!(pair.traffic.server(flow).received, 2_000_000);
}

fn impatient() -> SocketOptions {
    SocketOptions { retries: 5, ..SocketOptions::default() }
}

#[test]
fn a_crash_in_the_middle_is_etimedout() {
    for v6 in [false, true] {
        let mut pair = Pair::new(7, LinkConfig { rate: Some(10_000_000), ..link() });
        let options = Some(impatient());
        let flow = pair.connect(Flow { up: 20_000_000, v6, options, ..pair.flow() });
        pair.run_for(SECOND);
        pair.net.crash(pair.server).unwrap();
        let after = pair.net.now();
        pair.run_for(HOUR);
        let client = pair.traffic.client(flow);
        assert_eq!(client.error, Some(ConnectionError::TimedOut), "{}", pair.net.trace());
        assert!(pair.net.now() > after);
        assert_eq!(pair.net.stack(pair.client).unwrap().stats().connections, 0);
    }
}

#[test]
fn a_crash_and_restart_is_a_reset() {
    for v6 in [false, true] {
        let mut pair = Pair::new(8, LinkConfig { rate: Some(10_000_000), ..link() });
        let flow = pair.connect(Flow { up: 20_000_000, v6, ..pair.flow() });
        pair.run_for(SECOND);
        pair.net.crash(pair.server).unwrap();
        pair.run_for(SECOND);
        pair.net.restart(pair.server).unwrap();
        pair.run_for(10 * SECOND);
        let client = pair.traffic.client(flow);
        assert_eq!(client.error, Some(ConnectionError::Reset), "{}", pair.net.trace());
        // And a new connection to the host's new life works.
        pair.traffic.listen(&mut pair.net, pair.server, 81);
        let again = pair.connect(Flow { port: 81, up: 1_000, down: 1_000, v6, ..pair.flow() });
        pair.run(60 * SECOND).unwrap();
        assert_eq!(pair.traffic.client(again).received, 1_000);
    }
}

#[test]
fn nobody_listening_is_a_refusal_and_nobody_there_a_timeout() {
    for v6 in [false, true] {
        let mut pair = Pair::new(9, link());
        let refused = pair.connect(Flow { port: 81, v6, ..pair.flow() });
        pair.run(SECOND).unwrap();
        assert_eq!(pair.traffic.client(refused).error, Some(ConnectionError::Refused));
        pair.net.crash(pair.server).unwrap();
        let lost = pair.connect(Flow { v6, ..pair.flow() });
        pair.run(10 * 60 * SECOND).unwrap();
        assert_eq!(pair.traffic.client(lost).error, Some(ConnectionError::TimedOut));
    }
}

#[test]
fn keep_alive_holds_a_connection_for_hours_and_finds_a_dead_peer() {
    let mut pair = Pair::new(10, link());
    let options = SocketOptions { keep_alive: Some(KeepAlive::default()), ..Default::default() };
    let flow =
        Flow { up: 1_000, down: 1_000, stay_open: true, options: Some(options), ..pair.flow() };
    let flow = pair.connect(flow);
    pair.run(60 * SECOND).unwrap();
    // The last acknowledgement may be delayed.
    pair.run_for(SECOND);
    let packets = count(&mut pair.net, |p| p.tcp.is_some());
    pair.run_for(Duration::from_secs(10 * 3600 + 60));
    let client = pair.traffic.client(flow).clone();
    assert_eq!(state(&pair.net, pair.client, client.socket.unwrap()), StateName::Established);
    // One probe and its answer every two hours.
    assert_eq!(*packets.lock().unwrap(), 10, "{}", pair.net.trace());
    pair.net.crash(pair.server).unwrap();
    // 2 h of silence, then 9 probes 75 s apart.
    pair.run_for(Duration::from_secs(2 * 3600 + 9 * 75 + 60));
    let error = pair.traffic.client(flow).error;
    assert_eq!(error, Some(ConnectionError::TimedOut), "{}", pair.net.trace());
}

#[test]
fn an_idle_connection_costs_nothing() {
    let mut pair = Pair::new(11, link());
    let flow = pair.connect(Flow { up: 10_000, down: 10_000, stay_open: true, ..pair.flow() });
    pair.run(60 * SECOND).unwrap();
    pair.net.run_until_idle(60 * SECOND).unwrap();
    assert!(!pair.net.step(), "no timer and no packet is left");
    // It is there still, a day later.
    pair.run_for(24 * HOUR);
    pair.traffic.send_more(&mut pair.net, flow, 5_000, 5_000);
    pair.traffic.finish(&mut pair.net, flow);
    pair.run(60 * SECOND).unwrap();
    assert_eq!(pair.traffic.server(flow).received, 15_000);
}

#[test]
fn different_mtus_meet_in_the_middle() {
    for (client_mtu, server_mtu) in [(1500, 1280), (1280, 9000), (9000, 1500), (65_535, 4000)] {
        for v6 in [false, true] {
            let host = |mtu| HostConfig { mtu: Some(mtu), ..HostConfig::default() };
            let wide = LinkConfig { mtu: 65_535, ..link() };
            let mut pair = Pair::with(12, wide, host(client_mtu), host(server_mtu));
            let largest = Arc::new(Mutex::new(0));
            let seen = Arc::clone(&largest);
            pair.net.observe(move |event| {
                let mut seen = seen.lock().unwrap();
                *seen = event.bytes.len().max(*seen);
            });
            let flow = pair.connect(Flow { up: 300_000, down: 300_000, v6, ..pair.flow() });
            pair.run(60 * SECOND).unwrap();
            assert_eq!(pair.traffic.server(flow).received, 300_000);
            // Segments are as large as both allow, and no larger.
            assert_eq!(*largest.lock().unwrap(), usize::from(client_mtu.min(server_mtu)));
        }
    }
}

#[test]
fn after_everything_closed_both_tables_are_empty_once_time_wait_is_over() {
    let mut pair = Pair::new(13, link());
    for v6 in [false, true] {
        pair.connect(Flow { up: 10_000, down: 10_000, v6, ..pair.flow() });
    }
    pair.run(60 * SECOND).unwrap();
    let closed_at = pair.net.now();
    let stats = |pair: &Pair, host| pair.net.stack(host).unwrap().stats();
    let waiting = stats(&pair, pair.client).time_wait + stats(&pair, pair.server).time_wait;
    assert!(waiting > 0);
    pair.net.run_until_idle(5 * 60 * SECOND).unwrap();
    assert!(pair.net.now().since(closed_at) + SECOND >= Config::default().time_wait);
    for host in [pair.client, pair.server] {
        let stats = stats(&pair, host);
        assert_eq!((stats.connections, stats.time_wait, stats.receive_memory), (0, 0, 0));
    }
    assert_eq!(stats(&pair, pair.server).listeners, 1);
}

/// Initial sequence numbers of the SYN and the SYN-ACK that go by.
fn watch_isns(net: &mut Network) -> Arc<Mutex<[u32; 2]>> {
    let isns = Arc::new(Mutex::new([0; 2]));
    let seen = Arc::clone(&isns);
    net.observe(move |event| {
        let Some(tcp) = PacketView::parse(event.bytes).and_then(|p| p.tcp) else { return };
        if event.what == What::Sent && tcp.flags.contains(Flags::SYN) {
            let which = usize::from(tcp.flags.contains(Flags::ACK));
            seen.lock().unwrap()[which] = tcp.seq.0;
        }
    });
    isns
}

#[test]
fn sequence_numbers_wrap_in_the_middle_of_a_transfer() {
    // Initial sequence numbers grow by one every 4 us for the same two addresses and ports (RFC 6528 §3): one
    // connection shows where they are, and the next is made when they come close to 2^32.
    for side in 0..2 {
        for v6 in [false, true] {
            let loss = Loss::Uniform(0.02);
            let mut pair = Pair::new(14, LinkConfig { loss, ..link() });
            let isns = watch_isns(&mut pair.net);
            let flow = Flow { local_port: 5_000, v6, up: 1_000, ..pair.flow() };
            let start = pair.net.now();
            pair.connect(flow.clone());
            pair.run(HOUR).unwrap();
            let isn = isns.lock().unwrap()[side];
            let ahead = u64::from(0_u32.wrapping_sub(40_000).wrapping_sub(isn));
            // Once more around where the connection would still be in TIME-WAIT.
            let ticks = if ahead < 50_000_000 { ahead + (1 << 32) } else { ahead };
            pair.net.run_to(start + Duration::from_nanos(ticks * 4_000));
            pair.traffic.pump(&mut pair.net);
            let flow = pair.connect(Flow { up: 200_000, down: 200_000, ..flow });
            pair.run(HOUR).unwrap();
            let isn = isns.lock().unwrap()[side];
            // A lost SYN may have made the server's a little later.
            assert!(!(1_000_000..u32::MAX - 41_000).contains(&isn), "{isn}");
            assert_eq!(pair.traffic.client(flow).received, 200_000);
            assert_eq!(pair.traffic.server(flow).received, 200_000);
        }
    }
}

#[test]
fn a_lost_fin_is_retransmitted() {
    let mut pair = Pair::new(15, link());
    let client = pair.client;
    let rule = pair.net.rule(Match::any().from(client).flags(Flags::FIN).nth(1), Action::Drop);
    let flow = pair.connect(Flow { up: 1_000, down: 1_000, ..pair.flow() });
    pair.run(10 * SECOND).unwrap();
    assert_eq!(pair.net.rule_hits(rule), 1);
    assert!(pair.traffic.server(flow).eof);
}

#[test]
fn lost_handshake_segments_are_made_good() {
    for (lost, server) in [(Flags::SYN, false), (Flags::SYN, true), (Flags::ACK, false)] {
        let mut pair = Pair::new(16, link());
        let maker = if server { pair.server } else { pair.client };
        // The first segment with that bit: SYN, SYN-ACK, or the ACK that ends the handshake.
        let rule = pair.net.rule(Match::any().from(maker).flags(lost).nth(1), Action::Drop);
        let flow = pair.connect(Flow { up: 0, down: 1_000, ..pair.flow() });
        pair.run(60 * SECOND).unwrap();
        assert_eq!(pair.net.rule_hits(rule), 1);
        assert_eq!(pair.traffic.client(flow).received, 1_000);
    }
}

#[test]
fn one_lost_segment_is_repaired_without_a_timeout() {
    let mut pair = Pair::new(17, link());
    let (client, server) = (pair.client, pair.server);
    pair.net.rule(Match::any().from(client).to(server).data().nth(20), Action::Drop);
    let flow = pair.connect(Flow { up: 200_000, stay_open: true, ..pair.flow() });
    pair.run(10 * SECOND).unwrap();
    let socket = pair.traffic.client(flow).socket.unwrap();
    pair.run_for(SECOND);
    let info = pair.net.stack(client).unwrap().tcp_info(socket).unwrap();
    assert_eq!((info.retrans, info.timeouts), (1, 0), "{}", pair.net.trace());
}

#[test]
fn bulk_data_is_acknowledged_every_second_segment() {
    for timestamps in [false, true] {
        let options = SocketOptions { timestamps, ..SocketOptions::default() };
        let mut pair = Pair::new(18, link());
        let data = count(&mut pair.net, |p| p.tcp.is_some() && !p.payload.is_empty());
        let acks = count(&mut pair.net, |p| p.tcp.is_some() && p.payload.is_empty());
        pair.connect(Flow { up: 3_000_000, options: Some(options), ..pair.flow() });
        pair.run(60 * SECOND).unwrap();
        let (data, acks) = (*data.lock().unwrap(), *acks.lock().unwrap());
        assert!((data / 2..data * 2 / 3).contains(&acks), "{acks} for {data} segments");
    }
}

#[test]
fn a_full_backlog_delays_connections_and_loses_none() {
    backlog_of_four(SynCookies::Off);
    backlog_of_four(SynCookies::WhenFull);
}

/// 300 connections at once to a listener with a backlog of 4, which accepts them later.
fn backlog_of_four(syn_cookies: SynCookies) {
    let mut net = Network::new(19);
    let client = net.host("client").unwrap();
    let stack = Config { max_syn_backlog: 160, syn_cookies, ..Config::default() };
    let server = net.host_with("server", HostConfig { stack, ..HostConfig::default() }).unwrap();
    net.link(client, server, link()).unwrap();
    let listener = net
        .with(server, |stack, _| {
            let options = ListenOptions {
                address: ListenAddress::AnyV6 { only: false },
                port: 80,
                backlog: 4,
                options: None,
            };
            stack.tcp_listen(options).unwrap()
        })
        .unwrap();
    let clients: Vec<SocketId> = (0..300)
        .map(|n| {
            let remote = SocketAddr::new(net.address(server, n % 2 == 0).unwrap(), 80);
            let options =
                ConnectOptions { remote, local_addr: None, local_port: None, options: None };
            net.with(client, |stack, now| stack.tcp_connect(now, options).unwrap()).unwrap()
        })
        .collect();
    net.run_for(SECOND / 2);
    // One more than the backlog waits to be accepted, and 160 half-open ones to follow; with cookies those too that came
    // while the queue was not full.
    let held = net.stack(server).unwrap().stats().connections;
    let most = if syn_cookies == SynCookies::Off { 165 } else { 300 };
    assert!((100..=most).contains(&held), "{held}");
    let mut accepted = Vec::new();
    net.run_until(120 * SECOND, |net| {
        while net.poll_event().is_some() {}
        while let Some(socket) =
            net.with(server, |stack, _| stack.tcp_accept(listener).unwrap()).unwrap()
        {
            accepted.push(socket);
        }
        accepted.len() == 300
    })
    .unwrap();
    for socket in clients {
        assert_eq!(state(&net, client, socket), StateName::Established);
    }
}

#[test]
fn readers_that_all_stop_leave_the_memory_bounded_and_all_go_on() {
    let stack = Config { max_receive_memory: 256 << 10, ..Config::default() };
    let server = HostConfig { stack, ..HostConfig::default() };
    let mut pair = Pair::with(20, link(), HostConfig::default(), server);
    let flows: Vec<_> =
        (0..20).map(|_| pair.connect(Flow { up: 200_000, ..pair.flow() })).collect();
    for &flow in &flows {
        pair.traffic.pause_server(&mut pair.net, flow, true);
    }
    pair.run_for(20 * SECOND);
    let held = pair.net.stack(pair.server).unwrap().stats().receive_memory;
    // What was on its way when the windows shut is taken still.
    assert!((200_000..4_000_000).contains(&held), "{held}");
    for &flow in &flows {
        pair.traffic.pause_server(&mut pair.net, flow, false);
    }
    pair.run(HOUR).unwrap();
    for &flow in &flows {
        assert_eq!(pair.traffic.server(flow).received, 200_000);
    }
}

#[test]
fn closing_with_unread_data_resets_the_peer() {
    let (Pair { mut net, client: a, server: b, .. }, (client, server)) = pair_with_established(21);
    net.with(a, |s, now| s.tcp_send(now, client, b"unread", false)).unwrap().unwrap();
    net.run_for(SECOND);
    net.with(b, |s, now| s.tcp_close(now, server)).unwrap().unwrap();
    net.run_for(SECOND);
    let error = net.stack(a).unwrap().tcp_error(client).unwrap();
    assert_eq!(error, Some(ConnectionError::Reset), "{}", net.trace());
}

#[test]
fn an_abort_is_a_reset_even_when_the_rst_is_lost() {
    let (mut pair, (client, server)) = pair_with_established(22);
    let (a, b) = (pair.client, pair.server);
    let rule = pair.net.rule(Match::any().flags(Flags::RST).nth(1), Action::Drop);
    pair.net.with(b, |s, now| s.tcp_abort(now, server)).unwrap().unwrap();
    pair.net.run_for(SECOND);
    assert_eq!(pair.net.rule_hits(rule), 1);
    assert_eq!(state(&pair.net, a, client), StateName::Established);
    pair.net.with(a, |s, now| s.tcp_send(now, client, b"anyone?", false)).unwrap().unwrap();
    pair.net.run_for(SECOND);
    let error = pair.net.stack(a).unwrap().tcp_error(client).unwrap();
    assert_eq!(error, Some(ConnectionError::Reset), "{}", pair.net.trace());
}

#[test]
fn both_ends_closing_at_once_pass_through_closing() {
    let (mut pair, (client, server)) = pair_with_established(23);
    for (host, socket) in [(pair.client, client), (pair.server, server)] {
        pair.net
            .with(host, |s, now| s.tcp_shutdown(now, socket, Shutdown::Write))
            .unwrap()
            .unwrap();
        assert_eq!(state(&pair.net, host, socket), StateName::FinWait1);
    }
    pair.net.run_for(Duration::from_millis(10));
    assert_eq!(state(&pair.net, pair.client, client), StateName::Closing, "{}", pair.net.trace());
    pair.net.run_for(SECOND);
    for (host, socket) in [(pair.client, client), (pair.server, server)] {
        assert_eq!(state(&pair.net, host, socket), StateName::TimeWait);
        assert_eq!(pair.net.stack(host).unwrap().tcp_error(socket), Ok(None));
    }
    pair.net.run_until_idle(120 * SECOND).unwrap();
    assert_eq!(pair.net.stack(pair.client).unwrap().stats().time_wait, 0);
}

/// Two hosts and an established connection: the client's socket and the server's.
fn pair_with_established(seed: u64) -> (Pair, (SocketId, SocketId)) {
    let mut pair = Pair::new(seed, link());
    let flow = pair.connect(Flow { up: 10, down: 10, stay_open: true, ..pair.flow() });
    pair.run(10 * SECOND).unwrap();
    pair.run_for(SECOND);
    let sockets = [pair.traffic.client(flow), pair.traffic.server(flow)].map(|e| e.socket.unwrap());
    (pair, (sockets[0], sockets[1]))
}

#[test]
fn a_reused_port_makes_a_new_connection_while_the_old_one_is_in_time_wait() {
    for v6 in [false, true] {
        let mut pair = Pair::new(24, link());
        for _ in 0..5 {
            let flow = Flow { up: 5_000_000, local_port: 6_000, v6, ..pair.flow() };
            let flow = pair.connect(flow);
            pair.run(60 * SECOND).unwrap();
            assert_eq!(pair.traffic.client(flow).error, None, "{}", pair.net.trace());
            assert_eq!(pair.traffic.server(flow).received, 5_000_000);
            pair.run_for(SECOND);
        }
    }
}

#[test]
fn an_orphan_whose_peer_never_closes_is_given_up() {
    let (mut pair, (client, server)) = pair_with_established(25);
    pair.net.with(pair.client, |s, now| s.tcp_close(now, client)).unwrap().unwrap();
    pair.net.run_for(SECOND);
    assert_eq!(pair.net.stack(pair.client).unwrap().stats().connections, 1);
    // FIN-WAIT-2 of an orphan ends after 60 s.
    pair.net.run_for(130 * SECOND);
    assert_eq!(pair.net.stack(pair.client).unwrap().stats().connections, 0);
    // What the peer says then is answered by a RST.
    pair.net.with(pair.server, |s, now| s.tcp_send(now, server, b"late", false)).unwrap().unwrap();
    pair.net.run_for(SECOND);
    let error = pair.net.stack(pair.server).unwrap().tcp_error(server).unwrap();
    assert_eq!(error, Some(ConnectionError::Reset));
}
