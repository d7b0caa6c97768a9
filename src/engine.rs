//! Floor 1: guards around the engine in which the view lies. The engine believes its own files too early.

pub(crate) mod files;
pub(crate) mod journal;
