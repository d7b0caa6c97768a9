//! The HTTP status of an answer where it differs from that of the gRPC code.

use http::StatusCode;

/// An extension of the response, used when it is rendered for REST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpStatus(pub StatusCode);
