//! What operators do with a stopped store: look for damage, and look at records.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use bytes::Bytes;
use footfall::log::disk::{DiskStore, Options};
use footfall::log::{Position, Store as _};
use serde_json::{Value, json};

use crate::harness::WRITTEN;
use crate::harness::first_run::Project;
use crate::harness::process::{Process, command, run};

const BATCH: &str = r#"{"commands":[
    {"name":"customers","data":{"customer_ids":{"cookie":"a"},"properties":{"x":1,"y":null},"update_timestamp":1700000001}},
    {"name":"customers/events","data":{"customer_ids":{"cookie":"a"},"event_type":"visit","timestamp":1700000002.5,"properties":{"p":[1,2.0]}}},
    {"name":"customers","data":{"customer_ids":{"cookie":"b","registered":"r"},"properties":{"x":2}}},
    {"name":"customers","data":{"customer_ids":{"cookie":"a","registered":"r"},"properties":{}}},
    {"name":"customers","data":{"customer_ids":{"cookie":"z"},"properties":{"x":2}}}]}"#;

/// A stopped store of six records: those of the batch, and an anonymisation.
async fn stopped(dir: &Path) -> Project {
    let process = Process::start(dir);
    let project = Project::read(dir);
    let stored = project.track(process.address, "batch", BATCH).send().await;
    assert!(!stored.body.contains("false"), "{}", stored.body);
    let customer = r#"{"customer_ids":{"cookie":"z"}}"#;
    let gone = project.data(process.address, "anonymize", customer);
    assert_eq!(gone.send().await.status, 200);
    assert!(process.terminate().success());
    project
}

fn verify(dir: &Path) -> (Option<i32>, String) {
    run(command(dir).args(["log", "verify"]))
}

fn dump(dir: &Path, arguments: &[&str]) -> Vec<Value> {
    let (code, said) = run(command(dir).args(["log", "dump"]).args(arguments));
    assert_eq!(code, Some(0), "{said}");
    let lines = said.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn open(dir: &Path) -> DiskStore {
    DiskStore::open(Options {
        dir: dir.join("footfall-data"),
        free_bytes_min: 0,
        ..Options::default()
    })
    .unwrap()
}

/// All files below a folder, with their sizes.
fn files(dir: &Path) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => {
                    let size = entry.metadata().unwrap().len();
                    found.push((entry.path().display().to_string(), size));
                }
            }
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn a_good_store_is_said_to_be_good_with_its_counts() {
    let dir = tempfile::tempdir().unwrap();
    stopped(dir.path()).await;
    let (code, said) = verify(dir.path());
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("log: 6 records of "), "{said}");
    assert!(said.contains(" bytes, positions 1 to 6\n"), "{said}");
    assert!(
        said.contains("are as the log says up to position "),
        "{said}"
    );
    assert!(said.contains("no damage\n"), "{said}");

    fs::remove_dir_all(dir.path().join("footfall-data/view")).unwrap();
    let (code, said) = verify(dir.path());
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("view: there is none"), "{said}");
    assert!(!dir.path().join("footfall-data/view").exists());
}

#[tokio::test]
async fn damage_is_told_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    stopped(dir.path()).await;
    let store = open(dir.path());
    let mut flipped = store.read(Position::from_number(3)).unwrap().to_vec();
    *flipped.last_mut().unwrap() ^= 1;
    // 7 has a flipped bit, 8 is no record at all, and what lies on the disk of 9 is not what was written.
    let records = [flipped.into(), Bytes::from_static(b"\x01")];
    store.commit(Position::from_number(7), &records).unwrap();
    let marked = Bytes::from_static(b"a mark of its own");
    store
        .commit(Position::from_number(9), std::slice::from_ref(&marked))
        .unwrap();
    store.close();
    drop(store);
    let segment = dir
        .path()
        .join("footfall-data/log/00000000000000000001.seg");
    let written = fs::read(&segment).unwrap();
    let noted = dir.path().join("footfall-data/durable-position");
    let note = |position: u64| {
        let note = [position.to_be_bytes(), (!position).to_be_bytes()].concat();
        fs::write(&noted, note).unwrap();
    };
    let mut bytes = written.clone();
    let mut windows = bytes.windows(marked.len());
    let at = windows.position(|window| *window == marked).unwrap();
    bytes[at] ^= 1;
    fs::write(&segment, &bytes).unwrap();
    let (code, said) = verify(dir.path());
    assert_eq!(code, Some(1), "{said}");
    let expected = "ends at position 8, but 9 was acknowledged: its end is lost";
    assert!(said.contains(expected), "{said}");
    fs::write(&segment, &written).unwrap();

    note(12);
    let (code, said) = verify(dir.path());
    assert_eq!(code, Some(1), "{said}");
    for place in [
        "damage: the log is damaged at position 7: the checksum differs\n",
        "damage: the log is damaged at position 8: a record of 1 bytes\n",
        "damage: the log is damaged at position 9: ",
        "ends at position 9, but 12 was acknowledged: its end is lost\n",
        "log: 6 records of ",
        "positions 1 to 9\n",
        "view: not compared to its end, for the log cannot be folded\n",
        "damaged in 4 places\n",
    ] {
        assert!(said.contains(place), "{place}: {said}");
    }
    assert_eq!(dump(dir.path(), &["--limit", "6"]).len(), 6);
    let (code, said) = run(command(dir.path()).args(["log", "dump", "--from", "7"]));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("damaged at position 7"), "{said}");
}

#[tokio::test]
async fn a_view_that_does_not_say_what_the_log_says_is_told() {
    let dir = tempfile::tempdir().unwrap();
    stopped(dir.path()).await;
    let view = fjall::Database::builder(dir.path().join("footfall-data/view"));
    let view = view.open().unwrap();
    let rows = view.keyspace("view", Default::default).unwrap();
    // A key begins with its table: properties, projects, and meta.
    rows.insert([&[3][..], &[7; 9]].concat(), "no property")
        .unwrap();
    let known = rows.prefix([0]).next().unwrap().key().unwrap();
    rows.insert(known, [0, 0, 0, 9]).unwrap();
    rows.remove(b"\x0dnext-project").unwrap();
    view.persist(fjall::PersistMode::SyncAll).unwrap();
    drop((rows, view));

    let (code, said) = verify(dir.path());
    assert_eq!(code, Some(1), "{said}");
    for place in [
        r"damage: the view's table properties: the key \x07\x07\x07\x07\x07\x07\x07\x07\x07 is not of the log",
        "damage: the view's table projects: the key ",
        " has another value than the log says\n",
        "damage: the view's table meta: the key next-project is missing\n",
        "damaged in 3 places\n",
    ] {
        assert!(said.contains(place), "{place}: {said}");
    }
    // It is a function of the log.
    let (code, said) = run(command(dir.path()).args(["view", "rebuild"]));
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(verify(dir.path()).0, Some(0));
}

#[tokio::test]
async fn records_are_shown_as_lines_of_json() {
    let dir = tempfile::tempdir().unwrap();
    let project = stopped(dir.path()).await;
    let mut lines = dump(dir.path(), &[]);
    assert_eq!(lines.len(), 6);
    for line in &mut lines {
        assert_eq!(line["project"], project.token);
        assert!(line["received"].as_f64().unwrap() > 1.7e9);
    }
    let received = lines[1]["received"].take();
    assert_eq!(
        lines[1],
        json!({"position": 2, "project": project.token, "received": null, "command": "event", "type": "visit",
            "time": 1_700_000_002.5, "properties": {"p": [1, 2.0]},
            "ids": [{"type": "cookie", "value": "a", "soft": true}]})
    );
    assert!(received.is_number());
    assert_eq!(lines[0]["properties"], json!({"x": 1, "y": null}));
    assert_eq!(lines[5]["command"], "anonymize");
    let positions = |arguments: &[&str]| -> Vec<u64> {
        let lines = dump(dir.path(), arguments).into_iter();
        lines
            .map(|line| line["position"].as_u64().unwrap())
            .collect()
    };
    assert_eq!(positions(&["--from", "5"]), [5, 6]);
    assert_eq!(positions(&["--from", "2", "--limit", "2"]), [2, 3]);
    assert_eq!(positions(&["--from", "7"]), [0; 0]);
    assert_eq!(positions(&["--limit", "0"]), [0; 0]);
    assert_eq!(positions(&["--data-dir", "footfall-data"]).len(), 6);
}

#[tokio::test]
async fn an_output_that_is_closed_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path());
    let project = Project::read(dir.path());
    let text = "x".repeat(15_000);
    for n in 0..20 {
        // More than a pipe holds.
        let update = json!({"customer_ids": {"cookie": "a"}, "properties": {format!("{n}"): text}});
        let stored = project.track(process.address, "customers", &update.to_string());
        assert_eq!(stored.send().await.body, WRITTEN);
    }
    assert!(process.terminate().success());
    let mut dumping = command(dir.path())
        .args(["log", "dump"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut start = [0; 12];
    let mut stdout = dumping.stdout.take().unwrap();
    stdout.read_exact(&mut start).unwrap();
    drop(stdout);
    let output = dumping.wait_with_output().unwrap();
    assert_eq!(&start, b"{\"position\":");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stderr, b"");
}

#[test]
fn where_no_store_is_none_is_made() {
    let dir = tempfile::tempdir().unwrap();
    for (arguments, data) in [
        (["log", "verify"], "footfall-data"),
        (["log", "dump"], "footfall-data"),
        (["log", "verify"], "empty"),
        (["log", "dump"], "empty"),
    ] {
        if data == "empty" {
            fs::create_dir_all(dir.path().join(data)).unwrap();
        }
        let (code, said) = run(command(dir.path())
            .args(arguments)
            .args(["--data-dir", data]));
        let expected = format!("footfall: there is no store in {data}\n");
        assert_eq!((code, said), (Some(1), expected));
    }
    assert!(!dir.path().join("footfall-data").exists());
    assert_eq!(files(dir.path()), []);
}

#[test]
fn a_store_in_use_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path());
    for arguments in [["log", "verify"], ["log", "dump"]] {
        let (code, said) = run(command(dir.path()).args(arguments));
        assert_eq!(code, Some(1));
        let expected = "the data folder footfall-data is in use by another process";
        assert!(said.contains(expected), "{said}");
    }
    assert!(process.terminate().success());
}

#[test]
fn a_store_that_is_only_looked_at_takes_no_records() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path());
    assert!(process.terminate().success());
    let store = DiskStore::open_to_read(Options {
        dir: dir.path().join("footfall-data"),
        free_bytes_min: 0,
        ..Options::default()
    });
    let store = Arc::new(store.unwrap());
    let records = [Bytes::from_static(b"x")];
    assert!(store.commit(Position::from_number(1), &records).is_err());
    assert_eq!(store.last(), Position::START);
}
