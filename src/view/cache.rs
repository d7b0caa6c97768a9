//! What the fold looked up or wrote lately, so that it need not ask the engine again.
//!
//! The way from an ID to its customer is looked up for each record, and most records are about customers of a moment
//! ago. Only the fold itself writes the tables that are kept here, so that what is kept is what the store has.

use std::hash::Hash;

use fjall::Slice;
use quick_cache::unsync::{self, DefaultLifecycle};
use quick_cache::{OptionsBuilder, Weighter};

use super::hash::Seeded;
use super::keys::Table;

/// Most memory that a table's entries take, in bytes. In tests so little that entries go.
const BYTES_MAX: u64 = if cfg!(test) { 2 << 10 } else { 32 << 20 };
/// What an entry takes beside its key and its value, in bytes, as good as that can be told.
pub(super) const ENTRY_BYTES: usize = 96;
/// Share of what was asked for more than once. With more of it, customers who just came go before they come again:
/// folding records of a million customers in random order took a quarter longer.
const HOT: f64 = 0.5;
/// About how much an entry takes, in bytes.
const USUAL_BYTES: u64 = 160;

/// The tables that are kept.
const KEPT: [Table; 2] = [Table::Projects, Table::Ids];

/// Entries of tables, as they lie in the store.
#[derive(Debug)]
pub(super) struct Cache([Entries; KEPT.len()]);

/// They go one by one: a cache that drops many at once keeps whoever waits for the fold waiting.
type Entries = unsync::Cache<Slice, Slice, Weigh, Seeded>;

#[derive(Clone, Debug)]
struct Weigh;

impl Weighter<Slice, Slice> for Weigh {
    fn weight(&self, key: &Slice, value: &Slice) -> u64 {
        (key.len() + value.len() + ENTRY_BYTES) as u64
    }
}

impl Default for Cache {
    fn default() -> Self {
        Self(KEPT.map(|_| kept(BYTES_MAX, USUAL_BYTES, Weigh)))
    }
}

/// A cache of entries that weigh `weight_max` together, and each about as much as `usual`.
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

impl Cache {
    pub(super) fn get(&mut self, table: Table, key: &[u8]) -> Option<Slice> {
        self.table(table)?.get(key).cloned()
    }

    /// Notes what the store has under a key; `None`: nothing.
    pub(super) fn put(&mut self, table: Table, key: &Slice, value: Option<&Slice>) {
        let Some(table) = self.table(table) else {
            return;
        };
        match value {
            Some(value) => table.insert(key.clone(), value.clone()),
            None => drop(table.remove(key)),
        }
    }

    fn table(&mut self, table: Table) -> Option<&mut Entries> {
        let place = KEPT.iter().position(|kept| *kept == table)?;
        self.0.get_mut(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(number: u64) -> Slice {
        Slice::from(number.to_be_bytes())
    }

    #[test]
    fn a_table_has_its_own_entries() {
        let mut cache = Cache::default();
        cache.put(Table::Ids, &slice(1), Some(&slice(10)));
        assert_eq!(cache.get(Table::Ids, &slice(1)), Some(slice(10)));
        assert_eq!(cache.get(Table::Projects, &slice(1)), None);
        cache.put(Table::Ids, &slice(1), None);
        assert_eq!(cache.get(Table::Ids, &slice(1)), None);
    }

    #[test]
    fn a_table_that_others_write_is_not_kept() {
        let mut cache = Cache::default();
        cache.put(Table::Timeline, &slice(1), Some(&slice(10)));
        assert_eq!(cache.get(Table::Timeline, &slice(1)), None);
    }

    #[test]
    fn what_is_kept_is_what_was_put_last_and_weighs_no_more_than_it_may() {
        let mut cache = Cache::default();
        let count = 2 * BYTES_MAX / ENTRY_BYTES as u64;
        for number in 0..count {
            cache.put(Table::Ids, &slice(number), Some(&slice(1)));
            cache.put(Table::Ids, &slice(number), Some(&slice(number)));
        }
        let kept = cache.table(Table::Ids).unwrap();
        assert!(kept.weight() <= BYTES_MAX, "{}", kept.weight());
        assert!(kept.weight() > BYTES_MAX - 1_000, "{}", kept.weight());
        for number in 0..count {
            let value = cache.get(Table::Ids, &slice(number));
            assert!(value.is_none_or(|value| value == slice(number)));
        }
    }

    #[test]
    fn an_entry_that_became_too_heavy_is_not_kept_as_it_was() {
        let mut cache = kept(1_000, 100, Weigh);
        cache.insert(slice(1), slice(10));
        assert_eq!(cache.get(&slice(1)), Some(&slice(10)));
        cache.insert(slice(1), Slice::from([0; 1_000]));
        assert_eq!(cache.get(&slice(1)), None);
    }
}
