//! The HTTP status of an answer whose gRPC code would say another.

use http::StatusCode;

/// An extension of the response, which anyone who renders it for REST looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpStatus(pub StatusCode);
