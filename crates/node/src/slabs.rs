//! Slabs: the memory that received bytes are copied into and that JavaScript then sees.
//!
//! A bulk slab is 1 MiB of native memory that JavaScript has as one external buffer; chunks are views on it. Fresh
//! memory costs more (page faults) than the whole TCP path, so a slab is used again, but only after its buffer's
//! finaliser ran: then nothing in JavaScript can see it any more. Until then what lies below its mark is never written.
//! At most `MAX_EXTERNAL` such slabs exist; while all are held, and where external buffers are forbidden, chunks go to
//! buffers that V8 allocates and collects on its own, small enough that what is kept of them pins little. Small chunks
//! always go there, for the same reason.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::sync::{Arc, Mutex, PoisonError};

use napi::sys;

use crate::js::{Js, Reference, Result, Value, check};
use crate::pump::{Class, Memory};

/// Bytes of an external slab.
const SLAB: usize = 1 << 20;

/// Most external slabs that exist, those that wait to be used again included.
const MAX_EXTERNAL: usize = 32;

/// Bytes of a slab that V8 allocates for chunks that would go to an external one.
const BULK_V8: usize = 64 << 10;

/// Bytes of a slab for small chunks.
const SMALL: usize = 16 << 10;

/// What is left at the end of a bulk slab is used for a part of a chunk only if it is this much.
const WORTH: usize = 16 << 10;

/// `napi_no_external_buffers_allowed`, which napi-sys has no name for.
const NO_EXTERNAL_BUFFERS: sys::napi_status = 22;

/// Native memory of one external slab.
struct Block {
    start: NonNull<u8>,
}

// SAFETY: it owns its memory, which nothing else refers to while the `Block` is at rest in the pool; while JavaScript
// sees the memory, the `Block` lies in the finaliser's hint and is not used.
unsafe impl Send for Block {}

impl Block {
    /// Page-aligned, so that a slab's pages are its own.
    const LAYOUT: Layout = match Layout::from_size_align(SLAB, 4096) {
        Ok(layout) => layout,
        Err(_) => panic!("1 MiB in pages is a layout"),
    };

    fn new() -> Self {
        // SAFETY: the layout is not empty.
        let start = unsafe { alloc(Self::LAYOUT) };
        let Some(start) = NonNull::new(start) else { handle_alloc_error(Self::LAYOUT) };
        Self { start }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout in `new`, freed once.
        unsafe { dealloc(self.start.as_ptr(), Self::LAYOUT) };
    }
}

/// Blocks that are free, and how many exist. Outlives the stack: finalisers come when they come.
#[derive(Default)]
struct Pool {
    free: Vec<Block>,
    /// Blocks that JavaScript has.
    out: usize,
    /// No block is used again.
    closed: bool,
}

type SharedPool = Arc<Mutex<Pool>>;

/// What a slab's finaliser gets.
struct Hint {
    pool: SharedPool,
    block: Block,
}

/// The finaliser of a slab: V8 has dropped the last view on it, or its environment is gone.
unsafe extern "C" fn finalize(_: sys::napi_env, _: *mut c_void, hint: *mut c_void) {
    // SAFETY: made by `Box::into_raw` in `Slabs::external`; Node-API calls a finaliser once.
    let Hint { pool, block } = *unsafe { Box::from_raw(hint.cast::<Hint>()) };
    let mut pool = pool.lock().unwrap_or_else(PoisonError::into_inner);
    pool.out -= 1;
    if !pool.closed {
        pool.free.push(block);
    }
}

/// The slab that is being filled.
struct Current {
    index: i32,
    /// The buffer, held so that neither it nor its memory goes away.
    buffer: Reference,
    start: NonNull<u8>,
    len: usize,
    used: usize,
}

/// The slabs of a stack.
pub(crate) struct Slabs {
    pool: SharedPool,
    small: Option<Current>,
    bulk: Option<Current>,
    /// Slabs that records may name still, full ones; held until the next drain.
    named: Vec<(i32, Reference)>,
    next_index: i32,
    forbidden: bool,
}

impl Slabs {
    pub(crate) fn new() -> Self {
        Self {
            pool: SharedPool::default(),
            small: None,
            bulk: None,
            named: Vec::new(),
            next_index: 0,
            forbidden: false,
        }
    }

    fn current(&mut self, class: Class) -> &mut Option<Current> {
        match class {
            Class::Small => &mut self.small,
            Class::Bulk => &mut self.bulk,
        }
    }

    /// Begins a drain: what the records of the last one named is JavaScript's own to keep or drop from here on.
    pub(crate) fn begin(&mut self, js: Js<'_>) {
        for (_, buffer) in self.named.drain(..) {
            // SAFETY: on the environment's thread, which `js` proves.
            unsafe { buffer.release(js.env()) };
        }
        for current in [&mut self.small, &mut self.bulk] {
            // JavaScript may have transferred a buffer away (`ArrayBuffer.prototype.transfer`): its memory is then
            // somebody else's.
            if let Some(slab) = current
                && !slab.is_attached(js)
                && let Some(slab) = current.take()
            {
                // SAFETY: as above.
                unsafe { slab.buffer.release(js.env()) };
            }
        }
    }

    /// Gets a new slab. Not while holding a lock: V8 may collect garbage.
    pub(crate) fn provide(&mut self, js: Js<'_>, class: Class) -> Result<()> {
        let full = self.current(class).take();
        self.named.extend(full.map(|slab| (slab.index, slab.buffer)));
        let (buffer, start, len) = match class {
            Class::Small => v8_buffer(js, SMALL)?,
            Class::Bulk => match self.external(js)? {
                Some(slab) => slab,
                None => v8_buffer(js, BULK_V8)?,
            },
        };
        let buffer = js.reference(buffer, true)?;
        self.next_index = self.next_index.checked_add(1).unwrap_or(1);
        let index = self.next_index;
        *self.current(class) = Some(Current { index, buffer, start, len, used: 0 });
        Ok(())
    }

    /// An external slab, if one may be had.
    fn external<'s>(&mut self, js: Js<'s>) -> Result<Option<(Value<'s>, NonNull<u8>, usize)>> {
        if self.forbidden {
            return Ok(None);
        }
        let block = {
            let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
            let block = pool.free.pop();
            if block.is_none() && pool.out >= MAX_EXTERNAL {
                return Ok(None);
            }
            pool.out += 1;
            block
        };
        let block = block.unwrap_or_else(Block::new);
        let start = block.start;
        let hint = Box::into_raw(Box::new(Hint { pool: Arc::clone(&self.pool), block }));
        let mut raw = ptr::null_mut();
        // SAFETY: `js` is valid; `start` points to SLAB bytes that live until `finalize` gets `hint`, and nothing but
        // this slab's `Current` writes them meanwhile.
        let status = unsafe {
            sys::napi_create_external_buffer(
                js.env(),
                SLAB,
                start.as_ptr().cast(),
                Some(finalize),
                hint.cast(),
                &raw mut raw,
            )
        };
        if status == sys::Status::napi_ok {
            // SAFETY: Node-API has just made it in the scope of `js`.
            return Ok(Some((unsafe { Value::from_raw(raw) }, start, SLAB)));
        }
        // SAFETY: the call failed, so the finaliser was not taken over and will not run; the hint is ours again, and
        // nothing refers to its block.
        unsafe { finalize(js.env(), ptr::null_mut(), hint.cast()) };
        if status == NO_EXTERNAL_BUFFERS {
            self.forbidden = true;
            self.pool.lock().unwrap_or_else(PoisonError::into_inner).free.clear();
            return Ok(None);
        }
        check(status).map(|()| None)
    }

    /// The buffer of a slab that records named.
    pub(crate) fn buffer<'s>(&self, js: Js<'s>, index: i32) -> Option<Value<'s>> {
        let current = [&self.bulk, &self.small].into_iter().flatten();
        let current = current.map(|slab| (slab.index, &slab.buffer));
        let named = self.named.iter().map(|(index, buffer)| (*index, buffer));
        let (_, buffer) = current.chain(named).find(|(i, _)| *i == index)?;
        js.deref(buffer)
    }

    /// Whether memory is held for the next chunk.
    pub(crate) fn holds(&self) -> bool {
        self.small.is_some() || self.bulk.is_some()
    }

    /// Lets go of what is held for the next chunk. Its buffers stay until the next `begin`.
    pub(crate) fn rest(&mut self) {
        for class in [Class::Small, Class::Bulk] {
            let slab = self.current(class).take();
            self.named.extend(slab.map(|slab| (slab.index, slab.buffer)));
        }
        self.pool.lock().unwrap_or_else(PoisonError::into_inner).free = Vec::new();
    }

    /// Lets go of everything. What JavaScript holds stays valid until it drops it.
    ///
    /// # Safety
    /// On the thread of `env`, which is alive (its cleanup hooks and finalisers count).
    pub(crate) unsafe fn close(&mut self, env: sys::napi_env) {
        self.rest();
        for (_, buffer) in self.named.drain(..) {
            // SAFETY: the caller's contract.
            unsafe { buffer.release(env) };
        }
        self.pool.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
    }
}

impl Memory for Slabs {
    fn spare(&mut self, class: Class, len: usize) -> Option<&mut [u8]> {
        let slab = self.current(class).as_mut()?;
        let left = slab.len - slab.used;
        let fits = left >= len || (class == Class::Bulk && left >= WORTH);
        // SAFETY: the range lies in the slab, above its mark: no record ever named it, so JavaScript has no business
        // there, and it does not run while the slice lives (the pump calls nothing of Node-API). The buffer is held by
        // `slab.buffer` and was attached when the drain began.
        fits.then(|| unsafe {
            std::slice::from_raw_parts_mut(slab.start.as_ptr().add(slab.used), left)
        })
    }

    fn take(&mut self, class: Class, len: usize) -> (i32, i32) {
        let Some(slab) = self.current(class).as_mut() else { return (0, 0) };
        let offset = slab.used;
        // The next chunk begins on a new cache line in a bulk slab, on a multiple of 8 in a small one.
        let align = if class == Class::Bulk { 64 } else { 8 };
        slab.used = (offset + len).next_multiple_of(align).min(slab.len);
        (slab.index, offset as i32)
    }
}

impl Current {
    fn is_attached(&self, js: Js<'_>) -> bool {
        let Some(buffer) = js.deref(&self.buffer) else { return false };
        js.buffer_memory(buffer).is_ok_and(|at| at == (self.start.as_ptr(), self.len))
    }
}

/// A buffer that V8 allocates and collects.
fn v8_buffer<'s>(js: Js<'s>, len: usize) -> Result<(Value<'s>, NonNull<u8>, usize)> {
    let (mut raw, mut data) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: `js` is valid; the results are written to locals.
    check(unsafe { sys::napi_create_buffer(js.env(), len, &raw mut data, &raw mut raw) })?;
    // SAFETY: Node-API has just made it in the scope of `js`.
    let buffer = unsafe { Value::from_raw(raw) };
    match NonNull::new(data.cast::<u8>()) {
        Some(start) => Ok((buffer, start, len)),
        None => check(sys::Status::napi_generic_failure).map(|()| unreachable!("a failure")),
    }
}
