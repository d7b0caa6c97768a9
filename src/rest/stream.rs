//! Answers that come piece by piece, each made when the caller has taken the one before it.
//!
//! What fails after the first piece breaks the answer off, so that nobody takes it for a whole one.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use prost::Message as _;
use tonic::Status;

use super::json::Format;
use super::offload::Offload;
use super::{answer, csv};
use crate::grpc::{Messages, pb};
use crate::middleware::Body;
use crate::tracker::{Columns, Error, Export, ExportedCustomer};

/// Tells nginx not to hold back what it is sent.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Server-sent events of what a watch tells.
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
            Ok(offload
                .run(bytes, move || answer::server_sent(message))
                .await)
        }
    });
    let mut response = response(pieces, "text/event-stream");
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

/// A table of all customers of an export. Rows are written where they are read.
///
/// # Errors
/// The status that says why there is none.
pub(super) async fn table(mut export: Export, format: Format) -> Result<Response<Body>, Status> {
    let columns = Arc::new(export.columns().await?);
    let kinds: Arc<[_]> = export.kinds.clone().into();
    let head = match format {
        Format::NativeJson => answer::table_head(&kinds, &columns, false),
        Format::TableJson => answer::table_head(&kinds, &columns, true),
        Format::Csv => csv::head(&kinds, &columns).into(),
    };
    let rows = stream::unfold(Some((export, true)), move |rows| {
        let (kinds, columns) = (kinds.clone(), columns.clone());
        async move {
            let (mut export, first) = rows?;
            let make = move |customers: Vec<_>| match format {
                Format::Csv => lines(&kinds, &columns, &customers),
                Format::NativeJson | Format::TableJson => {
                    rows_piece(&kinds, &columns, &customers, first)
                }
            };
            match export.next(make).await {
                Ok(Some(piece)) => {
                    let first = first && piece.is_empty();
                    Some((Ok(piece), Some((export, first))))
                }
                Ok(None) => {
                    let end = match format {
                        Format::Csv => return None,
                        Format::NativeJson | Format::TableJson => answer::TABLE_END,
                    };
                    Some((Ok(Bytes::from_static(end)), None))
                }
                Err(error) => Some((Err(Error::into(error)), None)),
            }
        }
    });
    let pieces = stream::once(std::future::ready(Ok(head))).chain(rows);
    let content_type = match format {
        Format::Csv => "text/csv; charset=utf-8",
        Format::NativeJson | Format::TableJson => "application/json",
    };
    Ok(response(pieces, content_type))
}

fn lines(kinds: &[(String, bool)], columns: &Columns, customers: &[ExportedCustomer]) -> Bytes {
    let mut out = Vec::new();
    for customer in customers {
        csv::row(&mut out, kinds, columns, customer);
    }
    out.into()
}

fn rows_piece(
    kinds: &[(String, bool)],
    columns: &Columns,
    customers: &[ExportedCustomer],
    first: bool,
) -> Bytes {
    let mut out = Vec::new();
    for (index, customer) in customers.iter().enumerate() {
        if index > 0 || !first {
            out.extend(b", ");
        }
        answer::table_row(&mut out, kinds, columns, customer);
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
