//! A view over a log in memory, and queries of it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use super::super::keys;
use super::super::{self as view, Counts, Events, Order, StoredEvent, View, verify};
use super::request::{Request, ids};
use crate::clock::ManualClock;
use crate::log::memory::MemoryStore;
use crate::log::record::Record;
use crate::log::{Log, Options, Position};
use crate::model::properties::Properties;

/// What is known of a customer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    /// Arrival of the request that gave the ID, type, value; in order.
    pub(crate) ids: Vec<(u64, String, String)>,
    pub(crate) properties: Value,
    /// Seconds, type, properties.
    pub(crate) events: Vec<(i64, String, Value)>,
}

impl Answer {
    /// The types of the events, in order.
    pub(crate) fn event_types(&self) -> Vec<&str> {
        let types = self.events.iter().map(|(_, event_type, _)| &**event_type);
        types.collect()
    }

    /// The values of the IDs of a type, oldest first.
    pub(crate) fn values(&self, kind: &str) -> Vec<&str> {
        let of_kind = self.ids.iter().filter(|(_, of, _)| of == kind);
        of_kind.map(|(_, _, value)| &**value).collect()
    }
}

/// A folder for a view. In memory where that is possible: a view need not sync, but its engine does.
pub(crate) fn scratch() -> TempDir {
    TempDir::new_in("/dev/shm")
        .or_else(|_| TempDir::new())
        .unwrap()
}

pub(crate) struct Bench {
    runtime: Runtime,
    store: Arc<MemoryStore>,
    log: Log,
    dir: TempDir,
    view: Option<View>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let clock = Arc::new(ManualClock::starting_at(Duration::ZERO));
        let store = Arc::new(MemoryStore::default());
        let log = Log::start(store.clone(), &Options::default(), clock).unwrap();
        let mut bench = Self {
            runtime,
            store,
            log,
            dir: scratch(),
            view: None,
        };
        bench.open();
        bench
    }

    /// A view that has seen nothing yet, over the same log.
    pub(crate) fn fresh(&self) -> Self {
        let mut fresh = Self {
            runtime: Builder::new_current_thread().enable_time().build().unwrap(),
            store: self.store.clone(),
            log: self.log.clone(),
            dir: scratch(),
            view: None,
        };
        fresh.open();
        fresh
    }

    /// As [`Self::fresh`], with a view that is in memory only.
    pub(crate) fn in_memory(&self) -> Self {
        let mut bench = self.fresh();
        bench.close();
        let (log, handle) = (self.log.clone(), bench.runtime.handle().clone());
        let view = View::in_memory(log, handle, &view::Options::default());
        bench.view = Some(view.unwrap());
        bench
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn open(&mut self) {
        let handle = self.runtime.handle().clone();
        let view = View::start(&self.dir.path().join("view"), self.log.clone(), handle);
        self.view = Some(view.unwrap());
    }

    pub(crate) fn close(&mut self) {
        if let Some(view) = self.view.take() {
            view.close();
        }
    }

    pub(crate) fn kill(&mut self) {
        if let Some(view) = self.view.take() {
            view.kill();
        }
    }

    pub(crate) fn view(&self) -> &View {
        self.view.as_ref().unwrap()
    }

    /// Appends requests at once. The view may be in the middle of earlier ones.
    pub(crate) fn append(&self, requests: &[Request]) {
        let last = self.log.last().get();
        let records = (last + 1..).zip(requests);
        self.append_records(records.map(|(arrival, request)| request.record(arrival)));
        for request in requests {
            let project = self.view().project(request.project);
            project.expect(self.log.last());
        }
    }

    /// Waits until a project's requests can be read.
    pub(crate) fn shows(&self, project: &str) {
        let progress = self.view().project(project);
        let shown = self.view().shows(&progress, Duration::from_secs(60));
        self.runtime.block_on(shown).unwrap();
    }

    /// Appends records at once.
    pub(crate) fn append_records(&self, records: impl Iterator<Item = Record>) {
        let written = records.enumerate().map(|(index, record)| {
            let bytes = record.encode();
            // Some as their writer knows them, the others to be read.
            let known = (index % 2 == 0).then(|| keys::prepare(record)).flatten();
            (bytes, known.map(Box::new))
        });
        let append = self.log.append_prepared(written.collect()).1;
        self.runtime.block_on(append).unwrap();
    }

    /// Waits until the view has applied everything.
    pub(crate) fn settle(&self) {
        let caught_up = self
            .view()
            .caught_up(self.log.last(), Duration::from_secs(60));
        self.runtime.block_on(caught_up).unwrap();
    }

    /// Appends requests, and waits until the view has applied them.
    pub(crate) fn takes(&self, requests: &[Request]) {
        self.append(requests);
        self.settle();
    }

    /// Where the view differs from a fresh fold of the log. The view is reopened for it.
    pub(crate) fn differences(&mut self) -> Vec<String> {
        self.close();
        let mut found = Vec::new();
        let (view, scratch) = (self.dir.path().join("view"), scratch());
        let fresh = scratch.path().join("fresh");
        let mut note = |difference| found.push(difference);
        verify::compare(&view, &fresh, &*self.store, &mut note).unwrap();
        self.open();
        found
    }

    /// Whether the log contains a text anywhere.
    pub(crate) fn log_says(&self, text: &str) -> bool {
        let records = self.log.read_after(Position::START, usize::MAX).unwrap();
        let mut records = records.iter();
        records.any(|(_, record)| {
            record
                .windows(text.len())
                .any(|part| part == text.as_bytes())
        })
    }

    /// How many IDs each record of the log has.
    pub(crate) fn ids_in_log(&self) -> Vec<usize> {
        let records = self.log.read_after(Position::START, usize::MAX).unwrap();
        let records = records
            .into_iter()
            .map(|(at, record)| Record::decode(at, record));
        let ids = records.map(|record| record.unwrap().ids.as_slice().len());
        ids.collect()
    }

    pub(crate) fn counts(&self) -> Counts {
        self.view().counts()
    }

    pub(crate) fn ask(&self, project: &str, kind: &'static str, value: &str) -> Option<Answer> {
        let snapshot = self.view().snapshot();
        let ids = ids(&[(kind, value.to_owned())]);
        let found = snapshot.find(project, &ids).unwrap()?;
        let events = self.events(project, kind, value, &everything());
        let held = found.ids().into_iter();
        let mut ids: Vec<_> = held.map(|id| (id.since, id.kind, id.value)).collect();
        ids.sort();
        let properties = snapshot.properties(&found).unwrap();
        for (name, canonical) in properties.entries() {
            let one = snapshot.property(&found, name).unwrap();
            assert_eq!(&**one.bytes(), canonical, "one property and all of them");
        }
        let mut events: Vec<_> = events.iter().map(shown).collect();
        // Customers that merge at once do so in no particular order.
        events.sort_by_cached_key(|(seconds, event_type, properties)| {
            let merge = (event_type == "merge").then(|| properties.to_string());
            (*seconds, merge)
        });
        Some(Answer {
            ids,
            properties: json(&properties),
            events,
        })
    }

    pub(crate) fn asks(&self, kind: &'static str, value: &str) -> Answer {
        self.ask("p", kind, value).unwrap()
    }

    pub(crate) fn events(
        &self,
        project: &str,
        kind: &'static str,
        value: &str,
        wanted: &Events<'_>,
    ) -> Vec<StoredEvent> {
        let snapshot = self.view().snapshot();
        let ids = ids(&[(kind, value.to_owned())]);
        let found = snapshot.find(project, &ids).unwrap().unwrap();
        let mut events = Vec::new();
        let take = |event| {
            events.push(event);
            true
        };
        let _rest = snapshot.each_event(&found, wanted, take).unwrap();
        events
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.close();
    }
}

pub(crate) fn everything() -> Events<'static> {
    Events {
        types: None,
        order: Order::Ascending,
        after: None,
        skip: 0,
        limit: usize::MAX,
        rows_max: usize::MAX,
    }
}

fn shown(event: &StoredEvent) -> (i64, String, Value) {
    let mut properties = json(&event.properties);
    if event.event_type == "merge" {
        properties = with_sorted_lists(properties);
    }
    let seconds = event.time.micros() / 1_000_000;
    (seconds, event.event_type.clone(), properties)
}

/// Properties of a merge with its lists of IDs sorted, as their order means nothing.
pub(crate) fn with_sorted_lists(mut properties: Value) -> Value {
    for list in properties.as_object_mut().unwrap().values_mut() {
        if let Some(list) = list.as_array_mut() {
            list.sort_by_key(Value::to_string);
        }
    }
    properties
}

fn json(properties: &Properties) -> Value {
    let mut json = Vec::new();
    properties.write_json(&mut json);
    serde_json::from_slice(&json).unwrap()
}
