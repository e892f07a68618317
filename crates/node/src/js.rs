//! Node-API, thinly: values that cannot outlive their callback, errors as Rust errors, and nothing else.
//!
//! The methods of the class are registered by hand and not by `#[napi]`: a call through napi-derive 3.7 costs 500 ns
//! (borrow scope, type tag, class identity), one through this module 110 ns.

use std::ffi::{CStr, c_void};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use napi::sys;

use crate::errno::Errno;

/// The right to call Node-API: its thread, within a callback's handle scope `'s`.
#[derive(Clone, Copy)]
pub(crate) struct Js<'s> {
    env: sys::napi_env,
    scope: PhantomData<&'s *mut ()>,
}

/// A JavaScript value.
#[derive(Clone, Copy)]
pub(crate) struct Value<'s> {
    raw: sys::napi_value,
    scope: PhantomData<&'s *mut ()>,
}

/// Why a call from JavaScript throws.
#[derive(Debug)]
pub(crate) enum Failure {
    /// An exception is pending already.
    Pending,
    /// An argument of a wrong type (`TypeError`, `ERR_INVALID_ARG_TYPE`).
    Type(String),
    /// An argument of a wrong value (`RangeError`, `ERR_OUT_OF_RANGE`).
    Value(String),
    /// A system error.
    System(Box<SystemError>),
    /// Node-API said no.
    Status(sys::napi_status),
}

/// What a Node error carries.
#[derive(Debug)]
pub(crate) struct SystemError {
    pub(crate) code: String,
    /// libuv's number, negative.
    pub(crate) errno: i32,
    pub(crate) syscall: &'static str,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn system(errno: Errno, syscall: &'static str, message: impl Into<String>) -> Self {
        let code = errno.name().to_owned();
        let (errno, message) = (errno.number(), message.into());
        Self::System(Box::new(SystemError { code, errno, syscall, message }))
    }
}

/// The outcome of something that may throw.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// Status to error.
pub(crate) fn check(status: sys::napi_status) -> Result<()> {
    match status {
        sys::Status::napi_ok => Ok(()),
        sys::Status::napi_pending_exception => Err(Failure::Pending),
        other => Err(Failure::Status(other)),
    }
}

impl<'s> Value<'s> {
    /// # Safety
    /// `raw` is a live handle of scope `'s`, or null for "no value" (which only callbacks may return).
    pub(crate) unsafe fn from_raw(raw: sys::napi_value) -> Self {
        Self { raw, scope: PhantomData }
    }

    pub(crate) fn raw(self) -> sys::napi_value {
        self.raw
    }
}

// What makes the functions below sound, once for all: a `Js` is made only where Node-API may be called (`from_raw`'s
// contract), and a `Value<'s>` only from a handle that lives in the same scope, so `env` and every handle passed on are
// valid; results are written to locals of the right type. The SAFETY comments name it "scope contract".
impl<'s> Js<'s> {
    /// # Safety
    /// `env` is the environment of the running thread, and a handle scope that encloses all of `'s` is open.
    pub(crate) unsafe fn from_raw(env: sys::napi_env) -> Self {
        Self { env, scope: PhantomData }
    }

    pub(crate) fn env(self) -> sys::napi_env {
        self.env
    }

    /// Runs a function that makes a value.
    fn make(
        self,
        f: impl FnOnce(sys::napi_env, *mut sys::napi_value) -> sys::napi_status,
    ) -> Result<Value<'s>> {
        let mut raw = ptr::null_mut();
        check(f(self.env, &raw mut raw))?;
        Ok(Value { raw, scope: PhantomData })
    }

    pub(crate) fn undefined(self) -> Result<Value<'s>> {
        // SAFETY: scope contract.
        self.make(|env, out| unsafe { sys::napi_get_undefined(env, out) })
    }

    pub(crate) fn null(self) -> Result<Value<'s>> {
        // SAFETY: scope contract.
        self.make(|env, out| unsafe { sys::napi_get_null(env, out) })
    }

    pub(crate) fn bool(self, value: bool) -> Result<Value<'s>> {
        // SAFETY: scope contract.
        self.make(|env, out| unsafe { sys::napi_get_boolean(env, value, out) })
    }

    pub(crate) fn int(self, value: i32) -> Result<Value<'s>> {
        // SAFETY: scope contract.
        self.make(|env, out| unsafe { sys::napi_create_int32(env, value, out) })
    }

    pub(crate) fn number(self, value: f64) -> Result<Value<'s>> {
        // SAFETY: scope contract.
        self.make(|env, out| unsafe { sys::napi_create_double(env, value, out) })
    }

    pub(crate) fn string(self, value: &str) -> Result<Value<'s>> {
        let (data, len) = (value.as_ptr().cast(), value.len() as isize);
        // SAFETY: scope contract; `data` points to `len` bytes of UTF-8, which are copied.
        self.make(|env, out| unsafe { sys::napi_create_string_utf8(env, data, len, out) })
    }

    /// A `Buffer` with a copy of these bytes.
    pub(crate) fn copy(self, bytes: &[u8]) -> Result<Value<'s>> {
        let (data, len) = (bytes.as_ptr().cast(), bytes.len());
        // SAFETY: scope contract; `data` points to `len` bytes, which are copied; where they went is not asked for.
        self.make(|env, out| unsafe {
            sys::napi_create_buffer_copy(env, len, data, ptr::null_mut(), out)
        })
    }

    pub(crate) fn object(self) -> Result<Value<'s>> {
        // SAFETY: scope contract.
        self.make(|env, out| unsafe { sys::napi_create_object(env, out) })
    }

    pub(crate) fn array(self, items: &[Value<'s>]) -> Result<Value<'s>> {
        // SAFETY: scope contract.
        let array = self.make(|env, out| unsafe {
            sys::napi_create_array_with_length(env, items.len(), out)
        })?;
        for (i, item) in items.iter().enumerate() {
            // SAFETY: scope contract.
            check(unsafe { sys::napi_set_element(self.env, array.raw, i as u32, item.raw) })?;
        }
        Ok(array)
    }

    pub(crate) fn set(self, object: Value<'s>, name: &CStr, value: Value<'s>) -> Result<()> {
        // SAFETY: scope contract; `name` is NUL-terminated.
        check(unsafe {
            sys::napi_set_named_property(self.env, object.raw, name.as_ptr(), value.raw)
        })
    }

    pub(crate) fn set_key(self, object: Value<'s>, key: Value<'s>, value: Value<'s>) -> Result<()> {
        // SAFETY: scope contract.
        check(unsafe { sys::napi_set_property(self.env, object.raw, key.raw, value.raw) })
    }

    /// Defines a property that is neither enumerable nor writable nor configurable.
    pub(crate) fn set_hidden(self, object: Value<'s>, name: &CStr, value: Value<'s>) -> Result<()> {
        let property = sys::napi_property_descriptor {
            utf8name: name.as_ptr(),
            name: ptr::null_mut(),
            method: None,
            getter: None,
            setter: None,
            value: value.raw,
            attributes: sys::PropertyAttributes::default,
            data: ptr::null_mut(),
        };
        // SAFETY: scope contract; one descriptor, which Node-API only reads during the call.
        check(unsafe { sys::napi_define_properties(self.env, object.raw, 1, &raw const property) })
    }

    /// May run JavaScript (getters).
    pub(crate) fn get(self, object: Value<'s>, name: &CStr) -> Result<Value<'s>> {
        // SAFETY: scope contract; `name` is NUL-terminated.
        self.make(|env, out| unsafe {
            sys::napi_get_named_property(env, object.raw, name.as_ptr(), out)
        })
    }

    pub(crate) fn global(self) -> Result<Value<'s>> {
        // SAFETY: scope contract.
        self.make(|env, out| unsafe { sys::napi_get_global(env, out) })
    }

    pub(crate) fn type_of(self, value: Value<'s>) -> Result<sys::napi_valuetype> {
        let mut kind = 0;
        // SAFETY: scope contract.
        check(unsafe { sys::napi_typeof(self.env, value.raw, &raw mut kind) })?;
        Ok(kind)
    }

    pub(crate) fn to_f64(self, value: Value<'s>, what: &str) -> Result<f64> {
        let mut number = 0.0;
        // SAFETY: scope contract.
        match unsafe { sys::napi_get_value_double(self.env, value.raw, &raw mut number) } {
            sys::Status::napi_ok => Ok(number),
            sys::Status::napi_number_expected => {
                Err(Failure::Type(format!("The \"{what}\" argument must be of type number.")))
            }
            other => Err(Failure::Status(other)),
        }
    }

    pub(crate) fn to_bool(self, value: Value<'s>, what: &str) -> Result<bool> {
        let mut bool = false;
        // SAFETY: scope contract.
        match unsafe { sys::napi_get_value_bool(self.env, value.raw, &raw mut bool) } {
            sys::Status::napi_ok => Ok(bool),
            sys::Status::napi_boolean_expected => {
                Err(Failure::Type(format!("The \"{what}\" argument must be of type boolean.")))
            }
            other => Err(Failure::Status(other)),
        }
    }

    pub(crate) fn to_string(self, value: Value<'s>, what: &str) -> Result<String> {
        let mut len = 0;
        // SAFETY: scope contract; a null buffer asks for the length.
        match unsafe {
            sys::napi_get_value_string_utf8(self.env, value.raw, ptr::null_mut(), 0, &raw mut len)
        } {
            sys::Status::napi_ok => {}
            sys::Status::napi_string_expected => {
                let message = format!("The \"{what}\" argument must be of type string.");
                return Err(Failure::Type(message));
            }
            other => return Err(Failure::Status(other)),
        }
        let mut bytes = vec![0u8; len + 1];
        // SAFETY: scope contract; the buffer has `len + 1` bytes, the terminating NUL included.
        check(unsafe {
            sys::napi_get_value_string_utf8(
                self.env,
                value.raw,
                bytes.as_mut_ptr().cast(),
                bytes.len(),
                &raw mut len,
            )
        })?;
        bytes.truncate(len);
        String::from_utf8(bytes).map_err(|_| Failure::Value(format!("\"{what}\" is not UTF-8")))
    }

    /// Writes a string into `out`, in UTF-8 or Latin-1, as far as it goes, and a NUL behind it; how many bytes without that.
    /// `None` when it is no string.
    pub(crate) fn text_into(
        self,
        value: Value<'s>,
        is_latin1: bool,
        out: &mut [u8],
    ) -> Result<Option<usize>> {
        let (data, room, mut len) = (out.as_mut_ptr().cast(), out.len(), 0);
        // SAFETY: scope contract; no more than `room` bytes are written.
        let status = unsafe {
            if is_latin1 {
                sys::napi_get_value_string_latin1(self.env, value.raw, data, room, &raw mut len)
            } else {
                sys::napi_get_value_string_utf8(self.env, value.raw, data, room, &raw mut len)
            }
        };
        if status == sys::Status::napi_string_expected {
            return Ok(None);
        }
        check(status)?;
        Ok(Some(len))
    }

    /// The elements of an array; may run JavaScript (getters).
    pub(crate) fn elements(self, array: Value<'s>, what: &str) -> Result<Vec<Value<'s>>> {
        let mut is_array = false;
        // SAFETY: scope contract.
        check(unsafe { sys::napi_is_array(self.env, array.raw, &raw mut is_array) })?;
        if !is_array {
            return Err(Failure::Type(format!("The \"{what}\" argument must be an Array.")));
        }
        let mut len = 0;
        // SAFETY: scope contract.
        check(unsafe { sys::napi_get_array_length(self.env, array.raw, &raw mut len) })?;
        (0..len)
            .map(|i| {
                // SAFETY: scope contract.
                self.make(|env, out| unsafe { sys::napi_get_element(env, array.raw, i, out) })
            })
            .collect()
    }

    /// The bytes of a `Uint8Array` or `Buffer`: empty when it is detached.
    ///
    /// # Safety
    /// No JavaScript runs while the slice is used, and no other thread writes the memory.
    pub(crate) unsafe fn bytes<'b>(self, value: Value<'s>, what: &str) -> Result<&'b [u8]> {
        // Asked first because `napi_get_buffer_info` aborts the process for anything that is no view.
        let mut is_view = false;
        // SAFETY: scope contract.
        check(unsafe { sys::napi_is_buffer(self.env, value.raw, &raw mut is_view) })?;
        if !is_view {
            return Err(Failure::Type(format!(
                "The \"{what}\" argument must be an instance of Buffer or Uint8Array."
            )));
        }
        let (data, len) = self.buffer_memory(value)?;
        if data.is_null() || len == 0 {
            return Ok(&[]);
        }
        // SAFETY: Node-API gave the memory of a live view; the caller keeps it unchanged.
        Ok(unsafe { std::slice::from_raw_parts(data, len) })
    }

    /// Memory of a `Buffer` or another view: start and length in bytes; 0 when it is detached.
    pub(crate) fn buffer_memory(self, view: Value<'s>) -> Result<(*mut u8, usize)> {
        let (mut data, mut len) = (ptr::null_mut(), 0);
        // SAFETY: scope contract; callers pass views.
        check(unsafe {
            sys::napi_get_buffer_info(self.env, view.raw, &raw mut data, &raw mut len)
        })?;
        Ok((data.cast(), len))
    }

    /// Memory of an `Int32Array`: start and length in elements; null or 0 when it is detached.
    pub(crate) fn int32_array(self, value: Value<'s>) -> Result<(*mut i32, usize)> {
        let mut is_typed = false;
        // SAFETY: scope contract.
        check(unsafe { sys::napi_is_typedarray(self.env, value.raw, &raw mut is_typed) })?;
        let (mut kind, mut len, mut data) = (0, 0, ptr::null_mut());
        let (mut buffer, mut is_unshared) = (ptr::null_mut(), false);
        if is_typed {
            // SAFETY: scope contract; null for what is not asked for is allowed.
            check(unsafe {
                sys::napi_get_typedarray_info(
                    self.env,
                    value.raw,
                    &raw mut kind,
                    &raw mut len,
                    &raw mut data,
                    &raw mut buffer,
                    ptr::null_mut(),
                )
            })?;
            // Shared memory is none that this thread has to itself.
            // SAFETY: scope contract.
            check(unsafe { sys::napi_is_arraybuffer(self.env, buffer, &raw mut is_unshared) })?;
        }
        if !is_unshared || kind != sys::TypedarrayType::int32_array {
            let message = "The \"events\" argument must be an instance of Int32Array, not shared.";
            return Err(Failure::Type(message.to_owned()));
        }
        Ok((data.cast(), len))
    }

    /// Calls a function with `undefined` as `this`. Runs JavaScript: hold no lock and no `RefCell`.
    pub(crate) fn call(self, function: Value<'s>, args: &[Value<'s>]) -> Result<Value<'s>> {
        let this = self.undefined()?;
        let raw: smallvec::SmallVec<[sys::napi_value; 4]> = args.iter().map(|a| a.raw).collect();
        // SAFETY: scope contract; `raw` has `raw.len()` handles.
        self.make(|env, out| unsafe {
            sys::napi_call_function(env, this.raw, function.raw, raw.len(), raw.as_ptr(), out)
        })
    }

    /// Calls a function from outside JavaScript: ticks and promises run afterwards, as after any callback of the loop. Hold
    /// no lock and no `RefCell`.
    pub(crate) fn call_from_loop(self, function: Value<'s>) -> Result<()> {
        let this = self.global()?;
        self.make(|env, out| {
            // SAFETY: scope contract; without an async context of its own the call has that of the loop.
            unsafe {
                sys::napi_make_callback(
                    env,
                    ptr::null_mut(),
                    this.raw,
                    function.raw,
                    0,
                    ptr::null(),
                    out,
                )
            }
        })
        .map(drop)
    }

    /// A reference, strong when `strong`, else one that does not keep the value alive.
    pub(crate) fn reference(self, value: Value<'s>, strong: bool) -> Result<Reference> {
        let mut raw = ptr::null_mut();
        // SAFETY: scope contract.
        check(unsafe {
            sys::napi_create_reference(self.env, value.raw, u32::from(strong), &raw mut raw)
        })?;
        Ok(Reference { raw })
    }

    /// What a reference refers to; `None` when it is gone.
    pub(crate) fn deref(self, reference: &Reference) -> Option<Value<'s>> {
        // SAFETY: scope contract; the reference exists until `release` consumes it.
        let value =
            self.make(|env, out| unsafe { sys::napi_get_reference_value(env, reference.raw, out) });
        value.ok().filter(|value| !value.raw.is_null())
    }

    /// Throws.
    pub(crate) fn throw(self, failure: Failure) {
        if let Ok(error) = self.error(failure) {
            // SAFETY: scope contract.
            unsafe { sys::napi_throw(self.env, error.raw) };
        }
    }

    /// Makes the pending exception an uncaught one: `process.on('uncaughtException')`, or the end of the process.
    /// Nothing when none is pending: a thread that is being terminated runs no handlers.
    pub(crate) fn raise_uncaught(self) {
        let mut pending = false;
        // SAFETY: scope contract.
        unsafe { sys::napi_is_exception_pending(self.env, &raw mut pending) };
        if !pending {
            return;
        }
        let exception = self.make(|env, out| {
            // SAFETY: scope contract.
            unsafe { sys::napi_get_and_clear_last_exception(env, out) }
        });
        if let Ok(exception) = exception {
            // SAFETY: scope contract.
            unsafe { sys::napi_fatal_exception(self.env, exception.raw) };
        }
    }

    /// The exception object; `Err` when one is pending already (or none can be made, which is then pending, too).
    fn error(self, failure: Failure) -> Result<Value<'s>> {
        // Which constructor; a function pointer would have another ABI where symbols are loaded at run time.
        enum Class {
            Error,
            Type,
            Range,
        }
        let make = |class: Class, code: &str, message: &str| {
            let (code, message) = (self.string(code)?.raw, self.string(message)?.raw);
            // SAFETY: scope contract.
            self.make(|env, out| unsafe {
                match class {
                    Class::Error => sys::napi_create_error(env, code, message, out),
                    Class::Type => sys::napi_create_type_error(env, code, message, out),
                    Class::Range => sys::napi_create_range_error(env, code, message, out),
                }
            })
        };
        match failure {
            Failure::Pending => Err(Failure::Pending),
            Failure::Type(message) => make(Class::Type, "ERR_INVALID_ARG_TYPE", &message),
            Failure::Value(message) => make(Class::Range, "ERR_OUT_OF_RANGE", &message),
            Failure::System(error) => {
                let text = format!("{} {}: {}", error.syscall, error.code, error.message);
                let object = make(Class::Error, &error.code, &text)?;
                self.set(object, c"errno", self.int(error.errno)?)?;
                self.set(object, c"syscall", self.string(error.syscall)?)?;
                Ok(object)
            }
            Failure::Status(status) => {
                let message = format!("Node-API call failed with status {status}");
                make(Class::Error, "ERR_NAPI", &message)
            }
        }
    }
}

/// A reference to a JavaScript value; released by hand, because that takes the environment.
pub(crate) struct Reference {
    raw: sys::napi_ref,
}

impl Reference {
    /// Makes a weak reference strong, or a strong one weak.
    ///
    /// # Safety
    /// On the thread of `env`, which made the reference and is alive.
    pub(crate) unsafe fn set_strong(&self, env: sys::napi_env, strong: bool) {
        let mut count = 0;
        // SAFETY: the caller's contract; the reference exists until `release` consumes it.
        unsafe {
            if strong {
                sys::napi_reference_ref(env, self.raw, &raw mut count);
            } else {
                sys::napi_reference_unref(env, self.raw, &raw mut count);
            }
        }
    }

    /// Deletes it.
    ///
    /// # Safety
    /// On the thread of `env`, which made the reference and is alive (its cleanup hooks and finalisers count).
    pub(crate) unsafe fn release(self, env: sys::napi_env) {
        // SAFETY: the caller's contract; `self` is consumed, so it is deleted once.
        unsafe { sys::napi_delete_reference(env, self.raw) };
    }
}

/// What a method gives back.
pub(crate) trait IntoJs: Sized {
    /// As a JavaScript value.
    fn into_js<'s>(self, js: Js<'s>) -> Result<Value<'s>>;
    /// What to answer after a panic.
    fn after_panic() -> Self;
}

impl IntoJs for i32 {
    fn into_js<'s>(self, js: Js<'s>) -> Result<Value<'s>> {
        js.int(self)
    }
    fn after_panic() -> Self {
        Errno::EIO.number()
    }
}

impl IntoJs for f64 {
    fn into_js<'s>(self, js: Js<'s>) -> Result<Value<'s>> {
        js.number(self)
    }
    fn after_panic() -> Self {
        f64::from(Errno::EIO.number())
    }
}

impl IntoJs for () {
    fn into_js<'s>(self, js: Js<'s>) -> Result<Value<'s>> {
        js.undefined()
    }
    fn after_panic() -> Self {}
}

/// A value, or null after a panic.
pub(crate) struct OrNull<'v>(pub(crate) Option<Value<'v>>);

impl IntoJs for OrNull<'_> {
    fn into_js<'s>(self, js: Js<'s>) -> Result<Value<'s>> {
        match self.0 {
            // SAFETY: methods run in one scope: the value was made in it, and it is returned from it.
            Some(value) => Ok(unsafe { Value::from_raw(value.raw()) }),
            None => js.null(),
        }
    }
    fn after_panic() -> Self {
        Self(None)
    }
}

/// What a callback was called with.
pub(crate) struct Called<'s, const N: usize> {
    pub(crate) js: Js<'s>,
    /// Its receiver.
    pub(crate) this: Value<'s>,
    /// What its function was made with; null if nothing.
    pub(crate) data: *mut c_void,
    /// Its arguments; missing ones are undefined.
    pub(crate) args: [Value<'s>; N],
}

/// What a callback was called with.
///
/// # Safety
/// `env` and `info` are those that Node-API gave the running callback.
pub(crate) unsafe fn callback_info<'s, const N: usize>(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> Result<Called<'s, N>> {
    let (mut args, mut argc) = ([ptr::null_mut(); N], N);
    let (mut this, mut data) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: the caller's contract; `args` has room for `argc` handles, missing ones become undefined.
    check(unsafe {
        sys::napi_get_cb_info(
            env,
            info,
            &raw mut argc,
            args.as_mut_ptr(),
            &raw mut this,
            &raw mut data,
        )
    })?;
    // SAFETY: a callback runs on its environment's thread within a handle scope, and so do the handles it was given.
    Ok(unsafe {
        Called {
            js: Js::from_raw(env),
            this: Value::from_raw(this),
            data,
            args: args.map(|raw| Value::from_raw(raw)),
        }
    })
}

/// The pointer that `object` wraps; null when it wraps none.
pub(crate) fn unwrap<T>(js: Js<'_>, object: Value<'_>) -> *const T {
    let mut data: *mut c_void = ptr::null_mut();
    // SAFETY: scope contract.
    unsafe { sys::napi_unwrap(js.env, object.raw, &raw mut data) };
    data.cast_const().cast()
}

/// Runs `f`; what a panic in it says.
pub(crate) fn caught<T>(f: impl FnOnce() -> T) -> std::result::Result<T, String> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        // A payload may panic again when dropped.
        std::mem::forget(panic);
        text.unwrap_or_else(|| "panic".to_owned())
    })
}
