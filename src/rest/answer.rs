//! Response messages into JSON.

use std::fmt::Display;
use std::io::Write as _;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::json::{AttributePlan, Batch, Planned};
use crate::grpc::pb;
use crate::model::time::Timestamp;

/// What a single write answers.
pub(super) const WRITTEN: &[u8] = br#"{"success": true, "errors": []}"#;

/// What an anonymisation answers.
pub(super) const ANONYMIZED: &[u8] = br#"{"success": true}"#;

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

/// One customer with everything.
pub(super) fn customer(answer: pb::GetCustomerResponse) -> Bytes {
    let mut out = Vec::from(br#"{"success": true, "ids": {"#);
    for (index, id) in answer.ids.iter().enumerate() {
        if index > 0 {
            out.extend(b", ");
        }
        text(&mut out, &id.r#type);
        out.extend(b": ");
        match id.soft {
            true => texts(&mut out, &id.values),
            false => text(&mut out, id.values.first().map_or("", String::as_str)),
        }
    }
    out.extend(br#"}, "properties": "#);
    let properties = answer.properties.unwrap_or_default();
    properties.trusted().write_json(&mut out);
    out.extend(br#", "events": "#);
    list_events(&mut out, answer.events);
    out.push(b'}');
    out.into()
}

/// A page of events.
pub(super) fn events(answer: pb::ListEventsResponse) -> Bytes {
    let mut out = Vec::from(br#"{"success": true, "data": "#);
    list_events(&mut out, answer.events);
    out.push(b'}');
    out.into()
}

fn list_events(out: &mut Vec<u8>, events: Vec<pb::Event>) {
    out.push(b'[');
    for (index, event) in events.into_iter().enumerate() {
        if index > 0 {
            out.extend(b", ");
        }
        out.extend(br#"{"type": "#);
        text(out, &event.r#type);
        put(
            out,
            format_args!(
                r#", "timestamp": {}, "properties": "#,
                seconds(event.timestamp)
            ),
        );
        let properties = event.properties.unwrap_or_default();
        properties.trusted().write_json(out);
        out.push(b'}');
    }
    out.push(b']');
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
