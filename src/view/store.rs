//! The view's keyspaces.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Bound, RangeBounds};
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use fjall::compaction::Leveled;
use fjall::{
    Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode, Readable as _, Slice,
};

use super::keys::{self, Table};
use super::nice::step_back;
use super::{Error, Options};
use crate::engine::{files, journal, wipe};
use crate::log::{Position, SetAside};

/// The format that this code reads and writes. A view of another one is folded anew.
const FORMAT: u64 = 7;
/// Bound of the journal, which is what a start after a crash replays: the least that the engine takes, for its
/// entries are small and many.
const JOURNAL_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Bytes of a table, in memory and on the disk. A table is written and synced at once, and the log's syncs stand in
/// line behind it.
const TABLE_BYTES: u64 = 16 * 1024 * 1024;

/// Upper bound of what the engine's merges take of the disk for a while.
const MERGED_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Fewest open tables that the engine takes.
const OPEN_FILES_MIN: usize = 16;
/// Bytes that the journal may take before they are synced. A power cut may have the view, which is folded again; but
/// what waits long is written at once in the end, and the log's syncs stand in line behind it.
const UNSYNCED_BYTES_MAX: usize = 2 * 1024 * 1024;

/// How often, and how long apart, it is asked whether all who read have ended: reads are short, but for exports.
const READERS_TRIES: usize = 50;
const READERS_PAUSE: Duration = Duration::from_millis(10);

/// Most entries of a page. In tests so few that most of what has pages has several.
pub(super) const PAGE_ENTRIES: usize = if cfg!(test) { 4 } else { 1_024 };

/// What to write under a key; `None` removes it.
pub(super) type Write = (Table, Slice, Option<Slice>);

/// The keyspaces of the view.
pub(super) struct Store {
    database: Database,
    tables: Vec<Keyspace>,
    /// Who writes.
    turn: Mutex<()>,
    /// What was written since the last sync.
    unsynced_bytes: AtomicUsize,
    readers: Mutex<Readers>,
}

/// Who reads from a snapshot.
#[derive(Default)]
struct Readers {
    /// Whoever began since the last wiping has one of these.
    present: Arc<()>,
    /// Those who began before, as far as they have not ended.
    earlier: Vec<Weak<()>>,
}

/// A state to read from, and what tells that somebody does.
pub(super) type Held = (fjall::Snapshot, Arc<()>);

impl Store {
    /// Opens what is there, or makes an empty view if that is no view, or not whole.
    pub(super) fn open(dir: &Path, options: &Options) -> Result<Self, Error> {
        if let Some(store) = Self::open_whole(dir, options)? {
            return Ok(store);
        }
        remove(dir)?;
        let store = Self::open_any(dir, options)?;
        let format = number(FORMAT).into();
        store.write([(Table::Meta, keys::FORMAT.into(), Some(format))])?;
        Ok(store)
    }

    /// Opens the store in `dir`, if there is one, whatever its format.
    pub(super) fn open_existing(dir: &Path) -> Result<Option<Self>, Error> {
        if !dir.join(files::MARKER).exists() {
            return Ok(None);
        }
        if let Some(damage) = damage(dir)? {
            return Err(Error::Store(damage));
        }
        Ok(Some(Self::open_any(dir, &Options::default())?))
    }

    /// Whether it has the format that this code reads and writes.
    pub(super) fn has_this_format(&self) -> Result<bool, Error> {
        Ok(self.number(keys::FORMAT)? == Some(FORMAT))
    }

    /// The view in `dir`, unless another one has to take its place.
    fn open_whole(dir: &Path, options: &Options) -> Result<Option<Self>, Error> {
        if !dir.try_exists().map_err(Error::store)? {
            return Ok(None);
        }
        if let Some(damage) = damage(dir)? {
            tracing::warn!(damage, "folding the view anew");
            return Ok(None);
        }
        let store = match Self::open_any(dir, options) {
            Ok(store) => store,
            Err(error) if matches!(error, fjall::Error::Locked) => return Err(error.into()),
            // What a power cut leaves of writes that were never synced may be anything.
            Err(error) => {
                tracing::warn!(%error, "the view cannot be opened; folding it anew");
                return Ok(None);
            }
        };
        match store.is_usable() {
            Ok(true) => Ok(Some(store)),
            Ok(false) => Ok(None),
            // Nothing of a view is lost that the log does not have.
            Err(error) => {
                tracing::warn!(%error, "the view cannot be read; folding it anew");
                Ok(None)
            }
        }
    }

    /// Whether this code can go on with the view where it stands.
    fn is_usable(&self) -> Result<bool, Error> {
        match self.number(keys::FORMAT)? {
            Some(FORMAT) => {}
            Some(format) => {
                tracing::info!(format, "the view has another format; folding it anew");
                return Ok(false);
            }
            None => return Ok(false),
        }
        let whole = self.is_of_one_piece()?;
        if !whole {
            tracing::warn!("the view's tables have come to different positions; folding it anew");
        }
        Ok(whole)
    }

    /// Whether all tables apply the log up to the same position.
    fn is_of_one_piece(&self) -> Result<bool, Error> {
        let applied = self.get(Table::Meta, keys::APPLIED)?;
        for table in Table::ALL {
            if self.get(table, table.mark())? != applied {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn open_any(dir: &Path, options: &Options) -> Result<Self, fjall::Error> {
        let open = || {
            // The engine's threads are as nice as the one that starts them.
            step_back();
            Database::builder(dir)
                .max_journaling_size(JOURNAL_BYTES_MAX)
                .cache_size(options.cache_bytes)
                .max_cached_files(Some(options.open_files_max.max(OPEN_FILES_MIN)))
                .manual_journal_persist(true)
                .open()
        };
        let opened = std::thread::scope(|scope| scope.spawn(open).join());
        let database = opened.unwrap_or_else(|panic| resume_unwind(panic))?;
        let open = |table: Table| database.keyspace(table.name(), keyspace_options);
        let tables = Table::ALL.map(open).into_iter().collect::<Result<_, _>>()?;
        Ok(Self {
            database,
            tables,
            turn: Mutex::new(()),
            unsynced_bytes: AtomicUsize::new(0),
            readers: Mutex::default(),
        })
    }

    fn table(&self, table: Table) -> Result<&Keyspace, Error> {
        // `tables` has the order of the enum.
        self.tables
            .get(table as usize)
            .ok_or(Error::Damaged("a table is missing"))
    }

    pub(super) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Slice>, Error> {
        Ok(self.table(table)?.get(key)?)
    }

    /// All entries whose key begins with `prefix`.
    pub(super) fn scan(&self, table: Table, prefix: &[u8]) -> Result<fjall::Iter, Error> {
        Ok(self.table(table)?.prefix(prefix))
    }

    /// Some of the entries whose key begins with `prefix`, from behind the key `after` on.
    pub(super) fn page(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
    ) -> Result<Vec<(Slice, Slice)>, Error> {
        let from = match after {
            Some(after) => Bound::Excluded(after),
            None => Bound::Included(prefix),
        };
        let entries = self
            .table(table)?
            // Each batch of writes leaves a version of the mark behind, and who looks at it walks over all of them.
            .range::<&[u8], _>((from, Bound::Excluded(table.mark())));
        let mut page = Vec::new();
        for guard in entries.take(PAGE_ENTRIES) {
            let (key, value) = guard.into_inner()?;
            if !key.starts_with(prefix) {
                break;
            }
            page.push((key, value));
        }
        Ok(page)
    }

    /// Makes a power cut keep what was written so far.
    pub(super) fn sync(&self) -> Result<(), Error> {
        Ok(self.database.persist(PersistMode::SyncData)?)
    }

    /// What it takes of the disk, and what wiping it adds for a while.
    pub(super) fn disk_space(&self) -> Result<u64, Error> {
        Ok(self
            .database
            .disk_space()?
            .saturating_add(wipe::FILLED_BYTES))
    }

    /// Waits a moment for everybody to end who may still read what was removed by now.
    ///
    /// # Errors
    /// [`Error::StillRead`].
    pub(super) fn wait_for_readers(&self) -> Result<(), Error> {
        {
            let mut readers = self.readers();
            let before = std::mem::take(&mut readers.present);
            readers.earlier.push(Arc::downgrade(&before));
        }
        for _ in 0..READERS_TRIES {
            let mut readers = self.readers();
            readers.earlier.retain(|reader| reader.strong_count() > 0);
            if readers.earlier.is_empty() {
                return Ok(());
            }
            drop(readers);
            std::thread::sleep(READERS_PAUSE);
        }
        Err(Error::StillRead)
    }

    fn readers(&self) -> MutexGuard<'_, Readers> {
        // It is consistent between statements.
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes from the disk what was removed from the tables, and makes it stay removed after a power cut. What a
    /// snapshot still sees stays. `aside` is the room for [`Store::disk_space`].
    pub(super) fn wipe(&self, aside: &SetAside) -> Result<(), Error> {
        let batch = || {
            let batch = self.database.batch();
            batch.durability(Some(PersistMode::SyncData))
        };
        Ok(wipe::wipe(&self.database, &self.tables, &batch, aside)?)
    }

    /// What the engine writes before long: what it has in memory, and for a while what it merges.
    pub(super) fn room_to_fold(&self) -> u64 {
        let merged: u64 = self.tables.iter().map(Keyspace::disk_space).sum();
        let in_memory = self.database.write_buffer_size();
        in_memory.saturating_add(merged.min(MERGED_BYTES_MAX))
    }

    /// Keeps others from writing until it is dropped: what is read to decide on a write must not change meanwhile.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        // It guards nothing that a panic could spoil.
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes all or nothing; `None` removes. Only the fold writes the tables that its cache keeps.
    pub(super) fn write(&self, writes: impl IntoIterator<Item = Write>) -> Result<(), Error> {
        let writes = writes.into_iter();
        // What the engine's own `batch()` would make, but for the room: the journal is synced by hand.
        let mut batch = OwnedWriteBatch::with_capacity(self.database.clone(), writes.size_hint().0);
        let mut bytes = 0;
        for (table, key, value) in writes {
            bytes += key.len() + value.as_ref().map_or(0, |value| value.len());
            match value {
                Some(value) => batch.insert(self.table(table)?, key, value),
                None => batch.remove(self.table(table)?, key),
            }
        }
        batch.commit()?;
        if self.unsynced_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes >= UNSYNCED_BYTES_MAX {
            self.unsynced_bytes.store(0, Ordering::Relaxed);
            self.sync()?;
        }
        Ok(())
    }

    /// Up to where the log is applied, but for projects in lanes.
    pub(super) fn front(&self) -> Result<Position, Error> {
        let mark = self.get(Table::Meta, keys::APPLIED)?;
        let applied = mark.map(|mark| keys::read_number(&mark)).transpose()?;
        Ok(Position::from_number(applied.unwrap_or_default()))
    }

    /// By token: where the projects in lanes have come to.
    pub(super) fn lanes(&self) -> Result<BTreeMap<String, Position>, Error> {
        let mut lanes = BTreeMap::new();
        let mut last = None;
        loop {
            let page = self.page(Table::Lanes, &[], last.as_deref())?;
            if page.is_empty() {
                return Ok(lanes);
            }
            for (key, value) in page {
                let token = String::from_utf8(key.to_vec());
                let token = token.map_err(|_| Error::Damaged("a key of lanes"))?;
                lanes.insert(token, Position::from_number(keys::read_number(&value)?));
                last = Some(key);
            }
        }
    }

    /// Up to where the log is applied for every project.
    pub(super) fn applied(&self) -> Result<Position, Error> {
        // A lane that ends in between has come to the front.
        let lanes = self.lanes()?;
        let front = self.front()?;
        Ok(lanes.into_values().fold(front, Position::min))
    }

    fn number(&self, key: &[u8]) -> Result<Option<u64>, Error> {
        let Some(value) = self.get(Table::Meta, key)? else {
            return Ok(None);
        };
        let bytes = (*value).try_into();
        let bytes = bytes.map_err(|_| Error::Damaged("a number of meta"))?;
        Ok(Some(u64::from_be_bytes(bytes)))
    }

    pub(super) fn snapshot(&self) -> Held {
        // First the note: a snapshot that is not noted could be one of before.
        let reader = self.readers().present.clone();
        (self.database.snapshot(), reader)
    }

    pub(super) fn get_at(
        &self,
        snapshot: &fjall::Snapshot,
        table: Table,
        key: &[u8],
    ) -> Result<Option<Slice>, Error> {
        Ok(snapshot.get(self.table(table)?, key)?)
    }

    pub(super) fn scan_at(
        &self,
        snapshot: &fjall::Snapshot,
        table: Table,
        prefix: &[u8],
    ) -> Result<fjall::Iter, Error> {
        Ok(snapshot.prefix(self.table(table)?, prefix))
    }

    /// The entries between two keys.
    pub(super) fn range_at(
        &self,
        snapshot: &fjall::Snapshot,
        table: Table,
        keys: impl RangeBounds<Vec<u8>>,
    ) -> Result<fjall::Iter, Error> {
        Ok(snapshot.range(self.table(table)?, keys))
    }
}

fn keyspace_options() -> KeyspaceCreateOptions {
    let compaction = Leveled::default().with_table_target_size(TABLE_BYTES);
    KeyspaceCreateOptions::default()
        .manual_journal_persist(true)
        .max_memtable_size(TABLE_BYTES)
        .compaction_strategy(Arc::new(compaction))
}

/// Which of the engine's files in `dir` is damaged, if one is. Cuts off what is torn.
fn damage(dir: &Path) -> Result<Option<String>, Error> {
    if let Some(damage) = files::damage(dir).map_err(Error::store)? {
        return Ok(Some(damage));
    }
    let damaged = journal::cut(dir).map_err(Error::store)?;
    Ok(damaged.map(|file| format!("{} is damaged", file.display())))
}

/// Removes the view in `dir`.
pub(super) fn remove(dir: &Path) -> Result<(), Error> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::Store(error.to_string()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A number as `meta` keeps it.
pub(super) fn number(number: u64) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}
