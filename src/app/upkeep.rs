//! Sees to it that what was erased, or is too old, leaves the disk in time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::StartError;
use crate::clock::Clock;
use crate::config::data;
use crate::log::Log;
use crate::model::time::Timestamp;
use crate::view::{Error, View};

/// How often it is asked whether there is something to do.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long to leave it alone after a failure.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// Whether something that was erased or is too old may still lie on the disk. Whoever cannot tell says so too.
pub(super) fn has_remains(log: &Log, view: &View) -> bool {
    log.has_remains().unwrap_or(true)
        || view
            .oldest_erasure()
            .map_or(true, |oldest| oldest.is_some())
}

/// What is to be kept, and what is not.
#[derive(Debug)]
pub(super) struct Upkeep {
    log: Log,
    view: View,
    clock: Arc<dyn Clock>,
    /// Half of what is promised: the other half is for the work.
    delay: Duration,
    retention: Option<Duration>,
    is_over: Arc<AtomicBool>,
}

/// The thread that does the work.
#[derive(Debug)]
pub(super) struct Running {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Running {
    /// Tells the thread to end. What it is in the middle of it ends first.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
    }

    /// Waits until the thread has ended. May block on the disk, as long as copying all that is there.
    pub(super) fn stop(self) {
        self.end();
        if self.thread.join().is_err() {
            tracing::error!("the upkeep's thread panicked");
        }
    }
}

/// When what is to be done, on the clock's elapsed time.
#[derive(Default)]
struct Plan {
    /// When to look for what is too old.
    expire_at: Duration,
    retry_at: Duration,
}

impl Upkeep {
    pub(super) fn new(
        log: Log,
        view: View,
        clock: Arc<dyn Clock>,
        options: &data::Options,
    ) -> Self {
        Self {
            log,
            view,
            clock,
            delay: options.erase_within / 2,
            retention: options.retention,
            is_over: Arc::default(),
        }
    }

    pub(super) fn start(self) -> Result<Running, StartError> {
        let is_over = self.is_over.clone();
        let thread = std::thread::Builder::new().name("upkeep".into());
        let thread = thread.spawn(move || self.run());
        let thread = thread.map_err(StartError::System)?;
        Ok(Running { is_over, thread })
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    fn run(&self) {
        let mut plan = Plan::default();
        // What an earlier process did not come to the end of.
        let mut is_due = self.log.has_remains().unwrap_or(true);
        while !self.is_over() {
            is_due |= plan.expire_at <= self.clock.elapsed() && self.retention.is_some();
            let worked = self.has_due_erasure().and_then(|has_due_erasure| {
                is_due |= has_due_erasure;
                match is_due && plan.retry_at <= self.clock.elapsed() {
                    true => self.work(&mut plan).map(|()| is_due = false),
                    false => Ok(()),
                }
            });
            if let Err(error) = worked {
                let source = std::error::Error::source(&error);
                let error = source.map_or_else(|| error.to_string(), ToString::to_string);
                tracing::error!(
                    error,
                    "what has to leave the disk is still there; trying again"
                );
                plan.retry_at = self.clock.elapsed().saturating_add(RETRY_AFTER);
            }
            std::thread::park_timeout(LOOK_EVERY);
        }
    }

    fn has_due_erasure(&self) -> Result<bool, Error> {
        let oldest = self.view.oldest_erasure()?;
        let limit = before(self.clock.now(), self.delay);
        // Times of receipt run a little ahead of a clock that stands.
        Ok(oldest.is_some_and(|(_, asked)| self.delay.is_zero() || asked <= limit))
    }

    fn work(&self, plan: &mut Plan) -> Result<(), Error> {
        while let Some((erasure, _)) = self.view.oldest_erasure()? {
            if self.is_over() {
                return Ok(());
            }
            self.view.take_out(erasure)?;
            tracing::info!(
                position = erasure.get(),
                "a customer was taken out of the log"
            );
        }
        if let Some(retention) = self.retention {
            let limit = before(self.clock.now(), retention);
            self.view.expire(limit, &|| self.is_over())?;
            let pause = self.delay.max(LOOK_EVERY);
            plan.expire_at = self.clock.elapsed().saturating_add(pause);
        }
        if self.log.has_remains()? && !self.is_over() {
            self.view.wipe()?;
            tracing::info!("what was erased or too old has left the disk");
        }
        Ok(())
    }
}

fn before(now: Timestamp, age: Duration) -> Timestamp {
    let age = i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(now.micros().saturating_sub(age).max(0)).unwrap_or(now)
}
