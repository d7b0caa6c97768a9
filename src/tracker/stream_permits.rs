//! Limits how many streams a key has in flight: they last, so the rate limit alone would not bound them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Access, Error};
use crate::model::project::KeyAccess;

/// The permits that each key has left.
#[derive(Debug)]
pub(super) struct StreamPermits {
    max: usize,
    /// By the project's token and the key's ID, for keys that had a stream: never more than the settings have named.
    /// Public keys read nothing.
    keys: Mutex<HashMap<(String, String), Arc<Semaphore>>>,
}

/// The permit of one stream; released when it is dropped.
pub(super) type StreamPermit = OwnedSemaphorePermit;

impl StreamPermits {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max: max.min(Semaphore::MAX_PERMITS),
            keys: Mutex::default(),
        }
    }

    /// Takes a permit for a stream of the caller's key.
    ///
    /// # Errors
    /// [`Error::TooManyStreams`].
    pub(super) fn take(&self, access: &Access) -> Result<StreamPermit, Error> {
        let KeyAccess::Private { id, .. } = &access.key.access else {
            return Err(Error::TooManyStreams(0));
        };
        let name = (access.project.token.clone(), id.clone());
        let permits = {
            // A panic elsewhere leaves the map valid: values are only ever added.
            let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
            let permits = keys.entry(name);
            permits
                .or_insert_with(|| Arc::new(Semaphore::new(self.max)))
                .clone()
        };
        permits
            .try_acquire_owned()
            .map_err(|_| Error::TooManyStreams(self.max))
    }
}
