//! Copies a store into another folder, while a service runs on it or not.
//!
//! The process that holds the store's lock makes the copy: the command itself, or the running service, which the
//! command asks over the unix socket ([`ask`]).

mod ask;
mod error;
mod running;
mod target;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::config::{Config, data};
use crate::log::copy::{self, Source};
use crate::log::disk::{self, DiskStore};
use crate::log::{self, Position, Store as _};
pub use error::BackupError;
pub(crate) use running::Backups;
use target::Target;

/// What was copied, and to where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The new folder.
    pub dir: PathBuf,
    /// The records.
    pub records: u64,
    /// Their size, as they were appended.
    pub bytes: u64,
    /// The position of the last one; 0 without any.
    pub last_position: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            dir,
            records,
            bytes,
            last_position,
        } = self;
        let dir = dir.display();
        write!(
            f,
            "copied {records} records of {bytes} bytes, up to position {last_position}, to {dir}"
        )
    }
}

/// Copies the store of the settings into a new or empty folder; the running service does it, if there is one. The
/// first message of `shutdown` ends a copy that this process makes, and what it made is removed.
///
/// # Errors
/// [`BackupError`]: there is no copy. With [`BackupError::Left`] the service goes on with it.
pub async fn run(
    config: &Config,
    dir: &Path,
    mut shutdown: mpsc::Receiver<()>,
) -> Result<Report, BackupError> {
    let dir = std::path::absolute(dir).map_err(|error| BackupError::io(dir, error))?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut copying = {
        let (config, dir, stop) = (config.clone(), dir.clone(), stop.clone());
        tokio::task::spawn_blocking(move || copy_stopped(&config, &dir, &stop))
    };
    let ended = tokio::select! {
        ended = &mut copying => ended,
        _ = shutdown.recv() => {
            stop.store(true, Ordering::Relaxed);
            copying.await
        }
    };
    match ended.map_err(|_| BackupError::Panicked)? {
        Err(BackupError::Log(log::Error::Locked(_))) => tokio::select! {
            answer = ask::ask(&config.data.dir, &dir) => answer,
            _ = shutdown.recv() => Err(BackupError::Left(dir)),
        },
        ended => ended,
    }
}

/// Opens the store as a start does, so that what a start refuses is not copied either.
fn copy_stopped(config: &Config, dir: &Path, stop: &AtomicBool) -> Result<Report, BackupError> {
    let store = DiskStore::open_existing((&config.data).into())?;
    let read = |after, limit| store.read_after(after, limit);
    let copied = copy(&read, store.last(), &config.data, dir, stop);
    store.close();
    copied
}

/// Copies everything up to `end`. All of it is on disk afterwards, or nothing is. May block on both disks.
fn copy(
    source: &Source<'_>,
    end: Position,
    data: &data::Options,
    dir: &Path,
    stop: &AtomicBool,
) -> Result<Report, BackupError> {
    let is_stopped = || stop.load(Ordering::Relaxed);
    if is_stopped() {
        return Err(BackupError::Stopped);
    }
    let mut target = Target::make(dir, &data.dir)?;
    let options = disk::Options {
        dir: target.dir().to_owned(),
        // Twice as much as the service needs: where both share a disk, the copy gives up first.
        free_bytes_min: data.free_bytes_min.saturating_mul(2),
        open_files_max: data.open_files_max.get(),
        ..disk::Options::default()
    };
    let store = DiskStore::create_for(options, end)?;
    target.has(&DiskStore::MADE);
    for file in data::SETTINGS_FILES {
        target.take(&data.dir, file)?;
    }
    let copied = copy::copy(source, end, &store, &is_stopped);
    let copied = copied.map_err(|error| BackupError::of(error, dir))?;
    store.close();
    drop(store);
    target.keep()?;
    Ok(Report {
        dir: dir.to_owned(),
        records: copied.records,
        bytes: copied.bytes,
        last_position: copied.last.get(),
    })
}
