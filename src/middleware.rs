//! Floor 3: what every call passes before a service, whatever its protocol. From the outside in:
//!
//! - `drained_body` is the body, whose rest is read even if no reader is left
//! - [`context`] is what is known of the call: each layer adds its part
//! - [`class`] decides what the request is, for all that follows
//! - [`observe`] counts and times, and gives the call its ID
//! - `rest::render` turns a refusal into HTTP and JSON for REST callers
//! - [`reasons`] says why something was refused, and counts it
//! - [`catch_panic`] confines a panic to its call, and logs why a call failed ([`cause`])
//! - [`peer`] finds the client's address
//! - [`rate_limit`] refuses, before the body is read, what is beyond the caller's quota
//! - [`in_flight`] refuses calls beyond the limits of concurrency
//! - [`header_list`] refuses too large headers over HTTP/2
//! - [`intercept`] lets the emulator fail
//!
//! [`guard`] names the limits beside the quotas, and counts what they refuse.

mod caller_ended;
pub mod catch_panic;
pub mod cause;
pub mod class;
pub mod concurrency_limit;
pub mod context;
pub mod deadline;
mod drained_body;
mod finish;
pub mod guard;
pub mod header_list;
mod held_body;
mod http_status;
pub mod in_flight;
pub mod intercept;
pub mod message_body;
pub mod message_coding;
pub mod observe;
mod path;
pub mod peer;
pub mod rate_limit;
pub mod reasons;
pub mod refusal;
pub mod rpc;
mod stalls;

pub use caller_ended::{CallerEnded, Lasting};
pub use catch_panic::CatchPanic;
pub use cause::Cause;
pub use class::{Classified, Classify, Probe, RequestClass};
pub use concurrency_limit::{ConcurrencyLimit, ConcurrencyOptions, KeyStreams};
pub use context::{CallContext, Connected, Missing};
pub use deadline::{Deadline, InTime};
pub use drained_body::DrainedBody;
pub use finish::{Finish, Finished};
pub use guard::{Guard, NestedRejections, Rejections};
pub use header_list::HeaderList;
pub use http_status::HttpStatus;
pub use in_flight::InFlight;
pub use intercept::{Cut, Intercept, Interceptor};
pub use message_body::{Checked, Ending, MessageBody, Pace};
pub use message_coding::{Decoded, MessageCoding};
pub use observe::Observe;
pub use peer::ResolveClient;
pub use rate_limit::{Limiters, MessageCharge, RateLimit};
pub use reasons::{
    Details, Explain, OTHER as OTHER_PROJECT, RecentRefusals, Refusal, Refusals, RefusedCaller,
    explained, reason_of, with_excerpt, with_field, with_reason,
};
pub use rpc::{Answers, Rpc, Service};
pub use stalls::Stalls;

/// The body of every answer.
pub type Body = tonic::body::Body;
