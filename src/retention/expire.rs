//! Removes from the log and the timelines what is older than the retention.
//!
//! Events are removed. Of an update, what a profile still shows stays. The IDs of either stay if others could not be
//! folded without them: when the record changed what IDs lead to, or is the last use of a soft ID. All IDs stay for a
//! customer that ever lost a soft ID, as which one it lost depended on them. A retry is removed with the event that it
//! duplicates, and a merge's event with the record that caused it.

use super::erase::read;
use crate::log::record::{Command, Record};
use crate::log::{self, Position};
use crate::model::properties::Properties;
use crate::model::time::Timestamp;
use crate::view::keys::{self, Table};
use crate::view::values::{Customer, Entry, IdEntry, Involvement, Property};
use crate::view::{Error, View, Write};

/// Takes out the records up to `cutoff`, which are all too old. Their content stays on the disk until the log and
/// the view are purged. If interrupted, a second call resumes. `is_over` interrupts it. Blocks on the disk.
///
/// # Errors
/// [`Error::Store`], [`Error::Log`].
pub(crate) fn expire(
    view: &View,
    cutoff: Position,
    is_over: &dyn Fn() -> bool,
) -> Result<(), Error> {
    // Records that are not folded yet have no place yet.
    let cutoff = cutoff.min(view.store().applied()?);
    if cutoff == Position::START {
        return Ok(());
    }
    // As for an erasure: no kill may take the view back to before what is rewritten.
    view.store().checkpoint()?;
    let sweep = Sweep {
        view,
        cutoff,
        is_over,
    };
    sweep.pages(Table::Records, keys::NOBODY)?;
    let mut last = None;
    loop {
        let page = view.store().page(Table::Customers, &[], last.as_deref())?;
        if page.is_empty() {
            return Ok(());
        }
        for (key, value) in page {
            if Customer::read(&value)?.merged_into.is_none() {
                let number = keys::read_number(&key)?;
                sweep.pages(Table::Timeline, number)?;
                sweep.pages(Table::Records, number)?;
            }
            last = Some(key);
        }
    }
}

struct Sweep<'a> {
    view: &'a View,
    /// The last record that has to be removed.
    cutoff: Position,
    is_over: &'a dyn Fn() -> bool,
}

/// The changes that one page of entries causes.
struct Page {
    number: u64,
    customer: Customer,
    rewrites: Vec<Result<(Position, bytes::Bytes), log::Error>>,
    writes: Vec<Write>,
}

impl Sweep<'_> {
    /// Goes through a table's entries of a customer.
    fn pages(&self, table: Table, number: u64) -> Result<(), Error> {
        let store = self.view.store();
        let prefix = keys::customer(number);
        let mut last = None;
        while !(self.is_over)() {
            // A backup may keep this waiting, and the fold must go on then.
            let lock = self.view.log().rewrite_lock();
            // The rows that it decides on must not change meanwhile.
            let _lock = store.write_lock();
            let customer = match number {
                keys::NOBODY => Customer::default(),
                _ => match store.get(Table::Customers, &keys::customer(number))? {
                    Some(customer) => Customer::read(&customer)?,
                    // Erased since.
                    None => return Ok(()),
                },
            };
            // Rows that are being moved or erased are left for a later sweep.
            let chore = store.get(Table::Chores, &keys::customer(number))?;
            if chore.is_some() || customer.merged_into.is_some() || !customer.moving.is_empty() {
                return Ok(());
            }
            let entries = store.page(table, &prefix, last.as_deref())?;
            if entries.is_empty() {
                return Ok(());
            }
            let mut page = Page {
                number,
                customer,
                rewrites: Vec::new(),
                writes: Vec::new(),
            };
            for (key, value) in entries {
                if table == Table::Timeline {
                    self.event(&mut page, &key, &value)?;
                } else {
                    self.record(&mut page, &key, &value)?;
                }
                last = Some(key);
            }
            if !page.rewrites.is_empty() {
                lock.rewrite(page.rewrites)?;
            }
            store.write_all(page.writes)?;
        }
        Ok(())
    }

    /// Removes an event, with the duplicates that were dropped for it.
    fn event(&self, page: &mut Page, key: &[u8], value: &[u8]) -> Result<(), Error> {
        let entry = Entry::decode(value)?;
        if entry.position > self.cutoff {
            return Ok(());
        }
        page.writes.push((Table::Timeline, key.into(), None));
        if entry.made.is_some() {
            return Ok(());
        }
        if key.len() == keys::EVENT_BYTES {
            self.give_plain_key(page, key)?;
        }
        self.expire(page, entry.position)?;
        let mut last = None;
        loop {
            let duplicates = self
                .view
                .store()
                .page(Table::Duplicates, key, last.as_deref())?;
            if duplicates.is_empty() {
                return Ok(());
            }
            for (duplicate, _) in duplicates {
                let position = keys::read_position(&duplicate)?;
                self.expire(page, position)?;
                page.writes
                    .push((Table::Suppressed, keys::suppressed(position).into(), None));
                page.writes
                    .push((Table::Duplicates, duplicate.clone(), None));
                last = Some(duplicate);
            }
        }
    }

    /// An event that is stored twice loses its plain key; the first one left gets it.
    fn give_plain_key(&self, page: &mut Page, plain: &[u8]) -> Result<(), Error> {
        let mut last = fjall::Slice::from(plain);
        loop {
            let others = self
                .view
                .store()
                .page(Table::Timeline, plain, Some(&last))?;
            if others.is_empty() {
                return Ok(());
            }
            for (key, value) in others {
                if Entry::decode(&value)?.position > self.cutoff {
                    page.writes.push((Table::Timeline, key, None));
                    page.writes
                        .push((Table::Timeline, plain.into(), Some(value)));
                    return Ok(());
                }
                last = key;
            }
        }
    }

    /// Reduces an event to its IDs at most.
    fn expire(&self, page: &mut Page, position: Position) -> Result<(), Error> {
        let record = read(self.view.log(), position)?;
        let key = keys::record(page.number, position);
        let involvement = self.view.store().get(Table::Records, &key)?;
        let involvement = involvement.map_or(Ok(Involvement::default()), |involvement| {
            Involvement::read(&involvement)
        })?;
        self.reduce(page, &key, &involvement, &record, position, no_properties())
    }

    /// Reduces an update to what the profile shows.
    fn record(&self, page: &mut Page, key: &[u8], value: &[u8]) -> Result<(), Error> {
        let (position, involvement) = (keys::read_position(key)?, Involvement::read(value)?);
        if position > self.cutoff || involvement.owner.is_some() {
            return Ok(());
        }
        let record = read(self.view.log(), position)?;
        match &record.command {
            Command::Update { properties, time } => {
                let stays = self.shown(page.number, properties, *time, position)?;
                self.reduce(page, key, &involvement, &record, position, stays)
            }
            Command::Event(_) if page.number == keys::NOBODY => {
                self.reduce(page, key, &involvement, &record, position, no_properties())
            }
            Command::Event(_) | Command::Anonymize | Command::Erase | Command::Erased(_) => Ok(()),
        }
    }

    /// The part of an update's properties that the profile still shows.
    fn shown(
        &self,
        number: u64,
        properties: &Properties,
        time: Timestamp,
        position: Position,
    ) -> Result<Properties, Error> {
        let mut shown = Vec::new();
        for (name, value) in properties.entries() {
            let property = keys::property(number, name);
            if let Some(property) = self.view.store().get(Table::Properties, &property)?
                && Property::decode(&property)?.updated == (time.micros(), position.get())
            {
                shown.push((name, value));
            }
        }
        Ok(Properties::from_sorted(shown))
    }

    /// Reduces a record to what has to stay.
    fn reduce(
        &self,
        page: &mut Page,
        key: &[u8],
        involvement: &Involvement,
        record: &Record,
        position: Position,
        properties: Properties,
    ) -> Result<(), Error> {
        let stays = involvement.shaped
            || !properties.is_empty()
            || page.customer.evicted
            || self.is_last_use(page, record, position)?;
        let reduced = match stays {
            false => record.erased(Vec::new()),
            true => Record {
                command: Command::Update {
                    properties,
                    time: match &record.command {
                        Command::Update { time, .. } => *time,
                        Command::Event(_)
                        | Command::Anonymize
                        | Command::Erase
                        | Command::Erased(_) => record.received,
                    },
                },
                // A retry may be younger than what it duplicates; a merge that it caused is then still shown.
                expired: record.expired || position <= self.cutoff,
                ..record.clone()
            },
        };
        if reduced != *record {
            page.rewrites.push(Ok((position, reduced.encode())));
        }
        let involvement = stays.then(|| prost::Message::encode_to_vec(involvement));
        page.writes
            .push((Table::Records, key.into(), involvement.map(Into::into)));
        Ok(())
    }

    /// Whether the record is the last one to have named a soft ID that the customer has.
    fn is_last_use(&self, page: &Page, record: &Record, position: Position) -> Result<bool, Error> {
        for id in record.ids.as_slice().iter().filter(|id| id.soft) {
            let key = keys::id(page.customer.project, id);
            if let Some(entry) = self.view.store().get(Table::Ids, &key)? {
                let entry = IdEntry::decode(&entry)?;
                if entry.customer == page.number && entry.last_used == position.get() {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

fn no_properties() -> Properties {
    Properties::from_sorted([])
}
