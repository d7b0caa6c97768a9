//! One record of the log into writes of the view.

mod anonymize;
mod customers;
mod erase;
mod link;
mod meant;

use std::sync::Arc;

use prost::Message as _;

use super::Error;
use super::keys::{self, Customer, Entry, Part, Property, Table};
use super::latest::Latest;
use super::overlay::Overlay;
use super::store::Store;
use crate::log::Position;
use crate::log::record::{Command, Event, Record};
use crate::model::properties::Properties;
use crate::model::time::Timestamp;

/// What came of the records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records applied.
    pub records: u64,
    /// Events dropped because they were there already.
    pub duplicates: u64,
    /// Customers that merged into another one.
    pub merges: u64,
    /// Soft IDs dropped because the customer had too many.
    pub evictions: u64,
    /// Customers that lost all IDs and properties.
    pub anonymized: u64,
    /// Customers that went, with everything.
    pub erased: u64,
}

impl Counts {
    pub(super) fn add(&mut self, other: Self) {
        self.records += other.records;
        self.duplicates += other.duplicates;
        self.merges += other.merges;
        self.evictions += other.evictions;
        self.anonymized += other.anonymized;
        self.erased += other.erased;
    }
}

/// Applies records, one after the other, and writes what came of them, some at a time.
#[derive(Debug)]
pub(super) struct Apply<'a> {
    overlay: Overlay<'a>,
    customers: customers::Kept,
    latest: Latest,
    /// Up to where the log is applied.
    applied: Position,
    /// What came of those that are not written yet.
    counts: Counts,
}

/// The customer that a record is about.
#[derive(Debug)]
struct Target {
    number: u64,
    customer: Arc<Customer>,
    /// Its part in the record.
    part: Part,
}

impl<'a> Apply<'a> {
    /// To a store that has the log up to `applied`, and that nobody else applies records to.
    pub(super) fn new(store: &'a Store, applied: Position) -> Self {
        Self {
            overlay: Overlay::new(store),
            customers: customers::kept(),
            latest: Latest::default(),
            applied,
            counts: Counts::default(),
        }
    }

    /// Applies the record that follows the last one.
    pub(super) fn record(&mut self, position: Position, record: &Record) -> Result<(), Error> {
        self.counts.records += 1;
        let project = self.project(&record.project)?;
        // An event of nobody, such as an anonymous click, is in the log alone.
        let is_of_somebody = !record.ids.as_slice().is_empty();
        match &record.command {
            Command::Update { properties, time } if is_of_somebody => {
                let target = self.identify(position, project, record)?;
                self.put_part(target.number, position, &target.part);
                self.update(target.number, properties, *time, position)?;
            }
            Command::Event(event) if is_of_somebody => {
                let target = self.identify(position, project, record)?;
                if target.part.shaped {
                    self.put_part(target.number, position, &target.part);
                }
                self.event(&target, event, position)?;
            }
            Command::Event(_) => self.put_part(keys::NOBODY, position, &Part::default()),
            Command::Update { .. } => {}
            // Naming a customer in order to forget it links and merges nothing.
            Command::Anonymize => self.anonymize(project, record, position)?,
            Command::Erase => self.erase(project, record, position)?,
            Command::Erased(taken) => {
                for taken in taken {
                    self.lose(project, taken)?;
                }
            }
        }
        self.applied = position;
        Ok(())
    }

    /// Up to where the log is applied.
    pub(super) fn applied(&self) -> Position {
        self.applied
    }

    /// Writes what was applied.
    pub(super) fn write(&mut self) -> Result<Counts, Error> {
        self.overlay.flush(self.applied)?;
        Ok(std::mem::take(&mut self.counts))
    }

    fn put_part(&mut self, customer: u64, position: Position, part: &Part) {
        let key = keys::record(customer, position);
        self.overlay.put(Table::Records, key, part.encode_to_vec());
    }

    fn project(&mut self, token: &str) -> Result<u32, Error> {
        const DAMAGED: Error = Error::Damaged("an entry of projects");
        if let Some(value) = self.overlay.get(Table::Projects, token.as_bytes())? {
            return Ok(u32::from_be_bytes(
                (*value).try_into().map_err(|_| DAMAGED)?,
            ));
        }
        let next = match self.overlay.get(Table::Meta, keys::NEXT_PROJECT)? {
            Some(value) => u32::from_be_bytes((*value).try_into().map_err(|_| DAMAGED)?),
            None => 0,
        };
        self.overlay.put(
            Table::Projects,
            token.as_bytes().to_vec(),
            next.to_be_bytes().to_vec(),
        );
        self.overlay.put(
            Table::Meta,
            keys::NEXT_PROJECT.to_vec(),
            next.saturating_add(1).to_be_bytes().to_vec(),
        );
        Ok(next)
    }

    fn update(
        &mut self,
        number: u64,
        properties: &Properties,
        time: Timestamp,
        position: Position,
    ) -> Result<(), Error> {
        for (name, value) in properties.entries() {
            let property = Property {
                updated: (time.micros(), position.get()),
                value: value.to_vec(),
            };
            self.put_property(number, name, &property)?;
        }
        Ok(())
    }

    /// Sets a property unless it was updated later already.
    fn put_property(&mut self, number: u64, name: &str, new: &Property) -> Result<(), Error> {
        let key = keys::property(number, name);
        if let Some(value) = self.overlay.get(Table::Properties, &key)?
            && Property::decode(&value)?.updated > new.updated
        {
            return Ok(());
        }
        self.overlay.put(Table::Properties, key, new.encode());
        Ok(())
    }

    fn event(&mut self, target: &Target, event: &Event, position: Position) -> Result<(), Error> {
        let hash = keys::content_hash(event, position);
        let numbers = std::iter::once(&target.number).chain(&target.customer.absorbed);
        for customer in numbers {
            if !self.latest.may_have(*customer, event.time) {
                continue;
            }
            let key = keys::event(*customer, event.time, hash);
            if self.overlay.get(Table::Timeline, &key)?.is_some() {
                self.counts.duplicates += 1;
                // Whoever follows the log must be able to tell it from one that was kept.
                self.hide(position);
                let owner = keys::customer(target.number);
                self.overlay
                    .put(Table::Repeats, keys::repeat(&key, position), owner);
                return Ok(());
            }
        }
        self.add_entry(target.number, hash, event, position, false);
        Ok(())
    }

    fn hide(&mut self, position: Position) {
        self.overlay
            .put(Table::Hidden, keys::hidden(position), Vec::new());
    }

    fn add_entry(
        &mut self,
        customer: u64,
        hash: [u8; 16],
        event: &Event,
        position: Position,
        made: bool,
    ) {
        self.latest.add(customer, event.time);
        let key = keys::event(customer, event.time, hash);
        let entry = Entry {
            position,
            event_type: event.event_type.to_string(),
            made: made.then(|| event.properties.bytes().to_vec()),
        };
        self.overlay.put(Table::Timeline, key, entry.encode());
    }
}
