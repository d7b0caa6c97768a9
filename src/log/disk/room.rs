//! Free space on the disk, checked before each write: an engine that runs out of space in the middle of its work takes
//! no writes before a restart.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::log::Error;

/// Most bytes that stay free even for writers that go on once commits are refused.
const LAST_RESERVE_MAX: u64 = 32 << 20;

/// The disk of a data folder. Clones share what is set aside.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    dir: PathBuf,
    /// What stays free, in bytes.
    free_min: u64,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// What callers have reserved for their writes, in bytes.
    set_aside: AtomicU64,
    /// What the view needs to go on, in bytes.
    of_view: AtomicU64,
}

/// Space reserved for its holder until it is dropped.
#[derive(Debug, Default)]
pub struct SetAside {
    /// None: the store is on no disk.
    of: Option<Room>,
    bytes: u64,
}

impl Room {
    pub(super) fn new(dir: PathBuf, free_min: u64) -> Self {
        Self {
            dir,
            free_min,
            shared: Arc::default(),
        }
    }

    fn free(&self) -> Result<u64, Error> {
        let disk = rustix::fs::statvfs(&self.dir);
        let disk = disk.map_err(|error| Error::Read(error.to_string()))?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        Ok(free.saturating_sub(self.shared.set_aside.load(Ordering::Relaxed)))
    }

    /// Whether a commit has space for so many bytes. What the view needs is left to it, so that what is acknowledged
    /// can be read as well.
    ///
    /// # Errors
    /// [`Error::Full`]; [`Error::Read`]: the system does not say.
    pub(super) fn for_commit(&self, bytes: u64) -> Result<(), Error> {
        let of_view = self.shared.of_view.load(Ordering::Relaxed);
        self.check(self.free_min.saturating_add(of_view), bytes)
    }

    /// Whether the view has space for so many bytes. It goes on once commits are refused, however much operators keep
    /// free.
    ///
    /// # Errors
    /// As [`Room::for_commit`].
    pub(super) fn for_view(&self, bytes: u64) -> Result<(), Error> {
        self.shared.of_view.store(bytes, Ordering::Relaxed);
        self.check(self.last_reserve(), bytes)
    }

    /// Whether maintenance has space for so many bytes.
    ///
    /// # Errors
    /// As [`Room::for_commit`].
    pub(crate) fn for_upkeep(&self, bytes: u64) -> Result<(), Error> {
        self.check(self.free_min, bytes)
    }

    /// As [`Room::for_upkeep`], and reserves the space for the caller.
    ///
    /// # Errors
    /// As [`Room::for_commit`].
    pub(crate) fn set_aside(&self, bytes: u64) -> Result<SetAside, Error> {
        self.for_upkeep(bytes)?;
        self.shared.set_aside.fetch_add(bytes, Ordering::Relaxed);
        Ok(SetAside {
            of: Some(self.clone()),
            bytes,
        })
    }

    /// What stays free in any case, in bytes.
    fn last_reserve(&self) -> u64 {
        LAST_RESERVE_MAX.min(self.free_min / 2)
    }

    fn check(&self, stays: u64, bytes: u64) -> Result<(), Error> {
        match self.free()? >= stays.saturating_add(bytes) {
            true => Ok(()),
            false => Err(Error::Full),
        }
    }
}

impl SetAside {
    /// Checks that the disk has any space left, for a holder that uses reserved space piece by piece: other processes
    /// write too.
    ///
    /// # Errors
    /// Of the kind `StorageFull`; what the system says.
    pub(crate) fn check(&self) -> io::Result<()> {
        let Some(room) = &self.of else {
            return Ok(());
        };
        let disk = rustix::fs::statvfs(&room.dir)?;
        match disk.f_bavail.saturating_mul(disk.f_frsize) >= room.last_reserve() {
            true => Ok(()),
            false => Err(io::ErrorKind::StorageFull.into()),
        }
    }
}

impl Drop for SetAside {
    fn drop(&mut self) {
        if let Some(room) = &self.of {
            room.shared
                .set_aside
                .fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(free_min: u64) -> Room {
        Room::new(std::env::temp_dir(), free_min)
    }

    #[test]
    fn what_is_set_aside_is_given_to_nobody_else_until_it_is_dropped() {
        let room = room(0);
        let free = room.free().unwrap();
        let aside = room.set_aside(free / 2).unwrap();
        // Others write to the same disk meanwhile.
        let most = free / 2 + free / 4;
        assert!(matches!(room.for_commit(most), Err(Error::Full)));
        assert!(matches!(room.clone().for_view(most), Err(Error::Full)));
        assert!(matches!(room.set_aside(most), Err(Error::Full)));
        room.for_view(0).unwrap();
        drop(aside);
        room.for_commit(most).unwrap();
    }

    #[test]
    fn commits_stop_before_the_view_does() {
        let any = room(0);
        let free = any.free().unwrap();
        let room = room(free / 2);
        room.for_view(free / 3).unwrap();
        room.for_view(free / 5 * 3).unwrap();
        assert!(matches!(room.for_commit(0), Err(Error::Full)));
        room.for_view(0).unwrap();
        room.for_commit(0).unwrap();
    }
}
