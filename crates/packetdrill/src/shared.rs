//! The lock around the host, and the meeting of two threads: packetdrill makes blocking calls on a second thread, which
//! must really sleep, while the first one moves the virtual clock. The clock stands still while a call that has become
//! ready returns, so that packetdrill sees it return at the time it did.
#![allow(clippy::disallowed_methods)] // The waits for another thread are bounded in real time.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;
use std::time::Duration;

use crate::host::Host;

/// Longest real time the clock waits for a returning call; packetdrill does not look at the time after all of them.
const PATIENCE: Duration = Duration::from_millis(200);

/// What a call says of itself each time it is tried.
pub(crate) enum Step {
    /// It returns this, or fails with this errno.
    Done(Result<isize, i32>),
    /// It has to wait.
    Wait {
        /// Until when at the latest, microseconds.
        until: Option<u64>,
        /// What it returns then.
        then: Result<isize, i32>,
    },
}

/// A call that sleeps on the second thread.
struct Waiter {
    until: Option<u64>,
    /// The change it has looked at last.
    seen: u64,
}

/// What the lock guards.
pub(crate) struct Guarded {
    pub(crate) host: Host,
    /// The thread that called `packetdrill_interface_init` and moves the clock.
    driver: ThreadId,
    /// Counts the changes that a sleeping call should look at.
    change: u64,
    waiter: Option<Waiter>,
    /// A call that slept is on its way out: packetdrill asks for the time next.
    returning: Option<ThreadId>,
}

static GUARDED: Mutex<Option<Guarded>> = Mutex::new(None);
/// Wakes a sleeping call.
static CHANGED: Condvar = Condvar::new();
/// Wakes the driver: the sleeping call has looked, or has returned.
static LOOKED: Condvar = Condvar::new();

type Guard = MutexGuard<'static, Option<Guarded>>;

fn lock() -> Guard {
    GUARDED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts anew, with the calling thread as the driver.
pub(crate) fn init(flags: &str) {
    *lock() = Some(Guarded {
        host: Host::new(flags),
        driver: std::thread::current().id(),
        change: 0,
        waiter: None,
        returning: None,
    });
}

/// Forgets everything.
pub(crate) fn free() {
    *lock() = None;
}

/// Something for the host that never blocks; `None` before `init`.
pub(crate) fn with<R>(f: impl FnOnce(&mut Host) -> R) -> Option<R> {
    let mut guard = lock();
    let result = guard.as_mut().map(|g| {
        g.host.read_sysctls();
        let result = f(&mut g.host);
        g.host.settle();
        result
    })?;
    drop(tell(guard));
    Some(result)
}

/// A call that may block.
pub(crate) fn call(mut f: impl FnMut(&mut Host) -> Step) -> Result<isize, i32> {
    let mut guard = lock();
    loop {
        let Some(g) = guard.as_mut() else { return Err(libc::EBADF) };
        g.host.read_sysctls();
        let step = f(&mut g.host);
        g.host.settle();
        let (until, then) = match step {
            Step::Done(result) => {
                drop(tell(guard));
                return result;
            }
            Step::Wait { until, then } => (until, then),
        };
        let now = g.host.now_usecs();
        if until.is_some_and(|at| at <= now) {
            return then;
        }
        if std::thread::current().id() == g.driver {
            // Nobody else moves the clock: go to what comes next.
            let next = [g.host.next_timer(), until].into_iter().flatten().min();
            let Some(next) = next else { return Err(libc::EDEADLK) };
            guard = advance(guard, next);
        } else {
            guard = sleep(guard, until);
        }
    }
}

/// Sleeps until something changed; marks the call as returning, so that the clock waits for what it does now.
fn sleep(mut guard: Guard, until: Option<u64>) -> Guard {
    let Some(g) = guard.as_mut() else { return guard };
    let seen = g.change;
    g.waiter = Some(Waiter { until, seen });
    if g.returning == Some(std::thread::current().id()) {
        g.returning = None;
    }
    LOOKED.notify_all();
    loop {
        guard = CHANGED.wait(guard).unwrap_or_else(PoisonError::into_inner);
        let Some(g) = guard.as_mut() else { return guard };
        if g.change != seen {
            g.waiter = None;
            g.returning = Some(std::thread::current().id());
            return guard;
        }
    }
}

/// Lets a sleeping call look at what changed, and waits until it did.
fn tell(mut guard: Guard) -> Guard {
    let Some(g) = guard.as_mut() else { return guard };
    if g.waiter.is_none() || g.returning == Some(std::thread::current().id()) {
        return guard;
    }
    g.change += 1;
    let change = g.change;
    CHANGED.notify_all();
    while let Some(g) = guard.as_mut() {
        let looked = match &g.waiter {
            Some(waiter) => waiter.seen == change,
            None => g.returning.is_none(),
        };
        if looked {
            break;
        }
        let (next, timeout) =
            LOOKED.wait_timeout(guard, PATIENCE).unwrap_or_else(PoisonError::into_inner);
        guard = next;
        if timeout.timed_out() {
            if let Some(g) = guard.as_mut() {
                g.returning = None;
            }
            break;
        }
    }
    guard
}

/// Moves the clock to `target`, stopping at every timer on the way.
fn advance(mut guard: Guard, target: u64) -> Guard {
    loop {
        let Some(g) = guard.as_mut() else { return guard };
        let sleeper = g.waiter.as_ref().and_then(|w| w.until);
        let now = g.host.now_usecs();
        let next = [g.host.next_timer(), sleeper.filter(|at| *at > now)]
            .into_iter()
            .flatten()
            .min()
            .filter(|at| *at <= target);
        g.host.set_now(next.unwrap_or(target));
        g.host.run_timers();
        let done = next.is_none();
        guard = tell(guard);
        if done {
            return guard;
        }
    }
}

/// Sleeps for some virtual time.
pub(crate) fn usleep(usecs: u64) {
    let guard = lock();
    let Some(target) = guard.as_ref().map(|g| g.host.now_usecs() + usecs) else { return };
    drop(advance(guard, target));
}

/// The virtual time, microseconds. It moves on by one each time: packetdrill waits for moments by asking.
pub(crate) fn gettimeofday() -> u64 {
    let mut guard = lock();
    let Some(g) = guard.as_mut() else { return 0 };
    if g.returning == Some(std::thread::current().id()) {
        g.returning = None;
        let now = g.host.now_usecs();
        LOOKED.notify_all();
        return now;
    }
    // Either thread asks until a moment has come.
    let target = g.host.now_usecs() + 1;
    guard = advance(guard, target);
    if let Some(g) = guard.as_mut() {
        g.host.write_states();
    }
    guard.as_ref().map_or(target, |g| g.host.now_usecs())
}

/// The next packet that leaves, with its time; the clock jumps from timer to timer until there is one. `None` when none
/// will come, or none within `limit` microseconds.
pub(crate) fn receive(limit: u64) -> Option<(u64, Vec<u8>)> {
    let mut guard = lock();
    let end = guard.as_ref()?.host.now_usecs() + limit;
    loop {
        let g = guard.as_mut()?;
        g.host.settle();
        if let Some(packet) = g.host.take_sent() {
            return Some(packet);
        }
        let sleeper = g.waiter.as_ref().and_then(|w| w.until);
        let next = [g.host.next_timer(), sleeper].into_iter().flatten().min()?;
        if next > end {
            return None;
        }
        guard = advance(guard, next);
    }
}
