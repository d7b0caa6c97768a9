//! Answers operators: metrics, refused addresses, health and the running version over the second listener, and backups
//! too over the unix socket.

mod backup;

use std::convert::Infallible;
use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use prometheus_client::registry::Registry;
use tower::Service;

use super::backup::Backups;
use super::{hosts, limits, refusals};
use crate::clock::Clock;
use crate::grpc::health::Health;
use crate::middleware::{Body, Limiters, RecentRefusals};

const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
pub(super) const JSON: &str = "application/json";
const BACKUP: &str = "/backup";
/// Headers of every answer, for browsers: it is what its type says, nobody keeps it, and no page frames it.
const SAFE: [(HeaderName, &str); 3] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (CACHE_CONTROL, "no-store"),
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'self'; frame-ancestors 'none'",
    ),
];

/// Answers operators.
#[derive(Clone, Debug)]
pub(crate) struct AdminEndpoint {
    pub(crate) registry: Arc<Registry>,
    pub(crate) health: Health,
    pub(crate) limiters: Arc<Limiters>,
    pub(crate) refusals: RecentRefusals,
    pub(crate) clock: Arc<dyn Clock>,
    /// Names under which callers may ask for data of customers: `server.admin_hosts`.
    pub(crate) hosts: Arc<[String]>,
}

/// Answers commands over the unix socket: all that operators can ask, and backups.
#[derive(Clone, Debug)]
pub(crate) struct Commands {
    pub(crate) endpoint: AdminEndpoint,
    pub(crate) backups: Backups,
}

impl AdminEndpoint {
    fn answer(&self, uri: &Uri) -> Response<Body> {
        let state = self.health.get();
        match uri.path() {
            "/metrics" => self.metrics(),
            "/healthz" => health(true),
            "/readyz" => health(state.is_ready()),
            "/startupz" => health(state.started),
            "/limits" => {
                let refused = &self.limiters.refused;
                let limits = limits::json(refused, self.clock.as_ref());
                response(StatusCode::OK, JSON, limits)
            }
            "/refusals" => match refusals::json(&self.refusals, uri.query().unwrap_or_default()) {
                Ok(refusals) => response(StatusCode::OK, JSON, refusals),
                Err(text) => error(StatusCode::BAD_REQUEST, &text),
            },
            "/buildz" => response(StatusCode::OK, JSON, build()),
            _ => response(
                StatusCode::NOT_FOUND,
                JSON,
                "{\"error\": \"known: /metrics, /limits, /refusals, /healthz, /readyz, /startupz, /buildz; /backup over the unix socket admin.sock\"}"
                    .into(),
            ),
        }
    }

    fn metrics(&self) -> Response<Body> {
        let mut text = String::new();
        match prometheus_client::encoding::text::encode(&mut text, &self.registry) {
            Ok(()) => response(StatusCode::OK, METRICS, text),
            Err(error) => {
                tracing::error!(%error, "the metrics cannot be shown");
                response(StatusCode::INTERNAL_SERVER_ERROR, METRICS, String::new())
            }
        }
    }
}

fn build() -> String {
    format!(
        "{{\"name\": \"{}\", \"version\": \"{}\"}}",
        env!("CARGO_PKG_NAME"),
        env!("CARGO_PKG_VERSION")
    )
}

fn health(serves: bool) -> Response<Body> {
    let (status, text) = match serves {
        true => (StatusCode::OK, "{\"status\": \"SERVING\"}"),
        false => (
            StatusCode::SERVICE_UNAVAILABLE,
            "{\"status\": \"NOT_SERVING\"}",
        ),
    };
    response(status, JSON, text.into())
}

pub(super) fn error(status: StatusCode, text: &str) -> Response<Body> {
    let error = serde_json::json!({ "error": text });
    response(status, JSON, error.to_string())
}

pub(super) fn response(
    status: StatusCode,
    content_type: &'static str,
    body: String,
) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::from(body)));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    for (name, value) in SAFE {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

type ResponseFuture = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl<B> Service<Request<B>> for AdminEndpoint {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture {
        let uri = request.uri();
        let shows_data = matches!(uri.path(), "/limits" | "/refusals");
        let answer = match hosts::check(&request, &self.hosts) {
            Err(text) if shows_data => error(StatusCode::FORBIDDEN, &text),
            Ok(()) | Err(_) => self.answer(uri),
        };
        Box::pin(ready(Ok(answer)))
    }
}

impl<B> Service<Request<B>> for Commands {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture {
        if request.uri().path() != BACKUP {
            // The file system has let the caller in.
            let answer = self.endpoint.answer(request.uri());
            return Box::pin(ready(Ok(answer)));
        }
        let (request, _) = request.into_parts();
        let made = backup::backup(self.backups.clone(), request);
        Box::pin(async { Ok(made.await) })
    }
}
