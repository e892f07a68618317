//! One stack under one lock, and the loop that drives it from whichever thread holds the lock.

use std::any::Any;
use std::io;
use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::{JoinHandle, ThreadId};
use std::time::{Duration, Instant as Clock};

use usernet_core::{
    Config, Instant, InterfaceConfig, InterfaceError, InterfaceId, IpCidr, MacAddr, Medium,
    Offload, Secrets, Stack,
};
use usernet_device::{Device, DeviceInfo, Wake};

use crate::inner::{BUDGET, Inner, ShardStats, State, Told, Waiter};
use crate::park::Parker;

/// For so long after the last frame the packet thread naps instead of sleeping, so that a call that arms a timer (each
/// request after an idle moment arms the retransmission timer) finds it up early enough and need not wake it.
const LIVELY: Duration = Duration::from_secs(1);

/// How long a nap is: no longer than the timers that calls arm, retransmission (200 ms) and delayed ACK (40 ms).
const NAP: Duration = Duration::from_millis(40);

/// How often memory that bursts left is given back.
const TRIM_EVERY: Duration = Duration::from_secs(1);

/// Most rounds of resets sent on closing; beyond it the peers learn by their own next segment.
const CLOSE_ROUNDS: usize = 4096;

type Doorbell = Box<dyn Fn() + Send + Sync>;

/// A stack, its devices and its packet thread.
///
/// Any thread may drive it: whoever takes the lock may read devices, run timers and transmit, with a bounded amount of
/// work per hold. Normally that is the packet thread.
///
/// A panic in the core or in a device does not spread: the shard is marked as [`failed`](Self::failed), its stack is
/// replaced by an empty one, so that every id is stale, and whoever waits gets an error.
pub struct Shard {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    thread_id: ThreadId,
}

/// What the packet thread has in common with everyone else.
struct Shared {
    inner: Mutex<Inner>,
    /// Taken before `inner` and let go once `inner` is held. Whoever let go of `inner` and wants it again queues here
    /// behind the one who waits for it already, so that the packet thread cannot starve callers, nor they it.
    gate: Mutex<()>,
    /// Told when the packet thread has looked and someone waits for that.
    looked: Condvar,
    parker: Arc<Parker>,
    epoch: Clock,
    doorbell: RwLock<Option<Doorbell>>,
}

/// Exclusive use of the stack. Dropping it transmits what the calls made on it produced, there and then, on this thread,
/// tells whoever waits for the events that came of it, and wakes the packet thread if its next deadline moved forward.
pub struct ShardGuard<'a> {
    shared: &'a Shared,
    /// `None` only while dropping or waiting.
    inner: Option<MutexGuard<'a, Inner>>,
    was_panicking: bool,
}

/// The configuration of an interface over a device: its name, MTU and abilities as the device has them.
pub fn interface_config(info: &DeviceInfo, addresses: Vec<IpCidr>) -> InterfaceConfig {
    InterfaceConfig {
        name: info.name.clone(),
        medium: Medium::Ip,
        mtu: info.mtu,
        offload: Offload {
            tx_checksum: info.offload.tx_checksum,
            tso4: info.offload.tso4,
            tso6: info.offload.tso6,
        },
        addresses,
        ..InterfaceConfig::default()
    }
}

/// A hardware address of nobody's: locally administered, of one station.
fn random_mac() -> Result<MacAddr, InterfaceError> {
    let mut mac = [0; 6];
    getrandom::fill(&mut mac).map_err(|_| InterfaceError::InvalidMac)?;
    mac[0] = (mac[0] & 0xfc) | 0x02;
    Ok(MacAddr(mac))
}

impl Shard {
    /// A stack with fresh secrets from the operating system and a running packet thread.
    ///
    /// # Errors
    /// When the system has no randomness, descriptor or thread to give.
    pub fn new(config: Config) -> io::Result<Arc<Self>> {
        let mut random = [0; 72];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let (secrets, seed) = random.split_first_chunk().expect("72 bytes");
        let seed = u64::from_ne_bytes(seed.try_into().expect("8 bytes"));
        Self::with_secrets(config, Secrets::from_bytes(secrets), seed)
    }

    /// A stack with given secrets and seed, for tests that want the same numbers each time, and a running packet
    /// thread.
    ///
    /// # Errors
    /// When the system has no descriptor or thread to give.
    pub fn with_secrets(config: Config, secrets: Secrets, seed: u64) -> io::Result<Arc<Self>> {
        let shared = Arc::new(Shared {
            inner: Mutex::new(Inner::new(Stack::new(config, secrets, seed))),
            gate: Mutex::new(()),
            looked: Condvar::new(),
            parker: Arc::new(Parker::new()?),
            epoch: Clock::now(),
            doorbell: RwLock::new(None),
        });
        let thread = std::thread::Builder::new().name("usernet-packets".into()).spawn({
            let shared = shared.clone();
            move || shared.packet_thread()
        })?;
        let thread_id = thread.thread().id();
        Ok(Arc::new(Self { shared, thread: Mutex::new(Some(thread)), thread_id }))
    }

    /// The time to hand to the core now: since this shard was made, from a monotonic clock.
    pub fn now(&self) -> Instant {
        self.shared.now()
    }

    /// Takes the lock.
    ///
    /// On a shard that is closed or has failed, the stack behind it is empty: every id is stale.
    ///
    /// Do not use or drop sockets of the blocking API while holding it: they take the same lock.
    pub fn lock(&self) -> ShardGuard<'_> {
        self.shared.guard()
    }

    /// Adds a device as an interface; what `config` leaves to the device (mtu, offload) the caller has copied there
    /// (see [`interface_config`]). One whose device carries Ethernet frames gets a random hardware address unless
    /// `config` has one.
    ///
    /// # Errors
    /// Those of [`Stack::add_interface`]; [`InterfaceError::NoSuchInterface`] when the shard is closed,
    /// [`InterfaceError::InvalidMac`] when the system has no randomness to make a hardware address of.
    pub fn add_device(
        &self,
        mut device: Box<dyn Device>,
        mut config: InterfaceConfig,
    ) -> Result<InterfaceId, InterfaceError> {
        config.medium = match (device.medium(), config.medium) {
            (usernet_device::Medium::Ip, _) => Medium::Ip,
            (usernet_device::Medium::Ethernet, Medium::Ip) => Medium::Ethernet(random_mac()?),
            (usernet_device::Medium::Ethernet, given) => given,
        };
        device.set_waker(self.shared.parker.clone());
        let mut guard = self.lock();
        if guard.inner().state != State::Running {
            return Err(InterfaceError::NoSuchInterface);
        }
        let id = guard.add_interface(self.now(), config)?;
        guard.inner_mut().add_port(id, device);
        drop(guard);
        self.shared.parker.wake();
        Ok(id)
    }

    /// Removes an interface and drops its device: nothing of it is left when this returns.
    ///
    /// # Errors
    /// [`InterfaceError::NoSuchInterface`].
    pub fn remove_device(&self, id: InterfaceId) -> Result<(), InterfaceError> {
        let mut guard = self.lock();
        let device = guard.inner_mut().remove_port(id);
        let removed = guard.remove_interface(self.now(), id);
        guard.finish();
        // The packet thread may be waiting for the device's descriptor, which keeps the device alive in the kernel
        // even when it is closed here. So let it look again first.
        if std::thread::current().id() != self.thread_id {
            let turns = guard.inner().turns;
            self.shared.parker.wake();
            guard.wait_until_looked(turns);
        }
        drop(guard);
        drop(device);
        removed
    }

    /// Gives the events to `doorbell` instead of the blocking API: it is called (on any thread, the lock not held, must
    /// not block) on the edge from "no events wait" to "events wait". Take them with `lock()` and `poll_event`. It is
    /// also called when the shard fails.
    ///
    /// When this returns, the previous doorbell does not run and will not be called again; so it must not be called
    /// from within a doorbell. A doorbell must not take the lock, nor keep the `Arc` of the shard.
    pub fn set_doorbell(&self, doorbell: Option<Box<dyn Fn() + Send + Sync>>) {
        let on = doorbell.is_some();
        *self.shared.doorbell.write().unwrap_or_else(PoisonError::into_inner) = doorbell;
        let mut guard = self.lock();
        guard.inner_mut().doorbell = on;
        guard.inner_mut().forget_ring();
    }

    /// Receives, runs timers and transmits on the calling thread, up to `budget` frames each way; whether more is
    /// waiting.
    pub fn drive(&self, budget: usize) -> bool {
        let mut guard = self.lock();
        let now = self.now();
        let more = guard.inner_mut().turn(now, budget.max(1));
        drop(guard);
        if more {
            // Devices say only once that frames came; should this thread not come back, the packet thread knows.
            self.shared.parker.wake();
        }
        more
    }

    /// Resets every connection, stops and joins the packet thread, drops the devices. Idempotent; from any thread, but
    /// on the packet thread (in a doorbell) it does not join.
    ///
    /// Threads that wait for a connection or listener get an error.
    pub fn close(&self) {
        // A panic on the way marks the shard as failed (the guard sees to that); it is closed all the same.
        if let Ok((told, stack)) = catch_unwind(AssertUnwindSafe(|| self.say_goodbye())) {
            self.shared.deliver(told);
            drop(stack);
        }
        self.shared.parker.wake();
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

    /// Whether [`close`](Self::close) was called, or the shard failed.
    pub fn is_closed(&self) -> bool {
        self.shared.lock_inner().state != State::Running
    }

    /// The message of the panic in the core or in a device that stopped this shard, if one did.
    pub fn failed(&self) -> Option<String> {
        match &self.shared.lock_inner().state {
            State::Failed(message) => Some(message.clone()),
            _ => None,
        }
    }

    /// Counters of devices and memory; those of the protocols are [`Stack::stats`].
    pub fn stats(&self) -> ShardStats {
        self.shared.lock_inner().stats()
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        self.close();
    }
}

impl std::fmt::Debug for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shard").finish_non_exhaustive()
    }
}

impl Shared {
    fn now(&self) -> Instant {
        Instant::ZERO + self.epoch.elapsed()
    }

    /// The lock alone. A panic under it is handled by whoever panicked (see [`Inner::fail`]), so poison says nothing.
    fn lock_inner(&self) -> MutexGuard<'_, Inner> {
        let _gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn guard(&self) -> ShardGuard<'_> {
        let inner = Some(self.lock_inner());
        ShardGuard { shared: self, inner, was_panicking: std::thread::panicking() }
    }

    /// Tells whom it concerns; the lock is not held.
    fn deliver(&self, told: Told) {
        for waiter in told.waiters {
            waiter.condvar.notify_all();
        }
        if told.ring
            && let Some(doorbell) = &*self.doorbell.read().unwrap_or_else(PoisonError::into_inner)
        {
            doorbell();
        }
    }

    fn packet_thread(&self) {
        self.parker.adopt();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.packet_loop())) {
            let mut told = Told::default();
            self.lock_inner().fail(message(&*panic), &mut told);
            // A doorbell that panics has nobody left to tell.
            let _ = catch_unwind(AssertUnwindSafe(|| self.deliver(told)));
        }
        // Nobody is to wait for a thread that is gone.
        self.lock_inner().turns = u64::MAX;
        self.looked.notify_all();
    }

    /// One turn under the lock, then whoever is concerned is told, then sleep unless more waits; until closed.
    fn packet_loop(&self) {
        #[cfg(unix)]
        let (mut interests, mut scratch) = (Vec::new(), Vec::new());
        let mut lively_until = Instant::ZERO;
        loop {
            let mut told = Told::default();
            let mut inner = self.lock_inner();
            inner.turns += 1;
            if inner.look_waiters > 0 {
                self.looked.notify_all();
            }
            if inner.state != State::Running {
                return;
            }
            let now = self.now();
            inner.asleep_until = Instant::ZERO;
            let before = inner.stats.frames_in + inner.stats.frames_out;
            let more = inner.turn(now, BUDGET);
            let frames = inner.stats.frames_in + inner.stats.frames_out - before;
            if std::mem::take(&mut inner.called) || frames > 0 {
                lively_until = now + LIVELY;
            }
            inner.tell(&mut told);
            let mut wake_at = inner.deadline(self.epoch);
            if now < lively_until {
                wake_at = Some(wake_at.map_or(now + NAP, |at| at.min(now + NAP)));
            }
            if inner.trim(now, TRIM_EVERY) {
                wake_at = Some(wake_at.map_or(now + TRIM_EVERY, |at| at.min(now + TRIM_EVERY)));
            }
            if !more {
                inner.asleep_until = wake_at.unwrap_or(Instant::FAR_FUTURE);
                inner.devices_changed = false;
                #[cfg(unix)]
                inner.interests(&mut interests);
            }
            drop(inner);
            self.deliver(told);
            if more {
                continue;
            }
            let timeout = wake_at.map(|at| at.since(self.now()));
            if timeout == Some(Duration::ZERO) {
                continue;
            }
            #[cfg(unix)]
            if !interests.is_empty() {
                self.parker.poll(&interests, timeout, &mut scratch);
                continue;
            }
            self.parker.park(timeout);
        }
    }
}

impl ShardGuard<'_> {
    pub(crate) fn inner(&self) -> &Inner {
        self.inner.as_ref().expect("held until dropped")
    }

    pub(crate) fn inner_mut(&mut self) -> &mut Inner {
        self.inner.as_mut().expect("held until dropped")
    }

    /// The time to hand to the core now.
    pub fn now(&self) -> Instant {
        self.shared.now()
    }

    /// To be called by whoever takes the events, when it begins: what is left of them when this guard is dropped, and what
    /// that itself brings about, rings again. (Without it, events that came after the last was taken and before the drop
    /// would meet a doorbell that counts as rung.)
    pub fn rearm_doorbell(&mut self) {
        self.inner_mut().forget_ring();
    }

    /// Transmits what calls produced, and wakes the packet thread if it has to know; whom to tell of the rest.
    fn settle(&mut self) -> Told {
        let mut told = Told::default();
        let now = self.now();
        let shared = self.shared;
        let inner = self.inner_mut();
        if inner.state != State::Running {
            return told;
        }
        let more = inner.transmit(now, BUDGET);
        inner.tell(&mut told);
        inner.called = true;
        let wake = more
            || inner.devices_changed
            || inner.deadline(shared.epoch).is_some_and(|at| at < inner.asleep_until);
        if wake {
            // Once is enough until it has looked.
            inner.asleep_until = Instant::ZERO;
            inner.devices_changed = false;
            shared.parker.wake();
        }
        told
    }

    /// As dropping and taking the lock again, without letting go of it: what follows the calls made so far.
    fn finish(&mut self) {
        let told = self.settle();
        for waiter in &told.waiters {
            waiter.condvar.notify_all();
        }
        debug_assert!(!told.ring || self.inner().doorbell);
        if told.ring {
            self.inner_mut().forget_ring();
        }
    }

    /// Does what dropping would do, then lets go of the lock until `waiter` is told or `until` has come. Spurious
    /// wake-ups happen. Whether the time is up.
    pub(crate) fn wait(mut self, waiter: &Waiter, until: Option<Clock>) -> (Self, bool) {
        self.finish();
        let timeout = until.map(|at| at.saturating_duration_since(Clock::now()));
        if timeout == Some(Duration::ZERO) {
            return (self, true);
        }
        waiter.waiting.fetch_add(1, Ordering::Relaxed);
        let inner = self.inner.take().expect("held until dropped");
        let inner = match timeout {
            Some(timeout) => {
                let result = waiter.condvar.wait_timeout(inner, timeout);
                result.unwrap_or_else(PoisonError::into_inner).0
            }
            None => waiter.condvar.wait(inner).unwrap_or_else(PoisonError::into_inner),
        };
        waiter.waiting.fetch_sub(1, Ordering::Relaxed);
        self.inner = Some(inner);
        (self, false)
    }

    /// Lets go of the lock until the packet thread has looked again since it had looked `turns` times.
    fn wait_until_looked(&mut self, turns: u64) {
        let mut inner = self.inner.take().expect("held until dropped");
        inner.look_waiters += 1;
        while inner.turns == turns && turns != u64::MAX {
            inner = self.shared.looked.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        inner.look_waiters -= 1;
        self.inner = Some(inner);
    }
}

impl Deref for ShardGuard<'_> {
    type Target = Stack;
    fn deref(&self) -> &Stack {
        &self.inner().stack
    }
}

impl DerefMut for ShardGuard<'_> {
    fn deref_mut(&mut self) -> &mut Stack {
        &mut self.inner_mut().stack
    }
}

impl Drop for ShardGuard<'_> {
    fn drop(&mut self) {
        if self.inner.is_none() {
            return;
        }
        let told = if std::thread::panicking() && !self.was_panicking {
            // The panic came while the lock was held: the stack may be in any state.
            let mut told = Told::default();
            self.inner_mut().fail("a thread panicked in the stack".into(), &mut told);
            self.shared.parker.wake();
            told
        } else {
            match catch_unwind(AssertUnwindSafe(|| self.settle())) {
                Ok(told) => told,
                Err(panic) => {
                    let mut told = Told::default();
                    self.inner_mut().fail(message(&*panic), &mut told);
                    self.shared.parker.wake();
                    told
                }
            }
        };
        self.inner = None;
        self.shared.deliver(told);
    }
}

impl std::fmt::Debug for ShardGuard<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShardGuard").finish_non_exhaustive()
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("panic").into()
}
