//! How the packet thread sleeps, and how anyone wakes it.

use std::io;
#[cfg(unix)]
use std::io::{PipeReader, PipeWriter, Read, Write};
#[cfg(unix)]
use std::os::fd::{AsRawFd, RawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};
#[cfg(unix)]
use std::sync::{PoisonError, RwLock};
use std::thread::Thread;
use std::time::Duration;

use usernet_device::Wake;

/// It runs, and will look at everything before it sleeps.
const AWAKE: u8 = 0;
/// Something came up that it has not looked at.
const NOTIFIED: u8 = 1;
/// It sleeps, or is about to, without descriptors.
const PARKED: u8 = 2;
/// It sleeps, or is about to, in poll(2).
#[cfg(unix)]
const POLLING: u8 = 3;

/// A descriptor to wait for.
#[cfg(unix)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interest {
    pub(crate) fd: RawFd,
    pub(crate) write: bool,
}

/// The place where one thread sleeps. [`wake`](Wake::wake) never blocks, may come from any thread, any lock held, and
/// costs a system call only when the thread does sleep.
pub(crate) struct Parker {
    state: AtomicU8,
    thread: OnceLock<Thread>,
    /// Gone once the thread is (see [`release`](Self::release)). Only then written, so that nobody waits for this lock.
    #[cfg(unix)]
    pipe: RwLock<Option<(PipeReader, PipeWriter)>>,
}

impl Parker {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            state: AtomicU8::new(AWAKE),
            thread: OnceLock::new(),
            #[cfg(unix)]
            pipe: RwLock::new(Some(io::pipe()?)),
        })
    }

    /// Names the thread that sleeps here: the calling one. Called once, before the first sleep.
    pub(crate) fn adopt(&self) {
        let _ = self.thread.set(std::thread::current());
    }

    /// Closes the descriptors, once the thread that sleeps here has ended: devices at the far end of a link, and objects
    /// that wait for a garbage collector, may keep this for long.
    pub(crate) fn release(&self) {
        #[cfg(unix)]
        self.pipe.write().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Sleeps until woken, or `timeout` has passed (`None`: for ever); at once when woken since the last sleep. Whether it
    /// was woken.
    pub(crate) fn park(&self, timeout: Option<Duration>) -> bool {
        if self.state.compare_exchange(AWAKE, PARKED, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            // A token that an earlier wake-up left ends this at once; that is one more turn of the loop and no more.
            match timeout {
                Some(timeout) => std::thread::park_timeout(timeout),
                None => std::thread::park(),
            }
        }
        self.state.swap(AWAKE, Ordering::AcqRel) == NOTIFIED
    }

    /// As [`park`](Self::park), and until a descriptor is ready. `scratch` is memory to use again.
    #[cfg(unix)]
    pub(crate) fn poll(
        &self,
        interests: &[Interest],
        timeout: Option<Duration>,
        scratch: &mut Vec<libc::pollfd>,
    ) {
        let pipe = self.pipe.read().unwrap_or_else(PoisonError::into_inner);
        let Some((reader, _)) = &*pipe else { return };
        scratch.clear();
        scratch.push(libc::pollfd { fd: reader.as_raw_fd(), events: libc::POLLIN, revents: 0 });
        scratch.extend(interests.iter().map(|i| {
            let events = if i.write { libc::POLLIN | libc::POLLOUT } else { libc::POLLIN };
            libc::pollfd { fd: i.fd, events, revents: 0 }
        }));
        if self.state.compare_exchange(AWAKE, POLLING, Ordering::AcqRel, Ordering::Acquire).is_ok()
        {
            poll(scratch, timeout);
            if scratch[0].revents != 0 {
                // One byte a wake-up, written only between POLLING and here: what is there is taken in one read,
                // which cannot block because poll(2) just said so and nobody else reads.
                let _ = (&*reader).read(&mut [0; 64]);
            }
        }
        self.state.swap(AWAKE, Ordering::AcqRel);
    }
}

/// Whether one of the descriptors can be read now. `scratch` is memory to use again.
#[cfg(unix)]
pub(crate) fn is_readable(interests: &[Interest], scratch: &mut Vec<libc::pollfd>) -> bool {
    scratch.clear();
    scratch.extend(interests.iter().map(|i| libc::pollfd {
        fd: i.fd,
        events: libc::POLLIN,
        revents: 0,
    }));
    if !scratch.is_empty() {
        poll(scratch, Some(Duration::ZERO));
    }
    scratch.iter().any(|fd| fd.revents != 0)
}

impl Wake for Parker {
    fn wake(&self) {
        match self.state.swap(NOTIFIED, Ordering::AcqRel) {
            PARKED => {
                if let Some(thread) = self.thread.get() {
                    thread.unpark();
                }
            }
            // The pipe cannot be full: a byte is written once per sleep, and each sleep that sees one takes them all.
            #[cfg(unix)]
            POLLING => {
                let pipe = self.pipe.read().unwrap_or_else(PoisonError::into_inner);
                if let Some((_, writer)) = &*pipe {
                    let _ = (&*writer).write(&[1]);
                }
            }
            _ => {}
        }
    }
}

/// poll(2), with a timeout as fine as the system has. Returns early on a signal, or (which would be a bug) on an error.
#[cfg(target_os = "linux")]
fn poll(fds: &mut [libc::pollfd], timeout: Option<Duration>) {
    let timeout = timeout.map(|t| libc::timespec {
        tv_sec: t.as_secs().min(1 << 30) as libc::time_t,
        tv_nsec: t.subsec_nanos() as _,
    });
    let timeout = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: `fds` is an array of that many `pollfd`s, writable for the call; `timeout` is null or points to a
    // timespec that lives until the end of the function; a null signal mask is allowed.
    unsafe { libc::ppoll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, timeout, std::ptr::null()) };
}

/// poll(2), with a timeout as fine as the system has. Returns early on a signal, or (which would be a bug) on an error.
#[cfg(all(unix, not(target_os = "linux")))]
fn poll(fds: &mut [libc::pollfd], timeout: Option<Duration>) {
    // Rounded up: waking early would spin until the time has come.
    let millis =
        timeout.map_or(-1, |t| i32::try_from(t.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX));
    // SAFETY: `fds` is an array of that many `pollfd`s, writable for the call.
    unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, millis) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;
    use std::time::Instant;

    const LONG: Option<Duration> = Some(Duration::from_secs(20));

    fn sleep_once(parker: &Parker, fds: bool, timeout: Option<Duration>) {
        #[cfg(unix)]
        if fds {
            return parker.poll(&[], timeout, &mut Vec::new());
        }
        let _ = fds;
        parker.park(timeout);
    }

    #[test]
    fn a_wake_up_before_the_sleep_is_not_lost() {
        for fds in [false, true] {
            let parker = Parker::new().unwrap();
            parker.adopt();
            let start = Instant::now();
            parker.wake();
            parker.wake();
            sleep_once(&parker, fds, LONG);
            assert!(start.elapsed() < Duration::from_secs(10));
        }
    }

    #[test]
    fn a_timeout_is_neither_short_nor_missed() {
        for fds in [false, true] {
            let parker = Parker::new().unwrap();
            parker.adopt();
            let start = Instant::now();
            sleep_once(&parker, fds, Some(Duration::from_micros(1500)));
            assert!(start.elapsed() >= Duration::from_micros(1500));
        }
    }

    #[test]
    fn no_wake_up_is_lost_between_threads() {
        let parker = Arc::new(Parker::new().unwrap());
        let count = Arc::new(AtomicU32::new(0));
        let sleeper = std::thread::spawn({
            let (parker, count) = (parker.clone(), count.clone());
            move || {
                parker.adopt();
                let mut seen = 0;
                let mut fds = false;
                while seen < 20_000 {
                    let start = Instant::now();
                    if count.load(Ordering::SeqCst) == seen {
                        sleep_once(&parker, fds, LONG);
                        fds = !fds;
                    }
                    assert!(start.elapsed() < Duration::from_secs(15), "a wake-up was lost");
                    seen = count.load(Ordering::SeqCst);
                }
            }
        });
        let wakers: Vec<_> = (0..2)
            .map(|_| {
                let (parker, count) = (parker.clone(), count.clone());
                std::thread::spawn(move || {
                    for _ in 0..10_000 {
                        count.fetch_add(1, Ordering::SeqCst);
                        parker.wake();
                    }
                })
            })
            .collect();
        for waker in wakers {
            waker.join().unwrap();
        }
        sleeper.join().unwrap();
    }
}
