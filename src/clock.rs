//! Ground floor: time, passed in wherever it is needed, so that tests can set it.

pub mod late;

use std::fmt::Debug;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::model::time::Timestamp;

/// Gives the time.
pub trait Clock: Debug + Send + Sync {
    /// The wall clock, to the microsecond. May jump.
    fn now(&self) -> Timestamp;

    /// Time since an origin that stays the same for the clock's life. Never goes back.
    fn elapsed(&self) -> Duration;
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// A clock whose origin is now.
    #[allow(
        clippy::disallowed_methods,
        reason = "the one place that asks the machine"
    )]
    pub fn new() -> Self {
        Self {
            origin: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[allow(
        clippy::disallowed_methods,
        reason = "the one place that asks the machine"
    )]
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        timestamp(since_epoch.unwrap_or_default())
    }

    fn elapsed(&self) -> Duration {
        self.origin.elapsed()
    }
}

/// A clock that stands still until it is advanced.
#[derive(Debug)]
pub struct ManualClock {
    state: Mutex<Manual>,
}

#[derive(Debug)]
struct Manual {
    /// What the wall clock showed, or would have shown, when nothing had elapsed: it changes when the clock is set.
    origin: Duration,
    elapsed: Duration,
}

impl ManualClock {
    /// A clock that shows `start`, counted from 1970.
    pub fn starting_at(start: Duration) -> Self {
        Self {
            state: Mutex::new(Manual {
                origin: start,
                elapsed: Duration::ZERO,
            }),
        }
    }

    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        let mut state = self.lock();
        state.elapsed = state.elapsed.saturating_add(by);
    }

    /// Sets the wall clock forward; no time passes.
    pub fn set_forward(&self, by: Duration) {
        let mut state = self.lock();
        state.origin = state.origin.saturating_add(by);
    }

    /// Sets the wall clock back; no time passes.
    pub fn set_back(&self, by: Duration) {
        let mut state = self.lock();
        state.origin = state.origin.saturating_sub(by);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Manual> {
        // A panic elsewhere leaves plain numbers, which are still valid.
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        let state = self.lock();
        timestamp(state.origin.saturating_add(state.elapsed))
    }

    fn elapsed(&self) -> Duration {
        self.lock().elapsed
    }
}

fn timestamp(since_epoch: Duration) -> Timestamp {
    i64::try_from(since_epoch.as_micros())
        .ok()
        .and_then(|micros| Timestamp::from_micros(micros).ok())
        .unwrap_or(Timestamp::MAX)
}
