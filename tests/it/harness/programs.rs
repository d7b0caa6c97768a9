//! Programs that a machine for tests may have.

use std::io::Write as _;
use std::process::Command;

/// Whether these programs are there; says what is skipped where one is not.
pub fn has(programs: &[&str]) -> bool {
    let mut programs = programs.iter();
    let missing = programs.find(|program| Command::new(program).arg("--version").output().is_err());
    if let Some(program) = missing {
        skipped(&format!("there is no {program}"));
    }
    missing.is_none()
}

/// Says on the terminal, past what the tests' runner keeps, that the scenario of this thread is skipped.
pub fn skipped(why: &str) {
    let thread = std::thread::current();
    let scenario = thread.name().unwrap_or_default();
    let _ = writeln!(std::io::stderr(), "SKIPPED: {scenario}: {why}");
}
