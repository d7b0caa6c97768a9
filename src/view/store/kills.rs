//! Kills a process that makes one checkpoint after the other.

use std::hash::{BuildHasher as _, RandomState};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use super::super::tests::scratch;
use super::*;

/// How many there are.
const KILLS: u64 = 20;
const KILLS_OF_THE_LONG_FORM: u64 = 1_000;
/// Most checkpoints before a kill, and most delays after the last of them.
const CHECKPOINTS_MAX: u64 = 12;
const MOMENTS_MAX: u64 = 400;
/// Keys that are overwritten again and again.
const KEYS: u64 = 64;
/// Writes of a checkpoint.
const WRITES: u64 = 5;
/// Names the folder for the process that is killed.
const FOLDER: &str = "FOOTFALL_TEST_CHECKPOINTS";

fn options() -> Options {
    Options {
        checkpoint_bytes: 1 << 10,
        ..Options::default()
    }
}

/// The store as it was left: nothing may have to be rebuilt.
fn left(dir: &Path) -> Store {
    assert_eq!(base::damage(dir).unwrap(), None);
    Store::open_whole(dir, &options()).unwrap().unwrap()
}

fn value(store: &Store, key: u64) -> u64 {
    let value = store.get(Table::Records, &key.to_be_bytes()).unwrap();
    value.map_or(0, |value| keys::read_number(&value).unwrap())
}

/// Checks the store; gives the position up to which it was written.
fn check(dir: &Path, reported: u64) -> u64 {
    let store = left(dir);
    let front = store.front().unwrap().get();
    assert!(front >= reported, "{front} is behind {reported}");
    assert_eq!(front % WRITES, 0, "a checkpoint is all or nothing");
    for key in 0..KEYS {
        let last = (0..=front).rev().find(|number| number % KEYS == key);
        assert_eq!(
            value(&store, key),
            last.unwrap_or_default(),
            "{key}, {front}"
        );
    }
    front
}

#[test]
#[ignore = "the process that the others kill"]
#[expect(
    clippy::disallowed_methods,
    reason = "the process that kills it says where to write"
)]
fn checkpoints_without_end() {
    let Ok(dir) = std::env::var(FOLDER) else {
        return;
    };
    let store = left(Path::new(&dir));
    for number in store.front().unwrap().get() + 1.. {
        let bytes = Slice::from(super::number(number));
        let key = (number % KEYS).to_be_bytes();
        let row = (Table::Records, Slice::from(key), Some(bytes.clone()));
        let applied = (Table::Meta, keys::APPLIED.into(), Some(bytes));
        store.write_all([row, applied]).unwrap();
        if number % WRITES == 0 {
            store.checkpoint().unwrap();
            store.wait_for_checkpoints(|| false);
            println!("checkpoint {number}");
        }
    }
}

fn kill_again_and_again(kills: u64) {
    let dir = scratch();
    let view = dir.path().join("view");
    drop(Store::open(&view, &options()).unwrap());
    let random = RandomState::new();
    let mut front = 0;
    for kill in 0..kills {
        let mut process = Command::new(std::env::current_exe().unwrap());
        process.args(["--exact", "--ignored", "--nocapture"]);
        process.arg("view::store::kills::checkpoints_without_end");
        process.env(FOLDER, &view).stdout(Stdio::piped());
        let mut process = process.spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut reported =
            lines.filter_map(|line| line.unwrap().rsplit_once("checkpoint ")?.1.parse().ok());
        let checkpoints = 1 + random.hash_one((kill, 0)) % CHECKPOINTS_MAX;
        let last: u64 = reported.nth(usize::try_from(checkpoints).unwrap()).unwrap();
        (0..random.hash_one((kill, 1)) % MOMENTS_MAX).for_each(|_| thread::yield_now());
        process.kill().unwrap();
        process.wait().unwrap();
        let now = check(&view, last);
        assert!(now > front, "it goes on");
        front = now;
    }
}

#[test]
fn a_process_that_is_killed_inside_a_checkpoint_leaves_the_one_before_or_this_one() {
    kill_again_and_again(KILLS);
}

#[test]
#[ignore = "takes a minute"]
fn a_process_that_is_killed_inside_a_thousand_checkpoints_leaves_each_time_a_whole_one() {
    kill_again_and_again(KILLS_OF_THE_LONG_FORM);
}
