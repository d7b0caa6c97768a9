//! The log's folder: the names in it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// What keeps other processes out.
pub(super) const LOCK: &str = "lock";
/// The next segment, which is being made.
pub(super) const SPARE: &str = "spare";
/// Records that stand in the place of others.
pub(super) const REWRITES: &str = "rewrites";
/// The same, before it is complete.
pub(super) const REWRITES_UNFINISHED: &str = "rewrites-unfinished";
/// Says that what was rewritten may still be on the disk, and how many rewrites there are.
pub(super) const PURGE_PENDING: &str = "remains";
/// What will take a segment's place.
pub(super) const REPLACEMENT: &str = "replacement";

const DIGITS: usize = 20;
const SUFFIX: &str = ".seg";
/// The files of a store of the previous format.
const FORMER: [&str; 2] = ["version", "keyspaces"];

/// The path of the segment that begins with a position.
pub(super) fn segment(log: &Path, first: u64) -> PathBuf {
    log.join(format!("{first:020}{SUFFIX}"))
}

/// The segments that are there, in order.
pub(super) fn segments(log: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let entries = match fs::read_dir(log) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let digits = name.and_then(|name| name.strip_suffix(SUFFIX));
        let digits = digits.filter(|digits| digits.len() == DIGITS);
        if let Some(first) = digits.and_then(|digits| digits.parse().ok()) {
            found.push((first, path));
        }
    }
    found.sort();
    Ok(found)
}

/// Whether there is a log, of any format.
pub(super) fn has_log(log: &Path) -> bool {
    is_former(log) || segments(log).map_or(true, |segments| !segments.is_empty())
}

/// Whether the log is of the previous format.
pub(super) fn is_former(log: &Path) -> bool {
    FORMER.iter().any(|name| log.join(name).exists())
}

/// Removes what a stop has left unfinished.
pub(super) fn tidy(log: &Path) -> io::Result<()> {
    for name in [SPARE, REPLACEMENT, REWRITES_UNFINISHED] {
        remove(&log.join(name))?;
    }
    Ok(())
}

/// Removes a file, if it is there.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Makes the names in a folder survive a power cut.
pub(super) fn sync(dir: &Path) -> io::Result<()> {
    let dir = match dir.as_os_str().is_empty() {
        true => Path::new("."),
        false => dir,
    };
    File::open(dir)?.sync_all()
}
