//! The service from outside: real servers on ports of their own, real sockets, real clients.
#![allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test binary has no callers, and fails by panicking"
)]

mod floors;
mod harness;
mod limits;
mod tracking;
