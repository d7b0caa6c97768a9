use std::io;
use std::path::{Path, PathBuf};

use crate::log::copy::CopyError;
use crate::log::{self, StoreError};

/// Why there is no backup, as a text for an operator. What was made of the copy is removed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The folder's path depends on where a process works.
    #[error("{} is not an absolute path", .0.display())]
    NotAbsolute(PathBuf),
    /// The folder's path cannot be sent to the service.
    #[error("{} is not UTF-8", .0.display())]
    NotUtf8(PathBuf),
    /// The copy would be inside of what is copied.
    #[error("{} is inside of the data folder {}", dir.display(), data.display())]
    Inside {
        /// Where the copy was to be.
        dir: PathBuf,
        /// The data folder.
        data: PathBuf,
    },
    /// Something is there already.
    #[error("{} is not empty", .0.display())]
    NotEmpty(PathBuf),
    /// A file or folder cannot be read or made.
    #[error("{}: {error}", path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The copy's disk is full, except for the space kept free.
    #[error("{}: the disk has not enough space", .0.display())]
    Full(PathBuf),
    /// The copy cannot be written.
    #[error("{}: {why}", dir.display())]
    Write {
        /// Where the copy was to be.
        dir: PathBuf,
        /// What the store said.
        why: String,
    },
    /// The store cannot be read, or the copy's cannot be made.
    #[error(transparent)]
    Log(#[from] log::Error),
    /// There is one at a time.
    #[error("another backup is under way")]
    Busy,
    /// It was asked to end.
    #[error("stopped before the backup was finished; what was copied is removed")]
    Stopped,
    /// The command no longer waits for it.
    #[error("not waited for: the service goes on copying to {}", .0.display())]
    Left(PathBuf),
    /// A process has the store, and has no socket to be asked by.
    #[error("the data folder {} is in use by another process, and {} is not there, by which a service is asked for a \
        backup", data.display(), socket.display())]
    NoSocket {
        /// The data folder.
        data: PathBuf,
        /// The socket.
        socket: PathBuf,
    },
    /// A process has the store, and does not answer on the socket.
    #[error("the data folder {} is in use by another process, which does not answer at {}: {why}", data.display(),
        socket.display())]
    NoAnswer {
        /// The data folder.
        data: PathBuf,
        /// The socket.
        socket: PathBuf,
        /// What happened.
        why: String,
    },
    /// The service ended, and what it had copied may be there.
    #[error("the service at {} was gone before the backup was finished: {} is no backup", socket.display(),
        dir.display())]
    Gone {
        /// The socket.
        socket: PathBuf,
        /// Where the copy was to be.
        dir: PathBuf,
    },
    /// What the service said.
    #[error("{0}")]
    Refused(String),
    /// The part that copies panicked.
    #[error("the backup panicked; the log says where")]
    Panicked,
}

impl BackupError {
    pub(super) fn io(path: &Path, error: io::Error) -> Self {
        let path = path.to_owned();
        Self::Io { path, error }
    }

    pub(super) fn of(error: CopyError, dir: &Path) -> Self {
        let dir = dir.to_owned();
        match error {
            CopyError::Source(error) => Self::Log(error),
            CopyError::Target(StoreError::Full) => Self::Full(dir),
            CopyError::Target(StoreError::Failed(why)) => Self::Write { dir, why },
            CopyError::Stopped => Self::Stopped,
        }
    }
}
