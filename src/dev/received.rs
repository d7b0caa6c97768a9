//! What was received: the events and customer updates of a project, as they are kept.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::fields::{Fields, Wrong};
use crate::app::emulated::Handles;
use crate::log::record::{Command, Record};
use crate::log::{self, Position};
use crate::model::properties::Properties;
use crate::model::time::Timestamp;
use crate::view::read::Snapshot;
use crate::view::{self, Place};

/// Records that are read from the log at once.
const CHUNK_RECORDS: usize = 256;

/// Which of a project's records are meant.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    kind: Option<&'static str>,
    event_type: Option<String>,
    /// The type and the value of an ID that the record came with.
    customer: Option<(String, String)>,
    /// Properties that the record has, with these values.
    properties: Map<String, Value>,
}

impl Filter {
    /// The names of its fields.
    pub(super) const FIELDS: &str = "kind, type, customer";

    pub(super) fn read(fields: &mut Fields) -> Result<Self, Wrong> {
        let customer = fields.text("customer")?;
        let customer = customer.map(|text| match text.split_once(':') {
            Some((kind, value)) => Ok((kind.to_owned(), value.to_owned())),
            None => {
                let text = crate::model::quote::quoted(&text);
                Err(format!(
                    "'customer' must be an ID as 'type:value', not '{text}'"
                ))
            }
        });
        Ok(Self {
            kind: fields.word("kind", &[("event", "event"), ("update", "update")])?,
            event_type: fields.text("type")?,
            customer: customer.transpose()?,
            properties: Map::new(),
        })
    }

    /// With properties.
    pub(super) fn with_properties(self, properties: Option<Map<String, Value>>) -> Self {
        Self {
            properties: properties.unwrap_or_default(),
            ..self
        }
    }

    pub(super) fn matches(&self, item: &Item) -> bool {
        let is_of_kind = self.kind.is_none_or(|kind| item.kind == kind);
        let is_of_type = self.event_type.is_none() || self.event_type == item.r#type;
        let is_theirs = self.customer.as_ref().is_none_or(|(kind, value)| {
            let id = item.customer_ids.get(kind);
            id.and_then(Value::as_str) == Some(value.as_str())
        });
        is_of_kind && is_of_type && is_theirs && self.has_properties(item)
    }

    fn has_properties(&self, item: &Item) -> bool {
        if self.properties.is_empty() {
            return true;
        }
        let properties: Result<Map<String, Value>, _> = serde_json::from_str(item.properties.get());
        properties.is_ok_and(|properties| {
            let mut wanted = self.properties.iter();
            wanted.all(|(name, value)| properties.get(name).is_some_and(|is| is_same(is, value)))
        })
    }
}

/// Whether two values are the same; 1 and 1.0 are.
fn is_same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            left == right || left.as_f64() == right.as_f64()
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .zip(right)
                    .all(|(left, right)| is_same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            let same = |(name, value): (&String, &Value)| {
                left.get(name).is_some_and(|is| is_same(is, value))
            };
            left.len() == right.len() && right.iter().all(same)
        }
        _ => left == right,
    }
}

/// An event or an update.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Item {
    pub(super) position: u64,
    pub(super) kind: &'static str,
    /// Of an event.
    pub(super) r#type: Option<String>,
    pub(super) customer_ids: Map<String, Value>,
    time: Box<RawValue>,
    received: Box<RawValue>,
    properties: Box<RawValue>,
}

impl Item {
    fn of(position: Position, record: Record) -> Option<Self> {
        let (kind, r#type, time, properties) = match record.command {
            Command::Event(event) => {
                let of_type = event.event_type.to_string();
                ("event", Some(of_type), event.time, event.properties)
            }
            Command::Update { properties, time } => ("update", None, time, properties),
            Command::Anonymize | Command::Erase | Command::Erased(_) => return None,
        };
        let ids = record.ids.as_slice().iter();
        Some(Self {
            position: position.get(),
            kind,
            r#type,
            customer_ids: ids
                .map(|id| (id.kind.to_string(), id.value.clone().into()))
                .collect(),
            time: seconds(time)?,
            received: seconds(record.received)?,
            properties: object(&properties)?,
        })
    }
}

/// Unix seconds, exact to the microsecond.
fn seconds(time: Timestamp) -> Option<Box<RawValue>> {
    RawValue::from_string(time.to_string()).ok()
}

fn object(properties: &Properties) -> Option<Box<RawValue>> {
    let mut json = Vec::new();
    properties.write_json(&mut json);
    RawValue::from_string(String::from_utf8(json).ok()?).ok()
}

/// Walks over what a project has received.
#[derive(Clone, Debug)]
pub(super) struct Walk {
    handles: Arc<Handles>,
    kept_as: String,
    /// Everything up to here was walked over.
    pub(super) at: Position,
}

/// Why a walk ends early.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error(transparent)]
    View(#[from] view::Error),
    #[error(transparent)]
    Log(#[from] log::Error),
    #[error("a part of the emulator panicked")]
    Panicked,
}

impl Walk {
    /// From behind a position on.
    pub(super) fn new(handles: Arc<Handles>, kept_as: &str, after: Position) -> Self {
        Self {
            handles,
            kept_as: kept_as.to_owned(),
            at: after,
        }
    }

    /// Gives everything that is acknowledged by now to `take`, in order, until it says that it has enough.
    pub(super) async fn go(
        mut self,
        mut take: impl FnMut(Item) -> bool + Send + 'static,
    ) -> Result<Self, Failed> {
        let view = self.handles.view.clone();
        let end = self.handles.log.last();
        view.caught_up(end, Duration::MAX).await?;
        let walked = tokio::task::spawn_blocking(move || {
            let snapshot = view.snapshot();
            self.walk(&snapshot, end, &mut take)?;
            Ok(self)
        });
        walked.await.unwrap_or(Err(Failed::Panicked))
    }

    fn walk(
        &mut self,
        snapshot: &Snapshot,
        end: Position,
        take: &mut impl FnMut(Item) -> bool,
    ) -> Result<(), Failed> {
        let log = &self.handles.log;
        while self.at < end {
            for (position, bytes) in log.read_after(self.at, CHUNK_RECORDS)? {
                if position > end {
                    break;
                }
                self.at = position;
                let is_theirs = Record::project(position, &bytes)? == self.kept_as;
                // The same event sent again is not kept, nor that of a customer who was erased.
                if !is_theirs || snapshot.is_hidden(position)? {
                    continue;
                }
                let item = Item::of(position, Record::decode(position, bytes)?);
                if item.is_some_and(|item| !take(item)) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// How many customers the project has.
    pub(super) async fn customers(&self) -> Result<u64, Failed> {
        let (view, kept_as) = (self.handles.view.clone(), self.kept_as.clone());
        let counted = tokio::task::spawn_blocking(move || {
            let snapshot = view.snapshot();
            let (mut place, mut count) = (Place::default(), 0);
            let mut each = |_| {
                count += 1;
                Ok(true)
            };
            while snapshot.customers(&kept_as, &mut place, &mut each)? {}
            Ok(count)
        });
        counted.await.unwrap_or(Err(Failed::Panicked))
    }
}
