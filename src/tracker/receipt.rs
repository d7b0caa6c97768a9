//! When commands are received.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::clock::Clock;
use crate::log::CLOCK_SET_MIN;
use crate::model::time::Timestamp;

/// Most that receipts run ahead of a clock that stands or was set back. Beyond it they follow the clock back.
const LEAD_MAX: Duration = Duration::from_secs(60);

/// The time of receipt of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Receipt {
    /// When, by the wall clock.
    pub(super) time: Timestamp,
    /// By how much the wall clock has been set since the process started, in µs.
    pub(super) clock_set: i64,
}

/// Gives times of receipt, each later than the one before as long as the clock is not set back by more than
/// [`LEAD_MAX`]: two events without a time must not be taken for one that was sent twice.
#[derive(Debug)]
pub(super) struct Receipts {
    /// The last one, in µs.
    last: AtomicI64,
    /// How far the wall clock was ahead of the elapsed time at the start, in µs.
    origin: i64,
}

impl Receipts {
    pub(super) fn new(clock: &dyn Clock) -> Self {
        Self {
            last: AtomicI64::new(0),
            origin: offset(clock.now(), clock.elapsed()),
        }
    }

    pub(super) fn next(&self, clock: &dyn Clock) -> Receipt {
        let now = clock.now();
        let set = offset(now, clock.elapsed()).saturating_sub(self.origin);
        let next = |last: i64| Some(after(last, now.micros()));
        let last = self
            .last
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        let time = last.ok().and_then(next).map(Timestamp::from_micros);
        Receipt {
            time: time.map_or(now, |time| time.unwrap_or(Timestamp::MAX)),
            clock_set: match set.unsigned_abs() > micros(CLOCK_SET_MIN).unsigned_abs() {
                true => set,
                false => 0,
            },
        }
    }
}

/// The receipt behind another one, in µs.
fn after(last: i64, now: i64) -> i64 {
    match last.saturating_sub(now) > micros(LEAD_MAX) {
        true => now,
        false => now.max(last.saturating_add(1)),
    }
}

fn offset(now: Timestamp, elapsed: Duration) -> i64 {
    now.micros().saturating_sub(micros(elapsed))
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    const DAY: Duration = Duration::from_hours(24);
    const START: Duration = Duration::from_hours(24 * 365 * 50);

    fn at(clock: &ManualClock) -> Receipt {
        Receipt {
            time: clock.now(),
            clock_set: 0,
        }
    }

    #[test]
    fn receipts_follow_a_clock_that_is_set_back_by_a_day_and_differ_from_each_other() {
        let clock = ManualClock::starting_at(START);
        let receipts = Receipts::new(&clock);
        assert_eq!(receipts.next(&clock), at(&clock));
        clock.set_back(DAY);
        let first = receipts.next(&clock);
        let set = Receipt {
            clock_set: -micros(DAY),
            ..at(&clock)
        };
        assert_eq!(first, set);
        assert!(receipts.next(&clock).time > first.time);
        clock.set_forward(DAY);
        clock.advance(Duration::from_secs(1));
        assert_eq!(receipts.next(&clock), at(&clock));
    }

    #[test]
    fn receipts_never_repeat_where_the_clock_is_set_back_by_a_little() {
        let clock = ManualClock::starting_at(START);
        let receipts = Receipts::new(&clock);
        let mut last = receipts.next(&clock);
        for _ in 0..100 {
            clock.set_back(Duration::from_millis(500));
            let next = receipts.next(&clock);
            assert!(next.time > last.time);
            last = next;
        }
        // No longer than a minute ahead.
        clock.set_back(Duration::from_secs(20));
        assert_eq!(receipts.next(&clock).time, clock.now());
    }

    #[test]
    fn a_clock_that_is_corrected_bit_by_bit_is_not_set() {
        let clock = ManualClock::starting_at(START);
        let receipts = Receipts::new(&clock);
        clock.set_forward(CLOCK_SET_MIN);
        assert_eq!(receipts.next(&clock).clock_set, 0);
        clock.set_forward(Duration::from_micros(1));
        assert_eq!(receipts.next(&clock).clock_set, micros(CLOCK_SET_MIN) + 1);
    }
}
