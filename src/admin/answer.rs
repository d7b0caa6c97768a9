//! Answers of the second listener.

use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::Full;

use crate::middleware::Body;

pub(super) const JSON: &str = "application/json";
/// Headers of every answer, for browsers: it is what its type says, nobody keeps it, and no page frames it.
const SAFE: [(HeaderName, &str); 3] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (CACHE_CONTROL, "no-store"),
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'self'; frame-ancestors 'none'",
    ),
];

pub(super) fn error(status: StatusCode, text: &str) -> Response<Body> {
    let error = serde_json::json!({ "error": text });
    response(status, JSON, error.to_string())
}

pub(super) fn response(
    status: StatusCode,
    content_type: &'static str,
    body: String,
) -> Response<Body> {
    let mut response = shown(content_type, Body::new(Full::from(body)));
    *response.status_mut() = status;
    response
}

/// An answer with the headers that all have.
pub(super) fn shown(content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let content_type = HeaderValue::from_static(content_type);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    for (name, value) in SAFE {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
