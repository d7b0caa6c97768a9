//! All customers of a project, some at a time.
//!
//! The table of IDs is the one that is sorted by project, so it is what is walked: other projects cost nothing.
//! A customer stands there once for each of its IDs and is taken at the first of them.

use std::ops::Bound;

use super::Error;
use super::keys::{self, IdEntry, Table};
use super::read::{Found, Snapshot};

/// How many IDs one step passes.
const STEP_IDS: usize = 256;

/// Up to which ID a walk has come.
#[derive(Clone, Debug, Default)]
pub struct Place(Option<Vec<u8>>);

impl Snapshot {
    /// The next few customers of a project, and moves on; none at the end. There may be no customer among the IDs
    /// of one step. A customer without any ID is not there.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::Damaged`].
    pub fn customers(&self, project: &str, place: &mut Place) -> Result<Option<Vec<Found>>, Error> {
        let Some(project) = self.project(project)? else {
            return Ok(None);
        };
        let from = match place.0.take() {
            Some(last) => Bound::Excluded(last),
            None => Bound::Included(keys::project(project)),
        };
        let to = match project.checked_add(1) {
            Some(next) => Bound::Excluded(keys::project(next)),
            None => Bound::Unbounded,
        };
        let ids = self.store.range_at(&self.at, Table::Ids, (from, to))?;
        let mut customers = Vec::new();
        for guard in ids.take(STEP_IDS) {
            let (key, entry) = guard.into_inner()?;
            let found = self.customer(IdEntry::decode(&entry)?.customer)?;
            let first = found.customer.ids.first();
            if first.is_some_and(|id| keys::id(project, &id.id()) == *key) {
                customers.push(found);
            }
            place.0 = Some(key.to_vec());
        }
        Ok(place.0.is_some().then_some(customers))
    }

    /// The names of a customer's properties.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::Damaged`].
    pub fn property_names(&self, found: &Found) -> Result<Vec<String>, Error> {
        let prefix = keys::customer(found.number);
        let entries = self.store.scan_at(&self.at, Table::Properties, &prefix)?;
        entries
            .map(|guard| {
                let key = guard.key()?;
                let name = key.get(prefix.len()..).unwrap_or_default();
                let name = String::from_utf8(name.to_vec());
                name.map_err(|_| Error::Damaged("a property's name"))
            })
            .collect()
    }
}
