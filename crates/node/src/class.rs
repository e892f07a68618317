//! The class `NativeStack`: its constructor and methods, as src/native.ts describes them.

use std::ffi::CStr;
use std::net::{IpAddr, SocketAddr};
use std::rc::Weak;
use std::time::Duration;

use napi::sys;
use usernet_core::{IpCidr, KeepAlive, ListenAddress, Route, Shutdown, SocketId, SocketOptions};

use crate::errno::Errno;
use crate::handles::Handle;
use crate::js::{Called, Failure, IntoJs, Js, OrNull, Result, Value, callback_info, caught};
use crate::sim::{self, Core};
use crate::slabs::Slabs;
use crate::stack::{MAX_TEXT, Stack};
use crate::{convert, datagram_calls, devices, options, wrapped};

/// Most that `write` takes in one call, bytes: what it gives back has to fit an i32, with room for a sign.
const MAX_WRITE: usize = 1 << 30;

/// Runs a method: finds the stack, catches panics, throws what it has to.
///
/// # Safety
/// `env` and `info` are those that Node-API gave the running callback, which is a method of the class.
pub(crate) unsafe fn enter<'s, const N: usize, T: IntoJs>(
    env: sys::napi_env,
    info: sys::napi_callback_info,
    method: impl FnOnce(Js<'s>, &Stack, [Value<'s>; N]) -> Result<T>,
) -> sys::napi_value {
    // SAFETY: the caller's contract; the constructor wraps a reference to a `Stack` or throws.
    unsafe {
        wrapped::enter(env, info, method, |stack, message| {
            let _ = caught(|| stack.fail(&message));
            Ok(T::after_panic())
        })
    }
}

/// One entry of the class: `method!("name", |js, stack, [a, b]| ..)`.
macro_rules! method {
    ($name:literal, |$js:ident, $stack:ident, [$($arg:ident),*]| $body:expr) => {
        crate::wrapped::method_of!(
            crate::class::enter, crate::stack::Stack; $name, |$js, $stack, [$($arg),*]| $body
        )
    };
}

pub(crate) use method;

/// Defines the class.
pub(crate) fn define<'s>(js: Js<'s>) -> Result<Value<'s>> {
    let mut methods = vec![
        method!("addInterface", |js, stack, [options]| devices::add_interface(js, stack, options)),
        method!("removeInterface", |js, stack, [id]| remove_interface(stack, js.to_f64(id, "id")?)),
        method!("addRoute", |js, stack, [to, via, id]| add_route(js, stack, to, via, id)),
        method!("removeRoute", |js, stack, [to]| remove_route(js, stack, to)),
        method!("neighbors", |js, stack, []| Ok(OrNull(Some(convert::neighbors(js, stack)?)))),
        method!("addresses", |js, stack, []| Ok(OrNull(Some(convert::addresses(js, stack)?)))),
        method!("listen", |js, stack, [address, port, backlog, only, fast_open]| {
            listen(js, stack, [address, port, backlog, only, fast_open])
        }),
        method!("listenerAddress", |js, stack, [id]| listener_address(js, stack, id)),
        method!("closeListener", |js, stack, [id]| close_listener(stack, js.to_f64(id, "id")?)),
        method!("connect", |js, stack, [address, port, local_address, local_port, fast_open]| {
            connect(js, stack, [address, port, local_address, local_port, fast_open])
        }),
        method!("writev", |js, stack, [id, chunks]| writev(js, stack, id, chunks)),
        method!("readStop", |js, stack, [id]| Ok(set_reading(stack, js.to_f64(id, "id")?, false))),
        method!("shutdown", |js, stack, [id]| shutdown(stack, js.to_f64(id, "id")?)),
        method!("close", |js, stack, [id]| release(stack, js.to_f64(id, "id")?, false)),
        method!("reset", |js, stack, [id]| release(stack, js.to_f64(id, "id")?, true)),
        method!("localAddress", |js, stack, [id]| socket_address(js, stack, id, |(l, _)| l)),
        method!("remoteAddress", |js, stack, [id]| socket_address(js, stack, id, |(_, r)| r)),
        method!("sendQueueSize", |js, stack, [id]| send_queue(stack, js.to_f64(id, "id")?)),
        method!("setNoDelay", |js, stack, [id, on]| {
            let on = js.to_bool(on, "on")?;
            set_options(stack, js.to_f64(id, "id")?, |options| options.nagle = !on)
        }),
        method!("setUserTimeout", |js, stack, [id, ms]| {
            let ms = js.to_f64(ms, "ms")?;
            set_options(stack, js.to_f64(id, "id")?, |options| {
                options.user_timeout = (ms >= 1.0).then(|| Duration::from_millis(ms as u64));
            })
        }),
        method!("setKeepAlive", |js, stack, [id, on, idle, interval, count]| {
            set_keep_alive(js, stack, [id, on, idle, interval, count])
        }),
        method!("setTypeOfService", |js, stack, [id, tos]| {
            let tos = js.to_f64(tos, "tos")?;
            if !(0.0..256.0).contains(&tos) {
                return Ok(Errno::EINVAL.number());
            }
            set_options(stack, js.to_f64(id, "id")?, |options| options.traffic_class = tos as u8)
        }),
        method!("getTypeOfService", |js, stack, [id]| {
            type_of_service(stack, js.to_f64(id, "id")?)
        }),
        method!("setCongestionControl", |js, stack, [id, name]| {
            let name = js.to_string(name, "name")?.parse().map_err(options::unknown_congestion)?;
            set_options(stack, js.to_f64(id, "id")?, |options| options.congestion = name)
        }),
        method!("info", |js, stack, [id]| info(js, stack, id)),
        method!("takeReport", |js, stack, [id]| take_report(js, stack, id)),
        method!("stats", |js, stack, []| {
            Ok(OrNull(Some(convert::stats(
                js,
                &stack.stats(),
                &stack.shard_stats(),
                stack.received(),
                stack.busy_poll.borrow().looks(),
                stack.queue_stats(),
            )?)))
        }),
        method!("slab", |js, stack, [index]| slab(js, stack, index)),
        method!("takeTrace", |js, stack, []| Ok(OrNull(Some(convert::take_trace(js, stack)?)))),
        method!("ref", |js, stack, []| {
            stack.set_ref(js, true);
            Ok(())
        }),
        method!("unref", |js, stack, []| {
            stack.set_ref(js, false);
            Ok(())
        }),
        method!("shutdownStack", |_js, stack, []| {
            stack.teardown();
            Ok(())
        }),
    ];
    methods.extend(datagram_calls::methods());
    wrapped::define(js, c"NativeStack", constructor, &methods)
}

/// Runs a bound method: as [`enter`], with the stack from the function's data.
///
/// # Safety
/// `env` and `info` are those that Node-API gave the running callback, which is of a function that `Stack::bound` made.
unsafe fn enter_bound<'s, const N: usize, T: IntoJs>(
    env: sys::napi_env,
    info: sys::napi_callback_info,
    method: impl FnOnce(Js<'s>, &Stack, [Value<'s>; N]) -> Result<T>,
) -> sys::napi_value {
    // SAFETY: the caller's contract.
    let Ok(Called { js, data, args, .. }) = (unsafe { callback_info::<N>(env, info) }) else {
        return std::ptr::null_mut();
    };
    // SAFETY: the caller's contract: it lives as long as the function that runs.
    let Some(stack) = unsafe { &*data.cast::<Weak<Stack>>() }.upgrade() else {
        js.throw(Failure::Type("the stack of this function is gone".to_owned()));
        return std::ptr::null_mut();
    };
    let failed = |stack: &Stack, message: String| {
        let _ = caught(|| stack.fail(&message));
        Ok(T::after_panic())
    };
    wrapped::answer(js, &*stack, || method(js, &stack, args), failed)
}

/// One entry of `bound`: `bound!(c"name", |js, stack, [a, b]| ..)`.
macro_rules! bound {
    ($name:literal, |$js:ident, $stack:ident, [$($arg:ident),*]| $body:expr) => {{
        unsafe extern "C" fn callback(
            env: sys::napi_env,
            info: sys::napi_callback_info,
        ) -> sys::napi_value {
            // SAFETY: Node-API calls this with its callback's own arguments, and only `Stack::bound` makes functions of it.
            unsafe {
                enter_bound(env, info, |$js: Js<'_>, $stack: &Stack, [$($arg),*]| $body)
            }
        }
        ($name, callback)
    }};
}

type Callback = unsafe extern "C" fn(sys::napi_env, sys::napi_callback_info) -> sys::napi_value;

/// Methods that each object has for itself, bound to its stack: those that are called for each message. To find out what
/// an object wraps takes longer (50 ns) than the rest of such a call.
pub(crate) fn bound() -> [(&'static CStr, Callback); 4] {
    [
        bound!(c"write", |js, stack, [id, data]| write(js, stack, id, data)),
        bound!(c"writeText", |js, stack, [id, latin1, first, second]| {
            write_text(js, stack, [id, latin1, first, second])
        }),
        bound!(c"readStart", |js, stack, [id]| {
            Ok(set_reading(stack, js.to_f64(id, "id")?, true))
        }),
        bound!(c"drain", |js, stack, []| stack.drain(js)),
    ]
}

/// `new NativeStack(options, events, doorbell)`.
unsafe extern "C" fn constructor(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: the callback's own arguments.
    unsafe {
        wrapped::construct(
            env,
            info,
            ("NativeStack", "createStack"),
            |js, this, [options, events, doorbell]| match sim::host_of(js, options)? {
                Some(host) => Stack::construct_on(js, this, events, doorbell, || Ok(host)),
                None => {
                    let driving = options::driving(js, options)?;
                    let slabs = Slabs::new(options::external_buffers(js, options)?);
                    let config = options::stack(js, options)?;
                    Stack::construct(js, this, config, driving, slabs, events, doorbell)
                }
            },
        )
    }
}

/// What a call gives back that has nothing else to say.
fn code(result: std::result::Result<(), impl Into<Errno>>) -> i32 {
    result.map_or_else(|error| error.into().number(), |()| 0)
}

/// A port, or `EINVAL`.
fn port(js: Js<'_>, value: Value<'_>, what: &str) -> Result<Option<u16>> {
    let port = js.to_f64(value, what)?;
    let valid = (0.0..65536.0).contains(&port) && port.fract() == 0.0;
    Ok(valid.then_some(port as u16))
}

fn remove_interface(stack: &Stack, number: f64) -> Result<i32> {
    let mut interfaces = stack.interfaces.borrow_mut();
    let at = interfaces.iter().position(|i| f64::from(i.number) == number);
    let Some(at) = at else { return Ok(Errno::ENODEV.number()) };
    let interface = interfaces.remove(at);
    // The loop's duplicates of the device's descriptor are not to outlive it.
    stack.stop_polls();
    for (lane, id) in stack.further().iter().zip(&interface.more) {
        // One whose device was lost is gone already.
        lane.with_shard(|shard| shard.remove_device(*id).is_ok());
    }
    let removed = stack.with_shard(|shard| code(shard.remove_device(interface.id)));
    stack.update_polls();
    drop(interfaces);
    stack.tell_lanes();
    Ok(removed.unwrap_or(Errno::ENODEV.number()))
}

fn add_route(
    js: Js<'_>,
    stack: &Stack,
    to: Value<'_>,
    via: Value<'_>,
    number: Value<'_>,
) -> Result<i32> {
    let (to, number) = (js.to_string(to, "to")?, js.to_f64(number, "interfaceId")?);
    let via = match js.type_of(via)? {
        sys::ValueType::napi_null | sys::ValueType::napi_undefined => None,
        _ => Some(js.to_string(via, "via")?),
    };
    let Ok(to) = to.parse::<IpCidr>() else { return Ok(Errno::EINVAL.number()) };
    let Ok(via) = via.map(|via| via.parse::<IpAddr>()).transpose() else {
        return Ok(Errno::EINVAL.number());
    };
    let interfaces = stack.interfaces.borrow();
    let interface = interfaces.iter().find(|i| f64::from(i.number) == number);
    let added = interface.and_then(|interface| {
        let route = Route { to, via, interface: interface.id };
        stack.with_core(|core| code(core.add_route(route)))
    });
    drop(interfaces);
    stack.tell_lanes();
    Ok(added.unwrap_or(Errno::ENODEV.number()))
}

fn remove_route(js: Js<'_>, stack: &Stack, to: Value<'_>) -> Result<i32> {
    let Ok(to) = js.to_string(to, "to")?.parse::<IpCidr>() else {
        return Ok(Errno::EINVAL.number());
    };
    let removed = stack.with_core(|core| core.remove_route(to));
    stack.tell_lanes();
    Ok(if removed == Some(true) { 0 } else { Errno::ESRCH.number() })
}

/// Whether an optional argument was given.
pub(crate) fn is_given(js: Js<'_>, value: Value<'_>) -> Result<bool> {
    Ok(js.type_of(value)? != sys::ValueType::napi_undefined)
}

fn listen(js: Js<'_>, stack: &Stack, args: [Value<'_>; 5]) -> Result<f64> {
    let [address, port_value, backlog, only, fast_open] = args;
    let fast_open = if is_given(js, fast_open)? { js.to_f64(fast_open, "fastOpen")? } else { 0.0 };
    let address = js.to_string(address, "address")?;
    let backlog = js.to_f64(backlog, "backlog")?;
    let only = js.to_bool(only, "ipv6Only")?;
    let port = port(js, port_value, "port")?;
    let (Some(port), Ok(address)) = (port, address.parse::<IpAddr>()) else {
        return Ok(f64::from(Errno::EINVAL.number()));
    };
    let address = match address {
        IpAddr::V4(a) if a.is_unspecified() => ListenAddress::AnyV4,
        IpAddr::V6(a) if a.is_unspecified() => ListenAddress::AnyV6 { only },
        address => ListenAddress::One(address),
    };
    // As the kernel does it: at least one, at most 65,535. NaN becomes 1.
    let backlog = backlog.clamp(1.0, 65_535.0) as usize;
    let backlog = backlog.max(1);
    let queue = fast_open.clamp(0.0, 65_535.0) as u32;
    let made = stack.listen(address, port, backlog, queue);
    stack.update_hold();
    Ok(handle_number(made))
}

fn listener_address<'s>(js: Js<'s>, stack: &Stack, id: Value<'s>) -> Result<OrNull<'s>> {
    let number = js.to_f64(id, "id")?;
    let id = stack.first.pump().listener(number);
    let found = id.and_then(|id| stack.with_core(|core| core.tcp_listener_addr(id)));
    let Some(Ok((address, port))) = found else { return Ok(OrNull(None)) };
    let address = match address {
        ListenAddress::AnyV4 => IpAddr::from([0; 4]),
        ListenAddress::AnyV6 { .. } => IpAddr::from([0; 16]),
        ListenAddress::One(address) => address,
    };
    Ok(OrNull(Some(convert::address(js, SocketAddr::new(address, port))?)))
}

fn close_listener(stack: &Stack, number: f64) -> Result<i32> {
    let closed = stack.close_listener(number);
    stack.update_hold();
    Ok(closed)
}

fn connect(js: Js<'_>, stack: &Stack, args: [Value<'_>; 5]) -> Result<f64> {
    let [address, port_value, local_address, local_port, fast_open] = args;
    let fast_open = is_given(js, fast_open)? && js.to_bool(fast_open, "fastOpen")?;
    let address = js.to_string(address, "address")?;
    let local_address = js.to_string(local_address, "localAddress")?;
    let port_number = port(js, port_value, "port")?;
    let local_port = port(js, local_port, "localPort")?;
    let invalid = Ok(f64::from(Errno::EINVAL.number()));
    let (Some(port), Some(local_port)) = (port_number, local_port) else { return invalid };
    let Ok(address) = address.parse::<IpAddr>() else { return invalid };
    let local_addr = match local_address.as_str() {
        "" => None,
        text => match text.parse::<IpAddr>() {
            Ok(address) => Some(address),
            Err(_) => return invalid,
        },
    };
    let local_port = (local_port != 0).then_some(local_port);
    let made =
        stack.begin_connection(SocketAddr::new(address, port), local_addr, local_port, fast_open);
    stack.update_hold();
    Ok(handle_number(made))
}

/// The number of what was made, or the error; `EBADF` on a closed stack.
pub(crate) fn handle_number(made: Option<std::result::Result<Handle, Errno>>) -> f64 {
    match made {
        Some(Ok(handle)) => handle.to_number(),
        Some(Err(error)) => f64::from(error.number()),
        None => f64::from(Errno::EBADF.number()),
    }
}

/// Runs `f` on the core with the socket that a number stands for; `EBADF` when it is stale.
fn with_socket(stack: &Stack, number: f64, f: impl FnOnce(&mut Core<'_>, SocketId) -> i32) -> i32 {
    let lane = stack.lane(number);
    let id = lane.pump().socket(number);
    let result = id.and_then(|id| lane.with_core(|core| f(core, id)));
    result.unwrap_or(Errno::EBADF.number())
}

fn write(js: Js<'_>, stack: &Stack, id: Value<'_>, data: Value<'_>) -> Result<i32> {
    let number = js.to_f64(id, "id")?;
    // SAFETY: no JavaScript runs before the bytes were copied; a view that other threads write as well (shared memory)
    // is theirs to keep still, as with any write in Node.
    let data = unsafe { js.bytes(data, "data")? };
    let data = &data[..data.len().min(MAX_WRITE)];
    Ok(with_socket(stack, number, |guard, id| send(stack, guard, id, data)))
}

/// Queues bytes; how many, or the error.
fn send(stack: &Stack, guard: &mut Core<'_>, id: SocketId, data: &[u8]) -> i32 {
    let now = guard.now();
    if stack.gathers(data.len()) {
        guard.may_wait();
    }
    match guard.tcp_send(now, id, data, false) {
        Ok(taken) => taken as i32,
        Err(error) => Errno::from(error).number(),
    }
}

/// `latin1` has a bit for each that is a string and Latin-1.
fn write_text(js: Js<'_>, stack: &Stack, args: [Value<'_>; 4]) -> Result<i32> {
    let [id, latin1, first, second] = args;
    let number = js.to_f64(id, "id")?;
    let latin1 = js.to_f64(latin1, "latin1")? as u8;
    let mut text = stack.text.borrow_mut();
    let Some(mut len) = js.text_into(first, latin1 & 1 != 0, &mut text)? else {
        return Err(Failure::Type("The \"first\" argument must be of type string.".to_owned()));
    };
    if is_given(js, second)? {
        if let Some(more) = js.text_into(second, latin1 & 2 != 0, &mut text[len..])? {
            len += more;
        } else {
            // SAFETY: no JavaScript runs before the bytes were copied; as in `write`.
            let bytes = unsafe { js.bytes(second, "second")? };
            let Some(room) = text.get_mut(len..len + bytes.len()) else { return Ok(0) };
            room.copy_from_slice(bytes);
            len += bytes.len();
        }
    }
    // A text that goes on where the memory ends fills more than that of it: no code point has more than four bytes.
    if len > MAX_TEXT {
        return Ok(0);
    }
    Ok(with_socket(stack, number, |guard, id| match guard.tcp_send_room(id) {
        Ok(room) if room < len => 0,
        _ => send(stack, guard, id, &text[..len]),
    }))
}

fn writev(js: Js<'_>, stack: &Stack, id: Value<'_>, chunks: Value<'_>) -> Result<i32> {
    let number = js.to_f64(id, "id")?;
    let chunks = js.elements(chunks, "chunks")?;
    // In a second pass, because getting the elements may have run JavaScript.
    let slices = chunks
        .iter()
        // SAFETY: as in `write`.
        .map(|chunk| unsafe { js.bytes(*chunk, "chunks") })
        .collect::<Result<smallvec::SmallVec<[&[u8]; 32]>>>()?;
    Ok(with_socket(stack, number, |guard, id| {
        let now = guard.now();
        if stack.gathers(slices.iter().map(|slice| slice.len()).sum()) {
            guard.may_wait();
        }
        let mut total = 0;
        for (i, slice) in slices.iter().enumerate() {
            let slice = &slice[..slice.len().min(MAX_WRITE - total)];
            let more = i + 1 < slices.len();
            match guard.tcp_send(now, id, slice, more) {
                Ok(taken) => {
                    total += taken;
                    if taken < slice.len() {
                        break;
                    }
                }
                // What went before is taken; the next write tells of the error.
                Err(_) if total > 0 => break,
                Err(error) => return Errno::from(error).number(),
            }
        }
        total as i32
    }))
}

fn set_reading(stack: &Stack, number: f64, on: bool) -> i32 {
    let lane = stack.lane(number);
    let mut pump = lane.pump();
    if !pump.set_reading(number, on) {
        return Errno::EBADF.number();
    }
    let work = on && pump.has_work();
    drop(pump);
    if work {
        stack.ring();
    }
    0
}

fn shutdown(stack: &Stack, number: f64) -> Result<i32> {
    let result = with_socket(stack, number, |guard, id| {
        let now = guard.now();
        let result = code(guard.tcp_shutdown(now, id, Shutdown::Write));
        if result == 0 {
            stack.lane(number).pump().set_shut(number);
        }
        result
    });
    Ok(result)
}

/// `close` and `reset`.
fn release(stack: &Stack, number: f64, reset: bool) -> Result<i32> {
    let lane = stack.lane(number);
    if lane.pump().socket(number).is_none() {
        return Ok(Errno::EBADF.number());
    }
    let result = with_socket(stack, number, |guard, id| {
        let now = guard.now();
        code(if reset { guard.tcp_abort(now, id) } else { guard.tcp_close(now, id) })
    });
    let mut pump = lane.pump();
    // The core says nothing more of what it does not know any more, nor of what was reset.
    pump.release(number, !reset, reset || result != 0);
    let work = pump.has_work();
    drop(pump);
    if work {
        stack.ring();
    }
    Ok(0)
}

fn socket_address<'s>(
    js: Js<'s>,
    stack: &Stack,
    id: Value<'s>,
    pick: impl FnOnce((SocketAddr, SocketAddr)) -> SocketAddr,
) -> Result<OrNull<'s>> {
    let number = js.to_f64(id, "id")?;
    let lane = stack.lane(number);
    let id = lane.pump().socket(number);
    match id.and_then(|id| lane.with_core(|core| core.tcp_addrs(id))) {
        Some(Ok(both)) => Ok(OrNull(Some(convert::address(js, pick(both))?))),
        _ => Ok(OrNull(None)),
    }
}

fn send_queue(stack: &Stack, number: f64) -> Result<i32> {
    let lane = stack.lane(number);
    let id = lane.pump().any_socket(number);
    Ok(match id.and_then(|id| lane.with_core(|core| core.tcp_send_queue(id))) {
        Some(Ok(bytes)) => i32::try_from(bytes).unwrap_or(i32::MAX),
        _ => Errno::EBADF.number(),
    })
}

fn set_options(stack: &Stack, number: f64, change: impl FnOnce(&mut SocketOptions)) -> Result<i32> {
    Ok(with_socket(stack, number, |guard, id| {
        let now = guard.now();
        code(guard.tcp_set_options(now, id, change))
    }))
}

fn set_keep_alive(js: Js<'_>, stack: &Stack, args: [Value<'_>; 5]) -> Result<i32> {
    let [id, on, idle, interval, count] = args;
    let number = js.to_f64(id, "id")?;
    let on = js.to_bool(on, "on")?;
    let idle = js.to_f64(idle, "initialDelay")?;
    let interval = js.to_f64(interval, "interval")?;
    let count = js.to_f64(count, "count")?;
    set_options(stack, number, |options| {
        // 0 keeps what is in force: an earlier setting, or the defaults.
        let was = options.keep_alive.unwrap_or_default();
        let time = |ms: f64, was: Duration| {
            if ms >= 1.0 { Duration::from_millis(ms.min(1e12) as u64) } else { was }
        };
        options.keep_alive = on.then(|| KeepAlive {
            idle: time(idle, was.idle),
            interval: time(interval, was.interval),
            count: if count >= 1.0 { count.min(255.0) as u8 } else { was.count },
        });
    })
}

fn type_of_service(stack: &Stack, number: f64) -> Result<i32> {
    Ok(with_socket(stack, number, |guard, id| match guard.tcp_options(id) {
        Ok(options) => i32::from(options.traffic_class),
        Err(error) => Errno::from(error).number(),
    }))
}

fn info<'s>(js: Js<'s>, stack: &Stack, id: Value<'s>) -> Result<OrNull<'s>> {
    let number = js.to_f64(id, "id")?;
    let lane = stack.lane(number);
    let id = lane.pump().socket(number);
    match id.and_then(|id| lane.with_core(|core| core.tcp_info_at(core.now(), id))) {
        Some(Ok(info)) => Ok(OrNull(Some(convert::info(js, &info)?))),
        _ => Ok(OrNull(None)),
    }
}

fn take_report<'s>(js: Js<'s>, stack: &Stack, id: Value<'s>) -> Result<OrNull<'s>> {
    let number = js.to_f64(id, "id")?;
    let lane = stack.lane(number);
    let id = lane.pump().socket(number);
    match id.and_then(|id| lane.with_core(|core| core.tcp_take_report(id))) {
        Some(Ok(Some(report))) => {
            let object = js.object()?;
            convert::report(js, object, &report)?;
            Ok(OrNull(Some(object)))
        }
        _ => Ok(OrNull(None)),
    }
}

fn slab<'s>(js: Js<'s>, stack: &Stack, index: Value<'s>) -> Result<OrNull<'s>> {
    let index = js.to_f64(index, "index")?;
    match stack.slab(js, index as i32) {
        Some(buffer) => Ok(OrNull(Some(buffer))),
        None => Err(Failure::Value(format!(
            "slab {index} is not one that the last drain named: take slabs before the next drain"
        ))),
    }
}
