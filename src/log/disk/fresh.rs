//! A store that is made to hold what another one holds.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use super::mark::Mark;
use super::note::Note;
use super::open::sync_folder;
use super::{DiskStore, LOG_DIR, MARK_FILE, NOTE_FILE, Options, files};
use crate::log::{Error, Position};

impl DiskStore {
    /// What [`DiskStore::create_for`] makes, in this order.
    pub const MADE: [&str; 3] = [NOTE_FILE, MARK_FILE, LOG_DIR];

    /// Makes a store in a folder that has none, for its owner alone. Until its records reach `end`, every start
    /// refuses it: that is noted before there is anything else. Makes all or nothing.
    ///
    /// # Errors
    /// [`Error::Open`], [`Error::Locked`].
    pub fn create_for(options: Options, end: Position) -> Result<Self, Error> {
        let dir = options.dir.clone();
        let opened = |error: io::Error| Error::Open {
            dir: dir.clone(),
            why: error.to_string(),
        };
        let noted = dir.join(NOTE_FILE);
        let note = Note::create(&noted, end).map_err(opened)?;
        let made = Self::make(options, note, end);
        if made.is_err() {
            // Another error than the first one says nothing new.
            let _ = fs::remove_dir_all(dir.join(LOG_DIR));
            let _ = fs::remove_file(dir.join(MARK_FILE));
            let _ = fs::remove_file(noted);
        }
        made
    }

    fn make(options: Options, note: Note, end: Position) -> Result<Self, Error> {
        let dir = options.dir.clone();
        let opened = |error: io::Error| Error::Open {
            dir: dir.clone(),
            why: error.to_string(),
        };
        super::open::warn_of_others(&dir);
        sync_folder(&dir).map_err(opened)?;
        let mut private = DirBuilder::new();
        private.mode(0o700);
        private.create(dir.join(LOG_DIR)).map_err(opened)?;
        let mark = Mark::open(&dir.join(MARK_FILE)).map_err(opened)?;
        let mut store = Self::open_database(options, mark)?;
        (store.note, store.noted) = (Some(note), end);
        Ok(store)
    }

    /// As [`DiskStore::open`], but makes no store where none is.
    ///
    /// # Errors
    /// [`Error::NoStore`], and those of [`DiskStore::open`].
    pub fn open_existing(options: Options) -> Result<Self, Error> {
        match has_store(&options.dir) {
            true => Self::open(options),
            false => Err(Error::NoStore(options.dir)),
        }
    }
}

pub(super) fn has_store(dir: &Path) -> bool {
    let log = dir.join(LOG_DIR);
    // Whatever lacks more than its marker is refused with what it lacks.
    log.join(files::MARKER).exists() || files::has_tables(&log).unwrap_or(true)
}
