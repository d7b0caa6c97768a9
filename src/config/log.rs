//! `[log]`: what is logged and how.

use super::table::settings;
use super::value::Kind;

settings! {
    /// What is logged and how.
    "log" {
        /// The least important lines that are still written.
        level: Level = read(LEVEL, "info"), restart;
        /// The form of a line.
        format: Format = read(FORMAT, "text"), restart;
    }
}

/// How important a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// A person must act.
    Error,
    /// Unexpected, but survived.
    Warn,
    /// A change of state.
    Info,
    /// For anyone who looks for a fault.
    Debug,
    /// Everything.
    Trace,
}

/// The form of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

const LEVEL: Kind<Level> = Kind::new(
    "\"error\", \"warn\", \"info\", \"debug\" or \"trace\"",
    |value| {
        value.one_of(&[
            ("error", Level::Error),
            ("warn", Level::Warn),
            ("info", Level::Info),
            ("debug", Level::Debug),
            ("trace", Level::Trace),
        ])
    },
);

const FORMAT: Kind<Format> = Kind::new("\"text\" or \"json\"", |value| {
    value.one_of(&[("text", Format::Text), ("json", Format::Json)])
});
