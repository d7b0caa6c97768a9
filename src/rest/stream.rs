//! Responses in pieces. Each piece is made when the caller has taken the one before.
//!
//! A failure after the first piece breaks the response off, so that the caller does not take it for complete.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use prost::Message as _;
use tonic::Status;

use super::csv;
use super::json::Format;
use super::offload::Offload;
use super::response::{server_sent, server_sent_refusal};
use super::table::{self, Table};
use crate::grpc::{Messages, pb};
use crate::middleware::Body;
use crate::tracker::{Error, Export, ExportedCustomer};

/// nginx does not buffer a response with this header.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The messages of a watch as server-sent events.
pub(super) fn events(
    messages: Messages<pb::WatchEventsResponse>,
    offload: &Offload,
) -> Response<Body> {
    let offload = offload.clone();
    let pieces = messages.then(move |message| {
        let offload = offload.clone();
        async move {
            let message = message?;
            let bytes = message.encoded_len();
            let write = move || server_sent(message);
            Ok(offload.run(bytes, write).await)
        }
    });
    server_sent_events(pieces)
}

/// The messages of a watch of refusals as server-sent events.
pub(super) fn refusals(messages: Messages<pb::WatchRefusalsResponse>) -> Response<Body> {
    server_sent_events(messages.map(|message| Ok(server_sent_refusal(message?))))
}

fn server_sent_events(
    pieces: impl Stream<Item = Result<Bytes, Status>> + Send + 'static,
) -> Response<Body> {
    let mut response = response(pieces, "text/event-stream");
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

/// A table of all customers of an export. The tracker writes rows while it reads.
///
/// # Errors
/// The status of an export that cannot begin.
pub(super) async fn table(mut export: Export, format: Format) -> Result<Response<Body>, Status> {
    let table = Arc::new(Table {
        columns: export.columns().await?,
        kinds: export.kinds.clone(),
    });
    let (head, end, content_type) = match format {
        Format::NativeJson => (table.head(false), table::END, "application/json"),
        Format::TableJson => (table.head(true), table::END, "application/json"),
        Format::Csv => (csv::head(&table), "", "text/csv; charset=utf-8"),
    };
    let rows = stream::unfold(Some((export, true)), move |state| {
        let table = table.clone();
        async move {
            let (mut export, first) = state?;
            let write = move |customers: Vec<_>| rows(&table, format, &customers, first);
            match export.next(write).await {
                Ok(Some(piece)) => {
                    let first = first && piece.is_empty();
                    Some((Ok(piece), Some((export, first))))
                }
                Ok(None) if end.is_empty() => None,
                Ok(None) => Some((Ok(Bytes::from_static(end.as_bytes())), None)),
                Err(error) => Some((Err(Error::into(error)), None)),
            }
        }
    });
    let pieces = stream::once(std::future::ready(Ok(head.into()))).chain(rows);
    Ok(response(pieces, content_type))
}

/// Some rows of a table. `first`: whether they are the first ones.
fn rows(table: &Table, format: Format, customers: &[ExportedCustomer], first: bool) -> Bytes {
    let mut out = Vec::new();
    for customer in customers {
        match format {
            Format::Csv => csv::row(&mut out, table, customer),
            Format::NativeJson | Format::TableJson => {
                if !(first && out.is_empty()) {
                    out.extend(b", ");
                }
                table.row(&mut out, customer);
            }
        }
    }
    out.into()
}

fn response(
    pieces: impl Stream<Item = Result<Bytes, Status>> + Send + 'static,
    content_type: &'static str,
) -> Response<Body> {
    let frames = pieces.map(|piece| piece.map(Frame::data));
    let mut response = Response::new(Body::new(StreamBody::new(frames)));
    let content_type = HeaderValue::from_static(content_type);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
