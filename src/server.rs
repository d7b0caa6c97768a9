//! Floor 4: listens, accepts connections, and serves both protocols over them.

mod accept;
mod bare;
mod connection;
mod io_deadline;
mod lingering_close;
mod listeners;
mod open_calls;
mod outgoing;
pub mod proxy_protocol;
mod stack;
mod timer;
pub mod tls;

pub(crate) use accept::{Acceptor, ConnectionLimits};
pub(crate) use listeners::warn_of_plain_text;
pub use listeners::{ListenError, Listeners};
pub(crate) use stack::Stack;
