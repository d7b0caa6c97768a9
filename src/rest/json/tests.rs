//! Bodies into request messages.

mod batches;
mod commands;
mod hostile;
mod read_requests;

use std::collections::BTreeMap;

use super::super::error::Error;
use super::fields::{Fields, of_body};
use crate::grpc::pb;
use crate::model::properties::Object;
use crate::model::time::Timestamp;

/// When every body here is received, in seconds.
const NOW: i64 = 1_700_000_000;

fn now() -> Timestamp {
    Timestamp::from_micros(NOW * 1_000_000).unwrap()
}

fn fields(body: &str) -> Result<Fields<'_>, Error> {
    of_body(body.as_bytes())
}

fn update(body: &str) -> Result<pb::UpdateCustomerRequest, Error> {
    super::update(body.as_bytes(), "token")
}

fn event(body: &str) -> Result<pb::AddEventRequest, Error> {
    super::event(body.as_bytes(), "token", now())
}

fn message<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    result.unwrap_err().into_status().message().to_owned()
}

fn ids(ids: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(kind, value): &(&str, &str)| ((*kind).to_owned(), (*value).to_owned());
    ids.iter().map(owned).collect()
}

fn shown(properties: Option<Object>) -> Option<String> {
    let mut json = Vec::new();
    properties?.check().unwrap().write_json(&mut json);
    Some(String::from_utf8(json).unwrap())
}

/// Seconds and the microseconds beside them.
fn at(time: Option<prost_types::Timestamp>) -> Option<(i64, i32)> {
    time.map(|time| (time.seconds, time.nanos / 1000))
}
