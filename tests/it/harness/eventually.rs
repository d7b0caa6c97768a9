//! Waiting for what comes by itself: with an end, and with a text that says what did not come.

use std::panic::Location;
use std::time::Duration;

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between one attempt and the next.
const PAUSE: Duration = Duration::from_millis(5);
/// As many as fit in, where attempts take no time.
const ATTEMPTS: usize = 12_000;

/// Tries until there is something; `what` says what is waited for.
#[track_caller]
pub fn eventually<T>(
    what: &str,
    try_it: impl AsyncFnMut() -> Option<T>,
) -> impl Future<Output = T> {
    within(PATIENCE, what, try_it, Location::caller())
}

/// As [`eventually`], for threads that may be held up.
#[track_caller]
pub fn eventually_blocking<T>(what: &str, try_it: impl FnMut() -> Option<T>) -> T {
    in_attempts(ATTEMPTS, what, try_it)
}

async fn within<T>(
    patience: Duration,
    what: &str,
    mut try_it: impl AsyncFnMut() -> Option<T>,
    caller: &Location<'_>,
) -> T {
    // An attempt that hangs is cut off, too.
    let found = tokio::time::timeout(patience, async {
        loop {
            if let Some(found) = try_it().await {
                return found;
            }
            tokio::time::sleep(PAUSE).await;
        }
    })
    .await;
    let seconds = patience.as_secs_f64();
    found.unwrap_or_else(|_| panic!("{what}: not within {seconds} s, as {caller} waits for it"))
}

#[track_caller]
fn in_attempts<T>(attempts: usize, what: &str, mut try_it: impl FnMut() -> Option<T>) -> T {
    for _ in 0..attempts {
        if let Some(found) = try_it() {
            return found;
        }
        std::thread::sleep(PAUSE);
    }
    panic!("{what}: not within {attempts} attempts");
}

#[tokio::test]
async fn what_comes_after_some_attempts_is_given() {
    let mut attempts = 0;
    let found = eventually("a third attempt", async || {
        attempts += 1;
        (attempts == 3).then_some("found")
    });
    assert_eq!(found.await, "found");
    let mut attempts = 0;
    let found = eventually_blocking("a third attempt", || {
        attempts += 1;
        (attempts == 3).then_some("found")
    });
    assert_eq!(found, "found");
}

#[tokio::test]
#[should_panic(expected = "a blue moon: not within 0.02 s")]
async fn what_does_not_come_is_named() {
    let (patience, caller) = (Duration::from_millis(20), Location::caller());
    within(patience, "a blue moon", async || None::<()>, caller).await;
}

#[tokio::test]
#[should_panic(expected = "an answer: not within 0.02 s")]
async fn an_attempt_that_hangs_is_cut_off() {
    let (patience, caller) = (Duration::from_millis(20), Location::caller());
    let hangs = async || std::future::pending::<Option<()>>().await;
    within(patience, "an answer", hangs, caller).await;
}

#[test]
#[should_panic(expected = "a blue moon: not within 3 attempts")]
fn what_does_not_come_to_a_thread_is_named() {
    in_attempts(3, "a blue moon", || None::<()>);
}
