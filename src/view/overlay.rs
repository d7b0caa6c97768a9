//! Writes that are not in the store yet, and reads that see them.

use std::collections::HashMap;

use fjall::Slice;

use super::Error;
use super::keys::Table;
use super::store::{Store, number};
use crate::log::Position;

/// The writes of some records, which reach the store together with the position up to which they apply the log.
#[derive(Debug)]
pub(super) struct Overlay<'a> {
    store: &'a Store,
    writes: HashMap<(Table, Vec<u8>), Option<Vec<u8>>>,
}

impl<'a> Overlay<'a> {
    pub(super) fn new(store: &'a Store) -> Self {
        Self {
            store,
            writes: HashMap::new(),
        }
    }

    pub(super) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Slice>, Error> {
        // Most keys were not written a moment ago, and the map wants an owned key to look at.
        if !self.writes.is_empty()
            && let Some(value) = self.writes.get(&(table, key.to_vec()))
        {
            return Ok(value.as_deref().map(Slice::from));
        }
        self.store.get(table, key)
    }

    pub(super) fn put(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) {
        self.writes.insert((table, key), Some(value));
    }

    pub(super) fn remove(&mut self, table: Table, key: Vec<u8>) {
        self.writes.insert((table, key), None);
    }

    /// All entries whose key begins with `prefix`, none of which may have been written since the last flush.
    pub(super) fn scan_unwritten(
        &self,
        table: Table,
        prefix: &[u8],
    ) -> Result<Vec<(Slice, Slice)>, Error> {
        debug_assert!(
            !self
                .writes
                .keys()
                .any(|(of, key)| *of == table && key.starts_with(prefix)),
            "the scan sees the store only"
        );
        let entries = self.store.scan(table, prefix)?;
        Ok(entries
            .map(fjall::Guard::into_inner)
            .collect::<Result<_, _>>()?)
    }

    /// Some of the entries whose key begins with `prefix`, from behind the key `after` on. None of them may have
    /// been written since the last flush.
    pub(super) fn page_unwritten(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
    ) -> Result<Vec<(Slice, Slice)>, Error> {
        self.store.page(table, prefix, after)
    }

    /// Writes everything, with the position up to which it applies the log.
    pub(super) fn flush(&mut self, applied: Position) -> Result<(), Error> {
        let applied = number(applied.get());
        let mut writes: Vec<_> = std::mem::take(&mut self.writes)
            .into_iter()
            .map(|((table, key), value)| (table, key, value))
            .collect();
        // The engine's way to a key's neighbour lies in the processor's cache.
        writes.sort_unstable_by(|(a, left, _), (b, right, _)| {
            (*a as usize, left).cmp(&(*b as usize, right))
        });
        for table in Table::ALL {
            let key = table.mark().to_vec();
            writes.push((table, key, Some(applied.clone())));
        }
        self.store.write(writes)
    }
}
