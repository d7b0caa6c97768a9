//! Erases customers, with everything that was ever recorded of them.
//!
//! The customer's IDs and properties are removed at once, its rows in pages (`chores`). What has to leave the log is
//! listed in the table of erasures, to be taken out later: each record of the customer, and each record of another
//! customer that names it.
//!
//! A customer's records cannot simply be dropped. They may have taken IDs from others, and others' records may have
//! conflicted with its IDs; without them a fold would give others other IDs. So they leave behind what they took, and
//! the others' records say that they conflicted. No other customer merged with it, or they would be one, so nothing
//! more depends on it. A fold of what is left gives all other customers what they have.

use std::sync::Arc;

use prost::Message as _;

use super::Apply;
use crate::log::Position;
use crate::log::record::{Record, Taken};
use crate::view::Error;
use crate::view::anonymous;
use crate::view::keys::{self, Table};
use crate::view::values::{Chore, Customer, Entry, HeldId, Involvement};

impl Apply<'_> {
    /// Erases the customers that the record means.
    pub(super) fn erase(
        &mut self,
        project: u32,
        record: &Record,
        position: Position,
    ) -> Result<(), Error> {
        for number in self.meant(project, record)? {
            self.erase_customer(project, number, &record.project, position)?;
        }
        // The record itself names the customer.
        self.list(position, position, &Involvement::default());
        Ok(())
    }

    fn erase_customer(
        &mut self,
        project: u32,
        number: u64,
        token: &str,
        erasure: Position,
    ) -> Result<(), Error> {
        let mut customer = self.customer(number)?;
        for held in &customer.ids {
            self.remove_id(project, &held.id());
        }
        self.remove_properties(number)?;
        let left = Arc::make_mut(&mut customer);
        left.ids.clear();
        left.properties = 0;
        for link in std::mem::take(&mut left.links) {
            let key = anonymous::key(&link, number);
            self.overlay.remove(Table::Anonymous, &key);
        }
        self.put_customer(number, customer);
        let chore = Chore {
            project: token.to_owned(),
            erasure: Some(erasure.get()),
            ..Chore::default()
        };
        self.add_chore(number, &chore);
        Ok(())
    }

    /// Removes a row of an erased customer, in the order of the steps.
    pub(super) fn erase_row(
        &mut self,
        step: usize,
        number: u64,
        erasure: Position,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), Error> {
        match step {
            0 => return self.others_record(erasure, number, key, &Involvement::read(value)?),
            1 => {
                let entry = Entry::decode(value)?;
                if entry.made.is_none() {
                    self.hide(entry.position);
                    self.list(erasure, entry.position, &Involvement::default());
                }
                self.overlay.remove(Table::Timeline, key);
            }
            2 => {
                self.list(erasure, keys::read_position(key)?, &Involvement::default());
                self.overlay.remove(Table::Duplicates, key);
            }
            3 => return self.own_record(erasure, number, key, Involvement::read(value)?),
            _ => {
                let member = keys::read_position(key)?.get();
                self.remove_customer(member);
                self.overlay.remove(Table::Members, key);
            }
        }
        Ok(())
    }

    /// Handles another customer's record that names the customer.
    fn others_record(
        &mut self,
        erasure: Position,
        number: u64,
        key: &[u8],
        involvement: &Involvement,
    ) -> Result<(), Error> {
        let position = keys::read_position(key)?;
        let Some(owner) = involvement.owner else {
            return Ok(());
        };
        let listed = keys::erasure(erasure, position);
        if self.overlay.get(Table::Erasures, &listed)?.is_none() {
            self.list(erasure, position, involvement);
        }
        let Some(owner) = self.resolve(owner)? else {
            return Ok(());
        };
        let of_owner = keys::record(owner, position);
        if let Some(value) = self.overlay.get(Table::Records, &of_owner)? {
            let mut involvement = Involvement::read(&value)?;
            if self.forget(&mut involvement, number)? {
                self.put_involvement(owner, position, &involvement);
            }
        }
        Ok(())
    }

    /// Handles a record of the customer: what it took from others stays.
    fn own_record(
        &mut self,
        erasure: Position,
        number: u64,
        key: &[u8],
        mut involvement: Involvement,
    ) -> Result<(), Error> {
        let position = keys::read_position(key)?;
        if involvement.owner.is_none() {
            self.forget(&mut involvement, number)?;
            for other in std::mem::take(&mut involvement.named) {
                if let Some(other) = self.resolve(other)? {
                    let key = keys::record(other, position);
                    self.overlay.remove(Table::Records, &key);
                }
            }
            self.list(erasure, position, &involvement);
        }
        self.overlay.remove(Table::Records, key);
        Ok(())
    }

    /// Removes from an involvement what it says of the customer, under any of its numbers; says whether there was
    /// anything.
    fn forget(&mut self, involvement: &mut Involvement, number: u64) -> Result<bool, Error> {
        let mut numbers = involvement.numbers();
        let mut others = Vec::new();
        for named in &numbers {
            if self.resolve(*named)? != Some(number) {
                others.push(*named);
            }
        }
        for other in others {
            numbers.remove(&other);
        }
        Ok(involvement.forget(&numbers))
    }

    pub(super) fn list(
        &mut self,
        erasure: Position,
        position: Position,
        involvement: &Involvement,
    ) {
        let key = keys::erasure(erasure, position);
        self.overlay
            .put(Table::Erasures, &key, &involvement.encode_to_vec());
    }

    /// Takes an ID away from a customer that an erased record took it from.
    pub(super) fn lose(&mut self, project: u32, taken: &Taken) -> Result<(), Error> {
        let key = keys::customer(taken.customer);
        // It may have been erased since.
        match self.overlay.get(Table::Customers, &key)? {
            Some(value) if Customer::read(&value)?.merged_into.is_none() => {}
            Some(_) | None => return Ok(()),
        }
        let mut customer = self.customer(taken.customer)?;
        let is_taken = |held: &mut HeldId| held.kind == taken.kind && held.since == taken.since;
        let ids = &mut Arc::make_mut(&mut customer).ids;
        let lost: Vec<_> = ids.extract_if(.., is_taken).collect();
        for held in lost {
            self.remove_id(project, &held.id());
        }
        self.put_customer(taken.customer, customer);
        Ok(())
    }
}
