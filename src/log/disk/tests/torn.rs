//! Commits of which a power cut left a part.

use super::*;

/// The pages in which two states of a file differ.
fn changed(before: &[u8], after: &[u8]) -> Vec<usize> {
    let pages = (0..after.len()).step_by(PAGE);
    let page = |at: usize| at..(at + PAGE).min(after.len());
    pages
        .filter(|at| before[page(*at)] != after[page(*at)])
        .collect()
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
        let (dir, mut before, sizes) = two_commits(second);
        let after = read_segment(&segment(dir.path()));
        before.resize(after.len(), 0);
        let changed = changed(&before, &after);
        assert!(changed.len() > 3, "{changed:?}");
        for seed in 0..8 {
            let mut dice = seed + 1_000 * round as u64;
            let torn = scratch();
            copy_folder(dir.path(), torn.path());
            // The note of the first commit: that of the second is written when all of it is on disk.
            note(torn.path(), 2);
            let mut bytes = before.clone();
            let mut kept = 0;
            for at in &changed {
                // Most of them, so that the holes are small.
                if !roll(&mut dice).is_multiple_of(4) {
                    bytes[*at..at + PAGE].copy_from_slice(&after[*at..at + PAGE]);
                    kept += 1;
                }
            }
            fs::write(segment(torn.path()), bytes).unwrap();
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
fn a_torn_commit_leaves_the_disk() {
    let (dir, ..) = two_commits(&[5_000]);
    note(dir.path(), 2);
    let mut bytes = read_segment(&segment(dir.path()));
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[end] ^= 1;
    fs::write(segment(dir.path()), &bytes).unwrap();
    let part = record(3, 5_000).slice(100..200);
    let has = |bytes: &[u8]| bytes.windows(100).any(|window| *window == part);
    assert!(has(&bytes));
    let looked = DiskStore::open_to_read(small(dir.path())).unwrap();
    assert_eq!(looked.last().get(), 2);
    drop(looked);
    assert!(
        has(&fs::read(segment(dir.path())).unwrap()),
        "who looks changes nothing"
    );
    drop(open(dir.path()).unwrap());
    assert!(!has(&fs::read(segment(dir.path())).unwrap()));
}

/// A folder with two commits, the second of which holds what callers may send to look like the log's own: frames of
/// another segment, its header, zeros, and the beginning of this one's records. Its segment before and after that.
fn forging_commit() -> (TempDir, Vec<u8>, Vec<u8>) {
    let other = scratch();
    let store = open(other.path()).unwrap();
    for _ in 0..4 {
        commit(&store, &[300, 20]);
    }
    drop(store);
    let mut foreign = fs::read(segment(other.path())).unwrap();
    let end = foreign.iter().rposition(|byte| *byte != 0).unwrap();
    foreign.truncate(end + 1);
    let dir = scratch();
    let store = open(dir.path()).unwrap();
    commit(&store, &[300, 40_000]);
    let before = read_segment(&segment(dir.path()));
    let forging = |n: u64| match n % 3 {
        0 => Bytes::from(foreign.clone()),
        1 => [
            &record(n, 7_700)[..],
            &foreign[PAGE..],
            &[0; 5_000],
            &record(n, 7_700),
        ]
        .concat()
        .into(),
        _ => vec![0; 9_000].into(),
    };
    let records: Vec<_> = (3..13).map(forging).collect();
    store.commit(Position::from_number(3), &records).unwrap();
    drop(store);
    let after = read_segment(&segment(dir.path()));
    (dir, before, after)
}

#[test]
fn what_callers_forge_in_a_torn_commit_keeps_no_start() {
    let (dir, mut before, after) = forging_commit();
    before.resize(after.len(), 0);
    let changed = changed(&before, &after);
    assert!(changed.len() > 4, "{changed:?}");
    for lost in &changed {
        let torn = scratch();
        copy_folder(dir.path(), torn.path());
        note(torn.path(), 2);
        let mut bytes = after.clone();
        let page = *lost..lost + PAGE;
        bytes[page.clone()].copy_from_slice(&before[page]);
        fs::write(segment(torn.path()), bytes).unwrap();
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
    note(dir.path(), 0);
    bytes[PAGE + 100] ^= 1;
    fs::write(segment(dir.path()), bytes).unwrap();
    let refused = open(dir.path()).unwrap_err().to_string();
    assert!(
        refused.ends_with("log/00000000000000000001.seg is damaged at byte 4096, position 1"),
        "{refused}"
    );
}
