//! Floor 1: checks around the engine that stores the view. The engine trusts its own files too early.

pub(crate) mod files;
pub(crate) mod journal;
