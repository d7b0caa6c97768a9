//! The thread that follows the log.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::Error;
use super::apply::{Apply, Counts};
use super::overlay::Overlay;
use super::store::Store;
use crate::log::record::Record;
use crate::log::{self, Log, Position};

/// Most records that one batch of writes applies.
const BATCH_RECORDS_MAX: usize = 1_024;

/// Applies the log to the store for as long as it lives.
#[derive(Debug)]
pub(super) struct Follower {
    state: Mutex<State>,
    applied: watch::Sender<Position>,
    closing: watch::Sender<bool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct State {
    counts: Counts,
    failure: Option<Arc<str>>,
}

impl Follower {
    pub(super) fn start(
        store: Arc<Store>,
        log: Log,
        applied: Position,
        runtime: Handle,
    ) -> Result<Arc<Self>, Error> {
        let follower = Arc::new(Self {
            state: Mutex::default(),
            applied: watch::Sender::new(applied),
            closing: watch::Sender::new(false),
            thread: Mutex::new(None),
        });
        let run = {
            let follower = follower.clone();
            move || follower.run(&store, &log, &runtime)
        };
        let thread = std::thread::Builder::new().name("view".into());
        let handle = thread.spawn(run).map_err(|error| {
            Error::Log(log::Error::Open {
                dir: PathBuf::new(),
                why: error.to_string(),
            })
        })?;
        *lock(&follower.thread) = Some(handle);
        Ok(follower)
    }

    pub(super) fn applied(&self) -> watch::Receiver<Position> {
        self.applied.subscribe()
    }

    pub(super) fn failure(&self) -> Option<Arc<str>> {
        lock(&self.state).failure.clone()
    }

    pub(super) fn counts(&self) -> Counts {
        lock(&self.state).counts
    }

    pub(super) fn close(&self) {
        self.closing.send_replace(true);
        let handle = lock(&self.thread).take();
        if let Some(handle) = handle
            && handle.join().is_err()
        {
            tracing::error!("the view's thread panicked");
        }
    }

    fn run(&self, store: &Store, log: &Log, runtime: &Handle) {
        let mut failed = FailOnPanic(Some(self));
        if let Err(error) = self.follow(store, log, runtime) {
            tracing::error!(%error, "the view has stopped");
            lock(&self.state).failure = Some(error.to_string().into());
        }
        failed.0 = None;
    }

    fn follow(&self, store: &Store, log: &Log, runtime: &Handle) -> Result<(), Error> {
        let mut last = log.watch();
        let mut closing = self.closing.subscribe();
        let mut applied = *self.applied.borrow();
        loop {
            while *last.borrow_and_update() > applied {
                if *closing.borrow() {
                    return Ok(());
                }
                applied = self.batch(store, log, applied)?;
            }
            let goes_on = runtime.block_on(async {
                tokio::select! {
                    _ = closing.wait_for(|closing| *closing) => false,
                    changed = last.changed() => changed.is_ok(),
                }
            });
            if !goes_on {
                return Ok(());
            }
        }
    }

    fn batch(&self, store: &Store, log: &Log, applied: Position) -> Result<Position, Error> {
        let mut apply = Apply::new(Overlay::new(store), applied);
        let mut last = applied;
        for (position, bytes) in log.read_after(applied, BATCH_RECORDS_MAX)? {
            apply.record(position, &Record::decode(position, bytes)?)?;
            last = position;
        }
        let counts = apply.finish()?;
        let mut state = lock(&self.state);
        state.counts.add(counts);
        drop(state);
        self.applied.send_replace(last);
        Ok(last)
    }
}

/// Tells of a panic of the view's thread, for readers would wait for it in vain.
struct FailOnPanic<'a>(Option<&'a Follower>);

impl Drop for FailOnPanic<'_> {
    fn drop(&mut self) {
        if let Some(follower) = self.0 {
            lock(&follower.state).failure = Some("the view's thread panicked".into());
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The state is consistent between statements, so a panic elsewhere does not spoil it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
