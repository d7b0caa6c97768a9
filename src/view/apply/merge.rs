//! Merges customers.
//!
//! The number of the one that had more customers merged into it stays, and the rows of the other one move there. A row
//! moves only when the number of merged customers at least doubles, so merging costs a row O(log n) moves, in whatever
//! order. Later reads of a customer need only one number.

use std::sync::Arc;

use super::properties::property_name;
use super::{Apply, Target};
use crate::log::Position;
use crate::log::record::{Event, Record};
use crate::model::event::EventType;
use crate::model::properties::{Properties, Value};
use crate::view::Error;
use crate::view::keys::{self, EVENT_BYTES, Table};
use crate::view::values::{Chore, Customer, Entry, Involvement, Property};

/// Most bytes of IDs in the event of a merge; further ones are left out. A merge costs its caller a short command.
pub(in crate::view) const DESCRIBED_BYTES_MAX: usize = if cfg!(test) { 40 } else { 4 * 1024 };

impl Apply<'_> {
    /// Records a merge of customers: one event for each of them but the one created first.
    pub(super) fn add_merges(
        &mut self,
        target: &Target,
        merged: &[(u64, Customer)],
        record: &Record,
        position: Position,
    ) {
        self.counts.merges += merged.len() as u64;
        if record.expired {
            return;
        }
        let mut all: Vec<&Customer> = merged.iter().map(|(_, customer)| customer).collect();
        all.push(&target.customer);
        all.sort_by_key(|customer| customer.created);
        for customer in all.into_iter().skip(1) {
            let event = Event {
                event_type: EventType::merge(),
                properties: described(customer),
                time: record.received,
            };
            let hash = keys::made_hash(&event, position);
            let entry = Entry {
                position,
                event_type: event.event_type.to_string(),
                made: Some(event.properties.bytes().to_vec()),
            };
            self.add_entry(target.number, event.time, hash, &entry);
        }
    }

    /// Moves everything of a customer into the record's. The store must have everything up to the record before.
    pub(super) fn merge(
        &mut self,
        target: &mut Target,
        number: u64,
        merged: Customer,
        record: &Record,
    ) -> Result<(), Error> {
        let to = target.number;
        let prefix = keys::customer(number);
        let mut properties = 0;
        let has_none = self.has_no_properties(to);
        for (key, value) in self.overlay.scan(Table::Properties, &prefix)? {
            let (name, property) = (property_name(&key)?, Property::decode(&value)?);
            properties += u32::from(self.put_property(to, name, &property, has_none)?);
        }
        self.summaries.add_properties(to);
        self.remove_properties(number)?;
        let customer = Arc::make_mut(&mut target.customer);
        customer.properties += properties;
        customer.evicted |= merged.evicted;
        customer.created = customer.created.min(merged.created);
        customer.merged += merged.merged + 1;
        for held in merged.ids {
            let id = held.id();
            let entry = self.holder(customer.project, &id)?;
            let last_used = entry.map_or(0, |entry| entry.last_used);
            self.put_id(customer.project, &id, to, last_used);
            customer.ids.push(held);
        }
        let mut chore = Chore {
            project: record.project.clone(),
            to: Some(to),
            ..Chore::default()
        };
        // Most customers that merge have few rows, which fit into this batch.
        let mut is_left = true;
        while is_left && chore.after.is_empty() {
            is_left = self.page(number, &mut chore)?;
        }
        if is_left {
            customer_moves(target, number);
            self.add_chore(number, &chore);
        }
        self.summaries.merge(to, number);
        self.remove_customer(number);
        let project = target.customer.project;
        self.redirect(number, project, to);
        let member = keys::member(to, number);
        self.overlay.put(Table::Members, &member, &[]);
        Ok(())
    }

    /// Gives a row of a customer that merged to the survivor.
    pub(super) fn move_row(
        &mut self,
        table: Table,
        to: u64,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), Error> {
        match table {
            Table::Timeline => {
                let entry = Entry::decode(value)?;
                let event = key.get(..EVENT_BYTES).unwrap_or(key);
                self.place_event(keys::renumbered(event, to), entry)?;
            }
            Table::Records => {
                let moved = keys::renumbered(key, to);
                let mut involvement = Involvement::read(value)?;
                if let Some(other) = self.overlay.get(table, &moved)? {
                    involvement = joined(involvement, Involvement::read(&other)?);
                }
                self.put_involvement(to, keys::read_position(key)?, &involvement);
            }
            Table::Projects
            | Table::Ids
            | Table::Customers
            | Table::Properties
            | Table::Duplicates
            | Table::Suppressed
            | Table::Erasures
            | Table::Members
            | Table::Chores
            | Table::Lanes
            | Table::Anonymous
            | Table::Meta => {
                let moved = keys::renumbered(key, to);
                self.overlay.put(table, &moved, value);
            }
        }
        self.overlay.remove(table, key);
        Ok(())
    }

    /// Puts an event under its plain key, or behind it where the same event is stored already: the one that arrived
    /// first has the plain key.
    fn place_event(&mut self, plain: Vec<u8>, entry: Entry) -> Result<(), Error> {
        let (to, (time, _)) = (keys::read_number(&plain)?, keys::read_event(&plain)?);
        self.summaries.add(to, time);
        let mut later = entry;
        if let Some(value) = self.overlay.get(Table::Timeline, &plain)? {
            let there = Entry::decode(&value)?;
            if later.position < there.position {
                let first = std::mem::replace(&mut later, there);
                self.overlay.put(Table::Timeline, &plain, &first.encode());
            }
            let key = keys::duplicate(&plain, later.position);
            self.overlay.put(Table::Timeline, &key, &later.encode());
        } else {
            self.overlay.put(Table::Timeline, &plain, &later.encode());
        }
        Ok(())
    }

    /// The number that now has the rows of a number; none if the customer was erased.
    pub(super) fn resolve(&mut self, number: u64) -> Result<Option<u64>, Error> {
        let mut number = number;
        // Each step leads to a customer that more of them merged into.
        loop {
            let Some(value) = self
                .overlay
                .get(Table::Customers, &keys::customer(number))?
            else {
                return Ok(None);
            };
            match Customer::read(&value)?.merged_into {
                Some(next) => number = next,
                None => return Ok(Some(number)),
            }
        }
    }
}

fn customer_moves(target: &mut Target, number: u64) {
    Arc::make_mut(&mut target.customer).moving.push(number);
}

/// The involvement of a merged customer in a record that involved both of its parts.
fn joined(involvement: Involvement, other: Involvement) -> Involvement {
    match (involvement.owner, other.owner) {
        // The record is of one of them, and names the other.
        (None, _) => involvement,
        (_, None) => other,
        (Some(_), Some(_)) => {
            let mut kinds = involvement.kinds;
            kinds.extend(other.kinds);
            kinds.sort();
            kinds.dedup();
            Involvement { kinds, ..other }
        }
    }
}

/// The IDs of a customer as the properties of the event that records its merge.
fn described(customer: &Customer) -> Properties {
    let mut bytes = 0;
    let mut held: Vec<_> = customer.ids.iter().collect();
    // The event's IDs must not depend on the order in which customers merged.
    held.sort_by_key(|id| (id.since, &id.kind));
    held.retain(|id| {
        bytes += id.value.len();
        bytes <= DESCRIBED_BYTES_MAX
    });
    let kinds: std::collections::BTreeSet<&str> = held.iter().map(|id| id.kind.as_str()).collect();
    let values: Vec<_> = kinds
        .iter()
        .map(|kind| {
            let of_kind = held.iter().filter(|id| id.kind == *kind);
            let mut values = of_kind.clone().map(|id| id.value.as_str());
            match of_kind.clone().any(|id| id.soft) {
                true => Value::texts(values),
                false => Value::text(values.next().unwrap_or_default()),
            }
        })
        .collect();
    let entries = kinds.iter().zip(&values);
    Properties::from_sorted(entries.map(|(kind, value)| (*kind, &**value.bytes())))
}
