//! The generated code of `footfall.tracking.v2`.

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

pub use generated::*;
