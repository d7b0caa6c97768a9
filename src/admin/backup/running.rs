//! Backups of the service's own store, one at a time.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Semaphore;

use super::{BackupError, Report, copy};
use crate::config::data;
use crate::log::Log;

/// Makes backups as long as the service runs.
#[derive(Clone, Debug)]
pub(crate) struct Backups {
    log: Log,
    data: Arc<data::Options>,
    /// The holder of the permit copies.
    one: Arc<Semaphore>,
    stop: Arc<AtomicBool>,
}

impl Backups {
    pub(crate) fn new(log: Log, data: &data::Options) -> Self {
        Self {
            log,
            data: Arc::new(data.clone()),
            one: Arc::new(Semaphore::new(1)),
            stop: Arc::default(),
        }
    }

    /// Copies what is durable by now. Goes on even if the caller no longer waits.
    pub(crate) async fn make(&self, dir: PathBuf) -> Result<Report, BackupError> {
        let permit = self.one.clone().try_acquire_owned();
        let permit = permit.map_err(|_| match self.stop.load(Ordering::Relaxed) {
            true => BackupError::Stopped,
            false => BackupError::Busy,
        })?;
        let Self {
            log, data, stop, ..
        } = self.clone();
        let copying = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let path = dir.display();
            tracing::info!(dir = %path, "a backup begins");
            // Half of a rewrite folds into nonsense, so none may come in between.
            let _still = log.pin();
            let read = |after, limit| log.read_after(after, limit);
            let copied = copy(&read, log.last(), &data, &dir, &stop);
            match &copied {
                Ok(report) => tracing::info!(dir = %path, report.records, "a backup is made"),
                Err(error) => tracing::warn!(dir = %path, %error, "there is no backup"),
            }
            copied
        });
        copying.await.unwrap_or_else(|_| {
            self.log.panics().count();
            Err(BackupError::Panicked)
        })
    }

    /// Ends the backup that is in flight, waits until what it made is removed, and prevents new ones. Says whether
    /// there was one.
    pub(crate) async fn stop(&self) -> bool {
        self.stop.store(true, Ordering::Relaxed);
        let was_under_way = self.one.available_permits() == 0;
        if let Ok(permit) = self.one.acquire().await {
            permit.forget();
        }
        was_under_way
    }
}
