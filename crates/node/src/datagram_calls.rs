//! The methods of `NativeStack` beside TCP's: UDP and raw sockets, pings, flows, interfaces at run time and what goes
//! through them. As src/native.ts describes them.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use napi::sys;
use usernet_core::{
    FlowId, FlowOptions, FlowSocket, InterfaceId, IpCidr, ListenAddress, PingOptions, RawId,
    RawOptions, Reject, UdpId, UdpOptions, UdpSettings,
};
use usernet_manager::{ChangeError, Shard};

use crate::class::{handle_number, is_given, method};
use crate::errno::Errno;
use crate::js::{Failure, Js, OrNull, Result, Value};
use crate::sim::Core;
use crate::stack::Stack;
use crate::{convert, handles, open};

/// Frames of a watched interface that one call gives.
const MAX_FRAMES: usize = 1024;

/// Bytes of datagrams of a socket, headers included, that wait for the end of the program's tick at most: a frame's worth, so
/// that the peer takes one while the next is being made.
const ENOUGH: usize = 64_000;

/// Pieces that one datagram is put together from without memory of its own.
type Pieces<'a> = smallvec::SmallVec<[&'a [u8]; 8]>;

/// The methods.
pub(crate) fn methods() -> Vec<sys::napi_property_descriptor> {
    vec![
        method!("udpBind", |js, stack, [address, port, flags, interface]| {
            udp_bind(js, stack, address, port, flags, interface)
        }),
        method!("udpConnect", |js, stack, [id, address, port]| {
            let Some(remote) = socket_address(js, address, port)? else { return Ok(invalid()) };
            Ok(with_udp(stack, js.to_f64(id, "id")?, |core, id| code(core.udp_connect(id, remote))))
        }),
        method!("udpDisconnect", |js, stack, [id]| {
            Ok(with_udp(stack, js.to_f64(id, "id")?, |core, id| code(core.udp_disconnect(id))))
        }),
        method!("udpSend", |js, stack, [id, data, port, address, waits]| {
            udp_send(js, stack, [id, data, port, address, waits])
        }),
        method!("udpSendv", |js, stack, [id, pieces, port, address, waits]| {
            udp_sendv(js, stack, [id, pieces, port, address, waits])
        }),
        method!("udpMerges", |js, stack, []| Ok(OrNull(Some(js.bool(stack.merges_datagrams())?)))),
        method!("flush", |_js, stack, []| {
            stack.with_shard(Shard::flush);
            Ok(())
        }),
        method!("udpClose", |js, stack, [id]| udp_close(stack, js.to_f64(id, "id")?)),
        method!("udpAddress", |js, stack, [id]| {
            let id = stack.datagrams().udp(js.to_f64(id, "id")?);
            let found = id.and_then(|id| stack.with_core(|core| core.udp_local_addr(id).ok()));
            optional_address(js, found.flatten())
        }),
        method!("udpRemoteAddress", |js, stack, [id]| {
            let id = stack.datagrams().udp(js.to_f64(id, "id")?);
            let found = id.and_then(|id| stack.with_core(|core| core.udp_remote_addr(id).ok()));
            optional_address(js, found.flatten().flatten())
        }),
        method!("udpSet", |js, stack, [id, name, value]| {
            let (name, value) = (js.to_string(name, "name")?, js.to_f64(value, "value")?);
            Ok(udp_set(stack, js.to_f64(id, "id")?, &name, value))
        }),
        method!("udpMembership", |js, stack, [id, join, group, interface, source]| {
            udp_membership(js, stack, [id, join, group, interface, source])
        }),
        method!("udpInfo", |js, stack, [id]| udp_info(js, stack, js.to_f64(id, "id")?)),
        method!("rawOpen", |js, stack, [protocol, ipv6, interface, hops, recv, sum]| {
            raw_open(js, stack, [protocol, ipv6, interface, hops, recv, sum])
        }),
        method!("rawSend", |js, stack, [id, data, address, source]| {
            raw_send(js, stack, id, data, address, source)
        }),
        method!("rawClose", |js, stack, [id]| {
            let closed = stack.close_raw(js.to_f64(id, "id")?);
            stack.update_hold();
            Ok(closed)
        }),
        method!("rawDrops", |js, stack, [id]| {
            let drops = stack.raw_drops(js.to_f64(id, "id")?);
            Ok(drops.map_or(f64::from(bad()), |drops| drops as f64))
        }),
        method!("ping", |js, stack, [address, source, seq, size, hops, timeout, whole]| {
            ping(js, stack, [address, source, seq, size, hops, timeout, whole])
        }),
        method!("pingCancel", |js, stack, [id]| {
            let id = stack.datagrams().remove_ping(js.to_f64(id, "id")?);
            stack.update_hold();
            Ok(id
                .and_then(|id| stack.with_core(|core| code(core.icmp_cancel(id))))
                .unwrap_or(bad()))
        }),
        method!("flowAccept", |js, stack, [index, version, fast_open]| {
            flow_accept(js, stack, [index, version, fast_open])
        }),
        method!("flowDecide", |js, stack, [index, version, how]| {
            let ((lane, id), how) = (flow_id(js, index, version)?, js.to_string(how, "how")?);
            let decided = stack.lane_at(lane).with_core(|core| {
                let now = core.now();
                match how.as_str() {
                    "reject" => code(core.flow_reject(now, id, Reject::Refuse)),
                    "prohibit" => code(core.flow_reject(now, id, Reject::Prohibited)),
                    "drop" => code(core.flow_drop(now, id)),
                    "pass" => code(core.flow_pass(now, id)),
                    _ => invalid(),
                }
            });
            Ok(decided.unwrap_or(bad()))
        }),
        method!("setInterface", |js, stack, [number, name, on]| {
            let (name, on) = (js.to_string(name, "name")?, js.to_bool(on, "on")?);
            let number = js.to_f64(number, "interfaceId")?;
            let set = stack.on_interface(number, |lane, id| {
                lane.with_core(|core| match name.as_str() {
                    "hold" => code(core.set_hold(id, on)),
                    "acceptAny" => code(core.set_accept_any(id, on)),
                    _ => invalid(),
                })
            });
            if set == Some(0) && name == "acceptAny" {
                let interfaces = stack.interfaces.borrow();
                let found = interfaces.iter().find(|i| f64::from(i.number) == number);
                found.inspect(|interface| interface.accept_any.set(on));
                drop(interfaces);
                stack.tell_lanes();
            }
            Ok(set.unwrap_or(Errno::ENODEV.number()))
        }),
        method!("addAddress", |js, stack, [number, cidr]| {
            let Ok(cidr) = js.to_string(cidr, "address")?.parse::<IpCidr>() else {
                return Ok(invalid());
            };
            let added = stack.on_interface(js.to_f64(number, "interfaceId")?, |lane, id| {
                lane.with_core(|core| {
                    let now = core.now();
                    code(core.add_address(now, id, cidr))
                })
            });
            stack.tell_lanes();
            Ok(added.unwrap_or(Errno::ENODEV.number()))
        }),
        method!("removeAddress", |js, stack, [number, address]| {
            let Ok(address) = js.to_string(address, "address")?.parse::<IpAddr>() else {
                return Ok(invalid());
            };
            let removed = stack.on_interface(js.to_f64(number, "interfaceId")?, |lane, id| {
                lane.with_core(|core| {
                    let now = core.now();
                    match core.remove_address(now, id, address) {
                        // Asked of an interface that exists, it says that the address is none of its own.
                        Err(usernet_core::InterfaceError::InvalidAddress) => {
                            Errno::EADDRNOTAVAIL.number()
                        }
                        other => code(other),
                    }
                })
            });
            stack.tell_lanes();
            Ok(removed.unwrap_or(Errno::ENODEV.number()))
        }),
        method!("setMtu", |js, stack, [number, mtu]| {
            let mtu = js.to_f64(mtu, "mtu")?.clamp(0.0, 65_535.0) as u16;
            change(stack, js.to_f64(number, "interfaceId")?, "setMtu", |shard, id| {
                shard.set_mtu(id, mtu)
            })
        }),
        method!("setLink", |js, stack, [number, up]| {
            let up = js.to_bool(up, "up")?;
            change(stack, js.to_f64(number, "interfaceId")?, "setLink", |shard, id| {
                shard.set_link(id, up)
            })
        }),
        method!("bridgePorts", |js, stack, []| {
            Ok(OrNull(Some(convert::bridge_ports(js, stack)?)))
        }),
        method!("bridgeTable", |js, stack, []| {
            Ok(OrNull(Some(convert::bridge_table(js, stack)?)))
        }),
        method!("interfaces", |js, stack, []| Ok(OrNull(Some(convert::interfaces(js, stack)?)))),
        method!("addNeighbor", |js, stack, [number, address, mac]| {
            let address = ip(js, address, "address")?;
            let mac = open::parse_mac(&js.to_string(mac, "mac")?)?;
            let id = interface(stack, js.to_f64(number, "interfaceId")?);
            let (Some(id), Some(address)) = (id, address) else { return Ok(invalid()) };
            let added = stack.with_core(|core| {
                let now = core.now();
                code(core.add_neighbor(now, id, address, mac))
            });
            Ok(added.unwrap_or(Errno::ENODEV.number()))
        }),
        method!("removeNeighbor", |js, stack, [number, address]| {
            let address = ip(js, address, "address")?;
            let id = interface(stack, js.to_f64(number, "interfaceId")?);
            let (Some(id), Some(address)) = (id, address) else { return Ok(invalid()) };
            let known = stack.with_core(|core| core.remove_neighbor(id, address));
            Ok(if known == Some(true) { 0 } else { Errno::ENOENT.number() })
        }),
        method!("routes", |js, stack, []| Ok(OrNull(Some(convert::routes(js, stack)?)))),
        method!("watch", |js, stack, [number, frames, bytes, snap_len]| {
            let number = js.to_f64(number, "interfaceId")?;
            let frames = js.to_f64(frames, "frames")?.clamp(0.0, 1e6) as usize;
            let bytes = js.to_f64(bytes, "bytes")?.clamp(0.0, 1e9) as usize;
            let snap_len = js.to_f64(snap_len, "snapLength")?.clamp(0.0, 1e6) as usize;
            let interfaces = stack.interfaces.borrow();
            let found = interfaces.iter().find(|i| f64::from(i.number) == number);
            let Some(watched) = found.and_then(|i| i.watched.clone()) else {
                return Ok(Errno::ENODEV.number());
            };
            drop(interfaces);
            stack.on_interface(number, |lane, id| {
                lane.with_core(|core| {
                    let now = core.now();
                    // Unknown to the core only if it was lost, when there is nothing to see.
                    let _ = core.set_big_tcp(now, id, watched.big_tcp4 && frames == 0);
                    0
                })
            });
            watched.set(frames, bytes, snap_len);
            Ok(0)
        }),
        method!("takeFrames", |js, stack, [number]| {
            take_frames(js, stack, js.to_f64(number, "interfaceId")?)
        }),
    ]
}

/// Changes an interface and its device; throws what the system says, with the remedy.
fn change(
    stack: &Stack,
    number: f64,
    syscall: &'static str,
    change: impl Fn(&Shard, InterfaceId) -> std::result::Result<(), ChangeError>,
) -> Result<i32> {
    let Some(id) = interface(stack, number) else { return Ok(Errno::ENODEV.number()) };
    match stack.with_shard(|shard| change(shard, id)) {
        Some(Ok(())) => {
            let interfaces = stack.interfaces.borrow();
            let more = interfaces.iter().find(|i| i.id == id).map(|i| i.more.clone());
            for (lane, id) in stack.further().iter().zip(more.into_iter().flatten()) {
                // The interface took it; one queue's failure is the device's, which says so itself.
                lane.with_shard(|shard| change(shard, id).is_ok());
            }
            Ok(0)
        }
        Some(Err(ChangeError::Interface(error))) => Ok(Errno::from(error).number()),
        Some(Err(ChangeError::Device(error))) => Err(Failure::from(error)),
        // A simulated host's links are the network's.
        None => {
            let message = "this stack has no devices of its own; change the link of the network";
            Err(Failure::system(Errno::ENOTSUP, syscall, message))
        }
    }
}

fn code(result: std::result::Result<(), impl Into<Errno>>) -> i32 {
    result.map_or_else(|error| error.into().number(), |()| 0)
}

fn bad() -> i32 {
    Errno::EBADF.number()
}

fn invalid() -> i32 {
    Errno::EINVAL.number()
}

/// An address; IPv4 written as IPv6 (`::ffff:192.0.2.1`) is IPv4.
fn ip(js: Js<'_>, value: Value<'_>, what: &str) -> Result<Option<IpAddr>> {
    let text = js.to_string(value, what)?;
    Ok(text.parse::<IpAddr>().ok().map(|address| address.to_canonical()))
}

/// An address, or none for an empty string; `Err(())` when it is neither.
fn optional_ip(
    js: Js<'_>,
    value: Value<'_>,
    what: &str,
) -> Result<std::result::Result<Option<IpAddr>, ()>> {
    let text = js.to_string(value, what)?;
    if text.is_empty() {
        return Ok(Ok(None));
    }
    Ok(text.parse::<IpAddr>().map(|address| Some(address.to_canonical())).map_err(|_| ()))
}

fn port(js: Js<'_>, value: Value<'_>) -> Result<Option<u16>> {
    let port = js.to_f64(value, "port")?;
    let valid = (0.0..65536.0).contains(&port) && port.fract() == 0.0;
    Ok(valid.then_some(port as u16))
}

fn socket_address(
    js: Js<'_>,
    address: Value<'_>,
    port_value: Value<'_>,
) -> Result<Option<SocketAddr>> {
    let address = ip(js, address, "address")?;
    Ok(address.zip(port(js, port_value)?).map(|(address, port)| SocketAddr::new(address, port)))
}

fn optional_address<'s>(js: Js<'s>, address: Option<SocketAddr>) -> Result<OrNull<'s>> {
    Ok(OrNull(address.map(|address| convert::address(js, address)).transpose()?))
}

/// The core's key of an interface; 0 is loopback's number.
fn interface(stack: &Stack, number: f64) -> Option<InterfaceId> {
    if number == 0.0 {
        return stack.with_core(|core| core.loopback()).flatten();
    }
    let interfaces = stack.interfaces.borrow();
    interfaces.iter().find(|i| f64::from(i.number) == number).map(|i| i.id)
}

/// As `interface`; a negative number is none. `Err` for one that is not there.
fn optional_interface(
    stack: &Stack,
    number: f64,
) -> std::result::Result<Option<InterfaceId>, Errno> {
    if number < 0.0 {
        return Ok(None);
    }
    interface(stack, number).map(Some).ok_or(Errno::ENODEV)
}

fn with_udp(stack: &Stack, number: f64, f: impl FnOnce(&mut Core<'_>, UdpId) -> i32) -> i32 {
    let id = stack.datagrams().udp(number);
    id.and_then(|id| stack.with_core(|core| f(core, id))).unwrap_or(bad())
}

fn with_raw<T>(stack: &Stack, number: f64, f: impl FnOnce(&mut Core<'_>, RawId) -> T) -> Option<T> {
    let id = stack.datagrams().raw(number);
    id.and_then(|id| stack.with_core(|core| f(core, id)))
}

/// Flags: 1 `reuseAddr`, 2 `reusePort`, 4 `ipv6Only`.
fn udp_bind(
    js: Js<'_>,
    stack: &Stack,
    address: Value<'_>,
    port_value: Value<'_>,
    flags: Value<'_>,
    interface: Value<'_>,
) -> Result<f64> {
    let text = js.to_string(address, "address")?;
    let flags = js.to_f64(flags, "flags")? as u32;
    let only = js.to_f64(interface, "interfaceId")?;
    let (Some(port), Ok(address)) = (port(js, port_value)?, text.parse::<IpAddr>()) else {
        return Ok(f64::from(invalid()));
    };
    let interface = match optional_interface(stack, only) {
        Ok(interface) => interface,
        Err(errno) => return Ok(f64::from(errno.number())),
    };
    let address = match address {
        IpAddr::V4(a) if a.is_unspecified() => ListenAddress::AnyV4,
        IpAddr::V6(a) if a.is_unspecified() => ListenAddress::AnyV6 { only: flags & 4 != 0 },
        address => ListenAddress::One(address),
    };
    let options = UdpOptions {
        address,
        port,
        reuse_addr: flags & 1 != 0,
        reuse_port: flags & 2 != 0,
        settings: UdpSettings { interface, ..UdpSettings::default() },
    };
    let made = stack.with_core(|core| {
        core.udp_bind(options).map(|id| stack.datagrams().add_udp(id)).map_err(Errno::from)
    });
    stack.update_hold();
    Ok(handle_number(made))
}

/// The destination of a datagram: none of a connected socket, for which the address is no string.
fn destination(
    js: Js<'_>,
    port_value: Value<'_>,
    address: Value<'_>,
) -> Result<std::result::Result<Option<SocketAddr>, ()>> {
    if js.type_of(address)? != sys::ValueType::napi_string {
        return Ok(Ok(None));
    }
    Ok(socket_address(js, address, port_value)?.map(Some).ok_or(()))
}

fn udp_send(js: Js<'_>, stack: &Stack, args: [Value<'_>; 5]) -> Result<i32> {
    let [id, data, port, address, waits] = args;
    let number = js.to_f64(id, "id")?;
    let Ok(dest) = destination(js, port, address)? else { return Ok(invalid()) };
    let waits = is_given(js, waits)? && js.to_bool(waits, "waits")?;
    // SAFETY: no JavaScript runs before the bytes were copied; memory that other threads write as well is theirs to keep
    // still, as with any write in Node.
    let data = unsafe { js.bytes(data, "data")? };
    Ok(send(stack, number, data, dest, waits))
}

fn send(stack: &Stack, number: f64, data: &[u8], dest: Option<SocketAddr>, waits: bool) -> i32 {
    with_udp(stack, number, |core, id| {
        let now = core.now();
        let sent = core.udp_send_to(now, id, data, dest, None);
        if waits && core.udp_info(id).is_ok_and(|info| info.send_queue < ENOUGH) {
            core.may_wait_from_now_on();
        }
        match sent {
            Ok(()) => data.len() as i32,
            Err(error) => Errno::from(error).number(),
        }
    })
}

fn udp_sendv(js: Js<'_>, stack: &Stack, args: [Value<'_>; 5]) -> Result<i32> {
    let [id, pieces, port, address, waits] = args;
    let number = js.to_f64(id, "id")?;
    let Ok(dest) = destination(js, port, address)? else { return Ok(invalid()) };
    let waits = is_given(js, waits)? && js.to_bool(waits, "waits")?;
    let pieces = js.elements(pieces, "pieces")?;
    // In a second pass, because getting the elements may have run JavaScript.
    let pieces = pieces
        .iter()
        // SAFETY: as in `udp_send`.
        .map(|piece| unsafe { js.bytes(*piece, "pieces") })
        .collect::<Result<Pieces<'_>>>()?;
    // More than any datagram holds is not put together first.
    if pieces.iter().map(|piece| piece.len()).sum::<usize>() > 65_535 {
        return Ok(Errno::EMSGSIZE.number());
    }
    Ok(send(stack, number, &pieces.concat(), dest, waits))
}

fn udp_close(stack: &Stack, number: f64) -> Result<i32> {
    let id = stack.datagrams().remove_udp(number);
    stack.update_hold();
    let closed = id.and_then(|id| stack.with_core(|core| code(core.udp_close(id))));
    Ok(closed.unwrap_or(bad()))
}

fn udp_set(stack: &Stack, number: f64, name: &str, value: f64) -> i32 {
    let on = value != 0.0;
    let bytes = value.clamp(0.0, 1e9) as usize;
    let hops = value.clamp(0.0, 255.0) as u8;
    let interface = match name {
        "multicastInterface" => match optional_interface(stack, value) {
            Ok(interface) => interface,
            Err(errno) => return errno.number(),
        },
        _ => None,
    };
    with_udp(stack, number, |core, id| {
        let mut known = true;
        let set = core.udp_set(id, |settings| match name {
            "broadcast" => settings.broadcast = on,
            "ttl" => settings.hop_limit = hops,
            "multicastTtl" => settings.multicast_hop_limit = hops,
            "multicastLoopback" => settings.multicast_loop = on,
            "multicastInterface" => settings.multicast_interface = interface,
            "recvBuffer" => settings.recv_buffer = bytes,
            "sendBuffer" => settings.send_buffer = bytes,
            "trafficClass" => settings.traffic_class = hops,
            "dontFragment" => settings.dont_fragment = on,
            _ => known = false,
        });
        if known { code(set) } else { invalid() }
    })
}

fn udp_membership(js: Js<'_>, stack: &Stack, args: [Value<'_>; 5]) -> Result<i32> {
    let [id, join, group, only, source] = args;
    let (number, join) = (js.to_f64(id, "id")?, js.to_bool(join, "join")?);
    let Some(group) = ip(js, group, "group")? else { return Ok(invalid()) };
    let Ok(source) = optional_ip(js, source, "source")? else { return Ok(invalid()) };
    let interface = match optional_interface(stack, js.to_f64(only, "interfaceId")?) {
        Ok(interface) => interface,
        Err(errno) => return Ok(errno.number()),
    };
    Ok(with_udp(stack, number, |core, id| {
        let done = match (join, source) {
            (true, None) => core.udp_join(id, group, interface),
            (false, None) => core.udp_leave(id, group, interface),
            (true, Some(source)) => core.udp_join_source(id, source, group, interface),
            (false, Some(source)) => core.udp_leave_source(id, source, group, interface),
        };
        code(done)
    }))
}

fn udp_info<'s>(js: Js<'s>, stack: &Stack, number: f64) -> Result<OrNull<'s>> {
    let id = stack.datagrams().udp(number);
    let found = id.and_then(|id| {
        stack.with_core(|core| {
            let info = core.udp_info(id).ok()?;
            let settings = core.udp_settings(id).ok()?;
            Some((info, settings.recv_buffer, settings.send_buffer))
        })
    });
    let Some((info, recv, send)) = found.flatten() else { return Ok(OrNull(None)) };
    let object = js.object()?;
    for (name, value) in [
        (c"datagrams_in", info.datagrams_in as f64),
        (c"bytes_in", info.bytes_in as f64),
        (c"datagrams_out", info.datagrams_out as f64),
        (c"bytes_out", info.bytes_out as f64),
        (c"drops", info.drops as f64),
        (c"recv_queue", info.recv_queue as f64),
        (c"send_queue", info.send_queue as f64),
        (c"recv_buffer", recv as f64),
        (c"send_buffer", send as f64),
    ] {
        js.set(object, name, js.number(value)?)?;
    }
    Ok(OrNull(Some(object)))
}

fn raw_open(js: Js<'_>, stack: &Stack, args: [Value<'_>; 6]) -> Result<f64> {
    let [protocol, ipv6, only, hops, recv, sum] = args;
    let protocol = js.to_f64(protocol, "protocol")?;
    let ipv6 = js.to_bool(ipv6, "ipv6")?;
    if !(0.0..256.0).contains(&protocol) {
        return Ok(f64::from(invalid()));
    }
    let mut options = RawOptions::new(protocol as u8, ipv6);
    match optional_interface(stack, js.to_f64(only, "interfaceId")?) {
        Ok(interface) => options.interface = interface,
        Err(errno) => return Ok(f64::from(errno.number())),
    }
    options.hop_limit = js.to_f64(hops, "hopLimit")?.clamp(1.0, 255.0) as u8;
    let recv = js.to_f64(recv, "recvBuffer")?;
    if recv > 0.0 {
        options.recv_buffer = recv.min(1e9) as usize;
    }
    let sum = js.to_f64(sum, "checksumOffset")?;
    if sum >= 0.0 {
        options.checksum_offset = Some(sum.min(65_534.0) as u16);
    }
    let made = stack.open_raw(options);
    stack.update_hold();
    Ok(handle_number(made))
}

fn raw_send(
    js: Js<'_>,
    stack: &Stack,
    id: Value<'_>,
    data: Value<'_>,
    address: Value<'_>,
    source: Value<'_>,
) -> Result<i32> {
    let number = js.to_f64(id, "id")?;
    let Some(dest) = ip(js, address, "address")? else { return Ok(invalid()) };
    let Ok(source) = optional_ip(js, source, "source")? else { return Ok(invalid()) };
    // SAFETY: as in `udp_send`.
    let data = unsafe { js.bytes(data, "data")? };
    let sent = with_raw(stack, number, |core, id| {
        let now = core.now();
        match core.raw_send(now, id, data, dest, source) {
            Ok(()) => data.len() as i32,
            Err(error) => Errno::from(error).number(),
        }
    });
    Ok(sent.unwrap_or(bad()))
}

fn ping(js: Js<'_>, stack: &Stack, args: [Value<'_>; 7]) -> Result<f64> {
    let [address, source, seq, size, hops, timeout, whole] = args;
    let address = ip(js, address, "address")?;
    let source = optional_ip(js, source, "source")?;
    let (Some(remote), Ok(source)) = (address, source) else { return Ok(f64::from(invalid())) };
    let mut options = PingOptions::new(remote, js.to_f64(seq, "seq")? as u16);
    options.source = source;
    options.size = js.to_f64(size, "size")?.clamp(0.0, 65_535.0) as usize;
    options.hop_limit = js.to_f64(hops, "hopLimit")?.clamp(1.0, 255.0) as u8;
    let ms = js.to_f64(timeout, "timeout")?.clamp(0.0, 3_600_000.0);
    options.timeout = Duration::from_secs_f64(ms / 1e3);
    options.dont_fragment = js.to_bool(whole, "dontFragment")?;
    let made = stack.with_core(|core| {
        let now = core.now();
        let made = core.icmp_ping(now, options);
        made.map(|id| stack.datagrams().add_ping(id)).map_err(Errno::from)
    });
    stack.update_hold();
    Ok(handle_number(made))
}

/// The lane and the core's key of a flow, from the halves that its record had.
fn flow_id(js: Js<'_>, index: Value<'_>, version: Value<'_>) -> Result<(usize, FlowId)> {
    let index = js.to_f64(index, "index")? as i64 as u32;
    let version = js.to_f64(version, "version")? as i64 as u32;
    let lane = handles::lane(index);
    let bits = u64::from(version) << 32 | u64::from(index - handles::base(lane));
    Ok((lane, FlowId::from(slotmap::KeyData::from_ffi(bits))))
}

/// The number of the TCP or UDP socket that a flow becomes.
fn flow_accept(js: Js<'_>, stack: &Stack, args: [Value<'_>; 3]) -> Result<f64> {
    let [index, version, fast_open] = args;
    let (at, id) = flow_id(js, index, version)?;
    let lane = stack.lane_at(at);
    let fast_open = if is_given(js, fast_open)? { js.to_f64(fast_open, "fastOpen")? } else { 0.0 };
    let queue = fast_open.clamp(0.0, 65_535.0) as u32;
    let made = lane.with_core(|core| {
        let now = core.now();
        let tcp = (queue > 0).then(|| {
            let mut options = core.default_socket_options().clone();
            options.fast_open.queue = queue;
            options
        });
        match core.flow_accept(now, id, FlowOptions { tcp, ..FlowOptions::default() }) {
            Ok(FlowSocket::Tcp(id)) => Ok(lane.pump().add_socket(id)),
            Ok(FlowSocket::Udp(id)) => Ok(lane.datagrams().add_udp(id)),
            Err(error) => Err(Errno::from(error)),
        }
    });
    stack.update_hold();
    // The datagrams that waited are there already: no event tells of them.
    stack.ring();
    Ok(handle_number(made))
}

/// `{ dropped, more, frames: [{ outgoing, time, length, data }] }`.
fn take_frames<'s>(js: Js<'s>, stack: &Stack, number: f64) -> Result<OrNull<'s>> {
    let interfaces = stack.interfaces.borrow();
    let found = interfaces.iter().find(|i| f64::from(i.number) == number);
    let Some(watched) = found.and_then(|i| i.watched.clone()) else { return Ok(OrNull(None)) };
    drop(interfaces);
    let (frames, dropped) = watched.take(MAX_FRAMES);
    let object = js.object()?;
    let items = frames.iter().map(|seen| {
        let frame = js.object()?;
        js.set(frame, c"outgoing", js.bool(seen.outgoing)?)?;
        js.set(frame, c"time", js.number(seen.at)?)?;
        js.set(frame, c"length", js.number(seen.len as f64)?)?;
        js.set(frame, c"data", js.copy(&seen.data)?)?;
        Ok(frame)
    });
    js.set(object, c"frames", js.array(&items.collect::<Result<Vec<_>>>()?)?)?;
    js.set(object, c"dropped", js.number(dropped as f64)?)?;
    js.set(object, c"more", js.bool(frames.len() == MAX_FRAMES)?)?;
    Ok(OrNull(Some(object)))
}
