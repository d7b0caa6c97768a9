//! Compresses answers.

use std::io::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::Response;
use http_body::{Body as _, Frame, SizeHint};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tonic::Status;

use super::super::Body;
use super::{HEAD_BYTES, MessageCoding, first, head, report};

/// Smaller messages fit into one packet anyway.
const BYTES_MIN: usize = 1_400;
/// Bytes up to which messages are compressed at once: it takes less than a millisecond.
const INLINE_BYTES_MAX: usize = 32 * 1024;

/// An answer for a caller that accepts messages in `coding`. Refusals have none. At most as many large messages are
/// compressed at once as `encoders` has permits.
pub fn compressed(
    mut response: Response<Body>,
    coding: MessageCoding,
    encoders: &Arc<Semaphore>,
) -> Response<Body> {
    if response.body().is_end_stream() {
        return response;
    }
    report(coding, response.headers_mut());
    let encoders = encoders.clone();
    response.map(|inner| {
        Body::new(Compressed {
            inner,
            coding,
            encoders,
            in_flight: None,
        })
    })
}

/// A body whose larger messages are compressed. Each of tonic's pieces has complete messages.
#[derive(Debug)]
struct Compressed {
    inner: Body,
    coding: MessageCoding,
    encoders: Arc<Semaphore>,
    in_flight: Option<JoinHandle<Option<Bytes>>>,
}

impl Drop for Compressed {
    fn drop(&mut self) {
        if let Some(in_flight) = &self.in_flight {
            in_flight.abort();
        }
    }
}

impl http_body::Body for Compressed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        loop {
            if let Some(in_flight) = &mut this.in_flight {
                let done = ready!(Pin::new(in_flight).poll(context));
                this.in_flight = None;
                let done = done.ok().flatten();
                let done = done.ok_or_else(|| Status::internal("compression panicked"));
                return Poll::Ready(Some(done.map(Frame::data)));
            }
            let frame = match ready!(Pin::new(&mut this.inner).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                ended => return Poll::Ready(ended),
            };
            let data = match frame.into_data() {
                Ok(data) => data,
                Err(frame) => return Poll::Ready(Some(Ok(frame))),
            };
            let coding = this.coding;
            match data.len() {
                0..BYTES_MIN => return Poll::Ready(Some(Ok(Frame::data(data)))),
                BYTES_MIN..=INLINE_BYTES_MAX => {
                    return Poll::Ready(Some(Ok(Frame::data(messages(coding, data)))));
                }
                _ => {
                    let encoders = this.encoders.clone();
                    this.in_flight = Some(tokio::spawn(async move {
                        let permit = encoders.acquire_owned().await;
                        let work = move || {
                            let messages = messages(coding, data);
                            drop(permit);
                            messages
                        };
                        tokio::task::spawn_blocking(work).await.ok()
                    }));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.in_flight.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// The messages, each compressed where that is worth it.
fn messages(coding: MessageCoding, data: Bytes) -> Bytes {
    let mut out = Vec::with_capacity(data.len() / 2);
    let mut rest = &*data;
    while let Some((_, length)) = first(rest) {
        let (message, behind) = rest.split_at(length);
        rest = behind;
        let bytes = message.get(HEAD_BYTES..).unwrap_or_default();
        match (length >= BYTES_MIN).then(|| encode(coding, bytes)) {
            Some(Ok(encoded)) if encoded.len() < bytes.len() => {
                out.extend(head(true, encoded.len()));
                out.extend(encoded);
            }
            Some(_) | None => out.extend_from_slice(message),
        }
    }
    out.extend_from_slice(rest);
    out.into()
}

fn encode(coding: MessageCoding, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    match coding {
        MessageCoding::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(bytes)?;
            encoder.finish()
        }
        MessageCoding::Zstd => zstd::encode_all(bytes, 1),
    }
}
