//! Turns one record of the log into writes of the view.

mod anonymize;
mod chores;
mod customers;
mod erase;
mod link;
mod meant;
mod merge;
mod properties;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use prost::Message as _;

use super::Error;
use super::ids::Ids;
use super::keys::{self, ContentHash, Table};
use super::overlay::Overlay;
use super::store::{Store, number};
use super::summaries::{MayHave, Summaries};
use super::updates::Updates;
use super::values::{Customer, Entry, Involvement};
use crate::log::Position;
use crate::log::record::{Command, Prepared, Record};
use crate::model::event::EventType;
use crate::model::time::Timestamp;
#[cfg(test)]
pub(in crate::view) use merge::DESCRIBED_BYTES_MAX;
#[cfg(test)]
pub(in crate::view) use properties::PROPERTIES_MAX;

/// Most projects whose numbers are remembered.
const PROJECTS_MAX: usize = 1_024;

/// The counts of what the records did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records applied.
    pub records: u64,
    /// Events dropped because they were stored already.
    pub duplicates: u64,
    /// Customers that merged into another one.
    pub merges: u64,
    /// Soft IDs dropped because the customer had too many.
    pub evictions: u64,
    /// Properties dropped because the customer had too many.
    pub properties_dropped: u64,
    /// Customers that lost all IDs and properties.
    pub anonymized: u64,
    /// Customers that were erased, with everything.
    pub erased: u64,
}

/// What was remarkable about the records of a project.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remarks {
    /// Events dropped because they were stored already.
    pub duplicates: u64,
    /// Records whose IDs clash.
    pub clashes: u64,
    /// Soft IDs dropped because the customer had too many.
    pub evictions: u64,
    /// Properties dropped because the customer had too many.
    pub properties_dropped: u64,
}

impl Remarks {
    pub(super) fn add(&mut self, other: Self) {
        self.duplicates += other.duplicates;
        self.clashes += other.clashes;
        self.evictions += other.evictions;
        self.properties_dropped += other.properties_dropped;
    }
}

impl Counts {
    pub(super) fn add(&mut self, other: Self) {
        self.records += other.records;
        self.duplicates += other.duplicates;
        self.merges += other.merges;
        self.evictions += other.evictions;
        self.properties_dropped += other.properties_dropped;
        self.anonymized += other.anonymized;
        self.erased += other.erased;
    }
}

/// Applies records, and writes the results in batches.
///
/// Records are applied in the order of the log, except those of projects in lanes: each lane has its own position, and
/// the other projects' records are applied without it. No record of one project changes what another project reads.
#[derive(Debug)]
pub(super) struct Apply<'a> {
    overlay: Overlay<'a>,
    customers: customers::Kept,
    ids: Ids,
    summaries: Summaries,
    updates: Updates,
    /// By token: numbers of projects, as far as they are remembered.
    projects: HashMap<String, u32>,
    ranks: properties::Ranks,
    /// The position up to which the log is applied, except for projects in lanes.
    front: Position,
    /// By token: the position up to which a project's records are applied, if that is not the front.
    lanes: BTreeMap<String, Position>,
    /// By token: the numbers with a [`Chore`](super::values::Chore), oldest first.
    chores: BTreeMap<String, VecDeque<u64>>,
    /// The counts of the records that are not written yet.
    counts: Counts,
    /// The same by project, of what is rare.
    remarks: BTreeMap<u32, Remarks>,
}

/// The customer that a record is about.
#[derive(Debug)]
struct Target {
    number: u64,
    customer: Arc<Customer>,
    /// Its part in the record.
    involvement: Involvement,
}

/// The customer that a record is about.
#[derive(Debug)]
struct About {
    /// The customer's number.
    number: u64,
    /// Whether rows of customers that merged into it are still being moved.
    is_moving: bool,
    /// Its part in the record.
    involvement: Involvement,
}

impl<'a> Apply<'a> {
    /// Applies records to a store, from its position on. There must be no other applier of it.
    pub(super) fn new(store: &'a Store) -> Result<Self, Error> {
        let mut apply = Self {
            overlay: Overlay::new(store),
            customers: customers::kept(),
            ids: Ids::new(store.known_bytes() / 2),
            summaries: Summaries::new(store.known_bytes() / 4),
            updates: Updates::new(store.known_bytes() / 4),
            projects: HashMap::new(),
            ranks: properties::Ranks::default(),
            front: store.front()?,
            lanes: store.lanes()?,
            chores: BTreeMap::new(),
            counts: Counts::default(),
            remarks: BTreeMap::new(),
        };
        apply.load_chores(store)?;
        Ok(apply)
    }

    /// Applies the record that follows the last one: of its project, if that has a lane, or else of all.
    pub(super) fn record(&mut self, position: Position, record: &Record) -> Result<(), Error> {
        self.counts.records += 1;
        let project = self.project(&record.project)?;
        // An event without a customer, such as an anonymous click, is in the log alone.
        let is_of_somebody = !record.ids.as_slice().is_empty();
        match &record.command {
            Command::Update { properties, time } if is_of_somebody => {
                let about = self.identify(position, project, record)?;
                self.put_involvement(about.number, position, &about.involvement);
                self.update(about.number, properties, *time, position)?;
            }
            Command::Event(event) if is_of_somebody => {
                let about = self.identify(position, project, record)?;
                if about.involvement.shaped {
                    self.put_involvement(about.number, position, &about.involvement);
                }
                let hash = keys::content_hash(event, position);
                self.event(
                    project,
                    &about,
                    (&event.event_type, event.time, hash),
                    position,
                )?;
            }
            Command::Event(_) => {
                self.put_involvement(keys::NOBODY, position, &Involvement::default())
            }
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
        self.pass(&record.project, position);
        Ok(())
    }

    /// Applies the record that follows the last one from what its writer knew of it, if that changes nothing but a
    /// timeline; says whether it did. Otherwise the record has to be read.
    pub(super) fn prepared(&mut self, position: Position, known: &Prepared) -> Result<bool, Error> {
        let project = self.project(&known.project)?;
        let ids = known.ids.as_slice();
        let holders = self.holders(project, ids)?;
        let Some(about) = self.settled(position, project, ids, &holders)? else {
            return Ok(false);
        };
        self.counts.records += 1;
        let event = (&known.event_type, known.time, known.content);
        self.event(project, &about, event, position)?;
        self.pass(&known.project, position);
        Ok(true)
    }

    /// Passes a record that has nothing to apply, or whose project is further on in its lane.
    pub(super) fn skip(&mut self, position: Position) {
        self.front = position;
    }

    fn pass(&mut self, token: &str, position: Position) {
        match self.lanes.get_mut(token) {
            Some(lane) => *lane = position,
            None => self.front = position,
        }
    }

    /// The position up to which the log is applied, except for projects in lanes.
    pub(super) fn front(&self) -> Position {
        self.front
    }

    /// Gives a project its own lane, which begins at the front.
    pub(super) fn begin_lane(&mut self, token: &str) {
        self.lanes.entry(token.to_owned()).or_insert(self.front);
    }

    /// The lane has passed a record of another project.
    pub(super) fn advance_lane(&mut self, token: &str, position: Position) {
        if let Some(lane) = self.lanes.get_mut(token) {
            *lane = position;
        }
    }

    /// The project goes on with the others. It must have reached the front, with nothing left to do.
    pub(super) fn end_lane(&mut self, token: &str) {
        if self.lanes.remove(token).is_some() {
            self.overlay.remove(Table::Lanes, token.as_bytes());
        }
    }

    /// By token: the positions of the projects in lanes.
    pub(super) fn lanes(&self) -> &BTreeMap<String, Position> {
        &self.lanes
    }

    /// Writes what was applied. Gives what it did, and by token what was remarkable.
    pub(super) fn write(&mut self) -> Result<(Counts, Vec<(String, Remarks)>), Error> {
        self.flush()?;
        let remarks = std::mem::take(&mut self.remarks);
        // A project with a remark was looked up for the same batch.
        let token = |number: u32| self.projects.iter().find(|(_, known)| **known == number);
        let remarks = remarks
            .into_iter()
            .filter_map(|(number, remarks)| Some((token(number)?.0.clone(), remarks)));
        let remarks = remarks.collect();
        if self.projects.len() >= PROJECTS_MAX {
            self.projects.clear();
        }
        Ok((std::mem::take(&mut self.counts), remarks))
    }

    fn remarks(&mut self, project: u32) -> &mut Remarks {
        self.remarks.entry(project).or_default()
    }

    /// Writes everything up to the last record, so that scans see it.
    fn flush(&mut self) -> Result<(), Error> {
        for (token, position) in &self.lanes {
            let position = number(position.get());
            self.overlay.put(Table::Lanes, token.as_bytes(), &position);
        }
        let checkpoints = self.overlay.flush(self.front)?;
        self.ids.published(checkpoints);
        self.summaries.published();
        Ok(())
    }

    fn put_involvement(&mut self, customer: u64, position: Position, involvement: &Involvement) {
        let key = keys::record(customer, position);
        self.overlay
            .put(Table::Records, &key, &involvement.encode_to_vec());
    }

    fn project(&mut self, token: &str) -> Result<u32, Error> {
        if let Some(number) = self.projects.get(token) {
            return Ok(*number);
        }
        let number = self.stored_project(token)?;
        self.projects.insert(token.to_owned(), number);
        Ok(number)
    }

    fn stored_project(&mut self, token: &str) -> Result<u32, Error> {
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
        let (number, behind) = (next.to_be_bytes(), next.saturating_add(1).to_be_bytes());
        self.overlay.put(Table::Projects, token.as_bytes(), &number);
        self.overlay.put(Table::Meta, keys::NEXT_PROJECT, &behind);
        Ok(next)
    }

    fn event(
        &mut self,
        project: u32,
        about: &About,
        (event_type, time, hash): (&EventType, Timestamp, ContentHash),
        position: Position,
    ) -> Result<(), Error> {
        // Rows of customers that this very record merged may not have moved yet.
        let moving = match about.is_moving {
            true => self.customer(about.number)?.moving.clone(),
            false => Vec::new(),
        };
        for number in std::iter::once(about.number).chain(moving) {
            if !self.may_have(number, time)? {
                continue;
            }
            let key = keys::event(number, time, hash);
            if self.overlay.get(Table::Timeline, &key)?.is_some() {
                self.counts.duplicates += 1;
                self.remarks(project).duplicates += 1;
                // Followers of the log must be able to distinguish it from one that was kept.
                self.hide(position);
                let key = keys::duplicate(&key, position);
                self.overlay.put(Table::Duplicates, &key, &[]);
                return Ok(());
            }
        }
        let entry = Entry {
            position,
            event_type: event_type.to_string(),
            made: None,
        };
        self.add_entry(about.number, time, hash, &entry);
        Ok(())
    }

    /// Whether a customer may have an event at this time.
    fn may_have(&mut self, number: u64, time: Timestamp) -> Result<bool, Error> {
        if self.summaries.may_have(number, time) == MayHave::Ask {
            let last = self.overlay.last_unwritten(Table::Timeline, number)?;
            let last = last.map(|(key, _)| keys::read_event(&key));
            let latest = last.transpose()?.map(|(time, _)| time);
            self.summaries.found_latest(number, latest);
        }
        Ok(self.summaries.may_have(number, time) != MayHave::No)
    }

    fn hide(&mut self, position: Position) {
        let key = keys::suppressed(position);
        self.overlay.put(Table::Suppressed, &key, &[]);
    }

    fn add_entry(&mut self, customer: u64, time: Timestamp, hash: ContentHash, entry: &Entry) {
        self.summaries.add(customer, time);
        let key = keys::event(customer, time, hash);
        self.overlay.put(Table::Timeline, &key, &entry.encode());
    }
}
