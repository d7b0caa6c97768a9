//! Whether the wall clock may decide that something is too old: what is removed by it does not come back.

use std::fmt;
use std::time::Duration;

use crate::model::time::Timestamp;

/// How long after the start nothing is removed; at most as long as records are kept.
const START: Duration = Duration::from_secs(600);
/// How far the clock may be ahead of the known time, at most; and no more than this part of the time for which records
/// are kept.
const LEAD_MAX: Duration = Duration::from_hours(24);
const LEAD_PART: u32 = 24;
/// How long a clock that was set forward has to run before it is trusted; at most as long as records are kept.
const PROBATION: Duration = Duration::from_hours(24);

/// Why nothing may be removed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// The service has just started.
    Start,
    /// The clock is before the greatest time of receipt in the log.
    Behind(Duration),
    /// The clock is so far ahead of the log's end and the time elapsed since.
    Ahead(Duration),
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => f.write_str("the service has just started"),
            Self::Behind(by) => write!(f, "the clock is {by:?} before the newest record"),
            Self::Ahead(by) => write!(f, "the clock is {by:?} ahead of the time that passed"),
        }
    }
}

/// What is known about the wall clock. It is compared with the elapsed time, which cannot be set.
#[derive(Debug)]
pub(super) struct Trust {
    retention: Duration,
    /// How far the wall clock was ahead of the elapsed time when it was trusted last, in µs. None: not checked yet.
    believed: Option<i64>,
    /// How far it is ahead now, and since when, in elapsed time.
    shown: i64,
    since: Duration,
}

impl Trust {
    /// The trust for records that are kept so long.
    pub(super) fn new(retention: Duration) -> Self {
        Self {
            retention,
            believed: None,
            shown: 0,
            since: Duration::ZERO,
        }
    }

    /// Checks the clock. To be called often, so that each change of the clock is noticed.
    pub(super) fn look(
        &mut self,
        now: Timestamp,
        elapsed: Duration,
        greatest: Option<Timestamp>,
    ) -> Result<(), Doubt> {
        let ahead = |time: Timestamp| time.micros().saturating_sub(micros(elapsed));
        let shown = ahead(now);
        let lead_max = micros(LEAD_MAX.min(self.retention / LEAD_PART));
        // Without any record there is nothing that a wrong clock could take.
        let believed = *self.believed.get_or_insert_with(|| {
            self.shown = shown;
            greatest.map_or(shown, ahead)
        });
        if shown.abs_diff(self.shown) > lead_max.unsigned_abs() {
            (self.shown, self.since) = (shown, elapsed);
        }
        if elapsed.saturating_sub(self.since) >= PROBATION.min(self.retention) {
            // The drift of a clock in a day does not count as a change.
            (self.believed, self.shown, self.since) = (Some(shown), shown, elapsed);
        }
        if elapsed < START.min(self.retention) {
            return Err(Doubt::Start);
        }
        if let Some(greatest) = greatest.filter(|greatest| *greatest > now) {
            return Err(Doubt::Behind(greatest.saturating_since(now)));
        }
        let lead = shown.saturating_sub(self.believed.unwrap_or(believed));
        match lead > lead_max {
            true => Err(Doubt::Ahead(Duration::from_micros(lead.unsigned_abs()))),
            false => Ok(()),
        }
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock as _, ManualClock};

    const HOUR: Duration = Duration::from_hours(1);
    const DAY: Duration = Duration::from_hours(24);
    const START_TIME: Duration = Duration::from_secs(1_700_000_000);

    struct Scene {
        clock: ManualClock,
        trust: Trust,
        greatest: Option<Timestamp>,
    }

    impl Scene {
        /// A service that starts at a time, over a log whose newest record was received so long before.
        fn new(retention: Duration, newest: Option<Duration>) -> Self {
            let clock = ManualClock::starting_at(START_TIME);
            let greatest = newest.map(|age| clock.now().saturating_sub(age));
            let mut scene = Self {
                clock,
                trust: Trust::new(retention),
                greatest,
            };
            assert_eq!(scene.look(), Err(Doubt::Start));
            scene
        }

        fn look(&mut self) -> Result<(), Doubt> {
            let (now, elapsed) = (self.clock.now(), self.clock.elapsed());
            self.trust.look(now, elapsed, self.greatest)
        }

        /// Lets time pass, and checks the clock.
        fn after(&mut self, time: Duration) -> Result<(), Doubt> {
            self.clock.advance(time);
            self.look()
        }
    }

    #[test]
    fn nothing_leaves_in_the_first_moments_of_a_start() {
        let mut scene = Scene::new(90 * DAY, Some(HOUR));
        assert_eq!(scene.after(START - HOUR / 3_600), Err(Doubt::Start));
        assert_eq!(scene.after(HOUR / 3_600), Ok(()));
    }

    #[test]
    fn a_start_with_a_clock_far_ahead_of_the_newest_record_waits_a_day_or_as_long_as_records_are_kept()
     {
        let mut scene = Scene::new(90 * DAY, Some(30 * DAY));
        assert_eq!(scene.after(START), Err(Doubt::Ahead(30 * DAY)));
        assert_eq!(scene.after(DAY), Ok(()));
        let mut scene = Scene::new(HOUR, Some(DAY));
        assert_eq!(scene.after(START), Err(Doubt::Ahead(DAY)));
        assert_eq!(scene.after(HOUR - START), Ok(()));
    }

    #[test]
    fn a_clock_before_the_newest_record_takes_nothing_however_long_it_runs() {
        let mut scene = Scene::new(HOUR, Some(Duration::ZERO));
        scene.clock.set_back(DAY);
        assert_eq!(scene.after(HOUR), Err(Doubt::Behind(DAY - HOUR)));
        assert_eq!(scene.after(22 * HOUR), Err(Doubt::Behind(HOUR)));
        assert_eq!(scene.after(HOUR), Ok(()));
    }

    #[test]
    fn a_clock_that_is_set_forward_by_a_day_is_not_believed_before_it_has_run_for_long() {
        let mut scene = Scene::new(HOUR, None);
        assert_eq!(scene.after(HOUR), Ok(()));
        scene.clock.set_forward(DAY);
        assert_eq!(scene.look(), Err(Doubt::Ahead(DAY)));
        // Set back again, it is right again.
        scene.clock.set_back(DAY);
        assert_eq!(scene.look(), Ok(()));
        scene.clock.set_forward(DAY);
        assert_eq!(scene.look(), Err(Doubt::Ahead(DAY)));
        assert_eq!(scene.after(HOUR / 2), Err(Doubt::Ahead(DAY)));
        assert_eq!(scene.after(HOUR / 2), Ok(()));
    }

    #[test]
    fn a_clock_that_is_set_back_is_not_believed_again_when_it_is_set_forward_long_after() {
        let mut scene = Scene::new(90 * DAY, None);
        assert_eq!(scene.after(HOUR), Ok(()));
        scene.clock.set_back(10 * DAY);
        assert_eq!(scene.look(), Ok(()));
        assert_eq!(scene.after(2 * DAY), Ok(()));
        scene.clock.set_forward(10 * DAY);
        assert_eq!(scene.look(), Err(Doubt::Ahead(10 * DAY)));
    }

    #[test]
    fn a_clock_that_goes_a_little_wrong_each_day_is_believed() {
        let mut scene = Scene::new(90 * DAY, None);
        assert_eq!(scene.after(HOUR), Ok(()));
        for _ in 0..1_000 {
            scene.clock.set_forward(Duration::from_secs(43));
            assert_eq!(scene.after(DAY), Ok(()));
        }
    }
}
