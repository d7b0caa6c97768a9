//! The folder of a copy: what is made in it is removed again, unless the copy becomes complete.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::BackupError;

#[derive(Debug)]
pub(super) struct Target {
    dir: PathBuf,
    /// The paths to remove again, the last first.
    made: Vec<PathBuf>,
}

impl Target {
    /// Makes the folder, for its owner alone, or takes an empty one.
    pub(super) fn make(dir: &Path, data: &Path) -> Result<Self, BackupError> {
        if !dir.is_absolute() {
            return Err(BackupError::NotAbsolute(dir.to_owned()));
        }
        let real_data = fs::canonicalize(data).map_err(|error| BackupError::io(data, error))?;
        let (real, is_there) = real_path(dir)?;
        if real.starts_with(&real_data) {
            return Err(BackupError::Inside {
                dir: dir.to_owned(),
                data: data.to_owned(),
            });
        }
        let io = |error| BackupError::io(dir, error);
        let mut made = Vec::new();
        if is_there {
            if fs::read_dir(&real).map_err(io)?.next().is_some() {
                return Err(BackupError::NotEmpty(dir.to_owned()));
            }
        } else {
            let mut private = DirBuilder::new();
            private.mode(0o700).create(&real).map_err(io)?;
            made.push(real.clone());
        }
        Ok(Self { dir: real, made })
    }

    /// The path of the copy, without links.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Registers what other code has made here.
    pub(super) fn has(&mut self, names: &[&str]) {
        let paths = names.iter().map(|name| self.dir.join(name));
        self.made.extend(paths);
    }

    /// Copies a file, if it is there, for its owner alone.
    pub(super) fn take(&mut self, from: &Path, name: &str) -> Result<(), BackupError> {
        let (from, to) = (from.join(name), self.dir.join(name));
        let mut from = match File::open(&from) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            opened => opened.map_err(|error| BackupError::io(&from, error))?,
        };
        let io = |error| BackupError::io(&to, error);
        let private = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&to);
        let mut file = private.map_err(io)?;
        self.made.push(to.clone());
        io::copy(&mut from, &mut file).map(drop).map_err(io)
    }

    /// Keeps everything, durably.
    pub(super) fn keep(mut self) -> Result<(), BackupError> {
        sync(&self.dir).map_err(|error| BackupError::io(&self.dir, error))?;
        if let Some(parent) = self.dir.parent() {
            // If it cannot be read, it was not made here.
            let _ = File::open(parent).and_then(|parent| parent.sync_all());
        }
        self.made.clear();
        Ok(())
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        while let Some(path) = self.made.pop() {
            // The note of where the copy ends is removed after the log: every start refuses what is left here.
            let removed = match path.is_dir() {
                // A folder made here that others have written to stays.
                true if path == self.dir => fs::remove_dir(&path),
                true => fs::remove_dir_all(&path),
                false => fs::remove_file(&path),
            };
            if let Err(error) = removed {
                let path = path.display();
                tracing::warn!(%path, %error, "a part of an unfinished backup is left behind");
            }
        }
    }
}

/// A path without links, and whether it is there. The folder above it must be there.
fn real_path(dir: &Path) -> Result<(PathBuf, bool), BackupError> {
    let missing = match fs::canonicalize(dir) {
        Ok(real) => return Ok((real, true)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => error,
        Err(error) => return Err(BackupError::io(dir, error)),
    };
    let (Some(parent), Some(name)) = (dir.parent(), dir.file_name()) else {
        return Err(BackupError::io(dir, missing));
    };
    let parent = fs::canonicalize(parent).map_err(|error| BackupError::io(parent, error))?;
    Ok((parent.join(name), false))
}

/// Syncs a folder, and all that is in it.
fn sync(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => sync(&entry.path())?,
            false => File::open(entry.path())?.sync_all()?,
        }
    }
    File::open(dir)?.sync_all()
}
