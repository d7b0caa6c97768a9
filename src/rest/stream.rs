//! Answers that come piece by piece, each made when the caller has taken the one before it.
//!
//! What fails after the first piece breaks the answer off, so that nobody takes it for a whole one.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use tonic::Status;

use super::answer;
use crate::grpc::{Messages, pb};
use crate::middleware::Body;
use crate::tracker::{Error, Export, ExportedCustomer};

/// Tells nginx not to hold back what it is sent.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Server-sent events of what a watch tells.
pub(super) fn events(messages: Messages<pb::WatchEventsResponse>) -> Response<Body> {
    let pieces = messages.map(|message| message.map(answer::server_sent));
    let mut response = response(pieces, "text/event-stream");
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

/// A table of all customers of an export.
///
/// # Errors
/// The status that says why there is none.
pub(super) async fn table(export: Export) -> Result<Response<Body>, Status> {
    let names = Arc::new(export.names().await?);
    let head = answer::table_head(&export.kinds, &names);
    let rows = stream::unfold(Some((export, names, true)), async |rows| {
        let (mut export, names, first) = rows?;
        match export.next().await {
            Ok(Some(customers)) => {
                let piece = rows_piece(&export, &names, &customers, first);
                let first = first && customers.is_empty();
                Some((Ok(piece), Some((export, names, first))))
            }
            Ok(None) => Some((Ok(Bytes::from_static(answer::TABLE_END)), None)),
            Err(error) => Some((Err(Error::into(error)), None)),
        }
    });
    let pieces = stream::once(std::future::ready(Ok(head))).chain(rows);
    Ok(response(pieces, "application/json"))
}

fn rows_piece(
    export: &Export,
    names: &BTreeSet<String>,
    customers: &[ExportedCustomer],
    first: bool,
) -> Bytes {
    let mut out = Vec::new();
    for (index, customer) in customers.iter().enumerate() {
        if index > 0 || !first {
            out.extend(b", ");
        }
        answer::table_row(&mut out, &export.kinds, names, customer);
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
