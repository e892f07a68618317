//! Interfaces and links: from options to devices, and from their errors to JavaScript's.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use napi::sys;
use usernet_core::{InterfaceError, IpCidr};
use usernet_device::{
    Device, Impairment, InvalidImpairment, LinkOptions, OpenError, impaired_pair, pair,
};
use usernet_manager::interface_config;

use crate::errno::Errno;
use crate::js::{
    Called, Failure, Js, Result, SystemError, Value, callback_info, caught, check, unwrap,
};
use crate::open;
use crate::options::{bool, number, object, property, string, strings};
use crate::port;
use crate::stack::{Interface, Stack};
use crate::watch::{Watched, WatchedDevice};

/// Least MTU with IPv4 alone (RFC 791 §3.2) and with IPv6 (RFC 8200 §5), bytes.
const MIN_MTU: (u16, u16) = (576, 1280);

/// What a link end of JavaScript wraps: the device, until a stack has it.
type LinkEnd = RefCell<Option<Box<dyn Device>>>;

/// Tells link ends from other objects.
static LINK_TAG: sys::napi_type_tag =
    sys::napi_type_tag { lower: 0x9d3c_41f0_77aa_4c1e, upper: 0xb1e6_02c5_5d0f_4a83 };

pub(crate) fn invalid(syscall: &'static str, message: String) -> Failure {
    Failure::system(Errno::EINVAL, syscall, message)
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        // libuv's number of the same name where it has one of its own (Windows), else the system's, negated.
        let errno = Errno::from_name(error.code()).map_or(-error.errno(), Errno::number);
        let (syscall, message) = (error.syscall(), error.message().to_owned());
        Self::System(Box::new(SystemError {
            code: error.code().to_owned(),
            errno,
            syscall,
            message,
        }))
    }
}

/// CIDRs from strings.
pub(crate) fn cidrs(texts: &[String], what: &str) -> Result<Vec<IpCidr>> {
    texts
        .iter()
        .map(|text| {
            text.parse().map_err(|why| {
                let message = format!(
                    "{what} '{text}' is invalid ({why}); write it like 198.18.0.2/24 or fd00::2/64"
                );
                invalid("addInterface", message)
            })
        })
        .collect()
}

/// `addInterface(options)`: the interface's number.
pub(crate) fn add_interface(js: Js<'_>, stack: &Stack, options: Value<'_>) -> Result<f64> {
    let options = object(js, options, "options")?;
    let name = string(js, options, c"name")?.unwrap_or_default();
    let mtu = number(js, options, c"mtu", (0.0, 65_535.0))?.map(|mtu| mtu as u16);
    let addresses = cidrs(&strings(js, options, c"addresses")?, "address")?;
    check_mtu(mtu, &addresses)?;
    check_addresses(stack, &addresses)?;
    let Some(device) = property(js, options, c"device")? else {
        let message = "The \"options.device\" argument must be of type object.";
        return Err(Failure::Type(message.to_owned()));
    };
    let made_by = object(js, device, "options.device")?;
    let mut port_news = None;
    let kind = string(js, made_by, c"kind")?;
    let mut device: Box<dyn Device> = match kind.as_deref() {
        Some("tun") => open::tun(js, made_by, mtu)?,
        Some("tap") => open::tap(js, made_by, mtu)?,
        Some("packet") => open::packet(js, made_by)?,
        Some("unix") => open::unix(js, made_by, mtu)?,
        Some("link") => take_link(js, made_by)?,
        Some("port") => {
            let (device, news) = port::take_device(js, made_by, &stack.bell)?;
            port_news = Some(news);
            open::impaired(js, made_by, device)?
        }
        other => {
            return Err(Failure::Value(format!(
                "The \"options.device.kind\" argument must be 'tun', 'tap', 'packet', 'unix', 'link' or 'port'. Received {other:?}"
            )));
        }
    };
    let more = device.open_queues()?;
    let queues = more.len() + 1;
    stack.ensure_lanes(queues)?;
    let layers = open::Layers::new(js, options)?;
    device = layers.over(device);
    let info = device.info();
    let mut config = interface_config(&info, addresses.clone());
    open::ethernet(js, options, made_by, &mut config)?;
    // A name with a pattern in it is the system's to complete.
    let is_pattern = matches!(kind.as_deref(), Some("tun" | "tap")) && name.contains("%d");
    if !name.is_empty() && !is_pattern {
        config.name = name;
    }
    if let Some(mtu) = mtu {
        // Never more than the device carries.
        config.mtu = mtu.min(info.mtu);
    }
    check_mtu(Some(config.mtu), &addresses)?;
    let (name, mtu) = (config.name.clone(), config.mtu);
    config.accept_any = bool(js, options, c"acceptAny")?.unwrap_or(false);
    config.bridge_port = bool(js, options, c"bridge")?.unwrap_or(false);
    if config.bridge_port && device.medium() == usernet_device::Medium::Ip {
        let message = format!(
            "a bridge carries Ethernet frames, and '{name}' carries IP packets; use tap(), packetSocket(), unixSocket(), framePort({{ medium: 'ethernet' }}) or createLink({{ medium: 'ethernet' }})"
        );
        return Err(invalid("addPort", message));
    }
    if info.offload.uso {
        stack.has_uso();
    }
    let watched = Watched::new(Arc::clone(&stack.bell), info.offload.big_tcp4);
    let watch = |inner: Box<dyn Device>| -> Box<dyn Device> {
        Box::new(WatchedDevice { inner, watched: Arc::clone(&watched) })
    };
    let accept_any = Cell::new(config.accept_any);
    let queues = if queues > 1 { Some(stack.make_queues(queues)?) } else { None };
    // The device of a lane: of several, one that gives what is the lane's.
    let of_lane = |at: usize, device| match &queues {
        Some(queues) => queues.queue(at, watch(device)),
        None => watch(device),
    };
    let first = of_lane(0, device);
    let id = match stack.with_shard(|shard| shard.add_device(first, config.clone())) {
        Some(Ok(id)) => id,
        Some(Err(error)) => {
            stack.update_polls();
            return Err(refused(error, &name, mtu, &addresses));
        }
        None => return Err(closed()),
    };
    let others = more.into_iter().enumerate().filter_map(|(before, device)| {
        let device = of_lane(before + 1, layers.over(device));
        let lane = stack.lane_at(before + 1);
        // The first took it, so this one does, unless it has failed.
        lane.with_shard(|shard| shard.add_device(device, config.clone()))?.ok()
    });
    let more = others.collect();
    let watched = Some(watched);
    let number = stack.add_interface(|number| Interface {
        number,
        id,
        name,
        watched,
        port_news,
        more,
        queues,
        accept_any,
    });
    stack.tell_lanes();
    stack.update_polls();
    Ok(f64::from(number))
}

fn closed() -> Failure {
    Failure::system(Errno::EBADF, "addInterface", "the stack is closed; create another")
}

/// Before a device is opened: what the core would refuse afterwards.
fn check_mtu(mtu: Option<u16>, addresses: &[IpCidr]) -> Result<()> {
    let v6 = addresses.iter().any(|cidr| cidr.addr.is_ipv6());
    let (least, why) = if v6 {
        (
            MIN_MTU.1,
            "IPv6 needs at least 1280 bytes (RFC 8200); raise it or drop the IPv6 addresses",
        )
    } else {
        (MIN_MTU.0, "IPv4 needs at least 576 bytes (RFC 791); leave it out for the device's own")
    };
    match mtu {
        Some(mtu) if mtu < least => {
            Err(invalid("addInterface", format!("MTU {mtu} is too small: {why}")))
        }
        _ => Ok(()),
    }
}

/// Before a device is opened: what another interface has already.
fn check_addresses(stack: &Stack, addresses: &[IpCidr]) -> Result<()> {
    let taken = stack.with_core(|core| core.addresses()).unwrap_or_default();
    for (i, cidr) in addresses.iter().enumerate() {
        let twice = addresses[..i].iter().any(|other| other.addr == cidr.addr);
        if twice || taken.iter().any(|(_, other)| other.addr == cidr.addr) {
            let message = format!(
                "address {} is on an interface of this stack already; give each interface its own",
                cidr.addr
            );
            return Err(Failure::system(Errno::EADDRINUSE, "addInterface", message));
        }
    }
    Ok(())
}

/// What the core refused.
fn refused(error: InterfaceError, name: &str, mtu: u16, addresses: &[IpCidr]) -> Failure {
    let list: Vec<_> = addresses.iter().map(|c| format!("{}/{}", c.addr, c.prefix_len)).collect();
    let list = list.join(", ");
    let message = match error {
        InterfaceError::InvalidMtu => {
            format!("MTU {mtu} is out of range: 576 to 65535 bytes, with IPv6 at least 1280")
        }
        InterfaceError::InvalidAddress => format!(
            "one of the addresses {list} is none that a host can have (unspecified, multicast or broadcast); choose another"
        ),
        InterfaceError::AddressInUse => format!(
            "one of the addresses {list} is on an interface of this stack already; give each interface its own"
        ),
        other => format!("interface '{name}' cannot be added: {other}"),
    };
    Failure::system(Errno::from(error), "addInterface", message)
}

/// What is to be done to each direction of a device, and the seed of its chances.
pub(crate) fn impairment(js: Js<'_>, options: Value<'_>) -> Result<(Impairment, u64)> {
    const PROBABILITY: (f64, f64) = (0.0, 1.0);
    const MS: (f64, f64) = (0.0, 3_600_000.0);
    /// Largest integer that a JavaScript number holds exactly.
    const MAX_SAFE: f64 = 9_007_199_254_740_991.0;
    let mut settings = Impairment::default();
    for (name, probability) in [
        (c"loss", &mut settings.loss),
        (c"duplicate", &mut settings.duplicate),
        (c"reorder", &mut settings.reorder),
        (c"corrupt", &mut settings.corrupt),
    ] {
        if let Some(value) = number(js, options, name, PROBABILITY)? {
            *probability = value;
        }
    }
    for (name, time) in [
        (c"delay", &mut settings.delay),
        (c"jitter", &mut settings.jitter),
        (c"reorderBy", &mut settings.reorder_by),
    ] {
        if let Some(ms) = number(js, options, name, MS)? {
            *time = Duration::from_secs_f64(ms / 1e3);
        }
    }
    settings.rate = number(js, options, c"rate", (1.0, MAX_SAFE))?.map(|rate| rate as u64);
    if let Some(bytes) = number(js, options, c"queue", (1.0, 1_073_741_824.0))? {
        settings.queue = bytes as usize;
    }
    if let Some(frames) = number(js, options, c"capacity", (1.0, 1_048_576.0))? {
        settings.limit = frames as usize;
    }
    let seed = number(js, options, c"seed", (0.0, MAX_SAFE))?.map_or(0, |seed| seed as u64);
    Ok((settings, seed))
}

pub(crate) fn refused_impairment(syscall: &'static str, error: InvalidImpairment) -> Failure {
    invalid(syscall, error.to_string())
}

/// The device of a link end, which no stack has had.
fn take_link(js: Js<'_>, device: Value<'_>) -> Result<Box<dyn Device>> {
    let wrong = || {
        let message = "The \"options.device.link\" argument must be an end of a link (createLink).";
        Failure::Type(message.to_owned())
    };
    let end = property(js, device, c"link")?.ok_or_else(wrong)?;
    let end = object(js, end, "options.device.link")?;
    let mut is_link = false;
    // SAFETY: `js` and `end` are valid in this scope; the tag is only read.
    check(unsafe {
        sys::napi_check_object_type_tag(js.env(), end.raw(), &raw const LINK_TAG, &raw mut is_link)
    })?;
    if !is_link {
        return Err(wrong());
    }
    // SAFETY: only `link_end` gives objects this tag, and it wraps a `LinkEnd`, which lives as long as the object.
    let end = unsafe { unwrap::<LinkEnd>(js, end).as_ref() }.ok_or_else(wrong)?;
    end.take().ok_or_else(|| {
        let message = "this end of the link is in use, or was: an end is given to one stack, once; make another link";
        Failure::system(Errno::EBUSY, "addInterface", message)
    })
}

/// The function `createLink`.
pub(crate) fn create_link_function<'s>(js: Js<'s>) -> Result<Value<'s>> {
    let name = c"createLink";
    let mut raw = ptr::null_mut();
    // SAFETY: `js` is valid; the name is static.
    check(unsafe {
        sys::napi_create_function(
            js.env(),
            name.as_ptr(),
            name.count_bytes() as isize,
            Some(create_link),
            ptr::null_mut(),
            &raw mut raw,
        )
    })?;
    // SAFETY: just made in the scope of `js`.
    Ok(unsafe { Value::from_raw(raw) })
}

unsafe extern "C" fn create_link(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: the callback's own arguments.
    let Ok(Called { js, args: [options], .. }) = (unsafe { callback_info(env, info) }) else {
        return ptr::null_mut();
    };
    let made = caught(|| make_link(js, options))
        .unwrap_or_else(|message| Err(Failure::system(Errno::EIO, "createLink", message)));
    match made {
        Ok(pair) => pair.raw(),
        Err(failure) => {
            js.throw(failure);
            ptr::null_mut()
        }
    }
}

fn make_link<'s>(js: Js<'s>, options: Value<'s>) -> Result<Value<'s>> {
    let mut link = LinkOptions::default();
    let (mut settings, mut seed) = (Impairment::default(), 0);
    if js.type_of(options)? != sys::ValueType::napi_undefined {
        let options = object(js, options, "options")?;
        if let Some(mtu) = number(js, options, c"mtu", (f64::from(MIN_MTU.0), 65_535.0))? {
            link.mtu = mtu as u16;
        }
        if let Some(frames) = number(js, options, c"capacity", (1.0, 1_048_576.0))? {
            link.capacity = frames as usize;
        }
        if let Some(medium) = port::medium(js, options)? {
            link.medium = medium;
        }
        (settings, seed) = impairment(js, options)?;
    }
    let (first, second): (Box<dyn Device>, Box<dyn Device>) = if settings.is_none() {
        let (first, second) = pair(link);
        (Box::new(first), Box::new(second))
    } else {
        let (first, second) = impaired_pair(link, [settings.clone(), settings], seed)
            .map_err(|error| refused_impairment("createLink", error))?;
        (Box::new(first), Box::new(second))
    };
    let first = link_end(js, first)?;
    let second = link_end(js, second)?;
    js.array(&[first, second])
}

/// An object that wraps a device.
fn link_end<'s>(js: Js<'s>, device: Box<dyn Device>) -> Result<Value<'s>> {
    let object = js.object()?;
    let data = Box::into_raw(Box::new(LinkEnd::new(Some(device))));
    // SAFETY: `js` and `object` are valid in this scope; `data` lives until `drop_link_end` gets it.
    let wrapped = check(unsafe {
        sys::napi_wrap(
            js.env(),
            object.raw(),
            data.cast(),
            Some(drop_link_end),
            ptr::null_mut(),
            ptr::null_mut(),
        )
    });
    if let Err(failure) = wrapped {
        // SAFETY: a failed wrap did not take it over.
        drop(unsafe { Box::from_raw(data) });
        return Err(failure);
    }
    // SAFETY: as above; the tag is copied.
    check(unsafe { sys::napi_type_tag_object(js.env(), object.raw(), &raw const LINK_TAG) })?;
    Ok(object)
}

/// A link end was collected. A device that no stack had goes with it: an unplugged cable.
unsafe extern "C" fn drop_link_end(_: sys::napi_env, data: *mut c_void, _: *mut c_void) {
    // SAFETY: made by `Box::into_raw` in `link_end`; Node-API calls a finaliser once.
    let end = unsafe { Box::from_raw(data.cast::<LinkEnd>()) };
    let _ = caught(move || drop(end));
}
