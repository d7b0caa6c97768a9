//! Response messages as JSON.
//!
//! Small responses are structs that serde writes. Rows, events and the results of a batch are many, and are written
//! straight into their buffer.

use std::fmt::Display;
use std::io::{Result, Write};

use bytes::Bytes;
use http::HeaderValue;
use serde::Serialize;
use serde_json::ser::Formatter;
use serde_json::value::RawValue;

use super::json::{AttributePlan, Batch, Planned};
use crate::grpc::pb;
use crate::model::properties::{Properties, Value};
use crate::model::time::Timestamp;
use crate::tracker::StoredEvent;

/// The body for a command that was committed.
pub(super) const WRITTEN: &str = r#"{"success": true, "errors": []}"#;

/// The body for other successes.
pub(super) const SUCCESS: &str = r#"{"success": true}"#;

#[derive(Serialize)]
struct BulkResponse<'a> {
    success: bool,
    bulk_id: &'a str,
}

#[derive(Serialize)]
struct TimeResponse {
    success: bool,
    errors: [(); 0],
    /// A number, with more digits than a float keeps.
    time: Box<RawValue>,
}

#[derive(Serialize)]
struct HealthResponse<'a> {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

/// The body for customers that were anonymised. The request's ID is also the ID of the bulk.
pub(super) fn anonymized(id: &HeaderValue) -> Bytes {
    let id = id.to_str().ok();
    to_bytes(&BulkResponse {
        success: true,
        bulk_id: id.unwrap_or_default(),
    })
}

/// The service's time.
pub(super) fn time(time: Option<prost_types::Timestamp>) -> Bytes {
    let time = RawValue::from_string(seconds(time).to_string());
    to_bytes(&TimeResponse {
        success: true,
        errors: [],
        time: time.unwrap_or_default(),
    })
}

/// The state of the service, with the obstacle if it is not ready.
pub(super) fn health(is_ok: bool, obstacle: Option<&str>) -> Bytes {
    let (status, reason) = match is_ok {
        true => ("SERVING", None),
        false => ("NOT_SERVING", Some(obstacle.unwrap_or("starting"))),
    };
    to_bytes(&HealthResponse { status, reason })
}

/// The results of a batch, in the order of the commands.
pub(super) fn batch(batch: Batch<'_>, response: pb::ExecuteBatchResponse) -> Bytes {
    let mut executed = response.results.into_iter();
    let mut out = Vec::with_capacity(128 + batch.plan.len() * 40);
    put(
        &mut out,
        format_args!(
            r#"{{"success": true, "start_time": {}, "end_time": {}, "results": "#,
            seconds(response.start_time),
            seconds(response.end_time)
        ),
    );
    list(&mut out, batch.plan, |out, (command_id, planned)| {
        let (time, error) = match planned {
            Planned::Executed => {
                let result = executed.next().unwrap_or_default();
                (result.time, result.error.map(|error| error.message))
            }
            Planned::Failed(status) => (None, Some(status.message().to_owned())),
        };
        match error {
            None => out.extend(br#"{"success": true, "errors": []"#),
            Some(message) => {
                out.extend(br#"{"success": false, "errors": ["#);
                write(out, &message);
                out.push(b']');
            }
        }
        if time.is_some() {
            put(out, format_args!(r#", "time": {}"#, seconds(time)));
        }
        if let Some(id) = command_id {
            put(out, format_args!(r#", "command_id": {}"#, id.get()));
        }
        out.push(b'}');
    });
    out.push(b'}');
    out.into()
}

/// Attributes, in the order of the request.
pub(super) fn attributes(plan: Vec<AttributePlan>, response: pb::GetAttributesResponse) -> Bytes {
    let mut results = response.results.into_iter();
    let mut out = Vec::from(br#"{"success": true, "results": "#);
    list(&mut out, plan, |out, planned| {
        let (value, error) = match planned {
            AttributePlan::Read => {
                let result = results.next().unwrap_or_default();
                (result.value, result.error.map(|error| error.message))
            }
            AttributePlan::Failed(message) => (None, Some(message)),
        };
        match error {
            Some(message) => {
                out.extend(br#"{"success": false, "error": "#);
                write(out, &message);
            }
            None => {
                out.extend(br#"{"success": true, "value": "#);
                value.unwrap_or_default().write_json(out);
            }
        }
        out.push(b'}');
    });
    out.push(b'}');
    out.into()
}

/// IDs by type, each with whether it is soft, and its values.
pub(super) fn ids<'a>(out: &mut Vec<u8>, ids: impl Iterator<Item = (&'a str, bool, &'a [String])>) {
    out.push(b'{');
    for (index, (kind, soft, values)) in ids.enumerate() {
        if index > 0 {
            out.extend(b", ");
        }
        write(out, kind);
        out.extend(b": ");
        id_value(out, soft, values);
    }
    out.push(b'}');
}

/// All values of a soft ID, or the only value of a hard ID.
pub(super) fn id_value(out: &mut Vec<u8>, soft: bool, values: &[String]) {
    match soft {
        true => write(out, values),
        false => write(out, values.first().map_or("", String::as_str)),
    }
}

/// One message of a watch as a server-sent event. A message without an event becomes a comment with its cursor.
pub(super) fn server_sent(message: pb::WatchEventsResponse) -> Bytes {
    let mut out = Vec::with_capacity(256);
    match message.event {
        None => out.extend(b": nothing else up to here\n"),
        Some(event) => {
            // JSON has no line breaks inside of texts, and none is written between them.
            out.extend(b"data: ");
            let properties = event.properties.unwrap_or_default().trusted();
            let time = seconds(event.timestamp);
            begin_event(&mut out, &event.r#type, time, &properties);
            out.extend(br#", "customer_ids": "#);
            let found = message.customer_ids.iter();
            let found = found.map(|id| (&*id.r#type, id.soft, &*id.values));
            ids(&mut out, found);
            out.extend(b"}\n");
        }
    }
    put(&mut out, format_args!("id: {}\n\n", message.cursor));
    out.into()
}

/// A refusal as a server-sent event.
#[derive(Serialize)]
struct Refusal<'a> {
    timestamp: Box<RawValue>,
    reason: &'a str,
    text: &'a str,
    field: Option<&'a str>,
    excerpt: Option<&'a str>,
    key: Option<&'a str>,
    address: Option<&'a str>,
    route: &'a str,
    request_id: Option<&'a str>,
}

/// One message of a watch of refusals as a server-sent event. One without a refusal becomes a comment.
pub(super) fn server_sent_refusal(message: pb::WatchRefusalsResponse) -> Bytes {
    let missed: &[u8] = match message.missed {
        true => b": some may be missing here\n",
        false => b"",
    };
    let Some(refusal) = message.refusal else {
        return [missed, b": nothing else up to here\n\n"].concat().into();
    };
    fn present(text: &str) -> Option<&str> {
        Some(text).filter(|text| !text.is_empty())
    }
    let mut out = missed.to_vec();
    out.extend(b"data: ");
    let timestamp = seconds(refusal.time).to_string();
    let shown = Refusal {
        // Digits, which are JSON.
        timestamp: RawValue::from_string(timestamp).unwrap_or_default(),
        reason: &refusal.reason,
        text: &refusal.text,
        field: present(&refusal.field),
        excerpt: present(&refusal.excerpt),
        key: present(&refusal.key),
        address: present(&refusal.address),
        route: &refusal.route,
        request_id: present(&refusal.request_id),
    };
    write(&mut out, &shown);
    out.extend(b"\n\n");
    out.into()
}

/// An event.
pub(super) fn event(out: &mut Vec<u8>, event: &StoredEvent) {
    begin_event(out, &event.event_type, event.time, &event.properties);
    out.push(b'}');
}

/// An event without its last bracket.
fn begin_event(out: &mut Vec<u8>, event_type: &str, time: Timestamp, properties: &Properties) {
    out.extend(br#"{"type": "#);
    write(out, event_type);
    put(
        out,
        format_args!(r#", "timestamp": {time}, "properties": "#),
    );
    properties.write_json(out);
}

/// A value in canonical bytes as JSON.
pub(super) fn json_value(out: &mut Vec<u8>, canonical: &[u8]) {
    Value::from_canonical(canonical.to_vec().into()).write_json(out);
}

fn seconds(time: Option<prost_types::Timestamp>) -> Timestamp {
    let time = time.unwrap_or_default();
    Timestamp::from_seconds_nanos(time.seconds, time.nanos).unwrap_or(Timestamp::MIN)
}

/// A list whose elements `write` appends.
fn list<T>(
    out: &mut Vec<u8>,
    elements: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(b'[');
    for (index, element) in elements.into_iter().enumerate() {
        if index > 0 {
            out.extend(b", ");
        }
        write(out, element);
    }
    out.push(b']');
}

/// Appends a value as JSON.
pub(super) fn write(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    let mut serializer = serde_json::Serializer::with_formatter(out, Spaced);
    // Writing into memory cannot fail.
    let _ = value.serialize(&mut serializer);
}

/// A response as JSON.
pub(super) fn to_bytes(response: &impl Serialize) -> Bytes {
    let mut out = Vec::with_capacity(128);
    write(&mut out, response);
    out.into()
}

/// Appends a text as it is.
pub(super) fn put(out: &mut Vec<u8>, text: impl Display) {
    // Writing into memory cannot fail.
    let _ = write!(out, "{text}");
}

/// JSON with a space after each comma and colon.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: Write + ?Sized>(&mut self, out: &mut W, first: bool) -> Result<()> {
        out.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: Write + ?Sized>(&mut self, out: &mut W, first: bool) -> Result<()> {
        self.begin_array_value(out, first)
    }

    fn begin_object_value<W: Write + ?Sized>(&mut self, out: &mut W) -> Result<()> {
        out.write_all(b": ")
    }
}
