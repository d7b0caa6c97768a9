//! Group commit: one thread that commits what is queued, again and again.

use std::collections::VecDeque;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::tail_cache::{self, TailCache, Written};
use super::{Error, Options, Position, State, Store, StoreError};
use crate::clock::Clock;

/// Most records in one commit.
const COMMIT_RECORDS_MAX: usize = 4_096;
/// Most bytes in one commit, unless a single append is larger.
const COMMIT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// A commit that takes longer than this counts as stalled.
const COMMIT_SLOW: Duration = Duration::from_secs(5);

type Done = oneshot::Sender<Result<Position, Error>>;

/// One append in flight.
struct Pending {
    records: Vec<Written>,
    /// How many records these are, even once they are taken out.
    count: usize,
    bytes: usize,
    done: Done,
}

/// What appends and the writer's thread share.
pub(super) struct Writer {
    store: Arc<dyn Store>,
    queue: Mutex<Queue>,
    /// Wakes the writer's thread.
    filled: Condvar,
    durable: watch::Sender<Position>,
    recent: TailCache,
    records_max: usize,
    bytes_max: usize,
    clock: Arc<dyn Clock>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Queue {
    pending: VecDeque<Pending>,
    /// What is pending or being committed: the memory that waits for the disk.
    records: usize,
    bytes: usize,
    condition: Condition,
    /// When the commit in flight began, on the clock's elapsed time.
    commit_began: Option<Duration>,
}

#[derive(Clone, Default)]
enum Condition {
    #[default]
    Ready,
    Full,
    Closed,
    Failed(Arc<str>),
    Panicked,
}

/// Receives the position of an append's first record, once it is durable.
type Committed = oneshot::Receiver<Result<Position, Error>>;

impl Writer {
    pub(super) fn start(
        store: Arc<dyn Store>,
        options: &Options,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, Error> {
        let writer = Arc::new(Self {
            durable: watch::Sender::new(store.last()),
            store,
            queue: Mutex::default(),
            recent: TailCache::default(),
            filled: Condvar::new(),
            records_max: options.queue_records_max,
            bytes_max: options.queue_bytes_max,
            clock,
            thread: Mutex::new(None),
        });
        let run = {
            let (writer, guard) = (writer.clone(), options.panics.guard());
            move || {
                let _guard = guard;
                writer.run(&*writer.store);
            }
        };
        let thread = std::thread::Builder::new().name("log-writer".into());
        let handle = thread.spawn(run).map_err(|error| Error::Open {
            dir: PathBuf::new(),
            why: error.to_string(),
        })?;
        *lock(&writer.thread) = Some(handle);
        Ok(writer)
    }

    /// Queues an append. The receiver gets the position of its first record. Also gives a position that its last one
    /// will not pass.
    pub(super) fn enqueue(&self, records: Vec<Written>) -> Result<(Position, Committed), Error> {
        let count = records.len();
        let bytes = records.iter().map(tail_cache::bytes).sum();
        let (done, receiver) = oneshot::channel();
        let mut queue = lock(&self.queue);
        match &queue.condition {
            // A full disk is tried again by each append: that is how freed space is noticed.
            Condition::Ready | Condition::Full => {}
            Condition::Closed => return Err(Error::Closed),
            Condition::Failed(reason) => return Err(Error::Failed(reason.clone())),
            Condition::Panicked => return Err(Error::Panicked),
        }
        // An append that is larger than the queue must not be refused forever: it goes alone.
        let fits = queue.records == 0
            || queue.records + count <= self.records_max && queue.bytes + bytes <= self.bytes_max;
        if !fits {
            return Err(Error::Overloaded);
        }
        queue.records += count;
        queue.bytes += bytes;
        queue.pending.push_back(Pending {
            records,
            count,
            bytes,
            done,
        });
        // What a commit has made durable is announced before it leaves the queue.
        let bound = self.durable.borrow().plus(queue.records);
        drop(queue);
        self.filled.notify_one();
        Ok((bound, receiver))
    }

    pub(super) fn durable(&self) -> watch::Receiver<Position> {
        self.durable.subscribe()
    }

    pub(super) fn recent(&self) -> &TailCache {
        &self.recent
    }

    pub(super) fn state(&self) -> State {
        let trouble = self.store.trouble();
        let mut queue = lock(&self.queue);
        if let Some(trouble) = trouble
            && matches!(queue.condition, Condition::Ready | Condition::Full)
        {
            queue.latch(&trouble);
        }
        // Once readiness is off there may be no appends, so a full disk is also checked here.
        if matches!(queue.condition, Condition::Full) && self.store.has_space() {
            queue.heal();
        }
        if let Some(began) = queue.commit_began {
            let since = self.clock.elapsed().saturating_sub(began);
            if since > COMMIT_SLOW {
                return State::Stalled(since);
            }
        }
        match &queue.condition {
            Condition::Ready | Condition::Closed => State::Ready,
            Condition::Full => State::Full,
            Condition::Failed(reason) => State::Failed(reason.clone()),
            Condition::Panicked => State::Failed("the log's writer panicked".into()),
        }
    }

    pub(super) fn close(&self) {
        let mut queue = lock(&self.queue);
        if !matches!(queue.condition, Condition::Failed(_) | Condition::Panicked) {
            queue.condition = Condition::Closed;
        }
        drop(queue);
        self.filled.notify_one();
        let handle = lock(&self.thread).take();
        if let Some(handle) = handle
            && handle.join().is_err()
        {
            tracing::error!("the log's writer panicked");
        }
    }

    /// The writer's thread.
    fn run(&self, store: &dyn Store) {
        let mut latch = LatchOnPanic(Some(self));
        let mut last = store.last();
        while let Some(mut group) = self.next_group() {
            let count = group.iter().map(|pending| pending.count).sum();
            let (mut records, mut prepared) =
                (Vec::with_capacity(count), Vec::with_capacity(count));
            for (bytes, known) in group
                .iter_mut()
                .flat_map(|pending| pending.records.drain(..))
            {
                records.push(bytes);
                prepared.push(known);
            }
            let first = last.plus(1);
            let committed = store.commit(first, &records);
            let bytes = group.iter().map(|pending| pending.bytes).sum();
            if committed.is_ok() {
                last = last.plus(count);
                self.recent.add(first, records.into_iter().zip(prepared));
                self.durable.send_replace(last);
            }
            self.settle(&committed, count, bytes);
            match committed {
                Ok(()) => acknowledge(group, first),
                Err(error) => self.refuse(group, &error),
            }
        }
        store.close();
        latch.0 = None;
    }

    /// Waits for appends and takes as many as one commit may hold; `None` once the log has ended.
    fn next_group(&self) -> Option<Vec<Pending>> {
        let mut queue = lock(&self.queue);
        loop {
            if !queue.pending.is_empty() {
                break;
            }
            if matches!(
                queue.condition,
                Condition::Closed | Condition::Failed(_) | Condition::Panicked
            ) {
                return None;
            }
            queue = self
                .filled
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let (mut records, mut bytes) = (0, 0);
        let mut group = Vec::with_capacity(queue.pending.len());
        while let Some(next) = queue.pending.front() {
            records += next.count;
            bytes += next.bytes;
            if !group.is_empty() && (records > COMMIT_RECORDS_MAX || bytes > COMMIT_BYTES_MAX) {
                break;
            }
            group.extend(queue.pending.pop_front());
        }
        queue.commit_began = Some(self.clock.elapsed());
        Some(group)
    }

    /// Records what a commit has done.
    fn settle(&self, committed: &Result<(), StoreError>, records: usize, bytes: usize) {
        let mut queue = lock(&self.queue);
        queue.commit_began = None;
        queue.records -= records;
        queue.bytes -= bytes;
        match committed {
            Ok(()) if matches!(queue.condition, Condition::Full) => queue.heal(),
            Ok(()) => {}
            Err(StoreError::Full) => {
                if matches!(queue.condition, Condition::Ready) {
                    tracing::error!("the disk is full; appends are refused until space is freed");
                    queue.condition = Condition::Full;
                }
            }
            Err(StoreError::Failed(reason)) => queue.latch(reason),
        }
    }

    fn refuse(&self, group: Vec<Pending>, error: &StoreError) {
        let (error, behind) = match error {
            StoreError::Full => (Error::Full, VecDeque::new()),
            // Appends queued behind a failed commit must not wait for the next one.
            StoreError::Failed(reason) => (
                Error::Failed(reason.as_str().into()),
                lock(&self.queue).take_pending(),
            ),
        };
        for pending in group.into_iter().chain(behind) {
            // The caller may be gone.
            let _ = pending.done.send(Err(error.clone()));
        }
    }
}

impl Queue {
    fn latch(&mut self, reason: &str) {
        tracing::error!(reason, "the log takes no more appends");
        self.condition = Condition::Failed(reason.into());
    }

    fn heal(&mut self) {
        tracing::info!("the disk has space again");
        self.condition = Condition::Ready;
    }

    fn take_pending(&mut self) -> VecDeque<Pending> {
        self.records = 0;
        self.bytes = 0;
        std::mem::take(&mut self.pending)
    }
}

fn acknowledge(group: Vec<Pending>, first: Position) {
    let mut next = first;
    for pending in group {
        // The caller may be gone.
        let _ = pending.done.send(Ok(next));
        next = next.plus(pending.count);
    }
}

/// Latches the log if the writer's thread panics: its appends must not wait for a thread that is gone.
struct LatchOnPanic<'a>(Option<&'a Writer>);

impl Drop for LatchOnPanic<'_> {
    fn drop(&mut self) {
        if let Some(writer) = self.0 {
            let mut queue = lock(&writer.queue);
            tracing::error!("the log's writer panicked; the log takes no more appends");
            queue.condition = Condition::Panicked;
            // No commit is in flight any more: this is a failure, and not a disk that takes its time.
            queue.commit_began = None;
            queue.take_pending();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The state is consistent between statements, so a panic elsewhere does not spoil it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

#[cfg(test)]
impl Writer {
    pub(super) fn enqueue_plain(
        &self,
        records: Vec<bytes::Bytes>,
    ) -> Result<(Position, Committed), Error> {
        self.enqueue(records.into_iter().map(|record| (record, None)).collect())
    }

    pub(super) fn queued_records(&self) -> usize {
        lock(&self.queue).records
    }
}
