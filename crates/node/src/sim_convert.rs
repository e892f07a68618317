//! Settings, packets and connections of simulated networks, from and to JavaScript.

use std::ffi::CStr;
use std::net::IpAddr;

use napi::sys;
use usernet_sim::{
    Action, CoDel, Discipline, Duration, Fault, HostConfig, Instant, LinkConfig, LinkStats, Loss,
    Match, NatConfig, NatKind, PacketView, Plan, What,
};
use usernet_wire::ip::Protocol;
use usernet_wire::tcp::Flags;

use crate::js::{Failure, Js, Result, Value};
use crate::options::{self, bool, number, property, string, strings};
use crate::sim::{Sim, refused};
use crate::sim_callback::Callback;
use crate::sim_watch::{Flow, Packet};

/// Longest time a setting may have, ms: a year.
const YEAR: f64 = 31_536_000_000.0;
/// Bounds of a probability.
const CHANCE: (f64, f64) = (0.0, 1.0);

/// The letters of control bits, as `usernet_sim`'s trace has them.
const LETTERS: [(Flags, char); 9] = [
    (Flags::SYN, 'S'),
    (Flags::FIN, 'F'),
    (Flags::RST, 'R'),
    (Flags::PSH, 'P'),
    (Flags::ACK, 'A'),
    (Flags::URG, 'U'),
    (Flags::ECE, 'E'),
    (Flags::CWR, 'C'),
    (Flags::AE, 'N'),
];

/// A moment in milliseconds.
pub(crate) fn moment(ms: f64) -> Instant {
    Instant::from_nanos((ms.max(0.0) * 1e6).round() as u64)
}

/// Milliseconds of a moment.
pub(crate) fn millis(at: Instant) -> f64 {
    at.as_nanos() as f64 / 1e6
}

fn duration(js: Js<'_>, object: Value<'_>, name: &CStr) -> Result<Option<Duration>> {
    let ms = number(js, object, name, (0.0, YEAR))?;
    Ok(ms.map(|ms| Duration::from_nanos((ms * 1e6).round() as u64)))
}

/// Addresses; a prefix is checked and has no effect, for the network has a route to each address.
fn addresses(js: Js<'_>, object: Value<'_>) -> Result<Vec<IpAddr>> {
    let parse = |text: String| {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, prefix.parse::<u8>().ok()),
            None => (text.as_str(), Some(0)),
        };
        let address: Option<IpAddr> = address.parse().ok();
        address
            .zip(prefix)
            .filter(|(address, prefix)| *prefix <= if address.is_ipv4() { 32 } else { 128 })
            .map(|(address, _)| address)
            .ok_or_else(|| {
                refused(format!("'{text}' is no IP address; give one such as 198.18.0.1"))
            })
    };
    strings(js, object, c"addresses")?.into_iter().map(parse).collect()
}

/// Settings of a host: those of a stack, `addresses` and `mtu`.
pub(crate) fn host(js: Js<'_>, object: Value<'_>) -> Result<HostConfig> {
    let mut config = HostConfig { stack: options::stack(js, object)?, ..HostConfig::default() };
    config.addresses = addresses(js, object)?;
    config.mtu = number(js, object, c"mtu", (576.0, 65_535.0))?.map(|mtu| mtu as u16);
    Ok(config)
}

/// Settings of a NAT box.
pub(crate) fn nat(js: Js<'_>, object: Value<'_>) -> Result<NatConfig> {
    let object = options::object(js, object, "options")?;
    let mut config = NatConfig { addresses: addresses(js, object)?, ..NatConfig::default() };
    if let Some(kind) = string(js, object, c"kind")? {
        config.kind = match kind.as_str() {
            "endpoint-independent" => NatKind::EndpointIndependent,
            "symmetric" => NatKind::Symmetric,
            _ => {
                let message = format!(
                    "'{kind}' is no kind of NAT; use 'endpoint-independent' or 'symmetric'"
                );
                return Err(refused(message));
            }
        };
    }
    for (name, field) in [
        (c"tcpEstablished", &mut config.tcp_established),
        (c"tcpTransitory", &mut config.tcp_transitory),
        (c"udp", &mut config.udp),
    ] {
        if let Some(time) = duration(js, object, name)? {
            *field = time;
        }
    }
    Ok(config)
}

/// Changes of the settings of a link; what is not named stays.
pub(crate) fn change_link(js: Js<'_>, object: Value<'_>, config: &mut LinkConfig) -> Result<()> {
    let object = options::object(js, object, "options")?;
    if let Some(up) = bool(js, object, c"up")? {
        config.up = up;
    }
    if let Some(rate) = number(js, object, c"rate", (1.0, f64::INFINITY))? {
        config.rate = rate.is_finite().then_some(rate as u64);
    }
    if let Some(bytes) = number(js, object, c"queue", (0.0, 4_294_967_296.0))? {
        config.queue = bytes as usize;
    }
    if let Some(mtu) = number(js, object, c"mtu", (68.0, 65_535.0))? {
        config.mtu = mtu as u16;
    }
    for (name, field) in [
        (c"delay", &mut config.delay),
        (c"jitter", &mut config.jitter),
        (c"reorderBy", &mut config.reorder_by),
    ] {
        if let Some(time) = duration(js, object, name)? {
            *field = time;
        }
    }
    for (name, field) in [
        (c"duplicate", &mut config.duplicate),
        (c"reorder", &mut config.reorder),
        (c"mark", &mut config.mark),
        (c"corrupt", &mut config.corrupt),
    ] {
        if let Some(chance) = number(js, object, name, CHANCE)? {
            *field = chance;
        }
    }
    if let Some(loss) = property(js, object, c"loss")? {
        config.loss = if js.type_of(loss)? == sys::ValueType::napi_number {
            let chance = number(js, object, c"loss", CHANCE)?.unwrap_or(0.0);
            if chance == 0.0 { Loss::None } else { Loss::Uniform(chance) }
        } else {
            let loss = options::object(js, loss, "options.loss")?;
            let chance = |name, default| {
                number(js, loss, name, CHANCE).map(|chance| chance.unwrap_or(default))
            };
            Loss::GilbertElliott {
                to_bad: chance(c"toBad", 0.01)?,
                to_good: chance(c"toGood", 0.25)?,
                loss_good: chance(c"lossGood", 0.0)?,
                loss_bad: chance(c"lossBad", 1.0)?,
            }
        };
    }
    if let Some(kind) = string(js, object, c"discipline")? {
        config.discipline = match kind.as_str() {
            "drop-tail" => Discipline::DropTail,
            "codel" => Discipline::CoDel(CoDel::default()),
            _ => {
                let message = format!("'{kind}' is no discipline; use 'drop-tail' or 'codel'");
                return Err(refused(message));
            }
        };
    }
    config.validate().map_err(|error| refused(error.to_string()))
}

/// Settings of a link as JavaScript gives them.
fn link_object<'s>(js: Js<'s>, config: &LinkConfig) -> Result<Value<'s>> {
    let object = js.object()?;
    let ms = |time: Duration| time.as_nanos() as f64 / 1e6;
    let mut fields = vec![
        (c"delay", ms(config.delay)),
        (c"jitter", ms(config.jitter)),
        (c"rate", config.rate.map_or(f64::INFINITY, |rate| rate as f64)),
        (c"queue", config.queue as f64),
        (c"duplicate", config.duplicate),
        (c"reorder", config.reorder),
        (c"reorderBy", ms(config.reorder_by)),
        (c"mark", config.mark),
        (c"corrupt", config.corrupt),
        (c"mtu", f64::from(config.mtu)),
    ];
    match config.loss {
        Loss::None => fields.push((c"loss", 0.0)),
        Loss::Uniform(chance) => fields.push((c"loss", chance)),
        Loss::GilbertElliott { to_bad, to_good, loss_good, loss_bad } => {
            let loss = js.object()?;
            for (name, value) in [
                (c"toBad", to_bad),
                (c"toGood", to_good),
                (c"lossGood", loss_good),
                (c"lossBad", loss_bad),
            ] {
                js.set(loss, name, js.number(value)?)?;
            }
            js.set(object, c"loss", loss)?;
        }
    }
    for (name, value) in fields {
        js.set(object, name, js.number(value)?)?;
    }
    let discipline = match config.discipline {
        Discipline::DropTail => "drop-tail",
        Discipline::CoDel(_) => "codel",
    };
    js.set(object, c"discipline", js.string(discipline)?)?;
    js.set(object, c"up", js.bool(config.up)?)?;
    Ok(object)
}

/// `{ seed, there, back, faults: [{ at, kind, duration?, settings? }] }`.
pub(crate) fn plan<'s>(js: Js<'s>, plan: &Plan) -> Result<Value<'s>> {
    let object = js.object()?;
    js.set(object, c"seed", js.number(plan.seed as f64)?)?;
    js.set(object, c"there", link_object(js, &plan.there)?)?;
    js.set(object, c"back", link_object(js, &plan.back)?)?;
    let faults = plan.faults.iter().map(|(at, fault)| {
        let object = js.object()?;
        js.set(object, c"at", js.number(millis(*at))?)?;
        let (kind, time) = match fault {
            Fault::Down(time) => ("down", Some(time)),
            Fault::Partition(time) => ("partition", Some(time)),
            Fault::Settings(settings) => {
                js.set(object, c"settings", link_object(js, settings)?)?;
                ("settings", None)
            }
        };
        js.set(object, c"kind", js.string(kind)?)?;
        if let Some(time) = time {
            js.set(object, c"duration", js.number(time.as_nanos() as f64 / 1e6)?)?;
        }
        Ok(object)
    });
    js.set(object, c"faults", js.array(&faults.collect::<Result<Vec<_>>>()?)?)?;
    Ok(object)
}

/// Counters of one direction of a link.
pub(crate) fn link_stats<'s>(js: Js<'s>, stats: &LinkStats) -> Result<Value<'s>> {
    let object = js.object()?;
    for (name, value) in [
        (c"sent", stats.sent),
        (c"sentBytes", stats.sent_bytes),
        (c"delivered", stats.delivered),
        (c"deliveredBytes", stats.delivered_bytes),
        (c"dropped", stats.dropped),
        (c"duplicated", stats.duplicated),
        (c"reordered", stats.reordered),
        (c"corrupted", stats.corrupted),
        (c"marked", stats.marked),
    ] {
        js.set(object, name, js.number(value as f64)?)?;
    }
    Ok(object)
}

/// What a rule is about: `{ from?, to?, on?, data?, flags?, port?, first?, last? }`.
pub(crate) fn matches(js: Js<'_>, sim: &Sim, object: Value<'_>) -> Result<Match> {
    let object = options::object(js, object, "match")?;
    let node = |name| match number(js, object, name, (0.0, 1e6))? {
        Some(number) => sim.node(number).map(Some),
        None => Ok(None),
    };
    let mut matches = Match::any();
    if let Some(node) = node(c"from")? {
        matches = matches.from(node);
    }
    if let Some(node) = node(c"to")? {
        matches = matches.to(node);
    }
    if let Some(on) = number(js, object, c"on", (0.0, 1e9))? {
        let link = sim.links.borrow().get(on as usize).copied();
        matches = matches.on(link.ok_or_else(|| refused(format!("{on} is no link")))?);
    }
    if bool(js, object, c"data")? == Some(true) {
        matches = matches.data();
    }
    if let Some(port) = number(js, object, c"port", (0.0, 65_535.0))? {
        matches = matches.port(port as u16);
    }
    if let Some(letters) = string(js, object, c"flags")? {
        let mut flags = Flags::empty();
        for letter in letters.chars() {
            let found = LETTERS.iter().find(|(_, l)| *l == letter.to_ascii_uppercase());
            flags |= found.map(|(flag, _)| *flag).ok_or_else(|| {
                refused(format!("'{letter}' is no control bit; use letters of SFRPAUECN"))
            })?;
        }
        matches = matches.flags(flags);
    }
    // Last: it is asked when everything else fits.
    if let Some(when) = Callback::of(js, object, c"when")? {
        matches = matches.when(move |view| when.judges(view.bytes));
    }
    const COUNT: (f64, f64) = (1.0, 9_007_199_254_740_991.0);
    let first = number(js, object, c"first", COUNT)?.map_or(1, |n| n as u64);
    let last = number(js, object, c"last", COUNT)?.map_or(u64::MAX, |n| n as u64);
    Ok(matches.between(first, last))
}

/// What a rule does: `{ kind: 'drop' | 'delay' | 'copy' | 'alter' | 'hold', delay?, copies?, offset?, xor? }`.
pub(crate) fn action(js: Js<'_>, object: Value<'_>) -> Result<Action> {
    let object = options::object(js, object, "action")?;
    let kind = string(js, object, c"kind")?.unwrap_or_default();
    Ok(match kind.as_str() {
        "drop" => Action::Drop,
        "hold" => Action::Hold,
        "delay" => Action::Delay(duration(js, object, c"delay")?.unwrap_or_default()),
        "copy" => {
            Action::Copy(number(js, object, c"copies", (1.0, 1000.0))?.map_or(1, |n| n as u32))
        }
        "alter" => {
            if let Some(change) = Callback::of(js, object, c"change")? {
                return Ok(Action::alter(move |bytes| change.changes(bytes)));
            }
            let offset = number(js, object, c"offset", (-65_535.0, 65_535.0))?.unwrap_or(-1.0);
            let mask = number(js, object, c"xor", (0.0, 255.0))?.map_or(0xff, |n| n as u8);
            Action::alter(move |bytes| {
                // From the end where it is negative.
                let at = if offset < 0.0 { bytes.len() as f64 + offset } else { offset };
                if at >= 0.0
                    && let Some(byte) = bytes.get_mut(at as usize)
                {
                    *byte ^= mask;
                }
            })
        }
        _ => {
            let message =
                format!("'{kind}' is no action; use 'drop', 'delay', 'copy', 'alter' or 'hold'");
            return Err(refused(message));
        }
    })
}

fn what_text(what: What) -> &'static str {
    match what {
        What::Sent => "sent",
        What::Delivered => "delivered",
        What::Dropped(_) => "dropped",
        What::Corrupted => "corrupted",
        What::Duplicated => "duplicated",
        What::Reordered => "reordered",
        What::Delayed => "delayed",
        What::Altered => "altered",
        What::Copied => "copied",
        What::Held => "held",
        What::Released => "released",
        _ => "other",
    }
}

/// `{ at, id, what, reason?, from, to, protocol, source?, destination?, sourcePort?, .., bytes }`.
pub(crate) fn packet<'s>(js: Js<'s>, packet: &Packet) -> Result<Value<'s>> {
    let object = js.object()?;
    let set = |name: &CStr, value: f64| js.set(object, name, js.number(value)?);
    set(c"at", millis(packet.at))?;
    set(c"id", packet.id as f64)?;
    set(c"from", packet.from.index() as f64)?;
    set(c"to", packet.to.index() as f64)?;
    js.set(object, c"what", js.string(what_text(packet.what))?)?;
    if let What::Dropped(reason) = packet.what {
        js.set(object, c"reason", js.string(reason.as_str())?)?;
    }
    describe(js, object, &packet.bytes)?;
    Ok(object)
}

/// `{ protocol, source?, destination?, sourcePort?, .., length?, bytes }`, set on an object.
pub(crate) fn describe<'s>(js: Js<'s>, object: Value<'s>, bytes: &[u8]) -> Result<()> {
    let set = |name: &CStr, value: f64| js.set(object, name, js.number(value)?);
    js.set(object, c"bytes", js.copy(bytes)?)?;
    let Some(view) = PacketView::parse(bytes) else {
        return js.set(object, c"protocol", js.string("malformed")?);
    };
    let protocol = match view.ip.protocol {
        Protocol::TCP => "tcp".to_owned(),
        Protocol::UDP => "udp".to_owned(),
        Protocol::ICMP => "icmp".to_owned(),
        Protocol::ICMPV6 => "icmpv6".to_owned(),
        Protocol(number) => number.to_string(),
    };
    js.set(object, c"protocol", js.string(&protocol)?)?;
    js.set(object, c"source", js.string(&view.ip.src.to_string())?)?;
    js.set(object, c"destination", js.string(&view.ip.dst.to_string())?)?;
    if let Some(tcp) = &view.tcp {
        set(c"sourcePort", f64::from(tcp.src_port))?;
        set(c"destinationPort", f64::from(tcp.dst_port))?;
        set(c"seq", f64::from(tcp.seq.0))?;
        set(c"ack", f64::from(tcp.ack.0))?;
        set(c"window", f64::from(tcp.window))?;
        let letters = LETTERS.iter().filter(|(flag, _)| tcp.flags.contains(*flag));
        let letters: String = letters.map(|(_, letter)| letter).collect();
        js.set(object, c"flags", js.string(&letters)?)?;
    }
    if view.ip.protocol == Protocol::UDP
        && view.ip.fragment.is_none()
        && let [s0, s1, d0, d1, _, _, _, _, data @ ..] = view.payload
    {
        set(c"sourcePort", f64::from(u16::from_be_bytes([*s0, *s1])))?;
        set(c"destinationPort", f64::from(u16::from_be_bytes([*d0, *d1])))?;
        return set(c"length", data.len() as f64);
    }
    set(c"length", view.payload.len() as f64)
}

/// What became of a connection.
pub(crate) fn flow<'s>(js: Js<'s>, flow: &Flow) -> Result<Value<'s>> {
    let object = js.object()?;
    js.set(object, c"client", js.string(&flow.client.to_string())?)?;
    js.set(object, c"server", js.string(&flow.server.to_string())?)?;
    js.set(object, c"clientPort", js.int(i32::from(flow.client.port()))?)?;
    js.set(object, c"serverPort", js.int(i32::from(flow.server.port()))?)?;
    js.set(object, c"clientNode", js.int(flow.client_node.index() as i32)?)?;
    js.set(object, c"serverNode", js.int(flow.server_node.map_or(-1, |n| n.index() as i32))?)?;
    js.set(object, c"at", js.number(millis(flow.began))?)?;
    js.set(object, c"clientEstablished", js.bool(flow.established[0])?)?;
    js.set(object, c"serverEstablished", js.bool(flow.established[1])?)?;
    for (name, way) in [(c"sent", &flow.ways[0]), (c"received", &flow.ways[1])] {
        let part = js.object()?;
        for (name, value) in [
            (c"segments", way.segments),
            (c"bytes", way.bytes),
            (c"retransmits", way.retransmits),
            (c"resets", way.resets),
            (c"fins", way.fins),
            (c"lost", way.lost),
        ] {
            js.set(part, name, js.number(value as f64)?)?;
        }
        js.set(object, name, part)?;
    }
    Ok(object)
}

/// A function's argument that is an array of node numbers.
pub(crate) fn nodes(js: Js<'_>, sim: &Sim, value: Value<'_>) -> Result<Vec<usernet_sim::NodeId>> {
    let items = js.elements(value, "nodes")?;
    items.into_iter().map(|item| sim.node(js.to_f64(item, "node")?)).collect()
}

/// Failures of the network itself.
pub(crate) fn network_error(error: &usernet_sim::Error) -> Failure {
    refused(error.to_string())
}
