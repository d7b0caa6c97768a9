//! `GET /feed`: events as they are kept and refusals as they happen, as server-sent events.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, MissedTickBehavior};

use super::super::refusals::listed;
use super::{Console, ids, parsed, time};
use crate::middleware::{Body, Refusal};
use crate::model::quote::quoted;
use crate::model::reason::Reason;
use crate::tracker::{FeedEvent, FeedFilter};

/// Most viewers at once.
pub(super) const FEEDS_MAX: usize = 8;
/// How often rows are sent.
const TICK: Duration = Duration::from_millis(200);
/// Most rows of each kind in a tick: 50 of both in a second, and as many wait at most.
const TICK_ROWS: usize = 5;
const WAITING_MAX: usize = 25;
/// Most bytes of the rows of a kind that wait. One row always may.
const WAITING_BYTES_MAX: usize = 1 << 20;
/// Most steps through the log in a tick: a viewer that begins far behind is counted to the end little by little.
const TICK_STEPS: usize = 16;
/// Most rows that come at once where a viewer goes on from a place.
const BACKLOG_MAX: usize = 500;
/// Longest silence.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How soon a viewer that is cut off comes back, in ms.
const RETRY: &str = "retry: 1000\n";
/// An event source that was cut off sends the ID of its last message here.
const LAST_EVENT_ID: &str = "last-event-id";

/// A viewer.
struct Viewer {
    console: Arc<Console>,
    filter: FeedFilter,
    reason: Option<Reason>,
    shows_events: bool,
    shows_refusals: bool,
    only_counts: bool,
    /// Everything up to here is sent, waits or is counted.
    at: Place,
    events: Waiting,
    refusals: Waiting,
    /// Rows that were wanted and are not sent.
    passed: (u64, u64),
    /// Whether it goes on from a place, and has not come to the end yet.
    is_behind: bool,
    ticks: tokio::time::Interval,
    heartbeat_at: Instant,
    counted_at: Instant,
    ended: watch::Receiver<bool>,
    _permit: OwnedSemaphorePermit,
}

/// Rows that wait, each with its place.
#[derive(Default)]
struct Waiting {
    rows: VecDeque<(u64, String)>,
    bytes: usize,
}

impl Waiting {
    /// Lets a row wait. The oldest leave if more wait than may; returns how many.
    fn push(&mut self, place: u64, row: String, most: usize) -> u64 {
        self.bytes += row.len();
        self.rows.push_back((place, row));
        let mut left = 0;
        while self.rows.len() > most || self.bytes > WAITING_BYTES_MAX && self.rows.len() > 1 {
            self.pop();
            left += 1;
        }
        left
    }

    fn pop(&mut self) -> Option<String> {
        let (_, row) = self.rows.pop_front()?;
        self.bytes -= row.len();
        Some(row)
    }

    /// Lets all leave; returns how many.
    fn clear(&mut self) -> u64 {
        self.bytes = 0;
        self.rows.drain(..).count() as u64
    }

    /// The place behind all that was sent, if everything up to `at` was looked at.
    fn sent(&self, at: u64) -> u64 {
        self.rows.front().map_or(at, |(place, _)| place - 1)
    }
}

/// A place in the log and among the refusals.
#[derive(Clone, Copy)]
struct Place {
    event: u64,
    refusal: u64,
}

impl Place {
    /// Reads the ID of a message.
    fn parse(id: &str) -> Option<Self> {
        let (event, refusal) = id.split_once('-')?;
        Some(Self {
            event: event.parse().ok()?,
            refusal: refusal.parse().ok()?,
        })
    }
}

/// Answers a viewer. `project`: the only one that it may see.
///
/// # Errors
/// What is wrong with the query, or that there are too many viewers.
pub(super) fn feed(
    console: &Arc<Console>,
    query: &str,
    headers: &HeaderMap,
    project: Option<String>,
) -> Result<Response<Body>, super::Error> {
    let mut filter = FeedFilter::default();
    let (mut reason, mut after) = (None, None);
    let (mut shows_events, mut shows_refusals, mut only_counts) = (true, true, false);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let place = || parsed(&name, &value, "an ID of a message", Place::parse(&value));
        match &*name {
            "show" => {
                shows_events = value.split(',').any(|one| one == "events");
                shows_refusals = value.split(',').any(|one| one == "refusals");
                let is_known = |one: &str| matches!(one, "events" | "refusals");
                let known = value.split(',').all(is_known).then_some(());
                parsed(&name, &value, "events, refusals or both", known)?;
            }
            "project" => filter.project = Some(value.into_owned()),
            "type" => filter.event_type = Some(value.into_owned()),
            "customer" => {
                let id = value.split_once(':');
                let (kind, id) = parsed(&name, &value, "TYPE:VALUE", id)?;
                filter.customer = Some((kind.to_owned(), id.to_owned()));
            }
            "reason" => {
                let found = Reason::ALL.iter().find(|reason| reason.tag() == value);
                reason = Some(*parsed(&name, &value, "a reason", found)?);
            }
            "after" => after = Some(place()?),
            "counts" => only_counts = parsed(&name, &value, "true or false", value.parse().ok())?,
            _ => {
                let name = quoted(&name);
                let known = "known: show, project, type, customer, reason, after, counts";
                return Err(super::Error::invalid(format!("{known}, not '{name}'")));
            }
        }
    }
    // A page that reconnects sends the same query again; only the header has its last place.
    let last = headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok());
    let after = last.and_then(Place::parse).or(after);
    if let Some(own) = project {
        if filter.project.as_ref().is_some_and(|asked| *asked != own) {
            return Err(super::Error::forbidden("the session is of another project"));
        }
        filter.project = Some(own);
    }
    let permit = console.feeds.clone().try_acquire_owned();
    let permit = permit.map_err(|_| {
        super::Error::unavailable(format!(
            "{FEEDS_MAX} feeds are open, as many as there may be"
        ))
    })?;
    let now = Place {
        event: console.tracker.feed_progress().borrow().applied.get(),
        refusal: *console.endpoint.refusals.subscribe().borrow(),
    };
    // Refusals are counted from the start of the service on.
    let after = after.map(|after| Place {
        refusal: if after.refusal > now.refusal {
            0
        } else {
            after.refusal
        },
        ..after
    });
    if after.is_some_and(|after| after.event > now.event) {
        return Err(super::Error::invalid(
            "'after' is ahead of the log".to_owned(),
        ));
    }
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let viewer = Viewer {
        console: console.clone(),
        filter,
        reason,
        shows_events,
        shows_refusals,
        only_counts,
        at: after.unwrap_or(now),
        events: Waiting::default(),
        refusals: Waiting::default(),
        passed: (0, 0),
        is_behind: after.is_some(),
        ticks,
        heartbeat_at: Instant::now() + HEARTBEAT,
        counted_at: Instant::now(),
        ended: console.tracker.streams_ended(),
        _permit: permit,
    };
    let begins = format!("{RETRY}event: ready\nid: {}\ndata: {{}}\n\n", viewer.id());
    let frames = stream::unfold((Some(begins), viewer), async |(begins, mut viewer)| {
        let text = match begins {
            Some(begins) => begins,
            None => viewer.next().await?,
        };
        let frame = Frame::data(Bytes::from(text));
        Some((Ok::<_, std::convert::Infallible>(frame), (None, viewer)))
    });
    let body = Body::new(StreamBody::new(frames));
    Ok(super::super::answer::shown("text/event-stream", body))
}

impl Viewer {
    /// The next messages; none at the end.
    async fn next(&mut self) -> Option<String> {
        loop {
            tokio::select! {
                biased;
                _ = self.ended.wait_for(|ended| *ended) => return None,
                _ = self.ticks.tick() => {}
            }
            let is_end = match self.look().await {
                Ok(is_end) => is_end,
                Err(error) => {
                    tracing::warn!(%error, "a feed ends");
                    return None;
                }
            };
            let mut out = String::new();
            let rows = match (self.is_behind, is_end) {
                (false, _) => TICK_ROWS,
                // The newest of what came while the viewer was away.
                (true, true) => BACKLOG_MAX,
                (true, false) => 0,
            };
            self.write(&mut out, rows);
            self.is_behind &= !is_end;
            if out.is_empty() && Instant::now() >= self.heartbeat_at {
                out.push_str(": nothing\n\n");
            }
            if !out.is_empty() {
                self.heartbeat_at = Instant::now() + HEARTBEAT;
                return Some(out);
            }
        }
    }

    /// Takes what is new. Returns whether it has come to the end.
    async fn look(&mut self) -> Result<bool, crate::tracker::Error> {
        if self.shows_refusals {
            self.look_at_refusals();
        }
        match self.shows_events {
            true => self.look_at_events().await,
            false => Ok(true),
        }
    }

    /// How many rows of a kind may wait.
    fn waiting_max(&self) -> usize {
        match self.is_behind {
            true => BACKLOG_MAX,
            false => WAITING_MAX,
        }
    }

    async fn look_at_events(&mut self) -> Result<bool, crate::tracker::Error> {
        let (tracker, most) = (self.console.tracker.clone(), self.waiting_max());
        for _ in 0..TICK_STEPS {
            if tracker.feed_progress().borrow().applied.get() <= self.at.event {
                return Ok(true);
            }
            let step = tracker.feed(self.at.event, self.filter.clone(), most);
            let step = step.await?;
            self.at.event = step.at;
            if step.passed > 0 {
                // They come behind what waits.
                self.passed.0 += step.passed + self.events.clear();
            }
            for event in &step.events {
                self.passed.0 += self.events.push(event.position, row(event), most);
            }
        }
        Ok(false)
    }

    fn look_at_refusals(&mut self) {
        let (filter, reason) = (&self.filter, self.reason);
        let is_wanted = |refusal: &Refusal| {
            let project = refusal
                .call
                .project
                .as_ref()
                .map(|project| project.token.as_str());
            let of_project = filter.project.is_none() || filter.project.as_deref() == project;
            of_project && reason.is_none_or(|reason| reason == refusal.reason)
        };
        let ring = &self.console.endpoint.refusals;
        let found = ring.following(self.at.refusal, usize::MAX, is_wanted);
        if found.missed {
            // They have left the memory; which of them were wanted is not known any more.
            let lost = ring.oldest().saturating_sub(self.at.refusal);
            self.passed.1 += lost;
        }
        self.at.refusal = found.next;
        let most = self.waiting_max();
        for (number, refusal) in &found.refusals {
            let row = listed(refusal).to_string();
            self.passed.1 += self.refusals.push(*number, row, most);
        }
    }

    /// Writes what may be sent now: at most so many rows of each kind. Counts come first: the ID of a row is a place
    /// behind what they count.
    fn write(&mut self, out: &mut String, rows: usize) {
        if self.only_counts {
            self.passed.0 += self.events.clear();
            self.passed.1 += self.refusals.clear();
            if self.counted_at.elapsed() < Duration::from_secs(1) {
                return;
            }
        }
        if self.passed != (0, 0) {
            let (events, refusals) = std::mem::take(&mut self.passed);
            self.counted_at = Instant::now();
            let counts = json!({ "events": events, "refusals": refusals });
            self.message(out, "passed", &counts.to_string());
        }
        for _ in 0..rows {
            if let Some(row) = self.events.pop() {
                self.message(out, "event", &row);
            }
            if let Some(row) = self.refusals.pop() {
                self.message(out, "refusal", &row);
            }
        }
    }

    /// A message. Its ID is the place behind all that was sent or counted.
    fn message(&self, out: &mut String, name: &str, data: &str) {
        // Writing into a string cannot fail.
        let _ = write!(out, "event: {name}\nid: {}\ndata: {data}\n\n", self.id());
    }

    /// What waits is not sent yet.
    fn id(&self) -> String {
        let event = self.events.sent(self.at.event);
        let refusal = self.refusals.sent(self.at.refusal);
        format!("{event}-{refusal}")
    }
}

/// An event as the page gets it.
fn row(event: &FeedEvent) -> String {
    let mut properties = Vec::new();
    event.properties.write_json(&mut properties);
    let properties: Value = serde_json::from_slice(&properties).unwrap_or_default();
    json!({
        "position": event.position,
        "project": event.project,
        "type": event.event_type,
        "ids": ids(event.ids.iter().map(|(kind, value)| (kind.as_str(), value.as_str()))),
        "time": time(event.time),
        "received": time(event.received),
        "properties": properties,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_wait_within_their_number_and_their_bytes() {
        let mut waiting = Waiting::default();
        let pushed = (1..=9).map(|place| waiting.push(place, "row".to_owned(), 5));
        assert_eq!(pushed.sum::<u64>(), 4);
        assert_eq!(waiting.sent(9), 4);
        let large = || "x".repeat(WAITING_BYTES_MAX);
        assert_eq!(waiting.push(10, large(), 500), 5);
        assert_eq!(waiting.push(11, large(), 500), 1);
        assert_eq!((waiting.rows.len(), waiting.bytes), (1, WAITING_BYTES_MAX));
        assert_eq!(
            (waiting.clear(), waiting.bytes, waiting.sent(11)),
            (1, 0, 11)
        );
    }
}
