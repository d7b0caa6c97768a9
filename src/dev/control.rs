//! What tests ask the emulator over the second listener: what it received, and what it should do.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::faults::Faults;
use super::fields::{Fields, Wrong};
use super::received::{Failed, Filter, Item, Walk};
use super::seed::Seed;
use crate::admin::{Answer, Extension};
use crate::app::emulated::Handles;
use crate::log::Position;
use crate::middleware::DrainedBody;
use crate::model::quote::quoted;
use crate::tracker::{Access, Tracker};

/// Largest body, in bytes, and the longest time for it to arrive.
const BODY_BYTES_MAX: usize = 64 * 1024;
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// How many items a page has, unless `limit` says otherwise, and at most.
const PAGE: u64 = 100;
const PAGE_MAX: u64 = 1_000;
/// Longest that an expectation waits, and how long unless `within` says otherwise.
const WITHIN_MAX: Duration = Duration::from_secs(60);
const WITHIN: Duration = Duration::from_secs(5);
/// Most expectations that wait at once.
const EXPECTATIONS_MAX: usize = 256;
/// Most events or updates that one expectation waits for.
const COUNT_MAX: u64 = 10_000;
/// How many items the answer to an expectation shows: the newest.
const SHOWN: usize = 20;
/// How often projects are reset: what was in them takes memory until the end.
const RESETS_MAX: usize = 16_384;
/// Furthest that the clock is moved at once.
const ADVANCE_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Answers what tests ask.
#[derive(Clone, Debug)]
pub(super) struct Control(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    handles: Arc<Handles>,
    faults: Faults,
    seed: Arc<Seed>,
    expectations: Semaphore,
    resets: AtomicUsize,
    /// One reset at once.
    resetting: tokio::sync::Mutex<()>,
    /// By token: what was refused up to its last reset. There are no more than projects.
    refused: Mutex<BTreeMap<String, BTreeMap<&'static str, u64>>>,
}

/// A refusal of a request.
type Refused = (StatusCode, String);

fn wrong(text: Wrong) -> Refused {
    (StatusCode::BAD_REQUEST, text)
}

fn failed(failed: &Failed) -> Refused {
    (StatusCode::SERVICE_UNAVAILABLE, failed.to_string())
}

impl Extension for Control {
    fn has(&self, path: &str) -> bool {
        matches!(
            path,
            "/received" | "/counts" | "/reset" | "/expect" | "/faults" | "/clock"
        )
    }

    fn answer(&self, request: Request<DrainedBody>) -> Answer {
        let control = self.clone();
        Box::pin(async move {
            match control.respond(request).await {
                Ok((status, value)) => (status, value.to_string()),
                Err((status, text)) => (status, json!({ "error": text }).to_string()),
            }
        })
    }
}

impl Control {
    pub(super) fn new(handles: Handles, faults: Faults, seed: Arc<Seed>) -> Self {
        Self(Arc::new(Shared {
            handles: Arc::new(handles),
            faults,
            seed,
            expectations: Semaphore::new(EXPECTATIONS_MAX),
            resets: AtomicUsize::new(0),
            resetting: tokio::sync::Mutex::default(),
            refused: Mutex::default(),
        }))
    }

    async fn respond(&self, request: Request<DrainedBody>) -> Result<(StatusCode, Value), Refused> {
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        let query = head.uri.query().unwrap_or_default();
        if matches!(path, "/received" | "/counts") {
            check_method(&head.method, &Method::GET, path)?;
            let fields = Fields::of_query(query).map_err(wrong)?;
            let value = match path {
                "/received" => self.received(fields).await?,
                _ => self.counts(fields).await?,
            };
            return Ok((StatusCode::OK, value));
        }
        check_method(&head.method, &Method::POST, path)?;
        check_type(&head.headers)?;
        let body = body_of(body).await?;
        if path == "/reset" {
            let fields = Fields::of_query(query).map_err(wrong)?;
            return Ok((StatusCode::OK, self.reset(fields).await?));
        }
        let fields = Fields::of_json(&body).map_err(wrong)?;
        match path {
            "/expect" => self.expect(fields).await,
            "/faults" => Ok((StatusCode::OK, self.0.faults.change(fields).map_err(wrong)?)),
            _ => Ok((StatusCode::OK, self.advance(fields)?)),
        }
    }

    fn tracker(&self) -> &Arc<Tracker> {
        &self.0.handles.tracker
    }

    /// A walk over what a project received. Of one that nobody has called yet, there is nothing.
    fn walk(&self, token: &str, after: u64) -> Option<Walk> {
        let access = self.tracker().opened(token)?;
        let after = Position::from_number(after);
        Some(Walk::new(self.0.handles.clone(), access.kept_as(), after))
    }

    async fn received(&self, mut fields: Fields) -> Result<Value, Refused> {
        let mut read = || {
            let project = fields.needed("project")?;
            let filter = Filter::read(&mut fields)?;
            let since = fields.number("since", 0, u64::MAX)?.unwrap_or_default();
            let limit = fields.number("limit", 1, PAGE_MAX)?.unwrap_or(PAGE);
            Ok((project, filter, since, limit))
        };
        let (project, filter, since, limit) = read().map_err(wrong)?;
        fields
            .end(&format!("project, {}, since, limit", Filter::FIELDS))
            .map_err(wrong)?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        // One more than shown, which says that there are more.
        let items = match self.walk(&project, since) {
            None => Vec::new(),
            Some(walk) => collect(walk, filter, limit.saturating_add(1)).await?,
        };
        let mut items = items;
        let has_more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| has_more).map(|item| item.position);
        Ok(json!({ "received": items, "next": next }))
    }

    async fn counts(&self, mut fields: Fields) -> Result<Value, Refused> {
        let wanted = fields.text("project").map_err(wrong)?;
        fields.end("project").map_err(wrong)?;
        let mut counts = BTreeMap::new();
        for access in self.tracker().all_opened() {
            let token = access.token();
            if wanted.as_deref().is_none_or(|wanted| wanted == token) {
                let of_project = self.counts_of(&access).await?;
                counts.insert(token.to_owned(), of_project);
            }
        }
        Ok(json!({ "projects": counts }))
    }

    async fn counts_of(&self, access: &Access) -> Result<Value, Refused> {
        let walk = Walk::new(self.0.handles.clone(), access.kept_as(), Position::START);
        let counts = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
        let counted = counts.clone();
        let walk = walk.go(move |item| {
            let (events, updates) = &*counted;
            let count = if item.kind == "event" {
                events
            } else {
                updates
            };
            count.fetch_add(1, Ordering::Relaxed);
            true
        });
        let walk = walk.await.map_err(|error| failed(&error))?;
        let customers = walk.customers().await.map_err(|error| failed(&error))?;
        let remarks = self.0.handles.view.remarks();
        let remarks = remarks.get(access.kept_as()).copied().unwrap_or_default();
        Ok(json!({
            "events": counts.0.load(Ordering::Relaxed),
            "updates": counts.1.load(Ordering::Relaxed),
            "customers": customers,
            "duplicates": remarks.duplicates,
            "refused": self.refused(access.token()),
        }))
    }

    /// What was refused since the last reset, by reason.
    fn refused(&self, token: &str) -> BTreeMap<&'static str, u64> {
        let all = self
            .0
            .refused
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let before = all.get(token);
        let counts = self.0.handles.refusals.of_project(token).into_iter();
        let counts = counts.map(|(reason, count)| {
            let before = before.and_then(|before| before.get(reason.tag()));
            (
                reason.tag(),
                count.saturating_sub(before.copied().unwrap_or_default()),
            )
        });
        counts.filter(|(_, count)| *count > 0).collect()
    }

    async fn reset(&self, mut fields: Fields) -> Result<Value, Refused> {
        let mut read = || {
            let project = fields.needed("project")?;
            let to_empty = fields.word("to", &[("seed", false), ("empty", true)])?;
            Ok((project, to_empty.unwrap_or_default()))
        };
        let (project, to_empty) = read().map_err(wrong)?;
        fields.end("project, to").map_err(wrong)?;
        let _one = self.0.resetting.lock().await;
        if self.0.resets.fetch_add(1, Ordering::Relaxed) >= RESETS_MAX {
            let text =
                format!("projects were reset {RESETS_MAX} times, which is the most: start again");
            return Err((StatusCode::SERVICE_UNAVAILABLE, text));
        }
        let access = self.tracker().emptied(&project);
        let access = access.map_err(|error| wrong(format!("'project': {error}")))?;
        if !to_empty {
            let sown = self.0.seed.sow(self.tracker(), &access).await;
            sown.map_err(|why| (StatusCode::SERVICE_UNAVAILABLE, format!("the seed: {why}")))?;
        }
        self.0.faults.clear(&project);
        let refused = self.0.handles.refusals.of_project(&project).into_iter();
        let refused = refused
            .map(|(reason, count)| (reason.tag(), count))
            .collect();
        let mut all = self
            .0
            .refused
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.insert(project.clone(), refused);
        drop(all);
        self.tracker().put_in_force(&access);
        Ok(json!({ "project": project, "to": if to_empty { "empty" } else { "seed" } }))
    }

    async fn expect(&self, mut fields: Fields) -> Result<(StatusCode, Value), Refused> {
        let mut read = || {
            let expected = Expected {
                project: fields.needed("project")?,
                filter: Filter::read(&mut fields)?.with_properties(fields.object("properties")?),
                since: fields.number("since", 0, u64::MAX)?.unwrap_or_default(),
                count: fields.number("count", 0, COUNT_MAX)?.unwrap_or(1),
                within: fields.seconds("within", WITHIN_MAX)?.unwrap_or(WITHIN),
            };
            Ok(expected)
        };
        let expected = read().map_err(wrong)?;
        let known = format!(
            "project, {}, properties, since, count, within",
            Filter::FIELDS
        );
        fields.end(&known).map_err(wrong)?;
        let Ok(_waits) = self.0.expectations.try_acquire() else {
            let text = format!("{EXPECTATIONS_MAX} expectations wait, which is the most");
            return Err((StatusCode::SERVICE_UNAVAILABLE, text));
        };
        self.wait_for(expected).await
    }

    async fn wait_for(&self, expected: Expected) -> Result<(StatusCode, Value), Refused> {
        let deadline = Instant::now() + expected.within;
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (mut at, mut kept_as) = (expected.since, None);
        let mut durable = self.0.handles.log.watch();
        loop {
            durable.mark_unchanged();
            if let Some(access) = self.tracker().opened(&expected.project) {
                // After a reset it is another project.
                if kept_as.as_deref() != Some(access.kept_as()) {
                    kept_as = Some(access.kept_as().to_owned());
                    *lock(&seen) = Seen::default();
                    at = expected.since;
                }
                let walk = Walk::new(
                    self.0.handles.clone(),
                    access.kept_as(),
                    Position::from_number(at),
                );
                let (filter, noted) = (expected.filter.clone(), seen.clone());
                let walk = walk.go(move |item| {
                    lock(&noted).note(item, &filter);
                    true
                });
                // However short the time, what is there counts.
                at = walk.await.map_err(|error| failed(&error))?.at.get();
            }
            let matching = lock(&seen).matching;
            let is_over = match expected.count {
                // Nothing may come, until the end.
                0 => matching > 0,
                count => matching >= count,
            };
            let changed = tokio::time::timeout_at(deadline, durable.changed());
            if is_over || changed.await.is_err() {
                return Ok(lock(&seen).verdict(&expected));
            }
        }
    }

    fn advance(&self, mut fields: Fields) -> Result<Value, Refused> {
        let mut read = || {
            let project = fields.needed("project")?;
            let by = fields.seconds("advance", ADVANCE_MAX)?;
            Ok((project, by.ok_or("'advance' is needed")?))
        };
        let (project, by) = read().map_err(wrong)?;
        fields.end("project, advance").map_err(wrong)?;
        let access = self.tracker().open_project(&project);
        let access = access.map_err(|error| wrong(format!("'project': {error}")))?;
        Tracker::advance_quotas(&access, by);
        Ok(json!({ "project": project, "advanced": by.as_secs_f64() }))
    }
}

/// What is expected.
#[derive(Debug)]
struct Expected {
    project: String,
    filter: Filter,
    since: u64,
    count: u64,
    within: Duration,
}

/// What has come so far.
#[derive(Debug, Default)]
struct Seen {
    matching: u64,
    matched: Vec<Item>,
    others: Vec<Item>,
}

impl Seen {
    fn note(&mut self, item: Item, filter: &Filter) {
        let is_match = filter.matches(&item);
        self.matching += u64::from(is_match);
        let shown = if is_match {
            &mut self.matched
        } else {
            &mut self.others
        };
        if shown.len() >= SHOWN {
            shown.remove(0);
        }
        shown.push(item);
    }

    fn verdict(&self, expected: &Expected) -> (StatusCode, Value) {
        let (count, matching) = (expected.count, self.matching);
        let is_met = match count {
            0 => matching == 0,
            _ => matching >= count,
        };
        if is_met {
            return (
                StatusCode::OK,
                json!({ "matching": matching, "matched": self.matched }),
            );
        }
        let seconds = expected.within.as_secs_f64();
        let error = match count {
            0 => format!("{matching} came, and none was expected within {seconds} s"),
            _ => format!("{matching} of {count} came within {seconds} s"),
        };
        let value = json!({
            "error": error,
            "matching": matching,
            "matched": self.matched,
            "others": self.others,
        });
        (StatusCode::CONFLICT, value)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What it guards is whole after each step.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn collect(walk: Walk, filter: Filter, most: usize) -> Result<Vec<Item>, Refused> {
    let items = Arc::new(Mutex::new(Vec::new()));
    let found = items.clone();
    let walk = walk.go(move |item| {
        let mut found = lock(&found);
        if filter.matches(&item) {
            found.push(item);
        }
        found.len() < most
    });
    walk.await.map_err(|error| failed(&error))?;
    let items = std::mem::take(&mut *lock(&items));
    Ok(items)
}

fn check_method(method: &Method, expected: &Method, path: &str) -> Result<(), Refused> {
    match method == expected {
        true => Ok(()),
        false => {
            let text = format!(
                "{path} is asked by {expected}, not {}",
                quoted(method.as_str())
            );
            Err((StatusCode::METHOD_NOT_ALLOWED, text))
        }
    }
}

/// Pages of other sites cannot send this type without being allowed to, and nobody allows it.
fn check_type(headers: &HeaderMap) -> Result<(), Refused> {
    let value = headers
        .get(CONTENT_TYPE)
        .map(|value| String::from_utf8_lossy(value.as_bytes()));
    let value = value.unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim();
    match essence.eq_ignore_ascii_case("application/json") {
        true => Ok(()),
        false => {
            let text = format!(
                "Content-Type must be application/json, not '{}'",
                quoted(&value)
            );
            Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, text))
        }
    }
}

async fn body_of(body: DrainedBody) -> Result<bytes::Bytes, Refused> {
    let read =
        tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, BODY_BYTES_MAX).collect()).await;
    match read {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            let text = format!("the body is too large, at most {BODY_BYTES_MAX} bytes");
            Err((StatusCode::PAYLOAD_TOO_LARGE, text))
        }
        Ok(Err(error)) => Err(wrong(format!("the body ended early: {error}"))),
        Err(_) => Err((
            StatusCode::REQUEST_TIMEOUT,
            "the body did not come".to_owned(),
        )),
    }
}
