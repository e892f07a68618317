//! What the core knows, as JavaScript objects. Names are the core's, which are the RFCs' and `ss -ti`'s.

use std::ffi::CStr;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use usernet_core::tcp::Info;
use usernet_core::{ErrorReport, Instant, NeighborState, PathError, Stats, Trace, TraceEvent};
use usernet_manager::{QueueStats, ShardStats};

use crate::errno::Errno;
use crate::js::{Js, Result, Value};
use crate::lane::Lane;
use crate::slabs::Received;
use crate::stack::Stack;

/// Most trace events that one call takes; the rest is for the next.
const MAX_TRACE: usize = 65_536;

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// An object with numbers.
fn numbers<'s>(js: Js<'s>, object: Value<'s>, fields: &[(&CStr, f64)]) -> Result<()> {
    fields.iter().try_for_each(|(name, value)| js.set(object, name, js.number(*value)?))
}

/// `{ address, port, family }`.
pub(crate) fn address<'s>(js: Js<'s>, address: SocketAddr) -> Result<Value<'s>> {
    let object = js.object()?;
    js.set(object, c"address", js.string(&address.ip().to_string())?)?;
    js.set(object, c"family", js.string(if address.is_ipv4() { "IPv4" } else { "IPv6" })?)?;
    js.set(object, c"port", js.int(i32::from(address.port()))?)?;
    Ok(object)
}

/// The stack's addresses; loopback's interface has the number 0.
pub(crate) fn addresses<'s>(js: Js<'s>, stack: &Stack) -> Result<Value<'s>> {
    let addresses = stack.with_core(|core| core.addresses()).unwrap_or_default();
    let interfaces = stack.interfaces.borrow();
    let items = addresses.into_iter().map(|(id, cidr)| {
        let interface = interfaces.iter().find(|i| i.id == id);
        let (number, name) = interface.map_or((0, "lo"), |i| (i.number, &i.name));
        let object = js.object()?;
        js.set(object, c"interface", js.number(f64::from(number))?)?;
        js.set(object, c"name", js.string(name)?)?;
        js.set(object, c"cidr", js.string(&format!("{}/{}", cidr.addr, cidr.prefix_len))?)?;
        Ok(object)
    });
    js.array(&items.collect::<Result<Vec<_>>>()?)
}

/// What has passed the ports of the bridge: `[{ interface, framesIn, .. }]`.
pub(crate) fn bridge_ports<'s>(js: Js<'s>, stack: &Stack) -> Result<Value<'s>> {
    let ports = stack.with_core(|core| core.bridge_ports().collect::<Vec<_>>());
    let interfaces = stack.interfaces.borrow();
    let items = ports.into_iter().flatten().filter_map(|(id, stats)| {
        let interface = interfaces.iter().find(|i| i.id == id)?;
        let object = js.object();
        Some(object.and_then(|object| {
            numbers(
                js,
                object,
                &[
                    (c"interface", f64::from(interface.number)),
                    (c"framesIn", stats.frames_in as f64),
                    (c"bytesIn", stats.bytes_in as f64),
                    (c"framesOut", stats.frames_out as f64),
                    (c"bytesOut", stats.bytes_out as f64),
                    (c"flooded", stats.flooded as f64),
                    (c"filtered", stats.filtered as f64),
                    (c"malformed", stats.malformed as f64),
                    (c"dropped", stats.dropped as f64),
                ],
            )?;
            Ok(object)
        }))
    });
    js.array(&items.collect::<Result<Vec<_>>>()?)
}

/// The stations that the bridge knows: `[{ mac, interface, age }]`, age in ms.
pub(crate) fn bridge_table<'s>(js: Js<'s>, stack: &Stack) -> Result<Value<'s>> {
    let stations = stack.with_core(|core| core.bridge_table(core.now()));
    let interfaces = stack.interfaces.borrow();
    let items = stations.into_iter().flatten().map(|station| {
        let interface = interfaces.iter().find(|i| i.id == station.port);
        let object = js.object()?;
        js.set(object, c"mac", js.string(&station.mac.to_string())?)?;
        let number = interface.map_or(0, |i| i.number);
        numbers(js, object, &[(c"interface", f64::from(number)), (c"age", ms(station.age))])?;
        Ok(object)
    });
    js.array(&items.collect::<Result<Vec<_>>>()?)
}

/// The interfaces: `[{ interface, name, mtu, up, mac? }]`.
pub(crate) fn interfaces<'s>(js: Js<'s>, stack: &Stack) -> Result<Value<'s>> {
    let interfaces = stack.interfaces.borrow();
    let links = stack.with_core(|core| {
        let loopback = core.loopback().map(|id| (0, "lo", id));
        let others = interfaces.iter().map(|i| (i.number, i.name.as_str(), i.id));
        let all = loopback.into_iter().chain(others);
        let link = |(number, name, id)| {
            Some((number, name, core.interface_link(id)?, core.interface_mac(id)))
        };
        all.filter_map(link).collect::<Vec<_>>()
    });
    let items = links.into_iter().flatten().map(|(number, name, (mtu, up), mac)| {
        let object = js.object()?;
        js.set(object, c"interface", js.number(f64::from(number))?)?;
        js.set(object, c"name", js.string(name)?)?;
        js.set(object, c"mtu", js.number(f64::from(mtu))?)?;
        js.set(object, c"up", js.bool(up)?)?;
        if let Some(mac) = mac {
            js.set(object, c"mac", js.string(&mac.to_string())?)?;
        }
        Ok(object)
    });
    js.array(&items.collect::<Result<Vec<_>>>()?)
}

/// The stack's routes: `{ to, via, interface }`; `via` is null for what is on the link.
pub(crate) fn routes<'s>(js: Js<'s>, stack: &Stack) -> Result<Value<'s>> {
    let routes = stack.with_core(|core| core.routes().to_vec()).unwrap_or_default();
    let interfaces = stack.interfaces.borrow();
    let items = routes.into_iter().map(|route| {
        let number = interfaces.iter().find(|i| i.id == route.interface).map_or(0, |i| i.number);
        let object = js.object()?;
        let to = format!("{}/{}", route.to.addr, route.to.prefix_len);
        js.set(object, c"to", js.string(&to)?)?;
        let via = route.via.map(|via| js.string(&via.to_string()));
        js.set(object, c"via", via.unwrap_or_else(|| js.null())?)?;
        js.set(object, c"interface", js.number(f64::from(number))?)?;
        Ok(object)
    });
    js.array(&items.collect::<Result<Vec<_>>>()?)
}

/// The neighbours of the Ethernet interfaces.
pub(crate) fn neighbors<'s>(js: Js<'s>, stack: &Stack) -> Result<Value<'s>> {
    let neighbors = stack.with_core(|core| core.neighbors(core.now())).unwrap_or_default();
    let interfaces = stack.interfaces.borrow();
    let items = neighbors.into_iter().map(|neighbor| {
        let interface = interfaces.iter().find(|i| i.id == neighbor.interface);
        let object = js.object()?;
        js.set(object, c"interface", js.string(interface.map_or("", |i| &i.name))?)?;
        js.set(object, c"address", js.string(&neighbor.addr.to_string())?)?;
        if let Some(mac) = neighbor.mac {
            js.set(object, c"mac", js.string(&mac.to_string())?)?;
        }
        let state = match neighbor.state {
            NeighborState::Incomplete => "incomplete",
            NeighborState::Reachable => "reachable",
            NeighborState::Stale => "stale",
            NeighborState::Delay => "delay",
            NeighborState::Probe => "probe",
            NeighborState::Failed => "failed",
            NeighborState::Permanent => "permanent",
        };
        js.set(object, c"state", js.string(state)?)?;
        js.set(object, c"router", js.bool(neighbor.router)?)?;
        Ok(object)
    });
    js.array(&items.collect::<Result<Vec<_>>>()?)
}

/// Counters: the protocols', those of the devices, who drove, and how what was received came to JavaScript.
pub(crate) fn stats<'s>(
    js: Js<'s>,
    stats: &Stats,
    shard: &ShardStats,
    received: Received,
    busy_polls: u64,
    queues: QueueStats,
) -> Result<Value<'s>> {
    let object = js.object()?;
    for (name, value) in stats.iter().chain(stats.nstat()) {
        js.set_key(object, js.string(name)?, js.number(value as f64)?)?;
    }
    numbers(
        js,
        object,
        &[
            (c"tx_blocked", shard.tx_blocked as f64),
            (c"tx_dropped", shard.tx_dropped as f64),
            (c"devices_lost", shard.devices_lost as f64),
            (c"loop_turns", shard.loop_turns as f64),
            (c"take_overs", shard.take_overs as f64),
            (c"gathered", shard.gathered as f64),
            (c"busy_polls", busy_polls as f64),
            (c"queue_handed_over", queues.handed_over as f64),
            (c"queue_dropped", queues.dropped as f64),
            (c"recv_bytes_copied", received.copied as f64),
            (c"recv_bytes_uncopied", received.uncopied as f64),
        ],
    )?;
    Ok(object)
}

/// What `ss -ti` would show; durations in ms. What is not in use (window scaling) is left out.
pub(crate) fn info<'s>(js: Js<'s>, info: &Info) -> Result<Value<'s>> {
    let object = js.object()?;
    js.set(object, c"state", js.string(info.state.as_str())?)?;
    js.set(object, c"congestion", js.string(info.congestion)?)?;
    js.set(object, c"timestamps", js.bool(info.timestamps)?)?;
    js.set(object, c"sack", js.bool(info.sack)?)?;
    js.set(object, c"ca_state", js.string(info.ca_state.as_str())?)?;
    js.set(object, c"app_limited", js.bool(info.app_limited)?)?;
    js.set(object, c"delivery_rate_app_limited", js.bool(info.delivery_rate_app_limited)?)?;
    js.set(object, c"paced", js.bool(info.paced)?)?;
    js.set(object, c"ecn", js.string(info.ecn.as_str())?)?;
    js.set(object, c"ecn_seen", js.bool(info.ecn_seen)?)?;
    js.set(object, c"syn_data", js.bool(info.syn_data)?)?;
    if let Some(shift) = info.snd_wscale {
        js.set(object, c"snd_wscale", js.int(i32::from(shift))?)?;
    }
    if let Some(limit) = info.user_timeout {
        numbers(js, object, &[(c"user_timeout", ms(limit))])?;
    }
    if let Some(error) = info.soft_error {
        js.set(object, c"soft_error", js.string(Errno::from(error).name())?)?;
    }
    if let Some(left) = info.urgent {
        numbers(js, object, &[(c"urgent", f64::from(left))])?;
    }
    if let Some(shift) = info.rcv_wscale {
        js.set(object, c"rcv_wscale", js.int(i32::from(shift))?)?;
    }
    numbers(
        js,
        object,
        &[
            (c"srtt", ms(info.srtt)),
            (c"rttvar", ms(info.rttvar)),
            (c"min_rtt", ms(info.min_rtt)),
            (c"rto", ms(info.rto)),
            (c"backoff", f64::from(info.backoff)),
            (c"mss", f64::from(info.mss)),
            (c"peer_mss", f64::from(info.peer_mss)),
            (c"pmtu", f64::from(info.pmtu)),
            (c"cwnd", f64::from(info.cwnd)),
            (c"ssthresh", f64::from(info.ssthresh)),
            (c"snd_wnd", f64::from(info.snd_wnd)),
            (c"rcv_wnd", f64::from(info.rcv_wnd)),
            (c"in_flight", f64::from(info.in_flight)),
            (c"send_queue", f64::from(info.send_queue)),
            (c"unsent", f64::from(info.unsent)),
            (c"recv_queue", f64::from(info.recv_queue)),
            (c"ooo_queue", f64::from(info.ooo_queue)),
            (c"bytes_sent", info.bytes_sent as f64),
            (c"bytes_acked", info.bytes_acked as f64),
            (c"bytes_received", info.bytes_received as f64),
            (c"bytes_retrans", info.bytes_retrans as f64),
            (c"segs_out", info.segs_out as f64),
            (c"segs_in", info.segs_in as f64),
            (c"retrans", info.retrans as f64),
            (c"timeouts", info.timeouts as f64),
            (c"lost", f64::from(info.lost)),
            (c"dup_acks", info.dup_acks as f64),
            (c"unacked", f64::from(info.unacked)),
            (c"sacked", f64::from(info.sacked)),
            (c"retrans_out", f64::from(info.retrans_out)),
            (c"reordering", f64::from(info.reordering)),
            (c"reord_seen", f64::from(info.reord_seen)),
            (c"delivered", info.delivered as f64),
            (c"delivery_rate", info.delivery_rate as f64),
            (c"pacing_rate", info.pacing_rate as f64),
            (c"busy", ms(info.busy)),
            (c"rwnd_limited", ms(info.rwnd_limited)),
            (c"sndbuf_limited", ms(info.sndbuf_limited)),
            (c"send_buffer", f64::from(info.send_buffer)),
            (c"recv_buffer", f64::from(info.recv_buffer)),
            (c"rcv_rtt", ms(info.rcv_rtt)),
            (c"delivered_ce", f64::from(info.delivered_ce)),
            (c"received_ce", f64::from(info.received_ce)),
            (c"data_segs_out", info.data_segs_out as f64),
            (c"data_segs_in", info.data_segs_in as f64),
            (c"last_data_sent", ms(info.last_data_sent)),
            (c"last_data_recv", ms(info.last_data_recv)),
            (c"last_ack_recv", ms(info.last_ack_recv)),
            (c"ato", ms(info.ato)),
            (c"rcv_mss", f64::from(info.rcv_mss)),
            (c"advmss", f64::from(info.advmss)),
            (c"rcv_ooopack", info.rcv_ooopack as f64),
            (c"dsack_dups", info.dsack_dups as f64),
        ],
    )?;
    Ok(object)
}

/// Takes what the trace recorded, oldest first.
pub(crate) fn take_trace<'s>(js: Js<'s>, stack: &Stack) -> Result<Value<'s>> {
    let mut events = Vec::new();
    let take = |lane: &Lane, events: &mut Vec<(f64, TraceEvent)>| {
        lane.with_core(|core| {
            while events.len() < MAX_TRACE
                && let Some(event) = core.poll_trace()
            {
                let number = lane.pump().number(event.socket).unwrap_or(-1.0);
                let at = Instant::from_nanos(event.at.as_nanos() + lane.began);
                events.push((number, TraceEvent { at, ..event }));
            }
        });
    };
    take(&stack.lane_at(0), &mut events);
    let further = stack.further();
    if !further.is_empty() {
        for lane in &further {
            take(lane, &mut events);
        }
        // Each has its own in order.
        events.sort_by_key(|(_, event)| event.at);
    }
    let items = events.iter().map(|(number, event)| trace(js, *number, event));
    js.array(&items.collect::<Result<Vec<_>>>()?)
}

/// `{ type, at, id, local, remote, .. }`; `id` is the socket's number, or -1 when JavaScript does not know the socket
/// (not accepted yet, or closed). `at` is in ms since the stack was made.
fn trace<'s>(js: Js<'s>, number: f64, event: &TraceEvent) -> Result<Value<'s>> {
    let object = js.object()?;
    let kind = match event.what {
        Trace::State { .. } => "state",
        Trace::Retransmit { .. } => "retransmit",
        Trace::Recovery { .. } => "recovery",
        Trace::Timeout { .. } => "timeout",
        Trace::Cwnd { .. } => "cwnd",
        Trace::Urgent { .. } => "urgent",
        Trace::Report(_) => "errorReport",
        Trace::Error(_) => "error",
        _ => "other",
    };
    js.set(object, c"type", js.string(kind)?)?;
    numbers(js, object, &[(c"at", event.at.as_nanos() as f64 / 1e6), (c"id", number)])?;
    js.set(object, c"local", js.string(&endpoint(event.local))?)?;
    js.set(object, c"remote", js.string(&endpoint(event.remote))?)?;
    match event.what {
        Trace::State { from, to } => {
            js.set(object, c"from", js.string(from.as_str())?)?;
            js.set(object, c"to", js.string(to.as_str())?)?;
        }
        Trace::Retransmit { seq, len, timeout } => {
            numbers(js, object, &[(c"seq", f64::from(seq)), (c"length", f64::from(len))])?;
            js.set(object, c"timeout", js.bool(timeout)?)?;
        }
        Trace::Recovery { began, cwnd, ssthresh } => {
            js.set(object, c"began", js.bool(began)?)?;
            numbers(js, object, &[(c"cwnd", f64::from(cwnd)), (c"ssthresh", f64::from(ssthresh))])?;
        }
        Trace::Timeout { backoff, rto } => {
            numbers(js, object, &[(c"backoff", f64::from(backoff)), (c"rto", ms(rto))])?;
        }
        Trace::Cwnd { cwnd, ssthresh } => {
            numbers(js, object, &[(c"cwnd", f64::from(cwnd)), (c"ssthresh", f64::from(ssthresh))])?;
        }
        Trace::Urgent { left } => numbers(js, object, &[(c"left", f64::from(left))])?,
        Trace::Report(said) => report(js, object, &said)?,
        Trace::Error(error) => {
            js.set(object, c"code", js.string(Errno::from(error).name())?)?;
        }
        _ => {}
    }
    Ok(object)
}

/// Fills in a report of a delivery problem: `ErrorReport` in src/events.ts. What the trace calls `type` is `icmp` here.
pub(crate) fn report<'s>(js: Js<'s>, object: Value<'s>, report: &ErrorReport) -> Result<()> {
    match *report {
        ErrorReport::Icmp { from, error, meaning } => {
            js.set(object, c"reason", js.string("icmp")?)?;
            let (kind, code) = match error {
                PathError::TimeExceeded { in_reassembly } => {
                    ("ttl-exceeded", u8::from(in_reassembly))
                }
                PathError::ParameterProblem { code, .. } => ("parameter-problem", code),
                PathError::Unreachable { code, .. } => ("unreachable", code),
                PathError::TooBig { .. } => ("too-big", 0),
            };
            js.set(object, c"icmp", js.string(kind)?)?;
            js.set(object, c"from", js.string(&from.to_string())?)?;
            js.set(object, c"code", js.string(Errno::from(meaning).name())?)?;
            numbers(js, object, &[(c"icmpCode", f64::from(code))])
        }
        ErrorReport::Retransmissions { count, rto } => {
            js.set(object, c"reason", js.string("retransmissions")?)?;
            numbers(js, object, &[(c"count", f64::from(count)), (c"rto", ms(rto))])
        }
        _ => Ok(()),
    }
}

/// `192.0.2.1:80`, `[2001:db8::1]:80`.
fn endpoint(address: SocketAddr) -> String {
    match address.ip() {
        IpAddr::V4(ip) => format!("{ip}:{}", address.port()),
        IpAddr::V6(ip) => format!("[{ip}]:{}", address.port()),
    }
}
