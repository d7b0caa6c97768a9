//! The file of a run, which a program can read.

use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use serde_json::{Value, json};

/// Writes what a run has found, over what an earlier one has written, to a file in the target folder.
pub(super) fn write(name: &str, mut found: Value) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    found["commit"] = json!(commit());
    found["date"] = json!(now.unwrap().as_secs());
    let cores = std::thread::available_parallelism().unwrap().get();
    found["machine"] = json!({"cores": cores, "cpu": cpu()});
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let path = target.join("bench").join(name).with_extension("json");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, format!("{found:#}\n")).unwrap();
    println!("\n{}", path.display());
}

/// What was measured, as git names it.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .args(arguments)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .ok()?;
        let said = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| said.trim().to_owned())
    };
    match (
        git(&["rev-parse", "HEAD"]),
        git(&["status", "--porcelain", "--untracked-files=no"]),
    ) {
        (Some(commit), Some(changes)) if changes.is_empty() => commit,
        (Some(commit), _) => format!("{commit}-dirty"),
        (None, _) => "unknown".to_owned(),
    }
}

fn cpu() -> Option<String> {
    let info = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
