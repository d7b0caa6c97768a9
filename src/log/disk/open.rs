//! Opens a store, once it was looked at: the engine believes its files too early.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::atomic::AtomicU64;

use fjall::config::CompressionPolicy;
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions};

use super::journal::{self, Fault};
use super::keeper::Keeper;
use super::mark::Mark;
use super::note::{self, Note};
use super::rewrite::Rewriting;
use super::room::Room;
use super::{DiskStore, LOG_DIR, MARK_FILE, NOTE_FILE, Options, files, fresh, position};
use crate::log::{Error, Position};

/// Bound of the journal, which is what a start after a crash replays.
const JOURNAL_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// Bytes of records in memory before they become a table. A table is written and synced at once, and commits stand in
/// line behind it on the disk; that there are more of them costs little, for they never overlap and are not merged.
const TABLE_BYTES: u64 = 16 * 1024 * 1024;
/// Fewest open tables that the engine takes.
const OPEN_FILES_MIN: usize = 16;
/// The file by which the engine keeps others out.
pub(super) const ENGINE_LOCK: &str = "lock";

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
        make_folder(&dir).map_err(opened)?;
        warn_of_others(&dir);
        let note = Note::open(&dir.join(NOTE_FILE)).map_err(opened)?;
        let (note, noted) = note.ok_or_else(|| Error::Locked(dir.clone()))?;
        let lock = engine_lock(&dir)?;
        remove_unfinished(&dir, noted)?;
        let mark = Mark::open(&dir.join(MARK_FILE)).map_err(opened)?;
        mend(&dir, noted, Some(mark))?;
        drop(lock);
        let mut store = Self::open_database(options, mark)?;
        (store.note, store.noted) = (Some(note), noted);
        store.keeper = Some(Keeper::new(&dir).map_err(opened)?);
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
    /// [`Error::NoStore`], [`Error::Locked`], [`Error::Open`], [`Error::EndLost`], [`Error::Damaged`].
    pub fn open_to_read(options: Options) -> Result<Self, Error> {
        let dir = options.dir.clone();
        if !fresh::has_store(&dir) {
            return Err(Error::NoStore(dir));
        }
        let noted = Note::peek(&dir.join(NOTE_FILE));
        let mark = Mark::peek(&dir.join(MARK_FILE)).map_err(|error| Error::Open {
            dir: dir.clone(),
            why: error.to_string(),
        })?;
        let lock = engine_lock(&dir)?;
        mend(&dir, noted, mark)?;
        drop(lock);
        let mut store = Self::open_database(options, mark.unwrap_or_default())?;
        store.noted = noted;
        Ok(store)
    }

    pub(super) fn open_database(options: Options, mark: Mark) -> Result<Self, Error> {
        let dir = options.dir.clone();
        let log = dir.join(LOG_DIR);
        let opened = |why: String| Error::Open {
            dir: dir.clone(),
            why,
        };
        let named = |error: &dyn std::error::Error| opened(files::named_in(&log, error));
        let damage = files::damage(&log).map_err(|error| opened(error.to_string()))?;
        if let Some(damage) = damage {
            return Err(opened(damage));
        }
        let database = Database::builder(&log)
            .max_journaling_size(JOURNAL_BYTES_MAX)
            .cache_size(options.cache_bytes)
            .max_cached_files(Some(options.open_files_max.max(OPEN_FILES_MIN)))
            .open()
            .map_err(|error| match matches!(error, fjall::Error::Locked) {
                true => Error::Locked(dir.clone()),
                false => named(&error),
            })?;
        let records = database.keyspace("records", keyspace_options);
        let records = records.map_err(|error| named(&error))?;
        let last = last_position(&records).map_err(|error| named(&error))?;
        let rewriting =
            Rewriting::open(&database, &records, mark).map_err(|error| named(&error))?;
        Ok(Self {
            room: Room::new(dir, options.free_bytes_min),
            options,
            rewriting,
            mark,
            database,
            records,
            last: AtomicU64::new(last.get()),
            note: None,
            keeper: None,
            noted: Position::START,
        })
    }
}

/// Keeps everybody away who has the store open, or wants to. The engine takes the lock itself, so it has to go first.
pub(super) fn engine_lock(dir: &Path) -> Result<Option<File>, Error> {
    let opened = |error: io::Error| Error::Open {
        dir: dir.to_owned(),
        why: error.to_string(),
    };
    let file = match File::open(dir.join(LOG_DIR).join(ENGINE_LOCK)) {
        // The engine makes it, or says so.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(opened)?,
    };
    match note::lock(&file).map_err(opened)? {
        true => Ok(Some(file)),
        false => Err(Error::Locked(dir.to_owned())),
    }
}

fn keyspace_options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default()
        .manual_journal_persist(true)
        .max_memtable_size(TABLE_BYTES)
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
    let Some(guard) = records.last_key_value() else {
        return Ok(Position::START);
    };
    let key = guard
        .key()
        .map_err(|error| Error::Read(error.to_string()))?;
    position(&key)
}

/// Makes a data folder that its owner alone can enter, for it holds what customers do; one that is there stays as it
/// is.
///
/// # Errors
/// What the system says.
pub fn make_folder(dir: &Path) -> io::Result<()> {
    let make = || DirBuilder::new().mode(0o700).create(dir);
    match (make(), dir.parent()) {
        (Err(error), Some(parent)) if error.kind() == io::ErrorKind::NotFound => {
            std::fs::create_dir_all(parent)?;
            make()
        }
        (Err(error), _) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        (made, _) => made,
    }
}

/// Says so where others than the owner may enter the folder, which is left as it is.
pub(super) fn warn_of_others(dir: &Path) {
    let mode = std::fs::metadata(dir).map_or(0, |folder| folder.permissions().mode() & 0o777);
    if mode & 0o077 != 0 {
        let (dir, mode) = (dir.display(), format!("{mode:o}"));
        tracing::warn!(%dir, %mode, "others than its owner may enter the data folder, which holds what customers do");
    }
}

pub(super) fn sync_folder(dir: &Path) -> io::Result<()> {
    let dir = match dir.as_os_str().is_empty() {
        true => Path::new("."),
        false => dir,
    };
    File::open(dir)?.sync_all()
}

/// Removes what is left of a store whose making was cut short.
fn remove_unfinished(dir: &Path, acknowledged: Position) -> Result<(), Error> {
    let removed = journal::remove_unfinished(&dir.join(LOG_DIR), acknowledged);
    settled(dir, acknowledged, removed)
}

/// Makes what a power cut may have left of the last commit whole again, before the engine looks at it.
fn mend(dir: &Path, acknowledged: Position, mark: Option<Mark>) -> Result<(), Error> {
    let mended = journal::mend(&dir.join(LOG_DIR), acknowledged, mark);
    settled(dir, acknowledged, mended)
}

fn settled(
    dir: &Path,
    acknowledged: Position,
    result: io::Result<Result<(), Fault>>,
) -> Result<(), Error> {
    let dir = dir.to_owned();
    match result {
        Ok(Ok(())) => Ok(()),
        Ok(Err(Fault::EndLost { end })) => Err(Error::EndLost {
            dir,
            end,
            acknowledged,
        }),
        Ok(Err(Fault::Damaged { file, at })) => Err(Error::Open {
            dir,
            why: format!("{} is damaged at byte {at}", file.display()),
        }),
        Err(error) => Err(Error::Open {
            dir,
            why: error.to_string(),
        }),
    }
}
