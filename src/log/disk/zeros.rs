//! Files of zeros, made ahead, so that a commit's sync writes its bytes and no metadata of the file system.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use rustix::fs::OFlags;

/// What is written at once, past the page cache where the file system can: zeros in the page cache are in large pieces,
/// and each sync of a few bytes would write such a piece.
const CHUNK_BYTES: usize = 1 << 20;
/// What the place and length of such a write, and its place in memory, are multiples of.
const ALIGNED_BYTES: usize = 4096;

/// The next file, which is being made.
#[derive(Debug)]
pub(super) struct Spare {
    path: PathBuf,
    making: Option<JoinHandle<io::Result<u64>>>,
}

impl Spare {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, making: None }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is made, or being made.
    pub(super) fn is_begun(&self) -> bool {
        self.making.is_some()
    }

    /// Begins to make one, unless one is begun.
    pub(super) fn begin(&mut self, bytes: u64) {
        if self.making.is_none() {
            let path = self.path.clone();
            let thread = std::thread::Builder::new().name("log-zeros".into());
            // Without a thread it is made when it is needed.
            self.making = thread.spawn(move || make(&path, bytes)).ok();
        }
    }

    /// The file, of so many bytes at least, open for reading and writing.
    ///
    /// # Errors
    /// What the system says. The call may be repeated.
    pub(super) fn take(&mut self, bytes: u64) -> io::Result<File> {
        let made = self.making.take().map(JoinHandle::join);
        let is_ready = matches!(made, Some(Ok(Ok(made))) if made >= bytes);
        if !is_ready {
            make(&self.path, bytes)?;
        }
        File::options().read(true).write(true).open(&self.path)
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        // Its thread would write in a folder that another process has by then.
        if let Some(making) = self.making.take() {
            let _ = making.join();
            // It is not needed any more. A start removes it, too.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Makes a file of zeros that are on the disk, for its owner alone; gives its length.
fn make(path: &Path, bytes: u64) -> io::Result<u64> {
    let bytes = bytes.next_multiple_of(ALIGNED_BYTES as u64);
    let made = fill(path, bytes, OFlags::DIRECT).or_else(|error| {
        let is_refused = matches!(
            error.kind(),
            io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
        );
        // The file system cannot write past the page cache.
        match is_refused {
            true => fill(path, bytes, OFlags::empty()),
            false => Err(error),
        }
    });
    if made.is_err() {
        // The unfinished file only takes space.
        let _ = fs::remove_file(path);
    }
    made.map(|()| bytes)
}

fn fill(path: &Path, bytes: u64, flags: OFlags) -> io::Result<()> {
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    let chunk = usize::try_from(bytes).map_or(CHUNK_BYTES, |bytes| bytes.min(CHUNK_BYTES));
    let room = vec![0; chunk + ALIGNED_BYTES];
    let aligned = room.as_ptr().align_offset(ALIGNED_BYTES);
    let zeros = room.get(aligned..).and_then(|zeros| zeros.get(..chunk));
    let zeros = zeros.ok_or(io::ErrorKind::InvalidInput)?;
    let mut at = 0;
    while at < bytes {
        let length = usize::try_from(bytes - at).map_or(chunk, |left| left.min(chunk));
        file.write_all_at(zeros.get(..length).unwrap_or(zeros), at)?;
        at += length as u64;
    }
    file.sync_all()
}

/// Writes zeros over a part of a file.
pub(super) fn clear(file: &File, from: u64, to: u64) -> io::Result<()> {
    let zeros = vec![0; CHUNK_BYTES];
    let mut at = from;
    while at < to {
        let length = usize::try_from(to - at).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES));
        file.write_all_at(zeros.get(..length).unwrap_or(&zeros), at)?;
        at += length as u64;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_as_many_zeros_as_were_asked_for_on_any_file_system() {
        for place in [std::env::temp_dir(), "/dev/shm".into(), ".".into()] {
            let Ok(dir) = tempfile::tempdir_in(&place) else {
                continue;
            };
            let path = dir.path().join("zeros");
            for bytes in [1, 4_096, (1 << 20) + 5, 3 << 20] {
                let mut spare = Spare::new(path.clone());
                spare.begin(bytes / 2);
                let file = spare.take(bytes).unwrap();
                let length = file.metadata().unwrap().len();
                assert!(
                    (bytes..bytes + 4_096).contains(&length),
                    "{place:?}: {length}"
                );
                assert!(fs::read(&path).unwrap().iter().all(|byte| *byte == 0));
            }
        }
    }

    #[test]
    fn a_part_is_cleared_and_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, vec![7; 3 << 20]).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        clear(&file, 5, (2 << 20) + 9).unwrap();
        let bytes = fs::read(&path).unwrap();
        let zeros = bytes.iter().filter(|byte| **byte == 0).count();
        assert_eq!((bytes.len(), zeros), (3 << 20, (2 << 20) + 4));
        assert!(bytes[5..][..zeros].iter().all(|byte| *byte == 0));
    }
}
