//! Batches, ends, damage, and half a copy.

use std::cell::Cell;

use super::*;
use crate::log::disk::{DiskStore, Options};
use crate::log::memory::MemoryStore;
use crate::log::record::{Command, Event};
use crate::model::customer_id::CustomerIds;
use crate::model::event::EventType;
use crate::model::properties::Properties;
use crate::model::time::Timestamp;

/// A record of so many bytes, and some.
fn record(number: usize, bytes: usize) -> Bytes {
    let time = Timestamp::from_micros(number.try_into().unwrap()).unwrap();
    let text = serde_json::json!({"text": "x".repeat(bytes)}).to_string();
    let event = Event {
        event_type: EventType::parse("visit").unwrap(),
        properties: Properties::from_json(&text).unwrap(),
        time,
    };
    Record {
        project: "p".into(),
        received: time,
        ids: CustomerIds::from_parsed(Vec::new()),
        command: Command::Event(event),
        conflicted: false,
        expired: false,
        clock_set: 0,
        customers: Vec::new(),
    }
    .encode()
}

fn source(count: usize, bytes: usize) -> MemoryStore {
    let store = MemoryStore::default();
    let records: Vec<_> = (1..=count).map(|number| record(number, bytes)).collect();
    store.commit(Position::from_number(1), &records).unwrap();
    store
}

/// Copies up to `end`; gives the copy, too.
fn copied(from: &MemoryStore, end: u64) -> (MemoryStore, Result<Copied, CopyError>) {
    let to = MemoryStore::default();
    let read = |after, limit| {
        assert!(limit <= 64, "{limit}");
        from.read_after(after, limit)
    };
    let copied = copy(&read, Position::from_number(end), &to, &|| false);
    (to, copied)
}

fn all(store: &dyn Store) -> Vec<(Position, Bytes)> {
    store.read_after(Position::START, usize::MAX).unwrap()
}

#[test]
fn what_is_copied_is_the_same_up_to_the_end_that_was_asked_for() {
    let from = source(10_000, 0);
    for end in [0, 1, 63, 64, 65, 4_096, 9_999] {
        let (to, copied) = copied(&from, end);
        let expected = from
            .read_after(Position::START, end.try_into().unwrap())
            .unwrap();
        assert_eq!(all(&to), expected, "{end}");
        let bytes = expected.iter().map(|(_, record)| record.len() as u64);
        let expected = Copied {
            records: end,
            bytes: bytes.sum(),
            last: Position::from_number(end),
        };
        assert_eq!(copied.unwrap(), expected, "{end}");
    }
}

#[test]
fn a_commit_holds_so_many_records_and_so_many_bytes() {
    let (to, copied_all) = copied(&source(4_096 * 2 + 1, 0), 4_096 * 2 + 1);
    copied_all.unwrap();
    assert_eq!(to.commits(), 3);
    // Each of these has a bit more than 16 KiB.
    let (to, copied_all) = copied(&source(1_024, 16_376), 1_024);
    copied_all.unwrap();
    assert_eq!(to.commits(), 2);
}

#[test]
fn damage_ends_the_copy_with_its_position() {
    let from = source(70, 0);
    let damaged = [Bytes::from_static(b"no record")];
    from.commit(Position::from_number(71), &damaged).unwrap();
    let (_, refused) = copied(&from, 71);
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("damaged at position 71"), "{refused}");
    assert_eq!(copied(&from, 70).1.unwrap().records, 70);
    let (_, refused) = copied(&source(3, 0), 5);
    let refused = refused.unwrap_err().to_string();
    assert!(refused.ends_with("position 4: the record is missing"));
}

#[test]
fn a_copy_stops_when_it_is_told_to() {
    let from = source(200, 0);
    let reads = Cell::new(0);
    let read = |after, limit| {
        reads.set(reads.get() + 1);
        from.read_after(after, limit)
    };
    let to = MemoryStore::default();
    let stopped = copy(&read, from.last(), &to, &|| reads.get() == 2);
    assert!(matches!(stopped, Err(CopyError::Stopped)), "{stopped:?}");
    assert_eq!(reads.get(), 2);
}

#[test]
fn a_target_that_fails_ends_the_copy() {
    for failure in [StoreError::Full, StoreError::Failed("it broke".into())] {
        let (from, to) = (source(1, 0), MemoryStore::default());
        to.fail(Some(failure.clone()));
        let read = |after, limit| from.read_after(after, limit);
        let failed = copy(&read, from.last(), &to, &|| false);
        assert!(
            matches!(&failed, Err(CopyError::Target(of)) if *of == failure),
            "{failed:?}"
        );
    }
}

#[test]
fn half_a_copy_is_refused_and_a_whole_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        dir: dir.path().to_owned(),
        free_bytes_min: 0,
        ..Options::default()
    };
    let end = Position::from_number(200);
    let to = DiskStore::create_for(options.clone(), end).unwrap();
    let from = source(200, 0);
    let read = |after, limit| from.read_after(after, limit);
    copy(&read, Position::from_number(150), &to, &|| false).unwrap();
    to.close();
    drop(to);
    for _ in 0..2 {
        let refused = DiskStore::open(options.clone());
        assert!(
            matches!(&refused, Err(Error::EndLost { end, acknowledged, .. }) if (end.get(), acknowledged.get()) == (150, 200)),
            "{refused:?}"
        );
    }
    let again = DiskStore::create_for(options.clone(), end);
    assert!(matches!(again, Err(Error::Open { .. })), "{again:?}");

    let whole = tempfile::tempdir().unwrap();
    let options = Options {
        dir: whole.path().to_owned(),
        ..options
    };
    let to = DiskStore::create_for(options.clone(), end).unwrap();
    copy(&read, end, &to, &|| false).unwrap();
    to.close();
    drop(to);
    let whole = DiskStore::open(options).unwrap();
    assert_eq!(all(&whole), all(&from));
}

#[test]
fn a_copy_that_was_cut_short_before_its_first_record_is_refused() {
    for lost in ["log/00000000000000000001.seg", "log/lock", "log"] {
        let dir = tempfile::tempdir().unwrap();
        let options = Options {
            dir: dir.path().to_owned(),
            free_bytes_min: 0,
            ..Options::default()
        };
        let end = Position::from_number(200);
        drop(DiskStore::create_for(options.clone(), end).unwrap());
        let lost = dir.path().join(lost);
        let removed = std::fs::remove_dir_all(&lost).or_else(|_| std::fs::remove_file(&lost));
        removed.unwrap();
        for _ in 0..2 {
            let refused = DiskStore::open(options.clone());
            assert!(
                matches!(&refused, Err(Error::EndLost { end, acknowledged, .. }) if (end.get(), acknowledged.get()) == (0, 200)),
                "{lost:?}: {refused:?}"
            );
        }
    }
}
