//! The class `NativeNetwork`: a simulated network. `src/testing/native.ts` is the contract with TypeScript.

use std::ffi::c_void;
use std::ptr;
use std::rc::Rc;
use std::sync::{Arc, PoisonError};

use napi::sys;
use usernet_sim::{CaptureConfig, Instant, LinkConfig, NodeId, Plan};

use crate::errno::Errno;
use crate::js::{Failure, IntoJs, Js, OrNull, Result, Value, caught, check};
use crate::options::{self, bool, number};
use crate::sim::{NETWORK_TAG, Sim, refused};
use crate::sim_convert::{self, millis, moment, network_error};
use crate::wrapped;

/// Runs a method of the class: finds the network, catches panics, throws what it has to.
///
/// # Safety
/// `env` and `info` are those that Node-API gave the running callback, which is a method of the class.
unsafe fn enter<'s, const N: usize, T: IntoJs>(
    env: sys::napi_env,
    info: sys::napi_callback_info,
    method: impl FnOnce(Js<'s>, &Sim, [Value<'s>; N]) -> Result<T>,
) -> sys::napi_value {
    // SAFETY: the caller's contract; the constructor wraps a reference to a `Sim` or throws.
    unsafe {
        wrapped::enter(env, info, method, |_, message| {
            Err(Failure::system(Errno::EIO, "network", message))
        })
    }
}

/// One entry of the class: `method!("name", |js, sim, [a, b]| ..)`.
macro_rules! method {
    ($name:literal, |$js:ident, $sim:ident, [$($arg:ident),*]| $body:expr) => {
        crate::wrapped::method_of!(enter, Sim; $name, |$js, $sim, [$($arg),*]| $body)
    };
}

/// Defines the class.
pub(crate) fn define<'s>(js: Js<'s>) -> Result<Value<'s>> {
    let methods = [
        method!("addHost", |js, sim, [name, options]| {
            let (name, config) = (js.to_string(name, "name")?, sim_convert::host(js, options)?);
            added(sim, |network| network.host_with(&name, config))
        }),
        method!("addRouter", |js, sim, [name]| {
            let name = js.to_string(name, "name")?;
            added(sim, |network| network.router(&name))
        }),
        method!("addSwitch", |js, sim, [name]| {
            let name = js.to_string(name, "name")?;
            added(sim, |network| network.switch(&name))
        }),
        method!("addNat", |js, sim, [name, options]| {
            let (name, config) = (js.to_string(name, "name")?, sim_convert::nat(js, options)?);
            added(sim, |network| network.nat(&name, config))
        }),
        method!("addresses", |js, sim, [node]| {
            let node = sim.node(js.to_f64(node, "node")?)?;
            let found = sim.with(|network| network.addresses(node).map(<[_]>::to_vec));
            let found = found.map_err(|error| network_error(&error))?;
            let items = found.iter().map(|address| js.string(&address.to_string()));
            Ok(OrNull(Some(js.array(&items.collect::<Result<Vec<_>>>()?)?)))
        }),
        method!("link", |js, sim, [a, b, there, back, uplink]| {
            link(js, sim, [a, b, there, back, uplink])
        }),
        method!("setLink", |js, sim, [link, from, change]| set_link(js, sim, [link, from, change])),
        method!("linkStats", |js, sim, [link, from]| {
            let (link, from) = (link_id(js, sim, link)?, sim.node(js.to_f64(from, "from")?)?);
            let stats = sim.with(|network| network.link_stats(link, from).cloned());
            let stats = stats.map_err(|error| network_error(&error))?;
            Ok(OrNull(Some(sim_convert::link_stats(js, &stats)?)))
        }),
        method!("partition", |js, sim, [a, b]| {
            let (a, b) = (sim_convert::nodes(js, sim, a)?, sim_convert::nodes(js, sim, b)?);
            sim.with(|network| network.partition(&a, &b));
            Ok(())
        }),
        method!("heal", |_js, sim, []| {
            sim.with(usernet_sim::Network::heal);
            Ok(())
        }),
        method!("crash", |js, sim, [node]| {
            let node = sim.node(js.to_f64(node, "node")?)?;
            sim.with(|network| network.crash(node)).map_err(|error| network_error(&error))
        }),
        method!("restart", |js, sim, [node]| {
            let node = sim.node(js.to_f64(node, "node")?)?;
            sim.with(|network| network.restart(node)).map_err(|error| network_error(&error))
        }),
        method!("now", |_js, sim, []| Ok(sim.with(|network| millis(network.now())))),
        method!("nextAt", |_js, sim, []| {
            Ok(sim.with(|network| network.next_at().map_or(-1.0, millis)))
        }),
        method!("inFlight", |_js, sim, []| Ok(sim.with(|network| network.in_flight() as f64))),
        method!("run", |js, sim, [until, hosts]| run(js, sim, until, hosts)),
        method!("capture", |js, sim, [nodes, limit]| {
            let nodes = sim_convert::nodes(js, sim, nodes)?;
            let limit = js.to_f64(limit, "limit")?.clamp(0.0, 4e9) as usize;
            let id = sim.with(|network| network.capture(CaptureConfig { nodes, limit }));
            sim.captures.borrow_mut().push(id);
            Ok(sim.captures.borrow().len() as f64 - 1.0)
        }),
        method!("captured", |js, sim, [capture, from]| {
            let number = js.to_f64(capture, "capture")?;
            let from = js.to_f64(from, "from")?.max(0.0) as usize;
            let id = sim.captures.borrow().get(number as usize).copied();
            let id = id.ok_or_else(|| refused(format!("{number} is no capture")))?;
            let bytes = sim.with(|network| {
                let all = network.captured(id);
                all[from.min(all.len())..].to_vec()
            });
            Ok(OrNull(Some(js.copy(&bytes)?)))
        }),
        method!("endCapture", |js, sim, [capture]| {
            let number = js.to_f64(capture, "capture")?;
            let id = sim.captures.borrow().get(number as usize).copied();
            let id = id.ok_or_else(|| refused(format!("{number} is no capture")))?;
            sim.with(|network| network.end_capture(id));
            Ok(())
        }),
        method!("trace", |js, sim, []| {
            let text = sim.with(|network| network.trace());
            Ok(OrNull(Some(js.string(&text)?)))
        }),
        method!("keepTrace", |js, sim, [packets]| {
            let packets = js.to_f64(packets, "packets")?.clamp(0.0, 1e7) as usize;
            sim.with(|network| network.keep_trace(packets));
            Ok(())
        }),
        method!("watch", |js, sim, [on]| {
            watch(sim, js.to_bool(on, "on")?);
            Ok(())
        }),
        method!("takePackets", |js, sim, []| {
            let taken = sim.packets.lock().unwrap_or_else(PoisonError::into_inner).take(4096);
            let items = taken.iter().map(|packet| sim_convert::packet(js, packet));
            Ok(OrNull(Some(js.array(&items.collect::<Result<Vec<_>>>()?)?)))
        }),
        method!("flows", |js, sim, []| {
            let watch = sim.watch.lock().unwrap_or_else(PoisonError::into_inner);
            let items = watch.flows().map(|flow| sim_convert::flow(js, flow));
            Ok(OrNull(Some(js.array(&items.collect::<Result<Vec<_>>>()?)?)))
        }),
        method!("drops", |js, sim, []| {
            let drops = sim.with(|network| network.drops().clone());
            let object = js.object()?;
            for (reason, count) in drops {
                js.set_key(object, js.string(reason.as_str())?, js.number(count as f64)?)?;
            }
            Ok(OrNull(Some(object)))
        }),
        method!("rule", |js, sim, [matches, action]| {
            let matches = sim_convert::matches(js, sim, matches)?;
            let action = sim_convert::action(js, action)?;
            let id = sim.with(|network| network.rule(matches, action));
            sim.rules.borrow_mut().push(id);
            Ok(sim.rules.borrow().len() as f64 - 1.0)
        }),
        method!("ruleHits", |js, sim, [rule]| {
            let rule = rule_id(js, sim, rule)?;
            Ok(sim.with(|network| network.rule_hits(rule)) as f64)
        }),
        method!("ruleHeld", |js, sim, [rule]| {
            let rule = rule_id(js, sim, rule)?;
            Ok(sim.with(|network| network.rule_held(rule)) as f64)
        }),
        method!("releaseRule", |js, sim, [rule]| {
            let rule = rule_id(js, sim, rule)?;
            Ok(sim.with(|network| network.release(rule)) as f64)
        }),
        method!("removeRule", |js, sim, [rule]| {
            let rule = rule_id(js, sim, rule)?;
            sim.with(|network| network.remove_rule(rule));
            Ok(())
        }),
        method!("inject", |js, sim, [node, bytes]| { inject(js, sim, node, bytes) }),
        method!("plan", |js, _sim, [seed]| {
            let plan = Plan::new(js.to_f64(seed, "seed")? as u64);
            Ok(OrNull(Some(sim_convert::plan(js, &plan)?)))
        }),
        method!("pendingRequests", |js, _sim, []| pending_requests(js)),
    ];
    wrapped::define(js, c"NativeNetwork", constructor, &methods)
}

/// `new NativeNetwork({ seed, real })`.
unsafe extern "C" fn constructor(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: the callback's own arguments.
    unsafe {
        wrapped::construct(env, info, ("NativeNetwork", "createNetwork"), |js, this, [options]| {
            construct(js, this, options)
        })
    }
}

fn construct<'s>(js: Js<'s>, this: Value<'s>, options: Value<'s>) -> Result<()> {
    let options = options::object(js, options, "options")?;
    let seed = number(js, options, c"seed", (0.0, 9_007_199_254_740_991.0))?.unwrap_or(0.0);
    let real = bool(js, options, c"real")?.unwrap_or(false);
    let data = Rc::into_raw(Rc::new(Sim::new(seed as u64, real)));
    // SAFETY: `js` is valid; the data stays alive until `on_collected` takes it back.
    let wrapped = check(unsafe {
        sys::napi_wrap(
            js.env(),
            this.raw(),
            data.cast_mut().cast(),
            Some(on_collected),
            ptr::null_mut(),
            ptr::null_mut(),
        )
    });
    if let Err(failure) = wrapped {
        // SAFETY: a failed wrap did not take it over.
        drop(unsafe { Rc::from_raw(data) });
        return Err(failure);
    }
    // SAFETY: `js` and `this` are valid; the tag is copied.
    check(unsafe { sys::napi_type_tag_object(js.env(), this.raw(), &raw const NETWORK_TAG) })
}

/// The network's object was collected; its hosts' stacks may hold it still.
unsafe extern "C" fn on_collected(_: sys::napi_env, data: *mut c_void, _: *mut c_void) {
    // SAFETY: the reference given to `napi_wrap` in `construct`; Node-API calls a finaliser once.
    let sim = unsafe { Rc::from_raw(data.cast_const().cast::<Sim>()) };
    let _ = caught(move || drop(sim));
}

/// Adds a node; its number.
fn added(
    sim: &Sim,
    add: impl FnOnce(&mut usernet_sim::Network) -> std::result::Result<NodeId, usernet_sim::Error>,
) -> Result<f64> {
    let (node, addresses) = sim
        .with(|network| {
            let node = add(network)?;
            Ok((node, network.addresses(node)?.to_vec()))
        })
        .map_err(|error| network_error(&error))?;
    sim.watch.lock().unwrap_or_else(PoisonError::into_inner).own(node, &addresses);
    sim.nodes.borrow_mut().push(node);
    Ok(node.index() as f64)
}

fn link(js: Js<'_>, sim: &Sim, args: [Value<'_>; 5]) -> Result<f64> {
    let [a, b, there, back, uplink] = args;
    let (a, b) = (sim.node(js.to_f64(a, "a")?)?, sim.node(js.to_f64(b, "b")?)?);
    let uplink = js.to_bool(uplink, "uplink")?;
    let mut configs = [LinkConfig::default(), LinkConfig::default()];
    sim_convert::change_link(js, there, &mut configs[0])?;
    sim_convert::change_link(js, back, &mut configs[1])?;
    let [there, back] = configs;
    let id = sim.with(|network| {
        if uplink {
            let id = network.uplink(a, b, there)?;
            network.set_link_from(id, b, |config| *config = back)?;
            Ok(id)
        } else {
            network.link_with(a, b, there, back)
        }
    });
    let id = id.map_err(|error| network_error(&error))?;
    sim.links.borrow_mut().push(id);
    Ok(sim.links.borrow().len() as f64 - 1.0)
}

fn link_id(js: Js<'_>, sim: &Sim, link: Value<'_>) -> Result<usernet_sim::LinkId> {
    let number = js.to_f64(link, "link")?;
    let found = sim.links.borrow().get(number as usize).copied();
    found.ok_or_else(|| refused(format!("{number} is no link of this network")))
}

fn rule_id(js: Js<'_>, sim: &Sim, rule: Value<'_>) -> Result<usernet_sim::RuleId> {
    let number = js.to_f64(rule, "rule")?;
    let found = sim.rules.borrow().get(number as usize).copied();
    found.ok_or_else(|| refused(format!("{number} is no rule of this network")))
}

/// Changes one direction of a link.
fn set_link(js: Js<'_>, sim: &Sim, args: [Value<'_>; 3]) -> Result<()> {
    let [link, from, change] = args;
    let (link, from) = (link_id(js, sim, link)?, sim.node(js.to_f64(from, "from")?)?);
    // The object is read before the network is touched: its getters may call back.
    let current = sim.with(|network| network.link_config(link, from).cloned());
    let mut config = current.map_err(|error| network_error(&error))?;
    sim_convert::change_link(js, change, &mut config)?;
    let set = sim.with(|network| network.set_link_from(link, from, |c| *c = config));
    set.map_err(|error| network_error(&error))
}

/// Goes on until hosts have something to tell, or nothing more is due up to `until` (ms), which is then the time. Writes
/// the hosts' numbers; how many. What happens at one moment happens in one call.
fn run(js: Js<'_>, sim: &Sim, until: Value<'_>, hosts: Value<'_>) -> Result<i32> {
    let until = js.to_f64(until, "until")?;
    let until = if until.is_finite() { moment(until) } else { Instant::FAR_FUTURE };
    let (start, len) = js.int32_array(hosts)?;
    if start.is_null() {
        return Ok(0);
    }
    let mut found = smallvec::SmallVec::<[i32; 16]>::new();
    sim.with(|network| {
        loop {
            while found.len() < len
                && let Some(node) = network.poll_eventful()
            {
                let number = node.index() as i32;
                if !found.contains(&number) {
                    found.push(number);
                }
            }
            let limit = if found.is_empty() { until } else { network.now() };
            if found.len() >= len || !network.step_to(limit) {
                break;
            }
        }
        if found.is_empty() && until != Instant::FAR_FUTURE {
            network.run_to(until);
        }
    });
    // Rules may have run JavaScript, so the array is asked again.
    let (start, len) = js.int32_array(hosts)?;
    let count = found.len().min(len);
    if !start.is_null() {
        // SAFETY: memory of a live, unshared array; no JavaScript runs until it is dropped at the end of the call.
        unsafe { std::slice::from_raw_parts_mut(start, count) }.copy_from_slice(&found[..count]);
    }
    Ok(count as i32)
}

/// Hands a packet to a host.
fn inject(js: Js<'_>, sim: &Sim, node: Value<'_>, bytes: Value<'_>) -> Result<()> {
    let node = sim.node(js.to_f64(node, "node")?)?;
    // SAFETY: the bytes are copied before any JavaScript runs.
    let bytes = unsafe { js.bytes(bytes, "packet")? }.to_vec();
    sim.with(|network| network.inject(node, bytes)).map_err(|error| network_error(&error))
}

/// Turns the queue of packets for JavaScript on or off.
fn watch(sim: &Sim, on: bool) {
    let mut observer = sim.observer.borrow_mut();
    if on && observer.is_none() {
        let packets = Arc::clone(&sim.packets);
        let observe = move |event: &usernet_sim::PacketEvent<'_>| {
            packets.lock().unwrap_or_else(PoisonError::into_inner).push(event);
        };
        *observer = Some(sim.with(|network| network.observe(observe)));
    } else if !on && let Some(id) = observer.take() {
        sim.with(|network| network.unobserve(id));
    }
}

/// The beginning of libuv's `uv_loop_t`, which its version 1 has kept: what is under way on the loop.
#[repr(C)]
struct LoopHead {
    data: *mut c_void,
    active_handles: std::ffi::c_uint,
    handle_queue: [*mut c_void; 2],
    active_reqs: std::ffi::c_uint,
}

/// How many requests libuv has under way for this environment: files, names, compression, cryptography, writes.
fn pending_requests(js: Js<'_>) -> Result<i32> {
    let mut uv_loop = ptr::null_mut();
    // SAFETY: `js` is valid; the result is written to a local.
    check(unsafe { sys::napi_get_uv_event_loop(js.env(), &raw mut uv_loop) })?;
    if uv_loop.is_null() {
        return Ok(0);
    }
    // SAFETY: Node-API gives the environment's `uv_loop_t`, which begins with these fields in every release of libuv 1
    // (its ABI is stable within a major version), and which only this thread changes.
    let pending = unsafe { (*uv_loop.cast::<LoopHead>()).active_reqs };
    Ok(i32::try_from(pending).unwrap_or(i32::MAX))
}
