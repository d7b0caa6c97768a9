//! Writes that are not in the store yet, and reads that see them.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher as _, RandomState};

use fjall::Slice;

use super::Error;
use super::cache::Cache;
use super::hash::Seeded;
use super::keys::Table;
use super::store::{Store, number};
use crate::log::Position;

/// Most entries of a table that its map keeps room for from one batch to the next.
const ROOM_MAX: usize = 16 * 1024;

/// The writes of some records, which reach the store together with the position up to which they apply the log.
///
/// It stays for the next ones, so that neither its maps nor what the cache knows begin anew.
#[derive(Debug)]
pub(super) struct Overlay<'a> {
    store: &'a Store,
    cache: Cache,
    /// Up to where the log was applied at the last flush.
    flushed: Option<Position>,
    /// For each table, in the order of the enum; `None` removes.
    writes: [HashMap<Slice, Option<Slice>, Seeded>; Table::ALL.len()],
}

impl<'a> Overlay<'a> {
    /// The only overlay over this store.
    pub(super) fn new(store: &'a Store) -> Self {
        Self {
            store,
            cache: Cache::default(),
            flushed: None,
            writes: Default::default(),
        }
    }

    pub(super) fn get(&mut self, table: Table, key: &[u8]) -> Result<Option<Slice>, Error> {
        let written = self.writes.get(table as usize);
        if let Some(value) = written.and_then(|writes| writes.get(key)) {
            return Ok(value.clone());
        }
        if let Some(value) = self.cache.get(table, key) {
            return Ok(Some(value));
        }
        let value = self.store.get(table, key)?;
        if let Some(value) = &value {
            // A copy: what the engine gives out may keep a whole block of a table in memory.
            self.cache.put(table, &key.into(), Some(&(**value).into()));
        }
        Ok(value)
    }

    pub(super) fn put(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) {
        self.write(table, key, Some(value.into()));
    }

    pub(super) fn remove(&mut self, table: Table, key: Vec<u8>) {
        self.write(table, key, None);
    }

    fn write(&mut self, table: Table, key: Vec<u8>, value: Option<Slice>) {
        // There is a map for each table.
        if let Some(writes) = self.writes.get_mut(table as usize) {
            writes.insert(key.into(), value);
        }
    }

    /// All entries whose key begins with `prefix`, in order. Costs a look at everything of the table that is not
    /// written yet.
    pub(super) fn scan(&self, table: Table, prefix: &[u8]) -> Result<Vec<(Slice, Slice)>, Error> {
        let mut entries = BTreeMap::new();
        for guard in self.store.scan(table, prefix)? {
            let (key, value) = guard.into_inner()?;
            entries.insert(key, value);
        }
        let unwritten = self.writes.get(table as usize).into_iter().flatten();
        for (key, value) in unwritten.filter(|(key, _)| key.starts_with(prefix)) {
            match value {
                Some(value) => drop(entries.insert(key.clone(), value.clone())),
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
    ) -> Result<Vec<(Slice, Slice)>, Error> {
        self.store.page(table, prefix, after)
    }

    /// Writes everything, with the position up to which it applies the log.
    pub(super) fn flush(&mut self, applied: Position) -> Result<(), Error> {
        let mut mark = number(applied.get());
        if self.flushed.replace(applied) == Some(applied) {
            // A part of the next record, which takes many writes: no other part leaves the same mark.
            mark.extend(RandomState::new().hash_one(()).to_be_bytes());
        }
        let count: usize = self.writes.iter().map(HashMap::len).sum();
        let mut writes = Vec::with_capacity(count + Table::ALL.len());
        for (table, map) in Table::ALL.into_iter().zip(&mut self.writes) {
            let before = writes.len();
            writes.extend(map.drain().map(|(key, value)| (table, key, value)));
            map.shrink_to(ROOM_MAX);
            // The engine's way to a key's neighbour lies in the processor's cache.
            let new = writes.get_mut(before..).unwrap_or_default();
            new.sort_unstable_by(|(_, left, _), (_, right, _)| left.cmp(right));
            for (table, key, value) in &*new {
                self.cache.put(*table, key, value.as_ref());
            }
            writes.push((table, table.mark().into(), Some(mark.clone().into())));
        }
        self.store.write(writes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::tests::scratch;
    use crate::view::{Options, keys};

    #[test]
    fn each_part_of_a_record_leaves_a_mark_of_its_own() {
        let dir = scratch();
        let store = Store::open(dir.path(), &Options::default()).unwrap();
        let mut overlay = Overlay::new(&store);
        let mut flush = |applied| {
            overlay.flush(Position::from_number(applied)).unwrap();
            assert_eq!(store.front().unwrap().get(), applied);
            store.get(Table::Meta, keys::APPLIED).unwrap().unwrap()
        };
        let marks = [flush(1), flush(1), flush(1), flush(2)];
        assert_eq!((&*marks[0], &*marks[3]), (&*number(1), &*number(2)));
        assert_ne!(marks[0], marks[1]);
        assert_ne!(marks[1], marks[2]);
    }
}
