//! What must be stored, and what callers must be answered, by the contract: what was acknowledged is kept, what was
//! refused is not, and what failed is kept as a whole or not at all.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use super::script::is_steady;
use super::service::QUEUE_RECORDS_MAX;
use crate::log::State;
use crate::log::record::{Command, Record};
use crate::view::tests::{Answer, KINDS, Naive, Request, What};

/// What a caller is answered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Reported {
    Done,
    Full,
    Overloaded,
    Closed,
    Failed,
    /// Nothing yet.
    Nothing,
}

/// A customer as it can be read.
#[derive(Debug, PartialEq)]
pub(super) struct Known {
    /// Type and values, oldest first.
    pub(super) ids: Vec<(String, Vec<String>)>,
    pub(super) properties: Value,
    /// Seconds, type, properties.
    pub(super) events: Vec<(i64, String, Value)>,
    /// What merged into it. Its time is the time of receipt, which is ignored here.
    pub(super) merges: Vec<Value>,
}

#[derive(Debug, Default)]
pub(super) struct Truth {
    /// Whether the disk hangs.
    pub(super) stalled: bool,
    pub(super) full: bool,
    /// After how many commits one fails, and whether it keeps its records.
    pub(super) fails: Option<(usize, bool)>,
    pub(super) latched: bool,
    closed: bool,
    /// Whether the log knows that the disk is full.
    seen_full: bool,
    /// The first of them hangs alone, the others will share the next commit.
    waiting: Vec<Vec<Request>>,
    hangs_since: Option<Duration>,
    /// What a failed commit has kept.
    kept: Vec<Request>,
    log: Vec<Request>,
    naive: Naive,
    steady: BTreeSet<i64>,
}

impl Truth {
    pub(super) fn send(&mut self, batch: &[Request]) -> Reported {
        let steady = batch.iter().filter(|request| is_steady(request));
        self.steady.extend(steady.map(seconds));
        if self.latched {
            return Reported::Failed;
        }
        if self.closed {
            return Reported::Closed;
        }
        if !self.stalled {
            return self.commit(batch.to_vec());
        }
        let queued: usize = self.waiting.iter().map(Vec::len).sum();
        if queued > 0 && queued + batch.len() > QUEUE_RECORDS_MAX {
            return Reported::Overloaded;
        }
        self.waiting.push(batch.to_vec());
        Reported::Nothing
    }

    pub(super) fn waits(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn hangs_since(&mut self, elapsed: Duration) {
        self.hangs_since = Some(elapsed);
    }

    pub(super) fn resume(&mut self) -> Vec<Reported> {
        (self.stalled, self.hangs_since) = (false, None);
        let mut waiting = std::mem::take(&mut self.waiting);
        if waiting.is_empty() {
            return Vec::new();
        }
        let others = waiting.split_off(1);
        let mut reported = vec![self.commit(waiting.concat())];
        if !others.is_empty() {
            let together = match self.latched {
                true => Reported::Failed,
                false => self.commit(others.concat()),
            };
            reported.extend(others.iter().map(|_| together));
        }
        reported
    }

    fn commit(&mut self, requests: Vec<Request>) -> Reported {
        if self.full {
            self.seen_full = !self.closed;
            return Reported::Full;
        }
        self.seen_full = false;
        match self.fails.take() {
            Some((0, keeps)) => {
                if keeps {
                    self.kept = requests;
                }
                self.latched = true;
                return Reported::Failed;
            }
            Some((after, keeps)) => self.fails = Some((after - 1, keeps)),
            None => {}
        }
        self.keep(requests);
        Reported::Done
    }

    fn keep(&mut self, requests: Vec<Request>) {
        for request in &requests {
            self.naive.apply(request);
        }
        self.log.extend(requests);
    }

    pub(super) fn close(&mut self) {
        (self.closed, self.seen_full) = (true, false);
    }

    pub(super) fn restart(&mut self) {
        let kept = std::mem::take(&mut self.kept);
        self.keep(kept);
        (self.closed, self.seen_full, self.latched) = (false, false, false);
        self.fails = None;
    }

    pub(super) fn state(&mut self, elapsed: Duration) -> State {
        self.seen_full &= self.full;
        if let Some(since) = self.hangs_since
            && elapsed - since > Duration::from_secs(5)
        {
            return State::Stalled(elapsed - since);
        }
        match (self.latched, self.seen_full) {
            (true, _) => State::Failed("it was planned".into()),
            (false, true) => State::Full,
            (false, false) => State::Ready,
        }
    }

    /// How many records there are.
    pub(super) fn last(&self) -> u64 {
        self.log.len() as u64
    }

    /// All that is kept, in order.
    pub(super) fn log(&self) -> Vec<(Vec<String>, Command)> {
        let records = self.log.iter().map(|request| request.record(0));
        records.map(shown).collect()
    }

    /// The times of all events of the steady customer that were ever sent, in order.
    pub(super) fn steady(&self) -> Vec<i64> {
        self.steady.iter().copied().collect()
    }

    pub(super) fn customer(&self, kind: &str, value: &str) -> Option<Known> {
        self.naive.ask("p", kind, value).map(known)
    }
}

/// The content of a record, without its time of receipt.
pub(super) fn shown(record: Record) -> (Vec<String>, Command) {
    let ids = record.ids.as_slice().iter();
    (ids.map(|id| id.value.clone()).collect(), record.command)
}

fn seconds(request: &Request) -> i64 {
    match &request.what {
        What::Event { seconds, .. } | What::Update { seconds, .. } => *seconds,
        What::Anonymize | What::Erase => 0,
    }
}

fn known(answer: Answer) -> Known {
    let of_kind = |(kind, _): (&str, bool)| {
        let ids = answer.ids.iter().filter(|(_, of, _)| of == kind);
        let values: Vec<String> = ids.map(|(_, _, value)| value.clone()).collect();
        (!values.is_empty()).then(|| (kind.to_owned(), values))
    };
    let ids = KINDS.into_iter().filter_map(of_kind).collect();
    Known::new(ids, answer.properties, answer.events)
}

impl Known {
    pub(super) fn new(
        ids: Vec<(String, Vec<String>)>,
        properties: Value,
        events: Vec<(i64, String, Value)>,
    ) -> Self {
        let (merges, events): (Vec<_>, Vec<_>) = events
            .into_iter()
            .partition(|(_, event_type, _)| event_type == "merge");
        let mut merges: Vec<Value> = merges.into_iter().map(|(_, _, ids)| ids).collect();
        merges.sort_by_key(Value::to_string);
        Self {
            ids,
            properties,
            events,
            merges,
        }
    }
}
