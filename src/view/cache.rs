//! Caches of what the fold recently looked up or wrote, for entries of any size.

use std::hash::Hash;

use quick_cache::unsync::{self, DefaultLifecycle};
use quick_cache::{OptionsBuilder, Weighter};

use super::hash::Seeded;

/// What an entry takes beside its key and its value, in bytes, as an estimate.
pub(super) const ENTRY_BYTES: usize = 96;
/// Share of entries that were requested more than once. With a larger one, new customers are evicted before they come
/// again: folding records of a million customers in random order took a quarter longer.
const HOT: f64 = 0.5;

/// A cache of entries that weigh `weight_max` together, and each about as much as `usual`. Entries are evicted one by
/// one: a cache that drops many at once delays the fold.
pub(super) fn kept<K: Eq + Hash, V, W: Weighter<K, V>>(
    weight_max: u64,
    usual: u64,
    weigh: W,
) -> unsync::Cache<K, V, W, Seeded> {
    let count = usize::try_from(weight_max / usual).unwrap_or(usize::MAX);
    let options = OptionsBuilder::new()
        .estimated_items_capacity(count)
        .weight_capacity(weight_max)
        .hot_allocation(HOT)
        .build();
    unsync::Cache::with_options(
        options.expect("both capacities are given"),
        weigh,
        Seeded::default(),
        DefaultLifecycle::default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug)]
    struct Weigh;

    impl Weighter<u64, Vec<u8>> for Weigh {
        fn weight(&self, _: &u64, value: &Vec<u8>) -> u64 {
            (8 + value.len() + ENTRY_BYTES) as u64
        }
    }

    #[test]
    fn what_is_kept_is_what_was_put_last_and_weighs_no_more_than_it_may() {
        const BYTES_MAX: u64 = 2_048;
        let mut cache = kept(BYTES_MAX, 160, Weigh);
        let count = 2 * BYTES_MAX / ENTRY_BYTES as u64;
        for number in 0..count {
            cache.insert(number, vec![1]);
            cache.insert(number, number.to_be_bytes().to_vec());
        }
        assert!(cache.weight() <= BYTES_MAX, "{}", cache.weight());
        assert!(cache.weight() > BYTES_MAX - 1_000, "{}", cache.weight());
        for number in 0..count {
            let value = cache.get(&number);
            assert!(value.is_none_or(|value| **value == number.to_be_bytes()));
        }
    }

    #[test]
    fn an_entry_that_became_too_heavy_is_not_kept_as_it_was() {
        let mut cache = kept(1_000, 100, Weigh);
        cache.insert(1, vec![1]);
        assert_eq!(cache.get(&1), Some(&vec![1]));
        cache.insert(1, vec![0; 1_000]);
        assert_eq!(cache.get(&1), None);
    }
}
