//! Routers, switches and NAT boxes between hosts.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use usernet_core::ConnectionError;
use usernet_sim::{
    DropReason, Duration, Error, Flow, HostConfig, LinkConfig, NatConfig, NatKind, Network, NodeId,
    PacketView, Traffic, What,
};
use usernet_wire::ip::Protocol;

const MINUTE: Duration = Duration::from_secs(60);

fn link() -> LinkConfig {
    LinkConfig { delay: Duration::from_millis(5), ..LinkConfig::default() }
}

fn host(net: &mut Network, name: &str) -> NodeId {
    net.host(name).unwrap()
}

/// Carries data between two hosts over both families.
fn exchange(net: &mut Network, traffic: &mut Traffic, client: NodeId, server: NodeId, port: u16) {
    for v6 in [false, true] {
        let flow = Flow { up: 20_000, down: 20_000, v6, ..Flow::new(client, server, port) };
        let flow = traffic.connect(net, flow);
        traffic.run(net, 10 * MINUTE).unwrap();
        assert_eq!(traffic.client(flow).error, None, "{}", net.trace());
        assert_eq!(traffic.server(flow).received, 20_000);
        assert_eq!(traffic.client(flow).received, 20_000);
    }
}

/// The distinct values of something about packets, in the order they came.
fn watch<T: PartialEq + Send + 'static>(
    net: &mut Network,
    of: impl Fn(&usernet_sim::PacketEvent<'_>, &PacketView<'_>) -> Option<T> + Send + 'static,
) -> Arc<Mutex<Vec<T>>> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let list = Arc::clone(&seen);
    net.observe(move |event| {
        let Some(view) = PacketView::parse(event.bytes) else { return };
        if let Some(value) = of(event, &view) {
            let mut list = list.lock().unwrap();
            if !list.contains(&value) {
                list.push(value);
            }
        }
    });
    seen
}

#[test]
fn three_routers_take_three_off_the_hop_limit() {
    let mut net = Network::new(1);
    let (client, server) = (host(&mut net, "client"), host(&mut net, "server"));
    let routers: Vec<_> = (0..3).map(|n| net.router(&format!("r{n}")).unwrap()).collect();
    let chain = [&[client], &routers[..], &[server]].concat();
    for pair in chain.windows(2) {
        net.link(pair[0], pair[1], link()).unwrap();
    }
    let limits = watch(&mut net, move |event, view| {
        (event.what == What::Delivered && event.to == server).then_some(view.ip.hop_limit)
    });
    let mut traffic = Traffic::new();
    traffic.listen(&mut net, server, 80);
    exchange(&mut net, &mut traffic, client, server, 80);
    assert_eq!(*limits.lock().unwrap(), [61]);
}

#[test]
fn a_hop_limit_that_runs_out_is_reported_by_the_router() {
    let mut net = Network::new(2);
    let (client, server) = (host(&mut net, "client"), host(&mut net, "server"));
    let router = net.router("router").unwrap();
    net.link(client, router, link()).unwrap();
    net.link(router, server, link()).unwrap();
    let mut traffic = Traffic::new();
    traffic.listen(&mut net, server, 80);
    let errors = watch(&mut net, move |event, view| {
        let icmp = matches!(view.ip.protocol, Protocol::ICMP | Protocol::ICMPV6);
        let kind = *view.payload.first()?;
        (icmp && event.what == What::Delivered && event.to == client).then_some(kind)
    });
    for v6 in [false, true] {
        let options = usernet_core::SocketOptions { hop_limit: 1, ..Default::default() };
        let flow = Flow { v6, options: Some(options), ..Flow::new(client, server, 80) };
        traffic.connect(&mut net, flow);
        traffic.run_for(&mut net, Duration::from_millis(500));
    }
    assert!(net.drops()[&DropReason::HopLimit] >= 2);
    assert_eq!(*errors.lock().unwrap(), [11, 3]);
}

#[test]
fn the_shortest_way_is_taken_and_hosts_do_not_forward() {
    let mut net = Network::new(3);
    let [a, b, c] = ["a", "b", "c"].map(|name| host(&mut net, name));
    let router = net.router("router").unwrap();
    let direct = net.link(a, b, link()).unwrap();
    for node in [a, b] {
        net.link(node, router, link()).unwrap();
    }
    net.link(b, c, link()).unwrap();
    let mut traffic = Traffic::new();
    traffic.listen(&mut net, b, 80);
    exchange(&mut net, &mut traffic, a, b, 80);
    assert!(net.link_stats(direct, a).unwrap().delivered > 20);
    // c hangs on b only, and b is a host.
    traffic.connect(&mut net, Flow::new(a, c, 80));
    traffic.run_for(&mut net, Duration::from_secs(1));
    assert!(net.drops()[&DropReason::NoRoute] > 0);
}

#[test]
fn a_switch_floods_until_it_has_learned() {
    let mut net = Network::new(4);
    let [a, b, c] = ["a", "b", "c"].map(|name| host(&mut net, name));
    let [left, right] = ["left", "right"].map(|name| net.switch(name).unwrap());
    net.link(left, right, link()).unwrap();
    for (node, switch) in [(a, left), (b, right), (c, right)] {
        net.link(node, switch, link()).unwrap();
    }
    let to_c = Arc::new(Mutex::new(0));
    let counter = Arc::clone(&to_c);
    net.observe(move |event| {
        if event.what == What::Delivered && event.to == c {
            *counter.lock().unwrap() += 1;
        }
    });
    let mut traffic = Traffic::new();
    traffic.listen(&mut net, b, 80);
    exchange(&mut net, &mut traffic, a, b, 80);
    // Only the first packet of each family went everywhere, and c did not answer it.
    assert_eq!(*to_c.lock().unwrap(), 2, "{}", net.trace());
    assert_eq!(
        net.link(left, right, link()).unwrap_err().to_string(),
        "a link of left with right would close a loop of switches: put a router between them"
    );
}

#[test]
fn a_nat_box_hides_what_is_inside() {
    for kind in [NatKind::EndpointIndependent, NatKind::Symmetric] {
        let mut net = Network::new(5);
        let [inside, outside, other] =
            ["inside", "outside", "other"].map(|name| host(&mut net, name));
        let router = net.router("router").unwrap();
        let nat = net.nat("nat", NatConfig { kind, ..NatConfig::default() }).unwrap();
        net.uplink(nat, router, link()).unwrap();
        net.link(inside, nat, link()).unwrap();
        net.link(outside, router, link()).unwrap();
        net.link(other, router, link()).unwrap();
        let sources = watch(&mut net, move |event, view| {
            let here = event.what == What::Delivered && event.to == outside;
            here.then_some(view.ip.src)
        });
        let mut traffic = Traffic::new();
        for server in [outside, other, inside] {
            traffic.listen(&mut net, server, 80);
        }
        exchange(&mut net, &mut traffic, inside, outside, 80);
        let own: Vec<IpAddr> = net.addresses(nat).unwrap().to_vec();
        assert_eq!(*sources.lock().unwrap(), own);
        // Nobody comes in from outside: there is no way to an inside address.
        traffic.connect(&mut net, Flow::new(outside, inside, 80));
        traffic.run_for(&mut net, Duration::from_secs(1));
        assert!(net.drops()[&DropReason::NoRoute] > 0);
    }
}

/// The outside ports that two connections from one inside port to two servers get.
fn outside_ports(kind: NatKind) -> Vec<u16> {
    let mut net = Network::new(6);
    let [inside, one, two] = ["inside", "one", "two"].map(|name| host(&mut net, name));
    let router = net.router("router").unwrap();
    let nat = net.nat("nat", NatConfig { kind, ..NatConfig::default() }).unwrap();
    net.uplink(nat, router, link()).unwrap();
    net.link(inside, nat, link()).unwrap();
    let mut traffic = Traffic::new();
    let ports = watch(&mut net, move |event, view| {
        let here = event.what == What::Delivered && (event.to == one || event.to == two);
        here.then_some((event.to, view.tcp.as_ref()?.src_port))
    });
    for server in [one, two] {
        net.link(server, router, link()).unwrap();
        traffic.listen(&mut net, server, 80);
        let flow = Flow { up: 10, local_port: 4444, ..Flow::new(inside, server, 80) };
        traffic.connect(&mut net, flow);
        traffic.run(&mut net, MINUTE).unwrap();
    }
    assert_eq!(net.nat_mappings(nat).unwrap(), if kind == NatKind::Symmetric { 2 } else { 1 });
    let ports = ports.lock().unwrap();
    ports.iter().map(|(_, port)| *port).collect()
}

#[test]
fn mappings_depend_on_the_peer_only_when_symmetric() {
    assert_eq!(outside_ports(NatKind::EndpointIndependent), [4444, 4444]);
    let ports = outside_ports(NatKind::Symmetric);
    assert_eq!(ports.len(), 2);
    assert_ne!(ports[0], ports[1]);
}

#[test]
fn a_mapping_that_lapsed_cuts_an_idle_connection() {
    let mut net = Network::new(7);
    let (inside, outside) = (host(&mut net, "inside"), host(&mut net, "outside"));
    let config = NatConfig {
        kind: NatKind::Symmetric,
        tcp_established: Duration::from_secs(300),
        ..NatConfig::default()
    };
    let nat = net.nat("nat", config).unwrap();
    net.uplink(nat, outside, link()).unwrap();
    net.link(inside, nat, link()).unwrap();
    let mut traffic = Traffic::new();
    traffic.listen(&mut net, outside, 80);
    let flow = Flow { up: 100, down: 100, stay_open: true, ..Flow::new(inside, outside, 80) };
    let flow = traffic.connect(&mut net, flow);
    traffic.run(&mut net, MINUTE).unwrap();
    // Idle for less than the timeout: it lives.
    traffic.run_for(&mut net, Duration::from_secs(290));
    traffic.send_more(&mut net, flow, 100, 100);
    traffic.run(&mut net, MINUTE).unwrap();
    // For longer: the new mapping has another port, and the server knows no such connection.
    traffic.run_for(&mut net, Duration::from_secs(310));
    traffic.send_more(&mut net, flow, 100, 0);
    traffic.run_for(&mut net, 10 * MINUTE);
    assert_eq!(traffic.client(flow).error, Some(ConnectionError::Reset), "{}", net.trace());
}

#[test]
fn a_packet_too_big_for_the_next_link_is_reported() {
    let mut net = Network::new(8);
    let (client, server) = (host(&mut net, "client"), host(&mut net, "server"));
    let router = net.router("router").unwrap();
    let narrow = net.link(client, router, link()).unwrap();
    net.link(router, server, link()).unwrap();
    let reported = watch(&mut net, move |event, view| {
        let at_server = event.what == What::Delivered && event.to == server;
        match (view.ip.protocol, view.payload) {
            (Protocol::ICMP, [3, 4, _, _, _, _, a, b, ..]) if at_server => {
                Some(u32::from(u16::from_be_bytes([*a, *b])))
            }
            (Protocol::ICMPV6, [2, 0, _, _, a, b, c, d, ..]) if at_server => {
                Some(u32::from_be_bytes([*a, *b, *c, *d]))
            }
            _ => None,
        }
    });
    let mut traffic = Traffic::new();
    traffic.listen(&mut net, server, 80);
    // The client's MSS says 1500 bytes; the router alone knows better.
    net.set_link_from(narrow, router, |c| c.mtu = 1300).unwrap();
    for v6 in [false, true] {
        let flow = Flow { down: 20_000, v6, ..Flow::new(client, server, 80) };
        traffic.connect(&mut net, flow);
        traffic.run_for(&mut net, Duration::from_secs(2));
    }
    assert!(net.drops()[&DropReason::TooBig] >= 2);
    assert_eq!(*reported.lock().unwrap(), [1300], "{}", net.trace());
}

#[test]
fn misuse_is_answered_in_words() {
    let mut net = Network::new(9);
    let a = host(&mut net, "a");
    let router = net.router("router").unwrap();
    let address = net.address(a, false).unwrap();
    let says = |error: Error| error.to_string();
    assert_eq!(says(net.link(a, a, link()).unwrap_err()), "a cannot be linked with itself");
    let same = HostConfig { addresses: vec![address], ..HostConfig::default() };
    let error = net.host_with("b", same).unwrap_err();
    assert_eq!(says(error), "address 198.18.0.1 belongs to another node already");
    assert_eq!(
        says(net.crash(router).unwrap_err()),
        "router is not a host: only hosts have a stack"
    );
    let error = net.restart(a).unwrap_err();
    assert_eq!(says(error), "host a is up: only a crashed host can be restarted");
    net.crash(a).unwrap();
    let error = net.with(a, |_, _| ()).unwrap_err();
    assert_eq!(says(error), "host a is down: restart it first");
    let error = net.uplink(router, a, link()).unwrap_err();
    assert_eq!(says(error), "router is not a NAT box: only those have an uplink");
    let stranger = {
        let mut other = Network::new(9);
        (0..5).map(|n| other.router(&n.to_string()).unwrap()).last().unwrap()
    };
    assert!(matches!(net.name(stranger), Err(Error::NoSuchNode(_))));
    let foreign = {
        let mut other = Network::new(9);
        let (a, b) = (host(&mut other, "a"), host(&mut other, "b"));
        other.link(a, b, link()).unwrap()
    };
    assert!(matches!(net.set_link(foreign, |c| c.up = false), Err(Error::NoSuchLink(_))));
    assert!(matches!(net.link_stats(foreign, a), Err(Error::NoSuchLink(_))));
}

#[test]
fn a_network_can_move_to_another_thread() {
    fn is_send<T: Send>(_: &T) {}
    is_send(&Network::new(1));
    is_send(&Traffic::new());
}

#[test]
fn the_path_mtu_is_found_and_the_transfer_goes_on() {
    for v6 in [false, true] {
        let mut net = Network::new(10);
        let (client, server) = (host(&mut net, "client"), host(&mut net, "server"));
        let [near, far] = ["near", "far"].map(|name| net.router(name).unwrap());
        net.link(client, near, link()).unwrap();
        let narrow = net.link(near, far, LinkConfig { mtu: 1400, ..link() }).unwrap();
        net.link(far, server, link()).unwrap();
        let mut traffic = Traffic::new();
        traffic.listen(&mut net, server, 80);
        let flow = Flow { up: 200_000, down: 200_000, v6, ..Flow::new(client, server, 80) };
        let flow = Flow { stay_open: true, ..flow };
        let id = traffic.connect(&mut net, flow);
        traffic.run(&mut net, MINUTE).unwrap();
        // In the middle of the connection the path gets narrower still.
        net.set_link(narrow, |c| c.mtu = 1300).unwrap();
        traffic.send_more(&mut net, id, 200_000, 200_000);
        traffic.finish(&mut net, id);
        traffic.run(&mut net, MINUTE).unwrap();
        assert_eq!(traffic.server(id).received, 400_000);
        assert_eq!(traffic.client(id).received, 400_000);
        assert!(net.drops()[&DropReason::TooBig] >= 4, "both ways, twice");
    }
}

#[test]
fn an_hour_of_a_hundred_hosts_and_a_thousand_connections_under_loss() {
    let mut net = Network::new(11);
    let router = net.router("router").unwrap();
    let lossy = LinkConfig { loss: usernet_sim::Loss::Uniform(0.01), ..link() };
    let mut traffic = Traffic::new();
    let hosts: Vec<_> = (0..100).map(|n| host(&mut net, &format!("h{n}"))).collect();
    for &host in &hosts {
        net.link(host, router, lossy.clone()).unwrap();
        traffic.listen(&mut net, host, 80);
    }
    let mut flows = Vec::new();
    for n in 0..1_000 {
        let (client, server) = (hosts[n % 100], hosts[(n * 7 + n / 100 + 1) % 100]);
        let flow = Flow { stay_open: true, v6: n % 2 == 0, ..Flow::new(client, server, 80) };
        flows.push(traffic.connect(&mut net, flow));
    }
    // Each connection has something to say every minute.
    for minute in 1..=60_u64 {
        for &flow in &flows {
            traffic.send_more(&mut net, flow, 2_000, 2_000);
        }
        traffic.run(&mut net, MINUTE).unwrap();
        let end = usernet_sim::Instant::from_millis(minute * 60_000);
        let rest = end.since(net.now());
        traffic.run_for(&mut net, rest);
    }
    for &flow in &flows {
        assert_eq!(traffic.server(flow).received, 120_000);
        assert_eq!(traffic.client(flow).received, 120_000);
        traffic.finish(&mut net, flow);
    }
    traffic.run(&mut net, MINUTE).unwrap();
    net.run_until_idle(5 * MINUTE).unwrap();
    for host in hosts {
        assert_eq!(net.stack(host).unwrap().stats().connections, 0);
    }
}
