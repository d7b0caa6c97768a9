//! A status as HTTP status, headers and JSON.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::{ALLOW, RETRY_AFTER};
use http::{HeaderName, Response, StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;
use tonic::{Code, Status};

use super::details::Details;
use crate::middleware::{self, Body, HttpStatus};
use crate::rest::response::to_bytes;
use crate::rest::serve::json_response;

/// Headers of a status that the response keeps.
const KEPT: [HeaderName; 3] = [
    HeaderName::from_static("ratelimit"),
    HeaderName::from_static("ratelimit-policy"),
    ALLOW,
];

/// The name and the HTTP status of a code.
pub(super) fn named(code: Code) -> (&'static str, u16) {
    match code {
        Code::Ok => ("OK", 200),
        Code::Cancelled => ("CANCELLED", 499),
        Code::InvalidArgument => ("INVALID_ARGUMENT", 400),
        Code::FailedPrecondition => ("FAILED_PRECONDITION", 400),
        Code::OutOfRange => ("OUT_OF_RANGE", 400),
        Code::Unauthenticated => ("UNAUTHENTICATED", 401),
        Code::PermissionDenied => ("PERMISSION_DENIED", 403),
        Code::NotFound => ("NOT_FOUND", 404),
        Code::AlreadyExists => ("ALREADY_EXISTS", 409),
        Code::Aborted => ("ABORTED", 409),
        Code::ResourceExhausted => ("RESOURCE_EXHAUSTED", 429),
        Code::Unknown => ("UNKNOWN", 500),
        Code::Internal => ("INTERNAL", 500),
        Code::DataLoss => ("DATA_LOSS", 500),
        Code::Unimplemented => ("UNIMPLEMENTED", 501),
        Code::Unavailable => ("UNAVAILABLE", 503),
        Code::DeadlineExceeded => ("DEADLINE_EXCEEDED", 504),
    }
}

/// The HTTP status of a code.
pub fn http_status(code: Code) -> StatusCode {
    let (_, http) = named(code);
    StatusCode::from_u16(http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Renders a response that carries a status. Other responses pass.
pub(super) fn render(mut response: Response<Body>, data: bool) -> Response<Body> {
    let extensions = response.extensions();
    let Some(status) = extensions.get::<Status>() else {
        return response;
    };
    let details = extensions.get::<middleware::Details>();
    let details = Details::read(details.map_or(status.details(), |details| &details.0));
    let http = match extensions.get::<HttpStatus>() {
        Some(HttpStatus(http)) => *http,
        None => http_status(status.code()),
    };
    let mut rendered = json_response(body(status, &details, data));
    *rendered.status_mut() = http;
    for name in KEPT {
        if let Some(value) = response.headers().get(&name) {
            rendered.headers_mut().insert(name, value.clone());
        }
    }
    // Outer layers read the extensions of the response.
    *rendered.extensions_mut() = std::mem::take(response.extensions_mut());
    if let Some(delay) = details.retry_delay() {
        let seconds = delay.seconds.saturating_add((delay.nanos > 0).into());
        rendered
            .headers_mut()
            .insert(RETRY_AFTER, seconds.max(1).into());
    }
    rendered
}

/// The body of an error. Each client reads another key.
#[derive(Serialize)]
struct ErrorResponse<'a> {
    success: bool,
    error: &'a str,
    message: &'a str,
    errors: Errors<'a>,
    code: &'static str,
    details: Box<RawValue>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Errors<'a> {
    /// Below `/track`.
    List([&'a str; 1]),
    /// Below `/data`.
    ByField(BTreeMap<&'a str, [&'a str; 1]>),
}

/// An error in the shape of those below `/track`, for a request that reached no route.
pub fn error_body(status: &Status) -> Bytes {
    body(status, &Details::read(status.details()), false)
}

fn body(status: &Status, details: &Details, data: bool) -> Bytes {
    let message = match status.message() {
        "" => status.code().description(),
        message => message,
    };
    let field = || details.field().unwrap_or("_global");
    to_bytes(&ErrorResponse {
        success: false,
        error: message,
        message,
        errors: match data {
            false => Errors::List([message]),
            true => Errors::ByField(BTreeMap::from([(field(), [message])])),
        },
        code: named(status.code()).0,
        details: details.json(),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::BodyExt as _;
    use tonic_types::{ErrorDetails, StatusExt as _};

    use super::*;

    async fn rendered(status: Status, data: bool) -> (u16, http::HeaderMap, String) {
        let (head, body) = render(status.into_http(), data).into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body = String::from_utf8(body.to_vec()).unwrap();
        (head.status.as_u16(), head.headers, body)
    }

    #[tokio::test]
    async fn every_code_has_its_http_status() {
        for number in 1..=16 {
            let code = Code::from_i32(number);
            let (name, http) = named(code);
            let (status, _, body) = rendered(Status::new(code, "x"), false).await;
            assert_eq!(status, http, "{name}");
            assert_eq!(
                body,
                format!(
                    r#"{{"success": false, "error": "x", "message": "x", "errors": ["x"], "code": "{name}", "details": []}}"#
                )
            );
        }
    }

    #[tokio::test]
    async fn errors_of_data_are_an_object_by_field() {
        let details = ErrorDetails::with_bad_request_violation("customer_ids", "x");
        let status = Status::with_error_details(Code::InvalidArgument, "x", details);
        let (_, _, body) = rendered(status, true).await;
        assert!(
            body.contains(r#""errors": {"customer_ids": ["x"]}"#),
            "{body}"
        );
        let (_, _, body) = rendered(Status::not_found("x"), true).await;
        assert!(body.contains(r#""errors": {"_global": ["x"]}"#), "{body}");
    }

    #[tokio::test]
    async fn a_delay_is_rounded_up_to_whole_seconds() {
        for (delay, seconds) in [(1, "1"), (1000, "1"), (1001, "2")] {
            let info = ErrorDetails::with_retry_info(Some(Duration::from_millis(delay)));
            let status = Status::with_error_details(Code::Unavailable, "x", info);
            let (_, headers, _) = rendered(status, false).await;
            assert_eq!(headers["retry-after"], seconds);
        }
    }
}
