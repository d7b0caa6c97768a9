//! Says why a call or command was refused: to its caller as `google.rpc.ErrorInfo`, to the operator as a count.
//!
//! A status has its [`Reason`] as its source, or a [`Guard`] or [`Cause`] that knows it. What a library refuses has
//! none, and its code says which it is. So no refusal leaves without a reason.

mod recent;

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use http::{Extensions, HeaderName, HeaderValue, Request, Response};
use memchr::memmem;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use prost::Message as _;
use tonic::{Code, Status};
use tonic_types::pb;
use tower::{Layer, Service, layer::layer_fn};

pub use recent::{RecentRefusals, Refusal, RefusedCall};

use super::{Body, CallContext, Cause, Finish, Finished, Guard, NestedRejections};
use crate::clock::Clock;
use crate::model::address::AddressKey;
use crate::model::excerpt::{self, Excerpts};
use crate::model::project::{Key, Project};
use crate::model::reason::{Reason, Severity};

/// Who gives the reasons, as `ErrorInfo.domain`.
pub(super) const DOMAIN: &str = "footfall";
const ERROR_INFO: &str = "type.googleapis.com/google.rpc.ErrorInfo";
static FINDER: LazyLock<memmem::Finder<'static>> =
    LazyLock::new(|| memmem::Finder::new(ERROR_INFO));
const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
/// The project of what is refused before one of the settings is known.
pub const OTHER: &str = "other";

/// Why something is refused, behind its status.
#[derive(Clone, Debug)]
struct Why {
    reason: Reason,
    field: Option<Box<str>>,
    /// The beginning of what is refused, as JSON.
    excerpt: Option<String>,
    guard: Option<Guard>,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason.tag())
    }
}

impl std::error::Error for Why {}

/// The status, with this reason behind it.
pub fn with_reason(reason: Reason, status: Status) -> Status {
    with_field(reason, None, status)
}

/// The status, with this reason and the field that is wrong behind it.
pub fn with_field(reason: Reason, field: Option<&str>, mut status: Status) -> Status {
    status.set_source(Arc::new(Why {
        reason,
        field: field.map(Box::from),
        excerpt: None,
        guard: None,
    }));
    status
}

/// The status, with the beginning of what is refused behind it, as JSON, unless something within it is there already.
pub fn with_excerpt<'a, T: Into<Cow<'a, str>>>(
    mut status: Status,
    json: impl FnOnce() -> T,
) -> Status {
    if let Some(why) = why(&status).filter(|why| why.excerpt.is_none()) {
        let mut excerpt = json().into().into_owned();
        excerpt.truncate(excerpt::beginning(&excerpt).len());
        let why = Why {
            excerpt: Some(excerpt),
            ..why.clone()
        };
        status.set_source(Arc::new(why));
    }
    status
}

/// The status, with this guard behind it too.
pub(super) fn with_guard(guard: Guard, mut status: Status) -> Status {
    let before = why(&status).cloned();
    status.set_source(Arc::new(Why {
        reason: guard.reason(),
        field: before.and_then(|why| why.field),
        excerpt: None,
        guard: Some(guard),
    }));
    status
}

/// The guard that was put behind a status.
pub(super) fn guard_of(status: &Status) -> Option<Guard> {
    why(status)?.guard
}

fn why(status: &Status) -> Option<&Why> {
    std::error::Error::source(status)?.downcast_ref()
}

/// Why a status is one.
pub fn reason_of(status: &Status) -> Reason {
    if let Some(why) = why(status) {
        return why.reason;
    }
    if let Some(cause) = Cause::of(status) {
        return cause.reason;
    }
    if let Some(guard) = Guard::of(status) {
        return guard.reason();
    }
    match status.code() {
        Code::Cancelled => Reason::Cancelled,
        Code::InvalidArgument => Reason::MessageInvalid,
        Code::DeadlineExceeded => Reason::DeadlineExceeded,
        Code::OutOfRange => Reason::MessageTooLarge,
        Code::ResourceExhausted => Reason::RateLimitExceeded,
        Code::Unimplemented | Code::NotFound => Reason::RpcUnknown,
        Code::Unavailable => Reason::Unavailable,
        Code::Ok
        | Code::Unknown
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::Internal
        | Code::DataLoss
        | Code::Unauthenticated => Reason::Internal,
    }
}

/// The details of a status with its reason among them; none if they have it already.
fn details(status: &Status) -> Option<Bytes> {
    let before = status.details();
    if FINDER.find(before).is_some() {
        return None;
    }
    let info = pb::ErrorInfo {
        reason: reason_of(status).tag().to_ascii_uppercase(),
        domain: DOMAIN.to_owned(),
        ..pb::ErrorInfo::default()
    };
    let mut message = tonic_types::Status {
        details: vec![prost_types::Any {
            type_url: ERROR_INFO.to_owned(),
            value: info.encode_to_vec(),
        }],
        ..tonic_types::Status::default()
    };
    // Messages that are concatenated are one, with the details of both.
    let mut details = before.to_vec();
    if details.is_empty() {
        (message.code, message.message) = (status.code().into(), status.message().to_owned());
    }
    // A vector takes any number of bytes.
    let _ = message.encode(&mut details);
    Some(details.into())
}

/// The status as a caller gets it, with its reason among its details.
pub fn explained(status: Status) -> Status {
    match details(&status) {
        None => status,
        Some(details) => {
            let metadata = status.metadata().clone();
            let mut explained = Status::with_details_and_metadata(
                status.code(),
                status.message(),
                details,
                metadata,
            );
            match why(&status) {
                Some(why) => {
                    explained.set_source(Arc::new(why.clone()));
                    explained
                }
                None => with_reason(reason_of(&status), explained),
            }
        }
    }
}

/// Goes with an answer that refuses something: whose call it is, as far as that is known.
#[derive(Clone, Debug, Default)]
pub struct RefusedCaller {
    /// The address that is limited.
    pub address: Option<AddressKey>,
    /// The project of the settings, and the key once it has been let in.
    pub known: Option<(Arc<Project>, Option<Arc<Key>>)>,
}

/// Whether an answer refuses something.
pub(super) fn refuses(extensions: &Extensions) -> bool {
    extensions.get::<Status>().is_some() || extensions.get::<NestedRejections>().is_some()
}

/// Counts what is refused, by reason and project, and keeps the newest of it. Clones share both.
#[derive(Clone, Debug)]
pub struct Refusals(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    recent: RecentRefusals,
    clock: Arc<dyn Clock>,
    excerpts: Excerpts,
    /// Of no project, in the order of the reasons. They need no look-up: a flood is counted here.
    others: Vec<Counter>,
    by_project: Family<Labels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    reason: &'static str,
    project: String,
}

impl Refusals {
    /// Counters in `registry`, with each reason from the start. `clock` says when something was refused.
    pub fn new(registry: &mut Registry, clock: Arc<dyn Clock>, excerpts: Excerpts) -> Self {
        let by_project: Family<Labels, Counter> = Family::default();
        registry.register(
            "footfall_refused",
            "Calls and commands that were refused, by reason and project",
            by_project.clone(),
        );
        let counter = |reason: &Reason| {
            by_project.get_or_create_owned(&Labels {
                reason: reason.tag(),
                project: OTHER.to_owned(),
            })
        };
        let refused = |reason: &&Reason| reason.severity() == Severity::Refused;
        let others = Reason::ALL.iter().filter(refused).map(counter).collect();
        Self(Arc::new(Shared {
            recent: RecentRefusals::default(),
            clock,
            excerpts,
            others,
            by_project,
        }))
    }

    /// The newest refusals.
    pub fn recent(&self) -> &RecentRefusals {
        &self.0.recent
    }

    /// Counts refusals of one call, and keeps them. `id`: the call's.
    pub fn note<'a>(
        &self,
        statuses: impl IntoIterator<Item = &'a Status>,
        caller: &RefusedCaller,
        route: &'static str,
        id: &HeaderValue,
    ) {
        let now = self.0.clock.now();
        let known = caller.known.as_ref();
        let mut call = None;
        for status in statuses {
            let reason = reason_of(status);
            self.count(reason, known.map(|(project, _)| &**project));
            let is_limit = reason == Reason::RateLimitExceeded || Guard::of(status).is_some();
            if is_limit && !self.0.recent.samples(caller.address, reason, now) {
                continue;
            }
            let call = call.get_or_insert_with(|| {
                let key = known.and_then(|(project, key)| Some(project.key_name(key.as_ref()?)));
                Arc::new(RefusedCall {
                    address: caller.address,
                    project: known.map(|(project, _)| project.clone()),
                    key,
                    route,
                    id: id.clone(),
                })
            });
            let (why, excerpts) = (why(status), self.0.excerpts);
            let field = why.and_then(|why| why.field.as_deref());
            let excerpt = why.and_then(|why| why.excerpt.as_deref());
            self.0.recent.keep(Refusal {
                time: now,
                reason,
                text: excerpts.of_error(status.message()),
                field: field.map(str::to_owned),
                excerpt: excerpt.and_then(|json| excerpts.of(json)),
                call: call.clone(),
            });
        }
    }

    /// How often something was refused for this reason, of a project or of [`OTHER`].
    pub fn counted(&self, reason: Reason, project: &str) -> u64 {
        let labels = Labels {
            reason: reason.tag(),
            project: project.to_owned(),
        };
        let counter = self.0.by_project.get(&labels);
        counter.map_or(0, |counter| counter.get())
    }

    /// How much was refused to callers of a project, by reason.
    pub fn of_project(&self, token: &str) -> Vec<(Reason, u64)> {
        let count = |reason: &Reason| {
            let labels = Labels {
                reason: reason.tag(),
                project: token.to_owned(),
            };
            Some((*reason, self.0.by_project.get(&labels)?.get()))
        };
        Reason::ALL.iter().filter_map(count).collect()
    }

    fn count(&self, reason: Reason, project: Option<&Project>) {
        match project {
            None => {
                if let Some(counter) = self.0.others.get(reason as usize) {
                    counter.inc();
                }
            }
            Some(project) => {
                let labels = Labels {
                    reason: reason.tag(),
                    project: project.token.clone(),
                };
                self.0.by_project.get_or_create(&labels).inc();
            }
        }
    }
}

/// Explains and counts the refusals that answers are, or contain.
#[derive(Clone, Debug)]
pub struct Explain<S> {
    inner: S,
    refusals: Refusals,
}

impl<S> Explain<S> {
    /// The layer that counts into `refusals`.
    pub fn layer(refusals: Refusals) -> impl Layer<S, Service = Self> + Clone {
        layer_fn(move |inner| Self {
            inner,
            refusals: refusals.clone(),
        })
    }
}

/// Goes with a REST answer: the details of its status with the reason among them. They are rendered from it.
#[derive(Clone, Debug)]
pub struct Details(pub Bytes);

/// A call whose refusals are noted.
#[derive(Debug)]
pub struct Explained {
    refusals: Refusals,
    /// Its route and its ID.
    call: Option<(&'static str, HeaderValue)>,
    is_grpc: bool,
}

impl Finish<Body> for Explained {
    fn finish(self, mut response: Response<Body>) -> Response<Body> {
        let extensions = response.extensions();
        if !refuses(extensions) {
            return response;
        }
        let status = extensions.get::<Status>();
        let nested = extensions.get::<NestedRejections>();
        let nested = nested.into_iter().flat_map(NestedRejections::statuses);
        let unknown = RefusedCaller::default();
        let caller = extensions.get().unwrap_or(&unknown);
        if let Some((route, id)) = &self.call {
            let statuses = status.into_iter().chain(nested);
            self.refusals.note(statuses, caller, route, id);
        }
        if let Some(details) = status.and_then(details) {
            if !self.is_grpc {
                response.extensions_mut().insert(Details(details));
                return response;
            }
            let details = STANDARD_NO_PAD.encode(details);
            if let Ok(details) = HeaderValue::from_maybe_shared(Bytes::from(details)) {
                response.headers_mut().insert(DETAILS, details);
            }
        }
        response
    }
}

impl<S, B> Service<Request<B>> for Explain<S>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Finished<S::Future, Explained>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // The layer in front makes a context for every call.
        let context = CallContext::of_mut(request.extensions_mut()).ok();
        let is_grpc = context
            .as_ref()
            .is_some_and(|context| context.classified().is_grpc());
        let call = context.map(|context| {
            context.set_refusals(self.refusals.clone());
            (context.classified().route, context.id().clone())
        });
        let explained = Explained {
            refusals: self.refusals.clone(),
            call,
            is_grpc,
        };
        Finished::new(self.inner.call(request), explained)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tonic_types::{ErrorDetails, StatusExt as _};

    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn a_status_keeps_its_details_and_gets_its_reason_once() {
        let violation = ErrorDetails::with_bad_request_violation("url", "x");
        let status = Status::with_error_details(Code::InvalidArgument, "x", violation);
        for status in [status, Status::invalid_argument("x")] {
            let had_violation = status.get_details_bad_request().is_some();
            let mut status = with_reason(Reason::UrlMissing, status);
            for _ in 0..2 {
                status = explained(status);
                let details = tonic_types::Status::decode(status.details()).unwrap();
                assert_eq!(details.details.len(), 1 + usize::from(had_violation));
                assert_eq!((details.code, &*details.message), (3, "x"));
                let info = status.get_details_error_info().unwrap();
                assert_eq!((&*info.reason, &*info.domain), ("URL_MISSING", "footfall"));
                assert_eq!(status.get_details_bad_request().is_some(), had_violation);
                assert_eq!(reason_of(&status), Reason::UrlMissing);
            }
        }
    }

    #[test]
    fn what_a_library_refuses_has_a_reason_too() {
        let of = |status| reason_of(&status);
        assert_eq!(of(Status::unimplemented("")), Reason::RpcUnknown);
        assert_eq!(of(Status::unknown("")), Reason::Internal);
        assert_eq!(
            of(Guard::Depth.behind(Status::invalid_argument(""))),
            Reason::PropertyTooDeep
        );
    }

    #[test]
    fn each_reason_is_counted_apart_and_shown_from_the_start() {
        let mut registry = Registry::default();
        let clock = Arc::new(ManualClock::starting_at(Duration::ZERO));
        let refusals = Refusals::new(&mut registry, clock, Excerpts::Value);
        let refused = |reason: &&Reason| reason.severity() == Severity::Refused;
        for reason in Reason::ALL.iter().filter(refused) {
            refusals.count(*reason, None);
        }
        let mut shown = String::new();
        prometheus_client::encoding::text::encode(&mut shown, &registry).unwrap();
        for reason in Reason::ALL.iter().filter(refused) {
            let tag = reason.tag();
            let line = format!("footfall_refused_total{{reason=\"{tag}\",project=\"other\"}} 1\n");
            assert!(shown.contains(&line), "{line}{shown}");
        }
    }
}
