//! Opens a store, once all of its files were checked. A store that is refused is left as it is.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, RwLock};

use super::append::Appender;
use super::descriptors::{Descriptors, Slot};
use super::durable_mark::{self, DurableMark};
use super::format::Kind;
use super::keeper::Keeper;
use super::recovery::{End, Extent, header};
use super::rewrite::{Rewriting, Rewritten};
use super::room::Room;
use super::segment::Segment;
use super::{DURABLE_MARK, DiskStore, LOG_DIR, Options, Shared, folder, zeros};
use crate::log::{Error, Position};

/// What is in the log's folder.
struct Found {
    segments: Vec<Arc<Segment>>,
    /// The position behind the last record.
    next: u64,
    /// The last segment, unless it is sealed.
    open: Option<Arc<Segment>>,
    /// What a power cut has left of a commit: from where to where.
    torn: Option<(PathBuf, u64, u64)>,
    /// Damage that harms nothing.
    harmless: Vec<Error>,
}

impl DiskStore {
    /// What [`DiskStore::create_for`] makes, in this order.
    pub const MADE: [&str; 2] = [DURABLE_MARK, LOG_DIR];

    /// Opens the store, or makes a new one, and locks it against other processes.
    ///
    /// # Errors
    /// [`Error::Locked`], [`Error::Open`], [`Error::EndLost`].
    pub fn open(options: Options) -> Result<Self, Error> {
        let dir = options.dir.clone();
        let opened = |error: io::Error| failed(&dir, &error);
        make_folder(&dir).map_err(opened)?;
        warn_of_others(&dir);
        let note = DurableMark::open(&dir.join(DURABLE_MARK)).map_err(opened)?;
        let (note, noted) = note.ok_or_else(|| Error::Locked(dir.clone()))?;
        let store = Self::open_with(options, note, noted)?;
        if let Some(parent) = dir.parent() {
            // If it cannot be read, it was not made here.
            let _ = folder::sync(parent);
        }
        Ok(store)
    }

    /// As [`DiskStore::open`], but makes no store where none is.
    ///
    /// # Errors
    /// [`Error::NoStore`], and those of [`DiskStore::open`].
    pub fn open_existing(options: Options) -> Result<Self, Error> {
        match folder::has_log(&options.dir.join(LOG_DIR)) {
            true => Self::open(options),
            false => Err(Error::NoStore(options.dir)),
        }
    }

    /// Makes a store in a folder that has none, for its owner alone. Until its records reach `end`, every start refuses
    /// it: that is noted before anything else exists. Makes all or nothing.
    ///
    /// # Errors
    /// [`Error::Open`], [`Error::Locked`].
    pub fn create_for(options: Options, end: Position) -> Result<Self, Error> {
        let dir = options.dir.clone();
        let noted = dir.join(DURABLE_MARK);
        let note = DurableMark::create(&noted, end).map_err(|error| failed(&dir, &error))?;
        warn_of_others(&dir);
        let made = folder::sync(&dir)
            .map_err(|error| failed(&dir, &error))
            .and_then(|()| Self::make(options, note, end));
        if made.is_err() {
            // A second error says nothing new.
            let _ = std::fs::remove_dir_all(dir.join(LOG_DIR));
            let _ = std::fs::remove_file(noted);
        }
        made
    }

    fn make(options: Options, note: DurableMark, end: Position) -> Result<Self, Error> {
        let log = options.dir.join(LOG_DIR);
        let made = DirBuilder::new().mode(0o700).create(&log);
        made.map_err(|error| failed(&options.dir, &error))?;
        let mut store = Self::open_with(options, note, Position::START)?;
        store.noted = end;
        Ok(store)
    }

    fn open_with(options: Options, note: DurableMark, noted: Position) -> Result<Self, Error> {
        let dir = options.dir.clone();
        let opened = |error: io::Error| failed(&dir, &error);
        let log = dir.join(LOG_DIR);
        make_folder(&log).map_err(opened)?;
        let lock = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(log.join(folder::LOCK))
            .map_err(opened)?;
        if !durable_mark::lock(&lock).map_err(opened)? {
            return Err(Error::Locked(dir));
        }
        let descriptors = Descriptors::new(options.open_files_max);
        let found = look(&dir, &descriptors)?;
        check_end(&dir, found.next, noted)?;
        let rewriting = Rewriting::open(&log, &descriptors);
        let (rewriting, rewritten) = rewriting.map_err(|why| refused(&dir, why))?;
        found.truncate_torn().map_err(opened)?;
        rewriting.truncate_torn().map_err(opened)?;
        folder::tidy(&log).map_err(opened)?;
        let count = found.segments.len();
        let ends = (count, found.open.clone());
        let appender = Appender::new(
            log.clone(),
            descriptors.clone(),
            options.segment_bytes,
            ends,
        );
        let mut store = Self::of(options, descriptors, found, (rewriting, rewritten));
        let mut appender = appender.map_err(opened)?;
        if count == 0 {
            let begun = appender.begin(1);
            let begun = begun.map_err(|error| refused(&dir, format!("{error:?}")))?;
            store.shared_mut().segments = Arc::new(begun.into_iter().collect());
        }
        store.appender = Some(Mutex::new(appender));
        (store.note, store.noted) = (Some(note), noted);
        store.keeper = Some(Keeper::new(&dir).map_err(opened)?);
        store._lock = Some(lock);
        // A synced record is lost with a folder that a power cut takes away.
        folder::sync(&log).map_err(opened)?;
        folder::sync(&dir).map_err(opened)?;
        Ok(store)
    }

    /// Opens and locks an existing store read-only: it takes no commits, and may have lost its end. Nothing is made or
    /// changed.
    ///
    /// # Errors
    /// [`Error::NoStore`], [`Error::Locked`], [`Error::Open`], [`Error::EndLost`].
    pub fn open_to_read(options: Options) -> Result<Self, Error> {
        let dir = options.dir.clone();
        let log = dir.join(LOG_DIR);
        if !folder::has_log(&log) {
            return Err(Error::NoStore(dir));
        }
        let noted = DurableMark::peek(&dir.join(DURABLE_MARK));
        let lock = match File::open(log.join(folder::LOCK)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            file => Some(file.map_err(|error| failed(&dir, &error))?),
        };
        if let Some(lock) = &lock
            && !durable_mark::lock(lock).map_err(|error| failed(&dir, &error))?
        {
            return Err(Error::Locked(dir));
        }
        let descriptors = Descriptors::new(options.open_files_max);
        let found = look(&dir, &descriptors)?;
        if found.torn.is_some() {
            check_end(&dir, found.next, noted)?;
        }
        let rewriting = Rewriting::open(&log, &descriptors);
        let (rewriting, rewritten) = rewriting.map_err(|why| refused(&dir, why))?;
        let mut store = Self::of(options, descriptors, found, (rewriting, rewritten));
        (store.noted, store._lock) = (noted, lock);
        Ok(store)
    }

    fn of(
        options: Options,
        descriptors: Arc<Descriptors>,
        found: Found,
        (rewriting, rewritten): (Rewriting, Rewritten),
    ) -> Self {
        Self {
            room: Room::new(options.dir.clone(), options.free_bytes_min),
            options,
            descriptors,
            shared: RwLock::new(Shared {
                segments: Arc::new(found.segments),
                rewritten,
            }),
            last: AtomicU64::new(found.next.saturating_sub(1)),
            rewriting: Mutex::new(rewriting),
            harmless: found.harmless,
            appender: None,
            note: None,
            keeper: None,
            _lock: None,
            noted: Position::START,
        }
    }
}

fn check_end(dir: &Path, next: u64, acknowledged: Position) -> Result<(), Error> {
    let end = Position::from_number(next.saturating_sub(1));
    match end < acknowledged {
        true => Err(Error::EndLost {
            dir: dir.to_owned(),
            end,
            acknowledged,
        }),
        false => Ok(()),
    }
}

fn failed(dir: &Path, error: &io::Error) -> Error {
    refused(dir, error.to_string())
}

fn refused(dir: &Path, why: String) -> Error {
    let dir = dir.to_owned();
    Error::Open { dir, why }
}

/// Checks all segments.
fn look(dir: &Path, descriptors: &Arc<Descriptors>) -> Result<Found, Error> {
    let log = dir.join(LOG_DIR);
    if folder::is_former(&log) {
        let log = log.display();
        let why = format!(
            "{log} is of an earlier format (a database of fjall), which this version does not read"
        );
        return Err(refused(dir, why));
    }
    let names = folder::segments(&log).map_err(|error| failed(dir, &error))?;
    let mut found = Found {
        segments: Vec::with_capacity(names.len()),
        next: 1,
        open: None,
        torn: None,
        harmless: Vec::new(),
    };
    let followers = names.iter().skip(1).map(|(first, _)| Some(*first));
    let followers: Vec<_> = followers.chain([None]).collect();
    for ((first, path), follower) in names.into_iter().zip(followers) {
        if first != found.next {
            let missing = folder::segment(&log, found.next);
            let why = format!("{} is missing, position {}", missing.display(), found.next);
            return Err(refused(dir, why));
        }
        let looked = found.take(path, (first, follower), descriptors);
        looked.map_err(|why| refused(dir, why))?;
    }
    Ok(found)
}

impl Found {
    /// Checks the next segment. `follower` is the position of the first record in the one behind it.
    fn take(
        &mut self,
        path: PathBuf,
        (first, follower): (u64, Option<u64>),
        descriptors: &Arc<Descriptors>,
    ) -> Result<(), String> {
        let unreadable = |error: io::Error| format!("{} cannot be read: {error}", path.display());
        let file = File::open(&path).map_err(unreadable)?;
        let header = header(&path, &file, Kind::Segment)?;
        if header.first != first {
            let (path, begins) = (path.display(), header.first);
            return Err(format!(
                "{path} is damaged: it begins with position {begins}"
            ));
        }
        let sealed = Extent::sealed(&file, &header).map_err(unreadable)?;
        let extent = match (sealed, follower) {
            (Some(sealed), _) => sealed,
            (None, None) => Extent::scan(&file, &header).map_err(unreadable)?,
            (None, Some(_)) => Extent::skim(&file, &header).map_err(unreadable)?,
        };
        let (next, at, end) = (extent.next, extent.bytes, extent.end);
        let damage = format!(
            "{} is damaged at byte {at}, position {next}",
            path.display()
        );
        match (end, follower) {
            (End::Sealed, _) => {}
            // All records are there; only the index that finds them faster is not.
            (_, Some(follower)) if follower == next => {
                tracing::warn!(damage, "a segment has no seal; its records are all there");
                self.harmless.push(Error::Damaged {
                    position: Position::from_number(next),
                    why: format!("{damage}: its seal is not what was written"),
                });
            }
            (End::Damaged, _) | (_, Some(_)) => return Err(damage),
            (End::Torn(to), None) => self.torn = Some((path.clone(), at, to)),
            (End::Free, None) => {}
        }
        let slot = Slot::new(path);
        let segment = Segment::new(slot, descriptors.clone(), header, extent);
        let segment = Arc::new(segment);
        self.next = next;
        if follower.is_none() && end != End::Sealed {
            self.open = Some(segment.clone());
        }
        self.segments.push(segment);
        Ok(())
    }

    /// Cuts off what a power cut has left of an unacknowledged commit.
    fn truncate_torn(&self) -> io::Result<()> {
        let Some((path, from, to)) = &self.torn else {
            return Ok(());
        };
        // After a kill or a power cut this is as it should be.
        tracing::info!(file = %path.display(), at = from, "what was cut short at the log's end is dropped");
        let file = File::options().write(true).open(path)?;
        zeros::clear(&file, *from, *to)
    }
}

/// Makes a folder that only its owner can enter, as it holds customer data. An existing one stays as it is.
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

/// Warns if others than the owner may enter the folder, which is left as it is.
fn warn_of_others(dir: &Path) {
    let mode = std::fs::metadata(dir).map_or(0, |folder| folder.permissions().mode() & 0o777);
    if mode & 0o077 != 0 {
        let (dir, mode) = (dir.display(), format!("{mode:o}"));
        tracing::warn!(%dir, %mode, "others than its owner may enter the data folder, which holds what customers do");
    }
}
