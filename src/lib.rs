//! Footfall: customer and event tracking over gRPC and REST.
//!
//! The floors, from the ground up; each imports downward only. ARCHITECTURE.md tells the way of a request.
//!
//! - ground: [`model`], [`clock`]
//! - floor 1: [`log`], [`view`] (which reads the log), [`limit`]
//! - floor 2: [`tracker`]
//! - floor 3: [`grpc`], [`rest`], [`middleware`]
//! - floor 4: [`app`], [`config`], [`telemetry`]

pub mod app;
pub mod clock;
pub mod config;
pub mod grpc;
pub mod limit;
pub mod log;
pub mod middleware;
pub mod model;
pub mod rest;
pub mod telemetry;
pub mod tracker;
pub mod view;
