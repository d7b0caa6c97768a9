//! Rows that were written and are not published yet.

use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use hashbrown::HashTable;

use super::super::Error;
use super::super::hash::Seeded;
use super::super::keys::Table;
use super::layer::{Layer, Row};

/// Most rows, and bytes of them, whose memory is kept from one batch to the next.
const ROWS_KEPT: usize = 64 * 1024;
const BYTES_KEPT: usize = 8 * 1024 * 1024;

/// The writes of some records: what was written last under each key.
#[derive(Debug, Default)]
pub(in crate::view) struct Batch {
    /// Keys and values, one behind the other, including overwritten ones.
    bytes: Vec<u8>,
    rows: Vec<Row>,
    /// The rows by their keys.
    by_key: HashTable<u32>,
    seed: Seeded,
    /// Something did not fit.
    is_too_large: bool,
}

impl Batch {
    fn hash(&self, table: Table, key: &[u8]) -> u64 {
        let mut hasher = self.seed.build_hasher();
        hasher.write_usize(table as usize);
        hasher.write(key);
        hasher.finish()
    }

    fn find(&self, hash: u64, table: Table, key: &[u8]) -> Option<&u32> {
        let is_it = |index: &u32| {
            let row = self.rows.get(*index as usize);
            row.is_some_and(|row| row.key(&self.bytes).split_first() == Some((&(table as u8), key)))
        };
        self.by_key.find(hash, is_it)
    }

    /// What was written under a key: nothing, a removal, or a value.
    pub(in crate::view) fn get(&self, table: Table, key: &[u8]) -> Option<Option<&[u8]>> {
        if self.rows.is_empty() {
            return None;
        }
        let index = *self.find(self.hash(table, key), table, key)?;
        let row = self.rows.get(index as usize)?;
        Some(row.value(&self.bytes))
    }

    /// Writes a value; `None` removes the key.
    pub(in crate::view) fn put(&mut self, table: Table, key: &[u8], value: Option<&[u8]>) {
        let offset = self.bytes.len();
        self.bytes.push(table as u8);
        self.bytes.extend_from_slice(key);
        let full = self.bytes.get(offset..).unwrap_or_default();
        let index = u32::try_from(self.rows.len());
        let (Some(row), Ok(index)) = (Row::new(full, value, offset), index) else {
            self.is_too_large = true;
            return;
        };
        self.bytes.extend_from_slice(value.unwrap_or_default());
        let hash = self.hash(table, key);
        if let Some(index) = self.find(hash, table, key).copied() {
            if let Some(before) = self.rows.get_mut(index as usize) {
                *before = row;
            }
            return;
        }
        self.rows.push(row);
        let (bytes, rows, seed) = (&self.bytes, &self.rows, &self.seed);
        self.by_key.insert_unique(hash, index, |index| {
            let key = rows.get(*index as usize).map(|row| row.key(bytes));
            let (table, key) = key.and_then(<[u8]>::split_first).unwrap_or((&0, &[]));
            let mut hasher = seed.build_hasher();
            hasher.write_usize(usize::from(*table));
            hasher.write(key);
            hasher.finish()
        });
    }

    /// What was written under the keys that begin with `prefix`, in no order. Scans everything.
    pub(in crate::view) fn scan(
        &self,
        table: Table,
        prefix: &[u8],
    ) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.rows.iter().filter_map(move |row| {
            let (of, key) = row.key(&self.bytes).split_first()?;
            let is_in = *of == table as u8 && key.starts_with(prefix);
            is_in.then(|| (key, row.value(&self.bytes)))
        })
    }

    /// Everything as a layer; none if there is nothing. Empties the batch.
    ///
    /// # Errors
    /// [`Error::Store`]: more was written than a layer can hold.
    pub(super) fn take(&mut self, in_memory: &Arc<AtomicUsize>) -> Result<Option<Layer>, Error> {
        if self.is_too_large {
            return Err(Error::Store("a batch of writes is too large".into()));
        }
        if self.rows.is_empty() {
            return Ok(None);
        }
        let rows = self.rows.clone();
        let layer = Layer::new(rows, &self.bytes, in_memory);
        self.rows.clear();
        self.bytes.clear();
        self.by_key.clear();
        // The memory of one large batch is not kept forever.
        self.rows.shrink_to(ROWS_KEPT);
        self.by_key.shrink_to(ROWS_KEPT, |_| 0);
        self.bytes.shrink_to(BYTES_KEPT);
        Ok(Some(layer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_says_what_was_written_last_and_ends_as_a_layer() {
        let mut batch = Batch::default();
        assert_eq!(batch.get(Table::Ids, b"k"), None);
        batch.put(Table::Ids, b"k", Some(b"one"));
        batch.put(Table::Customers, b"k", Some(b"two"));
        batch.put(Table::Ids, b"k", Some(b"three"));
        batch.put(Table::Ids, b"kk", None);
        assert_eq!(batch.get(Table::Ids, b"k"), Some(Some(&b"three"[..])));
        assert_eq!(batch.get(Table::Customers, b"k"), Some(Some(&b"two"[..])));
        assert_eq!(batch.get(Table::Ids, b"kk"), Some(None));
        assert_eq!(batch.get(Table::Ids, b""), None);
        assert_eq!(batch.scan(Table::Ids, b"k").count(), 2);
        assert_eq!(batch.scan(Table::Ids, b"kk").count(), 1);
        let layer = batch.take(&Arc::default()).unwrap().unwrap();
        assert_eq!(layer.len(), 3);
        assert!(batch.take(&Arc::default()).unwrap().is_none());
        assert_eq!(batch.get(Table::Ids, b"k"), None);
    }

    #[test]
    fn a_batch_finds_each_of_many_keys() {
        let mut batch = Batch::default();
        for number in 0..10_000_u32 {
            let (key, value) = (number.to_be_bytes(), number.to_le_bytes());
            batch.put(Table::Records, &key, Some(&value));
        }
        for number in 0..10_000_u32 {
            let found = batch.get(Table::Records, &number.to_be_bytes());
            assert_eq!(found, Some(Some(&number.to_le_bytes()[..])));
        }
    }
}
