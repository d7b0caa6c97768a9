//! The files of a stopped store.

use std::fs;
use std::path::{Path, PathBuf};

use fjall::{Database, KeyspaceCreateOptions};
use footfall::config::{Config, Flags};
use footfall::log;
use footfall::log::disk::{DiskStore, Options};
use tempfile::TempDir;

pub fn open(data: &Path) -> Result<DiskStore, log::Error> {
    DiskStore::open(Options {
        dir: data.to_owned(),
        free_bytes_min: 0,
        ..Options::default()
    })
}

pub fn config(data: &Path) -> Config {
    let flags = Flags {
        data_dir: Some(data.to_owned()),
        ..Flags::default()
    };
    Config::load(&flags, []).unwrap()
}

/// Lets the engine write its tables, as it does after some 64 MiB.
pub fn flush(dir: &Path) {
    let database = Database::builder(dir).open().unwrap();
    for name in database.list_keyspace_names() {
        let keyspace = database.keyspace(&name, KeyspaceCreateOptions::default);
        keyspace.unwrap().rotate_memtable_and_wait().unwrap();
    }
}

/// Lists all files that hold something, and takes most of the room that journals and segments keep.
pub fn shorten(data: &Path, folder: &Path, found: &mut Vec<(PathBuf, u64)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            shorten(data, &path, found);
        }
        // The socket of a killed service has no bytes.
        if !path.is_file() {
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        let used = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        let has_room = path
            .extension()
            .is_some_and(|extension| extension == "jnl" || extension == "seg");
        if has_room {
            let file = fs::File::options().write(true).open(&path).unwrap();
            file.set_len(bytes.len().min(used + 40_000) as u64).unwrap();
        }
        let counts = match has_room {
            true => used,
            false => bytes.len(),
        };
        let name = path.strip_prefix(data).unwrap();
        if counts > 0 && name != Path::new("project.toml") {
            found.push((name.to_owned(), counts as u64));
        }
    }
}

/// Copies a folder.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy(&entry.path(), &to);
        } else if kind.is_file() {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// A folder, in memory where there is such a place: what is tested here is what lies in it.
pub fn scratch() -> TempDir {
    TempDir::new_in("/dev/shm")
        .or_else(|_| TempDir::new())
        .unwrap()
}
