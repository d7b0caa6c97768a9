//! Clients that try again, against faults.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::Emulator;
use crate::clients::python;
use crate::harness::process::run;
use crate::harness::programs::has;

fn script(interpreter: &Path, script: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(interpreter);
    command
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(script))
        .args(arguments)
        // A proxy of this machine's is not meant for the emulator.
        .env("NO_PROXY", "127.0.0.1")
        .env("no_proxy", "127.0.0.1");
    run(&mut command)
}

/// Answers that mean nothing was stored, and lost ones that do not say.
async fn fails(emulator: &Emulator, project: &str) {
    for fault in [
        json!({"project": project, "status": 503, "retry_after": 1}),
        json!({"project": project, "cut": "after", "times": 2}),
        json!({"project": project, "cut": "before"}),
        json!({"project": project, "status": 429, "retry_after": 1}),
    ] {
        emulator.asks("/faults", &fault).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_caller_of_the_python_sdk_tries_again_is_kept_once() {
    let emulator = Emulator::start();
    fails(&emulator, "sdk").await;
    let url = format!("http://{}", emulator.url);
    let (code, printed) = script(python(), "tests/clients/retries.py", &[&url, "sdk"]);
    assert_eq!(
        (code, printed.lines().last()),
        (Some(0), Some("tracked after 6 attempts")),
        "{printed}"
    );
    let counts = emulator.sees("/counts?project=sdk").await;
    assert_eq!(counts["projects"]["sdk"]["events"], 1);
    assert_eq!(counts["projects"]["sdk"]["duplicates"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_client_tries_again_after_faults_is_kept_once() {
    if !has(&["node"]) {
        return;
    }
    let emulator = Emulator::start();
    fails(&emulator, "node").await;
    let url = format!("http://{}", emulator.url);
    let arguments = [&*url, "node", "any", "key", "events"];
    let (code, printed) = script(Path::new("node"), "tests/clients/client.mjs", &arguments);
    assert_eq!(code, Some(0), "{printed}");
    for refused in ["refused: 0", "refused: 429", "refused: 503", "sent: 200"] {
        assert!(printed.contains(refused), "{printed}");
    }
    let counts = emulator.sees("/counts?project=node").await;
    assert_eq!(counts["projects"]["node"]["events"], 200);
    // Two batches of five were stored, and their answers lost.
    assert_eq!(counts["projects"]["node"]["duplicates"], 10);
}
