//! JSON text to the canonical form.

use std::borrow::Cow;
use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;

use super::encode::{self, Entries};
use super::error::{Error, ValueError, check_name, check_size};
use super::{COUNT_MAX, DEPTH_MAX, FAST_PATH_BYTES_MAX, Properties};
use crate::model::quote::quoted;

/// A float beyond this may be an integer that was rounded.
const INTEGER_LIMIT: f64 = 9.2e18;
/// Space for most properties, in bytes.
const USUAL_BYTES: usize = 512;

pub(super) fn properties(text: &str) -> Result<Vec<u8>, Error> {
    match fast_path(text) {
        Some(out) => Ok(out),
        None => validating_path(text),
    }
}

/// Parses in one pass; none if that cannot rule out that a rule is broken: that a value is too large, or a number was
/// rounded.
fn fast_path(text: &str) -> Option<Vec<u8>> {
    if text.len() > FAST_PATH_BYTES_MAX || !text.starts_with('{') {
        return None;
    }
    let mut parser = serde_json::Deserializer::from_str(text);
    let out = in_one_pass(&mut parser, text.len()).ok()?;
    parser.end().ok()?;
    Some(out)
}

/// Fails where a rule may be broken.
fn in_one_pass<'de, D: Deserializer<'de>>(
    deserializer: D,
    room_bytes: usize,
) -> Result<Vec<u8>, D::Error> {
    let mut out = Vec::with_capacity(room_bytes);
    let mut pass = Pass::new(&mut out);
    Fast(&mut pass).deserialize(deserializer)?;
    match pass.large_number {
        true => Err(D::Error::custom("perhaps a rounded integer")),
        false => Ok(out),
    }
}

/// Properties that were read in one pass, as part of a text of at most [`FAST_PATH_BYTES_MAX`] bytes.
///
/// If this fails, [`Properties::from_json`] decides whether a rule is broken.
#[derive(Debug, Default)]
pub struct FastProperties(pub Properties);

impl<'de> Deserialize<'de> for FastProperties {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let out = in_one_pass(deserializer, USUAL_BYTES)?;
        Ok(Self(Properties(out.into())))
    }
}

/// Parses value by value, to know which rule each one breaks.
pub(super) fn validating_path(text: &str) -> Result<Vec<u8>, Error> {
    if !text.starts_with('{') {
        return Err(Error::NotAnObject(quoted(text)));
    }
    let mut out = Vec::with_capacity(text.len());
    let mut failure = None;
    let mut parser = serde_json::Deserializer::from_str(text);
    let top = Top {
        out: &mut out,
        failure: &mut failure,
    };
    let parsed = top.deserialize(&mut parser);
    if let Some(error) = failure {
        return Err(error);
    }
    let parsed = parsed.and_then(|()| parser.end());
    parsed.map_err(|error| Error::Malformed(error.to_string()))?;
    Ok(out)
}

/// The outermost object, which keeps all rules or is parsed again.
struct Fast<'a, 'p>(&'a mut Pass<'p>);

impl<'de> DeserializeSeed<'de> for Fast<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Fast<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self(pass) = self;
        let mut entries = Entries::open(pass.out);
        for _ in 0..COUNT_MAX {
            let Some(Name(name)) = map.next_key()? else {
                return entries.close(pass.out).map_err(|error| pass.refuse(error));
            };
            check_name(&name).map_err(A::Error::custom)?;
            let entry = Entries::entry(pass.out, &name);
            map.next_value_seed(Node { pass, depth: 0 })?;
            entries.end(pass.out, entry);
        }
        // There may be one too many.
        Err(A::Error::custom("perhaps too many"))
    }
}

/// The outermost object, whose entries are the properties.
struct Top<'a> {
    out: &'a mut Vec<u8>,
    /// Why parsing ended, when a rule was broken: serde's errors cannot carry it.
    failure: &'a mut Option<Error>,
}

impl<'de> DeserializeSeed<'de> for Top<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Top<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { out, failure } = self;
        let mut refuse = |error| {
            *failure = Some(error);
            A::Error::custom("refused")
        };
        let mut entries = Entries::open(out);
        let mut count = 0_usize;
        while let Some(Name(name)) = map.next_key()? {
            let raw: &RawValue = map.next_value()?;
            count += 1;
            if count > COUNT_MAX {
                // Counted to the end: the message says how many there were.
                continue;
            }
            let entry = Entries::entry(out, &name);
            property(&name, raw.get(), out).map_err(&mut refuse)?;
            entries.end(out, entry);
        }
        if count > COUNT_MAX {
            return Err(refuse(Error::TooMany(count)));
        }
        entries.close(out).map_err(|error| refuse(error.of("")))
    }
}

/// A key, borrowed from the text unless it has escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

fn property(name: &str, raw: &str, out: &mut Vec<u8>) -> Result<(), Error> {
    check_name(name)?;
    check_size(name, raw.len())?;
    value(raw, out).map_err(|error| error.of(name))
}

fn value(raw: &str, out: &mut Vec<u8>) -> Result<(), ValueError> {
    let mut pass = Pass::new(out);
    let seed = Node {
        pass: &mut pass,
        depth: 0,
    };
    let parsed = seed.deserialize(&mut serde_json::Deserializer::from_str(raw));
    if let Some(error) = pass.failure {
        return Err(error);
    }
    let large_number = pass.large_number;
    parsed.map_err(|error| ValueError::Malformed(error.to_string()))?;
    if large_number && let Some(text) = large_integer(raw) {
        return Err(ValueError::IntegerTooLarge(quoted(text)));
    }
    Ok(())
}

struct Pass<'a> {
    out: &'a mut Vec<u8>,
    failure: Option<ValueError>,
    /// Whether a number was seen that serde_json may have rounded from an integer.
    large_number: bool,
}

impl<'a> Pass<'a> {
    fn new(out: &'a mut Vec<u8>) -> Self {
        Self {
            out,
            failure: None,
            large_number: false,
        }
    }

    fn refuse<E: serde::de::Error>(&mut self, error: ValueError) -> E {
        self.failure = Some(error);
        E::custom("refused")
    }
}

/// One value that is being converted to the canonical form.
struct Node<'a, 'p> {
    pass: &'a mut Pass<'p>,
    depth: usize,
}

impl<'p> Node<'_, 'p> {
    /// The node of a value inside this one.
    fn inner(&mut self) -> Node<'_, 'p> {
        Node {
            pass: self.pass,
            depth: self.depth + 1,
        }
    }

    fn check_depth<E: serde::de::Error>(&mut self) -> Result<(), E> {
        if self.depth >= DEPTH_MAX {
            return Err(self.pass.refuse(ValueError::TooDeep));
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        encode::null(self.pass.out);
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        encode::boolean(self.pass.out, value);
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        encode::integer(self.pass.out, value);
        Ok(())
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            Err(_) => Err(self
                .pass
                .refuse(ValueError::IntegerTooLarge(value.to_string()))),
        }
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.pass.large_number |= value.abs() >= INTEGER_LIMIT;
        encode::number(self.pass.out, value);
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        encode::text(self.pass.out, value);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        self.check_depth()?;
        let list = encode::list(self.pass.out);
        loop {
            let item = encode::item(self.pass.out);
            if seq.next_element_seed(self.inner())?.is_none() {
                item.cancel(self.pass.out);
                break;
            }
            item.close(self.pass.out);
        }
        list.close(self.pass.out);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        self.check_depth()?;
        let object = encode::object(self.pass.out);
        let mut entries = Entries::open(self.pass.out);
        while let Some(Name(key)) = map.next_key()? {
            let entry = Entries::entry(self.pass.out, &key);
            map.next_value_seed(self.inner())?;
            entries.end(self.pass.out, entry);
        }
        let closed = entries.close(self.pass.out);
        closed.map_err(|error| self.pass.refuse(error))?;
        object.close(self.pass.out);
        Ok(())
    }
}

/// The first integer in well-formed JSON that does not fit into 64 bits.
fn large_integer(json: &str) -> Option<&str> {
    let mut rest = json;
    while let Some(at) = rest.find(|c: char| c == '"' || c == '-' || c.is_ascii_digit()) {
        let (_, from) = rest.split_at(at);
        if let Some(text) = from.strip_prefix('"') {
            rest = behind_string(text);
            continue;
        }
        let end = from
            .find(|c: char| !matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E'))
            .unwrap_or(from.len());
        let (number, behind) = from.split_at(end);
        let integer = !number.contains(['.', 'e', 'E']);
        if integer && number.parse::<i64>().is_err() {
            return Some(number);
        }
        rest = behind;
    }
    None
}

/// What follows the end of a string whose opening quote is gone.
fn behind_string(text: &str) -> &str {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return text.get(at + 1..).unwrap_or_default(),
            _ => {}
        }
    }
    ""
}
