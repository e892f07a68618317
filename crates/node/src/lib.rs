//! The Node-API binding: handles, doorbell, drain, teardown. No protocol, no policy.
//!
//! `src/native.ts` is the contract with TypeScript. Read `stack` first: it ties the others together.
//!
//! Unit tests cover what needs no Node (`errno`, `handles`, `pump`); the rest is tested from JavaScript
//! (`__test__/native-*.test.ts`), because Node's symbols exist only inside Node.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // this is the edge
#![cfg_attr(test, allow(dead_code))]
// Numbers of JavaScript are compared exactly: they are ids. Methods have one shape, whether or not they can throw.
// Naming the scope of values reads better than leaving it out here and there.
#![allow(clippy::float_cmp, clippy::unnecessary_wraps, clippy::elidable_lifetime_names)]

#[cfg(not(test))]
mod bell;
mod busy_poll;
#[cfg(not(test))]
mod class;
#[cfg(not(test))]
mod convert;
#[cfg(not(test))]
mod datagram_calls;
mod datagrams;
#[cfg(not(test))]
mod devices;
mod errno;
#[cfg(not(test))]
mod event_loop;
mod handles;
#[cfg(not(test))]
mod js;
#[cfg(not(test))]
mod lane;
#[cfg(not(test))]
mod open;
#[cfg(not(test))]
mod options;
#[cfg(not(test))]
mod port;
mod pump;
#[cfg(not(test))]
mod sim;
#[cfg(not(test))]
mod sim_callback;
#[cfg(not(test))]
mod sim_class;
#[cfg(not(test))]
mod sim_convert;
#[cfg(not(test))]
mod sim_watch;
#[cfg(not(test))]
mod slabs;
#[cfg(not(test))]
mod stack;
mod tcp;
#[cfg(not(test))]
mod watch;
#[cfg(not(test))]
mod wrapped;

/// Called once per environment: defines the exports.
#[cfg(not(test))]
#[napi_derive::napi(module_exports)]
pub fn init(exports: napi::bindgen_prelude::Object<'_>, env: napi::Env) -> napi::Result<()> {
    use napi::JsValue;
    // SAFETY: Node runs this on the environment's thread, within a scope that encloses `exports`.
    let (js, exports) =
        unsafe { (js::Js::from_raw(env.raw()), js::Value::from_raw(exports.raw())) };
    let define = || {
        js.set(exports, c"NativeStack", class::define(js)?)?;
        js.set(exports, c"NativeNetwork", sim_class::define(js)?)?;
        js.set(exports, c"NativePort", port::define(js)?)?;
        js.set(exports, c"createLink", devices::create_link_function(js)?)
    };
    define().map_err(|failure| napi::Error::from_reason(format!("{failure:?}")))
}
