//! What a key holds, and the kinds of things that it may be read as.

use std::fmt;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeArray, DeValue};

use super::mistake::{quoted, shown};

/// What a key holds, wherever it was written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'s> {
    /// From the environment or a flag: it means whatever its reader makes of it.
    Word(&'s str),
    /// From a flag: it need not be UTF-8.
    Path(&'s Path),
    Text(&'s str),
    Integer(i64),
    Bool(bool),
    List(&'s DeArray<'s>),
    /// Nothing that any setting holds, as it is written in the file.
    Other(&'s str),
    Table,
}

/// Something that a value may be read as.
#[derive(Debug)]
pub(super) struct Kind<T> {
    /// Completes the sentence "this is not ...".
    pub(super) expected: &'static str,
    pub(super) read: fn(&Value<'_>) -> Option<T>,
    /// Whether a mistake must not show the value.
    pub(super) secret: bool,
    /// Whether nothing else must show it either.
    pub(super) is_masked: bool,
}

impl<T> Kind<T> {
    pub(super) const fn new(expected: &'static str, read: fn(&Value<'_>) -> Option<T>) -> Self {
        Self {
            expected,
            read,
            secret: false,
            is_masked: false,
        }
    }

    /// One whose value nothing shows.
    pub(super) const fn secret(expected: &'static str, read: fn(&Value<'_>) -> Option<T>) -> Self {
        Self {
            expected,
            read,
            secret: true,
            is_masked: true,
        }
    }

    /// A value as a file has it, masked if it is secret.
    pub(super) fn written(&self, value: &Value<'_>) -> String {
        match value {
            _ if self.is_masked => "\"***\"".to_owned(),
            Value::Word(word) if (self.read)(&Value::Text(word)).is_none() => (*word).to_owned(),
            Value::Word(text) | Value::Text(text) => format!("{text:?}"),
            Value::Path(path) => format!("{path:?}"),
            Value::Integer(_)
            | Value::Bool(_)
            | Value::List(_)
            | Value::Other(_)
            | Value::Table => value.to_string(),
        }
    }
}

impl<'s> Value<'s> {
    /// `text` is the whole file, from which what has no type here is quoted.
    pub(super) fn of(value: &'s Spanned<DeValue<'s>>, text: &'s str) -> Self {
        let other = || Self::Other(text.get(value.span()).unwrap_or_default());
        match value.get_ref() {
            DeValue::String(value) => Self::Text(value),
            DeValue::Integer(value) => {
                let integer = i64::from_str_radix(value.as_str(), value.radix());
                integer.map_or_else(|_| other(), Self::Integer)
            }
            DeValue::Boolean(value) => Self::Bool(*value),
            DeValue::Array(value) => Self::List(value),
            DeValue::Table(_) => Self::Table,
            DeValue::Float(_) | DeValue::Datetime(_) => other(),
        }
    }

    pub(super) fn text(&self) -> Option<&'s str> {
        match self {
            Self::Word(text) | Self::Text(text) => Some(text),
            Self::Path(path) => path.to_str(),
            Self::Integer(_) | Self::Bool(_) | Self::List(_) | Self::Other(_) | Self::Table => None,
        }
    }

    /// A text, or what the file has in place of one, as a time without quotes.
    pub(super) fn written(&self) -> Option<&'s str> {
        match self {
            Self::Other(text) => Some(text),
            Self::Word(_)
            | Self::Path(_)
            | Self::Text(_)
            | Self::Integer(_)
            | Self::Bool(_)
            | Self::List(_)
            | Self::Table => self.text(),
        }
    }

    pub(super) fn integer(&self) -> Option<i64> {
        match self {
            Self::Word(word) => word.parse().ok(),
            Self::Integer(integer) => Some(*integer),
            Self::Path(_)
            | Self::Text(_)
            | Self::Bool(_)
            | Self::List(_)
            | Self::Other(_)
            | Self::Table => None,
        }
    }

    pub(super) fn path(&self) -> Option<&'s Path> {
        match self {
            Self::Path(path) => Some(path),
            Self::Word(text) | Self::Text(text) => Some(Path::new(*text)),
            Self::Integer(_) | Self::Bool(_) | Self::List(_) | Self::Other(_) | Self::Table => None,
        }
    }

    /// Which of the `words` it is, in any case.
    pub(super) fn one_of<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        words
            .iter()
            .find(|(word, _)| word.eq_ignore_ascii_case(text))
            .map(|(_, meaning)| *meaning)
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(text) | Self::Text(text) => f.write_str(&quoted(text)),
            Self::Path(path) => f.write_str(&quoted(&path.to_string_lossy())),
            Self::Integer(integer) => write!(f, "{integer}"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::List(_) => f.write_str("a list"),
            Self::Other(text) => f.write_str(&shown(text)),
            Self::Table => f.write_str("a table"),
        }
    }
}

/// `true` or `false`.
pub(super) const SWITCH: Kind<bool> = Kind::new("true or false", |value| match value {
    Value::Bool(value) => Some(*value),
    Value::Word(word) => word.parse().ok(),
    Value::Path(_)
    | Value::Text(_)
    | Value::Integer(_)
    | Value::List(_)
    | Value::Other(_)
    | Value::Table => None,
});
