//! How the emulator starts, runs a command, and ends.

use std::fs;

use serde_json::json;

use super::{Emulator, dev};
use crate::harness::eventually_blocking;
use crate::harness::process::{log, run};

#[tokio::test(flavor = "multi_thread")]
async fn it_says_where_it_is_and_keeps_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ready");
    let emulator = Emulator::start_with(dir, &["--ready-file", file.to_str().unwrap()]);
    assert_eq!(emulator.ready["pid"], emulator.child.id());
    let ready = eventually_blocking("the file is there", || fs::read_to_string(&file).ok());
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&ready).unwrap(),
        emulator.ready
    );
    assert_eq!(emulator.tracks("a", "visit", 1).await.status, 200);
    let mut files: Vec<_> = fs::read_dir(emulator.dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    files.sort();
    assert_eq!(files, ["ready", "stderr"]);
    let said = log(emulator.dir.path());
    assert_eq!(said.matches("nothing is kept").count(), 1, "{said}");
    let (status, printed) = emulator.terminate();
    assert!(status.success());
    assert_eq!(printed, "");
}

#[test]
fn it_ends_with_its_commands_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let script = "echo \"$FOOTFALL_URL $FOOTFALL_ADMIN\"; exit 7";
    let (code, printed) = run(&mut dev(dir.path(), &["--", "sh", "-c", script]));
    assert_eq!(code, Some(7));
    let mut lines = printed.lines();
    let ready: serde_json::Value = serde_json::from_str(lines.next().unwrap()).unwrap();
    let [url, admin] = ["url", "admin"].map(|name| ready[name].as_str().unwrap());
    assert_eq!(lines.next().unwrap(), format!("{url} {admin}"));
    let (code, _) = run(&mut dev(dir.path(), &["--", "sh", "-c", "kill -9 $$"]));
    assert_eq!(code, Some(137));
    let (code, printed) = run(&mut dev(dir.path(), &["--", "./nobody"]));
    assert_eq!(code, Some(1));
    assert!(
        printed.contains("footfall: cannot run './nobody'"),
        "{printed}"
    );
}

#[test]
fn a_signal_is_passed_on_to_its_command() {
    let script = "trap 'exit 9' TERM; touch waits; while :; do read -r x < pipe; done";
    let dir = tempfile::tempdir().unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(dir.path().join("pipe"))
        .status();
    assert!(made.unwrap().success());
    let mut emulator = Emulator::start_with(dir, &["--", "sh", "-c", script]);
    let waits = emulator.dir.path().join("waits");
    eventually_blocking("the command waits", || waits.exists().then_some(()));
    emulator.signal("TERM");
    assert_eq!(emulator.child.wait().unwrap().code(), Some(9));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let (code, printed) = run(&mut dev(dir.path(), &["--seed", "none"]));
    assert_eq!(code, Some(1));
    assert!(
        printed.starts_with("footfall: the seed none: No such file"),
        "{printed}"
    );
    let wrong = json!({"project": "a", "name": "customers", "data": {"customer_ids": {}}});
    fs::write(dir.path().join("seed"), wrong.to_string()).unwrap();
    let (code, printed) = run(&mut dev(dir.path(), &["--seed", "seed"]));
    assert_eq!(code, Some(1));
    assert!(
        printed
            .ends_with("footfall: the seed seed: line 1: At least one id should be specified.\n"),
        "{printed}"
    );
    let (code, printed) = run(&mut dev(dir.path(), &["--admin-listen", "x"]));
    assert_eq!(code, Some(2));
    assert!(
        printed.contains("expected an address and a port"),
        "{printed}"
    );
    let emulator = Emulator::start();
    let taken = emulator.admin.to_string();
    let (code, printed) = run(&mut dev(dir.path(), &["--admin-listen", &taken]));
    assert_eq!(code, Some(1));
    assert!(printed.contains("the port is in use"), "{printed}");
}
