//! The properties of a customer, and how many it may have.
//!
//! A customer keeps the [`PROPERTIES_MAX`] properties that were updated last. Which those are depends on the updates
//! alone, not on the order in which they came or customers merged, so a log without the dropped ones gives the same.

use std::collections::BTreeSet;
use std::sync::Arc;

use quick_cache::UnitWeighter;
use quick_cache::unsync;

use super::Apply;
use crate::log::Position;
use crate::model::properties::Properties;
use crate::model::time::Timestamp;
use crate::view::Error;
use crate::view::cache;
use crate::view::hash::Seeded;
use crate::view::keys::{self, Table};
use crate::view::values::{Customer, Property};

/// Most properties of a customer; one more drops the least recently updated one. So few in tests that some are dropped.
pub(in crate::view) const PROPERTIES_MAX: usize = if cfg!(test) { 8 } else { 1_024 };
/// Most customers whose properties are kept in the order of their updates: those that have too many.
const RANKED_MAX: u64 = 16;

/// The properties of a customer by their last update.
type Ranked = BTreeSet<((i64, u64), String)>;

/// Customers that have as many properties as they may.
#[derive(Debug)]
pub(super) struct Ranks(unsync::Cache<u64, Ranked, UnitWeighter, Seeded>);

impl Default for Ranks {
    fn default() -> Self {
        Self(cache::kept(RANKED_MAX, 1, UnitWeighter))
    }
}

impl Apply<'_> {
    /// Applies new properties to a customer.
    pub(super) fn update(
        &mut self,
        number: u64,
        properties: &Properties,
        time: Timestamp,
        position: Position,
    ) -> Result<(), Error> {
        let mut new = 0;
        let has_none = self.has_no_properties(number);
        for (name, value) in properties.entries() {
            let property = Property {
                updated: (time.micros(), position.get()),
                value: value.to_vec(),
            };
            new += u32::from(self.put_property(number, name, &property, has_none)?);
        }
        if new > 0 {
            let mut customer = self.customer(number)?;
            let changed = Arc::make_mut(&mut customer);
            changed.properties += new;
            self.drop_oldest_properties(number, changed)?;
            self.put_customer(number, customer);
        }
        Ok(())
    }

    /// Whether a customer is known to have no properties.
    pub(super) fn has_no_properties(&mut self, number: u64) -> bool {
        let summary = self.summaries.get(number);
        summary.is_some_and(|summary| summary.has_no_properties)
    }

    /// Sets a property unless it was updated later already; says whether the customer had none of that name. `is_new`:
    /// the customer is known to have none.
    pub(super) fn put_property(
        &mut self,
        number: u64,
        name: &str,
        new: &Property,
        is_new: bool,
    ) -> Result<bool, Error> {
        let key = keys::property(number, name);
        let before = match is_new {
            true => None,
            false => self.updated(number, name, &key)?,
        };
        if before.is_some_and(|before| before > new.updated) {
            return Ok(false);
        }
        if let Some(mut ranked) = self.ranks.0.get_mut(&number) {
            if let Some(before) = before {
                ranked.remove(&(before, name.to_owned()));
            }
            ranked.insert((new.updated, name.to_owned()));
        }
        self.overlay.put(Table::Properties, &key, &new.encode());
        self.updates.put(number, name, new.updated);
        Ok(before.is_none())
    }

    /// When a property was updated last, if the customer has it.
    fn updated(
        &mut self,
        number: u64,
        name: &str,
        key: &[u8],
    ) -> Result<Option<(i64, u64)>, Error> {
        if let Some(updated) = self.updates.get(number, name) {
            return Ok(Some(updated));
        }
        let value = self.overlay.get(Table::Properties, key)?;
        let property = value.map(|value| Property::decode(&value)).transpose()?;
        Ok(property.map(|property| property.updated))
    }

    fn remove_property(&mut self, number: u64, name: &str) {
        let key = keys::property(number, name);
        self.overlay.remove(Table::Properties, &key);
        self.updates.remove(number, name);
    }

    /// Drops the properties in excess of the limit.
    pub(super) fn drop_oldest_properties(
        &mut self,
        number: u64,
        customer: &mut Customer,
    ) -> Result<(), Error> {
        let count = usize::try_from(customer.properties).unwrap_or(usize::MAX);
        let excess = count.saturating_sub(PROPERTIES_MAX);
        if excess == 0 {
            return Ok(());
        }
        let mut ranked = match self.ranks.0.remove(&number) {
            Some((_, ranked)) => ranked,
            None => self.ranked(number)?,
        };
        for _ in 0..excess {
            if let Some((_, name)) = ranked.pop_first() {
                self.remove_property(number, &name);
                self.counts.properties_dropped += 1;
                self.remarks(customer.project).properties_dropped += 1;
            }
        }
        customer.properties = u32::try_from(ranked.len()).unwrap_or(u32::MAX);
        self.ranks.0.insert(number, ranked);
        Ok(())
    }

    /// Removes all properties of a customer.
    pub(super) fn remove_properties(&mut self, number: u64) -> Result<(), Error> {
        for (key, _) in self
            .overlay
            .scan(Table::Properties, &keys::customer(number))?
        {
            self.remove_property(number, property_name(&key)?);
        }
        self.ranks.0.remove(&number);
        Ok(())
    }

    fn ranked(&self, number: u64) -> Result<Ranked, Error> {
        let prefix = keys::customer(number);
        let mut ranked = Ranked::new();
        for (key, value) in self.overlay.scan(Table::Properties, &prefix)? {
            let name = property_name(&key)?.to_owned();
            ranked.insert((Property::decode(&value)?.updated, name));
        }
        Ok(ranked)
    }
}

/// The name in a property's key.
pub(super) fn property_name(key: &[u8]) -> Result<&str, Error> {
    let name = key.get(size_of::<u64>()..).unwrap_or_default();
    std::str::from_utf8(name).map_err(|_| Error::Damaged("a property's name"))
}
