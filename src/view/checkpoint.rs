//! The thread that makes checkpoints.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Error;
use super::nice::step_back;
use super::projector::PANICKED;
use super::store::Store;
use crate::log::{self, Log};

/// How often a full disk is checked.
const ROOM_PAUSE: Duration = Duration::from_millis(250);

/// Makes a checkpoint of the store whenever one is due, for as long as it lives.
#[derive(Debug)]
pub(super) struct Checkpoints {
    store: Arc<Store>,
    closing: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Checkpoints {
    pub(super) fn start(store: Arc<Store>, log: Log) -> Result<Arc<Self>, Error> {
        let closing = Arc::new(AtomicBool::new(false));
        let run = {
            let (store, closing, guard) = (store.clone(), closing.clone(), log.panics().guard());
            move || {
                let _guard = guard;
                let mut failed = FailOnPanic(Some(&store));
                run(&store, &log, &closing);
                failed.0 = None;
            }
        };
        let thread = std::thread::Builder::new().name("checkpoint".into());
        let handle = thread.spawn(run).map_err(|error| {
            Error::Log(log::Error::Open {
                dir: PathBuf::new(),
                why: error.to_string(),
            })
        })?;
        Ok(Arc::new(Self {
            store,
            closing,
            thread: Mutex::new(Some(handle)),
        }))
    }

    /// Ends the thread, after the checkpoint in progress.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Release);
        self.store.wake();
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = thread.take()
            && handle.join().is_err()
        {
            tracing::error!("the thread of the checkpoints panicked");
        }
    }
}

fn run(store: &Store, log: &Log, closing: &AtomicBool) {
    step_back();
    let is_over = || closing.load(Ordering::Acquire);
    while store.wait_until_due(is_over) {
        let mut is_told = false;
        while let Err(error) = store.checkpoint() {
            let has_room = log.has_room_to_fold(store.room_to_fold());
            if has_room && !matches!(error, Error::Full) {
                tracing::error!(%error, "the view has stopped: no checkpoint can be made");
                return store.fail(&error.to_string());
            }
            if !std::mem::replace(&mut is_told, true) {
                tracing::error!(%error, "the view's checkpoint waits for space");
            }
            if is_over() {
                return;
            }
            // The layers stay in memory, and the fold waits once they are too many.
            std::thread::sleep(ROOM_PAUSE);
        }
    }
}

/// Reports a panic of the thread, as the fold would wait for it forever.
struct FailOnPanic<'a>(Option<&'a Store>);

impl Drop for FailOnPanic<'_> {
    fn drop(&mut self) {
        if let Some(store) = self.0 {
            store.fail(PANICKED);
        }
    }
}
