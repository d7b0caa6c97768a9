//! Large responses are compressed for callers that ask for it.

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, VARY};
use http::{HeaderMap, HeaderValue, Response};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt as _, BodyStream, Full, StreamBody};
use tonic::Status;

use super::super::offload::{INLINE_BYTES_MAX, Offload};
use crate::middleware::Body;

/// Smallest response that is compressed, in bytes. A smaller one fits into one packet anyway.
const BYTES_MIN: u64 = 1_400;
/// Bytes of a large response that are compressed at once. More than [`INLINE_BYTES_MAX`].
const PIECE_BYTES: usize = 128 * 1024;

/// Whether the caller takes gzip.
pub(super) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter();
    let codings = values.filter_map(|value| value.to_str().ok());
    let mut any = false;
    for coding in codings.flat_map(|value| value.split(',')) {
        let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
        let (name, weight) = (name.trim(), parameters.trim());
        let refused = weight
            .strip_prefix("q=")
            .is_some_and(|q| q.trim().parse() == Ok(0.0_f32));
        if name.eq_ignore_ascii_case("gzip") {
            return !refused;
        }
        any |= name == "*" && !refused;
    }
    any
}

/// Compresses a large response. A very large one is compressed in pieces while the caller takes them.
pub(super) fn gzip(response: Response<Body>, offload: &Offload) -> Response<Body> {
    let large = response.body().size_hint().exact() >= Some(BYTES_MIN);
    if !large || response.headers().contains_key(CONTENT_ENCODING) {
        return response;
    }
    let (mut head, body) = response.into_parts();
    let bytes = match whole(body) {
        Ok(bytes) => bytes,
        Err(body) => return Response::from_parts(head, body),
    };
    let encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let body = match bytes.len() > INLINE_BYTES_MAX {
        true => Some(in_pieces(encoder, bytes.clone(), offload.clone())),
        false => next_piece(encoder, bytes.clone()).0.ok().map(full),
    };
    let Some(body) = body else {
        return Response::from_parts(head, full(bytes));
    };
    let gzip = HeaderValue::from_static("gzip");
    head.headers.insert(CONTENT_ENCODING, gzip);
    let vary = HeaderValue::from_static("accept-encoding");
    head.headers.append(VARY, vary);
    head.headers.remove(CONTENT_LENGTH);
    Response::from_parts(head, body)
}

/// The bytes of a body that is in memory as a whole, as nearly all of known length are. Any other body stays as it is.
fn whole(mut body: Body) -> Result<Bytes, Body> {
    let Some(first) = body.frame().now_or_never() else {
        return Err(body);
    };
    match first.map(|frame| frame.map(Frame::into_data)) {
        None => Ok(Bytes::new()),
        Some(Ok(Ok(data))) if body.is_end_stream() => Ok(data),
        Some(Ok(Ok(data))) => Err(chained(Ok(Frame::data(data)), body)),
        Some(Ok(Err(frame))) => Err(chained(Ok(frame), body)),
        Some(Err(status)) => Err(chained(Err(status), body)),
    }
}

fn chained(first: Result<Frame<Bytes>, Status>, rest: Body) -> Body {
    let frames = stream::iter([first]).chain(BodyStream::new(rest));
    Body::new(StreamBody::new(frames))
}

fn full(bytes: Bytes) -> Body {
    Body::new(Full::new(bytes))
}

fn in_pieces(encoder: GzEncoder<Vec<u8>>, bytes: Bytes, offload: Offload) -> Body {
    let pieces = stream::unfold(Some((encoder, bytes)), move |left| {
        let offload = offload.clone();
        async move {
            let (encoder, bytes) = left?;
            let size = bytes.len().clamp(INLINE_BYTES_MAX + 1, PIECE_BYTES);
            let (piece, left) = offload.run(size, move || next_piece(encoder, bytes)).await;
            Some((piece.map(Frame::data), left))
        }
    });
    Body::new(StreamBody::new(pieces))
}

type Left = Option<(GzEncoder<Vec<u8>>, Bytes)>;

/// Compresses the next bytes. The piece may be empty while more bytes are left.
fn next_piece(mut encoder: GzEncoder<Vec<u8>>, mut bytes: Bytes) -> (std::io::Result<Bytes>, Left) {
    let piece = bytes.split_to(bytes.len().min(PIECE_BYTES));
    if let Err(error) = encoder.write_all(&piece) {
        return (Err(error), None);
    }
    match bytes.is_empty() {
        true => (encoder.finish().map(Bytes::from), None),
        false => {
            let out = std::mem::take(encoder.get_mut());
            (Ok(out.into()), Some((encoder, bytes)))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use http_body::SizeHint;

    use super::*;

    #[test]
    fn gzip_is_used_only_when_it_is_asked_for() {
        let accepts = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(value));
            accepts_gzip(&headers)
        };
        assert!(accepts("gzip, deflate"));
        assert!(accepts("br;q=1.0, GZIP;q=0.5"));
        assert!(accepts("*"));
        assert!(!accepts("gzip;q=0, *"));
        assert!(!accepts("*;q=0"));
        assert!(!accepts("br"));
        assert!(!accepts_gzip(&HeaderMap::new()));
    }

    #[tokio::test]
    async fn a_large_response_is_compressed_in_pieces_and_is_the_same() {
        use std::io::Read as _;

        for size in [
            INLINE_BYTES_MAX,
            INLINE_BYTES_MAX + 1,
            PIECE_BYTES,
            3 * PIECE_BYTES + 7,
        ] {
            let text: Vec<u8> = (0..=250).cycle().take(size).collect();
            let response = Response::new(full(text.clone().into()));
            let response = gzip(response, &Offload::new(1));
            assert_eq!(response.headers()[CONTENT_ENCODING], "gzip");
            let bytes = response.into_body().collect().await.unwrap().to_bytes();
            let mut read = Vec::new();
            let mut decoder = flate2::read::GzDecoder::new(&*bytes);
            decoder.read_to_end(&mut read).unwrap();
            assert!(read == text, "{size}");
        }
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
    async fn a_body_of_known_length_that_is_not_there_yet_is_sent_whole() {
        for is_pending in [true, false] {
            let frames = vec![
                Bytes::from(vec![b'a'; 2_000]),
                Bytes::from(vec![b'b'; 2_000]),
            ];
            let expected = frames.concat();
            let response = Response::new(Body::new(Slow { frames, is_pending }));
            let response = gzip(response, &Offload::new(1));
            assert!(!response.headers().contains_key(CONTENT_ENCODING));
            let bytes = response.into_body().collect().await.unwrap().to_bytes();
            assert!(bytes == expected, "{is_pending}: {} bytes", bytes.len());
        }
    }
}
