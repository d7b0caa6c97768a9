//! Floor 3: the REST shim. It puts JSON in front of the gRPC services, and calls their methods in process.
//!
//! - [`routes`] is the table of all routes, after the `google.api.http` annotations of proto/
//! - [`body`] reads and decompresses a request's body
//! - [`json`] turns JSON into request messages, and checks the rules of JSON only
//! - `query` reads the query of a GET
//! - [`response`] turns response messages into JSON, `customer` does so for one customer, `table` and `csv` for all
//! - `stream` sends responses in pieces, and `offload` does long work on other threads
//! - [`render`] turns failures into HTTP and JSON, and adds the headers that browsers need

pub mod body;
mod csv;
mod customer;
mod error;
pub mod json;
mod offload;
mod query;
pub mod render;
pub mod response;
pub mod routes;
mod serve;
mod stream;
mod table;

pub use offload::Offload;
pub use render::{Cors, Render, error_body, http_status};
pub use serve::{Limits, Rest};
