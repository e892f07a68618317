//! Slabs: the memory with received bytes that JavaScript sees. Three kinds, each one `Buffer` whose chunks are views on it.
//!
//! **Receive slabs** of the stack itself (`usernet_manager::SharedSlab`): large pieces are not copied at all. JavaScript gets
//! the whole slab as an external buffer when the first piece of it is reported; the slab is filled again when that buffer's
//! finaliser ran and nothing in the stack refers to it either.
//!
//! **External slabs** for chunks that are copied together from smaller pieces, or from memory that is none of the stack's: 1
//! MiB of native memory, used again only after its buffer's finaliser ran. Fresh memory costs more (page faults) than the
//! whole TCP path.
//!
//! Of both together JavaScript has at most `MAX_EXTERNAL`; while all are held, and where external buffers are forbidden,
//! chunks are copied to buffers that **V8 allocates** and collects on its own, small enough that what is kept of them pins
//! little. Small chunks always go there, for the same reason.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::sync::{Arc, Mutex, PoisonError};

use napi::sys;

use usernet_core::Payload;
use usernet_manager::SharedSlab;

use crate::js::{Js, Reference, Result, Value, check};
use crate::pump::{Class, Memory, Show, Sight};

/// Bytes of an external slab.
pub(crate) const SLAB: usize = 1 << 20;

/// Most external buffers that JavaScript has.
const MAX_EXTERNAL: usize = 40;

/// From so many on V8 is asked to look for dropped ones, some before there may be no more: it takes a turn of the event loop
/// until a finaliser comes. So many are what its young generation may hold of external memory (32 MiB) before an allocation
/// of its own collects it.
const PLENTY: usize = 32;

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

/// Blocks that are free, and how many external buffers exist. Outlives the stack: finalisers come when they come.
#[derive(Default)]
struct Pool {
    free: Vec<Block>,
    /// External buffers that JavaScript has.
    out: usize,
    /// Receive slabs whose buffers are gone.
    gone: Vec<i32>,
    /// No block is used again.
    closed: bool,
}

type SharedPool = Arc<Mutex<Pool>>;

/// What keeps the memory of an external buffer.
enum Keep {
    Block(Block),
    /// A receive slab, and the number that records have of it.
    Receive(SharedSlab, i32),
}

impl Keep {
    fn memory(&self) -> (NonNull<u8>, usize) {
        match self {
            Self::Block(block) => (block.start, SLAB),
            Self::Receive(slab, _) => (slab.start(), slab.capacity()),
        }
    }
}

/// What the finaliser of an external buffer gets.
struct Hint {
    pool: SharedPool,
    keep: Keep,
}

/// The finaliser of an external buffer: V8 has dropped the last view on it, or its environment is gone.
unsafe extern "C" fn finalize(_: sys::napi_env, _: *mut c_void, hint: *mut c_void) {
    // SAFETY: made by `Box::into_raw` in `Slabs::external`; Node-API calls a finaliser once.
    let Hint { pool, keep } = *unsafe { Box::from_raw(hint.cast::<Hint>()) };
    let mut pool = pool.lock().unwrap_or_else(PoisonError::into_inner);
    pool.out -= 1;
    if pool.closed {
        return;
    }
    match keep {
        Keep::Block(block) => pool.free.push(block),
        // The stack finds out by itself that it has the only reference again.
        Keep::Receive(_, index) => pool.gone.push(index),
    }
}

/// A receive slab that JavaScript sees, or saw until a moment ago.
struct Shown {
    index: i32,
    /// Where its memory begins, which is what it is known by.
    start: NonNull<u8>,
    /// Its buffer. None once JavaScript has detached it, or dropped it but for views on it: then nothing of the slab can be
    /// named until the finaliser ran.
    buffer: Option<Reference>,
    /// The reference is strong: records may name it.
    strong: bool,
    /// Records of this drain, or of the last one, name it.
    named: bool,
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

/// Bytes that JavaScript got.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Received {
    /// That were copied to a slab.
    pub(crate) copied: u64,
    /// That lie where the device was read into.
    pub(crate) uncopied: u64,
}

/// The slabs of a stack.
pub(crate) struct Slabs {
    pool: SharedPool,
    small: Option<Current>,
    bulk: Option<Current>,
    shown: Vec<Shown>,
    /// What is to be shown next.
    to_show: Option<SharedSlab>,
    /// Slabs that records may name still, full ones; held until the next drain.
    named: Vec<(i32, Reference)>,
    next_index: i32,
    forbidden: bool,
    received: Received,
}

impl Slabs {
    /// `external`: whether JavaScript may get external buffers, where the runtime allows them.
    pub(crate) fn new(external: bool) -> Self {
        Self {
            pool: SharedPool::default(),
            small: None,
            bulk: None,
            shown: Vec::new(),
            to_show: None,
            named: Vec::new(),
            next_index: 0,
            forbidden: !external,
            received: Received::default(),
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
        self.begin_shown(js);
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

    /// What the last drain did not name need not be held; JavaScript may have dropped or detached some of it.
    fn begin_shown(&mut self, js: Js<'_>) {
        if self.shown.is_empty() {
            return;
        }
        let gone = {
            let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut pool.gone)
        };
        for index in gone {
            if let Some(at) = self.shown.iter().position(|shown| shown.index == index) {
                self.shown.swap_remove(at).release(js);
            }
        }
        for shown in &mut self.shown {
            if !std::mem::take(&mut shown.named) {
                shown.hold(js, false);
            } else if !shown.is_attached(js) {
                shown.forget(js);
            }
        }
    }

    /// Shows the receive slab that `sight` was asked for last to JavaScript, if it may be. Not while holding a lock.
    pub(crate) fn show(&mut self, js: Js<'_>) -> Result<()> {
        let Some(slab) = self.to_show.take() else { return Ok(()) };
        let start = slab.start();
        if let Some(shown) = self.shown.iter_mut().find(|shown| shown.start == start) {
            if shown.is_attached(js) {
                shown.hold(js, true);
            } else {
                shown.forget(js);
            }
            return Ok(());
        }
        if self.pool.lock().unwrap_or_else(PoisonError::into_inner).out >= PLENTY {
            // An allocation of V8's own, which is what makes it count.
            v8_buffer(js, 1)?;
        }
        let index = self.next_index();
        if let Some(buffer) = self.external(js, Keep::Receive(slab, index))? {
            let buffer = Some(js.reference(buffer, true)?);
            self.shown.push(Shown { index, start, buffer, strong: true, named: true });
        }
        Ok(())
    }

    fn next_index(&mut self) -> i32 {
        self.next_index = self.next_index.checked_add(1).unwrap_or(1);
        self.next_index
    }

    /// Whether JavaScript may have one more external buffer.
    fn may_have_external(&self) -> bool {
        !self.forbidden
            && self.pool.lock().unwrap_or_else(PoisonError::into_inner).out < MAX_EXTERNAL
    }

    /// Gets a new slab. Not while holding a lock: V8 may collect garbage.
    pub(crate) fn provide(&mut self, js: Js<'_>, class: Class) -> Result<()> {
        let full = self.current(class).take();
        self.named.extend(full.map(|slab| (slab.index, slab.buffer)));
        let (buffer, start, len) = match class {
            Class::Small => v8_buffer(js, SMALL)?,
            Class::Bulk => match self.block(js)? {
                Some(slab) => slab,
                None => v8_buffer(js, BULK_V8)?,
            },
        };
        let buffer = js.reference(buffer, true)?;
        let index = self.next_index();
        *self.current(class) = Some(Current { index, buffer, start, len, used: 0 });
        Ok(())
    }

    /// An external slab, if one may be had.
    fn block<'s>(&mut self, js: Js<'s>) -> Result<Option<(Value<'s>, NonNull<u8>, usize)>> {
        if !self.may_have_external() {
            return Ok(None);
        }
        let free = self.pool.lock().unwrap_or_else(PoisonError::into_inner).free.pop();
        let block = free.unwrap_or_else(Block::new);
        let start = block.start;
        Ok(self.external(js, Keep::Block(block))?.map(|buffer| (buffer, start, SLAB)))
    }

    /// An external buffer over what `keep` keeps, if it may be had.
    fn external<'s>(&mut self, js: Js<'s>, keep: Keep) -> Result<Option<Value<'s>>> {
        if !self.may_have_external() {
            return Ok(None);
        }
        self.pool.lock().unwrap_or_else(PoisonError::into_inner).out += 1;
        let (start, len) = keep.memory();
        let hint = Box::into_raw(Box::new(Hint { pool: Arc::clone(&self.pool), keep }));
        let mut raw = ptr::null_mut();
        // SAFETY: `js` is valid; `start` points to `len` bytes that live until `finalize` gets `hint`. Of these JavaScript is
        // told of ranges that nobody else refers to: those below the mark of this slab's `Current`, which alone writes
        // above it, or those of pieces that were taken out of the stack.
        let status = unsafe {
            sys::napi_create_external_buffer(
                js.env(),
                len,
                start.as_ptr().cast(),
                Some(finalize),
                hint.cast(),
                &raw mut raw,
            )
        };
        if status == sys::Status::napi_ok {
            // SAFETY: Node-API has just made it in the scope of `js`.
            return Ok(Some(unsafe { Value::from_raw(raw) }));
        }
        // SAFETY: the call failed, so the finaliser was not taken over and will not run; the hint is ours again, and
        // nothing refers to what it keeps.
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
        let shown = self.shown.iter().filter(|shown| shown.strong);
        let shown = shown.filter_map(|shown| Some((shown.index, shown.buffer.as_ref()?)));
        let (_, buffer) = current.chain(named).chain(shown).find(|(i, _)| *i == index)?;
        js.deref(buffer)
    }

    /// How much JavaScript got, and how.
    pub(crate) fn received(&self) -> Received {
        self.received
    }

    /// Whether memory is held for the next chunk.
    pub(crate) fn holds(&self) -> bool {
        self.small.is_some() || self.bulk.is_some() || self.shown.iter().any(|shown| shown.strong)
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
        let named = self.named.drain(..).map(|(_, buffer)| buffer);
        for buffer in named.chain(self.shown.drain(..).filter_map(|shown| shown.buffer)) {
            // SAFETY: the caller's contract.
            unsafe { buffer.release(env) };
        }
        self.to_show = None;
        self.pool.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
    }
}

impl Show for Slabs {
    fn can_show(&self, piece: &Payload) -> bool {
        !self.forbidden && SharedSlab::of(piece).is_some()
    }

    fn sight(&mut self, piece: &Payload) -> Sight {
        let Some(slab) = SharedSlab::of(piece).filter(|_| !self.forbidden) else {
            return Sight::Hidden;
        };
        match self.shown.iter_mut().find(|shown| shown.start == slab.start()) {
            Some(Shown { buffer: None, .. }) => return Sight::Hidden,
            Some(shown) if shown.strong => {
                shown.named = true;
                return Sight::Seen;
            }
            Some(_) => {}
            None => {
                if !self.may_have_external() {
                    return Sight::Hidden;
                }
            }
        }
        self.to_show = Some(slab);
        Sight::ToShow
    }

    fn name(&mut self, piece: Payload) -> (i32, i32) {
        self.received.uncopied += piece.len() as u64;
        let start = SharedSlab::of(&piece).map(|slab| slab.start());
        let shown = self.shown.iter().find(|shown| Some(shown.start) == start);
        (shown.map_or(0, |shown| shown.index), SharedSlab::take(piece).start as i32)
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
        self.received.copied += len as u64;
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
        is_attached(js, &self.buffer, self.start)
    }
}

/// Whether a buffer exists and has its memory still.
fn is_attached(js: Js<'_>, buffer: &Reference, start: NonNull<u8>) -> bool {
    let Some(buffer) = js.deref(buffer) else { return false };
    js.buffer_memory(buffer).is_ok_and(|(at, len)| at == start.as_ptr() && len > 0)
}

impl Shown {
    fn is_attached(&self, js: Js<'_>) -> bool {
        self.buffer.as_ref().is_some_and(|buffer| is_attached(js, buffer, self.start))
    }

    /// Holds the buffer, or no longer.
    fn hold(&mut self, js: Js<'_>, on: bool) {
        if let Some(buffer) = &self.buffer
            && std::mem::replace(&mut self.strong, on) != on
        {
            // SAFETY: on the environment's thread, which `js` proves.
            unsafe { buffer.set_strong(js.env(), on) };
        }
    }

    /// There is no buffer to be had any more.
    fn forget(&mut self, js: Js<'_>) {
        self.strong = false;
        if let Some(buffer) = self.buffer.take() {
            // SAFETY: as above.
            unsafe { buffer.release(js.env()) };
        }
    }

    fn release(mut self, js: Js<'_>) {
        self.forget(js);
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
