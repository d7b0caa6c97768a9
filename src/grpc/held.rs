//! Bodies of answers that count as long as they are in memory.

use bytes::Bytes;
use http::Response;
use http_body_util::BodyExt as _;

use crate::middleware::Body;
use crate::tracker::Held;

/// Bytes that are counted until the last part of them is sent.
struct Counted {
    bytes: Bytes,
    _held: Held,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The same bytes, which hold their space until they are dropped, wherever that is.
pub fn counted(bytes: Bytes, held: Held) -> Bytes {
    Bytes::from_owner(Counted { bytes, _held: held })
}

/// Moves the space held by an answer's extensions to its body.
pub fn with_body(mut response: Response<Body>) -> Response<Body> {
    let Some(held) = response.extensions_mut().remove::<Held>() else {
        return response;
    };
    response.map(|body| {
        let body = body.map_frame(move |frame| {
            let held = held.clone();
            frame.map_data(|data| counted(data, held))
        });
        Body::new(body)
    })
}
