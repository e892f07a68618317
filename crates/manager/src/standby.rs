//! Who drives a shard: the packet thread, or an event loop that polls the devices itself while the packet thread stands
//! by.
//!
//! A loop that drives says so each time it does ([`Standby::drove`]). While it keeps up, the packet thread leaves the
//! devices alone: it runs timers, and looks once a millisecond whether a frame has waited since the loop last drove. If
//! one has, the loop is busy, and the packet thread takes over until the loop drives again. When the loop has had
//! nothing to do for a while the packet thread stops looking and sleeps in poll(2) as if there were no loop, so that an
//! idle stack wakes nobody.
//!
//! There is no message either way: both read frames under the shard's lock, so a frame is handled once and in order
//! whoever is first, and the worst that a wrong guess costs is a wake-up.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use usernet_core::Instant;
use usernet_device::Wake;

use crate::park::Parker;

/// For so long a frame may wait for the loop.
pub(crate) const PATIENCE: Duration = Duration::from_millis(1);

/// For so long after the loop last drove the packet thread looks for it every [`PATIENCE`].
const ATTENTIVE: Duration = Duration::from_millis(100);

/// For so long after the last frame a packet thread that sends what is held back looks for it every [`PATIENCE`]: each look is
/// a turn of its own.
pub(crate) const ATTENDS: Duration = Duration::from_millis(10);

/// What rings for a loop.
type Ring = Box<dyn Fn() + Send + Sync>;

/// What the loop and the packet thread know of one another.
#[derive(Default)]
pub(crate) struct Standby {
    /// When the loop last drove, nanoseconds of the shard's clock; 0 when no loop ever did.
    drove: AtomicU64,
    /// The packet thread leaves the devices alone.
    stands_by: AtomicBool,
    /// A device without a descriptor has something for the loop, which was rung for.
    called: AtomicBool,
    /// What calls on the loop's thread want sent is held back until its turn is over.
    holds_back: AtomicBool,
    /// What is held back, the packet thread sends.
    thread_sends: AtomicBool,
    /// It looks every [`PATIENCE`] whether something is.
    attends: AtomicBool,
    /// When the packet thread was last asked to stand by, nanoseconds of the shard's clock.
    asked: AtomicU64,
    /// When something is to be done even if nothing comes, nanoseconds of the shard's clock; 0: never. Written under the
    /// shard's lock; what the packet thread knew when it went to sleep is long out of date while there is traffic.
    deadline: AtomicU64,
    /// Set once, by a loop that means to drive.
    ring: RwLock<Option<Ring>>,
}

/// What the packet thread does after its turn, as long as it stands by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// The loop was there a moment ago: look again in so long.
    In(Duration),
    /// It was not: is anything waiting?
    Now,
    /// It has not been there for so long that looking costs more than it is worth.
    Over,
}

impl Standby {
    /// A loop drives, or takes events: it is alive.
    pub(crate) fn drove(&self, now: Instant) {
        let nanos = now.since(Instant::ZERO).as_nanos();
        self.drove.store(u64::try_from(nanos).unwrap_or(u64::MAX).max(1), Ordering::Release);
    }

    /// No loop drives any more.
    pub(crate) fn gone(&self) {
        self.drove.store(0, Ordering::Release);
    }

    /// When the loop last drove.
    pub(crate) fn last(&self) -> Option<Instant> {
        let nanos = self.drove.load(Ordering::Acquire);
        (nanos > 0).then(|| Instant::ZERO + Duration::from_nanos(nanos))
    }

    /// Whether a loop drives, and should again now, wherever its thread is, before the packet thread takes over.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        let since = self.last().map_or(Duration::MAX, |last| now.since(last));
        (PATIENCE / 2..ATTENTIVE).contains(&since)
    }

    /// Whether the packet thread should stand by, if it took over at `took_over` last.
    pub(crate) fn wanted(&self, now: Instant, took_over: Instant) -> bool {
        self.last().is_some_and(|last| last > took_over && now.since(last) < ATTENTIVE)
    }

    /// What the packet thread does now.
    pub(crate) fn look(&self, now: Instant) -> Look {
        let since = self.last().map_or(Duration::MAX, |last| now.since(last));
        if since < PATIENCE {
            Look::In(PATIENCE.saturating_sub(since))
        } else if since < ATTENTIVE {
            Look::Now
        } else {
            Look::Over
        }
    }

    /// The packet thread stands by from here on, or no longer. After the latter it has to look at every device once.
    pub(crate) fn set(&self, stands_by: bool) {
        // SeqCst with the load in `wake`: a waker that finds it standing by has made its frame visible before, and one
        // that comes later wakes the thread.
        self.stands_by.store(stands_by, Ordering::SeqCst);
    }

    /// Something is to be done at `deadline`, or nothing. Called with the shard's lock held.
    pub(crate) fn set_deadline(&self, deadline: Option<Instant>) {
        let nanos = deadline.map_or(0, |at| at.since(Instant::ZERO).as_nanos().max(1));
        self.deadline.store(u64::try_from(nanos).unwrap_or(u64::MAX), Ordering::Release);
    }

    /// When something is to be done.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let nanos = self.deadline.load(Ordering::Acquire);
        (nanos > 0).then(|| Instant::ZERO + Duration::from_nanos(nanos))
    }

    /// Whether the packet thread finds out about a deadline by itself: it stands by, and looks before that. Called with the
    /// shard's lock held, which it takes before it stops standing by.
    pub(crate) fn sees_in_time(&self, now: Instant, deadline: Instant) -> bool {
        self.stands_by.load(Ordering::Relaxed) && deadline >= now + PATIENCE
    }

    /// Holds back what the loop's calls want sent, if the packet thread is there to send it should the loop not come to it;
    /// whether so.
    pub(crate) fn hold_back(&self, now: Instant) -> bool {
        let since = self.last().map_or(Duration::MAX, |last| now.since(last));
        let may = if self.thread_sends() {
            self.attends.load(Ordering::Relaxed)
        } else {
            self.stands_by.load(Ordering::Relaxed) && since < PATIENCE / 2
        };
        if may {
            self.holds_back.store(true, Ordering::Relaxed);
        }
        may
    }

    /// Whether to wake the packet thread, so that it stands by and [`hold_back`](Self::hold_back) may do so from then on: where
    /// it does not yet, since the loop has had no reason to drive. Once each [`PATIENCE`] at most.
    pub(crate) fn ask(&self, now: Instant) -> bool {
        let nanos = u64::try_from(now.since(Instant::ZERO).as_nanos()).unwrap_or(u64::MAX);
        let since = Duration::from_nanos(nanos.saturating_sub(self.asked.load(Ordering::Relaxed)));
        if self.stands_by.load(Ordering::Relaxed) || since < PATIENCE {
            return false;
        }
        self.asked.store(nanos, Ordering::Relaxed);
        self.drove(now);
        true
    }

    /// Whether it is the packet thread that sends what is held back.
    pub(crate) fn thread_sends(&self) -> bool {
        self.thread_sends.load(Ordering::Relaxed)
    }

    /// From now on it is.
    pub(crate) fn let_thread_send(&self) {
        self.thread_sends.store(true, Ordering::Relaxed);
    }

    /// A packet thread that sends what is held back looks every [`PATIENCE`] from here on, or no longer: a loop may be busy for
    /// long before it says that its turn is over. Called with the shard's lock held, when nothing is.
    pub(crate) fn set_attends(&self, attends: bool) {
        self.attends.store(attends, Ordering::Relaxed);
    }

    /// Whether something is held back. (Set and cleared under the shard's lock; looked at without it.)
    pub(crate) fn holds_back(&self) -> bool {
        self.holds_back.load(Ordering::Relaxed)
    }

    /// Everything is being sent.
    pub(crate) fn clear_held_back(&self) {
        self.holds_back.store(false, Ordering::Relaxed);
    }

    /// Whether a device called for the loop since the last time.
    pub(crate) fn take_call(&self) -> bool {
        self.called.swap(false, Ordering::AcqRel)
    }

    /// Whether a device's call waits for the loop.
    pub(crate) fn has_call(&self) -> bool {
        self.called.load(Ordering::Acquire)
    }

    /// Calls for the loop; whether there is one to call.
    pub(crate) fn call(&self) -> bool {
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        let Some(ring) = &*ring else { return false };
        self.called.store(true, Ordering::Release);
        ring();
        true
    }

    /// Who is rung when a device without a descriptor has something while the packet thread stands by.
    pub(crate) fn set_ring(&self, ring: Option<Ring>) {
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = ring;
    }
}

/// What devices call: wakes whoever drives.
pub(crate) struct DriverWaker {
    pub(crate) parker: Arc<Parker>,
    pub(crate) standby: Arc<Standby>,
}

impl Wake for DriverWaker {
    fn wake(&self) {
        let stands_by = self.standby.stands_by.load(Ordering::SeqCst);
        if !stands_by || !self.standby.call() {
            self.parker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    fn at(micros: u64) -> Instant {
        Instant::ZERO + Duration::from_micros(micros)
    }

    #[test]
    fn the_thread_stands_by_while_the_loop_drives_and_for_a_while_after() {
        let standby = Standby::default();
        assert!(!standby.wanted(at(10), Instant::ZERO), "no loop ever drove");
        assert_eq!(standby.look(at(10)), Look::Over);
        standby.drove(at(1000));
        assert!(standby.wanted(at(1500), Instant::ZERO));
        assert_eq!(standby.look(at(1400)), Look::In(Duration::from_micros(600)));
        assert_eq!(standby.look(at(2000)), Look::Now);
        assert!(!standby.wanted(at(2000 + 100_000), Instant::ZERO));
        assert_eq!(standby.look(at(2000 + 100_000)), Look::Over);
    }

    #[test]
    fn a_deadline_at_the_clocks_beginning_is_one() {
        let standby = Standby::default();
        standby.set_deadline(Some(Instant::ZERO));
        assert!(standby.deadline().is_some_and(|deadline| deadline < at(1)));
        standby.set_deadline(None);
        assert_eq!(standby.deadline(), None);
    }

    #[test]
    fn a_loop_that_is_late_is_due_before_the_thread_takes_over() {
        let standby = Standby::default();
        assert!(!standby.is_due(at(10)), "no loop ever drove");
        standby.drove(at(1000));
        for (now, due) in
            [(1000, false), (1499, false), (1500, true), (5000, true), (101_000, false)]
        {
            assert_eq!(standby.is_due(at(now)), due, "{now}");
        }
        standby.gone();
        assert!(!standby.is_due(at(1500)));
    }

    #[test]
    fn sending_is_held_back_early_in_a_turn_and_only_while_the_thread_stands_by() {
        let standby = Standby::default();
        standby.drove(at(1000));
        assert!(!standby.hold_back(at(1100)) && !standby.holds_back(), "nobody would send it");
        standby.set(true);
        assert!(standby.hold_back(at(1499)) && standby.holds_back());
        standby.clear_held_back();
        assert!(!standby.hold_back(at(1500)) && !standby.holds_back(), "the turn takes long");
        standby.gone();
        assert!(!standby.hold_back(at(1100)));
    }

    #[test]
    fn a_thread_that_sends_has_everything_held_back_for_it_while_it_looks() {
        let standby = Standby::default();
        assert!(!standby.hold_back(at(10)));
        standby.let_thread_send();
        assert!(!standby.hold_back(at(10)) && !standby.holds_back(), "it sleeps");
        standby.set_attends(true);
        assert!(standby.hold_back(at(10)) && standby.holds_back());
        standby.clear_held_back();
        assert!(!standby.holds_back() && standby.hold_back(at(1_000_000)));
        standby.clear_held_back();
        standby.set_attends(false);
        assert!(!standby.hold_back(at(1_000_001)));
    }

    #[test]
    fn after_a_take_over_the_loop_has_to_drive_first() {
        let standby = Standby::default();
        standby.drove(at(1000));
        assert!(!standby.wanted(at(2100), at(2100)));
        standby.drove(at(3000));
        assert!(standby.wanted(at(3001), at(2100)));
    }

    #[test]
    fn deadlines_that_are_a_look_away_wake_nobody_who_stands_by() {
        let standby = Standby::default();
        let (now, soon) = (at(1000), at(1000) + PATIENCE / 2);
        assert_eq!(standby.deadline(), None);
        standby.set_deadline(Some(at(2500)));
        assert_eq!(standby.deadline(), Some(at(2500)));
        assert!(!standby.sees_in_time(now, at(2500)), "it sleeps until what it was told");
        standby.set(true);
        assert!(standby.sees_in_time(now, at(2500)) && !standby.sees_in_time(now, soon));
        standby.set_deadline(None);
        assert_eq!(standby.deadline(), None);
    }

    #[test]
    fn devices_call_the_loop_while_the_thread_stands_by_and_the_thread_otherwise() {
        let parker = Arc::new(Parker::new().unwrap());
        parker.adopt();
        let standby = Arc::new(Standby::default());
        let waker = DriverWaker { parker: parker.clone(), standby: standby.clone() };
        let rings = Arc::new(AtomicUsize::new(0));
        waker.wake();
        assert!(!standby.take_call());
        standby.set(true);
        waker.wake();
        assert!(!standby.has_call(), "nobody to ring: the thread is woken");
        standby.set_ring(Some(Box::new({
            let rings = rings.clone();
            move || {
                rings.fetch_add(1, Ordering::SeqCst);
            }
        })));
        waker.wake();
        assert_eq!((standby.has_call(), rings.load(Ordering::SeqCst)), (true, 1));
        assert!(standby.take_call() && !standby.take_call());
        standby.set(false);
        waker.wake();
        assert_eq!((standby.has_call(), rings.load(Ordering::SeqCst)), (false, 1));
        // A wake-up is kept: this does not sleep.
        parker.park(Some(Duration::from_secs(3600)));
    }

    #[test]
    fn a_loop_that_sends_much_has_the_thread_stand_by() {
        let standby = Standby::default();
        assert!(!standby.hold_back(at(5000)));
        assert!(standby.ask(at(5000)), "it is to be woken");
        assert!(!standby.ask(at(5900)), "not for each datagram");
        assert!(standby.wanted(at(5000), Instant::ZERO), "the loop counts as driving");
        assert!(standby.ask(at(6000)), "it has not come");
        standby.set(true);
        assert!(!standby.ask(at(8000)), "it has");
        assert!(standby.hold_back(at(6400)));
    }
}
