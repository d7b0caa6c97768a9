//! The service from outside: real servers on ports of their own, real sockets, real clients.
#![allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    reason = "a test binary has no callers"
)]

mod floors;
mod harness;
mod limits;
mod tracking;
