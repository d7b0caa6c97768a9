use super::{COUNT_MAX, DEPTH_MAX, NAME_CHARS_MAX, VALUE_BYTES_MAX};
use crate::model::quote::quoted;

/// Why properties are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The JSON is not an object.
    #[error("properties must be an object, not {0}")]
    NotAnObject(String),
    /// The text or the bytes cannot be read.
    #[error("properties cannot be read: {0}")]
    Malformed(String),
    /// More properties than one command may carry.
    #[error("too many properties: {0}, at most {COUNT_MAX}")]
    TooMany(usize),
    /// A property without a name.
    #[error("a property's name is empty")]
    NameEmpty,
    /// A property's name is too long.
    #[error("property name '{0}' is longer than {NAME_CHARS_MAX} characters")]
    NameTooLong(String),
    /// A property's value is too large.
    #[error("property '{name}' is too large: {bytes} bytes as JSON, at most {VALUE_BYTES_MAX}")]
    ValueTooLarge {
        /// The property.
        name: String,
        /// Its value's size as JSON.
        bytes: usize,
    },
    /// A property's value nests too deep.
    #[error("property '{0}' nests deeper than {DEPTH_MAX} levels")]
    TooDeep(String),
    /// An integer outside of 64 bits.
    #[error("property '{name}' holds the integer {text}, which does not fit into 64 bits")]
    IntegerTooLarge {
        /// The property.
        name: String,
        /// The integer as it was sent.
        text: String,
    },
    /// A number that JSON does not have.
    #[error("property '{0}' holds a number that is not finite")]
    NotFinite(String),
    /// A key that occurs twice in one object.
    #[error("duplicate key '{0}'")]
    Duplicate(String),
    /// A protobuf value of no or of several kinds.
    #[error("property '{0}' holds a value without exactly one kind")]
    Kind(String),
}

/// Checks a property's name.
///
/// # Errors
/// [`Error::NameEmpty`], [`Error::NameTooLong`].
pub fn check_name(name: &str) -> Result<(), Error> {
    if name.is_empty() {
        return Err(Error::NameEmpty);
    }
    // Bytes bound characters, so only a long name is counted.
    if name.len() > NAME_CHARS_MAX && name.chars().count() > NAME_CHARS_MAX {
        return Err(Error::NameTooLong(quoted(name)));
    }
    Ok(())
}

/// Checks the size of a property's value.
pub(super) fn check_size(name: &str, bytes: usize) -> Result<(), Error> {
    if bytes > VALUE_BYTES_MAX {
        return Err(Error::ValueTooLarge {
            name: quoted(name),
            bytes,
        });
    }
    Ok(())
}

/// Why a value is refused, before its property is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ValueError {
    Malformed(String),
    TooDeep,
    IntegerTooLarge(String),
    NotFinite,
    Duplicate(String),
    Kind,
}

impl ValueError {
    pub(super) fn of(self, name: &str) -> Error {
        let name = quoted(name);
        match self {
            Self::Malformed(why) => Error::Malformed(why),
            Self::TooDeep => Error::TooDeep(name),
            Self::IntegerTooLarge(text) => Error::IntegerTooLarge { name, text },
            Self::NotFinite => Error::NotFinite(name),
            Self::Duplicate(key) => Error::Duplicate(key),
            Self::Kind => Error::Kind(name),
        }
    }
}
