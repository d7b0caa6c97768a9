//! The streams of `CustomerService`.

use futures_util::{TryStreamExt as _, stream};
use http::HeaderValue;
use tonic::{Extensions, Status};

use super::convert::{Messages, event, id};
use super::{pb, response, status};
use crate::middleware::{CallContext, cause, explained};
use crate::model::reason::Reason;
use crate::tracker::{Export, Start, Watch, Watched};

/// Where a watch begins.
pub(super) fn start(request: &pb::WatchEventsRequest) -> Result<Start<'_>, Status> {
    let start = request.start;
    match (request.cursor.as_str(), pb::WatchStart::try_from(start)) {
        ("", Ok(pb::WatchStart::Unspecified | pb::WatchStart::Now)) => Ok(Start::Now),
        ("", Ok(pb::WatchStart::Beginning)) => Ok(Start::Beginning),
        (cursor, Ok(_)) => Ok(Start::After(cursor)),
        (_, Err(_)) => Err(status::invalid(
            Reason::QueryInvalid,
            Some("start"),
            format!("Field 'start' must be WATCH_START_NOW or WATCH_START_BEGINNING, not {start}."),
        )),
    }
}

/// The ID of a call whose answer lasts.
pub(super) fn id_of(extensions: &Extensions) -> Option<HeaderValue> {
    // A call of the REST shim has none.
    let context = CallContext::of(extensions).ok()?;
    Some(context.id().clone())
}

/// Says why the messages of a call end with a failure: to the caller by the reason, to the operator by the log, for
/// tonic turns it into trailers, which do not say. Over REST there is no call ID here, and the body's layer logs it.
fn logged<T: 'static>(messages: Messages<T>, call: Option<HeaderValue>) -> Messages<T> {
    match call {
        None => messages,
        Some(id) => Box::pin(messages.map_err(move |status| {
            cause::report(&status, Some(&id));
            explained(status)
        })),
    }
}

/// The messages of a watch.
pub(super) fn watched(
    watch: Watch,
    call: Option<HeaderValue>,
) -> Messages<pb::WatchEventsResponse> {
    let messages = stream::unfold(Some(watch), async |watch| {
        let mut watch = watch?;
        match watch.next().await? {
            Ok(watched) => Some((Ok(message(watched)), Some(watch))),
            Err(error) => Some((Err(error.into()), None)),
        }
    });
    logged(Box::pin(messages), call)
}

fn message(watched: Watched) -> pb::WatchEventsResponse {
    let (ids, event_reported) = match watched.event {
        Some(event) => (event.ids, Some(event.event)),
        None => (Vec::new(), None),
    };
    pb::WatchEventsResponse {
        cursor: watched.cursor,
        event: event_reported.map(event),
        customer_ids: ids.into_iter().map(id).collect(),
    }
}

/// The customers of an export, in messages of at most `room` bytes.
pub(super) fn exported(
    export: Export,
    room: usize,
    call: Option<HeaderValue>,
) -> Messages<pb::ExportCustomersResponse> {
    let state = Some((export, Vec::new().into_iter()));
    let next = move |state: Option<(Export, std::vec::IntoIter<_>)>| async move {
        let (mut export, mut messages) = state?;
        loop {
            if let Some(message) = messages.next() {
                return Some((Ok(message), Some((export, messages))));
            }
            let make = move |customers: Vec<_>| {
                let customers = customers.into_iter();
                let messages = customers.flat_map(|customer| response::exported(customer, room));
                messages.collect::<Vec<_>>()
            };
            match export.next(make).await {
                Ok(next) => messages = next?.into_iter(),
                Err(error) => return Some((Err(error.into()), None)),
            }
        }
    };
    logged(Box::pin(stream::unfold(state, next)), call)
}
