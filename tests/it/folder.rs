//! The data folder over time: folded anew, damaged, and on a disk without space.

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
