//! Whether a caller still waits for a read: one that hung up must not keep a thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Error;

/// Checked by a read between the rows that it passes. The default one is never cancelled.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

/// The waiting caller of a read: once this is dropped, the read ends.
#[derive(Debug)]
pub struct Waiting(Arc<AtomicBool>);

impl Cancel {
    /// The read's side and the waiting caller's side.
    pub fn new() -> (Self, Waiting) {
        let flag = Arc::new(AtomicBool::new(false));
        (Self(flag.clone()), Waiting(flag))
    }

    /// Whether to go on.
    ///
    /// # Errors
    /// [`Error::Cancelled`].
    pub fn check(&self) -> Result<(), Error> {
        match self.0.load(Ordering::Relaxed) {
            true => Err(Error::Cancelled),
            false => Ok(()),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_ends_when_nobody_waits_for_it_any_more() {
        let (cancel, waiting) = Cancel::new();
        assert!(cancel.check().is_ok());
        drop(waiting);
        assert!(matches!(cancel.check(), Err(Error::Cancelled)));
        assert!(Cancel::default().check().is_ok());
    }
}
