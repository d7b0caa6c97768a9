//! Finds the customer that a record is about, and links and merges by its IDs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{About, Apply, Target};
use crate::log::Position;
use crate::log::record::Record;
use crate::model::customer_id::CustomerId;
use crate::view::Error;
use crate::view::identity::{self, Known};
use crate::view::values::{Customer, HeldId, Involvement, TakenId};

/// Most soft IDs of one type that a customer has; one more drops the least recently used one.
const SOFT_IDS_MAX: usize = 64;

impl Apply<'_> {
    /// Finds the record's customer, and links or merges customers where needed.
    pub(super) fn identify(
        &mut self,
        position: Position,
        project: u32,
        record: &Record,
    ) -> Result<About, Error> {
        let ids = record.ids.as_slice();
        let holders = self.holders(project, ids)?;
        if !record.conflicted
            && let Some(about) = self.settled(position, project, ids, &holders)?
        {
            return Ok(about);
        }
        let mut known = Known::new();
        for number in holders.iter().copied().flatten().collect::<BTreeSet<_>>() {
            let customer = self.customer(number)?;
            known.insert(number, Arc::unwrap_or_clone(customer));
        }
        let resolution = identity::resolve(ids, &holders, &known, record.conflicted);
        if !resolution.merged.is_empty() {
            // Merging scans the store, so it must have everything up to here.
            self.flush()?;
        }
        let number = resolution.target.unwrap_or(position.get());
        if resolution.target.is_none() {
            self.summaries.begin(number);
        }
        let mut target = Target {
            number,
            customer: Arc::new(known.remove(&number).unwrap_or(Customer {
                project,
                created: number,
                ..Customer::default()
            })),
            involvement: Involvement::default(),
        };
        let mut changed = resolution.target.is_none();
        let merged = resolution.merged.iter();
        let merged: Vec<_> = merged
            .filter_map(|merged| known.remove_entry(merged))
            .collect();
        if !merged.is_empty() {
            self.add_merges(&target, &merged, record, position);
            changed = true;
        }
        for (merged, customer) in merged {
            self.merge(&mut target, merged, customer, record)?;
        }
        for index in &resolution.ids {
            let (Some(id), Some(holder)) = (ids.get(*index), holders.get(*index)) else {
                continue;
            };
            if let Some((other, holder)) = holder.and_then(|n| Some((n, known.get_mut(&n)?))) {
                let taken = holder.ids.extract_if(.., |held| held.is(id));
                target.involvement.taken.extend(taken.map(|held| TakenId {
                    customer: other,
                    kind: held.kind,
                    since: held.since,
                }));
                self.put_customer(other, Arc::new(holder.clone()));
            }
            changed |= self.link(&mut target, id, position);
        }
        let left = ids.iter().zip(&holders).enumerate();
        let left = left.filter(|(index, _)| !resolution.ids.contains(index));
        let left: Vec<_> = left
            .filter_map(|(_, (id, holder))| Some(((*holder)?, &*id.kind)))
            .collect();
        // Customers still in `known` are neither the target nor merged into it: the IDs clash.
        if !known.is_empty() {
            self.remarks(project).clashes += 1;
        }
        for other in known.into_keys() {
            let kinds = left.iter().filter(|(holder, _)| *holder == other);
            let kinds = kinds.map(|(_, kind)| *kind);
            self.name(other, &mut target, position, kinds);
        }
        target.involvement.shaped =
            changed || record.conflicted || !target.involvement.named.is_empty();
        if changed {
            let customer = Arc::make_mut(&mut target.customer);
            self.evict(customer)?;
            self.drop_oldest_properties(number, customer)?;
            self.put_customer(number, target.customer.clone());
        }
        Ok(About {
            number,
            is_moving: !target.customer.moving.is_empty(),
            involvement: target.involvement,
        })
    }

    /// The holder of each of the IDs.
    pub(super) fn holders(
        &mut self,
        project: u32,
        ids: &[CustomerId],
    ) -> Result<Vec<Option<u64>>, Error> {
        let holders = ids.iter().map(|id| self.holder(project, id));
        let numbers = holders.map(|holder| Ok(holder?.map(|entry| entry.customer)));
        numbers.collect()
    }

    /// The record's customer, if it has all of the IDs: then they cannot clash, and nothing has to be linked or merged.
    pub(super) fn settled(
        &mut self,
        position: Position,
        project: u32,
        ids: &[CustomerId],
        holders: &[Option<u64>],
    ) -> Result<Option<About>, Error> {
        let Some(Some(number)) = holders.first().copied() else {
            return Ok(None);
        };
        if holders.iter().any(|holder| *holder != Some(number)) {
            return Ok(None);
        }
        let summary = match self.summaries.get(number) {
            Some(summary) => summary,
            None => {
                let customer = self.customer(number)?;
                self.summaries.put(number, &customer)
            }
        };
        if summary.tracks_use {
            for id in ids.iter().filter(|id| id.soft) {
                self.put_id(project, id, number, position.get());
            }
        }
        Ok(Some(About {
            number,
            is_moving: summary.is_moving,
            involvement: Involvement::default(),
        }))
    }

    /// Notes that a record names a customer that it is not about.
    pub(super) fn name<'k>(
        &mut self,
        other: u64,
        target: &mut Target,
        position: Position,
        kinds: impl Iterator<Item = &'k str>,
    ) {
        target.involvement.named.push(other);
        let involvement = Involvement {
            owner: Some(target.number),
            kinds: kinds.map(str::to_owned).collect(),
            ..Involvement::default()
        };
        self.put_involvement(other, position, &involvement);
    }

    /// Gives the customer an ID; says whether the customer itself has changed.
    fn link(&mut self, target: &mut Target, id: &CustomerId, position: Position) -> bool {
        let new = !target.customer.has(id);
        if new {
            Arc::make_mut(&mut target.customer).ids.push(HeldId {
                kind: id.kind.to_string(),
                value: id.value.clone(),
                soft: id.soft,
                since: position.get(),
            });
        }
        // The least recently used soft ID must be known when there are too many of them.
        if new || id.soft {
            self.put_id(target.customer.project, id, target.number, position.get());
        }
        new
    }

    /// Drops the soft IDs in excess of each type's limit.
    fn evict(&mut self, customer: &mut Customer) -> Result<(), Error> {
        let mut of_kind: BTreeMap<&str, Vec<CustomerId>> = BTreeMap::new();
        for held in customer.ids.iter().filter(|held| held.soft) {
            of_kind.entry(&held.kind).or_default().push(held.id());
        }
        let too_many: Vec<_> = of_kind
            .into_values()
            .filter(|ids| ids.len() > SOFT_IDS_MAX)
            .collect();
        for ids in too_many {
            let mut by_use = Vec::with_capacity(ids.len());
            for id in ids {
                let entry = self.holder(customer.project, &id)?;
                by_use.push((entry.map_or(0, |entry| entry.last_used), id));
            }
            by_use.sort();
            by_use.truncate(by_use.len() - SOFT_IDS_MAX);
            for (_, id) in by_use {
                customer.ids.retain(|held| !held.is(&id));
                customer.evicted = true;
                self.remove_id(customer.project, &id);
                self.counts.evictions += 1;
                self.remarks(customer.project).evictions += 1;
            }
        }
        Ok(())
    }
}
