//! Failures of the shim itself.

use http::{HeaderValue, Response, StatusCode, header};
use tonic::Status;

use crate::middleware::{Body, Guard, HttpStatus, Missing, with_excerpt, with_reason};
use crate::model::excerpt::BYTES_MAX;
use crate::model::quote::quoted;
use crate::model::reason::Reason;

pub(super) type Result<T, E = Error> = std::result::Result<T, E>;

/// The failure of a REST call.
#[derive(Debug)]
pub(super) struct Error {
    status: Status,
    http: Option<StatusCode>,
    allow: Option<&'static str>,
}

impl From<Missing> for Error {
    fn from(missing: Missing) -> Self {
        Status::from(missing).into()
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        Self {
            status,
            http: None,
            allow: None,
        }
    }
}

impl Error {
    /// A request that breaks a rule of JSON or HTTP.
    pub(super) fn invalid(reason: Reason, field: Option<&str>, message: String) -> Self {
        crate::grpc::status::invalid(reason, field, message).into()
    }

    /// A type of customer IDs that stands twice.
    pub(super) fn duplicate_id(kind: &str) -> Self {
        let message = format!("duplicate key '{}'", quoted(kind));
        Self::invalid(Reason::KeyTwice, Some("customer_ids"), message)
    }

    /// An unknown path.
    pub(super) fn unknown_path() -> Self {
        with_reason(Reason::PathUnknown, Status::not_found("Not found")).into()
    }

    /// A path with another method.
    pub(super) fn wrong_method(allow: &'static str) -> Self {
        let status = Status::unimplemented(format!("Method not allowed, use {allow}"));
        Self {
            http: Some(StatusCode::METHOD_NOT_ALLOWED),
            allow: Some(allow),
            ..with_reason(Reason::MethodNotAllowed, status).into()
        }
    }

    /// gRPC in a form that is not served.
    pub(super) fn other_grpc() -> Self {
        let text =
            "gRPC is served as application/grpc or application/grpc+proto, by POST over HTTP/2";
        Self::unsupported(text.to_owned())
    }

    /// A body of another type than JSON.
    pub(super) fn unsupported(message: String) -> Self {
        Self::media_type(Reason::MediaTypeUnsupported, message)
    }

    /// A body that is compressed in an unknown way.
    pub(super) fn unsupported_coding(message: String) -> Self {
        Self::media_type(Reason::CodingUnsupported, message)
    }

    fn media_type(reason: Reason, message: String) -> Self {
        Self {
            http: Some(StatusCode::UNSUPPORTED_MEDIA_TYPE),
            ..with_reason(reason, Status::invalid_argument(message)).into()
        }
    }

    /// A body that is too large for `guard`.
    pub(super) fn too_large(bytes_max: usize, guard: Guard) -> Self {
        let text = format!("Body is too large, at most {bytes_max} bytes");
        Self {
            http: Some(StatusCode::PAYLOAD_TOO_LARGE),
            ..guard.behind(Status::invalid_argument(text)).into()
        }
    }

    /// A body that is not JSON.
    pub(super) fn not_json() -> Self {
        Self::invalid(Reason::JsonInvalid, None, "Invalid JSON".to_owned())
    }

    /// A body that is not text.
    pub(super) fn not_utf8(error: std::str::Utf8Error) -> Self {
        let at = error.valid_up_to();
        let message = format!("Invalid JSON: the body is not UTF-8 at byte {at}");
        Self::invalid(Reason::JsonInvalid, None, message)
    }

    /// The same, with the beginning of what is refused for those who look for its reason.
    pub(super) fn about(mut self, json: &[u8]) -> Self {
        let beginning = json.get(..BYTES_MAX).unwrap_or(json);
        self.status = with_excerpt(self.status, || String::from_utf8_lossy(beginning));
        self
    }

    /// The status alone, for a command of a batch.
    pub(super) fn into_status(self) -> Status {
        self.status
    }

    /// A response that the render layer turns into JSON.
    pub(super) fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        response.extensions_mut().insert(self.status);
        if let Some(status) = self.http {
            response.extensions_mut().insert(HttpStatus(status));
        }
        if let Some(allow) = self.allow {
            let allow = HeaderValue::from_static(allow);
            response.headers_mut().insert(header::ALLOW, allow);
        }
        response
    }
}
