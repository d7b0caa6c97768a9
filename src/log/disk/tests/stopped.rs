//! Locks, folders of other formats, and stores whose creation was cut short.

use super::*;

#[test]
fn a_store_whose_making_was_cut_short_is_made_again() {
    let dir = scratch();
    drop(open(dir.path()).unwrap());
    for left in [vec!["spare"], vec!["spare", "replacement"], vec![]] {
        fs::remove_file(segment(dir.path())).unwrap();
        for name in left {
            fs::write(dir.path().join(LOG_DIR).join(name), [1; 5_000]).unwrap();
        }
        let store = open(dir.path()).unwrap();
        assert_eq!(store.last(), Position::START);
        let mut names: Vec<_> = fs::read_dir(dir.path().join(LOG_DIR)).unwrap().collect();
        assert_eq!(names.len(), 2, "{names:?}");
        names.clear();
    }
    commit(&open(dir.path()).unwrap(), &[10]);
    fs::remove_file(segment(dir.path())).unwrap();
    let refused = open(dir.path());
    assert!(matches!(refused, Err(Error::EndLost { .. })), "{refused:?}");
}

#[test]
fn a_store_of_the_former_format_is_refused_in_words() {
    for name in ["version", "keyspaces"] {
        let dir = scratch();
        fs::create_dir_all(dir.path().join(LOG_DIR)).unwrap();
        fs::write(dir.path().join(LOG_DIR).join(name), "FJL\x03").unwrap();
        for refused in [
            open(dir.path()),
            DiskStore::open_existing(small(dir.path())),
            DiskStore::open_to_read(small(dir.path())),
        ] {
            let refused = refused.unwrap_err().to_string();
            assert!(refused.contains("log is of an earlier format"), "{refused}");
        }
        assert_eq!(segments(dir.path()), [""; 0].map(PathBuf::from));
    }
}

#[test]
fn a_second_opener_is_told_that_the_folder_is_in_use() {
    let dir = scratch();
    let _first = open(dir.path()).unwrap();
    let second = open(dir.path());
    assert!(matches!(second, Err(Error::Locked(_))), "{second:?}");
}

#[test]
fn nobody_touches_a_store_that_is_open_even_if_its_note_is_gone() {
    let dir = scratch();
    let first = open(dir.path()).unwrap();
    commit(&first, &[10]);
    let written = read_segment(&segment(dir.path()));
    // A commit that is being written looks torn.
    let torn = [&written[..], &[1]].concat();
    fs::write(segment(dir.path()), &torn).unwrap();
    fs::remove_file(dir.path().join(DURABLE_MARK)).unwrap();
    let looked = DiskStore::open_to_read(small(dir.path()));
    assert!(matches!(looked, Err(Error::Locked(_))), "{looked:?}");
    let second = open(dir.path());
    assert!(matches!(second, Err(Error::Locked(_))), "{second:?}");
    assert!(fs::read(segment(dir.path())).unwrap() == torn);
}

#[test]
fn a_lock_that_is_gone_under_a_running_store_is_noticed() {
    for lost in ["log/lock", DURABLE_MARK] {
        let dir = scratch();
        let store = open(dir.path()).unwrap();
        commit(&store, &[10]);
        assert_eq!(store.trouble(), None);
        fs::rename(dir.path().join(lost), dir.path().join("away")).unwrap();
        assert!(store.trouble().unwrap().contains(lost), "{lost}");
        // Another file in its place locks no process out either.
        fs::write(dir.path().join(lost), "").unwrap();
        assert!(store.trouble().unwrap().contains(lost), "{lost}");
    }
}

#[test]
fn the_files_of_a_store_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let parent = scratch();
    let dir = parent.path().join("data");
    let store = DiskStore::open(small(&dir)).unwrap();
    for _ in 0..30 {
        commit(&store, &[4_000]);
    }
    store
        .rewrite(&mut [Ok((Position(3), record(1, 5)))].into_iter())
        .unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for path in [&dir, &dir.join(LOG_DIR)] {
        assert_eq!(mode(path), 0o700);
        for entry in fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            assert!(path.is_dir() || mode(&path) == 0o600, "{path:?}");
        }
    }
}

#[test]
fn segments_begin_small_and_grow_and_a_commit_that_is_larger_has_one_of_its_own() {
    let dir = scratch();
    let options = Options {
        segment_bytes: 1 << 20,
        ..small(dir.path())
    };
    let store = DiskStore::open(options.clone()).unwrap();
    assert_eq!(fs::metadata(segment(dir.path())).unwrap().len(), 16 << 10);
    let mut sizes = vec![2_000_000];
    commit(&store, &sizes);
    for round in 0..400 {
        let size = 100 * (round % 90);
        commit(&store, &[size]);
        sizes.push(size);
    }
    drop(store);
    let lengths: Vec<_> = segments(dir.path())
        .iter()
        .map(|path| fs::metadata(path).unwrap().len())
        .collect();
    assert!(
        lengths.len() > 3 && lengths.iter().skip(2).all(|length| *length <= 1 << 20),
        "{lengths:?}"
    );
    let read = all(&DiskStore::open(options).unwrap()).unwrap();
    assert!(
        read.len() == sizes.len()
            && (1..)
                .zip(&read)
                .zip(sizes)
                .all(|((n, read), size)| *read == record(n, size))
    );
}

#[test]
fn records_are_read_from_any_position_on_whatever_file_is_open() {
    let (dir, sizes) = several_segments();
    let options = Options {
        open_files_max: 1,
        ..small(dir.path())
    };
    let store = DiskStore::open(options).unwrap();
    for from in 0..sizes.len() as u64 {
        for limit in [1, 3, 50] {
            let read = store.read_after(Position(from), limit).unwrap();
            assert_eq!(read.len(), limit.min(sizes.len() - index(from)));
            for (position, bytes) in read {
                assert!(bytes == record(position.get(), sizes[index(position.get()) - 1]));
            }
        }
    }
    assert_eq!(store.read_after(store.last(), 5).unwrap(), []);
    assert_eq!(store.read_after(Position(3), 0).unwrap(), []);
}

#[test]
fn a_commit_out_of_order_is_refused_and_one_without_records_does_nothing() {
    let dir = scratch();
    let store = open(dir.path()).unwrap();
    commit(&store, &[10]);
    for first in [1, 3] {
        let refused = store.commit(Position(first), &[record(1, 1)]);
        assert!(matches!(refused, Err(StoreError::Failed(_))), "{refused:?}");
    }
    store.commit(Position(2), &[]).unwrap();
    commit(&store, &[10]);
    assert_eq!(all(&store).unwrap().len(), 2);
}
