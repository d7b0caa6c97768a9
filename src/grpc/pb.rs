//! The generated code of `footfall.tracking.v2`, and of the service `grpc.health.v1.Health`.

mod generated {
    #![allow(
        missing_docs,
        unreachable_pub,
        clippy::large_futures,
        clippy::missing_errors_doc,
        clippy::wildcard_enum_match_arm
    )]
    include!(concat!(env!("OUT_DIR"), "/footfall.tracking.v2.rs"));
}

/// Health, whose messages are mostly tonic-health's.
pub mod health {
    #![allow(
        missing_docs,
        rustdoc::bare_urls,
        unreachable_pub,
        clippy::large_futures,
        clippy::missing_errors_doc
    )]
    include!(concat!(env!("OUT_DIR"), "/grpc.health.v1.rs"));
}

pub use generated::*;
