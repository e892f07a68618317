//! Methods of classes whose objects wrap a Rust value: what is the same for all of them.

use std::ffi::CStr;

use napi::sys;

use crate::errno::Errno;
use crate::js::{Called, Failure, IntoJs, Js, Result, Value, callback_info, caught, check, unwrap};

/// Defines a class. Its constructor calls [`construct`].
pub(crate) fn define<'s>(
    js: Js<'s>,
    name: &'static CStr,
    constructor: unsafe extern "C" fn(sys::napi_env, sys::napi_callback_info) -> sys::napi_value,
    methods: &[sys::napi_property_descriptor],
) -> Result<Value<'s>> {
    let mut raw = std::ptr::null_mut();
    // SAFETY: `js` is valid; the descriptors hold static names and are only read during the call.
    check(unsafe {
        sys::napi_define_class(
            js.env(),
            name.as_ptr(),
            name.count_bytes() as isize,
            Some(constructor),
            std::ptr::null_mut(),
            methods.len(),
            methods.as_ptr(),
            &raw mut raw,
        )
    })?;
    // SAFETY: just made in the scope of `js`.
    Ok(unsafe { Value::from_raw(raw) })
}

/// Runs a constructor: `make` wraps a value in the object under construction. Without `new`, and when `make` fails, it
/// throws; a panic is an error of `syscall`.
///
/// # Safety
/// `env` and `info` are those that Node-API gave the running callback, which is the constructor of the class `name`.
pub(crate) unsafe fn construct<'s, const N: usize>(
    env: sys::napi_env,
    info: sys::napi_callback_info,
    (name, syscall): (&str, &'static str),
    make: impl FnOnce(Js<'s>, Value<'s>, [Value<'s>; N]) -> Result<()>,
) -> sys::napi_value {
    // SAFETY: the caller's contract.
    let Ok(Called { js, this, args, .. }) = (unsafe { callback_info::<N>(env, info) }) else {
        return std::ptr::null_mut();
    };
    let mut target = std::ptr::null_mut();
    // SAFETY: the callback's own arguments.
    unsafe { sys::napi_get_new_target(env, info, &raw mut target) };
    let made = if target.is_null() {
        Err(Failure::Type(format!("Class constructor {name} cannot be invoked without 'new'")))
    } else {
        caught(|| make(js, this, args))
            .unwrap_or_else(|message| Err(Failure::system(Errno::EIO, syscall, message)))
    };
    match made {
        Ok(()) => this.raw(),
        Err(failure) => {
            js.throw(failure);
            std::ptr::null_mut()
        }
    }
}

/// Runs a method: finds what its receiver wraps, catches panics (`failed` says what to answer then), throws what it has to.
///
/// # Safety
/// `env` and `info` are those that Node-API gave the running callback, which is a method of a class whose constructor wraps
/// a `T` or throws, and whose objects keep it as long as they live.
pub(crate) unsafe fn enter<'s, T: 's, const N: usize, R: IntoJs>(
    env: sys::napi_env,
    info: sys::napi_callback_info,
    method: impl FnOnce(Js<'s>, &T, [Value<'s>; N]) -> Result<R>,
    failed: impl FnOnce(&T, String) -> Result<R>,
) -> sys::napi_value {
    // SAFETY: the caller's contract.
    let Ok(Called { js, this, args, .. }) = (unsafe { callback_info::<N>(env, info) }) else {
        return std::ptr::null_mut();
    };
    let wrapped = unwrap::<T>(js, this);
    if wrapped.is_null() {
        js.throw(Failure::Type("Illegal invocation".to_owned()));
        return std::ptr::null_mut();
    }
    // SAFETY: V8 checks that a method's receiver was made by the class's constructor (it defines a signature), which by the
    // caller's contract wraps a `T`; the receiver is held by the running call, and with it what it wraps.
    let wrapped = unsafe { &*wrapped };
    answer(js, wrapped, || method(js, wrapped, args), failed)
}

/// Runs what a method does: what it gives back, or null where it threw; `failed` says what to answer after a panic.
pub(crate) fn answer<T, R: IntoJs>(
    js: Js<'_>,
    wrapped: &T,
    method: impl FnOnce() -> Result<R>,
    failed: impl FnOnce(&T, String) -> Result<R>,
) -> sys::napi_value {
    let outcome = caught(method);
    let outcome = outcome.unwrap_or_else(|message| failed(wrapped, message));
    match outcome.and_then(|value| value.into_js(js)) {
        Ok(value) => value.raw(),
        Err(failure) => {
            js.throw(failure);
            std::ptr::null_mut()
        }
    }
}

/// One entry of a class: `method_of!(enter, Wrapped; "name", |js, wrapped, [a, b]| ..)`, where `enter` is a function as the
/// one above, of that class.
macro_rules! method_of {
    ($enter:path, $wrapped:ty; $name:literal, |$js:ident, $this:ident, [$($arg:ident),*]| $body:expr) => {{
        unsafe extern "C" fn callback(
            env: napi::sys::napi_env,
            info: napi::sys::napi_callback_info,
        ) -> napi::sys::napi_value {
            // SAFETY: Node-API calls this with its callback's own arguments, and it is entered as a method only.
            unsafe {
                $enter(env, info, |$js: crate::js::Js<'_>, $this: &$wrapped, [$($arg),*]| $body)
            }
        }
        napi::sys::napi_property_descriptor {
            utf8name: concat!($name, "\0").as_ptr().cast(),
            name: std::ptr::null_mut(),
            method: Some(callback),
            getter: None,
            setter: None,
            value: std::ptr::null_mut(),
            attributes: napi::sys::PropertyAttributes::writable
                | napi::sys::PropertyAttributes::configurable,
            data: std::ptr::null_mut(),
        }
    }};
}

pub(crate) use method_of;
