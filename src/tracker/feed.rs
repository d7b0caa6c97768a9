//! Events of all projects as they are kept, for operators who look on.

use std::collections::{HashMap, VecDeque};

use tokio::sync::watch;

use super::{Error, Tracker};
use crate::log::record::{Command, Record};
use crate::log::{Log, Position};
use crate::model::properties::Properties;
use crate::model::time::Timestamp;
use crate::view::read::Snapshot;
use crate::view::{self, Progress};

/// Most records that one step passes.
const RECORDS_MAX: usize = 4_096;
/// Most records that are read from the log at once.
const READ_RECORDS_MAX: usize = 64;
/// Bytes of rows beyond which the oldest leave.
const ROWS_BYTES_MAX: usize = 1 << 20;

/// Which events to show. Whatever is none does not matter.
#[derive(Clone, Debug, Default)]
pub struct FeedFilter {
    /// The project's token.
    pub project: Option<String>,
    /// The event's type.
    pub event_type: Option<String>,
    /// Type and value of an ID that the event came with.
    pub customer: Option<(String, String)>,
}

/// An event as it was kept.
#[derive(Clone, Debug)]
pub struct FeedEvent {
    /// Its place in the log.
    pub position: u64,
    /// The token of its project.
    pub project: String,
    /// Its type.
    pub event_type: String,
    /// The IDs that it came with: type and value.
    pub ids: Vec<(String, String)>,
    /// When it happened.
    pub time: Timestamp,
    /// When it was received.
    pub received: Timestamp,
    /// Its properties.
    pub properties: Properties,
}

/// What one step has passed.
#[derive(Debug, Default)]
pub struct FeedStep {
    /// Everything up to here was looked at.
    pub at: u64,
    /// The newest of the wanted events, oldest first, without those that were erased since.
    pub events: Vec<FeedEvent>,
    /// How many wanted ones are in front of these.
    pub passed: u64,
}

impl Tracker {
    /// How far events can be read, and a signal of each change.
    pub fn feed_progress(&self) -> watch::Receiver<Progress> {
        self.view.progress()
    }

    /// Looks at the records behind a position, for the newest `most` of the wanted events.
    ///
    /// # Errors
    /// [`Error::Log`], [`Error::View`].
    pub async fn feed(
        &self,
        after: u64,
        filter: FeedFilter,
        most: usize,
    ) -> Result<FeedStep, Error> {
        let (log, view) = (self.log.clone(), self.view.clone());
        let tokens = self.projects.borrow().by_name();
        let read = move || {
            let applied = view.progress().borrow().applied;
            let after = Position::from_number(after).min(applied);
            let snapshot = view.snapshot();
            filter.read(&log, &snapshot, &tokens, (after, applied), most)
        };
        let step = tokio::task::spawn_blocking(read).await;
        step.map_err(|_| view::Error::Panicked)?
    }
}

impl FeedFilter {
    fn read(
        &self,
        log: &Log,
        snapshot: &Snapshot,
        tokens: &HashMap<String, String>,
        (after, applied): (Position, Position),
        most: usize,
    ) -> Result<FeedStep, Error> {
        let end = applied.min(after.plus(RECORDS_MAX));
        let (mut step, mut at, mut bytes) = (FeedStep::default(), after, 0);
        // Of a flood only the last few are made into rows.
        let mut newest = VecDeque::new();
        while at < end {
            for (position, record) in log.read_after(at, READ_RECORDS_MAX)? {
                if position > end {
                    break;
                }
                at = position;
                let size = record.len();
                let record = log.decode(position, record)?;
                if !self.wants(&record, tokens) {
                    continue;
                }
                bytes += size;
                newest.push_back((position, size, record));
                while newest.len() > most || bytes > ROWS_BYTES_MAX && newest.len() > 1 {
                    bytes -= newest.pop_front().map_or(0, |(_, size, _)| size);
                    step.passed += 1;
                }
            }
        }
        for (position, _, record) in newest {
            if !snapshot.is_hidden(position)? {
                step.events.extend(row(position, record, tokens));
            }
        }
        step.at = at.get();
        Ok(step)
    }

    fn wants(&self, record: &Record, tokens: &HashMap<String, String>) -> bool {
        let Command::Event(event) = &record.command else {
            return false;
        };
        let is = |wanted: &Option<String>, found: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == found)
        };
        // A project that is none of the settings any more is nobody's.
        let token = tokens.get(&record.project);
        let has = |(kind, value): &(String, String)| {
            let mut ids = record.ids.as_slice().iter();
            ids.any(|id| *id.kind == **kind && id.value == *value)
        };
        token.is_some_and(|token| is(&self.project, token))
            && is(&self.event_type, event.event_type.as_str())
            && self.customer.as_ref().is_none_or(has)
    }
}

/// An event as it is shown.
fn row(position: Position, record: Record, tokens: &HashMap<String, String>) -> Option<FeedEvent> {
    let Command::Event(event) = record.command else {
        return None;
    };
    let ids = record.ids.as_slice().iter();
    Some(FeedEvent {
        position: position.get(),
        project: tokens.get(&record.project)?.clone(),
        event_type: event.event_type.to_string(),
        ids: ids
            .map(|id| (id.kind.to_string(), id.value.clone()))
            .collect(),
        time: event.time,
        received: record.received,
        properties: event.properties,
    })
}
