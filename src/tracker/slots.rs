//! How many streams a key may have under way: they last, so that the rate limit alone would not bound them.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Access, Error};
use crate::model::project::{KeyAccess, Project};

/// What every key has left.
#[derive(Debug)]
pub(super) struct Slots {
    max: usize,
    /// By the project's token and the key's ID. Public keys read nothing.
    keys: HashMap<(String, String), Arc<Semaphore>>,
}

/// The place of one stream; free again once it is dropped.
pub(super) type Slot = OwnedSemaphorePermit;

impl Slots {
    pub(super) fn new(projects: &[Project], max: usize) -> Self {
        let max = max.min(Semaphore::MAX_PERMITS);
        let of_project = |project: &Project| {
            let ids = project.keys.iter().filter_map(|key| id(&key.access));
            let slots = |id: &str| {
                let name = (project.token.clone(), id.to_owned());
                (name, Arc::new(Semaphore::new(max)))
            };
            ids.map(slots).collect::<Vec<_>>()
        };
        Self {
            max,
            keys: projects.iter().flat_map(of_project).collect(),
        }
    }

    /// Takes a place for a stream of the caller's key.
    ///
    /// # Errors
    /// [`Error::TooManyStreams`].
    pub(super) fn take(&self, access: &Access) -> Result<Slot, Error> {
        let id = id(&access.key.access).unwrap_or_default();
        let name = (access.project.token.clone(), id.to_owned());
        let slots = self.keys.get(&name).cloned();
        slots
            .and_then(|slots| slots.try_acquire_owned().ok())
            .ok_or(Error::TooManyStreams(self.max))
    }
}

fn id(access: &KeyAccess) -> Option<&str> {
    match access {
        KeyAccess::Public(_) => None,
        KeyAccess::Private { id, .. } => Some(id),
    }
}
