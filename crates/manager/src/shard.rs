//! One stack under one lock, and the loop that drives it from whichever thread holds the lock.

use std::any::Any;
use std::cell::Cell;
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

use crate::change::ChangeError;
use crate::inner::{BUDGET, Inner, ShardStats, State, Told, Waiter};
use crate::park::Parker;
#[cfg(unix)]
use crate::park::{Interest, is_readable};
use crate::standby::{ATTENDS, DriverWaker, Look, PATIENCE, Standby};

mod close;

/// For so long after the last frame the packet thread naps instead of sleeping, so that a call that arms a timer (each
/// request after an idle moment arms the retransmission timer) finds it up early enough and need not wake it.
const LIVELY: Duration = Duration::from_secs(1);

/// How long a nap is: no longer than the timers that calls arm, retransmission (200 ms) and delayed ACK (40 ms).
const NAP: Duration = Duration::from_millis(40);

/// How often [`BUDGET`] frames are sent at the end of a loop's turn before the packet thread is called to help.
const FLUSH_ROUNDS: usize = 8;

/// How often memory that bursts left is given back.
const TRIM_EVERY: Duration = Duration::from_secs(1);

/// Most rounds of resets sent on closing; beyond it the peers learn by their own next segment.
const CLOSE_ROUNDS: usize = 4096;

type Doorbell = Box<dyn Fn() + Send + Sync>;

/// A stack, its devices and its packet thread.
///
/// Any thread may drive it: whoever takes the lock may read devices, run timers and transmit, with a bounded amount of
/// work per hold. Normally that is the packet thread; an event loop that polls the devices itself (see
/// [`drive_from_loop`](Self::drive_from_loop)) spares the hand-over between threads while it keeps up.
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
    standby: Arc<Standby>,
    epoch: Clock,
    doorbell: RwLock<Option<Doorbell>>,
    /// For further shards of the same stack.
    secrets: Box<(Secrets, u64)>,
}

/// What a turn on an event loop left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct LoopTurn {
    /// Events wait to be taken. Nobody is rung for them.
    pub events: bool,
    /// How often devices were added or removed, so that there are other [descriptors](Shard::loop_descriptors).
    pub devices_generation: u64,
    /// Frames received since the last turn on a loop, by whomever.
    pub frames: u64,
    /// Bytes of frames received and sent since then.
    pub bytes: u64,
}

/// Exclusive use of the stack. Dropping it transmits what the calls made on it produced, there and then, on this thread,
/// tells whoever waits for the events that came of it, and wakes the packet thread if its next deadline moved forward.
pub struct ShardGuard<'a> {
    shared: &'a Shared,
    /// `None` only while dropping or waiting.
    inner: Option<MutexGuard<'a, Inner>>,
    was_panicking: bool,
    /// Whether this is the thread of the loop that drives.
    on_loop: bool,
    /// Whether what this guard's calls want sent may wait for [`Shard::flush`].
    may_wait: bool,
    /// Whether it is worth having the packet thread stand by for that.
    insists: bool,
    /// The time when it was asked for last: what is not sent needs no other. None since the lock was let go of.
    asked_at: Cell<Option<Instant>>,
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
            uso: info.offload.uso,
            big_tcp4: info.offload.big_tcp4,
        },
        cut_by_driver: true,
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
            secrets: Box::new((secrets.clone(), seed)),
            inner: Mutex::new(Inner::new(Stack::new(config, secrets, seed))),
            gate: Mutex::new(()),
            looked: Condvar::new(),
            parker: Arc::new(Parker::new()?),
            standby: Arc::default(),
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

    /// A further shard for the same addresses, with the same secrets, so that what one gave a peer (a Fast Open cookie) is good
    /// for all; `at` is its number, from 1.
    ///
    /// # Errors
    /// As [`with_secrets`](Self::with_secrets).
    pub fn another(&self, config: Config, at: u64) -> io::Result<Arc<Self>> {
        let (secrets, seed) = &*self.shared.secrets;
        Self::with_secrets(config, secrets.clone(), seed.wrapping_add(at))
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

    /// [`lock`](Self::lock) on the thread of the event loop that drives. A loop whose callbacks make many calls is slow to
    /// come again: when frames have had to wait for half of what the packet thread bears, the guard receives a bounded
    /// number of them when it is dropped, so that the packet thread need not step in, for whose lock the next call would
    /// wait. The doorbell rings for what comes of it.
    pub fn lock_on_loop(&self) -> ShardGuard<'_> {
        let mut guard = self.shared.guard();
        guard.on_loop = true;
        guard
    }

    /// Sends what guards held back, see [`ShardGuard::may_wait`].
    pub fn flush(&self) {
        if !self.shared.standby.holds_back() {
            return;
        }
        if self.shared.standby.thread_sends() {
            self.shared.parker.wake();
            return;
        }
        let mut guard = self.lock_on_loop();
        let now = self.now();
        if guard.inner().state == State::Running {
            // What is left then, dropping the guard sees to.
            let _ = (1..FLUSH_ROUNDS).all(|_| guard.inner_mut().transmit(now, BUDGET));
        }
    }

    /// Has the packet thread send what guards hold back ([`ShardGuard::may_wait`]): [`flush`](Self::flush) wakes it, and goes
    /// on with what else there is to do while another processor sends. For a shard whose devices no loop polls.
    pub fn let_thread_send(&self) {
        self.shared.standby.let_thread_send();
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
        device.set_waker(Arc::new(DriverWaker {
            parker: self.shared.parker.clone(),
            standby: self.shared.standby.clone(),
        }));
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

    /// Changes the largest packet of an interface and, where it has one that can be set (TUN, TAP), of its device.
    ///
    /// # Errors
    /// [`ChangeError::Interface`] as [`Stack::set_mtu`], [`ChangeError::Device`] when the device cannot carry it or the system
    /// does not permit it. Nothing is changed then.
    pub fn set_mtu(&self, id: InterfaceId, mtu: u16) -> Result<(), ChangeError> {
        let mut guard = self.lock();
        guard.check_mtu(id, mtu)?;
        let set = guard.inner_mut().change_device(id, |device| device.set_mtu(mtu));
        set.ok_or(InterfaceError::NoSuchInterface)??;
        let now = self.now();
        Ok(guard.set_mtu(now, id, mtu)?)
    }

    /// Takes the link of an interface down or up, and with it its device, where it has a state of its own (TUN, TAP). See
    /// [`Stack::set_link`].
    ///
    /// # Errors
    /// [`ChangeError::Interface`] for none of the stack's, [`ChangeError::Device`] when the system does not permit it.
    pub fn set_link(&self, id: InterfaceId, up: bool) -> Result<(), ChangeError> {
        let mut guard = self.lock();
        let set = guard.inner_mut().change_device(id, |device| device.set_up(up));
        set.ok_or(InterfaceError::NoSuchInterface)??;
        guard.inner_mut().set_down(id, !up);
        let now = self.now();
        Ok(guard.set_link(now, id, up)?)
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

    /// A turn on an event loop, which polls the [descriptors](Self::loop_descriptors) and calls this when one is readable,
    /// or when a device rang: receives, runs timers and transmits on the calling thread, a bounded amount.
    ///
    /// From the first time on the packet thread leaves the devices to the loop, and takes over when a frame has waited for
    /// a millisecond. The doorbell does not ring for what this thread finds out: take the events it tells of.
    pub fn drive_from_loop(&self) -> LoopTurn {
        let shared = &*self.shared;
        let mut guard = self.lock();
        let now = self.now();
        shared.standby.drove(now);
        shared.standby.take_call();
        shared.standby.clear_held_back();
        let inner = guard.inner_mut();
        if inner.state != State::Running {
            return LoopTurn::default();
        }
        let (sends_left, frames_left) = inner.turn_on_loop(now, BUDGET);
        let (frames, bytes) = inner.moved();
        let told = guard.settle();
        let inner = guard.inner();
        let events = inner.stack.has_events();
        let devices_generation = inner.devices_generation;
        // What it would do on being dropped is done.
        guard.inner = None;
        for waiter in told.waiters {
            waiter.notify_all();
        }
        if sends_left {
            shared.parker.wake();
        }
        if frames_left && !shared.standby.call() {
            shared.parker.wake();
        }
        LoopTurn { events, devices_generation, frames, bytes }
    }

    /// An event loop that drives takes events now, so it is alive.
    pub fn loop_is_alive(&self) {
        self.shared.standby.drove(self.now());
    }

    /// The event loop will not drive any more: the packet thread does, as from the start.
    pub fn loop_is_gone(&self) {
        self.shared.standby.gone();
        self.shared.parker.wake();
    }

    /// Whether a device without a descriptor called for the loop (see [`set_loop_ring`](Self::set_loop_ring)) that has not
    /// driven since.
    pub fn loop_is_called(&self) -> bool {
        self.shared.standby.has_call()
    }

    /// Who is called (on any thread, locks held, must not block) when a device without a descriptor has something for a
    /// loop that drives. When this returns the previous one does not run and will not be called again.
    pub fn set_loop_ring(&self, ring: Option<Box<dyn Fn() + Send + Sync>>) {
        self.shared.standby.set_ring(ring);
    }

    /// Duplicates of the descriptors that a loop has to poll for reading, and the generation of devices they belong to.
    ///
    /// # Errors
    /// When the system has no descriptor to give.
    #[cfg(unix)]
    pub fn loop_descriptors(&self) -> io::Result<(u64, Vec<std::os::fd::OwnedFd>)> {
        let inner = self.shared.lock_inner();
        let mut interests = Vec::new();
        inner.interests(&mut interests);
        let copies = interests.iter().map(|interest| {
            // SAFETY: the device that owns the descriptor lives as long as the lock is held.
            unsafe { std::os::fd::BorrowedFd::borrow_raw(interest.fd) }.try_clone_to_owned()
        });
        Ok((inner.devices_generation, copies.collect::<io::Result<_>>()?))
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
        ShardGuard {
            shared: self,
            inner,
            was_panicking: std::thread::panicking(),
            on_loop: false,
            may_wait: false,
            insists: false,
            asked_at: Cell::new(None),
        }
    }

    /// Tells whom it concerns; the lock is not held.
    fn deliver(&self, told: Told) {
        for waiter in told.waiters {
            waiter.notify_all();
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
        let mut sleep = Sleep::default();
        let (mut lively_until, mut attends_until) = (Instant::ZERO, Instant::ZERO);
        let (mut took_over, mut takes_over) = (Instant::ZERO, false);
        let mut stands_by = false;
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
            inner.stats.take_overs += u64::from(std::mem::take(&mut takes_over));
            // A device that has no room is waited for here.
            let stood_by = stands_by;
            stands_by = !inner.is_blocked() && self.standby.wanted(now, took_over);
            self.standby.set(stands_by);
            self.standby.clear_held_back();
            let before = inner.stats.frames_in + inner.stats.frames_out;
            // A full turn at each change of roles: a device without a descriptor may have told the other one.
            let more = if stands_by && stood_by {
                inner.turn_standing_by(now, BUDGET)
            } else {
                inner.turn(now, BUDGET)
            };
            let frames = inner.stats.frames_in + inner.stats.frames_out - before;
            if std::mem::take(&mut inner.called) || frames > 0 {
                (lively_until, attends_until) = (now + LIVELY, now + ATTENDS);
            }
            let attends = self.standby.thread_sends() && now < attends_until;
            self.standby.set_attends(attends);
            inner.tell(&mut told);
            let deadline = inner.deadline(self.epoch);
            self.standby.set_deadline(deadline);
            let nap = if attends { PATIENCE } else { NAP };
            let nap = (now < lively_until).then_some(now + nap);
            let trim = inner.trim(now, TRIM_EVERY).then_some(now + TRIM_EVERY);
            let chores = nap.into_iter().chain(trim).min();
            let wake_at = deadline.into_iter().chain(chores).min();
            if !more {
                inner.asleep_until = wake_at.unwrap_or(Instant::FAR_FUTURE);
                inner.devices_changed = false;
                #[cfg(unix)]
                inner.interests(&mut sleep.interests);
            }
            drop(inner);
            self.deliver(told);
            if more {
                continue;
            }
            if stands_by {
                if self.stand_by(&mut sleep, chores) == Next::TakeOver {
                    (took_over, takes_over) = (self.now(), true);
                }
            } else {
                self.sleep(&mut sleep, wake_at.map(|at| at.since(self.now())));
            }
        }
    }

    /// Sleeps until woken, something comes in, or `timeout` has passed.
    fn sleep(&self, sleep: &mut Sleep, timeout: Option<Duration>) {
        if timeout == Some(Duration::ZERO) {
            return;
        }
        #[cfg(unix)]
        if !sleep.interests.is_empty() {
            self.parker.poll(&sleep.interests, timeout, &mut sleep.scratch);
            return;
        }
        let _ = sleep;
        self.parker.park(timeout);
    }

    /// Sleeps until woken, the deadline or `chores`, while an event loop drives; looks whether it does.
    fn stand_by(&self, sleep: &mut Sleep, chores: Option<Instant>) -> Next {
        loop {
            let now = self.now();
            // Each segment that the loop sends moves the deadline: to look at it takes no lock.
            let wake_at = self.standby.deadline().into_iter().chain(chores).min();
            let left = wake_at.map(|at| at.since(now));
            if left == Some(Duration::ZERO) {
                return Next::Turn;
            }
            let look_in = match self.standby.look(now) {
                Look::In(time) => time,
                Look::Now if self.standby.has_call() || sleep.is_readable() => {
                    return Next::TakeOver;
                }
                Look::Now if self.standby.holds_back() => return Next::Turn,
                Look::Now => PATIENCE,
                Look::Over => return Next::Turn,
            };
            if self.parker.park(Some(left.map_or(look_in, |left| left.min(look_in)))) {
                return Next::Turn;
            }
        }
    }
}

/// What follows a time of standing by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// A turn, standing by as before unless the loop was long gone.
    Turn,
    /// The loop does not come: the devices are the packet thread's.
    TakeOver,
}

/// What the packet thread waits for, and memory to use again.
#[derive(Default)]
struct Sleep {
    #[cfg(unix)]
    interests: Vec<Interest>,
    #[cfg(unix)]
    scratch: Vec<libc::pollfd>,
}

impl Sleep {
    /// Whether a frame waits in a device with a descriptor.
    fn is_readable(&mut self) -> bool {
        #[cfg(unix)]
        return is_readable(&self.interests, &mut self.scratch);
        #[cfg(not(unix))]
        false
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
        let now = self.shared.now();
        self.asked_at.set(Some(now));
        now
    }

    /// To be called by whoever takes the events, when it begins: what is left of them when this guard is dropped, and what
    /// that itself brings about, rings again. (Without it, events that came after the last was taken and before the drop
    /// would meet a doorbell that counts as rung.)
    pub fn rearm_doorbell(&mut self) {
        self.inner_mut().forget_ring();
    }

    /// What the calls made on this guard want sent may wait until [`Shard::flush`]: an event loop that handles many
    /// sockets in a turn then sends in one go what they answer, while the peers' processors are awake. Half a millisecond
    /// after the turn began calls send at once again, and should the loop not come to its flush, the packet thread sends
    /// when it next looks, a millisecond later at most.
    pub fn may_wait(&mut self) {
        self.may_wait = self.on_loop;
    }

    /// As [`may_wait`](Self::may_wait), by a loop whose program sends much: where the packet thread does not stand by, so that
    /// nothing can wait, it will soon.
    pub fn may_wait_from_now_on(&mut self) {
        self.may_wait();
        self.insists = self.on_loop;
    }

    /// Transmits what calls produced, and wakes the packet thread if it has to know; whom to tell of the rest.
    fn settle(&mut self) -> Told {
        let mut told = Told::default();
        let asked = self.asked_at.take();
        let (shared, on_loop) = (self.shared, self.on_loop);
        let now = asked.unwrap_or_else(|| shared.now());
        let waits = self.may_wait && shared.standby.hold_back(now);
        let asks = self.insists && !waits && shared.standby.ask(now);
        let inner = self.inner_mut();
        if inner.state != State::Running {
            return told;
        }
        if waits {
            inner.stats.gathered += 1;
            return told;
        }
        shared.standby.clear_held_back();
        // A segment is stamped with the time of its sending.
        let now = if asked.is_some() && inner.stack.has_output() { shared.now() } else { now };
        let mut more = inner.transmit(now, BUDGET);
        if on_loop && shared.standby.is_due(now) {
            shared.standby.drove(now);
            let (sends_left, frames_left) = inner.turn_on_loop(now, BUDGET);
            more |= sends_left || (frames_left && !shared.standby.call());
        }
        inner.tell(&mut told);
        inner.called = true;
        let deadline = inner.deadline(shared.epoch);
        shared.standby.set_deadline(deadline);
        let late = |at| at < inner.asleep_until && !shared.standby.sees_in_time(now, at);
        let wake = more || asks || inner.devices_changed || deadline.is_some_and(late);
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
            waiter.notify_all();
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
