//! `[log]`: what is logged and how.

use super::reader::Fields;
use super::value::Kind;

/// What is logged and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The least important lines that are still written. Default `info`.
    pub level: Level,
    /// The form of a line. Default `text`.
    pub format: Format,
}

/// How important a line is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Level {
    /// A person must act.
    Error,
    /// Unexpected, but survived.
    Warn,
    /// A change of state.
    #[default]
    Info,
    /// For anyone who looks for a fault.
    Debug,
    /// Everything.
    Trace,
}

/// The form of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
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

impl Options {
    pub(super) fn read(fields: &mut Fields<'_, '_>) -> Self {
        let default = Self::default();
        Self {
            level: fields.read("level", LEVEL, default.level),
            format: fields.read("format", FORMAT, default.format),
        }
    }
}
