//! Open files, at most so many at a time.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// The files that are open, the one that was opened first in front.
#[derive(Debug)]
pub(super) struct Descriptors {
    max: usize,
    open: Mutex<VecDeque<Weak<Slot>>>,
}

/// A file that is open, or can be opened again.
#[derive(Debug)]
pub(super) struct Slot {
    path: PathBuf,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    file: Option<Arc<File>>,
    /// Whether it stays open, as its name leads to another file, or will.
    is_kept: bool,
}

impl Descriptors {
    /// For so many files, and those that are kept open.
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            max: max.max(1),
            open: Mutex::default(),
        })
    }

    fn add(&self, slot: &Arc<Slot>) {
        let closing: Vec<_> = {
            let mut open = lock(&self.open);
            open.push_back(Arc::downgrade(slot));
            let more = open.len().saturating_sub(self.max);
            open.drain(..more).collect()
        };
        for slot in closing.iter().filter_map(Weak::upgrade) {
            slot.close();
        }
    }
}

impl Slot {
    pub(super) fn new(path: PathBuf) -> Arc<Self> {
        let held = Mutex::default();
        Arc::new(Self { path, held })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The file, to be read.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn file(self: &Arc<Self>, among: &Descriptors) -> io::Result<Arc<File>> {
        let file = {
            let mut held = lock(&self.held);
            if let Some(file) = &held.file {
                return Ok(file.clone());
            }
            let file = Arc::new(File::open(&self.path)?);
            held.file = Some(file.clone());
            file
        };
        among.add(self);
        Ok(file)
    }

    /// Opens the file and keeps it open.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn keep(&self) -> io::Result<()> {
        let mut held = lock(&self.held);
        if held.file.is_none() {
            held.file = Some(Arc::new(File::open(&self.path)?));
        }
        held.is_kept = true;
        Ok(())
    }

    fn close(&self) {
        let mut held = lock(&self.held);
        if !held.is_kept {
            held.file = None;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // It is consistent between statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_open(slot: &Slot) -> bool {
        lock(&slot.held).file.is_some()
    }

    #[test]
    fn so_many_files_are_open_and_those_that_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let among = Descriptors::new(2);
        let slots: Vec<_> = (0..5)
            .map(|number| {
                let path = dir.path().join(number.to_string());
                std::fs::write(&path, "").unwrap();
                Slot::new(path)
            })
            .collect();
        slots[0].keep().unwrap();
        for slot in &slots {
            slot.file(&among).unwrap();
        }
        let open: Vec<_> = slots.iter().map(|slot| is_open(slot)).collect();
        assert_eq!(open, [true, false, false, true, true]);
        slots[1].file(&among).unwrap();
        assert!(is_open(&slots[1]) && !is_open(&slots[3]));
    }
}
