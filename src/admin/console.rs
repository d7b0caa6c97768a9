//! The console: a page on the second listener that shows what the service does, and its data.
//!
//! Customers' data are behind it. So a request has to ask for a known name, changes need a header that no form can
//! send, and beyond this machine a private key has to be shown.

mod feed;
mod files;
pub(crate) mod history;
mod sessions;
mod status;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, ORIGIN, SET_COOKIE};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body as HttpBody;
use http_body_util::{BodyExt as _, Limited};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tonic::Status;

use super::answer::{self, JSON};
use super::endpoint::AdminEndpoint;
use super::{hosts, limits, refusals};
use crate::config::Setting;
use crate::limit::QuotaOutcome;
use crate::middleware::{Body, Connected};
use crate::model::address::{ClientAddress, Peer};
use crate::model::credentials::Credentials;
use crate::model::project::Permission;
use crate::model::quote::quoted;
use crate::model::time::Timestamp;
use crate::rest;
use crate::tracker::{self, Access, Tracker};
use history::History;
use sessions::Sessions;

/// A header that no form of another page can send.
const CONSOLE: &str = "x-footfall-console";
/// Headers by which proxies name their callers.
const FORWARDED: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];
/// Largest body of a change, in bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Longest time for a body to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// What the page is made of.
#[derive(Debug)]
pub(crate) struct Console {
    pub(crate) endpoint: AdminEndpoint,
    pub(crate) tracker: Arc<Tracker>,
    pub(crate) history: History,
    pub(crate) status: status::Sources,
    /// Whether the page is served, and what only it needs.
    is_on: bool,
    /// The settings in force when the service started, with their sources.
    settings: OnceLock<Vec<Setting>>,
    /// Commands to paste, by project.
    commands: OnceLock<BTreeMap<String, String>>,
    sessions: Sessions,
    feeds: Arc<Semaphore>,
}

pub(crate) use status::Sources;

/// An answer other than the one that was asked for.
#[derive(Debug)]
struct Error {
    status: StatusCode,
    text: String,
}

impl Error {
    fn invalid(text: String) -> Self {
        let status = StatusCode::BAD_REQUEST;
        Self { status, text }
    }

    fn forbidden(text: &str) -> Self {
        Self {
            status: StatusCode::FORBIDDEN,
            text: text.to_owned(),
        }
    }

    fn unauthorized(text: &str) -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            text: text.to_owned(),
        }
    }

    fn unavailable(text: String) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self { status, text }
    }
}

impl From<tracker::Error> for Error {
    fn from(error: tracker::Error) -> Self {
        let status = Status::from(error);
        Self {
            status: rest::http_status(status.code()),
            text: status.message().to_owned(),
        }
    }
}

type Result<T, E = Error> = std::result::Result<T, E>;

/// Who looks.
enum Viewer {
    /// Someone on this machine.
    Local,
    /// The holder of a private key of this project.
    Of(String),
}

impl Viewer {
    /// The only project that may be seen.
    fn project(self) -> Option<String> {
        match self {
            Self::Local => None,
            Self::Of(project) => Some(project),
        }
    }
}

impl Console {
    pub(crate) fn new(
        endpoint: AdminEndpoint,
        tracker: Arc<Tracker>,
        history: History,
        status: Sources,
        is_on: bool,
    ) -> Self {
        Self {
            endpoint,
            tracker,
            history,
            status,
            is_on,
            settings: OnceLock::new(),
            commands: OnceLock::new(),
            sessions: Sessions::default(),
            feeds: Arc::new(Semaphore::new(feed::FEEDS_MAX)),
        }
    }

    /// Says with which settings the service runs, and how to call its projects.
    pub(crate) fn describe(&self, settings: Vec<Setting>, commands: BTreeMap<String, String>) {
        // The first time counts: a service starts once.
        let _ = self.settings.set(settings);
        let _ = self.commands.set(commands);
    }

    /// Whether this path is answered here.
    pub(super) fn has(&self, path: &str) -> bool {
        match path {
            "/refusals" | "/limits" => true,
            "/"
            | "/status"
            | "/history"
            | "/feed"
            | "/customer"
            | "/customer/anonymize"
            | "/customer/erase"
            | "/reasons"
            | "/settings"
            | "/session" => self.is_on,
            _ => self.is_on && path.starts_with("/console/"),
        }
    }

    /// Answers a request for one of these paths.
    pub(super) async fn respond<B>(self: Arc<Self>, request: Request<B>) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let answer = self.answer(request).await;
        answer.unwrap_or_else(|error| answer::error(error.status, &error.text))
    }

    async fn answer<B>(self: &Arc<Self>, request: Request<B>) -> Result<Response<Body>>
    where
        B: HttpBody<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        hosts::check(&request, &self.endpoint.hosts).map_err(|text| Error::forbidden(&text))?;
        let (head, body) = request.into_parts();
        let query = head.uri.query().unwrap_or_default();
        let is_change = !matches!(head.method, Method::GET | Method::HEAD);
        let body = match is_change {
            true => {
                check_origin(&head)?;
                read(body).await?
            }
            false => Bytes::new(),
        };
        match (head.method.as_str(), head.uri.path()) {
            ("GET" | "HEAD", "/") => Ok(files::file("index.html", &head.headers)),
            ("GET" | "HEAD", path) if path.starts_with("/console/") => {
                let name = path.strip_prefix("/console/").unwrap_or_default();
                Ok(files::file(name, &head.headers))
            }
            ("GET", "/status") => {
                let viewer = self.viewer(&head).ok();
                Ok(json_answer(&self.state(viewer.as_ref()).await))
            }
            ("GET", "/history") => self.past(query),
            ("GET", "/reasons") => {
                let viewer = self.viewer(&head)?;
                Ok(json_answer(&self.reasons(viewer.project().as_deref())))
            }
            ("GET", "/refusals") => {
                let viewer = self.viewer(&head)?;
                let project = viewer.project();
                let found = refusals::json(&self.endpoint.refusals, query, project.as_deref());
                Ok(answer::response(
                    StatusCode::OK,
                    JSON,
                    found.map_err(Error::invalid)?,
                ))
            }
            ("GET", "/limits") => {
                let project = self.viewer(&head)?.project();
                Ok(json_answer(&self.limits(project.as_deref())))
            }
            ("GET", "/settings") => match self.viewer(&head)? {
                Viewer::Local => Ok(json_answer(&self.in_force())),
                Viewer::Of(_) => Err(Error::forbidden("settings are shown on this machine alone")),
            },
            ("GET", "/feed") => {
                let project = self.viewer(&head)?.project();
                feed::feed(self, query, &head.headers, project)
            }
            ("GET", "/customer") => {
                let project = self.viewer(&head)?.project();
                self.customer(query, project).await
            }
            ("POST", "/customer/anonymize") => {
                let (access, ids) = self.named(&head, &body)?;
                self.tracker.anonymize(&access, &ids).await?;
                Ok(json_answer(&json!({})))
            }
            ("POST", "/customer/erase") => {
                let (access, ids) = self.named(&head, &body)?;
                self.tracker.erase(&access, &ids).await?;
                Ok(json_answer(&json!({})))
            }
            ("POST", "/session") => self.begin(&head, &body),
            ("DELETE", "/session") => {
                self.sessions.end(&head.headers);
                let ended = format!(
                    "{}=; Max-Age=0; Path=/; HttpOnly; SameSite=Strict",
                    sessions::NAME
                );
                Ok(with_cookie(&ended))
            }
            _ => Err(Error {
                status: StatusCode::METHOD_NOT_ALLOWED,
                text: format!(
                    "'{}' is not a method of this path",
                    quoted(head.method.as_str())
                ),
            }),
        }
    }

    /// Who looks: someone on this machine, or the holder of a private key.
    fn viewer(&self, head: &Parts) -> Result<Viewer> {
        let is_near =
            head.extensions
                .get::<Connected>()
                .is_some_and(|connected| match connected.peer {
                    Peer::Ip(address) => address.to_canonical().is_loopback(),
                    Peer::Unix => true,
                });
        // A proxy on this machine connects from near; it names its caller, or asks for what its caller asked for.
        let is_proxied = FORWARDED
            .iter()
            .any(|name| head.headers.contains_key(*name));
        if is_near && !is_proxied && hosts::is_local(&head.headers, &head.uri) {
            return Ok(Viewer::Local);
        }
        let now = self.endpoint.clock.elapsed();
        if let Some(project) = self.sessions.project(&head.headers, now) {
            return Ok(Viewer::Of(project));
        }
        let query = head.uri.query().unwrap_or_default();
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        let project = pairs
            .find(|(name, _)| name == "project")
            .map(|(_, project)| project);
        let wanted =
            "beyond this machine, a private key is needed: sign in, or send it with 'project'";
        let project = project.ok_or(Error::unauthorized(wanted))?;
        let access = self.authenticate(&project, head)?;
        self.check_private(&access)?;
        Ok(Viewer::Of(project.into_owned()))
    }

    fn authenticate(&self, project: &str, head: &Parts) -> Result<Access> {
        let credentials = match head.headers.get(AUTHORIZATION) {
            Some(value) => Credentials::from_authorization(value.as_bytes()),
            None => Credentials::Missing,
        };
        self.enter(project, &credentials, head)
    }

    /// Those who guess are refused by their address, as callers are.
    fn enter(&self, project: &str, credentials: &Credentials, head: &Parts) -> Result<Access> {
        let peer = head
            .extensions
            .get::<Connected>()
            .map_or(Peer::Unix, |connected| connected.peer);
        let (address, outcome) = (ClientAddress::from(peer), QuotaOutcome::default());
        let access = self
            .tracker
            .authenticate(project, credentials, address, &outcome);
        access.map_err(|error| {
            let is_guess = matches!(error, tracker::Error::OverQuota { .. });
            Error {
                status: match is_guess {
                    true => StatusCode::TOO_MANY_REQUESTS,
                    false => StatusCode::UNAUTHORIZED,
                },
                text: error.to_string(),
            }
        })
    }

    /// A public key is known to everyone.
    fn check_private(&self, access: &Access) -> Result<()> {
        let needed = [Permission::GetCustomers, Permission::GetEvents];
        match needed.iter().all(|permission| access.may(*permission)) {
            true => Ok(()),
            false => Err(Error::unauthorized(
                "the key needs customers:get and events:get",
            )),
        }
    }

    fn past(&self, query: &str) -> Result<Response<Body>> {
        let mut seconds = history::STEPS_MAX;
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "seconds" => seconds = parsed(&name, &value, "a number", value.parse().ok())?,
                _ => {
                    return Err(Error::invalid(format!(
                        "known: seconds, not '{}'",
                        quoted(&name)
                    )));
                }
            }
        }
        Ok(json_answer(&self.history.json(seconds)))
    }

    /// `own`: the only project to show; addresses are of all.
    fn limits(&self, own: Option<&str>) -> Value {
        let limiters = &self.endpoint.limiters;
        let mut limits = limits::json(&limiters.refused, self.endpoint.clock.as_ref());
        let (quota, is_shadow) = limiters.calls.in_force();
        if own.is_some() {
            limits.insert("addresses".to_owned(), json!([]));
        }
        let left = self.tracker.quotas_left().into_iter();
        let left = left.filter(|one| own.is_none_or(|own| own == one.token));
        let projects = left.map(|one| {
            json!({
                "token": one.token,
                "key": one.key,
                "requests": one.quota.requests(),
                "window_seconds": one.quota.period().as_secs_f64(),
                "left": one.left,
            })
        });
        limits.insert("projects".to_owned(), projects.collect());
        limits.insert("shadow".to_owned(), is_shadow.into());
        let addresses = json!({
            "name": "addresses",
            "requests": quota.requests(),
            "window_seconds": quota.period().as_secs_f64(),
            "burst": quota.burst(),
        });
        limits.insert("quotas".to_owned(), json!([addresses]));
        limits.into()
    }

    fn in_force(&self) -> Value {
        let settings = self.settings.get().into_iter().flatten().map(|setting| {
            json!({ "key": setting.name, "value": setting.value, "source": setting.source })
        });
        json!({ "settings": settings.collect::<Vec<_>>() })
    }

    async fn customer(&self, query: &str, own: Option<String>) -> Result<Response<Body>> {
        let (mut project, mut customer_ids, mut before) = (None, BTreeMap::new(), String::new());
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "project" => project = Some(value.into_owned()),
                "id" => {
                    let (kind, id) = parsed(&name, &value, "TYPE:VALUE", value.split_once(':'))?;
                    customer_ids.insert(kind.to_owned(), id.to_owned());
                }
                "before" => before = value.into_owned(),
                _ => {
                    let text = format!("known: project, id, before, not '{}'", quoted(&name));
                    return Err(Error::invalid(text));
                }
            }
        }
        let project = project.or(own.clone());
        let project = project.ok_or(Error::invalid("'project' is missing".to_owned()))?;
        if own.is_some_and(|own| own != project) {
            return Err(Error::forbidden("the session is of another project"));
        }
        let (found, _held) = self.tracker.look(&project, &customer_ids, &before).await?;
        let values = found.ids.iter().flat_map(|of| {
            of.values
                .iter()
                .map(|value| (of.kind.as_str(), value.as_str()))
        });
        let properties = found.properties.iter().map(|(name, value, updated)| {
            let mut json = Vec::new();
            value.write_json(&mut json);
            let value: Value = serde_json::from_slice(&json).unwrap_or_default();
            json!({ "name": name, "value": value, "updated": updated.map(time) })
        });
        let events = found.events.iter().map(|event| {
            let mut json = Vec::new();
            event.properties.write_json(&mut json);
            let properties: Value = serde_json::from_slice(&json).unwrap_or_default();
            json!({ "type": event.event_type, "time": time(event.time), "properties": properties })
        });
        Ok(json_answer(&json!({
            "project": project,
            "ids": ids(values),
            "properties": properties.collect::<Vec<_>>(),
            "events": events.collect::<Vec<_>>(),
            // They are events of the type `merge`.
            "merges": [],
            "next": found.next,
        })))
    }

    /// Whom a change is about, and the caller whose key may do it.
    fn named(&self, head: &Parts, body: &[u8]) -> Result<(Access, BTreeMap<String, String>)> {
        #[derive(Deserialize)]
        struct Named {
            project: String,
            customer_ids: BTreeMap<String, String>,
        }
        let named: Named = from_json(body)?;
        let access = self.authenticate(&named.project, head)?;
        Ok((access, named.customer_ids))
    }

    fn begin(&self, head: &Parts, body: &[u8]) -> Result<Response<Body>> {
        #[derive(Deserialize)]
        struct Shown {
            project: String,
            key_id: String,
            secret: String,
        }
        let shown: Shown = from_json(body)?;
        let credentials = Credentials::Private {
            id: shown.key_id,
            secret: shown.secret,
        };
        let access = self.enter(&shown.project, &credentials, head)?;
        self.check_private(&access)?;
        let begun = self
            .sessions
            .begin(shown.project, self.endpoint.clock.elapsed());
        let cookie = begun.map_err(|error| Error::unavailable(error.to_string()))?;
        let (name, age) = (sessions::NAME, sessions::TTL.as_secs());
        Ok(with_cookie(&format!(
            "{name}={cookie}; Max-Age={age}; Path=/; HttpOnly; SameSite=Strict"
        )))
    }
}

/// Keeps pages of other sites from changing anything: they can send forms, but not this header, and browsers say from
/// which page a request is.
fn check_origin(head: &Parts) -> Result<()> {
    if head.headers.get(CONSOLE).is_none_or(|value| value != "1") {
        return Err(Error::forbidden(
            "changes need the header X-Footfall-Console: 1",
        ));
    }
    let Some(origin) = head.headers.get(ORIGIN) else {
        return Ok(());
    };
    let origin = origin.to_str().unwrap_or_default();
    let (_, from) = origin.split_once("://").unwrap_or_default();
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = head.uri.authority().map(|host| host.as_str()).or(host);
    match host == Some(from) {
        true => Ok(()),
        false => Err(Error::forbidden(&format!(
            "Origin '{}' is another page",
            quoted(origin)
        ))),
    }
}

async fn read<B>(body: B) -> Result<Bytes>
where
    B: HttpBody<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut body = std::pin::pin!(body);
    let body = Limited::new(body.as_mut(), BODY_BYTES_MAX);
    let too_large = || format!("the body cannot be read, or has more than {BODY_BYTES_MAX} bytes");
    let body = tokio::time::timeout(BODY_TIMEOUT, body.collect()).await;
    let body = body.map_err(|_| Error::invalid("the body did not come in time".to_owned()))?;
    Ok(body.map_err(|_| Error::invalid(too_large()))?.to_bytes())
}

fn from_json<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(|error| Error::invalid(format!("the body: {error}")))
}

/// A parameter's value, or what it has to be.
fn parsed<T>(name: &str, value: &str, expected: &str, read: Option<T>) -> Result<T> {
    let text = || format!("'{name}' must be {expected}, not '{}'", quoted(value));
    read.ok_or_else(|| Error::invalid(text()))
}

/// A time, in UTC.
fn time(time: Timestamp) -> Option<String> {
    let time = jiff::Timestamp::from_microsecond(time.micros());
    Some(time.ok()?.to_string())
}

fn ids<'a>(ids: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<Value> {
    ids.map(|(kind, value)| json!({ "type": kind, "value": value }))
        .collect()
}

fn json_answer(value: &Value) -> Response<Body> {
    answer::response(StatusCode::OK, JSON, value.to_string())
}

fn with_cookie(cookie: &str) -> Response<Body> {
    let mut response = answer::response(StatusCode::NO_CONTENT, JSON, String::new());
    response.headers_mut().remove(CONTENT_TYPE);
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}
