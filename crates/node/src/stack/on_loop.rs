//! A stack on libuv's loop: which lanes it drives, and a turn of it.

use std::ptr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use napi::sys;
use usernet_manager::{LoopTurn, Shard};

use super::{Life, Stack};
use crate::busy_poll::Turn;
use crate::errno::Errno;
use crate::event_loop::{Drive, EventLoop};
use crate::js::{Failure, Js, Result, caught, check};
use crate::lane::Lane;

impl Stack {
    /// Has the environment's event loop drive.
    pub(super) fn join_loop(self: &Rc<Self>, js: Js<'_>, drive: Drive) -> Result<()> {
        if drive == Drive::Thread {
            return Ok(());
        }
        let polls_busily = !self.busy_poll.borrow().is_never();
        match EventLoop::find(js, Rc::downgrade(self), polls_busily) {
            Some(found) => {
                *self.event_loop.borrow_mut() = Some((found, Vec::new()));
                self.give_to_loop(&self.first);
                Ok(())
            }
            None if drive == Drive::Loop => Err(Failure::system(
                Errno::ENOTSUP,
                "createStack",
                "this runtime has no libuv loop to poll devices on; use drive: 'auto'",
            )),
            None => Ok(()),
        }
    }

    /// Has the loop drive a lane from now on.
    fn give_to_loop(&self, lane: &Lane) {
        lane.on_loop.set(true);
        let bell = Arc::clone(&self.bell);
        lane.with_shard(|shard| shard.set_loop_ring(Some(Box::new(move || bell.ring()))));
    }

    /// Says who drives the lane number `at` of so many: its own packet thread, as far as there are processors beside those for
    /// JavaScript and the other end, else the loop. (A thread for which there is none takes time from JavaScript's.)
    pub(crate) fn give_lane(&self, lane: &Lane, at: usize, lanes: usize) {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = processors.saturating_sub(2);
        let on_loop = self.event_loop.borrow().is_some()
            && (self.drive == Drive::Loop || at + threads < lanes);
        if on_loop {
            self.give_to_loop(lane);
        } else {
            lane.with_shard(Shard::let_thread_send);
        }
    }

    /// Polls the devices that there are now.
    pub(crate) fn update_polls(&self) {
        let mut event_loop = self.event_loop.borrow_mut();
        let Some((polls, generations)) = &mut *event_loop else { return };
        let more = self.more.borrow();
        let lanes = || std::iter::once(&self.first).chain(more.iter().map(|lane| &**lane));
        #[cfg(unix)]
        let polled = {
            let mut descriptors = Vec::new();
            generations.clear();
            let found = lanes().enumerate().all(|(at, lane)| {
                let own = || lane.with_shard(Shard::loop_descriptors);
                match lane.on_loop.get().then(own).flatten() {
                    Some(Ok((now, own))) => {
                        generations.push(now);
                        descriptors.extend(own.into_iter().map(|descriptor| (at, descriptor)));
                        true
                    }
                    // No descriptors left to give: the packet thread has its own.
                    Some(Err(_)) => false,
                    None => {
                        generations.push(0);
                        true
                    }
                }
            });
            found && polls.set(descriptors)
        };
        #[cfg(not(unix))]
        let polled = false;
        if !polled {
            *event_loop = None;
            for lane in lanes().filter(|lane| lane.on_loop.replace(false)) {
                lane.with_shard(|shard| {
                    shard.loop_is_gone();
                    shard.set_loop_ring(None);
                });
            }
        }
    }

    /// Polls nothing until `update_polls`.
    pub(crate) fn stop_polls(&self) {
        if let Some((polls, _)) = &mut *self.event_loop.borrow_mut() {
            polls.clear();
        }
    }

    /// A turn on the event loop for the lane number `at`; what came of it, with events if JavaScript should take some now.
    fn drive(&self, at: usize) -> LoopTurn {
        if self.life.get() != Life::Open {
            return LoopTurn::default();
        }
        let lane = self.lane_at(at);
        let turn = match caught(|| lane.with_shard(Shard::drive_from_loop)) {
            Ok(turn) => turn.unwrap_or_default(),
            // The shard has marked itself as failed; a drain finds it so.
            Err(_) => LoopTurn { events: true, ..LoopTurn::default() },
        };
        if turn.events && at > 0 {
            lane.tell_news();
        }
        let event_loop = self.event_loop.borrow();
        let polled = event_loop.as_ref().and_then(|(_, polled)| polled.get(at)).copied();
        drop(event_loop);
        if polled.is_some_and(|polled| polled != turn.devices_generation) {
            self.update_polls();
        }
        turn
    }
    /// The loop is there for a lane that it drives, and takes what its device called it for.
    pub(super) fn answer_call(&self, at: usize) {
        let lane = self.lane_at(at);
        if !lane.on_loop.get() {
            return;
        }
        if lane.with_shard(Shard::loop_is_called) == Some(true) {
            self.drive(at);
        } else {
            lane.with_shard(Shard::loop_is_alive);
        }
    }
}

/// The event loop found a descriptor readable: drives, and lets JavaScript take what came of it in the same turn.
///
/// # Safety
/// On the thread of `env`, which is alive, called by its event loop.
pub(crate) unsafe fn turn_on_loop(env: sys::napi_env, stack: &Stack, lane: usize) {
    stack.in_a_row.set((0, 0));
    // No clock is read where nothing waits for it.
    let began = (!stack.busy_poll.borrow().is_never()).then(Instant::now);
    let LoopTurn { events, frames, bytes, .. } = stack.drive(lane);
    // While a turn of the loop is waited for, JavaScript has enough to do.
    if events && !stack.is_deferred() {
        // SAFETY: the caller's contract.
        unsafe { report(env, stack) };
    }
    if let Some(began) = began {
        let turn = Turn { began, ended: Instant::now(), frames, bytes };
        stack.busy_poll.borrow_mut().turned(turn);
    }
}

/// Lets JavaScript take the events there are.
///
/// # Safety
/// As [`turn_on_loop`].
unsafe fn report(env: sys::napi_env, stack: &Stack) {
    let mut scope = ptr::null_mut();
    // SAFETY: the caller's contract.
    if check(unsafe { sys::napi_open_handle_scope(env, &raw mut scope) }).is_err() {
        return;
    }
    // SAFETY: this is the environment's thread, and the scope is closed below only.
    let js = unsafe { Js::from_raw(env) };
    let doorbell = match &*stack.objects.borrow() {
        Some(objects) => js.deref(&objects.doorbell),
        None => None,
    };
    let outcome = doorbell.map(|doorbell| stack.turn(|| js.call_from_loop(doorbell)));
    if matches!(outcome, Some(Err(_))) {
        js.raise_uncaught();
    }
    // SAFETY: opened above, on this thread; nothing made in it is used any more.
    unsafe { sys::napi_close_handle_scope(env, scope) };
}
