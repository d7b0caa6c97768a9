//! Half a copy: no start takes it for a whole one.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use footfall::log::disk::{DiskStore, Options};
use footfall::log::record::{Command as Recorded, Record};
use footfall::log::{Position, Store as _};
use footfall::model::customer_id::CustomerIds;
use footfall::model::properties::Properties;
use footfall::model::time::Timestamp;

use super::{backup, data_in};
use crate::harness::eventually_blocking;
use crate::harness::first_run::Project;
use crate::harness::process::{Process, command, refuses, run};

/// So many records of 15 kB take a moment to copy, and several commits.
const RECORDS: u64 = 4_000;
/// The first segment.
const SEGMENT: &str = "log/00000000000000000001.seg";
/// How often to try to come in the middle.
const ATTEMPTS: usize = 20;

/// A stopped store of many records.
fn large(dir: &Path) {
    let process = Process::start(dir);
    assert!(process.terminate().success());
    let store = DiskStore::open(Options {
        dir: data_in(dir),
        free_bytes_min: 0,
        ..Options::default()
    });
    let store = store.unwrap();
    let text = format!(r#"{{"text":"{}"}}"#, "x".repeat(15_000));
    let record = Record {
        project: "p".to_owned(),
        received: Timestamp::from_micros(0).unwrap(),
        ids: CustomerIds::from_parsed(Vec::new()),
        command: Recorded::Update {
            properties: Properties::from_json(&text).unwrap(),
            time: Timestamp::from_micros(0).unwrap(),
        },
        conflicted: false,
        expired: false,
        clock_set: 0,
        customers: Vec::new(),
    };
    let records: Vec<Bytes> = (0..RECORDS / 4).map(|_| record.encode()).collect();
    for quarter in 0..4 {
        let first = Position::from_number(quarter * RECORDS / 4 + 1);
        store.commit(first, &records).unwrap();
    }
    store.close();
}

/// Whether something is behind the header of a copy's first segment, where zeros are until then.
fn has_records(copy: &Path) -> bool {
    let mut first = [0];
    let segment = fs::File::open(copy.join(SEGMENT));
    segment.is_ok_and(|segment| segment.read_at(&mut first, 4_096).is_ok() && first != [0])
}

/// Lets `interrupt` come when records are being copied, again and again until it comes before the end; gives the copy's
/// folder, and what the command said.
fn interrupted(dir: &Path, name: &str, mut interrupt: impl FnMut(&Child)) -> (PathBuf, String) {
    for attempt in 0..ATTEMPTS {
        let copy = data_in(&dir.join(format!("{name}-{attempt}")));
        fs::create_dir(copy.parent().unwrap()).unwrap();
        let mut child = command(dir)
            .arg("backup")
            .arg(&copy)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        eventually_blocking("records are copied", || {
            let ended = child.try_wait().unwrap();
            (has_records(&copy) || ended.is_some()).then_some(())
        });
        interrupt(&child);
        let output = child.wait_with_output().unwrap();
        if !output.status.success() {
            return (copy, String::from_utf8(output.stderr).unwrap());
        }
    }
    panic!("every backup was made before it could be interrupted");
}

fn send(signal: &str, child: &Child) {
    let pid = child.id().to_string();
    let sent = Command::new("kill").args(["-s", signal, &pid]).status();
    assert!(sent.unwrap().success());
}

fn is_refused(copy: &Path) {
    let dir = copy.parent().unwrap();
    for _ in 0..2 {
        let said = refuses(dir, &["serve", "--listen", "127.0.0.1:0"]);
        assert!(
            said.contains("the log in footfall-data ends at position"),
            "{said}"
        );
        let expected = format!("but {RECORDS} was acknowledged: its end is lost");
        assert!(said.contains(&expected), "{said}");
    }
}

#[test]
fn a_copy_whose_command_was_killed_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    large(dir.path());
    let (copy, _) = interrupted(dir.path(), "copy", |child| send("KILL", child));
    is_refused(&copy);
    // Nor does another backup take it for its own.
    let (code, said) = backup(dir.path(), &copy);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("is not empty"), "{said}");
    let (code, said) = backup(dir.path(), &dir.path().join("whole"));
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn a_command_that_is_told_to_end_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    large(dir.path());
    for signal in ["TERM", "INT"] {
        let (copy, said) = interrupted(dir.path(), signal, |child| send(signal, child));
        let expected = "stopped before the backup was finished; what was copied is removed";
        assert!(said.contains(expected), "{said}");
        assert!(!copy.exists());
    }
}

#[test]
fn a_copy_whose_service_was_killed_is_refused_and_the_command_says_so() {
    let dir = tempfile::tempdir().unwrap();
    large(dir.path());
    let mut process = Some(Process::start(dir.path()));
    let (copy, said) = interrupted(dir.path(), "copy", |_| {
        process.take().unwrap().kill();
        process = Some(Process::start(dir.path()));
    });
    let expected = format!(
        "was gone before the backup was finished: {} is no backup",
        copy.display()
    );
    assert!(said.contains(&expected), "{said}");
    is_refused(&copy);
}

#[test]
fn a_command_that_stops_waiting_says_that_the_service_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    large(dir.path());
    let process = Process::start(dir.path());
    let (copy, said) = interrupted(dir.path(), "copy", |child| send("INT", child));
    let expected = format!(
        "not waited for: the service goes on copying to {}",
        copy.display()
    );
    assert!(said.contains(&expected), "{said}");
    // One at a time: when there can be another, it is made.
    let next = dir.path().join("next");
    eventually_blocking("the next backup is made", || {
        let (code, _) = run(command(dir.path()).arg("backup").arg(&next));
        (code == Some(0)).then_some(())
    });
    assert!(process.terminate().success());
    let process = Process::start(copy.parent().unwrap());
    assert!(process.terminate().success());
}

#[tokio::test]
async fn a_copy_that_lost_the_end_of_its_last_segment_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path());
    Project::read(dir.path()).visit(&process, "a").await;
    assert!(process.terminate().success());
    let copy = dir.path().join("copy/footfall-data");
    fs::create_dir(dir.path().join("copy")).unwrap();
    assert_eq!(backup(dir.path(), &copy).0, Some(0));
    let segment = copy.join(SEGMENT);
    let bytes = fs::read(&segment).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    fs::write(&segment, &bytes[..end - 10]).unwrap();
    let said = refuses(
        &dir.path().join("copy"),
        &["serve", "--listen", "127.0.0.1:0"],
    );
    let expected = "ends at position 0, but 1 was acknowledged: its end is lost";
    assert!(said.contains(expected), "{said}");
}
