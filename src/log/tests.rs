//! The log over a store in memory.

mod crowd;

use std::time::Duration;

use super::memory::MemoryStore;
use super::*;
use crate::clock::ManualClock;

struct Bench {
    store: Arc<MemoryStore>,
    clock: Arc<ManualClock>,
    log: Log,
}

fn bench(options: &Options) -> Bench {
    let store = Arc::new(MemoryStore::default());
    let clock = Arc::new(ManualClock::starting_at(Duration::ZERO));
    let log = Log::start(store.clone(), options, clock.clone()).unwrap();
    Bench { store, clock, log }
}

fn record(text: &'static str) -> Vec<Bytes> {
    vec![Bytes::from_static(text.as_bytes())]
}

#[tokio::test]
async fn positions_follow_each_other() {
    let bench = bench(&Options::default());
    let first = bench.log.append(record("a")).await.unwrap();
    let both = vec![Bytes::from_static(b"b"), Bytes::from_static(b"c")];
    let second = bench.log.append(both).await.unwrap();
    assert_eq!((first.start().get(), first.end().get()), (1, 1));
    assert_eq!((second.start().get(), second.end().get()), (2, 3));
    assert_eq!(bench.log.last().get(), 3);
    let read = bench.log.read_after(Position::from_number(1), 10).unwrap();
    let read: Vec<_> = read.iter().map(|(p, r)| (p.get(), &**r)).collect();
    assert_eq!(read, [(2, b"b".as_slice()), (3, b"c".as_slice())]);
}

#[tokio::test]
async fn a_commit_that_nobody_was_told_of_is_not_read() {
    let bench = bench(&Options::default());
    bench.log.append(record("a")).await.unwrap();
    // As if the writer were delayed after its commit.
    bench
        .store
        .commit(Position::from_number(2), &record("b"))
        .unwrap();
    bench.log.writer.recent().clear();
    let read = |after| {
        let read = bench.log.read_after(Position::from_number(after), 10);
        read.unwrap().len()
    };
    assert_eq!((read(0), read(1), read(2)), (1, 0, 0));
}

#[tokio::test]
async fn appends_that_wait_share_one_commit() {
    let bench = bench(&Options::default());
    bench.store.stall(true);
    let appends: Vec<_> = (0..100)
        .map(|_| {
            let log = bench.log.clone();
            tokio::spawn(async move { log.append(record("x")).await })
        })
        .collect();
    while lock_records(&bench.log) < 100 {
        tokio::task::yield_now().await;
    }
    bench.store.stall(false);
    for append in appends {
        append.await.unwrap().unwrap();
    }
    // The first may have been alone; all that came during its commit shared the next.
    assert!(bench.store.commits() <= 2, "{}", bench.store.commits());
    assert_eq!(bench.log.last().get(), 100);
}

fn lock_records(log: &Log) -> usize {
    log.writer.queued_records()
}

#[tokio::test]
async fn the_first_failed_commit_latches_the_log() {
    let bench = bench(&Options::default());
    bench.log.append(record("kept")).await.unwrap();
    bench
        .store
        .fail(Some(StoreError::Failed("bad disk".into())));
    let failed = bench.log.append(record("lost")).await;
    assert!(matches!(failed, Err(Error::Failed(reason)) if &*reason == "bad disk"));
    bench.store.fail(None);
    let after = bench.log.append(record("late")).await;
    assert!(matches!(after, Err(Error::Failed(reason)) if &*reason == "bad disk"));
    assert_eq!(bench.log.state(), State::Failed("bad disk".into()));
    assert_eq!(bench.log.read(Position::from_number(1)).unwrap(), "kept");
}

#[tokio::test]
async fn a_full_disk_heals_once_space_is_freed() {
    let bench = bench(&Options::default());
    bench.store.fail(Some(StoreError::Full));
    assert!(matches!(
        bench.log.append(record("a")).await,
        Err(Error::Full)
    ));
    assert_eq!(bench.log.state(), State::Full);
    bench.store.fail(None);
    bench.log.append(record("b")).await.unwrap();
    assert_eq!(bench.log.state(), State::Ready);
    assert_eq!(bench.log.last().get(), 1);
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let bench = bench(&Options {
        queue_records_max: 2,
        ..Options::default()
    });
    bench.store.stall(true);
    let waiting: Vec<_> = ["a", "b"]
        .map(|text| bench.log.writer.enqueue_plain(record(text)).unwrap())
        .into();
    assert!(matches!(
        bench.log.append(record("c")).await,
        Err(Error::Overloaded)
    ));
    bench.store.stall(false);
    for done in waiting {
        done.1.await.unwrap().unwrap();
    }
    bench.log.append(record("d")).await.unwrap();
    assert_eq!(bench.log.last().get(), 3);
}

#[tokio::test]
async fn an_append_does_not_wait_for_a_hanging_disk_for_ever() {
    let timeout = Duration::from_millis(1);
    let bench = bench(&Options {
        append_timeout: timeout,
        ..Options::default()
    });
    bench.store.stall(true);
    let stalled = bench.log.append(record("a")).await;
    assert!(matches!(stalled, Err(Error::Stalled(after)) if after == timeout));
    // The caller's time may be up before the writer has begun.
    bench.store.wait_for_hanging();
    bench.clock.advance(Duration::from_secs(6));
    assert_eq!(
        bench.log.state(),
        State::Stalled(Duration::from_secs(6)),
        "a commit that hangs shows"
    );
    bench.store.stall(false);
}

#[tokio::test]
async fn a_failed_commit_may_have_kept_its_records_as_a_restart_shows() {
    for keeps in [false, true] {
        let bench = bench(&Options::default());
        bench.store.fail_once(1, keeps);
        bench.log.append(record("a")).await.unwrap();
        let both = vec![Bytes::from_static(b"b"), Bytes::from_static(b"c")];
        let failed = bench.log.append(both).await;
        assert!(matches!(failed, Err(Error::Failed(_))));
        bench.log.close();
        assert_eq!(bench.log.read_after(Position::START, 10).unwrap().len(), 1);
        bench.store.restart();
        let (store, clock) = (bench.store.clone(), bench.clock.clone());
        let log = Log::start(store, &Options::default(), clock).unwrap();
        let before = if keeps { 3 } else { 1 };
        assert_eq!(log.last().get(), before);
        let next = log.append(record("d")).await.unwrap();
        assert_eq!(next.start().get(), before + 1);
    }
}

#[tokio::test]
async fn a_writer_that_panics_has_failed_and_does_not_hang() {
    #[derive(Debug)]
    struct Panics(MemoryStore);
    impl Store for Panics {
        fn commit(&self, _: Position, _: &[Bytes]) -> Result<(), StoreError> {
            panic!("as a bug would");
        }
        fn last(&self) -> Position {
            self.0.last()
        }
        fn read(&self, position: Position) -> Result<Bytes, Error> {
            self.0.read(position)
        }
        fn read_after(&self, after: Position, n: usize) -> Result<Vec<(Position, Bytes)>, Error> {
            self.0.read_after(after, n)
        }
        fn rewrite(&self, rewrites: &mut Rewrites<'_>) -> Result<(), Error> {
            self.0.rewrite(rewrites)
        }
        fn is_purge_pending(&self) -> Result<bool, Error> {
            self.0.is_purge_pending()
        }
        fn purge(&self, room: u64) -> Result<(), Error> {
            self.0.purge(room)
        }
        fn end_purge(&self) -> Result<(), Error> {
            self.0.end_purge()
        }
        fn has_space(&self) -> bool {
            true
        }
        fn close(&self) {}
    }
    let clock = Arc::new(ManualClock::starting_at(Duration::ZERO));
    let store = Arc::new(Panics(MemoryStore::default()));
    let options = Options::default();
    let log = Log::start(store, &options, clock.clone()).unwrap();
    let failed = log.append(record("a")).await;
    assert!(matches!(failed, Err(Error::Panicked)), "{failed:?}");
    // The thread has ended then.
    log.close();
    assert_eq!(options.panics.counted(), 1);
    let failed = log.append(record("b")).await;
    assert!(matches!(failed, Err(Error::Panicked)), "{failed:?}");
    clock.advance(Duration::from_secs(6));
    let reason = "the log's writer panicked".into();
    assert_eq!(log.state(), State::Failed(reason));
}

#[tokio::test]
async fn closing_commits_what_is_queued_and_refuses_the_rest() {
    let bench = bench(&Options::default());
    let queued = bench.log.writer.enqueue_plain(record("a")).unwrap();
    bench.log.close();
    assert_eq!(queued.1.await.unwrap().unwrap().get(), 1);
    assert!(matches!(
        bench.log.append(record("b")).await,
        Err(Error::Closed)
    ));
}

#[tokio::test]
async fn records_stay_as_they_are_while_somebody_holds_them_still() {
    let bench = bench(&Options::default());
    bench.log.append(record("a")).await.unwrap();
    let position = Position::from_number(1);
    let still = bench.log.pin();
    let log = bench.log.clone();
    let rewriting = std::thread::spawn(move || {
        let other = Bytes::from_static(b"b");
        log.rewrite([Ok((position, other))]).unwrap();
    });
    for _ in 0..1_000 {
        std::thread::yield_now();
        assert_eq!(bench.log.read(position).unwrap(), "a");
    }
    drop(still);
    rewriting.join().unwrap();
    assert_eq!(bench.log.read(position).unwrap(), "b");
}

#[tokio::test]
async fn a_gap_up_to_the_end_is_damage_and_not_an_end() {
    let before = bench(&Options::default());
    for text in ["a", "b", "c"] {
        before.log.append(record(text)).await.unwrap();
    }
    before.store.lose_behind(Position::from_number(1));
    // What was written a moment ago is read from memory.
    let log = Log::start(before.store, &Options::default(), before.clock).unwrap();
    assert_eq!(log.read_after(Position::START, 10).unwrap().len(), 1);
    let gap = log.read_after(Position::from_number(1), 10).unwrap_err();
    assert_eq!(
        gap.to_string(),
        "the log is damaged at position 2: the record is missing"
    );
    let end = log.read_after(Position::from_number(3), 10).unwrap();
    assert_eq!(end, []);
}

#[tokio::test]
async fn a_store_that_others_may_write_to_takes_no_more_appends() {
    let bench = bench(&Options::default());
    bench.log.append(record("a")).await.unwrap();
    assert_eq!(bench.log.state(), State::Ready);
    bench.store.trouble_with("the lock is gone");
    assert_eq!(bench.log.state(), State::Failed("the lock is gone".into()));
    let refused = bench.log.append(record("b")).await.unwrap_err();
    assert!(matches!(refused, Error::Failed(_)), "{refused}");
    assert_eq!(bench.log.read_after(Position::START, 10).unwrap().len(), 1);
}

#[tokio::test]
async fn a_log_that_has_been_found_damaged_says_where_and_goes_on() {
    let bench = bench(&Options::default());
    bench.log.append(record("no record")).await.unwrap();
    assert_eq!(bench.log.state(), State::Ready);
    let position = Position::from_number(1);
    let bytes = bench.log.read(position).unwrap();
    assert!(bench.log.decode(position, bytes).is_err());
    assert!(bench.log.read(Position::from_number(7)).is_err());
    assert_eq!(bench.log.state(), State::Damaged(position));
    bench.log.append(record("more")).await.unwrap();
}
