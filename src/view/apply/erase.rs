//! Customers that go, with everything that was ever recorded of them.
//!
//! What is read goes at once. What has to leave the log is listed in the table of erasures, so that it can be taken out
//! later, at the disk's leisure: each record of the customer, and each record of somebody else that names it.
//!
//! A customer's records cannot simply be dropped, for they may have taken IDs from others, and others' records may have
//! clashed with its IDs; without them a fold would give others other IDs. So they leave behind what they took, and the
//! others' records say that they clashed. Nobody else merged with the customer, or they would be one; so nothing
//! more depends on it, and a fold of what is left gives everybody else what they have.

use std::collections::BTreeSet;
use std::sync::Arc;

use fjall::Slice;
use prost::Message as _;

use super::Apply;
use crate::log::Position;
use crate::log::record::{Record, Taken};
use crate::view::Error;
use crate::view::anonymous;
use crate::view::keys::{self, Entry, Part, Table};

/// Who goes: a customer, and those that merged into it.
type Numbers = BTreeSet<u64>;

impl Apply<'_> {
    /// Takes out the customers whom the record means. One may have more records than a batch of writes should
    /// hold, so that it is done in steps; the customer itself goes last, so that a fold that was interrupted finds the
    /// rest.
    pub(super) fn erase(
        &mut self,
        project: u32,
        record: &Record,
        position: Position,
    ) -> Result<(), Error> {
        for customer in self.meant(project, record)? {
            self.erase_customer(project, customer, position)?;
        }
        // It says itself whom it is about.
        self.list(position, position, &Part::default());
        Ok(())
    }

    fn erase_customer(
        &mut self,
        project: u32,
        number: u64,
        erasure: Position,
    ) -> Result<(), Error> {
        // Scans see the store only.
        self.overlay.flush(self.applied)?;
        let customer = self.customer(number)?;
        let numbers: Numbers = std::iter::once(number)
            .chain(customer.absorbed.iter().copied())
            .collect();
        for number in &numbers {
            self.each(Table::Records, *number, |apply, key, value| {
                apply.others_record(erasure, &numbers, key, &Part::read(value)?)
            })?;
        }
        for number in &numbers {
            self.each(Table::Timeline, *number, |apply, key, value| {
                let entry = Entry::decode(value)?;
                if entry.made.is_none() {
                    apply.hide(entry.position);
                    apply.list(erasure, entry.position, &Part::default());
                }
                apply.overlay.remove(Table::Timeline, key.to_vec());
                Ok(())
            })?;
            self.each(Table::Repeats, *number, |apply, key, _| {
                apply.list(erasure, keys::read_position(key)?, &Part::default());
                apply.overlay.remove(Table::Repeats, key.to_vec());
                Ok(())
            })?;
        }
        for number in &numbers {
            self.each(Table::Records, *number, |apply, key, value| {
                apply.own_record(erasure, &numbers, key, Part::read(value)?)
            })?;
        }
        self.each(Table::Properties, number, |apply, key, _| {
            apply.overlay.remove(Table::Properties, key.to_vec());
            Ok(())
        })?;
        for held in &customer.ids {
            let key = keys::id(project, &held.id());
            self.overlay.remove(Table::Ids, key);
        }
        for link in &customer.links {
            let key = anonymous::key(link, number);
            self.overlay.remove(Table::Anonymous, key);
        }
        self.remove_customer(number);
        self.counts.erased += 1;
        Ok(())
    }

    /// A record of somebody else names the customer.
    fn others_record(
        &mut self,
        erasure: Position,
        numbers: &Numbers,
        key: &[u8],
        part: &Part,
    ) -> Result<(), Error> {
        let position = keys::read_position(key)?;
        let Some(owner) = part.owner.filter(|owner| !numbers.contains(owner)) else {
            return Ok(());
        };
        let listed = keys::erasure(erasure, position);
        if self.overlay.get(Table::Erasures, &listed)?.is_none() {
            self.list(erasure, position, part);
        }
        let of_owner = keys::record(owner, position);
        if let Some(value) = self.overlay.get(Table::Records, &of_owner)? {
            let mut part = Part::read(&value)?;
            if part.forget(numbers) {
                self.put_part(owner, position, &part);
            }
        }
        Ok(())
    }

    /// A record of the customer: what it took from others stays.
    fn own_record(
        &mut self,
        erasure: Position,
        numbers: &Numbers,
        key: &[u8],
        mut part: Part,
    ) -> Result<(), Error> {
        let position = keys::read_position(key)?;
        if part.owner.is_none() {
            part.forget(numbers);
            for other in std::mem::take(&mut part.named) {
                let key = keys::record(other, position);
                self.overlay.remove(Table::Records, key);
            }
            self.list(erasure, position, &part);
        }
        self.overlay.remove(Table::Records, key.to_vec());
        Ok(())
    }

    pub(super) fn list(&mut self, erasure: Position, position: Position, part: &Part) {
        let key = keys::erasure(erasure, position);
        self.overlay.put(Table::Erasures, key, part.encode_to_vec());
    }

    /// Does something with each entry of a customer, and writes it, page by page.
    fn each(
        &mut self,
        table: Table,
        number: u64,
        mut with: impl FnMut(&mut Self, &[u8], &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let prefix = keys::customer(number);
        let mut last: Option<Slice> = None;
        loop {
            let page = self
                .overlay
                .page_unwritten(table, &prefix, last.as_deref())?;
            if page.is_empty() {
                return Ok(());
            }
            for (key, value) in page {
                with(self, &key, &value)?;
                last = Some(key);
            }
            self.overlay.flush(self.applied)?;
        }
    }

    /// Takes an ID away from a customer whom an erased record took it from.
    pub(super) fn lose(&mut self, project: u32, taken: &Taken) -> Result<(), Error> {
        let key = keys::customer(taken.customer);
        // It may have been erased since.
        if self.overlay.get(Table::Customers, &key)?.is_none() {
            return Ok(());
        }
        let mut customer = self.customer(taken.customer)?;
        let is_taken =
            |held: &mut keys::HeldId| held.kind == taken.kind && held.since == taken.since;
        let ids = &mut Arc::make_mut(&mut customer).ids;
        let lost: Vec<_> = ids.extract_if(.., is_taken).collect();
        for held in lost {
            self.overlay
                .remove(Table::Ids, keys::id(project, &held.id()));
        }
        self.put_customer(taken.customer, customer);
        Ok(())
    }
}
