//! Removes the IDs and properties of customers.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Apply, Target};
use crate::log::Position;
use crate::log::record::Record;
use crate::view::Error;
use crate::view::anonymous;
use crate::view::keys::Table;
use crate::view::values::Involvement;

impl Apply<'_> {
    /// Removes the IDs and properties of the customer that the record means. The rows of merged customers have moved to
    /// it already.
    pub(super) fn anonymize(
        &mut self,
        project: u32,
        record: &Record,
        position: Position,
    ) -> Result<(), Error> {
        let mut holders: Vec<(u64, &str)> = Vec::new();
        for id in record.ids.as_slice() {
            if let Some(holder) = self.holder(project, id)? {
                holders.push((holder.customer, &id.kind));
            }
        }
        let Some(number) = self.meant(project, record)?.first().copied() else {
            // The record has the customer's IDs, which no customer may have any more.
            self.list(position, position, &Involvement::default());
            return Ok(());
        };
        let mut target = Target {
            number,
            customer: self.customer(number)?,
            involvement: Involvement::default(),
        };
        let others: BTreeSet<u64> = holders.iter().map(|(holder, _)| *holder).collect();
        for other in others.into_iter().filter(|other| *other != number) {
            let kinds = holders.iter().filter(|(holder, _)| *holder == other);
            self.name(other, &mut target, position, kinds.map(|(_, kind)| *kind));
        }
        self.put_involvement(number, position, &target.involvement);
        self.remove_properties(number)?;
        let mut customer = target.customer;
        // Requested twice at once, it is done already.
        if customer.ids.is_empty() {
            return Ok(());
        }
        let left = Arc::make_mut(&mut customer);
        left.properties = 0;
        left.links = anonymous::links(project, &left.ids);
        for link in &left.links {
            let key = anonymous::key(link, number);
            self.overlay.put(Table::Anonymous, &key, &[]);
        }
        for held in std::mem::take(&mut left.ids) {
            self.remove_id(project, &held.id());
        }
        self.put_customer(number, customer);
        self.counts.anonymized += 1;
        Ok(())
    }
}
