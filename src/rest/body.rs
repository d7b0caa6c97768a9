//! The body of a request: read to its limit, decompressed to the same limit.

mod content_type;
mod decode;
#[cfg(test)]
mod tests;
mod text;

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, HeaderValue};
use http_body_util::BodyExt as _;
use tonic::Status;

use super::error::Error;
use super::offload::Offload;
use crate::limit::{Meter, Spent};
use crate::middleware::{Guard, refusal};
use crate::model::quote::quoted;
pub(super) use content_type::check as check_type;

/// The least room in which pieces are copied together, in bytes.
const ROOM_BYTES_MIN: usize = 1024;
/// Bytes that have to have come before room is made for all that were announced.
const EXPECTED_BYTES_MIN: usize = 16 * 1024;
/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Identity,
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

/// Reads a JSON body of at most `bytes_max`, which `guard` bounds, before and after decompression. What it takes of the
/// memory is held of `meter`.
pub(super) async fn read<B>(
    headers: &HeaderMap,
    body: B,
    (bytes_max, guard): (usize, Guard),
    timeout: Duration,
    meter: &Meter,
    decoders: &Offload,
) -> Result<Bytes, Error>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let coding = coding(headers)?;
    // A length that is announced need not be read to be refused.
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(Error::too_large(bytes_max, guard));
    }
    let limits = Limits {
        bytes_max,
        guard,
        meter,
    };
    let collected = tokio::time::timeout(timeout, collect(body, limits)).await;
    let bytes = collected.unwrap_or_else(|_| {
        let message = format!("The body did not arrive within {} s", timeout.as_secs_f64());
        Err(Guard::BodyTimeout
            .behind(Status::deadline_exceeded(message))
            .into())
    })?;
    if coding == Coding::Identity {
        return Ok(text::repaired(bytes));
    }
    // A bomb may take a while to be found out, and must not keep others from being served. Each of many at once would
    // leave its thread with the room of what it grew out of.
    let meter = meter.clone();
    let decode = move || {
        let limits = Limits {
            bytes_max,
            guard,
            meter: &meter,
        };
        let decoded = decode::decode(coding, &bytes, limits);
        let received = bytes.len();
        drop(bytes);
        meter.give(received);
        decoded.map(text::repaired)
    };
    decoders.run(usize::MAX, decode).await
}

/// What bounds a body.
#[derive(Clone, Copy)]
struct Limits<'a> {
    bytes_max: usize,
    guard: Guard,
    meter: &'a Meter,
}

impl Limits<'_> {
    /// Copies a piece behind those of `out`, of which `expected` bytes will come in all, if that is known.
    ///
    /// Room that nothing was written to yet takes none of the memory. While pieces move into larger room they take
    /// twice as much.
    fn append(
        &self,
        out: &mut Vec<u8>,
        piece: &[u8],
        expected: Option<usize>,
    ) -> Result<(), Error> {
        let (length, room) = (out.len(), out.capacity());
        let wanted = length.saturating_add(piece.len());
        if wanted > self.bytes_max {
            return Err(Error::too_large(self.bytes_max, self.guard));
        }
        if wanted > room {
            let doubled = room.saturating_mul(2).max(ROOM_BYTES_MIN);
            let larger = match expected {
                Some(expected) if length >= EXPECTED_BYTES_MIN => expected,
                Some(_) | None => doubled,
            };
            let larger = larger.min(self.bytes_max).max(wanted);
            self.take(length)?;
            let reserved = out.try_reserve_exact(larger - length);
            self.meter.give(length);
            reserved.map_err(|_| no_memory(Spent::All))?;
        }
        self.take(piece.len())?;
        out.extend_from_slice(piece);
        Ok(())
    }

    fn take(&self, bytes: usize) -> Result<(), Error> {
        self.meter.take(bytes).map_err(no_memory)
    }
}

fn no_memory(spent: Spent) -> Error {
    match spent {
        Spent::Never(bytes_max) => Error::too_large(bytes_max, refusal::memory_guard(spent)),
        Spent::All | Spent::Address | Spent::Key => refusal::memory_guard(spent)
            .behind(refusal::memory(spent))
            .into(),
    }
}

/// All that comes. A body in one piece is left as it is. Further pieces are copied behind it: each would keep the
/// buffer that it came in, however few bytes of it are its own.
async fn collect<B>(body: B, limits: Limits<'_>) -> Result<Bytes, Error>
where
    B: http_body::Body<Data = Bytes>,
{
    let expected = body.size_hint().exact();
    let expected = expected.and_then(|bytes| usize::try_from(bytes).ok());
    let mut body = std::pin::pin!(body);
    let (mut first, mut joined) = (Bytes::new(), Vec::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Status::cancelled("The body ended early"))?;
        let Ok(piece) = frame.into_data() else {
            continue;
        };
        if first.is_empty() && joined.is_empty() {
            if piece.len() > limits.bytes_max {
                return Err(Error::too_large(limits.bytes_max, limits.guard));
            }
            limits.take(piece.len())?;
            first = piece;
            continue;
        }
        if joined.is_empty() {
            limits.append(&mut joined, &first, expected)?;
            limits.meter.give(first.len());
            first = Bytes::new();
        }
        limits.append(&mut joined, &piece, expected)?;
    }
    Ok(match joined.is_empty() {
        true => first,
        false => joined.into(),
    })
}

fn coding(headers: &HeaderMap) -> Result<Coding, Error> {
    let mut values = headers.get_all(CONTENT_ENCODING).iter();
    let value = values.next().map(HeaderValue::as_bytes);
    let value = value.unwrap_or_default().trim_ascii();
    let is = |name: &str| value.eq_ignore_ascii_case(name.as_bytes());
    let coding = match () {
        () if value.is_empty() || is("identity") => Some(Coding::Identity),
        () if is("gzip") || is("x-gzip") => Some(Coding::Gzip),
        () if is("deflate") => Some(Coding::Deflate),
        () if is("br") => Some(Coding::Brotli),
        () if is("zstd") => Some(Coding::Zstd),
        () => None,
    };
    match (coding, values.next()) {
        (Some(coding), None) => Ok(coding),
        (None, _) | (Some(_), Some(_)) => Err(Error::unsupported(format!(
            "Content-Encoding must be one of gzip, deflate, br, zstd, not '{}'",
            quoted(&String::from_utf8_lossy(value))
        ))),
    }
}
