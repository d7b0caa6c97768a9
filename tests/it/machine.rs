//! What the machine lets the service have: it takes no more, and who holds all that callers may have takes it from
//! callers alone.

use std::fs;

use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::harness::Request;
use crate::harness::first_run::Project;
use crate::harness::keep_alive::Connection;
use crate::harness::process::{Process, limited, log, run};

/// Open files that the service may have, and more connections than that.
const FILES: u32 = 256;
const CONNECTIONS: usize = 300;

const SETTINGS: [(&str, &str); 2] = [
    ("FOOTFALL_SERVER_HEADER_TIMEOUT", "1h"),
    ("FOOTFALL_RATE_LIMIT_EXEMPT", "127.0.0.0/8"),
];

/// Events that fill the engines' memory, so that they write tables.
fn batch(first: usize) -> String {
    let text = "0123456789abcde".repeat(1_000);
    let event = |n: usize| {
        json!({"name": "customers/events", "data": {"customer_ids": {"registered": format!("c-{n}")},
            "event_type": "visit", "timestamp": 1_700_000_000, "properties": {"text": text}}})
    };
    let commands: Vec<_> = (first..first + 50).map(event).collect();
    json!({ "commands": commands }).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_machines_descriptors_are_not_accepted_and_writes_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start_limited(dir.path(), FILES, &SETTINGS);
    let project = Project::read(dir.path());
    let mut honest = Connection::open(process.address).await.unwrap();
    let path = format!("/track/v2/projects/{}/batch", project.token);
    let first = honest.post(&path, &project.private(), &batch(0)).await;
    assert_eq!(first.unwrap().status, 200);

    // Those that are not accepted wait in the kernel's queue, or for a place in it.
    let mut idle = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let address = process.address;
        idle.spawn(async move {
            let connection = TcpStream::connect(address).await;
            std::future::pending::<()>().await;
            drop(connection);
        });
    }
    for number in 1..40 {
        let batch = batch(50 * number);
        let answer = honest.post(&path, &project.private(), &batch).await;
        let answer = answer.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(!answer.body.contains("false"), "{}", answer.body);
    }
    // Operators have connections of their own.
    let metrics = Request::new(process.admin(), "GET", "/metrics")
        .send()
        .await;
    assert!(
        metrics.body.contains("footfall_log_ready 1"),
        "{}",
        metrics.body
    );

    drop(idle);
    project.visit(&process, "c-0").await;
    assert_eq!(project.visits(&process, "c-0").await, 2);
    let said = log(dir.path());
    assert!(
        said.contains("server.connections_max is 10000, but a limit of 256 open files"),
        "{said}"
    );
    assert!(!said.contains("cannot accept"), "{said}");
    assert!(process.terminate().success());
}

#[test]
fn settings_that_the_machine_has_no_room_for_are_said_before_a_start() {
    let dir = tempfile::tempdir().unwrap();
    let (code, said) = run(limited(dir.path(), FILES).arg("check-config"));
    assert_eq!(code, Some(0), "{said}");
    for setting in [
        "server.connections_max",
        "server.admin_connections_max",
        "data.open_files_max",
    ] {
        let expected = format!("footfall: {setting} is ");
        assert!(said.contains(&expected), "{said}");
    }
    assert!(said.contains("the settings are good"), "{said}");
    // What fits is not spoken of.
    fs::write(
        dir.path().join("footfall.toml"),
        "[server]\nconnections_max = 20\nadmin_connections_max = 4\n[data]\nopen_files_max = 16\n",
    )
    .unwrap();
    let mut command = limited(dir.path(), FILES);
    let (_, said) = run(command.args(["check-config", "--config", "footfall.toml"]));
    assert!(!said.contains("open files"), "{said}");
}

#[test]
fn a_machine_without_descriptors_for_anybody_is_said_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    for verb in ["serve", "check-config"] {
        let (code, said) = run(limited(dir.path(), 64).arg(verb));
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("a limit of 64 open files"), "{said}");
    }
    assert!(!dir.path().join("footfall-data").exists());
}
