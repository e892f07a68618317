//! The class `NativePort`: the program's end of a frame port. `NativePort` in src/native.ts is the contract.

use std::cell::RefCell;
use std::ffi::c_void;
use std::io::ErrorKind;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use napi::sys;
use usernet_device::{Device, FramePort, Medium, PortDevice, PortOptions, Wake, frame_port};

use crate::bell::Bell;
use crate::errno::Errno;
use crate::js::{Failure, IntoJs, Js, OrNull, Result, Value, caught, check, unwrap};
use crate::options::{number, object, property, string};
use crate::wrapped::{self, method_of};

/// Marks objects that wrap a [`Port`].
static PORT_TAG: sys::napi_type_tag =
    sys::napi_type_tag { lower: 0x61f0_5ac2_9d37_4e18, upper: 0xa4c8_13be_70d9_42f5 };

/// Both ends of a port: the program's until it is closed, the stack's until a stack has it.
pub(crate) struct Port {
    program: RefCell<Option<FramePort>>,
    device: RefCell<Option<PortDevice>>,
}

/// Tells the program of frames and of room, by the doorbell of the stack that has the device.
pub(crate) struct PortNews {
    news: AtomicBool,
    bell: Arc<Bell>,
}

impl PortNews {
    /// Whether there is something that the program was not told of; it counts as told from here on.
    pub(crate) fn take(&self) -> bool {
        self.news.swap(false, Ordering::AcqRel)
    }
}

impl Wake for PortNews {
    fn wake(&self) {
        if !self.news.swap(true, Ordering::AcqRel) {
            self.bell.ring();
        }
    }
}

/// Defines the class.
pub(crate) fn define<'s>(js: Js<'s>) -> Result<Value<'s>> {
    macro_rules! method {
        ($name:literal, |$js:ident, $port:ident, [$($arg:ident),*]| $body:expr) => {
            method_of!(enter, Port; $name, |$js, $port, [$($arg),*]| $body)
        };
    }
    let methods = [
        method!("write", |js, port, [frame]| write(js, port, frame)),
        method!("take", |js, port, [most]| take(js, port, most)),
        method!("hasRoom", |_js, port, []| {
            Ok(i32::from(port.program.borrow().as_ref().is_some_and(FramePort::has_room)))
        }),
        method!("stats", |js, port, []| stats(js, port)),
        method!("close", |_js, port, []| {
            // Dropped when nothing is borrowed: whoever is woken by it may come back.
            let program = port.program.borrow_mut().take();
            let device = port.device.borrow_mut().take();
            drop((program, device));
            Ok(())
        }),
    ];
    wrapped::define(js, c"NativePort", constructor, &methods)
}

/// As [`wrapped::enter`], of this class.
///
/// # Safety
/// `env` and `info` are those that Node-API gave the running callback, which is a method of the class.
unsafe fn enter<'s, const N: usize, R: IntoJs>(
    env: sys::napi_env,
    info: sys::napi_callback_info,
    method: impl FnOnce(Js<'s>, &Port, [Value<'s>; N]) -> Result<R>,
) -> sys::napi_value {
    // SAFETY: the caller's contract; the constructor wraps a `Port` or throws.
    unsafe {
        wrapped::enter(env, info, method, |_, message| {
            Err(Failure::system(Errno::EIO, "framePort", message))
        })
    }
}

/// `new NativePort({ name, medium, mtu, capacity })`.
unsafe extern "C" fn constructor(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: the callback's own arguments.
    unsafe {
        wrapped::construct(env, info, ("NativePort", "framePort"), |js, this, [options]| {
            construct(js, this, options)
        })
    }
}

fn construct(js: Js<'_>, this: Value<'_>, options: Value<'_>) -> Result<()> {
    let options = object(js, options, "options")?;
    let mut wanted = PortOptions::default();
    if let Some(name) = string(js, options, c"name")? {
        wanted.name = name;
    }
    if let Some(medium) = medium(js, options)? {
        wanted.medium = medium;
    }
    if let Some(mtu) = number(js, options, c"mtu", (576.0, 65_535.0))? {
        wanted.mtu = mtu as u16;
    }
    if let Some(frames) = number(js, options, c"capacity", (1.0, 1_048_576.0))? {
        wanted.capacity = frames as usize;
    }
    let (program, device) = frame_port(wanted);
    let port = Port { program: RefCell::new(Some(program)), device: RefCell::new(Some(device)) };
    let data = Box::into_raw(Box::new(port));
    // SAFETY: `js` and `this` are valid in this scope; `data` lives until `on_collected` gets it.
    let wrapped = check(unsafe {
        sys::napi_wrap(
            js.env(),
            this.raw(),
            data.cast(),
            Some(on_collected),
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
    check(unsafe { sys::napi_type_tag_object(js.env(), this.raw(), &raw const PORT_TAG) })
}

/// A port was collected: its program has gone.
unsafe extern "C" fn on_collected(_: sys::napi_env, data: *mut c_void, _: *mut c_void) {
    // SAFETY: made by `Box::into_raw` in `construct`; Node-API calls a finaliser once.
    let port = unsafe { Box::from_raw(data.cast::<Port>()) };
    let _ = caught(move || drop(port));
}

/// What frames begin with: `medium` of options.
pub(crate) fn medium(js: Js<'_>, options: Value<'_>) -> Result<Option<Medium>> {
    match string(js, options, c"medium")?.as_deref() {
        None => Ok(None),
        Some("ip") => Ok(Some(Medium::Ip)),
        Some("ethernet") => Ok(Some(Medium::Ethernet)),
        Some(other) => Err(Failure::Value(format!(
            "The \"options.medium\" argument must be 'ip' or 'ethernet'. Received '{other}'"
        ))),
    }
}

/// The device of the port that `device` names, which no stack has had; the program's end rings that bell from now on.
pub(crate) fn take_device(
    js: Js<'_>,
    device: Value<'_>,
    bell: &Arc<Bell>,
) -> Result<(Box<dyn Device>, Arc<PortNews>)> {
    let wrong = || {
        let message = "The \"options.device.port\" argument must be a frame port (framePort).";
        Failure::Type(message.to_owned())
    };
    let port = property(js, device, c"port")?.ok_or_else(wrong)?;
    let port = object(js, port, "options.device.port")?;
    let mut is_port = false;
    // SAFETY: `js` and `port` are valid in this scope; the tag is only read.
    check(unsafe {
        sys::napi_check_object_type_tag(js.env(), port.raw(), &raw const PORT_TAG, &raw mut is_port)
    })?;
    if !is_port {
        return Err(wrong());
    }
    // SAFETY: only the constructor gives objects this tag, and it wraps a `Port`, which lives as long as the object.
    let port = unsafe { unwrap::<Port>(js, port).as_ref() }.ok_or_else(wrong)?;
    let device = port.device.borrow_mut().take();
    let mut program = port.program.borrow_mut();
    let (Some(device), Some(program)) = (device, &mut *program) else {
        let message = "this frame port is in use, or closed: a port is given to one stack, once; make another";
        return Err(Failure::system(Errno::EBUSY, "addInterface", message));
    };
    let news = Arc::new(PortNews { news: AtomicBool::new(false), bell: Arc::clone(bell) });
    program.set_waker(Arc::clone(&news) as Arc<dyn Wake>);
    Ok((Box::new(device), news))
}

fn write(js: Js<'_>, port: &Port, frame: Value<'_>) -> Result<i32> {
    // SAFETY: no JavaScript runs before the bytes were copied; memory that other threads write as well is theirs to keep
    // still, as with any write in Node.
    let frame = unsafe { js.bytes(frame, "frame")? };
    let mut program = port.program.borrow_mut();
    let Some(program) = &mut *program else { return Ok(Errno::EPIPE.number()) };
    Ok(match program.write(frame) {
        Ok(()) => 0,
        Err(e) => match e.kind() {
            ErrorKind::WouldBlock => Errno::EAGAIN.number(),
            ErrorKind::InvalidInput => Errno::EMSGSIZE.number(),
            _ => Errno::EPIPE.number(),
        },
    })
}

/// Up to so many frames, oldest first.
fn take<'s>(js: Js<'s>, port: &Port, most: Value<'_>) -> Result<OrNull<'s>> {
    let most = js.to_f64(most, "most")?.clamp(0.0, 65_536.0) as usize;
    let mut program = port.program.borrow_mut();
    let Some(program) = &mut *program else { return Ok(OrNull(None)) };
    let mut frames = Vec::with_capacity(most.min(program.waiting()));
    while frames.len() < most
        && let Some(frame) = program.read(|frame| js.copy(frame))
    {
        frames.push(frame?);
    }
    Ok(OrNull(Some(js.array(&frames)?)))
}

fn stats<'s>(js: Js<'s>, port: &Port) -> Result<OrNull<'s>> {
    let program = port.program.borrow();
    let Some(program) = &*program else { return Ok(OrNull(None)) };
    let stats = program.stats();
    let object = js.object()?;
    for (name, value) in [
        (c"framesIn", stats.frames_in),
        (c"bytesIn", stats.bytes_in),
        (c"framesOut", stats.frames_out),
        (c"bytesOut", stats.bytes_out),
        (c"dropped", stats.dropped),
        (c"invalid", stats.invalid),
        (c"waiting", program.waiting() as u64),
    ] {
        js.set(object, name, js.number(value as f64)?)?;
    }
    Ok(OrNull(Some(object)))
}
