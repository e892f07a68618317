//! The doorbell: it tells the JavaScript thread, from any thread, that there is something to drain, and nothing else.

use std::ffi::c_void;
use std::ptr;
use std::rc::Weak;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use napi::sys;

use crate::js::{Js, Result, check};
use crate::stack::Stack;

/// Calls that may wait in the threadsafe function. There is one at a time but for moments; a full queue rings anyway.
const QUEUE: usize = 4;

/// One doorbell. Rung by any thread, answered by one.
pub(crate) struct Bell {
    /// Rung and not answered yet.
    rung: AtomicBool,
    function: Mutex<Option<Function>>,
}

/// A threadsafe function, of which we are one user.
struct Function(sys::napi_threadsafe_function);

// SAFETY: a threadsafe function is made to be called from any thread.
unsafe impl Send for Function {}

impl Bell {
    /// A bell that nobody hears yet.
    pub(crate) fn new() -> Self {
        Self { rung: AtomicBool::new(false), function: Mutex::new(None) }
    }

    /// Connects it to the stack, on its thread. Does not keep the event loop alive.
    pub(crate) fn connect(&self, js: Js<'_>, stack: Weak<Stack>) -> Result<()> {
        let name = js.string("usernet.doorbell")?;
        let context = Box::into_raw(Box::new(stack));
        let mut raw = ptr::null_mut();
        // SAFETY: `js` is valid; no function is given, because `call_js` finds its own; `context` is freed by
        // `finalize`, which Node-API calls once, after the last `call_js`.
        let status = unsafe {
            sys::napi_create_threadsafe_function(
                js.env(),
                ptr::null_mut(),
                ptr::null_mut(),
                name.raw(),
                QUEUE,
                1,
                ptr::null_mut(),
                Some(finalize),
                context.cast(),
                Some(call_js),
                &raw mut raw,
            )
        };
        if let Err(failure) = check(status) {
            // SAFETY: not taken over by the failed call.
            drop(unsafe { Box::from_raw(context) });
            return Err(failure);
        }
        // SAFETY: just made, on its environment's thread.
        check(unsafe { sys::napi_unref_threadsafe_function(js.env(), raw) })?;
        *self.lock() = Some(Function(raw));
        Ok(())
    }

    /// Rings, unless it was rung already. From any thread; neither blocks nor calls JavaScript.
    pub(crate) fn ring(&self) {
        // AcqRel here and in `answer`: when this finds it rung, the answer that follows sees what happened before this.
        if self.rung.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut function = self.lock();
        let Some(Function(raw)) = *function else { return };
        // SAFETY: `raw` is in place, so it was neither released nor found closing: it exists.
        let status = unsafe {
            sys::napi_call_threadsafe_function(
                raw,
                ptr::null_mut(),
                sys::ThreadsafeFunctionCallMode::nonblocking,
            )
        };
        if status == sys::Status::napi_closing {
            // That call gave up our use of it.
            *function = None;
        }
    }

    /// Answers: whatever happens from here on rings again.
    pub(crate) fn answer(&self) {
        self.rung.swap(false, Ordering::AcqRel);
    }

    /// Takes it for rung: the caller sees to it that it is answered.
    pub(crate) fn hold(&self) {
        self.rung.swap(true, Ordering::AcqRel);
    }

    /// Whether it keeps the event loop alive.
    pub(crate) fn set_ref(&self, js: Js<'_>, on: bool) {
        if let Some(Function(raw)) = *self.lock() {
            // SAFETY: it exists (see `ring`), and this is its environment's thread, which `js` proves.
            unsafe {
                if on {
                    sys::napi_ref_threadsafe_function(js.env(), raw);
                } else {
                    sys::napi_unref_threadsafe_function(js.env(), raw);
                }
            }
        }
    }

    /// Disconnects it: no call into JavaScript follows. On the stack's thread.
    pub(crate) fn disconnect(&self) {
        if let Some(Function(raw)) = self.lock().take() {
            // SAFETY: it exists (see `ring`), and nobody can find it any more.
            unsafe {
                sys::napi_release_threadsafe_function(
                    raw,
                    sys::ThreadsafeFunctionReleaseMode::abort,
                )
            };
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Function>> {
        self.function.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs on the JavaScript thread for each ring.
unsafe extern "C" fn call_js(
    env: sys::napi_env,
    _: sys::napi_value,
    context: *mut c_void,
    _: *mut c_void,
) {
    // Null while the function is being taken down.
    if env.is_null() || context.is_null() {
        return;
    }
    // SAFETY: Node-API opened a scope and runs this on the environment's thread.
    let js = unsafe { Js::from_raw(env) };
    // SAFETY: the context given in `connect`; `finalize` comes after the last call.
    let stack = unsafe { &*context.cast::<Weak<Stack>>() };
    // While a turn of the loop is waited for, a ring that was on its way already is not to come before it.
    if let Some(stack) = stack.upgrade()
        && !stack.is_deferred()
        && stack.notify(js).is_err()
    {
        // Node would swallow it with a deprecation warning (DEP0168).
        js.raise_uncaught();
    }
}

/// Runs on the JavaScript thread when the function is gone.
unsafe extern "C" fn finalize(_: sys::napi_env, _: *mut c_void, context: *mut c_void) {
    // SAFETY: made by `Box::into_raw` in `connect`; Node-API calls a finaliser once.
    drop(unsafe { Box::from_raw(context.cast::<Weak<Stack>>()) });
}
