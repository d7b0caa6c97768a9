//! What a power cut or a bad disk leaves of the journal.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::*;

const PAGE: usize = 4096;

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

/// A folder, in memory where there is such a place: what is tested here is what lies in it.
fn scratch() -> TempDir {
    TempDir::new_in("/dev/shm")
        .or_else(|_| TempDir::new())
        .unwrap()
}

/// A journal, with some of the zeros that fill it.
fn read_journal(dir: &Path) -> Vec<u8> {
    let mut bytes = fs::read(journal(dir)).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes.resize(end.next_multiple_of(PAGE) + 40 * PAGE, 0);
    bytes
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).unwrap()),
        }
    }
}

fn journal(dir: &Path) -> std::path::PathBuf {
    dir.join("log/0.jnl")
}

/// The records that a folder holds, each of which must be what was written.
fn held(dir: &Path, sizes: &[usize]) -> Result<u64, Error> {
    let store = open(dir)?;
    let read = store.read_after(Position::START, usize::MAX)?;
    for ((position, bytes), size) in read.iter().zip(sizes) {
        assert!(*bytes == record(position.get(), *size), "{position:?}");
    }
    assert_eq!(store.last().get(), read.len() as u64);
    Ok(store.last().get())
}

/// A folder with two commits, what its journal was after the first, and the sizes of all records.
fn two_commits(second: &[usize]) -> (TempDir, Vec<u8>, Vec<usize>) {
    let dir = scratch();
    let store = open(dir.path()).unwrap();
    let first = [300, 40_000];
    commit(&store, &first);
    let before = read_journal(dir.path());
    commit(&store, second);
    drop(store);
    let after = read_journal(dir.path());
    fs::write(journal(dir.path()), after).unwrap();
    (dir, before, [&first, second].concat())
}

#[test]
fn a_commit_of_which_any_pages_reached_the_disk_is_whole_or_dropped() {
    for (round, second) in [
        &[20_000_usize][..],
        &[400; 100],
        &[5_000, 100, 60_000, 300, 9_000],
        &[13, 30_000],
    ]
    .into_iter()
    .enumerate()
    {
        let (dir, before, sizes) = two_commits(second);
        let after = read_journal(dir.path());
        let mut before = before;
        before.resize(after.len(), 0);
        let pages = (0..after.len()).step_by(PAGE);
        let changed: Vec<_> = pages
            .filter(|at| before[*at..at + PAGE] != after[*at..at + PAGE])
            .collect();
        assert!(changed.len() > 3, "{changed:?}");
        for seed in 0..8 {
            let mut dice = seed + 1_000 * round as u64;
            let torn = scratch();
            copy(dir.path(), torn.path());
            // The note of the first commit: that of the second is written when all of it is on disk.
            let note = Note::open(&torn.path().join(NOTE_FILE)).unwrap().unwrap().0;
            note.write(Position::from_number(2)).unwrap();
            drop(note);
            let mut bytes = before.clone();
            let mut kept = 0;
            for at in &changed {
                // Most of them, so that the holes are small.
                if !roll(&mut dice).is_multiple_of(4) {
                    bytes[*at..at + PAGE].copy_from_slice(&after[*at..at + PAGE]);
                    kept += 1;
                }
            }
            fs::write(journal(torn.path()), bytes).unwrap();
            let expected = match kept == changed.len() {
                true => sizes.len() as u64,
                false => 2,
            };
            let held = held(torn.path(), &sizes).unwrap_or_else(|e| panic!("{round} {seed}: {e}"));
            assert_eq!(held, expected, "{round} {seed}");
            // And it goes on.
            let store = open(torn.path()).unwrap();
            commit(&store, &[400]);
            drop(store);
            assert_eq!(open(torn.path()).unwrap().last().get(), held + 1);
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_in_the_journal_is_refused() {
    let (dir, before, sizes) = two_commits(&[400, 5_000, 20]);
    let written = read_journal(dir.path());
    let end = written.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let first_end = before.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let mut dice = 7;
    for round in 0..40 {
        // The heads of the batches and their ends more often than chance would.
        let at = match round % 3 {
            0 => below(&mut dice, 60),
            1 => first_end - 30 + below(&mut dice, 60),
            _ => below(&mut dice, end),
        };
        let bad = scratch();
        copy(dir.path(), bad.path());
        let mut bytes = written.clone();
        bytes[at] ^= 1 << (roll(&mut dice) % 8);
        fs::write(journal(bad.path()), &bytes).unwrap();
        let refused = held(bad.path(), &sizes);
        // A greater sequence number of the last commit changes nothing.
        let harmless = refused
            .as_ref()
            .is_ok_and(|held| *held == sizes.len() as u64);
        assert!(
            harmless || matches!(refused, Err(Error::EndLost { .. } | Error::Open { .. })),
            "byte {at}: {refused:?}"
        );
        if harmless {
            assert!((first_end..first_end + 13).contains(&at), "byte {at}");
            continue;
        }
        let left = fs::read(journal(bad.path())).unwrap();
        assert!(left == bytes, "byte {at}: what is refused is left as it is");
    }
}

#[test]
fn damage_in_front_of_a_whole_commit_is_named_with_its_place() {
    let (dir, _, sizes) = two_commits(&[400]);
    // Even if the machine went down, too, and the note is older.
    let note = Note::open(&dir.path().join(NOTE_FILE)).unwrap().unwrap().0;
    note.write(Position::START).unwrap();
    drop(note);
    let mut bytes = read_journal(dir.path());
    bytes[100] ^= 1;
    fs::write(journal(dir.path()), bytes).unwrap();
    let refused = held(dir.path(), &sizes).unwrap_err().to_string();
    assert!(
        refused.ends_with("log/0.jnl is damaged at byte 0"),
        "{refused}"
    );
}

#[test]
fn a_store_whose_making_was_cut_short_is_made_again() {
    let dir = scratch();
    drop(open(dir.path()).unwrap());
    fs::remove_file(dir.path().join("log/version")).unwrap();
    drop(open(dir.path()).unwrap());
    fs::write(dir.path().join("log/version"), "").unwrap();
    commit(&open(dir.path()).unwrap(), &[10]);
    fs::write(dir.path().join("log/version"), "").unwrap();
    let refused = open(dir.path());
    assert!(matches!(refused, Err(Error::Open { .. })), "{refused:?}");
}

#[test]
fn a_second_opener_is_told_that_the_folder_is_in_use() {
    let dir = scratch();
    let _first = open(dir.path()).unwrap();
    let second = open(dir.path());
    assert!(matches!(second, Err(Error::Locked(_))), "{second:?}");
}

#[test]
fn who_only_looks_is_refused_too_and_cuts_nothing_off_damage() {
    let (dir, ..) = two_commits(&[400]);
    fs::remove_file(dir.path().join(NOTE_FILE)).unwrap();
    let mut bytes = read_journal(dir.path());
    bytes[100] ^= 1;
    fs::write(journal(dir.path()), &bytes).unwrap();
    let options = Options {
        dir: dir.path().to_owned(),
        free_bytes_min: 0,
        ..Options::default()
    };
    let refused = DiskStore::open_to_read(options).unwrap_err().to_string();
    assert!(
        refused.ends_with("log/0.jnl is damaged at byte 0"),
        "{refused}"
    );
    assert!(fs::read(journal(dir.path())).unwrap() == bytes);
    assert!(!dir.path().join(NOTE_FILE).exists(), "nothing is made");
}

#[test]
fn nobody_touches_a_store_that_is_open_even_if_its_note_is_gone() {
    let dir = scratch();
    let first = open(dir.path()).unwrap();
    commit(&first, &[10]);
    let written = read_journal(dir.path());
    // A commit under way looks torn.
    let torn = [&written[..], &[1]].concat();
    fs::write(journal(dir.path()), &torn).unwrap();
    fs::remove_file(dir.path().join(NOTE_FILE)).unwrap();
    let broken = broken(dir.path());
    assert!(matches!(broken, Err(Error::Locked(_))), "{broken:?}");
    let options = Options {
        dir: dir.path().to_owned(),
        free_bytes_min: 0,
        ..Options::default()
    };
    let looked = DiskStore::open_to_read(options);
    assert!(matches!(looked, Err(Error::Locked(_))), "{looked:?}");
    let second = open(dir.path());
    assert!(matches!(second, Err(Error::Locked(_))), "{second:?}");
    assert!(fs::read(journal(dir.path())).unwrap() == torn);
}

#[test]
fn a_store_that_lost_its_marker_is_not_made_anew_though_nothing_is_in_its_journal() {
    let dir = scratch();
    let store = open(dir.path()).unwrap();
    commit(&store, &[10]);
    store.records.rotate_memtable_and_wait().unwrap();
    drop(store);
    // The journal went once its records were in a table, and so did what would tell of them.
    fs::write(journal(dir.path()), "").unwrap();
    fs::remove_file(dir.path().join(NOTE_FILE)).unwrap();
    fs::remove_file(dir.path().join("log/version")).unwrap();
    let refused = open(dir.path()).unwrap_err().to_string();
    assert!(refused.ends_with("log/version is damaged"), "{refused}");
    assert!(files::has_tables(&dir.path().join("log")).unwrap());
}

/// What a caller may send: bytes that are a whole batch of the engine's, as far as the engine's own checks go.
fn forged() -> Vec<u8> {
    let keyspace = 1_u64.to_le_bytes();
    let key_bytes = 8_u16.to_le_bytes();
    let item = [
        &[2, 0, 0][..],
        &keyspace,
        &key_bytes,
        &[0; 8],
        &7_u64.to_be_bytes(),
    ]
    .concat();
    let start = [&[1][..], &1_u32.to_le_bytes(), &u64::MAX.to_le_bytes()].concat();
    let checksum = xxhash_rust::xxh3::xxh3_64(&item).to_le_bytes();
    [&start[..], &item, &[3], &checksum, b"FJL\x03"].concat()
}

/// A folder with two commits, the second of which holds what callers forged, and its journal before and after that one.
fn forging_commit() -> (TempDir, Vec<u8>, Vec<u8>) {
    let dir = scratch();
    let store = open(dir.path()).unwrap();
    commit(&store, &[300, 40_000]);
    let before = read_journal(dir.path());
    // Small enough not to be compressed.
    let forging = |n| Bytes::from([&record(n, 1_700)[..], &forged(), &record(n, 1_700)].concat());
    let records: Vec<_> = (3..13).map(forging).collect();
    store.commit(Position::from_number(3), &records).unwrap();
    drop(store);
    let after = read_journal(dir.path());
    (dir, before, after)
}

#[test]
fn what_callers_forge_in_a_torn_commit_keeps_no_start() {
    let (dir, mut before, after) = forging_commit();
    before.resize(after.len(), 0);
    let pages = (0..after.len()).step_by(PAGE);
    let page = |at: usize| at..(at + PAGE).min(after.len());
    let changed: Vec<_> = pages
        .filter(|at| before[page(*at)] != after[page(*at)])
        .collect();
    assert!(changed.len() > 4, "{changed:?}");
    for lost in &changed {
        let torn = scratch();
        copy(dir.path(), torn.path());
        let note = Note::open(&torn.path().join(NOTE_FILE)).unwrap().unwrap().0;
        note.write(Position::from_number(2)).unwrap();
        drop(note);
        let mut bytes = after.clone();
        bytes[page(*lost)].copy_from_slice(&before[page(*lost)]);
        let forgeries = bytes
            .windows(forged().len())
            .filter(|part| **part == forged());
        assert!(forgeries.count() > 5, "otherwise it proves nothing");
        fs::write(journal(torn.path()), bytes).unwrap();
        let store = open(torn.path()).unwrap_or_else(|error| panic!("page {lost}: {error}"));
        assert_eq!(store.last().get(), 2, "page {lost}");
        commit(&store, &[400]);
        drop(store);
        assert_eq!(open(torn.path()).unwrap().last().get(), 3);
    }
}

#[test]
fn damage_in_front_of_a_whole_commit_is_found_whatever_callers_forge() {
    let (dir, _, mut bytes) = forging_commit();
    let note = Note::open(&dir.path().join(NOTE_FILE)).unwrap().unwrap().0;
    note.write(Position::START).unwrap();
    drop(note);
    bytes[100] ^= 1;
    fs::write(journal(dir.path()), bytes).unwrap();
    let refused = open(dir.path()).unwrap_err().to_string();
    assert!(
        refused.ends_with("log/0.jnl is damaged at byte 0"),
        "{refused}"
    );
}

#[test]
fn a_lock_that_is_gone_under_a_running_store_is_noticed() {
    for lost in ["log/lock", NOTE_FILE] {
        let dir = scratch();
        let store = open(dir.path()).unwrap();
        commit(&store, &[10]);
        assert_eq!(store.trouble(), None);
        fs::rename(dir.path().join(lost), dir.path().join("away")).unwrap();
        assert!(store.trouble().unwrap().contains(lost), "{lost}");
        // Another file in its place keeps nobody out either.
        fs::write(dir.path().join(lost), "").unwrap();
        assert!(store.trouble().unwrap().contains(lost), "{lost}");
    }
}

#[test]
fn the_files_of_a_new_store_that_are_our_own_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let parent = scratch();
    let dir = parent.path().join("data");
    drop(open(&dir).unwrap());
    for file in [NOTE_FILE, MARK_FILE] {
        let mode = fs::metadata(dir.join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let mode = fs::metadata(&dir).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}
