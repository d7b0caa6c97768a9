//! The binary as an operator meets it: first start, later starts, what keeps it from starting, and its end.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::harness::Request;
use crate::harness::first_run::Project;
use crate::harness::process::{Process, command, log, refuses, run};

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
    project.visit(&process, "a").await;
    assert!(process.terminate().success());

    let mut process = Process::start(dir.path());
    assert_eq!(Project::read(dir.path()).token, project.token);
    assert_eq!(project.visits(&process, "a").await, 1);
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
    process.is_not_ready().await;
    // It serves as long as it waits.
    project.visit(&process, "a").await;
    assert_eq!(process.terminate().code(), Some(0), "{}", log(dir.path()));

    let process = Process::start(dir.path());
    assert_eq!(project.visits(&process, "a").await, 1);
    process.terminate();
}
