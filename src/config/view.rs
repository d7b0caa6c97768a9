//! `[view]`: the memory of what is read, and how far it may lag.

use std::num::NonZeroUsize;

use super::table::settings;
use super::units::{SIZE, count};

settings! {
    /// The memory of what is read, and how far it may lag.
    "view" {
        /// What is remembered of IDs, customers and properties, so that the fold need not look them up, in bytes.
        cache_bytes: NonZeroUsize = read(SIZE, "256MiB"), restart;
        /// Bytes that are folded before they are written to the disk; three times as many may be in memory.
        checkpoint_bytes: NonZeroUsize = read(SIZE, "64MiB"), restart;
        /// Records of a project that may wait to be folded before the answers to its writes wait too.
        lag_max: NonZeroUsize = read(count(), "250000"), restart;
    }
}
