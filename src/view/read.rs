//! Reads, each from one consistent snapshot.

use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use super::keys::{self, Table};
use super::order::{EventPlace, Order};
use super::store::{Held, Rows, State};
use super::values::{Customer, HeldId, Property};
use super::{Cancel, Error};
use crate::log::Log;
use crate::model::event::EventType;
use crate::model::properties::{Properties, Value};
use crate::model::time::Timestamp;

/// The view as it was at one moment.
#[derive(Clone)]
pub struct Snapshot {
    log: Log,
    state: Arc<State>,
    /// Checked between rows.
    cancel: Cancel,
    /// Shows the store that there is a reader.
    _reader: Arc<()>,
}

/// A customer that was found.
#[derive(Clone, Debug)]
pub struct Found {
    pub(super) number: u64,
    pub(super) customer: Customer,
}

/// Which events to read.
#[derive(Clone, Debug)]
pub struct Events<'a> {
    /// The types; `None` reads all.
    pub types: Option<&'a [EventType]>,
    /// By time, then by arrival.
    pub order: Order,
    /// The event behind which to begin; `None` begins with the first one.
    pub after: Option<EventPlace>,
    /// How many to skip first.
    pub skip: u64,
    /// The most to read.
    pub limit: usize,
    /// The most rows to pass, including skipped ones and those of other types; the rest of a moment comes on top.
    pub rows_max: usize,
}

/// An event as it was stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredEvent {
    /// Its type.
    pub event_type: String,
    /// When it happened.
    pub time: Timestamp,
    /// Its properties.
    pub properties: Properties,
}

/// Where a page of events ended, if that may not have been the end of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rest {
    /// The event behind which to go on; `None` goes on with the first one.
    pub after: Option<EventPlace>,
    /// How many are still to be skipped.
    pub skip: u64,
    /// Whether [`Events::limit`] is the reason.
    pub limited: bool,
}

impl Snapshot {
    pub(super) fn new(log: Log, (state, reader): Held) -> Self {
        Self {
            log,
            state,
            cancel: Cancel::default(),
            _reader: reader,
        }
    }

    /// The same, for reads that end once they are cancelled.
    #[must_use]
    pub fn until(mut self, cancel: Cancel) -> Self {
        self.cancel = cancel;
        self
    }

    /// Whether to go on reading.
    ///
    /// # Errors
    /// [`Error::Cancelled`].
    pub fn check(&self) -> Result<(), Error> {
        self.cancel.check()
    }

    /// Whether a project has a record.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::Damaged`].
    pub fn has_project(&self, token: &str) -> Result<bool, Error> {
        Ok(self.project(token)?.is_some())
    }

    /// A project's number; none before its first record.
    pub(super) fn project(&self, token: &str) -> Result<Option<u32>, Error> {
        let Some(number) = self.get(Table::Projects, token.as_bytes())? else {
            return Ok(None);
        };
        let number = (*number).try_into().map(u32::from_be_bytes);
        let number = number.map_err(|_| Error::Damaged("an entry of projects"))?;
        Ok(Some(number))
    }

    /// The customer with a number.
    pub(super) fn customer(&self, number: u64) -> Result<Found, Error> {
        let customer = self
            .get(Table::Customers, &keys::customer(number))?
            .ok_or(Error::Damaged("an ID leads to no customer"))?;
        Ok(Found {
            number,
            customer: Customer::read(&customer)?,
        })
    }

    /// All properties of a customer.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::Damaged`], [`Error::Cancelled`].
    pub fn properties(&self, found: &Found) -> Result<Properties, Error> {
        let mut properties = Vec::new();
        self.each_property(found, "", |name, property| {
            Properties::write_entry(&mut properties, name, &property.value);
            true
        })?;
        Ok(Properties::from_canonical(properties.into()))
    }

    /// Gives the properties of a customer to `take` by their names, from the name `from` on, as long as it takes them.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::Damaged`], [`Error::Cancelled`].
    pub fn each_property(
        &self,
        found: &Found,
        from: &str,
        mut take: impl FnMut(&str, Property) -> bool,
    ) -> Result<(), Error> {
        let (first, behind) = (found.number, found.number.saturating_add(1));
        let range = (
            Bound::Included(keys::property(first, from)),
            Bound::Excluded(keys::customer(behind)),
        );
        for row in self.range(Table::Properties, &range, Order::Ascending) {
            self.check()?;
            let (key, value) = row?;
            let name = key.get(size_of::<u64>()..).unwrap_or_default();
            let name = std::str::from_utf8(name);
            let name = name.map_err(|_| Error::Damaged("a property's name"))?;
            if !take(name, Property::decode(&value)?) {
                break;
            }
        }
        Ok(())
    }

    /// One property of a customer; null when it is not set.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::Damaged`].
    pub fn property(&self, found: &Found, name: &str) -> Result<Value, Error> {
        match self.get(Table::Properties, &keys::property(found.number, name))? {
            Some(value) => Ok(Value::from_canonical(
                Property::decode(&value)?.value.into(),
            )),
            None => Ok(Value::null()),
        }
    }

    pub(super) fn log(&self) -> &Log {
        &self.log
    }

    pub(super) fn get(&self, table: Table, key: &[u8]) -> Result<Option<fjall::Slice>, Error> {
        self.state.get(table, key)
    }

    /// All entries whose key begins with `prefix`.
    pub(super) fn scan(&self, table: Table, prefix: &[u8]) -> Rows {
        self.state.scan(table, prefix)
    }

    /// The entries between two keys.
    pub(super) fn range(
        &self,
        table: Table,
        keys: &impl RangeBounds<Vec<u8>>,
        order: Order,
    ) -> Rows {
        self.state.range(table, keys, order)
    }
}

impl Found {
    /// The customer's number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The numbers under which the customer's events are stored: its own, and those whose events are being moved there.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u64> {
        std::iter::once(self.number).chain(self.customer.moving.iter().copied())
    }

    /// The customer's IDs, oldest first.
    pub fn ids(&self) -> Vec<HeldId> {
        let mut ids = self.customer.ids.clone();
        ids.sort_by_key(|id| id.since);
        ids
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").finish_non_exhaustive()
    }
}
