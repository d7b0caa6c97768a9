//! One record of the log into writes of the view.

mod anonymize;
mod erase;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use prost::Message as _;

use super::Error;
use super::generations::{ENTRY_BYTES, Generations};
use super::identity::{self, Known};
use super::keys::{self, Customer, Entry, HeldId, IdEntry, Part, Property, Table, TakenId};
use super::latest::Latest;
use super::overlay::Overlay;
use super::store::Store;
use crate::log::Position;
use crate::log::record::{Command, Event, Record};
use crate::model::customer_id::CustomerId;
use crate::model::event::EventType;
use crate::model::properties::{Properties, Value};
use crate::model::time::Timestamp;

/// Most soft IDs of one type that a customer has; one more drops the one unused for longest.
const SOFT_IDS_MAX: usize = 64;
/// Most memory that customers take who are kept from one record to the next, in bytes.
const CUSTOMERS_BYTES_MAX: usize = 32 * 1024 * 1024;

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
    /// Customers as they are after the last record.
    customers: Generations<u64, Arc<Customer>>,
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
            customers: Generations::new(CUSTOMERS_BYTES_MAX, |_, customer| room(customer)),
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

    /// Finds the record's customer, and links or merges what has to be.
    fn identify(
        &mut self,
        position: Position,
        project: u32,
        record: &Record,
    ) -> Result<Target, Error> {
        let ids = record.ids.as_slice();
        let mut holders = Vec::with_capacity(ids.len());
        for id in ids {
            holders.push(self.holder(project, id)?.map(|entry| entry.customer));
        }
        if let Some(target) = self.settled(position, project, record, &holders)? {
            return Ok(target);
        }
        let mut known = Known::new();
        for number in holders.iter().copied().flatten().collect::<BTreeSet<_>>() {
            let customer = self.customer(number)?;
            known.insert(number, Arc::unwrap_or_clone(customer));
        }
        let resolution = identity::resolve(ids, &holders, &known, record.clashed);
        if !resolution.merged.is_empty() {
            // Merging scans the store, so that it must have everything up to here.
            self.overlay.flush(self.applied)?;
        }
        let number = resolution.target.unwrap_or(position.get());
        if resolution.target.is_none() {
            self.latest.begin(number);
        }
        let mut target = Target {
            number,
            customer: Arc::new(known.remove(&number).unwrap_or(Customer {
                project,
                ..Customer::default()
            })),
            part: Part::default(),
        };
        let mut changed = resolution.target.is_none();
        for merged in &resolution.merged {
            let absorbed = known.remove(merged).unwrap_or_default();
            self.merge(&mut target, *merged, absorbed, record, position)?;
            changed = true;
        }
        for index in &resolution.ids {
            let (Some(id), Some(holder)) = (ids.get(*index), holders.get(*index)) else {
                continue;
            };
            if let Some((other, holder)) = holder.and_then(|n| Some((n, known.get_mut(&n)?))) {
                let taken = holder.ids.extract_if(.., |held| held.is(id));
                target.part.taken.extend(taken.map(|held| TakenId {
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
        // What is still known is neither the target nor merged into it: the IDs clash.
        for other in known.into_keys() {
            let kinds = left.iter().filter(|(holder, _)| *holder == other);
            let kinds = kinds.map(|(_, kind)| *kind);
            self.name(other, &mut target, position, kinds);
        }
        target.part.shaped = changed || record.clashed || !target.part.named.is_empty();
        if changed {
            self.evict(Arc::make_mut(&mut target.customer))?;
            self.put_customer(number, target.customer.clone());
        }
        Ok(target)
    }

    /// The record's customer, if it has all of the IDs: then they cannot clash, and nothing has to be linked or merged.
    fn settled(
        &mut self,
        position: Position,
        project: u32,
        record: &Record,
        holders: &[Option<u64>],
    ) -> Result<Option<Target>, Error> {
        let Some(Some(number)) = holders.first().copied() else {
            return Ok(None);
        };
        if record.clashed || holders.iter().any(|holder| *holder != Some(number)) {
            return Ok(None);
        }
        let customer = self.customer(number)?;
        let ids = record.ids.as_slice();
        if !ids.iter().all(|id| customer.has(id)) {
            return Ok(None);
        }
        for id in ids.iter().filter(|id| id.soft) {
            self.put_id(project, id, number, position.get());
        }
        Ok(Some(Target {
            number,
            customer,
            part: Part::default(),
        }))
    }

    /// Notes that a record names a customer whom it is not about.
    fn name<'k>(
        &mut self,
        other: u64,
        target: &mut Target,
        position: Position,
        kinds: impl Iterator<Item = &'k str>,
    ) {
        target.part.named.push(other);
        let part = Part {
            owner: Some(target.number),
            kinds: kinds.map(str::to_owned).collect(),
            ..Part::default()
        };
        self.put_part(other, position, &part);
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

    fn holder(&mut self, project: u32, id: &CustomerId) -> Result<Option<IdEntry>, Error> {
        let entry = self.overlay.get(Table::Ids, &keys::id(project, id))?;
        entry.map(|value| IdEntry::decode(&value)).transpose()
    }

    fn customer(&mut self, number: u64) -> Result<Arc<Customer>, Error> {
        if let Some(customer) = self.customers.get(&number) {
            return Ok(customer);
        }
        let value = self
            .overlay
            .get(Table::Customers, &keys::customer(number))?
            .ok_or(Error::Damaged("an ID leads to no customer"))?;
        let customer = Arc::new(Customer::read(&value)?);
        self.customers.put(number, customer.clone());
        Ok(customer)
    }

    fn put_customer(&mut self, number: u64, customer: Arc<Customer>) {
        let (key, value) = (keys::customer(number), customer.encode_to_vec());
        self.overlay.put(Table::Customers, key, value);
        self.customers.put(number, customer);
    }

    fn remove_customer(&mut self, number: u64) {
        self.overlay
            .remove(Table::Customers, keys::customer(number));
        self.customers.remove(&number);
    }

    fn put_id(&mut self, project: u32, id: &CustomerId, customer: u64, last_used: u64) {
        let entry = IdEntry {
            customer,
            last_used,
        };
        self.overlay
            .put(Table::Ids, keys::id(project, id), entry.encode());
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
        // Which soft ID was unused for longest must be known when there are too many of them.
        if new || id.soft {
            self.put_id(target.customer.project, id, target.number, position.get());
        }
        new
    }

    /// Drops the soft IDs that are too many of their type.
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
                self.overlay
                    .remove(Table::Ids, keys::id(customer.project, &id));
                self.counts.evictions += 1;
            }
        }
        Ok(())
    }

    /// Moves everything of a customer into another one. Events stay where they lie; the survivor lists them.
    fn merge(
        &mut self,
        target: &mut Target,
        merged: u64,
        absorbed: Customer,
        record: &Record,
        position: Position,
    ) -> Result<(), Error> {
        self.counts.merges += 1;
        let number = target.number;
        let prefix = keys::customer(merged);
        for (key, value) in self.overlay.scan_unwritten(Table::Properties, &prefix)? {
            let name = key.get(prefix.len()..).unwrap_or_default();
            let name = std::str::from_utf8(name);
            let name = name.map_err(|_| Error::Damaged("a property's name"))?;
            self.put_property(number, name, &Property::decode(&value)?)?;
            self.overlay.remove(Table::Properties, key.to_vec());
        }
        if !record.retired {
            let event = Event {
                event_type: EventType::merge(),
                properties: described(&absorbed),
                time: record.received,
            };
            let hash = keys::made_hash(&event, position);
            self.add_entry(number, hash, &event, position, true);
        }
        let customer = Arc::make_mut(&mut target.customer);
        customer.evicted |= absorbed.evicted;
        for held in absorbed.ids {
            let id = held.id();
            let entry = self.holder(customer.project, &id)?;
            let last_used = entry.map_or(0, |entry| entry.last_used);
            self.put_id(customer.project, &id, number, last_used);
            customer.ids.push(held);
        }
        customer.absorbed.push(merged);
        customer.absorbed.extend(absorbed.absorbed);
        self.remove_customer(merged);
        Ok(())
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

/// What a customer takes of the memory, in bytes, as good as that can be told.
fn room(customer: &Customer) -> usize {
    let ids = customer.ids.iter();
    let ids: usize = ids
        .map(|id| size_of::<HeldId>() + id.kind.len() + id.value.len())
        .sum();
    ENTRY_BYTES + size_of::<Customer>() + ids + customer.absorbed.len() * size_of::<u64>()
}

/// The IDs of a customer as the properties of the event that records its merge.
fn described(customer: &Customer) -> Properties {
    let kinds: BTreeSet<&str> = customer.ids.iter().map(|id| id.kind.as_str()).collect();
    let values: Vec<_> = kinds
        .iter()
        .map(|kind| {
            let of_kind = customer.ids.iter().filter(|id| id.kind == *kind);
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
