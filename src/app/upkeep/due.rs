//! When an erasure is due: so long after it was asked for, by the time that passes, whatever happens to the wall clock.

use std::time::Duration;

use crate::log::Position;
use crate::model::time::Timestamp;

/// The oldest erasure, and when it is due.
#[derive(Debug)]
pub(super) struct Due {
    delay: Duration,
    /// The end of the log at the start: what was asked for up to there, an earlier process was asked for.
    start: Position,
    /// In elapsed time.
    oldest: Option<(Position, Duration)>,
}

impl Due {
    pub(super) fn new(delay: Duration, start: Position) -> Self {
        Self {
            delay,
            start,
            oldest: None,
        }
    }

    /// Whether the oldest erasure, which was asked for at a time of the wall clock, is due.
    pub(super) fn is_due(
        &mut self,
        erasure: Option<(Position, Timestamp)>,
        now: Timestamp,
        elapsed: Duration,
    ) -> bool {
        let Some((position, asked)) = erasure else {
            self.oldest = None;
            return false;
        };
        let at = match self.oldest {
            Some((oldest, at)) if oldest == position => at,
            Some(_) | None => {
                let waited = match position > self.start {
                    true => Duration::ZERO,
                    // Only the wall clock knows of the time before the start. One that was set back since knows nothing, and
                    // what was asked for is better done early than late.
                    false if now < asked => self.delay,
                    false => now.saturating_since(asked),
                };
                elapsed.saturating_add(self.delay.saturating_sub(waited))
            }
        };
        self.oldest = Some((position, at));
        at <= elapsed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock as _, ManualClock};

    const HOUR: Duration = Duration::from_hours(1);
    const DAY: Duration = Duration::from_hours(24);

    struct Scene {
        clock: ManualClock,
        due: Due,
        asked: Timestamp,
    }

    impl Scene {
        /// An erasure that was asked for just now, before the start or after it; it is due after twelve hours.
        fn new(before_the_start: bool) -> Self {
            let clock = ManualClock::starting_at(Duration::from_secs(1_700_000_000));
            let asked = clock.now();
            let start = Position::from_number(u64::from(before_the_start) * 7);
            let due = Due::new(12 * HOUR, start);
            Self { clock, due, asked }
        }

        fn is_due(&mut self) -> bool {
            let erasure = Some((Position::from_number(7), self.asked));
            let (now, elapsed) = (self.clock.now(), self.clock.elapsed());
            self.due.is_due(erasure, now, elapsed)
        }
    }

    #[test]
    fn an_erasure_is_due_when_its_time_has_passed_whatever_the_wall_clock_says() {
        for before_the_start in [false, true] {
            let mut scene = Scene::new(before_the_start);
            assert!(!scene.is_due());
            scene.clock.set_forward(DAY);
            assert!(!scene.is_due());
            scene.clock.set_back(2 * DAY);
            scene.clock.advance(11 * HOUR);
            assert!(!scene.is_due());
            scene.clock.advance(HOUR);
            assert!(scene.is_due());
        }
    }

    #[test]
    fn what_an_earlier_process_was_asked_for_has_waited_already() {
        let mut scene = Scene::new(true);
        scene.clock.set_forward(11 * HOUR);
        assert!(!scene.is_due());
        scene.clock.advance(HOUR);
        assert!(scene.is_due());
    }

    #[test]
    fn what_an_earlier_process_was_asked_for_by_a_later_clock_is_due_at_once() {
        let mut scene = Scene::new(true);
        scene.clock.set_back(DAY);
        assert!(scene.is_due());
    }

    #[test]
    fn the_next_erasure_has_a_time_of_its_own() {
        let mut scene = Scene::new(false);
        assert!(!scene.is_due());
        scene.clock.advance(12 * HOUR);
        assert!(scene.is_due());
        let next = Some((Position::from_number(9), scene.clock.now()));
        let (now, elapsed) = (scene.clock.now(), scene.clock.elapsed());
        assert!(!scene.due.is_due(next, now, elapsed));
        assert!(!scene.due.is_due(None, now, elapsed));
    }
}
