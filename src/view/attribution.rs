//! Where a record's event is in the view, for followers of the log, which must show what the view shows.

use std::collections::BTreeSet;

use super::Error;
use super::keys::{self, Table};
use super::read::{Found, Snapshot};
use super::values::{Entry, IdEntry};
use crate::log::Position;
use crate::log::record::Event;
use crate::model::customer_id::CustomerIds;

impl Snapshot {
    /// Whether the event at a position is in no timeline: it was stored already, or its customer was erased.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn is_hidden(&self, position: Position) -> Result<bool, Error> {
        let found = self.get(Table::Suppressed, &keys::suppressed(position))?;
        Ok(found.is_some())
    }

    /// Whether the event of a position is one of the customer's.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::Damaged`].
    pub fn has(&self, found: &Found, event: &Event, position: Position) -> Result<bool, Error> {
        let hash = keys::content_hash(event, position);
        for number in found.numbers() {
            self.check()?;
            let key = keys::event(number, event.time, hash);
            let Some(entry) = self.get(Table::Timeline, &key)? else {
                continue;
            };
            // It may be stored twice.
            let other = keys::duplicate(&key, position);
            if Entry::decode(&entry)?.position == position
                || self.get(Table::Timeline, &other)?.is_some()
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The customer that has the event of a position, if one of the IDs that it came with still leads there.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::Damaged`].
    pub fn owner(
        &self,
        project: &str,
        ids: &CustomerIds,
        event: &Event,
        position: Position,
    ) -> Result<Option<Found>, Error> {
        let Some(project) = self.project(project)? else {
            return Ok(None);
        };
        let mut asked = BTreeSet::new();
        for id in ids.as_slice() {
            let Some(entry) = self.get(Table::Ids, &keys::id(project, id))? else {
                continue;
            };
            let number = IdEntry::decode(&entry)?.customer;
            if !asked.insert(number) {
                continue;
            }
            let found = self.customer(number)?;
            if self.has(&found, event, position)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}
