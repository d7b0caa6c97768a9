//! The data folder over time: rebuilt, damaged, and on a disk without space.

use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::harness::first_run::Project;
use crate::harness::process::{Process, command, refuses, run};

/// Answers about some customers, to the letter.
async fn exports(process: &Process, project: &Project) -> Vec<String> {
    let mut exports = Vec::new();
    for customer in ["a", "b", "c"] {
        let question = format!(r#"{{"customer_ids":{{"cookie":"{customer}"}}}}"#);
        let answer = project.data(process.address, "export-one", &question);
        let answer = answer.send().await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        exports.push(answer.body);
    }
    exports
}

fn mode(dir: &Path) -> u32 {
    fs::metadata(dir).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_new_data_folder_is_its_owners_alone_and_one_that_is_there_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("footfall-data");
    Process::start(dir.path()).kill();
    assert_eq!(mode(&data), 0o700);
    // Also where no first run writes a project into it.
    fs::remove_dir_all(&data).unwrap();
    let projects =
        "[[project]]\ntoken = \"t\"\n[[project.key]]\npublic = \"p\"\npermissions = []\n";
    fs::write(dir.path().join("footfall.toml"), projects).unwrap();
    Process::start_with_projects(dir.path(), "footfall.toml").kill();
    assert_eq!(mode(&data), 0o700);
    fs::set_permissions(&data, fs::Permissions::from_mode(0o750)).unwrap();
    Process::start_with_projects(dir.path(), "footfall.toml").kill();
    assert_eq!(mode(&data), 0o750);
}

#[tokio::test]
async fn a_view_that_is_folded_anew_answers_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path());
    let project = Project::read(dir.path());
    let batch = r#"{"commands":[
        {"name":"customers","data":{"customer_ids":{"cookie":"a"},"properties":{"x":1,"y":null},"update_timestamp":1700000001}},
        {"name":"customers/events","data":{"customer_ids":{"cookie":"a"},"event_type":"visit","timestamp":1700000002,"properties":{"p":[1,2]}}},
        {"name":"customers/events","data":{"customer_ids":{"cookie":"a"},"event_type":"visit","timestamp":1700000002,"properties":{"p":[1,2]}}},
        {"name":"customers","data":{"customer_ids":{"cookie":"b","registered":"r"},"properties":{"x":2},"update_timestamp":1700000000}},
        {"name":"customers","data":{"customer_ids":{"cookie":"a","registered":"r"},"properties":{}}},
        {"name":"customers/events","data":{"customer_ids":{"cookie":"c"},"event_type":"visit"}}]}"#;
    let stored = project.track(process.address, "batch", batch).send().await;
    assert!(!stored.body.contains("false"), "{}", stored.body);
    let before = exports(&process, &project).await;
    assert_eq!(before[0], before[1], "a and b are one customer");
    assert!(process.terminate().success());

    let rebuilt = run(command(dir.path()).args(["view", "rebuild"]));
    let expected = "folded 6 records; 1 repeated events dropped, 1 customers merged\n";
    let (code, said) = rebuilt;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with(expected), "{said}");
    let process = Process::start(dir.path());
    assert_eq!(exports(&process, &project).await, before);
    assert!(process.terminate().success());

    fs::remove_dir_all(dir.path().join("footfall-data/view")).unwrap();
    let process = Process::start(dir.path());
    assert_eq!(exports(&process, &project).await, before);
    assert!(process.terminate().success());
}

#[tokio::test]
async fn a_log_that_lost_its_end_is_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path());
    Project::read(dir.path()).visit(&process, "a").await;
    assert!(process.terminate().success());
    let noted = dir.path().join("footfall-data/durable-position");
    assert_eq!(fs::read(&noted).unwrap()[..8], 1_u64.to_be_bytes());

    // As if four more records had been acknowledged.
    let position = 5_u64;
    let note = [position.to_be_bytes(), (!position).to_be_bytes()].concat();
    fs::write(&noted, note).unwrap();
    for arguments in [
        &["serve", "--listen", "127.0.0.1:0"][..],
        &["view", "rebuild"],
    ] {
        let said = refuses(dir.path(), arguments);
        let expected =
            "the log in footfall-data ends at position 1, but 5 was acknowledged: its end is lost";
        assert!(said.contains(expected), "{said}");
    }
}

#[tokio::test]
async fn a_log_that_is_gone_while_its_view_is_there_is_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path());
    let project = Project::read(dir.path());
    // The view writes when it has gathered some kilobytes, compressed: so many, and such as cannot be compressed.
    for n in 0..8 {
        let digits = (0..900).map(|digit| format!("{:016x}", RandomState::new().hash_one(digit)));
        let value: String = digits.collect();
        let update = format!(
            r#"{{"customer_ids":{{"registered":"{n}"}},"properties":{{"text":"{value}"}}}}"#
        );
        let stored = project.track(process.address, "customers", &update);
        assert_eq!(stored.send().await.status, 200);
        // So that the view is no mere promise.
        assert_eq!(project.visits(&process, &n.to_string()).await, 0);
    }
    assert!(process.terminate().success());
    for lost in ["log", "durable-position"] {
        let path = dir.path().join("footfall-data").join(lost);
        let removed = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
        removed.unwrap();
    }
    let said = refuses(dir.path(), &["serve", "--listen", "127.0.0.1:0"]);
    assert!(said.contains("the log has lost its end"), "{said}");
}

#[tokio::test]
async fn a_disk_with_less_space_than_is_kept_free_takes_no_writes_and_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path());
    let project = Project::read(dir.path());
    project.visit(&process, "a").await;
    assert!(process.terminate().success());

    const MOST: u64 = 1 << 40;
    let disk = rustix::fs::statvfs(dir.path()).unwrap();
    if disk.f_bavail * disk.f_frsize >= MOST {
        println!("skipped: there is more space here than can be asked for");
        return;
    }
    let settings = [("FOOTFALL_DATA_FREE_BYTES_MIN", "1024GiB")];
    let process = Process::start_with(dir.path(), &settings);
    let event = r#"{"customer_ids":{"registered":"a"},"event_type":"visit"}"#;
    let refused = project.track(process.address, "customers/events", event);
    let refused = refused.send().await;
    assert_eq!(
        (refused.status, refused.error()),
        (503, "the disk is full".to_owned())
    );
    process.is_not_ready().await;
    assert_eq!(project.visits(&process, "a").await, 1);
    assert!(process.terminate().success());
}

/// All files below a folder, and the folders.
fn all(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found = vec![dir.to_owned()];
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(all(&path)),
            false => found.push(path),
        }
    }
    found
}

#[tokio::test]
async fn every_file_is_its_owners_alone_in_a_folder_that_others_may_enter_too() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("footfall-data");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
    let process = Process::start(dir.path());
    Project::read(dir.path()).visit(&process, "a").await;
    let said = crate::harness::process::log(dir.path());
    assert!(
        said.contains("others than its owner may enter the data folder"),
        "{said}"
    );
    for path in all(&data).into_iter().filter(|path| *path != data) {
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode(&path), expected, "{}", path.display());
    }
    assert!(process.terminate().success());
}

#[tokio::test]
async fn a_lock_that_is_gone_under_a_running_service_ends_its_writes() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path());
    let project = Project::read(dir.path());
    project.visit(&process, "a").await;
    fs::remove_file(dir.path().join("footfall-data/log/lock")).unwrap();
    process.is_not_ready().await;
    let event = r#"{"customer_ids":{"registered":"a"},"event_type":"visit"}"#;
    let refused = project.track(process.address, "customers/events", event);
    assert_eq!(refused.send().await.status, 503);
    assert_eq!(project.visits(&process, "a").await, 1);
    let said = crate::harness::process::log(dir.path());
    assert!(said.contains("log/lock is gone"), "{said}");
    assert!(process.terminate().success());
}

fn settings(ids: &str) -> String {
    format!(
        "[[project]]\ntoken = \"t\"\n{ids}\n[[project.key]]\nid = \"i\"\nsecrets = [\"s\"]\n\
         permissions = [\"events:set\", \"events:get\"]\n"
    )
}

#[tokio::test]
async fn a_start_with_id_types_that_stored_records_were_not_written_with_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("footfall.toml");
    let serve = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--config",
        "footfall.toml",
    ];
    let start = || Process::start_with_projects(dir.path(), "footfall.toml");
    // As long as nothing is stored, nobody is bound.
    for ids in ["hard_ids = [\"cookie\"]\nsoft_ids = []", ""] {
        fs::write(&file, settings(ids)).unwrap();
        assert!(start().terminate().success());
    }
    let process = start();
    // i:s
    let event = crate::harness::Request::new(
        process.address,
        "POST",
        "/track/v2/projects/t/customers/events",
    );
    let event = event
        .header("Authorization", "Basic aTpz")
        .body(r#"{"customer_ids":{"cookie":"a"},"event_type":"visit"}"#);
    assert_eq!(event.send().await.status, 200);
    assert!(process.terminate().success());
    for (ids, expected) in [
        (
            "hard_ids = [\"cookie\"]\nsoft_ids = []",
            "\"cookie\" was soft and is hard",
        ),
        (
            "lowercase_ids = [\"cookie\"]",
            "\"cookie\" was not compared in lower case",
        ),
    ] {
        fs::write(&file, settings(ids)).unwrap();
        let said = refuses(dir.path(), &serve);
        let project = "project \"t\" has records that were written with other ID types";
        assert!(said.contains(project) && said.contains(expected), "{said}");
    }
    let more = "soft_ids = [\"device\", \"cookie\"]\nlowercase_ids = [\"device\"]";
    fs::write(&file, settings(more)).unwrap();
    assert!(start().terminate().success());
}
