//! `[view]`: the memory of what is read, and how far it may lag.

use std::num::NonZeroUsize;

use super::reader::Fields;
use super::units::{SIZE, count, nonzero};

/// The memory of what is read, and how far it may lag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// What is remembered of IDs, customers and properties, so that the fold need not look them up, in bytes. Default
    /// 256 MiB.
    pub cache_bytes: NonZeroUsize,
    /// Bytes that are folded before they are written to the disk; three times as many may be in memory. Default 64 MiB.
    pub checkpoint_bytes: NonZeroUsize,
    /// Records of a project that may wait to be folded before the answers to its writes wait too. Default 250000.
    pub lag_max: NonZeroUsize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cache_bytes: nonzero(256 << 20),
            checkpoint_bytes: nonzero(64 << 20),
            lag_max: nonzero(250_000),
        }
    }
}

impl Options {
    pub(super) fn read(fields: &mut Fields<'_, '_>) -> Self {
        let default = Self::default();
        Self {
            cache_bytes: fields.read("cache_bytes", SIZE, default.cache_bytes),
            checkpoint_bytes: fields.read("checkpoint_bytes", SIZE, default.checkpoint_bytes),
            lag_max: fields.read("lag_max", count(), default.lag_max),
        }
    }
}
