//! The numbers that JavaScript knows sockets and listeners by: index + generation * 2^32, below 2^53.
//!
//! They are not the core's keys: those count their generations further than a double can, and the binding keeps state
//! of its own per socket for a while after the core has let go of it. A number is never given out twice: a slot whose
//! generations are used up is retired (that is 16 bytes for every two million connections).

use std::collections::VecDeque;

use slotmap::Key;

/// Greatest generation: the number has to stay below 2^53.
const MAX_GENERATION: u32 = (1 << 21) - 1;

/// Marks a core index that no slot belongs to.
const NONE: u32 = u32::MAX;

/// The bits of an index above these say which lane the slot is in (src/sinks.ts counts on it, too). As many slots as a stack may
/// have connections, twice.
const LANE_SHIFT: u32 = 25;

/// The index of the first slot of a lane.
pub(crate) fn base(lane: usize) -> u32 {
    (lane as u32) << LANE_SHIFT
}

/// The lane of an index.
pub(crate) fn lane(index: u32) -> usize {
    (index >> LANE_SHIFT) as usize
}

/// Values by number, and by the core's key.
pub(crate) struct Table<K, T> {
    /// Index of the first slot.
    base: u32,
    slots: Vec<Slot<K, T>>,
    /// Oldest first, so that a number is used again as late as can be.
    free: VecDeque<u32>,
    /// Slot by the index part of the core's key, which is dense; the key in the slot tells whether it is still that one.
    by_key: Vec<u32>,
    len: usize,
}

struct Slot<K, T> {
    generation: u32,
    entry: Option<(K, T)>,
}

/// A number in its two parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handle {
    /// Slot.
    pub(crate) index: u32,
    /// How often the slot was used before.
    pub(crate) generation: u32,
}

impl Handle {
    /// The number as JavaScript has it.
    pub(crate) fn to_number(self) -> f64 {
        f64::from(self.index) + f64::from(self.generation) * 4_294_967_296.0
    }

    /// The parts of a number; `None` when it cannot be a handle (negative, fractional, NaN, too large).
    pub(crate) fn from_number(number: f64) -> Option<Self> {
        let whole = (0.0..9_007_199_254_740_992.0).contains(&number) && number.fract() == 0.0;
        whole.then(|| {
            let bits = number as u64;
            Self { index: bits as u32, generation: (bits >> 32) as u32 }
        })
    }
}

fn key_index<K: Key>(key: K) -> usize {
    (key.data().as_ffi() & 0xffff_ffff) as usize
}

impl<K: Key, T> Table<K, T> {
    /// An empty table whose indices begin with `base`.
    pub(crate) fn new(base: u32) -> Self {
        Self { base, slots: Vec::new(), free: VecDeque::new(), by_key: Vec::new(), len: 0 }
    }

    /// The place of a handle's slot; past the end when it is another table's.
    fn place(&self, handle: Handle) -> usize {
        handle.index.wrapping_sub(self.base) as usize
    }

    /// The handle that the slot in that place has now.
    fn handle(&self, place: u32, generation: u32) -> Handle {
        Handle { index: self.base + place, generation }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Gives `key` a number.
    pub(crate) fn insert(&mut self, key: K, value: T) -> Handle {
        let index = self.free.pop_front().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, entry: None });
            (self.slots.len() - 1) as u32
        });
        let slot = &mut self.slots[index as usize];
        slot.entry = Some((key, value));
        let at = key_index(key);
        if self.by_key.len() <= at {
            self.by_key.resize(at + 1, NONE);
        }
        self.by_key[at] = index;
        self.len += 1;
        let generation = slot.generation;
        self.handle(index, generation)
    }

    /// Forgets a handle; its number is stale from here on.
    pub(crate) fn remove(&mut self, handle: Handle) -> Option<(K, T)> {
        let place = self.place(handle);
        let slot = self.slots.get_mut(place)?;
        if slot.generation != handle.generation {
            return None;
        }
        let (key, value) = slot.entry.take()?;
        if slot.generation < MAX_GENERATION {
            slot.generation += 1;
            self.free.push_back(place as u32);
        }
        let at = key_index(key);
        if self.by_key[at] == place as u32 {
            self.by_key[at] = NONE;
        }
        self.len -= 1;
        Some((key, value))
    }

    /// What a handle stands for; `None` when it is stale.
    pub(crate) fn get(&mut self, handle: Handle) -> Option<(K, &mut T)> {
        let place = self.place(handle);
        let slot = self.slots.get_mut(place)?;
        match &mut slot.entry {
            Some((key, value)) if slot.generation == handle.generation => Some((*key, value)),
            _ => None,
        }
    }

    /// What a handle stands for, to look at; `None` when it is stale.
    pub(crate) fn value(&self, handle: Handle) -> Option<&T> {
        let slot = self.slots.get(self.place(handle))?;
        let (_, value) = slot.entry.as_ref()?;
        (slot.generation == handle.generation).then_some(value)
    }

    /// The core's key of a number; `None` when it is stale or no number of this table.
    pub(crate) fn key(&self, number: f64) -> Option<(Handle, K)> {
        let handle = Handle::from_number(number)?;
        let slot = self.slots.get(self.place(handle))?;
        match &slot.entry {
            Some((key, _)) if slot.generation == handle.generation => Some((handle, *key)),
            _ => None,
        }
    }

    /// The handle of an older key in the place of `key`: what it stood for is gone in the core.
    pub(crate) fn predecessor(&self, key: K) -> Option<Handle> {
        let index = *self.by_key.get(key_index(key))?;
        let slot = self.slots.get(index as usize)?;
        match &slot.entry {
            Some((k, _)) if *k != key && key_index(*k) == key_index(key) => {
                Some(self.handle(index, slot.generation))
            }
            _ => None,
        }
    }

    /// The handle of a core's key.
    pub(crate) fn find(&self, key: K) -> Option<Handle> {
        let index = *self.by_key.get(key_index(key))?;
        let slot = self.slots.get(index as usize)?;
        match &slot.entry {
            Some((k, _)) if *k == key => Some(self.handle(index, slot.generation)),
            _ => None,
        }
    }

    /// All handles.
    pub(crate) fn handles(&self) -> Vec<Handle> {
        let live = self.slots.iter().enumerate().filter(|(_, slot)| slot.entry.is_some());
        live.map(|(i, slot)| self.handle(i as u32, slot.generation)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use slotmap::SlotMap;
    use usernet_core::SocketId;

    #[test]
    fn a_number_gives_its_parts_back_and_nothing_else_does() {
        for (index, generation) in [(0, 0), (7, 1), (u32::MAX, MAX_GENERATION)] {
            let handle = Handle { index, generation };
            assert!(handle.to_number() < 9_007_199_254_740_992.0);
            assert_eq!(Handle::from_number(handle.to_number()), Some(handle));
        }
        for bad in [-1.0, 0.5, f64::NAN, f64::INFINITY, 9_007_199_254_740_992.0, -9.0] {
            assert_eq!(Handle::from_number(bad), None, "{bad}");
        }
    }

    #[test]
    fn lanes_know_their_own_numbers_alone() {
        let mut core = SlotMap::<SocketId, ()>::with_key();
        let keys = [core.insert(()), core.insert(())];
        let mut tables = [0, 1, 63].map(|lane| Table::new(base(lane)));
        let made = [0, 1, 2].map(|at| keys.map(|key| tables[at].insert(key, at)));
        for (at, lane) in [0, 1, 63].into_iter().enumerate() {
            for (handle, key) in made[at].into_iter().zip(keys) {
                assert_eq!(super::lane(handle.index), lane);
                assert!(i32::try_from(handle.index).is_ok(), "a record holds it");
                assert_eq!(Handle::from_number(handle.to_number()), Some(handle));
                for (other, table) in tables.iter_mut().enumerate() {
                    assert_eq!(table.key(handle.to_number()).is_some(), other == at);
                    assert_eq!(table.get(handle).is_some(), other == at);
                }
                assert_eq!(tables[at].find(key), Some(handle));
            }
            assert_eq!(tables[at].handles(), made[at]);
        }
        assert_eq!(tables[2].remove(made[2][0]), Some((keys[0], 2)));
        assert!(tables[2].value(made[2][0]).is_none() && tables[1].value(made[1][0]).is_some());
        let again = tables[2].insert(keys[0], 2);
        assert_eq!((again.index, again.generation), (made[2][0].index, 1));
    }

    #[test]
    fn a_removed_handle_is_stale_although_its_slot_is_used_again() {
        let mut core = SlotMap::<SocketId, ()>::with_key();
        let mut table = Table::new(0);
        let first_key = core.insert(());
        let first = table.insert(first_key, 'a');
        assert_eq!(table.find(first_key), Some(first));
        assert_eq!(table.remove(first), Some((first_key, 'a')));
        assert_eq!(table.remove(first), None);
        assert_eq!((table.find(first_key), table.len()), (None, 0));

        core.remove(first_key);
        let second_key = core.insert(());
        let second = table.insert(second_key, 'b');
        assert_eq!(second.index, first.index);
        assert_ne!(second.generation, first.generation);
        assert!(table.get(first).is_none() && table.key(first.to_number()).is_none());
        assert_eq!(table.key(second.to_number()), Some((second, second_key)));
        assert_eq!(table.find(first_key), None, "an old key does not find the new socket");
        assert_eq!(table.find(second_key), Some(second));
    }

    #[test]
    fn removing_a_handle_late_leaves_the_new_owner_of_the_core_index_alone() {
        let mut core = SlotMap::<SocketId, ()>::with_key();
        let mut table = Table::new(0);
        let old_key = core.insert(());
        let old = table.insert(old_key, 'a');
        core.remove(old_key);
        let new_key = core.insert(());
        let new = table.insert(new_key, 'b');
        assert_eq!(table.remove(old), Some((old_key, 'a')));
        assert_eq!(table.find(new_key), Some(new));
        assert_eq!(table.handles(), [new]);
    }

    #[test]
    fn a_slot_whose_generations_are_used_up_is_retired() {
        let mut core = SlotMap::<SocketId, ()>::with_key();
        let key = core.insert(());
        let mut table = Table::new(0);
        let mut last = table.insert(key, ());
        for _ in 0..MAX_GENERATION {
            table.remove(last);
            let next = table.insert(key, ());
            assert_eq!((next.index, next.generation), (0, last.generation + 1));
            last = next;
        }
        assert_eq!(last.generation, MAX_GENERATION);
        table.remove(last);
        assert_eq!(table.insert(key, ()), Handle { index: 1, generation: 0 });
        assert!(table.get(last).is_none());
    }
}
