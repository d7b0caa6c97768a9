//! Records that replace others: all of them or none, and nothing is left of the others.

use super::*;

fn rewrites(positions: &[u64]) -> Vec<Result<(Position, Bytes), Error>> {
    let rewrite = |position: &u64| Ok((Position(*position), after(*position)));
    positions.iter().map(rewrite).collect()
}

/// What stands at a position once it is rewritten.
fn after(position: u64) -> Bytes {
    record(1_000_000 + position, 20)
}

fn rewrite(store: &DiskStore, positions: &[u64]) {
    store.rewrite(&mut rewrites(positions).into_iter()).unwrap();
}

/// Checks that everything is unchanged except these positions.
fn holds(store: &DiskStore, sizes: &[usize], rewritten: &[u64]) {
    let expected = |number: u64, size: usize| match rewritten.contains(&number) {
        true => after(number),
        false => record(number, size),
    };
    let read = all(store).unwrap();
    assert_eq!(read.len(), sizes.len());
    for ((number, read), size) in (1..).zip(read).zip(sizes) {
        assert!(read == expected(number, *size), "{number}");
        let one = store.read(Position(number)).unwrap();
        assert!(one == expected(number, *size), "{number}");
    }
}

/// Whether any file holds a part of a record.
fn lies_in(dir: &Path, number: u64, size: usize) -> bool {
    let part = record(number, size).slice(20..60);
    let files = fs::read_dir(dir.join(LOG_DIR)).unwrap();
    files.into_iter().any(|file| {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        memchr::memmem::find(&bytes, &part).is_some()
    })
}

/// In several segments, the last one too.
const SOME: [u64; 6] = [2, 3, 90, 91, 150, 240];

#[test]
fn a_rewriting_is_read_at_once_and_after_a_restart_and_what_was_there_leaves_with_the_purge() {
    let (dir, sizes) = several_segments();
    let store = DiskStore::open(small(dir.path())).unwrap();
    assert!(!store.is_purge_pending().unwrap());
    rewrite(&store, &SOME);
    holds(&store, &sizes, &SOME);
    assert!(store.is_purge_pending().unwrap());
    drop(store);
    let looked = DiskStore::open_to_read(small(dir.path())).unwrap();
    holds(&looked, &sizes, &SOME);
    assert!(looked.is_purge_pending().unwrap());
    drop(looked);
    let store = DiskStore::open(small(dir.path())).unwrap();
    holds(&store, &sizes, &SOME);
    assert!(lies_in(dir.path(), 2, sizes[1]));
    store.purge(0).unwrap();
    holds(&store, &sizes, &SOME);
    for position in SOME {
        let size = sizes[index(position) - 1];
        assert!(
            size < 60 || !lies_in(dir.path(), position, size),
            "{position}"
        );
    }
    assert!(store.is_purge_pending().unwrap(), "the view's");
    store.end_purge().unwrap();
    assert!(!store.is_purge_pending().unwrap());
    commit(&store, &[10]);
    drop(store);
    let store = DiskStore::open(small(dir.path())).unwrap();
    assert!(!store.is_purge_pending().unwrap());
    holds(&store, &[&sizes[..], &[10]].concat(), &SOME);
}

#[test]
fn rewritings_follow_each_other_and_the_last_one_counts() {
    let (dir, sizes) = several_segments();
    let store = DiskStore::open(small(dir.path())).unwrap();
    for round in 0..3 {
        store
            .rewrite(&mut [Ok((Position(2), record(round, 9_000)))].into_iter())
            .unwrap();
        rewrite(&store, &SOME[index(round)..]);
        if round == 1 {
            store.purge(0).unwrap();
        }
    }
    rewrite(&store, &SOME);
    // No more than an erasure that finds nothing.
    store.rewrite(&mut std::iter::empty()).unwrap();
    holds(&store, &sizes, &SOME);
    store.purge(0).unwrap();
    store.purge(0).unwrap();
    holds(&store, &sizes, &SOME);
    drop(store);
    holds(&DiskStore::open(small(dir.path())).unwrap(), &sizes, &SOME);
}

#[test]
fn a_rewriting_that_ends_early_changes_nothing() {
    let (dir, sizes) = several_segments();
    let store = DiskStore::open(small(dir.path())).unwrap();
    let no = || Err(Error::Rewrite("no".to_owned()));
    let many = (0..2_000).map(|_| Ok((Position(1), record(9, 9))));
    store.rewrite(&mut many.chain([no()])).unwrap_err();
    let behind = Ok((store.last().plus(1), record(9, 9)));
    store
        .rewrite(&mut rewrites(&[1]).into_iter().chain([behind]))
        .unwrap_err();
    holds(&store, &sizes, &[]);
    // Nor does what it had written come out with the next one.
    rewrite(&store, &[2]);
    holds(&store, &sizes, &[2]);
    drop(store);
    holds(&DiskStore::open(small(dir.path())).unwrap(), &sizes, &[2]);
}

#[test]
fn a_rewriting_that_a_power_cut_has_torn_at_any_byte_is_there_or_not() {
    let (dir, sizes) = several_segments();
    let store = DiskStore::open(small(dir.path())).unwrap();
    rewrite(&store, &SOME[..2]);
    let file = dir.path().join(LOG_DIR).join(folder::REWRITES);
    let before = index(fs::metadata(&file).unwrap().len());
    // Of two frames.
    let many: Vec<_> = (0..1_025).map(|_| 90).chain([91, 240]).collect();
    rewrite(&store, &many);
    drop(store);
    let written = fs::read(&file).unwrap();
    let remains = DurableMark::open(&dir.path().join(LOG_DIR).join(folder::PURGE_PENDING))
        .unwrap()
        .unwrap()
        .0;
    remains.write(Position(2)).unwrap();
    drop(remains);
    let lengths = (before..written.len())
        .step_by(1_777)
        .chain([written.len() - 1, written.len()]);
    for length in lengths {
        let torn = scratch();
        copy_folder(dir.path(), torn.path());
        fs::write(
            torn.path().join(LOG_DIR).join(folder::REWRITES),
            &written[..length],
        )
        .unwrap();
        let rewritten = match length == written.len() {
            true => &[2, 3, 90, 91, 240][..],
            false => &[2, 3],
        };
        let store = DiskStore::open(small(torn.path())).unwrap();
        holds(&store, &sizes, rewritten);
        // And it goes on.
        rewrite(&store, &[150]);
        drop(store);
        let store = DiskStore::open(small(torn.path())).unwrap();
        holds(&store, &sizes, &[rewritten, &[150]].concat());
        store.purge(0).unwrap();
        holds(&store, &sizes, &[rewritten, &[150]].concat());
    }
}

#[test]
fn rewritten_records_that_are_damaged_or_lost_are_refused() {
    let (dir, _) = several_segments();
    let store = DiskStore::open(small(dir.path())).unwrap();
    rewrite(&store, &SOME[..2]);
    rewrite(&store, &SOME);
    drop(store);
    let file = dir.path().join(LOG_DIR).join(folder::REWRITES);
    let written = fs::read(&file).unwrap();
    for at in (0..written.len()).filter(|at| *at < 44 || *at >= PAGE) {
        let mut bad = written.clone();
        bad[at] ^= 1;
        fs::write(&file, bad).unwrap();
        let refused = DiskStore::open(small(dir.path())).unwrap_err().to_string();
        assert!(refused.contains("log/rewrites"), "byte {at}: {refused}");
    }
    fs::remove_file(&file).unwrap();
    let refused = DiskStore::open(small(dir.path())).unwrap_err().to_string();
    assert!(
        refused.contains("log/rewrites ends at number 0, but there were 8"),
        "{refused}"
    );
}

#[test]
fn a_stop_at_any_step_of_a_wiping_loses_nothing_and_the_next_one_ends_it() {
    let (dir, sizes) = several_segments();
    let store = DiskStore::open(small(dir.path())).unwrap();
    rewrite(&store, &SOME);
    drop(store);
    // The result of a purge, to take parts of.
    let done = scratch();
    copy_folder(dir.path(), done.path());
    let store = DiskStore::open(small(done.path())).unwrap();
    store.purge(0).unwrap();
    drop(store);
    let changed: Vec<_> = segments(done.path())
        .into_iter()
        .filter(|path| {
            let before = dir.path().join(LOG_DIR).join(name(path));
            !before.exists() || fs::read(before).unwrap() != fs::read(path).unwrap()
        })
        .collect();
    assert!(changed.len() > 3, "{changed:?}");
    for count in 0..=changed.len() {
        for unfinished in [0, 3_000, 6_000] {
            let stopped = scratch();
            copy_folder(dir.path(), stopped.path());
            let log = stopped.path().join(LOG_DIR);
            // The last one was sealed first.
            let last = segments(done.path()).pop().unwrap();
            fs::copy(&last, log.join(name(&last))).unwrap();
            for path in &changed[..count] {
                fs::copy(path, log.join(name(path))).unwrap();
            }
            let half = fs::read(&changed[0]).unwrap();
            fs::write(
                log.join(folder::REPLACEMENT),
                &half[..unfinished.min(half.len())],
            )
            .unwrap();
            let store = DiskStore::open(small(stopped.path())).unwrap();
            holds(&store, &sizes, &SOME);
            assert!(store.is_purge_pending().unwrap());
            store.purge(0).unwrap();
            holds(&store, &sizes, &SOME);
            drop(store);
            assert!(!log.join(folder::REPLACEMENT).exists());
            assert!(!lies_in(stopped.path(), 2, sizes[1]), "{count}");
            holds(
                &DiskStore::open(small(stopped.path())).unwrap(),
                &sizes,
                &SOME,
            );
        }
    }
}

#[test]
fn who_reads_and_who_writes_goes_on_during_rewritings_and_wipings() {
    let (dir, mut sizes) = several_segments();
    let store = DiskStore::open(small(dir.path())).unwrap();
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let known = sizes.clone();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut rounds = 0;
            while !is_over.load(Ordering::Relaxed) || rounds == 0 {
                for (position, read) in store.read_after(Position::START, 240).unwrap() {
                    let number = position.get();
                    let written = record(number, known[index(number) - 1]);
                    assert!(read == written || read == after(number), "{number}");
                }
                rounds += 1;
            }
        });
        let writer = scope.spawn(|| {
            for _ in 0..100 {
                commit(&store, &[500]);
            }
        });
        for round in 0..8 {
            rewrite(&store, &[1 + round, 100 + round, 200 + round]);
            store.purge(0).unwrap();
        }
        writer.join().unwrap();
        is_over.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
    sizes.extend([500; 100]);
    let rewritten: Vec<_> = (0..8)
        .flat_map(|round| [1 + round, 100 + round, 200 + round])
        .collect();
    holds(&store, &sizes, &rewritten);
}

#[test]
fn any_history_reads_as_the_store_in_memory_says() {
    let mut dice = 5;
    for history in 0..12 {
        let dir = scratch();
        let twin = crate::log::memory::MemoryStore::default();
        let mut store = DiskStore::open(small(dir.path())).unwrap();
        for step in 0..120 {
            let last = store.last().get();
            match below(&mut dice, 12) {
                0 => {
                    drop(store);
                    store = DiskStore::open(small(dir.path())).unwrap();
                }
                1 => store.purge(0).unwrap(),
                2 if last > 0 => {
                    let count = below(&mut dice, 6);
                    let some: Vec<_> = (0..count)
                        .map(|_| {
                            let position =
                                1 + below(&mut dice, usize::try_from(last).unwrap()) as u64;
                            let bytes = below(&mut dice, 5_000);
                            Ok((Position(position), record(roll(&mut dice), bytes)))
                        })
                        .collect();
                    store.rewrite(&mut some.clone().into_iter()).unwrap();
                    twin.rewrite(&mut some.into_iter()).unwrap();
                }
                _ => {
                    let count = 1 + below(&mut dice, 30);
                    let some: Vec<_> = (0..count)
                        .map(|_| match below(&mut dice, 9) {
                            0 => Bytes::from(vec![7; below(&mut dice, 40_000)]),
                            _ => {
                                let number = roll(&mut dice);
                                record(number, below(&mut dice, 700))
                            }
                        })
                        .collect();
                    store.commit(Position(last + 1), &some).unwrap();
                    twin.commit(Position(last + 1), &some).unwrap();
                }
            }
            let after = Position(below(&mut dice, usize::try_from(last).unwrap() + 2) as u64);
            let limit = below(&mut dice, 50);
            let (read, expected) = (
                store.read_after(after, limit),
                twin.read_after(after, limit),
            );
            assert!(read.unwrap() == expected.unwrap(), "{history}, {step}");
            let one = after.plus(1);
            assert_eq!(
                store.read(one).ok(),
                twin.read(one).ok(),
                "{history}, {step}"
            );
        }
        assert_eq!(store.last(), twin.last());
    }
}
