//! The console, in a browser.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::harness::process::{Process, log};
use crate::harness::programs::has;

use super::{REPOSITORY, environment, succeed};

/// As Debian installs it.
const CHROMIUM: &str = "/usr/bin/chromium-headless-shell";
/// No quota ends the flood, and some are there to be shown.
const SETTINGS: &str = r#"
[rate_limit]
requests = 6000000
[[project]]
token = "demo"
rate_limit = { requests = 6000000 }
[[project.key]]
public = "public-key"
permissions = ["customers:set", "events:set"]
[[project.key]]
id = "key-id"
secrets = ["key-secret"]
permissions = ["customers:set", "events:set", "customers:get", "events:get", "customers:erase"]
"#;

#[test]
fn the_console_shows_what_happens_and_loses_nothing_and_keys_suffice() {
    if !has(&[CHROMIUM, "npm"]) {
        return;
    }
    let python = environment("browser", "browser-requirements.txt");
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("footfall.toml"), SETTINGS).unwrap();
    let process = Process::start_with_projects(dir.path(), "footfall.toml");
    let mut script = Command::new(python);
    script
        .arg(Path::new(REPOSITORY).join("tests/console/console.py"))
        .arg(CHROMIUM)
        .arg(format!("http://{}", process.address))
        .arg(format!("http://{}", process.admin()))
        .args(["demo", "public-key", "key-id", "key-secret"])
        .args(["--flood", "5", "--rate", "2000"]);
    let output = succeed(&mut script);
    assert!(output.ends_with("the console is well\n"), "{output}");
    assert!(process.terminate().success(), "{}", log(dir.path()));
}
