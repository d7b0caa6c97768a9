//! The file that keeps the durable position, and keeps other processes out.

use std::fs::{File, TryLockError};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use crate::log::Position;

/// How often the lock is tried before another process counts as there: one that just ended may still have it.
const LOCK_TRIES: usize = 5;
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// How far the log once was on disk.
///
/// It is written after a commit's sync has returned, so it never says more than the disk has, whatever of it a power
/// cut leaves. It needs no sync of its own: while the machine runs, the next start reads the last write, and after a
/// power cut it says less.
#[derive(Debug)]
pub(super) struct DurableMark {
    file: File,
}

impl DurableMark {
    /// Opens or creates the file and locks it; `None` when another process has it.
    pub(super) fn open(path: &Path) -> io::Result<Option<(Self, Position)>> {
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        if !lock(&file)? {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(Some((Self { file }, noted(&bytes))))
    }

    /// Makes the file, for its owner alone, locks it, and writes a position that a power cut keeps.
    pub(super) fn create(path: &Path, position: Position) -> io::Result<Self> {
        let file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        let note = Self { file };
        note.file.try_lock().map_err(io::Error::from)?;
        note.write(position)?;
        note.file.sync_all()?;
        Ok(note)
    }

    /// What the file says, without a lock; the start, if there is none.
    pub(super) fn peek(path: &Path) -> Position {
        noted(&std::fs::read(path).unwrap_or_default())
    }

    pub(super) fn write(&self, position: Position) -> io::Result<()> {
        self.file.write_all_at(&note(position.get()), 0)
    }

    /// Makes it survive a power cut.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Locks a file, unless another process has it.
pub(super) fn lock(file: &File) -> io::Result<bool> {
    for attempt in 0..LOCK_TRIES {
        if attempt > 0 {
            std::thread::sleep(LOCK_PAUSE);
        }
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(false)
}

/// The position that a note says; the start, if it is not a note.
fn noted(bytes: &[u8]) -> Position {
    let number = bytes.first_chunk();
    let number = number.map(|number| u64::from_be_bytes(*number));
    let number = number.filter(|number| bytes == note(*number));
    Position::from_number(number.unwrap_or_default())
}

/// A position beside its complement: a torn or foreign file is not taken for one.
fn note(position: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    let (number, complement) = bytes.split_at_mut(8);
    number.copy_from_slice(&position.to_be_bytes());
    complement.copy_from_slice(&(!position).to_be_bytes());
    bytes
}
