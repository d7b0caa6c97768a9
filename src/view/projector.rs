//! The thread that follows the log.
//!
//! It applies the log in order, in batches. A project with so much work that the others would wait gets a lane. Its
//! records are skipped at the front, and applied from its own position, in turns with the front and the other lanes.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::Error;
use super::apply::{Apply, Counts, Remarks};
use super::nice::step_back;
use super::progress::{Progress, Projects};
use super::store::Store;
use crate::log::record::Record;
use crate::log::{self, Log, Position, Written};

/// Most records that one batch of writes applies. The more there are, the closer together are keys written in
/// succession. All of these are small in tests, so that most work is divided.
const BATCH_RECORDS_MAX: usize = if cfg!(test) { 8 } else { 4_096 };

/// Most bytes of records that one batch of writes applies, except for its last read.
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most records that are read at once.
pub(super) const READ_RECORDS_MAX: usize = if cfg!(test) { 3 } else { 64 };
/// Most records of projects in lanes that are skipped in a batch.
const PASSED_RECORDS_MAX: usize = 16 * BATCH_RECORDS_MAX;
/// Most records of its own that a lane applies in a turn.
const LANE_RECORDS_MAX: usize = if cfg!(test) { 4 } else { 1_024 };
/// Most pages of work for one record before the other projects go on without it.
const PAGES_MAX: usize = 2;
/// Most lanes; beyond it projects wait for each other.
const LANES_MAX: usize = 64;

/// How long records may wait for more of them while no reader asks for them: a batch of writes costs the same for one
/// record as for hundreds.
const PAUSE: Duration = Duration::from_millis(10);
/// Most such pauses in a row, while the records are few.
const PAUSES_MAX: usize = 4;
/// So many records do not wait for more.
const WAITING_RECORDS_MAX: usize = BATCH_RECORDS_MAX / 2;

/// How often a full disk is checked.
const ROOM_PAUSE: Duration = Duration::from_millis(250);

/// Applies the log to the store for as long as it lives.
#[derive(Debug)]
pub(super) struct Projector {
    counts: Mutex<Counts>,
    /// By token.
    remarks: Mutex<BTreeMap<String, Remarks>>,
    progress: watch::Sender<Progress>,
    pub(super) projects: Projects,
    /// The position up to which readers wait for the log to be applied.
    wanted: Mutex<Position>,
    wanting: Condvar,
    closing: watch::Sender<bool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Why the view has stopped if its thread panicked.
pub(super) const PANICKED: &str = "the view's thread panicked";

impl Projector {
    pub(super) fn start(store: Arc<Store>, log: Log, runtime: Handle) -> Result<Arc<Self>, Error> {
        let (front, applied) = (store.front()?, store.applied()?);
        let projects = Projects::new(log.last(), front);
        projects.publish(front, store.lanes()?);
        let projector = Arc::new(Self {
            counts: Mutex::default(),
            remarks: Mutex::default(),
            progress: watch::Sender::new(Progress {
                front,
                applied,
                failure: None,
            }),
            projects,
            wanted: Mutex::new(applied),
            wanting: Condvar::new(),
            closing: watch::Sender::new(false),
            thread: Mutex::new(None),
        });
        let run = {
            let (projector, guard) = (projector.clone(), log.panics().guard());
            move || {
                let _guard = guard;
                projector.run(&store, &log, &runtime);
            }
        };
        let thread = std::thread::Builder::new().name("view".into());
        let handle = thread.spawn(run).map_err(|error| {
            Error::Log(log::Error::Open {
                dir: PathBuf::new(),
                why: error.to_string(),
            })
        })?;
        *lock(&projector.thread) = Some(handle);
        Ok(projector)
    }

    pub(super) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    pub(super) fn counts(&self) -> Counts {
        *lock(&self.counts)
    }

    /// By token: what was remarkable.
    pub(super) fn remarks(&self) -> BTreeMap<String, Remarks> {
        lock(&self.remarks).clone()
    }

    /// Asks for the log to be applied up to `position` without delay.
    pub(super) fn want(&self, position: Position) {
        let mut wanted = lock(&self.wanted);
        *wanted = position.max(*wanted);
        self.wanting.notify_one();
    }

    /// Lets records behind `applied` wait for more of them. Not with the runtime's timer, which may end before this
    /// thread.
    fn pause(&self, log: &Log, applied: Position) {
        let enough = applied.plus(WAITING_RECORDS_MAX);
        let mut wanted = lock(&self.wanted);
        for _ in 0..PAUSES_MAX {
            let nobody_waits = |wanted: &mut Position| *wanted <= applied;
            let waited = self.wanting.wait_timeout_while(wanted, PAUSE, nobody_waits);
            let (guard, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            if !timeout.timed_out() || log.last() >= enough {
                return;
            }
            wanted = guard;
        }
    }

    /// Waits until the disk has space, as an engine that runs out of it takes no more writes. Meanwhile, reads fail,
    /// because the view is behind.
    fn wait_for_room(&self, store: &Store, log: &Log) {
        let mut is_reported = false;
        while !log.has_room_to_fold(store.room_to_fold()) && !*self.closing.borrow() {
            if !std::mem::replace(&mut is_reported, true) {
                tracing::error!("the disk is full; the view waits for space");
            }
            std::thread::sleep(ROOM_PAUSE);
        }
        if is_reported {
            tracing::info!("the view goes on");
        }
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
            match matches!(error, Error::Panicked) {
                true => self.fail(PANICKED),
                false => self.fail(&error.to_string()),
            }
        }
        failed.0 = None;
    }

    fn follow(&self, store: &Store, log: &Log, runtime: &Handle) -> Result<(), Error> {
        let mut last = log.watch();
        let mut closing = self.closing.subscribe();
        let mut apply = Apply::new(store)?;
        let mut turns: VecDeque<String> = apply.lanes().keys().cloned().collect();
        loop {
            loop {
                self.wait_for_room(store, log);
                store.wait_for_checkpoints(|| *self.closing.borrow());
                if *closing.borrow() {
                    return Ok(());
                }
                let is_behind = *last.borrow_and_update() > apply.front();
                if is_behind {
                    self.fold_front(store, log, &mut apply, &mut turns)?;
                }
                match turns.pop_front() {
                    Some(token) => {
                        let goes_on = self.fold_lane(store, log, &mut apply, &token)?;
                        if goes_on {
                            turns.push_back(token);
                        }
                    }
                    None if !is_behind => break,
                    None => {}
                }
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
            self.pause(log, apply.front());
        }
    }

    /// Applies a batch at the front.
    fn fold_front(
        &self,
        store: &Store,
        log: &Log,
        apply: &mut Apply<'_>,
        turns: &mut VecDeque<String>,
    ) -> Result<(), Error> {
        let _lock = store.write_lock();
        let (mut batch, mut passed) = (Batch::default(), 0);
        let mut of_project: HashMap<String, usize> = HashMap::new();
        let last = log.last();
        while apply.front() < last
            && batch.has_room(BATCH_RECORDS_MAX)
            && passed < PASSED_RECORDS_MAX
        {
            let records = match read(log, apply.front()) {
                Ok(records) => records,
                Err(error) => {
                    // The records before it can be read.
                    self.write(apply)?;
                    return Err(error);
                }
            };
            for (position, (bytes, known)) in records {
                if !apply.lanes().is_empty()
                    && apply
                        .lanes()
                        .contains_key(&Record::project(position, &bytes)?)
                {
                    apply.skip(position);
                    passed += 1;
                    continue;
                }
                batch.add(&bytes);
                let project = match known {
                    Some(known) if apply.prepared(position, &known)? => known.project,
                    Some(_) | None => {
                        let record = log.decode(position, bytes)?;
                        apply.record(position, &record)?;
                        record.project
                    }
                };
                for _ in 0..PAGES_MAX {
                    apply.work(&project)?;
                }
                if apply.has_chores(&project) {
                    apply.begin_lane(&project);
                    turns.push_back(project);
                } else {
                    match of_project.get_mut(&project) {
                        Some(count) => *count += 1,
                        None => drop(of_project.insert(project, 1)),
                    }
                }
            }
        }
        let busiest = of_project.into_iter().max_by_key(|(_, count)| *count);
        if let Some((token, _)) = busiest
            && log.last() > apply.front()
            && apply.lanes().len() < LANES_MAX
            && !apply.lanes().contains_key(&token)
            && self.projects.others_wait(&token, log.last())
        {
            apply.begin_lane(&token);
            turns.push_back(token);
        }
        self.write(apply)
    }

    /// Gives a lane its turn; says whether it goes on.
    fn fold_lane(
        &self,
        store: &Store,
        log: &Log,
        apply: &mut Apply<'_>,
        token: &str,
    ) -> Result<bool, Error> {
        let _lock = store.write_lock();
        let front = apply.front();
        let place = |apply: &Apply<'_>| apply.lanes().get(token).copied().unwrap_or(front);
        let (mut passed, mut own) = (0, Batch::default());
        apply.work(token)?;
        while !apply.has_chores(token)
            && place(apply) < front
            && passed < PASSED_RECORDS_MAX
            && own.has_room(LANE_RECORDS_MAX)
        {
            for (position, (bytes, _)) in read(log, place(apply))? {
                if position > front {
                    break;
                }
                if Record::project(position, &bytes)? != token {
                    passed += 1;
                    apply.advance_lane(token, position);
                    continue;
                }
                own.add(&bytes);
                apply.record(position, &log.decode(position, bytes)?)?;
                if apply.has_chores(token) {
                    break;
                }
            }
        }
        let goes_on = apply.has_chores(token)
            || place(apply) < front
            || self.projects.others_wait(token, log.last());
        if !goes_on {
            apply.end_lane(token);
        }
        self.write(apply)?;
        Ok(goes_on)
    }

    fn write(&self, apply: &mut Apply<'_>) -> Result<(), Error> {
        let (counts, remarks) = apply.write()?;
        lock(&self.counts).add(counts);
        let mut by_token = lock(&self.remarks);
        for (token, remarks) in remarks {
            by_token.entry(token).or_default().add(remarks);
        }
        drop(by_token);
        let lanes = apply.lanes().iter().map(|(token, at)| {
            // A record can be read once nothing is left to do for it.
            let unfinished = u64::from(apply.has_chores(token));
            (token.clone(), Position::from_number(at.get() - unfinished))
        });
        let lanes: BTreeMap<_, _> = lanes.collect();
        let front = apply.front();
        let applied = lanes.values().copied().fold(front, Position::min);
        self.projects.publish(front, lanes);
        self.progress.send_modify(|progress| {
            progress.applied = applied;
            progress.front = front;
        });
        Ok(())
    }
}

/// The next records behind `after`. There must be some.
fn read(log: &Log, after: Position) -> Result<Vec<(Position, Written)>, Error> {
    let records = log.take_after(after, READ_RECORDS_MAX)?;
    let next = after.plus(1);
    if records.first().is_none_or(|(first, _)| *first != next) {
        return Err(Error::Log(log::Error::Damaged {
            position: next,
            why: "the record is missing".to_owned(),
        }));
    }
    Ok(records)
}

/// The content of one batch of writes.
#[derive(Debug, Default)]
struct Batch {
    records: usize,
    bytes: usize,
}

impl Batch {
    fn add(&mut self, record: &Bytes) {
        self.records += 1;
        self.bytes += record.len();
    }

    fn has_room(&self, records_max: usize) -> bool {
        self.records < records_max && self.bytes < BATCH_BYTES_MAX
    }
}

/// Reports a panic of the view's thread, as readers would wait for it without end.
struct FailOnPanic<'a>(Option<&'a Projector>);

impl Drop for FailOnPanic<'_> {
    fn drop(&mut self) {
        if let Some(projector) = self.0 {
            projector.fail(PANICKED);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The state is consistent between statements, so a panic elsewhere does not spoil it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
