//! libuv's loop of the environment as a driver of the stack: it polls the devices' descriptors and calls back on the
//! JavaScript thread, where the frames are handled and reported in the same turn, without a hand-over between threads.
//!
//! libuv is Node's own copy. Its functions are looked up by name in the running program, so that a runtime without them
//! (or without a loop of libuv's) is found out and the packet thread drives alone.

use std::rc::Weak;

use crate::busy_poll::BusyPoll;
use crate::js::Js;
use crate::stack::Stack;

/// Who is to drive a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum Drive {
    /// The event loop while it keeps up, where it can.
    #[default]
    Auto,
    /// The same; an error where it cannot.
    Loop,
    /// The packet thread alone.
    Thread,
}

/// How a stack is driven.
#[derive(Clone, Debug)]
pub(crate) struct Driving {
    pub(crate) drive: Drive,
    /// Whether the loop looks for more before it goes to sleep.
    pub(crate) busy_poll: BusyPoll,
}

/// The polls of one stack. Closed when dropped; on the stack's thread.
pub(crate) struct EventLoop {
    #[cfg(target_os = "linux")]
    inner: linux::Polls,
    #[cfg(not(target_os = "linux"))]
    never: std::convert::Infallible,
}

impl EventLoop {
    /// The loop of the environment, if there is one and its functions are found; it calls before it goes to sleep if it
    /// `polls_busily`.
    pub(crate) fn find(js: Js<'_>, stack: Weak<Stack>, polls_busily: bool) -> Option<Self> {
        #[cfg(target_os = "linux")]
        return linux::Polls::new(js, stack, polls_busily).map(|inner| Self { inner });
        #[cfg(not(target_os = "linux"))]
        {
            let _ = (js, stack, polls_busily);
            None
        }
    }

    /// Polls these descriptors, each of a lane, and no others; whether libuv took them all. None is polled when not.
    #[cfg(unix)]
    pub(crate) fn set(&mut self, descriptors: Vec<(usize, std::os::fd::OwnedFd)>) -> bool {
        #[cfg(target_os = "linux")]
        return self.inner.set(descriptors);
        #[cfg(not(target_os = "linux"))]
        {
            let _ = descriptors;
            match self.never {}
        }
    }

    /// Polls nothing; the descriptors are closed when this returns.
    pub(crate) fn clear(&mut self) {
        #[cfg(target_os = "linux")]
        self.inner.clear();
        #[cfg(not(target_os = "linux"))]
        match self.never {}
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::{CStr, c_int, c_void};
    use std::mem::transmute;
    use std::os::fd::{AsRawFd, OwnedFd};
    use std::ptr;
    use std::rc::Weak;
    use std::time::{Duration, Instant};

    use napi::sys;

    use crate::js::{Js, caught, check};
    use crate::stack::Stack;

    /// `UV_POLL` of `uv_handle_type`, part of libuv's ABI since 1.0.
    const UV_POLL: c_int = 8;

    /// `UV_PREPARE`, likewise.
    const UV_PREPARE: c_int = 9;

    /// `UV_READABLE` of `uv_poll_event`.
    const UV_READABLE: c_int = 1;

    type Handle = *mut c_void;
    type PollCallback = unsafe extern "C" fn(Handle, c_int, c_int);
    type PrepareCallback = unsafe extern "C" fn(Handle);
    type CloseCallback = unsafe extern "C" fn(Handle);

    /// The functions of libuv that are used here (uv.h).
    #[derive(Clone, Copy)]
    struct Uv {
        handle_size: unsafe extern "C" fn(c_int) -> usize,
        poll_init: unsafe extern "C" fn(*mut sys::uv_loop_s, Handle, c_int) -> c_int,
        poll_start: unsafe extern "C" fn(Handle, c_int, PollCallback) -> c_int,
        poll_stop: unsafe extern "C" fn(Handle) -> c_int,
        prepare_init: unsafe extern "C" fn(*mut sys::uv_loop_s, Handle) -> c_int,
        prepare_start: unsafe extern "C" fn(Handle, PrepareCallback) -> c_int,
        backend_fd: unsafe extern "C" fn(*const sys::uv_loop_s) -> c_int,
        backend_timeout: unsafe extern "C" fn(*const sys::uv_loop_s) -> c_int,
        unref: unsafe extern "C" fn(Handle),
        close: unsafe extern "C" fn(Handle, Option<CloseCallback>),
    }

    impl Uv {
        #[allow(clippy::missing_transmute_annotations)] // the fields have the types
        fn find() -> Option<Self> {
            let symbol = |name: &CStr| {
                // SAFETY: a name that ends with NUL; the handle is one that dlsym takes.
                let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
                (!found.is_null()).then_some(found)
            };
            // SAFETY: functions of these names have these signatures in every libuv 1.x (uv.h), from which Node exports
            // them to addons; a pointer to a function has the size of `*mut c_void` on Linux.
            unsafe {
                Some(Self {
                    handle_size: transmute::<Handle, _>(symbol(c"uv_handle_size")?),
                    poll_init: transmute::<Handle, _>(symbol(c"uv_poll_init")?),
                    poll_start: transmute::<Handle, _>(symbol(c"uv_poll_start")?),
                    poll_stop: transmute::<Handle, _>(symbol(c"uv_poll_stop")?),
                    prepare_init: transmute::<Handle, _>(symbol(c"uv_prepare_init")?),
                    prepare_start: transmute::<Handle, _>(symbol(c"uv_prepare_start")?),
                    backend_fd: transmute::<Handle, _>(symbol(c"uv_backend_fd")?),
                    backend_timeout: transmute::<Handle, _>(symbol(c"uv_backend_timeout")?),
                    unref: transmute::<Handle, _>(symbol(c"uv_unref")?),
                    close: transmute::<Handle, _>(symbol(c"uv_close")?),
                })
            }
        }
    }

    /// What a handle's callback gets: the handle's `data`. Freed when libuv is done with the handle.
    struct Data {
        env: sys::napi_env,
        stack: Weak<Stack>,
        /// Whose descriptor it is.
        lane: usize,
        uv: Uv,
        looped: *mut sys::uv_loop_s,
        /// The `uv_poll_t` or `uv_prepare_t`, of the size that libuv says, in memory aligned for anything.
        memory: Box<[u128]>,
    }

    /// One descriptor that is polled.
    struct Poll {
        handle: Handle,
        /// A duplicate, so that a device that fails elsewhere cannot pull a descriptor from under libuv.
        descriptor: OwnedFd,
    }

    pub(super) struct Polls {
        uv: Uv,
        looped: *mut sys::uv_loop_s,
        env: sys::napi_env,
        stack: Weak<Stack>,
        polls: Vec<Poll>,
        polls_busily: bool,
        /// What is called before the loop goes to sleep, while descriptors are polled.
        prepare: Option<Handle>,
    }

    impl Polls {
        pub(super) fn new(js: Js<'_>, stack: Weak<Stack>, polls_busily: bool) -> Option<Self> {
            let uv = Uv::find()?;
            let mut looped = ptr::null_mut();
            // SAFETY: `js` is valid; the result goes to a local.
            check(unsafe { sys::napi_get_uv_event_loop(js.env(), &raw mut looped) }).ok()?;
            (!looped.is_null()).then(|| Self {
                uv,
                looped,
                env: js.env(),
                stack,
                polls: Vec::new(),
                polls_busily,
                prepare: None,
            })
        }

        pub(super) fn set(&mut self, descriptors: Vec<(usize, OwnedFd)>) -> bool {
            self.clear();
            for (lane, descriptor) in descriptors {
                if !self.add(lane, descriptor) {
                    self.clear();
                    return false;
                }
            }
            if self.polls_busily && !self.polls.is_empty() {
                self.add_prepare();
            }
            true
        }

        /// Memory for a handle of a type, and what its callbacks get.
        fn data(&self, kind: c_int, lane: usize) -> Data {
            // SAFETY: a type of handle that every libuv has.
            let size = unsafe { (self.uv.handle_size)(kind) };
            let memory = vec![0u128; size.div_ceil(size_of::<u128>())].into_boxed_slice();
            let (uv, env, stack, looped) = (self.uv, self.env, self.stack.clone(), self.looped);
            Data { env, stack, lane, uv, looped, memory }
        }

        /// Has the loop call before it goes to sleep.
        fn add_prepare(&mut self) {
            let (uv, mut data) = (self.uv, Box::new(self.data(UV_PREPARE, 0)));
            let handle: Handle = data.memory.as_mut_ptr().cast();
            // SAFETY: this is the loop's thread; the memory has the size that libuv asked for, does not move, and is freed
            // in the callback of `uv_close` only. These calls cannot fail on a new handle (libuv's documentation). `data`
            // is the handle's first field, see `add`.
            unsafe {
                (uv.prepare_init)(self.looped, handle);
                *handle.cast::<*mut Data>() = Box::into_raw(data);
                (uv.unref)(handle);
                (uv.prepare_start)(handle, on_prepare);
            }
            self.prepare = Some(handle);
        }

        fn add(&mut self, lane: usize, descriptor: OwnedFd) -> bool {
            let (uv, mut data) = (self.uv, Box::new(self.data(UV_POLL, lane)));
            let handle: Handle = data.memory.as_mut_ptr().cast();
            // SAFETY: this is the loop's thread (it is the environment's), which runs as long as the environment; the
            // memory has the size that libuv asked for and does not move; the descriptor is open and polled once.
            if unsafe { (uv.poll_init)(self.looped, handle, descriptor.as_raw_fd()) } != 0 {
                // It was not made part of the loop, so its memory goes away like any other.
                return false;
            }
            // From here on libuv uses the memory until the callback of `uv_close`.
            let data = Box::into_raw(data);
            self.polls.push(Poll { handle, descriptor });
            // SAFETY: the handle was made just now. Its first field is `void* data`, for the user of libuv (uv.h,
            // `UV_HANDLE_FIELDS`), where the callbacks find what is put there.
            unsafe {
                *handle.cast::<*mut Data>() = data;
                (uv.unref)(handle);
                (uv.poll_start)(handle, UV_READABLE, on_readable) == 0
            }
        }

        pub(super) fn clear(&mut self) {
            for Poll { handle, descriptor } in self.polls.drain(..) {
                // SAFETY: the handle is open, on its loop's thread. `uv_poll_stop` takes the descriptor out of the loop's
                // set at once, so that it can be closed; no callback but that of `uv_close` follows.
                unsafe {
                    (self.uv.poll_stop)(handle);
                    (self.uv.close)(handle, Some(on_closed));
                }
                drop(descriptor);
            }
            if let Some(handle) = self.prepare.take() {
                // SAFETY: the handle is open, on its loop's thread.
                unsafe { (self.uv.close)(handle, Some(on_closed)) };
            }
        }
    }

    impl Drop for Polls {
        fn drop(&mut self) {
            self.clear();
        }
    }

    /// libuv calls: a descriptor is readable, or in error.
    unsafe extern "C" fn on_readable(handle: Handle, _status: c_int, _events: c_int) {
        // SAFETY: put there by `add`, freed by `on_closed`, after which no callback comes. What the call below closes is
        // freed in a later phase of the loop.
        let data = unsafe { &**handle.cast::<*mut Data>() };
        if let Some(stack) = data.stack.upgrade() {
            // SAFETY: the environment's thread, as every callback of its loop; the environment lives, or its hook would
            // have closed the stack.
            unsafe { crate::stack::turn_on_loop(data.env, &stack, data.lane) };
        }
    }

    /// libuv calls: the loop is about to wait for something.
    unsafe extern "C" fn on_prepare(handle: Handle) {
        // SAFETY: put there by `add_prepare`, freed by `on_closed`.
        let data = unsafe { &**handle.cast::<*mut Data>() };
        if let Some(stack) = data.stack.upgrade() {
            stack.busy_poll.borrow_mut().before_sleep(|window| {
                // SAFETY: the loop whose callback this is, on its thread.
                unsafe { look(data.uv, data.looped, window) }
            });
        }
    }

    /// Waits for any of the loop's descriptors without sleeping, for at most `window`; whether one is ready. Nothing if the
    /// loop is not going to sleep.
    ///
    /// # Safety
    /// On the loop's thread, the loop alive.
    unsafe fn look(uv: Uv, looped: *mut sys::uv_loop_s, window: Duration) -> Option<bool> {
        // SAFETY: the caller's contract.
        let (fd, timeout) = unsafe { ((uv.backend_fd)(looped), (uv.backend_timeout)(looped)) };
        if timeout == 0 {
            return None;
        }
        let began = Instant::now();
        let mut backend = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        loop {
            // SAFETY: one `pollfd`, which lives.
            if unsafe { libc::poll(&raw mut backend, 1, 0) } != 0 {
                return Some(true);
            }
            // A timer is a millisecond away at least, the longest window.
            if began.elapsed() >= window {
                return Some(false);
            }
        }
    }

    /// libuv has let go of a handle.
    unsafe extern "C" fn on_closed(handle: Handle) {
        // SAFETY: made by `Box::into_raw` in `add`; libuv calls this once, last.
        let data = unsafe { Box::from_raw(*handle.cast::<*mut Data>()) };
        let _ = caught(move || drop(data));
    }
}
