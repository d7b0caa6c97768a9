//! A page of another origin, in a browser.

use std::path::Path;
use std::process::Command;

use crate::harness::first_run::Project;
use crate::harness::process::{Process, log};
use crate::harness::programs::has;

use super::{REPOSITORY, environment, succeed};

/// As Debian installs it.
const CHROMIUM: &str = "/usr/bin/chromium-headless-shell";

#[test]
fn what_a_page_of_another_origin_sends_is_kept_and_what_it_watches_goes_on_after_a_cut() {
    if !has(&[CHROMIUM]) {
        return;
    }
    let python = environment("browser", "browser-requirements.txt");
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path());
    let project = Project::read(dir.path());
    let mut script = Command::new(python);
    script
        .arg(Path::new(REPOSITORY).join("tests/clients/browser.py"))
        .arg(CHROMIUM)
        .arg(format!("http://{}", process.address))
        .args([&project.token, &project.public])
        .args([&project.id, &project.secret]);
    assert_eq!(succeed(&mut script), "the page's events are all there\n");
    assert!(process.terminate().success(), "{}", log(dir.path()));
}
