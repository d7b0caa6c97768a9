//! What callers send.
//!
//! Properties are made once and shared, so that the load takes little of the processor time that it has to share with
//! the servers.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use footfall::grpc::pb;
use footfall::model::properties::{Object, Properties};
use tonic::Request;

use super::server::{AUTHORIZATION, READER, TOKEN};

/// Commands of a batch: the most that it may have.
pub(super) const BATCH: u64 = 50;
/// Customers that the events are about.
const CUSTOMERS: u64 = 100_000;
/// Different properties.
const VARIANTS: u64 = 1_000;

static TEXTS: LazyLock<Vec<String>> = LazyLock::new(|| (0..VARIANTS).map(properties).collect());
static OBJECTS: LazyLock<Vec<Object>> = LazyLock::new(|| {
    let texts = TEXTS.iter();
    texts
        .map(|text| Properties::from_json(text).unwrap().into())
        .collect()
});

/// The number of the next event.
pub(super) fn next(count: u64) -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(count, Ordering::Relaxed)
}

fn properties(number: u64) -> String {
    format!(
        r#"{{"path":"/products/{}","referrer":"https://example.com/some/where","title":"A product page with a title","price":49.9,"currency":"EUR","number":{},"new":true}}"#,
        number % 500,
        10_000 + number
    )
}

fn variant<T>(of: &[T], number: u64) -> &T {
    let place = usize::try_from(number % VARIANTS).unwrap();
    &of[place]
}

/// The properties of an event.
pub(super) fn object(number: u64) -> Object {
    variant(&OBJECTS, number).clone()
}

/// An event as JSON.
pub(super) fn event_json(number: u64) -> String {
    let customer = number % CUSTOMERS;
    let properties = variant(&TEXTS, number);
    format!(
        r#"{{"customer_ids":{{"registered":"user-{customer}","cookie":"c-{customer}"}},"event_type":"page_visit","properties":{properties}}}"#,
    )
}

/// A batch of events as JSON.
pub(super) fn batch_json(first: u64) -> String {
    let commands: Vec<_> = (first..first + BATCH)
        .map(|number| {
            let event = event_json(number);
            format!(r#"{{"name":"customers/events","data":{event}}}"#)
        })
        .collect();
    format!(r#"{{"commands":[{}]}}"#, commands.join(","))
}

/// The question for a page of the events of an event's customer.
pub(super) fn question_json(number: u64) -> String {
    let customer = number % CUSTOMERS;
    format!(
        r#"{{"customer_ids":{{"registered":"user-{customer}"}},"event_types":["page_visit"],"limit":10}}"#
    )
}

pub(super) fn customer_ids(number: u64) -> BTreeMap<String, String> {
    let customer = number % CUSTOMERS;
    [
        ("registered".into(), format!("user-{customer}")),
        ("cookie".into(), format!("c-{customer}")),
    ]
    .into()
}

/// An event as a message.
pub(super) fn event(number: u64) -> pb::AddEventRequest {
    pb::AddEventRequest {
        project_token: TOKEN.into(),
        customer_ids: customer_ids(number),
        event_type: "page_visit".into(),
        properties: Some(object(number)),
        timestamp: None,
    }
}

/// The same question as [`question_json`].
pub(super) fn question(number: u64) -> pb::ListEventsRequest {
    let customer = number % CUSTOMERS;
    pb::ListEventsRequest {
        project_token: TOKEN.into(),
        customer_ids: [("registered".into(), format!("user-{customer}"))].into(),
        event_types: vec!["page_visit".into()],
        limit: Some(10),
        ..pb::ListEventsRequest::default()
    }
}

/// A call of somebody who writes.
pub(super) fn written<T>(message: T) -> Request<T> {
    authorized(message, AUTHORIZATION)
}

/// A call of somebody who reads.
pub(super) fn asked<T>(message: T) -> Request<T> {
    authorized(message, READER)
}

fn authorized<T>(message: T, authorization: &'static str) -> Request<T> {
    let mut request = Request::new(message);
    let authorization = tonic::metadata::MetadataValue::from_static(authorization);
    request
        .metadata_mut()
        .insert("authorization", authorization);
    request
}

/// A POST over HTTP/1.1, for a client address that a proxy tells.
pub(super) fn post(path: &str, authorization: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: bench\r\nauthorization: {authorization}\r\nx-forwarded-for: 203.0.113.7\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}
