//! What waits for time, in a hierarchical timing wheel: arming, cancelling and expiring cost the same however many wait.
//!
//! There are eleven levels of 64 slots; together they tell all 64 bits of a nanosecond apart, so deadlines are exact and none
//! is too far away. An entry lies on the level of the highest six bits in which its deadline differs from the wheel's time,
//! in the slot that these bits name. So the first slot of the lowest level in use holds what is due first. When that is due
//! and not alone, its slot becomes the wheel's time and its entries move to lower levels, each eleven times at most.
//!
//! Entries fire in the order of their deadlines, those of one deadline in the order in which they were armed.

use std::num::NonZeroU32;

use crate::time::Instant;

/// Bits of a deadline that a level tells apart.
const BITS: u32 = 6;
const SLOTS: usize = 1 << BITS;
const LEVELS: usize = u64::BITS.div_ceil(BITS) as usize;

/// No entry.
const NONE: u32 = u32::MAX;

/// Entries that one call moves to lower levels at most; few in tests, so that they interrupt it often.
const MOVES: usize = if cfg!(test) { 8 } else { 1024 };

/// Entries that are looked at when the earliest of a slot is cancelled; where there are more, the wheel may wake once too
/// early.
const LOOKS: usize = 8;

/// Vacant entries that an empty wheel keeps.
const KEEP: usize = 1024;

/// Names an entry, from its arming until it fires or is cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerKey(NonZeroU32);

impl TimerKey {
    fn new(index: usize) -> Self {
        Self(NonZeroU32::MIN.saturating_add(index as u32))
    }

    fn index(self) -> u32 {
        self.0.get() - 1
    }
}

#[derive(Debug)]
struct Entry<T> {
    deadline: u64,
    value: T,
    prev: u32,
    /// Of a vacant entry, the next that is vacant.
    next: u32,
    level: u8,
    slot: u8,
}

/// A list of entries, in the order in which they were armed.
#[derive(Clone, Copy, Debug)]
struct Slot {
    head: u32,
    tail: u32,
    /// No entry is due before.
    least: u64,
}

#[derive(Debug)]
struct Level {
    /// Slots in use, a bit each.
    used: u64,
    slots: [Slot; SLOTS],
}

impl Default for Level {
    fn default() -> Self {
        Self { used: 0, slots: [Slot { head: NONE, tail: NONE, least: 0 }; SLOTS] }
    }
}

/// The wheel.
#[derive(Debug)]
pub(super) struct Timers<T> {
    entries: Vec<Entry<T>>,
    vacant: u32,
    len: usize,
    /// Made when they are needed.
    levels: [Option<Box<Level>>; LEVELS],
    /// Levels in use, a bit each.
    used: u16,
    /// The wheel's time, nanoseconds: nothing is due before.
    time: u64,
    /// The slot at the wheel's time whose entries are being moved to lower levels.
    moving: Option<(usize, usize)>,
}

impl<T: Copy> Timers<T> {
    pub(super) fn new() -> Self {
        Self {
            entries: Vec::new(),
            vacant: NONE,
            len: 0,
            levels: Default::default(),
            used: 0,
            time: 0,
            moving: None,
        }
    }

    /// Entries that wait.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether none waits.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// When to call [`pop`](Self::pop) next. Nothing is due before; where an entry was cancelled, nothing may be due then.
    pub(super) fn first(&self) -> Option<Instant> {
        let least = |(level, slot)| self.slot(level, slot).least;
        let first = least(self.first_slot().or(self.moving)?);
        Some(Instant::from_nanos(self.moving.map_or(first, |moving| first.min(least(moving)))))
    }

    /// Arms a timer.
    pub(super) fn arm(&mut self, now: Instant, deadline: Instant, value: T) -> TimerKey {
        if self.len == 0 {
            self.time = now.as_nanos();
        }
        // After a clock that went back it waits until the clock has caught up.
        let deadline = deadline.as_nanos().max(self.time);
        let entry = Entry { deadline, value, prev: NONE, next: NONE, level: 0, slot: 0 };
        let index = if self.vacant == NONE {
            self.entries.push(entry);
            self.entries.len() as u32 - 1
        } else {
            let index = self.vacant;
            self.vacant = self.entries[index as usize].next;
            self.entries[index as usize] = entry;
            index
        };
        self.len += 1;
        match self.moving {
            // Behind those of the same deadline that have not been moved yet.
            Some((level, slot)) if (deadline ^ self.time) >> (BITS * level as u32) == 0 => {
                self.append(index, level, slot);
            }
            _ => self.place(index),
        }
        TimerKey::new(index as usize)
    }

    /// The deadline of an entry.
    pub(super) fn deadline(&self, key: TimerKey) -> Instant {
        Instant::from_nanos(self.entries[key.index() as usize].deadline)
    }

    /// Cancels a timer.
    pub(super) fn cancel(&mut self, key: TimerKey) {
        self.take(key.index());
    }

    /// Takes the first entry that is due. `None` when none is, or when so many had to be moved that the caller should do
    /// something else first: then [`first`](Self::first) is due still.
    pub(super) fn pop(&mut self, now: Instant) -> Option<T> {
        let now = now.as_nanos();
        loop {
            let (level, slot) = self.moving.or_else(|| self.first_slot())?;
            let Slot { head, tail, least } = *self.slot(level, slot);
            // What is being moved goes first, due or not: others that were moved already may be.
            if least > now && self.moving.is_none() {
                return None;
            }
            // One alone is the first of all, on whichever level.
            if level == 0 || (head == tail && self.moving.is_none()) {
                let deadline = self.entries[head as usize].deadline;
                if deadline > now {
                    self.slot_mut(level, slot).least = deadline;
                    return None;
                }
                return Some(self.take(head));
            }
            let shift = BITS * level as u32;
            self.time = self.entries[head as usize].deadline >> shift << shift;
            self.moving = Some((level, slot));
            for _ in 0..MOVES {
                let index = self.slot(level, slot).head;
                if index == NONE {
                    break;
                }
                self.unlink(index);
                self.place(index);
            }
            // `unlink` says so when none is left.
            if self.moving.is_some() {
                return None;
            }
        }
    }

    fn slot(&self, level: usize, slot: usize) -> &Slot {
        const EMPTY: &Slot = &Slot { head: NONE, tail: NONE, least: u64::MAX };
        self.levels[level].as_ref().map_or(EMPTY, |level| &level.slots[slot])
    }

    fn slot_mut(&mut self, level: usize, slot: usize) -> &mut Slot {
        &mut self.levels[level].get_or_insert_default().slots[slot]
    }

    /// The slot that holds what is due first, those that are being moved aside.
    fn first_slot(&self) -> Option<(usize, usize)> {
        if self.used == 0 {
            return None;
        }
        let level = self.used.trailing_zeros() as usize;
        let slot = self.levels[level].as_ref()?.used.trailing_zeros() as usize;
        Some((level, slot))
    }

    /// Puts an entry where its deadline belongs, seen from the wheel's time.
    fn place(&mut self, index: u32) {
        let deadline = self.entries[index as usize].deadline;
        let level = (deadline ^ self.time).checked_ilog2().unwrap_or(0) / BITS;
        let slot = (deadline >> (BITS * level)) as usize % SLOTS;
        self.append(index, level as usize, slot);
    }

    fn append(&mut self, index: u32, level: usize, slot: usize) {
        let at = self.levels[level].get_or_insert_default();
        let list = &mut at.slots[slot];
        let entry = &mut self.entries[index as usize];
        let before = list.tail;
        (entry.prev, entry.next) = (before, NONE);
        (entry.level, entry.slot) = (level as u8, slot as u8);
        let deadline = entry.deadline;
        list.tail = index;
        if before == NONE {
            (list.head, list.least) = (index, deadline);
            at.used |= 1 << slot;
            self.used |= 1 << level;
        } else {
            list.least = list.least.min(deadline);
            self.entries[before as usize].next = index;
        }
    }

    fn unlink(&mut self, index: u32) {
        let Entry { prev, next, level, slot, .. } = self.entries[index as usize];
        let (level, slot) = (usize::from(level), usize::from(slot));
        let at = self.levels[level].get_or_insert_default();
        let list = &mut at.slots[slot];
        match prev {
            NONE => list.head = next,
            prev => self.entries[prev as usize].next = next,
        }
        match next {
            NONE => list.tail = prev,
            next => self.entries[next as usize].prev = prev,
        }
        if list.head == NONE {
            at.used &= !(1 << slot);
            if at.used == 0 {
                self.used &= !(1 << level);
            }
            if self.moving == Some((level, slot)) {
                self.moving = None;
            }
        }
    }

    /// Takes an entry out for good.
    fn take(&mut self, index: u32) -> T {
        self.unlink(index);
        let Entry { value, deadline, level, slot, .. } = self.entries[index as usize];
        self.entries[index as usize].next = std::mem::replace(&mut self.vacant, index);
        self.len -= 1;
        if self.len == 0 && self.entries.len() > KEEP {
            *self = Self { time: self.time, ..Self::new() };
            return value;
        }
        let (level, slot) = (usize::from(level), usize::from(slot));
        let Slot { head, least, .. } = *self.slot(level, slot);
        if head != NONE && least == deadline {
            self.correct(level, slot);
        }
        value
    }

    /// The earliest of a slot is gone: sees which is now, where they are few.
    fn correct(&mut self, level: usize, slot: usize) {
        let mut least = u64::MAX;
        let mut index = self.slot(level, slot).head;
        for _ in 0..LOOKS {
            if index == NONE {
                self.slot_mut(level, slot).least = least;
                return;
            }
            let entry = &self.entries[index as usize];
            least = least.min(entry.deadline);
            index = entry.next;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::time::Duration;

    fn at(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }

    /// Everything that is due, and how often that took another call.
    fn due(timers: &mut Timers<u32>, now: u64) -> (Vec<u32>, usize) {
        let (mut fired, mut calls) = (Vec::new(), 0);
        while timers.first().is_some_and(|first| first <= at(now)) {
            calls += 1;
            assert!(calls < 10_000, "it makes no progress");
            fired.extend(std::iter::from_fn(|| timers.pop(at(now))));
        }
        (fired, calls)
    }

    #[test]
    fn deadlines_are_exact_and_in_order_of_arming_where_equal() {
        let mut timers = Timers::new();
        for (value, deadline) in [(1, 300), (2, 200_000_000), (3, 301), (4, 300), (5, u64::MAX)] {
            timers.arm(at(5), at(deadline), value);
        }
        assert_eq!(timers.first(), Some(at(300)));
        assert_eq!(due(&mut timers, 299).0, []);
        assert_eq!(due(&mut timers, 300).0, [1, 4]);
        assert_eq!(timers.first(), Some(at(301)));
        assert_eq!(due(&mut timers, 199_999_999).0, [3]);
        // Hours later.
        assert_eq!(due(&mut timers, 1 << 45).0, [2]);
        assert_eq!(timers.first(), Some(at(u64::MAX)));
        assert_eq!(due(&mut timers, u64::MAX - 1).0, []);
        assert_eq!(due(&mut timers, u64::MAX).0, [5]);
        assert!(timers.is_empty() && timers.first().is_none());
    }

    #[test]
    fn one_call_moves_no_more_than_it_should_and_the_order_stays() {
        let mut timers = Timers::new();
        let count = 3100;
        for value in 0..count {
            // Two of each deadline, far away.
            timers.arm(at(1), at((1 << 40) + u64::from(value / 2 % 1000)), value);
        }
        assert_eq!(timers.pop(at(1 << 41)), None, "moved enough for one call");
        assert!(timers.first().is_some_and(|first| first <= at(1 << 41)), "it is due still");
        // Armed in between, for the last deadline: the last of all.
        timers.arm(at(1 << 41), at((1 << 40) + 999), count);
        let (fired, calls) = due(&mut timers, 1 << 41);
        let mut expected: Vec<u32> = (0..count).collect();
        expected.sort_by_key(|value| value / 2 % 1000);
        let place = expected.partition_point(|value| value / 2 % 1000 <= 999);
        expected.insert(place, count);
        assert_eq!(fired, expected);
        assert!(calls > 3100 / MOVES, "{calls}");
    }

    #[test]
    fn what_is_due_fires_though_the_rest_of_a_crowd_that_is_being_moved_is_not() {
        let mut timers = Timers::new();
        // As many as one call moves, all due, and behind them two of the same slot: one due as early, one later.
        for value in 0..MOVES as u32 {
            timers.arm(at(1), at(1 << 40), value);
        }
        let early = timers.arm(at(1), at(1 << 40), 7000);
        timers.arm(at(1), at((1 << 40) + (1 << 20)), 7001);
        assert_eq!(timers.pop(at(1 << 40)), None, "moved enough for one call");
        timers.cancel(early);
        assert_eq!(timers.first(), Some(at(1 << 40)));
        assert_eq!(due(&mut timers, 1 << 40).0, (0..MOVES as u32).collect::<Vec<_>>());
        assert_eq!(timers.first(), Some(at((1 << 40) + (1 << 20))));
        assert_eq!(due(&mut timers, 1 << 41).0, [7001]);
    }

    #[test]
    fn a_clock_that_goes_back_delays_and_loses_nothing() {
        let mut timers = Timers::new();
        timers.arm(at(1000), at(5000), 1);
        timers.arm(at(1000), at(5001), 2);
        assert_eq!(due(&mut timers, 5000).0, [1]);
        timers.arm(at(10), at(20), 3);
        assert_eq!(due(&mut timers, 30).0, []);
        assert_eq!(due(&mut timers, 6000).0.len(), 2);
    }

    #[test]
    fn a_crowd_that_is_gone_leaves_no_memory() {
        let mut timers = Timers::new();
        let keys: Vec<_> = (0..100_000).map(|i| timers.arm(at(i), at(2 * i + 7), i)).collect();
        for key in keys {
            timers.cancel(key);
        }
        assert!(timers.is_empty() && timers.entries.capacity() == 0);
    }

    /// What a test does.
    #[derive(Clone, Debug)]
    enum Step {
        /// After so many nanoseconds.
        Arm(u64),
        /// As many as one call moves and more, one behind the other.
        Crowd(u64),
        /// The one armed so many before the last.
        Cancel(usize),
        /// Time passes, and what is due fires.
        Pass(u64),
        /// As long as the wheel says.
        Sleep,
    }

    fn step() -> impl Strategy<Value = Step> {
        // Of every scale, from nanoseconds to years.
        let span = (0u32..56, any::<u64>()).prop_map(|(bits, n)| n % (1 << bits));
        prop_oneof![
            4 => span.clone().prop_map(Step::Arm),
            // Few values, so that many are equal.
            2 => (0u64..4).prop_map(|n| Step::Arm(n * 40_000_000)),
            1 => span.clone().prop_map(Step::Crowd),
            3 => (0usize..30).prop_map(Step::Cancel),
            1 => span.prop_map(Step::Pass),
            3 => Just(Step::Sleep),
        ]
    }

    proptest! {
        #[test]
        fn it_does_what_a_sorted_list_does(
            start in any::<u32>(),
            steps in proptest::collection::vec(step(), 1..400),
        ) {
            let mut timers = Timers::new();
            // By deadline, and then by the number of the arming.
            let mut model = BTreeMap::new();
            let mut armed: Vec<(Instant, u32, TimerKey)> = Vec::new();
            let mut now = at(u64::from(start));
            let (mut cancelled, mut in_vain) = (0, 0);
            for (number, step) in steps.into_iter().enumerate() {
                let number = number as u32;
                match step {
                    Step::Arm(after) | Step::Crowd(after) => {
                        let crowd = matches!(step, Step::Crowd(_));
                        for i in 0..if crowd { 2 * MOVES as u32 } else { 1 } {
                            let deadline =
                                now + Duration::from_nanos(after + u64::from(i / 4) * 100_000);
                            let number = number * 100 + i;
                            let key = timers.arm(now, deadline, number);
                            prop_assert_eq!(timers.deadline(key), deadline);
                            model.insert((deadline, number), key);
                            armed.push((deadline, number, key));
                        }
                    }
                    Step::Cancel(back) => {
                        if let Some((deadline, number, key)) = armed.iter().nth_back(back).copied()
                            && model.remove(&(deadline, number)).is_some()
                        {
                            timers.cancel(key);
                            cancelled += 1;
                        }
                    }
                    Step::Pass(time) => now += Duration::from_nanos(time),
                    Step::Sleep => now = now.max(timers.first().unwrap_or(now)),
                }
                let is_due = model.first_key_value().is_some_and(|((at, _), _)| *at <= now);
                let wakes = timers.first().is_some_and(|first| first <= now);
                in_vain += usize::from(wakes && !is_due);
                let mut calls = 0;
                while timers.first().is_some_and(|first| first <= now) {
                    calls += 1;
                    prop_assert!(calls < 1000, "it makes no progress");
                    while let Some(value) = timers.pop(now) {
                        let ((deadline, number), _) = model.pop_first().unwrap();
                        prop_assert_eq!(value, number);
                        prop_assert!(deadline <= now);
                    }
                    // A call may come between.
                    if number.is_multiple_of(3)
                        && let Some((_, key)) = model.pop_first()
                    {
                        timers.cancel(key);
                        cancelled += 1;
                    }
                }
                let first = model.first_key_value().map(|((deadline, _), _)| *deadline);
                prop_assert!(first.is_none_or(|first| first > now), "all that was due has fired");
                prop_assert_eq!(timers.first().is_some(), first.is_some());
                if let Some((wheel, first)) = timers.first().zip(first) {
                    prop_assert!(wheel > now && wheel <= first);
                    if cancelled == 0 {
                        prop_assert_eq!(wheel, first);
                    }
                }
                prop_assert_eq!(timers.len(), model.len());
            }
            prop_assert!(in_vain <= cancelled, "woken in vain {} times", in_vain);
        }
    }
}
