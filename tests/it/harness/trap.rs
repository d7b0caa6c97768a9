//! A panic in the middle of the service, wherever it asks for the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use footfall::clock::{Clock, ManualClock};
use footfall::model::time::Timestamp;

/// Whether the next one panics.
#[derive(Clone, Debug, Default)]
pub struct Trap(Arc<AtomicBool>);

impl Trap {
    pub fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// A clock that is moved by hand, with a trap.
#[derive(Debug)]
pub struct TrappedClock(pub Arc<ManualClock>, pub Trap);

impl Clock for TrappedClock {
    fn now(&self) -> Timestamp {
        let Self(clock, Trap(is_set)) = self;
        // The thread that looks for what has to leave asks as well, each second.
        let is_of_a_call = std::thread::current().name() != Some("upkeep");
        let springs = is_of_a_call && is_set.swap(false, Ordering::SeqCst);
        assert!(!springs, "the trap was set");
        clock.now()
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
