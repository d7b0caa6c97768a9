//! Killed again and again, while it serves and while it starts.

use super::scene::SETTINGS;
use super::*;
use crate::harness::dice::number_from_environment;
use crate::harness::process::Process;

/// How long the soak writes, unless `SOAK_SECONDS` says otherwise.
const SOAK_SECONDS: u64 = 180;

/// Writes for a time, in which the service is killed at moments that are drawn from a range of milliseconds.
async fn kills(writing: Duration, moments: std::ops::Range<u64>) {
    let dir = tempfile::tempdir().unwrap();
    let mut dice = Dice::new();
    let mut scene = Scene::new(dir.path(), &[]);
    let (mut left, mut kills) = (writing, 0);
    while left > Duration::ZERO {
        let moment = dice.between(moments.clone()).min(left);
        left -= moment;
        let begin = Instant::now();
        // Anyone who writes stops at the kill.
        let writing = scene.write(begin + 2 * writing);
        // The moment is drawn, nothing is waited for.
        tokio::time::sleep_until(begin + moment).await;
        scene.process.kill();
        scene.writers = writing.join_all().await;
        kills += 1;
        // A start has work to do after a kill, and is killed in the midst of it.
        while dice.one_in(3) {
            let moment = dice.between(0..500);
            Process::start_and_kill(dir.path(), &SETTINGS, moment).await;
            kills += 1;
        }
        scene.process = Process::start_with(dir.path(), &SETTINGS);
        // What got no answer may be there or not: all of a request, or nothing.
        let either =
            |writer: &Writer| vec![writer.acknowledged(), writer.acknowledged() + writer.open];
        scene.holds(either).await;
    }
    println!("{kills} kills");
    scene
        .goes_on(Instant::now() + Duration::from_secs(2), &[])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_once_however_often_the_service_is_killed() {
    kills(Duration::from_secs(8), 1_000..3_000).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: SOAK_SECONDS says how long it writes"]
async fn a_service_that_is_killed_for_minutes_loses_and_invents_nothing() {
    let seconds = number_from_environment("SOAK_SECONDS").unwrap_or(SOAK_SECONDS);
    kills(Duration::from_secs(seconds), 500..15_000).await;
}
