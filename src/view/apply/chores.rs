//! Work for one record that does not fit into one batch of writes: rows that move to another customer, or are erased.
//!
//! Readers see the change with the record: the customer's IDs lead elsewhere, and rows that have yet to move count as
//! the survivor's. The rows follow in pages. Other projects get their turn between two pages; the project's next record
//! waits. Each page is written together with its end, so that a restart goes on from there.

use std::sync::Arc;

use prost::Message as _;

use super::Apply;
use crate::log::Position;
use crate::view::Error;
use crate::view::keys::{self, Table};
use crate::view::store::{PAGE_ENTRIES, Store};
use crate::view::values::Chore;

/// The rows that move when a customer merges into another, in this order.
const MOVED: [Table; 4] = [
    Table::Timeline,
    Table::Duplicates,
    Table::Records,
    Table::Members,
];
/// The rows that an erasure removes, in this order. Records come twice: other customers' records are marked before the
/// customer's own are removed.
const ERASED: [Table; 5] = [
    Table::Records,
    Table::Timeline,
    Table::Duplicates,
    Table::Records,
    Table::Members,
];

impl Apply<'_> {
    pub(super) fn load_chores(&mut self, store: &Store) -> Result<(), Error> {
        let mut last = None;
        loop {
            let page = store.page(Table::Chores, &[], last.as_deref())?;
            if page.is_empty() {
                return Ok(());
            }
            for (key, value) in page {
                let (number, chore) = (keys::read_number(&key)?, Chore::read(&value)?);
                // Its records wait, and those of other projects must not.
                self.begin_lane(&chore.project);
                let chores = self.chores.entry(chore.project).or_default();
                chores.push_back(number);
                last = Some(key);
            }
        }
    }

    /// Whether something is left to do for the project's last record.
    pub(in crate::view) fn has_chores(&self, token: &str) -> bool {
        self.chores.contains_key(token)
    }

    pub(super) fn add_chore(&mut self, number: u64, chore: &Chore) {
        self.put_chore(number, chore);
        let chores = self.chores.entry(chore.project.clone()).or_default();
        chores.push_back(number);
    }

    fn put_chore(&mut self, number: u64, chore: &Chore) {
        let (key, value) = (keys::customer(number), chore.encode_to_vec());
        self.overlay.put(Table::Chores, &key, &value);
    }

    /// Does all that is left to do for the project's last record.
    pub(in crate::view) fn finish_chores(&mut self, token: &str) -> Result<(), Error> {
        while self.has_chores(token) {
            self.work(token)?;
        }
        Ok(())
    }

    /// Does one page of what is left to do for the project's last record.
    pub(in crate::view) fn work(&mut self, token: &str) -> Result<(), Error> {
        let Some(number) = self
            .chores
            .get(token)
            .and_then(|chores| chores.front().copied())
        else {
            return Ok(());
        };
        // Pages are read from the store.
        self.flush()?;
        let key = keys::customer(number);
        let value = self.overlay.get(Table::Chores, &key)?;
        let mut chore = Chore::read(&value.ok_or(Error::Damaged("a chore is missing"))?)?;
        if self.page(number, &mut chore)? {
            self.put_chore(number, &chore);
            return Ok(());
        }
        self.overlay.remove(Table::Chores, &key);
        if let Some(chores) = self.chores.get_mut(token) {
            chores.pop_front();
            if chores.is_empty() {
                self.chores.remove(token);
            }
        }
        match chore.to {
            Some(to) => {
                let mut customer = self.customer(to)?;
                Arc::make_mut(&mut customer)
                    .moving
                    .retain(|moving| *moving != number);
                self.put_customer(to, customer);
            }
            None => {
                self.remove_customer(number);
                self.counts.erased += 1;
            }
        }
        Ok(())
    }

    /// Does the next page; says whether there may be more. None of the rows may have been written since the last flush.
    pub(super) fn page(&mut self, number: u64, chore: &mut Chore) -> Result<bool, Error> {
        let step = usize::try_from(chore.step).unwrap_or(usize::MAX);
        let tables = match chore.to {
            Some(_) => &MOVED[..],
            None => &ERASED[..],
        };
        let Some(table) = tables.get(step).copied() else {
            return Ok(false);
        };
        let after = (!chore.after.is_empty()).then_some(&*chore.after);
        let prefix = keys::customer(number);
        let page = self.overlay.page_unwritten(table, &prefix, after)?;
        for (key, value) in &page {
            match (chore.to, chore.erasure) {
                (Some(to), _) => self.move_row(table, to, key, value)?,
                (None, erasure) => {
                    let erasure = Position::from_number(erasure.unwrap_or_default());
                    self.erase_row(step, number, erasure, key, value)?;
                }
            }
        }
        match page.last() {
            Some((key, _)) if page.len() == PAGE_ENTRIES => chore.after = key.to_vec(),
            Some(_) | None => {
                chore.step += 1;
                chore.after.clear();
            }
        }
        Ok(usize::try_from(chore.step).is_ok_and(|step| step < tables.len()))
    }
}
