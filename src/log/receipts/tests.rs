use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::clock::ManualClock;
use crate::log::Options;
use crate::log::memory::MemoryStore;
use crate::log::record::{Command, Event};
use crate::model::customer_id::CustomerIds;
use crate::model::event::EventType;
use crate::model::properties::Properties;

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
const START: i64 = 1_700_000_000;

fn seconds(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000).unwrap()
}

fn record((received, clock_set): &(i64, i64)) -> Record {
    Record {
        project: "p".into(),
        received: seconds(*received),
        ids: CustomerIds::default(),
        command: Command::Event(Event {
            event_type: EventType::campaign_click(),
            properties: Properties::from_json("{}").unwrap(),
            time: seconds(0),
        }),
        conflicted: false,
        expired: false,
        clock_set: clock_set * 1_000_000,
        customers: Vec::new(),
    }
}

/// The receipts of a log, and the log. Each record is given by its time of receipt and by how much the clock had been
/// set.
struct Scene {
    log: Log,
    receipts: Receipts,
}

impl Scene {
    fn new(records: &[(i64, i64)]) -> Self {
        let clock = Arc::new(ManualClock::starting_at(Duration::ZERO));
        let store = Arc::new(MemoryStore::default());
        let mut scene = Self {
            log: Log::start(store, &Options::default(), clock).unwrap(),
            receipts: Receipts::new(super::Start {
                end: Position::START.plus(records.len()),
                now: seconds(START),
                elapsed: Duration::ZERO,
            }),
        };
        scene.takes(records);
        scene
    }

    fn takes(&mut self, records: &[(i64, i64)]) {
        let records = records.iter().map(|reported| record(reported).encode());
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_time().build().unwrap();
        let appended = self.log.append(records.collect());
        runtime.block_on(appended).unwrap();
        let is_over = || false;
        self.receipts.follow(&self.log, &is_over).unwrap();
    }

    /// How many records are older than so many seconds, after some elapsed time since the start.
    fn old(&mut self, now: i64, elapsed: Duration, age: u64) -> u64 {
        let (now, age) = ((seconds(now), elapsed), Duration::from_secs(age));
        let mut old = || self.receipts.old(&self.log, now, age, &|| false);
        let first = old().unwrap();
        assert_eq!(old().unwrap(), first, "asked again, it says the same");
        first.get()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.log.close();
    }
}

/// How many records are too old by `limit`.
fn old(records: &[(i64, i64)], limit: i64) -> u64 {
    Scene::new(records).old(limit, Duration::ZERO, 0)
}

#[test]
fn what_was_received_before_the_limit_is_old() {
    let records: Vec<_> = (0..200).map(|n| (START + n, 0)).collect();
    assert_eq!(old(&records, START), 0);
    assert_eq!(old(&records, START + 150), 150);
    assert_eq!(old(&records, START + 999), 200);
}

#[test]
fn what_came_behind_something_young_is_young_whatever_its_clock_said() {
    let mut records = vec![(START, 0), (START + 1, 0)];
    records.extend((0..80).map(|n| (START - DAY + n, 0)));
    records.push((START + 300, 0));
    assert_eq!(old(&records, START - HOUR), 0);
    assert_eq!(old(&records, START + 1), 1);
    assert_eq!(old(&records, START + 2), 82);
}

#[test]
fn what_came_before_the_clock_was_set_forward_is_as_young_as_the_time_that_passed() {
    // A machine without a valid time before it has synchronized its clock.
    let set = START - 1_020;
    let records = [(1_000, 0), (1_010, 0), (START, set), (START + 5, set)];
    assert_eq!(old(&records, START - HOUR), 0);
    assert_eq!(old(&records, START - 15), 1);
    assert_eq!(old(&records, START - 5), 2);
}

#[test]
fn a_process_that_began_without_the_time_makes_nothing_before_it_young_for_ever() {
    let boots = |start: i64| {
        let set = start - 1_010;
        [(1_000, 0), (start, set), (start + 5, set)]
    };
    let mut records = Vec::from(boots(START));
    records.extend(boots(START + DAY));
    records.extend(boots(START + 2 * DAY));
    // No time is sure to have passed between two processes of which the later one began before the earlier one.
    assert_eq!(old(&records, START + HOUR), 0);
    assert_eq!(old(&records, START + 2 * DAY), 7);
    assert_eq!(old(&records, START + 3 * DAY), 9);
}

#[test]
fn a_clock_that_was_ahead_for_a_while_keeps_what_it_said_until_then() {
    let records = [
        (START, 0),
        (START + DAY, DAY),
        (START + 20, 0),
        (START + 30, 0),
    ];
    assert_eq!(old(&records, START + 21), 1);
    assert_eq!(old(&records, START + HOUR), 1);
    assert_eq!(old(&records, START + DAY + 1), 4);
}

#[test]
fn what_came_a_moment_ago_by_a_clock_that_was_back_is_young_though_nothing_came_since() {
    let rows = [(30, 0), (29, 1), (20, 1), (19, 2), (18, 3)];
    for (age, old) in rows {
        let mut scene = Scene::new(&[(START, 0)]);
        scene.takes(&[(START - DAY + 10, -DAY), (START - DAY + 11, -DAY)]);
        // The clock is right again.
        let now = START + 30;
        assert_eq!(scene.old(now, Duration::from_secs(30), age), old, "{age}");
    }
}
