//! What was folded up to the last checkpoint: one keyspace of the engine.
//!
//! Only whole checkpoints are written to it, each by one ingestion: the tables are synced, then the version that names
//! them. So it is always the exact fold of the log up to its own `applied`, whenever the process or machine stops.

use std::fmt;
use std::ops::Bound;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::Arc;

use fjall::compaction::Leveled;
use fjall::{
    AbstractTree as _, Database, Keyspace, KeyspaceCreateOptions, Readable as _, Slice, Snapshot,
};

use super::super::nice::step_back;
use super::super::{Error, Options};
use super::layer::Layer;
use crate::engine::{files, journal};

/// The engine's folder of tables: a file each, whose name is its number.
const TABLES: &str = "tables";
/// The keyspace.
const NAME: &str = "view";
/// Bound of the journal, which stays empty: the least that the engine accepts.
const JOURNAL_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Bytes of a table.
const TABLE_BYTES: u64 = 64 * 1024 * 1024;
/// Checkpoints that pile up before they are merged.
const RUNS_MERGED_AT: u8 = 8;
/// Fewest open tables that the engine takes.
const OPEN_FILES_MIN: usize = 16;

/// The keyspace, and its database.
pub(super) struct Base {
    database: Database,
    rows: Keyspace,
}

impl Base {
    pub(super) fn open(dir: &Path, options: &Options) -> Result<Self, fjall::Error> {
        let open = || {
            // The engine's threads inherit the niceness of the one that starts them.
            step_back();
            Database::builder(dir)
                .max_journaling_size(JOURNAL_BYTES_MAX)
                .cache_size(options.cache_bytes)
                .max_cached_files(Some(options.open_files_max.max(OPEN_FILES_MIN)))
                .manual_journal_persist(true)
                // With several, the first one merges nothing, and spins while the others work.
                .worker_threads(1)
                .open()
        };
        let opened = std::thread::scope(|scope| scope.spawn(open).join());
        let database = opened.unwrap_or_else(|panic| resume_unwind(panic))?;
        let rows = database.keyspace(NAME, || {
            let compaction = Leveled::default()
                .with_table_target_size(TABLE_BYTES)
                .with_l0_threshold(RUNS_MERGED_AT);
            KeyspaceCreateOptions::default()
                .manual_journal_persist(true)
                .compaction_strategy(Arc::new(compaction))
        })?;
        Ok(Self { database, rows })
    }

    /// A snapshot of its present state.
    pub(super) fn snapshot(&self) -> Snapshot {
        self.database.snapshot()
    }

    pub(super) fn get(&self, at: &Snapshot, key: &[u8]) -> Result<Option<Slice>, Error> {
        Ok(at.get(&self.rows, key)?)
    }

    /// The rows between two keys.
    pub(super) fn range(&self, at: &Snapshot, from: Bound<&[u8]>, to: Bound<&[u8]>) -> fjall::Iter {
        at.range::<&[u8], _>(&self.rows, (from, to))
    }

    #[cfg(test)]
    pub(super) fn keyspace(&self) -> &Keyspace {
        &self.rows
    }

    /// Writes a layer, all of it or nothing. It is on the disk on return.
    pub(super) fn ingest(&self, layer: &Layer) -> Result<(), Error> {
        let mut ingestion = self.rows.start_ingestion()?;
        for index in 0..layer.len() {
            match layer.row(index) {
                Some((_, key, Some(value))) => ingestion.write(key, value)?,
                Some((_, key, None)) => ingestion.write_tombstone(key)?,
                None => {}
            }
        }
        Ok(ingestion.finish()?)
    }

    /// Removes the files of merged tables, once no earlier snapshot is left. The engine itself does so only at its next
    /// merge: until then they would take as much of the disk as the merged tables.
    pub(super) fn remove_merged(&self) -> Result<(), Error> {
        let tracker = &self.database.supervisor.snapshot_tracker;
        let read_from = tracker.get_seqno_safe_to_gc();
        let mut versions = self.rows.tree.get_version_history_lock();
        let removed = versions.maintenance(self.rows.path(), read_from);
        Ok(removed.map_err(fjall::Error::from)?)
    }

    /// Rewrites all of it, without removed and overwritten rows, except those that a snapshot still sees.
    pub(super) fn compact(&self) -> Result<(), Error> {
        Ok(self.rows.major_compact()?)
    }

    /// The numbers of the tables' files, including those that are no longer read.
    fn tables(&self) -> Result<Vec<u64>, Error> {
        let entries = std::fs::read_dir(self.rows.path().join(TABLES)).map_err(Error::store)?;
        let numbers = entries.map(|entry| {
            let name = entry.map_err(Error::store)?.file_name();
            Ok(name.to_str().and_then(|name| name.parse().ok()))
        });
        numbers.filter_map(Result::transpose).collect()
    }

    /// The number of the table that was written last.
    pub(super) fn last_table(&self) -> Result<u64, Error> {
        Ok(self.tables()?.into_iter().max().unwrap_or_default())
    }

    /// Whether a table is on the disk that was written no later than another one.
    pub(super) fn has_table_up_to(&self, number: u64) -> Result<bool, Error> {
        Ok(self.tables()?.into_iter().any(|table| table <= number))
    }

    /// Makes the removal of files durable.
    pub(super) fn sync_folder(&self) -> Result<(), Error> {
        let folder = std::fs::File::open(self.rows.path().join(TABLES));
        folder
            .and_then(|folder| folder.sync_all())
            .map_err(Error::store)
    }

    /// Bytes that it takes on the disk.
    pub(super) fn disk_space(&self) -> u64 {
        self.rows.disk_space()
    }

    /// Tables of checkpoints that were not merged yet.
    pub(super) fn runs(&self) -> usize {
        self.rows.l0_table_count()
    }
}

/// Which of the engine's files in `dir` is damaged, if one is. Cuts off what is torn.
pub(super) fn damage(dir: &Path) -> Result<Option<String>, Error> {
    if let Some(damage) = files::damage(dir).map_err(Error::store)? {
        return Ok(Some(damage));
    }
    let damaged = journal::truncate_torn(dir).map_err(Error::store)?;
    Ok(damaged.map(|file| format!("{} is damaged", file.display())))
}

/// Whether an engine has a store in `dir`.
pub(super) fn exists(dir: &Path) -> bool {
    dir.join(files::MARKER).exists()
}

impl fmt::Debug for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Base").finish_non_exhaustive()
    }
}
