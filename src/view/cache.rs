//! What the fold looked up or wrote lately, so that it need not ask the engine again.
//!
//! The way from an ID to its customer is looked up for each record, and most records are about customers of a moment ago. Only the
//! fold itself writes the tables that are kept here, so that what is kept is what the store has.

use fjall::Slice;

use super::generations::{ENTRY_BYTES, Generations};
use super::keys::Table;

/// Most memory that a table's entries take, in bytes.
const BYTES_MAX: usize = 32 * 1024 * 1024;

/// The tables that are kept.
const KEPT: [Table; 2] = [Table::Projects, Table::Ids];

/// Entries of tables, as they lie in the store.
#[derive(Debug)]
pub(super) struct Cache([Generations<Slice, Slice>; KEPT.len()]);

impl Default for Cache {
    fn default() -> Self {
        let weigh = |key: &Slice, value: &Slice| key.len() + value.len() + ENTRY_BYTES;
        Self(KEPT.map(|_| Generations::new(BYTES_MAX, weigh)))
    }
}

impl Cache {
    pub(super) fn get(&mut self, table: Table, key: &[u8]) -> Option<Slice> {
        self.table(table)?.get(key)
    }

    /// Notes what the store has under a key; `None`: nothing.
    pub(super) fn put(&mut self, table: Table, key: &Slice, value: Option<&Slice>) {
        let Some(table) = self.table(table) else {
            return;
        };
        match value {
            Some(value) => table.put(key.clone(), value.clone()),
            None => table.remove(key),
        }
    }

    fn table(&mut self, table: Table) -> Option<&mut Generations<Slice, Slice>> {
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
}
