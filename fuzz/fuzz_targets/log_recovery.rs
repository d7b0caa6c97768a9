//! A log whose last segment has any bytes behind its last commit, or other bytes than were written: what is not whole is
//! cut off or refused, never a panic, and never a record that was not written.
#![no_main]

use std::cell::RefCell;
use std::fs;
use std::path::Path;

use arbitrary::Arbitrary;
use bytes::Bytes;
use footfall::log::disk::{DiskStore, Options};
use footfall::log::{Position, Store as _};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

/// What is done to the segment.
#[derive(Arbitrary, Debug)]
enum Harm<'a> {
    /// These bytes, at so far behind the end.
    Behind(u16, &'a [u8]),
    /// These bytes, over what was written.
    Over(u16, &'a [u8]),
    /// Part of what was written, somewhere else.
    Moved {
        from: u16,
        to: u16,
        length: u16,
    },
    Cut(u16),
}

const HEADER_BYTES: usize = 4096;

thread_local! {
    static WRITTEN: RefCell<Option<(Vec<u8>, Vec<Bytes>)>> = const { RefCell::new(None) };
}

fn scratch() -> TempDir {
    TempDir::new_in("/dev/shm")
        .or_else(|_| TempDir::new())
        .unwrap()
}

fn options(dir: &Path) -> Options {
    Options {
        dir: dir.to_owned(),
        free_bytes_min: 0,
        segment_bytes: 64 << 10,
        ..Options::default()
    }
}

fn segment(dir: &Path) -> std::path::PathBuf {
    dir.join("log/00000000000000000001.seg")
}

/// A segment of a few commits, and its records.
fn written() -> (Vec<u8>, Vec<Bytes>) {
    let dir = scratch();
    let store = DiskStore::open(options(dir.path())).unwrap();
    let mut records = Vec::new();
    for count in [1, 3, 40, 1] {
        let first = store.last().plus(1);
        let number = |n: usize| Bytes::from(format!("{n} ").repeat(n % 50));
        let commit: Vec<_> = (0..count).map(|n| number(records.len() + n)).collect();
        store.commit(first, &commit).unwrap();
        records.extend(commit);
    }
    drop(store);
    (fs::read(segment(dir.path())).unwrap(), records)
}

fn write(bytes: &mut Vec<u8>, at: usize, new: &[u8]) {
    let end = bytes.len().max(at + new.len());
    bytes.resize(end, 0);
    bytes[at..at + new.len()].copy_from_slice(new);
}

fuzz_target!(|harm: Harm<'_>| {
    let (mut bytes, records) =
        WRITTEN.with_borrow_mut(|written_once| written_once.get_or_insert_with(written).clone());
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    match harm {
        Harm::Behind(at, new) => write(&mut bytes, used + usize::from(at), new),
        Harm::Over(at, new) => write(&mut bytes, usize::from(at) % used, new),
        Harm::Moved { from, to, length } => {
            let from = HEADER_BYTES + usize::from(from) % (used - HEADER_BYTES);
            let length = usize::from(length).min(used - from);
            let part = bytes[from..from + length].to_vec();
            write(&mut bytes, HEADER_BYTES + usize::from(to), &part);
        }
        Harm::Cut(at) => bytes.truncate(usize::from(at)),
    }
    let dir = scratch();
    fs::create_dir(dir.path().join("log")).unwrap();
    fs::write(segment(dir.path()), &bytes).unwrap();
    let Ok(store) = DiskStore::open(options(dir.path())) else {
        return;
    };
    let read = store.read_after(Position::START, usize::MAX).unwrap();
    assert_eq!(read.len() as u64, store.last().get());
    assert!(
        read.iter()
            .zip(&records)
            .all(|((_, read), written)| read == written)
    );
    assert!(read.len() <= records.len());
    // And it goes on.
    store
        .commit(store.last().plus(1), &[Bytes::from_static(b"next")])
        .unwrap();
    drop(store);
    let store = DiskStore::open(options(dir.path())).unwrap();
    assert_eq!(store.last().get(), read.len() as u64 + 1);
});
