//! The generated code of the log's records.
#![allow(missing_docs, unreachable_pub)]

include!(concat!(env!("OUT_DIR"), "/footfall.log.v1.rs"));
