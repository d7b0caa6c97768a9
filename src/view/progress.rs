//! How far the view is, over all and for each project.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use crate::log::Position;

/// How far the view is.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// The position up to which the log is applied for every project.
    pub applied: Position,
    /// The same, for projects that have no lane of their own.
    pub front: Position,
    /// Why the view has stopped, if it has.
    pub failure: Option<Arc<str>>,
}

/// The time within which acknowledged records count as of one age.
const MARK_EVERY: Duration = Duration::from_millis(50);
/// Most time that counts between two checks: a paused process could not apply anything.
const LOOK_MAX: Duration = Duration::from_secs(1);
/// Most marks of a project; beyond it, new records count as old as the last of them.
const MARKS_MAX: usize = 1_024;
/// The lane position of a project that has no lane.
const AT_THE_FRONT: u64 = u64::MAX;

/// What a project has written, and how much of it can be read.
#[derive(Debug)]
pub struct ProjectProgress {
    /// A position that none of its records queued so far will pass.
    expected: AtomicU64,
    /// The position of its lane.
    lane: AtomicU64,
    /// The position up to which everything outside lanes is applied.
    front: Arc<AtomicU64>,
    marks: Mutex<Marks>,
}

/// Acknowledged records that may not be applied yet.
#[derive(Debug, Default)]
struct Marks {
    /// Oldest first.
    queue: VecDeque<Mark>,
    /// When this was last checked.
    seen: Duration,
    /// How much time counts as passed by then.
    passed: Duration,
}

impl Marks {
    /// How much time counts as passed.
    fn look(&mut self, now: Duration) -> Duration {
        self.passed += now.saturating_sub(self.seen).min(LOOK_MAX);
        self.seen = self.seen.max(now);
        self.passed
    }
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    /// How much time had passed when the first of them was acknowledged.
    since: Duration,
    /// The position of the last of them.
    last: u64,
}

impl ProjectProgress {
    /// The position up to which its records are applied.
    pub fn applied(&self) -> Position {
        let lane = self.lane.load(Ordering::Acquire);
        // A lane that has just ended had reached the front.
        Position::from_number(match lane {
            AT_THE_FRONT => self.front.load(Ordering::Acquire),
            lane => lane,
        })
    }

    /// A position that none of its records queued so far will pass.
    pub fn expected(&self) -> Position {
        Position::from_number(self.expected.load(Ordering::Acquire))
    }

    /// Notes that its queued records will not pass `bound`. Must be called before any caller is answered.
    pub fn expect(&self, bound: Position) {
        self.expected.fetch_max(bound.get(), Ordering::AcqRel);
    }

    /// Notes that its record at `position` is durable. `now`: by the clock of [`Self::lag`].
    pub fn acknowledge(&self, position: Position, now: Duration) {
        let position = position.get();
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        let now = marks.look(now);
        let marks = &mut marks.queue;
        let is_full = marks.len() >= MARKS_MAX;
        match marks.back_mut() {
            Some(mark) if is_full || now.saturating_sub(mark.since) < MARK_EVERY => {
                mark.last = mark.last.max(position);
            }
            Some(_) | None => marks.push_back(Mark {
                since: now,
                last: position,
            }),
        }
    }

    /// The age of the oldest acknowledged record that cannot be read yet. Between two checks, one second counts at
    /// most.
    pub fn lag(&self, now: Duration) -> Duration {
        let applied = self.applied().get();
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        let now = marks.look(now);
        let marks = &mut marks.queue;
        while marks.front().is_some_and(|mark| mark.last <= applied) {
            marks.pop_front();
        }
        let oldest = marks.front();
        oldest.map_or(Duration::ZERO, |mark| now.saturating_sub(mark.since))
    }
}

/// The projects requested since the start.
#[derive(Debug)]
pub(super) struct Projects {
    front: Arc<AtomicU64>,
    /// The end of the log when the view was opened: any project may have records up to there.
    start: Position,
    /// Never more than were configured since the start.
    by_token: RwLock<Map>,
}

#[derive(Debug, Default)]
struct Map {
    projects: HashMap<String, Arc<ProjectProgress>>,
    /// The positions of the lanes, including those of projects that were not requested yet.
    lanes: BTreeMap<String, Position>,
}

impl Projects {
    pub(super) fn new(start: Position, front: Position) -> Self {
        Self {
            front: Arc::new(AtomicU64::new(front.get())),
            start,
            by_token: RwLock::default(),
        }
    }

    pub(super) fn get(&self, token: &str) -> Arc<ProjectProgress> {
        let known = self.by_token.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(project) = known.projects.get(token) {
            return project.clone();
        }
        drop(known);
        let mut known = self
            .by_token
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let lane = known.lanes.get(token).map_or(AT_THE_FRONT, |at| at.get());
        let new = || {
            Arc::new(ProjectProgress {
                expected: AtomicU64::new(self.start.get()),
                lane: AtomicU64::new(lane),
                front: self.front.clone(),
                marks: Mutex::default(),
            })
        };
        let project = known.projects.entry(token.to_owned());
        project.or_insert_with(new).clone()
    }

    /// All that were requested.
    pub(super) fn all(&self) -> Vec<(String, Arc<ProjectProgress>)> {
        let known = self.by_token.read().unwrap_or_else(PoisonError::into_inner);
        let all = known.projects.iter();
        all.map(|(token, project)| (token.clone(), project.clone()))
            .collect()
    }

    /// Whether a project other than `token` and those in lanes has unapplied records up to `last`.
    pub(super) fn others_wait(&self, token: &str, last: Position) -> bool {
        let known = self.by_token.read().unwrap_or_else(PoisonError::into_inner);
        known.projects.iter().any(|(other, project)| {
            other != token
                && !known.lanes.contains_key(other)
                && project.expected().min(last) > project.applied()
        })
    }

    /// Notes that everything is applied up to `front`, except for these lanes.
    pub(super) fn publish(&self, front: Position, lanes: BTreeMap<String, Position>) {
        let mut known = self
            .by_token
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        for (token, at) in &lanes {
            if let Some(project) = known.projects.get(token) {
                project.lane.store(at.get(), Ordering::Release);
            }
        }
        self.front.store(front.get(), Ordering::Release);
        for token in known
            .lanes
            .keys()
            .filter(|token| !lanes.contains_key(*token))
        {
            if let Some(project) = known.projects.get(token) {
                project.lane.store(AT_THE_FRONT, Ordering::Release);
            }
        }
        known.lanes = lanes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(position: u64) -> Position {
        Position::from_number(position)
    }

    fn projects() -> Projects {
        Projects::new(at(10), at(10))
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_lag_is_the_age_of_the_oldest_record_that_is_not_applied() {
        let projects = projects();
        let project = projects.get("p");
        assert_eq!(project.lag(SECOND), Duration::ZERO);
        project.acknowledge(at(11), SECOND);
        assert_eq!(project.lag(2 * SECOND), SECOND);
        project.acknowledge(at(15), 3 * SECOND);
        assert_eq!(project.lag(4 * SECOND), 3 * SECOND);
        projects.publish(at(11), BTreeMap::new());
        assert_eq!(project.lag(4 * SECOND), SECOND);
        projects.publish(at(15), BTreeMap::new());
        assert_eq!(project.lag(4 * SECOND), Duration::ZERO);
    }

    #[test]
    fn time_in_which_the_process_stood_still_makes_nothing_older() {
        let projects = projects();
        let project = projects.get("p");
        project.acknowledge(at(11), SECOND);
        assert_eq!(project.lag(3_600 * SECOND), SECOND);
        assert_eq!(project.lag(3_601 * SECOND), 2 * SECOND);
    }

    #[test]
    fn more_records_than_there_are_marks_for_count_as_old_as_the_last_mark() {
        let projects = projects();
        let project = projects.get("p");
        for second in 0..2_000_u32 {
            project.acknowledge(at(u64::from(second) + 11), second * SECOND);
        }
        assert_eq!(project.marks.lock().unwrap().queue.len(), MARKS_MAX);
        projects.publish(at(1_900), BTreeMap::new());
        assert_eq!(project.lag(2_000 * SECOND), 977 * SECOND);
    }

    #[test]
    fn a_project_in_a_lane_is_where_its_lane_is_and_the_others_are_at_the_front() {
        let projects = projects();
        let (slow, other) = (projects.get("slow"), projects.get("other"));
        slow.expect(at(30));
        other.expect(at(20));
        assert!(projects.others_wait("slow", at(30)));
        assert!(
            !projects.others_wait("slow", at(10)),
            "nothing of it is durable"
        );
        projects.publish(at(20), BTreeMap::from([("slow".to_owned(), at(12))]));
        assert_eq!((slow.applied(), other.applied()), (at(12), at(20)));
        assert!(
            !projects.others_wait("other", at(30)),
            "a lane does not wait for the front"
        );
        projects.publish(at(30), BTreeMap::new());
        assert_eq!(slow.applied(), at(30));
    }

    #[test]
    fn a_project_that_nobody_asked_for_may_have_records_of_before_the_start() {
        let projects = projects();
        projects.publish(at(10), BTreeMap::from([("slow".to_owned(), at(3))]));
        let slow = projects.get("slow");
        assert_eq!((slow.expected(), slow.applied()), (at(10), at(3)));
    }
}
