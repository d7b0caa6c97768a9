//! The embedded store: a keyspace of fjall, keyed by position.
//!
//! Appending in the order of keys costs fjall little more than a bare file. Its journal is synced with every
//! commit. fjall takes damage inside its journal for a torn tail and drops what follows without a word, so
//! [`journal`] looks at it first. What damage to the last commit looks like is what a power cut leaves of a commit
//! that nobody was told of: to tell these apart, [`note`] keeps the position of the last commit that was synced,
//! and a log that ends before it is refused. [`files`] looks at what lies beside the journal.

pub(crate) mod files;
mod fresh;
pub(crate) mod journal;
mod keeper;
mod mark;
mod note;
mod open;
mod rewrite;
mod room;
#[cfg(test)]
mod tests;
pub(crate) mod wipe;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use fjall::{Database, Keyspace};

use super::store::Rewrites;
use super::{Error, Position, Store, StoreError};
use keeper::Keeper;
use mark::Mark;
use note::Note;
pub use open::make_folder;
use rewrite::Rewriting;
use room::Room;
pub use room::SetAside;

/// The folder that is the engine's.
const LOG_DIR: &str = "log";
/// A command is smaller by far.
const RECORD_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The file that keeps the durable position.
const NOTE_FILE: &str = "durable-position";
/// The file that keeps the secret by which the journal's batches are known.
const MARK_FILE: &str = "journal-mark";

/// The embedded store's settings.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder that holds the store; created if missing.
    pub dir: PathBuf,
    /// Free space of the disk below which commits are refused, in bytes: what is still needed then is room for
    /// the engine to tidy up. Default 64 MiB.
    pub free_bytes_min: u64,
    /// Tables that stay open. Default 900.
    pub open_files_max: usize,
    /// Cache for reading records back, in bytes. Default 64 MiB.
    pub cache_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("footfall-data"),
            free_bytes_min: 64 << 20,
            open_files_max: 900,
            cache_bytes: 64 << 20,
        }
    }
}

/// The first of the log's tables and blobs in a data folder that is not what was written. Reads all of them.
///
/// # Errors
/// [`Error::Locked`], [`Error::Open`].
pub fn broken(dir: &Path) -> Result<Option<PathBuf>, Error> {
    let _lock = open::engine_lock(dir)?;
    files::broken(&dir.join(LOG_DIR)).map_err(|error| Error::Open {
        dir: dir.to_owned(),
        why: error.to_string(),
    })
}

/// Records on disk.
pub struct DiskStore {
    options: Options,
    database: Database,
    records: Keyspace,
    rewriting: Rewriting,
    mark: Mark,
    room: Room,
    last: AtomicU64,
    /// None: the store is only looked at.
    note: Option<Note>,
    /// None: as above.
    keeper: Option<Keeper>,
    /// The durable position that was noted when the store was opened, or to which it is to come.
    noted: Position,
}

impl DiskStore {
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
            let position = position(&key)?;
            Ok((position, copy(position, &record)?))
        })
    }

    /// Refuses a commit that would leave less space than the engine needs, also for what it has not written to tables
    /// yet: one that runs out of space in the middle of a write has to be restarted.
    fn check_space(&self, needed: u64) -> Result<(), StoreError> {
        let needed = needed.saturating_add(self.database.write_buffer_size());
        let room = self.room.for_commit(needed);
        room.map_err(|error| match matches!(error, Error::Full) {
            true => StoreError::Full,
            false => StoreError::Failed(error.to_string()),
        })
    }
}

fn position(key: &[u8]) -> Result<Position, Error> {
    let number = key.try_into().map(u64::from_be_bytes);
    number.map(Position).map_err(|_| Error::Damaged {
        position: Position::START,
        why: format!("a key of {} bytes", key.len()),
    })
}

impl Store for DiskStore {
    fn commit(&self, first: Position, records: &[Bytes]) -> Result<(), StoreError> {
        let Some(note) = &self.note else {
            return Err(StoreError::Failed("the log is only looked at".to_owned()));
        };
        self.check_space(records.iter().map(|record| record.len() as u64).sum())?;
        let mut batch = mark::bare_batch(&self.database);
        for (index, record) in records.iter().enumerate() {
            let key = first.plus(index).get().to_be_bytes();
            match index {
                0 => batch.insert(&self.records, key, self.mark.before(record)),
                _ => batch.insert(&self.records, key, &**record),
            }
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
        match record.map_err(|error| unreadable(position, &error))? {
            Some(record) => copy(position, &record),
            None => Err(Error::missing(position)),
        }
    }

    fn read_after(&self, after: Position, limit: usize) -> Result<Vec<(Position, Bytes)>, Error> {
        let from = after.plus(1).get().to_be_bytes();
        let mut found = Vec::new();
        for guard in self.records.range(from..).take(limit) {
            let expected = after.plus(found.len() + 1);
            let entry = guard.into_inner();
            // All before were given, so it is this one, or one that lies in the same block.
            let (key, record) = entry.map_err(|error| unreadable(expected, &error))?;
            if position(&key)? != expected {
                return Err(Error::missing(expected));
            }
            found.push((expected, copy(expected, &record)?));
        }
        Ok(found)
    }

    fn rewrite(&self, rewrites: &mut Rewrites<'_>) -> Result<(), Error> {
        self.rewriting.run(rewrites, &self.room)
    }

    fn has_remains(&self) -> Result<bool, Error> {
        self.rewriting.has_remains()
    }

    fn wipe(&self, room: u64) -> Result<(), Error> {
        self.room.for_upkeep(room)?;
        let aside = self.room.set_aside(self.rewriting.disk_space()?)?;
        self.rewriting.wipe(&aside)
    }

    fn forget_remains(&self) -> Result<(), Error> {
        self.rewriting.forget_remains()
    }

    fn has_space(&self) -> bool {
        self.check_space(0).is_ok()
    }

    fn has_room_to_fold(&self, bytes: u64) -> bool {
        // Where the system does not say, the write itself shows what is wrong.
        !matches!(self.room.for_view(bytes), Err(Error::Full))
    }

    fn set_aside(&self, bytes: u64) -> Result<SetAside, Error> {
        self.room.set_aside(bytes)
    }

    fn trouble(&self) -> Option<String> {
        self.keeper.as_ref().and_then(Keeper::trouble)
    }

    fn close(&self) {
        if let Some(Err(error)) = self.note.as_ref().map(Note::sync) {
            tracing::warn!(%error, "the durable position cannot be noted");
        }
    }
}

fn unreadable(position: Position, error: &fjall::Error) -> Error {
    Error::Damaged {
        position,
        why: error.to_string(),
    }
}

/// A record's bytes, of its value. The engine does not look whether the length that it has from a blob is right.
fn copy(position: Position, record: &[u8]) -> Result<Bytes, Error> {
    if record.len() > RECORD_BYTES_MAX {
        let why = format!("a record of {} bytes", record.len());
        return Err(Error::Damaged { position, why });
    }
    Ok(Bytes::copy_from_slice(mark::behind(record)))
}

impl fmt::Debug for DiskStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskStore")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
