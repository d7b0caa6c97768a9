//! When an erasure is due: so long after it was requested, by elapsed time, whatever happens to the wall clock.

use std::time::Duration;

use super::erase::Asked;
use crate::log::{Position, Start};
use crate::model::time::Timestamp;

/// The oldest erasure, and when it is due.
#[derive(Debug)]
pub(super) struct Due {
    delay: Duration,
    start: Start,
    /// In elapsed time.
    oldest: Option<(Position, Duration)>,
}

impl Due {
    pub(super) fn new(delay: Duration, start: Start) -> Self {
        Self {
            delay,
            start,
            oldest: None,
        }
    }

    /// Whether the oldest erasure is due.
    pub(super) fn is_due(
        &mut self,
        erasure: Option<Asked>,
        now: Timestamp,
        elapsed: Duration,
    ) -> bool {
        let Some(erasure) = erasure else {
            self.oldest = None;
            return false;
        };
        let at = match self.oldest {
            Some((oldest, at)) if oldest == erasure.position => at,
            Some(_) | None => match erasure.position > self.start.end {
                true => {
                    let asked = self.start.elapsed_at(erasure.received, erasure.clock_set);
                    asked.min(elapsed).saturating_add(self.delay)
                }
                // Only the wall clock knows of the time before the start. One that was set back since knows nothing,
                // and an erasure is better early than late.
                false if now < erasure.received => elapsed,
                false => {
                    let waited = now.saturating_since(erasure.received);
                    elapsed.saturating_add(self.delay.saturating_sub(waited))
                }
            },
        };
        self.oldest = Some((erasure.position, at));
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
        asked: Asked,
    }

    impl Scene {
        /// An erasure that was requested just now, before the start or after it; it is due after twelve hours.
        fn new(before_the_start: bool) -> Self {
            let clock = ManualClock::starting_at(Duration::from_secs(1_700_000_000));
            let asked = Asked {
                position: Position::from_number(7),
                received: clock.now(),
                clock_set: 0,
            };
            let start = Start {
                end: Position::from_number(u64::from(before_the_start) * 7),
                now: clock.now(),
                elapsed: clock.elapsed(),
            };
            let due = Due::new(12 * HOUR, start);
            Self { clock, due, asked }
        }

        fn is_due(&mut self) -> bool {
            let (now, elapsed) = (self.clock.now(), self.clock.elapsed());
            self.due.is_due(Some(self.asked), now, elapsed)
        }
    }

    #[test]
    fn an_erasure_that_is_seen_late_is_due_when_its_time_has_passed_since_it_was_asked_for() {
        for set in [false, true] {
            let mut scene = Scene::new(false);
            if set {
                scene.clock.set_back(DAY);
                scene.asked.received = scene.clock.now();
                scene.asked.clock_set = -86_400_000_000;
            }
            scene.clock.advance(11 * HOUR);
            assert!(!scene.is_due());
            scene.clock.advance(HOUR);
            assert!(scene.is_due());
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
        let next = Asked {
            position: Position::from_number(9),
            received: scene.clock.now(),
            clock_set: 0,
        };
        let (now, elapsed) = (scene.clock.now(), scene.clock.elapsed());
        assert!(!scene.due.is_due(Some(next), now, elapsed));
        assert!(!scene.due.is_due(None, now, elapsed));
    }
}
