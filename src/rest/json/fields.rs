//! The fields of a command, and how each is read.
//!
//! Here each field is JSON text first, and is read by itself, so that an error names what is wrong. Most commands are
//! read in one pass instead, by [`fast_path`](super::fast_path).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use tonic::Status;

use super::super::error::{Error, Result};
use crate::grpc::convert::timestamp;
use crate::grpc::pb;
use crate::model::number::Decimal;
use crate::model::properties::{FastProperties, Object, Properties};
use crate::model::quote::quoted;
use crate::model::reason::Reason;
use crate::model::time::{self, Age, Timestamp};
use crate::tracker::{self, COMMAND_BYTES_MAX};

/// The fields of every command. `null` counts as absent. IDs and properties are JSON text, or have been read already.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[expect(
    dead_code,
    reason = "some fields are there to be noticed if they come twice"
)]
#[serde(bound(deserialize = "I: Deserialize<'de>, P: Deserialize<'de>"))]
pub(super) struct Fields<'a, I = &'a RawValue, P = &'a RawValue> {
    customer_ids: Option<I>,
    properties: Option<P>,
    #[serde(borrow)]
    event_type: Option<&'a RawValue>,
    #[serde(borrow)]
    timestamp: Option<&'a RawValue>,
    #[serde(borrow)]
    update_timestamp: Option<&'a RawValue>,
    #[serde(borrow)]
    age: Option<&'a RawValue>,
    #[serde(borrow)]
    url: Option<&'a RawValue>,
    // Of requests to read. They mean nothing here, and still may not be there twice.
    attributes: Option<IgnoredAny>,
    event_types: Option<IgnoredAny>,
    order: Option<IgnoredAny>,
    limit: Option<IgnoredAny>,
    skip: Option<IgnoredAny>,
    paged: Option<IgnoredAny>,
    page_token: Option<IgnoredAny>,
    format: Option<IgnoredAny>,
}

/// Reads a body.
pub(super) fn of_body<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T> {
    of_text(std::str::from_utf8(body).map_err(Error::not_utf8)?)
}

/// Reads the text of one object.
pub(super) fn of_text<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T> {
    let text = object_text(text)?;
    if text.len() > COMMAND_BYTES_MAX {
        return Err(refused(tracker::Error::CommandTooLarge(text.len())));
    }
    read(text)
}

impl<I, P> Fields<'_, I, P>
where
    I: Part<Ids>,
    P: Part<Object>,
{
    pub(super) fn update(self, token: &str) -> Result<pb::UpdateCustomerRequest> {
        let time = match time("update_timestamp", self.update_timestamp)? {
            Some(time) => Some(time),
            None => time("timestamp", self.timestamp)?,
        };
        Ok(pb::UpdateCustomerRequest {
            project_token: token.to_owned(),
            customer_ids: ids(self.customer_ids)?,
            properties: part(self.properties)?,
            update_timestamp: time.map(timestamp),
        })
    }

    pub(super) fn event(self, token: &str, now: Timestamp) -> Result<pb::AddEventRequest> {
        Ok(pb::AddEventRequest {
            project_token: token.to_owned(),
            customer_ids: ids(self.customer_ids)?,
            event_type: text("event_type", self.event_type)?.into_owned(),
            properties: part(self.properties)?,
            timestamp: time_or_age(self.timestamp, self.age, now)?.map(timestamp),
        })
    }

    pub(super) fn click(
        self,
        token: &str,
        now: Timestamp,
    ) -> Result<pb::TrackCampaignClickRequest> {
        Ok(pb::TrackCampaignClickRequest {
            project_token: token.to_owned(),
            customer_ids: ids(self.customer_ids)?,
            url: text("url", self.url)?.into_owned(),
            properties: part(self.properties)?,
            timestamp: time_or_age(self.timestamp, self.age, now)?.map(timestamp),
        })
    }
}

/// A field that is still JSON text, or has been read already.
pub(super) trait Part<T> {
    fn read(self) -> Result<T>;
}

fn part<T>(field: Option<impl Part<T>>) -> Result<Option<T>> {
    field.map(Part::read).transpose()
}

/// Customer IDs. There are none if the field is absent.
pub(super) fn ids(field: Option<impl Part<Ids>>) -> Result<Ids> {
    Ok(part(field)?.unwrap_or_default())
}

/// Customer IDs by type.
pub(super) type Ids = BTreeMap<String, String>;

impl Part<Ids> for &RawValue {
    fn read(self) -> Result<Ids> {
        let text = beginning('{', "customer_ids", "an object", self)?;
        let entries: Entries<'_> = read(text)?;
        let mut ids = Ids::new();
        for (kind, raw) in entries.0 {
            let value = id_value(&kind, raw)?;
            if ids.insert(kind.clone().into_owned(), value).is_some() {
                return Err(Error::duplicate_id(&kind));
            }
        }
        Ok(ids)
    }
}

impl Part<Object> for &RawValue {
    fn read(self) -> Result<Object> {
        let properties = Properties::from_json(self.get());
        let properties = properties.map_err(|error| refused(error.into()))?;
        Ok(properties.into())
    }
}

impl Part<Object> for FastProperties {
    fn read(self) -> Result<Object> {
        Ok(self.0.into())
    }
}

/// The time of an event is its `timestamp`, or else `age` before the receipt.
fn time_or_age(
    timestamp: Option<&RawValue>,
    age: Option<&RawValue>,
    now: Timestamp,
) -> Result<Option<Timestamp>> {
    if let Some(time) = time("timestamp", timestamp)? {
        return Ok(Some(time));
    }
    let Some(raw) = age else {
        return Ok(None);
    };
    if !is_number(raw) {
        return Err(wrong_type("age", "a number", raw));
    }
    let time = Age::parse_number(raw.get()).and_then(|age| now.before(age));
    time.map(Some).map_err(|error| bad_time("age", error))
}

/// A text. It is empty if the field is absent.
pub(super) fn text<'a>(field: &str, raw: Option<&'a RawValue>) -> Result<Cow<'a, str>> {
    match raw {
        None => Ok(Cow::Borrowed("")),
        Some(raw) => read(beginning('"', field, "a string", raw)?).map(|Text(text)| text),
    }
}

fn time(field: &'static str, raw: Option<&RawValue>) -> Result<Option<Timestamp>> {
    let time = match raw {
        None => return Ok(None),
        Some(raw) if is_number(raw) => Timestamp::parse_number(raw.get()),
        Some(raw) if raw.get().starts_with('"') => {
            Timestamp::parse_text(&read::<Text<'_>>(raw.get())?.0)
        }
        Some(raw) => return Err(wrong_type(field, "a number or text", raw)),
    };
    time.map(Some).map_err(|error| bad_time(field, error))
}

fn is_number(raw: &RawValue) -> bool {
    raw.get()
        .starts_with(|c: char| c == '-' || c.is_ascii_digit())
}

/// A text. It is borrowed unless it has escapes.
#[derive(Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// All entries of an object, in their order.
struct Entries<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;

        impl<'de> Visitor<'de> for All {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some((Text(key), value)) = map.next_entry()? {
                    entries.push((key, value));
                }
                Ok(entries)
            }
        }

        deserializer.deserialize_map(All).map(Entries)
    }
}

/// A customer ID is a text, or a whole number in any form, which becomes its decimal text. `null` becomes the empty
/// text.
fn id_value(kind: &str, raw: &RawValue) -> Result<String> {
    let text = raw.get();
    if text.starts_with('"') {
        return Ok(read::<Text<'_>>(text)?.0.into_owned());
    }
    if text == "null" {
        return Ok(String::new());
    }
    if is_number(raw) && !text.contains(['.', 'e', 'E']) {
        return Ok(text.to_owned());
    }
    let whole = Decimal::read(text.as_bytes()).and_then(|number| number.whole());
    if let Some(number) = whole {
        return Ok(number.to_string());
    }
    let (kind, text) = (quoted(kind), quoted(text));
    let message = format!("customer ID '{kind}' must be a string or a whole number, not {text}");
    Err(Error::invalid(
        Reason::IdInvalid,
        Some("customer_ids"),
        message,
    ))
}

/// The text of an object without the blanks around it.
pub(super) fn object_text(text: &str) -> Result<&str> {
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    match text.starts_with('{') {
        true => Ok(text),
        false => Err(Error::not_json()),
    }
}

/// Reads JSON. The error names the rule if JSON breaks one, such as a key that stands twice.
pub(super) fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T> {
    use serde_json::error::Category;
    serde_json::from_str(text).map_err(|error| match error.classify() {
        Category::Data => {
            let text = error.to_string();
            let reason = match text.starts_with("duplicate") {
                true => Reason::KeyTwice,
                false => Reason::FieldInvalid,
            };
            Error::invalid(reason, None, text)
        }
        Category::Syntax | Category::Eof | Category::Io => Error::not_json(),
    })
}

/// The JSON text of a value, whose first character gives its type.
pub(super) fn beginning<'a>(
    first: char,
    field: &str,
    expected: &str,
    raw: &'a RawValue,
) -> Result<&'a str> {
    match raw.get().starts_with(first) {
        true => Ok(raw.get()),
        false => Err(wrong_type(field, expected, raw)),
    }
}

pub(super) fn wrong_type(field: &str, expected: &str, raw: &RawValue) -> Error {
    let message = format!(
        "Field '{field}' must be {expected}, not {}.",
        quoted(raw.get())
    );
    Error::invalid(Reason::FieldInvalid, Some(field), message)
}

fn bad_time(field: &'static str, error: time::Error) -> Error {
    refused(tracker::Error::Time { field, error })
}

/// An error that the tracker has the words for.
pub(super) fn refused(error: tracker::Error) -> Error {
    Status::from(error).into()
}
