//! A way to run the service so that it does not sync: what stands on its syncs must fall then.

use std::path::Path;
use std::process::Command;

const SOURCE: &str = "
int fsync(int file) { return 0; }
int fdatasync(int file) { return 0; }
int msync(void *start, unsigned long bytes, int flags) { return 0; }
int sync_file_range(int file, long from, long bytes, unsigned flags) { return 0; }
";

/// Makes a library in `dir` whose syncs do nothing; gives the setting by which a process uses it. Or says what this
/// machine does not have for it.
pub fn library(dir: &Path) -> Result<(&'static str, String), String> {
    if cfg!(target_feature = "crt-static") {
        return Err("a static binary has its syncs within".to_owned());
    }
    let (source, library) = (dir.join("unsynced.c"), dir.join("unsynced.so"));
    std::fs::write(&source, SOURCE).unwrap();
    let made = Command::new("cc")
        .args(["-w", "-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .output();
    let made = made.map_err(|error| format!("cc: {error}"))?;
    assert!(made.status.success(), "{made:?}");
    Ok(("LD_PRELOAD", library.display().to_string()))
}
