//! The order of events, and a place in it.

use crate::model::time::Timestamp;

/// The order of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Oldest first.
    Ascending,
    /// Newest first.
    Descending,
}

/// A place in a timeline: behind one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventPlace {
    /// The event's time.
    pub time: Timestamp,
    /// The position of its record, and behind it the beginning of the content hash, which distinguishes the events that
    /// one record caused.
    pub arrival: u128,
}
