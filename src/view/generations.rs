//! A cache in two generations: what is asked for while it is in the older one moves to the younger, and the older one goes as a whole
//! once the younger is full.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

use super::hash::Seeded;

/// What an entry takes beside its key and its value, in bytes, as good as that can be told.
pub(super) const ENTRY_BYTES: usize = 96;

/// The cache. Both generations together have at most the weight that it was made for, and one entry more in each.
#[derive(Debug)]
pub(super) struct Generations<K, V> {
    young: HashMap<K, V, Seeded>,
    old: HashMap<K, V, Seeded>,
    weigh: fn(&K, &V) -> usize,
    young_weight: usize,
    young_weight_max: usize,
}

impl<K: Eq + Hash, V: Clone> Generations<K, V> {
    pub(super) fn new(weight_max: usize, weigh: fn(&K, &V) -> usize) -> Self {
        Self {
            young: HashMap::default(),
            old: HashMap::default(),
            weigh,
            young_weight: 0,
            young_weight_max: weight_max / 2,
        }
    }

    pub(super) fn get<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = self.old.remove_entry(key)?;
        self.put(key, value.clone());
        Some(value)
    }

    pub(super) fn put(&mut self, key: K, value: V) {
        if self.young_weight > self.young_weight_max {
            self.old = std::mem::take(&mut self.young);
            self.young_weight = 0;
        }
        self.young_weight += (self.weigh)(&key, &value);
        match self.young.entry(key) {
            Entry::Vacant(place) => {
                place.insert(value);
            }
            Entry::Occupied(mut place) => {
                self.young_weight -= (self.weigh)(place.key(), place.get());
                place.insert(value);
            }
        }
    }

    pub(super) fn remove<Q>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        if let Some((key, value)) = self.young.remove_entry(key) {
            self.young_weight -= (self.weigh)(&key, &value);
        }
        self.old.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Room for ten entries of the same weight.
    fn generations() -> Generations<u64, u64> {
        Generations::new(10, |_, _| 1)
    }

    #[test]
    fn what_is_put_is_found_until_it_is_removed() {
        let mut cache = generations();
        cache.put(1, 10);
        assert_eq!(cache.get(&1), Some(10));
        cache.put(1, 11);
        assert_eq!(cache.get(&1), Some(11));
        cache.remove(&1);
        assert_eq!(cache.get(&1), None);
    }

    #[test]
    fn what_is_asked_for_stays_and_the_rest_goes() {
        let mut cache = generations();
        for number in 0..30 {
            cache.put(number, number);
            assert_eq!(cache.get(&0), Some(0));
        }
        assert_eq!(cache.get(&1), None);
        assert!(cache.young.len() + cache.old.len() <= 12);
    }

    #[test]
    fn what_is_removed_is_gone_from_the_older_generation_too() {
        let mut cache = generations();
        for number in 0..8 {
            cache.put(number, number);
        }
        assert!(cache.old.contains_key(&0));
        cache.put(0, 1);
        cache.remove(&0);
        assert_eq!(cache.get(&0), None);
    }

    #[test]
    fn an_entry_weighs_what_it_weighs_now() {
        let mut cache: Generations<u64, usize> = Generations::new(10, |_, weight| *weight);
        for weight in [1, 4, 2, 3] {
            cache.put(1, weight);
            assert_eq!(cache.young_weight, weight);
        }
        cache.remove(&1);
        assert_eq!(cache.young_weight, 0);
    }
}
