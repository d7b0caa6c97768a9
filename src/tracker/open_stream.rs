//! A stream that a key has in flight.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::projects::ProjectRegistry;
use super::stream_permits::StreamPermit;
use super::{Access, Error, Tracker};
use crate::clock::Clock;
use crate::model::project::Permission;

/// A stream in flight. It ends when all streams have to, or when its key is gone, changed or expired. A caller that is
/// sent nothing for long gets a sign of life.
#[derive(Debug)]
pub struct OpenStream {
    heartbeat: Duration,
    heartbeat_at: Instant,
    ended: watch::Receiver<bool>,
    projects: watch::Receiver<Arc<ProjectRegistry>>,
    pub(super) access: Access,
    clock: Arc<dyn Clock>,
    _permit: StreamPermit,
}

impl Tracker {
    /// Begins a stream of what this permission lets see.
    ///
    /// # Errors
    /// [`Error::Access`], [`Error::TooManyStreams`].
    pub fn open_stream(&self, access: &Access, needed: Permission) -> Result<OpenStream, Error> {
        access.allow(needed)?;
        Ok(OpenStream {
            heartbeat: self.options.watch_heartbeat,
            heartbeat_at: Instant::now(),
            ended: self.streams_ended.subscribe(),
            projects: self.projects.subscribe(),
            access: access.clone(),
            clock: self.clock.clone(),
            _permit: self.stream_permits.take(access)?,
        })
    }
}

impl OpenStream {
    /// The token of its project.
    pub fn token(&self) -> &str {
        self.access.token()
    }

    /// Whether it goes on.
    pub fn goes_on(&mut self) -> bool {
        let projects = self.projects.borrow_and_update();
        let (project, key) = self.access.caller();
        !*self.ended.borrow() && projects.has(project, key, self.clock.now())
    }

    /// Whether a sign of life is due.
    pub fn is_silent(&self) -> bool {
        Instant::now() >= self.heartbeat_at
    }

    /// Notes that something is sent.
    pub fn sends(&mut self) {
        self.heartbeat_at = Instant::now() + self.heartbeat;
    }

    /// Waits until it may have ended, or a sign of life is due.
    pub async fn waits(&mut self) {
        tokio::select! {
            _ = self.ended.changed() => {}
            _ = self.projects.changed() => {}
            () = tokio::time::sleep_until(self.heartbeat_at) => {}
        }
    }
}
