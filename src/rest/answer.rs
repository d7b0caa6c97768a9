//! Response messages into JSON.

use std::fmt::Display;
use std::io::Write as _;

use bytes::Bytes;
use http::HeaderValue;
use serde_json::value::RawValue;

use super::json::{AttributePlan, Batch, Planned};
use crate::grpc::pb;
use crate::model::properties::{Properties, Value};
use crate::model::time::Timestamp;
use crate::tracker::{Columns, ExportedCustomer, StoredEvent};

/// What a single write answers.
pub(super) const WRITTEN: &[u8] = br#"{"success": true, "errors": []}"#;

/// What an anonymisation answers.
pub(super) const ANONYMIZED: &[u8] = br#"{"success": true}"#;

/// What an anonymisation of many answers: the call's ID stands for the bulk.
pub(super) fn anonymized(id: &HeaderValue) -> Bytes {
    let id = id.to_str().ok();
    let mut out = Vec::from(br#"{"success": true, "bulk_id": "#);
    text(&mut out, id.unwrap_or_default());
    out.push(b'}');
    out.into()
}

/// The service's time.
pub(super) fn time(time: Option<prost_types::Timestamp>) -> Bytes {
    let mut out = Vec::with_capacity(80);
    put(
        &mut out,
        format_args!(
            r#"{{"success": true, "errors": [], "time": {}}}"#,
            seconds(time)
        ),
    );
    out.into()
}

/// The results of a batch, in the commands' order.
pub(super) fn batch(batch: Batch<'_>, answer: pb::ExecuteBatchResponse) -> Bytes {
    let mut executed = answer.results.into_iter();
    let mut out = Vec::with_capacity(128 + batch.plan.len() * 40);
    put(
        &mut out,
        format_args!(
            r#"{{"success": true, "start_time": {}, "end_time": {}, "results": ["#,
            seconds(answer.start_time),
            seconds(answer.end_time)
        ),
    );
    for (index, (command_id, planned)) in batch.plan.into_iter().enumerate() {
        if index > 0 {
            out.extend(b", ");
        }
        let result = match planned {
            Planned::Executed => executed.next().unwrap_or_default(),
            Planned::Failed(status) => pb::CommandResult {
                error: Some(tonic_types::Status {
                    code: status.code() as i32,
                    message: status.message().to_owned(),
                    details: Vec::new(),
                }),
                ..pb::CommandResult::default()
            },
        };
        command_result(&mut out, &result, command_id);
    }
    out.extend(b"]}");
    out.into()
}

fn command_result(out: &mut Vec<u8>, result: &pb::CommandResult, command_id: Option<&RawValue>) {
    match &result.error {
        None => out.extend(br#"{"success": true, "errors": []"#),
        Some(error) => {
            out.extend(br#"{"success": false, "errors": ["#);
            text(out, &error.message);
            out.push(b']');
        }
    }
    if result.time.is_some() {
        put(out, format_args!(r#", "time": {}"#, seconds(result.time)));
    }
    if let Some(id) = command_id {
        put(out, format_args!(r#", "command_id": {}"#, id.get()));
    }
    out.push(b'}');
}

/// Attributes, in the order of the question.
pub(super) fn attributes(plan: Vec<AttributePlan>, answer: pb::GetAttributesResponse) -> Bytes {
    let mut results = answer.results.into_iter();
    let mut out = Vec::from(br#"{"success": true, "results": ["#);
    for (index, planned) in plan.into_iter().enumerate() {
        if index > 0 {
            out.extend(b", ");
        }
        let result = match planned {
            AttributePlan::Read => results.next().unwrap_or_default(),
            AttributePlan::Failed(message) => pb::AttributeResult {
                value: None,
                error: Some(tonic_types::Status {
                    message,
                    ..tonic_types::Status::default()
                }),
            },
        };
        match result.error {
            Some(error) => {
                out.extend(br#"{"success": false, "error": "#);
                text(&mut out, &error.message);
            }
            None => {
                out.extend(br#"{"success": true, "value": "#);
                result.value.unwrap_or_default().write_json(&mut out);
            }
        }
        out.push(b'}');
    }
    out.extend(b"]}");
    out.into()
}

/// IDs by type, each with whether it is soft, and its values.
pub(super) fn ids<'a>(out: &mut Vec<u8>, ids: impl Iterator<Item = (&'a str, bool, &'a [String])>) {
    out.push(b'{');
    for (index, (kind, soft, values)) in ids.enumerate() {
        if index > 0 {
            out.extend(b", ");
        }
        text(out, kind);
        out.extend(b": ");
        id_value(out, soft, values);
    }
    out.push(b'}');
}

/// A list of a soft ID's values, the one of a hard ID.
fn id_value(out: &mut Vec<u8>, soft: bool, values: &[String]) {
    match soft {
        true => texts(out, values),
        false => text(out, values.first().map_or("", String::as_str)),
    }
}

/// One message of a watch as a server-sent event. Without `data` it is not shown, but its cursor is kept.
pub(super) fn server_sent(message: pb::WatchEventsResponse) -> Bytes {
    let mut out = Vec::with_capacity(256);
    match message.event {
        None => out.extend(b": nothing else up to here\n"),
        Some(told) => {
            // JSON has no line breaks inside of texts, and none is written between them.
            out.extend(b"data: ");
            event(&mut out, told);
            out.extend(br#", "customer_ids": "#);
            let held = message.customer_ids.iter();
            let held = held.map(|id| (&*id.r#type, id.soft, &*id.values));
            ids(&mut out, held);
            out.extend(b"}\n");
        }
    }
    put(&mut out, format_args!("id: {}\n\n", message.cursor));
    out.into()
}

/// The beginning of a table of customers: its columns, `named` also by their names alone.
pub(super) fn table_head(kinds: &[(String, bool)], columns: &Columns, named: bool) -> Bytes {
    let mut out = Vec::from(br#"{"success": true, "fields": ["#);
    let ids = kinds.iter().map(|(kind, _)| ("id", kind.as_str()));
    let names = columns.names.iter().map(|name| ("property", name.as_str()));
    let others = columns.others.then_some(("properties", "others"));
    for (index, (kind, name)) in ids.chain(names).chain(others).enumerate() {
        if index > 0 {
            out.extend(b", ");
        }
        put(&mut out, format_args!(r#"{{"type": "{kind}", "{kind}": "#));
        text(&mut out, name);
        out.push(b'}');
    }
    if named {
        out.extend(br#"], "header": ["#);
        for (index, name) in column_names(kinds, columns).enumerate() {
            if index > 0 {
                out.extend(b", ");
            }
            text(&mut out, name);
        }
    }
    out.extend(br#"], "data": ["#);
    out.into()
}

/// The names of a table's columns.
pub(super) fn column_names<'a>(
    kinds: &'a [(String, bool)],
    columns: &'a Columns,
) -> impl Iterator<Item = &'a str> {
    let ids = kinds.iter().map(|(kind, _)| kind.as_str());
    let names = columns.names.iter().map(String::as_str);
    ids.chain(names).chain(columns.others.then_some("others"))
}

/// The end of a table of customers.
pub(super) const TABLE_END: &[u8] = b"]}";

/// A customer's row, in the order of the columns.
pub(super) fn table_row(
    out: &mut Vec<u8>,
    kinds: &[(String, bool)],
    columns: &Columns,
    customer: &ExportedCustomer,
) {
    out.push(b'[');
    let mut is_first = true;
    cells(kinds, columns, customer, |cell| {
        if !std::mem::take(&mut is_first) {
            out.extend(b", ");
        }
        out.extend(cell);
    });
    out.push(b']');
}

/// Tells a customer's cells, each as JSON, in the order of the columns.
pub(super) fn cells(
    kinds: &[(String, bool)],
    columns: &Columns,
    customer: &ExportedCustomer,
    mut tell: impl FnMut(&[u8]),
) {
    let mut cell = Vec::new();
    for (kind, soft) in kinds {
        cell.clear();
        let values = customer.ids.iter().find(|id| id.kind == *kind);
        match values.map(|id| id.values.as_slice()) {
            None if !soft => cell.extend(b"null"),
            values => id_value(&mut cell, *soft, values.unwrap_or_default()),
        }
        tell(&cell);
    }
    // Both are sorted by name.
    let mut properties = customer.properties.entries().peekable();
    for name in &columns.names {
        cell.clear();
        while properties
            .next_if(|(held, _)| *held < name.as_str())
            .is_some()
        {}
        match properties.next_if(|(held, _)| held == name) {
            Some((_, value)) => json_value(&mut cell, value),
            None => cell.extend(b"null"),
        }
        tell(&cell);
    }
    if columns.others {
        cell.clear();
        let entries = customer.properties.entries();
        let mut others = entries.filter(|(name, _)| !columns.names.contains(*name));
        match others.next() {
            None => cell.extend(b"null"),
            Some(first) => object(&mut cell, std::iter::once(first).chain(others)),
        }
        tell(&cell);
    }
}

fn object<'a>(out: &mut Vec<u8>, entries: impl Iterator<Item = (&'a str, &'a [u8])>) {
    out.push(b'{');
    for (index, (name, value)) in entries.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        text(out, name);
        out.push(b':');
        json_value(out, value);
    }
    out.push(b'}');
}

/// A value's canonical bytes as JSON.
pub(super) fn json_value(out: &mut Vec<u8>, canonical: &[u8]) {
    Value::from_canonical(canonical.to_vec().into()).write_json(out);
}

/// An event without the bracket that closes it.
fn event(out: &mut Vec<u8>, event: pb::Event) {
    let properties = event.properties.unwrap_or_default();
    let time = seconds(event.timestamp);
    write_event(out, &event.r#type, time, &properties.trusted());
}

/// An event.
pub(super) fn stored_event(out: &mut Vec<u8>, event: &StoredEvent) {
    write_event(out, &event.event_type, event.time, &event.properties);
    out.push(b'}');
}

fn write_event(out: &mut Vec<u8>, event_type: &str, time: Timestamp, properties: &Properties) {
    out.extend(br#"{"type": "#);
    text(out, event_type);
    put(
        out,
        format_args!(r#", "timestamp": {time}, "properties": "#),
    );
    properties.write_json(out);
}

fn seconds(time: Option<prost_types::Timestamp>) -> Timestamp {
    let time = time.unwrap_or_default();
    Timestamp::from_seconds_nanos(time.seconds, time.nanos).unwrap_or(Timestamp::MIN)
}

pub(super) fn text(out: &mut Vec<u8>, text: &str) {
    // Writing a text into memory has no way to fail.
    let _ = serde_json::to_writer(out, text);
}

fn texts(out: &mut Vec<u8>, values: &[String]) {
    out.push(b'[');
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.extend(b", ");
        }
        text(out, value);
    }
    out.push(b']');
}

pub(super) fn put(out: &mut Vec<u8>, what: impl Display) {
    // Writing into memory has no way to fail.
    let _ = write!(out, "{what}");
}
