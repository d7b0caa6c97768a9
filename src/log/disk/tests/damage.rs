//! Files that differ from what was written: nothing wrong is read, and the place is named.

use super::*;

/// How many records of a store are right; each of the others is reported as damaged.
fn reads_rightly(dir: &Path, sizes: &[usize]) -> Result<usize, String> {
    let store = DiskStore::open(small(dir)).map_err(|error| error.to_string())?;
    if store.last().get() != sizes.len() as u64 {
        return Err(format!("WRONG: the log ends at {}", store.last().get()));
    }
    let mut right = 0;
    for (number, size) in (1..).zip(sizes) {
        match store.read(Position::from_number(number)) {
            Ok(read) if read == record(number, *size) => right += 1,
            Ok(_) => return Err(format!("WRONG: the record at {number}")),
            Err(error) if error.position() == Some(Position::from_number(number)) => {}
            Err(error) => return Err(format!("WRONG: no place: {error}")),
        }
    }
    Ok(right)
}

#[test]
fn a_flipped_bit_anywhere_in_the_last_segment_is_refused() {
    let (dir, before, sizes) = two_commits(&[400, 5_000, 20]);
    let written = read_segment(&segment(dir.path()));
    let end = written.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let first_end = before.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let mut dice = 7;
    for round in 0..60 {
        // The header, the heads of the frames and their ends more often than chance would.
        let at = match round % 4 {
            0 => below(&mut dice, 44),
            1 => PAGE + below(&mut dice, 60),
            2 => first_end - 30 + below(&mut dice, 60),
            _ => PAGE + below(&mut dice, end - PAGE),
        };
        let bad = scratch();
        copy_folder(dir.path(), bad.path());
        let mut bytes = written.clone();
        bytes[at] ^= 1 << (roll(&mut dice) % 8);
        fs::write(segment(bad.path()), &bytes).unwrap();
        let refused = held(bad.path(), &sizes);
        assert!(
            matches!(refused, Err(Error::EndLost { .. } | Error::Open { .. })),
            "byte {at}: {refused:?}"
        );
        let left = fs::read(segment(bad.path())).unwrap();
        assert!(left == bytes, "byte {at}: what is refused is left as it is");
    }
}

#[test]
fn a_flipped_byte_anywhere_in_any_segment_is_named_or_does_no_harm() {
    let (dir, sizes) = several_segments();
    let mut dice = 11;
    for path in segments(dir.path()) {
        let written = fs::read(&path).unwrap();
        let used = written.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        for round in 0..40 {
            let at = match round % 4 {
                0 => below(&mut dice, 48),
                1 => used - 1 - below(&mut dice, 100),
                2 => PAGE + below(&mut dice, 100),
                _ => below(&mut dice, used),
            };
            let bad = scratch();
            copy_folder(dir.path(), bad.path());
            let mut bytes = written.clone();
            bytes[at] ^= 1 << (roll(&mut dice) % 8);
            fs::write(bad.path().join(LOG_DIR).join(name(&path)), bytes).unwrap();
            if let Err(said) = reads_rightly(bad.path(), &sizes) {
                assert!(!said.starts_with("WRONG"), "{path:?} {at}: {said}");
                assert!(
                    said.contains(&name(&path)) || said.contains("position"),
                    "{said}"
                );
            }
        }
    }
}

#[test]
fn segments_that_are_gone_swapped_shortened_grown_or_there_twice_are_named_or_do_no_harm() {
    let (dir, sizes) = several_segments();
    let paths = segments(dir.path());
    let log = |dir: &Path, path: &Path| dir.join(LOG_DIR).join(name(path));
    type Harm<'a> = Box<dyn Fn(&Path) + 'a>;
    let mut harms: Vec<(String, Harm<'_>)> = Vec::new();
    for (index, path) in paths.iter().enumerate() {
        let length = fs::metadata(path).unwrap().len();
        let file = name(path);
        harms.push((
            format!("{file} gone"),
            Box::new(move |dir| fs::remove_file(log(dir, path)).unwrap()),
        ));
        for part in [0, 1, 3, 7] {
            let length = length * part / 8;
            let harm = move |dir: &Path| {
                let file = File::options().write(true).open(log(dir, path)).unwrap();
                file.set_len(length).unwrap();
            };
            harms.push((format!("{file} of {length}"), Box::new(harm)));
        }
        for tail in [&[0; 5_000][..], &[9; 5_000]] {
            let harm = move |dir: &Path| {
                let bytes = [&fs::read(path).unwrap()[..], tail].concat();
                fs::write(log(dir, path), bytes).unwrap();
            };
            harms.push((format!("{file} grown"), Box::new(harm)));
        }
        let other = &paths[(index + 1) % paths.len()];
        let harm = move |dir: &Path| {
            fs::copy(other, log(dir, path)).unwrap();
            fs::copy(path, log(dir, other)).unwrap();
        };
        harms.push((format!("{file} swapped"), Box::new(harm)));
        let harm = move |dir: &Path| {
            fs::copy(path, log(dir, other)).unwrap();
        };
        harms.push((format!("{file} twice"), Box::new(harm)));
        let harm = move |dir: &Path| {
            fs::copy(path, folder::segment(&dir.join(LOG_DIR), 7)).unwrap();
        };
        harms.push((format!("{file} as another"), Box::new(harm)));
    }
    for (what, harm) in harms {
        let bad = scratch();
        copy_folder(dir.path(), bad.path());
        harm(bad.path());
        match reads_rightly(bad.path(), &sizes) {
            Ok(right) => assert!(
                right == sizes.len() || !what.contains("gone"),
                "{what}: {right}"
            ),
            Err(said) => {
                assert!(!said.starts_with("WRONG"), "{what}: {said}");
                assert!(
                    said.contains(".seg") || said.contains("position"),
                    "{what}: {said}"
                );
            }
        }
    }
}

#[test]
fn damage_in_front_of_a_whole_commit_is_named_with_its_place() {
    let (dir, _, sizes) = two_commits(&[400]);
    // Even if the machine went down, too, and the note is older.
    note(dir.path(), 0);
    let mut bytes = read_segment(&segment(dir.path()));
    bytes[PAGE + 100] ^= 1;
    fs::write(segment(dir.path()), bytes).unwrap();
    let refused = held(dir.path(), &sizes).unwrap_err().to_string();
    assert!(
        refused.ends_with("log/00000000000000000001.seg is damaged at byte 4096, position 1"),
        "{refused}"
    );
}

#[test]
fn damage_in_a_block_leaves_what_lies_in_others_of_its_frame() {
    let (dir, _, sizes) = two_commits(&[30_000; 20]);
    let store = open(dir.path()).unwrap();
    // The segment ends with this, and is not read when the store is opened.
    store
        .appender
        .as_ref()
        .unwrap()
        .lock()
        .unwrap()
        .begin(23)
        .unwrap();
    drop(store);
    let path = segment(dir.path());
    let mut bytes = fs::read(&path).unwrap();
    let part = record(10, 30_000).slice(500..600);
    let at = bytes
        .windows(100)
        .position(|window| *window == part)
        .unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
    let store = open(dir.path()).unwrap();
    let is_damaged = |position: &u64| store.read(Position::from_number(*position)).is_err();
    let damaged: Vec<_> = (1..=sizes.len() as u64).filter(is_damaged).collect();
    assert!(damaged.contains(&10) && damaged.len() < 4, "{damaged:?}");
    let first = Position::from_number(damaged[0]);
    let read = store.read_after(Position::START, usize::MAX).unwrap();
    assert_eq!(
        read.len() as u64,
        damaged[0] - 1,
        "what lies before is given"
    );
    let error = store.read_after(read.last().unwrap().0, 1).unwrap_err();
    assert_eq!(error.position(), Some(first));
    assert!(
        error
            .to_string()
            .contains("00000000000000000001.seg is damaged at byte")
    );
}

#[test]
fn a_seal_that_is_damaged_harms_nothing_and_is_told() {
    let (dir, sizes) = several_segments();
    let path = &segments(dir.path())[1];
    let mut bytes = fs::read(path).unwrap();
    let end = bytes.len();
    bytes[end - 20] ^= 1;
    fs::write(path, bytes).unwrap();
    assert_eq!(reads_rightly(dir.path(), &sizes), Ok(sizes.len()));
    let store = DiskStore::open_to_read(small(dir.path())).unwrap();
    let reported = store.harmless()[0].to_string();
    assert!(reported.contains(&name(path)), "{reported}");
}

#[test]
fn who_only_looks_is_refused_too_and_cuts_nothing_off_damage() {
    let (dir, ..) = two_commits(&[400]);
    fs::remove_file(dir.path().join(DURABLE_MARK)).unwrap();
    let mut bytes = read_segment(&segment(dir.path()));
    bytes[PAGE + 100] ^= 1;
    fs::write(segment(dir.path()), &bytes).unwrap();
    let refused = DiskStore::open_to_read(small(dir.path()))
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains(".seg is damaged at byte 4096"),
        "{refused}"
    );
    assert!(fs::read(segment(dir.path())).unwrap() == bytes);
    assert!(!dir.path().join(DURABLE_MARK).exists(), "nothing is made");
}
