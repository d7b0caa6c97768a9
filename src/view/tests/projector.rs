//! The thread of the fold.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;

use super::super::View;
use super::bench::scratch;
use super::request::event;
use crate::clock::ManualClock;
use crate::log::memory::MemoryStore;
use crate::log::{Log, Options, Position, Store as _};

#[test]
fn a_fold_outlives_the_runtime_that_it_was_started_on() {
    let clock = Arc::new(ManualClock::starting_at(Duration::ZERO));
    let log = Log::start(Arc::new(MemoryStore::default()), &Options::default(), clock).unwrap();
    let dir = scratch();
    let runtime = Builder::new_current_thread().build().unwrap();
    let view = View::start(dir.path(), log.clone(), runtime.handle().clone()).unwrap();
    drop(runtime);
    let visit = event(&[("cookie", "c")], "visit", "{}", 1);
    drop(log.append(vec![visit.record(1).encode()]));
    let mut progress = view.progress();
    let other = Builder::new_current_thread().build().unwrap();
    let over = progress.wait_for(|at| at.applied.get() == 1 || at.failure.is_some());
    let at = other.block_on(over).unwrap().clone();
    assert_eq!((at.applied.get(), at.failure), (1, None));
    view.close();
}

#[test]
fn a_gap_in_the_log_is_reported_instead_of_read_again_and_again() {
    let store = Arc::new(MemoryStore::default());
    let visit = |number: u64| {
        event(&[("cookie", "c")], "visit", "{}", 1)
            .record(number)
            .encode()
    };
    let records = [visit(1), visit(2)];
    store.commit(Position::from_number(1), &records).unwrap();
    store.lose_behind(Position::from_number(1));
    let clock = Arc::new(ManualClock::starting_at(Duration::ZERO));
    let log = Log::start(store, &Options::default(), clock).unwrap();
    let dir = scratch();
    let runtime = Builder::new_current_thread().build().unwrap();
    let view = View::start(dir.path(), log, runtime.handle().clone()).unwrap();
    let mut progress = view.progress();
    let stopped = progress.wait_for(|at| at.failure.is_some());
    let at = runtime.block_on(stopped).unwrap().clone();
    assert_eq!(at.applied.get(), 1);
    view.close();
}

#[cfg(target_os = "linux")]
#[test]
fn the_fold_lets_others_go_first() {
    let bench = super::bench::Bench::new();
    bench.takes(&[event(&[("cookie", "c")], "visit", "{}", 1)]);
    // The tests may be nice themselves; nobody gets nicer than 19.
    let own = niceness(&std::fs::read_to_string("/proc/self/stat").unwrap());
    let nicer = (own + 10).min(19);
    let mut seen = 0;
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        // Threads of other tests come and go.
        let Ok(stat) = std::fs::read_to_string(task.unwrap().path().join("stat")) else {
            continue;
        };
        if stat.contains(" (view) ") {
            let its = niceness(&stat);
            assert!(its == nicer || its == own, "{own}: {stat}");
            seen += usize::from(its == nicer);
        }
    }
    assert!(seen >= 1);
}

/// The niceness that a thread's `stat` tells, behind its name.
#[cfg(target_os = "linux")]
fn niceness(stat: &str) -> i32 {
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    rest.split(' ').nth(16).unwrap().parse().unwrap()
}
