//! One class, one ID, one count and one time a call.

use std::future::{Ready, ready};
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::Either;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::Body as _;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tower::{Layer, Service, layer::layer_fn};

use super::context::Missing;
use super::finish::{Finish, Finished};
use super::in_flight::HeldUntilTaken;
use super::refusal::once;
use super::{Answers, Body, CallContext, Classified, Classify, Connected, Lasting, path};
use crate::clock::Clock;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest ID that is taken over from a caller.
const REQUEST_ID_BYTES_MAX: usize = 128;
/// Length of the longest ID that is made here: two numbers and a hyphen.
const ID_BYTES_MAX: usize = 16 + 1 + 16;
/// Upper bounds of the buckets of a call's time, in seconds.
const BUCKETS: [f64; 14] = [
    0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.125, 0.25, 0.5, 1.0, 5.0, 10.0,
];

const REST: &str = "rest";
const GRPC: &str = "grpc";

/// The metrics of calls. Clones count together.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Measures>);

#[derive(Debug)]
struct Measures {
    requests: Family<Labels, Counter>,
    rest_duration: Histogram,
    grpc_duration: Histogram,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    protocol: &'static str,
    /// A service's method or a REST route; `other` for what is not known.
    route: &'static str,
    /// The HTTP status of REST, the status code of gRPC.
    code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Protocol {
    protocol: &'static str,
}

impl Metrics {
    /// Metrics in `registry`.
    pub fn new(registry: &mut Registry) -> Self {
        let duration: Family<Protocol, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(BUCKETS));
        let of = |protocol| duration.get_or_create_owned(&Protocol { protocol });
        let measures = Measures {
            requests: Family::default(),
            rest_duration: of(REST),
            grpc_duration: of(GRPC),
        };
        registry.register(
            "footfall_requests",
            "Calls answered, by protocol, route and code",
            measures.requests.clone(),
        );
        registry.register(
            "footfall_request_duration_seconds",
            "Time from a call's headers to its answer's headers",
            duration,
        );
        Self(Arc::new(measures))
    }
}

/// Makes the IDs of calls that bring none.
#[derive(Debug)]
pub struct Ids {
    /// Different for each process, and in hexadecimal.
    prefix: String,
    next: AtomicU64,
}

impl Ids {
    /// `prefix` should differ between processes.
    pub fn new(prefix: u64) -> Self {
        Self {
            prefix: format!("{prefix:016x}"),
            next: AtomicU64::new(1),
        }
    }

    /// The next ID.
    pub fn next(&self) -> HeaderValue {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut text = [0; ID_BYTES_MAX];
        let mut room = text.as_mut_slice();
        // The buffer fits both numbers at their longest.
        let _ = write!(room, "{}-{number:x}", self.prefix);
        let room = room.len();
        let id = text.get(..ID_BYTES_MAX - room).unwrap_or_default();
        HeaderValue::from_bytes(id).unwrap_or(HeaderValue::from_static("-"))
    }
}

/// Counts and times calls, and gives each its class and its ID.
#[derive(Clone, Debug)]
pub struct Observe<S> {
    inner: S,
    metrics: Metrics,
    classify: Classify,
    ids: Arc<Ids>,
    clock: Arc<dyn Clock>,
}

impl<S> Observe<S> {
    /// The layer that counts requests into `metrics` by the class from `classify`, with IDs from `ids`.
    pub fn layer(
        metrics: Metrics,
        classify: Classify,
        ids: Arc<Ids>,
        clock: Arc<dyn Clock>,
    ) -> impl Layer<S, Service = Self> + Clone {
        layer_fn(move |inner| Self {
            inner,
            metrics: metrics.clone(),
            classify,
            ids: ids.clone(),
            clock: clock.clone(),
        })
    }
}

/// A call under observation.
#[derive(Debug)]
pub struct Observed {
    metrics: Metrics,
    classified: Classified,
    began: Duration,
    clock: Arc<dyn Clock>,
    id: HeaderValue,
}

impl Finish<Body> for Observed {
    fn finish(self, mut response: Response<Body>) -> Response<Body> {
        let measures = &*self.metrics.0;
        let (protocol, duration, code) = match self.classified.is_grpc() {
            true => (GRPC, &measures.grpc_duration, grpc_code(response.headers())),
            false => (REST, &measures.rest_duration, response.status().as_u16()),
        };
        let labels = Labels {
            protocol,
            route: self.classified.route,
            code,
        };
        measures.requests.get_or_create(&labels).inc();
        let took = self.clock.elapsed().saturating_sub(self.began);
        duration.observe(took.as_secs_f64());
        response.headers_mut().insert(REQUEST_ID, once(self.id));
        let lasts = self.classified.answers == Answers::Lasts && !self.classified.sends_many();
        // A refusal has an end.
        if lasts && response.body().size_hint().exact().is_none() {
            response.extensions_mut().insert(Lasting);
        }
        // Out here, as inner layers may have replaced the body.
        HeldUntilTaken::hold(response)
    }
}

/// The code of an answer that fails at once; one that succeeds says so in its trailers.
fn grpc_code(headers: &HeaderMap) -> u16 {
    let code = headers
        .get("grpc-status")
        .and_then(|code| code.to_str().ok());
    code.and_then(|code| code.parse().ok()).unwrap_or(0)
}

/// The caller's own ID, if it is safe in a header and a log line as it is.
fn sane_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let id = headers.get(&REQUEST_ID)?;
    let sane = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte);
    let length = id.as_bytes().len();
    let fits = (1..=REQUEST_ID_BYTES_MAX).contains(&length);
    (fits && id.as_bytes().iter().all(sane)).then(|| id.clone())
}

impl<S, B> Service<Request<B>> for Observe<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<Finished<S::Future, Observed>, Ready<Result<Response<Body>, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let id = sane_id(request.headers()).unwrap_or_else(|| self.ids.next());
        if let Some(uri) = path::normalized(request.uri()) {
            *request.uri_mut() = uri;
        }
        let path = request.uri().path();
        let version = request.version();
        let classified = (self.classify)(request.method(), version, path, request.headers());
        let extensions = request.extensions_mut();
        let Some(connected) = extensions.remove::<Connected>() else {
            let missing = Missing("connection");
            return Either::Right(ready(Ok(missing.into_response())));
        };
        extensions.insert(CallContext::new(connected, classified, id.clone()));
        let observed = Observed {
            metrics: self.metrics.clone(),
            classified,
            began: self.clock.elapsed(),
            clock: self.clock.clone(),
            id,
        };
        Either::Left(Finished::new(self.inner.call(request), observed))
    }
}
