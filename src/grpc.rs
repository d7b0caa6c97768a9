//! Floor 3: the gRPC services, and the one place where every error becomes a status.
//!
//! The REST shim calls the same methods in process, so that a rule is never written twice.

mod caller;
pub mod codec;
pub(crate) mod convert;
mod customers;
pub mod health;
pub mod held;
pub mod pb;
mod prepare;
mod refusals;
mod response;
pub mod status;
mod streams;
mod track_stream;
mod tracking;

pub use convert::Messages;
pub use customers::Customers;
pub use tracking::Tracking;

/// The contract as reflection serves it: encoded descriptors, with annotations.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Largest message that is decoded, in bytes: as large as the default of a batch over REST.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
