//! Properties: named JSON values, kept as bytes from the edge to the disk and back.
//!
//! No request builds a tree. JSON text and protobuf bytes are both turned, in one pass, into the **canonical form**:
//! the bytes of the protobuf message `Object` with the entries of every object sorted by key, each key once, unknown
//! fields dropped. Two properties are equal exactly if their canonical bytes are, which is what makes a repeated event
//! recognisable. An integer and a fraction are different types: `1` is not `1.0`.
//!
//! [`Object`] and [`Value`] are the messages of the proto contract, not yet checked; [`Properties`] is the canonical
//! form, which only the functions here can make.

mod encode;
mod error;
mod fields;
mod json;
mod message;
mod render;
#[cfg(test)]
mod tests;
mod wire;

use bytes::Bytes;

pub use error::{Error, check_name};
pub use json::FastProperties;
pub use message::{Object, Value};

/// Most properties in one command.
pub const COUNT_MAX: usize = 255;
/// Longest name of a property, in characters.
pub const NAME_CHARS_MAX: usize = 255;
/// Largest value of one property, in bytes of JSON.
pub const VALUE_BYTES_MAX: usize = 16 * 1024;
/// Longest text that may contain [`FastProperties`]: no value in it is too large.
pub const FAST_PATH_BYTES_MAX: usize = VALUE_BYTES_MAX;
/// Deepest nesting of objects and lists in one value.
pub const DEPTH_MAX: usize = 32;

/// Properties in canonical form, within every limit of one command unless they were read from a profile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties(Bytes);

impl Properties {
    /// Parses the text of a JSON object, without blanks before it.
    ///
    /// # Errors
    /// The first rule that the properties break, naming the property.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        json::properties(text).map(|bytes| Self(bytes.into()))
    }

    /// Takes bytes from an earlier [`Properties::bytes`].
    pub fn from_canonical(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// Combines the properties of a profile: names in ascending order, each with a value's canonical bytes.
    pub fn from_sorted<'a>(entries: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut out = Vec::new();
        for (name, value) in entries {
            encode::entry(&mut out, name, value);
        }
        Self(out.into())
    }

    /// Appends an entry, whose name must be greater than those before it, to canonical bytes.
    pub fn write_entry(canonical: &mut Vec<u8>, name: &str, value: &[u8]) {
        encode::entry(canonical, name, value);
    }

    /// The canonical bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// Their size as a JSON object, in bytes; none if it is surely not above `bytes_max`.
    pub fn json_size_beyond(&self, bytes_max: usize) -> Option<usize> {
        if self.0.len() <= bytes_max / wire::JSON_GROWTH_MAX {
            return None;
        }
        let mut json = Vec::with_capacity(self.0.len());
        self.write_json(&mut json);
        Some(json.len()).filter(|size| *size > bytes_max)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names in ascending order, each with its value's canonical bytes.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &[u8])> + Clone {
        fields::entries(&self.0)
    }

    /// The same properties with `name` set to a text, whatever it was before.
    ///
    /// # Errors
    /// [`Error::ValueTooLarge`], [`Error::TooMany`].
    pub fn with_text(&self, name: &str, text: &str) -> Result<Self, Error> {
        let mut value = Vec::with_capacity(text.len() + 4);
        encode::text(&mut value, text);
        wire::check_json_size(name, &value)?;
        let before = self.entries().take_while(|(other, _)| *other < name);
        let after = self.entries().skip_while(|(other, _)| *other <= name);
        let entries = before.chain([(name, value.as_slice())]).chain(after);
        let count = entries.clone().count();
        if count > COUNT_MAX {
            return Err(Error::TooMany(count));
        }
        Ok(Self::from_sorted(entries))
    }

    /// Appends the properties as a JSON object.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        render::object(&self.0, out);
    }
}

impl From<Properties> for Object {
    fn from(properties: Properties) -> Self {
        Self::canonical(properties.0)
    }
}
