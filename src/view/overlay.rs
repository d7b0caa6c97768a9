//! Writes that are not in the store yet, and reads that see them.

use std::collections::BTreeMap;

use fjall::Slice;

use super::Error;
use super::keys::{self, Table};
use super::store::{Batch, Entry, Epoch, Store, number};
use crate::log::Position;

/// The writes of some records, which reach the store together with the position up to which they apply the log.
#[derive(Debug)]
pub(super) struct Overlay<'a> {
    store: &'a Store,
    batch: Batch,
}

impl<'a> Overlay<'a> {
    pub(super) fn new(store: &'a Store) -> Self {
        Self {
            store,
            batch: Batch::default(),
        }
    }

    pub(super) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Slice>, Error> {
        match self.batch.get(table, key) {
            Some(written) => Ok(written.map(Slice::from)),
            None => self.store.get(table, key),
        }
    }

    /// As [`Self::get`], for a key that was not written since the last checkpoint.
    pub(super) fn get_of_base(&self, table: Table, key: &[u8]) -> Result<Option<Slice>, Error> {
        self.store.get_of_base(table, key)
    }

    pub(super) fn put(&mut self, table: Table, key: &[u8], value: &[u8]) {
        self.batch.put(table, key, Some(value));
    }

    pub(super) fn remove(&mut self, table: Table, key: &[u8]) {
        self.batch.put(table, key, None);
    }

    /// All entries whose key begins with `prefix`, in order. Scans all unwritten entries.
    pub(super) fn scan(&self, table: Table, prefix: &[u8]) -> Result<Vec<Entry>, Error> {
        let mut entries = BTreeMap::new();
        for row in self.store.scan(table, prefix) {
            let (key, value) = row?;
            entries.insert(key, value);
        }
        for (key, value) in self.batch.scan(table, prefix) {
            match value {
                Some(value) => drop(entries.insert(key.into(), value.into())),
                None => drop(entries.remove(key)),
            }
        }
        Ok(entries.into_iter().collect())
    }

    /// Some of the entries whose key begins with `prefix`, from behind the key `after` on. None of them may have
    /// been written since the last flush.
    pub(super) fn page_unwritten(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
    ) -> Result<Vec<Entry>, Error> {
        self.store.page(table, prefix, after)
    }

    /// The last entry whose key begins with a customer's number. None of them may have been written since the last
    /// flush.
    pub(super) fn last_unwritten(
        &self,
        table: Table,
        customer: u64,
    ) -> Result<Option<Entry>, Error> {
        self.store.last(table, customer)
    }

    /// Writes everything, with the position up to which it applies the log.
    pub(super) fn flush(&mut self, applied: Position) -> Result<Epoch, Error> {
        self.batch
            .put(Table::Meta, keys::APPLIED, Some(&number(applied.get())));
        self.store.write(&mut self.batch)
    }
}
