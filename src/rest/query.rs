//! Questions that stand in a GET's query and headers.

use http::request::Parts;

use super::error::Error;
use crate::grpc::pb;
use crate::model::quote::quoted;

/// Where an event source that was cut off says how far it has come.
const LAST_EVENT_ID: &str = "last-event-id";
/// What stands before the type of a customer's ID.
const CUSTOMER_IDS: &str = "customer_ids.";

/// The question for events as they come.
pub(super) fn watch(head: &Parts, token: &str) -> Result<pb::WatchEventsRequest, Error> {
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
                    let message = format!("duplicate key '{}'", quoted(kind));
                    return Err(Error::invalid(Some("customer_ids"), message));
                }
            }
        }
    }
    // A browser that reconnects sends the same query again; only the header knows how far it has come.
    if let Some(id) = head.headers.get(LAST_EVENT_ID).filter(|id| !id.is_empty()) {
        request.cursor = String::from_utf8_lossy(id.as_bytes()).into_owned();
    }
    Ok(request)
}

fn start(value: &str) -> Result<pb::WatchStart, Error> {
    match value {
        "now" => Ok(pb::WatchStart::Now),
        "beginning" => Ok(pb::WatchStart::Beginning),
        other => Err(Error::invalid(
            Some("start"),
            format!(
                "Field 'start' must be now or beginning, not '{}'.",
                quoted(other)
            ),
        )),
    }
}
