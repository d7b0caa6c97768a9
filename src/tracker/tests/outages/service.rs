//! A tracker over the history's disk.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use super::super::super::write::accept;
use super::super::super::{Accepted, AddEvent, Error, Options, Tracker, UpdateCustomer};
use super::super::bench::{
    START, any_failures, enter, ids, json, micros, object, private, project, read_customer,
};
use super::Answer;
use super::truth::{Known, shown};
use crate::clock::{Clock as _, ManualClock};
use crate::log::memory::MemoryStore;
use crate::log::record::{Command, Record};
use crate::log::{self, Log, Position, State};
use crate::view::View;
use crate::view::tests::{Request, What, scratch, with_sorted_lists};

/// So few that a history can fill the queue.
pub(super) const QUEUE_RECORDS_MAX: usize = 8;
/// Longer than any wait here.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Service {
    pub(super) runtime: Runtime,
    pub(super) clock: Arc<ManualClock>,
    pub(super) store: Arc<MemoryStore>,
    dir: TempDir,
    running: Option<Running>,
}

struct Running {
    log: Log,
    view: View,
    tracker: Arc<Tracker>,
    /// The same, for callers that time out at once.
    hurried: Arc<Tracker>,
}

impl Service {
    pub(super) fn new() -> Self {
        let mut service = Self {
            runtime: Builder::new_current_thread().enable_time().build().unwrap(),
            clock: Arc::new(ManualClock::starting_at(Duration::from_secs(START))),
            store: Arc::new(MemoryStore::default()),
            dir: scratch(),
            running: None,
        };
        service.start();
        service
    }

    fn start(&mut self) {
        let options = log::Options {
            queue_records_max: QUEUE_RECORDS_MAX,
            append_timeout: PATIENCE,
            ..log::Options::default()
        };
        let log = Log::start(self.store.clone(), &options, self.clock.clone()).unwrap();
        let handle = self.runtime.handle().clone();
        let view = View::start(&self.dir.path().join("view"), log.clone(), handle).unwrap();
        let tracker = |log: &Log| {
            Arc::new(Tracker::new(
                vec![project("p").into()],
                any_failures(),
                log.clone(),
                view.clone(),
                self.clock.clone(),
                Options {
                    read_timeout: PATIENCE,
                    ..Options::default()
                },
            ))
        };
        self.running = Some(Running {
            tracker: tracker(&log),
            hurried: tracker(&log.impatient()),
            log,
            view,
        });
    }

    fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    /// Closes the log cleanly. The disk must not hang.
    pub(super) fn close(&self) {
        self.running().log.close();
    }

    /// Starts again over the same disk, which must not hang.
    pub(super) fn restart(&mut self, view_lost: bool) {
        self.stop();
        self.store.restart();
        if view_lost {
            View::remove(&self.dir.path().join("view")).unwrap();
        }
        self.start();
    }

    fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.log.close();
            running.view.close();
        }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }

    pub(super) fn state(&self) -> State {
        self.running().log.state()
    }

    /// Sends a batch and waits for the result.
    pub(super) fn send(&self, batch: &[Request]) -> Result<(), Error> {
        let tracker = &self.running().tracker;
        self.runtime
            .block_on(tracker.commit(accepted(tracker, batch)))
    }

    /// As [`Service::send`], with no time to wait.
    pub(super) fn send_hurried(&self, batch: &[Request]) -> Result<(), Error> {
        let tracker = &self.running().hurried;
        self.runtime
            .block_on(tracker.commit(accepted(tracker, batch)))
    }

    /// Sends a batch to a disk that hangs.
    pub(super) fn begin_to_send(&self, batch: &[Request]) -> Answer {
        let tracker = self.running().tracker.clone();
        let commands = accepted(&tracker, batch);
        let mut answer: Answer = Box::pin(async move { tracker.commit(commands).await });
        let once = poll_fn(|context| Poll::Ready(answer.as_mut().poll(context)));
        let answered = self.runtime.block_on(once);
        assert!(answered.is_pending(), "{answered:?}");
        answer
    }

    /// Waits until the log has settled everything that was queued.
    pub(super) fn settle(&self) {
        let log = &self.running().log;
        let idle = async {
            while !log.is_idle() {
                tokio::task::yield_now().await;
            }
        };
        let settled = async { tokio::time::timeout(PATIENCE, idle).await };
        self.runtime.block_on(settled).unwrap();
    }

    /// How many records would survive a power cut.
    pub(super) fn last(&self) -> u64 {
        self.running().log.last().get()
    }

    /// A customer as it can be read.
    pub(super) fn customer(&self, kind: &str, value: &str) -> Option<Known> {
        let tracker = &self.running().tracker;
        let access = enter(tracker, "p", &private("all", "s")).unwrap();
        let customer_ids = ids(&[(kind, value)]);
        let customer = self
            .runtime
            .block_on(read_customer(tracker, &access, &customer_ids));
        let customer = match customer {
            Ok(customer) => customer,
            Err(Error::UnknownCustomer) => return None,
            Err(other) => panic!("{other}"),
        };
        let ids = customer.ids.into_iter().map(|ids| (ids.kind, ids.values));
        let value = |properties| serde_json::from_str(&json(properties)).unwrap();
        let events = customer.events.iter().map(|event| {
            let mut properties: Value = value(&event.properties);
            if event.event_type == "merge" {
                properties = with_sorted_lists(properties);
            }
            let seconds = event.time.micros() / 1_000_000;
            (seconds, event.event_type.clone(), properties)
        });
        Some(Known::new(
            ids.collect(),
            value(&customer.properties),
            events.collect(),
        ))
    }

    /// All that the disk has, in order.
    pub(super) fn kept(&self) -> Vec<(Vec<String>, Command)> {
        let records = self.running().log.read_after(Position::START, usize::MAX);
        let records = records.unwrap().into_iter();
        records
            .map(|(position, record)| shown(Record::decode(position, record).unwrap()))
            .collect()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.store.stall(false);
        self.stop();
    }
}

fn accepted(tracker: &Tracker, batch: &[Request]) -> Vec<Accepted> {
    let access = enter(tracker, "p", &private("all", "s")).unwrap();
    let accepted = batch.iter().map(|request| {
        let ids = request.ids.iter();
        let customer_ids = ids.map(|(kind, value)| ((*kind).to_owned(), value.clone()));
        let customer_ids = &customer_ids.collect();
        let time = |seconds: &i64| Some(micros(seconds * 1_000_000));
        let accepted = match &request.what {
            What::Update { json, seconds } => {
                let update = UpdateCustomer {
                    customer_ids,
                    properties: object(json),
                    time: time(seconds),
                };
                tracker.update(&access, update)
            }
            What::Event {
                event_type,
                json,
                seconds,
            } => {
                let event = AddEvent {
                    customer_ids,
                    event_type,
                    properties: object(json),
                    time: time(seconds),
                };
                tracker.event(&access, event)
            }
            // As if the customer had been found.
            What::Anonymize | What::Erase => {
                let record = request.record(0);
                let received = tracker.receipt();
                Ok(accept(&access, received, record.ids, record.command))
            }
        };
        accepted.unwrap()
    });
    accepted.collect()
}
