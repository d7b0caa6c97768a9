//! The embedded store: a keyspace of fjall, keyed by position.
//!
//! Appending in the order of keys costs fjall little more than a bare file. Its journal is synced with every
//! commit. fjall takes damage inside its journal for a torn tail and drops what follows without a word, so
//! [`journal`] looks at it first. What damage to the last commit looks like is what a power cut leaves of a commit
//! that nobody was told of: to tell these apart, [`note`] keeps the position of the last commit that was synced,
//! and a log that ends before it is refused.

mod fresh;
pub(crate) mod journal;
mod note;
mod rewrite;
#[cfg(test)]
mod tests;
pub(crate) mod wipe;

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use fjall::config::CompressionPolicy;
use fjall::{
    CompressionType, Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, PersistMode,
};

use super::store::Rewrites;
use super::{Error, Position, Store, StoreError};
use journal::Fault;
use note::Note;
use rewrite::Rewriting;

/// Bound of the journal, which is what a start after a crash replays.
const JOURNAL_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// Cache for reading records back.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;
/// The folder that is the engine's.
const LOG_DIR: &str = "log";
/// The file that keeps the durable position.
const NOTE_FILE: &str = "durable-position";

/// The file by which the engine knows a folder of its own.
const ENGINE_FILE: &str = "version";

/// The embedded store's settings.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder that holds the store; created if missing.
    pub dir: PathBuf,
    /// Free space of the disk below which commits are refused, in bytes: what is still needed then is room for
    /// the engine to tidy up. Default 64 MiB.
    pub free_bytes_min: u64,
}

/// Records on disk.
pub struct DiskStore {
    options: Options,
    database: Database,
    records: Keyspace,
    rewriting: Rewriting,
    last: AtomicU64,
    /// None: the store is only looked at.
    note: Option<Note>,
    /// The durable position that was noted when the store was opened, or to which it is to come.
    noted: Position,
}

impl DiskStore {
    /// Opens the store, or makes a new one, and locks it against other processes.
    ///
    /// # Errors
    /// [`Error::Locked`], [`Error::Open`], [`Error::EndLost`], [`Error::Damaged`].
    pub fn open(options: Options) -> Result<Self, Error> {
        let dir = options.dir.clone();
        let opened = |error: io::Error| Error::Open {
            dir: dir.clone(),
            why: error.to_string(),
        };
        std::fs::create_dir_all(&dir).map_err(opened)?;
        let note = Note::open(&dir.join(NOTE_FILE)).map_err(opened)?;
        let (note, noted) = note.ok_or_else(|| Error::Locked(dir.clone()))?;
        mend(&dir, noted)?;
        let mut store = Self::open_database(options)?;
        (store.note, store.noted) = (Some(note), noted);
        store.check_end()?;
        // A synced record helps nobody in a folder that a power cut takes away.
        sync_folder(&dir).map_err(opened)?;
        if let Some(parent) = dir.parent() {
            // It may be one that cannot be read, and then it was not made here.
            let _ = sync_folder(parent);
        }
        Ok(store)
    }

    /// Opens and locks a store that is there, to be looked at: it takes no commits, and may have lost its end.
    ///
    /// # Errors
    /// [`Error::NoStore`], [`Error::Locked`], [`Error::Open`], [`Error::Damaged`].
    pub fn open_to_read(options: Options) -> Result<Self, Error> {
        let dir = options.dir.clone();
        if !fresh::has_store(&dir) {
            return Err(Error::NoStore(dir));
        }
        let mut store = Self::open_database(options)?;
        store.noted = Note::peek(&dir.join(NOTE_FILE));
        Ok(store)
    }

    /// Checks that the log goes as far as was noted.
    ///
    /// # Errors
    /// [`Error::EndLost`].
    pub fn check_end(&self) -> Result<(), Error> {
        let (end, acknowledged) = (self.last(), self.noted);
        if end < acknowledged {
            let dir = self.options.dir.clone();
            return Err(Error::EndLost {
                dir,
                end,
                acknowledged,
            });
        }
        Ok(())
    }

    /// What lies behind a position, in order, gaps and all. May block on the disk.
    pub fn scan(
        &self,
        after: Position,
    ) -> impl Iterator<Item = Result<(Position, Bytes), Error>> + use<> {
        let from = after.plus(1).get().to_be_bytes();
        self.records.range(from..).map(|guard| {
            let entry = guard.into_inner();
            let (key, record) = entry.map_err(|error| Error::Read(error.to_string()))?;
            Ok((position(&key)?, Bytes::copy_from_slice(&record)))
        })
    }

    fn open_database(options: Options) -> Result<Self, Error> {
        let dir = options.dir.clone();
        let opened = |error: &dyn fmt::Display| Error::Open {
            dir: dir.clone(),
            why: error.to_string(),
        };
        let database = Database::builder(dir.join(LOG_DIR))
            .max_journaling_size(JOURNAL_BYTES_MAX)
            .cache_size(CACHE_BYTES)
            .open()
            .map_err(|error| {
                if matches!(error, fjall::Error::Locked) {
                    return Error::Locked(dir.clone());
                }
                match std::error::Error::source(&error) {
                    Some(source) => opened(&source),
                    None => opened(&error),
                }
            })?;
        let records = database
            .keyspace("records", keyspace_options)
            .map_err(|error| opened(&error))?;
        let last = last_position(&records)?;
        Ok(Self {
            options,
            rewriting: Rewriting::open(&database, &records)?,
            database,
            records,
            last: AtomicU64::new(last.get()),
            note: None,
            noted: Position::START,
        })
    }

    /// Refuses a commit that would leave less space than the engine needs, for an engine that runs out of
    /// space in the middle of a write has to be restarted.
    fn check_space(&self, needed: u64) -> Result<(), StoreError> {
        let disk = rustix::fs::statvfs(&self.options.dir)
            .map_err(|error| StoreError::Failed(error.to_string()))?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free < self.options.free_bytes_min.saturating_add(needed) {
            return Err(StoreError::Full);
        }
        Ok(())
    }
}

fn keyspace_options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default()
        .manual_journal_persist(true)
        .data_block_compression_policy(CompressionPolicy::all(CompressionType::Lz4))
        .with_kv_separation(Some(
            KvSeparationOptions::default()
                .compression(CompressionType::Lz4)
                // Nothing goes stale but what has to leave the disk.
                .staleness_threshold(f32::MIN_POSITIVE)
                .age_cutoff(1.0),
        ))
}

fn last_position(records: &Keyspace) -> Result<Position, Error> {
    match records.last_key_value() {
        None => Ok(Position::START),
        Some(guard) => position(
            &guard
                .key()
                .map_err(|error| Error::Read(error.to_string()))?,
        ),
    }
}

fn position(key: &[u8]) -> Result<Position, Error> {
    let number = key.try_into().map(u64::from_be_bytes);
    number.map(Position).map_err(|_| Error::Damaged {
        position: Position::START,
        why: format!("a key of {} bytes", key.len()),
    })
}

fn sync_folder(dir: &Path) -> io::Result<()> {
    let dir = match dir.as_os_str().is_empty() {
        true => Path::new("."),
        false => dir,
    };
    File::open(dir)?.sync_all()
}

/// Makes what a power cut may have left of the last commit whole again, before the engine looks at it.
fn mend(dir: &Path, acknowledged: Position) -> Result<(), Error> {
    let opened = |why: &dyn fmt::Display| Error::Open {
        dir: dir.to_owned(),
        why: why.to_string(),
    };
    let log = dir.join(LOG_DIR);
    let removed = journal::remove_unfinished(&log, acknowledged).map_err(|error| opened(&error))?;
    let mended = match removed {
        Ok(()) => journal::mend(&log, acknowledged).map_err(|error| opened(&error))?,
        Err(fault) => Err(fault),
    };
    mended.map_err(|fault| match fault {
        Fault::EndLost { end } => Error::EndLost {
            dir: dir.to_owned(),
            end,
            acknowledged,
        },
        Fault::Damaged { file, at } => {
            opened(&format_args!("{} is damaged at byte {at}", file.display()))
        }
    })
}

impl Store for DiskStore {
    fn commit(&self, first: Position, records: &[Bytes]) -> Result<(), StoreError> {
        let Some(note) = &self.note else {
            return Err(StoreError::Failed("the log is only looked at".to_owned()));
        };
        self.check_space(records.iter().map(|record| record.len() as u64).sum())?;
        let mut batch = self
            .database
            .batch()
            .durability(Some(PersistMode::SyncData));
        for (index, record) in records.iter().enumerate() {
            let key = first.plus(index).get().to_be_bytes();
            batch.insert(&self.records, key.as_slice(), &**record);
        }
        batch
            .commit()
            .map_err(|error| StoreError::Failed(error.to_string()))?;
        let last = first.plus(records.len().saturating_sub(1));
        self.last.store(last.get(), Ordering::Release);
        // A store that is being made has noted where it will end.
        if let Err(error) = note.write(last.max(self.noted)) {
            tracing::warn!(%error, "the durable position cannot be noted");
        }
        Ok(())
    }

    fn last(&self) -> Position {
        Position(self.last.load(Ordering::Acquire))
    }

    fn read(&self, position: Position) -> Result<Bytes, Error> {
        let key = position.get().to_be_bytes();
        let record = self.records.get(key);
        match record.map_err(|error| Error::Read(error.to_string()))? {
            Some(record) => Ok(Bytes::copy_from_slice(&record)),
            None => Err(missing(position)),
        }
    }

    fn read_after(&self, after: Position, limit: usize) -> Result<Vec<(Position, Bytes)>, Error> {
        let from = after.plus(1).get().to_be_bytes();
        let mut found = Vec::new();
        for guard in self.records.range(from..).take(limit) {
            let (key, record) = guard
                .into_inner()
                .map_err(|error| Error::Read(error.to_string()))?;
            let expected = after.plus(found.len() + 1);
            if position(&key)? != expected {
                return Err(missing(expected));
            }
            found.push((expected, Bytes::copy_from_slice(&record)));
        }
        Ok(found)
    }

    fn rewrite(&self, rewrites: &mut Rewrites<'_>) -> Result<(), Error> {
        if !self.has_space() {
            return Err(Error::Full);
        }
        self.rewriting.run(rewrites)
    }

    fn has_remains(&self) -> Result<bool, Error> {
        self.rewriting.has_remains()
    }

    fn wipe(&self, room: u64) -> Result<(), Error> {
        // An engine that runs out of space in the middle does not come back.
        let room = room.max(self.rewriting.disk_space()?);
        self.check_space(room).map_err(|_| Error::Full)?;
        self.rewriting.wipe()
    }

    fn forget_remains(&self) -> Result<(), Error> {
        self.rewriting.forget_remains()
    }

    fn has_space(&self) -> bool {
        self.check_space(0).is_ok()
    }

    fn close(&self) {
        if let Some(Err(error)) = self.note.as_ref().map(Note::sync) {
            tracing::warn!(%error, "the durable position cannot be noted");
        }
    }
}

fn missing(position: Position) -> Error {
    Error::Damaged {
        position,
        why: "the record is missing".to_owned(),
    }
}

impl fmt::Debug for DiskStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskStore")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
