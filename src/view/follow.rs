//! The thread that follows the log.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::Error;
use super::apply::{Apply, Counts};
use super::nice::step_back;
use super::store::Store;
use crate::log::{self, Log, Position};

/// Most records that one batch of writes applies. The more there are, the nearer lie the keys that are written in turn.
pub(super) const BATCH_RECORDS_MAX: usize = 4_096;

/// How long records may wait for more of them, as long as nobody asks for them: each batch of writes costs the same, be it for
/// one record or for hundreds.
const PAUSE: Duration = Duration::from_millis(10);

/// Applies the log to the store for as long as it lives.
#[derive(Debug)]
pub(super) struct Follower {
    counts: Mutex<Counts>,
    progress: watch::Sender<Progress>,
    /// Up to where somebody waits for the log to be applied.
    wanted: Mutex<Position>,
    wanting: Condvar,
    closing: watch::Sender<bool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Why the view has stopped if its thread panicked.
pub(super) const PANICKED: &str = "the view's thread panicked";

/// How far the view is.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Up to where the log is applied.
    pub applied: Position,
    /// Why the view has stopped, if it has.
    pub failure: Option<Arc<str>>,
}

impl Follower {
    pub(super) fn start(
        store: Arc<Store>,
        log: Log,
        applied: Position,
        runtime: Handle,
    ) -> Result<Arc<Self>, Error> {
        let follower = Arc::new(Self {
            counts: Mutex::default(),
            progress: watch::Sender::new(Progress {
                applied,
                failure: None,
            }),
            wanted: Mutex::new(applied),
            wanting: Condvar::new(),
            closing: watch::Sender::new(false),
            thread: Mutex::new(None),
        });
        let run = {
            let (follower, guard) = (follower.clone(), log.panics().guard());
            move || {
                let _guard = guard;
                follower.run(&store, &log, &runtime);
            }
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

    pub(super) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    pub(super) fn counts(&self) -> Counts {
        *lock(&self.counts)
    }

    /// Asks for the log to be applied up to `position` without delay.
    pub(super) fn want(&self, position: Position) {
        let mut wanted = lock(&self.wanted);
        *wanted = position.max(*wanted);
        self.wanting.notify_one();
    }

    /// Lets records behind `applied` wait for more of them. Not with the runtime's timer, which may be gone before this thread is.
    fn pause(&self, applied: Position) {
        let nobody_waits = |wanted: &mut Position| *wanted <= applied;
        drop(
            self.wanting
                .wait_timeout_while(lock(&self.wanted), PAUSE, nobody_waits),
        );
    }

    fn fail(&self, reason: &str) {
        self.progress
            .send_modify(|progress| progress.failure = Some(reason.into()));
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
        step_back();
        let mut failed = FailOnPanic(Some(self));
        if let Err(error) = self.follow(store, log, runtime) {
            tracing::error!(%error, "the view has stopped");
            self.fail(&error.to_string());
        }
        failed.0 = None;
    }

    fn follow(&self, store: &Store, log: &Log, runtime: &Handle) -> Result<(), Error> {
        let mut last = log.watch();
        let mut closing = self.closing.subscribe();
        let mut apply = Apply::new(store, self.progress.borrow().applied);
        loop {
            while *last.borrow_and_update() > apply.applied() {
                if *closing.borrow() {
                    return Ok(());
                }
                self.batch(store, log, &mut apply)?;
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
            self.pause(apply.applied());
        }
    }

    fn batch(&self, store: &Store, log: &Log, apply: &mut Apply<'_>) -> Result<(), Error> {
        let _turn = store.turn();
        for (position, bytes) in log.read_after(apply.applied(), BATCH_RECORDS_MAX)? {
            apply.record(position, &log.decode(position, bytes)?)?;
        }
        let counts = apply.write()?;
        lock(&self.counts).add(counts);
        let applied = apply.applied();
        self.progress
            .send_modify(|progress| progress.applied = applied);
        Ok(())
    }
}

/// Tells of a panic of the view's thread, for readers would wait for it in vain.
struct FailOnPanic<'a>(Option<&'a Follower>);

impl Drop for FailOnPanic<'_> {
    fn drop(&mut self) {
        if let Some(follower) = self.0 {
            follower.fail(PANICKED);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The state is consistent between statements, so a panic elsewhere does not spoil it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
