//! Reads that run at once.

use std::sync::mpsc;
use std::time::Duration;

use futures_util::FutureExt as _;

use super::super::Error;
use super::super::permits::{Permits, ReadLimits, blocking};
use super::bench::{Bench, private};

#[tokio::test]
async fn reads_beyond_those_of_a_key_a_project_and_in_all_wait_their_turn_and_then_are_refused() {
    let bench = Bench::new();
    let limits = ReadLimits {
        max: 4,
        per_project_max: 3,
        per_key_max: 2,
        ..ReadLimits::default()
    };
    let permits = Permits::new(limits, Duration::from_millis(10));
    let of = |project, key| bench.enter(project, &private(key, "s")).unwrap();
    let (all, reads, q) = (of("p", "all"), of("p", "reads-events"), of("q", "all"));
    let mut held = vec![permits.take(&all).await.unwrap()];
    held.push(permits.take(&all).await.unwrap());
    let refused = permits.take(&all).await.unwrap_err();
    assert!(matches!(refused, Error::TooManyReads(_)));
    // Other keys of the project have permits left, and so do other projects when it has none.
    held.push(permits.take(&reads).await.unwrap());
    assert!(permits.take(&reads).await.is_err());
    held.push(permits.take(&q).await.unwrap());
    assert!(permits.take(&q).await.is_err());
    held.clear();
    assert!(permits.take(&q).await.is_ok());
}

#[tokio::test]
async fn a_permit_is_held_until_the_read_has_ended_and_an_abandoned_read_learns_to_end() {
    let bench = Bench::new();
    let limits = ReadLimits {
        max: 1,
        ..ReadLimits::default()
    };
    let permits = Permits::new(limits, Duration::from_secs(60));
    let access = bench.access();
    let permit = permits.take(&access).await.unwrap();
    let (begun, has_begun) = mpsc::channel();
    let (end, has_ended) = mpsc::channel::<()>();
    let (reported, was_reported) = tokio::sync::oneshot::channel();
    let read = tokio::spawn(blocking(permit, move |cancel| {
        begun.send(()).unwrap();
        // As long as this takes, it passes a row.
        has_ended.recv().unwrap();
        let cancelled = cancel.check();
        reported.send(cancelled.is_err()).unwrap();
        Ok(cancelled?)
    }));
    let has_begun = tokio::task::spawn_blocking(move || has_begun.recv().unwrap());
    has_begun.await.unwrap();
    read.abort();
    assert!(read.await.unwrap_err().is_cancelled());
    assert!(permits.take(&access).now_or_never().is_none());
    end.send(()).unwrap();
    assert!(was_reported.await.unwrap(), "it learns that nobody waits");
    assert!(permits.take(&access).await.is_ok());
}

#[tokio::test]
async fn answers_that_nobody_takes_leave_no_room_for_others_of_their_key() {
    const KIB: usize = 1_024;
    let bench = Bench::new();
    let limits = ReadLimits {
        answers_bytes_max: 1_336 * KIB,
        answers_per_key_bytes_max: 500 * KIB,
        ..ReadLimits::default()
    };
    let permits = Permits::new(limits, Duration::from_millis(10));
    let of = |project, key| bench.enter(project, &private(key, "s")).unwrap();
    let (all, reads, q) = (of("p", "all"), of("p", "reads-events"), of("q", "all"));
    let large = permits.hold(&all, 499 * KIB).await.unwrap();
    let refused = permits.hold(&all, 2 * KIB).await.unwrap_err();
    assert!(matches!(refused, Error::AnswersNotTaken(_)));
    // Larger than all of the space: it goes alone.
    let alone = permits.hold(&reads, 9_000 * KIB).await.unwrap();
    // Where others leave no space, small answers have their own.
    assert!(permits.hold(&q, 100 * KIB).await.is_err());
    assert!(permits.hold(&q, 64 * KIB).await.is_ok());
    drop((large, alone));
    assert!(permits.hold(&q, 100 * KIB).await.is_ok());
}

#[tokio::test]
async fn small_answers_that_nobody_takes_are_bounded_in_all_too() {
    const KIB: usize = 1_024;
    let bench = Bench::new();
    let limits = ReadLimits {
        answers_bytes_max: 400 * KIB,
        answers_per_key_bytes_max: 4_000 * KIB,
        ..ReadLimits::default()
    };
    let permits = Permits::new(limits, Duration::from_millis(10));
    let (one, other) = (
        bench.access(),
        bench.enter("q", &private("all", "s")).unwrap(),
    );
    let mut held = Vec::new();
    // They take the space for any answers first, and then that for small ones.
    for _ in 0..9 {
        held.push(permits.hold(&one, 40 * KIB).await.unwrap());
    }
    let refused = permits.hold(&other, 40 * KIB).await.unwrap_err();
    assert!(matches!(refused, Error::AnswersNotTaken(_)));
    held.pop();
    assert!(permits.hold(&other, 40 * KIB).await.is_ok());
}
