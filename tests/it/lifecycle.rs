//! The binary as an operator meets it: first start, later starts, what keeps it from starting, and its end.

use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::harness::Request;
use crate::harness::first_run::Project;
use crate::harness::process::{Process, command, log, run};

/// Runs a printed command, as a person who pastes it.
fn paste(command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

fn has_curl() -> bool {
    Command::new("curl").arg("--version").output().is_ok()
}

/// Waits until readiness is off.
async fn is_not_ready(address: SocketAddr) {
    while Request::new(address, "GET", "/readyz").send().await.status == 200 {}
}

/// Stores an event of `customer`.
async fn visit(process: &Process, project: &Project, customer: &str) {
    let event = format!(r#"{{"customer_ids":{{"registered":"{customer}"}},"event_type":"visit"}}"#);
    let stored = project.track(process.address, "customers/events", &event);
    let stored = stored.send().await;
    assert_eq!(stored.status, 200, "{}", stored.body);
}

/// How many events `customer` has.
async fn visits(process: &Process, project: &Project, customer: &str) -> usize {
    let question =
        format!(r#"{{"customer_ids":{{"registered":"{customer}"}},"event_types":["visit"]}}"#);
    let read = project.data(process.address, "events", &question);
    let read = read.send().await.json();
    read["data"].as_array().map_or(0, Vec::len)
}

/// What the binary says when it cannot start.
fn refuses(dir: &Path, arguments: &[&str]) -> String {
    let mut command = command(dir);
    let command = command.args(arguments);
    let mut process = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut greeting = String::new();
    let mut stdout = BufReader::new(process.stdout.take().unwrap());
    stdout.read_line(&mut greeting).unwrap();
    if !greeting.is_empty() {
        process.kill().unwrap();
    }
    let output = process.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        (greeting.as_str(), output.status.code()),
        ("", Some(1)),
        "{said}"
    );
    said
}

#[test]
fn the_commands_of_the_first_start_store_an_event_and_read_it_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = Process::start(dir.path());
    process.read_until("-d '{\"customer_ids\"");
    let greeting = process
        .read_until("-d '{\"customer_ids\":{\"registered\":\"jane@example.com\"},\"event_types\"")
        .to_owned();
    let commands: Vec<_> = greeting.split("\n\n").skip(2).collect();
    let [store, read] = commands[..] else {
        panic!("two commands: {greeting}");
    };
    if !has_curl() {
        println!("skipped: the printed commands call curl, which is not here");
        return;
    }
    assert_eq!(paste(store), r#"{"success": true, "errors": []}"#);
    let answer: Value = serde_json::from_str(&paste(read)).unwrap();
    assert_eq!(answer["success"], true);
    assert_eq!(answer["data"][0]["type"], "page_visit");
    assert_eq!(answer["data"][0]["properties"]["path"], "/pricing");
    assert!(process.terminate().success());
}

#[tokio::test]
async fn a_second_start_keeps_the_project_and_does_not_show_its_keys() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path());
    let project = Project::read(dir.path());
    visit(&process, &project, "a").await;
    assert!(process.terminate().success());

    let mut process = Process::start(dir.path());
    assert_eq!(Project::read(dir.path()).token, project.token);
    assert_eq!(visits(&process, &project, "a").await, 1);
    process.signal("TERM");
    let said = process.rest();
    assert!(!said.contains(&project.public), "{said}");
    assert!(!said.contains(&project.secret), "{said}");
    assert!(said.contains("footfall-data/project.toml"), "{said}");
}

#[tokio::test]
async fn a_service_with_projects_of_its_own_says_where_it_serves_and_makes_none() {
    let dir = tempfile::tempdir().unwrap();
    let text = "[[project]]\ntoken = \"t\"\n[[project.key]]\npublic = \"p\"\npermissions = [\"events:set\"]\n";
    fs::write(dir.path().join("footfall.toml"), text).unwrap();
    let mut process = command(dir.path())
        .args([
            "serve",
            "--config",
            "footfall.toml",
            "--listen",
            "127.0.0.1:0",
        ])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
    let serving = lines.find(|line| line.as_ref().unwrap().contains("serving"));
    let serving = serving.unwrap().unwrap();
    let mut words = serving.split_whitespace();
    let address = words
        .find_map(|word| word.strip_prefix("address="))
        .unwrap();
    let time = Request::new(
        address.parse().unwrap(),
        "GET",
        "/track/v2/projects/t/system/time",
    );
    let time = time.header("Authorization", "Token p").send().await;
    process.kill().unwrap();
    process.wait().unwrap();
    assert_eq!(time.status, 200, "{}", time.body);
    assert!(!dir.path().join("footfall-data/project.toml").exists());
}

#[test]
fn keys_are_readable_by_their_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path());
    let path = dir.path().join("footfall-data/project.toml");
    let mode = fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    process.terminate();
}

#[test]
fn a_port_in_use_is_told_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = refuses(dir.path(), &["serve", "--listen", &address]);
    let expected = format!("cannot listen on {address}: the port is in use");
    assert!(said.contains(&expected), "{said}");
    assert!(said.contains("choose another port"), "{said}");
    assert!(!dir.path().join("footfall-data").exists());

    // So the start that succeeds is the first, and shows the keys.
    let mut process = Process::start(dir.path());
    process.read_until("curl");
    let public = Project::read(dir.path()).public;
    assert!(process.read_until("-H 'Authorization").contains(&public));
    process.terminate();
}

#[test]
fn a_folder_of_a_running_service_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path());
    let in_use = "the data folder footfall-data is in use by another process";
    for arguments in [
        &["serve", "--listen", "127.0.0.1:0"][..],
        &["view", "rebuild"],
    ] {
        let said = refuses(dir.path(), arguments);
        assert!(said.contains(in_use), "{said}");
    }
    assert!(process.terminate().success());
}

#[test]
fn a_folder_that_cannot_be_written_is_told() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    for arguments in [
        &["serve", "--listen", "127.0.0.1:0"][..],
        &["view", "rebuild"],
    ] {
        let arguments = [arguments, &["--data-dir", "file/data"]].concat();
        let said = refuses(dir.path(), &arguments);
        assert!(said.contains("file/data"), "{said}");
        assert!(said.contains("Not a directory"), "{said}");
    }
}

#[test]
fn every_mistake_in_the_settings_is_told_at_once_with_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let text = "[server]\nlisten = \"nowhere\"\n[rate_limit]\nrequest = 5\nperiod = \"soon\"\n[[project]]\ntoken = \"t\"\n";
    fs::write(dir.path().join("footfall.toml"), text).unwrap();
    for verb in ["serve", "check-config"] {
        let mut command = command(dir.path());
        command.env("FOOTFALL_DATA_QUEUE_RECORDS_MAX", "none");
        let (code, said) = run(command.args([verb, "--config", "footfall.toml"]));
        assert_eq!(code, Some(1), "{said}");
        for place in [
            "server.listen (line 2)",
            "rate_limit.request (line 4)",
            "rate_limit.period (line 5)",
            "FOOTFALL_DATA_QUEUE_RECORDS_MAX",
        ] {
            assert!(said.contains(place), "{place}: {said}");
        }
        assert!(said.contains("did you mean \"requests\"?"), "{said}");
        assert!(
            !dir.path().join("footfall-data").exists(),
            "nothing is touched"
        );
    }
}

#[test]
fn good_settings_are_said_to_be_good() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join("footfall.toml"),
        "[rate_limit]\nrequests = 5\n",
    )
    .unwrap();
    let (code, said) = run(command(dir.path()).args(["check-config", "--config", "footfall.toml"]));
    assert_eq!((code, said.as_str()), (Some(0), "the settings are good\n"));
    let said = refuses(dir.path(), &["check-config", "--config", "missing.toml"]);
    assert!(
        said.contains("--config: \"missing.toml\" cannot be read"),
        "{said}"
    );
}

#[test]
fn the_version_is_the_package_s() {
    let dir = tempfile::tempdir().unwrap();
    let said = run(command(dir.path()).arg("--version"));
    let version = format!("footfall {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(said, (Some(0), version));
}

#[tokio::test]
async fn a_second_signal_cuts_the_stop_short() {
    let dir = tempfile::tempdir().unwrap();
    let settings = [("FOOTFALL_SERVER_DRAIN_WAIT", "1h")];
    let process = Process::start_with(dir.path(), &settings);
    let project = Project::read(dir.path());
    process.signal("INT");
    is_not_ready(process.address).await;
    // It serves as long as it waits.
    visit(&process, &project, "a").await;
    assert_eq!(process.terminate().code(), Some(0), "{}", log(dir.path()));

    let process = Process::start(dir.path());
    assert_eq!(visits(&process, &project, "a").await, 1);
    process.terminate();
}

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
    visit(&process, &Project::read(dir.path()), "a").await;
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
        assert_eq!(visits(&process, &project, &n.to_string()).await, 0);
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
    visit(&process, &project, "a").await;
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
    is_not_ready(process.address).await;
    assert_eq!(visits(&process, &project, "a").await, 1);
    assert!(process.terminate().success());
}
