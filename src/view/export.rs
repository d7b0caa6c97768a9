//! All customers of a project, in steps.
//!
//! It walks the table of IDs, which is sorted by project: other projects cost nothing. A customer is there once for
//! each of its IDs and is taken at the oldest of them.

use std::ops::Bound;

use super::Error;
use super::keys::{self, Table};
use super::order::Order;
use super::read::{Found, Snapshot};
use super::values::IdEntry;

/// How many IDs one step passes.
const STEP_IDS: usize = 256;

/// The ID up to which a walk has come. It can go on from there in a later snapshot.
#[derive(Clone, Debug, Default)]
pub struct Place(Option<Vec<u8>>);

impl Snapshot {
    /// Gives the next few customers of a project to `take` and moves on, until it says that it has enough. There may be
    /// no customer among the IDs of one step. Customers without any ID are not found. Says whether there may be more.
    ///
    /// # Errors
    /// Those of `take`, [`Error::Store`], [`Error::Damaged`], [`Error::Cancelled`].
    pub fn customers(
        &self,
        project: &str,
        place: &mut Place,
        mut take: impl FnMut(Found) -> Result<bool, Error>,
    ) -> Result<bool, Error> {
        let Some(project) = self.project(project)? else {
            return Ok(false);
        };
        let from = match place.0.take() {
            Some(last) => Bound::Excluded(last),
            None => Bound::Included(keys::project(project)),
        };
        let to = match project.checked_add(1) {
            Some(next) => Bound::Excluded(keys::project(next)),
            None => Bound::Unbounded,
        };
        let ids = self.range(Table::Ids, &(from, to), Order::Ascending);
        for row in ids.take(STEP_IDS) {
            self.check()?;
            let (key, entry) = row?;
            let found = self.customer(IdEntry::decode(&entry)?.customer)?;
            let first = found.customer.ids.first();
            let is_first = first.is_some_and(|id| keys::id(project, &id.id()) == *key);
            place.0 = Some(key.to_vec());
            if is_first && !take(found)? {
                break;
            }
        }
        Ok(place.0.is_some())
    }
}
