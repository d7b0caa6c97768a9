//! What the fold looked up or wrote lately, so that it need not ask the engine again.
//!
//! The way from an ID to its customer is looked up for each record, and most records are about customers of a moment ago. Only the
//! fold itself writes the tables that are kept here, so that what is kept is what the store has.

use std::collections::HashMap;

use fjall::Slice;

use super::hash::Seeded;
use super::keys::Table;

/// Most memory that is taken, in bytes of keys and values with what a map adds to each, as good as that can be told.
const BYTES_MAX: usize = 64 * 1024 * 1024;
/// What an entry takes beside its key and its value.
const ENTRY_BYTES: usize = 96;

/// A cache in two generations: what is asked for while it is in the older one moves to the younger, and the older one goes as a
/// whole once the younger is full.
#[derive(Debug, Default)]
pub(super) struct Cache {
    young: Generation,
    old: Generation,
}

#[derive(Debug, Default)]
struct Generation {
    tables: [HashMap<Slice, Slice, Seeded>; KEPT.len()],
    bytes: usize,
}

/// The tables that are kept.
const KEPT: [Table; 3] = [Table::Projects, Table::Ids, Table::Customers];

/// The place of a table among those that are kept, if it is.
fn place(table: Table) -> Option<usize> {
    KEPT.iter().position(|kept| *kept == table)
}

impl Cache {
    pub(super) fn get(&mut self, table: Table, key: &[u8]) -> Option<Slice> {
        let place = place(table)?;
        if let Some(value) = self.young.tables.get(place)?.get(key) {
            return Some(value.clone());
        }
        let (key, value) = self.old.tables.get_mut(place)?.remove_entry(key)?;
        self.keep(place, key, value.clone());
        Some(value)
    }

    /// Notes what the store has under a key; `None`: nothing.
    pub(super) fn put(&mut self, table: Table, key: &Slice, value: Option<&Slice>) {
        let Some(place) = place(table) else {
            return;
        };
        match value {
            Some(value) => self.keep(place, key.clone(), value.clone()),
            None => {
                for generation in [&mut self.young, &mut self.old] {
                    if let Some(table) = generation.tables.get_mut(place) {
                        // Their bytes stay counted until the generation goes, for few entries are removed.
                        table.remove(key);
                    }
                }
            }
        }
    }

    fn keep(&mut self, place: usize, key: Slice, value: Slice) {
        if self.young.bytes > BYTES_MAX / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        let bytes = key.len() + value.len() + ENTRY_BYTES;
        if let Some(table) = self.young.tables.get_mut(place)
            && table.insert(key, value).is_none()
        {
            self.young.bytes += bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(number: u64) -> Slice {
        Slice::from(number.to_be_bytes())
    }

    #[test]
    fn what_is_put_is_found_until_it_is_removed() {
        let mut cache = Cache::default();
        cache.put(Table::Ids, &slice(1), Some(&slice(10)));
        assert_eq!(cache.get(Table::Ids, &slice(1)), Some(slice(10)));
        assert_eq!(cache.get(Table::Customers, &slice(1)), None);
        cache.put(Table::Ids, &slice(1), Some(&slice(11)));
        assert_eq!(cache.get(Table::Ids, &slice(1)), Some(slice(11)));
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
    fn what_is_asked_for_stays_and_the_rest_goes() {
        let mut cache = Cache::default();
        let most = (BYTES_MAX / (ENTRY_BYTES + 16)) as u64;
        for number in 0..3 * most {
            cache.put(Table::Ids, &slice(number), Some(&slice(number)));
            assert_eq!(cache.get(Table::Ids, &slice(0)), Some(slice(0)));
        }
        assert_eq!(cache.get(Table::Ids, &slice(1)), None);
        let kept =
            |generation: &Generation| generation.tables.iter().map(HashMap::len).sum::<usize>();
        assert!(kept(&cache.young) + kept(&cache.old) <= usize::try_from(most).unwrap() + 2);
    }

    #[test]
    fn what_is_removed_is_gone_from_the_older_generation_too() {
        let mut cache = Cache::default();
        cache.put(Table::Ids, &slice(0), Some(&slice(0)));
        let half = (BYTES_MAX / 2 / (ENTRY_BYTES + 16)) as u64;
        for number in 1..=half + 2 {
            cache.put(Table::Ids, &slice(number), Some(&slice(number)));
        }
        assert!(!cache.old.tables.iter().all(HashMap::is_empty));
        cache.put(Table::Ids, &slice(0), None);
        assert_eq!(cache.get(Table::Ids, &slice(0)), None);
    }
}
