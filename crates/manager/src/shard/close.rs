//! The end of a shard, and of several that belong together.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};

use usernet_core::Stack;
use usernet_device::Wake;

use super::{CLOSE_ROUNDS, Shard};
use crate::inner::{BUDGET, State, Told};

impl Shard {
    /// Resets every connection, stops and joins the packet thread, drops the devices. Idempotent; from any thread, but
    /// on the packet thread (in a doorbell) it does not join.
    ///
    /// Threads that wait for a connection or listener get an error.
    pub fn close(&self) {
        self.end();
        self.join();
    }

    /// [`close`](Self::close) of several that belong together: none takes anything in any more when the first device goes.
    pub fn close_all(shards: &[Arc<Self>]) {
        for shard in shards {
            shard.end();
        }
        for shard in shards {
            shard.join();
        }
    }

    /// The first half of closing: the connections are over, and the packet thread is told to end.
    fn end(&self) {
        // A panic on the way marks the shard as failed (the guard sees to that); it is closed all the same.
        if let Ok((told, stack)) = catch_unwind(AssertUnwindSafe(|| self.say_goodbye())) {
            self.shared.deliver(told);
            drop(stack);
        }
        self.shared.parker.wake();
    }

    /// The other half.
    fn join(&self) {
        // Held while joining: a second closer returns when the thread is gone, too.
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if std::thread::current().id() != self.thread_id
            && let Some(thread) = thread.take()
        {
            // Its panics are caught within.
            let _ = thread.join();
            self.shared.parker.release();
        }
        let devices = self.shared.lock_inner().remove_ports();
        drop(devices);
        // Not on the packet thread, where it may be the very one that runs.
        if std::thread::current().id() != self.thread_id {
            self.shared.doorbell.write().unwrap_or_else(PoisonError::into_inner).take();
            self.shared.standby.set_ring(None);
        }
    }

    /// Resets every connection and takes the stack, which is given to be dropped where no lock is held.
    fn say_goodbye(&self) -> (Told, Option<Stack>) {
        let mut told = Told::default();
        let mut guard = self.lock();
        if guard.inner().state != State::Running {
            return (told, None);
        }
        let now = self.now();
        let inner = guard.inner_mut();
        inner.stack.abort_all(now);
        for _ in 0..CLOSE_ROUNDS {
            if !inner.transmit(now, BUDGET) {
                break;
            }
        }
        inner.state = State::Closed;
        let stack = inner.retire(&mut told);
        told.ring = false;
        (told, Some(stack))
    }
}
