//! The file that a program can read.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::load::Answers;
use super::row::{Row, median};

/// Where it lies: in the target folder.
fn path() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    target.join("bench/throughput.json")
}

/// Writes all rows, over what an earlier run has written.
pub(super) fn write(rows: &[Row], quick: bool) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let rows: Vec<_> = rows.iter().map(row).collect();
    let report = json!({
        "commit": commit(),
        "date": now.unwrap().as_secs(),
        "machine": {"cores": std::thread::available_parallelism().unwrap().get(), "cpu": cpu()},
        "quick": quick,
        "rows": rows,
    });
    let path = path();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, format!("{report:#}\n")).unwrap();
    println!("\n{}", path.display());
}

fn row(row: &Row) -> Value {
    json!({
        "name": row.name,
        "callers": row.callers,
        "unit": row.unit,
        "baseline": side(row, &row.baseline),
        "footfall": side(row, &row.footfall),
        "ratio": row.ratio(),
        "goal": row.goal,
    })
}

/// Rates a second: accepted and refused together, of each round and the median; and what of the rounds was refused.
fn side(row: &Row, side: &[Answers]) -> Value {
    let rounds = row.rates(side);
    let refused: Vec<_> = side.iter().map(|answers| answers.refused).collect();
    json!({"median": median(&rounds), "rounds": rounds, "refused": refused})
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
