//! Requests that stand in the query and headers of a GET.

use std::borrow::Cow;

use http::request::Parts;

use super::error::{Error, Result};
use crate::grpc::pb;
use crate::model::quote::quoted;
use crate::model::reason::Reason;

/// An event source that was cut off sends the cursor of its last event here.
const LAST_EVENT_ID: &str = "last-event-id";
/// The prefix in front of the type of a customer's ID.
const CUSTOMER_IDS: &str = "customer_ids.";

/// A value of the query.
pub(super) fn value<'a>(head: &'a Parts, name: &str) -> Option<Cow<'a, str>> {
    let query = head.uri.query().unwrap_or_default();
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs
        .find(|(found, _)| found == name)
        .map(|(_, value)| value)
}

/// The request to watch events.
pub(super) fn watch(head: &Parts, token: &str) -> Result<pb::WatchEventsRequest> {
    let mut request = pb::WatchEventsRequest {
        project_token: token.to_owned(),
        ..pb::WatchEventsRequest::default()
    };
    let query = head.uri.query().unwrap_or_default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "cursor" => request.cursor = value.into_owned(),
            "start" => request.start = start(&value)?.into(),
            "event_types" => request.event_types.push(value.into_owned()),
            _ => {
                let Some(kind) = name.strip_prefix(CUSTOMER_IDS) else {
                    continue;
                };
                let ids = &mut request.customer_ids;
                if ids.insert(kind.to_owned(), value.into_owned()).is_some() {
                    return Err(Error::duplicate_id(kind));
                }
            }
        }
    }
    // A browser that reconnects sends the same query again. Only the header has the last cursor.
    if let Some(id) = head.headers.get(LAST_EVENT_ID).filter(|id| !id.is_empty()) {
        request.cursor = String::from_utf8_lossy(id.as_bytes()).into_owned();
    }
    Ok(request)
}

/// The request to watch refusals.
pub(super) fn watch_refusals(head: &Parts, token: &str) -> Result<pb::WatchRefusalsRequest> {
    let mut request = pb::WatchRefusalsRequest {
        project_token: token.to_owned(),
        ..pb::WatchRefusalsRequest::default()
    };
    let query = head.uri.query().unwrap_or_default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "reasons" => request.reasons.push(value.into_owned()),
            "recent" => {
                request.recent = value.parse().map_err(|_| {
                    let value = quoted(&value);
                    let text = format!("Field 'recent' must be true or false, not '{value}'.");
                    Error::invalid(Reason::QueryInvalid, Some("recent"), text)
                })?;
            }
            _ => {}
        }
    }
    Ok(request)
}

fn start(value: &str) -> Result<pb::WatchStart> {
    match value {
        "now" => Ok(pb::WatchStart::Now),
        "beginning" => Ok(pb::WatchStart::Beginning),
        other => {
            let other = quoted(other);
            let message = format!("Field 'start' must be now or beginning, not '{other}'.");
            Err(Error::invalid(Reason::QueryInvalid, Some("start"), message))
        }
    }
}
