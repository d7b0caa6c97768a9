//! A command that breaks no rule is read in one pass.
//!
//! A command that fails here is read again, field by field. It may be wrong, or right but unusual. Nothing is accepted
//! here that would be refused there, and tests compare both.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};

use super::super::error;
use super::fields::{Fields, Ids, Part, Text};
use crate::model::properties::{FAST_PATH_BYTES_MAX, FastProperties};

/// Fields with IDs and properties that have been read.
pub(super) type Fast<'a> = Fields<'a, FastIds, FastProperties>;

/// The fields of a body, if they can be read in one pass.
pub(super) fn fields(body: &[u8]) -> Option<Fast<'_>> {
    let text = std::str::from_utf8(body).ok()?;
    object(text)
}

/// Reads the text of one object. No value is too large, because the whole text is not.
pub(super) fn object<'a, T: Deserialize<'a>>(text: &'a str) -> Option<T> {
    if text.len() > FAST_PATH_BYTES_MAX {
        return None;
    }
    let InObject(read) = serde_json::from_str(text).ok()?;
    Some(read)
}

/// A value that is read from an object. serde alone would also accept a list of the fields' values.
pub(super) struct InObject<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for InObject<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Inside<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Inside<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }

        let inside = deserializer.deserialize_map(Inside(PhantomData))?;
        Ok(Self(inside))
    }
}

/// Customer IDs by type, each type once.
#[derive(Debug, Default)]
pub(super) struct FastIds(pub(super) Ids);

impl<'de> Deserialize<'de> for FastIds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;

        impl<'de> Visitor<'de> for All {
            type Value = Ids;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ids, A::Error> {
                let mut ids = BTreeMap::new();
                while let Some((Text(kind), IdValue(value))) = map.next_entry()? {
                    if ids.insert(kind.into_owned(), value).is_some() {
                        return Err(A::Error::custom("a type stands twice"));
                    }
                }
                Ok(ids)
            }
        }

        deserializer.deserialize_map(All).map(Self)
    }
}

impl Part<Ids> for FastIds {
    fn read(self) -> error::Result<Ids> {
        Ok(self.0)
    }
}

/// The value of a customer ID is a text or an integer, which becomes its decimal text. `null` becomes the empty text.
struct IdValue(String);

impl<'de> Deserialize<'de> for IdValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct One;

        impl Visitor<'_> for One {
            type Value = String;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an integer")
            }

            fn visit_str<E>(self, text: &str) -> Result<String, E> {
                Ok(text.to_owned())
            }

            fn visit_i64<E>(self, number: i64) -> Result<String, E> {
                Ok(number.to_string())
            }

            fn visit_u64<E>(self, number: u64) -> Result<String, E> {
                Ok(number.to_string())
            }

            fn visit_unit<E>(self) -> Result<String, E> {
                Ok(String::new())
            }
        }

        deserializer.deserialize_any(One).map(Self)
    }
}
