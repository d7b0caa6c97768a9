//! Answers, each from one consistent snapshot.

use std::cmp::Reverse;
use std::iter::Peekable;
use std::sync::Arc;

use super::Error;
use super::keys::{self, Customer, Entry, HeldId, IdEntry, Property, Table};
use super::store::Store;
use crate::log::Log;
use crate::log::record::{Command, Record};
use crate::model::customer_id::CustomerIds;
use crate::model::event::EventType;
use crate::model::properties::{Properties, Value};
use crate::model::time::Timestamp;

/// The view as it was at one moment.
pub struct Snapshot {
    log: Log,
    pub(super) store: Arc<Store>,
    pub(super) at: fjall::Snapshot,
    /// Tells the store that somebody reads.
    _reader: Arc<()>,
}

/// A customer that was found.
#[derive(Clone, Debug)]
pub struct Found {
    pub(super) number: u64,
    pub(super) customer: Customer,
}

/// The order of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Oldest first.
    Ascending,
    /// Newest first.
    Descending,
}

/// Which events to read.
#[derive(Clone, Debug)]
pub struct Events<'a> {
    /// The types; `None` reads all.
    pub types: Option<&'a [EventType]>,
    /// By time, then by arrival.
    pub order: Order,
    /// How many to pass over first.
    pub skip: usize,
    /// The most to read.
    pub limit: usize,
    /// The most bytes of properties to read: what would go beyond ends the reading.
    pub bytes_max: usize,
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

/// A page of events.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// The events.
    pub events: Vec<StoredEvent>,
    /// Whether [`Events::bytes_max`] cut the page off.
    pub cut: bool,
}

impl Snapshot {
    pub(super) fn new(log: Log, store: Arc<Store>) -> Self {
        let (at, reader) = store.snapshot();
        Self {
            log,
            store,
            at,
            _reader: reader,
        }
    }

    /// The customer whom the first known one of the IDs names.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::Damaged`].
    pub fn find(&self, project: &str, ids: &CustomerIds) -> Result<Option<Found>, Error> {
        let Some(project) = self.project(project)? else {
            return Ok(None);
        };
        for id in ids.as_slice() {
            if let Some(entry) = self.get(Table::Ids, &keys::id(project, id))? {
                return self.customer(IdEntry::decode(&entry)?.customer).map(Some);
            }
        }
        Ok(None)
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

    /// The customer to whom an ID leads.
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
    /// [`Error::Store`], [`Error::Damaged`].
    pub fn properties(&self, found: &Found) -> Result<Properties, Error> {
        let prefix = keys::customer(found.number);
        let mut entries = Vec::new();
        for guard in self.store.scan_at(&self.at, Table::Properties, &prefix)? {
            let (key, value) = guard.into_inner()?;
            let name = key.get(prefix.len()..).unwrap_or_default();
            let name = String::from_utf8(name.to_vec());
            let name = name.map_err(|_| Error::Damaged("a property's name"))?;
            entries.push((name, Property::decode(&value)?.value));
        }
        let sorted = entries
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_slice()));
        Ok(Properties::from_sorted(sorted))
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

    /// A page of a customer's events, those of the customers that merged into it included.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::Damaged`], [`Error::Log`].
    pub fn events(&self, found: &Found, wanted: &Events<'_>) -> Result<Page, Error> {
        let mut page = Page::default();
        let mut bytes = 0;
        let is_wanted = |entry: &Entry| {
            wanted.types.is_none_or(|types| {
                let mut types = types.iter();
                types.any(|wanted| wanted.as_str() == entry.event_type)
            })
        };
        let mut skip = wanted.skip;
        for group in self.timeline(found, wanted.order)? {
            for (time, entry) in group? {
                if page.events.len() >= wanted.limit {
                    return Ok(page);
                }
                if !is_wanted(&entry) {
                    continue;
                }
                if skip > 0 {
                    skip -= 1;
                    continue;
                }
                let Some(properties) = self.event_properties(&entry)? else {
                    continue;
                };
                bytes += properties.bytes().len() + entry.event_type.len();
                if bytes > wanted.bytes_max {
                    page.cut = true;
                    return Ok(page);
                }
                page.events.push(StoredEvent {
                    event_type: entry.event_type,
                    time,
                    properties,
                });
            }
        }
        Ok(page)
    }

    /// The customer's events in groups of the same time, each in the order of arrival.
    fn timeline(&self, found: &Found, order: Order) -> Result<Timeline, Error> {
        let mut sources = Vec::new();
        for customer in found.numbers() {
            let prefix = keys::customer(customer);
            let entries = self.store.scan_at(&self.at, Table::Timeline, &prefix)?;
            let directed: Directed = match order {
                Order::Ascending => Box::new(entries.map(read_entry)),
                Order::Descending => Box::new(entries.rev().map(read_entry)),
            };
            sources.push(directed.peekable());
        }
        Ok(Timeline { sources, order })
    }

    /// None: the event has left the log since the snapshot was taken.
    fn event_properties(&self, entry: &Entry) -> Result<Option<Properties>, Error> {
        if let Some(made) = &entry.made {
            return Ok(Some(Properties::from_canonical(made.clone().into())));
        }
        let record = Record::decode(entry.position, self.log.read(entry.position)?)?;
        match record.command {
            Command::Event(event) => Ok(Some(event.properties)),
            Command::Update { .. } | Command::Anonymize | Command::Erase | Command::Erased(_) => {
                Ok(None)
            }
        }
    }

    pub(super) fn get(&self, table: Table, key: &[u8]) -> Result<Option<fjall::Slice>, Error> {
        self.store.get_at(&self.at, table, key)
    }
}

impl Found {
    /// The numbers under which the customer's events lie: its own, and those of the customers that merged into it.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u64> {
        std::iter::once(self.number).chain(self.customer.absorbed.iter().copied())
    }

    /// The customer's IDs, oldest first.
    pub fn ids(&self) -> Vec<HeldId> {
        let mut ids = self.customer.ids.clone();
        ids.sort_by_key(|id| id.since);
        ids
    }
}

type Item = Result<(Timestamp, Entry), Error>;
type Directed = Box<dyn Iterator<Item = Item>>;

fn read_entry(guard: fjall::Guard) -> Item {
    let (key, value) = guard.into_inner()?;
    let (time, _) = keys::read_event(&key)?;
    Ok((time, Entry::decode(&value)?))
}

/// The timelines of a customer and of those that merged into it, as one.
struct Timeline {
    sources: Vec<Peekable<Directed>>,
    order: Order,
}

impl Timeline {
    /// The time of the next group.
    fn next_time(&mut self) -> Option<Result<Timestamp, Error>> {
        let mut next: Option<Timestamp> = None;
        for source in &mut self.sources {
            match source.peek() {
                None => {}
                Some(Err(error)) => return Some(Err(error.clone())),
                Some(Ok((time, _))) => {
                    next = Some(match (next, self.order) {
                        (None, _) => *time,
                        (Some(next), Order::Ascending) => next.min(*time),
                        (Some(next), Order::Descending) => next.max(*time),
                    });
                }
            }
        }
        next.map(Ok)
    }
}

impl Iterator for Timeline {
    type Item = Result<Vec<(Timestamp, Entry)>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = match self.next_time()? {
            Ok(time) => time,
            Err(error) => return Some(Err(error)),
        };
        let mut group = Vec::new();
        for source in &mut self.sources {
            while let Some(item) =
                source.next_if(|item| item.as_ref().is_ok_and(|(time, _)| *time == next))
            {
                group.extend(item);
            }
        }
        let arrival = |(_, entry): &(Timestamp, Entry)| entry.position;
        match self.order {
            Order::Ascending => group.sort_by_key(arrival),
            Order::Descending => group.sort_by_key(|item| Reverse(arrival(item))),
        }
        Some(Ok(group))
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").finish_non_exhaustive()
    }
}
