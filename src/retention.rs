//! Floor 2: removes what was erased or is too old from the disk in time.

mod due;
mod erase;
mod expire;
#[cfg(test)]
mod tests;
mod trust;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::clock::Clock;
use crate::config::data;
use crate::log::{Log, Receipts, Start};
use crate::view::{Error, View};
use due::Due;
use erase::{oldest_erasure, purge, take_out};
use expire::expire;
use trust::{Doubt, Trust};

/// How often it is checked whether there is something to do.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Receipts are temporarily so far ahead of the clock where it is set back by a little.
const LEAD_USUAL: Duration = Duration::from_secs(60);
/// How long to wait after a failure.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// Whether something that was erased or is too old may still be on the disk. True also if that is unknown.
pub(crate) fn is_purge_pending(log: &Log, view: &View) -> bool {
    log.is_purge_pending().unwrap_or(true)
        || oldest_erasure(view).map_or(true, |oldest| oldest.is_some())
}

/// What to keep, and how soon to remove the rest.
#[derive(Debug)]
pub(crate) struct RetentionWorker {
    log: Log,
    view: View,
    clock: Arc<dyn Clock>,
    /// Half of the promised time: the other half is for the work.
    delay: Duration,
    retention: Option<Duration>,
    start: Start,
    is_over: Arc<AtomicBool>,
}

/// The thread that does the work.
#[derive(Debug)]
pub(crate) struct Running {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Running {
    /// Asks the thread to end. It finishes its work in progress first.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
    }

    /// Waits until the thread has ended. May block on the disk, as long as copying everything.
    pub(crate) fn stop(self) {
        self.end();
        if self.thread.join().is_err() {
            tracing::error!("the retention thread panicked");
        }
    }
}

/// When what is to be done, on the clock's elapsed time.
struct Plan {
    due: Due,
    expiry: Option<Expiry>,
    retry_at: Duration,
}

/// When to look for what is too old, and what is known about ages.
struct Expiry {
    retention: Duration,
    at: Duration,
    receipts: Receipts,
    trust: Trust,
    /// What was last reported to the operator.
    reported: Option<Doubt>,
}

impl Expiry {
    fn new(retention: Duration, start: Start) -> Self {
        Self {
            retention,
            at: Duration::ZERO,
            receipts: Receipts::new(start),
            trust: Trust::new(retention),
            reported: None,
        }
    }

    /// Whether it is time, and the clock can be trusted.
    fn is_due(&mut self, log: &Log, clock: &dyn Clock, is_over: &dyn Fn() -> bool) -> bool {
        if let Err(error) = self.receipts.follow(log, is_over) {
            // Reads report the damage too. Records of unknown age are kept.
            tracing::error!(error = %error, "what is too old stays: the log cannot be read");
            self.at = clock.elapsed().saturating_add(RETRY_AFTER);
            return false;
        }
        let greatest = self.receipts.greatest();
        // Read in this order: what was received in between is no later than now.
        let (elapsed, now) = (clock.elapsed(), clock.now());
        let doubt = self.trust.look(now, elapsed, greatest).err();
        let is_news = match (self.reported, doubt) {
            (reported, None | Some(Doubt::Start)) => reported.is_some() && doubt.is_none(),
            (Some(Doubt::Behind(_)), Some(Doubt::Behind(_)))
            | (Some(Doubt::Ahead(_)), Some(Doubt::Ahead(_))) => false,
            (_, Some(Doubt::Behind(by))) => by > LEAD_USUAL,
            (_, Some(Doubt::Ahead(_))) => true,
        };
        if is_news {
            match doubt {
                Some(doubt) => tracing::warn!(%doubt, "what is too old stays for now"),
                None => tracing::info!("the clock is believed again; what is too old leaves"),
            }
            self.reported = doubt;
        }
        doubt.is_none() && self.at <= elapsed
    }
}

impl RetentionWorker {
    pub(crate) fn new(
        log: Log,
        view: View,
        clock: Arc<dyn Clock>,
        options: &data::Options,
    ) -> Self {
        Self {
            start: Start {
                end: log.last(),
                now: clock.now(),
                elapsed: clock.elapsed(),
            },
            log,
            view,
            clock,
            delay: options.erase_within / 2,
            retention: options.retention,
            is_over: Arc::default(),
        }
    }

    pub(crate) fn start(self) -> io::Result<Running> {
        let is_over = self.is_over.clone();
        let thread = std::thread::Builder::new().name("retention".into());
        let guard = self.log.panics().guard();
        let thread = thread.spawn(move || {
            let _guard = guard;
            self.run();
        });
        Ok(Running {
            is_over,
            thread: thread?,
        })
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    fn run(&self) {
        let mut plan = Plan {
            due: Due::new(self.delay, self.start),
            expiry: self.retention.map(|age| Expiry::new(age, self.start)),
            retry_at: Duration::ZERO,
        };
        // What an earlier process did not finish.
        let mut is_due = self.log.is_purge_pending().unwrap_or(true);
        while !self.is_over() {
            let expires = plan.expiry.as_mut().is_some_and(|expiry| {
                expiry.is_due(&self.log, self.clock.as_ref(), &|| self.is_over())
            });
            is_due |= expires;
            let worked = self
                .has_due_erasure(&mut plan.due)
                .and_then(|has_due_erasure| {
                    is_due |= has_due_erasure;
                    match is_due && plan.retry_at <= self.clock.elapsed() {
                        true => self.work(&mut plan, expires).map(|()| is_due = false),
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

    fn has_due_erasure(&self, due: &mut Due) -> Result<bool, Error> {
        let oldest = oldest_erasure(&self.view)?;
        Ok(due.is_due(oldest, self.clock.now(), self.clock.elapsed()))
    }

    fn work(&self, plan: &mut Plan, expires: bool) -> Result<(), Error> {
        while let Some(erasure) = oldest_erasure(&self.view)? {
            if self.is_over() {
                return Ok(());
            }
            take_out(&self.view, erasure.position)?;
            tracing::info!(
                position = erasure.position.get(),
                "a customer was taken out of the log"
            );
        }
        if let Some(expiry) = plan.expiry.as_mut().filter(|_| expires) {
            let is_over = || self.is_over();
            let now = (self.clock.now(), self.clock.elapsed());
            let retention = expiry.retention;
            let cutoff = expiry.receipts.old(&self.log, now, retention, &is_over)?;
            expire(&self.view, cutoff, &is_over)?;
            let pause = self.delay.max(LOOK_EVERY);
            expiry.at = self.clock.elapsed().saturating_add(pause);
        }
        if self.log.is_purge_pending()? && !self.is_over() {
            purge(&self.view)?;
            tracing::info!("what was erased or too old has left the disk");
        }
        Ok(())
    }
}
