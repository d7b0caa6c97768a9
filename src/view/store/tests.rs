//! Checkpoints, with reads and kills meanwhile.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;

use super::super::tests::scratch;
use super::readers::KEPT_BYTES_MAX;
use super::*;
use crate::log::SetAside;

/// Keys that are overwritten again and again.
const KEYS: u64 = 16;

fn options() -> Options {
    Options {
        checkpoint_bytes: 1 << 10,
        ..Options::default()
    }
}

fn store() -> (TempDir, Store) {
    let dir = scratch();
    let store = Store::open(&dir.path().join("view"), &options()).unwrap();
    (dir, store)
}

fn put(table: Table, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Write {
    let value = value.as_ref().into();
    (table, key.as_ref().into(), Some(value))
}

fn number_of(state: &State, key: &[u8]) -> u64 {
    let value = state.get(Table::Records, key).unwrap();
    value.map_or(0, |value| keys::read_number(&value).unwrap())
}

/// Everything of the tables that the tests write.
fn rows(state: &State) -> Vec<Entry> {
    let tables = [Table::Records, Table::Timeline, Table::Suppressed];
    let rows = tables.into_iter().flat_map(|table| state.scan(table, &[]));
    rows.collect::<Result<_, _>>().unwrap()
}

fn state(store: &Store) -> Arc<State> {
    store.snapshot().0
}

/// What a kill at this moment leaves, opened again.
fn after_a_kill(view: &Path) -> (TempDir, Store) {
    let dir = scratch();
    let copy = dir.path().join("view");
    copy_folder(view, &copy);
    (dir, Store::open(&copy, &options()).unwrap())
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_folder(&entry.path(), &to),
            false => copy_file(&entry.path(), &to),
        }
    }
}

/// Without the preallocated space at the end of the engine's journal.
fn copy_file(from: &Path, to: &Path) {
    let bytes = std::fs::read(from).unwrap();
    let length = bytes.iter().rposition(|byte| *byte != 0);
    std::fs::write(to, &bytes[..length.map_or(0, |last| last + 1)]).unwrap();
    let file = std::fs::File::options().write(true).open(to).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
}

#[test]
fn who_reads_while_checkpoints_are_made_sees_all_writes_up_to_one_of_them() {
    let (_dir, store) = store();
    let is_over = AtomicBool::new(false);
    let look = |state: &State| {
        let last = number_of(state, b"last");
        for key in 0..KEYS {
            let expected = (0..=last).rev().find(|number| number % KEYS == key);
            let expected = expected.unwrap_or_default();
            assert_eq!(number_of(state, &key.to_be_bytes()), expected);
        }
        let removed = state.get(Table::Records, &(KEYS + last % KEYS).to_be_bytes());
        assert_eq!(removed.unwrap(), None);
        last
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                store.checkpoint().unwrap();
            }
        });
        let readers = [(); 2].map(|()| {
            scope.spawn(|| {
                let mut last = 0;
                while !is_over.load(Ordering::Relaxed) {
                    let state = state(&store);
                    let seen = look(&state);
                    assert!(seen >= last, "time goes on");
                    assert_eq!(look(&state), seen, "and a state stays as it is");
                    last = seen;
                }
            })
        });
        for number in 1..4_000_u64 {
            let value = number.to_be_bytes();
            let other = |number: u64| (KEYS + number % KEYS).to_be_bytes();
            store
                .write_all([
                    put(Table::Records, (number % KEYS).to_be_bytes(), value),
                    put(Table::Records, b"last", value),
                    put(Table::Records, other(number + 1), value),
                    (Table::Records, other(number).into(), None),
                    (Table::Records, other(number + 2).into(), None),
                ])
                .unwrap();
            if number % 64 == 0 {
                // Other threads are to run in between, however few cores there are.
                thread::yield_now();
            }
        }
        is_over.store(true, Ordering::Relaxed);
        readers
            .into_iter()
            .for_each(|reader| reader.join().unwrap());
    });
}

#[test]
fn a_kill_at_any_step_of_a_checkpoint_leaves_what_the_last_one_wrote() {
    let (dir, store) = store();
    let view = dir.path().join("view");
    let applied = |number| put(Table::Meta, keys::APPLIED, super::number(number));
    let key = |number: u64| number.to_be_bytes();
    store
        .write_all([put(Table::Records, key(1), "one"), applied(1)])
        .unwrap();
    store.checkpoint().unwrap();
    let before = rows(&state(&store));
    store
        .write_all([
            put(Table::Records, key(2), "two"),
            (Table::Records, key(1).into(), None),
            applied(2),
        ])
        .unwrap();
    let after = rows(&state(&store));
    assert_ne!(before, after);
    let is_before = |step: &str| {
        let (_dir, killed) = after_a_kill(&view);
        assert_eq!(killed.front().unwrap().get(), 1, "{step}");
        assert_eq!(rows(&state(&killed)), before, "{step}");
    };
    is_before("nothing of it has begun");
    let layer = Layer::merged(&state(&store).layers);
    {
        let mut ingestion = store
            .base
            .as_ref()
            .unwrap()
            .keyspace()
            .start_ingestion()
            .unwrap();
        is_before("a table is begun");
        for index in 0..layer.len() {
            let (_, key, value) = layer.row(index).unwrap();
            match value {
                Some(value) => ingestion.write(key, value).unwrap(),
                None => ingestion.write_tombstone(key).unwrap(),
            }
            is_before("a table has some of the rows");
        }
    }
    is_before("it was given up");
    // The engine has it before readers do.
    store.base.as_ref().unwrap().ingest(&layer).unwrap();
    let (_dir, killed) = after_a_kill(&view);
    assert_eq!(killed.front().unwrap().get(), 2);
    assert_eq!(rows(&state(&killed)), after);
    assert_eq!(rows(&state(&store)), after);
    store.checkpoint().unwrap();
    assert_eq!(rows(&state(&store)), after);
}

#[test]
fn a_write_that_comes_while_a_checkpoint_is_made_is_in_the_next_one() {
    let (dir, store) = store();
    let mut batch = Batch::default();
    batch.put(Table::Records, b"a", Some(b"1"));
    let first = store.write(&mut batch).unwrap();
    store.checkpoint().unwrap();
    batch.put(Table::Records, b"a", None);
    let second = store.write(&mut batch).unwrap();
    assert_eq!(
        (second.begun, second.ended),
        (first.begun + 1, first.ended + 1)
    );
    let (_copy, killed) = after_a_kill(&dir.path().join("view"));
    assert!(killed.get(Table::Records, b"a").unwrap().is_some());
    assert!(store.get(Table::Records, b"a").unwrap().is_none());
    assert!(store.get_of_base(Table::Records, b"a").unwrap().is_some());
    store.checkpoint().unwrap();
    assert!(store.get_of_base(Table::Records, b"a").unwrap().is_none());
}

#[test]
fn who_may_read_for_long_keeps_no_layers_in_memory() {
    let (_dir, store) = store();
    let text = vec![b'x'; KEPT_BYTES_MAX];
    store.write_all([put(Table::Records, b"a", &text)]).unwrap();
    assert!(store.in_memory.load(Ordering::Relaxed) > KEPT_BYTES_MAX);
    let (lasting, _reader) = store.lasting_snapshot();
    store
        .write_all([(Table::Records, (*b"a").into(), None)])
        .unwrap();
    assert!(store.in_memory.load(Ordering::Relaxed) < KEPT_BYTES_MAX);
    let found = lasting.get(Table::Records, b"a").unwrap().unwrap();
    assert_eq!(*found, *text);
}

#[test]
fn what_was_removed_is_nowhere_on_the_disk_after_a_purge() {
    let (dir, store) = store();
    let is_on_disk = |text: &[u8]| {
        fn files(dir: &Path, found: &mut Vec<Vec<u8>>) {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => files(&path, found),
                    false => found.push(std::fs::read(path).unwrap()),
                }
            }
        }
        let mut found = Vec::new();
        files(dir.path(), &mut found);
        let has = |file: &Vec<u8>| file.windows(text.len()).any(|bytes| bytes == text);
        found.iter().any(has)
    };
    let secret = b"a secret that does not compress: 0x9e3779b97f4a7c15";
    store
        .write_all([
            put(Table::Records, b"a", secret),
            put(Table::Records, b"b", "kept"),
        ])
        .unwrap();
    store.checkpoint().unwrap();
    assert!(is_on_disk(&secret[..12]));
    store
        .write_all([(Table::Records, (*b"a").into(), None)])
        .unwrap();
    // A read begins after the removal, and goes on until all is gone.
    let purge = || {
        store.let_go()?;
        let reading = store.snapshot();
        let purged = store.purge(&SetAside::default());
        drop(reading);
        purged
    };
    assert!(matches!(purge(), Err(Error::StillRead)));
    store.let_go().unwrap();
    store.purge(&SetAside::default()).unwrap();
    assert!(!is_on_disk(&secret[..12]));
    assert!(store.get(Table::Records, b"b").unwrap().is_some());
}

#[test]
fn tables_that_were_merged_leave_the_disk_after_a_few_checkpoints() {
    let (_dir, store) = store();
    let write = |number: u64| {
        let row = put(Table::Records, number.to_be_bytes(), b"value");
        store.write_all([row]).unwrap();
        store.checkpoint().unwrap();
    };
    (0..4).for_each(write);
    let last = store.base.as_ref().unwrap().last_table().unwrap();
    store.base.as_ref().unwrap().compact().unwrap();
    assert!(store.base.as_ref().unwrap().has_table_up_to(last).unwrap());
    (4..7).for_each(write);
    assert!(!store.base.as_ref().unwrap().has_table_up_to(last).unwrap());
}

#[test]
fn a_store_that_failed_takes_no_writes_and_says_why() {
    let (_dir, store) = store();
    store.fail("for a reason");
    let refused = store.write(&mut Batch::default());
    assert!(matches!(refused, Err(Error::Stopped(reason)) if &*reason == "for a reason"));
    store.wait_for_checkpoints(|| false);
}

/// What happens to a store.
#[derive(Clone, Debug)]
enum Step {
    Write(Vec<(u8, Option<u8>)>),
    Checkpoint,
    Kill,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let write = vec((0..20_u8, any::<Option<u8>>()), 1..8).prop_map(Step::Write);
    vec(
        prop_oneof![6 => write, 2 => Just(Step::Checkpoint), 1 => Just(Step::Kill)],
        1..40,
    )
}

/// A key in one of several tables, whose keys are adjacent.
fn place(key: u8) -> (Table, Vec<u8>) {
    let tables = [Table::Timeline, Table::Suppressed];
    let table = tables[usize::from(key % 2)];
    (table, vec![key / 4; usize::from(key % 3)])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_store_has_what_a_map_has_and_after_a_kill_what_it_had_at_the_last_checkpoint(
        steps in steps()
    ) {
        let (mut dir, mut store) = store();
        let (mut now, mut kept) = (BTreeMap::new(), BTreeMap::new());
        for step in steps {
            match step {
                Step::Write(writes) => {
                    let rows = writes.iter().map(|(key, value)| {
                        let (table, key) = place(*key);
                        (table, key.as_slice().into(), value.map(|value| [value].into()))
                    });
                    store.write_all(rows.collect::<Vec<_>>()).unwrap();
                    for (key, value) in writes {
                        let (table, key) = place(key);
                        match value {
                            Some(value) => drop(now.insert((table as u8, key), value)),
                            None => drop(now.remove(&(table as u8, key))),
                        }
                    }
                }
                Step::Checkpoint => {
                    store.checkpoint().unwrap();
                    kept = now.clone();
                }
                Step::Kill => {
                    (dir, store) = after_a_kill(&dir.path().join("view"));
                    now = kept.clone();
                }
            }
            let state = state(&store);
            for table in [Table::Timeline, Table::Suppressed] {
                let of_table = |(of, _): &(u8, Vec<u8>)| *of == table as u8;
                let expected = now.iter().filter(|(key, _)| of_table(key));
                let expected = expected.map(|((_, key), value)| (key.clone(), vec![*value]));
                let mut expected: Vec<_> = expected.collect();
                let owned = |row: Result<Entry, Error>| {
                    let (key, value) = row.unwrap();
                    (key.to_vec(), value.to_vec())
                };
                let found: Vec<_> = state.scan(table, &[]).map(owned).collect();
                prop_assert_eq!(&found, &expected);
                let all = (Bound::Unbounded, Bound::<Vec<u8>>::Unbounded);
                let found = state.range(table, &all, Order::Descending).map(owned);
                expected.reverse();
                prop_assert_eq!(found.collect::<Vec<_>>(), expected);
            }
            for key in 0..20 {
                let (table, key) = place(key);
                let expected = now.get(&(table as u8, key.clone())).map(|value| vec![*value]);
                let found = state.get(table, &key).unwrap().map(|value| value.to_vec());
                prop_assert_eq!(found, expected);
            }
        }
        drop(dir);
    }
}
