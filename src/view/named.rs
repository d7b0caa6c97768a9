//! The customer that the IDs of a query name.

use super::Error;
use super::keys::{self, Table};
use super::read::{Found, Snapshot};
use super::values::IdEntry;
use crate::model::customer_id::CustomerIds;

/// The customers that are named.
#[derive(Clone, Debug)]
pub enum Named {
    /// No customer has any of the IDs, or a hard ID among them is not held by the customer that has the others.
    Nobody,
    /// The customer that has all of the IDs that are held.
    One(Found),
    /// Several customers each have some of the IDs: of these types.
    Several(Vec<String>),
}

impl Snapshot {
    /// The customers that the IDs name.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::Damaged`].
    pub fn named(&self, project: &str, ids: &CustomerIds) -> Result<Named, Error> {
        let Some(project) = self.project(project)? else {
            return Ok(Named::Nobody);
        };
        let mut holders = Vec::with_capacity(ids.as_slice().len());
        for id in ids.as_slice() {
            if let Some(entry) = self.get(Table::Ids, &keys::id(project, id))? {
                holders.push((IdEntry::decode(&entry)?.customer, &id.kind));
            }
        }
        let Some((number, _)) = holders.first().copied() else {
            return Ok(Named::Nobody);
        };
        if holders.iter().any(|(other, _)| *other != number) {
            let kinds = holders.into_iter().map(|(_, kind)| kind.to_string());
            return Ok(Named::Several(kinds.collect()));
        }
        let found = self.customer(number)?;
        let mut hard = ids.as_slice().iter().filter(|id| !id.soft);
        Ok(match hard.all(|id| found.customer.has(id)) {
            true => Named::One(found),
            false => Named::Nobody,
        })
    }

    /// The customer that the IDs name, if it is one.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::Damaged`].
    pub fn find(&self, project: &str, ids: &CustomerIds) -> Result<Option<Found>, Error> {
        Ok(match self.named(project, ids)? {
            Named::One(found) => Some(found),
            Named::Nobody | Named::Several(_) => None,
        })
    }
}
