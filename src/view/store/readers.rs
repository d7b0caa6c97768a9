//! Readers, and how long what they may read stays on the disk.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::super::Error;
use super::super::keys::{self, Table};
use super::{State, Store, lock};
use crate::log::SetAside;

/// Bytes of layers that a reader may keep for long.
pub(super) const KEPT_BYTES_MAX: usize = 1024 * 1024;
/// How often, and how long apart, it is checked whether all readers have ended: reads are short, except exports.
const READERS_TRIES: usize = 50;
const READERS_PAUSE: Duration = Duration::from_millis(10);

/// How often the engine is made to rewrite everything before the replaced files count as still read.
const PURGE_TRIES: usize = 3;

/// The readers.
#[derive(Default)]
pub(super) struct Readers {
    /// Readers that began since the last purge hold a clone of this.
    present: Arc<()>,
    /// Earlier readers that have not ended.
    earlier: Vec<Weak<()>>,
}

/// A state to read from, and the token that shows that it is being read.
pub(in crate::view) type Held = (Arc<State>, Arc<()>);

impl Store {
    /// The present state, for short reads.
    pub(in crate::view) fn snapshot(&self) -> Held {
        // The token first: a state taken before it could be an earlier one.
        let reader = lock(&self.readers).present.clone();
        (self.state.load_full(), reader)
    }

    /// The present state, for long reads: they should not hold layers, which are in memory. Blocks on the disk.
    pub(in crate::view) fn lasting_snapshot(&self) -> Held {
        let (state, reader) = self.snapshot();
        if self.base.is_none() || self.in_memory.load(Ordering::Relaxed) <= KEPT_BYTES_MAX {
            return (state, reader);
        }
        if let Err(error) = self.checkpoint() {
            // A full disk prevents no read; the fold waits for the readers.
            tracing::warn!(%error, "no checkpoint can be made for a long read");
            return (state, reader);
        }
        let state = State {
            layers: Vec::new(),
            ..State::clone(&self.state.load())
        };
        (Arc::new(state), reader)
    }

    /// Waits briefly for all readers to end that may still read what was removed by now.
    ///
    /// # Errors
    /// [`Error::StillRead`].
    fn wait_for_readers(&self) -> Result<(), Error> {
        {
            let mut readers = lock(&self.readers);
            let before = std::mem::take(&mut readers.present);
            readers.earlier.push(Arc::downgrade(&before));
        }
        for _ in 0..READERS_TRIES {
            let mut readers = lock(&self.readers);
            readers.earlier.retain(|reader| reader.strong_count() > 0);
            if readers.earlier.is_empty() {
                return Ok(());
            }
            drop(readers);
            std::thread::sleep(READERS_PAUSE);
        }
        Err(Error::StillRead)
    }

    /// Waits until no reader reads what was removed by now.
    ///
    /// # Errors
    /// [`Error::StillRead`], [`Error::Store`].
    pub(crate) fn let_go(&self) -> Result<(), Error> {
        self.checkpoint()?;
        // For the engine, a reader of the last checkpoint may also want what that overwrote.
        self.checkpoint_again()?;
        self.checkpoint_again()?;
        self.wait_for_readers()
    }

    /// Removes from the disk what had been removed from the view when it was [let go](Self::let_go), durably. `aside`
    /// is the reserved space for [`Store::disk_space`].
    ///
    /// # Errors
    /// [`Error::StillRead`], [`Error::Store`].
    pub(crate) fn purge(&self, aside: &SetAside) -> Result<(), Error> {
        let Some(base) = &self.base else {
            return Ok(());
        };
        let checked = || aside.check().map_err(Error::store);
        checked()?;
        self.checkpoint_again()?;
        let last = base.last_table()?;
        base.compact()?;
        // The engine removes files only once no version in use lists them, and only at a merge.
        for _ in 0..PURGE_TRIES {
            checked()?;
            self.checkpoint_again()?;
            self.wait_for_readers()?;
            self.checkpoint_again()?;
            base.compact()?;
            if !base.has_table_up_to(last)? {
                return base.sync_folder();
            }
        }
        Err(Error::StillRead)
    }

    /// Makes a checkpoint that rewrites a row of the base even if nothing has changed.
    fn checkpoint_again(&self) -> Result<(), Error> {
        let format = self.get(Table::Meta, keys::FORMAT)?;
        self.write_all([(Table::Meta, keys::FORMAT.into(), format)])?;
        self.checkpoint()
    }
}
