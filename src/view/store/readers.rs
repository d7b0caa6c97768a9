//! Those who read, and how long what they may read stays on the disk.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::super::Error;
use super::super::keys::{self, Table};
use super::{State, Store, lock};
use crate::log::SetAside;

/// Bytes of layers that somebody may keep for long.
pub(super) const KEPT_BYTES_MAX: usize = 1024 * 1024;
/// How often, and how long apart, it is asked whether all who read have ended: reads are short, but for exports.
const READERS_TRIES: usize = 50;
const READERS_PAUSE: Duration = Duration::from_millis(10);

/// How often the engine is made to write everything again before what it replaced counts as read by somebody.
const PURGE_TRIES: usize = 3;

/// Who reads.
#[derive(Default)]
pub(super) struct Readers {
    /// Readers that began since the last purge have one of these.
    present: Arc<()>,
    /// Those who began before, as far as they have not ended.
    earlier: Vec<Weak<()>>,
}

/// A state to read from, and what shows that somebody does.
pub(in crate::view) type Held = (Arc<State>, Arc<()>);

impl Store {
    /// The present state, for those who read a short time.
    pub(in crate::view) fn snapshot(&self) -> Held {
        // First the note: a state that is not noted could be one of before.
        let reader = lock(&self.readers).present.clone();
        (self.state.load_full(), reader)
    }

    /// The present state, for those who may keep it long: they should not keep layers, which are in memory. Blocks on
    /// the disk.
    pub(in crate::view) fn lasting_snapshot(&self) -> Held {
        let (state, reader) = self.snapshot();
        if self.in_memory.load(Ordering::Relaxed) <= KEPT_BYTES_MAX {
            return (state, reader);
        }
        if let Err(error) = self.checkpoint() {
            // A full disk keeps nobody from reading; the fold waits for those who do.
            tracing::warn!(%error, "no checkpoint can be made for a long read");
            return (state, reader);
        }
        let state = State {
            layers: Vec::new(),
            ..State::clone(&self.state.load())
        };
        (Arc::new(state), reader)
    }

    /// Waits a moment for everybody to end who may still read what was removed by now.
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

    /// Waits until nobody reads what was removed by now.
    ///
    /// # Errors
    /// [`Error::StillRead`], [`Error::Store`].
    pub(in crate::view) fn let_go(&self) -> Result<(), Error> {
        self.checkpoint()?;
        // To the engine, who reads what the last checkpoint wrote may also want what it wrote over.
        self.checkpoint_again()?;
        self.checkpoint_again()?;
        self.wait_for_readers()
    }

    /// Removes from the disk what had been removed from the view when it was [let go](Self::let_go), and makes it stay
    /// removed after a power cut. `aside` is the room for [`Store::disk_space`].
    ///
    /// # Errors
    /// [`Error::StillRead`], [`Error::Store`].
    pub(in crate::view) fn purge(&self, aside: &SetAside) -> Result<(), Error> {
        let checked = || aside.check().map_err(Error::store);
        checked()?;
        self.checkpoint_again()?;
        let last = self.base.last_table()?;
        self.base.compact()?;
        // The engine removes the files once they are in no list that somebody reads by, and only as it merges.
        for _ in 0..PURGE_TRIES {
            checked()?;
            self.checkpoint_again()?;
            self.wait_for_readers()?;
            self.checkpoint_again()?;
            self.base.compact()?;
            if !self.base.has_table_up_to(last)? {
                return self.base.sync_folder();
            }
        }
        Err(Error::StillRead)
    }

    /// A checkpoint that changes the base in any case, if by nothing.
    fn checkpoint_again(&self) -> Result<(), Error> {
        let format = self.get(Table::Meta, keys::FORMAT)?;
        self.write_all([(Table::Meta, keys::FORMAT.into(), format)])?;
        self.checkpoint()
    }
}
