//! Floor 3: the REST shim: JSON in front of the gRPC services, whose methods it calls in process.
//!
//! - [`routes`] is the table of what can be called, after the `google.api.http` annotations of proto/
//! - [`body`] reads and decompresses a request's body
//! - [`json`] turns JSON into request messages; it has no rules of its own but JSON's
//! - `query` reads the questions of a GET
//! - [`answer`] turns response messages into JSON, `customer` what is read of one customer, `stream` what comes piece
//!   by piece; `offload` is for what takes long
//! - [`render`] turns what failed into HTTP and JSON, in one place, and adds what browsers need

pub mod answer;
pub mod body;
mod csv;
mod customer;
mod error;
pub mod json;
mod offload;
mod query;
pub mod render;
pub mod routes;
mod serve;
mod stream;

pub use offload::Offload;
pub use render::{Cors, Render, error_body};
pub use serve::{Limits, Rest};
