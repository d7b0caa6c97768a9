//! Large responses are compressed for callers that take gzip, by tower-http. It works on the thread that polls it, and
//! for a very large response that is one that serves no other callers.

use std::convert::Infallible;
use std::future::ready;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use futures_util::future::Either;
use futures_util::{
    FutureExt as _, Stream, StreamExt as _, TryFutureExt as _, TryStreamExt as _, stream,
};
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt as _, Collected, Full, StreamBody};
use tokio::runtime::Handle;
use tower::{Service as _, service_fn};
use tower_http::compression::{Compression, CompressionBody};
use tower_http::{BoxError, CompressionLevel};

use super::super::offload::{INLINE_BYTES_MAX, Offload};
use crate::middleware::Body;

/// Smallest response that is compressed, in bytes. A smaller one fits into one packet anyway.
const BYTES_MIN: usize = 1_400;
/// Compressed bytes of a very large response that are made at once.
const PIECE_BYTES: usize = 16 * 1024;

/// The codings that a caller takes, as it says.
pub(super) fn accepted(headers: &HeaderMap) -> Vec<HeaderValue> {
    headers.get_all(ACCEPT_ENCODING).iter().cloned().collect()
}

/// Compresses a large response of known length while the caller takes it.
pub(super) fn gzip(
    response: Response<Body>,
    accepted: Vec<HeaderValue>,
    offload: &Offload,
) -> Response<Body> {
    let bytes = response.body().size_hint().exact();
    let bytes = bytes.and_then(|bytes| usize::try_from(bytes).ok());
    let Some(bytes) = bytes.filter(|bytes| *bytes >= BYTES_MIN && !accepted.is_empty()) else {
        return response;
    };
    let mut request = Request::new(());
    let accepted = accepted.into_iter().map(|value| (ACCEPT_ENCODING, value));
    request.headers_mut().extend(accepted);
    let status = response.status();
    let mut response = Some(response);
    // It is called once, and ready at once.
    let service = service_fn(|_| ready(Ok::<_, Infallible>(response.take().unwrap_or_default())));
    let mut compression = Compression::new(service).quality(CompressionLevel::Fastest);
    let Some(Ok(mut response)) = compression.call(request).now_or_never() else {
        return Response::default();
    };
    // A caller that takes no coding at all would get 406 for a call that has been done.
    *response.status_mut() = status;
    if !response.headers().contains_key(CONTENT_ENCODING) {
        return response.map(CompressionBody::into_inner);
    }
    response.map(|body| match bytes > INLINE_BYTES_MAX {
        true => in_pieces(body, bytes, offload.clone()),
        false => at_once(body),
    })
}

/// The body, compressed by this thread: with its length, if it is there already.
fn at_once(body: CompressionBody<Body>) -> Body {
    let mut whole = Box::pin(body.collect().map_ok(Collected::to_bytes));
    let encoded = match (&mut whole).now_or_never() {
        Some(Ok(bytes)) => return Body::new(Full::new(bytes)),
        Some(Err(error)) => Either::Left(ready(Err(error))),
        None => Either::Right(whole),
    };
    Body::new(StreamBody::new(stream::once(encoded).map_ok(Frame::data)))
}

/// The body, compressed by other threads.
fn in_pieces(body: CompressionBody<Body>, bytes: usize, offload: Offload) -> Body {
    let encoder = Box::pin(body.into_data_stream().fuse());
    let pieces = stream::try_unfold(encoder, move |mut encoder| {
        let (offload, runtime) = (offload.clone(), Handle::current());
        async move {
            let encode = move || {
                let piece = runtime.block_on(piece(encoder.as_mut()));
                piece.map(|piece| (piece, encoder))
            };
            let (piece, encoder) = offload.run(bytes, encode).await?;
            Ok::<_, BoxError>((!piece.is_empty()).then(|| (Frame::data(piece), encoder)))
        }
    });
    Body::new(StreamBody::new(pieces))
}

/// The next bytes; none at the end.
async fn piece(
    mut encoder: Pin<&mut impl Stream<Item = Result<Bytes, BoxError>>>,
) -> Result<Bytes, BoxError> {
    let mut piece = BytesMut::new();
    while piece.len() < PIECE_BYTES
        && let Some(bytes) = encoder.try_next().await?
    {
        piece.extend_from_slice(&bytes);
    }
    Ok(piece.freeze())
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll};

    use http_body::SizeHint;
    use tonic::Status;

    use super::*;

    fn accepting(value: &'static str) -> Vec<HeaderValue> {
        vec![HeaderValue::from_static(value)]
    }

    fn response(bytes: usize) -> Response<Body> {
        let text: Vec<u8> = (0..=250).cycle().take(bytes).collect();
        Response::new(Body::new(Full::new(text.into())))
    }

    #[test]
    fn gzip_is_used_only_when_it_is_asked_for_and_the_status_stays() {
        let is_gzip = |accepted| {
            let response = gzip(response(BYTES_MIN), accepted, &Offload::new(1));
            assert_eq!(response.status(), 200);
            response.headers().contains_key(CONTENT_ENCODING)
        };
        assert!(is_gzip(accepting("gzip, deflate")));
        assert!(is_gzip(accepting("br;q=1.0, GZIP;q=0.5")));
        assert!(is_gzip(accepting("*")));
        assert!(is_gzip([accepting("br"), accepting("gzip")].concat()));
        assert!(!is_gzip(accepting("gzip;q=0, *")));
        assert!(!is_gzip(accepting("*;q=0")));
        assert!(!is_gzip(accepting("br;q=1, identity;q=0")));
        assert!(!is_gzip(accepting("br")));
        assert!(!is_gzip(accepting("identity, gzip;q=0.5")));
        assert!(!is_gzip(Vec::new()));
    }

    #[tokio::test]
    async fn a_large_response_is_compressed_in_pieces_and_is_the_same() {
        for size in [INLINE_BYTES_MAX, INLINE_BYTES_MAX + 1, 4 * 1024 * 1024] {
            let expected = response(size).into_body().collect().await.unwrap();
            let response = gzip(response(size), accepting("gzip"), &Offload::new(1));
            assert_eq!(response.headers()[CONTENT_ENCODING], "gzip");
            let bytes = response.into_body().collect().await.unwrap().to_bytes();
            assert!(decompressed(&bytes) == expected.to_bytes(), "{size}");
        }
    }

    fn decompressed(bytes: &[u8]) -> Vec<u8> {
        use std::io::Read as _;

        let mut read = Vec::new();
        let mut decoder = flate2::read::GzDecoder::new(bytes);
        decoder.read_to_end(&mut read).unwrap();
        read
    }

    /// A body of known length that comes in frames, the first of them after a while.
    struct Slow {
        frames: Vec<Bytes>,
        is_pending: bool,
    }

    impl http_body::Body for Slow {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            if std::mem::replace(&mut self.is_pending, false) {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            let next = (!self.frames.is_empty()).then(|| self.frames.remove(0));
            Poll::Ready(next.map(|data| Ok(Frame::data(data))))
        }

        fn is_end_stream(&self) -> bool {
            self.frames.is_empty()
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(self.frames.iter().map(|data| data.len() as u64).sum())
        }
    }

    #[tokio::test]
    async fn a_body_that_comes_after_a_while_is_compressed_as_well() {
        for (is_pending, size) in [(true, 2_000), (false, 2_000), (true, INLINE_BYTES_MAX)] {
            let frames = vec![Bytes::from(vec![b'a'; size]), Bytes::from(vec![b'b'; size])];
            let expected = frames.concat();
            let response = Response::new(Body::new(Slow { frames, is_pending }));
            let response = gzip(response, accepting("gzip"), &Offload::new(1));
            let bytes = response.into_body().collect().await.unwrap().to_bytes();
            assert!(decompressed(&bytes) == expected, "{is_pending}, {size}");
        }
    }
}
