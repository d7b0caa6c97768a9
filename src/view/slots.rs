//! A cache of small entries in one piece of memory, which grows with them up to a bound.
//!
//! A key belongs to two sets of slots, and is in the second only if the first had no free slot. In a set the entries
//! are in the order of their last use; a new one replaces the last one where both are full. Nothing is allocated per
//! entry. A look-up touches at most four cache lines, usually two.

use std::hash::{BuildHasher as _, RandomState};

/// An entry: its first `KEY` words are the key, which is not zero.
pub(super) type Entry = [u64; 4];

/// Slots of a set.
const WAYS: usize = 4;
type Set = [Entry; WAYS];
/// How many sets there are at first, and the factor of each growth, which puts all entries into new sets.
const SETS_MIN: usize = 1 << 10;
const GROWTH: usize = 4;
/// An odd number without a pattern in its bits.
const MIXER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Entries whose key has `KEY` words.
#[derive(Debug)]
pub(super) struct Slots<const KEY: usize> {
    /// Their number is a power of two.
    sets: Vec<Set>,
    /// The bound of their number.
    sets_max: usize,
    /// Entries that are not empty.
    count: usize,
    /// Callers must not know which keys share a set.
    seed: u64,
}

impl<const KEY: usize> Slots<KEY> {
    /// Slots of so many bytes at most.
    pub(super) fn new(bytes: usize) -> Self {
        let sets = (bytes / size_of::<Set>()).max(1);
        let sets_max = 1 << sets.ilog2();
        Self {
            sets: vec![[[0; 4]; WAYS]; sets_max.min(SETS_MIN)],
            sets_max,
            count: 0,
            seed: RandomState::new().hash_one(()),
        }
    }

    /// The sets of a key, by their indices.
    fn sets_of(&self, key: &[u64]) -> [usize; 2] {
        let last = key.last().copied().unwrap_or_default();
        let mixed = (last ^ self.seed).wrapping_mul(MIXER);
        // Twice, so that consecutive keys are scattered.
        let mixed = (mixed ^ mixed >> 32).wrapping_mul(MIXER);
        let last = self.sets.len() - 1;
        // The second one differs.
        let first = (mixed >> 32) as usize & last;
        let apart = (mixed.wrapping_mul(MIXER) >> 32) as usize | 1;
        [first, (first ^ apart) & last]
    }

    /// Where an entry with this key is: its set, and its place there.
    fn find(&self, sets: [usize; 2], key: &[u64]) -> Option<(usize, usize)> {
        let place = |index: usize| {
            let set = self.sets.get(index)?;
            let place = set.iter().position(|entry| entry.starts_with(key))?;
            Some((index, place))
        };
        sets.into_iter().find_map(place)
    }

    /// The entry at a place of a set, which becomes the last one to be replaced.
    fn used(&mut self, (index, place): (usize, usize)) -> Option<&mut Entry> {
        let used = self.sets.get_mut(index)?.get_mut(..=place)?;
        used.rotate_right(1);
        used.first_mut()
    }

    /// The entry of a key, which becomes the last one to be replaced.
    pub(super) fn get(&mut self, key: [u64; KEY]) -> Option<&mut Entry> {
        let found = self.find(self.sets_of(&key), &key)?;
        self.used(found)
    }

    /// Replaces the entry with the same key, or else the least recently used one of its first set, which is given back.
    pub(super) fn put(&mut self, entry: Entry) -> Option<Entry> {
        let key = entry.get(..KEY)?;
        let sets = self.sets_of(key);
        let found = self.find(sets, key);
        let place = found.or_else(|| self.find(sets, &[0; KEY]));
        let [first, _] = sets;
        let is_other = place.is_none();
        let used = self.used(place.unwrap_or((first, WAYS - 1)))?;
        let before = std::mem::replace(used, entry);
        if before == [0; 4] {
            self.count += 1;
            self.grow();
        }
        is_other.then_some(before)
    }

    /// Adds sets before many are full.
    fn grow(&mut self) {
        let is_roomy = self.count < self.sets.len() * WAYS / 2;
        if is_roomy || self.sets.len() >= self.sets_max {
            return;
        }
        let sets = self.sets_max.min(self.sets.len() * GROWTH);
        let before = std::mem::replace(&mut self.sets, vec![[[0; 4]; WAYS]; sets]);
        self.count = 0;
        // The last of a set first, so that they keep their order.
        let entries = before.iter().flat_map(|set| set.iter().rev());
        for entry in entries.filter(|entry| **entry != [0; 4]) {
            self.put(*entry);
        }
    }

    pub(super) fn remove(&mut self, key: [u64; KEY]) {
        if let Some((index, place)) = self.find(self.sets_of(&key), &key)
            && let Some(entry) = self.sets.get_mut(index).and_then(|set| set.get_mut(place))
        {
            *entry = [0; 4];
            self.count -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn a_set_lets_the_entry_go_that_was_not_used_for_longest() {
        let mut slots = Slots::<1>::new(1);
        for key in 1..=4 {
            assert_eq!(slots.put([key, 10 * key, 0, 0]), None);
        }
        assert_eq!(slots.get([1]).copied(), Some([1, 10, 0, 0]));
        assert_eq!(slots.put([5, 50, 0, 0]), Some([2, 20, 0, 0]));
        assert_eq!(slots.get([2]), None);
        assert_eq!(slots.put([3, 31, 0, 0]), None, "it was there");
        assert_eq!(slots.get([3]).copied(), Some([3, 31, 0, 0]));
        slots.remove([4]);
        assert_eq!(slots.get([4]), None);
        assert_eq!(slots.put([6, 60, 0, 0]), None, "there was room");
        assert_eq!(slots.put([7, 70, 0, 0]), Some([1, 10, 0, 0]));
    }

    #[test]
    fn slots_grow_with_their_entries_and_forget_none_of_them_for_it() {
        let mut slots = Slots::<1>::new(1 << 20);
        assert_eq!(slots.sets.len(), SETS_MIN);
        for key in 1..=9_000 {
            slots.put([key, key, 0, 0]);
            assert!(slots.get([key]).is_some(), "{key}");
        }
        assert_eq!(slots.sets.len(), 8 * SETS_MIN);
        let found = (1..=9_000).filter(|key| slots.get([*key]).is_some());
        assert!(found.count() > 8_900);
        (1..100_000).for_each(|key| _ = slots.put([key, key, 0, 0]));
        assert_eq!(slots.sets.len(), 8 * SETS_MIN, "no more than it may");
        assert!(slots.count <= 8 * SETS_MIN * WAYS);
    }

    #[test]
    fn what_is_found_is_what_was_put_last() {
        let mut slots = Slots::<2>::new(64 * 128);
        let mut all = HashMap::new();
        for number in 0..10_000_u64 {
            let key = [number % 7, number.wrapping_mul(0x9e37_79b9) % 500 + 1];
            slots.put([key[0], key[1], number, 0]);
            all.insert(key, number);
        }
        let found = all.iter().filter(|(key, number)| {
            let entry = slots.get(**key).copied();
            entry.is_some_and(|entry| entry[2] == **number) || {
                assert_eq!(entry, None);
                false
            }
        });
        assert!((200..=256).contains(&found.count()));
    }
}
