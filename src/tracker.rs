//! Floor 2: the use cases: permissions, validation, writes and reads.
//!
//! Writing has two halves: [`Tracker::update`], [`Tracker::event`] and [`Tracker::click`] turn a command into the
//! record to keep, without waiting; [`Tracker::commit`] makes records durable. A batch prepares all its commands
//! and commits the good ones at once.

mod anonymize;
mod columns;
mod cursor;
mod error;
mod export;
mod feed;
mod known;
mod open;
mod open_stream;
mod operator;
mod page_token;
mod permits;
mod projects;
mod read;
mod receipt;
mod response_writer;
mod shared_snapshot;
mod stream_permits;
#[cfg(test)]
mod tests;
mod watch;
mod write;

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::limit::{
    Account, AccountCounters, AccountCounts, AuthFailureLimiter, KeyHolder, Meter, QuotaOutcome,
};
use crate::log::Log;
use crate::model::project::{Key, Permission, Project};
use crate::model::time::Timestamp;
use crate::view::{ProjectProgress, View};

pub use crate::model::project::Error as AccessError;
pub use crate::view::StoredEvent;
pub use columns::{COLUMNS_MAX, Columns};
pub use error::Error;
pub use export::{Export, ExportedCustomer};
pub use feed::{FeedEvent, FeedFilter, FeedStep};
pub use known::CandidateKeys;
pub use open::OpenProjects;
pub use open_stream::OpenStream;
pub use operator::{Looked, QuotaLeft};
pub use page_token::PAGE_TOKEN_BYTES_MAX;
use permits::Permits;
pub use permits::{Held, ReadLimits};
pub use projects::RegisteredProject;
use projects::{ProjectRegistry, Seen};
pub use read::{
    ATTRIBUTES_MAX, ATTRIBUTES_TOO_LARGE, Attribute, EVENTS_MAX, GetCustomer, IdValues, ListEvents,
    TYPES_MAX,
};
use receipt::{Receipt, Receipts};
pub use response_writer::{CUSTOMER_EVENTS_MAX, Page, ResponseWriter};
use stream_permits::StreamPermits;
pub use watch::{Start, Watch, WatchEvents, Watched, WatchedEvent};
pub use write::{
    Accepted, AddEvent, COMMAND_BYTES_MAX, COMMANDS_MAX, TrackClick, UpdateCustomer, check_batch,
};

/// The bounds of reading.
#[derive(Clone, Debug)]
pub struct Options {
    /// Longest that a read waits for the view, and for its turn among others. Default 10 s.
    pub read_timeout: Duration,
    /// Reads that run at once.
    pub reads: ReadLimits,
    /// Most bytes of the attributes of one answer. Default 4 MiB.
    pub answer_bytes_max: usize,
    /// Longest that an export holds one snapshot, which keeps removed data on the disk. Default 30 s.
    pub snapshot_timeout: Duration,
    /// Most watches and exports that a key has in flight. Default 64.
    pub watchers_max: usize,
    /// Longest silence of a watch before it sends its cursor. Default 15 s.
    pub watch_heartbeat: Duration,
    /// How any token is a project. Default: only those of the settings are.
    pub open: Option<OpenProjects>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            read_timeout: Duration::from_secs(10),
            reads: ReadLimits::default(),
            answer_bytes_max: 4 << 20,
            snapshot_timeout: Duration::from_secs(30),
            watchers_max: 64,
            watch_heartbeat: Duration::from_secs(15),
            open: None,
        }
    }
}

/// Handles callers' commands and queries.
#[derive(Debug)]
pub struct Tracker {
    projects: tokio::sync::watch::Sender<Arc<ProjectRegistry>>,
    account_counters: AccountCounters,
    failures: Arc<AuthFailureLimiter>,
    log: Log,
    view: View,
    clock: Arc<dyn Clock>,
    options: Options,
    permits: Arc<Permits>,
    stream_permits: StreamPermits,
    /// Whether streams have to end.
    streams_ended: tokio::sync::watch::Sender<bool>,
    receipts: Receipts,
}

/// An authenticated caller.
#[derive(Clone, Debug)]
pub struct Access {
    project: Arc<Project>,
    account: Arc<Account>,
    key: Arc<Key>,
    progress: Arc<ProjectProgress>,
    seen: Arc<Seen>,
}

impl Access {
    /// The project's token.
    pub fn token(&self) -> &str {
        &self.project.token
    }

    /// The name under which the project's records are kept.
    pub fn kept_as(&self) -> &str {
        &self.project.kept_as
    }

    /// The project and the key.
    pub fn caller(&self) -> (&Arc<Project>, &Arc<Key>) {
        (&self.project, &self.key)
    }

    /// Notes whose call it is.
    pub fn note(&self, quota_outcome: &QuotaOutcome) {
        quota_outcome.note_caller(&self.project, Some(&self.key));
    }

    /// Counts what the caller holds from now on for its key too.
    pub fn hold(&self, meter: &Meter) {
        meter.of_key(self.project.clone(), self.key.clone());
    }

    /// The key, as a holder of resources.
    pub fn holder(&self) -> KeyHolder {
        KeyHolder::new(&self.project.token, &self.key)
    }

    /// Whether the key has a permission.
    pub fn may(&self, permission: Permission) -> bool {
        self.allow(permission).is_ok()
    }

    fn allow(&self, permission: Permission) -> Result<(), Error> {
        Ok(self.key.allow(permission)?)
    }
}

impl Tracker {
    /// A tracker of these projects.
    pub fn new(
        projects: Vec<RegisteredProject>,
        failures: Arc<AuthFailureLimiter>,
        log: Log,
        view: View,
        clock: Arc<dyn Clock>,
        options: Options,
    ) -> Self {
        let before = ProjectRegistry {
            open: options.open.as_ref().map(|open| Arc::new(open.into())),
            ..ProjectRegistry::default()
        };
        let registry = ProjectRegistry::succeeding(&before, projects, &view);
        let stream_permits = StreamPermits::new(options.watchers_max);
        let permits = Arc::new(Permits::new(options.reads, options.read_timeout));
        Self {
            receipts: Receipts::new(clock.as_ref()),
            projects: tokio::sync::watch::Sender::new(Arc::new(registry)),
            account_counters: AccountCounters::default(),
            failures,
            log,
            view,
            clock,
            options,
            stream_permits,
            permits,
            streams_ended: tokio::sync::watch::Sender::new(false),
        }
    }

    /// The decisions of the projects' and keys' quotas since the start.
    pub fn account_counts(&self) -> AccountCounts {
        self.account_counters.counts()
    }

    /// The service's time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The time of receipt of a command.
    fn receipt(&self) -> Receipt {
        self.receipts.next(self.clock.as_ref())
    }
}
