//! Functions of a program that rules ask while packets go by. They run on the JavaScript thread, in the call that lets the
//! packets go: a network is never moved by anything else.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::CStr;
use std::ptr;

use napi::sys;

use crate::js::{Js, Reference, Result, Value, check};
use crate::sim_convert::describe;

thread_local! {
    /// The functions of this thread's networks, by number: what the simulation keeps has to be sendable, which references
    /// are not.
    static FUNCTIONS: RefCell<Functions> = RefCell::default();
}

#[derive(Default)]
struct Functions {
    last: u64,
    held: HashMap<u64, (sys::napi_env, Reference)>,
}

/// A function of a program, for a rule.
#[derive(Debug)]
pub(crate) struct Callback(u64);

impl Callback {
    /// The function that is a property of an object; `None` when it is undefined.
    pub(crate) fn of<'s>(js: Js<'s>, object: Value<'s>, name: &CStr) -> Result<Option<Self>> {
        let value = js.get(object, name)?;
        if js.type_of(value)? != sys::ValueType::napi_function {
            return Ok(None);
        }
        let reference = js.reference(value, true)?;
        Ok(Some(FUNCTIONS.with_borrow_mut(|functions| {
            functions.last += 1;
            functions.held.insert(functions.last, (js.env(), reference));
            Self(functions.last)
        })))
    }

    /// Whether it answers a packet with something true; false where it cannot be asked.
    pub(crate) fn judges(&self, bytes: &[u8]) -> bool {
        let judged = self.call(|js, function| {
            let packet = js.object()?;
            describe(js, packet, bytes)?;
            let answer = js.call(function, &[packet])?;
            js.to_bool(answer, "when()")
        });
        judged.unwrap_or(false)
    }

    /// Lets it change a packet: what it gives back, or else what it made of the bytes it was given.
    pub(crate) fn changes(&self, bytes: &mut Vec<u8>) {
        let changed = self.call(|js, function| {
            let buffer = js.copy(bytes)?;
            let answer = js.call(function, &[buffer])?;
            let given = js.type_of(answer)? == sys::ValueType::napi_object;
            // SAFETY: the bytes are copied before any JavaScript runs.
            Ok(unsafe { js.bytes(if given { answer } else { buffer }, "alter()")? }.to_vec())
        });
        if let Some(changed) = changed {
            *bytes = changed;
        }
    }

    /// Calls `f` with the function in a scope of its own. What was thrown is an uncaught exception: the package's own
    /// functions around those of programs catch.
    fn call<R>(&self, f: impl for<'s> FnOnce(Js<'s>, Value<'s>) -> Result<R>) -> Option<R> {
        // The borrow ends before anything runs.
        let env = FUNCTIONS.with_borrow(|all| all.held.get(&self.0).map(|(env, _)| *env))?;
        let mut scope = ptr::null_mut();
        // SAFETY: the environment that made the reference; its networks are moved by its own calls, on this thread.
        check(unsafe { sys::napi_open_handle_scope(env, &raw mut scope) }).ok()?;
        // SAFETY: the scope that was just opened outlives it.
        let js = unsafe { Js::from_raw(env) };
        let function = FUNCTIONS.with_borrow(|all| {
            all.held.get(&self.0).and_then(|(_, reference)| js.deref(reference))
        });
        let result = function.map(|function| f(js, function));
        if matches!(result, Some(Err(_))) {
            js.raise_uncaught();
        }
        // SAFETY: opened above; nothing of it is used any more.
        unsafe { sys::napi_close_handle_scope(env, scope) };
        result?.ok()
    }
}

impl Drop for Callback {
    fn drop(&mut self) {
        // At the end of a thread the map may be gone; then so is its environment.
        let held = FUNCTIONS.try_with(|all| all.borrow_mut().held.remove(&self.0));
        if let Ok(Some((env, reference))) = held {
            // SAFETY: rules go with their network: in a call of the environment, or in a finaliser of it.
            unsafe { reference.release(env) };
        }
    }
}
