//! The messages that gRPC callers send.

use std::collections::BTreeMap;

use footfall::grpc::pb;
use footfall::model::properties::Value;
use footfall::model::properties::{Object, Properties};
use prost::Message as _;
use prost_types::Timestamp;
use prost_types::value::Kind;
use tonic::Status;
use tonic_types::StatusExt as _;

use super::TOKEN;

/// Type to value.
pub fn ids(ids: &[(&str, &str)]) -> BTreeMap<String, String> {
    let ids = ids.iter();
    ids.map(|(kind, value)| ((*kind).to_owned(), (*value).to_owned()))
        .collect()
}

/// Properties as JSON would say them.
pub fn properties(json: &str) -> Option<Object> {
    Some(Properties::from_json(json).unwrap().into())
}

/// What properties say as JSON.
pub fn json(properties: Option<Object>) -> String {
    let mut out = Vec::new();
    properties.unwrap().trusted().write_json(&mut out);
    String::from_utf8(out).unwrap()
}

/// What a value says as JSON.
pub fn value_json(value: &Value) -> String {
    let mut out = Vec::new();
    value.write_json(&mut out);
    String::from_utf8(out).unwrap()
}

/// A time in microseconds.
pub fn time(seconds: i64, micros: i32) -> Option<Timestamp> {
    Some(Timestamp {
        seconds,
        nanos: micros * 1_000,
    })
}

/// An event of the customer `registered: a`.
pub fn event(event_type: &str) -> pb::AddEventRequest {
    pb::AddEventRequest {
        project_token: TOKEN.to_owned(),
        customer_ids: ids(&[("registered", "a")]),
        event_type: event_type.to_owned(),
        properties: None,
        timestamp: None,
    }
}

/// An update of the customer `registered: a`.
pub fn update(json: &str) -> pb::UpdateCustomerRequest {
    pb::UpdateCustomerRequest {
        project_token: TOKEN.to_owned(),
        customer_ids: ids(&[("registered", "a")]),
        properties: properties(json),
        update_timestamp: None,
    }
}

/// The fields that a status names as wrong, with what is wrong with them.
pub fn violations(status: &Status) -> Vec<(String, String)> {
    let request = status.get_details_bad_request();
    let violations = request
        .into_iter()
        .flat_map(|request| request.field_violations);
    violations
        .map(|violation| (violation.field, violation.description))
        .collect()
}

/// An object with one property of a kind that `google.protobuf.Value` has.
pub fn struct_of(kind: Option<Kind>) -> Object {
    let fields = [("x".to_owned(), prost_types::Value { kind })];
    let bytes = prost_types::Struct {
        fields: fields.into_iter().collect(),
    };
    Object::decode(bytes.encode_to_vec().as_slice()).unwrap()
}
