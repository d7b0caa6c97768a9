//! What a power cut, a bad disk or a stop in the middle leaves of the log.

mod damage;
mod rewritten;
mod stopped;
mod torn;

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;

const PAGE: usize = 4096;

/// Segments so small that there are many: of 16 KiB at first, and of 64 KiB.
fn small(dir: &Path) -> Options {
    Options {
        dir: dir.to_owned(),
        free_bytes_min: 0,
        segment_bytes: 64 << 10,
        ..Options::default()
    }
}

fn open(dir: &Path) -> Result<DiskStore, Error> {
    DiskStore::open(Options {
        dir: dir.to_owned(),
        free_bytes_min: 0,
        ..Options::default()
    })
}

/// A record that cannot be compressed, the same for the same number.
fn record(number: u64, bytes: usize) -> Bytes {
    let mut state = number;
    let words = std::iter::repeat_with(|| roll(&mut state).to_be_bytes());
    words.flatten().take(bytes).collect()
}

/// The next number of a sequence that its state begins.
fn roll(state: &mut u64) -> u64 {
    // SplitMix64.
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// A number below `bound`.
fn below(state: &mut u64, bound: usize) -> usize {
    usize::try_from(roll(state) % bound as u64).unwrap()
}

fn commit(store: &DiskStore, sizes: &[usize]) {
    let first = store.last().plus(1);
    let numbers = first.get()..;
    let records: Vec<_> = numbers
        .zip(sizes)
        .map(|(n, bytes)| record(n, *bytes))
        .collect();
    store.commit(first, &records).unwrap();
}

/// A folder, in memory where that is possible: what is tested here is its content.
fn scratch() -> TempDir {
    TempDir::new_in("/dev/shm")
        .or_else(|_| TempDir::new())
        .unwrap()
}

/// The segments of a log.
fn segments(dir: &Path) -> Vec<PathBuf> {
    let found = folder::segments(&dir.join(LOG_DIR)).unwrap();
    found.into_iter().map(|(_, path)| path).collect()
}

/// The first segment.
fn segment(dir: &Path) -> PathBuf {
    folder::segment(&dir.join(LOG_DIR), 1)
}

/// A number as an index.
fn index(number: u64) -> usize {
    usize::try_from(number).unwrap()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

/// A segment, with some of the zeros that fill it.
fn read_segment(path: &Path) -> Vec<u8> {
    let mut bytes = fs::read(path).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes.resize(end.next_multiple_of(PAGE) + 40 * PAGE, 0);
    bytes
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_folder(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).unwrap()),
        }
    }
}

/// Writes the note that a power cut may leave.
fn note(dir: &Path, position: u64) {
    let note = DurableMark::open(&dir.join(DURABLE_MARK))
        .unwrap()
        .unwrap()
        .0;
    note.write(Position::from_number(position)).unwrap();
}

/// All records.
fn all(store: &DiskStore) -> Result<Vec<Bytes>, Error> {
    let mut found = Vec::new();
    for record in store.scan(Position::START) {
        let (position, record) = record?;
        assert_eq!(position.get(), found.len() as u64 + 1);
        found.push(record);
    }
    Ok(found)
}

/// The records that a folder holds, each of which must be what was written.
fn held(dir: &Path, sizes: &[usize]) -> Result<u64, Error> {
    let store = open(dir)?;
    let read = all(&store)?;
    for ((number, bytes), size) in (1..).zip(&read).zip(sizes) {
        assert!(*bytes == record(number, *size), "{number}");
    }
    assert_eq!(store.last().get(), read.len() as u64);
    Ok(store.last().get())
}

/// A folder with two commits, what its segment was after the first, and the sizes of all records.
fn two_commits(second: &[usize]) -> (TempDir, Vec<u8>, Vec<usize>) {
    let dir = scratch();
    let store = open(dir.path()).unwrap();
    let first = [300, 40_000];
    commit(&store, &first);
    let before = read_segment(&segment(dir.path()));
    commit(&store, second);
    drop(store);
    let after = read_segment(&segment(dir.path()));
    fs::write(segment(dir.path()), after).unwrap();
    (dir, before, [&first, second].concat())
}

/// A folder with several segments, and the sizes of all records.
fn several_segments() -> (TempDir, Vec<usize>) {
    let dir = scratch();
    let store = DiskStore::open(small(dir.path())).unwrap();
    let mut sizes = Vec::new();
    for round in 0..60 {
        let these = [100 + round, 3_000, 10, 900];
        commit(&store, &these);
        sizes.extend(these);
    }
    store.close();
    assert!(segments(dir.path()).len() > 3);
    (dir, sizes)
}
