//! Footfall: customer and event tracking over gRPC and REST, with an embedded durable log.
//!
//! # The map
//!
//! Each floor imports downward only. `ARCHITECTURE.md` has the picture, the invariants, the threads and the locks.
//!
//! | floor | module | what it is |
//! |--|--|--|
//! | ground | [`model`] | the nouns, parsed once and valid forever |
//! | | [`clock`] | time, handed in |
//! | 1 | [`log`] | the ordered log: the truth |
//! | | `engine` | guards around the files of the view's engine |
//! | | [`view`] | the projection of the log, and reads from it |
//! | | [`limit`] | rate limiter, quotas, shares, memory budget |
//! | 2 | [`tracker`] | the use cases: who may, what is valid, what is kept or read |
//! | 3 | [`middleware`] | the layers in front of both protocols |
//! | | [`grpc`] | the services, and the one place that chooses codes |
//! | | [`rest`] | JSON in front of the services' methods |
//! | 4 | [`app`] | listeners, stack, start, stop, reload |
//! | | [`dev`] | the emulator: the service in memory, for the tests of its callers |
//! | | [`config`], [`telemetry`] | the settings; what the process writes about itself |
//!
//! # The way of a write
//!
//! [`app`] accepts the connection; [`middleware`] decides what the request is, whose it is, and whether there is room;
//! [`rest`] or [`grpc`] makes the message; [`tracker`] lets the key in and checks the rules; [`log::Log::append`]
//! returns once the record is on disk. [`view::View`] follows the log on a thread of its own and answers reads.
//!
//! # Where to begin
//!
//! [`log`] (what is true), [`view`] (what is read), and `server/stack.rs` (what a request passes).

pub mod admin;
pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod dev;
mod engine;
pub mod grpc;
pub mod limit;
pub mod log;
pub mod middleware;
pub mod model;
pub mod rest;
mod retention;
pub mod server;
pub mod telemetry;
pub mod tracker;
pub mod view;
