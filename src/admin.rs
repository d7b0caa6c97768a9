//! Floor 4: what operators see and do: the second listener, metrics, refused addresses, backups.

mod answer;
pub mod backup;
mod console;
mod endpoint;
mod extension;
mod hosts;
mod limits;
mod metrics;
mod operators;
mod refusals;
mod socket;

pub(crate) use console::history::{History, Sampler};
pub(crate) use console::{Console, Sources};
pub(crate) use endpoint::{AdminEndpoint, Commands};
pub(crate) use extension::{Answer, Extension};
pub(crate) use metrics::register;
pub(crate) use operators::Operators;
pub(crate) use socket::Socket;
