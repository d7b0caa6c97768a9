//! Links from an ID to the anonymous customers that once had it, so that they can still be erased. A link is a digest,
//! which no read shows.
//!
//! A hard ID leads there; a soft one only if the customer had no hard one, as others may have used the same browser.
//! The digest has no key: the log has the ID itself, until the customer is erased.

use std::collections::BTreeSet;

use super::Error;
use super::keys::{self, Table};
use super::read::Snapshot;
use super::values::HeldId;
use crate::model::customer_id::{CustomerId, CustomerIds};

/// Most anonymous customers that are found at once; the others are found once these are gone.
pub(super) const FOUND_MAX: usize = 1_000;

/// The links to a customer that had these IDs so far.
pub(super) fn links(project: u32, ids: &[HeldId]) -> Vec<Vec<u8>> {
    let soft = ids.iter().all(|id| id.soft);
    let ids = ids.iter().filter(|id| id.soft == soft);
    ids.map(|held| keys::id_digest(project, &held.id()).to_vec())
        .collect()
}

/// The key of a link to a customer.
pub(super) fn key(link: &[u8], customer: u64) -> Vec<u8> {
    [link, &customer.to_be_bytes()].concat()
}

impl Snapshot {
    /// The anonymous customers that had all the known ones of the IDs, or of the hard IDs if there is one among them.
    /// Known: some customer has or had it.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::Damaged`].
    pub fn anonymous(&self, project: &str, ids: &CustomerIds) -> Result<Vec<u64>, Error> {
        let Some(project) = self.project(project)? else {
            return Ok(Vec::new());
        };
        let ids = ids.as_slice();
        let soft = ids.iter().all(|id| id.soft);
        let mut found: Option<BTreeSet<u64>> = None;
        for id in ids.iter().filter(|id| id.soft == soft) {
            let linked = self.linked(project, id)?;
            let is_held = self.get(Table::Ids, &keys::id(project, id))?.is_some();
            if linked.is_empty() && !is_held {
                continue;
            }
            found = Some(match found {
                None => linked,
                Some(found) => found.intersection(&linked).copied().collect(),
            });
        }
        Ok(found.into_iter().flatten().collect())
    }

    fn linked(&self, project: u32, id: &CustomerId) -> Result<BTreeSet<u64>, Error> {
        let prefix = keys::id_digest(project, id);
        let entries = self.scan(Table::Anonymous, &prefix);
        let numbers = entries.take(FOUND_MAX).map(|row| {
            let (key, _) = row?;
            Ok(keys::read_position(&key)?.get())
        });
        numbers.collect()
    }
}
