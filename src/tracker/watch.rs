//! Events as they come: the log from a cursor on, sent once the view shows it.
//!
//! Nothing runs on a watcher's behalf: each call of [`Watch::next`] reads what it returns, so a slow watcher slows only
//! itself and holds at most one batch.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::permits::{Permits, blocking};
use super::read::{event_types, id_values, kinds, private_ids};
use super::{Access, Error, IdValues, OpenStream, TYPES_MAX, Tracker, cursor};
use crate::log::record::{Command, Record};
use crate::log::{Log, Position};
use crate::model::customer_id::CustomerIds;
use crate::model::event::EventType;
use crate::model::project::Permission;
use crate::view::read::{Found, Snapshot};
use crate::view::{self, ProjectProgress, StoredEvent, View};

/// Most records that are read from the log at once: a record takes about 1 MiB at most.
const READ_RECORDS_MAX: usize = 16;
/// Most records that one batch passes.
const BATCH_RECORDS_MAX: usize = 1_024;
/// Bytes of records to be sent beyond which a batch ends: it has one record more at most.
const BATCH_BYTES_MAX: usize = 256 * 1024;

/// Where a watch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start<'a> {
    /// With the events acknowledged from now on.
    Now,
    /// With the first event that there is.
    Beginning,
    /// Behind this cursor.
    After(&'a str),
}

/// Which events to watch.
#[derive(Debug)]
pub struct WatchEvents<'a> {
    /// Where to begin.
    pub start: Start<'a>,
    /// The types; empty: all.
    pub event_types: Vec<String>,
    /// Type to value, of the one customer to watch; empty: all customers, and events without a customer.
    pub customer_ids: &'a BTreeMap<String, String>,
}

/// An item of a watch.
#[derive(Clone, Debug, PartialEq)]
pub struct Watched {
    /// Where to go on behind this.
    pub cursor: String,
    /// An event; none when only the cursor has moved, or time has passed.
    pub event: Option<WatchedEvent>,
}

/// An event of a watch.
#[derive(Clone, Debug, PartialEq)]
pub struct WatchedEvent {
    /// The IDs that its customer has now. None for an event without a customer, and for a customer that has lost all
    /// IDs that the event came with.
    pub ids: Vec<IdValues>,
    /// The event.
    pub event: StoredEvent,
}

/// A watch in flight.
#[derive(Debug)]
pub struct Watch {
    log: Log,
    view: View,
    /// How far the project can be read.
    progress: Arc<ProjectProgress>,
    wanted: Arc<Wanted>,
    /// Everything up to here is sent, or in `batch`.
    at: Position,
    /// The end of the log when the watch began: like any read it sees what was acknowledged before.
    begun: Position,
    batch: VecDeque<Watched>,
    permits: Arc<Permits>,
    stream: OpenStream,
}

#[derive(Debug)]
struct Wanted {
    token: String,
    kinds: Vec<String>,
    types: Vec<EventType>,
    customer: Option<CustomerIds>,
}

impl Tracker {
    /// Longest silence of a stream.
    pub fn heartbeat(&self) -> Duration {
        self.options.watch_heartbeat
    }

    /// Begins to watch a project's events. Its first item is the cursor of where the watch begins.
    ///
    /// # Errors
    /// [`Error::Cursor`], [`Error::CursorAhead`], [`Error::TooManyStreams`], and what breaks a rule.
    pub fn watch(&self, access: &Access, request: WatchEvents<'_>) -> Result<Watch, Error> {
        access.allow(Permission::GetEvents)?;
        let token = access.kept_as().to_owned();
        let last = self.log.last();
        let at = match request.start {
            Start::Now => last,
            Start::Beginning => Position::START,
            Start::After(text) => cursor::decode(&token, text).ok_or(Error::Cursor)?,
        };
        if at > last {
            return Err(Error::CursorAhead);
        }
        if request.event_types.len() > TYPES_MAX {
            return Err(Error::EventTypes(request.event_types.len()));
        }
        let customer = match request.customer_ids.is_empty() {
            true => None,
            false => Some(private_ids(access, request.customer_ids)?),
        };
        let wanted = Wanted {
            token,
            kinds: kinds(access),
            types: event_types(&request.event_types)?,
            customer,
        };
        Ok(Watch {
            log: self.log.clone(),
            view: self.view.clone(),
            progress: access.progress.clone(),
            wanted: Arc::new(wanted),
            at,
            begun: last,
            batch: VecDeque::new(),
            permits: self.permits.clone(),
            stream: self.open_stream(access, Permission::GetEvents)?,
        })
    }

    /// Ends all watches and streams of commands, also those that begin from now on: a draining service would wait for
    /// them forever.
    pub fn end_streams(&self) {
        self.streams_ended.send_replace(true);
    }

    /// Whether streams have to end.
    pub fn streams_ended(&self) -> watch::Receiver<bool> {
        self.streams_ended.subscribe()
    }
}

impl Watch {
    /// Waits for the next item; none once streams have ended, or the caller's key is gone, changed or expired. After an
    /// error there are no more.
    ///
    /// # Errors
    /// [`Error::View`], [`Error::Log`].
    pub async fn next(&mut self) -> Option<Result<Watched, Error>> {
        loop {
            if !self.stream.goes_on() {
                return None;
            }
            let batched = self.batch.pop_front();
            if batched.is_some() || self.stream.is_silent() {
                self.stream.sends();
                return Some(Ok(batched.unwrap_or_else(|| self.cursor())));
            }
            if let Err(error) = self.advance().await {
                return Some(Err(error));
            }
        }
    }

    fn cursor(&self) -> Watched {
        Watched {
            cursor: cursor::encode(&self.wanted.token, self.at),
            event: None,
        }
    }

    /// Reads on, or waits for more: at most until the next heartbeat, or the end.
    async fn advance(&mut self) -> Result<(), Error> {
        let mut progress = self.view.progress();
        let now = progress.borrow_and_update().clone();
        let applied = self.progress.applied();
        if applied > self.at && applied >= self.begun {
            let (log, view, wanted) = (self.log.clone(), self.view.clone(), self.wanted.clone());
            let at = self.at;
            let permit = self.permits.take(&self.stream.access).await?;
            let read = move |cancel| {
                let snapshot = view.snapshot().until(cancel);
                Batch::read(&log, &snapshot, &wanted, at, applied)
            };
            let (batch, _) = blocking(permit, read).await?;
            self.at = batch.at;
            self.batch = batch.watched;
            return Ok(());
        }
        if let Some(reason) = now.failure {
            return Err(view::Error::stopped(reason).into());
        }
        tokio::select! {
            changed = progress.changed() => changed
                .map_err(|_| view::Error::Stopped("it was closed".into()).into()),
            () = self.stream.waits() => Ok(()),
        }
    }
}

/// The items to send from some records of the log.
struct Batch {
    at: Position,
    watched: VecDeque<Watched>,
}

impl Batch {
    /// Reads on from `at`, up to `applied` at most. `snapshot` must show everything up to there.
    fn read(
        log: &Log,
        snapshot: &Snapshot,
        wanted: &Wanted,
        at: Position,
        applied: Position,
    ) -> Result<Self, Error> {
        let watched = VecDeque::new();
        let mut batch = Self { at, watched };
        let customer = match &wanted.customer {
            None => None,
            Some(ids) => match snapshot.find(&wanted.token, ids)? {
                Some(found) => Some(found),
                // No customer has these IDs yet, so nothing up to here can be theirs.
                None => {
                    return Ok(Self {
                        at: applied,
                        ..batch
                    });
                }
            },
        };
        let end = applied.min(at.plus(BATCH_RECORDS_MAX));
        let mut bytes = 0;
        while batch.at < end && bytes < BATCH_BYTES_MAX {
            for (position, record) in log.read_after(batch.at, READ_RECORDS_MAX)? {
                // Records read and not sent are read again: a batch is held until its watcher takes it.
                if position > end || bytes >= BATCH_BYTES_MAX {
                    break;
                }
                snapshot.check()?;
                let size = record.len();
                let record = log.decode(position, record)?;
                let event = wanted.event(snapshot, customer.as_ref(), record, position)?;
                if let Some(event) = event {
                    bytes += size;
                    batch.watched.push_back(Watched {
                        cursor: cursor::encode(&wanted.token, position),
                        event: Some(event),
                    });
                }
                batch.at = position;
            }
        }
        Ok(batch)
    }
}

impl Wanted {
    /// The event of a record, if it is to be sent.
    fn event(
        &self,
        snapshot: &Snapshot,
        customer: Option<&Found>,
        record: Record,
        position: Position,
    ) -> Result<Option<WatchedEvent>, Error> {
        if record.project != self.token {
            return Ok(None);
        }
        let Command::Event(event) = record.command else {
            return Ok(None);
        };
        let is_wanted = self.types.is_empty() || self.types.contains(&event.event_type);
        if !is_wanted || snapshot.is_hidden(position)? {
            return Ok(None);
        }
        let found = match customer {
            Some(found) if !snapshot.has(found, &event, position)? => return Ok(None),
            Some(found) => Some(found.clone()),
            None => snapshot.owner(&self.token, &record.ids, &event, position)?,
        };
        let ids = found.map(|found| found.ids()).unwrap_or_default();
        Ok(Some(WatchedEvent {
            ids: id_values(&self.kinds, &ids),
            event: StoredEvent {
                event_type: event.event_type.to_string(),
                time: event.time,
                properties: event.properties,
            },
        }))
    }
}
