//! Rules on packets, observers and the trace.

use std::sync::{Arc, Mutex};

use usernet_sim::{
    Action, DropReason, Duration, Flow, LinkConfig, Match, PacketView, Pair, What, fix_checksums,
};
use usernet_wire::tcp::Flags;

const SECOND: Duration = Duration::from_secs(1);

fn pair(seed: u64) -> Pair {
    Pair::new(seed, LinkConfig { delay: Duration::from_millis(10), ..LinkConfig::default() })
}

#[test]
fn the_third_data_segment_from_client_to_server_is_dropped() {
    let mut pair = pair(1);
    let (client, server) = (pair.client, pair.server);
    let third = pair.net.rule(Match::any().from(client).to(server).data().nth(3), Action::Drop);
    let flow = pair.connect(Flow { up: 50_000, ..pair.flow() });
    pair.run(60 * SECOND).unwrap();
    assert_eq!(pair.net.rule_hits(third), 1);
    assert_eq!(pair.net.drops()[&DropReason::Rule], 1);
    assert_eq!(pair.traffic.server(flow).received, 50_000);
    let trace = pair.net.trace();
    let dropped: Vec<&str> = trace.lines().filter(|l| l.ends_with("[dropped]")).collect();
    let [line] = dropped[..] else { panic!("{trace}") };
    assert!(line.contains("client>server TCP") && line.contains(" len "), "{line}");
    // The same bytes go a second time.
    let seq = line.split(" seq ").nth(1).unwrap().split(' ').next().unwrap();
    let start = seq.split(':').next().unwrap();
    let times = trace
        .lines()
        .filter(|l| l.contains("client>server"))
        .filter(|l| l.contains(&format!(" seq {start}:")))
        .count();
    assert!(times >= 2, "{trace}");
}

#[test]
fn a_held_syn_goes_on_when_it_is_released() {
    let mut pair = pair(2);
    let rule = pair.net.rule(Match::any().from(pair.client).flags(Flags::SYN), Action::Hold);
    let flow = pair.connect(Flow { up: 100, ..pair.flow() });
    pair.run_for(Duration::from_millis(500));
    assert_eq!(pair.net.rule_held(rule), 1);
    assert!(pair.traffic.server(flow).socket.is_none());
    assert_eq!(pair.net.release(rule), 1);
    assert!(pair.net.remove_rule(rule));
    assert!(!pair.net.remove_rule(rule));
    pair.run_for(Duration::from_millis(100));
    assert_eq!(pair.traffic.server(flow).received, 100);
    assert!(pair.net.trace().lines().next().unwrap().ends_with("[held] [released]"));
}

#[test]
fn removing_a_rule_lets_go_what_it_holds() {
    let mut pair = pair(3);
    let rule = pair.net.rule(Match::any().data(), Action::Hold);
    let flow = pair.connect(Flow { up: 100, ..pair.flow() });
    pair.run_for(Duration::from_millis(100));
    assert_eq!(pair.traffic.server(flow).received, 0);
    pair.net.remove_rule(rule);
    pair.run_for(Duration::from_millis(100));
    assert_eq!(pair.traffic.server(flow).received, 100);
}

#[test]
fn a_delayed_segment_is_overtaken() {
    let mut pair = pair(4);
    let rule = Match::any().from(pair.client).data().nth(2);
    pair.net.rule(rule, Action::Delay(Duration::from_millis(7)));
    let order = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&order);
    pair.net.observe(move |event| {
        let Some(view) = PacketView::parse(event.bytes) else { return };
        if event.what == What::Delivered && view.tcp.is_some() && !view.payload.is_empty() {
            seen.lock().unwrap().push(event.id);
        }
    });
    let flow = pair.connect(Flow { up: 5_000, ..pair.flow() });
    pair.run(SECOND).unwrap();
    assert_eq!(pair.traffic.server(flow).received, 5_000);
    let order = order.lock().unwrap();
    assert!(!order.is_sorted(), "{order:?}");
}

#[test]
fn copies_are_delivered_and_harm_nothing() {
    let mut pair = pair(5);
    let rule = pair.net.rule(Match::any().between(1, 10), Action::Copy(3));
    let flow = pair.connect(Flow { up: 20_000, down: 20_000, ..pair.flow() });
    pair.run(60 * SECOND).unwrap();
    assert_eq!(pair.net.rule_hits(rule), 10);
    assert_eq!(pair.traffic.server(flow).received, 20_000);
    let sum = |of: fn(&usernet_sim::LinkStats) -> u64| -> u64 {
        [pair.client, pair.server]
            .map(|end| of(pair.net.link_stats(pair.link, end).unwrap()))
            .iter()
            .sum()
    };
    // All the rest that was sent has arrived or is under way still.
    let in_flight = pair.net.in_flight() as u64;
    assert_eq!(sum(|s| s.delivered) + in_flight, sum(|s| s.sent) + 30);
}

#[test]
fn what_is_altered_without_its_checksum_is_as_good_as_lost() {
    let mut pair = pair(6);
    let rule = Match::any().from(pair.client).data().between(2, 3);
    pair.net.rule(rule, Action::alter(|bytes| *bytes.last_mut().unwrap() ^= 1));
    let flow = pair.connect(Flow { up: 20_000, ..pair.flow() });
    pair.run(60 * SECOND).unwrap();
    assert_eq!(pair.traffic.server(flow).received, 20_000);
    assert_eq!(pair.net.trace().matches("[altered]").count(), 2);
}

#[test]
fn what_is_altered_with_its_checksum_is_noticed_by_the_traffic() {
    let mut pair = pair(7);
    let rule = Match::any().from(pair.client).data().nth(2);
    let alter = Action::alter(|bytes| {
        *bytes.last_mut().unwrap() ^= 1;
        fix_checksums(bytes);
    });
    pair.net.rule(rule, alter);
    pair.connect(Flow { up: 20_000, ..pair.flow() });
    let error = pair.run(60 * SECOND).unwrap_err().to_string();
    assert!(error.starts_with("wrong data at "), "{error}");
    assert!(error.contains("flow 0, end 1: wrong byte at "), "{error}");
}

#[test]
fn a_rule_on_one_link_sees_what_passes_there() {
    let mut net = usernet_sim::Network::new(8);
    let (a, b) = (net.host("a").unwrap(), net.host("b").unwrap());
    let router = net.router("router").unwrap();
    net.link(a, router, LinkConfig::default()).unwrap();
    let second = net.link(router, b, LinkConfig::default()).unwrap();
    let anywhere = net.rule(Match::any().from(a).flags(Flags::SYN), Action::Copy(0));
    let there = net.rule(Match::any().on(second).flags(Flags::SYN), Action::Copy(0));
    let mut traffic = usernet_sim::Traffic::new();
    traffic.listen(&mut net, b, 80);
    traffic.connect(&mut net, Flow { up: 10, ..Flow::new(a, b, 80) });
    traffic.run(&mut net, SECOND).unwrap();
    // The SYN once where it was made; on the second link the SYN and the SYN-ACK.
    assert_eq!((net.rule_hits(anywhere), net.rule_hits(there)), (1, 2));
}

#[test]
fn the_trace_reads_like_a_packet_trace() {
    for (v6, tcp, mss) in [(false, "TCP", 1460), (true, "TCP6", 1440)] {
        let mut pair = pair(9);
        let flow = Flow { local_port: 40_000, up: 100, v6, ..pair.flow() };
        pair.connect(flow);
        pair.run_for(SECOND);
        let trace = pair.net.trace();
        let lines: Vec<&str> = trace.lines().collect();
        let starts = [
            format!("0ms client>server {tcp} 40000>80 S seq 0 win "),
            format!("10ms server>client {tcp} 80>40000 SA seq 0 ack 1 win "),
            format!("20ms client>server {tcp} 40000>80 "),
        ];
        for (line, start) in lines.iter().zip(starts) {
            assert!(line.starts_with(&start), "{line}");
        }
        assert!(lines[0].contains(&format!("<mss {mss},")), "{}", lines[0]);
        assert!(trace.contains(" seq 1:101 ack 1 win "), "{trace}");
        assert!(trace.contains(" len 100"), "{trace}");
    }
}

#[test]
fn the_trace_keeps_as_many_packets_as_it_is_told() {
    let mut pair = pair(10);
    pair.connect(Flow { up: 300_000, ..pair.flow() });
    pair.net.keep_trace(7);
    pair.run(60 * SECOND).unwrap();
    assert_eq!(pair.net.trace().lines().count(), 7);
    pair.net.keep_trace(0);
    assert_eq!(pair.net.trace(), "");
}

#[test]
fn observers_hear_until_they_are_removed() {
    let mut pair = pair(11);
    let count = Arc::new(Mutex::new(0_u64));
    let counter = Arc::clone(&count);
    let observer = pair.net.observe(move |event| {
        if event.what == What::Sent {
            assert_eq!(event.from_name == "client", event.to_name == "server");
            *counter.lock().unwrap() += 1;
        }
    });
    pair.connect(Flow { up: 10_000, ..pair.flow() });
    pair.run(60 * SECOND).unwrap();
    let sent = |pair: &Pair| -> u64 {
        [pair.client, pair.server]
            .map(|end| pair.net.link_stats(pair.link, end).unwrap().sent)
            .iter()
            .sum()
    };
    let heard = *count.lock().unwrap();
    assert_eq!(heard, sent(&pair));
    assert!(pair.net.unobserve(observer));
    assert!(!pair.net.unobserve(observer));
    pair.connect(Flow { up: 10_000, ..pair.flow() });
    pair.run(60 * SECOND).unwrap();
    assert_eq!(*count.lock().unwrap(), heard);
}

#[test]
fn garbage_harms_no_host() {
    let mut pair = pair(12);
    let flow = pair.connect(Flow { up: 100_000, stay_open: true, ..pair.flow() });
    for n in 0..2_000_u32 {
        let len = (n * 7 % 120) as usize;
        let mut bytes: Vec<u8> = (0..len as u32).map(|i| (n * 31 + i * 17) as u8).collect();
        if let Some(first) = bytes.first_mut() {
            *first = if n % 2 == 0 { 0x45 } else { 0x60 };
        }
        if n % 3 == 0 {
            fix_checksums(&mut bytes);
        }
        pair.net.inject(pair.server, bytes).unwrap();
    }
    pair.traffic.finish(&mut pair.net, flow);
    pair.run(60 * SECOND).unwrap();
    assert_eq!(pair.traffic.server(flow).received, 100_000);
}
