//! Checks the files that lock other processes out: a process that finds them gone takes the folder for free.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::folder::LOCK;
use super::{DURABLE_MARK, LOG_DIR};

/// The locked files, each with its identity at that time.
#[derive(Debug)]
pub(super) struct Keeper(Vec<(PathBuf, Id)>);

/// The identity of a file, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Id {
    device: u64,
    number: u64,
}

impl Keeper {
    /// For the holder of the locks of the store in `dir`.
    pub(super) fn new(dir: &Path) -> io::Result<Self> {
        let files = [dir.join(DURABLE_MARK), dir.join(LOG_DIR).join(LOCK)];
        let known = files.map(|file| Ok((file.clone(), id(&file)?)));
        known.into_iter().collect::<io::Result<_>>().map(Self)
    }

    /// Says which of the files is gone or replaced.
    pub(super) fn trouble(&self) -> Option<String> {
        let lost = |(file, known): &&(PathBuf, Id)| match id(file) {
            Ok(found) => found != *known,
            // Any other error says nothing about the lock.
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        let (file, _) = self.0.iter().find(lost)?;
        Some(format!(
            "the lock {} is gone, so that another process may write here too",
            file.display()
        ))
    }
}

fn id(file: &Path) -> io::Result<Id> {
    let metadata = fs::metadata(file)?;
    Ok(Id {
        device: metadata.dev(),
        number: metadata.ino(),
    })
}
