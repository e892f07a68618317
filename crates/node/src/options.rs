//! Options objects from JavaScript.

use std::ffi::CStr;
use std::time::Duration;

use napi::sys;
use usernet_core::{BufferSize, Config, MtuProbing, SynCookies, UnknownCongestion};

use crate::busy_poll::BusyPoll;
use crate::event_loop::{Drive, Driving};
use crate::js::{Failure, Js, Result, Value};

/// A property, if it is there and neither undefined nor null.
pub(crate) fn property<'s>(
    js: Js<'s>,
    object: Value<'s>,
    name: &CStr,
) -> Result<Option<Value<'s>>> {
    let value = js.get(object, name)?;
    Ok(match js.type_of(value)? {
        sys::ValueType::napi_undefined | sys::ValueType::napi_null => None,
        _ => Some(value),
    })
}

fn text(name: &CStr) -> String {
    format!("options.{}", name.to_string_lossy())
}

/// An object, or a `TypeError`.
pub(crate) fn object<'s>(js: Js<'s>, value: Value<'s>, what: &str) -> Result<Value<'s>> {
    if js.type_of(value)? == sys::ValueType::napi_object {
        Ok(value)
    } else {
        Err(Failure::Type(format!("The \"{what}\" argument must be of type object.")))
    }
}

/// A number property between bounds, inclusive.
pub(crate) fn number(
    js: Js<'_>,
    object: Value<'_>,
    name: &CStr,
    bounds: (f64, f64),
) -> Result<Option<f64>> {
    let Some(value) = property(js, object, name)? else { return Ok(None) };
    let value = js.to_f64(value, &text(name))?;
    if value >= bounds.0 && value <= bounds.1 {
        return Ok(Some(value));
    }
    Err(Failure::Value(format!(
        "The value of \"{}\" is out of range. It must be >= {} && <= {}. Received {value}",
        text(name),
        bounds.0,
        bounds.1,
    )))
}

/// A boolean property.
pub(crate) fn bool(js: Js<'_>, object: Value<'_>, name: &CStr) -> Result<Option<bool>> {
    let value = property(js, object, name)?;
    value.map(|value| js.to_bool(value, &text(name))).transpose()
}

/// A string property.
pub(crate) fn string(js: Js<'_>, object: Value<'_>, name: &CStr) -> Result<Option<String>> {
    let value = property(js, object, name)?;
    value.map(|value| js.to_string(value, &text(name))).transpose()
}

/// A property that is an array of strings; empty when it is missing.
pub(crate) fn strings(js: Js<'_>, object: Value<'_>, name: &CStr) -> Result<Vec<String>> {
    let Some(value) = property(js, object, name)? else { return Ok(Vec::new()) };
    let items = js.elements(value, &text(name))?;
    items.into_iter().map(|item| js.to_string(item, &text(name))).collect()
}

/// A name that no congestion control has: a bug of `src/`, which has the same list.
pub(crate) fn unknown_congestion(error: UnknownCongestion) -> Failure {
    Failure::Value(error.to_string())
}

/// A size of a buffer: a number of bytes that fixes it, or `{ min, default, max }`, each of which may be missing.
fn buffer(
    js: Js<'_>,
    options: Value<'_>,
    name: &CStr,
    otherwise: BufferSize,
) -> Result<BufferSize> {
    const BOUNDS: (f64, f64) = (2048.0, 1_073_741_824.0);
    let Some(value) = property(js, options, name)? else { return Ok(otherwise) };
    if js.type_of(value)? != sys::ValueType::napi_object {
        let bytes = number(js, options, name, BOUNDS)?;
        return Ok(bytes.map_or(otherwise, |bytes| BufferSize::Fixed(bytes as usize)));
    }
    let bytes = |name: &CStr| -> Result<Option<usize>> {
        Ok(number(js, value, name, BOUNDS)?.map(|bytes| bytes as usize))
    };
    let (min, default, max) = (bytes(c"min")?, bytes(c"default")?, bytes(c"max")?);
    let max = max.unwrap_or_else(|| otherwise.max().max(default.or(min).unwrap_or(0)));
    let default = default.unwrap_or_else(|| otherwise.initial().max(min.unwrap_or(0)).min(max));
    let min = min.unwrap_or_else(|| otherwise.min().min(default));
    Ok(BufferSize::Auto { min, default, max })
}

/// `NativeStackOptions`.
pub(crate) fn stack(js: Js<'_>, value: Value<'_>) -> Result<Config> {
    const TIMEOUT: (f64, f64) = (0.0, 2_147_483_647.0);
    let options = object(js, value, "options")?;
    let mut config = Config::default();
    if let Some(ms) = number(js, options, c"bridgeAgeing", (1.0, 1e9))? {
        config.bridge.ageing = Duration::from_secs_f64(ms / 1e3);
    }
    if let Some(stations) = number(js, options, c"bridgeEntries", (1.0, 1_048_576.0))? {
        config.bridge.max_entries = stations as usize;
    }
    if let Some(on) = bool(js, options, c"loopback")? {
        config.loopback = on;
    }
    let socket = &mut config.socket;
    socket.recv_buffer = buffer(js, options, c"recvBuffer", socket.recv_buffer)?;
    socket.send_buffer = buffer(js, options, c"sendBuffer", socket.send_buffer)?;
    if let Some(ms) = number(js, options, c"userTimeout", TIMEOUT)? {
        socket.user_timeout = (ms > 0.0).then(|| Duration::from_secs_f64(ms / 1e3));
    }
    if let Some(on) = bool(js, options, c"userTimeoutOption")? {
        socket.user_timeout_option = on;
    }
    if let Some(on) = bool(js, options, c"failConnectOnSoftError")? {
        socket.fail_connect_on_soft_error = on;
    }
    if let Some(hops) = number(js, options, c"ttl", (1.0, 255.0))? {
        socket.hop_limit = hops as u8;
    }
    if let Some(ms) = number(js, options, c"rtoMin", (1.0, 60_000.0))? {
        socket.rto_min = Duration::from_secs_f64(ms / 1e3);
    }
    if let Some(ms) = number(js, options, c"rtoMax", TIMEOUT)? {
        socket.rto_max = Duration::from_secs_f64(ms / 1e3);
    }
    socket.mtu_probing = match string(js, options, c"mtuProbing")?.as_deref() {
        Some("off") => MtuProbing::Off,
        Some("always") => MtuProbing::Always,
        _ => MtuProbing::BlackHole,
    };
    if let Some(value) = property(js, options, c"synCookies")? {
        config.syn_cookies = match js.type_of(value)? {
            sys::ValueType::napi_boolean if js.to_bool(value, "synCookies")? => {
                SynCookies::WhenFull
            }
            sys::ValueType::napi_boolean => SynCookies::Off,
            _ => SynCookies::Always,
        };
    }
    if let Some(bytes) = number(js, options, c"maxReceiveMemory", (1.0, 9e15))? {
        config.max_receive_memory = bytes as usize;
    }
    if let Some(bytes) = number(js, options, c"maxSendMemory", (1.0, 9e15))? {
        config.max_send_memory = bytes as usize;
    }
    if let Some(most) = number(js, options, c"maxSynBacklog", (1.0, 1_048_576.0))? {
        config.max_syn_backlog = most as usize;
    }
    if let Some(ms) = number(js, options, c"timeWait", (0.0, 3_600_000.0))? {
        config.time_wait = Duration::from_secs_f64(ms / 1e3);
    }
    if let Some(most) = number(js, options, c"maxConnections", (1.0, 16_777_216.0))? {
        config.max_connections = most as usize;
    }
    if let Some(on) = bool(js, options, c"forwarding")? {
        config.forwarding = on;
    }
    if let Some(most) = number(js, options, c"maxFlows", (1.0, 1_048_576.0))? {
        config.max_flows = most as usize;
    }
    if let Some(ms) = number(js, options, c"flowTimeout", (1.0, 3_600_000.0))? {
        config.flow_timeout = Duration::from_secs_f64(ms / 1e3);
    }
    if let Some(ms) = number(js, options, c"udpFlowIdle", (1.0, 86_400_000.0))? {
        config.udp_flow_idle = Duration::from_secs_f64(ms / 1e3);
    }
    if let Some(most) = number(js, options, c"maxUdpSockets", (1.0, 1_048_576.0))? {
        config.max_udp_sockets = most as usize;
    }
    if let Some(on) = bool(js, options, c"coalesce")? {
        config.coalesce = on;
    }
    if let Some(on) = bool(js, options, c"trace")? {
        config.trace = on;
    }
    if let Some(name) = string(js, options, c"congestion")? {
        config.socket.congestion = name.parse().map_err(unknown_congestion)?;
    }
    if let Some(on) = bool(js, options, c"pacing")? {
        config.socket.pacing = on;
    }
    if let Some(name) = string(js, options, c"ecn")? {
        config.socket.ecn = name
            .parse()
            .map_err(|()| Failure::Value(format!("options.ecn: no policy is called '{name}'.")))?;
    }
    Ok(config)
}

/// `NativeStackOptions.externalBuffers`.
pub(crate) fn external_buffers(js: Js<'_>, options: Value<'_>) -> Result<bool> {
    Ok(bool(js, options, c"externalBuffers")?.unwrap_or(true))
}

/// `NativeStackOptions.drive` and `busyPoll`.
pub(crate) fn driving(js: Js<'_>, options: Value<'_>) -> Result<Driving> {
    let drive = match string(js, options, c"drive")?.as_deref() {
        None | Some("auto") => Drive::Auto,
        Some("loop") => Drive::Loop,
        Some("thread") => Drive::Thread,
        Some(other) => {
            return Err(Failure::Value(format!(
                "The \"options.drive\" argument must be 'auto', 'loop' or 'thread'. Received '{other}'"
            )));
        }
    };
    let busy_poll = match number(js, options, c"busyPoll", (0.0, 1000.0))? {
        Some(micros) => BusyPoll::fixed(Duration::from_micros(micros as u64)),
        None => BusyPoll::adaptive(),
    };
    Ok(Driving { drive, busy_poll })
}
