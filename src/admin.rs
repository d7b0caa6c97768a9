//! Floor 4: what operators see and do: the second listener, metrics, refused addresses, backups.

pub mod backup;
mod endpoint;
mod extension;
mod hosts;
mod limits;
mod metrics;
mod refusals;
mod socket;

pub(crate) use endpoint::{AdminEndpoint, Commands};
pub(crate) use extension::{Answer, Extended, Extension};
pub(crate) use metrics::register;
pub(crate) use socket::Socket;
