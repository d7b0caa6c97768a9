//! Floor 4: listens, accepts connections, and serves both protocols over them.

mod accept;
mod bare;
mod connection;
mod detect;
mod http1_io;
mod http2_io;
mod lingering_close;
mod listeners;
mod open_calls;
pub mod proxy_protocol;
mod stack;
mod timer;
pub mod tls;
mod write_timeout;

pub(crate) use accept::{Acceptor, ConnectionLimits};
pub(crate) use listeners::warn_of_plain_text;
pub use listeners::{ListenError, Listeners};
pub(crate) use stack::Stack;
