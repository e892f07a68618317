//! What streams and listeners have in common: a place in the shard, a condvar, modes, and the loop that blocks.

use std::io::{Error, ErrorKind, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant as Clock};

use usernet_core::{ListenerId, SocketId};

use crate::error;
use crate::inner::Waiter;
use crate::shard::{Shard, ShardGuard};

#[derive(Clone, Copy, Debug)]
enum Id {
    Socket(SocketId),
    Listener(ListenerId),
}

/// A socket of the stack, let go of when dropped. Clones of a stream or listener share it, modes and timeouts included,
/// as duplicated descriptors do.
#[derive(Debug)]
pub(crate) struct Handle {
    shard: Arc<Shard>,
    id: Id,
    waiter: Arc<Waiter>,
    nonblocking: AtomicBool,
    pub(crate) read_timeout: Timeout,
    pub(crate) write_timeout: Timeout,
    /// Whether the connection's error was given to the user already.
    pub(crate) error_taken: AtomicBool,
}

impl Handle {
    pub(crate) fn socket(shard: Arc<Shard>, guard: &mut ShardGuard<'_>, id: SocketId) -> Arc<Self> {
        let handle = Self::new(shard, Id::Socket(id));
        guard.inner_mut().sockets.insert(id, handle.waiter.clone());
        handle
    }

    pub(crate) fn listener(
        shard: Arc<Shard>,
        guard: &mut ShardGuard<'_>,
        id: ListenerId,
    ) -> Arc<Self> {
        let handle = Self::new(shard, Id::Listener(id));
        guard.inner_mut().listeners.insert(id, handle.waiter.clone());
        handle
    }

    fn new(shard: Arc<Shard>, id: Id) -> Arc<Self> {
        Arc::new(Self {
            shard,
            id,
            waiter: Arc::default(),
            nonblocking: AtomicBool::new(false),
            read_timeout: Timeout::default(),
            write_timeout: Timeout::default(),
            error_taken: AtomicBool::new(false),
        })
    }

    pub(crate) fn shard(&self) -> &Arc<Shard> {
        &self.shard
    }

    pub(crate) fn waiter(&self) -> &Arc<Waiter> {
        &self.waiter
    }

    pub(crate) fn nonblocking(&self) -> bool {
        self.nonblocking.load(Ordering::Relaxed)
    }

    pub(crate) fn set_nonblocking(&self, on: bool) {
        self.nonblocking.store(on, Ordering::Relaxed);
    }

    /// Makes one call on the stack. A panic in it becomes an error (the guard has marked the shard as failed).
    pub(crate) fn call<T>(&self, call: impl FnOnce(&mut ShardGuard<'_>) -> Result<T>) -> Result<T> {
        self.contain(|| call(&mut self.shard.lock()))
    }

    /// Makes calls on the stack until one is ready, waiting in between, `until` then at the latest.
    ///
    /// # Errors
    /// Those of `attempt`; `late` when the time is up.
    pub(crate) fn block<T>(
        &self,
        until: Option<Clock>,
        late: impl FnOnce() -> Error,
        mut attempt: impl FnMut(&mut ShardGuard<'_>) -> Poll<Result<T>>,
    ) -> Result<T> {
        self.contain(|| {
            let mut guard = self.shard.lock();
            let mut time_is_up = false;
            loop {
                if let Poll::Ready(result) = attempt(&mut guard) {
                    return result;
                }
                if time_is_up {
                    return Err(late());
                }
                (guard, time_is_up) = guard.wait(&self.waiter, until);
            }
        })
    }

    /// As [`block`](Self::block), with a timeout that starts now, and without waiting in non-blocking mode.
    pub(crate) fn block_for<T>(
        &self,
        timeout: &Timeout,
        mut attempt: impl FnMut(&mut ShardGuard<'_>) -> Poll<Result<T>>,
    ) -> Result<T> {
        if self.nonblocking() {
            return self.call(|guard| match attempt(guard) {
                Poll::Ready(result) => result,
                Poll::Pending => Err(error::would_block()),
            });
        }
        // A moment too far for the clock is no limit.
        let until = timeout.get().and_then(|timeout| Clock::now().checked_add(timeout));
        self.block(until, error::would_block, attempt)
    }

    fn contain<T>(&self, f: impl FnOnce() -> Result<T>) -> Result<T> {
        catch_unwind(AssertUnwindSafe(f))
            .unwrap_or_else(|_| Err(error::gone(&self.shard.lock().inner().state)))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let id = self.id;
        // Errors mean that it is gone already. A panic in the core must not come out of a destructor.
        let _ = self.call(|guard| {
            let now = guard.now();
            match id {
                Id::Socket(id) => {
                    guard.inner_mut().sockets.remove(id);
                    let _ = guard.tcp_close(now, id);
                }
                Id::Listener(id) => {
                    guard.inner_mut().listeners.remove(id);
                    let _ = guard.tcp_close_listener(now, id);
                }
            }
            Ok(())
        });
    }
}

/// A timeout that any thread may change; it counts for calls that start later.
#[derive(Debug, Default)]
pub(crate) struct Timeout(Mutex<Option<Duration>>);

impl Timeout {
    pub(crate) fn get(&self) -> Option<Duration> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// # Errors
    /// [`ErrorKind::InvalidInput`] for zero, as in `std::net`.
    pub(crate) fn set(&self, timeout: Option<Duration>) -> Result<()> {
        if timeout == Some(Duration::ZERO) {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "a timeout of zero: use None for no timeout, set_nonblocking(true) for not waiting",
            ));
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = timeout;
        Ok(())
    }
}
