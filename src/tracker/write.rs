//! Turns commands into durable records.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::receipt::Receipt;
use super::{Access, Error, Tracker};
use crate::log::record::{Command, Event, Record};
use crate::log::{Position, Written};
use crate::model::customer_id::CustomerIds;
use crate::model::event::EventType;
use crate::model::project::Permission;
use crate::model::properties::{Object, Properties};
use crate::model::time::Timestamp;
use crate::view::{self, ProjectProgress, keys};

/// Most commands in a batch.
pub const COMMANDS_MAX: usize = 50;
/// Largest command, in bytes of JSON.
pub const COMMAND_BYTES_MAX: usize = 800 * 1024;

/// New properties of a customer.
#[derive(Debug)]
pub struct UpdateCustomer<'a> {
    /// Type to value.
    pub customer_ids: &'a BTreeMap<String, String>,
    /// What changes.
    pub properties: Object,
    /// When the properties had these values; absent, or ahead of the receipt: the time of receipt.
    pub time: Option<Timestamp>,
}

/// An event of a customer.
#[derive(Debug)]
pub struct AddEvent<'a> {
    /// Type to value.
    pub customer_ids: &'a BTreeMap<String, String>,
    /// The event's type, as it was sent.
    pub event_type: &'a str,
    /// The event's properties.
    pub properties: Object,
    /// When it happened; absent: the time of receipt.
    pub time: Option<Timestamp>,
}

/// A click on a campaign.
#[derive(Debug)]
pub struct TrackClick<'a> {
    /// Type to value; may be empty.
    pub customer_ids: &'a BTreeMap<String, String>,
    /// The address that was clicked.
    pub url: &'a str,
    /// The click's properties.
    pub properties: Object,
    /// When it happened; absent: the time of receipt.
    pub time: Option<Timestamp>,
}

/// A command that keeps every rule, ready to be made durable.
#[derive(Debug)]
pub struct Accepted {
    record: Written,
    project: Arc<ProjectProgress>,
}

/// Checks how many commands a batch has.
///
/// # Errors
/// [`Error::NoCommands`], [`Error::TooManyCommands`].
pub fn check_batch(commands: usize) -> Result<(), Error> {
    match commands {
        0 => Err(Error::NoCommands),
        1..=COMMANDS_MAX => Ok(()),
        _ => Err(Error::TooManyCommands(commands)),
    }
}

impl Tracker {
    /// Prepares a customer's update.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn update(&self, access: &Access, update: UpdateCustomer<'_>) -> Result<Accepted, Error> {
        access.allow(Permission::SetCustomers)?;
        let ids = ids(access, update.customer_ids)?.some()?;
        let received = self.receipt();
        let command = Command::Update {
            properties: checked(update.properties)?,
            // A caller whose clock is ahead must not freeze a property.
            time: update
                .time
                .map_or(received.time, |time| time.min(received.time)),
        };
        note_future(access, update.time, &received);
        Ok(accept(access, received, ids, command))
    }

    /// Prepares an event.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn event(&self, access: &Access, event: AddEvent<'_>) -> Result<Accepted, Error> {
        access.key.allow_events()?;
        let ids = ids(access, event.customer_ids)?.some()?;
        let event_type = EventType::parse(event.event_type)?;
        access.key.allow_event(&event_type)?;
        let received = self.receipt();
        let command = Command::Event(Event {
            event_type,
            properties: checked(event.properties)?,
            time: event.time.unwrap_or(received.time),
        });
        note_future(access, event.time, &received);
        note_event(access, &received);
        Ok(accept(access, received, ids, command))
    }

    /// Prepares a click.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn click(&self, access: &Access, click: TrackClick<'_>) -> Result<Accepted, Error> {
        let event_type = EventType::campaign_click();
        access.key.allow_event(&event_type)?;
        let ids = ids(access, click.customer_ids)?;
        if click.url.trim().is_empty() {
            return Err(Error::NoUrl);
        }
        let received = self.receipt();
        let command = Command::Event(Event {
            event_type,
            properties: checked(click.properties)?.with_text("url", click.url)?,
            time: click.time.unwrap_or(received.time),
        });
        note_future(access, click.time, &received);
        note_event(access, &received);
        Ok(accept(access, received, ids, command))
    }

    /// Makes commands durable, in their order and without others between them, after those of every call that returned
    /// before.
    ///
    /// # Errors
    /// [`view::Error::Backlog`]: nothing was written. [`Error::Log`].
    pub fn commit(
        &self,
        commands: Vec<Accepted>,
    ) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        let mut projects: Vec<Arc<ProjectProgress>> = Vec::with_capacity(1);
        let mut records = Vec::with_capacity(commands.len());
        for Accepted { record, project } in commands {
            if !projects.iter().any(|known| Arc::ptr_eq(known, &project)) {
                projects.push(project);
            }
            records.push(record);
        }
        let appended = match self.backlog(&projects) {
            Some(lag) => Err(Error::View(view::Error::Backlog(lag))),
            None => Ok((!records.is_empty()).then(|| {
                let (bound, appended) = self.log.append_prepared(records);
                for project in &projects {
                    project.expect(bound.unwrap_or(Position::START));
                }
                appended
            })),
        };
        let (clock, backpressure) = (self.clock.clone(), self.view.backpressure());
        async move {
            if let Some(appended) = appended? {
                let positions = appended.await?;
                let now = clock.elapsed();
                for project in &projects {
                    project.acknowledge(*positions.end(), now);
                }
                backpressure.wait(&projects, &*clock).await;
            }
            Ok(())
        }
    }

    /// The age of the oldest backlog among the projects, if too old: a read would time out before it sees it.
    fn backlog(&self, projects: &[Arc<ProjectProgress>]) -> Option<Duration> {
        let now = self.clock.elapsed();
        let lags = projects.iter().map(|project| project.lag(now));
        // Reads wait that long for what is acknowledged now.
        lags.max()
            .filter(|lag| *lag > self.options.read_timeout / 2)
    }
}

impl Accepted {
    /// How many bytes its record takes in the log.
    pub fn bytes(&self) -> usize {
        self.record.0.len()
    }
}

fn note_event(access: &Access, received: &Receipt) {
    let newest = &access.seen.last_event;
    newest.fetch_max(received.time.micros(), Ordering::Relaxed);
}

/// Counts a time ahead of its receipt.
fn note_future(access: &Access, time: Option<Timestamp>, received: &Receipt) {
    if time.is_some_and(|time| time > received.time) {
        access.seen.ahead.fetch_add(1, Ordering::Relaxed);
    }
}

fn ids(access: &Access, ids: &BTreeMap<String, String>) -> Result<CustomerIds, Error> {
    let ids = ids
        .iter()
        .map(|(kind, value)| (kind.as_str(), value.as_str()));
    Ok(access.project.ids.parse(ids)?)
}

/// The properties of a command that is not too large. The limit is in JSON, whose size differs from the record's. What
/// came as JSON was measured on arrival; in a message, all else is small.
fn checked(properties: Object) -> Result<Properties, Error> {
    let measured = properties.is_from_json();
    let properties = properties.check()?;
    match properties.json_size_beyond(COMMAND_BYTES_MAX) {
        Some(bytes) if !measured => Err(Error::CommandTooLarge(bytes)),
        Some(_) | None => Ok(properties),
    }
}

pub(super) fn accept(
    access: &Access,
    received: Receipt,
    ids: CustomerIds,
    command: Command,
) -> Accepted {
    forgetting(access, received, ids, command, Vec::new())
}

/// The record of a command that forgets customers, by their numbers.
pub(super) fn forgetting(
    access: &Access,
    received: Receipt,
    ids: CustomerIds,
    command: Command,
    customers: Vec<u64>,
) -> Accepted {
    let record = Record {
        project: access.kept_as().to_owned(),
        received: received.time,
        ids,
        command,
        conflicted: false,
        expired: false,
        clock_set: received.clock_set,
        customers,
    };
    let bytes = record.encode();
    Accepted {
        record: (bytes, keys::prepare(record).map(Box::new)),
        project: access.progress.clone(),
    }
}
