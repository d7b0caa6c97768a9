//! The power is cut while many write: what was acknowledged before is there, once, and nothing that was never sent.
//!
//! That needs root, loop devices, and the programs that make XFS and ext4; without them these scenarios are skipped,
//! and say so. Whatever rewrites or removes records that lie in the log belongs here too.

mod disk;
mod flood;
mod forged;
mod leavers;
mod moment;
mod retention;
mod story;
mod unsynced;

use std::fs;
use std::io::Write as _;
use std::process::Stdio;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

use crate::crash::commands::{PER_CUSTOMER, State};
use crate::crash::scene::Scene;
use crate::crash::writer::Writer;
use crate::harness::dice::{Dice, number_from_environment};
use crate::harness::eventually;
use crate::harness::process::{Process, command};
use disk::Place;
use moment::Moment;
use story::{During, Met, Story};

/// Nobody stops by itself: the power is cut before.
const WRITING: Duration = Duration::from_secs(3_600);
/// What a command of a large batch carries: what lies beside its key, and what lies apart.
const TEXT_BYTES_MAX: [u64; 2] = [800, 16_000];
/// So many cuts follow each other on what the one before has left; then a new disk begins.
const CUTS_OF_A_DISK: u64 = 8;
/// How many cuts each long form makes, unless `POWER_CUTS` says otherwise.
const POWER_CUTS: u64 = 100;
/// ext4 writes nothing by itself.
const NEVER: u64 = 3_600;

/// One scenario at a time: each of them takes the whole machine.
static TURN: LazyLock<Mutex<()>> = LazyLock::new(Mutex::default);

/// A place for disks, or a word why there is none.
async fn place() -> Option<(Rc<Place>, MutexGuard<'static, ()>)> {
    let turn = TURN.lock().await;
    match Place::new() {
        Ok(place) => Some((place, turn)),
        Err(why) => skipped(&why),
    }
}

/// Says so even where nobody sees what passing tests print.
fn skipped<T>(why: &str) -> Option<T> {
    let _ = writeln!(std::io::stderr(), "power cuts are skipped: {why}");
    None
}

/// How many commands of each writer are acknowledged.
fn written(counters: &[Arc<AtomicU64>]) -> Vec<u64> {
    let load = |counter: &Arc<AtomicU64>| counter.load(Ordering::Acquire);
    counters.iter().map(load).collect()
}

#[tokio::test]
async fn a_cut_leaves_what_was_synced_and_nothing_else() {
    let Some((place, _turn)) = place().await else {
        return;
    };
    let disk = place.disk(NEVER);
    fs::write(disk.dir().join("synced"), "old").unwrap();
    let file = fs::File::open(disk.dir().join("synced")).unwrap();
    file.sync_all().unwrap();
    fs::File::open(disk.dir()).unwrap().sync_all().unwrap();
    fs::write(disk.dir().join("synced"), "new").unwrap();
    fs::write(disk.dir().join("unsynced"), "new").unwrap();
    let left = disk.cut().mount(NEVER);
    let synced = fs::read_to_string(left.dir().join("synced")).unwrap();
    assert_ne!(synced, "new");
    assert!(!left.dir().join("unsynced").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_before_a_power_cut_is_there_once_and_who_left_is_gone() {
    let Some((place, _turn)) = place().await else {
        return;
    };
    let mut dice = Dice::new();
    let mut story = Story::begin(&place, &mut dice, TEXT_BYTES_MAX[1]);
    for during in [
        During::Writing,
        During::Changes,
        During::Fold,
        During::Erasure,
    ] {
        story = story.cut(during).await;
    }
    println!("{:?}", story.end().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_during_the_first_start_keeps_none_from_starting() {
    let Some((place, _turn)) = place().await else {
        return;
    };
    let mut dice = Dice::new();
    let disk = place.disk(NEVER);
    let mut starting = command(disk.dir())
        .args(["serve", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut cuts = Vec::new();
    for _ in 0..4 {
        Moment::within(20, &mut dice).comes(disk.dir()).await;
        cuts.push(disk.cut());
    }
    starting.kill().unwrap();
    starting.wait().unwrap();
    for cut in cuts {
        let left = cut.mount(NEVER);
        let process = Process::start(left.dir());
        assert!(process.terminate().success());
    }
}

/// Otherwise the scenarios above would prove nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_does_not_sync_loses_what_it_answered() {
    let Some((place, _turn)) = place().await else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let unsynced = match unsynced::library(dir.path()) {
        Ok(unsynced) => unsynced,
        Err(why) => return skipped(&why).unwrap_or_default(),
    };
    let disk = place.disk(NEVER);
    // So that there is a project.
    let Scene {
        process, writers, ..
    } = Scene::new(disk.dir(), &[]);
    assert!(process.terminate().success());
    let mut scene = Scene::of(writers, disk.dir(), &[(unsynced.0, &unsynced.1)]);
    let counters: Vec<_> = scene.writers.iter().map(Writer::counter).collect();
    let writing = scene.write(Instant::now() + WRITING);
    eventually("each writer has an answer", async || {
        (!written(&counters).contains(&0)).then_some(())
    })
    .await;
    let before = written(&counters);
    let cut = disk.cut();
    scene.process.kill();
    let writers = writing.join_all().await;
    drop(disk);

    let disk = cut.mount(NEVER);
    let scene = Scene::of(writers, disk.dir(), &[]);
    let (target, mut lost) = (scene.target(), 0);
    for (writer, before) in scene.writers.iter().zip(&before) {
        let stored = writer.stored(before / PER_CUSTOMER, &target).await;
        let expected = State::after(before % PER_CUSTOMER);
        let is_lost = |n: &&u64| !stored.events.contains(n);
        lost += expected.events.iter().filter(is_lost).count();
    }
    let all: u64 = before.iter().sum();
    println!("{lost} events of {all} acknowledged commands are lost");
    assert!(lost > 0, "none of {all}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: POWER_CUTS says how many cuts"]
async fn no_power_cut_of_many_loses_what_was_acknowledged() {
    let cuts = number_from_environment("POWER_CUTS").unwrap_or(POWER_CUTS);
    let mut dice = Dice::new();
    let mut all = Met::default();
    while all.cuts < cuts {
        // An image keeps the room that it once took.
        let Some((place, _turn)) = place().await else {
            return;
        };
        let text_bytes_max = TEXT_BYTES_MAX[usize::from(!dice.one_in(4))];
        let mut story = Story::begin(&place, &mut dice, text_bytes_max);
        for _ in 0..CUTS_OF_A_DISK {
            let during = story.any();
            story = story.cut(during).await;
        }
        all = all.and(story.end().await);
        println!("{all:?}");
    }
    assert!(
        all.fold > 0 && all.changes > 0 && all.erasure > 0,
        "{all:?}"
    );
}
