//! The embedded store: files of frames, each of which is one commit.
//!
//! - [`mod@format`] is how a file looks, and [`recovery`] how far one is whole: it distinguishes a torn commit from
//!   damage.
//! - [`append`] writes to the last [`segment`], which is made of [`zeros`] ahead: a commit is one write and one sync.
//! - [`rewrite`] keeps records that stand in the place of others, and [`merge`] brings them into their segments.
//! - Damage to the last commit looks like what a power cut leaves of an unacknowledged commit. To distinguish these,
//!   [`durable_mark`] keeps the position of the last synced commit, and a log that ends before it is refused.

mod append;
mod descriptors;
mod durable_mark;
mod folder;
mod format;
mod keeper;
mod merge;
mod open;
mod recovery;
mod rewrite;
mod room;
mod segment;
#[cfg(test)]
mod tests;
mod zeros;

use std::fmt;
use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;

use super::store::Rewrites;
use super::{Error, Position, Store, StoreError};
use append::Appender;
pub(crate) use append::is_full;
use descriptors::Descriptors;
use durable_mark::DurableMark;
use keeper::Keeper;
pub use open::make_folder;
use rewrite::{Rewriting, Rewritten};
use room::Room;
pub use room::SetAside;
use segment::Segment;

/// The folder of the log.
const LOG_DIR: &str = "log";
/// The file that keeps the durable position.
const DURABLE_MARK: &str = "durable-position";
/// Most rewritten records beside their segments, unless one rewrite alone has more.
const REWRITTEN_MAX: usize = 2 << 20;
/// How many records [`DiskStore::scan`] reads at once.
const SCAN_RECORDS: usize = 64;

/// The embedded store's settings.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder that holds the store; created if missing.
    pub dir: PathBuf,
    /// Free space of the disk below which commits are refused, in bytes. Default 64 MiB.
    pub free_bytes_min: u64,
    /// Segments that stay open. Default 900.
    pub open_files_max: usize,
    /// Bytes of a segment; the first ones are smaller, and a larger commit has a segment of its own. Default 64 MiB.
    pub segment_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("footfall-data"),
            free_bytes_min: 64 << 20,
            open_files_max: 900,
            segment_bytes: 64 << 20,
        }
    }
}

/// Records on disk.
pub struct DiskStore {
    options: Options,
    room: Room,
    descriptors: Arc<Descriptors>,
    shared: RwLock<Shared>,
    last: AtomicU64,
    /// The state of rewrites. Locked before `appender`, and that before `shared`.
    rewriting: Mutex<Rewriting>,
    /// Damage that was found at the start and harms nothing.
    harmless: Vec<Error>,
    /// None: the store is read-only.
    appender: Option<Mutex<Appender>>,
    /// None: as above.
    note: Option<DurableMark>,
    /// None: as above.
    keeper: Option<Keeper>,
    /// Keeps other processes out.
    _lock: Option<File>,
    /// The durable position that was noted when the store was opened, or to which it is to come.
    noted: Position,
}

/// What readers share.
struct Shared {
    segments: Arc<Vec<Arc<Segment>>>,
    rewritten: Rewritten,
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

    /// Damage that harms nothing, as a start found it.
    pub fn harmless(&self) -> &[Error] {
        &self.harmless
    }

    /// The records behind a position, in order. An error ends it. May block on the disk.
    pub fn scan(&self, after: Position) -> impl Iterator<Item = Result<(Position, Bytes), Error>> {
        let mut at = after;
        let mut read = Vec::new().into_iter();
        std::iter::from_fn(move || {
            if read.as_slice().is_empty() {
                match self.read_after(at, SCAN_RECORDS) {
                    Ok(records) => read = records.into_iter(),
                    Err(error) => return Some(Err(error)),
                }
            }
            let (position, record) = read.next()?;
            at = position;
            Some(Ok((position, record)))
        })
    }

    /// The position of the next record.
    fn next(&self) -> u64 {
        self.last.load(Ordering::Acquire).saturating_add(1)
    }

    fn shared(&self) -> RwLockReadGuard<'_, Shared> {
        // It is consistent between statements.
        self.shared.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn shared_mut(&self) -> RwLockWriteGuard<'_, Shared> {
        self.shared.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn rewriting(&self) -> MutexGuard<'_, Rewriting> {
        // What fails in the middle says so itself.
        self.rewriting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows all readers the segment that was begun.
    fn add(&self, begun: Arc<Segment>) {
        let mut shared = self.shared_mut();
        let segments = shared.segments.iter().cloned().chain([begun]);
        shared.segments = Arc::new(segments.collect());
    }

    fn check_space(&self, needed: u64) -> Result<(), StoreError> {
        let room = self.room.for_commit(needed);
        room.map_err(|error| match matches!(error, Error::Full) {
            true => StoreError::Full,
            false => StoreError::Failed(error.to_string()),
        })
    }

    /// The records from one position to another one; if one cannot be read, those in front of it.
    fn records(&self, from: u64, to: u64) -> Result<Vec<(Position, Bytes)>, Error> {
        let to = to.min(self.last().get());
        if from > to {
            return Ok(Vec::new());
        }
        // Both as of one moment: what is rewritten stands in the one or in the other.
        let (segments, rewritten) = {
            let shared = self.shared();
            let rewritten = shared.rewritten.between(from, to);
            (shared.segments.clone(), rewritten)
        };
        let mut found = Vec::new();
        let begin = segments.partition_point(|segment| segment.first() <= from);
        let mut failure = None;
        for segment in segments.iter().skip(begin.saturating_sub(1)) {
            let wanted = from.saturating_add(found.len() as u64);
            if segment.first() > to || wanted > to {
                break;
            }
            if let Err(fault) = segment.read(wanted, to, &mut found) {
                failure = Some(fault.into());
                break;
            }
        }
        for stands in rewritten {
            let index = usize::try_from(stands.position - from).unwrap_or(usize::MAX);
            let Some(record) = found.get_mut(index) else {
                break;
            };
            match stands.read() {
                Ok(rewritten) => *record = rewritten,
                Err(error) => {
                    found.truncate(index);
                    failure = Some(error);
                    break;
                }
            }
        }
        match failure {
            Some(error) if found.is_empty() => Err(error),
            Some(_) | None => Ok((from..).map(Position).zip(found).collect()),
        }
    }
}

impl Store for DiskStore {
    fn commit(&self, first: Position, records: &[Bytes]) -> Result<(), StoreError> {
        let (Some(note), Some(appender)) = (&self.note, &self.appender) else {
            return Err(StoreError::Failed("the log is only looked at".to_owned()));
        };
        let mut appender = appender.lock().unwrap_or_else(PoisonError::into_inner);
        if first.get() != self.next() {
            let first = first.get();
            return Err(StoreError::Failed(format!(
                "position {first} is out of order"
            )));
        }
        if records.is_empty() {
            return Ok(());
        }
        let bytes = records.iter().map(|record| record.len() as u64).sum();
        self.check_space(appender.room(bytes))?;
        appender.commit(first.get(), records, |begun| self.add(begun))?;
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
        let at = position.get();
        let record = self.records(at, at)?.pop();
        match record {
            // A slice would keep its whole block in memory.
            Some((_, record)) => Ok(Bytes::copy_from_slice(&record)),
            None => Err(Error::missing(position)),
        }
    }

    fn read_after(&self, after: Position, limit: usize) -> Result<Vec<(Position, Bytes)>, Error> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        self.records(after.plus(1).get(), after.plus(limit).get())
    }

    fn rewrite(&self, rewrites: &mut Rewrites<'_>) -> Result<(), Error> {
        let mut rewriting = self.rewriting();
        if self.shared().rewritten.len() > REWRITTEN_MAX {
            self.merge(&mut rewriting)?;
        }
        let rewritten = rewriting.run(rewrites, self.last(), &self.room)?;
        if let Some(rewritten) = rewritten {
            self.shared_mut().rewritten.add(rewritten);
        }
        Ok(())
    }

    fn is_purge_pending(&self) -> Result<bool, Error> {
        let remains = self.options.dir.join(LOG_DIR).join(folder::PURGE_PENDING);
        let noted = remains.try_exists();
        let noted = noted.map_err(|error| Error::Rewrite(error.to_string()))?;
        Ok(noted || self.shared().rewritten.len() > 0)
    }

    fn purge(&self, room: u64) -> Result<(), Error> {
        self.room.for_upkeep(room)?;
        self.merge(&mut self.rewriting())
    }

    fn end_purge(&self) -> Result<(), Error> {
        let mut rewriting = self.rewriting();
        if self.shared().rewritten.len() > 0 {
            // They came since.
            return Ok(());
        }
        rewriting.forget().map_err(|error| rewrite::failed(&error))
    }

    fn has_space(&self) -> bool {
        // One that is locked is writing, and this caller must not wait for the disk.
        let appender = self.appender.as_ref().map(Mutex::try_lock);
        let needed = appender
            .and_then(Result::ok)
            .map(|appender| appender.room(0));
        needed.is_some_and(|needed| self.check_space(needed).is_ok())
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
        if let Some(Err(error)) = self.note.as_ref().map(DurableMark::sync) {
            tracing::warn!(%error, "the durable position cannot be noted");
        }
    }
}

impl fmt::Debug for DiskStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskStore")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
